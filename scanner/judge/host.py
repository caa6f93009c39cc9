"""The verdict on one MX host: what a sender of a given profile experiences there.

Three questions, in a sender's own order (tables 3a and 3c of the specification):

1. Could we see at all? Our own faults end here, as ``inconclusive``.
2. What does DNS say: no address, a failed lookup, or how much DANE asks for (``Need``).
3. What did each address answer, measured by that need. The host is as good as its best address
   (C29), because a sender tries them all.

Decisions of our own, where the specification leaves a choice:

- With insecure MX records DANE does not apply to the hosts (RFC 7672 §2.2.1), so their TLSA records
  are ignored, a failed TLSA lookup included. It is contacted like any other, and ``inconclusive``
  where it was not: nothing in DNS stops delivery, but nobody knows whether it answers.
- A banner or EHLO reply of 4yz or 5yz makes the host ``unreachable`` (C3, C4), never "no STARTTLS":
  we may be the ones who are rejected. Where it says that we come too often, it is ``inconclusive``
  (case 86): other senders are not turned away for that.
- An address in a special-purpose range is ``unreachable`` by the domain owner's fault. A sender may
  reach itself or nobody there; mail does not arrive.
- Silence or a refusal in an address family in which nobody greeted us is our own until shown
  otherwise (``egress-unproven``): a firewall of ours may drop or reject port 25.
- An address in a family that our machine has no route for does not hide a failure seen at another
  address of the host: a sender without that family meets exactly this failure. Where nothing but
  silence was seen elsewhere, the host stays ``inconclusive`` (case 27).
- A host with an RSA and an ECDSA certificate is judged by the one an ordinary client is shown; that
  the other one differs is a finding (C30), because only some senders are shown it.
- A failure found within one of our own bounds (records, certificates, signatures, addresses) is
  ``inconclusive``: what lay beyond the bound might have matched.
"""

from collections.abc import Iterator
from datetime import datetime

from scanner.judge.examination import (
    Examination,
    ExaminedProbe,
    Need,
    examine,
    mx_is_secure,
)
from scanner.judge.outcomes import (
    DELIVERABLE,
    OPPORTUNISTIC,
    judged,
    lookup_detail,
    lookup_reason,
)
from scanner.judge.probe import judge_address
from scanner.model.observation import (
    ANSWERS,
    DaneApplicability,
    HostObservation,
    HostRoute,
    Lookup,
    MailRoute,
    Vantage,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import AddressJudgement, HostJudgement, Judged
from scanner.model.vocabulary import DnssecStatus, HostOutcome, Profile

_RANK = (
    HostOutcome.AUTHENTICATED,
    HostOutcome.ENCRYPTED,
    HostOutcome.OPPORTUNISTIC_TLS,
    HostOutcome.OPPORTUNISTIC_CLEAR,
    HostOutcome.INCONCLUSIVE,
    HostOutcome.FAILED,
    HostOutcome.LOOKUP_FAILED,
    HostOutcome.UNREACHABLE,
    HostOutcome.NO_ADDRESS,
)
"""Best for delivery first. An address we could not judge might be better than one that failed."""


def judge_host(
    host: HostObservation,
    *,
    route: MailRoute,
    profile: Profile,
    policy: Policy,
    now: datetime,
    vantage: Vantage,
    examination: Examination | None = None,
) -> HostJudgement:
    """Return what a sender of ``profile`` experiences at ``host`` when it mails ``route.domain``.

    ``examination`` saves the comparison of chains when several profiles are judged. Never raises.
    """
    dane = dane_applies(route, profile=profile, policy=policy)
    decided = _own_fault(host.route, vantage, profile=profile, policy=policy) or _by_dns(
        host.route, dane=dane, profile=profile, policy=policy
    )
    addresses: tuple[AddressJudgement, ...] = ()
    if decided is None:
        examined = examination or examine(host, route=route, policy=policy, now=now)
        need = examined.need if dane else Need.NOTHING
        addresses = tuple(
            _addresses(
                host,
                examined,
                need=need,
                route=route,
                profile=profile,
                policy=policy,
                vantage=vantage,
            )
        )
        decided = _best(host.route, addresses, dane=dane, profile=profile, policy=policy)
    if policy.mandatory:
        decided = _as_mandatory(decided, route, profile=profile, policy=policy)
    return HostJudgement(
        host=host.route.host, preference=host.preference, judged=decided, addresses=addresses
    )


def dane_applies(route: MailRoute, *, profile: Profile, policy: Policy) -> bool:
    """Return whether TLSA records of the MX hosts count for this domain (RFC 7672 §2.2.1).

    They do when the MX records are secure. With insecure ones RFC 7672 allows a sender to use them
    nevertheless; Exchange Online does not.
    """
    return mx_is_secure(route) or (profile is Profile.RFC7672 and policy.dane_on_insecure_mx)


def _own_fault(
    route: HostRoute, vantage: Vantage, *, profile: Profile, policy: Policy
) -> Judged | None:
    """Return ``inconclusive`` when what DNS told us cannot be trusted, by our own fault."""
    fault = vantage_fault(vantage) or next(
        (found for lookup in lookups_of(route) if (found := lookup_own_fault(lookup))), None
    )
    if fault is None:
        return None
    reason, detail = fault
    return judged(HostOutcome.INCONCLUSIVE, reason, profile=profile, policy=policy, detail=detail)


def vantage_fault(vantage: Vantage) -> tuple[Reason, str | None] | None:
    """Return the reason why no lookup may be believed at this time, or None."""
    if vantage.resolver_up is False:
        return Reason.RESOLVER_DOWN, vantage.detail
    if vantage.resolver_validating is False:
        return Reason.RESOLVER_NOT_VALIDATING, vantage.detail
    return None


def lookup_own_fault(lookup: Lookup) -> tuple[Reason, str | None] | None:
    """Return the reason why ``lookup`` says nothing about the partner, or None.

    An answer without any status came from a resolver that is known not to validate.
    """
    if lookup.own_fault is not None:
        return Reason.OWN_LOOKUP_FAILED, f"{lookup.question}: {lookup.own_fault}"
    if lookup.status is None and lookup.outcome in ANSWERS:
        return Reason.RESOLVER_NOT_VALIDATING, f"{lookup.question}: answer without a status"
    return None


def lookups_of(route: HostRoute) -> Iterator[Lookup]:
    """Yield every lookup made for a host, in the order of the questions."""
    for lookup in (route.ipv4, route.ipv6, route.alias):
        if lookup is not None:
            yield lookup
    for candidate in route.candidates:
        yield candidate.lookup
    if route.failed_lookup is not None:
        yield route.failed_lookup


def _by_dns(route: HostRoute, *, dane: bool, profile: Profile, policy: Policy) -> Judged | None:
    """Return the outcome that DNS alone decides (host rows of table 3a), or None to go on."""
    stage_reason = _dns_reason(route, dane=dane)
    if stage_reason is None:
        return None
    reason, failed = stage_reason
    if reason in (Reason.HOST_NO_ADDRESS, Reason.MX_TARGET_UNUSABLE):
        detail = str(route.target_problem) if route.target_problem is not None else None
        return judged(HostOutcome.NO_ADDRESS, reason, profile=profile, policy=policy, detail=detail)
    detail = None if failed is None else lookup_detail(failed)
    return judged(HostOutcome.LOOKUP_FAILED, reason, profile=profile, policy=policy, detail=detail)


def _dns_reason(route: HostRoute, *, dane: bool) -> tuple[Reason, Lookup | None] | None:
    uncertain = next(
        (
            lookup
            for lookup in (route.ipv4, route.ipv6)
            if lookup is not None
            and lookup.status in (DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE)
        ),
        None,
    )
    match route.applicability:
        case DaneApplicability.UNUSABLE_TARGET:
            return Reason.MX_TARGET_UNUSABLE, None
        case DaneApplicability.ADDRESS_ERROR:
            failed = route.failed_lookup or uncertain
            reason = (
                Reason.ADDRESS_LOOKUP_FAILED if failed is None else lookup_reason("address", failed)
            )
            return reason, failed
        # One bogus address family makes the whole host unusable, even if the other one is fine
        # (RFC 7672 §2.1.1, scenario T17).
        case _ if uncertain is not None:
            return lookup_reason("address", uncertain), uncertain
        case DaneApplicability.NO_ADDRESS:
            return Reason.HOST_NO_ADDRESS, None
        case DaneApplicability.TLSA_ERROR if dane:
            failed = route.failed_lookup
            reason = Reason.TLSA_LOOKUP_FAILED if failed is None else lookup_reason("tlsa", failed)
            return reason, failed
        case _:
            return None


def unprotected_reason(host: HostRoute, route: MailRoute, *, dane: bool) -> Reason:
    """Return why DANE does not apply to a host whose need is nothing."""
    if not dane:
        return Reason.DOMAIN_UNSIGNED
    if host.applicability is DaneApplicability.NOT_APPLICABLE:
        return Reason.HOST_UNSIGNED if mx_is_secure(route) else Reason.DOMAIN_UNSIGNED
    return Reason.TLSA_ABSENT


def _addresses(
    host: HostObservation,
    examined: Examination,
    *,
    need: Need,
    route: MailRoute,
    profile: Profile,
    policy: Policy,
    vantage: Vantage,
) -> Iterator[AddressJudgement]:
    """Judge every address of the host, those without a probe included."""
    dane = dane_applies(route, profile=profile, policy=policy)
    unprotected = unprotected_reason(host.route, route, dane=dane)

    def judged_at(probe: ExaminedProbe) -> Judged:
        return judge_address(
            probe,
            need=need,
            unprotected=unprotected,
            tlsa=examined.tlsa,
            profile=profile,
            policy=policy,
            vantage=vantage,
        )

    for probe in examined.probes:
        # The other certificate matters to those who must authenticate the host (C30).
        other = probe.other if need is Need.AUTHENTICATION else None
        yield AddressJudgement(
            address=probe.probe.address,
            judged=judged_at(probe),
            other=None if other is None else judged_at(other),
        )
    probed = {probe.probe.address for probe in examined.probes}
    for address in host.route.addresses:
        if address.address not in probed:
            yield AddressJudgement(
                address=address.address,
                judged=_not_measured(profile=profile, policy=policy),
            )


def _not_measured(*, profile: Profile, policy: Policy) -> Judged:
    """Return the judgement of what should have been probed and was not: nothing is claimed."""
    return judged(
        HostOutcome.INCONCLUSIVE, Reason.HOST_NOT_MEASURED, profile=profile, policy=policy
    )


def _best(
    route: HostRoute,
    addresses: tuple[AddressJudgement, ...],
    *,
    dane: bool,
    profile: Profile,
    policy: Policy,
) -> Judged:
    """Return the judgement of the address that is best for delivery (C29).

    Among failures a transient one counts as better: the next attempt may pass.
    """
    if not addresses:
        return _not_measured(profile=profile, policy=policy)
    best = min(
        _comparable([address.judged for address in addresses]),
        key=lambda found: (_RANK.index(found.outcome), not found.transient),
    )
    if best.outcome not in DELIVERABLE and route.addresses_ignored:
        return judged(
            HostOutcome.INCONCLUSIVE, Reason.ADDRESSES_TOO_MANY, profile=profile, policy=policy
        )
    return best


def _comparable(found: list[Judged]) -> list[Judged]:
    """Return the judgements that decide: without a family we lack, where another one fails."""
    if not any(one.outcome is HostOutcome.FAILED for one in found):
        return found
    return [one for one in found if one.reason is not Reason.NO_ROUTE]


def _as_mandatory(found: Judged, route: MailRoute, *, profile: Profile, policy: Policy) -> Judged:
    """Return the outcome for a sender that demands DANE (RFC 7672 §6, connector mode Mandatory).

    Delivery without authentication becomes a failure, and so does delivery on the word of insecure
    MX records.
    """
    unauthenticated = found.outcome in OPPORTUNISTIC or found.outcome is HostOutcome.ENCRYPTED
    unsigned = found.outcome is HostOutcome.AUTHENTICATED and not mx_is_secure(route)
    if not unauthenticated and not unsigned:
        return found
    detail = f"without the demand: {found.outcome}"
    return judged(
        HostOutcome.FAILED, Reason.DANE_REQUIRED, profile=profile, policy=policy, detail=detail
    )
