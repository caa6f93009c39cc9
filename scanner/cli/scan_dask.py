"""``danewatch scan --engine dask``: one pass on a cluster, conducted from here.

The same lists, the same files, the same summary and exit codes as a pass of one process; only what
is made of every single check while it runs (JSON lines, the file of metrics) is not to be had.
"""

import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from exporters.history import RunOutcome, last_states
from exporters.history.files import DirectoryLock, check_identifier
from exporters.history.places import Place, place_of
from exporters.history.reader import domains_done, find_run, known_certificates
from exporters.history.rows import RunFacts, run_row
from exporters.history.shards import run_file
from exporters.schema import CERTIFICATES, DOMAIN_CHECKS, RUNS, TABLES, TRANSITIONS
from scanner import __version__
from scanner.cli.dask_equipment import DaskEquipment
from scanner.cli.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    CommandError,
)
from scanner.cli.render_scan import PLAIN_INTERVAL_SECONDS, Statistics
from scanner.cli.render_words import plural
from scanner.cli.scan_ending import exit_code_of, show_summary
from scanner.cli.scan_run import PassResult
from scanner.cli.scan_sinks import Run, choose_run, own_scanner_id
from scanner.cli.wiring import Settings
from scanner.config import Config
from scanner.distributed import staging, tasks
from scanner.distributed.bookkeeping import Books
from scanner.distributed.cluster import Access, Cluster, ClusterError, InterruptedPassError
from scanner.distributed.conductor import Conductor, ConductorLimits, Ending
from scanner.distributed.values import DomainReport, OtherVersionError, PassPlan
from scanner.model.monitoring import EntityKey
from scanner.model.ports import Target
from scanner.model.transition import State
from scanner.model.vocabulary import DomainVerdict
from scanner.run.clock import SystemClock
from targets.shard import Shard

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DaskScan:
    """What the command line asks for."""

    targets: tuple[Target, ...]
    shard: Shard | None
    output: str
    resume: bool
    pass_id: str | None
    fail_on: frozenset[DomainVerdict]
    access: Access
    limits: ConductorLimits
    settings: Settings
    config: Config
    no_color: bool


def run(scan: DaskScan, *, say: Say) -> int:
    """Make the pass, show the summary, return the exit code. Raises CommandError."""
    try:
        place = place_of(scan.output)
        place.check()
        with _History(place, scan) as history:
            if history.is_complete:
                say(f"the pass {history.run.run_id} is complete already; nothing is done")
                return EXIT_OK
            return _run(scan, history, say)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot keep results: {error}") from error
    except (ClusterError, OtherVersionError) as error:
        raise CommandError(str(error)) from error


def _run(scan: DaskScan, history: "_History", say: Say) -> int:
    statistics = Statistics(profile=scan.settings.policy.profile, total=len(history.waiting))
    if history.run.resumed is not None:
        say(
            f"going on with {history.run.run_id}: {len(history.run.done):,} checked, "
            f"{len(history.waiting):,} to go"
        )
    elif scan.resume:
        say("no interrupted pass to go on with; this is a new one")
    books = Books(
        states=history.states(),
        certificates=history.certificates(),
        profile=scan.settings.policy.profile,
        queue_life=scan.settings.policy.queue_life,
        run_id=history.run.run_id,
        labels={target.domain: target.labels for target in scan.targets if target.labels},
        on_domain=lambda report: _count(statistics, report),
    )
    started = time.monotonic()
    _silence_libraries()
    with _signals() as interrupted, Cluster(scan.access, is_interrupted=interrupted) as cluster:
        try:
            workers = cluster.workers()
            cluster.check_versions(tasks.version, __version__)
        except InterruptedPassError:
            return EXIT_INTERRUPTED
        number = plural(len(workers), "worker")
        say(f"{number} at {scan.access.scheduler}, pass {history.run.run_id}")
        conductor = Conductor(
            plan=history.plan,
            cluster=cluster,
            books=books,
            first_number=history.first_number,
            progress=_Progress(say, len(history.waiting)).note,
            say=say,
            is_interrupted=interrupted,
            limits=scan.limits,
        )
        staging.take_over(history.plan)
        ending = conductor.run(history.waiting)
        result = history.finish(ending, books, conductor.next_number)
    show_summary(
        statistics,
        result,
        books.changes,
        history=scan.output,
        elapsed_seconds=time.monotonic() - started,
        stream=sys.stdout,
        no_color=scan.no_color,
    )
    return exit_code_of(statistics, result, fail_on=scan.fail_on)


def _silence_libraries() -> None:
    """Let Dask log nothing here: what matters of a lost connection we say in a sentence."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _NOISY:
            logging.getLogger(name).disabled = True


_NOISY = frozenset({"distributed", "tornado", "asyncio"})


def _count(statistics: Statistics, report: DomainReport) -> None:
    statistics.count(report.verdict)


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Note the first SIGINT or SIGTERM; the second ends the process."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Progress:
    """A line at the beginning and the end of each round, and every ten seconds."""

    def __init__(self, say: Say, domains: int) -> None:
        self._say = say
        self._domains = domains
        self._round = ""
        self._shown = 0.0

    def note(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        total = total or self._domains
        if what == self._round and now - self._shown < PLAIN_INTERVAL_SECONDS and done < total:
            return
        self._round, self._shown = what, now
        self._say(f"{what}: {done:,} of {total:,}")


class _History:
    """The history of the place as a pass needs it; a context manager.

    What is asked of a history is asked of files. Those of an object store are fetched for that, as
    far as they are needed: ``runs``, ``transitions`` and the domain checks of this pass.
    """

    def __init__(self, place: Place, scan: DaskScan) -> None:
        self._place = place
        self._scan = scan
        self._clock = SystemClock()
        self._stack = ExitStack()

    def __enter__(self) -> "_History":
        scan, place = self._scan, self._place
        directory = place.directory
        scanner_id = scan.config.history.scanner_id or own_scanner_id()
        check_identifier("scanner_id", scanner_id)
        if directory is None and scan.resume:
            raise ValueError(f"{place}: --resume needs --pass-id where results go to a store")
        if scan.pass_id is not None:
            check_identifier("--pass-id", scan.pass_id)
        if directory is None:
            directory = Path(self._stack.enter_context(TemporaryDirectory()))
            self._fetch(directory, scan.pass_id)
        self._directory = directory
        self.run = self._choose(scanner_id)
        if place.directory is not None:
            self._stack.callback(DirectoryLock(place.directory, self.run.scanner_id).close)
        self.started_at = self._clock.now()
        if self.run.resumed is not None:
            self.started_at = self.run.resumed.first_observed_at
        self.waiting = [one for one in scan.targets if one.domain not in self.run.done]
        self.first_number = self._first_number()
        policy = scan.settings.policy
        self.facts = RunFacts(
            run_id=self.run.run_id,
            scanner_id=self.run.scanner_id,
            started_at=self.started_at,
            version=__version__,
            configuration_sha256=scan.config.fingerprint(),
            profile=policy.profile,
            resolvers=tuple(str(server) for server in scan.settings.resolvers),
            shard=self.run.shard,
        )
        self.plan = PassPlan(
            pass_id=self.run.run_id,
            version=__version__,
            token=secrets.token_hex(16),
            key=secrets.token_bytes(32),
            place=place,
            equipment=DaskEquipment(scan.settings),
            run=self.facts,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_complete(self) -> bool:
        """Whether the pass of that name has ended well already."""
        resumed = self.run.resumed
        return resumed is not None and resumed.outcome is RunOutcome.COMPLETED

    def states(self) -> dict[EntityKey, State]:
        """Return what every domain, host and zone was like before."""
        return last_states(self._directory, self._scan.settings.policy.profile)

    def certificates(self) -> set[bytes]:
        """Return the hashes of all certificates of the history."""
        if self._place.directory is not None:
            return known_certificates(self._place.directory)
        import pyarrow.parquet

        known: set[bytes] = set()
        for name in self._place.names(CERTIFICATES.name):
            with self._place.input_file(name) as stream:
                column = pyarrow.parquet.read_table(stream, columns=["sha256"]).column("sha256")
            known.update(bytes.fromhex(text) for text in column.to_pylist())
        return known

    def finish(self, ending: Ending, books: Books, number: int) -> PassResult:
        """Write the row of the run, remove what was staged, and say how the pass ended."""
        outcome = RunOutcome.COMPLETED
        if ending.blind is not None:
            outcome = RunOutcome.BLIND
        elif ending.interrupted or ending.failed is not None:
            outcome = RunOutcome.INTERRUPTED
        row = run_row(
            self.facts,
            outcome,
            started_at=self.started_at,
            ended_at=self._clock.now(),
            detail=ending.blind or ending.failed,
            targets=len(self._scan.targets),
            written={table.name: ending.written.get(table.name, 0) for table in TABLES},
            verdicts=books.verdicts,
        )
        file = run_file(row, run=self.facts, number=number)
        self._place.publish(file.name, file.data, owner=self.facts.scanner_id)
        self._place.remove(staging.folder_of(self.run.run_id))
        return PassResult(
            checked=ending.checked,
            blind=ending.blind,
            interrupted=ending.interrupted,
            failed=ending.failed,
        )

    def _choose(self, scanner_id: str) -> Run:
        scan = self._scan
        if scan.pass_id is None:
            return choose_run(
                self._directory,
                resume=scan.resume,
                now=self._clock.now(),
                shard=scan.shard,
                scanner_id=scanner_id,
            )
        if scan.shard is not None:
            scanner_id += f"-{scan.shard.index}of{scan.shard.count}"
        known = find_run(self._directory, scan.pass_id)
        if known is not None and known.scanner_id != scanner_id:
            raise ValueError(
                f"the pass {scan.pass_id} is one of the scanner {known.scanner_id}; "
                "give this one another --pass-id"
            )
        return Run(
            run_id=scan.pass_id,
            scanner_id=scanner_id,
            resumed=known,
            done=frozenset(domains_done(self._directory, scan.pass_id)) if known else frozenset(),
            shard=None if scan.shard is None else str(scan.shard),
        )

    def _first_number(self) -> int:
        """Return a number above those of all files of this pass."""
        if self.run.resumed is None and self._scan.pass_id is None:
            return 0
        prefix = f"{self.run.run_id}-"
        taken = [0]
        for table in TABLES:
            for name in self._place.names(table.name):
                stem = Path(name).stem
                number = stem.removeprefix(prefix)
                if stem.startswith(prefix) and number.isdigit():
                    taken.append(int(number) + 1)
        return max(taken)

    def _fetch(self, directory: Path, pass_id: str | None) -> None:
        wanted = [*self._place.names(RUNS.name), *self._place.names(TRANSITIONS.name)]
        if pass_id is not None:
            checks = self._place.names(DOMAIN_CHECKS.name)
            wanted += [name for name in checks if Path(name).name.startswith(f"{pass_id}-")]
        for name in wanted:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._place.read(name))
