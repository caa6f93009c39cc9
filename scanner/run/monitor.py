"""The service: checks every domain when it is due, believes what is confirmed, keeps what it knows.

    schedule -> dispatcher -> check -> digest -> gate -> schedule, states, suspicions -> outflow
                                                                   (scanner.run.outflow)

Rules:

- One check of a domain at a time, ``domains_in_flight`` in all, without those that only wait for
  somebody slow (``scanner.run.slowlane``). Who wants one now (``check_now``) joins the one that
  runs.
- While the gate is closed nothing is begun, and a check that ends then changes nothing; nor does
  one whose resolver could not be trusted, nor one that the gate holds back. Such a domain is due
  again soon, each time a little later.
- States and suspicions (``scanner.run.ledger``) are moved in the order in which checks end, and
  become durable in that order. A crash forgets only what was not announced.
- A bug in a check, or anywhere else here, costs that check and is counted.
- ``stop`` ends it in order: no new checks, those that run may finish, everything is committed and
  written.
"""

import gc
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import trio

from scanner.model.meter import Meter, OwnMetric
from scanner.model.monitoring import Commit, StoredState
from scanner.model.names import Name
from scanner.model.ports import (
    BatchWriter,
    ResultBoard,
    RowMaker,
    StateStore,
    Target,
    WaitingClock,
)
from scanner.model.verdict import Check
from scanner.run.announce import TOLD, count_check
from scanner.run.checking import CannotCheckError
from scanner.run.gate import Gate
from scanner.run.ledger import Ledger, MonitorPolicy
from scanner.run.outflow import Finished, Outflow, OutflowLimits, OutflowPorts
from scanner.run.schedule import (
    Cadence,
    Schedule,
    first_due,
    next_due,
    resumed_due,
)
from scanner.run.slowlane import SLOW_AFTER_SECONDS, SLOW_IN_FLIGHT, SlowLane
from scanner.run.supervise import Offload, in_thread, note_crash, supervised
from scanner.transition.confirm import ConfirmationPolicy
from scanner.transition.tlsamemory import annotated

__all__ = ["Monitor", "MonitorLimits", "MonitorPolicy", "MonitorPorts", "StoppedError"]

_log = logging.getLogger("danewatch.monitor")


MAX_NAP = timedelta(minutes=5)
"""The dispatcher looks at the clock at least so often; a greater jump of it is not its pace."""


PORTION = 500
"""Domains that get a new place before anybody else has a turn: about 3 ms. Ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorPorts:
    """What the service is made of. Without ``rows`` and ``writer`` no history is kept."""

    check: Callable[[Target], Awaitable[Check]]
    """One check, as ``scanner.run.engine.Engine.check`` makes it."""
    store: StateStore
    clock: WaitingClock
    meter: Meter
    gate: Gate
    board: ResultBoard | None = None
    rows: RowMaker | None = None
    writer: BatchWriter | None = None
    in_thread: Offload = in_thread
    put_gauges: Callable[[], None] = lambda: None
    """Sets the gauges of whatever makes the checks, as often as those of the scheduler are set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorLimits:
    """Bounds of the service. All ours."""

    domains_in_flight: int = 200
    """Domains at a time, without those in the slow lane."""
    slow_domains_in_flight: int = SLOW_IN_FLIGHT
    """Domains in the slow lane at a time; 0 is no such lane."""
    slow_after_seconds: float = SLOW_AFTER_SECONDS
    """A check that has taken so long moves over."""
    gate_seconds: float = 5.0
    """How often it is looked whether we are blind: no blindness is as short as that."""
    gauges_seconds: float = 15.0
    """How often the gauges of the scheduler are set."""
    lag_tick_seconds: float = 1.0
    """How often the delay of the event loop is measured."""
    tidy_seconds: float = 3_600.0
    """How often states nobody needs any more are dropped."""
    keep_unseen: timedelta = timedelta(days=30)
    """How long the state of a host or zone is kept that no domain leads to any more."""
    finish_seconds: float = 30.0
    """For committing and writing what is left after the last check has ended."""
    outflow: OutflowLimits = field(default_factory=OutflowLimits)


class StoppedError(Exception):
    """The service is being stopped and makes no more checks."""


@dataclass(eq=False, slots=True)
class _Flight:
    """One check that runs; ``check`` is None when it came to nothing."""

    done: trio.Event = field(default_factory=trio.Event)
    check: Check | None = None


class Monitor:
    """The monitoring service. Make it, then ``await nursery.start(monitor.run)``."""

    def __init__(
        self,
        ports: MonitorPorts,
        *,
        targets: Iterable[Target],
        policy: MonitorPolicy,
        limits: MonitorLimits | None = None,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._limits = limits or MonitorLimits()
        self._targets = {target.domain: target for target in targets}
        self._ledger = Ledger()
        self._schedule = Schedule()
        self._flights: dict[Name, _Flight] = {}
        self._places = trio.Semaphore(self._limits.domains_in_flight)
        self._lane = SlowLane(
            places=self._limits.slow_domains_in_flight,
            after_seconds=self._limits.slow_after_seconds,
        )
        self._nap = trio.CancelScope()
        self._nap_until = self._seen_now = ports.clock.now()
        self._blind_at = datetime.min.replace(tzinfo=UTC)
        self._checks: trio.Nursery | None = None
        self._stop = trio.Event()
        self._grace_seconds = 0.0
        self._outflow = Outflow(
            OutflowPorts(
                store=ports.store,
                clock=ports.clock,
                meter=ports.meter,
                board=ports.board,
                rows=ports.rows,
                writer=ports.writer,
                in_thread=ports.in_thread,
            ),
            profile=policy.profile,
            limits=self._limits.outflow,
        )

    # --- what others may ask of it ---------------------------------------------------------------

    async def run(self, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Load the state and check for ever, until ``stop``; then finish and return.

        Raises OSError when the stored state cannot be read.
        """
        stored = await self._ports.in_thread(self._ports.store.load)
        board = self._ports.board
        if board is not None:  # seconds of work for 100,000 domains
            unshown = await self._ports.in_thread(lambda: board.restore(stored.snapshots))
            if unshown:
                self._outflow.drop(Commit(unshown=unshown))
        self._resume(stored)
        meter = self._ports.meter
        async with trio.open_nursery() as service:
            for component, task in (
                ("committer", self._outflow.commit_all),
                ("flusher", self._outflow.flush_for_ever),
                ("gate", self._watch_gate_for_ever),
                ("gauges", self._set_gauges_for_ever),
                ("lag", self._measure_lag_for_ever),
                ("tidy", self._tidy_for_ever),
            ):
                service.start_soon(supervised, component, task, meter, name=component)
            await self._check_until_stopped(task_status)
            with trio.move_on_after(self._limits.finish_seconds) as finishing:
                await self._outflow.finish()
            if finishing.cancelled_caught:
                _log.error("stopped before everything was written; it will be looked at again")
            service.cancel_scope.cancel()

    def stop(self, grace_seconds: float) -> None:
        """Begin no more checks, and let ``run`` return once those that run have ended.

        After ``grace_seconds`` they are cancelled.
        """
        self._grace_seconds = grace_seconds
        self._stop.set()

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Watch ``targets`` from now on; those that stay keep their schedule and state."""
        new = {target.domain: target for target in targets}
        gone = [domain for domain in self._targets if domain not in new]
        come = [domain for domain in new if domain not in self._targets]
        self._targets = new
        now = self._ports.clock.now()
        for domain in gone:
            self._schedule.remove(domain)
            self._ledger.drop(domain)
        for domain in come:
            self._put(domain, first_due(domain, now=now, cadence=self._policy.cadence))
        self._outflow.forget(gone)
        self._outflow.remember(come)
        self._retain()

    async def set_cadence(self, cadence: Cadence) -> None:
        """Check at ``cadence`` from now on; return once every waiting domain has its new place."""
        self._policy = replace(self._policy, cadence=cadence)
        for number, domain in enumerate(tuple(self._targets)):
            if number % PORTION == 0:
                await trio.lowlevel.checkpoint()
            if domain in self._schedule:
                self._put(domain, self._new_due(domain, self._ports.clock.now()))

    def set_confirmation(self, confirmation: ConfirmationPolicy) -> None:
        """Confirm by ``confirmation`` from now on."""
        self._policy = replace(self._policy, confirmation=confirmation)

    async def check_now(self, domain: Name) -> Check | None:
        """Return a check of ``domain`` made now, or the one that runs; None if a bug ate it.

        A watched domain's check counts like any other; one that is not watched leaves no trace.
        Raises StoppedError.
        """
        async with self._places:
            while (flight := self._flights.get(domain)) is not None:
                await flight.done.wait()
                if flight.check is not None:
                    return flight.check
            if self._stop.is_set():
                raise StoppedError
            if domain not in self._targets:
                return await self._ports.check(Target(domain=domain))
            planned = self._schedule.due_of(domain)
            self._schedule.remove(domain)
            return await self._look(domain, self._begin(domain), planned)

    @property
    def ledger(self) -> Ledger:
        """States, suspicions and last checks as they stand. Only to be read."""
        return self._ledger

    # --- beginning and ending --------------------------------------------------------------------

    def _resume(self, stored: StoredState) -> None:
        """Go on from ``stored``: states, suspicions, and the schedule without a burst."""
        self._ledger.load(stored, self._targets)
        self._outflow.forget(domain for domain in stored.schedule if domain not in self._targets)
        now, cadence = self._ports.clock.now(), self._policy.cadence
        entries = self._ledger.entries
        # Places far ahead, after a clock was set back, are spread like those that have passed.
        late = abs(now - min((entry.due_at for entry in entries.values()), default=now))
        due: list[tuple[Name, datetime]] = []
        for domain in self._targets:
            entry = entries.get(domain)
            if entry is None:
                due.append((domain, first_due(domain, now=now, cadence=cadence)))
            else:
                due.append((domain, resumed_due(entry, now=now, cadence=cadence, late=late)))
        self._schedule = Schedule(due)
        self._retain()
        _log.info(
            "watching %d domains, %d of them checked before", len(self._targets), len(entries)
        )

    async def _check_until_stopped(self, task_status: "trio.TaskStatus[None]") -> None:
        async with trio.open_nursery() as checks:
            self._checks = checks
            with trio.CancelScope() as dispatching:
                async with trio.open_nursery() as dispatch:
                    dispatch.start_soon(supervised, "scheduler", self._dispatch, self._ports.meter)
                    task_status.started()
                    await self._stop.wait()
                    dispatching.cancel()
            checks.cancel_scope.deadline = trio.current_time() + self._grace_seconds
        _log.info("no check runs any more")

    # --- checking --------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        """Begin the check of every domain that is due, while there is a place for it."""
        while True:
            await self._wait_open()
            await self._places.acquire()
            begun = False
            try:
                await self._notice_clock(self._ports.clock.now())
                begun = self._begin_next()
            finally:
                if not begun:
                    self._places.release()
            if not begun and self._ports.gate.closed() is None:
                await self._sleep_until_due()

    def _begin_next(self) -> bool:
        """Begin the check that is due longest, in the place that was taken; or return False."""
        now = self._ports.clock.now()
        due = [] if self._ports.gate.closed() is not None else self._schedule.pop_due(now)
        if not due:
            return False
        if due[0] in self._flights:  # it was put back, or its last check still waits for the store
            self._put(due[0], now + self._policy.cadence.min_gap)
            return False
        assert self._checks is not None
        self._checks.start_soon(self._look_and_leave, due[0], self._begin(due[0]))
        return True

    async def _wait_open(self) -> None:
        """Wait while we are blind; what became due meanwhile is spread over as long a time."""
        if self._ports.gate.closed() is None:
            await trio.lowlevel.checkpoint()
            return
        closed_at = self._ports.clock.now()
        await self._ports.gate.wait_open()
        self._blind_at = self._seen_now = now = self._ports.clock.now()
        # A clock that was wrong while we were blind may have put domains a day ahead.
        await self._bring_back(now)
        await self._spread_overdue(abs(now - closed_at))

    async def _sleep_until_due(self) -> None:
        """Sleep until a domain is due, or ``_put`` brings one forward."""
        clock = self._ports.clock
        due = self._schedule.next_due_at()
        self._nap_until = min(due or datetime.max.replace(tzinfo=UTC), clock.now() + MAX_NAP)
        # By the event loop's time as well: a clock that is set back must not make it sleep longer.
        deadline = trio.current_time() + MAX_NAP.total_seconds()
        with trio.CancelScope(deadline=deadline) as self._nap:
            await clock.sleep_until(self._nap_until)
        late = clock.now() - self._nap_until
        if late > MAX_NAP:
            _log.info("nothing was due for %s longer than planned; catching up slowly", late)
            await self._spread_overdue(late)

    async def _notice_clock(self, now: datetime) -> None:
        """After a clock that was set back nothing may wait for the time it showed before."""
        back, self._seen_now = self._seen_now - now, now
        self._blind_at = min(self._blind_at, now)
        if back <= MAX_NAP:
            return
        _log.warning("the clock was set back by %s", back)
        await self._bring_back(now)

    async def _bring_back(self, now: datetime) -> None:
        """Let nobody wait longer than the cadence could have meant."""
        cadence = self._policy.cadence
        longest = max(cadence.interval, cadence.catch_up)
        for number, domain in enumerate(tuple(self._targets)):
            if number % PORTION == 0:
                await trio.lowlevel.checkpoint()
            due = self._schedule.due_of(domain)
            if due is not None and due > now + longest:
                self._resume_domain(domain, now, longest)

    async def _spread_overdue(self, late: timedelta) -> None:
        """Spread what is due over ``late``, the time in which nothing was checked: no burst."""
        now = self._ports.clock.now()
        while overdue := self._schedule.pop_due(now, PORTION):
            for domain in overdue:
                self._resume_domain(domain, now, late)
            await trio.lowlevel.checkpoint()

    def _resume_domain(self, domain: Name, now: datetime, late: timedelta) -> None:
        entry = self._ledger.entry_of(domain, now)
        self._put(domain, resumed_due(entry, now=now, cadence=self._policy.cadence, late=late))

    def _put(self, domain: Name, due: datetime) -> None:
        """Let ``domain`` wait until ``due``, and wake the dispatcher if that is sooner."""
        self._schedule.put(domain, due)
        if due < self._nap_until:
            self._nap.cancel()

    def _begin(self, domain: Name) -> _Flight:
        flight = self._flights[domain] = _Flight()
        return flight

    async def _look_and_leave(self, domain: Name, flight: _Flight) -> None:
        stay = self._lane.watch(self._places.release)
        try:
            await self._look(domain, flight, None)
        finally:
            if self._lane.end(stay):
                self._places.release()

    async def _look(self, domain: Name, flight: _Flight, planned: datetime | None) -> Check | None:
        """Check ``domain`` and take in what comes of it; the domain waits again afterwards.

        ``planned`` is when it would have been due, had nobody asked sooner.
        """
        try:
            target = self._targets.get(domain)
            if target is not None:
                flight.check = await self._ports.check(target)
                finished = self._take(domain, flight.check, planned)
                if finished is not None:
                    await self._outflow.put(finished)
        except CannotCheckError:
            self._retry(domain)
        except Exception as error:  # noqa: BLE001 - a bug in one check ends nothing else
            note_crash("check", error, self._ports.meter)
            self._retry(domain)
        finally:
            del self._flights[domain]
            flight.done.set()
            if domain in self._targets and domain not in self._schedule:  # cancelled
                self._put(domain, planned or self._ports.clock.now())
        return flight.check

    def _take(self, domain: Name, check: Check, planned: datetime | None) -> Finished | None:
        """Digest ``check``, move states and schedule; None when it changes nothing at all."""
        target = self._targets.get(domain)
        if target is None:  # no longer watched
            return None
        policy, gate = self._policy, self._ports.gate
        blind = gate.closed() is not None or check.observation.observed_at <= self._blind_at
        if blind or not check.observation.vantage.resolver_trusted:
            self._retry(domain)
            return None
        count_check(check, policy.profile, self._ports.meter)
        result = self._ledger.digest(target, check, policy)
        if not gate.note(target, check, result):
            self._retry(domain)
            return None
        entry, heartbeat = self._ledger.accept(
            check, result, now=self._ports.clock.now(), planned=planned, policy=policy
        )
        self._put(domain, entry.due_at)
        return Finished(
            target=target,
            check=annotated(check, result.notes),
            digest=result,
            states=self._ledger.states_of(check),
            entry=entry,
            heartbeat=heartbeat or any(note.code in TOLD for note in result.notes),
        )

    def _retry(self, domain: Name) -> None:
        """Let ``domain`` be due again soon: its check came to nothing through a fault of ours."""
        if domain in self._targets:
            wait = self._ledger.count_failure(domain, self._policy.cadence)
            self._put(domain, self._ports.clock.now() + wait)

    def _new_due(self, domain: Name, now: datetime) -> datetime:
        """Return when ``domain`` is due by a new cadence: not later than it would have been."""
        waits_for = self._schedule.due_of(domain)
        due = next_due(
            domain,
            now=now,
            cadence=self._policy.cadence,
            failing_since=self._ledger.entry_of(domain, now).failing_since,
        )
        return due if waits_for is None else min(due, waits_for)

    def _retain(self) -> None:
        if self._ports.board is not None:
            self._ports.board.retain(self._targets)
        self._ports.meter.put(OwnMetric.TARGETS, len(self._targets))

    # --- its own pulse ---------------------------------------------------------------------------

    async def _watch_gate_for_ever(self) -> None:
        """Notice blindness that begins and ends between two checks, for those that run."""
        while True:
            if self._ports.gate.closed() is not None:
                self._blind_at = self._ports.clock.now()
            await trio.sleep(self._limits.gate_seconds)

    async def _set_gauges_for_ever(self) -> None:
        while True:
            self._set_gauges()
            await trio.sleep(self._limits.gauges_seconds)

    def _set_gauges(self) -> None:
        put, now = self._ports.meter.put, self._ports.clock.now()
        oldest = self._schedule.next_due_at()
        put(OwnMetric.TARGETS, len(self._targets))
        put(OwnMetric.SCHEDULER_QUEUE_LENGTH, self._schedule.overdue(now))
        waits = oldest is not None and oldest <= now
        put(OwnMetric.SCHEDULER_OLDEST_DUE, oldest.timestamp() if oldest and waits else None)
        put(OwnMetric.SCHEDULER_INTERVAL, self._policy.cadence.interval.total_seconds())
        put(OwnMetric.IN_FLIGHT, len(self._flights), stage="domain")
        put(OwnMetric.SLOW_IN_FLIGHT, self._lane.statistics().now, stage="domain")
        put(OwnMetric.SUSPICIONS, len(self._ledger.suspicions))
        self._ports.put_gauges()

    async def _measure_lag_for_ever(self) -> None:
        tick = self._limits.lag_tick_seconds
        while True:
            began = trio.current_time()
            await trio.sleep(tick)
            lag = trio.current_time() - began - tick
            self._ports.meter.observe(OwnMetric.EVENT_LOOP_LAG, max(lag, 0.0))

    async def _tidy_for_ever(self) -> None:
        while True:
            await trio.sleep(self._limits.tidy_seconds)
            tidied = self._ledger.tidy(
                self._targets,
                now=self._ports.clock.now(),
                keep_unseen=self._limits.keep_unseen,
                forget_after=self._policy.confirmation.forget_after,
            )
            if tidied != Commit():
                self._outflow.drop(tidied)
            gc.collect()  # the collector looks at new objects only (scanner.cli.trio_run)
