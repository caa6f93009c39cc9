"""What the service knows between two checks: who looks again, what is kept, what is dropped."""

from dataclasses import replace
from datetime import datetime, timedelta

import sample_checks as sample
from scripted_world import EXO, OWN_FAULT, THROTTLED, at, one_host_check
from some_looks import START

from scanner.model.monitoring import Commit, ScheduleEntry, StoredState, Suspicion
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.transition import State
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import DeliveryPhase, DnssecStatus, EntityType, HostOutcome
from scanner.run.ledger import Ledger, MonitorPolicy
from scanner.transition.confirm import Digest

HOST = "mx.example.net"
MX = (EntityType.MX, HOST)
POLICY = MonitorPolicy(run_id="run")
A, B = Name("a.example"), Name("b.example")
MINUTE = timedelta(minutes=1)


def after(minutes: float) -> datetime:
    return START + minutes * MINUTE


def look(ledger: Ledger, domain: Name, judged: Judged, minutes: float) -> tuple[datetime, bool]:
    """Let ``domain`` be checked; return when it is due next and whether a row is due."""
    now = after(minutes)
    check = at(one_host_check(domain, HOST, judged), now)
    result = ledger.digest(Target(domain=domain), check, POLICY)
    entry, heartbeat = ledger.accept(check, result, now=now, planned=None, policy=POLICY)
    assert entry == ledger.entries[domain]
    return entry.due_at, heartbeat


def known_state(entity_type: EntityType, entity: str, seen: datetime) -> State:
    return State(
        entity_type=entity_type,
        entity=entity,
        profile=EXO,
        status="protected",
        reason=None,
        phase=DeliveryPhase.DELIVERING,
        since=seen,
        last_seen_at=seen,
    )


def suspected(entity: str, first_seen_at: datetime) -> Suspicion:
    return Suspicion(
        entity_type=EntityType.MX,
        entity=entity,
        profile=EXO,
        status="failed",
        reason=None,
        phase=DeliveryPhase.DEFERRING,
        first_seen_at=first_seen_at,
        confirm_after=first_seen_at + MINUTE,
    )


def test_only_who_raised_a_suspicion_of_a_host_looks_again_for_it() -> None:
    """The other domain has its own suspicion, and its own second look."""
    ledger = Ledger()
    for domain in (A, B):
        look(ledger, domain, sample.AUTHENTICATED, 0)
    assert look(ledger, A, sample.MISMATCH, 60)[0] == after(65)
    assert look(ledger, B, sample.MISMATCH, 60.5)[0] == after(65.5)
    assert ledger.suspicions[MX].first_seen_at == after(60)
    look(ledger, A, sample.MISMATCH, 65)
    assert MX not in ledger.suspicions
    assert ledger.states[MX].since == after(60)


def test_a_fault_of_ours_is_tried_again_soon_and_being_turned_away_is_not() -> None:
    """Case 86: we back off."""
    ledger = Ledger()
    assert look(ledger, A, OWN_FAULT, 0)[0] == after(1)
    assert look(ledger, A, OWN_FAULT, 1)[0] == after(3)
    assert look(ledger, A, THROTTLED, 3)[0] > after(3)
    assert look(ledger, A, OWN_FAULT, 10)[0] == after(11)


def test_the_first_check_gets_a_row_and_then_one_a_day() -> None:
    """Restarts included: it follows from when the domain was checked last."""
    ledger = Ledger()
    due = [look(ledger, A, sample.AUTHENTICATED, 60 * hour)[1] for hour in range(72)]
    assert due[0]
    assert sum(due[1:]) in (2, 3)
    again = Ledger()
    again.load(StoredState(schedule=dict(ledger.entries)), {A})
    assert [look(again, A, sample.AUTHENTICATED, 60 * hour)[1] for hour in range(72, 96)].count(
        True
    ) == 1


def test_only_watched_domains_are_loaded() -> None:
    """States are, all of them: a list may come back."""
    stored = StoredState(
        states={(EntityType.DOMAIN, B): known_state(EntityType.DOMAIN, B, START)},
        schedule={name: ScheduleEntry(domain=name, due_at=START) for name in (A, B)},
    )
    ledger = Ledger()
    ledger.load(stored, {A})
    assert set(ledger.entries) == {A}
    assert (EntityType.DOMAIN, B) in ledger.states


def test_what_nobody_asks_for_any_more_is_dropped() -> None:
    """Hosts unseen for a month, suspicions of yesterday; the watched domain stays as it is."""
    old, new = START - timedelta(days=40), START - timedelta(days=3)
    states = [
        known_state(EntityType.DOMAIN, A, old),
        known_state(EntityType.DOMAIN, B, old),
        known_state(EntityType.MX, "old.example", old),
        known_state(EntityType.ZONE, "new.example", new),
    ]
    suspicions = [suspected("old.example", new), suspected("new.example", START)]
    ledger = Ledger()
    ledger.load(
        StoredState(
            states={(one.entity_type, one.entity): one for one in states},
            suspicions={one.key: one for one in suspicions},
        ),
        {A},
    )
    tidied = ledger.tidy(
        {A}, now=START, keep_unseen=timedelta(days=30), forget_after=timedelta(hours=24)
    )
    old_host = (EntityType.MX, "old.example")
    assert tidied == Commit(dropped=((EntityType.DOMAIN, B), old_host), cleared=(old_host,))
    assert set(ledger.states) == {(EntityType.DOMAIN, A), (EntityType.ZONE, "new.example")}
    assert set(ledger.suspicions) == {(EntityType.MX, "new.example")}


def test_the_suspicion_of_a_domain_that_is_gone_falls_to_another() -> None:
    """Or nobody would look again on its behalf."""
    ledger = Ledger()
    for domain in (A, B):
        look(ledger, domain, sample.AUTHENTICATED, 0)
    look(ledger, A, sample.MISMATCH, 60)
    ledger.drop(A)
    assert set(ledger.suspicions) == {MX}
    ledger.tidy({B}, now=after(61), keep_unseen=timedelta(days=30), forget_after=timedelta(days=1))
    unknown = replace(THROTTLED, detail="too many connections")
    due, _ = look(ledger, B, unknown, 62)
    assert due == after(62 + 15)
    assert A not in ledger.entries


def unsigned(domain: Name, judged: Judged, minutes: float) -> Check:
    """A check of a domain whose MX RRset is not secure; its host has TLSA records all the same."""
    check = at(one_host_check(domain, HOST, judged), after(minutes))
    route = check.observation.route
    insecure = replace(route, mx=replace(route.mx, status=DnssecStatus.INSECURE))
    return replace(check, observation=replace(check.observation, route=insecure))


def take(ledger: Ledger, check: Check) -> Digest:
    """Digest and accept ``check``."""
    result = ledger.digest(Target(domain=check.domain), check, POLICY)
    now = check.observation.observed_at
    ledger.accept(check, result, now=now, planned=None, policy=POLICY)
    return result


WITHOUT_DANE = Judged(outcome=HostOutcome.OPPORTUNISTIC_TLS, reason=Reason.DOMAIN_UNSIGNED)


def with_failed_host() -> Ledger:
    """A host that failed for the signed domain ``A`` before the hour was over."""
    ledger = Ledger()
    for judged, minutes in (
        (sample.AUTHENTICATED, 0),
        (sample.MISMATCH, 20),
        (sample.MISMATCH, 40),
    ):
        look(ledger, A, judged, minutes)
    assert ledger.states[MX].status == "failed"
    return ledger


def test_a_host_that_only_unsigned_domains_lead_to_loses_its_state() -> None:
    """After three looks in as many hours, with a transition that ends the failure."""
    ledger = with_failed_host()
    told = []
    for hours in range(1, 6):
        for minutes in (0, 1):  # a second look soon after counts for nothing
            check = unsigned(B, WITHOUT_DANE, 60 * hours + minutes)
            result = take(ledger, check)
            told += [(hours, minutes, one) for one in result.transitions if one.entity == HOST]
            assert (MX in ledger.states_of(check)) is ((hours, minutes) < (3, 1))
    ((hours, minutes, transition),) = told
    assert (hours, minutes) == (3, 1)
    assert (transition.from_status, transition.to_status) == ("failed", "opportunistic-tls")
    assert transition.to_phase is DeliveryPhase.DELIVERING
    assert transition.evidence[0][0] == "settled"
    look(ledger, A, sample.MISMATCH, 600)
    assert ledger.suspicions[MX].first_seen_at == after(600)


def test_a_host_keeps_its_state_while_a_signed_domain_leads_to_it() -> None:
    """However many unsigned ones do, and although the signed one cannot tell."""
    ledger = with_failed_host()
    for hours in range(1, 10):
        look(ledger, A, OWN_FAULT if hours % 2 else sample.MISMATCH, 60 * hours)
        take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours + 1))
        take(ledger, unsigned(Name("c.example"), WITHOUT_DANE, 60 * hours + 2))
    assert ledger.states[MX].status == "failed"


def test_a_signed_domain_that_fails_validation_still_leads_where_it_led() -> None:
    """Its MX RRset is bogus for hours: that ends no failure of its host; that it is gone does."""
    ledger = with_failed_host()
    bogus = sample.bogus()
    route = replace(bogus.observation.route, domain=A)
    bogus = replace(bogus, observation=replace(bogus.observation, domain=A, route=route))
    for hours in range(1, 10):
        take(ledger, at(bogus, after(60 * hours)))
        take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours + 1))
    assert ledger.states[MX].status == "failed"
    ledger.drop(A)
    for hours in range(10, 14):
        take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours + 1))
    assert MX not in ledger.states


def test_a_pause_of_ours_lets_no_host_go_astray() -> None:
    """Two days blind are one look."""
    ledger = with_failed_host()
    for hours in (1, 50, 50.1):
        take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours))
    look(ledger, A, sample.MISMATCH, 60 * 50.2)
    for hours in (51, 52):
        take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours))
    assert ledger.states[MX].status == "failed"


def test_a_state_that_was_fine_is_dropped_without_a_word() -> None:
    """Nothing of what goes on behind an unsigned domain is worse than it was."""
    ledger = Ledger()
    look(ledger, A, sample.AUTHENTICATED, 0)
    for hours in range(1, 5):
        result = take(ledger, unsigned(B, WITHOUT_DANE, 60 * hours))
        assert [one for one in result.transitions if one.entity == HOST] == []
    assert MX not in ledger.states
    ledger.tidy({B}, now=after(0), keep_unseen=timedelta(days=30), forget_after=timedelta(days=1))
    assert ledger._strays._seen == {}
