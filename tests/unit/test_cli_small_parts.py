"""The small parts of the command line: resolv.conf, logs, host names, errors, the end."""

import gc
import io
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click
import pytest
import trio

from scanner import __version__
from scanner.cli import main as main_module
from scanner.cli.logs import ConsoleFormatter, JsonFormatter
from scanner.cli.main import run
from scanner.cli.options import own_host_name
from scanner.cli.render import Style, can_show_unicode, make_console
from scanner.cli.resolvconf import read_name_servers
from scanner.cli.trio_run import COLLECTOR_THRESHOLD, NEVER, run_trio


def test_name_servers_are_read_as_the_c_library_does(tmp_path: Path) -> None:
    """Order kept, duplicates and nonsense dropped, zones kept, three at most."""
    file = tmp_path / "resolv.conf"
    file.write_bytes(
        b"# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\n"
        b" nameserver\t192.0.2.1 # twice\nnameserver\nnameserver dns.example\n"
        b"nameserver fe80::1%eth0\nnameserver \xff\nnameserver 2001:DB8::1\nnameserver 192.0.2.4\n"
    )
    assert read_name_servers(file) == ("192.0.2.1", "fe80::1%eth0", "2001:db8::1")


def test_missing_resolv_conf_names_no_server(tmp_path: Path) -> None:
    """A container may have none."""
    assert read_name_servers(tmp_path / "missing") == ()


def record(
    message: str, *arguments: object, error: BaseException | None = None
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord(
        "danewatch.test", logging.WARNING, __file__, 1, message, arguments, info
    )


def test_console_log_is_one_safe_line() -> None:
    """Text a peer sent cannot act on the terminal."""
    line = ConsoleFormatter().format(record("got %s", "\x1b[31m\nx"))
    assert line == "danewatch: warning: got \\x1b[31m\\nx"


def test_json_log_is_one_object_a_line() -> None:
    """With time in RFC 3339, and the traceback where there is one."""
    line = JsonFormatter().format(record("a\nb", error=ValueError("why")))
    entry = json.loads(line)
    assert "\n" not in line
    assert entry["time"].endswith("Z")
    assert (entry["level"], entry["logger"]) == ("warning", "danewatch.test")
    assert entry["message"] == "a\nb"
    assert "ValueError: why" in entry["exception"]


def test_console_log_shows_the_traceback() -> None:
    """A bug is told in full."""
    assert "ValueError: why" in ConsoleFormatter().format(record("x", error=ValueError("why")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Scanner.Example.COM", "scanner.example.com"), ("vm", "localhost"), ("", "localhost")],
)
def test_own_host_name_is_a_full_name_or_localhost(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    """A bare label would be no valid EHLO argument."""
    monkeypatch.setattr("socket.gethostname", lambda: name)
    assert own_host_name() == expected


def test_single_error_comes_out_of_trio_unwrapped() -> None:
    """However many nurseries it went through."""

    async def fail() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(_raise, KeyError("x"))

    with pytest.raises(KeyError):
        run_trio(fail)


def test_interrupt_outweighs_other_errors() -> None:
    """What the operator did comes before what went wrong with it."""

    async def fail() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise, ValueError("x"))
            nursery.start_soon(_raise, KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        run_trio(fail)


def test_the_collector_looks_less_often_while_a_command_runs() -> None:
    """And as often as before when it has ended, however that was."""
    before = gc.get_threshold()

    async def look() -> tuple[int, ...]:
        await trio.lowlevel.checkpoint()
        return (gc.get_freeze_count(), *gc.get_threshold())

    async def fail() -> None:
        raise ValueError(await look())

    frozen, *during = run_trio(look)
    assert frozen > 1_000
    assert during == [COLLECTOR_THRESHOLD, NEVER, NEVER]
    with pytest.raises(ValueError, match="5000"):
        run_trio(fail)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_several_errors_stay_a_group() -> None:
    """None of them is hidden."""

    async def fail() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise, ValueError("x"))
            nursery.start_soon(_raise, KeyError("y"))

    with pytest.raises(ExceptionGroup) as caught:
        run_trio(fail)
    assert len(caught.value.exceptions) == 2


async def _raise(error: BaseException) -> None:
    raise error


def command_that(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Put a command in place of ``config`` that runs ``action``."""
    command = click.Command("config", callback=action)
    monkeypatch.setattr(main_module.LazyGroup, "get_command", lambda *_: command)


def raiser(error: BaseException) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("broken"), 70, "this is a bug in danewatch and says nothing about any domain"),
        (KeyboardInterrupt(), 130, "danewatch: interrupted\n"),
        (click.Abort(), 130, "danewatch: interrupted\n"),
        (click.FileError("x", "y"), 2, "Could not open file"),
    ],
)
def test_a_bug_or_an_interrupt_never_looks_like_blocked_mail(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
) -> None:
    """Exit code 1 is kept for verdicts."""
    command_that(monkeypatch, raiser(error))
    assert run(["config"]) == code
    assert text in capsys.readouterr().err


def test_reader_that_went_away_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As with ``| head``: no traceback, the exit code a shell shows."""
    command_that(monkeypatch, raiser(BrokenPipeError()))
    monkeypatch.setattr(main_module, "_discard_output", lambda: None)
    assert run(["config"]) == 141
    assert capfd.readouterr().err == ""


class ClosedPipe(io.StringIO):
    """A stream whose reader has gone."""

    encoding = "utf-8"  # type: ignore[assignment]

    def write(self, text: str) -> NoReturn:
        raise BrokenPipeError


def test_page_whose_reader_went_away_is_no_verdict() -> None:
    """rich would end the process with 1, which means that mail is not delivered."""
    with pytest.raises(BrokenPipeError):
        make_console(ClosedPipe()).print("x")


def test_main_ends_the_process_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point of the installed script."""
    monkeypatch.setattr(sys, "argv", ["danewatch", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 2


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Name and version, nothing else."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"danewatch {__version__}\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not with --no-color or NO_COLOR."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def printed(stream: io.StringIO, *, no_color: bool = False) -> str:
        make_console(stream, no_color=no_color).print("x", style="red")
        return stream.getvalue()

    assert printed(io.StringIO()) == "x\n"
    assert "\x1b[31m" in printed(Terminal())
    assert printed(Terminal(), no_color=True) == "x\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in printed(Terminal())


def test_width_is_80_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal does not make long lines; a narrow one makes short ones."""
    for columns, expected in (("200", 80), ("60", 60)):
        monkeypatch.setenv("COLUMNS", columns)
        assert make_console(Terminal()).width == expected
        assert make_console(io.StringIO()).width == 80


def test_stream_that_cannot_show_a_character_gets_an_escape() -> None:
    """An ASCII terminal never makes output fail."""
    octets = io.BytesIO()
    stream = io.TextIOWrapper(octets, encoding="ascii")
    assert not can_show_unicode(stream)
    make_console(stream).print("✔")
    stream.flush()
    assert octets.getvalue() == b"\\u2714\n"


def test_safe_text_without_unicode_is_ascii() -> None:
    """Everything else is escaped; white space becomes one space each."""
    assert Style(unicode=False).safe("bü\tc\u202e") == "b\\xfc c\\u202e"
    assert Style(unicode=True).safe("bü\tc\u202e") == "bü c\\u202e"
