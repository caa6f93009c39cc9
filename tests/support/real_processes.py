"""Real servers as child processes: started, waited for, watched and ended by their own id.

Rules. A server is ready when it says so in its log, so nothing waits by guessing. Every server runs
under ``timeout``, so that it ends by itself even if the test run is killed. What it logged is kept
and shown with a failing test.
"""

import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

LIFETIME_SECONDS = 900
"""No server outlives this, whatever happens to the test run."""
START_SECONDS = 30
"""A server that is not ready by then has failed."""
LOG_LINES_KEPT = 400
LOG_LINES_SHOWN = 20

SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
REMEDY = (
    "run .ci/install-servers, or: apt-get install --no-install-recommends unbound unbound-host nsd "
    "bind9-utils bind9-dnsutils ldnsutils postfix prometheus prometheus-alertmanager openssl "
    "iproute2 util-linux uidmap"
)

running: list["RealServer"] = []
"""The servers that are up now; the report of a failing test shows their logs."""


class MissingProgramError(Exception):
    """A real server is not installed; the message holds the remedy."""


def program(name: str) -> str:
    """Return the path of an installed program. Raises MissingProgramError with the remedy."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        raise MissingProgramError(f"{name} is not installed: {REMEDY}")
    return path


class RealServer:
    """One server process, ready for use once constructed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self._process = subprocess.Popen(
            [program("timeout"), "--kill-after=5", str(LIFETIME_SECONDS), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": SYSTEM_PATH, **(environment or {})},
        )
        self._reader: threading.Thread | None = None
        running.append(self)
        try:
            self._wait_for(ready)
        except BaseException:
            self.stop()
            raise
        self._reader = threading.Thread(target=self._drain, name=f"{name}-log", daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """The last lines the server wrote, LOG_LINES_KEPT at most."""
        return "\n".join(self._log)

    @property
    def log_tail(self) -> str:
        """The very last lines: enough to show beside a failing test."""
        return "\n".join(list(self._log)[-LOG_LINES_SHOWN:])

    @property
    def pid(self) -> int:
        """The process we started: ``timeout``, which passes signals on to the server."""
        return self._process.pid

    def stop(self) -> None:
        """End the server and wait for it."""
        if self in running:
            running.remove(self)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)
        if self._reader is not None:
            self._reader.join(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _wait_for(self, ready: str) -> None:
        """Read the log until the line that says the server is up."""
        pipe = self._process.stdout
        assert pipe is not None
        deadline = time.monotonic() + START_SECONDS
        os.set_blocking(pipe.fileno(), False)
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while selector.select(timeout=max(0.0, deadline - time.monotonic())):
                chunk = os.read(pipe.fileno(), 65_536)
                *lines, pending = (pending + chunk).split(b"\n")
                self._log.extend(line.decode(errors="replace") for line in lines)
                if any(ready in line.decode(errors="replace") for line in lines):
                    os.set_blocking(pipe.fileno(), True)
                    return
                if not chunk:
                    break
        raise RuntimeError(f"{self.name} did not start:\n{self.log}")

    def _drain(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        for line in pipe:
            self._log.append(line.decode(errors="replace").rstrip("\n"))


class Namespace:
    """A private network and file system view, with its own ports 25 and 53 and resolv.conf.

    Needs root, or user namespaces with subordinate ids (newuidmap(1)). Ending it ends every
    process inside, because it is a process namespace too.
    """

    def __init__(self, directory: Path) -> None:
        resolv_conf = directory / "resolv.conf"
        # trust-ad: since glibc 2.31 the AD bit is hidden from programs otherwise (resolv.conf(5)).
        resolv_conf.write_text("nameserver 127.0.0.1\noptions trust-ad edns0 timeout:5\n")
        script = (
            f"mount --bind {resolv_conf} /etc/resolv.conf && ip link set lo up"
            f" && echo namespace-ready && exec sleep {LIFETIME_SECONDS}"
        )
        flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            flags += ["--map-root-user", "--map-auto"]
        self._server = RealServer(
            "namespace", [program("unshare"), *flags, "sh", "-c", script], ready="namespace-ready"
        )
        self._init = self._init_pid()
        self._enter = [
            *(program("nsenter"), f"--target={self._init}"),
            *("--mount", "--net", "--pid", "--wdns=/"),
            *(() if os.geteuid() == 0 else ("--user", "--preserve-credentials")),
        ]

    def command(self, command: Sequence[str]) -> list[str]:
        """Return ``command`` as it must be run to take place inside."""
        return [*self._enter, *command]

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run ``command`` inside to its end."""
        return subprocess.run(
            self.command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PATH": SYSTEM_PATH},
        )

    def stop(self) -> None:
        """End everything inside."""
        # The first process inside, not unshare, which holds off SIGTERM: the kernel then ends
        # every other process of the namespace (pid_namespaces(7)).
        os.kill(self._init, signal.SIGKILL)
        self._server.stop()

    def _init_pid(self) -> int:
        """Return the id, seen from outside, of the first process inside."""
        pid = self._server.pid
        for _generation in ("unshare", "sh"):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0])
        return pid
