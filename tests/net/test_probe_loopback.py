"""One probe over a real TCP stack: what the kernel says when peers refuse, reset or vanish."""

import contextlib
import errno
import socket

import pytest
import trio

from scanner.model.observation import HostAddress, ProbeError, ProbeStage
from scanner.model.vocabulary import Family
from scanner.observe import net
from scanner.observe.net import (
    ExpiredError,
    PeerError,
    PeerStream,
    TcpStream,
    connect_tcp,
    open_stream,
    translate,
)

HERE = HostAddress(address="127.0.0.1", family=Family.IPV4, status=None)


async def over_tcp(probe, port):
    """Return what a probe of a loopback port sees."""
    return await probe(connect=connect_tcp, address=HERE, allow_special_purpose=True, port=port)


def unused_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_healthy_server_over_tcp(probe, stage, healthy, leaf) -> None:
    """The whole probe works over sockets too."""
    seen = await over_tcp(probe, await stage.on_loopback(healthy))
    assert (seen.stage, seen.error, seen.chain) == (ProbeStage.DONE, None, (leaf.der,))


async def test_a_closed_port_is_refused(probe) -> None:
    """Connection refused is told as such (row C1)."""
    seen = await over_tcp(probe, unused_port())
    assert (seen.stage, seen.error) == (ProbeStage.CONNECT, ProbeError.REFUSED)
    assert seen.detail == "Connection refused (ECONNREFUSED)"


async def test_a_reset_at_the_greeting_is_a_reset(probe, stage) -> None:
    """A reset is told apart from an orderly close."""

    async def script(peer) -> None:
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        peer.reset()

    seen = await over_tcp(probe, await stage.on_loopback(script))
    assert (seen.stage, seen.error, seen.attempts) == (ProbeStage.EHLO, ProbeError.RESET, 1)


async def test_a_reset_in_the_handshake_is_looked_at_twice(probe, stage) -> None:
    """A reset after 220 is an indefinite event (case 90, row C11)."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.stream.receive_some(4_096)
        peer.reset()

    seen = await over_tcp(probe, await stage.on_loopback(script))
    assert (seen.stage, seen.error) == (ProbeStage.HANDSHAKE, ProbeError.RESET)
    assert (seen.attempts, stage.connections, stage.most_open) == (2, 2, 1)


async def test_a_full_server_over_tcp_is_heard_before_its_close(probe, stage) -> None:
    """421 and a close at once: the reply is read although our QUIT meets a closed door."""

    async def script(peer) -> None:
        await peer.say(b"421 4.3.2 too many connections\r\n")

    seen = await over_tcp(probe, await stage.on_loopback(script))
    assert (seen.stage, seen.error) == (ProbeStage.GREETING, ProbeError.REPLY_TRANSIENT)


async def test_an_ipv6_address_is_connected_over_ipv6() -> None:
    """The family follows the address."""
    listeners = await trio.open_tcp_listeners(0, host="::1")
    port = listeners[0].socket.getsockname()[1]
    stream = await connect_tcp("::1", port)
    assert isinstance(stream, TcpStream)
    assert stream.family == socket.AF_INET6
    await stream.aclose()
    await listeners[0].aclose()


async def test_a_cancelled_connection_attempt_leaves_no_socket(monkeypatch) -> None:
    """A connection given up in the middle is closed."""
    made = []
    real = socket.socket

    def make(*arguments: int) -> socket.socket:
        made.append(real(*arguments))
        return made[-1]

    async def forever(sock: socket.socket) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(net.socket, "socket", make)
    monkeypatch.setattr(net.trio.lowlevel, "wait_writable", forever)
    with trio.move_on_after(0) as scope:
        await connect_tcp("127.0.0.1", unused_port())
    assert scope.cancelled_caught
    assert [sock.fileno() for sock in made] == [-1] * len(made)


async def test_a_connection_that_nobody_answers_ends_at_its_time(autojump_clock) -> None:
    """Our own connector keeps its own time: no cancel scope is around it; the socket is closed."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(3):  # the queue is full now, and further SYNs are dropped
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        with pytest.raises(ExpiredError):
            await open_stream(connect_tcp, "127.0.0.1", port, until=trio.current_time() + 20)
    assert trio.current_time() == pytest.approx(20, abs=0.01)


async def test_another_connector_is_ended_at_the_same_time(autojump_clock) -> None:
    """By a cancel scope, which any connector obeys."""

    async def never(_address: str, _port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(ExpiredError):
        await open_stream(never, "192.0.2.1", 25, until=trio.current_time() + 20)
    assert trio.current_time() == pytest.approx(20, abs=0.01)


AT_ONCE = {
    errno.ECONNREFUSED: ProbeError.REFUSED,
    errno.ENETUNREACH: ProbeError.NO_ROUTE,
    errno.EHOSTUNREACH: ProbeError.NO_ROUTE,
    errno.EADDRNOTAVAIL: ProbeError.NO_ROUTE,
    errno.ENETDOWN: ProbeError.NO_ROUTE,
    errno.EPERM: ProbeError.NO_ROUTE,
    errno.EINVAL: ProbeError.NO_ROUTE,
    errno.EADDRINUSE: ProbeError.OWN_RESOURCES,
    errno.ENOBUFS: ProbeError.OWN_RESOURCES,
    errno.EAGAIN: ProbeError.OWN_RESOURCES,
}


class FakeSocket:
    """A socket whose connecting ends as told: at once, or later."""

    def __init__(self, at_once: int, later: int = 0) -> None:
        self.at_once = at_once
        self.later = later
        self.closed = False

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def connect_ex(self, where: tuple[str, int]) -> int:
        return self.at_once

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self.later

    def close(self) -> None:
        self.closed = True


async def connect_with(monkeypatch, fake: FakeSocket) -> PeerError:
    """Return the error of connecting with ``fake``, which must be closed by then."""

    async def writable(sock: FakeSocket) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(net.socket, "socket", lambda *_: fake)
    monkeypatch.setattr(net.trio.lowlevel, "wait_writable", writable)
    with pytest.raises(PeerError) as raised:
        await connect_tcp("192.0.2.1", 25)
    assert fake.closed
    return raised.value


@pytest.mark.parametrize(("code", "error"), AT_ONCE.items(), ids=lambda item: str(item))
async def test_what_the_kernel_says_at_once_is_our_own_side(monkeypatch, code, error) -> None:
    """Before a packet has left nothing may be held against the peer, save a refusal."""
    assert (await connect_with(monkeypatch, FakeSocket(code))).error is error


LATER = {
    errno.ECONNREFUSED: ProbeError.REFUSED,
    errno.ETIMEDOUT: ProbeError.TIMEOUT,
    errno.ENETUNREACH: ProbeError.UNREACHABLE,
    errno.EHOSTUNREACH: ProbeError.UNREACHABLE,
    errno.EACCES: ProbeError.UNREACHABLE,
    errno.ENOPROTOOPT: ProbeError.UNREACHABLE,
    errno.ECONNRESET: ProbeError.RESET,
    errno.ENETDOWN: ProbeError.NO_ROUTE,
    errno.ENOBUFS: ProbeError.OWN_RESOURCES,
    errno.EIO: ProbeError.CLOSED,
}


@pytest.mark.parametrize(("code", "error"), LATER.items(), ids=lambda item: str(item))
async def test_what_comes_later_comes_from_the_network(monkeypatch, code, error) -> None:
    """The same numbers after the SYN has left are the path's or the peer's."""
    assert (await connect_with(monkeypatch, FakeSocket(errno.EINPROGRESS, code))).error is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.EMFILE, ProbeError.OWN_RESOURCES),
        (errno.ENFILE, ProbeError.OWN_RESOURCES),
        (errno.ENOMEM, ProbeError.OWN_RESOURCES),
        (errno.EAFNOSUPPORT, ProbeError.NO_ROUTE),
    ],
)
async def test_a_socket_that_cannot_be_made_is_our_own_trouble(monkeypatch, code, error) -> None:
    """Out of descriptors or memory, or a family this machine has not got."""

    def refuse(*_: int) -> socket.socket:
        raise OSError(code, "no")

    monkeypatch.setattr(net.socket, "socket", refuse)
    with pytest.raises(PeerError) as raised:
        await connect_tcp("2001:db8::1", 25)
    assert raised.value.error is error


def caused_by(code: int) -> trio.BrokenResourceError:
    """Return what trio raises for an errno on an open stream."""
    broken = trio.BrokenResourceError("broken")
    broken.__cause__ = OSError(code, "words")
    return broken


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PeerError(ProbeError.TLS_ALERT, "kept"), ProbeError.TLS_ALERT),
        (OSError(errno.ECONNRESET, "x"), ProbeError.RESET),
        (OSError("no number"), ProbeError.CLOSED),
        (caused_by(errno.ECONNRESET), ProbeError.RESET),
        (caused_by(errno.EPIPE), ProbeError.CLOSED),
        (caused_by(errno.ETIMEDOUT), ProbeError.TIMEOUT),
        (trio.BrokenResourceError("no cause"), ProbeError.CLOSED),
        (trio.ClosedResourceError("ours"), ProbeError.CLOSED),
    ],
    ids=str,
)
def test_each_error_of_an_open_stream_is_translated(error, expected) -> None:
    """trio hides the errno behind a cause; it is found there."""
    assert translate(error).error is expected


async def test_a_stream_raises_nothing_but_peer_errors(autojump_clock) -> None:
    """Sending to and receiving from a stream of our own that is closed."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    async with PeerStream(ours) as stream:
        assert await stream.receive(10) == b""
        with pytest.raises(PeerError):
            await stream.send(b"x")
    with pytest.raises(PeerError):
        await stream.receive(10)
