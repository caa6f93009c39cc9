"""Clients that hold on, pour in, hang up or talk nonsense: the page bounds them and goes on."""

import contextlib
import http.client
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sample_checks
import web_tls

from exporters.exposition import ResultFragments
from exporters.http import HttpCallbacks, HttpLimits, MetricsServer, ServerLimits
from exporters.own_metrics import OwnMetrics
from scanner.model.names import Name
from scanner.model.verdict import Check

SECONDS = 20
"""A failsafe for reads; every bound under test is far below."""
QUICK = ServerLimits(head_seconds=0.4, request_seconds=0.8, idle_seconds=1, stop_seconds=1)
Serve = Callable[..., tuple[str, int]]


@pytest.fixture
def going() -> threading.Event:
    """Set while a probe runs."""
    return threading.Event()


@pytest.fixture
def go() -> threading.Event:
    """Set to let a probe end."""
    return threading.Event()


@pytest.fixture
def serve(going: threading.Event, go: threading.Event) -> Iterator[Serve]:
    """Start pages with other limits; they end with the test."""
    board = ResultFragments()
    board.show(sample_checks.no_mail(), states={}, labels=(("long", "x" * 1_000_000),))

    def probe(name: Name, seconds: float) -> Check:
        going.set()
        assert go.wait(SECONDS)
        return sample_checks.protected()

    callbacks = HttpCallbacks(
        not_ready=lambda: None, reload=lambda: (), is_target=lambda name: True, probe=probe
    )
    with ExitStack() as stack:
        stack.callback(go.set)

        def serving(
            limits: ServerLimits = QUICK, web_config_file: Path | None = None
        ) -> tuple[str, int]:
            server = MetricsServer(
                board,
                OwnMetrics(version="1"),
                callbacks,
                listen="127.0.0.1:0",
                web_config_file=web_config_file,
                limits=HttpLimits(server=limits),
            )
            stack.callback(server.stop)
            return server.start()

        yield serving


@contextlib.contextmanager
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=SECONDS) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Return what the server sends until it ends or resets the connection."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def is_served(address: tuple[str, int]) -> bool:
    """Return whether an honest client gets its answer."""
    connection = http.client.HTTPConnection(*address, timeout=SECONDS)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status == 200
    finally:
        connection.close()


class TestWhoHoldsOn:
    """Time is bounded at every stage."""

    def test_silence_is_ended(self, serve: Serve) -> None:
        """No octet ever comes."""
        with client(serve()) as connection:
            assert everything(connection) == b""

    def test_a_head_that_never_ends_is_ended(self, serve: Serve) -> None:
        """Slowloris: each further octet buys no time."""
        address = serve()
        with client(address) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            ended = threading.Event()

            def trickle() -> None:
                with contextlib.suppress(OSError):
                    while not ended.wait(0.05):
                        connection.sendall(b"X: y\r\n")

            thread = threading.Thread(target=trickle)
            thread.start()
            found = everything(connection)
            ended.set()
            thread.join()
        assert found == b""
        assert is_served(address)

    def test_a_second_head_that_never_ends_is_ended_too(self, serve: Serve) -> None:
        """After an honest request on the same connection."""
        with client(serve()) as connection:
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost:")
            assert everything(connection).count(b"HTTP/1.1") == 0

    def test_an_idle_connection_is_closed(self, serve: Serve) -> None:
        """It was good for one scrape and may come again."""
        with client(serve()) as connection:
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert everything(connection).endswith(b"danewatch is healthy\n")

    def test_a_client_that_does_not_read_is_dropped(self, serve: Serve) -> None:
        """A page larger than all buffers between; what is not taken in time is not sent."""
        address = serve()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(SECONDS)
            connection.connect(address)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 12)
            # Only the server can end this: it resets once the request took too long.
            poller = select.poll()
            poller.register(connection, select.POLLHUP)
            assert poller.poll(SECONDS * 1000)
        assert is_served(address)

    def test_an_answer_that_takes_too_long_ends_with_its_connection(
        self, serve: Serve, going: threading.Event
    ) -> None:
        """Whatever the callback does."""
        address = serve()
        with client(address) as connection:
            connection.sendall(b"GET /probe?target=example.org HTTP/1.1\r\nHost: x\r\n\r\n")
            assert going.wait(SECONDS)
            assert everything(connection) == b""
        assert is_served(address)

    def test_a_silent_tls_client_is_ended(self, serve: Serve, tmp_path: Path) -> None:
        """The handshake has the time of a head."""
        web_tls.authority().write(tmp_path, "page")
        config = tmp_path / "web.yml"
        config.write_text("tls_server_config: {cert_file: page.pem, key_file: page.key}\n")
        address = serve(web_config_file=config)
        with client(address) as connection:
            assert everything(connection) == b""
        context = ssl.create_default_context(cafile=tmp_path / "page.pem")
        honest = http.client.HTTPSConnection(*address, context=context, timeout=SECONDS)
        honest.request("GET", "/-/healthy")
        assert honest.getresponse().status == 200
        honest.close()


class TestWhoPoursIn:
    """Memory is bounded."""

    def test_a_huge_head_is_refused(self, serve: Serve) -> None:
        """Beyond 16 KiB."""
        address = serve()
        with client(address) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000)
            found = everything(connection)
            assert found == b"" or found.startswith(b"HTTP/1.1 400")
        assert is_served(address)

    def test_a_huge_request_line_is_refused(self, serve: Serve) -> None:
        """As any part of the head."""
        address = serve()
        with client(address) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /" + b"a" * 200_000)
            found = everything(connection)
            assert found == b"" or found.startswith(b"HTTP/1.1 400")
        assert is_served(address)

    def test_a_body_that_never_ends_is_not_read_for_ever(self, serve: Serve) -> None:
        """Nobody asked for one."""
        address = serve()
        with client(address) as connection:
            connection.sendall(
                b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert is_served(address)

    def test_very_many_connections_keep_nobody_out(self, serve: Serve) -> None:
        """The oldest that only hold on make room."""
        address = serve(ServerLimits(connections=32, head_seconds=2 * SECONDS))
        with ExitStack() as stack:
            held = [stack.enter_context(client(address)) for _ in range(200)]
            assert is_served(address)
            assert everything(held[0]) == b""  # it made room

    def test_very_many_handshakes_keep_nobody_out(self, serve: Serve, tmp_path: Path) -> None:
        """A connection counts from accept, long before TLS is up."""
        web_tls.authority().write(tmp_path, "page")
        config = tmp_path / "web.yml"
        config.write_text("tls_server_config: {cert_file: page.pem, key_file: page.key}\n")
        limits = ServerLimits(connections=8, head_seconds=2 * SECONDS, stop_seconds=1)
        address = serve(limits, web_config_file=config)
        context = ssl.create_default_context(cafile=tmp_path / "page.pem")
        with ExitStack() as stack:
            held = [stack.enter_context(client(address)) for _ in range(50)]
            honest = http.client.HTTPSConnection(*address, context=context, timeout=SECONDS)
            honest.request("GET", "/-/healthy")
            assert honest.getresponse().status == 200
            honest.close()
            assert everything(held[0]) == b""  # it made room

    def test_connections_at_work_are_not_sacrificed(
        self, serve: Serve, going: threading.Event, go: threading.Event
    ) -> None:
        """A flood of idle ones does not end a request under way."""
        address = serve(ServerLimits(connections=8, head_seconds=2 * SECONDS))
        with ExitStack() as stack:
            working = stack.enter_context(client(address))
            working.sendall(
                b"GET /probe?target=example.org HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            assert going.wait(SECONDS)
            for _ in range(50):
                stack.enter_context(client(address))
            assert is_served(address)
            go.set()
            assert everything(working).startswith(b"HTTP/1.1 200 OK")


class TestWhoTalksNonsense:
    """400, or the end of the connection; never a traceback, never a crash."""

    @pytest.mark.parametrize(
        "octets",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
            b"\x00" * 100,
            b"EHLO mx.example\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n bad: folded\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://[::bad HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /-/reload HTTP/1.1\r\nHost: x\r\nOrigin: http://[\r\n\r\n",
            b"GET /metrics?shard=%ff%00&shards=\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /probe?target=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    )
    def test_nonsense_is_refused_in_words(self, serve: Serve, octets: bytes) -> None:
        """And an honest client is served after it."""
        address = serve()
        with client(address) as connection:
            connection.sendall(octets)
            found = everything(connection)
        assert b"Traceback" not in found
        assert b" 500 " not in found.split(b"\r\n")[0]
        assert is_served(address)

    def test_whoever_hangs_up_leaves_nothing_behind(self, serve: Serve) -> None:
        """Half closed, or reset in the middle of an answer."""
        address = serve()
        with client(address) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            everything(connection)
        for _ in range(5):
            with client(address) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.recv(100)
        assert is_served(address)

    def test_requests_in_a_row_are_answered_in_order(self, serve: Serve) -> None:
        """Pipelining (RFC 9112 §9.3.2)."""
        with client(serve()) as connection:
            connection.sendall(
                b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            found = everything(connection)
        assert found.index(b"danewatch is healthy") < found.index(b"danewatch is ready")
