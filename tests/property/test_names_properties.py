"""Laws of names over arbitrary input."""

from hypothesis import given
from hypothesis import strategies as st

from scanner.model.names import (
    InvalidNameError,
    Name,
    labels_of,
    name_from_labels,
    parent_of,
    parse_domain,
    to_unicode,
)


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_a_declared_error(text: str) -> None:
    """Nothing else is raised, and a name is in normal form: parsing it again changes nothing."""
    try:
        name = parse_domain(text)
    except InvalidNameError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert len(name) <= 253
    assert parse_domain(name) == name
    assert isinstance(to_unicode(name), str)


label = st.binary(min_size=1, max_size=63)


@given(st.lists(label, min_size=1, max_size=4))
def test_wire_labels_survive_escaping_one_by_one(labels: list[bytes]) -> None:
    """The number of labels is kept whatever octets they hold."""
    assert len(labels_of(name_from_labels(labels))) == len(labels)


@given(st.lists(label, min_size=1, max_size=3), st.lists(label, min_size=1, max_size=3))
def test_different_wire_names_have_different_spellings(
    left: list[bytes], right: list[bytes]
) -> None:
    """Escaping is injective up to ASCII case, so no name can pose as another."""
    same = [part.lower() for part in left] == [part.lower() for part in right]
    assert (name_from_labels(left) == name_from_labels(right)) is same


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_labels_join_back_to_the_name(text: str) -> None:
    """Splitting loses nothing."""
    name = Name(f"{text}.test")
    assert ".".join(labels_of(name)) == name


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=5), st.just(b"a.b")), max_size=4))
def test_a_parent_is_the_name_without_its_first_label(labels: list[bytes]) -> None:
    """Escaped dots are no boundaries, and the root is its own parent."""
    assert parent_of(name_from_labels(labels)) == name_from_labels(labels[1:])
