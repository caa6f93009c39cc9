"""Plain text lists: one domain a line, ``#`` begins a comment.

A ``#`` occurs in no domain name, so a comment may also follow one on its line.
"""

import io
from collections.abc import Iterator

from targets.results import Entry, Item, TargetLimits, TargetProblem, shown


def read_text(text: str, file: str, limits: TargetLimits) -> Iterator[Item]:
    """Yield an Entry for each domain in ``text`` and a TargetProblem for each bad line."""
    for number, line in numbered_lines(text):
        if len(line) > limits.max_line_characters:
            yield long_line(file, number, line, limits)
            continue
        words = line.partition("#")[0].split()
        if len(words) > 1:
            yield TargetProblem(
                file=file,
                line=number,
                value=shown(" ".join(words)),
                reason="more than one word; write one domain a line",
            )
        elif words:
            yield Entry(value=words[0], line=number)


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end); LF, CRLF and CR end lines, as in editors."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        yield number, line.removesuffix("\n")


def long_line(file: str, number: int, line: str, limits: TargetLimits) -> TargetProblem:
    """Return the problem of a line that is too long to be looked at."""
    return TargetProblem(
        file=file,
        line=number,
        value=shown(line[:1_000]),
        reason=f"line longer than {limits.max_line_characters:,} characters",
    )
