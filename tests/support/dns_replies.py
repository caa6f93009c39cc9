"""Makes DNS replies octet by octet, well-formed or not, without the code under test."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


@dataclass(frozen=True, kw_only=True)
class RR:
    """One record as it goes on the wire."""

    owner: str
    rdtype: int
    rdata: bytes
    ttl: int = 300
    rdclass: int = 1

    def octets(self) -> bytes:
        fixed = self.rdtype.to_bytes(2) + self.rdclass.to_bytes(2) + self.ttl.to_bytes(4)
        return name(self.owner) + fixed + len(self.rdata).to_bytes(2) + self.rdata


def name(text: str) -> bytes:
    """Return a name uncompressed."""
    return dns.name.from_text(text).to_wire() or b""


def rr(owner: str, rdtype: str, text: str | None = None, **fields: object) -> RR:
    """Return a record from presentation form, or with the ``rdata`` octets given."""
    code = dns.rdatatype.from_text(rdtype)
    if text is not None:
        parsed = dns.rdata.from_text(
            dns.rdataclass.IN, code, text, origin=dns.name.root, relativize=False
        )
        fields["rdata"] = parsed.to_wire() or b""
    return RR(owner=owner, rdtype=int(code), **fields)  # type: ignore[arg-type]


def soa(zone: str, *, ttl: int = 300, minimum: int = 300) -> RR:
    """Return the SOA record of ``zone``."""
    return rr(zone, "SOA", f"ns.test. admin.test. 1 7200 3600 86400 {minimum}", ttl=ttl)


def rrsig(owner: str, covered: str, *, expiration: str = "20261224000000", ttl: int = 300) -> RR:
    """Return a signature that looks right."""
    signer = owner.rsplit(".", 1)[-1]
    text = f"{covered} 13 2 {ttl} {expiration} 20261110000000 12345 {signer}. aaaa"
    return rr(owner, "RRSIG", text, ttl=ttl)


def opt(*errors: tuple[int, bytes], extended_rcode: int = 0, raw: bytes | None = None) -> RR:
    """Return an OPT record with extended errors, or with any options."""
    options = raw
    if options is None:
        payloads = [code.to_bytes(2) + text for code, text in errors]
        options = b"".join(b"\x00\x0f" + len(p).to_bytes(2) + p for p in payloads)
    return RR(owner=".", rdtype=41, rdata=options, rdclass=1232, ttl=extended_rcode << 24 | 0x8000)


def question_of(query: bytes) -> bytes:
    """Return the question section of ``query``."""
    position = 12
    while query[position]:
        position += query[position] + 1
    return query[12 : position + 5]


def reply(
    question: bytes | tuple[str, str],
    *,
    query_id: int = 7,
    answer: Sequence[RR] = (),
    authority: Sequence[RR] = (),
    additional: Sequence[RR] | None = None,
    rcode: int = NOERROR,
    flags: int = QR | RD | RA,
    counts: tuple[int, int, int] | None = None,
    tail: bytes = b"",
) -> bytes:
    """Return a reply to ``question``, its octets or (name, type). ``counts`` may lie."""
    if not isinstance(question, bytes):
        code = int(dns.rdatatype.from_text(question[1]))
        question = name(question[0]) + code.to_bytes(2) + b"\x00\x01"
    sections = (answer, authority, [opt()] if additional is None else additional)
    numbers = counts or tuple(len(section) for section in sections)
    header = b"".join(n.to_bytes(2) for n in (query_id, flags | rcode, 1, *numbers))
    body = b"".join(record.octets() for section in sections for record in section)
    return header + question + body + tail
