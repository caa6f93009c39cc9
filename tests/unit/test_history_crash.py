"""Whatever the moment at which the process dies: no transition lost, none written twice."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import history_files
import pytest
import sample_checks
from history_files import HOUR, NOW, Disk, Killed, rows_of

from exporters.history import (
    HistoryLimits,
    ParquetHistory,
    RunOutcome,
    domains_done,
    files,
    last_states,
    unfinished_run,
)
from exporters.schema import CERTIFICATES, DOMAIN_CHECKS, HOST_CHECKS, TRANSITIONS
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile
from scanner.transition.fold import fold_check

EXO = Profile.EXCHANGE_ONLINE
DOMAINS = ("a.example", "b.example", "c.example")


def check_of(domain: str, moment: datetime, *, healthy: bool) -> Check:
    """Return a check; all domains share one MX host and, within a pass, its probes."""
    make = sample_checks.protected if healthy else sample_checks.mismatch
    return history_files.at(make(), moment, domain=domain, probe=f"p{moment:%H%M}")


def make_pass(
    directory: Path, run_id: str, moment: datetime, *, healthy: bool, rows: int, apart: bool
) -> None:
    """Check the domains that ``run_id`` has not done, as ``scan`` does; end as completed.

    ``apart`` hands over each check before its transitions, in separate calls.
    """
    sink = ParquetHistory(
        directory, run_id=run_id, scanner_id="s", limits=HistoryLimits(flush_rows=rows)
    )
    try:
        states = last_states(directory, EXO)
        done = domains_done(directory, run_id)
        for domain in DOMAINS:
            if domain in done:
                continue
            check = check_of(domain, moment, healthy=healthy)
            moved, transitions = fold_check(
                states, check, profile=EXO, queue_life=timedelta(hours=24), run_id=run_id
            )
            states.update(moved)
            if apart:
                sink.write([check])
                sink.write_transitions(transitions)
            else:
                sink.record(check, transitions)
        sink.finish(RunOutcome.COMPLETED, ended_at=moment + HOUR)
        sink.close()
    except Killed:
        sink._lock.close()  # the kernel does this for a dead process
        raise


def pass_dying_at(
    directory: Path, operation: int, monkeypatch: pytest.MonkeyPatch, *, rows: int, apart: bool
) -> bool:
    """Make the second pass and die at the given disk operation; return whether it died."""
    with monkeypatch.context() as patched:
        patched.setattr(files, "os", Disk(dies_at=operation))
        try:
            make_pass(directory, "run-2", NOW + HOUR, healthy=False, rows=rows, apart=apart)
        except Killed:
            return True
        return False


def assert_history_is_whole(directory: Path) -> None:
    """Each entity: once from nothing to health, once from health to failure."""
    transitions = rows_of(directory, TRANSITIONS)
    told = sorted(
        (row["entity"], row["from_status"] or "", row["to_status"]) for row in transitions
    )
    hosts = [
        ("mx1.example.org", "", "authenticated"),
        ("mx1.example.org", "authenticated", "failed"),
        ("mx2.example.org", "", "authenticated"),
    ]
    domains = [
        one
        for domain in DOMAINS
        for one in ((domain, "", "protected"), (domain, "protected", "blocked"))
    ]
    assert told == sorted(hosts + domains)
    assert len({row["event_id"] for row in transitions}) == len(transitions)
    checks = sorted((row["run_id"], row["domain"]) for row in rows_of(directory, DOMAIN_CHECKS))
    assert checks == sorted((run, name) for run in ("run-1", "run-2") for name in DOMAINS)
    certificates = [row["sha256"] for row in rows_of(directory, CERTIFICATES)]
    assert len(set(certificates)) == len(certificates)
    probes = {row["host_check_id"] for row in rows_of(directory, HOST_CHECKS)}
    for row in rows_of(directory, DOMAIN_CHECKS):
        for host in row["hosts"]:
            assert set(host["host_check_ids"]) <= probes
    assert unfinished_run(directory) is None
    assert [path.name for path in directory.rglob("*.tmp")] == []


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    """Return a history of one pass in which all was well."""
    directory = tmp_path / "healthy"
    make_pass(directory, "run-1", NOW, healthy=True, rows=1_000, apart=False)
    return directory


@pytest.mark.parametrize(("rows", "apart"), [(8, False), (8, True), (1_000, False)])
def test_a_pass_may_die_at_any_disk_operation_and_be_resumed(
    healthy: Path, monkeypatch: pytest.MonkeyPatch, rows: int, apart: bool
) -> None:
    """Every open, write, sync, rename and directory of the pass is tried as the last one."""
    deaths = 0
    while True:
        directory = shutil.copytree(healthy, healthy.parent / str(deaths))
        if not pass_dying_at(directory, deaths + 1, monkeypatch, rows=rows, apart=apart):
            break
        deaths += 1
        make_pass(directory, "run-2", NOW + 2 * HOUR, healthy=False, rows=rows, apart=apart)
        assert_history_is_whole(directory)
    assert_history_is_whole(directory)
    assert deaths > 20


def test_a_pass_may_die_again_and_again(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt gets a little further."""
    attempts = 0
    operation = 1
    while pass_dying_at(healthy, operation, monkeypatch, rows=1, apart=False):
        attempts += 1
        operation += 1
    assert attempts > 5
    assert_history_is_whole(healthy)


def test_a_recovery_between_the_crash_and_the_resumed_pass_is_told(
    healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure was confirmed and kept; that it is over is a change of its own."""
    for operation in range(1, 60):
        directory = shutil.copytree(healthy, healthy.parent / str(operation))
        died = pass_dying_at(directory, operation, monkeypatch, rows=1_000, apart=False)
        if not died:
            break
        make_pass(directory, "run-2", NOW + 2 * HOUR, healthy=True, rows=1_000, apart=False)
        for domain in DOMAINS:
            told = sorted(
                (row["observed_at"], row["from_status"], row["to_status"])
                for row in rows_of(directory, TRANSITIONS)
                if row["entity"] == domain
            )
            statuses = [status for _, _, status in told]
            assert statuses in (
                ["protected"],
                ["protected", "blocked"],
                ["protected", "blocked", "protected"],
            )
            assert [before for _, before, _ in told[1:]] == statuses[:-1]
            done = [
                row["exchange_online_verdict"]
                for row in rows_of(directory, DOMAIN_CHECKS)
                if row["domain"] == domain and row["run_id"] == "run-2"
            ]
            assert done == [statuses[-1]]
    assert operation > 10
