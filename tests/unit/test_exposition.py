"""The page of the service: what it shows, what it makes anew, what a restart brings back."""

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sample_checks
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporters import exposition
from exporters.exposition import LANES, SHED, Page, ResultFragments
from exporters.metrics import RESULT_METRICS
from exporters.metrics_text import Format
from exporters.prometheus import ResultMetrics
from scanner.model.monitoring import EntityKey, Snapshot
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, DnssecStatus, EntityType, Profile, RRType

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
LABELS = (("partner", 'a"b\\c\nd'),)
HOUR = timedelta(hours=1)


def text_of(page: Page) -> str:
    return b"".join(page.text_chunks(chunk_size=1000)).decode("utf-8")


def series(page: Page) -> Series:
    """Parse the page as a Prometheus server would, without the prefix; refuse duplicates."""
    found: Series = {}
    for family in text_string_to_metric_families(text_of(page)):
        for sample in family.samples:
            key = (sample.name.removeprefix("danewatch_"), frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(board: ResultFragments, name: str, **labels: str) -> float | None:
    return series(board.page()).get((name, frozenset(labels.items())))


def names_of(board: ResultFragments) -> set[str]:
    return {name for name, _ in series(board.page())}


def state(
    entity_type: EntityType,
    name: str,
    status: str,
    phase: DeliveryPhase = DeliveryPhase.DELIVERING,
    *,
    failing_since: datetime | None = None,
    flapping: bool = False,
) -> State:
    return State(
        entity_type=entity_type,
        entity=name,
        profile=Profile.EXCHANGE_ONLINE,
        status=status,
        reason=None,
        phase=phase,
        since=sample_checks.NOW - HOUR,
        last_seen_at=sample_checks.NOW,
        failing_since=failing_since,
        flapping=flapping,
    )


def states_of(check: Check) -> dict[EntityKey, State]:
    """Return states that agree with what ``check`` shows, as if confirmed."""
    verdict = check.judgement.of(Profile.EXCHANGE_ONLINE)
    found = [state(EntityType.DOMAIN, check.domain, verdict.verdict, verdict.phase)]
    found += [state(EntityType.MX, one.host, one.judged.outcome) for one in verdict.hosts]
    found += [state(EntityType.ZONE, one.zone, one.status) for one in check.observation.zones]
    return {(one.entity_type, one.entity): one for one in found}


def board_of(*checks: Check, **settings: Any) -> ResultFragments:
    board = ResultFragments(**settings)
    for check in checks:
        board.show(check, states=states_of(check), labels=LABELS)
    return board


def renamed(check: Check, domain: str) -> Check:
    return replace(check, observation=replace(check.observation, domain=Name(domain)))


def later(check: Check, by: timedelta = HOUR) -> Check:
    return replace(
        check,
        observation=replace(check.observation, observed_at=check.observation.observed_at + by),
    )


def some_domains(count: int, check: Check | None = None) -> list[Check]:
    made = check or sample_checks.no_mail()
    return [renamed(made, f"d{number:05}.example") for number in range(count)]


ALL = [make() for make in sample_checks.ALL.values()]


class TestThePage:
    """Its form, in both formats."""

    def test_it_shows_what_the_textfile_of_a_pass_shows(self) -> None:
        """One computation of the samples, whatever the sink."""
        distinct = [check for name, check in zip(sample_checks.ALL, ALL, strict=True)]
        distinct = [*distinct, sample_checks.zoned()]
        textfile = ResultMetrics()
        board = ResultFragments()
        for check in distinct:
            textfile.add(check, states=states_of(check), labels=LABELS)
            board.show(check, states=states_of(check), labels=LABELS)
        assert sorted(text_of(board.page()).splitlines()) == sorted(textfile.render().splitlines())

    def test_openmetrics_has_the_same_samples(self) -> None:
        """Only the headers differ; the strict parser takes it."""
        board = board_of(*ALL, sample_checks.zoned())
        text = text_of(board.page(Format.OPENMETRICS)) + "# EOF\n"
        found = {
            (sample.name.removeprefix("danewatch_"), frozenset(sample.labels.items())): sample.value
            for family in openmetrics.text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert found == series(board.page())

    def test_openmetrics_names_units_and_info(self) -> None:
        """OpenMetrics 1.0 §5: a unit where the name ends in it, info as a type of its own."""
        text = text_of(board_of(sample_checks.protected()).page(Format.OPENMETRICS))
        name = "danewatch_domain_last_check_timestamp_seconds"
        assert f"# TYPE {name} gauge\n# UNIT {name} seconds\n{name}{{" in text
        assert "# TYPE danewatch_domain info\ndanewatch_domain_info{" in text

    def test_families_stand_once_and_as_declared(self) -> None:
        """Prometheus refuses a family that is torn apart."""
        text = text_of(board_of(*ALL, sample_checks.zoned()).page())
        typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        declared = [metric.full_name for metric in RESULT_METRICS]
        assert typed == [name for name in declared if name in typed]
        assert len(typed) > 25

    def test_series_are_counted(self) -> None:
        """Those of results, without headers."""
        page = board_of(*ALL).page()
        assert page.series == len(series(page))

    def test_sizes_are_those_of_the_bodies(self) -> None:
        """Content-Length is told before."""
        page = board_of(*ALL).page()
        assert len(b"".join(page.text_chunks(chunk_size=100))) == page.size
        assert len(b"".join(page.gzip_chunks(chunk_size=100))) == page.gzip_size

    def test_an_empty_page_is_empty(self) -> None:
        """Nothing was checked yet."""
        page = ResultFragments().page()
        assert (page.size, page.series, page.pieces) == (0, 0, ())


class TestWhatIsMadeAnew:
    """A scrape costs what has changed."""

    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many series each piece had that was made."""
        sizes: list[int] = []
        original = exposition.piece_of

        def counting(text: bytes, *, series: int = 0) -> Any:
            sizes.append(series)
            return original(text, series=series)

        monkeypatch.setattr(exposition, "piece_of", counting)
        return sizes

    def test_a_second_scrape_makes_nothing(self, made: list[int]) -> None:
        """Nothing changed between the two."""
        board = board_of(*ALL)
        first = board.page()
        made.clear()
        assert board.page().pieces == first.pieces
        assert made == []

    def test_a_check_that_changes_only_its_time_touches_one_family(self, made: list[int]) -> None:
        """A domain without hosts: all else is as before."""
        board = board_of(*some_domains(50))
        board.page()
        made.clear()
        board.show(later(some_domains(1)[0]), states=states_of(some_domains(1)[0]), labels=LABELS)
        board.page()
        assert len(made) == 1

    def test_new_domains_leave_full_buckets_alone(
        self, made: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the first pass runs, a scrape makes only what came since."""
        monkeypatch.setattr(exposition, "BUCKET_SIZE", 16)
        many = some_domains(16 * LANES * 4)
        board = board_of(*many)
        board.page()
        made.clear()
        board.show(sample_checks.no_mail(), states={}, labels=())
        board.page()
        assert 0 < sum(made) <= 17 * 16

    def test_a_value_that_goes_away_leaves_the_page(self) -> None:
        """Its piece is made anew, or dropped when it was the only one."""
        check = sample_checks.mismatch()
        failing = state(
            EntityType.DOMAIN,
            check.domain,
            "blocked",
            DeliveryPhase.DEFERRING,
            failing_since=sample_checks.NOW,
        )
        board = ResultFragments()
        board.show(check, states={(EntityType.DOMAIN, check.domain): failing})
        assert "domain_bounces_from_timestamp_seconds" in names_of(board)
        fine = sample_checks.protected()
        board.show(later(fine), states=states_of(fine))
        assert "domain_bounces_from_timestamp_seconds" not in names_of(board)

    def test_prepare_makes_everything(self, made: list[int]) -> None:
        """So that the first scrape after a restart is a cheap one."""
        board = board_of(*ALL)
        board.prepare()
        made.clear()
        board.page()
        assert made == []


class TestConfirmation:
    """What people alert on follows confirmed states; the rest shows the last look."""

    def test_a_first_bad_look_raises_no_alarm(self) -> None:
        """The state still says protected."""
        check = sample_checks.mismatch()
        board = ResultFragments()
        board.show(check, states=states_of(sample_checks.protected()))
        assert value(board, "domain_up", domain="example.org") == 1
        assert value(board, "domain_blocked", domain="example.org") == 0
        assert value(board, "domain_phase", domain="example.org", phase="delivering") == 1
        assert value(board, "mx_up", mx="mx1.example.org") == 1
        assert "domain_cause" not in names_of(board)
        assert value(board, "domain_verdict", domain="example.org", verdict="blocked") == 1
        assert value(board, "mx_outcome", mx="mx1.example.org", outcome="failed") == 1

    def test_before_anything_is_confirmed_nothing_is_claimed(self) -> None:
        """The first sight of a failure is a suspicion."""
        board = ResultFragments()
        board.show(sample_checks.mismatch(), states={})
        claims = {"domain_up", "domain_blocked", "domain_phase", "domain_cause", "mx_up"}
        assert not claims & names_of(board)
        assert value(board, "domain_verdict", domain="example.org", verdict="blocked") == 1

    def test_a_confirmed_failure_shows_with_phase_and_cause(self) -> None:
        """What an alert needs to name the host."""
        check = sample_checks.mismatch()
        board = ResultFragments()
        failing = state(
            EntityType.DOMAIN,
            check.domain,
            "blocked",
            DeliveryPhase.DEFERRING,
            failing_since=sample_checks.NOW,
        )
        board.show(check, states=states_of(check) | {(EntityType.DOMAIN, check.domain): failing})
        assert value(board, "domain_blocked", domain="example.org") == 1
        assert value(board, "domain_phase", domain="example.org", phase="deferring") == 1
        cause = {"domain": "example.org", "mx": "mx1.example.org", "dns_zone": ""}
        assert value(board, "domain_cause", **cause) == 1

    def test_a_good_look_that_is_not_yet_believed_keeps_the_cause(self) -> None:
        """A flapping domain recovers only with a second look."""
        check = sample_checks.mismatch()
        board = board_of(check)
        still = states_of(check)
        board.show(later(sample_checks.protected()), states=still)
        cause = {"domain": "example.org", "mx": "mx1.example.org", "dns_zone": ""}
        assert value(board, "domain_blocked", domain="example.org") == 1
        assert value(board, "domain_cause", **cause) == 1

    def test_an_inconclusive_look_keeps_everything_known(self) -> None:
        """Our own side failed; the cause stays that of before."""
        check = sample_checks.mismatch()
        board = board_of(check)
        unclear = renamed(later(sample_checks.inconclusive()), "example.org")
        board.show(unclear, states=states_of(check))
        assert value(board, "domain_blocked", domain="example.org") == 1
        cause = {"domain": "example.org", "mx": "mx1.example.org", "dns_zone": ""}
        assert value(board, "domain_cause", **cause) == 1
        assert value(board, "mx_up", mx="mx1.example.org") == 0

    def test_a_host_that_only_unsigned_domains_use_shows_its_last_look(self) -> None:
        """No state is kept of it, because its outcome holds for those domains only."""
        check = sample_checks.protected()
        mx = replace(check.observation.route.mx, status=DnssecStatus.INSECURE)
        route = replace(check.observation.route, mx=mx)
        unsigned = replace(check, observation=replace(check.observation, route=route))
        board = ResultFragments()
        board.show(unsigned, states={})
        assert value(board, "mx_up", mx="mx1.example.org") == 1

    def test_flapping_is_shown_for_every_domain_with_a_state(self) -> None:
        """0 or 1, so that an alert has something to be about."""
        board = ResultFragments()
        check = sample_checks.protected()
        key = (EntityType.DOMAIN, check.domain)
        flapping = state(EntityType.DOMAIN, check.domain, "protected", flapping=True)
        board.show(check, states={key: replace(flapping, flapping=False)})
        assert value(board, "domain_flapping", domain="example.org") == 0
        board.show(later(check), states={key: flapping})
        assert value(board, "domain_flapping", domain="example.org") == 1


class TestCauses:
    """A failure is named where it lies."""

    def test_a_bogus_zone_is_the_cause(self) -> None:
        """Not the hosts, which nobody could look up."""
        check = sample_checks.bogus()
        mx = replace(check.observation.route.mx, status=DnssecStatus.BOGUS, dnssec_zone=Name("org"))
        route = replace(check.observation.route, mx=mx)
        check = replace(check, observation=replace(check.observation, route=route))
        board = board_of(check)
        cause = {"domain": check.domain, "mx": "", "dns_zone": "org"}
        assert value(board, "domain_cause", **cause) == 1
        assert value(board, "domain_zone", domain=check.domain, dns_zone="org") == 1

    def test_a_host_in_a_bogus_zone_leads_to_the_zone(self) -> None:
        """The TLSA lookup failed because its zone is broken."""
        check = sample_checks.mismatch()
        failed = replace(
            sample_checks.lookup("_25._tcp.mx1.example.org", RRType.TLSA),
            status=DnssecStatus.BOGUS,
            dnssec_zone=Name("example.org"),
        )
        host = check.observation.hosts[0]
        broken = replace(host, route=replace(host.route, failed_lookup=failed))
        check = replace(
            check,
            observation=replace(check.observation, hosts=(broken, *check.observation.hosts[1:])),
        )
        board = board_of(check)
        causes = {labels for name, labels in series(board.page()) if name == "domain_cause"}
        wanted = {("domain", "example.org"), ("mx", ""), ("dns_zone", "example.org")}
        assert frozenset(wanted) in causes
        assert value(board, "mx_zone", mx="mx1.example.org", dns_zone="example.org") == 1

    def test_without_host_or_zone_the_domain_itself_is_the_cause(self) -> None:
        """The MX lookup failed, and the zone that broke it is not known."""
        check = sample_checks.bogus()
        board = board_of(check, sample_checks.no_mail())
        cause = {"domain": check.domain, "mx": "", "dns_zone": ""}
        assert value(board, "domain_cause", **cause) == 1
        # A null MX is no failure: its owner wants it so.
        assert value(board, "domain_cause", **cause | {"domain": "nomail.example"}) is None

    def test_a_domain_that_gets_its_mail_has_no_cause(self) -> None:
        """Also when one of its hosts fails."""
        board = board_of(sample_checks.protected(), sample_checks.degraded())
        assert "domain_cause" not in names_of(board)


class TestWhoIsShown:
    """Domains that are watched, and the hosts and zones they lead to."""

    def test_retain_forgets_domains_and_what_only_they_led_to(self) -> None:
        """Targets are removed while the service runs."""
        board = board_of(sample_checks.zoned(), sample_checks.opportunistic())
        board.retain([Name("plain.example")])
        assert value(board, "domain_up", domain="example.org") is None
        assert value(board, "mx_up", mx="mx1.example.org") is None
        assert value(board, "zone_secure", dns_zone="example.org") is None
        assert value(board, "mx_up", mx="mail.plain.example") == 1
        board.retain([])
        assert board.page().series == 0

    def test_a_host_goes_when_its_last_domain_moves_elsewhere(self) -> None:
        """Otherwise a host that nobody uses would be down for ever."""
        old = renamed(sample_checks.mismatch(), "plain.example")
        board = board_of(old)
        assert value(board, "mx_up", mx="mx1.example.org") == 0
        moved = later(sample_checks.opportunistic())
        board.show(moved, states=states_of(moved))
        assert value(board, "mx_up", mx="mx1.example.org") is None
        assert value(board, "mx_up", mx="mail.plain.example") == 1

    def test_a_host_stays_while_another_domain_uses_it(self) -> None:
        """One of two domains moves."""
        old = renamed(sample_checks.mismatch(), "plain.example")
        board = board_of(old, sample_checks.mismatch())
        moved = later(sample_checks.opportunistic())
        board.show(moved, states=states_of(moved))
        assert value(board, "mx_up", mx="mx1.example.org") == 0

    def test_a_failed_mx_lookup_takes_no_host_away(self) -> None:
        """What was not seen is not gone."""
        check = sample_checks.protected()
        board = board_of(check)
        unclear = renamed(later(sample_checks.inconclusive()), "example.org")
        board.show(unclear, states=states_of(check))
        board.retain([Name("example.org")])
        assert value(board, "mx_up", mx="mx1.example.org") == 1

    def test_removing_most_domains_fills_the_buckets_anew(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Thousands of nearly empty pieces would cost each scrape something."""
        monkeypatch.setattr(exposition, "BUCKET_SIZE", 16)
        many = some_domains(16 * LANES * 4)
        board = board_of(*many)
        before = len(board.page().pieces)
        kept = [check.domain for check in many[::20]]
        board.retain(kept)
        page = board.page()
        assert len(page.pieces) < before
        assert {dict(labels)["domain"] for _, labels in series(page)} == set(kept)

    def test_parts_are_disjoint_and_together_everything(self) -> None:
        """For a Prometheus that takes a large page in several scrapes."""
        board = board_of(*ALL, *some_domains(100), sample_checks.zoned())
        whole = series(board.page())
        for shards in (1, 2, 3, LANES):
            parts = [series(board.page(shard=one, shards=shards)) for one in range(shards)]
            assert sum(len(part) for part in parts) == len(whole)
            merged: Series = {}
            for part in parts:
                merged |= part
            assert merged == whole

    @pytest.mark.parametrize(("shard", "shards"), [(0, 0), (1, 1), (-1, 2), (0, LANES + 1)])
    def test_impossible_parts_are_refused(self, shard: int, shards: int) -> None:
        """Not an empty page, which would look like no domains."""
        with pytest.raises(ValueError, match="shard"):
            ResultFragments().page(shard=shard, shards=shards)


class TestTooManySeries:
    """Whole families are left out, and it is said."""

    def test_the_families_of_hosts_go_first(self, caplog: pytest.LogCaptureFixture) -> None:
        """And no more of them than needed; one log record names them."""
        everything = board_of(*ALL).page()
        board = board_of(*ALL, max_series=everything.series - 1)
        with caplog.at_level(logging.WARNING):
            page = board.page()
            board.page()
        assert page.truncated == SHED[:1]
        assert page.truncated[0].startswith("mx_")
        assert page.series < everything.series
        assert len(caplog.records) == 1
        assert SHED[0] in caplog.text

    def test_then_zones_and_last_of_all_whether_mail_is_delivered(self) -> None:
        """What nobody could do without stays longest."""
        assert SHED[-1] == "domain_up"
        kinds = [name.split("_")[0] for name in SHED]
        assert kinds == sorted(kinds, key=["mx", "zone", "domain"].index)
        board = board_of(*some_domains(10), max_series=10)
        assert names_of(board) == {"domain_up"}

    def test_within_the_bound_nothing_is_left_out(self) -> None:
        """The default is far above what anyone has."""
        page = board_of(*ALL).page()
        assert page.truncated == ()

    def test_what_is_left_out_is_no_backlog(self) -> None:
        """Otherwise it would be worked at for ever."""
        board = board_of(*some_domains(10), max_series=10)
        assert board.backlog > 0
        board.prepare()
        assert board.backlog == 0

    def test_what_was_left_out_comes_back(self) -> None:
        """When domains are removed."""
        board = board_of(*ALL, max_series=board_of(*ALL).page().series - 1)
        assert board.page().truncated
        board.retain([check.domain for check in ALL[:3]])
        page = board.page()
        assert page.truncated == ()
        assert page.series == len(series(page))


FINE = '"} 1\n'


def snapshot_data(cells: object, **more: object) -> bytes:
    """Return a snapshot as it is kept, or nearly."""
    rank = [True, "2026-01-01T00:00:00+00:00", 0]
    return json.dumps({"v": 1, "cells": cells, "rank": rank} | more).encode("ascii")


class TestRestart:
    """What was shown is shown again, with its old times."""

    def kept(self, *checks: Check) -> list[Snapshot]:
        board = ResultFragments()
        found: dict[EntityKey, Snapshot] = {}
        for check in checks:
            for one in board.show(check, states=states_of(check), labels=LABELS):
                found[(one.entity_type, one.entity)] = one
        return list(found.values())

    def test_the_page_is_the_same_after_a_restart(self) -> None:
        """In whatever order the store gives it back."""
        checks = [*ALL, sample_checks.zoned()]
        board = board_of(*checks)
        for snapshots in (self.kept(*checks), self.kept(*checks)[::-1]):
            restored = ResultFragments()
            restored.restore(snapshots)
            assert series(restored.page()) == series(board.page())

    def test_a_restored_host_yields_to_a_newer_look_and_not_to_an_older(self) -> None:
        """The rank of a look is kept with it."""
        check = sample_checks.protected()
        board = ResultFragments()
        board.restore(self.kept(check))
        older = renamed(later(sample_checks.mismatch(), -HOUR), "other.example")
        hosts = tuple(
            replace(
                host,
                addresses=tuple(
                    replace(one, observed_at=one.observed_at - HOUR) for one in host.addresses
                ),
            )
            for host in older.observation.hosts
        )
        older = replace(older, observation=replace(older.observation, hosts=hosts))
        board.show(older, states={})
        assert value(board, "mx_outcome", mx="mx1.example.org", outcome="authenticated") == 1

    def test_causes_and_hosts_survive(self) -> None:
        """An inconclusive first check after the restart takes nothing away."""
        check = sample_checks.mismatch()
        board = ResultFragments()
        board.restore(self.kept(check))
        unclear = renamed(later(sample_checks.inconclusive()), "example.org")
        board.show(unclear, states=states_of(check))
        cause = {"domain": "example.org", "mx": "mx1.example.org", "dns_zone": ""}
        assert value(board, "domain_cause", **cause) == 1
        assert value(board, "mx_up", mx="mx1.example.org") == 0

    def test_what_is_shown_already_is_newer_than_what_was_kept(self) -> None:
        """Restoring late harms nothing."""
        board = board_of(sample_checks.mismatch())
        board.restore(self.kept(sample_checks.protected()))
        assert value(board, "domain_blocked", domain="example.org") == 1

    def test_hosts_and_zones_nobody_leads_to_are_left_out(self) -> None:
        """Their domain is no longer watched."""
        board = ResultFragments()
        kept = [one for one in self.kept(sample_checks.zoned()) if one.entity_type != "domain"]
        unshown = board.restore(kept)
        assert set(unshown) == {(one.entity_type, one.entity) for one in kept}
        assert board.page().series == 0

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            snapshot_data({"domain_up": FINE}, v=2),
            snapshot_data({"domain_up": 1}),
            snapshot_data({"domain_up": "1"}),
            snapshot_data({"domain_up": '"} nan\n'}),
            snapshot_data({"domain_up": '"} 1'}),
            snapshot_data({"domain_up": '"} 1\ndanewatch_domain_up{domain="other"} 1\n'}),
            snapshot_data({"domain_up": '",a="x\n"} 1\n'}),
            snapshot_data({"domain_up": '",a="x"y"} 1\n'}),
            snapshot_data({"domain_up": '",a="\\x"} 1\n'}),
            snapshot_data({"domain_up": '",a="\ud800"} 1\n'}),
            snapshot_data({"domain_up": '",a b="x"} 1\n'}),
            snapshot_data({"domain_up": '",domain="x"} 1\n'}),
            snapshot_data({"domain_info": '",a="x",a="y"} 1\n'}),
            snapshot_data({"domain_cause": ['",mx="x"} 1\n', '",mx="x"} 1\n']}),
            snapshot_data({"domain_up": FINE}, rank=[True, "2026-01-01T00:00:00", 0]),
            snapshot_data({"domain_up": FINE}, rank=[True, "yesterday", 0]),
            snapshot_data({"domain_up": FINE}, rank=None),
            snapshot_data({"domain_up": FINE}, hosts="mx1.example.org"),
            snapshot_data({"domain_up": FINE}, hosts=[1]),
            snapshot_data({"domain_up": FINE}, causes=[[["a b", "x"]]]),
        ],
    )
    def test_what_cannot_be_read_is_left_out(self, data: bytes) -> None:
        """And the rest is shown all the same."""
        broken = Snapshot(entity_type=EntityType.DOMAIN, entity="broken.example", data=data)
        board = ResultFragments()
        unshown = board.restore([broken, *self.kept(sample_checks.protected())])
        assert unshown == ((EntityType.DOMAIN, "broken.example"),)
        assert value(board, "domain_up", domain="broken.example") is None
        assert value(board, "domain_up", domain="example.org") == 1

    def test_families_of_another_version_are_ignored(self) -> None:
        """A snapshot of a newer danewatch may know more."""
        data = snapshot_data({"domain_up": FINE, "domain_unheard_of": "3"}, more=[])
        board = ResultFragments()
        board.restore([Snapshot(entity_type=EntityType.DOMAIN, entity="a.example", data=data)])
        assert series(board.page()) == {("domain_up", frozenset({("domain", "a.example")})): 1}

    def test_a_zone_that_did_not_change_is_not_kept_again(self) -> None:
        """The root is seen by every check, and need not be written by every commit."""
        board = ResultFragments()
        check = sample_checks.zoned()
        first = {one.entity for one in board.show(check, states=states_of(check))}
        again = {one.entity for one in board.show(later(check), states=states_of(check))}
        assert {".", "org", "example.org"} <= first
        assert not {".", "org"} & again
        assert "example.org" in again
