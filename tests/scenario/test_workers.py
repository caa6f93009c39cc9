"""Worker processes, real ones: the same results, nothing lost, nothing left behind.

A laboratory in a process of its own, with mixed faults; ``danewatch scan`` as a user starts it.
What a pool does about workers that end has tests of its own (``tests/net/test_workers_pool.py``).
"""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import trio
from lab_process import ScannedLab, lab_process
from process_tree import children_of, is_alive, wait_for

from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.lab import Lab, open_lab
from scanner.model.names import Name
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict
from scanner.observe.dnsserver import ServerAddress
from scanner.run.workers import WorkerLimits

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

DOMAINS = 120
GONE_SECONDS = 10.0
"""Within this no process of a dead parent is left; three seconds are the workers' own bound."""
OF_THE_RUN = frozenset(
    {
        *("run_id", "observed_at", "started_at", "ended_at", "duration_ms", "event_id", "since"),
        *("host_check_id", "first_seen_at", "first_observed_at", "last_observed_at"),
        *("connect_ms", "greeting_ms", "ehlo_ms", "starttls_ms", "handshake_ms", "total_ms"),
        *("timings", "configuration_sha256", "host_check_ids", "failing_since", "bounces_from"),
    }
)
"""Columns that differ between any two passes: times, and numbers made up on the spot."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannedLab]:
    """A generated lab in its own process, stopped at the end and by itself."""
    with lab_process("--domains", str(DOMAINS), "--seed", "11", seconds=300) as facts:
        yield ScannedLab(facts, tmp_path_factory.mktemp("workers"))


@contextmanager
def running(command: list[str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a pass in a process group of its own, and leave none of it behind."""
    with log.open("w") as errors:
        scan = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0
        )
    assert scan.stdout is not None
    try:
        yield scan
    finally:
        if scan.poll() is None:
            os.killpg(scan.pid, signal.SIGKILL)
        scan.wait(timeout=30)
        scan.stdout.close()


def workers_of(scan: "subprocess.Popen[str]", count: int = 2) -> list[int]:
    """Return the workers of a pass once all are there."""

    def all_of_them() -> list[int]:
        found = children_of(scan.pid)
        return found if len(found) == count else []

    return list(wait_for(all_of_them, 30))


def verdicts(document: dict[str, Any]) -> tuple[str, str]:
    both = document["verdicts"]
    return both["rfc7672"]["verdict"], both["exchange-online"]["verdict"]


def rows(history: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((history / table).rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def by_chance(value: Any) -> bool:
    """Return whether this is evidence that names who happened to see it first, or a probe."""
    return isinstance(value, dict) and value.get("key") in ("domain", "host_check_id")


def content(history: Path, table: str) -> Counter[str]:
    """Return the rows of a table without what differs between any two passes."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items() if name not in OF_THE_RUN}
        if isinstance(value, list):
            return sorted((plain(one) for one in value if not by_chance(one)), key=repr)
        return re.sub(r"now [0-9TZ:-]+", "now", value) if isinstance(value, str) else value

    return Counter(
        json.dumps(plain(row), sort_keys=True, default=repr) for row in rows(history, table)
    )


@pytest.fixture(scope="module")
def by_two(lab: ScannedLab) -> Path:
    """A pass that two workers made."""
    history = lab.directory / "two"
    subprocess.run(
        lab.scan(history, "--workers", "2"),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=200,
    )
    return history


def test_two_workers_say_what_one_process_says(lab: ScannedLab, by_two: Path) -> None:
    """The same rows in every table, but for times and numbers made up on the spot."""
    alone = lab.directory / "one"
    subprocess.run(lab.scan(alone), stdout=subprocess.DEVNULL, check=True, timeout=200)
    for table in ("domain_checks", "host_checks", "zone_checks", "certificates", "transitions"):
        assert content(by_two, table) == content(alone, table), table


def test_every_address_is_probed_once_for_all_workers(by_two: Path) -> None:
    """Whoever asks, and in whichever process, the answer is shared."""
    probes = rows(by_two, "host_checks")
    assert len(probes) > DOMAINS / 4
    doubled = Counter((row["host"], row["address"]) for row in probes)
    assert set(doubled.values()) == {1}


def test_a_worker_killed_in_the_middle_costs_nothing(lab: ScannedLab, tmp_path: Path) -> None:
    """Every domain is told once, with its verdict; another worker takes the place."""
    history = tmp_path / "history"
    command = lab.scan(history, "--workers", "2")
    with running(command, tmp_path / "log") as scan:
        assert scan.stdout is not None
        lines = [scan.stdout.readline()]
        victim = workers_of(scan)[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: set(children_of(scan.pid)) - {victim}, 30)
        lines += scan.stdout.readlines()
        assert scan.wait(timeout=60) == 0
    documents = [json.loads(line) for line in lines]
    assert Counter(one["domain"] for one in documents) == Counter(lab.expected.keys())
    assert {one["domain"]: verdicts(one) for one in documents} == lab.expected
    assert Counter(row["domain"] for row in rows(history, "domain_checks")) == Counter(
        lab.expected.keys()
    )
    seen = Counter(
        (row["entity_type"], row["entity"], row["profile"]) for row in rows(history, "transitions")
    )
    assert set(seen.values()) == {1}
    assert "SIGKILL" in (tmp_path / "log").read_text()


def test_no_worker_outlives_its_parent(lab: ScannedLab, tmp_path: Path) -> None:
    """Whatever ends the parent: nobody is there to end them."""
    with running(lab.scan(tmp_path / "history", "--workers", "2"), tmp_path / "log") as scan:
        workers = workers_of(scan)
        os.kill(scan.pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, workers)), GONE_SECONDS)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_ctrl_c_ends_a_pass_in_order(lab: ScannedLab, tmp_path: Path) -> None:
    """The terminal tells the whole group; the workers leave it to the parent, who keeps all."""
    history = tmp_path / "history"
    with running(lab.scan(history, "--workers", "2"), tmp_path / "log") as scan:
        assert scan.stdout is not None
        lines = [scan.stdout.readline()]
        workers = workers_of(scan)
        os.killpg(scan.pid, signal.SIGINT)
        lines += scan.stdout.readlines()
        assert scan.wait(timeout=60) == 130
        assert not any(map(is_alive, workers))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "worker process" not in log
    kept = {json.loads(line)["domain"] for line in lines}
    assert kept == {row["domain"] for row in rows(history, "domain_checks")}
    assert kept < set(lab.expected)


def settings_for(lab: Lab, limits: WorkerLimits) -> Settings:
    host, port = lab.resolver
    return Settings(
        resolvers=(ServerAddress(host, port),),
        anchors=read_anchors(lab.trust_anchor),
        smtp_port=lab.smtp_port,
        allow_private_addresses=True,
        workers=2,
        worker_limits=limits,
    )


async def test_a_worker_that_is_stopped_is_replaced() -> None:
    """It answers no pings; what it had begun is begun again, and it is not left behind."""
    limits = WorkerLimits(start_seconds=15.0, ping_seconds=0.2, missed_pings=10, close_seconds=0.5)
    checks: list[Check] = []
    async with open_lab(demo_plan(datetime.now(UTC).replace(microsecond=0))) as lab:
        others = set(children_of(os.getpid()))
        async with open_scanner(settings_for(lab, limits)) as scanner:
            victim = min(set(children_of(os.getpid())) - others)
            os.kill(victim, signal.SIGSTOP)

            async def check(domain: str) -> None:
                checks.append(await scanner.check(Name(domain)))

            async with trio.open_nursery() as nursery:
                for domain in ("bank.test", "city.test", "clinic.test", "bakery.test"):
                    nursery.start_soon(check, domain)
            await trio.to_thread.run_sync(wait_for, lambda: not is_alive(victim), 60)
        assert set(children_of(os.getpid())) == others
    assert len(checks) == 4
    assert DomainVerdict.INCONCLUSIVE not in {
        verdict.verdict for check in checks for verdict in check.judgement.verdicts
    }
