"""DNS over TCP: one connection to a server at a time, shared by all questions (RFC 7766).

Theory. Questions are pipelined and replies matched by id, in any order. A connection on which
somebody waited in vain takes no more questions: whoever comes next gets a new one, so that one
stuck connection cannot starve the rest. A server may close an idle connection at any moment, also
just as we write to it; then the question is asked once more on a new one (RFC 7766 §6.2.4).

We use TCP only where a server said TC=1, so it has an answer for us: failing to hand it over is
never a partner's doing, and comes out as OwnSideError.
"""

import trio

from scanner.model.observation import Question
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.dnsstatistics import Counters
from scanner.observe.inflight import InFlight
from scanner.observe.net import Connect, PeerError, PeerStream, connect_tcp
from scanner.wire.dnsmsg import Reply, build_query, decode_response

CHUNK_OCTETS = 65_536
LENGTH_OCTETS = 2  # RFC 1035 §4.2.2


class ConnectionLostError(OwnSideError):
    """The connection ended before the reply; a new one may do better."""


class TcpChannel:
    """The way to one server by TCP."""

    def __init__(
        self,
        server: ServerAddress,
        *,
        limits: DnsLimits,
        nursery: trio.Nursery,
        counters: Counters,
        connect: Connect = connect_tcp,
    ) -> None:
        self._server = server
        self._limits = limits
        self._nursery = nursery
        self._counters = counters
        self._connect = connect
        self._connection: _Connection | None = None
        self._connecting = trio.Lock()

    async def ask(self, question: Question, *, checking_disabled: bool) -> Reply:
        """Return the reply to ``question``.

        Waits without end. Raises MalformedResponseError, OwnSideError.
        """
        query_id, wire = await self.exchange(question, checking_disabled=checking_disabled)
        return decode_response(
            question, query_id=query_id, wire=wire, max_aliases=self._limits.max_aliases
        )

    async def exchange(self, question: Question, *, checking_disabled: bool) -> tuple[int, bytes]:
        """Like ``ask``, but return the id that was sent and the reply's octets, unread."""
        while True:
            connection, is_new = await self._usable_connection()
            try:
                self._counters.count_query(question.rdtype, stream=True)
                return await connection.exchange(question, checking_disabled=checking_disabled)
            except ConnectionLostError:
                if is_new:
                    raise

    async def _usable_connection(self) -> "tuple[_Connection, bool]":
        async with self._connecting:
            if self._connection is not None and self._connection.usable:
                return self._connection, False
            try:
                stream = await self._connect(self._server.host, self._server.port)
            except PeerError as error:
                sentence = f"the resolver {self._server} takes no TCP connection: {error.detail}"
                raise OwnSideError(sentence) from error
            connection = _Connection(self._server, PeerStream(stream), self._limits, self._counters)
            self._nursery.start_soon(connection.read_until_end)
            self._connection = connection
            return connection, True


class _Connection:
    """One connection and the questions in flight on it.

    One that is no longer ``usable`` takes no more questions and is closed after its last one.
    """

    def __init__(
        self, server: ServerAddress, stream: PeerStream, limits: DnsLimits, counters: Counters
    ) -> None:
        self._server = server
        self._stream = stream
        self._limits = limits
        self._counters = counters
        self._in_flight = InFlight()
        self._sending = trio.Lock()
        self._scope = trio.CancelScope()
        self._buffer = bytearray()
        self._end = "it was closed"
        self.usable = True

    async def exchange(self, question: Question, *, checking_disabled: bool) -> tuple[int, bytes]:
        """Return id and reply. Raises OwnSideError (ConnectionLostError)."""
        query_id = self._in_flight.reserve(question)
        try:
            wire = build_query(
                question,
                query_id=query_id,
                checking_disabled=checking_disabled,
                payload=self._limits.payload_octets,
            )
            await self._send(len(wire).to_bytes(LENGTH_OCTETS) + wire)
            reply = await self._in_flight.wait(query_id)
        except trio.Cancelled:
            self.usable = False
            raise
        finally:
            self._in_flight.release(query_id)
            if not self.usable and not self._in_flight:
                self._scope.cancel()
        return query_id, reply

    async def _send(self, octets: bytes) -> None:
        async with self._sending:
            if not self.usable:
                raise self._lost()
            try:
                await self._stream.send(octets)
            except PeerError as error:
                self._end = error.detail
                self._scope.cancel()
                raise self._lost() from error
            except trio.Cancelled:
                # Part of a message may be on its way; whatever follows would be misread.
                self._scope.cancel()
                raise

    async def read_until_end(self) -> None:
        """Deliver replies until the connection ends, is given up or idles too long."""
        try:
            with self._scope:
                while await self._read_some():
                    self._deliver()
        finally:
            self.usable = False
            self._in_flight.close(self._lost)
            await self._stream.aclose()

    async def _read_some(self) -> bool:
        """Read into the buffer; False at the end."""
        while True:
            with trio.move_on_after(self._limits.tcp_idle_seconds):
                try:
                    data = await self._stream.receive(CHUNK_OCTETS)
                except PeerError as error:
                    self._end = error.detail
                    return False
                self._buffer += data
                return bool(data)
            if not self._in_flight:
                return False

    def _deliver(self) -> None:
        """Cut whole messages out of the buffer, which so never holds more than one and a chunk."""
        while len(self._buffer) >= LENGTH_OCTETS:
            end = LENGTH_OCTETS + int.from_bytes(self._buffer[:LENGTH_OCTETS])
            if len(self._buffer) < end:
                return
            wire = bytes(self._buffer[LENGTH_OCTETS:end])
            del self._buffer[:end]
            if not self._in_flight.deliver(wire):
                self._counters.count_stray()

    def _lost(self) -> ConnectionLostError:
        return ConnectionLostError(
            f"the resolver {self._server} did not answer over TCP: {self._end}"
        )
