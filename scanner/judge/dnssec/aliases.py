"""Where a name leads: the CNAME at it, or what a DNAME above makes of it (RFC 1034, RFC 6672).

Read from one reply; what the alias is worth is judged elsewhere.
"""

from dataclasses import dataclass

from scanner.model.canonical import CanonicalName, is_below
from scanner.model.dnssec import RRset, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import MAX_NAME_OCTETS

TYPE_CNAME = 5
TYPE_DNAME = 39


@dataclass(frozen=True, kw_only=True, slots=True)
class Hop:
    """An alias at a name: a CNAME, or what a DNAME above makes of the name.

    ``target`` is None where the alias leads nowhere, for ``problem``. ``synthesised`` says that
    the DNAME is what must be signed; ``mismatch`` that the CNAME beside it says otherwise.
    """

    target: CanonicalName | None
    cname: RRset | None = None
    dname: RRset | None = None
    synthesised: bool = False
    mismatch: bool = False
    problem: DnssecReason | None = None


def find_alias(message: SignedMessage, name: CanonicalName) -> Hop | None:
    """Return the alias that the answer section has for ``name``."""
    cname = message.find(name, TYPE_CNAME)
    dname = _dname_above(message, name)
    made = _substitute(dname, name) if dname is not None else None
    if cname is None:
        if dname is None:
            return None
        malformed = DnssecReason.RESPONSE_MALFORMED if made is None else None
        return Hop(target=made, dname=dname, synthesised=True, problem=malformed)
    targets = [target for target in cname.parsed if isinstance(target, tuple)]
    if len(targets) != 1 or len(cname.rdatas) != 1:
        # Two aliases at one name are none (RFC 2181 §10.1).
        several = DnssecReason.ALIAS_LOOP if targets else DnssecReason.RESPONSE_MALFORMED
        return Hop(target=None, cname=cname, problem=several)
    synthesised = dname is not None and not cname.rrsigs
    return Hop(
        target=targets[0],
        cname=cname,
        dname=dname,
        synthesised=synthesised,
        mismatch=synthesised and made != targets[0],
    )


def _dname_above(message: SignedMessage, name: CanonicalName) -> RRset | None:
    """Return the deepest DNAME above ``name`` (RFC 6672 §2.3)."""
    found = [
        rrset
        for rrset in message.answer
        if rrset.rdtype == TYPE_DNAME and is_below(name, rrset.owner_labels)
    ]
    return max(found, key=lambda rrset: len(rrset.owner_labels), default=None)


def _substitute(dname: RRset, name: CanonicalName) -> CanonicalName | None:
    """Return what ``dname`` makes of ``name`` (RFC 6672 §2.2); None where that is no name."""
    targets = [target for target in dname.parsed if isinstance(target, tuple)]
    if len(targets) != 1:
        return None
    made = (*targets[0], *name[len(dname.owner_labels) :])
    return made if sum(map(len, made)) + len(made) + 1 <= MAX_NAME_OCTETS else None
