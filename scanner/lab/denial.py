"""Authenticated denial: the NSEC and NSEC3 chains of a zone, and the records each proof needs.

Theory. A chain links all owner names of a zone in canonical order (NSEC, RFC 4034 §6.1) or in hash
order (NSEC3, RFC 5155 §7.1). A record *matches* a name, or *covers* it when the name would sort
between it and its successor. NSEC has no record for an empty non-terminal, NSEC3 has; with opt-out
NSEC3 has none for an insecure delegation, and then a cover proves nothing for certain (§9.2).

``Proof`` is main; the two chain classes differ in how they match and cover.
"""

import base64
import bisect
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.NSEC import NSEC
from dns.rdtypes.ANY.NSEC import Bitmap as NsecBitmap
from dns.rdtypes.ANY.NSEC3 import NSEC3
from dns.rdtypes.ANY.NSEC3 import Bitmap as Nsec3Bitmap

HASH_SHA1 = 1  # the only NSEC3 hash algorithm (RFC 5155 §11)
OPT_OUT = 1  # NSEC3 flag (RFC 5155 §3.1.2.1)
_TO_HEX32 = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghijklmnopqrstuv"
)

Types = frozenset[RdataType]


@dataclass(frozen=True, slots=True)
class Proof:
    """The records of a denial, without signatures.

    ``opt_out`` says that it rests on an opt-out span, so that the denial is insecure.
    """

    rrsets: tuple[dns.rrset.RRset, ...]
    opt_out: bool = False


class Chain(Protocol):
    """What both kinds of chain can prove. ``encloser`` is the closest existing ancestor."""

    def no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        """Prove that ``name`` exists without the type; ``name`` may be an empty non-terminal."""
        ...

    def no_name(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        """Prove that neither ``name`` nor a wildcard for it exists."""
        ...

    def no_closer(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        """Prove that a wildcard answer was right: ``name`` itself does not exist."""
        ...

    def wildcard_no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        """Prove that the wildcard under ``encloser`` exists without the type."""
        ...

    def all_records(self) -> Iterable[dns.rrset.RRset]:
        """Return every record of the chain, for export."""
        ...


class NsecChain:
    """NSEC records over ``nodes``: owner name to the types present there (RFC 4034 §4)."""

    def __init__(self, nodes: Mapping[dns.name.Name, Types], ttl: int) -> None:
        self._nodes = nodes
        self._ttl = ttl
        self._sorted = sorted(nodes, key=canonical_key)
        self._keys = [canonical_key(name) for name in self._sorted]

    def no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        del encloser
        return Proof((self._at_or_before(name),))

    def no_name(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        return _distinct(self._at_or_before(name), self._at_or_before(wildcard_of(encloser)))

    def no_closer(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        del encloser
        return Proof((self._at_or_before(name),))

    def wildcard_no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        return _distinct(self._at_or_before(name), self._at_or_before(wildcard_of(encloser)))

    def all_records(self) -> Iterable[dns.rrset.RRset]:
        return [self._record(index) for index in range(len(self._sorted))]

    def _at_or_before(self, name: dns.name.Name) -> dns.rrset.RRset:
        index = bisect.bisect_right(self._keys, canonical_key(name)) - 1
        return self._record(index)

    def _record(self, index: int) -> dns.rrset.RRset:
        owner = self._sorted[index]
        successor = self._sorted[(index + 1) % len(self._sorted)]
        types = self._nodes[owner] | {RdataType.NSEC, RdataType.RRSIG}
        bitmap = NsecBitmap.from_rdtypes(list(types))
        rdata = _untyped(NSEC, RdataType.NSEC, successor, bitmap)
        return dns.rrset.from_rdata(owner, self._ttl, rdata)


class Nsec3Chain:
    """NSEC3 records over ``nodes`` of the zone ``origin`` (RFC 5155 §7.1).

    ``nodes`` must hold empty non-terminals, with no types, and with opt-out no insecure delegation.
    """

    def __init__(
        self,
        origin: dns.name.Name,
        nodes: Mapping[dns.name.Name, Types],
        ttl: int,
        *,
        iterations: int = 0,
        salt: bytes = b"",
        opt_out: bool = False,
    ) -> None:
        self._origin = origin
        self._ttl = ttl
        self._iterations = iterations
        self._salt = salt
        self._opt_out = opt_out
        self._types = {self._hash(name): types for name, types in nodes.items()}
        self._hashes = sorted(self._types)

    def no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        del encloser
        found = self._matching(name)
        if found is not None:
            return Proof((found,))
        # Only an insecure delegation under opt-out has no record of its own (RFC 5155 §7.2.4).
        return self._closest_encloser_proof(name)

    def no_name(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        proof = self._closest_encloser_proof(name)
        wildcard = self._covering(wildcard_of(encloser))
        return Proof(_distinct(*proof.rrsets, wildcard).rrsets, self._opt_out)

    def no_closer(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        # RFC 5155 §7.2.6: the next closer name alone; the signature's label count says the rest.
        return Proof((self._covering(next_closer(name, encloser)),), self._opt_out)

    def wildcard_no_data(self, name: dns.name.Name, encloser: dns.name.Name) -> Proof:
        proof = self._closest_encloser_proof(name)
        wildcard = self._matching(wildcard_of(encloser))
        assert wildcard is not None
        return Proof(_distinct(*proof.rrsets, wildcard).rrsets, self._opt_out)

    def all_records(self) -> Iterable[dns.rrset.RRset]:
        return [self._record(index) for index in range(len(self._hashes))]

    def _closest_encloser_proof(self, name: dns.name.Name) -> Proof:
        below = name
        encloser = name.parent()
        matched = self._matching(encloser)
        while matched is None:
            below, encloser = encloser, encloser.parent()
            matched = self._matching(encloser)
        return Proof(_distinct(matched, self._covering(below)).rrsets, self._opt_out)

    def _matching(self, name: dns.name.Name) -> dns.rrset.RRset | None:
        hashed = self._hash(name)
        if hashed not in self._types:
            return None
        return self._record(bisect.bisect_left(self._hashes, hashed))

    def _covering(self, name: dns.name.Name) -> dns.rrset.RRset:
        # Index -1, the last record, covers what sorts before the first (RFC 5155 §3.1.7).
        return self._record(bisect.bisect_left(self._hashes, self._hash(name)) - 1)

    def _record(self, index: int) -> dns.rrset.RRset:
        hashed = self._hashes[index]
        successor = self._hashes[(index + 1) % len(self._hashes)]
        bitmap = Nsec3Bitmap.from_rdtypes(list(self._types[hashed]))
        rdata = _untyped(
            NSEC3,
            RdataType.NSEC3,
            HASH_SHA1,
            OPT_OUT if self._opt_out else 0,
            self._iterations,
            self._salt,
            successor,
            bitmap,
        )
        owner = dns.name.Name((_to_label(hashed), *self._origin.labels))
        return dns.rrset.from_rdata(owner, self._ttl, rdata)

    def _hash(self, name: dns.name.Name) -> bytes:
        digest = hashlib.sha1(name.to_digestable() + self._salt, usedforsecurity=False).digest()
        for _ in range(self._iterations):
            digest = hashlib.sha1(digest + self._salt, usedforsecurity=False).digest()
        return digest


def canonical_key(name: dns.name.Name) -> tuple[bytes, ...]:
    """Return a key that sorts names canonically (RFC 4034 §6.1)."""
    return tuple(label.lower() for label in reversed(name.labels))


def wildcard_of(encloser: dns.name.Name) -> dns.name.Name:
    """Return ``*.encloser``."""
    return dns.name.Name((b"*", *encloser.labels))


def next_closer(name: dns.name.Name, encloser: dns.name.Name) -> dns.name.Name:
    """Return the ancestor of ``name`` (or itself) one label below ``encloser`` (RFC 5155 §1.3)."""
    return name.split(len(encloser) + 1)[1]


def _untyped(rdata_class: Any, rdtype: RdataType, *fields: Any) -> dns.rdata.Rdata:
    """Return ``rdata_class`` in class IN; dnspython's constructors carry no types."""
    made: dns.rdata.Rdata = rdata_class(dns.rdataclass.IN, rdtype, *fields)
    return made


def _to_label(hashed: bytes) -> bytes:
    return base64.b32encode(hashed).translate(_TO_HEX32)


def _distinct(*rrsets: dns.rrset.RRset) -> Proof:
    kept = {rrset.name: rrset for rrset in rrsets}
    return Proof(tuple(kept.values()))
