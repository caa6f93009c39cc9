"""What is committed below ``grafana/`` is what the builder makes of its declarations."""

from pathlib import Path

import pytest

from grafana.builder.__main__ import made_files

ROOT = Path(__file__).resolve().parents[2]
MADE = made_files()


@pytest.mark.parametrize("name", sorted(MADE))
def test_the_committed_file_is_the_one_that_is_made(name: str) -> None:
    """Run ``python -m grafana.builder`` after a change of a rule or dashboard."""
    assert (ROOT / name).read_text("utf-8") == MADE[name]


def test_nothing_below_grafana_was_written_by_hand() -> None:
    """Every rule file, dashboard and provisioning file has a declaration behind it."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("alerts", "dashboards", "provisioning")
        for path in (ROOT / "grafana" / folder).rglob("*")
        if path.is_file()
    }
    assert found == {name for name in MADE if name.startswith("grafana/")}
