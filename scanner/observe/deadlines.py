"""One timer for thousands of waits.

Theory. Nearly every question is answered long before its time is up, so a cancel scope for each
wait is work for nothing; it costs as much as sending the question. Here a wait is a line in a heap,
looked at again only when the earliest time comes, and most lines are settled by then.
"""

import heapq
import math
from typing import Protocol

import trio


class Wait(Protocol):
    """Something that is settled, or ends without result when its time is up."""

    @property
    def settled(self) -> bool:
        """Whether there is nothing to end any more."""
        ...

    def expire(self) -> None:
        """End the wait without a result."""
        ...


class Deadlines:
    """Ends waits at their time; ``run`` must be running."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Wait]] = []
        self._added = 0
        self._scope: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, until: float, wait: Wait) -> None:
        """End ``wait`` at ``until`` (trio's clock) unless it is settled by then."""
        self._added += 1
        heapq.heappush(self._heap, (until, self._added, wait))
        if self._scope is not None and until < self._scope.deadline:
            self._scope.deadline = until

    async def run(self) -> None:
        """End what is due, for ever."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._scope:
                await trio.sleep_forever()

    def _next(self) -> float:
        """End what is due and return when something is due again."""
        now = trio.current_time()
        while self._heap:
            until, _, wait = self._heap[0]
            if not wait.settled:
                if until > now:
                    return until
                wait.expire()
            heapq.heappop(self._heap)
        return math.inf
