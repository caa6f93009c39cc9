"""Whether we ourselves can see: control questions to our resolvers, facts about our egress.

Theory. A resolver that is down turns every partner into a failure, one that stopped validating
turns every partner into "no DANE" (case 47). Both are told apart from the partners' own doing by a
control question whose answer is known: the SOA of the root always exists and is always signed. It
is asked after the observation it vouches for, since a resolver that worked before may have failed
in between; and of every configured resolver, since any of them may have answered.

A good test vouches for what lies behind it only if the test before was good as well: what was
looked up between a failed test and the next good one was looked up blindly. So ``confirm`` takes
the time of the first lookup, and ``on_distrust`` empties the caches of what no test vouches for.

A resolver cut off from the world still knows the root's SOA by heart. Where that matters, hand in
``reach``, which makes a question no cache can answer.

Port 25 is judged by the probes themselves: one connection answered in a family, accepted or
refused, proves the way out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import trio

from scanner.model.names import ROOT
from scanner.model.observation import Lookup, Question, Vantage
from scanner.model.ports import Clock, Resolver
from scanner.model.vocabulary import DnssecStatus, Family, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.pathtest import Fetch
from scanner.observe.resolver import StubResolver
from scanner.observe.selftest import SelfTest, SelfTestCheck, examine_server

__all__ = [
    "CONTROL_QUESTION",
    "ResolverVantage",
    "SelfTest",
    "SelfTestCheck",
    "ServerVantage",
    "VantageLimits",
]

CONTROL_QUESTION = Question(ROOT, RRType.SOA)


@dataclass(frozen=True, kw_only=True, slots=True)
class VantageLimits:
    """Bounds of the control questions; seconds."""

    min_interval_seconds: float = 0.5
    """Least time from the beginning of one test to the next."""
    timeout_seconds: float = 8.0
    """A resolver silent for this long counts as down; ours, long enough for two tries."""
    straggler_seconds: float = 1.0
    """Time for the other resolvers once one has answered, so that a dead one delays nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerVantage:
    """What the last test found of one resolver; ``validating`` is None when it was down."""

    server: str
    up: bool
    validating: bool | None
    detail: str | None


class ResolverVantage:
    """Asks control questions (implements ``scanner.model.ports.VantageMonitor``).

    ``resolver`` must not cache. A StubResolver is tested server by server, and so is a
    ValidatingResolver over servers; any other Resolver as a whole.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        clock: Clock,
        limits: VantageLimits | None = None,
        control_secure: Question = CONTROL_QUESTION,
        known_bogus: Question | None = None,
        reach: Callable[[], Question] | None = None,
        on_distrust: Callable[[], None] = lambda: None,
    ) -> None:
        """``control_secure`` must exist and be signed. ``known_bogus`` is asked in the self-test
        only. ``reach`` makes a question that must bring an answer, any, from beyond a cache.
        ``on_distrust`` is called when everything looked up so far must be forgotten."""
        self._clock = clock
        self._limits = limits or VantageLimits()
        self._control = control_secure
        self._known_bogus = known_bogus
        self._reach = reach
        self._resolvers: tuple[tuple[str, Resolver, Resolver | None], ...]
        if isinstance(resolver, StubResolver | ValidatingResolver) and resolver.servers:
            names = [str(server) for server in resolver.servers]
            streams = resolver.split(stream_only=True)
            self._resolvers = tuple(zip(names, resolver.split(), streams, strict=True))
        else:
            self._resolvers = (("the resolver", resolver, None),)
        self._on_distrust = on_distrust
        self._running = trio.Lock()
        self._begun = 0
        self._finished = 0
        self._next_at = 0.0
        self._servers: tuple[ServerVantage, ...] = ()
        self._good_since = -math.inf
        """When the first of the latest unbroken row of good tests began."""
        self._failure = Vantage()
        """What the last failed test found."""
        self._egress: dict[Family, bool | None] = dict.fromkeys(Family)

    async def confirm(self, *, since: float | None = None) -> Vantage:
        """Return the vantage from control questions begun after this call.

        Tests are shared: whoever calls while one runs waits for the next. ``resolver_up`` is False
        when no resolver answers the control question, ``resolver_validating`` when any that
        answers does so without proof, and either when that was so at any time after ``since``.
        """
        wanted = self._begun + 1
        while self._finished < wanted:
            async with self._running:
                if self._finished < wanted:
                    await self._test_all()
        found = self._vantage()
        if since is None or since >= self._good_since or not found.resolver_trusted:
            return found
        return replace(
            found,
            resolver_up=self._failure.resolver_up,
            resolver_validating=self._failure.resolver_validating,
            detail=f"{self._failure.detail} (until a moment ago)",
        )

    def note_connection(self, family: Family, answered: bool | None) -> None:
        """Record one SMTP connection attempt.

        True: it was accepted or refused. False: this machine has no route in that family. None:
        it says nothing. One answer outweighs everything else.
        """
        if answered is not None and self._egress[family] is not True:
            self._egress[family] = answered

    def forget_connections(self) -> None:
        """Begin anew: nothing is known of the egress."""
        self._egress = dict.fromkeys(Family)

    def servers(self) -> tuple[ServerVantage, ...]:
        """Return what the last test found of each resolver; nothing before the first."""
        return self._servers

    async def self_test(self) -> SelfTest:
        """Return whether each resolver answers, validates, and works over TCP."""
        found: dict[str, tuple[SelfTestCheck, ...]] = {}

        async def test_one(name: str, resolver: Resolver, stream: Resolver | None) -> None:
            found[name] = await examine_server(
                name,
                resolver,
                stream,
                control=self._control,
                known_bogus=self._known_bogus,
                fetch=_fetch_of(resolver),
            )

        async with trio.open_nursery() as nursery:
            for name, resolver, stream in self._resolvers:
                nursery.start_soon(test_one, name, resolver, stream)
        checks = tuple(check for name, _, _ in self._resolvers for check in found[name])
        return SelfTest(tested_at=self._clock.now(), checks=checks)

    async def _test_all(self) -> None:
        """Ask every resolver and keep what was found."""
        await trio.sleep_until(self._next_at)
        self._next_at = trio.current_time() + self._limits.min_interval_seconds
        began_at = trio.current_time()
        self._begun += 1
        number = self._begun
        found: dict[str, ServerVantage] = {}

        async def test_one(name: str, resolver: Resolver) -> None:
            found[name] = await self._test_one(name, resolver)
            if found[name].up:
                latest = trio.current_time() + self._limits.straggler_seconds
                scope.deadline = min(scope.deadline, latest)

        with trio.move_on_after(self._limits.timeout_seconds) as scope:
            async with trio.open_nursery() as nursery:
                for name, resolver, _ in self._resolvers:
                    nursery.start_soon(test_one, name, resolver)
        self._servers = tuple(found.get(name) or _silent(name) for name, _, _ in self._resolvers)
        self._finished = number
        self._draw_conclusions(began_at)

    def _draw_conclusions(self, began_at: float) -> None:
        found = self._vantage()
        if not found.resolver_trusted:
            self._good_since = math.inf
            self._failure = found
            self._on_distrust()
        elif self._good_since == math.inf:
            self._good_since = began_at
            self._on_distrust()

    async def _test_one(self, name: str, resolver: Resolver) -> ServerVantage:
        control = await resolver.lookup(self._control)
        if not control.has_data:
            return _down(name, control)
        if self._reach is not None:
            beyond = await resolver.lookup(self._reach())
            if beyond.is_error and beyond.status is not DnssecStatus.BOGUS:
                return _down(name, beyond)
        validating = control.is_secure_data
        detail = None if validating else f"{name} does not validate: {control.question} without AD"
        return ServerVantage(server=name, up=True, validating=validating, detail=detail)

    def _vantage(self) -> Vantage:
        up = [server for server in self._servers if server.up]
        validating = all(server.validating for server in up) if up else None
        troubled = [server for server in (up or self._servers) if server.detail]
        return Vantage(
            resolver_up=bool(up),
            resolver_validating=validating,
            egress_ipv4=self._egress[Family.IPV4],
            egress_ipv6=self._egress[Family.IPV6],
            detail="; ".join(server.detail or "" for server in troubled) or None,
        )


def _fetch_of(resolver: Resolver) -> Fetch | None:
    """Return what fetches replies as they are, where signatures below the root matter to us."""
    if isinstance(resolver, ValidatingResolver) and resolver.trusts_root:
        return resolver.fetch
    return None


def _down(name: str, lookup: Lookup) -> ServerVantage:
    why = lookup.own_fault or lookup.detail or f"{lookup.outcome}"
    says = "does not answer" if lookup.status is not DnssecStatus.BOGUS else "cannot prove"
    detail = f"{name} {says} {lookup.question}: {why}"
    return ServerVantage(server=name, up=False, validating=None, detail=detail)


def _silent(name: str) -> ServerVantage:
    return ServerVantage(
        server=name, up=False, validating=None, detail=f"{name} did not answer in time"
    )
