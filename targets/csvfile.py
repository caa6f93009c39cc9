"""CSV lists: a header with a column ``domain``; every other column becomes a user label.

The separator is a comma, a semicolon or a tab: whichever makes the header have a ``domain``
column. Each line is one record, so that a forgotten quotation mark costs one line and not the
rest of the file; a quoted field can therefore hold no line break. An empty cell gives no label.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from targets.labels import is_internal_label, label_name_problem, label_value_problem
from targets.results import Entry, Item, TargetLimits, TargetProblem, TargetWarning, shown
from targets.text import long_line, numbered_lines

SEPARATORS = (",", ";", "\t")
DOMAIN_COLUMN = "domain"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    separator: str
    names: tuple[str, ...]
    domain_index: int


def read_csv(text: str, file: str, limits: TargetLimits) -> Iterator[Item]:
    """Yield an Entry for each record of ``text``; bad columns and bad lines become problems."""
    header: _Header | None = None
    labels: dict[int, str] = {}
    for number, line in numbered_lines(text):
        if len(line) > limits.max_line_characters:
            yield long_line(file, number, line, limits)
            if header is None:
                return
        elif not line.strip():
            continue
        elif header is None:
            header = _parse_header(line)
            if header is None:
                yield TargetProblem(
                    file=file,
                    line=number,
                    value=shown(line),
                    reason=f"the header has no column named {DOMAIN_COLUMN!r}; no line was read",
                )
                return
            for item in _choose_columns(header, file, number, limits):
                if isinstance(item, tuple):
                    labels[item[0]] = item[1]
                else:
                    yield item
        else:
            yield from _read_record(line, number, file, header, labels, limits)


def _parse_header(line: str) -> _Header | None:
    for separator in SEPARATORS:
        fields = _split(line, separator)
        if fields is None:
            continue
        names = tuple(field.strip() for field in fields)
        lowered = [name.lower() for name in names]
        if DOMAIN_COLUMN in lowered:
            index = lowered.index(DOMAIN_COLUMN)
            return _Header(separator=separator, names=names, domain_index=index)
    return None


def _choose_columns(
    header: _Header, file: str, line: int, limits: TargetLimits
) -> Iterator[tuple[int, str] | TargetProblem | TargetWarning]:
    """Yield (index, name) for each label column, and why the others are not."""
    seen: set[str] = set()
    for index, name in enumerate(header.names):
        if index == header.domain_index:
            continue
        if is_internal_label(name):
            yield TargetWarning(
                file=file,
                line=line,
                value=shown(name),
                reason="column dropped: label names with two leading underscores are internal",
            )
            continue
        reason = label_name_problem(name.lower() if name.lower() == DOMAIN_COLUMN else name)
        if name in seen:
            reason = "this column occurs twice; the first is used"
        elif reason is None and len(seen) >= limits.max_labels:
            reason = f"more than {limits.max_labels} label columns"
        if reason is not None:
            yield TargetProblem(
                file=file,
                line=line,
                value=shown(name) or f"column {index + 1}",
                reason=f"column ignored: {reason}",
            )
            continue
        seen.add(name)
        yield index, name


def _read_record(
    line: str,
    number: int,
    file: str,
    header: _Header,
    labels: dict[int, str],
    limits: TargetLimits,
) -> Iterator[Item]:
    fields = _split(line, header.separator)
    reason: str | None = None
    if fields is None:
        reason = "not a CSV record (a quotation mark is missing or misplaced)"
    elif not any(field.strip() for field in fields):
        return
    elif any(field.strip() for field in fields[len(header.names) :]):
        reason = f"{len(fields)} fields, but the header has {len(header.names)}"
    elif len(fields) <= header.domain_index or not fields[header.domain_index].strip():
        reason = "no domain in this record"
    if fields is None or reason is not None:
        yield TargetProblem(
            file=file, line=number, value=shown(line), reason=reason or "not a CSV record"
        )
        return
    found: list[tuple[str, str]] = []
    for index, name in labels.items():
        value = fields[index].strip() if index < len(fields) else ""
        problem = label_value_problem(value, limits)
        if problem is not None:
            yield TargetProblem(
                file=file,
                line=number,
                value=shown(value),
                reason=f"label {name!r} ignored: {problem}",
            )
        elif value:
            found.append((name, value))
    yield Entry(value=fields[header.domain_index].strip(), line=number, labels=tuple(found))


def _split(line: str, separator: str) -> list[str] | None:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except (csv.Error, StopIteration):
        return None
