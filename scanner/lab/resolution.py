"""From a question to records: what a recursive resolver collects, and how far to believe it.

``Resolver.resolve`` follows aliases over zones and gathers records, denials, signatures and the
status of the weakest of them. It never looks at a message; ``scanner.lab.responder`` decides from
the flags of the query what of this a client gets to see.
"""

from dataclasses import dataclass, field

import dns.name
import dns.rcode
import dns.rrset
from dns.rdatatype import RdataType

from scanner.lab.plan import SERVER_FAULTS, DnsFaultKind
from scanner.lab.universe import (
    EDE_NETWORK_ERROR,
    EDE_NO_REACHABLE_AUTHORITY,
    EDE_NSEC_MISSING,
    Trust,
    Universe,
)
from scanner.lab.zone import Found, FoundKind, Zone
from scanner.model.vocabulary import DnssecStatus

MAX_ALIASES = 16  # followed for one question; unbound gives up after 11 restarts, BIND after 16
_RANK = {DnssecStatus.BOGUS: 0, DnssecStatus.INSECURE: 1, DnssecStatus.SECURE: 2}
_ALIAS_ONLY = frozenset({DnsFaultKind.ALIAS_ONLY})
_FAILING = SERVER_FAULTS - _ALIAS_ONLY
_DENIAL_MISSING = frozenset({DnsFaultKind.DENIAL_MISSING})
_RCODE_OF = {
    DnsFaultKind.REFUSED: dns.rcode.REFUSED,
    DnsFaultKind.NOTIMP: dns.rcode.NOTIMP,
    DnsFaultKind.FORMERR: dns.rcode.FORMERR,
}


@dataclass(slots=True)
class Resolution:
    """Everything found on the way to an answer.

    ``failure`` is the server fault that ended it; then the records are not to be shown. ``status``
    is the weakest of all parts, ``extended_errors`` are codes of RFC 8914.
    """

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    status: DnssecStatus = DnssecStatus.SECURE
    extended_errors: list[int] = field(default_factory=list)
    failure: DnsFaultKind | None = None

    def note(self, trust: Trust) -> None:
        """Let ``trust`` weaken the status."""
        if _RANK[trust.status] < _RANK[self.status]:
            self.status = trust.status
        if trust.ede is not None and trust.ede not in self.extended_errors:
            self.extended_errors.append(trust.ede)

    def fail(self, fault: DnsFaultKind) -> None:
        """End with a server fault."""
        self.failure = fault
        self.rcode = _RCODE_OF.get(fault, dns.rcode.SERVFAIL)
        self.answer.clear()
        self.authority.clear()
        self.extended_errors.clear()
        if fault in (DnsFaultKind.UNREACHABLE, DnsFaultKind.SERVFAIL):
            self.extended_errors.append(EDE_NO_REACHABLE_AUTHORITY)
        if fault is DnsFaultKind.UNREACHABLE:
            self.extended_errors.append(EDE_NETWORK_ERROR)


class Resolver:
    """Answers questions from the zones of a universe."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe

    def resolve(self, name: dns.name.Name, rdtype: RdataType, *, follow: bool = True) -> Resolution:
        """Return the answer to a question; with ``follow`` false, that of one authority alone."""
        result = Resolution()
        for _ in range(MAX_ALIASES + 1):
            target = self._step(name, rdtype, result)
            if target is None or not follow:
                return result
            name = target
        result.fail(DnsFaultKind.SERVFAIL)
        result.extended_errors.clear()  # an alias loop is no fault of reachability
        return result

    def _step(
        self, name: dns.name.Name, rdtype: RdataType, result: Resolution
    ) -> dns.name.Name | None:
        """Add what one zone says; return the alias target to go on with."""
        zone = self._universe.responsible(name, rdtype)
        fault = zone.fault_on(name, rdtype, _FAILING)
        if fault is not None:
            result.fail(fault.kind)
            return None
        found = zone.find(name, rdtype)
        result.note(self._universe.trust_of_zone(zone))
        if found.kind in (FoundKind.NO_DATA, FoundKind.NO_NAME):
            self._add_denial(zone, name, rdtype, found, result)
            return None
        assert found.rrset is not None
        self._add_records(zone, name, found, result)
        if found.kind is FoundKind.DATA:
            return None
        if zone.fault_on(name, rdtype, _ALIAS_ONLY):
            return None
        if found.kind is FoundKind.ALIAS:
            target: dns.name.Name = found.rrset[0].target
            return target
        return _substitute(name, found.rrset, result)

    def _add_records(
        self, zone: Zone, name: dns.name.Name, found: Found, result: Resolution
    ) -> None:
        rrset = found.rrset
        assert rrset is not None
        result.note(self._universe.trust_of_records(zone, rrset))
        signatures = zone.signed(rrset)
        shown = name if found.wildcard else rrset.name
        result.answer.append(_renamed(rrset, shown))
        if signatures is not None:
            result.answer.append(_renamed(signatures, shown))
        if found.wildcard:
            self._add_proof(zone, name, found, result)

    def _add_denial(
        self,
        zone: Zone,
        name: dns.name.Name,
        rdtype: RdataType,
        found: Found,
        result: Resolution,
    ) -> None:
        if found.kind is FoundKind.NO_NAME:
            result.rcode = dns.rcode.NXDOMAIN
        self._add_signed(zone, zone.soa, result)
        if zone.fault_on(name, rdtype, _DENIAL_MISSING):
            if self._universe.trust_of_zone(zone).status is DnssecStatus.SECURE:
                result.note(Trust(DnssecStatus.BOGUS, EDE_NSEC_MISSING))
            return
        self._add_proof(zone, name, found, result)

    def _add_proof(self, zone: Zone, name: dns.name.Name, found: Found, result: Resolution) -> None:
        proof = zone.prove(name, found)
        for rrset in proof.rrsets:
            self._add_signed(zone, rrset, result)
        if proof.opt_out:
            # RFC 5155 §9.2: an opt-out span covers names that may well exist.
            result.note(Trust(DnssecStatus.INSECURE))

    def _add_signed(self, zone: Zone, rrset: dns.rrset.RRset, result: Resolution) -> None:
        result.note(self._universe.trust_of_records(zone, rrset))
        result.authority.append(rrset)
        signatures = zone.signed(rrset)
        if signatures is not None:
            result.authority.append(signatures)


def _substitute(name: dns.name.Name, dname: dns.rrset.RRset, result: Resolution) -> dns.name.Name:
    """Add the alias a DNAME stands for, unsigned (RFC 6672 §2.2, §3.1); return its target."""
    prefix = name.relativize(dname.name)
    target: dns.name.Name = prefix.concatenate(dname[0].target)
    alias = dns.rrset.from_text(name, dname.ttl, "IN", "CNAME", target.to_text())
    result.answer.append(alias)
    return target


def _renamed(rrset: dns.rrset.RRset, owner: dns.name.Name) -> dns.rrset.RRset:
    """Return ``rrset`` as it appears at ``owner``: what a wildcard expands to."""
    if rrset.name == owner:
        return rrset
    return dns.rrset.from_rdata_list(owner, rrset.ttl, list(rrset))
