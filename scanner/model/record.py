"""``record``: a frozen, keyword-only, slotted dataclass that costs a third as much to make.

A frozen dataclass sets every field through ``object.__setattr__``, which is most of the time it
takes to make one. Validating one domain makes some fifty of them with six hundred fields in all,
about a tenth of everything that is not cryptography.

So these are frozen where it counts, for the type checker that every change must pass, and
ordinary for the interpreter. Equality and hash are by fields, as in a frozen dataclass. It is for
values made thousands of times a second and for nothing else.

``maker`` halves what is left of the cost. Calling a class goes through its metaclass, which packs
the arguments into a dictionary and unpacks them again; calling a function does not.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ParamSpec, TypeVar, cast, dataclass_transform

_T = TypeVar("_T")
_P = ParamSpec("_P")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[_T]) -> type[_T]:
    """Make of ``cls`` what ``dataclass(frozen=True, kw_only=True, slots=True)`` does, cheaper."""
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(cls)


def maker(cls: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a function that makes what calling ``cls``, a record, makes, in half the time.

    Its fields have plain defaults or none, and it has no ``__post_init__``; else ValueError.
    """
    arguments, lines = [], []
    names: dict[str, Any] = {"new": object.__new__, "cls": cls}
    for number, one in enumerate(fields(cast(Any, cls))):
        if one.default_factory is not MISSING or not one.init or not one.kw_only:
            raise ValueError(f"{one.name} is not a plain field")
        lines.append(f"    self.{one.name} = {one.name}")
        if one.default is MISSING:
            arguments.append(one.name)
        else:
            names[f"default_{number}"] = one.default
            arguments.append(f"{one.name}=default_{number}")
    if hasattr(cls, "__post_init__"):
        raise ValueError("what comes after its fields would be left out")
    source = "\n".join(
        (f"def make(*, {', '.join(arguments)}):", "    self = new(cls)", *lines, "    return self")
    )
    exec(source, names)  # noqa: S102 - of field names, as the dataclass itself was made
    return cast(Callable[_P, _T], names["make"])
