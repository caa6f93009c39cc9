"""Edge cases 1 to 48 of the specification at decision level, each by its number.

What a sender asks is tested with the routing, what matches with the matching; here stands what a
domain's verdict makes of it.
"""

from dataclasses import replace

import pytest
from evidence import (
    BOGUS,
    EXO,
    INDET,
    INS,
    MX1,
    MX2,
    NX,
    RFC,
    SEC,
    SERVFAIL,
    TIMEOUT,
    WRONG,
    World,
    base,
    codes,
    findings,
    host_of,
    leaf,
    mint,
    outcome_of,
    summary,
    tlsa,
)

from scanner.model.names import ROOT, Name, tlsa_owner
from scanner.model.observation import CnameRecord, MxRecord, ProbeError, ProbeStage
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DnssecStatus, HostOutcome, LookupOutcome, RRType

TLSA1 = tlsa_owner(MX1)
BOTH_LOST = ("inconclusive", "inconclusive")


def down(world: World, host: str, error: ProbeError = ProbeError.REFUSED) -> None:
    world.probe(host, stage=ProbeStage.CONNECT, error=error)


def mismatched(world: World, host: str) -> None:
    world.records(host, tlsa(3, 1, 1, WRONG))


# --- A. MX stage ---------------------------------------------------------------------------------


def test_case_1_everything_secure_and_matching_is_protected() -> None:
    """Case 1."""
    assert summary(base(1).judge()) == ("protected", "protected")


def test_case_2_insecure_mx_leaves_no_dane_and_says_what_is_offered() -> None:
    """Case 2: only the MX host's own name may be compared, and nothing is called secure."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    [finding] = findings(judgement, Reason.DANE_OFFERED_DOMAIN_UNSIGNED)
    assert finding.where == "p.test"
    assert "mx1.p.test" in finding.message


def test_case_2_insecure_mx_accepts_only_the_mx_host_name() -> None:
    """Case 2, DANE-TA: under the option, a certificate for the mail domain proves nothing."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.mx((10, "mx1.p.test"), status=INS)
    world.records("mx1.p.test", tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("server", authority, dns=["p.test"]), authority)
    policy = Policy(dane_on_insecure_mx=True)
    assert outcome_of(world.judge(policy), MX1, RFC) is HostOutcome.FAILED
    world.probe("mx1.p.test", mint("server", authority, dns=["mx1.p.test"]), authority)
    assert outcome_of(world.judge(policy), MX1, RFC) is HostOutcome.AUTHENTICATED


@pytest.mark.parametrize(
    ("outcome", "status", "verdict", "reason"),
    [
        (SERVFAIL, BOGUS, "blocked", Reason.MX_DNSSEC_BOGUS),
        (LookupOutcome.DATA, INDET, "blocked", Reason.MX_DNSSEC_INDETERMINATE),
        (SERVFAIL, None, "deferred", Reason.MX_LOOKUP_FAILED),
        (SERVFAIL, INDET, "deferred", Reason.MX_LOOKUP_FAILED),
        (TIMEOUT, None, "deferred", Reason.MX_LOOKUP_TIMEOUT),
        (LookupOutcome.REFUSED, None, "deferred", Reason.MX_LOOKUP_REFUSED),
        (LookupOutcome.MALFORMED, None, "deferred", Reason.MX_LOOKUP_MALFORMED),
        (LookupOutcome.LOOP, None, "deferred", Reason.MX_ALIAS_LOOP),
    ],
)
def test_case_3_failed_mx_lookup_stops_mail(
    outcome: LookupOutcome, status: DnssecStatus | None, verdict: str, reason: Reason
) -> None:
    """Case 3 (and 18): no address question, no fallback to an implicit MX."""
    world = base()
    world.fail("p.test", RRType.MX, outcome, status)
    judgement = world.judge()
    assert summary(judgement) == (verdict, verdict)
    assert judgement.of(EXO).reason is reason
    assert judgement.of(EXO).hosts == ()
    assert len(world.asked) == 1


def test_case_4_implicit_mx_uses_the_domain_as_base() -> None:
    """Case 4."""
    world = World()
    server = leaf("p.test")
    world.mx()
    world.host("p.test", "192.0.2.1")
    world.records("p.test", tlsa(3, 1, 1, server))
    world.probe("p.test", server)
    assert summary(world.judge()) == ("protected", "protected")


def test_case_5_implicit_mx_of_unsigned_domain_is_opportunistic() -> None:
    """Case 5: and no TLSA question."""
    world = World()
    world.mx(status=INS)
    world.host("p.test", "192.0.2.1", status=INS)
    world.probe("p.test", leaf("p.test"))
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert judgement.of(EXO).reason is Reason.DOMAIN_UNSIGNED
    assert world.asked_for(RRType.TLSA) == []


def test_case_6_missing_domain_asks_nothing_further() -> None:
    """Case 6."""
    world = World()
    world.answer("p.test", RRType.MX, outcome=NX)
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert judgement.of(EXO).reason is Reason.DOMAIN_DOES_NOT_EXIST
    assert len(world.asked) == 1


@pytest.mark.parametrize("preference", [0, 10], ids=["case-7", "case-8"])
def test_case_7_8_null_mx_is_no_failure(preference: int) -> None:
    """Cases 7 and 8: another preference than 0 is accepted with a warning."""
    world = World()
    world.answer("p.test", RRType.MX, MxRecord(preference=preference, exchange=ROOT))
    judgement = world.judge()
    assert judgement.of(EXO).reason is Reason.NULL_MX
    assert (Reason.NULL_MX_WITH_PREFERENCE in codes(judgement)) == (preference != 0)


def test_case_9_null_mx_beside_others_is_left_out() -> None:
    """Case 9."""
    world = base(1)
    world.answer(
        "p.test",
        RRType.MX,
        MxRecord(preference=0, exchange=ROOT),
        MxRecord(preference=10, exchange=MX1),
    )
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert Reason.NULL_MX_BESIDE_OTHERS in codes(judgement)


@pytest.mark.parametrize(
    "target", ["192.0.2.7", "mail", "localhost"], ids=["case-10", "case-11", "case-11-localhost"]
)
def test_case_10_11_unusable_mx_target_is_a_finding(target: str) -> None:
    """Cases 10 and 11: never looked up, never contacted; alone it leaves no mail host."""
    world = base(1)
    world.mx((10, "mx1.p.test"), (20, target))
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.where for one in findings(judgement, Reason.MX_TARGET_UNUSABLE)] == [target]
    world.mx((20, target))
    assert summary(world.judge()) == ("no-mail", "no-mail")


def test_case_12_special_purpose_address_is_not_contacted_and_defers() -> None:
    """Case 12: a sender would reach itself; the domain owner has to mend it."""
    world = base(1)
    world.host("mx1.p.test", "127.0.0.1")
    world.probe("mx1.p.test", stage=ProbeStage.CONNECT, error=ProbeError.NOT_CONTACTED)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    assert judgement.of(EXO).reason is Reason.SPECIAL_PURPOSE_ADDRESS
    assert judgement.of(EXO).fault == "domain-owner"
    assert Reason.SPECIAL_PURPOSE_ADDRESS in codes(judgement)


def test_case_15_host_listed_twice_is_judged_once() -> None:
    """Case 15: with its best preference, and a finding."""
    world = base(1)
    world.mx((30, "mx1.p.test"), (10, "mx1.p.test"))
    judgement = world.judge()
    assert [(one.host, one.preference) for one in judgement.of(EXO).hosts] == [(MX1, 10)]
    assert Reason.MX_DUPLICATE_HOST in codes(judgement)


def test_case_16_every_mx_host_is_judged() -> None:
    """Case 16: twelve hosts, and the last one matters."""
    world = World()
    names = [f"mx{number:02}.p.test" for number in range(12)]
    world.mx(*((10, name) for name in names))
    for number, name in enumerate(names):
        server = leaf(name)
        world.host(name, f"192.0.2.{number + 1}")
        world.records(name, tlsa(3, 1, 1, server))
        world.probe(name, server)
    assert summary(world.judge()) == ("protected", "protected")
    mismatched(world, names[-1])
    assert summary(world.judge()) == ("degraded", "degraded")


def test_case_17_one_insecure_alias_makes_the_mx_insecure() -> None:
    """Case 17: the weakest link decides."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS, aliases=[("q.test", INS)])
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert judgement.of(RFC).reason is Reason.DOMAIN_UNSIGNED


@pytest.mark.parametrize("outcome", [SERVFAIL, TIMEOUT])
def test_case_19_one_host_that_does_not_resolve_is_skipped(outcome: LookupOutcome) -> None:
    """Case 19: the others take the mail; scenario 1 is about records that are not authentic."""
    world = base()
    world.fail("mx1.p.test", RRType.A, outcome)
    world.fail("mx1.p.test", RRType.AAAA, outcome)
    judgement = world.judge()
    assert summary(judgement) == ("degraded", "degraded")
    assert outcome_of(judgement, MX1) is HostOutcome.LOOKUP_FAILED


@pytest.mark.parametrize(("status", "verdict"), [(SEC, "protected"), (INS, "partial")])
def test_case_20_host_without_address_is_a_way_round_unless_that_is_proven(
    status: DnssecStatus, verdict: str
) -> None:
    """Case 20: who can forge an address for it receives mail."""
    world = base()
    for rdtype in (RRType.A, RRType.AAAA):
        world.answer("mx2.p.test", rdtype, outcome=NX, status=status)
    judgement = world.judge()
    assert summary(judgement) == (verdict, verdict)
    assert outcome_of(judgement, MX2) is HostOutcome.NO_ADDRESS
    assert (Reason.DOWNGRADE_PATH in codes(judgement)) == (verdict == "partial")


# --- B. Address stage ----------------------------------------------------------------------------


def test_case_21_22_insecure_address_means_no_dane() -> None:
    """Cases 21 and 22: no TLSA question, even where it would fail."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", status=INS)
    world.fail(TLSA1, RRType.TLSA, SERVFAIL)
    judgement = world.judge()
    assert outcome_of(judgement, MX1, RFC) is HostOutcome.OPPORTUNISTIC_TLS
    assert world.asked_for(RRType.TLSA) == []


@pytest.mark.parametrize("broken", [RRType.A, RRType.AAAA])
def test_case_23_one_failed_family_leaves_the_other_under_dane(broken: RRType) -> None:
    """Case 23 and its mirror."""
    world = base(1)
    address = "2001:db8::1" if broken is RRType.A else "192.0.2.1"
    world.host("mx1.p.test", address)
    world.fail("mx1.p.test", broken, SERVFAIL)
    world.probe("mx1.p.test", leaf())
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert Reason.ADDRESS_FAMILY_FAILED in codes(judgement)


def test_case_24_mixed_security_of_addresses_is_reported() -> None:
    """Case 24: one secure address set makes the host eligible for DANE."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "2001:db8::1", ipv6_status=INS)
    world.probe("mx1.p.test", leaf())
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert Reason.ADDRESS_SECURITY_MIXED in codes(judgement)


def test_case_25_failed_addresses_are_no_absence_of_dane() -> None:
    """Case 25: both families fail."""
    world = base(1)
    for rdtype in (RRType.A, RRType.AAAA):
        world.fail("mx1.p.test", rdtype, SERVFAIL)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    verdict = judgement.of(EXO)
    assert (verdict.code, verdict.cause_code) == ("4.4.312", None)
    assert world.asked_for(RRType.TLSA) == []


def test_case_26_host_without_any_address_leaves_no_mail_host() -> None:
    """Case 26: no TLSA question."""
    world = base(1)
    world.host("mx1.p.test")
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert world.asked_for(RRType.TLSA) == []


@pytest.mark.parametrize(
    ("egress", "error", "reason"),
    [
        (False, ProbeError.NO_ROUTE, Reason.NO_ROUTE),
        (False, ProbeError.TIMEOUT, Reason.NO_ROUTE),
        (None, ProbeError.TIMEOUT, Reason.EGRESS_UNPROVEN),
        (None, ProbeError.UNREACHABLE, Reason.EGRESS_UNPROVEN),
    ],
)
def test_case_27_ipv6_only_host_without_ipv6_of_ours_is_inconclusive(
    egress: bool | None, error: ProbeError, reason: Reason
) -> None:
    """Case 27: neither a pass nor a failure."""
    world = base(1)
    world.host("mx1.p.test", "2001:db8::1")
    down(world, "mx1.p.test", error)
    world.vantage = replace(world.vantage, egress_ipv6=egress)
    judgement = world.judge()
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is reason
    assert judgement.of(EXO).code is None


# --- C. Aliased MX hosts -------------------------------------------------------------------------


def test_case_28_29_both_candidates_of_a_secure_alias() -> None:
    """Cases 28 and 29: the expanded name first, then the original one."""
    for at, other in (("h.host.test", "mx1.p.test"), ("mx1.p.test", "h.host.test")):
        world = base(1)
        server = leaf("h.host.test")
        world.host("mx1.p.test", "192.0.2.1", aliases=[("h.host.test", SEC)])
        world.records(other)
        world.records(at, tlsa(3, 1, 1, server))
        world.probe("mx1.p.test", server)
        judgement = world.judge()
        assert summary(judgement) == ("protected", "protected")
        assert codes(judgement) == {Reason.MX_ALIAS, Reason.SENDER_DEPENDENT}


def test_case_30_error_at_the_expanded_name_is_final() -> None:
    """Case 30: the original name is not asked."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", aliases=[("h.host.test", SEC)])
    world.fail(tlsa_owner(Name("h.host.test")), RRType.TLSA, SERVFAIL)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    assert judgement.of(EXO).code == "4.7.324"


@pytest.mark.parametrize(("link", "verdict"), [(SEC, "protected"), (INS, "opportunistic")])
def test_case_31_32_first_alias_decides_before_an_unsigned_zone(
    link: DnssecStatus, verdict: str
) -> None:
    """Cases 31, 32 and 35: the separate CNAME question tells."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", status=INS, aliases=[("h.u.test", None)])
    world.answer("mx1.p.test", RRType.CNAME, CnameRecord(target=Name("h.u.test")), status=link)
    world.probe("mx1.p.test", leaf())
    assert summary(world.judge()) == (verdict, verdict)


@pytest.mark.parametrize("denied", [False, True])
def test_case_33_unclear_first_alias_is_a_failed_lookup(denied: bool) -> None:
    """Case 33: the CNAME question fails, or contradicts what was seen."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", status=INS, aliases=[("h.u.test", None)])
    world.answer("mx1.p.test", RRType.CNAME, outcome=None if denied else SERVFAIL)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    assert judgement.of(EXO).code == "4.4.312"


def test_case_34_tlsa_at_an_alias_in_the_middle_is_ignored() -> None:
    """Case 34: only the two ends of the chain are candidates (RFC 7672 §2.2.3)."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", aliases=[("middle.p.test", SEC), ("h.host.test", SEC)])
    world.records("mx1.p.test")
    world.records("h.host.test")
    world.records("middle.p.test", tlsa(3, 1, 1, leaf()))
    assert summary(world.judge()) == ("opportunistic", "opportunistic")
    assert [one.name for one in world.asked_for(RRType.TLSA)] == [
        "_25._tcp.h.host.test",
        "_25._tcp.mx1.p.test",
    ]


def test_case_36_dname_alias_behaves_as_a_cname() -> None:
    """Case 36, the verdict's share: what the answer shows is an alias, however it was made."""
    world = base(1)
    server = leaf("mx1.q.test")
    world.host("mx1.p.test", "192.0.2.1", aliases=[("mx1.q.test", SEC)])
    world.records("mx1.q.test", tlsa(3, 1, 1, server))
    world.probe("mx1.p.test", server)
    assert summary(world.judge()) == ("protected", "protected")


def test_case_37_alias_loop_of_one_host_lets_others_deliver() -> None:
    """Case 37."""
    world = base()
    for rdtype in (RRType.A, RRType.AAAA):
        world.fail("mx1.p.test", rdtype, LookupOutcome.LOOP)
    judgement = world.judge()
    assert summary(judgement) == ("degraded", "degraded")
    assert host_of(judgement, MX1).judged.reason is Reason.ADDRESS_ALIAS_LOOP


# --- D. TLSA stage -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [SEC, INS], ids=["case-38", "case-39"])
@pytest.mark.parametrize("outcome", [LookupOutcome.NODATA, NX])
def test_case_38_39_denial_means_no_dane(status: DnssecStatus, outcome: LookupOutcome) -> None:
    """Cases 38 and 39: an insecure denial (opt-out) is normal and no error."""
    world = base(1)
    world.records("mx1.p.test", status=status, outcome=outcome)
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert judgement.findings == ()


@pytest.mark.parametrize(
    ("outcome", "status", "verdict"),
    [
        (SERVFAIL, None, "deferred"),
        (LookupOutcome.REFUSED, None, "deferred"),
        (LookupOutcome.MALFORMED, None, "deferred"),
        (TIMEOUT, None, "deferred"),
        (LookupOutcome.LOOP, None, "deferred"),
        (SERVFAIL, BOGUS, "blocked"),
        (LookupOutcome.DATA, INDET, "blocked"),
    ],
)
def test_case_40_44_failed_tlsa_lookup_makes_the_host_unreachable(
    outcome: LookupOutcome, status: DnssecStatus | None, verdict: str
) -> None:
    """Cases 40, 44 and 107: never "no DANE", always 4.7.324."""
    world = base(1)
    world.fail(TLSA1, RRType.TLSA, outcome, status)
    judgement = world.judge()
    assert summary(judgement) == (verdict, verdict)
    assert outcome_of(judgement, MX1) is HostOutcome.LOOKUP_FAILED
    assert judgement.of(EXO).code == "4.7.324"
    assert judgement.of(EXO).final_code == "5.7.324"


def test_case_41_unprotected_tlsa_records_are_ignored() -> None:
    """Case 41: published, and not signed."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG), status=INS)
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert Reason.TLSA_UNPROTECTED in codes(judgement)


def test_case_43_tlsa_alias_through_an_insecure_link_has_none() -> None:
    """Case 43: the next candidate is tried."""
    world = base(1)
    server = leaf("mx1.p.test")
    world.host("mx1.p.test", "192.0.2.1", aliases=[("h.host.test", SEC)])
    world.records("h.host.test", tlsa(3, 1, 1, WRONG), status=INS, aliases=[("t.u.test", INS)])
    world.probe("mx1.p.test", server)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert Reason.TLSA_ALIAS_INSECURE in codes(judgement)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("resolver_up", Reason.RESOLVER_DOWN),
        ("resolver_validating", Reason.RESOLVER_NOT_VALIDATING),
    ],
)
def test_case_47_blind_scanner_says_nothing_about_partners(field: str, reason: Reason) -> None:
    """Case 47: no mass change to "no DANE"; the only finding is our own."""
    world = base()
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG), status=INS)
    world.vantage = replace(world.vantage, **{field: False}, detail="control question failed")
    judgement = world.judge()
    assert summary(judgement) == BOTH_LOST
    [finding] = judgement.findings
    assert finding.code is reason
    assert "control question failed" in finding.message
    assert {one.judged.outcome for one in judgement.of(EXO).hosts} == {HostOutcome.INCONCLUSIVE}
