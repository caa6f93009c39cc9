"""One timer for many waits: each ends at its own time, and only if nothing came before."""

import math

import pytest
import trio
import trio.testing
from dns_replies import reply, rr

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.deadlines import Deadlines
from scanner.observe.dnsserver import OwnSideError
from scanner.observe.inflight import InFlight, random_below

Q = Question(Name("example.org"), RRType.A)


def answer(query_id: int, name: str = "example.org", flags: int | None = None) -> bytes:
    """Return a reply with this id."""
    wire = reply((name, "A"), query_id=query_id, answer=[rr(name, "A", "192.0.2.1")])
    return wire if flags is None else wire[:2] + flags.to_bytes(2) + wire[4:]


class TestDeadlines:
    async def test_each_wait_ends_at_its_own_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Also one that was added later and ends earlier."""
        deadlines, in_flight = Deadlines(), InFlight()
        ended: list[tuple[float, float]] = []

        async def wait(until: float) -> None:
            query_id = in_flight.reserve(Q)
            assert await in_flight.wait_until(query_id, deadlines, until) is None
            in_flight.release(query_id)
            ended.append((until, trio.current_time()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            async with trio.open_nursery() as waits:
                for until in (3.0, 5.0, 1.0, 3.0, 0.5):
                    waits.start_soon(wait, until)
                    await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert ended == [(0.5, 0.5), (1.0, 1.0), (3.0, 3.0), (3.0, 3.0), (5.0, 5.0)]
        assert len(deadlines) == 0
        assert len(in_flight) == 0

    async def test_a_time_already_over_ends_the_wait(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """At once, and not never."""
        deadlines, in_flight = Deadlines(), InFlight()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            query_id = in_flight.reserve(Q)
            assert await in_flight.wait_until(query_id, deadlines, -1.0) is None
            assert trio.current_time() == 0
            nursery.cancel_scope.cancel()

    async def test_what_is_settled_is_left_alone(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A reply before the time is the reply, whatever happens afterwards."""
        deadlines, in_flight = Deadlines(), InFlight()
        got: list[bytes | None] = []

        async def wait(query_id: int) -> None:
            got.append(await in_flight.wait_until(query_id, deadlines, 3.0))
            await trio.sleep(5)

        query_id = in_flight.reserve(Q)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            async with trio.open_nursery() as waits:
                waits.start_soon(wait, query_id)
                await trio.testing.wait_all_tasks_blocked()
                assert in_flight.deliver(answer(query_id))
            nursery.cancel_scope.cancel()
        assert got == [answer(query_id)]
        assert len(deadlines) == 0

    async def test_a_failure_before_the_time_is_raised(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """As for those who wait without end."""
        deadlines, in_flight = Deadlines(), InFlight()
        query_id = in_flight.reserve(Q)
        in_flight.fail_all(lambda: OwnSideError("gone"))
        with pytest.raises(OwnSideError, match="gone"):
            await in_flight.wait_until(query_id, deadlines, math.inf)

    async def test_a_cancelled_wait_is_not_woken_again(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Its line in the heap ends nothing."""
        deadlines, in_flight = Deadlines(), InFlight()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            with trio.move_on_at(1.0) as scope:
                await in_flight.wait_until(in_flight.reserve(Q), deadlines, 2.0)
            assert scope.cancelled_caught
            await trio.sleep(5)
            assert len(deadlines) == 0
            nursery.cancel_scope.cancel()

    async def test_a_late_reply_finds_nobody(self, autojump_clock: trio.testing.MockClock) -> None:
        """It counts as a stray."""
        deadlines, in_flight = Deadlines(), InFlight()
        query_id = in_flight.reserve(Q)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            assert await in_flight.wait_until(query_id, deadlines, 1.0) is None
            nursery.cancel_scope.cancel()
        assert not in_flight.deliver(answer(query_id))


class TestEcho:
    """What is compared as octets is what the plain comparison of names says."""

    @pytest.mark.parametrize(
        ("name", "flags", "accepted"),
        [
            ("example.org", None, True),
            ("EXAMPLE.org", None, True),  # some servers do not keep the case
            ("example.com", None, False),
            ("example.org", 0x0100, False),  # a query
            ("example.org", 0xA180, False),  # another opcode
        ],
    )
    def test_the_question_must_come_back(
        self, name: str, flags: int | None, accepted: bool
    ) -> None:
        """Response bit, opcode and question."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Q)
        assert in_flight.deliver(answer(query_id, name, flags)) is accepted

    def test_a_name_that_cannot_be_sent_is_answered_by_nothing(self) -> None:
        """Whatever comes back."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Question(Name("a..b"), RRType.A))
        assert not in_flight.deliver(answer(query_id))


def test_random_numbers_fill_their_range() -> None:
    """Every number below the limit comes, and no other."""
    assert {random_below(16) for _ in range(2_000)} == set(range(16))
    many = [random_below(65_536) for _ in range(5_000)]
    assert len(set(many)) > 4_000
    assert max(many) < 65_536
