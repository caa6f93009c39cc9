"""One probe: connection, greeting, EHLO and the good case.

Servers are scripts on in-memory streams under a clock that jumps, so minutes pass in no time; what
needs a real TCP stack is in test_probe_loopback.py.
"""

import errno

import pytest
import trio
import trio.testing

from scanner.model.names import ROOT, Name
from scanner.model.observation import HostAddress, ProbeError, ProbeStage
from scanner.model.vocabulary import Family
from scanner.observe.net import PeerError
from scanner.observe.smtp import ProbeLimits


def ending(seen) -> tuple[ProbeStage, ProbeError | None]:
    """Return where and how a probe ended."""
    return seen.stage, seen.error


# -- the good case -----------------------------------------------------------------------------


async def test_a_healthy_server_is_seen_whole(
    probe, stage, healthy, leaf, fixed_clock, autojump_clock
) -> None:
    """Everything a judge needs comes back from one connection."""
    seen = await probe(healthy, new_id=lambda: "id-1")
    assert ending(seen) == (ProbeStage.DONE, None)
    assert (seen.host, seen.address, seen.family, seen.sni) == (
        "mx.test",
        "8.8.8.8",
        "ipv4",
        "mx.test",
    )
    assert (seen.observed_at, seen.probe_id, seen.attempts) == (fixed_clock.now(), "id-1", 1)
    assert seen.chain == (leaf.der,)
    assert seen.tls_version == "TLSv1.3"
    assert seen.cipher is not None
    assert seen.key_exchange_group is not None
    assert (seen.starttls_offered, seen.helo_fallback, seen.early_plaintext) == (True, False, False)
    assert (seen.reply_code, seen.detail) == (None, None)
    assert stage.connections == 1


async def test_the_transcript_holds_what_the_server_said_in_the_clear(
    probe, healthy, autojump_clock
) -> None:
    """Reply lines up to the handshake, in order, and none from under TLS."""
    seen = await probe(healthy)
    assert seen.transcript == (
        "220 mx.test ESMTP",
        "250-mx.test",
        "250-PIPELINING",
        "250 STARTTLS",
        "220 go ahead",
    )


async def test_the_probe_says_ehlo_again_under_tls_and_quits(
    probe, stage, healthy, autojump_clock
) -> None:
    """EHLO, STARTTLS, EHLO, QUIT and not a word more (case 96)."""
    await probe(healthy)
    await trio.testing.wait_all_tasks_blocked()
    words = (b"EHLO", b"HELO", b"STARTTLS", b"QUIT", b"MAIL", b"RSET")
    assert [stage.received.count(word) for word in words] == [2, 0, 1, 1, 0, 0]


async def test_each_probe_has_an_id_of_its_own(probe, healthy, autojump_clock) -> None:
    """Ids are UUIDs and differ."""
    first, second = await probe(healthy), await probe(healthy)
    assert len({first.probe_id, second.probe_id}) == 2
    assert len(first.probe_id) == 36


async def test_timings_are_measured_from_the_start(probe, leaf, tls_server, autojump_clock) -> None:
    """Milliseconds to the end of each step, increasing."""

    async def script(peer) -> None:
        await trio.sleep(1)
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        await trio.sleep(2)
        await peer.say(b"250-mx.test\r\n250 STARTTLS\r\n")
        await peer.hear()
        await trio.sleep(3)
        await peer.say(b"220 go\r\n")
        await trio.sleep(4)
        await peer.secure(tls_server(credential=leaf))
        await peer.finish()

    timings = (await probe(script)).timings
    assert (timings.connect_ms, timings.greeting_ms, timings.ehlo_ms) == (0, 1_000, 3_000)
    assert (timings.starttls_ms, timings.handshake_ms, timings.total_ms) == (6_000, 10_000, 10_000)


@pytest.mark.parametrize("name", [ROOT, Name("a\\032b.test")], ids=["root", "escaped"])
async def test_what_is_no_host_name_is_not_sent_as_server_name(
    probe, leaf, tls_server, name, autojump_clock
) -> None:
    """SNI holds host names only (RFC 6066 §3)."""
    names = []

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(tls_server(credential=leaf))
        names.append(peer.server_name)
        await peer.finish()

    seen = await probe(script, sni=name)
    assert (seen.stage, seen.sni, names) == (ProbeStage.DONE, None, [None])


async def test_the_server_name_is_the_one_given_and_not_the_host(
    probe, leaf, tls_server, autojump_clock
) -> None:
    """SNI is the TLSA base domain, without a trailing dot (case 82)."""
    names = []

    async def script(peer) -> None:
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(tls_server(credential=leaf))
        names.append(peer.server_name)
        await peer.finish()

    await probe(script, sni=Name("base.test"))
    assert names == [b"base.test"]


# -- the connection ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ProbeError.REFUSED,
        ProbeError.UNREACHABLE,
        ProbeError.TIMEOUT,
        ProbeError.NO_ROUTE,
        ProbeError.OWN_RESOURCES,
    ],
)
async def test_a_failed_connection_is_an_observation(probe, error, autojump_clock) -> None:
    """Refused, unreachable, no route: facts of connecting, tried once (rows C1, C2)."""
    tries = []

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        tries.append((address, port))
        raise PeerError(error, "words")

    seen = await probe(connect=connect)
    assert ending(seen) == (ProbeStage.CONNECT, error)
    assert (seen.detail, seen.starttls_offered, seen.transcript) == ("words", None, ())
    assert tries == [("8.8.8.8", 25)]


async def test_a_foreign_error_of_connecting_is_translated(probe, autojump_clock) -> None:
    """Whatever opens connections may raise what sockets raise."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.EHOSTUNREACH, "no route to host")

    seen = await probe(connect=connect)
    assert (seen.stage, seen.error) == (ProbeStage.CONNECT, ProbeError.UNREACHABLE)


async def test_silence_at_the_connection_ends_with_its_budget(probe, autojump_clock) -> None:
    """A SYN nobody answers takes the connect budget and no more."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError("never")

    seen = await probe(connect=connect)
    assert ending(seen) == (ProbeStage.CONNECT, ProbeError.TIMEOUT)
    assert seen.detail == "an answer to our connection did not come within 20 s"
    assert (trio.current_time(), seen.attempts) == (20.0, 1)


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (None, True),
        (ProbeError.REFUSED, None),
        (ProbeError.NO_ROUTE, False),
        (ProbeError.UNREACHABLE, None),
        (ProbeError.TIMEOUT, None),
    ],
)
async def test_what_connecting_proves_about_our_egress_is_reported(
    probe, stage, healthy, error, answered, autojump_clock
) -> None:
    """A greeting proves egress, no route disproves it, a refusal or silence proves nothing."""
    reports = []
    real = stage.in_memory(healthy)

    async def connect(address: str, port: int) -> trio.abc.Stream:
        if error is not None:
            raise PeerError(error, "words")
        return await real(address, port)

    def note(address: HostAddress, proof: bool | None) -> None:
        reports.append((address.family, proof))

    await probe(connect=connect, on_connection=note)
    assert reports == [(Family.IPV4, answered)]


async def test_a_server_that_accepts_and_says_nothing_proves_nothing(probe, autojump_clock) -> None:
    """A box on our own way may accept connections too; nor is it a failure of the way out."""
    reports = []

    async def mute(peer) -> None:
        await peer.until_gone()

    await probe(mute, on_connection=lambda address, proof: reports.append(proof))
    assert reports == []


async def test_a_rejection_at_the_door_is_a_greeting_all_the_same(probe, autojump_clock) -> None:
    """554 comes from beyond our firewall."""
    reports = []

    async def rejecting(peer) -> None:
        await peer.say(b"554 no service\r\n")
        await peer.until_gone()

    await probe(rejecting, on_connection=lambda address, proof: reports.append(proof))
    assert reports == [True]


async def test_our_own_lack_of_sockets_is_not_reported_as_a_failure_of_the_way_out(
    probe, autojump_clock
) -> None:
    """It never left this machine."""
    reports = []

    async def connect(address: str, port: int) -> trio.abc.Stream:
        raise PeerError(ProbeError.OWN_RESOURCES, "words")

    await probe(connect=connect, on_connection=lambda address, proof: reports.append(proof))
    assert reports == []


@pytest.mark.parametrize(
    ("address", "family", "words"),
    [
        ("127.0.0.1", Family.IPV4, "Loopback"),
        ("10.0.0.1", Family.IPV4, "Private-Use"),
        ("::1", Family.IPV6, "Loopback"),
        ("fe80::1", Family.IPV6, "Link-Local"),
        ("2002:a00:1::1", Family.IPV6, "6to4 of Private-Use"),
    ],
)
async def test_a_special_purpose_address_is_left_alone(
    probe, stage, healthy, address, family, words, autojump_clock
) -> None:
    """No connection is made and the block is named (case 12)."""
    where = HostAddress(address=address, family=family, status=None)
    seen = await probe(healthy, address=where)
    assert ending(seen) == (ProbeStage.CONNECT, ProbeError.NOT_CONTACTED)
    assert words in seen.detail
    assert (seen.attempts, seen.family, stage.connections) == (0, family, 0)


async def test_a_special_purpose_address_is_probed_where_allowed(
    probe, healthy, autojump_clock
) -> None:
    """A laboratory may allow them."""
    where = HostAddress(address="127.0.0.1", family=Family.IPV4, status=None)
    seen = await probe(healthy, address=where, allow_special_purpose=True)
    assert seen.stage is ProbeStage.DONE


# -- greeting and EHLO -------------------------------------------------------------------------


async def test_a_late_greeting_in_many_lines_is_accepted(
    probe, leaf, tls_server, autojump_clock
) -> None:
    """Twenty-nine seconds and three lines are no fault (case 84)."""

    async def script(peer) -> None:
        await trio.sleep(20)
        await peer.say(b"220-mx.test welcomes you\r\n")
        await trio.sleep(9)
        await peer.say(b"220-after a while\r\n")
        await peer.until_starttls()
        await peer.say(b"220 go\r\n")
        await peer.secure(tls_server(credential=leaf))
        await peer.finish()

    assert (await probe(script)).stage is ProbeStage.DONE


@pytest.mark.parametrize(
    ("greeting", "error", "code"),
    [
        (b"421 4.3.2 too many connections\r\n", ProbeError.REPLY_TRANSIENT, 421),
        (b"450 4.7.1 try later\r\n", ProbeError.REPLY_TRANSIENT, 450),
        (b"554 5.7.1 blocked\r\n", ProbeError.REPLY_PERMANENT, 554),
        (b"354 well\r\n", ProbeError.REPLY_UNEXPECTED, 354),
    ],
)
async def test_a_greeting_that_turns_us_away_is_no_missing_starttls(
    probe, greeting, error, code, autojump_clock
) -> None:
    """Throttling and policy blocks end at the greeting, once (cases 86, 87; rows C3, C4)."""

    async def script(peer) -> None:
        await peer.say(greeting)
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.GREETING, error)
    assert (seen.reply_code, seen.reply_text) == (code, greeting[4:-2].decode())
    assert (seen.starttls_offered, seen.attempts) == (None, 1)


async def test_a_client_that_was_turned_away_quits(probe, autojump_clock) -> None:
    """RFC 5321 §3.1: after 554 the client says QUIT, and leaves soon even if unanswered."""

    async def script(peer) -> None:
        await peer.say(b"554 no\r\n")
        assert await peer.hear() == b"QUIT"
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.GREETING, ProbeError.REPLY_PERMANENT)
    assert trio.current_time() == ProbeLimits().closing_seconds


async def test_throttling_at_ehlo_is_transient(probe, autojump_clock) -> None:
    """421 to EHLO is the peer's load and not its policy (case 86)."""

    async def script(peer) -> None:
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        await peer.say(b"421 4.7.0 too many\r\n")

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.REPLY_TRANSIENT)
    assert (seen.reply_code, seen.starttls_offered) == (421, None)


async def test_a_server_that_knows_only_helo_offers_no_starttls(probe, autojump_clock) -> None:
    """EHLO refused, HELO accepted: no extensions (row C5)."""

    async def script(peer) -> None:
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        await peer.say(b"502 what is EHLO\r\n")
        assert await peer.hear() == b"HELO probe.test"
        await peer.say(b"250 mx.test\r\n")
        assert await peer.hear() == b"QUIT"
        await peer.say(b"221 bye\r\n")

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.STARTTLS_NOT_OFFERED)
    assert (seen.helo_fallback, seen.starttls_offered, seen.attempts) == (True, False, 1)


async def test_a_server_that_refuses_ehlo_and_helo_refuses_us(probe, autojump_clock) -> None:
    """Both refused is a policy against us and says nothing about STARTTLS."""

    async def script(peer) -> None:
        await peer.say(b"220 mx.test\r\n")
        await peer.hear()
        await peer.say(b"550 who are you\r\n")
        await peer.hear()
        await peer.say(b"550 5.7.1 go away\r\n")
        await peer.until_gone()

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.REPLY_PERMANENT)
    assert (seen.helo_fallback, seen.starttls_offered, seen.reply_code) == (True, None, 550)


@pytest.mark.parametrize(
    "extension", [b"SIZE", b"XSTARTTLS", b"STARTTLS-FOO", b"STARTTLSX", b"AUTH STARTTLS"]
)
async def test_starttls_that_is_not_listed_is_not_offered(probe, extension, autojump_clock) -> None:
    """Only the whole keyword counts; no re-probe here (cases 85, 88; rows C6, C7)."""

    async def script(peer) -> None:
        await peer.greet(extension)
        assert await peer.hear() == b"QUIT"
        await peer.say(b"221 bye\r\n")

    seen = await probe(script)
    assert ending(seen) == (ProbeStage.EHLO, ProbeError.STARTTLS_NOT_OFFERED)
    assert (seen.starttls_offered, seen.attempts, seen.reply_code) == (False, 1, None)
