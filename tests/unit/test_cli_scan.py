"""``danewatch scan`` with a scanner that fakes: files, exit codes, interruption, resuming."""

import errno
import json
import logging
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sample_checks as sample
import trio
import trio.testing
from fake_scanner import WELL, FakeScanner

from exporters.history import unfinished_run
from scanner.cli import scan_sinks
from scanner.cli.main import run
from scanner.cli.scan import why_blind
from scanner.cli.scan_run import PassResult, run_pass
from scanner.cli.trio_run import run_trio
from scanner.config import Config
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.verdict import Check
from scanner.observe.selftest import SelfTest, SelfTestCheck

DOMAINS = [f"d{number}.example" for number in range(6)]
IN_ORDER = [f"d{number}.example" for number in (2, 0, 5, 4, 3, 1)]
"""The order in which a pass takes them (``scanner.run.order``)."""


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    """Commands set up logging for a whole process; undo that."""
    logger = logging.getLogger("danewatch")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def scanner(monkeypatch: pytest.MonkeyPatch) -> FakeScanner:
    return FakeScanner().install(monkeypatch)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a target list of six domains, two of them labelled."""
    lines = ["domain,owner", *(f"{one},{'x' if one < 'd2' else ''}" for one in DOMAINS)]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def scan(files: Path, *more: str) -> int:
    return run(
        [
            "scan",
            str(files / "list.csv"),
            "--output",
            str(files / "out"),
            "--resolver",
            "::1",
            *more,
        ]
    )


def rows(files: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted((files / "out" / table).rglob("*.parquet")):
        found += pyarrow.parquet.ParquetFile(path).read().to_pylist()
    return found


def test_every_domain_is_checked_once_and_written(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, one row for each domain, one for the run, the first sights as transitions."""
    assert scan(files) == 0
    assert scanner.asked == IN_ORDER
    assert sorted(row["domain"] for row in rows(files, "domain_checks")) == DOMAINS
    (run_row,) = rows(files, "runs")
    assert (run_row["outcome"], run_row["targets"], run_row["domains_checked"]) == (
        "completed",
        6,
        6,
    )
    assert run_row["configuration_sha256"] == Config().fingerprint()
    first_sights = [one for one in rows(files, "transitions") if one["entity_type"] == "domain"]
    assert {one["entity"] for one in first_sights} == set(DOMAINS)
    labels = {one["entity"]: one["labels"] for one in first_sights}
    assert labels["d1.example"] == [{"key": "owner", "value": "x"}]
    assert labels["d2.example"] == []
    out = capsys.readouterr().out
    assert out.startswith("✔ The pass is complete.\n  6 of 6 domains in ")
    assert "✔ protected               6  100.0 %" in out
    assert "6 domains seen for the first time" in out
    assert str(files / "out") in out


def test_second_pass_tells_what_changed(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A domain that was protected and is blocked now, with the time mail begins to bounce."""
    assert scan(files) == 0
    capsys.readouterr()
    scanner.checks = {"d3.example": sample.mismatch}
    scanner.seconds = 3_600
    assert scan(files) == 0
    out = capsys.readouterr().out
    assert (
        "Changes since the last pass\n"
        "  ✘ d3.example: protected to blocked, mail bounces from 2026-11-25 13:00 UTC\n"
        "    [tlsa-mismatch]\n"
    ) in out
    assert "          1  mx1.example.org  4.7.323 [tlsa-mismatch]" in out
    changed = [one for one in rows(files, "transitions") if one["from_status"] is not None]
    assert ("d3.example", "protected", "blocked") in {
        (one["entity"], one["from_status"], one["to_status"]) for one in changed
    }


@pytest.mark.parametrize(
    ("fail_on", "code"), [("blocked,deferred", 1), ("no-mail", 0), (" blocked , ", 1)]
)
def test_fail_on_makes_one(scanner: FakeScanner, files: Path, fail_on: str, code: int) -> None:
    """A verdict alone does not fail a pass; the operator says which does."""
    scanner.checks = {"d0.example": sample.mismatch}
    assert scan(files, "--fail-on", fail_on) == code


def test_shares_of_a_list_check_every_domain_once(scanner: FakeScanner, files: Path) -> None:
    """Each into files of its own, in the same directory, with its share in ``runs``."""
    for share in ("1/3", "2/3", "3/3"):
        assert scan(files, "--shard", share) == 0
    assert sorted(scanner.asked) == DOMAINS
    assert sorted(row["domain"] for row in rows(files, "domain_checks")) == DOMAINS
    runs = rows(files, "runs")
    assert sorted(row["shard"] for row in runs) == ["1/3", "2/3", "3/3"]
    assert len({row["scanner_id"] for row in runs}) == 3


def test_the_configuration_names_the_scanner(scanner: FakeScanner, files: Path) -> None:
    """In every row, with the digest of the settings that were in force."""
    (files / "c.toml").write_text('[history]\nscanner_id = "one"\n')
    assert scan(files, "--config", str(files / "c.toml")) == 0
    (run_row,) = rows(files, "runs")
    assert run_row["scanner_id"] == "one"
    assert run_row["configuration_sha256"] not in (None, Config().fingerprint())


def test_metrics_file_is_written_whole(scanner: FakeScanner, files: Path) -> None:
    """With the operator's labels, and what holds now."""
    scanner.checks = {"d0.example": sample.mismatch}
    assert scan(files, "--metrics-file", str(files / "danewatch.prom")) == 0
    text = (files / "danewatch.prom").read_text()
    assert 'danewatch_domain_blocked{domain="d0.example"} 1\n' in text
    assert 'danewatch_domain_info{domain="d1.example",owner="x"} 1\n' in text
    assert 'danewatch_domain_bounces_from_timestamp_seconds{domain="d0.example"}' in text


def test_json_goes_to_standard_output_and_the_rest_elsewhere(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One document a line; the summary is on standard error."""
    assert scan(files, "--json") == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["domain"] for line in captured.out.splitlines()] == IN_ORDER
    assert "The pass is complete." in captured.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_pass_with_everything_kept_and_resume_goes_on(
    scanner: FakeScanner,
    files: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """Exit code 130; the second run checks the other half, under the same run id."""

    async def stop_after_three(checked: int) -> None:
        if checked == 3:
            os.kill(os.getpid(), number)
            await trio.sleep_forever()

    scanner.after = stop_after_three
    metrics = files / "danewatch.prom"
    assert scan(files, "--metrics-file", str(metrics)) == 130
    assert {row["domain"] for row in rows(files, "domain_checks")} == set(IN_ORDER[:3])
    assert rows(files, "runs")[0]["outcome"] == "interrupted"
    assert not metrics.exists()
    captured = capsys.readouterr()
    assert "! The pass was interrupted. The same command with --resume goes on." in captured.out

    scanner.after, scanner.asked = None, []
    assert scan(files, "--resume", "--metrics-file", str(metrics)) == 0
    assert scanner.asked == IN_ORDER[3:]
    checks = rows(files, "domain_checks")
    assert sorted(row["domain"] for row in checks) == DOMAINS
    assert len({row["run_id"] for row in checks}) == 1
    assert not metrics.exists()
    assert "3 checked, 3 to go" in capsys.readouterr().err
    assert unfinished_run(files / "out") is None


def test_resume_without_an_interrupted_pass_is_a_new_one(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a timer can always say --resume."""
    assert scan(files, "--resume") == 0
    assert scanner.asked == IN_ORDER
    assert "no interrupted pass to go on with" in capsys.readouterr().err


def test_pass_that_goes_blind_ends_with_three(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was checked before is kept; the reason is told."""
    scanner.blind = "outgoing port 25 seems blocked"
    assert scan(files) == 3
    assert rows(files, "runs")[0]["outcome"] == "blind"
    assert len(rows(files, "domain_checks")) == 6
    assert "cannot see: outgoing port 25 seems blocked" in capsys.readouterr().out.replace(
        "\n ", ""
    )


def test_pass_is_not_begun_with_resolvers_that_do_not_validate(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 at once, with the remedy, and no domain asked."""
    scanner.self_tests = (
        WELL[0],
        SelfTestCheck(
            name="resolver-validating",
            ok=False,
            sentence="The resolver ::1 does not validate.",
            remedy="Turn it on.",
        ),
    )
    assert scan(files) == 3
    assert scanner.asked == []
    captured = capsys.readouterr()
    assert "danewatch: The resolver ::1 does not validate.\n  Turn it on.\n" in captured.err
    assert "cannot see: The resolver ::1 does not validate." in captured.out.replace("\n ", "")


def self_test(*failing: str, also_up: bool = False) -> SelfTest:
    checks = [SelfTestCheck(name=name, ok=False, sentence=name) for name in failing]
    if also_up:
        checks.append(SelfTestCheck(name="resolver-up", ok=True, sentence="up"))
    return SelfTest(tested_at=sample.NOW, checks=tuple(checks))


@pytest.mark.parametrize(
    ("result", "blind"),
    [
        (self_test(also_up=True), None),
        (self_test("resolver-up", also_up=True), None),
        (self_test("resolver-tcp", also_up=True), None),
        (self_test("resolver-up"), "no resolver gives an answer that can be used"),
        (self_test("resolver-validating", also_up=True), "resolver-validating"),
        (self_test("resolver-refuses-bogus", also_up=True), "resolver-refuses-bogus"),
    ],
)
def test_one_bad_resolver_spoils_a_pass_and_one_dead_does_not(
    result: SelfTest, blind: str | None
) -> None:
    """Any of them may give the answer; a silent one gives none."""
    assert why_blind(result) == blind


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/m.prom", "there is no directory missing"),
        ("taken", "it is a directory; name a file in it"),
        ("pipe", "it is not a regular file"),
        ("link", "it is not a regular file"),
    ],
)
def test_place_where_no_metrics_can_go_is_told_before_the_pass(
    scanner: FakeScanner,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    """A mistyped path costs no pass: nobody is asked and nothing is kept."""
    monkeypatch.chdir(files)
    (files / "taken").mkdir()
    os.mkfifo("pipe")
    os.symlink(os.devnull, "link")
    assert scan(files, "--metrics-file", name) == 2
    assert f"no metrics can go to {name}: {message}" in capsys.readouterr().err
    assert scanner.asked == []
    assert not (files / "out").exists()


def test_a_uri_is_no_directory_of_a_pass_of_one_machine(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder named s3: would be taken for a bucket until somebody looks for the results."""
    assert scan(files, "--output", "s3://bucket/prefix") == 2
    said = capsys.readouterr().err
    assert "s3://bucket/prefix" in said
    assert "--engine dask" in said


def test_full_disk_ends_the_pass_with_two(
    scanner: FakeScanner,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message names the reason; the pass goes no further."""

    def refuse(self: scan_sinks.HistorySink, checks: Iterable[Check]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet")

    monkeypatch.setattr(scan_sinks.HistorySink, "write", refuse)

    async def wait_for_the_end(_checked: int) -> None:
        await trio.sleep_forever()

    scanner.after = wait_for_the_end
    assert scan(files) == 2
    assert scanner.asked == IN_ORDER[:1]
    out = capsys.readouterr().out.replace("\n ", "")
    assert "results cannot be kept: /data/x.parquet: No space left on device" in out
    assert not (files / "out" / "runs").exists()


def test_directory_that_cannot_be_made_is_told(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is looked up."""
    (files / "out").write_text("a file")
    assert scan(files) == 2
    assert "danewatch: cannot keep results: " in capsys.readouterr().err
    assert scanner.asked == []


def test_bad_lines_are_told_and_the_rest_is_scanned(
    scanner: FakeScanner, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At most ten of them, then how many more."""
    (files / "list.csv").write_text("domain\n" + "bad\n" * 12 + "good.example\n")
    assert scan(files) == 0
    assert scanner.asked == ["good.example"]
    err = capsys.readouterr().err
    assert err.count("list.csv:") == 10
    assert "and 2 more problems; danewatch targets check shows them" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name a target list"),
        (["list.csv"], "name a directory for the results with --output DIR"),
        (["nothing.txt", "--output", "out"], "the target lists name no domain"),
        (["list.csv", "--output", "out", "--fail-on", "blocked,x"], "'x' is none of the verdicts"),
        (["list.csv", "--output", "out", "--fail-on", ","], "is none of the verdicts"),
        (["list.csv", "--output", "out", "--shard", "4/3"], "I must be from 1 to N"),
    ],
)
def test_wrong_usage_ends_with_two(
    scanner: FakeScanner,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    """And with what to do instead."""
    monkeypatch.chdir(files)
    assert run(["scan", "--resolver", "::1", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_configuration_gives_lists_directory_and_metrics(scanner: FakeScanner, files: Path) -> None:
    """A timer needs no more than --config."""
    (files / "danewatch.toml").write_text(
        'resolver.servers = ["::1"]\ntargets.files = ["list.csv"]\n'
        'history.directory = "out"\nmetrics.textfile = "m.prom"\n'
    )
    assert run(["scan", "--config", str(files / "danewatch.toml")]) == 0
    assert scanner.asked == IN_ORDER
    assert len(rows(files, "domain_checks")) == 6
    assert (files / "m.prom").exists()


class CountingSink:
    """A sink that remembers; ``fail_in`` is the method that raises."""

    def __init__(self, fail_in: str = "") -> None:
        self.fail_in = fail_in
        self.calls: list[str] = []
        self.taken = 0

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.fail_in == name:
            raise OSError(f"{name} failed")

    def write(self, checks: Iterable[Check]) -> None:
        self._called("write")
        self.taken += len(list(checks))

    def finish(self, result: PassResult) -> None:
        self._called("finish")

    def close(self) -> None:
        self._called("close")


TARGETS = [Target(domain=Name(domain)) for domain in DOMAINS]


@pytest.mark.parametrize(("fail_in", "counted"), [("write", 0), ("finish", 6), ("close", 6)])
async def test_sinks_are_closed_whatever_fails(fail_in: str, counted: int) -> None:
    """The first failure is told, every sink is closed, and none is finished after a failure."""
    bad, good = CountingSink(fail_in), CountingSink()
    seen: list[Check] = []
    result = await run_pass(FakeScanner(), TARGETS, [bad, good], seen.append)  # type: ignore[arg-type]
    assert result.sink_error == f"{fail_in} failed"
    assert result.checked == len(seen) == counted
    assert bad.calls[-1] == good.calls[-1] == "close"
    assert ("finish" in good.calls) == (fail_in == "close")


async def test_checks_count_once_the_sinks_have_them() -> None:
    """A whole pass: everything written, finished, closed, in this order."""
    sink = CountingSink()
    result = await run_pass(FakeScanner(), TARGETS, [sink], lambda _: None)  # type: ignore[arg-type]
    assert result == PassResult(checked=6)
    assert sink.taken == 6
    assert sink.calls[-2:] == ["finish", "close"]


def test_second_signal_gives_up() -> None:
    """An operator who presses Ctrl-C twice means it."""

    class StubbornScanner(FakeScanner):
        async def scan(self, targets: Any, on_check: Any) -> Any:
            with trio.CancelScope(shield=True):
                for _ in range(2):
                    os.kill(os.getpid(), signal.SIGINT)
                    await trio.testing.wait_all_tasks_blocked(0.01)

    async def main() -> None:
        await run_pass(StubbornScanner(), TARGETS, [CountingSink()], lambda _: None)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        run_trio(main)
