"""DNS over UDP: many questions in flight over a few connected sockets of one server.

Theory. A reply is believed if it comes from the server's address to our port with our id and our
question; each is checked, the first two by the kernel since the sockets are connected. Sockets are
several, chosen at random for each query and replaced after a while, so that a forger has to guess
the port as well as the id (RFC 5452 §9.2). A connected socket also hears at once that nobody
listens, where an unconnected one would wait for the timeout.

Everything that goes wrong on a socket is our own side: ``OwnSideError``. Silence is not an error
here; the caller sets the deadline.
"""

import errno
import os
import socket

import trio

from scanner.model.dnssec import SignedMessage
from scanner.model.observation import Question
from scanner.observe.dnsserver import NOTHING_LISTENS, DnsLimits, OwnSideError, ServerAddress
from scanner.observe.dnsstatistics import Counters
from scanner.observe.inflight import InFlight, random_below
from scanner.wire.dnsmsg import Reply, decode_response
from scanner.wire.dnsquery import query_about, question_octets
from scanner.wire.usualreply import decode_usual

DATAGRAM_OCTETS = 4096  # read at most; we announce 1232, and longer ones come out malformed
DATAGRAMS_AT_ONCE = 256  # read before other tasks get a turn
RECEIVE_BUFFER_OCTETS = 1 << 20  # asked of the kernel, so that a burst of replies is not dropped


class UdpPool:
    """The sockets to one server."""

    def __init__(
        self,
        server: ServerAddress,
        *,
        limits: DnsLimits,
        nursery: trio.Nursery,
        counters: Counters,
    ) -> None:
        self._server = server
        self._name = str(server)
        self._limits = limits
        self._nursery = nursery
        self._counters = counters
        self._slots: list[_Socket | None] = [None] * limits.sockets_per_server

    async def ask(self, question: Question, *, checking_disabled: bool) -> Reply:
        """Return the first reply to ``question``, sent once.

        Waits without end. Raises MalformedResponseError, OwnSideError.
        """
        query_id, wire = await self.exchange(question, checking_disabled=checking_disabled)
        return decode_response(
            question, query_id=query_id, wire=wire, max_aliases=self._limits.max_aliases
        )

    async def ask_until(
        self, question: Question, until: float, *, checking_disabled: bool
    ) -> Reply | None:
        """Like ``ask``, but return None when no reply has come by ``until``."""
        asked = question_octets(question)
        got = await self._exchange_until(
            question, asked, until, checking_disabled=checking_disabled
        )
        if got is None:
            return None
        query_id, wire = got
        return decode_response(
            question, query_id=query_id, wire=wire, max_aliases=self._limits.max_aliases
        )

    async def fetch_until(self, question: Question, until: float) -> SignedMessage | None:
        """Return the reply to ``question`` with DO and CD whole, None when it has not come.

        Raises MalformedResponseError, OwnSideError.
        """
        asked = question_octets(question)
        got = await self._exchange_until(question, asked, until, checking_disabled=True)
        if got is None:
            return None
        query_id, wire = got
        return decode_usual(question, query_id=query_id, wire=wire, server=self._name, asked=asked)

    async def exchange(self, question: Question, *, checking_disabled: bool) -> tuple[int, bytes]:
        """Like ``ask``, but return the id that was sent and the reply's octets, unread."""
        sock = self._pick_socket()
        asked = question_octets(question)
        query_id = sock.in_flight.reserve(question, asked)
        try:
            await sock.send(self._query(asked, query_id, checking_disabled))
            self._counters.count_query(question.rdtype, stream=False)
            reply = await sock.in_flight.wait(query_id)
        finally:
            sock.release(query_id)
        return query_id, reply

    async def _exchange_until(
        self, question: Question, asked: bytes, until: float, *, checking_disabled: bool
    ) -> tuple[int, bytes] | None:
        """Like ``exchange``, but return None when no reply has come by ``until``."""
        sock = self._pick_socket()
        query_id = sock.in_flight.reserve(question, asked)
        try:
            wire = self._query(asked, query_id, checking_disabled)
            if not sock.send_at_once(wire):
                with trio.move_on_at(until) as scope:
                    await sock.send(wire)
                if scope.cancelled_caught:
                    return None
            self._counters.count_query(question.rdtype, stream=False)
            reply = await sock.in_flight.wait_until(query_id, until)
        finally:
            sock.release(query_id)
        return None if reply is None else (query_id, reply)

    def _query(self, asked: bytes, query_id: int, checking_disabled: bool) -> bytes:
        return query_about(
            asked,
            query_id=query_id,
            checking_disabled=checking_disabled,
            payload=self._limits.payload_octets,
        )

    def _pick_socket(self) -> "_Socket":
        index = random_below(len(self._slots))
        sock = self._slots[index]
        if sock is None or sock.retired:
            sock = _Socket(self._server, self._counters)
            self._slots[index] = sock
            self._nursery.start_soon(sock.read_for_ever)
        sock.queries += 1
        sock.retired = sock.retired or sock.queries >= self._limits.queries_per_socket
        return sock


class _Socket:
    """One connected socket and the questions in flight on it.

    A ``retired`` socket takes no more questions and is closed when its last one is done.
    """

    def __init__(self, server: ServerAddress, counters: Counters) -> None:
        self._server = server
        self._counters = counters
        self.in_flight = InFlight()
        self.queries = 0
        self.retired = False
        self._closed = False
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        try:
            self._sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise self._own_side(error) from error
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
            self._sock.connect((server.host, server.port))
        except OSError as error:
            self._sock.close()
            raise self._own_side(error) from error

    async def send(self, wire: bytes) -> None:
        """Send one datagram. Raises OwnSideError."""
        while not self.send_at_once(wire):
            await trio.lowlevel.wait_writable(self._sock)

    def send_at_once(self, wire: bytes) -> bool:
        """Send one datagram; False when the socket takes none now. Raises OwnSideError."""
        try:
            self._sock.send(wire)
        except BlockingIOError:
            return False
        except OSError as error:
            # It may be about an earlier datagram; then the others wait in vain as well.
            self._fail(error)
            raise self._own_side(error) from error
        return True

    def release(self, query_id: int) -> None:
        """Forget the question; a retired socket is closed after its last one."""
        self.in_flight.release(query_id)
        if self.retired and not self.in_flight:
            self.close()

    async def read_for_ever(self) -> None:
        """Deliver what arrives until ``close``."""
        try:
            while not self._closed:
                await trio.lowlevel.wait_readable(self._sock)
                self._drain()
        except trio.ClosedResourceError:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Close; the reader ends, and so does every wait."""
        if self._closed:
            return
        self._closed = True
        self.retired = True
        self.in_flight.close(lambda: OwnSideError("the DNS client was closed meanwhile"))
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    def _drain(self) -> None:
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                wire = self._sock.recv(DATAGRAM_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            if not self.in_flight.deliver(wire):
                self._counters.count_stray()

    def _fail(self, error: OSError) -> None:
        self.in_flight.fail_all(lambda: self._own_side(error))

    def _own_side(self, error: OSError) -> OwnSideError:
        if error.errno == errno.ECONNREFUSED:
            return OwnSideError(f"{NOTHING_LISTENS} the resolver {self._server}")
        words = os.strerror(error.errno) if error.errno else str(error)
        return OwnSideError(f"the resolver {self._server} cannot be reached: {words}")
