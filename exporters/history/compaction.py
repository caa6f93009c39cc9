"""Merging small files: closed days into one file a day, closed months into one file a month.

The protocol, for each merge:

1. The plan is written beside the inputs (``.compact-OUTPUT.json``): which files, how large.
2. The output is written under a temporary name, synced, read back, compared with every row of the
   inputs, and renamed. From here on each row stands in two files.
3. The names of the inputs are added to ``.merged``: a service that was killed before it settled
   one of them learns there that its rows are kept.
4. The inputs are removed, those only that are still what the plan says.
5. The plan is removed.

It may die anywhere. Whoever compacts next goes on at 3 when the output of a plan stands whole, and
drops the plan otherwise; the inputs are untouched then. A reader misses no row at any time. Between
2 and 4 it may see a row twice unless it leaves out the inputs of every plan whose output stands,
as ``files.data_files`` does, or counts each row once by ``Table.unique_by``. Whoever listed the
directory before 4 may find a file gone, and lists it again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exporters.history import arrow, files
from exporters.history.files import HistoryError
from exporters.history.footers import FileFacts, read_facts, read_whole
from exporters.schema import Table

OWNER = "~compact"
"""Marks temporary files and the lock; no scanner can be called so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactionLimits:
    """Bounds of a merge. Ours."""

    min_age: timedelta = timedelta(hours=1)
    """How long a day or month must be over, and a file stand, before it is merged."""
    max_rows: int = 250_000
    """Rows of one output; a month beyond it becomes several files. A merge of so many rows takes
    half a gigabyte of memory, measured at 600 octets a row."""
    max_bytes: int = 64 * 1024 * 1024
    """Octets of one output before compression, for rows with long texts. The same text repeated
    takes no room there, but does in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Files of one partition that become ``output``. ``period`` is a day or a month."""

    table: Table
    period: str
    inputs: tuple[FileFacts, ...]
    output: str

    @property
    def directory(self) -> Path:
        """Where the files stand."""
        return self.inputs[0].path.parent

    @property
    def rows(self) -> int:
        """Rows of all inputs."""
        return sum(one.rows for one in self.inputs)


@dataclass(kw_only=True, slots=True)
class CompactionReport:
    """What was merged, or would be. ``problems`` are files that were left alone, and why."""

    merges: list[Merge] = field(default_factory=list)
    resumed: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    problems: list[HistoryError] = field(default_factory=list)


def plan_merges(
    facts: Iterable[FileFacts], *, table: Table, now: datetime, limits: CompactionLimits
) -> tuple[Merge, ...]:
    """Return what to merge: pure. A file belongs to the day and month of its latest row.

    Nothing of a day that is not over, and no file younger than ``min_age``, is touched; a file
    alone in its period, or too large to grow, stays as it is.
    """
    groups: dict[tuple[str, str], list[FileFacts]] = {}
    for one in facts:
        period = _period_of(one, now - limits.min_age)
        if period is not None:
            groups.setdefault((one.partition, period), []).append(one)
    return tuple(
        Merge(table=table, period=period, inputs=tuple(chunk), output=_output_name(period, chunk))
        for (_, period), group in sorted(groups.items())
        for chunk in _chunks(group, limits)
        if len(chunk) > 1
    )


def _period_of(one: FileFacts, before: datetime) -> str | None:
    """Return the closed month or day that ``one`` belongs to; None while it is open or young."""
    if one.last is None or datetime.fromtimestamp(one.modified_ns / 1e9, UTC) > before:
        return None
    day = one.last.date()
    if (day.year, day.month) < (before.year, before.month):
        return f"{day:%Y-%m}"
    return f"{day:%Y-%m-%d}" if day < before.date() else None


def _chunks(group: list[FileFacts], limits: CompactionLimits) -> Iterator[list[FileFacts]]:
    """Yield neighbours in time that fit into one output together."""
    chunk: list[FileFacts] = []
    size = rows = 0
    for one in sorted(group, key=lambda one: (one.last, one.first, one.path.name)):
        size, rows = size + one.uncompressed, rows + one.rows
        if chunk and (size > limits.max_bytes or rows > limits.max_rows):
            yield chunk
            chunk, size, rows = [], one.uncompressed, one.rows
        chunk.append(one)
    yield chunk


def _output_name(period: str, inputs: Sequence[FileFacts]) -> str:
    kind = "month" if len(period) == len("2026-11") else "day"
    told = "\n".join(f"{one.path.name} {one.size} {one.modified_ns}" for one in inputs)
    return f"{kind}-{period}-{hashlib.sha256(told.encode()).hexdigest()[:12]}{files.SUFFIX}"


def compact(
    directory: Path,
    table: Table,
    now: datetime,
    *,
    limits: CompactionLimits | None = None,
    dry_run: bool = False,
) -> CompactionReport:
    """Finish what an earlier compaction of ``table`` began, then merge what is closed.

    ``dry_run`` tells what would be merged and changes nothing. Files that cannot be read, or are
    not ours, are left alone and told. Raises HistoryError when something cannot be written, or
    another compaction runs (``in_use``); what was merged before stays merged.
    """
    limits = limits or CompactionLimits()
    report = CompactionReport()
    if dry_run:
        report.merges += _plan(directory, table, now, limits, report)
        return report
    lock = files.DirectoryLock(directory, OWNER)
    try:
        for partition in files.partitions(directory, table):
            report.resumed += _resume(partition)
        for merge in _plan(directory, table, now, limits, report):
            try:
                report.bytes_after += _merge(merge)
            except HistoryError as error:
                if not isinstance(error, UnfitError):
                    raise
                report.problems.append(error)
                continue
            report.merges.append(merge)
            report.bytes_before += sum(one.size for one in merge.inputs)
    finally:
        lock.close()
    return report


class UnfitError(HistoryError):
    """These files cannot be merged; nothing was changed, and the rest may go on."""


def _plan(
    directory: Path,
    table: Table,
    now: datetime,
    limits: CompactionLimits,
    report: CompactionReport,
) -> tuple[Merge, ...]:
    facts: list[FileFacts] = []
    for path in files.data_files(directory, table):
        try:
            facts.append(read_facts(path, table))
        except HistoryError as error:
            report.problems.append(error)
        except FileNotFoundError:
            continue  # retention removed it
    return plan_merges(facts, table=table, now=now, limits=limits)


def _merge(merge: Merge) -> int:
    """Carry out one merge; return the octets of the output."""
    import pyarrow

    try:
        parts = [read_whole(one.path, merge.table) for one in merge.inputs]
    except (HistoryError, FileNotFoundError) as error:
        raise UnfitError(f"{merge.period} not merged: {error}", path=merge.directory) from error
    data = pyarrow.concat_tables(parts).sort_by(
        [(name, "ascending") for name in merge.table.sort_by]
    )
    if len(data) != merge.rows:
        raise UnfitError(
            f"{merge.directory}: {merge.period} has {len(data)} rows, its footers say "
            f"{merge.rows}; run history verify",
            path=merge.directory,
        )
    del parts
    octets = arrow.encode_table(data)

    def check(path: Path) -> None:
        if not read_whole(path, merge.table).equals(data):
            raise HistoryError(f"{path}: not what was written; check the disk", path=path)

    plan = merge.directory / files.plan_name(merge.output)
    files.write_whole(merge.directory, plan.name, _plan_text(merge), owner=OWNER)
    try:
        files.write_whole(merge.directory, merge.output, octets, owner=OWNER, check=check)
    except HistoryError as error:
        if not error.file_complete:
            files.remove(plan)
            raise
        files.sync_name(merge.directory / merge.output)
    _finish(plan, [_known(one) for one in merge.inputs])
    return len(octets)


def _plan_text(merge: Merge) -> bytes:
    inputs = [_known(one) for one in merge.inputs]
    return json.dumps({"output": merge.output, "rows": merge.rows, "inputs": inputs}).encode()


def _known(one: FileFacts) -> dict[str, Any]:
    return {"name": one.path.name, "size": one.size, "modified_ns": one.modified_ns}


def _finish(plan: Path, inputs: Sequence[dict[str, Any]]) -> None:
    """Steps 3 to 5; each may be repeated."""
    directory = plan.parent
    files.add_merged(directory, [str(one["name"]) for one in inputs], owner=OWNER)
    for one in inputs:
        path = directory / str(one["name"])
        # A pass that is resumed may have used the name of a file that is gone once more.
        if files.size_and_time(path) == (one["size"], one["modified_ns"]):
            files.remove(path)
    files.sync_name(plan)  # their removal, before that of the plan
    files.remove(plan)


def _resume(partition: Path) -> int:
    """Finish or drop every plan that a killed compaction left; return how many were finished."""
    finished = 0
    for path in files.temporary_files(partition, OWNER):
        files.remove(path)
    for plan in files.plans(partition):
        told = files.read_plan(plan)
        if told is not None and files.size_and_time(partition / told["output"]) is not None:
            files.sync_name(plan)
            _finish(plan, told["inputs"])
            finished += 1
        else:
            files.remove(plan)
    return finished
