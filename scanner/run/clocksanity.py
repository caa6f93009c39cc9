"""Whether our clock is right, judged from signatures that others make all day. Pure.

Theory. DNSSEC and certificates are judged by our own clock. A clock a day ahead makes every zone
look expired whose signatures live for a day; one that is behind makes signatures look as if they
came from the future. Nobody tells a scanner the time in a way that can be trusted, but some zones
(com and net among them) sign their SOA record anew many times a day, and the inception of the
newest such signature is somebody else's clock. For a witness of age = now - inception:

    -tolerance <= age <= usual age      the two clocks agree
    age < -tolerance                    our clock is behind (or the signer's is ahead)
    age > usual age                     our clock is ahead (or the signer is slow)

Rules, so that no signer can blind us:

- One witness that agrees outweighs all others: two clocks that are wrong do not agree.
- Behind needs one signature from the future and no witness that agrees.
- Ahead needs every witness to be old, and one more sign, because a slow signer always looks old:
  that some witness has been seen fresh before, that signatures elsewhere fail by their dates, that
  our clock was set, or that the kernel calls it unsynchronised. Without one it is a notice.
- A clock that was set by more than ``jump`` is wrong now or was wrong before. It is believed when
  a witness agrees, when the kernel keeps it synchronised, or when it has been set back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scanner.model.names import Name


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockPolicy:
    """Bounds of the judgement."""

    tolerance: timedelta = timedelta(minutes=5)
    """Signers date signatures back by minutes to hours, so that even this much in the future is
    much (RFC 6781 §4.4.2.2 advises to allow for skew)."""
    usual_age: timedelta = timedelta(hours=12)
    """A witness signs more often than this, its back-dating and the TTL in caches included; com
    and net measure less than two hours."""
    jump: timedelta = timedelta(seconds=60)
    """A clock that NTP keeps is slewed, or stepped by less once at its start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WitnessSeen:
    """The newest inception among the signatures of a witness' SOA record; None if none was had."""

    zone: Name
    inception: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockSigns:
    """What else speaks about the clock.

    ``dates_failed`` says where signatures failed by their dates that should not. ``offset`` is how
    far the clock was set since the first test, measured against steady time; None if unknown.
    ``synchronised`` is the kernel's word; None where it says nothing.
    """

    dates_failed: str | None = None
    offset: timedelta | None = None
    synchronised: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockJudgement:
    """``ok`` is None when nothing is known. ``fast`` are the witnesses ever seen fresh."""

    ok: bool | None = None
    sentence: str | None = None
    notice: str | None = None
    fast: frozenset[Name] = frozenset()


def judge_clock(
    witnesses: Sequence[WitnessSeen],
    signs: ClockSigns,
    *,
    now: datetime,
    fast: frozenset[Name] = frozenset(),
    policy: ClockPolicy,
) -> ClockJudgement:
    """Return whether our clock is right; ``fast`` comes from the judgement before."""
    ages = {seen.zone: now - seen.inception for seen in witnesses if seen.inception is not None}
    agreeing = [zone for zone, age in ages.items() if -policy.tolerance <= age <= policy.usual_age]
    if agreeing:
        return ClockJudgement(ok=True, fast=fast | set(agreeing))
    early = {zone: age for zone, age in ages.items() if age < -policy.tolerance}
    if early:
        zone, age = min(early.items(), key=lambda item: item[1])
        sentence = f"The newest signature of {zone} begins {_words(-age)} after our time."
        return ClockJudgement(ok=False, sentence=sentence, fast=fast)
    set_by = signs.offset if signs.offset is not None and abs(signs.offset) > policy.jump else None
    if ages:
        return _all_old(ages, signs, set_by, fast)
    if signs.dates_failed is not None:
        sentence = f"{signs.dates_failed}, which is nobody's fault but the clock's."
        return ClockJudgement(ok=False, sentence=sentence, fast=fast)
    if set_by is not None and signs.synchronised is not True:
        return ClockJudgement(ok=False, sentence=_was_set(set_by), fast=fast)
    # The kernel's word is about the discipline, not about the time: too little to call it right.
    return ClockJudgement(ok=None, fast=fast)


def _all_old(
    ages: dict[Name, timedelta],
    signs: ClockSigns,
    set_by: timedelta | None,
    fast: frozenset[Name],
) -> ClockJudgement:
    """Return the judgement when no witness has a signature as new as it should be."""
    zone, age = min(ages.items(), key=lambda item: item[1])
    old = f"the newest signature of {zone} is {_words(age)} old"
    more = None
    if fast & ages.keys():
        more = "it used to be younger"
    elif signs.dates_failed is not None:
        more = signs.dates_failed
    elif set_by is not None:
        more = f"our clock was set by {_words(set_by)}"
    elif signs.synchronised is False:
        more = "the kernel calls our clock unsynchronised"
    if more is not None:
        sentence = f"{old[0].upper()}{old[1:]}, and {more}."
        return ClockJudgement(ok=False, sentence=sentence, fast=fast)
    notice = f"{old}: our clock is ahead, or {zone} signs too seldom to be a clock witness"
    return ClockJudgement(ok=None, notice=notice, fast=fast)


def _was_set(offset: timedelta) -> str:
    return f"Our clock was set by {_words(offset)} while we ran, and nothing vouches for it."


def _words(span: timedelta) -> str:
    seconds = abs(span.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
