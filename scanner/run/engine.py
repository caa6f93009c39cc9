"""One pass over many domains: bounded, interruptible, and stopped when we cannot see.

Targets are taken from the front by a fixed number of workers, so memory does not depend on the
length of the list; a worker whose domain only waits for somebody slow gets a substitute
(``scanner.run.slowlane``). Six things never reach a sink as somebody else's failure:

- A domain observed while our resolver was down or not validating is observed again once control
  questions succeed; if they do not for ``blind_patience_seconds`` the pass ends as blind, with
  everything so far kept, and the rest left for a resumed pass.
- A domain all of whose doubt is "no SMTP connection in this address family was ever answered" is
  held back (evidence only, bounded) and judged at the end, when the pass knows whether our port 25
  works at all.
- A failure of the transient class (a lookup that failed, a connection that was not answered), or
  whatever else the caller holds doubtful, is looked at once more after the rest of the pass, with
  a fresh lookup and a fresh connection, and only the second look is reported.
- When many checks in a row fail in ways that an outage of our own network explains, a domain that
  worked earlier in the pass is looked at afresh; if it fails too, the pass ends as blind.
- Where no check can be made at all, by a fault of ours, the pass ends as blind.
- A bug in one check becomes an inconclusive check with a reason of its own; the pass goes on.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from scanner.model.observation import DomainObservation, Vantage
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check
from scanner.model.vocabulary import HostOutcome
from scanner.run.checking import CannotCheckError, Judge, MakeCheck
from scanner.run.outage import DEFAULT_RUN, OutageGuard, reached_somebody
from scanner.run.slowlane import SLOW_AFTER_SECONDS, SLOW_IN_FLIGHT, SlowLane

_LIKE_AN_OUTAGE = "many checks in a row failed as an outage of our own network would make them"

OnCheck = Callable[[Target, Check], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLimits:
    """Bounds of a pass. Sources: ours; memory per waiting domain was measured at about 4 KiB."""

    domains_in_flight: int = 200
    """Domains at a time, without those in the slow lane."""
    slow_domains_in_flight: int = SLOW_IN_FLIGHT
    """Domains in the slow lane at a time; 0 is no such lane."""
    slow_after_seconds: float = SLOW_AFTER_SECONDS
    """A check that has taken so long moves over."""
    blind_patience_seconds: float = 60.0
    """How long control questions may fail before the pass ends as blind."""
    blind_retry_seconds: float = 5.0
    held_back: int = 5_000
    """Domains whose verdict waits for proof that our port 25 works; more are reported at once."""
    outage_run: int = DEFAULT_RUN
    """Doubtful checks in a row before we look whether our own network works."""
    second_looks: int = 10_000
    """Doubtful domains that are observed again at the end; more are reported on the first look."""
    second_look_after_seconds: float = 10.0
    """From the end of the first looks to the second ones: longer than failed lookups are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PassSummary:
    """How a pass ended. ``blind`` is a sentence when the scanner itself could not see."""

    checked: int
    blind: str | None = None
    second_looks: int = 0
    slow: int = 0
    """Checks that moved to the slow lane."""


@dataclass
class _Pass:
    """The mutable state of one running pass."""

    waiting: Iterator[Target]
    guard: OutageGuard
    lane: SlowLane
    substitute: Callable[[], None] = lambda: None
    """Begins one more worker."""
    too_many: int = 0
    """Workers that have had a substitute and are back."""
    held: list[tuple[Target, DomainObservation]] = field(default_factory=list)
    doubtful: list[Target] = field(default_factory=list)
    first_look: bool = True
    checked: int = 0
    blind: str | None = None


class Engine:
    """Runs passes. ``check`` makes the checks; nothing here knows DNS, SMTP or processes."""

    def __init__(
        self,
        *,
        check: MakeCheck,
        judge: Judge,
        confirm_vantage: Callable[[], Awaitable[Vantage]],
        is_doubtful: Callable[[Check], bool] = lambda _: False,
        forget_failures: Callable[[], None] = lambda: None,
        forget_everything: Callable[[], None] = lambda: None,
        limits: EngineLimits | None = None,
    ) -> None:
        """``judge`` is for what was held back: it is judged anew with what is known by then.

        ``is_doubtful`` picks the checks that get a second look; ``forget_failures`` makes sure
        that the second look is answered by nothing remembered from the first, and
        ``forget_everything`` that a look at our own network is answered by nothing remembered."""
        self.check = check
        self._judge = judge
        self._confirm_vantage = confirm_vantage
        self._is_doubtful = is_doubtful
        self._forget_failures = forget_failures
        self._forget_everything = forget_everything
        self._limits = limits or EngineLimits()
        self._gate = trio.Lock()

    async def run_pass(self, targets: Iterable[Target], on_check: OnCheck) -> PassSummary:
        """Check every target once and hand each check to ``on_check``; return how it ended.

        ``on_check`` is called by one task at a time for one target, and may wait: that is the back
        pressure of a slow sink. An exception from it ends the pass.
        """
        limits = self._limits
        state = _Pass(
            waiting=iter(targets),
            guard=OutageGuard(run=limits.outage_run),
            lane=SlowLane(
                places=limits.slow_domains_in_flight, after_seconds=limits.slow_after_seconds
            ),
        )
        await self._run_workers(state, on_check)
        if state.guard.suspects and state.guard.witness is None and state.blind is None:
            state.blind = f"nothing answered: {_LIKE_AN_OUTAGE}"
        second_looks = len(state.doubtful)
        if state.doubtful and state.blind is None:
            await self._look_again(state, on_check)
        if state.held and state.blind is None:
            await self._settle_held(state, on_check)
        return PassSummary(
            checked=state.checked,
            blind=state.blind,
            second_looks=second_looks,
            slow=state.lane.statistics().total,
        )

    async def _run_workers(self, state: _Pass, on_check: OnCheck) -> None:
        async with trio.open_nursery() as nursery:
            state.too_many = 0
            state.substitute = partial(
                nursery.start_soon, self._work, state, on_check, nursery.cancel_scope
            )
            for _ in range(self._limits.domains_in_flight):
                state.substitute()

    async def _look_again(self, state: _Pass, on_check: OnCheck) -> None:
        await trio.sleep(self._limits.second_look_after_seconds)
        self._forget_failures()
        state.first_look = False
        state.waiting = iter(state.doubtful)
        await self._run_workers(state, on_check)

    async def _work(self, state: _Pass, on_check: OnCheck, scope: trio.CancelScope) -> None:
        for target in state.waiting:
            if not await self._work_on(target, state, on_check):
                scope.cancel()
                return
            if state.too_many:
                state.too_many -= 1
                return

    async def _work_on(self, target: Target, state: _Pass, on_check: OnCheck) -> bool:
        """Check ``target`` and see what becomes of it; False when we are blind."""
        check = await self._check_while_seeing(target, state)
        if check is None:
            return False
        if state.first_look:  # second looks are at doubtful domains only, one after the other
            state.guard.note(target, check, doubtful=self._is_doubtful(check))
        if state.guard.suspects and not await self._network_works(state):
            return False
        if waits_for_egress(check) and len(state.held) < self._limits.held_back:
            state.held.append((target, check.observation))
        elif state.first_look and self._deserves_second_look(check, state):
            state.doubtful.append(target)
        else:
            await on_check(target, check)
            state.checked += 1
        return True

    def _deserves_second_look(self, check: Check, state: _Pass) -> bool:
        return self._is_doubtful(check) and len(state.doubtful) < self._limits.second_looks

    async def _check_while_seeing(self, target: Target, state: _Pass) -> Check | None:
        """Return a check made while control questions worked, or None when we are blind."""
        while True:
            stay = state.lane.watch(state.substitute)
            try:
                check = await self.check(target)
            except CannotCheckError as error:
                state.blind = str(error)
                return None
            finally:
                state.too_many += not state.lane.end(stay)
            if check.observation.vantage.resolver_trusted:
                return check
            blind = await self._wait_until_seeing(state)
            if blind is not None:
                state.blind = blind
                return None

    async def _wait_until_seeing(self, state: _Pass) -> str | None:
        """Wait for control questions to succeed; return a sentence when they do not in time."""
        async with self._gate:
            if state.blind is not None:
                return state.blind
            deadline = trio.current_time() + self._limits.blind_patience_seconds
            while True:
                vantage = await self._confirm_vantage()
                if vantage.resolver_trusted:
                    return None
                if trio.current_time() >= deadline:
                    return vantage.detail or "the resolver cannot be trusted"
                await trio.sleep(self._limits.blind_retry_seconds)

    async def _network_works(self, state: _Pass) -> bool:
        """Look afresh at a domain that worked; without such a domain the pass decides at its end.

        Each retry may take as long as a check of the witness, so the patience is a lower bound.
        """
        witness = state.guard.witness
        async with self._gate:
            deadline = trio.current_time() + self._limits.blind_patience_seconds
            while witness is not None and state.guard.suspects and state.blind is None:
                self._forget_everything()
                try:
                    seen = await self.check(witness)
                except CannotCheckError as error:
                    state.blind = str(error)
                    break
                if reached_somebody(seen):
                    state.guard.clear()
                elif trio.current_time() >= deadline:
                    state.blind = (
                        f"{witness.domain} answered before and not any more: {_LIKE_AN_OUTAGE}"
                    )
                else:
                    await trio.sleep(self._limits.blind_retry_seconds)
        return state.blind is None

    async def _settle_held(self, state: _Pass, on_check: OnCheck) -> None:
        """Judge what was held back, now that the pass knows whether port 25 works."""
        now_known = await self._confirm_vantage()
        for target, observation in state.held:
            vantage = replace(
                observation.vantage,
                egress_ipv4=now_known.egress_ipv4,
                egress_ipv6=now_known.egress_ipv6,
            )
            settled = replace(observation, vantage=vantage)
            await on_check(target, Check(observation=settled, judgement=self._judge(settled)))
            state.checked += 1
        if now_known.egress_ipv4 is not True and now_known.egress_ipv6 is not True:
            state.blind = (
                "no SMTP connection was answered in this pass: outgoing port 25 seems blocked"
            )


def waits_for_egress(check: Check) -> bool:
    """Return whether any host is undecided only because port 25 was not yet seen to work."""
    return any(
        host.judged.outcome is HostOutcome.INCONCLUSIVE
        and host.judged.reason is Reason.EGRESS_UNPROVEN
        for verdict in check.judgement.verdicts
        for host in verdict.hosts
    )
