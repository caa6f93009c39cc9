"""A history with a story, written by the real writer: partners, their hosts, and what befell them.

``bank.example`` uses two hosts of its own. ``shop.example`` and ``city.example`` use the hosts of
``mailhaven.example``, one of which failed for six hours on the second day. ``bank.example`` has
been blocked since the morning of the third day. ``attic.example`` was never checked by a host.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import history_files
import sample_checks

from exporters.history import ParquetHistory, RunOutcome
from scanner.model.names import Name
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 11, 1, 6, tzinfo=UTC)
NOW = BEGIN + 3 * DAY

DELIVERING, DEFERRING = DeliveryPhase.DELIVERING, DeliveryPhase.DEFERRING


def event(
    number: int,
    entity: str,
    at: datetime,
    to_status: str,
    from_status: str | None = None,
    *,
    kind: EntityType = EntityType.DOMAIN,
    reason: str | None = None,
    labels: tuple[tuple[str, str], ...] = (),
) -> Transition:
    """Return a transition; a failing domain bounces a day later."""
    failing = to_status in ("blocked", "failed", "bogus")
    return Transition(
        event_id=f"event-{number:06d}",
        observed_at=at,
        entity_type=kind,
        entity=entity,
        profile=Profile.EXCHANGE_ONLINE,
        from_status=from_status,
        to_status=to_status,
        from_reason=None,
        to_reason=reason,
        from_phase=None if from_status is None else DELIVERING,
        to_phase=DEFERRING if failing else DELIVERING,
        code="4.7.323" if failing else None,
        since=None,
        failing_since=at if failing else None,
        bounces_from=at + DAY if failing and kind is EntityType.DOMAIN else None,
        labels=labels,
    )


def events() -> tuple[Transition, ...]:
    """Return the whole story, oldest first."""
    mx, zone = EntityType.MX, EntityType.ZONE
    haven, own = "mx1.mailhaven.example", "mx1.bank.example"
    second, third = BEGIN + DAY, BEGIN + 2 * DAY
    tier = (("tier", "gold"),)
    return (
        event(1, "bank.example", BEGIN, "protected", labels=tier),
        event(2, own, BEGIN, "authenticated", kind=mx),
        event(3, "bank.example", BEGIN, "secure", kind=zone),
        event(4, "shop.example", BEGIN, "protected"),
        event(5, "city.example", BEGIN, "protected"),
        event(6, haven, BEGIN, "authenticated", kind=mx),
        event(7, haven, second, "failed", "authenticated", kind=mx, reason="tlsa-mismatch"),
        event(8, "shop.example", second, "degraded", "protected"),
        event(9, haven, second + 6 * HOUR, "authenticated", "failed", kind=mx),
        event(10, "shop.example", second + 6 * HOUR, "protected", "degraded"),
        event(11, own, third, "failed", "authenticated", kind=mx, reason="tlsa-mismatch"),
        event(
            12, "bank.example", third, "blocked", "protected", reason="tlsa-mismatch", labels=tier
        ),
        event(13, "attic.example", third, "opportunistic"),
    )


def uses(check: Check, *hosts: str) -> Check:
    """Return ``check`` as of a domain with ``hosts``."""
    observation, judgement = check.observation, check.judgement
    observed = tuple(
        replace(observation.hosts[0], route=replace(observation.hosts[0].route, host=Name(host)))
        for host in hosts
    )
    verdicts = tuple(
        replace(one, hosts=tuple(replace(one.hosts[0], host=Name(host)) for host in hosts))
        for one in judgement.verdicts
    )
    facts = tuple(replace(judgement.hosts[0], host=Name(host)) for host in hosts)
    return replace(
        check,
        observation=replace(observation, hosts=observed),
        judgement=replace(judgement, verdicts=verdicts, hosts=facts),
    )


def write(directory: Path) -> Path:
    """Write the history and return its directory."""
    history = ParquetHistory(
        directory, run_id="run-1", scanner_id="one", started_at=BEGIN, version="1.2.3"
    )
    story = events()
    haven = ("mx1.mailhaven.example", "mx2.mailhaven.example")
    domains = {
        "bank.example": ("mx1.bank.example", "mx2.bank.example"),
        "shop.example": haven,
        "city.example": haven,
    }
    for day in range(3):
        for domain, hosts in domains.items():
            moment = BEGIN + day * DAY
            check = history_files.at(
                uses(sample_checks.protected(), *hosts), moment, domain=domain, probe=f"p{day}"
            )
            own = [one for one in story if one.observed_at == moment and one.entity == domain]
            history.record(check, own)
    rest = [
        one
        for one in story
        if one.entity_type is not EntityType.DOMAIN
        or one.entity not in domains
        or (one.observed_at - BEGIN) % DAY
    ]
    history.write_transitions(rest)
    history.finish(RunOutcome.COMPLETED, ended_at=NOW, targets=4)
    history.close()
    return directory
