"""A pass over many domains: bounded, isolated from single failures, honest when blind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio

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
    ProbeStage,
    Question,
    Vantage,
)
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, HostJudgement, Judged, Judgement, ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Family,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
)
from scanner.run.checking import Checker, MakeCheck
from scanner.run.engine import Engine, EngineLimits

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SEEING = Vantage(resolver_up=True, resolver_validating=True)
BLIND = Vantage(resolver_up=False, resolver_validating=None, detail="the resolver is silent")


MX = Name("mx.p.test")
ANSWERED = HostObservation(
    preference=0,
    route=HostRoute(host=MX, applicability=DaneApplicability.TLSA_ABSENT, tlsa_base=MX),
    addresses=(
        AddressObservation(
            host=MX,
            address="192.0.2.1",
            family=Family.IPV4,
            sni=MX,
            observed_at=NOW,
            stage=ProbeStage.DONE,
        ),
    ),
)


class FixedClock:
    def now(self) -> datetime:
        return NOW


def observation(domain: Name, vantage: Vantage = SEEING) -> DomainObservation:
    lookup = Lookup(
        question=Question(domain, RRType.MX),
        outcome=LookupOutcome.NXDOMAIN,
        status=DnssecStatus.SECURE,
    )
    return DomainObservation(
        domain=domain,
        observed_at=NOW,
        duration_ms=1,
        route=MailRoute(domain=domain, mx=lookup, kind=MxKind.NXDOMAIN, expanded=domain),
        vantage=vantage,
    )


def judged(seen: DomainObservation) -> Judgement:
    """Inconclusive for egress while IPv4 is unproven, no-mail otherwise."""
    unproven = seen.vantage.egress_ipv4 is None
    outcome = HostOutcome.INCONCLUSIVE if unproven else HostOutcome.UNREACHABLE
    host = HostJudgement(
        host=Name("mx.p.test"),
        preference=0,
        judged=Judged(
            outcome=outcome,
            reason=Reason.EGRESS_UNPROVEN if unproven else Reason.CONNECTION_TIMEOUT,
        ),
    )
    return Judgement(
        judged_at=NOW,
        verdicts=(
            ProfileVerdict(
                profile=Profile.RFC7672,
                verdict=DomainVerdict.INCONCLUSIVE if unproven else DomainVerdict.DEFERRED,
                phase=DeliveryPhase.UNKNOWN,
                hosts=(host,),
            ),
        ),
    )


def proven(vantage: Vantage, *, works: bool | None = True) -> Vantage:
    return Vantage(
        resolver_up=vantage.resolver_up,
        resolver_validating=vantage.resolver_validating,
        egress_ipv4=works,
        detail=vantage.detail,
    )


def targets(count: int) -> list[Target]:
    return [Target(domain=Name(f"d{i}.test")) for i in range(count)]


class World:
    """What the engine sees: an observe function and a vantage, both scripted."""

    def __init__(self, vantages: Sequence[Vantage] = (proven(SEEING),)) -> None:
        self.vantages = list(vantages)
        self.in_flight = 0
        self.most_in_flight = 0
        self.observed: list[Name] = []

    def vantage(self) -> Vantage:
        return self.vantages.pop(0) if len(self.vantages) > 1 else self.vantages[0]

    async def observe(self, target: Target) -> DomainObservation:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await trio.sleep(0.1)
        finally:
            self.in_flight -= 1
        self.observed.append(target.domain)
        return observation(target.domain, self.vantage())

    async def confirm(self) -> Vantage:
        return self.vantage()


def checker(world: World) -> MakeCheck:
    return Checker(observe=world.observe, judge=judged, clock=FixedClock()).check


def engine(world: World, **limits: float) -> Engine:
    return Engine(
        check=checker(world),
        judge=judged,
        confirm_vantage=world.confirm,
        limits=EngineLimits(**limits),  # type: ignore[arg-type]
    )


class Kept:
    def __init__(self) -> None:
        self.checks: list[Check] = []

    async def __call__(self, target: Target, check: Check) -> None:
        assert target.domain == check.domain
        self.checks.append(check)

    def verdicts(self) -> set[DomainVerdict]:
        return {check.judgement.verdicts[0].verdict for check in self.checks}


async def test_every_target_is_checked_once_within_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """At most ``domains_in_flight`` at a time, none left out, none twice."""
    world, kept = World(), Kept()
    summary = await engine(world, domains_in_flight=7).run_pass(targets(50), kept)
    assert summary.checked == 50
    assert summary.blind is None
    assert sorted(c.domain for c in kept.checks) == sorted(t.domain for t in targets(50))
    assert world.most_in_flight == 7


async def test_targets_are_taken_only_as_workers_become_free(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A list of any length costs memory for those in flight only."""
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Target(domain=Name(f"d{taken}.test"))

    world, kept = World(), Kept()
    with trio.move_on_after(1.05):
        await engine(world, domains_in_flight=5).run_pass(endless(), kept)  # type: ignore[arg-type]
    assert taken <= len(kept.checks) + 5


async def test_a_bug_in_one_check_becomes_a_reason_and_the_pass_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Our bug is our own fault: the observation is incomplete and says where."""

    class Buggy(World):
        async def observe(self, target: Target) -> DomainObservation:
            if target.domain == "d3.test":
                raise ZeroDivisionError("oops")
            return await super().observe(target)

    kept = Kept()
    summary = await engine(Buggy()).run_pass(targets(6), kept)
    assert summary.checked == 6
    broken = next(c for c in kept.checks if c.domain == "d3.test").observation
    assert broken.incomplete == "internal error: ZeroDivisionError: oops"
    assert broken.route.mx.own_fault is not None


async def test_a_domain_seen_while_blind_is_observed_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A resolver that hiccups costs time, never a verdict."""
    world = World([BLIND, BLIND, BLIND, proven(SEEING)])
    kept = Kept()
    summary = await engine(world, domains_in_flight=1).run_pass(targets(2), kept)
    assert summary.blind is None
    assert [c.observation.vantage.resolver_up for c in kept.checks] == [True, True]
    assert world.observed == ["d0.test", "d0.test", "d1.test"]


async def test_a_resolver_that_stays_down_ends_the_pass_as_blind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing is reported about partners; what is left stays for a resumed pass (case 47)."""
    world, kept = World([BLIND]), Kept()
    summary = await engine(world, blind_patience_seconds=20.0).run_pass(targets(500), kept)
    assert summary.blind == "the resolver is silent"
    assert kept.checks == []
    assert summary.checked == 0


async def test_time_outs_before_any_connection_wait_for_proof_that_port_25_works(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Held-back evidence is judged at the end with what the pass learned by then."""
    world = World([SEEING, SEEING, proven(SEEING)])
    kept = Kept()
    summary = await engine(world, domains_in_flight=1).run_pass(targets(2), kept)
    assert summary.blind is None
    assert kept.verdicts() == {DomainVerdict.DEFERRED}
    assert len(world.observed) == 2


async def test_a_pass_without_any_answered_connection_is_blind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Blocked egress is our own fault: every verdict stays inconclusive."""
    world, kept = World([SEEING]), Kept()
    summary = await engine(world).run_pass(targets(3), kept)
    assert summary.blind is not None
    assert "port 25" in summary.blind
    assert kept.verdicts() == {DomainVerdict.INCONCLUSIVE}
    assert summary.checked == 3


async def test_held_back_evidence_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """Beyond the bound a check is reported at once, inconclusive."""
    world, kept = World([SEEING]), Kept()
    summary = await engine(world, held_back=10).run_pass(targets(30), kept)
    assert summary.checked == 30


class Flaky(World):
    """``d1.test`` is unreachable the first time and fine the second."""

    async def observe(self, target: Target) -> DomainObservation:
        await super().observe(target)
        first = self.observed.count(target.domain) == 1
        works = not (target.domain == "d1.test" and first)
        return observation(target.domain, proven(SEEING, works=works))


def transient(check: Check) -> bool:
    return check.observation.vantage.egress_ipv4 is False


async def test_a_doubtful_check_is_reported_only_after_a_second_look(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One lost packet is no incident: the second look decides, and nothing is reported twice."""
    world, kept, forgotten = Flaky(), Kept(), []
    careful = Engine(
        check=checker(world),
        judge=judged,
        confirm_vantage=world.confirm,
        is_doubtful=transient,
        forget_failures=lambda: forgotten.append(trio.current_time()),
    )
    started = trio.current_time()
    summary = await careful.run_pass(targets(3), kept)
    assert summary.second_looks == 1
    assert sorted(c.domain for c in kept.checks) == ["d0.test", "d1.test", "d2.test"]
    assert [c.observation.vantage.egress_ipv4 for c in kept.checks] == [True, True, True]
    assert len(forgotten) == 1
    assert forgotten[0] - started >= EngineLimits().second_look_after_seconds


async def test_a_check_still_doubtful_on_the_second_look_is_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The second look is the last one."""
    world, kept = World([proven(SEEING, works=False)]), Kept()
    careful = Engine(
        check=checker(world),
        judge=judged,
        confirm_vantage=world.confirm,
        is_doubtful=transient,
    )
    summary = await careful.run_pass(targets(2), kept)
    assert summary.checked == 2
    assert world.observed.count("d0.test") == 2


async def test_second_looks_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """A pass in which everything is doubtful keeps a bounded list and reports the rest at once."""
    world, kept = World([proven(SEEING, works=False)]), Kept()
    careful = Engine(
        check=checker(world),
        judge=judged,
        confirm_vantage=world.confirm,
        is_doubtful=transient,
        limits=EngineLimits(second_looks=4, outage_run=100),
    )
    summary = await careful.run_pass(targets(20), kept)
    assert (summary.checked, summary.second_looks, len(world.observed)) == (20, 4, 24)


class Outage(World):
    """The network is up for the first ``good`` observations and from ``back_at`` on."""

    def __init__(self, good: int, back_at: float = math.inf) -> None:
        super().__init__()
        self.good, self.back_at = good, back_at
        self.epoch = trio.current_time()

    async def observe(self, target: Target) -> DomainObservation:
        await super().observe(target)
        back = trio.current_time() - self.epoch >= self.back_at
        works = len(self.observed) <= self.good or back
        seen = observation(target.domain, proven(SEEING, works=works))
        return replace(seen, hosts=(ANSWERED,)) if works else seen


def outage_engine(world: World) -> Engine:
    return Engine(
        check=checker(world),
        judge=judged,
        confirm_vantage=world.confirm,
        is_doubtful=transient,
        limits=EngineLimits(domains_in_flight=4, outage_run=10),
    )


async def test_an_outage_of_our_own_network_ends_the_pass_and_blames_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Control questions answered from a cache do not help; the witness does."""
    world, kept = Outage(good=5), Kept()
    summary = await outage_engine(world).run_pass(targets(200), kept)
    assert summary.blind is not None
    assert "outage of our own network" in summary.blind
    assert {c.observation.vantage.egress_ipv4 for c in kept.checks} == {True}
    assert len(kept.checks) == 5


async def test_a_network_that_comes_back_costs_time_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The doubtful domains of the outage get their second look and are fine."""
    world, kept = Outage(good=5, back_at=30), Kept()
    summary = await outage_engine(world).run_pass(targets(200), kept)
    assert summary.blind is None
    assert summary.checked == 200
    assert {c.observation.vantage.egress_ipv4 for c in kept.checks} == {True}


async def test_many_dead_partners_in_a_row_cost_one_look_at_the_witness(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A list sorted by health is no outage."""

    class Sorted(World):
        async def observe(self, target: Target) -> DomainObservation:
            await super().observe(target)
            seen = observation(target.domain, proven(SEEING, works=target.domain == "d0.test"))
            return replace(seen, hosts=(ANSWERED,)) if target.domain == "d0.test" else seen

    world, kept = Sorted(), Kept()
    summary = await outage_engine(world).run_pass(targets(14), kept)
    assert summary.blind is None
    assert summary.checked == 14
    assert world.observed.count("d0.test") > 1


async def test_second_looks_raise_no_suspicion(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They are at doubtful domains only; the witness is not bothered for that."""

    class Scattered(World):
        async def observe(self, target: Target) -> DomainObservation:
            await super().observe(target)
            works = int(target.domain[1:-5]) % 4 > 0
            seen = observation(target.domain, proven(SEEING, works=works))
            return replace(seen, hosts=(ANSWERED,)) if works else seen

    world, kept = Scattered(), Kept()
    summary = await outage_engine(world).run_pass(targets(100), kept)
    assert summary.second_looks == 25
    assert len(world.observed) == 125


async def test_a_pass_in_which_nothing_answers_is_blind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Without a single witness, many doubtful domains are our own doubt."""
    world, kept = Outage(good=0), Kept()
    summary = await outage_engine(world).run_pass(targets(50), kept)
    assert summary.blind is not None
    assert kept.checks == []


async def test_a_short_list_of_dead_domains_is_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Too few to suspect ourselves; each was looked at twice."""
    world, kept = Outage(good=0), Kept()
    summary = await outage_engine(world).run_pass(targets(3), kept)
    assert summary.blind is None
    assert summary.checked == 3


async def test_a_failing_sink_ends_the_pass_with_its_own_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A full disk is not swallowed."""

    async def full(target: Target, check: Check) -> None:
        raise OSError(28, "No space left on device")

    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="No space left")):
        await engine(World(), domains_in_flight=1).run_pass(targets(5), full)
