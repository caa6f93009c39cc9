"""A scanner that can be replaced while checks run: how a reload changes resolvers and policies.

Checks that have begun finish with the scanner they began with; it is closed after the last of
them. New checks use the new one. A scanner that cannot be opened leaves the old one in place.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

_T = TypeVar("_T")


@dataclass(eq=False)
class _Generation(Generic[_T]):
    """One opened thing, how many use it, and whether it shall go."""

    value: _T
    users: int = 0
    retired: bool = False
    idle: trio.Event = field(default_factory=trio.Event)

    def settle(self) -> None:
        if self.retired and not self.users:
            self.idle.set()


class Replaceable(Generic[_T]):
    """Holds one opened thing at a time; ``replace`` opens the next before the old one goes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """``nursery`` holds each opened thing for as long as it lives."""
        self._nursery = nursery
        self._current: _Generation[_T] | None = None
        self.generations = 0

    @property
    def current(self) -> _T:
        """The thing in use now; ``replace`` must have been called."""
        assert self._current is not None
        return self._current.value

    @asynccontextmanager
    async def use(self) -> AsyncIterator[_T]:
        """Hold the present thing open for the length of the block."""
        generation = self._current
        assert generation is not None
        generation.users += 1
        try:
            yield generation.value
        finally:
            generation.users -= 1
            generation.settle()

    async def replace(self, opener: Callable[[], AbstractAsyncContextManager[_T]]) -> None:
        """Open what ``opener`` makes and use it from now on. Raises what opening raises."""
        old = self._current
        generation, error = await self._nursery.start(self._live, opener)
        if error is not None:
            raise error
        self._current = generation
        self.generations += 1
        if old is not None:
            old.retired = True
            old.settle()

    async def _live(
        self,
        opener: Callable[[], AbstractAsyncContextManager[_T]],
        task_status: "trio.TaskStatus[tuple[_Generation[_T] | None, Exception | None]]",
    ) -> None:
        started = False
        try:
            async with opener() as value:
                generation = _Generation(value)
                started = True
                task_status.started((generation, None))
                await generation.idle.wait()
        except Exception as error:
            if started:
                raise
            # Handed to whoever asked for the replacement; the nursery and the old one live on.
            task_status.started((None, error))
