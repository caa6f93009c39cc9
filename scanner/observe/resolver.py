"""The DNS client: asks validating resolvers, and says what the answer is worth.

Theory. The configured resolvers validate (``validation=resolver``), over a path nobody can tamper
with; what they say is read like this:

    AD=1                           secure
    AD=0, NOERROR or NXDOMAIN      insecure: a validating resolver found the chain to end
    SERVFAIL, data with CD=1       bogus: there is data, and it does not validate
    SERVFAIL, also with CD=1       an error of unknown kind (indeterminate if it says EDE 5)

A validating resolver hides bogus data behind SERVFAIL, so SERVFAIL is looked at a second time with
CD=1. What CD=1 brings is evidence of that and never data: it was not validated. Then the question
is asked once more without CD, because a SERVFAIL that has passed meanwhile was no bogus zone.

Rules
- ``lookup`` never raises for anything a server or partner does; cancellation passes through.
- One server's error counts only when no other server has an answer.
- What is wrong between us and our resolvers is ``own_fault``: no route, nobody listening, a
  truncated answer that cannot be fetched over TCP, our own loop too busy to read in time, an
  answer the resolver itself made up by policy. Plain silence is a ``timeout``; whether that is our
  side is decided afterwards by control questions (``scanner.observe.vantage``).
- A resolver that does not validate calls everything insecure. That is not noticed here either, but
  by the same control questions.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from scanner.model.observation import Lookup, Question
from scanner.model.ports import Clock
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.observe.dnsserver import (
    DnsLimits,
    InvalidServerError,
    OwnSideError,
    ServerAddress,
    parse_server,
)
from scanner.observe.dnsstatistics import Counters, ResolverStatistics
from scanner.observe.dnstransport import SocketTransport, TimedTransport, Transport
from scanner.observe.questionwindow import (
    OVERLOADED,
    QuestionWindow,
    WindowChange,
    window_limits,
)
from scanner.observe.rawfetch import RawFetcher
from scanner.observe.reading import Chain, Heard, own_fault_of
from scanner.wire.dnsmsg import MalformedResponseError, Reply, ReplyKind
from scanner.wire.dnsquery import UnencodableNameError, question_octets

__all__ = [
    "DnsLimits",
    "InvalidServerError",
    "ResolverStatistics",
    "ServerAddress",
    "StubResolver",
    "open_fetcher",
    "open_fetcher_and_resolver",
    "open_resolver",
    "parse_server",
]

SHOWS_DATA = frozenset({ReplyKind.DATA, ReplyKind.NODATA, ReplyKind.NXDOMAIN, ReplyKind.ALIAS})
"""What a reply with CD=1 must be for the SERVFAIL without CD to mean bogus."""
EDE_INDETERMINATE = 5  # RFC 8914 §4.6


@asynccontextmanager
async def open_resolver(
    servers: Sequence[ServerAddress],
    *,
    clock: Clock,
    limits: DnsLimits | None = None,
    on_query: Callable[[RRType], None] | None = None,
    on_change: Callable[[WindowChange], None] = lambda _: None,
) -> AsyncIterator["StubResolver"]:
    """Open a resolver that asks ``servers`` in this order; its sockets end with the block.

    ``on_query`` is called with the type of every query sent, ``on_change`` when more or fewer
    questions may be in flight. No socket is opened before the first question, so this succeeds
    without a network.
    """
    chosen = limits or DnsLimits()
    counters = Counters(on_query=on_query)
    window = QuestionWindow(window_limits(chosen), on_change=on_change)
    async with _open_transport(servers, limits=chosen, counters=counters) as transport:
        yield StubResolver(
            transport, servers, limits=chosen, clock=clock, counters=counters, window=window
        )


@asynccontextmanager
async def open_fetcher(
    servers: Sequence[ServerAddress],
    *,
    limits: DnsLimits | None = None,
    on_query: Callable[[RRType], None] | None = None,
) -> AsyncIterator[RawFetcher]:
    """Open what fetches whole replies with checking disabled; otherwise as ``open_resolver``."""
    chosen = limits or DnsLimits()
    counters = Counters(on_query=on_query)
    async with _open_transport(servers, limits=chosen, counters=counters) as transport:
        yield RawFetcher(transport, servers, limits=chosen, counters=counters)


@asynccontextmanager
async def open_fetcher_and_resolver(
    servers: Sequence[ServerAddress],
    *,
    clock: Clock,
    limits: DnsLimits | None = None,
    on_query: Callable[[RRType], None] | None = None,
    on_change: Callable[[WindowChange], None] = lambda _: None,
) -> AsyncIterator[tuple[RawFetcher, "StubResolver"]]:
    """Open both over the same sockets, for who validates and wants to hear others besides."""
    chosen = limits or DnsLimits()
    counters = Counters(on_query=on_query)
    window = QuestionWindow(window_limits(chosen), on_change=on_change)
    async with _open_transport(servers, limits=chosen, counters=counters) as transport:
        yield (
            RawFetcher(transport, servers, limits=chosen, counters=counters, window=window),
            StubResolver(
                transport, servers, limits=chosen, clock=clock, counters=counters, window=window
            ),
        )


@asynccontextmanager
async def _open_transport(
    servers: Sequence[ServerAddress], *, limits: DnsLimits, counters: Counters
) -> AsyncIterator[SocketTransport]:
    try:
        async with trio.open_nursery() as nursery:
            yield SocketTransport(servers, limits=limits, nursery=nursery, counters=counters)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery is ours and none of the caller's business: neither are its groups.
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__


class StubResolver:
    """Asks the configured servers (implements ``scanner.model.ports.Resolver``)."""

    def __init__(
        self,
        transport: Transport,
        servers: Sequence[ServerAddress],
        *,
        limits: DnsLimits,
        clock: Clock,
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
        self._clock = clock
        self._counters = counters or Counters()
        self._stream_only = stream_only
        self._window = window or QuestionWindow(window_limits(limits))
        self._preferred = 0

    async def lookup(self, question: Question) -> Lookup:
        """Return the outcome of ``question``, aliases followed.

        ``outcome`` is ``data``, ``nodata`` or ``nxdomain`` with status secure or insecure;
        ``servfail`` with status bogus, indeterminate or None; ``refused``, ``malformed``,
        ``timeout`` with status None; ``loop`` with the status of the chain.
        """
        try:
            question_octets(question)
        except UnencodableNameError as error:
            return Lookup(
                question=question,
                outcome=LookupOutcome.MALFORMED,
                status=None,
                detail=f"no such name can exist: {error}",
            )
        await self._window.enter()
        begun_at = trio.current_time()
        self._counters.lookups += 1
        self._counters.lookups_in_flight += 1
        try:
            found = await self._resolve(question)
        finally:
            self._counters.lookups_in_flight -= 1
            self._window.leave()
        silent = found.outcome is LookupOutcome.TIMEOUT and found.own_fault is None
        if silent and self._window.was_slow_since(begun_at):
            # Silence of a resolver that had too much to do is held against nobody.
            found = replace(found, own_fault=OVERLOADED)
        self._counters.own_faults += found.own_fault is not None
        return found

    def split(self, *, stream_only: bool = False) -> "tuple[StubResolver, ...]":
        """Return one resolver for each server, over the same sockets, counts apart."""
        return tuple(
            StubResolver(
                self._transport,
                (server,),
                limits=self._limits,
                clock=self._clock,
                stream_only=stream_only,
            )
            for server in self.servers
        )

    def statistics(self) -> ResolverStatistics:
        """Return what was counted since the resolver was opened."""
        return self._counters.snapshot()

    async def _resolve(self, question: Question) -> Lookup:
        """Ask until the alias chain ends; some resolvers hand it over in pieces (case 18)."""
        deadline = trio.current_time() + self._limits.total_timeout_seconds
        chain = Chain(question=question, max_aliases=self._limits.max_aliases)
        asked = question
        while True:
            heard = await self._ask(asked, deadline)
            if not chain.goes_on_after(heard):
                return chain.finish(heard, now=self._clock.now())
            asked = Question(chain.last_name, question.rdtype)

    async def _ask(self, question: Question, deadline: float) -> Heard:
        """Return the best that any server says, SERVFAIL explained as far as possible."""
        # The second look needs time of its own, or a slow SERVFAIL would never be explained.
        one_try = self._limits.try_timeout_seconds
        until = min(deadline, max(deadline - one_try, trio.current_time() + one_try))
        heard = await self._poll(question, until)
        if heard.may_hide_data:
            return await self._look_twice(question, heard, deadline)
        return heard

    async def _poll(self, question: Question, deadline: float) -> Heard:
        """Ask server after server, round after round, until one answers."""
        first = self._preferred
        waiting = [*self.servers[first:], *self.servers[:first]]
        failures: list[Heard] = []
        for turn in range(self._limits.tries):
            if turn and self._window.is_settling:
                break
            for server in tuple(waiting):
                if failures and trio.current_time() >= deadline:
                    break
                self._counters.retries += bool(failures)
                begun_at = trio.current_time()
                heard = await self._ask_server(server, question, deadline)
                if not failures:
                    silent = heard.failure is LookupOutcome.TIMEOUT and heard.own_fault is None
                    self._window.note(question, begun_at, silent=silent)
                if heard.is_answer:
                    self._preferred = self.servers.index(server)
                    return heard
                failures.append(heard)
                if heard.is_final:
                    waiting.remove(server)
        return min(failures, key=lambda heard: heard.rank)

    async def _look_twice(self, question: Question, heard: Heard, deadline: float) -> Heard:
        """Tell bogus data from a server failure (verdict table 3a, case 48)."""
        self._counters.second_looks += 1
        server = heard.server
        unchecked = await self._ask_server(server, question, deadline, checking_disabled=True)
        errors = heard.errors + unchecked.errors
        if unchecked.reply is None or unchecked.reply.kind not in SHOWS_DATA:
            unclear = any(error.code == EDE_INDETERMINATE for error in errors)
            status = DnssecStatus.INDETERMINATE if unclear else None
            return replace(heard, status=status, errors=errors)
        again = await self._ask_server(server, question, deadline)
        if again.is_answer:
            return again
        return replace(
            heard,
            status=DnssecStatus.BOGUS,
            errors=errors,
            detail=f"{heard.detail}; with checking disabled there is an answer",
        )

    async def _ask_server(
        self,
        server: ServerAddress,
        question: Question,
        deadline: float,
        *,
        checking_disabled: bool = False,
    ) -> Heard:
        """Return what one server says, over TCP if UDP is not enough (case 45)."""
        attempt = _Attempt(server, question, checking_disabled, deadline)
        heard = await self._exchange(attempt, stream=self._stream_only)
        if heard.reply is None or heard.reply.kind is not ReplyKind.TRUNCATED:
            return heard
        if self._stream_only:
            return heard.malformed("a truncated reply over TCP")
        self._counters.truncated += 1
        whole = await self._exchange(attempt, stream=True)
        if whole.failure is LookupOutcome.TIMEOUT:
            # The server has the answer, or it could not have truncated it.
            sentence = whole.own_fault or f"{server} truncates its answer and is silent over TCP"
            return replace(whole, own_fault=sentence, undelivered=True)
        if whole.reply is not None and whole.reply.kind is ReplyKind.TRUNCATED:
            return whole.malformed("a truncated reply over TCP")
        return whole

    async def _exchange(self, attempt: "_Attempt", *, stream: bool) -> Heard:
        """Send one query and wait for its reply; every failure becomes a value here."""
        until = min(attempt.deadline, trio.current_time() + self._limits.try_timeout_seconds)
        try:
            reply = await self._ask_transport(attempt, until, stream=stream)
        except MalformedResponseError as error:
            self._counters.malformed += 1
            return Heard(server=attempt.server).malformed(str(error))
        except OwnSideError as error:
            return Heard(server=attempt.server, failure=LookupOutcome.TIMEOUT, own_fault=str(error))
        if reply is not None:
            return _read(attempt.server, reply)
        self._counters.timeouts += 1
        late = trio.current_time() - until
        busy = f"we were too busy for {late:.1f} s to read replies in time"
        return Heard(
            server=attempt.server,
            failure=LookupOutcome.TIMEOUT,
            detail=f"no reply from {attempt.server}",
            own_fault=busy if late > self._limits.max_lag_seconds else None,
        )

    async def _ask_transport(
        self, attempt: "_Attempt", until: float, *, stream: bool
    ) -> Reply | None:
        """Return the reply, None when it is late."""
        checking_disabled = attempt.checking_disabled
        if self._timed is not None and not stream:
            return await self._timed.ask_until(
                attempt.server, attempt.question, until, checking_disabled=checking_disabled
            )
        with trio.move_on_at(until):
            return await self._transport.ask(
                attempt.server,
                attempt.question,
                checking_disabled=checking_disabled,
                stream=stream,
            )
        return None


@dataclass(frozen=True, slots=True)
class _Attempt:
    server: ServerAddress
    question: Question
    checking_disabled: bool
    deadline: float


def _read(server: ServerAddress, reply: Reply) -> Heard:
    """Return what a whole reply of ``server`` amounts to."""
    heard = Heard(server=server, reply=reply, errors=reply.extended_errors)
    if reply.kind is ReplyKind.FAILURE:
        return heard.failed()
    if reply.kind is ReplyKind.REFERRAL:
        return heard.malformed("a referral instead of an answer: it is no recursive resolver")
    return replace(heard, own_fault=own_fault_of(server, reply))
