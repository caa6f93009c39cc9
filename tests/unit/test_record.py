"""Records behave as the frozen dataclasses they stand for, but for refusing to be changed."""

import copy
import pickle
from dataclasses import asdict, dataclass, field, replace

import pytest

from scanner.model.record import maker, record


@record
class Cheap:
    """A record with every kind of field."""

    name: str
    size: int = 3
    secret: str = field(default="s", repr=False)
    note: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """The same, as the library makes it."""

    name: str
    size: int = 3
    secret: str = field(default="s", repr=False)
    note: str = field(default="", compare=False)


@record
class Other:
    """A record with a field of the same name."""

    name: str
    size: int = 3


@record
class Shown:
    """A record that says itself how it is shown and compared."""

    name: str

    def __repr__(self) -> str:
        return "shown"


VALUES = (
    {"name": "a"},
    {"name": "a", "size": 4},
    {"name": "b", "secret": "t"},
    {"name": "a", "note": "n"},
    {"name": "{x!r} 'quoted' \"twice\""},
)


@pytest.mark.parametrize("values", VALUES)
def test_it_is_shown_and_hashed_as_a_frozen_dataclass(values) -> None:
    """The first time and afterwards."""
    for _ in range(2):
        assert repr(Cheap(**values)) == repr(Plain(**values)).replace("Plain", "Cheap")
        assert hash(Cheap(**values)) == hash(Plain(**values))


@pytest.mark.parametrize("first", VALUES)
@pytest.mark.parametrize("second", VALUES)
def test_it_is_equal_where_a_frozen_dataclass_is(first, second) -> None:
    """By the fields that are compared."""
    assert (Cheap(**first) == Cheap(**second)) == (Plain(**first) == Plain(**second))
    assert (Cheap(**first) != Cheap(**second)) == (Plain(**first) != Plain(**second))


def test_another_class_is_never_equal() -> None:
    """Whichever side is asked, and whether or not it was asked before."""
    for _ in range(2):
        assert Cheap(name="a") != Other(name="a")
        assert Other(name="a") != Cheap(name="a")
        assert Cheap(name="a") != "a"


def test_it_serves_as_a_key() -> None:
    """Equal records are one key."""
    assert len({Cheap(name="a"), Cheap(name="a", note="n"), Cheap(name="b")}) == 2


def test_it_is_copied_pickled_and_replaced() -> None:
    """As a dataclass with slots."""
    one = Cheap(name="a", size=9)
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert replace(one, size=3) == Cheap(name="a")
    assert asdict(one) == {"name": "a", "size": 9, "secret": "s", "note": ""}
    assert not hasattr(one, "__dict__")
    assert maker(Cheap)(name="a", size=9) == one


def test_its_own_way_to_be_shown_stands() -> None:
    """As in a dataclass."""
    assert repr(Shown(name="a")) == "shown"
    assert Shown(name="a") == Shown(name="a") != Shown(name="b")
