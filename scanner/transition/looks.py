"""What one check says about each entity it touches: its domain, its MX hosts, its zones.

A look is the raw material of states and transitions. It carries two times: ``observed_at`` orders
looks at one entity, ``evidence_at`` says how old the evidence is that the look rests on. The two
differ where a probe was shared, and a second look confirms a first one only if what it rests on
was seen later.

A host whose outcome holds for this domain only (see ``scanner.model.hostview``) gives no look.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from scanner.model.hostview import HostView, host_views
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.observation import HostObservation, Lookup
from scanner.model.verdict import AddressFacts, Check, ProfileVerdict
from scanner.model.vocabulary import DnssecStatus, DomainVerdict, EntityType, HostOutcome, Profile
from scanner.model.zones import ZoneObservation

Pairs = tuple[tuple[str, str], ...]

MAX_EVIDENCE = 40
"""Evidence pairs of one transition; a domain with more MX hosts names the first ones."""
MAX_EVIDENCE_CHARACTERS = 500
"""Of one evidence value; detail texts may quote a peer."""

_INCONCLUSIVE = frozenset(
    {
        HostOutcome.INCONCLUSIVE.value,
        DomainVerdict.INCONCLUSIVE.value,
        DnssecStatus.INDETERMINATE.value,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One entity as one check shows it.

    ``code`` is the enhanced status code while mail waits, ``final_code`` the one once it bounces.
    ``ttl`` is how long a resolver may repeat what the look rests on; None where that is not known,
    zero where nothing was cached. ``evidence`` makes the pairs of a transition, on demand.
    """

    entity_type: EntityType
    entity: str
    status: str
    reason: str | None
    observed_at: datetime
    evidence_at: datetime
    ttl: timedelta | None
    code: str | None = None
    final_code: str | None = None
    evidence: Callable[[], Pairs]

    @property
    def key(self) -> EntityKey:
        """The entity it is about."""
        return (self.entity_type, self.entity)

    @property
    def is_conclusive(self) -> bool:
        """Whether it says anything: ``inconclusive`` and ``indeterminate`` do not."""
        return self.status not in _INCONCLUSIVE


def looks_of(check: Check, profile: Profile) -> Iterator[Look]:
    """Yield the looks of ``check`` under ``profile``: the domain, its hosts, its zones."""
    yield _domain_look(check, check.judgement.of(profile))
    for view in host_views(check, profile):
        if view.for_every_domain:
            yield host_look(check, view)
    for zone in check.observation.zones:
        yield Look(
            entity_type=EntityType.ZONE,
            entity=zone.zone,
            status=zone.status.value,
            reason=_text(zone.reason),
            observed_at=zone.observed_at,
            evidence_at=zone.observed_at,
            ttl=None,
            evidence=partial(_zone_evidence, check, zone),
        )


def _domain_look(check: Check, verdict: ProfileVerdict) -> Look:
    observation = check.observation
    doubted = {
        host.host for host in verdict.hosts if host.judged.outcome is not HostOutcome.AUTHENTICATED
    }
    hosts = [host for host in observation.hosts if host.route.host in doubted]
    lookups = [observation.route.mx]
    for host in hosts:
        lookups += _lookups(host)
    return Look(
        entity_type=EntityType.DOMAIN,
        entity=check.domain,
        status=verdict.verdict.value,
        reason=_text(verdict.reason),
        observed_at=observation.observed_at,
        evidence_at=min(
            (_oldest_probe(host, observation.observed_at) for host in hosts),
            default=observation.observed_at,
        ),
        ttl=_longest_ttl(lookups),
        code=verdict.code,
        final_code=verdict.final_code,
        evidence=partial(_domain_evidence, check, verdict),
    )


def host_look(check: Check, view: HostView) -> Look:
    """Return the look at a host as ``view`` shows it, whether it holds for every domain or not."""
    return Look(
        entity_type=EntityType.MX,
        entity=view.host,
        status=view.judged.outcome.value,
        reason=_text(view.judged.reason),
        observed_at=view.observed_at,
        evidence_at=_oldest_probe(view.observation, view.observed_at),
        ttl=_longest_ttl(_lookups(view.observation)),
        code=view.judged.code,
        evidence=partial(_host_evidence, check, view.host, view.judged.detail),
    )


def _oldest_probe(host: HostObservation, otherwise: datetime) -> datetime:
    """Return the time of the oldest probe of ``host``: every address may have decided."""
    times = [address.observed_at for address in host.addresses]
    return min(min(times), otherwise) if times else otherwise


def _lookups(host: HostObservation) -> list[Lookup]:
    route = host.route
    maybe = [route.ipv4, route.ipv6, route.alias, route.failed_lookup]
    return [
        *(lookup for lookup in maybe if lookup is not None),
        *(candidate.lookup for candidate in route.candidates),
    ]


def _longest_ttl(lookups: list[Lookup]) -> timedelta:
    return timedelta(seconds=max((lookup.ttl_seconds or 0 for lookup in lookups), default=0))


def _domain_evidence(check: Check, verdict: ProfileVerdict) -> Pairs:
    mx = check.observation.route.mx
    pairs: list[tuple[str, str]] = [
        ("mx_status", _text(mx.status) or ""),
        ("mx_outcome", mx.outcome.value),
        ("resolver", mx.resolver or ""),
        ("detail", mx.detail or ""),
        ("headline", verdict.headline or ""),
        ("cause_code", verdict.cause_code or ""),
        ("fault", verdict.fault.value),
    ]
    pairs += [("ede", f"{error.code} {error.text}".strip()) for error in mx.extended_errors]
    for host in verdict.hosts:
        judged = host.judged
        words = (judged.outcome.value, _text(judged.reason), judged.code)
        pairs.append((f"host {host.host}", " ".join(word for word in words if word)))
    return bounded(pairs)


def _host_evidence(check: Check, host: Name, detail: str | None) -> Pairs:
    pairs: list[tuple[str, str]] = [("domain", check.domain), ("detail", detail or "")]
    for observed in check.observation.hosts:
        if observed.route.host == host:
            pairs.append(("applicability", observed.route.applicability.value))
            for address in observed.addresses:
                pairs.append(("address", address.address))
                pairs.append(("host_check_id", address.probe_id))
    for facts in check.judgement.hosts:
        if facts.host == host:
            pairs.extend(_certificate_hashes(facts.addresses))
    return bounded(pairs)


def _zone_evidence(check: Check, zone: ZoneObservation) -> Pairs:
    pairs: list[tuple[str, str]] = [("domain", check.domain)]
    if zone.ede_code is not None:
        pairs.append(("ede", str(zone.ede_code)))
    pairs += [("ds", f"{ds.key_tag} {ds.algorithm} {ds.digest_type}") for ds in zone.ds]
    pairs += [("dnskey", f"{key.key_tag} {key.algorithm} {key.flags}") for key in zone.dnskeys]
    if zone.signature_inception is not None and zone.signature_expiration is not None:
        pairs.append(("signature_inception", zone.signature_inception.isoformat()))
        pairs.append(("signature_expiration", zone.signature_expiration.isoformat()))
    pairs += [(note.reason.value, note.message) for note in zone.notes]
    return bounded(pairs)


def _certificate_hashes(addresses: tuple[AddressFacts, ...]) -> Iterator[tuple[str, str]]:
    for address in addresses:
        for certificate in address.chain[:1]:
            yield ("certificate_sha256", certificate.sha256)


def bounded(pairs: list[tuple[str, str]]) -> Pairs:
    """Return ``pairs`` without empty values, as many and as long as a transition may carry."""
    kept = [(key, value[:MAX_EVIDENCE_CHARACTERS]) for key, value in pairs if value]
    return tuple(kept[:MAX_EVIDENCE])


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)
