"""A month of the monitoring service in pretended time, held against a reckoning of its own.

``reckon`` says when a domain is looked at and what is told of it, from the faults alone; it shares
nothing with the service but the place of a domain within the hour. ``SoakWorld`` compares every
look with it as it is made, so that nothing grows with the number of looks.
"""

import gc
import random
import sys
import tracemalloc
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import trio
from scripted_world import DOWN, START, Service, Trouble, World, service

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, EntityType
from scanner.run.clock import ScaledClock
from scanner.run.monitor import MonitorLimits
from scanner.run.schedule import phase_of

HOUR, DAY = 3_600.0, 86_400.0
RUNGS = (0.0, 900.0, 1_800.0, 2_700.0, *(HOUR * hour + 2_700.0 for hour in range(1, 25)))
CONFIRM = 300.0  # the TTL of the MX records of these domains
TOLERANCE = 1e-3
Told = tuple[str, str, float, float]
"""Domain, status or phase, when told, when it began: seconds."""


def made_troubles(hosts: Sequence[str], days: float, seed: int) -> list[Trouble]:
    """Faults of some hosts: glitches, outages of hours, and some that outlast the queue."""
    chance = random.Random(seed)
    troubles = []
    for host in hosts:
        begins = chance.uniform(0.2, 4.0) * DAY
        while begins < days * DAY:
            length = chance.choice([40.0, 400.0, 2 * HOUR, 7 * HOUR, 30 * HOUR])
            judged = {} if chance.random() < 0.5 else {"judged": DOWN}
            troubles.append(
                Trouble(host=host, begins=begins + 0.5, ends=begins + length + 0.25, **judged)
            )
            begins += length + chance.uniform(1.0, 5.0) * DAY
    return troubles


def reckon(domain: str, troubles: Sequence[Trouble], until: float) -> tuple[array, list[Told]]:
    """Return when ``domain`` is looked at, and what is told of it, until ``until``."""
    phase = phase_of(Name(domain), timedelta(hours=1)).total_seconds()
    place = (phase - START.timestamp()) % HOUR
    looks, told = array("d"), [(domain, "protected", place, place)]
    now, since, confirmed, bounced = place, None, False, False
    while now < until:
        looks.append(now)
        bad = any(trouble.begins <= now < trouble.ends for trouble in troubles)
        if not bad:
            if confirmed:
                told.append((domain, "protected", now, now))
            since, confirmed, bounced = None, False, False
        elif since is None:
            since = now
        elif not confirmed and now >= since + CONFIRM - TOLERANCE:
            confirmed = True
            told.append((domain, "failing", now, since))
        if confirmed and since is not None and not bounced and now >= since + DAY - TOLERANCE:
            bounced = True
            told.append((domain, "bouncing", now, now))
        now = _next_look(now, since, confirmed, place)
    return looks, [one for one in told if one[2] < until]


def _next_look(now: float, since: float | None, confirmed: bool, place: float) -> float:
    next_place = now + HOUR - (now - place) % HOUR
    if next_place < now + 60.0:
        next_place += HOUR
    if since is None:
        return next_place
    rung = next((since + step for step in RUNGS if since + step > now + TOLERANCE), None)
    times = [next_place if rung is None else rung]
    if not confirmed:
        times.append(since + CONFIRM)
    return min(time for time in times if time > now + TOLERANCE)


class SoakWorld(World):
    """Answers at once, and notes every look that is not at the second it is reckoned for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expected: dict[str, array] = {}
        self.count: dict[str, int] = dict.fromkeys(self.hosts, 0)
        self.wrong: list[tuple[str, float, float | None]] = []

    async def check(self, target: Target) -> Check:
        await trio.lowlevel.checkpoint()
        now = self.clock.now()
        second = (now - START).total_seconds()
        expected, place = self.expected[target.domain], self.count[target.domain]
        due = expected[place] if place < len(expected) else None
        if (due is None or abs(due - second) > TOLERANCE) and len(self.wrong) < 10:
            self.wrong.append((target.domain, second, due))
        self.count[target.domain] = place + 1
        return self.made(target.domain, self.state_of(self.hosts[target.domain], second), now)


@dataclass
class Soaked:
    """What a soak came to."""

    parts: Service
    told: list[Told]
    reckoned: list[Told]
    memory: list[int] = field(default_factory=list)
    """What is allocated at the ends of equal parts of the time: octets if traced, else blocks."""
    tasks: list[int] = field(default_factory=list)

    @property
    def world(self) -> SoakWorld:
        assert isinstance(self.parts.world, SoakWorld)
        return self.parts.world


async def soak(
    *, domains: int, hosts: int, days: float, seed: int, marks: int = 5, traced: bool = False
) -> Soaked:
    """Run the service for ``days`` and return what came of it; ``marks`` times it is measured.

    ``traced`` counts octets by tracemalloc, which takes twice the time, and not blocks.
    """
    names = {f"d{n}.example": f"mx{n % hosts}.example" for n in range(domains)}
    troubles = made_troubles([f"mx{n}.example" for n in range(0, hosts, 3)], days, seed)
    world = SoakWorld(ScaledClock(START), names, troubles=troubles, keep_looks=False)
    by_host: dict[str, list[Trouble]] = {host: [] for host in names.values()}
    for trouble in troubles:
        by_host[trouble.host].append(trouble)
    reckoned: list[Told] = []
    for domain, host in names.items():
        looks, told = reckon(domain, by_host[host], days * DAY)
        world.expected[domain] = looks
        reckoned += told
    parts = service(
        world,
        limits=MonitorLimits(lag_tick_seconds=DAY, gauges_seconds=HOUR, gate_seconds=HOUR),
    )
    parts.files.keep = False
    soaked = Soaked(parts=parts, told=[], reckoned=reckoned)
    parts.rows.on_transitions = lambda transitions: _note(transitions, soaked.told)
    if traced:
        tracemalloc.start()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.monitor.run)
            for _ in range(marks):
                await trio.sleep(days * DAY / marks)
                gc.collect()
                allocated = (
                    tracemalloc.get_traced_memory()[0] if traced else sys.getallocatedblocks()
                )
                soaked.memory.append(allocated)
                soaked.tasks.append(trio.lowlevel.current_statistics().tasks_living)
            parts.monitor.stop(30)
    finally:
        tracemalloc.stop()
    return soaked


def _note(transitions: Sequence[Transition], told: list[Told]) -> None:
    """Note the transitions of domains as ``reckon`` words them."""
    for one in transitions:
        if one.entity_type is EntityType.DOMAIN:
            word = "protected" if one.to_status == "protected" else "failing"
            if one.to_phase is DeliveryPhase.BOUNCING:
                word = "bouncing"
            began = one.began_at or one.observed_at
            moments = [(moment - START).total_seconds() for moment in (one.observed_at, began)]
            told.append((one.entity, word, moments[0], moments[1]))


def checks_made(soaked: Soaked) -> int:
    """The number of checks the service counted."""
    return int(soaked.parts.meter.get(OwnMetric.CHECKS, "domain") or 0)
