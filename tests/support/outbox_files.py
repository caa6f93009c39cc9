"""A history as the service writes it, made at once: checks in, files out."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import history_files
import sample_checks as sample

from exporters.history import OutboxRowMaker, ParquetBatchWriter, RunFacts
from scanner.model.monitoring import FileBatch, OutboxRow
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile

NOW = sample.NOW
RUN = RunFacts(run_id="m-1", scanner_id="s", started_at=NOW, version="1.0")
OLD = (NOW - timedelta(days=30)).timestamp()
"""When files count as written: any guard on their age is passed."""


def maker(**options: object) -> OutboxRowMaker:
    return OutboxRowMaker(RUN, **options)  # type: ignore[arg-type]


def transition(
    moment: datetime,
    before: str | None,
    after: str,
    *,
    entity: str = "example.org",
    kind: EntityType = EntityType.DOMAIN,
    event: str | None = None,
) -> Transition:
    return Transition(
        event_id=event or f"{entity} {moment.isoformat()} {after}",
        observed_at=moment,
        entity_type=kind,
        entity=entity,
        profile=Profile.EXCHANGE_ONLINE,
        from_status=before,
        to_status=after,
        from_reason=None,
        to_reason=None,
        from_phase=None,
        to_phase=DeliveryPhase.DELIVERING,
        code=None,
        since=None,
        bounces_from=None,
    )


def batches(rows: Iterable[OutboxRow], name: str) -> list[FileBatch]:
    """Return ``rows`` as files called after ``name``."""
    groups: dict[tuple[str, str], list[bytes]] = {}
    for row in rows:
        groups.setdefault((row.table, row.partition), []).append(row.data)
    return [
        FileBatch(name=f"{name}-{n}.parquet", table=table, partition=partition, rows=tuple(datas))
        for n, ((table, partition), datas) in enumerate(groups.items())
    ]


def write(directory: Path, rows: Iterable[OutboxRow], name: str) -> list[Path]:
    """Write ``rows`` into files that count as old; return their paths."""
    writer = ParquetBatchWriter(directory, scanner_id="s")
    paths = []
    for batch in batches(rows, name):
        writer.write_batch(batch)
        path = directory / batch.table / batch.partition / batch.name
        os.utime(path, (OLD, OLD))
        paths.append(path)
    writer.close()
    return paths


def check_at(moment: datetime, *, healthy: bool = True) -> Check:
    make = sample.protected if healthy else sample.mismatch
    return history_files.at(make(), moment, probe=f"{moment:%d%H%M}")


def write_days(
    directory: Path, first: datetime, days: int, *, a_day: Sequence[int] = (1, 9, 17)
) -> int:
    """Write a file of each table at each hour of each day; return the checks."""
    made = maker()
    before: str | None = None
    written = 0
    for day in range(days):
        for hour in a_day:
            moment = first + timedelta(days=day, hours=hour)
            healthy = (day + hour) % 2 == 0
            after = "protected" if healthy else "blocked"
            changes = [transition(moment, before, after)] if after != before else []
            rows = made.rows_of(check_at(moment, healthy=healthy), changes, heartbeat=True)
            write(directory, rows, f"m-1-{day:03d}{hour:02d}")
            before = after
            written += 1
    return written
