"""Write the lab's zones as standard master files, so that real servers can serve the same data.

The directory gets one ``<origin>.zone`` for each zone (``root.zone`` for the root) with signatures
and denial records in it, ``anchor.ds`` and ``anchor.key`` for validators, and ``zones.json``, the
list a script needs to configure NSD, BIND or unbound. Faults of signatures and records are written
as they are; faults that live in a server cannot be, and are listed.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dns.rrset
from dns.rdatatype import RdataType

from scanner.lab.plan import SERVER_FAULTS, DnsFault, DnsFaultKind, LabPlan
from scanner.lab.universe import Universe
from scanner.lab.zone import Zone, from_dns

UNEXPORTABLE = SERVER_FAULTS | {DnsFaultKind.DENIAL_MISSING}
"""A missing denial record would break the chain for its neighbours too, so it stays in the file."""


def write_zone_files(plan: LabPlan, directory: Path) -> Path:
    """Write all zones of ``plan`` with the faults its domains begin with; return ``zones.json``.

    Raises OSError when the directory cannot be written.
    """
    universe = Universe(plan.zones, plan.now)
    faults = [fault for domain in plan.domains for fault in domain.faults]
    universe.set_faults(faults)
    return write_universe(universe, directory, plan)


def write_universe(universe: Universe, directory: Path, plan: LabPlan) -> Path:
    """Write the zones of a running lab, whose keys and faults these are; return ``zones.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    zones = []
    for zone in universe.zones.values():
        path = directory / file_name(zone)
        path.write_text("".join(_lines(zone)))
        zones.append({"zone": from_dns(zone.origin), "file": path.name, **_facts(zone)})
    keys = universe.root.rrsets[universe.root.origin, RdataType.DNSKEY]
    (directory / "anchor.ds").write_text(f". IN DS {universe.anchor().to_text()}\n")
    (directory / "anchor.key").write_text(_key_signing_line(keys))
    listing = {
        "now": plan.now.isoformat(),
        "zones": zones,
        "not_exported": [
            _fault_facts(fault)
            for zone in universe.zones.values()
            for fault in zone.faults
            if fault.kind in UNEXPORTABLE
        ],
    }
    path = directory / "zones.json"
    path.write_text(json.dumps(listing, indent=1) + "\n")
    return path


def file_name(zone: Zone) -> str:
    """Return the name of the zone's file."""
    origin = from_dns(zone.origin)
    return "root.zone" if origin == "." else f"{origin}.zone"


def _lines(zone: Zone) -> Iterable[str]:
    """Yield the zone in master file format, SOA first (RFC 1035 §5)."""
    yield from _signed_lines(zone, zone.soa)
    for (owner, rdtype), rrset in zone.rrsets.items():
        if rdtype == RdataType.SOA:
            continue
        if zone.is_authoritative(owner):
            yield from _signed_lines(zone, rrset)
        else:
            yield f"{rrset.to_text()}\n"  # glue
    if zone.chain is not None:
        for rrset in zone.chain.all_records():
            yield from _signed_lines(zone, rrset)


def _signed_lines(zone: Zone, rrset: dns.rrset.RRset) -> Iterable[str]:
    yield f"{rrset.to_text()}\n"
    signatures = zone.signed(rrset)
    if signatures is not None:
        yield f"{signatures.to_text()}\n"


def _facts(zone: Zone) -> dict[str, Any]:
    return {
        "signed": zone.plan.signed,
        "algorithm": zone.plan.algorithm.number if zone.plan.signed else None,
        "denial": zone.plan.denial.value if zone.plan.signed else None,
        "ds": zone.ds.value,
    }


def _fault_facts(fault: DnsFault) -> dict[str, str | None]:
    return {
        "zone": fault.zone,
        "kind": fault.kind.value,
        "owner": fault.owner,
        "type": fault.rdtype,
    }


def _key_signing_line(keys: dns.rrset.RRset) -> str:
    for key in keys:
        if key.flags & 1:  # secure entry point (RFC 4034 §2.1.1)
            return f". IN DNSKEY {key.to_text()}\n"
    raise ValueError("the root has no key-signing key")
