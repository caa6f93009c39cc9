"""``danewatch dnssec``, and the zones of check and scan, against the lab as a user runs them.

The lab is another process, which signs with dnspython; the commands are started as a user does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import history_files
import jsonschema
import pytest
from lab_process import lab_process

from exporters.dnssec_document import load_schema
from exporters.jsonl import CHECK_SCHEMA
from exporters.schema import TRANSITIONS, ZONE_CHECKS

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

LABELS = ("T01", "T02", "T10", "T12", "T13", "T14", "CASE3", "CASE17", "ISLANDS", "WILDCARDS")


@dataclass(frozen=True)
class RunningLab:
    facts: dict[str, Any]
    directory: Path

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``danewatch COMMAND`` against the lab."""
        options = [
            *("--resolver", self.facts["resolver"]),
            *("--trust-anchor", str(self.directory / "anchor.ds")),
            *("--smtp-port", str(self.facts["smtp_port"]), "--allow-private-addresses"),
        ]
        return subprocess.run(
            [sys.executable, "-m", "scanner", command, *arguments, *options],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
        )

    def document(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON document of one chain, valid by its schema."""
        done = self.run("dnssec", *arguments, "--json")
        assert done.stderr == ""
        document: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(document, load_schema())
        codes = {"secure": 0, "insecure": 0, "bogus": 1, "indeterminate": 3}
        assert done.returncode == codes[document["status"]]
        return document


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab of some scenarios, stopped at the end and by itself after five minutes."""
    directory = tmp_path_factory.mktemp("lab")
    chosen = [argument for label in LABELS for argument in ("--scenario", label)]
    with lab_process(*chosen, seconds=300) as facts:
        (directory / "anchor.ds").write_text(facts["trust_anchor"] + "\n", encoding="utf-8")
        yield RunningLab(facts=facts, directory=directory)


@pytest.mark.parametrize(
    ("arguments", "status", "reason", "zone"),
    [
        (("t01.test",), "secure", None, "t01.test"),
        (("t01.test", "DS"), "secure", None, "test"),
        ((".", "DNSKEY"), "secure", None, "."),
        (("nothing.t01.test", "A"), "secure", None, "t01.test"),
        (("_25._tcp.mx1.wildcard-nsec.test",), "secure", None, "wildcard-nsec.test"),
        (("_25._tcp.mx1.wildcard-nsec3.test",), "secure", None, "wildcard-nsec3.test"),
        (("t02.test",), "insecure", "delegation-unsigned", None),
        (("ds-none.test",), "insecure", "delegation-unsigned", None),
        (("ds-unsupported-digest.test",), "insecure", "ds-digest-unsupported", None),
        (("ds-unsupported-algorithm.test",), "insecure", "ds-algorithm-unsupported", None),
        (("d.case17-alias.test",), "insecure", "delegation-unsigned", None),
        (("t13.test",), "bogus", "ds-no-key", None),
        (("case3-dnskey-missing.test",), "bogus", "dnskey-missing", None),
        (("case3-signature-expired.test",), "bogus", "rrsig-expired", None),
        (("case3-signature-missing.test",), "bogus", "rrsig-missing", None),
        (("case3-signature-corrupt.test",), "bogus", "rrsig-invalid", None),
        (("case3-signature-not-yet-valid.test",), "bogus", "rrsig-not-yet-valid", None),
        (("_25._tcp.mx1.t12.test",), "bogus", "denial-missing", None),
        (("_25._tcp.mx1.t10.test",), "bogus", "rrsig-expired", None),
        (("t14.test",), "indeterminate", "upstream-servfail", None),
    ],
)
def test_the_chain_has_the_status_and_reason_it_was_built_with(
    lab: RunningLab,
    arguments: tuple[str, ...],
    status: str,
    reason: str | None,
    zone: str | None,
) -> None:
    """And the exit code of the status."""
    document = lab.document(*arguments)
    assert (document["status"], document["reason"]) == (status, reason)
    if zone is not None:
        assert document["zone"] == zone
    if status != "indeterminate":
        assert document["chain"][0]["zone"] == "."
    if status == "bogus":
        assert reason in {finding["code"] for finding in document["findings"]}


def test_a_page_and_a_picture_are_made(lab: RunningLab, tmp_path: Path) -> None:
    """Whatever the end of the chain."""
    for name in ("t13.test", "d.case17-alias.test"):
        target = tmp_path / f"{name}.svg"
        done = lab.run("dnssec", "--graph", str(target), name)
        assert done.stdout.startswith(("✘", "·"))
        assert f"{name} MX" in target.read_text(encoding="utf-8")


def test_a_root_that_is_not_the_anchors_is_our_own_side(lab: RunningLab) -> None:
    """Without the lab's anchor: nobody's zone is blamed."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scanner", "dnssec", "t01.test", "--json"),
            *("--resolver", lab.facts["resolver"]),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    document = json.loads(done.stdout)
    assert document["own_fault"] is True
    assert (document["status"], document["reason"]) == ("indeterminate", "anchor-not-signing")
    assert done.returncode == 3
    assert "--trust-anchor" in done.stderr


def test_a_check_with_a_root_that_is_not_the_anchors_calls_nothing_bogus(lab: RunningLab) -> None:
    """What is seen with eyes that cannot be trusted is not written down as the partner's."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scanner", "check", "t13.test", "--json"),
            *("--resolver", lab.facts["resolver"]),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    document = json.loads(done.stdout)
    assert document["dnssec"]["status"] == "indeterminate"
    assert done.returncode == 3


def test_the_name_servers_of_a_broken_zone_are_asked(lab: RunningLab, tmp_path: Path) -> None:
    """The lab's server answers as a resolver does, without AA; a good zone's is not asked."""
    port = lab.facts["resolver"].rpartition(":")[2]
    file = tmp_path / "lab.toml"
    file.write_text(f"[validation]\nname_server_port = {port}\n", encoding="utf-8")
    broken = lab.document("t13.test", "--config", str(file))
    told = {finding["code"]: finding["message"] for finding in broken["findings"]}
    assert "servers 1 of 1, which ns.test (127.0.0.1)" in told["server-lame"]
    good = lab.document("t01.test", "--config", str(file))
    assert good["findings"] == []
    assert "server-lame" not in json.dumps(lab.document("t13.test"))


def test_the_resolver_that_validates_and_agrees_is_not_mentioned(lab: RunningLab) -> None:
    """The lab's resolver validates, with the lab's own anchor."""
    for name in ("t01.test", "t02.test", "t13.test"):
        assert "resolver-disagrees" not in json.dumps(lab.document(name))


def test_signatures_that_end_soon_are_told_in_the_page_of_a_check(lab: RunningLab) -> None:
    """As of a day before they end: the lab signs for 14 days."""
    expires = datetime.fromisoformat(lab.document("t01.test")["signature_expires_at"])
    soon = (expires - timedelta(hours=12)).isoformat()
    done = lab.run("check", "--at", soon, "t01.test")
    assert ". > test > t01.test: secure" in done.stdout
    assert "[rrsig-near-expiry]" in done.stdout


def test_the_check_document_tells_zones_and_where_the_chain_breaks(lab: RunningLab) -> None:
    """The MX answer's own part in ``dnssec``."""
    done = lab.run("check", "--json", "t13.test", "t01.test")
    broken, good = (json.loads(line) for line in done.stdout.splitlines())
    for document in (broken, good):
        jsonschema.validate(document, CHECK_SCHEMA)
    assert (broken["dnssec"]["zone"], broken["dnssec"]["reason"]) == ("t13.test", "ds-no-key")
    assert broken["dnssec"]["ede"]["code"] == 9
    assert {zone["zone"]: zone["status"] for zone in broken["zones"]} == {
        ".": "secure",
        "test": "secure",
        "t13.test": "bogus",
    }
    assert good["dnssec"]["zone"] == "t01.test"
    assert good["dnssec"]["reason"] is None
    assert good["zones"][-1]["signature_expiration"] == good["dnssec"]["signature_expires_at"]


def test_a_pass_writes_each_zone_once_with_its_transition_and_metrics(
    lab: RunningLab, tmp_path: Path
) -> None:
    """Shared zones too; a second pass finds nothing changed."""
    targets, history, metrics = tmp_path / "list.txt", tmp_path / "h", tmp_path / "m.prom"
    targets.write_text("t01.test\nt02.test\nt10.test\nt13.test\n", encoding="utf-8")
    arguments = (str(targets), "--output", str(history), "--metrics-file", str(metrics))
    assert lab.run("scan", *arguments).returncode == 0
    expected = {
        ".": ("secure", None),
        "test": ("secure", None),
        "t01.test": ("secure", None),
        "t02.test": ("insecure", "delegation-unsigned"),
        "t10.test": ("bogus", "rrsig-expired"),
        "t13.test": ("bogus", "ds-no-key"),
    }
    rows = history_files.rows_of(history, ZONE_CHECKS)
    assert len(rows) == len(expected)
    assert {row["dns_zone"]: (row["status"], row["reason"]) for row in rows} == expected
    transitions = history_files.rows_of(history, TRANSITIONS)
    zones = [row for row in transitions if row["entity_type"] == "zone"]
    assert {row["entity"]: (row["to_status"], row["to_reason"]) for row in zones} == expected
    text = metrics.read_text(encoding="utf-8")
    assert 'danewatch_zone_bogus{dns_zone="t13.test"} 1' in text
    assert (
        'danewatch_zone_status{dns_zone="t10.test",status="bogus",reason="rrsig-expired"} 1' in text
    )
    assert lab.run("scan", *arguments).returncode == 0
    assert len(history_files.rows_of(history, TRANSITIONS)) == len(transitions)
    assert len(history_files.rows_of(history, ZONE_CHECKS)) == 2 * len(expected)
