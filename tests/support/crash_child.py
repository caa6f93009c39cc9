"""A service that is killed again and again: real store, rows, files and monitor over a faked world.

``python crash_child.py DIRECTORY`` imports everything once and then reads one order a line:

    live PLACE COUNT SECONDS      live until killed: at the COUNT-th time at PLACE, or after SECONDS
    compact PLACE COUNT SECONDS   merge the files of the history, killed in the same ways
    end PLACE COUNT SECONDS       live to the end of the story, then stop in order

Each life is a fork that goes on from what the one before left in DIRECTORY, in pretended time that
runs as fast as it can. It answers with one JSON line. Every death is a real SIGKILL.
"""

import functools
import json
import os
import random
import secrets
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sample_checks as sample
import trio
import trio.testing
from scripted_world import DOWN, START, HandGate, World, at_once, targets

from exporters.history import (
    CompactionLimits,
    OutboxRowMaker,
    ParquetBatchWriter,
    RunFacts,
    compact,
    known_certificates,
)
from exporters.schema import TABLES
from scanner.model.meter import NullMeter
from scanner.model.monitoring import Commit
from scanner.model.ports import Target
from scanner.model.verdict import AddressFacts, Check, HostFacts, Judged
from scanner.run.clock import ScaledClock
from scanner.run.ledger import MonitorPolicy
from scanner.run.monitor import Monitor, MonitorLimits, MonitorPorts
from scanner.run.outflow import OutflowLimits
from scanner.store import SqliteStore

HOSTS = tuple(f"mx{number}.operator.example" for number in range(6))
DOMAINS = {f"partner-{number}.example": HOSTS[number % len(HOSTS)] for number in range(18)}
HOUR = 3_600.0
WINDOWS = 300
"""Faults of each host in the whole story; more than ever happen."""
LIVE_PLACES = (
    "time",
    "before commit",
    "after commit",
    "after assign",
    "before rename",
    "after rename",
    "before settle",
    "after settle",
)
COMPACT_PLACES = ("never", "time", "before rename", "after rename", "before unlink", "after unlink")
ALL_CLOSED = CompactionLimits(min_age=timedelta(days=-36_500))
"""Every day of the story is over, and every file old enough."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A host is ``judged`` from ``begins`` until ``ends``, seconds after the start."""

    begins: float
    ends: float
    judged: Judged


@functools.cache
def windows_of(host: str) -> tuple[Window, ...]:
    """The faults of ``host``: some end soon, some last beyond the life of mail in the queue."""
    rng = random.Random(host)
    found: list[Window] = []
    second = 6 * HOUR
    for _ in range(WINDOWS):
        begins = second + rng.uniform(8, 14) * HOUR
        second = begins + rng.choice((2.5, 3.0, 4.0, 5.5, 28.0)) * HOUR
        found.append(Window(begins=begins, ends=second, judged=rng.choice((sample.MISMATCH, DOWN))))
    return tuple(found)


class StoryWorld(World):
    """Hosts fail by ``windows_of``; after ``calm_after`` no new fault begins."""

    calm_after = float("inf")

    def state_of(self, host: str, second: float) -> Judged:
        for window in windows_of(host):
            if window.begins > min(second, self.calm_after):
                break
            if second < window.ends:
                return window.judged
        return sample.AUTHENTICATED

    async def check(self, target: Target) -> Check:
        """A check whose probes have names of their own, and a certificate new after each fault."""
        check = await super().check(target)
        (host,) = check.observation.hosts
        name = host.route.host
        probes = tuple(
            replace(one, probe_id=f"{target.domain} {one.observed_at.isoformat()}")
            for one in host.addresses
        )
        second = (check.observation.observed_at - START).total_seconds()
        chain = (sample.certificate(certificate_of(name, second, self.calm_after)),)
        facts = HostFacts(
            host=name,
            addresses=tuple(AddressFacts(address=one.address, chain=chain) for one in probes),
        )
        return replace(
            check,
            observation=replace(check.observation, hosts=(replace(host, addresses=probes),)),
            judgement=replace(check.judgement, hosts=(facts,)),
        )


def certificate_of(host: str, second: float, calm_after: float) -> str:
    """The subject of the certificate that ``host`` shows at ``second``."""
    begun = [one for one in windows_of(host) if one.begins <= min(second, calm_after)]
    return f"{host} {len(begun)}"


class Deadly:
    """Kills this process at the ``count``-th call that passes ``place``."""

    def __init__(self, place: str, count: int) -> None:
        self._place = place
        self._left = count

    def passes(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.passes(f"before {what}")
            result = function(*arguments, **options)
            self.passes(f"after {what}")
            return result

        return watched


class WatchedStore(SqliteStore):
    """The real store, with places to die at."""

    def watch(self, deadly: Deadly) -> None:
        for name in ("commit", "assign", "settle"):
            setattr(self, name, deadly.around(name, getattr(self, name)))


async def live(directory: Path, deadly: Deadly, *, to_the_end: bool) -> float:
    """Go on from what is in ``directory``; return the second of the story at which it ended."""
    store = WatchedStore(directory / "state.sqlite", new_id="crash")
    store.watch(deadly)
    seen = [entry.last_checked_at for entry in store.load().schedule.values()]
    now = max((one for one in seen if one), default=START) + timedelta(seconds=1)
    clock = ScaledClock(now)
    world = StoryWorld(clock=clock, hosts=DOMAINS, keep_looks=False)
    history = directory / "history"
    maker = OutboxRowMaker(
        RunFacts(run_id=f"life-{secrets.token_hex(4)}", scanner_id="s", started_at=now),
        known_certificates=known_certificates(history),
        pending_certificates=store.pending_of("certificates"),
    )
    store.commit([Commit(rows=(maker.started(),))])
    writer = ParquetBatchWriter(history, scanner_id="s")
    monitor = Monitor(
        MonitorPorts(
            check=world.check,
            store=store,
            clock=clock,
            meter=NullMeter(),
            gate=HandGate(),
            rows=maker,
            writer=writer,
            in_thread=at_once,
        ),
        targets=targets(DOMAINS),
        policy=MonitorPolicy(run_id=store.run_id),
        limits=MonitorLimits(
            gauges_seconds=HOUR,
            lag_tick_seconds=HOUR,
            outflow=OutflowLimits(flush_seconds=900.0),
        ),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(monitor.run)
        if not to_the_end:
            await trio.sleep_forever()
        world.calm_after = world.seconds()
        await trio.sleep(48 * HOUR)
        store.commit([Commit(rows=(maker.stopped(clock.now()),))])
        monitor.stop(grace_seconds=60)
    writer.close()
    store.close()
    return world.calm_after


def one_life(directory: Path, order: str, place: str, count: int) -> float | None:
    """Carry out one order; return the second of the story after which no fault began, if any."""
    deadly = Deadly(place, count)
    os.rename = deadly.around("rename", os.rename)
    os.unlink = deadly.around("unlink", os.unlink)
    if order == "compact":
        for table in TABLES:
            compact(directory / "history", table, START, limits=ALL_CLOSED)
        return None

    async def main() -> float:
        return await live(directory, deadly, to_the_end=order == "end")

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def fork_a_life(
    directory: Path, order: str, place: str, count: int, seconds: float
) -> dict[str, Any]:
    """Let a fork live; kill it after ``seconds``. Returns how it ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ended_at = one_life(directory, order, place, count)
            os.write(writing, json.dumps(ended_at).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    watch = os.pidfd_open(pid)
    ready, _, _ = select.select([watch], [], [], seconds)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    told = os.read(reading, 100)
    os.close(watch)
    os.close(reading)
    return {
        "order": order,
        "place": place if ready else "time",
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "calm_after": json.loads(told) if told else None,
    }


def main() -> None:
    directory = Path(sys.argv[1])
    import pyarrow.parquet

    pyarrow.array([1])  # imports the rest, pandas too where it is installed: once, not in each life
    for line in sys.stdin:
        order, *place, count, seconds = line.split()
        ended = fork_a_life(directory, order, " ".join(place), int(count), float(seconds))
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
