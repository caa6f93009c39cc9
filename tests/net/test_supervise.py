"""Tasks that outlive their own bugs, waits that double, and a gate that is always open."""

import pytest
import trio
import trio.testing
from sample_checks import AUTHENTICATED
from scripted_world import Counts, one_host_check

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.run.gate import OpenGate
from scanner.run.supervise import Backoff, supervised
from scanner.transition.confirm import Digest

Clock = trio.testing.MockClock


async def test_a_task_that_crashes_begins_again_later_and_later(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """After one second, two, four; every crash is counted and logged; a return is the end."""
    meter = Counts()
    begun: list[float] = []

    async def task() -> None:
        begun.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if len(begun) < 5:
            raise ValueError("a bug")

    await supervised("flusher", task, meter)
    assert [later - begun[0] for later in begun] == pytest.approx([0, 1, 3, 7, 15])
    assert meter.get(OwnMetric.TASK_CRASHES, "flusher") == 4
    assert caplog.text.count("bug in flusher: ValueError") == 4


async def test_a_task_that_ran_for_long_begins_again_at_once(autojump_clock: Clock) -> None:
    """One crash a day is no reason to wait a minute."""
    begun: list[float] = []
    lasts = [0.0, 0.0, 0.0, 600.0, 0.0]

    async def task() -> None:
        begun.append(trio.current_time())
        await trio.sleep(lasts[len(begun) - 1])
        if len(begun) < len(lasts):
            raise ValueError("a bug")

    await supervised("flusher", task, Counts())
    assert begun[-1] - begun[-2] == pytest.approx(600 + 1)


async def test_a_task_that_is_cancelled_ends(autojump_clock: Clock) -> None:
    """Supervision never keeps anybody from stopping."""
    with trio.move_on_after(5) as scope:
        await supervised("flusher", trio.sleep_forever, Counts())
    assert scope.cancelled_caught


def test_waits_double_to_the_longest_and_begin_anew_after_success() -> None:
    """One, two, four, five, five; one."""
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next() == 1


async def test_an_open_gate_lets_everything_through(autojump_clock: Clock) -> None:
    """For whoever does not watch himself."""
    gate = OpenGate()
    await gate.wait_open()
    check = one_host_check("example.org", "mx.example.org", AUTHENTICATED)
    assert gate.closed() is None
    assert gate.note(Target(domain=Name("example.org")), check, Digest())
