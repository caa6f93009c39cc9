"""Result metrics: what is there, what is absent, and that the text is well-formed."""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sample_checks
from prometheus_client.parser import text_string_to_metric_families

from exporters import prometheus
from exporters.prometheus import ResultMetrics, escape_label, render_results, write_textfile
from exporters.schema import RESULT_METRICS
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import DaneApplicability
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, DnssecStatus, EntityType, Profile, RRType

ALL = [make() for make in sample_checks.ALL.values()]
Labels = Mapping[str, str]


def series(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse the text as a Prometheus server would, without the prefix; refuse duplicates."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name.removeprefix("danewatch_"), frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float | None:
    """Return one sample, or None if it is absent."""
    return series(text).get((name, frozenset(labels.items())))


def state(
    name: str,
    status: str,
    *,
    phase: DeliveryPhase = DeliveryPhase.DELIVERING,
    failing_since: datetime | None = None,
    entity_type: EntityType = EntityType.DOMAIN,
) -> dict[tuple[EntityType, str], State]:
    """Return the states of one entity, which began an hour ago."""
    since = sample_checks.NOW - timedelta(hours=1)
    one = State(
        entity_type=entity_type,
        entity=name,
        profile=Profile.EXCHANGE_ONLINE,
        status=status,
        reason=None,
        phase=phase,
        since=since,
        last_seen_at=since,
        failing_since=failing_since,
    )
    return {(entity_type, name): one}


def with_domain(check: Check, domain: str) -> Check:
    """Return the same check of another domain."""
    return replace(check, observation=replace(check.observation, domain=domain))  # type: ignore[arg-type]


def with_host(check: Check, **changes: Any) -> Check:
    """Return ``check`` with its first host's route changed."""
    first, *rest = check.observation.hosts
    changed = replace(first, route=replace(first.route, **changes))
    return replace(check, observation=replace(check.observation, hosts=(changed, *rest)))


def test_every_family_has_help_and_type_from_its_declaration() -> None:
    """And no family is there that is not declared."""
    text = render_results(ALL, states=state("example.org", "blocked"))
    declared = {metric.full_name: metric for metric in RESULT_METRICS}
    for family in text_string_to_metric_families(text):
        assert family.documentation == declared[family.name].sentence
        assert family.type == "gauge"


def test_every_declared_family_can_appear() -> None:
    """A metric that is documented and never exposed would be a broken promise."""
    states = state(
        "example.org",
        "blocked",
        phase=DeliveryPhase.DEFERRING,
        failing_since=sample_checks.NOW,
    )
    states |= state("mx1.example.org", "failed", entity_type=EntityType.MX)
    states |= state("example.org", "secure", entity_type=EntityType.ZONE)
    zoned = sample_checks.zoned()
    ipv4 = sample_checks.lookup("mx1.example.org", RRType.A)
    signed = with_host(zoned, ipv4=replace(ipv4, dnssec_zone=Name("example.org")))
    text = render_results([*ALL, signed], states=states)
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names == {metric.full_name for metric in RESULT_METRICS}


def test_a_protected_domain_is_up_and_not_blocked() -> None:
    """The gauges people alert on."""
    text = render_results([sample_checks.protected()])
    assert value(text, "domain_up", domain="example.org") == 1
    assert value(text, "domain_blocked", domain="example.org") == 0
    assert value(text, "domain_verdict", domain="example.org", verdict="protected") == 1
    assert value(text, "domain_mx_hosts", domain="example.org") == 2
    assert value(text, "domain_mx_hosts_authenticated", domain="example.org") == 2
    assert value(text, "domain_mx_preference", domain="example.org", mx="mx2.example.org") == 20
    checked = value(text, "domain_last_check_timestamp_seconds", domain="example.org")
    assert checked == sample_checks.NOW.timestamp()


def test_only_the_verdict_that_holds_is_there() -> None:
    """A series for each verdict would multiply the page by nine."""
    text = render_results([sample_checks.protected()])
    assert sum(name == "domain_verdict" for name, _ in series(text)) == 1


@pytest.mark.parametrize(
    ("check", "up", "blocked"),
    [
        (sample_checks.mismatch(), 0, 1),
        (sample_checks.no_mail(), 0, 0),
        (sample_checks.degraded(), 1, 0),
        (sample_checks.opportunistic(), 1, 0),
    ],
)
def test_up_and_blocked_follow_the_verdict(check: Check, up: int, blocked: int) -> None:
    """Mail that is delivered with less is delivered."""
    text = render_results([check])
    assert value(text, "domain_up", domain=check.domain) == up
    assert value(text, "domain_blocked", domain=check.domain) == blocked


def test_an_inconclusive_check_keeps_what_was_known() -> None:
    """And says so in the verdict."""
    check = sample_checks.inconclusive()
    text = render_results([check], states=state("unknown.example", "blocked"))
    assert value(text, "domain_up", domain="unknown.example") == 0
    assert value(text, "domain_blocked", domain="unknown.example") == 1
    assert value(text, "domain_verdict", domain="unknown.example", verdict="inconclusive") == 1


def test_an_inconclusive_first_check_claims_nothing() -> None:
    """No sentinel: the gauges are absent, and so are host counts that were not measured."""
    text = render_results([sample_checks.inconclusive()])
    names = {name for name, _ in series(text)}
    assert names == {
        "domain_verdict",
        "domain_last_check_timestamp_seconds",
        "domain_info",
    }


def test_the_bounce_time_is_there_only_while_deferring() -> None:
    """First failure plus queue life; gone once mail bounces or is delivered."""
    failed_at = sample_checks.NOW - timedelta(hours=2)

    def bounces_from(phase: DeliveryPhase, failing_since: datetime | None) -> float | None:
        states = state("example.org", "blocked", phase=phase, failing_since=failing_since)
        text = render_results(
            [sample_checks.mismatch()], states=states, queue_life=timedelta(hours=24)
        )
        return value(text, "domain_bounces_from_timestamp_seconds", domain="example.org")

    expected = (failed_at + timedelta(hours=24)).timestamp()
    assert bounces_from(DeliveryPhase.DEFERRING, failed_at) == expected
    assert bounces_from(DeliveryPhase.BOUNCING, failed_at) is None
    assert bounces_from(DeliveryPhase.DELIVERING, None) is None
    assert bounces_from(DeliveryPhase.DEFERRING, None) is None


def test_the_last_transition_is_when_the_state_began() -> None:
    """Unknown without states."""
    name = "domain_last_transition_timestamp_seconds"
    check = sample_checks.protected()
    known = render_results([check], states=state("example.org", "protected"))
    assert value(known, name, domain="example.org") == sample_checks.NOW.timestamp() - 3600
    assert value(render_results([check]), name, domain="example.org") is None


def test_a_host_shows_records_addresses_and_certificate() -> None:
    """The certificate's dates are there although no record matches it."""
    text = render_results([sample_checks.mismatch()])
    host = {"mx": "mx1.example.org"}
    assert value(text, "mx_up", **host) == 0
    assert value(text, "mx_outcome", **host, outcome="failed") == 1
    assert value(text, "mx_tlsa_records", **host) == 1
    assert value(text, "mx_tlsa_usable_records", **host) == 1
    assert value(text, "mx_tlsa_unmatched_records", **host) == 1
    assert value(text, "mx_addresses", **host) == 1
    assert value(text, "mx_addresses_authenticated", **host) == 0
    ends = value(text, "mx_certificate_not_after_timestamp_seconds", **host)
    assert ends == (sample_checks.NOW + timedelta(days=305)).timestamp()
    starts = value(text, "mx_certificate_not_before_timestamp_seconds", **host)
    assert starts == (sample_checks.NOW - timedelta(days=60)).timestamp()


def test_an_expired_certificate_still_has_its_dates() -> None:
    """The most wanted moment to see them."""
    text = render_results([sample_checks.expired()])
    ends = value(text, "mx_certificate_not_after_timestamp_seconds", mx="mx1.expired.example")
    assert ends == (sample_checks.NOW - timedelta(days=1)).timestamp()


def test_of_several_addresses_the_certificate_that_ends_first_counts() -> None:
    """One stale address is enough to fail."""
    check = sample_checks.protected()
    facts = check.judgement.hosts[0]
    sooner = sample_checks.certificate("mx1", ends=timedelta(days=3))
    changed = replace(
        facts, addresses=(facts.addresses[0], replace(facts.addresses[1], chain=(sooner,)))
    )
    text = render_results([replace(check, judgement=replace(check.judgement, hosts=(changed,)))])
    ends = value(text, "mx_certificate_not_after_timestamp_seconds", mx="mx1.example.org")
    assert ends == (sample_checks.NOW + timedelta(days=3)).timestamp()


def test_both_dates_are_of_the_certificate_that_ends_first() -> None:
    """The start of a renewed one beside it would make the old one look young."""
    check = sample_checks.protected()
    facts = check.judgement.hosts[0]
    old = sample_checks.certificate("mx1", starts=timedelta(-87), ends=timedelta(days=3))
    new = sample_checks.certificate("mx1", starts=timedelta(-1), ends=timedelta(days=89))
    first, second = (
        replace(one, chain=(leaf,)) for one, leaf in zip(facts.addresses, (new, old), strict=True)
    )
    changed = replace(facts, addresses=(first, second))
    text = render_results([replace(check, judgement=replace(check.judgement, hosts=(changed,)))])
    starts = value(text, "mx_certificate_not_before_timestamp_seconds", mx="mx1.example.org")
    assert starts == (sample_checks.NOW - timedelta(days=87)).timestamp()


def test_a_domain_that_takes_no_mail_has_no_cause_of_failure() -> None:
    """Nothing waits in a queue: what is sent comes back at once, as its owner wants."""
    text = render_results([sample_checks.no_mail()])
    assert "danewatch_domain_cause" not in text
    assert "danewatch_domain_cause" in render_results([sample_checks.mismatch()])


@pytest.mark.parametrize("flapping", [True, False])
def test_a_flapping_host_and_zone_are_told_as_well(flapping: bool) -> None:
    """One host that flaps explains all domains that flap with it."""
    states = state("mx1.example.org", "authenticated", entity_type=EntityType.MX)
    states |= state("example.org", "secure", entity_type=EntityType.ZONE)
    states = {key: replace(one, flapping=flapping) for key, one in states.items()}
    text = render_results([sample_checks.zoned()], states=states)
    assert value(text, "mx_flapping", mx="mx1.example.org") == int(flapping)
    assert value(text, "zone_flapping", dns_zone="example.org") == int(flapping)


def test_of_two_certificates_at_one_address_the_one_that_ends_first_counts() -> None:
    """Some senders are shown the one, some the other (row C30)."""
    text = render_results([sample_checks.two_certificates()])
    ends = value(text, "mx_certificate_not_after_timestamp_seconds", mx="mx1.example.org")
    assert ends == (sample_checks.NOW + timedelta(days=20)).timestamp()


def test_without_a_connection_nothing_is_said_about_matching() -> None:
    """Unmatched would be a claim about a certificate nobody saw."""
    text = render_results([sample_checks.degraded()])
    assert value(text, "mx_tlsa_usable_records", mx="mx1.mixed.example") == 1
    assert value(text, "mx_tlsa_records", mx="mx1.mixed.example") == 2
    assert value(text, "mx_tlsa_unmatched_records", mx="mx1.mixed.example") is None
    assert value(text, "mx_certificate_not_after_timestamp_seconds", mx="mx1.mixed.example") is None


def test_a_host_without_tlsa_records_has_none_and_one_not_asked_has_no_number() -> None:
    """Securely absent is zero; not asked is absent."""
    text = render_results([sample_checks.degraded(), sample_checks.opportunistic()])
    assert value(text, "mx_tlsa_records", mx="backup.provider.example") == 0
    assert value(text, "mx_tlsa_records", mx="mail.plain.example") is None
    assert value(text, "mx_certificate_expiry_enforced", mx="mail.plain.example") == 0


def test_a_failed_lookup_leaves_records_and_addresses_absent() -> None:
    """Neither was measured."""
    check = sample_checks.mismatch()
    tlsa = render_results([with_host(check, applicability=DaneApplicability.TLSA_ERROR)])
    assert value(tlsa, "mx_tlsa_records", mx="mx1.example.org") is None
    assert value(tlsa, "mx_certificate_expiry_enforced", mx="mx1.example.org") is None
    address = render_results([with_host(check, applicability=DaneApplicability.ADDRESS_ERROR)])
    assert value(address, "mx_addresses", mx="mx1.example.org") is None


@pytest.mark.parametrize(
    ("profile", "records", "enforced"),
    [
        (Profile.EXCHANGE_ONLINE, [(3, True)], 1),
        (Profile.RFC7672, [(3, True)], 0),
        (Profile.RFC7672, [(2, True)], 1),
        (Profile.RFC7672, [(2, True), (3, True)], 0),
        (Profile.RFC7672, [(2, True), (3, False)], 1),
        (Profile.RFC7672, [(2, False)], 1),
        (Profile.EXCHANGE_ONLINE, [], 0),
        (Profile.RFC7672, [], 0),
    ],
)
def test_expiry_is_enforced_where_it_breaks_delivery(
    profile: Profile, records: list[tuple[int, bool]], enforced: int
) -> None:
    """Cases C16 and C22: Exchange Online always, RFC 7672 for DANE-TA only."""
    check = sample_checks.protected()
    tlsa = tuple(
        sample_checks.judged_record(sample_checks.tlsa(usage), matched=matched)
        for usage, matched in records
    )
    facts = replace(check.judgement.hosts[0], tlsa=tlsa)
    changed = replace(check, judgement=replace(check.judgement, hosts=(facts,)))
    text = render_results([changed], profile=profile)
    assert value(text, "mx_certificate_expiry_enforced", mx="mx1.example.org") == enforced


def test_an_inconclusive_host_keeps_what_was_known() -> None:
    """As a domain does."""
    check = sample_checks.protected()
    verdict = check.judgement.of(Profile.EXCHANGE_ONLINE)
    unknown = replace(
        verdict.hosts[0],
        judged=replace(verdict.hosts[0].judged, outcome=sample_checks.HostOutcome.INCONCLUSIVE),
    )
    changed = replace(
        check,
        judgement=replace(check.judgement, verdicts=(replace(verdict, hosts=(unknown,)),)),
    )
    states = state("mx1.example.org", "failed", entity_type=EntityType.MX)
    assert value(render_results([changed], states=states), "mx_up", mx="mx1.example.org") == 0
    assert value(render_results([changed]), "mx_up", mx="mx1.example.org") is None


def unsigned_at_the_same_host() -> Check:
    """A domain without DNSSEC at the host of ``protected``."""
    secure = sample_checks.protected()
    mx = replace(secure.observation.route.mx, status=sample_checks.DnssecStatus.INSECURE)
    return with_domain(
        replace(
            secure,
            observation=replace(secure.observation, route=replace(secure.observation.route, mx=mx)),
            judgement=replace(
                secure.judgement,
                verdicts=sample_checks.both(
                    sample_checks.DomainVerdict.OPPORTUNISTIC,
                    [
                        sample_checks.host_verdict(
                            "mx1.example.org",
                            sample_checks.Judged(
                                outcome=sample_checks.HostOutcome.OPPORTUNISTIC_TLS
                            ),
                        )
                    ],
                ),
            ),
        ),
        "unsigned.example",
    )


def test_a_shared_host_has_one_set_of_series_whatever_the_order() -> None:
    """The view of a domain with secure MX wins over that of an unsigned one."""
    secure, unsigned = sample_checks.protected(), unsigned_at_the_same_host()
    one, other = render_results([secure, unsigned]), render_results([unsigned, secure])
    assert one == other
    assert value(one, "mx_outcome", mx="mx1.example.org", outcome="authenticated") == 1


def test_a_host_is_as_others_see_it_once_its_signed_domain_is_gone() -> None:
    """Else its last certificate there would be shown until it has expired, and ever after."""
    metrics = ResultMetrics()
    metrics.add(sample_checks.protected())
    metrics.add(unsigned_at_the_same_host())
    metrics.retain([Name("unsigned.example")])
    metrics.add(unsigned_at_the_same_host())
    text = metrics.render()
    assert value(text, "mx_outcome", mx="mx1.example.org", outcome="opportunistic-tls") == 1


def test_of_equal_views_the_worst_is_shown_whatever_the_order() -> None:
    """A certificate may name one of the domains and not the other."""
    good = sample_checks.protected()
    bad = with_domain(sample_checks.mismatch(), "other.example")
    one, other = render_results([good, bad]), render_results([bad, good])
    assert one == other
    assert value(one, "mx_outcome", mx="mx1.example.org", outcome="failed") == 1


def test_a_later_check_replaces_an_earlier_one() -> None:
    """Of the domain and of its hosts, also for the better."""
    metrics = ResultMetrics()
    metrics.add(sample_checks.mismatch())
    metrics.add(sample_checks.protected())
    text = metrics.render()
    assert value(text, "domain_blocked", domain="example.org") == 0
    assert value(text, "mx_up", mx="mx1.example.org") == 1


def test_retain_forgets_domains_and_the_hosts_nobody_names() -> None:
    """Targets are removed while the service runs."""
    metrics = ResultMetrics()
    metrics.add(sample_checks.protected())
    metrics.add(sample_checks.opportunistic())
    metrics.retain(["plain.example"])  # type: ignore[list-item]
    text = metrics.render()
    assert value(text, "domain_up", domain="example.org") is None
    assert value(text, "mx_up", mx="mx1.example.org") is None
    assert value(text, "mx_up", mx="mail.plain.example") == 1
    metrics.retain([])
    assert metrics.render() == ""


def test_user_labels_are_kept_under_names_prometheus_allows() -> None:
    """Ours are never shadowed, and no name stands twice."""
    labels = (
        ("team", 'a"b\\c\nd'),
        ("domain", "mine"),
        ("1st", "x"),
        ("a-b", "1"),
        ("a_b", "2"),
        ("__name__", "y"),
        ("ümlaut", "ü"),
        ("", "z"),
    )
    text = render_results(
        [sample_checks.protected()],
        labels={"example.org": labels},  # type: ignore[dict-item]
    )
    info = [dict(found) for name, found in series(text) if name == "domain_info"]
    assert info == [
        {
            "domain": "example.org",
            "team": 'a"b\\c\nd',
            "label_domain": "mine",
            "label_1st": "x",
            "a_b": "1",
            "a_b_2": "2",
            "label_name__": "y",
            "_mlaut": "ü",
            "label": "z",
        }
    ]


def test_label_values_are_escaped_and_always_utf8() -> None:
    """Host names may hold escaped octets, and texts unpaired surrogates."""
    assert escape_label("plain") == "plain"
    assert escape_label('a\\032"b\n') == 'a\\\\032\\"b\\n'
    assert escape_label("x\ud800") == "x?"


def test_the_same_results_give_the_same_text_in_any_order() -> None:
    """Families as declared, series sorted."""
    others = [sample_checks.opportunistic(), sample_checks.expired(), sample_checks.no_mail()]
    assert render_results(others) == render_results(reversed(others))


def test_times_keep_their_fraction() -> None:
    """Microseconds are not rounded to whole seconds."""
    check = sample_checks.protected()
    at = datetime(2026, 11, 24, 12, 0, 0, 500_000, tzinfo=UTC)
    text = render_results([replace(check, observation=replace(check.observation, observed_at=at))])
    assert value(text, "domain_last_check_timestamp_seconds", domain="example.org") == (
        at.timestamp()
    )


def test_a_textfile_is_replaced_in_one_step_and_readable_by_all(tmp_path: Path) -> None:
    """The node exporter runs as somebody else."""
    path = tmp_path / "danewatch.prom"
    path.write_text("old")
    write_textfile(path, "new 1\n")
    assert path.read_text() == "new 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["danewatch.prom"]


def test_a_textfile_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no temporary file."""
    path = tmp_path / "danewatch.prom"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prometheus.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_textfile(path, "new 1\n")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["danewatch.prom"]


def test_a_textfile_in_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """Not a silence."""
    with pytest.raises(FileNotFoundError):
        write_textfile(tmp_path / "missing" / "danewatch.prom", "")


class TestZones:
    """One set of series for each zone that lookups went through."""

    def test_a_secure_zone_shows_when_its_first_signature_ends(self) -> None:
        """Status without a reason."""
        text = render_results([sample_checks.zoned()])
        assert value(text, "zone_secure", dns_zone="org") == 1
        assert value(text, "zone_bogus", dns_zone="org") == 0
        assert value(text, "zone_status", dns_zone=".", status="secure", reason="") == 1
        ends = sample_checks.NOW + timedelta(days=9)
        name = "zone_signature_expiration_timestamp_seconds"
        assert value(text, name, dns_zone="example.org") == ends.timestamp()
        begins = sample_checks.NOW - timedelta(days=5)
        name = "zone_signature_inception_timestamp_seconds"
        assert value(text, name, dns_zone="example.org") == begins.timestamp()

    def test_a_bogus_zone_keeps_the_date_of_what_has_ended(self) -> None:
        """That is what an alert compares with now."""
        ended = sample_checks.zone(
            "example.org",
            DnssecStatus.BOGUS,
            reason=DnssecReason.RRSIG_EXPIRED,
            ends=-timedelta(days=1),
        )
        text = render_results([sample_checks.zoned(None, ended)])
        assert value(text, "zone_secure", dns_zone="example.org") == 0
        assert value(text, "zone_bogus", dns_zone="example.org") == 1
        labels = {"dns_zone": "example.org", "status": "bogus", "reason": "rrsig-expired"}
        assert value(text, "zone_status", **labels) == 1
        name = "zone_signature_expiration_timestamp_seconds"
        when = sample_checks.NOW - timedelta(days=1)
        assert value(text, name, dns_zone="example.org") == when.timestamp()

    def test_a_zone_that_cannot_be_determined_stays_as_it_was_known(self) -> None:
        """Without a state nothing is known, and nothing is said."""
        unclear = sample_checks.zone("org", DnssecStatus.INDETERMINATE)
        check = sample_checks.zoned(None, replace(unclear, signature_expiration=None))
        nothing = render_results([check])
        assert value(nothing, "zone_secure", dns_zone="org") is None
        name = "zone_signature_expiration_timestamp_seconds"
        assert value(nothing, name, dns_zone="org") is None
        known = state("org", "bogus", entity_type=EntityType.ZONE)
        text = render_results([check], states=known)
        assert value(text, "zone_secure", dns_zone="org") == 0
        assert value(text, "zone_bogus", dns_zone="org") == 1
        assert value(text, "zone_status", dns_zone="org", status="indeterminate", reason="") == 1

    def test_the_latest_look_counts_whichever_domain_made_it(self) -> None:
        """Checks may finish in another order."""
        later = sample_checks.zone(
            "org", DnssecStatus.BOGUS, observed_at=sample_checks.NOW + timedelta(seconds=1)
        )
        text = render_results([sample_checks.zoned(None, later), sample_checks.zoned()])
        assert value(text, "zone_bogus", dns_zone="org") == 1

    def test_a_look_dated_by_a_clock_that_was_wrong_does_not_stand_for_days(self) -> None:
        """The clock was set back by a day since."""
        ahead = sample_checks.zone(
            "org", DnssecStatus.BOGUS, observed_at=sample_checks.NOW + timedelta(days=1)
        )
        text = render_results([sample_checks.zoned(None, ahead), sample_checks.zoned()])
        assert value(text, "zone_bogus", dns_zone="org") == 0

    def test_zones_go_with_the_last_domain_that_has_them(self) -> None:
        """An inconclusive check, which saw none, takes none away."""
        metrics = ResultMetrics()
        check = sample_checks.zoned()
        metrics.add(check)
        metrics.add(replace(check, observation=replace(check.observation, zones=())))
        metrics.retain([check.domain])
        assert value(metrics.render(), "zone_secure", dns_zone="org") == 1
        metrics.retain([])
        assert "zone" not in metrics.render()
