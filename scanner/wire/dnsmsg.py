"""What a DNS reply amounts to: one question, one reply, aliases followed.

``build_query`` (``scanner.wire.dnsquery``) makes what is sent; ``decode_response`` reads what came
back and says what it amounts to (``ReplyKind``), for one question of class IN. Nothing here knows
of servers, retries or security: a reply's AD bit is reported, and ``scanner.observe.resolver``
says what it means.

Rules
- Only ``MalformedResponseError`` leaves this module, whatever the octets are.
- A truncated reply is never read beyond its question: a part of an RRset is no RRset.
- A reply is an answer only if it says so: either the records, or a denial. An answer section that
  answers something else is malformed, not empty.
- A record whose RDATA is broken is dropped and counted; the others of its RRset stand. TLSA is
  never broken: whatever its length, it announces DANE (RFC 7672 §3.1.3, RFC 6698 §2.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import dns.rcode

from scanner.model.names import ROOT, Name, labels_of
from scanner.model.observation import ExtendedError, Question, Record
from scanner.model.policy import RoutingLimits
from scanner.model.vocabulary import RRType
from scanner.wire.dnsframe import (
    Header,
    MalformedResponseError,
    RawQuestion,
    RawRecord,
    Sections,
    read_header,
    read_question,
    read_sections,
)
from scanner.wire.dnsquery import UnencodableNameError, build_query
from scanner.wire.dnsrdata import (
    CLASS_IN,
    TYPE_CODES,
    TYPE_DNAME,
    TYPE_NSEC,
    TYPE_NSEC3,
    TYPE_OPT,
    TYPE_RRSIG,
    read_alias,
    read_record,
    read_signature,
    soa_minimum,
)

__all__ = [
    "MalformedResponseError",
    "Reply",
    "ReplyKind",
    "UnencodableNameError",
    "build_query",
    "decode_response",
    "earliest_expiration",
    "echoes_question",
    "is_about",
    "is_response",
    "read_opt",
]

MAX_EXTENDED_ERRORS = 16  # ours; a reply has one or two
MAX_EXTENDED_ERROR_TEXT = 512  # characters, ours

_QR = 0x8000
_OPCODE = 0x7800
_TC = 0x0200
_AD = 0x0020
_EDE = 15  # option code (RFC 8914 §2)

_NOERROR = 0
_NXDOMAIN = 3


class ReplyKind(StrEnum):
    """What one reply amounts to."""

    DATA = "data"
    """The records asked for, at the end of the alias chain."""
    NODATA = "nodata"
    """The name at the end of the chain has no such records (RFC 2308 §2.2)."""
    NXDOMAIN = "nxdomain"
    """The name at the end of the chain does not exist (RFC 2308 §2.1, RFC 6604)."""
    ALIAS = "alias"
    """The chain leads to a name of which the reply says nothing more; that name must be asked."""
    REFERRAL = "referral"
    """Name servers to ask instead of an answer: the server is not a recursive resolver."""
    LOOP = "loop"
    """The aliases lead back, fork, or are too many."""
    FAILURE = "failure"
    """An RCODE other than NOERROR and NXDOMAIN."""
    TRUNCATED = "truncated"
    """TC is set: nothing but the header was read, ask again over TCP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One decoded response.

    ``aliases`` are (owner, target) hops from the question on. ``records`` is empty unless ``kind``
    is ``data``. ``ttl_seconds`` is the least TTL of what was used, for a denial limited by the
    SOA's minimum (RFC 2308 §5); None where nothing says how long. ``signature_expirations`` are
    the raw 32-bit times of the signatures over what was used. ``dropped`` counts records whose
    RDATA was broken.
    """

    question: Question
    kind: ReplyKind
    rcode: int
    ad: bool = False
    tc: bool = False
    aliases: tuple[tuple[Name, Name], ...] = ()
    records: tuple[Record, ...] = ()
    ttl_seconds: int | None = None
    extended_errors: tuple[ExtendedError, ...] = ()
    signature_expirations: tuple[int, ...] = ()
    dropped: int = 0

    @property
    def rcode_text(self) -> str:
        """The RCODE's mnemonic, such as ``SERVFAIL``."""
        return dns.rcode.to_text(dns.rcode.Rcode.make(self.rcode))

    @property
    def last_name(self) -> Name:
        """The name at the end of the alias chain."""
        return self.aliases[-1][1] if self.aliases else self.question.name


def echoes_question(wire: bytes, question: Question) -> bool:
    """Return whether ``wire`` is a response to a standard query about ``question``.

    The id is not looked at. False means that the message belongs to another question, or is no
    response at all: noise or a forgery. Raises MalformedResponseError when that cannot be told.
    """
    header = read_header(wire)
    return is_response(header) and is_about(read_question(wire, header), question)


def is_response(header: Header) -> bool:
    """Return whether this is a response to a standard query."""
    return bool(header.flags & _QR) and not header.flags & _OPCODE


def is_about(asked: RawQuestion, question: Question) -> bool:
    """Return whether the question echoed is the one that was asked."""
    expected = (question.name, TYPE_CODES[question.rdtype], CLASS_IN)
    return (asked.name, asked.rdtype, asked.rdclass) == expected


def decode_response(
    question: Question,
    *,
    query_id: int,
    wire: bytes,
    max_aliases: int = RoutingLimits().max_aliases,
) -> Reply:
    """Return what ``wire`` says to ``question``.

    Raises MalformedResponseError, and nothing else, when it is not a whole, well-formed response
    with this id to exactly this question, or says nothing that could be an answer.
    """
    header = read_header(wire)
    if header.query_id != query_id:
        raise MalformedResponseError("the id of another query")
    if not is_response(header):
        raise MalformedResponseError("not a response to a query")
    asked = read_question(wire, header)
    if not is_about(asked, question):
        raise MalformedResponseError("a response to another question")
    rcode = header.flags & 0xF
    ad = bool(header.flags & _AD)
    if header.flags & _TC:
        return Reply(question=question, kind=ReplyKind.TRUNCATED, rcode=rcode, ad=ad, tc=True)
    sections = read_sections(wire, header, asked.end)
    extended_rcode, errors = read_opt(wire, sections.additional)
    rcode |= extended_rcode << 4  # RFC 6891 §6.1.3
    answer = _Answer(wire=wire, question=question, sections=sections, max_aliases=max_aliases)
    if rcode in (_NOERROR, _NXDOMAIN):
        kind = answer.read(exists=rcode == _NOERROR)
    else:
        kind = ReplyKind.FAILURE
    return Reply(
        question=question,
        kind=kind,
        rcode=rcode,
        ad=ad,
        aliases=tuple(answer.aliases),
        records=tuple(answer.records),
        ttl_seconds=min(answer.ttls, default=None),
        extended_errors=errors,
        signature_expirations=tuple(answer.expirations),
        dropped=answer.dropped,
    )


def earliest_expiration(expirations: Sequence[int], *, now: datetime) -> datetime | None:
    """Return the earliest of raw RRSIG expiration times, or None for none.

    They are serial numbers (RFC 4034 §3.1.5): each means the moment within 68 years of ``now``
    that has this value modulo 2**32.
    """
    seconds = int(now.timestamp())
    if not expirations:
        return None
    ahead = min(((raw - seconds + 2**31) % 2**32) - 2**31 for raw in expirations)
    return now.replace(microsecond=0) + timedelta(seconds=ahead)


@dataclass(kw_only=True, slots=True)
class _Answer:
    """Reads the answer and authority sections for one question."""

    wire: bytes
    question: Question
    sections: Sections
    max_aliases: int
    aliases: list[tuple[Name, Name]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    ttls: list[int] = field(default_factory=list)
    expirations: list[int] = field(default_factory=list)
    dropped: int = 0

    def read(self, *, exists: bool) -> ReplyKind:
        """Fill in what the reply says; ``exists`` is whether the RCODE was NOERROR."""
        by_owner = self._answers_by_owner()
        wanted = TYPE_CODES[self.question.rdtype]
        if not self._follow_aliases(by_owner, wanted):
            return ReplyKind.LOOP
        last = self.aliases[-1][1] if self.aliases else self.question.name
        found = by_owner.get((last, wanted), [])
        if found and not exists:
            raise MalformedResponseError("NXDOMAIN together with the records asked for")
        if found:
            self._take_records(found)
            self._take_signatures(last, wanted)
            return ReplyKind.DATA
        if self._read_denial(last):
            return ReplyKind.NODATA if exists else ReplyKind.NXDOMAIN
        if exists and self.aliases:
            return ReplyKind.ALIAS
        # Nobody says how long this holds, so the TTL of an alias before it does not either.
        self.ttls.clear()
        return self._kind_of_empty_answer() if exists else ReplyKind.NXDOMAIN

    def _answers_by_owner(self) -> dict[tuple[Name, int], list[RawRecord]]:
        by_owner: dict[tuple[Name, int], list[RawRecord]] = {}
        for raw in self.sections.answer:
            if raw.rdclass == CLASS_IN:
                by_owner.setdefault((raw.owner, raw.rdtype), []).append(raw)
        return by_owner

    def _follow_aliases(
        self, by_owner: dict[tuple[Name, int], list[RawRecord]], wanted: int
    ) -> bool:
        """Follow CNAMEs to the last name; False if they lead back, fork or are too many."""
        cname = TYPE_CODES[RRType.CNAME]
        name = self.question.name
        seen = {name}
        while found := by_owner.get((name, cname)):
            targets = {read_alias(self.wire, raw) for raw in found}
            if len(targets) > 1:
                return False
            # A CNAME question is about the alias itself (RFC 1034 §3.6.2). Records beside a
            # CNAME contradict that section; then the records are what was asked for.
            if wanted == cname or (name, wanted) in by_owner:
                return True
            self._use(found)
            self._take_signatures(name, cname)
            (target,) = targets
            self.aliases.append((name, target))
            if target in seen or len(self.aliases) > self.max_aliases:
                return False
            seen.add(target)
            name = target
        return True

    def _take_records(self, found: list[RawRecord]) -> None:
        for raw in found:
            try:
                self.records.append(read_record(self.wire, raw, self.question.rdtype))
            except MalformedResponseError:
                self.dropped += 1
        if not self.records:
            raise MalformedResponseError(f"no {self.question.rdtype} record has valid RDATA")
        self._use(found)

    def _read_denial(self, name: Name) -> bool:
        """Return whether the authority section denies ``name``; take its TTLs (RFC 2308 §5)."""
        soa = TYPE_CODES[RRType.SOA]
        authority = [raw for raw in self.sections.authority if raw.rdclass == CLASS_IN]
        found = [raw for raw in authority if raw.rdtype == soa and _is_within(name, raw.owner)]
        if not found:
            return False
        self._use(found)
        self.ttls += [soa_minimum(self.wire, raw) for raw in found]
        # RFC 9077: the denial records' own TTL limits it as well.
        self._use([raw for raw in authority if raw.rdtype in (TYPE_NSEC, TYPE_NSEC3)])
        signatures = [
            read_signature(self.wire, raw) for raw in authority if raw.rdtype == TYPE_RRSIG
        ]
        self.expirations += [found.expiration for found in signatures if found is not None]
        return True

    def _kind_of_empty_answer(self) -> ReplyKind:
        """Tell what NOERROR with neither records, aliases nor SOA is."""
        if self.sections.answer:
            raise MalformedResponseError("the answer section answers something else")
        name_servers = TYPE_CODES[RRType.NS]
        if any(raw.rdtype == name_servers for raw in self.sections.authority):
            return ReplyKind.REFERRAL
        return ReplyKind.NODATA  # RFC 2308 §2.2 type 3: no SOA, so not to be cached

    def _take_signatures(self, owner: Name, covered_type: int) -> None:
        """Note when the signatures over one RRset of the answer expire."""
        cname = TYPE_CODES[RRType.CNAME]
        signatures = [raw for raw in self.sections.answer if raw.rdtype == TYPE_RRSIG]
        for raw in signatures:
            signature = read_signature(self.wire, raw)
            if signature is None:
                continue
            covers_it = raw.owner == owner and signature.covered == covered_type
            # A synthesised CNAME has no signature: that of its DNAME counts (RFC 6672 §5.3.1).
            covers_source = (
                covered_type == cname
                and signature.covered == TYPE_DNAME
                and _is_within(owner, raw.owner)
            )
            if covers_it or covers_source:
                self._use([raw])
                self.expirations.append(signature.expiration)

    def _use(self, found: list[RawRecord]) -> None:
        # RFC 2181 §8: a TTL with the top bit set counts as zero.
        self.ttls += [0 if raw.ttl > 0x7FFFFFFF else raw.ttl for raw in found]


def _is_within(name: Name, ancestor: Name) -> bool:
    """Return whether ``name`` is ``ancestor`` or below it; escaped dots make no boundary."""
    inner, outer = labels_of(name), labels_of(ancestor)
    return inner[len(inner) - len(outer) :] == outer if len(outer) <= len(inner) else False


def read_opt(
    wire: bytes, additional: tuple[RawRecord, ...]
) -> tuple[int, tuple[ExtendedError, ...]]:
    """Return the upper bits of the RCODE and the extended errors (RFC 6891, RFC 8914)."""
    found = [raw for raw in additional if raw.rdtype == TYPE_OPT]
    if not found:
        return 0, ()
    if len(found) > 1 or found[0].owner != ROOT:
        raise MalformedResponseError("more than one OPT record, or one that is not at the root")
    opt = found[0]
    errors: list[ExtendedError] = []
    position = opt.start
    while position < opt.end:
        if position + 4 > opt.end:
            raise MalformedResponseError("an EDNS option that is cut off")
        code = int.from_bytes(wire[position : position + 2])
        start = position + 4
        position = start + int.from_bytes(wire[position + 2 : start])
        if position > opt.end:
            raise MalformedResponseError("an EDNS option longer than its record")
        if code == _EDE and position - start >= 2 and len(errors) < MAX_EXTENDED_ERRORS:
            info_code = int.from_bytes(wire[start : start + 2])
            errors.append(ExtendedError(code=info_code, text=_clean(wire[start + 2 : position])))
    return opt.ttl >> 24, tuple(errors)


def _clean(text: bytes) -> str:
    """Return text from the network fit for a terminal: printable, bounded (RFC 8914 §2)."""
    decoded = text[: 4 * MAX_EXTENDED_ERROR_TEXT].decode("utf-8", "replace").rstrip("\x00")
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in decoded)
    return printable[:MAX_EXTENDED_ERROR_TEXT]
