"""Runs the asynchronous part of a command and brings its errors out in the open.

trio reports errors in groups, because several tasks can fail at once. A command cares for one:
what the operator did (Ctrl-C) before what went wrong, and what went wrong by itself, not wrapped.

The collector of reference cycles is told to look at new objects less often, and never at older
ones. Nothing a check makes is part of a cycle (a pass with the collector off leaves none), and a
look at all that a long pass has in its caches would stop the loop for a second. What a fault of
ours could leave is found among the new objects; a service looks at everything once an hour.
"""

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")

COLLECTOR_THRESHOLD = 5_000
"""New objects before the collector looks at them; Python's own 700 is a few domains' worth. They
are looked at within 5 to 15 ms."""
NEVER = 2**31 - 1
"""Looks at new objects before the collector looks at older ones, and of those before all."""


def run_trio(function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
    """Return what ``await function(*arguments)`` returns.

    Raises KeyboardInterrupt if there was one, a single error as it is, and several in their group.
    """
    try:
        with collecting_less():
            return trio.run(function, *arguments)
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        for error in errors:
            if isinstance(error, KeyboardInterrupt):
                raise error from None
        if len(errors) == 1:
            raise errors[0] from None
        raise


@contextmanager
def collecting_less() -> Iterator[None]:
    """Let the collector look at new objects only while the block runs, and less often.

    Modules, classes and settings live until the end anyway.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECTOR_THRESHOLD, NEVER, NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
