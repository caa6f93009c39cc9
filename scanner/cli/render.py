"""Words on a terminal: marks, safe text, shortening, and the console they go to.

Three rules hold for everything that is shown to a person:

- What a peer sent (certificate names, replies, DNS texts) passes through ``Style.safe``; it can
  hold terminal controls. Nothing is interpreted as markup.
- Lines fit 80 columns. Words wrap between words; hashes and very long names are cut in the middle
  beforehand, because a hash broken over two lines cannot be compared by eye. What is meant to be
  copied is never cut.
- Meaning never depends on colour or on a character the terminal may not have: a mark is always
  followed by words, and has an ASCII form.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH = 80
"""Columns of a page; a narrower terminal gets its own width."""
HASH_EDGE = 8
"""Hexadecimal digits kept at each end of a shortened hash: 64 bits in all."""
MAX_NAME = 52
"""Longest name shown whole inside a tree; a host line still has room for its outcome."""


class Mark(Enum):
    """How a step went: the sign, its ASCII form, and the colour."""

    PASS = ("✔", "+", "green")
    WARN = ("!", "!", "yellow")
    FAIL = ("✘", "x", "red")
    NOT_APPLICABLE = ("·", "-", "dim")
    UNKNOWN = ("?", "?", "yellow")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """What the terminal can show. ``unicode`` is False where the encoding is not UTF-8."""

    unicode: bool = True

    def mark(self, mark: Mark) -> str:
        """Return the sign of ``mark``."""
        sign, ascii_sign, _ = mark.value
        return sign if self.unicode else ascii_sign

    def safe(self, text: str, limit: int = 500) -> str:
        """Return ``text`` without anything a terminal would act on, at most ``limit`` long."""
        shown = "".join(
            character if self._is_plain(character) else _escaped(character)
            for character in text[: limit + 1]
        )
        return self.shorten(shown, limit)

    def shorten(self, text: str, limit: int) -> str:
        """Return ``text`` with its middle cut out where it is longer than ``limit``."""
        if len(text) <= limit:
            return text
        gap = "…" if self.unicode else ".."
        kept = max(limit - len(gap), 2)
        return f"{text[: kept - kept // 2]}{gap}{text[len(text) - kept // 2 :]}"

    def name(self, text: str, limit: int = MAX_NAME) -> str:
        """Return a domain name safe and short enough for a line of the tree."""
        return self.shorten(self.safe(text, 4 * limit), limit)

    def hash(self, digest: str) -> str:
        """Return a hexadecimal digest by its two ends."""
        return self.shorten(digest, 2 * HASH_EDGE + (1 if self.unicode else 2))

    def dash(self) -> str:
        """Return the sign between two times."""
        return "–" if self.unicode else "to"

    def _is_plain(self, character: str) -> bool:
        if character == " ":
            return True
        if not self.unicode and not character.isascii():
            return False
        # Controls, formats (bidirectional overrides), surrogates, private use, unassigned; and
        # separators other than the space, which break lines or look like one.
        return unicodedata.category(character)[0] not in "CZ"


def _escaped(character: str) -> str:
    if character in "\t\n\r":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def can_show_unicode(stream: IO[str]) -> bool:
    """Return whether ``stream`` is encoded so that every sign used here can be written."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("_", "-")
    return encoding in ("utf-8", "utf8", "utf-8-sig", "utf-16", "utf-32")


class PlainConsole(Console):
    """A console that leaves the exit code to us when its reader goes away (rich's is 1)."""

    def on_broken_pipe(self) -> None:
        """Let the command line end as it does for any output."""
        raise BrokenPipeError


def make_console(stream: IO[str] | None = None, *, no_color: bool = False) -> Console:
    """Return a console on ``stream`` (standard output when None).

    Colour only on a terminal, and not with ``no_color`` or the environment's NO_COLOR. At most 80
    columns; elsewhere than on a terminal always 80.
    """
    target = sys.stdout if stream is None else stream
    reconfigure = getattr(target, "reconfigure", None)
    if reconfigure is not None and not can_show_unicode(target):
        reconfigure(errors="backslashreplace")
    on_terminal = target.isatty()
    console = PlainConsole(
        file=target,
        force_terminal=on_terminal,
        color_system="auto" if on_terminal and not no_color else None,
        no_color=True if no_color else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    console.width = min(console.width, WIDTH) if on_terminal else WIDTH
    return console


def marked(style: Style, mark: Mark, *parts: str | tuple[str, str]) -> Text:
    """Return a line of ``mark`` and ``parts``; a part is text, or text with a style."""
    colour = mark.value[2]
    line = Text()
    line.append(f"{style.mark(mark)} ", style=colour)
    return line.append_text(words(*parts))


def words(*parts: str | tuple[str, str]) -> Text:
    """Return one line of ``parts``; a part is text, or text with a style."""
    line = Text()
    for part in parts:
        if isinstance(part, tuple):
            line.append(part[0], style=part[1])
        else:
            line.append(part)
    return line


def aside(text: str) -> tuple[str, str]:
    """Return ``text`` as a less important part of a line."""
    return text, "dim"


@dataclass(slots=True)
class Branch:
    """One line of a tree and the lines below it."""

    label: Text
    children: list["Branch"] = field(default_factory=list)

    def add(self, child: "Text | Branch") -> "Branch":
        """Put ``child`` below this line and return it as a branch."""
        branch = child if isinstance(child, Branch) else Branch(child)
        self.children.append(branch)
        return branch


_GUIDES = {True: ("├── ", "└── ", "│   ", "    "), False: ("|-- ", "`-- ", "|   ", "    ")}


def tree_lines(root: Branch, style: Style, width: int) -> Iterator[Text]:
    """Yield the lines of a tree, each at most ``width`` columns; long labels go on below."""
    yield from wrapped(root.label, width)
    yield from _children_lines(root, Text(), style, width)


def _children_lines(parent: Branch, prefix: Text, style: Style, width: int) -> Iterator[Text]:
    tee, corner, bar, blank = _GUIDES[style.unicode]
    for child in parent.children:
        is_last = child is parent.children[-1]
        first = prefix + Text(corner if is_last else tee, style="dim")
        below = prefix + Text(blank if is_last else bar, style="dim")
        for number, line in enumerate(wrapped(child.label, width - cell_len(first.plain))):
            yield (below if number else first) + line
        yield from _children_lines(child, below, style, width)


def hanging(lead: Text, text: Text, width: int) -> Iterator[Text]:
    """Yield ``text`` behind ``lead``, its further lines indented as far as its first."""
    indent = cell_len(lead.plain)
    for number, line in enumerate(wrapped(text, width - indent)):
        yield (Text(" " * indent) if number else lead) + line


_TOGETHER = re.compile(r"(?<!\S)(\d) (\d) (\d)(?!\w)")
"""TLSA parameters such as 3 1 1, which read badly over two lines."""


def wrapped(text: Text, width: int) -> Iterator[Text]:
    """Yield ``text`` in lines of at most ``width`` columns, broken between words.

    A word longer than a line is broken where it must be. Lines end without spaces.
    """
    plain = _TOGETHER.sub("\\1\0\\2\0\\3", text.plain)
    breaks: list[int] = []
    start = position = 0
    for word in re.finditer(r"[^ ]+", plain):
        while cell_len(plain[start : word.end()].replace("\0", " ")) > max(width, 8):
            if word.start() > start and plain[start : word.start()].strip():
                start = word.start()
            else:
                start = _last_fitting(plain, start, max(width, 8))
            breaks.append(start)
        position = word.end()
    for line in text[:position].divide(breaks):
        line.rstrip()
        yield line


def _last_fitting(plain: str, start: int, width: int) -> int:
    end = start + 1
    while end < len(plain) and cell_len(plain[start : end + 1]) <= width:
        end += 1
    return end


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Write ``lines`` as they are; they have been wrapped already."""
    for line in lines:
        console.print(line, soft_wrap=True)
