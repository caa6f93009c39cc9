"""Shared and polite probing: one probe per (host, address, SNI) in a while, few at a time.

A probe that asks for both certificate algorithms is another one than a probe that does not; its
two connections come one after the other, within one turn.

A wrapper around any Prober that is a Prober itself. Many domains share few mail hosts, so sharing
is what keeps a pass over 100,000 domains short, and what keeps us from knocking 10,000 times at
one door.

Rules:

* The limits hold for connections, whatever the host name: one at a time to one address with
  ``min_gap_seconds`` between them, a few to one network, a cap over all; and so many a second to
  one network and to one operator (the parent domain of the host name), with a burst.
* They are taken in that order (address, rates, network, all), so a queue before one slow host uses
  up nobody else's place; and always in the same order, so nobody can wait in a circle. A probe that
  takes long leaves its place among all to others (``scanner.run.slowlane``) and keeps the rest.
* A caller that is cancelled while it leads a shared probe takes nobody with it: one of those who
  wait leads the next try.
* An address found closed is closed for every host name at it.
* A server that turns us away for coming too often is left alone, twice as long each time. Whoever
  asks meanwhile is given what it said, which judges to nothing (``scanner.judge.throttle``).
* What is kept is bounded in number and in octets, forgotten when a new pass begins, and older than
  ``fresh_seconds`` (failures: ``failures_fresh_seconds``) it answers nobody.
"""

import ipaddress
import math
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import trio

from scanner.judge.throttle import is_throttled
from scanner.model.meter import Meter, NullMeter, OwnMetric
from scanner.model.names import Name, parent_of
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.ports import Prober
from scanner.observe.disposal import let_go
from scanner.observe.turnstile import SharedEvent
from scanner.run.gates import Gates
from scanner.run.manners import Backoff, BackoffLimits, Buckets, Rests
from scanner.run.slowlane import SLOW_AFTER_SECONDS, SLOW_IN_FLIGHT, SlowLane, Stay

_NOT_KEPT = frozenset({ProbeError.OWN_RESOURCES, ProbeError.NO_ROUTE})
"""Our own momentary trouble, found before any connection: the next one to ask may fare better."""

_SAME_FOR_EVERY_NAME = frozenset(
    {
        ProbeError.REFUSED,
        ProbeError.TIMEOUT,
        ProbeError.UNREACHABLE,
        ProbeError.NOT_CONTACTED,
    }
)
"""Ends of a connection attempt that say something of the address, not of the host name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharingLimits:
    """How many probes at a time, and how much is remembered of them. All ours."""

    max_concurrent: int = 200
    """Probes at a time, without those in the slow lane. About 90 KiB of memory each while TLS is
    up."""
    max_slow: int = SLOW_IN_FLIGHT
    """Probes in the slow lane at a time, nearly all with no connection yet; 0 is no lane."""
    slow_after_seconds: float = SLOW_AFTER_SECONDS
    """A probe that has taken so long moves over."""
    max_per_network: int = 8
    """Probes at a time to one IPv4 /24 or IPv6 /48, the blocks one operator usually has."""
    min_gap_seconds: float | None = None
    """From the end of one probe of an address to the beginning of the next; None is none, and what
    a service chooses (``service_limits``)."""
    max_kept_results: int = 20_000
    """Results remembered for the rest of the pass; the least recently used go first."""
    max_kept_octets: int = 134_217_728
    """Octets of chains and texts in those results (128 MiB; an ordinary result has 5 KiB)."""
    max_dead_addresses: int = 20_000
    """Addresses remembered as closed for the rest of the pass; the oldest go first."""
    ipv4_network_bits: int = 24
    ipv6_network_bits: int = 48
    fresh_seconds: float = math.inf
    """How long a result serves others, from the beginning of its probe."""
    failures_fresh_seconds: float = math.inf
    """The same for a probe that did not reach TLS."""
    network_per_second: float | None = None
    """Connections to one network; 0 is no bound beside those above, None likewise, but for a
    service."""
    network_burst: int = 8
    operator_per_second: float | None = None
    """Connections to the hosts of one operator, by the parent domain of the host name; as above."""
    operator_burst: int = 16
    backoff: BackoffLimits = field(default_factory=BackoffLimits)


SERVICE_GAP_SECONDS = 1.0
SERVICE_NETWORK_PER_SECOND = 2.0
SERVICE_OPERATOR_PER_SECOND = 4.0


def service_limits(limits: SharingLimits, *, fresh_seconds: float = 300.0) -> SharingLimits:
    """Return ``limits`` with the manners of a service that comes back every hour.

    What was chosen stands; this is for what was not. Rates: 10,000 domains an hour are 3 probes a
    second over all, so even an operator that serves half of them is reached in time. Failures are
    looked at afresh after a minute, the least time between two looks that confirm each other.
    """
    return replace(
        limits,
        fresh_seconds=fresh_seconds,
        failures_fresh_seconds=min(60.0, fresh_seconds),
        min_gap_seconds=_chosen(limits.min_gap_seconds, SERVICE_GAP_SECONDS),
        network_per_second=_chosen(limits.network_per_second, SERVICE_NETWORK_PER_SECOND),
        operator_per_second=_chosen(limits.operator_per_second, SERVICE_OPERATOR_PER_SECOND),
    )


def _chosen(value: float | None, usual: float) -> float:
    return usual if value is None else value


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeStatistics:
    """Counts since the start, and how things stand now."""

    probes: int
    """Probes begun."""
    shared: int
    """Answers given without a probe of their own."""
    in_flight: int
    slow: int
    """Of those in flight, the ones in the slow lane."""
    waiting: int
    """Probes that wait for their turn: for the address, the network or a place."""
    kept: int


@dataclass(frozen=True, slots=True)
class _Key:
    generation: int
    host: Name
    address: str
    sni: Name
    both_algorithms: bool


@dataclass(slots=True, eq=False)
class _Flight:
    done: SharedEvent | None = None
    result: AddressObservation | None = None


class SharedProber:
    """Shares and limits the probes of ``prober``; implements ``scanner.model.ports.Prober``."""

    def __init__(
        self,
        prober: Prober,
        *,
        limits: SharingLimits | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._prober = prober
        self._meter = meter or NullMeter()
        self._limits = limits or SharingLimits()
        self._generation = 0
        self._flights: dict[_Key, _Flight] = {}
        self._kept = _Kept(self._limits.max_kept_results, self._limits.max_kept_octets)
        self._dead: dict[str, tuple[AddressObservation, float]] = {}
        """By address, what was seen and until when it counts."""
        self._backoff = Backoff(self._limits.backoff)
        self._turned_away: dict[str, AddressObservation] = {}
        self._places: Gates[None] = Gates(self._limits.max_concurrent)
        self._lane = SlowLane(
            places=self._limits.max_slow, after_seconds=self._limits.slow_after_seconds
        )
        self._addresses: Gates[str] = Gates(1)
        self._networks: Gates[_Network] = Gates(self._limits.max_per_network)
        self._rests = Rests(self._limits.min_gap_seconds or 0.0)
        self._network_rates: Buckets[_Network] = Buckets(
            per_second=self._limits.network_per_second or 0.0, burst=self._limits.network_burst
        )
        self._operator_rates: Buckets[Name] = Buckets(
            per_second=self._limits.operator_per_second or 0.0, burst=self._limits.operator_burst
        )
        self._probes = 0
        self._shared = 0
        self._in_flight = 0
        self._waiting = 0

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return what was seen, by this caller's probe or another's in the same pass.

        The time spent waiting for a turn is the caller's; the probe's own deadline begins with the
        probe. Raises what the wrapped prober raises, in the caller that led.
        """
        key = _Key(self._generation, host, address.address, sni, both_algorithms)
        while True:
            kept = self._kept.get(key)
            if kept is not None:
                await trio.lowlevel.checkpoint()
                self._shared += 1
                return kept
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, address)
            if flight.done is None:
                flight.done = SharedEvent()  # most flights nobody joins
            await flight.done.wait()
            if flight.result is not None:
                self._shared += 1
                return flight.result
            # The leader was cancelled or failed. Go round: the first to come leads the next try.

    def forget(self) -> None:
        """Begin a new pass: nothing seen or begun before this call answers a later question."""
        self._generation += 1
        self._kept.clear()
        self._dead.clear()

    def forget_failures(self) -> None:
        """Forget every probe that did not reach TLS, so that a second look probes afresh."""
        self._kept.drop_failures()
        self._dead.clear()

    def statistics(self) -> ProbeStatistics:
        """Return the counts as they stand."""
        return ProbeStatistics(
            probes=self._probes,
            shared=self._shared,
            in_flight=self._in_flight,
            slow=self._lane.statistics().now,
            waiting=self._waiting,
            kept=len(self._kept),
        )

    async def _lead(self, key: _Key, address: HostAddress) -> AddressObservation:
        flight = self._flights[key] = _Flight()
        try:
            network = await self._take_turn(key)
            stay = self._lane.watch(self._leave_places)
            try:
                began_at = trio.current_time()
                known = self._recall(key)
                result = known or await self._probe_now(key, address)
            finally:
                self._give_back(key, network, stay)
            flight.result = result
            # What was recalled is as old as it is: kept anew, it would serve too long.
            mine = known is None and key.generation == self._generation
            if mine and result.error not in _NOT_KEPT:
                self._kept.add(key, result, until=began_at + self._fresh_for(result))
            return result
        finally:
            del self._flights[key]
            if flight.done is not None:
                flight.done.set()

    def _fresh_for(self, result: AddressObservation) -> float:
        failed = result.error is not None
        limits = self._limits
        return limits.failures_fresh_seconds if failed else limits.fresh_seconds

    def _recall(self, key: _Key) -> AddressObservation | None:
        """Return what stands for this probe where the address was just found closed, or must rest.

        Whether a connection comes about does not depend on the host name or the SNI, and a
        thousand host names at one dead address must not wait a thousand time-outs, one by one.
        """
        known = self._recalled(key.address)
        if known is None:
            return None
        self._shared += 1
        return replace(known, host=key.host, sni=key.sni, probe_id=str(uuid.uuid4()), attempts=0)

    async def _probe_now(self, key: _Key, address: HostAddress) -> AddressObservation:
        self._probes += 1
        began_at = trio.current_time()
        result = await self._prober.probe(
            key.host, address, key.sni, both_algorithms=key.both_algorithms
        )
        self._learn(result, began_at)
        self._count(result, trio.current_time() - began_at)
        return result

    def _count(self, result: AddressObservation, seconds: float) -> None:
        """Count one probe that was made, how long it took, and what it failed at."""
        self._meter.count(OwnMetric.CHECKS, stage="address")
        self._meter.observe(OwnMetric.CHECK_DURATION, seconds, stage="address")
        if result.error is not None:
            self._meter.count(OwnMetric.CHECK_FAILURES, stage="address", reason=result.error.value)

    def _recalled(self, address: str) -> AddressObservation | None:
        """Return what stands for a probe of ``address`` that must not or need not be made."""
        if self._backoff.rests(address) and address in self._turned_away:
            return self._turned_away[address]
        dead, until = self._dead.get(address, (None, -math.inf))
        return dead if trio.current_time() < until else None

    def _learn(self, result: AddressObservation, began_at: float) -> None:
        """Remember what ``result`` says of its address, whatever the host name."""
        address = result.address
        if is_throttled(result):
            self._meter.count(OwnMetric.SMTP_THROTTLED)
            self._backoff.strike(address)
            if len(self._turned_away) >= self._limits.backoff.max_addresses:
                del self._turned_away[next(iter(self._turned_away))]
            self._turned_away[address] = result
        elif result.stage is not ProbeStage.CONNECT:
            self._backoff.pardon(address)
            self._turned_away.pop(address, None)
        elif result.error in _SAME_FOR_EVERY_NAME:
            if len(self._dead) >= self._limits.max_dead_addresses:
                del self._dead[next(iter(self._dead))]
            self._dead[address] = (result, began_at + self._fresh_for(result))

    async def _take_turn(self, key: _Key) -> "_Network":
        """Take everything one connection needs; whoever returns from here must give it back."""
        address = key.address
        network = _network_of(address, self._limits)
        self._waiting += 1
        try:
            await self._addresses.enter(address)
            try:
                if self._recalled(address) is None:
                    await self._rests.wait(address)
                    await self._network_rates.take(network)
                    await self._operator_rates.take(parent_of(key.host))
                await self._networks.enter(network)
                try:
                    await self._places.enter(None)
                except BaseException:
                    self._networks.leave(network)
                    raise
            except BaseException:
                self._addresses.leave(address)
                raise
        finally:
            self._waiting -= 1
        self._in_flight += 1
        return network

    def _leave_places(self) -> None:
        self._places.leave(None)

    def _give_back(self, key: _Key, network: "_Network", stay: Stay) -> None:
        """Give everything back and let the address rest."""
        self._in_flight -= 1
        self._rests.begin(key.address)
        if self._lane.end(stay):
            self._places.leave(None)
        self._networks.leave(network)
        self._addresses.leave(key.address)


_Network = tuple[int, int]


class _Kept:
    """Results, least recently used first, bounded in number and octets."""

    def __init__(self, max_results: int, max_octets: int) -> None:
        self._max_results = max_results
        self._max_octets = max_octets
        self._octets = 0
        self._results: OrderedDict[_Key, tuple[AddressObservation, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: _Key) -> AddressObservation | None:
        result, until = self._results.get(key, (None, math.inf))
        if result is None:
            return None
        if trio.current_time() >= until:
            self._drop(key)
            return None
        self._results.move_to_end(key)
        return result

    def add(self, key: _Key, result: AddressObservation, *, until: float) -> None:
        """Keep ``result`` until then, in place of an older one."""
        self._drop(key)
        self._results[key] = (result, until)
        self._octets += _octets_of(result)
        while len(self._results) > self._max_results or self._octets > self._max_octets:
            self._drop(next(iter(self._results)))

    def drop_failures(self) -> None:
        for key, (result, _) in list(self._results.items()):
            if result.error is not None:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        dropped = self._results.pop(key, None)
        if dropped is not None:
            self._octets -= _octets_of(dropped[0])

    def clear(self) -> None:
        let_go(self._results)
        self._results = OrderedDict()
        self._octets = 0


def _octets_of(result: AddressObservation) -> int:
    """Return about how much memory the variable part of ``result`` takes."""
    texts = (*result.transcript, result.detail or "", result.reply_text or "")
    return 500 + sum(map(len, (*result.chain, *result.other_chain))) + sum(map(len, texts))


def _network_of(address: str, limits: SharingLimits) -> _Network:
    """Return the network ``address`` counts towards: IP version and leading bits."""
    parsed = ipaddress.ip_address(address)
    bits = limits.ipv4_network_bits if parsed.version == 4 else limits.ipv6_network_bits
    return parsed.version, int(parsed) >> (parsed.max_prefixlen - bits)
