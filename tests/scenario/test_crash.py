"""The service is killed hundreds of times, and the history tells exactly what happened.

A child lives with the real monitor, store, row maker and file writer in a world whose faults are
known. It is killed with SIGKILL at random moments, and at the moments that matter most: around the
commit of a check, and between the writing, naming and settling of a file. Each time it goes on from
what the last life left. In the end the transitions in the Parquet files are compared with those
that the injected faults make, which are computed here, without any code of the service.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import crash_child
import pytest
from crash_child import (
    COMPACT_PLACES,
    DOMAINS,
    HOSTS,
    HOUR,
    LIVE_PLACES,
    Window,
    windows_of,
)
from history_files import rows_of
from sample_checks import MISMATCH
from scripted_world import START

from exporters.history import FindingKind, last_states, verify
from exporters.schema import CERTIFICATES, DOMAIN_CHECKS, HOST_CHECKS, RUNS, TRANSITIONS
from scanner.model.vocabulary import EntityType, Profile
from scanner.store import SqliteStore

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(600)]  # half a minute on a quiet machine

ROOT = Path(__file__).parents[2]
KILLS = 200
LATE_SECONDS = 2 * HOUR
"""Within this an injected change is seen: the interval, its confirmation, and the time that a
killed check takes to be made again."""
QUEUE_LIFE = 24 * HOUR

Told = tuple[str | None, str, str | None, str]
"""Status and phase before and after."""


def orders(seed: int) -> Iterator[str]:
    """Yield how each life ends: by the clock, or at some place for the n-th time."""
    rng = random.Random(seed)
    for number in range(KILLS):
        place = LIVE_PLACES[number % len(LIVE_PLACES)]
        if place == "time":
            seconds = rng.choice((0.02, 0.05, 0.1, 0.2, 0.3)) * rng.uniform(0.5, 1.5)
            yield f"live time 1 {seconds}"
        else:
            yield f"live {place} {rng.randint(1, 25 if 'commit' in place else 4)} 3.0"
        if place == "after rename":  # a file stands that the service has not settled
            place = COMPACT_PLACES[number // len(LIVE_PLACES) % len(COMPACT_PLACES)]
            yield f"compact {place} {rng.randint(1, 6)} {0.1 if place == 'time' else 5.0}"
    yield "compact never 1 60"
    yield "end never 1 120"


@pytest.fixture(scope="module")
def killed_often(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Live ``KILLS`` lives and one to the end; return what was told and where the history is."""
    directory = tmp_path_factory.mktemp("crash")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
    done = subprocess.run(
        [sys.executable, crash_child.__file__, str(directory)],
        input="".join(f"{order}\n" for order in orders(20_261_124)),
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        timeout=500,
        check=True,
    )
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert ends[-1]["code"] == 0
    return {
        "directory": directory,
        "history": directory / "history",
        "ends": ends,
        "calm_after": ends[-1]["calm_after"],
    }


def injected(windows: Sequence[Window], before: float, *, domain: bool) -> list[tuple[float, Told]]:
    """Return what a perfect observer tells of a host, or of a domain behind it, and from when."""
    fine, broken, deferred = (
        ("protected", "blocked", "deferred")
        if domain
        else (
            "authenticated",
            "failed",
            "unreachable",
        )
    )
    told: list[tuple[float, Told]] = [(0.0, (None, fine, None, "delivering"))]
    for window in windows:
        if window.begins > before:
            break
        bad = broken if window.judged is MISMATCH else deferred
        told.append((window.begins, (fine, bad, "delivering", "deferring")))
        phase = "deferring"
        if domain and window.ends - window.begins > QUEUE_LIFE:
            phase = "bouncing"
            told.append((window.begins + QUEUE_LIFE, (bad, bad, "deferring", phase)))
        told.append((window.ends, (bad, fine, phase, "delivering")))
    return told


def second_of(moment: datetime) -> float:
    """Seconds after the start of the story."""
    return (moment.astimezone(UTC) - START).total_seconds()


def test_it_was_killed_as_often_and_everywhere(killed_often: dict[str, Any]) -> None:
    """Two hundred deaths of the service, at every place; merging died too, and ended well once."""
    ends = killed_often["ends"]
    assert [one["signal"] for one in ends if one["order"] == "live"] == [9] * KILLS
    places = Counter(one["place"] for one in ends if one["order"] == "live")
    assert set(places) == set(LIVE_PLACES)
    assert min(places.values()) >= 5, places
    merging = Counter(one["place"] for one in ends if one["order"] == "compact" and one["signal"])
    assert len(merging) >= 3, merging
    assert {one["code"] for one in ends if not one["signal"]} == {0}


def test_no_transition_is_lost_and_none_is_told_twice(killed_often: dict[str, Any]) -> None:
    """Each host and each domain: every injected change once, in order, when it happened."""
    rows = sorted(rows_of(killed_often["history"], TRANSITIONS), key=lambda row: row["observed_at"])
    assert len({row["event_id"] for row in rows}) == len(rows)
    entities = {host: (windows_of(host), False) for host in HOSTS}
    entities |= {domain: (windows_of(host), True) for domain, host in DOMAINS.items()}
    assert {row["entity"] for row in rows} == set(entities)
    changes = 0
    for entity, (windows, is_domain) in entities.items():
        told = [row for row in rows if row["entity"] == entity]
        expected = injected(windows, killed_often["calm_after"], domain=is_domain)
        assert [
            (row["from_status"], row["to_status"], row["from_phase"], row["to_phase"])
            for row in told
        ] == [one for _, one in expected]
        for row, (second, _) in zip(told, expected, strict=True):
            late = second_of(row["began_at"] or row["observed_at"]) - second
            assert 0 <= late <= LATE_SECONDS, (entity, second, row)
        changes += len(told)
    assert changes > 4 * len(entities)


def test_every_file_is_whole_and_the_history_hangs_together(killed_often: dict[str, Any]) -> None:
    """No file is damaged, no row stands twice, each transition begins where the last one ended."""
    report = verify(killed_often["history"])
    kinds = {finding.kind for finding in report.findings}
    assert kinds <= {FindingKind.LEFTOVER}, report.findings
    names = [path.name for path in killed_often["history"].rglob("*.parquet")]
    assert any(name.startswith("month-") for name in names)
    assert len(names) == report.files > 20


def test_every_certificate_is_kept_once(killed_often: dict[str, Any]) -> None:
    """Each host showed a new one with each fault; what was seen before a crash is known after."""
    seen = [row["subject"] for row in rows_of(killed_often["history"], CERTIFICATES)]
    last = killed_often["calm_after"]
    shown = {host: sum(one.begins <= last for one in windows_of(host)) for host in HOSTS}
    expected = {f"CN={host} {n}" for host, count in shown.items() for n in range(count + 1)}
    assert len(seen) == len(set(seen))
    assert set(seen) == expected


def test_every_check_that_is_kept_has_its_probes(killed_often: dict[str, Any]) -> None:
    """What a row of domain_checks points to is there, and each transition has its check."""
    history = killed_often["history"]
    probes = [row["host_check_id"] for row in rows_of(history, HOST_CHECKS)]
    assert len(probes) == len(set(probes))
    checks = rows_of(history, DOMAIN_CHECKS)
    pointed = {one for row in checks for host in row["hosts"] for one in host["host_check_ids"]}
    assert pointed <= set(probes)
    changed = {(row["domain"], row["observed_at"]) for row in checks if row["changed"]}
    assert changed == {
        (row["entity"], row["observed_at"])
        for row in rows_of(history, TRANSITIONS)
        if row["entity_type"] == EntityType.DOMAIN
    }


def test_the_state_file_agrees_with_the_history(killed_often: dict[str, Any]) -> None:
    """States rebuilt from the Parquet files are those that the service has; nothing is pending."""
    store = SqliteStore(killed_often["directory"] / "state.sqlite")
    stored = store.load()
    assert store.pending_rows() == 0
    store.close()
    rebuilt = last_states(killed_often["history"], Profile.EXCHANGE_ONLINE)
    assert {key: (state.status, state.phase, state.since) for key, state in rebuilt.items()} == {
        key: (state.status, state.phase, state.since) for key, state in stored.states.items()
    }


def test_every_life_that_lasted_is_told_and_one_ended_in_order(
    killed_often: dict[str, Any],
) -> None:
    """A start without a stop is a crash."""
    rows = rows_of(killed_often["history"], RUNS)
    outcomes = Counter(row["outcome"] for row in rows)
    assert outcomes["stopped"] == 1
    assert KILLS // 2 < outcomes["started"] <= KILLS + 1
    assert len({(row["run_id"], row["outcome"]) for row in rows}) == len(rows)
