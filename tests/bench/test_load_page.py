"""The page of figures says what the kept results say."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent


@pytest.fixture(scope="module")
def load_page() -> Iterator[Any]:
    """The module that writes the page, imported from its directory as bench.py does."""
    sys.path.insert(0, str(BENCH))
    try:
        import load_page

        yield load_page
    finally:
        sys.path.remove(str(BENCH))


def test_the_page_shows_the_kept_results(load_page: Any) -> None:
    """Its tables are those that ``bench.py page`` writes."""
    text = load_page.PAGE.read_text()
    assert load_page.filled(text, load_page.read_results()) == text


def test_every_table_has_its_place(load_page: Any) -> None:
    """A marker for each, and the plot is there and shown."""
    text = load_page.PAGE.read_text()
    assert {match[2] for match in load_page.MARKER.finditer(text)} == set(load_page.TABLES)
    assert f"(pictures/{load_page.PLOT.name})" in text
    assert load_page.PLOT.exists()


def test_no_kept_result_has_a_wrong_verdict(load_page: Any) -> None:
    """A figure of a pass that was wrong would be worth nothing."""
    results = load_page.read_results()
    assert results
    for name, result in results.items():
        assert result.get("wrong_verdicts", 0) == 0, name
        assert not result.get("unanswerable_questions"), name
