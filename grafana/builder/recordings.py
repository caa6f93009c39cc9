"""Recording rules: the joins that alerts and dashboards share, made once.

Names follow ``level:metric:operations``; the level leaves out ``job``, which always goes along.
A failure is counted where it lies: ``danewatch_domain_cause`` names, for a domain whose mail is not
delivered, the bogus zone, else the failing hosts, else nothing but the domain itself.

What reads every domain or zone does so once, and keeps the few that matter: alerts and dashboards
then cost little at 100,000 domains. What need not be known within a minute is made every second
one; longer would leave gaps, since a series is forgotten after five.
"""

from grafana.builder.rules import INSTANCE, Group, Recording, with_zone

AT_HOST = 'danewatch_domain_cause{mx!=""}'
AT_ZONE = 'danewatch_domain_cause{dns_zone!=""}'
AT_ITSELF = 'danewatch_domain_cause{mx="", dns_zone=""}'
BLOCKED = "instance_domain:danewatch_domain_blocked:blocked"
BOGUS = "instance_zone:danewatch_zone_bogus:bogus"
FLAPPING_MX = "instance_mx:danewatch_mx_flapping:flapping"
FLAPPING_ZONE = "instance_zone:danewatch_zone_flapping:flapping"
FLAPPING_DOMAIN = "instance_domain:danewatch_domain_flapping:unexplained"
NO_MAIL = "instance_domain:danewatch_domain_up:nomail7d"
BOUNCING = 'danewatch_domain_phase{phase="bouncing"}'
LOOKBACK = "[7d:3h]"
"""How far back protection is remembered, and in which steps: 56 looks instead of ten thousand."""
PLAIN_OUTCOMES = "encrypted|opportunistic-tls|opportunistic-clear"
PLAIN_VERDICTS = "encrypted|opportunistic"
"""Mail goes on without DANE. What fails, or could not be seen, has lost nothing yet."""
LOST_ZONE = "instance_zone:danewatch_zone_secure:lost7d"
LOST_MX = "instance_mx:danewatch_mx_addresses_authenticated:lost7d"
LOST_DOMAIN = "instance_domain:danewatch_domain_mx_hosts_authenticated:lost7d"
_ON_DOMAIN = f"on ({INSTANCE}, domain)"
_ON_MX = f"on ({INSTANCE}, mx)"
_ON_ZONE = f"on ({INSTANCE}, dns_zone)"

EXPLAINED = f"unless {_ON_DOMAIN} ({AT_HOST} or {AT_ZONE})"
"""Leaves the domains whose failure lies at no host and in no zone; where no cause is known, all."""

COUNTS = Group(
    name="danewatch-counts",
    rules=[
        Recording(
            name="instance_verdict:danewatch_domain_verdict:count",
            labels=("verdict",),
            expr=f"count by ({INSTANCE}, verdict) (danewatch_domain_verdict)",
            sentence="Domains by the verdict of their last check.",
        ),
        Recording(
            name="instance_phase:danewatch_domain_phase:count",
            labels=("phase",),
            expr=f"count by ({INSTANCE}, phase) (danewatch_domain_phase)",
            sentence="Domains by what happens to their mail: delivered, deferred, bounced.",
        ),
        Recording(
            name="instance_outcome:danewatch_mx_outcome:count",
            labels=("outcome",),
            expr=f"count by ({INSTANCE}, outcome) (danewatch_mx_outcome)",
            sentence="MX hosts by the outcome of their last check.",
        ),
        Recording(
            name="instance_stage:danewatch_check_failures:ratio_rate1h",
            labels=("stage",),
            expr=f"""
            sum by ({INSTANCE}, stage) (rate(danewatch_check_failures_total[1h]))
            / on ({INSTANCE}, stage) sum by ({INSTANCE}, stage) (rate(danewatch_checks_total[1h]))
            """,
            sentence="Share of checks that failed in the last hour, by stage.",
        ),
    ],
)

CAUSES = Group(
    name="danewatch-causes",
    rules=[
        Recording(
            name=BLOCKED,
            labels=("domain",),
            expr="danewatch_domain_blocked == 1",
            sentence="1 for a blocked domain; the others are left out.",
        ),
        Recording(
            name=BOGUS,
            labels=("dns_zone",),
            expr="danewatch_zone_bogus == 1",
            sentence="1 for a bogus zone; the others are left out.",
        ),
        Recording(
            name="instance_mx:danewatch_domain_blocked:count",
            labels=("mx", "dns_zone"),
            expr=with_zone(
                f"count by ({INSTANCE}, mx) ({AT_HOST} and {_ON_DOMAIN} {BLOCKED})", "mx"
            ),
            sentence="Domains that are blocked because of this MX host.",
        ),
        Recording(
            name="instance_mx:danewatch_domain_deferred:count",
            labels=("mx", "dns_zone"),
            expr=with_zone(
                f"count by ({INSTANCE}, mx) ({AT_HOST} unless {_ON_DOMAIN} {BLOCKED})", "mx"
            ),
            sentence="Domains whose mail waits because of this MX host, without being blocked.",
        ),
        Recording(
            name="instance_zone:danewatch_domain_undelivered:count",
            labels=("dns_zone",),
            expr=f"count by ({INSTANCE}, dns_zone) ({AT_ZONE})",
            sentence="Domains whose mail is not delivered because this zone is bogus.",
        ),
        Recording(
            name="instance_domain:danewatch_domain_blocked:unexplained",
            labels=("domain",),
            expr=f"{BLOCKED} {EXPLAINED}",
            sentence="1 for a blocked domain whose failure lies at no host and in no zone.",
        ),
        Recording(
            name="instance_domain:danewatch_domain_deferred:unexplained",
            labels=("domain",),
            expr=f"""
            max without (phase) (danewatch_domain_phase{{phase="deferring"}})
            unless {_ON_DOMAIN} {BLOCKED}
            {EXPLAINED}
            """,
            sentence="1 for a domain whose mail waits, unblocked, for a cause of its own.",
        ),
        Recording(
            name="instance_cause:danewatch_domain_bounces_from_timestamp_seconds:min",
            labels=("mx", "dns_zone", "domain"),
            expr=f"""
            min by ({INSTANCE}, mx, dns_zone) (
              ({AT_HOST} or {AT_ZONE})
              * {_ON_DOMAIN} group_left () danewatch_domain_bounces_from_timestamp_seconds
            )
            or
            max by ({INSTANCE}, domain) (
              danewatch_domain_bounces_from_timestamp_seconds
              {EXPLAINED}
            )
            """,
            sentence="When the first mail bounces, by the host, zone or domain at fault.",
        ),
        Recording(
            name="instance_cause:danewatch_domain_bouncing:count",
            labels=("mx", "dns_zone", "domain"),
            expr=f"""
            count by ({INSTANCE}, mx, dns_zone) (
              ({AT_HOST} or {AT_ZONE}) and {_ON_DOMAIN} {BOUNCING}
            )
            or
            count by ({INSTANCE}, domain) (
              {BOUNCING} and {_ON_DOMAIN} {AT_ITSELF}
            )
            """,
            sentence="Domains whose mail bounces, by the host, zone or domain at fault.",
        ),
    ],
)

SLOW = Group(
    name="danewatch-slow",
    interval="2m",
    rules=[
        Recording(
            name="instance_status:danewatch_zone_status:count",
            labels=("status", "reason"),
            expr=f"count by ({INSTANCE}, status, reason) (danewatch_zone_status)",
            sentence="Zones by the status and reason of their last look.",
        ),
        Recording(
            name="instance_mx:danewatch_domain_mx_preference:count",
            labels=("mx",),
            expr=f"count by ({INSTANCE}, mx) (danewatch_domain_mx_preference)",
            sentence="Domains behind each MX host: its blast radius.",
        ),
        Recording(
            name="instance:danewatch_domain_stale:ratio",
            expr=f"""
            count by ({INSTANCE}) (
              time() - danewatch_domain_last_check_timestamp_seconds
              > on ({INSTANCE}) group_left () 2 * danewatch_scheduler_interval_seconds
            )
            / on ({INSTANCE}) count by ({INSTANCE}) (danewatch_domain_last_check_timestamp_seconds)
            """,
            sentence="Share of the domains that were not checked for two intervals; absent when 0.",
        ),
        Recording(
            name="instance_mx:danewatch_mx_failing:partners",
            labels=("mx", "dns_zone"),
            expr=with_zone(
                f"""
                instance_mx:danewatch_domain_mx_preference:count
                and {_ON_MX} danewatch_mx_up == 0
                unless {_ON_MX} {AT_HOST}
                unless {_ON_MX} (danewatch_mx_zone and {_ON_ZONE} {BOGUS})
                """,
                "mx",
            ),
            sentence="Domains behind a failing MX host whose mail other hosts take.",
        ),
        Recording(
            name=LOST_ZONE,
            labels=("dns_zone",),
            expr=f"""
            danewatch_zone_secure == 0
            unless {_ON_ZONE} {BOGUS}
            and {_ON_ZONE} max_over_time(danewatch_zone_secure{LOOKBACK}) == 1
            """,
            sentence="0 for a zone that is no longer signed and was within seven days.",
        ),
        Recording(
            name=LOST_MX,
            labels=("mx", "dns_zone"),
            expr=with_zone(
                f"""
                danewatch_mx_addresses_authenticated == 0
                and {_ON_MX} danewatch_mx_up == 1
                and {_ON_MX} max_over_time(danewatch_mx_addresses_authenticated{LOOKBACK}) > 0
                and {_ON_MX} danewatch_mx_outcome{{outcome=~"{PLAIN_OUTCOMES}"}}
                """,
                "mx",
            ),
            sentence="0 for a host that takes mail without DANE and had it within seven days.",
        ),
        Recording(
            name=LOST_DOMAIN,
            labels=("domain", "dns_zone"),
            expr=with_zone(
                f"""
                danewatch_domain_mx_hosts_authenticated == 0
                and {_ON_DOMAIN} danewatch_domain_up == 1
                and {_ON_DOMAIN}
                  max_over_time(danewatch_domain_mx_hosts_authenticated{LOOKBACK}) > 0
                and {_ON_DOMAIN} danewatch_domain_verdict{{verdict=~"{PLAIN_VERDICTS}"}}
                """,
                "domain",
            ),
            sentence="0 for a domain that gets mail without DANE and had it within seven days.",
        ),
        Recording(
            name=NO_MAIL,
            labels=("domain",),
            expr=f"""
            max without (verdict) (danewatch_domain_verdict{{verdict="no-mail"}})
            and {_ON_DOMAIN} max_over_time(danewatch_domain_up{LOOKBACK}) == 1
            """,
            sentence="1 for a domain that takes no mail and did within seven days.",
        ),
        Recording(
            name=FLAPPING_ZONE,
            labels=("dns_zone",),
            expr="danewatch_zone_flapping == 1",
            sentence="1 for a zone that flaps; the others are left out.",
        ),
        Recording(
            name=FLAPPING_MX,
            labels=("mx",),
            expr="danewatch_mx_flapping == 1",
            sentence="1 for an MX host that flaps; the others are left out.",
        ),
        Recording(
            name=FLAPPING_DOMAIN,
            labels=("domain",),
            expr=f"""
            danewatch_domain_flapping == 1
            unless {_ON_DOMAIN} (danewatch_domain_mx_preference and {_ON_MX} {FLAPPING_MX})
            unless {_ON_DOMAIN} (danewatch_domain_zone and {_ON_ZONE} {FLAPPING_ZONE})
            """,
            sentence="1 for a domain that flaps while no host and no zone of it does.",
        ),
        Recording(
            name="instance_mx:danewatch_mx_certificate_remaining:ratio",
            labels=("mx",),
            expr=f"""
            (danewatch_mx_certificate_not_after_timestamp_seconds - time())
            / {_ON_MX} clamp_min(
              danewatch_mx_certificate_not_after_timestamp_seconds
              - {_ON_MX} danewatch_mx_certificate_not_before_timestamp_seconds, 1
            )
            """,
            sentence="Share of its lifetime a host's certificate still has; below 0 when over.",
        ),
        Recording(
            name="instance_zone:danewatch_zone_signature_remaining:ratio",
            labels=("dns_zone",),
            expr=f"""
            (danewatch_zone_signature_expiration_timestamp_seconds - time())
            / {_ON_ZONE} (
              danewatch_zone_signature_expiration_timestamp_seconds
              - {_ON_ZONE} danewatch_zone_signature_inception_timestamp_seconds
            )
            < 0.5
            and {_ON_ZONE} danewatch_zone_secure == 1
            """,
            sentence="Share of its lifetime that a secure zone's first signature to end still has, "
            "where it is less than half.",
        ),
    ],
)

RECORDING_GROUPS = (COUNTS, CAUSES, SLOW)
