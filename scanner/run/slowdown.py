"""Tells the operator when fewer questions may be in flight to the resolvers, and when all is well.

One line of the log for each change for the worse and one for the end of it; the metric shows every
step on the way back.
"""

import logging
from collections.abc import Callable

from scanner.model.meter import Meter, OwnMetric
from scanner.observe.questionwindow import WindowChange

_log = logging.getLogger("danewatch.resolver")


def shows_slowdown(meter: Meter) -> Callable[[WindowChange], None]:
    """Return what is to be told of every change (``scanner.observe.questionwindow``)."""
    slow = False

    def show(change: WindowChange) -> None:
        nonlocal slow
        meter.put(OwnMetric.DNS_IN_FLIGHT_LIMIT, change.limit)
        if change.silent_percent is not None:
            slow = True
            meter.count(OwnMetric.DNS_SLOWDOWNS)
            _log.warning(
                "%d %% of the questions to the resolvers time out: %d in flight at most",
                change.silent_percent,
                change.limit,
            )
        elif slow and change.limit == change.most:
            slow = False
            _log.info("the resolvers keep up again: %d questions in flight at most", change.limit)

    return show
