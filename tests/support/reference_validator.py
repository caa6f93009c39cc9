"""A small DNSSEC validator for tests: dnspython's signature check and denial proofs of its own.

It favours plain reading over speed and completeness. It asks a resolver with
CD=1 through a callable, walks from the root's DS down, and calls an answer secure, insecure or
bogus. Nothing of the product is imported, so it can disagree with any part of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rrset
from dns.rdatatype import RdataType

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"

Ask = Callable[[dns.name.Name, RdataType], dns.message.Message]


class BogusError(Exception):
    """A link of the chain does not hold."""


@dataclass
class Zone:
    """A zone and its proven keys; None once the chain has securely ended."""

    origin: dns.name.Name
    keys: dns.rrset.RRset | None


class ReferenceValidator:
    """Validates answers as of ``now`` (seconds), trusting the root key that ``anchor`` names."""

    def __init__(self, ask: Ask, anchor: dns.rrset.RRset, now: float) -> None:
        self._ask = ask
        self._now = now
        self._anchor = anchor
        self._cuts: dict[dns.name.Name, Zone | None] = {}  # what was proven about each name

    def status(self, name: dns.name.Name, rdtype: RdataType) -> str:
        """Return the status of the answer to a question."""
        try:
            return self._status(name, rdtype)
        except (BogusError, dns.exception.DNSException):
            return BOGUS

    def _status(self, name: dns.name.Name, rdtype: RdataType) -> str:
        reply = self._ask(name, rdtype)
        worst = SECURE
        synthesised: set[dns.name.Name] = set()
        for rrset in reply.answer:
            if rrset.rdtype == RdataType.RRSIG or rrset.name in synthesised:
                continue
            zone = self._zone_of(rrset.name, rrset.rdtype)
            if zone.keys is None:
                worst = INSECURE
            else:
                labels = self._verify(reply.answer, rrset, zone)
                if labels < len(rrset.name) - 1 - rrset.name.is_wild():
                    worst = _worse(worst, self._no_closer(reply, rrset.name, labels, zone))
            if rrset.rdtype == RdataType.DNAME:
                synthesised |= {item.name for item in reply.answer if item.name != rrset.name}
        end = name if rdtype == RdataType.CNAME else _end_of_aliases(reply, name)
        if not any(item.name == end and item.rdtype == rdtype for item in reply.answer):
            worst = _worse(worst, self._denied(reply, end, rdtype))
        return worst

    def _denied(self, reply: dns.message.Message, name: dns.name.Name, rdtype: RdataType) -> str:
        zone = self._zone_of(name, rdtype)
        if zone.keys is None:
            return INSECURE
        proofs = self._proofs(reply, zone)
        missing = reply.rcode() == dns.rcode.NXDOMAIN
        return prove_denial(proofs, zone.origin, name, rdtype, missing=missing)

    def _no_closer(
        self, reply: dns.message.Message, name: dns.name.Name, labels: int, zone: Zone
    ) -> str:
        """A wildcard answer needs the proof that nothing nearer exists (RFC 4035 §5.3.4)."""
        covers = Denial(self._proofs(reply, zone), zone.origin)
        below = name.split(labels + 2)[1]
        return _require(covers.covering(name if covers.plain else below))

    def _zone_of(self, name: dns.name.Name, rdtype: RdataType) -> Zone:
        """Walk from the root to the zone that holds the data (RFC 4035 §5)."""
        root = dns.name.root
        if root not in self._cuts:
            self._cuts[root] = Zone(root, self._proven_keys(root, self._anchor))
        zone = self._cuts[root]
        for depth in range(2, len(name) + 1):
            cut = name.split(depth)[1]
            if rdtype == RdataType.DS and cut == name:
                return zone
            if cut not in self._cuts:
                self._cuts[cut] = self._below(zone, cut)
            step = self._cuts[cut]
            if step is None:
                return zone
            zone = step
            if zone.keys is None:
                return zone
        return zone

    def _below(self, zone: Zone, cut: dns.name.Name) -> Zone | None:
        """Return the zone at ``cut``, or the one above if there is no cut; None: no such name."""
        reply = self._ask(cut, RdataType.DS)
        found = [item for item in reply.answer if item.rdtype == RdataType.DS and item.name == cut]
        if found:
            self._verify(reply.answer, found[0], zone)
            usable = [ds for ds in found[0] if ds.algorithm in (8, 13, 14, 15)]
            usable = [ds for ds in usable if ds.digest_type in (2, 4)]
            if not usable:
                return Zone(cut, None)
            return Zone(cut, self._proven_keys(cut, dns.rrset.from_rdata_list(cut, 0, usable)))
        if reply.answer:  # an alias: no cut here
            return zone
        missing = reply.rcode() == dns.rcode.NXDOMAIN
        proofs = self._proofs(reply, zone)
        status = prove_denial(proofs, zone.origin, cut, RdataType.DS, missing=missing)
        if missing:
            return None
        types = Denial(proofs, zone.origin).types_at(cut)
        if status == INSECURE or (types is not None and RdataType.NS in types):
            return Zone(cut, None)
        return zone

    def _proven_keys(self, origin: dns.name.Name, delegation: dns.rrset.RRset) -> dns.rrset.RRset:
        reply = self._ask(origin, RdataType.DNSKEY)
        keys = reply.get_rrset(reply.answer, origin, 1, RdataType.DNSKEY)
        if keys is None:
            raise BogusError("no DNSKEY")
        for ds in delegation:
            for key in keys:
                if dns.dnssec.make_ds(origin, key, ds.digest_type, validating=True) == ds:
                    signer = dns.rrset.from_rdata(origin, 0, key)
                    self._verify(reply.answer, keys, Zone(origin, signer))
                    return keys
        raise BogusError("no key for the DS")

    def _verify(self, section: list, rrset: dns.rrset.RRset, zone: Zone) -> int:
        """Check a signature of ``zone`` over ``rrset``; return its label count."""
        for signatures in section:
            covers = signatures.rdtype == RdataType.RRSIG and signatures.covers == rrset.rdtype
            if covers and signatures.name == rrset.name:
                if any(signature.signer != zone.origin for signature in signatures):
                    raise BogusError("wrong signer")
                dns.dnssec.validate(rrset, signatures, {zone.origin: zone.keys}, now=self._now)
                return signatures[0].labels
        raise BogusError(f"no signature over {rrset.name} {rrset.rdtype}")

    def _proofs(self, reply: dns.message.Message, zone: Zone) -> list[dns.rrset.RRset]:
        proofs = [
            rrset
            for rrset in reply.authority
            if rrset.rdtype in (RdataType.NSEC, RdataType.NSEC3)
            and rrset.name.is_subdomain(zone.origin)
        ]
        for rrset in proofs:
            self._verify(reply.authority, rrset, zone)
        return proofs


class Denial:
    """NSEC or NSEC3 records of one reply, by what they match and cover."""

    def __init__(self, proofs: list[dns.rrset.RRset], origin: dns.name.Name) -> None:
        self.origin = origin
        self.plain = any(rrset.rdtype == RdataType.NSEC for rrset in proofs)
        self._proofs = proofs

    def matching(self, name: dns.name.Name) -> dns.rrset.RRset | None:
        """Return the record at ``name``."""
        return next((rrset for rrset in self._proofs if self._place(rrset, name)[0] == 0), None)

    def covering(self, name: dns.name.Name) -> dns.rrset.RRset | None:
        """Return the record in whose gap ``name`` falls."""
        return next((rrset for rrset in self._proofs if self._place(rrset, name)[1]), None)

    def types_at(self, name: dns.name.Name) -> set[RdataType] | None:
        """Return the types present at ``name``, if a record says."""
        found = self.matching(name)
        if found is None:
            return None
        text = found[0].to_text().split()
        first = 1 if self.plain else 5
        return {RdataType[item] for item in text[first:]}

    def _place(self, rrset: dns.rrset.RRset, name: dns.name.Name) -> tuple[int, bool]:
        rdata = rrset[0]
        if self.plain:
            begin, end, point = rrset.name, rdata.next, name
        else:
            begin = rrset.name.labels[0].lower()
            end = rdata.to_text().split()[4].lower().encode()
            hashed = dns.dnssec.nsec3_hash(name, rdata.salt, rdata.iterations, rdata.algorithm)
            point = hashed.lower().encode()
        inside = begin < point < end if begin < end else point > begin or point < end
        if self.plain and begin >= end:
            inside = point > begin
        return (0 if begin == point else 1), inside and begin != point


def prove_denial(
    proofs: list[dns.rrset.RRset],
    origin: dns.name.Name,
    name: dns.name.Name,
    rdtype: RdataType,
    *,
    missing: bool,
) -> str:
    """Return how far the records prove that the question has no answer; raise BogusError."""
    denial = Denial(proofs, origin)
    if not missing:
        types = denial.types_at(name)
        if types is not None:
            if rdtype in types or RdataType.CNAME in types:
                raise BogusError("the type is there")
            return SECURE
    if denial.plain:
        return _by_nsec(denial, name, rdtype, missing=missing)
    return _by_nsec3(denial, name, rdtype, missing=missing)


def _by_nsec(denial: Denial, name: dns.name.Name, rdtype: RdataType, *, missing: bool) -> str:
    cover = denial.covering(name)
    if cover is None:
        raise BogusError("name not covered")
    if not missing and cover[0].next.is_subdomain(name):
        return SECURE  # empty non-terminal
    ancestors = [name.split(depth)[1] for depth in range(len(name) - 1, 0, -1)]
    ends = (cover.name, cover[0].next)
    encloser = next(item for item in ancestors if any(end.is_subdomain(item) for end in ends))
    wildcard = dns.name.Name((b"*", *encloser.labels))
    if missing:
        return _require(denial.covering(wildcard))
    types = denial.types_at(wildcard)
    if types is None or rdtype in types:
        raise BogusError("wildcard not denied")
    return SECURE


def _by_nsec3(denial: Denial, name: dns.name.Name, rdtype: RdataType, *, missing: bool) -> str:
    for depth in range(len(name) - 1, 0, -1):
        encloser = name.split(depth)[1]
        if denial.matching(encloser) is None:
            continue
        cover = denial.covering(name.split(depth + 1)[1])
        status = _require(cover)
        wildcard = dns.name.Name((b"*", *encloser.labels))
        types = denial.types_at(wildcard)
        if missing:
            return _worse(status, _require(denial.covering(wildcard)))
        if types is not None and rdtype not in types:
            return status
        if status == INSECURE and rdtype == RdataType.DS:
            return status
        raise BogusError("NODATA not proven")
    raise BogusError("no closest encloser")


def _require(cover: dns.rrset.RRset | None) -> str:
    if cover is None:
        raise BogusError("not covered")
    opt_out = cover.rdtype == RdataType.NSEC3 and cover[0].flags & 1
    return INSECURE if opt_out else SECURE


def _end_of_aliases(reply: dns.message.Message, name: dns.name.Name) -> dns.name.Name:
    for _ in range(20):
        alias = next(
            (r for r in reply.answer if r.name == name and r.rdtype == RdataType.CNAME), None
        )
        if alias is None:
            return name
        name = alias[0].target
    raise BogusError("alias loop")


def _worse(first: str, second: str) -> str:
    order = (BOGUS, INSECURE, SECURE)
    return min(first, second, key=order.index)
