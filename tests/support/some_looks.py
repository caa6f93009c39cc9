"""Looks made by hand, for tests of folding and confirming; dates count from ``START``."""

from datetime import UTC, datetime, timedelta

from scanner.model.vocabulary import EntityType
from scanner.transition.looks import Look

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def look(
    status: str,
    reason: str | None = None,
    *,
    at: datetime = START,
    entity_type: EntityType = EntityType.DOMAIN,
    entity: str = "example.org",
    evidence_at: datetime | None = None,
    ttl: timedelta | None = timedelta(minutes=5),
    code: str | None = None,
    final_code: str | None = None,
) -> Look:
    """Return a look at ``entity``; its evidence is as old as itself unless said otherwise."""
    return Look(
        entity_type=entity_type,
        entity=entity,
        status=status,
        reason=reason,
        observed_at=at,
        evidence_at=evidence_at or at,
        ttl=ttl,
        code=code,
        final_code=final_code,
        evidence=lambda: (("status", status),),
    )
