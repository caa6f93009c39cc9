"""The monitoring service over fakes, in pretended time: schedule, faults, restarts, stop."""

import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
import trio
import trio.testing
from scripted_world import (
    DOWN,
    EXO,
    LATENCY_SECONDS,
    OWN_FAULT,
    START,
    THROTTLED,
    MemoryStore,
    Service,
    Trouble,
    World,
    service,
    targets,
)

from scanner.model.meter import OwnMetric
from scanner.model.monitoring import ScheduleEntry, StoredState, Suspicion
from scanner.model.names import Name
from scanner.model.vocabulary import DeliveryPhase, EntityType
from scanner.run.clock import ScaledClock
from scanner.run.ledger import MonitorPolicy
from scanner.run.monitor import MonitorLimits, StoppedError
from scanner.run.outflow import OutflowLimits
from scanner.run.schedule import EXCHANGE_ONLINE_LADDER, Cadence, next_place

HOUR = 3_600.0
D = Name("d0.example")
CALM = MonitorLimits(lag_tick_seconds=6 * HOUR, gauges_seconds=HOUR, gate_seconds=HOUR)
"""Fewer ticks than usual: pretended days pass."""

Clock = trio.testing.MockClock


def world(number: int = 20, *, troubles: tuple[Trouble, ...] = (), hosts: int = 0) -> World:
    """``number`` domains, each with its own host, or sharing so many ``hosts``."""
    return World(
        ScaledClock(START),
        {f"d{n}.example": f"mx{n % (hosts or number)}.example" for n in range(number)},
        troubles=troubles,
    )


async def start(nursery: trio.Nursery, parts: Service) -> Service:
    await nursery.start(parts.monitor.run)
    return parts


async def stopped(parts: Service, grace_seconds: float = 30.0) -> None:
    """Stop the service and give it the time to end."""
    parts.monitor.stop(grace_seconds)
    await trio.sleep(grace_seconds + CALM.finish_seconds + 1)


def first_place(domain: Name = D) -> float:
    """Seconds from the start to the first place of ``domain``."""
    return (next_place(domain, START, timedelta(hours=1)) - START).total_seconds()


def told(parts: Service, kind: EntityType = EntityType.DOMAIN) -> int:
    value = parts.meter.get(OwnMetric.TRANSITIONS, kind.value)
    return int(value or 0)


# --- the schedule at work -------------------------------------------------------------------------


async def test_every_domain_is_checked_once_an_hour_at_its_place(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """For two days, to the second."""
    parts = await start(nursery, service(world(), limits=CALM))
    await trio.sleep(48 * HOUR)
    for domain, looks in parts.world.looks.items():
        first = first_place(Name(domain))
        assert looks == pytest.approx([first + n * HOUR for n in range(48)], abs=1e-3)
    assert len(parts.world.looks) == 20
    nursery.cancel_scope.cancel()


async def test_a_failing_domain_is_checked_when_the_sender_tries_again(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """Scenario T50: 28 attempts to the second, one look between to confirm, then each hour."""
    trouble = Trouble(host="mx0.example", begins=HOUR, ends=99 * HOUR)
    parts = service(world(1, troubles=(trouble,)), limits=CALM)
    await start(nursery, parts)
    await trio.sleep(30 * HOUR)
    first = first_place() + HOUR
    looks = [look - first for look in parts.world.looks[D] if look >= first - 1]
    rungs = [step.total_seconds() for step in EXCHANGE_ONLINE_LADDER]
    confirming = [5 * 60.0]
    assert looks[: 28 + 1] == pytest.approx(sorted(rungs + confirming), abs=1e-3)
    state = parts.store.states[EntityType.DOMAIN, D]
    assert state.phase is DeliveryPhase.BOUNCING
    assert state.failing_since is not None
    assert (state.failing_since - START).total_seconds() == pytest.approx(first, abs=1e-3)
    nursery.cancel_scope.cancel()


async def test_recovery_is_known_as_the_sender_would_know_it(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Scenario T50, second run: fixed at 3:00, delivered at 3:45."""
    first = first_place() + HOUR
    trouble = Trouble(host="mx0.example", begins=HOUR, ends=first + 3 * HOUR)
    parts = await start(nursery, service(world(1, troubles=(trouble,)), limits=CALM))
    await trio.sleep(12 * HOUR)
    state = parts.store.states[EntityType.DOMAIN, D]
    assert state.status == "protected"
    assert (state.since - START).total_seconds() == pytest.approx(
        first + 3 * HOUR + 45 * 60, abs=1e-3
    )
    assert told(parts) == 3
    nursery.cancel_scope.cancel()


async def test_a_glitch_costs_one_more_look_and_tells_nothing(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """The domain is looked at again after the TTL, and is fine."""
    first = first_place() + HOUR
    trouble = Trouble(host="mx0.example", begins=first - 1, ends=first + 60, judged=DOWN)
    parts = await start(nursery, service(world(1, troubles=(trouble,)), limits=CALM))
    await trio.sleep(4 * HOUR)
    assert told(parts) == 1
    looks = [look - first for look in parts.world.looks[D]]
    assert looks == pytest.approx([-HOUR, 0, 300, HOUR, 2 * HOUR][: len(looks)], abs=1e-3)
    assert parts.monitor.ledger.suspicions == {}
    nursery.cancel_scope.cancel()


async def test_a_shared_host_is_told_once_and_looked_at_again_by_one_domain(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """A hundred domains behind it: each fails for itself, the host once."""
    parts = service(
        world(100, hosts=1, troubles=(Trouble(host="mx0.example", begins=HOUR, ends=3 * HOUR),)),
        limits=CALM,
    )
    await start(nursery, parts)
    await trio.sleep(6 * HOUR)
    assert told(parts, EntityType.MX) == 3  # first sight, failed, authenticated
    assert told(parts) == 300
    nursery.cancel_scope.cancel()


async def test_no_more_domains_are_in_flight_than_allowed(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """The rest waits, longest due first, and the queue is seen."""
    slow = world(400)
    slow.latency_seconds = 120.0
    limits = MonitorLimits(domains_in_flight=5, slow_domains_in_flight=0, gauges_seconds=60.0)
    parts = service(slow, limits=limits)
    await start(nursery, parts)
    await trio.sleep(HOUR)
    assert slow.most_at_once == 5
    assert parts.meter.get(OwnMetric.IN_FLIGHT, "domain") == 5
    assert (parts.meter.get(OwnMetric.SCHEDULER_QUEUE_LENGTH) or 0) > 100
    oldest = parts.meter.get(OwnMetric.SCHEDULER_OLDEST_DUE)
    assert oldest is not None
    assert oldest < parts.clock.now().timestamp() - HOUR / 3
    nursery.cancel_scope.cancel()


async def test_gauges_and_lag_are_measured(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    """And the oldest due time is absent while none waits."""
    parts = await start(nursery, service(world(3)))
    await trio.sleep(20)
    assert parts.meter.get(OwnMetric.TARGETS) == 3
    assert parts.meter.get(OwnMetric.SCHEDULER_INTERVAL) == HOUR
    assert parts.meter.get(OwnMetric.SUSPICIONS) == 0
    assert parts.meter.get(OwnMetric.SCHEDULER_OLDEST_DUE) is None
    assert parts.meter.observed[OwnMetric.EVENT_LOOP_LAG] >= 19
    nursery.cancel_scope.cancel()


# --- blindness and our own faults -----------------------------------------------------------------


async def test_while_blind_nothing_is_checked_and_then_caught_up_without_a_burst(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """Half an hour blind: what was missed is spread over the next half hour."""
    parts = await start(nursery, service(world(600), limits=CALM))
    await trio.sleep(2 * HOUR)
    parts.gate.close("the resolver is down")
    await trio.sleep(1)
    before = {domain: len(looks) for domain, looks in parts.world.looks.items()}
    await trio.sleep(HOUR / 2)
    assert {domain: len(looks) for domain, looks in parts.world.looks.items()} == before
    parts.gate.open()
    reopened = parts.world.seconds()
    await trio.sleep(HOUR)
    after = [
        look - reopened
        for looks in parts.world.looks.values()
        for look in looks
        if look >= reopened
    ]
    assert len(after) >= 600
    per_minute = Counter(look // 60 for look in after)
    assert max(per_minute.values()) < 3 * 600 / 60
    nursery.cancel_scope.cancel()


async def test_a_check_that_ends_while_blind_changes_nothing(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Nor does one that began before and ends after we were blind."""
    slow = world(1)
    slow.latency_seconds = 30.0
    parts = await start(nursery, service(slow))
    await trio.sleep(first_place() + 5)
    parts.gate.close("blind")
    await trio.sleep(10)
    parts.gate.open()
    await trio.sleep(30)
    assert len(slow.looks[D]) == 1
    assert parts.store.states == {}
    assert parts.gate.noted == 0
    await trio.sleep(120)
    assert parts.store.states[EntityType.DOMAIN, D].status == "protected"
    nursery.cancel_scope.cancel()


async def test_what_the_gate_holds_back_is_looked_at_again_soon(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """A minute later, then two, four, eight, and every quarter of an hour."""
    parts = service(world(1), limits=CALM)
    parts.gate.refuses = lambda _: True
    await start(nursery, parts)
    await trio.sleep(first_place() + HOUR)
    looks = parts.world.looks[D]
    gaps = [round(later - earlier) for earlier, later in pairwise(looks)]
    assert gaps[:6] == [60, 120, 240, 480, 900, 900]
    assert parts.store.transactions == 0
    parts.gate.refuses = lambda _: False
    await trio.sleep(HOUR)
    assert told(parts) == 1
    nursery.cancel_scope.cancel()


async def test_a_check_without_a_trusted_resolver_changes_nothing(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Case 47, in the service: verdicts freeze, and are looked at again soon."""
    parts = await start(nursery, service(world(1), limits=CALM))
    await trio.sleep(first_place() + 1)
    parts.world.trusted = False
    await trio.sleep(HOUR + 10 * 60)
    assert parts.store.states[EntityType.DOMAIN, D].last_seen_at < START + timedelta(hours=1)
    assert len(parts.world.looks[D]) >= 4
    assert parts.meter.get(OwnMetric.CHECKS, "domain") == 1
    nursery.cancel_scope.cancel()


async def test_a_fault_of_ours_is_shown_and_looked_at_again_soon(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """The verdict is inconclusive; the state keeps the last one and its age."""
    first = first_place() + HOUR
    trouble = Trouble(host="mx0.example", begins=first - 1, ends=first + 100, judged=OWN_FAULT)
    parts = await start(nursery, service(world(1, troubles=(trouble,)), limits=CALM))
    await trio.sleep(first + 1)
    assert parts.board.shown[D].judgement.of(EXO).verdict == "inconclusive"
    assert parts.board.states[D][EntityType.DOMAIN, D].status == "protected"
    assert parts.meter.get(OwnMetric.CHECK_FAILURES, "domain", "resolver-down") == 1
    await trio.sleep(300)
    looks = [look - first for look in parts.world.looks[D]]
    assert looks == pytest.approx([-HOUR, 0, 60, 180], abs=1)
    assert told(parts) == 1
    nursery.cancel_scope.cancel()


async def test_a_domain_that_turns_us_away_is_left_alone_until_its_place(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Case 86: to come back in a minute would make it worse; the last verdict stays."""
    first = first_place() + HOUR
    trouble = Trouble(host="mx0.example", begins=first - 1, ends=first + 100, judged=THROTTLED)
    parts = await start(nursery, service(world(1, troubles=(trouble,)), limits=CALM))
    await trio.sleep(first + 1.5 * HOUR)
    looks = [look - first for look in parts.world.looks[D]]
    assert looks == pytest.approx([-HOUR, 0, HOUR], abs=1)
    assert told(parts) == 1
    assert parts.meter.get(OwnMetric.CHECK_FAILURES, "domain", "throttled") == 1
    nursery.cancel_scope.cancel()


async def test_a_bug_in_one_check_ends_nothing(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged, the domain is tried again soon, the others never notice."""
    buggy = world(5)
    buggy.bug = lambda domain: domain == D
    parts = await start(nursery, service(buggy, limits=CALM))
    await trio.sleep(3 * HOUR)
    assert len(buggy.looks[D]) > 8
    assert all(len(looks) == 3 for domain, looks in buggy.looks.items() if domain != D)
    assert parts.meter.get(OwnMetric.TASK_CRASHES, "check") == len(buggy.looks[D])
    assert "bug in check: RuntimeError" in caplog.text
    nursery.cancel_scope.cancel()


# --- asking for a check ---------------------------------------------------------------------------


async def test_a_check_now_counts_like_any_other_and_moves_nothing_in_the_schedule(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """The next one is at the usual place."""
    parts = await start(nursery, service(world(1), limits=CALM))
    check = await parts.monitor.check_now(D)
    assert check is not None
    assert check.domain == D
    await trio.sleep(1)
    assert told(parts) == 1
    await trio.sleep(3 * HOUR)
    first = first_place()
    looks = parts.world.looks[D]
    assert looks == pytest.approx([0, first, first + HOUR, first + 2 * HOUR], abs=1)
    nursery.cancel_scope.cancel()


async def test_a_check_now_does_not_put_off_the_second_look(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """It came too early to confirm anything, so the one that was planned is made."""
    trouble = Trouble(host="mx0.example", begins=0, ends=99 * HOUR)
    parts = await start(nursery, service(world(1, troubles=(trouble,)), limits=CALM))
    await trio.sleep(first_place() + 100)
    await parts.monitor.check_now(D)
    assert told(parts) == 0
    await trio.sleep(201)
    assert told(parts) == 1
    nursery.cancel_scope.cancel()


async def test_who_asks_for_a_check_that_runs_gets_that_one(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """One look at a domain at a time."""
    slow = world(1)
    slow.latency_seconds = 20.0
    parts = await start(nursery, service(slow, limits=CALM))
    await trio.sleep(first_place() + 5)
    got = []

    async def ask() -> None:
        got.append(await parts.monitor.check_now(D))

    nursery.start_soon(ask)
    nursery.start_soon(ask)
    await trio.sleep(16)
    assert len(got) == 2
    assert got[0] is got[1]
    assert len(slow.looks[D]) == 1
    nursery.cancel_scope.cancel()


async def test_a_check_of_a_strange_domain_leaves_no_trace(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """For ``/probe`` of any domain, where that is allowed."""
    parts = await start(nursery, service(world(2), domains=["d0.example"], limits=CALM))
    check = await parts.monitor.check_now(Name("d1.example"))
    assert check is not None
    await trio.sleep(3 * HOUR)
    assert len(parts.world.looks["d1.example"]) == 1
    assert (EntityType.DOMAIN, "d1.example") not in parts.store.states
    nursery.cancel_scope.cancel()


async def test_a_check_now_that_is_given_up_leaves_the_schedule_as_it_was(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """Whoever asked hung up."""
    slow = world(1)
    slow.latency_seconds = 20.0
    parts = await start(nursery, service(slow, limits=CALM))
    with trio.move_on_after(1):
        await parts.monitor.check_now(D)
    await trio.sleep(first_place() + 30)
    assert slow.looks[D] == pytest.approx([0, first_place()], abs=1)
    nursery.cancel_scope.cancel()


# --- targets and cadence --------------------------------------------------------------------------


async def test_targets_come_and_go_and_those_that_stay_keep_their_places(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """Removed ones are forgotten by store and page; new ones begin at their place."""
    parts = service(world(4), domains=["d0.example", "d1.example"], limits=CALM)
    await start(nursery, parts)
    await trio.sleep(2 * HOUR)
    parts.monitor.set_targets(targets(["d1.example", "d2.example"], (("team", "b"),)))
    await trio.sleep(2 * HOUR)
    assert len(parts.world.looks["d0.example"]) == 2
    assert len(parts.world.looks["d1.example"]) == 4
    assert len(parts.world.looks["d2.example"]) == 2
    assert set(parts.store.schedule) == {"d1.example", "d2.example"}
    assert parts.board.retained == ("d1.example", "d2.example")
    assert parts.board.labels[Name("d1.example")] == (("team", "b"),)
    assert parts.meter.get(OwnMetric.TARGETS) == 2
    nursery.cancel_scope.cancel()


async def test_a_domain_that_comes_back_has_its_old_state(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """A list that was broken for an hour makes no news."""
    parts = await start(nursery, service(world(2), limits=CALM))
    await trio.sleep(2 * HOUR)
    parts.monitor.set_targets(targets(["d1.example"]))
    await trio.sleep(HOUR)
    parts.monitor.set_targets(targets(["d0.example", "d1.example"]))
    await trio.sleep(2 * HOUR)
    assert told(parts) == 2
    assert D in parts.store.schedule
    nursery.cancel_scope.cancel()


async def test_a_domain_removed_while_it_is_checked_is_gone(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Its check comes to nothing."""
    slow = world(2)
    slow.latency_seconds = 20.0
    parts = await start(nursery, service(slow, limits=CALM))
    await trio.sleep(first_place() + 5)
    parts.monitor.set_targets(targets(["d1.example"]))
    await trio.sleep(3 * HOUR)
    assert (EntityType.DOMAIN, D) not in parts.store.states
    assert len(slow.looks[D]) == 1
    nursery.cancel_scope.cancel()


async def test_a_domain_that_comes_back_while_it_is_checked_is_checked_once_at_a_time(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """A list that was broken for a minute ends nothing."""
    slow = world(2)
    slow.latency_seconds = 1.5 * HOUR
    parts = await start(nursery, service(slow, limits=CALM))
    await trio.sleep(first_place() + 5)
    parts.monitor.set_targets(targets(["d1.example"]))
    parts.monitor.set_targets(targets(["d0.example", "d1.example"]))
    await trio.sleep(1.4 * HOUR)
    assert len(slow.looks[D]) == 1
    await trio.sleep(6 * HOUR)
    assert len(slow.looks[D]) > 2
    assert parts.monitor.ledger.states[EntityType.DOMAIN, D].status == "protected"
    nursery.cancel_scope.cancel()


async def test_a_domain_removed_before_its_check_begins_is_not_checked(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """The dispatcher had taken it out already."""
    parts = service(world(1), limits=CALM)
    await start(nursery, parts)
    flight = parts.monitor._begin(D)
    parts.monitor.set_targets([])
    assert await parts.monitor._look(D, flight, None) is None
    assert parts.world.looks == {}
    nursery.cancel_scope.cancel()


async def test_a_new_cadence_holds_at_once(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    """Shorter or longer; nobody waits longer than he would have."""
    parts = service(
        world(10),
        policy=MonitorPolicy(run_id="r", cadence=Cadence(interval=timedelta(days=1))),
        limits=CALM,
    )
    await start(nursery, parts)
    await trio.sleep(2 * HOUR)
    assert all(len(looks) == 1 for looks in parts.world.looks.values())
    await parts.monitor.set_cadence(Cadence(interval=timedelta(minutes=10)))
    await trio.sleep(HOUR)
    assert all(6 <= len(looks) <= 8 for looks in parts.world.looks.values())
    await parts.monitor.set_cadence(Cadence(interval=timedelta(hours=6)))
    before = {domain: len(looks) for domain, looks in parts.world.looks.items()}
    await trio.sleep(6 * HOUR)
    extra = [len(looks) - before[domain] for domain, looks in parts.world.looks.items()]
    assert set(extra) <= {1, 2}
    nursery.cancel_scope.cancel()


# --- restarts -------------------------------------------------------------------------------------


async def test_a_restart_goes_on_with_phases_ladders_and_suspicions(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """The looks of before and after are those of a service that was never stopped."""
    troubles = (Trouble(host="mx0.example", begins=HOUR, ends=99 * HOUR),)
    parts = await start(nursery, service(world(5, troubles=troubles), limits=CALM))
    suspected = first_place() + HOUR
    await trio.sleep(suspected + 100)
    await stopped(parts)
    assert set(parts.store.suspicions) == {
        (EntityType.DOMAIN, D),
        (EntityType.MX, "mx0.example"),
    }
    again = service(parts.world, store=MemoryStore(parts.store.stored()), limits=CALM)
    await start(nursery, again)
    await trio.sleep(5 * HOUR)
    looks = [look - suspected for look in parts.world.looks[D] if look >= suspected - 1]
    expected = [0, 300, 900, 1800, 2700, 6300, 9900, 13500, 17100]
    assert looks[: len(expected)] == pytest.approx(expected, abs=1e-3)
    for domain in ("d1.example", "d2.example"):
        places = [(look - first_place(Name(domain))) % HOUR for look in parts.world.looks[domain]]
        assert all(min(place, HOUR - place) < 1 for place in places)
    state = again.store.states[EntityType.DOMAIN, D]
    assert state.failing_since is not None
    assert (state.failing_since - START).total_seconds() == pytest.approx(suspected, abs=1e-3)
    assert told(again) == 1
    assert again.board.restored == parts.store.stored().snapshots
    nursery.cancel_scope.cancel()


async def test_a_restart_after_a_day_down_makes_no_burst(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Everything is overdue; it comes spread over an hour, and nobody is told anything."""
    parts = await start(nursery, service(world(600), limits=CALM))
    await trio.sleep(2 * HOUR)
    await stopped(parts)
    parts.world.looks.clear()
    await trio.sleep(24 * HOUR)
    again = service(parts.world, store=MemoryStore(parts.store.stored()), limits=CALM)
    begun = parts.world.seconds()
    await start(nursery, again)
    await trio.sleep(HOUR)
    looks = [look - begun for looks in parts.world.looks.values() for look in looks]
    assert len(looks) == 600
    assert max(Counter(look // 60 for look in looks).values()) < 3 * 600 / 60
    assert told(again) == 0
    nursery.cancel_scope.cancel()


async def test_a_restart_after_the_clock_was_set_back_makes_no_burst(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Every place of the schedule lies days ahead."""
    clock = JumpingClock()
    jumped = World(clock, {f"d{n}.example": f"mx{n}.example" for n in range(600)})
    parts = await start(nursery, service(jumped, limits=CALM))
    await trio.sleep(2 * HOUR)
    await stopped(parts)
    jumped.looks.clear()
    clock.offset = timedelta(days=-2)
    again = service(jumped, store=MemoryStore(parts.store.stored()), limits=CALM)
    begun = jumped.seconds()
    await start(nursery, again)
    await trio.sleep(HOUR)
    looks = [look - begun for looks in jumped.looks.values() for look in looks]
    assert len(looks) == 600
    assert max(Counter(look // 60 for look in looks).values()) < 3 * 600 / 60
    nursery.cancel_scope.cancel()


async def test_a_restart_takes_up_the_suspicion_of_a_host_that_nobody_raised(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Whoever meets it first looks again, and it began where it was first seen."""
    shared = world(2, hosts=1, troubles=(Trouble(host="mx0.example", begins=0, ends=99 * HOUR),))
    raised = Suspicion(
        entity_type=EntityType.MX,
        entity="mx0.example",
        profile=EXO,
        status="failed",
        reason="tlsa-mismatch",
        phase=DeliveryPhase.DEFERRING,
        first_seen_at=START - timedelta(minutes=10),
        confirm_after=START + timedelta(hours=1, minutes=5),
    )
    store = MemoryStore(StoredState(suspicions={raised.key: raised}))
    parts = await start(nursery, service(shared, store=store, limits=CALM))
    await trio.sleep(HOUR + 5 * 60 + 30)
    assert parts.store.states[raised.key].since == raised.first_seen_at
    extra = [len(looks) for looks in shared.looks.values()]
    assert sum(extra) <= 2 * 5 + 1
    nursery.cancel_scope.cancel()


async def test_domains_no_longer_watched_are_forgotten_at_the_start(
    autojump_clock: Clock,
    nursery: trio.Nursery,
) -> None:
    """The list changed while the service was down."""
    gone = Name("gone.example")
    stored = StoredState(schedule={gone: ScheduleEntry(domain=gone, due_at=START)})
    parts = service(world(1), store=MemoryStore(stored), limits=CALM)
    await start(nursery, parts)
    await trio.sleep(1)
    assert parts.store.schedule == {}
    nursery.cancel_scope.cancel()


async def test_a_state_that_cannot_be_read_is_the_callers_business(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """No service without knowing what was before."""
    parts = service(world(1), limits=CALM)
    parts.store.broken = OSError("damaged")
    with pytest.raises(OSError, match="damaged"):
        await parts.monitor.run()
    nursery.cancel_scope.cancel()


async def test_a_store_that_is_full_for_hours_ends_nothing(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Checks wait to be committed for longer than until they are due again; none runs twice."""
    limits = replace(CALM, outflow=OutflowLimits(waiting_checks=1, commit_checks=1))
    parts = await start(nursery, service(world(8), limits=limits))
    await trio.sleep(2 * HOUR)
    parts.store.broken = OSError("no space left")
    await trio.sleep(5 * HOUR)
    looks = {domain: len(seen) for domain, seen in parts.world.looks.items()}
    parts.store.broken = None
    await trio.sleep(3 * HOUR)
    assert all(len(seen) > looks[domain] for domain, seen in parts.world.looks.items())
    assert told(parts) == 8
    assert parts.meter.total(OwnMetric.TASK_CRASHES) == 0
    nursery.cancel_scope.cancel()


# --- stopping -------------------------------------------------------------------------------------


async def test_stop_lets_checks_end_and_writes_everything(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """No new checks; what was in flight is in the store and in the history."""
    slow = world(50)
    slow.latency_seconds = 20.0
    parts = await start(nursery, service(slow, limits=CALM))
    await trio.sleep(2 * HOUR + first_place() + 5)
    running = slow._running
    assert running > 0
    begun = sum(map(len, slow.looks.values()))
    await stopped(parts)
    assert sum(map(len, slow.looks.values())) == begun
    assert parts.store.pending_rows() == 0
    assert len(parts.files.rows("transitions")) == told(parts) + told(parts, EntityType.MX) == 100
    assert len(parts.files.rows("domain_checks")) >= 50
    assert {one.entity for one in parts.store.stored().snapshots} == set(slow.hosts)
    nursery.cancel_scope.cancel()


async def test_stop_cancels_checks_that_outlast_the_grace(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """And ends all the same."""
    slow = world(1)
    slow.latency_seconds = 500.0
    parts = service(slow, limits=CALM)
    ended = trio.Event()

    async def run() -> None:
        await parts.monitor.run()
        ended.set()

    nursery.start_soon(run)
    await trio.sleep(first_place() + 1)
    parts.monitor.stop(10)
    with trio.fail_after(11):
        await ended.wait()
    assert parts.store.states == {}
    nursery.cancel_scope.cancel()


async def test_stop_does_not_wait_for_ever_for_a_broken_disk(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not durable will be looked at again."""
    parts = service(world(50), limits=CALM)
    await start(nursery, parts)
    await trio.sleep(HOUR / 2)
    parts.store.broken = OSError("no space left")
    await trio.sleep(HOUR / 2)
    await stopped(parts, grace_seconds=5)
    assert "stopped before everything was written" in caplog.text
    nursery.cancel_scope.cancel()


async def test_a_check_that_somebody_asked_for_may_outlast_the_service(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """He gets his answer; it is not kept, and that is no bug."""
    slow = world(1)
    slow.latency_seconds = 200.0
    parts = await start(nursery, service(slow, limits=CALM))
    got = []

    async def ask() -> None:
        got.append(await parts.monitor.check_now(D))

    nursery.start_soon(ask)
    await trio.sleep(1)
    await stopped(parts, grace_seconds=10)
    await trio.sleep(200)
    assert len(got) == 1
    assert parts.store.states == {}
    assert parts.meter.total(OwnMetric.TASK_CRASHES) == 0
    nursery.cancel_scope.cancel()


async def test_nobody_gets_a_check_once_it_is_stopped(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Neither now nor later."""
    parts = await start(nursery, service(world(1), limits=CALM))
    await stopped(parts)
    with pytest.raises(StoppedError):
        await parts.monitor.check_now(D)
    nursery.cancel_scope.cancel()


# --- clocks that jump -----------------------------------------------------------------------------


class JumpingClock(ScaledClock):
    """A clock somebody sets."""

    def __init__(self) -> None:
        super().__init__(START)
        self.offset = timedelta(0)

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() + self.offset

    async def sleep_until(self, moment) -> None:  # type: ignore[no-untyped-def]
        await trio.lowlevel.checkpoint()
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - as SystemClock
            await trio.sleep(max(min(left, 30.0), 1e-6))


@pytest.mark.parametrize("jump", [timedelta(hours=8), timedelta(days=-1)])
async def test_a_clock_that_jumps_makes_neither_a_burst_nor_a_standstill(
    autojump_clock: Clock, nursery: trio.Nursery, jump: timedelta
) -> None:
    """A machine that slept, or a clock that was set right."""
    clock = JumpingClock()
    jumped = World(clock, {f"d{n}.example": f"mx{n}.example" for n in range(300)})
    jumped.looks = {}
    parts = await start(nursery, service(jumped, limits=CALM))
    await trio.sleep(2 * HOUR)
    jumped.looks.clear()
    clock.offset = jump
    began = jumped.seconds()
    await trio.sleep(1.2 * HOUR)
    looks = [look - began for looks in jumped.looks.values() for look in looks]
    assert len(jumped.looks) == 300
    assert max(Counter(look // 60 for look in looks).values()) < 4 * 300 / 60
    assert told(parts) == 300
    nursery.cancel_scope.cancel()


async def test_a_clock_set_right_after_blindness_makes_no_standstill(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """We were blind by the old time, which then comes again: that is no blindness."""
    clock = JumpingClock()
    parts = service(World(clock, {"d0.example": "mx0.example"}), limits=CALM)
    parts.gate.close("the resolver is down")
    await start(nursery, parts)
    await trio.sleep(60)
    parts.gate.open()
    await trio.sleep(1)
    clock.offset = timedelta(hours=-12)
    await trio.sleep(3 * HOUR)
    assert told(parts) == 1
    nursery.cancel_scope.cancel()


# --- what is said ---------------------------------------------------------------------------------


async def test_transitions_are_said_at_info_and_checks_at_debug(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """With everything a machine wants to know in fields of their own."""
    caplog.set_level(logging.DEBUG, "danewatch.monitor")
    troubles = (Trouble(host="mx0.example", begins=HOUR, ends=99 * HOUR),)
    parts = service(world(1, troubles=troubles), limits=CALM, labels=(("team", "a"),))
    await start(nursery, parts)
    await trio.sleep(4 * HOUR)
    said = [record for record in caplog.records if record.levelno == logging.INFO]
    blocked = next(record for record in said if "went from protected" in record.getMessage())
    since = (START + timedelta(seconds=first_place() + HOUR + 24 * HOUR)).strftime("%Y-%m-%d %H:%M")
    assert blocked.getMessage() == (
        "domain d0.example went from protected to blocked (tlsa-mismatch); "
        f"mail bounces from {since} UTC"
    )
    assert (blocked.entity, blocked.to_status, blocked.label_team) == (D, "blocked", "a")
    host = next(record for record in caplog.records if "mail server" in record.getMessage())
    assert (host.getMessage(), host.seen_by) == ("mail server mx0.example is authenticated", D)
    assert host.levelno == logging.DEBUG, "that somebody sound is seen first is no news"
    canonical = [record for record in caplog.records if record.getMessage() == "checked"]
    assert len(canonical) == len(parts.world.looks[D])
    assert canonical[0].verdict == "protected"
    await trio.sleep(30 * HOUR)
    assert "is still blocked (tlsa-mismatch), and mail is now bouncing" in caplog.text
    nursery.cancel_scope.cancel()


async def test_an_unchanged_domain_gets_a_row_once_a_day(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """So that the history shows the absence of change; the first check always gets one."""
    parts = await start(nursery, service(world(4), limits=CALM))
    await trio.sleep(5 * 24 * HOUR + HOUR)
    await stopped(parts)
    rows = Counter(row.split()[0] for row in parts.files.rows("domain_checks"))
    assert set(rows.values()) == {6}
    nursery.cancel_scope.cancel()


async def test_every_check_gets_a_row_where_that_is_asked_for(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """``heartbeat_hours = 0``."""
    policy = MonitorPolicy(run_id="r", heartbeat=timedelta(0))
    parts = await start(nursery, service(world(3), policy=policy, limits=CALM))
    await trio.sleep(10 * HOUR)
    await stopped(parts)
    assert len(parts.files.rows("domain_checks")) == 30
    nursery.cancel_scope.cancel()


def test_the_pretended_check_takes_a_moment() -> None:
    """Or nothing would ever be in flight."""
    assert LATENCY_SECONDS > 0
