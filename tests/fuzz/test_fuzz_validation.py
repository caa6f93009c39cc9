"""Replies full of damage: a validation with a status, never an exception, never endless work."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import NOW, QUESTIONS, REPLIES, asked_for, validate

from scanner.judge.dnssec.servers import Authorities, ServerReplies, server_findings
from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.usualreply import decode_usual

EXAMPLES = 300
HEADER_OCTETS = 12


@st.composite
def damaged_chain(draw: st.DrawFn) -> tuple[str, str, dict[str, bytes]]:
    """A question, and all replies it needs with octets changed, cut, doubled or mixed up."""
    owner, rdtype, _, _ = draw(st.sampled_from(QUESTIONS))
    chance = random.Random(draw(st.integers(0, 2**32)))
    names = asked_for(owner, rdtype)
    damaged = dict(REPLIES)
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)):
        damaged[name] = damage(damaged[name], chance)
    return owner, rdtype, damaged


def damage(wire: bytes, chance: random.Random) -> bytes:
    """Damage one reply somewhere, mostly behind the header and the question."""
    octets = bytearray(wire)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(5):
            case 0 if octets:
                octets[place] = chance.randrange(256)
            case 1:
                del octets[place : place + chance.randrange(1, 20)]
            case 2:
                octets[place:place] = octets[place : place + chance.randrange(1, 40)]
            case 3 if place > HEADER_OCTETS:
                octets[place : place + 2] = b"\xc0" + bytes((chance.randrange(256),))
            case _ if len(octets) >= HEADER_OCTETS:
                octets[6:12] = bytes(chance.randrange(4) for _ in range(6))
    return bytes(octets)


@settings(max_examples=EXAMPLES)
@given(damaged_chain())
def test_a_damaged_chain_has_a_status(case: tuple[str, str, dict[str, bytes]]) -> None:
    """Whatever came, the validation ends with a status and, unless secure, a reason."""
    owner, rdtype, replies = case
    found = validate(owner, rdtype, replies)
    assert isinstance(found.status, DnssecStatus)
    assert (found.reason is None) is (found.status is DnssecStatus.SECURE)
    assert all(noted.message for noted in found.findings)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(QUESTIONS), st.dictionaries(st.integers(0, 9), st.binary(max_size=300)))
def test_a_chain_of_noise_is_not_secure(
    question: tuple[str, str, str, str], noise: dict[int, bytes]
) -> None:
    """Any octets for any of the replies on the way, the root's keys among them."""
    owner, rdtype, _, _ = question
    names = asked_for(owner, rdtype)
    replaced = {names[index]: octets for index, octets in noise.items() if index < len(names)}
    found = validate(owner, rdtype, {**REPLIES, **replaced})
    assert found.status in (DnssecStatus.INDETERMINATE, DnssecStatus.BOGUS) or not replaced


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
def test_damaged_replies_of_name_servers_are_compared_all_the_same(seed: int) -> None:
    """Servers of strangers may say anything: warnings or nothing, never an exception."""
    chance = random.Random(seed)
    replies = [
        _read_damaged(name, chance) for name in ("nsec.test DNSKEY", "nsec3.test DNSKEY") * 3
    ]
    servers = tuple(
        ServerReplies(
            name=Name(f"ns{number}.nsec.test"),
            address=f"192.0.2.{number}",
            soa=chance.choice(replies),
            keys=chance.choice(replies),
            stream=chance.choice(replies),
            data=chance.choice([None, *replies]),
        )
        for number in range(chance.randrange(4))
    )
    found = Authorities(zone=Name("nsec.test"), signed=bool(seed % 2), servers=servers)
    assert all(noted.state is None and noted.message for noted in server_findings(found, now=NOW))


def _read_damaged(name: str, chance: random.Random) -> SignedMessage | FetchFailure:
    owner, rdtype = name.split()
    question = Question(Name(owner), RRType(rdtype))
    wire = REPLIES[name] if chance.random() < 0.3 else damage(REPLIES[name], chance)
    try:
        return decode_usual(question, query_id=0, wire=wire)
    except MalformedResponseError:
        reason = chance.choice([DnssecReason.RESPONSE_MALFORMED, DnssecReason.UPSTREAM_TIMEOUT])
        return FetchFailure(question=question, reason=reason, outcome=LookupOutcome.MALFORMED)
