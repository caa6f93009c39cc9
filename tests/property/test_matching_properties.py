"""Laws of matching that no example shows: for any data, any order, any set of records."""

import hashlib
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from minting import DAY, NOW, Minted, mint

from scanner.judge.matching import Match, match
from scanner.judge.tlsa import after_agility, assess, unmatched_parameters, unusable_reason
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason

HOST = Name("mx1.example.com")
ROOT = mint("root", ca=True)
CA = mint("ca", ROOT, ca=True)
CROSS = mint("ca", mint("other", ca=True), ca=True, serial=2)
OLD_CA = mint("ca", ROOT, ca=True, days=(-60, -1), serial=3)
LEAF = mint("leaf", CA, dns=[HOST])
OLD_LEAF = mint("leaf", CA, dns=[HOST], days=(-60, -1))
NAMELESS = mint("leaf", CA, dns=["other.test"])
SELF = mint("self", dns=[HOST])
STRANGER = mint("stranger", ca=True)
ALL = [ROOT, CA, CROSS, OLD_CA, LEAF, OLD_LEAF, NAMELESS, SELF, STRANGER]
LEAVES = st.sampled_from([LEAF, OLD_LEAF, NAMELESS, SELF])


def tlsa(usage: int, selector: int, kind: int, of: Minted) -> TlsaRecord:
    data = of.association(selector, kind)
    return TlsaRecord(usage=usage, selector=selector, matching_type=kind, data=data)


def records() -> st.SearchStrategy[TlsaRecord]:
    """Records about certificates that may or may not be presented."""
    return st.builds(
        tlsa, st.sampled_from([2, 3]), st.integers(0, 1), st.integers(0, 2), st.sampled_from(ALL)
    )


def matched(
    chain: list[bytes],
    usable: list[TlsaRecord],
    *,
    agility: bool = True,
    now: datetime = NOW,
    budget: int = 64,
) -> Match:
    return match(
        chain,
        usable,
        reference_ids=[HOST],
        now=now,
        policy=Policy(signature_budget=budget),
        agility=agility,
    )


def encoded(*items: Minted) -> list[bytes]:
    return [item.der for item in items]


chains = st.builds(
    lambda leaf, others: [leaf, *others], LEAVES, st.lists(st.sampled_from(ALL), max_size=7)
)


@given(
    usage=st.sampled_from([2, 3]),
    selector=st.integers(0, 1),
    kind=st.integers(0, 2),
    at=st.integers(0, 10_000),
    bits=st.integers(1, 255),
)
def test_data_with_any_octet_changed_never_matches(
    usage: int, selector: int, kind: int, at: int, bits: int
) -> None:
    """Neither the digest nor the full data; it may also become unusable, which is no match.

    With one exception that is none: a whole certificate in DNS is an anchor by its name and key
    (RFC 7671 §5.2.2), and another certificate of the same CA is another such anchor.
    """
    good = tlsa(usage, selector, kind, LEAF if usage == 3 else CA)
    data = bytearray(good.data)
    data[at % len(data)] ^= bits
    changed = TlsaRecord(usage=usage, selector=selector, matching_type=kind, data=bytes(data))
    assert matched(encoded(LEAF, CA, ROOT), [good]).matched
    result = matched(encoded(LEAF, CA, ROOT), [changed])
    if (usage, selector, kind) == (2, 0, 0):
        assert not result.matched or (result.anchor_in_handshake is False and CA.spki in data)
    else:
        assert not result.matched


@given(at=st.integers(0, 10_000), bits=st.integers(1, 255), selector=st.integers(0, 1))
def test_a_certificate_with_any_octet_changed_no_longer_matches_whole(
    at: int, bits: int, selector: int
) -> None:
    """Selector 0 sees every octet; selector 1 every octet of the key, and no other."""
    data = bytearray(LEAF.der)
    data[at % len(data)] ^= bits
    key = LEAF.der.index(LEAF.spki)
    inside = key <= at % len(data) < key + len(LEAF.spki)
    result = matched([bytes(data)], [tlsa(3, selector, 1, LEAF)])
    if selector == 0 or inside:
        assert not result.matched
    else:
        # Outside the key the outline may break, and then no key is found; nothing else matters.
        assert result.matched or not result.name_ok


@given(at=st.integers(0, 10_000), bits=st.integers(1, 255), usage=st.sampled_from([2, 3]))
def test_a_leaf_with_any_octet_changed_is_not_vouched_for_by_its_issuer(
    at: int, bits: int, usage: int
) -> None:
    """The signature covers it, or is it."""
    data = bytearray(LEAF.der)
    data[at % len(data)] ^= bits
    assert not matched([bytes(data), CA.der, ROOT.der], [tlsa(2, 0, 1, CA)]).matched


@given(chain=chains, usable=st.lists(records(), max_size=5), data=st.data())
def test_the_order_of_issuers_and_records_changes_nothing(
    chain: list[Minted], usable: list[TlsaRecord], data: st.DataObject
) -> None:
    """Cases 57 and 71: the whole result is the same, also with repetitions of issuers."""
    leaf, *others = encoded(*chain)
    expected = matched([leaf, *others], usable)
    order = data.draw(st.permutations([*others, *others[:2]]))
    shuffled = data.draw(st.permutations(usable))
    found = matched([leaf, *order], shuffled)
    assert set(found.records) == set(expected.records)
    for field in ("matched", "usage", "errors", "notes", "name_ok", "anchor_in_handshake"):
        assert getattr(found, field) == getattr(expected, field), field
    assert found.path_sha256 == expected.path_sha256


@given(chain=chains, usable=st.lists(records(), max_size=6), agility=st.booleans())
def test_a_result_agrees_with_itself(
    chain: list[Minted], usable: list[TlsaRecord], agility: bool
) -> None:
    """What every reader of a Match relies on."""
    result = matched(encoded(*chain), usable, agility=agility)
    assert result.matched == (result.errors == ())
    assert result.matched == (result.usage is not None)
    assert (result.anchor_in_handshake is not None) == (result.usage == 2)
    assert bool(result.path_sha256) == (result.usage == 2)
    assert set(result.records) <= set(usable)
    assert len(set(result.errors)) == len(result.errors)
    assert len(set(result.notes)) == len(result.notes)
    assert not (result.leaf_expired and result.leaf_not_yet_valid)
    if result.matched:
        assert any(record.usage == result.usage for record in result.records)
    assert all(unusable_reason(record) is None for record in usable)


@given(chain=chains, usable=st.lists(records(), max_size=6))
def test_agility_only_ever_takes_away(chain: list[Minted], usable: list[TlsaRecord]) -> None:
    """A client with digest agility accepts no more than one without, and both are foretold."""
    strict = matched(encoded(*chain), usable, agility=True)
    lenient = matched(encoded(*chain), usable, agility=False)
    assert lenient.matched or not strict.matched
    assert strict.matched_without_agility is lenient.matched_without_agility is lenient.matched
    assert strict.records == lenient.records
    risk = lenient.matched and not strict.matched
    assert (Reason.AGILITY_RISK in strict.notes) is (Reason.AGILITY_RISK in lenient.notes) is risk


@given(usable=st.lists(records(), max_size=10))
def test_the_laws_of_agility(usable: list[TlsaRecord]) -> None:
    """RFC 7671 §9: a subset, the same again, every combination represented, full data kept."""
    kept = after_agility(usable)
    assert set(kept) <= set(usable)
    assert after_agility(kept) == kept
    assert {(item.usage, item.selector) for item in kept} == {
        (item.usage, item.selector) for item in usable
    }
    assert [item for item in usable if item.matching_type == 0] == [
        item for item in kept if item.matching_type == 0
    ]
    for item in usable:
        if item.matching_type == 2:
            assert item in kept


@given(chain=chains, usable=st.lists(records(), min_size=1, max_size=5), extra=records())
def test_a_further_record_without_agility_only_ever_helps(
    chain: list[Minted], usable: list[TlsaRecord], extra: TlsaRecord
) -> None:
    """Case 79: records are alternatives."""
    before = matched(encoded(*chain), usable, agility=False)
    after = matched(encoded(*chain), [*usable, extra], agility=False)
    assert after.matched or not before.matched
    assert set(before.records) <= set(after.records)


@given(chain=chains, usable=st.lists(records(), max_size=6))
def test_each_record_is_judged_by_itself(chain: list[Minted], usable: list[TlsaRecord]) -> None:
    """``records`` of a set is the union of those of its members, and so is success."""
    whole = matched(encoded(*chain), usable, agility=False)
    alone = [matched(encoded(*chain), [record], agility=False) for record in usable]
    assert set(whole.records) == {record for item in alone for record in item.records}
    assert whole.matched == any(item.matched for item in alone)


@settings(max_examples=60)
@given(chain=chains, usable=st.lists(records(), max_size=5), days=st.integers(-100, 100))
def test_usage_3_does_not_know_what_time_it_is(
    chain: list[Minted], usable: list[TlsaRecord], days: int
) -> None:
    """RFC 7672 §3.1.1: dates are ignored."""
    usable = [record for record in usable if record.usage == 3]
    today = matched(encoded(*chain), usable)
    other_day = matched(encoded(*chain), usable, now=NOW + days * DAY)
    assert today.matched == other_day.matched
    assert today.records == other_day.records


@given(chain=chains, usable=st.lists(records(), max_size=5), budget=st.integers(0, 12))
def test_a_smaller_budget_never_turns_failure_into_success(
    chain: list[Minted], usable: list[TlsaRecord], budget: int
) -> None:
    """It may lose a match, and then says so first instead of blaming the partner."""
    full = matched(encoded(*chain), usable)
    tight = matched(encoded(*chain), usable, budget=budget)
    assert full.matched or not tight.matched
    assert set(tight.records) <= set(full.records)
    if full.matched and not tight.matched:
        assert tight.errors[0] is Reason.CHAIN_WORK_LIMIT


@given(usable=st.lists(records(), max_size=8), hit=st.sets(st.integers(0, 7)))
def test_a_published_combination_is_unmatched_or_matched(
    usable: list[TlsaRecord], hit: set[int]
) -> None:
    """RFC 7671 §8.1: the two sets share nothing and are all there is."""
    live = [record for index, record in enumerate(usable) if index in hit]
    unmatched = unmatched_parameters(usable, live)
    covered = {(item.usage, item.selector, item.matching_type) for item in live}
    published = {(item.usage, item.selector, item.matching_type) for item in usable}
    assert set(unmatched) | covered == published
    assert set(unmatched) & covered == set()
    assert list(unmatched) == sorted(unmatched)


@given(usable=st.lists(records(), max_size=12), limit=st.integers(0, 12), data=st.data())
def test_the_assessment_does_not_depend_on_the_order_of_an_answer(
    usable: list[TlsaRecord], limit: int, data: st.DataObject
) -> None:
    """Which records are kept, which are extra copies and what is wrong with each."""
    one = assess(usable, max_records=limit)
    two = assess(data.draw(st.permutations(usable)), max_records=limit)
    assert set(one.usable) == set(two.usable)
    assert set(one.records) == set(two.records)
    assert sorted(map(repr, one.duplicates)) == sorted(map(repr, two.duplicates))
    assert one.truncated == two.truncated
    assert len(one.records) + len(one.duplicates) == len(usable)
    assert len(one.usable) <= limit


def test_the_moment_decides_for_usage_2() -> None:
    """The same chain, a second before and after its end."""
    record = tlsa(2, 0, 1, CA)
    end = NOW + 60 * DAY
    second = timedelta(seconds=1)
    assert matched(encoded(LEAF, CA), [record], now=end).matched
    late = matched(encoded(LEAF, CA), [record], now=end + second)
    assert late.errors == (Reason.CERTIFICATE_EXPIRED,)
    assert late.records == (record,)
    assert hashlib.sha256(CA.der).digest() == record.data
