"""``docs/operations.md`` is true: reasons of blindness, paths of the page, settings, the unit."""

import re
import tomllib
from pathlib import Path

from scanner.config import Config
from scanner.model.meter import OwnMetric
from scanner.model.selfstatus import BlindReason

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_reason_of_blindness_has_a_row() -> None:
    """And no row is about one that does not exist."""
    table = PAGE.partition("| `danewatch_blind_reason` |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`([a-z0-9-]+)`", " ".join(named))) == {str(one) for one in BlindReason}


def test_the_configuration_shown_is_one() -> None:
    """It can be copied as it stands."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert Config.model_validate(tomllib.loads(text)).self_test.canary_domains == ("example.com",)


def test_settings_and_metrics_named_exist() -> None:
    """``[section] name`` is a setting, ``danewatch_name`` a metric."""
    for section, name in re.findall(r"`\[(\w+)\] (\w+)`", PAGE):
        kind = Config.model_fields[section].annotation
        assert name in getattr(kind, "model_fields", {}), f"[{section}] {name}"
    own = {f"danewatch_{one.value}" for one in OwnMetric}
    results = set(re.findall(r"`(danewatch_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert set(re.findall(r"`(danewatch_\w+)`", PAGE)) <= own | results


def test_files_it_names_are_there() -> None:
    """Links within the documentation, and the systemd unit."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
