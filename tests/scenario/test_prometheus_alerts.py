"""A real Prometheus scrapes the page, loads our rules, and tells a real Alertmanager.

The page is made of real checks of the lab. A fault there fires the alert that is meant for it and
no other; every query of every dashboard and rule runs; and Alertmanager mutes what it should.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from monitored_lab import HEALTHY, ShownResults, looks
from monitoring_servers import Alertmanager, Page, Prometheus, wait_for

from grafana.builder.catalogue import ALERTS, RECORDINGS
from grafana.builder.dashboards import DASHBOARDS
from grafana.builder.panels import Panel
from grafana.builder.provisioning import grafana_expr
from scanner.lab.faults import NamedFault
from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.verdict import Check

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

FAULTS: tuple[dict[Name, NamedFault], ...] = (
    {},
    {Name("insurer.test"): NamedFault.CERTIFICATE_REPLACED},
    {Name("university.test"): NamedFault.DS_MISMATCH},
    {},
    {Name("insurer.test"): NamedFault.CERTIFICATE_REPLACED},
    {Name("university.test"): NamedFault.TLSA_REMOVED},
)
VARIABLES = {
    "$job": ".*",
    "$instance": ".*",
    "$domain": ".*",
    "$mx": ".*",
    "$dns_zone": ".*",
    "$__rate_interval": "15s",
}
BLOCKED_HOSTS = {
    ("DanewatchMxBlocked", "mx1.mailhaven.test"),
    ("DanewatchMxBlocked", "mx2.mailhaven.test"),
}


@dataclass
class Monitored:
    """Everything that runs, and the looks at the lab, one for each of FAULTS."""

    page: Page
    shown: ShownResults
    prometheus: Prometheus
    alertmanager: Alertmanager
    looks: list[dict[Name, Check]]

    def show(self, number: int, **gauges: float) -> None:
        """Show the look of that number; ``gauges`` are of danewatch itself, by name."""
        self.shown.show(list(self.looks[number].values()))
        for name, value in gauges.items():
            self.shown.own.put(OwnMetric(name), value)
        self.page.text = self.shown.text()


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Lab, page, Prometheus and Alertmanager; the looks are over before the first scrape."""
    directory = tmp_path_factory.mktemp("monitoring")
    seen = trio.run(lambda: looks(*FAULTS))
    page, shown = Page(), ShownResults()
    shown.show(list(seen[0].values()))
    page.text = shown.text()
    try:
        alertmanager = Alertmanager(directory / "alertmanager")
        try:
            prometheus = Prometheus(directory / "prometheus", [page.address], alertmanager.address)
            try:
                yield Monitored(page, shown, prometheus, alertmanager, seen)
            finally:
                prometheus.stop()
        finally:
            alertmanager.stop()
    finally:
        page.close()


def all_panels() -> list[Any]:
    """Every panel of every dashboard."""
    return [
        pytest.param(panel, id=f"{dashboard.uid}: {panel.title}")
        for dashboard in DASHBOARDS
        for _, panels in dashboard.rows
        for panel in panels
    ]


def filled(expr: str) -> str:
    for name in sorted(VARIABLES, key=len, reverse=True):
        expr = expr.replace(name, VARIABLES[name])
    return expr


def test_healthy_partners_raise_no_alert(monitored: Monitored) -> None:
    """After enough evaluations that every wait is over."""
    evaluations = "count_over_time(instance_verdict:danewatch_domain_verdict:count[1m])"
    enough = f"min({evaluations}) > bool 5"
    assert wait_for(lambda: monitored.prometheus.values(enough), ["1"]) == ["1"]
    assert monitored.prometheus.firing() == set()


@pytest.mark.parametrize("panel", all_panels())
def test_every_panel_shows_what_there_is(monitored: Monitored, panel: Panel) -> None:
    """Its queries run. Panels about failures are empty here; all others have data."""
    found = [monitored.prometheus.query(filled(query.expr)) for query in panel.queries]
    assert any(found) or not panel.must_show


def test_every_rule_runs(monitored: Monitored) -> None:
    """Prometheus says so of each, also of those that find nothing."""
    rules = monitored.prometheus.rules()
    assert len(rules) == len(ALERTS) + len(RECORDINGS)
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: one.name)
def test_recorded_series_have_the_labels_they_say(monitored: Monitored, recording: Any) -> None:
    """No other label comes along by a join."""
    labels = {"__name__", "job", "instance", *recording.labels}
    for one in monitored.prometheus.query(recording.name):
        assert set(one["metric"]) <= labels


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: f"{one.name} {one.severity}")
def test_grafana_asks_what_prometheus_can_answer(monitored: Monitored, alert: Any) -> None:
    """While nothing fires there is one answer, which is not a number."""
    found = monitored.prometheus.query(grafana_expr(alert))
    assert [one["value"][1] for one in found] == ["NaN"]


def test_a_certificate_replaced_at_a_provider_is_an_alert_for_each_host(
    monitored: Monitored,
) -> None:
    """Not for the four partners behind them, whose names are in the description."""
    monitored.show(1)
    firing = monitored.prometheus.firing
    assert wait_for(firing, BLOCKED_HOSTS) == BLOCKED_HOSTS
    rule = next(one for one in monitored.prometheus.rules() if one["name"] == "DanewatchMxBlocked")
    for alert in rule["alerts"]:
        assert "blocks mail for 4 partner(s)" in alert["annotations"]["summary"]
        for name in ("city", "clinic", "insurer", "mailhaven"):
            assert f"{name}.test" in alert["annotations"]["description"]


def test_blindness_mutes_it_and_does_not_end_it(monitored: Monitored) -> None:
    """The alert fires on, Alertmanager keeps it back, and the one about blindness goes out."""
    monitored.shown.own.put(OwnMetric.BLIND_REASON, 1, reason="resolver-down")
    monitored.show(1, blind=1)
    blind = ("DanewatchBlind", "resolver-down")
    assert wait_for(monitored.prometheus.firing, {blind, *BLOCKED_HOSTS}) == {blind, *BLOCKED_HOSTS}
    expected = {blind: False, **dict.fromkeys(BLOCKED_HOSTS, True)}
    assert wait_for(monitored.alertmanager.muted, expected) == expected


def test_what_breaks_while_danewatch_is_blind_raises_no_alert(monitored: Monitored) -> None:
    """A zone that looks broken meanwhile is not believed; the hosts' alert stays."""
    monitored.show(2, blind=1)
    blind = ("DanewatchBlind", "resolver-down")
    bogus = "count_over_time((sum(danewatch_zone_bogus) > 0)[20s:1s]) > bool 5"
    assert wait_for(
        lambda: [one["value"][1] for one in monitored.prometheus.query(bogus)], ["1"]
    ) == ["1"]
    firing = monitored.prometheus.firing()
    assert blind in firing
    assert not {name for name, _ in firing} & {"DanewatchZoneBogus", "DanewatchDomainBlocked"}


def test_a_broken_chain_is_an_alert_for_the_zone_alone(monitored: Monitored) -> None:
    """Sight returns; the provider has been repaired; the zone stands for host and domain."""
    monitored.shown.own.put(OwnMetric.BLIND_REASON, 0, reason="resolver-down")
    monitored.show(2, blind=0)
    expected = {("DanewatchZoneBogus", "university.test")}
    assert wait_for(monitored.prometheus.firing, expected) == expected


def test_repair_ends_every_alert(monitored: Monitored) -> None:
    """And nothing else begins."""
    monitored.show(3)
    assert wait_for(monitored.prometheus.firing, set()) == set()


def test_a_restart_ends_nothing_and_raises_nothing(monitored: Monitored) -> None:
    """The page is gone for a moment and comes back as it was."""
    monitored.show(4)
    assert wait_for(monitored.prometheus.firing, BLOCKED_HOSTS) == BLOCKED_HOSTS
    monitored.page.text = None
    assert wait_for(lambda: monitored.prometheus.values("up"), ["0"]) == ["0"]
    assert monitored.prometheus.firing() == BLOCKED_HOSTS
    monitored.show(4)
    assert wait_for(lambda: monitored.prometheus.values("up"), ["1"]) == ["1"]
    assert monitored.prometheus.firing() == BLOCKED_HOSTS


def test_protection_that_is_lost_shows_at_the_host(monitored: Monitored) -> None:
    """Mail goes on, so nothing is blocked; the domain behind the host has no alert of its own."""
    monitored.show(5)
    host = monitored.looks[0][Name("university.test")].observation.hosts[0].route.host
    expected = {("DanewatchMxProtectionLost", host)}
    assert wait_for(monitored.prometheus.firing, expected) == expected


HOST = {"job": "danewatch", "instance": "scanner", "mx": "mx.example", "dns_zone": "zone.example"}


@pytest.mark.parametrize(
    ("source", "target", "muted"),
    [
        (
            {"alertname": "DanewatchZoneBogus", "severity": "critical", "scope": "zone"},
            {"alertname": "DanewatchMxFailing", "severity": "warning", "scope": "mx"},
            True,
        ),
        (
            {"alertname": "DanewatchZoneBogus", "severity": "critical", "scope": "zone"},
            {
                "alertname": "DanewatchDomainProtectionLost",
                "severity": "warning",
                "scope": "domain",
            },
            True,
        ),
        (
            {"alertname": "DanewatchZoneBogus", "severity": "critical", "scope": "zone"},
            {"alertname": "DanewatchBouncing", "severity": "critical", "scope": "queue"},
            False,
        ),
        (
            {"alertname": "DanewatchMxBlocked", "severity": "critical", "scope": "mx"},
            {"alertname": "DanewatchDomainDeferred", "severity": "warning", "scope": "domain"},
            True,
        ),
        (
            {"alertname": "DanewatchBouncing", "severity": "critical", "scope": "queue"},
            {"alertname": "DanewatchBouncesSoon", "severity": "critical", "scope": "queue"},
            True,
        ),
        (
            {"alertname": "DanewatchCertificateExpiring", "severity": "critical", "scope": "mx"},
            {"alertname": "DanewatchCertificateExpiring", "severity": "warning", "scope": "mx"},
            True,
        ),
        (
            {"alertname": "DanewatchMassLossSuspected", "severity": "critical", "scope": "scanner"},
            {"alertname": "DanewatchMxBlocked", "severity": "critical", "scope": "mx"},
            True,
        ),
        (
            {"alertname": "DanewatchBlind", "severity": "critical", "scope": "scanner"},
            {"alertname": "DanewatchHistoryFailing", "severity": "warning", "scope": "scanner"},
            False,
        ),
    ],
    ids=lambda value: value["alertname"] if isinstance(value, dict) else str(value),
)
def test_alertmanager_mutes_what_another_alert_explains(
    tmp_path: Path, source: dict[str, str], target: dict[str, str], muted: bool
) -> None:
    """Of the same danewatch, zone and host; never of another one."""
    alertmanager = Alertmanager(tmp_path)
    try:
        other = HOST | {"instance": "other", "dns_zone": "other.example", "mx": "mx.other.example"}
        alertmanager.post(HOST | source, HOST | target, other | target)
        raw = wait_for(lambda: len(alertmanager.muted_by_instance()), 3)
        assert raw == 3
        found = alertmanager.muted_by_instance()
        name = target["alertname"]
        assert found[(name, target["severity"], "scanner")] is muted
        assert found[(name, target["severity"], "other")] is False
        assert found[(source["alertname"], source["severity"], "scanner")] is False
    finally:
        alertmanager.stop()


def test_the_healthy_partners_are_healthy(monitored: Monitored) -> None:
    """Else the alerts above would prove nothing."""
    assert set(monitored.looks[0]) == set(HEALTHY)
