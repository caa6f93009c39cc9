"""Trust anchors: the root's shipped, others read from text, the nearest one chosen for a name.

A file holds DS or DNSKEY records in presentation form, of the root or of any zone ("islands of
security"), several of one zone if need be; class and TTL may stand there or not. Policy of choice:
the closest anchor at or above the name (RFC 6840 §5.10, appendix C).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping

from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import Anchor, Dnskey, Ds
from scanner.model.names import ROOT, InvalidNameError, Name, parse_domain

MAX_ANCHOR_FILE_CHARACTERS = 1_000_000  # ours; a file with a thousand anchors has a tenth of it

_ROOT_KSK_2017 = Ds(
    key_tag=20326,
    algorithm=8,
    digest_type=2,
    digest=bytes.fromhex("E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"),
)
_ROOT_KSK_2024 = Ds(
    key_tag=38696,
    algorithm=8,
    digest_type=2,
    digest=bytes.fromhex("683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"),
)
ROOT_ANCHOR = Anchor(zone=ROOT, ds=(_ROOT_KSK_2017, _ROOT_KSK_2024))
"""What IANA publishes for the root at https://data.iana.org/root-anchors/root-anchors.xml."""


class InvalidAnchorError(ValueError):
    """The text is no trust anchor; the message says where and why, in words for an operator."""


class Anchors:
    """The trust anchors by zone."""

    def __init__(self, anchors: Iterable[Anchor] = (ROOT_ANCHOR,)) -> None:
        """Take ``anchors``; several of one zone count together."""
        self._by_zone: dict[CanonicalName, Anchor] = {}
        for anchor in anchors:
            zone = canonical(anchor.zone)
            known = self._by_zone.get(zone)
            ds = (*known.ds, *anchor.ds) if known else anchor.ds
            dnskeys = (*known.dnskeys, *anchor.dnskeys) if known else anchor.dnskeys
            self._by_zone[zone] = Anchor(zone=anchor.zone, ds=ds, dnskeys=dnskeys)

    def for_name(self, name: CanonicalName) -> Anchor | None:
        """Return the anchor closest to ``name``, at it or above; None if there is none."""
        for depth in range(len(name), -1, -1):
            anchor = self._by_zone.get(name[:depth])
            if anchor is not None:
                return anchor
        return None

    @property
    def by_zone(self) -> Mapping[CanonicalName, Anchor]:
        """All anchors."""
        return self._by_zone

    def __len__(self) -> int:
        return len(self._by_zone)


def read_anchors(text: str, *, source: str = "trust anchors") -> tuple[Anchor, ...]:
    """Return the anchors in ``text``, in master file form.

    Comments begin with ``;``, parentheses join lines. Raises InvalidAnchorError with ``source``
    and the line for what is no DS or DNSKEY record, and for a text without any.
    """
    if len(text) > MAX_ANCHOR_FILE_CHARACTERS:
        raise InvalidAnchorError(f"{source}: longer than {MAX_ANCHOR_FILE_CHARACTERS} characters")
    anchors = []
    for number, words in _records(text, source):
        try:
            anchors.append(_read_record(words))
        except ValueError as error:
            raise InvalidAnchorError(f"{source}:{number}: {error}") from error
    if not anchors:
        raise InvalidAnchorError(f"{source}: no DS or DNSKEY record in it")
    return tuple(Anchors(anchors).by_zone.values())


def _records(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each record with the number of its first line."""
    words: list[str] = []
    first, depth = 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.partition(";")[0]
        found = re.findall(r"[()]|[^\s()]+", bare)
        if found and not words:
            first = number
        depth += found.count("(") - found.count(")")
        if depth < 0:
            raise InvalidAnchorError(f"{source}:{number}: a parenthesis too many")
        words += [word for word in found if word not in ("(", ")")]
        if depth == 0 and words:
            yield first, words
            words = []
    if depth:
        raise InvalidAnchorError(f"{source}:{first}: a parenthesis is not closed")


def _read_record(words: list[str]) -> Anchor:
    zone = _read_zone(words[0])
    rest = words[1:]
    while rest and (rest[0].isdigit() or rest[0].upper() == "IN"):
        rest = rest[1:]
    kind, fields = (rest[0].upper(), rest[1:]) if rest else ("", [])
    if kind == "DS" and len(fields) >= 4:
        return Anchor(zone=zone, ds=(_read_ds(fields),))
    if kind == "DNSKEY" and len(fields) >= 4:
        return Anchor(zone=zone, dnskeys=(_read_dnskey(fields),))
    raise ValueError("neither a DS nor a DNSKEY record, as in '. IN DS 20326 8 2 E06D...'")


def _read_zone(text: str) -> Name:
    if text == ".":
        return ROOT
    try:
        # A top-level domain is one label, which parse_domain refuses.
        return Name(parse_domain(f"{text.removesuffix('.')}.test").removesuffix(".test"))
    except InvalidNameError as error:
        raise ValueError(f"{text[:100]!r} is no zone: {error}") from error


def _read_ds(fields: list[str]) -> Ds:
    key_tag, algorithm, digest_type = _numbers(fields[:3], (0xFFFF, 0xFF, 0xFF))
    try:
        digest = bytes.fromhex("".join(fields[3:]))
    except ValueError as error:
        raise ValueError("the digest is not hexadecimal") from error
    return Ds(key_tag=key_tag, algorithm=algorithm, digest_type=digest_type, digest=digest)


def _read_dnskey(fields: list[str]) -> Dnskey:
    flags, protocol, algorithm = _numbers(fields[:3], (0xFFFF, 0xFF, 0xFF))
    try:
        public_key = base64.b64decode("".join(fields[3:]), validate=True)
    except binascii.Error as error:
        raise ValueError("the key is not base64") from error
    rdata = flags.to_bytes(2) + bytes((protocol, algorithm)) + public_key
    return Dnskey(
        flags=flags,
        protocol=protocol,
        algorithm=algorithm,
        public_key=public_key,
        key_tag=_key_tag(rdata),
        rdata=rdata,
    )


def _numbers(fields: list[str], limits: tuple[int, ...]) -> list[int]:
    numbers = []
    for text, limit in zip(fields, limits, strict=True):
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= limit):
            raise ValueError(f"{text[:20]!r} is not a number from 0 to {limit}")
        numbers.append(int(text))
    return numbers


def _key_tag(rdata: bytes) -> int:
    """Return the key tag (RFC 4034 appendix B)."""
    total = (sum(rdata[0::2]) << 8) + sum(rdata[1::2])
    return (total + (total >> 16 & 0xFFFF)) & 0xFFFF
