"""Which IP addresses are special: never the address of somebody else's mail server.

An MX host may resolve to a loopback, private or documentation address, by mistake or to make us
connect to our own neighbours. Such an address is left alone and reported (unless the operator
allows it, for a laboratory).

The tables follow the IANA registries of special-purpose addresses (RFC 6890, RFC 8190; as of 2026)
and of the IPv4 and IPv6 address space. An entry that the registry calls globally reachable is
marked so, and where entries overlap the most specific one decides.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

REMEMBERED_NETWORKS = 1_024
"""Addresses whose network is remembered: a host is connected to twice within a second or two."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    first: int
    last: int
    prefix_length: int
    name: str
    reachable: bool


def special_purpose(address: str) -> str | None:
    """Return the name of the special-purpose block ``address`` is in; None if globally reachable.

    An IPv6 address that carries an IPv4 one (6to4, NAT64, Teredo) is special when the IPv4 address
    is; the name then says both, as in "6to4 of Private-Use (RFC 1918)". An IPv4-mapped address is
    always special: it is never sent on a wire (RFC 4291 §2.5.5.2).

    Raises ValueError when ``address`` is not an IP address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return _name_of(parsed, _IPV4)
    return _name_of(parsed, _IPV6) or _embedded(parsed) or _outside_unicast(parsed)


@lru_cache(maxsize=REMEMBERED_NETWORKS)
def network_of(address: str, *, ipv4_bits: int = 24, ipv6_bits: int = 48) -> str:
    """Return the network ``address`` lies in, as ``192.0.2.0/24``: what one operator usually has.

    Raises ValueError for what is no address.
    """
    parsed = ipaddress.ip_address(address)
    bits = ipv4_bits if parsed.version == 4 else ipv6_bits
    rest = parsed.max_prefixlen - bits
    return f"{type(parsed)(int(parsed) >> rest << rest)}/{bits}"


def _name_of(address: _Address, blocks: tuple[_Block, ...]) -> str | None:
    number = int(address)
    for block in blocks:
        if block.first <= number <= block.last:
            return None if block.reachable else block.name
    return None


def _embedded(address: ipaddress.IPv6Address) -> str | None:
    """Return the name for a transition address that leads to a special IPv4 address."""
    number = int(address)
    carriers: list[tuple[str, int]] = []
    if address in _NAT64:
        carriers.append(("NAT64", number))  # RFC 6052 §2.2: the last 32 bits
    elif address in _SIX_TO_FOUR:
        carriers.append(("6to4", number >> 80))  # RFC 3056 §2: bits 16 to 47
    elif address in _TEREDO:
        carriers.append(("Teredo", number >> 64))  # RFC 4380 §4: the server
        carriers.append(("Teredo", ~number))  # and, with all bits inverted, the client
    for carrier, bits in carriers:
        name = _name_of(ipaddress.IPv4Address(bits & 0xFFFF_FFFF), _IPV4)
        if name is not None:
            return f"{carrier} of {name}"
    return None


def _outside_unicast(address: ipaddress.IPv6Address) -> str | None:
    """Return a name for what is not global unicast: IANA has allocated only 2000::/3 for that."""
    if address in _GLOBAL_UNICAST or address in _NAT64:
        return None
    return "Reserved by IETF (RFC 4291)"


def _blocks(rows: Iterable[tuple[str, str, bool]]) -> tuple[_Block, ...]:
    """Return the blocks, most specific first, so that the first hit decides."""
    blocks = []
    for text, name, reachable in rows:
        network = ipaddress.ip_network(text)
        blocks.append(
            _Block(
                first=int(network.network_address),
                last=int(network.broadcast_address),
                prefix_length=network.prefixlen,
                name=name,
                reachable=reachable,
            )
        )
    return tuple(sorted(blocks, key=lambda block: -block.prefix_length))


_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

_IPV4 = _blocks(
    [
        ("0.0.0.0/8", "This network (RFC 791)", False),
        ("0.0.0.0/32", "Unspecified (RFC 1122)", False),
        ("10.0.0.0/8", "Private-Use (RFC 1918)", False),
        ("100.64.0.0/10", "Shared Address Space (RFC 6598)", False),
        ("127.0.0.0/8", "Loopback (RFC 1122)", False),
        ("169.254.0.0/16", "Link Local (RFC 3927)", False),
        ("172.16.0.0/12", "Private-Use (RFC 1918)", False),
        ("192.0.0.0/24", "IETF Protocol Assignments (RFC 6890)", False),
        ("192.0.0.9/32", "Port Control Protocol Anycast (RFC 7723)", True),
        ("192.0.0.10/32", "TURN Anycast (RFC 8155)", True),
        ("192.0.2.0/24", "Documentation (RFC 5737)", False),
        ("192.88.99.0/24", "Deprecated 6to4 Relay Anycast (RFC 7526)", False),
        ("192.168.0.0/16", "Private-Use (RFC 1918)", False),
        ("198.18.0.0/15", "Benchmarking (RFC 2544)", False),
        ("198.51.100.0/24", "Documentation (RFC 5737)", False),
        ("203.0.113.0/24", "Documentation (RFC 5737)", False),
        ("224.0.0.0/4", "Multicast (RFC 5771)", False),
        ("240.0.0.0/4", "Reserved (RFC 1112)", False),
        ("255.255.255.255/32", "Limited Broadcast (RFC 919)", False),
    ]
)

_IPV6 = _blocks(
    [
        ("::/128", "Unspecified (RFC 4291)", False),
        ("::1/128", "Loopback (RFC 4291)", False),
        ("::/96", "IPv4-compatible (RFC 4291)", False),
        ("::ffff:0:0/96", "IPv4-mapped (RFC 4291)", False),
        ("64:ff9b:1::/48", "Local-Use Translation (RFC 8215)", False),
        ("100::/64", "Discard-Only (RFC 6666)", False),
        ("100:0:0:1::/64", "Dummy Prefix (RFC 9780)", False),
        ("2001::/23", "IETF Protocol Assignments (RFC 2928)", False),
        ("2001::/32", "Teredo (RFC 4380)", True),  # judged by the IPv4 address it carries
        ("2001:1::1/128", "Port Control Protocol Anycast (RFC 7723)", True),
        ("2001:1::2/128", "TURN Anycast (RFC 8155)", True),
        ("2001:1::3/128", "DNS-SD Registration Anycast (RFC 9665)", True),
        ("2001:2::/48", "Benchmarking (RFC 5180)", False),
        ("2001:3::/32", "AMT (RFC 7450)", True),
        ("2001:4:112::/48", "AS112 (RFC 7535)", True),
        ("2001:10::/28", "Deprecated ORCHID (RFC 4843)", False),
        ("2001:20::/28", "ORCHIDv2 (RFC 7343)", True),
        ("2001:30::/28", "Drone Remote ID (RFC 9374)", True),
        ("2001:db8::/32", "Documentation (RFC 3849)", False),
        ("3fff::/20", "Documentation (RFC 9637)", False),
        ("5f00::/16", "Segment Routing SIDs (RFC 9602)", False),
        ("fc00::/7", "Unique-Local (RFC 4193)", False),
        ("fe80::/10", "Link-Local (RFC 4291)", False),
        ("fec0::/10", "Deprecated Site-Local (RFC 3879)", False),
        ("ff00::/8", "Multicast (RFC 4291)", False),
    ]
)
