"""From what validations found to what outputs say of a zone.

A zone's own status is that of its link in the chain; an answer that is bogus in the zone makes the
zone bogus too, because that is what its mail meets. A failure to ask, and any fault of ours, is not
the zone's.
"""

from collections.abc import Iterable
from datetime import datetime

from scanner.judge.dnssec.forecast import Signed, Span, ZoneHabits, forecast_zone, signed_by_zone
from scanner.model.dnssec import ChainLink, Dnskey, DnssecFinding, LinkKind, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.dnssec_words import dnssec_severity
from scanner.model.names import Name
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus
from scanner.model.zones import ZoneDs, ZoneKey, ZoneNote, ZoneObservation

MAX_NOTES = 20
"""Notes on one zone; a hostile zone could fill a page."""


def zone_observation(
    link: ChainLink,
    signed: Iterable[Signed],
    *,
    observed_at: datetime,
    now: datetime,
    fault: DnssecReason | None = None,
    findings: Iterable[DnssecFinding] = (),
    habits: ZoneHabits | None = None,
) -> ZoneObservation:
    """Return the zone of ``link``.

    ``signed`` are record sets of the zone, ``fault`` the reason of a bogus answer in it,
    ``findings`` what was found on answers in it, ``now`` the moment signatures are judged for.
    """
    seen = tuple(signed)
    status, reason = link.status, link.reason
    if link.own_fault is not None:
        status = DnssecStatus.INDETERMINATE
    elif status is DnssecStatus.SECURE and fault is not None:
        status, reason = DnssecStatus.BOGUS, fault
    first: Span | None = None
    for one in seen:
        span = one.span
        if span is not None and (first is None or span.expiration < first.expiration):
            first = span
    ahead = forecast_zone(link, seen, now=now, habits=habits)
    return ZoneObservation(
        zone=link.zone,
        parent=link.parent,
        status=status,
        reason=reason,
        ede_code=None if reason is None else dnssec_info(reason).ede,
        ds=tuple(
            [
                ZoneDs(key_tag=ds.key_tag, algorithm=ds.algorithm, digest_type=ds.digest_type)
                for ds in link.ds
            ]
        ),
        dnskeys=tuple([_zone_key(key) for key in link.dnskeys]),
        entry_keys=link.entry_keys,
        signature_inception=None if first is None else first.inception,
        signature_expiration=None if first is None else first.expiration,
        observed_at=observed_at,
        notes=_notes((*link.findings, *findings, *ahead)),
        own_fault=link.own_fault,
    )


def zones_of(validation: Validation, *, now: datetime) -> tuple[ZoneObservation, ...]:
    """Return every zone of one validation as it alone shows it, anchor first."""
    signed = signed_by_zone(validation)
    at_fault = zone_at_fault(validation)
    answers = answer_findings(validation)
    return tuple(
        zone_observation(
            link,
            signed.get(link.zone, ()),
            observed_at=validation.validated_at,
            now=now,
            fault=validation.reason if link.zone == at_fault else None,
            findings=[noted for noted in answers if noted.zone == link.zone],
        )
        for link in validation.chain
        if link.kind is not LinkKind.NO_CUT
    )


def zone_at_fault(validation: Validation) -> Name | None:
    """Return the zone whose answer is bogus although every link is fine."""
    if validation.status is not DnssecStatus.BOGUS or validation.own_fault is not None:
        return None
    if any(link.status is DnssecStatus.BOGUS for link in validation.chain):
        return None
    for noted in validation.findings:
        if noted.reason is validation.reason and noted.state is DnssecStatus.BOGUS:
            return noted.zone
    return validation.zone


def answer_findings(validation: Validation) -> tuple[DnssecFinding, ...]:
    """Return the findings on the answer itself, beside those of the links."""
    if not validation.findings:
        return ()
    if len(validation.findings) <= sum([len(link.findings) for link in validation.chain]):
        return ()
    of_links = {noted for link in validation.chain for noted in link.findings}
    return tuple(noted for noted in validation.findings if noted not in of_links)


def _zone_key(key: Dnskey) -> ZoneKey:
    return ZoneKey(key_tag=key.key_tag, algorithm=key.algorithm, flags=key.flags, bits=key.bits)


def _notes(findings: Iterable[DnssecFinding]) -> tuple[ZoneNote, ...]:
    notes = [
        ZoneNote(
            reason=noted.reason,
            severity=dnssec_severity(noted.reason, noted.state),
            message=noted.message,
        )
        for noted in findings
    ]
    return tuple(dict.fromkeys(notes))[:MAX_NOTES]
