"""The cache answers what it may, asks what it must, and never keeps anyone waiting for ever."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from scanner.model.names import Name
from scanner.model.observation import (
    AddressRecord,
    AliasHop,
    ExtendedError,
    Lookup,
    OtherRecord,
    Question,
    TlsaRecord,
)
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.run.cache import CacheLimits, CachingResolver, estimated_octets
from scanner.run.clock import SystemClock

Q = Question(Name("mx.example.org"), RRType.A)
FOUND = Lookup(
    question=Q,
    outcome=LookupOutcome.DATA,
    status=DnssecStatus.SECURE,
    records=(AddressRecord(address="192.0.2.1"),),
    ttl_seconds=300,
)


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class FakeResolver:
    """Gives the same answer after ``gate`` opens, and counts."""

    def __init__(self, answer: Lookup = FOUND) -> None:
        self.answer = answer
        self.asked: list[Question] = []
        self.gate = trio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def lookup(self, question: Question) -> Lookup:
        self.asked.append(question)
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return replace(self.answer, question=question)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def test_what_is_remembered_is_told_without_waiting_and_counts(clock: HandClock) -> None:
    """Only while it may be; nothing is counted of what is not known, and nothing asked."""
    inner = FakeResolver()
    cache = CachingResolver(inner, clock=clock)
    assert cache.remembered(Q) is None
    assert cache.statistics().requests == 0
    await cache.lookup(Q)
    assert cache.remembered(Q) == FOUND
    counts = cache.statistics()
    assert (counts.requests, counts.hits, counts.entries) == (2, 1, 1)
    clock.advance(300)
    assert cache.remembered(Q) is None
    assert cache.statistics().entries == 0
    assert inner.asked == [Q]


class TestLifetime:
    async def asks_again_after(
        self, clock: HandClock, answer: Lookup, seconds: float, limits: CacheLimits | None = None
    ) -> bool:
        inner = FakeResolver(answer)
        cache = CachingResolver(inner, clock=clock, limits=limits)
        first = await cache.lookup(Q)
        clock.advance(seconds)
        assert await cache.lookup(Q) == first
        return len(inner.asked) == 2

    @pytest.mark.parametrize(("seconds", "again"), [(0, False), (299, False), (300, True)])
    async def test_an_answer_lives_for_its_ttl(
        self, clock: HandClock, seconds: float, again: bool
    ) -> None:
        """Until the TTL is over the same lookup is returned; then it is asked again."""
        assert await self.asks_again_after(clock, FOUND, seconds) is again

    @pytest.mark.parametrize("outcome", [LookupOutcome.NODATA, LookupOutcome.NXDOMAIN])
    async def test_a_denial_lives_for_its_ttl(
        self, clock: HandClock, outcome: LookupOutcome
    ) -> None:
        """RFC 2308: denials are answers."""
        denial = replace(FOUND, outcome=outcome, records=(), ttl_seconds=60)
        assert not await self.asks_again_after(clock, denial, 59)
        assert await self.asks_again_after(clock, denial, 60)

    async def test_no_answer_lives_beyond_the_ceiling(self, clock: HandClock) -> None:
        """A TTL of a day is cut to an hour."""
        assert not await self.asks_again_after(clock, replace(FOUND, ttl_seconds=86_400), 3599)
        assert await self.asks_again_after(clock, replace(FOUND, ttl_seconds=86_400), 3600)

    @pytest.mark.parametrize("ttl", [0, None])
    async def test_without_a_ttl_nothing_is_kept(self, clock: HandClock, ttl: int | None) -> None:
        """TTL 0, and a denial that does not say how long it holds."""
        assert await self.asks_again_after(clock, replace(FOUND, ttl_seconds=ttl), 0)

    @pytest.mark.parametrize(
        "error",
        [
            {"outcome": LookupOutcome.SERVFAIL, "status": None},
            {"outcome": LookupOutcome.SERVFAIL, "status": DnssecStatus.BOGUS},
            {"outcome": LookupOutcome.TIMEOUT, "status": None},
            {"outcome": LookupOutcome.LOOP, "status": DnssecStatus.SECURE},
        ],
    )
    async def test_an_error_lives_for_seconds(
        self, clock: HandClock, error: dict[str, object]
    ) -> None:
        """The domains of one pass share it; a retry is a fresh look, whatever TTL it came with."""
        lookup = replace(FOUND, records=(), **error)  # type: ignore[arg-type]
        assert not await self.asks_again_after(clock, lookup, 4)
        assert await self.asks_again_after(clock, lookup, 5)

    async def test_what_failed_on_our_side_is_not_kept(self, clock: HandClock) -> None:
        """An own fault is asked again at once, also when it came with records."""
        assert await self.asks_again_after(clock, replace(FOUND, own_fault="no route"), 0)

    async def test_a_clock_set_back_does_not_lengthen_a_ttl(self, clock: HandClock) -> None:
        """Before the moment it was kept an entry is stale as well."""
        assert await self.asks_again_after(clock, FOUND, -1)

    async def test_errors_are_forgotten_on_request(self, clock: HandClock) -> None:
        """A second look is answered by no remembered failure; answers stay."""
        inner = FakeResolver()
        cache = CachingResolver(inner, clock=clock)
        other = Question(Name("dead.example.org"), RRType.A)
        await cache.lookup(Q)
        inner.answer = replace(FOUND, outcome=LookupOutcome.TIMEOUT, status=None, records=())
        await cache.lookup(other)
        cache.forget_errors()
        await cache.lookup(Q)
        await cache.lookup(other)
        assert inner.asked == [Q, other, other]

    async def test_name_and_type_tell_entries_apart(self, clock: HandClock) -> None:
        """A and AAAA of one host are two questions."""
        inner = FakeResolver()
        cache = CachingResolver(inner, clock=clock)
        await cache.lookup(Q)
        await cache.lookup(Question(Q.name, RRType.AAAA))
        assert len(inner.asked) == 2


class TestBounds:
    async def test_the_least_recently_used_entry_goes_first(self, clock: HandClock) -> None:
        """With room for two, the third pushes out the one not asked for longest."""
        inner = FakeResolver()
        cache = CachingResolver(inner, clock=clock, limits=CacheLimits(max_entries=2))
        a, b, c = (Question(Name(f"{x}.test"), RRType.A) for x in "abc")
        for question in (a, b, a, c, a, b):
            await cache.lookup(question)
        assert inner.asked == [a, b, c, b]
        assert cache.statistics().entries == 2
        assert cache.statistics().evictions == 2

    async def test_size_is_bounded_as_well(self, clock: HandClock) -> None:
        """Large RRsets push out more; one larger than everything is not kept at all."""
        large = tuple(
            TlsaRecord(usage=3, selector=0, matching_type=0, data=b"x" * 1000) for _ in range(10)
        )
        inner = FakeResolver(replace(FOUND, records=large))
        size = estimated_octets(inner.answer)
        assert size > 10_000
        cache = CachingResolver(inner, clock=clock, limits=CacheLimits(max_octets=2 * size))
        for name in "abc":
            await cache.lookup(Question(Name(f"{name}.test"), RRType.TLSA))
        assert cache.statistics().entries == 2
        assert cache.statistics().octets == 2 * size
        inner.answer = replace(FOUND, records=large * 3)
        await cache.lookup(Question(Name("d.test"), RRType.TLSA))
        assert cache.statistics().entries == 2
        clock.advance(301)
        inner.answer = replace(FOUND, ttl_seconds=0)
        for name in "abcd":
            await cache.lookup(Question(Name(f"{name}.test"), RRType.TLSA))
        assert cache.statistics().octets == 0

    def test_whatever_a_partner_can_make_large_is_counted(self) -> None:
        """Text, aliases and extended errors weigh too."""
        base = estimated_octets(FOUND)
        hop = AliasHop(owner=Name("a"), target=Name("b"), status=None)
        for heavier in (
            replace(FOUND, records=(OtherRecord(text="x" * 5000),)),
            replace(FOUND, aliases=(hop,) * 16),
            replace(FOUND, extended_errors=(ExtendedError(code=6, text="x" * 500),)),
        ):
            assert estimated_octets(heavier) > base


class TestSingleFlight:
    async def test_a_question_in_flight_is_joined(self, clock: HandClock) -> None:
        """Five hundred domains on one host make one query."""
        inner = FakeResolver(replace(FOUND, ttl_seconds=0))
        inner.gate = trio.Event()
        cache = CachingResolver(inner, clock=clock)
        found: list[Lookup] = []

        async def one() -> None:
            found.append(await cache.lookup(Q))

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            assert cache.statistics().in_flight == 1
            inner.gate.set()
        assert len(found) == 500
        assert len(inner.asked) == 1
        assert cache.statistics().joins == 499

    async def test_when_the_one_who_asks_is_cancelled_another_asks(self, clock: HandClock) -> None:
        """The leader's deadline is not the waiters': one of them takes over, all get an answer."""
        inner = FakeResolver()
        inner.gate = trio.Event()
        cache = CachingResolver(inner, clock=clock)
        found: list[Lookup] = []

        async def lead(scope: trio.CancelScope) -> None:
            with scope:
                await cache.lookup(Q)

        async def follow() -> None:
            found.append(await cache.lookup(Q))

        leader = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead, leader)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            leader.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(inner.asked) == 2
            inner.gate.set()
        assert leader.cancelled_caught
        assert [lookup.outcome for lookup in found] == [LookupOutcome.DATA] * 5
        assert len(inner.asked) == 2
        assert cache.statistics().in_flight == 0

    async def test_a_waiter_that_gives_up_disturbs_nobody(self, clock: HandClock) -> None:
        """Cancelling a waiter leaves the question in flight."""
        inner = FakeResolver()
        inner.gate = trio.Event()
        cache = CachingResolver(inner, clock=clock)
        found: list[Lookup] = []

        async def lead() -> None:
            found.append(await cache.lookup(Q))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                scope.cancel()
                await cache.lookup(Q)
            assert scope.cancelled_caught
            inner.gate.set()
        assert len(found) == 1

    async def test_a_bug_below_reaches_everyone_and_hangs_nobody(self, clock: HandClock) -> None:
        """An exception from the resolver is everyone's own, and nothing stays in flight."""
        inner = FakeResolver()
        inner.gate = trio.Event()
        inner.error = RuntimeError("a bug")
        cache = CachingResolver(inner, clock=clock)
        failures: list[str] = []

        async def one() -> None:
            try:
                await cache.lookup(Q)
            except RuntimeError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            inner.gate.set()
        assert failures == ["a bug"] * 3
        assert cache.statistics().in_flight == 0


class TestForgetting:
    async def test_everything_is_forgotten_on_request(self, clock: HandClock) -> None:
        """What a resolver said while it could not be trusted is asked again."""
        inner = FakeResolver()
        cache = CachingResolver(inner, clock=clock)
        await cache.lookup(Q)
        cache.forget_all()
        assert cache.statistics().octets == 0
        await cache.lookup(Q)
        assert len(inner.asked) == 2

    async def test_what_is_on_its_way_is_forgotten_too(self, clock: HandClock) -> None:
        """An answer to a question asked before is given to its asker and not remembered."""
        inner = FakeResolver()
        inner.gate = trio.Event()
        cache = CachingResolver(inner, clock=clock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.lookup, Q)
            await trio.testing.wait_all_tasks_blocked()
            cache.forget_all()
            inner.gate.set()
        assert cache.statistics().entries == 0
        assert cache.statistics().in_flight == 0

    async def test_what_is_on_its_way_is_not_joined_any_more(self, clock: HandClock) -> None:
        """A question asked afterwards is a query of its own, and remembered."""
        inner = FakeResolver()
        inner.gate = trio.Event()
        cache = CachingResolver(inner, clock=clock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.lookup, Q)
            await trio.testing.wait_all_tasks_blocked()
            cache.forget_all()
            nursery.start_soon(cache.lookup, Q)
            await trio.testing.wait_all_tasks_blocked()
            assert len(inner.asked) == 2
            inner.gate.set()
        assert cache.statistics().entries == 1
        assert cache.statistics().joins == 0


class TestCounting:
    async def test_requests_and_hits_are_counted_and_told(self, clock: HandClock) -> None:
        """One miss, two hits; the hook hears the same."""
        heard: list[bool] = []
        cache = CachingResolver(FakeResolver(), clock=clock, on_request=heard.append)
        for _ in range(3):
            await cache.lookup(Q)
        counted = cache.statistics()
        assert (counted.requests, counted.hits) == (3, 2)
        assert heard == [False, True, True]


def test_the_system_clock_is_aware_and_in_utc() -> None:
    """Two readings are in order and carry UTC."""
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert first <= second
