"""Looks at ourselves all the time, and closes the gate while we cannot see.

    resolvers, known-bogus names, reach
    canary domains, clock witnesses        ->  decide  ->  SelfStatus  ->  gate, metrics, log line
    port 25 by family, mass loss

Every ``interval_seconds`` one test is made; while blind more often, so that sight comes back soon.
What is looked at is in the tests handed in, what it means in ``scanner.run.selfstatus``.

The gate is closed from the start until the first test is good, and whenever we are blind. While it
is closed no check is begun, and what was looked at in the meantime is worth nothing.

A change for the worse is let through only with a control (``scanner.run.controls``) or the canaries
found fine since the first look that showed it. Usually somebody was due meanwhile; else some are
looked at afresh. Controls that fail as well are a reason to suspect ourselves; where there is
nobody to compare with, the change is believed.

A mass loss closes the gate the moment it is suspected. It is then tried, round by round: domains
that were lost and domains that were not (the controls) are looked at afresh, past every cache.

- Half of the lost are fine again: it was ours, or it has passed. Begin anew.
- They are still lost, and most controls or the canaries are fine: after ``trial_rounds`` rounds it
  is real, and is believed (``MassLossGuard.acquit``).
- The controls fail as well: it is ours, and we stay blind. Others that are believed to be
  protected are asked in the next round, so that a cause that the first ones share with the lost is
  not taken for ours: all who were asked decide. After ``trial_patience`` a round comes only every
  ``trial_slow_seconds``, and canaries that are good decide.
- Nothing to compare with: it is believed after ``trial_patience`` of good tests, no sooner.
- None of the lost can be judged: begin anew after ``trial_patience``.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

import trio

from scanner.model.meter import Meter, NullMeter
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.ports import Clock, Target
from scanner.model.selfstatus import BlindReason, SelfStatus
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict, EntityType, Profile
from scanner.run.clocksanity import ClockPolicy, ClockSigns, WitnessSeen, judge_clock
from scanner.run.controls import DOMAIN_RANKS, Controls, causes_of, worse_since
from scanner.run.massloss import Look, MassLossGuard, MassLossPolicy, diverse
from scanner.run.selfshow import reasons_of, show, tell
from scanner.run.selfstatus import (
    CanarySeen,
    EgressSeen,
    ResolverSeen,
    SelfPolicy,
    SelfTestSeen,
    decide,
)
from scanner.transition.confirm import Digest

_log = logging.getLogger("danewatch.selfwatch")

HURRY_SHARE = 1 / 12
"""The least time from one test to the next, as a share of the interval: five seconds."""

FAULT_SECONDS = 1.0
"""How often it is looked whether our own processes work again, before a test has told."""


class SelfTests(Protocol):
    """The tests of ourselves. None of them raises for anything the world does."""

    async def resolvers(self) -> tuple[ResolverSeen, ...]:
        """Return what each resolver did just now."""
        ...

    async def witnesses(self) -> tuple[WitnessSeen, ...]:
        """Return the newest signature of each clock witness."""
        ...

    async def egress(self) -> tuple[EgressSeen, ...]:
        """Return how it stands with port 25 in each family."""
        ...

    async def look(self, domain: Name) -> Check:
        """Return a check of ``domain`` in which nothing remembered takes part."""
        ...

    def clock_signs(self) -> ClockSigns:
        """Return what the machine says about its clock."""
        ...

    def dates_failed(self, check: Check) -> str | None:
        """Return a sentence if ``check`` failed by the dates of signatures."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchPolicy:
    """How often and how we look at ourselves; ours."""

    interval_seconds: float = 60.0
    blind_interval_seconds: float = 15.0
    """Between two tests while blind."""
    look_seconds: float = 40.0
    """For the look at one canary, control or lost domain; then nothing is known of it."""
    sample: int = 12
    """Lost domains looked at in one round of a trial."""
    controls: int = 6
    """Domains that are fine, looked at beside them."""
    least_controls: int = 3
    fruitless_looks: int = 3
    """Looks at controls without any result, after which there is nobody to compare with."""
    trial_rounds: int = 2
    trial_patience: timedelta = timedelta(hours=2)
    trial_slow_seconds: float = 900.0
    """Between two rounds of a trial that has outlasted its patience: as a sender tries (S-13)."""
    profile: Profile = Profile.EXCHANGE_ONLINE
    decision: SelfPolicy = field(default_factory=SelfPolicy)
    clock: ClockPolicy = field(default_factory=ClockPolicy)
    mass_loss: MassLossPolicy = field(default_factory=MassLossPolicy)


@dataclass(slots=True)
class _Trial:
    """One suspected mass loss while it is tried."""

    since: datetime
    lost: tuple[Name, ...]
    controls: tuple[Name, ...]
    rounds: int = 0
    worse: dict[Name, bool] = field(default_factory=dict)
    """By control asked so far, whether it looked worse the last time."""
    asked: set[Name] = field(default_factory=set)
    """Controls that had their turn."""
    is_slow: bool = False


class SelfWatch:
    """Knows whether we can see (implements ``scanner.run.gate.Gate``)."""

    def __init__(
        self,
        tests: SelfTests,
        *,
        clock: Clock,
        canaries: Sequence[Name] = (),
        policy: WatchPolicy | None = None,
        meter: Meter | None = None,
        forget: Callable[[], None] = lambda: None,
        on_change: Callable[[SelfStatus], None] = lambda _: None,
        workers_fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``canaries`` are domains that must be protected. ``forget`` empties every cache: it is
        called when we become blind and when we see again. ``on_change`` hears of both.
        ``workers_fault`` tells at once why our own processes can make no checks."""
        self._tests = tests
        self._clock = clock
        self._canaries = tuple(canaries)
        self._policy = policy or WatchPolicy()
        self._meter = meter or NullMeter()
        self._forget = forget
        self._on_change = on_change
        self._workers_fault = workers_fault
        self._guard = MassLossGuard(self._policy.mass_loss)
        self._trial: _Trial | None = None
        self._controls = Controls()
        self._met: set[str] = set()
        """Domains looked at since the start."""
        self._control_wanted = False
        self._fruitless = 0
        self._visited_at = -math.inf
        self._believed: dict[str, str] = {}
        self._fast: frozenset[Name] = frozenset()
        self._offset: timedelta | None = None
        """How far the clock had been set at the last test."""
        self._status: SelfStatus | None = None
        self._opened = trio.Event()
        self._hurry = trio.Event()

    @property
    def status(self) -> SelfStatus | None:
        """What the last test came to; None before the first."""
        return self._status

    def closed(self) -> str | None:
        """Return why no check may be begun, and none believed that runs; None while we see."""
        if self._status is None:
            return "we have not looked at ourselves yet"
        if self._guard.suspicion is not None:
            return self._guard.suspicion
        if not self._status.blind:
            fault = self._workers_fault()
            if fault is not None:
                self._hurry.set()
            return fault
        return " ".join(one.sentence for one in self._status.reasons) or "we cannot see"

    async def wait_open(self) -> None:
        """Return when checks may be begun."""
        await trio.lowlevel.checkpoint()
        while self.closed() is not None:
            await self._opened.wait()
            if self._workers_fault() is not None:  # until the test that was hurried on
                await trio.sleep(FAULT_SECONDS)

    async def run(self) -> None:
        """Test ourselves for ever."""
        policy = self._policy
        while True:
            began_at = trio.current_time()
            self._hurry = trio.Event()
            await self.test()
            blind = self.closed() is not None
            with trio.move_on_after(
                policy.blind_interval_seconds if blind else policy.interval_seconds
            ):
                await self._hurry.wait()
                await trio.sleep_until(began_at + policy.interval_seconds * HURRY_SHARE)

    async def test(self) -> SelfStatus:
        """Test ourselves once, act on it, and return what it came to."""
        seen = await self._look_at_ourselves()
        status = decide(seen, self._status, policy=self._policy.decision)
        if self._guard.suspicion is not None and not self._only_mass_loss(status):
            # Here is what the losses came from; what was seen meanwhile is worth nothing.
            self._guard.clear()
            self._trial = None
            seen = replace(seen, mass_loss=None)
            status = decide(seen, self._status, policy=self._policy.decision)
        if self._control_wanted and not status.reasons and self._may_visit():
            await self._look_at_controls()
        suspected = self._guard.suspicion is not None
        if suspected and self._only_mass_loss(status) and self._may_visit():
            status = await self._try_mass_loss(seen, status)
        self._become(status)
        return status

    def _may_visit(self) -> bool:
        """Return whether partners may be visited for our own sake: once in an interval, no more,
        and less often in a trial that lasts."""
        now, policy = trio.current_time(), self._policy
        is_slow = self._trial is not None and self._trial.is_slow
        pause = policy.trial_slow_seconds if is_slow else policy.interval_seconds
        if now < self._visited_at + pause:
            return False
        self._visited_at = now
        return True

    def seed(self, states: Mapping[EntityKey, State]) -> None:
        """Take in what is believed of domains from before a restart."""
        for (entity_type, entity), state in states.items():
            if entity_type is EntityType.DOMAIN:
                self._believed[entity] = state.status

    def retain(self, domains: Iterable[Name]) -> None:
        """Forget every domain that is not in ``domains``."""
        kept = set(domains)
        self._believed = {name: was for name, was in self._believed.items() if name in kept}
        self._controls.retain(kept)
        self._met &= kept

    def note(self, target: Target, check: Check, digest: Digest) -> bool:
        """Take in one finished look; False holds back everything it would change.

        A look counts as a loss when it makes a domain suspicious of which better was believed. A
        domain whose mail is stopped anyway has nothing to lose.
        """
        if self.closed() is not None:
            return False
        if self._clock_was_set():
            self._hurry.set()
            return False
        self._met.add(target.domain)
        key: EntityKey = (EntityType.DOMAIN, str(target.domain))
        raised = next((one for one in digest.suspicions if one.key == key), None)
        state = digest.states.get(key)
        was = self._believed.get(target.domain)
        lost = raised is not None and raised.looks == 1
        if was is not None and DOMAIN_RANKS[was] < DOMAIN_RANKS[DomainVerdict.DEFERRED]:
            fine = (
                raised is None
                and state is not None
                and DOMAIN_RANKS[state.status] <= DOMAIN_RANKS[was]
            )
            if fine or (
                lost and raised is not None and DOMAIN_RANKS[raised.status] > DOMAIN_RANKS[was]
            ):
                at = check.observation.observed_at
                look = Look(domain=target.domain, at=at, lost=lost, causes=causes_of(check))
                self._guard.note(look)
        if lost:
            self._control_wanted = True
            self._controls.drop(target.domain)
        since = worse_since(digest)
        if since is not None and not self._is_controlled(check, since):
            self._control_wanted = True
            self._hurry.set()
            return False
        if self._guard.suspicion is not None:
            self._hurry.set()
            return False
        if state is not None:
            self._believed[target.domain] = state.status
            if raised is None:
                self._controls.keep(check, state.status)
        return True

    def _clock_was_set(self) -> bool:
        """Return whether the clock was set since the last test, so that no phase can be trusted."""
        offset = self._tests.clock_signs().offset
        if offset is None or self._offset is None:
            return False
        return abs(offset - self._offset) > self._policy.clock.jump

    def _is_controlled(self, check: Check, since: datetime) -> bool:
        """Return whether somebody else was found fine since then, so that it is not us.

        True as well where there is nobody to compare with, and after the patience of a trial: an
        outage must not be kept from anybody because no control ever answers.
        """
        if check.observation.observed_at - since >= self._policy.trial_patience:
            return True
        vouched = self._controls.vouch(check, since=since)
        if vouched or self._status is None:
            return True
        canaries = list(self._status.canary_ok.values())
        if self._canaries and canaries and all(canaries) and self._status.tested_at >= since:
            return True
        if self._fruitless >= self._policy.fruitless_looks:
            return True
        return vouched is None and not self._unknown_controls(check.domain)

    def _unknown_controls(self, but: Name | None = None) -> list[Name]:
        """Return some partners that are believed to be protected, and not seen since the start."""
        protected = (
            Name(domain)
            for domain, status in self._believed.items()
            if status == DomainVerdict.PROTECTED and domain != but and domain not in self._met
        )
        return list(islice(protected, self._policy.least_controls))

    async def _look_at_controls(self) -> None:
        """Look afresh at some partners that were fine; suspect ourselves if none is."""
        self._control_wanted = False
        found: dict[Name, bool] = {}

        async def look_at(domain: Name) -> None:
            self._met.add(domain)
            check = await self._look(domain)
            worse = self._is_worse(domain, check)
            if check is not None and worse is not None:
                found[domain] = worse
                if not worse:
                    self._controls.keep(check, self._believed[domain], fresh=True)

        chosen = self._controls.pick(self._policy.least_controls) or self._unknown_controls()
        async with trio.open_nursery() as nursery:
            for domain in chosen:
                nursery.start_soon(look_at, domain)
        self._fruitless = 0 if found else self._fruitless + 1
        if found and all(found.values()):
            self._guard.suspect(
                "Partners got worse, and others that share nothing with them as well: "
                f"{', '.join(sorted(found))}."
            )

    async def _look_at_ourselves(self) -> SelfTestSeen:
        """Make every test, all at a time."""
        resolvers: tuple[ResolverSeen, ...] = ()
        witnesses: tuple[WitnessSeen, ...] = ()
        egress: tuple[EgressSeen, ...] = ()
        canaries: list[tuple[Name, Check | None]] = []

        async def ask_resolvers() -> None:
            nonlocal resolvers
            resolvers = await self._tests.resolvers()

        async def ask_witnesses() -> None:
            nonlocal witnesses
            witnesses = await self._tests.witnesses()

        async def ask_egress() -> None:
            nonlocal egress
            egress = await self._tests.egress()

        async def ask_canary(domain: Name) -> None:
            canaries.append((domain, await self._look(domain)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_resolvers)
            nursery.start_soon(ask_witnesses)
            nursery.start_soon(ask_egress)
            for domain in self._canaries:
                nursery.start_soon(ask_canary, domain)
        seen = tuple(self._canary(domain, check) for domain, check in sorted(canaries))
        signs = self._tests.clock_signs()
        self._offset = signs.offset
        signs = replace(signs, dates_failed=_dates_failed(resolvers, seen))
        clock = judge_clock(
            witnesses, signs, now=self._clock.now(), fast=self._fast, policy=self._policy.clock
        )
        self._fast = clock.fast
        return SelfTestSeen(
            tested_at=self._clock.now(),
            resolvers=resolvers,
            canaries=seen,
            egress=egress,
            clock=clock,
            workers=self._workers_fault(),
            mass_loss=self._guard.suspicion,
        )

    async def _look(self, domain: Name) -> Check | None:
        with trio.move_on_after(self._policy.look_seconds):
            return await self._tests.look(domain)
        return None

    def _canary(self, domain: Name, check: Check | None) -> CanarySeen:
        if check is None:
            return CanarySeen(domain=domain, good=None, detail="no result in time")
        verdict = check.judgement.of(self._policy.profile)
        if verdict.verdict is DomainVerdict.INCONCLUSIVE:
            return CanarySeen(domain=domain, good=None, detail=f"inconclusive, {verdict.reason}")
        if verdict.verdict is DomainVerdict.PROTECTED:
            return CanarySeen(domain=domain, good=True)
        return CanarySeen(
            domain=domain,
            good=False,
            detail=f"{verdict.verdict}, {verdict.reason}",
            dates=self._tests.dates_failed(check),
        )

    def _only_mass_loss(self, status: SelfStatus) -> bool:
        return all(one.reason is BlindReason.MASS_LOSS_SUSPECTED for one in status.reasons)

    async def _try_mass_loss(self, seen: SelfTestSeen, status: SelfStatus) -> SelfStatus:
        """Make one round of the trial; return the status that follows."""
        trial = self._trial = self._trial or self._new_trial(seen.tested_at)
        lost = list((await self._still_worse(trial.lost)).values())
        trial.worse |= await self._still_worse(trial.controls)
        patient = seen.tested_at - trial.since >= self._policy.trial_patience
        if not lost and trial.lost:  # none of them could be judged, or they are watched no more
            return self._end_trial(seen, acquitted=False) if patient else status
        if 2 * sum(lost) < len(lost) or not trial.lost:
            _log.info("mass loss: most of the lost domains are fine again, beginning anew")
            return self._end_trial(seen, acquitted=False)
        controlled = len(trial.worse) >= self._policy.least_controls
        canaries = [one.good for one in seen.canaries if one.good is not None]
        vouched = bool(canaries) and all(canaries)
        controls_fail = controlled and 2 * sum(trial.worse.values()) >= len(trial.worse)
        trial.is_slow = controls_fail and patient
        if controls_fail and not (vouched and patient):
            trial.rounds = 0
            self._change_controls(trial)
            return status
        if controlled or vouched:
            trial.rounds += 1
        if trial.rounds < self._policy.trial_rounds and not patient:
            return status
        _log.warning("mass loss: the losses stand while we see well, so they are believed")
        for domain, worse in trial.worse.items():
            if worse:  # lost as well: whoever is compared with it would be suspected
                self._controls.drop(domain)
        return self._end_trial(seen, acquitted=True)

    def _new_trial(self, now: datetime) -> _Trial:
        lost = [look for look in reversed(self._guard.since_onset()) if look.lost]
        sample = tuple(look.domain for look in diverse(lost, self._policy.sample))
        controls = self._pick_controls(set())
        # Without a loss it was the controls that raised the suspicion.
        return _Trial(since=now, lost=sample or controls, controls=controls)

    def _change_controls(self, trial: _Trial) -> None:
        """Let others be asked in the next round; once all were, begin with the first again."""
        trial.asked.update(trial.controls)
        others = self._pick_controls(trial.asked)
        if len(others) < self._policy.least_controls:
            trial.asked.clear()
            others = self._pick_controls(trial.asked)
        trial.controls = others

    def _pick_controls(self, but: set[Name]) -> tuple[Name, ...]:
        """Return controls that are not lost: those seen fine lately, else any that should be."""
        most = self._policy.controls
        unfit = but | {look.domain for look in self._guard.since_onset() if look.lost}
        chosen = self._controls.pick(most, but=unfit)
        protected = (
            Name(domain)
            for domain, status in self._believed.items()
            if status == DomainVerdict.PROTECTED and domain not in unfit and domain not in chosen
        )
        return (*chosen, *islice(protected, most - len(chosen)))

    async def _still_worse(self, domains: Sequence[Name]) -> dict[Name, bool]:
        """Return, for each domain that could be judged afresh, whether it is worse than before."""
        found: dict[Name, bool] = {}

        async def look_at(domain: Name) -> None:
            worse = self._is_worse(domain, await self._look(domain))
            if worse is not None:
                found[domain] = worse

        async with trio.open_nursery() as nursery:
            for domain in domains:
                nursery.start_soon(look_at, domain)
        return found

    def _is_worse(self, domain: Name, check: Check | None) -> bool | None:
        """Return whether ``check`` shows ``domain`` worse than is believed; None if unknown."""
        if check is None or domain not in self._believed:
            return None
        verdict = check.judgement.of(self._policy.profile).verdict
        return (
            None
            if verdict not in DOMAIN_RANKS
            else DOMAIN_RANKS[verdict] > DOMAIN_RANKS[self._believed[domain]]
        )

    def _end_trial(self, seen: SelfTestSeen, *, acquitted: bool) -> SelfStatus:
        """End the trial; this test counts as a good one."""
        if acquitted:
            self._guard.acquit(seen.tested_at)
        else:
            self._guard.clear()
        self._trial = None
        return decide(replace(seen, mass_loss=None), self._status, policy=self._policy.decision)

    def _become(self, status: SelfStatus) -> None:
        """Take on ``status``: tell of a change, move the metrics, open or close the gate."""
        before = self._status
        changed = before is None or before.blind is not status.blind
        reasons_changed = before is not None and reasons_of(before) != reasons_of(status)
        if changed and not (before is None and not status.blind):
            # What was looked up between the last good test and this one was looked up blindly.
            self._forget()
        self._status = status
        if changed or (status.blind and reasons_changed):
            tell(status, before=before)
        for notice in status.notices:
            if before is None or notice not in before.notices:
                _log.warning("self-test: %s", notice)
        show(status, self._meter, before=before)
        if changed:
            self._on_change(status)
        if self.closed() is None:
            self._opened.set()
            self._opened = trio.Event()


def _dates_failed(resolvers: Sequence[ResolverSeen], canaries: Sequence[CanarySeen]) -> str | None:
    """Return where signatures fail by their dates, if it is more than somebody's own fault."""
    if resolvers and all(one.dates for one in resolvers):
        return "The signatures of the root fail by their dates"
    judged = [one for one in canaries if one.good is not None]
    dated = [one for one in judged if one.dates]
    if 2 * len(dated) > len(judged):
        return f"{dated[0].domain}: {dated[0].dates}"
    return None
