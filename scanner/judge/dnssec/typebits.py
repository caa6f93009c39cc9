"""What the type bit maps of NSEC and NSEC3 say, alike for both kinds of proof.

Rules: a name has the types in its bit map and no other; a CNAME stands for every type (RFC 6840
§4.3); the parent's record at a zone cut (NS without SOA) speaks of DS alone, and neither it nor
one with DNAME speaks of names below (RFC 6840 §4.1); NXNAME says the name does not exist at all
(RFC 9824 §2).
"""

from collections.abc import Set as AbstractSet

from scanner.model.dnssec import DnssecReason

TYPE_NS = 2
TYPE_CNAME = 5
TYPE_SOA = 6
TYPE_DNAME = 39
TYPE_DS = 43
TYPE_RRSIG = 46
TYPE_NSEC = 47
TYPE_NXNAME = 128
TYPE_ANY = 255

MAX_RECORDS = 8
"""NSEC or NSEC3 records of one zone that a proof looks at; honest ones need at most three."""

_BESIDE_NXNAME = frozenset({TYPE_RRSIG, TYPE_NSEC, TYPE_NXNAME})


def nodata_fault(
    types: AbstractSet[int], rdtype: int, *, at_apex: bool, at_root: bool
) -> DnssecReason | None:
    """Return why a bit map does not deny ``rdtype`` at its owner; None where it does.

    ``at_apex`` says that the owner is the zone's apex, ``at_root`` that this is the root: there
    DS never exists, and no parent could have been asked instead.
    """
    if rdtype in types or rdtype == TYPE_ANY:
        # Where there is an NSEC, something is there: type ANY cannot be denied by it.
        return DnssecReason.TYPE_PRESENT
    if TYPE_CNAME in types:
        return DnssecReason.CNAME_PRESENT
    if rdtype == TYPE_DS:
        # DS lives above the cut: the child's word is no denial (RFC 4035 §5.2, RFC 5155 §8.6).
        from_child = (at_apex or TYPE_SOA in types) and not at_root
        return DnssecReason.DS_FROM_CHILD if from_child else None
    if is_cut(types):
        return DnssecReason.ANCESTOR_DELEGATION
    return None


def delegation_fault(
    types: AbstractSet[int], *, at_apex: bool, at_root: bool
) -> DnssecReason | None:
    """Return why a bit map does not deny DS in the words of a delegation; None where it does.

    A CNAME here is no fault: it leaves no room for a zone cut, which is all that is asked.
    """
    if (at_apex or TYPE_SOA in types) and not at_root:
        return DnssecReason.DS_FROM_CHILD
    return DnssecReason.DS_BIT_SET if TYPE_DS in types else None


def is_cut(types: AbstractSet[int]) -> bool:
    """Return whether the bit map is the parent's at a zone cut: NS without SOA."""
    return TYPE_NS in types and TYPE_SOA not in types


def hides_names_below(types: AbstractSet[int]) -> bool:
    """Return whether names below the owner are not this zone's to deny (RFC 6840 §4.1)."""
    return TYPE_DNAME in types or is_cut(types)


def says_absent(types: AbstractSet[int]) -> bool:
    """Return whether the bit map says that its owner does not exist (RFC 9824 §2).

    NXNAME beside the types of a name that does exist says nothing.
    """
    return TYPE_NXNAME in types and types <= _BESIDE_NXNAME
