"""A worker process: ``python -m scanner.cli.worker SOCKET``, started by ``scanner.run.workers``.

Nobody starts it by hand. It is built from the settings its parent sends, as the parent itself is,
and ends with it.
"""

import socket
import sys

import trio

from scanner.cli.trio_run import run_trio
from scanner.cli.wiring import FirstMessage, Settings, open_eyes, prober_of
from scanner.run.clock import SystemClock
from scanner.run.workers_child import (
    CountingMeter,
    Muscles,
    RemoteProber,
    ToldEgress,
    end_with,
    serve,
)
from scanner.run.workers_process import leave_signals_to_the_parent, receive_first

STANDARD_INPUT = 0
"""The life line: it ends when the parent does."""


def main(arguments: list[str]) -> int:
    """Work for the parent at the other end of the socket of that number, until it is gone."""
    leave_signals_to_the_parent()
    end_with(STANDARD_INPUT)
    link = socket.socket(fileno=int(arguments[0]))
    try:
        first = receive_first(link)
    except (EOFError, ConnectionError):
        return 0
    assert isinstance(first, FirstMessage)
    run_trio(_work, link, first.settings, first.log_level)
    return 0


async def _work(link: socket.socket, settings: Settings, log_level: int) -> None:
    clock, meter = SystemClock(), CountingMeter()
    remote, egress = RemoteProber(), ToldEgress()
    async with open_eyes(settings, clock=clock, meter=meter) as eyes:
        checker = eyes.checker(remote, eyes.vantage(egress.prove))
        muscles = Muscles(
            check=checker.check,
            prober=prober_of(settings, clock=clock, on_connection=egress.note_connection),
            forget_failures=eyes.forget_failures,
            forget_everything=eyes.forget,
        )
        await serve(
            trio.SocketStream(trio.socket.from_stdlib_socket(link)),
            muscles,
            prober=remote,
            egress=egress,
            meter=meter,
            log_level=log_level,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
