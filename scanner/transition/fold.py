"""Folding checks into states: what changed, since when, and when mail begins to bounce.

Rules:

- A transition is a change of status, reason or delivery phase. The first sight of an entity is one
  from nothing (``from_status`` None), so that every history has a beginning.
- ``inconclusive`` is no evidence: it changes nothing, not even ``last_seen_at``; nor is a zone
  that is ``indeterminate``, since what could not be asked says nothing about how it is signed.
- A check is folded once: one that is not later than ``last_seen_at`` changes nothing. Replays are
  therefore harmless, and a host that many domains share is folded once for each set of probes.
- The queue clock: ``failing_since`` starts with the first check that failed and runs on through
  every change of reason, because mail queued at its start still waits. ``no-mail`` stops it: mail
  is returned at once there, so nothing waits.

Phases of a domain: ``delivering``; ``deferring`` until ``failing_since + queue_life``, the moment
``bounces_from``; ``bouncing`` from then on, and at once for ``no-mail``. An MX host is at most
``deferring``, since mail waits for the domain and not for one of its hosts; it never has a
``bounces_from``. A zone has no phase. Its status follows from RFC 4035 and no sender's profile; its
states and transitions carry the profile of the run, and hold under any.

Confirmation of transient failures (verdict table 3e) has happened before a check gets here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from scanner.model.hostview import host_views
from scanner.model.names import Name
from scanner.model.transition import State, Transition
from scanner.model.verdict import AddressFacts, Check, ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
)
from scanner.model.zones import ZoneObservation

EntityKey = tuple[EntityType, str]
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
_FAILING: Mapping[EntityType, frozenset[str]] = {
    EntityType.DOMAIN: frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED}),
    EntityType.MX: frozenset(
        {
            HostOutcome.FAILED,
            HostOutcome.LOOKUP_FAILED,
            HostOutcome.UNREACHABLE,
            HostOutcome.NO_ADDRESS,
        }
    ),
    EntityType.ZONE: frozenset({DnssecStatus.BOGUS}),
}


def fold(
    state: State | None,
    *,
    entity_type: EntityType,
    entity: str,
    profile: Profile,
    status: str,
    reason: str | None,
    code: str | None,
    observed_at: datetime,
    queue_life: timedelta,
    event_id: str,
    final_code: str | None = None,
    labels: Pairs = (),
    evidence: Pairs = (),
) -> tuple[State | None, Transition | None]:
    """Return the state after one check, and the transition if it changed.

    ``state`` is None before the first conclusive check, and stays None while checks are
    inconclusive. ``code`` is the one seen while mail waits; ``final_code`` replaces it once mail
    bounces. ``queue_life`` is how long the sender keeps mail.
    """
    if status in _INCONCLUSIVE or (state is not None and observed_at <= state.last_seen_at):
        return state, None
    failing_since = _failing_since(state, entity_type, status, observed_at)
    bounces_from = None
    if entity_type is EntityType.DOMAIN and failing_since is not None:
        bounces_from = failing_since + queue_life
    phase = _phase(entity_type, status, observed_at, bounces_from)
    before = None if state is None else (state.status, state.reason, state.phase)
    changed = before != (status, reason, phase)
    after = State(
        entity_type=entity_type,
        entity=entity,
        profile=profile,
        status=status,
        reason=reason,
        phase=phase,
        since=observed_at if changed or state is None else state.since,
        last_seen_at=observed_at,
        failing_since=failing_since,
    )
    if not changed:
        return after, None
    transition = Transition(
        event_id=event_id,
        observed_at=observed_at,
        entity_type=entity_type,
        entity=entity,
        profile=profile,
        from_status=None if state is None else state.status,
        to_status=status,
        from_reason=None if state is None else state.reason,
        to_reason=reason,
        from_phase=None if state is None else state.phase,
        to_phase=phase,
        code=final_code if phase is DeliveryPhase.BOUNCING and final_code else code,
        since=None if state is None else state.since,
        bounces_from=bounces_from,
        failing_since=failing_since,
        evidence=evidence,
        labels=labels,
    )
    return after, transition


def _failing_since(
    state: State | None, entity_type: EntityType, status: str, observed_at: datetime
) -> datetime | None:
    if status not in _FAILING[entity_type]:
        return None
    if state is None or state.failing_since is None:
        return observed_at
    return state.failing_since


def _phase(
    entity_type: EntityType, status: str, observed_at: datetime, bounces_from: datetime | None
) -> DeliveryPhase:
    if entity_type is EntityType.ZONE:
        return DeliveryPhase.UNKNOWN
    if entity_type is EntityType.DOMAIN and status == DomainVerdict.NO_MAIL:
        return DeliveryPhase.BOUNCING
    if status not in _FAILING[entity_type]:
        return DeliveryPhase.DELIVERING
    if bounces_from is not None and observed_at >= bounces_from:
        return DeliveryPhase.BOUNCING
    return DeliveryPhase.DEFERRING


def fold_check(
    states: Mapping[EntityKey, State],
    check: Check,
    *,
    profile: Profile,
    queue_life: timedelta,
    run_id: str,
    labels: Pairs = (),
) -> tuple[dict[EntityKey, State], tuple[Transition, ...]]:
    """Return the states that ``check`` moves and the transitions: domain, its hosts, its zones.

    The caller merges the returned states into ``states``, which is only read. ``labels`` are the
    operator's own and go with the domain; a host belongs to many domains and carries none. A host
    whose outcome holds for this domain only (see ``scanner.model.hostview``) is left alone.
    """
    moved: dict[EntityKey, State] = {}
    transitions: list[Transition] = []

    def take(
        entity_type: EntityType,
        entity: str,
        observed_at: datetime,
        status: str,
        reason: str | None,
        *,
        code: str | None,
        final_code: str | None,
        evidence: Callable[[], Pairs],
    ) -> None:
        key = (entity_type, entity)
        before = states.get(key)
        after, transition = fold(
            before,
            entity_type=entity_type,
            entity=entity,
            profile=profile,
            status=status,
            reason=reason,
            code=code,
            final_code=final_code,
            observed_at=observed_at,
            queue_life=queue_life,
            event_id="",
            labels=labels if entity_type is EntityType.DOMAIN else (),
        )
        if after is not None and after is not before:
            moved[key] = after
        if transition is not None:
            # Only now: almost every check changes nothing, and needs neither.
            event_id = event_id_for(run_id, observed_at, key, profile, status, reason)
            transitions.append(replace(transition, event_id=event_id, evidence=evidence()))

    verdict = check.judgement.of(profile)
    take(
        EntityType.DOMAIN,
        check.domain,
        check.observation.observed_at,
        verdict.verdict.value,
        _text(verdict.reason),
        code=verdict.code,
        final_code=verdict.final_code,
        evidence=partial(_domain_evidence, check, verdict),
    )
    for view in host_views(check, profile):
        if view.for_every_domain:
            take(
                EntityType.MX,
                view.host,
                view.observed_at,
                view.judged.outcome.value,
                _text(view.judged.reason),
                code=view.judged.code,
                final_code=None,
                evidence=partial(_host_evidence, check, view.host, view.judged.detail),
            )
    for zone in check.observation.zones:
        take(
            EntityType.ZONE,
            zone.zone,
            zone.observed_at,
            zone.status.value,
            _text(zone.reason),
            code=None,
            final_code=None,
            evidence=partial(_zone_evidence, check, zone),
        )
    return moved, tuple(transitions)


def event_id_for(
    run_id: str,
    observed_at: datetime,
    key: EntityKey,
    profile: Profile,
    status: str,
    reason: str | None,
) -> str:
    """Return the UUIDv7 of a transition (RFC 9562 §5.7): its time, then a digest of what it is.

    The same check folded twice in the same run gives the same identifier, so a repeated event can
    be recognised; different events differ in 74 bits of SHA-256.
    """
    entity_type, entity = key
    parts = (run_id, observed_at.isoformat(), entity_type, entity, profile, status, reason or "")
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    milliseconds = (observed_at - _EPOCH) // timedelta(milliseconds=1)
    value = (max(milliseconds, 0) & (1 << 48) - 1) << 80 | int.from_bytes(digest[:10])
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


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
    return _bounded(pairs)


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
    return _bounded(pairs)


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
    return _bounded(pairs)


def _certificate_hashes(addresses: tuple[AddressFacts, ...]) -> Iterator[tuple[str, str]]:
    for address in addresses:
        for certificate in address.chain[:1]:
            yield ("certificate_sha256", certificate.sha256)


def _bounded(pairs: list[tuple[str, str]]) -> Pairs:
    kept = [(key, value[:MAX_EVIDENCE_CHARACTERS]) for key, value in pairs if value]
    return tuple(kept[:MAX_EVIDENCE])


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)
