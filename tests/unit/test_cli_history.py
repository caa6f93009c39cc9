"""``danewatch history``: answers in every form, and errors in words."""

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest
import some_history

from scanner.cli.main import run
from scanner.cli.render_history import duration


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_history.write(tmp_path_factory.mktemp("history") / "history")


def test_changes_are_shown_in_words_within_80_columns(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When, what, from which status to which, why, and what becomes of the mail."""
    assert run(["history", "transitions", "--history", str(directory)]) == 0
    out = capsys.readouterr().out
    assert (
        "2026-11-03 06:00:00  domain ✘ bank.example: protected to blocked\n"
        "                            [tlsa-mismatch], mail bounces from 2026-11-04 06:00,\n"
        "                            4.7.323\n"
    ) in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_timeline_says_how_long_each_state_lasted(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hosts beside the domain."""
    assert run(["history", "timeline", "SHOP.example.", "--history", str(directory)]) == 0
    out = capsys.readouterr().out
    assert "domain ! shop.example: protected to degraded, for 6 h\n" in out
    assert "host   ✘ mx1.mailhaven.example: authenticated to failed" in out


def test_failures_are_shown_with_their_age(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of the time that was asked for."""
    at = "2026-11-03T08:30:00Z"
    assert run(["history", "failing", "--at", at, "--history", str(directory)]) == 0
    assert capsys.readouterr().out == (
        "✘ bank.example: blocked [tlsa-mismatch] for 2 h 30 min, 4.7.323, mail bounces\n"
        "  from 2026-11-04 06:00 (tier=gold)\n"
    )
    assert (
        run(["history", "failing", "--at", "2026-11-02T08:00:00Z", "--history", str(directory)])
        == 0
    )
    assert capsys.readouterr().out == "No failing domains.\n"


def test_csv_has_a_header_and_lists_as_json(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 4180; times as RFC 3339."""
    at = "2026-11-03T08:30:00Z"
    arguments = ["history", "failing", "--at", at, "--format", "csv", "--history", str(directory)]
    assert run(arguments) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["failing_since"] == "2026-11-03T06:00:00Z"
    assert json.loads(row["labels"]) == [{"key": "tier", "value": "gold"}]


def test_json_has_one_object_a_line(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Absent values are null."""
    assert run(["history", "transitions", "--format", "json", "--history", str(directory)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 6
    assert found[0]["entity"] == "mx1.mailhaven.example"
    assert found[0]["since"] is None


def test_parquet_goes_to_a_file_and_keeps_types(directory: Path, tmp_path: Path) -> None:
    """Whole or not at all."""
    out = tmp_path / "o.parquet"
    arguments = ["history", "operators", "--at", "2026-11-04T00:00:00Z", "--format", "parquet"]
    assert run([*arguments, "--out", str(out), "--history", str(directory)]) == 0
    table = pyarrow.parquet.read_table(out)
    assert table.column("operator").to_pylist() == ["bank.example", "mailhaven.example"]
    assert str(table.schema.field("domains").type) == "int64"
    assert list(tmp_path.iterdir()) == [out]


def test_sql_answers_a_table_and_names_its_views(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers to the right."""
    query = "SELECT entity_type, count(*) AS n FROM transitions GROUP BY 1 ORDER BY 1"
    assert run(["history", "sql", query, "--history", str(directory)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["domain", "7"]
    assert run(["history", "sql", "--history", str(directory)]) == 0
    assert "\ndomain_hosts: domain, mx, preference, operator, observed_at\n" in (
        capsys.readouterr().out
    )


def test_the_configuration_may_name_the_history(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that one file serves the service and the questions."""
    file = tmp_path / "danewatch.toml"
    file.write_text(f'[history]\ndirectory = "{directory}"\n')
    assert run(["history", "transitions", "--limit", "1", "--config", str(file)]) == 0
    assert "bank.example" in capsys.readouterr().out


def test_what_the_history_cannot_know_is_said(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither that nothing failed before it began, nor that a name nobody checked never changed."""
    place = ["--history", str(directory)]
    for question in ("failing", "operators"):
        assert run(["history", question, "--at", "2020-01-01T00:00:00Z", *place]) == 0
        assert capsys.readouterr().err == (
            "danewatch: this history begins at 2026-11-01 06:00:00 UTC; what was at "
            "2020-01-01 00:00:00 UTC it does not know\n"
        )
    assert run(["history", "timeline", "bonk.example", *place]) == 0
    said = capsys.readouterr()
    assert said.out == "No transitions.\n"
    assert said.err == (
        "danewatch: bonk.example was never checked as far as this history knows; look at the "
        "spelling\n"
    )
    assert run(["history", "timeline", "typo.bank.example", *place]) == 0
    said = capsys.readouterr()
    assert "zone   ✔ bank.example" in said.out
    assert "typo.bank.example was never checked" in said.err
    assert run(["history", "failing", "--at", "2026-11-02T08:00:00Z", *place]) == 0
    assert capsys.readouterr().err == ""


def test_json_is_json_whatever_was_asked(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No NaN (RFC 8259 §6), and no column lost whose name was there before."""
    query = "SELECT 'nan'::DOUBLE AS a, 2 AS a, ['inf'::FLOAT] AS b, 3 AS a_2, 4 AS a"
    place = ["--history", str(directory)]
    assert run(["history", "sql", query, "--format", "json", *place]) == 0

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found == {"a": None, "a_3": 2, "b": [None], "a_2": 3, "a_4": 4}
    assert run(["history", "sql", query, "--format", "csv", *place]) == 0
    assert capsys.readouterr().out == "a,a_3,b,a_2,a_4\r\nnan,2,[null],3,4\r\n"


def test_an_answer_is_bounded(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With words, and an option to allow more."""
    query = "SELECT repeat('x', 1000) AS x FROM range(3000)"
    arguments = ["history", "sql", query, "--format", "csv", "--history", str(directory)]
    assert run([*arguments, "--max-mib", "1"]) == 2
    assert "larger than 1 MiB; ask for less" in capsys.readouterr().err
    assert run([*arguments, "--max-mib", "4"]) == 0


def test_a_pipe_that_nobody_reads_holds_nobody(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that somebody reads gets the answer; Parquet cannot go to either, and replaces none."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = ["history", "transitions", "--out", str(pipe), "--history", str(directory)]
    assert run([*arguments, "--format", "csv"]) == 2
    assert f"cannot write {pipe}: a pipe or socket that nobody reads" in capsys.readouterr().err
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run([*arguments, "--format", "csv"]) == 0
    assert os.read(reader, 100).startswith(b"observed_at,")
    os.close(reader)
    assert run([*arguments, "--format", "parquet"]) == 2
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transitions", "--history", "nowhere"], "nowhere: no such directory"),
        (["sql", "SELECT nothing"], 'Referenced column "nothing"'),
        (["sql", "SELECT * FROM nothing"], "danewatch history sql, without a query, lists"),
        (["sql", "DROP VIEW runs"], "write one SELECT"),
        (["timeline", "not a name"], "'not a name'"),
        (["failing", "--format", "parquet"], "--out FILE"),
        (["failing", "--out", "/nowhere/x.csv"], "cannot write /nowhere/x.csv"),
        (["failing", "--at", "noon"], "'noon' is neither RFC 3339"),
        (["sql", "SELECT TIMESTAMP '290000-01-01' AS a", "--format", "json"], "written as json"),
        (["failing", "--format", "parquet", "--out", ""], "written as parquet"),
        (["transitions", "--config", "nowhere.toml"], "no such file"),
    ],
)
def test_what_cannot_be_answered_ends_with_words(
    directory: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, no traceback."""
    place = [] if {"--history", "--config"} & set(arguments) else ["--history", str(directory)]
    assert run(["history", *arguments, *place]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_600, "1 h"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_have_two_units(seconds: int, words: str) -> None:
    """The two largest that are not nothing."""
    assert duration(some_history.HOUR / 3_600 * seconds) == words


def old_and_small(directory: Path) -> Path:
    """Return a history whose files are small and were written long ago."""
    some_history.write(directory)
    for path in list((directory / "transitions").rglob("*.parquet")):
        table = pyarrow.parquet.ParquetFile(path).read()
        for number in range(table.num_rows):
            pyarrow.parquet.write_table(
                table.slice(number, 1), path.with_name(f"{path.stem}-{number:02}.parquet")
            )
        path.unlink()
    for path in directory.rglob("*.parquet"):
        os.utime(path, (0, 0))
    return directory


def test_compact_merges_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rehearsal changes nothing; afterwards the same answers come from fewer files."""
    directory = old_and_small(tmp_path / "history")
    before = sorted(directory.rglob("*.parquet"))
    assert run(["history", "compact", "--dry-run", "--history", str(directory)]) == 0
    assert sorted(directory.rglob("*.parquet")) == before
    assert "transitions: 13 files would become " in capsys.readouterr().out
    assert run(["history", "compact", "--history", str(directory)]) == 0
    assert len(list((directory / "transitions").rglob("*.parquet"))) < 13
    assert run(["history", "transitions", "--format", "json", "--history", str(directory)]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 6
    assert run(["history", "verify", "--history", str(directory)]) == 0
    assert "rows: sound\n" in capsys.readouterr().out


def test_verify_names_a_damaged_file_and_ends_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that cron can tell."""
    directory = some_history.write(tmp_path / "history")
    damaged = next((directory / "host_checks").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert run(["history", "verify", "--history", str(directory)]) == 1
    out = capsys.readouterr().out
    assert f"error: {damaged}: unreadable" in out
    assert out.endswith("not sound\n")


def test_expire_removes_only_what_is_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By table; without a word about how long, nothing."""
    directory = some_history.write(tmp_path / "history")
    assert run(["history", "expire", "--history", str(directory)]) == 0
    assert "kept for ever" in capsys.readouterr().out
    place = ["--history", str(directory)]
    assert run(["history", "expire", "--checks-days", "36500", *place]) == 0
    assert "0 files with 0 rows removed" in capsys.readouterr().out
    assert run(["history", "expire", "--checks-days", "1", *place]) == 0
    gone = list((directory / "domain_checks").rglob("*.parquet"))
    kept = list((directory / "transitions").rglob("*.parquet"))
    assert (bool(gone), bool(kept)) == (False, True)


@pytest.mark.parametrize("command", ["compact", "verify", "expire"])
def test_upkeep_of_nothing_ends_with_words(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    more = ["--checks-days", "1"] if command == "expire" else []
    assert run(["history", command, *more, "--history", "nowhere"]) == 2
    assert "nowhere: no such directory" in capsys.readouterr().err


def test_a_directory_that_holds_no_history_is_no_good_news(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped directory is told apart from a history in which nothing fails."""
    assert run(["history", "failing", "--history", str(tmp_path)]) == 0
    assert f"{tmp_path} holds no history" in capsys.readouterr().err
    assert run(["history", "failing", "--history", str(directory)]) == 0
    assert capsys.readouterr().err == ""
