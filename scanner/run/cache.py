"""A resolver that remembers: TTL-bound, single flight, bounded.

Theory. Hundreds of domains share an MX host, so the same questions come many times within a pass.
An answer is kept for its TTL, as any resolver does; so a verdict never rests on data a sender
could not still hold. An error is kept for seconds only: long enough that the domains of one pass
do not all wait for the same dead server, short enough that a retry is a fresh look. What failed on
our own side is not kept at all.

Questions already in flight are joined, not asked again. The one who asks is cancelled like any
task; then one of those who waited asks in its place.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import trio

from scanner.model.observation import Lookup, OtherRecord, Question, TlsaRecord
from scanner.model.ports import Clock, Resolver
from scanner.observe.disposal import let_go
from scanner.observe.turnstile import SharedEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheLimits:
    """Bounds of the cache."""

    max_entries: int = 50_000
    """About 1.3 KiB each. The least recently used go first; of the questions of a pass those about
    shared hosts come again within hundreds of domains, the others never."""
    max_octets: int = 128 * 1024 * 1024
    """Estimated size of all entries; a single host can publish a TLSA RRset of 64 KiB."""
    max_ttl: timedelta = timedelta(hours=1)
    """Longest time an answer is kept (design: caches, TTL ceiling)."""
    error_ttl: timedelta = timedelta(seconds=5)
    """Time an error is kept; RFC 9520 §3.2 asks for at least 1 s and at most 5 min."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStatistics:
    """Counts since the cache was made, and what it holds now.

    A ``join`` is a question answered by one already in flight; it counts as a hit as well.
    """

    requests: int
    hits: int
    joins: int
    evictions: int
    entries: int
    octets: int
    in_flight: int


@dataclass(slots=True)
class _Entry:
    lookup: Lookup
    kept_from: datetime
    kept_until: datetime
    octets: int


@dataclass(eq=False, slots=True)
class _Flight:
    """One question on its way; ``lookup`` is None when whoever asked it gave up."""

    done: SharedEvent | None = None
    lookup: Lookup | None = None


class CachingResolver:
    """Remembers what another resolver said (implements ``scanner.model.ports.Resolver``).

    ``on_request`` is called with whether a request was a hit.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        clock: Clock,
        limits: CacheLimits | None = None,
        on_request: Callable[[bool], None] | None = None,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._limits = limits or CacheLimits()
        self._on_request = on_request
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()
        self._flights: dict[Question, _Flight] = {}
        self._octets = 0
        self._requests = self._hits = self._joins = self._evictions = 0

    async def lookup(self, question: Question) -> Lookup:
        """Return what is remembered, or ask. See ``Resolver.lookup``."""
        remembered = self.remembered(question)
        if remembered is not None:
            await trio.lowlevel.checkpoint()
            return remembered
        self._requests += 1
        while (flight := self._flights.get(question)) is not None:
            if flight.done is None:
                flight.done = SharedEvent()  # most flights nobody joins
            await flight.done.wait()
            if flight.lookup is not None:
                self._joins += 1
                self._count_hit(True)
                return flight.lookup
        self._count_hit(False)
        return await self._ask(question)

    def remembered(self, question: Question) -> Lookup | None:
        """Return what is remembered, and count it as a request; None where nothing is."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        # A clock set back must not lengthen a TTL, so before its beginning an entry is stale too.
        if not entry.kept_from <= self._clock.now() < entry.kept_until:
            self._drop(question)
            return None
        self._entries.move_to_end(question)
        self._requests += 1
        self._count_hit(True)
        return entry.lookup

    def forget_errors(self) -> None:
        """Drop every remembered error, so that the next question about it is asked afresh."""
        for question in [q for q, entry in self._entries.items() if entry.lookup.is_error]:
            self._drop(question)

    def forget_all(self) -> None:
        """Drop everything, also what is on its way: nothing asked before now is remembered."""
        let_go(self._entries)
        self._entries = OrderedDict()
        self._flights.clear()
        self._octets = 0

    def statistics(self) -> CacheStatistics:
        """Return the counts as they are now."""
        return CacheStatistics(
            requests=self._requests,
            hits=self._hits,
            joins=self._joins,
            evictions=self._evictions,
            entries=len(self._entries),
            octets=self._octets,
            in_flight=len(self._flights),
        )

    async def _ask(self, question: Question) -> Lookup:
        flight = _Flight()
        self._flights[question] = flight
        found: Lookup | None = None
        try:
            found = await self._resolver.lookup(question)
            return found
        finally:
            if self._flights.get(question) is flight:
                # Not after ``forget_all``: what was asked before it is not to be remembered.
                del self._flights[question]
                if found is not None:
                    self._remember(question, found)
            flight.lookup = found
            if flight.done is not None:
                flight.done.set()

    def _remember(self, question: Question, lookup: Lookup) -> None:
        lifetime = self._lifetime(lookup)
        octets = estimated_octets(lookup)
        if lifetime <= _NO_TIME or octets > self._limits.max_octets:
            return
        now = self._clock.now()
        entry = _Entry(lookup, now, now + lifetime, octets)
        before = self._entries.setdefault(question, entry)
        if before is not entry:
            self._octets -= before.octets
            self._entries[question] = entry
            self._entries.move_to_end(question)
        self._octets += octets
        while (
            len(self._entries) > self._limits.max_entries or self._octets > self._limits.max_octets
        ):
            self._drop(next(iter(self._entries)))
            self._evictions += 1

    def _lifetime(self, lookup: Lookup) -> timedelta:
        if lookup.own_fault is not None:
            return _NO_TIME
        if lookup.is_error:
            return self._limits.error_ttl
        # No TTL means that nothing allows to keep it (RFC 2308 §5: a denial without SOA).
        return min(timedelta(0, lookup.ttl_seconds or 0), self._limits.max_ttl)

    def _drop(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._octets -= entry.octets

    def _count_hit(self, hit: bool) -> None:
        self._hits += hit
        if self._on_request is not None:
            self._on_request(hit)


_NO_TIME = timedelta(0)
_ENTRY_OCTETS = 1_000  # a Lookup with its Question and strings, measured on CPython 3.11
_RECORD_OCTETS = 200


def estimated_octets(lookup: Lookup) -> int:
    """Return roughly the memory ``lookup`` takes; what partners choose the size of is counted."""
    size = _ENTRY_OCTETS
    for record in lookup.records:
        size += _RECORD_OCTETS
        if isinstance(record, TlsaRecord):
            size += len(record.data)
        elif isinstance(record, OtherRecord):
            size += len(record.text)
    size += _RECORD_OCTETS * len(lookup.aliases)
    for error in lookup.extended_errors:
        size += _RECORD_OCTETS + len(error.text)
    return size
