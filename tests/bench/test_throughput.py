"""How many domains a second, at what cost: one pass over a generated lab, without faults.

Everything is on loopback, so the figures are ceilings of the scanner's own work and no forecast: a
real pass waits for its peers. The lab runs in a process of its own and takes a core too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab in its own process: what it serves, and the list of its domains."""

    facts: dict[str, Any]
    targets: Path


@pytest.fixture(params=[1_000, 5_000])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A lab of that many healthy domains, which ends with this process at the latest."""
    command = [sys.executable, "-m", "scanner.lab", "--domains", str(request.param)]
    process = subprocess.Popen(
        [*command, "--fault-share", "0", "--seconds", "900", "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        facts = json.loads(process.stdout.readline())
        targets = tmp_path / "targets.txt"
        targets.write_text("".join(f"{item['domain']}\n" for item in facts["domains"]))
        yield Lab(facts, targets)
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def test_throughput_of_a_pass(lab: Lab, tmp_path: Path) -> None:
    """Prints domains a second, processor time a domain, and peak memory; asserts only that the
    pass is complete."""
    history = tmp_path / "history"
    command = [sys.executable, "-m", "scanner", "scan", str(lab.targets), "--output", str(history)]
    command += ["--resolver", lab.facts["resolver"], "--smtp-port", str(lab.facts["smtp_port"])]
    command += ["--validation", "resolver", "--allow-private-addresses", "--no-color"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    count = len(lab.facts["domains"])
    processor = usage.ru_utime + usage.ru_stime
    print(
        f"\n{count} domains in {seconds:.1f} s: {count / seconds:.0f} domains/s, "
        f"{1000 * processor / count:.1f} ms of processor time each, "
        f"peak memory {usage.ru_maxrss / 1024:.0f} MiB"
    )
    assert process.returncode == 0
    assert list((history / "domain_checks").rglob("*.parquet"))
