"""The second connection that asks for the certificate of the other algorithm (row C30, case 93).

Whatever it meets, the result of the first connection stands as it is.
"""

from dataclasses import replace

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from OpenSSL import SSL

from scanner.model.observation import OtherAlgorithm, ProbeError, ProbeStage
from scanner.observe import tls
from scanner.observe.smtp import ProbeLimits
from scanner.observe.tls import (
    MAX_CLIENT_HELLO_OCTETS,
    Algorithm,
    client_context,
    client_hello_octets,
)

LIMITS = ProbeLimits()
VERSIONS = {
    "any version": {},
    "TLS 1.2 only": {"minimum": SSL.TLS1_2_VERSION, "maximum": SSL.TLS1_2_VERSION},
    "TLS 1.3 only": {"minimum": SSL.TLS1_3_VERSION},
    "TLS 1.0 only": {"maximum": SSL.TLS1_VERSION},
}
every_version = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


@pytest.fixture(scope="session")
def rsa_leaf(certificates):
    """An RSA certificate for mx.test."""
    return certificates.leaf(key=rsa.generate_private_key(65_537, 2_048))


def serving(server):
    """Return a script of a well-behaved server with these TLS settings."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go ahead\r\n")
        try:
            await peer.secure(server)
        except SSL.Error:
            return
        await peer.finish()

    return script


# -- what servers hold -------------------------------------------------------------------------


@every_version
async def test_both_certificates_of_a_server_are_seen(
    probe, stage, leaf, rsa_leaf, tls_server, version, autojump_clock
) -> None:
    """With every protocol version; the one an ordinary client is shown stays the result."""
    server = serving(tls_server(credential=leaf, second=rsa_leaf, **version))
    seen = await probe(server, both_algorithms=True)
    assert (seen.stage, seen.chain) == (ProbeStage.DONE, (leaf.der,))
    assert (seen.other_algorithm, seen.other_chain) == (OtherAlgorithm.SHOWN, (rsa_leaf.der,))
    assert (stage.connections, stage.most_open, seen.attempts) == (2, 1, 1)


@every_version
async def test_where_rsa_is_shown_first_ecdsa_is_asked_for(
    probe, leaf, rsa_leaf, tls_server, version, autojump_clock
) -> None:
    """The reverse, as of a server that prefers RSA."""
    first = serving(tls_server(credential=rsa_leaf, **version))
    then = serving(tls_server(credential=rsa_leaf, second=leaf, **version))
    seen = await probe(first, then, both_algorithms=True)
    assert seen.chain == (rsa_leaf.der,)
    assert (seen.other_algorithm, seen.other_chain) == (OtherAlgorithm.SHOWN, (leaf.der,))


@every_version
@pytest.mark.parametrize("algorithm", Algorithm)
async def test_a_server_with_one_certificate_has_no_other(
    probe, stage, leaf, rsa_leaf, tls_server, version, algorithm, autojump_clock
) -> None:
    """Its refusal is the answer: no error, and nothing to find."""
    credential = rsa_leaf if algorithm is Algorithm.RSA else leaf
    seen = await probe(serving(tls_server(credential=credential, **version)), both_algorithms=True)
    assert (seen.stage, seen.error, seen.detail) == (ProbeStage.DONE, None, None)
    assert seen.chain == (credential.der,)
    assert (seen.other_algorithm, seen.other_chain) == (OtherAlgorithm.NONE, ())
    assert (stage.connections, stage.most_open) == (2, 1)


async def test_an_ecdsa_certificate_of_an_rsa_issuer_is_asked_for(
    probe, certificates, rsa_leaf, tls_server, autojump_clock
) -> None:
    """The algorithm is that of the server's own key, whoever signed it."""
    own = certificates.leaf(issuer=rsa_leaf)
    first = serving(tls_server(credential=rsa_leaf))
    then = serving(tls_server(credential=own, chain=(rsa_leaf,), second=rsa_leaf))
    seen = await probe(first, then, both_algorithms=True)
    assert (seen.other_algorithm, seen.other_chain) == (
        OtherAlgorithm.SHOWN,
        (own.der, rsa_leaf.der),
    )


async def test_a_server_that_shows_the_same_all_the_same_has_no_other(
    probe, leaf, tls_server, monkeypatch, autojump_clock
) -> None:
    """What counts is the certificate that comes back, not what was offered."""
    monkeypatch.setattr(tls, "_offer_only", lambda context, only: None)
    seen = await probe(serving(tls_server(credential=leaf)), both_algorithms=True)
    assert (seen.chain, seen.other_chain) == ((leaf.der,), ())
    assert seen.other_algorithm is OtherAlgorithm.NONE


# -- when it is not asked ----------------------------------------------------------------------


async def test_nobody_is_asked_twice_unless_told(
    probe, stage, leaf, rsa_leaf, tls_server, autojump_clock
) -> None:
    """One connection for an address is the rule."""
    seen = await probe(serving(tls_server(credential=leaf, second=rsa_leaf)))
    assert (seen.other_algorithm, seen.other_chain) == (OtherAlgorithm.NOT_ASKED, ())
    assert stage.connections == 1


async def test_other_kinds_of_keys_have_no_other_algorithm(
    probe, stage, certificates, tls_server, autojump_clock
) -> None:
    """Ed25519 is neither of the two."""
    credential = certificates.leaf(key=ed25519.Ed25519PrivateKey.generate())
    seen = await probe(serving(tls_server(credential=credential)), both_algorithms=True)
    assert (seen.chain, seen.other_algorithm) == ((credential.der,), OtherAlgorithm.NOT_ASKED)
    assert stage.connections == 1


async def test_a_probe_that_saw_no_certificate_asks_for_no_other(
    probe, stage, autojump_clock
) -> None:
    """Without TLS there is nothing to compare."""

    async def script(peer) -> None:
        await peer.greet(b"SIZE")
        await peer.hear()

    seen = await probe(script, both_algorithms=True)
    assert seen.error is ProbeError.STARTTLS_NOT_OFFERED
    assert (seen.other_algorithm, stage.connections) == (OtherAlgorithm.NOT_ASKED, 1)


# -- hostile second connections ----------------------------------------------------------------


async def rejects(peer) -> None:
    await peer.say(b"554 5.7.1 you again\r\n")
    await peer.until_gone()


async def throttles(peer) -> None:
    await peer.say(b"421 4.7.0 too many connections\r\n")


async def closes(peer) -> None:
    await peer.aclose()


async def is_silent(peer) -> None:
    await peer.until_gone()


async def drips(peer) -> None:
    while True:
        await peer.say(b"2")
        await trio.sleep(1)


async def floods(peer) -> None:
    while True:
        await peer.say(b"220-" + b"x" * 1_000 + b"\r\n")


async def is_silent_in_the_handshake(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n")
    await peer.until_gone()


async def closes_in_the_handshake(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n")
    await peer.stream.receive_some(1)


async def no_longer_offers_starttls(peer) -> None:
    await peer.greet(b"SIZE")
    await peer.until_gone()


async def injects_plaintext(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n250 injected\r\n")
    await peer.until_gone()


HOSTILE = (
    rejects,
    throttles,
    closes,
    is_silent,
    drips,
    floods,
    is_silent_in_the_handshake,
    closes_in_the_handshake,
    no_longer_offers_starttls,
    injects_plaintext,
)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda script: script.__name__)
async def test_a_hostile_second_connection_changes_nothing(
    probe, stage, healthy, leaf, hostile, autojump_clock
) -> None:
    """The observation is that of the first connection to the last field, and soon there."""
    alone = await probe(healthy, new_id=lambda: "id")
    started = trio.current_time()
    seen = await probe(healthy, hostile, both_algorithms=True, new_id=lambda: "id")
    assert seen.other_algorithm is OtherAlgorithm.UNKNOWN
    assert replace(seen, other_algorithm=OtherAlgorithm.NOT_ASKED) == alone
    assert seen.chain == (leaf.der,)
    assert trio.current_time() - started <= LIMITS.other_pause_seconds + LIMITS.other_seconds
    assert stage.connections == 3


async def test_garbage_in_the_second_handshake_is_no_other_certificate(
    probe, healthy, leaf, autojump_clock
) -> None:
    """Many a server answers what it does not like with something that is no TLS."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.stream.receive_some(65_536)
        await peer.say(b"500 what was that\r\n" * 10)

    seen = await probe(healthy, script, both_algorithms=True)
    assert (seen.error, seen.chain) == (None, (leaf.der,))
    assert seen.other_algorithm is OtherAlgorithm.NONE


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), ValueError("a bug")], ids=["refused", "bug"]
)
async def test_a_second_connection_that_cannot_be_made_changes_nothing(
    probe, stage, healthy, leaf, error, autojump_clock
) -> None:
    """Neither a refusal nor a bug of ours takes the first result away."""
    connect_first = stage.in_memory(healthy)

    async def connect(address: str, port: int) -> trio.abc.Stream:
        if stage.connections:
            raise error
        return await connect_first(address, port)

    seen = await probe(connect=connect, both_algorithms=True)
    assert (seen.stage, seen.error, seen.chain) == (ProbeStage.DONE, None, (leaf.der,))
    assert seen.other_algorithm is OtherAlgorithm.UNKNOWN


async def test_a_server_that_hangs_after_the_second_handshake_has_shown_it(
    probe, leaf, rsa_leaf, tls_server, autojump_clock
) -> None:
    """As with the first connection, what comes after the handshake undoes nothing."""
    server = tls_server(credential=leaf, second=rsa_leaf)

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(server)
        await peer.until_gone()

    seen = await probe(serving(server), script, both_algorithms=True)
    assert (seen.other_algorithm, seen.other_chain) == (OtherAlgorithm.SHOWN, (rsa_leaf.der,))
    assert seen.detail is None


# -- time --------------------------------------------------------------------------------------


async def test_the_second_connection_begins_after_the_first_has_said_quit(
    probe, stage, healthy, autojump_clock
) -> None:
    """One connection at a time, and a pause between the two."""
    begun = []

    async def second(peer) -> None:
        begun.append((trio.current_time(), stage.open_now, bytes(stage.received)))
        await peer.aclose()

    started = trio.current_time()
    await probe(healthy, second, both_algorithms=True)
    ((when, open_now, received),) = begun
    assert (when - started, open_now) == (LIMITS.other_pause_seconds, 1)
    assert b"QUIT" in received


async def test_the_caller_gets_the_first_result_before_its_own_deadline(
    probe, healthy, leaf, autojump_clock
) -> None:
    """Cancelled with the caller, the first result would be lost with the second connection."""
    with trio.move_on_after(15) as scope:
        seen = await probe(healthy, is_silent, both_algorithms=True)
    assert not scope.cancelled_caught
    assert (seen.chain, seen.other_algorithm) == ((leaf.der,), OtherAlgorithm.UNKNOWN)
    assert trio.current_time() == 15 - LIMITS.other_margin_seconds


@pytest.mark.parametrize(
    ("caller_seconds", "limits"),
    [
        (LIMITS.other_least_seconds, LIMITS),
        (1_000, ProbeLimits(total_seconds=LIMITS.other_least_seconds)),
        (1_000, ProbeLimits(other_pause_seconds=3_600)),
    ],
    ids=["the caller's time", "the probe's own time", "a long gap between connections"],
)
async def test_without_time_left_no_second_connection_is_made(
    probe, stage, healthy, leaf, caller_seconds, limits, autojump_clock
) -> None:
    """A connection we would have to break off helps nobody; the operator's gap is kept."""
    with trio.move_on_after(caller_seconds):
        seen = await probe(healthy, limits=limits, both_algorithms=True)
    assert (seen.chain, seen.other_algorithm) == ((leaf.der,), OtherAlgorithm.UNKNOWN)
    assert (stage.connections, trio.current_time()) == (1, 0)


async def test_both_connections_share_the_deadline_of_the_probe(
    probe, healthy, autojump_clock
) -> None:
    """A silent second connection ends with the time of the whole probe at the latest."""
    limits = ProbeLimits(total_seconds=12)
    seen = await probe(healthy, is_silent, limits=limits, both_algorithms=True)
    assert seen.other_algorithm is OtherAlgorithm.UNKNOWN
    assert trio.current_time() == 12


# -- the offer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("only", Algorithm)
def test_the_hello_for_one_algorithm_fits_one_segment(only) -> None:
    """It stays under the size at which some mail servers hang, as the ordinary one does."""
    assert client_hello_octets(client_context(only=only)) < MAX_CLIENT_HELLO_OCTETS


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_without_the_private_call_tls_1_2_still_tells(
    probe, leaf, rsa_leaf, tls_server, algorithm, monkeypatch, autojump_clock
) -> None:
    """Cipher suites name the algorithm up to TLS 1.2, so no higher version is offered then."""
    monkeypatch.setattr(tls, "_util", object())
    first, other = (leaf, rsa_leaf) if algorithm is Algorithm.ECDSA else (rsa_leaf, leaf)
    both = tls_server(credential=first, second=other)
    seen = await probe(serving(tls_server(credential=first)), serving(both), both_algorithms=True)
    assert (seen.chain, seen.other_chain) == ((first.der,), (other.der,))
    alone = await probe(serving(tls_server(credential=first)), both_algorithms=True)
    assert alone.other_algorithm is OtherAlgorithm.NONE


async def test_a_list_of_signature_algorithms_that_openssl_refuses_falls_back_too(
    probe, leaf, tls_server, monkeypatch, autojump_clock
) -> None:
    """A list that cannot be set must not be read as an offer of one algorithm."""
    monkeypatch.setattr(tls, "_SIGNATURES_OF", dict.fromkeys(Algorithm, b"no-such-algorithm"))
    seen = await probe(serving(tls_server(credential=leaf)), both_algorithms=True)
    assert (seen.chain, seen.other_algorithm) == ((leaf.der,), OtherAlgorithm.NONE)
