"""The order of a pass: spread, and the same for the same domains."""

import random

from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.run.order import spread
from targets.shard import Shard

OPERATORS = 20
EACH = 500


def customers() -> list[Target]:
    """A list sorted by operator, as it comes out of somebody's books."""
    return [
        Target(domain=Name(f"customer{number:04}.operator{operator:02}.example"))
        for operator in range(OPERATORS)
        for number in range(EACH)
    ]


def longest_runs(targets: list[Target]) -> tuple[int, int]:
    """Return the most domains of one operator in a row, and the longest way to the next one."""
    row, most, last_seen, longest = 0, 0, dict[str, int](), 0
    before = ""
    for place, target in enumerate(targets):
        operator = target.domain.split(".", 1)[1]
        row = row + 1 if operator == before else 1
        most, before = max(most, row), operator
        longest = max(longest, place - last_seen.get(operator, place))
        last_seen[operator] = place
    return most, longest


def test_domains_of_one_operator_come_neither_all_at_once_nor_far_apart() -> None:
    """However the list was sorted."""
    listed = customers()
    assert longest_runs(listed) == (EACH, 1)
    most, longest = longest_runs(spread(listed))
    assert most <= 8
    assert longest <= 15 * OPERATORS


def test_nobody_is_left_out_and_the_order_is_always_the_same() -> None:
    """For any order of the list: an interrupted pass and the next one agree."""
    listed = customers()
    shuffled = random.Random(1).sample(listed, len(listed))
    assert spread(shuffled) == spread(listed)
    assert len(spread(listed)) == len(listed)
    assert {target.domain for target in spread(listed)} == {target.domain for target in listed}


def test_a_share_of_a_list_is_spread_as_well() -> None:
    """The hash of the order is not that of the share."""
    share = spread(Shard(index=2, count=4).select(customers()))
    most, longest = longest_runs(share)
    assert most <= 8
    assert longest <= 15 * OPERATORS
