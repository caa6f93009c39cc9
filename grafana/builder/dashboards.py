"""All dashboards, and how they are written."""

import json

from grafana.builder.dashboards_partners import DOMAIN_DASHBOARD, OVERVIEW
from grafana.builder.dashboards_scanner import SCANNER_DASHBOARD
from grafana.builder.dashboards_shared import DNSSEC_DASHBOARD, MX_DASHBOARD
from grafana.builder.panels import Dashboard, dashboard_json

DASHBOARDS = (OVERVIEW, DOMAIN_DASHBOARD, MX_DASHBOARD, DNSSEC_DASHBOARD, SCANNER_DASHBOARD)


def dashboard_text(dashboard: Dashboard) -> str:
    """Return the file of one dashboard."""
    return json.dumps(dashboard_json(dashboard), indent=2, ensure_ascii=False) + "\n"
