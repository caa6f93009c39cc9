"""Every alert under ``promtool test rules``: firing, silence, restart, recovery, blindness."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import ENDING_CASES, MAIL_CASES, PROTECTION_CASES, SOUND, SUSPECTED, Case
from alert_cases_scanner import SCANNER_CASES
from alert_timelines import BASE, Kind, groups_of, kinds_of, silent_group
from real_processes import program

from grafana.builder.catalogue import ALERT_GROUPS, ALERTS
from grafana.builder.recordings import RECORDING_GROUPS
from grafana.builder.rulefiles import rule_file, to_yaml
from grafana.builder.rules import Group, Scope

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

RULES = Path(__file__).resolve().parents[2] / "grafana" / "alerts"
CASES = (*MAIL_CASES, *PROTECTION_CASES, *ENDING_CASES, *SCANNER_CASES)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_every_alert_has_a_case() -> None:
    """An alert whose timelines nobody wrote is not shipped."""
    assert sorted((one.name, one.severity) for one in ALERTS) == sorted(
        (case.name, case.severity) for case in CASES
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_promise_is_looked_at(case: Case) -> None:
    """Firing, silence, restart and recovery; blindness for every alert about partners."""
    about_partners = case.alert.scope is not Scope.SCANNER
    assert case.alert.gated == about_partners
    assert kinds_of(case) == set(Kind) - (set() if about_partners else {Kind.BLINDNESS})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_alert_fires_when_it_must_and_only_then(case: Case, tmp_path: Path) -> None:
    """Its timelines, with all rules loaded, so that no other alert fires either."""
    files = sorted(RULES.glob("*.rules.yml"))
    if case.alone:
        files = [tmp_path / "alone.rules.yml"]
        group = Group(name="alone", rules=[case.alert])
        files[0].write_text(to_yaml(rule_file([group])))
    assert_tested(tmp_path, files, groups_of(case), minutes=case.interval_minutes)


def test_what_is_only_suspected_raises_nothing(tmp_path: Path) -> None:
    """The last look shows a failure; until a second one confirms it, no partner is accused."""
    group = silent_group("suspected", {**BASE, **SOUND}, {**BASE, **SUSPECTED})
    assert_tested(tmp_path, sorted(RULES.glob("*.rules.yml")), [group], minutes=5)


def test_where_no_danewatch_was_ever_seen_the_alert_names_none(tmp_path: Path) -> None:
    """No gap in the sentence where an instance would stand."""
    group = {
        "name": "nothing at all",
        "interval": "5m",
        "input_series": [],
        "alert_rule_test": [
            {
                "eval_time": "20m",
                "alertname": "DanewatchDown",
                "exp_alerts": [
                    {
                        "exp_labels": {"severity": "critical", "scope": "scanner"},
                        "exp_annotations": {
                            "summary": "danewatch is down.",
                            "description": "Prometheus cannot read its metrics. Nothing is known "
                            "of any partner.",
                            "runbook_url": "docs/alerts.md#danewatchdown",
                        },
                    }
                ],
            }
        ],
    }
    assert_tested(tmp_path, sorted(RULES.glob("*.rules.yml")), [group], minutes=5)


def assert_tested(
    directory: Path, files: Sequence[Path], groups: Sequence[Any], *, minutes: int
) -> None:
    """Run promtool over test groups, with an evaluation every ``minutes``."""
    order = [group.name for group in (*RECORDING_GROUPS, *ALERT_GROUPS)]
    test_file = directory / "test.yml"
    test_file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(path) for path in files],
                "evaluation_interval": f"{minutes}m",
                "group_eval_order": order,
                "tests": list(groups),
            }
        )
    )
    tested = promtool("test", "rules", test_file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_rule_files_are_valid() -> None:
    """Prometheus' own check of the files as shipped."""
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES.glob("*.rules.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
