"""The tests of ourselves, made with the parts the scanner itself is made of.

Looks at canaries and at domains of a suspected mass loss go round everything that is remembered or
shared: the answer must not come from the time before the fault.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import trio

from scanner.model.dnssec import FetchFailure
from scanner.model.names import Name
from scanner.model.observation import DomainObservation, Lookup, Question, Vantage
from scanner.model.ports import Clock
from scanner.model.verdict import Check, Judgement
from scanner.model.vocabulary import RRType
from scanner.observe.pathtest import Fetch
from scanner.observe.vantage import ResolverVantage, ServerVantage, fails_by_dates
from scanner.run.clocksanity import ClockPolicy, ClockSigns, WitnessSeen
from scanner.run.egress import EgressWatch
from scanner.run.selfstatus import EgressSeen, ResolverSeen

STANDING_WITNESSES = (Name("com"), Name("net"))
"""Asked when the clock was set while nobody else speaks for it: both sign their SOA record every
few minutes, and anybody may ask for it."""
_JUMP = ClockPolicy().jump
_TYPE_SOA = 6
_SERIAL_BITS = 32


class OwnTests:
    """Looks at our resolvers, our way out, our clock (implements ``selfwatch.SelfTests``)."""

    def __init__(
        self,
        *,
        vantage: ResolverVantage,
        egress: EgressWatch,
        observe: Callable[[Name], Awaitable[DomainObservation]],
        judge: Callable[[DomainObservation], Judgement],
        fetch: Fetch,
        clock: Clock,
        witnesses: Sequence[Name] = (),
        steady_seconds: Callable[[], float] | None = None,
        synchronised: Callable[[], bool | None] = lambda: None,
    ) -> None:
        """``observe`` looks past every cache, ``fetch`` gets replies with their signatures.

        ``witnesses`` are zones that sign their SOA record all day; without any, those that do so
        for the whole world are asked once the clock was set. ``steady_seconds`` is a time that
        nobody sets, in the seconds of ``clock``; ``synchronised`` the kernel's word.
        """
        self._vantage = vantage
        self._egress = egress
        self._observe = observe
        self._judge = judge
        self._fetch = fetch
        self._clock = clock
        self._witnesses = tuple(witnesses)
        self._steady = steady_seconds
        self._synchronised = synchronised
        self._began_at = clock.now()
        self._began_steady = steady_seconds() if steady_seconds is not None else 0.0

    async def resolvers(self) -> tuple[ResolverSeen, ...]:
        """Return what each resolver did just now, made-up names included."""
        await self._vantage.confirm(thorough=True)
        return tuple(_seen(server) for server in self._vantage.servers())

    async def witnesses(self) -> tuple[WitnessSeen, ...]:
        """Return the newest signature over the SOA record of each clock witness."""
        found: list[WitnessSeen] = []

        async def ask(zone: Name) -> None:
            found.append(WitnessSeen(zone=zone, inception=await self._newest_inception(zone)))

        async with trio.open_nursery() as nursery:
            for zone in self._witnesses_now():
                nursery.start_soon(ask, zone)
        return tuple(found)

    def _witnesses_now(self) -> tuple[Name, ...]:
        """Return whom to ask: nobody who was not named, unless there is a question to answer."""
        signs = self.clock_signs()
        was_set = signs.offset is not None and abs(signs.offset) > _JUMP
        if self._witnesses or not was_set or signs.synchronised:
            return self._witnesses
        return STANDING_WITNESSES

    async def egress(self) -> tuple[EgressSeen, ...]:
        """Return how it stands with port 25 in each family."""
        return await self._egress.test()

    async def look(self, domain: Name) -> Check:
        """Return a check of ``domain`` in which nothing remembered takes part."""
        observation = await self._observe(domain)
        return Check(observation=observation, judgement=self._judge(observation))

    def clock_signs(self) -> ClockSigns:
        """Return how far the clock was set since the start, and the kernel's word on it."""
        offset = None
        if self._steady is not None:
            passed = timedelta(seconds=self._steady() - self._began_steady)
            offset = self._clock.now() - self._began_at - passed
        return ClockSigns(offset=offset, synchronised=self._synchronised())

    def dates_failed(self, check: Check) -> str | None:
        """Return a sentence if a lookup of ``check`` failed by the dates of signatures."""
        for lookup in _lookups(check.observation):
            if fails_by_dates(lookup):
                return f"the signatures of {lookup.question} fail by their dates"
        return None

    async def _newest_inception(self, zone: Name) -> datetime | None:
        reply = await self._fetch(Question(zone, RRType.SOA))
        if isinstance(reply, FetchFailure):
            return None
        inceptions = [
            rrsig.inception
            for rrset in reply.answer
            if rrset.rdtype == _TYPE_SOA
            for rrsig in rrset.rrsigs
        ]
        now = self._clock.now()
        return max((_near(inception, now) for inception in inceptions), default=None)


class AssumedVantage:
    """Takes for granted that we see: for looks that are to show whether we do."""

    async def confirm(self, *, since: float | None = None, reach: bool = False) -> Vantage:
        """Return a vantage with nothing wrong."""
        await trio.lowlevel.checkpoint()
        return Vantage(
            resolver_up=True, resolver_validating=True, egress_ipv4=True, egress_ipv6=True
        )


def _seen(server: ServerVantage) -> ResolverSeen:
    return ResolverSeen(
        resolver=server.server,
        up=server.up,
        validating=server.validating,
        reached=server.reached,
        bogus=server.bogus,
        dates=server.dates,
        detail=server.detail,
    )


def _near(serial: int, now: datetime) -> datetime:
    """Return the moment near ``now`` that a serial number of seconds means (RFC 4034 §3.1.5)."""
    seconds = int(now.timestamp())
    half = 1 << (_SERIAL_BITS - 1)
    ahead = (serial - seconds + half) % (1 << _SERIAL_BITS) - half
    return datetime.fromtimestamp(seconds + ahead, UTC)


def _lookups(observation: DomainObservation) -> list[Lookup]:
    found = [observation.route.mx]
    for host in observation.hosts:
        route = host.route
        maybe = (route.ipv4, route.ipv6, route.alias, route.failed_lookup)
        found += [one for one in maybe if one is not None]
        found += [candidate.lookup for candidate in route.candidates]
    return found
