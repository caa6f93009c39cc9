"""A small reader for DER (X.690 §10), the encoding of certificates and public keys.

Why our own, beside the parser of ``cryptography``: TLSA matching needs the *bytes* of the
SubjectPublicKeyInfo of any certificate a TLS library lets through, also of one with an unknown key
type, an odd serial number or a malformed extension that a stricter parser refuses as a whole. A
refusal on our side would be a false alarm about the partner.

Rules of this file
    * Only definite, minimal lengths and single-octet identifiers: what DER and X.509 use.
    * Nothing recurses; callers descend a fixed number of levels, so work is linear in the input.
    * Every defect is a ``DerError``, and nothing else is ever raised.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

MAX_LENGTH_OCTETS = 4
"""Length octets looked at; four allow 4 GiB, and a TLS certificate list ends at 16 MiB."""
MAX_OID_OCTETS = 128
"""Octets of an object identifier; the longest in use have about 30."""
REMEMBERED_OIDS = 512
"""Object identifiers kept in dotted form: all certificates use the same few dozen."""
_HIGH_TAG = 0x1F


class DerError(ValueError):
    """The bytes are not the DER they should be; the message says what was expected."""


class Element(NamedTuple):
    """One tag-length-value: identifier octet, contents, and the whole encoding as it came.

    A tuple, because a certificate is a hundred of them.
    """

    tag: int
    body: bytes
    encoded: bytes


def parse(data: bytes, tag: int | None = None) -> Element:
    """Return the one element that ``data`` is.

    Raises DerError for anything before, after or inside its header that does not belong there, and
    when ``tag`` is given and differs.
    """
    element, end = read(data, 0)
    if end != len(data):
        raise DerError(f"{len(data) - end} octets after the end")
    return element if tag is None else expect(element, tag)


def read(data: bytes, offset: int) -> tuple[Element, int]:
    """Return the element that begins at ``offset``, and where the next one would begin."""
    try:
        tag, length = data[offset], data[offset + 1]
    except IndexError:
        raise DerError("truncated header") from None
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise DerError("multi-octet identifier")
    start = offset + 2
    if length >= 0x80:
        start, length = _length(data, offset + 1)
    end = start + length
    if end > len(data):
        raise DerError("truncated contents")
    return _element(Element, (tag, data[start:end], data[offset:end])), end


_element = tuple.__new__  # what the generated constructor comes to, without its detour


def _length(data: bytes, offset: int) -> tuple[int, int]:
    first = data[offset]
    if first < 0x80:
        return offset + 1, first
    count = first & 0x7F
    if not 1 <= count <= MAX_LENGTH_OCTETS:
        raise DerError("indefinite or oversized length")
    octets = data[offset + 1 : offset + 1 + count]
    length = int.from_bytes(octets, "big")
    if len(octets) < count or octets[0] == 0 or length < 0x80:
        raise DerError("length is truncated or not minimal")
    return offset + 1 + count, length


def elements(data: bytes) -> Iterator[Element]:
    """Yield the elements ``data`` is made of, as inside a SEQUENCE; raises DerError on the way."""
    offset, end = 0, len(data)
    while offset < end:
        element, offset = read(data, offset)
        yield element


def children(element: Element, tag: int = SEQUENCE) -> tuple[Element, ...]:
    """Return the elements inside ``element``, which must have ``tag``."""
    data = expect(element, tag).body
    found: list[Element] = []
    offset, end = 0, len(data)
    while offset < end:
        child, offset = read(data, offset)
        found.append(child)
    return tuple(found)


def expect(element: Element, tag: int) -> Element:
    """Return ``element``; raises DerError unless it has ``tag``."""
    if element.tag != tag:
        raise DerError(f"expected tag 0x{tag:02x}, found 0x{element.tag:02x}")
    return element


def integer(element: Element) -> int:
    """Return the value of an INTEGER.

    Non-minimal integers are accepted: serial numbers of that kind are in use, and nothing here
    depends on their encoding being unique.
    """
    body = expect(element, INTEGER).body
    if not body:
        raise DerError("empty INTEGER")
    return int.from_bytes(body, "big", signed=True)


def boolean(element: Element) -> bool:
    """Return the value of a BOOLEAN; any octet but zero is true, as in BER and in OpenSSL."""
    body = expect(element, BOOLEAN).body
    if len(body) != 1:
        raise DerError("BOOLEAN is not one octet")
    return body != b"\x00"


def bit_string(element: Element) -> tuple[int, bytes]:
    """Return the number of unused bits (0 to 7) and the octets of a BIT STRING."""
    body = expect(element, BIT_STRING).body
    if not body or body[0] > 7 or (body[0] and len(body) == 1):
        raise DerError("malformed BIT STRING")
    return body[0], body[1:]


def named_bits(element: Element) -> frozenset[int]:
    """Return the numbers of the bits that are set, bit 0 being the first (X.680 §22)."""
    _, octets = bit_string(element)
    return frozenset(
        8 * index + bit
        for index, octet in enumerate(octets[:4])
        for bit in range(8)
        if octet & (0x80 >> bit)
    )


def oid(element: Element) -> str:
    """Return an OBJECT IDENTIFIER in dotted form."""
    return _dotted(expect(element, OBJECT_IDENTIFIER).body)


@lru_cache(maxsize=REMEMBERED_OIDS)
def _dotted(body: bytes) -> str:
    if not body or len(body) > MAX_OID_OCTETS or body[-1] & 0x80:
        raise DerError("malformed OBJECT IDENTIFIER")
    arcs: list[int] = []
    value = 0
    for octet in body:
        if value == 0 and octet == 0x80:
            raise DerError("padded OBJECT IDENTIFIER")
        value = (value << 7) | (octet & 0x7F)
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def time(element: Element) -> datetime:
    """Return a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5) as an aware datetime in UTC.

    Missing seconds, fractions and offsets from UTC, which RFC 5280 forbids and old issuers wrote,
    are understood. A moment in the year 0, which ``datetime`` does not have, or pushed out of its
    range by an offset, is the first or last it has. Raises DerError for anything else that is no
    point in time.
    """
    try:
        text = element.body.decode("ascii")
        if element.tag == UTC_TIME:
            # RFC 5280 §4.1.2.5.1: years 50 to 99 are 19xx.
            century = "19" if int(text[:2]) >= 50 else "20"
            return _moment(century + text)
        if element.tag == GENERALIZED_TIME:
            return _moment(text)
    except ValueError as error:
        raise DerError(f"not a time: {element.body[:32]!r}") from error
    raise DerError(f"expected a time, found tag 0x{element.tag:02x}")


_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def _moment(text: str) -> datetime:
    """Read ``YYYYMMDDHHMM[SS[.f]](Z|+HHMM|-HHMM)``; raises ValueError."""
    offset = timedelta()
    if text.endswith("Z"):
        text = text[:-1]
    else:
        text, zone = text[:-5], text[-5:]
        if len(zone) != 5 or zone[0] not in "+-" or not zone[1:].isdigit():
            raise ValueError("no time zone")
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        offset = -offset if zone[0] == "-" else offset
    digits, _, fraction = text.partition(".")
    if not digits.isdigit() or (fraction and not fraction.isdigit()) or len(digits) not in (12, 14):
        raise ValueError("wrong shape")
    digits = digits.ljust(14, "0")
    month, day, hour = int(digits[4:6]), int(digits[6:8]), int(digits[8:10])
    minute, second = int(digits[10:12]), int(digits[12:14])
    year = int(digits[:4])
    # The year 0 was a leap year, and so was 4.
    moment = datetime(year or 4, month, day, hour, minute, second, tzinfo=UTC)
    if year == 0:
        return _FIRST
    try:
        return moment - offset
    except OverflowError:
        return _FIRST if offset > timedelta() else _LAST
