"""The monitoring service put together: targets, state file, history, page, scanner, monitor.

    open   configuration, targets, state file, history, page     (blocking; errors end the command)
    run    scanner -> self-watch -> monitor, until told to stop
    reload configuration, targets, scanner, cadence; the old ones stay when anything is wrong

What a reload cannot change needs a restart, and the reload says so (``RESTART_SETTINGS``).
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import trio

from exporters.exposition import ResultFragments
from exporters.history.batches import ParquetBatchWriter
from exporters.history.outbox import OutboxRowMaker
from exporters.own_metrics import OwnMetrics
from scanner.cli.errors import CommandError
from scanner.cli.history_upkeep import daily_upkeep
from scanner.cli.preflight import fitted
from scanner.cli.replaceable import Replaceable
from scanner.cli.service_parts import (
    CurrentTests,
    cadence_of,
    confirmation_of,
    needs_restart,
    outflow_limits_of,
    service_settings,
    watch_policy_of,
)
from scanner.cli.wiring import Scanner, Settings, open_scanner
from scanner.config import Config
from scanner.model.meter import OwnMetric
from scanner.model.monitoring import Commit, OutboxRow
from scanner.model.names import Name
from scanner.model.ports import Target, WaitingClock
from scanner.model.verdict import Check
from scanner.run.monitor import Monitor, MonitorLimits, MonitorPolicy, MonitorPorts
from scanner.run.selfwatch import SelfWatch, WatchPolicy
from scanner.run.supervise import supervised
from scanner.store import SqliteStore
from targets.shard import Shard
from targets.watch import TargetChange, TargetWatch

_log = logging.getLogger("danewatch.service")
UPKEEP_AFTER_MIDNIGHT = timedelta(hours=1, minutes=30)
"""When files are merged: the day must be over for an hour (``CompactionLimits.min_age``)."""
MAX_REMARKS_LOGGED = 20
"""Of one target list; ``danewatch targets check`` shows all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A configuration and what a scanner is built from, by it and the command line."""

    config: Config
    settings: Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceLimits:
    """Bounds and paces of a service; a demonstration in faster time has its own."""

    monitor: MonitorLimits = field(default_factory=MonitorLimits)
    watch: WatchPolicy = field(default_factory=WatchPolicy)
    pace: float = 1.0
    """How much faster than the event loop the clock of the service runs."""


class Service:
    """The service; make it with ``open_service``."""

    def __init__(
        self,
        *,
        loaded: Loaded,
        load: Callable[[], Loaded],
        targets: TargetWatch,
        shard: Shard | None,
        store: SqliteStore,
        rows: OutboxRowMaker,
        writer: ParquetBatchWriter,
        board: ResultFragments,
        meter: OwnMetrics,
        limits: ServiceLimits,
    ) -> None:
        self._loaded = loaded
        self._load = load
        self._targets = targets
        self._shard = shard
        self._store = store
        self._rows = rows
        self._writer = writer
        self._limits = limits
        self.board = board
        self.meter = meter
        self.watch: SelfWatch | None = None
        self.monitor: Monitor | None = None
        self._clock: WaitingClock | None = None
        self._steady: Callable[[], float] = trio.current_time
        self._scanners: Replaceable[Scanner] | None = None
        self._reloading = trio.Lock()
        self._started = trio.Event()
        self._stop = trio.Event()
        self.ended = trio.Event()
        self._chosen: tuple[Target, ...] = ()
        self._domains: frozenset[Name] = frozenset()
        self._choose()
        meter.put(OwnMetric.BLIND, 1.0)  # nothing is believed before the first look at ourselves

    # --- running ---------------------------------------------------------------------------------

    async def run(
        self,
        clock: WaitingClock,
        *,
        steady_seconds: Callable[[], float] = trio.current_time,
        task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run until ``stop``; then finish what runs, and write what is left.

        ``steady_seconds`` is a time that nobody sets, at the pace of ``clock``. Raises OSError
        when the scanner cannot be opened or the state not be read.
        """
        self._clock, self._steady = clock, steady_seconds
        async with trio.open_nursery() as nursery:
            scanners = self._scanners = Replaceable[Scanner](nursery)
            await scanners.replace(partial(self._open_scanner, self._loaded))
            self.watch = self._make_watch(scanners, clock)
            self.monitor = self._make_monitor(clock, self.watch)
            await self._keep_row(self._rows.started())
            nursery.start_soon(supervised, "selfwatch", self.watch.run, self.meter)
            nursery.start_soon(supervised, "upkeep", self._keep_history, self.meter)
            nursery.start_soon(supervised, "targets", self._watch_targets, self.meter)
            monitor_ended = trio.Event()
            await nursery.start(self._monitor, self.monitor, monitor_ended)
            self.watch.seed(self.monitor.ledger.states)
            self._note_reload(worked=True)
            problems = self._targets.current.problem_count
            self.meter.put(OwnMetric.TARGETS_LOAD_PROBLEMS, problems)
            self._started.set()
            task_status.started()
            await self._stop.wait()
            self.monitor.stop(self._loaded.config.schedule.stop_grace_seconds)
            await monitor_ended.wait()
            await self._keep_row(self._rows.stopped(clock.now(), targets=len(self._chosen)))
            await trio.to_thread.run_sync(self._write_what_is_left)
            _log.info("stopped")
            self.ended.set()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin no more checks and let ``run`` return."""
        self._stop.set()

    async def check(self, target: Target) -> Check:
        """Return one check, by the scanner in use."""
        assert self._scanners is not None
        async with self._scanners.use() as scanner:
            return await scanner.check(target.domain)

    def _put_gauges(self) -> None:
        assert self._scanners is not None
        self._scanners.current.put_gauges(self.meter)

    async def check_now(self, domain: Name) -> Check | None:
        """Return a check of ``domain`` made now, None if a bug ate it. Raises StoppedError."""
        assert self.monitor is not None
        return await self.monitor.check_now(domain)

    def targets(self) -> tuple[Target, ...]:
        """Return what is watched: the share of the lists that is ours."""
        return self._chosen

    def watches(self, domain: Name) -> bool:
        """Return whether ``domain`` is watched; callable from any thread."""
        return domain in self._domains

    def not_ready(self) -> str | None:
        """Return why there is nothing to show yet, None once there is; from any thread."""
        if self.monitor is None or self.watch is None:
            return "starting"
        if self.watch.status is None:
            return "the first look at ourselves is under way"
        return None

    def blind(self) -> str | None:
        """Return why nothing that is looked at now can be believed, None while we see."""
        return None if self.watch is None else self.watch.closed()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    async def _monitor(
        self, monitor: Monitor, ended: trio.Event, task_status: "trio.TaskStatus[None]"
    ) -> None:
        try:
            await monitor.run(task_status)
        finally:
            ended.set()

    def _open_scanner(self, loaded: Loaded) -> contextlib.AbstractAsyncContextManager[Scanner]:
        wanted = service_settings(loaded.settings, loaded.config, pace=self._limits.pace)
        settings, sentence = fitted(wanted)
        if sentence is not None:
            _log.warning("%s", sentence)
        return open_scanner(
            settings,
            clock=self._clock,
            meter=self.meter,
            steady_seconds=self._steady,
        )

    def _make_watch(self, scanners: Replaceable[Scanner], clock: WaitingClock) -> SelfWatch:
        config = self._loaded.config
        return SelfWatch(
            CurrentTests(scanners),
            clock=clock,
            canaries=[Name(name) for name in config.self_test.canary_domains],
            policy=watch_policy_of(config, self._limits.watch, pace=self._limits.pace),
            meter=self.meter,
            forget=lambda: scanners.current.forget(),
            workers_fault=lambda: scanners.current.workers_fault(),
        )

    def _make_monitor(self, clock: WaitingClock, watch: SelfWatch) -> Monitor:
        config, policy = self._loaded.config, self._loaded.settings.policy
        limits = self._limits.monitor
        return Monitor(
            MonitorPorts(
                check=self.check,
                store=self._store,
                clock=clock,
                meter=self.meter,
                gate=watch,
                board=self.board,
                rows=self._rows,
                writer=self._writer,
                put_gauges=self._put_gauges,
            ),
            targets=self._chosen,
            policy=MonitorPolicy(
                run_id=self._store.run_id,
                profile=policy.profile,
                queue_life=policy.queue_life,
                cadence=cadence_of(config),
                confirmation=confirmation_of(config),
                heartbeat=timedelta(hours=config.history.heartbeat_hours),
            ),
            limits=MonitorLimits(
                domains_in_flight=config.limits.domains_in_flight,
                slow_domains_in_flight=config.limits.slow_domains_in_flight,
                slow_after_seconds=config.limits.slow_after_seconds,
                gauges_seconds=limits.gauges_seconds,
                lag_tick_seconds=limits.lag_tick_seconds,
                tidy_seconds=limits.tidy_seconds,
                keep_unseen=limits.keep_unseen,
                finish_seconds=limits.finish_seconds,
                outflow=outflow_limits_of(config, limits.outflow),
            ),
        )

    async def _keep_row(self, row: OutboxRow) -> None:
        """Put the row of this run of the service into the outbox; failing is only said."""
        try:
            await trio.to_thread.run_sync(self._store.commit, [Commit(rows=(row,))])
        except OSError as error:
            _log.error("the row of this run cannot be kept: %s", error)

    def _write_what_is_left(self) -> None:
        """Write the last rows; what cannot be written is written after the next start."""
        try:
            for batch in self._store.assign(limit=self._limits.monitor.outflow.flush_rows):
                self._writer.write_batch(batch)
                self._store.settle(batch.name)
        except OSError as error:
            _log.error("the history cannot be written, results wait in the state file: %s", error)

    async def _keep_history(self) -> None:
        """Look after the files of the history soon after each midnight (UTC), in a thread."""
        assert self._clock is not None
        while True:
            now = self._clock.now()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            await self._clock.sleep_until(midnight + UPKEEP_AFTER_MIDNIGHT)
            directory = self._loaded.config.history.directory
            if directory is not None:
                await trio.to_thread.run_sync(
                    daily_upkeep, Path(directory), self._loaded.config, self._clock.now()
                )

    # --- targets and configuration ---------------------------------------------------------------

    def _choose(self) -> None:
        """Take the share of the present list that is ours."""
        found = self._targets.current.targets
        self._chosen = found if self._shard is None else self._shard.select(found)
        self._domains = frozenset(target.domain for target in self._chosen)

    async def _watch_targets(self) -> None:
        """Look at the target lists every now and then, and take what may be taken."""
        while True:
            await trio.sleep(self._loaded.config.targets.watch_seconds / self._limits.pace)
            async with self._reloading:
                change = await trio.to_thread.run_sync(self._targets.look, abandon_on_cancel=True)
                refused = None if change is None else self._take_targets(change)
                if refused is not None:
                    _log.error("the new target list is refused, the old one stays: %s", refused)

    def _take_targets(self, change: TargetChange) -> str | None:
        """Watch the new list; return why not, when it is refused."""
        assert self.monitor is not None
        assert self.watch is not None
        for problem in change.loaded.problems[:MAX_REMARKS_LOGGED]:
            _log.warning("target list: %s", problem)
        self.meter.put(OwnMetric.TARGETS_LOAD_PROBLEMS, change.loaded.problem_count)
        self.meter.put(OwnMetric.TARGETS_SHRINK_REFUSED, float(change.refused is not None))
        if change.refused is not None:
            return change.refused
        self._choose()
        self.monitor.set_targets(self._chosen)
        self.watch.retain(self._domains)
        _log.info(
            "new target list",
            extra={
                "targets": len(self._chosen),
                "added": change.added,
                "removed": change.removed,
                "relabelled": change.relabelled,
            },
        )
        return None

    async def reload(self) -> tuple[str, ...]:
        """Take the configuration and the targets anew; return what is wrong, empty if all is well.

        When the configuration is wrong nothing changes. A list that shrinks is taken as confirmed.
        A service that starts is waited for.
        """
        await self._started.wait()
        async with self._reloading:
            try:
                loaded = await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)
                problems = await self._take(loaded)
            except (CommandError, OSError) as error:
                problems = tuple(str(error).splitlines())
            self._note_reload(worked=not problems)
            for problem in problems:
                _log.error("reload: %s", problem)
            if not problems:
                _log.info("reloaded")
            return problems

    async def _take(self, loaded: Loaded) -> tuple[str, ...]:
        assert self._scanners is not None
        assert self.monitor is not None
        old = self._loaded
        if loaded.settings != old.settings or loaded.config.self_test != old.config.self_test:
            await self._scanners.replace(partial(self._open_scanner, loaded))
        self._loaded = loaded
        later = needs_restart(old.config, loaded.config)
        if later:
            _log.warning("takes effect when the service is started again: %s", ", ".join(later))
        if cadence_of(loaded.config) != cadence_of(old.config):
            await self.monitor.set_cadence(cadence_of(loaded.config))
        self.monitor.set_confirmation(confirmation_of(loaded.config))
        if loaded.config.targets != old.config.targets:
            self._targets.follow(
                loaded.config.targets.files,
                max_shrink=loaded.config.targets.max_shrink_percent / 100,
            )
        change = await trio.to_thread.run_sync(
            partial(self._targets.look, confirmed=True), abandon_on_cancel=True
        )
        refused = None if change is None else self._take_targets(change)
        return () if refused is None else (f"the old target list stays: {refused}",)

    def _note_reload(self, *, worked: bool) -> None:
        assert self._clock is not None
        self.meter.put(OwnMetric.CONFIG_LAST_RELOAD_SUCCESSFUL, float(worked))
        if worked:
            now = self._clock.now().timestamp()
            self.meter.put(OwnMetric.CONFIG_LAST_RELOAD_SUCCESS, now)
