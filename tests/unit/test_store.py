"""The state file: what is committed is there again, whatever happens in between."""

import contextlib
import gc
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scanner.model.monitoring import Commit, OutboxRow, ScheduleEntry, Snapshot, Suspicion
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile
from scanner.store import SqliteStore, StoreError, StoreFault, sqlite
from scanner.store.tables import VERSION

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
EXO = Profile.EXCHANGE_ONLINE


def state(entity: str = "a.example", status: str = "protected", **more: object) -> State:
    return State(
        entity_type=EntityType.DOMAIN,
        entity=entity,
        profile=EXO,
        status=status,
        reason=None,
        phase=DeliveryPhase.DELIVERING,
        since=NOW,
        last_seen_at=NOW,
        **more,  # type: ignore[arg-type]
    )


def suspicion(entity: str = "a.example") -> Suspicion:
    return Suspicion(
        entity_type=EntityType.DOMAIN,
        entity=entity,
        profile=EXO,
        status="blocked",
        reason="tlsa-mismatch",
        phase=DeliveryPhase.DEFERRING,
        first_seen_at=NOW,
        confirm_after=NOW + timedelta(minutes=5),
    )


def entry(domain: str = "a.example") -> ScheduleEntry:
    return ScheduleEntry(domain=Name(domain), due_at=NOW, last_checked_at=NOW)


def row(number: int, table: str = "transitions", partition: str = "year=2026") -> OutboxRow:
    return OutboxRow(table=table, partition=partition, data=b'{"n":%d}' % number)


def snapshot(entity: str = "a.example") -> Snapshot:
    return Snapshot(entity_type=EntityType.DOMAIN, entity=entity, data=b"\x00shown")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, new_id="run")
    yield made
    made.close()


def refused(path: Path) -> StoreError:
    """Return the error with which the file is refused."""
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_everything_committed_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    """States, suspicions, schedule, snapshots and rows; the directory is made as needed."""
    assert store.is_new
    store.commit(
        [
            Commit(
                states=(state(),),
                suspicions=(suspicion(),),
                schedule=(entry(),),
                rows=(row(1),),
                snapshots=(snapshot(),),
            )
        ]
    )
    store.close()
    again = SqliteStore(path, new_id="another")
    stored = again.load()
    assert not again.is_new
    assert again.run_id == "run"
    assert stored.states == {(EntityType.DOMAIN, "a.example"): state()}
    assert stored.suspicions == {(EntityType.DOMAIN, "a.example"): suspicion()}
    assert stored.schedule == {"a.example": entry()}
    assert stored.snapshots == (snapshot(),)
    assert again.pending_rows() == 1
    again.close()
    assert os.listdir(path.parent) == ["state.sqlite"]


def test_the_last_commit_of_an_entity_counts(store: SqliteStore) -> None:
    """Within one transaction too, and a suspicion that was cleared is gone unless raised again."""
    key = (EntityType.DOMAIN, "a.example")
    store.commit([Commit(suspicions=(suspicion(), suspicion("b.example")))])
    store.commit(
        [
            Commit(states=(state(status="protected"),), cleared=((key[0], "b.example"),)),
            Commit(states=(state(status="partial"),), cleared=(key,)),
            Commit(suspicions=(suspicion(),)),
        ]
    )
    stored = store.load()
    assert stored.states[key].status == "partial"
    assert list(stored.suspicions) == [key]


def test_what_is_dropped_leaves_no_row_unless_it_came_back(store: SqliteStore) -> None:
    """States and snapshots; the order of commits within one transaction decides."""
    gone, back = (EntityType.DOMAIN, "a.example"), (EntityType.DOMAIN, "b.example")
    names = ("a.example", "b.example", "c.example")
    store.commit(
        [Commit(states=tuple(map(state, names)), snapshots=tuple(map(snapshot, names)))],
    )
    store.commit(
        [
            Commit(dropped=(gone, back), unshown=(gone, back)),
            Commit(states=(state("b.example"),), snapshots=(snapshot("b.example"),)),
        ]
    )
    stored = store.load()
    assert {entity for _, entity in stored.states} == {"b.example", "c.example"}
    assert {one.entity for one in stored.snapshots} == {"b.example", "c.example"}


@pytest.mark.parametrize("missing", ["run_id", "assigned_to", "%"])
def test_a_file_without_its_own_rows_is_damaged(path: Path, missing: str) -> None:
    """Found at the start, not at the first write of the history."""
    SqliteStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key LIKE ?", (missing,))
    error = refused(path)
    assert error.fault is StoreFault.DAMAGED
    assert "move it away" in str(error)


@pytest.mark.parametrize("kind", ["directory", "pipe", "socket"])
def test_what_is_no_file_cannot_be_a_state_file(path: Path, kind: str) -> None:
    """Rights would not help, and opening a pipe might wait for ever."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            listener.bind(str(path))
        error = refused(path)
    assert error.fault is StoreFault.FOREIGN
    assert str(error).endswith("choose another path for the state file")


def test_what_is_loaded_is_no_work_for_the_collector(store: SqliteStore) -> None:
    """A walk over a million objects that stay would hold up everything; none is made later."""
    store.commit([Commit(states=(state(),))])
    before = gc.get_freeze_count()
    try:
        stored = store.load()
        assert gc.get_freeze_count() > before
        assert gc.isenabled()
        assert all(one is not stored.states for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_run_id_is_made_up_once(path: Path) -> None:
    """It stays the same for as long as the file does, and differs between files."""
    first = SqliteStore(path)
    other = SqliteStore(path.with_name("other.sqlite"))
    assert first.run_id != other.run_id
    first.close()
    other.close()
    again = SqliteStore(path)
    assert again.run_id == first.run_id
    again.close()


def test_a_commit_that_fails_changes_nothing(store: SqliteStore) -> None:
    """One row that cannot be kept takes the whole transaction with it; then all goes on."""
    bad = OutboxRow(table="transitions", partition="year=2026", data=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        store.commit([Commit(states=(state(),), rows=(row(1), bad))])
    assert caught.value.fault is StoreFault.DISK
    assert store.load().states == {}
    assert store.pending_rows() == 0
    store.commit([Commit(states=(state(),), rows=(row(1),))])
    assert store.pending_rows() == 1
    assert len(store.load().states) == 1


def test_forgotten_domains_leave_schedule_suspicions_and_snapshots(store: SqliteStore) -> None:
    """Their state stays, for they may be watched again; others are not touched."""
    for domain in ("a.example", "b.example"):
        store.commit(
            [
                Commit(
                    states=(state(domain),),
                    suspicions=(suspicion(domain),),
                    schedule=(entry(domain),),
                    snapshots=(snapshot(domain),),
                )
            ]
        )
    store.forget([Name("a.example")])
    stored = store.load()
    assert list(stored.schedule) == ["b.example"]
    assert [key[1] for key in stored.suspicions] == ["b.example"]
    assert [one.entity for one in stored.snapshots] == ["b.example"]
    assert {key[1] for key in stored.states} == {"a.example", "b.example"}


# --- the outbox -----------------------------------------------------------------------------------


def test_rows_are_assigned_by_table_and_partition_what_is_pointed_to_first(
    store: SqliteStore,
) -> None:
    """One file each; transitions before the checks they belong to, certificates before both."""
    store.commit(
        [
            Commit(
                rows=(
                    row(1, "domain_checks", "month=2026-11"),
                    row(2, "domain_checks", "month=2026-12"),
                    row(3, "transitions"),
                    row(4, "certificates"),
                    row(5, "transitions"),
                    row(6, "something-new"),
                )
            )
        ]
    )
    batches = store.assign(limit=100)
    assert [(batch.table, batch.partition, batch.rows) for batch in batches] == [
        ("something-new", "year=2026", (b'{"n":6}',)),
        ("certificates", "year=2026", (b'{"n":4}',)),
        ("transitions", "year=2026", (b'{"n":3}', b'{"n":5}')),
        ("domain_checks", "month=2026-11", (b'{"n":1}',)),
        ("domain_checks", "month=2026-12", (b'{"n":2}',)),
    ]
    assert len({batch.name for batch in batches}) == 5
    assert all(batch.name.startswith("run-") for batch in batches)
    assert all(batch.name.endswith(".parquet") for batch in batches)


def test_what_was_assigned_keeps_name_and_rows_until_it_is_settled(
    store: SqliteStore, path: Path
) -> None:
    """Also over a restart, and although more rows came."""
    store.commit([Commit(rows=(row(1), row(2)))])
    first = store.assign(limit=100)
    store.commit([Commit(rows=(row(3),))])
    store.close()
    again = SqliteStore(path)
    batches = again.assign(limit=100)
    assert batches[:1] == first
    assert batches[1].rows == (b'{"n":3}',)
    assert batches[1].name != first[0].name
    again.settle(first[0].name)
    again.settle(first[0].name)
    again.settle("never heard of")
    assert again.pending_rows() == 1
    assert again.assign(limit=100) == batches[1:]
    again.settle(batches[1].name)
    assert again.assign(limit=100) == ()
    assert again.pending_rows() == 0
    again.close()


def test_no_more_is_assigned_than_fits(store: SqliteStore) -> None:
    """While files cannot be written, asking again and again takes no more memory."""
    store.commit([Commit(rows=tuple(row(n) for n in range(10)))])
    first = store.assign(limit=4)
    assert [len(batch.rows) for batch in first] == [4]
    assert store.assign(limit=4) == first
    assert [len(batch.rows) for batch in store.assign(limit=6)] == [4, 2]
    assert [len(batch.rows) for batch in store.assign(limit=5)] == [4]
    assert [len(batch.rows) for batch in store.assign(limit=2)] == [4]
    assert store.pending_rows() == 10


def test_large_rows_are_assigned_in_bounded_portions(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least one row at a time, however large."""
    monkeypatch.setattr(sqlite, "MAX_ASSIGNED_BYTES", 15)
    store.commit([Commit(rows=tuple(row(n) for n in range(4)))])
    sizes = []
    while batches := store.assign(limit=100):
        sizes.append(len(batches[0].rows))
        store.settle(batches[0].name)
    assert sizes == [2, 2]
    big = OutboxRow(table="transitions", partition="year=2026", data=b"x" * 100)
    store.commit([Commit(rows=(big,))])
    assert len(store.assign(limit=100)) == 1


def test_numbers_and_names_are_never_used_twice(store: SqliteStore, path: Path) -> None:
    """Not even by a state file that was put back from a backup."""
    backup = path.with_name("backup.sqlite")
    store.commit([Commit(rows=(row(1),))])
    store.close()
    backup.write_bytes(path.read_bytes())
    names = []
    for one in (path, backup, path):
        again = SqliteStore(one)
        again.commit([Commit(rows=(row(2),))])
        for batch in again.assign(limit=100):
            names.append(batch.name)
            again.settle(batch.name)
        again.close()
    assert len(names) == len(set(names)) == 3


def test_pending_rows_of_one_table_can_be_read(store: SqliteStore) -> None:
    """Assigned or not, for what a restarted service has to remember."""
    store.commit([Commit(rows=(row(1, "certificates"), row(2)))])
    store.assign(limit=100)
    store.commit([Commit(rows=(row(3, "certificates"),))])
    assert store.pending_of("certificates") == (b'{"n":1}', b'{"n":3}')


def test_the_file_gives_room_back_after_the_outbox_was_long(store: SqliteStore, path: Path) -> None:
    """An outbox that grew while the history could not be written does not stay on the disk."""
    big = b"x" * 60_000
    rows = tuple(OutboxRow(table="t", partition="p", data=big) for _ in range(800))
    store.commit([Commit(rows=rows)])
    names = []
    while len(names) < 2:
        names += [batch.name for batch in store.assign(limit=2_000) if batch.name not in names]
    for name in names:
        store.settle(name)
    for _ in range(3):
        store.settle("another")
    store.close()
    assert path.stat().st_size < 30_000_000


# --- refusals -------------------------------------------------------------------------------------


def test_a_second_service_is_refused(store: SqliteStore, path: Path) -> None:
    """Also from another process; the first one is not disturbed."""
    assert refused(path).fault is StoreFault.IN_USE
    code = (
        "import sys; from pathlib import Path; from scanner.store import *\n"
        "try: SqliteStore(Path(sys.argv[1]))\n"
        "except StoreError as error: print(error.fault, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.startswith("in-use ")
    assert "stop the other danewatch" in done.stdout
    store.commit([Commit(states=(state(),))])
    assert len(store.load().states) == 1


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" * 64])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    """The text says what to do, and the file is left as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    error = refused(path)
    assert error.fault is StoreFault.DAMAGED
    assert "move it away" in str(error)
    assert "rebuilt from the Parquet history" in str(error)
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(store: SqliteStore, path: Path) -> None:
    """Damage in the middle is found at the start, not by the first check that meets it."""
    store.commit([Commit(states=tuple(state(f"{n}.example") for n in range(2_000)))])
    store.close()
    octets = bytearray(path.read_bytes())
    for page in range(3, len(octets) // 4_096):
        octets[page * 4_096 : page * 4_096 + 64] = b"\xa5" * 64
    path.write_bytes(octets)
    assert refused(path).fault is StoreFault.DAMAGED


def test_a_document_nobody_can_read_is_damage(store: SqliteStore, path: Path) -> None:
    """A status that is no document, or a word that this version does not know."""
    store.commit([Commit(states=(state(),))])
    store.close()
    for spoiled in ("[]", "{", '{"entity":1}', '{"entity_type":"planet"}'):
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE states SET data = ?", (spoiled,))
        connection.close()
        again = SqliteStore(path)
        with pytest.raises(StoreError) as caught:
            again.load()
        again.close()
        assert caught.value.fault is StoreFault.DAMAGED


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    """Its tables, its journal mode: nothing is changed."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (crumb)")
    connection.close()
    before = path.read_bytes()
    assert refused(path).fault is StoreFault.FOREIGN
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["state.sqlite"]


def test_a_file_of_a_later_version_is_refused(store: SqliteStore, path: Path) -> None:
    """It may hold what this version would lose."""
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    error = refused(path)
    assert error.fault is StoreFault.NEWER
    assert "later version" in str(error)


def test_tables_of_an_older_version_are_brought_forward(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step once, and what was kept stays."""
    store.commit([Commit(states=(state(),))])
    store.close()
    steps = (*sqlite.MIGRATIONS, ("CREATE TABLE novelty (x)",))
    monkeypatch.setattr(sqlite, "MIGRATIONS", steps)
    monkeypatch.setattr(sqlite, "VERSION", len(steps))
    for _ in range(2):
        again = SqliteStore(path)
        assert not again.is_new
        assert len(again.load().states) == 1
        again.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
        assert connection.execute("SELECT count(*) FROM novelty").fetchone() == (0,)
    connection.close()


def test_a_step_forward_that_fails_leaves_the_old_version(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that wrote it can still read it."""
    store.commit([Commit(states=(state(),))])
    store.close()
    steps = (*sqlite.MIGRATIONS, ("CREATE TABLE novelty (x)", "this is no SQL"))
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "MIGRATIONS", steps)
        patched.setattr(sqlite, "VERSION", len(steps))
        refused(path)
    again = SqliteStore(path)
    assert len(again.load().states) == 1
    again.close()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A part of the path is a file."""
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file" / "state.sqlite").fault is StoreFault.READ_ONLY


def test_a_file_taken_away_while_in_use_is_noticed(store: SqliteStore, path: Path) -> None:
    """What is written into a file without a name would be lost with the process."""
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StoreError) as caught:
        store.commit([Commit(states=(state(),))])
    assert caught.value.fault is StoreFault.REPLACED
    path.with_name("elsewhere").rename(path)
    store.commit([Commit(states=(state(),))])
    assert len(store.load().states) == 1


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    """As an OSError like every other."""
    store.close()
    with pytest.raises(StoreError) as caught:
        store.commit([Commit(states=(state(),))])
    assert caught.value.fault is StoreFault.CLOSED


def test_a_log_left_beside_a_file_that_was_moved_away_is_not_taken_in(
    store: SqliteStore, path: Path
) -> None:
    """Whoever moves only the file itself begins anew all the same."""
    store.commit([Commit(states=(state(),))])
    log = path.with_name("state.sqlite-wal")
    left_behind = log.read_bytes()
    assert left_behind
    store.close()
    path.rename(path.with_name("moved"))
    log.write_bytes(left_behind)
    again = SqliteStore(path)
    assert again.is_new
    assert again.load().states == {}
    again.close()


# --- rebuilding -----------------------------------------------------------------------------------


def test_a_new_file_can_begin_with_states_from_the_history(store: SqliteStore) -> None:
    """Once; a file that has states is not written over."""
    store.rebuild([state("a.example"), state("b.example")])
    assert {key[1] for key in store.load().states} == {"a.example", "b.example"}
    with pytest.raises(ValueError, match="has states already"):
        store.rebuild([state("c.example")])
    assert len(store.load().states) == 2


def test_another_profile_drops_what_means_something_else_under_it(
    store: SqliteStore, path: Path
) -> None:
    """States, suspicions, schedule and page go; rows for the history stay."""
    assert not store.judge_by(Profile.EXCHANGE_ONLINE)
    store.commit(
        [Commit(states=(state(),), schedule=(entry(),), snapshots=(snapshot(),), rows=(row(1),))]
    )
    assert not store.judge_by(Profile.EXCHANGE_ONLINE)
    assert store.load().states
    store.close()
    again = SqliteStore(path)
    assert again.judge_by(Profile.RFC7672)
    loaded = again.load()
    assert (loaded.states, loaded.schedule, loaded.snapshots) == ({}, {}, ())
    assert again.pending_rows() == 1
    again.rebuild([state()])
    assert not again.judge_by(Profile.RFC7672)
    again.close()


def test_a_file_that_was_made_and_never_used_is_still_new(store: SqliteStore, path: Path) -> None:
    """A service killed between making it and rebuilding its states would else forget them all."""
    store.close()
    again = SqliteStore(path)
    assert again.is_new
    again.rebuild([state()])
    again.close()
    third = SqliteStore(path)
    assert not third.is_new
    third.close()


def test_commits_are_synced_to_the_disk(store: SqliteStore) -> None:
    """Write-ahead log, synchronous FULL, one process: what the docstring promises."""
    pragma = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}
