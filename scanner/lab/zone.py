"""One zone: its records and faults, and what an authority finds in it (RFC 1034 §4.3.2).

Records are parsed, chained and signed on first use, because a lab of 10,000 domains is mostly never
asked about all of them. Every change (a replaced RRset, a fault) drops what was derived.

Main thing first: ``Zone.find``, ``Zone.signed`` and ``Zone.prove``; reading of plans is last.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DS import DS

from scanner.lab.denial import Chain, Nsec3Chain, NsecChain, Proof, Types, wildcard_of
from scanner.lab.keys import ZoneKeys, delegation_signer, make_keys, signature
from scanner.lab.plan import (
    TTL_SECONDS,
    Denial,
    DnsFault,
    DnsFaultKind,
    DsKind,
    RecordFault,
    ZonePlan,
)
from scanner.model.names import ROOT, Name

SIGNATURE_FAULTS = frozenset(
    {
        DnsFaultKind.SIGNATURE_EXPIRED,
        DnsFaultKind.SIGNATURE_NOT_YET_VALID,
        DnsFaultKind.SIGNATURE_MISSING,
        DnsFaultKind.SIGNATURE_CORRUPT,
        DnsFaultKind.SIGNER_WRONG,
    }
)
NAME_SERVER = "ns.test."  # one server serves every zone of the lab
NAME_SERVER_ADDRESS = "127.0.0.1"

Key = tuple[dns.name.Name, RdataType]


class FoundKind(StrEnum):
    """How a search in one zone ends."""

    DATA = "data"
    ALIAS = "alias"
    SUBTREE_ALIAS = "subtree-alias"
    """A DNAME above the name (RFC 6672)."""
    NO_DATA = "no-data"
    NO_NAME = "no-name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The result of a search. ``wildcard`` says that the records come from ``*.encloser``."""

    kind: FoundKind
    encloser: dns.name.Name
    rrset: dns.rrset.RRset | None = None
    wildcard: bool = False


class Zone:
    """A zone as planned, with the faults and replaced records that are active now."""

    def __init__(self, plan: ZonePlan, now: datetime) -> None:
        self.plan = plan
        self.origin = to_dns(plan.origin)
        self.now = now
        self.faults: tuple[DnsFault, ...] = ()
        self.keys: ZoneKeys | None = None
        if plan.signed or plan.ds is not DsKind.NONE:
            self.keys = make_keys(plan.algorithm, split=plan.split_keys)
        self._replaced: tuple[RecordFault, ...] = ()
        self._children: list[Zone] = []
        self._rrsets: dict[Key, dns.rrset.RRset] | None = None
        self._signatures: dict[Key, dns.rrset.RRset | None] = {}
        self._tree: _Tree | None = None

    def add_child(self, child: "Zone") -> None:
        """Delegate ``child`` from this zone."""
        self._children.append(child)
        self.invalidate()

    def set_faults(self, faults: Iterable[DnsFault], replaced: Iterable[RecordFault]) -> None:
        """Make exactly these faults and replaced RRsets active."""
        self.faults = tuple(faults)
        self._replaced = tuple(replaced)
        self.invalidate()

    def invalidate(self) -> None:
        """Drop what was derived, because something it depends on has changed."""
        self._rrsets = None
        self._signatures = {}
        self._tree = None

    @property
    def ds(self) -> DsKind:
        """What the parent says now: as planned, or a mismatch while that fault is active."""
        wrong = any(fault.kind is DnsFaultKind.DS_MISMATCH for fault in self.faults)
        return DsKind.MISMATCH if wrong else self.plan.ds

    def find(self, name: dns.name.Name, rdtype: RdataType) -> Found:
        """Return what this zone holds for a question that belongs to it."""
        tree = self._tree_now()
        for ancestor in _ancestors(name, self.origin):
            alias = self.rrsets.get((ancestor, RdataType.DNAME))
            if alias is not None:
                return Found(kind=FoundKind.SUBTREE_ALIAS, encloser=ancestor, rrset=alias)
        if name in tree.nodes:
            return self._at(name, name, rdtype, wildcard=False)
        if name in tree.empty:
            return Found(kind=FoundKind.NO_DATA, encloser=name)
        encloser = name.parent()
        while encloser not in tree.nodes and encloser not in tree.empty:
            encloser = encloser.parent()
        if wildcard_of(encloser) in tree.nodes:
            return self._at(wildcard_of(encloser), encloser, rdtype, wildcard=True)
        return Found(kind=FoundKind.NO_NAME, encloser=encloser)

    def _at(
        self, owner: dns.name.Name, encloser: dns.name.Name, rdtype: RdataType, *, wildcard: bool
    ) -> Found:
        rrset = self.rrsets.get((owner, rdtype))
        if rrset is not None:
            return Found(kind=FoundKind.DATA, encloser=encloser, rrset=rrset, wildcard=wildcard)
        alias = self.rrsets.get((owner, RdataType.CNAME))
        if alias is not None:
            return Found(kind=FoundKind.ALIAS, encloser=encloser, rrset=alias, wildcard=wildcard)
        return Found(kind=FoundKind.NO_DATA, encloser=encloser, wildcard=wildcard)

    def prove(self, name: dns.name.Name, found: Found) -> Proof:
        """Return the denial that goes with ``found``; empty in an unsigned zone."""
        chain = self.chain
        if chain is None:
            return Proof(())
        if found.kind is FoundKind.NO_NAME:
            return chain.no_name(name, found.encloser)
        if found.kind is FoundKind.NO_DATA and found.wildcard:
            return chain.wildcard_no_data(name, found.encloser)
        if found.kind is FoundKind.NO_DATA:
            return chain.no_data(name, found.encloser)
        return chain.no_closer(name, found.encloser) if found.wildcard else Proof(())

    def signed(self, rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
        """Return the RRSIG RRset over ``rrset``, broken as the faults say; None if unsigned."""
        if not self.plan.signed or self.keys is None or self._is_delegation_ns(rrset):
            return None
        key = (rrset.name, rrset.rdtype)
        if key not in self._signatures:
            fault = self.fault_on(rrset.name, rrset.rdtype, SIGNATURE_FAULTS)
            rrsig = signature(
                rrset, self.keys, self.origin, self.now, fault.kind if fault else None
            )
            made = None if rrsig is None else dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)
            self._signatures[key] = made
        return self._signatures[key]

    def fault_on(
        self, owner: dns.name.Name, rdtype: RdataType, kinds: frozenset[DnsFaultKind]
    ) -> DnsFault | None:
        """Return the first active fault of ``kinds`` that concerns this RRset or question."""
        for fault in self.faults:
            if fault.kind not in kinds:
                continue
            if fault.owner is not None and to_dns(fault.owner) != owner:
                continue
            if fault.rdtype is None or RdataType[fault.rdtype] == rdtype:
                return fault
        return None

    @property
    def soa(self) -> dns.rrset.RRset:
        """The SOA RRset."""
        return self.rrsets[self.origin, RdataType.SOA]

    @property
    def rrsets(self) -> dict[Key, dns.rrset.RRset]:
        """Every RRset of the zone file but signatures and denial records."""
        if self._rrsets is None:
            self._rrsets = self._read()
        return self._rrsets

    @property
    def chain(self) -> Chain | None:
        """The denial chain; None in an unsigned zone."""
        return self._tree_now().chain

    def is_authoritative(self, owner: dns.name.Name) -> bool:
        """Whether ``owner`` is above or at a zone cut, rather than glue below it."""
        return owner in self._tree_now().nodes

    def _is_delegation_ns(self, rrset: dns.rrset.RRset) -> bool:
        return rrset.rdtype == RdataType.NS and rrset.name != self.origin

    def _tree_now(self) -> "_Tree":
        if self._tree is None:
            self._tree = _Tree(self)
        return self._tree

    def _read(self) -> dict[Key, dns.rrset.RRset]:
        texts: dict[Key, list[str]] = defaultdict(list)
        for record in self.plan.records:
            texts[to_dns(record.owner), RdataType[record.rdtype]].append(record.text)
        for fault in self._replaced:
            texts[to_dns(fault.owner), RdataType[fault.rdtype]] = list(fault.texts)
        rrsets = {
            (owner, rdtype): read_rrset(owner, rdtype, lines)
            for (owner, rdtype), lines in texts.items()
            if lines
        }
        self._add_apex(rrsets)
        for child in self._children:
            self._add_delegation(rrsets, child)
        return rrsets

    def _add_apex(self, rrsets: dict[Key, dns.rrset.RRset]) -> None:
        soa = f"{NAME_SERVER} hostmaster.test. 1 3600 900 1209600 {TTL_SECONDS}"
        rrsets[self.origin, RdataType.SOA] = read_rrset(self.origin, RdataType.SOA, [soa])
        rrsets[self.origin, RdataType.NS] = read_rrset(self.origin, RdataType.NS, [NAME_SERVER])
        hidden = any(fault.kind is DnsFaultKind.DNSKEY_MISSING for fault in self.faults)
        if self.plan.signed and self.keys is not None and not hidden:
            rrsets[self.origin, RdataType.DNSKEY] = dns.rrset.from_rdata(
                self.origin, TTL_SECONDS, *self.keys.dnskeys
            )
        if self.plan.signed and self.plan.denial is not Denial.NSEC:
            text = f"1 0 {self.plan.nsec3_iterations} {self.plan.nsec3_salt or '-'}"
            rrsets[self.origin, RdataType.NSEC3PARAM] = read_rrset(
                self.origin, RdataType.NSEC3PARAM, [text]
            )

    def _add_delegation(self, rrsets: dict[Key, dns.rrset.RRset], child: "Zone") -> None:
        cut = child.origin
        rrsets[cut, RdataType.NS] = read_rrset(cut, RdataType.NS, [NAME_SERVER])
        ds = _ds_of(child)
        if ds is not None:
            rrsets[cut, RdataType.DS] = dns.rrset.from_rdata(cut, TTL_SECONDS, ds)
        server = dns.name.from_text(NAME_SERVER)
        if server.is_subdomain(cut):  # glue (RFC 1034 §4.2.1)
            rrsets[server, RdataType.A] = read_rrset(server, RdataType.A, [NAME_SERVER_ADDRESS])


class _Tree:
    """The names of a zone: authoritative nodes, empty non-terminals, and the chain over them."""

    def __init__(self, zone: Zone) -> None:
        origin = zone.origin
        cuts = {owner for owner, kind in zone.rrsets if kind == RdataType.NS and owner != origin}
        types: dict[dns.name.Name, set[RdataType]] = defaultdict(set)
        for owner, rdtype in zone.rrsets:
            if not any(ancestor in cuts for ancestor in _ancestors(owner, origin)):
                types[owner].add(rdtype)
        self.nodes: dict[dns.name.Name, Types] = {
            owner: frozenset(kinds) for owner, kinds in types.items()
        }
        self.empty = _between(self.nodes, origin)
        self.chain = self._make_chain(zone, cuts) if zone.plan.signed else None

    def _make_chain(self, zone: Zone, cuts: set[dns.name.Name]) -> Chain:
        plan = zone.plan
        if plan.denial is Denial.NSEC:
            return NsecChain(self.nodes, TTL_SECONDS)
        opt_out = plan.denial is Denial.NSEC3_OPT_OUT
        kept: dict[dns.name.Name, Types] = {}
        for owner, types in self.nodes.items():
            insecure = owner in cuts and RdataType.DS not in types
            if not (opt_out and insecure):
                # At an insecure delegation nothing is signed, so there is no RRSIG bit.
                kept[owner] = types if insecure else types | {RdataType.RRSIG}
        for name in _between(kept, zone.origin):
            kept[name] = frozenset()
        return Nsec3Chain(
            zone.origin,
            kept,
            TTL_SECONDS,
            iterations=plan.nsec3_iterations,
            salt=bytes.fromhex(plan.nsec3_salt),
            opt_out=opt_out,
        )


def to_dns(name: Name) -> dns.name.Name:
    """Return ``name`` as dnspython knows it."""
    return dns.name.root if name == ROOT else dns.name.from_text(f"{name}.")


def from_dns(name: dns.name.Name) -> Name:
    """Return ``name`` as the model knows it: lower case, no trailing dot."""
    return ROOT if name == dns.name.root else Name(name.to_text(omit_final_dot=True).lower())


def read_rrset(owner: dns.name.Name, rdtype: RdataType, texts: Iterable[str]) -> dns.rrset.RRset:
    """Return the RRset of these presentation forms; ``\\#`` data is taken as it is."""
    rdatas = [_read_rdata(rdtype, text) for text in texts]
    return dns.rrset.from_rdata_list(owner, TTL_SECONDS, rdatas)


def _read_rdata(rdtype: RdataType, text: str) -> dns.rdata.Rdata:
    if text.startswith("\\#"):
        # Never parsed as its type: the lab must be able to publish malformed data.
        octets = bytes.fromhex("".join(text.split()[2:]))
        return dns.rdata.GenericRdata(dns.rdataclass.IN, rdtype, octets)
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, rdtype, text)
    except dns.exception.SyntaxError:
        if rdtype != RdataType.TLSA:
            raise
        # dnspython refuses digests of the wrong length, which the lab must be able to publish.
        usage, selector, matching_type, *data = text.split()
        octets = bytes((int(usage), int(selector), int(matching_type)))
        octets += bytes.fromhex("".join(data))
        return dns.rdata.GenericRdata(dns.rdataclass.IN, rdtype, octets)


def _ds_of(child: Zone) -> DS | None:
    if child.keys is None:
        return None
    return delegation_signer(child.origin, child.keys, child.ds)


def _ancestors(name: dns.name.Name, origin: dns.name.Name) -> Iterable[dns.name.Name]:
    """Yield the ancestors of ``name`` strictly above it, from its parent up to ``origin``."""
    while name != origin and name != dns.name.root:
        name = name.parent()
        yield name


def _between(nodes: Iterable[dns.name.Name], origin: dns.name.Name) -> set[dns.name.Name]:
    """Return the empty non-terminals: ancestors of nodes that are no nodes themselves."""
    present = set(nodes)
    empty: set[dns.name.Name] = set()
    for name in present:
        for ancestor in _ancestors(name, origin):
            if ancestor in present or ancestor in empty:
                # Its own ancestors are taken care of when it is visited, or have been.
                if ancestor in empty:
                    break
                continue
            empty.add(ancestor)
    return empty
