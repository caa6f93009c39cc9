"""The slow lane: a few who wait for silent peers hold up nobody, within bounds of their own."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from scripted_world import START, World, service

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    DomainObservation,
    HostAddress,
    Lookup,
    MailRoute,
    MxKind,
    ProbeError,
    ProbeStage,
    Question,
    Vantage,
)
from scanner.model.ports import Target
from scanner.model.verdict import Check, Judgement
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.observe.turnstile import Turnstile
from scanner.run.clock import ScaledClock
from scanner.run.engine import Engine, EngineLimits
from scanner.run.monitor import MonitorLimits
from scanner.run.probes import SharedProber, SharingLimits
from scanner.run.slowlane import SlowLane

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
JUDGEMENT = Judgement(judged_at=NOW, verdicts=())
SEEING = Vantage(resolver_up=True, resolver_validating=True)
DOMAINS = 2_000
SILENT_EVERY = 33
"""About 3 % of the domains."""
USUAL_SECONDS = 1.0
TIME_OUT_SECONDS = 30.0
IN_FLIGHT = 20
DOMAIN_MX = Name("mx.example")

Clock = trio.testing.MockClock


@dataclass
class Peers:
    """A prober under which some addresses are silent, and what ran at a time."""

    silent: bool = True
    now: int = 0
    most: int = 0
    connecting: set[str] = field(default_factory=set)

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        dead = self.silent and host.startswith("dead")
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(TIME_OUT_SECONDS if dead else USUAL_SECONDS)
        finally:
            self.now -= 1
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=NOW,
            stage=ProbeStage.CONNECT if dead else ProbeStage.DONE,
            error=ProbeError.TIMEOUT if dead else None,
            probe_id="1",
        )


def targets(count: int = DOMAINS) -> list[Target]:
    """The silent ones come in rows, as in a list that was sorted by anything."""
    names = [
        f"{'dead' if (number // 40) % SILENT_EVERY == 0 else 'fine'}{number}.example"
        for number in range(count)
    ]
    return [Target(domain=Name(name)) for name in names]


def observation(domain: Name) -> DomainObservation:
    lookup = Lookup(
        question=Question(domain, RRType.MX), outcome=LookupOutcome.DATA, status=DnssecStatus.SECURE
    )
    route = MailRoute(domain=domain, mx=lookup, kind=MxKind.EXPLICIT, expanded=domain)
    return DomainObservation(
        domain=domain, observed_at=NOW, duration_ms=1, route=route, vantage=SEEING
    )


async def pass_over(peers: Peers, *, slow: int = 1_000) -> tuple[float, int, int]:
    """Make a pass; return how long it took, how many were checked, how many were slow."""
    prober = SharedProber(peers, limits=SharingLimits(max_concurrent=IN_FLIGHT, max_slow=slow))
    addresses: dict[Name, HostAddress] = {}

    async def check(target: Target) -> Check:
        number = len(addresses)
        address = HostAddress(
            address=f"10.{number >> 8}.{number & 255}.1", family=Family.IPV4, status=None
        )
        addresses[target.domain] = address
        await prober.probe(target.domain, address, target.domain)
        return Check(observation=observation(target.domain), judgement=JUDGEMENT)

    async def seeing() -> Vantage:
        await trio.lowlevel.checkpoint()
        return SEEING

    checked = list[Name]()

    async def keep(_target: Target, check: Check) -> None:
        await trio.lowlevel.checkpoint()
        checked.append(check.domain)

    limits = EngineLimits(domains_in_flight=IN_FLIGHT, slow_domains_in_flight=slow)
    engine = Engine(
        check=check,
        judge=lambda _: JUDGEMENT,
        confirm_vantage=seeing,
        limits=limits,
    )
    begun = trio.current_time()
    summary = await engine.run_pass(targets(), keep)
    assert len(set(checked)) == len(checked) == summary.checked
    return trio.current_time() - begun, summary.checked, summary.slow


async def test_silent_peers_lengthen_a_pass_by_one_time_out_and_not_by_twenty(
    autojump_clock: Clock,
) -> None:
    """2,000 domains, 3 % of them silent for 30 s: about the time without them plus one time-out."""
    without, checked, slow = await pass_over(Peers(silent=False))
    assert (checked, slow) == (DOMAINS, 0)
    taken, checked, slow = await pass_over(Peers())
    assert checked == DOMAINS
    silent = len([target for target in targets() if target.domain.startswith("dead")])
    assert slow == silent > 60
    assert taken <= without + TIME_OUT_SECONDS
    alone, _, _ = await pass_over(Peers(), slow=0)
    assert alone > without + 3 * TIME_OUT_SECONDS


async def test_the_slow_lane_has_a_bound_of_its_own(autojump_clock: Clock) -> None:
    """However many are silent, no more are in flight than both bounds together."""
    peers = Peers()
    _, checked, _ = await pass_over(peers, slow=10)
    assert checked == DOMAINS
    assert peers.most == IN_FLIGHT + 10


async def test_the_figures_tell_who_is_in_the_slow_lane(autojump_clock: Clock) -> None:
    """Probes in flight, and of them the slow ones; all come back to nothing."""
    prober = SharedProber(Peers(), limits=SharingLimits(max_concurrent=2))
    async with trio.open_nursery() as nursery:
        for number in range(4):
            address = HostAddress(address=f"10.0.{number}.1", family=Family.IPV4, status=None)
            nursery.start_soon(prober.probe, Name(f"dead{number}"), address, DOMAIN_MX)
        await trio.sleep(4)
        before = prober.statistics()
        await trio.sleep(7)
        after = prober.statistics()
    end = prober.statistics()
    assert (before.in_flight, before.slow, before.waiting) == (2, 0, 2)
    assert (after.in_flight, after.slow, after.waiting) == (4, 4, 0)
    assert (end.in_flight, end.slow, end.waiting) == (0, 0, 0)


async def test_who_waits_for_our_own_processor_is_not_slow(autojump_clock: Clock) -> None:
    """While others wait to begin one more in flight would help nobody; it is looked at later."""
    lane, given = SlowLane(places=5, after_seconds=5), list[float]()
    stay = lane.watch(lambda: given.append(trio.current_time()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Turnstile, "is_crowded", True)
        await trio.sleep(6)
    assert given == []
    await trio.sleep(5)
    assert len(given) == 1
    assert not lane.end(stay)
    assert lane.statistics().now == 0


async def test_a_check_that_ends_in_time_keeps_its_place(autojump_clock: Clock) -> None:
    """Its place is the caller's to give back, and nothing happens later."""
    lane, given = SlowLane(places=5, after_seconds=5), list[float]()
    stay = lane.watch(lambda: given.append(trio.current_time()))
    await trio.sleep(3)
    assert lane.end(stay)
    await trio.sleep(30)
    assert given == []
    assert (lane.statistics().now, lane.statistics().total) == (0, 0)


async def test_the_service_has_a_slow_lane_too(autojump_clock: Clock) -> None:
    """Checks that take minutes move to it; both bounds hold, and the figures are shown."""
    names = {f"d{number}.example": f"mx{number}.example" for number in range(400)}
    slow = World(ScaledClock(START), names)
    slow.latency_seconds = 120.0
    limits = MonitorLimits(
        domains_in_flight=2, slow_domains_in_flight=6, slow_after_seconds=5, gauges_seconds=60.0
    )
    parts = service(slow, limits=limits)
    async with trio.open_nursery() as nursery:
        await nursery.start(parts.monitor.run)
        await trio.sleep(3_600)
        nursery.cancel_scope.cancel()
    assert slow.most_at_once == 8
    assert parts.meter.get(OwnMetric.IN_FLIGHT, "domain") == 8
    assert parts.meter.get(OwnMetric.SLOW_IN_FLIGHT, "domain") == 6
