"""What the state file costs: a commit of 256 checks, and a start with 100,000 domains.

Each domain has a state of its own, one of its zone and a snapshot for the page; five share an MX
host. One check in ten leaves a row for the history.
"""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scanner.model.monitoring import Commit, OutboxRow, ScheduleEntry, Snapshot
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile
from scanner.store import SqliteStore

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

DOMAINS = 100_000
CHECKS = 256
NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def state(kind: EntityType, entity: str, moment: datetime) -> State:
    return State(
        entity_type=kind,
        entity=entity,
        profile=Profile.EXCHANGE_ONLINE,
        status="protected",
        reason=None,
        phase=DeliveryPhase.DELIVERING,
        since=NOW,
        last_seen_at=moment,
        recent_changes=(NOW,),
    )


def commit_of(number: int, moment: datetime) -> Commit:
    domain = f"partner-{number}.example"
    row = OutboxRow(table="domain_checks", partition="month=2026-11", data=b"x" * 2_000)
    return Commit(
        states=(
            state(EntityType.DOMAIN, domain, moment),
            state(EntityType.ZONE, domain, moment),
            state(EntityType.MX, f"mx{number // 5}.example", moment),
        ),
        schedule=(ScheduleEntry(domain=Name(domain), due_at=moment, last_checked_at=moment),),
        snapshots=(Snapshot(entity_type=EntityType.DOMAIN, entity=domain, data=b"x" * 600),),
        rows=(row,) if number % 10 == 0 else (),
    )


def batches(moment: datetime) -> Iterator[list[Commit]]:
    for first in range(0, DOMAINS, CHECKS):
        yield [commit_of(n, moment) for n in range(first, min(first + CHECKS, DOMAINS))]


def test_commits_and_a_start(tmp_path: Path) -> None:
    """Print both; assert only that everything is there."""
    store = SqliteStore(tmp_path / "state.sqlite")
    for hour in range(2):
        wall, cpu = [], time.process_time()
        for commits in batches(NOW + timedelta(hours=hour)):
            began = time.perf_counter()
            store.commit(commits)
            wall.append(time.perf_counter() - began)
        cpu = time.process_time() - cpu
        print(
            f"\n{'first' if hour == 0 else 'later'} commits of {CHECKS} checks: median "
            f"{statistics.median(wall) * 1e3:.0f} ms, longest {max(wall) * 1e3:.0f} ms, "
            f"{cpu / DOMAINS * 1e6:.0f} us of CPU a check (with making them)"
        )
    store.close()
    size = (tmp_path / "state.sqlite").stat().st_size
    wall, cpu = [time.perf_counter()], time.process_time()
    again = SqliteStore(tmp_path / "state.sqlite")
    wall.append(time.perf_counter())
    stored = again.load()
    wall.append(time.perf_counter())
    cpu = time.process_time() - cpu
    print(
        f"start: open and check {wall[1] - wall[0]:.2f} s, load {wall[2] - wall[1]:.2f} s, "
        f"CPU {cpu:.2f} s; {len(stored.states)} states, {size / 1e6:.0f} MB"
    )
    assert len(stored.schedule) == len(stored.snapshots) == DOMAINS
    assert len(stored.states) == 2 * DOMAINS + DOMAINS // 5
    again.close()
