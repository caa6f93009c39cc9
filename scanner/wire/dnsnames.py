"""Names in messages, remembered in every form that is asked for.

Theory. A reply names the same few names many times over (the question, its zone, the mail host),
and so do the replies that follow it, while turning labels into text, into canonical order and into
canonical octets costs more than all the rest of framing a record. So the uncompressed octets of a
name are the key to everything else, remembered for as long as they are in use.

``read_raw_name`` is what ``read_labels`` (scanner.wire.dnsframe) is, for names without oddities:
anything unusual raises ``OddNameError``, and whoever asked reads the message the plain way.
"""

from functools import lru_cache
from typing import NamedTuple

from scanner.model.canonical import CanonicalName
from scanner.model.names import MAX_NAME_OCTETS, Name, name_from_labels
from scanner.wire.dnsframe import HEADER_OCTETS

REMEMBERED_NAMES = 8_192
"""Names kept in all forms; about 600 octets each."""
MAX_USUAL_JUMPS = 8
"""Compression pointers in a row that are followed here; real names have one or two."""

NEAR_POINTER = 0xC0  # a compression pointer into the first 256 octets


class OddNameError(Exception):
    """Not a name of the usual kind: read the message the plain way."""


class NameForms(NamedTuple):
    """One name as text, in canonical order, and as canonical octets (RFC 4034 §6.2)."""

    name: Name
    labels: CanonicalName
    octets: bytes


@lru_cache(maxsize=REMEMBERED_NAMES)
def name_forms(raw: bytes) -> NameForms:
    """Return the forms of a name whose uncompressed octets are ``raw``, in any case of letters.

    ``raw`` must be whole and end with the root's empty label.
    """
    labels: list[bytes] = []
    position = 0
    while length := raw[position]:
        labels.append(raw[position + 1 : position + 1 + length])
        position += 1 + length
    # Length octets stay below the letters, so lower-casing changes letters only.
    canonical = tuple([label.lower() for label in reversed(labels)])
    return NameForms(name_from_labels(labels), canonical, raw.lower())


KnownNames = dict[int, tuple[bytes, int]]
"""By offset in one message: the uncompressed octets of the name there, and the jumps it takes."""


def read_raw_name(wire: bytes, start: int, known: KnownNames) -> tuple[bytes, int]:
    """Return the uncompressed octets of the name at ``start``, and the offset after it.

    ``known`` remembers what the pointers of this message lead to. Raises OddNameError, and
    IndexError where the message ends; whatever is accepted ``read_labels`` accepts too.
    """
    if wire[start] == NEAR_POINTER and (found := known.get(wire[start + 1])) is not None:
        # As nearly all owners are; what is known stands before this record.
        return found[0], start + 2
    raw, after, _ = _read(wire, start, known, 0)
    return raw, after


def _read(wire: bytes, start: int, known: KnownNames, jumps: int) -> tuple[bytes, int, int]:
    """Return octets, the offset after them, and how many jumps from here on they took."""
    position = start
    while length := wire[position]:
        if length < 0x40:
            position += length + 1
            continue
        target = (length & 0x3F) << 8 | wire[position + 1]
        # Strictly backwards, as ``read_labels`` has it; 0x40 and 0x80 are reserved.
        if length < 0xC0 or not HEADER_OCTETS <= target < start:
            raise OddNameError
        found = known.get(target)
        if found is None:
            if jumps >= MAX_USUAL_JUMPS:
                raise OddNameError
            rest, _, further = _read(wire, target, known, jumps + 1)
            known[target] = rest, further
        else:
            rest, further = found
        raw = wire[start:position] + rest if position > start else rest
        if len(raw) > MAX_NAME_OCTETS or further >= MAX_USUAL_JUMPS:
            raise OddNameError
        return raw, position + 2, further + 1
    position += 1
    if position - start > MAX_NAME_OCTETS:
        raise OddNameError
    return wire[start:position], position, 0
