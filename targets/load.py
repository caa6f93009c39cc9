"""Reads target lists from files, directories and globs into one list of distinct targets.

The format goes by the suffix: ``.csv``; ``.json``, ``.yaml`` and ``.yml`` for Prometheus file_sd;
anything else is plain text. A directory stands for the files in it with a known suffix, sorted;
sub-directories are not entered (a glob with ``**`` does). A file reached twice is read once.

Nothing here raises for what is in a file or a path: it becomes a TargetProblem, and the rest loads.
"""

import errno
import glob
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scanner.model.names import InvalidNameError, Name, parse_domain
from scanner.model.ports import Target
from targets.csvfile import read_csv
from targets.file_sd import read_file_sd_json, read_file_sd_yaml
from targets.globbing import TooManyEntriesError, matches
from targets.results import (
    Entry,
    Item,
    TargetLimits,
    TargetList,
    TargetProblem,
    TargetWarning,
    shown,
)
from targets.text import read_text

Reader = Callable[[str, str, TargetLimits], Iterator[Item]]

READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".list": read_text,
    ".csv": read_csv,
    ".json": read_file_sd_json,
    ".yaml": read_file_sd_yaml,
    ".yml": read_file_sd_yaml,
}
"""What is read in a directory, by suffix in lower case; elsewhere the default is plain text."""

_WHOLE_FILE = frozenset({".json", ".yaml", ".yml"})
_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x00\x00\xfe\xff", "UTF-32"))


def load_targets(paths: Sequence[str | Path], limits: TargetLimits | None = None) -> TargetList:
    """Return the targets named in ``paths``, with every problem and warning.

    Duplicates are merged: the first mention gives place and source, labels are united, and of two
    values of one label the first is kept. Work is bounded by ``limits``.
    """
    bounds = limits or TargetLimits()
    collector = _Collector(bounds)
    for file in _expand(paths, collector, bounds):
        if not _load_file(file, collector, bounds):
            break
    return collector.result()


def files_of(paths: Sequence[str | Path], limits: TargetLimits | None = None) -> tuple[Path, ...]:
    """Return the files that ``paths`` stand for now, whether or not they can be read."""
    bounds = limits or TargetLimits()
    return tuple(_expand(paths, _Collector(bounds), bounds))


@dataclass(slots=True)
class _Collector:
    limits: TargetLimits
    found: dict[Name, Target] = field(default_factory=dict)
    problems: list[TargetProblem] = field(default_factory=list)
    warnings: list[TargetWarning] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    problem_count: int = 0
    warning_count: int = 0
    items: int = 0

    def problem(self, file: str, line: int | None, value: str, reason: str) -> None:
        self.add_problem(TargetProblem(file=file, line=line, value=value, reason=reason))

    def warning(self, file: str, line: int | None, value: str, reason: str) -> None:
        self.add_warning(TargetWarning(file=file, line=line, value=value, reason=reason))

    def add_problem(self, problem: TargetProblem) -> None:
        self.problem_count += 1
        if len(self.problems) < self.limits.max_remarks:
            self.problems.append(problem)

    def add_warning(self, warning: TargetWarning) -> None:
        self.warning_count += 1
        if len(self.warnings) < self.limits.max_remarks:
            self.warnings.append(warning)

    def take(self, item: Item, file: str) -> None:
        if isinstance(item, TargetProblem):
            self.add_problem(item)
        elif isinstance(item, TargetWarning):
            self.add_warning(item)
        else:
            self._take_entry(item, file)

    def _take_entry(self, entry: Entry, file: str) -> None:
        value = entry.value.strip()
        try:
            domain = parse_domain(value)
        except InvalidNameError as error:
            self.problem(file, entry.line, shown(value), shown_reason(str(error), value))
            return
        if not value.isascii():
            self.warning(file, entry.line, shown(value), f"written as {domain}")
        source = f"{file}:{entry.line}"
        first = self.found.get(domain)
        if first is None:
            self.found[domain] = Target(domain=domain, labels=entry.labels, source=source)
            return
        labels, conflicts = _merge(first.labels, entry.labels)
        reason = f"already named at {first.source}; merged"
        for name, kept, dropped in conflicts:
            reason += f"; label {name} stays {shown(kept)!r}, not {shown(dropped)!r}"
        self.warning(file, entry.line, domain, reason)
        self.found[domain] = Target(domain=domain, labels=labels, source=first.source)

    def result(self) -> TargetList:
        return TargetList(
            targets=tuple(self.found.values()),
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
            files=tuple(self.files),
            problem_count=self.problem_count,
            warning_count=self.warning_count,
        )


def shown_reason(reason: str, value: str) -> str:
    """Return the reason a name is refused, with the remedy where the mistake is a common one."""
    if ":" in value and "://" not in value and "port" not in reason and "IP address" not in reason:
        return "a mail domain has no port; write the name alone"
    if "*" in value:
        return "a wildcard; name each domain"
    if len(reason) > 200:
        reason = f"{reason[:100]}…{reason[-90:]}"
    return "".join(character if character.isprintable() else "?" for character in reason)


def _merge(
    first: tuple[tuple[str, str], ...], second: tuple[tuple[str, str], ...]
) -> tuple[tuple[tuple[str, str], ...], list[tuple[str, str, str]]]:
    """Return the union of two label sets, and (name, kept, dropped) for each conflict."""
    merged = dict(first)
    conflicts = []
    for name, value in second:
        kept = merged.setdefault(name, value)
        if kept != value:
            conflicts.append((name, kept, value))
    return tuple(merged.items()), conflicts


def _expand(
    paths: Sequence[str | Path], collector: _Collector, limits: TargetLimits
) -> Iterator[Path]:
    """Yield the files that ``paths`` stand for, each once."""
    seen: set[str] = set()
    for path in paths:
        for file in _files_of(str(path), collector, limits):
            identity = os.path.realpath(file)
            if identity in seen:
                continue
            if len(seen) >= limits.max_files:
                collector.problem(str(path), None, "", f"more than {limits.max_files:,} files")
                return
            seen.add(identity)
            yield file


def _files_of(path: str, collector: _Collector, limits: TargetLimits) -> Iterator[Path]:
    if "\0" in path or not path:
        collector.problem(path, None, "", "not a path")
    elif os.path.isdir(path):
        yield from _files_in(path, collector)
    elif os.path.lexists(path) or not glob.has_magic(path):
        yield Path(path)
    else:
        try:
            found = matches(path, max_entries=limits.max_glob_entries)
        except TooManyEntriesError:
            reason = f"reaches more than {limits.max_glob_entries:,} entries of directories"
            collector.problem(path, None, "", reason)
            return
        if not found:
            collector.problem(path, None, "", "no file matches")
        for match in found:
            if os.path.isdir(match):
                # "**" yields every directory too; its files come as matches of their own.
                if "**" not in path:
                    yield from _files_in(match, collector)
            elif "**" not in path or Path(match).suffix.lower() in READERS:
                yield Path(match)


def _files_in(directory: str, collector: _Collector) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        collector.problem(directory, None, "", _os_reason(error))
        return
    for name in names:
        path = Path(directory, name)
        if name.startswith("."):
            continue
        try:
            is_directory = stat.S_ISDIR(os.stat(path).st_mode)
        except PermissionError:
            reason = "its files cannot be reached; give danewatch's user the right to search it (x)"
            collector.problem(directory, None, "", reason)
            return
        except OSError:  # a dangling link, say: reading it tells what is wrong
            is_directory = False
        if is_directory:
            collector.warning(str(path), None, "", "directory not entered; name it to read it")
        elif path.suffix.lower() in READERS:
            yield path
        else:
            known = " ".join(READERS)
            collector.warning(str(path), None, "", f"not read: its suffix is none of {known}")


def _load_file(path: Path, collector: _Collector, limits: TargetLimits) -> bool:
    """Read one file into ``collector``; return False when the work limit is reached."""
    file = str(path)
    suffix = path.suffix.lower()
    limit = limits.max_yaml_bytes if suffix in (".yaml", ".yml") else limits.max_file_bytes
    try:
        octets = _read_bounded(path, limit)
    except OSError as error:
        collector.problem(file, None, "", _os_reason(error))
        return True
    if octets is None:
        collector.problem(file, None, "", f"larger than {_size(limit)}; not read")
        return True
    text = _decode(octets, file, collector, strict=suffix in _WHOLE_FILE)
    del octets
    if text is None:
        return True
    collector.files.append(file)
    for item in READERS.get(suffix, read_text)(text, file, limits):
        collector.items += 1
        if collector.items > limits.max_targets:
            reason = f"more than {limits.max_targets:,} entries; the rest is not read"
            collector.problem(file, item.line, "", reason)
            return False
        collector.take(item, file)
    return True


def _read_bounded(path: Path, limit: int) -> bytes | None:
    """Return the content of a regular file; None when it is larger than ``limit``.

    Opened without blocking, so that a pipe without a writer cannot hold us.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # None is what a special file such as /proc/kmsg gives that calls itself regular.
        octets = stream.read(limit + 1) or b""
    return octets if len(octets) <= limit else None


def _size(octets: int) -> str:
    mebibytes = octets / (1024 * 1024)
    return f"{mebibytes:g} MiB" if mebibytes >= 1 else f"{octets:,} bytes"


def _decode(octets: bytes, file: str, collector: _Collector, *, strict: bool) -> str | None:
    """Return the text of a file; None, with a problem, when it cannot be read as UTF-8.

    Line-based formats keep bad octets as lone surrogates, so that only the lines that hold them
    are lost; no domain or label may contain one.
    """
    for mark, encoding in _BOMS:
        if octets.startswith(mark):
            reason = f"the encoding is {encoding}; save the file as UTF-8"
            collector.problem(file, None, "", reason)
            return None
    octets = octets.removeprefix(b"\xef\xbb\xbf")
    try:
        return octets.decode("utf-8", errors="strict" if strict else "surrogateescape")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        value = f"byte 0x{octets[error.start]:02x}"
        collector.problem(file, line, value, "not UTF-8; save the file as UTF-8")
        return None


def _os_reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "no such file"
    return (error.strerror or str(error)).lower()
