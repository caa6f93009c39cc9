"""One timer for many waits: each ends at its own time, and only if nothing came before."""

import math
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from dns_replies import reply, rr

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.deadlines import deadlines
from scanner.observe.dnsserver import OwnSideError
from scanner.observe.inflight import InFlight, random_below
from scanner.observe.net import ExpiredError, TcpStream

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
        in_flight = InFlight()
        ended: list[tuple[float, float]] = []

        async def wait(until: float) -> None:
            query_id = in_flight.reserve(Q)
            assert await in_flight.wait_until(query_id, until) is None
            in_flight.release(query_id)
            ended.append((until, trio.current_time()))

        async with trio.open_nursery() as nursery:
            for until in (3.0, 5.0, 1.0, 3.0, 0.5):
                nursery.start_soon(wait, until)
                await trio.testing.wait_all_tasks_blocked()
        assert ended == [(0.5, 0.5), (1.0, 1.0), (3.0, 3.0), (3.0, 3.0), (5.0, 5.0)]
        assert len(deadlines()) == 0
        assert len(in_flight) == 0

    async def test_a_time_already_over_ends_the_wait(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """At once, and not never."""
        in_flight = InFlight()
        assert await in_flight.wait_until(in_flight.reserve(Q), -1.0) is None
        assert trio.current_time() == 0

    async def test_what_is_settled_is_left_alone(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A reply before the time is the reply, whatever happens afterwards."""
        in_flight = InFlight()
        got: list[bytes | None] = []

        async def wait(query_id: int) -> None:
            got.append(await in_flight.wait_until(query_id, 3.0))
            await trio.sleep(5)

        query_id = in_flight.reserve(Q)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, query_id)
            await trio.testing.wait_all_tasks_blocked()
            assert in_flight.deliver(answer(query_id))
        assert got == [answer(query_id)]
        assert len(deadlines()) == 0

    async def test_a_failure_before_the_time_is_raised(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """As for those who wait without end."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Q)
        in_flight.fail_all(lambda: OwnSideError("gone"))
        with pytest.raises(OwnSideError, match="gone"):
            await in_flight.wait_until(query_id, math.inf)

    async def test_a_cancelled_wait_is_not_woken_again(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Its line in the heap ends nothing."""
        in_flight = InFlight()
        with trio.move_on_at(1.0) as scope:
            await in_flight.wait_until(in_flight.reserve(Q), 2.0)
        assert scope.cancelled_caught
        await trio.sleep(5)
        assert len(deadlines()) == 0

    async def test_a_late_reply_finds_nobody(self, autojump_clock: trio.testing.MockClock) -> None:
        """It counts as a stray."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Q)
        assert await in_flight.wait_until(query_id, 1.0) is None
        assert not in_flight.deliver(answer(query_id))

    async def test_what_is_put_off_ends_at_the_later_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """One line in the heap serves a stream of many steps."""
        ended: list[float] = []

        class Step:
            due = 1.0

            def expire(self) -> None:
                ended.append(trio.current_time())

        step = Step()
        deadlines().add(step)
        await trio.sleep(0.5)
        step.due = 4.0
        await trio.sleep(10)
        assert ended == [4.0]


class TestTcpStream:
    """Our own stream over real sockets."""

    @pytest.fixture
    async def pair(self) -> AsyncIterator[tuple[TcpStream, socket.socket]]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stream = TcpStream(ours)
        yield stream, theirs
        stream.close()
        theirs.close()

    async def test_octets_go_both_ways_and_end(self, pair: tuple[TcpStream, socket.socket]) -> None:
        """As for any stream."""
        stream, theirs = pair
        await stream.send_all(b"hello")
        assert theirs.recv(10) == b"hello"
        theirs.sendall(b"hi")
        assert await stream.receive_some(10) == b"hi"
        theirs.shutdown(socket.SHUT_WR)
        assert await stream.receive_some(10) == b""

    async def test_more_than_the_kernel_takes_is_sent_whole(
        self, pair: tuple[TcpStream, socket.socket]
    ) -> None:
        """Sending waits for the peer to read."""
        stream, theirs = pair
        data = bytes(range(256)) * 8_192
        got = bytearray()

        def read_all() -> None:
            while len(got) < len(data):
                got.extend(theirs.recv(65_536))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, read_all)
            await stream.send_all(data)
        assert bytes(got) == data

    @pytest.mark.parametrize("sending", [False, True])
    async def test_a_wait_ends_at_its_time(
        self,
        pair: tuple[TcpStream, socket.socket],
        sending: bool,
        autojump_clock: trio.testing.MockClock,
    ) -> None:
        """Reading and writing; the time of the step that waits counts, not of one before it."""
        stream, _ = pair
        stream.end_at(20.0)
        with trio.move_on_after(2):
            await stream.receive_some(10)
        stream.end_at(5.0)
        with pytest.raises(ExpiredError):
            await (stream.send_all(bytes(10_000_000)) if sending else stream.receive_some(10))
        assert trio.current_time() == 5.0
        stream.end_at(7.0)
        with pytest.raises(ExpiredError):
            await stream.receive_some(10)
        assert trio.current_time() == 7.0

    async def test_time_spent_elsewhere_ends_nothing_but_the_next_wait(
        self, pair: tuple[TcpStream, socket.socket], autojump_clock: trio.testing.MockClock
    ) -> None:
        """A later step with time of its own is not ended by the one before."""
        stream, theirs = pair
        theirs.sendall(b"one")
        stream.end_at(1.0)
        assert await stream.receive_some(10) == b"one"
        await trio.sleep(3)
        stream.end_at(9.0)
        theirs.sendall(b"two")
        assert await stream.receive_some(10) == b"two"
        with pytest.raises(ExpiredError):
            await stream.receive_some(10)
        assert trio.current_time() == 9.0

    async def test_a_closed_stream_is_closed(self, pair: tuple[TcpStream, socket.socket]) -> None:
        """For who waits and for who comes later."""
        stream, _ = pair

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")
        stream.close()


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
