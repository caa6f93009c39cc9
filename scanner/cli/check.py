"""``danewatch check``: look at domains now and explain what a sender would experience."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.errors import CommandError, exit_code_of_check
from scanner.cli.options import Options, read_config, scanner_options, settings_from

if TYPE_CHECKING:
    from scanner.cli.wiring import Scanner, Settings
    from scanner.model.names import Name
    from scanner.model.verdict import Check
    from scanner.observe.selftest import SelfTest

CHECKS_IN_FLIGHT = 10
"""Domains of one command line checked at the same time; they are shown in the order given."""


@click.command("check", short_help="Check domains now and explain what a sender would see.")
@click.argument("domains", nargs=-1, metavar="DOMAIN...")
@scanner_options
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the --json document.")
def command(domains: tuple[str, ...], schema: bool, **values: Any) -> int:
    """Check each DOMAIN now and explain what a sender would see.

    The steps are those of a sender: DNSSEC and MX records, addresses, TLSA records, SMTP with
    STARTTLS, the certificate, and whether it matches. Nothing is sent.

    \b
    Examples:
      danewatch check example.org
      danewatch check --json example.org example.net
      danewatch check --resolver 127.0.0.1:5353 --profile rfc7672 example.org

    \b
    Exit code, by the verdict under the chosen profile:
      0  mail is delivered        2  wrong usage or configuration
      1  mail is not delivered    3  nothing can be said (and none is 1)
    """
    if schema:
        return _print_schema()
    if not domains:
        raise CommandError("name a domain, as in: danewatch check example.org")
    options = Options.take(values)
    names = _parse_domains(domains)
    config = read_config(options)
    settings = replace(settings_from(options, config), always_compare=True, without_sni=True)
    from scanner.cli.logs import set_up_logging
    from scanner.cli.trio_run import run_trio

    set_up_logging(options.log_level, options.log_format)
    show = _json_shower(settings) if options.as_json else _page_shower(options, settings)
    checks: list[Check] = []

    def take(check: "Check") -> None:
        checks.append(check)
        show(check)

    run_trio(_check_all, names, settings, take)
    return exit_code_of_check(
        check.judgement.of(settings.policy.profile).verdict for check in checks
    )


def _print_schema() -> int:
    import json

    from exporters.jsonl import CHECK_SCHEMA

    click.echo(json.dumps(CHECK_SCHEMA, indent=2))
    return 0


def _parse_domains(domains: Sequence[str]) -> "list[Name]":
    """Return the names, each once; raises CommandError that lists every one that is wrong."""
    from scanner.cli.logs import escape_controls
    from scanner.model.names import InvalidNameError, parse_domain

    names: dict[Name, None] = {}
    wrong: list[str] = []
    for domain in domains:
        try:
            names[parse_domain(domain)] = None
        except InvalidNameError as error:
            wrong.append(f"{escape_controls(domain[:80])}: {error}")
    if wrong:
        raise CommandError("\n".join(["not a domain:", *(f"  {line}" for line in wrong)]))
    return list(names)


def _json_shower(settings: "Settings") -> "Callable[[Check], None]":
    from exporters.jsonl import check_line

    def show(check: "Check") -> None:
        click.echo(check_line(check, profile=settings.policy.profile))

    return show


def _page_shower(options: Options, settings: "Settings") -> "Callable[[Check], None]":
    from scanner.cli.render import Style, can_show_unicode, make_console
    from scanner.cli.render_check import print_check

    console = make_console(no_color=options.no_color)
    style = Style(unicode=can_show_unicode(sys.stdout))
    shown: list[bool] = []

    def show(check: "Check") -> None:
        if shown:
            console.print()
        shown.append(True)
        print_check(
            console,
            check,
            profile=settings.policy.profile,
            queue_life=settings.policy.queue_life,
            style=style,
        )

    return show


async def _check_all(
    names: "Sequence[Name]", settings: "Settings", take: "Callable[[Check], None]"
) -> None:
    """Check every name and hand the checks to ``take`` in the order of ``names``."""
    from scanner.cli import wiring

    async with wiring.open_scanner(settings) as scanner:
        await report_self_test(scanner)
        await check_in_order(scanner, names, take)


async def report_self_test(scanner: "Scanner") -> bool:
    """Test our own resolvers; say on standard error what is wrong, and return whether all is well.

    A check goes on all the same: what cannot be judged comes out as inconclusive.
    """
    result = await scanner.self_test()
    report_trouble(result)
    return result.ok


def report_trouble(result: "SelfTest") -> None:
    """Say on standard error what a self-test found wrong, with the remedies."""
    for item in result.checks:
        if not item.ok:
            remedy = f"\n  {item.remedy}" if item.remedy else ""
            click.echo(f"danewatch: {item.sentence}{remedy}", err=True)


async def check_in_order(
    scanner: "Scanner", names: "Sequence[Name]", take: "Callable[[Check], None]"
) -> None:
    """Check ``names``, several at a time, and hand each check to ``take`` in its turn."""
    import trio

    limiter = trio.CapacityLimiter(CHECKS_IN_FLIGHT)
    finished: dict[int, Check] = {}
    turn = 0

    async def check_one(position: int, name: "Name") -> None:
        nonlocal turn
        async with limiter:
            finished[position] = await scanner.check(name)
        while turn in finished:
            turn += 1
            take(finished.pop(turn - 1))

    async with trio.open_nursery() as nursery:
        for position, name in enumerate(names):
            nursery.start_soon(check_one, position, name)
