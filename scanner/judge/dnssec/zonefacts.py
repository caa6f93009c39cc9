"""From one validation to what it says of each zone it went through.

A zone's own status is that of its link in the chain; an answer that is bogus in the zone makes the
zone bogus too, because that is what its mail meets. A failure to ask is not the zone's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from scanner.judge.dnssec.forecast import SigningHabit, Span, forecast, signed_by_zone
from scanner.model.dnssec import ChainLink, CheckedRRset, DnssecFinding, LinkKind, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.dnssec_words import dnssec_severity
from scanner.model.names import Name
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus
from scanner.model.zones import ZoneDs, ZoneKey, ZoneNote, ZoneObservation

_DATES = frozenset({None, DnssecReason.RRSIG_EXPIRED, DnssecReason.RRSIG_NOT_YET_VALID})
"""Signatures whose dates are the zone's word: they verified, or fail for their dates alone."""

MAX_NOTES = 20
"""Notes on one zone; a hostile zone could fill a page."""

RRsetKey = tuple[Name, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneFacts:
    """What one validation says of one zone.

    ``spans`` are the validities of the signatures seen, by owner and type of what they cover.
    ``fault`` is why the answer is bogus, where that is this zone's doing and its keys are fine.
    """

    link: ChainLink
    spans: Mapping[RRsetKey, Span]
    fault: DnssecReason | None
    notes: tuple[ZoneNote, ...]


def zone_facts(
    validation: Validation, *, now: datetime, habits: Mapping[Name, SigningHabit] | None = None
) -> tuple[ZoneFacts, ...]:
    """Return the facts of each zone in the chain, anchor first."""
    signed = signed_by_zone(validation)
    ahead = forecast(validation, now=now, habits=habits)
    at_fault = _zone_at_fault(validation)
    facts = []
    for link in validation.chain:
        if link.kind is LinkKind.NO_CUT:
            continue
        rrsets = signed.get(link.zone, ())
        spans = {(rrset.owner, rrset.rdtype): span for rrset in rrsets for span in _span(rrset)}
        facts.append(
            ZoneFacts(
                link=link,
                spans=spans,
                fault=validation.reason if link.zone == at_fault else None,
                notes=_notes(link, validation, ahead),
            )
        )
    return tuple(facts)


def observation_of(
    link: ChainLink,
    *,
    observed_at: datetime,
    spans: Iterable[Span] = (),
    fault: DnssecReason | None = None,
    notes: tuple[ZoneNote, ...] = (),
) -> ZoneObservation:
    """Return the zone of ``link``; ``fault`` is that of a bogus answer in it."""
    status, reason = link.status, link.reason
    if status is DnssecStatus.SECURE and fault is not None:
        status, reason = DnssecStatus.BOGUS, fault
    first = min(spans, key=lambda span: span.expiration, default=None)
    return ZoneObservation(
        zone=link.zone,
        parent=link.parent,
        status=status,
        reason=reason,
        ede_code=None if reason is None else dnssec_info(reason).ede,
        ds=tuple(
            ZoneDs(key_tag=ds.key_tag, algorithm=ds.algorithm, digest_type=ds.digest_type)
            for ds in link.ds
        ),
        dnskeys=tuple(
            ZoneKey(key_tag=key.key_tag, algorithm=key.algorithm, flags=key.flags, bits=key.bits)
            for key in link.dnskeys
        ),
        entry_keys=link.entry_keys,
        signature_inception=None if first is None else first.inception,
        signature_expiration=None if first is None else first.expiration,
        observed_at=observed_at,
        notes=notes,
        own_fault=link.own_fault,
    )


def zones_of(validation: Validation, *, now: datetime) -> tuple[ZoneObservation, ...]:
    """Return every zone of one validation as it alone shows it, anchor first."""
    return tuple(
        observation_of(
            facts.link,
            observed_at=validation.validated_at,
            spans=facts.spans.values(),
            fault=facts.fault,
            notes=facts.notes,
        )
        for facts in zone_facts(validation, now=now)
    )


def _span(rrset: CheckedRRset) -> Iterator[Span]:
    """Yield the validity of the signature that ends last of those that count: any one suffices."""
    counting = [one for one in rrset.signatures if one.checked and one.reason in _DATES]
    if counting:
        last = max(counting, key=lambda one: (one.reason is None, one.expiration))
        yield Span(inception=last.inception, expiration=last.expiration)


def _zone_at_fault(validation: Validation) -> Name | None:
    """Return the zone whose answer is bogus although every link is fine."""
    if validation.status is not DnssecStatus.BOGUS:
        return None
    if any(link.status is DnssecStatus.BOGUS for link in validation.chain):
        return None
    for noted in validation.findings:
        if noted.reason is validation.reason and noted.state is DnssecStatus.BOGUS:
            return noted.zone
    return validation.zone


def _notes(
    link: ChainLink, validation: Validation, ahead: Iterable[DnssecFinding]
) -> tuple[ZoneNote, ...]:
    """Return what was said of the link, of answers in its zone, and of what is to come."""
    of_links = {noted for one in validation.chain for noted in one.findings}
    of_answers = [noted for noted in validation.findings if noted not in of_links]
    notes = [
        ZoneNote(
            reason=noted.reason,
            severity=dnssec_severity(noted.reason, noted.state),
            message=noted.message,
        )
        for noted in (
            *link.findings,
            *(noted for noted in (*of_answers, *ahead) if noted.zone == link.zone),
        )
    ]
    return tuple(dict.fromkeys(notes))[:MAX_NOTES]
