"""Files of the service: each written once under the name it was given, whole, and never over."""

import errno
import os
from pathlib import Path

import history_files
import outbox_files
import pytest
from history_files import Disk, Killed, names_in, rows_of
from outbox_files import NOW, check_at, maker, transition

from exporters.history import (
    HistoryError,
    ParquetBatchWriter,
    ParquetHistory,
    files,
    unfinished_run,
)
from exporters.schema import TRANSITIONS
from scanner.model.monitoring import FileBatch


def batch(name: str = "m-1-000001.parquet", *, status: str = "protected") -> FileBatch:
    """Return a batch of two transitions."""
    rows = maker().rows_of(
        check_at(NOW),
        [transition(NOW, None, status), transition(NOW, None, "secure", entity="mx.example")],
        heartbeat=False,
    )
    datas = tuple(row.data for row in rows if row.table == "transitions")
    return FileBatch(name=name, table="transitions", partition="year=2026", rows=datas)


def writer(directory: Path) -> ParquetBatchWriter:
    return ParquetBatchWriter(directory, scanner_id="s")


def test_a_batch_becomes_one_file_sorted(tmp_path: Path) -> None:
    """Under its name, in its partition, with every row."""
    one = writer(tmp_path)
    one.write_batch(batch())
    one.close()
    assert names_in(tmp_path) == [".s.lock", "transitions/year=2026/m-1-000001.parquet"]
    assert [row["entity"] for row in rows_of(tmp_path, TRANSITIONS)] == [
        "example.org",
        "mx.example",
    ]


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    """Not even by another process, after the first one died before it settled."""
    one = writer(tmp_path)
    one.write_batch(batch())
    (path,) = tmp_path.rglob("*.parquet")
    before = path.stat()
    one.write_batch(batch())
    one.close()
    other = writer(tmp_path)
    other.write_batch(batch())
    other.close()
    assert path.stat() == before


@pytest.mark.parametrize("content", ["other rows", "no digest", "no parquet", "directory"])
def test_something_else_under_that_name_is_never_overwritten(tmp_path: Path, content: str) -> None:
    """It is named, and the rows wait in the outbox."""
    path = tmp_path / "transitions" / "year=2026" / "m-1-000001.parquet"
    one = writer(tmp_path)
    if content == "other rows":
        one.write_batch(batch(status="blocked"))
    elif content == "no digest":
        sink = ParquetHistory(tmp_path / "pass", run_id="m-1", scanner_id="s")
        sink.write_transitions([transition(NOW, None, "protected")])
        sink.close()
        path.parent.mkdir(parents=True)
        next((tmp_path / "pass" / "transitions").rglob("*.parquet")).rename(path)
    elif content == "no parquet":
        path.parent.mkdir(parents=True)
        path.write_bytes(b"PAR1 and nothing more")
    else:
        path.mkdir(parents=True)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(HistoryError, match="move it out of the history") as caught:
        one.write_batch(batch())
    assert caught.value.path == path
    assert before is None or path.read_bytes() == before
    one.close()


def test_a_file_whose_rows_were_merged_is_not_written_again(tmp_path: Path) -> None:
    """A service that was down for days finds its unsettled file gone, and its rows kept."""
    one = writer(tmp_path)
    partition = tmp_path / "transitions" / "year=2026"
    files.add_merged(partition, ["m-1-000001.parquet"], owner="~compact")
    one.write_batch(batch())
    assert rows_of(tmp_path, TRANSITIONS) == []
    one.write_batch(batch("m-1-00000.parquet"))
    one.write_batch(batch("1-000001.parquet"))
    assert len(rows_of(tmp_path, TRANSITIONS)) == 4
    one.close()


def test_it_may_die_at_any_disk_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one writes the file or finds it, and no temporary file stays."""
    deaths = 0
    while True:
        directory = tmp_path / str(deaths)
        one = writer(directory)
        with monkeypatch.context() as patched:
            patched.setattr(files, "os", Disk(dies_at=deaths + 1))
            try:
                one.write_batch(batch())
                died = False
            except Killed:
                died = True
        one.close()
        other = writer(directory)
        other.write_batch(batch())
        other.close()
        assert len(rows_of(directory, TRANSITIONS)) == 2
        assert not list(directory.rglob("*.tmp"))
        if not died:
            break
        deaths += 1
    assert deaths >= 8


def test_a_directory_that_cannot_be_synced_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that may be lost with the power does not count as written."""
    one = writer(tmp_path)
    real = files.sync_directory

    def broken(directory: Path) -> None:
        if directory.name == "year=2026":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(directory)

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_directory", broken)
        for _ in range(2):
            with pytest.raises(HistoryError, match="the disk reports an error"):
                one.write_batch(batch())
    one.write_batch(batch())
    one.close()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 2


def test_making_one_needs_no_directory(tmp_path: Path) -> None:
    """The service starts while the disk of the history is away, and writes when it is back."""
    place = tmp_path / "not-mounted"
    place.write_text("")
    one = writer(place / "history")
    with pytest.raises(HistoryError, match="a part of that path is a file"):
        one.write_batch(batch())
    place.unlink()
    one.write_batch(batch())
    one.close()
    assert len(rows_of(place / "history", TRANSITIONS)) == 2


def test_two_scanners_of_one_name_cannot_write_one_directory(tmp_path: Path) -> None:
    """The service can tell this from a disk that is away."""
    first, second = writer(tmp_path), writer(tmp_path)
    first.open()
    first.open()
    with pytest.raises(HistoryError, match="another danewatch with scanner_id 's'") as caught:
        second.open()
    assert caught.value.in_use
    first.close()
    second.open()
    second.close()
    second.close()


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    """Its own only."""
    partition = tmp_path / "transitions" / "year=2026"
    partition.mkdir(parents=True)
    for name in (".s~m-1-000001.parquet.tmp", ".other~m-2-000001.parquet.tmp"):
        (partition / name).write_bytes(b"half")
    one = writer(tmp_path)
    one.write_batch(batch())
    one.close()
    assert [path.name for path in tmp_path.rglob("*.tmp")] == [".other~m-2-000001.parquet.tmp"]


def test_leftovers_that_cannot_be_removed_give_the_directory_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is not kept by one who cannot write."""
    partition = tmp_path / "transitions" / "year=2026"
    (partition / ".s~m-1-000001.parquet.tmp").mkdir(parents=True)
    with pytest.raises(HistoryError):
        writer(tmp_path).open()
    (partition / ".s~m-1-000001.parquet.tmp").rmdir()
    one = writer(tmp_path)
    one.open()
    one.close()


def test_a_table_of_a_later_version_is_told(tmp_path: Path) -> None:
    """Its rows wait for the version that knows it."""
    unknown = FileBatch(name="m-1-1.parquet", table="novelties", partition="year=2026", rows=(b"",))
    one = writer(tmp_path)
    with pytest.raises(HistoryError, match="later version"):
        one.write_batch(unknown)
    one.close()


@pytest.mark.parametrize(
    "data",
    [b"{", b"[1]", b"{}", b'{"entity":"a","observed_at":"soon"}', b'{"entity":1,"observed_at":1}'],
)
def test_a_row_that_does_not_fit_is_told_as_our_fault(tmp_path: Path, data: bytes) -> None:
    """As a declared error, so that other files are written; the rows stay where they are."""
    bad = FileBatch(
        name="m-1-1.parquet", table="transitions", partition="year=2026", rows=(data, data)
    )
    one = writer(tmp_path)
    with pytest.raises(HistoryError, match="please report it"):
        one.write_batch(bad)
    one.write_batch(batch())
    one.close()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 2


def test_an_identifier_that_cannot_stand_in_a_name_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match="scanner_id"):
        ParquetBatchWriter(tmp_path, scanner_id="../s")


def test_a_pass_is_never_taken_for_the_service(tmp_path: Path) -> None:
    """``scan --resume`` in the same directory does not go on with what the service wrote."""
    made = maker()
    rows = [made.started(), *made.rows_of(check_at(NOW), (), heartbeat=True)]
    outbox_files.write(tmp_path, rows, "m-1-1")
    assert history_files.rows_of(tmp_path, TRANSITIONS) == []
    assert unfinished_run(tmp_path) is None
    sink = ParquetHistory(tmp_path, run_id="pass", scanner_id="p")
    sink.write([check_at(NOW)])
    sink.close()
    run = unfinished_run(tmp_path)
    assert run is not None
    assert run.run_id == "pass"
