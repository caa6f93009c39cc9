"""Asks one mail server for its greeting and leaves: proof that our connections to port 25 get out.

The lightest thing that proves it: no EHLO, no TLS. Whether the greeting is a 220 does not matter;
any SMTP reply came from beyond our firewall (RFC 5321 §4.2).
"""

import re
from contextlib import suppress
from dataclasses import dataclass

import trio

from scanner.model.addresses import special_purpose
from scanner.model.names import Name
from scanner.model.observation import AddressRecord, HostAddress, ProbeError, Question
from scanner.model.ports import Resolver
from scanner.model.vocabulary import Family, RRType
from scanner.observe.net import Connect, PeerError, PeerStream, connect_tcp, open_stream

READ_OCTETS = 4_096
_REPLY = re.compile(rb"[2-5][0-9]{2}[ \r\n-]")
_CODE_OCTETS = 4
_OWN = frozenset({ProbeError.OWN_RESOURCES, ProbeError.NO_ROUTE})


@dataclass(frozen=True, kw_only=True, slots=True)
class GreetingLimits:
    """Time and size of one question; ours."""

    connect_seconds: float = 8.0
    """Four tries of a SYN fit (at 0, 1, 3 and 7 s)."""
    greeting_seconds: float = 15.0
    """A witness has greeted us before; servers that delay on purpose do so for 6 to 10 s."""
    closing_seconds: float = 2.0
    """For QUIT and its reply."""


class Greeter:
    """Connects to mail servers for their greeting."""

    def __init__(
        self,
        *,
        port: int = 25,
        allow_special_purpose: bool = False,
        limits: GreetingLimits | None = None,
        connect: Connect = connect_tcp,
    ) -> None:
        """``allow_special_purpose`` is for a laboratory, as for probes."""
        self._port = port
        self._allow_special_purpose = allow_special_purpose
        self._limits = limits or GreetingLimits()
        self._connect = connect

    async def greet(self, address: HostAddress) -> bool | None:
        """Return whether ``address`` greeted us; None when our own machine failed or must not."""
        if not self._allow_special_purpose and special_purpose(address.address) is not None:
            await trio.lowlevel.checkpoint()
            return None
        stream = None
        try:
            with trio.move_on_after(self._limits.connect_seconds):
                stream = await open_stream(self._connect, address.address, self._port)
            if stream is None:
                return False
            async with stream:
                return await self._listen(stream)
        except PeerError as error:
            return None if error.error in _OWN else False

    async def _listen(self, stream: PeerStream) -> bool:
        """Read until a whole reply code has come, and say goodbye. Raises PeerError."""
        heard = b""
        with trio.move_on_after(self._limits.greeting_seconds):
            while len(heard) < _CODE_OCTETS and (more := await stream.receive(READ_OCTETS)):
                heard += more
        greeted = _REPLY.match(heard) is not None
        if greeted:
            with trio.move_on_after(self._limits.closing_seconds), suppress(PeerError):
                await stream.send(b"QUIT\r\n")
                await stream.receive(READ_OCTETS)
        return greeted


async def addresses_of(resolver: Resolver, host: Name) -> tuple[HostAddress, ...]:
    """Return the addresses of ``host``, as far as lookups bring any."""
    found: list[HostAddress] = []
    for family, rdtype in ((Family.IPV4, RRType.A), (Family.IPV6, RRType.AAAA)):
        lookup = await resolver.lookup(Question(host, rdtype))
        found += [
            HostAddress(address=record.address, family=family, status=lookup.status)
            for record in lookup.records
            if isinstance(record, AddressRecord)
        ]
    return tuple(found)
