"""Answers from the history in the form that was asked for: a table, CSV, JSON lines or Parquet.

A table is for people: it fits the terminal, long texts wrap, and only the first rows are shown.
CSV follows RFC 4180, lists in it are JSON; JSON has one object a line, and null for no number
(RFC 8259 §6); both hold times as RFC 3339 in UTC. Parquet keeps every type.
"""

import csv
import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scanner.cli.render import Style, print_lines
from scanner.cli.render_words import plural

if TYPE_CHECKING:
    import pyarrow

Lines = Callable[[Mapping[str, Any], Style, int], Iterator[Text]]
"""Makes the lines of one row for a person: row, style, width."""
MAX_ROWS_SHOWN = 200
"""Of a table for people; the other forms hold all."""
MAX_CELL_CHARACTERS = 300


def print_table(console: Console, answer: "pyarrow.Table", style: Style, noun: str) -> None:
    """Show ``answer`` to a person; ``noun`` is what a row is."""
    if not answer.num_rows:
        console.print(Text(f"No {noun}s."))
        return
    names = _columns_with_values(answer)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        numeric = _is_number(answer.schema.field(name))
        table.add_column(
            Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=False
        )
    for row in _rows(answer.slice(0, MAX_ROWS_SHOWN)):
        table.add_row(*(Text(_words(row[name], style)) for name in names))
    console.print(table)
    more = answer.num_rows - MAX_ROWS_SHOWN
    if more > 0:
        console.print(Text(f"and {plural(more, 'more row')}; --format csv or json has them all"))


def print_rows(
    console: Console, answer: "pyarrow.Table", style: Style, noun: str, lines: Lines
) -> None:
    """Show ``answer`` to a person, each row in the lines that ``lines`` makes of it."""
    if not answer.num_rows:
        console.print(Text(f"No {noun}s."))
        return
    first = max(answer.num_rows - MAX_ROWS_SHOWN, 0)
    if first:
        console.print(
            Text(f"{plural(first, 'more row')} before; --format csv or json has them all")
        )
    for row in _rows(answer.slice(first)):
        print_lines(console, lines(row, style, console.width))


def write_csv(stream: IO[str], answer: "pyarrow.Table") -> None:
    """Write ``answer`` with a header. Raises OSError."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(answer.column_names)
    for row in _rows(answer):
        writer.writerow([_csv_value(value) for value in row.values()])


def write_json(stream: IO[str], answer: "pyarrow.Table") -> None:
    """Write ``answer`` as one JSON object a line. Raises OSError."""
    for row in _rows(answer):
        document = {key: _plain(value) for key, value in row.items()}
        stream.write(json.dumps(document, allow_nan=False) + "\n")


def open_text(path: str) -> IO[str]:
    """Open ``path`` for writing an answer. Raises OSError, for a pipe that nobody reads as well.

    Without blocking, or such a pipe would hold us for ever; what is written to it may wait.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "a pipe or socket that nobody reads", path) from error
        raise
    os.set_blocking(descriptor, True)
    return open(descriptor, "w", encoding="utf-8", newline="")


def write_parquet(path: Path, answer: "pyarrow.Table") -> None:
    """Write ``answer`` to a file, whole or not at all. Raises OSError."""
    import pyarrow.parquet

    temporary = path.with_name(f".{path.name}.tmp")
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file, which Parquet needs", str(path))
    try:
        pyarrow.parquet.write_table(answer, temporary, compression="zstd")
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _rows(answer: "pyarrow.Table") -> Iterator[dict[str, Any]]:
    for batch in answer.to_batches(max_chunksize=5_000):
        yield from batch.to_pylist()


def _columns_with_values(answer: "pyarrow.Table") -> list[str]:
    """Return the columns worth showing to a person: those with a value in any row."""
    return [
        name
        for name, column in zip(answer.column_names, answer.columns, strict=True)
        if column.null_count < answer.num_rows
    ]


def _is_number(field: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_integer(field.type) or pyarrow.types.is_floating(field.type))


def _words(value: object, style: Style) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return style.safe(", ".join(_item_words(one) for one in value), MAX_CELL_CHARACTERS)
    if isinstance(value, bytes):
        return f"{len(value)} octets"
    return style.safe(str(value), MAX_CELL_CHARACTERS)


def _item_words(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    if set(item) == {"key", "value"}:
        return f"{item['key']}={item['value']}"
    return " ".join(f"{key}={value}" for key, value in item.items() if value is not None)


def _csv_value(value: object) -> object:
    if isinstance(value, float):
        return value
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return str(plain).lower()
    return json.dumps(plain) if isinstance(plain, list | dict) else plain


def _plain(value: object) -> object:
    """Return ``value`` as JSON can hold it: times as RFC 3339, octets as hex."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
