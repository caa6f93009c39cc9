"""The state file: one SQLite database that makes each commit durable, whole or not at all.

Why a confirmed transition is neither lost nor written twice, wherever the process dies:

- A check changes states, suspicions, its next due time and the outbox in one transaction. After a
  crash either all of it happened, or the check never did and is made again.
- Rows leave the outbox in three steps: ``assign`` gives them the name of a file, durably; the file
  is written; ``settle`` drops the rows. Whoever dies in between finds the same rows under the same
  name again, and sees from the file whether it stands.

Write-ahead log with ``synchronous = FULL``: a commit is one append and one fsync, where a rollback
journal takes two files and three; it survives a loss of power, and a full disk only refuses the
commit. The log needs no shared memory since the database is locked for this process alone; the
kernel drops the lock with the process. It must be on a local disk: locks of network file systems
cannot be relied on (https://sqlite.org/faq.html#q5).
"""

import contextlib
import gc
import itertools
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scanner.model.monitoring import (
    Commit,
    EntityKey,
    FileBatch,
    ScheduleEntry,
    Snapshot,
    StoredState,
    Suspicion,
)
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import EntityType, Profile
from scanner.store.codec import Codec
from scanner.store.errors import StoreError, StoreFault, store_error
from scanner.store.tables import APPLICATION_ID, MIGRATIONS, VERSION, WRITE_ORDER

MAX_ASSIGNED_BYTES = 32 * 1024 * 1024
"""Most octets of rows assigned at once; a row beyond it waits for the next call. Ours."""
CACHE_KIB = 16_384
"""SQLite's page cache, enough for the inner pages of a million entities."""
LOG_SIZE_LIMIT = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a burst."""
FREE_PAGES_KEPT = 4_096
"""Free pages (4 KiB) kept for reuse; more than these, and more than half of the file, goes back
to the file system. An outbox that grew while the disk of the history was full leaves them."""

_STATES = Codec(State)
_SUSPICIONS = Codec(Suspicion)
_SCHEDULE = Codec(ScheduleEntry)


class SqliteStore:
    """The state file (implements ``scanner.model.ports.StateStore``)."""

    def __init__(self, path: Path, *, new_id: str | None = None) -> None:
        """Open or make the file and lock it for this process.

        ``new_id`` becomes the ``run_id`` of a file that is made now (default: random). Raises
        StoreError when the file cannot be made, is in use, damaged, of a later version or not ours.
        ``is_new`` then says that nothing was ever committed, and ``rebuild`` may be called.
        """
        self.path = path
        self._guard = threading.Lock()
        self._connection = self._connect()
        try:
            with self._explained("open the state file"):
                self._prepare()
                self._migrate(new_id or f"m-{secrets.token_hex(6)}")
                self._check_whole()
                # Not whether it was made now: whoever made it may have died before he used it.
                self.is_new = self._is_empty("states") and self._is_empty("schedule")
                self._sync_directory()
                self._inode = os.stat(path).st_ino
                self.run_id = str(self._meta("run_id"))
                self._meta("assigned_to")
                self._pending: int = self._one("SELECT count(*) FROM outbox")
        except BaseException:
            self._connection.close()
            raise
        # In the names of files: a state file that was put back from a backup makes other ones.
        self._session = secrets.token_hex(4)

    def load(self) -> StoredState:
        """Return everything kept. Raises StoreError when it cannot be read."""
        with self._explained("read the state"), _uncollected():
            try:
                states = _STATES.decode_all(self._texts("SELECT data FROM states"))
                suspicions = _SUSPICIONS.decode_all(self._texts("SELECT data FROM suspicions"))
                schedule = _SCHEDULE.decode_all(self._texts("SELECT data FROM schedule"))
                rows = self._connection.execute("SELECT entity_type, entity, data FROM snapshots")
                return StoredState(
                    states={(state.entity_type, state.entity): state for state in states},
                    suspicions={one.key: one for one in suspicions},
                    schedule={entry.domain: entry for entry in schedule},
                    snapshots=tuple(
                        Snapshot(entity_type=EntityType(kind), entity=entity, data=data)
                        for kind, entity, data in rows
                    ),
                )
            except ValueError as error:
                raise StoreError(self.path, str(error), StoreFault.DAMAGED) from error

    def commit(self, commits: Sequence[Commit]) -> None:
        """Make ``commits`` durable, all of them in one transaction. Raises StoreError."""
        states: dict[EntityKey, State | None] = {}
        suspicions: dict[EntityKey, Suspicion | None] = {}
        schedule: dict[Name, ScheduleEntry] = {}
        snapshots: dict[EntityKey, bytes | None] = {}
        for commit in commits:
            states.update(dict.fromkeys(commit.dropped))
            snapshots.update(dict.fromkeys(commit.unshown))
            states.update(((one.entity_type, one.entity), one) for one in commit.states)
            suspicions.update(dict.fromkeys(commit.cleared))
            suspicions.update((one.key, one) for one in commit.suspicions)
            schedule.update((entry.domain, entry) for entry in commit.schedule)
            snapshots.update(((one.entity_type, one.entity), one.data) for one in commit.snapshots)
        rows = [row for commit in commits for row in commit.rows]
        with self._transaction("commit"):
            self._put_states(one for one in states.values() if one)
            self._drop_entities("states", (key for key, one in states.items() if one is None))
            self._drop_entities("suspicions", (key for key, one in suspicions.items() if not one))
            self._drop_entities("snapshots", (key for key, one in snapshots.items() if one is None))
            self._many(
                "INSERT OR REPLACE INTO suspicions VALUES (?, ?, ?)",
                [(*key, _SUSPICIONS.encode(one)) for key, one in suspicions.items() if one],
            )
            self._many(
                "INSERT OR REPLACE INTO schedule VALUES (?, ?)",
                [(name, _SCHEDULE.encode(entry)) for name, entry in schedule.items()],
            )
            self._many(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)",
                [(*key, data) for key, data in snapshots.items() if data is not None],
            )
            self._many(
                "INSERT INTO outbox (table_name, partition, data) VALUES (?, ?, ?)",
                [(row.table, row.partition, row.data) for row in rows],
            )
        self._pending += len(rows)

    def forget(self, domains: Iterable[Name]) -> None:
        """Remove schedule, suspicion and snapshot of domains that are no longer watched.

        Their states stay: a domain that is watched again goes on from what is known of it.
        """
        names = list(domains)
        keys = [(EntityType.DOMAIN, name) for name in names]
        with self._transaction("forget domains"):
            self._many("DELETE FROM schedule WHERE domain = ?", [(name,) for name in names])
            for table in ("suspicions", "snapshots"):
                self._drop_entities(table, keys)

    def rebuild(self, states: Iterable[State]) -> None:
        """Begin a new state file with ``states``, as read from the history.

        Raises ValueError when the file has states already, StoreError when it cannot be written.
        """
        with self._transaction("rebuild the state"):
            if not self._is_empty("states"):
                raise ValueError(f"{self.path} has states already")
            self._put_states(states)

    def judge_by(self, profile: Profile) -> bool:
        """Keep states under ``profile`` from now on; return whether there were others before.

        Those are dropped, with what was suspected, shown and planned: under other rules they mean
        something else. Rows for the history stay. Raises StoreError.
        """
        with self._transaction("choose the profile"):
            before = self._connection.execute(
                "SELECT value FROM meta WHERE key = 'profile'"
            ).fetchone()
            has_others = before is not None and before[0] != profile.value
            if has_others:
                for table in ("states", "suspicions", "schedule", "snapshots"):
                    self._connection.execute(f"DELETE FROM {table}")  # noqa: S608
            self._connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('profile', ?)", (profile.value,)
            )
            return has_others

    def pending_rows(self) -> int:
        """Return how many rows of the outbox are not yet in a file."""
        return self._pending

    def pending_of(self, table: str) -> tuple[bytes, ...]:
        """Return the rows of ``table`` that are not yet in a file, oldest first."""
        with self._explained("read the outbox"):
            rows = self._datas("SELECT data FROM outbox WHERE table_name = ? ORDER BY id", table)
            return tuple(rows)

    def assign(self, *, limit: int) -> tuple[FileBatch, ...]:
        """Assign up to ``limit`` rows to files, durably; first those already assigned before.

        What was assigned keeps its name and rows until ``settle``. More is assigned only when all
        that was assigned before fits: a disk that stays full costs no more memory each time.
        Raises StoreError.
        """
        with self._transaction("assign rows to files"):
            batches: list[FileBatch] = []
            room = limit
            files = self._connection.execute(
                "SELECT name, table_name, partition, first_id, last_id FROM files ORDER BY number"
            )
            for name, table, partition, first_id, last_id in files:
                rows = self._datas(
                    "SELECT data FROM outbox WHERE id BETWEEN ? AND ?"
                    " AND table_name = ? AND partition = ? ORDER BY id",
                    *(first_id, last_id, table, partition),
                )
                batch = FileBatch(name=name, table=table, partition=partition, rows=tuple(rows))
                if batches and len(batch.rows) > room:
                    return tuple(batches)
                batches.append(batch)
                room -= len(batch.rows)
            if room > 0:
                batches += self._assign_more(room)
        return tuple(batches)

    def _assign_more(self, limit: int) -> Iterator[FileBatch]:
        rows = self._connection.execute(
            "SELECT id, table_name, partition, data FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
            (self._meta("assigned_to"), limit),
        )
        groups: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        size = 0
        last_id = None
        for row_id, table, partition, data in rows:
            size += len(data)
            if groups and size > MAX_ASSIGNED_BYTES:
                break
            groups.setdefault((table, partition), []).append((row_id, data))
            last_id = row_id
        if last_id is None:
            return
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'assigned_to'", (last_id,))
        for (table, partition), group in sorted(groups.items(), key=_write_rank):
            number = 1 + self._one(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'files'"
            )
            name = f"{self.run_id}-{self._session}-{number:06d}.parquet"
            self._connection.execute(
                "INSERT INTO files (name, table_name, partition, first_id, last_id)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, table, partition, group[0][0], group[-1][0]),
            )
            yield FileBatch(
                name=name, table=table, partition=partition, rows=tuple(data for _, data in group)
            )

    def settle(self, name: str) -> None:
        """Drop the rows of a file that stands; one that was settled before is fine.

        Raises StoreError.
        """
        dropped = 0
        with self._transaction("settle a file"):
            files = self._connection.execute(
                "SELECT first_id, last_id, table_name, partition FROM files WHERE name = ?", (name,)
            ).fetchall()
            for file in files:
                dropped += self._connection.execute(
                    "DELETE FROM outbox WHERE id BETWEEN ? AND ?"
                    " AND table_name = ? AND partition = ?",
                    file,
                ).rowcount
            self._connection.execute("DELETE FROM files WHERE name = ?", (name,))
        self._pending -= dropped
        with self._guard, contextlib.suppress(sqlite3.Error):  # the rows are gone in any case
            self._give_back()

    def close(self) -> None:
        """Close the file, which then stands alone, without a log beside it."""
        with self._guard:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():
                what = "a directory" if self.path.is_dir() else "not a regular file"
                raise StoreError(self.path, what, StoreFault.FOREIGN)
            for place in (self.path.parent, self.path):
                # SQLite would open it for reading only, and fail later with a riddle.
                if place.exists() and not os.access(place, os.W_OK):
                    raise StoreError(self.path, f"cannot write {place}", StoreFault.READ_ONLY)
            return sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise store_error(self.path, "open the state file", error) from error
        except StoreError:
            raise
        except OSError as error:
            what = f"cannot make the directory of the state file: {error.strerror or error}"
            raise StoreError(self.path, what, StoreFault.READ_ONLY) from error

    def _prepare(self) -> None:
        """Look whose file it is, before anything in it is changed; then set up the connection."""
        execute = self._connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA trusted_schema = OFF")
        version = self._one("PRAGMA user_version")
        has_tables = version or self._one("SELECT count(*) FROM sqlite_schema")
        if has_tables and self._one("PRAGMA application_id") != APPLICATION_ID:
            raise StoreError(self.path, "not a state file of danewatch", StoreFault.FOREIGN)
        if version > VERSION:
            what = f"written by a later version of danewatch (tables {version}, known {VERSION})"
            raise StoreError(self.path, what, StoreFault.NEWER)
        execute("PRAGMA auto_vacuum = INCREMENTAL")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        execute(f"PRAGMA journal_size_limit = {LOG_SIZE_LIMIT}")

    def _migrate(self, new_id: str) -> None:
        """Bring the tables to this version."""
        execute = self._connection.execute
        execute("BEGIN EXCLUSIVE")
        version: int = self._one("PRAGMA user_version")
        for step in MIGRATIONS[version:]:
            for statement in step:
                execute(statement)
        if version == 0:
            execute("INSERT INTO meta VALUES ('run_id', ?)", (new_id,))
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
        execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")

    def _check_whole(self) -> None:
        """Raise StoreError when the file is damaged or its directory cannot be synced."""
        verdict = self._one("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise StoreError(self.path, f"damaged: {verdict}", StoreFault.DAMAGED)

    def _sync_directory(self) -> None:
        """Make the name of the file durable; SQLite does so for its log only."""
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _check_in_place(self) -> None:
        """Raise StoreError when the file was moved away: what is written would be lost with it."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_ino == self._inode:
                return
        raise StoreError(self.path, "removed or replaced while in use", StoreFault.REPLACED)

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """One caller at a time, and every failure of SQLite or the file system as a StoreError."""
        with self._guard:
            try:
                yield
            except sqlite3.Error as error:
                raise store_error(self.path, action, error) from error
            except StoreError:
                raise
            except OSError as error:
                what = f"cannot {action}: {error.strerror or error}"
                raise StoreError(self.path, what, StoreFault.DISK) from error

    @contextlib.contextmanager
    def _transaction(self, action: str) -> Iterator[None]:
        with self._explained(action):
            self._check_in_place()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it itself on some errors
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def _put_states(self, states: Iterable[State]) -> None:
        self._many(
            "INSERT OR REPLACE INTO states VALUES (?, ?, ?)",
            ((one.entity_type, one.entity, _STATES.encode(one)) for one in states),
        )

    def _drop_entities(self, table: str, keys: Iterable[EntityKey]) -> None:
        self._many(f"DELETE FROM {table} WHERE entity_type = ? AND entity = ?", keys)  # noqa: S608

    def _give_back(self) -> None:
        """Give free pages back to the file system when they are many and most of the file."""
        free = self._one("PRAGMA freelist_count")
        if free > FREE_PAGES_KEPT and free * 2 > self._one("PRAGMA page_count"):
            # Not execute(), which takes only the first of its steps, a page each.
            self._connection.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES_KEPT})")

    def _is_empty(self, table: str) -> bool:
        return self._connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None  # noqa: S608

    def _many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        self._connection.executemany(statement, rows)

    def _one(self, statement: str) -> Any:
        return self._connection.execute(statement).fetchone()[0]

    def _meta(self, key: str) -> Any:
        rows = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,))
        found = rows.fetchone()
        if found is None:
            raise StoreError(self.path, f"damaged: the row {key} is missing", StoreFault.DAMAGED)
        return found[0]

    def _texts(self, statement: str) -> Iterator[str]:
        return itertools.chain.from_iterable(self._connection.execute(statement))

    def _datas(self, statement: str, *arguments: object) -> Iterator[bytes]:
        return itertools.chain.from_iterable(self._connection.execute(statement, arguments))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: it would walk a million new and living objects again and again.

    Nor does it afterwards, which would stall everything for half a second: what is loaded lives as
    long as the process, and goes by its reference counts where it does not.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def _write_rank(group: tuple[tuple[str, str], object]) -> tuple[int, str, str]:
    (table, partition), _ = group
    return (WRITE_ORDER.index(table) if table in WRITE_ORDER else -1, table, partition)
