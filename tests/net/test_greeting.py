"""Whether a mail server greets us, asked in the lightest way."""

import pytest
import trio
import trio.testing

from scanner.model.names import Name
from scanner.model.observation import (
    AddressRecord,
    HostAddress,
    Lookup,
    ProbeError,
    Question,
)
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.observe.greeting import Greeter, addresses_of
from scanner.observe.net import PeerError

ADDRESS = HostAddress(address="8.8.8.8", family=Family.IPV4, status=None)


@pytest.mark.parametrize(
    ("says", "greeted"),
    [
        (b"220 mx.test ESMTP\r\n", True),
        (b"220-mx.test\r\n220 ready\r\n", True),
        (b"554 no service\r\n", True),
        (b"421\r\n", True),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"220", False),
        (b"", False),
    ],
)
async def test_any_smtp_reply_is_a_greeting_and_nothing_else(
    stage, autojump_clock, says: bytes, greeted: bool
) -> None:
    """Whatever it says came from beyond our firewall, if it speaks SMTP."""

    async def script(peer) -> None:
        if says:
            await peer.say(says)

    greeter = Greeter(connect=stage.in_memory(script))
    assert await greeter.greet(ADDRESS) is greeted


async def test_a_greeting_in_pieces_is_read_to_its_code(stage, autojump_clock) -> None:
    """One octet at a time."""

    async def script(peer) -> None:
        for octet in b"220 ":
            await peer.say(bytes([octet]))
            await trio.sleep(0.5)
        assert await peer.hear() == b"QUIT"
        await peer.say(b"221 bye\r\n")
        await peer.until_gone()

    assert await Greeter(connect=stage.in_memory(script)).greet(ADDRESS) is True
    await trio.testing.wait_all_tasks_blocked()
    assert bytes(stage.received) == b"QUIT\r\n"


async def test_a_mute_server_has_its_time_and_no_more(stage, autojump_clock) -> None:
    """Fifteen seconds after the connection."""

    async def script(peer) -> None:
        await peer.until_gone()

    assert await Greeter(connect=stage.in_memory(script)).greet(ADDRESS) is False
    assert trio.current_time() == 15.0


async def test_a_connection_that_nobody_answers_has_eight_seconds(autojump_clock) -> None:
    """Four tries of a SYN."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError("never")

    assert await Greeter(connect=connect).greet(ADDRESS) is False
    assert trio.current_time() == 8.0


@pytest.mark.parametrize(
    ("error", "greeted"),
    [
        (ProbeError.REFUSED, False),
        (ProbeError.UNREACHABLE, False),
        (ProbeError.NO_ROUTE, None),
        (ProbeError.OWN_RESOURCES, None),
    ],
)
async def test_what_never_left_this_machine_says_nothing(
    error: ProbeError, greeted: bool | None, autojump_clock
) -> None:
    """A refusal is no greeting; a missing route is none of the server's doing."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise PeerError(error, "words")

    assert await Greeter(connect=connect).greet(ADDRESS) is greeted


async def test_special_purpose_addresses_are_left_alone(stage, autojump_clock) -> None:
    """Unless a laboratory allows them."""

    async def script(peer) -> None:
        await peer.say(b"220 lab\r\n")

    own = HostAddress(address="127.0.0.1", family=Family.IPV4, status=None)
    assert await Greeter(connect=stage.in_memory(script)).greet(own) is None
    allowed = Greeter(connect=stage.in_memory(script), allow_special_purpose=True)
    assert await allowed.greet(own) is True


async def test_addresses_of_a_canary_are_looked_up_in_both_families() -> None:
    """What cannot be looked up brings none."""

    class Fake:
        async def lookup(self, question: Question) -> Lookup:
            await trio.lowlevel.checkpoint()
            if question.rdtype is RRType.A:
                return Lookup(
                    question=question,
                    outcome=LookupOutcome.DATA,
                    status=DnssecStatus.SECURE,
                    records=(AddressRecord(address="192.0.2.1"),),
                )
            return Lookup(question=question, outcome=LookupOutcome.SERVFAIL, status=None)

    assert await addresses_of(Fake(), Name("mx.test")) == (
        HostAddress(address="192.0.2.1", family=Family.IPV4, status=DnssecStatus.SECURE),
    )
