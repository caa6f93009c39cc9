"""From the hosts of a domain to its verdict: table 3d of the specification.

The table speaks of hosts that were measured. Two rules extend it to hosts that were not:

- A host that could not be judged (``inconclusive``) leaves the verdict only where every outcome it
  might have had gives the same one. So mail that certainly goes through by way of another host
  keeps ``degraded`` when something else has failed anyway, and the stop of a whole domain by one
  record that is not authentic stays a stop; but ``protected`` is not claimed, nor ``blocked``.
  The same holds for hosts beyond our bound, which were not even looked at.
- A host without an address, said by an unsigned zone, is a way around DANE: whoever forges an
  address for it receives mail. Such a domain is ``partial``, not ``protected`` (case 20).
"""

from collections.abc import Sequence

from scanner.judge.outcomes import DELIVERABLE
from scanner.model.reasons import Reason
from scanner.model.record import record
from scanner.model.verdict import HostJudgement
from scanner.model.vocabulary import DomainVerdict, HostOutcome

NOT_AUTHENTIC = frozenset(
    {
        Reason.ADDRESS_DNSSEC_BOGUS,
        Reason.ADDRESS_DNSSEC_INDETERMINATE,
        Reason.TLSA_DNSSEC_BOGUS,
        Reason.TLSA_DNSSEC_INDETERMINATE,
    }
)
"""Answers that came back and are not authentic: they block. Any other failed lookup defers."""

SCENARIO_1 = NOT_AUTHENTIC | {
    Reason.TLSA_LOOKUP_FAILED,
    Reason.TLSA_LOOKUP_TIMEOUT,
    Reason.TLSA_LOOKUP_REFUSED,
    Reason.TLSA_LOOKUP_MALFORMED,
    Reason.TLSA_ALIAS_LOOP,
}
"""Lookup failures that count as "not authentic" for Exchange Online (S-34, S-70, S-71)."""


@record
class Weighed:
    """A judged host with what the table needs to know beside its outcome.

    ``may_fail``: a measurement could show a failure, because DANE (or the sender's policy) demands
    something there; without any demand a host that answers delivers. ``forgeable_absence``: it has
    no address and that is not proven.
    """

    judgement: HostJudgement
    may_fail: bool = True
    forgeable_absence: bool = False

    @property
    def outcome(self) -> HostOutcome:
        """The outcome of the host."""
        return self.judgement.judged.outcome

    @property
    def reason(self) -> Reason | None:
        """The reason of that outcome."""
        return self.judgement.judged.reason


@record
class Aggregate:
    """The verdict of a domain and what it rests on.

    ``headline`` is the host whose reason and code are shown; ``reason`` replaces the host's own
    where the cause is the domain's.
    """

    verdict: DomainVerdict
    headline: HostJudgement | None = None
    reason: Reason | None = None


def aggregate(
    hosts: Sequence[Weighed],
    *,
    mx_secure: bool,
    domain_scope: bool,
    unseen: bool = False,
    unseen_may_fail: bool = True,
) -> Aggregate:
    """Return the verdict on a domain with these hosts, in order of attempt (table 3d).

    ``mx_secure``: its MX records are authentic. ``domain_scope``: one record that is not authentic
    stops the whole domain, the literal reading of scenario 1; it speaks of a domain that signals
    DNSSEC, so ``mx_secure`` is part of it. ``unseen``: it has more hosts than were looked at, so
    that nothing can be claimed of all hosts, neither failure nor protection; ``unseen_may_fail``:
    something may be demanded of them that they lack.
    """
    inauthentic = [host for host in hosts if _is_inauthentic(host)]
    if domain_scope and mx_secure and inauthentic:
        return _scenario_1(inauthentic)
    deliverable = [host for host in hosts if host.outcome in DELIVERABLE]
    if not deliverable:
        return _nothing_delivers(hosts, domain_scope=domain_scope, unseen=unseen)
    failing = [host for host in hosts if _fails(host)]
    if failing:
        return Aggregate(verdict=DomainVerdict.DEGRADED, headline=failing[0].judgement)
    found = _everything_delivers(hosts, mx_secure=mx_secure)
    if unseen and unseen_may_fail and found.verdict is not DomainVerdict.INCONCLUSIVE:
        return Aggregate(verdict=DomainVerdict.INCONCLUSIVE, reason=Reason.MX_TOO_MANY)
    return found


def _is_inauthentic(host: Weighed) -> bool:
    return host.outcome is HostOutcome.LOOKUP_FAILED and host.reason in SCENARIO_1


def _fails(host: Weighed) -> bool:
    return host.outcome in (HostOutcome.FAILED, HostOutcome.LOOKUP_FAILED)


def _scenario_1(inauthentic: Sequence[Weighed]) -> Aggregate:
    """Return the stop of the whole domain: blocked by an answer, deferred by a missing one."""
    blocking = [host for host in inauthentic if host.reason in NOT_AUTHENTIC]
    if blocking:
        return Aggregate(verdict=DomainVerdict.BLOCKED, headline=blocking[0].judgement)
    return Aggregate(verdict=DomainVerdict.DEFERRED, headline=inauthentic[0].judgement)


def _nothing_delivers(hosts: Sequence[Weighed], *, domain_scope: bool, unseen: bool) -> Aggregate:
    undecided = [host for host in hosts if host.outcome is HostOutcome.INCONCLUSIVE]
    if undecided:
        return Aggregate(verdict=DomainVerdict.INCONCLUSIVE, headline=undecided[0].judgement)
    if unseen:
        return Aggregate(verdict=DomainVerdict.INCONCLUSIVE, reason=Reason.MX_TOO_MANY)
    attempted = [host for host in hosts if host.outcome is not HostOutcome.NO_ADDRESS]
    if not attempted:
        return Aggregate(verdict=DomainVerdict.NO_MAIL, reason=Reason.NO_MAIL_HOST)
    waits = any(_may_recover(host) for host in attempted)
    return Aggregate(
        verdict=DomainVerdict.DEFERRED if waits else DomainVerdict.BLOCKED,
        headline=_shown_last(attempted, domain_scope=domain_scope).judgement,
    )


def _shown_last(attempted: Sequence[Weighed], *, domain_scope: bool) -> Weighed:
    """Return the host whose code a sender shows ("code when hosts differ", below table 3d).

    That of the host tried last (N-20); where DNS stands for the whole domain, that of a failed
    lookup before any other.
    """
    lookups = [host for host in attempted if host.outcome is HostOutcome.LOOKUP_FAILED]
    return lookups[-1] if domain_scope and lookups else attempted[-1]


def _may_recover(host: Weighed) -> bool:
    """Return whether the failure is of the transient class of table 3d: down, SERVFAIL, 454."""
    if host.outcome is HostOutcome.UNREACHABLE:
        return True
    return host.judgement.judged.transient and host.reason not in NOT_AUTHENTIC


def _everything_delivers(hosts: Sequence[Weighed], *, mx_secure: bool) -> Aggregate:
    """Return the verdict when no host fails, as far as the hosts we could not judge allow one.

    Such a host is down or delivers; where something is demanded of it, it may also fail.
    """
    measured = [host for host in hosts if host.outcome is not HostOutcome.INCONCLUSIVE]
    undecided = [host for host in hosts if host.outcome is HostOutcome.INCONCLUSIVE]
    found = _protection(measured, mx_secure=mx_secure)
    if not undecided:
        return found
    settled = not any(host.may_fail for host in undecided) and (
        found.verdict is _protection(hosts, mx_secure=mx_secure).verdict
    )
    if settled:
        return found
    return Aggregate(verdict=DomainVerdict.INCONCLUSIVE, headline=undecided[0].judgement)


def _protection(hosts: Sequence[Weighed], *, mx_secure: bool) -> Aggregate:
    """Return how well mail is protected when every host that answers takes it.

    A host we could not judge counts as one that delivers opportunistically.
    """
    deliverable = [
        host
        for host in hosts
        if host.outcome in DELIVERABLE or host.outcome is HostOutcome.INCONCLUSIVE
    ]
    best = deliverable[0].judgement
    if not mx_secure:
        # Whoever forges the MX records chooses the host: never a secure delivery (§2.2.1).
        return Aggregate(
            verdict=DomainVerdict.OPPORTUNISTIC, headline=best, reason=Reason.DOMAIN_UNSIGNED
        )
    if any(host.outcome is HostOutcome.AUTHENTICATED for host in deliverable):
        weaker = [
            host
            for host in hosts
            if host.forgeable_absence
            or (host in deliverable and host.outcome is not HostOutcome.AUTHENTICATED)
        ]
        if weaker:
            return Aggregate(verdict=DomainVerdict.PARTIAL, headline=weaker[0].judgement)
        return Aggregate(verdict=DomainVerdict.PROTECTED)
    opportunistic = [host for host in deliverable if host.outcome is not HostOutcome.ENCRYPTED]
    if opportunistic:
        return Aggregate(verdict=DomainVerdict.OPPORTUNISTIC, headline=opportunistic[0].judgement)
    return Aggregate(verdict=DomainVerdict.ENCRYPTED, headline=best)
