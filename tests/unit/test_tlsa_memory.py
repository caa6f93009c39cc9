"""The TLSA records of a host over time: rollovers, records published late, records left over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sample_checks as sample
from scripted_world import EXO, at, one_host_check

from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, Finding, TlsaJudgement
from scanner.model.vocabulary import DnssecStatus, EntityType
from scanner.run.ledger import Ledger, MonitorPolicy
from scanner.transition.tlsamemory import MAX_RECORDS, annotated, read_memory, remember

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOST = "mx.example.net"
MX = (EntityType.MX, HOST)


def record(
    data: str, matched: bool | None, *, usage: int = 3, usable: bool = True
) -> TlsaJudgement:
    return TlsaJudgement(
        record=sample.tlsa(usage=usage, data=data * 32),
        usable=usable,
        unusable_reason=None if usable else Reason.TLSA_USAGE_UNUSABLE,
        matched=matched,
    )


class Host:
    """Looks at one host, an hour apart unless told otherwise."""

    def __init__(self, ttl: timedelta | None = HOUR) -> None:
        self.memory: tuple[str, ...] = ()
        self.now = NOW - HOUR
        self.last: datetime | None = None
        self.ttl = ttl

    def look(self, *records: TlsaJudgement, later: timedelta = HOUR) -> list[Reason]:
        return [note.code for note in self.notes(*records, later=later)]

    def notes(self, *records: TlsaJudgement, later: timedelta = HOUR) -> tuple[Finding, ...]:
        self.now += later
        self.memory, notes = remember(
            self.memory, records, host=HOST, at=self.now, last_look_at=self.last, ttl=self.ttl
        )
        self.last = self.now
        return notes


OLD, NEW = record("aa", True), record("bb", True)
OLD_UNUSED, NEW_UNUSED = record("aa", False), record("bb", False)


def test_a_rollover_that_takes_its_time_is_named_and_not_warned_of() -> None:
    """Case 110: current + next, for two TTLs before the switch; then the old one goes."""
    host = Host()
    assert host.look(OLD) == []
    for _ in range(3):
        (note,) = host.notes(OLD, NEW_UNUSED)
        assert note.code is Reason.TLSA_ROLLOVER
        assert note.message.startswith(
            "current + next: 3 1 1 bbbbbbbbbbbbbbbb… is there since 2026"
        )
    assert host.look(OLD_UNUSED, NEW) == []
    assert host.look(NEW) == []


def test_the_issuer_beside_the_current_key_is_named() -> None:
    """Case 110: current + issuer, both of which match."""
    (note,) = Host().notes(OLD, record("cc", True, usage=2))
    assert (note.code, note.message.partition(":")[0]) == (
        Reason.TLSA_ROLLOVER,
        "current + issuer",
    )


def test_a_key_that_is_used_before_every_cache_has_its_record_is_warned_of() -> None:
    """Case 111: both changed at once, or the record came less than two TTLs before."""
    host = Host()
    host.look(OLD)
    (note,) = host.notes(NEW)
    assert (note.code, note.where) == (Reason.TLSA_PUBLISHED_LATE, HOST)
    assert note.message == (
        "3 1 1 bbbbbbbbbbbbbbbb… was not there at 2026-11-24 12:00 UTC and is needed since "
        "2026-11-24 13:00 UTC at the latest; caches may hold the records of before for 3600 "
        "seconds or more"
    )
    assert host.look(NEW) == []
    early = Host(ttl=2 * HOUR)
    early.look(OLD)
    early.look(OLD, NEW_UNUSED)
    early.look(OLD, NEW_UNUSED)
    assert early.look(OLD_UNUSED, NEW) == [Reason.TLSA_PUBLISHED_LATE]


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A record that was there at the first look, a TTL nobody told, a host that was not seen."""
    host = Host()
    host.look(OLD, NEW_UNUSED)
    assert host.look(OLD_UNUSED, NEW) == []
    untold = Host(ttl=None)
    untold.look(OLD)
    assert untold.look(NEW) == []
    unseen = Host()
    unseen.look(OLD)
    assert unseen.look(record("aa", None), record("bb", None)) == []
    assert unseen.look(NEW) == []


def test_a_look_that_could_not_read_the_records_shows_no_absence() -> None:
    """The host failed for want of an answer: nobody knows whether the new record was there."""
    host = Host(ttl=HOUR)
    host.look(OLD)
    host.now += 5 * HOUR
    host.last = host.now  # the state moved, the memory did not
    assert host.look(OLD, NEW_UNUSED, later=HOUR / 4) == [Reason.TLSA_ROLLOVER]
    assert host.look(OLD_UNUSED, NEW, later=HOUR) == []


def test_who_repairs_a_host_that_failed_is_not_blamed() -> None:
    """Nobody could deliver before; the record comes late, and the change of keys came long ago."""
    host = Host()
    host.look(OLD)
    assert host.look(OLD_UNUSED) == []
    assert host.look(OLD_UNUSED, NEW) == []


def test_a_second_key_in_use_is_no_switch() -> None:
    """Records for the RSA and the ECDSA certificate of one server."""
    host = Host()
    host.look(OLD)
    assert host.look(OLD, NEW) == []


def test_a_record_that_matched_and_has_not_for_two_weeks_is_stale() -> None:
    """Case 112: not one that never matched, nor one beside which nothing matches."""
    host = Host()
    host.look(OLD, NEW_UNUSED)
    host.look(OLD_UNUSED, NEW)
    assert host.look(OLD_UNUSED, NEW, later=13 * DAY) == []
    (note,) = host.notes(OLD_UNUSED, NEW, later=2 * DAY)
    assert note.code is Reason.TLSA_STALE_RECORD
    assert note.message == "3 1 1 aaaaaaaaaaaaaaaa… last matched at 2026-11-24 12:00 UTC"
    assert host.look(OLD_UNUSED, NEW_UNUSED) == []
    assert host.look(NEW) == []


def test_the_memory_is_bounded_and_forgives_what_it_cannot_read() -> None:
    """It lies in the state file, which may come from another version."""
    host = Host()
    host.look(*(record(f"{number:02x}", False) for number in range(100)))
    assert len(host.memory) == MAX_RECORDS
    known = read_memory(host.memory)
    assert tuple(one.text() for one in known.values()) == host.memory
    strange = ("", "3.1.1.aa", "k - - -", "k x - -", "k 2026-11-24T12:00:00+00:00 - - more")
    assert read_memory(strange) == {}
    assert host.look(record("aa", True, usable=False)) == []
    assert host.memory == ()


def hosted(ledger: Ledger, when: datetime, *records: TlsaJudgement, secure: bool = True) -> Check:
    """A check of a domain whose host has these records; digested and accepted."""
    check = at(one_host_check("a.example", HOST, sample.AUTHENTICATED), when)
    facts = sample.facts(HOST, records)
    route = check.observation.route
    if not secure:
        route = replace(route, mx=replace(route.mx, status=DnssecStatus.INSECURE))
    check = replace(
        check,
        judgement=replace(check.judgement, hosts=(facts,)),
        observation=replace(check.observation, route=route),
    )
    policy = MonitorPolicy(run_id="run")
    result = ledger.digest(Target(domain=Name("a.example")), check, policy)
    ledger.accept(check, result, now=when, planned=None, policy=policy)
    return annotated(check, result.notes)


def test_the_service_remembers_in_the_state_of_the_host_and_tells_among_the_findings() -> None:
    """Once for each set of probes, and not from what an unsigned domain sees."""
    ledger = Ledger()
    assert hosted(ledger, NOW, OLD).judgement.findings == ()
    assert len(ledger.states[MX].tlsa) == 1
    (found,) = hosted(ledger, NOW + HOUR, OLD, NEW_UNUSED).judgement.findings
    assert found.code is Reason.TLSA_ROLLOVER
    assert hosted(ledger, NOW + HOUR, OLD, NEW_UNUSED).judgement.findings == ()
    assert len(ledger.states[MX].tlsa) == 2
    hosted(ledger, NOW + 2 * HOUR, NEW, secure=False)
    assert len(ledger.states[MX].tlsa) == 2
    assert ledger.states[MX].profile is EXO
