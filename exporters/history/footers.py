"""What a file of the history is, as its footer tells: rows, size, times, shape."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.history import arrow
from exporters.history.files import HistoryError
from exporters.schema import Table

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """One file: its rows, its octets on disk and before compression, and when it was written.

    ``first`` and ``last`` are the earliest and latest time of its rows (the column that decides
    the partition); None when it has no rows.
    """

    path: Path
    rows: int
    size: int
    uncompressed: int
    modified_ns: int
    first: datetime | None
    last: datetime | None

    @property
    def partition(self) -> str:
        """The Hive partition it stands in."""
        return self.path.parent.name


def read_facts(path: Path, table: Table) -> FileFacts:
    """Return the facts of one file of ``table``.

    Raises HistoryError when it is damaged, not of this table, or of a later version;
    FileNotFoundError when it went away.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        status = path.stat()
        with pyarrow.parquet.ParquetFile(path) as file:
            check_shape(path, table, file.schema_arrow)
            first, last = _times(file, table)
            groups = range(file.metadata.num_row_groups)
            return FileFacts(
                path=path,
                rows=file.metadata.num_rows,
                size=status.st_size,
                uncompressed=sum(file.metadata.row_group(n).total_byte_size for n in groups),
                modified_ns=status.st_mtime_ns,
                first=first,
                last=last,
            )
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, HistoryError):
            raise
        raise arrow.damaged(path, error) from error


def check_shape(path: Path, table: Table, found: "pyarrow.Schema") -> None:
    """Raise HistoryError unless ``found`` has columns of ``table`` only, its first ones included.

    A column that an older version did not have may be missing, one that this version does not
    know may not be there: what cannot be understood is not rewritten.
    """
    wanted = arrow.arrow_schema(table)
    needed = {"run_id", table.time, *table.sort_by}
    missing = sorted(needed - set(found.names))
    if missing:
        raise HistoryError(
            f"{path}: not a file of the table {table.name}, it has no column "
            f"{', '.join(missing)}; move it out of the history",
            path=path,
        )
    unknown = [name for name in found.names if name not in wanted.names]
    if unknown:
        raise HistoryError(
            f"{path}: has columns this version does not know ({', '.join(unknown)}); "
            "use the version that wrote it, or a later one",
            path=path,
        )


def _times(
    file: "pyarrow.parquet.ParquetFile", table: Table
) -> tuple[datetime | None, datetime | None]:
    """Return the earliest and latest time, from the statistics where there are any."""
    import pyarrow.compute as pc

    column = file.schema_arrow.get_field_index(table.time)
    leaf = next(n for n in range(len(file.schema)) if file.schema.column(n).path == table.time)
    assert column >= 0
    times: list[datetime] = []
    for number in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(number).column(leaf).statistics
        if statistics is not None and statistics.has_min_max:
            times += [statistics.min, statistics.max]
        else:
            values = file.read_row_group(number, columns=[table.time]).column(table.time)
            ends = pc.min_max(values).as_py()
            times += [one for one in (ends["min"], ends["max"]) if one is not None]
    utc = [one.astimezone(UTC) if one.tzinfo else one.replace(tzinfo=UTC) for one in times]
    return min(utc, default=None), max(utc, default=None)


def read_whole(path: Path, table: Table) -> "pyarrow.Table":
    """Return all of one file in the shape of this version; columns it lacks are null.

    Raises HistoryError like ``read_facts``, also for values that this version has no type for.
    """
    import pyarrow
    import pyarrow.parquet

    schema = arrow.arrow_schema(table)
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            check_shape(path, table, file.schema_arrow)
            data = file.read()
        columns = [
            data[field.name].cast(field.type)
            if field.name in data.column_names
            else pyarrow.nulls(len(data), field.type)
            for field in schema
        ]
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, HistoryError):
            raise
        raise arrow.damaged(path, error) from error
    return pyarrow.Table.from_arrays(columns, schema=schema)
