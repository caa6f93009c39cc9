"""What the service says about a finished check: one line for each transition, one for the check.

Transitions are said at info, except that a sound entity was seen for the first time; that and the
canonical line of a check are said at debug. All carry what they are about in fields of their own,
so that a machine need not read the sentence.
"""

import logging
from datetime import datetime

from scanner.model.meter import Meter, OwnMetric
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    Profile,
)
from scanner.transition.confirm import Digest

_log = logging.getLogger("danewatch.monitor")

TOLD = frozenset({Reason.TLSA_PUBLISHED_LATE})
"""Notes that are true of one moment only: they get a line, and the check a row."""
_KINDS = {EntityType.DOMAIN: "domain", EntityType.MX: "mail server", EntityType.ZONE: "zone"}


def announce(
    target: Target, check: Check, digest: Digest, *, profile: Profile, meter: Meter
) -> None:
    """Log and count a check whose results are durable."""
    for transition in digest.transitions:
        meter.count(OwnMetric.TRANSITIONS, entity_type=transition.entity_type.value)
        _log.log(
            _level_of(transition),
            "%s",
            sentence_of(transition),
            extra=_transition_fields(transition, target),
        )
    for note in digest.notes:
        if note.code in TOLD:
            _log.info("mail server %s: %s: %s", note.where, note.code.value, note.message)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("checked", extra=_check_fields(check, digest, profile))


def _level_of(transition: Transition) -> int:
    """Return how loud a change is: that a sound entity is seen for the first time is no news."""
    is_new = transition.from_status is None
    is_sound = (
        transition.to_phase in (DeliveryPhase.DELIVERING, DeliveryPhase.UNKNOWN)
        and transition.to_status != DnssecStatus.BOGUS
    )
    return logging.DEBUG if is_new and is_sound else logging.INFO


def sentence_of(transition: Transition) -> str:
    """Return one line for a person: what changed, why, and when mail begins to bounce."""
    name = f"{_KINDS[transition.entity_type]} {transition.entity}"
    after = _status(transition.to_status, transition.to_reason)
    phase = transition.to_phase
    if transition.from_status is None:
        words = f"{name} is {after}"
    elif (transition.from_status, transition.from_reason) == (
        transition.to_status,
        transition.to_reason,
    ):
        words = f"{name} is still {after}, and mail is now {phase.value}"
    else:
        before = _status(transition.from_status, transition.from_reason)
        words = f"{name} went from {before} to {after}"
    if phase is DeliveryPhase.DEFERRING and transition.bounces_from is not None:
        words += f"; mail bounces from {_time(transition.bounces_from)}"
    return words


def _transition_fields(transition: Transition, target: Target) -> dict[str, object]:
    return {
        "event_id": transition.event_id,
        "entity_type": transition.entity_type.value,
        "entity": transition.entity,
        "from_status": transition.from_status,
        "to_status": transition.to_status,
        "from_reason": transition.from_reason,
        "to_reason": transition.to_reason,
        "phase": transition.to_phase.value,
        "code": transition.code,
        "failing_since": transition.failing_since,
        "bounces_from": transition.bounces_from,
        "seen_by": None if transition.entity_type is EntityType.DOMAIN else target.domain,
        **{f"label_{key}": value for key, value in transition.labels},
    }


def _check_fields(check: Check, digest: Digest, profile: Profile) -> dict[str, object]:
    verdict = check.judgement.of(profile)
    observation = check.observation
    return {
        "domain": check.domain,
        "verdict": verdict.verdict.value,
        "reason": verdict.reason,
        "code": verdict.code,
        "duration_ms": observation.duration_ms,
        "mx_hosts": len(verdict.hosts),
        "mx_outcomes": " ".join(host.judged.outcome.value for host in verdict.hosts) or None,
        "transitions": len(digest.transitions),
        "suspicions": len(digest.suspicions),
        "failing_since": digest.failing_since,
        "incomplete": observation.incomplete,
    }


def count_check(check: Check, profile: Profile, meter: Meter) -> None:
    """Count one finished check, its duration, and what it could not tell."""
    verdict = check.judgement.of(profile)
    meter.count(OwnMetric.CHECKS, stage="domain")
    meter.observe(OwnMetric.CHECK_DURATION, check.observation.duration_ms / 1_000.0, stage="domain")
    if verdict.verdict is DomainVerdict.INCONCLUSIVE:
        reason = verdict.reason.value if verdict.reason else "unknown"
        meter.count(OwnMetric.CHECK_FAILURES, stage="domain", reason=reason)


def _status(status: str, reason: str | None) -> str:
    return f"{status} ({reason})" if reason else status


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
