"""The laboratory is an honest witness: real servers say of its zones what it says itself.

The lab never validates; it knows what it broke and derives each status from that. Here its zones,
with all their faults, are exported as master files, served by NSD and validated by unbound, and
unbound must come to the same status and the same answer for every question a scan would ask. So
must danewatch's own validation, with unbound's switched off.

Left out is what no zone file can hold: faults of servers (silence, refusals), a denial record
missing from a single answer, and TLSA records too short for NSD to load.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest
from dns.rdatatype import RdataType
from real_zones import NAMESERVER, free_port, start_nsd, start_unbound

from scanner.cli.wiring import Settings, open_validation
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import scenario_plan
from scanner.lab.export import UNEXPORTABLE, file_name, write_universe
from scanner.lab.plan import LabDomain
from scanner.lab.resolution import Resolver
from scanner.lab.universe import Universe
from scanner.lab.zone import from_dns
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import SystemClock

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

NOW = datetime.now(UTC).replace(microsecond=0)
PLAN = scenario_plan(NOW)
DOMAINS = {domain.name: domain for domain in PLAN.domains}
UNLOADABLE = {Name("case55-one-octet.test"), Name("case55-two-octets.test")}
"""Zones NSD does not load: their TLSA RDATA ends before its fields do (RFC 6698 §2.1)."""

Answer = tuple[str, DnssecStatus]
"""RCODE and status, as a validating resolver gives them."""


@dataclass(frozen=True, slots=True)
class Zones:
    """The lab's own opinion, and the unbound that validates the exported files."""

    universe: Universe
    anchors: str
    port: int
    refused: frozenset[str]

    def of_lab(self, owner: str, rdtype: str) -> Answer | None:
        """Return what the lab says; None where the answer rests on what no file can hold."""
        name = dns.name.from_text(owner)
        resolution = Resolver(self.universe).resolve(name, RdataType.from_text(rdtype))
        passed = [name, *(rrset.name for rrset in resolution.answer)]
        passed += [
            rrset[0].target for rrset in resolution.answer if rrset.rdtype == RdataType.CNAME
        ]
        for step in passed:
            zone = self.universe.responsible(step, RdataType.from_text(rdtype))
            if zone.fault_on(step, RdataType.from_text(rdtype), UNEXPORTABLE) is not None:
                return None
        if resolution.failure is not None:
            return None
        return dns.rcode.to_text(resolution.rcode), resolution.status

    def of_unbound(self, owner: str, rdtype: str) -> Answer:
        """Return what unbound says."""
        checked = self._ask(owner, rdtype, checking_disabled=False)
        if checked.rcode() == dns.rcode.SERVFAIL:
            unchecked = self._ask(owner, rdtype, checking_disabled=True)
            return dns.rcode.to_text(unchecked.rcode()), DnssecStatus.BOGUS
        secure = bool(checked.flags & dns.flags.AD)
        status = DnssecStatus.SECURE if secure else DnssecStatus.INSECURE
        return dns.rcode.to_text(checked.rcode()), status

    def _ask(self, owner: str, rdtype: str, *, checking_disabled: bool) -> dns.message.Message:
        """Return the head of the reply: some TLSA records are malformed on purpose."""
        query = dns.message.make_query(owner, rdtype, want_dnssec=True)
        if checking_disabled:
            query.flags |= dns.flags.CD
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as stream:
            stream.sendall(query.to_wire(prepend_length=True))
            with stream.makefile("rb") as reader:
                length = int.from_bytes(reader.read(2))
                return dns.message.from_wire(reader.read(length), question_only=True)


@pytest.fixture(scope="module")
def zones(server_directory: Path) -> Iterator[Zones]:
    """The lab's zones with all faults of the catalogue, served and validated."""
    universe = Universe(PLAN.zones, PLAN.now)
    universe.set_faults([fault for domain in PLAN.domains for fault in domain.faults])
    write_universe(universe, server_directory, PLAN)
    files = {
        from_dns(zone.origin): server_directory / file_name(zone)
        for zone in universe.zones.values()
    }
    name_server_port, port = free_port(NAMESERVER), free_port("127.0.0.1")
    started = [start_nsd(server_directory, files, port=name_server_port)]
    refused = re.findall(r"zone (\S+) file \S+ read with \d+ errors", started[0].log)
    try:
        stubs = dict.fromkeys(files, f"{NAMESERVER}@{name_server_port}")
        anchor = server_directory / "anchor.key"
        started.append(start_unbound(server_directory, anchor, port=port, stubs=stubs))
        yield Zones(universe, anchor.read_text(), port, frozenset(refused))
    finally:
        for server in started:
            server.stop()


def questions_about(domain: LabDomain) -> set[tuple[str, str]]:
    """Return every question a scan of ``domain`` might ask, and two no scan would."""
    names: set[Name] = {domain.name, *(host.host for host in domain.hosts)}
    questions = {(domain.name, "MX"), (f"no-such-name.{domain.name}", "A"), (domain.name, "TXT")}
    for name in names:
        questions |= {(name, "A"), (name, "AAAA"), (f"_25._tcp.{name}", "TLSA")}
    return questions


@pytest.mark.parametrize("name", [name for name in DOMAINS if name not in UNLOADABLE])
def test_unbound_says_of_the_labs_zones_what_the_lab_says(zones: Zones, name: Name) -> None:
    """RCODE and security status are the same for every question about the domain."""
    questions = sorted(questions_about(DOMAINS[name]))
    expected = {question: zones.of_lab(*question) for question in questions}
    comparable = {question: answer for question, answer in expected.items() if answer is not None}
    assert {question: zones.of_unbound(*question) for question in comparable} == comparable


@pytest.mark.parametrize("name", [name for name in DOMAINS if name not in UNLOADABLE])
async def test_danewatch_validates_the_labs_zones_as_the_lab_says(zones: Zones, name: Name) -> None:
    """Outcome and security status are the same for every question about the domain."""
    settings = Settings(
        resolvers=(ServerAddress("127.0.0.1", zones.port),), anchors=read_anchors(zones.anchors)
    )
    found, expected = {}, {}
    async with open_validation(settings, clock=SystemClock()) as resolver:
        assert isinstance(resolver, ValidatingResolver)
        for owner, rdtype in sorted(questions_about(DOMAINS[name])):
            answer = zones.of_lab(owner, rdtype)
            if answer is not None:
                expected[owner, rdtype] = answer
                validation = await resolver.validate(Question(Name(owner), RRType(rdtype)))
                rcode = "NXDOMAIN" if validation.outcome == "nxdomain" else "NOERROR"
                found[owner, rdtype] = rcode, validation.status
    assert found == expected


def test_nsd_loads_every_zone_but_the_two_that_are_malformed_on_purpose(zones: Zones) -> None:
    """The exported files are master files as any server reads them (RFC 1035 §5)."""
    assert zones.refused == UNLOADABLE


def test_the_comparison_sees_every_status(zones: Zones) -> None:
    """The catalogue has names of every status and both kinds of denial, so that it proves much."""
    answers = {
        zones.of_lab(*question)
        for domain in DOMAINS.values()
        for question in questions_about(domain)
    }
    statuses = (DnssecStatus.SECURE, DnssecStatus.INSECURE, DnssecStatus.BOGUS)
    wanted = {(rcode, status) for rcode in ("NOERROR", "NXDOMAIN") for status in statuses}
    assert wanted <= answers
