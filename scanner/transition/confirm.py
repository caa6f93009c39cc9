"""From checks to transitions that can be trusted: worse is believed on the second look.

    looks of a check -> believed at once | suspicion | confirmed -> fold -> states, transitions

Rules:

- A change for the worse is a suspicion until a second, independent look shows trouble at least as
  bad: one whose evidence was seen at or after ``confirm_after``, the first look plus the time in
  which a resolver may repeat itself, within bounds. The change then began at the first look.
- Worse is: mail stops or is returned, whatever it was like before and for whatever new reason; one
  of several hosts begins to fail; or less protection than before (``RANKS``). The first sight of
  anything that fails is a change for the worse too.
- Better is believed at once, unless the entity flaps; then it takes two looks as well.
- A look that agrees with the state ends a suspicion and leaves a doubt (``scanner.transition
  .damping``). ``inconclusive`` and ``indeterminate`` neither confirm nor end anything.
- Looks in between count for the clock of mail that fails anyway: it bounces on time, also while
  another reason for the failure waits for its second look.
- What a clock dated into the future before it was set right is brought back, or a domain would
  stand still until that time has come.
- A suspicion older than ``forget_after`` is not confirmed but begins anew: nobody knows what was
  in between (case 115).

Everything is a function of its arguments; the same check a second time changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scanner.model.monitoring import EntityKey, Suspicion
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check, Finding
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
)
from scanner.transition.damping import noted, recent, words
from scanner.transition.fold import FAILING, fold
from scanner.transition.looks import MAX_EVIDENCE, Look, Pairs, looks_of

RANKS: Mapping[EntityType, Mapping[str, int]] = {
    EntityType.DOMAIN: {
        DomainVerdict.PROTECTED: 0,
        DomainVerdict.PARTIAL: 1,
        DomainVerdict.DEGRADED: 2,
        DomainVerdict.ENCRYPTED: 3,
        DomainVerdict.OPPORTUNISTIC: 4,
        DomainVerdict.DEFERRED: 5,
        DomainVerdict.BLOCKED: 5,
        DomainVerdict.NO_MAIL: 6,
    },
    EntityType.MX: {
        HostOutcome.AUTHENTICATED: 0,
        HostOutcome.ENCRYPTED: 1,
        HostOutcome.OPPORTUNISTIC_TLS: 2,
        HostOutcome.OPPORTUNISTIC_CLEAR: 3,
        HostOutcome.FAILED: 4,
        HostOutcome.LOOKUP_FAILED: 4,
        HostOutcome.UNREACHABLE: 4,
        HostOutcome.NO_ADDRESS: 4,
    },
    EntityType.ZONE: {DnssecStatus.SECURE: 0, DnssecStatus.INSECURE: 1, DnssecStatus.BOGUS: 2},
}
"""From the best status to the worst; equal ranks are one class of trouble."""

STOPPED: Mapping[EntityType, frozenset[str]] = {
    **FAILING,
    EntityType.DOMAIN: FAILING[EntityType.DOMAIN] | {DomainVerdict.NO_MAIL},
}
"""Statuses under which no mail gets through: they always need confirmation."""

MIN_GAP = timedelta(seconds=1)
"""Two looks are never the same moment, whatever the policy says."""
AHEAD = timedelta(minutes=15)
"""Further ahead of a look nothing can be that a right clock has dated: probes are shared for
minutes. What is, was dated by a clock that has been set back since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationPolicy:
    """What it takes to believe a look. Sources: ours, unless named."""

    looks: int = 2
    """Looks that must show a change for the worse (verdict table 3e: at least two scans)."""
    confirm_after_min: timedelta = timedelta(seconds=60)
    """Least time between them: failures are remembered no longer (RFC 9520 §3.2: seconds)."""
    confirm_after_max: timedelta = timedelta(seconds=900)
    """Most time between them: the sender's own first retry (S-13)."""
    unknown_ttl: timedelta = timedelta(seconds=300)
    """Where it is not known how long a resolver may repeat itself: as long as our cache may."""
    probe_fresh: timedelta = timedelta(seconds=300)
    """How long a probe may be shared; a look that rests on an older one is not independent."""
    forget_after: timedelta = timedelta(hours=24)
    """A suspicion that nobody could look at for so long begins anew (the queue life, S-14)."""
    flapping_changes: int = 6
    """Changes within the window from which an entity flaps."""
    flapping_window: timedelta = timedelta(hours=24)
    unsteady_doubts: int = 3
    """Changes within the window that were not seen again, from which it is called unsteady."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """What one check changes, and when to look again.

    ``states`` are those that moved, ``suspicions`` new or changed ones, ``cleared`` those that are
    over, confirmed or not. ``look_again_at`` is the first moment at which one look may confirm all
    that this check raised, and what is suspected of its domain. ``pending`` are suspicions of hosts
    and zones that were raised before, with the moment for each. ``failing_since`` is where the
    sender's ladder for the domain began, suspected failures included. ``dropped`` are states that
    nothing moves any more (``scanner.run.strays``), ``notes`` what only time tells of the hosts'
    TLSA records (``scanner.transition.tlsamemory``).
    """

    states: Mapping[EntityKey, State] = field(default_factory=dict)
    suspicions: tuple[Suspicion, ...] = ()
    cleared: tuple[EntityKey, ...] = ()
    transitions: tuple[Transition, ...] = ()
    look_again_at: datetime | None = None
    pending: tuple[tuple[EntityKey, datetime], ...] = ()
    failing_since: datetime | None = None
    dropped: tuple[EntityKey, ...] = ()
    notes: tuple[Finding, ...] = ()


def digest(
    states: Mapping[EntityKey, State],
    suspicions: Mapping[EntityKey, Suspicion],
    check: Check,
    *,
    profile: Profile,
    queue_life: timedelta,
    confirmation: ConfirmationPolicy,
    run_id: str,
    labels: Pairs = (),
) -> Digest:
    """Return what ``check`` changes; the caller merges it into the mappings, which are only read.

    A check made through a resolver that cannot be trusted changes nothing. ``queue_life`` is how
    long the sender keeps mail, ``labels`` go with the domain, ``run_id`` into event identifiers.
    """
    if not check.observation.vantage.resolver_trusted:
        key = (EntityType.DOMAIN, str(check.domain))
        return Digest(failing_since=_failing_since(states.get(key), suspicions.get(key)))
    rules = _Rules(profile, queue_life, confirmation, run_id, labels)
    decisions = {
        look.key: _decide(states.get(look.key), suspicions.get(look.key), look, rules)
        for look in looks_of(check, profile)
    }
    return _gathered(states, suspicions, decisions)


@dataclass(frozen=True, slots=True)
class _Rules:
    profile: Profile
    queue_life: timedelta
    policy: ConfirmationPolicy
    run_id: str
    labels: Pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decision:
    """What becomes of one entity: its state and suspicion from now on."""

    state: State | None
    suspicion: Suspicion | None
    transition: Transition | None = None
    look_again_at: datetime | None = None


def _gathered(
    states: Mapping[EntityKey, State],
    suspicions: Mapping[EntityKey, Suspicion],
    decisions: Mapping[EntityKey, _Decision],
) -> Digest:
    moved = {
        key: one.state
        for key, one in decisions.items()
        if one.state is not None and one.state is not states.get(key)
    }
    raised = tuple(
        one.suspicion
        for key, one in decisions.items()
        if one.suspicion is not None and one.suspicion is not suspicions.get(key)
    )
    again: list[datetime] = []
    pending: list[tuple[EntityKey, datetime]] = []
    failing_since = None
    for key, one in decisions.items():
        is_domain = key[0] is EntityType.DOMAIN
        if is_domain:
            failing_since = _failing_since(one.state, one.suspicion)
        if one.look_again_at is None:
            continue
        if is_domain or one.suspicion is not suspicions.get(key):
            again.append(one.look_again_at)
        else:
            pending.append((key, one.look_again_at))
    return Digest(
        states=moved,
        suspicions=raised,
        cleared=tuple(k for k, one in decisions.items() if k in suspicions and not one.suspicion),
        transitions=tuple(one.transition for one in decisions.values() if one.transition),
        look_again_at=max(again, default=None),
        pending=tuple(pending),
        failing_since=failing_since,
    )


def _failing_since(state: State | None, suspicion: Suspicion | None) -> datetime | None:
    if state is not None and state.failing_since is not None:
        return state.failing_since
    if suspicion is not None and suspicion.status in FAILING[suspicion.entity_type]:
        return suspicion.first_seen_at
    return None


def _decide(
    state: State | None, suspicion: Suspicion | None, look: Look, rules: _Rules
) -> _Decision:
    policy = rules.policy
    if not look.is_conclusive:
        again = None
        if suspicion is not None:
            again = max(suspicion.confirm_after, look.observed_at + policy.confirm_after_max)
        return _Decision(state=state, suspicion=suspicion, look_again_at=again)
    state, suspicion = _not_ahead(state, look), _not_after(suspicion, look)
    if state is not None and look.observed_at <= state.last_seen_at:
        return _Decision(state=state, suspicion=suspicion)
    flaps = state is not None and _flaps(state, look.observed_at, policy)
    believed = not _is_worse(state, look) and (not flaps or _agrees(state, look))
    if suspicion is not None and look.observed_at <= suspicion.first_seen_at:
        # Not later than what is suspected, so it says nothing about it.
        if not believed:
            return _Decision(
                state=state, suspicion=suspicion, look_again_at=suspicion.confirm_after
            )
        return _believe(state, look, rules, suspicion=suspicion)
    if suspicion is not None and look.observed_at - suspicion.first_seen_at > policy.forget_after:
        suspicion = None
    if believed:
        return _believe(state, look, rules, doubted=suspicion is not None)
    return _weigh(state, suspicion, look, rules)


def _not_ahead(state: State | None, look: Look) -> State | None:
    """Return ``state``, brought back where a clock that was wrong has put it into the future."""
    if state is None or state.last_seen_at <= look.observed_at + AHEAD:
        return state
    failing = state.failing_since
    return replace(
        state,
        since=min(state.since, look.observed_at),
        failing_since=None if failing is None else min(failing, look.observed_at),
        last_seen_at=look.observed_at - MIN_GAP,
    )


def _not_after(suspicion: Suspicion | None, look: Look) -> Suspicion | None:
    """Return ``suspicion``, or None where it lies in the future."""
    if suspicion is not None and suspicion.first_seen_at > look.observed_at + AHEAD:
        return None
    return suspicion


def _weigh(
    state: State | None, suspicion: Suspicion | None, look: Look, rules: _Rules
) -> _Decision:
    """Decide about a look that needs confirmation: the first one, too early, or enough."""
    policy = rules.policy
    held = _hold(state, look, rules)
    if held is not None and held.transition is not None:
        return held
    kept = state if held is None else held.state
    is_early = suspicion is not None and look.evidence_at < suspicion.confirm_after
    same_class = suspicion is not None and _rank(suspicion) == _rank(look)
    if (
        suspicion is None
        or not _corroborates(state, suspicion, look)
        or (is_early and not same_class)
    ):
        raised = _suspect(look, rules, first_seen_at=look.observed_at, looks=1)
        return _Decision(state=kept, suspicion=raised, look_again_at=raised.confirm_after)
    if is_early:
        again = suspicion.confirm_after
        if look.observed_at >= again:
            again = max(
                look.evidence_at + policy.probe_fresh, look.observed_at + policy.confirm_after_min
            )
        return _Decision(state=kept, suspicion=suspicion, look_again_at=again)
    if suspicion.looks + 1 < policy.looks:
        counted = _suspect(
            look, rules, first_seen_at=suspicion.first_seen_at, looks=suspicion.looks + 1
        )
        return _Decision(state=kept, suspicion=counted, look_again_at=counted.confirm_after)
    return _believe(state, look, rules, began_at=suspicion.first_seen_at if same_class else None)


def _hold(state: State | None, look: Look, rules: _Rules) -> _Decision | None:
    """Let a failure that goes on under another name keep its clock; None where there is none.

    When the queue life has ended, the change of phase is due now, and tells what is seen now.
    """
    failing = FAILING[look.entity_type]
    if state is None or state.failing_since is None or look.status not in failing:
        return None
    over = state.failing_since + rules.queue_life <= look.observed_at
    if look.entity_type is EntityType.DOMAIN and state.phase is not DeliveryPhase.BOUNCING and over:
        return _believe(state, look, rules)
    return _Decision(state=replace(state, last_seen_at=look.observed_at), suspicion=None)


def _believe(
    state: State | None,
    look: Look,
    rules: _Rules,
    *,
    began_at: datetime | None = None,
    suspicion: Suspicion | None = None,
    doubted: bool = False,
) -> _Decision:
    """Fold ``look``, and count what it means for damping."""
    policy = rules.policy
    after, transition = fold(
        state,
        look,
        profile=rules.profile,
        queue_life=rules.queue_life,
        run_id=rules.run_id,
        began_at=began_at,
        labels=rules.labels,
    )
    assert after is not None  # the look is conclusive
    now, window = look.observed_at, policy.flapping_window
    changes = recent(after.recent_changes, now, window=window)
    if state is not None and not _agrees(state, look):
        changes = noted(changes, now, window=window)
    doubts = recent(after.recent_doubts, now, window=window)
    if doubted:
        doubts = noted(doubts, now, window=window)
    flapping = len(changes) >= policy.flapping_changes
    if (changes, doubts, flapping) != (after.recent_changes, after.recent_doubts, after.flapping):
        after = replace(after, recent_changes=changes, recent_doubts=doubts, flapping=flapping)
    if transition is not None:
        marks = words(
            changes,
            doubts,
            flapping=flapping,
            unsteady=len(doubts) >= policy.unsteady_doubts,
            window=window,
        )
        transition = replace(transition, evidence=(*marks, *transition.evidence)[:MAX_EVIDENCE])
    return _Decision(state=after, suspicion=suspicion, transition=transition)


def _suspect(look: Look, rules: _Rules, *, first_seen_at: datetime, looks: int) -> Suspicion:
    policy = rules.policy
    ttl = policy.unknown_ttl if look.ttl is None else look.ttl
    wait = max(min(max(ttl, policy.confirm_after_min), policy.confirm_after_max), MIN_GAP)
    phase = DeliveryPhase.DELIVERING
    if look.entity_type is EntityType.ZONE:
        phase = DeliveryPhase.UNKNOWN
    elif look.status == DomainVerdict.NO_MAIL:
        phase = DeliveryPhase.BOUNCING
    elif look.status in FAILING[look.entity_type]:
        phase = DeliveryPhase.DEFERRING
    return Suspicion(
        entity_type=look.entity_type,
        entity=look.entity,
        profile=rules.profile,
        status=look.status,
        reason=look.reason,
        phase=phase,
        first_seen_at=first_seen_at,
        confirm_after=look.observed_at + wait,
        looks=looks,
    )


def _is_worse(state: State | None, seen: Look | Suspicion) -> bool:
    """Return whether what was seen, or is suspected, is a change for the worse."""
    kind, status = seen.entity_type, seen.status
    if state is not None and (state.status, state.reason) == (status, seen.reason):
        return False
    if status in STOPPED[kind]:
        return True
    if status == DomainVerdict.DEGRADED:
        return state is None or state.status not in STOPPED[kind]
    return state is not None and _rank(seen) > _rank(state)


def _corroborates(state: State | None, suspicion: Suspicion, look: Look) -> bool:
    """Return whether ``look`` shows the suspected trouble, or a part of it; or goes on recovering.

    A lesser trouble counts, or something that alternates between two would never be told of.
    """
    suspected_worse = _is_worse(state, suspicion)
    if suspected_worse != _is_worse(state, look):
        return False
    if not suspected_worse:
        return True
    return _rank(look) <= _rank(suspicion)


def _agrees(state: State | None, look: Look) -> bool:
    return state is not None and (state.status, state.reason) == (look.status, look.reason)


def _flaps(state: State, now: datetime, policy: ConfirmationPolicy) -> bool:
    changes = recent(state.recent_changes, now, window=policy.flapping_window)
    return len(changes) >= policy.flapping_changes


def _rank(seen: Look | Suspicion | State) -> int:
    return RANKS[seen.entity_type][seen.status]
