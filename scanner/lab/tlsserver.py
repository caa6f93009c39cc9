"""The TLS side of the lab's mail hosts: shared contexts and a server handshake over any byte pipe.

pyOpenSSL is used because it takes certificates and keys as objects, still speaks TLS 1.0, and
shows what OpenSSL does with odd chains. Contexts are made on first use and shared by every
connection that shows the same chain.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from OpenSSL import SSL

from scanner.lab.ca import Chain
from scanner.lab.plan import MailHostPlan, TlsKind

RECEIVE_BYTES = 16_384
_EVERY_CIPHER = b"ALL:!aNULL:!eNULL:@SECLEVEL=0"
_ANONYMOUS_CIPHERS = b"aNULL:@SECLEVEL=0"
_VERSIONS = {
    TlsKind.MODERN: (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION),
    TlsKind.TLS12_ONLY: (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION),
    TlsKind.TLS13_ONLY: (SSL.TLS1_3_VERSION, SSL.TLS1_3_VERSION),
    TlsKind.TLS10_ONLY: (SSL.TLS1_VERSION, SSL.TLS1_VERSION),
    TlsKind.ANONYMOUS: (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION),
}

Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes]]


class TlsContexts:
    """Makes and shares the TLS contexts of all mail hosts of a lab."""

    def __init__(self) -> None:
        self._plain: dict[tuple[int, int, TlsKind], SSL.Context] = {}
        self._kept: list[Chain] = []  # keeps identities used as keys alive

    def for_host(self, plan: MailHostPlan) -> SSL.Context:
        """Return the context that shows what ``plan`` says, by SNI where it says so."""
        if not plan.sni_chains:
            return self._context(plan.chain, plan.second_chain, plan.tls)
        context = _new_context(plan.chain, plan.second_chain, plan.tls)
        by_name = {
            str(name): self._context(chain, None, plan.tls) for name, chain in plan.sni_chains
        }

        def choose(connection: SSL.Connection) -> None:
            asked = (connection.get_servername() or b"").decode("ascii", "replace").lower()
            if asked in by_name:
                connection.set_context(by_name[asked])

        context.set_tlsext_servername_callback(choose)
        return context

    def _context(self, chain: Chain | None, second: Chain | None, kind: TlsKind) -> SSL.Context:
        key = (id(chain), id(second), kind)
        if key not in self._plain:
            self._plain[key] = _new_context(chain, second, kind)
            self._kept.extend(item for item in (chain, second) if item is not None)
        return self._plain[key]


def _new_context(chain: Chain | None, second: Chain | None, kind: TlsKind) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    lowest, highest = _VERSIONS[kind]
    context.set_min_proto_version(lowest)
    context.set_max_proto_version(highest)
    context.set_cipher_list(_ANONYMOUS_CIPHERS if kind is TlsKind.ANONYMOUS else _EVERY_CIPHER)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    for item in (second, chain):
        if item is not None and kind is not TlsKind.ANONYMOUS:
            context.use_certificate(item.leaf)
            context.use_privatekey(item.key)
    if chain is not None and kind is not TlsKind.ANONYMOUS:
        for certificate in chain.certificates[1:]:
            context.add_extra_chain_cert(certificate)
    return context


@dataclass(slots=True)
class TlsServer:
    """One TLS connection over a byte pipe; ``receive`` returns b"" at the end of the stream."""

    connection: SSL.Connection
    send_raw: Send
    receive_raw: Receive

    @property
    def server_name(self) -> str | None:
        """The SNI the client sent."""
        name = self.connection.get_servername()
        return None if name is None else name.decode("ascii", "replace")

    async def handshake(self, early: bytes = b"") -> bool:
        """Return whether TLS came up. ``early`` are octets already read from the pipe."""
        if early:
            self.connection.bio_write(early)
        while True:
            try:
                self.connection.do_handshake()
            except SSL.WantReadError:
                await self._flush()
                if not await self._fill():
                    return False
                continue
            except SSL.Error:
                await self._flush()  # the alert
                return False
            await self._flush()
            return True

    async def send(self, data: bytes) -> None:
        """Send application data."""
        self.connection.sendall(data)
        await self._flush()

    async def receive(self) -> bytes:
        """Return application data, b"" at the end."""
        while True:
            try:
                received: bytes = self.connection.recv(RECEIVE_BYTES)
            except SSL.WantReadError:
                await self._flush()
                if not await self._fill():
                    return b""
            except (SSL.ZeroReturnError, SSL.SysCallError, SSL.Error):
                return b""
            else:
                return received

    async def _fill(self) -> bool:
        data = await self.receive_raw()
        if data:
            self.connection.bio_write(data)
        return bool(data)

    async def _flush(self) -> None:
        while True:
            try:
                data = self.connection.bio_read(RECEIVE_BYTES)
            except SSL.WantReadError:
                return
            await self.send_raw(data)


def accept_on(context: SSL.Context, send: Send, receive: Receive) -> TlsServer:
    """Return a TLS server connection over the pipe ``send`` and ``receive``."""
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return TlsServer(connection, send, receive)
