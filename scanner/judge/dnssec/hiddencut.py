"""A zone that its parent does not know of: why data below it cannot be validated.

Where parent and child lie on the same servers, a delegation can be left out and nobody notices:
the servers answer for both zones. A validator does, because the parent's signed denial of the DS
says that no zone begins there (RFC 6840 §4.4), so that the data count as the parent's, which did
not sign them. The signature that is missing or by a stranger is the consequence; this is the cause.
"""

from collections.abc import Iterable, Mapping

from scanner.model.canonical import CanonicalName, canonical, is_at_or_below, name_of
from scanner.model.dnssec import ChainLink, LinkKind, RRset, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name

_TYPE_NS = 2
_TYPE_SOA = 6


def hidden_cut(
    name: CanonicalName,
    rrsets: Iterable[RRset],
    message: SignedMessage,
    links: Mapping[Name, ChainLink],
) -> tuple[Name, Name, DnssecReason] | None:
    """Return where the reply about ``name`` has a zone that the zone above denies.

    With it the zone above and the reason. SOA and NS records say that a zone begins at their owner;
    so does the signer of one of ``rrsets``, where the zone above knows no such name at all. None
    where nothing is claimed of a place that ``links`` shows to be no zone cut.
    """
    signers = {rrsig.signer_labels for rrset in rrsets for rrsig in rrset.rrsigs}
    begins = {
        rrset.owner_labels
        for rrset in (*message.authority, *message.answer)
        if rrset.rdtype in (_TYPE_NS, _TYPE_SOA)
    }
    if any(link.reason is DnssecReason.DS_NS_BIT_MISSING for link in links.values()):
        # A step further down met the SOA of a zone that is not supposed to be.
        begins |= {canonical(link.zone) for link in links.values() if link.absent}
    for labels in sorted(begins | signers, key=len):
        link = links.get(name_of(labels))
        if link is None or not is_at_or_below(name, labels):
            continue
        # NSD leaves out the wildcard's denial here: that the name itself is absent is proven.
        if link.absent or link.reason is DnssecReason.WILDCARD_NOT_DENIED:
            return link.zone, link.parent or link.zone, DnssecReason.PARENT_WITHOUT_NS
        if labels in begins and link.kind is LinkKind.NO_CUT:
            return link.zone, link.parent or link.zone, DnssecReason.DS_NS_BIT_MISSING
    return None
