"""Mass losses among 10,000 domains: an operator's fault is his, one of ours is held for ours."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from scanner.model.names import Name
from scanner.run.massloss import Look, MassLossGuard, MassLossPolicy, diverse, explain

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ONSET = NOW + 20 * MINUTE


def partner(number: int) -> tuple[Name, tuple[str, ...]]:
    """A partner of a list as lists are: a third at one operator, a fifth at another, many small
    ones; four top-level domains, of which one has six in ten."""
    tld = ("nl", "nl", "nl", "de", "com", "nl", "com", "nl", "org", "nl")[number % 10]
    domain = Name(f"d{number}.{tld}")
    slot = (number * 7919) % 100
    if slot < 33:
        host, operator, network = f"d{number}.mail.big.test", "mail.big.test", f"big{number % 7}"
    elif slot < 53:
        host, operator, network = "mx.second.test", "second.test", "second"
    else:
        small = number % 900
        host, operator, network = f"mx.small{small}.{tld}", f"small{small}.{tld}", f"net{small}"
    causes = (
        f"host:{host}",
        f"operator:{operator}",
        f"network:{network}",
        f"zone:{domain}",
        f"zone:{tld}",
    )
    return domain, causes


def looks(
    fails: Callable[[int, tuple[str, ...]], bool],
    *,
    domains: int = 10_000,
    per_hour: int | None = None,
    minutes: int = 35,
    noise: float = 0.0002,
) -> Iterator[Look]:
    """Hourly looks in hashed order; from ONSET on those of ``fails`` are lost, and by ``noise``
    others at any time. Every domain is lost once."""
    chance = random.Random(4)
    order = list(range(domains))
    chance.shuffle(order)
    step = HOUR / (per_hour or domains)
    gone: set[int] = set()
    at = NOW
    for turn in range(int(timedelta(minutes=minutes) / step)):
        number = order[turn % domains]
        at += step
        if number in gone:
            continue
        domain, causes = partner(number)
        lost = (at >= ONSET and fails(number, causes)) or chance.random() < noise
        if lost:
            gone.add(number)
        yield Look(domain=domain, at=at, lost=lost, causes=causes)


def run(
    guard: MassLossGuard, fails: Callable[[int, tuple[str, ...]], bool], **options: float
) -> datetime | None:
    """Return when the guard raised its suspicion, or None."""
    for look in looks(fails, **options):  # type: ignore[arg-type]
        guard.note(look)
        if guard.suspicion is not None:
            return look.at
    return None


def test_ordinary_days_raise_no_suspicion() -> None:
    """Partners break one by one, two of ten thousand an hour."""
    assert run(MassLossGuard(), lambda *_: False, minutes=240) is None


def test_a_resolver_that_is_wrong_for_everybody_is_suspected_within_seconds() -> None:
    """Long before the first second look, a minute after the first."""
    guard = MassLossGuard()
    suspected_at = run(guard, lambda *_: True)
    assert suspected_at is not None
    assert suspected_at - ONSET < timedelta(seconds=15)
    assert guard.suspicion is not None
    assert "no mail server, network or zone that they share explains it" in guard.suspicion


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_fault_of_ours_that_hits_some_of_them_at_random_is_suspected(share: float) -> None:
    """A box that drops packets of one kind, say; domains with DANE only."""
    chance = random.Random(7)
    unlucky = {number for number in range(10_000) if chance.random() < share}
    suspected_at = run(MassLossGuard(), lambda number, _: number in unlucky)
    assert suspected_at is not None
    assert suspected_at - ONSET < MINUTE


@pytest.mark.parametrize(
    "cause",
    ["operator:mail.big.test", "host:mx.second.test", "network:second", "zone:nl"],
    ids=["operator-of-a-third", "host-of-a-fifth", "network-of-a-fifth", "top-level-domain-of-60%"],
)
def test_an_outage_of_somebody_many_depend_on_is_never_suppressed(cause: str) -> None:
    """From its beginning on, with the noise of other days beside it."""
    guard = MassLossGuard()
    assert run(guard, lambda _, causes: cause in causes) is None
    assert cause in guard.examine().explained_by or "second" in guard.examine().explained_by[0]


def test_two_operators_that_fail_at_the_same_time_are_told_apart_from_us() -> None:
    """Two causes, each of which makes a difference."""
    guard = MassLossGuard()

    def fails(_: int, causes: tuple[str, ...]) -> bool:
        return "operator:mail.big.test" in causes or "host:mx.second.test" in causes

    assert run(guard, fails) is None
    assert len(guard.examine().explained_by) == 2


def test_a_fault_of_ours_is_not_explained_by_the_operator_most_partners_share() -> None:
    """95 of 100 at one operator; the five others are lost as well, and that tells."""
    policy = MassLossPolicy()
    shared = ("operator:big.test", "zone:nl")
    seen = [
        Look(
            domain=Name(f"d{number}.nl"),
            at=NOW,
            lost=True,
            causes=shared if number < 95 else (f"operator:o{number}.test", "zone:nl"),
        )
        for number in range(100)
    ]
    assert explain(seen, policy=policy) is None
    others_fine = [
        look if number < 95 else Look(domain=look.domain, at=NOW, lost=False, causes=look.causes)
        for number, look in enumerate(seen)
    ]
    assert explain(others_fine, policy=policy) == ("operator:big.test",)


def test_a_list_with_one_operator_only_cannot_explain_itself() -> None:
    """There is nothing to compare with, so it is tried by second looks."""
    seen = [
        Look(domain=Name(f"d{n}.nl"), at=NOW, lost=True, causes=("operator:big.test",))
        for n in range(100)
    ]
    assert explain(seen, policy=MassLossPolicy()) is None


def test_a_short_list_is_guarded_by_losses_in_a_row() -> None:
    """Sixty domains an hour never fill a window."""
    guard = MassLossGuard()
    suspected_at = run(guard, lambda *_: True, domains=60)
    assert suspected_at is not None
    assert suspected_at - ONSET < 6 * MINUTE


def test_a_short_list_whose_operator_fails_is_not_suppressed() -> None:
    """Others in between are fine."""
    assert run(MassLossGuard(), lambda _, c: "operator:mail.big.test" in c, domains=200) is None


def test_an_acquittal_believes_the_same_share_of_losses_and_not_twice_as_many() -> None:
    """Two operators behind one provider of DNS go on failing; then our own fault comes on top."""
    guard = MassLossGuard()

    chance = random.Random(11)
    customers = {number for number in range(10_000) if chance.random() < 0.25}

    def provider(number: int, _: tuple[str, ...]) -> bool:
        return number in customers

    stream = looks(provider)
    suspected_at = None
    for look in stream:
        guard.note(look)
        if guard.suspicion is not None:
            suspected_at = look.at
            break
    assert suspected_at is not None
    guard.acquit(suspected_at)
    assert guard.suspicion is None
    last = None
    for last in stream:
        guard.note(last)
        assert guard.suspicion is None
    assert last is not None
    for number in range(400):
        domain, causes = partner(20_000 + number)
        at = last.at + number * timedelta(seconds=0.36)
        guard.note(Look(domain=domain, at=at, lost=True, causes=causes))
    assert guard.suspicion is not None


def test_an_acquittal_ends() -> None:
    """After the quiet hour twenty losses of two hundred are too many again."""
    guard = MassLossGuard()
    assert run(guard, lambda *_: True) is not None
    guard.acquit(NOW)
    later = NOW + 2 * HOUR
    chance = random.Random(13)
    for number in range(200):
        domain, causes = partner(number)
        at = later + number * timedelta(seconds=0.36)
        guard.note(Look(domain=domain, at=at, lost=chance.random() < 0.5, causes=causes))
    assert guard.suspicion is not None


def test_clear_begins_anew() -> None:
    """What was seen so far is worth nothing, and raises nothing."""
    guard = MassLossGuard()
    assert run(guard, lambda *_: True) is not None
    guard.clear()
    assert (guard.suspicion, guard.since_onset()) == (None, ())
    assert guard.examine().suspicion == "Very many domains got worse at once."


def test_memory_is_bounded() -> None:
    """However many looks come within a window."""
    guard = MassLossGuard(MassLossPolicy(max_looks=100))
    for number in range(5_000):
        domain, causes = partner(number)
        at = NOW + number * timedelta(milliseconds=10)
        guard.note(Look(domain=domain, at=at, lost=number % 50 == 0, causes=causes))
    assert 50 <= len(guard.since_onset()) <= 100
    assert guard.suspicion is None


def test_a_sample_shares_as_few_operators_as_possible() -> None:
    """The first of each, and then whoever is left."""
    seen = [
        Look(domain=Name(f"d{n}.nl"), at=NOW, lost=True, causes=(f"operator:o{n % 3}", "zone:nl"))
        for n in range(9)
    ]
    assert [look.domain for look in diverse(seen, 3)] == ["d0.nl", "d1.nl", "d2.nl"]
    assert [look.domain for look in diverse(seen, 5)] == [
        "d0.nl",
        "d1.nl",
        "d2.nl",
        "d3.nl",
        "d4.nl",
    ]
    assert len(diverse(seen, 20)) == 9


def test_a_domain_that_flaps_is_one_loss() -> None:
    """However often it comes and goes."""
    guard = MassLossGuard()
    domain, causes = partner(1)
    for turn in range(200):
        at = NOW + turn * timedelta(seconds=5)
        guard.note(Look(domain=domain, at=at, lost=turn % 2 == 0, causes=causes))
        guard.note(Look(domain=domain, at=at, lost=True, causes=causes))
    assert guard.suspicion is None
