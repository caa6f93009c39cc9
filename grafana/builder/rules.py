"""The nouns of the rules: recording rules, alerts, and the gate that keeps partner alerts silent.

Every alert is declared once, with its meaning and its remedy. Prometheus' rule file, Grafana's
alert rules and the page of alerts are three renderings of the same declaration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent, indent

RUNBOOK = "docs/alerts.md"
"""Where ``runbook_url`` points, below the place where one publishes these pages; the anchor is the
alert's name in lower case."""
INSTANCE = "job, instance"
"""The labels that tell one danewatch from another; Prometheus adds them to every series."""
NAMES_SHOWN = 10
"""Domains that a description names at most; the number it gives counts all of them."""
KEEP_FIRING = "15m"
"""How long an alert outlives its cause: longer than a restart of danewatch, whose page is then
gone for some minutes, so that no restart looks like a recovery."""


class Severity(StrEnum):
    """What an alert asks for: somebody at once, somebody in working hours, nobody."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Scope(StrEnum):
    """What an alert is about; routing and inhibition rest on it."""

    ZONE = "zone"
    MX = "mx"
    DOMAIN = "domain"
    QUEUE = "queue"
    """Mail that waits or comes back; not inhibited by what made it wait, since it says how late."""
    SCANNER = "scanner"


SCOPE_LABELS = {
    Scope.ZONE: ("dns_zone",),
    Scope.MX: ("mx",),
    Scope.DOMAIN: ("domain",),
    Scope.QUEUE: ("mx", "dns_zone", "domain"),
    Scope.SCANNER: (),
}
"""The labels that name what an alert of each scope is about, beside job and instance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One recording rule; ``sentence`` says what its series tell, ``labels`` which they may have
    beside job and instance."""

    name: str
    expr: str
    sentence: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert rule.

    ``condition`` is PromQL without the gate; ``gated`` says whether blindness of the scanner keeps
    it from beginning to fire. ``names`` is a PromQL selection, in which ``{mx}`` and the like stand
    for matchers of the alert's labels, whose ``domain`` labels the description lists. ``about``
    are the labels that tell one alert of this name from another, those of the scope by default.
    """

    name: str
    severity: Severity
    scope: Scope
    condition: str
    wait: str
    summary: str
    description: str
    meaning: str
    remedy: str
    keep: str = KEEP_FIRING
    gated: bool = False
    names: str | None = None
    about: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that name what it is about."""
        return self.about or SCOPE_LABELS[self.scope]

    @property
    def runbook_url(self) -> str:
        """The section of the documentation that explains it."""
        return f"{RUNBOOK}#{self.name.lower()}"

    def expr(self) -> str:
        """Return the expression of the Prometheus rule.

        While danewatch is blind nothing new fires, because what it shows is old; and nothing that
        fires ends, because nobody has seen it end.
        """
        condition = tidy(self.condition)
        if not self.gated:
            return condition
        held = ", ".join((INSTANCE, *self.labels))
        firing = (
            f'ALERTS{{alertname="{self.name}", alertstate="firing", severity="{self.severity}"}}'
        )
        return (
            f"{bracketed(condition)}\nunless on ({INSTANCE}) danewatch_blind == 1\n"
            f"or\n{bracketed(condition)}\nand on ({held}) {firing}"
        )

    def expr_without_memory(self) -> str:
        """Return the expression for a ruler that writes no ``ALERTS`` series: Grafana."""
        condition = tidy(self.condition)
        if not self.gated:
            return condition
        return f"{bracketed(condition)}\nunless on ({INSTANCE}) danewatch_blind == 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rules that are evaluated together, in order; every ``interval``, or as often as all."""

    name: str
    rules: Sequence[Recording | Alert]
    interval: str | None = None


def tidy(expr: str) -> str:
    """Return ``expr`` without the indentation of the source it stands in."""
    return dedent(expr).strip()


def bracketed(expr: str) -> str:
    """Return ``expr`` in brackets, on lines of its own where it has several."""
    if "\n" not in expr:
        return f"({expr})"
    return f"(\n{indent(expr, '  ')}\n)"


def with_zone(expr: str, label: str) -> str:
    """Return ``expr`` with the label ``dns_zone`` of the entity named by ``label``, where known.

    It is what a zone's alert inhibits its hosts and domains by.
    """
    inner = bracketed(tidy(expr))
    on = f"on ({INSTANCE}, {label})"
    zone = f"danewatch_{label}_zone"
    return f"{inner}\n* {on} group_left (dns_zone) {zone}\nor {on}\n{inner}"
