"""A lab in a thread of the test's own process, so that a test can count what its servers saw."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import LabPlan

_T = TypeVar("_T")


class ThreadedLab:
    """A running lab; ``ask`` looks at it, or changes it, in its own thread."""

    def __init__(self, plan: LabPlan) -> None:
        self._plan = plan
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        assert self._ready.wait(60), "the lab did not start"

    def stop(self) -> None:
        """End the lab."""
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join(timeout=30)

    def ask(self, what: Callable[[Lab], _T]) -> _T:
        """Return ``what(lab)``, called where the lab runs."""
        return trio.from_thread.run_sync(what, self._lab, trio_token=self._token)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._scope:
            async with open_lab(self._plan) as self._lab:
                self._ready.set()
                await trio.sleep_forever()


@contextmanager
def lab_in_thread(plan: LabPlan) -> Iterator[ThreadedLab]:
    """Run the lab of ``plan`` until the block ends."""
    lab = ThreadedLab(plan)
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()
