"""``record``: a frozen, keyword-only, slotted dataclass that costs a third as much to make.

A frozen dataclass sets every field through ``object.__setattr__``, which is most of the time it
takes to make one. Validating one domain makes some fifty of them with six hundred fields in all,
about a tenth of everything that is not cryptography.

So these are frozen where it counts, for the type checker that every change must pass, and
ordinary for the interpreter. Equality and hash are by fields, as in a frozen dataclass. It is for
values made thousands of times a second and for nothing else.

Writing and compiling the methods of a dataclass takes half of all importing. So how a record is
shown, compared and hashed is compiled when it first is, which most records never are.

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
    made = dataclass(kw_only=True, slots=True, repr=False, eq=False)(cls)
    _add_methods(made)
    return made


def _add_methods(cls: type[Any]) -> None:
    """Give ``cls`` the methods of a dataclass; the first call of one puts its own in its place."""

    def first_repr(self: Any) -> str:
        shown = [f"{one.name}={{self.{one.name}!r}}" for one in fields(cls) if one.repr]
        name = "{self.__class__.__qualname__}"
        return str(_put(cls, "__repr__", "self", f"return f'{name}({', '.join(shown)})'")(self))

    def first_eq(self: Any, other: object) -> Any:
        names = [one.name for one in fields(cls) if one.compare]
        ours, theirs = (_tuple(of, names) for of in ("self", "other"))
        alike = f"{ours} == {theirs} if other.__class__ is self.__class__ else NotImplemented"
        return _put(cls, "__eq__", "self, other", f"return {alike}")(self, other)

    def first_hash(self: Any) -> int:
        names = [one.name for one in fields(cls) if (one.compare if one.hash is None else one.hash)]
        hashed = _put(cls, "__hash__", "self", f"return hash({_tuple('self', names)})")
        return cast(int, hashed(self))

    own = {"__repr__": first_repr, "__eq__": first_eq, "__hash__": first_hash}
    for name, method in own.items():
        if name == "__hash__" or name not in cls.__dict__:
            method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)


def _put(cls: type[Any], name: str, arguments: str, body: str) -> Callable[..., Any]:
    """Compile a method of ``cls``, put it there, and return it."""
    namespace: dict[str, Any] = {}
    exec(f"def {name}({arguments}):\n    {body}", namespace)  # noqa: S102 - of field names only
    method = cast(Callable[..., Any], namespace[name])
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    setattr(cls, name, method)
    return method


def _tuple(of: str, names: list[str]) -> str:
    return "(" + "".join(f"{of}.{name}, " for name in names) + ")"


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
