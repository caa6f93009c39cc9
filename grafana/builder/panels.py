"""The parts dashboards are made of: queries, panels, variables, links, in Grafana's classic schema.

Every panel has a title, a description and a unit; every query is narrowed to the chosen jobs and
instances; the datasource is a variable. Domains, MX hosts and zones are chosen by a regular
expression in a text box, since a list of thousands to choose from helps nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'job=~"$job", instance=~"$instance"'
"""Matchers of every query."""
COLUMNS = 24
"""Width of a dashboard in Grafana's grid."""
ON_OFF = {"0": ("no", "red"), "1": ("yes", "green")}
OFF_ON = {"0": ("no", "green"), "1": ("yes", "red")}
NO_LIMIT: Mapping[str, float] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One PromQL query; ``legend`` is Grafana's format for the names of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One panel: ``options`` and ``custom`` are those of its kind, ``limits`` colour by value."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 12
    height: int = 8
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    must_show: bool = True
    """Whether a healthy installation has data here; the tests ask a real Prometheus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """One dashboard; ``rows`` are headings with the panels below them, ``boxes`` text boxes."""

    uid: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    boxes: Sequence[tuple[str, str]] = ()


LINKS = {
    "domain": ("danewatch-domain", "domain", "Domain"),
    "mx": ("danewatch-mx", "mx", "MX host"),
    "dns_zone": ("danewatch-dnssec", "dns_zone", "Zone"),
}
"""Where a label in a table leads: dashboard, its text box, what it is called."""


def stat(title: str, description: str, expr: str, **more: Any) -> Panel:
    """Return a single number."""
    more = {"width": 4, "height": 4} | more
    legend = more.pop("legend", "")
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if "limits" in more or "words" in more else "none",
        "graphMode": "area" if more.get("unit", "short") == "short" else "none",
        "textMode": "value_and_name" if legend else "value",
    }
    return Panel(
        kind="stat",
        title=title,
        description=description,
        queries=[Query(expr=expr, legend=legend)],
        options=options,
        **more,
    )


def graph(
    title: str, description: str, *queries: Query, stacked: bool = False, **more: Any
) -> Panel:
    """Return lines over time, or areas on top of each other."""
    custom: Json = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
    if stacked:
        custom |= {"fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}}
    return Panel(
        kind="timeseries",
        title=title,
        description=description,
        queries=queries,
        custom=custom,
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        **more,
    )


def table(
    title: str,
    description: str,
    expr: str,
    columns: Mapping[str, str],
    **more: Any,
) -> Panel:
    """Return a table of one query: a row for each series, ``columns`` names by field, in order."""
    return Panel(
        kind="table",
        title=title,
        description=description,
        queries=[Query(expr=expr)],
        columns=columns,
        options={"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
        **more,
    )


def timeline(title: str, description: str, *queries: Query, **more: Any) -> Panel:
    """Return states over time, a lane for each series."""
    return Panel(
        kind="state-timeline",
        title=title,
        description=description,
        queries=queries,
        custom={"fillOpacity": 80, "lineWidth": 0},
        options={
            "mergeValues": True,
            "showValue": "never",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        },
        **more,
    )


def dashboard_json(dashboard: Dashboard) -> Json:
    """Return the dashboard in Grafana's classic schema."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["danewatch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [*_variables(), *map(_text_box, dashboard.boxes)]},
        "links": [
            {
                "type": "dashboards",
                "title": "danewatch",
                "tags": ["danewatch"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "panels": _placed(dashboard.rows),
    }


def _variables() -> list[Json]:
    made: list[Json] = [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
            "hide": 0,
        }
    ]
    for label, selection in (("job", ""), ("instance", '{job=~"$job"}')):
        made.append(
            {
                "name": label,
                "label": label.capitalize(),
                "type": "query",
                "datasource": DATASOURCE,
                "query": {
                    "query": f"label_values(danewatch_build_info{selection}, {label})",
                    "refId": "variable",
                },
                "refresh": 2,
                "sort": 1,
                "multi": True,
                "includeAll": True,
                "allValue": ".*",
                "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
                "hide": 0,
            }
        )
    return made


def _text_box(box: tuple[str, str]) -> Json:
    name, label = box
    value = {"selected": True, "text": ".*", "value": ".*"}
    return {
        "name": name,
        "label": f"{label} (regular expression)",
        "type": "textbox",
        "query": ".*",
        "current": value,
        "options": [value],
        "hide": 0,
    }


def _placed(rows: Sequence[tuple[str, Sequence[Panel]]]) -> list[Json]:
    """Return the panels with ids and places: from left to right, then below."""
    made: list[Json] = []
    top = 0
    for heading, panels in rows:
        made.append(
            {
                "type": "row",
                "id": len(made) + 1,
                "title": heading,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            }
        )
        top += 1
        left = tallest = 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            made.append(_panel(panel, len(made) + 1, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made


def _panel(panel: Panel, number: int, place: Json) -> Json:
    is_table = panel.kind == "table"
    defaults: Json = {
        "unit": panel.unit,
        "custom": panel.custom,
        "color": {"mode": "thresholds" if panel.limits else "palette-classic"},
        "thresholds": _thresholds(panel.limits),
        "mappings": _mappings(panel.words),
    }
    if is_table:
        defaults["unit"] = "string"
    made: Json = {
        "type": panel.kind,
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel) if is_table else []},
        "options": panel.options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": is_table or panel.kind == "stat",
                "range": not (is_table or panel.kind == "stat"),
                "format": "table" if is_table else "time_series",
                "editorMode": "code",
            }
            for index, query in enumerate(panel.queries)
        ],
    }
    if is_table:
        made["transformations"] = [_organize(panel)]
    return made


def _thresholds(limits: Mapping[str, float]) -> Json:
    """Return colours by value: the first holds from the bottom."""
    steps: list[Json] = [
        {"color": color, "value": None if number == 0 else value}
        for number, (color, value) in enumerate(limits.items())
    ]
    return {"mode": "absolute", "steps": steps or [{"color": "text", "value": None}]}


def _mappings(words: Mapping[str, tuple[str, str]]) -> list[Json]:
    if not words:
        return []
    options = {
        value: {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


def _overrides(panel: Panel) -> list[Json]:
    made: list[Json] = []
    for label, name in panel.columns.items():
        properties: list[Json] = []
        if label == "Value":
            properties.append({"id": "unit", "value": panel.unit})
            if panel.limits:
                properties.append({"id": "thresholds", "value": _thresholds(panel.limits)})
                properties.append(
                    {"id": "custom.cellOptions", "value": {"type": "color-text"}},
                )
        if label in LINKS:
            properties.append({"id": "links", "value": [_link(label, name)]})
        if properties:
            made.append(
                {"matcher": {"id": "byName", "options": name}, "properties": properties},
            )
    return made


def _link(label: str, column: str) -> Json:
    uid, box, what = LINKS[label]
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance"))
    return {
        "title": f"{what} ${{__value.text}}",
        "url": f"/d/{uid}?var-{box}=${{__value.raw:percentencode}}&{kept}&${{__url_time_range}}",
        "targetBlank": False,
    }


def _organize(panel: Panel) -> Json:
    hidden = ["Time", "__name__", "job", "instance", *panel.hidden]
    if "Value" not in panel.columns:
        hidden.append("Value")
    return {
        "id": "organize",
        "options": {
            "excludeByName": {name: True for name in hidden if name not in panel.columns},
            "indexByName": {name: index for index, name in enumerate(panel.columns)},
            "renameByName": dict(panel.columns),
        },
    }
