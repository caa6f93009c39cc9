"""``danewatch config``: say what is wrong with a configuration file, or show a whole one."""

from typing import TYPE_CHECKING

import click

from scanner.cli.errors import EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from scanner.config import Config


@click.group("config", short_help="Look at configuration files.")
def command() -> None:
    """Look at configuration files."""


@command.command("check", short_help="Name every mistake in a configuration file.")
@click.argument("file", metavar="FILE")
def check(file: str) -> int:
    """Read a configuration file and name every mistake with file, line and remedy.

    The target lists it names are read too.

    \b
    Example:
      danewatch config check /etc/danewatch/danewatch.toml

    \b
    Exit code: 0 the file can be used, 2 it has mistakes.
    """
    from scanner.cli.logs import escape_controls
    from scanner.config import ConfigError, load_config

    shown = escape_controls(file)
    try:
        config = load_config(file)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(escape_controls(str(problem)))
        count = len(error.problems)
        click.echo(f"{count} mistake" if count == 1 else f"{count} mistakes")
        return EXIT_USAGE
    if config.targets.files:
        from targets.load import load_targets

        result = load_targets(config.targets.files)
        for remark in result.problems:
            click.echo(str(remark))
        if result.problem_count or not result.targets:
            click.echo(_trouble(shown, result.problem_count))
            return EXIT_USAGE
        click.echo(f"{shown}: no mistakes, {len(result.targets):,} targets{_for_monitor(config)}")
        return EXIT_OK
    click.echo(f"{shown}: no mistakes{_for_monitor(config)}")
    return EXIT_OK


def _for_monitor(config: "Config") -> str:
    """Return what the service needs beside what a lone check or a scan does."""
    lacks = [
        name
        for name, value in (
            ("[targets] files", config.targets.files),
            ("[history] directory", config.history.directory),
        )
        if not value
    ]
    return f"; for danewatch monitor it lacks {' and '.join(lacks)}" if lacks else ""


def _trouble(file: str, count: int) -> str:
    if not count:
        return f"{file}: no mistakes, but its target lists name no domain"
    problems = "1 problem" if count == 1 else f"{count:,} problems"
    return f"{file}: no mistakes, but {problems} in its target lists"


@command.command("example", short_help="Print a file with every setting and its default.")
def example() -> int:
    """Print a configuration file with every setting, its meaning and its default.

    \b
    Example:
      danewatch config example > danewatch.toml
    """
    from scanner.config.reference import example as text

    click.echo(text(), nl=False)
    return EXIT_OK
