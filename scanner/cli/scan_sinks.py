"""Where the results of a pass go: the Parquet history with its transitions, metrics, JSON lines.

The history decides two more things: what a resumed pass has still to do, and what each domain and
MX host was like before, so that a change becomes a transition.
"""

import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from exporters.history import (
    HistoryError,
    ParquetHistory,
    RunInfo,
    RunOutcome,
    domains_done,
    last_states,
    unfinished_run,
)
from exporters.jsonl import JsonlSink
from exporters.prometheus import ResultMetrics, write_textfile
from scanner import __version__
from scanner.cli.scan_run import PassResult
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.ports import Clock, Target
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile
from scanner.transition.changes import Changes
from scanner.transition.fold import fold_check
from scanner.transition.looks import Pairs

if TYPE_CHECKING:
    from scanner.cli.wiring import Settings
    from scanner.model.transition import State, Transition
    from targets.shard import Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One pass as the history knows it. ``done`` are domains that an interrupted part checked."""

    run_id: str
    scanner_id: str
    resumed: RunInfo | None
    done: frozenset[Name]
    shard: str | None = None


def choose_run(
    directory: Path,
    *,
    resume: bool,
    now: datetime,
    shard: "Shard | None" = None,
    scanner_id: str | None = None,
) -> Run:
    """Return the run to go on with, or a new one.

    Each share of a list is a scanner of its own, so that several may run beside each other.
    Raises HistoryError when the history cannot be read.
    """
    scanner_id = scanner_id or own_scanner_id()
    share = None if shard is None else str(shard)
    if shard is not None:
        scanner_id += f"-{shard.index}of{shard.count}"
    unfinished = unfinished_run(directory, scanner_id=scanner_id) if resume else None
    if unfinished is None:
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        return Run(
            run_id=run_id, scanner_id=scanner_id, resumed=None, done=frozenset(), shard=share
        )
    return Run(
        run_id=unfinished.run_id,
        scanner_id=scanner_id,
        resumed=unfinished,
        done=frozenset(domains_done(directory, unfinished.run_id)),
        shard=share,
    )


def own_scanner_id() -> str:
    """Return a name for this machine that may stand in a file name."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:48].strip("-._")
    return cleaned or "danewatch"


class HistorySink:
    """Writes checks and the transitions they cause into the Parquet history."""

    def __init__(
        self,
        directory: Path,
        run: Run,
        settings: "Settings",
        targets: Sequence[Target],
        clock: Clock,
        *,
        configuration_sha256: str | None = None,
    ) -> None:
        """Open the history and read the last states. Raises HistoryError."""
        policy = settings.policy
        self._history = ParquetHistory(
            directory,
            run_id=run.run_id,
            scanner_id=run.scanner_id,
            started_at=clock.now() if run.resumed is None else run.resumed.first_observed_at,
            version=__version__,
            profile=policy.profile,
            resolvers=[str(server) for server in settings.resolvers],
            shard=run.shard,
            configuration_sha256=configuration_sha256,
        )
        try:
            self.states = last_states(directory, policy.profile)
        except HistoryError:
            self._history.close()
            raise
        self._run = run
        self._profile = policy.profile
        self._queue_life = policy.queue_life
        self.labels: dict[Name, Pairs] = {
            target.domain: target.labels for target in targets if target.labels
        }
        self._clock = clock
        self._targets = len(targets)
        self.changes = Changes()

    def write(self, checks: Iterable[Check]) -> None:
        """Take ``checks``. Raises HistoryError."""
        for check in checks:
            moved, transitions = self._fold(check)
            self._history.record(check, transitions)
            # Only now: had the history refused, the change would still have to be found.
            self.states.update(moved)
            for transition in transitions:
                self.changes.note(transition)

    def _fold(self, check: Check) -> "tuple[Mapping[EntityKey, State], tuple[Transition, ...]]":
        labels = self.labels.get(check.domain, ())
        return fold_check(
            self.states,
            check,
            profile=self._profile,
            queue_life=self._queue_life,
            run_id=self._run.run_id,
            labels=labels,
        )

    def finish(self, result: PassResult) -> None:
        """Write what is pending and the row of the run. Raises HistoryError."""
        outcome = RunOutcome.COMPLETED
        if result.blind is not None:
            outcome = RunOutcome.BLIND
        elif result.interrupted:
            outcome = RunOutcome.INTERRUPTED
        self._history.finish(
            outcome, ended_at=self._clock.now(), detail=result.blind, targets=self._targets
        )

    def close(self) -> None:
        """Write what is pending and give the directory up. Raises HistoryError."""
        self._history.close()


class MetricsSink:
    """Writes the metrics of a whole pass to a file for node_exporter's textfile collector.

    Stands behind the history, whose states and labels it shows. A pass that did not come to its
    end, or had a first part of which only the files are known, leaves the old file: half of the
    domains would look as if they had been removed.
    """

    def __init__(self, path: Path, history: HistorySink, settings: "Settings", run: Run) -> None:
        policy = settings.policy
        self._metrics = ResultMetrics(profile=policy.profile, queue_life=policy.queue_life)
        self._path = path
        self._history = history
        self._is_part = bool(run.done)
        self.written = False

    def write(self, checks: Iterable[Check]) -> None:
        """Take ``checks``."""
        for check in checks:
            labels = self._history.labels.get(check.domain, ())
            self._metrics.add(check, states=self._history.states, labels=labels)

    def finish(self, result: PassResult) -> None:
        """Write the file if the pass is whole. Raises OSError."""
        if not (self._is_part or result.interrupted or result.blind):
            write_textfile(self._path, self._metrics.render())
            self.written = True

    def close(self) -> None:
        """Do nothing: nothing is held."""


class LineSink:
    """Writes each check as a JSON line to standard output."""

    def __init__(self, stream: TextIO, profile: Profile) -> None:
        self._sink = JsonlSink(stream, profile=profile)

    def write(self, checks: Iterable[Check]) -> None:
        """Write ``checks``. Raises OSError."""
        self._sink.write(checks)

    def finish(self, result: PassResult) -> None:
        """Flush the stream. Raises OSError."""
        self._sink.close()

    def close(self) -> None:
        """Do nothing: the stream stays the caller's."""
