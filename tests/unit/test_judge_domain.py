"""The verdict on a domain: our own faults first, then the MX stage, then the hosts (table 3d)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from evidence import (
    BOGUS,
    EXO,
    INDET,
    INS,
    MX1,
    MX2,
    MX3,
    NOW,
    RFC,
    SEC,
    SERVFAIL,
    TIMEOUT,
    WRONG,
    P,
    World,
    base,
    codes,
    host_of,
    leaf,
    shown,
    summary,
    tlsa,
)

from scanner.judge.aggregate import Aggregate, Weighed, aggregate
from scanner.judge.domain import INTERNAL_ERROR_PREFIX, judge
from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import MxKind, ProbeError, ProbeStage
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import HostJudgement, Judged
from scanner.model.vocabulary import (
    DeliveryPhase,
    DomainVerdict,
    Fault,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
    Scenario1Scope,
)

H = HostOutcome
V = DomainVerdict
BOTH_LOST = ("inconclusive", "inconclusive")


def weighed(
    outcome: HostOutcome,
    reason: Reason | None = None,
    *,
    transient: bool = False,
    may_fail: bool = True,
    forgeable: bool = False,
    host: str = "mx.p.test",
) -> Weighed:
    return Weighed(
        judgement=HostJudgement(
            host=Name(host),
            preference=10,
            judged=Judged(outcome=outcome, reason=reason, transient=transient),
        ),
        may_fail=may_fail,
        forgeable_absence=forgeable,
    )


def together(
    *hosts: Weighed,
    mx_secure: bool = True,
    domain_scope: bool = False,
    unseen: bool = False,
    unseen_may_fail: bool = True,
) -> Aggregate:
    return aggregate(
        hosts,
        mx_secure=mx_secure,
        domain_scope=domain_scope,
        unseen=unseen,
        unseen_may_fail=unseen_may_fail,
    )


AUTH = weighed(H.AUTHENTICATED)
ENC = weighed(H.ENCRYPTED, Reason.TLSA_ALL_UNUSABLE)
OPP = weighed(H.OPPORTUNISTIC_TLS, Reason.TLSA_ABSENT)
CLEAR = weighed(H.OPPORTUNISTIC_CLEAR, Reason.STARTTLS_NOT_OFFERED)
FAIL = weighed(H.FAILED, Reason.TLSA_MISMATCH)
DEFERRING = weighed(H.FAILED, Reason.STARTTLS_DEFERRED, transient=True)
TLSA_BOGUS = weighed(H.LOOKUP_FAILED, Reason.TLSA_DNSSEC_BOGUS)
TLSA_UNPROVEN = weighed(H.LOOKUP_FAILED, Reason.TLSA_DNSSEC_INDETERMINATE, transient=True)
TLSA_SERVFAIL = weighed(H.LOOKUP_FAILED, Reason.TLSA_LOOKUP_FAILED, transient=True)
ADDRESS_SERVFAIL = weighed(H.LOOKUP_FAILED, Reason.ADDRESS_LOOKUP_FAILED, transient=True)
DOWN = weighed(H.UNREACHABLE, Reason.CONNECTION_REFUSED, transient=True)
GONE = weighed(H.NO_ADDRESS, Reason.HOST_NO_ADDRESS)
FORGEABLE = weighed(H.NO_ADDRESS, Reason.HOST_NO_ADDRESS, forgeable=True)
LOST = weighed(H.INCONCLUSIVE, Reason.OWN_RESOURCES)
LOST_WITHOUT_DANE = weighed(H.INCONCLUSIVE, Reason.OWN_RESOURCES, may_fail=False)


@pytest.mark.parametrize(
    ("hosts", "verdict"),
    [
        ([AUTH, AUTH], V.PROTECTED),
        ([AUTH, DOWN], V.PROTECTED),
        ([AUTH, GONE], V.PROTECTED),
        ([AUTH, FORGEABLE], V.PARTIAL),
        ([AUTH, OPP], V.PARTIAL),
        ([ENC, AUTH], V.PARTIAL),
        ([AUTH, CLEAR, DOWN], V.PARTIAL),
        ([AUTH, FAIL], V.DEGRADED),
        ([OPP, FAIL], V.DEGRADED),
        ([ENC, DEFERRING], V.DEGRADED),
        ([AUTH, ADDRESS_SERVFAIL], V.DEGRADED),
        ([AUTH, TLSA_BOGUS], V.DEGRADED),
        ([ENC, ENC], V.ENCRYPTED),
        ([ENC, DOWN], V.ENCRYPTED),
        ([ENC, OPP], V.OPPORTUNISTIC),
        ([OPP, CLEAR], V.OPPORTUNISTIC),
        ([OPP, FORGEABLE], V.OPPORTUNISTIC),
        ([FAIL, FAIL], V.BLOCKED),
        ([FAIL, TLSA_BOGUS], V.BLOCKED),
        ([TLSA_UNPROVEN], V.BLOCKED),
        ([FAIL, GONE], V.BLOCKED),
        ([FAIL, DOWN], V.DEFERRED),
        ([FAIL, TLSA_SERVFAIL], V.DEFERRED),
        ([FAIL, DEFERRING], V.DEFERRED),
        ([DOWN], V.DEFERRED),
        ([GONE, FORGEABLE], V.NO_MAIL),
        ([], V.NO_MAIL),
    ],
)
def test_measured_hosts_give_the_verdict_of_the_table(
    hosts: list[Weighed], verdict: DomainVerdict
) -> None:
    """Table 3d, every row, in both orders of the hosts."""
    assert together(*hosts).verdict is verdict
    assert together(*reversed(hosts)).verdict is verdict


@pytest.mark.parametrize(
    ("hosts", "verdict"),
    [
        ([AUTH, TLSA_BOGUS], V.BLOCKED),
        ([AUTH, TLSA_UNPROVEN], V.BLOCKED),
        ([AUTH, TLSA_SERVFAIL], V.DEFERRED),
        ([AUTH, TLSA_SERVFAIL, TLSA_BOGUS], V.BLOCKED),
        ([LOST, TLSA_BOGUS], V.BLOCKED),
        ([DOWN, TLSA_BOGUS], V.BLOCKED),
        ([AUTH, ADDRESS_SERVFAIL], V.DEGRADED),
        ([AUTH, FAIL], V.DEGRADED),
    ],
)
def test_one_record_that_is_not_authentic_stops_the_domain_in_domain_scope(
    hosts: list[Weighed], verdict: DomainVerdict
) -> None:
    """Scenario 1, literally (S-34, S-70): an answer blocks, a missing TLSA answer defers."""
    assert together(*hosts, domain_scope=True).verdict is verdict


def test_domain_scope_speaks_of_signed_domains_only() -> None:
    """Below insecure MX records DANE is not attempted, and one host is one host."""
    bogus = weighed(H.LOOKUP_FAILED, Reason.ADDRESS_DNSSEC_BOGUS)
    found = together(OPP, bogus, mx_secure=False, domain_scope=True)
    assert found.verdict is V.DEGRADED


@pytest.mark.parametrize(
    ("hosts", "verdict"),
    [
        ([AUTH, LOST], V.INCONCLUSIVE),
        ([AUTH, LOST_WITHOUT_DANE], V.INCONCLUSIVE),
        ([OPP, LOST], V.INCONCLUSIVE),
        ([ENC, LOST_WITHOUT_DANE], V.INCONCLUSIVE),
        ([FAIL, LOST], V.INCONCLUSIVE),
        ([DOWN, LOST], V.INCONCLUSIVE),
        ([GONE, LOST], V.INCONCLUSIVE),
        ([LOST], V.INCONCLUSIVE),
        ([OPP, LOST_WITHOUT_DANE], V.OPPORTUNISTIC),
        ([AUTH, OPP, LOST_WITHOUT_DANE], V.PARTIAL),
        ([AUTH, FAIL, LOST], V.DEGRADED),
    ],
)
def test_undecided_host_leaves_a_verdict_only_where_it_cannot_change_it(
    hosts: list[Weighed], verdict: DomainVerdict
) -> None:
    """Case 104, and where the rest settles it."""
    assert together(*hosts).verdict is verdict
    assert together(*reversed(hosts)).verdict is verdict


def test_unsigned_domain_is_never_more_than_opportunistic() -> None:
    """Whoever forges the MX records chooses the host."""
    for host in (AUTH, ENC, OPP):
        found = together(host, mx_secure=False)
        assert (found.verdict, found.reason) == (V.OPPORTUNISTIC, Reason.DOMAIN_UNSIGNED)


@pytest.mark.parametrize("hosts", [[FAIL], [DOWN], []])
def test_failure_of_all_hosts_is_not_claimed_while_some_were_left_out(
    hosts: list[Weighed],
) -> None:
    """Beyond our bound there may be one that works."""
    found = together(*hosts, unseen=True)
    assert (found.verdict, found.reason) == (V.INCONCLUSIVE, Reason.MX_TOO_MANY)


@pytest.mark.parametrize("hosts", [[AUTH], [ENC], [AUTH, OPP], [OPP], [AUTH, DOWN]])
def test_no_protection_is_claimed_while_some_hosts_were_left_out(hosts: list[Weighed]) -> None:
    """One of them may be a way round DANE, or fail."""
    found = together(*hosts, unseen=True)
    assert (found.verdict, found.reason) == (V.INCONCLUSIVE, Reason.MX_TOO_MANY)


def test_what_hosts_that_were_left_out_cannot_change_is_claimed_all_the_same() -> None:
    """Degraded it is already; and without DANE whatever answers delivers."""
    assert together(AUTH, FAIL, unseen=True).verdict is V.DEGRADED
    found = together(OPP, mx_secure=False, unseen=True, unseen_may_fail=False)
    assert found.verdict is V.OPPORTUNISTIC


def test_protected_is_not_claimed_of_a_domain_with_more_hosts_than_were_looked_at() -> None:
    """The same through the whole judge; the finding says how many were left out."""
    seen = base(1).observe()
    assert summary(judge(seen, policy=Policy(), now=NOW)) == ("protected", "protected")
    judgement = judge(
        replace(seen, route=replace(seen.route, hosts_ignored=5)), policy=Policy(), now=NOW
    )
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is Reason.MX_TOO_MANY
    assert Reason.MX_TOO_MANY in codes(judgement)


def test_headline_of_a_stopped_domain_is_the_host_tried_last() -> None:
    """N-20; hosts without an address are not tried."""
    first = weighed(H.FAILED, Reason.TLSA_MISMATCH, host="mx1.p.test")
    second = weighed(H.FAILED, Reason.CERTIFICATE_EXPIRED, host="mx2.p.test")
    found = together(first, second, GONE)
    assert found.headline is second.judgement
    assert together(second, first).headline is first.judgement


def test_a_failed_lookup_gives_the_headline_where_dns_stands_for_the_domain() -> None:
    """Code when hosts differ, rule 2: scope domain shows DNS before the host tried last."""
    for other in (FAIL, DOWN):
        found = together(ADDRESS_SERVFAIL, other, domain_scope=True)
        assert found.headline is ADDRESS_SERVFAIL.judgement
        assert found.verdict is V.DEFERRED
        assert together(ADDRESS_SERVFAIL, other).headline is other.judgement


def test_headline_of_scenario_1_is_the_first_host_that_blocks() -> None:
    """What defers comes second to what blocks."""
    found = together(TLSA_SERVFAIL, TLSA_BOGUS, domain_scope=True)
    assert found.headline is TLSA_BOGUS.judgement


def test_headline_of_a_degraded_domain_is_its_first_failing_host() -> None:
    """The one whose repair matters most."""
    late = weighed(H.FAILED, Reason.CERTIFICATE_EXPIRED, host="mx3.p.test")
    assert together(AUTH, FAIL, late).headline is FAIL.judgement


# --- our own faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incomplete", "reason"),
    [
        ("our deadline of 120 s ended the check", Reason.CHECK_DEADLINE),
        (f"{INTERNAL_ERROR_PREFIX}: KeyError: 'x'", Reason.INTERNAL_ERROR),
    ],
)
def test_check_that_was_cut_short_is_inconclusive(incomplete: str, reason: Reason) -> None:
    """Even where everything seen so far looks good, or bad."""
    for world in (base(), World()):
        world.incomplete = incomplete
        if not world.lookups:
            world.fail("p.test", RRType.MX, SERVFAIL, BOGUS)
        judgement = world.judge()
        assert summary(judgement) == BOTH_LOST
        assert judgement.of(EXO).reason is reason
        assert judgement.of(EXO).fault is Fault.SCANNER
        assert judgement.of(EXO).phase is DeliveryPhase.UNKNOWN
        assert shown(judgement.of(EXO)) == (None, None, None)
        assert codes(judgement) == {reason}


def test_failed_lookup_of_ours_makes_the_whole_domain_inconclusive() -> None:
    """At the MX stage, and at one host of several."""
    at_mx = base()
    at_mx.fail("p.test", RRType.MX, TIMEOUT, own_fault="no buffer space")
    at_host = base()
    at_host.fail("mx2.p.test", RRType.AAAA, TIMEOUT, own_fault="no buffer space")
    for world in (at_mx, at_host):
        judgement = world.judge()
        assert summary(judgement) == BOTH_LOST
        assert judgement.of(EXO).reason is Reason.OWN_LOOKUP_FAILED
        [finding] = judgement.findings
        assert "no buffer space" in finding.message


def test_mx_answer_without_a_status_is_inconclusive() -> None:
    """No mass change to "unsigned" when a resolver stops validating (case 47)."""
    world = base()
    world.mx((10, "mx1.p.test"), status=None)
    judgement = world.judge()
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is Reason.RESOLVER_NOT_VALIDATING


def test_own_fault_wins_over_a_failed_mx_lookup() -> None:
    """A bogus answer from a resolver that is down proves nothing."""
    world = base()
    world.fail("p.test", RRType.MX, SERVFAIL, BOGUS)
    world.vantage = replace(world.vantage, resolver_up=False)
    assert summary(world.judge()) == BOTH_LOST


def test_mx_host_that_was_not_observed_is_undecided() -> None:
    """Evidence without one of the hosts claims nothing about it."""
    seen = base().observe()
    judgement = judge(replace(seen, hosts=seen.hosts[:1]), policy=Policy(), now=NOW)
    assert summary(judgement) == BOTH_LOST
    missing = host_of(judgement, MX2)
    assert missing.judged.reason is Reason.HOST_NOT_MEASURED
    assert missing.preference == 20


def test_more_mx_hosts_than_looked_at_is_a_finding_and_no_block() -> None:
    """``hosts_ignored`` counts those left out."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    seen = world.observe()
    seen = replace(seen, route=replace(seen.route, hosts_ignored=5))
    judgement = judge(seen, policy=Policy(), now=NOW)
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is Reason.MX_TOO_MANY
    assert codes(judgement) >= {Reason.MX_TOO_MANY, Reason.TLSA_MISMATCH}


# --- the whole verdict ---------------------------------------------------------------------------


def test_verdict_lists_the_hosts_in_order_of_attempt() -> None:
    """By preference, then by name, whatever order the evidence has."""
    world = base(3)
    world.mx((20, "mx1.p.test"), (10, "mx3.p.test"), (20, "mx2.p.test"))
    seen = world.observe()
    judgement = judge(replace(seen, hosts=seen.hosts[::-1]), policy=Policy(), now=NOW)
    assert [one.host for one in judgement.of(EXO).hosts] == [MX3, MX1, MX2]
    assert [one.host for one in judgement.hosts] == [MX3, MX1, MX2]
    assert judgement.judged_at == NOW


def test_stopped_domain_names_code_fault_and_headline_host() -> None:
    """Only under exchange-online does a code exist; the reason is common."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    judgement = world.judge()
    exo, rfc = judgement.of(EXO), judgement.of(RFC)
    assert shown(exo) == ("4.7.323", "4.7.323", "5.7.323")
    assert shown(rfc) == (None, None, None)
    assert exo.reason is rfc.reason is Reason.TLSA_MISMATCH
    assert exo.headline == MX1
    assert exo.fault is Fault.DOMAIN_OWNER
    assert exo.phase is DeliveryPhase.DEFERRING
    assert not exo.transient


def test_degraded_domain_has_a_reason_and_no_code() -> None:
    """Delivered mail has no code; the host's own is listed with it."""
    world = base()
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    exo = world.judge().of(EXO)
    assert exo.verdict is V.DEGRADED
    assert shown(exo) == (None, None, None)
    assert exo.reason is Reason.TLSA_MISMATCH
    assert exo.headline == MX1
    assert exo.phase is DeliveryPhase.DELIVERING
    assert exo.hosts[0].judged.code == "4.7.323"


def test_degraded_by_a_transient_failure_is_transient() -> None:
    """It is looked at twice as well."""
    world = base()
    world.probe("mx1.p.test", stage=ProbeStage.STARTTLS, error=ProbeError.REPLY_TRANSIENT)
    verdict = world.judge().of(EXO)
    assert (verdict.verdict, verdict.transient) == (V.DEGRADED, True)


def test_unproven_answer_blocks_and_needs_a_second_look() -> None:
    """Indeterminate is bogus to a sender, but nobody is blamed at first sight."""
    world = base()
    world.mx((10, "mx1.p.test"), status=INDET)
    verdict = world.judge().of(EXO)
    assert (verdict.verdict, verdict.transient) == (V.BLOCKED, True)


@pytest.mark.parametrize(
    ("scope", "verdict", "other"),
    [
        (Scenario1Scope.DOMAIN, V.DEFERRED, V.DEGRADED),
        (Scenario1Scope.HOST, V.DEGRADED, V.DEFERRED),
    ],
)
def test_other_scope_is_named_where_it_differs(
    scope: Scenario1Scope, verdict: DomainVerdict, other: DomainVerdict
) -> None:
    """Only under exchange-online, which alone knows scenario 1."""
    world = base()
    world.fail(tlsa_owner(MX1), RRType.TLSA, SERVFAIL)
    judgement = world.judge(Policy(scenario1_scope=scope))
    assert judgement.of(EXO).verdict is verdict
    assert judgement.of(EXO).other_scope_verdict is other
    assert judgement.of(RFC).other_scope_verdict is None
    assert Reason.SCOPE_DEPENDENT in codes(judgement)
    assert base().judge().of(EXO).other_scope_verdict is None


def test_mandatory_dane_blocks_a_domain_without_it() -> None:
    """N-8: queued, then dropped."""
    world = base()
    for host in ("mx1.p.test", "mx2.p.test"):
        world.records(host)
    judgement = world.judge(Policy(mandatory=True))
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(EXO).reason is Reason.DANE_REQUIRED


def test_mandatory_dane_claims_nothing_about_a_host_it_did_not_see() -> None:
    """Without a demand a lost host would deliver; under this policy it may fail."""
    world = base()
    world.records("mx2.p.test")
    world.probe("mx2.p.test", stage=ProbeStage.CONNECT, error=ProbeError.OWN_RESOURCES)
    assert summary(world.judge(Policy(mandatory=True))) == BOTH_LOST


def test_mx_error_is_believed_over_the_kind_of_route() -> None:
    """A bogus lookup with a route made of it does not go on to the hosts."""
    seen = base().observe()
    route = replace(seen.route, mx=replace(seen.route.mx, status=BOGUS))
    judgement = judge(replace(seen, route=route), policy=Policy(), now=NOW)
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(EXO).hosts == ()


def test_error_kind_without_an_error_is_still_a_failed_lookup() -> None:
    """The other way round."""
    seen = base().observe()
    route = replace(seen.route, kind=MxKind.ERROR)
    judgement = judge(replace(seen, route=route), policy=Policy(), now=NOW)
    assert summary(judgement) == ("deferred", "deferred")
    assert judgement.of(EXO).reason is Reason.MX_LOOKUP_FAILED


def test_facts_show_each_record_with_its_fate() -> None:
    """Matched, unmatched, unusable (never compared); certificates; what would match."""
    world = base(1)
    server = leaf()
    records = [tlsa(3, 1, 1, server), tlsa(3, 1, 1, WRONG), tlsa(1, 1, 1, server)]
    world.records("mx1.p.test", *records, records[0])
    [facts] = world.judge().hosts
    assert [(one.usable, one.matched) for one in facts.tlsa] == [
        (True, True),
        (True, False),
        (False, None),
    ]
    assert facts.tlsa[2].unusable_reason is Reason.TLSA_USAGE_UNUSABLE
    [address] = facts.addresses
    assert address.chain[0].names == ("mx1.p.test",)
    assert facts.expected_records[0] == f"3 1 1 {server.association(1, 1).hex()}"


def test_facts_without_a_certificate_compare_nothing() -> None:
    """``matched`` stays None, and nothing is expected."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    [facts] = world.judge().hosts
    assert [one.matched for one in facts.tlsa] == [None]
    assert facts.expected_records == ()
    assert facts.addresses[0].chain == ()


def test_implicit_mx_without_address_takes_no_mail() -> None:
    """Neither MX nor address records."""
    world = World()
    world.mx()
    world.host("p.test")
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert judgement.of(RFC).reason is Reason.NO_MAIL_HOST
    assert [one.host for one in judgement.of(RFC).hosts] == [P]


@pytest.mark.parametrize("profile", list(Profile))
def test_insecure_domain_that_does_not_exist_takes_no_mail(profile: Profile) -> None:
    """NXDOMAIN is an answer, signed or not."""
    for status in (SEC, INS):
        world = World()
        world.answer("p.test", RRType.MX, outcome=LookupOutcome.NXDOMAIN, status=status)
        assert world.judge().of(profile).verdict is V.NO_MAIL


def hosts_in(verdicts: Sequence[HostJudgement]) -> list[Name]:
    return [one.host for one in verdicts]


def test_same_host_name_is_told_apart_by_preference() -> None:
    """Evidence that lists a host twice is judged twice, not mixed up."""
    seen = base(1).observe()
    twice = (seen.hosts[0], replace(seen.hosts[0], preference=20))
    judgement = judge(replace(seen, hosts=twice), policy=Policy(), now=NOW)
    assert summary(judgement) == ("protected", "protected")
    assert hosts_in(judgement.of(EXO).hosts) == [MX1, MX1]
