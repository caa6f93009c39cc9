"""What the state file keeps is what it was given."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model.monitoring import ScheduleEntry, Suspicion
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile
from scanner.store.codec import Codec

ZONES = st.sampled_from((UTC, timezone(timedelta(hours=5, minutes=30))))
TIMES = st.datetimes(timezones=ZONES)
TEXTS = st.text(max_size=40)
MAYBE_TIMES = st.none() | TIMES
STATES = st.builds(
    State,
    entity_type=st.sampled_from(EntityType),
    entity=TEXTS,
    profile=st.sampled_from(Profile),
    status=TEXTS,
    reason=st.none() | TEXTS,
    phase=st.sampled_from(DeliveryPhase),
    since=TIMES,
    last_seen_at=TIMES,
    failing_since=MAYBE_TIMES,
    recent_changes=st.lists(TIMES, max_size=4).map(tuple),
    recent_doubts=st.lists(TIMES, max_size=4).map(tuple),
    flapping=st.booleans(),
)
SUSPICIONS = st.builds(
    Suspicion,
    entity_type=st.sampled_from(EntityType),
    entity=TEXTS,
    profile=st.sampled_from(Profile),
    status=TEXTS,
    reason=st.none() | TEXTS,
    phase=st.sampled_from(DeliveryPhase),
    first_seen_at=TIMES,
    confirm_after=TIMES,
    looks=st.integers(0, 2**40),
)
ENTRIES = st.builds(
    ScheduleEntry,
    domain=TEXTS.map(Name),
    due_at=TIMES,
    last_checked_at=MAYBE_TIMES,
    failing_since=MAYBE_TIMES,
)


@settings(max_examples=60)
@given(value=STATES | SUSPICIONS | ENTRIES)
def test_every_noun_comes_back_as_it_was(value: State | Suspicion | ScheduleEntry) -> None:
    """Every field, also texts no name has; enums are enums again."""
    codec = Codec(type(value))
    again = codec.decode(codec.encode(value))
    assert again == value
    for field in fields(value):
        before, after = getattr(value, field.name), getattr(again, field.name)
        assert type(before) is type(after) or isinstance(before, datetime)
        assert isinstance(before, Enum) == isinstance(after, Enum)


@settings(max_examples=60)
@given(
    text=st.text(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([field.name for field in fields(State)]), inner, max_size=5
            )
        ),
        max_leaves=6,
    ).map(repr)
)
def test_any_other_text_is_a_declared_error(text: str) -> None:
    """A damaged document is a ValueError, never another exception."""
    with pytest.raises(ValueError, match=r".*"):
        Codec(State).decode(text)


def test_a_field_of_an_unknown_type_cannot_be_kept() -> None:
    """Better at the start than a state that silently lacks something."""

    class Odd:
        __dataclass_fields__ = State.__dataclass_fields__
        entity: dict[str, int]

    with pytest.raises((TypeError, KeyError)):
        Codec(Odd)  # type: ignore[type-var]
