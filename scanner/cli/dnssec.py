"""``danewatch dnssec``: the chain of trust from the anchor down to one answer, link by link."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.check import report_trouble
from scanner.cli.errors import EXIT_INCONCLUSIVE, EXIT_NOT_DELIVERED, EXIT_OK, CommandError
from scanner.cli.options import Options, read_config, scanner_options, settings_from
from scanner.model.vocabulary import DnssecStatus, RRType, ValidationMode

if TYPE_CHECKING:
    from datetime import datetime

    from scanner.cli.diagnosis import Validated
    from scanner.cli.wiring import Settings
    from scanner.model.dnssec import DnssecFinding, Validation
    from scanner.model.observation import Question

EXIT_CODES = {
    DnssecStatus.SECURE: EXIT_OK,
    DnssecStatus.INSECURE: EXIT_OK,
    DnssecStatus.BOGUS: EXIT_NOT_DELIVERED,
    DnssecStatus.INDETERMINATE: EXIT_INCONCLUSIVE,
}


@click.command("dnssec", short_help="Show the chain of trust down to one answer.")
@click.argument("name", required=False, metavar="NAME")
@click.argument(
    "rdtype",
    required=False,
    metavar="[TYPE]",
    type=click.Choice([rdtype.value for rdtype in RRType], case_sensitive=False),
)
@scanner_options
@click.option(
    "--graph",
    metavar="FILE",
    help="Draw the chain too; FILE ends in .svg or .png. Needs danewatch[graph].",
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the --json document.")
def command(
    name: str | None, rdtype: str | None, graph: str | None, schema: bool, **values: Any
) -> int:
    """Show the chain of trust from the anchor down to the records of NAME.

    Each link is shown with its DS records, keys and signatures; where the chain breaks, the page
    says in which zone, at which record, and what to do. TYPE is MX unless given, or TLSA for a
    name such as _25._tcp.mx.example.org.

    \b
    Examples:
      danewatch dnssec example.org
      danewatch dnssec _25._tcp.mx.example.org TLSA
      danewatch dnssec --graph chain.svg example.org DS

    \b
    Exit code:
      0  secure, or insecure      2  wrong usage or configuration
      1  bogus                    3  indeterminate
    """
    if schema:
        return _print_schema()
    if name is None:
        raise CommandError("name what to look up, as in: danewatch dnssec example.org MX")
    question = _question(name, rdtype)
    picture = _picture_file(graph)
    options = Options.take(values)
    settings = settings_from(options, read_config(options))
    if options.validation == ValidationMode.RESOLVER:
        raise CommandError("a chain can only be shown by validating it: --validation local")
    from scanner.cli.logs import set_up_logging
    from scanner.cli.trio_run import run_trio
    from scanner.judge.dnssec.forecast import forecast

    set_up_logging(options.log_level, options.log_format)
    validated = run_trio(_validate, question, settings)
    validation = validated.validation
    if validated.self_test is not None:
        report_trouble(validated.self_test)
    ahead = forecast(validation, now=validation.validated_at)
    _show(validation, ahead, validated.asked_at, options)
    if picture is not None:
        _draw(validation, picture)
    return EXIT_CODES[validation.status]


def _print_schema() -> int:
    import json

    from exporters.dnssec_document import load_schema

    click.echo(json.dumps(load_schema(), indent=2))
    return EXIT_OK


def _question(name: str, rdtype: str | None) -> "Question":
    from scanner.cli.logs import escape_controls
    from scanner.model.names import InvalidNameError, parse_any_name
    from scanner.model.observation import Question

    try:
        parsed = parse_any_name(name)
    except InvalidNameError as error:
        raise CommandError(f"not a name: {escape_controls(name[:80])}: {error}") from error
    if rdtype is not None:
        return Question(parsed, RRType(rdtype.upper()))
    return Question(parsed, RRType.TLSA if parsed.startswith("_") else RRType.MX)


def _picture_file(graph: str | None) -> Path | None:
    """Return where to draw; raises CommandError before anything is asked if it cannot be."""
    if graph is None:
        return None
    from scanner.cli.chain_picture import SUFFIXES, is_available

    path = Path(graph)
    if path.suffix.lower() not in SUFFIXES:
        raise CommandError(f"--graph {graph}: the file must end in {' or '.join(SUFFIXES)}")
    if not is_available():
        raise CommandError(
            "--graph needs a library that is not installed; get it with: "
            "pip install 'danewatch[graph]'"
        )
    return path


async def _validate(question: "Question", settings: "Settings") -> "Validated":
    from scanner.cli import diagnosis

    return await diagnosis.validate(question, settings)


def _show(
    validation: "Validation",
    ahead: "tuple[DnssecFinding, ...]",
    checked_at: "datetime",
    options: Options,
) -> None:
    if options.as_json:
        from exporters.dnssec_document import dnssec_document, to_json_line

        document = dnssec_document(validation, checked_at=checked_at, forecast=ahead)
        click.echo(to_json_line(document))
        return
    from scanner.cli.render import Style, can_show_unicode, make_console
    from scanner.cli.render_dnssec import print_dnssec

    console = make_console(no_color=options.no_color)
    print_dnssec(console, validation, ahead, Style(unicode=can_show_unicode(sys.stdout)))


def _draw(validation: "Validation", path: Path) -> None:
    from scanner.cli.chain_picture import draw_chain

    try:
        draw_chain(validation, path)
    except OSError as error:
        raise CommandError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    click.echo(f"danewatch: the chain is drawn in {path}", err=True)
