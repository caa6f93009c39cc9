"""The servers of a load laboratory as processes: compiled when needed, ended with their parent."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
LIFETIME_SECONDS = 7_200
"""No server outlives this, whatever happens to the run."""
SLOW_MS = 1_500
"""How much later a resolver has given up on name servers that are silent; below one try's time."""
MAIL_PROCESSES = 2
NXDOMAIN = 3


class MissingToolError(Exception):
    """A program or library that the benchmark needs is not installed; the message says which."""


class Server:
    """One server process, ready for use once constructed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        word, _, port = self._line().partition(" ")
        if word != "ready":
            raise RuntimeError(f"{command[0]} did not start")
        self.port = int(port)

    def counts(self) -> dict[str, Any]:
        """Return what was counted since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("counts\n")
        self._process.stdin.flush()
        counts: dict[str, Any] = json.loads(self._line())
        return counts

    def stop(self) -> None:
        """End it: it does so when its standard input ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass(frozen=True, slots=True)
class Servers:
    """A running laboratory."""

    names: Server
    mail: Server


def build(name: str, directory: Path, *libraries: str) -> Path:
    """Return the program compiled from ``name``.c into ``directory``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingToolError("the load laboratory needs a C compiler: apt-get install gcc")
    source, program = SOURCES / f"{name}.c", directory / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    directory.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-o", str(program), str(source), *(f"-l{lib}" for lib in libraries)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        hint = "apt-get install libssl-dev" if "openssl" in result.stderr else "see above"
        raise MissingToolError(f"{result.stderr}\n{name}.c does not compile: {hint}")
    return program


@contextmanager
def serving(
    lab: Path,
    programs: Path,
    *,
    latency_ms: float = 0,
    dns_port: int = 0,
    smtp_port: int = 0,
    prefix: Sequence[str] = (),
    for_others: bool = False,
) -> Iterator[Servers]:
    """Serve the laboratory in ``lab`` until the block ends; port 0 is a free one.

    ``prefix`` is put before each command: to choose a processor or a network namespace. With
    ``for_others`` unknown names do not exist, where a question of ours would be refused.
    """
    names = build("nameserver", programs)
    mail = build("mailserver", programs, "ssl", "crypto")
    latency, lifetime = f"{latency_ms:g}", str(LIFETIME_SECONDS)
    with ExitStack() as stack:
        arguments = [str(lab / "replies.bin"), str(dns_port), latency, str(SLOW_MS), lifetime]
        arguments += [str(NXDOMAIN)] * for_others
        name_server = Server([*prefix, str(names), *arguments])
        stack.callback(name_server.stop)
        arguments = [str(lab / "hosts.bin"), str(smtp_port), latency, str(MAIL_PROCESSES), lifetime]
        mail_server = Server([*prefix, str(mail), *arguments])
        stack.callback(mail_server.stop)
        yield Servers(name_server, mail_server)
