"""The verdict on a whole domain, under both profiles: the entry to everything in this package.

``judge`` is a pure function of (observation, policy, now): the same evidence always gives the same
opinion, so stored observations can be judged again under other rules. It never raises, whatever the
evidence holds.

Order of decisions for one profile:

1. Could we see? An observation that was cut short, a resolver that is down or does not validate,
   and any lookup that failed on our side make the whole domain ``inconclusive``. No fault of ours
   ever leads to ``blocked``, ``deferred`` or ``no-mail``.
2. The MX stage (table 3a): no such domain, null MX, a failed lookup. These concern the domain and
   no host is looked at.
3. The hosts, one by one (``scanner.judge.host``), then together (``scanner.judge.aggregate``).

About phases: one check sees one moment. Failing mail is ``deferring``; that the queue life is over
(``bouncing``) is for those who know since when. ``no-mail`` is ``bouncing`` at once, because
senders return such mail without queuing it; its codes are of class 5 for the same reason.
"""

from collections.abc import Sequence
from datetime import datetime

from scanner.judge.aggregate import Aggregate, Weighed, aggregate
from scanner.judge.examination import Examination, Need, examine, mx_is_secure
from scanner.judge.facts import host_facts
from scanner.judge.findings import findings_of
from scanner.judge.host import (
    dane_applies,
    judge_host,
    lookup_own_fault,
    lookups_of,
    vantage_fault,
)
from scanner.judge.outcomes import RFC_CODES, lookup_reason
from scanner.model.observation import (
    DaneApplicability,
    DomainObservation,
    HostObservation,
    MailRoute,
    MxKind,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.registry import QUEUED, final_code, info
from scanner.model.verdict import HostJudgement, Judged, Judgement, ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Fault,
    HostOutcome,
    Profile,
    Scenario1Scope,
)

INTERNAL_ERROR_PREFIX = "internal error"
"""How ``DomainObservation.incomplete`` begins when a bug of ours, no deadline, ended the check."""

DELIVERED = frozenset(
    {
        DomainVerdict.PROTECTED,
        DomainVerdict.PARTIAL,
        DomainVerdict.DEGRADED,
        DomainVerdict.ENCRYPTED,
        DomainVerdict.OPPORTUNISTIC,
    }
)
"""Verdicts with which mail is delivered."""
SERVER_SPEAKS = frozenset({Reason.GREETING_DEFERRED, Reason.GREETING_REJECTED})
"""Reasons whose code, where there is one, is the server's own (C3, C4)."""
EXPIRED = {Profile.EXCHANGE_ONLINE: "5.4.300", Profile.RFC7672: "5.4.7"}
"""Codes of mail that waited in vain: Exchange Online's "message expired" (N-5), and that of RFC
3463 §3.5 for others."""
STOPPED = frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED})
"""Verdicts with which mail waits in the sender's queue."""


def judge(observation: DomainObservation, *, policy: Policy, now: datetime) -> Judgement:
    """Return the whole opinion about one observation, as of ``now`` (timezone-aware).

    One verdict for each profile, the facts of each host, and the findings. Never raises.
    """
    hosts = in_order_of_attempt(observation.hosts)
    examined = tuple(
        examine(host, route=observation.route, policy=policy, now=now) for host in hosts
    )
    verdicts = tuple(
        _judge_profile(observation, hosts, examined, profile=profile, policy=policy, now=now)
        for profile in Profile
    )
    facts = tuple(host_facts(host, one) for host, one in zip(hosts, examined, strict=True))
    return Judgement(
        judged_at=now,
        verdicts=verdicts,
        hosts=facts,
        findings=findings_of(
            observation,
            hosts=hosts,
            examined=examined,
            verdicts=verdicts,
            policy=policy,
            now=now,
        ),
    )


def in_order_of_attempt(hosts: Sequence[HostObservation]) -> tuple[HostObservation, ...]:
    """Return the hosts as a sender tries them: by preference, then by name."""
    return tuple(sorted(hosts, key=lambda host: (host.preference, host.route.host)))


def _judge_profile(
    observation: DomainObservation,
    hosts: Sequence[HostObservation],
    examined: Sequence[Examination],
    *,
    profile: Profile,
    policy: Policy,
    now: datetime,
) -> ProfileVerdict:
    route = observation.route
    judgements = tuple(
        judge_host(
            host,
            route=route,
            profile=profile,
            policy=policy,
            now=now,
            vantage=observation.vantage,
            examination=one,
        )
        for host, one in zip(hosts, examined, strict=True)
    )
    own = _own_fault(observation)
    if own is not None:
        return _inconclusive(profile, own, hosts=judgements)
    by_route = _by_mx_stage(route, profile=profile, policy=policy)
    if by_route is not None:
        return by_route
    dane = dane_applies(route, profile=profile, policy=policy)
    weighed = [
        _weigh(
            host, judgement, may_fail=policy.mandatory or (dane and one.need is not Need.NOTHING)
        )
        for host, one, judgement in zip(hosts, examined, judgements, strict=True)
    ]
    weighed += [Weighed(judgement=missing) for missing in _unobserved(route, judgements)]
    weighed.sort(key=lambda one: (one.judgement.preference, one.judgement.host))
    return _verdict(weighed, route=route, profile=profile, policy=policy, dane=dane)


def _own_fault(observation: DomainObservation) -> Reason | None:
    """Return the fault of ours that makes the observation worthless as a whole, or None."""
    if observation.incomplete is not None:
        bug = observation.incomplete.startswith(INTERNAL_ERROR_PREFIX)
        return Reason.INTERNAL_ERROR if bug else Reason.CHECK_DEADLINE
    fault = vantage_fault(observation.vantage) or lookup_own_fault(observation.route.mx)
    for host in observation.hosts:
        for lookup in lookups_of(host.route):
            fault = fault or lookup_own_fault(lookup)
    return None if fault is None else fault[0]


def _inconclusive(
    profile: Profile,
    reason: Reason | None,
    *,
    hosts: tuple[HostJudgement, ...] = (),
    headline: HostJudgement | None = None,
) -> ProfileVerdict:
    return ProfileVerdict(
        profile=profile,
        verdict=DomainVerdict.INCONCLUSIVE,
        phase=DeliveryPhase.UNKNOWN,
        reason=reason,
        fault=Fault.SCANNER,
        headline=None if headline is None else headline.host,
        hosts=hosts,
    )


def _by_mx_stage(route: MailRoute, *, profile: Profile, policy: Policy) -> ProfileVerdict | None:
    """Return the verdict where the MX stage decides alone (domain rows of table 3a), or None."""
    if route.kind is MxKind.ERROR or route.mx.is_error:
        return _failed_mx(route, profile=profile, policy=policy)
    if route.kind is MxKind.NXDOMAIN:
        return _no_mail(Reason.DOMAIN_DOES_NOT_EXIST, profile=profile, policy=policy)
    if route.kind is MxKind.NULL:
        return _no_mail(Reason.NULL_MX, profile=profile, policy=policy)
    return None


def _failed_mx(route: MailRoute, *, profile: Profile, policy: Policy) -> ProfileVerdict:
    reason = lookup_reason("mx", route.mx)
    not_authentic = reason in (Reason.MX_DNSSEC_BOGUS, Reason.MX_DNSSEC_INDETERMINATE)
    entry = info(reason)
    coded = profile is Profile.EXCHANGE_ONLINE
    code = entry.code(policy.code_set) if coded else None
    return ProfileVerdict(
        profile=profile,
        verdict=DomainVerdict.BLOCKED if not_authentic else DomainVerdict.DEFERRED,
        phase=DeliveryPhase.DEFERRING,
        reason=reason,
        result_type=entry.result_type,
        code=code,
        cause_code=entry.cause_code(policy.code_set) if coded else None,
        final_code=final_code(code),
        fault=entry.fault,
        transient=entry.transient,
    )


def _no_mail(
    reason: Reason,
    *,
    profile: Profile,
    policy: Policy,
    hosts: tuple[HostJudgement, ...] = (),
) -> ProfileVerdict:
    """Return ``no-mail``: mail is returned at once, so every code is of class 5."""
    entry = info(reason)
    exchange = profile is Profile.EXCHANGE_ONLINE
    code = entry.code(policy.code_set) if exchange else RFC_CODES.get(reason)
    return ProfileVerdict(
        profile=profile,
        verdict=DomainVerdict.NO_MAIL,
        phase=DeliveryPhase.BOUNCING,
        reason=reason,
        result_type=entry.result_type,
        code=code,
        cause_code=code,
        final_code=code,
        fault=entry.fault,
        hosts=hosts,
    )


def _weigh(host: HostObservation, judgement: HostJudgement, *, may_fail: bool) -> Weighed:
    absent = host.route.applicability is DaneApplicability.NO_ADDRESS
    denials = (host.route.ipv4, host.route.ipv6)
    proven = all(lookup is not None and lookup.status is DnssecStatus.SECURE for lookup in denials)
    return Weighed(
        judgement=judgement,
        may_fail=may_fail,
        forgeable_absence=absent and not proven,
    )


def _unobserved(route: MailRoute, judgements: Sequence[HostJudgement]) -> tuple[HostJudgement, ...]:
    """Return a judgement "not measured" for each MX host that was not observed at all."""
    seen = {judgement.host for judgement in judgements}
    unknown = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.HOST_NOT_MEASURED)
    return tuple(
        HostJudgement(host=exchange.exchange, preference=exchange.preference, judged=unknown)
        for exchange in route.exchanges
        if exchange.exchange not in seen
    )


def _verdict(
    weighed: Sequence[Weighed], *, route: MailRoute, profile: Profile, policy: Policy, dane: bool
) -> ProfileVerdict:
    """Return the verdict of the hosts together, and what the other scope would say."""
    hosts = tuple(one.judgement for one in weighed)
    exchange = profile is Profile.EXCHANGE_ONLINE
    domain_scope = exchange and policy.scenario1_scope is Scenario1Scope.DOMAIN

    def under(scope: bool) -> Aggregate:
        return aggregate(
            weighed,
            mx_secure=mx_is_secure(route),
            domain_scope=scope,
            unseen=route.hosts_ignored > 0,
            unseen_may_fail=dane or policy.mandatory,
        )

    found = under(domain_scope)
    if found.verdict is DomainVerdict.NO_MAIL:
        return _no_mail(Reason.NO_MAIL_HOST, profile=profile, policy=policy, hosts=hosts)
    other = under(not domain_scope).verdict if exchange else found.verdict
    # What we could not see is no difference between two ways to read the documentation.
    differs = other not in (found.verdict, DomainVerdict.INCONCLUSIVE)
    return _from_aggregate(found, profile=profile, hosts=hosts, other=other if differs else None)


def _final_code(shown: Judged, code: str | None, *, profile: Profile) -> str | None:
    """Return the code of the non-delivery report: the sender's own code in class 5.

    A temporary code of the server is never given in class 5: the server did not say so. What the
    sender reports in the end is that its patience is over.
    """
    if shown.reason in SERVER_SPEAKS and code is not None and code.startswith(f"{QUEUED}."):
        return EXPIRED[profile]
    return final_code(code)


def _from_aggregate(
    found: Aggregate,
    *,
    profile: Profile,
    hosts: tuple[HostJudgement, ...],
    other: DomainVerdict | None,
) -> ProfileVerdict:
    shown = found.headline.judged if found.headline is not None else None
    reason = found.reason or (None if shown is None else shown.reason)
    if found.verdict is DomainVerdict.INCONCLUSIVE:
        return _inconclusive(profile, reason, hosts=hosts, headline=found.headline)
    stopped = found.verdict in STOPPED
    # A code is what a sender shows while mail waits; delivered mail has none.
    code = shown.code if shown is not None and stopped else None
    entry = None if reason is None else info(reason)
    return ProfileVerdict(
        profile=profile,
        verdict=found.verdict,
        phase=DeliveryPhase.DEFERRING if stopped else DeliveryPhase.DELIVERING,
        reason=reason,
        result_type=None if entry is None else entry.result_type,
        code=code,
        cause_code=shown.cause_code if shown is not None and stopped else None,
        final_code=None if shown is None else _final_code(shown, code, profile=profile),
        fault=Fault.NOBODY if entry is None else entry.fault,
        transient=_is_transient(found, shown),
        headline=None if found.headline is None else found.headline.host,
        other_scope_verdict=other,
        hosts=hosts,
    )


def _is_transient(found: Aggregate, shown: Judged | None) -> bool:
    """Return whether the verdict needs a second check before an alarm (table 3e)."""
    return found.verdict is DomainVerdict.DEFERRED or (shown is not None and shown.transient)
