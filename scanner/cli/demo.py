"""``danewatch demo``: the whole product at work against the built-in laboratory."""

from pathlib import Path

import click

from scanner.cli.errors import EXIT_BUG, EXIT_OK


@click.command("demo", short_help="See the whole product work, without network or root.")
@click.option(
    "--output",
    default="demo-output",
    show_default=True,
    metavar="DIR",
    help="Where the history and the metrics of the demo go.",
)
@click.option(
    "--monitor", is_flag=True, help="The service instead: thirty hours of it in a minute."
)
@click.option("--no-color", is_flag=True, help="No colour (so does NO_COLOR).")
def command(output: str, monitor: bool, no_color: bool) -> int:
    """See danewatch at work: three passes over sixteen partners that do not exist.

    A small Internet is started on loopback, with a signed root, zones and mail servers. The first
    pass shows how the partners are; then two of them make mistakes, and repair them again. Each
    verdict is compared with what the laboratory meant. Nothing leaves this machine.

    With --monitor the service watches them for thirty hours, on a clock that runs faster: mistakes,
    repairs, mail that begins to bounce, and three hours without a resolver.

    \b
    Examples:
      danewatch demo
      danewatch demo --monitor

    \b
    Exit code: 0 all is as meant, 70 something is not (a bug in danewatch).
    """
    import sys

    from scanner.cli.demo_story import tell
    from scanner.cli.render import Style, can_show_unicode, make_console
    from scanner.cli.trio_run import run_trio

    console = make_console(no_color=no_color)
    style = Style(unicode=can_show_unicode(sys.stdout))
    if monitor:
        from scanner.cli.demo_monitor import tell_monitor

        tell = tell_monitor
    return EXIT_OK if run_trio(tell, console, style, Path(output)) else EXIT_BUG
