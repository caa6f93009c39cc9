"""Logging to standard error: for people, or one JSON object a line for machines.

What a record says beyond its message stands in ``extra`` and becomes ``key=value`` after it, or a
member of the object. Text from peers is escaped: it can neither act on a terminal nor begin a line.
"""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from scanner.model.meter import Meter, NullMeter, OwnMetric

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("console", "json")
MAX_VALUE_CHARACTERS = 500
"""Of one value on the console; a peer's text may be long."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logging(
    level: str,
    form: str,
    *,
    with_time: bool = False,
    meter: Meter | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send danewatch's log records of ``level`` and above to standard error, or to ``stream``.

    ``with_time`` begins each line for people with the time; a service wants it, a command does
    not. ``meter`` counts the records by level.
    """
    handler = _CountingHandler(stream or sys.stderr, meter or NullMeter())
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter(with_time))
    logger = logging.getLogger("danewatch")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class _CountingHandler(logging.StreamHandler[TextIO]):
    """Writes records and counts them."""

    def __init__(self, stream: TextIO, meter: Meter) -> None:
        super().__init__(stream)
        self._meter = meter

    def emit(self, record: logging.LogRecord) -> None:
        """Write and count one record; a stream that is gone is no reason to fail."""
        super().emit(record)
        self._meter.count(OwnMetric.LOG_MESSAGES, level=record.levelname.lower())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: the library would print a traceback to the same stream."""


class ConsoleFormatter(logging.Formatter):
    """One line for a person; the controls a peer's text may hold are escaped.

    Lines of a traceback follow, each of them indented: none can pass for a record of its own.
    """

    def __init__(self, with_time: bool = False) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below where there is one."""
        message = escape_controls(record.getMessage())
        begin = f"{_time_of(record)} " if self._with_time else "danewatch: "
        words = [f"{begin}{record.levelname.lower()}: {message}"]
        words += [f"{key}={_console_value(value)}" for key, value in _fields(record)]
        text = " ".join(words)
        traceback = _traceback_of(record, self)
        if traceback:
            lines = traceback.split("\n")
            text += "".join(f"\n    {escape_controls(line)}" for line in lines)
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the rest, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _fields(record):
            entry.setdefault(key, _plain(value))
        traceback = _traceback_of(record, self)
        if traceback:
            entry["exception"] = traceback
        return json.dumps(entry)


def _traceback_of(record: logging.LogRecord, formatter: logging.Formatter) -> str | None:
    """Return the traceback of ``record``; that of a worker process comes as text."""
    return formatter.formatException(record.exc_info) if record.exc_info else record.exc_text


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield what the caller put into ``extra`` and has a value."""
    for key, value in vars(record).items():
        if key not in _STANDARD and value is not None:
            yield key, value


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, str | int | float | bool) else str(value)


def _console_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = escape_controls(str(_plain(value)))
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[: MAX_VALUE_CHARACTERS - 1] + "…"
    plain = text and not set(text) & set(' "=')
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escape_controls(text: str) -> str:
    """Return ``text`` with everything unprintable escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
