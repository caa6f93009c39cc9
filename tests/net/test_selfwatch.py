"""The watch over ourselves as a gate: closed, open, held back; mass losses, and controls."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sample_checks as sample
import trio
from scripted_world import DOWN, OWN_FAULT, Counts, at, one_host_check

from scanner.model.meter import OwnMetric
from scanner.model.monitoring import EntityKey, Suspicion
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.selfstatus import BlindReason, SelfStatus
from scanner.model.transition import State
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import Family, Profile
from scanner.run.clock import ScaledClock
from scanner.run.clocksanity import ClockSigns, WitnessSeen
from scanner.run.selfstatus import EgressSeen, ResolverSeen
from scanner.run.selfwatch import SelfWatch, WatchPolicy
from scanner.transition.confirm import ConfirmationPolicy, digest

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EXO = Profile.EXCHANGE_ONLINE
GOOD = ResolverSeen(resolver="a", up=True, validating=True, reached=True)
BAD = ResolverSeen(resolver="a", up=False, detail="a is silent")
CANARY = Name("canary.test")


class FakeTests:
    """Tests of ourselves with the results one wants."""

    def __init__(self, clock: ScaledClock) -> None:
        self.clock = clock
        self.resolver = GOOD
        self.signs = ClockSigns(offset=timedelta(0))
        self.date_trouble: str | None = None
        self.judged: dict[Name, Judged] = {}
        self.look_seconds = 1.0
        self.times: list[float] = []
        self.looked_at: list[Name] = []

    async def resolvers(self) -> tuple[ResolverSeen, ...]:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        return (self.resolver,)

    async def witnesses(self) -> tuple[WitnessSeen, ...]:
        await trio.lowlevel.checkpoint()
        return ()

    async def egress(self) -> tuple[EgressSeen, ...]:
        await trio.lowlevel.checkpoint()
        return (EgressSeen(family=Family.IPV4, ok=True),)

    async def look(self, domain: Name) -> Check:
        self.looked_at.append(domain)
        await trio.sleep(self.look_seconds)
        return made(domain, self.judged.get(domain, sample.AUTHENTICATED), self.clock.now())

    def clock_signs(self) -> ClockSigns:
        return self.signs

    def dates_failed(self, check: Check) -> str | None:
        return self.date_trouble


def made(domain: str, judged: Judged, now: datetime, *, host: str | None = None) -> Check:
    """A check of ``domain``, whose host has a network of its own."""
    host = host or f"mx.{domain}"
    check = at(one_host_check(domain, host, judged), now)
    number = sum(host.encode()) % 250
    hosts = tuple(
        replace(
            one,
            route=replace(
                one.route,
                addresses=tuple(
                    replace(address, address=f"198.51.{number}.1")
                    for address in one.route.addresses
                ),
            ),
        )
        for one in check.observation.hosts
    )
    return replace(check, observation=replace(check.observation, hosts=hosts))


class Partners:
    """Looks at partners that pass the gate, and what is believed of them."""

    def __init__(self, watch: SelfWatch, clock: ScaledClock) -> None:
        self.watch = watch
        self.clock = clock
        self.states: dict[EntityKey, State] = {}
        self.suspicions: dict[EntityKey, Suspicion] = {}

    def look(self, domain: str, judged: Judged = sample.AUTHENTICATED, **where: str) -> bool:
        """Look once; return whether it was let through."""
        check = made(domain, judged, self.clock.now(), **where)
        found = digest(
            self.states,
            self.suspicions,
            check,
            profile=EXO,
            queue_life=timedelta(hours=24),
            confirmation=ConfirmationPolicy(),
            run_id="run",
        )
        passed = self.watch.note(Target(domain=Name(domain)), check, found)
        if passed:
            self.states.update(found.states)
            for key in found.cleared:
                self.suspicions.pop(key, None)
            self.suspicions.update({one.key: one for one in found.suspicions})
        return passed

    async def lose(self, domain: str, judged: Judged = DOWN) -> bool:
        """Look twice, far enough apart; return whether the second look was let through."""
        self.look(domain, judged)
        await trio.sleep(1_000)
        return self.look(domain, judged)


class Scene:
    """Everything a test needs."""

    def __init__(self, *, canaries: tuple[Name, ...] = (), **policy: object) -> None:
        self.clock = ScaledClock(NOW)
        self.tests = FakeTests(self.clock)
        self.meter = Counts()
        self.forgotten = 0
        self.changes: list[SelfStatus] = []
        self.watch = SelfWatch(
            self.tests,
            clock=self.clock,
            canaries=canaries,
            policy=WatchPolicy(**policy),  # type: ignore[arg-type]
            meter=self.meter,
            forget=self._forget,
            on_change=self.changes.append,
        )
        self.partners = Partners(self.watch, self.clock)

    def _forget(self) -> None:
        self.forgotten += 1

    def reasons(self) -> list[BlindReason]:
        assert self.watch.status is not None
        return [one.reason for one in self.watch.status.reasons]


class TestGate:
    async def test_it_is_closed_until_the_first_good_test(self, autojump_clock) -> None:
        """Nothing is known of ourselves before."""
        scene = Scene()
        assert scene.watch.closed() == "we have not looked at ourselves yet"
        assert scene.partners.look("a.test") is False
        await scene.watch.test()
        assert scene.watch.closed() is None
        await scene.watch.wait_open()
        assert scene.forgotten == 0

    async def test_who_waits_is_let_in_when_sight_comes_back(self, autojump_clock) -> None:
        """Two good tests after one that was not, fifteen seconds apart."""
        scene = Scene()
        scene.tests.resolver = BAD
        opened_at = []

        async def wait() -> None:
            await scene.watch.wait_open()
            opened_at.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            nursery.start_soon(wait)
            await trio.sleep(20)
            assert scene.watch.closed() == "A is silent."
            scene.tests.resolver = GOOD
            await trio.sleep(80)
            nursery.cancel_scope.cancel()
        assert opened_at == [45.0]
        assert scene.tests.times == [0.0, 15.0, 30.0, 45.0]
        assert scene.forgotten == 2

    async def test_a_change_is_logged_once_with_its_remedy_and_told(
        self, autojump_clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not at every test, and not for every check."""
        caplog.set_level(logging.INFO, "danewatch.selfwatch")
        scene = Scene()
        await scene.watch.test()
        scene.tests.resolver = BAD
        for _ in range(3):
            await scene.watch.test()
        scene.tests.resolver = GOOD
        for _ in range(3):
            await scene.watch.test()
        told = [record.getMessage() for record in caplog.records]
        assert told == [
            "we can see: checks are made and believed",
            "blind: A is silent.",
            "self-test: a is silent",
            "we can see: checks are made and believed",
        ]
        assert caplog.records[1].reason == "resolver-down"  # type: ignore[attr-defined]
        assert [caplog.records[n].levelname for n in (0, 3)] == ["INFO", "WARNING"]
        assert [status.blind for status in scene.changes] == [False, True, False]

    async def test_the_metrics_follow(self, autojump_clock) -> None:
        """Also those of what is not known any more."""
        scene = Scene(canaries=(CANARY,))
        await scene.watch.test()
        get = scene.meter.get
        assert get(OwnMetric.BLIND) == 0.0
        assert get(OwnMetric.RESOLVER_UP, "a") == 1.0
        assert get(OwnMetric.RESOLVER_VALIDATING, "a") == 1.0
        assert (get(OwnMetric.EGRESS_OK, "ipv4"), get(OwnMetric.EGRESS_OK, "ipv6")) == (1.0, None)
        assert get(OwnMetric.CANARY_OK, "canary.test") == 1.0
        assert get(OwnMetric.CLOCK_OK) is None
        scene.tests.resolver = BAD
        await scene.watch.test()
        assert get(OwnMetric.BLIND) == 1.0
        assert get(OwnMetric.BLIND_REASON, "resolver-down") == 1.0
        assert get(OwnMetric.BLIND_REASON, "clock-wrong") == 0.0
        assert get(OwnMetric.RESOLVER_UP, "a") == 0.0
        assert get(OwnMetric.RESOLVER_VALIDATING, "a") is None

    async def test_the_metrics_of_a_resolver_that_left_the_configuration_go_with_it(
        self, autojump_clock
    ) -> None:
        """A gauge nobody moves any more would alarm for ever."""
        scene = Scene()
        await scene.watch.test()
        scene.tests.resolver = replace(GOOD, resolver="b")
        await scene.watch.test()
        assert scene.meter.get(OwnMetric.RESOLVER_UP, "a") is None
        assert scene.meter.get(OwnMetric.RESOLVER_VALIDATING, "a") is None
        assert scene.meter.get(OwnMetric.RESOLVER_UP, "b") == 1.0

    async def test_what_was_looked_at_while_blind_is_held_back(self, autojump_clock) -> None:
        """Good or bad."""
        scene = Scene()
        scene.tests.resolver = BAD
        await scene.watch.test()
        assert scene.partners.look("a.test") is False
        assert scene.partners.look("a.test", DOWN) is False


class TestCanaries:
    async def test_a_canary_that_is_not_protected_blinds_us(self, autojump_clock) -> None:
        """With what was found of it."""
        scene = Scene(canaries=(CANARY,))
        scene.tests.judged[CANARY] = DOWN
        await scene.watch.test()
        assert scene.reasons() == [BlindReason.CANARY_FAILED]
        assert scene.watch.closed() == (
            "Canaries do not look protected: canary.test: deferred, connection-timeout."
        )

    async def test_a_canary_that_fails_by_dates_is_a_sign_of_the_clock(
        self, autojump_clock
    ) -> None:
        """Both reasons are told, the cause first."""
        scene = Scene(canaries=(CANARY,))
        scene.tests.judged[CANARY] = DOWN
        scene.tests.date_trouble = "the signatures of canary.test MX fail by their dates"
        await scene.watch.test()
        assert scene.reasons() == [BlindReason.CLOCK_WRONG, BlindReason.CANARY_FAILED]

    async def test_nothing_is_known_of_a_canary_that_is_inconclusive_or_too_slow(
        self, autojump_clock
    ) -> None:
        """No reason to be blind."""
        scene = Scene(canaries=(CANARY,))
        scene.tests.judged[CANARY] = OWN_FAULT
        await scene.watch.test()
        assert scene.reasons() == []
        scene.tests.look_seconds = 100.0
        await scene.watch.test()
        assert scene.reasons() == []
        assert trio.current_time() == 41.0
        assert scene.meter.get(OwnMetric.CANARY_OK, "canary.test") is None


class TestControls:
    async def test_a_lone_partner_is_believed(self, autojump_clock) -> None:
        """There is nobody to compare with."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        await trio.sleep(10)
        assert await scene.partners.lose("a.test")

    async def test_a_change_for_the_worse_waits_for_a_control(self, autojump_clock) -> None:
        """Another partner was fine before; whether it is now, a look past the caches tells."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        assert not await scene.partners.lose("a.test")
        assert scene.tests.looked_at == []
        await scene.watch.test()
        assert scene.tests.looked_at == ["b.test"]
        assert scene.partners.look("a.test", DOWN)
        assert scene.watch.closed() is None

    async def test_a_control_that_was_due_meanwhile_saves_the_look(self, autojump_clock) -> None:
        """Looked at five minutes after the first sign, so that nothing it rests on is older."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        scene.partners.look("a.test", DOWN)
        await trio.sleep(400)
        scene.partners.look("b.test")
        await trio.sleep(600)
        assert scene.partners.look("a.test", DOWN)

    async def test_a_partner_at_the_same_mail_server_is_no_control(self, autojump_clock) -> None:
        """It would be lost with it."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test", host="mx.shared.test")
        scene.partners.look("b.test", host="mx.shared.test")
        await trio.sleep(10)
        scene.partners.look("a.test", DOWN, host="mx.shared.test")
        await trio.sleep(1_000)
        assert scene.partners.look("a.test", DOWN, host="mx.shared.test")

    async def test_others_that_are_lost_with_it_hold_nobody_back(self, autojump_clock) -> None:
        """A provider's customers are lost together, and everybody else shares a network with it."""
        scene = Scene()
        await scene.watch.test()
        shared = [f"c{n}.test" for n in range(3)]
        for domain in shared:
            scene.partners.look(domain, host="mx.shared.test")
        await trio.sleep(10)
        for domain in shared:
            scene.partners.look(domain, DOWN, host="mx.shared.test")
        await scene.watch.test()
        await trio.sleep(1_000)
        for domain in shared:
            assert scene.partners.look(domain, DOWN, host="mx.shared.test")

    async def test_canaries_that_are_good_are_control_enough(self, autojump_clock) -> None:
        """Tested since the first sign."""
        scene = Scene(canaries=(CANARY,))
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        scene.partners.look("a.test", DOWN)
        await trio.sleep(1_000)
        assert not scene.partners.look("a.test", DOWN)
        await scene.watch.test()
        assert scene.partners.look("a.test", DOWN)

    async def test_controls_that_fail_as_well_close_the_gate(self, autojump_clock) -> None:
        """Two partners that share nothing: it is us."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        scene.partners.look("a.test", DOWN)
        scene.tests.judged = {Name("a.test"): DOWN, Name("b.test"): DOWN}
        await scene.watch.test()
        assert scene.watch.closed() == (
            "Partners got worse, and others that share nothing with them as well: b.test."
        )
        await scene.watch.test()
        assert scene.reasons() == [BlindReason.MASS_LOSS_SUSPECTED]
        assert not scene.partners.look("a.test", DOWN)
        scene.tests.judged = {}
        for _ in range(2):
            await trio.sleep(60)
            await scene.watch.test()
        assert scene.watch.closed() is None

    async def test_after_a_restart_somebody_believed_to_be_protected_is_asked(
        self, autojump_clock
    ) -> None:
        """Though nobody was looked at yet."""
        scene = Scene()
        for domain in ("a.test", "b.test"):
            check = made(domain, sample.AUTHENTICATED, NOW - timedelta(hours=1))
            found = digest(
                {},
                {},
                check,
                profile=EXO,
                queue_life=timedelta(hours=24),
                confirmation=ConfirmationPolicy(),
                run_id="run",
            )
            scene.partners.states.update(found.states)
        scene.watch.seed(scene.partners.states)
        await scene.watch.test()
        assert not await scene.partners.lose("a.test")
        await scene.watch.test()
        assert Name("b.test") in scene.tests.looked_at
        assert scene.partners.look("a.test", DOWN)

    async def test_controls_that_cannot_be_judged_hold_nobody_for_ever(
        self, autojump_clock
    ) -> None:
        """After three looks in vain there is nobody to compare with."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        scene.tests.judged = {Name("a.test"): OWN_FAULT, Name("b.test"): OWN_FAULT}
        scene.partners.look("a.test", DOWN)
        await trio.sleep(1_000)
        held = 0
        while not scene.partners.look("a.test", DOWN):
            held += 1
            await scene.watch.test()
            await trio.sleep(60)
        assert held == 3

    async def test_partners_are_visited_for_our_own_sake_once_a_minute_at_most(
        self, autojump_clock
    ) -> None:
        """However many changes wait for a control, and however often we test ourselves."""
        scene = Scene()
        domains = [f"d{n}.test" for n in range(30)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            await scene.watch.wait_open()
            for domain in domains:
                scene.partners.look(domain)
            for turn in range(120):
                await trio.sleep(10)
                scene.partners.look("d0.test", DOWN if turn % 2 else sample.AUTHENTICATED)
            nursery.cancel_scope.cancel()
        assert 0 < len(scene.tests.looked_at) <= 3 * 21
        gaps = [b - a for a, b in zip(scene.tests.times, scene.tests.times[1:], strict=False)]
        assert min(gaps) >= 5.0

    async def test_nobody_is_held_back_for_longer_than_a_trial_may_take(
        self, autojump_clock
    ) -> None:
        """Even if no control is ever looked at."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        await trio.sleep(10)
        scene.partners.look("a.test", DOWN)
        await trio.sleep(7_000)
        assert not scene.partners.look("a.test", DOWN)
        await trio.sleep(200)
        assert scene.partners.look("a.test", DOWN)

    async def test_forgotten_domains_are_no_controls(self, autojump_clock) -> None:
        """They left the list."""
        scene = Scene()
        await scene.watch.test()
        scene.partners.look("a.test")
        scene.partners.look("b.test")
        scene.watch.retain([Name("a.test")])
        await trio.sleep(10)
        assert await scene.partners.lose("a.test")


class TestClock:
    async def test_a_clock_that_was_set_since_the_last_test_holds_everything_back(
        self, autojump_clock
    ) -> None:
        """A day ahead every deferral would be a bounce; the next test finds out."""
        scene = Scene()
        await scene.watch.test()
        assert scene.partners.look("a.test")
        scene.tests.signs = ClockSigns(offset=timedelta(days=1))
        await trio.sleep(1)
        assert not scene.partners.look("a.test")
        await scene.watch.test()
        assert scene.reasons() == [BlindReason.CLOCK_WRONG]

    async def test_a_clock_that_nobody_can_follow_holds_nothing_back(self, autojump_clock) -> None:
        """There may be no steady time to compare with."""
        scene = Scene()
        scene.tests.signs = ClockSigns()
        await scene.watch.test()
        assert scene.partners.look("a.test")


class TestMassLoss:
    async def everybody_is_lost(self, scene: Scene, number: int = 12) -> list[Name]:
        """Look at ``number`` partners that are fine, and then find them lost until it is held."""
        await scene.watch.test()
        domains = [Name(f"d{n}.test") for n in range(number)]
        for domain in domains:
            scene.partners.look(domain)
        lost = []
        for domain in domains:
            await trio.sleep(5)
            lost.append(domain)
            if not scene.partners.look(domain, DOWN):
                break
        return lost

    async def test_five_losses_in_a_row_close_the_gate_at_once(self, autojump_clock) -> None:
        """The fifth is held back, and what was suspected before is not confirmed."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene)
        assert len(lost) == 5
        assert "got worse" in (scene.watch.closed() or "")
        await trio.sleep(1_000)
        assert not scene.partners.look(lost[0], DOWN)

    async def test_it_was_us_when_most_of_them_are_fine_again(self, autojump_clock) -> None:
        """Begin anew, with empty caches."""
        scene = Scene()
        await self.everybody_is_lost(scene)
        await scene.watch.test()
        assert scene.reasons() == []
        assert scene.watch.closed() is None

    async def test_it_is_us_as_long_as_the_controls_fail_too(self, autojump_clock) -> None:
        """Checks pause, and every minute the sample is looked at again."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene)
        scene.tests.judged = {Name(f"d{n}.test"): DOWN for n in range(12)}
        for _ in range(10):
            await trio.sleep(60)
            await scene.watch.test()
            assert scene.reasons() == [BlindReason.MASS_LOSS_SUSPECTED]
        assert scene.meter.get(OwnMetric.MASS_LOSS_SUSPECTED) == 1.0
        scene.tests.judged = {}
        for _ in range(2):
            await trio.sleep(60)
            await scene.watch.test()
        assert scene.watch.closed() is None
        assert scene.partners.look(lost[0])

    async def test_a_cause_that_a_test_shows_ends_the_suspicion(self, autojump_clock) -> None:
        """The resolver was down: that is the reason, and the only one."""
        scene = Scene()
        await self.everybody_is_lost(scene)
        scene.tests.resolver = BAD
        await scene.watch.test()
        assert scene.reasons() == [BlindReason.RESOLVER_DOWN]
        assert scene.meter.get(OwnMetric.MASS_LOSS_SUSPECTED) == 0.0
        scene.tests.resolver = GOOD
        for _ in range(2):
            await scene.watch.test()
        assert scene.watch.closed() is None

    async def test_losses_that_stand_beside_controls_that_are_fine_are_believed(
        self, autojump_clock
    ) -> None:
        """After two rounds, and two good tests."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene)
        scene.tests.judged = dict.fromkeys(lost, DOWN)
        rounds = 0
        while scene.watch.closed() is not None:
            await trio.sleep(60)
            await scene.watch.test()
            rounds += 1
        assert rounds == 3
        await trio.sleep(1_000)
        scene.partners.look(lost[0], DOWN)
        await scene.watch.test()
        assert scene.partners.look(lost[0], DOWN)

    async def test_without_anything_to_compare_with_it_takes_two_hours(
        self, autojump_clock
    ) -> None:
        """Everybody on the list is lost, and there are no canaries."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene, number=5)
        scene.watch.retain(lost)
        scene.tests.judged = dict.fromkeys(lost, DOWN)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            await trio.sleep(1)
            await scene.watch.wait_open()
            nursery.cancel_scope.cancel()
        waited = trio.current_time() - began
        assert 7_200 <= waited < 7_300

    async def test_controls_that_fail_are_changed_until_one_is_fine(self, autojump_clock) -> None:
        """Some share a cause with the lost that no look names; the others must come to be asked."""
        scene = Scene()
        await self.everybody_is_lost(scene, number=35)
        scene.tests.judged = {Name(f"d{n}.test"): DOWN for n in range(11)}
        rounds = 0
        while scene.watch.closed() is not None and rounds < 20:
            await trio.sleep(60)
            await scene.watch.test()
            rounds += 1
        assert rounds == 1 + 3 + 1

    async def test_a_minority_of_controls_that_are_fine_proves_nothing(
        self, autojump_clock
    ) -> None:
        """A fault of ours may spare some; asking until a round pleases us would find them."""
        scene = Scene()
        await self.everybody_is_lost(scene, number=65)
        scene.tests.judged = {Name(f"d{n}.test"): DOWN for n in (*range(35), *range(41, 65))}
        for _ in range(100):
            await trio.sleep(60)
            await scene.watch.test()
        assert scene.watch.closed() is not None

    async def test_controls_that_keep_failing_are_visited_less_often_in_the_end(
        self, autojump_clock
    ) -> None:
        """Blind all the time, since nobody who was protected is fine; but nobody is pestered."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene, number=29)
        scene.tests.judged = {Name(f"d{n}.test"): DOWN for n in range(29)}
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            await trio.sleep(3 * 3_600)
            scene.tests.looked_at.clear()
            await trio.sleep(24 * 3_600)
            assert scene.watch.closed() is not None
            assert scene.tests.looked_at.count(lost[0]) == 24 * 4
            assert len(set(scene.tests.looked_at)) == 29
            scene.tests.judged = {}
            await scene.watch.wait_open()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began <= 27 * 3_600 + 1_000

    async def test_good_canaries_end_a_trial_whose_controls_keep_failing(
        self, autojump_clock
    ) -> None:
        """After two hours, and not before: they are known to be protected, the controls were."""
        scene = Scene(canaries=(CANARY,))
        await self.everybody_is_lost(scene)
        scene.tests.judged = {Name(f"d{n}.test"): DOWN for n in range(12)}
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            await trio.sleep(1)
            await scene.watch.wait_open()
            nursery.cancel_scope.cancel()
        assert 7_200 <= trio.current_time() - began <= 7_200 + 3 * 900

    @pytest.mark.parametrize("removed", [True, False])
    async def test_lost_domains_that_nobody_can_judge_keep_nobody_blind_for_ever(
        self, autojump_clock, removed: bool
    ) -> None:
        """They were removed from the targets, or turn us away: it is begun anew in the end."""
        scene = Scene()
        lost = await self.everybody_is_lost(scene)
        if removed:
            scene.watch.retain([Name("d9.test")])
        else:
            scene.tests.judged = dict.fromkeys(lost, OWN_FAULT)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.watch.run)
            await trio.sleep(1)
            with trio.move_on_after(24 * 3_600):
                await scene.watch.wait_open()
            nursery.cancel_scope.cancel()
        assert 7_200 <= trio.current_time() - began < 7_300
