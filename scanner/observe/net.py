"""The waist: connections to peers, with every foreign error translated here and nowhere else.

Above this file there are only bytes and ``PeerError``; below it are sockets, trio and errno. Who
is to blame is decided by *when* an error comes: what the kernel says before a single packet has
left (no route, no file descriptor) is our own side, the same number arriving later was sent to us
from the network.

No deadlines here: the caller sets them. Cancellation always passes through.
"""

import errno
import math
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

import trio

from scanner.model.observation import ProbeError
from scanner.observe.deadlines import deadlines

DEFAULT_OCTETS = 65_536
"""Octets read at once where nobody says how many."""
OPEN_STREAM_ERRORS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

_OWN_RESOURCES = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRINUSE,
        errno.EAGAIN,  # connect(2): no free local port
    }
)
_LATER = {
    errno.ECONNREFUSED: ProbeError.REFUSED,
    errno.ETIMEDOUT: ProbeError.TIMEOUT,
    errno.EHOSTUNREACH: ProbeError.UNREACHABLE,
    errno.ENETUNREACH: ProbeError.UNREACHABLE,
    errno.EHOSTDOWN: ProbeError.UNREACHABLE,
    errno.EACCES: ProbeError.UNREACHABLE,  # ICMPv6 "administratively prohibited" on its way to us
    errno.ENOPROTOOPT: ProbeError.UNREACHABLE,  # ICMP "protocol unreachable"
    errno.ECONNRESET: ProbeError.RESET,
    errno.ECONNABORTED: ProbeError.RESET,
    errno.EPIPE: ProbeError.CLOSED,
    errno.ENETDOWN: ProbeError.NO_ROUTE,
}


class PeerError(Exception):
    """A connection failed: ``error`` is the fact, ``detail`` the words for an operator."""

    def __init__(self, error: ProbeError, detail: str) -> None:
        super().__init__(f"{error}: {detail}")
        self.error = error
        self.detail = detail


class TimeUpError(PeerError):
    """The time for a step was up; nothing is said of the connection."""


class ExpiredError(Exception):
    """The time of a ``TcpStream`` was up."""


class TcpStream(trio.abc.Stream):
    """A TCP connection that keeps its own time, and waits before it reads.

    Beside ``trio.SocketStream``: no cancel scope for a deadline, no attempt to read what cannot be
    there yet, and no checkpoint after sending what the kernel takes at once. Waits end at ``until``
    (trio's clock) with ExpiredError.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock
        self._until = math.inf
        self._noted = math.inf
        self._waits = 0
        self._expired = False

    @property
    def family(self) -> int:
        """The address family, ``socket.AF_INET`` or ``AF_INET6``."""
        return self._open_socket().family

    def end_at(self, until: float) -> None:
        """End every wait from now on at ``until``."""
        self._until = until

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``. Raises OSError, ClosedResourceError, ExpiredError."""
        rest = memoryview(data)
        while True:
            sock = self._open_socket()
            with suppress(BlockingIOError):
                rest = rest[sock.send(rest) :]
            if not rest:
                return
            await self._wait(trio.lowlevel.wait_writable)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel takes something."""
        await self._wait(trio.lowlevel.wait_writable)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return some octets, b"" at the end. Raises OSError, ClosedResourceError, ExpiredError."""
        while True:
            await self._wait(trio.lowlevel.wait_readable)
            try:
                return self._open_socket().recv(max_bytes or DEFAULT_OCTETS)
            except BlockingIOError:
                pass

    async def aclose(self) -> None:
        """Close."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close at once; who waits gets ClosedResourceError."""
        if self._sock is not None:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            self._sock = None

    @property
    def due(self) -> float:
        """When the wait ends (``scanner.observe.deadlines.Wait``)."""
        return math.inf if self._sock is None else self._until

    def expire(self) -> None:
        """End the wait, if there is one."""
        self._noted = math.inf
        if self._waits and self._sock is not None:
            self._expired = True
            trio.lowlevel.notify_closing(self._sock)

    async def _wait(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        sock = self._open_socket()
        if self._until < self._noted:
            self._noted = self._until
            deadlines().add(self)
        self._waits += 1
        try:
            await wait(sock)
        except trio.ClosedResourceError:
            if self._expired:
                self._expired = False
                raise ExpiredError from None
            raise
        finally:
            self._waits -= 1

    def _open_socket(self) -> socket.socket:
        if self._sock is None:
            raise trio.ClosedResourceError("the connection was closed")
        return self._sock


class PeerStream:
    """A byte stream to one peer that raises nothing but PeerError (and cancellation)."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._tcp = stream if isinstance(stream, TcpStream) else None
        self._until = math.inf
        self._late: Callable[[], TimeUpError] = _never

    def end_at(self, until: float, late: Callable[[], TimeUpError]) -> None:
        """Let every wait from now on end at ``until`` (trio's clock), with ``late()`` raised."""
        self._until, self._late = until, late
        if self._tcp is not None:
            self._tcp.end_at(until)

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises PeerError."""
        try:
            if self._tcp is not None:
                await self._tcp.send_all(data)
                return
            with trio.CancelScope(deadline=self._until) as scope:
                await self._stream.send_all(data)
        except OPEN_STREAM_ERRORS as error:
            raise translate(error) from error
        except ExpiredError:
            raise self._late() from None
        if scope.cancelled_caught:
            raise self._late()

    async def receive(self, max_octets: int) -> bytes:
        """Return at least one octet and at most ``max_octets``; b"" once the peer has closed.

        Raises PeerError.
        """
        try:
            if self._tcp is not None:
                return await self._tcp.receive_some(max_octets)
            with trio.CancelScope(deadline=self._until):
                return bytes(await self._stream.receive_some(max_octets))
        except OPEN_STREAM_ERRORS as error:
            raise translate(error) from error
        except ExpiredError:
            pass
        raise self._late()

    async def aclose(self) -> None:
        """Close at once, without farewell; works in a cancelled scope too."""
        if self._tcp is not None:
            self._tcp.close()
            return
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _never() -> TimeUpError:
    """What a stream without a deadline would raise at its end."""
    return TimeUpError(ProbeError.TIMEOUT, "the time was up")


Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Opens a connection to an address and port; raises PeerError or one of OPEN_STREAM_ERRORS."""


async def open_stream(
    connect: Connect, address: str, port: int, *, until: float = math.inf
) -> PeerStream:
    """Return the stream that ``connect`` opens. Raises PeerError, and ExpiredError at ``until``
    (trio's clock)."""
    try:
        if connect is connect_tcp:
            return PeerStream(await connect_tcp(address, port, until=until))
        with trio.CancelScope(deadline=until):
            return PeerStream(await connect(address, port))
    except OPEN_STREAM_ERRORS as error:
        raise translate(error) from error
    raise ExpiredError


async def connect_tcp(address: str, port: int, *, until: float = math.inf) -> trio.abc.Stream:
    """Return a TCP connection to ``address``, an IPv4 or IPv6 address in text.

    Raises PeerError: REFUSED, TIMEOUT, UNREACHABLE for what the network answered; NO_ROUTE,
    OWN_RESOURCES for what never left this machine. Raises ExpiredError at ``until``.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise PeerError(_before_sending(error.errno), _words(error)) from error
    stream = TcpStream(sock)
    stream.end_at(until)
    try:
        await _connect(stream, sock, address, port)
        # Each message waits for an answer, so none must wait for more to send (RFC 9293 §3.7.4).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        stream.close()
        raise
    return stream


async def _connect(stream: TcpStream, sock: socket.socket, address: str, port: int) -> None:
    sock.setblocking(False)
    await trio.lowlevel.checkpoint_if_cancelled()
    code = sock.connect_ex((address, port))
    if code not in (0, errno.EINPROGRESS):
        # A refusal from this very machine (loopback) comes at once and is a refusal all the same.
        raise PeerError(_before_sending(code), _words_for(code))
    await stream.wait_send_all_might_not_block()
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise PeerError(_after_sending(code), _words_for(code))


def translate(error: BaseException) -> PeerError:
    """Return the PeerError for an error of an open stream, or of a connection being opened."""
    if isinstance(error, PeerError):
        return error
    if isinstance(error, OSError):
        return PeerError(_after_sending(error.errno), _words(error))
    cause = error.__cause__
    if isinstance(cause, OSError):
        return PeerError(_after_sending(cause.errno), _words(cause))
    return PeerError(ProbeError.CLOSED, "the connection is closed")


def _before_sending(code: int | None) -> ProbeError:
    """Classify what the kernel said at once: our own side, whatever it is, save a refusal."""
    if code == errno.ECONNREFUSED:
        return ProbeError.REFUSED
    if code in _OWN_RESOURCES:
        return ProbeError.OWN_RESOURCES
    # ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT, ENETDOWN, EPERM (own packet filter)
    # and anything unheard of: no packet left, so nothing may be held against the peer.
    return ProbeError.NO_ROUTE


def _after_sending(code: int | None) -> ProbeError:
    """Classify what came later: from the peer or the path, save shortages of our own."""
    if code in _OWN_RESOURCES:
        return ProbeError.OWN_RESOURCES
    if code is None:
        return ProbeError.CLOSED
    return _LATER.get(code, ProbeError.CLOSED)


def _words(error: OSError) -> str:
    return _words_for(error.errno) if error.errno else str(error)


def _words_for(code: int) -> str:
    return f"{os.strerror(code)} ({errno.errorcode.get(code, code)})"
