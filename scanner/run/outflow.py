"""What leaves the service: commits, then log lines and the page, then files of the history.

    put -> channel -> committer: rows, one transaction for many checks -> announce, show
                      flusher: assign rows to files -> write whole files -> settle

Rules:

- Nothing is announced or shown that is not durable.
- Commits keep the order in which checks were digested, for each is made from the states that the
  one before left behind.
- When the store cannot write, the same commits are tried again for ever, later and later; the
  channel fills, ``put`` waits, and so the checks pause. Nothing is lost but time.
- When the history cannot write, its rows wait in the store's outbox, and everything else goes on.
- Each of the two says so in one log line when it begins and one when it ends, and in its metrics.
- A bug in what makes rows or shows results costs that row or that picture, never the commit, and
  never the row of a transition: those are then made by themselves, each on its own.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import trio

from scanner.model.meter import Meter, OwnMetric
from scanner.model.monitoring import (
    Commit,
    EntityKey,
    FileBatch,
    OutboxRow,
    ScheduleEntry,
    Snapshot,
)
from scanner.model.names import Name
from scanner.model.ports import (
    BatchWriter,
    ResultBoard,
    RowMaker,
    StateStore,
    Target,
    WaitingClock,
)
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile
from scanner.run.announce import announce
from scanner.run.supervise import Backoff, Bugs, Offload, in_thread, note_crash
from scanner.transition.confirm import Digest

_log = logging.getLogger("danewatch.monitor")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutflowLimits:
    """Bounds of what waits to be written. All ours."""

    waiting_checks: int = 1_000
    """Finished checks that wait for their commit; then checks pause. About 20 KiB each."""
    commit_checks: int = 500
    """Checks in one transaction at most."""
    flush_seconds: float = 300.0
    """How often rows are written into files."""
    flush_rows: int = 50_000
    """Rows assigned to files at a time."""
    retry_first_seconds: float = 1.0
    """After a write that failed; doubled each time."""
    retry_longest_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A check that was digested, with all it changes.

    ``states`` are those of every entity of the check as it left them.
    """

    target: Target
    check: Check
    digest: Digest
    states: Mapping[EntityKey, State]
    entry: ScheduleEntry
    heartbeat: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OutflowPorts:
    """Where everything goes. Without ``rows`` and ``writer`` no history is kept."""

    store: StateStore
    clock: WaitingClock
    meter: Meter
    board: ResultBoard | None = None
    rows: RowMaker | None = None
    writer: BatchWriter | None = None
    in_thread: Offload = in_thread


@dataclass(slots=True)
class _Batch:
    """Checks on their way into one transaction; kept until they are in, whatever happens."""

    finished: list[Finished]
    drops: Sequence[Commit] = ()
    commits: list[Commit] = field(default_factory=list)


class Outflow:
    """Commits finished checks and writes the history; two tasks and a channel between."""

    def __init__(
        self, ports: OutflowPorts, *, profile: Profile, limits: OutflowLimits | None = None
    ) -> None:
        self._ports = ports
        self._profile = profile
        self._limits = limits or OutflowLimits()
        self._send, self._receive = trio.open_memory_channel[Finished](self._limits.waiting_checks)
        self._store_turn = trio.Lock()
        self._batch: _Batch | None = None
        self._snapshots: dict[EntityKey, Snapshot] = {}
        self._forgotten: set[Name] = set()
        self._drops: list[Commit] = []
        self._committed = trio.Event()
        self._flushing = trio.Lock()
        self._row_bugs, self._board_bugs = Bugs(), Bugs()
        self._state_health = _Health("the state", "checks pause until it can be")
        self._history_health = _Health("the history", "results wait in the state file")

    async def put(self, finished: Finished) -> None:
        """Hand over a digested check; waits while too many wait to be written.

        Once ``finish`` was called it is dropped: it was not announced, and will be made again.
        """
        with suppress(trio.ClosedResourceError):
            await self._send.send(finished)

    def forget(self, domains: Iterable[Name]) -> None:
        """Let the store forget ``domains`` at the next flush, unless ``remember`` comes first."""
        self._forgotten.update(domains)

    def remember(self, domains: Iterable[Name]) -> None:
        """Take back ``forget`` for domains that are watched again."""
        self._forgotten.difference_update(domains)

    def drop(self, commit: Commit) -> None:
        """Let the store drop what ``commit`` says, before the next check is committed."""
        self._drops.append(commit)

    async def commit_all(self) -> None:
        """Commit what comes until the intake is closed and empty. Begin it again after a crash."""
        if self._batch is not None:
            await self._commit(self._batch)
        async for first in self._receive:
            self._batch = _Batch([first], self._take_drops())
            self._fill(self._batch.finished)
            await self._commit(self._batch)
        self._committed.set()

    async def flush_for_ever(self) -> None:
        """Write the history every ``flush_seconds``, and sooner again after a failure."""
        backoff = Backoff(self._limits.retry_first_seconds, self._limits.retry_longest_seconds)
        self._put_writing()
        while True:
            if await self.flush():
                backoff.reset()
                clock = self._ports.clock
                await clock.sleep_until(clock.now() + timedelta(seconds=self._limits.flush_seconds))
            else:
                await trio.sleep(backoff.next())

    async def finish(self) -> None:
        """Take no more, commit what waits, keep what is shown, and write the history."""
        self._send.close()
        await self._committed.wait()
        if self._snapshots or self._drops:
            await self._commit(_Batch([], self._take_drops()))
        await self.flush()

    async def flush(self) -> bool:
        """Write the rows of the outbox into files; return whether nothing failed.

        A file that fails keeps no other file from being written.
        """
        async with self._flushing:
            try:
                await self._forget_in_store()
                whole = True
                while whole and (batches := await self._in_store(self._assign)):
                    written = [await self._write(batch) for batch in batches]
                    whole = all(written)
                    if whole:
                        self._history_health.works()
                pending = await self._in_store(self._ports.store.pending_rows)
            except OSError as error:
                self._state_failed(error)
                return False
            self._ports.meter.put(OwnMetric.HISTORY_PENDING_ROWS, pending)
            self._put_writing()
            return whole

    # --- committing ------------------------------------------------------------------------------

    def _fill(self, finished: list[Finished]) -> None:
        while len(finished) < self._limits.commit_checks:
            try:
                finished.append(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return

    async def _commit(self, batch: _Batch) -> None:
        """Make ``batch`` durable, however long that takes, then announce and show it."""
        backoff = Backoff(self._limits.retry_first_seconds, self._limits.retry_longest_seconds)
        while True:
            try:
                await self._in_store(lambda: self._commit_now(batch))
                break
            except OSError as error:
                self._state_failed(error)
            await trio.sleep(backoff.next())
        self._batch = None
        if self._state_health.works():
            self._put_writing()
        for finished in batch.finished:
            self._announce(finished)
            self._show(finished)

    def _announce(self, finished: Finished) -> None:
        try:
            announce(
                finished.target,
                finished.check,
                finished.digest,
                profile=self._profile,
                meter=self._ports.meter,
            )
        except Exception as error:  # noqa: BLE001 - see the last rule at the top
            note_crash("announce", error, self._ports.meter)

    def _commit_now(self, batch: _Batch) -> None:
        """Runs in a thread. Rows are made once, for their maker remembers what it has made."""
        if not batch.commits:
            batch.commits = [*batch.drops, *map(self._commit_of, batch.finished)]
            snapshots = self._take_snapshots()
            if snapshots:
                batch.commits.append(Commit(snapshots=snapshots))
        self._ports.store.commit(batch.commits)

    def _commit_of(self, finished: Finished) -> Commit:
        digest = finished.digest
        return Commit(
            states=tuple(digest.states.values()),
            suspicions=digest.suspicions,
            cleared=digest.cleared,
            dropped=digest.dropped,
            schedule=(finished.entry,),
            rows=self._rows_of(finished),
        )

    def _rows_of(self, finished: Finished) -> tuple[OutboxRow, ...]:
        if self._ports.rows is None:
            return ()
        try:
            return self._ports.rows.rows_of(
                finished.check, finished.digest.transitions, heartbeat=finished.heartbeat
            )
        except Exception as error:  # noqa: BLE001 - see the last rule at the top
            self._rows_failed(error)
        return tuple(self._transition_rows(self._ports.rows, finished.digest.transitions))

    def _transition_rows(
        self, maker: RowMaker, transitions: Sequence[Transition]
    ) -> Iterator[OutboxRow]:
        for transition in transitions:
            try:
                yield from maker.transition_rows((transition,))
            except Exception as error:  # noqa: BLE001 - see the last rule at the top
                self._rows_failed(error)

    def _rows_failed(self, error: Exception) -> None:
        self._row_bugs.note("rows", error, self._ports.meter)
        self._ports.meter.count(OwnMetric.HISTORY_WRITE_FAILURES)

    def _show(self, finished: Finished) -> None:
        if self._ports.board is None:
            return
        try:
            kept = self._ports.board.show(
                finished.check, states=finished.states, labels=finished.target.labels
            )
        except Exception as error:  # noqa: BLE001 - see the last rule at the top
            self._board_bugs.note("board", error, self._ports.meter)
            return
        for snapshot in kept:
            self._snapshots[snapshot.entity_type, snapshot.entity] = snapshot

    def _take_drops(self) -> Sequence[Commit]:
        taken, self._drops = self._drops, []
        return taken

    def _take_snapshots(self) -> tuple[Snapshot, ...]:
        taken, self._snapshots = self._snapshots, {}
        return tuple(taken.values())

    # --- the history -----------------------------------------------------------------------------

    def _assign(self) -> Sequence[FileBatch]:
        if self._ports.writer is None:
            return ()
        return self._ports.store.assign(limit=self._limits.flush_rows)

    async def _write(self, batch: FileBatch) -> bool:
        """Write one file and settle it; return whether it stands. Raises OSError of the store."""
        writer, meter = self._ports.writer, self._ports.meter
        assert writer is not None
        try:
            await self._ports.in_thread(lambda: writer.write_batch(batch))
        except OSError as error:
            meter.count(OwnMetric.HISTORY_WRITE_FAILURES)
            self._history_health.failed(error)
            return False
        except Exception as error:  # noqa: BLE001 - one file must not hold up the others
            if self._history_health.is_well:  # one traceback, not one a minute
                note_crash("history", error, meter)
            meter.count(OwnMetric.HISTORY_WRITE_FAILURES)
            self._history_health.failed(error)
            return False
        await self._in_store(lambda: self._ports.store.settle(batch.name))
        meter.count(OwnMetric.HISTORY_ROWS, len(batch.rows), table=batch.table)
        meter.put(OwnMetric.HISTORY_LAST_WRITE, self._ports.clock.now().timestamp())
        return True

    async def _forget_in_store(self) -> None:
        domains = frozenset(self._forgotten)
        if domains:
            await self._in_store(lambda: self._ports.store.forget(domains))
            self._forgotten -= domains

    def _state_failed(self, error: OSError) -> None:
        self._ports.meter.count(OwnMetric.STATE_WRITE_FAILURES)
        self._state_health.failed(error)
        self._put_writing()

    def _put_writing(self) -> None:
        well = self._state_health.is_well and self._history_health.is_well
        self._ports.meter.put(OwnMetric.HISTORY_WRITING, float(well))

    async def _in_store(self, job: Callable[[], _T]) -> _T:
        """Run ``job`` in a thread, one at a time, as the store wants it."""
        async with self._store_turn:
            return await self._ports.in_thread(job)


class _Health:
    """Whether something can be written; says so in one line at each change."""

    def __init__(self, what: str, meanwhile: str) -> None:
        self._what = what
        self._meanwhile = meanwhile
        self.is_well = True

    def failed(self, error: Exception) -> None:
        """It cannot be written."""
        if self.is_well:
            _log.error("%s cannot be written, %s: %s", self._what, self._meanwhile, error)
        self.is_well = False

    def works(self) -> bool:
        """It was written; return whether that is new."""
        was_well, self.is_well = self.is_well, True
        if not was_well:
            _log.info("%s can be written again", self._what)
        return not was_well
