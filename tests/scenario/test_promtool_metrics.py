"""Prometheus' own linter on the result metrics."""

import shutil
import subprocess

import pytest
import sample_checks

from exporters.prometheus import render_results
from scanner.model.vocabulary import Profile

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]


@pytest.mark.parametrize("profile", list(Profile))
def test_promtool_finds_nothing_to_complain_about(profile: Profile) -> None:
    """Syntax, names, units and duplicates."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "Debian package prometheus"
    text = render_results(
        [make() for make in sample_checks.ALL.values()],
        profile=profile,
        labels={"example.org": (("team", 'a "quoted" \\ name'),)},  # type: ignore[dict-item]
    )
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
