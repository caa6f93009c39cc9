"""A pass on the terminal: progress on a terminal and elsewhere, and the closing summary."""

import io
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sample_checks as sample
from fake_scanner import renamed
from rich.cells import cell_len

from scanner.cli import render_scan
from scanner.cli.render import Style
from scanner.cli.render_scan import (
    BarProgress,
    PlainProgress,
    Statistics,
    duration,
    make_progress,
    pace,
    summary_lines,
    verdict_counts,
)
from scanner.cli.scan_run import PassResult
from scanner.model.transition import Transition
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile

PAGES = Path(__file__).resolve().parents[1] / "vectors" / "render"


def statistics(total: int = 12) -> Statistics:
    found = Statistics(profile=Profile.EXCHANGE_ONLINE, total=total)
    for make in sample.ALL.values():
        found.take(make())
    for number in range(3):
        found.take(renamed(sample.mismatch(), f"d{number}.example"))
    return found


def change(
    entity: str, to_status: str, phase: DeliveryPhase, *, before: str = "protected"
) -> Transition:
    is_failing = phase is DeliveryPhase.DEFERRING
    return Transition(
        event_id="0",
        observed_at=sample.NOW,
        entity_type=EntityType.DOMAIN,
        entity=entity,
        profile=Profile.EXCHANGE_ONLINE,
        from_status=before,
        to_status=to_status,
        from_reason=None,
        to_reason="tlsa-mismatch" if is_failing else None,
        from_phase=DeliveryPhase.DEFERRING if before == to_status else DeliveryPhase.DELIVERING,
        to_phase=phase,
        code=None,
        since=None,
        bounces_from=sample.NOW + timedelta(days=1) if is_failing else None,
    )


CHANGES = [
    change("d0.example", "blocked", DeliveryPhase.DEFERRING),
    change("d1.example", "blocked", DeliveryPhase.BOUNCING, before="blocked"),
    change("d2.example", "blocked", DeliveryPhase.DEFERRING, before="blocked"),
    change(
        "a-very-long-name-of-a-partner-that-hardly-fits-anywhere.department.example",
        "protected",
        DeliveryPhase.DELIVERING,
        before="opportunistic",
    ),
]


def summary(
    result: PassResult,
    *,
    found: Statistics | None = None,
    changes: Sequence[Transition] = (),
    more_changes: int = 0,
    files: Sequence[tuple[str, str]] = (),
    unicode: bool = True,
) -> str:
    lines = summary_lines(
        found or statistics(),
        result,
        changes=changes,
        change_count=len(changes) + more_changes,
        first_seen_count=2 if changes else 0,
        elapsed_seconds=95.0,
        files=files,
        style=Style(unicode=unicode),
        width=80,
    )
    return "".join(f"{line.plain}\n" for line in lines)


def test_summary_is_as_read_and_approved() -> None:
    """Verdicts, the servers that hurt most, what changed, where the files are."""
    text = summary(
        PassResult(checked=12),
        changes=CHANGES,
        more_changes=1_200,
        files=[("history", "/var/lib/danewatch/history"), ("metrics", "/var/lib/x.prom")],
    )
    file = PAGES / "scan-summary.txt"
    if os.environ.get("DANEWATCH_WRITE_PAGES"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert all(cell_len(line) <= 80 and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("result", "beginning"),
    [
        (PassResult(checked=1), "✔ The pass is complete.\n"),
        (PassResult(checked=1, interrupted=True), "! The pass was interrupted. The same comm"),
        (
            PassResult(checked=1, blind="no route"),
            "? The pass ended, because the scanner itself cannot see: no route\n",
        ),
        (
            PassResult(checked=1, sink_error="disk\x1b full", interrupted=True, blind="x"),
            "✘ The pass was stopped, because results cannot be kept: disk\\x1b full\n",
        ),
    ],
)
def test_summary_begins_with_how_the_pass_ended(result: PassResult, beginning: str) -> None:
    """Lost results outweigh an interruption, and that outweighs blindness."""
    assert summary(result).startswith(beginning)


def test_summary_without_a_single_check_is_short() -> None:
    """Nothing is divided by nothing."""
    empty = Statistics(profile=Profile.RFC7672, total=3)
    assert summary(PassResult(checked=0), found=empty) == (
        "✔ The pass is complete.\n  0 of 3 domains in 1 min 35 s (0.0 a second), profile rfc7672\n"
    )


def test_summary_without_unicode_is_ascii() -> None:
    """As everywhere."""
    assert summary(PassResult(checked=1), changes=CHANGES, unicode=False).isascii()


def test_path_in_the_summary_is_never_cut() -> None:
    """It is there to be copied."""
    path = "/data/" + "x" * 200
    assert f"  history    {path}\n" in summary(PassResult(checked=1), files=[("history", path)])


def test_failing_hosts_are_ranked_by_domains_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ten are shown; beyond the bound the summary says that there are more."""
    monkeypatch.setattr(render_scan, "MAX_FAILING_HOSTS", 2)
    found = statistics()
    names = [name for name, _ in found.worst_hosts()]
    assert names[0] == "mx1.example.org"
    assert len(names) == 2
    assert found.hosts_beyond
    monkeypatch.setattr(render_scan, "MAX_WORST_HOSTS", 1)
    assert "and at least 1 more" in summary(PassResult(checked=1), found=found)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_599, "59 min 59 s"), (7_320, "2 h 2 min")],
)
def test_duration_is_in_its_two_largest_units(seconds: float, text: str) -> None:
    """Nobody reads seconds beside hours."""
    assert duration(seconds) == text


def test_pace_tells_share_rate_and_time_left() -> None:
    """Nothing before the first check; one decimal below ten a second."""
    found = Statistics(profile=Profile.RFC7672, total=1_000)
    assert pace(found, 5.0) == ""
    found.checked = 250
    assert pace(found, 10.0) == " (25 %), 25/s, 30 s left"
    found.checked = 5
    assert pace(found, 10.0) == " (0 %), 0.5/s, 33 min 10 s left"


def test_verdicts_are_counted_in_the_order_of_the_vocabulary() -> None:
    """So that two lines can be compared."""
    assert verdict_counts(Statistics(profile=Profile.RFC7672, total=1)) == "nothing yet"
    assert verdict_counts(statistics()) == (
        "protected 2, degraded 1, opportunistic 1, blocked 6, no-mail 1, inconclusive 1"
    )


def test_plain_progress_is_a_line_every_ten_seconds() -> None:
    """For logs and pipes: neither silence nor a flood."""
    now = [100.0]
    lines: list[str] = []
    found = statistics(total=1_200)
    with PlainProgress(lines.append, lambda: now[0]) as progress:
        for _ in range(25):
            now[0] += 1.0
            progress.update(found)
    assert len(lines) == 2
    assert lines[0] == (
        "12 of 1,200 domains (1 %), 1.2/s, 16 min 30 s left; "
        "protected 2, degraded 1, opportunistic 1, blocked 6, no-mail 1, inconclusive 1"
    )


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def test_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar is drawn on standard error and cleared at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    progress = make_progress(lambda: 0.0, no_color=True, write=lambda _: None)
    assert isinstance(progress, BarProgress)
    with progress:
        progress.update(statistics(total=24))
        progress.refresh()
    drawn = terminal.getvalue()
    assert "12/24" in drawn
    assert "blocked 6" in drawn
    assert drawn.endswith(("\x1b[2K", "\x1b[?25h"))


def test_elsewhere_progress_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets lines."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = make_progress(lambda: 0.0, no_color=False, write=lambda _: None)
    assert isinstance(progress, PlainProgress)
