"""Exported zone files hold what the lab serves, judged by dnspython's reader and validator."""

import json
from datetime import UTC, datetime
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rrset
import dns.zone
import pytest
from dns.rdatatype import RdataType

from scanner.lab.catalogue import scenario_plan
from scanner.lab.export import write_zone_files
from scanner.lab.plan import LabPlan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LABELS = ["T01", "T02", "T08", "T10", "T12", "ALGORITHMS"]
BROKEN = {"t10.test"}


@pytest.fixture(scope="module")
def plan() -> LabPlan:
    """A few scenarios: good, unsigned, broken, every algorithm and denial."""
    return scenario_plan(NOW, LABELS)


@pytest.fixture(scope="module")
def exported(plan: LabPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of their zone files."""
    return write_zone_files(plan, tmp_path_factory.mktemp("zones")).parent


def listing(exported: Path) -> dict[str, list[dict[str, object]]]:
    """Return the machine-readable list."""
    read: dict[str, list[dict[str, object]]] = json.loads((exported / "zones.json").read_text())
    return read


def load(exported: Path, origin: str) -> dns.zone.Zone:
    """Return a zone file as dnspython reads it."""
    name = "root.zone" if origin == "." else f"{origin}.zone"
    return dns.zone.from_file(str(exported / name), origin, relativize=False, check_origin=True)


def signature_problems(zone: dns.zone.Zone) -> list[str]:
    """Return the RRsets of the zone whose signature does not hold."""
    keys = {zone.origin: zone.find_rdataset(zone.origin, RdataType.DNSKEY)}
    problems = []
    for name, node in zone.items():
        for rdataset in node.rdatasets:
            covering = node.get_rdataset(zone.rdclass, RdataType.RRSIG, rdataset.rdtype)
            if rdataset.rdtype == RdataType.RRSIG or covering is None:
                continue
            try:
                dns.dnssec.validate((name, rdataset), (name, covering), keys, now=NOW.timestamp())
            except dns.dnssec.ValidationFailure:
                problems.append(f"{name} {RdataType.to_text(rdataset.rdtype)}")
    return problems


def test_every_zone_is_listed_and_readable(plan: LabPlan, exported: Path) -> None:
    """One master file for each zone, with SOA and NS at the apex."""
    listed = listing(exported)["zones"]
    assert {item["zone"] for item in listed} == {zone.origin for zone in plan.zones}
    for item in listed:
        assert (exported / str(item["file"])).exists()
        load(exported, str(item["zone"]))


def test_signatures_hold_where_nothing_is_broken(exported: Path) -> None:
    """Every RRSIG verifies in every signed zone; the broken one fails at the broken RRset only."""
    for item in listing(exported)["zones"]:
        if item["signed"]:
            problems = signature_problems(load(exported, str(item["zone"])))
            expected = ["_25._tcp.mx1.t10.test. TLSA"] if item["zone"] in BROKEN else []
            assert problems == expected


def test_every_authoritative_record_is_signed(exported: Path) -> None:
    """In a good zone everything but delegation NS and glue has a signature (RFC 4035 §2.2)."""
    zone = load(exported, "t01.test")
    for name, node in zone.items():
        for rdataset in node.rdatasets:
            if rdataset.rdtype != RdataType.RRSIG:
                covering = node.get_rdataset(zone.rdclass, RdataType.RRSIG, rdataset.rdtype)
                assert covering is not None, f"{name} {rdataset.rdtype}"


def test_the_nsec_chain_closes(exported: Path) -> None:
    """Following next names visits every NSEC owner once and ends at the apex (RFC 4034 §4.1.1)."""
    zone = load(exported, "test")
    owners = {name for name, node in zone.items() if node.get_rdataset(1, RdataType.NSEC)}
    name, seen = zone.origin, set()
    while name not in seen:
        seen.add(name)
        name = zone.find_rdataset(name, RdataType.NSEC)[0].next
    assert name == zone.origin
    assert seen == owners


def test_the_nsec3_chain_closes(exported: Path) -> None:
    """The same in hash order, and the parameters at the apex agree (RFC 5155 §4)."""
    zone = load(exported, "ecdsa-p256-nsec3.test")
    records = {
        name.labels[0].decode().lower(): node.get_rdataset(1, RdataType.NSEC3)[0]
        for name, node in zone.items()
        if node.get_rdataset(1, RdataType.NSEC3)
    }
    start = current = min(records)
    seen = set()
    while current not in seen:
        seen.add(current)
        current = records[current].to_text().split()[4]
    assert current == start
    assert seen == set(records)
    parameters = zone.find_rdataset(zone.origin, RdataType.NSEC3PARAM)[0]
    assert {(item.iterations, item.salt) for item in records.values()} == {
        (parameters.iterations, parameters.salt)
    }


def test_every_nsec3_owner_is_a_hash_of_a_name_in_the_zone(exported: Path) -> None:
    """Names and empty non-terminals have a record each, and nothing else has (RFC 5155 §7.1)."""
    zone = load(exported, "ecdsa-p256-nsec3.test")
    names: set[dns.name.Name] = set()
    for name, node in zone.items():
        if node.get_rdataset(1, RdataType.NSEC3) is None:
            while name.is_subdomain(zone.origin):
                names.add(name)
                name = name.parent()
    parameters = zone.find_rdataset(zone.origin, RdataType.NSEC3PARAM)[0]
    hashes = {
        dns.dnssec.nsec3_hash(name, parameters.salt, parameters.iterations, 1).lower()
        for name in names
    }
    owners = {
        name.labels[0].decode().lower()
        for name, node in zone.items()
        if node.get_rdataset(1, RdataType.NSEC3)
    }
    assert owners == hashes


def test_the_anchor_files_name_the_roots_key(exported: Path) -> None:
    """The DS digests the DNSKEY, which is in the root zone (RFC 4034 §5.1.4)."""
    key_text = (exported / "anchor.key").read_text().split("DNSKEY", 1)[1]
    ds_text = (exported / "anchor.ds").read_text().split("DS", 1)[1]
    key = dns.rdata.from_text(1, RdataType.DNSKEY, key_text.strip())
    ds = dns.rdata.from_text(1, RdataType.DS, ds_text.strip())
    assert dns.dnssec.make_ds(dns.name.root, key, "SHA256") == ds
    assert key in load(exported, ".").find_rdataset(dns.name.root, RdataType.DNSKEY)


def test_delegations_agree_with_their_children(exported: Path) -> None:
    """Each DS in the parent digests a key of the child."""
    parent = load(exported, "test")
    child = load(exported, "t01.test")
    ds = parent.find_rdataset(child.origin, RdataType.DS)[0]
    key = child.find_rdataset(child.origin, RdataType.DNSKEY)[0]
    assert dns.dnssec.make_ds(child.origin, key, "SHA256") == ds


def test_what_cannot_be_exported_is_listed(exported: Path) -> None:
    """Faults of servers, and a denial left out of one answer, are named instead."""
    missing = {(item["zone"], item["kind"]) for item in listing(exported)["not_exported"]}
    assert missing == {("t08.test", "servfail"), ("t12.test", "denial-missing")}
