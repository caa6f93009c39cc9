"""The fast reader of replies is the plain reader: the same record sets, or the same refusal."""

import struct
from collections.abc import Callable
from typing import Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from signed_replies import QUERY_ID, Signer, octets, records, rrsigs

from scanner.model.names import Name, name_from_labels
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.wire import usualreply
from scanner.wire.dnsframe import MalformedResponseError, read_labels
from scanner.wire.dnsnames import OddNameError, name_forms, read_raw_name
from scanner.wire.rrsets import decode_signed
from scanner.wire.usualreply import decode_usual

QUESTION = Question(Name("p.test"), RRType.MX)
QUESTION_OCTETS = b"\x01p\x04test\x00" + struct.pack("!HH", 15, 1)
SIGNER = Signer("test.")

HOT_TYPES = (1, 2, 5, 6, 15, 16, 28, 33, 35, 39, 43, 46, 47, 48, 50, 52)
owners = st.sampled_from(
    [
        b"\xc0\x0c",
        b"\xc0\x0e",
        b"\x00",
        b"\x03aBc\xc0\x0c",
        b"\x01P\x04TEST\x00",
        b"\xc0\xff",
        b"\xc0\x1b",
        b"\x40",
        b"\x3f" + b"l" * 63,
        b"\x02a.\x00",
    ]
)
name_octets = st.sampled_from([b"\xc0\x0c", b"\x00", b"\x02Mx\xc0\x0c", b"\x01a\x00", b"\xc0\x1d"])
signature = st.builds(
    lambda covered, signer, rest: (
        struct.pack("!HBBIIIH", covered, 13, 2, 60, 9, 7, 5) + signer + rest
    ),
    st.sampled_from([15, 1, 6, 47, 50]),
    st.sampled_from([b"\x04test\x00", b"\x04TEST\x00", b"\xc0\x0e", b"\x01p\x04test\x00", b""]),
    st.sampled_from([b"one", b"two", b""]),
)
rdata = st.one_of(
    st.binary(max_size=60),
    name_octets,
    st.builds(lambda name: b"\x00\x0a" + name, name_octets),
    st.builds(lambda a, b, rest: a + b + rest, name_octets, name_octets, st.binary(max_size=24)),
    signature,
)
record = st.builds(
    lambda owner, rdtype, rdclass, ttl, data: (
        owner + struct.pack("!HHIH", rdtype, rdclass, ttl, len(data)) + data
    ),
    owners,
    st.sampled_from(HOT_TYPES),
    st.sampled_from([1, 1, 1, 3]),
    st.sampled_from([0, 60, 3600, 2**31, 2**32 - 1]),
    rdata,
)
signed_record = st.builds(
    lambda owner, data: owner + struct.pack("!HHIH", 46, 1, 60, len(data)) + data,
    st.sampled_from([b"\xc0\x0c", b"\xc0\x0e"]),
    signature,
)
opt = st.sampled_from(
    [
        b"",
        b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00",
        b"\x00\x00\x29\x04\xd0\x01\x00\x80\x00\x00\x00",
        b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x06\x00\x0f\x00\x02\x00\x06",
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01",
    ]
)


def outcome(decode: Callable[..., Any], question: Question, wire: bytes) -> object:
    """Return the message, or the text of the refusal."""
    try:
        return decode(question, query_id=QUERY_ID, wire=wire, server="192.0.2.53:53")
    except MalformedResponseError as error:
        return str(error)


def assert_same(question: Question, wire: bytes) -> None:
    """Hold the two readers together."""
    assert outcome(decode_usual, question, wire) == outcome(decode_signed, question, wire)


@given(
    st.lists(st.one_of(record, signed_record), max_size=6),
    st.lists(st.one_of(record, signed_record), max_size=4),
    opt,
    st.sampled_from([0x8180, 0x8580, 0x8183, 0x0100, 0x8380, 0x8900]),
    st.sampled_from(
        [QUESTION_OCTETS, QUESTION_OCTETS.replace(b"test", b"TeSt"), b"\x00\x00\x0f\x00\x01"]
    ),
)
def test_records_of_any_content(
    answers: list[bytes], authorities: list[bytes], extra: bytes, flags: int, asked: bytes
) -> None:
    """Odd owners, compressed names, doubles, classes and TTLs: whatever the plain reader says."""
    counts = (1, len(answers), len(authorities), bool(extra))
    header = struct.pack("!HHHHHH", QUERY_ID, flags, *counts)
    assert_same(QUESTION, header + asked + b"".join((*answers, *authorities)) + extra)


@given(st.binary(max_size=200), st.booleans())
def test_any_octets(octets: bytes, begin_well: bool) -> None:
    """Noise, also behind a good header."""
    start = struct.pack("!HHHHHH", QUERY_ID, 0x8180, 1, 2, 1, 1) + QUESTION_OCTETS
    assert_same(QUESTION, start + octets if begin_well else octets)


def usual_replies() -> list[tuple[Question, bytes]]:
    """Return a reply of each kind that a scan sees all the time."""
    mx = records("p.test.", "MX", "10 mx.p.test.", "20 MX2.other.test.")
    soa = records("test.", "SOA", "ns.test. Host.test. 1 2 3 4 60")
    nsec = records("p.test.", "NSEC", "q.test. MX RRSIG NSEC TYPE65280")
    nsec3 = records(
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.test.",
        "NSEC3",
        "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS SOA NSEC3PARAM RRSIG",
    )
    cname = records("p.test.", "CNAME", "other.test.")
    tlsa = records("p.test.", "TLSA", "3 1 1 " + "ab" * 32, "3 1 1 " + "AC" * 32)
    signed = SIGNER.signed
    return [
        (QUESTION, octets(QUESTION, signed(mx))),
        (QUESTION, octets(QUESTION, (), signed(soa, nsec))),
        (QUESTION, octets(QUESTION, (), signed(soa, nsec3), rcode=3)),
        (QUESTION, octets(QUESTION, signed(cname, records("other.test.", "MX", "5 p.test.")))),
        (QUESTION, octets(QUESTION, [mx], edns=False)),
        (
            Question(Name("p.test"), RRType.TLSA),
            octets(Question(Name("p.test"), RRType.TLSA), signed(tlsa)),
        ),
        (
            Question(Name("test"), RRType.DNSKEY),
            octets(Question(Name("test"), RRType.DNSKEY), signed(SIGNER.dnskeys())),
        ),
        (
            Question(Name("test"), RRType.DS),
            octets(Question(Name("test"), RRType.DS), signed(SIGNER.ds_rrset())),
        ),
    ]


USUAL = usual_replies()


# Not by their octets: dnspython puts records in an order of its own each time.
@pytest.mark.parametrize(("question", "wire"), USUAL, ids=range(len(USUAL)))
def test_usual_replies_are_read_without_the_plain_reader(
    question: Question, wire: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a scan sees all the time takes the fast way, and comes out the same."""
    plain = outcome(decode_signed, question, wire)

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("the plain reader was asked")

    monkeypatch.setattr(usualreply, "decode_signed", refuse)
    assert outcome(decode_usual, question, wire) == plain


@given(st.sampled_from(USUAL), st.data())
def test_usual_replies_with_octets_changed(
    case: tuple[Question, bytes], data: st.DataObject
) -> None:
    """One or two octets changed, or the end cut off: never another reading."""
    question, wire = case
    changed = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 2))):
        changed[data.draw(st.integers(2, len(wire) - 1))] = data.draw(
            st.sampled_from([0, 1, 12, 0x3F, 0x40, 0x80, 0xC0, 0xFF])
        )
    cut = data.draw(st.sampled_from([len(wire), len(wire), data.draw(st.integers(0, len(wire)))]))
    assert_same(question, bytes(changed[:cut]))


@given(
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"mx", b"MX", b"a.b"])),
        max_size=6,
    )
)
@example([])
def test_forms_of_a_name(labels: list[bytes]) -> None:
    """Text, canonical order and canonical octets are those that the model makes."""
    raw = b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"
    forms = name_forms(raw)
    theirs = dns.name.Name([*labels, b""]).canonicalize()
    assert forms.name == name_from_labels(labels)
    assert forms.labels == tuple(theirs.labels[:-1][::-1])
    assert forms.octets == theirs.to_wire()


@given(st.binary(min_size=13, max_size=80), st.integers(12, 79))
def test_a_raw_name_is_what_the_plain_reader_reads(wire: bytes, start: int) -> None:
    """Where a name is accepted, its labels and its end are those of ``read_labels``."""
    try:
        raw, after = read_raw_name(wire, start, {})
    except (OddNameError, IndexError):
        return
    labels, end = read_labels(wire, start)
    assert raw == b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"
    assert after == end


def test_a_staircase_of_pointers_is_left_to_the_plain_reader() -> None:
    """Each record's owner points to the one before: remembered jumps count as jumps."""
    start = 12 + len(QUESTION_OCTETS)
    answers = []
    target = 12
    for number in range(200):
        answers.append(struct.pack("!HHHIH", 0xC000 | target, 1, 1, 60, 4) + bytes(4))
        target = start + 16 * number
    header = struct.pack("!HHHHHH", QUERY_ID, 0x8180, 1, len(answers), 0, 0)
    wire = header + QUESTION_OCTETS + b"".join(answers)
    assert outcome(decode_signed, QUESTION, wire) == "a compression pointer that does not lead back"
    assert_same(QUESTION, wire)


def test_signatures_that_differ_only_in_their_header_are_all_kept() -> None:
    """Doubles count once, but what is not the same octets is no double."""
    mx = records("p.test.", "MX", "10 mx.p.test.")
    signature = SIGNER.sign(mx)
    other = signature.replace(key_tag=(signature.key_tag + 1) % 65536)
    wire = octets(QUESTION, [mx, rrsigs(mx, signature), rrsigs(mx, other), rrsigs(mx, signature)])
    assert_same(QUESTION, wire)
    assert len(decode_usual(QUESTION, query_id=QUERY_ID, wire=wire).answer[0].rrsigs) == 2
