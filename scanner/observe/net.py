"""The waist: connections to peers, with every foreign error translated here and nowhere else.

Above this file there are only bytes and ``PeerError``; below it are sockets, trio and errno. Who
is to blame is decided by *when* an error comes: what the kernel says before a single packet has
left (no route, no file descriptor) is our own side, the same number arriving later was sent to us
from the network.

No deadlines here: the caller sets them. Cancellation always passes through.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Self

import trio

from scanner.model.observation import ProbeError

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


class PeerStream:
    """A byte stream to one peer that raises nothing but PeerError (and cancellation)."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises PeerError."""
        try:
            await self._stream.send_all(data)
        except OPEN_STREAM_ERRORS as error:
            raise translate(error) from error

    async def receive(self, max_octets: int) -> bytes:
        """Return at least one octet and at most ``max_octets``; b"" once the peer has closed.

        Raises PeerError.
        """
        try:
            return bytes(await self._stream.receive_some(max_octets))
        except OPEN_STREAM_ERRORS as error:
            raise translate(error) from error

    async def aclose(self) -> None:
        """Close at once, without farewell; works in a cancelled scope too."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Opens a connection to an address and port; raises PeerError or one of OPEN_STREAM_ERRORS."""


async def open_stream(connect: Connect, address: str, port: int) -> PeerStream:
    """Return the stream that ``connect`` opens. Raises PeerError."""
    try:
        return PeerStream(await connect(address, port))
    except OPEN_STREAM_ERRORS as error:
        raise translate(error) from error


async def connect_tcp(address: str, port: int) -> trio.abc.Stream:
    """Return a TCP connection to ``address``, an IPv4 or IPv6 address in text.

    Raises PeerError: REFUSED, TIMEOUT, UNREACHABLE for what the network answered; NO_ROUTE,
    OWN_RESOURCES for what never left this machine. The caller sets the deadline.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise PeerError(_before_sending(error.errno), _words(error)) from error
    try:
        await _connect(sock, address, port)
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


async def _connect(sock: socket.socket, address: str, port: int) -> None:
    sock.setblocking(False)
    await trio.lowlevel.checkpoint_if_cancelled()
    code = sock.connect_ex((address, port))
    if code not in (0, errno.EINPROGRESS):
        # A refusal from this very machine (loopback) comes at once and is a refusal all the same.
        raise PeerError(_before_sending(code), _words_for(code))
    await trio.lowlevel.wait_writable(sock)
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
