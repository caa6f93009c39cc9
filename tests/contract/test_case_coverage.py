"""Every scenario and every edge case of the specification is tested, or says with what it comes.

The map is ``tests/vectors/case_coverage.toml``; here it is held that the map is complete, that each
test it names exists, and that nothing is put off without a reason.
"""

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAP = ROOT / "tests" / "vectors" / "case_coverage.toml"
SCENARIOS = [f"T{number:02}" for number in range(1, 51)]
CASES = [f"case-{number}" for number in range(1, 116)]
LATER = {"monitoring service", "own validation", "MTA-STS"}


@cache
def coverage() -> dict[str, Any]:
    return tomllib.loads(MAP.read_text(encoding="utf-8"))


@cache
def names_in(path: str) -> frozenset[str]:
    """The test functions and methods of one file, by the part of their id after the file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(_named_tests(tree, ""))


def _named_tests(node: ast.Module | ast.ClassDef, prefix: str) -> list[str]:
    found = []
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name.startswith("Test"):
            found += _named_tests(item, f"{prefix}{item.name}::")
        elif isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name.startswith(
            "test_"
        ):
            found.append(prefix + item.name)
    return found


def test_map_is_complete_and_in_order() -> None:
    """All fifty scenarios, all 115 cases, nothing else."""
    assert list(coverage()) == SCENARIOS + CASES


@pytest.mark.parametrize("key", SCENARIOS + CASES)
def test_entry_names_existing_tests_or_says_what_is_still_to_come(key: str) -> None:
    """A renamed test has to be renamed here too."""
    entry = coverage()[key]
    assert set(entry) <= {"tests", "later", "reason"}
    for test_id in entry.get("tests", ()):
        path, _, name = test_id.partition("::")
        assert (ROOT / path).is_file(), test_id
        assert name in names_in(path), test_id
    assert len(set(entry.get("tests", ()))) == len(entry.get("tests", ()))
    if "later" in entry:
        assert entry["later"] in LATER
        assert entry["reason"].endswith(".")
    else:
        assert entry["tests"]
        assert "reason" not in entry


def test_a_test_that_does_not_exist_is_noticed() -> None:
    """The check above can fail."""
    own = names_in("tests/contract/test_case_coverage.py")
    assert "test_map_is_complete_and_in_order" in own
    assert "test_nothing_of_the_kind" not in own
