"""Gates let so many in at a time, in order, and lose no place to those who give up."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.run.gates import Gates


async def test_who_finds_a_place_does_not_wait() -> None:
    """No turn of the event loop is needed."""
    gates: Gates[str] = Gates(2)
    with trio.testing.assert_no_checkpoints():
        await gates.enter("a")
        await gates.enter("a")
        await gates.enter("b")
    assert len(gates) == 2
    for key in ("a", "b", "a"):
        gates.leave(key)
    assert len(gates) == 0


async def test_who_comes_between_a_call_and_its_answer_is_not_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The one who was let in wakes a turn later; whoever begins to wait in that turn is called too.

    The order of tasks within a turn is random, so many visits in many turns meet every order.
    """
    gates: Gates[int] = Gates(1)
    passed = 0

    async def visit(key: int, turns: int) -> None:
        nonlocal passed
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await gates.enter(key)
        await trio.lowlevel.checkpoint()
        gates.leave(key)
        passed += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for key in range(100):
                for turns in range(12):
                    nursery.start_soon(visit, key, turns)
    assert passed == 1_200
    assert len(gates) == 0


async def test_places_are_handed_over_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """First come, first served, and never more than may be inside."""
    gates: Gates[str] = Gates(1)
    order: list[int] = []

    async def visit(number: int) -> None:
        await gates.enter("a")
        order.append(number)
        await trio.sleep(1)
        gates.leave("a")

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(visit, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]
    assert trio.current_time() == 5
    assert len(gates) == 0


async def test_a_waiter_that_gives_up_keeps_nobody_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Neither before its turn nor at the moment of it."""
    gates: Gates[str] = Gates(1)
    await gates.enter("a")
    with trio.move_on_after(1) as scope:
        await gates.enter("a")
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gates.enter, "a")
        await trio.testing.wait_all_tasks_blocked()
        gates.leave("a")
        nursery.cancel_scope.cancel()  # too late: the place was handed over
    assert len(gates) == 1
    gates.leave("a")
    assert len(gates) == 0


def test_a_gate_for_nobody_is_refused() -> None:
    """Zero would mean that everybody waits for ever."""
    with pytest.raises(ValueError, match="nobody"):
        Gates(0)


visits = st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(0, 3), st.integers(1, 9))


@settings(max_examples=60)
@given(st.integers(1, 3), st.lists(visits, max_size=12))
def test_a_gate_is_a_limiter(capacity: int, plan: list[tuple[str, int, int, int]]) -> None:
    """With patience or without: the same visits at the same times as through trio's limiters."""
    assert trio.run(_times, capacity, plan, True, clock=_clock()) == trio.run(
        _times, capacity, plan, False, clock=_clock()
    )


def _clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


async def _times(
    capacity: int, plan: list[tuple[str, int, int, int]], ours: bool
) -> list[tuple[int, float]]:
    """Return when each visit began; half seconds keep ends and arrivals apart."""
    gates: Gates[str] = Gates(capacity)
    limiters = {key: trio.CapacityLimiter(capacity) for key in "ab"}
    begun: list[tuple[int, float]] = []

    async def visit(number: int, key: str, arrives: int, stays: int, patience: int) -> None:
        await trio.sleep(arrives + number / 100)
        with trio.move_on_after(patience + 0.3) as scope:
            await (gates.enter(key) if ours else limiters[key].acquire())
        if scope.cancelled_caught:
            return
        begun.append((number, round(trio.current_time(), 6)))
        await trio.sleep(stays + 0.5)
        if ours:
            gates.leave(key)
        else:
            limiters[key].release()

    async with trio.open_nursery() as nursery:
        for number, (key, arrives, stays, patience) in enumerate(plan):
            nursery.start_soon(visit, number, key, arrives, stays, patience)
    assert len(gates) == 0
    return sorted(begun)
