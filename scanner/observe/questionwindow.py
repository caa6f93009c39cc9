"""How many questions may be in flight to our resolvers: fewer when they begin to time out.

Theory. A resolver that gets more questions than it can work on answers late or not at all. Who asks
again adds to the heap, and what it works on has been given up already: it answers nobody any more.
So the number in flight follows the rule by which TCP shares a line: half as many at a burst of
time-outs, then slowly more while answers come. A burst that is our own doing passes so; and since
it was our own doing as a rule, a question that got no answer while there were fewer says nothing
of the partner it was about (``own_fault``): it is asked again when all is calm.

What is no burst: time-outs of a few among many answers (dead name servers), whatever their number;
and those of names that have timed out before, since a second look at what is dead finds it dead.
"""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import trio

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.observe.dnsserver import DnsLimits

OVERLOADED = "our resolvers were asked more than they could answer in time"


_SECONDS_KEPT = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowLimits:
    """Bounds of the questions in flight. All ours."""

    most: int = 500
    """Questions in flight while all is well."""
    least: int = 20
    """Never fewer than this."""
    burst: int = 10
    """So many first tries that time out may be a burst ..."""
    burst_share: float = 0.2
    """... if they are such a share of the first tries that were begun in the same seconds."""
    same_seconds: int = 3
    """How many seconds are looked at together."""
    step_seconds: float = 1.0
    """How often the number grows again: by a fiftieth of the most, and by an eighth of that from
    three quarters of the number on that was too much."""
    settle_seconds: float = 3.0
    """From a change for the worse until it may grow again, and until the same server is asked again
    what it was silent about: a time-out, so that the change can show."""
    names_remembered: int = 20_000
    """Names that have timed out; the oldest are forgotten first."""


def window_limits(limits: DnsLimits) -> WindowLimits:
    """Return the bounds that belong to those of the DNS client."""
    return WindowLimits(
        most=limits.max_in_flight,
        least=limits.min_in_flight,
        settle_seconds=limits.try_timeout_seconds,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowChange:
    """How many questions may be in flight from now on, and how many where all is well.

    ``silent_percent`` of the first tries timed out where it became fewer; else it is None.
    """

    limit: int
    most: int
    silent_percent: int | None = None


class QuestionWindow:
    """Counts the questions in flight and bounds them.

    Use: ``enter``, ask, ``note`` how the first try went, ``leave`` whatever happens. ``on_change``
    hears of the bound, at the beginning and at every change.
    """

    def __init__(
        self, limits: WindowLimits, *, on_change: Callable[[WindowChange], None] = lambda _: None
    ) -> None:
        self._limits = limits
        self._on_change = on_change
        self._least = min(limits.least, limits.most)
        self._step = max(1, limits.most // 50)
        self._outside = trio.lowlevel.ParkingLot()
        self.limit = limits.most
        self.in_flight = 0
        self._slow_until = -math.inf
        """When it was last below the most; infinity while it is."""
        self._changed_at = -math.inf
        self._grows_at = math.inf
        self._too_much = math.inf
        self._let_in_at = -math.inf
        self._settled_at = -math.inf
        self._silent_names: OrderedDict[Name, None] = OrderedDict()
        self._answered: defaultdict[int, int] = defaultdict(int)
        """First tries by the second in which they were begun."""
        self._silent: defaultdict[int, int] = defaultdict(int)
        self._tell()

    async def enter(self) -> None:
        """Wait for a place, first come first served; no checkpoint where nobody has to wait."""
        if self.in_flight < self.limit and not self._outside:
            self.in_flight += 1
            return
        await self._outside.park()  # whoever leaves counts us in
        self._let_in_at = trio.current_time()

    def leave(self) -> None:
        """Give the place to the next."""
        self.in_flight -= 1
        if self._slow_until == math.inf:  # also where the bound was at its least and stayed
            self._grow()
        while self._outside and self.in_flight < self.limit:
            self.in_flight += 1
            self._outside.unpark()

    def note(self, question: Question, begun_at: float, *, silent: bool) -> None:
        """Take in how the first try of a question went that was begun then."""
        second = int(begun_at)
        if not silent:
            self._answered[second] += 1
            if len(self._answered) > _SECONDS_KEPT:
                del self._answered[min(self._answered)]
        elif begun_at >= self._changed_at and question.name not in self._silent_names:
            self._remember(question.name)
            self._silent[second] += 1
            if len(self._silent) > _SECONDS_KEPT:
                del self._silent[min(self._silent)]
            self._look_for_burst(second)

    @property
    def is_settling(self) -> bool:
        """Whether it has just become fewer: then asking the same again would undo it."""
        return trio.current_time() < self._settled_at

    def kept_waiting_since(self, moment: float) -> bool:
        """Return whether anybody had to wait for a place at any time from then on."""
        return bool(self._outside) or self._let_in_at >= moment

    def was_slow_since(self, moment: float) -> bool:
        """Return whether fewer questions than usual were allowed at any time from then on."""
        return self._slow_until >= moment

    def _remember(self, name: Name) -> None:
        self._silent_names[name] = None
        if len(self._silent_names) > self._limits.names_remembered:
            self._silent_names.popitem(last=False)

    def _look_for_burst(self, last: int) -> None:
        """Hold those that timed out against those begun at the same time.

        An answer comes at once and a time-out seconds later, so by when they end the two could not
        be compared: where fewer are begun, time-outs would be left alone.
        """
        seconds = range(last - self._limits.same_seconds + 1, last + 1)
        silent = sum(self._silent.get(second, 0) for second in seconds)
        first_tries = silent + sum(self._answered.get(second, 0) for second in seconds)
        if silent >= self._limits.burst and silent >= self._limits.burst_share * first_tries:
            self._shrink(round(100 * silent / first_tries))

    def _shrink(self, percent: int) -> None:
        now = trio.current_time()
        self._changed_at = now
        self._slow_until = math.inf
        self._grows_at = self._settled_at = now + self._limits.settle_seconds
        self._answered.clear()
        self._silent.clear()
        self._too_much = self.limit
        if self.limit > self._least:
            self.limit = max(self._least, self.limit // 2)
            self._tell(percent)

    def _grow(self) -> None:
        now = trio.current_time()
        if now < self._grows_at:
            return
        self._grows_at = now + self._limits.step_seconds
        careful = self.limit >= 0.75 * self._too_much
        step = max(1, self._step // 8) if careful else self._step
        self.limit = min(self._limits.most, self.limit + step)
        if self.limit >= self._too_much:
            self._too_much = math.inf
        if self.limit == self._limits.most:
            self._slow_until = now
        self._tell()

    def _tell(self, percent: int | None = None) -> None:
        change = WindowChange(limit=self.limit, most=self._limits.most, silent_percent=percent)
        self._on_change(change)
