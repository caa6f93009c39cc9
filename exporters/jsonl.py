"""Check documents, one JSON object a line (``--json``, and any log shipper)."""

from collections.abc import Iterable
from typing import TextIO

from exporters.document import load_schema, to_json_line
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile

CHECK_SCHEMA = load_schema()
"""The JSON Schema of a line."""

check_line = to_json_line
"""Return the line of one check, without its end."""


class JsonlSink:
    """A ``Sink`` that writes each check as one line and flushes once for each call.

    ``stream`` stays the caller's: it is flushed and never closed. Raises OSError (a full disk, a
    reader that went away) as the stream does.
    """

    def __init__(self, stream: TextIO, *, profile: Profile = Profile.EXCHANGE_ONLINE) -> None:
        self._stream = stream
        self._profile = profile

    def write(self, checks: Iterable[Check]) -> None:
        """Write one line for each of ``checks``; a reader never sees half of a check's line
        unless the stream itself breaks."""
        for check in checks:
            self._stream.write(to_json_line(check, profile=self._profile) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Flush the stream."""
        self._stream.flush()
