"""Tells operators whether we can see: metrics at every test, log lines at every change."""

import logging

from scanner.model.meter import Meter, OwnMetric
from scanner.model.selfstatus import BlindReason, SelfStatus
from scanner.model.vocabulary import Family

_log = logging.getLogger("danewatch.selfwatch")


def show(status: SelfStatus, meter: Meter, *, before: SelfStatus | None) -> None:
    """Move the metrics; what is not known any more is taken away, such as a resolver that left."""
    put = meter.put
    if before is not None:
        for resolver in before.resolver_up.keys() - status.resolver_up.keys():
            put(OwnMetric.RESOLVER_UP, None, resolver=resolver)
            put(OwnMetric.RESOLVER_VALIDATING, None, resolver=resolver)
        for canary in before.canary_ok.keys() - status.canary_ok.keys():
            put(OwnMetric.CANARY_OK, None, canary=canary)
    put(OwnMetric.BLIND, float(status.blind))
    put(OwnMetric.LAST_SELF_TEST, status.tested_at.timestamp())
    holding = reasons_of(status) if status.blind else frozenset()
    for reason in BlindReason:
        put(OwnMetric.BLIND_REASON, float(reason in holding), reason=reason.value)
    put(OwnMetric.MASS_LOSS_SUSPECTED, float(status.mass_loss_suspected))
    put(OwnMetric.CLOCK_OK, _gauge(status.clock_ok))
    for resolver, up in status.resolver_up.items():
        put(OwnMetric.RESOLVER_UP, float(up), resolver=resolver)
    for resolver, validating in status.resolver_validating.items():
        put(OwnMetric.RESOLVER_VALIDATING, _gauge(validating), resolver=resolver)
    for family in Family:
        put(OwnMetric.EGRESS_OK, _gauge(status.egress_ok.get(family)), family=family.value)
    for canary, good in status.canary_ok.items():
        put(OwnMetric.CANARY_OK, _gauge(good), canary=canary)


def tell(status: SelfStatus, *, before: SelfStatus | None) -> None:
    """Write the one line about a change; while blind, one for each reason.

    The end of blindness is as loud as a warning; to see from the start on is no news.
    """
    if not status.blind:
        level = logging.INFO if before is None else logging.WARNING
        _log.log(level, "we can see: checks are made and believed")
        return
    for one in status.reasons:
        _log.error(
            "blind: %s",
            one.sentence,
            extra={"reason": one.reason.value, "remedy": one.remedy},
        )


def reasons_of(status: SelfStatus) -> frozenset[BlindReason]:
    """Return the reasons without their words."""
    return frozenset(one.reason for one in status.reasons)


def _gauge(value: bool | None) -> float | None:
    return None if value is None else float(value)
