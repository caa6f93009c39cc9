"""One SMTP STARTTLS probe of one address: connects, drives the SMTP machine, shakes hands, leaves.

Job: bring back an ``AddressObservation`` whatever the peer does. Facts only; the judge weighs them.

Rules:

* One connection at a time, one deadline over everything, a budget for each step within it. A
  budget covers a whole reply, so a server that sends an octet a second gains nothing. A budget that
  ends while our own process stood still (stopped, or starved of the processor) says nothing about
  the peer: its answer may lie unread in our socket.
* A probe is repeated once, over a fresh connection, for the indefinite events after STARTTLS (table
  3c rows C10 and C11: connection dropped, silence, garbage) and for nothing else. An alert, a
  refusal or a missing STARTTLS is an answer.
* Where both algorithms are asked for, one further connection follows a probe that saw an RSA or
  ECDSA certificate, and offers only the other one (row C30). Of it nothing but the chain is taken:
  the result of the probe stands before it begins, and it ends before the caller's time does. A
  third one without a server name (row C31) is made on demand, for lone checks, by the same rules.
* What happens after the handshake (EHLO over TLS, QUIT) is good manners and never undoes a success.
* ``except Exception`` stands in one place: it turns a bug of ours into ``ProbeError.INTERNAL``, so
  that it is never held against a partner nor stops a pass. Cancellation is never caught.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import trio
from OpenSSL import SSL

from scanner.judge.certificate import spki_of
from scanner.judge.publickey import describe_key
from scanner.model.addresses import special_purpose
from scanner.model.names import ROOT, Name
from scanner.model.observation import (
    AddressObservation,
    HostAddress,
    OtherAlgorithm,
    ProbeError,
    ProbeStage,
    ProbeTimings,
)
from scanner.model.ports import Clock
from scanner.observe.net import (
    Connect,
    ExpiredError,
    PeerError,
    PeerStream,
    TimeUpError,
    connect_tcp,
    open_stream,
)
from scanner.observe.tls import Algorithm, TlsFacts, TlsStream, client_context, handshake
from scanner.wire.smtp import (
    Event,
    Failure,
    Finished,
    ReplyReceived,
    Send,
    SmtpClient,
    SmtpLimits,
    StartHandshake,
    State,
    printable,
)

READ_OCTETS = 4_096
"""Octets asked of the socket at once before TLS. A greeting fits several times."""
MAX_DETAIL_CHARACTERS = 500
"""Characters kept of a detail or a reply's text. Ours."""

ConnectionReport = Callable[[HostAddress, bool | None], None]
"""Told of each connection: True when the peer greets us, False when our own machine has no route in
that family, None when it fails in a way that our own firewall could be the cause of (a refusal as
much as silence). A peer that accepts the connection and says nothing is not reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeLimits:
    """Time and size of one probe. Seconds; RFC 5321 §4.5.3.2 allows minutes for each step, which a
    scanner cannot give, so these are ours unless another source is named."""

    connect_seconds: float = 20.0
    """Five tries of a SYN fit (at 0, 1, 3, 7 and 15 s)."""
    greeting_seconds: float = 30.0
    """Servers delay the greeting on purpose, against spam; postscreen 6 s, others 10 to 25 s."""
    reply_seconds: float = 20.0
    """For the reply to EHLO, HELO and STARTTLS, each."""
    handshake_seconds: float = 20.0
    closing_seconds: float = 5.0
    """For EHLO over TLS and QUIT together, after the result is known."""
    total_seconds: float = 60.0
    """For the whole probe, a repetition included."""
    retries: int = 1
    """Repetitions after an indefinite event (rows C10 and C11)."""
    retry_pause_seconds: float = 1.0
    """Between the end of one connection and the next to the same address."""
    retry_least_seconds: float = 10.0
    """A repetition is begun only with at least so much of the total left."""
    other_seconds: float = 30.0
    """For the connection that asks for the other certificate algorithm, within the total."""
    other_pause_seconds: float = 1.0
    """Before that connection."""
    other_least_seconds: float = 5.0
    """It is begun only with at least so much left of the total and of the caller's time."""
    other_margin_seconds: float = 1.0
    """It ends so long before the caller's time does, which would take the first result with it."""
    max_lag_seconds: float = 0.5
    """How late we may notice that a step's time is over before the fault is ours; as for DNS."""
    smtp: SmtpLimits = field(default_factory=SmtpLimits)

    def reply_budget(self, state: State) -> float:
        """Return the seconds a reply may take that is awaited in ``state``."""
        if state is State.GREETING:
            return self.greeting_seconds
        return self.closing_seconds if state is State.QUIT else self.reply_seconds


class ByteStream(Protocol):
    """What the conversation needs of a connection, in the clear or under TLS."""

    def end_at(self, until: float, late: Callable[[], TimeUpError]) -> None:
        """Let every wait from now on end at ``until``, with ``late()`` raised."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises PeerError."""
        ...

    async def receive(self, max_octets: int) -> bytes:
        """Return some octets, b"" at the end. Raises PeerError."""
        ...


class SmtpProber:
    """Probes addresses of MX hosts; implements ``scanner.model.ports.Prober``."""

    def __init__(
        self,
        *,
        limits: ProbeLimits,
        clock: Clock,
        ehlo_name: str,
        port: int = 25,
        allow_special_purpose: bool = False,
        without_sni: bool = False,
        on_connection: ConnectionReport | None = None,
        connect: Connect = connect_tcp,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """Make a prober that introduces itself as ``ehlo_name``; one TLS context serves all probes.

        ``without_sni`` asks hosts with TLSA records also for what they show to clients that name no
        server. ``connect`` and ``new_id`` are there for tests. Raises ValueError for an
        ``ehlo_name`` that cannot be sent.
        """
        SmtpClient(ehlo_name, limits.smtp)  # refuses a bad name now, not at the first probe
        self._limits = limits
        self._clock = clock
        self._ehlo_name = ehlo_name
        self._port = port
        self._allow_special_purpose = allow_special_purpose
        self._without_sni = without_sni
        self._on_connection = on_connection
        self._connect = connect
        self._new_id = new_id or _random_id
        self._context = client_context()
        self._only = {algorithm: client_context(only=algorithm) for algorithm in Algorithm}

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return what was seen at ``address``, with ``sni`` as the server name asked for.

        ``host`` is only noted. Raises nothing but cancellation. ``timings`` are those of the last
        attempt; ``attempts`` counts connections, 0 for an address that was left alone. With
        ``both_algorithms`` one more asks for the other certificate (see ``OtherAlgorithm``).
        """
        target = _Target(host=host, address=address, sni=_server_name(sni))
        left_alone = self._left_alone(target)
        if left_alone is not None:
            await trio.lowlevel.checkpoint()
            return left_alone
        deadline = trio.current_time() + self._limits.total_seconds
        seen = await self._attempt(target, deadline)
        for attempts in range(2, self._limits.retries + 2):
            remaining = deadline - trio.current_time() - self._limits.retry_pause_seconds
            if not is_indefinite(seen) or remaining < self._limits.retry_least_seconds:
                break
            await trio.sleep(self._limits.retry_pause_seconds)
            seen = _joined(seen, await self._attempt(target, deadline), attempts)
        first = algorithm_of(seen.chain) if both_algorithms else None
        if first is not None:
            seen = await self._with_other(seen, first, target, deadline)
        if both_algorithms and self._without_sni and seen.chain and target.sni is not None:
            seen = await self._with_no_name(seen, target, deadline)
        return seen

    async def _with_other(
        self, seen: AddressObservation, first: Algorithm, target: "_Target", deadline: float
    ) -> AddressObservation:
        """Return ``seen`` with what the server shows a client of the other algorithm only."""
        end = await self._further_connection(deadline)
        if end is None:
            return replace(seen, other_algorithm=OtherAlgorithm.UNKNOWN)
        other = await self._made(target, end, only=first.other)
        if other.error is None and algorithm_of(other.chain) is first.other:
            return replace(seen, other_algorithm=OtherAlgorithm.SHOWN, other_chain=other.chain)
        return replace(seen, other_algorithm=_without_other(other))

    async def _with_no_name(
        self, seen: AddressObservation, target: "_Target", deadline: float
    ) -> AddressObservation:
        """Return ``seen`` with what the server shows a client that sends no SNI (row C31)."""
        end = await self._further_connection(deadline)
        if end is None:
            return seen
        nameless = await self._made(replace(target, sni=None), end)
        return replace(seen, chain_without_sni=nameless.chain)

    async def _further_connection(self, deadline: float) -> float | None:
        """Pause before one more connection; return when it must end, None if no time is left."""
        limits = self._limits
        # A deadline of the caller's cancels this task, and what was already seen would be lost.
        deadline = min(deadline, trio.current_effective_deadline() - limits.other_margin_seconds)
        remaining = deadline - trio.current_time() - limits.other_pause_seconds
        if remaining < limits.other_least_seconds:
            return None
        await trio.sleep(limits.other_pause_seconds)
        return min(deadline, trio.current_time() + limits.other_seconds)

    async def _attempt(self, target: "_Target", deadline: float) -> AddressObservation:
        """Return what one connection showed."""
        return (await self._made(target, deadline)).observation(self._new_id())

    async def _made(
        self, target: "_Target", deadline: float, *, only: Algorithm | None = None
    ) -> "_Attempt":
        """Make one connection and return it at its end."""
        context = self._context if only is None else self._only[only]
        attempt = _Attempt(
            target=target,
            limits=self._limits,
            deadline=deadline,
            observed_at=self._clock.now(),
            client=SmtpClient(self._ehlo_name, self._limits.smtp),
        )
        try:
            async with await self._open(attempt) as stream:
                await attempt.converse(stream, on_greeting=self._greeted)
                if attempt.client.state is State.HANDSHAKE:
                    await attempt.take_leave(await attempt.secure(stream, context))
        except PeerError as error:
            attempt.fail(error.error, error.detail)
        except Exception as error:  # noqa: BLE001 - the waist described at the top of this file
            attempt.fail(ProbeError.INTERNAL, f"{type(error).__name__}: {error}")
        return attempt

    async def _open(self, attempt: "_Attempt") -> PeerStream:
        """Return the connection, or report what the failure proves about our own egress."""
        address = attempt.target.address
        try:
            stream = await attempt.connected(self._connect, self._port)
        except PeerError as error:
            if error.error is not ProbeError.OWN_RESOURCES:
                proof = False if error.error is ProbeError.NO_ROUTE else None
                self._report(address, proof)
            raise
        attempt.reached("connect_ms", ProbeStage.GREETING)
        return stream

    def _greeted(self, address: HostAddress) -> None:
        self._report(address, True)

    def _report(self, address: HostAddress, proof: bool | None) -> None:
        if self._on_connection is not None:
            self._on_connection(address, proof)

    def _left_alone(self, target: "_Target") -> AddressObservation | None:
        """Return the observation of an address that must not be contacted; None for any other."""
        if self._allow_special_purpose:
            return None
        block = special_purpose(target.address.address)
        if block is None:
            return None
        return AddressObservation(
            host=target.host,
            address=target.address.address,
            family=target.address.family,
            sni=target.sni,
            observed_at=self._clock.now(),
            stage=ProbeStage.CONNECT,
            error=ProbeError.NOT_CONTACTED,
            detail=f"special-purpose address: {block}",
            attempts=0,
            probe_id=self._new_id(),
        )


_INDEFINITE_STAGES = frozenset({ProbeStage.STARTTLS, ProbeStage.HANDSHAKE})
_INDEFINITE_ERRORS = frozenset(
    {
        ProbeError.CLOSED,
        ProbeError.RESET,
        ProbeError.TIMEOUT,
        ProbeError.PROTOCOL,
        ProbeError.REPLY_UNEXPECTED,
        ProbeError.TOO_LARGE,
        ProbeError.TLS_PROTOCOL,
        ProbeError.OWN_RESOURCES,  # so late on, that is our own standstill
    }
)


def is_indefinite(seen: AddressObservation) -> bool:
    """Return whether a probe ended in an event after STARTTLS that a second look may clear up."""
    return seen.stage in _INDEFINITE_STAGES and seen.error in _INDEFINITE_ERRORS


_ALGORITHMS = {"rsa": Algorithm.RSA, "ec": Algorithm.ECDSA}


def algorithm_of(chain: tuple[bytes, ...]) -> Algorithm | None:
    """Return the algorithm of the leaf of ``chain``; None for any other and for no chain."""
    spki = spki_of(chain[0]) if chain else None
    return None if spki is None else _ALGORITHMS.get(describe_key(spki)[0] or "")


_NO_OTHER = frozenset({ProbeError.TLS_ALERT, ProbeError.TLS_PROTOCOL, ProbeError.NO_CERTIFICATE})
"""Ends of a handshake by which a server says that it has nothing to show: it refuses, or it shows
its one certificate all the same, which OpenSSL then does not take."""


def _without_other(other: "_Attempt") -> OtherAlgorithm:
    """Return what a connection says that did not bring the other certificate."""
    answered = other.error is None or (
        other.stage is ProbeStage.HANDSHAKE and other.error in _NO_OTHER
    )
    return OtherAlgorithm.NONE if answered else OtherAlgorithm.UNKNOWN


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    host: Name
    address: HostAddress
    sni: Name | None


class _Attempt:
    """One connection: where it has got to and what was seen so far."""

    def __init__(
        self,
        *,
        target: _Target,
        limits: ProbeLimits,
        deadline: float,
        observed_at: datetime,
        client: SmtpClient,
    ) -> None:
        self.target = target
        self.client = client
        self._limits = limits
        self._deadline = deadline
        self._observed_at = observed_at
        self._started = trio.current_time()
        self.stage = ProbeStage.CONNECT
        self.error: ProbeError | None = None
        self._detail: str | None = None
        self._reply_code: int | None = None
        self._reply_text: str | None = None
        self._timings: dict[str, int] = {}
        self._facts: TlsFacts | None = None
        self._lost: PeerError | None = None

    # -- the steps -----------------------------------------------------------------------------

    async def converse(
        self, stream: ByteStream, *, on_greeting: Callable[[HostAddress], None]
    ) -> None:
        """Talk SMTP until the machine wants the handshake or has no more to say. Raises PeerError
        for what ends the probe, not for what goes wrong while leaving. Any whole reply at the
        start, a rejection too, is a greeting."""
        greeted = False
        try:
            while self.client.state not in (State.HANDSHAKE, State.CLOSED):
                self._allow(stream, self._limits.reply_budget(self.client.state), self._awaited)
                events = await self._next_events(stream)
                if not greeted and any(isinstance(one, ReplyReceived) for one in events):
                    greeted = True
                    on_greeting(self.target.address)
                await self._act(stream, events)
        except PeerError:
            if self.error is None:
                raise

    async def secure(self, stream: PeerStream, context: SSL.Context) -> TlsStream:
        """Do the handshake and keep its facts. Raises PeerError."""
        self.stage = ProbeStage.HANDSHAKE
        self._allow(stream, self._limits.handshake_seconds, lambda: "the end of the handshake")
        secured = await handshake(stream, context, self.target.sni)
        self._facts = secured.facts
        self.reached("handshake_ms", ProbeStage.DONE)
        return secured

    async def take_leave(self, secured: TlsStream) -> None:
        """Say EHLO and QUIT over TLS, as far as the peer and the time left allow.

        A peer that hangs up here (one that wants a client certificate, say) has been seen all the
        same; the detail tells.
        """
        try:
            self._allow(secured, self._limits.closing_seconds, lambda: "the replies after TLS")
            await self._act(secured, self.client.handshake_completed())
            while self.client.state is not State.CLOSED:
                await self._act(secured, await self._next_events(secured))
            await secured.send_close()
        except PeerError as error:
            self.fail(error.error, error.detail)

    async def _next_events(self, stream: ByteStream) -> tuple[Event, ...]:
        while True:
            data = await stream.receive(READ_OCTETS)
            if not data and self._lost is not None:
                raise self._lost
            events = self.client.receive_data(data) if data else self.client.receive_eof()
            if events:
                return events

    async def _act(self, stream: ByteStream, events: tuple[Event, ...]) -> None:
        if self._facts is None and self.error is None:
            self.stage = self.client.stage
        for event in events:
            match event:
                case Send(data=data):
                    await self._send(stream, data)
                case ReplyReceived(state=state):
                    self._stamp(_TIMED.get(state))
                case Failure():
                    self._take_failure(event)
                case StartHandshake() | Finished():
                    pass  # the machine's state says so too

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        """Send ``data``; a loss shows at the next read, after what the peer still said before it
        (a server that is full says 421 and closes, and our EHLO then finds nobody)."""
        try:
            await stream.send(data)
        except TimeUpError:
            raise
        except PeerError as error:
            self._lost = error

    def _awaited(self) -> str:
        partial = self.client.pending_octets
        begun = f" ({partial} octets of a line came)" if partial else ""
        return f"a whole reply in state {self.client.state.upper()}{begun}"

    async def connected(self, connect: Connect, port: int) -> PeerStream:
        """Return the connection. Raises PeerError, as ``_allow`` has it for one that is late."""
        seconds = self._limits.connect_seconds
        until = min(trio.current_time() + seconds, self._deadline)
        try:
            return await open_stream(connect, self.target.address.address, port, until=until)
        except ExpiredError:
            raise self._late(until, seconds, "an answer to our connection") from None

    def _allow(self, stream: ByteStream, seconds: float, awaited: Callable[[], str]) -> None:
        """Give ``stream`` ``seconds`` from now on, within the deadline.

        Its waits raise PeerError after that: TIMEOUT, or OWN_RESOURCES where we came back too late
        to know.
        """
        until = min(trio.current_time() + seconds, self._deadline)
        stream.end_at(until, lambda: self._late(until, seconds, awaited()))

    def _late(self, until: float, seconds: float, awaited: str) -> TimeUpError:
        late = trio.current_time() - until
        if late > self._limits.max_lag_seconds:
            return TimeUpError(
                ProbeError.OWN_RESOURCES,
                f"we were too busy for {late:.1f} s to read what the server sent",
            )
        limit = f"{seconds:g} s"
        if until == self._deadline:
            limit = f"the {self._limits.total_seconds:g} s of the whole probe"
        return TimeUpError(ProbeError.TIMEOUT, f"{awaited} did not come within {limit}")

    # -- what was seen -------------------------------------------------------------------------

    def reached(self, timing: str, stage: ProbeStage) -> None:
        """Note that a step has ended and ``stage`` begins."""
        self._stamp(timing)
        self.stage = stage

    def fail(self, error: ProbeError, detail: str) -> None:
        """Note what ended the probe; the first one counts, and none undoes a success."""
        if self.stage is ProbeStage.DONE:
            self._detail = _shown(f"after TLS: {detail}")
        elif self.error is None:
            self.error = error
            self._detail = _shown(detail)

    def _take_failure(self, failure: Failure) -> None:
        self.fail(failure.error, failure.detail)
        if failure.reply is not None and failure.error in _DECIDED_BY_REPLY:
            self._reply_code = failure.reply.code
            self._reply_text = _shown(failure.reply.text)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates seen, leaf first."""
        return self._facts.chain if self._facts else ()

    def _stamp(self, timing: str | None) -> None:
        if timing is not None:
            self._timings[timing] = round((trio.current_time() - self._started) * 1_000)

    def observation(self, probe_id: str) -> AddressObservation:
        """Return all of it, after the connection is closed."""
        self._stamp("total_ms")
        facts = self._facts
        address = self.target.address
        return AddressObservation(
            host=self.target.host,
            address=address.address,
            family=address.family,
            sni=self.target.sni,
            observed_at=self._observed_at,
            stage=self.stage,
            error=self.error,
            detail=self._detail,
            reply_code=self._reply_code,
            reply_text=self._reply_text,
            starttls_offered=self.client.starttls_offered,
            helo_fallback=self.client.helo_fallback,
            early_plaintext=self.client.early_plaintext,
            tls_version=facts.version if facts else None,
            cipher=facts.cipher if facts else None,
            key_exchange_group=facts.group if facts else None,
            chain=self.chain,
            transcript=self.client.transcript,
            timings=ProbeTimings(**self._timings),
            probe_id=probe_id,
        )


_TIMED = {
    State.GREETING: "greeting_ms",
    State.EHLO: "ehlo_ms",
    State.HELO: "ehlo_ms",
    State.STARTTLS: "starttls_ms",
}
_DECIDED_BY_REPLY = frozenset(
    {ProbeError.REPLY_TRANSIENT, ProbeError.REPLY_PERMANENT, ProbeError.REPLY_UNEXPECTED}
)


def _server_name(name: Name) -> Name | None:
    """Return what can be sent as SNI: a host name (RFC 6066 §3), so neither the root nor a name
    with octets that needed escaping."""
    return None if name == ROOT or "\\" in name else name


def _joined(
    first: AddressObservation, second: AddressObservation, attempts: int
) -> AddressObservation:
    """Return the second look, with a note of what the first one ran into."""
    note = f"attempt {attempts - 1} ended with {first.error} at {first.stage}: {first.detail}"
    return replace(
        second,
        attempts=attempts,
        early_plaintext=first.early_plaintext or second.early_plaintext,
        detail=_shown(f"{second.detail}; {note}" if second.detail else note),
    )


def _shown(text: str) -> str:
    return printable(text.encode("utf-8", "replace"), MAX_DETAIL_CHARACTERS)


def _random_id() -> str:
    return str(uuid.uuid4())
