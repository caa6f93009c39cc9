"""The page as Prometheus' own tools see it."""

import subprocess

import pytest
import sample_checks
from real_processes import program

from exporters.exposition import ResultFragments
from exporters.metrics_text import Format
from exporters.own_metrics import OwnMetrics
from scanner.model.meter import OwnMetric

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]


def test_promtool_finds_nothing_to_say() -> None:
    """Names, types, help texts and the form of the page, results and own metrics together."""
    board, own = ResultFragments(), OwnMetrics(version="1.2.3")
    for make in (*sample_checks.ALL.values(), sample_checks.zoned):
        board.show(make(), states={}, labels=(("partner", 'a"b\\c\nd'),))
    own.put(OwnMetric.BLIND, 0)
    own.put(OwnMetric.RESOLVER_UP, 1, resolver="192.0.2.53:53")
    page = own.render(Format.TEXT) + b"".join(board.page().text_chunks(chunk_size=1 << 16))
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=page,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
