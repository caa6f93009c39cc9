"""Logging to standard error: for people, or one JSON object a line for machines."""

import json
import logging
import sys
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("console", "json")


def set_up_logging(level: str, form: str) -> None:
    """Send danewatch's log records of ``level`` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    logger = logging.getLogger("danewatch")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class ConsoleFormatter(logging.Formatter):
    """One line for a person; the controls a peer's text may hold are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below where there is one."""
        message = escape_controls(record.getMessage())
        text = f"danewatch: {record.levelname.lower()}: {message}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def escape_controls(text: str) -> str:
    """Return ``text`` with everything unprintable escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
