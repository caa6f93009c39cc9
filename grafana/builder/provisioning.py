"""Files that Grafana reads when it starts: data source, dashboards, alert rules.

Grafana's own alert rules are the same alerts as Prometheus', for those who have no Alertmanager.
They differ where Grafana does:

- Each asks its data source one instant query. What comes back fires, whatever its value; where
  nothing does, the query gives one value that is not a number, so that an empty answer is an
  answer and neither "no data" nor the end of what fires.
- A series that vanishes ends after as many evaluations as ``keep_firing_for`` has minutes.
- Annotations cannot ask further queries: they name the host or zone, and a dashboard names the
  domains behind it.
- Grafana writes no ``ALERTS`` series. While danewatch is blind an alert that fires can end.
"""

import hashlib
from typing import Any

from grafana.builder.catalogue import ALERT_GROUPS
from grafana.builder.rules import Alert, Group, Scope

DATASOURCE_UID = "danewatch-prometheus"
FOLDER = "danewatch"
INTERVAL = "1m"
HEADER = "# Made by grafana/builder; change it there.\n"
ALERTING_HEADER = HEADER + "# Needs the recording rules in Prometheus; Grafana 12.2 or newer.\n"
_DASHBOARD = {
    Scope.ZONE: "danewatch-dnssec",
    Scope.MX: "danewatch-mx",
    Scope.DOMAIN: "danewatch-domain",
    Scope.QUEUE: "danewatch-overview",
    Scope.SCANNER: "danewatch-scanner",
}


def datasources() -> dict[str, Any]:
    """Return the data source; ``PROMETHEUS_URL`` in Grafana's environment says where it is."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "danewatch",
                "uid": DATASOURCE_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": "$PROMETHEUS_URL",
                "isDefault": False,
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": "60s"},
            }
        ],
    }


def dashboard_provider() -> dict[str, Any]:
    """Return where Grafana finds the dashboards; ``DANEWATCH_DASHBOARDS`` is their directory."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "danewatch",
                "orgId": 1,
                "folder": FOLDER,
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 60,
                "options": {"path": "$DANEWATCH_DASHBOARDS"},
            }
        ],
    }


def alerting() -> dict[str, Any]:
    """Return the alert rules for Grafana."""
    return {"apiVersion": 1, "groups": [_group(group) for group in ALERT_GROUPS]}


def _group(group: Group) -> dict[str, Any]:
    return {
        "orgId": 1,
        "name": group.name,
        "folder": FOLDER,
        "interval": INTERVAL,
        "rules": [_rule(rule) for rule in group.rules if isinstance(rule, Alert)],
    }


def _rule(alert: Alert) -> dict[str, Any]:
    is_down = alert.name == "DanewatchDown"
    return {
        "uid": _uid(alert),
        "title": f"{alert.name} ({alert.severity})",
        "condition": "fires",
        "for": "0s" if alert.wait == "0m" else alert.wait,
        "missing_series_evals_to_resolve": int(alert.keep.removesuffix("m")),
        "noDataState": "Alerting" if is_down else "OK",
        "execErrState": "Alerting" if is_down else "KeepLast",
        "labels": {
            "alert": alert.name,
            "severity": alert.severity.value,
            "scope": alert.scope.value,
        },
        "annotations": {
            "summary": _template(alert.summary),
            "description": _template(alert.description),
            "runbook_url": alert.runbook_url,
            "__dashboardUid__": _DASHBOARD[alert.scope],
        },
        "isPaused": False,
        "data": [_query(alert), _condition()],
    }


def _uid(alert: Alert) -> str:
    """Return an identifier that stays: forty characters at most, as Grafana wants them."""
    digest = hashlib.sha256(f"{alert.name} {alert.severity}".encode()).hexdigest()
    return f"danewatch-{digest[:20]}"


def grafana_expr(alert: Alert) -> str:
    """Return the query of ``alert``: its series, or one that is not a number."""
    return f"(\n{alert.expr_without_memory()}\n)\nor on () vector(NaN)"


def _query(alert: Alert) -> dict[str, Any]:
    return {
        "refId": "value",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": DATASOURCE_UID,
        "model": {
            "refId": "value",
            "expr": grafana_expr(alert),
            "instant": True,
            "range": False,
            "editorMode": "code",
        },
    }


def _condition() -> dict[str, Any]:
    return {
        "refId": "fires",
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": "fires",
            "type": "math",
            "expression": "is_number(${value})",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
        },
    }


def _template(text: str) -> str:
    """Return ``text`` in Grafana's template language: a value belongs to a query there."""
    return text.replace("$value", "$values.value.Value")
