"""TLSA records: usable or why not, agility, the publisher's rule, and how they are shown."""

import hashlib

import pytest
from minting import ECDSA_SHA256, mint, named_key, rebuilt, tlv

from scanner.judge.tlsa import (
    after_agility,
    assess,
    associations,
    expected_records,
    matches,
    presentation,
    rdata,
    unmatched_parameters,
    unusable_reason,
)
from scanner.model.observation import TlsaRecord
from scanner.model.reasons import Reason

LEAF = mint("mx1.example.com", dns=["mx1.example.com"])
SHA256, SHA512 = b"\x01" * 32, b"\x02" * 64


def tlsa(usage: int, selector: int, kind: int, data: bytes) -> TlsaRecord:
    return TlsaRecord(usage=usage, selector=selector, matching_type=kind, data=data)


GOOD = [
    tlsa(usage, selector, kind, data)
    for usage in (2, 3)
    for selector, kind, data in [
        (0, 0, LEAF.der),
        (1, 0, LEAF.spki),
        (0, 1, SHA256),
        (1, 1, SHA256),
        (0, 2, SHA512),
        (1, 2, SHA512),
    ]
]


@pytest.mark.parametrize("record", GOOD, ids=lambda record: presentation(record)[:5])
def test_all_twelve_kinds_of_record_of_smtp_are_usable(record: TlsaRecord) -> None:
    """Usages 2 and 3 with both selectors and all three matching types (RFC 7672 §3.1)."""
    assert unusable_reason(record) is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (tlsa(0, 1, 1, SHA256), Reason.TLSA_USAGE_UNUSABLE),
        (tlsa(1, 1, 1, SHA256), Reason.TLSA_USAGE_UNUSABLE),
        (tlsa(4, 1, 1, SHA256), Reason.TLSA_USAGE_UNUSABLE),
        (tlsa(255, 255, 255, b"x"), Reason.TLSA_USAGE_UNUSABLE),
        (tlsa(3, 2, 1, SHA256), Reason.TLSA_SELECTOR_UNKNOWN),
        (tlsa(2, 255, 9, SHA256), Reason.TLSA_SELECTOR_UNKNOWN),
        (tlsa(3, 1, 3, SHA256), Reason.TLSA_MATCHING_TYPE_UNKNOWN),
        (tlsa(3, 1, 255, SHA256), Reason.TLSA_MATCHING_TYPE_UNKNOWN),
        (tlsa(3, 1, 1, SHA256[:31]), Reason.TLSA_DIGEST_LENGTH),
        (tlsa(3, 1, 1, SHA512), Reason.TLSA_DIGEST_LENGTH),
        (tlsa(3, 0, 2, SHA256), Reason.TLSA_DIGEST_LENGTH),
        (tlsa(3, 0, 0, SHA256), Reason.TLSA_DATA_MALFORMED),
        (tlsa(3, 0, 0, LEAF.spki), Reason.TLSA_DATA_MALFORMED),
        (tlsa(3, 1, 0, LEAF.der), Reason.TLSA_DATA_MALFORMED),
        (tlsa(2, 0, 0, LEAF.der + b"\x00"), Reason.TLSA_DATA_MALFORMED),
        (tlsa(3, 1, 1, b""), Reason.TLSA_TOO_SHORT),
        (tlsa(0, 0, 0, b""), Reason.TLSA_TOO_SHORT),
        (
            TlsaRecord(usage=3, selector=1, matching_type=None, data=b""),
            Reason.TLSA_TOO_SHORT,
        ),
        (
            TlsaRecord(usage=3, selector=None, matching_type=None, data=b""),
            Reason.TLSA_TOO_SHORT,
        ),
        (
            TlsaRecord(usage=None, selector=None, matching_type=None, data=b""),
            Reason.TLSA_TOO_SHORT,
        ),
    ],
    ids=str,
)
def test_each_defect_has_its_own_reason(record: TlsaRecord, reason: Reason) -> None:
    """Table 3b of usability, one row after the other."""
    assert unusable_reason(record) is reason


def test_a_full_certificate_with_a_key_of_junk_is_malformed() -> None:
    """OpenSSL, too, wants to decode the key before it takes the record."""
    junk = bytes.fromhex("3013300d06092a864886f70d0101010500030200ff")
    data = rebuilt(LEAF, named_key("x"), replace=(LEAF.spki, junk))
    assert unusable_reason(tlsa(2, 0, 0, data)) is Reason.TLSA_DATA_MALFORMED


def test_an_rrset_is_sorted_out_in_the_order_received() -> None:
    """Distinct records with their reasons, further copies apart, usable ones for matching."""
    one, two, bad = tlsa(3, 1, 1, SHA256), tlsa(3, 1, 2, SHA512), tlsa(1, 1, 1, SHA256)
    found = assess([two, bad, one, two, bad, two], max_records=64)
    assert [(item.record, item.unusable_reason) for item in found.records] == [
        (two, None),
        (bad, Reason.TLSA_USAGE_UNUSABLE),
        (one, None),
    ]
    assert found.duplicates == (two, bad, two)
    assert found.usable == (two, one)
    assert not found.truncated


def test_no_records_are_no_records() -> None:
    """An empty RRset has nothing in it."""
    found = assess([], max_records=64)
    assert (found.records, found.duplicates, found.usable, found.truncated) == ((), (), (), False)


def test_of_too_many_records_the_first_in_canonical_order_are_kept() -> None:
    """The same ones whatever order the answer had (RFC 4034 §6.3)."""
    records = [tlsa(3, 1, 1, bytes([number, 9 - number]) * 16) for number in range(10)]
    for order in (records, records[::-1]):
        found = assess(order, max_records=4)
        assert found.truncated
        assert set(found.usable) == set(records[:4])
        assert len(found.records) == 10
    assert not assess(records, max_records=10).truncated
    assert assess(records, max_records=0).usable == ()


@pytest.mark.parametrize(
    ("present", "kept"),
    [
        ("311", "311"),
        ("311 312", "312"),
        ("311 312 310", "312 310"),
        ("311 302", "311 302"),
        ("211 312", "211 312"),
        ("211 212 311 312 301 302", "212 312 302"),
        ("310 300", "310 300"),
        ("", ""),
    ],
)
def test_agility_keeps_full_data_and_the_strongest_digest(present: str, kept: str) -> None:
    """RFC 7671 §9, for each usage and selector on its own."""
    data = {"0": b"full", "1": SHA256, "2": SHA512}
    records = {
        text: tlsa(int(text[0]), int(text[1]), int(text[2]), data[text[2]])
        for text in present.split()
    }
    assert after_agility(records.values()) == tuple(records[text] for text in kept.split())


def test_agility_does_not_choose_among_equals() -> None:
    """All records of the strongest digest stay, in their order."""
    records = [tlsa(3, 1, 2, bytes([number]) * 64) for number in range(3)]
    assert after_agility([tlsa(3, 1, 1, SHA256), *records]) == tuple(records)


def test_a_combination_without_a_match_is_told_once() -> None:
    """RFC 7671 §8.1: one live record for every combination that is published."""
    live, stale = tlsa(3, 1, 1, SHA256), tlsa(3, 1, 1, b"\x09" * 32)
    other, anchor = tlsa(3, 0, 2, SHA512), tlsa(2, 0, 1, SHA256)
    assert unmatched_parameters([stale, live], [live]) == ()
    assert unmatched_parameters([other, stale, live, anchor], [live]) == ((2, 0, 1), (3, 0, 2))
    assert unmatched_parameters([stale, stale], []) == ((3, 1, 1),)


def test_the_expected_records_match_and_the_recommended_one_is_first() -> None:
    """3 1 1, then the others without full data, which would be too long for a zone file."""
    lines = expected_records(LEAF.der)
    assert [line[:5] for line in lines] == ["3 1 1", "3 0 1", "3 1 2", "3 0 2"]
    assert lines[0] == f"3 1 1 {hashlib.sha256(LEAF.spki).hexdigest()}"
    assert lines[3] == f"3 0 2 {hashlib.sha512(LEAF.der).hexdigest()}"
    present = associations(LEAF.der)
    for line in lines:
        usage, selector, kind, data = line.split()
        record = tlsa(int(usage), int(selector), int(kind), bytes.fromhex(data))
        assert matches(record, present)


def test_without_a_readable_key_only_the_certificate_can_be_expected() -> None:
    """Nothing is invented."""
    assert [line[:5] for line in expected_records(b"junk")] == ["3 0 1", "3 0 2"]


def test_a_certificate_has_six_associations() -> None:
    """Two selectors times three matching types; three where there is no key."""
    assert {(selector, kind) for selector, kind, _ in associations(LEAF.der)} == {
        (selector, kind) for selector in (0, 1) for kind in (0, 1, 2)
    }
    assert {(selector, kind) for selector, kind, _ in associations(b"junk")} == {
        (0, kind) for kind in (0, 1, 2)
    }


def test_the_key_is_compared_as_it_stands_in_the_certificate() -> None:
    """Also one of an unknown kind: bytes are bytes (RFC 6698 §2.1.3)."""
    spki = tlv(0x30, tlv(0x30, bytes.fromhex("06032a0304")), tlv(0x03, b"\x00\x07"))
    data = rebuilt(LEAF, named_key("x"), replace=(LEAF.spki, spki), algorithm=ECDSA_SHA256)
    assert matches(tlsa(3, 1, 0, spki), associations(data))
    assert matches(tlsa(3, 1, 1, hashlib.sha256(spki).digest()), associations(data))


@pytest.mark.parametrize(
    ("record", "text", "wire"),
    [
        (tlsa(3, 1, 1, b"\xab\xcd"), "3 1 1 abcd", "030101abcd"),
        (tlsa(3, 1, 1, b""), "3 1 1", "030101"),
        (TlsaRecord(usage=3, selector=1, matching_type=None, data=b""), "\\# 2 0301", "0301"),
        (TlsaRecord(usage=None, selector=None, matching_type=None, data=b""), "\\# 0", ""),
    ],
)
def test_records_are_shown_as_a_zone_file_has_them(
    record: TlsaRecord, text: str, wire: str
) -> None:
    """RFC 6698 §2.2, and RFC 3597 §5 for RDATA that has not all its fields."""
    assert presentation(record) == text
    assert rdata(record).hex() == wire
