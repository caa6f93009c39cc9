"""From a check to the samples of one domain, one MX host or one zone: the numbers, not their text.

Both the textfile of a pass (``exporters.prometheus``) and the page of the service
(``exporters.exposition``) are made of these. What was not measured has no value.

What people alert on (``domain_up``, ``domain_blocked``, ``domain_phase``, ``domain_cause``,
``mx_up``, ``zone_secure``, ``zone_bogus``) is "as last known". A pass believes each check, and the
state only answers where the check could not. The service confirms changes for the worse by a
second look (``confirmed``): there the states alone decide, so that one bad look, a blind hour or
our own fault raises no alarm. Everything else shows the last check as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scanner.model.hostview import HostView
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.observation import DaneApplicability, HostRoute, MxKind
from scanner.model.transition import State
from scanner.model.verdict import Check, HostFacts, ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
)
from scanner.model.zones import ZoneObservation

Pairs = tuple[tuple[str, str], ...]
Labelled = tuple[tuple[Pairs, float], ...]
Value = float | Labelled | None
"""One family of one entity: a number, or one for each set of further labels; None is absent."""
DEFAULT_QUEUE_LIFE = timedelta(hours=24)

_NOT_DELIVERED = frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED, DomainVerdict.NO_MAIL})
_WAITING = frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED})
_DELIVERING = frozenset(
    {
        HostOutcome.AUTHENTICATED,
        HostOutcome.ENCRYPTED,
        HostOutcome.OPPORTUNISTIC_TLS,
        HostOutcome.OPPORTUNISTIC_CLEAR,
    }
)
_BLOCKING = frozenset({HostOutcome.FAILED, HostOutcome.LOOKUP_FAILED})
_FAILING = _BLOCKING | {HostOutcome.UNREACHABLE, HostOutcome.NO_ADDRESS}
_NO_ADDRESSES_KNOWN = frozenset(
    {DaneApplicability.ADDRESS_ERROR, DaneApplicability.UNUSABLE_TARGET}
)
_NO_DANE = frozenset({DaneApplicability.TLSA_ABSENT, DaneApplicability.NOT_APPLICABLE})
_DANE_TA = 2
NO_CAUSE: Pairs = (("mx", ""), ("dns_zone", ""))


Leads = tuple[tuple[Name, ...], tuple[Name, ...], tuple[Pairs, ...]]
"""What a domain leads to: its MX hosts, the zones it lies in, and why it fails if it does."""
NO_LEADS: Leads = ((), (), ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The values of one entity by family, and what it leads to."""

    values: Mapping[str, Value]
    leads: Leads = NO_LEADS


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """How checks become samples: under which profile, and whether states alone decide."""

    profile: Profile = Profile.EXCHANGE_ONLINE
    queue_life: timedelta = DEFAULT_QUEUE_LIFE
    confirmed: bool = False

    def of_domain(
        self,
        check: Check,
        states: Mapping[EntityKey, State],
        labels: Pairs,
        earlier: Leads,
    ) -> Samples:
        """Return the samples of the domain of ``check``.

        ``labels`` are the operator's, under names Prometheus allows. From ``earlier`` come the
        zones, hosts and causes that a check that saw none does not take away.
        """
        verdict = check.judgement.of(self.profile)
        state = states.get((EntityType.DOMAIN, check.domain))
        shown = verdict.verdict.value
        status = self._known(shown, shown == DomainVerdict.INCONCLUSIVE, state)
        route = check.observation.route
        hosts_known = route.kind is not MxKind.ERROR
        authenticated = [
            host for host in verdict.hosts if host.judged.outcome is HostOutcome.AUTHENTICATED
        ]
        earlier_hosts, earlier_zones, earlier_causes = earlier
        causes = _causes(check, verdict, status, earlier_causes)
        hosts = [one.exchange for one in route.exchanges] if hosts_known else earlier_hosts
        zones = [zone.zone for zone in check.observation.zones] or earlier_zones
        return Samples(
            values={
                "domain_up": _flag(status, lambda known: known not in _NOT_DELIVERED),
                "domain_blocked": _flag(status, lambda known: known == DomainVerdict.BLOCKED),
                "domain_verdict": _one(verdict=shown),
                "domain_mx_hosts": len(route.exchanges) if hosts_known else None,
                "domain_mx_hosts_authenticated": len(authenticated) if hosts_known else None,
                "domain_last_check_timestamp_seconds": _seconds(check.observation.observed_at),
                "domain_last_transition_timestamp_seconds": (
                    None if state is None else _seconds(state.since)
                ),
                "domain_bounces_from_timestamp_seconds": self._bounces_from(state),
                "domain_mx_preference": tuple(
                    ((("mx", one.exchange),), one.preference)
                    for one in sorted(route.exchanges, key=lambda one: one.exchange)
                ),
                "domain_info": ((labels, 1),),
                "domain_phase": self._phase(verdict, state),
                "domain_cause": tuple((pairs, 1) for pairs in causes),
                "domain_zone": _zone_label(route.mx.dnssec_zone),
                "domain_flapping": None if state is None else int(state.flapping),
            },
            leads=(tuple(dict.fromkeys(hosts)), tuple(dict.fromkeys(zones)), causes),
        )

    def of_host(
        self,
        check: Check,
        view: HostView,
        facts: HostFacts | None,
        state: State | None,
    ) -> Samples:
        """Return the samples of the MX host that ``view`` shows."""
        shown = view.judged.outcome.value
        unclear = shown == HostOutcome.INCONCLUSIVE
        status = self._known(shown, unclear, state)
        if status is None and not unclear and not view.for_every_domain:
            status = shown  # no state is kept of what holds for this domain only
        values: dict[str, Value] = {
            "mx_up": _flag(status, lambda known: known in _DELIVERING),
            "mx_outcome": _one(outcome=shown),
            "mx_last_check_timestamp_seconds": _seconds(view.observed_at),
            "mx_zone": _zone_label(_zone_of(view.observation.route)),
            "mx_flapping": None if state is None else int(state.flapping),
        }
        values |= self._address_values(check, view)
        values |= self._tlsa_values(view, facts)
        values |= _certificate_values(facts)
        return Samples(values=values)

    def of_zone(self, zone: ZoneObservation, state: State | None) -> Samples:
        """Return the samples of ``zone``."""
        unclear = zone.status is DnssecStatus.INDETERMINATE
        status = self._known(zone.status.value, unclear, state)
        begins, ends = zone.signature_inception, zone.signature_expiration
        return Samples(
            values={
                "zone_secure": _flag(status, lambda known: known == DnssecStatus.SECURE),
                "zone_bogus": _flag(status, lambda known: known == DnssecStatus.BOGUS),
                "zone_status": _one(
                    status=zone.status.value, reason="" if zone.reason is None else zone.reason
                ),
                "zone_signature_inception_timestamp_seconds": _seconds(begins) if begins else None,
                "zone_signature_expiration_timestamp_seconds": _seconds(ends) if ends else None,
                "zone_flapping": None if state is None else int(state.flapping),
            },
        )

    def _known(self, shown: str, unclear: bool, state: State | None) -> str | None:
        """Return the status as last known; None where nothing is."""
        if self.confirmed or unclear:
            return None if state is None else state.status
        return shown

    def _phase(self, verdict: ProfileVerdict, state: State | None) -> Value:
        if state is not None:
            return _one(phase=state.phase.value)
        if self.confirmed or verdict.phase is DeliveryPhase.UNKNOWN:
            return None
        return _one(phase=verdict.phase.value)

    def _bounces_from(self, state: State | None) -> float | None:
        if state is None or state.phase is not DeliveryPhase.DEFERRING:
            return None
        if state.failing_since is None:
            return None
        return _seconds(state.failing_since + self.queue_life)

    def _address_values(self, check: Check, view: HostView) -> dict[str, Value]:
        route = view.observation.route
        known = route.applicability not in _NO_ADDRESSES_KNOWN
        authenticated = sum(
            address.judged.outcome is HostOutcome.AUTHENTICATED
            for host in check.judgement.of(self.profile).hosts
            if host.host == view.host
            for address in host.addresses
        )
        return {
            "mx_addresses": len(route.addresses) if known else None,
            "mx_addresses_authenticated": authenticated if view.observation.addresses else None,
        }

    def _tlsa_values(self, view: HostView, facts: HostFacts | None) -> dict[str, Value]:
        applicability = view.observation.route.applicability
        if applicability in _NO_DANE:
            absent = applicability is DaneApplicability.TLSA_ABSENT
            return {
                "mx_tlsa_records": 0 if absent else None,
                "mx_certificate_expiry_enforced": 0,
            }
        if applicability is not DaneApplicability.TLSA_PRESENT or facts is None:
            return {}
        usable = [one for one in facts.tlsa if one.usable]
        compared = all(one.matched is not None for one in usable)
        return {
            "mx_tlsa_records": len(facts.tlsa),
            "mx_tlsa_usable_records": len(usable),
            "mx_tlsa_unmatched_records": (
                sum(one.matched is False for one in usable) if compared else None
            ),
            "mx_certificate_expiry_enforced": int(self._is_expiry_enforced(facts)),
        }

    def _is_expiry_enforced(self, facts: HostFacts) -> bool:
        """Return whether an expired certificate breaks delivery (cases C16 and C22).

        Exchange Online refuses it wherever DANE authenticates; RFC 7672 §3.1.1 ignores dates for
        DANE-EE records, so only a match by DANE-TA depends on them.
        """
        usable = [one for one in facts.tlsa if one.usable]
        if self.profile is Profile.EXCHANGE_ONLINE or not usable:
            return bool(usable)
        deciding = [one for one in usable if one.matched] or usable
        return all(one.record.usage == _DANE_TA for one in deciding)


def _causes(
    check: Check, verdict: ProfileVerdict, status: str | None, earlier: tuple[Pairs, ...]
) -> tuple[Pairs, ...]:
    """Return what keeps mail from the domain: a bogus zone, else the failing hosts, else neither.

    ``status`` is the domain's as last known. While it fails and this check does not show why
    (inconclusive, or delivered again but not yet believed), the causes stay those of before.
    """
    if status not in _WAITING:
        return ()
    if verdict.verdict not in _WAITING:
        return earlier
    mx = check.observation.route.mx
    if mx.status is DnssecStatus.BOGUS and mx.dnssec_zone is not None:
        return (_at_zone(mx.dnssec_zone),)
    routes = {host.route.host: host.route for host in check.observation.hosts}
    outcomes = {host.host: host.judged.outcome for host in verdict.hosts}
    failing = [host for host, outcome in outcomes.items() if outcome in _BLOCKING]
    failing = failing or [host for host, outcome in outcomes.items() if outcome in _FAILING]
    causes = [_at_host(host, routes.get(host)) for host in failing]
    return tuple(sorted(set(causes))) or (NO_CAUSE,)


def _at_zone(zone: Name) -> Pairs:
    return (("mx", ""), ("dns_zone", zone))


def _at_host(host: Name, route: HostRoute | None) -> Pairs:
    failed = None if route is None else route.failed_lookup
    if failed is not None and failed.status is DnssecStatus.BOGUS and failed.dnssec_zone:
        return _at_zone(failed.dnssec_zone)
    return (("mx", host), ("dns_zone", ""))


def _zone_of(route: HostRoute) -> Name | None:
    """Return the zone of the lookup that failed, else that of the addresses, else of the TLSA."""
    lookups = [route.failed_lookup, route.ipv4, route.ipv6]
    lookups += [candidate.lookup for candidate in route.candidates]
    return next(
        (one.dnssec_zone for one in lookups if one is not None and one.dnssec_zone is not None),
        None,
    )


def _zone_label(zone: Name | None) -> Value:
    return None if zone is None else _one(dns_zone=zone)


def _one(**labels: str) -> Labelled:
    return ((tuple(labels.items()), 1),)


def _certificate_values(facts: HostFacts | None) -> dict[str, Value]:
    # Whichever certificate of a host ends first stops the senders that are shown it.
    addresses = () if facts is None else facts.addresses
    chains = [chain for one in addresses for chain in (one.chain, one.other_chain)]
    ends = [
        (chain[0].not_after, chain[0].not_before)
        for chain in chains
        if chain and chain[0].not_after is not None
    ]
    if not ends:
        return {}
    end, start = min(ends, key=lambda one: one[0])
    return {
        "mx_certificate_not_before_timestamp_seconds": None if start is None else _seconds(start),
        "mx_certificate_not_after_timestamp_seconds": _seconds(end),
    }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(moment: datetime) -> float:
    """Return seconds since 1970; also for years the C library does not know."""
    return (moment - _EPOCH).total_seconds()


def _flag(status: str | None, holds: Callable[[str], bool]) -> float | None:
    return None if status is None else int(holds(status))
