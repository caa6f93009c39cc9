"""A laboratory in a process of its own, and ``danewatch scan`` of it as a user starts it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Shorter than the defaults, so that the silent hosts of a laboratory cost seconds.
IMPATIENT = """
[resolver]
try_timeout_seconds = 2.0
total_timeout_seconds = 6.0
[smtp]
connect_timeout_seconds = 3.0
greeting_timeout_seconds = 5.0
reply_timeout_seconds = 3.0
handshake_timeout_seconds = 3.0
total_timeout_seconds = 10.0
"""


@contextmanager
def lab_process(*arguments: str, seconds: int) -> Iterator[dict[str, Any]]:
    """Start ``python -m scanner.lab`` and yield what it says of itself; it ends with the block.

    It ends by itself with this process, and after ``seconds`` in any case.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scanner.lab", *arguments),
            *("--seconds", str(seconds), "--until-eof"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@dataclass(frozen=True)
class ScannedLab:
    """A running laboratory and what a pass over it needs, in ``directory``."""

    facts: dict[str, Any]
    directory: Path

    def __post_init__(self) -> None:
        self.write_targets("targets.txt", self.names)
        (self.directory / "anchor.ds").write_text(self.facts["trust_anchor"] + "\n")
        (self.directory / "danewatch.toml").write_text(IMPATIENT)

    @property
    def names(self) -> list[str]:
        return [domain["domain"] for domain in self.facts["domains"]]

    @property
    def expected(self) -> dict[str, tuple[str, str]]:
        return {
            domain["domain"]: (domain["rfc7672"], domain["exchange-online"])
            for domain in self.facts["domains"]
        }

    def write_targets(self, name: str, domains: list[str]) -> None:
        (self.directory / name).write_text("\n".join(domains) + "\n")

    def scan(self, history: Path, *more: str, targets: str = "targets.txt") -> list[str]:
        """Return the command line of a pass into ``history``."""
        return [
            *(sys.executable, "-m", "scanner", "scan", str(self.directory / targets)),
            *("--output", str(history), "--json", "--allow-private-addresses"),
            *("--resolver", self.facts["resolver"], "--smtp-port", str(self.facts["smtp_port"])),
            *("--config", str(self.directory / "danewatch.toml")),
            *("--trust-anchor", str(self.directory / "anchor.ds")),
            *more,
        ]
