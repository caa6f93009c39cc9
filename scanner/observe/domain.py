"""One domain's whole evidence: feeds the routing conversation and probes what it finds.

Nothing here decides anything. Lookups go to a Resolver and probes to a Prober, both of which may
be shared, cached and limited from outside; the caller owns the concurrency over domains, this
file the one within a domain.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from scanner.judge.routing import Answers, route_domain, route_host
from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    DaneApplicability,
    DomainObservation,
    HostObservation,
    HostRoute,
    Lookup,
    MailRoute,
    MxKind,
    MxRecord,
    Question,
)
from scanner.model.policy import RoutingLimits
from scanner.model.ports import (
    Clock,
    Prober,
    RememberingResolver,
    Resolver,
    VantageMonitor,
    ZoneSource,
)
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.model.zones import ZoneObservation
from scanner.observe.turnstile import turnstile

_T = TypeVar("_T")

CONTACTED = frozenset(
    {
        DaneApplicability.TLSA_PRESENT,
        DaneApplicability.TLSA_ABSENT,
        DaneApplicability.NOT_APPLICABLE,
    }
)
"""A host whose TLSA lookup failed counts as unreachable and is not contacted (RFC 7672 §2.1.1)."""

DEFAULT_DEADLINE_SECONDS = 120.0
"""Time for one whole domain. Two tries of a 60 s probe fit; a stuck domain cannot hold a place."""


@dataclass
class _Collected:
    """What is known so far, so that a deadline loses nothing already seen."""

    route: MailRoute | None = None
    host_routes: dict[Name, HostRoute] = field(default_factory=dict)
    probes: dict[Name, list[AddressObservation]] = field(default_factory=dict)


class DomainObserver:
    """Gathers the evidence of one check of a domain."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        prober: Prober,
        vantage: VantageMonitor,
        clock: Clock,
        limits: RoutingLimits | None = None,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
        both_algorithms: bool = True,
        zones: ZoneSource | None = None,
    ) -> None:
        """Make an observer of ``deadline_seconds`` for a domain.

        ``both_algorithms`` asks hosts with secure TLSA records for their certificates of both
        algorithms (C30); no other host is contacted for it. ``zones`` knows the zones that lookups
        went through, where we validate ourselves.
        """
        self._resolver = resolver
        self._remembers = resolver if isinstance(resolver, RememberingResolver) else None
        self._prober = prober
        self._vantage = vantage
        self._clock = clock
        self._limits = limits or RoutingLimits()
        self._deadline_seconds = deadline_seconds
        self._both_algorithms = both_algorithms
        self._zones = zones

    async def observe(self, domain: Name) -> DomainObservation:
        """Return everything seen of ``domain`` within the deadline.

        When the deadline cuts it short, ``incomplete`` says so and what was seen is kept. The
        control questions about our own vantage begin after the last lookup of the domain, so they
        vouch for it.
        """
        await turnstile().begin()
        started = trio.current_time()
        observed_at = self._clock.now()
        collected = _Collected()
        with trio.move_on_after(self._deadline_seconds) as scope:
            await self._collect(domain, collected)
        incomplete = (
            f"our deadline of {self._deadline_seconds:g} s for a whole domain ended the check"
            if scope.cancelled_caught
            else None
        )
        failed = any(_may_be_our_resolver(lookup) for lookup in _lookups(collected))
        vantage = await self._vantage.confirm(since=started, reach=failed)
        return DomainObservation(
            domain=domain,
            observed_at=observed_at,
            duration_ms=round((trio.current_time() - started) * 1000),
            route=collected.route or _unanswered(domain),
            hosts=_hosts(collected),
            vantage=vantage,
            incomplete=incomplete,
            zones=self._zones_of(collected) if vantage.resolver_trusted else (),
        )

    def _zones_of(self, collected: _Collected) -> tuple[ZoneObservation, ...]:
        """Return the zones of every name that was looked up, alias targets included."""
        if self._zones is None:
            return ()
        names: dict[Name, None] = {}
        for lookup in _lookups(collected):
            names[lookup.question.name] = None
            names.update(dict.fromkeys(hop.target for hop in lookup.aliases))
        return self._zones.zones_of(names)

    async def _collect(self, domain: Name, collected: _Collected) -> None:
        route = await self._answer(route_domain(domain, limits=self._limits))
        collected.route = route
        if route.kind not in (MxKind.EXPLICIT, MxKind.IMPLICIT):
            return
        await _all_at_once(
            [partial(self._collect_host, exchange, collected) for exchange in route.exchanges]
        )

    async def _collect_host(self, exchange: MxRecord, collected: _Collected) -> None:
        route = await self._answer(route_host(exchange.exchange, limits=self._limits))
        collected.host_routes[exchange.exchange] = route
        if not _is_contacted(route, collected.route):
            return
        seen = collected.probes.setdefault(exchange.exchange, [])
        matters = route.applicability is DaneApplicability.TLSA_PRESENT

        async def probe_one(index: int) -> None:
            seen.append(
                await self._prober.probe(
                    route.host,
                    route.addresses[index],
                    route.tlsa_base,
                    both_algorithms=matters and self._both_algorithms,
                )
            )

        await _all_at_once([partial(probe_one, index) for index in range(len(route.addresses))])

    async def _answer(self, steps: Generator[tuple[Question, ...], Answers, _T]) -> _T:
        """Feed a routing conversation until it returns; it may do so without any question."""
        answers: Answers | None = None
        while True:
            try:
                needed = next(steps) if answers is None else steps.send(answers)
            except StopIteration as done:
                result: _T = done.value
                return result
            answers = await self._look_up(needed)

    async def _look_up(self, questions: Iterable[Question]) -> Answers:
        answers: dict[Question, Lookup] = {}
        unknown: list[Question] = []
        for question in questions:
            known = self._remembers.remembered(question) if self._remembers else None
            if known is None:
                unknown.append(question)
            else:
                answers[question] = known

        async def ask(question: Question) -> None:
            answers[question] = await self._resolver.lookup(question)

        await _all_at_once([partial(ask, question) for question in unknown])
        return answers


async def _all_at_once(steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Take all ``steps`` concurrently; one of them in this task, since a task has its price."""
    if not steps:
        return
    *others, last = steps
    if not others:
        await last()
        return
    async with trio.open_nursery() as nursery:
        for step in others:
            nursery.start_soon(step)
        await last()


def _is_contacted(host: HostRoute, mail: MailRoute | None) -> bool:
    """Return whether a sender would connect to the host.

    A failed TLSA lookup stops it only where TLSA records count: below insecure MX records mail is
    delivered as if there were no DANE (RFC 7672 §2.2.1).
    """
    if host.applicability is DaneApplicability.TLSA_ERROR:
        return mail is not None and mail.mx.status is DnssecStatus.INSECURE
    return host.applicability in CONTACTED


def _hosts(collected: _Collected) -> tuple[HostObservation, ...]:
    """Return the hosts in order of attempt, their addresses in order of the DNS answers."""
    if collected.route is None:
        return ()
    hosts = []
    for exchange in collected.route.exchanges:
        route = collected.host_routes.get(exchange.exchange)
        if route is None:
            continue
        order = {address.address: index for index, address in enumerate(route.addresses)}
        probes = sorted(
            collected.probes.get(exchange.exchange, ()), key=lambda probe: order[probe.address]
        )
        hosts.append(
            HostObservation(preference=exchange.preference, route=route, addresses=tuple(probes))
        )
    return tuple(hosts)


def _lookups(collected: _Collected) -> Iterator[Lookup]:
    if collected.route is not None:
        yield collected.route.mx
    for route in collected.host_routes.values():
        yield from (one for one in (route.ipv4, route.ipv6, route.alias) if one is not None)
        yield from (candidate.lookup for candidate in route.candidates)


def _may_be_our_resolver(lookup: Lookup) -> bool:
    """Return whether a resolver that reaches nobody would explain how ``lookup`` failed.

    Bogus data were fetched, so they show that it reaches somebody.
    """
    return lookup.is_error and lookup.status is not DnssecStatus.BOGUS


def _unanswered(domain: Name) -> MailRoute:
    """Return the route of a domain whose MX question was cut off by our own deadline."""
    lookup = Lookup(
        question=Question(domain, RRType.MX),
        outcome=LookupOutcome.TIMEOUT,
        status=None,
        own_fault="our own deadline ended the MX lookup",
    )
    return MailRoute(domain=domain, mx=lookup, kind=MxKind.ERROR, expanded=domain)
