"""The decision whether we can see, from what a test of ourselves brought. Pure.

Rules, and why each is as it is:

- *Resolvers.* Blind when none answers, or when any that answers does not prove what it says: any
  of them may have answered a question about a partner. One that is down beside one that works
  blinds nobody, for the next is asked. One that answers from its cache but reaches nothing counts
  as down; it is named apart because the remedy is another one.
- *Known-bogus names.* A name that is accepted without proof blinds us only while no other is
  refused: a resolver that refuses one does validate, and what is accepted then is excepted by name
  (a negative trust anchor, RFC 7646) or was repaired. A name that has become secure is a notice.
- *Port 25.* Blind when it is blocked in a family and known to work in no other. Blocked in one
  family only, what fails in that family is inconclusive and nothing more.
- *Canaries.* Blind when more than half of those that were judged failed: one may be ill itself.
- *Workers.* Blind while our own processes, which make the checks, keep ending.
- *Clock* and *mass loss* are decided in ``scanner.run.clocksanity`` and ``scanner.run.massloss``.
- *Hysteresis.* Blind at once; seeing again after ``good_tests`` tests in a row without a reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scanner.model.names import Name
from scanner.model.selfstatus import Blindness, BlindReason, BogusAnswer, SelfStatus
from scanner.model.vocabulary import Family
from scanner.run.clocksanity import ClockJudgement


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolverSeen:
    """One resolver: ``validating`` and ``reached`` are None where it was down or not asked."""

    resolver: str
    up: bool
    validating: bool | None = None
    reached: bool | None = None
    bogus: tuple[tuple[Name, BogusAnswer], ...] = ()
    dates: bool = False
    """Whether the signatures of the control question fail by their dates."""
    detail: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CanarySeen:
    """One canary: a domain that must be protected. ``good`` is None where nothing was judged.

    ``dates`` is a sentence where it failed by the dates of signatures or certificates.
    """

    domain: Name
    good: bool | None
    detail: str = ""
    dates: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EgressSeen:
    """Port 25 in one family: True with a greeting, False when blocked, None when unknown."""

    family: Family
    ok: bool | None
    detail: str = ""
    canaries: tuple[tuple[Name, bool | None], ...] = ()
    """Canary mail servers of this family, and whether they greeted us."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTestSeen:
    """Everything one test of ourselves brought."""

    tested_at: datetime
    resolvers: tuple[ResolverSeen, ...] = ()
    canaries: tuple[CanarySeen, ...] = ()
    egress: tuple[EgressSeen, ...] = ()
    clock: ClockJudgement = field(default_factory=ClockJudgement)
    workers: str | None = None
    """A sentence while our own worker processes keep ending."""
    mass_loss: str | None = None
    """A sentence while a mass loss is held for our own fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfPolicy:
    """Bounds of the decision."""

    good_tests: int = 2
    """Tests in a row without any reason after which we see again."""


def decide(
    seen: SelfTestSeen, before: SelfStatus | None, *, policy: SelfPolicy | None = None
) -> SelfStatus:
    """Return the status after the test ``seen``; ``before`` is the one of the test before."""
    policy = policy or SelfPolicy()
    reasons = tuple(_reasons(seen))
    good = 0 if reasons else (1 if before is None else before.good_tests + 1)
    enough = 1 if before is None or not before.blind else policy.good_tests
    blind = good < enough
    if not reasons and blind and before is not None:
        reasons = before.reasons
    unchanged = before is not None and before.blind is blind
    return SelfStatus(
        tested_at=seen.tested_at,
        since=before.since if unchanged and before is not None else seen.tested_at,
        blind=blind,
        reasons=reasons,
        notices=tuple(_notices(seen)),
        resolver_up={one.resolver: _works(one) for one in seen.resolvers},
        resolver_validating={one.resolver: _proves(one) for one in seen.resolvers},
        egress_ok={one.family: one.ok for one in seen.egress},
        clock_ok=seen.clock.ok,
        canary_ok=_canaries(seen),
        mass_loss_suspected=seen.mass_loss is not None,
        good_tests=good,
    )


def _reasons(seen: SelfTestSeen) -> Iterator[Blindness]:
    """Yield every reason to be blind, the first cause first."""
    if seen.workers is not None:
        yield _blind(BlindReason.WORKERS_FAILED, seen.workers)
    if seen.clock.ok is False:
        yield _blind(BlindReason.CLOCK_WRONG, seen.clock.sentence or "Our clock is wrong.")
    yield from _resolver_reasons(seen.resolvers)
    yield from _egress_reasons(seen.egress)
    yield from _canary_reasons(seen.canaries)
    if seen.mass_loss is not None:
        yield _blind(BlindReason.MASS_LOSS_SUSPECTED, seen.mass_loss)


def _resolver_reasons(resolvers: Sequence[ResolverSeen]) -> Iterator[Blindness]:
    if not resolvers:
        return
    working = [one for one in resolvers if _works(one)]
    if not working:
        cut_off = [one for one in resolvers if one.up]
        reason = BlindReason.RESOLVER_CUT_OFF if cut_off else BlindReason.RESOLVER_DOWN
        yield _blind(reason, _details(cut_off or resolvers, "no resolver answers"))
    unproven = [one for one in working if one.validating is False]
    if unproven:
        yield _blind(
            BlindReason.RESOLVER_NOT_VALIDATING,
            _details(unproven, "a resolver does not validate DNSSEC"),
        )
    lax = [one for one in working if one.validating and _lets_bogus_through(one)]
    if lax:
        names = sorted({name for one in lax for name in _accepted(one)})
        servers = ", ".join(one.resolver for one in lax)
        yield _blind(
            BlindReason.KNOWN_BOGUS_ACCEPTED,
            f"{servers} accepts {', '.join(names)}, whose signatures are broken.",
        )


def _egress_reasons(egress: Sequence[EgressSeen]) -> Iterator[Blindness]:
    if any(one.ok for one in egress):
        return
    for one in egress:
        if one.ok is False:
            reason = {
                Family.IPV4: BlindReason.EGRESS_BLOCKED_IPV4,
                Family.IPV6: BlindReason.EGRESS_BLOCKED_IPV6,
            }[one.family]
            yield _blind(reason, one.detail or f"No mail server greets us over {one.family}.")


def _canary_reasons(canaries: Sequence[CanarySeen]) -> Iterator[Blindness]:
    failed = [one for one in canaries if one.good is False]
    judged = [one for one in canaries if one.good is not None]
    if 2 * len(failed) > len(judged):
        told = "; ".join(f"{one.domain}: {one.detail}" for one in failed[:3])
        yield _blind(BlindReason.CANARY_FAILED, f"Canaries do not look protected: {told}.")


def _canaries(seen: SelfTestSeen) -> dict[str, bool | None]:
    """Return whether each canary is well; a mail server is when it greets in any family."""
    found: dict[str, bool | None] = {one.domain: one.good for one in seen.canaries}
    for egress in seen.egress:
        for host, greeted in egress.canaries:
            before = found.get(host)
            found[host] = greeted or before if before is not None else greeted
    return found


def _notices(seen: SelfTestSeen) -> Iterator[str]:
    for one in seen.resolvers:
        if not _works(one):
            yield one.detail or f"{one.resolver} does not answer"
        for name, answer in one.bogus:
            if answer is BogusAnswer.SECURE:
                yield f"{name} is signed well: it is no known-bogus name any more"
            elif answer is BogusAnswer.ACCEPTED and not _lets_bogus_through(one):
                yield f"{one.resolver} accepts {name} without proof, and refuses another"
    for egress in seen.egress:
        if egress.ok is False:
            yield egress.detail or f"no mail server greets us over {egress.family}"
    for canary in seen.canaries:
        if canary.good is False:
            yield f"canary {canary.domain}: {canary.detail}"
    if seen.clock.notice:
        yield seen.clock.notice


def _works(one: ResolverSeen) -> bool:
    return one.up and one.reached is not False


def _proves(one: ResolverSeen) -> bool | None:
    if not one.up or one.validating is None:
        return None
    return one.validating and not _lets_bogus_through(one)


def _accepted(one: ResolverSeen) -> list[Name]:
    return [name for name, answer in one.bogus if answer is BogusAnswer.ACCEPTED]


def _lets_bogus_through(one: ResolverSeen) -> bool:
    refused = any(answer is BogusAnswer.REFUSED for _, answer in one.bogus)
    return bool(_accepted(one)) and not refused


def _details(resolvers: Sequence[ResolverSeen], otherwise: str) -> str:
    told = "; ".join(one.detail for one in resolvers if one.detail) or otherwise
    return f"{told[0].upper()}{told[1:]}."


REMEDIES = {
    BlindReason.RESOLVER_DOWN: "Start the resolver, or name another one in [resolver] servers.",
    BlindReason.RESOLVER_NOT_VALIDATING: "Turn on DNSSEC validation in the resolver; a forwarder "
    "before it must pass the AD bit on.",
    BlindReason.KNOWN_BOGUS_ACCEPTED: "Remove permissive modes and negative trust anchors from "
    "the resolver; if the name was repaired by its owner, remove it from [self_test] known_bogus.",
    BlindReason.RESOLVER_CUT_OFF: "Look at the resolver's own way to the Internet: its line, its "
    "firewall, its forwarder.",
    BlindReason.EGRESS_BLOCKED_IPV4: "Let this machine connect to port 25 over IPv4; many "
    "providers block it until asked.",
    BlindReason.EGRESS_BLOCKED_IPV6: "Let this machine connect to port 25 over IPv6; many "
    "providers block it until asked.",
    BlindReason.CANARY_FAILED: "Run `danewatch check` on the canary: if it is really broken, "
    "repair it or remove it from [self_test] canary_domains.",
    BlindReason.CLOCK_WRONG: "Set this machine's clock, and let NTP (chrony, systemd-timesyncd) "
    "keep it.",
    BlindReason.WORKERS_FAILED: "Look into the log for how they end: for want of memory (the "
    "kernel's log tells of that), or by a bug of ours. With [limits] workers = 1 there are none.",
    BlindReason.MASS_LOSS_SUSPECTED: "Wait: it resolves itself when tests of ourselves stay good. "
    "Canaries of your own ([self_test] canary_domains) make that fast.",
}
"""What an operator does about each reason."""


def _blind(reason: BlindReason, sentence: str) -> Blindness:
    return Blindness(reason=reason, sentence=sentence, remedy=REMEDIES[reason])
