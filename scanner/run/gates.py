"""Gates: so many at a time for each key, first come first served.

Where nobody has to wait, which is nearly always, passing costs two looks into a dictionary and no
turn of the event loop; a ``trio.CapacityLimiter`` for each key costs a turn and four objects.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import trio

_K = TypeVar("_K", bound=Hashable)


class Gates(Generic[_K]):
    """A gate for each key, existing only while somebody is inside or waits."""

    def __init__(self, capacity: int) -> None:
        """``capacity`` may be inside at a time, for each key."""
        if capacity < 1:
            raise ValueError("a gate that lets nobody in")
        self._capacity = capacity
        self._inside: dict[_K, int] = {}
        self._outside: dict[_K, trio.lowlevel.ParkingLot] = {}

    def __len__(self) -> int:
        return len(self._inside)

    async def enter(self, key: _K) -> None:
        """Wait for a place at ``key`` and take it; whoever returns from here must ``leave``."""
        inside = self._inside.get(key, 0)
        if inside < self._capacity:
            # Places are handed over while anybody waits, so a free one means that nobody does.
            self._inside[key] = inside + 1
            return
        lot = self._outside.get(key)
        if lot is None:
            lot = self._outside[key] = trio.lowlevel.ParkingLot()
        try:
            await lot.park()
        finally:
            # Whoever was let in wakes a turn later, when others may wait in a new lot already.
            if not lot and self._outside.get(key) is lot:
                del self._outside[key]

    def leave(self, key: _K) -> None:
        """Give the place up, to the one who has waited for longest if there is one."""
        lot = self._outside.get(key)
        if lot is not None and lot.unpark():
            if not lot:
                del self._outside[key]
            return
        left = self._inside[key] - 1
        if left:
            self._inside[key] = left
        else:
            del self._inside[key]
