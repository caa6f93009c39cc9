"""Asking the history: states, what a run has done, and files that are not what they seem."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import history_files
import pyarrow
import pyarrow.parquet
import pytest
import sample_checks
from history_files import HOUR, NOW

from exporters.history import (
    HistoryError,
    ParquetHistory,
    RunOutcome,
    arrow,
    domains_done,
    last_states,
    reader,
    unfinished_run,
)
from exporters.schema import DOMAIN_CHECKS, TRANSITIONS
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import EntityType, Profile
from scanner.transition.fold import fold_check

EXO = Profile.EXCHANGE_ONLINE
QUEUE_LIFE = timedelta(hours=24)


def keep(
    directory: Path,
    checks: list[Check],
    *,
    run_id: str = "run-1",
    scanner_id: str = "s",
    states: dict[EntityKey, State] | None = None,
    outcome: RunOutcome | None = None,
    profile: Profile = EXO,
) -> dict[EntityKey, State]:
    """Write a run of ``checks`` with their transitions; return the states after it."""
    known = dict(states or {})
    sink = ParquetHistory(directory, run_id=run_id, scanner_id=scanner_id)
    for check in checks:
        moved, transitions = fold_check(
            known, check, profile=profile, queue_life=QUEUE_LIFE, run_id=run_id
        )
        known.update(moved)
        sink.record(check, transitions)
    if outcome is not None:
        sink.finish(outcome, ended_at=checks[-1].observation.observed_at + HOUR)
    sink.close()
    return known


def at(check: Check, moment: datetime, domain: str | None = None) -> Check:
    """Return ``check`` at ``moment`` with probes of its own."""
    return history_files.at(check, moment, domain=domain, probe=f"p{moment:%d%H%M}")


def test_without_a_history_nothing_is_known(tmp_path: Path) -> None:
    """An empty directory, and one that is not there."""
    for directory in (tmp_path, tmp_path / "missing"):
        assert last_states(directory, EXO) == {}
        assert domains_done(directory, "run-1") == set()
        assert unfinished_run(directory) is None
        assert reader.known_certificates(directory) == set()


def test_states_read_back_are_those_that_were_folded(tmp_path: Path) -> None:
    """Status, reason, phase, since, failing_since and last_seen_at, of domains and hosts."""
    first = keep(tmp_path, [make() for make in sample_checks.ALL.values()])
    assert last_states(tmp_path, EXO) == first
    second = keep(
        tmp_path,
        [at(sample_checks.protected(), NOW + HOUR), at(sample_checks.bogus(), NOW + HOUR)],
        run_id="run-2",
        states=first,
    )
    assert last_states(tmp_path, EXO) == second
    third = keep(
        tmp_path,
        [at(sample_checks.bogus(), NOW + 25 * HOUR)],
        run_id="run-3",
        states=second,
    )
    read = last_states(tmp_path, EXO)
    assert read == third
    state = read[EntityType.DOMAIN, "bogus.example"]
    assert (state.phase, state.failing_since) == ("bouncing", NOW)


def test_states_go_on_over_the_turn_of_months_and_years(tmp_path: Path) -> None:
    """The last transition may be years old; the last check is found in the newest months."""
    states = keep(tmp_path, [at(sample_checks.protected(), NOW)])
    for days in (40, 400):
        states = keep(
            tmp_path,
            [at(sample_checks.protected(), NOW + timedelta(days=days))],
            run_id=f"run-{days}",
            states=states,
        )
    assert last_states(tmp_path, EXO) == states
    assert states[EntityType.DOMAIN, "example.org"].since == NOW


def test_an_inconclusive_check_does_not_count_as_seen(tmp_path: Path) -> None:
    """Neither does one of a host."""
    states = keep(tmp_path, [at(sample_checks.protected(), NOW)])
    blind = at(sample_checks.inconclusive(), NOW + HOUR, domain="example.org")
    assert keep(tmp_path, [blind], run_id="run-2", states=states) == states
    assert last_states(tmp_path, EXO) == states


def test_states_belong_to_a_profile(tmp_path: Path) -> None:
    """A history begun under one profile has no beginning under the other."""
    keep(tmp_path, [at(sample_checks.expired(), NOW)])
    assert last_states(tmp_path, Profile.RFC7672) == {}
    keep(tmp_path, [at(sample_checks.expired(), NOW + HOUR)], profile=Profile.RFC7672)
    lenient = last_states(tmp_path, Profile.RFC7672)
    assert lenient[EntityType.DOMAIN, "expired.example"].status == "protected"
    assert last_states(tmp_path, EXO)[EntityType.DOMAIN, "expired.example"].status == "blocked"


def test_a_check_without_its_transition_is_no_state(tmp_path: Path) -> None:
    """Only a confirmed transition makes one; so the next fold tells the change."""
    states = keep(tmp_path, [at(sample_checks.protected(), NOW)])
    sink = ParquetHistory(tmp_path, run_id="run-2", scanner_id="s")
    sink.write([at(sample_checks.mismatch(), NOW + HOUR)])
    sink.close()
    read = last_states(tmp_path, EXO)[EntityType.DOMAIN, "example.org"]
    assert read.status == states[EntityType.DOMAIN, "example.org"].status == "protected"


def test_domains_done_are_those_of_the_run(tmp_path: Path) -> None:
    """Whatever other runs did."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW, "a.example")], run_id="run-1")
    keep(tmp_path, [at(sample_checks.bogus(), NOW, "b.example")], run_id="run-2")
    keep(tmp_path, [at(sample_checks.bogus(), NOW, "c.example")], run_id="run-1")
    assert domains_done(tmp_path, "run-1") == {"a.example", "c.example"}
    assert domains_done(tmp_path, "run-3") == set()


def test_a_run_without_an_end_is_unfinished(tmp_path: Path) -> None:
    """Killed: rows, and no row in runs."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)], outcome=RunOutcome.COMPLETED)
    keep(
        tmp_path,
        [
            at(sample_checks.bogus(), NOW + HOUR),
            at(sample_checks.no_mail(), NOW + 2 * HOUR),
        ],
        run_id="run-2",
    )
    run = unfinished_run(tmp_path)
    assert run is not None
    assert (run.run_id, run.scanner_id, run.domains, run.outcome) == ("run-2", "s", 2, None)
    assert (run.first_observed_at, run.last_observed_at) == (NOW + HOUR, NOW + 2 * HOUR)


@pytest.mark.parametrize("outcome", [RunOutcome.INTERRUPTED, RunOutcome.BLIND])
def test_a_run_that_ended_early_is_unfinished_until_a_part_completes(
    tmp_path: Path, outcome: RunOutcome
) -> None:
    """Each part has a row of its own; the latest counts."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)], outcome=outcome)
    run = unfinished_run(tmp_path)
    assert run is not None
    assert run.outcome is outcome
    keep(tmp_path, [at(sample_checks.no_mail(), NOW + HOUR)], outcome=RunOutcome.COMPLETED)
    assert unfinished_run(tmp_path) is None


def test_only_the_latest_run_can_be_unfinished(tmp_path: Path) -> None:
    """Nobody goes on with the pass before the last."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    keep(
        tmp_path,
        [at(sample_checks.bogus(), NOW + HOUR)],
        run_id="run-2",
        outcome=RunOutcome.COMPLETED,
    )
    assert unfinished_run(tmp_path) is None


def test_runs_of_other_scanners_can_be_left_out(tmp_path: Path) -> None:
    """One of them may be running now."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)], scanner_id="a")
    keep(tmp_path, [at(sample_checks.bogus(), NOW + HOUR)], run_id="run-2", scanner_id="b")
    run = unfinished_run(tmp_path, scanner_id="a")
    assert run is not None
    assert run.run_id == "run-1"


@pytest.mark.parametrize("outcome", [RunOutcome.INTERRUPTED, RunOutcome.BLIND])
def test_a_run_that_ended_before_its_first_domain_leaves_nothing_to_go_on_with(
    tmp_path: Path, outcome: RunOutcome
) -> None:
    """It has a row in runs and no other."""
    sink = ParquetHistory(tmp_path, run_id="run-1", scanner_id="s")
    sink.finish(outcome, ended_at=NOW)
    sink.close()
    assert unfinished_run(tmp_path) is None


def test_a_history_that_others_alone_have_written_holds_no_unfinished_run(tmp_path: Path) -> None:
    """The first share of an array to end is none that the next one goes on with."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)], scanner_id="a", outcome=RunOutcome.COMPLETED)
    assert unfinished_run(tmp_path, scanner_id="b") is None


def damage(directory: Path, content: bytes = b"PAR1 this is no Parquet file PAR1") -> Path:
    """Put a broken file into each table that readers use; return the one in transitions."""
    for table, partition in (("transitions", "year=2026"), ("domain_checks", "month=2026-11")):
        place = directory / table / partition
        place.mkdir(parents=True, exist_ok=True)
        (place / "broken.parquet").write_bytes(content)
    return directory / "transitions" / "year=2026" / "broken.parquet"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 this is no Parquet file PAR1"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    """Never left out in silence."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    broken = damage(tmp_path, content)
    with pytest.raises(HistoryError, match="restore it from a backup or move it") as caught:
        last_states(tmp_path, EXO)
    assert caught.value.path == broken
    assert str(broken) in str(caught.value)
    with pytest.raises(HistoryError):
        domains_done(tmp_path, "run-1")
    with pytest.raises(HistoryError):
        unfinished_run(tmp_path)


def test_a_file_cut_off_in_the_middle_is_named(tmp_path: Path) -> None:
    """As a copy that was interrupted leaves it."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    (path,) = (tmp_path / "transitions").glob("*/*.parquet")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(HistoryError, match=str(path)):
        last_states(tmp_path, EXO)


def test_a_page_that_is_garbled_is_named(tmp_path: Path) -> None:
    """The footer is fine, the data is not."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    (path,) = (tmp_path / "transitions").glob("*/*.parquet")
    content = bytearray(path.read_bytes())
    content[4:1500] = b"\xff" * 1496
    path.write_bytes(bytes(content))
    with pytest.raises(HistoryError, match=str(path)):
        last_states(tmp_path, EXO)


def test_a_caller_that_goes_on_gets_every_problem(tmp_path: Path) -> None:
    """And what could be read."""
    states = keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    broken = damage(tmp_path)
    problems: list[HistoryError] = []
    assert last_states(tmp_path, EXO, problems=problems) == states
    assert [problem.path.name for problem in problems] == ["broken.parquet", "broken.parquet"]
    assert problems[0].path == broken
    problems.clear()
    assert domains_done(tmp_path, "run-1", problems=problems) == {"bogus.example"}
    assert len(problems) == 1
    problems.clear()
    assert unfinished_run(tmp_path, problems=problems) is not None
    assert len(problems) == 1


def test_a_parquet_file_of_something_else_is_named(tmp_path: Path) -> None:
    """It has none of the columns."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    foreign = tmp_path / "transitions" / "year=2026" / "foreign.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), foreign)
    with pytest.raises(HistoryError, match="not a file of the table transitions"):
        last_states(tmp_path, EXO)


def test_hidden_files_and_other_suffixes_are_no_data(tmp_path: Path) -> None:
    """Temporary files, locks, notes of an operator, a stray file among the partitions."""
    states = keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    place = tmp_path / "transitions" / "year=2026"
    for name in (".s~run-000009.parquet.tmp", "_SUCCESS", ".x.parquet", "README.txt"):
        (place / name).write_bytes(b"not Parquet")
    (tmp_path / "transitions" / "notes.txt").write_text("hello")
    assert last_states(tmp_path, EXO) == states


def test_a_column_added_later_may_be_missing(tmp_path: Path) -> None:
    """Old files stay readable."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    (path,) = (tmp_path / "transitions").glob("*/*.parquet")
    with pyarrow.parquet.ParquetFile(path) as file:
        older = file.read().drop_columns(["failing_since"])
    pyarrow.parquet.write_table(older, path)
    state = last_states(tmp_path, EXO)[EntityType.DOMAIN, "bogus.example"]
    assert (state.status, state.failing_since) == ("blocked", None)


def test_files_written_by_another_tool_are_read(tmp_path: Path) -> None:
    """Rewritten by somebody: no metadata of ours, other list level names, times in nanoseconds."""
    states = keep(tmp_path, [at(make(), NOW) for make in sample_checks.ALL.values()])
    for table in (TRANSITIONS, DOMAIN_CHECKS):
        (path,) = (tmp_path / table.name).glob("*/*.parquet")
        with pyarrow.parquet.ParquetFile(path) as file:
            plain = file.read().replace_schema_metadata(None)
        index = plain.column_names.index("observed_at")
        nanoseconds = plain["observed_at"].cast(pyarrow.timestamp("ns", tz="UTC"))
        plain = plain.set_column(index, "observed_at", nanoseconds)
        pyarrow.parquet.write_table(
            plain, path, use_compliant_nested_type=False, compression="snappy"
        )
    assert last_states(tmp_path, EXO) == states
    assert len(domains_done(tmp_path, "run-1")) == 8


def test_a_value_this_version_does_not_know_is_named(tmp_path: Path) -> None:
    """A newer danewatch wrote it; guessing would be wrong."""
    keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    (path,) = (tmp_path / "transitions").glob("*/*.parquet")
    with pyarrow.parquet.ParquetFile(path) as file:
        rows = file.read().to_pylist()
    rows[0]["entity_type"] = "planet"
    path.write_bytes(arrow.encode(TRANSITIONS, rows))
    with pytest.raises(HistoryError, match="does not know"):
        last_states(tmp_path, EXO)


def test_a_file_that_a_merge_replaced_makes_reading_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list was taken before the merge; the rows are in the new file."""
    states = keep(tmp_path, [at(sample_checks.bogus(), NOW)])
    real = reader.data_files
    calls = []

    def stale(*arguments: object, **options: object) -> list[Path]:
        calls.append(arguments)
        found = real(*arguments, **options)  # type: ignore[arg-type]
        return [*found, tmp_path / "gone.parquet"] if len(calls) <= 2 else found

    monkeypatch.setattr(reader, "data_files", stale)
    problems: list[HistoryError] = []
    assert last_states(tmp_path, EXO, problems=problems) == states
    assert problems == []


def test_a_file_that_is_listed_and_never_there_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an endless loop."""
    monkeypatch.setattr(reader, "data_files", lambda *_, **__: [tmp_path / "gone.parquet"])
    with pytest.raises(FileNotFoundError):
        domains_done(tmp_path, "run-1")


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """A table that is a file, for one."""
    (tmp_path / "transitions").write_text("")
    with pytest.raises(HistoryError, match="cannot list"):
        last_states(tmp_path, EXO)


def test_ten_thousand_domains_are_read_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small batches give the same answer as large ones."""
    checks = [
        at(sample_checks.protected(), NOW + number * timedelta(seconds=1), f"d{number}.example")
        for number in range(200)
    ]
    states = keep(tmp_path, checks)
    monkeypatch.setattr(arrow, "BATCH_ROWS", 7)
    assert last_states(tmp_path, EXO) == states
    assert domains_done(tmp_path, "run-1") == {Name(f"d{n}.example") for n in range(200)}


def test_importing_the_exporters_does_not_load_pyarrow() -> None:
    """A command that needs no history starts without it."""
    code = (
        "import sys, exporters.history, exporters.document, exporters.jsonl, "
        "exporters.prometheus; "
        "sys.exit(any(n.split('.')[0] in ('pyarrow', 'prometheus_client') for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_host_times_are_those_of_the_probes(tmp_path: Path) -> None:
    """A shared host was last seen when it was probed, not when a domain asked."""
    check = at(sample_checks.protected(), NOW)
    late = replace(
        check,
        observation=replace(check.observation, observed_at=NOW + timedelta(minutes=5)),
    )
    states = keep(tmp_path, [check, replace(late)])
    read = last_states(tmp_path, EXO)
    assert read == states
    assert read[EntityType.MX, "mx1.example.org"].last_seen_at == NOW
    assert read[EntityType.DOMAIN, "example.org"].last_seen_at == NOW + timedelta(minutes=5)


def test_states_of_zones_hold_under_every_profile(tmp_path: Path) -> None:
    """A zone's status is no sender's opinion."""
    states = keep(tmp_path, [sample_checks.zoned()], profile=Profile.RFC7672)
    zones = {key: state for key, state in states.items() if key[0] is EntityType.ZONE}
    assert len(zones) == 3
    read = last_states(tmp_path, EXO)
    assert {key: state.status for key, state in read.items()} == dict.fromkeys(zones, "secure")
