"""When domains are due: phases, the sender's ladder, restarts, and the queue of all of them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from scanner.model.monitoring import ScheduleEntry
from scanner.model.names import Name
from scanner.run.schedule import (
    EXCHANGE_ONLINE_LADDER,
    Cadence,
    Schedule,
    first_due,
    next_due,
    next_place,
    next_rung,
    phase_of,
    place_passed,
    resumed_due,
    retry_after,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
D = Name("example.org")
CADENCE = Cadence()


def attempts(failing_since: datetime, cadence: Cadence, *, days: float = 1.5) -> list[timedelta]:
    """Check a domain that never recovers at every due time; return when, from the first failure."""
    now, times = failing_since, [timedelta(0)]
    while now < failing_since + timedelta(days=days):
        now = next_due(D, now=now, cadence=cadence, failing_since=failing_since)
        times.append(now - failing_since)
    return times


def test_the_phase_is_a_matter_of_the_name_alone() -> None:
    """SHA-256 of the name, modulo the interval: the same after every restart."""
    assert phase_of(D, HOUR) == phase_of(Name("example.org"), HOUR)
    assert phase_of(D, HOUR) == timedelta(microseconds=0xBFABC37432958B06 % 3_600_000_000)
    assert timedelta(0) <= phase_of(D, HOUR) < HOUR


def test_phases_are_spread_evenly() -> None:
    """No minute of the hour has twice its share of 10,000 domains."""
    minutes = Counter(phase_of(Name(f"d{n}.example"), HOUR) // MINUTE for n in range(10_000))
    assert len(minutes) == 60
    assert max(minutes.values()) < 2 * 10_000 / 60


def test_a_place_is_the_same_second_of_every_interval() -> None:
    """And strictly after the moment asked for."""
    first = next_place(D, NOW, HOUR)
    assert NOW < first <= NOW + HOUR
    assert next_place(D, first, HOUR) == first + HOUR
    assert next_place(D, first - SECOND / 1_000_000, HOUR) == first


def test_a_late_check_keeps_its_place_and_missed_ones_are_not_made_up() -> None:
    """Half an hour late, or three hours late: the next one is at the usual second."""
    place = next_place(D, NOW, HOUR)
    for late in (timedelta(0), 30 * MINUTE, 3 * HOUR + 30 * MINUTE):
        due = next_due(D, now=place + late, cadence=CADENCE)
        assert (due - place) % HOUR == timedelta(0)
        assert timedelta(0) < due - (place + late) <= HOUR


def test_the_ladder_is_that_of_an_exchange_online_sender() -> None:
    """Scenario T50: 28 attempts at 0, 15, 30 and 45 minutes, then hourly to 24:45."""
    ladder = [step / MINUTE for step in EXCHANGE_ONLINE_LADDER]
    assert ladder == [0, 15, 30, 45, *(60 * hour + 45 for hour in range(1, 25))]
    assert len(ladder) == 28


def test_a_failing_domain_is_checked_on_every_rung_to_the_second_and_nowhere_else() -> None:
    """Then the usual place again, an hour apart."""
    times = attempts(NOW, CADENCE)
    rungs = list(EXCHANGE_ONLINE_LADDER)
    assert times[: len(rungs)] == rungs
    after = times[len(rungs) :]
    assert after[0] == next_place(D, NOW + rungs[-1] + MINUTE, HOUR) - NOW
    assert all(later - earlier == HOUR for earlier, later in pairwise(after))


def test_a_recovery_at_three_hours_is_seen_at_three_forty_five() -> None:
    """Scenario T50, second run: as the sender would know it."""
    seen = [time for time in attempts(NOW, CADENCE) if time >= 3 * HOUR]
    assert seen[0] == timedelta(hours=3, minutes=45)


def test_other_ladders_are_data() -> None:
    """The English text of 2022 has two quick retries."""
    quick = Cadence(ladder=tuple(timedelta(minutes=minutes) for minutes in (0, 15, 30, 90)))
    assert attempts(NOW, quick)[:4] == [timedelta(minutes=m) for m in (0, 15, 30, 90)]


def test_places_closer_than_the_rungs_count_beside_them() -> None:
    """Who checks every ten minutes goes on to do so while the sender waits for an hour."""
    every_ten = Cadence(interval=10 * MINUTE)
    times = attempts(NOW, every_ten, days=0.2)
    assert set(EXCHANGE_ONLINE_LADDER[:5]) <= set(times)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= 10 * MINUTE + MINUTE
    assert min(gaps) >= MINUTE


def test_a_second_look_has_its_own_time() -> None:
    """Between two rungs, or before the next place."""
    look = NOW + 5 * MINUTE
    assert next_due(D, now=NOW, cadence=CADENCE, failing_since=NOW, look_again_at=look) == look
    alone = next_due(D, now=next_place(D, NOW, HOUR), cadence=CADENCE, look_again_at=None)
    early = alone - 10 * MINUTE
    assert next_due(D, now=alone - HOUR, cadence=CADENCE, look_again_at=early) == early


def test_a_rung_soon_after_a_second_look_serves_for_both() -> None:
    """Never two checks within a minute; and the rung keeps its second."""
    for seconds in (1, 59):
        look = NOW + 15 * MINUTE - seconds * SECOND
        due = next_due(D, now=NOW, cadence=CADENCE, failing_since=NOW, look_again_at=look)
        assert due == NOW + 15 * MINUTE
    after = NOW + 15 * MINUTE + 30 * SECOND
    due = next_due(D, now=NOW, cadence=CADENCE, failing_since=NOW, look_again_at=after)
    assert due == NOW + 15 * MINUTE
    assert (
        next_due(D, now=due, cadence=CADENCE, failing_since=NOW, look_again_at=after)
        == due + MINUTE
    )


def test_a_place_soon_after_a_second_look_serves_for_both() -> None:
    """The later of the two, which is late enough for either."""
    place = next_place(D, NOW, HOUR)
    look = place - 20 * SECOND
    assert next_due(D, now=place - 30 * MINUTE, cadence=CADENCE, look_again_at=look) == place


def test_a_place_right_after_a_check_is_served_by_it() -> None:
    """A second look ten seconds before the place: the next check is an hour later."""
    place = next_place(D, NOW, HOUR)
    assert next_due(D, now=place - 10 * SECOND, cadence=CADENCE) == place + HOUR


def test_a_short_interval_keeps_its_pace() -> None:
    """The gap between two checks is at most half of the interval."""
    every_minute = Cadence(interval=MINUTE)
    place = next_place(D, NOW, MINUTE)
    assert next_due(D, now=place + 2 * SECOND, cadence=every_minute) == place + MINUTE


def test_a_failure_dated_into_the_future_has_no_ladder() -> None:
    """The clock was set back; the domain is checked at its place all the same."""
    assert next_rung(NOW + HOUR, NOW, CADENCE) is None
    due = next_due(D, now=NOW, cadence=CADENCE, failing_since=NOW + 24 * HOUR)
    assert due <= NOW + HOUR + MINUTE


def test_first_checks_come_within_the_hour_however_long_the_interval() -> None:
    """Nobody waits a week for the first verdict."""
    weekly = Cadence(interval=timedelta(days=7))
    dues = [first_due(Name(f"d{n}.example"), now=NOW, cadence=weekly) for n in range(600)]
    assert all(NOW < due <= NOW + HOUR for due in dues)
    per_minute = Counter((due - NOW) // MINUTE for due in dues)
    assert max(per_minute.values()) < 40


def test_after_a_restart_a_time_ahead_stands() -> None:
    """So the schedule of before goes on to the second."""
    entry = ScheduleEntry(domain=D, due_at=NOW + 17 * MINUTE, failing_since=NOW - HOUR)
    assert resumed_due(entry, now=NOW, cadence=CADENCE, late=HOUR) == entry.due_at


def test_after_a_restart_overdue_domains_are_spread_over_the_time_that_was_missed() -> None:
    """Ten minutes down: the 2,000 domains missed come within ten minutes, evenly."""
    entries = [
        ScheduleEntry(domain=Name(f"d{n}.example"), due_at=NOW - (n % 600) * SECOND)
        for n in range(2_000)
    ]
    dues = [resumed_due(entry, now=NOW, cadence=CADENCE, late=10 * MINUTE) for entry in entries]
    assert all(NOW < due <= NOW + 10 * MINUTE for due in dues)
    per_minute = Counter((due - NOW) // MINUTE for due in dues)
    assert max(per_minute.values()) < 300
    long_down = [
        resumed_due(entry, now=NOW, cadence=CADENCE, late=timedelta(days=3)) for entry in entries
    ]
    assert max(long_down) <= NOW + HOUR
    assert max(Counter((due - NOW) // MINUTE for due in long_down).values()) < 70


def test_after_a_restart_a_ladder_goes_on_where_the_sender_is() -> None:
    """The missed rung is not made up; the next one is to the second."""
    failing_since = NOW - 20 * MINUTE
    entry = ScheduleEntry(domain=D, due_at=failing_since + 15 * MINUTE, failing_since=failing_since)
    due = resumed_due(entry, now=NOW, cadence=CADENCE, late=timedelta(days=3))
    assert due <= failing_since + 30 * MINUTE
    later = next_due(D, now=due, cadence=CADENCE, failing_since=failing_since)
    assert later - failing_since in EXCHANGE_ONLINE_LADDER


def test_a_time_no_cadence_could_have_set_does_not_stand() -> None:
    """The interval was shortened, or the clock was wrong."""
    entry = ScheduleEntry(domain=D, due_at=NOW + timedelta(days=3))
    assert resumed_due(entry, now=NOW, cadence=CADENCE, late=HOUR) <= NOW + HOUR


def test_retries_after_a_fault_of_ours_wait_longer_and_longer() -> None:
    """A minute first, a quarter of an hour at most."""
    waits = [retry_after(failures, CADENCE) / MINUTE for failures in (1, 2, 3, 4, 5, 6, 99)]
    assert waits == [1, 2, 4, 8, 15, 15, 15]
    slow = Cadence(min_gap=5 * MINUTE)
    assert retry_after(1, slow) == 5 * MINUTE


@pytest.mark.parametrize(("before", "after", "passed"), [(-1, 0, True), (-1, -1, False)])
def test_a_place_has_passed_when_it_lies_between(before: int, after: int, passed: bool) -> None:
    """The end counts, the beginning does not."""
    place = next_place(D, NOW, 24 * HOUR)
    moments = [place + offset * SECOND for offset in (before, after)]
    assert place_passed(D, since=moments[0], now=moments[1], interval=24 * HOUR) is passed
    assert not place_passed(D, since=place, now=place + HOUR, interval=24 * HOUR)


# --- the queue ------------------------------------------------------------------------------------


def names(*letters: str) -> list[Name]:
    return [Name(letter) for letter in letters]


def test_what_is_due_comes_out_longest_first_and_waits_no_more() -> None:
    """And no more than asked for, nor what is not due."""
    schedule = Schedule((Name(letter), NOW + n * MINUTE) for n, letter in enumerate("abcd"))
    assert len(schedule) == 4
    assert schedule.next_due_at() == NOW
    assert schedule.pop_due(NOW + 2 * MINUTE, 2) == names("a", "b")
    assert Name("a") not in schedule
    assert schedule.pop_due(NOW + 2 * MINUTE, 5) == names("c")
    assert schedule.pop_due(NOW + 2 * MINUTE, 5) == []
    assert (len(schedule), schedule.next_due_at()) == (1, NOW + 3 * MINUTE)


def test_a_moved_domain_counts_at_its_new_time_only() -> None:
    """Forward, back, and to the same time again."""
    schedule = Schedule([(D, NOW), (Name("other"), NOW + MINUTE)])
    schedule.put(D, NOW + HOUR)
    assert schedule.pop_due(NOW) == []
    assert schedule.next_due_at() == NOW + MINUTE
    schedule.put(D, NOW)
    assert schedule.due_of(D) == NOW
    assert schedule.overdue(NOW + MINUTE) == 2
    assert schedule.pop_due(NOW + 2 * HOUR, 9) == [D, Name("other")]
    assert schedule.next_due_at() is None


def test_a_removed_domain_never_comes_out() -> None:
    """Nor is it an error to remove what does not wait."""
    schedule = Schedule([(D, NOW)])
    schedule.remove(D)
    schedule.remove(D)
    assert (len(schedule), schedule.next_due_at()) == (0, None)
    assert schedule.pop_due(NOW + HOUR) == []
    assert schedule.overdue(NOW + HOUR) == 0


def test_overdue_domains_are_counted() -> None:
    """Those that are due and wait, whatever was moved or removed."""
    schedule = Schedule((Name(f"d{n}"), NOW + n * SECOND) for n in range(100))
    for n in range(0, 20, 2):
        schedule.remove(Name(f"d{n}"))
    schedule.put(Name("d1"), NOW + HOUR)
    assert schedule.overdue(NOW + 49 * SECOND) == 50 - 10 - 1
    assert schedule.overdue(NOW - SECOND) == 0


def test_the_queue_forgets_what_was_moved_a_million_times() -> None:
    """Dead entries never outnumber the living by much."""
    schedule = Schedule((Name(f"d{n}"), NOW) for n in range(100))
    for turn in range(5_000):
        schedule.put(Name(f"d{turn % 100}"), NOW + turn * SECOND)
    assert len(schedule._heap) <= 2 * 100 + 65
    for n in range(100):
        schedule.remove(Name(f"d{n}"))
    assert len(schedule._heap) <= 65
