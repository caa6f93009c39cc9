"""Exit codes of the command line, and the error that ends a command with one.

The codes are a contract (``docs/cli.md``). Python's own 1 for an uncaught exception would read as
"mail is blocked", so a bug of ours ends with 70 (``EX_SOFTWARE`` of sysexits.h), and a reader of
our output that went away with 141, as a shell shows it.
"""

from collections.abc import Iterable
from typing import IO, Any

import click

from scanner.cli.logs import escape_controls
from scanner.model.vocabulary import DomainVerdict

EXIT_OK = 0
EXIT_NOT_DELIVERED = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_BLIND = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_NOT_DELIVERED = frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED, DomainVerdict.NO_MAIL})


class CommandError(click.ClickException):
    """Wrong usage, wrong configuration, or a place that cannot be written; exit code 2."""

    exit_code = EXIT_USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to standard error."""
        # File names and the like may hold control characters.
        lines = [escape_controls(line) for line in self.format_message().split("\n")]
        click.echo("danewatch: " + "\n".join(lines), file=file, err=file is None)


def exit_code_of_check(verdicts: Iterable[DomainVerdict]) -> int:
    """Return the exit code of ``check`` for the verdicts under the chosen profile."""
    found = set(verdicts)
    if found & _NOT_DELIVERED:
        return EXIT_NOT_DELIVERED
    return EXIT_INCONCLUSIVE if DomainVerdict.INCONCLUSIVE in found else EXIT_OK
