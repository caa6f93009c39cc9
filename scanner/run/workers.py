"""Worker processes: the checks of one scanner made by several processors.

    engine or monitor -> check(target) -> WorkerPool ==link==> worker: look, judge
                          SharedProber <- shared probe <==link== worker: may I contact this host?
                          SharedProber -> probe ==link==> the same worker: one connection

Theory. What must exist once stays in this process: schedule, states, history, page, and every gate,
rate and memory of the SharedProber, so that all limits hold whatever the number of workers. What
takes processor time goes to the workers: DNS, validation, TLS, judging. A probe that others wait
for too is made by the worker whose domain asked first.

Rules:

- Processes are spawned, never forked, talk over socket pairs, and end when this one does.
- Whether port 25 works is known here. A worker judges by what it was told last; where that turns
  out to be outdated the check is judged anew here.
- A worker that ends, or answers no pings, is killed, reaped and replaced. Only then are its checks
  and probes begun again by others. So nothing is lost, made twice or at two places at a time.
- Whatever was being done when a worker ended may have ended it. What was there ``suspect_after``
  times is done one at a time in a process of its own, so that no other is harmed; what ends that
  one too is given up: a check that is inconclusive by our own fault, a probe that failed by a bug
  of ours.
- Processes that keep ending are not replaced for ever: after ``max_ends`` in ``ends_seconds`` no
  check can be made for ``rest_seconds`` (CannotCheckError): a pass ends, a service is blind.
"""

import logging
import math
import signal
import uuid
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import trio

from scanner.model.meter import Meter, OwnMetric
from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    HostAddress,
    ProbeError,
    ProbeStage,
)
from scanner.model.ports import Clock, Prober, Target
from scanner.model.verdict import Check
from scanner.model.vocabulary import Family
from scanner.observe.turnstile import turnstile
from scanner.run.checking import CannotCheckError, Judge, own_fault
from scanner.run.supervise import Backoff
from scanner.run.workers_link import FrameError, Link, LinkLostError, RemoteFailureError
from scanner.run.workers_process import Process

_log = logging.getLogger("danewatch.workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLimits:
    """Bounds of the pool. All ours."""

    start_seconds: float = 60.0
    """From the start of a process to its first word; it imports for about a second."""
    ping_seconds: float = 1.0
    missed_pings: int = 20
    """A worker that answers none of so many in a row hangs."""
    late_seconds: float = 0.5
    """A ping sent so much too late is not counted: it was this process that stood still."""
    close_seconds: float = 2.0
    """For a worker to end by itself."""
    suspect_after: int = 2
    """Ends of workers that something was there for, after which it is done one at a time."""
    suspects: int = 10_000
    """Probes remembered as having been there; the oldest go first."""
    suspect_seconds: float = 3_600.0
    """After so long a probe is above suspicion again: its server may have been changed."""
    max_ends: int = 20
    max_first_ends: int = 4
    """The same while none has come to work yet: something is wrong with the installation."""
    ends_seconds: float = 120.0
    rest_seconds: float = 60.0
    restart_first_seconds: float = 0.1
    """Before a process is replaced that has done nothing; doubled each time."""
    restart_longest_seconds: float = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolPorts:
    """What a pool is made of."""

    start: Callable[[], Awaitable[Process]]
    """Starts one process. Raises OSError."""
    note_connection: Callable[[HostAddress, bool | None], None]
    prove_egress: Callable[[], Awaitable[Mapping[Family, bool | None]]]
    judge: Judge
    clock: Clock
    meter: Meter


class _Worker:
    """One process that works."""

    def __init__(self, process: Process, *, for_suspects: bool) -> None:
        self.process = process
        self.for_suspects = for_suspects
        self.link: Link
        self.checks = 0
        """Checks it makes now."""
        self.suspect_probes = 0
        """Connections it makes now that may end it."""
        self.done = 0
        self.ready = trio.Event()
        self.crowded = False
        self.hangs = False
        self.status: int | None = None


_asking: ContextVar[_Worker | None] = ContextVar("danewatch worker that asks", default=None)
"""The worker on whose behalf this task asks for a probe."""

_ProbeKey = tuple[Name, str, Name, bool]


class WorkerPool:
    """Makes checks and connections in ``count`` processes. ``run`` must be running."""

    def __init__(self, ports: PoolPorts, *, count: int, limits: WorkerLimits | None = None) -> None:
        self._ports = ports
        self._count = count
        self._limits = limits or WorkerLimits()
        self._workers: list[_Worker] = []
        self._changed = trio.Event()
        self._came_to_work = False
        """Whether any process ever did."""
        self._told: Mapping[Family, bool | None] = dict.fromkeys(Family)
        self._ends: deque[float] = deque(maxlen=self._limits.max_ends)
        self._rests_until = -math.inf
        self._rests_because = ""
        self._checks_in_turn = trio.Lock()
        self._probes_in_turn = trio.Lock()
        self._suspects_seen = trio.Event()
        self._suspects: OrderedDict[_ProbeKey, tuple[int, float]] = OrderedDict()
        """How many ends of workers a probe was there at, and when the last was."""

    # --- what it is for --------------------------------------------------------------------------

    async def check(self, target: Target) -> Check:
        """Return one check (``scanner.run.checking.MakeCheck``). Raises CannotCheckError."""
        ends = 0
        while True:
            async with self._in_turn(self._checks_in_turn, ends):
                worker = await self._worker_for(ends)
                worker.checks += 1
                try:
                    check = await worker.link.call("check", Target(domain=target.domain))
                except LinkLostError:
                    ends += not worker.suspect_probes  # it would be them
                except (RemoteFailureError, FrameError) as error:
                    return self._given_up(target, f"internal error in a worker process: {error}")
                else:
                    worker.done += 1
                    assert isinstance(check, Check)
                    return await self._by_what_is_known(check)
                finally:
                    worker.checks -= 1
            if ends > self._limits.suspect_after:
                _log.error("%s is given up: workers end while it is checked", target.domain)
                return self._given_up(
                    target, f"internal error: {ends} worker processes ended while it was checked"
                )

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return what one connection saw (``Prober``), made by the worker that asked for it."""
        key = (host, address.address, sni, both_algorithms)
        while True:
            ends = self._ends_at(key)
            if ends > self._limits.suspect_after:
                return self._not_probed(host, address, sni)
            async with self._in_turn(self._probes_in_turn, ends):
                worker = _asking.get()
                if worker is None or worker.link.lost or self._is_suspect(ends):
                    worker = await self._worker_for(ends)
                worker.suspect_probes += self._is_suspect(ends)
                try:
                    seen = await worker.link.call("probe", host, address, sni, both_algorithms)
                except LinkLostError:
                    continue
                except (RemoteFailureError, FrameError) as error:
                    return self._not_probed(host, address, sni, str(error))
                finally:
                    if worker.link.lost:
                        self._suspect(key)
                    else:
                        worker.suspect_probes -= self._is_suspect(ends)
                self._suspects.pop(key, None)
                assert isinstance(seen, AddressObservation)
                return seen

    def forget_failures(self) -> None:
        """Let every worker forget what failed, before anything that is asked of it from now on."""
        self._tell("forget_failures")

    def forget_everything(self) -> None:
        """Let every worker forget what it looked up, likewise."""
        self._tell("forget_everything")

    def resting(self) -> str | None:
        """Return why no check can be made now; None while some can."""
        return self._rests_because if trio.current_time() < self._rests_until else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that work now."""
        return tuple(worker.process.pid for worker in self._workers)

    # --- keeping them alive ----------------------------------------------------------------------

    async def run(
        self, shared: Prober, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep so many processes working, for ever; started when the first of them works.

        ``shared`` shares and limits probes, and makes them by ``probe``. Raises CannotCheckError
        when no process comes to work at all.
        """
        here = turnstile()
        here.others_crowded = self._crowded
        self._put_alive()
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(self._count):
                    nursery.start_soon(self._keep_one, shared, False)
                nursery.start_soon(self._keep_one, shared, True)
                await self._worker_for(0)
                task_status.started()
        finally:
            self._ports.meter.put(OwnMetric.WORKER_PROCESSES, None)

    async def _keep_one(self, shared: Prober, for_suspects: bool) -> None:
        """Have one process work, and another when it ends; that for suspects once there are any."""
        if for_suspects:
            await self._suspects_seen.wait()
        limits = self._limits
        backoff = Backoff(limits.restart_first_seconds, limits.restart_longest_seconds)
        while True:
            await trio.sleep_until(max(self._rests_until, trio.current_time()))
            try:
                process = await self._ports.start()
            except OSError as error:
                self._note_end(f"a worker process cannot be started: {error}")
            else:
                if await self._live(_Worker(process, for_suspects=for_suspects), shared):
                    backoff.reset()
            self._ports.meter.count(OwnMetric.WORKER_RESTARTS)
            await trio.sleep(backoff.next())

    async def _live(self, worker: _Worker, shared: Prober) -> bool:
        """Work with ``worker`` until it has ended; return whether it has done anything."""

        async def shared_probe(
            host: Name, address: HostAddress, sni: Name, both_algorithms: bool
        ) -> AddressObservation:
            _asking.set(worker)
            return await shared.probe(host, address, sni, both_algorithms=both_algorithms)

        worker.link = Link(
            worker.process.stream,
            serves={"shared_probe": shared_probe},
            hears={
                "ready": partial(self._join, worker),
                "pong": partial(self._hear_pong, worker),
                "connection": self._ports.note_connection,
                "log": _log_again,
            },
        )
        problem = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping_for_ever, worker)
            try:
                await worker.link.run(before_loss=partial(self._reap, worker))
            except FrameError as error:
                problem = str(error)
            nursery.cancel_scope.cancel()
        self._note_end(
            f"worker process {worker.process.pid} is replaced: {problem or _how_it_ended(worker)}"
        )
        return worker.done > 0

    async def _reap(self, worker: _Worker) -> None:
        """Give ``worker`` no more work and see to it that its process has ended."""
        if worker in self._workers:
            self._workers.remove(worker)
            self._put_alive()
        await worker.process.stream.aclose()
        with trio.move_on_after(self._limits.close_seconds):
            worker.status = await worker.process.wait()
        if worker.status is None:
            worker.process.kill()
            worker.status = await worker.process.wait()

    async def _ping_for_ever(self, worker: _Worker) -> None:
        """Kill ``worker`` once it answers no more."""
        limits = self._limits
        with trio.move_on_after(limits.start_seconds):
            await worker.ready.wait()
        missed = 0 if worker.ready.is_set() else limits.missed_pings
        while missed < limits.missed_pings:
            heard = worker.link.heard
            worker.link.note("ping")
            due = trio.current_time() + limits.ping_seconds
            await trio.sleep_until(due)
            if worker.link.heard != heard:
                missed = 0
            elif trio.current_time() - due < limits.late_seconds:
                missed += 1
        worker.hangs = True
        worker.process.kill()

    def _join(self, worker: _Worker) -> None:
        worker.link.note("egress", self._told)
        self._workers.append(worker)
        worker.ready.set()
        self._put_alive()
        self._wake()

    def _hear_pong(
        self,
        worker: _Worker,
        lag_seconds: float,
        crowded: bool,
        counts: Iterable[tuple[OwnMetric, float, dict[str, str]]],
    ) -> None:
        worker.crowded = crowded
        self._ports.meter.observe(OwnMetric.EVENT_LOOP_LAG, lag_seconds)
        for metric, amount, labels in counts:
            self._ports.meter.count(metric, amount, **labels)

    def _note_end(self, sentence: str) -> None:
        """Take in that a process has ended; rest if too many do."""
        _log.error("%s", sentence)
        limits, now = self._limits, trio.current_time()
        self._ends.append(now)
        enough = limits.max_ends if self._came_to_work else limits.max_first_ends
        if len(self._ends) < enough or self._ends[-enough] < now - limits.ends_seconds:
            return
        self._ends.clear()
        self._rests_until = now + limits.rest_seconds
        self._rests_because = f"our own worker processes keep ending; the last: {sentence}"
        _log.error("worker processes keep ending: none is begun for %g s", limits.rest_seconds)
        self._wake()

    # --- helpers ---------------------------------------------------------------------------------

    async def _worker_for(self, ends: int) -> _Worker:
        """Return the least busy worker for what was there at so many ends."""
        suspect = self._is_suspect(ends)
        if suspect:
            self._suspects_seen.set()
        while True:
            because = self.resting()
            if because is not None:
                raise CannotCheckError(because)
            fitting = [worker for worker in self._workers if worker.for_suspects is suspect]
            if fitting:
                return min(fitting, key=_checks_of)
            await self._changed.wait()

    def _is_suspect(self, ends: int) -> bool:
        return ends >= self._limits.suspect_after

    @asynccontextmanager
    async def _in_turn(self, lock: trio.Lock, ends: int) -> AsyncIterator[None]:
        """Let pass at once, or one at a time what was there when processes ended."""
        if not self._is_suspect(ends):
            yield
            return
        async with lock:
            yield

    def _ends_at(self, key: _ProbeKey) -> int:
        ends, last = self._suspects.get(key, (0, math.inf))
        return ends if trio.current_time() < last + self._limits.suspect_seconds else 0

    def _suspect(self, key: _ProbeKey) -> None:
        ends = self._ends_at(key) + 1
        self._suspects.pop(key, None)
        self._suspects[key] = ends, trio.current_time()
        if ends > self._limits.suspect_after:
            _log.error("%s at %s is given up: workers end while it is probed", key[0], key[1])
        if len(self._suspects) > self._limits.suspects:
            self._suspects.popitem(last=False)

    async def _by_what_is_known(self, check: Check) -> Check:
        """Return ``check``, judged anew if port 25 is not what the worker took it to be."""
        proved = await self._ports.prove_egress()
        ipv4, ipv6 = proved.get(Family.IPV4), proved.get(Family.IPV6)
        if proved != self._told:
            self._told = dict(proved)
            self._tell("egress", self._told)
        vantage = check.observation.vantage
        if (vantage.egress_ipv4, vantage.egress_ipv6) == (ipv4, ipv6):
            return check
        vantage = replace(vantage, egress_ipv4=ipv4, egress_ipv6=ipv6)
        observation = replace(check.observation, vantage=vantage)
        return Check(observation=observation, judgement=self._ports.judge(observation))

    def _given_up(self, target: Target, sentence: str) -> Check:
        observation = own_fault(target, sentence, self._ports.clock)
        return Check(observation=observation, judgement=self._ports.judge(observation))

    def _not_probed(
        self, host: Name, address: HostAddress, sni: Name, sentence: str = ""
    ) -> AddressObservation:
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=self._ports.clock.now(),
            stage=ProbeStage.CONNECT,
            error=ProbeError.INTERNAL,
            detail=sentence or "worker processes of ours ended while it was probed",
            attempts=0,
            probe_id=str(uuid.uuid4()),
        )

    def _tell(self, name: str, *arguments: object) -> None:
        for worker in self._workers:
            worker.link.note(name, *arguments)

    def _wake(self) -> None:
        self._came_to_work = self._came_to_work or bool(self._workers)
        self._changed.set()
        self._changed = trio.Event()

    def _crowded(self) -> bool:
        return any(worker.crowded for worker in self._workers)

    def _put_alive(self) -> None:
        works = sum(not worker.for_suspects for worker in self._workers)
        self._ports.meter.put(OwnMetric.WORKER_PROCESSES, works)


def _checks_of(worker: _Worker) -> int:
    return worker.checks


def _how_it_ended(worker: _Worker) -> str:
    if worker.hangs:
        return "it answered no more"
    status = worker.status
    if status is not None and status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return f"it was ended by {name}"
    return f"it ended by itself with {status}"


def _log_again(fields: dict[str, Any]) -> None:
    """Hand a worker's record to the loggers of this process."""
    record = logging.makeLogRecord(fields)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
