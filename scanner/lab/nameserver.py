"""The sockets of the lab's name server: UDP and TCP on one port of 127.0.0.1 (RFC 7766)."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from scanner.lab.responder import Responder

ADDRESS = "127.0.0.1"
MAX_QUERY = 4096  # octets of a UDP query that are read
TCP_IDLE_SECONDS = 30.0  # RFC 7766 §6.2.3 leaves it to the server
MAX_TCP_CONNECTIONS = 256
BIND_ATTEMPTS = 20
RECEIVE_BUFFER = 4 * 1024 * 1024  # octets; a burst of 10,000 queries must not be dropped


class NameServer:
    """A running name server. ``latency_seconds`` delays every reply and may be changed."""

    def __init__(self, responder: Responder, port: int) -> None:
        self._responder = responder
        self.port = port
        self.latency_seconds = 0.0

    async def serve_udp(self, sock: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        """Answer datagrams for ever."""
        while True:
            query, client = await sock.recvfrom(MAX_QUERY)
            if self.latency_seconds > 0:
                nursery.start_soon(self._answer_late, sock, query, client)
            else:
                await self._answer(sock, query, client)

    async def _answer_late(
        self, sock: trio.socket.SocketType, query: bytes, client: tuple[str, int]
    ) -> None:
        await trio.sleep(self.latency_seconds)
        await self._answer(sock, query, client)

    async def _answer(
        self, sock: trio.socket.SocketType, query: bytes, client: tuple[str, int]
    ) -> None:
        reply = self._responder.respond(query, tcp=False)
        if reply is not None:
            with suppress(OSError):  # the client's port may be gone
                await sock.sendto(reply, client)

    async def serve_tcp_client(self, stream: trio.SocketStream) -> None:
        """Answer the queries of one connection in order until it ends or idles."""
        with trio.move_on_after(TCP_IDLE_SECONDS) as scope, suppress(trio.BrokenResourceError):
            async with stream:
                while (query := await _read_frame(stream)) is not None:
                    scope.deadline = trio.current_time() + TCP_IDLE_SECONDS
                    if self.latency_seconds > 0:
                        await trio.sleep(self.latency_seconds)
                    reply = self._responder.respond(query, tcp=True)
                    if reply is not None:
                        await stream.send_all(struct.pack("!H", len(reply)) + reply)


@asynccontextmanager
async def open_name_server(
    responder: Responder, nursery: trio.Nursery
) -> AsyncIterator[NameServer]:
    """Serve ``responder`` on a free port until the block ends."""
    udp, listener = await _bind()
    server = NameServer(responder, udp.getsockname()[1])
    try:
        nursery.start_soon(server.serve_udp, udp, nursery)
        nursery.start_soon(trio.serve_listeners, server.serve_tcp_client, [listener])
        yield server
    finally:
        # Not awaited: a cancelled await here would take the place of the caller's own exception.
        udp.close()
        listener.socket.close()


async def _bind() -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """Return a UDP socket and a TCP listener on the same free port."""
    for _ in range(BIND_ATTEMPTS):
        listeners = await trio.open_tcp_listeners(0, host=ADDRESS, backlog=MAX_TCP_CONNECTIONS)
        listener = listeners[0]
        port = listener.socket.getsockname()[1]
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        udp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            await udp.bind((ADDRESS, port))
        except OSError:
            udp.close()
            await listener.aclose()
            continue
        return udp, listener
    raise OSError("no port is free for both UDP and TCP")


async def _read_frame(stream: trio.SocketStream) -> bytes | None:
    """Return the next message of a TCP stream; None at its end (RFC 1035 §4.2.2)."""
    header = await _read_exactly(stream, 2)
    if header is None:
        return None
    return await _read_exactly(stream, struct.unpack("!H", header)[0])


async def _read_exactly(stream: trio.SocketStream, count: int) -> bytes | None:
    received = b""
    while len(received) < count:
        part = await stream.receive_some(count - len(received))
        if not part:
            return None
        received += part
    return received
