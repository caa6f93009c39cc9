"""The octets a signature is made over (RFC 4034 §3.1.8.1).

The record sets come with canonical RDATA, sorted and distinct, so what is left is to put the
owner, the type, the class and the Original TTL in front of each.
"""

import struct

from scanner.model.canonical import WILDCARD, CanonicalName, wire_form
from scanner.model.dnssec import RRset, Rrsig

_CLASS_IN = 1
_TYPE_CLASS_TTL = struct.Struct("!HHI")


def label_count(owner: CanonicalName) -> int:
    """Return what the Labels field of an unexpanded signature says: ``*`` is not counted.

    RFC 4034 §3.1.3: neither the root's label nor a leftmost ``*`` counts.
    """
    return len(owner) - 1 if owner and owner[-1] == WILDCARD else len(owner)


def signed_owner(rrset: RRset, rrsig: Rrsig) -> CanonicalName:
    """Return the owner the signature is over: the wildcard where it has fewer labels (§3.1.3)."""
    if rrsig.labels != len(rrset.owner_labels) and rrsig.labels < label_count(rrset.owner_labels):
        return (*rrset.owner_labels[: rrsig.labels], WILDCARD)
    return rrset.owner_labels


def signing_input(rrset: RRset, rrsig: Rrsig) -> bytes:
    """Return what ``rrsig`` signs, if it is over ``rrset``."""
    owner = wire_form(signed_owner(rrset, rrsig))
    head = owner + _TYPE_CLASS_TTL.pack(rrset.rdtype, _CLASS_IN, rrsig.original_ttl)
    if len(rrset.rdatas) == 1:
        (rdata,) = rrset.rdatas
        return b"".join((rrsig.header, head, len(rdata).to_bytes(2), rdata))
    parts = [rrsig.header]
    for rdata in rrset.rdatas:
        parts += (head, len(rdata).to_bytes(2), rdata)
    return b"".join(parts)
