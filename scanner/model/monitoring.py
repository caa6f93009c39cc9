"""Nouns of the monitoring service: when a domain is due, what awaits confirmation, what is kept.

    check -> Digest (scanner.transition) -> Commit -> StateStore -> outbox -> Parquet

A Commit is everything one check changes, and becomes durable in one step or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile

EntityKey = tuple[EntityType, str]
"""An entity as states and suspicions are keyed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspicion:
    """A change for the worse that was seen but not yet confirmed by a second, independent look.

    ``first_seen_at`` is the first look that showed it, ``confirm_after`` the earliest time of a
    look that may confirm it, ``looks`` how many looks have shown it so far.
    """

    entity_type: EntityType
    entity: str
    profile: Profile
    status: str
    reason: str | None
    phase: DeliveryPhase
    first_seen_at: datetime
    confirm_after: datetime
    looks: int = 1

    @property
    def key(self) -> EntityKey:
        """The entity it is about."""
        return (self.entity_type, self.entity)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleEntry:
    """When ``domain`` is due next, and since when it fails as the sender would know it.

    ``failing_since`` (None while mail is delivered) is where the sender's retry ladder began.
    """

    domain: Name
    due_at: datetime
    last_checked_at: datetime | None = None
    failing_since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxRow:
    """One row on its way to the history: table, Hive partition (``year=2026``), the row as JSON."""

    table: str
    partition: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What the metrics page shows of one entity, kept so that a restart leaves no gap."""

    entity_type: EntityType
    entity: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """Everything one check changes. ``cleared`` are suspicions that are over.

    ``dropped`` are states that nobody needs any more, ``unshown`` snapshots; what a commit holds
    of such an entity itself stays.
    """

    states: tuple[State, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    cleared: tuple[EntityKey, ...] = ()
    schedule: tuple[ScheduleEntry, ...] = ()
    rows: tuple[OutboxRow, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    dropped: tuple[EntityKey, ...] = ()
    unshown: tuple[EntityKey, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredState:
    """What a restarted service goes on from."""

    states: Mapping[EntityKey, State] = field(default_factory=dict)
    suspicions: Mapping[EntityKey, Suspicion] = field(default_factory=dict)
    schedule: Mapping[Name, ScheduleEntry] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileBatch:
    """Rows that were assigned to one file. The name never changes, so a repetition is harmless."""

    name: str
    table: str
    partition: str
    rows: tuple[bytes, ...]
