"""Tells systemd how the service is (sd_notify(3)); does nothing where systemd did not ask.

One datagram to the socket named in ``NOTIFY_SOCKET``: a file path, or an abstract name after "@".
Failing to tell is no reason to stop working.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
MAX_STATUS_CHARACTERS = 200


def notify(*states: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send ``states``; return whether systemd could be told."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    message = "\n".join(states).encode("utf-8", "replace")
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(message, address)
        return True
    return False


def status(sentence: str) -> str:
    """Return the state that ``systemctl status`` shows, one line."""
    return "STATUS=" + " ".join(sentence.split())[:MAX_STATUS_CHARACTERS]


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how often systemd wants to hear from us: half of ``WATCHDOG_USEC``, or None."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    if not (text.isascii() and text.isdigit()) or (pid is not None and pid != str(os.getpid())):
        return None
    return int(text) / 2_000_000 or None
