"""A usual reply's octets to record sets, in a fraction of the time ``decode_signed`` takes.

``decode_usual`` returns exactly what ``decode_signed`` (scanner.wire.rrsets) returns or raises, and
calls it for every reply that is in any way unusual: the plain reader decides what is malformed and
why, this one only knows what nearly all replies look like. A property test holds them together.

Where the time goes otherwise, and what is done instead:

    a name in four forms, again for each record     names remembered (scanner.wire.dnsnames)
    the question read, and read again                compared with the octets that were sent
    a tuple for every record, then groups of them    one walk, groups as they come
"""

import re
import struct

from scanner.model.dnssec import RRset, Rrsig, SignedMessage
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.record import maker
from scanner.wire.dnsframe import HEADER_OCTETS
from scanner.wire.dnsnames import (
    NEAR_POINTER,
    KnownNames,
    NameForms,
    OddNameError,
    name_forms,
    read_raw_name,
)
from scanner.wire.dnsquery import question_octets
from scanner.wire.dnsrdata import TYPE_DNAME, TYPE_NSEC, TYPE_NSEC3, TYPE_OPT, TYPE_RRSIG
from scanner.wire.rrsets import (
    TYPE_CNAME,
    TYPE_DNSKEY,
    TYPE_DS,
    TYPE_SOA,
    _parse,
    decode_signed,
)

_HEADER = struct.Struct("!HHHHHH")  # RFC 1035 §4.1.1
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length of RDATA (§4.1.3)
_RRSIG = struct.Struct("!HBBIIIH")  # RFC 4034 §3.1, before the signer's name
_RECORD_OCTETS = _RECORD.size
_RRSIG_OCTETS = _RRSIG.size

_USUAL_FLAGS = 0x8000
_UNUSUAL_FLAGS = 0x7A00  # an opcode, or TC
_RCODE = 0x000F
_AUTHORITATIVE = 0x0400
_CLASS_IN = 1
_TYPE_NS = 2
_TYPE_MX = 15
_MAX_TTL = 0x7FFF_FFFF  # RFC 2181 §8: with the top bit set it counts as zero

_PLAIN_TYPES = frozenset({1, 16, 28, TYPE_DS, TYPE_DNSKEY, TYPE_NSEC3, 52})
"""RDATA without names: A, TXT, AAAA, DS, DNSKEY, NSEC3, TLSA."""
_NAME_AFTER = {_TYPE_NS: 0, TYPE_CNAME: 0, TYPE_DNAME: 0, _TYPE_MX: 2}
"""RDATA that ends with a name, and the octets before it."""
_PARSED_TYPES = frozenset(
    {TYPE_DS, TYPE_DNSKEY, TYPE_SOA, TYPE_CNAME, TYPE_DNAME, TYPE_NSEC, TYPE_NSEC3}
)
_OPT_AT_ROOT = b"\x00" + TYPE_OPT.to_bytes(2)
_OPT_ALONE = re.compile(re.escape(_OPT_AT_ROOT) + rb".{6}\x00\x00", re.DOTALL)
"""An OPT record without options (RFC 6891 §6.1.2)."""
_EXTENDED_RCODE_AT = 5  # after root, type and class


_make_message = maker(SignedMessage)
_make_rrset = maker(RRset)
_make_rrsig = maker(Rrsig)


class _OddError(Exception):
    """Not a usual reply."""


def decode_usual(
    question: Question,
    *,
    query_id: int,
    wire: bytes,
    server: str = "",
    asked: bytes | None = None,
) -> SignedMessage:
    """Return the record sets of ``wire``, a reply to ``question``, as ``decode_signed`` does.

    ``asked`` are the octets of the question, for who has them at hand.

    Raises MalformedResponseError, and nothing else.
    """
    try:
        return _decode(question, query_id, wire, server, asked or question_octets(question))
    except (_OddError, OddNameError, IndexError, struct.error):
        return decode_signed(question, query_id=query_id, wire=wire, server=server)


_Key = tuple[Name, int]
_Group = tuple[NameForms, list[int], list[bytes]]
"""Owner, TTLs and RDATA of the records of one owner and type."""
_Signatures = dict[_Key, list[Rrsig]]
_NOTHING: dict[_Key, _Group] = {}


def _decode(
    question: Question, query_id: int, wire: bytes, server: str, asked: bytes
) -> SignedMessage:
    number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    start = HEADER_OCTETS + len(asked)
    usual = flags & (_USUAL_FLAGS | _UNUSUAL_FLAGS) == _USUAL_FLAGS
    if not usual or number != query_id or questions != 1 or wire[HEADER_OCTETS:start] != asked:
        raise _OddError
    raw_name = asked[:-4]
    forms = name_forms(raw_name)
    if forms.name != question.name:
        raise _OddError  # not in normal form: nobody can have asked this
    known: KnownNames = {HEADER_OCTETS: (raw_name, 0)}
    signatures: _Signatures = {}
    answer, position = _read_section(wire, start, answers, known, signatures)
    authority, position = _read_section(wire, position, authorities, known, signatures)
    if additionals == 1 and _OPT_ALONE.fullmatch(wire, position):
        edns, extended_rcode = True, wire[position + _EXTENDED_RCODE_AT]
    else:
        edns, extended_rcode = _read_opt(wire, position, additionals, known)
    return _make_message(
        question=question,
        question_labels=forms.labels,
        rcode=flags & _RCODE | extended_rcode << 4,
        answer=_rrsets(answer, signatures) if answer else (),
        authority=_rrsets(authority, signatures) if authority else (),
        edns=edns,
        server=server,
        authoritative=bool(flags & _AUTHORITATIVE),
    )


def _read_section(
    wire: bytes, position: int, count: int, known: KnownNames, signatures: _Signatures
) -> tuple[dict[_Key, _Group], int]:
    """Return the records by owner and type, and the offset after them; RRSIGs go aside."""
    if not count:
        return _NOTHING, position
    groups: dict[_Key, _Group] = {}
    size = len(wire)
    for _ in range(count):
        found = known.get(wire[position + 1]) if wire[position] == NEAR_POINTER else None
        if found is None:
            raw_owner, position = read_raw_name(wire, position, known)
        else:
            raw_owner = found[0]  # as ``read_raw_name`` has it, and nearly all owners are
            position += 2
        owner = name_forms(raw_owner)
        rdtype, rdclass, ttl, length = _RECORD.unpack_from(wire, position)
        position += _RECORD_OCTETS
        end = position + length
        if rdclass != _CLASS_IN or end > size:
            raise _OddError
        if ttl > _MAX_TTL:
            ttl = 0
        if rdtype == TYPE_RRSIG:
            rrsig = _read_rrsig(wire, position, end, ttl)
            kept = signatures.get((owner.name, rrsig.type_covered))
            if kept is None:
                signatures[owner.name, rrsig.type_covered] = [rrsig]
            elif all(rrsig.signature != other.signature for other in kept):
                kept.append(rrsig)
            elif not any(_same(rrsig, other) for other in kept):
                raise _OddError
        else:
            rdata = (
                wire[position:end]
                if rdtype in _PLAIN_TYPES
                else _canonical_rdata(wire, position, end, rdtype, known)
            )
            group = groups.get((owner.name, rdtype))
            if group is None:
                groups[owner.name, rdtype] = (owner, [ttl], [rdata])
            else:
                group[1].append(ttl)
                group[2].append(rdata)
        position = end
    return groups, position


def _same(rrsig: Rrsig, other: Rrsig) -> bool:
    return rrsig.header == other.header and rrsig.signature == other.signature


def _read_rrsig(wire: bytes, start: int, end: int, ttl: int) -> Rrsig:
    covered, algorithm, count, original_ttl, expiration, inception, tag = _RRSIG.unpack_from(
        wire, start
    )
    # RFC 4034 §3.1.7 forbids to compress the signer's name; the plain reader takes it all the same.
    position = start + _RRSIG_OCTETS
    after = position
    while length := wire[after]:
        if length > 0x3F:
            raise _OddError
        after += length + 1
    after += 1
    if after > end or after - position > 255:
        raise _OddError
    signer = name_forms(wire[position:after])
    return _make_rrsig(
        type_covered=covered,
        algorithm=algorithm,
        labels=count,
        original_ttl=original_ttl,
        expiration=expiration,
        inception=inception,
        key_tag=tag,
        signer=signer.name,
        signer_labels=signer.labels,
        signature=wire[after:end],
        header=wire[start:position] + signer.octets,
        ttl=ttl,
    )


def _canonical_rdata(wire: bytes, start: int, end: int, rdtype: int, known: KnownNames) -> bytes:
    """Return RDATA with names in it in canonical form (RFC 4034 §6.2, RFC 6840 §5.1)."""
    before = _NAME_AFTER.get(rdtype)
    if before is not None:
        raw, after = read_raw_name(wire, start + before, known)
        if after != end:
            raise _OddError
        return wire[start : start + before] + name_forms(raw).octets
    if rdtype == TYPE_SOA:
        primary, after = read_raw_name(wire, start, known)
        mailbox, after = read_raw_name(wire, after, known)
        if after > end:
            raise _OddError
        return primary.lower() + mailbox.lower() + wire[after:end]
    if rdtype == TYPE_NSEC:
        following, after = read_raw_name(wire, start, known)
        if after > end:
            raise _OddError
        return following + wire[after:end]  # case kept (RFC 6840 §5.1)
    raise _OddError


def _rrsets(groups: dict[_Key, _Group], signatures: _Signatures) -> tuple[RRset, ...]:
    rrsets: list[RRset] = []
    for key, (owner, ttls, found) in groups.items():
        rdtype = key[1]
        alone = len(found) == 1
        rdatas = tuple(found if alone else sorted(set(found)))
        parsed = rdtype in _PARSED_TYPES
        rrsets.append(
            _make_rrset(
                owner=owner.name,
                owner_labels=owner.labels,
                rdtype=rdtype,
                ttl=ttls[0] if alone else min(ttls),
                rdatas=rdatas,
                rrsigs=tuple(signatures.get(key, ())),
                parsed=_parse(owner.name, owner.labels, rdtype, rdatas) if parsed else (),
            )
        )
    return tuple(rrsets)


def _read_opt(wire: bytes, position: int, count: int, known: KnownNames) -> tuple[bool, int]:
    """Return whether there is an OPT record, and the upper bits of the RCODE (RFC 6891 §6.1.3).

    Addresses of mail hosts and their signatures may stand beside it; they are framed and left. One
    OPT record without options is usual, more is not.
    """
    edns, extended_rcode = False, 0
    for _ in range(count):
        if wire.startswith(_OPT_AT_ROOT, position):
            _, _, ttl, length = _RECORD.unpack_from(wire, position + 1)
            if length or edns:
                raise _OddError
            edns, extended_rcode = True, ttl >> 24
            position += 1 + _RECORD_OCTETS
            continue
        _, position = read_raw_name(wire, position, known)
        rdtype, _, _, length = _RECORD.unpack_from(wire, position)
        if rdtype == TYPE_OPT:
            raise _OddError
        position += _RECORD_OCTETS + length
    if position != len(wire):
        raise _OddError
    return edns, extended_rcode
