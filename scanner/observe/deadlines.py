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
    """Something that ends without result when its time is up."""

    @property
    def due(self) -> float:
        """When that is (trio's clock), infinity when there is nothing to end any more."""
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

    def add(self, wait: Wait) -> None:
        """End ``wait`` when it is due; it may be put off meanwhile, but not brought forward."""
        due = wait.due
        self._added += 1
        heapq.heappush(self._heap, (due, self._added, wait))
        if self._scope is not None and due < self._scope.deadline:
            self._scope.deadline = due

    async def run(self) -> None:
        """End what is due, for ever."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._scope:
                await trio.sleep_forever()

    def _next(self) -> float:
        """End what is due and return when to look again."""
        now = trio.current_time()
        while self._heap:
            noted, number, wait = self._heap[0]
            due = wait.due
            if noted < due < math.inf:
                heapq.heapreplace(self._heap, (due, number, wait))
            elif now < due < math.inf:
                return due
            else:
                heapq.heappop(self._heap)
                if due <= now:
                    wait.expire()
        return math.inf


_of_this_run: trio.lowlevel.RunVar[Deadlines] = trio.lowlevel.RunVar("danewatch deadlines")


def deadlines() -> Deadlines:
    """Return the one timer of this run of trio, begun when first asked for."""
    try:
        return _of_this_run.get()
    except LookupError:
        made = Deadlines()
        _of_this_run.set(made)
        trio.lowlevel.spawn_system_task(made.run, name="danewatch deadlines")
        return made
