"""Messages between our own processes as octets: pickle, with a short way for what is many.

A check has some forty members of closed sets (``StrEnum``) and a handful of questions. Pickle asks
Python code for each of them, on both sides; a number that both sides know takes a quarter off a
message's time. Both sides run the same code: one has started the other.
"""

import copyreg
import io
import pickle
from enum import Enum
from types import ModuleType
from typing import Any

from scanner.model import (
    dnssec_reasons,
    dnssec_words,
    meter,
    observation,
    reasons,
    vocabulary,
    zones,
)
from scanner.model.observation import Question

_MODULES: tuple[ModuleType, ...] = (
    vocabulary,
    reasons,
    dnssec_reasons,
    dnssec_words,
    observation,
    zones,
    meter,
)
_CLASSES = tuple(
    dict.fromkeys(
        one
        for module in _MODULES
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Enum) and len(one)
    )
)
_MEMBERS: tuple[Enum, ...] = tuple(member for one in _CLASSES for member in one)
_NUMBERS = {(member.__class__, member.name): number for number, member in enumerate(_MEMBERS)}


def dumps(message: object) -> bytes:
    """Return ``message`` as octets for ``pickle.loads``."""
    octets = io.BytesIO()
    pickler = pickle.Pickler(octets, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _DISPATCH
    pickler.dump(message)
    return octets.getvalue()


def member_of(number: int) -> Enum:
    """Return the member of a closed set that has this number in both processes."""
    return _MEMBERS[number]


def _reduce_member(member: Enum) -> tuple[Any, tuple[int]]:
    return member_of, (_NUMBERS[member.__class__, member.name],)


def _reduce_question(question: Question) -> tuple[Any, tuple[Any, ...]]:
    return Question, (question.name, question.rdtype)


_DISPATCH: dict[type, Any] = {
    **copyreg.dispatch_table,
    **dict.fromkeys(_CLASSES, _reduce_member),
    Question: _reduce_question,
}
