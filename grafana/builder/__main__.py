"""Writes every file that is made: ``python -m grafana.builder``."""

from pathlib import Path

from grafana.builder.catalogue import ALERT_GROUPS
from grafana.builder.recordings import RECORDING_GROUPS
from grafana.builder.rulefiles import rule_file, to_yaml

ROOT = Path(__file__).resolve().parents[2]


def made_files() -> dict[str, str]:
    """Return the content of every made file, by its path in the repository."""
    return {
        "grafana/alerts/danewatch-recording.rules.yml": to_yaml(rule_file(RECORDING_GROUPS)),
        "grafana/alerts/danewatch-alerts.rules.yml": to_yaml(rule_file(ALERT_GROUPS)),
    }


def write_all(root: Path) -> None:
    """Write every made file below ``root``."""
    for name, text in made_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write_all(ROOT)
