"""Tells a mass loss that is our own fault from the outage of somebody many depend on. Pure.

A resolver that begins to answer wrongly for everybody, or a path of ours that eats some kind of
packet, may pass every test of ourselves. What it cannot hide is that domains get worse together
which have nothing in common but us.

Theory. Let p be the chance that a look at a domain that was fine finds it worse. Partners break
about once in years, so with hourly looks p is below 1 in 1,000 even on a bad day. Looks at domains
that share no operator, network or zone are independent of each other, so

- more than max(20, 10 %) of the n looks of ten minutes, or of the last one, lost: for n = 200 the
  chance is C(200, 21) p^21 < 10^-34;
- the last 5 looks lost, one after the other: p^5 = 10^-15, that is once in 10^7 years at 10,000
  looks an hour. This one serves short lists, whose windows never hold 20 looks.

So chance is no explanation; a common cause is. Causes that lie with others are what a look names:
its MX hosts, their operators (parent domains), their networks, and every zone above the names.
Up to three of them together explain the losses when, since these began,

- of the looks that depend on each, at least half were lost, and 1.5 times the share of the others;
- most of the losses depend on them; and
- they make the difference: of the looks that depend on none of them at least 5 were fine, no more
  than one in ten was lost (or two, of few), and at most a third of the share of the others.

A resolver that is wrong for everybody fails the last test whatever the list looks like: with 95 of
100 domains at one operator, the other 5 are lost as well. An operator's outage passes all, and what
it did is nobody's but his: it is not held back.

Where causes are unknown (two operators behind one provider of DNS), the suspicion is wrong for a
few minutes: it is cleared by second looks at a sample of the lost domains beside others that were
fine (``scanner.run.selfwatch``). After that acquittal the same share of losses is believed for an
hour: twice as many raise it again.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scanner.model.names import Name


@dataclass(frozen=True, kw_only=True, slots=True)
class MassLossPolicy:
    """Bounds of the suspicion; all ours, see the theory above."""

    window: timedelta = timedelta(minutes=10)
    """Looks older than this say nothing about now."""
    short_window: timedelta = timedelta(minutes=1)
    """Losses are counted over this time as well: second looks come after a minute."""
    min_losses: int = 20
    """More losses than this in the window, and..."""
    share: float = 0.10
    """...more than this share of the looks in it."""
    run: int = 5
    """So many losses in a row, whatever the window holds."""
    cause_share: float = 0.5
    """Least share of losses among the looks that depend on a cause."""
    step_contrast: float = 1.5
    """How many times the share of losses with one cause exceeds that without it."""
    contrast: float = 3.0
    """How many times the share of losses with all causes exceeds that without any of them."""
    least_fine: int = 5
    """Fine looks that do not depend on a cause, without which nothing can be told apart."""
    max_causes: int = 3
    """Causes that may fail at the same time by chance."""
    quiet: timedelta = timedelta(hours=1)
    """How long an acquittal holds."""
    max_looks: int = 20_000
    """Looks remembered at most: 100,000 domains an hour make 17,000 in a window."""
    explain_every: timedelta = timedelta(seconds=5)
    """How often an explanation that was found is examined again, while losses go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One finished look at a domain that was fine before. ``causes`` are texts like
    ``host:mx1.example.net``, ``operator:example.net``, ``network:192.0.2.0/24``, ``zone:net``."""

    domain: Name
    at: datetime
    lost: bool
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the losses come to: ``explained_by`` the causes, or ``suspicion`` in a sentence."""

    explained_by: tuple[str, ...] = ()
    suspicion: str | None = None


_BY_CHANCE = 2  # losses beside an outage that say nothing


class MassLossGuard:
    """Takes in looks, in order of time, and says when they can only be our own fault."""

    def __init__(self, policy: MassLossPolicy | None = None) -> None:
        self._policy = policy or MassLossPolicy()
        self._looks: deque[Look] = deque(maxlen=self._policy.max_looks)
        self._lost = 0
        self._lost_domains: set[Name] = set()
        self._short: deque[Look] = deque(maxlen=self._policy.max_looks)
        self._in_a_row = 0
        self._suspicion: str | None = None
        self._examined_at: datetime | None = None
        self._acquitted_at: datetime | None = None
        self._acquitted_share = 0.0

    @property
    def suspicion(self) -> str | None:
        """A sentence while our own fault is suspected; stays until ``acquit`` or ``clear``."""
        return self._suspicion

    def note(self, look: Look) -> None:
        """Take in one look; a domain that flaps counts as lost once in a window."""
        if look.lost and look.domain in self._lost_domains:
            return
        if len(self._looks) == self._policy.max_looks:
            self._drop_first()
        self._looks.append(look)
        if look.lost:
            self._lost += 1
            self._lost_domains.add(look.domain)
        while self._looks[0].at < look.at - self._policy.window:
            self._drop_first()
        self._short.append(look)
        while self._short[0].at < look.at - self._policy.short_window:
            self._short.popleft()
        self._in_a_row = self._in_a_row + 1 if look.lost else 0
        if not look.lost:
            return
        if self._suspicion is None and self._is_mass(look.at) and self._is_due(look.at):
            self._examined_at = look.at
            self._suspicion = self.examine().suspicion

    def examine(self) -> Verdict:
        """Return what the losses since they began come to."""
        looks = self.since_onset()
        lost = sum(look.lost for look in looks)
        causes = explain(looks, policy=self._policy)
        if causes is not None:
            return Verdict(explained_by=causes)
        sentence = (
            f"{lost} of {len(looks)} domains looked at since {looks[0].at:%H:%M:%S} UTC got worse, "
            "and no mail server, network or zone that they share explains it."
            if looks
            else "Very many domains got worse at once."
        )
        return Verdict(suspicion=sentence)

    def since_onset(self) -> tuple[Look, ...]:
        """Return the looks since the losses began, leaving out one in ten that came before."""
        losses = [look for look in self._looks if look.lost]
        if not losses:
            return ()
        onset = losses[len(losses) // 10].at
        return tuple(look for look in self._looks if look.at >= onset)

    def suspect(self, sentence: str) -> None:
        """Somebody else found reason to suspect us."""
        self._suspicion = self._suspicion or sentence

    def acquit(self, at: datetime) -> None:
        """The losses were shown to be real: believe their like for a while."""
        looks = self.since_onset()
        share = sum(look.lost for look in looks) / len(looks) if looks else 0.0
        self.clear()
        self._acquitted_at = at
        self._acquitted_share = share

    def clear(self) -> None:
        """Begin anew: what was seen so far is worth nothing."""
        self._looks.clear()
        self._lost = 0
        self._lost_domains.clear()
        self._short.clear()
        self._in_a_row = 0
        self._suspicion = None
        self._examined_at = None

    def _drop_first(self) -> None:
        dropped = self._looks.popleft()
        if dropped.lost:
            self._lost -= 1
            self._lost_domains.discard(dropped.domain)

    def _is_due(self, at: datetime) -> bool:
        """Return whether to look for causes: they were not found, or not lately."""
        return self._examined_at is None or at - self._examined_at >= self._policy.explain_every

    def _is_mass(self, at: datetime) -> bool:
        share = self._believed_share(at)
        wanted = max(self._policy.share, min(2 * share, 0.9))
        least = self._policy.min_losses
        if self._lost > max(least, wanted * len(self._looks)):
            return True
        if self._lost > least:
            lately = sum(look.lost for look in self._short)
            if lately > max(least, wanted * len(self._short)):
                return True
        run = self._policy.run
        if share > 0:
            # As unlikely as the run of an ordinary day, at the share that is believed (10^-6).
            run = max(run, math.ceil(math.log(1e-6) / math.log(min(share, 0.9))))
        return self._in_a_row >= run

    def _believed_share(self, at: datetime) -> float:
        if self._acquitted_at is None or at - self._acquitted_at > self._policy.quiet:
            return 0.0
        return self._acquitted_share


def explain(looks: Sequence[Look], *, policy: MassLossPolicy) -> tuple[str, ...] | None:
    """Return the causes that explain the losses among ``looks``, or None. See the theory above."""
    found: list[str] = []
    rest = list(looks)
    all_lost = sum(look.lost for look in looks)
    for _ in range(policy.max_causes):
        cause = _best_cause(rest, policy)
        if cause is None:
            return None
        found.append(cause)
        rest = [look for look in rest if cause not in look.causes]
        lost = sum(look.lost for look in rest)
        if 2 * lost > all_lost or len(rest) - lost < policy.least_fine:
            continue
        share_with = (all_lost - lost) / (len(looks) - len(rest))
        clean = lost <= max(policy.share * len(rest), _BY_CHANCE)
        if clean and policy.contrast * lost / len(rest) <= share_with:
            return tuple(found)
    return None


def _best_cause(looks: Sequence[Look], policy: MassLossPolicy) -> str | None:
    """Return the cause that explains most of the losses and makes a difference, or None."""
    total: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    all_lost = 0
    for look in looks:
        total.update(look.causes)
        if look.lost:
            lost.update(look.causes)
            all_lost += 1
    for cause, count in lost.most_common():
        share = count / total[cause]
        others = len(looks) - total[cause]
        if others == 0 or share < policy.cause_share:
            continue
        if share >= policy.step_contrast * (all_lost - count) / others:
            return cause
    return None


def diverse(looks: Iterable[Look], limit: int) -> tuple[Look, ...]:
    """Return up to ``limit`` looks at domains that share as few causes as possible."""
    chosen: list[Look] = []
    used: set[str] = set()
    spare: list[Look] = []
    for look in looks:
        own = {cause for cause in look.causes if not cause.startswith("zone:")}
        if used & own:
            spare.append(look)
            continue
        used |= own
        chosen.append(look)
        if len(chosen) == limit:
            return tuple(chosen)
    return (*chosen, *spare)[:limit]
