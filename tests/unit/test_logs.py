"""Log records: what stands beside the message, safely, for people and for machines."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from exporters.own_metrics import OwnMetrics
from scanner.cli.logs import set_up_logging
from scanner.model.meter import OwnMetric

LOGGER = logging.getLogger("danewatch.test")


class Counts:
    """A meter that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[OwnMetric, float, dict[str, str]]] = []

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        self.seen.append((metric, amount, labels))

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None: ...

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None: ...


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger("danewatch")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_extra_fields_follow_the_message_and_are_quoted_where_needed() -> None:
    """Absent values are left out; a peer's text cannot begin a line."""
    stream = io.StringIO()
    set_up_logging("info", "console", stream=stream)
    fields = {"domain": "a.test", "reason": None, "detail": 'say "x"\nERROR: y', "changed": True}
    LOGGER.info("transition", extra=fields)
    assert stream.getvalue() == (
        'danewatch: info: transition domain=a.test detail="say \\"x\\"\\\\nERROR: y" changed=true\n'
    )


def test_json_records_hold_the_fields_as_members() -> None:
    """Numbers stay numbers, times are RFC 3339, and no field hides a standard one."""
    stream = io.StringIO()
    set_up_logging("debug", "json", stream=stream)
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    LOGGER.debug("check", extra={"duration_ms": 12, "at": moment, "time": "never", "level": "x"})
    entry = json.loads(stream.getvalue())
    assert (entry["duration_ms"], entry["at"]) == (12, "2026-11-24T12:00:00Z")
    assert (entry["level"], entry["message"]) == ("debug", "check")
    assert entry["time"] != "never"


def test_a_service_begins_its_lines_with_the_time() -> None:
    """In UTC, to the millisecond."""
    stream = io.StringIO()
    set_up_logging("info", "console", with_time=True, stream=stream)
    LOGGER.warning("blind")
    first, rest = stream.getvalue().split(" ", 1)
    assert datetime.fromisoformat(first).tzinfo is not None
    assert rest == "warning: blind\n"


def test_records_are_counted_by_level_and_a_lost_stream_hurts_nobody() -> None:
    """A closed standard error neither raises nor prints."""
    stream, counts = io.StringIO(), Counts()
    set_up_logging("info", "console", meter=counts, stream=stream)
    LOGGER.debug("not written, not counted")
    LOGGER.error("one")
    stream.close()
    LOGGER.info("two")
    assert counts.seen == [
        (OwnMetric.LOG_MESSAGES, 1.0, {"level": "error"}),
        (OwnMetric.LOG_MESSAGES, 1.0, {"level": "info"}),
    ]


def test_a_traceback_is_indented_and_holds_no_controls() -> None:
    """What a peer said may stand in an exception; it neither acts nor looks like a record."""
    stream = io.StringIO()
    set_up_logging("info", "console", stream=stream)
    try:
        raise ValueError("no\x1b[2Jsuch\r\nthing\ndanewatch: error: all is lost\u2028")
    except ValueError:
        LOGGER.exception("bug in %s", "a\nb")
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert first == "danewatch: error: bug in a\\nb"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert rest[-1] == "    danewatch: error: all is lost\\u2028"


def test_the_page_and_its_metrics_log_as_the_rest_does() -> None:
    """A logger of another name would write past the format, and uncounted."""
    stream, counts = io.StringIO(), Counts()
    set_up_logging("info", "json", meter=counts, stream=stream)
    own = OwnMetrics(version="1")
    own.put(OwnMetric.CHECKS, 1.0)
    assert json.loads(stream.getvalue())["level"] == "error"
    assert len(counts.seen) == 1


def test_long_values_are_cut_on_the_console() -> None:
    """A page of a peer's text is one bounded line."""
    stream = io.StringIO()
    set_up_logging("info", "console", stream=stream)
    LOGGER.info("check", extra={"detail": "x" * 10_000})
    assert len(stream.getvalue()) < 600
