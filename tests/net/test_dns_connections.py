"""The ways of a TCP connection and of waiting questions that no real server shows on demand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from dns_replies import reply, rr

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.dnsstatistics import Counters
from scanner.observe.dnstcp import ConnectionLostError, TcpChannel
from scanner.observe.inflight import ID_COUNT, InFlight
from scanner.wire.dnsmsg import ReplyKind

Q = Question(Name("example.org"), RRType.A)
SERVER = ServerAddress("192.0.2.53")


def answer_to(octets: bytes) -> bytes:
    """The framed answer to a framed query."""
    wire = reply(
        ("example.org", "A"),
        query_id=int.from_bytes(octets[2:4]),
        answer=[rr("example.org", "A", "192.0.2.1")],
    )
    return len(wire).to_bytes(2) + wire


class Connections:
    """Hands out in-memory connections; a test holds the other ends."""

    def __init__(self) -> None:
        self.peers: list[trio.testing.MemoryReceiveStream] = []
        self.back: list[trio.testing.MemorySendStream] = []
        self.opened = trio.Event()

    async def connect(self, address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        assert (address, port) == ("192.0.2.53", 53)
        ours, theirs = trio.testing.memory_stream_pair()
        assert theirs.receive_stream is not None
        assert theirs.send_stream is not None
        self.peers.append(theirs.receive_stream)
        self.back.append(theirs.send_stream)
        self.opened.set()
        return ours

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[TcpChannel]:
        async with trio.open_nursery() as nursery:
            yield TcpChannel(
                SERVER,
                limits=DnsLimits(),
                nursery=nursery,
                counters=Counters(),
                connect=self.connect,
            )
            nursery.cancel_scope.cancel()


class TestConnection:
    async def test_a_reply_in_single_octets_is_put_together(self) -> None:
        """Segments may be cut anywhere, also inside the length."""
        connections = Connections()
        async with connections.channel() as channel, trio.open_nursery() as nursery:

            async def serve() -> None:
                octets = await connections.peers[0].receive_some(4096)
                for octet in answer_to(bytes(octets)):
                    await connections.back[0].send_all(bytes([octet]))

            async def ask() -> None:
                found = await channel.ask(Q, checking_disabled=False)
                assert found.kind is ReplyKind.DATA

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(serve)

    async def test_a_peer_gone_before_the_query_is_sent(self) -> None:
        """Sending fails: the connection is lost, and a fresh one is not tried a second time."""
        connections = Connections()

        async def connect_to_nobody(address: str, port: int) -> trio.abc.Stream:
            stream = await connections.connect(address, port)
            connections.peers[-1].close()
            return stream

        async with trio.open_nursery() as nursery:
            channel = TcpChannel(
                SERVER,
                limits=DnsLimits(),
                nursery=nursery,
                counters=Counters(),
                connect=connect_to_nobody,
            )
            with pytest.raises(ConnectionLostError):
                await channel.ask(Q, checking_disabled=False)
            assert len(connections.peers) == 1
            nursery.cancel_scope.cancel()

    async def test_a_query_cut_off_ends_the_connection_for_all(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """After half a message nothing more may be sent; those who wait are told at once."""
        connections = Connections()
        stuck = trio.Event()

        class Choking(trio.abc.Stream):
            """Takes one message, then blocks for ever."""

            sent = 0

            async def send_all(self, data: bytes | bytearray | memoryview) -> None:
                self.sent += 1
                if self.sent > 1:
                    stuck.set()
                    await trio.sleep_forever()
                await trio.lowlevel.checkpoint()

            async def wait_send_all_might_not_block(self) -> None:
                await trio.lowlevel.checkpoint()

            async def receive_some(self, max_bytes: int | None = None) -> bytes:
                await trio.sleep_forever()
                return b""

            async def aclose(self) -> None:
                await trio.lowlevel.checkpoint()

        opened: list[trio.abc.Stream] = []

        async def connect(address: str, port: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            stream = Choking() if not opened else await connections.connect(address, port)
            opened.append(stream)
            return stream

        failed: list[Exception] = []
        answered: list[ReplyKind] = []
        async with trio.open_nursery() as readers:
            channel = TcpChannel(
                SERVER,
                limits=DnsLimits(),
                nursery=readers,
                counters=Counters(),
                connect=connect,
            )

            async def first() -> None:
                try:
                    await channel.ask(Q, checking_disabled=False)
                except OwnSideError as error:
                    failed.append(error)

            async def cut_off() -> None:
                with trio.move_on_after(1.0):
                    await channel.ask(Q, checking_disabled=False)

            async def next_in_line() -> None:
                answered.append((await channel.ask(Q, checking_disabled=False)).kind)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(first)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(cut_off)
                await stuck.wait()
                nursery.start_soon(next_in_line)  # waits for its turn to send
                await connections.opened.wait()
                octets = await connections.peers[0].receive_some(4096)
                await connections.back[0].send_all(answer_to(bytes(octets)))
            readers.cancel_scope.cancel()
        assert [type(error) for error in failed] == [ConnectionLostError]
        assert answered == [ReplyKind.DATA]
        assert len(opened) == 2

    async def test_a_reset_is_told_in_words(self) -> None:
        """Reading fails: the reason reaches whoever waits."""

        asked = trio.Event()

        async def reset() -> None:
            await asked.wait()
            raise trio.BrokenResourceError

        async def note() -> None:
            await trio.lowlevel.checkpoint()
            asked.set()

        incoming = trio.testing.MemoryReceiveStream(receive_some_hook=reset)
        outgoing = trio.testing.MemorySendStream(send_all_hook=note)

        async def connect(address: str, port: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            return trio.StapledStream(outgoing, incoming)

        async with trio.open_nursery() as nursery:
            channel = TcpChannel(
                SERVER,
                limits=DnsLimits(),
                nursery=nursery,
                counters=Counters(),
                connect=connect,
            )
            with pytest.raises(ConnectionLostError, match=r"192\.0\.2\.53:53 did not answer"):
                await channel.ask(Q, checking_disabled=False)
            nursery.cancel_scope.cancel()


class TestInFlight:
    async def test_a_reply_may_come_before_the_wait(self) -> None:
        """Over TCP sending can block long enough for that."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Q)
        wire = answer_to(b"\x00\x00" + query_id.to_bytes(2))[2:]
        assert in_flight.deliver(wire)
        assert not in_flight.deliver(wire)
        assert await in_flight.wait(query_id) == wire

    async def test_a_failure_may_come_before_the_wait(self) -> None:
        """It is not lost, and does not touch those already answered."""
        in_flight = InFlight()
        done, failed = in_flight.reserve(Q), in_flight.reserve(Q)
        wire = answer_to(b"\x00\x00" + done.to_bytes(2))[2:]
        assert in_flight.deliver(wire)
        in_flight.fail_all(lambda: OwnSideError("gone"))
        assert await in_flight.wait(done) == wire
        with pytest.raises(OwnSideError, match="gone"):
            await in_flight.wait(failed)
        in_flight.reserve(Q)  # a failure for now does not close

    async def test_closed_is_closed(self) -> None:
        """No new question is taken."""
        in_flight = InFlight()
        in_flight.close(lambda: OwnSideError("closed"))
        with pytest.raises(OwnSideError, match="closed"):
            in_flight.reserve(Q)

    async def test_a_cancelled_wait_leaves_nothing_behind(self) -> None:
        """A reply that comes after the deadline finds nobody, and harms nobody."""
        in_flight = InFlight()
        query_id = in_flight.reserve(Q)
        with trio.CancelScope() as scope:
            scope.cancel()
            await in_flight.wait(query_id)
        assert scope.cancelled_caught
        assert in_flight.deliver(answer_to(b"\x00\x00" + query_id.to_bytes(2))[2:])
        in_flight.release(query_id)
        assert len(in_flight) == 0
        assert not in_flight.deliver(answer_to(b"\x00\x00" + query_id.to_bytes(2))[2:])

    async def test_ids_in_flight_are_never_used_twice(self) -> None:
        """Even with nearly all of them taken, a free one is found."""
        in_flight = InFlight()
        taken = {in_flight.reserve(Q) for _ in range(ID_COUNT - 64)}
        assert len(taken) == ID_COUNT - 64
        assert in_flight.reserve(Q) not in taken
