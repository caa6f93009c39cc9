"""Fetches whole replies with checking disabled, for validating them ourselves.

Theory. With CD=1 a resolver hands on what it has, valid or not (RFC 4035 §3.2.2), so its own
validation can neither hide data from us nor vouch for them. Whoever answers first is believed to
have *said* it; whether it is true the signatures tell.

Rules
- ``fetch`` never raises for anything a server does; cancellation passes through.
- One server's error counts only when no other server has an answer.
- ``fresh`` asks as differently as we can: another server first, and over TCP, so that a forged
  datagram or one resolver's stale cache is not asked to confirm itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import dns.rcode
import trio

from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.observation import Question
from scanner.model.vocabulary import LookupOutcome
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.dnsstatistics import Counters
from scanner.observe.dnstransport import RawTransport, TimedTransport
from scanner.observe.questionwindow import OVERLOADED, QuestionWindow, window_limits
from scanner.observe.reading import RCODE_SERVFAIL, REFUSING_RCODES, own_fault_of
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.dnsquery import UnencodableNameError, question_octets

_ANSWER_RCODES = frozenset({0, 3})  # NOERROR, NXDOMAIN
_RANKS = {
    DnssecReason.UPSTREAM_SERVFAIL: 1,
    DnssecReason.UPSTREAM_RCODE: 2,
    DnssecReason.UPSTREAM_REFUSED: 2,
    DnssecReason.RESPONSE_MALFORMED: 3,
    DnssecReason.UPSTREAM_TIMEOUT: 4,
}
"""The order in which failures of several servers count; the lowest tells most."""


class RawFetcher:
    """Asks the configured servers with DO and CD, over the sockets of the resolver."""

    def __init__(
        self,
        transport: RawTransport,
        servers: Sequence[ServerAddress],
        *,
        limits: DnsLimits,
        counters: Counters | None = None,
        window: QuestionWindow | None = None,
        stream_only: bool = False,
    ) -> None:
        """``window`` is shared by all who ask the same servers. ``stream_only`` asks over TCP from
        the start, to see whether that works."""
        if not servers:
            raise ValueError("at least one server is needed")
        self.servers = tuple(servers)
        self._transport = transport
        self._timed = transport if isinstance(transport, TimedTransport) else None
        self._limits = limits
        self._counters = counters or Counters()
        self._stream_only = stream_only
        self._window = window or QuestionWindow(window_limits(limits))
        self._first_try_seconds = min(limits.try_timeout_seconds, limits.total_timeout_seconds)
        self._preferred = 0

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        """Return the reply to ``question``, NOERROR or NXDOMAIN, or why there is none."""
        try:
            question_octets(question)
        except UnencodableNameError as error:
            return FetchFailure(
                question=question,
                reason=DnssecReason.RESPONSE_MALFORMED,
                outcome=LookupOutcome.MALFORMED,
                detail=f"no such name can exist: {error}",
            )
        await self._window.enter()
        begun_at = trio.current_time()
        self._counters.lookups += 1
        self._counters.lookups_in_flight += 1
        try:
            got = await self._fetch(question, begun_at, fresh=fresh)
        finally:
            self._counters.lookups_in_flight -= 1
            self._window.leave()
        if isinstance(got, FetchFailure):
            got = self._excused(got, begun_at)
            self._counters.own_faults += got.own_fault is not None
        return got

    def split(self, *, stream_only: bool = False) -> "tuple[RawFetcher, ...]":
        """Return one fetcher for each server, over the same sockets, counts apart."""
        return tuple(
            RawFetcher(self._transport, (server,), limits=self._limits, stream_only=stream_only)
            for server in self.servers
        )

    def kept_waiting_since(self, moment: float) -> bool:
        """Return whether questions had to wait for others to be answered, from then on."""
        return self._window.kept_waiting_since(moment)

    def _excused(self, failure: FetchFailure, begun_at: float) -> FetchFailure:
        """Silence of a resolver that had too much to do is held against nobody."""
        silent = failure.reason is DnssecReason.UPSTREAM_TIMEOUT and failure.own_fault is None
        if silent and self._window.was_slow_since(begun_at):
            return replace(failure, own_fault=OVERLOADED)
        return failure

    async def _fetch(
        self, question: Question, begun_at: float, *, fresh: bool
    ) -> SignedMessage | FetchFailure:
        number = (self._preferred + fresh) % len(self.servers)
        if fresh or self._stream_only:
            return await self._poll(question, begun_at, number, fresh=fresh)
        # Nearly every question is answered by the first server, over UDP and at once.
        until = begun_at + self._first_try_seconds
        got = await self._exchange(self.servers[number], question, until, stream=False)
        self._window.note(question, begun_at, silent=_is_silence(got))
        if isinstance(got, SignedMessage) and not got.truncated:
            self._preferred = number
            return got
        return await self._poll(question, begun_at, number, first=got)

    async def _poll(
        self,
        question: Question,
        begun_at: float,
        number: int,
        *,
        fresh: bool = False,
        first: "SignedMessage | _Failed | None" = None,
    ) -> SignedMessage | FetchFailure:
        """Ask server after server, from ``number`` on and round after round, until one answers.

        ``first`` is what the first one said already.
        """
        deadline = begun_at + self._limits.total_timeout_seconds
        waiting = [*self.servers[number:], *self.servers[:number]]
        failures: list[_Failed] = []
        for turn in range(self._limits.tries):
            if turn and self._window.is_settling:
                break
            for server in tuple(waiting):
                if failures and trio.current_time() >= deadline:
                    break
                self._counters.retries += bool(failures)
                # A server that takes no TCP must still get its chance to confirm over UDP.
                stream = self._stream_only or (fresh and turn == 0)
                got, first = await self._ask(server, question, deadline, first, stream=stream), None
                if isinstance(got, SignedMessage):
                    if not fresh:
                        self._preferred = self.servers.index(server)
                    return got
                failures.append(got)
                if got.is_final and not stream:
                    waiting.remove(server)
        return min(failures, key=lambda failed: failed.rank).failure

    async def _ask(
        self,
        server: ServerAddress,
        question: Question,
        deadline: float,
        heard: "SignedMessage | _Failed | None",
        *,
        stream: bool,
    ) -> "SignedMessage | _Failed":
        """Return what one server says, over TCP if UDP is not enough (case 45).

        ``heard`` is what it said already.
        """
        got = heard
        if got is None:
            got = await self._exchange(server, question, self._until(deadline), stream=stream)
        if not (isinstance(got, SignedMessage) and got.truncated):
            return got
        if stream:
            return _malformed(server, question, "a truncated reply over TCP")
        self._counters.truncated += 1
        whole = await self._exchange(server, question, self._until(deadline), stream=True)
        if isinstance(whole, SignedMessage):
            if whole.truncated:
                return _malformed(server, question, "a truncated reply over TCP")
            return whole
        if whole.failure.reason is DnssecReason.UPSTREAM_TIMEOUT:
            # The server has the answer, or it could not have truncated it.
            silent = f"{server} truncates its answer and is silent over TCP"
            failure = replace(whole.failure, own_fault=whole.failure.own_fault or silent)
            return replace(whole, failure=failure, undelivered=True)
        return whole

    async def _exchange(
        self, server: ServerAddress, question: Question, until: float, *, stream: bool
    ) -> "SignedMessage | _Failed":
        """Send one query and wait for its reply; every failure becomes a value here."""
        try:
            if self._timed is not None and not stream:
                reply = await self._timed.fetch_until(server, question, until)
            else:
                reply = await self._fetch_in_time(server, question, until, stream=stream)
        except MalformedResponseError as error:
            self._counters.malformed += 1
            return _malformed(server, question, str(error))
        except OwnSideError as error:
            return _silent(server, question, str(error), own_fault=str(error))
        if reply is not None:
            return _read(server, question, reply)
        self._counters.timeouts += 1
        late = trio.current_time() - until
        busy = f"we were too busy for {late:.1f} s to read replies in time"
        own_fault = busy if late > self._limits.max_lag_seconds else None
        return _silent(server, question, f"no reply from {server}", own_fault=own_fault)

    def _until(self, deadline: float) -> float:
        """Return when a try begun now ends."""
        return min(deadline, trio.current_time() + self._limits.try_timeout_seconds)

    async def _fetch_in_time(
        self, server: ServerAddress, question: Question, until: float, *, stream: bool
    ) -> SignedMessage | None:
        """Return the reply, None when it is late."""
        with trio.move_on_at(until):
            return await self._transport.fetch(server, question, stream=stream)
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failed:
    """One server's failure; ``undelivered``: it has an answer and could not get it across."""

    failure: FetchFailure
    undelivered: bool = False

    @property
    def is_final(self) -> bool:
        """Whether asking this server again at once would bring the same."""
        return self.failure.reason is not DnssecReason.UPSTREAM_TIMEOUT

    @property
    def rank(self) -> int:
        if self.undelivered:
            return 0
        return len(_RANKS) + 1 if self.failure.own_fault else _RANKS[self.failure.reason]


def _is_silence(got: SignedMessage | _Failed) -> bool:
    """Return whether the server was asked and said nothing, as far as we know."""
    if isinstance(got, SignedMessage):
        return False
    return got.failure.reason is DnssecReason.UPSTREAM_TIMEOUT and got.failure.own_fault is None


def _read(
    server: ServerAddress, question: Question, reply: SignedMessage
) -> SignedMessage | _Failed:
    """Return the reply if it is one, else the failure its RCODE stands for."""
    own_fault = own_fault_of(server, reply)
    if reply.truncated or (reply.rcode in _ANSWER_RCODES and own_fault is None):
        return reply
    refused = reply.rcode in REFUSING_RCODES
    reason = DnssecReason.UPSTREAM_RCODE
    if reply.rcode == RCODE_SERVFAIL or reply.rcode in _ANSWER_RCODES:
        reason = DnssecReason.UPSTREAM_SERVFAIL
    elif refused:
        reason = DnssecReason.UPSTREAM_REFUSED
    rcode = dns.rcode.to_text(dns.rcode.Rcode.make(reply.rcode))
    return _Failed(
        failure=FetchFailure(
            question=question,
            reason=reason,
            outcome=LookupOutcome.REFUSED if refused else LookupOutcome.SERVFAIL,
            detail=f"{rcode} from {server}",
            own_fault=own_fault,
            extended_errors=reply.extended_errors,
            server=str(server),
        )
    )


def _malformed(server: ServerAddress, question: Question, what: str) -> _Failed:
    return _Failed(
        failure=FetchFailure(
            question=question,
            reason=DnssecReason.RESPONSE_MALFORMED,
            outcome=LookupOutcome.MALFORMED,
            detail=f"{server} sent {what}",
            server=str(server),
        )
    )


def _silent(
    server: ServerAddress, question: Question, detail: str, *, own_fault: str | None
) -> _Failed:
    return _Failed(
        failure=FetchFailure(
            question=question,
            reason=DnssecReason.UPSTREAM_TIMEOUT,
            outcome=LookupOutcome.TIMEOUT,
            detail=detail,
            own_fault=own_fault,
            server=str(server),
        )
    )
