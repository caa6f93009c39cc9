"""States and the transitions between them, for domains, MX hosts and zones."""

from datetime import datetime

from scanner.model.record import record
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile


@record
class State:
    """The last confirmed status of one entity under one profile.

    ``status`` is a DomainVerdict, HostOutcome or DnssecStatus by ``entity_type``. ``since`` is when
    this status began, ``failing_since`` when delivery began to fail (None while it works): a
    failure keeps its clock when its reason changes, because mail queued at its start still waits.
    ``last_seen_at`` is the last conclusive check.
    """

    entity_type: EntityType
    entity: str
    profile: Profile
    status: str
    reason: str | None
    phase: DeliveryPhase
    since: datetime
    last_seen_at: datetime
    failing_since: datetime | None = None
    recent_changes: tuple[datetime, ...] = ()
    """Times of the latest transitions, newest last, bounded; many of them are flapping."""
    recent_doubts: tuple[datetime, ...] = ()
    """Times of the latest changes that a second look did not show again, newest last, bounded."""
    tlsa: tuple[str, ...] = ()
    """Of an MX host: what is remembered of its TLSA records (``scanner.transition.tlsamemory``)."""
    flapping: bool = False
    """Whether it changed so often lately that its recovery needs a second look too."""


@record
class Transition:
    """One confirmed change, as the history keeps it. ``event_id`` is a UUIDv7 in text.

    ``since`` is when the old state began, ``failing_since`` when delivery began to fail (None
    where the new state delivers), ``bounces_from`` when mail queued at that moment bounces.
    ``began_at`` is the first look that showed the new state, where it had to be confirmed; None
    where it was believed at once, and began at ``observed_at``.
    """

    event_id: str
    observed_at: datetime
    entity_type: EntityType
    entity: str
    profile: Profile
    from_status: str | None
    to_status: str
    from_reason: str | None
    to_reason: str | None
    from_phase: DeliveryPhase | None
    to_phase: DeliveryPhase
    code: str | None
    since: datetime | None
    bounces_from: datetime | None
    failing_since: datetime | None = None
    began_at: datetime | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
