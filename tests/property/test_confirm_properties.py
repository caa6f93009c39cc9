"""What holds for every sequence of looks: nothing worse on one look, nothing lost or twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sample_checks as sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_world import at, one_host_check
from some_looks import START

from scanner.model.monitoring import EntityKey, Suspicion
from scanner.model.reasons import Reason
from scanner.model.transition import State, Transition
from scanner.model.verdict import Judged
from scanner.model.vocabulary import DnssecStatus, EntityType, HostOutcome, Profile
from scanner.transition.confirm import RANKS, STOPPED, ConfirmationPolicy, Digest, digest
from scanner.transition.fold import FAILING

EXO = Profile.EXCHANGE_ONLINE
QUEUE_LIFE = timedelta(hours=24)
MINUTE = timedelta(minutes=1)
NEVER_FLAPS = ConfirmationPolicy(flapping_changes=10_000)
DAMPED = ConfirmationPolicy(flapping_changes=3)
DOMAIN: EntityKey = (EntityType.DOMAIN, "example.org")

SEEN = (
    sample.AUTHENTICATED,
    sample.AUTHENTICATED,
    sample.MISMATCH,
    Judged(outcome=HostOutcome.UNREACHABLE, reason=Reason.CONNECTION_TIMEOUT, transient=True),
    Judged(outcome=HostOutcome.ENCRYPTED, reason=Reason.TLSA_ALL_UNUSABLE),
    Judged(outcome=HostOutcome.OPPORTUNISTIC_TLS, reason=Reason.TLSA_ABSENT),
    Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.NO_ROUTE),
)


@dataclass(frozen=True)
class Seen:
    """One check: when, how the host is, how the zone is."""

    at: datetime
    judged: Judged
    zone: DnssecStatus


@st.composite
def sequences(draw: st.DrawFn) -> list[Seen]:
    """Looks at one domain, from seconds to more than a day apart."""
    gaps = st.one_of(
        st.integers(min_value=1, max_value=20 * 60),
        st.sampled_from([60, 300, 900, 3_600, 30 * 3_600]),
    )
    steps = draw(
        st.lists(
            st.tuples(gaps, st.sampled_from(SEEN), st.sampled_from(list(DnssecStatus))),
            max_size=25,
        )
    )
    now, looks = START, []
    for gap, judged, zone in steps:
        now += timedelta(seconds=gap)
        looks.append(Seen(now, judged, zone))
    return looks


class Run:
    """Everything that came of a sequence; ``twice`` digests every check two times."""

    def __init__(
        self, looks: Sequence[Seen], policy: ConfirmationPolicy, *, twice: bool = False
    ) -> None:
        self.states: dict[EntityKey, State] = {}
        self.suspicions: dict[EntityKey, Suspicion] = {}
        self.transitions: list[Transition] = []
        self.policy = policy
        for seen in looks:
            self.take(seen)
            if twice:
                self.take(seen)

    def take(self, seen: Seen) -> Digest:
        check = at(
            one_host_check("example.org", "mx.example.net", seen.judged, zone=seen.zone), seen.at
        )
        result = digest(
            self.states,
            self.suspicions,
            check,
            profile=EXO,
            queue_life=QUEUE_LIFE,
            confirmation=self.policy,
            run_id="run",
        )
        self.states.update(result.states)
        self.suspicions.update({one.key: one for one in result.suspicions})
        for key in result.cleared:
            del self.suspicions[key]
        self.transitions += result.transitions
        return result

    def of(self, key: EntityKey) -> list[Transition]:
        return [one for one in self.transitions if (one.entity_type, one.entity) == key]


def status_at(seen: Seen, key: EntityKey) -> str:
    """The status of an entity as one look shows it."""
    if key[0] is EntityType.ZONE:
        return seen.zone.value
    if key[0] is EntityType.MX:
        return seen.judged.outcome.value
    check = one_host_check("example.org", "mx.example.net", seen.judged)
    return check.judgement.of(EXO).verdict.value


def is_conclusive(seen: Seen, key: EntityKey) -> bool:
    return status_at(seen, key) in RANKS[key[0]]


@given(sequences(), st.sampled_from([NEVER_FLAPS, DAMPED]))
@settings(max_examples=80)
def test_nothing_gets_worse_on_one_look(looks: list[Seen], policy: ConfirmationPolicy) -> None:
    """A minute before, or more, another look showed at least as much trouble."""
    run = Run(looks, policy)
    for one in run.transitions:
        key = (one.entity_type, one.entity)
        rank = RANKS[one.entity_type]
        begins = one.from_status is None and one.to_status not in STOPPED[one.entity_type]
        same = one.from_status == one.to_status
        if begins or same or (one.from_status and rank[one.to_status] <= rank[one.from_status]):
            continue
        witnesses = [
            seen
            for seen in looks
            if seen.at <= one.observed_at - policy.confirm_after_min
            and is_conclusive(seen, key)
            and rank[status_at(seen, key)] >= rank[one.to_status]
        ]
        assert witnesses
        assert one.began_at is None or one.began_at in [seen.at for seen in looks]


@given(sequences(), st.sampled_from([NEVER_FLAPS, DAMPED]))
@settings(max_examples=60)
def test_transitions_replayed_from_nothing_give_the_states(
    looks: list[Seen], policy: ConfirmationPolicy
) -> None:
    """Each begins where the one before ended; the last one is the state, since when it says."""
    run = Run(looks, policy)
    replayed: dict[EntityKey, Transition] = {}
    for one in run.transitions:
        key = (one.entity_type, one.entity)
        before = replayed.get(key)
        now = (one.to_status, one.to_reason, one.to_phase)
        assert now != (one.from_status, one.from_reason, one.from_phase)
        if before is None:
            assert (one.from_status, one.since) == (None, None)
        else:
            assert (one.from_status, one.from_reason, one.from_phase) == (
                before.to_status,
                before.to_reason,
                before.to_phase,
            )
            assert one.since == (before.began_at or before.observed_at)
        replayed[key] = one
    assert set(run.states) == set(replayed)
    for key, state in run.states.items():
        last = replayed[key]
        assert (state.status, state.reason, state.phase, state.since, state.failing_since) == (
            last.to_status,
            last.to_reason,
            last.to_phase,
            last.began_at or last.observed_at,
            last.failing_since,
        )


@given(sequences(), st.sampled_from([NEVER_FLAPS, DAMPED]))
@settings(max_examples=60)
def test_a_check_digested_twice_changes_nothing(
    looks: list[Seen], policy: ConfirmationPolicy
) -> None:
    """Wherever in the sequence it is repeated."""
    once, twice = Run(looks, policy), Run(looks, policy, twice=True)
    assert twice.states == once.states
    assert twice.suspicions == once.suspicions
    assert twice.transitions == once.transitions


@given(sequences())
@settings(max_examples=60)
def test_inconclusive_moves_nothing(looks: list[Seen]) -> None:
    """With or without such looks, states, suspicions and transitions are the same."""
    run = Run(looks, NEVER_FLAPS)
    assert Run(without_doubt(looks), NEVER_FLAPS).of(DOMAIN) == run.of(DOMAIN)
    unknown = Seen(
        (looks[-1].at if looks else START) + MINUTE, SEEN[-1], DnssecStatus.INDETERMINATE
    )
    before = (dict(run.states), dict(run.suspicions), len(run.transitions))
    result = run.take(unknown)
    assert (run.states, run.suspicions, len(run.transitions)) == before
    assert (result.states, result.cleared) == ({}, ())


def without_doubt(looks: list[Seen]) -> list[Seen]:
    return [seen for seen in looks if seen.judged.outcome is not HostOutcome.INCONCLUSIVE]


@given(sequences())
@settings(max_examples=80)
def test_failing_since_is_the_first_failing_look(looks: list[Seen]) -> None:
    """Of the stretch of looks that failed one after the other, none of them a day late.

    Where the looks are close enough together, that is: what nobody looked at for longer than
    ``forget_after`` begins anew unless it was confirmed.
    """
    run = Run([], NEVER_FLAPS)
    first: datetime | None = None
    confirmed = False
    failing = FAILING[EntityType.DOMAIN]
    for seen in without_doubt(looks):
        result = run.take(seen)
        state = run.states.get(DOMAIN)
        if status_at(seen, DOMAIN) not in failing:
            first, confirmed = None, False
        elif first is None or (not confirmed and seen.at - first > NEVER_FLAPS.forget_after):
            first = seen.at
        assert result.failing_since == first
        confirmed = state is not None and state.failing_since is not None
        if confirmed:
            assert state is not None
            assert state.failing_since == first
        for one in result.transitions:
            if one.entity_type is EntityType.DOMAIN and one.to_status in failing:
                assert first is not None
                assert (one.failing_since, one.bounces_from) == (first, first + QUEUE_LIFE)


@given(sequences())
@settings(max_examples=60)
def test_what_lasts_is_told_and_what_is_told_is_so(looks: list[Seen]) -> None:
    """Three looks half an hour apart settle every state on what they show."""
    run = Run(looks, NEVER_FLAPS)
    end = looks[-1].at if looks else START
    for judged in SEEN[:-1]:
        for turn in range(3):
            end += timedelta(minutes=30)
            run.take(Seen(end, judged, DnssecStatus.SECURE if turn else DnssecStatus.BOGUS))
        assert run.states[DOMAIN].reason == (judged.reason and judged.reason.value)
        assert run.states[EntityType.MX, "mx.example.net"].status == judged.outcome.value
        assert DOMAIN not in run.suspicions


@given(sequences(), st.integers(min_value=0, max_value=25))
@settings(max_examples=60)
def test_a_restart_anywhere_changes_nothing(looks: list[Seen], cut: int) -> None:
    """States and suspicions carry everything."""
    whole = Run(looks, NEVER_FLAPS)
    parts = Run(looks[:cut], NEVER_FLAPS)
    resumed = Run([], NEVER_FLAPS)
    resumed.states, resumed.suspicions = dict(parts.states), dict(parts.suspicions)
    for seen in looks[cut:]:
        resumed.take(seen)
    assert (resumed.states, resumed.suspicions) == (whole.states, whole.suspicions)
    assert parts.transitions + resumed.transitions == whole.transitions
