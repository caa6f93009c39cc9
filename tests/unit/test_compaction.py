"""Merging files: no reader misses a row, a crash at any step is finished later."""

import json
import os
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import history_files
import outbox_files
import pyarrow
import pyarrow.parquet
import pytest
from history_files import Disk, Killed, names_in, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_files import NOW, OLD, check_at, maker, write, write_days

from exporters.history import (
    CompactionLimits,
    HistoryError,
    arrow,
    compact,
    compaction,
    files,
    verify,
)
from exporters.history.compaction import OWNER, plan_merges
from exporters.history.footers import FileFacts, read_facts, read_whole
from exporters.schema import DOMAIN_CHECKS, HOST_CHECKS, TABLES, TRANSITIONS, Table

MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)
LIMITS = CompactionLimits()


def keys(directory: Path, table: Table) -> Counter[tuple[Any, ...]]:
    """Return every row by what makes it unique, as any reader sees the files."""
    rows = rows_of(directory, table)
    return Counter(tuple(row[name] for name in table.unique_by) for row in rows)


def keys_by_listing(directory: Path, table: Table) -> Counter[tuple[Any, ...]]:
    """Return the same as our own readers see them: superseded files left out."""
    found: Counter[tuple[Any, ...]] = Counter()
    for path in files.data_files(directory, table):
        for row in pyarrow.parquet.ParquetFile(path).read().to_pylist():
            found[tuple(row[name] for name in table.unique_by)] += 1
    return found


def names(directory: Path, table: Table) -> list[str]:
    return [path.name for path in files.data_files(directory, table)]


@pytest.fixture(scope="module")
def six_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days over the turn of a month, three files a day and table."""
    directory = tmp_path_factory.mktemp("six") / "history"
    write_days(directory, MIDNIGHT, 6)
    return directory


@pytest.fixture
def history(six_days: Path, tmp_path: Path) -> Path:
    """The same, free to be changed."""
    return Path(shutil.copytree(six_days, tmp_path / "history"))


def test_closed_days_become_one_file_a_day_and_closed_months_one_a_month(history: Path) -> None:
    """Sorted; nothing is lost, and the day that is not over is left alone."""
    before = keys(history, DOMAIN_CHECKS)
    now = MIDNIGHT + timedelta(days=5, hours=12)  # 3 December
    report = compact(history, DOMAIN_CHECKS, now)
    assert report.problems == []
    assert sorted(merge.period for merge in report.merges) == [
        "2026-11",
        "2026-12-01",
        "2026-12-02",
    ]
    assert report.bytes_after < report.bytes_before
    kinds = [name.rsplit("-", 1)[0] for name in names(history, DOMAIN_CHECKS)]
    assert kinds[:3] == ["month-2026-11", "day-2026-12-01", "day-2026-12-02"]
    assert kinds[3:] == ["m-1-00501", "m-1-00509", "m-1-00517"]
    assert keys(history, DOMAIN_CHECKS) == before
    for path in files.data_files(history, DOMAIN_CHECKS):
        data = pyarrow.parquet.ParquetFile(path).read().to_pylist()
        order = [(row["domain"], row["observed_at"]) for row in data]
        assert order == sorted(order)
    assert verify(history).findings == []
    assert compact(history, DOMAIN_CHECKS, now).merges == []


def test_days_are_merged_again_into_their_month_and_late_files_into_their_day(
    history: Path,
) -> None:
    """A year partition has twelve files in the end, whatever came late."""
    before = keys(history, TRANSITIONS)
    compact(history, TRANSITIONS, MIDNIGHT + timedelta(days=2))
    late = [row for row in _late_rows(history) if row.table == "transitions"]
    write(history, late, "m-1-late")
    compact(history, TRANSITIONS, MIDNIGHT + timedelta(days=2))
    assert sum(name.startswith("day-2026-11-28") for name in names(history, TRANSITIONS)) == 1
    compact(history, TRANSITIONS, MIDNIGHT + timedelta(days=40))
    assert [name[:13] for name in names(history, TRANSITIONS)] == ["month-2026-11", "month-2026-12"]
    assert sum(keys(history, TRANSITIONS).values()) == sum(before.values()) + 1


def _late_rows(history: Path) -> Any:
    moment = MIDNIGHT + timedelta(hours=2)
    change = outbox_files.transition(moment, None, "protected", entity="late.example")
    return maker().rows_of(check_at(moment), [change], heartbeat=False)


def test_a_dry_run_tells_and_changes_nothing(history: Path) -> None:
    """The same merges as the run that follows."""
    now = MIDNIGHT + timedelta(days=9)
    before = names_in(history)
    planned = compact(history, HOST_CHECKS, now, dry_run=True)
    assert names_in(history) == before
    done = compact(history, HOST_CHECKS, now)
    assert [one.output for one in planned.merges] == [one.output for one in done.merges] != []


def test_young_files_are_left_alone(history: Path) -> None:
    """A file that was just written may be of a pass that still runs."""
    for path in files.data_files(history, DOMAIN_CHECKS)[1:]:
        os.utime(path, (MIDNIGHT.timestamp() + 9 * 86_400,) * 2)
    now = MIDNIGHT + timedelta(days=9, minutes=59)
    assert compact(history, DOMAIN_CHECKS, now).merges == []
    assert compact(history, DOMAIN_CHECKS, now + timedelta(minutes=2)).merges != []


def test_it_may_die_at_any_disk_operation_and_a_reader_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each death: every row is there, once for our readers; the next run finishes the job."""
    source, table = tmp_path / "source", DOMAIN_CHECKS
    for hour in range(2):
        check = check_at(MIDNIGHT + hour * timedelta(hours=1))
        rows = maker().rows_of(check, (), heartbeat=True)
        write(source, [row for row in rows if row.table == table.name], f"m-1-{hour}")
    before = keys(source, table)
    now = MIDNIGHT + timedelta(days=2)
    deaths = 0
    while True:
        directory = Path(shutil.copytree(source, tmp_path / str(deaths)))
        died = _compact_dying_at(directory, table, now, deaths + 1, monkeypatch)
        assert set(keys(directory, table)) == set(before)
        assert keys_by_listing(directory, table) == before
        compact(directory, table, now)
        assert keys(directory, table) == before
        assert len(names(directory, table)) == 1
        hidden = {name for name in names_in(directory) if "/." in name}
        assert {name.rsplit("/", 1)[1] for name in hidden} == {".merged"}
        if not died:
            break
        shutil.rmtree(directory)
        deaths += 1
    assert deaths > 15


def _compact_dying_at(
    directory: Path, table: Table, now: datetime, operation: int, patch: pytest.MonkeyPatch
) -> bool:
    with patch.context() as patched:
        disk = Disk(dies_at=operation)
        patched.setattr(files, "os", disk)
        real_unlink = Path.unlink

        def unlink(path: Path, missing_ok: bool = False) -> None:
            disk.operations += 1
            if disk.operations >= operation:
                raise Killed("unlink")
            real_unlink(path, missing_ok=missing_ok)

        patched.setattr(Path, "unlink", unlink)
        try:
            compact(directory, table, now)
        except Killed:
            return True
        return False


def test_a_name_used_again_after_its_file_was_merged_is_not_removed(history: Path) -> None:
    """A resumed pass may use it; the plan of a killed merge knows the file by size and time."""
    now = MIDNIGHT + timedelta(days=9)
    (first, *_) = files.data_files(history, DOMAIN_CHECKS)
    plan = compact(history, DOMAIN_CHECKS, now, dry_run=True).merges[0]
    compact(history, DOMAIN_CHECKS, now)
    shutil.copy(files.data_files(history, DOMAIN_CHECKS)[0], first)
    told = {
        "output": plan.output,
        "rows": 1,
        "inputs": [{"name": first.name, "size": 1, "modified_ns": 1}],
    }
    (first.parent / files.plan_name(plan.output)).write_text(json.dumps(told))
    assert compact(history, DOMAIN_CHECKS, MIDNIGHT).resumed == 1
    assert first.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"output": 1}', '{"output": "../x", "inputs": []}', '{"inputs": 3}']
)
def test_a_plan_nobody_can_read_is_dropped(history: Path, text: str) -> None:
    """It says nothing about what stands; no file is left out or removed for it."""
    partition = history / "domain_checks" / "month=2026-11"
    before = names(history, DOMAIN_CHECKS)
    (partition / f"{files.PLAN_PREFIX}x{files.PLAN_SUFFIX}").write_text(text)
    assert names(history, DOMAIN_CHECKS) == before
    compact(history, DOMAIN_CHECKS, MIDNIGHT)
    assert files.plans(partition) == []
    assert names(history, DOMAIN_CHECKS) == before


def test_damaged_and_foreign_files_are_told_and_left_alone(history: Path) -> None:
    """The others are merged."""
    partition = history / "domain_checks" / "month=2026-11"
    (partition / "broken.parquet").write_bytes(b"PAR1")
    foreign = partition / "foreign.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), foreign)
    later = arrow.arrow_schema(DOMAIN_CHECKS).append(pyarrow.field("novelty", pyarrow.int32()))
    pyarrow.parquet.write_table(later.empty_table(), partition / "later.parquet")
    report = compact(history, DOMAIN_CHECKS, MIDNIGHT + timedelta(days=9))
    assert sorted(error.path.name for error in report.problems) == [
        "broken.parquet",
        "foreign.parquet",
        "later.parquet",
    ]
    assert len(report.merges) == 4
    assert {"broken.parquet", "foreign.parquet", "later.parquet"} <= set(
        names(history, DOMAIN_CHECKS)
    )


def test_a_file_with_a_damaged_page_keeps_its_group_from_being_merged(history: Path) -> None:
    """Its footer is fine, so only reading it tells; nothing is removed."""
    path = files.data_files(history, HOST_CHECKS)[0]
    octets = bytearray(path.read_bytes())
    octets[60:120] = b"\xff" * 60
    path.write_bytes(octets)
    os.utime(path, (OLD, OLD))
    before = names_in(history)
    report = compact(history, HOST_CHECKS, MIDNIGHT + timedelta(days=2, hours=12))
    assert [error.path.name for error in report.problems] == ["month=2026-11"]
    assert "2026-11-28 not merged" in str(report.problems[0])
    assert set(names_in(history)) - set(before) >= {".~compact.lock"}
    assert path.exists()
    assert [merge.period for merge in report.merges] == ["2026-11-29"]


def test_columns_an_older_version_lacked_become_null(history: Path) -> None:
    """And files that another tool rewrote, with other units of time, fit in."""
    path = files.data_files(history, TRANSITIONS)[0]
    data = pyarrow.parquet.ParquetFile(path).read().drop_columns(["began_at"])
    index = data.schema.get_field_index("observed_at")
    coarse = data["observed_at"].cast(pyarrow.timestamp("ms", tz="UTC"))
    pyarrow.parquet.write_table(data.set_column(index, "observed_at", coarse), path)
    os.utime(path, (OLD, OLD))
    before = keys(history, TRANSITIONS)
    compact(history, TRANSITIONS, MIDNIGHT + timedelta(days=40))
    assert keys(history, TRANSITIONS) == before
    merged = files.data_files(history, TRANSITIONS)
    assert len(merged) == 2
    for one in merged:
        found = pyarrow.parquet.read_schema(one)
        assert found.equals(arrow.arrow_schema(TRANSITIONS))


def test_one_compaction_runs_at_a_time(history: Path) -> None:
    """The second one says so, and does nothing."""
    lock = files.DirectoryLock(history, OWNER)
    with pytest.raises(HistoryError, match="that merges or removes files") as caught:
        compact(history, DOMAIN_CHECKS, MIDNIGHT)
    assert caught.value.in_use
    lock.close()


def test_a_full_disk_ends_it_and_leaves_the_inputs(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file and the remedy; when there is room it goes on."""
    before = keys(history, DOMAIN_CHECKS)
    now = MIDNIGHT + timedelta(days=9)
    with monkeypatch.context() as patched:
        patched.setattr(files, "os", Disk(fails={"write": history_files.NO_SPACE}))
        with pytest.raises(HistoryError, match="the disk is full"):
            compact(history, DOMAIN_CHECKS, now)
    assert keys(history, DOMAIN_CHECKS) == before
    assert len(compact(history, DOMAIN_CHECKS, now).merges) == 4


def test_a_written_file_that_reads_differently_is_not_published(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lies is found out before an input is removed."""
    before = names_in(history)
    monkeypatch.setattr(arrow, "encode_table", lambda data: b"PAR1 something else")
    with pytest.raises(HistoryError, match="damaged"):
        compact(history, DOMAIN_CHECKS, MIDNIGHT + timedelta(days=9))
    assert set(names_in(history)) - set(before) == {".~compact.lock"}


def test_a_footer_that_lies_about_its_rows_is_found(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was counted and what was read must agree before anything is removed."""
    real = read_whole
    monkeypatch.setattr(compaction, "read_whole", lambda path, table: real(path, table).slice(0, 0))
    before = names_in(history)
    report = compact(history, DOMAIN_CHECKS, MIDNIGHT + timedelta(days=9))
    assert report.merges == []
    assert len(report.problems) == 4
    assert "its footers say 9" in str(report.problems[0])
    assert set(names_in(history)) - set(before) == {".~compact.lock"}


def test_a_file_that_may_not_be_looked_at_is_a_declared_error(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like any other that the file system refuses."""

    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    (path, *_) = files.data_files(history, DOMAIN_CHECKS)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(HistoryError, match="the right to write"):
        files.size_and_time(path)
    with pytest.raises(HistoryError, match="Permission denied"):
        read_facts(path, DOMAIN_CHECKS)


def test_nothing_to_do_is_fine(tmp_path: Path) -> None:
    """No history yet, or one without that table."""
    for table in TABLES:
        assert compact(tmp_path / "none", table, NOW).merges == []


# --- planning -------------------------------------------------------------------------------------


def fact(
    name: str, last: datetime, *, size: int = 100, partition: str = "year=2026", age: float = 0
) -> FileFacts:
    return FileFacts(
        path=Path("h") / "transitions" / partition / name,
        rows=1,
        size=size,
        uncompressed=size,
        modified_ns=int((age or OLD) * 1e9),
        first=last,
        last=last,
    )


def test_a_month_too_large_for_one_file_becomes_several() -> None:
    """Neighbours in time stay together; a single file stays as it is."""
    facts = [fact(f"{day:02d}", MIDNIGHT - timedelta(days=day), size=40) for day in range(10)]
    limits = CompactionLimits(max_bytes=100)
    now = MIDNIGHT + timedelta(days=60)
    merges = plan_merges(facts, table=TRANSITIONS, now=now, limits=limits)
    assert [[one.path.name for one in merge.inputs] for merge in merges] == [
        ["09", "08"],
        ["07", "06"],
        ["05", "04"],
        ["03", "02"],
        ["01", "00"],
    ]
    by_rows = CompactionLimits(max_rows=2)
    assert plan_merges(facts, table=TRANSITIONS, now=now, limits=by_rows) == merges
    assert plan_merges(facts[:1], table=TRANSITIONS, now=now, limits=limits) == ()
    assert len({merge.output for merge in merges}) == 5


def test_files_of_one_period_in_two_partitions_are_not_mixed() -> None:
    """A partition is a promise about every row in it."""
    facts = [fact("a", MIDNIGHT), fact("b", MIDNIGHT, partition="year=2025")]
    now = MIDNIGHT + timedelta(days=60)
    assert plan_merges(facts, table=TRANSITIONS, now=now, limits=LIMITS) == ()


def test_an_empty_file_is_left_alone() -> None:
    """It belongs to no day."""
    from dataclasses import replace

    empty = replace(fact("a", MIDNIGHT), first=None, last=None, rows=0)
    now = MIDNIGHT + timedelta(days=60)
    assert plan_merges([empty, empty], table=TRANSITIONS, now=now, limits=LIMITS) == ()


@settings(max_examples=60)
@given(
    files_=st.lists(
        st.tuples(st.integers(0, 24 * 70), st.integers(1, 120), st.integers(0, 24 * 80)),
        max_size=25,
    ),
    now_hours=st.integers(0, 24 * 90),
)
def test_a_plan_takes_each_closed_file_at_most_once(
    files_: list[tuple[int, int, int]], now_hours: int
) -> None:
    """Two or more files each, within the bound, nothing young or open."""
    now = MIDNIGHT + timedelta(hours=now_hours)
    facts = [
        fact(
            f"{n}",
            MIDNIGHT + timedelta(hours=hours),
            size=size,
            age=(MIDNIGHT + timedelta(hours=written)).timestamp(),
        )
        for n, (hours, size, written) in enumerate(files_)
    ]
    limits = CompactionLimits(max_bytes=200)
    merges = plan_merges(facts, table=TRANSITIONS, now=now, limits=limits)
    taken = [one for merge in merges for one in merge.inputs]
    assert len(taken) == len({one.path for one in taken})
    for merge in merges:
        assert len(merge.inputs) > 1
        assert merge.rows == len(merge.inputs)
        assert sum(one.uncompressed for one in merge.inputs) <= 200
    for one in taken:
        assert one.last is not None
        assert one.last.date() < now.date()
        assert one.modified_ns <= (now - limits.min_age).timestamp() * 1e9


def test_facts_come_from_the_footer_and_from_the_rows_where_it_has_no_statistics(
    tmp_path: Path,
) -> None:
    """A tool that rewrote a file may have left them out."""
    (path,) = write(
        tmp_path,
        [
            row
            for row in maker().rows_of(check_at(NOW), (), heartbeat=True)
            if row.table == "domain_checks"
        ],
        "m-1-1",
    )
    with_statistics = read_facts(path, DOMAIN_CHECKS)
    data = read_whole(path, DOMAIN_CHECKS)
    pyarrow.parquet.write_table(data, path, write_statistics=False)
    without = read_facts(path, DOMAIN_CHECKS)
    assert (with_statistics.first, with_statistics.last, with_statistics.rows) == (NOW, NOW, 1)
    assert (without.first, without.last, without.rows) == (NOW, NOW, 1)
    assert without.partition == "month=2026-11"
    pyarrow.parquet.write_table(data.slice(0, 0), path)
    assert read_facts(path, DOMAIN_CHECKS).last is None
