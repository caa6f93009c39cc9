"""Removing what is older than the operator wants to keep: whole partitions, whole files.

No file is rewritten, so a row stays until every row of its file is old. A state that began long
ago has its transition in an old file: remove transitions only when nobody asks the history for
what failed then, or since when.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters.history import files
from exporters.history.compaction import OWNER
from exporters.history.files import HistoryError
from exporters.history.footers import FileFacts, read_facts
from exporters.schema import TABLES, Partition, Table


@dataclass(kw_only=True, slots=True)
class RetentionReport:
    """What was removed, or would be. ``problems`` are files that were left alone, and why."""

    removed: list[FileFacts] = field(default_factory=list)
    problems: list[HistoryError] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows in the removed files."""
        return sum(one.rows for one in self.removed)


def plan_removals(facts: Iterable[FileFacts], *, keep: timedelta, now: datetime) -> list[FileFacts]:
    """Return the files with no row younger than ``keep``: pure."""
    return [one for one in facts if one.last is not None and one.last < now - keep]


def remove_old(
    directory: Path, keep: Mapping[Table, timedelta], now: datetime, *, dry_run: bool = False
) -> RetentionReport:
    """Remove old files of each table in ``keep``; one that is not named there is kept for ever.

    Files that cannot be read are left alone and told. Raises HistoryError when something cannot be
    removed, or a compaction runs (``in_use``).
    """
    report = RetentionReport()
    lock = None if dry_run else files.DirectoryLock(directory, OWNER)
    try:
        for table, age in keep.items():
            old = _old_files(directory, table, age, now, report)
            for one in old:
                if not dry_run:
                    files.remove(one.path)
                report.removed.append(one)
            if not dry_run:
                for partition in {one.path.parent for one in old}:
                    _remove_if_empty(partition)
    finally:
        if lock is not None:
            lock.close()
    return report


def keep_by_days(*, checks_days: int, transitions_days: int) -> dict[Table, timedelta]:
    """Return what ``remove_old`` takes, from the two settings; 0 keeps for ever."""
    days = {
        table: checks_days if table.name.endswith("_checks") else transitions_days
        for table in TABLES
    }
    return {table: timedelta(days=number) for table, number in days.items() if number > 0}


def _old_files(
    directory: Path, table: Table, keep: timedelta, now: datetime, report: RetentionReport
) -> list[FileFacts]:
    facts: list[FileFacts] = []
    cutoff = now - keep
    for path in files.data_files(directory, table):
        begins = partition_start(path.parent.name, table)
        if begins is None or begins >= cutoff:
            continue
        try:
            facts.append(read_facts(path, table))
        except HistoryError as error:
            report.problems.append(error)
        except FileNotFoundError:
            continue
    return plan_removals(facts, keep=keep, now=now)


def partition_start(name: str, table: Table) -> datetime | None:
    """Return the first moment of a partition such as ``month=2026-11``; None for another name."""
    form = "month=%Y-%m" if table.partition is Partition.MONTH else "year=%Y"
    try:
        return datetime.strptime(name, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _remove_if_empty(partition: Path) -> None:
    """Remove a partition that has no data, no plan and nobody's temporary file any more."""
    if set(files.names_in(partition)) <= {files.MERGED_NAMES}:
        files.remove(partition / files.MERGED_NAMES)
        files.remove_directory(partition)
