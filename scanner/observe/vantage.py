"""Whether we ourselves can see: control questions to our resolvers, facts about our egress.

Theory. A resolver that is down turns every partner into a failure, one that stopped validating
turns every partner into "no DANE" (case 47). Both are told apart from the partners' own doing by a
control question whose answer is known: the SOA of the root always exists and is always signed. It
is asked after the observation it vouches for, since a resolver that worked before may have failed
in between; and of every configured resolver, since any of them may have answered.

A good test vouches for what lies behind it only if the test before was good as well: what was
looked up between a failed test and the next good one was looked up blindly. So ``confirm`` takes
the time of the first lookup, and ``on_distrust`` empties the caches of what no test vouches for.

A resolver cut off from the world still knows the root's SOA by heart, and fails for every partner
that it does not. So when a lookup has failed for another reason than bogus data, a question is
asked that no cache can answer: a name made up on the spot, whose denial is as good as data.

A resolver in a permissive mode sets AD for the root and lets bogus data through. That shows only at
a name that is broken on purpose (``known_bogus``), which is asked when the first test is made and
every minute from then on.

Port 25 is judged by the probes: one greeting in a family proves the way out. A refusal proves
nothing, for our own firewall may refuse. ``prove_egress`` knows better where it is handed in.
"""

import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import Lookup, Question, Vantage
from scanner.model.ports import Clock, Resolver
from scanner.model.selfstatus import BogusAnswer
from scanner.model.vocabulary import DnssecStatus, Family, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.pathtest import Fetch
from scanner.observe.resolver import StubResolver
from scanner.observe.selftest import SelfTest, SelfTestCheck, examine_server
from scanner.observe.turnstile import SharedEvent

__all__ = [
    "CONTROL_QUESTION",
    "REACH_ZONES",
    "ResolverVantage",
    "SelfTest",
    "SelfTestCheck",
    "ServerVantage",
    "VantageLimits",
]

CONTROL_QUESTION = Question(ROOT, RRType.SOA)
REACH_ZONES = (Name("com"), Name("org"))
"""Where names are made up: zones whose servers are well kept, and whose denials (NSEC3 with
opt-out) no resolver may make up itself from what it has cached (RFC 8198 §5.2)."""
DATE_REASONS = frozenset({DnssecReason.RRSIG_EXPIRED, DnssecReason.RRSIG_NOT_YET_VALID})
_EDE_DATES = frozenset({7, 8})  # Signature Expired, Signature Not Yet Valid (RFC 8914 §4.8, §4.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class VantageLimits:
    """Bounds of the control questions; seconds."""

    min_interval_seconds: float = 0.5
    """Least time from the beginning of one test to the next."""
    timeout_seconds: float = 8.0
    """A resolver silent for this long counts as down; ours, long enough for two tries."""
    straggler_seconds: float = 1.0
    """Time for the other resolvers once one has answered, so that a dead one delays nothing."""
    known_bogus_seconds: float = 60.0
    """From one look at the known-bogus names to the next: resolvers keep a failure as long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerVantage:
    """What the last test found of one resolver; ``validating`` is None when it was down.

    ``reached`` is None unless it was tested whether it reaches anybody, ``bogus`` what it made of
    each known-bogus name, ``dates`` whether the control question failed by the dates of signatures.
    """

    server: str
    up: bool
    validating: bool | None
    detail: str | None
    reached: bool | None = None
    bogus: tuple[tuple[Name, BogusAnswer], ...] = ()
    dates: bool = False

    @property
    def works(self) -> bool:
        """Whether it answers, and not from its cache alone."""
        return self.up and self.reached is not False

    @property
    def lets_bogus_through(self) -> bool:
        """Whether it accepts known-bogus names: one, and refuses none of the others.

        One that it refuses shows that it validates; what it accepts beside is excepted by name
        (RFC 7646) or was repaired.
        """
        answers = {answer for _, answer in self.bogus}
        return BogusAnswer.ACCEPTED in answers and BogusAnswer.REFUSED not in answers


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
        known_bogus: Sequence[Question] = (),
        reach: Callable[[], Sequence[Question]] | None = None,
        prove_egress: Callable[[], Awaitable[Mapping[Family, bool | None]]] | None = None,
        on_distrust: Callable[[], None] = lambda: None,
    ) -> None:
        """``control_secure`` must exist and be signed; ``known_bogus`` must not validate.

        ``reach`` makes questions of which one must bring an answer, any, from beyond a cache; by
        default they are names made up in ``REACH_ZONES``. ``prove_egress`` returns the egress by
        family, in place of what ``note_connection`` was told. ``on_distrust`` is called when
        everything looked up so far must be forgotten.
        """
        self._clock = clock
        self._limits = limits or VantageLimits()
        self._control = control_secure
        self._known_bogus = tuple(known_bogus)
        self._reach = reach or made_up_questions
        self._prove_egress = prove_egress
        self._resolvers: tuple[tuple[str, Resolver, Resolver | None], ...]
        if isinstance(resolver, StubResolver | ValidatingResolver) and resolver.servers:
            names = [str(server) for server in resolver.servers]
            streams = resolver.split(stream_only=True)
            self._resolvers = tuple(zip(names, resolver.split(), streams, strict=True))
        else:
            self._resolvers = (("the resolver", resolver, None),)
        self._on_distrust = on_distrust
        self._bogus: dict[str, tuple[tuple[Name, BogusAnswer], ...]] = {}
        self._bogus_due_at: dict[str, float] = {}
        self._reach_wanted = False
        self._running: SharedEvent | None = None
        self._begun = 0
        self._finished = 0
        self._next_at = 0.0
        self._servers: tuple[ServerVantage, ...] = ()
        self._good_since = -math.inf
        """When the first of the latest unbroken row of good tests began."""
        self._failure = Vantage()
        """What the last failed test found."""
        self._egress: dict[Family, bool | None] = dict.fromkeys(Family)

    async def confirm(
        self, *, since: float | None = None, reach: bool = False, thorough: bool = False
    ) -> Vantage:
        """Return the vantage from control questions begun after this call.

        Tests are shared: whoever calls while one runs waits for the next. ``resolver_up`` is False
        when no resolver answers the control question (with ``reach``, one that no cache can answer
        as well), ``resolver_validating`` when any that answers does so without proof or lets
        known-bogus names through, and either when that was so at any time after ``since``.
        ``thorough`` is for a self-test: it asks everything about the resolvers, the known-bogus
        names afresh, and nobody about port 25.
        """
        wanted = self._begun + 1
        self._reach_wanted = self._reach_wanted or reach or thorough
        if thorough:
            self._bogus_due_at.clear()
        while self._finished < wanted:
            # Who waits is woken by the end of the test, a few at a time; one makes the next.
            if self._running is not None:
                await self._running.wait()
            else:
                self._running = SharedEvent()
                try:
                    await self._test_all()
                finally:
                    self._running.set()
                    self._running = None
        found = self._vantage()
        if self._prove_egress is not None and not thorough:
            proved = await self._prove_egress()
            found = replace(
                found,
                egress_ipv4=proved.get(Family.IPV4),
                egress_ipv6=proved.get(Family.IPV6),
            )
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

        True: it was greeted. False: this machine has no route in that family. None: it says
        nothing, as a refusal does. One greeting outweighs everything else.
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
        # Once cut off, a resolver must show that it reaches somebody before it is believed.
        reach = self._reach_wanted or any(one.reached is False for one in self._servers)
        self._reach_wanted = False
        found: dict[str, ServerVantage] = {}

        async def test_one(name: str, resolver: Resolver) -> None:
            found[name] = await self._test_one(name, resolver, reach=reach)
            if found[name].works:
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

    async def _test_one(self, name: str, resolver: Resolver, *, reach: bool) -> ServerVantage:
        control = await resolver.lookup(self._control)
        if not control.has_data:
            return _down(name, control)
        validating = control.is_secure_data
        detail = None if validating else f"{name} does not validate: {control.question} without AD"
        server = ServerVantage(
            server=name,
            up=True,
            validating=validating,
            detail=detail,
            bogus=await self._look_at_bogus(name, resolver),
        )
        if server.lets_bogus_through:
            accepted = next(n for n, answer in server.bogus if answer is BogusAnswer.ACCEPTED)
            detail = detail or f"{name} accepts {accepted}, whose signatures are broken"
            server = replace(server, detail=detail)
        if not reach:
            return server
        beyond = [await resolver.lookup(question) for question in self._reach()]
        if any(not one.is_error or one.status is DnssecStatus.BOGUS for one in beyond):
            return replace(server, reached=True)
        return replace(server, reached=False, detail=_cut_off(name, beyond))

    async def _look_at_bogus(
        self, name: str, resolver: Resolver
    ) -> tuple[tuple[Name, BogusAnswer], ...]:
        """Return what the resolver makes of the known-bogus names, as of a minute ago at most."""
        if trio.current_time() >= self._bogus_due_at.get(name, -math.inf):
            self._bogus_due_at[name] = trio.current_time() + self._limits.known_bogus_seconds
            self._bogus[name] = tuple(
                [(q.name, bogus_answer(await resolver.lookup(q))) for q in self._known_bogus]
            )
        return self._bogus.get(name, ())

    def _vantage(self) -> Vantage:
        up = [server for server in self._servers if server.works]
        validating = all(one.validating and not one.lets_bogus_through for one in up)
        troubled = [server for server in (up or self._servers) if server.detail]
        return Vantage(
            resolver_up=bool(up),
            resolver_validating=validating if up else None,
            egress_ipv4=self._egress[Family.IPV4],
            egress_ipv6=self._egress[Family.IPV6],
            detail="; ".join(server.detail or "" for server in troubled) or None,
        )


def _fetch_of(resolver: Resolver) -> Fetch | None:
    """Return what fetches replies as they are, where signatures below the root matter to us."""
    if isinstance(resolver, ValidatingResolver) and resolver.trusts_root:
        return resolver.fetch
    return None


def made_up_questions() -> tuple[Question, ...]:
    """Return questions about names nobody has asked for before, one in each of REACH_ZONES."""
    label = f"danewatch-{secrets.token_hex(8)}"
    return tuple(Question(Name(f"{label}.{zone}"), RRType.A) for zone in REACH_ZONES)


def bogus_answer(lookup: Lookup) -> BogusAnswer:
    """Return what the answer to a question about a known-bogus name comes to."""
    if lookup.status is DnssecStatus.BOGUS:
        return BogusAnswer.REFUSED
    if lookup.is_error:
        return BogusAnswer.UNKNOWN
    if lookup.status is DnssecStatus.SECURE:
        return BogusAnswer.SECURE
    return BogusAnswer.ACCEPTED


def fails_by_dates(lookup: Lookup) -> bool:
    """Return whether the answer is bogus because a signature has ended or has not begun."""
    if lookup.status is not DnssecStatus.BOGUS:
        return False
    codes = {error.code for error in lookup.extended_errors}
    return lookup.dnssec_reason in DATE_REASONS or bool(codes & _EDE_DATES)


def _cut_off(name: str, beyond: Sequence[Lookup]) -> str:
    whys = [f"{one.question}: {one.own_fault or one.detail or one.outcome}" for one in beyond]
    why = "; ".join(whys)
    return f"{name} answers from its cache and reaches nobody: {why}"


def _down(name: str, lookup: Lookup) -> ServerVantage:
    why = lookup.own_fault or lookup.detail or f"{lookup.outcome}"
    says = "does not answer" if lookup.status is not DnssecStatus.BOGUS else "cannot prove"
    detail = f"{name} {says} {lookup.question}: {why}"
    return ServerVantage(
        server=name, up=False, validating=None, detail=detail, dates=fails_by_dates(lookup)
    )


def _silent(name: str) -> ServerVantage:
    return ServerVantage(
        server=name, up=False, validating=None, detail=f"{name} did not answer in time"
    )
