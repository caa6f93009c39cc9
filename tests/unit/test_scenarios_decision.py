"""Scenarios T01 to T24 of the specification at decision level: what DNS decides.

Each test bears the number of its scenario, starts from the base world and changes what the scenario
says. The base: p.test is signed and has MX hosts mx1 and mx2 with secure addresses, STARTTLS,
TLS 1.3, a valid certificate and a matching TLSA record 3 1 1.
"""

import pytest
from evidence import (
    BOGUS,
    EXO,
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
    assert_verdicts,
    base,
    codes,
    findings,
    leaf,
    mint,
    outcome_of,
    shown,
    summary,
    tlsa,
)

from scanner.model.names import ROOT, Name, tlsa_owner
from scanner.model.observation import CnameRecord, MxRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.vocabulary import (
    DeliveryPhase,
    HostOutcome,
    LookupOutcome,
    ResultType,
    RRType,
    Scenario1Scope,
)

HOST_SCOPE = Policy(scenario1_scope=Scenario1Scope.HOST)
TLSA1 = tlsa_owner(MX1)
TLSA2 = tlsa_owner(MX2)
NO_CODE = (None, None, None)


def test_t01_two_good_hosts_are_protected() -> None:
    """T01: nothing deviates; nothing is found."""
    judgement = base().judge()
    assert_verdicts(judgement, "protected", "protected")
    assert judgement.findings == ()
    assert judgement.of(EXO).reason is None
    assert judgement.of(EXO).phase is DeliveryPhase.DELIVERING


def test_t02_unsigned_domain_is_opportunistic() -> None:
    """T02: no DNSSEC, no TLSA, TLS works."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    world.host("mx1.p.test", "192.0.2.1", status=INS)
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert judgement.of(EXO).reason is Reason.DOMAIN_UNSIGNED
    assert world.asked_for(RRType.TLSA) == []


def test_t03_dane_host_of_unsigned_domain_is_opportunistic() -> None:
    """T03: the MX host offers DANE, the domain is unsigned: a finding, no protection."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert outcome_of(judgement, MX1, RFC) is HostOutcome.OPPORTUNISTIC_TLS
    assert Reason.DANE_OFFERED_DOMAIN_UNSIGNED in codes(judgement)


def test_t03_option_authenticates_the_host_and_never_the_domain() -> None:
    """T03, option on: the host authenticates under rfc7672, the domain stays opportunistic."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    judgement = world.judge(Policy(dane_on_insecure_mx=True))
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert outcome_of(judgement, MX1, RFC) is HostOutcome.AUTHENTICATED
    assert outcome_of(judgement, MX1, EXO) is HostOutcome.OPPORTUNISTIC_TLS
    assert judgement.of(RFC).reason is Reason.DOMAIN_UNSIGNED


def test_t04_unsigned_mx_host_is_not_asked_for_tlsa() -> None:
    """T04: a TLSA question would fail, and is not asked, because the host is unsigned."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", status=INS)
    world.fail(TLSA1, RRType.TLSA, SERVFAIL)
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert judgement.of(RFC).reason is Reason.HOST_UNSIGNED
    assert world.asked_for(RRType.TLSA) == []


@pytest.mark.parametrize("outcome", [LookupOutcome.NODATA, NX])
def test_t05_proven_absence_of_tlsa_is_opportunistic(outcome: LookupOutcome) -> None:
    """T05: NODATA and NXDOMAIN are both a definite "no DANE"."""
    world = base(1)
    world.records("mx1.p.test", outcome=outcome)
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert judgement.of(EXO).reason is Reason.TLSA_ABSENT


def test_t06_tlsa_alias_into_unsigned_zone_is_opportunistic() -> None:
    """T06: the records behind an insecure alias do not count, and are reported."""
    world = base(1)
    record = tlsa(3, 1, 1, WRONG)
    world.records("mx1.p.test", record, status=INS, aliases=[("tlsa.u.test", SEC)])
    judgement = world.judge()
    assert_verdicts(judgement, "opportunistic", "opportunistic")
    assert Reason.TLSA_ALIAS_INSECURE in codes(judgement)


def test_t07_tlsa_alias_to_shared_records_keeps_the_base_domain() -> None:
    """T07: secure alias to a shared 2 0 1; the name compared is that of mx1."""
    world = base(1)
    authority = mint("CA", ca=True)
    server = mint("mx1", authority, dns=["mx1.p.test"])
    record = tlsa(2, 0, 1, authority)
    world.records("mx1.p.test", record, aliases=[("shared.host.test", SEC)])
    world.probe("mx1.p.test", server, authority)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert world.observe().hosts[0].route.tlsa_base == MX1


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(SERVFAIL, Reason.TLSA_LOOKUP_FAILED), (TIMEOUT, Reason.TLSA_LOOKUP_TIMEOUT)],
    ids=["T08-servfail", "T09-timeout"],
)
def test_t08_t09_failed_tlsa_lookup_defers(outcome: LookupOutcome, reason: Reason) -> None:
    """T08 and T09: no answer to the TLSA question; the host must not be used."""
    world = base(1)
    world.fail(TLSA1, RRType.TLSA, outcome)
    judgement = world.judge()
    assert_verdicts(judgement, "deferred", "deferred", "4.7.324")
    assert judgement.of(EXO).reason is reason
    assert judgement.of(EXO).transient
    assert judgement.of(EXO).result_type is ResultType.DNSSEC_INVALID
    assert world.observe().hosts[0].addresses == ()


def test_t10_expired_tlsa_signature_blocks() -> None:
    """T10: bogus is deterministic, scenario 1."""
    world = base(1)
    world.fail(TLSA1, RRType.TLSA, SERVFAIL, BOGUS, ede=7)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.324")
    assert judgement.of(EXO).reason is Reason.TLSA_DNSSEC_BOGUS
    assert not judgement.of(EXO).transient
    assert "EDE 7" in findings(judgement, Reason.TLSA_DNSSEC_BOGUS)[0].message


def test_t11_one_bogus_tlsa_stops_the_domain_at_exchange_online() -> None:
    """T11: another MX is good; the literal scenario 1 blocks, the other scope degrades."""
    world = base()
    world.fail(TLSA1, RRType.TLSA, SERVFAIL, BOGUS)
    judgement = world.judge()
    assert_verdicts(judgement, "degraded", "blocked", "4.7.324")
    assert judgement.of(EXO).other_scope_verdict == "degraded"
    assert Reason.SCOPE_DEPENDENT in codes(judgement)
    per_host = world.judge(HOST_SCOPE)
    assert_verdicts(per_host, "degraded", "degraded")
    assert per_host.of(EXO).other_scope_verdict == "blocked"


def test_t12_missing_denial_proof_blocks() -> None:
    """T12: an absence without NSEC proof is bogus (EDE 12)."""
    world = base(1)
    world.answer(TLSA1, RRType.TLSA, status=BOGUS, ede=12)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.7.324")
    assert "EDE 12" in findings(judgement, Reason.TLSA_DNSSEC_BOGUS)[0].message


@pytest.mark.parametrize("ede", [9, 8], ids=["ds-without-dnskey", "signature-in-future"])
def test_t13_bogus_mx_blocks_with_the_generic_code(ede: int) -> None:
    """T13: shown is 4.4.312, meant is 4.7.324."""
    world = base()
    world.fail("p.test", RRType.MX, SERVFAIL, BOGUS, ede=ede)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.4.312", cause="4.7.324")
    assert judgement.of(RFC).reason is Reason.MX_DNSSEC_BOGUS
    assert judgement.of(EXO).result_type is ResultType.DNSSEC_INVALID
    assert [question.rdtype for question in world.asked] == [RRType.MX]


@pytest.mark.parametrize("outcome", [SERVFAIL, TIMEOUT])
def test_t14_failed_mx_lookup_defers_without_a_cause(outcome: LookupOutcome) -> None:
    """T14: lame servers are no DNSSEC failure; no precise code exists."""
    world = base()
    world.fail("p.test", RRType.MX, outcome)
    judgement = world.judge()
    assert_verdicts(judgement, "deferred", "deferred", "4.4.312", cause=None)
    assert judgement.of(EXO).result_type is None
    assert judgement.of(EXO).transient


def test_t15_one_bogus_address_stops_the_domain_at_exchange_online() -> None:
    """T15: as T11, one stage earlier and with the generic code."""
    world = base()
    world.fail("mx1.p.test", RRType.A, SERVFAIL, BOGUS)
    judgement = world.judge()
    assert_verdicts(judgement, "degraded", "blocked", "4.4.312", cause="4.7.324")
    assert_verdicts(world.judge(HOST_SCOPE), "degraded", "degraded")


def test_t16_one_failed_address_family_is_only_a_finding() -> None:
    """T16: AAAA gets no answer, A is secure: delivery goes on over IPv4."""
    world = base(1)
    world.fail("mx1.p.test", RRType.AAAA, TIMEOUT)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert Reason.ADDRESS_FAMILY_FAILED in codes(judgement)


def test_t17_bogus_address_family_makes_the_host_unusable() -> None:
    """T17: AAAA is bogus, A is secure: the host may not be used at all."""
    world = base(1)
    world.fail("mx1.p.test", RRType.AAAA, SERVFAIL, BOGUS)
    judgement = world.judge()
    assert_verdicts(judgement, "blocked", "blocked", "4.4.312", cause="4.7.324")


def test_t18_missing_domain_takes_no_mail() -> None:
    """T18: permanent at once; each profile has its own code."""
    world = base()
    world.answer("p.test", RRType.MX, outcome=NX)
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert shown(judgement.of(RFC)) == ("5.1.2",) * 3
    assert shown(judgement.of(EXO)) == ("5.4.310",) * 3
    assert judgement.of(EXO).phase is DeliveryPhase.BOUNCING
    assert [question.rdtype for question in world.asked] == [RRType.MX]


def test_t19_implicit_mx_is_protected_under_the_domain_itself() -> None:
    """T19: no MX record; the domain's own address and TLSA record count."""
    world = World()
    server = leaf("p.test")
    world.mx()
    world.host("p.test", "192.0.2.1")
    world.records("p.test", tlsa(3, 1, 1, server))
    world.probe("p.test", server)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert Reason.SENDER_DEPENDENT in codes(judgement)


def test_t20_null_mx_takes_no_mail() -> None:
    """T20: 5.1.10 under both profiles, nothing else is asked."""
    world = World()
    world.answer("p.test", RRType.MX, MxRecord(preference=0, exchange=ROOT))
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert shown(judgement.of(RFC)) == shown(judgement.of(EXO)) == ("5.1.10",) * 3
    assert [question.rdtype for question in world.asked] == [RRType.MX]


def test_t21_mx_without_address_takes_no_mail_and_never_falls_back() -> None:
    """T21: the domain has an address of its own, which is not used."""
    world = base(1)
    world.answer("mx1.p.test", RRType.A, outcome=NX)
    world.answer("mx1.p.test", RRType.AAAA, outcome=NX)
    judgement = world.judge()
    assert summary(judgement) == ("no-mail", "no-mail")
    assert shown(judgement.of(EXO)) == NO_CODE
    assert judgement.of(EXO).reason is Reason.NO_MAIL_HOST
    assert all(question.name != "p.test" for question in world.asked_for(RRType.A))


def test_t22_secure_alias_uses_the_expanded_name() -> None:
    """T22: the TLSA records and the SNI are those of the alias target."""
    world = base(1)
    server = leaf("h.host.test")
    world.host("mx1.p.test", "192.0.2.1", aliases=[("h.host.test", SEC)])
    world.records("h.host.test", tlsa(3, 1, 1, server))
    world.probe("mx1.p.test", server)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert world.observe().hosts[0].route.tlsa_base == "h.host.test"
    assert Reason.MX_ALIAS in codes(judgement)


def test_t23_secure_alias_into_unsigned_zone_uses_the_original_name() -> None:
    """T23: the first alias is secure, what follows is not."""
    world = base(1)
    server = leaf("mx1.p.test")
    world.host("mx1.p.test", "192.0.2.1", status=INS, aliases=[("h.u.test", None)])
    world.answer("mx1.p.test", RRType.CNAME, CnameRecord(target=Name("h.u.test")))
    world.probe("mx1.p.test", server)
    judgement = world.judge()
    assert_verdicts(judgement, "protected", "protected")
    assert world.observe().hosts[0].route.tlsa_base == MX1


def test_t24_original_domain_stays_a_reference_identifier_behind_an_alias() -> None:
    """T24: p.test is an alias of q.test; the certificate names p.test only."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.mx((10, "mx1.p.test"), aliases=[("q.test", SEC)])
    world.records("mx1.p.test", tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("server", authority, dns=["p.test"]), authority)
    assert_verdicts(world.judge(), "protected", "protected")
