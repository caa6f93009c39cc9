"""Cuts a DNS message into its parts without reading any RDATA (RFC 1035 §4.1).

Why not ``dns.message.from_wire``: it refuses a whole message for one TLSA record whose digest has
the wrong length (which RFC 7672 wants counted as "TLSA exists, unusable"), it keeps only the last
of two CNAME records at one owner, and it costs a hundred microseconds where this costs four. It
stays the oracle this module is tested against.

Rules
- Only ``MalformedResponseError`` leaves this module, whatever the octets are.
- Work is bounded: a name costs at most 127 labels and 127 jumps, each jump goes strictly backwards,
  and a record takes at least 11 of the at most 65,535 octets, so a message holds under 6,000.
- Names come out as ``Name``: lower case, escaped, so comparing them is comparing strings.
"""

import struct
from typing import NamedTuple

from scanner.model.names import MAX_NAME_OCTETS, Name, name_from_labels

HEADER_OCTETS = 12
_HEADER = struct.Struct("!6H")  # RFC 1035 §4.1.1
_FIXED = struct.Struct("!HHIH")  # RFC 1035 §4.1.3: type, class, TTL, length of RDATA
MAX_MESSAGE_OCTETS = 65_535  # RFC 1035 §4.2.2, the TCP length field
MAX_NAME_JUMPS = 127
"""Compression pointers followed for one name; a name has at most 127 labels (RFC 1035 §3.1)."""


class MalformedResponseError(ValueError):
    """The octets are not the DNS response they should be; the message says what is wrong."""


class RawRecord(NamedTuple):
    """One resource record; RDATA is ``wire[start:end]``. A tuple, because thousands are made."""

    owner: Name
    rdtype: int
    rdclass: int
    ttl: int
    start: int
    end: int


class Header(NamedTuple):
    """The fixed header (RFC 1035 §4.1.1): ``flags`` is the whole second 16-bit word."""

    query_id: int
    flags: int
    questions: int
    answers: int
    authorities: int
    additionals: int


class RawQuestion(NamedTuple):
    """The one question of a message, and the offset where it ends."""

    name: Name
    rdtype: int
    rdclass: int
    end: int


class Sections(NamedTuple):
    """The records of a message, in wire order."""

    answer: tuple[RawRecord, ...]
    authority: tuple[RawRecord, ...]
    additional: tuple[RawRecord, ...]


def read_header(wire: bytes) -> Header:
    """Return the header. Raises MalformedResponseError for fewer than 12 octets."""
    if len(wire) < HEADER_OCTETS:
        raise MalformedResponseError(f"{len(wire)} octets, shorter than a DNS header")
    return Header._make(_HEADER.unpack_from(wire))


def read_question(wire: bytes, header: Header) -> RawQuestion:
    """Return the question. Raises MalformedResponseError unless there is exactly one, whole."""
    if header.questions != 1:
        raise MalformedResponseError(f"{header.questions} questions in the message instead of one")
    name, offset = read_name(wire, HEADER_OCTETS)
    if offset + 4 > len(wire):
        raise MalformedResponseError("the message ends inside the question")
    rdtype = int.from_bytes(wire[offset : offset + 2])
    rdclass = int.from_bytes(wire[offset + 2 : offset + 4])
    return RawQuestion(name, rdtype, rdclass, offset + 4)


def read_sections(
    wire: bytes, header: Header, offset: int, *, asked: Name | None = None
) -> Sections:
    """Return the three record sections that begin at ``offset``.

    ``asked`` is the name that ``read_question`` found, to which most owners are a pointer.

    Raises MalformedResponseError when the counts promise more than there is, and when octets are
    left over: a message whose counts are wrong is not trusted to have been cut where we cut it.
    """
    names: dict[int, Name] = {} if asked is None else {HEADER_OCTETS: asked}
    answer, offset = _read_records(wire, offset, header.answers, names)
    authority, offset = _read_records(wire, offset, header.authorities, names)
    additional, offset = _read_records(wire, offset, header.additionals, names)
    if offset != len(wire):
        raise MalformedResponseError(f"{len(wire) - offset} octets after the last record")
    return Sections(answer, authority, additional)


def _read_records(
    wire: bytes, offset: int, count: int, names: dict[int, Name]
) -> tuple[tuple[RawRecord, ...], int]:
    records: list[RawRecord] = []
    for _ in range(count):
        owner, offset = _read_owner(wire, offset, names)
        start = offset + 10
        if start > len(wire):
            raise MalformedResponseError("the message ends inside a record")
        rdtype, rdclass, ttl, length = _FIXED.unpack_from(wire, offset)
        end = start + length
        if end > len(wire):
            raise MalformedResponseError("the message ends inside RDATA")
        records.append(RawRecord(owner, rdtype, rdclass, ttl, start, end))
        offset = end
    return tuple(records), offset


def _read_owner(wire: bytes, offset: int, names: dict[int, Name]) -> tuple[Name, int]:
    """Like ``read_name``, remembering what a pointer led to: most owners are the same pointer."""
    pointer = wire[offset : offset + 2]
    if len(pointer) < 2 or pointer[0] < 0xC0:
        return read_name(wire, offset)
    target = int.from_bytes(pointer) & 0x3FFF
    name = names.get(target)
    if name is None:
        name, _ = read_name(wire, offset)
        names[target] = name
    return name, offset + 2


def read_name(wire: bytes, offset: int) -> tuple[Name, int]:
    """Return the name at ``offset``, decompressed, and the offset after it (RFC 1035 §4.1.4).

    Raises what ``read_labels`` raises.
    """
    labels, end = read_labels(wire, offset)
    return name_from_labels(labels), end


def read_labels(wire: bytes, offset: int) -> tuple[list[bytes], int]:
    """Return the labels at ``offset``, case kept, and the offset after them (RFC 1035 §4.1.4).

    Raises MalformedResponseError for a name that is cut off, longer than 255 octets, uses a
    reserved label type, or follows a pointer that does not lead backwards.
    """
    labels: list[bytes] = []
    octets = 1
    position = lowest = offset
    end: int | None = None
    jumps = 0
    while True:
        if position >= len(wire):
            raise MalformedResponseError("the message ends inside a name")
        length = wire[position]
        if length == 0:
            break
        if length < 0x40:
            label = wire[position + 1 : position + 1 + length]
            octets += length + 1
            if len(label) < length:
                raise MalformedResponseError("the message ends inside a label")
            if octets > MAX_NAME_OCTETS:
                raise MalformedResponseError(f"a name longer than {MAX_NAME_OCTETS} octets")
            labels.append(label)
            position += length + 1
        else:
            target = _pointer_target(wire, position)
            end = position + 2 if end is None else end
            jumps += 1
            # Strictly backwards is what stops a loop; the count stops a staircase of pointers
            # from making each of thousands of names cost as much as the whole message.
            if target >= lowest or jumps > MAX_NAME_JUMPS:
                raise MalformedResponseError("a compression pointer that does not lead back")
            position = lowest = target
    return labels, position + 1 if end is None else end


def _pointer_target(wire: bytes, position: int) -> int:
    if wire[position] < 0xC0:
        raise MalformedResponseError("a reserved label type")  # RFC 6891 §5: 01 and 10 are unused
    if position + 2 > len(wire):
        raise MalformedResponseError("the message ends inside a compression pointer")
    target = int.from_bytes(wire[position : position + 2]) & 0x3FFF
    if target < HEADER_OCTETS:
        raise MalformedResponseError("a compression pointer into the header")
    return target
