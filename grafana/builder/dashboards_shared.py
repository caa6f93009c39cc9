"""Dashboards about what partners share: MX hosts and their operators, DNS zones."""

from grafana.builder.panels import OFF_ON, ON_OFF, Dashboard, Query, graph, stat, table, timeline
from grafana.builder.selections import (
    ALL,
    BAD_ABOVE_ZERO,
    CERTIFICATE,
    MX,
    ON_MX,
    ON_ZONE,
    ROWS,
    SHARE_LEFT,
    SIGNATURE,
    ZONE,
)

MX_DASHBOARD = Dashboard(
    uid="danewatch-mx",
    title="danewatch / MX operators",
    description="The hosts that partners share: which fail, how many partners are behind them.",
    boxes=[("mx", "MX host")],
    rows=[
        (
            "All that match",
            [
                stat("Hosts", "MX hosts that match.", f"count(danewatch_mx_up{MX})"),
                stat(
                    "Failing",
                    "Hosts through which no mail is delivered.",
                    f"count(danewatch_mx_up{MX} == 0) or vector(0)",
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Partners blocked",
                    "Domains blocked because of these hosts.",
                    f"sum(instance_mx:danewatch_domain_blocked:count{MX}) or vector(0)",
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Partners waiting",
                    "Domains whose mail waits because of these hosts, without being blocked.",
                    f"sum(instance_mx:danewatch_domain_deferred:count{MX}) or vector(0)",
                    limits={"green": 0.0, "orange": 1.0},
                ),
                stat(
                    "With DANE",
                    "Share of the hosts at which an address authenticates.",
                    f"count(danewatch_mx_addresses_authenticated{MX} > 0)"
                    f" / count(danewatch_mx_up{MX})",
                    unit="percentunit",
                ),
                stat(
                    "Left-over TLSA records",
                    "Hosts with usable TLSA records that match nothing they present.",
                    f"count(danewatch_mx_tlsa_unmatched_records{MX} > 0) or vector(0)",
                    limits={"green": 0.0, "blue": 1.0},
                ),
            ],
        ),
        (
            "Failing hosts",
            [
                table(
                    "Failing hosts",
                    "Hosts through which no mail is delivered, and how many domains name them.",
                    "topk(50, instance_mx:danewatch_domain_mx_preference:count"
                    f"{MX}\n* {ON_MX} group_left (outcome)\n"
                    f"(danewatch_mx_outcome{MX} and {ON_MX} danewatch_mx_up{MX} == 0))",
                    {"mx": "MX host", "outcome": "Outcome", "Value": "Domains behind it"},
                    must_show=False,
                ),
                table(
                    "Certificates about to end",
                    "Share of the lifetime that is left, the least first.",
                    f"bottomk(25, {CERTIFICATE}{MX} < 0.5)",
                    {"mx": "MX host", "Value": "Lifetime left"},
                    unit="percentunit",
                    limits=SHARE_LEFT,
                    must_show=False,
                ),
                table(
                    "Most partners behind one host",
                    "The hosts whose failure would hit most partners.",
                    f"topk(25, instance_mx:danewatch_domain_mx_preference:count{MX})",
                    {"mx": "MX host", "Value": "Domains behind it"},
                ),
            ],
        ),
        (
            "The hosts chosen",
            [
                table(
                    "Domains behind them",
                    "Domains that name the host, with their preference.",
                    f"topk({ROWS}, danewatch_domain_mx_preference{MX})",
                    {"mx": "MX host", "domain": "Domain", "Value": "Preference"},
                ),
                table(
                    "Their zones",
                    "The zone of the host's addresses, with its status.",
                    f"topk({ROWS}, danewatch_mx_zone{MX}\n"
                    f"* {ON_ZONE} group_left (status, reason) danewatch_zone_status{ALL})",
                    {"mx": "MX host", "dns_zone": "Zone", "status": "Status", "reason": "Reason"},
                ),
                graph(
                    "TLSA records",
                    "Secure records, those that can be used, and those that match nothing.",
                    Query(
                        expr=f"topk(10, danewatch_mx_tlsa_records{MX})", legend="{{mx}} published"
                    ),
                    Query(
                        expr=f"topk(10, danewatch_mx_tlsa_usable_records{MX})",
                        legend="{{mx}} usable",
                    ),
                    Query(
                        expr=f"topk(10, danewatch_mx_tlsa_unmatched_records{MX})",
                        legend="{{mx}} unmatched",
                    ),
                ),
                graph(
                    "Addresses with DANE",
                    "Addresses of the host, and those of them that authenticated.",
                    Query(expr=f"topk(10, danewatch_mx_addresses{MX})", legend="{{mx}} addresses"),
                    Query(
                        expr=f"topk(10, danewatch_mx_addresses_authenticated{MX})",
                        legend="{{mx}} authenticated",
                    ),
                ),
                timeline(
                    "Takes mail",
                    "As confirmed: one bad look does not show here.",
                    Query(expr=f"topk(25, danewatch_mx_up{MX})", legend="{{mx}}"),
                    words=ON_OFF,
                    unit="none",
                ),
                graph(
                    "Since the last probe",
                    "How old what is shown is.",
                    Query(
                        expr=f"topk(10, time() - danewatch_mx_last_check_timestamp_seconds{MX})",
                        legend="{{mx}}",
                    ),
                    unit="s",
                ),
            ],
        ),
    ],
)

DNSSEC_DASHBOARD = Dashboard(
    uid="danewatch-dnssec",
    title="danewatch / DNSSEC",
    description="The zones that mail to partners rests on: which are broken, which will be.",
    boxes=[("dns_zone", "Zone")],
    rows=[
        (
            "All that match",
            [
                stat("Zones", "Zones that match.", f"count(danewatch_zone_status{ZONE})"),
                stat(
                    "Secure",
                    "Zones that validate from a trust anchor down.",
                    f"sum(danewatch_zone_secure{ZONE})",
                ),
                stat(
                    "Bogus",
                    "Zones that are signed and do not validate.",
                    f"sum(danewatch_zone_bogus{ZONE})",
                    limits=BAD_ABOVE_ZERO,
                ),
                stat(
                    "Partners stopped",
                    "Domains whose mail is not delivered because of these zones.",
                    f"sum(instance_zone:danewatch_domain_undelivered:count{ZONE}) or vector(0)",
                    limits=BAD_ABOVE_ZERO,
                ),
            ],
        ),
        (
            "Broken, or soon",
            [
                table(
                    "Bogus zones",
                    "Zones that do not validate, with the reason.",
                    f"topk(50, danewatch_zone_status{ZONE} and {ON_ZONE} "
                    f"danewatch_zone_bogus{ZONE} == 1)",
                    {"dns_zone": "Zone", "status": "Status", "reason": "Reason"},
                    must_show=False,
                ),
                table(
                    "Domains stopped by a zone",
                    "Domains whose mail is not delivered because of a bogus zone.",
                    f"topk({ROWS}, danewatch_domain_cause{ZONE})",
                    {"dns_zone": "Zone", "domain": "Domain"},
                    must_show=False,
                ),
                table(
                    "Signatures next to end",
                    "Share of the lifetime that is left, the least first, below one half.",
                    f"bottomk(25, {SIGNATURE}{ZONE})",
                    {"dns_zone": "Zone", "Value": "Lifetime left"},
                    unit="percentunit",
                    limits=SHARE_LEFT,
                    must_show=False,
                ),
                graph(
                    "Signatures next to end, in time",
                    "How long the zone's first signature to end still lives. A signer that works "
                    "draws a saw.",
                    Query(
                        expr="bottomk(10, danewatch_zone_signature_expiration_timestamp_seconds"
                        f"{ZONE} - time())",
                        legend="{{dns_zone}}",
                    ),
                    unit="s",
                ),
            ],
        ),
        (
            "The zones chosen",
            [
                graph(
                    "Zones by status",
                    "All zones, by the status and reason of their last look.",
                    Query(
                        expr="sum by (status, reason) "
                        f"(instance_status:danewatch_zone_status:count{ALL})",
                        legend="{{status}} {{reason}}",
                    ),
                    stacked=True,
                ),
                timeline(
                    "Bogus",
                    "As confirmed: one bad look does not show here.",
                    Query(expr=f"topk(25, danewatch_zone_bogus{ZONE})", legend="{{dns_zone}}"),
                    words=OFF_ON,
                    unit="none",
                ),
                table(
                    "Domains in them",
                    "Domains whose MX records lie in the zone.",
                    f"topk({ROWS}, danewatch_domain_zone{ZONE})",
                    {"dns_zone": "Zone", "domain": "Domain"},
                ),
                table(
                    "MX hosts in them",
                    "Hosts whose addresses lie in the zone.",
                    f"topk({ROWS}, danewatch_mx_zone{ZONE})",
                    {"dns_zone": "Zone", "mx": "MX host"},
                ),
            ],
        ),
    ],
)
