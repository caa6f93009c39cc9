"""Alerts about mail that is not delivered now: blocked, deferred, bouncing, and where it lies.

danewatch has confirmed each failure by a second look, so the waits here only bridge a scrape. One
fault is one alert: a bogus zone stands for its hosts and domains, a host for its domains, and a
domain has an alert of its own only where neither explains it.
"""

from grafana.builder.recordings import BOGUS
from grafana.builder.rules import INSTANCE, Alert, Group, Scope, Severity

_AT_MX = "danewatch_domain_cause{job=%q, instance=%q, mx=%q}"
_AT_ZONE = "danewatch_domain_cause{job=%q, instance=%q, dns_zone=%q}"
_BEHIND_MX = "danewatch_domain_mx_preference{job=%q, instance=%q, mx=%q}"
_NAMED = (
    "{{ with $labels.dns_zone }}zone {{ . }}{{ end }}{{ with $labels.mx }}MX host {{ . }}{{ end }}"
    "{{ with $labels.domain }}{{ . }}{{ end }}"
)
"""The zone, host or domain at fault: an alert of the queue has exactly one of the three labels."""
_BOUNCES_FROM = "instance_cause:danewatch_domain_bounces_from_timestamp_seconds:min"
_BOUNCING = "instance_cause:danewatch_domain_bouncing:count"

MAIL = Group(
    name="danewatch-mail",
    rules=[
        Alert(
            name="DanewatchZoneBogus",
            severity=Severity.CRITICAL,
            scope=Scope.ZONE,
            condition="instance_zone:danewatch_domain_undelivered:count > 0",
            wait="5m",
            gated=True,
            names=_AT_ZONE,
            summary="DNSSEC of the zone {{ $labels.dns_zone }} is broken; mail for {{ $value }} "
            "partner(s) is not delivered.",
            description="Validation of {{ $labels.dns_zone }} fails, so senders that enforce DANE "
            "neither find nor trust its mail servers.",
            meaning="The zone is signed and its chain of trust does not hold: a DS that matches no "
            "key, a signature that ended, a proof that does not prove. Every domain and MX host in "
            "it fails with it, and none of them has an alert of its own.",
            remedy="`danewatch dnssec ZONE` shows the link that breaks and since when; "
            "[DNSSEC reasons](dnssec-reasons.md) says what repairs it. Tell whoever signs the "
            "zone. Mail comes through again as soon as the zone validates.",
        ),
        Alert(
            name="DanewatchZoneBogus",
            severity=Severity.WARNING,
            scope=Scope.ZONE,
            condition=f"""
            {BOGUS}
            unless on ({INSTANCE}, dns_zone) instance_zone:danewatch_domain_undelivered:count
            """,
            wait="5m",
            gated=True,
            summary="DNSSEC of the zone {{ $labels.dns_zone }} is broken; no mail is stopped by it "
            "yet.",
            description="Validation of {{ $labels.dns_zone }} fails. Partners that use it still "
            "get mail another way.",
            meaning="",
            remedy="",
        ),
        Alert(
            name="DanewatchMxBlocked",
            severity=Severity.CRITICAL,
            scope=Scope.MX,
            condition="instance_mx:danewatch_domain_blocked:count > 0",
            wait="5m",
            gated=True,
            names=_AT_MX,
            summary="MX host {{ $labels.mx }} blocks mail for {{ $value }} partner(s).",
            description="The host does not authenticate with DANE as its DNS records promise, and "
            "no other host takes the mail.",
            meaning="The host has TLSA records, and what it does does not agree with them: a "
            "certificate that matches none, no STARTTLS, a certificate that expired. Senders that "
            "enforce DANE keep the mail and return it after a day.",
            remedy="`danewatch check DOMAIN` for one of the partners shows the step that fails and "
            "what would repair it. The operator of the host must publish the record of the new "
            "certificate, or serve the old one again. See the reason in [Reasons](reasons.md).",
        ),
        Alert(
            name="DanewatchDomainBlocked",
            severity=Severity.CRITICAL,
            scope=Scope.DOMAIN,
            condition="instance_domain:danewatch_domain_blocked:unexplained > 0",
            wait="5m",
            gated=True,
            summary="Mail for {{ $labels.domain }} is blocked.",
            description="Neither an MX host nor a bogus zone explains it: it lies at records of "
            "{{ $labels.domain }} itself.",
            meaning="A DANE-enforcing sender delivers nothing to the domain, for a cause that lies "
            "at the domain's own records.",
            remedy="`danewatch check DOMAIN` shows the step that fails, whose fault it is and what "
            "would repair it.",
        ),
        Alert(
            name="DanewatchMxDeferred",
            severity=Severity.WARNING,
            scope=Scope.MX,
            condition="instance_mx:danewatch_domain_deferred:count > 0",
            wait="1h",
            gated=True,
            names=_AT_MX,
            summary="MX host {{ $labels.mx }} keeps mail for {{ $value }} partner(s) waiting.",
            description="The host cannot be used at present, and no other host takes the mail.",
            meaning="Mail waits in the sender's queue without a DANE failure: the host does not "
            "answer, or lookups for it fail. An hour of that is common; it is an alert because "
            "mail bounces when it lasts a day.",
            remedy="`danewatch check DOMAIN` tells whether it is the connection or the DNS. If "
            "many unrelated hosts fail at once, suspect your own network first.",
        ),
        Alert(
            name="DanewatchDomainDeferred",
            severity=Severity.WARNING,
            scope=Scope.DOMAIN,
            condition="instance_domain:danewatch_domain_deferred:unexplained > 0",
            wait="1h",
            gated=True,
            summary="Mail for {{ $labels.domain }} waits.",
            description="Lookups for {{ $labels.domain }} fail, or none of its hosts can be used.",
            meaning="Mail waits in the sender's queue without a DANE failure, for a cause that "
            "lies at the domain itself, such as name servers that do not answer.",
            remedy="`danewatch check DOMAIN` shows the lookup that fails.",
        ),
        Alert(
            name="DanewatchBouncesSoon",
            severity=Severity.CRITICAL,
            scope=Scope.QUEUE,
            condition=f"{_BOUNCES_FROM} - time() < 6 * 3600",
            wait="5m",
            gated=True,
            summary=f"Mail held up by {_NAMED} bounces in {{{{ $value | humanizeDuration }}}}.",
            description="What was queued when the failure began comes back to its senders then, "
            "unless it is repaired before.",
            meaning="Exchange Online keeps mail for 24 hours. Most of that time is over.",
            remedy="Write to the operator now, by another way than mail to that domain. Your own "
            "senders may want to know too.",
        ),
        Alert(
            name="DanewatchBouncing",
            severity=Severity.CRITICAL,
            scope=Scope.QUEUE,
            condition=f"{_BOUNCING} > 0",
            wait="5m",
            gated=True,
            summary=f"Mail for {{{{ $value }}}} partner(s) bounces because of {_NAMED}.",
            description="The failure has lasted longer than senders keep mail.",
            meaning="What was sent at the beginning of the failure has been returned to its "
            "senders, and more is every hour.",
            remedy="As for DanewatchBouncesSoon. Mail that was returned must be sent again once it "
            "is repaired.",
        ),
        Alert(
            name="DanewatchMxFailing",
            severity=Severity.WARNING,
            scope=Scope.MX,
            condition="instance_mx:danewatch_mx_failing:partners >= 0",
            wait="1h",
            gated=True,
            names=_BEHIND_MX,
            summary="MX host {{ $labels.mx }} fails; other hosts take the mail of its "
            "{{ $value }} partner(s).",
            description="No mail is lost, but nothing is left if the other hosts fail too.",
            meaning="Mail is delivered by other hosts of the same domains (verdict `degraded`).",
            remedy="`danewatch check DOMAIN` shows what is wrong with the host. Its operator may "
            "not have noticed, since mail arrives.",
        ),
    ],
)
