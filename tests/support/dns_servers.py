"""A scripted DNS server on loopback: whatever octets a script wants, over UDP and TCP.

A script gets one query and a ``Line`` to answer on; it may answer never, twice, late, in pieces,
or close. UDP and TCP share one port of 127.0.0.1.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio
from dns_replies import question_of

RECEIVE_BUFFER_OCTETS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query as it came in."""

    octets: bytes
    over_tcp: bool
    client: tuple[str, int]

    @property
    def query_id(self) -> int:
        return int.from_bytes(self.octets[:2])

    @property
    def question(self) -> bytes:
        return question_of(self.octets)

    @property
    def first_label(self) -> str:
        return self.question[1 : 1 + self.question[0]].decode()

    @property
    def cd(self) -> bool:
        return bool(self.octets[3] & 0x10)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The way back to the client: ``send`` one message, or ``raw`` octets over TCP."""

    send: Callable[[bytes], Awaitable[None]]
    raw: Callable[[bytes], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


Script = Callable[[Query, Line], Awaitable[None]]


@dataclass(kw_only=True)
class DnsServer:
    """A running server and what it was asked."""

    script: Script
    port: int = 0
    queries: list[Query] = field(default_factory=list)
    connections: int = 0
    hung_up: trio.Event = field(default_factory=trio.Event)
    """Set once any TCP connection has ended."""

    @property
    def ports_seen(self) -> set[int]:
        """The clients' UDP ports."""
        return {query.client[1] for query in self.queries if not query.over_tcp}


@asynccontextmanager
async def dns_server(script: Script, *, tcp: bool = True) -> AsyncIterator[DnsServer]:
    """Serve ``script`` until the block ends."""
    server = DnsServer(script=script)
    udp, listener = await _bind()
    server.port = udp.getsockname()[1]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_udp, server, udp, nursery)
            if tcp:

                async def serve(stream: trio.SocketStream) -> None:
                    await _serve_tcp(server, stream, nursery)

                nursery.start_soon(trio.serve_listeners, serve, [listener])
            else:
                await listener.aclose()
            yield server
            nursery.cancel_scope.cancel()
    finally:
        udp.close()
        with trio.CancelScope(shield=True):
            await listener.aclose()


async def _bind() -> tuple[trio.socket.SocketType, trio.SocketListener]:
    while True:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        udp = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
        try:
            await udp.bind(("127.0.0.1", listener.socket.getsockname()[1]))
        except OSError:
            udp.close()
            await listener.aclose()
        else:
            return udp, listener


async def _serve_udp(server: DnsServer, udp: trio.socket.SocketType, nursery: trio.Nursery) -> None:
    while True:
        octets, client = await udp.recvfrom(4096)
        query = Query(octets=octets, over_tcp=False, client=client)
        server.queries.append(query)

        async def send(wire: bytes, client: tuple[str, int] = client) -> None:
            with suppress(OSError):  # the client may have closed its port
                await udp.sendto(wire, client)

        async def nothing() -> None:
            await trio.lowlevel.checkpoint()

        nursery.start_soon(server.script, query, Line(send=send, raw=send, close=nothing))


async def _serve_tcp(server: DnsServer, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
    server.connections += 1
    client = stream.socket.getpeername()
    gone = (trio.BrokenResourceError, trio.ClosedResourceError)

    async def raw(octets: bytes) -> None:
        with suppress(*gone):
            await stream.send_all(octets)

    async def send(wire: bytes) -> None:
        await raw(len(wire).to_bytes(2) + wire)

    buffer = bytearray()
    with suppress(*gone):
        async with stream:
            async for chunk in stream:
                buffer += chunk
                while len(buffer) > 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2]):
                    end = 2 + int.from_bytes(buffer[:2])
                    query = Query(octets=bytes(buffer[2:end]), over_tcp=True, client=client)
                    del buffer[:end]
                    server.queries.append(query)
                    line = Line(send=send, raw=raw, close=stream.aclose)
                    nursery.start_soon(server.script, query, line)
    server.hung_up.set()
