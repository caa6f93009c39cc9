"""A zone by definition, its true answers, and its NSEC and NSEC3 rings: the reference for proofs.

Written from RFC 1034 §4.3.2, RFC 4592 and RFC 5155 §7.1 over plain sets, with nothing of the proofs
it is to judge. Names are canonical: root first.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.model.canonical import CanonicalName, name_of
from scanner.model.dnssec import Nsec3Record, NsecRecord
from scanner.model.names import Name

A, NS, CNAME, SOA, MX, DNAME, DS, RRSIG, NSEC, NSEC3PARAM = 1, 2, 5, 6, 15, 39, 43, 46, 47, 51
STAR = b"*"


class Truth(StrEnum):
    """What a zone truly answers."""

    DATA = "data"
    """Records of the type, or a CNAME, also by a wildcard."""
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    ELSEWHERE = "elsewhere"
    """A referral, or a name rewritten by DNAME: not this zone's to deny."""


@dataclass(frozen=True, kw_only=True)
class ReferenceZone:
    """Owner names with their types; what lies below a cut or a DNAME is left out."""

    apex: CanonicalName
    owners: dict[CanonicalName, frozenset[int]]
    existing: frozenset[CanonicalName] = field(default=frozenset())

    @classmethod
    def of(
        cls, apex: CanonicalName, owners: dict[CanonicalName, frozenset[int]]
    ) -> "ReferenceZone":
        """Return the zone of these owners; the apex gets SOA and NS."""
        every = {**owners, apex: frozenset({SOA, NS, RRSIG})}
        hiding = [name for name, types in every.items() if hides(types)]
        kept = {
            name: types
            for name, types in every.items()
            if not any(strictly_below(name, above) for above in hiding)
        }
        existing = {name[:length] for name in kept for length in range(len(apex), len(name) + 1)}
        return cls(apex=apex, owners=kept, existing=frozenset(existing))

    def hidden(self, name: CanonicalName) -> bool:
        """Return whether ``name`` is below a zone cut or a DNAME."""
        return any(
            hides(types) and strictly_below(name, owner) for owner, types in self.owners.items()
        )

    def encloser(self, name: CanonicalName) -> CanonicalName:
        """Return the longest existing name at or above ``name``."""
        length = len(name)
        while name[:length] not in self.existing:
            length -= 1
        return name[:length]

    def truth(self, name: CanonicalName, rdtype: int) -> Truth:
        """Return what the zone answers."""
        if self.hidden(name):
            return Truth.ELSEWHERE
        if name in self.existing:
            return self._at(name, rdtype)
        wildcard = (*self.encloser(name), STAR)
        return self._at(wildcard, rdtype) if wildcard in self.existing else Truth.NXDOMAIN

    def _at(self, name: CanonicalName, rdtype: int) -> Truth:
        types = self.owners.get(name, frozenset())
        if rdtype in types or CNAME in types:
            return Truth.ELSEWHERE if is_cut(types) and rdtype != DS else Truth.DATA
        if is_cut(types) and rdtype != DS:
            return Truth.ELSEWHERE
        return Truth.NODATA

    def nsec_ring(self) -> list[NsecRecord]:
        """Return the NSEC record of every owner (RFC 4034 §4)."""
        ring = sorted(self.owners)
        following = [*ring[1:], self.apex]
        return [
            NsecRecord(
                owner=name_of(owner),
                owner_labels=owner,
                next_labels=after,
                types=self.owners[owner] | {RRSIG, NSEC},
            )
            for owner, after in zip(ring, following, strict=True)
        ]

    def nsec3_names(self, omitted: Iterable[CanonicalName] = ()) -> set[CanonicalName]:
        """Return the names that have an NSEC3 when these unsigned delegations have none."""
        left = set(self.owners) - set(omitted)
        return {name[:n] for name in left for n in range(len(self.apex), len(name) + 1)}

    def nsec3_ring(
        self,
        *,
        salt: bytes,
        iterations: int,
        omitted: frozenset[CanonicalName] = frozenset(),
        opt_out_everywhere: bool = False,
    ) -> list[Nsec3Record]:
        """Return the NSEC3 records (RFC 5155 §7.1), with opt-out where a span hides something."""
        types = {
            hashed(name, salt, iterations): self._nsec3_types(name)
            for name in self.nsec3_names(omitted)
        }
        ring = sorted(types)
        unseen = [hashed(name, salt, iterations) for name in self.existing]
        out = []
        for position, owner in enumerate(ring):
            after = ring[(position + 1) % len(ring)]
            hiding = opt_out_everywhere or any(
                digest not in types and in_span(owner, digest, after) for digest in unseen
            )
            out.append(
                nsec3_record(self.apex, owner, after, types[owner], salt, iterations, hiding)
            )
        return out

    def _nsec3_types(self, name: CanonicalName) -> frozenset[int]:
        types = self.owners.get(name, frozenset())
        unsigned = not types or (is_cut(types) and DS not in types)
        return types if unsigned else types | {RRSIG}


def nsec3_record(
    zone: CanonicalName,
    owner: bytes,
    after: bytes,
    types: frozenset[int],
    salt: bytes,
    iterations: int,
    opt_out: bool,
) -> Nsec3Record:
    """Return one NSEC3 record of SHA-1."""
    label = base64.b32hexencode(owner).decode().lower()
    return Nsec3Record(
        owner=Name(f"{label}.{name_of(zone)}") if zone else Name(label),
        zone_labels=zone,
        owner_hash=owner,
        next_hash=after,
        algorithm=1,
        flags=int(opt_out),
        iterations=iterations,
        salt=salt,
        types=types,
    )


def hashed(name: CanonicalName, salt: bytes, iterations: int) -> bytes:
    """Return the NSEC3 hash (RFC 5155 §5)."""
    wire = b"".join(bytes([len(label)]) + label for label in reversed(name)) + b"\0"
    digest = hashlib.sha1(wire + salt).digest()
    for _ in range(iterations):
        digest = hashlib.sha1(digest + salt).digest()
    return digest


def in_span(owner: bytes, digest: bytes, after: bytes) -> bool:
    """Return whether a hash lies between two neighbours of a ring, going upwards from the first."""
    size = 1 << 160
    start, middle, end = (int.from_bytes(value, "big") for value in (owner, digest, after))
    distance = (end - start) % size or size
    return 0 < (middle - start) % size < distance


def is_cut(types: frozenset[int]) -> bool:
    """Return whether these are the types of a delegation."""
    return NS in types and SOA not in types


def hides(types: frozenset[int]) -> bool:
    """Return whether names below an owner of these types are not the zone's."""
    return is_cut(types) or DNAME in types


def strictly_below(name: CanonicalName, above: CanonicalName) -> bool:
    """Return whether ``name`` is a true descendant."""
    return len(name) > len(above) and name[: len(above)] == above
