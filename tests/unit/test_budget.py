"""The work counter: never more than allowed, and never after the fact."""

import pytest

from scanner.judge.budget import Budget, BudgetExceeded, BudgetExceededError


def test_a_budget_allows_exactly_its_limit() -> None:
    """The last unit may be spent, one more may not."""
    budget = Budget(3)
    budget.spend()
    budget.spend(2)
    assert (budget.spent, budget.remaining, budget.limit) == (3, 0, 3)
    with pytest.raises(BudgetExceededError):
        budget.spend()
    assert budget.spent == 3


def test_a_refused_spending_costs_nothing() -> None:
    """What did not fit leaves room for what does."""
    budget = Budget(3)
    with pytest.raises(BudgetExceeded):
        budget.spend(4)
    assert budget.remaining == 3


def test_nothing_is_always_affordable() -> None:
    """Zero units fit into an empty budget."""
    budget = Budget(0)
    budget.spend(0)
    assert budget.spent == 0


@pytest.mark.parametrize("wrong", [lambda: Budget(-1), lambda: Budget(1).spend(-1)])
def test_negative_work_is_a_mistake_of_the_caller(wrong: object) -> None:
    """No budget can be negative or grow."""
    with pytest.raises(ValueError, match=r"negative|back"):
        wrong()  # type: ignore[operator]


def test_a_budget_shows_how_much_is_spent() -> None:
    """For messages and debuggers."""
    budget = Budget(5)
    budget.spend(2)
    assert repr(budget) == "Budget(2 of 5 spent)"
