"""How often we may knock: token buckets, rests, and longer rests for those who turn us away.

Everything is measured in seconds of the event loop, bounded in memory, and fair: whoever comes
first goes first.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

MAX_BUCKETS = 50_000
"""Buckets kept at most; only full ones are dropped, which loses nothing."""

_K = TypeVar("_K", bound=Hashable)


class Buckets(Generic[_K]):
    """A token bucket for each key: ``burst`` at once, then ``per_second``; 0 is no bound.

    Kept as one time for each key, the moment at which its bucket will be full again (the generic
    cell rate algorithm): a token may be taken up to ``(burst - 1) / per_second`` before it.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._period = 1 / per_second if per_second > 0 else 0.0
        self._tolerance = (max(burst, 1) - 1) * self._period
        self._full_at: dict[_K, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    async def take(self, key: _K) -> None:
        """Wait for a token of ``key``, first come first served. One waited for in vain is spent."""
        if not self._period:
            return
        now = trio.current_time()
        full_at = max(self._full_at.get(key, now), now)
        self._full_at[key] = full_at + self._period
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        if full_at - self._tolerance > now:
            await trio.sleep_until(full_at - self._tolerance)


class Rests:
    """When each address may be contacted again; past rests are dropped, oldest first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    async def wait(self, address: str) -> None:
        """Wait until ``address`` has rested."""
        until = self._until.get(address)
        if until is not None and until > trio.current_time():
            await trio.sleep_until(until)

    def begin(self, address: str) -> None:
        """Let ``address`` rest from now on."""
        now = trio.current_time()
        if self._seconds > 0:
            self._until.pop(address, None)
            self._until[address] = now + self._seconds
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffLimits:
    """Rests of an address that turned us away; ours."""

    first_seconds: float = 120.0
    """After the first time; doubled each time after."""
    most_seconds: float = 3_600.0
    """The interval of checks: an address is asked once an hour at least."""
    max_addresses: int = 20_000
    """Addresses remembered; the one that was turned away first goes first."""


class Backoff:
    """Which addresses turn us away, and until when they are left alone."""

    def __init__(self, limits: BackoffLimits | None = None) -> None:
        self._limits = limits or BackoffLimits()
        self._strikes: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._strikes)

    def rests(self, address: str) -> bool:
        """Return whether ``address`` must be left alone now."""
        return self._strikes.get(address, (0, -math.inf))[1] > trio.current_time()

    def strike(self, address: str) -> float:
        """``address`` turned us away; return for how many seconds it is left alone."""
        count = self._strikes.pop(address, (0, 0.0))[0] + 1
        doublings = min(count - 1, 30)
        seconds = min(self._limits.first_seconds * 2.0**doublings, self._limits.most_seconds)
        if len(self._strikes) >= self._limits.max_addresses:
            self._strikes.popitem(last=False)
        self._strikes[address] = (count, trio.current_time() + seconds)
        return seconds

    def pardon(self, address: str) -> None:
        """``address`` let us in."""
        self._strikes.pop(address, None)
