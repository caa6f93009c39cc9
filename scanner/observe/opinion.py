"""What resolvers that validate themselves say of the same question, held against our result.

Two validators that come to different results are worth a look: one of them has another anchor,
another clock, another version of the zone, or a bug. So where both are known they are compared, and
always before a partner is called bogus in a page or a pass.

Rules
- A resolver that does not validate has no opinion: it calls everything insecure. Whether it does
  is asked of the root, which is always signed.
- A failure, or a result of ours that is no result, is not compared.
- The comparison is a finding and changes no status: what we say follows from records and keys.
"""

import trio

from scanner.judge.dnssec.findings import finding
from scanner.model.dnssec import DnssecFinding, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT
from scanner.model.observation import Lookup, Question
from scanner.model.ports import Resolver
from scanner.model.vocabulary import DnssecStatus, RRType
from scanner.wire.dnsrdata import TYPE_CODES

CONTROL_QUESTION = Question(ROOT, RRType.SOA)
PATIENCE_SECONDS = 5.0
"""Time for a comparison; ours. A resolver that is slower has no opinion."""
_COMPARED = frozenset({DnssecStatus.SECURE, DnssecStatus.INSECURE, DnssecStatus.BOGUS})


async def compare(validation: Validation, resolver: Resolver) -> DnssecFinding | None:
    """Return the finding that ``resolver`` comes to another result; None where nothing tells."""
    if validation.status not in _COMPARED or validation.own_fault is not None:
        return None
    with trio.move_on_after(PATIENCE_SECONDS):
        said = await resolver.lookup(validation.question)
        if said.status == validation.status or said.status not in _COMPARED or said.own_fault:
            return None
        if not (await resolver.lookup(CONTROL_QUESTION)).is_secure_data:
            return None
        return _disagreement(validation, said)
    return None


def _disagreement(validation: Validation, said: Lookup) -> DnssecFinding:
    question = validation.question
    values = [("ours", str(validation.status)), ("the_resolver's", str(said.status))]
    if said.resolver:
        values.append(("resolver", said.resolver))
    values += [("extended_error", str(error.code)) for error in said.extended_errors[:1]]
    return finding(
        DnssecReason.RESOLVER_DISAGREES,
        zone=validation.ends_at or validation.zone or question.name,
        owner=question.name,
        rdtype=TYPE_CODES[question.rdtype],
        values=tuple(values),
        server=said.resolver or "",
    )
