"""A reply's octets to record sets with their signatures, ready to be validated.

``decode_signed`` is to a validator what ``decode_response`` (scanner.wire.dnsmsg) is to a client
of a validating resolver: it says what came, not what it amounts to.

Rules
- Only ``MalformedResponseError`` leaves this module, whatever the octets are.
- RDATA comes out canonical (RFC 4034 §6.2 as changed by RFC 6840 §5.1): names uncompressed, and
  lower case for the types listed there. RDATA that is not of its type is kept as it came: if its
  zone signed it like that the signature verifies, and reading the record is another's task.
- No record is lost: a second CNAME, NSEC or SOA at one owner is seen, which a codec that keeps the
  last one of a "singleton" type would hide.
- An RRSIG is tied to the record set it covers wherever it stands in the message; one that cannot
  be read is no signature.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from scanner.model.canonical import CanonicalName, canonical, wire_form
from scanner.model.dnssec import (
    Dnskey,
    Ds,
    Nsec3Record,
    NsecRecord,
    Parsed,
    RRset,
    Rrsig,
    SignedMessage,
    Soa,
)
from scanner.model.names import MAX_LABEL_OCTETS, MAX_NAME_OCTETS, Name, name_from_labels
from scanner.model.observation import Question
from scanner.model.record import maker
from scanner.wire.dnsframe import (
    MalformedResponseError,
    RawRecord,
    read_header,
    read_labels,
    read_question,
    read_sections,
)
from scanner.wire.dnsmsg import is_about, is_response, read_opt
from scanner.wire.dnsrdata import (
    CLASS_IN,
    TYPE_DNAME,
    TYPE_NSEC,
    TYPE_NSEC3,
    TYPE_OPT,
    TYPE_RRSIG,
)

TYPE_CNAME = 5
TYPE_SOA = 6
TYPE_DS = 43
TYPE_DNSKEY = 48
_SHA1_LABEL_OCTETS = 32  # of an NSEC3 owner: 160 bits, five to a digit
RSA_MD5 = 1  # the one algorithm with a key tag of its own (RFC 4034 appendix B.1)

_TC = 0x0200
_AA = 0x0400
_RRSIG_FIXED = struct.Struct("!HBBIIIH")  # RFC 4034 §3.1, before the signer's name
_RRSIG_FIXED_OCTETS = _RRSIG_FIXED.size
_TTL_TOP_BIT = 0x8000_0000  # RFC 2181 §8: counts as zero
_MAX_WINDOW_OCTETS = 32  # of one block of a type bitmap (RFC 4034 §4.1.2)

_NAMES_AT = {
    2: (0, 1),  # NS
    3: (0, 1),  # MD
    4: (0, 1),  # MF
    TYPE_CNAME: (0, 1),
    TYPE_SOA: (0, 2),
    7: (0, 1),  # MB
    8: (0, 1),  # MG
    9: (0, 1),  # MR
    12: (0, 1),  # PTR
    14: (0, 2),  # MINFO
    15: (2, 1),  # MX
    17: (0, 2),  # RP
    18: (2, 1),  # AFSDB
    21: (2, 1),  # RT
    24: (18, 1),  # SIG
    26: (2, 2),  # PX
    30: (0, 1),  # NXT
    33: (6, 1),  # SRV
    36: (2, 1),  # KX
    TYPE_DNAME: (0, 1),
}
"""Where lower-cased names stand in RDATA: octets before them, and how many (RFC 4034 §6.2).

Beside these there is NAPTR, whose names come after three strings. HINFO, in the RFC's list, holds
no name, and A6 is historic (RFC 6563).
"""
_TYPE_NAPTR = 35


_make_ds = maker(Ds)
_make_dnskey = maker(Dnskey)
_make_soa = maker(Soa)
_make_nsec = maker(NsecRecord)
_make_nsec3 = maker(Nsec3Record)


def decode_signed(
    question: Question, *, query_id: int, wire: bytes, server: str = ""
) -> SignedMessage:
    """Return the record sets of ``wire``, a reply to ``question``.

    Raises MalformedResponseError, and nothing else, when it is not a whole, well-formed response
    with this id to exactly this question.
    """
    header = read_header(wire)
    if header.query_id != query_id:
        raise MalformedResponseError("the id of another query")
    asked = read_question(wire, header)
    if not is_response(header) or not is_about(asked, question):
        raise MalformedResponseError("a response to another question, or none")
    labels = canonical(question.name)
    if header.flags & _TC:
        return SignedMessage(
            question=question,
            question_labels=labels,
            rcode=header.flags & 0xF,
            answer=(),
            authority=(),
            edns=False,
            server=server,
            truncated=True,
        )
    sections = read_sections(wire, header, asked.end, asked=asked.name)
    extended_rcode, errors = read_opt(wire, sections.additional)
    signatures = _read_signatures(wire, (*sections.answer, *sections.authority))
    return SignedMessage(
        question=question,
        question_labels=labels,
        rcode=header.flags & 0xF | extended_rcode << 4,
        answer=_read_rrsets(wire, sections.answer, signatures),
        authority=_read_rrsets(wire, sections.authority, signatures),
        edns=TYPE_OPT in [raw.rdtype for raw in sections.additional],
        extended_errors=errors,
        server=server,
        authoritative=bool(header.flags & _AA),
    )


def key_tag(rdata: bytes) -> int:
    """Return the key tag of DNSKEY RDATA of at least 4 octets (RFC 4034 appendix B)."""
    if rdata[3] == RSA_MD5:
        return int.from_bytes(rdata[-3:-1])
    total = (sum(rdata[0::2]) << 8) + sum(rdata[1::2])
    return (total + (total >> 16 & 0xFFFF)) & 0xFFFF


@dataclass(slots=True)
class _Group:
    """The records of one owner and type while they are collected."""

    ttl: int
    rdatas: list[bytes] = field(default_factory=list)


_Signatures = dict[tuple[Name, int], dict[bytes, Rrsig]]
"""By owner and type covered, then by RDATA, so that doubles count once."""


class _Signer(NamedTuple):
    """The signer's name of one RRSIG as it stands in the message, and what it comes to."""

    octets: bytes
    name: Name
    labels: CanonicalName
    wire_form: bytes


def _read_signatures(wire: bytes, records: Sequence[RawRecord]) -> _Signatures:
    found: _Signatures = {}
    last: _Signer | None = None
    for raw in records:
        if raw.rdtype != TYPE_RRSIG or raw.rdclass != CLASS_IN:
            continue
        signer = _read_signer(wire, raw, last)
        if signer is not None:
            last = signer
            signature = _read_rrsig(wire, raw, signer)
            kept = found.setdefault((raw.owner, signature.type_covered), {})
            kept.setdefault(signature.header + signature.signature, signature)
    return found


def _read_signer(wire: bytes, raw: RawRecord, last: _Signer | None) -> _Signer | None:
    """Return the signer's name in an RRSIG; None where there is none that can be read.

    All signatures of a reply name the same one or two zones, so ``last``, the one before, is
    compared as octets first. A name ends where it says it ends: octets that begin alike and are
    a whole name are the same name.
    """
    start = raw.start + _RRSIG_FIXED_OCTETS
    if last is not None and wire.startswith(last.octets, start, raw.end):
        return last
    try:
        labels, after = _labels_within(wire, start, raw.end)
    except MalformedResponseError:
        return None
    canonical_labels = tuple(label.lower() for label in reversed(labels))
    return _Signer(
        wire[start:after],
        name_from_labels(labels),
        canonical_labels,
        wire_form(canonical_labels),
    )


def _read_rrsig(wire: bytes, raw: RawRecord, signer: _Signer) -> Rrsig:
    start = raw.start
    covered, algorithm, count, original_ttl, expiration, inception, tag = _RRSIG_FIXED.unpack_from(
        wire, start
    )
    after_fixed = start + _RRSIG_FIXED_OCTETS
    return Rrsig(
        type_covered=covered,
        algorithm=algorithm,
        labels=count,
        original_ttl=original_ttl,
        expiration=expiration,
        inception=inception,
        key_tag=tag,
        signer=signer.name,
        signer_labels=signer.labels,
        signature=wire[after_fixed + len(signer.octets) : raw.end],
        header=wire[start:after_fixed] + signer.wire_form,
        ttl=_ttl(raw),
    )


def _read_rrsets(
    wire: bytes, records: Sequence[RawRecord], signatures: _Signatures
) -> tuple[RRset, ...]:
    groups: dict[tuple[Name, int], _Group] = {}
    for raw in records:
        if raw.rdclass != CLASS_IN or raw.rdtype in (TYPE_RRSIG, TYPE_OPT):
            continue
        ttl = _ttl(raw)
        group = groups.get((raw.owner, raw.rdtype))
        if group is None:
            group = groups[raw.owner, raw.rdtype] = _Group(ttl)
        elif ttl < group.ttl:
            group.ttl = ttl
        group.rdatas.append(_canonical_rdata(wire, raw))
    return tuple(
        _make_rrset(owner, rdtype, group, signatures) for (owner, rdtype), group in groups.items()
    )


def _make_rrset(owner: Name, rdtype: int, group: _Group, signatures: _Signatures) -> RRset:
    rdatas = tuple(sorted(set(group.rdatas))) if len(group.rdatas) > 1 else tuple(group.rdatas)
    labels = canonical(owner)
    return RRset(
        owner=owner,
        owner_labels=labels,
        rdtype=rdtype,
        ttl=group.ttl,
        rdatas=rdatas,
        rrsigs=tuple(signatures.get((owner, rdtype), {}).values()),
        parsed=_parse(owner, labels, rdtype, rdatas),
    )


def _ttl(raw: RawRecord) -> int:
    return 0 if raw.ttl & _TTL_TOP_BIT else raw.ttl


def _canonical_rdata(wire: bytes, raw: RawRecord) -> bytes:
    """Return RDATA in canonical form, or as it came when it is not of its type."""
    try:
        if raw.rdtype in _NAMES_AT:
            before, count = _NAMES_AT[raw.rdtype]
            return _with_names(wire, raw, before, count)
        if raw.rdtype == TYPE_NSEC:
            labels, after = _labels_within(wire, raw.start, raw.end)
            return _uncompressed(labels) + wire[after : raw.end]  # case kept: RFC 6840 §5.1
        if raw.rdtype == _TYPE_NAPTR:
            return _with_names(wire, raw, _naptr_strings_end(wire, raw) - raw.start, 1)
    except MalformedResponseError:
        pass
    return wire[raw.start : raw.end]


def _with_names(wire: bytes, raw: RawRecord, before: int, count: int) -> bytes:
    position = raw.start + before
    out = wire[raw.start : position]
    for _ in range(count):
        labels, position = _labels_within(wire, position, raw.end)
        out += _uncompressed(labels).lower()
    return out + wire[position : raw.end]


def _uncompressed(labels: Sequence[bytes]) -> bytes:
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\x00"


def _labels_within(wire: bytes, start: int, end: int) -> tuple[list[bytes], int]:
    """Return the labels at ``start``. Raises MalformedResponseError if they pass ``end``."""
    if start >= end:
        raise MalformedResponseError("RDATA that ends before its name")
    labels, after = read_labels(wire, start)
    if after > end:
        raise MalformedResponseError("a name that is longer than its RDATA")
    return labels, after


def _naptr_strings_end(wire: bytes, raw: RawRecord) -> int:
    position = raw.start + 4  # order and preference (RFC 3403 §4.1)
    for _ in range(3):  # flags, services, regexp
        if position >= raw.end:
            raise MalformedResponseError("a NAPTR record that is cut off")
        position += 1 + wire[position]
    return position


def _parse(
    owner: Name, labels: CanonicalName, rdtype: int, rdatas: Sequence[bytes]
) -> tuple[Parsed, ...]:
    """Return what can be read of ``rdatas``; what cannot is left out."""
    found: list[Parsed | None]
    if rdtype == TYPE_NSEC:
        found = [_parse_nsec(owner, labels, rdata) for rdata in rdatas]
    elif rdtype == TYPE_NSEC3:
        found = [_parse_nsec3(owner, labels, rdata) for rdata in rdatas]
    else:
        parse = _PARSERS.get(rdtype)
        if parse is None:
            return ()
        found = [parse(rdata) for rdata in rdatas]
    return tuple([parsed for parsed in found if parsed is not None])


def _parse_ds(rdata: bytes) -> Ds | None:
    if len(rdata) < 5:
        return None
    return _make_ds(
        key_tag=int.from_bytes(rdata[:2]),
        algorithm=rdata[2],
        digest_type=rdata[3],
        digest=rdata[4:],
    )


def parse_dnskey(rdata: bytes) -> Dnskey | None:
    """Return the DNSKEY in this RDATA (RFC 4034 §2.1); None when it has no key in it."""
    if len(rdata) < 5:
        return None
    return _make_dnskey(
        flags=int.from_bytes(rdata[:2]),
        protocol=rdata[2],
        algorithm=rdata[3],
        public_key=rdata[4:],
        key_tag=key_tag(rdata),
        rdata=rdata,
    )


def _parse_soa(rdata: bytes) -> Soa | None:
    try:
        after = _after_name(rdata, _after_name(rdata, 0))
    except IndexError:
        return None
    if len(rdata) - after != 20:
        return None
    serial = int.from_bytes(rdata[after : after + 4])
    return _make_soa(serial=serial, minimum=int.from_bytes(rdata[-4:]))


def _after_name(rdata: bytes, start: int) -> int:
    """Return where the uncompressed name at ``start`` ends. Raises IndexError where it does not."""
    position = start
    while length := rdata[position]:
        position += length + 1
        if length > MAX_LABEL_OCTETS or position - start >= MAX_NAME_OCTETS:
            raise IndexError("no name")
    return position + 1


def _parse_target(rdata: bytes) -> CanonicalName | None:
    try:
        labels, after = read_labels(rdata, 0)
    except MalformedResponseError:
        return None
    return tuple(labels[::-1]) if after == len(rdata) else None


_PARSERS: dict[int, Callable[[bytes], Parsed | None]] = {
    TYPE_CNAME: _parse_target,
    TYPE_DNAME: _parse_target,
    TYPE_SOA: _parse_soa,
    TYPE_DS: _parse_ds,
    TYPE_DNSKEY: parse_dnskey,
}


def _parse_nsec(owner: Name, labels: CanonicalName, rdata: bytes) -> NsecRecord | None:
    try:
        following, after = read_labels(rdata, 0)
        types = parse_type_bitmap(rdata[after:])
    except MalformedResponseError:
        return None
    return _make_nsec(
        owner=owner,
        owner_labels=labels,
        next_labels=tuple(label.lower() for label in reversed(following)),
        types=types,
    )


def _parse_nsec3(owner: Name, labels: CanonicalName, rdata: bytes) -> Nsec3Record | None:
    """RFC 5155 §3.2."""
    if len(rdata) < 6 or not labels:
        return None
    salt_end = 5 + rdata[4]
    if salt_end >= len(rdata):
        return None
    hash_end = salt_end + 1 + rdata[salt_end]
    if hash_end > len(rdata):
        return None
    try:
        types = parse_type_bitmap(rdata[hash_end:])
    except MalformedResponseError:
        return None
    return _make_nsec3(
        owner=owner,
        zone_labels=labels[:-1],
        owner_hash=_base32hex(labels[-1]),
        next_hash=rdata[salt_end + 1 : hash_end],
        algorithm=rdata[0],
        flags=rdata[1],
        iterations=int.from_bytes(rdata[2:4]),
        salt=rdata[5:salt_end],
        types=types,
    )


def _base32hex(label: bytes) -> bytes:
    """Return the octets a label stands for, without padding (RFC 5155 §1.3); empty if none."""
    if len(label) == _SHA1_LABEL_OCTETS and label.isalnum():
        try:
            return int(label, 32).to_bytes(20)  # the same digits, twenty times as fast
        except ValueError:
            return b""
    try:
        return base64.b32hexdecode(label + b"=" * (-len(label) % 8), casefold=True)
    except (binascii.Error, ValueError):
        return b""


@lru_cache(maxsize=1024)  # zones have few different ones
def parse_type_bitmap(octets: bytes) -> frozenset[int]:
    """Return the types of a bitmap (RFC 4034 §4.1.2).

    Raises MalformedResponseError for blocks out of order, empty, too long or cut off.
    """
    types: list[int] = []
    position = 0
    last_window = -1
    while position < len(octets):
        header = octets[position : position + 2]
        if len(header) < 2 or header[0] <= last_window or not 1 <= header[1] <= _MAX_WINDOW_OCTETS:
            raise MalformedResponseError("a type bitmap with a wrong block")
        last_window, length = header
        block = octets[position + 2 : position + 2 + length]
        if len(block) < length:
            raise MalformedResponseError("a type bitmap that is cut off")
        for index, octet in enumerate(block):
            if octet:
                base = last_window << 8 | index << 3
                types += [base + bit for bit in range(8) if octet & 0x80 >> bit]
        position += 2 + length
    return frozenset(types)
