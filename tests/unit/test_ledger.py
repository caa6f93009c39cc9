"""What the service knows between two checks: who looks again, what is kept, what is dropped."""

from dataclasses import replace
from datetime import datetime, timedelta

import sample_checks as sample
from scripted_world import EXO, OWN_FAULT, THROTTLED, at, one_host_check
from some_looks import START

from scanner.model.monitoring import Commit, ScheduleEntry, StoredState, Suspicion
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.transition import State
from scanner.model.verdict import Judged
from scanner.model.vocabulary import DeliveryPhase, EntityType
from scanner.run.ledger import Ledger, MonitorPolicy

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
