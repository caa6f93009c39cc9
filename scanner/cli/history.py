"""``danewatch history``: questions to the Parquet history, and looking after it."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.errors import EXIT_OK, CommandError
from scanner.cli.history_upkeep import compact, expire, place, verify
from scanner.cli.options import Moment

if TYPE_CHECKING:
    import pyarrow
    from rich.text import Text

    from exporters.history.questions import Questions
    from scanner.cli.answers import Lines
    from scanner.cli.render import Style
    from scanner.config import Config

_Function = TypeVar("_Function", bound=Callable[..., Any])
ENTITY_TYPES = ("domain", "mx", "zone")
FORMATS = ("table", "csv", "json", "parquet")


def _form(function: _Function) -> _Function:
    """Add the options that say what the answer looks like."""
    for option in (
        click.option("--no-color", is_flag=True, help="No colour (so does NO_COLOR)."),
        click.option(
            "--max-mib",
            type=click.IntRange(1, 1_000_000),
            default=1_024,
            show_default=True,
            metavar="N",
            help="The largest answer in memory.",
        ),
        click.option(
            "--out", metavar="FILE", help="Write the answer there instead; needed for parquet."
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="Form of the answer; times are UTC.",
        ),
    ):
        function = option(function)
    return place(function)


@click.group("history", short_help="Ask the history: what changed, since when, for whom.")
def command() -> None:
    """Ask the Parquet history: what changed, since when, for whom.

    \b
    Examples:
      danewatch history transitions --since 2026-11-20T00:00:00Z
      danewatch history timeline bank.example
      danewatch history failing --at 2026-11-24T08:00:00Z
      danewatch history operators --format csv
      danewatch history sql "SELECT to_reason, count(*) FROM transitions
        GROUP BY 1"

    compact, verify and expire look after the files.
    """


command.add_command(compact)
command.add_command(verify)
command.add_command(expire)


@command.command("transitions", short_help="What changed, oldest first.")
@click.option("--since", type=Moment(), metavar="TIME", help="From this time on.")
@click.option("--until", type=Moment(), metavar="TIME", help="Before this time.")
@click.option("--entity", metavar="NAME", help="Of this domain, MX host or zone only.")
@click.option("--type", "entity_type", type=click.Choice(ENTITY_TYPES), help="Of this kind only.")
@click.option("--to", "to_status", metavar="STATUS", help="To this status only, such as blocked.")
@click.option("--first-sights", is_flag=True, help="First sights too, which are no changes.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000_000),
    default=None,
    metavar="N",
    help="The latest N only.",
)
@_form
def transitions(
    since: datetime | None,
    until: datetime | None,
    entity: str | None,
    entity_type: str | None,
    to_status: str | None,
    first_sights: bool,
    limit: int | None,
    **values: Any,
) -> int:
    """Show confirmed changes of domains, MX hosts and zones, oldest first.

    \b
    Examples:
      danewatch history transitions --type domain --to blocked
      danewatch history transitions --entity mx1.example.com --format json
    """
    return _answer(
        values,
        "transition",
        lambda questions: questions.transitions(
            since=since,
            until=until,
            entity=_name(entity),
            entity_type=entity_type,
            to_status=to_status,
            first_sights=first_sights,
            limit=limit,
        ),
        lines=_transition_lines,
    )


@command.command("timeline", short_help="A domain with its MX hosts and zones, change by change.")
@click.argument("domain")
@_form
def timeline(domain: str, **values: Any) -> int:
    """Show every change of DOMAIN, of its MX hosts and of its zones, and how long it lasted.

    \b
    Example:
      danewatch history timeline bank.example
    """
    name = _name(domain)
    assert name is not None
    return _answer(
        values,
        "transition",
        lambda questions: questions.timeline(name, until=_now()),
        lines=_transition_lines,
        explain=lambda questions: _unknown(questions, name),
        explain_always=True,  # zones above an unknown domain may be known
    )


@command.command("failing", short_help="What was failing at a time.")
@click.option("--at", type=Moment(), metavar="TIME", help="At this time.  [default: now]")
@click.option(
    "--type",
    "entity_type",
    type=click.Choice(ENTITY_TYPES),
    default="domain",
    show_default=True,
    help="Of this kind.",
)
@_form
def failing(at: datetime | None, entity_type: str, **values: Any) -> int:
    """Show what was failing at a time, longest first, and since when mail bounced.

    \b
    Example:
      danewatch history failing --at 2026-11-24T08:00:00Z
    """
    from scanner.cli.render_history import failing_lines

    moment = at or _now()
    return _answer(
        values,
        f"failing {entity_type}",
        lambda questions: questions.failing(at=moment, entity_type=entity_type),
        lines=lambda row, style, width: failing_lines(row, style, width, moment),
        explain=lambda questions: _before_it_begins(questions, moment),
    )


@command.command("operators", short_help="Mail operators, those with most failing domains first.")
@click.option("--at", type=Moment(), metavar="TIME", help="At this time.  [default: now]")
@_form
def operators(at: datetime | None, **values: Any) -> int:
    """Show who runs the MX hosts: domains and hosts behind each operator, and how many fail.

    An operator is the domain above a host's name.

    \b
    Example:
      danewatch history operators --format csv --out operators.csv
    """
    moment = at or _now()
    return _answer(
        values,
        "operator",
        lambda questions: questions.operators(at=moment),
        explain=lambda questions: _before_it_begins(questions, moment),
    )


@command.command("sql", short_help="Any question, as SQL over ready-made views.")
@click.argument("query", required=False)
@_form
def sql(query: str | None, **values: Any) -> int:
    """Answer one SELECT (DuckDB) over the tables of the history; without QUERY, list the views.

    Nothing is written, and nothing but the history can be read.

    \b
    Examples:
      danewatch history sql
      danewatch history sql "SELECT operator, count(DISTINCT domain) AS domains
        FROM domain_hosts GROUP BY operator ORDER BY domains DESC LIMIT 10"
    """
    if query is None:
        from scanner.cli.render import WIDTH

        with _asking():
            for name, columns in _open(values).views().items():
                click.echo(
                    textwrap.fill(f"{name}: {', '.join(columns)}", WIDTH, subsequent_indent="  ")
                )
        return EXIT_OK
    return _answer(values, "row", lambda questions: questions.sql(query))


def _answer(
    values: dict[str, Any],
    noun: str,
    ask: "Callable[[Questions], pyarrow.Table]",
    *,
    lines: "Lines | None" = None,
    explain: "Callable[[Questions], str | None]" = lambda _: None,
    explain_always: bool = False,
) -> int:
    """Ask, and write the answer as wanted; ``lines`` shows a row to a person, else as a table.

    ``explain`` says why an empty answer is no answer; with ``explain_always``, of any answer.
    """
    form, out = values["form"], values["out"]
    if form == "parquet" and out is None:
        raise CommandError("parquet goes to a file; name it with --out FILE")
    with _asking():
        questions = _open(values)
        answer = ask(questions)
        doubtful = explain_always or not answer.num_rows
        if doubtful and (why := explain(questions)) is not None:
            click.echo(f"danewatch: {why}", err=True)
    try:
        _write(answer, form, out, noun, lines, no_color=values["no_color"])
    except BrokenPipeError:
        raise
    except (ValueError, OverflowError, NotImplementedError) as error:
        raise CommandError(f"the answer cannot be written as {form}: {error}") from error
    except OSError as error:
        place = error.filename or out or "standard output"
        raise CommandError(f"cannot write {place}: {error.strerror or error}") from error
    return EXIT_OK


def _unknown(questions: "Questions", domain: str) -> str | None:
    """Return that the history has nothing on ``domain``, which is not that it never changed."""
    if questions.knows(domain):
        return None
    return f"{domain} was never checked as far as this history knows; look at the spelling"


def _before_it_begins(questions: "Questions", moment: datetime) -> str | None:
    """Return that nothing is known of a time before the first record."""
    begin = questions.begins()
    if begin is None or begin <= moment:
        return None
    return (
        f"this history begins at {begin:%Y-%m-%d %H:%M:%S} UTC; what was at "
        f"{moment:%Y-%m-%d %H:%M:%S} UTC it does not know"
    )


def _transition_lines(row: "Mapping[str, Any]", style: "Style", width: int) -> "Iterator[Text]":
    from scanner.cli.render_history import transition_lines

    return transition_lines(row, style, width)


def _write(
    answer: "pyarrow.Table",
    form: str,
    out: str | None,
    noun: str,
    lines: "Lines | None",
    *,
    no_color: bool,
) -> None:
    from scanner.cli import answers
    from scanner.cli.render import Style, can_show_unicode, make_console

    if form == "parquet":
        assert out is not None
        answers.write_parquet(Path(out), answer)
        return
    stream = sys.stdout if out is None else answers.open_text(out)
    try:
        if form == "csv":
            answers.write_csv(stream, answer)
        elif form == "json":
            answers.write_json(stream, answer)
        else:
            console = make_console(stream, no_color=no_color or out is not None)
            style = Style(unicode=can_show_unicode(stream))
            if lines is None:
                answers.print_table(console, answer, style, noun)
            else:
                answers.print_rows(console, answer, style, noun, lines)
        stream.flush()
    finally:
        if out is not None:
            stream.close()


@contextmanager
def _asking() -> Iterator[None]:
    """Turn what a question may raise, and an operator can mend, into the end of the command."""
    from exporters.history.files import HistoryError
    from exporters.history.questions import QuestionError

    try:
        yield
    except (HistoryError, QuestionError) as error:
        raise CommandError(str(error)) from error


def _open(values: dict[str, Any]) -> "Questions":
    from exporters.history.questions import QuestionLimits, Questions
    from exporters.schema import TABLES

    directory = history_directory(values["directory"], values["config_file"])
    questions = Questions(directory, limits=QuestionLimits(answer_mib=values["max_mib"]))
    if not any((directory / table.name).is_dir() for table in TABLES):
        # "No failing domains" must not be read as good news about another directory.
        click.echo(
            f"danewatch: {directory} holds no history; nothing can be said from it", err=True
        )
    return questions


def history_directory(directory: str | None, config_file: str | None) -> Path:
    """Return which history is meant. Raises CommandError for a configuration with mistakes."""
    if directory is not None:
        return Path(directory)
    config = read_history_config(config_file)
    if config is None:
        return Path("history")
    if config.history.directory is None:
        raise CommandError(f"{config_file} names no history; add [history] directory")
    return Path(config.history.directory)


def read_history_config(config_file: str | None) -> "Config | None":
    """Return the configuration, None where none is named. Raises CommandError for mistakes."""
    from scanner.config import ConfigError, load_config

    if config_file is None:
        return None
    try:
        return load_config(config_file)
    except ConfigError as error:
        raise CommandError("\n".join(["wrong configuration", str(error)])) from error


def _name(text: str | None) -> str | None:
    """Return the name of an entity as the history spells it."""
    from scanner.model.names import InvalidNameError, parse_any_name

    if text is None:
        return None
    try:
        return parse_any_name(text)
    except InvalidNameError as error:
        raise CommandError(f"{text[:100]!r}: {error}") from error


def _now() -> datetime:
    from scanner.run.clock import SystemClock

    return SystemClock().now()
