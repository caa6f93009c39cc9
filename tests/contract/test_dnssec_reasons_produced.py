"""No DNSSEC reason is only a word: the scanner gives each, and a test sees it given."""

import re
from pathlib import Path

import pytest

from scanner.model.dnssec_reasons import DnssecReason

ROOT = Path(__file__).parents[2]
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("judge", "observe")
    for path in sorted((ROOT / "scanner" / folder).rglob("*.py"))
)
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("unit", "net", "property", "scenario", "support")
    for path in sorted((ROOT / "tests" / folder).rglob("*.py"))
)


@pytest.mark.parametrize("reason", list(DnssecReason))
def test_the_scanner_can_give_the_reason(reason: DnssecReason) -> None:
    """Named where things are judged or observed, not only in the registry."""
    assert re.search(rf"\bDnssecReason\.{reason.name}\b", CODE)


@pytest.mark.parametrize("reason", list(DnssecReason))
def test_a_test_sees_the_reason_given(reason: DnssecReason) -> None:
    """By its name, or as it is spelled for people; this very test does not count."""
    named = rf"\b(?:R|DnssecReason)\.{reason.name}\b|[\"']{reason.value}[\"']|\[{reason.value}\]"
    assert re.search(named, TESTS)
