"""Between rows, Arrow and Parquet bytes. The only module that imports pyarrow, and only when used.

Plain strings, never Arrow dictionaries: those would carry the whole dictionary into every file,
and Parquet encodes repeated values by itself. Files are read column by column and batch by batch,
so memory does not grow with the history.
"""

import errno
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.history.files import HistoryError
from exporters.schema import SCHEMA_VERSION, Column, ColumnType, Table

if TYPE_CHECKING:
    import pyarrow

COMPRESSION = "zstd"
BATCH_ROWS = 65_536
"""Rows read at once: some megabytes at the width of what readers ask for."""
ROW_GROUP_ROWS = 131_072
"""Rows of one row group: what a query that looks for one domain has to read at least."""
_METADATA_ROWS = b"danewatch.rows_sha256"
_METADATA_SCHEMA = b"danewatch.history"
_METADATA_TABLE = b"danewatch.table"


def arrow_schema(table: Table) -> "pyarrow.Schema":
    """Return the Arrow schema of ``table``, with our metadata."""
    import pyarrow

    fields = [pyarrow.field(column.name, _arrow_type(column)) for column in table.columns]
    metadata = {
        _METADATA_SCHEMA: str(SCHEMA_VERSION).encode(),
        _METADATA_TABLE: table.name.encode(),
    }
    return pyarrow.schema(fields, metadata=metadata)


def _arrow_type(column: Column) -> "pyarrow.DataType":
    import pyarrow

    if column.type is ColumnType.STRUCTS:
        members = [pyarrow.field(field.name, _arrow_type(field)) for field in column.fields]
        return pyarrow.list_(pyarrow.struct(members))
    return {
        ColumnType.STRING: pyarrow.string(),
        ColumnType.BOOL: pyarrow.bool_(),
        ColumnType.INT32: pyarrow.int32(),
        ColumnType.INT64: pyarrow.int64(),
        ColumnType.TIMESTAMP: pyarrow.timestamp("us", tz="UTC"),
        ColumnType.BINARY: pyarrow.binary(),
        ColumnType.STRINGS: pyarrow.list_(pyarrow.string()),
    }[column.type]


def encode(
    table: Table, rows: Sequence[dict[str, Any]], *, rows_sha256: str | None = None
) -> bytes:
    """Return ``rows`` as one Parquet file, sorted as the table says; absent keys become null.

    Times may be microseconds since 1970. ``rows_sha256`` goes into the footer, see
    ``rows_digest``.
    """
    import pyarrow

    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in table.sort_by))
    schema = arrow_schema(table)
    if rows_sha256 is not None:
        schema = schema.with_metadata({**schema.metadata, _METADATA_ROWS: rows_sha256.encode()})
    return encode_table(pyarrow.Table.from_pylist(ordered, schema=schema))


def encode_table(data: "pyarrow.Table") -> bytes:
    """Return an Arrow table as one Parquet file, with checksums of its pages."""
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(
        data,
        sink,
        compression=COMPRESSION,
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def rows_digest(path: Path) -> str | None:
    """Return the digest of the rows that ``encode`` was told; None where the file has none.

    Raises HistoryError when it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_metadata(path).metadata or {}
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    digest: bytes | None = metadata.get(_METADATA_ROWS)
    return None if digest is None else digest.decode("ascii", "replace")


def read_columns(
    path: Path, table: Table, columns: Sequence[str], *, optional: Sequence[str] = ()
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the asked columns of one file, batch by batch; ``optional`` ones only if it has them.

    A member of a nested list is asked for as ``hosts.host`` and brings ``hosts`` with that member.
    Raises HistoryError naming the file when it is damaged or is not of this table, and
    FileNotFoundError when it went away (a compaction replaced it).
    """
    import pyarrow
    import pyarrow.parquet

    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            raise OSError(errno.EINVAL, "a pipe")  # opening it would wait for a writer
        with pyarrow.parquet.ParquetFile(path) as file:
            present = {_dotted(leaf) for leaf in _leaf_paths(file)}
            missing = [name for name in columns if name not in present]
            if missing:
                raise HistoryError(
                    f"{path}: not a file of the table {table.name}, it has no column "
                    f"{', '.join(missing)}; move it out of the history",
                    path=path,
                )
            wanted = [*columns, *(name for name in optional if name in present)]
            leaves = [leaf for leaf in _leaf_paths(file) if _dotted(leaf) in wanted]
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=leaves)
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, HistoryError):
            raise
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> HistoryError:
    """Return the error for a file that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return HistoryError(
        f"{path}: damaged, or no Parquet file ({reason}); "
        "restore it from a backup or move it out of the history",
        path=path,
    )


def _leaf_paths(file: "pyarrow.parquet.ParquetFile") -> list[str]:
    return [file.schema.column(index).path for index in range(len(file.schema))]


def _dotted(leaf: str) -> str:
    """Return a Parquet leaf path without the levels that lists add (``hosts.list.element.host``).

    Writers call them ``list.element`` or, older ones, ``list.item``, ``bag.array`` and the like.
    """
    parts = leaf.split(".")
    return f"{parts[0]}.{parts[3]}" if len(parts) == 4 else parts[0]
