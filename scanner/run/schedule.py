"""When each domain is due: its phase, the sender's retry ladder, and a queue of all domains.

    next_due: last check, failing since, look again at  ->  the next check of one domain
    Schedule: due times of all domains, the earliest first

Rules:

- A domain is checked every ``interval``, at a place within it that follows from its name, so that
  the load is even and stays where it is over restarts. A late check keeps its place; missed ones
  are not made up.
- While mail for it fails, a domain is checked when an Exchange Online sender tries again: 15, 30
  and 45 minutes after the first failure, then hourly to 24:45 (S-13). So the time of recovery is
  known as the sender would know it. Places of the interval count beside the ladder only where they
  are closer together than its rungs.
- A look that is to confirm another is made at its own time; when the ladder or the interval would
  have a look within ``min_gap`` after it, that one serves for both.
- Two checks of one domain are never closer than ``min_gap``.

Pure: ``now`` is an argument. Theory of the queue: a binary heap in which a moved or removed domain
leaves its old entry behind; an entry counts only while it is the domain's newest, and the heap is
built anew when more than half of it is dead. So every operation is O(log n) on average.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scanner.model.monitoring import ScheduleEntry
from scanner.model.names import Name

EXCHANGE_ONLINE_LADDER = (
    *(timedelta(minutes=minutes) for minutes in (0, 15, 30, 45)),
    *(timedelta(hours=hours, minutes=45) for hours in range(1, 25)),
)
"""Attempts of an Exchange Online sender, from the first failure on: 28 of them (S-13)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SLACK = 64
"""Dead entries that are not worth building a small heap anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How often domains are checked."""

    interval: timedelta = timedelta(hours=1)
    """Between two checks of a domain that is fine."""
    ladder: tuple[timedelta, ...] = EXCHANGE_ONLINE_LADDER
    """Attempts of the sender, counted from the first failure."""
    min_gap: timedelta = timedelta(seconds=60)
    """Least time between two checks of one domain (at most half of the interval); ours."""
    catch_up: timedelta = timedelta(hours=1)
    """Over which first checks and overdue ones are spread at most."""
    retry_first: timedelta = timedelta(seconds=60)
    """After a check that said nothing through a fault of ours; doubled each time."""
    retry_longest: timedelta = timedelta(minutes=15)


def phase_of(domain: Name, interval: timedelta) -> timedelta:
    """Return the place of ``domain`` within ``interval``: SHA-256 of its name, modulo."""
    digest = hashlib.sha256(domain.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % (interval // _MICROSECOND) * _MICROSECOND


def next_place(domain: Name, after: datetime, interval: timedelta) -> datetime:
    """Return the first place of ``domain`` later than ``after``; counted from 1970 in UTC."""
    phase = phase_of(domain, interval)
    passed = (after - _EPOCH - phase) // interval
    return _EPOCH + phase + (passed + 1) * interval


def place_passed(domain: Name, *, since: datetime, now: datetime, interval: timedelta) -> bool:
    """Return whether a place of ``domain`` lies after ``since`` and not after ``now``."""
    return next_place(domain, since, interval) <= now


def next_due(
    domain: Name,
    *,
    now: datetime,
    cadence: Cadence,
    failing_since: datetime | None = None,
    look_again_at: datetime | None = None,
) -> datetime:
    """Return when ``domain``, checked just ``now``, is due next; at least ``min_gap`` later.

    ``failing_since`` is where the ladder began, None while mail is delivered; ``look_again_at`` is
    when a look may confirm what is suspected.
    """
    gap = min(cadence.min_gap, cadence.interval / 2)
    earlier, rung = _rungs_around(failing_since, now, cadence)
    times = [time for time in (rung, look_again_at) if time is not None]
    if rung is None or (earlier is not None and cadence.interval < rung - earlier):
        # A place that comes sooner than the gap is served by the check just made.
        times.append(next_place(domain, now + gap - _MICROSECOND, cadence.interval))
    due = max(min(times), now + gap)
    # Another look so soon after that one? It serves for both; a rung keeps its time.
    if rung is not None and due <= rung < due + gap:
        return rung
    return max((time for time in times if due <= time < due + gap), default=due)


def next_rung(failing_since: datetime | None, after: datetime, cadence: Cadence) -> datetime | None:
    """Return the sender's next attempt later than ``after``; None where no ladder runs."""
    return _rungs_around(failing_since, after, cadence)[1]


def _rungs_around(
    failing_since: datetime | None, moment: datetime, cadence: Cadence
) -> tuple[datetime | None, datetime | None]:
    """Return the latest attempt not after ``moment`` and the first one after it."""
    earlier = None
    if failing_since is None or failing_since > moment:  # the clock was set back
        return None, None
    for step in cadence.ladder:
        rung = failing_since + step
        if rung > moment:
            return earlier, rung
        earlier = rung
    return earlier, None


def first_due(domain: Name, *, now: datetime, cadence: Cadence) -> datetime:
    """Return when a domain that was never checked comes: at its place, soon."""
    return next_place(domain, now, min(cadence.interval, cadence.catch_up))


def resumed_due(
    entry: ScheduleEntry, *, now: datetime, cadence: Cadence, late: timedelta
) -> datetime:
    """Return when the domain of ``entry`` is due, after nothing was checked for ``late``.

    A time ahead stands, if this cadence could have set it. What is overdue is spread over a time
    as long as ``late``, at most ``catch_up``: no burst, and at worst twice the usual load. A
    failing domain comes no later than at the sender's next attempt.
    """
    longest = min(cadence.interval, cadence.catch_up)
    if now < entry.due_at <= now + max(cadence.interval, cadence.catch_up):
        return entry.due_at
    due = next_place(entry.domain, now, max(min(late, longest), timedelta(seconds=1)))
    rung = next_rung(entry.failing_since, now, cadence)
    return due if rung is None else min(due, rung)


def retry_after(failures: int, cadence: Cadence) -> timedelta:
    """Return how long to wait after ``failures`` (1, 2, ...) checks in a row that said nothing."""
    doublings = min(max(failures - 1, 0), 20)
    return max(min(cadence.retry_first * (1 << doublings), cadence.retry_longest), cadence.min_gap)


class Schedule:
    """The due times of all domains that wait; a domain taken out by ``pop_due`` waits no more."""

    def __init__(self, due: Iterable[tuple[Name, datetime]] = ()) -> None:
        self._due = dict(due)
        self._heap = [(moment, domain) for domain, moment in self._due.items()]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, domain: object) -> bool:
        return domain in self._due

    def due_of(self, domain: Name) -> datetime | None:
        """Return when ``domain`` is due; None when it does not wait."""
        return self._due.get(domain)

    def put(self, domain: Name, due: datetime) -> None:
        """Add ``domain``, or move it to ``due``."""
        if self._due.get(domain) == due:
            return
        self._due[domain] = due
        heapq.heappush(self._heap, (due, domain))
        self._tidy()

    def remove(self, domain: Name) -> None:
        """Take ``domain`` out; nothing happens when it does not wait."""
        if self._due.pop(domain, None) is not None:
            self._tidy()

    def pop_due(self, now: datetime, limit: int = 1) -> list[Name]:
        """Take out and return up to ``limit`` domains that are due, the longest due first."""
        taken: list[Name] = []
        while len(taken) < limit and self._drop_dead() and self._heap[0][0] <= now:
            _, domain = heapq.heappop(self._heap)
            del self._due[domain]
            taken.append(domain)
        return taken

    def next_due_at(self) -> datetime | None:
        """Return the earliest due time, past or not; None when nothing waits."""
        return self._heap[0][0] if self._drop_dead() else None

    def overdue(self, now: datetime) -> int:
        """Return how many domains are due and wait; takes time in their number only."""
        found: set[Name] = set()
        ahead = [0]
        while ahead:
            place = ahead.pop()
            if place < len(self._heap) and self._heap[place][0] <= now:
                if self._is_live(*self._heap[place]):
                    found.add(self._heap[place][1])
                ahead += (2 * place + 1, 2 * place + 2)
        return len(found)

    def _is_live(self, due: datetime, domain: Name) -> bool:
        return self._due.get(domain) == due

    def _drop_dead(self) -> bool:
        """Return whether anything waits, with a live entry on top of the heap."""
        while self._heap and not self._is_live(*self._heap[0]):
            heapq.heappop(self._heap)
        return bool(self._heap)

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(moment, domain) for domain, moment in self._due.items()]
            heapq.heapify(self._heap)
