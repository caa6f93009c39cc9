"""The page on validation is true: every bound, algorithm and difference of others stands in it."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from scanner.judge.dnssec.algorithms import (
    ALGORITHM_NAMES,
    SUPPORTED_ALGORITHMS,
    is_digest_supported,
)
from scanner.judge.dnssec.anchors import ROOT_ANCHOR
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.model.dnssec_reasons import DnssecReason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dnssec.md").read_text(encoding="utf-8")
EXCEPTIONS = ROOT / "tests" / "vectors" / "dnssec" / "corpus_exceptions.toml"
BOUNDS = [field for field in dataclasses.fields(DnssecPolicy) if field.type is int]
KNOWN = tomllib.loads(EXCEPTIONS.read_text())["exception"]


@pytest.mark.parametrize("bound", BOUNDS, ids=[field.name for field in BOUNDS])
def test_every_bound_stands_there_with_its_default(bound: "dataclasses.Field[int]") -> None:
    """One row each, with the number that is in force."""
    assert PAGE.count(f"| `{bound.name}` | {bound.default:,} |") == 1


@pytest.mark.parametrize("number", range(len(KNOWN)))
def test_every_difference_of_another_validator_stands_there(number: int) -> None:
    """One row each, with who says what, the paragraph and the explanation."""
    item = KNOWN[number]
    names = ", ".join(f"`{pattern}`" for pattern in item["rows"])
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| {names} |")]
    (row,) = [line for line in rows if f"| {item['validator']} | {item['says']} |" in line]
    assert f"{item['rfc']}: " in row
    assert item["because"] in row or item["because"].startswith("As above")


def test_algorithms_and_digests_are_those_that_are_supported() -> None:
    """The lists in the tables are the code's."""
    strong = sorted(SUPPORTED_ALGORITHMS - {5, 7})
    assert f"| yes | {', '.join(map(str, strong))} |" in PAGE
    digests = [number for number in range(256) if is_digest_supported(number)]
    assert f"| yes | {', '.join(map(str, digests))}; SHA-1" in PAGE
    others = [str(number) for number in sorted(set(ALGORITHM_NAMES) - SUPPORTED_ALGORITHMS)]
    assert f"| {', '.join(others)}, private and unknown | no |" in PAGE


def test_the_anchors_shipped_are_named() -> None:
    """By their key tags."""
    assert all(f"({ds.key_tag})" in PAGE for ds in ROOT_ANCHOR.ds)


def test_reasons_named_there_exist() -> None:
    """A reason in backquotes is one of the closed list."""
    known = {str(reason) for reason in DnssecReason}
    for name in ("rrsig-signer-wrong", "work-limit", "ancestor-delegation", "sha1-by-policy"):
        assert f"`{name}`" in PAGE
        assert name in known
