"""Telling systemd: one datagram where it asked, nothing elsewhere."""

import os
import socket
from pathlib import Path

import pytest

from scanner.cli.sdnotify import READY, notify, status, watchdog_seconds


def test_states_arrive_as_lines_of_one_datagram(tmp_path: Path) -> None:
    """At the path systemd names."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        assert notify(READY, status("a\nb"), environment={"NOTIFY_SOCKET": str(path)})
        assert receiver.recv(1024) == b"READY=1\nSTATUS=a b"


def test_an_abstract_name_is_understood() -> None:
    """Containers use them."""
    name = f"danewatch-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        assert notify(READY, environment={"NOTIFY_SOCKET": "@" + name})
        assert receiver.recv(1024) == b"READY=1"


@pytest.mark.parametrize("path", [None, "", "relative", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_failure(path: str | None) -> None:
    """Started from a shell, or the manager has gone."""
    assert not notify(READY, environment={} if path is None else {"NOTIFY_SOCKET": path})


def test_the_watchdog_is_fed_twice_as_often_as_it_bites() -> None:
    """And only when it watches this process."""
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 15.0
    own = str(os.getpid())
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": own}) == 15.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1" + own}) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_seconds({}) is None
