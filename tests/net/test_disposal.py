"""Large memories are let go of a little at a time."""

from collections import OrderedDict

import trio

from scanner.observe.disposal import AT_ONCE, let_go


async def test_a_large_memory_is_emptied_a_little_in_each_pass() -> None:
    """All of it in the end, and never much at once."""
    memory = OrderedDict((number, object()) for number in range(10 * AT_ONCE))
    let_go(memory)
    freed = list[int]()
    while memory:
        before = len(memory)
        await trio.lowlevel.checkpoint()
        freed.append(before - len(memory))
    assert max(freed) <= 2 * AT_ONCE
    assert sum(freed) == 10 * AT_ONCE


def test_outside_of_trio_nothing_is_needed() -> None:
    """The memory is freed with its last reference."""
    memory = OrderedDict((number, object()) for number in range(2 * AT_ONCE))
    let_go(memory)
    assert len(memory) == 2 * AT_ONCE
