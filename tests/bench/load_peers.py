"""Other programs over the same laboratory, and the least the work costs in C.

Peers use the resolver of the machine and port 25, so they run in a network namespace with their
own, and danewatch beside them. Each is run as its users would, over as many processes as its
documentation or common sense suggests; only processor time is compared, which leaves out how long
they wait. Which part of the work a peer does is said in docs/performance.md.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_plan import Mix, domains, operator_hosts
from load_servers import MissingToolError, Servers, build

SUPPORT = Path(__file__).parents[1] / "support"
LINES_KEPT = 3
PEERS = ("checkdmarc", "smtp-dane-verify")
PYTHONS = ("python3.13", "python3.12")
"""The newest smtp-dane-verify wants 3.12."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one program needed for so many domains; ``good`` are those it found to be well."""

    name: str
    version: str
    domains: int
    seconds: float
    cpu_seconds: float
    good: int
    expected_good: int

    def figures(self) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "version": self.version,
            "domains": self.domains,
            "domains_per_cpu_second": round(self.domains / self.cpu_seconds, 2),
            "cpu_ms_per_domain": round(1000 * self.cpu_seconds / self.domains, 2),
            "domains_per_second": round(self.domains / self.seconds, 2),
            "good": self.good,
            "expected_good": self.expected_good,
        }


def namespace(directory: Path) -> Any:
    """Return a private network with its own resolver and port 25."""
    sys.path.insert(0, str(SUPPORT))
    try:
        from real_processes import Namespace
    finally:
        sys.path.remove(str(SUPPORT))
    return Namespace(directory)


def environment_of_peers(directory: Path) -> Path:
    """Return the programs of a virtual environment with the peers that PyPI has."""
    programs = directory / "peers" / "bin"
    if (programs / "checkdmarc").exists():
        return programs
    python = next(filter(None, map(shutil.which, PYTHONS)), None)
    if python is None or subprocess.run([python, "-V"], capture_output=True).returncode:
        python = _of_pyenv()
    subprocess.run([python, "-m", "venv", str(programs.parent)], check=True)
    subprocess.run([str(programs / "pip"), "install", "-qq", *PEERS], check=True)
    return programs


def _of_pyenv() -> str:
    for version in sorted((Path.home() / ".pyenv" / "versions").glob("3.1[2-9]*")):
        return str(version / "bin" / "python3")
    raise MissingToolError("smtp-dane-verify needs Python 3.12 or newer, which is not installed")


def run_peers(lab: Path, mix: Mix, inside: Sequence[str], programs: Path, few: int) -> list[Cost]:
    """Run every peer over the laboratory, the slow ones over its first ``few`` domains."""
    plans = list(domains(mix))
    names = [plan.name for plan in plans]
    good = [plan.expected.rfc7672 == "protected" for plan in plans]
    sound = sum(plan.fault is None for plan in plans[:few])
    first = lab / "few.txt"
    first.write_text("".join(f"{name}\n" for name in names[:few]))
    python, tool = str(programs / "python"), f"{programs}/danesmtp"
    finger = _path("posttls-finger")
    output = lab / "checkdmarc.json"
    dmarc = [str(programs / "checkdmarc"), str(first)]
    to_file = ["-n", "127.0.0.1", "-o", str(output)]
    runs: list[tuple[str, str, list[str], int, str]] = [
        (
            "posttls-finger",
            f"Postfix {_postfix()}",
            ["xargs", "-P", "8", "-n", "1", finger, "-c", "-l", "dane", "-t", "20", "-T", "20"],
            len(names),
            "Verified TLS connection established",
        ),
        (
            "smtp-dane-verify",
            _version(programs, "smtp-dane-verify"),
            ["xargs", "-P", "2", "-n", "1", tool, "-f", "json", "-d"],
            few,
            '"host_dane_verified":true',
        ),
        (
            "smtp-dane-verify, as a library",
            _version(programs, "smtp-dane-verify"),
            [python, "-c", _LIBRARY],
            few,
            '"host_dane_verified":true',
        ),
        ("checkdmarc", _version(programs, "checkdmarc"), [*dmarc, *to_file], few, ""),
        (
            "checkdmarc --check-mx-tls",
            _version(programs, "checkdmarc"),
            [*dmarc, "--check-mx-tls", *to_file],
            few,
            "",
        ),
    ]
    found = []
    for name, version, command, count, mark in runs:
        output.unlink(missing_ok=True)
        trusting = ["env", f"SSL_CERT_FILE={lab / 'root.pem'}"]
        seconds, cpu, text = _run([*inside, *trusting, *command], names[:count])
        found.append(
            Cost(
                name=name,
                version=version,
                domains=count,
                seconds=seconds,
                cpu_seconds=cpu,
                good=sum(mark in line for line in text.splitlines())
                if mark
                else _checked(output, tls="tls" in name),
                expected_good=sum(good[:count]) if mark else sound,
            )
        )
    return found


_LIBRARY = """
import sys
from smtp_dane_verify.verification import verify_domain_servers
for line in sys.stdin:
    try:
        print(verify_domain_servers(line.strip()).model_dump_json(), flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


def _checked(output: Path, *, tls: bool) -> int:
    """Return how many domains checkdmarc has a list of MX hosts for, of which it saw TLS."""
    report = json.loads(output.read_text())
    report = report if isinstance(report, list) else [report]
    hosts = [each.get("mx", {}).get("hosts") or [] for each in report]
    return sum(any(host.get("starttls") or not tls for host in each) for each in hosts)


def run_limits(
    lab: Path, mix: Mix, servers: Servers, programs: Path, prefix: Sequence[str]
) -> dict[str, Any]:
    """Return microseconds of a query by dnsperf, of a probe and of a verification in C."""
    limit = build("limit", programs, "ssl", "crypto", "pthread")
    questions, addresses = lab / "questions.txt", lab / "addresses.txt"
    _write_work(mix, questions, addresses)
    asked = sum(1 for _ in questions.open())
    perf = [_path("dnsperf"), "-s", "127.0.0.1", "-p", str(servers.names.port), "-D", "-n", "1"]
    _, cpu, text = _run([*prefix, *perf, "-d", str(questions)], ())
    completed = next(line for line in text.splitlines() if "Queries completed" in line)
    arguments = ["probe", str(addresses), str(servers.mail.port), "20"]
    probes = json.loads(_run([*prefix, str(limit), *arguments], ())[2])
    checks = json.loads(_run([*prefix, str(limit), "verify", "5000"], ())[2])
    return {
        "dnsperf_us_per_query": round(1e6 * cpu / asked, 2),
        "dnsperf_completed": completed.split(":")[1].strip(),
        "probe_us": round(1e6 * probes["cpu_seconds"] / probes["probes"], 1),
        "probes": probes["probes"],
        "probes_secured": probes["secured"],
        "verify_us": round(1e6 * checks["cpu_seconds"] / checks["verifications"], 1),
    }


def _write_work(mix: Mix, questions: Path, addresses: Path) -> None:
    """Write the questions and addresses that belong to the domains of ``mix``, sound hosts only."""
    operators = {host.name: host for hosts in operator_hosts() for host in hosts}
    with questions.open("w") as asked, addresses.open("w") as probed:
        for plan in domains(mix):
            hosts = [plan.own] if plan.own else [operators[name] for name in plan.hosts]
            asked.write(f"{plan.name} DS\n{plan.name} DNSKEY\n{plan.name} MX\n" * plan.signed)
            for host in hosts:
                if plan.own or plan.number < len(operators):
                    asked.write(f"{host.zone} DS\n{host.zone} DNSKEY\n")
                    asked.write(f"{host.name} A\n{host.name} AAAA\n_25._tcp.{host.name} TLSA\n")
                    if host.behaviour == 0:
                        probed.writelines(f"{address}\n" for address in host.addresses)


def _run(command: list[str], lines: Sequence[str]) -> tuple[float, float, str]:
    """Run ``command``; return its wall time, processor time with children, and what it printed."""
    log = Path(f"{os.environ.get('TMPDIR', '/tmp')}/danewatch-peer-{os.getpid()}.log")
    begun = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stream, stderr=stream)
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        process.stdin.close()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # waited for already
    text = log.read_text(errors="replace")
    log.unlink()
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, text


def _path(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        raise MissingToolError(f"{program} is not installed: apt-get install dnsperf postfix")
    return path


def _postfix() -> str:
    result = subprocess.run(
        [_path("postconf"), "-d", "-h", "mail_version"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


def _version(programs: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version('{package}'))"
    command = [str(programs / "python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
