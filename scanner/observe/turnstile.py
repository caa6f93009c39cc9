"""Lets tasks go on a few at a time, so that the event loop looks at its sockets often enough.

Theory. trio runs every task that can run before it looks at sockets and timers again. Where two
hundred domains wait for one thing (a shared probe, the control question, the beginning of a pass)
and all are woken at once, everybody else waits for two hundred pieces of work; and as those two
hundred then ask the same questions at the same time, they stay together from there on. A reply that
came in time is read late, and a peer would be blamed for it.

So whoever is about to begin something, whoever waits with others for the same thing, and whoever
has got a reply passes here: so many for each pass of the loop, first come first served; those who
end something before those who begin something, since what is in flight takes memory. While passes
are long the machine has no time left, and another domain in flight would only make them longer:
then one is let in for each pass. Where nobody has to wait, passing costs a comparison.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import trio

from scanner.observe.deadlines import deadlines

AT_ONCE = 8
"""Tasks let on for each pass of the loop; each works for up to a millisecond before it waits."""
BEGIN_AT_ONCE = 2
"""Those of them that may begin something: it will be about ten pieces of work."""
LONG_PASS_SECONDS = 0.01
"""A pass that takes longer has work enough; a new domain is let in only one at a time."""

LATE_SECONDS = 0.5
"""Who waited so long to go on was kept by us, as in ``max_lag_seconds`` of questions."""

_Line = OrderedDict[trio.lowlevel.Task, float]
"""Who waits, and since when."""


class Turnstile:
    """Who may go on in this pass of the loop; ``run`` must be running."""

    def __init__(self) -> None:
        self._room = AT_ONCE
        self._room_to_begin = BEGIN_AT_ONCE
        self._goes_on: _Line = OrderedDict()
        self._begins: _Line = OrderedDict()
        self._keeper: trio.lowlevel.Task | None = None
        """The task of ``run``, while it sleeps."""
        self._looked_at = 0.0
        self._kept_waiting_at = -math.inf
        """When somebody last went on who had waited LATE_SECONDS."""
        self.others_crowded: Callable[[], bool] = lambda: False
        """Whether other processes, which work for this one, are crowded."""

    def __len__(self) -> int:
        """Return how many wait here."""
        return len(self._goes_on) + len(self._begins)

    async def go_on(self) -> None:
        """Return when this task may go on with work it has begun; no checkpoint where nobody has
        to wait."""
        self._wake_keeper()
        if self._room > 0 and not self._goes_on:
            self._room -= 1
        else:
            await _stand_in(self._goes_on)

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits here to begin: the processor has more to do than it can."""
        return bool(self._begins) or self.others_crowded()

    def kept_waiting_since(self, moment: float) -> bool:
        """Return whether since ``moment`` (trio's clock) anybody had to wait long to go on.

        Who ran out of time meanwhile may have lost it here: no peer is to blame for that.
        """
        return self._kept_waiting_at >= moment

    async def begin(self) -> None:
        """Return when this task may begin something that will take work.

        No checkpoint where nobody has to wait.
        """
        self._wake_keeper()
        if self._room_to_begin > 0 and self._room > 0 and not self._begins and not self._goes_on:
            self._room -= 1
            self._room_to_begin -= 1
            return
        await _stand_in(self._begins)

    def let_on(self, waiting: _Line) -> None:
        """Let those go on that stand in ``waiting``, soon and in their order; it is empty then."""
        self._wake_keeper()
        at_once = 0 if self._goes_on else min(self._room, len(waiting))
        self._room -= at_once
        _reschedule(waiting, at_once)
        now = trio.current_time()
        while waiting:
            task = waiting.popitem(last=False)[0]
            self._goes_on[task] = now
            task.custom_sleep_data = self._goes_on

    def let_on_one(self, task: trio.lowlevel.Task) -> None:
        """Let ``task`` go on, soon; its abort function must call ``leave_line``."""
        self._wake_keeper()
        if self._room > 0 and not self._goes_on:
            self._room -= 1
            trio.lowlevel.reschedule(task)
        else:
            self._goes_on[task] = trio.current_time()
            task.custom_sleep_data = self._goes_on

    async def run(self) -> None:
        """Make room for each pass of the loop, for ever; sleeps while nobody passes."""
        while True:
            now = trio.current_time()
            long = now - self._looked_at > LONG_PASS_SECONDS
            self._looked_at = now
            going_on = min(AT_ONCE, len(self._goes_on))
            if going_on and now - next(iter(self._goes_on.values())) >= LATE_SECONDS:
                self._kept_waiting_at = now
            _reschedule(self._goes_on, going_on)
            to_begin = min(AT_ONCE - going_on, 1 if long else BEGIN_AT_ONCE)
            beginning = min(to_begin, len(self._begins))
            _reschedule(self._begins, beginning)
            idle = self._room == AT_ONCE and not going_on and not beginning
            self._room = AT_ONCE - going_on - beginning
            self._room_to_begin = to_begin - beginning
            if not idle:
                await trio.lowlevel.checkpoint()
                continue
            self._room_to_begin = BEGIN_AT_ONCE
            self._keeper = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
            self._looked_at = trio.current_time()

    def _wake_keeper(self) -> None:
        if self._keeper is not None:
            trio.lowlevel.reschedule(self._keeper)
            self._keeper = None

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._keeper = None
        return trio.lowlevel.Abort.SUCCEEDED


def _reschedule(line: _Line, count: int) -> None:
    for _ in range(count):
        trio.lowlevel.reschedule(line.popitem(last=False)[0])


class SharedEvent:
    """A ``trio.Event`` many wait for: they go on through the turnstile instead of all at once."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: _Line = OrderedDict()

    def set(self) -> None:
        """Let everybody go on who waits, and whoever comes later at once."""
        self._is_set = True
        if self._waiting:
            turnstile().let_on(self._waiting)

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            await trio.lowlevel.checkpoint()
            return
        await _stand_in(self._waiting)

    async def wait_until(self, moment: float) -> bool:
        """Return at ``moment`` (trio's clock) at the latest whether it is set."""
        if self._is_set:
            await trio.lowlevel.checkpoint()
            return True
        patience = _Patience(trio.lowlevel.current_task(), moment)
        deadlines().add(patience)
        try:
            await _stand_in(self._waiting)
        finally:
            patience.due = math.inf
        return self._is_set


@dataclass(eq=False, slots=True)
class _Patience:
    """One task's wait in a line (``scanner.observe.deadlines.Wait``)."""

    task: trio.lowlevel.Task
    due: float

    def expire(self) -> None:
        """Take the task out of its line, unless it is about to go on anyway."""
        line: _Line | None = self.task.custom_sleep_data  # none once it was let on
        if line is not None and line.pop(self.task, None) is not None:
            trio.lowlevel.reschedule(self.task)
        self.due = math.inf


def leave_line(task: trio.lowlevel.Task) -> None:
    """Take ``task``, which is cancelled, out of the line it stands in, if it does."""
    line: _Line | None = task.custom_sleep_data
    if line is not None:
        del line[task]


async def _stand_in(line: _Line) -> None:
    """Wait in ``line``, or the one this task is moved to, until rescheduled."""
    task = trio.lowlevel.current_task()
    line[task] = trio.current_time()
    task.custom_sleep_data = line

    def leave(_raise_cancel: object) -> trio.lowlevel.Abort:
        leave_line(task)
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(leave)


_of_this_run: trio.lowlevel.RunVar[Turnstile] = trio.lowlevel.RunVar("danewatch turnstile")


def turnstile() -> Turnstile:
    """Return the one turnstile of this run of trio, begun when first asked for."""
    try:
        return _of_this_run.get()
    except LookupError:
        made = Turnstile()
        _of_this_run.set(made)
        trio.lowlevel.spawn_system_task(made.run, name="danewatch turnstile")
        return made
