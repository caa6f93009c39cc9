"""The demo: it tells its story, every verdict is as meant, and a wrong one is not passed over."""

from pathlib import Path

import pyarrow.parquet
import pytest
from rich.cells import cell_len

from scanner.cli import demo_story
from scanner.cli.main import run
from scanner.model.names import Name
from scanner.model.vocabulary import DomainVerdict, Profile

pytestmark = pytest.mark.scenario


def test_demo_tells_its_story_and_ends_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three passes, a page, two changes and their repair, metrics and history on disk."""
    assert run(["demo", "--output", str(tmp_path / "demo")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    out = captured.out
    assert out.count("16 of 16 verdicts, under both profiles, are as the laboratory meant") == 3
    assert "✘ Mail from Exchange Online to notary.test is being queued: 4.7.323" in out
    assert "✘ bank.test: protected to blocked, mail bounces from " in out
    assert "✘ university.test: protected to blocked, mail bounces from " in out
    assert "✔ bank.test: blocked to protected" in out
    assert 'danewatch_domain_blocked{domain="bank.test"} 1' in out
    paths = [line for line in out.splitlines() if str(tmp_path) in line]
    for line in out.splitlines():
        assert cell_len(line) <= 80 or line in paths
        assert line == line.rstrip()
    (directory,) = (tmp_path / "demo").iterdir()
    runs = [
        row
        for path in (directory / "history" / "runs").rglob("*.parquet")
        for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()
    ]
    assert [one["outcome"] for one in runs] == ["completed"] * 3
    assert (directory / "danewatch.prom").exists()


def test_demo_that_finds_something_else_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verdict that is not as the laboratory meant is named, and the exit code is not 0."""
    true_meaning = demo_story._meant

    def lie_about_the_bakery(domain: demo_story.LabDomain) -> demo_story.Meant:
        if domain.name != Name("bakery.test"):
            return true_meaning(domain)
        return demo_story.Meant(verdicts=dict.fromkeys(Profile, DomainVerdict.PROTECTED), code=None)

    monkeypatch.setattr(demo_story, "_meant", lie_about_the_bakery)
    assert run(["demo", "--output", str(tmp_path)]) == 70
    out = capsys.readouterr().out
    assert "✘ 15 of 16 verdicts" in out
    assert "✘ bakery.test is not\n" in out


def test_demo_without_a_place_for_its_files_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the path."""
    (tmp_path / "file").write_text("")
    assert run(["demo", "--output", str(tmp_path / "file")]) == 2
    assert "cannot keep results: " in capsys.readouterr().err


def test_demo_of_the_service_lives_thirty_hours_and_records_what_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mistakes, repairs, mail that bounces, blindness: each change once, and none but those."""
    code = run(["demo", "--monitor", "--output", str(tmp_path / "demo")])
    captured = capsys.readouterr()
    out = captured.out
    assert code == 0, out
    assert captured.err == ""
    assert "10 changes of domains in the history, each once, and none but those" in " ".join(
        out.split()
    )
    assert "? blind: " in out
    assert "✘ alert, critical: MX host mx1.bank.test blocks mail for 1 partner(s)." in out
    assert "alert, critical: danewatch" in out
    assert "is down" not in out
    assert 'danewatch_domain_phase{domain="bank.test",phase="bouncing"} 1' in out
    for line in out.splitlines():
        assert cell_len(line) <= 80 or line.startswith(("  danewatch_", "/"))
