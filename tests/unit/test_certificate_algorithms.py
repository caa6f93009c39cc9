"""Hosts with an RSA and an ECDSA certificate: each must match (row C30, case 93).

The base world has one host whose ordinary clients are shown its ECDSA certificate.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from evidence import (
    DAY,
    EXO,
    INS,
    NOW,
    RFC,
    SOON,
    WRONG,
    WRONG_512,
    World,
    assert_verdicts,
    base,
    codes,
    findings,
    host_of,
    leaf,
    tlsa,
)
from minting import Minted, distinguished

from scanner.judge.domain import judge
from scanner.model.observation import OtherAlgorithm, TlsaRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import Finding, Judgement
from scanner.model.vocabulary import HostOutcome, Severity

DEPENDENT = Reason.CERTIFICATE_ALGORITHM_DEPENDENT
ECDSA = leaf()


def rsa_leaf(days: tuple[float, float] = (-30, 60), bits: int = 2_048) -> Minted:
    """A self-signed RSA certificate for the host."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(distinguished("mx1.p.test"))
        .issuer_name(distinguished("mx1.p.test"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .sign(key, hashes.SHA256())
    )
    return Minted(certificate, key)  # type: ignore[arg-type]


RSA = rsa_leaf()


def world_of(*records: TlsaRecord, shown: Minted = ECDSA, other: Minted = RSA) -> World:
    """A world whose host publishes ``records`` and shows two certificates."""
    world = base(hosts=1)
    world.records("mx1.p.test", *records)
    world.probe(
        "mx1.p.test",
        shown,
        other_algorithm=OtherAlgorithm.SHOWN,
        other_chain=(other.der,),
    )
    return world


def the_finding(judgement: Judgement) -> Finding:
    """The one finding about algorithms."""
    (found,) = findings(judgement, DEPENDENT)
    return found


def test_case_93_both_certificates_published_is_protected_without_a_word() -> None:
    """Two records, one for each certificate, are neither stale nor a rollover."""
    judgement = world_of(tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, RSA)).judge()
    assert_verdicts(judgement, "protected", "protected")
    assert judgement.findings == ()
    assert [one.matched for one in judgement.hosts[0].tlsa] == [True, True]


def test_case_93_only_the_certificate_of_ordinary_clients_matches() -> None:
    """The verdict stands, and the finding names both certificates and the code some senders see."""
    judgement = world_of(tlsa(3, 1, 1, ECDSA)).judge()
    assert_verdicts(judgement, "protected", "protected")
    found = the_finding(judgement)
    assert (found.severity, found.where) == (Severity.ERROR, "mx1.p.test")
    assert "192.0.2.1: ECDSA certificate matches: SPKI SHA-256 " in found.message
    assert "RSA certificate does not [tlsa-mismatch, 4.7.323]: SPKI SHA-256 " in found.message
    for certificate in (ECDSA, RSA):
        assert certificate.association(0, 1).hex() in found.message
        assert certificate.association(1, 1).hex() in found.message
    (address,) = host_of(judgement, "mx1.p.test").addresses
    assert address.judged.outcome is HostOutcome.AUTHENTICATED
    assert address.other is not None
    assert (address.other.outcome, address.other.code) == (HostOutcome.FAILED, "4.7.323")


def test_case_93_only_the_other_certificate_matches() -> None:
    """What an ordinary client is shown decides: blocked. The record is not stale, though."""
    judgement = world_of(tlsa(3, 1, 1, RSA)).judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.323")
    found = the_finding(judgement)
    assert found.severity is Severity.ERROR
    assert "ECDSA certificate does not [tlsa-mismatch, 4.7.323]" in found.message
    assert "RSA certificate matches" in found.message
    assert codes(judgement) == {DEPENDENT, Reason.TLSA_MISMATCH}
    assert [one.matched for one in judgement.hosts[0].tlsa] == [True]


def test_when_rsa_is_what_clients_are_shown_the_names_are_the_other_way_round() -> None:
    """Which of the two is the other one is told by the keys."""
    found = the_finding(world_of(tlsa(3, 1, 1, RSA), shown=RSA, other=ECDSA).judge())
    assert "RSA certificate matches" in found.message
    assert "ECDSA certificate does not [" in found.message


def test_when_neither_matches_it_does_not_depend_on_the_algorithm() -> None:
    """Every sender fails alike."""
    judgement = world_of(tlsa(3, 1, 1, WRONG)).judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.323")
    assert DEPENDENT not in codes(judgement)
    assert [one.matched for one in judgement.hosts[0].tlsa] == [False]


def test_a_record_that_matches_neither_certificate_is_unmatched() -> None:
    """Both chains are asked before a record is called stale."""
    records = (tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, RSA), tlsa(3, 1, 1, WRONG))
    judgement = world_of(*records).judge()
    (found,) = findings(judgement, Reason.TLSA_UNMATCHED_RECORD)
    assert WRONG.hex()[:16] in found.message
    assert [one.matched for one in judgement.hosts[0].tlsa] == [True, True, False]


def test_parameters_that_match_the_other_certificate_only_are_matched() -> None:
    """RFC 7671 §8 wants one match for each combination; either certificate gives it."""
    judgement = world_of(tlsa(3, 1, 1, ECDSA), tlsa(3, 0, 1, RSA)).judge()
    assert judgement.findings == ()


def test_an_expired_other_certificate_fails_under_exchange_online_only() -> None:
    """It matches, and 4.7.322 waits for the senders that are shown it (rows C16, C30)."""
    old = rsa_leaf(days=(-90, -1))
    judgement = world_of(tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, old), other=old).judge()
    assert_verdicts(judgement, "protected", "protected")
    found = the_finding(judgement)
    assert found.severity is Severity.ERROR
    assert "[certificate-expired, 4.7.322]" in found.message
    others = {
        profile: host_of(judgement, "mx1.p.test", profile).addresses[0].other
        for profile in (RFC, EXO)
    }
    assert {one.outcome for one in others.values() if one} == {
        HostOutcome.AUTHENTICATED,
        HostOutcome.FAILED,
    }


def test_where_no_sender_gets_a_code_it_is_a_warning() -> None:
    """The other certificate has only the weaker digest, which strict senders drop (agility)."""
    records = (tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 2, ECDSA), tlsa(3, 1, 1, RSA))
    judgement = world_of(*records).judge()
    assert_verdicts(judgement, "protected", "protected")
    found = the_finding(judgement)
    assert found.severity is Severity.WARNING
    assert "RSA certificate does not [tlsa-mismatch]: " in found.message


def test_below_insecure_mx_records_the_other_certificate_does_not_matter() -> None:
    """DANE does not apply to the domain, so no sender compares anything."""
    world = world_of(tlsa(3, 1, 1, ECDSA))
    world.mx((10, "mx1.p.test"), status=INS)
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert DEPENDENT not in codes(judgement)
    assert host_of(judgement, "mx1.p.test").addresses[0].other is None


def test_without_usable_records_the_other_certificate_does_not_matter() -> None:
    """TLS is all that is asked for (row C14)."""
    judgement = world_of(tlsa(1, 1, 1, ECDSA)).judge()
    assert_verdicts(judgement, "encrypted", "encrypted")
    assert DEPENDENT not in codes(judgement)
    assert host_of(judgement, "mx1.p.test").addresses[0].other is None


def test_a_bound_of_ours_is_not_held_against_the_other_certificate() -> None:
    """With more records than we compare, the one that would match may lie beyond."""
    records = [tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, RSA)]
    world = world_of(*records)
    judgement = world.judge(Policy(max_tlsa_records=1))
    assert codes(judgement) >= {Reason.TLSA_TOO_MANY}
    assert DEPENDENT not in codes(judgement)


@pytest.mark.parametrize(
    "asked", [OtherAlgorithm.NOT_ASKED, OtherAlgorithm.NONE, OtherAlgorithm.UNKNOWN]
)
def test_without_a_second_certificate_nothing_is_said(asked: OtherAlgorithm) -> None:
    """A server that has one, or did not tell, is judged by what was seen."""
    world = base(hosts=1)
    world.probe("mx1.p.test", leaf(), other_algorithm=asked)
    judgement = world.judge()
    assert judgement.findings == ()
    assert host_of(judgement, "mx1.p.test").addresses[0].other is None


def test_addresses_that_show_the_same_are_one_finding() -> None:
    """The hashes are said once, and the message keeps room for them."""
    world = base(hosts=1)
    world.host("mx1.p.test", *(f"192.0.2.{number}" for number in range(1, 6)))
    world.records("mx1.p.test", tlsa(3, 1, 1, ECDSA))
    world.probe("mx1.p.test", ECDSA, other_algorithm=OtherAlgorithm.SHOWN, other_chain=(RSA.der,))
    found = the_finding(world.judge())
    assert "(192.0.2.1, 192.0.2.2 and 3 more: " in found.message
    assert found.message.endswith(f"certificate SHA-256 {RSA.association(0, 1).hex()})")


def test_addresses_that_show_different_ones_are_told_apart() -> None:
    """One address with the right RSA certificate, one with the wrong one."""
    right = rsa_leaf()
    world = base(hosts=1)
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.2")
    world.records("mx1.p.test", tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, right))
    for address, other in (("192.0.2.1", right), ("192.0.2.2", RSA)):
        world.probe(
            "mx1.p.test",
            ECDSA,
            at=address,
            other_algorithm=OtherAlgorithm.SHOWN,
            other_chain=(other.der,),
        )
    found = the_finding(world.judge())
    assert "192.0.2.2: ECDSA certificate matches" in found.message
    assert "192.0.2.1:" not in found.message


def test_the_other_certificate_that_ends_soon_is_a_finding_of_its_own() -> None:
    """Its end stops the senders that are shown it."""
    ending = rsa_leaf(days=(-80, SOON / timedelta(days=1)))
    judgement = world_of(tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, ending), other=ending).judge()
    (found,) = findings(judgement, Reason.CERTIFICATE_EXPIRES_SOON)
    assert "192.0.2.1 (RSA): ends at" in found.message


def test_a_weak_other_key_is_a_finding() -> None:
    """An RSA key of 1,024 bits beside a good ECDSA key."""
    weak = rsa_leaf(bits=1_024)
    judgement = world_of(tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, weak), other=weak).judge()
    (found,) = findings(judgement, Reason.WEAK_KEY)
    assert "192.0.2.1 (RSA): rsa 1024 bits" in found.message


def test_an_unreadable_other_certificate_is_a_mismatch_and_no_accident() -> None:
    """Bytes that are no certificate match nothing; their kind of key is unknown."""
    world = base(hosts=1)
    world.records("mx1.p.test", tlsa(3, 1, 1, ECDSA))
    world.probe(
        "mx1.p.test", ECDSA, other_algorithm=OtherAlgorithm.SHOWN, other_chain=(b"\x30\x00",)
    )
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert "unknown certificate does not [tlsa-mismatch" in the_finding(judgement).message


def test_agility_that_drops_every_record_of_both_is_no_difference() -> None:
    """Both certificates fail for strict senders in the same way."""
    records = (tlsa(3, 1, 1, ECDSA), tlsa(3, 1, 1, RSA), tlsa(3, 1, 2, WRONG_512))
    judgement = world_of(*records).judge()
    assert_verdicts(judgement, "blocked", "protected")
    assert DEPENDENT not in codes(judgement)


def test_what_was_read_of_both_certificates_is_kept() -> None:
    """The facts of a host hold both chains, for the document and the history."""
    (address,) = world_of(tlsa(3, 1, 1, ECDSA)).judge().hosts[0].addresses
    assert [one.key_type for one in address.chain] == ["ec"]
    assert [(one.key_type, one.sha256) for one in address.other_chain] == [
        ("rsa", RSA.association(0, 1).hex())
    ]


def _nameless(chain: tuple[bytes, ...]) -> list[Finding]:
    """The findings of a host that shows ``chain`` to clients that send no SNI."""
    world = base(1)
    seen = world.observe()
    hosts = tuple(
        replace(
            host,
            addresses=tuple(
                replace(probe, chain_without_sni=chain or probe.chain) for probe in host.addresses
            ),
        )
        for host in seen.hosts
    )
    judgement = judge(replace(seen, hosts=hosts), policy=Policy(), now=NOW)
    assert_verdicts(judgement, "protected", "protected")
    return [one for one in judgement.findings if one.code is Reason.SENDER_DEPENDENT]


def test_another_certificate_without_sni_is_a_finding_and_no_failure() -> None:
    """Row C31: judged by what is shown with the name."""
    (found,) = _nameless((RSA.der,))
    assert "to senders that do not name the server (SNI)" in found.message


def test_the_same_certificate_without_sni_is_none() -> None:
    """Row C31: most servers have one."""
    assert _nameless(()) == []
