"""Damping: when changes come so often that the latest one is worth less.

An entity that changed ``flapping_changes`` times within ``flapping_window`` flaps: an alert for
each change would say less than one sentence about all of them, and a recovery is then believed
only when it lasts to a second look. A change that was seen once and not again is no change but a
doubt; many of them make an entity unsteady (a server that drops some questions, case 46).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scanner.transition.looks import Pairs

MAX_KEPT = 50
"""Times kept of one entity: enough to say "many", and bounded."""


def noted(
    times: Sequence[datetime], moment: datetime, *, window: timedelta
) -> tuple[datetime, ...]:
    """Return ``times`` with ``moment``, without those that left the window, newest last."""
    return (*recent(times, moment, window=window), moment)[-MAX_KEPT:]


def recent(
    times: Sequence[datetime], moment: datetime, *, window: timedelta
) -> tuple[datetime, ...]:
    """Return those of ``times`` that lie within ``window`` before ``moment``."""
    return tuple(time for time in times if time > moment - window)


def words(
    changes: Sequence[datetime],
    doubts: Sequence[datetime],
    *,
    flapping: bool,
    unsteady: bool,
    window: timedelta,
) -> Pairs:
    """Return the evidence pairs that mark a transition of something that flaps or is unsteady."""
    hours = f"{window / timedelta(hours=1):g} h"
    pairs: list[tuple[str, str]] = []
    if flapping:
        pairs.append(("flapping", f"{len(changes)} changes in {hours}"))
    if unsteady:
        pairs.append(("unsteady", f"{len(doubts)} changes in {hours} that were not seen again"))
    return tuple(pairs)
