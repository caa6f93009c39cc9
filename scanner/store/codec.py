"""Between the nouns of monitoring and the JSON that the store keeps of them.

A codec is made from the dataclass itself, so that a field added to the model is kept without a
change here. Fields that have their default are left out; a reader of the next version fills in
what an older one did not know. Times are ISO 8601 with the zone, enums their values.
"""

import dataclasses
import itertools
import json
import types
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import (
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


_T = TypeVar("_T", bound=_Dataclass)
Convert = Callable[[Any], Any]

CHUNK = 512
"""Documents parsed in one call."""


class Codec(Generic[_T]):
    """Encodes and decodes one dataclass whose fields are texts, numbers, flags, enums and times."""

    def __init__(self, cls: type[_T]) -> None:
        """Raises TypeError when a field has a type that is not kept."""
        self._cls = cls
        hints = get_type_hints(cls)
        converters = {one.name: _converters(hints[one.name]) for one in dataclasses.fields(cls)}
        self._writers = [
            (one.name, converters[one.name][0], one.default) for one in dataclasses.fields(cls)
        ]
        self._readers = [(name, read) for name, (_, read) in converters.items() if read is not None]

    def encode(self, value: _T) -> str:
        """Return ``value`` as JSON text (ASCII)."""
        document: dict[str, Any] = {}
        for name, write, default in self._writers:
            member = getattr(value, name)
            if member is default or member == default:
                continue
            document[name] = member if write is None else write(member)
        return json.dumps(document, separators=(",", ":"))

    def decode(self, text: str) -> _T:
        """Return what ``encode`` was given; raises ValueError for anything else."""
        return next(self.decode_all((text,)))

    def decode_all(self, texts: Iterable[str]) -> Iterator[_T]:
        """Yield each value that ``encode`` was given; raises ValueError for anything else."""
        cls, readers = self._cls, self._readers
        texts = iter(texts)
        while chunk := list(itertools.islice(texts, CHUNK)):
            try:
                documents = json.loads(f"[{','.join(chunk)}]")  # one call for many is much faster
                if len(documents) != len(chunk):
                    raise ValueError(f"cannot decode a {cls.__name__}: not one document each")
                for document in documents:
                    for name, read in readers:
                        member = document.get(name)
                        if member is not None:
                            document[name] = read(member)
                    yield cls(**document)
            except (AttributeError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(f"cannot decode a {cls.__name__}: {error!r}") from error


def _converters(hint: Any) -> tuple[Convert | None, Convert | None]:
    """Return how to write and how to read a value that is not None; None where JSON has it."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        members = [one for one in get_args(hint) if one is not type(None)]
        if len(members) != 1:
            raise TypeError(f"{hint} is not kept")
        write, read = _converters(members[0])
        return (None if write is None else _unless_none(write)), read
    if origin is tuple and get_args(hint)[1:] == (Ellipsis,):
        write, read = _converters(get_args(hint)[0])
        return _each(write, list), _each(read, tuple)
    if hint is datetime:
        return datetime.isoformat, datetime.fromisoformat
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return None, {member.value: member for member in hint}.__getitem__
    if getattr(hint, "__supertype__", hint) in (str, int, float, bool):
        return None, None
    raise TypeError(f"{hint} is not kept")


def _unless_none(write: Convert) -> Convert:
    return lambda value: None if value is None else write(value)


def _each(convert: Convert | None, make: Callable[[Any], Any]) -> Convert:
    return lambda values: make(values if convert is None else map(convert, values))
