"""Builds the Prometheus rules, Grafana's dashboards and alert rules, and ``docs/alerts.md``.

    python -m grafana.builder

Everything below ``grafana/`` that is not Python is made here and committed; a test holds that the
two agree. Operators use the files and never need this package, which no wheel holds.
"""
