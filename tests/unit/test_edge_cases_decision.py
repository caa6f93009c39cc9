"""Edge cases of the specification at decision level, each by its number.

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
    SOON,
    TIMEOUT,
    WRONG,
    WRONG_512,
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


def without_starttls(world: World, host: str) -> None:
    world.probe(host, stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)


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


# --- E. Usability of records ---------------------------------------------------------------------


@pytest.mark.parametrize("usage", [0, 1])
def test_case_49_50_unusable_usage_demands_tls_and_no_certificate(usage: int) -> None:
    """Cases 49 and 50."""
    world = base(1)
    world.records("mx1.p.test", tlsa(usage, 1, 1, WRONG))
    judgement = world.judge()
    assert summary(judgement) == ("encrypted", "encrypted")
    assert judgement.of(EXO).code is None
    for stage, error in (
        (ProbeStage.EHLO, ProbeError.STARTTLS_NOT_OFFERED),
        (ProbeStage.HANDSHAKE, ProbeError.TLS_ALERT),
    ):
        world.probe("mx1.p.test", stage=stage, error=error)
        judgement = world.judge()
        assert summary(judgement) == ("blocked", "blocked")
        assert judgement.of(EXO).code == "4.7.321"


def test_case_51_only_usable_records_decide() -> None:
    """Case 51, both ways."""
    world = base(1)
    world.records("mx1.p.test", tlsa(1, 1, 1, leaf()), tlsa(3, 1, 1, WRONG))
    assert summary(world.judge()) == ("blocked", "blocked")
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG), tlsa(3, 1, 1, leaf()))
    assert summary(world.judge()) == ("protected", "protected")


@pytest.mark.parametrize(
    ("usage", "selector", "matching_type", "data"),
    [
        (4, 1, 1, WRONG),
        (3, 2, 1, WRONG),
        (3, 1, 3, WRONG),
        (3, 1, 255, WRONG),
        (3, 1, 1, WRONG[:-1]),
        (3, 1, 2, WRONG),
        (3, 1, 1, b""),
        (3, 0, 0, b"no certificate"),
        (3, 1, 0, b"no key"),
    ],
    ids=[
        "52-usage",
        "52-selector",
        "52-type",
        "53",
        "54-sha256",
        "54-sha512",
        "55",
        "56",
        "56-key",
    ],
)
def test_case_52_to_56_hopeless_record_is_dropped(
    usage: int, selector: int, matching_type: int, data: bytes
) -> None:
    """Cases 52 to 56: alone it leaves encryption, beside a good record it is a finding."""
    bad = tlsa(usage, selector, matching_type, data)
    world = base(1)
    world.records("mx1.p.test", bad)
    assert summary(world.judge()) == ("encrypted", "encrypted")
    world.records("mx1.p.test", bad, tlsa(3, 1, 1, leaf()))
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert len(judgement.findings) == 1


def test_case_58_59_60_digest_agility() -> None:
    """Cases 58, 59 and 60: stronger digests count alone, for each usage and selector."""
    world = base(1)
    cases = {
        ((3, 1, 1, leaf()), (3, 1, 2, WRONG_512)): ("blocked", "protected"),
        ((3, 1, 1, WRONG), (3, 1, 2, leaf())): ("protected", "protected"),
        ((3, 1, 1, leaf()), (3, 1, 2, WRONG)): ("protected", "protected"),
        ((3, 1, 1, leaf()), (3, 0, 2, WRONG_512)): ("protected", "protected"),
    }
    for records, expected in cases.items():
        world.records("mx1.p.test", *(tlsa(*record) for record in records))
        assert summary(world.judge()) == expected, records


# --- F. Certificates -----------------------------------------------------------------------------


def test_case_61_62_dates_under_usage_3_are_a_warning_by_rfc() -> None:
    """Cases 61 and 62: and a failure at Exchange Online."""
    for days, code in (((-90, -1), "4.7.322"), ((1, 90), "4.7.323")):
        world = base(1)
        world.probe("mx1.p.test", leaf(days=days))
        judgement = world.judge()
        assert summary(judgement) == ("protected", "blocked")
        assert judgement.of(EXO).code == code
        assert Reason.CERTIFICATE_EXPIRY_IGNORED in codes(judgement)


def test_case_79_stale_end_entity_record_beside_a_matching_anchor() -> None:
    """Case 79: one usage is enough; the publisher's rule is broken all the same."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG), tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("server", authority, dns=["mx1.p.test"]), authority)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {Reason.TLSA_UNMATCHED_RECORD, Reason.TLSA_PARAMETERS_UNMATCHED}
    assert "3 1 1" in findings(judgement, Reason.TLSA_PARAMETERS_UNMATCHED)[0].message


def test_case_80_mismatch_before_name_before_expiry() -> None:
    """Case 80: and Exchange Online's 322 before 323, with both listed (C19)."""
    authority = mint("CA", ca=True)
    world = base(1)
    world.records("mx1.p.test", tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("s", authority, dns=["x.test"], days=(-90, -1)), authority)
    judgement = world.judge()
    assert judgement.of(RFC).reason is Reason.CERTIFICATE_NAME_MISMATCH
    assert judgement.of(EXO).reason is Reason.CERTIFICATE_NAME_MISMATCH
    assert codes(judgement) >= {Reason.CERTIFICATE_NAME_MISMATCH, Reason.CERTIFICATE_EXPIRED}
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    judgement = world.judge()
    assert judgement.of(RFC).reason is Reason.TLSA_MISMATCH
    assert judgement.of(EXO).reason is Reason.CERTIFICATE_EXPIRED
    assert judgement.of(EXO).code == "4.7.322"
    assert host_of(judgement, MX1).judged.detail == "also: tlsa-mismatch"
    assert codes(judgement) >= {Reason.TLSA_MISMATCH, Reason.CERTIFICATE_EXPIRED}


@pytest.mark.parametrize("error", [None, ProbeError.NO_CERTIFICATE])
def test_case_81_no_certificate_with_usable_records_fails(error: ProbeError | None) -> None:
    """Case 81: an anonymous session; enough where only encryption is asked for (C14)."""
    world = base(1)
    stage = ProbeStage.DONE if error is None else ProbeStage.HANDSHAKE
    world.probe("mx1.p.test", stage=stage, error=error)
    judgement = world.judge()
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(RFC).reason is Reason.TLS_NO_CERTIFICATE
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG))
    assert summary(world.judge()) == ("encrypted", "encrypted")
    world.records("mx1.p.test")
    assert outcome_of(world.judge(), MX1) is HostOutcome.OPPORTUNISTIC_TLS


# --- G. SMTP and TLS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text", "reason", "code"),
    [
        (ProbeError.REPLY_TRANSIENT, "4.7.0 too many", Reason.GREETING_DEFERRED, "4.7.0"),
        (ProbeError.REPLY_PERMANENT, "5.7.1 blocked", Reason.GREETING_REJECTED, "5.7.1"),
        (ProbeError.REPLY_PERMANENT, "go away", Reason.GREETING_REJECTED, None),
        (ProbeError.REPLY_PERMANENT, "4.7.1 odd", Reason.GREETING_REJECTED, None),
    ],
    ids=["case-86", "case-87", "case-87-no-code", "case-87-contradiction"],
)
@pytest.mark.parametrize("stage", [ProbeStage.GREETING, ProbeStage.EHLO])
def test_case_86_87_rejected_connection_is_down_and_no_missing_starttls(
    error: ProbeError, text: str, reason: Reason, code: str | None, stage: ProbeStage
) -> None:
    """Cases 86 and 87 (table C3, C4): it may be us who are rejected; the server's code is shown."""
    world = base(1)
    number = 421 if error is ProbeError.REPLY_TRANSIENT else 554
    world.probe("mx1.p.test", stage=stage, error=error, reply_code=number, reply_text=text)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    verdict = judgement.of(EXO)
    assert (verdict.reason, verdict.code, verdict.result_type) == (reason, code, None)
    assert verdict.transient
    assert judgement.of(RFC).code == code


@pytest.mark.parametrize("helo", [False, True], ids=["ehlo", "helo-only"])
def test_case_88_no_starttls_fails_where_tlsa_demands_it(helo: bool) -> None:
    """Case 88 (C5, C6), and C7: in clear text where nothing demands TLS."""
    world = base(1)
    world.probe(
        "mx1.p.test",
        stage=ProbeStage.EHLO,
        error=ProbeError.STARTTLS_NOT_OFFERED,
        helo_fallback=helo,
    )
    assert world.judge().of(EXO).code == "4.7.321"
    world.records("mx1.p.test")
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert outcome_of(judgement, MX1) is HostOutcome.OPPORTUNISTIC_CLEAR
    assert findings(judgement, Reason.STARTTLS_NOT_OFFERED)[0].severity == "warning"
    assert judgement.of(EXO).code is None


@pytest.mark.parametrize(
    "error",
    [ProbeError.TLS_ALERT, ProbeError.TIMEOUT, ProbeError.RESET, ProbeError.TLS_PROTOCOL],
)
def test_case_90_failed_handshake_fails_or_falls_back(error: ProbeError) -> None:
    """Case 90 (C11, C12)."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.HANDSHAKE, error=error)
    judgement = world.judge()
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(EXO).reason is Reason.TLS_HANDSHAKE_FAILED
    world.records("mx1.p.test")
    assert outcome_of(world.judge(), MX1) is HostOutcome.OPPORTUNISTIC_CLEAR


def test_case_91_one_open_address_is_enough_and_none_is_unreachable() -> None:
    """Case 91: refused everywhere is "unreachable", not "failed"."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    world.probe("mx1.p.test", leaf(), at="192.0.2.1")
    world.probe("mx1.p.test", at="192.0.2.11", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.judged.outcome for one in host_of(judgement, MX1).addresses] == [
        HostOutcome.AUTHENTICATED,
        HostOutcome.UNREACHABLE,
    ]
    assert findings(judgement, Reason.ADDRESSES_INCONSISTENT)[0].severity == "warning"
    down(world, "mx1.p.test")
    judgement = world.judge()
    assert outcome_of(judgement, MX1) is HostOutcome.UNREACHABLE
    assert judgement.of(EXO).code == "4.4.316"


def test_case_92_different_chains_at_the_addresses_are_inconsistent() -> None:
    """Case 92 (C29): the best address decides, the finding is as severe as the worst."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    world.probe("mx1.p.test", leaf("wrong.test"), at="192.0.2.1")
    world.probe("mx1.p.test", leaf(), at="192.0.2.11")
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert findings(judgement, Reason.ADDRESSES_INCONSISTENT)[0].severity == "error"
    assert "192.0.2.1;" in findings(judgement, Reason.TLSA_MISMATCH)[0].message


def test_case_95_early_plaintext_is_flagged() -> None:
    """Case 95, the verdict's share: a finding, and the session counts."""
    world = base(1)
    world.probe("mx1.p.test", leaf(), early_plaintext=True)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {Reason.PLAINTEXT_AFTER_STARTTLS}


# --- H. Domain aggregation -----------------------------------------------------------------------


def test_case_97_all_authenticated_is_protected() -> None:
    """Case 97."""
    assert summary(base(3).judge()) == ("protected", "protected")


@pytest.mark.parametrize("bare", [MX1, MX2], ids=["case-102", "case-98"])
def test_case_98_102_one_host_without_dane_makes_partial(bare: Name) -> None:
    """Cases 98 and 102: a way round DANE, whichever preference it has."""
    world = base()
    world.records(bare)
    judgement = world.judge()
    assert summary(judgement) == ("partial", "partial")
    assert judgement.of(EXO).headline == bare
    assert judgement.of(EXO).reason is Reason.TLSA_ABSENT
    assert [one.where for one in findings(judgement, Reason.DOWNGRADE_PATH)] == [bare]


@pytest.mark.parametrize("bare", [False, True], ids=["case-99", "case-100"])
def test_case_99_100_failing_host_beside_a_good_one_degrades(bare: bool) -> None:
    """Cases 99 and 100."""
    world = base()
    mismatched(world, "mx1.p.test")
    if bare:
        world.records("mx2.p.test")
    judgement = world.judge()
    assert summary(judgement) == ("degraded", "degraded")
    assert judgement.of(EXO).reason is Reason.TLSA_MISMATCH
    assert judgement.of(EXO).code is None
    assert {one.where for one in findings(judgement, Reason.HOST_FAILING)} == {MX1}


def test_case_101_every_host_failing_blocks() -> None:
    """Case 101: failures and bogus lookups alike."""
    world = base()
    mismatched(world, "mx1.p.test")
    without_starttls(world, "mx2.p.test")
    assert summary(world.judge()) == ("blocked", "blocked")
    world.fail(TLSA1, RRType.TLSA, SERVFAIL, BOGUS)
    assert summary(world.judge()) == ("blocked", "blocked")


def test_case_103_encrypted_everywhere_is_its_own_class() -> None:
    """Case 103."""
    world = base()
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG))
    world.records("mx2.p.test", tlsa(0, 0, 1, WRONG))
    assert summary(world.judge()) == ("encrypted", "encrypted")


def test_case_104_undecided_host_and_none_failing_is_inconclusive() -> None:
    """Case 104: the earlier status is kept by those who know it."""
    world = base()
    world.probe("mx2.p.test", stage=ProbeStage.CONNECT, error=ProbeError.OWN_RESOURCES)
    judgement = world.judge()
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is Reason.OWN_RESOURCES
    assert outcome_of(judgement, MX1) is HostOutcome.AUTHENTICATED


# --- I. Time -------------------------------------------------------------------------------------


def test_case_113_certificate_that_ends_soon_is_announced() -> None:
    """Case 113, one check's share: only while it has not ended."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(-80, 10)))
    [finding] = findings(world.judge(), Reason.CERTIFICATE_EXPIRES_SOON)
    assert "2026-12-04 12:00" in finding.message
    world.probe("mx1.p.test", leaf(days=(-80, 20)))
    assert findings(world.judge(), Reason.CERTIFICATE_EXPIRES_SOON) == []


def test_case_114_signature_that_ends_soon_is_announced() -> None:
    """Case 114: for each answer on the way."""
    world = base(1)
    world.mx((10, "mx1.p.test"), signature_expires_at=world.now + SOON)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), signature_expires_at=world.now + SOON)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.where for one in findings(judgement, Reason.SIGNATURE_EXPIRES_SOON)] == [
        "p.test",
        TLSA1,
    ]
    world.now += SOON
    assert findings(world.judge(), Reason.SIGNATURE_EXPIRES_SOON) == []
