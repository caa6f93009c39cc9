"""Opening the service and letting it run until a signal: what blocks, what is released again.

Whatever cannot be opened ends the command with a sentence and the remedy, before anything was
changed. A history that cannot be written at the moment is no such thing: results wait for it in
the state file.
"""

import logging
import secrets
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import trio

from exporters.exposition import ResultFragments
from exporters.history import HistoryError, last_states
from exporters.history.batches import ParquetBatchWriter
from exporters.history.outbox import OutboxRowMaker
from exporters.history.reader import known_certificates
from exporters.history.rows import RunFacts
from exporters.http import HttpCallbacks, MetricsServer, ProbeUnavailableError
from exporters.own_metrics import OwnMetrics
from exporters.schema import CERTIFICATES
from scanner import __version__
from scanner.cli.errors import CommandError
from scanner.cli.logs import set_up_logging
from scanner.cli.scan_sinks import own_scanner_id
from scanner.cli.sdnotify import READY, STOPPING, WATCHDOG, notify, status, watchdog_seconds
from scanner.cli.service import MAX_REMARKS_LOGGED, Loaded, Service, ServiceLimits
from scanner.cli.service_parts import Places, places_of
from scanner.cli.trio_run import run_trio
from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.ports import WaitingClock
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile
from scanner.run.clock import SystemClock, steady_seconds
from scanner.run.monitor import StoppedError
from scanner.store import SqliteStore
from targets.shard import Shard
from targets.watch import TargetWatch

_log = logging.getLogger("danewatch.service")
STUCK_SECONDS = 60.0
"""Without a turn of the event loop the service is not healthy; ours."""


def run_service(
    loaded: Loaded,
    *,
    load: Callable[[], Loaded],
    file: str,
    shard: Shard | None,
    log_level: str,
    log_format: str,
) -> None:
    """Open the service and run it until a signal. Raises CommandError."""
    places = places_of(loaded.config, file)
    meter = OwnMetrics(version=__version__)
    set_up_logging(log_level, log_format, with_time=True, meter=meter)
    clock = SystemClock()
    with open_service(
        loaded, load=load, places=places, shard=shard, meter=meter, now=clock.now()
    ) as service:
        try:
            run_trio(_run, service, clock)
        except OSError as error:
            raise CommandError(f"the service cannot go on: {error}") from error


@contextmanager
def open_service(
    loaded: Loaded,
    *,
    load: Callable[[], Loaded],
    places: Places,
    meter: OwnMetrics,
    now: datetime,
    shard: Shard | None = None,
    limits: ServiceLimits | None = None,
) -> Iterator[Service]:
    """Open targets, state file, history and board; they are released with the block.

    Raises CommandError.
    """
    config, policy = loaded.config, loaded.settings.policy
    scanner_id = config.history.scanner_id or own_scanner_id()
    if shard is not None:
        scanner_id += f"-{shard.index}of{shard.count}"
    with ExitStack() as stack:
        targets = _open_targets(loaded)
        try:
            places.state.parent.mkdir(parents=True, exist_ok=True)
            store = SqliteStore(places.state)
            stack.callback(store.close)
            writer = _open_writer(places.history, scanner_id)
            stack.callback(writer.close)
            is_empty = store.is_new
            if store.judge_by(policy.profile):
                _log.warning("another profile than before: states are taken from the history")
                is_empty = True
            if is_empty:
                store.rebuild(_states_from(places.history, policy.profile))
            run = RunFacts(
                run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
                scanner_id=scanner_id,
                started_at=now,
                version=__version__,
                configuration_sha256=config.fingerprint(),
                profile=policy.profile,
                resolvers=tuple(str(server) for server in loaded.settings.resolvers),
                shard=None if shard is None else str(shard),
            )
            rows = OutboxRowMaker(
                run,
                known_certificates=_certificates_in(places.history),
                pending_certificates=store.pending_of(CERTIFICATES.name),
            )
        except (OSError, ValueError) as error:
            raise CommandError(f"the service cannot start: {error}") from error
        board = ResultFragments(
            profile=policy.profile,
            queue_life=policy.queue_life,
            max_series=config.http.max_series,
        )
        if shard is not None:
            meter.put(OwnMetric.SHARDS, shard.count, shard=str(shard.index))
        yield Service(
            loaded=loaded,
            load=load,
            targets=targets,
            shard=shard,
            store=store,
            rows=rows,
            writer=writer,
            board=board,
            meter=meter,
            limits=limits or ServiceLimits(),
        )


def _open_targets(loaded: Loaded) -> TargetWatch:
    section = loaded.config.targets
    watch = TargetWatch(section.files, max_shrink=section.max_shrink_percent / 100)
    found = watch.load()
    for problem in found.problems[:MAX_REMARKS_LOGGED]:
        _log.warning("target list: %s", problem)
    if not found.targets:
        reasons = "".join(f"\n  {problem}" for problem in found.problems[:MAX_REMARKS_LOGGED])
        raise CommandError(f"the target lists name no domain{reasons}")
    return watch


def _states_from(directory: Path, profile: Profile) -> Iterable[State]:
    """Return the last states in the history; what cannot be read of it is only said.

    Whoever is in a damaged file is seen for the first time again, which is told as such.
    """
    problems: list[HistoryError] = []
    states = last_states(directory, profile, problems=problems)
    _tell_problems(problems)
    return states.values()


def _certificates_in(directory: Path) -> set[bytes]:
    problems: list[HistoryError] = []
    known = known_certificates(directory, problems=problems)
    _tell_problems(problems)
    return known


def _tell_problems(problems: Iterable[HistoryError]) -> None:
    for problem in problems:
        _log.error("the history has a file that cannot be read: %s", problem)


def _open_writer(directory: Path, scanner_id: str) -> ParquetBatchWriter:
    """Take the history for this scanner; one that cannot be written now is only said."""
    writer = ParquetBatchWriter(directory, scanner_id=scanner_id)
    try:
        writer.open()
    except HistoryError as error:
        if error.in_use:
            raise
        _log.error("the history cannot be written, results wait in the state file: %s", error)
    return writer


# --- while it runs -------------------------------------------------------------------------------


async def _run(service: Service, clock: WaitingClock) -> None:
    """Run the service with its page, its signals and its supervisor."""
    async with trio.open_nursery() as nursery:
        pulse = Pulse()
        nursery.start_soon(_obey_signals, service, nursery.cancel_scope)
        nursery.start_soon(_beat, pulse)
        with serve_page(service, pulse, trio.lowlevel.current_trio_token()) as url:
            await nursery.start(partial(_live, service, clock))
            _log.info("running", extra={"page": url, "targets": len(service.targets())})
            notify(READY, status(f"watching {len(service.targets()):,} domains, {url}"))
            await service.ended.wait()
        nursery.cancel_scope.cancel()


async def _live(
    service: Service, clock: WaitingClock, *, task_status: "trio.TaskStatus[None]"
) -> None:
    await service.run(clock, steady_seconds=steady_seconds, task_status=task_status)


async def _obey_signals(service: Service, scope: trio.CancelScope) -> None:
    """Reload at SIGHUP, end at SIGTERM and SIGINT, at once at the second of these.

    However long a reload takes, or a start that it has to wait for, the end is not kept waiting.
    """
    stopping = False
    signals = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    ask, asked = trio.open_memory_channel[None](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_reload_when_asked, service, asked)
        with trio.open_signal_receiver(*signals) as received:
            async for number in received:
                if number == signal.SIGHUP:
                    with suppress(trio.WouldBlock):  # one is to come that will see the same
                        ask.send_nowait(None)
                    continue
                if stopping:
                    _log.warning("told twice to stop: what runs is given up")
                    scope.cancel()
                    return
                stopping = True
                _log.info("stopping: no new checks, those that run may finish")
                notify(STOPPING)
                service.stop()


async def _reload_when_asked(service: Service, asked: "trio.MemoryReceiveChannel[None]") -> None:
    """Reload for ever, one at a time."""
    async for _ in asked:
        await service.reload()


class Pulse:
    """When the event loop last had a turn; read from other threads."""

    def __init__(self) -> None:
        self.at = trio.current_time()
        self._clock = trio.lowlevel.current_clock()

    def beat(self) -> None:
        """The event loop has a turn."""
        self.at = trio.current_time()

    def stuck(self) -> str | None:
        """Return a sentence when the event loop has had no turn for long."""
        silent = self._clock.current_time() - self.at
        if silent < STUCK_SECONDS:
            return None
        return f"the event loop has had no turn for {silent:.0f} seconds"


async def _beat(pulse: Pulse) -> None:
    """Show that the event loop turns; tell systemd where it wants to know."""
    pace = min(watchdog_seconds() or 5.0, 5.0)
    while True:
        pulse.beat()
        if watchdog_seconds() is not None:
            notify(WATCHDOG)
        await trio.sleep(pace)


@contextmanager
def serve_page(service: Service, pulse: Pulse, token: trio.lowlevel.TrioToken) -> Iterator[str]:
    """Serve the page from a thread of its own for the length of the block; yield its address.

    Raises CommandError when it cannot be served as configured.
    """
    http = service.config.http
    server = None
    try:
        server = MetricsServer(
            service.board,
            service.meter,
            callbacks(service, pulse, token),
            listen=http.listen,
            web_config_file=Path(http.web_config_file) if http.web_config_file else None,
            open_health=http.open_health,
            probe_any_domain=http.probe_any_domain,
            profile=service.config.policy.profile,
            version=__version__,
        )
        server.start()
    except OSError as error:
        if server is not None:
            server.stop()
        raise CommandError(f"the page cannot be served at {http.listen}: {error}") from error
    try:
        yield server.url
    finally:
        server.stop()


def callbacks(service: Service, pulse: Pulse, token: trio.lowlevel.TrioToken) -> HttpCallbacks:
    """Return what the page asks the service, callable from its threads."""

    def reload() -> tuple[str, ...]:
        try:
            return trio.from_thread.run(service.reload, trio_token=token)
        except (trio.RunFinishedError, trio.Cancelled):
            return ("the service is stopping",)

    def refuse_while_blind() -> None:
        if (sentence := service.blind()) is not None:
            raise ProbeUnavailableError(f"danewatch cannot see, so this is no verdict: {sentence}")

    async def probe_in_time(domain: Name, seconds: float) -> Check | None:
        refuse_while_blind()
        with trio.fail_after(seconds):
            check = await service.check_now(domain)
        refuse_while_blind()  # who became blind meanwhile has looked with closed eyes
        return check

    def probe(domain: Name, seconds: float) -> Check:
        try:
            check = trio.from_thread.run(probe_in_time, domain, seconds, trio_token=token)
        except trio.TooSlowError as error:
            raise TimeoutError(f"no result within {seconds:.0f} seconds") from error
        except (StoppedError, trio.RunFinishedError, trio.Cancelled) as error:
            raise ProbeUnavailableError("the service is stopping") from error
        if check is None:
            raise ProbeUnavailableError("this check failed by a bug in danewatch; see its log")
        return check

    return HttpCallbacks(
        not_ready=service.not_ready,
        reload=reload,
        is_target=service.watches,
        probe=probe,
        unhealthy=pulse.stuck,
    )
