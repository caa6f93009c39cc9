"""Rules and dashboards ask for what exists, are explained, and keep the manners of mixins."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql_names import names_of

from exporters.schema import OWN_METRICS, RESULT_METRICS, MetricType
from grafana.builder.alertmanager import inhibition
from grafana.builder.catalogue import ALERTS, RECORDINGS
from grafana.builder.provisioning import alerting, grafana_expr
from grafana.builder.rules import Alert, Scope, Severity

ROOT = Path(__file__).resolve().parents[2]
PLACE = {"job", "instance"}
FOREIGN = {
    "up": PLACE,
    "ALERTS": {"alertname", "alertstate", "severity"},
    "NaN": set[str](),
}
DASHBOARDS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}


def declared() -> dict[str, set[str]]:
    """Every series there can be, with its labels."""
    known: dict[str, set[str]] = dict(FOREIGN)
    for metric in (*RESULT_METRICS, *OWN_METRICS):
        labels = {label for label in metric.labels if " " not in label} | PLACE
        if metric.type is MetricType.HISTOGRAM:
            known[f"{metric.full_name}_bucket"] = labels | {"le"}
            known |= {f"{metric.full_name}_{part}": labels for part in ("sum", "count")}
        else:
            known[metric.full_name] = labels
    return known | {one.name: set(one.labels) | PLACE for one in RECORDINGS}


KNOWN = declared()
COUNTERS = {metric.full_name for metric in OWN_METRICS if metric.type is MetricType.COUNTER} | {
    name for name in KNOWN if name.endswith("_bucket")
}


def panels() -> Iterator[Any]:
    """Yield every panel as a parameter."""
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield pytest.param(panel, id=f"{name}: {panel['title']}")


def expressions() -> Iterator[Any]:
    """Yield every expression of rules and dashboards as a parameter."""
    for one in RECORDINGS:
        yield pytest.param(one.expr, id=one.name)
    for alert in ALERTS:
        yield pytest.param(alert.expr(), id=f"{alert.name} {alert.severity}")
        yield pytest.param(grafana_expr(alert), id=f"{alert.name} {alert.severity} in Grafana")
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for number, target in enumerate(panel.get("targets", [])):
                yield pytest.param(target["expr"], id=f"{name}: {panel['title']} {number}")


@pytest.mark.parametrize("expr", list(expressions()))
def test_every_query_names_metrics_and_labels_that_exist(expr: str) -> None:
    """A metric that was renamed must not leave a panel empty or an alert mute."""
    names = names_of(expr)
    assert names.metrics
    assert {metric for metric, _ in names.metrics} - set(KNOWN) == set()
    for metric, labels in names.metrics:
        own = set(KNOWN[metric])
        if metric == "ALERTS":
            continue
        assert labels - own == set(), metric
    carried = set().union(*(KNOWN[metric] for metric, _ in names.metrics))
    assert names.labels - carried == set()


@pytest.mark.parametrize("expr", list(expressions()))
def test_counters_are_read_as_rates(expr: str) -> None:
    """The value of a counter says nothing: only how fast it grows."""
    names = names_of(expr)
    ranged = {metric for metric, _ in names.ranges}
    counters = {metric for metric, _ in names.metrics if metric in COUNTERS}
    assert counters - ranged == set()


@pytest.mark.parametrize(
    ("expr", "metrics", "labels"),
    [
        ('a{x="y{}", z=~"b"} offset 1h', [("a", {"x", "z"})], set()),
        ("sum by (l, m) (rate(a[5m])) / on (l) b", [("a", set()), ("b", set())], {"l", "m"}),
        ("topk(5, a:b:c) unless on () c == 1", [("a:b:c", set()), ("c", set())], set()),
        ("a * on (l) group_left (k) b", [("a", set()), ("b", set())], {"l", "k"}),
        ("max_over_time(a[7d:3h]) > 0.5e3", [("a", set())], set()),
        ("time() - a", [("a", set())], set()),
    ],
)
def test_the_names_in_an_expression_are_found(
    expr: str, metrics: list[tuple[str, set[str]]], labels: set[str]
) -> None:
    """What the contract rests on."""
    names = names_of(expr)
    assert [(metric, set(matched)) for metric, matched in names.metrics] == metrics
    assert names.labels == labels


@pytest.mark.parametrize("expr", ["a{x", "a ; b"])
def test_what_is_no_expression_is_refused(expr: str) -> None:
    """Rather than found to name nothing."""
    with pytest.raises(ValueError, match="no"):
        names_of(expr)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: f"{one.name} {one.severity}")
def test_every_alert_says_what_happened_and_to_whom(alert: Alert) -> None:
    """Name, summary and description as mixins have them; labels in the text that it carries."""
    assert re.fullmatch(r"Danewatch[A-Z]\w+", alert.name)
    text = alert.summary + alert.description
    assert alert.summary.endswith(".")
    assert alert.description.endswith(".")
    used = set(re.findall(r"\$labels\.(\w+)", text))
    assert used <= {*alert.labels, *PLACE}
    if alert.scope is not Scope.SCANNER:
        assert used & set(alert.labels)


def test_alerts_of_one_name_are_bands_of_one_thing() -> None:
    """Meaning and remedy are told once for a name, with the first band, which is the worst."""
    order = list(Severity)
    for name in {alert.name for alert in ALERTS}:
        bands = [alert for alert in ALERTS if alert.name == name]
        assert [bool(one.meaning and one.remedy) for one in bands] == [
            True,
            *[False] * (len(bands) - 1),
        ]
        ranks = [order.index(one.severity) for one in bands]
        assert ranks == sorted(set(ranks))
        assert len({one.scope for one in bands}) == 1


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: f"{one.name} {one.severity}")
def test_every_runbook_link_leads_to_a_section(alert: Alert) -> None:
    """``runbook_url`` is a page of ours, with a heading of the alert's name."""
    page, _, anchor = alert.runbook_url.partition("#")
    headings = re.findall(r"^#+ (\w+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


def test_only_what_is_about_partners_is_kept_silent_by_blindness() -> None:
    """And all of it: zones, hosts, domains, the queue."""
    assert {alert.name for alert in ALERTS if alert.gated} == {
        alert.name for alert in ALERTS if alert.scope is not Scope.SCANNER
    }


def test_inhibition_names_alerts_and_scopes_that_exist() -> None:
    """A misspelt name would inhibit nothing."""
    names = {alert.name for alert in ALERTS}
    for rule in inhibition():
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, values = re.fullmatch(r'(\w+)=~?"([^"]+)"', matcher).groups()  # type: ignore[union-attr]
            known = {
                "alertname": names,
                "scope": {scope.value for scope in Scope},
                "severity": {severity.value for severity in Severity},
            }[label]
            assert set(values.split("|")) <= known


def test_grafana_has_the_same_alerts() -> None:
    """By name and severity, each with an identifier of its own that fits."""
    rules = [rule for group in alerting()["groups"] for rule in group["rules"]]
    assert [(rule["labels"]["alert"], rule["labels"]["severity"]) for rule in rules] == [
        (alert.name, alert.severity.value) for alert in ALERTS
    ]
    assert len({rule["uid"] for rule in rules}) == len(rules)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", rule["uid"]) for rule in rules)
    assert len({rule["title"] for rule in rules}) == len(rules)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "grafana" / "provisioning").rglob("*.yml")), ids=lambda path: path.name
)
def test_provisioning_files_are_of_the_version_grafana_reads(path: Path) -> None:
    """``apiVersion: 1``, and one list of what is provisioned."""
    content = yaml.safe_load(path.read_text("utf-8"))
    assert content["apiVersion"] == 1
    assert len(content) == 2


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_can_be_provisioned(dashboard: dict[str, Any]) -> None:
    """Not editable, with variables for data source, job and instance, and nothing to choose from
    thousands; panels lie beside each other and do not overlap."""
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["danewatch"]
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert list(variables)[:3] == ["datasource", "job", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    assert {one["type"] for name, one in variables.items() if name in ("job", "instance")} == {
        "query"
    }
    assert {variables[name]["allValue"] for name in ("job", "instance")} == {".*"}
    assert {one["type"] for one in list(variables.values())[3:]} <= {"textbox"}
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", list(panels()))
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Title, description, unit, the data source of the dashboard, and queries narrowed to it."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        names = names_of(target["expr"])
        assert all(labels >= PLACE for metric, labels in names.metrics if metric != "NaN")
        assert {text for _, text in names.ranges} <= {"[$__rate_interval]"}


@pytest.mark.parametrize("panel", list(panels()))
def test_what_a_panel_shows_of_a_series_are_labels_it_has(panel: dict[str, Any]) -> None:
    """Legends and columns."""
    for target in panel["targets"]:
        names = names_of(target["expr"])
        carried = set().union(*(KNOWN[metric] for metric, _ in names.metrics))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= carried
        for transformation in panel.get("transformations", []):
            assert set(transformation["options"]["renameByName"]) - {"Value"} <= carried


def test_tables_are_bounded() -> None:
    """A table of ten thousand rows helps nobody and stops the browser."""
    for param in panels():
        panel = param.values[0]
        if panel["type"] == "table":
            for target in panel["targets"]:
                assert re.match(r"(topk|bottomk)\((\d+), ", target["expr"]), panel["title"]


def test_domains_hosts_and_zones_lead_to_each_other() -> None:
    """Wherever a table names one of them, its dashboard is a click away."""
    dashboards = {
        name: {box["name"] for box in one["templating"]["list"] if box["type"] == "textbox"}
        for name, one in DASHBOARDS.items()
    }
    ways: set[tuple[str, str]] = set()
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for override in panel.get("fieldConfig", {}).get("overrides", []):
                for prop in override["properties"]:
                    if prop["id"] == "links":
                        url = prop["value"][0]["url"]
                        uid, box = re.match(r"/d/([\w-]+)\?var-(\w+)=", url).groups()  # type: ignore[union-attr]
                        assert box in dashboards[uid]
                        ways.add((name, uid))
    domain, mx, zone = "danewatch-domain", "danewatch-mx", "danewatch-dnssec"
    assert {(domain, mx), (domain, zone), (mx, domain), (mx, zone), (zone, domain), (zone, mx)} <= (
        ways
    )
    assert {("danewatch-overview", one) for one in (domain, mx, zone)} <= ways
