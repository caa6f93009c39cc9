"""Every vector of ``tests/vectors/tlsa``: records, a chain and a time in, the whole Match out."""

import base64
import importlib.util
import json
from datetime import datetime
from itertools import permutations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scanner.judge.matching import Match, match
from scanner.judge.tlsa import assess
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "tlsa").glob("*.json"))
NOT_AT_THIS_LEVEL = {
    50: "needs a TLS session",
    82: "SNI is sent by the prober",
    83: "SNI is sent by the prober",
}


def load_vector(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def parsed(text: str) -> TlsaRecord:
    usage, selector, kind, data = text.split(" ", 3)
    return TlsaRecord(
        usage=int(usage), selector=int(selector), matching_type=int(kind), data=bytes.fromhex(data)
    )


def matched(vector: dict[str, Any], chain: list[bytes], *, agility: bool = True) -> Match:
    records = [parsed(text) for text in vector["records"]]
    return match(
        chain,
        assess(records, max_records=64).usable,
        reference_ids=[Name(name) for name in vector["reference_ids"]],
        now=datetime.fromisoformat(vector["now"]),
        policy=Policy(),
        agility=agility,
    )


def chain_of(vector: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(item) for item in vector["chain"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_vector_gives_the_whole_match_it_states(path: Path) -> None:
    """Nothing of the result is left unasserted, so no field can be right by accident."""
    vector = load_vector(path)
    expect = vector["expect"]
    records = [parsed(text) for text in vector["records"]]
    result = matched(vector, chain_of(vector))
    reasons = {
        item.record: item.unusable_reason for item in assess(records, max_records=64).records
    }
    seen = {
        "unusable": {
            str(index): str(reasons[record])
            for index, record in enumerate(records)
            if reasons[record] is not None
        },
        "matched": result.matched,
        "usage": result.usage,
        "matching_records": [
            index for index, record in enumerate(records) if record in result.records
        ],
        "errors": [str(error) for error in result.errors],
        "notes": [str(note) for note in result.notes],
        "leaf_expired": result.leaf_expired,
        "leaf_not_yet_valid": result.leaf_not_yet_valid,
        "name_ok": result.name_ok,
        "anchor_in_handshake": result.anchor_in_handshake,
        "matched_without_agility": result.matched_without_agility,
    }
    assert seen == expect, vector["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_agility_the_outcome_is_the_one_announced(path: Path) -> None:
    """``matched_without_agility`` is what a call without agility then gives."""
    vector = load_vector(path)
    announced = matched(vector, chain_of(vector)).matched_without_agility
    assert matched(vector, chain_of(vector), agility=False).matched is announced


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_order_of_the_issuers_changes_nothing(path: Path) -> None:
    """Case 71 for every vector: leaf first, the rest in any order, with the same whole result."""
    vector = load_vector(path)
    leaf, *others = chain_of(vector) or [b""]
    if not vector["chain"]:
        assert matched(vector, []).errors
        return
    expected = matched(vector, [leaf, *others])
    for order in list(permutations(others))[:24]:
        assert matched(vector, [leaf, *order]) == expected


def test_the_vectors_cover_their_sections() -> None:
    """Cases 49 to 83 and rows C14 to C28 each have a vector, or stand in a list with the reason."""
    covered = {item for path in FILES for item in load_vector(path)["covers"]}
    cases = {f"case {number}" for number in range(49, 84) if number not in NOT_AT_THIS_LEVEL}
    assert cases - covered == set()
    assert {f"C{number}" for number in range(14, 29)} - covered == set()
    scenarios = {f"T{number}" for number in (*range(24, 35), *range(39, 46))}
    assert scenarios - covered == set()


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = VECTORS / "make_matching_vectors.py"
    spec = importlib.util.spec_from_file_location("make_matching_vectors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_script_makes(maker: ModuleType) -> None:
    """Nobody edits a vector by hand: change the script and run it."""
    made = maker.vectors()
    assert {path.name for path in FILES} == set(made)
    stale = [path.name for path in FILES if path.read_text() != maker.text_of(made[path.name])]
    assert stale == []
