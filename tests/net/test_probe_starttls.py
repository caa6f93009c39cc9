"""One probe from STARTTLS on: refusals, second looks, the handshake and what comes after."""

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from scanner.model.observation import ProbeError, ProbeStage
from scanner.observe.smtp import ProbeLimits


def ending(seen) -> tuple[ProbeStage, ProbeError | None]:
    """Return where and how a probe ended."""
    return seen.stage, seen.error


# -- STARTTLS ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"454 4.7.0 TLS not available\r\n", ProbeError.REPLY_TRANSIENT),
        (b"501 no parameters\r\n", ProbeError.REPLY_PERMANENT),
        (b"502 not implemented\r\n", ProbeError.REPLY_PERMANENT),
        (b"554 5.7.0 no\r\n", ProbeError.REPLY_PERMANENT),
    ],
)
async def test_a_refused_starttls_is_an_answer(probe, reply, error, autojump_clock) -> None:
    """454 and 5yz are taken at their word (case 89; rows C8, C9)."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(reply)
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.STARTTLS, error)
    assert (seen.starttls_offered, seen.reply_code, seen.attempts) == (True, int(reply[:3]), 1)


async def silent_after_starttls(peer) -> None:
    await peer.until_starttls()
    await peer.until_gone()


async def hangs_up_after_starttls(peer) -> None:
    await peer.until_starttls()


async def garbage_after_starttls(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"\x16\x03\x01 this is not SMTP\r\n")
    await peer.until_gone()


async def says_250_to_starttls(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"250 fine\r\n")
    await peer.until_gone()


async def hangs_up_in_the_handshake(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n")
    await peer.stream.receive_some(4_096)


async def silent_in_the_handshake(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n")
    await peer.until_gone()


async def garbage_in_the_handshake(peer) -> None:
    await peer.until_starttls()
    await peer.say(b"220 go\r\n")
    await peer.stream.receive_some(4_096)
    await peer.say(b"500 command unrecognized\r\n")
    await peer.until_gone()


INDEFINITE = {
    silent_after_starttls: (ProbeStage.STARTTLS, ProbeError.TIMEOUT),
    hangs_up_after_starttls: (ProbeStage.STARTTLS, ProbeError.CLOSED),
    garbage_after_starttls: (ProbeStage.STARTTLS, ProbeError.PROTOCOL),
    says_250_to_starttls: (ProbeStage.STARTTLS, ProbeError.REPLY_UNEXPECTED),
    hangs_up_in_the_handshake: (ProbeStage.HANDSHAKE, ProbeError.CLOSED),
    silent_in_the_handshake: (ProbeStage.HANDSHAKE, ProbeError.TIMEOUT),
    garbage_in_the_handshake: (ProbeStage.HANDSHAKE, ProbeError.TLS_PROTOCOL),
}
every_indefinite_event = pytest.mark.parametrize(
    ("script", "expected"), INDEFINITE.items(), ids=[script.__name__ for script in INDEFINITE]
)


@every_indefinite_event
async def test_an_indefinite_event_is_looked_at_twice(
    probe, stage, script, expected, autojump_clock
) -> None:
    """Dropped, silent or senseless after STARTTLS: a second connection confirms (rows C10, C11)."""
    seen = await probe(script)
    assert ending(seen) == expected
    assert (seen.attempts, stage.connections, stage.most_open) == (2, 2, 1)
    assert f"attempt 1 ended with {expected[1]} at {expected[0]}" in seen.detail


@every_indefinite_event
async def test_a_second_look_that_goes_well_counts(
    probe, stage, script, expected, healthy, leaf, autojump_clock
) -> None:
    """A passing trouble is no failure, but it is noted."""
    seen = await probe(script, healthy)
    assert (ending(seen), seen.chain) == ((ProbeStage.DONE, None), (leaf.der,))
    assert (seen.attempts, stage.connections) == (2, 2)
    assert f"attempt 1 ended with {expected[1]}" in seen.detail


async def test_no_second_look_is_begun_without_time_for_it(probe, autojump_clock) -> None:
    """With little of the total left the first result stands, and says it is a single one."""
    limits = ProbeLimits(total_seconds=30.0, reply_seconds=25.0)
    seen = await probe(silent_after_starttls, limits=limits)
    assert ending(seen) == (ProbeStage.STARTTLS, ProbeError.TIMEOUT)
    assert (seen.attempts, trio.current_time()) == (1, 25.0)


async def test_an_alert_is_an_answer(probe, autojump_clock) -> None:
    """A server that refuses the handshake in due form is not asked again (case 90, row C11)."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.stream.receive_some(4_096)
        await peer.stream.send_all(bytes([21, 3, 3, 0, 2, 2, 40]))
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.HANDSHAKE, ProbeError.TLS_ALERT)
    assert (seen.detail, seen.attempts) == ("alert handshake failure", 1)


async def test_an_old_tls_version_is_a_fact_and_no_failure(
    probe, leaf, tls_server, autojump_clock
) -> None:
    """TLS 1.0 completes and is named; whether it suffices is judged elsewhere (row C13)."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(tls_server(credential=leaf, maximum=SSL.TLS1_VERSION))
        await peer.finish()

    seen = await probe(script)
    assert (seen.stage, seen.tls_version) == (ProbeStage.DONE, "TLSv1")


async def test_plaintext_after_the_220_is_flagged_and_thrown_away(
    probe, leaf, tls_server, autojump_clock
) -> None:
    """Injected replies never count as said under TLS; the handshake is still tried (case 95)."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n250-evil\r\n250 XINJECTED\r\n")
        await peer.secure(tls_server(credential=leaf))
        await peer.finish()

    seen = await probe(script)
    assert (ending(seen), seen.early_plaintext) == ((ProbeStage.DONE, None), True)
    assert seen.chain == (leaf.der,)
    assert not any("evil" in line or "INJECTED" in line for line in seen.transcript)


async def test_early_plaintext_of_the_first_connection_is_not_forgotten(
    probe, healthy, autojump_clock
) -> None:
    """The flag survives a second look that goes well."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n250 injected\r\n")

    seen = await probe(script, healthy)
    assert (seen.stage, seen.attempts, seen.early_plaintext) == (ProbeStage.DONE, 2, True)


# -- after TLS ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "silence", "421", "garbage", "endless"])
async def test_what_happens_after_tls_undoes_nothing(
    probe, leaf, tls_server, how, autojump_clock
) -> None:
    """The chain was captured; the rest is good manners, within a budget."""

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(tls_server(credential=leaf))
        if how == "close":
            return
        await peer.hear()
        if how == "421":
            await peer.say(b"421 bye\r\n")
        if how == "garbage":
            await peer.say(b"\x00\xff\r\n")
        while how == "endless":
            await peer.say(b"250-more\r\n")
            await trio.sleep(1)
        await peer.until_gone()

    seen = await probe(script)
    assert (ending(seen), seen.chain) == ((ProbeStage.DONE, None), (leaf.der,))
    assert trio.current_time() <= ProbeLimits().closing_seconds


async def test_a_client_certificate_demanded_after_tls_1_3_is_told(
    probe, leaf, tls_server, autojump_clock
) -> None:
    """The alert comes after the handshake; it is in the detail for who wonders."""
    server = tls_server(credential=leaf, minimum=SSL.TLS1_3_VERSION, wants_client_certificate=True)

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        with pytest.raises(SSL.Error):
            await peer.secure(server)

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.DONE, None)
    assert seen.detail == "after TLS: alert certificate required"
