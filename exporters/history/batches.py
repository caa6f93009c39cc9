"""Files of the monitoring service: rows of the outbox in, whole Parquet files out, each once.

The store gave the file its name before; the file carries a digest of its rows. So a file that
stands under the name was either written by an earlier attempt, and then the digests agree, or it is
something else, which is never overwritten. A file that is gone because a compaction took its rows
in is known from the list that compactions keep beside the files they made.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from exporters.history import arrow, files
from exporters.history.files import HistoryError
from exporters.history.outbox import TABLE_BY_NAME, decode_rows
from exporters.schema import TABLES
from scanner.model.monitoring import FileBatch


class ParquetBatchWriter:
    """Writes assigned rows into their files (implements ``scanner.model.ports.BatchWriter``).

    Making one touches nothing: the directory may be missing or read-only, and ``write_batch``
    says so each time until it is there. Not for several threads at once.
    """

    def __init__(self, directory: Path, *, scanner_id: str) -> None:
        """Raises ValueError when ``scanner_id`` cannot stand in a file name."""
        self._directory = directory
        self._scanner_id = files.check_identifier("scanner_id", scanner_id)
        self._lock: files.DirectoryLock | None = None

    def open(self) -> None:
        """Take the directory for this scanner and tidy up after a killed one.

        ``write_batch`` does it when needed; a service calls it at its start to refuse to run beside
        another with the same ``scanner_id`` (``HistoryError.in_use``). Raises HistoryError.
        """
        if self._lock is not None:
            return
        lock = files.DirectoryLock(self._directory, self._scanner_id)
        try:
            for path in files.leftovers(self._directory, TABLES, self._scanner_id):
                files.remove(path)
        except BaseException:
            lock.close()
            raise
        self._lock = lock

    def write_batch(self, batch: FileBatch) -> None:
        """Write the file of ``batch``, or find that it stands whole.

        Raises HistoryError when it cannot be written, or something else has its name.
        """
        self.open()
        table = TABLE_BY_NAME.get(batch.table)
        target = self._directory / batch.table / batch.partition
        if table is None:
            raise HistoryError(
                f"{target / batch.name}: unknown table; written by a later version of danewatch, "
                "run that one",
                path=target / batch.name,
            )
        digest = _digest(batch.rows)
        if self._stands(target / batch.name, digest):
            return
        try:
            data = arrow.encode(table, decode_rows(table, batch.rows), rows_sha256=digest)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            # ValueError and TypeError are bases of what Arrow raises for a value of another type.
            raise HistoryError(
                f"{target / batch.name}: a row does not fit the table ({error}), which is a fault "
                "of danewatch; its rows stay in the state file: please report it",
                path=target / batch.name,
            ) from error
        files.write_whole(target, batch.name, data, owner=self._scanner_id)

    def close(self) -> None:
        """Give the directory up."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _stands(self, path: Path, digest: str) -> bool:
        """Return whether the rows are in the directory already, and durable there."""
        if not os.path.lexists(path):
            return files.was_merged(path)
        if arrow.rows_digest(path) != digest:
            raise HistoryError(
                f"{path}: stands there and is another file; move it out of the history", path=path
            )
        # Whoever renamed it may have died before its name was durable.
        files.sync_name(path)
        return True


def _digest(datas: Iterable[bytes]) -> str:
    """Return the SHA-256 of rows, in hex; JSON texts have no line feed of their own."""
    return hashlib.sha256(b"\n".join(datas)).hexdigest()
