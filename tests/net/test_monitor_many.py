"""The service with many domains over a long time: what it does in portions, what it lets go of."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import trio
import trio.testing
from scripted_world import EXO, START, World, service

from scanner.model.monitoring import Snapshot
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, EntityType
from scanner.run.clock import ScaledClock
from scanner.run.monitor import PORTION, MonitorLimits
from scanner.run.schedule import Cadence

HOUR = 3_600.0
DAY = timedelta(days=1)
CALM = MonitorLimits(
    lag_tick_seconds=6 * HOUR, gauges_seconds=HOUR, gate_seconds=HOUR, tidy_seconds=HOUR
)
Clock = trio.testing.MockClock


def world(number: int) -> World:
    """``number`` domains on one host."""
    return World(ScaledClock(START), {f"d{n}.example": "mx0.example" for n in range(number)})


async def turns_during(job: Callable[[], Awaitable[None]]) -> int:
    """How often another task has a turn until ``job`` returns."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await job()
        nursery.cancel_scope.cancel()
    return turns


async def test_new_places_for_many_are_made_in_portions(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """A new cadence, the end of blindness, a clock set back: nobody holds up the event loop."""
    number = 8 * PORTION
    parts = service(world(number), limits=CALM)
    await nursery.start(parts.monitor.run)
    monitor, now = parts.monitor, parts.world.clock.now()
    assert await turns_during(partial(monitor.set_cadence, Cadence(interval=2 * DAY))) >= 5
    assert await turns_during(partial(monitor._bring_back, now - 30 * DAY)) >= 5
    for domain in list(parts.world.hosts):
        monitor._schedule.put(Name(domain), now - DAY)
    assert await turns_during(partial(monitor._spread_overdue, DAY)) >= 5
    assert monitor._schedule.overdue(parts.world.clock.now()) == 0
    domains = map(Name, parts.world.hosts)
    assert all(domain in monitor._schedule or domain in monitor._flights for domain in domains)
    nursery.cancel_scope.cancel()


async def test_what_nobody_needs_any_more_leaves_the_store_too(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """States nobody led to for a month, and what the page keeps of whom nobody leads to."""
    old = (EntityType.MX, "mx.gone.example")
    parts = service(world(1), limits=CALM)
    parts.store.states[old] = State(
        entity_type=old[0],
        entity=old[1],
        profile=EXO,
        status="failed",
        reason=None,
        phase=DeliveryPhase.DEFERRING,
        since=START - timedelta(days=40),
        last_seen_at=START - timedelta(days=31),
    )
    parts.store.snapshots[old] = Snapshot(entity_type=old[0], entity=old[1], data=b"")
    parts.board.unshown = (old,)
    await nursery.start(parts.monitor.run)
    await trio.sleep(3 * HOUR)
    assert set(parts.store.states) == {
        (EntityType.DOMAIN, "d0.example"),
        (EntityType.MX, "mx0.example"),
    }
    assert old not in parts.store.snapshots
    nursery.cancel_scope.cancel()
