"""One MX host: what a sender of each profile experiences there (tables 3a and 3c)."""

from dataclasses import replace

import pytest
from evidence import (
    BOGUS,
    EXO,
    INS,
    MX1,
    NOW,
    RFC,
    SEC,
    SEEING,
    SERVFAIL,
    TIMEOUT,
    WRONG,
    World,
    base,
    host_of,
    leaf,
    mint,
    outcome_of,
    tlsa,
)

from scanner.judge.host import judge_host
from scanner.judge.outcomes import lookup_detail, lookup_reason, probe_detail, reply_code_of
from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import (
    DaneApplicability,
    HostObservation,
    Lookup,
    ProbeError,
    ProbeStage,
    Question,
    Vantage,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import HostJudgement
from scanner.model.vocabulary import (
    DnssecStatus,
    HostOutcome,
    LookupOutcome,
    Profile,
    ResultType,
    RRType,
)

TLSA1 = tlsa_owner(MX1)


def judge_only(
    world: World,
    host: HostObservation | None = None,
    *,
    profile: Profile = EXO,
    policy: Policy | None = None,
    vantage: Vantage = SEEING,
) -> HostJudgement:
    """Judge the first host of a world alone, or ``host`` in its place."""
    seen = world.observe()
    return judge_host(
        host or seen.hosts[0],
        route=seen.route,
        profile=profile,
        policy=policy or Policy(),
        now=NOW,
        vantage=vantage,
    )


@pytest.mark.parametrize("profile", list(Profile))
def test_host_is_judged_without_a_prepared_examination(profile: Profile) -> None:
    """The comparison is made on the spot when nobody made it before."""
    judgement = judge_only(base(1), profile=profile)
    assert judgement.host == MX1
    assert judgement.preference == 10
    assert judgement.judged.outcome is HostOutcome.AUTHENTICATED
    assert judgement.judged.reason is None


@pytest.mark.parametrize(
    ("stage", "error", "reason", "code"),
    [
        (ProbeStage.CONNECT, ProbeError.REFUSED, Reason.CONNECTION_REFUSED, "4.4.316"),
        (ProbeStage.CONNECT, ProbeError.TIMEOUT, Reason.CONNECTION_TIMEOUT, None),
        (ProbeStage.CONNECT, ProbeError.UNREACHABLE, Reason.CONNECTION_UNREACHABLE, None),
        (ProbeStage.GREETING, ProbeError.CLOSED, Reason.CONNECTION_CLOSED, None),
        (ProbeStage.GREETING, ProbeError.RESET, Reason.CONNECTION_CLOSED, None),
        (ProbeStage.GREETING, ProbeError.TIMEOUT, Reason.SMTP_TIMEOUT, None),
        (ProbeStage.GREETING, ProbeError.TOO_LARGE, Reason.SMTP_PROTOCOL_ERROR, None),
        (ProbeStage.EHLO, ProbeError.PROTOCOL, Reason.SMTP_PROTOCOL_ERROR, None),
        (ProbeStage.EHLO, ProbeError.REPLY_UNEXPECTED, Reason.SMTP_PROTOCOL_ERROR, None),
    ],
)
@pytest.mark.parametrize("demanded", [True, False])
def test_host_that_never_reaches_starttls_is_unreachable(
    stage: ProbeStage, error: ProbeError, reason: Reason, code: str | None, demanded: bool
) -> None:
    """C1 to C4: whatever DANE demands, nothing is known of its TLS."""
    world = base(1)
    if not demanded:
        world.records("mx1.p.test")
    world.probe("mx1.p.test", stage=stage, error=error)
    judged = judge_only(world).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.UNREACHABLE, reason)
    assert judged.code == code
    assert judged.result_type is None
    assert judged.transient


@pytest.mark.parametrize(
    "error",
    [
        ProbeError.TIMEOUT,
        ProbeError.CLOSED,
        ProbeError.RESET,
        ProbeError.PROTOCOL,
        ProbeError.REPLY_UNEXPECTED,
        ProbeError.TOO_LARGE,
    ],
)
def test_starttls_without_a_proper_answer_fails(error: ProbeError) -> None:
    """C10: silence, drop and garbage are alike."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.STARTTLS, error=error)
    judged = judge_only(world).judged
    assert judged.outcome is HostOutcome.FAILED
    assert judged.reason is Reason.STARTTLS_NO_ANSWER
    assert judged.code == "4.7.321"
    assert not judged.transient


@pytest.mark.parametrize("error", [ProbeError.OWN_RESOURCES, ProbeError.INTERNAL])
@pytest.mark.parametrize("stage", list(ProbeStage))
def test_own_faults_of_a_probe_are_inconclusive_at_every_stage(
    error: ProbeError, stage: ProbeStage
) -> None:
    """Nothing of ours becomes a failure of the partner."""
    world = base(1)
    world.probe("mx1.p.test", stage=stage, error=error)
    judged = judge_only(world).judged
    assert judged.outcome is HostOutcome.INCONCLUSIVE
    assert judged.code is None
    assert not judged.transient


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1.1"])
def test_old_tls_fails_at_exchange_online_only(version: str) -> None:
    """C13: and where TLS is not demanded, Exchange Online falls back to clear text."""
    world = base(1)
    world.probe("mx1.p.test", leaf(), tls_version=version)
    judged = judge_only(world).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.FAILED, Reason.TLS_VERSION_TOO_OLD)
    assert judged.code == "4.7.321"
    assert judged.result_type is ResultType.VALIDATION_FAILURE
    assert judge_only(world, profile=RFC).judged.outcome is HostOutcome.AUTHENTICATED
    world.records("mx1.p.test")
    assert judge_only(world).judged.outcome is HostOutcome.OPPORTUNISTIC_CLEAR
    assert judge_only(world, profile=RFC).judged.outcome is HostOutcome.OPPORTUNISTIC_TLS


@pytest.mark.parametrize(
    ("days", "reason", "code"),
    [
        ((-90, -1), Reason.CERTIFICATE_EXPIRED, "4.7.322"),
        ((1, 90), Reason.CERTIFICATE_NOT_YET_VALID, "4.7.323"),
    ],
)
def test_dates_under_usage_2_fail_for_everyone(
    days: tuple[float, float], reason: Reason, code: str
) -> None:
    """C22 and C23."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.records("mx1.p.test", tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("s", authority, dns=["mx1.p.test"], days=days), authority)
    judged = judge_only(world).judged
    assert (judged.outcome, judged.reason, judged.code) == (HostOutcome.FAILED, reason, code)
    assert judge_only(world, profile=RFC).judged.reason is reason
    assert judge_only(world, profile=RFC).judged.code is None


def test_usage_2_naming_the_leaf_fails() -> None:
    """C27: such a record matches issuers only."""
    world = base(1)
    authority = mint("CA", ca=True)
    server = mint("s", authority, dns=["mx1.p.test"])
    world.records("mx1.p.test", tlsa(2, 0, 1, server))
    world.probe("mx1.p.test", server, authority)
    judged = judge_only(world).judged
    assert judged.reason is Reason.TRUST_ANCHOR_IS_LEAF
    assert (judged.result_type, judged.code) == (ResultType.TLSA_INVALID, "4.7.323")


def test_certificate_does_not_matter_where_nothing_demands_it() -> None:
    """C32: expired, other name, and no TLSA record."""
    world = base(1)
    world.records("mx1.p.test")
    world.probe("mx1.p.test", leaf("other.test", days=(-90, -1)))
    judged = judge_only(world).judged
    assert judged.outcome is HostOutcome.OPPORTUNISTIC_TLS
    assert judged.reason is Reason.TLSA_ABSENT
    assert judged.result_type is None


# --- several addresses ---------------------------------------------------------------------------


def two_addresses(world: World) -> World:
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    return world


def test_undecided_address_may_be_better_than_a_failing_one() -> None:
    """C29: no failure of the host is claimed while one address was not measured."""
    world = two_addresses(base(1))
    world.probe("mx1.p.test", leaf("wrong.test"), at="192.0.2.1")
    world.probe(
        "mx1.p.test", at="192.0.2.11", stage=ProbeStage.CONNECT, error=ProbeError.OWN_RESOURCES
    )
    judgement = judge_only(world)
    assert judgement.judged.outcome is HostOutcome.INCONCLUSIVE
    assert judgement.addresses[0].judged.outcome is HostOutcome.FAILED


@pytest.mark.parametrize(
    ("ipv4", "outcome"),
    [
        ({"stage": ProbeStage.EHLO, "error": ProbeError.STARTTLS_NOT_OFFERED}, HostOutcome.FAILED),
        ({"stage": ProbeStage.CONNECT, "error": ProbeError.REFUSED}, HostOutcome.INCONCLUSIVE),
    ],
    ids=["failed", "refused"],
)
def test_family_we_have_no_route_for_hides_no_failure_of_the_other(
    ipv4: dict[str, object], outcome: HostOutcome
) -> None:
    """A scanner with IPv4 alone sees what a sender with IPv4 alone meets; silence is no failure."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "2001:db8::1")
    world.probe("mx1.p.test", at="192.0.2.1", **ipv4)
    world.probe("mx1.p.test", at="2001:db8::1", stage=ProbeStage.CONNECT, error=ProbeError.NO_ROUTE)
    assert judge_only(world).judged.outcome is outcome


def test_failing_address_decides_over_one_that_is_down() -> None:
    """C29: a sender comes through to the failing one."""
    world = two_addresses(base(1))
    world.probe("mx1.p.test", leaf("wrong.test"), at="192.0.2.1")
    world.probe("mx1.p.test", at="192.0.2.11", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    assert judge_only(world).judged.reason is Reason.TLSA_MISMATCH


def test_transient_failure_is_better_than_a_lasting_one() -> None:
    """C29: the next attempt at that address may pass."""
    world = two_addresses(base(1))
    world.probe("mx1.p.test", leaf("wrong.test"), at="192.0.2.1")
    world.probe(
        "mx1.p.test", at="192.0.2.11", stage=ProbeStage.STARTTLS, error=ProbeError.REPLY_TRANSIENT
    )
    judged = judge_only(world).judged
    assert judged.reason is Reason.STARTTLS_DEFERRED
    assert judged.transient


def test_addresses_are_listed_in_order_of_the_dns_answers() -> None:
    """Whichever probe finished first."""
    world = two_addresses(base(1))
    world.probe("mx1.p.test", leaf())
    host = world.observe().hosts[0]
    judgement = judge_only(world, replace(host, addresses=host.addresses[::-1]))
    assert [one.address for one in judgement.addresses] == ["192.0.2.1", "192.0.2.11"]


def test_address_without_a_probe_is_undecided() -> None:
    """A probe is missing: the address is listed, and no failure is claimed."""
    world = two_addresses(base(1))
    world.probe("mx1.p.test", leaf("wrong.test"))
    host = world.observe().hosts[0]
    judgement = judge_only(world, replace(host, addresses=host.addresses[:1]))
    assert judgement.addresses[1].judged.reason is Reason.HOST_NOT_MEASURED
    assert judgement.judged.outcome is HostOutcome.INCONCLUSIVE


def test_host_without_any_probe_is_undecided() -> None:
    """Only DNS was looked at."""
    world = base(1)
    host = replace(world.observe().hosts[0], addresses=())
    judged = judge_only(world, host).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, Reason.HOST_NOT_MEASURED)


# --- DNS -----------------------------------------------------------------------------------------


def test_failed_tlsa_lookup_does_not_count_below_insecure_mx_records() -> None:
    """RFC 7672 §2.2.1: no DANE; the host is judged by what it answers."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    world.fail(TLSA1, RRType.TLSA, SERVFAIL)
    assert judge_only(world).judged.outcome is HostOutcome.OPPORTUNISTIC_TLS
    assert judge_only(world).judged.reason is Reason.DOMAIN_UNSIGNED
    strict = judge_only(world, profile=RFC, policy=Policy(dane_on_insecure_mx=True)).judged
    assert strict.outcome is HostOutcome.LOOKUP_FAILED


def test_failed_tlsa_lookup_below_insecure_mx_records_without_contact() -> None:
    """Nothing in DNS stops delivery, but nobody knows whether the host answers."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    world.fail(TLSA1, RRType.TLSA, SERVFAIL)
    host = replace(world.observe().hosts[0], addresses=())
    judged = judge_only(world, host).judged
    assert judged.outcome is HostOutcome.INCONCLUSIVE
    assert judged.reason is Reason.HOST_NOT_MEASURED


@pytest.mark.parametrize(
    ("applicability", "reason"),
    [
        (DaneApplicability.TLSA_ERROR, Reason.TLSA_LOOKUP_FAILED),
        (DaneApplicability.ADDRESS_ERROR, Reason.ADDRESS_LOOKUP_FAILED),
    ],
)
def test_lookup_error_without_its_lookup_is_still_an_error(
    applicability: DaneApplicability, reason: Reason
) -> None:
    """Evidence that lost its detail does not become an absence of DANE."""
    world = base(1)
    host = world.observe().hosts[0]
    route = replace(host.route, applicability=applicability, failed_lookup=None)
    judged = judge_only(world, replace(host, route=route)).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.LOOKUP_FAILED, reason)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_bogus_address_family_counts_whatever_the_route_says(family: str) -> None:
    """RFC 7672 §2.1.1: a second guard against calling a bogus host fine."""
    world = base(1)
    host = world.observe().hosts[0]
    bogus = replace(getattr(host.route, family), status=BOGUS)
    judged = judge_only(world, replace(host, route=replace(host.route, **{family: bogus}))).judged
    assert judged.outcome is HostOutcome.LOOKUP_FAILED
    assert judged.reason is Reason.ADDRESS_DNSSEC_BOGUS
    assert (judged.code, judged.cause_code) == ("4.4.312", "4.7.324")


@pytest.mark.parametrize(
    ("vantage", "reason"),
    [
        (Vantage(resolver_up=False), Reason.RESOLVER_DOWN),
        (Vantage(resolver_up=True, resolver_validating=False), Reason.RESOLVER_NOT_VALIDATING),
    ],
)
def test_blind_scanner_judges_no_host(vantage: Vantage, reason: Reason) -> None:
    """Also where every lookup looks fine."""
    judged = judge_only(base(1), vantage=vantage).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, reason)


def test_untested_resolver_is_believed() -> None:
    """None means not tested, not broken."""
    vantage = Vantage(egress_ipv4=True)
    assert judge_only(base(1), vantage=vantage).judged.outcome is HostOutcome.AUTHENTICATED


def test_lookup_that_failed_on_our_side_is_inconclusive() -> None:
    """Whatever its outcome says."""
    world = base(1)
    world.fail("mx1.p.test", RRType.AAAA, TIMEOUT, own_fault="out of sockets")
    judged = judge_only(world).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, Reason.OWN_LOOKUP_FAILED)
    assert "out of sockets" in (judged.detail or "")


def test_answer_without_a_status_proves_nothing() -> None:
    """It came from a resolver that does not validate."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", status=None)
    judged = judge_only(world).judged
    assert judged.outcome is HostOutcome.INCONCLUSIVE
    assert judged.reason is Reason.RESOLVER_NOT_VALIDATING


# --- our own bounds ------------------------------------------------------------------------------


def anchored() -> World:
    world = base(1)
    root = mint("root", ca=True)
    middle = mint("middle", root, ca=True)
    world.records("mx1.p.test", tlsa(2, 0, 1, root))
    world.probe("mx1.p.test", mint("s", middle, dns=["mx1.p.test"]), middle, root)
    return world


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(signature_budget=1), Reason.CHAIN_WORK_LIMIT),
        (Policy(max_chain_certificates=2), Reason.CHAIN_TOO_LONG),
    ],
)
def test_failure_within_a_bound_of_ours_is_inconclusive(policy: Policy, reason: Reason) -> None:
    """What lay beyond the bound might have matched, and in fact does."""
    world = anchored()
    judged = judge_only(world, policy=policy).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, reason)
    assert judge_only(world).judged.outcome is HostOutcome.AUTHENTICATED


def test_cut_chain_is_a_failure_where_only_the_leaf_counts() -> None:
    """The bound on the chain hides nothing from a record of usage 3."""
    world = anchored()
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    judged = judge_only(world, policy=Policy(max_chain_certificates=2)).judged
    assert judged.reason is Reason.TLSA_MISMATCH


def test_mismatch_among_too_many_records_is_inconclusive() -> None:
    """The record that matches is not among those compared."""
    world = base(1)
    wrong = [tlsa(3, 0, 1, bytes([number]) * 32) for number in range(3)]
    world.records("mx1.p.test", *wrong, tlsa(3, 1, 1, leaf()))
    judged = judge_only(world, policy=Policy(max_tlsa_records=3)).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, Reason.TLSA_TOO_MANY)
    assert judge_only(world).judged.outcome is HostOutcome.AUTHENTICATED


def test_host_with_more_addresses_than_looked_at_does_not_fail() -> None:
    """One of the others may work."""
    world = base(1)
    world.probe("mx1.p.test", leaf("wrong.test"))
    host = world.observe().hosts[0]
    judged = judge_only(world, replace(host, route=replace(host.route, addresses_ignored=1))).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.INCONCLUSIVE, Reason.ADDRESSES_TOO_MANY)


# --- mandatory DANE ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("records", [(), (tlsa(1, 1, 1, WRONG),)], ids=["none", "unusable"])
def test_mandatory_dane_fails_without_usable_records(
    profile: Profile, records: tuple[object, ...]
) -> None:
    """RFC 7672 §6, connector mode Mandatory; no code is documented."""
    world = base(1)
    world.records("mx1.p.test", *records)  # type: ignore[arg-type]
    judged = judge_only(world, profile=profile, policy=Policy(mandatory=True)).judged
    assert (judged.outcome, judged.reason) == (HostOutcome.FAILED, Reason.DANE_REQUIRED)
    assert judged.result_type is ResultType.DANE_REQUIRED
    assert judged.code is None


def test_mandatory_dane_is_not_met_below_insecure_mx_records() -> None:
    """Not even where the host authenticates under the option."""
    world = base(1)
    world.mx((10, "mx1.p.test"), status=INS)
    policy = Policy(mandatory=True, dane_on_insecure_mx=True)
    assert judge_only(world, profile=RFC, policy=policy).judged.reason is Reason.DANE_REQUIRED


def test_mandatory_dane_changes_nothing_where_dane_works_or_fails() -> None:
    """Authenticated stays so; a failure keeps its own reason."""
    policy = Policy(mandatory=True)
    world = base(1)
    assert judge_only(world, policy=policy).judged.outcome is HostOutcome.AUTHENTICATED
    world.probe("mx1.p.test", leaf("wrong.test"))
    assert judge_only(world, policy=policy).judged.reason is Reason.TLSA_MISMATCH


# --- building blocks -----------------------------------------------------------------------------


def lookup(outcome: LookupOutcome, status: DnssecStatus | None, **more: object) -> Lookup:
    question = Question(Name("p.test"), RRType.MX)
    return Lookup(question=question, outcome=outcome, status=status, **more)  # type: ignore[arg-type]


def test_lookup_reason_falls_back_to_failed() -> None:
    """An answer that is no error at all, asked for its reason, is the plainest failure."""
    assert lookup_reason("mx", lookup(LookupOutcome.DATA, SEC)) is Reason.MX_LOOKUP_FAILED


def test_lookup_detail_names_question_outcome_and_detail() -> None:
    """One line for people."""
    text = lookup_detail(lookup(SERVFAIL, None, detail="both servers lame"))
    assert text == "p.test MX: servfail; both servers lame"


def test_probe_detail_names_address_step_and_reply() -> None:
    """One line for people; none for a probe that went through."""
    world = base(1)
    assert probe_detail(world.probes["192.0.2.1"]) is None
    world.probe(
        "mx1.p.test",
        stage=ProbeStage.STARTTLS,
        error=ProbeError.REPLY_TRANSIENT,
        reply_code=454,
        reply_text="TLS not available",
        detail="second try",
    )
    found = probe_detail(world.probes["192.0.2.1"])
    assert found == "192.0.2.1: reply-transient at starttls; 454 TLS not available; second try"


@pytest.mark.parametrize(
    ("error", "number", "text", "code"),
    [
        (ProbeError.REPLY_PERMANENT, 554, "5.7.1 no", "5.7.1"),
        (ProbeError.REPLY_PERMANENT, 554, " 5.7.1", "5.7.1"),
        (ProbeError.REPLY_PERMANENT, 554, "5.7.1234 no", None),
        (ProbeError.REPLY_PERMANENT, None, "5.7.1 no", None),
        (ProbeError.REPLY_PERMANENT, 554, None, None),
        (ProbeError.CLOSED, 554, "5.7.1 no", None),
    ],
)
def test_enhanced_code_of_a_reply_is_read_only_from_a_rejection(
    error: ProbeError, number: int | None, text: str | None, code: str | None
) -> None:
    """RFC 2034 §4: at the beginning of the text, of the class of the reply."""
    world = base(1)
    world.probe(
        "mx1.p.test", stage=ProbeStage.GREETING, error=error, reply_code=number, reply_text=text
    )
    assert reply_code_of(world.probes["192.0.2.1"]) == code


def test_exchange_online_takes_any_usable_record_even_where_agility_is_off_for_both() -> None:
    """``digest_agility`` is a choice of rfc7672; nothing changes for exchange-online."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), tlsa(3, 1, 2, WRONG * 2))
    for agile in (True, False):
        judgement = world.judge(Policy(digest_agility=agile))
        assert outcome_of(judgement, MX1, EXO) is HostOutcome.AUTHENTICATED
        expected = HostOutcome.FAILED if agile else HostOutcome.AUTHENTICATED
        assert host_of(judgement, MX1, RFC).judged.outcome is expected
