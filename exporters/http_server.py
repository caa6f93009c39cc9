"""A uvicorn server in a thread of its own, with the bounds that a hostile client needs.

What uvicorn leaves open is bounded here: how many connections there are (counted from accept, so
that TLS handshakes count too), how long the head of a request may take, and how long a request may
take in all, to the last octet read by the client. A connection that oversteps is reset. When there
are too many, the oldest one without a request makes room, so that nobody who only holds connections
open keeps a Prometheus out.

Each connection gets the TLS context in force when it came, so that a renewed certificate needs no
restart. asyncio's loop lives in this thread alone; the probing loop of trio never sees it.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_logger = logging.getLogger("danewatch.page")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimits:
    """Bounds of the HTTP server. Ours, unless a source is named."""

    connections: int = 64
    """At a time; a Prometheus needs one, a person with a browser six."""
    head_octets: int = 16 * 1024
    """Request line and headers together (h11's own default)."""
    head_seconds: float = 10.0
    """From connecting, or from the first octet of a further request, to the end of its headers;
    also for a TLS handshake."""
    request_seconds: float = 120.0
    """From a request's headers until its answer is read: Prometheus' longest usual interval."""
    idle_seconds: int = 90
    """Until a connection without a request is closed: more than a usual scrape interval, so that
    each scrape need not shake hands again."""
    stop_seconds: int = 5
    """For answers under way when the server is told to stop."""


class _Guarded(H11Protocol):
    """uvicorn's HTTP/1.1 with deadlines; ``deadline`` is the next, ``stage`` what it is for."""

    limits = ServerLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._stage = ""

    @property
    def is_serving(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered and every answer is with the kernel."""
        return not self.is_serving and not self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm("head", self.limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        self._disarm()
        super().on_response_complete()
        if self.is_serving:  # a pipelined request was waiting
            self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Finish what is being answered, close what is not."""
        if self.is_serving:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection, and what of an answer is not yet with the kernel."""
        self._disarm()
        self.transport.abort()

    def _reset(self) -> None:
        """Drop it with a reset: the kernel need not keep an answer nobody takes."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.abort()

    def _follow(self) -> None:
        if self.is_serving and self._stage != "request":
            self._arm("request", self.limits.request_seconds)
        elif not self.is_serving and not self._stage:
            self._arm("head", self.limits.head_seconds)

    def _arm(self, stage: str, seconds: float) -> None:
        self._disarm()
        self._stage = stage
        self._deadline = self.loop.call_later(seconds, self._reset)

    def _disarm(self) -> None:
        self._stage = ""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """uvicorn's server behind an accept loop of our own."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        context: Callable[[], ssl.SSLContext | None],
        limits: ServerLimits,
        background: Callable[[], Coroutine[Any, Any, None]] | None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._context = context
        self._limits = limits
        self._protocol = type("Guarded", (_Guarded,), {"limits": limits})
        self._background = background
        self._running: list[asyncio.Task[None]] = []
        self._coming: dict[asyncio.Task[None], None] = {}
        self._connections: dict[_Guarded, None] = {}
        self.on_started: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await self.lifespan.startup()
        self.servers: list[asyncio.base_events.Server] = []
        self._running = [asyncio.create_task(self._accept())]
        if self._background is not None:
            self._running.append(asyncio.create_task(self._background()))
        self.started = True
        self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers finish for a while, then reset what is left."""
        for running in self._running:
            running.cancel()
        for ended in await asyncio.gather(*self._running, return_exceptions=True):
            if isinstance(ended, Exception):
                _logger.error("a task of the HTTP server failed", exc_info=ended)
        for task in list(self._coming):
            task.cancel()
        self._listener.close()
        await super().shutdown()
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Guarded):
                connection.abort()
        await asyncio.sleep(0)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no file descriptor left, or a client gone already
                _logger.warning("cannot accept a connection: %s", error)
                await asyncio.sleep(1.0)
                continue
            if self._make_room():
                self._begin(connection)
            else:
                connection.close()
            await asyncio.sleep(0)  # accepting alone would leave nobody a turn in a flood

    def _begin(self, connection: socket.socket) -> None:
        """Hand ``connection`` to a protocol, in a task of its own for the TLS handshake."""
        handed_over = False

        async def hand_over() -> None:
            nonlocal handed_over
            handed_over = True  # from here on asyncio closes it
            await self._take(connection)

        def ended(task: asyncio.Task[None]) -> None:
            del self._coming[task]
            if not handed_over:
                connection.close()

        task = asyncio.create_task(hand_over())
        self._coming[task] = None
        task.add_done_callback(ended)

    async def _take(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        context = self._context()
        seconds = None if context is None else self._limits.head_seconds
        protocol = self._protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=loop,
        )
        with contextlib.suppress(OSError):  # no TLS, no certificate, or gone: the client's affair
            await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )

    def _make_room(self) -> bool:
        """Return whether one more connection may come; drop one that only holds on if need be."""
        alive = self.server_state.connections
        came = [one for one in alive if isinstance(one, _Guarded)]
        # The server's set has no order; ours is that of coming.
        self._connections = {
            **{one: None for one in self._connections if one in alive},
            **dict.fromkeys(came),
        }
        if len(self._connections) + len(self._coming) < self._limits.connections:
            return True
        idle = next((one for one in self._connections if one.is_idle), None)
        if idle is not None:
            idle.abort()
            return True
        coming = next((one for one in self._coming if not one.cancelling()), None)
        if coming is not None:
            coming.cancel()
            return True
        return False


class ServerThread:
    """Serves an ASGI application from a thread of its own.

    ``context`` is asked for each connection and gives its TLS context, or None for plain HTTP.
    ``background`` runs beside in the same event loop, until the end.
    """

    def __init__(
        self,
        app: Any,
        *,
        context: Callable[[], ssl.SSLContext | None],
        limits: ServerLimits,
        background: Callable[[], Coroutine[Any, Any, None]] | None = None,
        name: str = "http",
    ) -> None:
        self._app = app
        self._context = context
        self._limits = limits
        self._background = background
        self._name = name
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> tuple[str, int]:
        """Bind, serve, and return the address; port 0 takes a free one. Raises OSError."""
        listener = _listener(host, port)
        address = listener.getsockname()[:2]
        limits = self._limits
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            http=_Guarded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=limits.head_octets,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.stop_seconds,
        )
        server = _Server(config, listener, self._context, limits, self._background)
        started = threading.Event()
        server.on_started = started.set
        thread = threading.Thread(
            target=self._serve, args=(server, started), name=self._name, daemon=True
        )
        self._server, self._thread = server, thread
        thread.start()
        started.wait()
        if not server.started:
            raise OSError("the HTTP server did not start; the log says why")
        return str(address[0]), int(address[1])

    def stop(self) -> None:
        """Stop serving; returns within ``stop_seconds`` and a little."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(self._limits.stop_seconds + 5)
        if self._thread.is_alive():
            _logger.error("the HTTP server did not stop in time and is left behind")
        self._server = self._thread = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread serves."""
        return self._thread is not None and self._thread.is_alive()

    def _serve(self, server: _Server, started: threading.Event) -> None:
        try:
            asyncio.run(server.serve())
        except Exception:  # the end of a thread: our bug is told, and the service learns of it
            _logger.exception("the HTTP server failed")
        finally:
            started.set()


def _listener(host: str, port: int) -> socket.socket:
    """Return a bound, listening socket. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
