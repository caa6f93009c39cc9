"""Our validator beside BIND's delv and libunbound's unbound-host, over zones signed by others.

More than six hundred questions over more than two hundred and fifty zones: healthy ones of every
algorithm and kind of denial, and one for every fault. What is expected stands in the table
(corpus_cases.py, corpus_signatures.py and corpus_denial.py in tests/support); where delv or
unbound-host says something else, the paragraph that explains it stands in
tests/vectors/dnssec/corpus_exceptions.toml.
danewatch has no exceptions.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import trio
from corpus_cases import Row
from corpus_denial import ROWS, ZONES
from corpus_oracles import (
    BOGUS,
    INDETERMINATE,
    SECURE,
    Asked,
    Heard,
    ask_delv,
    ask_unbound_host,
)
from corpus_ours import validate_all
from corpus_servers import served
from corpus_zones import Corpus, sign_corpus

from scanner.judge.dnssec.algorithms import SUPPORTED_ALGORITHMS
from scanner.judge.dnssec.policy import DnssecPolicy, Sha1Policy
from scanner.model.dnssec import Validation
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.registry_dnssec import DNSSEC_REASONS
from scanner.run.clock import SystemClock

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers, pytest.mark.timeout(600)]

EXCEPTIONS = Path(__file__).parents[1] / "vectors" / "dnssec" / "corpus_exceptions.toml"
MINIMUM_ROWS = 300
MINIMUM_BROKEN = 150
MINIMUM_BROKEN_ZONES = 100
BY_NAME = {row.name: row for row in ROWS}


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """One documented difference of another validator."""

    rows: tuple[str, ...]
    validator: str
    says: str
    rfc: str
    because: str

    def covers(self, row: Row, validator: str) -> bool:
        """Return whether it is about this row."""
        return validator == self.validator and any(fnmatchcase(row.name, p) for p in self.rows)


def load_exceptions() -> list[KnownDifference]:
    """Read the file of exceptions."""
    found = tomllib.loads(EXCEPTIONS.read_text())["exception"]
    return [KnownDifference(**{**item, "rows": tuple(item["rows"])}) for item in found]


KNOWN = load_exceptions()


@dataclass(frozen=True, slots=True)
class Results:
    """What each validator says to every question."""

    corpus: Corpus
    port: int
    ours: dict[Asked, Validation]
    delv: dict[Asked, Heard]
    unbound_host: dict[Asked, Heard]


@pytest.fixture(scope="module")
def results(server_directory: Path) -> Iterator[Results]:
    """The corpus signed and served, and every question asked of all three at once."""
    corpus = sign_corpus(server_directory, ZONES)
    questions = [row.asked for row in ROWS]
    with served(corpus) as port:
        yield Results(
            corpus,
            port,
            trio.run(validate_all, corpus, port, questions),
            ask_delv(corpus, port, questions),
            ask_unbound_host(corpus, port, questions),
        )


def agrees(heard: Heard, row: Row) -> bool:
    """Return whether another validator says what the table says.

    Neither tells "broken" from "cannot be had": a failure is a failure. Nor do they say what a
    broken answer would have been.
    """
    if row.status in (BOGUS, INDETERMINATE):
        return heard.status in (BOGUS, INDETERMINATE)
    return (heard.status, heard.outcome) == (row.status, row.outcome)


def compare(validator: str, heard: Heard, row: Row) -> None:
    """Assert that a validator agrees with the table, or differs as its exception says."""
    known = [item for item in KNOWN if item.covers(row, validator)]
    if known and not agrees(heard, row):
        assert heard.status in {item.says for item in known}, heard
        return
    assert agrees(heard, row), heard


@pytest.mark.parametrize("name", BY_NAME)
def test_danewatch_gives_status_outcome_and_reason_of_the_table(
    results: Results, name: str
) -> None:
    """Ours has no exceptions; where the table names a reason, ours is that reason."""
    row = BY_NAME[name]
    got = results.ours[row.asked]
    assert got.status == row.status, got
    assert got.outcome == row.outcome, got
    assert row.reason is None or got.reason == row.reason, got.findings
    assert (got.reason is None) == (row.status == SECURE)
    assert got.own_fault is None


@pytest.mark.parametrize("name", BY_NAME)
def test_delv_agrees_with_the_table(results: Results, name: str) -> None:
    """BIND's validator says the same, or differs for a documented reason."""
    row = BY_NAME[name]
    compare("delv", results.delv[row.asked], row)


@pytest.mark.parametrize("name", BY_NAME)
def test_unbound_host_agrees_with_the_table(results: Results, name: str) -> None:
    """Unbound's validator says the same, or differs for a documented reason."""
    row = BY_NAME[name]
    compare("unbound-host", results.unbound_host[row.asked], row)


def test_the_corpus_is_large_and_half_of_it_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At least 300 distinct cases, each one question about one zone, and enough broken ones.

    A case is a zone and a question; no zone and no question stands there twice. What is counted
    is printed.
    """
    cases = {(row.zone, row.asked) for row in ROWS}
    zones = {row.zone for row in ROWS}
    broken = {row.zone for row in ROWS if row.status == BOGUS}
    changed = {zone.apex for zone in ZONES if zone.broken or zone.ds or not zone.served}
    told = Counter(row.status for row in ROWS)
    with capsys.disabled():
        print(
            f"\n{len(cases)} distinct cases over {len(zones)} zones asked, {len(changed)} of them "
            f"changed after signing and {len(broken)} with a bogus answer: "
            + ", ".join(f"{count} {status}" for status, count in sorted(told.items()))
        )
    assert len(cases) == len(BY_NAME) == len(ROWS) >= MINIMUM_ROWS
    assert len({zone.apex for zone in ZONES}) == len(ZONES)
    assert told[BOGUS] >= MINIMUM_BROKEN
    assert len(broken) >= MINIMUM_BROKEN_ZONES


def test_three_validators_agree_on_at_least_three_hundred_cases(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours, delv's and unbound-host's status are the same; the rest stands among the exceptions."""
    same = [
        row
        for row in ROWS
        if results.ours[row.asked].status == row.status
        and agrees(results.delv[row.asked], row)
        and agrees(results.unbound_host[row.asked], row)
    ]
    told = Counter(row.status for row in same)
    with capsys.disabled():
        print(
            f"\nall three agree on {len(same)} of {len(ROWS)} cases: "
            + ", ".join(f"{count} {status}" for status, count in sorted(told.items()))
        )
    assert len(same) >= MINIMUM_ROWS
    assert told[BOGUS] >= MINIMUM_BROKEN
    differ = {row.name for row in ROWS} - {row.name for row in same}
    assert all(any(fnmatchcase(name, p) for item in KNOWN for p in item.rows) for name in differ)


def test_every_algorithm_signs_a_zone_of_the_corpus() -> None:
    """Both signers, all algorithms that validate, and both kinds of SHA-1."""
    used = {key.algorithm for zone in ZONES for key in zone.keys if zone.signer != "none"}
    assert used == SUPPORTED_ALGORITHMS
    assert {zone.signer for zone in ZONES} == {"bind", "ldns", "none"}
    assert {digest for zone in ZONES for digest in zone.digests} == {1, 2, 4}


NOT_SHOWN = {
    R.UPSTREAM_TIMEOUT: "a resolver's silence",
    R.UPSTREAM_REFUSED: "a resolver's refusal",
    R.UPSTREAM_RCODE: "a resolver's error",
    R.UPSTREAM_NO_DNSSEC: "a resolver that strips",
    R.RESPONSE_MALFORMED: "no server here sends anything malformed",
    R.ALIAS_LOOP: "unbound answers SERVFAIL, upstream-servfail",
    R.ALIAS_TOO_LONG: "unbound stops at eleven links",
    R.WORK_LIMIT: "dearer zones than honest servers load; see tests/bench",
    R.NO_ANCHOR: "our configuration",
    R.ANCHOR_NOT_SIGNING: "our configuration",
    R.ANCHOR_UNSUPPORTED: "our configuration",
    R.DS_REFERRAL: "unbound never hands on a referral",
    R.DNSKEY_UNFETCHABLE: "both questions go to the same servers here",
    R.CLOCK_DOUBTFUL: "our clock",
    R.ALIAS_UNSIGNED: "the question for the DS finds the alias first, ds-is-alias",
    R.DNAME_MISMATCH: "servers make the CNAME as they should",
    R.NSEC_OUT_OF_ZONE: "NSD serves no such record; as denial-missing",
    R.NSEC_EXPANDED: "NSD expands no NSEC",
    R.NSEC3_HASH_UNKNOWN: "NSD does not start with such a zone",
    R.NSEC3_PARAMS_DIFFER: "NSD serves one chain",
    R.WILDCARD_ENCLOSER_WRONG: "NSD expands the right wildcard",
}
"""Faults of the taxonomy that no zone on these servers can show, and why; unit tests do."""


def test_every_fault_that_a_zone_can_show_is_shown(results: Results) -> None:
    """As a reason or beside one; what is missing is missing for a reason."""
    shown: set[R] = set()
    for validation in results.ours.values():
        shown |= {noted.reason for noted in validation.findings}
        shown |= {validation.reason} if validation.reason else set()
    faults = {reason for reason, entry in DNSSEC_REASONS.items() if entry.state is not None}
    assert faults - shown == NOT_SHOWN.keys()


@pytest.mark.parametrize("number", range(len(KNOWN)))
def test_every_exception_is_in_use(results: Results, number: int) -> None:
    """An exception whose rows all agree by now has to go; each says where it is written."""
    item = KNOWN[number]
    heard = results.delv if item.validator == "delv" else results.unbound_host
    rows = [row for row in ROWS if item.covers(row, item.validator)]
    assert any(not agrees(heard[row.asked], row) for row in rows)
    assert item.rfc.startswith("RFC ")
    assert "§" in item.rfc


def test_validating_sha1_agrees_with_both(results: Results) -> None:
    """With sha1 = "validate", zones of algorithms 5 and 7 are what delv and unbound-host say."""
    rows = [row for row in ROWS if row.zone in ("alg5.test.", "alg7.test.", "alg5-broken.test.")]
    assert rows
    policy = DnssecPolicy(sha1=Sha1Policy.VALIDATE)
    questions = [row.asked for row in rows]

    async def validate() -> dict[Asked, Validation]:
        return await validate_all(results.corpus, results.port, questions, policy=policy)

    found = trio.run(validate)
    for row in rows:
        ours = found[row.asked].status
        assert ours == results.delv[row.asked].status == results.unbound_host[row.asked].status


@pytest.mark.parametrize(
    ("owner", "days", "status"),
    [("mx.expired.test.", -5, SECURE), ("mx.nsec.test.", 25, BOGUS), ("mx.early.test.", 5, SECURE)],
)
def test_signatures_are_judged_as_of_the_time_given(
    results: Results, owner: str, days: int, status: str
) -> None:
    """What is expired now was fine then, and what is fine now will have expired."""
    at = SystemClock().now() + timedelta(days=days)

    async def validate() -> dict[Asked, Validation]:
        return await validate_all(results.corpus, results.port, [(owner, "A")], at=at)

    assert trio.run(validate)[owner, "A"].status == status
