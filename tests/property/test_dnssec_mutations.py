"""Real signed answers with one thing changed: never secure for changed data.

The answers, with every reply of the chain to them, were signed by BIND's and NLnet Labs' signers
and recorded from NSD (tests/vectors/make_recorded_answers.py); the time stands still at the moment
of the recording. Changed is one reply on the way: the root's keys, a DS, the answer itself.

What is secure after a change must be what was secure before it: same outcome, same records, same
aliases, no longer a TTL. And a chain that was secure never becomes insecure: for that, somebody
would have to forge a proof.
"""

import random
from collections.abc import Callable

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import QUESTIONS, REPLIES, asked_for, original, validate

from scanner.model.dnssec import Validation
from scanner.model.vocabulary import DnssecStatus

SECURE_QUESTIONS = [(owner, rdtype) for owner, rdtype, status, _ in QUESTIONS if status == "secure"]
HEADER_OCTETS = 12
SINGLE_CHANGES = 400
RR_CHANGES = 300


@pytest.mark.parametrize(
    ("owner", "rdtype", "status", "outcome"), QUESTIONS, ids=[f"{q[0]} {q[1]}" for q in QUESTIONS]
)
def test_recorded_answers_have_the_status_they_were_made_for(
    owner: str, rdtype: str, status: str, outcome: str
) -> None:
    """Unchanged, every chain comes to what its zone was set up for."""
    found = original(owner, rdtype)
    assert (found.status, found.outcome) == (status, outcome), found.findings


def check(owner: str, rdtype: str, name: str, wire: bytes) -> Validation:
    """Assert that with ``wire`` in place of one reply nothing false is secure."""
    before = original(owner, rdtype)
    after = validate(owner, rdtype, {**REPLIES, name: wire})
    assert after.status is not DnssecStatus.INSECURE, (name, after)
    if after.status is DnssecStatus.SECURE:
        assert after.outcome == before.outcome, (name, after)
        assert set(after.records) == set(before.records), (name, after)
        assert [(a.owner, a.target) for a in after.aliases] == [
            (a.owner, a.target) for a in before.aliases
        ], (name, after)
    return after


@st.composite
def a_reply(draw: st.DrawFn) -> tuple[str, str, str]:
    """A question whose answer is secure, and the name of one reply on the way to it."""
    owner, rdtype = draw(st.sampled_from(SECURE_QUESTIONS))
    return owner, rdtype, draw(st.sampled_from(asked_for(owner, rdtype)))


@settings(max_examples=SINGLE_CHANGES)
@given(a_reply(), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_one_octet_changed_is_never_secure_for_changed_data(
    reply: tuple[str, str, str], place: float, change: int
) -> None:
    """Anywhere after the header: owner, type, TTL, data, signature, denial."""
    owner, rdtype, name = reply
    octets = bytearray(REPLIES[name])
    octets[HEADER_OCTETS + int(place * (len(octets) - HEADER_OCTETS))] ^= change
    check(owner, rdtype, name, bytes(octets))


@pytest.mark.parametrize(
    ("owner", "rdtype"),
    [("mx.nsec.test", "A"), ("mx.nsec3.test", "AAAA"), ("x.walias.nsec.test", "A")],
)
def test_every_octet_of_an_answer_counts(owner: str, rdtype: str) -> None:
    """Each octet of the answer, one bit of it changed: all of them, not a sample."""
    name = f"{owner} {rdtype}"
    bits = random.Random(4711)
    for place in range(2, len(REPLIES[name])):
        octets = bytearray(REPLIES[name])
        octets[place] ^= 1 << bits.randrange(8)
        check(owner, rdtype, name, bytes(octets))


Edit = Callable[[dns.message.Message, random.Random], None]


def _sets(message: dns.message.Message) -> list[tuple[list[dns.rrset.RRset], dns.rrset.RRset]]:
    return [(s, rrset) for s in (message.answer, message.authority) for rrset in s]


def drop_one(message: dns.message.Message, chance: random.Random) -> None:
    """Take out one record set, or its signatures."""
    section, rrset = chance.choice(_sets(message))
    section.remove(rrset)


def drop_record(message: dns.message.Message, chance: random.Random) -> None:
    """Take out one record of a set."""
    _, rrset = chance.choice(_sets(message))
    rrset.remove(chance.choice(list(rrset)))
    message.answer[:] = [each for each in message.answer if each]
    message.authority[:] = [each for each in message.authority if each]


def rename(message: dns.message.Message, chance: random.Random) -> None:
    """Move one record set, or its signatures, to the owner of another or to one beside it."""
    _, rrset = chance.choice(_sets(message))
    others = [each.name for _, each in _sets(message) if each.name != rrset.name]
    beside = dns.name.Name((b"b", *rrset.name.labels[1:])) if len(rrset.name) > 1 else rrset.name
    rrset.name = chance.choice([*others, beside])


def rename_both(message: dns.message.Message, chance: random.Random) -> None:
    """Move a record set together with its signatures."""
    _, chosen = chance.choice(_sets(message))
    old, new = chosen.name, dns.name.Name((b"b", *(chosen.name.labels[1:] or (b"",))))
    for _, rrset in _sets(message):
        if rrset.name == old:
            rrset.name = new


def raise_ttl(message: dns.message.Message, chance: random.Random) -> None:
    """Give one record set a TTL above the one that was signed."""
    _, rrset = chance.choice(_sets(message))
    rrset.ttl = 2**31 - 1 - chance.randrange(1000)


def swap_denial(message: dns.message.Message, chance: random.Random) -> None:
    """Put one NSEC or NSEC3, signatures and all, in the place of another of the same zones."""
    denying = [dns.rdatatype.NSEC, dns.rdatatype.NSEC3]
    mine = [(s, r) for s, r in _sets(message) if r.rdtype in denying or r.covers in denying]
    others = [
        [r for _, r in _sets(read(wire)) if r.rdtype in denying or r.covers in denying]
        for wire in REPLIES.values()
    ]
    others = [each for each in others if each]
    for section, rrset in mine:
        section.remove(rrset)
    message.authority += chance.choice(others)


def swap_answer(message: dns.message.Message, chance: random.Random) -> None:
    """Put the sections of another reply under this question."""
    other = read(chance.choice(list(REPLIES.values())))
    message.answer[:], message.authority[:] = other.answer, other.authority


def borrow(message: dns.message.Message, chance: random.Random) -> None:
    """Add a record set of another reply."""
    found = [rrset for wire in REPLIES.values() for rrset in read(wire).answer]
    message.answer.append(chance.choice(found))


def change_rcode(message: dns.message.Message, chance: random.Random) -> None:
    """NOERROR for NXDOMAIN and the reverse: the RCODE is not signed."""
    message.set_rcode(3 - message.rcode())  # type: ignore[arg-type]


EDITS: list[Edit] = [
    drop_one,
    drop_record,
    rename,
    rename_both,
    raise_ttl,
    swap_denial,
    swap_answer,
    borrow,
    change_rcode,
]


def read(wire: bytes) -> dns.message.Message:
    """Read a recorded reply, every record a set of its own kind."""
    return dns.message.from_wire(wire)


@pytest.mark.parametrize("edit", EDITS, ids=[edit.__name__ for edit in EDITS])
@settings(max_examples=RR_CHANGES // len(EDITS) * 2)
@given(reply=a_reply(), seed=st.integers(0, 2**32))
def test_one_record_changed_is_never_secure_for_changed_data(
    edit: Edit, reply: tuple[str, str, str], seed: int
) -> None:
    """Whole records dropped, moved, swapped or borrowed from another reply."""
    owner, rdtype, name = reply
    message = read(REPLIES[name])
    edit(message, random.Random(seed))
    wire = message.to_wire(max_size=65_535)
    after = check(owner, rdtype, name, wire)
    longest = original(owner, rdtype).ttl_seconds
    if after.status is DnssecStatus.SECURE and edit is raise_ttl:
        assert after.ttl_seconds is not None
        assert longest is not None
        assert after.ttl_seconds <= longest
