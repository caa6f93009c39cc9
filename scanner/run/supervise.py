"""Tasks that outlive their own bugs: a crash is counted, logged, and the task begun again.

This is the documented waist of the service: whatever is raised inside one of its tasks ends that
round of the task and nothing else. What a task must not lose it keeps outside of itself.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from scanner.model.meter import Meter, OwnMetric

_log = logging.getLogger("danewatch.monitor")
_T = TypeVar("_T")

RESTART_FIRST_SECONDS = 1.0
"""Before a crashed task begins again; doubled with each crash. Ours."""
RESTART_LONGEST_SECONDS = 60.0
STEADY_SECONDS = 300.0
"""A task that ran so long begins again at the shortest wait."""


class Offload(Protocol):
    """Runs something that may block on disk while the event loop goes on."""

    async def __call__(self, job: Callable[[], _T], /) -> _T:
        """Return what ``job`` returns; raises what it raises."""
        ...


async def in_thread(job: Callable[[], _T], /) -> _T:
    """Run ``job`` in a thread; a cancelled caller waits for its end."""
    return await trio.to_thread.run_sync(job)


class Backoff:
    """Waits that double until something succeeds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Return the seconds to wait now, and double the next ones."""
        wait = self._next
        self._next = min(2 * self._next, self._longest)
        return wait

    def reset(self) -> None:
        """Begin at the shortest wait again."""
        self._next = self._first


async def supervised(component: str, task: Callable[[], Awaitable[None]], meter: Meter) -> None:
    """Run ``task`` until it returns, beginning it again after every crash."""
    backoff = Backoff(RESTART_FIRST_SECONDS, RESTART_LONGEST_SECONDS)
    while True:
        began = trio.current_time()
        try:
            await task()
            return
        except Exception as error:  # noqa: BLE001 - the waist: see the top of this file
            note_crash(component, error, meter)
        if trio.current_time() - began >= STEADY_SECONDS:
            backoff.reset()
        await trio.sleep(backoff.next())


def note_crash(component: str, error: Exception, meter: Meter) -> None:
    """Count and log a bug of ours that was kept from ending anything else."""
    meter.count(OwnMetric.TASK_CRASHES, component=component)
    _log.error("bug in %s: %s", component, type(error).__name__, exc_info=error)


class Bugs:
    """Bugs met again and again: each is counted every time and logged once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, int]] = set()

    def note(self, component: str, error: Exception, meter: Meter) -> None:
        """Count ``error``; log it unless one of its type came from the same line before."""
        frames = traceback.extract_tb(error.__traceback__, limit=-1)
        file, line = (frames[0].filename, frames[0].lineno or 0) if frames else ("", 0)
        which = (type(error).__name__, file, line)
        if which in self._told:
            meter.count(OwnMetric.TASK_CRASHES, component=component)
            return
        self._told.add(which)  # as many as our code has lines that raise
        note_crash(component, error, meter)
