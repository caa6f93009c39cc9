"""Clocks: the machine's, and one that runs faster by the event loop's time."""

from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from scanner.run.clock import ScaledClock, SystemClock, steady_seconds

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def test_a_scaled_clock_runs_by_its_factor(autojump_clock: trio.testing.MockClock) -> None:
    """Ten seconds of the event loop are four pretended hours at factor 1440."""
    clock = ScaledClock(START, factor=1440)
    await trio.sleep(10)
    assert clock.now() == START + timedelta(hours=4)


@pytest.mark.parametrize("factor", [1.0, 7.0, 1440.0])
async def test_sleeping_until_a_moment_ends_at_it_or_after(
    autojump_clock: trio.testing.MockClock, factor: float
) -> None:
    """Rounding never ends a sleep early, nor more than a second late."""
    clock = ScaledClock(START, factor=factor)
    moment = START + timedelta(hours=25, microseconds=1)
    await clock.sleep_until(moment)
    assert moment <= clock.now() < moment + timedelta(seconds=1)


async def test_sleeping_until_a_past_moment_is_only_a_checkpoint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No time passes."""
    scaled = ScaledClock(START)
    with trio.testing.assert_checkpoints():
        await scaled.sleep_until(START - timedelta(days=1))
    with trio.testing.assert_checkpoints():
        await SystemClock().sleep_until(START - timedelta(days=1000))
    assert scaled.now() == START


async def test_the_system_clock_sleeps_in_pieces_until_the_wall_shows_the_moment(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wall clock that is set back during the sleep makes it longer."""
    clock = SystemClock()
    origin = trio.current_time()

    def now(_self: SystemClock) -> datetime:
        passed = trio.current_time() - origin
        return START + timedelta(seconds=passed - (3600 if passed > 60 else 0))

    monkeypatch.setattr(SystemClock, "now", now)
    await clock.sleep_until(START + timedelta(seconds=100))
    assert trio.current_time() - origin == pytest.approx(3700, abs=30)


def test_steady_time_goes_on_and_never_back() -> None:
    """Nobody sets it."""
    times = [steady_seconds() for _ in range(100)]
    assert times == sorted(times)
    assert times[0] > 0
