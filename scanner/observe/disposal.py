"""Lets go of a large memory without stopping the loop for it.

To free 50,000 answers takes a good part of a second when it is done at once. So whoever forgets
everything goes on with an empty memory, and the old one is emptied a little in each pass of the
loop.
"""

from collections.abc import MutableMapping
from typing import TypeVar

import trio

AT_ONCE = 200
"""Entries let go in each pass: about a millisecond's work."""

_K = TypeVar("_K")
_V = TypeVar("_V")


def let_go(memory: MutableMapping[_K, _V]) -> None:
    """Empty ``memory``, which nobody else has any more; soon, if it is large.

    Outside of trio it is simply left to whoever frees it.
    """
    if len(memory) > AT_ONCE and trio.lowlevel.in_trio_run():
        trio.lowlevel.spawn_system_task(_empty, memory, name="danewatch disposal")


async def _empty(memory: MutableMapping[_K, _V]) -> None:
    while memory:
        for _ in range(min(AT_ONCE, len(memory))):
            memory.popitem()
        await trio.lowlevel.cancel_shielded_checkpoint()
