"""A zone's own name servers, compared: which are silent, lame, old, or have another zone.

A resolver shows one answer; which of the zone's servers it is from is chance. One bad server of
four is a failure that comes and goes for real senders, so every finding says how many of how many.

Rules
- Warnings only: what a sender's resolver makes of it has been judged from what our resolver said.
- A server that we could not reach for a reason of ours says nothing and is not counted.
- Only what is signed is expected to have signatures: ``signed`` says whether a DS announces it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from scanner.judge.dnssec.findings import finding
from scanner.judge.dnssec.policy import MAX_SERIAL_SECONDS
from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import (
    Dnskey,
    DnssecFinding,
    FetchFailure,
    RRset,
    SignedMessage,
    Soa,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name

TYPE_NS = 2
TYPE_SOA = 6
TYPE_DNSKEY = 48
MAX_SHOWN = 6
"""Servers named in one finding; more are counted."""

Reply = SignedMessage | FetchFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerReplies:
    """What one address of one name server said.

    ``soa`` and ``keys`` were asked over UDP (a truncated reply over TCP after that), ``stream`` is
    the DNSKEY question over TCP from the start, ``data`` the question that was being looked into.
    """

    name: Name
    address: str
    soa: Reply
    keys: Reply
    stream: Reply
    data: Reply | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Authorities:
    """A zone's name servers as they were found and asked.

    ``at_parent`` and ``in_zone`` are the names of the servers on both sides of the cut, empty where
    unknown. ``without_address`` are those whose name leads nowhere.
    """

    zone: Name
    signed: bool
    servers: tuple[ServerReplies, ...] = ()
    at_parent: frozenset[Name] = frozenset()
    in_zone: frozenset[Name] = frozenset()
    without_address: tuple[Name, ...] = ()


def server_findings(found: Authorities, *, now: datetime) -> tuple[DnssecFinding, ...]:
    """Return what is wrong with the servers of a zone, or between them."""
    counted = [server for server in found.servers if not _is_ours(server.soa)]
    silent = [server for server in counted if _is_silent(server)]
    speaking = [server for server in counted if server not in silent]
    lame = [server for server in speaking if _is_lame(server.soa)]
    serving = [server for server in speaking if server not in lame]
    told = _Telling(found, len(counted))
    findings = [
        *told.about(DnssecReason.SERVER_UNRESPONSIVE, silent),
        *told.about(DnssecReason.SERVER_LAME, lame),
        *told.about(DnssecReason.SERVER_NO_EDNS, [s for s in speaking if _lacks_edns(s)]),
        *told.about(DnssecReason.PMTU_EXCEEDED, [s for s in serving if _loses_large(s)]),
    ]
    if found.signed:
        findings += told.about(
            DnssecReason.SERVER_DROPS_DO, [s for s in serving if _drops_signatures(s, found.zone)]
        )
    findings += _differences(told, serving, now)
    findings += _names(told)
    return tuple(findings)


@dataclass(frozen=True, slots=True)
class _Telling:
    """Puts findings about servers into words."""

    found: Authorities
    total: int

    def about(
        self, reason: DnssecReason, servers: Sequence[ServerReplies]
    ) -> Iterator[DnssecFinding]:
        if servers:
            shown = ", ".join(str(server) for server in servers[:MAX_SHOWN])
            count = ("servers", f"{len(servers)} of {self.total}")
            yield self.finding(reason, (count, ("which", shown)))

    def finding(
        self, reason: DnssecReason, values: tuple[tuple[str, str], ...], rdtype: int = TYPE_NS
    ) -> DnssecFinding:
        zone = self.found.zone
        return finding(reason, zone=zone, owner=zone, rdtype=rdtype, values=values)


def _differences(
    told: _Telling, serving: Sequence[ServerReplies], now: datetime
) -> Iterator[DnssecFinding]:
    """Yield what serving servers have differently: the serial, the keys, expired signatures."""
    apex = canonical(told.found.zone)
    serials = _grouped(serving, lambda server: _serial(server.soa, apex))
    if len(serials) > 1:
        yield told.finding(DnssecReason.SERVER_INCONSISTENT, _listed("serial", serials), TYPE_SOA)
    keys = _grouped(serving, lambda server: _keys(server, apex))
    if len(keys) > 1:
        yield told.finding(DnssecReason.SERVER_INCONSISTENT, _listed("keys", keys), TYPE_DNSKEY)
    asked = [server for server in serving if isinstance(server.data, SignedMessage)]
    expired = [server for server in asked if _has_expired(server.data, now)]
    if expired and len(expired) < len(asked):
        shown = ", ".join(str(server) for server in expired[:MAX_SHOWN])
        values = (("expired_signatures", f"{len(expired)} of {len(asked)}"), ("which", shown))
        yield told.finding(DnssecReason.SERVER_INCONSISTENT, values)


def _names(told: _Telling) -> Iterator[DnssecFinding]:
    found = told.found
    if found.without_address:
        nameless = ("name_servers", " ".join(found.without_address[:MAX_SHOWN]))
        yield told.finding(DnssecReason.NS_NO_ADDRESS, (nameless,))
    if found.at_parent and found.in_zone and found.at_parent != found.in_zone:
        values = (
            ("only_at_the_parent", " ".join(sorted(found.at_parent - found.in_zone)) or "none"),
            ("only_in_the_zone", " ".join(sorted(found.in_zone - found.at_parent)) or "none"),
        )
        yield told.finding(DnssecReason.NS_PARENT_CHILD_MISMATCH, values)


def _is_ours(reply: Reply) -> bool:
    return isinstance(reply, FetchFailure) and reply.own_fault is not None


def _is_silent(server: ServerReplies) -> bool:
    replies = (server.soa, server.keys, server.stream)
    return all(
        isinstance(reply, FetchFailure) and reply.reason is DnssecReason.UPSTREAM_TIMEOUT
        for reply in replies
    )


def _is_lame(reply: Reply) -> bool:
    """Whether a server that speaks does not serve the zone: no authority, a refusal, a failure."""
    if isinstance(reply, SignedMessage):
        return not reply.authoritative
    return reply.reason in (DnssecReason.UPSTREAM_REFUSED, DnssecReason.UPSTREAM_SERVFAIL)


def _lacks_edns(server: ServerReplies) -> bool:
    for reply in (server.soa, server.keys):
        if isinstance(reply, SignedMessage):
            return not reply.edns
        if reply.reason is DnssecReason.UPSTREAM_RCODE and reply.detail.startswith("FORMERR"):
            return True  # RFC 6891 §7: what servers say that know no EDNS
    return False


def _loses_large(server: ServerReplies) -> bool:
    """Whether the small answer comes over UDP, and the keys over TCP only."""
    lost = isinstance(server.keys, FetchFailure) and (
        server.keys.reason is DnssecReason.UPSTREAM_TIMEOUT
    )
    return lost and isinstance(server.soa, SignedMessage)


def _drops_signatures(server: ServerReplies, zone: Name) -> bool:
    apex = canonical(zone)
    for reply, rdtype in ((server.soa, TYPE_SOA), (server.stream, TYPE_DNSKEY)):
        if isinstance(reply, SignedMessage):
            rrset = reply.find(apex, rdtype)
            if rrset is not None and not rrset.rrsigs:
                return True
    return False


def _serial(reply: Reply, apex: CanonicalName) -> str | None:
    rrset = reply.find(apex, TYPE_SOA) if isinstance(reply, SignedMessage) else None
    parsed = rrset.parsed if rrset is not None else ()
    return next((str(soa.serial) for soa in parsed if isinstance(soa, Soa)), None)


def _keys(server: ServerReplies, apex: CanonicalName) -> str | None:
    for reply in (server.keys, server.stream):
        if isinstance(reply, SignedMessage):
            rrset = reply.find(apex, TYPE_DNSKEY)
            return _key_tags(rrset) if rrset is not None else "none"
    return None


def _key_tags(rrset: RRset) -> str:
    tags = sorted(
        f"{key.key_tag}/{key.algorithm}" for key in rrset.parsed if isinstance(key, Dnskey)
    )
    return "+".join(tags) or "none"


def _has_expired(reply: Reply | None, now: datetime) -> bool:
    """Whether every signature in the answer has ended, by serial arithmetic (RFC 4034 §3.1.5)."""
    if not isinstance(reply, SignedMessage):
        return False
    ends = [
        rrsig.expiration for rrset in (*reply.answer, *reply.authority) for rrsig in rrset.rrsigs
    ]
    half, at = MAX_SERIAL_SECONDS // 2, int(now.timestamp())
    return bool(ends) and all((end - at + half) % MAX_SERIAL_SECONDS < half for end in ends)


def _grouped(
    servers: Iterable[ServerReplies], value: Callable[[ServerReplies], str | None]
) -> dict[str, list[ServerReplies]]:
    groups: dict[str, list[ServerReplies]] = {}
    for server in servers:
        found = value(server)
        if found is not None:
            groups.setdefault(found, []).append(server)
    return groups


def _listed(what: str, groups: dict[str, list[ServerReplies]]) -> tuple[tuple[str, str], ...]:
    """Return each value with the servers that have it, the most common first."""
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        (f"{what} {value}", ", ".join(str(server) for server in servers[:MAX_SHOWN]))
        for value, servers in ordered[:MAX_SHOWN]
    )
