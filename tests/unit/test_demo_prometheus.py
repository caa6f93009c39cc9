"""Rules in faster time: the demo's alerts wait as much less as its clock is faster."""

import pytest
import yaml

from scanner.cli.demo_prometheus import faster, rules_directory, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5_400), ("0s", 0), ("250ms", 0.25), ("2d", 172_800)],
)
def test_durations_are_read_as_prometheus_reads_them(text: str, seconds: float) -> None:
    """Units may follow each other."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1y2"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Rather than guessed."""
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(text)


def test_waiting_times_are_divided_but_never_below_two_scrapes() -> None:
    """Everything else of a rule stays."""
    rules = """
groups:
  - name: g
    interval: 1m
    rules:
      - alert: A
        expr: up == 0
        for: 2h
        keep_firing_for: 15m
        labels: {severity: critical}
"""
    (group,) = yaml.safe_load(faster(rules, 1_800.0))["groups"]
    (rule,) = group["rules"]
    assert (rule["for"], rule["keep_firing_for"]) == ("4000ms", "2000ms")
    assert rule["labels"] == {"severity": "critical"}
    assert "interval" not in group


def test_the_rules_are_found_in_a_checkout() -> None:
    """Those that are shipped, and all of them readable."""
    directory = rules_directory()
    assert directory is not None
    found = sorted(directory.glob("*.rules.yml"))
    assert found
    for path in found:
        assert yaml.safe_load(faster(path.read_text(encoding="utf-8"), 60.0))["groups"]
