"""How ``danewatch scan`` ends, whatever made the pass: the closing summary and the exit code."""

from collections.abc import Set
from pathlib import Path
from typing import TextIO

from scanner.cli.errors import (
    EXIT_BLIND,
    EXIT_INTERRUPTED,
    EXIT_NOT_DELIVERED,
    EXIT_OK,
    EXIT_USAGE,
)
from scanner.cli.render import Style, can_show_unicode, make_console, print_lines
from scanner.cli.render_scan import Statistics, summary_lines
from scanner.cli.scan_run import PassResult
from scanner.model.vocabulary import DomainVerdict
from scanner.transition.changes import Changes


def show_summary(
    statistics: Statistics,
    result: PassResult,
    changes: Changes,
    *,
    history: str | Path,
    metrics: Path | None = None,
    elapsed_seconds: float,
    stream: TextIO,
    no_color: bool,
) -> None:
    """Write the closing summary to ``stream``; ``metrics`` is the file that was written, if any."""
    console = make_console(stream, no_color=no_color)
    files = [("history", str(history))]
    if metrics is not None:
        files.append(("metrics", str(metrics)))
    lines = summary_lines(
        statistics,
        result,
        changes=changes.first,
        change_count=changes.count,
        first_seen_count=changes.first_seen_count,
        elapsed_seconds=elapsed_seconds,
        files=files,
        style=Style(unicode=can_show_unicode(stream)),
        width=console.width,
    )
    print_lines(console, lines)


def exit_code_of(statistics: Statistics, result: PassResult, *, fail_on: Set[DomainVerdict]) -> int:
    """Return the exit code of the pass."""
    if result.sink_error is not None or result.failed is not None:
        return EXIT_USAGE
    if result.interrupted:
        return EXIT_INTERRUPTED
    if result.blind is not None:
        return EXIT_BLIND
    if any(statistics.verdicts[verdict] for verdict in fail_on):
        return EXIT_NOT_DELIVERED
    return EXIT_OK
