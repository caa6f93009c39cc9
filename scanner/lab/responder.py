"""From a query message to a reply message: the flags of RFC 4035 §3.2 and RFC 6840 §5.7.

The responder speaks as a validating recursive resolver to RD=1 and as the one authority of
everything to RD=0. What it hides, shows and marks:

- bogus data become SERVFAIL with an extended error, unless CD=1 asks for them as they are;
- AD=1 only if every part of the answer is secure and the client showed interest (AD or DO);
  never with CD=1, where nothing was validated;
- signatures and denial records only with DO=1.

Replies are cached by the query's octets after its id; any change of the lab clears them.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rrset
from dns.rdatatype import RdataType

from scanner.lab.plan import DnsFaultKind
from scanner.lab.resolution import Resolution, Resolver
from scanner.lab.universe import Universe
from scanner.lab.zone import from_dns
from scanner.model.names import Name
from scanner.model.vocabulary import DnssecStatus

UDP_PAYLOAD = 1232  # largest UDP reply, octets (DNS flag day 2020)
PLAIN_PAYLOAD = 512  # without EDNS (RFC 1035 §4.2.1)
MAX_TCP_REPLY = 65535
MAX_CACHED_REPLIES = 200_000
_DNSSEC_TYPES = frozenset({RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3})


class ResolverMode(StrEnum):
    """How the whole resolver behaves."""

    VALIDATING = "validating"
    NON_VALIDATING = "non-validating"
    """Passes everything on and never sets AD."""
    STRIPPING = "stripping"
    """As non-validating, and removes signatures: a middle box without DNSSEC."""
    DOWN = "down"
    """Answers nothing."""
    SERVFAIL = "servfail"
    """Answers SERVFAIL to everything."""
    CUT_OFF = "cut-off"
    """Reaches nobody: knows the root's own records by heart, and answers SERVFAIL to the rest."""
    PERMISSIVE = "permissive"
    """Validates, and hands bogus data out all the same, without AD."""


_VALIDATING = frozenset({ResolverMode.VALIDATING, ResolverMode.CUT_OFF, ResolverMode.PERMISSIVE})


@dataclass(slots=True)
class QueryLog:
    """How often each question was asked."""

    counts: Counter[tuple[Name, str]] = field(default_factory=Counter)

    def count(self, name: Name, rdtype: str) -> int:
        """Return how often this question was asked."""
        return self.counts[name, rdtype]

    @property
    def total(self) -> int:
        """All questions asked."""
        return self.counts.total()

    def clear(self) -> None:
        """Forget everything."""
        self.counts.clear()


@dataclass(frozen=True, slots=True)
class _Cached:
    """A reply and the question it answers; None for a question that gets no reply."""

    reply: bytes | None
    question: tuple[Name, str]


class Responder:
    """Turns query octets into reply octets."""

    def __init__(self, universe: Universe) -> None:
        self._resolver = Resolver(universe)
        self._cache: dict[tuple[int, bytes], _Cached] = {}
        self.mode = ResolverMode.VALIDATING
        self.log = QueryLog()

    def set_mode(self, mode: ResolverMode) -> None:
        """Behave so from now on."""
        self.mode = mode
        self.clear_cache()

    def clear_cache(self) -> None:
        """Forget prepared replies, because the lab has changed."""
        self._cache.clear()

    def respond(self, query: bytes, *, tcp: bool) -> bytes | None:
        """Return the reply, or None where the client gets none (also to what is no query)."""
        key = (tcp, query[2:])
        cached = self._cache.get(key)
        if cached is None:
            made = self._respond_freshly(query, tcp=tcp)
            if made is None:
                return None
            if len(self._cache) >= MAX_CACHED_REPLIES:
                self._cache.clear()
            cached = self._cache[key] = made
        self.log.counts[cached.question] += 1
        return None if cached.reply is None else query[:2] + cached.reply[2:]

    def _respond_freshly(self, octets: bytes, *, tcp: bool) -> _Cached | None:
        try:
            query = dns.message.from_wire(octets)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        asked = query.question[0]
        question = (from_dns(asked.name), RdataType.to_text(asked.rdtype))
        if self.mode is ResolverMode.DOWN:
            return _Cached(None, question)
        cut_off = self.mode is ResolverMode.CUT_OFF and asked.name != dns.name.root
        if self.mode is ResolverMode.SERVFAIL or cut_off:
            result = Resolution(rcode=dns.rcode.SERVFAIL)
        elif asked.rdclass != dns.rdataclass.IN:
            result = Resolution(rcode=dns.rcode.REFUSED)
        else:
            name = dns.name.Name(tuple(label.lower() for label in asked.name.labels))
            recursive = bool(query.flags & dns.flags.RD)
            result = self._resolver.resolve(name, asked.rdtype, follow=recursive)
        if result.failure is DnsFaultKind.DROP:
            return _Cached(None, question)
        if result.failure is DnsFaultKind.MALFORMED:
            return _Cached(_malformed(octets), question)
        reply = self._reply(query, result)
        return _Cached(_to_wire(reply, query, tcp=tcp), question)

    def _reply(self, query: dns.message.Message, result: Resolution) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=True)
        validating = self.mode in _VALIDATING
        permissive = self.mode is ResolverMode.PERMISSIVE
        checking = not query.flags & dns.flags.CD
        recursive = bool(query.flags & dns.flags.RD)
        wants_dnssec = bool(query.ednsflags & dns.flags.DO)
        if query.flags & dns.flags.CD:
            reply.flags |= dns.flags.CD  # RFC 4035 §3.1.6
        errors = list(result.extended_errors)
        if result.failure is None and result.status is DnssecStatus.BOGUS:
            if validating and checking and recursive and not permissive:
                result = Resolution(rcode=dns.rcode.SERVFAIL)
            else:
                errors = []
        if not validating or not recursive:
            errors = errors if result.failure else []
        if not recursive:
            reply.flags |= dns.flags.AA
        interested = wants_dnssec or bool(query.flags & dns.flags.AD)
        secure = result.status is DnssecStatus.SECURE and result.failure is None
        believed = secure and result.rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
        if validating and recursive and checking and interested and believed:
            reply.flags |= dns.flags.AD
        reply.set_rcode(result.rcode)
        show = wants_dnssec and self.mode is not ResolverMode.STRIPPING
        asked = query.question[0].rdtype
        reply.answer = _visible(result.answer, asked, dnssec=show)
        reply.authority = _visible(result.authority, asked, dnssec=show)
        if query.edns >= 0:
            options = [dns.edns.EDEOption(dns.edns.EDECode.make(code)) for code in errors]
            flags = dns.flags.DO if wants_dnssec else 0
            reply.use_edns(0, flags, UDP_PAYLOAD, options=list(options))
        return reply


def _visible(
    rrsets: list[dns.rrset.RRset], asked: RdataType, *, dnssec: bool
) -> list[dns.rrset.RRset]:
    """Return what a client sees: each RRset once, DNSSEC records only if asked for."""
    seen: dict[tuple[dns.name.Name, int, int], dns.rrset.RRset] = {}
    for rrset in rrsets:
        if dnssec or rrset.rdtype == asked or rrset.rdtype not in _DNSSEC_TYPES:
            seen.setdefault((rrset.name, rrset.rdtype, rrset.covers), rrset)
    return list(seen.values())


def _to_wire(reply: dns.message.Message, query: dns.message.Message, *, tcp: bool) -> bytes:
    """Return the octets; over UDP a reply that does not fit is empty with TC=1 (RFC 2181 §9)."""
    limit = PLAIN_PAYLOAD
    if query.edns >= 0:
        limit = min(max(query.payload, PLAIN_PAYLOAD), UDP_PAYLOAD)
    octets = reply.to_wire(max_size=MAX_TCP_REPLY)
    if tcp or len(octets) <= limit:
        return octets
    reply.answer = []
    reply.authority = []
    reply.flags |= dns.flags.TC
    return reply.to_wire(max_size=MAX_TCP_REPLY)


def _malformed(query: bytes) -> bytes:
    """Return a reply whose header promises a record that is a compression pointer to itself."""
    header = query[:2] + b"\x81\x80" + b"\x00\x01\x00\x01\x00\x00\x00\x00"
    question_end = query.index(b"\x00", 12) + 5
    question = query[12:question_end]
    offset = 12 + len(question)
    return header + question + bytes((0xC0 | offset >> 8, offset & 0xFF)) + b"\x00\x01"
