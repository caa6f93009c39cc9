"""The composition root: turns settings into a scanner made of resolver, prober, judge and engine.

Every command that looks at the world goes through ``open_scanner``; nothing else connects the
layers. The scanner lives as long as the ``async with`` block and owns its sockets and tasks.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import trio

from scanner.judge.dnssec.anchors import ROOT_ANCHOR, Anchors
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.domain import judge
from scanner.model.dnssec import Anchor, Validation
from scanner.model.meter import Meter, NullMeter, OwnMetric
from scanner.model.names import Name
from scanner.model.observation import DomainObservation, Question
from scanner.model.policy import Policy, RoutingLimits
from scanner.model.ports import Clock, Prober, Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, Judgement, ProfileVerdict
from scanner.model.vocabulary import DomainVerdict, Family, HostOutcome, RRType, ValidationMode
from scanner.observe.chainwalk import ChainLimits, ValidatingResolver
from scanner.observe.dnsserver import DNS_PORT, DnsLimits, ServerAddress
from scanner.observe.domain import DEFAULT_DEADLINE_SECONDS, DomainObserver
from scanner.observe.greeting import Greeter, GreetingLimits, addresses_of
from scanner.observe.kernelclock import kernel_synchronised
from scanner.observe.questionwindow import WindowChange
from scanner.observe.resolver import (
    StubResolver,
    open_fetcher,
    open_fetcher_and_resolver,
    open_resolver,
)
from scanner.observe.smtp import ConnectionReport, ProbeLimits, SmtpProber
from scanner.observe.vantage import ResolverVantage, SelfTest
from scanner.observe.zonekeeper import ZoneKeeper
from scanner.run.cache import CacheLimits, CachingResolver
from scanner.run.checking import CannotCheckError, Checker, Judge, Observe
from scanner.run.clock import SystemClock
from scanner.run.egress import EgressPolicy, EgressWatch
from scanner.run.engine import Engine, EngineLimits, PassSummary
from scanner.run.probes import SharedProber, SharingLimits
from scanner.run.selftests import AssumedVantage, OwnTests
from scanner.run.slowdown import shows_slowdown
from scanner.run.workers import PoolPorts, WorkerLimits, WorkerPool
from scanner.run.workers_process import spawn

_NOT_DELIVERED = frozenset({DomainVerdict.DEFERRED, DomainVerdict.BLOCKED})
_WANT_OF_MEANS = frozenset({Reason.OWN_RESOURCES, Reason.OWN_LOOKUP_FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything a scanner is built from; the command line and the configuration fill it in."""

    resolvers: tuple[ServerAddress, ...]
    policy: Policy = field(default_factory=Policy)
    smtp_port: int = 25
    ehlo_name: str = "localhost"
    timeout_seconds: float = DEFAULT_DEADLINE_SECONDS
    allow_private_addresses: bool = False
    both_algorithms: bool = True
    """Whether hosts with TLSA records are asked for both their RSA and their ECDSA certificate."""
    without_sni: bool = False
    """Whether they are also asked what they show to clients that send no SNI (for lone checks)."""
    validation: ValidationMode = ValidationMode.LOCAL
    """Who validates DNSSEC: danewatch itself, or the resolvers."""
    anchors: tuple[Anchor, ...] = (ROOT_ANCHOR,)
    """Trust anchors for local validation."""
    dnssec_policy: DnssecPolicy = field(default_factory=DnssecPolicy)
    judge_at: datetime | None = None
    """Judge signatures and certificates as of this time; None means now."""
    always_compare: bool = False
    """Whether every local validation is held against the resolver's own; else bogus ones are."""
    name_server_port: int = DNS_PORT
    """The port of authoritative servers in a diagnosis; another than 53 is for a laboratory."""
    dns_limits: DnsLimits = field(default_factory=DnsLimits)
    probe_limits: ProbeLimits = field(default_factory=ProbeLimits)
    sharing_limits: SharingLimits = field(default_factory=SharingLimits)
    cache_limits: CacheLimits = field(default_factory=CacheLimits)
    engine_limits: EngineLimits = field(default_factory=EngineLimits)
    egress_policy: EgressPolicy = field(default_factory=lambda: EgressPolicy(once=True))
    """How long a greeting proves our way out; for a service, not once for all."""
    greeting_limits: GreetingLimits = field(default_factory=GreetingLimits)
    known_bogus: tuple[Name, ...] = ()
    """Names that are broken on purpose; resolvers that accept them are not believed."""
    canary_mx: tuple[Name, ...] = ()
    """Mail servers that are known to greet us."""
    clock_witnesses: tuple[Name, ...] = ()
    """Zones that sign their SOA record all day."""
    routing_limits: RoutingLimits = field(default_factory=RoutingLimits)
    workers: int = 1
    """Processes that look and judge; with 1 that is this process itself."""
    worker_limits: WorkerLimits = field(default_factory=WorkerLimits)


class Scanner:
    """Checks domains, one by one or a list of them.

    ``own_tests`` are what a service watches itself with (``scanner.run.selfwatch``), ``forget``
    empties every cache, and ``workers_fault`` tells why our own processes can make no check now.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        vantage: ResolverVantage,
        prober: SharedProber,
        own_tests: OwnTests,
        forget: Callable[[], None],
        workers_fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._vantage = vantage
        self._prober = prober
        self.own_tests = own_tests
        self.forget = forget
        self.workers_fault = workers_fault

    async def self_test(self) -> SelfTest:
        """Return whether our own resolvers can be trusted, each finding with a remedy."""
        return await self._vantage.self_test()

    def put_gauges(self, meter: Meter) -> None:
        """Set the gauges of the probes that run."""
        now = self._prober.statistics()
        meter.put(OwnMetric.IN_FLIGHT, now.in_flight, stage="address")
        meter.put(OwnMetric.SLOW_IN_FLIGHT, now.slow, stage="address")

    async def check(self, domain: Name) -> Check:
        """Return one check of ``domain``."""
        return await self._engine.check(Target(domain=domain))

    async def scan(
        self,
        targets: Iterable[Target],
        on_check: Callable[[Target, Check], Awaitable[None]],
    ) -> PassSummary:
        """Check every target once, probing each (host, address, SNI) once in the whole pass."""
        self._prober.forget()
        return await self._engine.run_pass(targets, on_check)


def is_doubtful(verdict: ProfileVerdict) -> bool:
    """Return whether a second look may clear up what is not well, or not known.

    That is mail that is stopped by something of the transient class (table 3e) or by a host that
    lists no STARTTLS: one EHLO reply too few to raise an alarm (case 88), and what a filter on our
    own path would show at every host. And it is what could not be told for want of our own means:
    a busy machine that noticed a time-out late is less busy at the end of the pass.
    """
    if verdict.verdict is DomainVerdict.INCONCLUSIVE:
        return verdict.reason in _WANT_OF_MEANS
    if verdict.verdict not in _NOT_DELIVERED:
        return False
    return verdict.transient or any(
        host.judged.outcome is HostOutcome.FAILED
        and host.judged.reason is Reason.STARTTLS_NOT_OFFERED
        for host in verdict.hosts
    )


@asynccontextmanager
async def open_validation(
    settings: Settings,
    *,
    clock: Clock,
    on_validation: Callable[[Validation], None] | None = None,
    on_query: Callable[[RRType], None] | None = None,
    on_change: Callable[[WindowChange], None] = lambda _: None,
    total_seconds: float | None = None,
) -> AsyncIterator[StubResolver | ValidatingResolver]:
    """Open the resolver that the settings choose: one that validates, or one that is believed.

    ``total_seconds`` is the time of one question with its whole chain, where it is not the usual.
    """
    if settings.validation is ValidationMode.RESOLVER:
        async with open_resolver(
            settings.resolvers,
            limits=settings.dns_limits,
            clock=clock,
            on_query=on_query,
            on_change=on_change,
        ) as resolver:
            yield resolver
        return
    limits = None if total_seconds is None else ChainLimits(total_timeout_seconds=total_seconds)
    async with open_fetcher_and_resolver(
        settings.resolvers,
        clock=clock,
        limits=settings.dns_limits,
        on_query=on_query,
        on_change=on_change,
    ) as (fetcher, opinion):
        yield ValidatingResolver(
            fetcher,
            anchors=Anchors(settings.anchors),
            clock=clock,
            policy=settings.dnssec_policy,
            limits=limits,
            at=settings.judge_at,
            on_validation=on_validation,
            opinion=opinion,
            always_compare=settings.always_compare,
        )


@asynccontextmanager
async def open_scanner(
    settings: Settings,
    *,
    clock: Clock | None = None,
    meter: Meter | None = None,
    steady_seconds: Callable[[], float] | None = None,
) -> AsyncIterator[Scanner]:
    """Build a scanner from ``settings``; its sockets and tasks end with the block.

    ``meter`` counts queries, cache hits and throttling. ``steady_seconds`` is a time that nobody
    sets, at the pace of ``clock``, by which a clock that is set shows.
    """
    clock = clock or SystemClock()
    meter = meter or NullMeter()
    if settings.workers > 1 and not isinstance(clock, SystemClock):
        raise ValueError("worker processes live by the clock of the machine")
    shared_meter = meter if settings.workers == 1 else NullMeter()  # there the workers look
    async with (
        open_eyes(settings, clock=clock, meter=shared_meter) as eyes,
        open_fetcher(settings.resolvers, limits=settings.dns_limits) as fetcher,
        AsyncExitStack() as stack,
    ):
        greeter = Greeter(
            port=settings.smtp_port,
            allow_special_purpose=settings.allow_private_addresses,
            limits=settings.greeting_limits,
        )
        egress = EgressWatch(
            greet=greeter.greet,
            resolve=partial(addresses_of, eyes.resolver),
            canaries=settings.canary_mx,
            policy=settings.egress_policy,
        )
        vantage = eyes.vantage(egress.prove)
        judged = judge_by(settings)
        plain_prober = prober_of(settings, clock=clock, on_connection=egress.note_connection)
        pool = None
        if settings.workers > 1:
            pool = make_pool(settings, egress=egress, judge=judged, clock=clock, meter=meter)
        prober = SharedProber(pool or plain_prober, limits=settings.sharing_limits, meter=meter)
        check = pool.check if pool is not None else eyes.checker(prober, vantage).check

        def deserves_second_look(check: Check) -> bool:
            return is_doubtful(check.judgement.of(settings.policy.profile))

        def forget_failures() -> None:
            eyes.forget_failures()
            prober.forget_failures()
            if pool is not None:
                pool.forget_failures()

        def forget_everything() -> None:
            eyes.forget()
            prober.forget()
            if pool is not None:
                pool.forget_everything()

        engine = Engine(
            check=check,
            judge=judged,
            confirm_vantage=vantage.confirm,
            is_doubtful=deserves_second_look,
            forget_failures=forget_failures,
            forget_everything=forget_everything,
            limits=settings.engine_limits,
        )
        fresh_observer = DomainObserver(
            resolver=eyes.resolver,
            prober=plain_prober,
            vantage=AssumedVantage(),
            clock=clock,
            limits=settings.routing_limits,
            deadline_seconds=settings.timeout_seconds,
            both_algorithms=False,
        )
        own_tests = OwnTests(
            vantage=vantage,
            egress=egress,
            observe=fresh_observer.observe,
            judge=judged,
            fetch=fetcher.fetch,
            clock=clock,
            witnesses=settings.clock_witnesses,
            steady_seconds=steady_seconds,
            synchronised=kernel_synchronised,
        )
        if pool is not None:
            await stack.enter_async_context(working(pool, prober))
        yield Scanner(
            engine=engine,
            vantage=vantage,
            prober=prober,
            own_tests=own_tests,
            forget=forget_everything,
            workers_fault=pool.resting if pool is not None else lambda: None,
        )


class Eyes:
    """What looks things up and remembers it: the part of a scanner each process has of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: StubResolver | ValidatingResolver,
        zones: ZoneKeeper,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._zones = zones
        self.resolver = resolver
        """The resolver itself, which remembers no answers."""
        self._cache = CachingResolver(
            resolver,
            clock=clock,
            limits=settings.cache_limits,
            on_request=_counts_requests(meter, "answers"),
        )

    def forget(self) -> None:
        """Forget everything that was looked up."""
        self._cache.forget_all()
        self._zones.forget()
        if isinstance(self.resolver, ValidatingResolver):
            self.resolver.forget()

    def forget_failures(self) -> None:
        """Forget what failed, so that a second look is one."""
        self._cache.forget_errors()
        if isinstance(self.resolver, ValidatingResolver):
            self.resolver.forget_failures()

    def vantage(
        self, prove_egress: Callable[[], Awaitable[Mapping[Family, bool | None]]]
    ) -> ResolverVantage:
        """Return who tests the resolver and lets everything be forgotten it cannot vouch for."""
        return ResolverVantage(
            self.resolver,
            clock=self._clock,
            known_bogus=tuple(Question(name, RRType.A) for name in self._settings.known_bogus),
            prove_egress=prove_egress,
            on_distrust=self.forget,
        )

    def checker(self, prober: Prober, vantage: ResolverVantage) -> Checker:
        """Return who makes checks with these eyes, and connections by ``prober``."""
        return Checker(
            observe=self.observer(prober, vantage),
            judge=judge_by(self._settings),
            clock=self._clock,
        )

    def observer(self, prober: Prober, vantage: ResolverVantage) -> Observe:
        """Return who gathers evidence with these eyes, and by ``prober``."""
        settings = self._settings
        observer = DomainObserver(
            resolver=self._cache,
            prober=prober,
            vantage=vantage,
            clock=self._clock,
            limits=settings.routing_limits,
            deadline_seconds=settings.timeout_seconds,
            both_algorithms=settings.both_algorithms,
            zones=self._zones,
        )

        async def observe(target: Target) -> DomainObservation:
            return await observer.observe(target.domain)

        return observe


@asynccontextmanager
async def open_eyes(settings: Settings, *, clock: Clock, meter: Meter) -> AsyncIterator[Eyes]:
    """Open a resolver with its memory; ``meter`` counts queries and cache hits."""
    zones = ZoneKeeper(clock=clock, at=settings.judge_at)
    async with open_validation(
        settings,
        clock=clock,
        on_validation=zones.take,
        on_query=_counts_queries(meter),
        on_change=shows_slowdown(meter),
    ) as resolver:
        yield Eyes(settings, resolver=resolver, zones=zones, clock=clock, meter=meter)


def prober_of(
    settings: Settings, *, clock: Clock, on_connection: ConnectionReport | None
) -> SmtpProber:
    """Return who makes connections, with no sharing and no limits."""
    return SmtpProber(
        limits=settings.probe_limits,
        clock=clock,
        port=settings.smtp_port,
        ehlo_name=settings.ehlo_name,
        allow_special_purpose=settings.allow_private_addresses,
        without_sni=settings.without_sni,
        on_connection=on_connection,
    )


def judge_by(settings: Settings) -> Judge:
    """Return who judges observations."""

    def judged(observation: DomainObservation) -> Judgement:
        now = settings.judge_at or observation.observed_at
        return judge(observation, policy=settings.policy, now=now)

    return judged


def make_pool(
    settings: Settings, *, egress: EgressWatch, judge: Judge, clock: Clock, meter: Meter
) -> WorkerPool:
    """Return the processes that look and judge in place of this one; ``working`` starts them."""
    first = FirstMessage(
        settings=settings_of_worker(settings),
        log_level=logging.getLogger("danewatch").getEffectiveLevel(),
    )
    ports = PoolPorts(
        start=partial(spawn, ("-m", "scanner.cli.worker"), first),
        note_connection=egress.note_connection,
        prove_egress=egress.prove,
        judge=judge,
        clock=clock,
        meter=meter,
    )
    return WorkerPool(ports, count=settings.workers, limits=settings.worker_limits)


def settings_of_worker(settings: Settings) -> Settings:
    """Return what one worker is built from: its share of what is bounded for all together."""
    share, dns, cache = settings.workers, settings.dns_limits, settings.cache_limits
    return replace(
        settings,
        workers=1,
        dns_limits=replace(dns, max_in_flight=max(dns.max_in_flight // share, 1)),
        cache_limits=replace(
            cache,
            max_entries=max(cache.max_entries // share, 1),
            max_octets=max(cache.max_octets // share, 1),
        ),
    )


@asynccontextmanager
async def working(pool: WorkerPool, prober: Prober) -> AsyncIterator[None]:
    """Let the processes of ``pool`` work for the length of the block. Raises OSError."""
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(pool.run, prober)
        except CannotCheckError as error:
            raise OSError(str(error)) from error
        yield
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstMessage:
    """What a worker process is told at its start."""

    settings: Settings
    log_level: int


def _counts_queries(meter: Meter) -> Callable[[RRType], None]:
    def count(rdtype: RRType) -> None:
        meter.count(OwnMetric.DNS_QUERIES, type=rdtype.value)

    return count


def _counts_requests(meter: Meter, cache: str) -> Callable[[bool], None]:
    def count(hit: bool) -> None:
        meter.count(OwnMetric.CACHE_REQUESTS, cache=cache)
        if hit:
            meter.count(OwnMetric.CACHE_HITS, cache=cache)

    return count
