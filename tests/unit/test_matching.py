"""What ``match`` adds to the vectors: limits, notes, and facts beside the verdict."""

import hashlib
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from minting import DAY, NOW, Minted, mint, named_key, rebuilt, tlv

from scanner.judge.matching import Match, match
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason

HOST = Name("mx1.p.test")
ROOT = mint("root", ca=True)
CA = mint("ca", ROOT, ca=True)
LEAF = mint("leaf", CA, dns=[HOST])


def tlsa(usage: int, selector: int, kind: int, of: Minted) -> TlsaRecord:
    data = of.association(selector, kind)
    return TlsaRecord(usage=usage, selector=selector, matching_type=kind, data=data)


def matched(
    chain: list[Minted | bytes],
    *records: TlsaRecord,
    now: datetime = NOW,
    agility: bool = True,
    names: tuple[Name, ...] = (HOST,),
    **policy: Any,
) -> Match:
    return match(
        [item if isinstance(item, bytes) else item.der for item in chain],
        records,
        reference_ids=names,
        now=now,
        policy=Policy(**policy),
        agility=agility,
    )


def test_a_match_by_usage_2_names_its_path_and_the_name() -> None:
    """Evidence for the report."""
    result = matched([LEAF, CA, ROOT], tlsa(2, 1, 1, ROOT), names=(Name("p.test"), HOST))
    assert result.path_sha256 == tuple(
        hashlib.sha256(item.der).hexdigest() for item in (LEAF, CA, ROOT)
    )
    assert result.matched_name == HOST


def test_a_match_by_usage_3_has_no_path() -> None:
    """Nothing but the leaf was looked at."""
    result = matched([LEAF, CA], tlsa(3, 1, 1, LEAF))
    assert result.path_sha256 == ()
    assert result.anchor_in_handshake is None


def test_certificates_beyond_the_limit_are_not_looked_at_and_that_is_noted() -> None:
    """A sender would not read a chain without end either."""
    strangers: list[Minted | bytes] = [mint(f"s{number}", ca=True) for number in range(4)]
    record = tlsa(2, 0, 1, CA)
    inside = matched([LEAF, *strangers, CA], record, max_chain_certificates=6)
    assert inside.matched
    assert inside.notes == ()
    outside = matched([LEAF, *strangers, CA], record, max_chain_certificates=5)
    assert not outside.matched
    assert outside.notes == (Reason.CHAIN_TOO_LONG,)
    assert matched([LEAF], tlsa(3, 1, 1, LEAF), max_chain_certificates=0).matched


def test_a_search_that_gave_up_is_our_limit_before_it_is_their_fault() -> None:
    """Nothing is held against a partner whose chain we did not finish."""
    liars: list[Minted | bytes] = [mint("ca", key=f"liar {n}", ca=True) for n in range(20)]
    result = matched([LEAF, *liars], tlsa(2, 0, 1, ROOT), signature_budget=5)
    assert result.errors[0] is Reason.CHAIN_WORK_LIMIT
    assert not result.matched


def test_a_search_that_gave_up_does_not_spoil_a_match() -> None:
    """Found is found."""
    result = matched([LEAF, CA, ROOT], tlsa(2, 0, 1, CA), signature_budget=1)
    assert result.matched
    assert result.errors == ()


def test_no_usable_record_is_no_match_and_no_one_to_blame() -> None:
    """The caller decides by table 3b; here there is nothing to compare."""
    result = matched([LEAF])
    assert not result.matched
    assert result.errors == (Reason.TLSA_ALL_UNUSABLE,)
    assert matched([]).errors == (Reason.TLSA_ALL_UNUSABLE,)


UNHEARD_OF = tlv(0x30, tlv(0x30, bytes.fromhex("06032a0304")), tlv(0x03, b"\x00\x07"))


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_usage_3_works_for_keys_nobody_has_heard_of(selector: int, kind: int) -> None:
    """Bytes against bytes."""
    leaf = rebuilt(LEAF, CA.key, replace=(LEAF.spki, UNHEARD_OF))
    content = leaf if selector == 0 else UNHEARD_OF
    digest = [lambda data: data, hash_of("sha256"), hash_of("sha512")][kind]
    record = TlsaRecord(usage=3, selector=selector, matching_type=kind, data=digest(content))
    assert matched([leaf, CA], record).matched


def hash_of(name: str) -> Any:
    return lambda data: hashlib.new(name, data).digest()


@pytest.mark.parametrize(
    "leaf",
    [b"not even DER", rebuilt(LEAF, CA.key, replace=(bytes.fromhex("020101"), b"\x02\x00"))],
    ids=["junk", "empty serial number"],
)
def test_usage_3_with_selector_0_works_for_a_certificate_nobody_can_read(leaf: bytes) -> None:
    """And says that it could not be read."""
    record = TlsaRecord(usage=3, selector=0, matching_type=1, data=hashlib.sha256(leaf).digest())
    result = matched([leaf], record)
    assert result.matched
    assert result.notes == (Reason.CERTIFICATE_UNREADABLE,)
    assert not result.name_ok


def test_usage_3_with_selector_1_works_where_the_key_can_still_be_found() -> None:
    """The rest of the certificate may be what it likes (RFC 7672 §3.1.1)."""
    leaf = rebuilt(LEAF, CA.key, replace=(bytes.fromhex("020101"), b"\x02\x00"))
    assert matched([leaf], tlsa(3, 1, 1, LEAF)).matched


def test_a_certificate_nobody_can_read_fails_usage_2_for_that() -> None:
    """After the mismatch of the records of usage 3, if there are any."""
    anchor, other = tlsa(2, 0, 1, ROOT), tlsa(3, 1, 1, ROOT)
    unreadable = Reason.CERTIFICATE_UNREADABLE
    assert matched([b"junk", CA], anchor).errors == (unreadable,)
    assert matched([b"junk", CA], anchor, other).errors == (Reason.TLSA_MISMATCH, unreadable)
    assert matched([b"junk", CA], other).errors == (Reason.TLSA_MISMATCH, unreadable)


def test_an_anchor_nobody_can_read_is_the_reason_its_record_fails() -> None:
    """It was sent, and it matches, but nothing can be proven with it."""
    broken = rebuilt(ROOT, ROOT.key, replace=(bytes.fromhex("020101"), b"\x02\x00"))
    record = TlsaRecord(usage=2, selector=0, matching_type=1, data=hashlib.sha256(broken).digest())
    assert matched([LEAF, CA, broken], record).errors == (Reason.CERTIFICATE_UNREADABLE,)


def test_an_unreadable_stranger_in_the_chain_hurts_nobody() -> None:
    """Case 71: surplus certificates are passed over."""
    assert matched([LEAF, b"junk", CA], tlsa(2, 0, 1, CA)).matched


def rsa_certificate(bits: int, *, ca: Minted | None = None) -> bytes:
    key = rsa.generate_private_key(65537, bits)
    name = LEAF.certificate.subject
    builder = x509.CertificateBuilder().subject_name(name)
    builder = builder.issuer_name(ca.certificate.subject if ca else name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)
    signed = builder.sign(ca.key if ca else key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


@pytest.mark.parametrize(("bits", "notes"), [(1024, (Reason.WEAK_KEY,)), (2048, ())])
def test_a_weak_key_is_noted_and_decides_nothing(bits: int, notes: tuple[Reason, ...]) -> None:
    """Under usage 3, and in a path of usage 2."""
    leaf = rsa_certificate(bits, ca=CA)
    spki = x509.load_der_x509_certificate(leaf).public_key()
    data = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    end_entity = TlsaRecord(
        usage=3, selector=1, matching_type=1, data=hashlib.sha256(data).digest()
    )
    for record in (end_entity, tlsa(2, 0, 1, CA)):
        result = matched([leaf, CA], record)
        assert result.matched
        assert result.notes == notes


def test_an_anchor_that_was_sent_is_reported_before_one_that_was_not() -> None:
    """No finding for a record that other senders do not need."""
    result = matched([LEAF, CA], tlsa(2, 0, 0, ROOT), tlsa(2, 0, 1, CA))
    assert result.matched
    assert result.anchor_in_handshake is True
    assert result.notes == ()


def test_an_anchor_that_was_sent_is_reported_even_if_its_path_is_longer() -> None:
    """A twin of the intermediate stands in DNS, the root was sent."""
    twin = mint("ca", ROOT, ca=True, serial=2)
    result = matched([LEAF, CA, ROOT], tlsa(2, 0, 0, twin), tlsa(2, 0, 1, ROOT))
    assert result.anchor_in_handshake is True
    assert len(result.path_sha256) == 3
    assert set(result.records) == {tlsa(2, 0, 0, twin), tlsa(2, 0, 1, ROOT)}


def test_names_are_no_error_where_no_record_asks_for_them() -> None:
    """Usage 3 ignores names also when it does not match."""
    other = mint("leaf", CA, dns=["other.test"])
    result = matched([other, CA], tlsa(3, 1, 1, ROOT))
    assert result.errors == (Reason.TLSA_MISMATCH,)
    assert not result.name_ok


def test_the_nearest_path_is_the_one_to_mend() -> None:
    """One anchor behind a faulty CA, another behind an expired one: renewing is enough."""
    faulty = mint("ca", ROOT, ca=False, serial=2)
    other_root = mint("other root", ca=True)
    expired = mint("ca", other_root, ca=True, days=(-60, -1), serial=3)
    result = matched(
        [LEAF, faulty, expired, ROOT, other_root], tlsa(2, 0, 1, ROOT), tlsa(2, 0, 1, other_root)
    )
    assert result.errors == (Reason.CERTIFICATE_EXPIRED,)
    assert result.records == (tlsa(2, 0, 1, other_root),)


def test_a_faulty_path_is_headline_over_a_stale_record_of_usage_3() -> None:
    """Usage 2 does match, so the mismatch of the other is not what fails."""
    old = mint("leaf", CA, dns=[HOST], days=(-60, -1))
    result = matched([old, CA], tlsa(3, 1, 1, ROOT), tlsa(2, 0, 1, CA))
    assert result.errors == (Reason.CERTIFICATE_EXPIRED,)


def test_an_agile_client_is_told_of_records_it_does_not_look_at() -> None:
    """``records`` speaks of all usable records, also of suppressed ones."""
    weak, strong = tlsa(3, 1, 1, LEAF), tlsa(3, 1, 2, ROOT)
    agile = matched([LEAF], weak, strong)
    other = matched([LEAF], weak, strong, agility=False)
    assert (agile.matched, other.matched) == (False, True)
    for result in (agile, other):
        assert result.records == (weak,)
        assert result.matched_without_agility
        assert result.notes == (Reason.AGILITY_RISK,)


def test_agility_counts_for_anchors_too() -> None:
    """The stronger digest of usage 2 hides the one that would have matched."""
    weak, strong = tlsa(2, 0, 1, CA), tlsa(2, 0, 2, named("elsewhere"))
    assert not matched([LEAF, CA], weak, strong).matched
    assert matched([LEAF, CA], weak, strong, agility=False).matched
    assert matched([LEAF, CA], weak, strong).errors == (Reason.TRUST_ANCHOR_MISSING,)


def named(name: str) -> Minted:
    return mint(name, ca=True)


def test_a_leaf_signed_by_an_issuer_that_lies_about_it_fails() -> None:
    """Names chain, the signature does not."""
    forged = mint("leaf", CA, dns=[HOST], signer=named_key("thief"))
    assert matched([forged, CA], tlsa(2, 0, 1, CA)).errors == (Reason.CHAIN_SIGNATURE_INVALID,)
    missing = matched([forged, CA], tlsa(2, 0, 1, named("elsewhere")))
    assert missing.errors == (Reason.CHAIN_SIGNATURE_INVALID,)
