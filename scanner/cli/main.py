"""The ``danewatch`` command: finds the sub-command asked for and turns its end into an exit code.

A sub-command's module is imported only when that sub-command runs or is asked for help, and the
modules themselves import their heavy dependencies inside the functions that need them: ``--help``
must answer at once.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from scanner import __version__
from scanner.cli.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    CommandError,
)

COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("scanner.cli.check", "Check domains now and explain what a sender would see."),
    "scan": ("scanner.cli.scan", "One pass over target lists; the results go into Parquet files."),
    "monitor": ("scanner.cli.monitor", "The service: periodic checks, history, metrics, health."),
    "dnssec": ("scanner.cli.dnssec", "Show the chain of trust down to one answer."),
    "history": ("scanner.cli.history", "Ask the history: what changed, since when, for whom."),
    "targets": ("scanner.cli.targets", "Look at target lists."),
    "config": ("scanner.cli.config", "Look at configuration files."),
    "demo": ("scanner.cli.demo", "See the whole product work, without network or root."),
}
"""Sub-commands: the module that has a ``command``, and one line for the list."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they are documented."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Try: danewatch check example.org",
)
@click.version_option(__version__, prog_name="danewatch", message="%(prog)s %(version)s")
def danewatch() -> None:
    """Watch partner mail domains the way a DANE-enforcing sender sees them."""


WITHOUT_BIG_MODULES = frozenset({"scan", "monitor"})
BIG_MODULES = ("numpy", "pandas")
"""What pyarrow imports where it happens to be installed, for a third of a second of processor time,
and what it does without just as well where it is not. None of these commands needs them."""


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    _do_without_big_modules(sys.argv[1:])
    sys.exit(run(sys.argv[1:]))


def _do_without_big_modules(arguments: Sequence[str]) -> None:
    """Let this process take big modules for not installed where its command needs none.

    Passes on a cluster are left alone: what Dask imports there is not for us to say.
    """
    clustered = any("dask" in argument for argument in arguments)
    if WITHOUT_BIG_MODULES.isdisjoint(arguments[:1]) or clustered:
        return
    sys.meta_path.insert(0, _BigModulesAbsent())


class _BigModulesAbsent:
    """Finds big modules nowhere.

    None in ``sys.modules`` would not do: compiled code that imports one is given the None.
    """

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raise ModuleNotFoundError for a big module, leave any other to others."""
        if fullname in BIG_MODULES:
            raise ModuleNotFoundError(f"danewatch does without {fullname}", name=fullname)


def run(arguments: Sequence[str]) -> int:
    """Run ``danewatch`` with ``arguments`` and return its exit code.

    Nothing escapes but what Python raises to end the process.
    """
    try:
        result = danewatch.main(list(arguments), prog_name="danewatch", standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except BrokenPipeError:
        _discard_output()
        return EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        click.echo("danewatch: interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the waist: a bug of ours must not exit with 1,
        # which means "mail is blocked"; it is named as a bug, with the traceback.
        return _report_bug(error)
    return result if isinstance(result, int) else EXIT_OK


def _discard_output() -> None:
    """Send what Python would still flush at exit to nowhere (the reader has gone)."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _report_bug(error: Exception) -> int:
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    click.echo(
        "danewatch: this is a bug in danewatch and says nothing about any domain; "
        "please report it with the lines above",
        err=True,
    )
    return EXIT_BUG
