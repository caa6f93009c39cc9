"""Open files: enough of them before anything is opened, or fewer connections and a word."""

import resource
from collections.abc import Callable
from dataclasses import replace

import pytest

from scanner.cli.preflight import files_needed, fitted
from scanner.cli.wiring import Settings
from scanner.observe.dnsserver import ServerAddress
from scanner.run.probes import SharingLimits

SETTINGS = Settings(
    resolvers=(ServerAddress("127.0.0.1"),), sharing_limits=SharingLimits(max_concurrent=1_000)
)
SetLimits = Callable[[int, int], list[tuple[int, int]]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> SetLimits:
    """Pretend limits, and keep what is set."""

    def pretend(soft: int, hard: int) -> list[tuple[int, int]]:
        asked: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", lambda _, pair: asked.append(pair))
        return asked

    return pretend


def test_enough_files_change_nothing(limits: SetLimits) -> None:
    """Nor does no limit at all."""
    for soft in (65_536, resource.RLIM_INFINITY):
        asked = limits(soft, soft)
        assert fitted(SETTINGS) == (SETTINGS, None)
        assert asked == []


def test_a_soft_limit_is_raised_as_far_as_needed(limits: SetLimits) -> None:
    """No further, and nobody need be told."""
    asked = limits(1_024, 524_288)
    assert fitted(SETTINGS) == (SETTINGS, None)
    assert asked == [(files_needed(SETTINGS), 524_288)]


def test_too_low_a_hard_limit_means_fewer_connections_and_a_word(limits: SetLimits) -> None:
    """What would have failed in the middle is said at the beginning."""
    limits(256, 1_024)
    settings, sentence = fitted(SETTINGS)
    room = 2_000 - (files_needed(SETTINGS) - 1_024)
    sharing = settings.sharing_limits
    assert (sharing.max_slow, sharing.max_concurrent) == (room // 3, room - room // 3)
    assert files_needed(settings) == 1_024
    assert sentence is not None
    assert f"{sharing.max_concurrent} SMTP connections at a time instead of 1,000" in sentence
    assert f"{sharing.max_slow} slow ones instead of 1,000" in sentence


def test_the_slow_lane_gives_way_first(limits: SetLimits) -> None:
    """Where it can give enough, the others keep all their places."""
    limits(1_024, 1_024)
    sharing = replace(SETTINGS.sharing_limits, max_concurrent=200)
    settings, _ = fitted(replace(SETTINGS, sharing_limits=sharing))
    assert settings.sharing_limits.max_concurrent == 200
    assert 0 < settings.sharing_limits.max_slow < 1_000
    assert files_needed(settings) == 1_024


def test_at_least_one_connection_is_left(limits: SetLimits) -> None:
    """However low the limit is."""
    limits(16, 16)
    settings, _ = fitted(SETTINGS)
    assert (settings.sharing_limits.max_concurrent, settings.sharing_limits.max_slow) == (1, 0)
