"""Everything worth saying about a check that does not decide it: the list of findings.

Order: the domain first, then each host in order of attempt; within one place as a sender would meet
it. Findings about one thing are said once. Where our own fault made the observation worthless, that
is the only finding: a warning about a partner would rest on nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scanner.judge.examination import Examination, Need, mx_is_secure
from scanner.judge.findings_host import host_findings
from scanner.judge.note import note
from scanner.judge.outcomes import DELIVERABLE, lookup_detail, lookup_reason
from scanner.model.observation import (
    DaneApplicability,
    DomainObservation,
    HostObservation,
    Lookup,
    MailRoute,
    MxKind,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import Finding, HostJudgement, ProfileVerdict
from scanner.model.vocabulary import DnssecStatus, DomainVerdict, HostOutcome, Profile, Severity

SIGNATURE_WARNING = timedelta(hours=12)
"""Signatures that end sooner raise a finding. Signers on the fly give about 24 h and renew with
every answer, others renew days ahead; less than 12 h left means that renewal is late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One host with everything known of it: evidence, comparison, and a verdict by profile.

    ``judgements`` is empty where the profiles came to their verdicts without looking at hosts.
    """

    host: HostObservation
    examined: Examination
    judgements: tuple[tuple[Profile, HostJudgement], ...]

    def outcomes(self) -> set[HostOutcome]:
        """Return the outcomes of the host under the profiles."""
        return {judgement.judged.outcome for _, judgement in self.judgements}


def findings_of(
    observation: DomainObservation,
    *,
    hosts: Sequence[HostObservation],
    examined: Sequence[Examination],
    verdicts: Sequence[ProfileVerdict],
    policy: Policy,
    now: datetime,
) -> tuple[Finding, ...]:
    """Return the findings on one observation, without repetitions. Never raises."""
    own = [
        verdict.reason
        for verdict in verdicts
        if verdict.verdict is DomainVerdict.INCONCLUSIVE and verdict.headline is None
    ]
    if own and own[0] is not None and own[0] is not Reason.MX_TOO_MANY:
        return (_own_side(observation, own[0]),)
    seen = [
        Seen(host=host, examined=one, judgements=_judgements_of(host, verdicts))
        for host, one in zip(hosts, examined, strict=True)
    ]
    found: list[Finding] = [*_about_domain(observation, seen, verdicts, now)]
    for one in seen:
        found.extend(_about_aggregation(one, seen, verdicts))
        found.extend(
            host_findings(
                one.host,
                one.examined,
                one.judgements,
                route=observation.route,
                policy=policy,
                now=now,
            )
        )
        found.extend(_expiring(_lookups(one.host), now))
    return tuple(dict.fromkeys(found))


def _judgements_of(
    host: HostObservation, verdicts: Sequence[ProfileVerdict]
) -> tuple[tuple[Profile, HostJudgement], ...]:
    return tuple(
        (verdict.profile, judgement)
        for verdict in verdicts
        for judgement in verdict.hosts
        if judgement.host == host.route.host and judgement.preference == host.preference
    )


def _own_side(observation: DomainObservation, reason: Reason) -> Finding:
    why = observation.incomplete or observation.vantage.detail
    for lookup in (observation.route.mx, *_all_host_lookups(observation)):
        why = why or lookup.own_fault
    return note(reason, observation.domain, why or "")


def _all_host_lookups(observation: DomainObservation) -> Iterator[Lookup]:
    for host in observation.hosts:
        yield from _lookups(host)


def _lookups(host: HostObservation) -> Iterator[Lookup]:
    route = host.route
    for lookup in (route.ipv4, route.ipv6, route.alias):
        if lookup is not None:
            yield lookup
    for candidate in route.candidates:
        yield candidate.lookup


def _about_domain(
    observation: DomainObservation,
    seen: Sequence[Seen],
    verdicts: Sequence[ProfileVerdict],
    now: datetime,
) -> Iterator[Finding]:
    route = observation.route
    yield from _about_mx(route)
    yield from _expiring((route.mx,), now)
    for verdict in verdicts:
        if verdict.other_scope_verdict is not None:
            yield note(
                Reason.SCOPE_DEPENDENT,
                route.domain,
                f"{verdict.verdict} as configured, {verdict.other_scope_verdict} under the other"
                " scenario1_scope",
            )
    if not mx_is_secure(route) and not route.mx.is_error:
        offering = [
            one.host.route.host
            for one in seen
            if one.host.route.applicability is DaneApplicability.TLSA_PRESENT
        ]
        if offering:
            yield note(
                Reason.DANE_OFFERED_DOMAIN_UNSIGNED,
                route.domain,
                f"{_listed(offering)} published TLSA records in a signed zone",
            )


def _about_mx(route: MailRoute) -> Iterator[Finding]:
    domain = route.domain
    if route.kind is MxKind.ERROR or route.mx.is_error:
        yield note(lookup_reason("mx", route.mx), domain, lookup_detail(route.mx))
        return
    if route.kind is MxKind.NXDOMAIN:
        yield note(Reason.DOMAIN_DOES_NOT_EXIST, domain, lookup_detail(route.mx))
    if route.kind is MxKind.NULL:
        yield note(Reason.NULL_MX, domain, "0 .")
        yield note(
            Reason.SENDER_DEPENDENT,
            domain,
            "a null MX: a sender without RFC 7505 may look for a host named by the root",
        )
    if route.kind is MxKind.IMPLICIT:
        yield note(
            Reason.SENDER_DEPENDENT,
            domain,
            "no MX record: mail goes to the domain's own address; an MX record suits every sender",
        )
    for host in route.duplicate_hosts:
        yield note(Reason.MX_DUPLICATE_HOST, domain, f"{host} is listed more than once")
    if route.null_beside_others:
        yield note(Reason.NULL_MX_BESIDE_OTHERS, domain, 'the "." was left out')
    if route.null_with_preference:
        yield note(Reason.NULL_MX_WITH_PREFERENCE, domain, "treated as a null MX")
    if route.hosts_ignored:
        yield note(
            Reason.MX_TOO_MANY,
            domain,
            f"{len(route.exchanges)} hosts looked at, {route.hosts_ignored} left out",
        )


def _about_aggregation(
    one: Seen, seen: Sequence[Seen], verdicts: Sequence[ProfileVerdict]
) -> Iterator[Finding]:
    """Yield what one host means for the domain: failing, not measured, or a way round DANE."""
    host = one.host.route.host
    outcomes = one.outcomes()
    for verdict in verdicts:
        if verdict.verdict is not DomainVerdict.DEGRADED:
            continue
        for profile, judgement in one.judgements:
            failing = judgement.judged.outcome in (HostOutcome.FAILED, HostOutcome.LOOKUP_FAILED)
            if profile is verdict.profile and failing:
                reason = judgement.judged.reason
                yield note(Reason.HOST_FAILING, host, f"{reason} under {profile}")
    if outcomes & {HostOutcome.UNREACHABLE, HostOutcome.INCONCLUSIVE}:
        reasons = {str(judgement.judged.reason) for _, judgement in one.judgements}
        yield note(Reason.HOST_NOT_MEASURED, host, _listed(sorted(reasons)))
    authenticated = [
        other.host.route.host for other in seen if HostOutcome.AUTHENTICATED in other.outcomes()
    ]
    if authenticated and _is_way_round(one):
        yield note(
            Reason.DOWNGRADE_PATH,
            host,
            f"{_listed(authenticated)} would be authenticated; {host} would not",
        )


def _is_way_round(one: Seen) -> bool:
    """Return whether mail could go through this host without DANE, if an attacker wished so."""
    route = one.host.route
    if route.applicability is DaneApplicability.NO_ADDRESS:
        lookups = (route.ipv4, route.ipv6)
        return any(lookup is None or lookup.status is not DnssecStatus.SECURE for lookup in lookups)
    may_deliver = one.outcomes() & (
        DELIVERABLE | {HostOutcome.UNREACHABLE, HostOutcome.INCONCLUSIVE}
    )
    return bool(may_deliver) and one.examined.need is not Need.AUTHENTICATION


def _expiring(lookups: Iterable[Lookup], now: datetime) -> Iterator[Finding]:
    """Yield a warning for each answer whose signatures are about to end (case 114)."""
    for lookup in lookups:
        ends = lookup.signature_expires_at
        if lookup.status is not DnssecStatus.SECURE or ends is None:
            continue
        if now < ends and ends - now <= SIGNATURE_WARNING:
            yield note(
                Reason.SIGNATURE_EXPIRES_SOON,
                lookup.question.name,
                f"{lookup.question}: a signature ends at {ends:%Y-%m-%d %H:%M} UTC",
                severity=Severity.WARNING,
            )


def _listed(items: Sequence[str]) -> str:
    """Return up to three items, and how many more there are."""
    shown = ", ".join(items[:3])
    return shown if len(items) <= 3 else f"{shown} and {len(items) - 3} more"
