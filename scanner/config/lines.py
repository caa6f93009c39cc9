"""Where in a TOML file a key stands.

The standard library's parser gives values without positions, and an operator needs the line. This
locator reads text that ``tomllib`` has already accepted, so it only has to know what can hide a
key: comments, strings over several lines, arrays and inline tables over several lines. A key inside
an inline table has the line of the table's own key.
"""

import re
from collections.abc import Mapping

KeyPath = tuple[str, ...]

_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_KEY_PART}(?:\s*\.\s*{_KEY_PART})*)\s*=")
_HEADER = re.compile(rf"\s*\[\[?\s*({_KEY_PART}(?:\s*\.\s*{_KEY_PART})*)\s*\]\]?")
_PART = re.compile(_KEY_PART)
_HIDING = re.compile(
    r'"""(?P<basic>.*?)(?<!\\)"""|' r"'''.*?'''|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'|" r"#[^\n]*",
    re.DOTALL,
)


def locate_keys(text: str) -> Mapping[KeyPath, int]:
    """Return the line, from 1, of each table header and key in the valid TOML ``text``."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    depth = 0
    for number, (line, visible) in enumerate(_lines(text), start=1):
        if depth == 0:
            header = _HEADER.match(line) if visible.lstrip().startswith("[") else None
            if header is not None:
                table = _parts(header[1])
                lines.setdefault(table, number)
                continue
            key = _KEY.match(line) if visible.strip() else None
            if key is not None:
                _remember(lines, table, _parts(key[1]), number)
        depth += sum(visible.count(mark) for mark in "[{") - sum(visible.count(m) for m in "]}")
    return lines


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of ``path``, or of the nearest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _remember(lines: dict[KeyPath, int], table: KeyPath, parts: KeyPath, number: int) -> None:
    for length in range(1, len(parts) + 1):
        lines.setdefault(table + parts[:length], number)


def _parts(key: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(key))


def _lines(text: str) -> list[tuple[str, str]]:
    """Return (line, the same with strings and comments blanked) for each line."""
    visible = _HIDING.sub(_blank, text)
    # Quoted keys must stay readable in the first; a line inside a long string is blank in both.
    return [
        (line if shown.strip() else "", shown)
        for line, shown in zip(text.split("\n"), visible.split("\n"), strict=True)
    ]


def _blank(match: re.Match[str]) -> str:
    # A quoted key keeps its line visible by one mark that is neither bracket nor space.
    return re.sub(r"[^\n]", " ", match[0]) if match[0].startswith("#") else _mark(match[0])


def _mark(string: str) -> str:
    return "_" + re.sub(r"[^\n]", " ", string[1:])
