"""Processes as the kernel lists them: who started whom, and who is still there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def children_of(pid: int) -> list[int]:
    """Return the processes that ``pid`` has started and that have not ended."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return [child for child in found if is_alive(child)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """Return what ``condition`` returns once that is something; fail after ``seconds``."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return found
