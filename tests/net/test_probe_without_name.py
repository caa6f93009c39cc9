"""The connection that names no server (row C31): asked on demand, and harmless to the result."""

import pytest
import trio
from OpenSSL import SSL

from scanner.model.observation import OtherAlgorithm


@pytest.fixture(scope="session")
def other_leaf(certificates):
    """The certificate of another name at the same address."""
    return certificates.leaf("other.test")


def serving(server, seen_names):
    """Return a script that notes which server name a client sends."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go ahead\r\n")
        try:
            await peer.secure(server)
        except SSL.Error:
            return  # a client that offers only the other algorithm
        seen_names.append(peer.server_name)
        await peer.finish()

    return script


async def test_what_a_nameless_client_is_shown_is_kept_beside_the_result(
    probe, stage, leaf, other_leaf, tls_server, autojump_clock
) -> None:
    """The named certificate decides; the other one is only noted."""
    names: list[bytes | None] = []
    server = tls_server(credential=other_leaf, by_name={b"mx.test": tls_server(credential=leaf)})
    seen = await probe(serving(server, names), both_algorithms=True, without_sni=True)
    assert (seen.chain, seen.chain_without_sni) == ((leaf.der,), (other_leaf.der,))
    assert seen.other_algorithm is OtherAlgorithm.NONE
    assert (names[0], names[-1]) == (b"mx.test", None)
    assert (stage.connections, seen.attempts, stage.most_open) == (3, 1, 1)


@pytest.mark.parametrize("options", [{}, {"both_algorithms": True}, {"without_sni": True}], ids=str)
async def test_it_is_asked_only_of_hosts_with_records_and_on_demand(
    probe, leaf, tls_server, autojump_clock, options: dict[str, bool]
) -> None:
    """Nobody else is visited once more."""
    names: list[bytes | None] = []
    seen = await probe(serving(tls_server(credential=leaf), names), **options)
    assert set(names) == {b"mx.test"}
    assert seen.chain_without_sni == ()


async def test_a_server_that_wants_a_name_leaves_the_result_as_it_is(
    probe, stage, healthy, leaf, autojump_clock
) -> None:
    """The further connections end in nothing."""

    async def gone(peer) -> None:
        await trio.lowlevel.checkpoint()

    seen = await probe(healthy, gone, both_algorithms=True, without_sni=True)
    assert (seen.error, seen.chain, seen.chain_without_sni) == (None, (leaf.der,), ())


async def test_without_time_it_is_not_begun(probe, stage, leaf, tls_server, autojump_clock) -> None:
    """The caller's deadline must not take what was already seen."""
    names: list[bytes | None] = []
    with trio.fail_after(5):
        seen = await probe(
            serving(tls_server(credential=leaf), names), both_algorithms=True, without_sni=True
        )
    assert (names, seen.chain_without_sni) == ([b"mx.test"], ())
