"""Renders the rules for Prometheus: one file of recording rules, one of alerts."""

from collections.abc import Sequence
from typing import Any

import yaml

from grafana.builder.rules import NAMES_SHOWN, Alert, Group, Recording, tidy

HEADER = """\
# Made by grafana/builder; change it there. Prometheus 2.42 or newer.
"""


class _Dumper(yaml.SafeDumper):
    """YAML as one would write it: blocks for several lines, lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else ">" if len(value) > 70 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(value: Any, *, header: str = HEADER) -> str:
    """Return ``value`` as a YAML document under ``header``, the same for the same value."""
    return header + yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def rule_file(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the content of a Prometheus rule file."""
    return {"groups": [_group(group) for group in groups]}


def _group(group: Group) -> dict[str, Any]:
    made: dict[str, Any] = {"name": group.name}
    if group.interval is not None:
        made["interval"] = group.interval
    return made | {"rules": [_rule(rule) for rule in group.rules]}


def _rule(rule: Recording | Alert) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": tidy(rule.expr)}
    made: dict[str, Any] = {"alert": rule.name, "expr": rule.expr()}
    if rule.wait != "0m":
        made["for"] = rule.wait
    return made | {
        "keep_firing_for": rule.keep,
        "labels": {"severity": rule.severity.value, "scope": rule.scope.value},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description + _names(rule),
            "runbook_url": rule.runbook_url,
        },
    }


def _names(rule: Alert) -> str:
    """Return the template that names the domains behind an alert, the first of them."""
    if rule.names is None:
        return ""
    arguments = " ".join(f"$labels.{label}" for label in ("job", "instance", *rule.labels))
    selection = f"topk({NAMES_SHOWN}, {rule.names})".replace('"', '\\"')
    query = f'query (printf "{selection}" {arguments}) | sortByLabel "domain"'
    return (
        f"{{{{ range $i, $one := {query} }}}}{{{{ if $i }}}}, {{{{ else }}}} "
        f"Domains ({NAMES_SHOWN} at most): {{{{ end }}}}{{{{ $one.Labels.domain }}}}{{{{ end }}}}"
    )
