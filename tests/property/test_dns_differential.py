"""What we read of a reply is what dnspython, the library of record, reads of it.

Replies are rendered by dnspython with its own name compression, so the framer sees pointers of a
foreign hand.
"""

from collections import Counter

import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns_replies import name as name_octets
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.names import name_from_labels
from scanner.model.observation import AddressRecord, MxRecord, Question, TlsaRecord
from scanner.model.vocabulary import RRType
from scanner.wire.dnsframe import read_header, read_name, read_question, read_sections
from scanner.wire.dnsmsg import ReplyKind, build_query, decode_response
from scanner.wire.dnsquery import name_octets as our_octets

label = st.one_of(
    st.sampled_from([b"mx", b"MX", b"example", b"org", b"_25", b"_tcp", b"a.b", b"\x00\\"]),
    st.binary(min_size=1, max_size=12),
)
names = st.lists(label, max_size=5).map(lambda labels: dns.name.Name([*labels, b""]))
ttls = st.integers(0, 2**31 - 1)


def ours(name: dns.name.Name) -> str:
    return name_from_labels(name.labels[:-1])


@st.composite
def mx_replies(draw: st.DrawFn) -> tuple[dns.name.Name, dns.message.Message]:
    """A reply to an MX question with aliases, records and noise, in any order."""
    owner = draw(names)
    query = dns.message.make_query(owner, "MX", use_edns=True, want_dnssec=True)
    message = dns.message.make_response(query)
    message.flags |= dns.flags.AD if draw(st.booleans()) else 0
    exchanges = draw(st.lists(st.tuples(st.integers(0, 65535), names), min_size=1, max_size=6))
    rrset = dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.MX)
    rrset.update_ttl(draw(ttls))
    for preference, exchange in exchanges:
        wire = preference.to_bytes(2) + (exchange.to_wire() or b"")
        rrset.add(dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.MX, wire, 0, len(wire)))
    message.answer.append(rrset)
    for section in (message.answer, message.authority, message.additional):
        for other in draw(st.lists(names, max_size=2)):
            section.append(dns.rrset.from_text(other, draw(ttls), "IN", "TXT", '"noise"'))
    return owner, message


@given(mx_replies())
def test_mx_answers_are_what_dnspython_meant(
    case: tuple[dns.name.Name, dns.message.Message],
) -> None:
    """Records, TTL and AD survive rendering by dnspython, which shuffles, and reading by us."""
    owner, message = case
    wire = message.to_wire(max_size=65_535)
    reply = decode_response(Question(ours(owner), RRType.MX), query_id=message.id, wire=wire)
    expected = message.answer[0]
    assert reply.kind is ReplyKind.DATA
    assert Counter(reply.records) == Counter(
        MxRecord(preference=mx.preference, exchange=ours(mx.exchange)) for mx in expected
    )
    assert reply.ttl_seconds == expected.ttl
    assert reply.ad is bool(message.flags & dns.flags.AD)


@given(mx_replies())
def test_every_record_is_framed_as_dnspython_frames_it(
    case: tuple[dns.name.Name, dns.message.Message],
) -> None:
    """Owner, type, class and TTL of each record of each section agree."""
    _, message = case
    wire = message.to_wire(max_size=65_535)
    header = read_header(wire)
    sections = read_sections(wire, header, read_question(wire, header).end)
    parsed = dns.message.from_wire(wire, one_rr_per_rrset=True)
    for mine, theirs in zip(
        sections, (parsed.answer, parsed.authority, parsed.additional), strict=True
    ):
        assert [
            (raw.owner, raw.rdtype, raw.rdclass, raw.ttl) for raw in mine if raw.rdtype != 41
        ] == [(ours(rrset.name), rrset.rdtype, rrset.rdclass, rrset.ttl) for rrset in theirs]


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=8, unique=True))
def test_addresses_are_what_dnspython_says(addresses: list[bytes]) -> None:
    """A records come out in the same text."""
    query = dns.message.make_query("example.org.", "A")
    message = dns.message.make_response(query)
    texts = [".".join(str(octet) for octet in address) for address in addresses]
    message.answer.append(dns.rrset.from_text("example.org.", 1, "IN", "A", *texts))
    question = Question(ours(dns.name.from_text("example.org")), RRType.A)
    reply = decode_response(question, query_id=message.id, wire=message.to_wire())
    assert set(reply.records) == {AddressRecord(address=text) for text in texts}


@given(st.integers(0, 255), st.integers(0, 255), st.integers(3, 255), st.binary(max_size=100))
def test_tlsa_is_what_dnspython_says(
    usage: int, selector: int, matching_type: int, data: bytes
) -> None:
    """Where dnspython accepts TLSA RDATA at all, we read the same fields."""
    query = dns.message.make_query("_25._tcp.mx.test.", "TLSA")
    message = dns.message.make_response(query)
    wire = bytes((usage, selector, matching_type)) + data
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TLSA, wire, 0, len(wire))
    message.answer.append(dns.rrset.from_rdata("_25._tcp.mx.test.", 1, rdata))
    question = Question(ours(dns.name.from_text("_25._tcp.mx.test")), RRType.TLSA)
    reply = decode_response(question, query_id=message.id, wire=message.to_wire())
    assert reply.records == (
        TlsaRecord(usage=usage, selector=selector, matching_type=matching_type, data=data),
    )


@given(names)
def test_names_go_out_and_come_back(name: dns.name.Name) -> None:
    """A name's octets are dnspython's, lower-cased, and reading them gives the name back."""
    wire = our_octets(ours(name))
    assert wire == (name.canonicalize().to_wire() or b"")
    assert read_name(b"\x00" * 12 + wire, 12) == (ours(name), 12 + len(wire))


@given(names, st.sampled_from(RRType), st.integers(0, 65535), st.booleans())
def test_dnspython_understands_every_query(
    name: dns.name.Name, rdtype: RRType, query_id: int, checking_disabled: bool
) -> None:
    """Whatever is asked, dnspython reads the same question."""
    wire = build_query(
        Question(ours(name), rdtype), query_id=query_id, checking_disabled=checking_disabled
    )
    query = dns.message.from_wire(wire)
    assert query.id == query_id
    assert bool(query.flags & dns.flags.CD) is checking_disabled
    (asked,) = query.question
    assert asked.name == name
    assert asked.rdtype == dns.rdatatype.from_text(rdtype)


def test_the_support_module_spells_names_as_dnspython_does() -> None:
    """The replies of the other tests are built on this."""
    assert name_octets("Example.org") == b"\x07Example\x03org\x00"
