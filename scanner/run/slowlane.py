"""The slow lane: who only waits for somebody slow gives his place to the next.

Theory. How many are in flight is bounded because each takes memory, file descriptors and, while it
works, the processor. A peer that is silent takes none of that but a little memory; and yet, where
three in a hundred are silent for half a minute and the others take a second, the silent ones would
hold half of the places. So whoever has taken longer than almost anybody takes moves to a lane of
its own, with a bound of its own, and the place is free for the next.

Somebody is slow if time passes and we are not the reason: while others wait at the turnstile to
begin (``scanner.observe.turnstile``) it is the processor that is short, and one more in flight
would help nobody. Then, and while the lane is full, it is looked at again after as long.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from scanner.observe.deadlines import deadlines
from scanner.observe.turnstile import turnstile

SLOW_AFTER_SECONDS = 5.0
"""Who has taken so long is slow; ours: a check of one domain takes two or three seconds with a
second connection and 50 ms of latency, a connection that is not answered 20."""
SLOW_IN_FLIGHT = 1_000
"""So many may be slow at a time; ours: 3 % of 100,000 domains in ten minutes, 40 seconds each, are
200 at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneStatistics:
    """How many are in the lane, and how many have been since the start."""

    now: int
    total: int


class Stay:
    """One check or probe that runs (``scanner.observe.deadlines.Wait``)."""

    __slots__ = ("_give_place", "_lane", "due", "is_slow")

    def __init__(self, lane: "SlowLane", give_place: Callable[[], None]) -> None:
        self._lane = lane
        self._give_place = give_place
        self.due = math.inf
        self.is_slow = False

    def expire(self) -> None:
        """It has taken long; let it move over if it may."""
        if self._lane.take_in():
            self.due = math.inf
            self.is_slow = True
            self._give_place()
        else:
            self._lane.look_later(self)


class SlowLane:
    """Who moves over, and how many at most."""

    def __init__(self, *, places: int, after_seconds: float) -> None:
        """``places`` may be 0: then nobody moves over."""
        self._places = places
        self._after_seconds = after_seconds
        self._now = self._total = 0

    def watch(self, give_place: Callable[[], None]) -> Stay:
        """Return a stay that begins now; ``give_place`` is called when it moves over."""
        stay = Stay(self, give_place)
        if self._places:
            self.look_later(stay)
        return stay

    def end(self, stay: Stay) -> bool:
        """End ``stay``; return whether it is for the caller to give its place back."""
        stay.due = math.inf
        if stay.is_slow:
            self._now -= 1
        return not stay.is_slow

    def statistics(self) -> LaneStatistics:
        """Return the counts as they stand."""
        return LaneStatistics(now=self._now, total=self._total)

    def take_in(self) -> bool:
        """Take a place of the lane, if there is one and the processor has time for others."""
        if self._now >= self._places or turnstile().is_crowded:
            return False
        self._now += 1
        self._total += 1
        return True

    def look_later(self, stay: Stay) -> None:
        """Look again at ``stay`` when it has taken so long (once more)."""
        stay.due = trio.current_time() + self._after_seconds
        deadlines().add(stay)
