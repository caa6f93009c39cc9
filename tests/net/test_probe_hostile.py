"""One probe against peers that hang up, drip, flood or lie, and against ourselves."""

import errno

import pytest
import trio
import trio.testing

from scanner.model.observation import HostAddress, ProbeError, ProbeStage
from scanner.observe.smtp import ProbeLimits, SmtpProber
from scanner.wire.smtp import SmtpLimits


def ending(seen) -> tuple[ProbeStage, ProbeError | None]:
    """Return where and how a probe ended."""
    return seen.stage, seen.error


# -- a close at every step ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "stage_name"),
    [
        ([], ProbeStage.GREETING),
        ([b"220-half"], ProbeStage.GREETING),
        ([b"220 mx.test\r\n"], ProbeStage.EHLO),
        ([b"220 mx.test\r\n", b"250-mx.test\r\n250-ST"], ProbeStage.EHLO),
        ([b"220 mx.test\r\n", b"250-mx.test\r\n250 STARTTLS\r\n"], ProbeStage.STARTTLS),
        ([b"220 mx.test\r\n", b"502 no\r\n"], ProbeStage.EHLO),
    ],
)
async def test_a_close_is_told_with_the_step_it_came_at(
    probe, said, stage_name, autojump_clock
) -> None:
    """Whoever hangs up, and when."""

    async def script(peer) -> None:
        for number, text in enumerate(said):
            if number:
                await peer.hear()
            await peer.say(text)
        if said and said[-1].endswith(b"\n"):
            await peer.hear()

    seen = await probe(script)
    assert ending(seen) == (stage_name, ProbeError.CLOSED)
    assert seen.attempts == (2 if stage_name is ProbeStage.STARTTLS else 1)


async def test_a_reply_sent_before_the_close_is_read_even_if_our_command_is_lost(
    probe, autojump_clock
) -> None:
    """A full server says 421 and closes; that our EHLO finds nobody does not hide the reason."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        client, server = trio.testing.memory_stream_pair()
        await server.send_all(b"220 mx.test\r\n421 4.3.2 too many\r\n")
        await server.aclose()
        return client

    seen = await probe(connect=connect)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.REPLY_TRANSIENT)
    assert seen.reply_code == 421


async def test_a_command_lost_to_a_reset_is_a_reset(probe, autojump_clock) -> None:
    """When nothing more was said, the loss of our command tells how the connection ended."""

    class Lossy(trio.abc.Stream):
        def __init__(self) -> None:
            self.said = [b"220 mx.test\r\n", b""]

        async def send_all(self, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError from OSError(errno.ECONNRESET, "reset")

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            return self.said.pop(0)

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return Lossy()

    assert ending(await probe(connect=connect)) == (ProbeStage.EHLO, ProbeError.RESET)


# -- hostile peers -----------------------------------------------------------------------------


async def test_an_endless_greeting_is_cut_off_by_its_lines(probe, autojump_clock) -> None:
    """A reply that never ends costs a bounded number of lines."""

    async def script(peer) -> None:
        while True:
            await peer.say(b"220-and another thing\r\n" * 100)

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.GREETING, ProbeError.TOO_LARGE)
    assert len(seen.transcript) == SmtpLimits().max_transcript_lines


async def test_a_line_of_a_megabyte_is_cut_off(probe, autojump_clock) -> None:
    """An over-long line is an error after a few kilobytes (case 84)."""
    sent = []

    async def script(peer) -> None:
        await peer.say(b"220 ")
        while True:
            await peer.say(b"x" * 4_096)
            sent.append(4_096)
            await trio.testing.wait_all_tasks_blocked()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.GREETING, ProbeError.TOO_LARGE)
    assert len(sent) < 3
    assert len(seen.transcript[0]) == SmtpLimits().max_transcript_characters


@pytest.mark.parametrize("step", ["greeting", "ehlo", "starttls"])
async def test_an_octet_a_second_gains_nothing(probe, step, autojump_clock) -> None:
    """The budget of a step is for its whole reply."""

    async def drip(peer) -> None:
        for octet in b"250-" + b"z" * 1_000:
            await peer.say(bytes([octet]))
            await trio.sleep(1)

    async def script(peer) -> None:
        if step != "greeting":
            await peer.say(b"220 mx.test\r\n")
            await peer.hear()
        if step == "starttls":
            await peer.say(b"250-mx.test\r\n250 STARTTLS\r\n")
            await peer.hear()
        await drip(peer)

    limits = ProbeLimits(retries=0)
    seen = await probe(script, limits=limits)
    assert ending(seen) == (ProbeStage(step), ProbeError.TIMEOUT)
    assert "octets of a line came" in seen.detail
    budget = limits.greeting_seconds if step == "greeting" else limits.reply_seconds
    assert trio.current_time() == budget


async def test_slow_steps_together_end_at_the_deadline(probe, autojump_clock) -> None:
    """Each step within its budget, the whole beyond the total: the total wins and is named."""

    async def script(peer) -> None:
        await trio.sleep(29)
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        await trio.sleep(19)
        await peer.say(b"250-mx.test\r\n250 STARTTLS\r\n")
        await peer.hear()
        await trio.sleep(19)
        await peer.say(b"220 too late\r\n")

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.STARTTLS, ProbeError.TIMEOUT)
    assert "within the 60 s of the whole probe" in seen.detail
    assert (trio.current_time(), seen.attempts) == (60.0, 1)


@pytest.mark.parametrize(
    ("answered", "stage_name"),
    [(0, ProbeStage.GREETING), (1, ProbeStage.EHLO), (2, ProbeStage.STARTTLS)],
)
async def test_our_own_standstill_is_never_a_timeout_of_the_server(
    probe, mock_clock, answered, stage_name
) -> None:
    """Stopped, or starved of the processor, we notice late that the time is over: our fault."""

    async def script(peer) -> None:
        if answered > 0:
            await peer.say(b"220 mx.test\r\n")
            await peer.hear()
        if answered > 1:
            await peer.say(b"250-mx.test\r\n250 STARTTLS\r\n")
            await peer.hear()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(100)
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (stage_name, ProbeError.OWN_RESOURCES)
    assert "we were too busy for" in seen.detail


async def test_a_second_look_stays_within_the_deadline(probe, autojump_clock) -> None:
    """Two silent handshakes after two slow greetings still end at the total."""

    async def script(peer) -> None:
        await trio.sleep(20)
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.until_gone()

    await probe(script)
    assert trio.current_time() == 60.0


async def test_a_peer_that_reads_nothing_cannot_hold_us(probe, autojump_clock) -> None:
    """A send that never ends is under the same budget."""

    class Stuck(trio.abc.Stream):
        async def send_all(self, data: bytes) -> None:
            await trio.sleep_forever()

        async def wait_send_all_might_not_block(self) -> None:
            await trio.sleep_forever()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            return b"220 mx.test\r\n"

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return Stuck()

    seen = await probe(connect=connect)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.TIMEOUT)


async def test_control_characters_never_reach_the_evidence(probe, autojump_clock) -> None:
    """What a server says can be printed on a terminal."""

    async def script(peer) -> None:
        await peer.say(b"554-\x1b[31mred\x07\x9b\r\n554 \xc3\xa4\x00\r\n")
        await peer.until_gone()

    seen = await probe(script)
    assert seen.transcript == ("554-?[31mred??", "554 ???")
    assert (seen.detail, seen.reply_text) == ("554 ?[31mred?? ???", "?[31mred?? ???")


# -- ourselves ---------------------------------------------------------------------------------


async def test_a_bug_of_ours_is_internal_and_names_itself(
    probe, stage, healthy, autojump_clock
) -> None:
    """An exception nobody foresaw is our fault and stops nothing."""

    def broken(address: HostAddress, proof: bool | None) -> None:
        raise KeyError("a bug")

    seen = await probe(healthy, on_connection=broken)
    assert ending(seen) == (ProbeStage.GREETING, ProbeError.INTERNAL)
    await trio.testing.wait_all_tasks_blocked()
    assert stage.open_now == 0
    assert seen.detail == "KeyError: 'a bug'"


async def test_a_bug_after_tls_is_told_and_undoes_nothing(
    probe, healthy, leaf, monkeypatch, autojump_clock
) -> None:
    """Even our own bug while leaving does not lose the chain."""

    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    monkeypatch.setattr("scanner.observe.tls.TlsStream.send_close", broken)
    seen = await probe(healthy)
    assert (ending(seen), seen.chain) == ((ProbeStage.DONE, None), (leaf.der,))
    assert seen.detail == "after TLS: RuntimeError: a bug"


@pytest.mark.parametrize("after", [0, 1, 25])
async def test_cancellation_passes_through_and_closes(probe, stage, after, autojump_clock) -> None:
    """A cancelled probe raises Cancelled, never an observation, and leaves no connection open."""
    results = []

    async def script(peer) -> None:
        await trio.sleep(20)
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.until_gone()

    with trio.move_on_after(after) as scope:
        results.append(await probe(script))
    assert (scope.cancelled_caught, results) == (True, [])
    await trio.sleep(60)
    assert stage.open_now == 0


@pytest.mark.parametrize("name", ["", "two words", "a\r\nMAIL FROM:<>", "ä.test", "x" * 256])
def test_a_name_that_cannot_be_said_is_refused_at_once(fixed_clock, name) -> None:
    """A configuration error shows when the prober is made, not at the first probe."""
    with pytest.raises(ValueError, match="EHLO"):
        SmtpProber(limits=ProbeLimits(), clock=fixed_clock, ehlo_name=name)
