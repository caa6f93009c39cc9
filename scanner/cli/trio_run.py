"""Runs the asynchronous part of a command and brings its errors out in the open.

trio reports errors in groups, because several tasks can fail at once. A command cares for one:
what the operator did (Ctrl-C) before what went wrong, and what went wrong by itself, not wrapped.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")


def run_trio(function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
    """Return what ``await function(*arguments)`` returns.

    Raises KeyboardInterrupt if there was one, a single error as it is, and several in their group.
    """
    try:
        return trio.run(function, *arguments)
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        for error in errors:
            if isinstance(error, KeyboardInterrupt):
                raise error from None
        if len(errors) == 1:
            raise errors[0] from None
        raise


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
