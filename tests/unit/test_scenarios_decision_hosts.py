"""Scenarios T25 to T50 of the specification at decision level: what the hosts decide.

Each test bears the number of its scenario and starts from the same base world as those before it.
"""

from datetime import timedelta

import pytest
from evidence import (
    EXO,
    MX1,
    MX2,
    MX3,
    RFC,
    WRONG,
    WRONG_512,
    World,
    assert_verdicts,
    base,
    codes,
    findings,
    host_of,
    leaf,
    mint,
    outcome_of,
    shown,
    tlsa,
)

from scanner.model.names import tlsa_owner
from scanner.model.observation import ProbeError, ProbeStage
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.vocabulary import (
    CodeSet,
    DeliveryPhase,
    HostOutcome,
    ResultType,
    Scenario1Scope,
    Severity,
)

HOST_SCOPE = Policy(scenario1_scope=Scenario1Scope.HOST)
TLSA1 = tlsa_owner(MX1)
TLSA2 = tlsa_owner(MX2)
NO_CODE = (None, None, None)


def test_t25_only_unusable_records_encrypt_without_authenticating() -> None:
    """T25: usage 1 counts for nothing but the demand for TLS."""
    world = base(1)
    world.records("mx1.p.test", tlsa(1, 1, 1, leaf()))
    judgement = world.judge()
    assert_verdicts(judgement, "encrypted", "encrypted")
    assert judgement.of(EXO).result_type is ResultType.TLSA_INVALID
    assert codes(judgement) >= {Reason.TLSA_ALL_UNUSABLE, Reason.TLSA_USAGE_UNUSABLE}


def test_t26_only_unusable_records_still_demand_tls() -> None:
    """T26: usage 0 and no STARTTLS: never in clear text."""
    world = base(1)
    world.records("mx1.p.test", tlsa(0, 0, 1, leaf()))
    world.probe("mx1.p.test", stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)
    assert_verdicts(world.judge(), "blocked", "blocked", "4.7.321")


def test_t27_a_wrong_unusable_record_does_not_hurt() -> None:
    """T27: 1 1 1 wrong beside 3 1 1 right."""
    world = base(1)
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG), tlsa(3, 1, 1, leaf()))
    assert_verdicts(world.judge(), "protected", "protected")


def test_t28_a_right_unusable_record_does_not_help() -> None:
    """T28: 1 1 1 right beside 3 1 1 wrong."""
    world = base(1)
    world.records("mx1.p.test", tlsa(1, 1, 1, leaf()), tlsa(3, 1, 1, WRONG))
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.323")
    assert judgement.of(EXO).result_type is ResultType.TLSA_INVALID


def test_t29_digest_of_wrong_length_is_unusable() -> None:
    """T29: alone it leaves encryption only."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG[:31]))
    judgement = world.judge()
    assert_verdicts(judgement, "encrypted", "encrypted")
    assert Reason.TLSA_DIGEST_LENGTH in codes(judgement)


def test_t30_malformed_record_beside_a_good_one_is_a_finding() -> None:
    """T30: the good record decides."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG[:31]), tlsa(3, 1, 1, leaf()))
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert Reason.TLSA_DIGEST_LENGTH in codes(judgement)


@pytest.mark.parametrize(
    ("usage", "selector", "matching_type", "reason"),
    [
        (3, 2, 1, Reason.TLSA_SELECTOR_UNKNOWN),
        (3, 1, 3, Reason.TLSA_MATCHING_TYPE_UNKNOWN),
        (255, 1, 1, Reason.TLSA_USAGE_UNUSABLE),
    ],
)
def test_t31_unknown_parameters_are_unusable(
    usage: int, selector: int, matching_type: int, reason: Reason
) -> None:
    """T31: selector 2, matching type 3, usage 255."""
    world = base(1)
    world.records("mx1.p.test", tlsa(usage, selector, matching_type, WRONG))
    judgement = world.judge()
    assert_verdicts(judgement, "encrypted", "encrypted")
    assert reason in codes(judgement)


def test_t32_digest_agility_separates_the_profiles() -> None:
    """T32: 3 1 1 right, 3 1 2 wrong: strict under rfc7672, any record under exchange-online."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), tlsa(3, 1, 2, WRONG_512))
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "protected")
    assert Reason.AGILITY_RISK in codes(judgement)
    assert judgement.of(RFC).reason is Reason.TLSA_MISMATCH
    lenient = world.judge(Policy(digest_agility=False))
    assert_verdicts(lenient, "protected", "protected")


def test_t33_full_data_matches_with_a_hint() -> None:
    """T33: matching type 0 works, and makes answers large."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 0, leaf()), tlsa(3, 0, 0, leaf()))
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert len(findings(judgement, Reason.TLSA_FULL_DATA)) == 2


def test_t34_renewed_certificate_breaks_a_record_over_the_certificate() -> None:
    """T34: 3 0 1 and a renewal with the same key."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 0, 1, leaf(serial=1)))
    world.probe("mx1.p.test", leaf(serial=2))
    assert_verdicts(world.judge(), "blocked", "blocked", "4.7.323")


def test_t35_missing_starttls_blocks() -> None:
    """T35: TLSA announces TLS, the server does not offer it."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.321")
    assert judgement.of(EXO).result_type is ResultType.STARTTLS_NOT_SUPPORTED


def test_t36_temporarily_refused_starttls_defers() -> None:
    """T36: 454 is of the transient class."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.STARTTLS, error=ProbeError.REPLY_TRANSIENT)
    judgement = world.judge()
    assert_verdicts(judgement, "deferred", "deferred", "4.7.321")
    assert outcome_of(judgement, MX1) is HostOutcome.FAILED
    assert judgement.of(EXO).transient


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProbeError.REPLY_PERMANENT, Reason.STARTTLS_REFUSED),
        (ProbeError.TIMEOUT, Reason.STARTTLS_NO_ANSWER),
    ],
)
def test_t37_refused_or_unanswered_starttls_blocks(error: ProbeError, reason: Reason) -> None:
    """T37: 502, and no reply at all."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.STARTTLS, error=error)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.321")
    assert judgement.of(EXO).reason is reason


def test_t38_failed_handshake_blocks_as_validation_failure() -> None:
    """T38: STARTTLS is accepted, then an alert."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.HANDSHAKE, error=ProbeError.TLS_ALERT)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.321")
    assert judgement.of(RFC).result_type is ResultType.VALIDATION_FAILURE


def test_t39_expired_certificate_under_usage_3_blocks_exchange_online_only() -> None:
    """T39: RFC 7672 ignores the date, Exchange Online does not."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(-90, -1)))
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "blocked", "4.7.322")
    assert judgement.of(EXO).result_type is ResultType.CERTIFICATE_EXPIRED
    assert Reason.CERTIFICATE_EXPIRY_IGNORED in codes(judgement)


def test_t40_certificate_from_the_future_blocks_exchange_online_only() -> None:
    """T40: not yet valid is 323, not 322."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(1, 90)))
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "blocked", "4.7.323")
    assert judgement.of(EXO).reason is Reason.CERTIFICATE_NOT_YET_VALID
    assert judgement.of(EXO).result_type is ResultType.VALIDATION_FAILURE
    assert Reason.CERTIFICATE_EXPIRY_IGNORED in codes(judgement)


def test_t41_names_do_not_matter_under_usage_3() -> None:
    """T41: the certificate names somebody else."""
    world = base(1)
    server = leaf("other.test")
    world.records("mx1.p.test", tlsa(3, 1, 1, server))
    world.probe("mx1.p.test", server)
    assert_verdicts(world.judge(), "protected", "protected")


def trust_anchor_world(
    *, matching_type: int = 1, dns: str = "mx1.p.test", send_anchor: bool = True
) -> World:
    """One host with a record 2 0 x for a CA that issued its certificate."""
    world = base(1)
    authority = mint("CA", ca=True)
    server = mint("server", authority, dns=[dns])
    world.records("mx1.p.test", tlsa(2, 0, matching_type, authority))
    world.probe("mx1.p.test", server, *([authority] if send_anchor else []))
    return world


def test_t42_trust_anchor_with_full_chain_is_protected() -> None:
    """T42: 2 0 1, chain sent, name right."""
    assert_verdicts(trust_anchor_world().judge(), "protected", "protected")


def test_t43_wrong_name_under_usage_2_blocks() -> None:
    """T43: 325 in the current code set, 323 in the older one."""
    world = trust_anchor_world(dns="other.test")
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.325")
    assert judgement.of(EXO).result_type is ResultType.CERTIFICATE_HOST_MISMATCH
    assert_verdicts(world.judge(Policy(code_set=CodeSet.SEED)), "blocked", "blocked", "4.7.323")


def test_t44_trust_anchor_that_is_not_sent_blocks() -> None:
    """T44: a digest in DNS cannot complete a chain."""
    judgement = trust_anchor_world(send_anchor=False).judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.323")
    assert judgement.of(EXO).result_type is ResultType.CERTIFICATE_NOT_TRUSTED


def test_t44_full_trust_anchor_in_dns_is_protected() -> None:
    """T44, variant: 2 0 0 holds the certificate itself."""
    judgement = trust_anchor_world(matching_type=0, send_anchor=False).judge()
    assert_verdicts(judgement, "protected", "protected")
    assert Reason.TRUST_ANCHOR_NOT_SENT in codes(judgement)


def test_t45_expired_intermediate_under_usage_2_blocks() -> None:
    """T45: dates count along the path."""
    world = base(1)
    root = mint("root", ca=True)
    middle = mint("middle", root, ca=True, days=(-90, -1))
    server = mint("server", middle, dns=["mx1.p.test"])
    world.records("mx1.p.test", tlsa(2, 0, 1, root))
    world.probe("mx1.p.test", server, middle, root)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.322")
    assert judgement.of(RFC).result_type is ResultType.CERTIFICATE_EXPIRED


def test_t46_one_host_without_tlsa_keeps_mail_flowing() -> None:
    """T46: scenario 2 needs every host to fail."""
    world = base()
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    world.records("mx2.p.test")
    judgement = world.judge()
    assert_verdicts(judgement, "degraded", "degraded")
    assert host_of(judgement, MX1).judged.code == "4.7.323"
    assert outcome_of(judgement, MX2) is HostOutcome.OPPORTUNISTIC_TLS
    assert Reason.TLSA_MISMATCH in codes(judgement)


def test_t47_the_last_host_gives_the_code_and_all_are_listed() -> None:
    """T47: mx1 without STARTTLS, mx2 expired."""
    world = base()
    world.probe("mx1.p.test", stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)
    world.probe("mx2.p.test", leaf("mx2.p.test", days=(-90, -1)))
    judgement = world.judge()
    assert_verdicts(judgement, "degraded", "blocked", "4.7.322")
    assert judgement.of(EXO).headline == MX2
    listed = {one.host: one.judged.code for one in judgement.of(EXO).hosts}
    assert listed == {MX1: "4.7.321", MX2: "4.7.322"}


def test_t48_inconsistent_addresses_and_an_unmeasured_host_leave_protected() -> None:
    """T48: a wrong certificate at one of two addresses; a third host refuses connections."""
    world = base(3)
    good = leaf("mx2.p.test")
    world.host("mx2.p.test", "192.0.2.2", "192.0.2.22")
    world.probe("mx2.p.test", good, at="192.0.2.2")
    world.probe("mx2.p.test", leaf("wrong.test"), at="192.0.2.22")
    world.probe("mx3.p.test", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    inconsistent = findings(judgement, Reason.ADDRESSES_INCONSISTENT)
    assert {finding.where for finding in inconsistent} == {MX2}
    assert {finding.severity for finding in inconsistent} == {Severity.ERROR}
    wrong = next(a for a in host_of(judgement, MX2).addresses if a.address == "192.0.2.22")
    assert wrong.judged.code == "4.7.323"
    assert "192.0.2.22" in findings(judgement, Reason.TLSA_MISMATCH)[0].message
    assert host_of(judgement, MX3).judged.code == "4.4.316"
    assert [one.where for one in findings(judgement, Reason.HOST_NOT_MEASURED)] == [MX3]


def test_t49_nothing_beside_dane_rescues_a_mismatch() -> None:
    """T49, DANE part: with a secure TLSA record DANE alone decides (as T28)."""
    world = base(1)
    authority = mint("public CA", ca=True)
    server = mint("mx1", authority, dns=["mx1.p.test"])
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    world.probe("mx1.p.test", server, authority)
    assert_verdicts(world.judge(), "blocked", "blocked", "4.7.323")


def test_t49_without_tlsa_delivery_is_opportunistic() -> None:
    """T49, variant, DANE part: no TLSA record, so DANE asks for nothing."""
    world = base(1)
    world.records("mx1.p.test")
    assert_verdicts(world.judge(), "opportunistic", "opportunistic")


def test_t50_a_check_names_both_the_queued_and_the_final_code() -> None:
    """T50, one check of it: deferring with 4.7.321, and 5.7.321 once the queue life is over."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)
    for hours in (0, 25):
        world.now += timedelta(hours=hours)
        verdict = world.judge().of(EXO)
        assert shown(verdict) == ("4.7.321", "4.7.321", "5.7.321")
        assert verdict.phase is DeliveryPhase.DEFERRING
