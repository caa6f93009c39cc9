"""How long questions to a year of 10,000 domains take (``pytest -s -m bench``).

The year is made as compaction leaves it: one sorted file a month. Every domain has its daily
heartbeat; 2 % of the domains change on a day, for six hours, with their host.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from exporters.history import arrow
from exporters.history.questions import Questions
from exporters.schema import DOMAIN_CHECKS, TRANSITIONS, Table

DOMAINS = 10_000
HOSTS = 4_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RUNS = 5


def check_columns(day: datetime) -> dict[str, Any]:
    """Return the columns of one day's checks that are not null."""
    ordinal = (day - BEGIN).days
    verdicts = ["blocked" if breaks(number, ordinal) else "protected" for number in range(DOMAINS)]
    hosts = [
        [{"host": host_of(number), "preference": 10, "host_check_ids": [f"{number}-{ordinal}"]}]
        for number in range(DOMAINS)
    ]
    return {
        "domain": [f"d{number:05}.example" for number in range(DOMAINS)],
        "observed_at": [moment_of(number, day) for number in range(DOMAINS)],
        "exchange_online_verdict": verdicts,
        "rfc7672_verdict": verdicts,
        "mx_status": ["secure"] * DOMAINS,
        "changed": [verdict != "protected" for verdict in verdicts],
        "hosts": hosts,
    }


def breaks(number: int, ordinal: int) -> bool:
    """Return whether a domain breaks on a day: 2 % of them."""
    return (number * 7 + ordinal) % 50 == 0


def host_of(number: int) -> str:
    return f"mx{number % 2}.op{number % HOSTS}.example"


def moment_of(number: int, day: datetime) -> datetime:
    return day + timedelta(seconds=number * 8)


def changes_of(day: datetime) -> list[dict[str, Any]]:
    """Return the transitions of one day; each failure is over after six hours."""
    ordinal = (day - BEGIN).days
    changes = []
    for number in range(DOMAINS):
        domain, moment = f"d{number:05}.example", moment_of(number, day)
        if not ordinal:
            changes.append(change_row(domain, "domain", moment, None, "protected"))
        elif breaks(number, ordinal):
            for kind, entity, bad, good in (
                ("domain", domain, "blocked", "protected"),
                ("mx", host_of(number), "failed", "authenticated"),
            ):
                changes.append(change_row(entity, kind, moment, good, bad))
                changes.append(change_row(entity, kind, moment + timedelta(hours=6), bad, good))
    return changes


def change_row(
    entity: str, kind: str, moment: datetime, before: str | None, after: str
) -> dict[str, Any]:
    bad = after in ("blocked", "failed")
    return {
        "run_id": "m-1",
        "scanner_id": "one",
        "schema_version": 1,
        "event_id": f"{moment:%Y%m%d%H%M%S}-{kind}-{entity}",
        "observed_at": moment,
        "entity_type": kind,
        "entity": entity,
        "profile": "exchange-online",
        "from_status": before,
        "to_status": after,
        "to_reason": "tlsa-mismatch" if bad else None,
        "to_phase": "deferring" if bad else "delivering",
        "failing_since": moment if bad else None,
        "bounces_from": moment + DAY if bad else None,
    }


def write(directory: Path, table: Table, partition: str, data: pa.Table) -> None:
    """Write one file as compaction does: sorted, zstd."""
    target = directory / table.name / partition
    target.mkdir(parents=True)
    data = data.sort_by([(key, "ascending") for key in table.sort_by])
    path = target / "month.parquet"
    pyarrow.parquet.write_table(data, path, compression="zstd", row_group_size=131_072)


def table_of(table: Table, columns: dict[str, Any], rows: int) -> pa.Table:
    """Return ``columns`` with every other column of the schema as null."""
    schema = arrow.arrow_schema(table)
    return pa.Table.from_arrays(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in schema
        ],
        schema=schema,
    )


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("year")
    changes: list[dict[str, Any]] = []
    day = BEGIN
    while day < END:
        month, days = day.month, []
        while day < END and day.month == month:
            days.append(table_of(DOMAIN_CHECKS, check_columns(day), DOMAINS))
            changes += changes_of(day)
            day += DAY
        write(directory, DOMAIN_CHECKS, f"month=2026-{month:02}", pa.concat_tables(days))
    columns = {name: [row[name] for row in changes] for name in changes[0]}
    write(directory, TRANSITIONS, "year=2026", table_of(TRANSITIONS, columns, len(changes)))
    size = sum(path.stat().st_size for path in directory.rglob("*.parquet")) / 1e6
    print(f"\n{DOMAINS:,} domains, a year: {size:.0f} MB, {len(changes):,} transitions")
    return directory


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_questions_to_a_year_of_ten_thousand_domains(year: Path) -> None:
    """Each answers in well under a second, opened afresh each time."""
    middle = BEGIN + 200 * DAY
    asked: dict[str, Callable[[Questions], pa.Table]] = {
        "transitions of a week": lambda q: q.transitions(since=middle, until=middle + 7 * DAY),
        "transitions of a host": lambda q: q.transitions(entity="mx0.op42.example"),
        "timeline of a domain": lambda q: q.timeline("d00042.example", until=END),
        "failing at a time": lambda q: q.failing(at=middle),
        "operators": lambda q: q.operators(at=END),
        "changes by month (sql)": lambda q: q.sql(
            "SELECT date_trunc('month', observed_at) AS month, count(*) AS n "
            "FROM transitions GROUP BY 1 ORDER BY 1"
        ),
    }
    for name, ask in asked.items():
        walls, processor = [], []
        for _ in range(RUNS):
            began, used = time.perf_counter(), time.process_time()
            answer = ask(Questions(year))
            walls.append(time.perf_counter() - began)
            processor.append(time.process_time() - used)
        wall, cpu = statistics.median(walls) * 1_000, statistics.median(processor) * 1_000
        print(f"{name:<26} {wall:7.0f} ms  {cpu:7.0f} ms CPU  {answer.num_rows:>7,} rows")
        assert answer.num_rows
