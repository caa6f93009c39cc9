"""The composition root: turns settings into a scanner made of resolver, prober, judge and engine.

Every command that looks at the world goes through ``open_scanner``; nothing else connects the
layers. The scanner lives as long as the ``async with`` block and owns its sockets and tasks.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from scanner.judge.dnssec.anchors import ROOT_ANCHOR, Anchors
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.domain import judge
from scanner.model.dnssec import Anchor, Validation
from scanner.model.meter import Meter, NullMeter, OwnMetric
from scanner.model.names import Name
from scanner.model.observation import DomainObservation, Question
from scanner.model.policy import Policy, RoutingLimits
from scanner.model.ports import Clock, Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, Judgement, ProfileVerdict
from scanner.model.vocabulary import DomainVerdict, HostOutcome, RRType, ValidationMode
from scanner.observe.chainwalk import ChainLimits, ValidatingResolver
from scanner.observe.dnsserver import DNS_PORT, DnsLimits, ServerAddress
from scanner.observe.domain import DEFAULT_DEADLINE_SECONDS, DomainObserver
from scanner.observe.greeting import Greeter, GreetingLimits, addresses_of
from scanner.observe.kernelclock import kernel_synchronised
from scanner.observe.resolver import (
    StubResolver,
    open_fetcher,
    open_fetcher_and_resolver,
    open_resolver,
)
from scanner.observe.smtp import ProbeLimits, SmtpProber
from scanner.observe.vantage import ResolverVantage, SelfTest
from scanner.observe.zonekeeper import ZoneKeeper
from scanner.run.cache import CacheLimits, CachingResolver
from scanner.run.checking import Checker
from scanner.run.clock import SystemClock
from scanner.run.egress import EgressPolicy, EgressWatch
from scanner.run.engine import Engine, EngineLimits, PassSummary
from scanner.run.probes import SharedProber, SharingLimits
from scanner.run.selftests import AssumedVantage, OwnTests

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


class Scanner:
    """Checks domains, one by one or a list of them.

    ``own_tests`` are what a service watches itself with (``scanner.run.selfwatch``), ``forget``
    empties every cache.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        vantage: ResolverVantage,
        prober: SharedProber,
        own_tests: OwnTests,
        forget: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._vantage = vantage
        self._prober = prober
        self.own_tests = own_tests
        self.forget = forget

    async def self_test(self) -> SelfTest:
        """Return whether our own resolvers can be trusted, each finding with a remedy."""
        return await self._vantage.self_test()

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
    total_seconds: float | None = None,
) -> AsyncIterator[StubResolver | ValidatingResolver]:
    """Open the resolver that the settings choose: one that validates, or one that is believed.

    ``total_seconds`` is the time of one question with its whole chain, where it is not the usual.
    """
    if settings.validation is ValidationMode.RESOLVER:
        async with open_resolver(
            settings.resolvers, limits=settings.dns_limits, clock=clock, on_query=on_query
        ) as resolver:
            yield resolver
        return
    limits = None if total_seconds is None else ChainLimits(total_timeout_seconds=total_seconds)
    async with open_fetcher_and_resolver(
        settings.resolvers, clock=clock, limits=settings.dns_limits, on_query=on_query
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
    zones = ZoneKeeper(clock=clock, at=settings.judge_at)
    async with (
        open_validation(
            settings, clock=clock, on_validation=zones.take, on_query=_counts_queries(meter)
        ) as resolver,
        open_fetcher(settings.resolvers, limits=settings.dns_limits) as fetcher,
    ):
        cache = CachingResolver(
            resolver,
            clock=clock,
            limits=settings.cache_limits,
            on_request=_counts_requests(meter, "answers"),
        )

        def forget_answers() -> None:
            cache.forget_all()
            zones.forget()
            if isinstance(resolver, ValidatingResolver):
                resolver.forget()

        greeter = Greeter(
            port=settings.smtp_port,
            allow_special_purpose=settings.allow_private_addresses,
            limits=settings.greeting_limits,
        )
        egress = EgressWatch(
            greet=greeter.greet,
            resolve=partial(addresses_of, resolver),
            canaries=settings.canary_mx,
            policy=settings.egress_policy,
        )
        vantage = ResolverVantage(
            resolver,
            clock=clock,
            known_bogus=tuple(Question(name, RRType.A) for name in settings.known_bogus),
            prove_egress=egress.prove,
            on_distrust=forget_answers,
        )
        plain_prober = SmtpProber(
            limits=settings.probe_limits,
            clock=clock,
            port=settings.smtp_port,
            ehlo_name=settings.ehlo_name,
            allow_special_purpose=settings.allow_private_addresses,
            without_sni=settings.without_sni,
            on_connection=egress.note_connection,
        )
        prober = SharedProber(plain_prober, limits=settings.sharing_limits, meter=meter)
        observer = DomainObserver(
            resolver=cache,
            prober=prober,
            vantage=vantage,
            clock=clock,
            limits=settings.routing_limits,
            deadline_seconds=settings.timeout_seconds,
            both_algorithms=settings.both_algorithms,
            zones=zones,
        )

        async def observe(target: Target) -> DomainObservation:
            return await observer.observe(target.domain)

        def judged(observation: DomainObservation) -> Judgement:
            now = settings.judge_at or observation.observed_at
            return judge(observation, policy=settings.policy, now=now)

        def deserves_second_look(check: Check) -> bool:
            return is_doubtful(check.judgement.of(settings.policy.profile))

        def forget_failures() -> None:
            cache.forget_errors()
            if isinstance(resolver, ValidatingResolver):
                resolver.forget_failures()
            prober.forget_failures()

        def forget_everything() -> None:
            forget_answers()
            prober.forget()

        engine = Engine(
            check=Checker(observe=observe, judge=judged, clock=clock).check,
            judge=judged,
            confirm_vantage=vantage.confirm,
            is_doubtful=deserves_second_look,
            forget_failures=forget_failures,
            forget_everything=forget_everything,
            limits=settings.engine_limits,
        )
        fresh_observer = DomainObserver(
            resolver=resolver,
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
        yield Scanner(
            engine=engine,
            vantage=vantage,
            prober=prober,
            own_tests=own_tests,
            forget=forget_everything,
        )


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
