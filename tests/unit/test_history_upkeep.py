"""Verifying the history, and removing what is old."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import outbox_files
import pyarrow.parquet
import pytest
from history_files import names_in, rows_of
from outbox_files import NOW, check_at, maker, transition, write, write_days

from exporters.history import (
    FindingKind,
    HistoryError,
    compact,
    files,
    keep_by_days,
    remove_old,
    verification,
    verify,
)
from exporters.history.compaction import OWNER
from exporters.history.footers import read_facts
from exporters.history.retention import partition_start, plan_removals
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TRANSITIONS,
    ZONE_CHECKS,
)
from scanner.model.vocabulary import EntityType, Severity

FIRST = datetime(2026, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def four_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days over the turn of a month, two files a day and table."""
    directory = tmp_path_factory.mktemp("four") / "history"
    write_days(directory, FIRST, 4, a_day=(2, 14))
    return directory


@pytest.fixture
def history(four_days: Path, tmp_path: Path) -> Path:
    """The same, free to be spoiled."""
    return Path(shutil.copytree(four_days, tmp_path / "history"))


def found(directory: Path) -> list[tuple[FindingKind, str]]:
    return [(one.kind, one.message) for one in verify(directory).findings]


def told(directory: Path, rows: list[outbox_files.Transition]) -> None:
    """Write transitions, one file each."""
    for number, one in enumerate(rows):
        kept = [
            row
            for row in maker().rows_of(check_at(one.observed_at), [one], heartbeat=False)
            if row.table == "transitions"
        ]
        write(directory, kept, f"m-1-{number:03d}")


# --- verify ---------------------------------------------------------------------------------------


def test_a_sound_history_has_no_findings(history: Path, tmp_path: Path) -> None:
    """Every file and row was looked at; no history at all is sound too."""
    report = verify(history)
    assert report.findings == []
    assert report.is_sound
    assert report.files == len(list(history.rglob("*.parquet")))
    assert report.rows > report.files
    assert verify(tmp_path / "none").files == 0


def test_files_that_cannot_be_read_are_named(history: Path) -> None:
    """Cut short, of something else, spoiled in the middle: the file and why."""
    paths = files.data_files(history, HOST_CHECKS)
    paths[0].write_bytes(paths[0].read_bytes()[:-9])
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), paths[1])
    octets = bytearray(paths[2].read_bytes())
    octets[40:90] = b"\xff" * 50
    paths[2].write_bytes(octets)
    report = verify(history)
    bad = [one for one in report.findings if one.kind is FindingKind.UNREADABLE]
    assert [one.path for one in bad] == paths[:3]
    assert not report.is_sound
    assert "move it out of the history" in bad[0].message


def test_a_changed_octet_is_found_by_the_checksum_of_its_page(history: Path) -> None:
    """Wherever in the data it is; compression alone would let some of them through."""
    path = files.data_files(history, DOMAIN_CHECKS)[0]
    whole = path.read_bytes()
    metadata = pyarrow.parquet.read_metadata(path).row_group(0)
    ends = [
        metadata.column(n).data_page_offset + metadata.column(n).total_compressed_size // 2
        for n in range(0, metadata.num_columns, 9)
    ]
    for place in ends:
        octets = bytearray(whole)
        octets[place] ^= 0x10
        path.write_bytes(octets)
        assert [kind for kind, _ in found(history)] == [FindingKind.UNREADABLE], place


def test_rows_in_the_wrong_partition_are_told(history: Path) -> None:
    """A query that reads only the month it needs would miss them."""
    path = files.data_files(history, DOMAIN_CHECKS)[0]
    wrong = history / "domain_checks" / "month=2027-01"
    wrong.mkdir()
    path.rename(wrong / path.name)
    other = history / "domain_checks" / "whatever"
    other.mkdir()
    shutil.copy(files.data_files(history, DOMAIN_CHECKS)[0], other / "x.parquet")
    findings = [one for one in verify(history).findings if one.kind is FindingKind.MISPLACED]
    assert [one.path.name for one in findings] == [path.name, "whatever"]
    assert "stand in month=2027-01" in findings[0].message


def test_a_row_that_stands_twice_is_told(history: Path) -> None:
    """The partition, how many, and one of them."""
    for table in (TRANSITIONS, CERTIFICATES):
        path = files.data_files(history, table)[0]
        shutil.copy(path, path.with_name("copy.parquet"))
    kinds = dict(found(history))
    assert set(kinds) == {FindingKind.REPEATED, FindingKind.CERTIFICATE_REPEATED}
    assert kinds[FindingKind.REPEATED].startswith("1 rows stand here more than once")
    assert "event_id example.org 2026-10-30" in kinds[FindingKind.REPEATED]


def test_a_chain_that_does_not_hold_is_told(tmp_path: Path) -> None:
    """One transition is missing between two others."""
    told(
        tmp_path,
        [
            transition(NOW, None, "protected"),
            transition(NOW + DAY, "protected", "blocked"),
            transition(NOW + 2 * DAY, "partial", "protected"),
            transition(NOW + 3 * DAY, "protected", "blocked"),
        ],
    )
    ((kind, message),) = found(tmp_path)
    assert kind is FindingKind.CHAIN_BROKEN
    assert message == (
        "domain example.org at 2026-11-26 12:00:00 comes from partial, but was blocked"
    )


def test_an_entity_that_begins_anew_is_a_warning(tmp_path: Path) -> None:
    """A state file was lost and not rebuilt; no row is missing."""
    told(tmp_path, [transition(NOW, None, "protected"), transition(NOW + DAY, None, "protected")])
    report = verify(tmp_path)
    assert [one.kind for one in report.findings] == [FindingKind.BEGUN_ANEW]
    assert report.findings[0].severity is Severity.WARNING
    assert report.is_sound


def test_a_chain_may_begin_anywhere_and_is_kept_for_each_entity(tmp_path: Path) -> None:
    """Older files may have been removed; a host of the same name is another entity."""
    told(
        tmp_path,
        [
            transition(NOW, "blocked", "protected"),
            transition(NOW + DAY, None, "authenticated", kind=EntityType.MX),
            transition(NOW + 2 * DAY, "protected", "partial"),
        ],
    )
    assert found(tmp_path) == []


def test_what_a_killed_process_left_is_told_as_harmless(history: Path) -> None:
    """A temporary file, a merge that can be finished."""
    partition = history / "domain_checks" / "month=2026-10"
    (partition / ".s~x.parquet.tmp").write_bytes(b"")
    (partition / files.plan_name("x.parquet")).write_text("{}")
    report = verify(history)
    assert {one.kind for one in report.findings} == {
        FindingKind.LEFTOVER,
        FindingKind.MERGE_UNFINISHED,
    }
    assert report.is_sound


def test_findings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign history could bring millions."""
    monkeypatch.setattr(verification, "MAX_FINDINGS", 2)
    told(tmp_path, [transition(NOW + n * DAY, "blocked", "protected") for n in range(5)])
    report = verify(tmp_path)
    assert len(report.findings) == 2
    assert report.truncated


# --- retention ------------------------------------------------------------------------------------


def test_old_files_are_removed_and_empty_partitions_with_them(history: Path) -> None:
    """Row by row nothing changes: a file stays until its last row is old."""
    now = FIRST + 4 * DAY
    compact(history, DOMAIN_CHECKS, now + DAY)
    kept = len(rows_of(history, HOST_CHECKS))
    report = remove_old(history, {DOMAIN_CHECKS: timedelta(days=2)}, now)
    assert report.rows == 4
    assert report.problems == []
    assert not (history / "domain_checks" / "month=2026-10").exists()
    assert {row["observed_at"] for row in rows_of(history, DOMAIN_CHECKS)} == {
        FIRST + 2 * DAY + timedelta(hours=2),
        FIRST + 2 * DAY + timedelta(hours=14),
        FIRST + 3 * DAY + timedelta(hours=2),
        FIRST + 3 * DAY + timedelta(hours=14),
    }
    assert len(rows_of(history, HOST_CHECKS)) == kept
    assert verify(history).is_sound


def test_a_dry_run_removes_nothing(history: Path) -> None:
    """And tells what would go."""
    before = names_in(history)
    report = remove_old(history, keep_by_days(checks_days=1, transitions_days=1), NOW, dry_run=True)
    assert names_in(history) == before
    assert {one.path.parents[1].name for one in report.removed} == {
        "domain_checks",
        "host_checks",
        "certificates",
        "transitions",
    }


def test_settings_name_the_tables_they_are_about() -> None:
    """0 keeps for ever."""
    assert keep_by_days(checks_days=0, transitions_days=0) == {}
    assert set(keep_by_days(checks_days=9, transitions_days=0)) == {
        DOMAIN_CHECKS,
        HOST_CHECKS,
        ZONE_CHECKS,
    }
    kept = keep_by_days(checks_days=0, transitions_days=400)
    assert kept == dict.fromkeys((TRANSITIONS, CERTIFICATES, RUNS), timedelta(days=400))


def test_a_file_is_old_when_its_last_row_is(history: Path) -> None:
    """At the very moment it still is not."""
    facts = read_facts(files.data_files(history, DOMAIN_CHECKS)[0], DOMAIN_CHECKS)
    assert facts.last is not None
    at_the_end = facts.last + DAY
    assert plan_removals([facts], keep=DAY, now=at_the_end) == []
    assert plan_removals([facts], keep=DAY, now=at_the_end + timedelta(microseconds=1)) == [facts]


def test_what_cannot_be_read_is_not_removed(history: Path) -> None:
    """Nor what stands in a directory that is no partition."""
    path = files.data_files(history, DOMAIN_CHECKS)[0]
    path.write_bytes(b"PAR1")
    other = history / "domain_checks" / "month=2026-13"
    other.mkdir()
    shutil.copy(files.data_files(history, DOMAIN_CHECKS)[1], other / "x.parquet")
    report = remove_old(history, {DOMAIN_CHECKS: DAY}, NOW)
    assert [error.path for error in report.problems] == [path]
    assert path.exists()
    assert (other / "x.parquet").exists()
    assert partition_start("month=2026-13", DOMAIN_CHECKS) is None


def test_nothing_is_removed_while_files_are_merged(history: Path) -> None:
    """Two that remove files at once could take what the other needs."""
    lock = files.DirectoryLock(history, OWNER)
    with pytest.raises(HistoryError) as caught:
        remove_old(history, {DOMAIN_CHECKS: DAY}, NOW)
    assert caught.value.in_use
    lock.close()


def test_a_partition_in_use_again_stays(history: Path) -> None:
    """Somebody writes a late file there."""
    partition = history / "domain_checks" / "month=2026-10"
    (partition / ".s~late.parquet.tmp").write_bytes(b"")
    remove_old(history, {DOMAIN_CHECKS: DAY}, NOW)
    assert os.listdir(partition) == [".s~late.parquet.tmp"]
    files.remove_directory(partition)
    assert partition.exists()
