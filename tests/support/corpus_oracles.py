"""Three validators and one question: BIND's delv, libunbound's unbound-host, and danewatch.

All three ask the same unbound, which only resolves and validates nothing, so that each judges the
same records by itself. Each run of delv and unbound-host is a process with an empty cache.
"""

import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from corpus_zones import Corpus
from real_processes import program

SECURE, INSECURE, BOGUS, INDETERMINATE = "secure", "insecure", "bogus", "indeterminate"
_ORDER = (BOGUS, INDETERMINATE, INSECURE, SECURE)
_DELV_SILENT = re.compile(r"SERVFAIL|timed out|REFUSED|no servers could be reached|unexpected")
_DELV_PARALLEL = 4

Asked = tuple[str, str]
"""Owner and type, as in ``("mx.example.test.", "A")``."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one validator says: a status, what the answer is, and its own words."""

    status: str
    outcome: str
    words: str


def ask_delv(corpus: Corpus, port: int, questions: Iterable[Asked]) -> dict[Asked, Heard]:
    """Return what delv says to each question."""

    def ask(asked: Asked) -> Heard:
        result = subprocess.run(
            [
                program("delv"),
                "-a",
                str(corpus.delv_anchor),
                "+root=.",
                "@127.0.0.1",
                "-p",
                str(port),
                *asked,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return read_delv(asked, result.stdout, result.stderr)

    return _ask_all(ask, questions)


def read_delv(asked: Asked, stdout: str, stderr: str) -> Heard:
    """Return the status behind delv's words; of an alias chain, that of the weakest link."""
    words = re.findall(
        r"^; (.*(?:validated|unsigned answer|additional data))$", stdout, re.MULTILINE
    )
    failure = re.search(r"resolution failed: (.*)", stdout + stderr)
    said = "; ".join([*words, *([failure[1]] if failure else [])])
    if failure and "ncache" not in failure[1]:
        silent = _DELV_SILENT.search(failure[1])
        return Heard(INDETERMINATE if silent else BOGUS, "failed", said)
    status = INSECURE if any("unsigned" in each for each in words) else SECURE
    if not words:
        return Heard("unread", "failed", (stdout + stderr).strip())
    outcome = "data"
    if failure:
        outcome = "nxdomain" if "nxdomain" in failure[1] else "nodata"
    return Heard(status, outcome, said)


def ask_unbound_host(corpus: Corpus, port: int, questions: Iterable[Asked]) -> dict[Asked, Heard]:
    """Return what unbound-host says to each question."""
    configuration = write_unbound_host_config(corpus.directory, corpus.anchor, port)

    def ask(asked: Asked) -> Heard:
        owner, rdtype = asked
        result = subprocess.run(
            [program("unbound-host"), "-C", str(configuration), "-v", "-t", rdtype, owner],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return read_unbound_host(result.stdout + result.stderr)

    return _ask_all(ask, questions)


def write_unbound_host_config(directory: Path, anchor: Path, port: int) -> Path:
    """Write how libunbound is to validate: no tolerance for dates, every algorithm it knows."""
    configuration = directory / f"unbound-host-{port}.conf"
    configuration.write_text(
        f"""server:
  trust-anchor-file: "{anchor}"
  do-not-query-localhost: no
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  local-zone: "test." nodefault
  local-zone: "invalid." nodefault
  module-config: "validator iterator"
  qname-minimisation: no
  do-ip6: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{port}
"""
    )
    return configuration


def read_unbound_host(output: str) -> Heard:
    """Return the status behind unbound-host's words: one for the whole answer."""
    said = " / ".join(line for line in output.strip().splitlines() if "error:" not in line[:9])
    if re.search(r"SERVFAIL|REFUSED|timed out", said) and "BOGUS" not in said:
        return Heard(INDETERMINATE, "failed", said)
    found = [name for name in ("BOGUS", "(insecure)", "(secure)") if name in said]
    if not found:
        return Heard("unread", "failed", output.strip())
    status = {"BOGUS": BOGUS, "(insecure)": INSECURE, "(secure)": SECURE}[found[0]]
    outcome = "data"
    if status == BOGUS:
        outcome = "failed"
    elif "NXDOMAIN" in said:
        outcome = "nxdomain"
    elif re.search(r"has no ", said):
        outcome = "nodata"
    return Heard(status, outcome, said)


def _ask_all(ask: "object", questions: Iterable[Asked]) -> dict[Asked, Heard]:
    wanted = list(dict.fromkeys(questions))
    with ThreadPoolExecutor(max_workers=_DELV_PARALLEL) as pool:
        return dict(zip(wanted, pool.map(ask, wanted), strict=True))  # type: ignore[arg-type]
