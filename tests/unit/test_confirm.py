"""Confirmation: worse on the second look, better on the first; suspicions, doubts, flapping."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sample_checks as sample
from scripted_world import DOWN, THROTTLED, at, one_host_check
from some_looks import START

from scanner.model.monitoring import EntityKey, Suspicion
from scanner.model.observation import Vantage
from scanner.model.reasons import Reason
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
    RRType,
)
from scanner.transition.confirm import RANKS, STOPPED, ConfirmationPolicy, Digest, digest

EXO = Profile.EXCHANGE_ONLINE
DAY = timedelta(hours=24)
DOMAIN: EntityKey = (EntityType.DOMAIN, "example.org")
HOST: EntityKey = (EntityType.MX, "mx.example.net")
ZONE: EntityKey = (EntityType.ZONE, "example.org")
FINE = sample.AUTHENTICATED
MISMATCH = sample.MISMATCH
EXPIRED = replace(MISMATCH, reason=Reason.CERTIFICATE_EXPIRED, code="4.7.322")


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Watch:
    """Digests one check after another, as the service does."""

    def __init__(self, policy: ConfirmationPolicy | None = None) -> None:
        self.policy = policy or ConfirmationPolicy()
        self.states: dict[EntityKey, State] = {}
        self.suspicions: dict[EntityKey, Suspicion] = {}
        self.transitions: list[Transition] = []

    def take(self, check: Check) -> Digest:
        """Digest ``check`` and merge what it changes."""
        result = digest(
            self.states,
            self.suspicions,
            check,
            profile=EXO,
            queue_life=DAY,
            confirmation=self.policy,
            run_id="run",
            labels=(("team", "sales"),),
        )
        self.states.update(result.states)
        self.suspicions.update({one.key: one for one in result.suspicions})
        for key in result.cleared:
            del self.suspicions[key]
        self.transitions += result.transitions
        return result

    def see(
        self,
        judged: Judged,
        minutes: float,
        *,
        domain: str = "example.org",
        zone: DnssecStatus | None = None,
        probed: float | None = None,
    ) -> Digest:
        """Digest a check of ``domain``, whose only host is ``judged``, so long after the start."""
        check = at(one_host_check(domain, HOST[1], judged, zone=zone), after(minutes))
        return self.take(check if probed is None else with_probe(check, after(probed)))

    def told(self, key: EntityKey = DOMAIN) -> list[tuple[str, str | None]]:
        """The statuses and reasons ``key`` went through."""
        return [
            (one.to_status, one.to_reason)
            for one in self.transitions
            if (one.entity_type, one.entity) == key
        ]


def with_probe(check: Check, moment: datetime) -> Check:
    """``check`` whose probes were shared, and made at ``moment``."""
    hosts = tuple(
        replace(host, addresses=tuple(replace(one, observed_at=moment) for one in host.addresses))
        for host in check.observation.hosts
    )
    return replace(check, observation=replace(check.observation, hosts=hosts))


def verdict_check(value: DomainVerdict, minutes: float, reason: Reason | None = None) -> Check:
    """A check of a domain without hosts, with any verdict."""
    judged = None if reason is None else Judged(outcome=HostOutcome.FAILED, reason=reason)
    check = sample.check("example.org", [], [sample.verdict(EXO, value, judged=judged)])
    return at(check, after(minutes))


def watch_of(value: DomainVerdict, reason: Reason | None = None) -> Watch:
    """A watch that has confirmed ``value``, an hour before the start."""
    watch = Watch()
    for minutes in (-60, -30):
        watch.take(verdict_check(value, minutes, reason))
    assert watch.states[DOMAIN].status == value
    watch.transitions.clear()
    return watch


# --- worse, better ------------------------------------------------------------------------------


def test_a_failure_is_told_on_the_second_look_and_began_with_the_first() -> None:
    """Table 3e: bounces_from is the first failure plus 24 hours, whatever confirmed it when."""
    watch = Watch()
    watch.see(FINE, 0)
    first = watch.see(MISMATCH, 60)
    assert first.transitions == ()
    assert first.states == {}
    assert {one.key for one in first.suspicions} == {DOMAIN, HOST}
    assert first.failing_since == after(60)
    second = watch.see(MISMATCH, 65)
    domain = second.transitions[0]
    assert (domain.from_status, domain.to_status) == ("protected", "blocked")
    assert (domain.observed_at, domain.began_at) == (after(65), after(60))
    assert (domain.failing_since, domain.bounces_from) == (after(60), after(60) + DAY)
    assert (domain.code, domain.labels) == ("4.7.323", (("team", "sales"),))
    state = watch.states[DOMAIN]
    assert (state.since, state.failing_since) == (after(60), after(60))
    assert set(second.cleared) == {DOMAIN, HOST}
    assert watch.suspicions == {}


def test_a_failure_that_has_gone_at_the_second_look_is_never_told() -> None:
    """One bad look is a doubt, and the state knows of it."""
    watch = Watch()
    watch.see(FINE, 0)
    watch.see(DOWN, 60)
    cleared = watch.see(FINE, 65)
    assert watch.told() == [("protected", None)]
    assert set(cleared.cleared) == {DOMAIN, HOST}
    assert cleared.failing_since is None
    assert watch.states[DOMAIN].recent_doubts == (after(65),)
    assert watch.states[DOMAIN].recent_changes == ()


def test_recovery_is_believed_at_once() -> None:
    """Mail flows again; nothing is gained by waiting."""
    watch = Watch()
    for minutes in (0, 15):
        watch.see(MISMATCH, minutes)
    recovered = watch.see(FINE, 30)
    assert [one.to_status for one in recovered.transitions] == ["protected", "authenticated"]
    assert recovered.transitions[0].began_at is None
    assert (recovered.look_again_at, recovered.failing_since) == (None, None)


def test_the_first_sight_of_a_failure_is_confirmed_too() -> None:
    """A new target that fails may fail because of us; one that is fine is known at once."""
    watch = Watch()
    watch.see(MISMATCH, 0)
    assert watch.transitions == []
    assert watch.states == {}
    watch.see(MISMATCH, 5)
    assert watch.told() == [("blocked", "tlsa-mismatch")]
    assert watch.transitions[0].from_status is None
    assert watch.states[DOMAIN].failing_since == START


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (DomainVerdict.PROTECTED, DomainVerdict.PARTIAL),
        (DomainVerdict.PROTECTED, DomainVerdict.DEGRADED),
        (DomainVerdict.PROTECTED, DomainVerdict.ENCRYPTED),
        (DomainVerdict.PROTECTED, DomainVerdict.OPPORTUNISTIC),
        (DomainVerdict.PARTIAL, DomainVerdict.DEGRADED),
        (DomainVerdict.DEGRADED, DomainVerdict.OPPORTUNISTIC),
        (DomainVerdict.ENCRYPTED, DomainVerdict.OPPORTUNISTIC),
        (DomainVerdict.OPPORTUNISTIC, DomainVerdict.DEGRADED),
        (DomainVerdict.OPPORTUNISTIC, DomainVerdict.DEFERRED),
        (DomainVerdict.OPPORTUNISTIC, DomainVerdict.BLOCKED),
        (DomainVerdict.PROTECTED, DomainVerdict.NO_MAIL),
        (DomainVerdict.BLOCKED, DomainVerdict.NO_MAIL),
        (DomainVerdict.NO_MAIL, DomainVerdict.BLOCKED),
        (DomainVerdict.BLOCKED, DomainVerdict.DEFERRED),
        (DomainVerdict.DEFERRED, DomainVerdict.BLOCKED),
    ],
)
def test_what_needs_a_second_look(before: DomainVerdict, now: DomainVerdict) -> None:
    """Mail that stops for any reason, a host that begins to fail, less protection."""
    watch = watch_of(before)
    assert watch.take(verdict_check(now, 0)).transitions == ()
    assert watch.states[DOMAIN].status == before
    (told,) = watch.take(verdict_check(now, 15)).transitions
    assert (told.from_status, told.to_status, told.began_at) == (before, now, START)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (DomainVerdict.BLOCKED, DomainVerdict.DEGRADED),
        (DomainVerdict.BLOCKED, DomainVerdict.OPPORTUNISTIC),
        (DomainVerdict.NO_MAIL, DomainVerdict.DEGRADED),
        (DomainVerdict.NO_MAIL, DomainVerdict.PROTECTED),
        (DomainVerdict.DEGRADED, DomainVerdict.PARTIAL),
        (DomainVerdict.OPPORTUNISTIC, DomainVerdict.PROTECTED),
        (DomainVerdict.OPPORTUNISTIC, DomainVerdict.ENCRYPTED),
    ],
)
def test_what_is_believed_at_once(before: DomainVerdict, now: DomainVerdict) -> None:
    """Everything that is better."""
    watch = watch_of(before)
    (told,) = watch.take(verdict_check(now, 0)).transitions
    assert (told.from_status, told.to_status) == (before, now)


def test_another_reason_for_what_is_no_failure_is_believed_at_once() -> None:
    """The host's zone is signed now, still without TLSA records."""
    watch = watch_of(DomainVerdict.OPPORTUNISTIC, Reason.HOST_UNSIGNED)
    watch.take(verdict_check(DomainVerdict.OPPORTUNISTIC, 0, Reason.TLSA_ABSENT))
    assert watch.told() == [("opportunistic", "tlsa-absent")]


def test_every_status_has_a_rank_or_says_nothing() -> None:
    """And every status that stops mail is known to."""
    without = {
        kind: {value.value for value in values} - set(RANKS[kind])
        for kind, values in (
            (EntityType.DOMAIN, DomainVerdict),
            (EntityType.MX, HostOutcome),
            (EntityType.ZONE, DnssecStatus),
        )
    }
    assert without == {
        EntityType.DOMAIN: {"inconclusive"},
        EntityType.MX: {"inconclusive"},
        EntityType.ZONE: {"indeterminate"},
    }
    assert all(STOPPED[kind] <= set(RANKS[kind]) for kind in EntityType)


# --- the second look ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(None, 60), (10, 60), (300, 300), (900, 900), (86_400, 900)]
)
def test_the_second_look_waits_for_the_records_to_expire(ttl: int | None, seconds: int) -> None:
    """The TTL of what the change rests on, a minute at least and 15 at most."""
    check = verdict_check(DomainVerdict.BLOCKED, 0)
    mx = replace(sample.lookup("example.org", RRType.MX), ttl_seconds=ttl)
    route = replace(check.observation.route, mx=mx)
    check = replace(check, observation=replace(check.observation, route=route))
    result = Watch().take(check)
    assert result.suspicions[0].confirm_after == START + timedelta(seconds=seconds)
    assert result.look_again_at == result.suspicions[0].confirm_after


def test_a_look_that_comes_too_early_confirms_nothing() -> None:
    """Case 115: two looks within the TTL see the same cached answer."""
    watch = watch_of(DomainVerdict.PROTECTED)
    check = verdict_check(DomainVerdict.BLOCKED, 0)
    mx = replace(sample.lookup("example.org", RRType.MX), ttl_seconds=600)
    late = [
        replace(
            check,
            observation=replace(
                check.observation,
                observed_at=after(minutes),
                route=replace(check.observation.route, mx=mx),
            ),
        )
        for minutes in (0, 5, 9.9, 10)
    ]
    results = [watch.take(check) for check in late]
    assert [len(result.transitions) for result in results] == [0, 0, 0, 1]
    assert [result.look_again_at for result in results[:3]] == [after(10)] * 3
    assert watch.states[DOMAIN].since == START


def test_a_shared_probe_is_no_second_look() -> None:
    """Its evidence is as old as itself, and another look is made when it can be fresh."""
    watch = Watch()
    watch.see(FINE, -60)
    watch.see(MISMATCH, 0)
    stale = watch.see(MISMATCH, 5, probed=0.5)
    assert stale.transitions == ()
    assert stale.look_again_at == after(6)
    barely = watch.see(MISMATCH, 6, probed=4.5)
    assert [one.entity for one in barely.transitions] == [HOST[1]]
    assert barely.look_again_at == after(9.5)
    assert watch.see(MISMATCH, 9.5).transitions[0].entity == "example.org"


def test_another_domains_look_at_the_same_probe_says_nothing_new() -> None:
    """A thousand domains share a host; its suspicion has one look, and stays as it is."""
    watch = Watch()
    for domain in ("example.org", "other.example"):
        watch.see(FINE, -60, domain=domain)
    first = watch.see(MISMATCH, 0)
    second = watch.see(MISMATCH, 0.5, domain="other.example", probed=0)
    assert [one.key[1] for one in second.suspicions] == ["other.example"]
    assert watch.suspicions[HOST] is first.suspicions[1]
    assert second.pending == ((HOST, watch.suspicions[HOST].confirm_after),)


def test_another_domains_fresh_look_confirms_a_host() -> None:
    """Whoever looks: it is the host that failed twice."""
    watch = Watch()
    watch.see(MISMATCH, 0)
    confirmed = watch.see(MISMATCH, 5, domain="other.example")
    assert [(one.entity, one.began_at) for one in confirmed.transitions] == [(HOST[1], START)]


def test_an_older_probe_neither_confirms_nor_clears() -> None:
    """A check that ends later may rest on an older probe."""
    watch = Watch()
    watch.see(FINE, -60)
    watch.see(MISMATCH, 0)
    older = watch.see(FINE, 0.5, domain="other.example", probed=-1)
    assert HOST in watch.suspicions
    assert older.states[HOST].last_seen_at == after(-1)
    watch.see(DOWN, 0.5, domain="third.example", probed=-0.5)
    assert watch.suspicions[HOST].reason == "tlsa-mismatch"


def test_the_same_check_twice_changes_nothing() -> None:
    """At every stage: raised, confirmed, recovered."""
    watch = Watch()
    for judged, minutes in ((FINE, 0), (MISMATCH, 60), (MISMATCH, 75), (EXPIRED, 90), (FINE, 120)):
        watch.see(judged, minutes)
        before = (dict(watch.states), dict(watch.suspicions), len(watch.transitions))
        again = watch.see(judged, minutes)
        assert (watch.states, watch.suspicions, len(watch.transitions)) == before
        assert (again.states, again.suspicions, again.cleared) == ({}, (), ())


def test_more_looks_can_be_demanded() -> None:
    """Each of them as long after the one before."""
    watch = Watch(ConfirmationPolicy(looks=3))
    told = []
    for minutes in (0, 3, 5, 8, 10):
        watch.see(MISMATCH, minutes)
        told.append(len(watch.told()))
    assert told == [0, 0, 0, 0, 1]
    assert watch.states[DOMAIN].failing_since == START


def test_two_looks_are_never_the_same_moment() -> None:
    """Even where the policy asks for no time between them."""
    hasty = ConfirmationPolicy(confirm_after_min=timedelta(0), confirm_after_max=timedelta(0))
    watch = Watch(hasty)
    for _ in range(2):
        watch.see(MISMATCH, 0)
    assert watch.transitions == []
    watch.see(MISMATCH, 1)
    assert watch.told() == [("blocked", "tlsa-mismatch")]


def test_a_suspicion_nobody_could_look_at_for_a_day_begins_anew() -> None:
    """Case 115: a break and a fix may lie between; nothing is invented."""
    watch = Watch()
    watch.see(FINE, 0)
    watch.see(MISMATCH, 60)
    late = watch.see(MISMATCH, 60 + 25 * 60)
    assert late.transitions == ()
    assert watch.suspicions[DOMAIN].first_seen_at == after(60 + 25 * 60)
    assert watch.see(FINE, 60 + 26 * 60).transitions == ()


def test_a_break_and_a_fix_between_two_checks_leave_no_trace() -> None:
    """Case 115: what was not seen did not happen, in the history."""
    watch = Watch()
    for minutes in (0, 60, 120):
        watch.see(FINE, minutes)
    assert watch.told() == [("protected", None)]
    assert watch.states[DOMAIN].since == START


# --- different troubles ---------------------------------------------------------------------------


def test_one_failure_after_another_is_one_failure() -> None:
    """A timeout, then a wrong certificate: mail has waited since the first."""
    watch = Watch()
    watch.see(FINE, 0)
    watch.see(DOWN, 60)
    watch.see(MISMATCH, 75)
    assert watch.told()[1:] == [("blocked", "tlsa-mismatch")]
    assert watch.states[DOMAIN].failing_since == after(60)


def test_worse_than_suspected_begins_a_new_suspicion() -> None:
    """Less protection was seen, now mail stops: that was seen once only."""
    watch = watch_of(DomainVerdict.PROTECTED)
    watch.take(verdict_check(DomainVerdict.OPPORTUNISTIC, 0))
    assert watch.take(verdict_check(DomainVerdict.BLOCKED, 15)).transitions == ()
    assert watch.suspicions[DOMAIN].first_seen_at == after(15)
    watch.take(verdict_check(DomainVerdict.BLOCKED, 30))
    assert watch.states[DOMAIN].failing_since == after(15)


def test_less_than_suspected_is_confirmed_as_what_it_is() -> None:
    """Or trouble that alternates between two kinds would never be told of."""
    watch = watch_of(DomainVerdict.PROTECTED)
    watch.take(verdict_check(DomainVerdict.BLOCKED, 0))
    (told,) = watch.take(verdict_check(DomainVerdict.OPPORTUNISTIC, 15)).transitions
    assert (told.to_status, told.began_at, told.failing_since) == ("opportunistic", None, None)


def test_a_stretch_of_failure_ends_when_mail_flows_though_with_less_protection() -> None:
    """Also where that look came too early to confirm anything: nothing waits from before it."""
    watch = watch_of(DomainVerdict.PROTECTED)
    watch.take(verdict_check(DomainVerdict.BLOCKED, 0))
    watch.take(verdict_check(DomainVerdict.ENCRYPTED, 0.5))
    watch.take(verdict_check(DomainVerdict.BLOCKED, 10))
    (told,) = watch.take(verdict_check(DomainVerdict.BLOCKED, 20)).transitions
    assert told.failing_since == after(10)


def test_no_mail_has_no_queue_clock_for_a_failure_after_it() -> None:
    """Mail was returned at once until then, so none waits from before."""
    watch = watch_of(DomainVerdict.PROTECTED)
    watch.take(verdict_check(DomainVerdict.NO_MAIL, 0))
    (told,) = watch.take(verdict_check(DomainVerdict.BLOCKED, 15)).transitions
    assert (told.to_status, told.failing_since) == ("blocked", after(15))


def test_a_new_reason_waits_for_its_second_look_while_the_clock_runs() -> None:
    """The domain fails all the time; only the name of it is in doubt."""
    watch = Watch()
    for judged, minutes in ((MISMATCH, 0), (MISMATCH, 15), (DOWN, 30), (MISMATCH, 45)):
        watch.see(judged, minutes)
    assert watch.told() == [("blocked", "tlsa-mismatch")]
    assert watch.states[DOMAIN].last_seen_at == after(45)
    for minutes in (60, 75):
        watch.see(EXPIRED, minutes)
    assert watch.told()[1:] == [("blocked", "certificate-expired")]
    state = watch.states[DOMAIN]
    assert (state.since, state.failing_since) == (after(60), START)


def test_mail_bounces_on_time_though_the_reason_is_new() -> None:
    """At 24 hours the phase changes, and tells what is seen then."""
    watch = Watch()
    for minutes in (0, 15):
        watch.see(MISMATCH, minutes)
    (told, *_) = watch.see(EXPIRED, 24 * 60).transitions
    assert told.to_phase is DeliveryPhase.BOUNCING
    assert (told.to_reason, told.code) == ("certificate-expired", "5.7.322")
    assert told.bounces_from == START + DAY


def test_bouncing_is_told_at_the_first_check_after_the_queue_life() -> None:
    """Scenario T50: 5.7.321 in the report; the checks before told nothing."""
    watch = Watch()
    for minutes in (0, 15, 30, 45, *range(105, 24 * 60, 60)):
        watch.see(MISMATCH, minutes)
    assert len(watch.told()) == 1
    watch.see(MISMATCH, 24 * 60 + 45)
    domain = watch.transitions[-1]
    assert (domain.to_phase, domain.code) == (DeliveryPhase.BOUNCING, "5.7.323")
    assert watch.see(MISMATCH, 26 * 60).transitions == ()


# --- what says nothing ----------------------------------------------------------------------------


def test_inconclusive_neither_confirms_nor_clears() -> None:
    """Case 104: the last status stays, with its age; what is suspected is looked at again."""
    watch = Watch()
    watch.see(FINE, 0)
    watch.see(MISMATCH, 60)
    unknown = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.NO_ROUTE)
    result = watch.see(unknown, 65)
    assert (result.states, result.transitions, result.suspicions) == ({}, (), ())
    assert result.cleared == ()
    assert result.look_again_at == after(80)
    assert result.failing_since == after(60)
    assert watch.states[DOMAIN].last_seen_at == START
    assert watch.see(MISMATCH, 80).transitions[0].began_at == after(60)


def test_inconclusive_at_first_sight_leaves_nothing() -> None:
    """No state, no suspicion, nothing to look at again."""
    watch = Watch()
    result = watch.see(Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.NO_ROUTE), 0)
    assert result == Digest()


def test_a_resolver_that_cannot_be_trusted_changes_nothing() -> None:
    """Case 47: when it stops validating, no mass of transitions to less protection."""
    watch = Watch()
    watch.see(FINE, 0)
    for vantage in (
        Vantage(resolver_up=True, resolver_validating=False),
        Vantage(resolver_up=False),
    ):
        check = verdict_check(DomainVerdict.OPPORTUNISTIC, 60)
        blind = replace(check, observation=replace(check.observation, vantage=vantage))
        assert watch.take(blind) == Digest()
    assert watch.states[DOMAIN].last_seen_at == START


def test_a_host_that_turns_us_away_keeps_its_state_and_its_age() -> None:
    """Case 86: we came too often, and that is no failure of the partner; nor a recovery."""
    watch = Watch()
    watch.see(FINE, 0)
    for minutes in (60, 120):
        watch.see(THROTTLED, minutes)
    assert watch.told() == [("protected", None)]
    assert {state.last_seen_at for state in watch.states.values()} == {START}
    for minutes in (180, 195):
        watch.see(MISMATCH, minutes)
    watch.see(THROTTLED, 240)
    assert watch.states[DOMAIN].status == "blocked"


def test_states_dated_into_the_future_are_brought_back() -> None:
    """The clock was a day ahead; now that it is right, looks count again."""
    watch = Watch()
    for minutes in (24 * 60, 24 * 60 + 15):
        watch.see(MISMATCH, minutes)
    assert watch.states[DOMAIN].failing_since == START + DAY
    watch.see(MISMATCH, 30)
    state = watch.states[DOMAIN]
    assert (state.failing_since, state.last_seen_at) == (after(30), after(30))
    watch.see(FINE, 45)
    assert watch.told() == [("blocked", "tlsa-mismatch"), ("protected", None)]


def test_a_suspicion_dated_into_the_future_is_forgotten() -> None:
    """Nothing can be confirmed by a look that came before it."""
    watch = Watch()
    watch.see(FINE, 0)
    watch.see(MISMATCH, 24 * 60)
    watch.see(MISMATCH, 60)
    assert watch.suspicions[DOMAIN].first_seen_at == after(60)


# --- zones ----------------------------------------------------------------------------------------


def test_a_bogus_zone_is_confirmed_like_anything_else() -> None:
    """And an insecure one is a loss of protection; indeterminate says nothing."""
    watch = Watch()
    watch.see(FINE, 0, zone=DnssecStatus.SECURE)
    watch.see(FINE, 60, zone=DnssecStatus.BOGUS)
    assert watch.suspicions[ZONE].phase is DeliveryPhase.UNKNOWN
    watch.see(FINE, 65, zone=DnssecStatus.INDETERMINATE)
    watch.see(FINE, 70, zone=DnssecStatus.BOGUS)
    watch.see(FINE, 80, zone=DnssecStatus.SECURE)
    watch.see(FINE, 90, zone=DnssecStatus.INSECURE)
    watch.see(FINE, 105, zone=DnssecStatus.INSECURE)
    assert [status for status, _ in watch.told(ZONE)] == ["secure", "bogus", "secure", "insecure"]
    assert watch.transitions[-1].began_at == after(90)
    assert watch.told() == [("protected", None)]


# --- flapping -------------------------------------------------------------------------------------

QUICK = ConfirmationPolicy(confirm_after_max=timedelta(minutes=1))


def flap(watch: Watch, times: int, *, begin: float = 0) -> float:
    """Fail and recover ``times`` times, two minutes apart; return when that has ended."""
    minutes = begin
    for _ in range(times):
        for judged in (MISMATCH, MISMATCH, FINE):
            minutes += 2
            watch.see(judged, minutes)
    return minutes


def test_six_changes_in_a_day_are_flapping_and_say_so() -> None:
    """Transitions are told on, marked; the state carries the mark."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    flap(watch, 3)
    assert [
        dict(one.evidence).get("flapping")
        for one in watch.transitions
        if one.entity == "example.org"
    ] == [None] * 6 + ["6 changes in 24 h"]
    assert watch.states[DOMAIN].flapping
    assert watch.states[HOST].flapping
    assert len(watch.states[DOMAIN].recent_changes) == 6


def test_the_recovery_of_what_flaps_takes_two_looks() -> None:
    """It has recovered so often."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    end = flap(watch, 3)
    for minutes in (2, 4):
        watch.see(MISMATCH, end + minutes)
    first = watch.see(FINE, end + 6)
    assert first.transitions == ()
    assert first.look_again_at == after(end + 7)
    assert first.failing_since == after(end + 2)
    second = watch.see(FINE, end + 8)
    assert [one.to_status for one in second.transitions] == ["protected", "authenticated"]
    assert second.transitions[0].began_at == after(end + 6)


def test_a_recovery_that_did_not_last_is_not_told_while_flapping() -> None:
    """The failure goes on, with its clock."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    end = flap(watch, 3)
    for minutes in (2, 4):
        watch.see(MISMATCH, end + minutes)
    count = len(watch.transitions)
    watch.see(FINE, end + 6)
    watch.see(MISMATCH, end + 8)
    assert len(watch.transitions) == count
    assert DOMAIN not in watch.suspicions
    assert watch.states[DOMAIN].failing_since == after(end + 2)


def test_going_on_to_recover_confirms_a_recovery() -> None:
    """First encrypted, then authenticated: twice better than before."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    end = flap(watch, 3)
    for minutes in (2, 4):
        watch.see(MISMATCH, end + minutes)
    watch.see(Judged(outcome=HostOutcome.ENCRYPTED), end + 6)
    watch.see(FINE, end + 8)
    assert watch.told()[-1] == ("protected", None)


def test_a_failure_during_a_suspected_recovery_is_a_suspicion_of_its_own() -> None:
    """Another reason than the one that is known."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    end = flap(watch, 3)
    for minutes in (2, 4):
        watch.see(MISMATCH, end + minutes)
    watch.see(FINE, end + 6)
    watch.see(EXPIRED, end + 8)
    assert watch.suspicions[DOMAIN].reason == "certificate-expired"
    assert watch.suspicions[DOMAIN].first_seen_at == after(end + 8)


def test_flapping_ends_when_the_changes_are_a_day_old() -> None:
    """Seen at the next look; and recovery is believed at once again."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    end = flap(watch, 3)
    watch.see(FINE, end + 24 * 60)
    state = watch.states[DOMAIN]
    assert (state.flapping, state.recent_changes) == (False, ())


def test_a_change_of_phase_alone_is_no_flapping() -> None:
    """Nor is the first sight of a domain."""
    watch = Watch(QUICK)
    for minutes in (0, 2, 24 * 60, 25 * 60):
        watch.see(MISMATCH, minutes)
    assert len(watch.told()) == 2
    assert watch.states[DOMAIN].recent_changes == ()


def test_a_server_that_drops_some_questions_is_called_unsteady() -> None:
    """Case 46: alternating results make no transitions, and the next real one says so."""
    watch = Watch(QUICK)
    watch.see(FINE, 0)
    for turn in range(3):
        watch.see(DOWN, 10 + 10 * turn)
        watch.see(FINE, 15 + 10 * turn)
    assert watch.told() == [("protected", None)]
    assert len(watch.states[DOMAIN].recent_doubts) == 3
    for minutes in (60, 62):
        watch.see(DOWN, minutes)
    marked = dict(watch.transitions[-2].evidence)
    assert marked["unsteady"] == "3 changes in 24 h that were not seen again"


def test_what_is_remembered_of_changes_is_bounded() -> None:
    """However often something flaps."""
    watch = Watch(replace(QUICK, flapping_changes=1_000))
    watch.see(FINE, 0)
    flap(watch, 60)
    state = watch.states[DOMAIN]
    assert len(state.recent_changes) == 50
    assert state.recent_changes[-1] == state.since
