"""What reading target lists yields: targets, problems, warnings, and the bounds of the work.

A problem is a line that names no target; everything else still loads. A warning is something
merged, dropped or rewritten that the operator should know of. Both name file, line and value.
The format readers turn a file into entries and remarks; ``targets.load`` turns entries into
targets.
"""

import unicodedata
from dataclasses import dataclass

from scanner.model.ports import Target

MAX_SHOWN_CHARACTERS = 60
"""Longest value quoted in a remark; longer ones are cut in the middle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetLimits:
    """Bounds of one load, so that no file can exhaust memory or time.

    All are ours: far above real lists (a list of a million domains is about 20 MiB).
    """

    max_file_bytes: int = 64 * 1024 * 1024
    max_yaml_bytes: int = 16 * 1024 * 1024
    """YAML costs about a hundred times the work of plain text for each byte."""
    max_targets: int = 2_000_000
    """Entries of one load, duplicates counted."""
    max_line_characters: int = 10_000
    max_files: int = 10_000
    """Files of one load, after directories and globs are expanded."""
    max_glob_entries: int = 200_000
    """Entries of directories that one glob may look at."""
    max_labels: int = 64
    """User labels of one target."""
    max_label_characters: int = 1_000
    """Length of one label value."""
    max_remarks: int = 1_000
    """Problems kept, and warnings kept; a last one says how many more there were."""
    max_depth: int = 16
    """Nesting of a YAML or JSON file; the format itself has four levels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetProblem:
    """Something that names no target.

    ``line`` counts from 1; None when the whole file is meant. ``value`` is the text as found, made
    printable and cut. ``reason`` is one clause for an operator.
    """

    file: str
    line: int | None
    value: str
    reason: str

    def __str__(self) -> str:
        return _sentence(self.file, self.line, self.value, self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetWarning:
    """Something merged, dropped or rewritten; the fields are those of TargetProblem."""

    file: str
    line: int | None
    value: str
    reason: str

    def __str__(self) -> str:
        return _sentence(self.file, self.line, self.value, self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One domain as written in a file, not yet parsed."""

    value: str
    line: int
    labels: tuple[tuple[str, str], ...] = ()


Item = Entry | TargetProblem | TargetWarning


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetList:
    """The result of one load.

    ``targets`` are distinct by domain, in the order of their first mention. ``problem_count`` and
    ``warning_count`` are true totals; the tuples hold at most ``TargetLimits.max_remarks``.
    """

    targets: tuple[Target, ...] = ()
    problems: tuple[TargetProblem, ...] = ()
    warnings: tuple[TargetWarning, ...] = ()
    files: tuple[str, ...] = ()
    problem_count: int = 0
    warning_count: int = 0


def shown(value: str) -> str:
    """Return ``value`` safe for a terminal: controls escaped, the middle of a long one cut."""
    half = MAX_SHOWN_CHARACTERS // 2
    if len(value) > MAX_SHOWN_CHARACTERS:
        value = f"{value[: half - 1]}…{value[-half:]}"
    return "".join(
        character if _is_printable(character) else _escape(character) for character in value
    )


def _is_printable(character: str) -> bool:
    # Cf covers the bidirectional controls, which can reorder what a terminal shows.
    return character == " " or not unicodedata.category(character).startswith(("C", "Z"))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that is not UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _sentence(file: str, line: int | None, value: str, reason: str) -> str:
    place = shown_path(file) if line is None else f"{shown_path(file)}:{line}"
    return f"{place}: {value}: {reason}" if value else f"{place}: {reason}"


def shown_path(path: str) -> str:
    """Return ``path`` safe for a terminal, uncut."""
    return "".join(
        character if _is_printable(character) else _escape(character) for character in path
    )
