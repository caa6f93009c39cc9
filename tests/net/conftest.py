"""Scripted SMTP servers, in memory or on loopback, and the certificates they show.

A server is an async function of a ``Peer``: what it says and does is the whole script. Everything
a client sends is kept, and after each test it is held that no mail transaction was ever begun
(case 96).
"""

import itertools
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress
from scanner.model.vocabulary import Family
from scanner.observe.smtp import ProbeLimits, SmtpProber

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = Name("mx.test")
ADDRESS = HostAddress(address="8.8.8.8", family=Family.IPV4, status=None)
VECTORS = Path(__file__).parents[1] / "vectors" / "tls"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class Certificates:
    """Makes certificates as of NOW."""

    def leaf(
        self,
        name: str = "mx.test",
        *,
        key: Key | None = None,
        issuer: Credential | None = None,
        not_before: datetime = NOW - DAY,
        not_after: datetime = NOW + 30 * DAY,
    ) -> Credential:
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer.key if issuer else own
        algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .sign(signer, algorithm)
        )
        return Credential(certificate=certificate, key=own)

    def stored(self, name: str) -> Credential:
        """Return a key and certificate that today's libraries refuse to make."""
        pem = (VECTORS / f"{name}.pem").read_bytes()
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        return Credential(certificate=x509.load_pem_x509_certificate(pem), key=key)


@dataclass
class Server:
    """A TLS server's settings; ``context`` makes them real."""

    credential: Credential | None
    second: Credential | None = None
    chain: tuple[Credential, ...] = ()
    minimum: int = 0
    maximum: int = 0
    ciphers: bytes = b"ALL:!aNULL:@SECLEVEL=0"
    curve: ec.EllipticCurve | None = None
    by_name: dict[bytes, "Server"] = field(default_factory=dict)
    wants_client_certificate: bool = False
    dh_parameters: str | None = None

    def context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(self.minimum)
        context.set_max_proto_version(self.maximum)
        context.set_cipher_list(self.ciphers)
        if self.curve is not None:
            context.set_tmp_ecdh(self.curve)
        if self.dh_parameters is not None:
            context.load_tmp_dh(str(VECTORS / f"{self.dh_parameters}.pem"))
        for credential in (self.second, self.credential):
            if credential is not None:
                context.use_certificate(credential.certificate)
                context.use_privatekey(credential.key)
        for issuer in self.chain:
            context.add_extra_chain_cert(issuer.certificate)
        if self.by_name:
            contexts = {name: server.context() for name, server in self.by_name.items()}

            def choose(connection: SSL.Connection) -> None:
                chosen = contexts.get(connection.get_servername() or b"")
                if chosen is not None:
                    connection.set_context(chosen)

            context.set_tlsext_servername_callback(choose)
        if self.wants_client_certificate:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            context.set_verify(mode, lambda *_: True)
        return context


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: trio.abc.Stream, received: bytearray) -> None:
        self.stream = stream
        self.received = received
        self.tls: SSL.Connection | None = None
        self.context: SSL.Context | None = None
        self.server_name: bytes | None = None
        self._buffer = bytearray()

    async def say(self, text: bytes) -> None:
        """Send, in the clear or under TLS."""
        if self.tls is None:
            await self.stream.send_all(text)
        else:
            self.tls.send(text)
            await self._flush()

    async def hear(self) -> bytes:
        """Return the next line without its end; b"" when the client has gone."""
        while b"\n" not in self._buffer:
            data = await self._more()
            if not data:
                return b""
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer[:] = rest
        return line.rstrip(b"\r")

    async def until_gone(self) -> None:
        """Read and ignore until the client closes."""
        while await self._more():
            pass

    async def greet(self, *extensions: bytes) -> None:
        """Say the greeting and answer EHLO with ``extensions``."""
        await self.say(b"220 mx.test ESMTP\r\n")
        await self.hear()
        lines = [b"mx.test", *extensions]
        for line in lines[:-1]:
            await self.say(b"250-" + line + b"\r\n")
        await self.say(b"250 " + lines[-1] + b"\r\n")

    async def until_starttls(self) -> None:
        """Go on until the client has sent STARTTLS."""
        await self.greet(b"PIPELINING", b"STARTTLS")
        assert await self.hear() == b"STARTTLS"

    async def secure(self, server: Server) -> None:
        """Do the handshake as the server; raises SSL.Error when it fails."""
        self.context = server.context()  # outlives a change of context by server name
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                await self._flush(connection)
            except SSL.Error:
                await self._flush(connection)
                raise
            else:
                break
            data = await self._read()
            if data:
                connection.bio_write(data)
            else:
                connection.bio_shutdown()
        self.tls = connection
        self.server_name = connection.get_servername()
        await self._flush()

    async def finish(self) -> None:
        """Answer EHLO over TLS and QUIT."""
        await self.hear()
        await self.say(b"250 mx.test\r\n")
        await self.hear()
        await self.say(b"221 bye\r\n")
        await self.until_gone()

    async def say_no_more(self) -> None:
        """Send close_notify."""
        assert self.tls is not None
        self.tls.shutdown()
        await self._flush()

    async def aclose(self) -> None:
        """Close in the ordinary way."""
        await self.stream.aclose()

    def reset(self) -> None:
        """Close with a TCP reset; loopback only."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def _more(self) -> bytes:
        if self.tls is None:
            return await self._read()
        while True:
            try:
                data = self.tls.recv(65_536)
                self.received += data
                return data
            except SSL.WantReadError:
                encrypted = await self._read()
                if not encrypted:
                    return b""
                self.tls.bio_write(encrypted)
            except SSL.Error:
                return b""

    async def _read(self) -> bytes:
        with suppress(trio.BrokenResourceError):
            data = bytes(await self.stream.receive_some(65_536))
            self.received += data
            return data
        return b""

    async def _flush(self, connection: SSL.Connection | None = None) -> None:
        source = connection or self.tls
        assert source is not None
        with suppress(SSL.WantReadError):
            while True:
                await self.stream.send_all(source.bio_read(65_536))


Script = Callable[[Peer], Awaitable[None]]


class Stage:
    """Where scripts are played; ``connections`` counts how often a client came."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.received = bytearray()
        self.connections = 0
        self.open_now = 0
        self.most_open = 0

    async def play(self, script: Script, stream: trio.abc.Stream) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            # A client that leaves early is no business of the script.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await script(Peer(stream, self.received))
        finally:
            self.open_now -= 1
            await trio.aclose_forcefully(stream)

    def in_memory(self, *scripts: Script) -> Callable[[str, int], Awaitable[trio.abc.Stream]]:
        """Return a ``connect`` whose n-th connection plays the n-th script, then the last again."""

        turn = itertools.count()

        async def connect(address: str, port: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            client, server = trio.testing.memory_stream_pair()
            script = scripts[min(next(turn), len(scripts) - 1)]
            self._nursery.start_soon(self.play, script, server)
            return client

        return connect

    async def on_loopback(self, script: Script) -> int:
        """Serve ``script`` on 127.0.0.1 and return the port; ends with the test."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def handle(stream: trio.SocketStream) -> None:
            await self.play(script, stream)

        self._nursery.start_soon(trio.serve_listeners, handle, listeners)
        port: int = listeners[0].socket.getsockname()[1]
        return port


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    """A place for scripted servers."""
    stage = Stage(nursery)
    yield stage
    assert b"MAIL" not in stage.received.upper()
    assert b"RCPT" not in stage.received.upper()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """A maker of certificates."""
    return Certificates()


@pytest.fixture(scope="session")
def leaf(certificates: Certificates) -> Credential:
    """An ordinary self-signed P-256 certificate for mx.test."""
    return certificates.leaf()


@pytest.fixture(scope="session")
def tls_server() -> type[Server]:
    """The settings of a TLS server."""
    return Server


class FixedClock:
    """It is always NOW."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture
def fixed_clock() -> FixedClock:
    """A clock that stands still."""
    return FixedClock()


@pytest.fixture
def probe(stage: Stage, fixed_clock: FixedClock) -> Callable[..., Awaitable[AddressObservation]]:
    """Probe mx.test at 8.8.8.8, which plays one script a connection (or is what ``connect`` is)."""

    async def run(
        *scripts: Script,
        connect: Callable[[str, int], Awaitable[trio.abc.Stream]] | None = None,
        limits: ProbeLimits | None = None,
        address: HostAddress = ADDRESS,
        sni: Name = HOST,
        both_algorithms: bool = False,
        **options: object,
    ) -> AddressObservation:
        prober = SmtpProber(
            limits=limits or ProbeLimits(),
            clock=fixed_clock,
            ehlo_name="probe.test",
            connect=connect or stage.in_memory(*scripts),
            **options,
        )
        return await prober.probe(HOST, address, sni, both_algorithms=both_algorithms)

    return run


@pytest.fixture
def healthy(leaf: Credential, tls_server: type[Server]) -> Script:
    """A server without fault."""

    async def script(peer: Peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go ahead\r\n")
        await peer.secure(tls_server(credential=leaf))
        await peer.finish()

    return script
