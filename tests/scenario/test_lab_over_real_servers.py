"""The laboratory's mail hosts, behind real name servers and a real resolver, seen by two senders.

The lab's zones are served by NSD and validated by unbound, its mail hosts listen on port 25 in a
private network. danewatch must come to the verdict the lab was built to show, as it does over the
lab's own resolver; and of every single host it must say the same as posttls-finger, or the table
below tells why not.

Left out is what cannot be shown this way: faults of name servers (no zone file holds them), and
hosts that are slow on purpose.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from real_mail import AGREEING, Finger, Said, posttls_finger
from real_processes import Namespace, RealServer
from real_zones import NAMESERVER, start_nsd, start_unbound

from scanner.lab.catalogue import scenario_plan
from scanner.lab.export import UNEXPORTABLE
from scanner.lab.plan import DnsFault, LabDomain
from scanner.model.names import Name

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

UNLOADABLE = {Name("case55-one-octet.test"), Name("case55-two-octets.test")}
"""Zones NSD does not load: their TLSA RDATA ends before its fields do (RFC 6698 §2.1)."""

INSECURE_MX = "Postfix heeds TLSA records of a host that an insecure MX names; RFC 7672 §2.2.1: MAY"
DIFFERENT = {
    "t03.test": (Said.VERIFIED_INSECURE_MX, INSECURE_MX),
    "d.case17-alias.test": (Said.VERIFIED_INSECURE_MX, INSECURE_MX),
    "t17.test": (
        Said.VERIFIED,
        "Postfix goes on with the family that validates; danewatch follows RFC 7672 §2.1.1",
    ),
    "case9.test": (
        Said.NO_HOST,
        "Postfix takes a null MX beside others as final; danewatch drops it and reports it",
    ),
    "case55.test": (
        Said.CRASHED,
        "posttls-finger 3.7 ends in a panic over a TLSA record without association data",
    ),
    "case78.test": (
        Said.REJECTED,
        "posttls-finger does not take the unexpanded next-hop domain as a name of the certificate",
    ),
    "case86-ehlo-421.test": (
        Said.NO_TLS,
        "421 for too many connections speaks of us: danewatch concludes nothing (throttled)",
    ),
    "case90-old.test": (
        Said.NO_TLS,
        "Debian's OpenSSL refuses TLS 1.0; danewatch can speak it, to tell what the host offers",
    ),
}
"""Domains of which the two say different things: what posttls-finger says, and why."""


def can_be_shown(domain: LabDomain) -> bool:
    """Return whether zone files and a patient sender show all there is to ``domain``."""
    hidden = any(
        isinstance(fault, DnsFault) and fault.kind in UNEXPORTABLE for fault in domain.faults
    )
    return not (hidden or domain.slow or domain.name in UNLOADABLE)


DOMAINS = {
    domain.name: domain
    for domain in scenario_plan(datetime.now(UTC)).domains
    if can_be_shown(domain)
}
SINGLE = [
    name
    for name, domain in DOMAINS.items()
    if len(domain.hosts) <= 1 and all(len(host.addresses) <= 1 for host in domain.hosts)
]
"""Domains with one host at one address: posttls-finger looks at one."""


@dataclass(frozen=True, slots=True)
class World:
    """The private network, and what danewatch said of every domain in it."""

    namespace: Namespace
    documents: dict[str, dict[str, Any]]

    def finger(self, name: str) -> Finger:
        """Ask posttls-finger."""
        return posttls_finger(self.namespace, name)


@pytest.fixture(scope="module")
def world(server_directory: Path, danewatch_command: str) -> Iterator[World]:
    """Lab, NSD and unbound in one private network, and one run of danewatch over all domains."""
    namespace = Namespace(server_directory)
    started = []
    try:
        lab = [sys.executable, "-m", "scanner.lab", "--smtp-port", "25"]
        lab += ["--zone-files", str(server_directory)]
        started.append(RealServer("lab", namespace.command(lab), ready='"resolver"'))
        listing = json.loads((server_directory / "zones.json").read_text())
        files = {zone["zone"]: server_directory / zone["file"] for zone in listing["zones"]}
        started.append(start_nsd(server_directory, files, port=53, inside=namespace))
        anchor = server_directory / "anchor.key"
        stubs = dict.fromkeys(files, f"{NAMESERVER}@53")
        started.append(
            start_unbound(server_directory, anchor, port=53, stubs=stubs, inside=namespace)
        )
        result = namespace.run(
            *(danewatch_command, "check", "--json", "--trust-anchor", str(anchor)),
            *("--resolver", "127.0.0.1", "--allow-private-addresses", *DOMAINS),
            timeout=150,
        )
        assert result.stderr == ""
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        yield World(namespace, {document["domain"]: document for document in documents})
    finally:
        namespace.stop()
        for server in started:
            server.stop()


@pytest.mark.parametrize("name", DOMAINS)
def test_the_verdict_is_the_one_the_lab_was_built_to_show(world: World, name: Name) -> None:
    """Both profiles, over NSD and unbound as over the lab's own resolver."""
    verdicts = world.documents[name]["verdicts"]
    expected = {profile.value: verdict.value for profile, verdict in DOMAINS[name].expected.items()}
    assert {profile: item["verdict"] for profile, item in verdicts.items()} == expected


@pytest.mark.parametrize("name", SINGLE)
def test_posttls_finger_says_the_same_of_the_host(world: World, name: Name) -> None:
    """The outcome under RFC 7672 is what posttls-finger says, or the table tells why not."""
    outcomes = {host["outcomes"]["rfc7672"]["outcome"] for host in world.documents[name]["hosts"]}
    finger = world.finger(name)
    if name in DIFFERENT:
        expected, reason = DIFFERENT[name]
        assert finger.said is expected, reason
        assert not outcomes <= AGREEING[expected], f"no longer different: {reason}"
    else:
        assert outcomes <= AGREEING[finger.said], finger.text


def test_every_difference_is_still_looked_at() -> None:
    """The table names no domain that the comparison leaves out."""
    assert set(DIFFERENT) <= set(SINGLE)
