"""A thousand domains with mixed faults through the command line, in separate processes.

The lab runs in a process of its own; ``danewatch scan`` is started as a user starts it. One pass
runs through; another is interrupted in the middle and resumed; both must say the same.
"""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lab_process import ScannedLab, lab_process

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(600)]

DOMAINS = 1_000
INTERRUPT_AFTER = 300
# Domains in flight hold sockets, TLS states and evidence, and mail hosts are remembered for the
# pass; four times the domains must cost far less than four times the memory. Measured: 1.2.
GROWTH = 1.6


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannedLab]:
    """A generated lab in its own process, stopped at the end and by itself after ten minutes."""
    with lab_process("--domains", str(DOMAINS), "--seed", "7", seconds=600) as facts:
        lab = ScannedLab(facts, tmp_path_factory.mktemp("thousand"))
        lab.write_targets("quarter.txt", lab.names[: DOMAINS // 4])
        yield lab


@dataclass(frozen=True)
class WholePass:
    documents: dict[str, dict[str, Any]]
    history: Path
    peak_mib: float


def run_through(command: list[str], output: Path) -> tuple[list[dict[str, Any]], float]:
    """Return the documents of a pass and the peak memory of its process in MiB."""
    with output.open("w") as stream:
        scan = subprocess.Popen(command, stdout=stream, stderr=subprocess.DEVNULL)
    # wait4, because getrusage knows only the largest of all children there ever were.
    _, status, usage = os.wait4(scan.pid, 0)
    scan.returncode = os.waitstatus_to_exitcode(status)
    assert scan.returncode == 0
    documents = [json.loads(line) for line in output.read_text().splitlines()]
    return documents, usage.ru_maxrss / 1024


@pytest.fixture(scope="module")
def whole(lab: ScannedLab) -> WholePass:
    """One pass that runs through."""
    history = lab.directory / "whole"
    documents, peak = run_through(lab.scan(history), lab.directory / "whole.jsonl")
    assert len(documents) == DOMAINS
    return WholePass({doc["domain"]: doc for doc in documents}, history, peak)


def verdicts(document: dict[str, Any]) -> tuple[str, str]:
    both = document["verdicts"]
    return both["rfc7672"]["verdict"], both["exchange-online"]["verdict"]


def rows(history: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((history / table).rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_every_domain_gets_its_verdict(lab: ScannedLab, whole: WholePass) -> None:
    """All thousand, under both profiles."""
    got = {domain: verdicts(document) for domain, document in whole.documents.items()}
    assert got == lab.expected


def test_memory_grows_far_less_than_the_list(lab: ScannedLab, whole: WholePass) -> None:
    """Peak memory of the scanning process, a quarter of the list against all of it."""
    documents, peak = run_through(
        lab.scan(lab.directory / "quarter", targets="quarter.txt"), lab.directory / "quarter.jsonl"
    )
    assert len(documents) == DOMAINS // 4
    assert whole.peak_mib / peak < GROWTH


def test_each_address_of_a_host_has_one_row_however_many_domains_use_it(
    whole: WholePass,
) -> None:
    """One probe is one row of ``host_checks``; domains refer to it."""
    probes = rows(whole.history, "host_checks")
    checks = rows(whole.history, "domain_checks")
    ids = Counter(probe["host_check_id"] for probe in probes)
    assert max(ids.values()) == 1
    used = {
        probe_id
        for check in checks
        for host in check["hosts"] or ()
        for probe_id in host["host_check_ids"]
    }
    assert used == set(ids)
    assert len(used) < DOMAINS


def test_an_interrupted_and_resumed_pass_says_the_same(lab: ScannedLab, whole: WholePass) -> None:
    """SIGINT in the middle, then ``--resume``: each domain once, each first sight once."""
    history = lab.directory / "resumed"
    first = subprocess.Popen(
        lab.scan(history), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert first.stdout is not None
    for _ in range(INTERRUPT_AFTER):
        assert first.stdout.readline()
    first.send_signal(signal.SIGINT)
    first.stdout.read()
    first.stdout.close()
    assert first.wait(timeout=60) == 130
    kept = len(rows(history, "domain_checks"))
    assert INTERRUPT_AFTER <= kept < DOMAINS
    second = subprocess.run(
        lab.scan(history, "--resume"), capture_output=True, text=True, check=True
    )
    assert len(second.stdout.splitlines()) == DOMAINS - kept
    checks = rows(history, "domain_checks")
    assert len({check["run_id"] for check in checks}) == 1
    assert Counter(check["domain"] for check in checks) == Counter(lab.expected.keys())
    got = {
        check["domain"]: (check["rfc7672_verdict"], check["exchange_online_verdict"])
        for check in checks
    }
    assert got == {domain: verdicts(doc) for domain, doc in whole.documents.items()}
    sights = Counter(
        (row["entity_type"], row["entity"], row["profile"]) for row in rows(history, "transitions")
    )
    assert max(sights.values()) == 1
    assert {key[1] for key in sights if key[0] == "domain"} == set(lab.expected)
