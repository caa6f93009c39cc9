"""Zones are kept apart from domains: as seen last, bounded, and forgotten in time."""

from dataclasses import replace
from datetime import datetime, timedelta

import validations as made
from validations import DAY, NOW

from scanner.model.dnssec import Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.model.zones import ZoneObservation
from scanner.observe.zonekeeper import KeeperLimits, ZoneKeeper

EXAMPLE, ORG = Name("example.org"), Name("org")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class HandClock:
    """Moved by the test."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Kept:
    """A keeper and its clock."""

    def __init__(self, **limits: object) -> None:
        self.clock = HandClock()
        self.keeper = ZoneKeeper(clock=self.clock, limits=KeeperLimits(**limits))  # type: ignore[arg-type]

    def take(self, *validations: Validation, after: timedelta = timedelta()) -> None:
        self.clock.time += after
        for one in validations:
            self.keeper.take(replace(one, validated_at=self.clock.time))

    def zones(self, *names: str) -> dict[Name, ZoneObservation]:
        found = self.keeper.zones_of([Name(name) for name in names or ("example.org",)])
        return {zone.zone: zone for zone in found}


def signed_mx(
    ends: timedelta, begins: timedelta = -4 * DAY, owner: str = "example.org"
) -> Validation:
    signature = made.signature("example.org", made.MX, made.EXAMPLE_TAG, begins=begins, ends=ends)
    return made.secure(
        question=Question(Name(owner), RRType.MX),
        rrsets=(made.rrset(owner, made.MX, "example.org", signature),),
    )


def test_zones_above_a_name_are_told_from_the_top_down() -> None:
    """Others that are known are not."""
    kept = Kept()
    other = made.link("example.net", 7)
    kept.take(made.secure(), made.secure(links=(*made.chain()[:1], other)))
    assert list(kept.zones("_25._tcp.mx.example.org")) == [ROOT, ORG, EXAMPLE]
    assert list(kept.zones("mx.example.org", "a.example.net")) == [
        ROOT,
        ORG,
        Name("example.net"),
        EXAMPLE,
    ]
    assert kept.zones("unknown.test").keys() == {ROOT}


def test_names_are_compared_by_label() -> None:
    """``notorg`` is not below ``org``; dots inside labels are none."""
    kept = Kept()
    kept.take(made.secure())
    assert list(kept.zones("a.notorg")) == [ROOT]
    assert list(kept.zones(r"a\.example\.org")) == [ROOT]


def test_a_zone_is_as_it_was_seen_last() -> None:
    """Broken, then repaired."""
    kept = Kept()
    kept.take(made.no_key())
    assert kept.zones()[EXAMPLE].reason is DnssecReason.DS_NO_KEY
    kept.take(made.secure(), after=MINUTE)
    zone = kept.zones()[EXAMPLE]
    assert (zone.status, zone.observed_at) == (DnssecStatus.SECURE, NOW + MINUTE)


def test_a_bogus_answer_holds_until_the_same_question_is_answered_well() -> None:
    """Another answer of the zone takes nothing back."""
    kept = Kept()
    kept.take(made.expired())
    kept.take(signed_mx(10 * DAY, owner="other.example.org"), after=MINUTE)
    assert kept.zones()[EXAMPLE].status is DnssecStatus.BOGUS
    kept.take(made.secure())
    assert kept.zones()[EXAMPLE].status is DnssecStatus.SECURE


def test_a_bogus_answer_does_not_hold_for_ever() -> None:
    """Nobody may ask that question again."""
    kept = Kept()
    kept.take(made.expired())
    kept.take(signed_mx(10 * DAY, owner="other.example.org"), after=2 * HOUR)
    zone = kept.zones()[EXAMPLE]
    assert (zone.status, zone.notes) == (DnssecStatus.SECURE, ())
    assert zone.signature_expiration == NOW + 10 * DAY


def test_the_signature_that_ends_first_is_found_among_all_answers() -> None:
    """Of the last hour; a renewed one replaces the old one."""
    kept = Kept()
    kept.take(signed_mx(10 * DAY), signed_mx(2 * DAY, owner="a.example.org"))
    assert kept.zones()[EXAMPLE].signature_expiration == NOW + 2 * DAY
    renewed = signed_mx(12 * DAY, begins=timedelta(), owner="a.example.org")
    kept.take(renewed, after=2 * MINUTE)
    assert kept.zones()[EXAMPLE].signature_expiration == NOW + 10 * DAY


def test_what_is_told_is_made_anew_at_most_once_a_minute() -> None:
    """The root is asked for with every check; a change of its keys shows at once."""
    kept = Kept()
    links = made.chain()
    kept.take(made.secure(links=links))
    first = kept.zones()[ROOT]
    kept.take(made.secure(links=links), after=MINUTE / 2)
    assert kept.zones()[ROOT] is first
    kept.take(made.secure(links=links), after=MINUTE)
    assert kept.zones()[ROOT].observed_at == NOW + 1.5 * MINUTE


def test_the_habit_of_a_zone_is_learnt_and_held_against_it() -> None:
    """Renewed twice with a week left; then not."""
    kept = Kept()
    kept.take(signed_mx(8 * DAY, begins=-6 * DAY))
    kept.take(signed_mx(15 * DAY, begins=DAY), after=DAY)
    kept.take(signed_mx(22 * DAY, begins=8 * DAY), after=7 * DAY)
    assert kept.zones()[EXAMPLE].notes == ()
    kept.take(signed_mx(22 * DAY, begins=8 * DAY), after=9 * DAY)
    assert [note.reason for note in kept.zones()[EXAMPLE].notes] == [DnssecReason.RESIGNING_OVERDUE]


def test_memory_is_bounded() -> None:
    """Zones not used go first; record sets and doubts of a zone too."""
    kept = Kept(max_zones=3, max_signed_per_zone=2, max_faults_per_zone=2)
    kept.take(made.secure())
    for number in range(50):
        kept.take(made.secure(links=(made.link(f"zone{number}.test", 1),)))
        kept.zones("example.org")
    assert set(kept.zones("example.org")) == {ORG, EXAMPLE}
    assert len(kept.keeper._zones) == 3
    for number in range(50):
        kept.take(made.secure(), signed_mx(DAY, owner=f"a{number}.example.org"))
        bogus = replace(made.expired(), question=Question(Name(f"b{number}.test"), RRType.A))
        kept.take(bogus)
    zone = kept.keeper._zones[EXAMPLE]
    assert (len(zone.signed), len(zone.doubts)) == (2, 2)


def test_a_zone_not_seen_for_a_day_is_not_told() -> None:
    """It may be gone."""
    kept = Kept()
    kept.take(made.secure())
    kept.clock.time += 2 * DAY
    assert kept.zones() == {}


def test_everything_can_be_forgotten() -> None:
    """When the resolver turns out not to be trusted."""
    kept = Kept()
    kept.take(made.secure())
    kept.keeper.forget()
    assert kept.zones() == {}


def test_signatures_are_judged_for_the_moment_asked_for() -> None:
    """``--at``: nine tenths of the lifetime are over then."""
    clock = HandClock()
    keeper = ZoneKeeper(clock=clock, at=NOW + 9.5 * DAY)
    keeper.take(made.secure())
    (zone,) = [one for one in keeper.zones_of([EXAMPLE]) if one.zone == EXAMPLE]
    assert [note.reason for note in zone.notes] == [DnssecReason.RRSIG_NEAR_EXPIRY]
    assert zone.observed_at == NOW


def _answer(outcome: LookupOutcome, rdtype: RRType, **changes: object) -> Validation:
    question = Question(Name("mx.example.org"), rdtype)
    return made.secure(question=question, outcome=outcome, **changes)


def test_a_name_that_is_there_for_one_type_only_is_told() -> None:
    """NXDOMAIN for AAAA beside an address: for who believes it, the name is gone (RFC 8020)."""
    kept = Kept()
    kept.take(_answer(LookupOutcome.DATA, RRType.A), _answer(LookupOutcome.NXDOMAIN, RRType.AAAA))
    zone = kept.zones()[EXAMPLE]
    assert zone.status is DnssecStatus.SECURE
    assert [note.reason for note in zone.notes] == [DnssecReason.DENIAL_CONTRADICTS]
    assert "mx.example.org" in zone.notes[0].message


def test_a_name_that_comes_or_goes_is_no_contradiction() -> None:
    """Minutes apart; nor do a missing type, a wildcard or an unsigned answer contradict."""
    there = _answer(LookupOutcome.DATA, RRType.A)
    for other in (
        _answer(LookupOutcome.NODATA, RRType.AAAA),
        _answer(LookupOutcome.NXDOMAIN, RRType.AAAA, status=DnssecStatus.INSECURE),
    ):
        kept = Kept()
        kept.take(there, other)
        assert kept.zones()[EXAMPLE].notes == ()
    kept = Kept()
    kept.take(there)
    kept.take(_answer(LookupOutcome.NXDOMAIN, RRType.AAAA), after=2 * MINUTE)
    assert kept.zones()[EXAMPLE].notes == ()


def test_the_names_remembered_are_bounded() -> None:
    """The oldest go first."""
    kept = Kept(max_names=1)
    other = made.secure(question=Question(Name("other.example.org"), RRType.A))
    kept.take(_answer(LookupOutcome.DATA, RRType.A), other)
    kept.take(_answer(LookupOutcome.NXDOMAIN, RRType.AAAA))
    assert kept.zones()[EXAMPLE].notes == ()
