"""Which DNS servers are asked, within which limits, and how a server can fail to be reached."""

import ipaddress
from dataclasses import dataclass

from scanner.wire.dnsquery import PAYLOAD_OCTETS

DNS_PORT = 53
MAX_PORT = 65_535
NOTHING_LISTENS = "nothing listens at"
"""How the sentence begins that says a server's port is closed."""


class InvalidServerError(ValueError):
    """The text names no DNS server; the message says why, in words for an operator."""


class OwnSideError(Exception):
    """A configured resolver could not be reached or did not keep to the protocol of transport.

    Resolvers belong to us, so nothing follows about any partner. The message is a sentence.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class DnsLimits:
    """Bounds of the DNS client; seconds and counts."""

    try_timeout_seconds: float = 3.0
    """One server's time for one try. Ours; a resolver asked again resumes, so little is lost."""
    tries: int = 3
    """Rounds over the servers that have not answered."""
    total_timeout_seconds: float = 12.0
    """One lookup, aliases and the second look with CD=1 included. Ours; above the time unbound
    needs to give up on dead name servers in most cases."""
    max_in_flight: int = 500
    """Lookups at a time; more wait, and their time does not run while they do."""
    min_in_flight: int = 20
    """Never fewer, however many of them time out (``scanner.observe.questionwindow``)."""
    sockets_per_server: int = 16
    """Connected UDP sockets, each with a random port of its own (RFC 5452 §9.2)."""
    queries_per_socket: int = 1_000
    """Queries before a socket is replaced, and its port with it."""
    payload_octets: int = PAYLOAD_OCTETS
    max_aliases: int = 16
    """As in RoutingLimits; here it bounds one lookup."""
    tcp_idle_seconds: float = 5.0
    """An unused TCP connection is kept this long (RFC 7766 §6.2.3 asks for a few seconds)."""
    max_lag_seconds: float = 0.5
    """A timeout noticed later than this says that we were busy, not that a server was silent."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A DNS server: an IPv4 or IPv6 address in text, and a port."""

    host: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_server(text: str) -> ServerAddress:
    """Return the server meant by ``ADDR`` or ``ADDR:PORT``; IPv6 with a port needs brackets.

    Raises InvalidServerError. Host names are refused: they would need a resolver to look up.
    """
    stripped = text.strip()
    host, port_text = stripped, ""
    if stripped.startswith("["):
        host, bracket, rest = stripped[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidServerError(f"{text!r} is not of the form [ADDRESS]:PORT")
        port_text = rest[1:]
        if rest == ":":
            raise InvalidServerError(f"{text!r} has no port after the colon")
    elif stripped.count(":") == 1:
        host, _, port_text = stripped.partition(":")
        if not port_text:
            raise InvalidServerError(f"{text!r} has no port after the colon")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise InvalidServerError(f"{host!r} is not an IPv4 or IPv6 address") from None
    return ServerAddress(str(address), _parse_port(port_text) if port_text else DNS_PORT)


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_PORT):
        raise InvalidServerError(f"{text!r} is not a port between 1 and {MAX_PORT}")
    return int(text)
