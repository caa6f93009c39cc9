"""Replacing what checks use while they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from scanner.cli.replaceable import Replaceable


class World:
    """Things that note when they open and close."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @asynccontextmanager
    async def thing(self, name: str) -> AsyncIterator[str]:
        if name == "broken":
            raise OSError("cannot open")
        self.log.append(f"open {name}")
        try:
            yield name
        finally:
            self.log.append(f"close {name}")


async def test_the_old_one_is_closed_after_its_last_user(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A check that has begun finishes with what it began with."""
    world = World()
    async with trio.open_nursery() as nursery:
        holder: Replaceable[str] = Replaceable(nursery)
        await holder.replace(lambda: world.thing("one"))

        async def check() -> None:
            async with holder.use() as value:
                await trio.sleep(10)
                world.log.append(f"used {value}")

        nursery.start_soon(check)
        await trio.testing.wait_all_tasks_blocked()
        await holder.replace(lambda: world.thing("two"))
        assert holder.current == "two"
        assert world.log == ["open one", "open two"]
        await trio.sleep(20)
        assert world.log == ["open one", "open two", "used one", "close one"]
        nursery.cancel_scope.cancel()


async def test_one_without_users_is_closed_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing is left open for nobody."""
    world = World()
    async with trio.open_nursery() as nursery:
        holder: Replaceable[str] = Replaceable(nursery)
        await holder.replace(lambda: world.thing("one"))
        await holder.replace(lambda: world.thing("two"))
        await trio.testing.wait_all_tasks_blocked()
        assert world.log == ["open one", "open two", "close one"]
        nursery.cancel_scope.cancel()
    assert world.log[-1] == "close two"


async def test_one_that_cannot_be_opened_leaves_the_old_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And says why to whoever asked."""
    world = World()
    async with trio.open_nursery() as nursery:
        holder: Replaceable[str] = Replaceable(nursery)
        await holder.replace(lambda: world.thing("one"))
        with pytest.raises(OSError, match="cannot open"):
            await holder.replace(lambda: world.thing("broken"))
        async with holder.use() as value:
            assert value == "one"
        assert holder.generations == 1
        nursery.cancel_scope.cancel()
