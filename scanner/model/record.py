"""``record``: a frozen, keyword-only, slotted dataclass that costs a third as much to make.

A frozen dataclass sets every field through ``object.__setattr__``, which is most of the time it
takes to make one. Validating one domain makes some fifty of them with six hundred fields in all,
about a tenth of everything that is not cryptography.

So these are frozen where it counts, for the type checker that every change must pass, and
ordinary for the interpreter. Equality and hash are by fields, as in a frozen dataclass. It is for
values made thousands of times a second and for nothing else.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[_T]) -> type[_T]:
    """Make of ``cls`` what ``dataclass(frozen=True, kw_only=True, slots=True)`` does, cheaper."""
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(cls)
