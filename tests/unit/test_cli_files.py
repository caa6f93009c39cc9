"""``danewatch targets`` and ``danewatch config``: every problem on a line, the right exit code."""

import json
from pathlib import Path

import pytest

from scanner.cli.main import run
from targets.load import load_targets


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, with a good list and a bad one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text("a.example\nB\u00fccher.example\na.example\n")
    (tmp_path / "bad.txt").write_text("a b\nc.example\n")
    return tmp_path


def test_good_lists_end_with_zero(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are told and do not count."""
    assert run(["targets", "check", "good.txt"]) == 0
    assert capsys.readouterr().out == (
        "warning: good.txt:2: B\u00fccher.example: written as xn--bcher-kva.example\n"
        "warning: good.txt:3: a.example: already named at good.txt:1; merged\n"
        "2 targets in 1 file, 0 problems, 2 warnings\n"
    )


def test_problems_end_with_two(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line, value and reason; --quiet leaves out warnings."""
    assert run(["targets", "check", "--quiet", "good.txt", "bad.txt"]) == 2
    assert capsys.readouterr().out == (
        "problem: bad.txt:1: a b: more than one word; write one domain a line\n"
        "3 targets in 2 files, 1 problem, 2 warnings\n"
    )


def test_no_target_at_all_ends_with_two(lists: Path) -> None:
    """An empty list is not what anybody wants to scan."""
    (lists / "empty.txt").write_text("# nothing\n")
    assert run(["targets", "check", "empty.txt"]) == 2


def test_lists_as_json(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document with the same facts."""
    assert run(["targets", "check", "--json", "bad.txt", "good.txt"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "danewatch.targets/1"
    assert (document["targets"], document["problem_count"], document["warning_count"]) == (3, 1, 2)
    assert document["files"] == ["bad.txt", "good.txt"]
    assert document["problems"] == [
        {
            "file": "bad.txt",
            "line": 1,
            "value": "a b",
            "reason": "more than one word; write one domain a line",
        }
    ]
    assert len(document["warnings"]) == 2


def test_many_problems_are_cut_with_their_number(
    lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand lines, then how many more."""
    (lists / "many.txt").write_text("x\n" * 1_003 + "a.example\n" * 1_003)
    assert run(["targets", "check", "many.txt"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert "problem: … and 3 more" in lines
    assert "warning: … and 2 more" in lines


def test_good_configuration_ends_with_zero(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its target lists are read too; what the service would refuse is said."""
    (lists / "plain.toml").write_text("")
    assert run(["config", "check", "plain.toml"]) == 0
    (lists / "lists.toml").write_text('targets.files = ["good.txt"]')
    assert run(["config", "check", "lists.toml"]) == 0
    (lists / "whole.toml").write_text('targets.files = ["good.txt"]\nhistory.directory = "h"')
    assert run(["config", "check", "whole.toml"]) == 0
    lacks = "; for danewatch monitor it lacks"
    assert capsys.readouterr().out == (
        f"plain.toml: no mistakes{lacks} [targets] files and [history] directory\n"
        f"lists.toml: no mistakes, 2 targets{lacks} [history] directory\n"
        "whole.toml: no mistakes, 2 targets\n"
    )


def test_wrong_configuration_ends_with_two(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake on its line, then their number."""
    (lists / "one.toml").write_text("[smtp]\nport = 0\n")
    assert run(["config", "check", "one.toml"]) == 2
    (lists / "two.toml").write_text("x = 1\n[smtp]\nport = 0\n")
    assert run(["config", "check", "two.toml"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one.toml:2: smtp.port = 0: out of bounds")
    assert lines[1] == "1 mistake"
    assert lines[-1] == "2 mistakes"


def test_control_characters_of_a_file_name_reach_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the file is good, wrong or not there."""
    file = tmp_path / "a\x1b]0;x\x07.toml"
    for code, text in (2, None), (2, "nonsense = 1"), (0, ""):
        if text is not None:
            file.write_text(text)
        assert run(["config", "check", str(file)]) == code
        out, err = capsys.readouterr()
        assert "a\\x1b]0;x\\x07.toml:" in out
        assert "\x1b" not in out + err


def test_configuration_with_bad_lists_ends_with_two(
    lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The problem is named as targets check names it."""
    (lists / "danewatch.toml").write_text('targets.files = ["bad.txt"]')
    assert run(["config", "check", "danewatch.toml"]) == 2
    assert f"{lists}/bad.txt:1: a b: more than one word" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("a b\n", "1 problem in its target lists"),
        ("a b\nc d\n", "2 problems in its target lists"),
        ("# nobody\n", "its target lists name no domain"),
    ],
)
def test_good_configuration_with_useless_lists_says_which_is_wrong(
    lists: Path, capsys: pytest.CaptureFixture[str], text: str, summary: str
) -> None:
    """The last line acquits the file itself and counts the rest."""
    (lists / "list.txt").write_text(text)
    (lists / "danewatch.toml").write_text('targets.files = ["list.txt"]')
    assert run(["config", "check", "danewatch.toml"]) == 2
    assert capsys.readouterr().out.endswith(f"danewatch.toml: no mistakes, but {summary}\n")


def test_example_configuration_is_a_good_one(
    lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed can be used as it is."""
    assert run(["config", "example"]) == 0
    (lists / "danewatch.toml").write_text(capsys.readouterr().out)
    assert run(["config", "check", "danewatch.toml"]) == 0


def test_checked_lists_are_those_that_load(lists: Path) -> None:
    """The command shows what the loader finds, nothing of its own."""
    assert len(load_targets([lists / "good.txt", lists / "bad.txt"]).targets) == 3
