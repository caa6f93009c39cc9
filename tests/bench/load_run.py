"""One pass of danewatch over a running laboratory, measured from outside and from inside."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from load_servers import Servers

CLIENT = Path(__file__).parent / "load_client.py"
ROOT = Path(__file__).parents[2]
MEMORY_SECONDS = 0.25
PAGE = os.sysconf("SC_PAGE_SIZE")
HOTTEST = 15
INCONCLUSIVE = "'inconclusive'"
COLUMNS = (
    "domain",
    "rfc7672_verdict",
    "exchange_online_verdict",
    "exchange_online_code",
    "exchange_online_reason",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How danewatch is run. Time-outs and everything else not named here are its defaults."""

    validation: str = "local"
    in_flight: int = 1_000
    both_algorithms: bool = True
    workers: int = 1
    code: Path = ROOT
    """The checkout whose danewatch is run."""

    def toml(self) -> str:
        """Return the configuration file."""
        return (
            f"[limits]\ndomains_in_flight = {self.in_flight}\n"
            f"probes_in_flight = {self.in_flight}\n"
            f"{self.workers_toml()}"
            f"[resolver]\nlookups_in_flight = {max(500, self.in_flight)}\n"
            f"[smtp]\nboth_algorithms = {str(self.both_algorithms).lower()}\n"
            f"allow_private_addresses = true\n"
        )

    def workers_toml(self) -> str:
        """Return the line for several processes; none for one, which older versions run too."""
        return f"workers = {self.workers}\n" if self.workers != 1 else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One pass. ``wrong`` are verdicts that differ from what was meant, a line each; ``undecided``
    those that are inconclusive instead: danewatch says that it could not see."""

    sampled: bool
    figures: dict[str, Any]
    wrong: list[str]
    undecided: list[str]
    unknown: list[str]
    inside: dict[str, Any] = field(repr=False)

    def stages(self, count: int) -> dict[str, float]:
        """Return processor milliseconds a domain of each stage, of the whole process.

        The main thread's come from the samples; what other threads use is the sinks' work, and so
        is what follows the pass.
        """
        inside = self.inside
        spent = {name: 1000 * each / count for name, each in inside["stages"].items()}
        spent.pop("measuring", None)
        others = inside["pass_cpu_seconds"] - inside["pass_main_thread_seconds"]
        closing = inside["cpu_seconds"] - inside["start_cpu_seconds"] - inside["pass_cpu_seconds"]
        spent["sinks"] = spent.get("sinks", 0.0) + 1000 * (others + closing) / count
        spent["start"] = 1000 * inside["start_cpu_seconds"] / count
        return {name: round(spent[name], 3) for name in sorted(spent, key=spent.__getitem__)[::-1]}

    def hottest(self) -> dict[str, float]:
        """Return the functions most often found running, with their share of the samples."""
        total = sum(self.inside["stages"].values())
        functions = list(self.inside["functions"].items())[:HOTTEST]
        return {name: each / total for name, each in functions}


def run_scan(
    lab: Path,
    servers: Servers,
    settings: Settings,
    *,
    prefix: Sequence[str] = (),
    sample: bool = False,
) -> Run:
    """Run one pass with an empty history and return what it cost and said."""
    with tempfile.TemporaryDirectory(prefix="danewatch-bench-") as name:
        directory = Path(name)
        configuration = directory / "danewatch.toml"
        configuration.write_text(settings.toml())
        report = directory / "report.json"
        command = [
            *(*prefix, sys.executable, str(CLIENT), str(report), *(["--sample"] * sample), "--"),
            *("scan", str(lab / "targets.txt"), "--output", str(directory / "history")),
            *("--config", str(configuration), "--trust-anchor", str(lab / "anchor.ds")),
            *("--resolver", f"127.0.0.1:{servers.names.port}"),
            *("--smtp-port", str(servers.mail.port), "--validation", settings.validation),
            *("--no-color", "--log-level", "error"),
        ]
        servers.names.counts(), servers.mail.counts()
        cost = _run(command, directory / "log", settings.code)
        inside = json.loads(report.read_text())
        names, mail = servers.names.counts(), servers.mail.counts()
        size, files = _size_of(directory / "history")
        differing = compare(lab, directory / "history")
        return Run(
            sampled=sample,
            figures={
                **cost,
                **{key: value for key, value in inside.items() if key.endswith("_seconds")},
                "cpu_seconds": cost["cpu_seconds"],
                "lag_ms": inside["lag_ms"],
                "busy_between_ticks_ms": inside["busy_between_ticks_ms"],
                "queries": names["queries"],
                "queries_by_type": names["by_type"],
                "tcp_queries": names["tcp_queries"],
                "refused": names["refused"],
                "connections": mail["connections"],
                "handshakes": mail["handshakes"],
                "hosts_contacted": mail["hosts_contacted"],
                "connections_per_host": mail["connections"] / max(1, mail["hosts_contacted"]),
                "most_connections_to_a_host": mail["most_connections_to_a_host"],
                "most_open": mail["most_open"],
                "history_octets": size,
                "history_files": files,
            },
            wrong=[line for line in differing if INCONCLUSIVE not in line],
            undecided=[line for line in differing if INCONCLUSIVE in line],
            unknown=names["unknown"],
            inside=inside,
        )


def compare(lab: Path, history: Path) -> list[str]:
    """Return a line for every domain whose verdict is not what was meant, or is missing."""
    meant = json.loads((lab / "expected.json").read_text())
    table = pq.read_table(history / "domain_checks", columns=list(COLUMNS))
    found = {row["domain"]: row for row in table.to_pylist()}
    wrong = [
        f"{row['domain']}: not asked for" for row in found.values() if row["domain"] not in meant
    ]
    if table.num_rows != len(found):
        wrong.append(f"{table.num_rows - len(found)} domains are there twice")
    for domain, expected in meant.items():
        row = found.get(domain)
        wanted = (expected["rfc7672"], expected["exchange_online"], expected["code"])
        got = row and tuple(row[column] for column in COLUMNS[1:])
        differs = got is None or got[:2] != wanted[:2]
        if differs or (got and wanted[2] and got[2] != wanted[2]):
            wrong.append(f"{domain} ({expected['fault'] or 'sound'}): {got}, and not {wanted}")
    return wrong


def _run(command: list[str], log: Path, code: Path) -> dict[str, float]:
    """Run ``command``; return its wall and processor time, children's too, and its memory."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    begun = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    memory = _Memory(process.pid)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"danewatch ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "user_seconds": usage.ru_utime,
        "peak_mib": memory.stop(),
    }


class _Memory:
    """Watches the resident memory of a process and all below it, in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return the most there was at a time, in MiB."""
        self._ended.set()
        self._thread.join()
        return self._most / (1 << 20)

    def _watch(self) -> None:
        while not self._ended.wait(MEMORY_SECONDS):
            self._most = max(self._most, _resident(self._pid))


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * PAGE + sum(_resident(int(child)) for child in children)


def _size_of(directory: Path) -> tuple[int, int]:
    files = [file for file in directory.rglob("*.parquet") if file.is_file()]
    return sum(file.stat().st_size for file in files), len(files)
