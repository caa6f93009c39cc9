"""The DNS client over real sockets against servers that misbehave, on loopback only.

Time is real here, so limits are small where a test waits for one, and large where it must not.
"""

import errno
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import pytest
import trio
from dns_replies import AD, QR, SERVFAIL, TC, opt, reply, rr
from dns_servers import DnsServer, Line, Query, Script, dns_server

from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import AddressRecord, ExtendedError, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.observe.dnsserver import (
    DnsLimits,
    InvalidServerError,
    ServerAddress,
    parse_server,
)
from scanner.observe.resolver import StubResolver, open_resolver

Q = Question(Name("example.org"), RRType.A)
TLSA = Question(tlsa_owner(Name("mx.example.org")), RRType.TLSA)
PATIENT = DnsLimits(try_timeout_seconds=60.0, total_timeout_seconds=120.0, tries=1)
"""For tests that must not reach a timeout, however busy the machine."""
HASTY = DnsLimits(try_timeout_seconds=0.1, total_timeout_seconds=1.0, tries=2, max_lag_seconds=60)
"""For tests that wait for one."""
SECURE = QR | AD


class FixedClock:
    """Always noon."""

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def asking(
    script: Script, *, limits: DnsLimits = PATIENT, tcp: bool = True
) -> AsyncIterator[tuple[StubResolver, DnsServer]]:
    """A resolver that asks one server playing ``script``."""
    async with dns_server(script, tcp=tcp) as server:
        address = ServerAddress("127.0.0.1", server.port)
        async with open_resolver([address], limits=limits, clock=FixedClock()) as resolver:
            yield resolver, server


def answer(query: Query, **fields: object) -> bytes:
    """The answer 192.0.2.1 to any address question."""
    given = {"query_id": query.query_id, "flags": SECURE} | fields
    return reply(
        query.question,
        answer=[rr(f"{query.first_label}.org", "A", "192.0.2.1")],
        **given,  # type: ignore[arg-type]
    )


async def honest(query: Query, line: Line) -> None:
    await line.send(answer(query))


class TestForgeries:
    @pytest.mark.parametrize(
        "forge",
        [
            lambda q: answer(q, query_id=q.query_id ^ 0x5555),
            lambda q: reply(("example.net", "A"), query_id=q.query_id),
            lambda q: reply(("example.org", "AAAA"), query_id=q.query_id),
            lambda q: answer(q, flags=0),
            lambda q: answer(q, flags=QR | 0x2000),
            lambda _: b"",
            lambda q: q.octets[:2],
            lambda q: q.octets,
        ],
        ids=["id", "name", "type", "query", "opcode", "empty", "short", "mirror"],
    )
    async def test_a_message_that_is_not_the_reply_is_ignored(
        self, forge: Callable[[Query], bytes]
    ) -> None:
        """Wrong id, wrong question, no response: dropped, and the true reply still counts."""

        async def script(query: Query, line: Line) -> None:
            await line.send(forge(query))
            await line.send(answer(query))

        async with asking(script) as (resolver, server):
            found = await resolver.lookup(Q)
        assert found.records == (AddressRecord(address="192.0.2.1"),)
        assert len(server.queries) == 1
        assert resolver.statistics().strays == 1

    async def test_a_reply_from_another_port_never_arrives(self) -> None:
        """The socket is connected: a forger elsewhere is dropped by the kernel."""

        async def script(query: Query, line: Line) -> None:
            with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as other:
                await other.sendto(answer(query, rcode=3), query.client)
            await line.send(answer(query))

        async with asking(script) as (resolver, _):
            found = await resolver.lookup(Q)
        assert found.has_data
        assert resolver.statistics().strays == 0

    async def test_a_second_reply_is_ignored(self) -> None:
        """The first whole reply counts; a duplicate disturbs nobody."""

        async def script(query: Query, line: Line) -> None:
            await line.send(answer(query))
            await line.send(answer(query, rcode=3))

        async with asking(script) as (resolver, _):
            assert (await resolver.lookup(Q)).has_data
            assert (await resolver.lookup(Q)).has_data

    async def test_ports_and_ids_are_spread(self) -> None:
        """RFC 5452: queries go out over many ports, sockets are replaced, ids do not repeat."""
        limits = DnsLimits(sockets_per_server=4, queries_per_socket=5)
        async with asking(honest, limits=limits) as (resolver, server):
            for _ in range(80):
                assert (await resolver.lookup(Q)).has_data
            assert 16 <= len(server.ports_seen) <= 20
            assert len({query.query_id for query in server.queries}) > 70
            assert len(os.listdir("/proc/self/fd")) < 60


class TestGarbage:
    @pytest.mark.parametrize(
        "garbage",
        [
            lambda q: q.query_id.to_bytes(2) + b"\x80\x00" + b"\xff" * 40,
            lambda q: reply(b"\xc0\x0c\x00\x01\x00\x01", query_id=q.query_id),
            lambda q: answer(q, tail=b"junk"),
            lambda q: answer(q, counts=(40_000, 0, 1)),
            lambda q: answer(q)[:-4],
            lambda q: reply(
                q.question,
                query_id=q.query_id,
                additional=(),
                counts=(1, 0, 0),
                tail=b"\xc0\x1d" + b"\x00" * 10,
            ),
        ],
        ids=["noise", "question-loop", "junk", "count", "cut", "owner-loop"],
    )
    async def test_a_broken_reply_is_malformed_and_the_next_server_is_asked(
        self, garbage: Callable[[Query], bytes]
    ) -> None:
        """Our id and no readable message: the server is broken, and another one may do better."""

        async def script(query: Query, line: Line) -> None:
            await line.send(garbage(query))

        async with (
            dns_server(script) as broken,
            dns_server(honest) as good,
        ):
            addresses = [ServerAddress("127.0.0.1", server.port) for server in (broken, good)]
            async with open_resolver(addresses, limits=PATIENT, clock=FixedClock()) as resolver:
                found = await resolver.lookup(Q)
                assert found.resolver == f"127.0.0.1:{good.port}"
                assert found.has_data
            async with open_resolver(addresses[:1], limits=PATIENT, clock=FixedClock()) as resolver:
                found = await resolver.lookup(Q)
                assert found.outcome is LookupOutcome.MALFORMED
                assert found.own_fault is None


class TestValidation:
    async def test_servfail_with_an_answer_behind_it_is_bogus(self) -> None:
        """Case 3 and T10: over the wire, CD=1 is set in exactly one query."""

        async def script(query: Query, line: Line) -> None:
            if query.cd:
                await line.send(answer(query, flags=QR))
            else:
                errors = [opt((7, b"signature expired"))]
                await line.send(
                    reply(
                        query.question, query_id=query.query_id, rcode=SERVFAIL, additional=errors
                    )
                )

        async with asking(script) as (resolver, server):
            found = await resolver.lookup(Q)
        assert (found.outcome, found.status) == (LookupOutcome.SERVFAIL, DnssecStatus.BOGUS)
        assert found.extended_errors == (ExtendedError(code=7, text="signature expired"),)
        assert found.records == ()
        assert [query.cd for query in server.queries] == [False, True, False]


class TestSilence:
    async def test_no_answer_is_a_timeout(self) -> None:
        """Case 46's other end: every try is sent, none is answered."""

        async def script(query: Query, line: Line) -> None:
            await trio.lowlevel.checkpoint()

        async with asking(script, limits=HASTY) as (resolver, server):
            found = await resolver.lookup(Q)
        assert found.outcome is LookupOutcome.TIMEOUT
        assert found.own_fault is None
        assert len(server.queries) == 2

    async def test_a_late_reply_to_an_abandoned_try_disturbs_nobody(self) -> None:
        """The second try is answered, then the first: one counts, one is dropped."""
        lines: list[tuple[Query, Line]] = []

        async def script(query: Query, line: Line) -> None:
            lines.append((query, line))
            if len(lines) == 2:
                for then, back in lines:
                    await back.send(answer(then))

        limits = DnsLimits(
            try_timeout_seconds=0.2, total_timeout_seconds=60.0, tries=50, max_lag_seconds=60
        )
        async with asking(script, limits=limits) as (resolver, _):
            assert (await resolver.lookup(Q)).has_data

    async def test_five_hundred_in_flight_answered_in_reverse(self) -> None:
        """Replies find their questions in any order, whatever the socket."""
        waiting: list[tuple[Query, Line]] = []
        everyone = trio.Event()

        async def script(query: Query, line: Line) -> None:
            waiting.append((query, line))
            if len(waiting) == 500:
                everyone.set()

        found: dict[str, str] = {}

        async with asking(script) as (resolver, _):

            async def one(number: int) -> None:
                question = Question(Name(f"n{number}.org"), RRType.A)
                lookup = await resolver.lookup(question)
                (record,) = lookup.records
                assert isinstance(record, AddressRecord)
                found[question.name] = record.address

            async with trio.open_nursery() as nursery:
                for number in range(500):
                    nursery.start_soon(one, number)
                await everyone.wait()
                assert resolver.statistics().lookups_in_flight == 500
                for query, line in reversed(waiting):
                    number = int(query.first_label[1:])
                    text = f"10.0.{number // 256}.{number % 256}"
                    record = rr(f"n{number}.org", "A", text)
                    await line.send(reply(query.question, query_id=query.query_id, answer=[record]))
        assert found == {f"n{i}.org": f"10.0.{i // 256}.{i % 256}" for i in range(500)}


class TestOwnSide:
    async def test_nobody_listening_is_noticed_at_once(self) -> None:
        """ECONNREFUSED ends the wait, and is our own fault."""
        async with dns_server(honest) as server:
            address = ServerAddress("127.0.0.1", server.port)
        async with open_resolver([address], limits=PATIENT, clock=FixedClock()) as resolver:
            found = await resolver.lookup(Q)
        assert found.own_fault == f"nothing listens at the resolver {address}"
        assert found.is_error

    async def test_a_refusal_reaches_everyone_on_the_socket(self) -> None:
        """The kernel tells one of them; the others would wait in vain."""
        async with dns_server(honest) as server:
            address = ServerAddress("127.0.0.1", server.port)
        found: list[str | None] = []
        limits = DnsLimits(
            sockets_per_server=1, tries=1, try_timeout_seconds=60, total_timeout_seconds=120
        )
        async with open_resolver([address], limits=limits, clock=FixedClock()) as resolver:

            async def one() -> None:
                found.append((await resolver.lookup(Q)).own_fault)

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(one)
        assert found == [f"nothing listens at the resolver {address}"] * 5

    async def test_a_resolver_that_comes_back_is_used_again(self) -> None:
        """A refused question spoils neither the sockets nor the next question."""
        async with dns_server(honest) as server:
            pass
        sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        address = ServerAddress("127.0.0.1", server.port)
        limits = DnsLimits(sockets_per_server=1, try_timeout_seconds=60)
        with sock:
            async with open_resolver([address], limits=limits, clock=FixedClock()) as resolver:
                assert (await resolver.lookup(Q)).own_fault is not None
                await sock.bind(("127.0.0.1", server.port))
                async with trio.open_nursery() as nursery:

                    async def serve() -> None:
                        octets, client = await sock.recvfrom(4096)
                        query = Query(octets=octets, over_tcp=False, client=client)
                        await sock.sendto(answer(query), client)

                    nursery.start_soon(serve)
                    assert (await resolver.lookup(Q)).has_data

    async def test_no_route_is_our_own_fault(self) -> None:
        """An address family or network this machine has no way to."""
        address = ServerAddress("255.255.255.255")  # connect(2) refuses broadcast: EACCES
        async with open_resolver([address], limits=HASTY, clock=FixedClock()) as resolver:
            found = await resolver.lookup(Q)
        assert found.own_fault is not None
        assert found.own_fault.startswith("the resolver 255.255.255.255:53 cannot be reached")

    async def test_no_file_descriptor_is_our_own_fault(self) -> None:
        """EMFILE says nothing about the partner, and passes."""
        async with asking(honest) as (resolver, _):
            with no_more_files():
                found = await resolver.lookup(Q)
            assert found.own_fault is not None
            assert os.strerror(errno.EMFILE) in found.own_fault
            assert (await resolver.lookup(Q)).has_data

    async def test_a_closed_resolver_fails_what_waits(self) -> None:
        """Questions still waiting when the block ends are told, not forgotten."""

        async def script(query: Query, line: Line) -> None:
            asked.set()

        asked = trio.Event()
        found: list[str | None] = []
        async with trio.open_nursery() as nursery, asking(script) as (resolver, _):

            async def one() -> None:
                found.append((await resolver.lookup(Q)).own_fault)

            nursery.start_soon(one)
            await asked.wait()
        assert found == ["the DNS client was closed meanwhile"]

    async def test_errors_of_the_caller_come_out_as_they_are(self) -> None:
        """What is raised inside the block is not wrapped in a group."""

        async def fail_inside() -> None:
            address = ServerAddress("127.0.0.1", server.port)
            async with open_resolver([address], limits=PATIENT, clock=FixedClock()) as resolver:
                await resolver.lookup(Q)
                raise KeyError("theirs")

        async with dns_server(honest) as server:
            with pytest.raises(KeyError):
                await fail_inside()


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let every attempt to open a file or socket fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def truncating(over_tcp: Script) -> Script:
    """Answer TC=1 with a partial RRset over UDP, and by ``over_tcp`` over TCP."""

    async def script(query: Query, line: Line) -> None:
        if query.over_tcp:
            await over_tcp(query, line)
        else:
            await line.send(answer(query, flags=QR | TC | AD))

    return script


class TestTcp:
    async def test_a_truncated_answer_is_fetched_whole(self) -> None:
        """Case 45: what counts is the TCP reply."""

        async def whole(query: Query, line: Line) -> None:
            records = [rr("example.org", "A", f"192.0.2.{n}") for n in (7, 8)]
            await line.send(reply(query.question, query_id=query.query_id, answer=records))

        async with asking(truncating(whole)) as (resolver, server):
            found = await resolver.lookup(Q)
        assert [query.over_tcp for query in server.queries] == [False, True]
        assert found.records == (
            AddressRecord(address="192.0.2.7"),
            AddressRecord(address="192.0.2.8"),
        )
        assert found.status is DnssecStatus.INSECURE

    async def test_as_many_tlsa_records_as_a_message_holds(self) -> None:
        """65,535 octets hold 4,366 small TLSA records; all are read, in bounded work."""
        record = b"\xc0\x0c\x00\x34\x00\x01\x00\x00\x00\x3c\x00\x03\x03\x01\x01"

        async def whole(query: Query, line: Line) -> None:
            head = len(reply(query.question, additional=()))
            count = (65_535 - head) // len(record)
            await line.send(
                reply(
                    query.question,
                    query_id=query.query_id,
                    additional=(),
                    counts=(count, 0, 0),
                    tail=record * count,
                )
            )

        async with asking(truncating(whole)) as (resolver, _):
            found = await resolver.lookup(TLSA)
        assert found.has_data
        assert len(found.records) == 4366

    async def test_a_message_that_promises_more_records_than_it_holds(self) -> None:
        """10,000 TLSA records announced, a message full of them sent: no answer."""
        record = b"\xc0\x0c\x00\x34\x00\x01\x00\x00\x00\x3c\x00\x03\x03\x01\x01"

        async def whole(query: Query, line: Line) -> None:
            wire = reply(
                query.question,
                query_id=query.query_id,
                additional=(),
                counts=(10_000, 0, 0),
                tail=record * 4300,
            )
            await line.send(wire)

        async with asking(truncating(whole)) as (resolver, _):
            found = await resolver.lookup(TLSA)
        assert found.outcome is LookupOutcome.MALFORMED

    async def test_a_dripping_reply_ends_at_the_deadline(self) -> None:
        """A server that sends an octet now and then gains nothing, and is our own side."""

        async def drip(query: Query, line: Line) -> None:
            await line.raw(len(answer(query)).to_bytes(2) + answer(query)[:10])
            while True:
                await trio.sleep(0.01)
                await line.raw(b"\x00")

        async with asking(truncating(drip), limits=HASTY) as (resolver, _):
            found = await resolver.lookup(Q)
            assert found.own_fault is not None
            assert "silent over TCP" in found.own_fault

    async def test_a_stuck_connection_is_left_to_itself(self) -> None:
        """After waiting in vain on one connection the next question gets a new one."""

        async def stuck_once(query: Query, line: Line) -> None:
            if server.connections > 1:
                await line.send(answer(query))

        limits = DnsLimits(
            try_timeout_seconds=0.3, total_timeout_seconds=60, tries=20, max_lag_seconds=60
        )
        async with asking(truncating(stuck_once), limits=limits) as (resolver, server):
            assert (await resolver.lookup(Q)).has_data
            assert server.connections == 2

    async def test_one_connection_serves_many_questions(self) -> None:
        """RFC 7766 §6.2.1: pipelined, answered in any order, over the same connection."""
        waiting: list[tuple[Query, Line]] = []

        async def gather(query: Query, line: Line) -> None:
            waiting.append((query, line))
            if len(waiting) == 20:
                for then, back in reversed(waiting):
                    await back.send(answer(then))

        async with asking(truncating(gather)) as (resolver, server):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    question = Question(Name(f"n{number}.org"), RRType.A)
                    nursery.start_soon(resolver.lookup, question)
            assert server.connections == 1
            assert resolver.statistics().tcp_queries == 20
            assert resolver.statistics().own_faults == 0

    async def test_strays_on_a_connection_are_ignored(self) -> None:
        """Empty messages, wrong ids and several messages in one segment."""

        async def noisy(query: Query, line: Line) -> None:
            wrong = answer(query, query_id=query.query_id ^ 1)
            right = answer(query)
            await line.raw(b"\x00\x00" + b"".join(len(w).to_bytes(2) + w for w in (wrong, right)))

        async with asking(truncating(noisy)) as (resolver, _):
            assert (await resolver.lookup(Q)).has_data
            assert resolver.statistics().strays == 2

    async def test_a_connection_closed_without_a_reply_is_our_own_side(self) -> None:
        """Our resolver has the answer and does not hand it over."""

        async def close(query: Query, line: Line) -> None:
            await line.close()

        async with asking(truncating(close)) as (resolver, server):
            found = await resolver.lookup(Q)
        assert found.own_fault is not None
        assert "did not answer over TCP" in found.own_fault
        assert server.connections == 1

    async def test_a_connection_closed_while_idle_is_replaced(self) -> None:
        """RFC 7766 §6.2.4: a server may close at any time; the question is asked once more."""

        async def once_each(query: Query, line: Line) -> None:
            await line.send(answer(query))
            if server.connections == 1:
                await line.close()

        async with asking(truncating(once_each)) as (resolver, server):
            for _ in range(3):
                assert (await resolver.lookup(Q)).has_data
            assert server.connections == 2

    async def test_no_tcp_at_all_is_our_own_side(self) -> None:
        """A refused TCP connection to our resolver says nothing about the partner."""
        async with asking(truncating(honest), tcp=False) as (resolver, _):
            found = await resolver.lookup(Q)
        assert found.own_fault is not None
        assert "takes no TCP connection" in found.own_fault

    async def test_an_idle_connection_is_closed(self) -> None:
        """It is not kept beyond its time; the next question opens another."""
        limits = DnsLimits(tcp_idle_seconds=0.01, try_timeout_seconds=60)
        async with asking(truncating(honest), limits=limits) as (resolver, server):
            assert (await resolver.lookup(Q)).has_data
            await server.hung_up.wait()
            assert (await resolver.lookup(Q)).has_data
            assert server.connections == 2

    async def test_a_slow_reply_outlives_the_idle_time(self) -> None:
        """Idle means nobody waits; while somebody does, the connection stays."""

        async def slow(query: Query, line: Line) -> None:
            await trio.sleep(0.1)
            await line.send(answer(query))

        limits = DnsLimits(tcp_idle_seconds=0.02, try_timeout_seconds=60)
        async with asking(truncating(slow), limits=limits) as (resolver, server):
            assert (await resolver.lookup(Q)).has_data
            assert server.connections == 1


class TestCounting:
    async def test_every_query_is_told(self) -> None:
        """The hook hears of each message sent, by type, TCP included."""
        heard: list[RRType] = []
        async with dns_server(truncating(honest)) as server:
            address = ServerAddress("127.0.0.1", server.port)
            async with open_resolver(
                [address], limits=PATIENT, clock=FixedClock(), on_query=heard.append
            ) as resolver:
                await resolver.lookup(Q)
                assert dict(resolver.statistics().queries) == {RRType.A: 2}
        assert heard == [RRType.A, RRType.A]


class TestServers:
    @pytest.mark.parametrize(
        ("text", "server", "shown"),
        [
            ("9.9.9.9", ServerAddress("9.9.9.9", 53), "9.9.9.9:53"),
            (" 127.0.0.1:5353 ", ServerAddress("127.0.0.1", 5353), "127.0.0.1:5353"),
            ("[::1]:53", ServerAddress("::1", 53), "[::1]:53"),
            ("[2001:DB8::1]", ServerAddress("2001:db8::1", 53), "[2001:db8::1]:53"),
            ("2001:db8::0:1", ServerAddress("2001:db8::1", 53), "[2001:db8::1]:53"),
        ],
    )
    def test_servers_are_read_and_shown(self, text: str, server: ServerAddress, shown: str) -> None:
        """Address with or without port; what is shown can be read again."""
        assert parse_server(text) == server
        assert str(server) == shown
        assert parse_server(shown) == server

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "resolver.example",
            "resolver.example:53",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:x",
            "127.0.0.1:\N{SUPERSCRIPT TWO}",
            "127.0.0.1:000000000053",
            "127.0.0.1:53:53",
            "[::1",
            "[::1]53",
            "[::1]:",
            "[]",
            "::1:xx",
        ],
    )
    def test_what_is_no_server_is_refused(self, text: str) -> None:
        """Names would need a resolver first; bad ports are told."""
        with pytest.raises(InvalidServerError):
            parse_server(text)
