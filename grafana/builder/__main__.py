"""Writes every file that is made: ``python -m grafana.builder``."""

from pathlib import Path

from grafana.builder import alertmanager, provisioning
from grafana.builder.catalogue import ALERT_GROUPS
from grafana.builder.dashboards import DASHBOARDS, dashboard_text
from grafana.builder.pages import alerts_page
from grafana.builder.recordings import RECORDING_GROUPS
from grafana.builder.rulefiles import rule_file, to_yaml

ROOT = Path(__file__).resolve().parents[2]


def made_files() -> dict[str, str]:
    """Return the content of every made file, by its path in the repository."""
    alerts, provisioned = "grafana/alerts", "grafana/provisioning"
    plain, alerting = provisioning.HEADER, provisioning.ALERTING_HEADER
    return {
        f"{alerts}/danewatch-recording.rules.yml": to_yaml(rule_file(RECORDING_GROUPS)),
        f"{alerts}/danewatch-alerts.rules.yml": to_yaml(rule_file(ALERT_GROUPS)),
        f"{alerts}/alertmanager.example.yml": to_yaml(
            alertmanager.example(), header=alertmanager.HEADER
        ),
        f"{provisioned}/datasources/danewatch.yml": to_yaml(
            provisioning.datasources(), header=plain
        ),
        f"{provisioned}/dashboards/danewatch.yml": to_yaml(
            provisioning.dashboard_provider(), header=plain
        ),
        f"{provisioned}/alerting/danewatch.yml": to_yaml(provisioning.alerting(), header=alerting),
        "docs/alerts.md": alerts_page(),
        **{f"grafana/dashboards/{one.uid}.json": dashboard_text(one) for one in DASHBOARDS},
    }


def write_all(root: Path) -> None:
    """Write every made file below ``root``."""
    for name, text in made_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write_all(ROOT)
