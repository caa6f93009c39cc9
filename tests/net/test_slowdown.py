"""The operator is told once for each change for the worse, and once when all is well again."""

import logging

import pytest
import trio
import trio.testing

from exporters.own_metrics import OwnMetrics
from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.questionwindow import QuestionWindow, WindowLimits
from scanner.run.slowdown import shows_slowdown


async def test_a_line_for_each_level_and_one_for_the_end(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """Not one for each question, nor for each step on the way back; the metric shows those."""
    caplog.set_level(logging.INFO, "danewatch.resolver")
    meter = OwnMetrics(version="1")
    window = QuestionWindow(WindowLimits(most=50), on_change=shows_slowdown(meter))
    assert "danewatch_dns_in_flight_limit 50" in meter.render().decode()
    await trio.sleep(3)
    for number in range(200):
        window.note(Question(Name(f"d{number}.test"), RRType.A), 0.0, silent=True)
    assert "danewatch_dns_in_flight_limit 25" in meter.render().decode()
    assert "danewatch_dns_slowdowns_total 1" in meter.render().decode()
    for _ in range(60):
        await trio.sleep(1)
        await window.enter()
        window.leave()
    assert "danewatch_dns_in_flight_limit 50" in meter.render().decode()
    assert [record.getMessage() for record in caplog.records] == [
        "100 % of the questions to the resolvers time out: 25 in flight at most",
        "the resolvers keep up again: 50 questions in flight at most",
    ]
    assert OwnMetric.DNS_SLOWDOWNS == "dns_slowdowns_total"
