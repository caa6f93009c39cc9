"""Days of the service in pretended time: to the second, complete, and without growing."""

import pytest
import trio
import trio.testing
from soak import Soaked, Told, checks_made, soak

from scanner.model.meter import OwnMetric

Clock = trio.testing.MockClock


def held_against_the_reckoning(soaked: Soaked, domains: int, days: float) -> None:
    """Every look at its second, every transition told once, and nothing else."""
    world = soaked.world
    assert world.wrong == []
    assert world.count == {domain: len(looks) for domain, looks in world.expected.items()}
    assert checks_made(soaked) == sum(world.count.values()) >= domains * (days * 24 - 1)
    told, reckoned = sorted(soaked.told), sorted(soaked.reckoned)
    assert [words(one) for one in told] == [words(one) for one in reckoned]
    for one, other in zip(told, reckoned, strict=True):
        assert one[2:] == pytest.approx(other[2:], abs=1e-3)
    assert len(told) > 1.05 * domains
    assert {one[1] for one in told} == {"protected", "failing", "bouncing"}


def words(one: Told) -> tuple[str, str]:
    return one[:2]


def does_not_grow(soaked: Soaked, *, at_most: int) -> None:
    """From the second mark on: memory but for what was told since, tasks, and the queue."""
    settled, end = soaked.memory[1], soaked.memory[-1]
    assert end - settled < at_most, soaked.memory
    assert len(set(soaked.tasks)) == 1
    monitor = soaked.parts.monitor
    assert len(monitor._schedule._heap) <= 2 * len(monitor._schedule) + 65
    assert monitor._flights == {}
    assert soaked.parts.meter.total(OwnMetric.TASK_CRASHES) == 0


@pytest.mark.timeout(900)
async def test_three_days_of_300_domains(autojump_clock: Clock) -> None:
    """Glitches, outages, and one that outlasts the queue: as reckoned from the faults alone."""
    soaked = await soak(domains=300, hosts=30, days=3, seed=1)
    held_against_the_reckoning(soaked, 300, 3)
    does_not_grow(soaked, at_most=15_000)


async def test_no_octet_more_after_four_days_than_after_two(autojump_clock: Clock) -> None:
    """Blocks may grow without becoming more; so octets are counted too.

    Until most hosts have failed once, caches and states still fill.
    """
    soaked = await soak(domains=40, hosts=4, days=4, seed=3, traced=True)
    assert soaked.world.wrong == []
    does_not_grow(soaked, at_most=60_000)


@pytest.mark.bench
@pytest.mark.timeout(3_600)
async def test_thirty_days_of_2000_domains(autojump_clock: Clock) -> None:
    """The same for a month."""
    soaked = await soak(domains=2_000, hosts=200, days=30, seed=2)
    held_against_the_reckoning(soaked, 2_000, 30)
    does_not_grow(soaked, at_most=200_000)
