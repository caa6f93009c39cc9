"""The only reader of wall time; everything else takes ``now`` or a ``Clock`` as an argument."""

import time
from datetime import UTC, datetime, timedelta

import trio

MAX_SLEEP_SECONDS = 30.0
"""The longest sleep in one go: a wall clock that is set is noticed after at most this time."""


class SystemClock:
    """The machine's clock (implements ``scanner.model.ports.WaitingClock``)."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Return at or after ``moment`` on the wall clock, also when it is set meanwhile."""
        await trio.lowlevel.checkpoint()
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - no event tells
            await trio.sleep(min(left, MAX_SLEEP_SECONDS))


def steady_seconds() -> float:
    """Return a time that nobody sets and that goes on while the machine is suspended.

    Against it a wall clock that was set shows; trio's own time stands still in a suspended machine,
    and then every resumption would look like a clock that was set.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ScaledClock:
    """A clock of the event loop's time, ``factor`` times as fast, from ``start`` on.

    With factor 1 and trio's MockClock it is a clock for tests; the demo lives a day in a minute
    with factor 1440. Make it inside ``trio.run``.
    """

    def __init__(self, start: datetime, *, factor: float = 1.0) -> None:
        self._start = start
        self._factor = factor
        self._origin = trio.current_time()

    def now(self) -> datetime:
        """Return the pretended time, timezone-aware UTC."""
        return self._start + timedelta(seconds=(trio.current_time() - self._origin) * self._factor)

    async def sleep_until(self, moment: datetime) -> None:
        """Return at or after the pretended ``moment``."""
        await trio.lowlevel.checkpoint()
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - rounding
            # Not shorter than a microsecond of pretended time, so that rounding cannot spin.
            await trio.sleep(max(left / self._factor, 1e-6))
