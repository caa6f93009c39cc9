"""Whatever comes from the network is a value or a MalformedResponseError, in bounded time."""

from contextlib import suppress

from dns_replies import QR, TC, opt, reply, rr, rrsig, soa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.inflight import InFlight
from scanner.wire.dnsmsg import (
    MalformedResponseError,
    Reply,
    ReplyKind,
    decode_response,
    echoes_question,
)

OWNER = Name("_25._tcp.mx.example.org")
SEEDS = [
    reply((OWNER, "TLSA"), answer=[rr(OWNER, "TLSA", "3 1 1 " + "ab" * 32), rrsig(OWNER, "TLSA")]),
    reply((OWNER, "MX"), answer=[rr(OWNER, "MX", rdata=b"\x00\x0a\x02mx\xc0\x0c")]),
    reply((OWNER, "A"), answer=[rr(OWNER, "CNAME", "b.test."), rr("b.test", "A", "192.0.2.1")]),
    reply((OWNER, "TXT"), answer=[rr(OWNER, "TXT", '"text"')], additional=[opt((6, b"why"))]),
    reply((OWNER, "A"), rcode=3, authority=[soa("example.org")]),
    reply((OWNER, "A"), flags=QR | TC),
]


def read(wire: bytes, rdtype: RRType) -> Reply | None:
    """Decode, holding that nothing else than the declared error comes out."""
    try:
        found = decode_response(Question(OWNER, rdtype), query_id=7, wire=wire)
    except MalformedResponseError:
        return None
    assert (found.kind is ReplyKind.DATA) is bool(found.records)
    assert found.ttl_seconds is None or 0 <= found.ttl_seconds < 2**31
    assert len(found.aliases) <= 17
    return found


@given(st.binary(max_size=600), st.sampled_from(RRType))
@example(b"\x00\x07\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01", RRType.A)
def test_any_octets_are_read_or_refused(wire: bytes, rdtype: RRType) -> None:
    """Octets without any structure."""
    read(wire, rdtype)


@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.sampled_from("rid"), st.integers(2, 400), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(RRType),
)
@settings(max_examples=400)
def test_damaged_replies_are_read_or_refused(
    seed: bytes, damage: list[tuple[str, int, bytes]], rdtype: RRType
) -> None:
    """Good replies with octets replaced, inserted and deleted."""
    wire = bytearray(seed)
    for kind, position, octets in damage:
        at = position % len(wire)
        if kind == "r":
            wire[at : at + len(octets)] = octets
        elif kind == "i":
            wire[at:at] = octets
        else:
            del wire[at : at + len(octets)]
            wire += b"\x00"
    read(bytes(wire), rdtype)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([OWNER, "b.test", "c.test", "test"]),
            st.sampled_from(["A", "CNAME", "MX", "TLSA", "SOA", "RRSIG", "NS", "DNAME", "DNSKEY"]),
            st.one_of(st.binary(max_size=30), st.just(b"\x01b\x04test\x00"), st.just(b"\xc0\x0c")),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
    st.sampled_from([0, 3]),
    st.sampled_from(RRType),
)
@settings(max_examples=300)
def test_any_records_are_read_or_refused(
    records: list[tuple[str, str, bytes]], split: int, rcode: int, rdtype: RRType
) -> None:
    """Well-framed records of any content, aliases in every shape, in either section."""
    made = [rr(owner, kind, rdata=rdata) for owner, kind, rdata in records]
    found = read(
        reply((OWNER, rdtype), answer=made[:split], authority=made[split:], rcode=rcode), rdtype
    )
    if found is not None and rcode == 3:
        assert found.kind in (ReplyKind.NXDOMAIN, ReplyKind.LOOP)


@given(st.sampled_from(SEEDS), st.integers(0, 300))
def test_a_reply_cut_anywhere_is_refused(seed: bytes, length: int) -> None:
    """No prefix of a whole reply passes for one, unless it says TC itself."""
    truncated = seed is SEEDS[-1]
    for rdtype in (RRType.TLSA, RRType.MX, RRType.A, RRType.TXT):
        found = read(seed[: min(length, len(seed) - 1)], rdtype)
        assert found is None or (truncated and found.kind is ReplyKind.TRUNCATED)


@given(st.binary(max_size=100), st.binary(max_size=60))
def test_no_datagram_disturbs_those_who_wait(noise: bytes, question: bytes) -> None:
    """A datagram nobody waits for is dropped, whatever it holds."""
    in_flight = InFlight()
    query_id = in_flight.reserve(Question(OWNER, RRType.TLSA))
    wrong_id = (query_id ^ 1).to_bytes(2)
    assert not in_flight.deliver(wrong_id + noise)
    assert not in_flight.deliver(query_id.to_bytes(2) + b"\x00" + noise)  # QR=0: no response
    with suppress(MalformedResponseError):
        echoes_question(wrong_id + b"\x80\x00" + question, Question(OWNER, RRType.TLSA))
    assert len(in_flight) == 1
