"""The handshake brings back the chain of every server, and names what goes wrong with others."""

import errno
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from scanner.model.observation import ProbeError
from scanner.observe import tls
from scanner.observe.net import PeerError, PeerStream
from scanner.observe.tls import (
    MAX_CLIENT_HELLO_OCTETS,
    TlsFacts,
    client_context,
    client_hello_octets,
    handshake,
)

TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = (
    SSL.TLS1_VERSION,
    SSL.TLS1_1_VERSION,
    SSL.TLS1_2_VERSION,
    SSL.TLS1_3_VERSION,
)
CONTEXT = client_context()


async def shake_hands(stage, script, sni="mx.test") -> TlsFacts:
    """Return what a handshake with a scripted server shows."""
    stream = PeerStream(await stage.in_memory(script)("192.0.2.1", 25))
    async with stream:
        secured = await handshake(stream, CONTEXT, sni)
        await secured.send_close()  # and with it our last message of the handshake
        await trio.testing.wait_all_tasks_blocked()
        return secured.facts


def serving(server) -> Callable[..., Awaitable[None]]:
    """Return a script that only does the handshake."""

    async def script(peer) -> None:
        try:
            await peer.secure(server)
        except SSL.Error:
            return
        await peer.until_gone()

    return script


async def failure_of(stage, script) -> PeerError:
    """Return the error a handshake with a scripted server ends in."""
    with pytest.raises(PeerError) as raised:
        await shake_hands(stage, script)
    return raised.value


ODD_SERVERS = {
    "TLS 1.0 only": {"maximum": TLS_1_0},
    "TLS 1.1 only": {"minimum": TLS_1_1, "maximum": TLS_1_1},
    "TLS 1.2 only": {"minimum": TLS_1_2, "maximum": TLS_1_2},
    "TLS 1.3 only": {"minimum": TLS_1_3},
    "P-521 only": {"curve": ec.SECP521R1()},
    "ephemeral P-384 under TLS 1.2": {"maximum": TLS_1_2, "curve": ec.SECP384R1()},
}


@pytest.mark.parametrize("settings", ODD_SERVERS.values(), ids=ODD_SERVERS)
async def test_the_chain_of_every_protocol_version_and_curve_comes_back(
    stage, leaf, tls_server, settings
) -> None:
    """Whatever single version or curve a server speaks, its certificate is seen (row C13)."""
    facts = await shake_hands(stage, serving(tls_server(credential=leaf, **settings)))
    assert facts.chain == (leaf.der,)


@pytest.mark.parametrize(
    ("maximum", "name"),
    [(TLS_1_0, "TLSv1"), (TLS_1_1, "TLSv1.1"), (TLS_1_2, "TLSv1.2"), (TLS_1_3, "TLSv1.3")],
)
async def test_the_version_is_named(stage, leaf, tls_server, maximum, name) -> None:
    """The version is reported in the usual spelling, so that old ones can be judged."""
    facts = await shake_hands(stage, serving(tls_server(credential=leaf, maximum=maximum)))
    assert facts.version == name


async def test_cipher_and_group_are_named(stage, leaf, tls_server) -> None:
    """The cipher suite and the key exchange group are part of the evidence."""
    facts = await shake_hands(stage, serving(tls_server(credential=leaf, curve=ec.SECP256R1())))
    assert (facts.cipher[:4], facts.group) == ("TLS_", "secp256r1")


@pytest.mark.parametrize("name", ["rsa512-sha1", "rsa1024-sha1"])
@pytest.mark.parametrize("maximum", [TLS_1_0, TLS_1_2])
async def test_weak_keys_and_sha1_are_seen(stage, certificates, tls_server, name, maximum) -> None:
    """A certificate too weak for any policy is still presented to the judge."""
    weak = certificates.stored(name)
    facts = await shake_hands(stage, serving(tls_server(credential=weak, maximum=maximum)))
    assert facts.chain == (weak.der,)


async def test_a_weak_key_is_seen_under_tls_1_3(stage, certificates, tls_server) -> None:
    """A 1024-bit RSA key under TLS 1.3 (RSA-PSS) too."""
    weak = certificates.stored("rsa1024-sha1")
    facts = await shake_hands(stage, serving(tls_server(credential=weak, minimum=TLS_1_3)))
    assert facts.chain == (weak.der,)


@pytest.mark.parametrize("cipher", [b"AES128-SHA", b"AES256-GCM-SHA384", b"DHE-RSA-AES128-SHA"])
async def test_old_key_exchanges_are_followed(stage, certificates, tls_server, cipher) -> None:
    """Static RSA and CBC suites, which default settings refuse, are followed."""
    credential = certificates.leaf(key=rsa.generate_private_key(65_537, 2_048))
    server = tls_server(
        credential=credential,
        maximum=TLS_1_2,
        ciphers=cipher + b":@SECLEVEL=0",
        dh_parameters="dh1024",
    )
    facts = await shake_hands(stage, serving(server))
    assert (facts.cipher, facts.chain) == (cipher.decode(), (credential.der,))


async def test_an_ed25519_certificate_is_seen(stage, certificates, tls_server) -> None:
    """Ed25519 certificates are followed."""
    credential = certificates.leaf(key=ed25519.Ed25519PrivateKey.generate())
    facts = await shake_hands(stage, serving(tls_server(credential=credential)))
    assert facts.chain == (credential.der,)


async def test_an_expired_certificate_is_seen(stage, certificates, tls_server) -> None:
    """Validity is the judge's business, not the handshake's."""
    expired = certificates.leaf(
        not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=datetime(2026, 2, 1, tzinfo=UTC)
    )
    facts = await shake_hands(stage, serving(tls_server(credential=expired)))
    assert facts.chain == (expired.der,)


async def test_the_whole_chain_comes_in_the_order_presented(
    stage, certificates, tls_server
) -> None:
    """Leaf first, then whatever else was sent, related or not, in its order."""
    root = certificates.leaf("root.test")
    middle = certificates.leaf("middle.test", issuer=root)
    own = certificates.leaf(issuer=middle)
    stranger = certificates.leaf("stranger.test")
    server = tls_server(credential=own, chain=(stranger, root, middle))
    facts = await shake_hands(stage, serving(server))
    assert facts.chain == (own.der, stranger.der, root.der, middle.der)


async def test_a_chain_of_a_hundred_certificates_is_followed(
    stage, certificates, tls_server
) -> None:
    """A hundred certificates are neither an error nor lost."""
    others = tuple(certificates.leaf(f"ca{number}.test") for number in range(99))
    own = certificates.leaf()
    facts = await shake_hands(stage, serving(tls_server(credential=own, chain=others)))
    assert facts.chain == (own.der, *(other.der for other in others))


async def test_no_more_than_the_limit_of_certificates_is_kept(
    stage, certificates, tls_server, monkeypatch
) -> None:
    """The kept chain is bounded in number, leaf first."""
    monkeypatch.setattr(tls, "MAX_CHAIN_CERTIFICATES", 2)
    others = tuple(certificates.leaf(f"ca{number}.test") for number in range(3))
    own = certificates.leaf()
    facts = await shake_hands(stage, serving(tls_server(credential=own, chain=others)))
    assert facts.chain == (own.der, others[0].der)


async def test_no_more_than_the_limit_of_octets_is_kept(
    stage, certificates, tls_server, monkeypatch
) -> None:
    """The kept chain is bounded in octets, whole certificates only."""
    other = certificates.leaf("ca.test")
    own = certificates.leaf()
    monkeypatch.setattr(tls, "MAX_CHAIN_OCTETS", len(own.der) + len(other.der) - 1)
    facts = await shake_hands(stage, serving(tls_server(credential=own, chain=(other,))))
    assert facts.chain == (own.der,)


async def test_a_certificate_message_over_the_limit_of_openssl_is_too_large(
    stage, certificates, tls_server
) -> None:
    """A chain of more than 100 KiB ends in a declared error, not in memory."""
    big = certificates.leaf("x" * 60, key=rsa.generate_private_key(65_537, 2_048))
    server = tls_server(credential=certificates.leaf(), chain=(big,) * 200)
    error = await failure_of(stage, serving(server))
    assert (error.error, error.detail) == (ProbeError.TOO_LARGE, "excessive message size")


async def test_sni_is_sent_as_given(stage, leaf, certificates, tls_server) -> None:
    """The server sees exactly the name given, and may choose by it (cases 82, 83)."""
    named = certificates.leaf("named.test")
    server = tls_server(credential=leaf, by_name={b"named.test": tls_server(credential=named)})
    right = await shake_hands(stage, serving(server), sni="named.test")
    other = await shake_hands(stage, serving(server), sni="other.test")
    assert (right.chain, other.chain) == ((named.der,), (leaf.der,))


async def test_without_a_name_no_sni_is_sent(stage, leaf, tls_server) -> None:
    """None means no server name at all."""
    seen = []

    async def script(peer) -> None:
        await peer.secure(tls_server(credential=leaf))
        seen.append(peer.server_name)
        await peer.until_gone()

    await shake_hands(stage, script, sni=None)
    assert seen == [None]


async def test_an_anonymous_server_is_a_refusal_and_not_a_missing_certificate(
    stage, tls_server
) -> None:
    """Anonymous suites are not offered, so such a server refuses us (case 81)."""
    server = tls_server(credential=None, maximum=TLS_1_2, ciphers=b"aNULL:@SECLEVEL=0")
    error = await failure_of(stage, serving(server))
    assert (error.error, error.detail) == (ProbeError.TLS_ALERT, "alert handshake failure")


def test_a_handshake_without_a_certificate_has_its_own_error() -> None:
    """Should TLS ever come up without a certificate, that is said."""

    class Bare:
        def get_peer_cert_chain(self) -> None:
            return None

    with pytest.raises(PeerError) as raised:
        tls._facts(Bare())  # type: ignore[arg-type]
    assert raised.value.error is ProbeError.NO_CERTIFICATE


ALERTS = {
    10: "alert unexpected message",
    40: "alert handshake failure",
    70: "alert protocol version",
    80: "alert internal error",
    112: "alert unrecognized name",
    116: "alert certificate required",
}


@pytest.mark.parametrize(("number", "detail"), ALERTS.items(), ids=ALERTS.values())
async def test_an_alert_is_named(stage, number, detail) -> None:
    """A fatal alert is told by its name in RFC 8446 §6."""

    async def script(peer) -> None:
        await peer.stream.receive_some(4_096)
        await peer.stream.send_all(bytes([21, 3, 3, 0, 2, 2, number]))
        await peer.until_gone()

    error = await failure_of(stage, script)
    assert (error.error, error.detail) == (ProbeError.TLS_ALERT, detail)


@pytest.mark.parametrize("maximum", [TLS_1_2, TLS_1_3])
async def test_a_warning_about_the_server_name_is_no_refusal(
    stage, leaf, tls_server, maximum
) -> None:
    """Old servers warn that they do not know the name (RFC 6066 §3) and then go on; so do we."""

    async def script(peer) -> None:
        await peer.stream.send_all(bytes([21, 3, 3, 0, 2, 1, 112]))
        await peer.secure(tls_server(credential=leaf, maximum=maximum))
        await peer.until_gone()

    assert (await shake_hands(stage, script)).chain == (leaf.der,)


async def test_a_close_notify_in_the_handshake_is_a_close(stage) -> None:
    """A server that ends TLS in due form before it began has closed."""

    async def script(peer) -> None:
        await peer.stream.receive_some(4_096)
        await peer.stream.send_all(bytes([21, 3, 3, 0, 2, 1, 0]))
        await peer.until_gone()

    assert (await failure_of(stage, script)).error is ProbeError.CLOSED


@pytest.mark.parametrize(
    "garbage",
    [b"500 what?\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b"\x16\x03\x03\xff\xff"],
)
async def test_what_is_not_tls_is_a_protocol_error(stage, garbage) -> None:
    """Bytes that are no handshake end in TLS_PROTOCOL with OpenSSL's words."""

    async def script(peer) -> None:
        await peer.stream.receive_some(4_096)
        await peer.stream.send_all(garbage)
        await peer.until_gone()

    error = await failure_of(stage, script)
    assert error.error is ProbeError.TLS_PROTOCOL
    assert error.detail


async def test_a_certificate_that_cannot_be_parsed_is_a_protocol_error(stage, leaf) -> None:
    """Hostile DER in the certificate message is refused by OpenSSL and reported."""
    error = await failure_of(stage, _replay_with_broken_certificate)
    assert error.error is ProbeError.TLS_PROTOCOL


async def _replay_with_broken_certificate(peer) -> None:
    """A TLS 1.2 ServerHello (static RSA) and a Certificate of 3 octets that are no DER."""
    await peer.stream.receive_some(4_096)
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
    hello += b"\x00\x05\xff\x01\x00\x01\x00"  # renegotiation_info, empty
    certificate = b"\x00\x00\x06" + b"\x00\x00\x03" + b"\xde\xad\xbf"
    messages = b""
    for kind, body in ((2, hello), (11, certificate), (14, b"")):
        messages += bytes([kind]) + len(body).to_bytes(3, "big") + body
    await peer.stream.send_all(b"\x16\x03\x03" + len(messages).to_bytes(2, "big") + messages)
    await peer.until_gone()


async def test_a_close_in_the_handshake_is_a_close(stage) -> None:
    """A server that hangs up after our hello has closed, and sent no alert."""

    async def script(peer) -> None:
        await peer.stream.receive_some(4_096)

    assert (await failure_of(stage, script)).error is ProbeError.CLOSED


async def test_an_endless_handshake_is_cut_off(stage, monkeypatch) -> None:
    """Octets read in one handshake are bounded, even where each record is acceptable."""
    monkeypatch.setattr(tls, "MAX_HANDSHAKE_OCTETS", 1_000)

    async def script(peer) -> None:
        await peer.stream.receive_some(4_096)
        header = b"\x02\x00\xff\xff"  # a ServerHello that announces 65,535 octets
        await peer.stream.send_all(b"\x16\x03\x03\x08\x00" + header + bytes(2_044))
        await peer.until_gone()

    assert (await failure_of(stage, script)).error is ProbeError.TOO_LARGE


async def test_a_lost_alert_does_not_hide_the_failure(stage) -> None:
    """When our own alert cannot be sent any more, the protocol error is still what is reported."""

    class Deaf(trio.abc.Stream):
        def __init__(self) -> None:
            self.sent = 0

        async def send_all(self, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self.sent += 1
            if self.sent > 1:
                raise trio.BrokenResourceError from OSError(errno.EPIPE, "gone")

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            return b"500 no such command\r\n"

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async with PeerStream(Deaf()) as stream:
        with pytest.raises(PeerError) as raised:
            await handshake(stream, CONTEXT, "mx.test")
    assert raised.value.error is ProbeError.TLS_PROTOCOL


async def test_a_server_that_wants_a_client_certificate_was_seen_all_the_same(
    stage, leaf, tls_server
) -> None:
    """Under TLS 1.3 its alert comes after the handshake; the chain is there by then."""
    server = tls_server(credential=leaf, minimum=TLS_1_3, wants_client_certificate=True)
    async with PeerStream(await stage.in_memory(serving(server))("192.0.2.1", 25)) as stream:
        secured = await handshake(stream, CONTEXT, "mx.test")
        with pytest.raises(PeerError) as raised:
            await secured.receive(100)
        with pytest.raises(PeerError):
            await secured.send(b"anybody there?")
    assert secured.facts.chain == (leaf.der,)
    assert raised.value.detail == "alert certificate required"


async def test_the_encrypted_stream_carries_both_ways_and_ends(stage, leaf, tls_server) -> None:
    """Octets go both ways, and close_notify ends the stream."""

    async def script(peer) -> None:
        await peer.secure(tls_server(credential=leaf))
        await peer.say(b"you said " + await peer.hear())
        await peer.say_no_more()

    async with PeerStream(await stage.in_memory(script)("192.0.2.1", 25)) as stream:
        secured = await handshake(stream, CONTEXT, "mx.test")
        await secured.send(b"hello\n")
        assert await secured.receive(100) == b"you said hello"
        assert await secured.receive(100) == b""
        await secured.send_close()


async def test_an_end_without_close_notify_is_an_end(stage, leaf, tls_server) -> None:
    """Servers that just hang up after QUIT are common."""

    async def script(peer) -> None:
        await peer.secure(tls_server(credential=leaf))

    async with PeerStream(await stage.in_memory(script)("192.0.2.1", 25)) as stream:
        secured = await handshake(stream, CONTEXT, "mx.test")
        assert await secured.receive(100) == b""


def test_the_hello_fits_one_segment() -> None:
    """The ClientHello stays under the size at which some mail servers hang."""
    longest = "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 50 + ".test"
    assert client_hello_octets(CONTEXT, longest) < MAX_CLIENT_HELLO_OCTETS
    assert client_hello_octets(CONTEXT) < 600


def test_without_the_private_call_the_hello_is_small_all_the_same(monkeypatch) -> None:
    """Should pyOpenSSL change inside, one classical group is set by public means."""
    monkeypatch.setattr(tls, "_util", object())
    assert client_hello_octets(client_context()) < MAX_CLIENT_HELLO_OCTETS


def test_an_unusable_list_of_groups_falls_back_too(monkeypatch) -> None:
    """A list that this OpenSSL refuses is the same as no list."""
    monkeypatch.setattr(tls, "GROUPS", b"no-such-group")
    assert client_hello_octets(client_context()) < MAX_CLIENT_HELLO_OCTETS
