"""What a reply is about, before anybody judges what it is worth."""

from scanner.model.canonical import CanonicalName, is_at_or_below
from scanner.model.dnssec import RRset, SignedMessage

TYPE_NS = 2
TYPE_SOA = 6
TYPE_DS = 43
TYPE_NSEC = 47
TYPE_NSEC3 = 50
RCODE_NXDOMAIN = 3

DENYING = frozenset({TYPE_NSEC, TYPE_NSEC3, TYPE_SOA})
"""Types of records that come with a denial."""


def says_something_of(message: SignedMessage, name: CanonicalName) -> bool:
    """Return whether a reply without data or alias for ``name`` denies it, or is silent.

    Of the name that was asked for every reply says something; a chain that ends in an alias
    without any denial beside it was cut short by the resolver (case 18).
    """
    if message.question_labels == name or message.rcode == RCODE_NXDOMAIN:
        return True
    return any(
        rrset.rdtype in DENYING and is_at_or_below(name, _zone_of(rrset))
        for rrset in message.authority
    )


def _zone_of(rrset: RRset) -> CanonicalName:
    """Return the zone an SOA, NSEC or NSEC3 record most likely belongs to."""
    if rrset.rdtype == TYPE_SOA:
        return rrset.owner_labels
    signers = [rrsig.signer_labels for rrsig in rrset.rrsigs]
    return max(signers, key=len, default=rrset.owner_labels[:-1])


def side_of(name: CanonicalName, rdtype: int) -> CanonicalName:
    """Return the name whose zone holds this type at ``name``: DS is the parent's."""
    return name[:-1] if rdtype == TYPE_DS else name


def is_referral(message: SignedMessage) -> bool:
    """Return whether a reply only names servers, as from one that is no recursive resolver."""
    types = {rrset.rdtype for rrset in message.authority}
    return not message.answer and TYPE_NS in types and TYPE_SOA not in types
