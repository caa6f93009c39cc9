"""Folding: one check after another becomes states and transitions."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sample_checks
from some_looks import START, look

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.observation import DaneApplicability
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
    Severity,
)
from scanner.model.zones import ZoneNote
from scanner.transition.fold import event_id_for, fold, fold_check
from scanner.transition.looks import MAX_EVIDENCE, MAX_EVIDENCE_CHARACTERS

QUEUE_LIFE = timedelta(hours=24)
EXO = Profile.EXCHANGE_ONLINE


def step(
    state: State | None,
    status: str,
    reason: str | None = None,
    *,
    hours: float,
    entity_type: EntityType = EntityType.DOMAIN,
    code: str | None = None,
    final_code: str | None = None,
) -> tuple[State | None, Transition | None]:
    """Fold one status, ``hours`` after the start."""
    seen = look(
        status,
        reason,
        at=START + timedelta(hours=hours),
        entity_type=entity_type,
        code=code,
        final_code=final_code,
    )
    return fold(state, seen, profile=EXO, queue_life=QUEUE_LIFE, run_id="run")


def known(status: str, reason: str | None = None, **rest: EntityType) -> State:
    """Return the state after one check at the start."""
    state, _ = step(None, status, reason, hours=0, **rest)
    assert state is not None
    return state


def test_first_sight_is_a_transition_from_nothing() -> None:
    """So that every history has a beginning."""
    state, transition = step(None, "protected", hours=0)
    assert transition is not None
    assert (transition.from_status, transition.from_phase, transition.since) == (None, None, None)
    assert transition.to_status == "protected"
    assert transition.to_phase is DeliveryPhase.DELIVERING
    assert state == State(
        entity_type=EntityType.DOMAIN,
        entity="example.org",
        profile=EXO,
        status="protected",
        reason=None,
        phase=DeliveryPhase.DELIVERING,
        since=START,
        last_seen_at=START,
    )


def test_the_same_status_only_moves_last_seen() -> None:
    """Nothing changed, so nothing is told."""
    before = known("protected")
    state, transition = step(before, "protected", hours=1)
    assert transition is None
    assert state == replace(before, last_seen_at=START + timedelta(hours=1))


def test_an_inconclusive_check_changes_nothing_at_all() -> None:
    """It is no evidence, in either direction."""
    before = known("protected")
    assert step(before, "inconclusive", "resolver-down", hours=1) == (before, None)
    assert step(None, "inconclusive", "resolver-down", hours=1) == (None, None)


def test_a_check_that_is_not_later_is_not_folded_again() -> None:
    """A replay, or a host that two domains share."""
    before = known("protected")
    assert step(before, "blocked", "tlsa-mismatch", hours=0) == (before, None)
    assert step(before, "blocked", "tlsa-mismatch", hours=-1) == (before, None)


def test_failing_starts_the_queue_clock() -> None:
    """bounces_from is the first failure plus the queue life (decision 6)."""
    before = known("protected")
    state, transition = step(before, "blocked", "tlsa-mismatch", hours=1, code="4.7.323")
    assert state is not None
    assert transition is not None
    failed_at = START + timedelta(hours=1)
    assert (state.phase, state.failing_since) == (DeliveryPhase.DEFERRING, failed_at)
    assert transition.bounces_from == failed_at + QUEUE_LIFE
    assert (transition.failing_since, transition.since) == (failed_at, START)
    assert (transition.from_phase, transition.to_phase) == (
        DeliveryPhase.DELIVERING,
        DeliveryPhase.DEFERRING,
    )
    assert transition.code == "4.7.323"


def test_a_new_reason_is_a_transition_and_keeps_the_clock() -> None:
    """Mail queued at the first failure still waits."""
    before = known("blocked", "tlsa-mismatch")
    state, transition = step(before, "blocked", "certificate-expired", hours=2)
    assert state is not None
    assert transition is not None
    assert (transition.from_reason, transition.to_reason) == (
        "tlsa-mismatch",
        "certificate-expired",
    )
    assert state.failing_since == START
    assert state.since == START + timedelta(hours=2)
    assert transition.bounces_from == START + QUEUE_LIFE


def test_deferred_and_blocked_share_one_clock() -> None:
    """A failure that becomes another verdict goes on."""
    before = known("deferred", "tlsa-lookup-failed")
    state, _ = step(before, "blocked", "tlsa-dnssec-bogus", hours=3)
    assert state is not None
    assert state.failing_since == START


def test_mail_bounces_when_the_queue_life_is_over() -> None:
    """Scenario T50: the same failure at 24:00 is a transition of phase, with the final code."""
    before = known("blocked", "starttls-not-offered")
    waiting, none = step(before, "blocked", "starttls-not-offered", hours=23.99)
    assert none is None
    state, transition = step(
        waiting,
        "blocked",
        "starttls-not-offered",
        hours=24,
        code="4.7.321",
        final_code="5.7.321",
    )
    assert state is not None
    assert transition is not None
    assert state.phase is DeliveryPhase.BOUNCING
    assert (transition.from_phase, transition.to_phase) == (
        DeliveryPhase.DEFERRING,
        DeliveryPhase.BOUNCING,
    )
    assert transition.code == "5.7.321"
    assert transition.bounces_from == START + QUEUE_LIFE
    again, silent = step(state, "blocked", "starttls-not-offered", hours=25)
    assert silent is None
    assert again is not None
    assert again.since == START + QUEUE_LIFE


def test_bouncing_without_a_final_code_shows_the_one_that_is_known() -> None:
    """The rfc7672 profile has no Exchange Online codes."""
    before = known("blocked", "tlsa-mismatch")
    _, transition = step(before, "blocked", "tlsa-mismatch", hours=30, code="x")
    assert transition is not None
    assert transition.code == "x"


def test_a_confirmed_failure_began_at_the_first_look() -> None:
    """State, queue clock and bounce time start where trouble was first seen."""
    first = START + timedelta(hours=1)
    state, transition = fold(
        known("protected"),
        look("blocked", "tlsa-mismatch", at=START + timedelta(hours=2)),
        profile=EXO,
        queue_life=QUEUE_LIFE,
        run_id="run",
        began_at=first,
    )
    assert state is not None
    assert transition is not None
    assert (state.since, state.failing_since) == (first, first)
    assert (transition.began_at, transition.failing_since) == (first, first)
    assert transition.bounces_from == first + QUEUE_LIFE
    assert transition.observed_at == START + timedelta(hours=2)


def test_recovery_stops_the_clock() -> None:
    """The next failure starts anew."""
    failing = known("blocked", "tlsa-mismatch")
    healed, transition = step(failing, "protected", hours=3)
    assert healed is not None
    assert transition is not None
    assert (healed.failing_since, transition.bounces_from) == (None, None)
    assert transition.to_phase is DeliveryPhase.DELIVERING
    failing_again, _ = step(healed, "blocked", "tlsa-mismatch", hours=5)
    assert failing_again is not None
    assert failing_again.failing_since == START + timedelta(hours=5)


def test_no_mail_bounces_at_once_and_has_no_clock() -> None:
    """Null MX and missing domains are answered with 5.x.y immediately; no mail waits."""
    state, transition = step(None, "no-mail", "null-mx", hours=0, code="5.1.10")
    assert state is not None
    assert transition is not None
    assert (state.phase, state.failing_since) == (DeliveryPhase.BOUNCING, None)
    assert (transition.bounces_from, transition.code) == (None, "5.1.10")
    failing, _ = step(state, "blocked", "tlsa-mismatch", hours=1)
    assert failing is not None
    assert failing.failing_since == START + timedelta(hours=1)


def test_delivered_with_less_is_delivering() -> None:
    """Partial, degraded, encrypted and opportunistic mail is delivered."""
    for verdict in ("partial", "degraded", "encrypted", "opportunistic"):
        assert known(verdict).phase is DeliveryPhase.DELIVERING


def test_a_host_defers_and_never_bounces() -> None:
    """Mail waits for the domain, not for one of its hosts."""
    before = known("failed", "tlsa-mismatch", entity_type=EntityType.MX)
    assert before.phase is DeliveryPhase.DEFERRING
    after, transition = step(before, "failed", "tlsa-mismatch", hours=48, entity_type=EntityType.MX)
    assert transition is None
    assert after is not None
    assert (after.phase, after.failing_since) == (DeliveryPhase.DEFERRING, START)
    _, changed = step(before, "unreachable", None, hours=1, entity_type=EntityType.MX)
    assert changed is not None
    assert changed.bounces_from is None


def test_a_zone_has_no_phase_and_remembers_since_when_it_is_bogus() -> None:
    """Delivery is a matter of domains."""
    before = known(DnssecStatus.SECURE.value, entity_type=EntityType.ZONE)
    after, transition = step(before, DnssecStatus.BOGUS.value, hours=1, entity_type=EntityType.ZONE)
    assert after is not None
    assert transition is not None
    assert (before.phase, after.phase) == (DeliveryPhase.UNKNOWN, DeliveryPhase.UNKNOWN)
    assert after.failing_since == START + timedelta(hours=1)
    assert transition.bounces_from is None


def folded(
    check: Check, states: dict[tuple[EntityType, str], State] | None = None
) -> tuple[dict[tuple[EntityType, str], State], tuple[Transition, ...]]:
    """Fold a whole check under exchange-online."""
    return fold_check(
        states or {},
        check,
        profile=EXO,
        queue_life=QUEUE_LIFE,
        run_id="run",
        labels=(("team", "sales"),),
    )


def later(check: Check, hours: float, domain: str | None = None) -> Check:
    """Return ``check`` as of ``hours`` later, its probes too."""
    moved = timedelta(hours=hours)
    observation = check.observation
    hosts = tuple(
        replace(
            host,
            addresses=tuple(
                replace(one, observed_at=one.observed_at + moved) for one in host.addresses
            ),
        )
        for host in observation.hosts
    )
    return replace(
        check,
        observation=replace(
            observation,
            observed_at=observation.observed_at + moved,
            hosts=hosts,
            domain=domain or observation.domain,  # type: ignore[arg-type]
        ),
    )


def test_a_check_folds_the_domain_first_and_then_its_hosts() -> None:
    """Labels go with the domain; hosts belong to many."""
    moved, transitions = folded(sample_checks.protected())
    assert [(one.entity_type, one.entity, one.to_status) for one in transitions] == [
        (EntityType.DOMAIN, "example.org", "protected"),
        (EntityType.MX, "mx1.example.org", "authenticated"),
        (EntityType.MX, "mx2.example.org", "authenticated"),
    ]
    assert transitions[0].labels == (("team", "sales"),)
    assert transitions[1].labels == ()
    assert set(moved) == {(one.entity_type, one.entity) for one in transitions}


def test_a_check_reports_the_codes_and_evidence_of_the_failure() -> None:
    """What an operator asks first: which host, which reason, which code."""
    states, _ = folded(sample_checks.protected())
    _, transitions = folded(later(sample_checks.mismatch(), 1), states)
    domain, host = transitions
    assert (domain.to_status, domain.to_reason, domain.code) == (
        "blocked",
        "tlsa-mismatch",
        "4.7.323",
    )
    assert ("host mx1.example.org", "failed tlsa-mismatch 4.7.323") in domain.evidence
    assert (host.from_status, host.to_status) == ("authenticated", "failed")
    assert ("address", "192.0.2.25") in host.evidence
    assert any(key == "certificate_sha256" for key, _ in host.evidence)


def test_a_shared_host_is_folded_once_for_each_set_of_probes() -> None:
    """A second domain that used the same probes tells nothing new about the host."""
    check = sample_checks.protected()
    states, _ = folded(check)
    moved, transitions = folded(
        replace(check, observation=replace(check.observation, domain="other.example")),  # type: ignore[arg-type]
        states,
    )
    assert [one.entity for one in transitions] == ["other.example"]
    assert set(moved) == {(EntityType.DOMAIN, "other.example")}


def test_an_unsigned_domain_says_nothing_about_a_host_with_tlsa_records() -> None:
    """Else the host would change with the order in which its domains are checked."""
    check = sample_checks.opportunistic()
    host = check.observation.hosts[0]
    with_tlsa = replace(
        host,
        route=replace(host.route, applicability=DaneApplicability.TLSA_PRESENT),
    )
    changed = replace(check, observation=replace(check.observation, hosts=(with_tlsa,)))
    assert [one.entity_type for one in folded(changed)[1]] == [EntityType.DOMAIN]
    assert [one.entity_type for one in folded(check)[1]] == [EntityType.DOMAIN, EntityType.MX]


@pytest.mark.parametrize(
    ("applicability", "reason"),
    [
        (DaneApplicability.TLSA_ABSENT, Reason.TLSA_ABSENT),
        (DaneApplicability.NOT_APPLICABLE, Reason.HOST_UNSIGNED),
    ],
)
def test_signed_and_unsigned_domains_agree_about_a_host_without_dane(
    applicability: DaneApplicability, reason: Reason
) -> None:
    """The reason is the host's own, so checking both in turn changes nothing."""
    base = sample_checks.opportunistic()
    observed = base.observation.hosts[0]
    route = replace(observed.route, applicability=applicability)
    unsigned = replace(
        base,
        observation=replace(base.observation, hosts=(replace(observed, route=route),)),
    )
    host = observed.route.host
    verdicts = sample_checks.both(
        DomainVerdict.OPPORTUNISTIC,
        [
            sample_checks.host_verdict(
                host, Judged(outcome=HostOutcome.OPPORTUNISTIC_TLS, reason=reason)
            )
        ],
    )
    mx = replace(base.observation.route.mx, status=DnssecStatus.SECURE)
    signed = replace(
        later(unsigned, 1, "signed.example"),
        judgement=replace(base.judgement, verdicts=verdicts),
    )
    signed = replace(
        signed,
        observation=replace(signed.observation, route=replace(signed.observation.route, mx=mx)),
    )
    states, first = folded(unsigned)
    assert [(one.entity, one.to_reason) for one in first[1:]] == [(host, reason)]
    moved, second = folded(signed, states)
    assert [one.entity for one in second] == ["signed.example"]
    states.update(moved)
    assert folded(later(unsigned, 2), states)[1] == ()


def test_an_inconclusive_check_moves_no_state() -> None:
    """Our own blindness is never held against anybody."""
    assert folded(sample_checks.inconclusive()) == ({}, ())


def test_evidence_is_bounded() -> None:
    """A domain with many hosts, and a peer with much to say, cannot grow a transition."""
    check = sample_checks.protected()
    verdict = check.judgement.of(EXO)
    many = tuple(replace(verdict.hosts[0], host=f"mx{n}.example.org") for n in range(100))  # type: ignore[arg-type]
    long_mx = replace(check.observation.route.mx, detail="x" * 9_000)
    big = replace(
        check,
        observation=replace(check.observation, route=replace(check.observation.route, mx=long_mx)),
        judgement=replace(check.judgement, verdicts=(replace(verdict, hosts=many),)),
    )
    evidence = folded(big)[1][0].evidence
    assert len(evidence) == MAX_EVIDENCE
    assert max(len(value) for _, value in evidence) == MAX_EVIDENCE_CHARACTERS


def test_an_event_id_is_a_uuid_of_version_7_with_the_time_of_the_check() -> None:
    """RFC 9562 §5.7; the same event has the same identifier, another one another."""
    key = (EntityType.DOMAIN, "example.org")
    text = event_id_for("run", START, key, EXO, "blocked", "tlsa-mismatch")
    assert UUID(text).version == 7
    assert UUID(text).variant == "specified in RFC 4122"
    assert UUID(text).int >> 80 == int(START.timestamp() * 1000)
    assert text == event_id_for("run", START, key, EXO, "blocked", "tlsa-mismatch")
    others = {
        event_id_for("run2", START, key, EXO, "blocked", "tlsa-mismatch"),
        event_id_for("run", START, key, EXO, "blocked", None),
        event_id_for("run", START, key, Profile.RFC7672, "blocked", "tlsa-mismatch"),
        event_id_for("run", START, (EntityType.MX, "example.org"), EXO, "blocked", None),
        event_id_for("run", START + timedelta(microseconds=1), key, EXO, "blocked", None),
    }
    assert len(others | {text}) == 6


def test_all_public_statuses_have_a_phase() -> None:
    """Every member of the closed sets is either inconclusive or gets a state."""
    for verdict in DomainVerdict:
        state, _ = step(None, verdict.value, hours=0)
        assert (state is None) == (verdict is DomainVerdict.INCONCLUSIVE)
    for outcome in HostOutcome:
        state, _ = step(None, outcome.value, hours=0, entity_type=EntityType.MX)
        assert (state is None) == (outcome is HostOutcome.INCONCLUSIVE)


class TestZones:
    """A check folds the zones it went through, after the domain and its hosts."""

    @staticmethod
    def folded(
        check: Check, states: dict[tuple[EntityType, str], State] | None = None
    ) -> tuple[dict[tuple[EntityType, str], State], list[Transition]]:
        moved, transitions = fold_check(
            states or {}, check, profile=EXO, queue_life=QUEUE_LIFE, run_id="run"
        )
        return moved, [one for one in transitions if one.entity_type is EntityType.ZONE]

    def test_each_zone_has_a_state_and_its_first_sight_is_a_transition(self) -> None:
        """From the top down, without phase, code or the operator's labels."""
        moved, transitions = self.folded(sample_checks.zoned())
        assert [one.entity for one in transitions] == [".", "org", "example.org"]
        assert {one.to_status for one in transitions} == {"secure"}
        assert {one.to_phase for one in transitions} == {DeliveryPhase.UNKNOWN}
        assert {(one.code, one.labels) for one in transitions} == {(None, ())}
        assert moved[EntityType.ZONE, "org"].status == "secure"

    def test_a_zone_that_breaks_tells_why(self) -> None:
        """Code, keys and dates are evidence; so is the domain that met it."""
        first = sample_checks.zoned()
        states, _ = self.folded(first)
        note = ZoneNote(
            reason=DnssecReason.DS_NO_KEY, severity=Severity.ERROR, message="no such key."
        )
        broken = sample_checks.zone(
            "example.org",
            DnssecStatus.BOGUS,
            reason=DnssecReason.DS_NO_KEY,
            observed_at=sample_checks.NOW + timedelta(hours=1),
            notes=[note],
        )
        _, (transition,) = self.folded(sample_checks.zoned(first, broken), states)
        assert (transition.from_status, transition.to_status) == ("secure", "bogus")
        assert (transition.from_reason, transition.to_reason) == (None, "ds-no-key")
        assert transition.since == sample_checks.NOW
        assert transition.failing_since == broken.observed_at
        assert transition.bounces_from is None
        evidence = dict(transition.evidence)
        assert evidence["domain"] == "example.org"
        assert evidence["ede"] == "9"
        assert evidence["ds"] == "4711 13 2"
        assert evidence["dnskey"] == "4711 13 257"
        assert evidence["signature_expiration"] == "2026-12-03T12:00:00+00:00"
        assert evidence["ds-no-key"] == "no such key."

    def test_a_zone_that_many_domains_share_is_folded_once_for_each_look(self) -> None:
        """The same observation again changes nothing."""
        states, _ = self.folded(sample_checks.zoned())
        moved, transitions = self.folded(sample_checks.zoned(), states)
        assert (moved, transitions) == ({}, [])

    def test_what_could_not_be_determined_changes_nothing(self) -> None:
        """The zone is as it was known."""
        states, _ = self.folded(sample_checks.zoned())
        unclear = sample_checks.zone(
            "org",
            DnssecStatus.INDETERMINATE,
            reason=DnssecReason.UPSTREAM_TIMEOUT,
            observed_at=sample_checks.NOW + timedelta(hours=1),
        )
        moved, transitions = self.folded(sample_checks.zoned(None, unclear), states)
        assert (EntityType.ZONE, "org") not in moved
        assert transitions == []
