"""Files of the history: whole or not there, durable, and never overwritten.

A file is written under a temporary name in the directory where it will stand, synced, renamed, and
the directory is synced (rename(2) is atomic within one file system). Temporary names and the lock
begin with a dot: DuckDB, Spark, pyarrow and Polars leave those alone, as Hive did.

One scanner writes one directory at a time. The lock is of the kind that the kernel drops when the
process dies (flock(2)), so there is never a stale one to remove by hand.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from exporters.schema import Partition, Table

SUFFIX = ".parquet"
TEMPORARY_SUFFIX = ".tmp"
MERGED_NAMES = ".merged"
"""In each partition: the names of files that compactions took in and removed, one a line."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LOCK_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class HistoryError(OSError):
    """The history cannot be written or read; the text names the path and the remedy.

    ``file_complete`` is True when the file stands whole under its final name and only the sync of
    its directory failed, ``in_use`` when another process writes the directory.
    """

    def __init__(
        self, message: str, *, path: Path, file_complete: bool = False, in_use: bool = False
    ) -> None:
        super().__init__(message)
        self.path = path
        self.file_complete = file_complete
        self.in_use = in_use


def check_identifier(kind: str, value: str) -> str:
    """Return ``value`` if it may stand in a file name; raises ValueError otherwise."""
    if not _IDENTIFIER.match(value):
        raise ValueError(
            f"{kind} {value!r}: use up to 64 letters, digits, dots, underscores and hyphens"
        )
    return value


def partition_of(table: Table, moment: datetime) -> str:
    """Return the Hive partition of a row: ``month=2026-11`` or ``year=2026``."""
    utc = moment.astimezone(UTC)
    if table.partition is Partition.MONTH:
        return f"month={utc.year:04d}-{utc.month:02d}"
    return f"year={utc.year:04d}"


def write_whole(directory: Path, name: str, data: bytes, *, owner: str) -> None:
    """Put ``data`` at ``directory/name``: whole and durable, or not there at all.

    ``owner`` is the scanner; it marks the temporary file. Raises HistoryError, and leaves nothing
    behind unless ``file_complete`` says otherwise.
    """
    final = directory / name
    temporary = directory / f".{owner}~{name}{TEMPORARY_SUFFIX}"
    try:
        _make_directories(directory)
        try:
            _write_synced(temporary, data)
            if os.path.lexists(final):
                raise FileExistsError(errno.EEXIST, "a file of that name exists", str(final))
            os.rename(temporary, final)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise HistoryError(_explain("write", final, error), path=final) from error
    sync_name(final)


def sync_name(path: Path) -> None:
    """Make the name of a whole file durable; raises HistoryError with ``file_complete``."""
    try:
        sync_directory(path.parent)
    except OSError as error:
        raise HistoryError(
            _explain("sync the directory of", path, error), path=path, file_complete=True
        ) from error


def _write_synced(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directories(directory: Path) -> None:
    """Make ``directory`` and its parents, each new entry synced in the directory that holds it."""
    if os.path.isdir(directory):
        return
    _make_directories(directory.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o755)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryLock:
    """One scanner's right to write a directory, until closed or the process ends."""

    def __init__(self, directory: Path, scanner_id: str) -> None:
        """Take the lock; raises HistoryError when another process has it, or the directory
        cannot be made or written."""
        self.path = directory / f".{scanner_id}.lock"
        try:
            _make_directories(directory)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor: int | None = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise HistoryError(_explain("write into", directory, error), path=directory) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _LOCK_UNSUPPORTED:
                return  # some network file systems; the operator must not start two
            self.close()
            raise HistoryError(
                f"{directory}: another danewatch with scanner_id {scanner_id!r} is writing here; "
                "wait for it to end, or give this one a scanner_id or a directory of its own",
                path=directory,
                in_use=True,
            ) from error

    def close(self) -> None:
        """Give the lock up. The file stays: removing it would race with the next owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def data_files(
    directory: Path, table: Table, *, newest_partitions: int | None = None
) -> list[Path]:
    """Return the Parquet files of ``table``, oldest partition first; none if there is no table.

    Hidden names and names without the suffix are not data. ``newest_partitions`` leaves older
    partitions out. Raises HistoryError when a directory cannot be listed.
    """
    top = directory / table.name
    try:
        partitions = sorted(entry for entry in _visible(top) if (top / entry).is_dir())
        if newest_partitions is not None:
            partitions = partitions[-newest_partitions:]
        return [
            top / partition / name
            for partition in partitions
            for name in _visible(top / partition)
            if name.endswith(SUFFIX)
        ]
    except OSError as error:
        raise HistoryError(_explain("list", top, error), path=top) from error


def _visible(directory: Path) -> list[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not name.startswith((".", "_")))


def leftovers(directory: Path, tables: tuple[Table, ...], owner: str) -> Iterator[Path]:
    """Yield temporary files that a killed process of ``owner`` left; the lock must be held."""
    for table in tables:
        yield from sorted((directory / table.name).glob(f"*/.{owner}~*{TEMPORARY_SUFFIX}"))


def was_merged(path: Path) -> bool:
    """Return whether a compaction took the rows of ``path`` into another file and removed it.

    Raises HistoryError when that cannot be found out.
    """
    listed = path.parent / MERGED_NAMES
    try:
        return f"{path.name}\n".encode() in listed.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HistoryError(_explain("read", listed, error), path=listed) from error


def remove(path: Path) -> None:
    """Remove one file; one that is gone already is fine. Raises HistoryError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HistoryError(_explain("remove", path, error), path=path) from error


_GO_ON = "make room; then scan --resume goes on, and the service does by itself"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full: {_GO_ON}",
    errno.EDQUOT: f"the disk quota is used up: {_GO_ON}",
    errno.EFBIG: "the file would be larger than allowed here: raise the limit (ulimit -f)",
    errno.EACCES: "give the user danewatch runs as the right to write there",
    errno.EPERM: "give the user danewatch runs as the right to write there",
    errno.EROFS: "the file system is read-only: choose another directory or remount it",
    errno.ENOTDIR: "a part of that path is a file: choose another directory",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an error: check its health before anything else",
}


def _explain(action: str, path: Path, error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, "files already written are whole")
    return f"cannot {action} {path}: {error.strerror or error}; {remedy}"
