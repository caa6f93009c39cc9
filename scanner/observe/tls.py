"""The TLS handshake of a probe, for evidence and not for security.

Job: complete a handshake with *any* server, however old or odd, and bring back the whole chain as
it was presented. Nothing is verified here; that is the judge's work.

Rules, each learnt from a trap:

* Ciphers without authentication are not offered (``!aNULL``): a server that prefers them would
  present no certificate at all, and a healthy host would look as if it had none.
* TLS 1.0 and every key size are accepted (``@SECLEVEL=0``, legacy renegotiation peers too).
* The ClientHello stays small. OpenSSL 3.5 and later send some 1,600 octets, two TCP segments, and
  mail servers exist that hang on it (openssl issue 27557). A short list of groups keeps it near
  450; servers that want other groups are still reached by HelloRetryRequest.
* A server with both an RSA and an ECDSA certificate shows one of them, as the client's offer says.
  ``client_context(only=...)`` offers one algorithm, so that the other one can be asked for.
* The chain is taken as DER from OpenSSL, not through a stricter parser that could refuse it.

pyOpenSSL with memory BIOs, driven over a ``PeerStream``. It uses cryptography's own OpenSSL, the
same on every host. Deadlines are the caller's. Work is bounded: OpenSSL limits one certificate
message to 100 KiB, RSA moduli to 16,384 bits and needless records to a few dozen, no chain is
verified, and the octets read are counted here.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, _util, crypto

from scanner.model.observation import ProbeError
from scanner.observe.net import PeerError, PeerStream, TimeUpError
from scanner.observe.turnstile import turnstile

CIPHERS = b"ALL:!aNULL:!eNULL:@SECLEVEL=0"
GROUPS = b"X25519:P-256:P-384:P-521:X448:X25519MLKEM768"
MAX_CLIENT_HELLO_OCTETS = 1_200
"""A hello must fit one TCP segment over any path (1,220 octets at IPv6's least MTU of 1,280)."""
MAX_HANDSHAKE_OCTETS = 524_288
"""Octets read during one handshake. Ours: five times the largest message OpenSSL accepts."""
MAX_CHAIN_CERTIFICATES = 100
"""Certificates kept of one chain. Ours: real chains have 1 to 5."""
MAX_CHAIN_OCTETS = 262_144
"""DER octets kept of one chain. Ours; OpenSSL's own limit of 102,400 usually comes first."""
READ_OCTETS = 16_384
"""Octets asked of the socket at once: one full TLS record (RFC 8446 §5.1)."""
OUTPUT_OCTETS = 2_048
"""Octets fetched of OpenSSL at once to be sent: a hello and whatever else we say fits."""

_ALERT = re.compile(r"\S+ alert (.+)|tlsv13? (.+)")
"""How OpenSSL words an alert it received: "tls alert handshake failure" in version 4, other first
words before, and no "alert" in those of RFC 6066 ("tlsv1 unrecognized name")."""
_TOO_LARGE = frozenset({"excessive message size"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFacts:
    """What a handshake showed. ``chain`` is DER, leaf first, in the order presented."""

    version: str
    cipher: str
    group: str | None
    chain: tuple[bytes, ...]


class Algorithm(StrEnum):
    """What a certificate's key can be, where servers commonly hold one of each."""

    RSA = "rsa"
    ECDSA = "ecdsa"

    @property
    def other(self) -> "Algorithm":
        """The other one."""
        return Algorithm.ECDSA if self is Algorithm.RSA else Algorithm.RSA


_CIPHERS_OF = {
    Algorithm.RSA: b"aRSA:!eNULL:@SECLEVEL=0",
    Algorithm.ECDSA: b"aECDSA:!eNULL:@SECLEVEL=0",
}
_SIGNATURES_OF = {
    Algorithm.RSA: b"RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
    b":RSA+SHA224:RSA+SHA1",
    # The RSA algorithms of PKCS #1 are there for the issuers: many an ECDSA certificate is signed
    # by an RSA one, and a strict server holds the whole chain against this list. The server itself
    # cannot use them: not with an ECDSA suite, nor in TLS 1.3 at all (RFC 8446 §4.2.3).
    Algorithm.ECDSA: b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ECDSA+SHA224:ECDSA+SHA1"
    b":RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA+SHA1",
}


def client_context(*, only: Algorithm | None = None) -> SSL.Context:
    """Return the context to share between all probes; making one costs more than a handshake.

    With ``only``, no certificate of another algorithm can be shown: the handshake then fails.

    Checks itself: should the short list of groups not take effect (another OpenSSL, a changed
    private interface), one classical group is set by public means, so that the hello stays small.
    """
    context = _base_context()
    if only is not None:
        _offer_only(context, only)
    if not _set_groups(context) or client_hello_octets(context) > MAX_CLIENT_HELLO_OCTETS:
        context.set_tmp_ecdh(ec.SECP256R1())
    return context


def client_hello_octets(context: SSL.Context, sni: str = "mx." + "a" * 60 + ".example") -> int:
    """Return the size of the first flight a client with ``context`` sends for ``sni``."""
    connection = _connection(context, sni)
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return len(_pending_output(connection))


async def handshake(stream: PeerStream, context: SSL.Context, sni: str | None) -> "TlsStream":
    """Do the handshake over ``stream`` and return the encrypted stream with its facts.

    What ends the handshake on our side is sent with the first octets of the new stream.
    Raises PeerError: TLS_ALERT (the peer refused; the detail names the alert), TLS_PROTOCOL (what
    came is not a handshake we can follow), NO_CERTIFICATE, TOO_LARGE, CLOSED and what ``stream``
    raises.
    """
    connection = _connection(context, sni)
    received = 0
    while True:
        failure: PeerError | None = None
        done = False
        try:
            connection.do_handshake()
            done = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            failure = _translate(error)
        if done:
            # Our last message goes out with the first one under TLS, in one packet.
            return TlsStream(stream, connection, _facts(connection))
        await _flush(stream, connection, tolerate_loss=failure is not None)
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # with its traceback it is a cycle, and keeps the whole probe alive
        data = await stream.receive(READ_OCTETS)
        if not data:
            raise PeerError(ProbeError.CLOSED, "the server closed the connection in the handshake")
        received += len(data)
        if received > MAX_HANDSHAKE_OCTETS:
            limit = MAX_HANDSHAKE_OCTETS
            raise PeerError(ProbeError.TOO_LARGE, f"more than {limit} octets in the handshake")
        connection.bio_write(data)
        await turnstile().go_on()  # the next step is most of the work of a probe


class TlsStream:
    """What goes on after the handshake; the same manners as PeerStream."""

    def __init__(self, stream: PeerStream, connection: SSL.Connection, facts: TlsFacts) -> None:
        self._stream = stream
        self._connection = connection
        self.facts = facts

    def end_at(self, until: float, late: Callable[[], TimeUpError]) -> None:
        """See ``PeerStream.end_at``."""
        self._stream.end_at(until, late)

    async def send(self, data: bytes) -> None:
        """Send all of ``data`` (at most one record, 16 KiB). Raises PeerError."""
        try:
            self._connection.send(data)
        except SSL.Error as error:
            raise _translate(error) from error
        await _flush(self._stream, self._connection, tolerate_loss=False)

    async def send_close(self) -> None:
        """Send close_notify and do not wait for the peer's (RFC 8446 §6.1). Raises PeerError."""
        with contextlib.suppress(SSL.Error):
            self._connection.shutdown()
        await _flush(self._stream, self._connection, tolerate_loss=True)

    async def receive(self, max_octets: int) -> bytes:
        """Return at least one octet of plaintext; b"" once the peer has closed. Raises PeerError.

        An end without close_notify counts as an end: nothing of value is read here.
        """
        while True:
            try:
                return self._connection.recv(max_octets)
            except SSL.WantReadError:
                pass
            except (SSL.ZeroReturnError, SSL.SysCallError):
                return b""
            except SSL.Error as error:
                raise _translate(error) from error
            await _flush(self._stream, self._connection, tolerate_loss=False)
            data = await self._stream.receive(READ_OCTETS)
            if data:
                self._connection.bio_write(data)
            else:
                self._connection.bio_shutdown()


def _base_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_verify_depth(0)  # OpenSSL builds a path even so; this keeps it from being long
    context.set_min_proto_version(0)
    context.set_cipher_list(CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(
        SSL.OP_NO_TICKET
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        # Peers without RFC 5746 are old, not absent; we never renegotiate.
        | SSL.OP_LEGACY_SERVER_CONNECT
    )
    return context


def _set_groups(context: SSL.Context) -> bool:
    """Set the list of key exchange groups; False where that cannot be done.

    pyOpenSSL has no public call for a list, so this is the one place that reaches inside it.
    """
    try:
        return bool(_util.lib.SSL_CTX_set1_curves_list(context._context, GROUPS) == 1)
    except (AttributeError, TypeError):
        return False


def _offer_only(context: SSL.Context, only: Algorithm) -> None:
    """Let a server authenticate by ``only``: cipher suites say so up to TLS 1.2 (RFC 5246 §7.4.2),
    signature algorithms from TLS 1.3 on (RFC 8446 §4.2.3).

    Without a way to set the latter, TLS 1.3 is not offered: there the suites do not tell.
    """
    context.set_cipher_list(_CIPHERS_OF[only])
    if not _set_signature_algorithms(context, _SIGNATURES_OF[only]):
        context.set_max_proto_version(SSL.TLS1_2_VERSION)


def _set_signature_algorithms(context: SSL.Context, names: bytes) -> bool:
    """Set the list of signature algorithms; False where that cannot be done.

    As for groups, pyOpenSSL has no public call and this reaches inside it.
    """
    try:
        return bool(_util.lib.SSL_CTX_set1_sigalgs_list(context._context, names) == 1)
    except (AttributeError, TypeError):
        return False


def _connection(context: SSL.Context, sni: str | None) -> SSL.Connection:
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if sni:
        connection.set_tlsext_host_name(sni.encode("ascii"))
    return connection


def _pending_output(connection: SSL.Connection) -> bytes:
    pieces: list[bytes] = []
    while True:
        try:
            piece = connection.bio_read(OUTPUT_OCTETS)
        except SSL.WantReadError:
            break
        pieces.append(piece)
        if len(piece) < OUTPUT_OCTETS:  # a memory BIO gives all it has
            break
    return b"".join(pieces)


async def _flush(stream: PeerStream, connection: SSL.Connection, *, tolerate_loss: bool) -> None:
    """Send what OpenSSL wants sent. With ``tolerate_loss`` a peer that is gone does not matter:
    the outcome stands already, and this is our last message or our alert."""
    output = _pending_output(connection)
    if not output:
        return
    try:
        await stream.send(output)
    except PeerError:
        if not tolerate_loss:
            raise


def _facts(connection: SSL.Connection) -> TlsFacts:
    chain = _chain(connection)
    if not chain:
        raise PeerError(ProbeError.NO_CERTIFICATE, "TLS came up without a certificate")
    return TlsFacts(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        group=connection.get_group_name(),
        chain=chain,
    )


def _chain(connection: SSL.Connection) -> tuple[bytes, ...]:
    kept: list[bytes] = []
    room = MAX_CHAIN_OCTETS
    for certificate in (connection.get_peer_cert_chain() or [])[:MAX_CHAIN_CERTIFICATES]:
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        if len(der) > room:
            break
        room -= len(der)
        kept.append(der)
    return tuple(kept)


def _translate(error: SSL.Error) -> PeerError:
    """Return the PeerError for an error of OpenSSL, an alert by its name (RFC 8446 §6)."""
    if isinstance(error, SSL.ZeroReturnError):
        return PeerError(ProbeError.CLOSED, "the server closed TLS in the handshake")
    if isinstance(error, SSL.SysCallError):
        return PeerError(ProbeError.CLOSED, "unexpected end of the TLS stream")
    reasons = [str(entry[2]) for entry in _error_queue(error) if entry[2]]
    for reason in reasons:
        alert = _ALERT.fullmatch(reason)
        if alert is not None:
            return PeerError(ProbeError.TLS_ALERT, f"alert {alert[1] or alert[2]}")
    detail = "; ".join(reasons[:3]) or "TLS failed without a reason"
    too_large = not _TOO_LARGE.isdisjoint(reasons)
    return PeerError(ProbeError.TOO_LARGE if too_large else ProbeError.TLS_PROTOCOL, detail)


def _error_queue(error: SSL.Error) -> list[tuple[str, str, str]]:
    queue = error.args[0] if error.args else []
    return queue if isinstance(queue, list) else []
