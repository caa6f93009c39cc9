"""A service whose disk fills up, becomes read-only or refuses, for a while; run in a namespace.

``python full_disk.py DIRECTORY TROUBLE`` finds two small file systems mounted, ``history`` and
``state`` in ``DIRECTORY``. It lives 9 pretended hours with the real monitor, store and files; the
trouble lasts from the second to the sixth, and a mail host fails from the third to the fifth. One
JSON line tells what was counted.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
import trio.testing
from scripted_world import START, Counts, HandGate, Trouble, World, at_once, targets

from exporters.history import OutboxRowMaker, ParquetBatchWriter, RunFacts
from scanner.model.meter import OwnMetric
from scanner.run.clock import ScaledClock
from scanner.run.ledger import MonitorPolicy
from scanner.run.monitor import Monitor, MonitorLimits, MonitorPorts
from scanner.run.outflow import OutflowLimits
from scanner.store import SqliteStore

HOUR = 3_600.0
DOMAINS = {f"partner-{number}.example": f"mx{number % 2}.example" for number in range(4)}
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

Switch = tuple[Callable[[], object], Callable[[], object]]


def full(directory: Path) -> Switch:
    """A disk without one free block, and with all of them again."""
    ballast = directory / "ballast"

    def fill() -> None:
        with open(ballast, "wb", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    return fill, ballast.unlink


def read_only(directory: Path) -> Switch:
    """A directory that is mounted read-only over itself, and then no more."""

    def mount() -> None:
        place = str(directory)
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)

    return mount, lambda: subprocess.run(["umount", str(directory)], check=True)


def limited() -> Switch:
    """No file may be larger than 4 KiB."""
    return (
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED),
    )


async def live(directory: Path, trouble: Switch) -> dict[str, Any]:
    """Live through the trouble; return what the metrics said while it lasted and afterwards."""
    clock = ScaledClock(START)
    faults = (Trouble(host="mx0.example", begins=3 * HOUR, ends=5 * HOUR),)
    world = World(clock=clock, hosts=DOMAINS, troubles=faults)
    store = SqliteStore(directory / "state" / "state.sqlite", new_id="full")
    meter = Counts()
    maker = OutboxRowMaker(RunFacts(run_id=store.run_id, scanner_id="s", started_at=START))
    monitor = Monitor(
        MonitorPorts(
            check=world.check,
            store=store,
            clock=clock,
            meter=meter,
            gate=HandGate(),
            rows=maker,
            writer=ParquetBatchWriter(directory / "history", scanner_id="s"),
            in_thread=at_once,
        ),
        targets=targets(DOMAINS),
        policy=MonitorPolicy(run_id=store.run_id),
        limits=MonitorLimits(
            gauges_seconds=HOUR, lag_tick_seconds=HOUR, outflow=OutflowLimits(flush_seconds=300.0)
        ),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(monitor.run)
        await trio.sleep(2 * HOUR)
        begin, end = trouble
        before = meter.get(OwnMetric.HISTORY_WRITING)
        begin()
        await trio.sleep(4 * HOUR)
        during = meter.get(OwnMetric.HISTORY_WRITING)
        checks_during = sum(len(looks) for looks in world.looks.values())
        end()
        await trio.sleep(3 * HOUR)
        monitor.stop(grace_seconds=60)
    pending = store.pending_rows()
    store.close()
    return {
        "writing": [before, during, meter.get(OwnMetric.HISTORY_WRITING)],
        "history_failures": meter.total(OwnMetric.HISTORY_WRITE_FAILURES),
        "state_failures": meter.total(OwnMetric.STATE_WRITE_FAILURES),
        "crashes": meter.total(OwnMetric.TASK_CRASHES),
        "checks": [checks_during, sum(len(looks) for looks in world.looks.values())],
        "pending": pending,
    }


def main() -> None:
    directory = Path(sys.argv[1])
    troubles: dict[str, Callable[[], Switch]] = {
        "history-full": lambda: full(directory / "history"),
        "history-read-only": lambda: read_only(directory / "history"),
        "history-limited": limited,
        "state-full": lambda: full(directory / "state"),
    }
    trouble = troubles[sys.argv[2]]()

    async def alive() -> dict[str, Any]:
        return await live(directory, trouble)

    told = trio.run(alive, clock=trio.testing.MockClock(autojump_threshold=0))
    os.sync()
    subprocess.run(["cp", "-a", str(directory / "history"), str(directory / "kept")], check=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
