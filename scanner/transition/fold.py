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

Every look that gets here is believed. A pass has made sure before (``scanner.run.engine``); the
service decides in ``scanner.transition.confirm`` which looks are folded, and since when.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from scanner.model.monitoring import EntityKey
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
)
from scanner.transition.looks import Look, Pairs, looks_of

FAILING: Mapping[EntityType, frozenset[str]] = {
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
"""Statuses under which mail waits, by what they are of."""


def fold(
    state: State | None,
    look: Look,
    *,
    profile: Profile,
    queue_life: timedelta,
    run_id: str,
    began_at: datetime | None = None,
    labels: Pairs = (),
) -> tuple[State | None, Transition | None]:
    """Return the state after ``look``, and the transition if it changed.

    ``state`` is None before the first conclusive look, and stays None while looks are
    inconclusive. ``queue_life`` is how long the sender keeps mail. ``began_at`` is an earlier look
    that ``look`` confirms: the new state, and the queue clock, begin there. ``labels`` are those
    of a domain. ``run_id`` is part of the transition's identifier.
    """
    if not look.is_conclusive or (state is not None and look.observed_at <= state.last_seen_at):
        return state, None
    failing_since = _failing_since(state, look, began_at)
    bounces_from = None
    if look.entity_type is EntityType.DOMAIN and failing_since is not None:
        bounces_from = failing_since + queue_life
    phase = _phase(look, bounces_from)
    before = None if state is None else (state.status, state.reason, state.phase)
    if state is not None and before == (look.status, look.reason, phase):
        return replace(state, last_seen_at=look.observed_at), None
    after = State(
        entity_type=look.entity_type,
        entity=look.entity,
        profile=profile,
        status=look.status,
        reason=look.reason,
        phase=phase,
        since=began_at or look.observed_at,
        last_seen_at=look.observed_at,
        failing_since=failing_since,
        recent_changes=() if state is None else state.recent_changes,
        recent_doubts=() if state is None else state.recent_doubts,
        flapping=state is not None and state.flapping,
        tlsa=() if state is None else state.tlsa,
    )
    bounces = phase is DeliveryPhase.BOUNCING
    transition = Transition(
        event_id=event_id_for(
            run_id, look.observed_at, look.key, profile, look.status, look.reason
        ),
        observed_at=look.observed_at,
        entity_type=look.entity_type,
        entity=look.entity,
        profile=profile,
        from_status=None if state is None else state.status,
        to_status=look.status,
        from_reason=None if state is None else state.reason,
        to_reason=look.reason,
        from_phase=None if state is None else state.phase,
        to_phase=phase,
        code=look.final_code if bounces and look.final_code else look.code,
        since=None if state is None else state.since,
        bounces_from=bounces_from,
        failing_since=failing_since,
        began_at=began_at,
        evidence=look.evidence(),
        labels=labels if look.entity_type is EntityType.DOMAIN else (),
    )
    return after, transition


def _failing_since(state: State | None, look: Look, began_at: datetime | None) -> datetime | None:
    if look.status not in FAILING[look.entity_type]:
        return None
    if state is None or state.failing_since is None:
        return began_at or look.observed_at
    return state.failing_since


def _phase(look: Look, bounces_from: datetime | None) -> DeliveryPhase:
    if look.entity_type is EntityType.ZONE:
        return DeliveryPhase.UNKNOWN
    if look.entity_type is EntityType.DOMAIN and look.status == DomainVerdict.NO_MAIL:
        return DeliveryPhase.BOUNCING
    if look.status not in FAILING[look.entity_type]:
        return DeliveryPhase.DELIVERING
    if bounces_from is not None and look.observed_at >= bounces_from:
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
    operator's own and go with the domain; a host belongs to many domains and carries none. Every
    look is believed at once; ``scanner.transition.confirm`` is for who can look again.
    """
    moved: dict[EntityKey, State] = {}
    transitions: list[Transition] = []
    for look in looks_of(check, profile):
        before = states.get(look.key)
        after, transition = fold(
            before, look, profile=profile, queue_life=queue_life, run_id=run_id, labels=labels
        )
        if after is not None and after is not before:
            moved[look.key] = after
        if transition is not None:
            transitions.append(transition)
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
