"""What blinds us, what does not, and when we see again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scanner.model.names import Name
from scanner.model.selfstatus import BlindReason, BogusAnswer, SelfStatus
from scanner.model.vocabulary import Family
from scanner.run.clocksanity import ClockJudgement
from scanner.run.selfstatus import (
    REMEDIES,
    CanarySeen,
    EgressSeen,
    ResolverSeen,
    SelfTestSeen,
    decide,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GOOD = ResolverSeen(resolver="a", up=True, validating=True, reached=True)
DOWN = ResolverSeen(resolver="b", up=False, detail="b is silent")
CUT_OFF = ResolverSeen(resolver="c", up=True, validating=True, reached=False, detail="c: cut off")
LAX = ResolverSeen(resolver="d", up=True, validating=False, reached=True, detail="d: without AD")
BAD_NAME, OTHER_NAME = Name("bogus.test"), Name("other.test")
V4 = EgressSeen(family=Family.IPV4, ok=True)
V6 = EgressSeen(family=Family.IPV6, ok=True)
FINE = SelfTestSeen(tested_at=NOW, resolvers=(GOOD,), egress=(V4, V6))


def reasons(status: SelfStatus) -> list[BlindReason]:
    return [one.reason for one in status.reasons]


def after(seen: SelfTestSeen) -> SelfStatus:
    return decide(seen, None)


def asked(*answers: BogusAnswer) -> ResolverSeen:
    return replace(GOOD, bogus=tuple(zip((BAD_NAME, OTHER_NAME), answers, strict=False)))


def blocked(family: Family) -> EgressSeen:
    return EgressSeen(family=family, ok=False, detail=f"nobody over {family}")


def canary(name: str, good: bool | None) -> CanarySeen:
    return CanarySeen(domain=Name(name), good=good, detail="deferred, connection-timeout")


def test_one_good_test_is_enough_at_the_start() -> None:
    """And everything that is known is shown."""
    status = after(FINE)
    assert (status.blind, status.reasons, status.notices) == (False, (), ())
    assert status.resolver_up == {"a": True}
    assert status.resolver_validating == {"a": True}
    assert status.egress_ok == {Family.IPV4: True, Family.IPV6: True}
    assert (status.since, status.tested_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("resolvers", "expected"),
    [
        ((DOWN,), [BlindReason.RESOLVER_DOWN]),
        ((CUT_OFF,), [BlindReason.RESOLVER_CUT_OFF]),
        ((CUT_OFF, DOWN), [BlindReason.RESOLVER_CUT_OFF]),
        ((LAX,), [BlindReason.RESOLVER_NOT_VALIDATING]),
        ((GOOD, LAX), [BlindReason.RESOLVER_NOT_VALIDATING]),
        ((GOOD, DOWN), []),
        ((GOOD, CUT_OFF), []),
        ((asked(BogusAnswer.ACCEPTED),), [BlindReason.KNOWN_BOGUS_ACCEPTED]),
        ((asked(BogusAnswer.ACCEPTED, BogusAnswer.UNKNOWN),), [BlindReason.KNOWN_BOGUS_ACCEPTED]),
        ((asked(BogusAnswer.ACCEPTED, BogusAnswer.REFUSED),), []),
        ((asked(BogusAnswer.REFUSED),), []),
        ((asked(BogusAnswer.SECURE),), []),
        ((asked(BogusAnswer.UNKNOWN),), []),
    ],
)
def test_which_resolvers_blind_us(
    resolvers: tuple[ResolverSeen, ...], expected: list[BlindReason]
) -> None:
    """None that works, or any that works and proves nothing."""
    status = after(replace(FINE, resolvers=resolvers))
    assert reasons(status) == expected
    assert status.blind is bool(expected)


def test_metrics_of_resolvers_say_which_one_it_is() -> None:
    """Not validating is unknown of one that is down, and false of one that lets bogus through."""
    lax = replace(asked(BogusAnswer.ACCEPTED), resolver="e")
    status = after(replace(FINE, resolvers=(GOOD, DOWN, CUT_OFF, LAX, lax)))
    assert status.resolver_up == {"a": True, "b": False, "c": False, "d": True, "e": True}
    assert status.resolver_validating == {"a": True, "b": None, "c": True, "d": False, "e": False}


def test_what_is_not_well_without_blinding_us_is_a_notice() -> None:
    """One sentence for each thing."""
    status = after(
        replace(
            FINE,
            resolvers=(
                asked(BogusAnswer.SECURE, BogusAnswer.REFUSED),
                DOWN,
                replace(asked(BogusAnswer.ACCEPTED, BogusAnswer.REFUSED), resolver="f"),
                ResolverSeen(resolver="g", up=False),
            ),
            egress=(V4, blocked(Family.IPV6)),
            canaries=(canary("c1.test", False), canary("c2.test", True)),
            clock=ClockJudgement(notice="com is old"),
        )
    )
    assert not status.blind
    assert status.notices == (
        "bogus.test is signed well: it is no known-bogus name any more",
        "b is silent",
        "f accepts bogus.test without proof, and refuses another",
        "g does not answer",
        "nobody over ipv6",
        "canary c1.test: deferred, connection-timeout",
        "com is old",
    )


@pytest.mark.parametrize(
    ("egress", "expected"),
    [
        ((blocked(Family.IPV4), V6), []),
        ((V4, blocked(Family.IPV6)), []),
        ((blocked(Family.IPV4),), [BlindReason.EGRESS_BLOCKED_IPV4]),
        (
            (blocked(Family.IPV4), blocked(Family.IPV6)),
            [BlindReason.EGRESS_BLOCKED_IPV4, BlindReason.EGRESS_BLOCKED_IPV6],
        ),
        (
            (blocked(Family.IPV4), EgressSeen(family=Family.IPV6, ok=None)),
            [BlindReason.EGRESS_BLOCKED_IPV4],
        ),
        ((EgressSeen(family=Family.IPV4, ok=None),), []),
        ((), []),
    ],
)
def test_port_25_blinds_us_only_when_no_family_is_known_to_work(
    egress: tuple[EgressSeen, ...], expected: list[BlindReason]
) -> None:
    """One family alone only makes what fails in it inconclusive."""
    assert reasons(after(replace(FINE, egress=egress))) == expected


@pytest.mark.parametrize(
    ("goods", "blind"),
    [
        ((False,), True),
        ((True, False), False),
        ((False, False, True), True),
        ((False, None, None), True),
        ((None,), False),
        ((), False),
    ],
)
def test_canaries_blind_us_when_most_of_them_fail(
    goods: tuple[bool | None, ...], blind: bool
) -> None:
    """One may be ill itself; one that could not be judged does not count."""
    canaries = tuple(canary(f"c{number}.test", good) for number, good in enumerate(goods))
    status = after(replace(FINE, canaries=canaries))
    assert status.blind is blind
    assert reasons(status) == ([BlindReason.CANARY_FAILED] if blind else [])


def test_a_canary_mail_server_is_well_when_it_greets_in_any_family() -> None:
    """One metric for each, whatever the family."""
    mx, other = Name("mx.test"), Name("mx2.test")
    status = after(
        replace(
            FINE,
            egress=(
                replace(V4, canaries=((mx, False), (other, False))),
                replace(V6, canaries=((mx, True),)),
            ),
        )
    )
    assert status.canary_ok == {"mx.test": True, "mx2.test": False}


def test_a_wrong_clock_and_a_mass_loss_blind_us() -> None:
    """With the sentences of those who know."""
    wrong = ClockJudgement(ok=False, sentence="The clock is a day off.")
    status = after(replace(FINE, clock=wrong, mass_loss="All are gone."))
    assert [(one.reason, one.sentence) for one in status.reasons] == [
        (BlindReason.CLOCK_WRONG, "The clock is a day off."),
        (BlindReason.MASS_LOSS_SUSPECTED, "All are gone."),
    ]
    assert (status.clock_ok, status.mass_loss_suspected) == (False, True)


def test_blind_at_once_and_seeing_again_after_two_good_tests() -> None:
    """In between the last reasons stay, and the time at which blindness began."""
    bad = replace(FINE, resolvers=(DOWN,), tested_at=NOW + MINUTE)
    seeing = after(FINE)
    blind = decide(bad, seeing)
    assert (blind.blind, blind.since) == (True, NOW + MINUTE)
    once = decide(replace(FINE, tested_at=NOW + 2 * MINUTE), blind)
    assert (once.blind, once.since) == (True, NOW + MINUTE)
    assert reasons(once) == [BlindReason.RESOLVER_DOWN]
    relapse = decide(replace(bad, tested_at=NOW + 3 * MINUTE), once)
    assert relapse.blind
    once = decide(replace(FINE, tested_at=NOW + 4 * MINUTE), relapse)
    twice = decide(replace(FINE, tested_at=NOW + 5 * MINUTE), once)
    assert (twice.blind, twice.reasons, twice.since) == (False, (), NOW + 5 * MINUTE)
    stays = decide(replace(FINE, tested_at=NOW + 6 * MINUTE), twice)
    assert (stays.blind, stays.since) == (False, NOW + 5 * MINUTE)


def test_a_bad_start_needs_two_good_tests_too() -> None:
    """We were never able to see."""
    blind = after(replace(FINE, resolvers=(DOWN,)))
    assert decide(FINE, blind).blind
    assert not decide(FINE, decide(FINE, blind)).blind


def test_nothing_is_said_where_nothing_was_tested() -> None:
    """No resolvers, no canaries, no family: not blind, and no key in any mapping."""
    status = after(SelfTestSeen(tested_at=NOW))
    assert not status.blind
    assert (status.resolver_up, status.egress_ok, status.canary_ok) == ({}, {}, {})


@pytest.mark.parametrize("reason", list(BlindReason))
def test_every_reason_has_a_remedy(reason: BlindReason) -> None:
    """A whole sentence an operator can act on."""
    assert REMEDIES[reason].endswith(".")
