"""Dashboards about partners: all of them, and one domain.

Tables hold failing rows only, or the rows of what was chosen, and a bounded number of them.
"""

from grafana.builder.panels import (
    HERE,
    OFF_ON,
    ON_OFF,
    Dashboard,
    Query,
    graph,
    stat,
    table,
    timeline,
)
from grafana.builder.selections import (
    ALL,
    BAD_ABOVE_ZERO,
    CERTIFICATE,
    DOMAIN,
    ON_DOMAIN,
    ON_MX,
    ON_ZONE,
    ROWS,
    SHARE_LEFT,
    SIGNATURE,
)

_VERDICTS = "instance_verdict:danewatch_domain_verdict:count"
_PHASES = "instance_phase:danewatch_domain_phase:count"


def _failing(selection: str) -> str:
    """Domains whose mail is not delivered, with cause, verdict and phase."""
    return (
        f"danewatch_domain_cause{selection}\n"
        f"* {ON_DOMAIN} group_left (verdict) danewatch_domain_verdict{selection}\n"
        f"* {ON_DOMAIN} group_left (phase) danewatch_domain_phase{selection}"
    )


_FAILING_COLUMNS = {
    "domain": "Domain",
    "verdict": "Verdict",
    "phase": "Mail is",
    "mx": "MX host at fault",
    "dns_zone": "Zone at fault",
}

OVERVIEW = Dashboard(
    uid="danewatch-overview",
    title="danewatch / Overview",
    description="How mail to all partners fares now, what fails, and what is about to.",
    rows=[
        (
            "Now",
            [
                stat(
                    "Domains watched",
                    "Domains on the target lists.",
                    f"sum(danewatch_targets{ALL})",
                ),
                stat(
                    "Protected",
                    "Share of the domains whose every MX host authenticates with DANE.",
                    f'sum({_VERDICTS}{{{HERE}, verdict="protected"}}) / sum({_VERDICTS}{ALL})',
                    unit="percentunit",
                ),
                stat(
                    "Blocked",
                    "Domains to which a DANE-enforcing sender delivers nothing.",
                    f"sum(danewatch_domain_blocked{ALL})",
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Mail waits",
                    "Domains whose mail waits in the queue, blocked ones included.",
                    f'sum({_PHASES}{{{HERE}, phase="deferring"}}) or vector(0)',
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Mail bounces",
                    "Domains that have failed for longer than senders keep mail.",
                    f"sum(instance_cause:danewatch_domain_bouncing:count{ALL}) or vector(0)",
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Sees",
                    "Whether danewatch trusts its own eyes; while it does not, nothing below "
                    "changes.",
                    f"max(danewatch_blind{ALL})",
                    words=OFF_ON | {"0": ("yes", "green"), "1": ("BLIND", "red")},
                    unit="none",
                ),
            ],
        ),
        (
            "What fails",
            [
                table(
                    "Domains without delivery",
                    "Each domain whose mail is not delivered, and what explains it: a zone, MX "
                    "hosts, or neither, when it lies at the domain itself.",
                    f"topk({ROWS}, {_failing(ALL)})",
                    _FAILING_COLUMNS,
                    width=14,
                    height=10,
                    must_show=False,
                ),
                table(
                    "Next to bounce",
                    "When the first mail held up by a host, zone or domain comes back.",
                    "bottomk(25, instance_cause:danewatch_domain_bounces_from_timestamp_seconds:min"
                    f"{ALL} - time())",
                    {
                        "Value": "Bounces in",
                        "mx": "MX host at fault",
                        "dns_zone": "Zone at fault",
                        "domain": "Domain",
                    },
                    unit="s",
                    width=10,
                    height=10,
                    limits={"red": 0.0, "orange": 21_600.0, "green": 64_800.0},
                    must_show=False,
                ),
                table(
                    "MX hosts by partners blocked",
                    "The hosts whose repair helps most.",
                    f"topk(20, instance_mx:danewatch_domain_blocked:count{ALL})",
                    {"mx": "MX host", "dns_zone": "Zone", "Value": "Partners blocked"},
                    width=8,
                    must_show=False,
                ),
                table(
                    "Certificates about to end",
                    "Less than a quarter of the lifetime is left, where expiry breaks delivery.",
                    f"bottomk(25, {CERTIFICATE}{ALL} < 0.25\n"
                    f"and {ON_MX} danewatch_mx_certificate_expiry_enforced{ALL} == 1)",
                    {"mx": "MX host", "Value": "Lifetime left"},
                    unit="percentunit",
                    width=8,
                    limits=SHARE_LEFT,
                    must_show=False,
                ),
                table(
                    "Signatures about to end",
                    "Less than a quarter of the lifetime of the zone's first signature to end.",
                    f"bottomk(25, {SIGNATURE}{ALL} < 0.25)",
                    {"dns_zone": "Zone", "Value": "Lifetime left"},
                    unit="percentunit",
                    width=8,
                    limits=SHARE_LEFT,
                    must_show=False,
                ),
            ],
        ),
        (
            "Over time",
            [
                graph(
                    "Domains by verdict",
                    "All domains, by the verdict of their last check.",
                    Query(expr=f"sum by (verdict) ({_VERDICTS}{ALL})", legend="{{verdict}}"),
                    stacked=True,
                ),
                graph(
                    "MX hosts by outcome",
                    "All hosts, by the outcome of their last check.",
                    Query(
                        expr=f"sum by (outcome) (instance_outcome:danewatch_mx_outcome:count{ALL})",
                        legend="{{outcome}}",
                    ),
                    stacked=True,
                ),
                graph(
                    "Confirmed changes",
                    "Changes of domains, MX hosts and zones, by what changed.",
                    Query(
                        expr="sum by (entity_type) "
                        f"(increase(danewatch_transitions_total{ALL}[$__rate_interval]))",
                        legend="{{entity_type}}",
                    ),
                ),
                graph(
                    "Waiting for a second look",
                    "Changes for the worse that were seen once and are not believed yet.",
                    Query(expr=f"sum(danewatch_suspicions{ALL})", legend="suspicions"),
                ),
            ],
        ),
    ],
)

DOMAIN_DASHBOARD = Dashboard(
    uid="danewatch-domain",
    title="danewatch / Domain",
    description="One domain, or those that match: verdict, hosts, zone, what is about to end.",
    boxes=[("domain", "Domain")],
    rows=[
        (
            "Now",
            [
                table(
                    "Verdict",
                    "The verdict of the last check and what happens to the mail.",
                    f"topk({ROWS}, danewatch_domain_verdict{DOMAIN}\n"
                    f"* {ON_DOMAIN} group_left (phase) danewatch_domain_phase{DOMAIN})",
                    {"domain": "Domain", "verdict": "Verdict", "phase": "Mail is"},
                    width=8,
                ),
                table(
                    "What it fails by",
                    "Only while mail is not delivered: the zone or the MX hosts at fault; neither "
                    "where it lies at the domain itself.",
                    f"topk({ROWS}, {_failing(DOMAIN)})",
                    _FAILING_COLUMNS,
                    width=10,
                    must_show=False,
                ),
                table(
                    "Bounces in",
                    "Only while mail waits: when it comes back to its senders.",
                    f"topk({ROWS}, "
                    f"danewatch_domain_bounces_from_timestamp_seconds{DOMAIN} - time())",
                    {"domain": "Domain", "Value": "Bounces in"},
                    unit="s",
                    width=6,
                    limits={"red": 0.0, "orange": 21_600.0, "green": 64_800.0},
                    must_show=False,
                ),
            ],
        ),
        (
            "MX hosts and zones",
            [
                table(
                    "MX hosts",
                    "In order of preference, with the outcome of the last check of each.",
                    f"topk({ROWS}, danewatch_domain_mx_preference{DOMAIN}\n"
                    f"* {ON_MX} group_left (outcome) danewatch_mx_outcome{ALL})",
                    {
                        "domain": "Domain",
                        "Value": "Preference",
                        "mx": "MX host",
                        "outcome": "Outcome",
                    },
                    width=12,
                ),
                table(
                    "Zone",
                    "The zone of the MX records, with its status.",
                    f"topk({ROWS}, danewatch_domain_zone{DOMAIN}\n"
                    f"* {ON_ZONE} group_left (status, reason) danewatch_zone_status{ALL})",
                    {
                        "domain": "Domain",
                        "dns_zone": "Zone",
                        "status": "Status",
                        "reason": "Reason",
                    },
                    width=12,
                ),
                table(
                    "Certificates of the hosts",
                    "Share of the lifetime that is left.",
                    f"bottomk({ROWS}, {CERTIFICATE}{ALL}\n"
                    f"and {ON_MX} danewatch_domain_mx_preference{DOMAIN})",
                    {"mx": "MX host", "Value": "Lifetime left"},
                    unit="percentunit",
                    width=12,
                    limits=SHARE_LEFT,
                ),
                table(
                    "Labels",
                    "The labels the domain has on the target list.",
                    f"topk({ROWS}, danewatch_domain_info{DOMAIN})",
                    {"domain": "Domain"},
                    width=12,
                ),
            ],
        ),
        (
            "Over time",
            [
                timeline(
                    "Mail is delivered",
                    "As confirmed: one bad look does not show here.",
                    Query(expr=f"topk(25, danewatch_domain_up{DOMAIN})", legend="{{domain}}"),
                    words=ON_OFF,
                    unit="none",
                ),
                timeline(
                    "Flapping",
                    "Whether the domain changed so often that its recovery needs a second look.",
                    Query(expr=f"topk(25, danewatch_domain_flapping{DOMAIN})", legend="{{domain}}"),
                    words=OFF_ON,
                    unit="none",
                    must_show=False,
                ),
                graph(
                    "MX hosts with DANE",
                    "Hosts of the domain, and those of them that authenticated.",
                    Query(
                        expr=f"topk(25, danewatch_domain_mx_hosts{DOMAIN})",
                        legend="{{domain}} hosts",
                    ),
                    Query(
                        expr=f"topk(25, danewatch_domain_mx_hosts_authenticated{DOMAIN})",
                        legend="{{domain}} authenticated",
                    ),
                ),
                graph(
                    "Since the last check",
                    "How old what is shown is.",
                    Query(
                        expr="topk(25, time() - "
                        f"danewatch_domain_last_check_timestamp_seconds{DOMAIN})",
                        legend="{{domain}}",
                    ),
                    unit="s",
                ),
                graph(
                    "Since the last change",
                    "How long the domain has been as it is.",
                    Query(
                        expr="topk(25, time() - "
                        f"danewatch_domain_last_transition_timestamp_seconds{DOMAIN})",
                        legend="{{domain}}",
                    ),
                    unit="s",
                ),
            ],
        ),
    ],
)
