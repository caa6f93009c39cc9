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
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from exporters.schema import Partition, Table

SUFFIX = ".parquet"
TEMPORARY_SUFFIX = ".tmp"
PLAN_PREFIX = ".compact-"
PLAN_SUFFIX = ".json"
"""A merge that is under way: ``.compact-OUTPUT.json``, see ``compaction``."""
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

    def __reduce__(self) -> "tuple[partial[HistoryError], tuple[object, ...]]":
        """Let it be told by another process, which exceptions of more than texts cannot."""
        make = partial(
            HistoryError, path=self.path, file_complete=self.file_complete, in_use=self.in_use
        )
        return make, self.args


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


def write_whole(
    directory: Path,
    name: str,
    data: bytes,
    *,
    owner: str,
    check: Callable[[Path], None] | None = None,
    replace: bool = False,
) -> None:
    """Put ``data`` at ``directory/name``: whole and durable, or not there at all.

    ``owner`` is the scanner; it marks the temporary file. ``check`` looks at that file before it
    gets its name, and raises HistoryError when it is not right. A file of that name is an error
    unless ``replace``. Raises HistoryError, and leaves nothing behind unless ``file_complete`` says
    otherwise.
    """
    final = directory / name
    temporary = directory / f".{owner}~{name}{TEMPORARY_SUFFIX}"
    try:
        _make_directories(directory)
        try:
            _write_synced(temporary, data)
            if check is not None:
                check(temporary)
            if not replace and os.path.lexists(final):
                raise FileExistsError(errno.EEXIST, "a file of that name exists", str(final))
            os.rename(temporary, final)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except HistoryError:
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
                f"{directory}: another danewatch {_who(scanner_id)} is writing here; "
                "wait for it to end, or give this one a scanner_id or a directory of its own",
                path=directory,
                in_use=True,
            ) from error

    def close(self) -> None:
        """Give the lock up. The file stays: removing it would race with the next owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _who(scanner_id: str) -> str:
    is_scanner = _IDENTIFIER.match(scanner_id)
    return f"with scanner_id {scanner_id!r}" if is_scanner else "that merges or removes files"


def data_files(
    directory: Path, table: Table, *, newest_partitions: int | None = None
) -> list[Path]:
    """Return the Parquet files of ``table``, oldest partition first; none if there is no table.

    Hidden names and names without the suffix are not data. Files that a merge under way has taken
    in are left out once its output stands, so that each row is in one of the files returned.
    ``newest_partitions`` leaves older partitions out. Raises HistoryError when a directory cannot
    be listed.
    """
    found = partitions(directory, table)
    if newest_partitions is not None:
        found = found[-newest_partitions:]
    return [path for partition in found for path in files_in(partition)]


def partitions(directory: Path, table: Table) -> list[Path]:
    """Return the directories of the partitions of ``table``, oldest first. Raises HistoryError."""
    top = directory / table.name
    names = sorted(name for name in names_in(top) if not name.startswith((".", "_")))
    return [top / name for name in names if (top / name).is_dir()]


def files_in(partition: Path) -> list[Path]:
    """Return the Parquet files of one partition, as ``data_files`` does."""
    listed = names_in(partition)
    names = {name for name in listed if name.endswith(SUFFIX) and not name.startswith((".", "_"))}
    for name in listed:
        if name.startswith(PLAN_PREFIX) and name.endswith(PLAN_SUFFIX):
            plan = read_plan(partition / name)
            if plan is not None and plan["output"] in names:
                names -= {one["name"] for one in plan["inputs"]}
    return [partition / name for name in sorted(names)]


def names_in(directory: Path) -> list[str]:
    """Return every name in ``directory``, hidden ones too; none if it is not there.

    Raises HistoryError.
    """
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HistoryError(_explain("list", directory, error), path=directory) from error


def leftovers(directory: Path, tables: tuple[Table, ...], owner: str) -> Iterator[Path]:
    """Yield temporary files that a killed process of ``owner`` left; the lock must be held."""
    for table in tables:
        yield from sorted((directory / table.name).glob(f"*/.{owner}~*{TEMPORARY_SUFFIX}"))


def temporary_files(partition: Path, owner: str) -> list[Path]:
    """Return the temporary files of ``owner`` in one partition."""
    return sorted(partition.glob(f".{owner}~*{TEMPORARY_SUFFIX}"))


def plan_name(output: str) -> str:
    """Return the name of the plan of a merge into ``output``."""
    return f"{PLAN_PREFIX}{output}{PLAN_SUFFIX}"


def plans(partition: Path) -> list[Path]:
    """Return the plans of merges under way in ``partition``. Raises HistoryError."""
    return sorted(
        partition / name
        for name in names_in(partition)
        if name.startswith(PLAN_PREFIX) and name.endswith(PLAN_SUFFIX)
    )


def read_plan(path: Path) -> dict[str, Any] | None:
    """Return a plan: ``output`` and ``inputs`` with ``name``, ``size``, ``modified_ns``.

    None when it is gone or is no plan, which says that the inputs were not removed by it.
    """
    try:
        plan: dict[str, Any] = json.loads(path.read_bytes())
        inputs = [(str(one["name"]), int(one["size"])) for one in plan["inputs"]]
        fit = all("/" not in name for name in (str(plan["output"]), *(name for name, _ in inputs)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return plan if fit else None


def add_merged(partition: Path, names: Sequence[str], *, owner: str) -> None:
    """Keep ``names`` as those of files whose rows stand elsewhere. Raises HistoryError."""
    listed = partition / MERGED_NAMES
    try:
        known = listed.read_text().splitlines()
    except FileNotFoundError:
        known = []
    except (OSError, ValueError) as error:
        raise HistoryError(f"cannot read {listed}: {error}", path=listed) from error
    taken = set(known)
    new = [name for name in names if name not in taken]
    if new:
        text = "".join(f"{name}\n" for name in (*known, *new))
        write_whole(partition, MERGED_NAMES, text.encode(), owner=owner, replace=True)


def was_merged(path: Path) -> bool:
    """Return whether a compaction took the rows of ``path`` into another file and removed it.

    Raises HistoryError when that cannot be found out.
    """
    listed = path.parent / MERGED_NAMES
    try:
        return path.name.encode() in listed.read_bytes().split(b"\n")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HistoryError(_explain("read", listed, error), path=listed) from error


def size_and_time(path: Path) -> tuple[int, int] | None:
    """Return the size of a file and when it was changed, in nanoseconds; None if it is not there.

    Raises HistoryError.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HistoryError(_explain("look at", path, error), path=path) from error
    return status.st_size, status.st_mtime_ns


def remove(path: Path) -> None:
    """Remove one file; one that is gone already is fine. Raises HistoryError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HistoryError(_explain("remove", path, error), path=path) from error


def remove_directory(directory: Path) -> None:
    """Remove an empty directory; one that is in use again stays. Raises HistoryError."""
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise HistoryError(_explain("remove", directory, error), path=directory) from error


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
