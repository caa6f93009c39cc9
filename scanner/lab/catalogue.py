"""Every scenario the lab can show, and the plans made of them.

``scenario_plan`` holds all of T01 to T48 and the edge cases, each as a domain of its own;
``demo_plan`` a short story with realistic names.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from scanner.lab.builder import Builder
from scanner.lab.edge_cases_dns import DNS_EDGE_CASES, case27
from scanner.lab.edge_cases_tls import TLS_EDGE_CASES
from scanner.lab.plan import LabPlan
from scanner.lab.scenarios_dns import DNS_SCENARIOS
from scanner.lab.scenarios_tls import TLS_SCENARIOS
from scanner.lab.story import story

Scenario = Callable[[Builder], None]

ALL_SCENARIOS: tuple[Scenario, ...] = (
    *DNS_SCENARIOS,
    *TLS_SCENARIOS,
    *DNS_EDGE_CASES,
    *TLS_EDGE_CASES,
)


def scenario_plan(
    now: datetime, labels: Iterable[str] | None = None, *, ipv6: bool = False
) -> LabPlan:
    """Return the lab of all scenarios, or of those named (``T12``, any case).

    ``ipv6`` adds the one host that only has ``::1``; the machine must have that address (see
    ``scanner.lab.mailhost.has_ipv6_loopback``). Raises KeyError for a label that is no scenario.
    """
    by_label = {label_of(scenario): scenario for scenario in ALL_SCENARIOS}
    wanted = by_label if labels is None else [label.upper() for label in labels]
    builder = Builder(now)
    for label in wanted:
        builder.label = label
        by_label[label](builder)
    if ipv6:
        builder.label = label_of(case27)
        case27(builder)
    return builder.plan()


def demo_plan(now: datetime) -> LabPlan:
    """Return the lab of the demo's partners."""
    builder = Builder(now)
    story(builder)
    return builder.plan()


def label_of(scenario: Scenario) -> str:
    """Return the scenario's name in the table."""
    return scenario.__name__.upper().replace("_", "-")
