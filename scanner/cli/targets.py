"""``danewatch targets``: say what is in target lists and what is wrong with them."""

import json

import click

from scanner.cli.errors import EXIT_OK, EXIT_USAGE


@click.group("targets", short_help="Look at target lists.")
def command() -> None:
    """Look at target lists: plain text, CSV, Prometheus file_sd, directories and globs."""


@command.command("check", short_help="Name every problem in target lists.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, nothing else.")
@click.option("--quiet", is_flag=True, help="Leave out warnings.")
def check(files: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Read target lists and name every problem with file, line and reason.

    A FILE may also be a directory or a quoted glob.

    \b
    Examples:
      danewatch targets check partners.txt
      danewatch targets check /etc/danewatch/targets.d 'lists/*.csv'

    \b
    Exit code: 0 no problems (warnings do not count), 2 problems or no targets.
    """
    from targets.load import load_targets

    result = load_targets(files)
    is_good = bool(result.targets) and not result.problem_count
    if as_json:
        click.echo(json.dumps(_document(result)))
        return EXIT_OK if is_good else EXIT_USAGE
    for problem in result.problems:
        click.echo(f"problem: {problem}")
    _echo_rest(result.problem_count - len(result.problems), "problem")
    if not quiet:
        for warning in result.warnings:
            click.echo(f"warning: {warning}")
        _echo_rest(result.warning_count - len(result.warnings), "warning")
    click.echo(
        f"{_count(len(result.targets), 'target')} in {_count(len(result.files), 'file')}, "
        f"{_count(result.problem_count, 'problem')}, {_count(result.warning_count, 'warning')}"
    )
    return EXIT_OK if is_good else EXIT_USAGE


def _document(result: object) -> dict[str, object]:
    from targets.results import TargetList

    assert isinstance(result, TargetList)

    def remark(one: object) -> dict[str, object]:
        return {name: getattr(one, name) for name in ("file", "line", "value", "reason")}

    return {
        "schema": "danewatch.targets/1",
        "targets": len(result.targets),
        "files": list(result.files),
        "problem_count": result.problem_count,
        "warning_count": result.warning_count,
        "problems": [remark(one) for one in result.problems],
        "warnings": [remark(one) for one in result.warnings],
    }


def _echo_rest(count: int, noun: str) -> None:
    if count > 0:
        click.echo(f"{noun}: … and {count:,} more")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
