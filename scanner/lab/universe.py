"""All zones of a lab, and which of them a validator would believe.

The lab knows what it broke, so it need not validate anything: the status of a zone or an RRset
follows from the plan and the active faults (RFC 4035 §4.3). That makes it a witness independent of
any validator under test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import dns.name
import dns.rrset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DS import DS

from scanner.lab.keys import delegation_signer
from scanner.lab.plan import DnsFault, DnsFaultKind, DsKind, Fault, RecordFault, ZonePlan
from scanner.lab.zone import SIGNATURE_FAULTS, Zone, to_dns
from scanner.model.names import ROOT
from scanner.model.vocabulary import DnssecStatus

EDE_UNSUPPORTED_ALGORITHM = 1  # RFC 8914 §4
EDE_UNSUPPORTED_DIGEST = 2
EDE_BOGUS = 6
EDE_SIGNATURE_EXPIRED = 7
EDE_SIGNATURE_NOT_YET_VALID = 8
EDE_DNSKEY_MISSING = 9
EDE_RRSIGS_MISSING = 10
EDE_NSEC_MISSING = 12
EDE_NO_REACHABLE_AUTHORITY = 22
EDE_NETWORK_ERROR = 23

_EDE_OF = {
    DnsFaultKind.SIGNATURE_EXPIRED: EDE_SIGNATURE_EXPIRED,
    DnsFaultKind.SIGNATURE_NOT_YET_VALID: EDE_SIGNATURE_NOT_YET_VALID,
    DnsFaultKind.SIGNATURE_MISSING: EDE_RRSIGS_MISSING,
    DnsFaultKind.SIGNATURE_CORRUPT: EDE_BOGUS,
    DnsFaultKind.SIGNER_WRONG: EDE_BOGUS,
}


@dataclass(frozen=True, slots=True)
class Trust:
    """A security status and the extended error a validator gives with it."""

    status: DnssecStatus
    ede: int | None = None


SECURE = Trust(DnssecStatus.SECURE)
INSECURE = Trust(DnssecStatus.INSECURE)


class Universe:
    """The zones of one lab by origin."""

    def __init__(self, plans: Iterable[ZonePlan], now: datetime) -> None:
        self.zones: dict[dns.name.Name, Zone] = {}
        for plan in plans:
            zone = Zone(plan, now)
            self.zones[zone.origin] = zone
        self.root = self.zones[to_dns(ROOT)]
        self._parents: dict[dns.name.Name, Zone] = {}
        for origin, zone in self.zones.items():
            if zone is not self.root:
                parent = self._enclosing(origin.parent())
                parent.add_child(zone)
                self._parents[origin] = parent
        self._trust: dict[dns.name.Name, Trust] = {}
        self._faulty: set[dns.name.Name] = set()

    def anchor(self) -> DS:
        """Return the DS of the root's key-signing key, as a trust anchor."""
        keys = self.root.keys
        assert keys is not None  # the root's plan has a matching DS
        ds = delegation_signer(self.root.origin, keys, DsKind.MATCHING)
        assert ds is not None
        return ds

    def responsible(self, name: dns.name.Name, rdtype: RdataType) -> Zone:
        """Return the zone whose data answer the question; for DS that is the parent's."""
        zone = self._enclosing(name)
        if rdtype == RdataType.DS and zone.origin == name:
            return self._parents.get(name, zone)
        return zone

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Make exactly the DNS faults among ``faults`` active."""
        wanted: dict[dns.name.Name, tuple[list[DnsFault], list[RecordFault]]] = {}
        for fault in faults:
            if isinstance(fault, DnsFault):
                wanted.setdefault(to_dns(fault.zone), ([], []))[0].append(fault)
            elif isinstance(fault, RecordFault):
                wanted.setdefault(to_dns(fault.zone), ([], []))[1].append(fault)
        for origin in self._faulty | set(wanted):
            dns_faults, replaced = wanted.get(origin, ([], []))
            self.zones[origin].set_faults(dns_faults, replaced)
            if origin in self._parents:
                self._parents[origin].invalidate()  # its DS of this zone may have changed
        self._faulty = set(wanted)
        self._trust = {}

    def trust_of_zone(self, zone: Zone) -> Trust:
        """Return the status of the zone's keys, through every link from the root."""
        if zone.origin not in self._trust:
            self._trust[zone.origin] = self._judge_zone(zone)
        return self._trust[zone.origin]

    def trust_of_records(self, zone: Zone, rrset: dns.rrset.RRset) -> Trust:
        """Return the status of one RRset (or denial record) of ``zone``."""
        trust = self.trust_of_zone(zone)
        if trust.status is not DnssecStatus.SECURE:
            return trust
        return _trust_by_signature(zone, rrset.name, rrset.rdtype)

    def _judge_zone(self, zone: Zone) -> Trust:
        parent = self._parents.get(zone.origin)
        if parent is not None:
            above = self.trust_of_zone(parent)
            if above.status is not DnssecStatus.SECURE:
                return above
            delegation = _trust_by_signature(parent, zone.origin, RdataType.DS)
            if delegation.status is not DnssecStatus.SECURE:
                return delegation
        match zone.ds:
            case DsKind.NONE:
                return INSECURE if parent is not None else _trust_by_keys(zone)
            case DsKind.MISMATCH:
                return Trust(DnssecStatus.BOGUS, EDE_DNSKEY_MISSING)
            case DsKind.UNSUPPORTED_ALGORITHM:
                return Trust(DnssecStatus.INSECURE, EDE_UNSUPPORTED_ALGORITHM)
            case DsKind.UNSUPPORTED_DIGEST:
                return Trust(DnssecStatus.INSECURE, EDE_UNSUPPORTED_DIGEST)
            case DsKind.MATCHING:
                return _trust_by_keys(zone)

    def _enclosing(self, name: dns.name.Name) -> Zone:
        while name not in self.zones:
            name = name.parent()
        return self.zones[name]


def _trust_by_keys(zone: Zone) -> Trust:
    hidden = any(fault.kind is DnsFaultKind.DNSKEY_MISSING for fault in zone.faults)
    if hidden or not zone.plan.signed:
        return Trust(DnssecStatus.BOGUS, EDE_DNSKEY_MISSING)
    return _trust_by_signature(zone, zone.origin, RdataType.DNSKEY)


def _trust_by_signature(zone: Zone, owner: dns.name.Name, rdtype: RdataType) -> Trust:
    fault = zone.fault_on(owner, rdtype, SIGNATURE_FAULTS)
    if fault is None:
        return SECURE
    return Trust(DnssecStatus.BOGUS, _EDE_OF[fault.kind])
