"""One record set, its signatures, one reason each (RFC 4035 §5.3)."""

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import dns.name
import dns.rdata
import dns.rrset
import pytest
from dns.rdtypes.ANY.RRSIG import RRSIG
from signed_replies import (
    ALGORITHMS,
    NOW,
    Signer,
    read,
    records,
    renamed,
    verifier,
)

from scanner.judge.dnssec.algorithms import LoadedKey, Verdict, load_key
from scanner.judge.dnssec.canonical import signing_input
from scanner.judge.dnssec.policy import DnssecPolicy, Sha1Policy
from scanner.judge.dnssec.rrsig import VerificationMemo, Verifier
from scanner.judge.dnssec.zone import TrustedZone, trusted_zone
from scanner.model.canonical import name_of, wire_form
from scanner.model.dnssec import Dnskey, RRset, Rrsig
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.vocabulary import DnssecStatus

MX = records("example.", "MX", "10 Mail.Example.", "20 mail2.example.")
HOUR = timedelta(hours=1)
SHA1 = DnssecPolicy(sha1=Sha1Policy.VALIDATE)
ZONE = Signer()


def outcome(rrset: dns.rrset.RRset, *signatures: RRSIG, by: Signer = ZONE) -> DnssecReason | None:
    """Return the reason why the zone ``by`` does not vouch for the set; None if it does."""
    checked = verifier().check(read(rrset, *signatures), by.zone())
    assert (checked.reason is None) is (checked.status is DnssecStatus.SECURE)
    return checked.reason


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_of_every_algorithm_verifies(algorithm: int) -> None:
    """What dnspython signs, we verify; SHA-1 by policy."""
    signer = Signer(algorithm=algorithm)
    checked = verifier(SHA1).check(read(MX, signer.sign(MX)), signer.zone(policy=SHA1))
    assert checked.status is DnssecStatus.SECURE
    assert checked.reason is None
    assert checked.wildcard is None


@pytest.mark.parametrize("algorithm", [5, 7])
def test_sha1_is_unsupported_unless_the_policy_says_otherwise(algorithm: int) -> None:
    """RFC 9905: as good as an unknown algorithm."""
    signer = Signer(algorithm=algorithm)
    assert outcome(MX, signer.sign(MX), by=signer) is DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED


def test_no_signature_is_missing() -> None:
    """A zone that is signed signs everything it is the authority for."""
    assert outcome(MX) is DnssecReason.RRSIG_MISSING


@pytest.mark.parametrize(
    ("begins", "ends", "reason"),
    [
        (-HOUR, -timedelta(seconds=1), DnssecReason.RRSIG_EXPIRED),
        (-HOUR, timedelta(0), None),
        (timedelta(0), HOUR, None),
        (timedelta(seconds=1), HOUR, DnssecReason.RRSIG_NOT_YET_VALID),
        (HOUR, -HOUR, DnssecReason.RRSIG_DATES_REVERSED),
    ],
)
def test_dates_bound_a_signature_to_the_second(
    begins: timedelta, ends: timedelta, reason: DnssecReason | None
) -> None:
    """Both bounds belong to the period (RFC 4035 §5.3.1), and there is no tolerance."""
    assert outcome(MX, ZONE.sign(MX, begins=begins, ends=ends)) is reason


def test_dates_are_serial_numbers() -> None:
    """In 2106 the counter wraps; a period across the wrap holds (RFC 4034 §3.1.5)."""
    wrap = datetime.fromtimestamp(2**32, UTC)
    signature = ZONE.sign(MX, now=NOW)
    shifted = signature.replace(
        inception=2**32 - 3600, expiration=3600
    )  # not the signed dates: only the dates are looked at here
    before = Verifier(now=wrap, policy=DnssecPolicy()).check(read(MX, shifted), ZONE.zone())
    assert before.reason is DnssecReason.RRSIG_INVALID
    late = Verifier(now=wrap + 2 * HOUR, policy=DnssecPolicy())
    assert late.check(read(MX, shifted), ZONE.zone()).reason is DnssecReason.RRSIG_EXPIRED


def test_changed_data_are_invalid() -> None:
    """One other preference, and the signature does not fit."""
    other = records("example.", "MX", "10 mail.example.", "21 mail2.example.")
    assert outcome(other, ZONE.sign(MX)) is DnssecReason.RRSIG_INVALID


def test_case_and_order_and_doubles_do_not_matter() -> None:
    """Canonical form and order (RFC 4034 §6.2, §6.3)."""
    signature = ZONE.sign(MX)
    shuffled = records("EXAMPLE.", "MX", "20 MAIL2.example.", "10 mail.EXAMPLE.")
    assert outcome(shuffled, signature) is None


def test_the_ttl_received_does_not_matter() -> None:
    """Original TTL is what is signed; the lesser of both is what holds (RFC 4035 §5.3.3)."""
    lower = records("example.", "MX", "10 mail.example.", "20 mail2.example.", ttl=17)
    checked = verifier().check(read(lower, ZONE.sign(MX)), ZONE.zone())
    assert (checked.status, checked.ttl_seconds) == (DnssecStatus.SECURE, 17)


def test_the_ttl_is_capped_by_original_ttl_and_expiration() -> None:
    """Neither outlives the signature."""
    higher = records("example.", "MX", "10 mail.example.", "20 mail2.example.", ttl=86_400)
    assert verifier().check(read(higher, ZONE.sign(MX)), ZONE.zone()).ttl_seconds == 3600
    soon = ZONE.sign(MX, ends=timedelta(seconds=100))
    assert verifier().check(read(MX, soon), ZONE.zone()).ttl_seconds == 100


def test_an_unknown_key_is_named() -> None:
    """Another key of the same zone, which is not published."""
    assert outcome(MX, Signer(slot=1).sign(MX)) is DnssecReason.RRSIG_NO_KEY


def test_a_signer_that_is_not_the_zone_is_refused() -> None:
    """Also where its key would verify (the hole dnspython's validate leaves open)."""
    owner = records("mx.example.", "A", "192.0.2.1")
    stranger = Signer("other.")
    assert outcome(owner, stranger.sign(owner), by=stranger) is DnssecReason.RRSIG_SIGNER_WRONG
    assert outcome(owner, stranger.sign(owner)) is DnssecReason.RRSIG_SIGNER_WRONG


def test_the_child_cannot_sign_its_own_ds() -> None:
    """RFC 4035 §5.2: DS is the parent's."""
    ds = ZONE.ds_rrset()
    assert outcome(ds, ZONE.sign(ds)) is DnssecReason.RRSIG_SIGNER_WRONG


@pytest.mark.parametrize("labels", [0, 2, 255])
def test_labels_must_lie_between_signer_and_owner(labels: int) -> None:
    """Neither above the owner's nor below the signer's."""
    assert outcome(MX, ZONE.sign(MX, labels=labels)) is DnssecReason.RRSIG_LABELS_WRONG


@pytest.mark.parametrize("algorithm", [13, 14, 15, 16])
@pytest.mark.parametrize("cut", [0, 1])
def test_a_signature_of_the_wrong_length_is_not_tried(algorithm: int, cut: int) -> None:
    """RFC 6605 §4, RFC 8080 §4."""
    signer = Signer(algorithm=algorithm)
    good = signer.sign(MX)
    bad = good.replace(signature=good.signature[:-1] if cut else good.signature + b"\x00")
    assert outcome(MX, bad, by=signer) is DnssecReason.RRSIG_BAD_LENGTH


def test_a_revoked_key_signs_nothing() -> None:
    """RFC 5011 §2.1."""
    revoked = Signer(flags=257 | 0x80)
    assert outcome(MX, revoked.sign(MX), by=revoked) is DnssecReason.RRSIG_KEY_REVOKED


def test_a_key_without_the_zone_bit_is_no_key() -> None:
    """RFC 4034 §2.1.1."""
    bare = Signer(flags=1)
    assert outcome(MX, _by(bare), by=bare) is DnssecReason.RRSIG_NO_KEY


def _by(signer: Signer) -> RRSIG:
    """Sign although dnspython would refuse the key."""
    tag = signer.model_key.key_tag
    return ZONE.sign(MX).replace(key_tag=tag)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("bits", "policy", "reason"),
    [
        (1024, DnssecPolicy(min_rsa_bits=1025), DnssecReason.DNSKEY_TOO_SMALL),
        (2048, DnssecPolicy(max_rsa_bits=2047), DnssecReason.DNSKEY_TOO_LARGE),
        (2048, DnssecPolicy(max_rsa_exponent_bits=16), DnssecReason.DNSKEY_TOO_LARGE),
        (1024, DnssecPolicy(), None),
    ],
)
def test_rsa_sizes_are_bounded(
    bits: int, policy: DnssecPolicy, reason: DnssecReason | None
) -> None:
    """Too small proves nothing, too large costs too much."""
    signer = Signer(algorithm=8, bits=bits)
    checked = verifier(policy).check(read(MX, signer.sign(MX)), signer.zone(policy=policy))
    assert checked.reason is reason


@pytest.mark.parametrize("algorithm", [8, 13, 14, 15, 16])
def test_a_broken_key_is_malformed_and_never_an_exception(algorithm: int) -> None:
    """Octets that are no key of their algorithm."""
    for octets in (b"\x01", b"\x00\xff\xff\x01", bytes(64), b"\x01\x02" + bytes(8), b"\xff" * 97):
        key = Signer(algorithm=algorithm).model_key
        broken = type(key)(
            flags=257, protocol=3, algorithm=algorithm, public_key=octets, key_tag=1, rdata=octets
        )
        loaded = load_key(broken, DnssecPolicy())
        assert loaded.public is None
        assert loaded.problem in (DnssecReason.DNSKEY_MALFORMED, DnssecReason.DNSKEY_TOO_SMALL)
        assert loaded.verify(b"", b"") is Verdict.BAD


@pytest.mark.parametrize(
    ("algorithm", "bits"), [(8, 2048), (10, 2048), (13, 256), (14, 384), (15, 256), (16, 456)]
)
def test_the_size_of_a_key_is_told_as_people_name_it(algorithm: int, bits: int) -> None:
    """The modulus of RSA, the field of a curve."""
    assert Signer(algorithm=algorithm).model_key.bits == bits


def test_a_key_without_a_size_has_none() -> None:
    """Unknown algorithms, and RSA keys that are cut off."""
    key = ZONE.model_key
    for algorithm, octets in ((200, b"\x01\x02"), (8, b""), (8, b"\x03\x01"), (8, b"\x00\x00")):
        broken = replace(key, algorithm=algorithm, public_key=octets)
        assert broken.bits is None


def test_an_algorithm_the_library_refuses_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SHA-1 on hardened builds: not a word about the data."""

    def refuse(self: LoadedKey, signature: bytes, data: bytes) -> Verdict:
        return Verdict.UNSUPPORTED

    monkeypatch.setattr(LoadedKey, "verify", refuse)
    assert outcome(MX, ZONE.sign(MX)) is DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED


def test_one_good_signature_is_enough() -> None:
    """RFC 6840 §5.11; the bad ones are kept for the diagnosis, what follows is not looked at."""
    expired = ZONE.sign(MX, begins=-2 * HOUR, ends=-HOUR)
    unknown = Signer(slot=1).sign(MX)
    good = ZONE.sign(MX)
    later = Signer(slot=2).sign(MX)
    checked = verifier().check(read(MX, expired, unknown, good, later), ZONE.zone())
    assert checked.status is DnssecStatus.SECURE
    reasons = {check.reason for check in checked.signatures if check.checked}
    assert reasons >= {None}
    assert len(checked.signatures) == 4


def test_the_reason_nearest_to_success_is_told() -> None:
    """An expired signature says more than one by an unknown key."""
    expired = ZONE.sign(MX, begins=-2 * HOUR, ends=-HOUR)
    unknown = Signer(slot=1).sign(MX)
    assert outcome(MX, unknown, expired) is DnssecReason.RRSIG_EXPIRED
    assert outcome(MX, expired, unknown) is DnssecReason.RRSIG_EXPIRED


def test_expansion_of_a_wildcard_is_told() -> None:
    """Fewer labels than the owner: the signature is that of the wildcard (RFC 4035 §5.3.2)."""
    wildcard = records("*.example.", "MX", "10 mail.example.")
    expanded = renamed(wildcard, "a.b.example.")
    checked = verifier().check(read(expanded, ZONE.sign(wildcard)), ZONE.zone())
    assert (checked.status, checked.wildcard) == (DnssecStatus.SECURE, "*.example")


def test_the_wildcard_itself_is_no_expansion() -> None:
    """RFC 4034 §3.1.3: a leftmost asterisk is not counted."""
    wildcard = records("*.example.", "MX", "10 mail.example.")
    checked = verifier().check(read(wildcard, ZONE.sign(wildcard)), ZONE.zone())
    assert (checked.status, checked.wildcard) == (DnssecStatus.SECURE, None)


def test_the_root_signs_itself() -> None:
    """Zero labels on all sides."""
    root = Signer(".")
    soa = records(".", "SOA", "a. b. 1 2 3 4 5")
    assert outcome(soa, root.sign(soa), by=root) is None


def test_colliding_keys_are_tried_up_to_the_bound() -> None:
    """KeyTrap (CVE-2023-50387): the second of two is tried, the third never."""
    wrong = [load_key(Signer(slot=slot).model_key, DnssecPolicy()) for slot in (1, 2)]
    good = load_key(ZONE.model_key, DnssecPolicy())
    zone = ZONE.zone()
    rrset = read(MX, ZONE.sign(MX))
    key_id = (ZONE.model_key.key_tag, 13)
    for keys, status in (
        ((wrong[0], good), DnssecStatus.SECURE),
        ((wrong[0], wrong[1], good), DnssecStatus.INDETERMINATE),
        ((wrong[0], wrong[1]), DnssecStatus.BOGUS),
    ):
        crowded = type(zone)(name=zone.name, labels=zone.labels, keys={key_id: keys})
        work = verifier()
        checked = work.check(rrset, crowded)
        assert checked.status is status
        assert work.verifications == 2
    assert checked.reason is DnssecReason.RRSIG_INVALID


def _forged(count: int) -> list[RRSIG]:
    good = ZONE.sign(MX)
    return [
        good.replace(signature=number.to_bytes(2) + good.signature[2:]) for number in range(count)
    ]  # type: ignore[misc]


def test_signatures_of_one_set_are_tried_up_to_the_bound() -> None:
    """Eight failures, and the ninth would be good: nobody knows, and nobody is blamed."""
    rrset = read(MX, *_forged(9))
    work = verifier()
    checked = work.check(rrset, ZONE.zone())
    assert (checked.status, checked.reason) == (
        DnssecStatus.INDETERMINATE,
        DnssecReason.WORK_LIMIT,
    )
    assert work.verifications == 8


def test_all_tried_and_all_wrong_is_bogus() -> None:
    """Within the bound the result is a result."""
    assert outcome(MX, *_forged(8)) is DnssecReason.RRSIG_INVALID


def test_failures_of_one_answer_are_bounded_over_its_sets() -> None:
    """Sixteen failures, whichever set they are about."""
    work = verifier()
    statuses = [work.check(read(MX, *_forged(8)), ZONE.zone()).status for _ in range(3)]
    assert statuses == [DnssecStatus.BOGUS, DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE]
    assert work.verifications == 16


def test_too_many_signatures_are_not_even_read() -> None:
    """Seventeen, of which the first sixteen are by unknown keys."""
    unknown = Signer(slot=1).sign(MX)
    many = [unknown.replace(key_tag=number) for number in range(16)]
    work = verifier()
    checked = work.check(read(MX, *many, ZONE.sign(MX)), ZONE.zone())  # type: ignore[arg-type]
    assert checked.status in (DnssecStatus.INDETERMINATE, DnssecStatus.SECURE)
    assert len(checked.signatures) == 16


def test_too_many_records_are_not_hashed() -> None:
    """A bound of its own."""
    many = records("example.", "A", *(f"192.0.2.{n}" for n in range(4)))
    policy = DnssecPolicy(max_rrs_per_rrset=3)
    checked = verifier(policy).check(read(many, ZONE.sign(many)), ZONE.zone())
    assert (checked.status, checked.reason) == (
        DnssecStatus.INDETERMINATE,
        DnssecReason.WORK_LIMIT,
    )


def test_what_is_remembered_costs_nothing_and_dates_are_still_compared() -> None:
    """A hit replaces the arithmetic, never the judgement."""
    memo = VerificationMemo()
    rrset = read(MX, ZONE.sign(MX))
    first = Verifier(now=NOW, policy=DnssecPolicy(), memo=memo)
    second = Verifier(now=NOW, policy=DnssecPolicy(), memo=memo)
    late = Verifier(now=NOW + timedelta(days=15), policy=DnssecPolicy(), memo=memo)
    assert first.check(rrset, ZONE.zone()).status is DnssecStatus.SECURE
    assert second.check(rrset, ZONE.zone()).status is DnssecStatus.SECURE
    assert late.check(rrset, ZONE.zone()).reason is DnssecReason.RRSIG_EXPIRED
    assert (first.verifications, second.verifications) == (1, 0)


def test_failures_are_remembered_too() -> None:
    """The same wrong signature is not paid for twice."""
    memo = VerificationMemo()
    rrset = read(MX, *_forged(1))
    for expected in (1, 0):
        work = Verifier(now=NOW, policy=DnssecPolicy(), memo=memo)
        assert work.check(rrset, ZONE.zone()).reason is DnssecReason.RRSIG_INVALID
        assert work.verifications == expected


class _SaysYes:
    """A public key whose owner chose it to begin with that of another, and can sign with it."""

    def verify(self, *_: object) -> None:
        """Find every signature good."""


def _signed_by_rsa(apex: bytes, rdatas: tuple[bytes, ...], signature: bytes) -> RRset:
    """Return a record set of a type nobody knows at the apex ``apex``, signed by key tag 1."""
    labels = (apex,)
    fields = {"type_covered": 65_280, "algorithm": 8, "labels": 1, "original_ttl": 60}
    begins, ends = (int((NOW + age).timestamp()) for age in (-HOUR, HOUR))
    packed = struct.pack("!HBBIIIH", *fields.values(), ends, begins, 1)
    rrsig = Rrsig(
        **fields,
        expiration=ends,
        inception=begins,
        key_tag=1,
        signer=name_of(labels),
        signer_labels=labels,
        signature=signature,
        header=packed + wire_form(labels),
        ttl=60,
    )
    return RRset(
        owner=name_of(labels),
        owner_labels=labels,
        rdtype=65_280,
        ttl=60,
        rdatas=rdatas,
        rrsigs=(rrsig,),
        parsed=(),
    )


def _rsa_zone(apex: bytes, rdata: bytes, public: object) -> TrustedZone:
    dnskey = Dnskey(
        flags=257, protocol=3, algorithm=8, public_key=rdata[4:], key_tag=1, rdata=rdata
    )
    key = LoadedKey(dnskey=dnskey, public=cast(Any, public))
    return TrustedZone(name=name_of((apex,)), labels=(apex,), keys={(1, 8): (key,)})


def test_what_one_zone_had_verified_vouches_for_no_other() -> None:
    """A key may begin with another zone's key, a signature and its data: where one ends counts."""
    victim = load_key(Signer(algorithm=8).model_key, DnssecPolicy())
    own = _signed_by_rsa(b"evil", (b"own",), b"s" * 256)
    tail = b"\x01\x00" + b"s" * 256 + signing_input(own, own.rrsigs[0])
    forged = _signed_by_rsa(b"good", (b"forged" + tail,), b"x")
    head = signing_input(forged, forged.rrsigs[0]).removesuffix(tail)
    longer = victim.dnskey.rdata + b"\x00\x01x" + head
    work = Verifier(now=NOW, policy=DnssecPolicy(), memo=VerificationMemo())
    assert work.check(own, _rsa_zone(b"evil", longer, _SaysYes())).status is DnssecStatus.SECURE
    checked = work.check(forged, _rsa_zone(b"good", victim.dnskey.rdata, victim.public))
    assert checked.reason is DnssecReason.RRSIG_INVALID


def test_the_memory_is_bounded() -> None:
    """The oldest goes first."""
    memo = VerificationMemo(2)
    for number in range(3):
        memo.put(bytes([number]), Verdict.GOOD)
    assert (len(memo), memo.get(b"\x00"), memo.get(b"\x02")) == (2, None, Verdict.GOOD)


def test_a_zone_has_a_bounded_number_of_keys() -> None:
    """Those beyond are as good as absent."""
    keys = [Signer(slot=slot).model_key for slot in range(3)]
    zone = trusted_zone(ZONE.name, ZONE.labels, keys, DnssecPolicy(max_dnskeys=2))
    assert sum(len(found) for found in zone.keys.values()) == 2
