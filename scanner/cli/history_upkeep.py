"""``danewatch history compact``, ``verify`` and ``expire``: looking after the files.

The service does the first and the last by itself once a day; ``daily_upkeep`` is that.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.errors import EXIT_NOT_DELIVERED, EXIT_OK, CommandError

if TYPE_CHECKING:
    from exporters.history.compaction import CompactionReport
    from exporters.history.retention import RetentionReport
    from scanner.config import Config

_log = logging.getLogger("danewatch.history")
_Function = TypeVar("_Function", bound=Callable[..., Any])
MAX_SHOWN = 50


def place(function: _Function) -> _Function:
    """Add the options that say which history."""
    for option in (
        click.option(
            "--config", "config_file", metavar="FILE", help="Configuration that names the history."
        ),
        click.option(
            "--history",
            "directory",
            metavar="DIR",
            help="Directory of the history.  [default: that of --config, else ./history]",
        ),
    ):
        function = option(function)
    return function


_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command("compact", short_help="Merge small files of closed days and months.")
@_DRY_RUN
@place
def compact(dry_run: bool, **values: Any) -> int:
    """Merge the files of closed days into one a day, and of closed months into one a month.

    No reader sees a row missing at any moment, and it may be interrupted anywhere: the next run
    goes on. The service does this by itself every day.

    \b
    Examples:
      danewatch history compact --dry-run
      danewatch history compact --history /var/lib/danewatch/history

    \b
    Exit code: 0 done, 1 some files were left alone, 2 it could not be done.
    """
    from exporters.history.compaction import compact as run
    from exporters.history.files import HistoryError
    from exporters.schema import TABLES

    directory = _existing(values)
    problems = 0
    for table in TABLES:
        try:
            report = run(directory, table, _now(), dry_run=dry_run)
        except HistoryError as error:
            raise CommandError(str(error)) from error
        problems += len(report.problems)
        _tell_merges(table.name, report, dry_run=dry_run)
    return EXIT_NOT_DELIVERED if problems else EXIT_OK


def _tell_merges(table: str, report: "CompactionReport", *, dry_run: bool) -> None:
    inputs = sum(len(merge.inputs) for merge in report.merges)
    verb = "would become" if dry_run else "became"
    line = f"{table}: {inputs:,} files {verb} {len(report.merges):,}"
    if report.bytes_before:
        line += f", {_megabytes(report.bytes_before)} to {_megabytes(report.bytes_after)}"
    if report.resumed:
        line += f"; {report.resumed:,} interrupted before finished"
    click.echo(line)
    _tell_problems(report.problems)


@click.command("verify", short_help="Look at every file: readable, whole, consistent.")
@place
def verify(**values: Any) -> int:
    """Read every file and say what is wrong: unreadable, misplaced, repeated, a broken chain.

    \b
    Example:
      danewatch history verify --history /var/lib/danewatch/history

    \b
    Exit code: 0 nothing is missing, wrong or there twice; 1 something is.
    """
    from exporters.history.files import HistoryError
    from exporters.history.verification import verify as run

    try:
        report = run(_existing(values))
    except HistoryError as error:
        raise CommandError(str(error)) from error
    for finding in report.findings[:MAX_SHOWN]:
        click.echo(f"{finding.severity}: {finding.path}: {finding.kind}: {finding.message}")
    more = len(report.findings) - MAX_SHOWN
    if more > 0:
        click.echo(f"and {more:,}{' or more' if report.truncated else ''} more findings")
    click.echo(
        f"{report.files:,} files, {report.rows:,} rows: "
        + ("sound" if report.is_sound else "not sound")
    )
    return EXIT_OK if report.is_sound else EXIT_NOT_DELIVERED


@click.command("expire", short_help="Remove what is older than you want to keep.")
@click.option(
    "--checks-days",
    type=click.IntRange(0, 36_500),
    metavar="N",
    help="Keep checks of domains, hosts and zones so long; 0 for ever."
    "  [default: that of --config, else 0]",
)
@click.option(
    "--transitions-days",
    type=click.IntRange(0, 36_500),
    metavar="N",
    help="Keep transitions, certificates and runs so long; 0 for ever."
    "  [default: that of --config, else 0]",
)
@_DRY_RUN
@place
def expire(
    checks_days: int | None, transitions_days: int | None, dry_run: bool, **values: Any
) -> int:
    """Remove files in which every row is older than you want to keep.

    The service does this by itself every day, by [history] checks_days and transitions_days.

    \b
    Examples:
      danewatch history expire --checks-days 400 --dry-run
      danewatch history expire --config danewatch.toml

    \b
    Exit code: 0 done, 1 some files were left alone, 2 it could not be done.
    """
    from exporters.history.files import HistoryError
    from exporters.history.retention import keep_by_days, remove_old
    from scanner.cli.history import read_history_config

    config = read_history_config(values["config_file"])
    keep = keep_by_days(
        checks_days=_first(checks_days, config.history.checks_days if config else 0),
        transitions_days=_first(transitions_days, config.history.transitions_days if config else 0),
    )
    if not keep:
        click.echo("everything is kept for ever; say how long with --checks-days")
        return EXIT_OK
    try:
        report = remove_old(_existing(values), keep, _now(), dry_run=dry_run)
    except HistoryError as error:
        raise CommandError(str(error)) from error
    _tell_removed(report, dry_run=dry_run)
    return EXIT_NOT_DELIVERED if report.problems else EXIT_OK


def _tell_removed(report: "RetentionReport", *, dry_run: bool) -> None:
    for one in report.removed[:MAX_SHOWN]:
        click.echo(str(one.path))
    more = len(report.removed) - MAX_SHOWN
    if more > 0:
        click.echo(f"and {more:,} more")
    verb = "would be removed" if dry_run else "removed"
    click.echo(f"{len(report.removed):,} files with {report.rows:,} rows {verb}")
    _tell_problems(report.problems)


def daily_upkeep(directory: Path, config: "Config", now: datetime) -> None:
    """Compact, and remove what is old; what goes wrong is logged and tried again tomorrow."""
    from exporters.history.compaction import compact as run
    from exporters.history.files import HistoryError
    from exporters.history.retention import keep_by_days, remove_old
    from exporters.schema import TABLES

    merged = removed = 0
    try:
        for table in TABLES:
            report = run(directory, table, now)
            merged += sum(len(merge.inputs) for merge in report.merges)
            for problem in report.problems:
                _log.warning("left alone: %s", problem)
        keep = keep_by_days(
            checks_days=config.history.checks_days,
            transitions_days=config.history.transitions_days,
        )
        if keep:
            removed = len(remove_old(directory, keep, now).removed)
    except HistoryError as error:
        _log.error("upkeep of the history: %s", error)
        return
    _log.info("upkeep of the history", extra={"files_merged": merged, "files_removed": removed})


def _existing(values: dict[str, Any]) -> Path:
    from scanner.cli.history import history_directory

    directory = history_directory(values["directory"], values["config_file"])
    if not directory.is_dir():
        raise CommandError(f"{directory}: no such directory")
    return directory


def _tell_problems(problems: list[Any]) -> None:
    for problem in problems[:MAX_SHOWN]:
        click.echo(f"left alone: {problem}")


def _first(chosen: int | None, otherwise: int) -> int:
    return otherwise if chosen is None else chosen


def _megabytes(octets: int) -> str:
    return f"{octets / 1e6:,.1f} MB"


def _now() -> datetime:
    from scanner.run.clock import SystemClock

    return SystemClock().now()
