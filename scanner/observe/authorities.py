"""Asks a zone's own name servers what they have, when our resolver's answer does not validate.

Theory. A resolver shows what one server said to it. Whether all servers of the zone are wrong or
one of them, and whether they can be reached with EDNS, DO and TCP, only they can tell
(scanner.judge.dnssec.servers). This is for a diagnosis and not for a pass: a dozen questions to
servers of strangers, once, after something was found broken.

Rules
- Names and addresses of the servers come from our resolver; what they say is evidence, and
  validated by nobody.
- At most ``max_servers`` addresses are asked, each question once or twice, all within a deadline.
- Special-purpose addresses are not asked: nothing behind them is the partner's.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import trio

from scanner.judge.dnssec.servers import Authorities, ServerReplies
from scanner.model.addresses import special_purpose
from scanner.model.canonical import canonical
from scanner.model.dnssec import FetchFailure, RRset, SignedMessage
from scanner.model.names import Name, name_from_labels, parent_of
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.chainwalk import Fetcher
from scanner.observe.dnsserver import DNS_PORT, NOTHING_LISTENS, DnsLimits, ServerAddress
from scanner.observe.rawfetch import RawFetcher
from scanner.observe.resolver import open_fetcher
from scanner.wire.dnsframe import MalformedResponseError, read_labels

_ADDRESS_OCTETS = {1: 4, 28: 16}
_TYPE_NS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorityLimits:
    """Bounds of one diagnosis; ours, polite to strangers."""

    max_names: int = 8
    """Name servers of a zone that are looked up; hardly a zone has more."""
    max_servers: int = 12
    """Addresses that are asked."""
    max_parents: int = 2
    """Addresses of the zone above that are asked for the delegation."""
    total_seconds: float = 20.0
    port: int = DNS_PORT
    """Anything but 53 is for a laboratory; special-purpose addresses are then asked too."""


_DNS_LIMITS = DnsLimits(
    try_timeout_seconds=2.0, tries=2, total_timeout_seconds=5.0, sockets_per_server=1
)


async def ask_authorities(
    zone: Name,
    fetcher: Fetcher,
    *,
    question: Question | None = None,
    signed: bool,
    limits: AuthorityLimits | None = None,
) -> Authorities | None:
    """Return what the name servers of ``zone`` say; None where they cannot be found in time.

    ``question`` is what was being looked into, ``signed`` whether a DS announces the zone.
    """
    chosen = limits or AuthorityLimits()
    with trio.move_on_after(chosen.total_seconds):
        return await _Asking(zone, fetcher, question, signed, chosen).ask()
    return None


@dataclass(slots=True)
class _Asking:
    """One diagnosis."""

    zone: Name
    fetcher: Fetcher
    question: Question | None
    signed: bool
    limits: AuthorityLimits

    async def ask(self) -> Authorities | None:
        names = await self._name_servers(self.zone)
        if not names:
            return None
        addresses = {name: await self._addresses(name) for name in names}
        servers = await self._ask_servers(
            [
                (name, address)
                for name in names
                for address in addresses[name]
                if self._may_ask(address)
            ][: self.limits.max_servers]
        )
        return Authorities(
            zone=self.zone,
            signed=self.signed,
            servers=tuple(servers),
            at_parent=await self._delegation(),
            in_zone=frozenset(names),
            without_address=tuple(name for name in names if not addresses[name]),
        )

    async def _name_servers(self, zone: Name) -> list[Name]:
        """Return the names of the servers of ``zone`` as our resolver has them."""
        reply = await self.fetcher.fetch(Question(zone, RRType.NS))
        if not isinstance(reply, SignedMessage):
            return []
        return _targets(reply.find(canonical(zone), _TYPE_NS))[: self.limits.max_names]

    async def _addresses(self, name: Name) -> list[str]:
        found: list[str] = []
        for rdtype in (RRType.A, RRType.AAAA):
            reply = await self.fetcher.fetch(Question(name, rdtype))
            if isinstance(reply, SignedMessage):
                found += _addresses_in(reply.answer)
        return found

    def _may_ask(self, address: str) -> bool:
        return special_purpose(address) is None or self.limits.port != DNS_PORT

    async def _ask_servers(self, chosen: Sequence[tuple[Name, str]]) -> list[ServerReplies]:
        """Ask every address at the same time; return what each said, in their order."""
        if not chosen:
            return []
        servers = [ServerAddress(address, self.limits.port) for _, address in chosen]
        found: dict[int, ServerReplies] = {}

        async def ask_one(
            number: int, name: Name, datagrams: RawFetcher, stream: RawFetcher
        ) -> None:
            keys = Question(self.zone, RRType.DNSKEY)
            found[number] = ServerReplies(
                name=name,
                address=servers[number].host,
                soa=_theirs(await datagrams.fetch(Question(self.zone, RRType.SOA))),
                keys=_theirs(await datagrams.fetch(keys)),
                stream=_theirs(await stream.fetch(keys)),
                data=_theirs(await datagrams.fetch(self.question)) if self.question else None,
            )

        async with (
            open_fetcher(tuple(dict.fromkeys(servers)), limits=_DNS_LIMITS) as fetcher,
            trio.open_nursery() as nursery,
        ):
            by_server = dict(zip(fetcher.servers, fetcher.split(), strict=True))
            streams = dict(zip(fetcher.servers, fetcher.split(stream_only=True), strict=True))
            for number, (name, _) in enumerate(chosen):
                server = servers[number]
                nursery.start_soon(ask_one, number, name, by_server[server], streams[server])
        return [found[number] for number in sorted(found)]

    async def _delegation(self) -> frozenset[Name]:
        """Return the name servers that the zone above has for this one, from its own servers."""
        asked = 0
        for name in await self._name_servers(parent_of(self.zone)):
            for address in await self._addresses(name):
                if not self._may_ask(address) or asked >= self.limits.max_parents:
                    continue
                asked += 1
                server = ServerAddress(address, self.limits.port)
                async with open_fetcher((server,), limits=_DNS_LIMITS) as fetcher:
                    reply = await fetcher.fetch(Question(self.zone, RRType.NS))
                if isinstance(reply, SignedMessage):
                    labels = canonical(self.zone)
                    for rrset in (*reply.answer, *reply.authority):
                        if rrset.rdtype == _TYPE_NS and rrset.owner_labels == labels:
                            return frozenset(_targets(rrset))
        return frozenset()


def _theirs(reply: SignedMessage | FetchFailure) -> SignedMessage | FetchFailure:
    """Return ``reply``; that nothing listens is our fault at a resolver, and theirs here."""
    if isinstance(reply, FetchFailure) and (reply.own_fault or "").startswith(NOTHING_LISTENS):
        return replace(reply, own_fault=None)
    return reply


def _targets(rrset: RRset | None) -> list[Name]:
    """Return the names in NS records; one that cannot be read is left out."""
    names: list[Name] = []
    for rdata in rrset.rdatas if rrset is not None else ():
        try:
            labels, _ = read_labels(rdata, 0)
        except MalformedResponseError:
            continue
        names.append(name_from_labels(labels))
    return names


def _addresses_in(rrsets: Iterable[RRset]) -> list[str]:
    return [
        str(ipaddress.ip_address(rdata))
        for rrset in rrsets
        if rrset.rdtype in _ADDRESS_OCTETS
        for rdata in rrset.rdatas
        if len(rdata) == _ADDRESS_OCTETS[rrset.rdtype]
    ]
