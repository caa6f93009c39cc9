"""What must hold for every reply: dnspython agrees, and changed data are never secure.

dnspython is the oracle for reading (canonical RDATA, key tags, bitmaps) and for verifying.
"""

import functools
from collections.abc import Iterator
from datetime import timedelta

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import hypothesis.strategies as st
import pytest
from dns.dnssec import key_id
from hypothesis import HealthCheck, given, settings
from signed_replies import NOW, QUERY_ID, Signer, octets, read, records, renamed, rrsigs, verifier

from scanner.judge.dnssec.answer import Answer, WalkTo, validate_answer
from scanner.judge.dnssec.zone import Path, Step
from scanner.model.canonical import canonical, name_of, wire_form
from scanner.model.dnssec import ChainLink, FetchFailure, LinkKind
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.dnsrdata import TYPE_CODES
from scanner.wire.rrsets import decode_signed

LABELS = st.lists(st.binary(min_size=1, max_size=12), min_size=0, max_size=5)
HOSTS = st.lists(st.text("abzABZ059-_*", min_size=1, max_size=10), min_size=1, max_size=4).map(
    lambda labels: ".".join(labels) + "."
)
ZONE = Signer("example.")


@given(LABELS)
def test_canonical_names_are_those_of_dnspython(labels: list[bytes]) -> None:
    """Any octets, escaped and back."""
    name = dns.name.Name((*labels, b""))
    lower = canonical(name_of(tuple(label.lower() for label in reversed(labels))))
    assert wire_form(lower) == name.canonicalize().to_wire()


@given(LABELS, LABELS)
def test_canonical_order_is_that_of_dnspython(one: list[bytes], other: list[bytes]) -> None:
    """RFC 4034 §6.1: by label, from the root down."""
    left, right = dns.name.Name((*one, b"")), dns.name.Name((*other, b""))
    ours = [tuple(label.lower() for label in reversed(labels)) for labels in (one, other)]
    assert (ours[0] < ours[1]) == (left.fullcompare(right)[1] < 0)


@given(
    st.sampled_from(["NS", "CNAME", "PTR", "DNAME", "MX", "SRV", "SOA", "RP", "AFSDB", "NAPTR"]),
    HOSTS,
    HOSTS,
)
def test_canonical_rdata_is_that_of_dnspython(rdtype: str, one: str, other: str) -> None:
    """Compressed in the message, upper case, several names (RFC 4034 §6.2)."""
    form = {
        "MX": "10 {0}",
        "SRV": "1 2 3 {0}",
        "AFSDB": "1 {0}",
        "SOA": "{0} {1} 1 2 3 4 5",
        "RP": "{0} {1}",
        "NAPTR": '1 2 "s" "x" "" {0}',
    }.get(rdtype, "{0}")
    made = records("Example.", rdtype, form.format(one, other))
    (rdata,) = made
    assert read(made).rdatas == (rdata.to_digestable(),)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 0xFFFF), st.integers(2, 255))
def test_key_tags_are_those_of_dnspython(key: bytes, flags: int, algorithm: int) -> None:
    """RFC 4034 appendix B."""
    octets = flags.to_bytes(2) + bytes((3, algorithm)) + key
    rdata = dns.rdata.from_wire(1, 48, octets, 0, len(octets))
    (parsed,) = read(dns.rrset.from_rdata("example.", 60, rdata)).parsed
    assert getattr(parsed, "key_tag", None) == key_id(rdata)


@given(st.sets(st.integers(1, 0xFFFF), max_size=40))
def test_type_bitmaps_are_those_of_dnspython(types: set[int]) -> None:
    """RFC 4034 §4.1.2."""
    names = " ".join(dns.rdatatype.to_text(dns.rdatatype.RdataType.make(t)) for t in types)
    (parsed,) = read(records("a.example.", "NSEC", f"b.example. {names}")).parsed
    assert getattr(parsed, "types", None) == types


@given(
    st.sampled_from([8, 10, 13, 14, 15, 16]),
    HOSTS,
    st.lists(st.tuples(st.integers(0, 0xFFFF), HOSTS), min_size=1, max_size=6),
)
@settings(max_examples=60)
def test_what_dnspython_signs_verifies(
    algorithm: int, owner: str, mx: list[tuple[int, str]]
) -> None:
    """Any record set, in any case and order."""
    signer = Signer(algorithm=algorithm)
    made = records(f"{owner}example.", "MX", *(f"{number} {host}" for number, host in mx))
    checked = verifier().check(read(made, signer.sign(made)), signer.zone())
    assert checked.reason is None


SOA = records("example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
MX = records("example.", "MX", "10 mail.example.", "20 mail2.example.")
WILD = records("*.example.", "A", "192.0.2.1")
EXPANDED = renamed(WILD, "w.example.")
COVER = records("*.example.", "NSEC", "z.example. A RRSIG NSEC")
APEX = records("example.", "NSEC", "*.example. SOA NS MX RRSIG NSEC DNSKEY")
ALIAS = records("x.example.", "CNAME", "w.example.")


@functools.cache
def answers() -> tuple[tuple[Question, bytes], ...]:
    """Return signed answers of every shape with their questions."""
    wild = [EXPANDED, rrsigs(EXPANDED, ZONE.sign(WILD))]
    cover = ZONE.signed(COVER)
    return tuple(
        (question, octets(question, answer, authority, rcode=rcode))
        for question, answer, authority, rcode in (
            (Question(Name("example"), RRType.MX), ZONE.signed(MX), [], 0),
            (Question(Name("w.example"), RRType.A), wild, cover, 0),
            (Question(Name("x.example"), RRType.A), [*ZONE.signed(ALIAS), *wild], cover, 0),
            (Question(Name("example"), RRType.TLSA), [], ZONE.signed(SOA, APEX), 0),
            (Question(Name("w.example"), RRType.MX), [], ZONE.signed(SOA, COVER, APEX), 0),
        )
    )


def path_to(name: tuple[bytes, ...]) -> Path:
    """Return the path to example, or nothing that can be believed."""
    if name[:1] == (b"example",):
        status, zone = DnssecStatus.SECURE, ZONE.zone()
    else:
        status, zone = DnssecStatus.INDETERMINATE, None
    link = ChainLink(zone=Name("example"), kind=LinkKind.ANCHOR, status=status)
    return Path(steps=(Step(link=link, zone=zone),))


def judge(question: Question, wire: bytes) -> Answer | None:
    """Return what the octets are worth as the answer; None if they cannot be read."""
    try:
        message = decode_signed(question, query_id=QUERY_ID, wire=wire)
    except MalformedResponseError:
        return None
    if message.truncated:
        return None
    conversation = validate_answer(question, TYPE_CODES[question.rdtype], verifier())
    asked = False
    try:
        need = next(conversation)
        while True:
            if isinstance(need, WalkTo):
                need = conversation.send(path_to(need.name))
            elif not asked:
                asked = True
                need = conversation.send(message)
            else:
                failure = FetchFailure(
                    question=need,
                    reason=DnssecReason.UPSTREAM_TIMEOUT,
                    outcome=LookupOutcome.TIMEOUT,
                )
                need = conversation.send(failure)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def meaning(answer: Answer) -> tuple[object, ...]:
    """Return what an answer says, without TTLs and signatures."""
    rdatas = answer.data.rdatas if answer.data is not None else ()
    aliases = tuple((hop.owner, hop.target) for hop in answer.aliases)
    return answer.outcome, rdatas, aliases


def test_the_answers_as_they_are_made_are_secure() -> None:
    """Or the next test would prove nothing."""
    for question, wire in answers():
        found = judge(question, wire)
        assert found is not None
        assert found.status is DnssecStatus.SECURE


def flips(wire: bytes) -> Iterator[bytes]:
    """Yield the octets with each single bit of each octet after the id changed."""
    for position in range(2, len(wire)):
        for bit in range(8):
            changed = bytearray(wire)
            changed[position] ^= 1 << bit
            yield bytes(changed)


@pytest.mark.parametrize("index", range(5))
def test_no_single_changed_bit_makes_other_data_secure(index: int) -> None:
    """Every bit of every kind of answer: the data are the same, or they are not secure."""
    question, wire = answers()[index]
    whole = judge(question, wire)
    assert whole is not None
    secure = 0
    for changed in flips(wire):
        found = judge(question, changed)
        if found is not None and found.status is DnssecStatus.SECURE:
            assert meaning(found) == meaning(whole)
            secure += 1
    # TTLs, the RCODE and records that no proof needs may change without harm.
    assert 0 < secure < len(wire) * 4


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_mutilated_answers_never_raise_and_never_lie(data: st.DataObject) -> None:
    """Octets removed, doubled or replaced anywhere."""
    question, wire = data.draw(st.sampled_from(answers()))
    start = data.draw(st.integers(2, len(wire)))
    length = data.draw(st.integers(0, 60))
    changed = wire[:start] + data.draw(st.binary(max_size=60)) + wire[start + length :]
    found = judge(question, changed)
    whole = judge(question, wire)
    assert whole is not None
    if found is not None and found.status is DnssecStatus.SECURE:
        assert meaning(found) == meaning(whole)


@given(st.lists(st.sampled_from(range(8)), min_size=1, max_size=12))
@settings(max_examples=60)
def test_records_in_any_order_and_number_never_lie(picks: list[int]) -> None:
    """Pieces of signed answers put together anew: a denial never hides what is there."""
    pieces = [MX, SOA, APEX, COVER, WILD, EXPANDED, ALIAS]
    sections: list[dns.rrset.RRset] = []
    for pick in picks:
        if pick < len(pieces):
            sections.append(pieces[pick])
            signer_of = WILD if pieces[pick] is EXPANDED else pieces[pick]
            sections.append(rrsigs(pieces[pick], ZONE.sign(signer_of)))
    question = Question(Name("example"), RRType.MX)
    for answer, authority in ((sections, []), ([], sections)):
        found = judge(question, octets(question, answer, authority))
        assert found is not None
        if found.status is DnssecStatus.SECURE:
            assert found.outcome is LookupOutcome.DATA  # nothing denies the MX that is there


def test_the_moment_is_pinned() -> None:
    """Signatures of the tests hold at NOW and not a month later."""
    late = verifier(now=NOW + timedelta(days=30)).check(read(MX, ZONE.sign(MX)), ZONE.zone())
    assert late.reason is DnssecReason.RRSIG_EXPIRED
