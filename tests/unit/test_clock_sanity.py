"""Our clock against signatures that others make all day: found wrong, and never wrongly so."""

from datetime import UTC, datetime, timedelta

import pytest

from scanner.model.names import Name
from scanner.run.clocksanity import (
    ClockJudgement,
    ClockPolicy,
    ClockSigns,
    WitnessSeen,
    judge_clock,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
COM, NET, SLOW = Name("com"), Name("net"), Name("slow.test")
POLICY = ClockPolicy()


def seen(zone: Name, age: timedelta | None) -> WitnessSeen:
    return WitnessSeen(zone=zone, inception=None if age is None else NOW - age)


def judged(
    *witnesses: WitnessSeen,
    signs: ClockSigns | None = None,
    fast: frozenset[Name] = frozenset(),
) -> ClockJudgement:
    return judge_clock(witnesses, signs or ClockSigns(), now=NOW, fast=fast, policy=POLICY)


@pytest.mark.parametrize("age", [-POLICY.tolerance, timedelta(0), HOUR, POLICY.usual_age])
def test_a_witness_with_a_new_signature_proves_the_clock(age: timedelta) -> None:
    """And is remembered as one that signs often."""
    found = judged(seen(COM, age))
    assert found == ClockJudgement(ok=True, fast=frozenset({COM}))


def test_a_signature_from_the_future_shows_a_clock_that_is_behind() -> None:
    """22 hours ahead of us, where signers date back by an hour or two."""
    found = judged(seen(COM, -22 * HOUR))
    assert found.ok is False
    assert found.sentence == "The newest signature of com begins 22 hours after our time."


def test_one_signer_with_a_wrong_clock_blinds_nobody_while_another_agrees() -> None:
    """The fault is the signer's."""
    assert judged(seen(COM, -22 * HOUR), seen(NET, HOUR)).ok is True


def test_a_slow_signer_neither_proves_nor_disproves_beside_a_future_signature() -> None:
    """A witness that signs every week says nothing about a clock that is a day behind."""
    assert judged(seen(SLOW, 5 * DAY), seen(COM, -22 * HOUR)).ok is False


@pytest.mark.parametrize("synchronised", [True, None])
def test_a_slow_signer_never_raises_an_alarm_by_itself(synchronised: bool | None) -> None:
    """It is told as a notice, with both explanations."""
    found = judged(seen(SLOW, 5 * DAY), signs=ClockSigns(synchronised=synchronised))
    assert (found.ok, found.sentence) == (None, None)
    assert found.notice == (
        "the newest signature of slow.test is 5 days old: our clock is ahead, or slow.test signs "
        "too seldom to be a clock witness"
    )


@pytest.mark.parametrize(
    ("signs", "fast", "words"),
    [
        (ClockSigns(), frozenset({COM}), "it used to be younger"),
        (ClockSigns(dates_failed="canary.test: too old"), frozenset(), "canary.test: too old"),
        (ClockSigns(offset=DAY), frozenset(), "our clock was set by 24 hours"),
        (ClockSigns(synchronised=False), frozenset(), "the kernel calls our clock unsynchronised"),
    ],
)
def test_old_signatures_and_one_more_sign_show_a_clock_that_is_ahead(
    signs: ClockSigns, fast: frozenset[Name], words: str
) -> None:
    """Each of the signs is enough."""
    found = judged(seen(COM, 26 * HOUR), seen(NET, None), signs=signs, fast=fast)
    assert found.ok is False
    assert found.sentence == f"The newest signature of com is 26 hours old, and {words}."


def test_a_fast_witness_that_is_silent_now_is_no_sign_against_a_slow_one() -> None:
    """Only those that answer count as having been younger."""
    found = judged(seen(SLOW, 5 * DAY), seen(COM, None), fast=frozenset({COM}))
    assert found.ok is None


def test_nothing_is_known_without_witnesses() -> None:
    """Neither right nor wrong; the kernel's word alone is not the time."""
    assert judged().ok is None
    assert judged(seen(COM, None), signs=ClockSigns(synchronised=True)).ok is None
    assert judged(signs=ClockSigns(synchronised=False)).ok is None


def test_signatures_that_fail_by_their_dates_show_a_wrong_clock_without_witnesses() -> None:
    """Where they should not fail: the root, or most canaries."""
    found = judged(signs=ClockSigns(dates_failed="The signatures of the root fail"))
    assert found.ok is False
    assert found.sentence == (
        "The signatures of the root fail, which is nobody's fault but the clock's."
    )


@pytest.mark.parametrize("offset", [DAY, -DAY])
def test_a_clock_that_was_set_is_wrong_until_something_vouches_for_it(offset: timedelta) -> None:
    """The kernel, a witness, or being set back."""
    assert judged(signs=ClockSigns(offset=offset)).ok is False
    assert judged(signs=ClockSigns(offset=offset, synchronised=False)).ok is False
    assert judged(signs=ClockSigns(offset=offset, synchronised=True)).ok is None
    assert judged(seen(COM, HOUR), signs=ClockSigns(offset=offset)).ok is True
    assert judged(signs=ClockSigns(offset=POLICY.jump)).ok is None


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (-timedelta(minutes=10), "10 minutes"),
        (-timedelta(minutes=5, seconds=10), "5 minutes"),
        (-3 * DAY, "3 days"),
    ],
)
def test_spans_are_told_in_the_unit_that_fits(age: timedelta, words: str) -> None:
    """Two of a unit at least."""
    assert words in (judged(seen(COM, age)).sentence or "")


def test_a_short_jump_is_told_in_seconds() -> None:
    """Below two minutes."""
    found = judged(signs=ClockSigns(offset=timedelta(seconds=90)))
    assert found.sentence == (
        "Our clock was set by 90 seconds while we ran, and nothing vouches for it."
    )
