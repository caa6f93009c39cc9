"""One pass on a Dask cluster: a scheduler and two workers as real processes, under mutual TLS.

The lab runs in the test's own process, so that what its servers saw is counted there; the command,
the scheduler and the workers are processes as an operator starts them.
"""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import history_files
import pytest
from dask_cluster import DaskCluster, make_credentials, running_cluster
from lab_thread import ThreadedLab, lab_in_thread

from exporters.history import verify
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TABLES,
    TRANSITIONS,
    ZONE_CHECKS,
    Table,
)
from scanner.lab.catalogue import scenario_plan
from scanner.lab.generate import generate
from scanner.lab.lab import Lab
from scanner.lab.plan import LabPlan
from scanner.lab.responder import ResolverMode

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

CONFIGURATION = """
[resolver]
try_timeout_seconds = 2.0
total_timeout_seconds = 6.0
[smtp]
connect_timeout_seconds = 2.0
greeting_timeout_seconds = 2.0
reply_timeout_seconds = 2.0
handshake_timeout_seconds = 2.0
total_timeout_seconds = 6.0
[dask]
shard_domains = 15
group_probes = 8
"""
IMPATIENT = "[limits]\nblind_patience_seconds = 1.0\n"
"""For a pass that is to end as blind."""
PATIENCE_SECONDS = 120
VARYING = {"observed_at", "run_id", "scanner_id", "event_id", "host_check_id", "host_check_ids"}
"""Times and identifiers: never the same in two passes. Durations end in ``_ms``."""
VARYING |= {"since", "failing_since", "began_at", "bounces_from", "first_seen_at", "duration_ms"}


@dataclass(frozen=True)
class World:
    """A lab, and how the command is pointed at it."""

    lab: ThreadedLab
    directory: Path
    options: list[str] = field(default_factory=list)

    def scan(
        self, output: Path, *more: str, resolver: bool = True, config: str = "danewatch.toml"
    ) -> list[str]:
        """Return the command line of a pass into ``output``."""
        return [
            *(sys.executable, "-m", "scanner", "scan", str(self.directory / "targets.txt")),
            *("--output", str(output), "--allow-private-addresses"),
            *("--config", str(self.directory / config)),
            *("--trust-anchor", str(self.directory / "anchor.ds")),
            *("--smtp-port", str(self.lab.ask(lambda lab: lab.smtp_port))),
            *(("--resolver", self.resolver) if resolver else ()),
            *more,
        ]

    @property
    def resolver(self) -> str:
        """The address and port of the lab's resolver."""
        address, port = self.lab.ask(lambda lab: lab.resolver)
        return f"{address}:{port}"

    def connections(self) -> dict[str, int]:
        """Return how many connections each address has had, and forget them."""
        return self.lab.ask(_take_connections)


def _take_connections(lab: Lab) -> dict[str, int]:
    seen = {
        address: log.connections
        for address, log in lab.mail_log.addresses.items()
        if log.connections
    }
    lab.mail_log.clear()
    return seen


def most_at_once(lab: Lab) -> int:
    """Return the most connections that any address had open at a time."""
    return max(log.max_concurrent for log in lab.mail_log.addresses.values())


RACES = frozenset({"case86-reset.test", "case91-greeting-drip.test"})
"""A reset that comes with the connection or just after, and how many octets drip in two seconds:
two passes of any kind differ there."""


def world_of(
    lab: ThreadedLab, plan: LabPlan, directory: Path, *, leave_out: frozenset[str] = frozenset()
) -> World:
    """Write the files of the command."""
    directory.mkdir()
    names = [domain.name for domain in plan.domains if domain.name not in leave_out]
    (directory / "targets.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    anchor = lab.ask(lambda running: running.trust_anchor)
    (directory / "anchor.ds").write_text(anchor, encoding="utf-8")
    (directory / "danewatch.toml").write_text(CONFIGURATION, encoding="utf-8")
    (directory / "impatient.toml").write_text(CONFIGURATION + IMPATIENT, encoding="utf-8")
    return World(lab, directory)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Sixty generated domains, with faults that make nobody wait."""
    plan = generate(datetime.now(UTC).replace(microsecond=0), 60, seed=7)
    with lab_in_thread(plan) as lab:
        yield world_of(lab, plan, tmp_path_factory.mktemp("lab") / "generated")


@pytest.fixture(scope="module")
def cluster(generated: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers, whose own resolver is the lab's."""
    with running_cluster(tmp_path_factory.mktemp("dask")) as running:
        for _ in range(2):
            running.add_worker({"DANEWATCH_RESOLVER": generated.resolver})
        yield running


def on(cluster: DaskCluster) -> list[str]:
    """Return the options that lead to ``cluster``."""
    files = cluster.credentials
    return [
        *("--engine", "dask", "--scheduler", cluster.address, "--tls-ca", str(files.ca)),
        *("--tls-cert", str(files.certificate), "--tls-key", str(files.key)),
    ]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def run_until(
    command: list[str], line: str, then: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str]:
    """Run a command, and do something when ``line`` is in its progress."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said: list[str] = []
    done = False
    try:
        for text in process.stdout:
            said.append(text)
            if line in text and not done:
                done = True
                then(process)
        assert done, "".join(said)
        return process.wait(timeout=PATIENCE_SECONDS), "".join(said)
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()


NOW = re.compile(r"now \d{4}-\d\d-\d\dT[0-9:.]+Z|\d+ ms\b")
WHICHEVER = {"host_check_id", "domain"}
"""In the evidence of a transition: of those that share a server, the one that was checked first."""


def content(history: Path, table: Table) -> Counter[str]:
    """Return the rows of a table without what differs between any two passes."""
    return Counter(
        NOW.sub("", json.dumps(_steady(row), sort_keys=True, default=str))
        for row in history_files.rows_of(history, table)
    )


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _steady(one)
            for key, one in value.items()
            if key not in VARYING and not key.endswith("_ms")
        }
    if isinstance(value, list):
        return [_steady(one) for one in value if not _is_whichever(one)]
    return value


def _is_whichever(value: Any) -> bool:
    return isinstance(value, dict) and value.get("key") in WHICHEVER


def assert_same(one: Path, other: Path) -> None:
    """See that two histories say the same, table by table."""
    for table in (DOMAIN_CHECKS, HOST_CHECKS, ZONE_CHECKS, CERTIFICATES, TRANSITIONS):
        left, right = content(one, table), content(other, table)
        assert left, table.name
        assert left - right == Counter(), table.name
        assert right - left == Counter(), table.name


def assert_sound(history: Path) -> None:
    """See that ``danewatch history verify`` has nothing to say, and that nothing is left behind."""
    assert verify(history).findings == []
    assert list((history / ".passes").glob("*")) == []


def counts(history: Path) -> Counter[str]:
    """Return how often each domain stands in the history."""
    return Counter(row["domain"] for row in history_files.rows_of(history, DOMAIN_CHECKS))


@pytest.fixture(scope="module")
def alone(generated: World) -> tuple[Path, dict[str, int]]:
    """The pass of one process, and the connections it made to each address."""
    history = generated.directory / "alone"
    generated.connections()
    done = run(generated.scan(history))
    assert done.returncode == 0, done.stderr
    return history, generated.connections()


@pytest.fixture(scope="module")
def together(
    generated: World, cluster: DaskCluster, alone: tuple[Path, dict[str, int]]
) -> tuple[Path, dict[str, int], int]:
    """The pass of two workers, their connections, and the most to one address at a time."""
    history = generated.directory / "together"
    done = run(generated.scan(history, "--pass-id", "nightly", *on(cluster)))
    assert done.returncode == 0, done.stderr
    most = generated.lab.ask(most_at_once)
    return history, generated.connections(), most


def test_a_cluster_writes_what_a_single_process_writes(
    alone: tuple[Path, dict[str, int]], together: tuple[Path, dict[str, int], int]
) -> None:
    """Row by row, without times, identifiers and durations; one row of ``runs`` vouches for all."""
    assert_same(alone[0], together[0])
    assert_sound(together[0])
    (ours,) = history_files.rows_of(alone[0], RUNS)
    (theirs,) = history_files.rows_of(together[0], RUNS)
    counted = ("outcome", "targets", "domains_checked", "host_checks", "certificates_new")
    for column in (*counted, "transitions", "zone_checks", "rfc7672_verdicts"):
        assert theirs[column] == ours[column], column
    assert theirs["run_id"] == "nightly"


def test_no_server_sees_more_of_a_cluster_than_of_one_machine(
    alone: tuple[Path, dict[str, int]], together: tuple[Path, dict[str, int], int]
) -> None:
    """Counted at the servers: as many connections to each address, and one at a time."""
    assert together[1] == alone[1]
    assert together[2] == 1


def test_the_same_pass_again_publishes_nothing(
    generated: World, cluster: DaskCluster, together: tuple[Path, dict[str, int], int]
) -> None:
    """A job that is begun twice under one name does nothing, and contacts nobody."""
    before = {path: path.read_bytes() for path in together[0].rglob("*.parquet")}
    done = run(generated.scan(together[0], "--pass-id", "nightly", *on(cluster)))
    assert done.returncode == 0
    assert "complete already" in done.stderr
    assert {path: path.read_bytes() for path in together[0].rglob("*.parquet")} == before
    assert generated.connections() == {}


def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    generated: World, cluster: DaskCluster, alone: tuple[Path, dict[str, int]]
) -> None:
    """SIGKILL while it probes; the other goes on, and a third joins."""
    history = generated.directory / "killed"

    def kill(_process: subprocess.Popen[str]) -> None:
        victim = cluster.workers[1]
        victim.kill()
        victim.wait()
        cluster.add_worker({"DANEWATCH_RESOLVER": generated.resolver})

    code, said = run_until(generated.scan(history, *on(cluster)), "mail servers:", kill)
    assert code == 0, said
    assert_same(alone[0], history)
    assert_sound(history)
    assert generated.lab.ask(most_at_once) == 1
    again = Counter(generated.connections()) - Counter(alone[1])
    assert again.total() <= 2 * 2 * 8, "more than one group of probes was made again"


def test_ctrl_c_keeps_what_is_published_and_a_resumed_pass_goes_on(
    generated: World, cluster: DaskCluster, alone: tuple[Path, dict[str, int]]
) -> None:
    """130, tasks are cancelled, and the second command ends with every domain once."""
    history = generated.directory / "resumed"
    code, said = run_until(
        generated.scan(history, *on(cluster)),
        "published:",
        lambda process: process.send_signal(signal.SIGINT),
    )
    assert code == 130, said
    kept = counts(history)
    done = run(generated.scan(history, "--resume", *on(cluster)))
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} checked" in done.stderr
    assert counts(history) == counts(alone[0])
    assert len({row["run_id"] for row in history_files.rows_of(history, DOMAIN_CHECKS)}) == 1
    assert_sound(history)


def test_a_client_without_the_right_certificate_is_refused(
    generated: World, cluster: DaskCluster, tmp_path: Path
) -> None:
    """By the scheduler, whatever CA signed it; and without TLS we do not even try."""
    stranger = make_credentials(tmp_path, "stranger")
    history = tmp_path / "h"
    mixed = [
        *("--engine", "dask", "--scheduler", cluster.address),
        *("--tls-ca", str(cluster.credentials.ca)),
        *("--tls-cert", str(stranger.certificate), "--tls-key", str(stranger.key)),
    ]
    done = run(generated.scan(history, *mixed))
    assert done.returncode == 2
    assert "no connection to the scheduler" in done.stderr
    plain = cluster.address.replace("tls://", "tcp://")
    done = run(generated.scan(history, "--engine", "dask", "--scheduler", plain))
    assert done.returncode == 2
    assert "--plaintext-scheduler" in done.stderr
    assert not list(history.rglob("*.parquet"))


def test_a_second_pass_beside_a_blind_worker_finds_nothing_changed(
    generated: World, cluster: DaskCluster, together: tuple[Path, dict[str, int], int]
) -> None:
    """Its own resolver is nobody: it gets nothing to do, and nothing is held against anybody.

    States of the first pass are known to the second: no transition, no certificate twice.
    """
    history = together[0]
    before = {table: content(history, table) for table in (TRANSITIONS, CERTIFICATES)}
    probes = content(history, HOST_CHECKS)
    blind = cluster.add_worker({"DANEWATCH_RESOLVER": "127.0.0.1:9"})
    try:
        cluster.wait_for_workers(3)
        done = run(generated.scan(history, *on(cluster), resolver=False))
    finally:
        blind.terminate()
        blind.wait(timeout=30)
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert_sound(history)
    assert {table: content(history, table) for table in before} == before
    assert content(history, HOST_CHECKS) == probes + probes
    assert set(counts(history).values()) == {2}
    generated.connections()


def test_where_all_workers_become_blind_nothing_is_published(
    generated: World, cluster: DaskCluster
) -> None:
    """Their resolver strips signatures from then on: exit code 3, and no row of a check."""
    history = generated.directory / "blind"

    def strip(_process: subprocess.Popen[str]) -> None:
        generated.lab.ask(lambda lab: lab.set_resolver_mode(ResolverMode.STRIPPING))

    try:
        command = generated.scan(history, *on(cluster), config="impatient.toml")
        code, said = run_until(command, "2 workers at", strip)
    finally:
        generated.lab.ask(lambda lab: lab.set_resolver_mode(ResolverMode.VALIDATING))
    assert code == 3, said
    assert history_files.rows_of(history, DOMAIN_CHECKS) == []
    (row,) = history_files.rows_of(history, RUNS)
    assert row["outcome"] == "blind"
    assert {table.name for table in TABLES if list((history / table.name).rglob("*"))} == {"runs"}


def test_every_scenario_of_the_lab_gets_the_same_rows_on_a_cluster(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    """All named faults but those of silent name servers and peers: how many time-outs come at a
    time, and so whether they are held against ourselves, differs from pass to pass."""
    plan = scenario_plan(datetime.now(UTC).replace(microsecond=0))
    slow = {domain.name for domain in plan.domains if domain.slow}
    with lab_in_thread(plan) as lab:
        world = world_of(lab, plan, tmp_path / "scenarios", leave_out=RACES | slow)
        one, two = tmp_path / "one", tmp_path / "two"
        assert run(world.scan(one)).returncode == 0
        lab.ask(lambda running: running.mail_log.clear())
        assert run(world.scan(two, *on(cluster))).returncode == 0
    assert_same(one, two)
    assert_sound(two)


def test_a_scheduler_that_goes_away_ends_the_pass_and_another_goes_on(
    generated: World, cluster: DaskCluster, alone: tuple[Path, dict[str, int]]
) -> None:
    """2 with a sentence; what was published stays, and one process ends what a cluster began."""
    history = generated.directory / "orphaned"
    code, said = run_until(
        generated.scan(history, *on(cluster)), "published:", lambda _: cluster.kill_scheduler()
    )
    assert code == 2, said
    assert "The pass was stopped" in said
    assert "scheduler is gone" in said, said
    assert "Traceback" not in said
    done = run(generated.scan(history, "--resume"))
    assert done.returncode == 0, done.stderr
    assert counts(history) == counts(alone[0])
    for table in (DOMAIN_CHECKS, TRANSITIONS):  # servers that domains of both parts use: twice
        assert content(alone[0], table) == content(history, table), table.name
