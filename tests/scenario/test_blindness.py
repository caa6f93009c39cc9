"""The service while it cannot see: no transition, the right reason, and sight again afterwards.

The monitor, its watch over itself and the scanner are the real ones, and so are the resolver and
the mail servers of the laboratory. Time runs at a minute in a tenth of a second.

Each test breaks something of ours after every partner was looked at, keeps it broken long enough
for first and second looks at all of them, and mends it. One test breaks a partner instead, so that
the others are known not to pass for want of looking.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trio
from scripted_world import Board, Counts, MemoryStore

from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import Behaviour, DnsFault, DnsFaultKind, MailFault
from scanner.lab.responder import ResolverMode
from scanner.model.meter import OwnMetric
from scanner.model.monitoring import OutboxRow
from scanner.model.names import Name, tlsa_owner
from scanner.model.ports import Target
from scanner.model.selfstatus import BlindReason
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import EntityType, Family, ValidationMode
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.greeting import GreetingLimits
from scanner.observe.smtp import ProbeLimits
from scanner.run.cache import CacheLimits
from scanner.run.clock import ScaledClock
from scanner.run.egress import EgressPolicy
from scanner.run.ledger import MonitorPolicy
from scanner.run.monitor import Monitor, MonitorLimits, MonitorPorts
from scanner.run.probes import SharingLimits
from scanner.run.schedule import Cadence
from scanner.run.selfwatch import SelfWatch, WatchPolicy
from scanner.transition.confirm import ConfirmationPolicy

pytestmark = pytest.mark.scenario

PACE = 600.0
PATIENCE_SECONDS = 90.0
ROUND_SECONDS = 1.5
"""One interval of ten minutes and a half, at this pace."""
SICK = Name("bank.test")
BROKEN_CHAIN = Name("harbour.test")


class SettableClock:
    """A fast clock that somebody may set wrongly (implements ``WaitingClock``)."""

    def __init__(self, inner: ScaledClock) -> None:
        self.inner = inner
        self.wrong_by = timedelta(0)

    def now(self) -> datetime:
        return self.inner.now() + self.wrong_by

    async def sleep_until(self, moment: datetime) -> None:
        await self.inner.sleep_until(moment - self.wrong_by)

    def steady_seconds(self) -> float:
        return self.inner.now().timestamp()


class Recorder:
    """Keeps every transition (implements ``RowMaker``)."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def rows_of(
        self, check: Check, transitions: Sequence[Transition], *, heartbeat: bool
    ) -> tuple[OutboxRow, ...]:
        self.transitions += transitions
        return ()

    def transition_rows(self, transitions: Sequence[Transition]) -> tuple[OutboxRow, ...]:
        self.transitions += transitions
        return ()


class World:
    """The laboratory with the service before it."""

    def __init__(self, lab: Lab, clock: SettableClock, domains: Iterable[Name]) -> None:
        self.lab = lab
        self.clock = clock
        self.domains = tuple(domains)
        self.meter = Counts()
        self.recorder = Recorder()
        self.monitor: Monitor
        self.watch: SelfWatch
        self.checks = 0

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until ``holds``, and fail by name when it does not come."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - the real network has no event to wait for
                await trio.sleep(0.02)
        assert holds(), what

    async def until_seeing(self) -> None:
        await self.until(lambda: self.watch.closed() is None, f"blind: {self.watch.closed()}")

    async def until_blind(self) -> list[BlindReason]:
        """Return why we are blind, once we are."""
        await self.until(
            lambda: self.watch.status is not None and self.watch.status.blind,
            "still believes to see",
        )
        assert self.watch.status is not None
        return [one.reason for one in self.watch.status.reasons]

    async def until_looked_at_all(self) -> None:
        """Wait until every domain has a state."""
        states = self.monitor.ledger.states
        wanted = {(EntityType.DOMAIN, str(domain)) for domain in self.domains}
        await self.until(lambda: wanted <= states.keys(), "not every domain was looked at")

    def told(self) -> list[tuple[str, str | None, str]]:
        """Return the transitions from one believed status to another."""
        return [
            (one.entity, one.from_status, one.to_status)
            for one in self.recorder.transitions
            if one.from_status is not None
        ]

    def break_mail(self, behaviour: Behaviour) -> None:
        """Make every mail server behave so: a firewall of ours looks just like it."""
        faults = [
            MailFault(address=host.address, behaviour=behaviour)
            for host in self.lab.plan.mail_hosts
        ]
        self.lab.set_fault(Name("firewall.test"), *faults)

    def mend_mail(self) -> None:
        self.lab.clear_fault(Name("firewall.test"))


@asynccontextmanager
async def service(
    *,
    validation: ValidationMode = ValidationMode.LOCAL,
    canaries: bool = False,
    canary_mx: bool = True,
    only_dane: bool = False,
    known_bogus: tuple[Name, ...] = (),
    witnesses: tuple[Name, ...] = (),
) -> AsyncIterator[World]:
    """Run the service against the laboratory until the block ends.

    ``canaries`` and ``canary_mx`` make the first good domain one, ``only_dane`` watches those only
    that are protected.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    async with open_lab(demo_plan(now)) as lab:
        clock = SettableClock(ScaledClock(now, factor=PACE))
        host, port = lab.resolver
        good = [d for d in lab.plan.domains if d.exchange_online.value == "protected"]
        settings = Settings(
            resolvers=(ServerAddress(host, port),),
            anchors=read_anchors(lab.trust_anchor),
            validation=validation,
            smtp_port=lab.smtp_port,
            allow_private_addresses=True,
            both_algorithms=False,
            dns_limits=DnsLimits(try_timeout_seconds=0.2, tries=2, total_timeout_seconds=1.0),
            probe_limits=ProbeLimits(connect_seconds=0.5, greeting_seconds=1.0),
            sharing_limits=SharingLimits(fresh_seconds=0.5, failures_fresh_seconds=0.1),
            cache_limits=CacheLimits(max_ttl=timedelta(minutes=5)),
            egress_policy=EgressPolicy(fresh_seconds=1.0, min_gap_seconds=0.05),
            greeting_limits=GreetingLimits(connect_seconds=0.3, greeting_seconds=0.5),
            known_bogus=known_bogus,
            canary_mx=(good[0].hosts[0].host,) if canary_mx else (),
            clock_witnesses=witnesses,
        )
        watched = good if only_dane else lab.plan.domains
        world = World(lab, clock, [domain.name for domain in watched])
        async with (
            open_scanner(
                settings, clock=clock, meter=world.meter, steady_seconds=clock.steady_seconds
            ) as scanner,
            trio.open_nursery() as nursery,
        ):

            async def check(target: Target) -> Check:
                world.checks += 1
                return await scanner.check(target.domain)

            world.watch = SelfWatch(
                scanner.own_tests,
                clock=clock,
                canaries=[good[0].name] if canaries else (),
                meter=world.meter,
                forget=scanner.forget,
                policy=WatchPolicy(
                    interval_seconds=0.2, blind_interval_seconds=0.1, look_seconds=3.0
                ),
            )
            world.monitor = Monitor(
                MonitorPorts(
                    check=check,
                    store=MemoryStore(),
                    clock=clock,
                    meter=world.meter,
                    gate=world.watch,
                    board=Board(),
                    rows=world.recorder,
                ),
                targets=[Target(domain=domain) for domain in world.domains],
                policy=_policy(),
                limits=MonitorLimits(domains_in_flight=20),
            )
            nursery.start_soon(world.watch.run)
            await nursery.start(world.monitor.run)
            await world.until_seeing()
            await world.until_looked_at_all()
            yield world
            nursery.cancel_scope.cancel()


def _policy() -> MonitorPolicy:
    return MonitorPolicy(
        run_id="run",
        cadence=Cadence(
            interval=timedelta(minutes=10),
            catch_up=timedelta(minutes=5),
            retry_first=timedelta(minutes=2),
            retry_longest=timedelta(minutes=5),
        ),
        confirmation=ConfirmationPolicy(probe_fresh=timedelta(minutes=5)),
    )


async def stays_blind(world: World, wanted: set[BlindReason]) -> None:
    """Become blind by ``wanted`` and stay so for two rounds, without a check that ends in one."""
    reasons = set(await world.until_blind())
    assert reasons
    assert reasons <= wanted, reasons
    await world.until(lambda: world.meter.get(OwnMetric.BLIND) == 1.0, "no metric")
    before = world.checks
    await trio.sleep(ROUND_SECONDS)
    assert world.watch.closed() is not None
    assert world.checks <= before + 20, "checks go on while blind"
    assert world.told() == []
    shown = {r for r in BlindReason if world.meter.get(OwnMetric.BLIND_REASON, r.value) == 1.0}
    assert shown
    assert shown <= wanted, shown


async def sees_again(world: World) -> None:
    """See again, look at everybody twice, and find nothing changed."""
    await world.until_seeing()
    assert world.meter.get(OwnMetric.BLIND) == 0.0
    seen = world.checks
    await trio.sleep(ROUND_SECONDS)
    assert world.checks > seen + len(world.domains) / 2, "checks did not go on"
    assert world.told() == []
    for reason in BlindReason:
        assert world.meter.get(OwnMetric.BLIND_REASON, reason.value) == 0.0


async def test_a_partner_that_breaks_is_told_all_the_same() -> None:
    """The counterpart of all the others: with everything of ours well, one fault, one incident."""
    async with service(witnesses=(Name("test"),)) as world:
        world.lab.break_domain(SICK, NamedFault.TLSA_MISMATCH)
        await world.until(lambda: bool(world.told()), "no transition")
        await trio.sleep(ROUND_SECONDS / 2)
        assert (str(SICK), "protected", "blocked") in world.told()
        assert {entity for entity, _, _ in world.told()} <= {
            str(SICK),
            f"mx1.{SICK}",
            f"mx2.{SICK}",
        }
        assert world.watch.status is not None
        assert world.watch.status.clock_ok is True
        assert world.watch.status.egress_ok == {Family.IPV4: True}


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (ResolverMode.DOWN, BlindReason.RESOLVER_DOWN),
        (ResolverMode.SERVFAIL, BlindReason.RESOLVER_DOWN),
        (ResolverMode.CUT_OFF, BlindReason.RESOLVER_CUT_OFF),
        (ResolverMode.STRIPPING, BlindReason.RESOLVER_DOWN),
    ],
)
async def test_a_resolver_that_cannot_be_used_blinds_us(
    mode: ResolverMode, reason: BlindReason
) -> None:
    """Silent, failing, cut off from the world, or without signatures."""
    async with service(canary_mx=False) as world:
        world.lab.set_resolver_mode(mode)
        await stays_blind(world, {reason})
        assert world.watch.status is not None
        assert set(world.watch.status.resolver_up.values()) == {False}
        world.lab.set_resolver_mode(ResolverMode.VALIDATING)
        await sees_again(world)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (ResolverMode.NON_VALIDATING, BlindReason.RESOLVER_NOT_VALIDATING),
        (ResolverMode.PERMISSIVE, BlindReason.KNOWN_BOGUS_ACCEPTED),
        (ResolverMode.CUT_OFF, BlindReason.RESOLVER_CUT_OFF),
    ],
)
async def test_a_resolver_that_is_believed_and_does_not_validate_blinds_us(
    mode: ResolverMode, reason: BlindReason
) -> None:
    """It would make every partner look unprotected, or a broken one look fine."""
    async with service(
        validation=ValidationMode.RESOLVER, known_bogus=(BROKEN_CHAIN,), canary_mx=False
    ) as world:
        world.lab.set_resolver_mode(mode)
        await stays_blind(world, {reason})
        world.lab.set_resolver_mode(ResolverMode.VALIDATING)
        await sees_again(world)


@pytest.mark.parametrize("behaviour", [Behaviour.REFUSED, Behaviour.BLACK_HOLE])
async def test_port_25_that_is_blocked_blinds_us(behaviour: Behaviour) -> None:
    """A firewall of ours that rejects, and one that drops."""
    async with service() as world:
        world.break_mail(behaviour)
        await stays_blind(world, {BlindReason.EGRESS_BLOCKED_IPV4})
        assert world.meter.get(OwnMetric.EGRESS_OK, "ipv4") == 0.0
        assert world.meter.get(OwnMetric.EGRESS_OK, "ipv6") is None
        world.mend_mail()
        await sees_again(world)
        assert world.meter.get(OwnMetric.EGRESS_OK, "ipv4") == 1.0


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_clock_that_is_a_day_off_blinds_us(days: int) -> None:
    """Behind, when every signature comes from the future; ahead, when all of them are old."""
    async with service(witnesses=(Name("test"),)) as world:
        world.clock.wrong_by = timedelta(days=days)
        allowed = {BlindReason.CLOCK_WRONG}
        if days < 0:
            allowed.add(BlindReason.RESOLVER_DOWN)  # the root does not validate either
        await stays_blind(world, allowed)
        assert world.meter.get(OwnMetric.CLOCK_OK) == 0.0
        world.clock.wrong_by = timedelta(0)
        await sees_again(world)
        assert world.meter.get(OwnMetric.CLOCK_OK) == 1.0


async def test_a_canary_that_fails_blinds_us() -> None:
    """It is known to be good, so it must be us; the metric says which one it is."""
    async with service(canaries=True) as world:
        canary = world.domains[0]
        world.lab.break_domain(canary, NamedFault.NO_STARTTLS)
        await stays_blind(world, {BlindReason.CANARY_FAILED})
        assert world.meter.get(OwnMetric.CANARY_OK, str(canary)) == 0.0
        world.lab.clear_fault(canary)
        await sees_again(world)


async def test_a_fault_of_ours_that_no_test_shows_is_suspected_by_its_extent() -> None:
    """Something on our way eats TLSA questions: every partner with DANE gets worse at once."""
    async with service(only_dane=True) as world:
        faults = [
            DnsFault(zone=host.zone, kind=DnsFaultKind.SERVFAIL, owner=tlsa_owner(host.host))
            for domain in world.lab.plan.domains
            for host in domain.hosts
        ]
        world.lab.set_fault(Name("middlebox.test"), *faults)
        await stays_blind(world, {BlindReason.MASS_LOSS_SUSPECTED})
        assert world.meter.get(OwnMetric.MASS_LOSS_SUSPECTED) == 1.0
        world.lab.clear_fault(Name("middlebox.test"))
        await sees_again(world)
        assert world.meter.get(OwnMetric.MASS_LOSS_SUSPECTED) == 0.0
