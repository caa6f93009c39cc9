"""Writes ``docs/alerts.md``: a section for each alert, and the recording rules."""

import textwrap
from collections.abc import Iterator

from grafana.builder.catalogue import ALERT_GROUPS, ALERTS, RECORDINGS
from grafana.builder.rules import KEEP_FIRING, Alert, Group, Scope, Severity

_INTRODUCTION = f"""\
# Alerts

`grafana/alerts/` holds rules for Prometheus 2.42 or newer: `danewatch-recording.rules.yml`, which
dashboards and alerts rest on, and `danewatch-alerts.rules.yml`. Beside them lies an example for
Alertmanager. [Grafana](grafana.md) tells how to have the same alerts managed by Grafana.

```yaml
# prometheus.yml
rule_files:
  - /etc/prometheus/danewatch-recording.rules.yml
  - /etc/prometheus/danewatch-alerts.rules.yml
scrape_configs:
  - job_name: danewatch
    scrape_interval: 60s
    static_configs:
      - targets: ["127.0.0.1:9798"]
```

`runbook_url` is `docs/alerts.md#...`, below the place where you publish these pages; put that in
front with `sed` when you install the file.

## How the rules think

- **One fault, one alert.** `danewatch_domain_cause` names, for a domain whose mail is not
  delivered, what is at fault: a bogus zone, else the MX hosts that fail, else the domain itself.
  A zone's alert stands for its hosts and domains, a host's alert for its domains, with their
  number and the names of the first. A domain has an alert of its own only where neither explains
  it.
- **What is confirmed is not waited for.** danewatch looks twice before it calls a partner broken,
  so most alerts about delivery wait five minutes only, which bridges a scrape.
- **A restart is no recovery.** Every alert fires on for {KEEP_FIRING} after its cause is gone
  (`keep_firing_for`), because the page of a danewatch that restarts is gone for some minutes.
- **Whoever is blind says nothing about others.** While `danewatch_blind` is 1, no alert about a
  partner begins, and none ends, because nobody has seen it end: the rules hold what they
  themselves fire, in the series `ALERTS`. The example for Alertmanager mutes all of them
  meanwhile as well. Both are there for a reason. A rule alone would go on sending what fired
  before. Inhibition alone would depend on how somebody set up Alertmanager, and would let alerts
  that come by time alone (a bounce that draws near, a certificate that ends) begin while nobody
  can see whether they are true, to be sent in a heap the moment sight returns.
- **Share of the lifetime, not days.** A certificate of a week and one of a year are both late
  when a tenth is left.

## Labels

`severity` is `critical` (mail is lost, will be, or nobody is watching: somebody at once),
`warning` (in working hours) or `info` (nobody need be told). `scope` says what an alert is about,
for routing and inhibition:

| scope | about | named by |
|---|---|---|
| `zone` | a DNS zone | `dns_zone` |
| `mx` | an MX host | `mx`, and `dns_zone` where the alert is about delivery or protection |
| `domain` | a domain whose fault lies at no host and no zone | `domain` |
| `queue` | mail that bounces or soon will, by its cause | one of `dns_zone`, `mx`, `domain` |
| `scanner` | danewatch itself | `instance` |

## Alertmanager

`grafana/alerts/alertmanager.example.yml` routes what is about danewatch to its operators and what
is about partners to the mail team, at once when it is critical. It inhibits:

- everything about partners, by a danewatch that is blind, suspects itself, or has a wrong clock;
- hosts and domains, by the bogus zone they lie in;
- lesser alerts of a host and of the domains named after it, by its failure to deliver;
- "bounces soon", by "bounces";
- the lesser of two bands of one alert.

Send alerts about broken mail another way than by mail.

## Thresholds of your own

Rules that you load beside these can use the recorded series. To change one of ours, copy the
file: it is plain YAML. `promtool check rules` and `promtool test rules` tell whether it still
holds.
"""

_SCOPES = {
    Scope.ZONE: "a zone",
    Scope.MX: "an MX host",
    Scope.DOMAIN: "a domain",
    Scope.QUEUE: "mail in the queue",
    Scope.SCANNER: "danewatch itself",
}
_HEADINGS = {
    "danewatch-mail": "Mail that is not delivered",
    "danewatch-protection": "Protection that is lost or unstable",
    "danewatch-endings": "What is about to end",
    "danewatch-sight": "Whether danewatch sees",
    "danewatch-pace": "Whether danewatch keeps up",
    "danewatch-keeping": "Whether danewatch keeps what it saw",
}


def alerts_page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for group in ALERT_GROUPS:
        parts.append(f"## {_HEADINGS[group.name]}\n")
        parts += _sections(group)
    parts.append("## Recorded series\n")
    parts.append("Each has `job` and `instance` too.\n")
    parts.append("| series | labels | what it tells |\n|---|---|---|")
    for one in RECORDINGS:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        parts.append(f"| `{one.name}` | {labels} | {one.sentence} |")
    return "\n".join(parts) + "\n"


def _sections(group: Group) -> Iterator[str]:
    for name in dict.fromkeys(rule.name for rule in group.rules):
        bands = [one for one in ALERTS if one.name == name]
        yield f"### {name}\n"
        yield f"{_wrapped(bands[0].meaning)}\n"
        yield f"{_wrapped(f'**What to do.** {bands[0].remedy}')}\n"
        yield f"It is about {_SCOPES[bands[0].scope]}.\n"
        yield "| severity | after | says |\n|---|---|---|"
        yield from (_band(one) for one in bands)
        yield ""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False, break_long_words=False)


def _band(alert: Alert) -> str:
    after = "at once" if alert.wait == "0m" else alert.wait
    worst = alert.severity is Severity.CRITICAL
    severity = f"**{alert.severity}**" if worst else alert.severity
    return f"| {severity} | {after} | {_plain(alert.summary)} |"


def _plain(template: str) -> str:
    """Return a summary without template language: what is filled in, in capitals."""
    text = template
    for begin, end, shown in (
        ("{{ with $labels.dns_zone }}", "{{ with $labels.domain }}{{ . }}{{ end }}", "CAUSE"),
        ("{{ with $labels.reason }}", "{{ end }}", ": REASON"),
    ):
        if begin in text and end in text:
            before, _, rest = text.partition(begin)
            text = before + shown + rest.partition(end)[2]
    while "{{" in text:
        before, _, rest = text.partition("{{")
        inner, _, after = rest.partition("}}")
        name = inner.split("|")[0].strip().removeprefix("$labels.").removeprefix("$")
        text = f"{before}{name.upper()}{after}"
    return text
