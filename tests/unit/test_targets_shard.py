"""Shares of a target list: every domain in exactly one, and always in the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.names import Name
from scanner.model.ports import Target
from targets.shard import Shard, parse_shard, shard_of

NAMES = st.from_regex(r"[a-z0-9]{1,20}\.(example|test)", fullmatch=True).map(Name)


@given(names=st.lists(NAMES, unique=True, max_size=50), count=st.integers(1, 20))
def test_every_domain_is_in_exactly_one_share(names: list[Name], count: int) -> None:
    """However many shares there are."""
    targets = [Target(domain=name) for name in names]
    shares = [Shard(index=index, count=count).select(targets) for index in range(1, count + 1)]
    assert sorted(target.domain for share in shares for target in share) == sorted(names)


def test_shares_are_about_equal() -> None:
    """No machine gets twice the work of another."""
    sizes = [0] * 8
    for number in range(8_000):
        sizes[shard_of(Name(f"d{number}.example"), 8) - 1] += 1
    assert min(sizes) > 900
    assert max(sizes) < 1_100


def test_the_share_of_a_name_never_changes() -> None:
    """These values are a contract: a new version must not move domains between machines."""
    known = {"example.com": 6, "bank.test": 15, "a.b": 16}
    assert {name: shard_of(Name(name), 16) for name in known} == known


def test_a_share_is_written_as_index_of_count() -> None:
    """From 1, as people count."""
    assert parse_shard(" 3/4 ") == Shard(index=3, count=4)
    assert str(Shard(index=3, count=4)) == "3/4"


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/20000", "1/4/2"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """With a sentence that says what to write."""
    with pytest.raises(ValueError, match=r"I/N|from 1 to N"):
        parse_shard(text)
