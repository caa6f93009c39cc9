"""Looking at every file of the history: is it readable, is it ours, does it hang together?

Nothing is changed. Memory holds one batch of rows and the keys of one partition at a time, and
what tells one transition from the next for all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.history import arrow, files
from exporters.history.files import HistoryError
from exporters.history.footers import check_shape
from exporters.history.retention import partition_start
from exporters.schema import CERTIFICATES, TABLES, TRANSITIONS, Partition, Table
from scanner.model.vocabulary import EntityType, Severity

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

MAX_FINDINGS = 1_000
"""Findings told; a damaged disk or a foreign history could bring millions."""


class FindingKind(StrEnum):
    """What can be wrong with a history."""

    UNREADABLE = "unreadable"
    MISPLACED = "misplaced"
    REPEATED = "repeated"
    CERTIFICATE_REPEATED = "certificate-repeated"
    CHAIN_BROKEN = "chain-broken"
    BEGUN_ANEW = "begun-anew"
    MERGE_UNFINISHED = "merge-unfinished"
    LEFTOVER = "leftover"


SEVERITIES = {
    FindingKind.UNREADABLE: Severity.ERROR,
    FindingKind.MISPLACED: Severity.ERROR,
    FindingKind.REPEATED: Severity.ERROR,
    FindingKind.CERTIFICATE_REPEATED: Severity.INFO,  # their number that is remembered is bounded
    FindingKind.CHAIN_BROKEN: Severity.ERROR,
    FindingKind.BEGUN_ANEW: Severity.WARNING,
    FindingKind.MERGE_UNFINISHED: Severity.INFO,
    FindingKind.LEFTOVER: Severity.INFO,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyFinding:
    """One thing that is wrong, and the file or partition it is wrong with."""

    kind: FindingKind
    path: Path
    message: str

    @property
    def severity(self) -> Severity:
        """How much it matters: only errors mean that rows are missing, wrong or there twice."""
        return SEVERITIES[self.kind]


@dataclass(kw_only=True, slots=True)
class VerifyReport:
    """What was looked at and found. ``truncated`` when there was more than is told."""

    files: int = 0
    rows: int = 0
    findings: list[VerifyFinding] = field(default_factory=list)
    truncated: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether nothing is missing, wrong or there twice."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def add(self, kind: FindingKind, path: Path, message: str) -> None:
        """Take in one finding."""
        if len(self.findings) >= MAX_FINDINGS:
            self.truncated = True
            return
        self.findings.append(VerifyFinding(kind=kind, path=path, message=message))


def verify(directory: Path) -> VerifyReport:
    """Return what is wrong with the history; a history that is not there has no findings.

    Raises HistoryError when a directory cannot be listed.
    """
    report = VerifyReport()
    for table in TABLES:
        for partition in files.partitions(directory, table):
            _verify_partition(partition, table, report)
            for name in files.names_in(partition):
                if name.endswith(files.TEMPORARY_SUFFIX):
                    what = "left by a process that was killed, or being written now; harmless"
                    report.add(FindingKind.LEFTOVER, partition / name, what)
            for plan in files.plans(partition):
                what = "a merge runs, or was killed; history compact finishes it"
                report.add(FindingKind.MERGE_UNFINISHED, plan, what)
    _verify_chain(directory, report)
    return report


def _verify_partition(partition: Path, table: Table, report: VerifyReport) -> None:
    import pyarrow

    keys: list[pyarrow.RecordBatch] = []
    start = partition_start(partition.name, table)
    if start is None:
        report.add(FindingKind.MISPLACED, partition, f"not a partition of {table.name}")
    for path in files.files_in(partition):
        report.files += 1
        try:
            for batch in _batches(path, table):
                report.rows += len(batch)
                keys.append(batch.select(list(table.unique_by)))
                if start is not None:
                    _verify_times(path, table, batch, start, report)
        except HistoryError as error:
            report.add(FindingKind.UNREADABLE, path, str(error))
        except FileNotFoundError:
            continue  # merged or removed meanwhile
    if keys:
        _verify_unique(partition, table, pyarrow.Table.from_batches(keys), report)


def _batches(path: Path, table: Table) -> Iterator["pyarrow.RecordBatch"]:
    """Yield every row of every column, checksums verified. Raises HistoryError."""
    import pyarrow
    import pyarrow.parquet

    wanted = arrow.arrow_schema(table)
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            check_shape(path, table, file.schema_arrow)
            names = list(dict.fromkeys((*table.unique_by, table.time)))
            rows = 0
            for batch in file.iter_batches(batch_size=arrow.BATCH_ROWS):
                rows += len(batch)
                columns = [batch.column(name).cast(wanted.field(name).type) for name in names]
                yield pyarrow.RecordBatch.from_arrays(columns, names=names)
            if rows != file.metadata.num_rows:
                what = f"{path}: {rows} rows, its footer says {file.metadata.num_rows}"
                raise HistoryError(what, path=path)
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, HistoryError):
            raise
        raise arrow.damaged(path, error) from error


def _verify_times(
    path: Path, table: Table, batch: "pyarrow.RecordBatch", start: datetime, report: VerifyReport
) -> None:
    import pyarrow.compute as pc

    ends = pc.min_max(batch.column(table.time)).as_py()
    if batch.column(table.time).null_count:
        report.add(FindingKind.MISPLACED, path, f"rows without {table.time}")
    elif len(batch) and not (start <= ends["min"] and ends["max"] < _partition_end(start, table)):
        told = f"rows from {ends['min']:%Y-%m-%d} to {ends['max']:%Y-%m-%d}"
        report.add(FindingKind.MISPLACED, path, f"{told} stand in {path.parent.name}")


def _partition_end(start: datetime, table: Table) -> datetime:
    if table.partition is Partition.YEAR:
        return start.replace(year=start.year + 1)
    return (start + timedelta(days=31)).replace(day=1)


def _verify_unique(
    partition: Path, table: Table, keys: "pyarrow.Table", report: VerifyReport
) -> None:
    import pyarrow.compute as pc

    names = list(table.unique_by)
    counted = keys.group_by(names).aggregate([([], "count_all")])
    repeated = counted.filter(pc.greater(counted["count_all"], 1))
    if len(repeated):
        first = repeated.slice(0, 1).to_pylist()[0]
        told = ", ".join(f"{name} {first[name]}" for name in names)
        what = f"{len(repeated)} rows stand here more than once, such as the one of {told}"
        is_certificate = table is CERTIFICATES
        kind = FindingKind.CERTIFICATE_REPEATED if is_certificate else FindingKind.REPEATED
        report.add(kind, partition, what)


_CHAIN_COLUMNS = (
    "entity_type",
    "entity",
    "profile",
    "observed_at",
    "event_id",
    "scanner_id",
    "from_status",
    "to_status",
)


def _verify_chain(directory: Path, report: VerifyReport) -> None:
    """Each transition of an entity begins where the one before ended.

    Scanners that share a directory may each have a chain of their own; what holds of a zone holds
    under every profile. The first transition that is there may begin anywhere: older ones may have
    been removed.
    """
    import pyarrow

    batches: list[pyarrow.RecordBatch] = []
    for path in files.data_files(directory, TRANSITIONS):
        try:
            for batch in arrow.read_columns(path, TRANSITIONS, _CHAIN_COLUMNS):
                ordered = [batch.column(name) for name in _CHAIN_COLUMNS]
                batches.append(pyarrow.RecordBatch.from_arrays(ordered, names=_CHAIN_COLUMNS))
        except (HistoryError, FileNotFoundError):
            continue  # told already
    if not batches:
        return
    rows = pyarrow.Table.from_batches(batches).sort_by(
        [(name, "ascending") for name in ("entity_type", "entity", "observed_at", "event_id")]
    )
    ends: dict[tuple[str, str], str] = {}
    entity: tuple[str, str] | None = None
    events: set[str] = set()
    for batch in rows.to_batches():
        for row in batch.to_pylist():
            if (row["entity_type"], row["entity"]) != entity:
                entity = (row["entity_type"], row["entity"])
                ends, events = {}, set()
            if row["event_id"] not in events:
                events.add(row["event_id"])
                _verify_link(directory, row, ends, report)


def _verify_link(
    directory: Path, row: dict[str, Any], ends: dict[tuple[str, str], str], report: VerifyReport
) -> None:
    profile = "" if row["entity_type"] == EntityType.ZONE else row["profile"]
    known = {end for key in ((profile, ""), (profile, row["scanner_id"])) if (end := ends.get(key))}
    ends[profile, ""] = ends[profile, row["scanner_id"]] = row["to_status"]
    if not known or row["from_status"] in known:
        return
    kind = FindingKind.BEGUN_ANEW if row["from_status"] is None else FindingKind.CHAIN_BROKEN
    which = f"{row['entity_type']} {row['entity']} at {row['observed_at']:%Y-%m-%d %H:%M:%S}"
    told = f"comes from {row['from_status']}, but was {' or '.join(sorted(known))}"
    report.add(kind, directory / TRANSITIONS.name, f"{which} {told}")
