"""Starts a worker process: a new interpreter, never a fork of this one with its loop and sockets.

The process gets one end of a socket pair (its number is its argument), and as standard input the
reading end of a pipe on which nothing ever comes: its end is the end of this process. The first
message through the pair is what the worker is made from.
"""

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import trio

_HEAD = struct.Struct(">I")
MAX_FIRST_OCTETS = 64 * 1024 * 1024
"""Of the first message: settings, with trust anchors and whatever an operator listed."""
LEFT_TO_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that terminals and service managers send to all processes of a group."""


class Process(Protocol):
    """One process that was started, and our end of the link to it."""

    @property
    def stream(self) -> trio.SocketStream:
        """Our end of the link."""
        ...

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...

    async def wait(self) -> int:
        """Return its exit status once it has ended, negative for a signal."""
        ...


class SpawnedProcess:
    """A process of this machine (implements ``Process``)."""

    def __init__(self, popen: "subprocess.Popen[bytes]", stream: trio.SocketStream) -> None:
        self._popen = popen
        self.stream = stream

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    def kill(self) -> None:
        """End it now."""
        self._popen.kill()

    async def wait(self) -> int:
        """Return its exit status once it has ended, negative for a signal."""
        pidfd = os.pidfd_open(self.pid) if self._popen.poll() is None else None
        if pidfd is not None:
            try:
                await trio.lowlevel.wait_readable(pidfd)
            finally:
                os.close(pidfd)
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        return self._popen.wait()


async def spawn(arguments: Sequence[str], first: Any) -> SpawnedProcess:
    """Start this interpreter with ``arguments`` and the number of its socket; send it ``first``.

    Raises OSError.
    """
    body = pickle.dumps(first, pickle.HIGHEST_PROTOCOL)
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            popen = await trio.to_thread.run_sync(_popen, tuple(arguments), theirs)
    except BaseException:
        ours.close()
        raise
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    process = SpawnedProcess(popen, stream)
    try:
        await stream.send_all(_HEAD.pack(len(body)) + body)
    except trio.BrokenResourceError:
        pass  # it has ended already, and the link will say so
    except BaseException:
        popen.kill()
        popen.wait()
        await trio.aclose_forcefully(stream)
        raise
    return process


def _popen(arguments: tuple[str, ...], theirs: socket.socket) -> "subprocess.Popen[bytes]":
    """Start the process, in a thread.

    The signals that are left to the parent are blocked in this thread for as long as it takes: the
    process begins with them blocked, and none can end it before it says that it ignores them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)
    try:
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", *arguments, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_the_parent() -> None:
    """Ignore, in a worker, what ends or reloads the parent."""
    for number in LEFT_TO_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_THE_PARENT)


def receive_first(sock: socket.socket) -> Any:
    """Return the first message; blocks. Raises EOFError when the parent is gone."""
    (size,) = _HEAD.unpack(_receive(sock, _HEAD.size))
    if size > MAX_FIRST_OCTETS:
        raise ValueError(f"a first message of {size:,} octets")
    return pickle.loads(_receive(sock, size))  # noqa: S301 - from our own parent


def _receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError("the parent is gone")
        data += more
    return bytes(data)
