"""Carries one question to one server and one reply back: the seam below the resolver."""

from collections.abc import Awaitable, Sequence
from typing import Protocol, runtime_checkable

import trio

from scanner.model.dnssec import SignedMessage
from scanner.model.observation import Question
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.dnsstatistics import Counters
from scanner.observe.dnstcp import TcpChannel
from scanner.observe.dnsudp import UdpPool
from scanner.wire.dnsmsg import Reply
from scanner.wire.usualreply import decode_usual


class Transport(Protocol):
    """How a question gets to a server."""

    async def ask(
        self,
        server: ServerAddress,
        question: Question,
        *,
        checking_disabled: bool,
        stream: bool,
    ) -> Reply:
        """Return the reply of ``server``, over TCP if ``stream``.

        Waits without end; the caller sets the deadline. Raises MalformedResponseError for a reply
        that is none, OwnSideError when the server could not be reached.
        """
        ...


class RawTransport(Protocol):
    """How a question with checking disabled gets to a server, its reply kept whole."""

    async def fetch(
        self, server: ServerAddress, question: Question, *, stream: bool
    ) -> SignedMessage:
        """Return the reply of ``server`` to a query with DO and CD; otherwise like ``ask``."""
        ...


@runtime_checkable
class TimedTransport(Protocol):
    """A transport that keeps the time itself, for less than a cancel scope for each question."""

    async def ask_until(
        self, server: ServerAddress, question: Question, until: float, *, checking_disabled: bool
    ) -> Reply | None:
        """Return what ``Transport.ask`` returns over UDP, None when it is late."""
        ...

    def fetch_until(
        self, server: ServerAddress, question: Question, until: float
    ) -> Awaitable[SignedMessage | None]:
        """Return what ``RawTransport.fetch`` returns over UDP, None when it is late."""
        ...


class SocketTransport:
    """Real sockets; their readers run in ``nursery``."""

    def __init__(
        self,
        servers: Sequence[ServerAddress],
        *,
        limits: DnsLimits,
        nursery: trio.Nursery,
        counters: Counters,
    ) -> None:
        self._datagrams = {
            server: UdpPool(server, limits=limits, nursery=nursery, counters=counters)
            for server in servers
        }
        self._streams = {
            server: TcpChannel(server, limits=limits, nursery=nursery, counters=counters)
            for server in servers
        }
        self._names = {server: str(server) for server in servers}

    async def ask(
        self,
        server: ServerAddress,
        question: Question,
        *,
        checking_disabled: bool,
        stream: bool,
    ) -> Reply:
        """See ``Transport.ask``."""
        channel = self._streams[server] if stream else self._datagrams[server]
        return await channel.ask(question, checking_disabled=checking_disabled)

    async def fetch(
        self, server: ServerAddress, question: Question, *, stream: bool
    ) -> SignedMessage:
        """See ``RawTransport.fetch``."""
        channel = self._streams[server] if stream else self._datagrams[server]
        query_id, wire = await channel.exchange(question, checking_disabled=True)
        return decode_usual(question, query_id=query_id, wire=wire, server=self._names[server])

    async def ask_until(
        self, server: ServerAddress, question: Question, until: float, *, checking_disabled: bool
    ) -> Reply | None:
        """See ``TimedTransport.ask_until``."""
        return await self._datagrams[server].ask_until(
            question, until, checking_disabled=checking_disabled
        )

    def fetch_until(
        self, server: ServerAddress, question: Question, until: float
    ) -> Awaitable[SignedMessage | None]:
        """See ``TimedTransport.fetch_until``."""
        return self._datagrams[server].fetch_until(question, until)
