"""What holds for every sequence of checks that is folded."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from some_looks import START, look

from scanner.model.transition import State, Transition
from scanner.model.vocabulary import DeliveryPhase, DomainVerdict, Profile
from scanner.transition.fold import fold

QUEUE_LIFE = timedelta(hours=24)
FAILING = {"blocked", "deferred"}

observations = st.lists(
    st.tuples(
        st.sampled_from([verdict.value for verdict in DomainVerdict]),
        st.sampled_from([None, "tlsa-mismatch", "certificate-expired"]),
        st.integers(min_value=1, max_value=20),
    ),
    max_size=30,
)
Step = tuple[datetime, str, str | None]


def times(drawn: list[tuple[str, str | None, int]]) -> list[Step]:
    """Turn gaps in hours into moments."""
    at = START
    steps = []
    for status, reason, gap in drawn:
        at += timedelta(hours=gap)
        steps.append((at, status, reason))
    return steps


def run(steps: list[Step], state: State | None = None) -> tuple[State | None, list[Transition]]:
    """Fold all ``steps``."""
    transitions = []
    for at, status, reason in steps:
        state, transition = fold(
            state,
            look(status, reason, at=at),
            profile=Profile.EXCHANGE_ONLINE,
            queue_life=QUEUE_LIFE,
            run_id="run",
        )
        if transition is not None:
            transitions.append(transition)
    return state, transitions


@given(observations)
def test_a_replay_changes_nothing(drawn: list[tuple[str, str | None, int]]) -> None:
    """Folding the same checks over their own outcome is silent."""
    steps = times(drawn)
    state, _ = run(steps)
    assert run(steps, state) == (state, [])


@given(observations, st.integers(min_value=0, max_value=30))
def test_a_pass_may_be_cut_anywhere(drawn: list[tuple[str, str | None, int]], cut: int) -> None:
    """State carries everything: two parts fold to the same as the whole."""
    steps = times(drawn)
    state, first = run(steps[:cut])
    end, second = run(steps[cut:], state)
    assert (end, first + second) == run(steps)


@given(observations)
def test_consecutive_transitions_differ_and_form_a_chain(
    drawn: list[tuple[str, str | None, int]],
) -> None:
    """Each begins where the one before ended, and says since when."""
    _, transitions = run(times(drawn))
    before: Transition | None = None
    for one in transitions:
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
            assert one.since == before.observed_at
        before = one


@given(observations)
def test_inconclusive_checks_leave_no_trace(drawn: list[tuple[str, str | None, int]]) -> None:
    """With or without them, the history is the same."""
    steps = times(drawn)
    conclusive = [one for one in steps if one[1] != "inconclusive"]
    assert run(steps) == run(conclusive)


@given(observations)
def test_the_bounce_time_stands_still_while_mail_fails(
    drawn: list[tuple[str, str | None, int]],
) -> None:
    """Within one stretch of failure bounces_from never moves, and phases follow it."""
    _, transitions = run(times(drawn))
    stretch: datetime | None = None
    for one in transitions:
        if one.to_status not in FAILING:
            assert one.bounces_from is None
            stretch = None
            continue
        assert one.bounces_from is not None
        assert stretch in (None, one.bounces_from)
        stretch = one.bounces_from
        bouncing = one.observed_at >= one.bounces_from
        assert (one.to_phase is DeliveryPhase.BOUNCING) == bouncing


@given(observations)
def test_the_state_agrees_with_the_last_transition(
    drawn: list[tuple[str, str | None, int]],
) -> None:
    """So that states can be read back from transitions alone."""
    state, transitions = run(times(drawn))
    if state is None:
        assert transitions == []
        return
    last = transitions[-1]
    assert (state.status, state.reason, state.phase) == (
        last.to_status,
        last.to_reason,
        last.to_phase,
    )
    assert (state.since, state.failing_since) == (last.observed_at, last.failing_since)
