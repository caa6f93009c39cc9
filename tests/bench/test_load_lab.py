"""The load laboratory of the benchmarks in small: it is served, scanned, and judged as meant."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BENCH = Path(__file__).parent
DOMAINS = 50
# Of this seed's faults none is of the transient class, for which a pass would wait.
MIX = {"domains": DOMAINS, "faulty": 0.12, "silent": 0.0, "unsigned": 0.1, "seed": 106}


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The modules of the benchmark, imported from their directory as bench.py does."""
    sys.path.insert(0, str(BENCH))
    try:
        import bench

        yield bench
    finally:
        sys.path.remove(str(BENCH))


@pytest.fixture(scope="module")
def passed(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A laboratory and one sampled pass over it."""
    base = tmp_path_factory.mktemp("load")
    lab = bench.make_lab(bench.Mix(**MIX), base / "lab")
    with bench.serving(lab, base / "bin") as servers:
        return lab, bench.run_scan(lab, servers, bench.Settings(in_flight=50), sample=True)


def test_every_verdict_is_what_the_laboratory_meant(passed: tuple[Path, Any]) -> None:
    """Faulty domains included, of which there are some."""
    lab, run = passed
    meant = json.loads((lab / "expected.json").read_text())
    assert len(meant) == DOMAINS
    assert len({each["fault"] for each in meant.values()}) > 3
    assert run.wrong == []
    assert run.undecided == []


def test_the_laboratory_knows_every_answer(passed: tuple[Path, Any]) -> None:
    """No question was refused because the generator had forgotten it."""
    _, run = passed
    assert run.unknown == []
    assert run.figures["refused"] == 0
    assert run.figures["queries"] > DOMAINS


def test_the_figures_are_there(passed: tuple[Path, Any]) -> None:
    """Cost, stages, lag, memory and connections, as the page of figures shows them."""
    _, run = passed
    stages = run.stages(DOMAINS)
    assert {"dns", "validation", "probe", "judge", "sinks", "start"} <= stages.keys()
    assert all(cost >= 0 for cost in stages.values())
    assert run.figures["cpu_seconds"] > 0
    assert run.figures["peak_mib"] > 0
    assert run.figures["lag_ms"]["worst"] >= run.figures["lag_ms"]["median"]
    assert run.figures["handshakes"] >= run.figures["hosts_contacted"] > 0


def test_a_wrong_verdict_is_told(bench: Any, passed: tuple[Path, Any], tmp_path: Path) -> None:
    """One that differs, one that is missing, and one that nobody asked for."""
    lab, _ = passed
    meant = json.loads((lab / "expected.json").read_text())
    first, second, *_ = meant
    rows = [
        {
            "domain": name,
            "rfc7672_verdict": each["rfc7672"],
            "exchange_online_verdict": each["exchange_online"],
            "exchange_online_code": each["code"],
            "exchange_online_reason": None,
        }
        for name, each in meant.items()
    ]
    history = tmp_path / "history"
    assert bench.compare(lab, _written(history, rows)) == []
    rows[0]["rfc7672_verdict"] = "no-mail"
    rows[1]["domain"] = "elsewhere.example"
    wrong = "\n".join(bench.compare(lab, _written(history, rows)))
    for name in (first, second, "elsewhere.example"):
        assert name in wrong


def _written(history: Path, rows: list[dict[str, str | None]]) -> Path:
    """Write ``rows`` as the checks of a history and return its directory."""
    directory = history / "domain_checks"
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), directory / "checks.parquet")
    return history
