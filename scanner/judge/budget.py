"""A counter for work that hostile input could make endless.

Whoever does expensive work on data a stranger supplied takes a ``Budget`` and spends it before the
work, never after: an attacker then buys at most ``limit`` units, whatever he sends.
"""


class BudgetExceededError(Exception):
    """The work allowed for one decision is used up; the decision must say so, not guess."""


class Budget:
    """A number of units of work that may still be done.

    The only mutable object of the decision core: it lives for one decision, is handed down as an
    argument and never shared.
    """

    __slots__ = ("_limit", "_spent")

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` units; raises ValueError when that is negative."""
        if limit < 0:
            raise ValueError("a budget cannot be negative")
        self._limit = limit
        self._spent = 0

    @property
    def limit(self) -> int:
        """Units allowed from the start."""
        return self._limit

    @property
    def spent(self) -> int:
        """Units used so far; never more than ``limit``."""
        return self._spent

    @property
    def remaining(self) -> int:
        """Units still allowed."""
        return self._limit - self._spent

    def spend(self, n: int = 1) -> None:
        """Use ``n`` units; call it before the work.

        Raises BudgetExceededError, spending nothing, when fewer than ``n`` are left, and
        ValueError when ``n`` is negative.
        """
        if n < 0:
            raise ValueError("work cannot be given back")
        if self._spent + n > self._limit:
            raise BudgetExceededError(f"more than {self._limit} units of work")
        self._spent += n

    def __repr__(self) -> str:
        return f"Budget({self._spent} of {self._limit} spent)"


BudgetExceeded = BudgetExceededError
"""The shorter spelling."""
