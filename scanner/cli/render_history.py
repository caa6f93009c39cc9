"""Changes and failures of the history, for a person: two lines each at most, within 80 columns."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.text import Text

from scanner.cli.render import Mark, Style, aside, hanging, marked, words
from scanner.model.vocabulary import DnssecStatus, DomainVerdict, HostOutcome

Row = Mapping[str, Any]

_GOOD = frozenset(
    {DomainVerdict.PROTECTED.value, HostOutcome.AUTHENTICATED.value, DnssecStatus.SECURE.value}
)
_BAD = frozenset(
    {
        DomainVerdict.BLOCKED.value,
        DomainVerdict.DEFERRED.value,
        HostOutcome.FAILED.value,
        HostOutcome.LOOKUP_FAILED.value,
        HostOutcome.UNREACHABLE.value,
        HostOutcome.NO_ADDRESS.value,
        DnssecStatus.BOGUS.value,
    }
)
_KINDS = {"domain": "domain", "mx": "host", "zone": "zone"}


def transition_lines(row: Row, style: Style, width: int) -> Iterator[Text]:
    """Yield one change: when, what, from which status to which, and what follows from it."""
    status = row["to_status"]
    lead = words(f"{moment(row['observed_at'])}  ", aside(f"{_KINDS[row['entity_type']]:<7}"))
    sentence = marked(style, mark_of(status), f"{style.name(row['entity'])}: {_change(row)}")
    if row["to_reason"]:
        sentence.append(f" [{row['to_reason']}]", style="dim")
    notes = [note for note in (_phase(row), row["code"], _lasted(row)) if note]
    if notes:
        sentence.append(f", {', '.join(notes)}")
    yield from hanging(lead, sentence, width)


def failing_lines(row: Row, style: Style, width: int, at: datetime) -> Iterator[Text]:
    """Yield one failure: who, how, since when, and what becomes of the mail."""
    lead = marked(style, mark_of(row["status"]))
    text = words(f"{style.name(row['entity'])}: {row['status']}")
    if row["reason"]:
        text.append(f" [{row['reason']}]", style="dim")
    text.append(f" for {duration(at - row['failing_since'])}")
    if row["code"]:
        text.append(f", {row['code']}")
    if row["phase"] == "bouncing":
        text.append(", mail is returned")
    elif row["bounces_from"] is not None:
        text.append(f", mail bounces from {moment(row['bounces_from'])[:16]}")
    labels = ", ".join(f"{one['key']}={one['value']}" for one in row["labels"] or ())
    if labels:
        text.append(f" ({style.safe(labels, 200)})", style="dim")
    yield from hanging(lead, text, width)


def mark_of(status: str) -> Mark:
    """Return the mark of a status of a domain, host or zone."""
    if status in _BAD:
        return Mark.FAIL
    if status in _GOOD:
        return Mark.PASS
    if status in (DomainVerdict.NO_MAIL, DnssecStatus.INSECURE):
        return Mark.NOT_APPLICABLE
    return Mark.WARN


def moment(time: datetime) -> str:
    """Return ``time`` in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(span: timedelta) -> str:
    """Return ``span`` in its two largest units: ``2 d 3 h``, ``5 min``."""
    seconds = max(int(span.total_seconds()), 0)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for number, (unit, size) in enumerate(units):
        if seconds >= size:
            text = f"{seconds // size} {unit}"
            rest = seconds % size
            if number + 1 < len(units) and rest >= units[number + 1][1]:
                text += f" {rest // units[number + 1][1]} {units[number + 1][0]}"
            return text
    return "0 s"


def _change(row: Row) -> str:
    if row["from_status"] is None:
        return f"first seen, {row['to_status']}"
    if row["from_status"] == row["to_status"]:
        return f"still {row['to_status']}"
    return f"{row['from_status']} to {row['to_status']}"


def _phase(row: Row) -> str | None:
    if row["to_phase"] == "bouncing":
        return "mail is returned"
    if row["bounces_from"] is not None:
        return f"mail bounces from {moment(row['bounces_from'])[:16]}"
    return None


def _lasted(row: Row) -> str | None:
    if "lasted_seconds" not in row:
        return None
    return f"for {duration(timedelta(seconds=row['lasted_seconds']))}"
