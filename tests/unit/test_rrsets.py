"""Replies cut into record sets: nothing hidden, RDATA canonical, signatures where they belong."""

import dns.flags
import dns.name
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest
from signed_replies import QUERY_ID, Signer, octets, records, reply, rrsigs

from scanner.model.dnssec import Dnskey, Ds, Nsec3Record, NsecRecord, RRset, SignedMessage, Soa
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.rrsets import decode_signed, key_tag, parse_dnskey, parse_type_bitmap

QUESTION = Question(Name("example"), RRType.MX)
MX = records("Example.", "MX", "10 Mail.Example.", "5 mail2.example.")
SIGNER = Signer()


def answer(*rrsets: dns.rrset.RRset) -> tuple[RRset, ...]:
    """Return the answer section read from octets."""
    return reply(QUESTION, rrsets).answer


def test_records_of_one_owner_and_type_are_one_sorted_set() -> None:
    """Canonical order is that of the RDATA octets (RFC 4034 §6.3)."""
    (found,) = answer(MX)
    assert (found.owner, found.owner_labels, found.rdtype) == ("example", (b"example",), 15)
    assert found.rdatas == (
        b"\x00\x05\x05mail2\x07example\x00",
        b"\x00\x0a\x04mail\x07example\x00",
    )


def test_doubles_count_once() -> None:
    """RFC 4034 §6.3; they come as separate records."""
    one = records("example.", "A", "192.0.2.1")
    (found,) = answer(one, records("EXAMPLE.", "A", "192.0.2.1", ttl=60))
    assert (found.rdatas, found.ttl) == ((bytes([192, 0, 2, 1]),), 60)


@pytest.mark.parametrize(
    ("rdtype", "texts"),
    [
        ("CNAME", ("a.example.", "b.example.")),
        ("SOA", ("a. b. 1 2 3 4 5", "a. b. 2 2 3 4 5")),
        ("NSEC", ("a.example. A", "b.example. A")),
        ("DNAME", ("a.example.", "b.example.")),
    ],
)
def test_a_second_record_of_a_single_type_is_not_hidden(rdtype: str, texts: tuple[str]) -> None:
    """A codec that keeps the last one lets an attacker hide the first."""
    (found,) = answer(*(records("x.example.", rdtype, text) for text in texts))
    assert len(found.rdatas) == len(found.parsed) == 2


def test_a_signature_is_tied_to_its_set_wherever_it_stands() -> None:
    """By owner, in any case, and type covered."""
    signature = rrsigs(MX, SIGNER.sign(MX))
    other = records("example.", "A", "192.0.2.1")
    message = reply(QUESTION, [other, MX], [signature])
    assert [len(rrset.rrsigs) for rrset in message.answer] == [0, 1]
    assert message.authority == ()
    (rrsig,) = message.answer[1].rrsigs
    assert (rrsig.type_covered, rrsig.algorithm, rrsig.labels) == (15, 13, 1)
    assert (rrsig.signer, rrsig.signer_labels) == ("example", (b"example",))
    assert rrsig.key_tag == SIGNER.model_key.key_tag


def test_the_same_signature_twice_is_one() -> None:
    """Doubles are not tried twice."""
    signature = SIGNER.sign(MX)
    (found,) = answer(MX, rrsigs(MX, signature), rrsigs(MX, signature))
    assert len(found.rrsigs) == 1


def test_a_signature_that_cannot_be_read_is_none() -> None:
    """Cut off before or inside the signer's name, or without a signature."""
    whole = SIGNER.sign(MX).to_wire() or b""
    for cut in (0, 17, 18, 20):
        rdata = dns.rdata.GenericRdata(1, 46, whole[:cut])  # type: ignore[no-untyped-call]
        broken = dns.rrset.from_rdata("example.", 60, rdata)
        (found,) = answer(MX, broken)
        assert found.rrsigs == ()


@pytest.mark.parametrize("flag", [dns.flags.TC])
def test_a_truncated_reply_is_not_read(flag: int) -> None:
    """A part of a record set is no record set (RFC 2181 §9)."""
    message = reply(QUESTION, [MX], flags=flag)
    assert (message.truncated, message.answer) == (True, ())


def test_what_belongs_to_another_question_is_malformed() -> None:
    """Id, name, type, class and direction must be ours."""
    wire = octets(QUESTION, [MX])
    for question, query_id in (
        (Question(Name("other"), RRType.MX), QUERY_ID),
        (Question(Name("example"), RRType.A), QUERY_ID),
        (QUESTION, QUERY_ID + 1),
    ):
        with pytest.raises(MalformedResponseError):
            decode_signed(question, query_id=query_id, wire=wire)
    query = wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:]
    with pytest.raises(MalformedResponseError):
        decode_signed(QUESTION, query_id=QUERY_ID, wire=query)


def test_edns_and_its_absence_are_told() -> None:
    """A reply without OPT comes from somebody without DNSSEC."""
    assert reply(QUESTION, [MX]).edns is True
    assert reply(QUESTION, [MX], edns=False).edns is False


def parsed(rrset: dns.rrset.RRset) -> SignedMessage | object:
    """Return what is read of the one record of ``rrset``."""
    (found,) = answer(rrset)
    (record,) = found.parsed
    return record


def test_delegation_and_key_records_are_read() -> None:
    """DS, DNSKEY and SOA, as dnspython has them."""
    ds = SIGNER.ds()
    assert parsed(SIGNER.ds_rrset()) == Ds(
        key_tag=ds.key_tag, algorithm=13, digest_type=2, digest=ds.digest
    )
    key = parsed(SIGNER.dnskeys())
    assert isinstance(key, Dnskey)
    assert (key.flags, key.protocol, key.algorithm) == (257, 3, 13)
    assert (key.is_zone_key, key.is_secure_entry_point, key.is_revoked) == (True, True, False)
    soa = records("example.", "SOA", "a. b. 7 2 3 4 300")
    assert parsed(soa) == Soa(serial=7, minimum=300)


def test_denial_records_are_read() -> None:
    """NSEC and NSEC3, names and hashes canonical."""
    nsec = parsed(records("A.Example.", "NSEC", "*.B.example. A MX RRSIG NSEC TYPE65280"))
    assert nsec == NsecRecord(
        owner=Name("a.example"),
        owner_labels=(b"example", b"a"),
        next_labels=(b"example", b"b", b"*"),
        types=frozenset({1, 15, 46, 47, 65280}),
    )
    label = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"
    text = "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA"
    nsec3 = parsed(records(f"{label.upper()}.example.", "NSEC3", text))
    assert isinstance(nsec3, Nsec3Record)
    assert (nsec3.zone_labels, nsec3.owner_hash.hex()[:8]) == ((b"example",), "065368ab")
    assert (nsec3.algorithm, nsec3.opt_out, nsec3.iterations) == (1, True, 12)
    assert (nsec3.salt.hex(), nsec3.types) == ("aabbccdd", frozenset({2, 6}))
    assert len(nsec3.next_hash) == 20


def test_an_nsec3_owner_that_is_no_hash_is_empty() -> None:
    """For the proof to refuse."""
    nsec3 = parsed(records("w.example.", "NSEC3", "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A"))
    assert isinstance(nsec3, Nsec3Record)
    assert nsec3.owner_hash == b""


@pytest.mark.parametrize(
    ("rdtype", "rdata"),
    [
        (43, b"\x00\x01\x0d\x02"),
        (48, b"\x01\x01\x03\x0d"),
        (47, b"\x01a"),
        (47, b"\x00\x00\x00"),
        (50, b"\x01\x00\x00\x00\xff"),
        (50, b"\x01\x00\x00\x00\x00\xff"),
        (50, b"\x01\x00\x00\x00\x00\x01\x00\x00\x00"),
        (5, b"\x01a"),
        (5, b"\x01a\x00\x00"),
        (6, b"\x00\x00\x00"),
        (6, b"\x00"),
        (15, b"\x00"),
        (35, b"\x00\x01\x00\x01\x05"),
    ],
)
def test_rdata_that_is_not_of_its_type_is_kept_and_not_read(rdtype: int, rdata: bytes) -> None:
    """Its zone may have signed it like that; a proof must not rest on it."""
    generic = dns.rdata.GenericRdata(1, rdtype, rdata)  # type: ignore[no-untyped-call]
    (found,) = answer(dns.rrset.from_rdata("x.example.", 60, generic))
    assert found.rdatas == (rdata,)
    assert found.parsed == ()


@pytest.mark.parametrize(
    "bitmap",
    [
        b"\x00",
        b"\x00\x00",
        b"\x00\x21" + bytes(33),
        b"\x00\x02\x01",
        b"\x01\x01\x01\x00\x01\x01",
        b"\x00\x01\x01\x00\x01\x01",
    ],
)
def test_broken_type_bitmaps_are_refused(bitmap: bytes) -> None:
    """Empty, too long, cut off, out of order, twice (RFC 4034 §4.1.2)."""
    with pytest.raises(MalformedResponseError):
        parse_type_bitmap(bitmap)


def test_the_key_tag_of_rsa_md5_is_another_one() -> None:
    """RFC 4034 appendix B.1: the last octets of the modulus."""
    assert key_tag(b"\x01\x00\x03\x01\x01\x03\xaa\xbb\xcc") == 0xAABB
    assert parse_dnskey(b"\x01\x00\x03\x01") is None
