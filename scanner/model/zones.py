"""One DNS zone as a scan sees it: its status, its keys, and when its signatures end.

Facts for outputs (history, metrics, transitions, the page of a check). They are gathered from
everything that was validated in the zone, whichever domain asked.
"""

from datetime import datetime

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.record import record
from scanner.model.vocabulary import DnssecStatus, Severity


@record
class ZoneDs:
    """One DS record at the parent (for the zone of a trust anchor: the anchor)."""

    key_tag: int
    algorithm: int
    digest_type: int


@record
class ZoneKey:
    """One DNSKEY record. ``bits`` is None where the size is not known."""

    key_tag: int
    algorithm: int
    flags: int
    bits: int | None = None


@record
class ZoneNote:
    """Something worth saying about a zone, such as signatures about to end."""

    reason: DnssecReason
    severity: Severity
    message: str


@record
class ZoneObservation:
    """What is known of one zone at ``observed_at``.

    ``status`` is that of the zone's keys, or ``bogus`` where an answer of the zone is. ``reason``
    is the cause and ``ede_code`` its extended error (RFC 8914); both None when secure.
    ``signature_inception`` and ``signature_expiration`` are those of the signature that ends
    first among those seen lately; None where none was seen. ``own_fault`` is a sentence when the
    zone could not be judged through a fault of ours.
    """

    zone: Name
    status: DnssecStatus
    observed_at: datetime
    parent: Name | None = None
    reason: DnssecReason | None = None
    ede_code: int | None = None
    ds: tuple[ZoneDs, ...] = ()
    dnskeys: tuple[ZoneKey, ...] = ()
    entry_keys: tuple[int, ...] = ()
    signature_inception: datetime | None = None
    signature_expiration: datetime | None = None
    notes: tuple[ZoneNote, ...] = ()
    own_fault: str | None = None
