"""Alerts about protection: lost, unstable, or about to end."""

from grafana.builder.recordings import (
    FLAPPING_DOMAIN,
    FLAPPING_MX,
    FLAPPING_ZONE,
    LOST_DOMAIN,
    LOST_MX,
    LOST_ZONE,
    NO_MAIL,
)
from grafana.builder.rules import INSTANCE, Alert, Group, Scope, Severity

_ON_DOMAIN = f"on ({INSTANCE}, domain)"
_ON_MX = f"on ({INSTANCE}, mx)"
_ON_ZONE = f"on ({INSTANCE}, dns_zone)"
_IN_ZONE = "danewatch_domain_zone{job=%q, instance=%q, dns_zone=%q}"
_BEHIND_MX = "danewatch_domain_mx_preference{job=%q, instance=%q, mx=%q}"
_CERTIFICATE_ENDS = "danewatch_mx_certificate_not_after_timestamp_seconds - time()"
_CERTIFICATE_SHARE = "instance_mx:danewatch_mx_certificate_remaining:ratio"
_SIGNATURE_SHARE = "instance_zone:danewatch_zone_signature_remaining:ratio"
_DAY = 86_400


def _certificate(share: float, days: int, *, enforced: bool) -> str:
    """PromQL: less than ``share`` of the lifetime is left, and less than ``days``.

    The share alone would be too early for certificates of a year, days alone too late for those of
    a week.
    """
    return f"""
    {_CERTIFICATE_SHARE} < {share}
    and {_ON_MX} {_CERTIFICATE_ENDS} < {days} * {_DAY}
    and {_ON_MX} danewatch_mx_certificate_expiry_enforced == {int(enforced)}
    """


PROTECTION = Group(
    name="danewatch-protection",
    rules=[
        Alert(
            name="DanewatchZoneUnsigned",
            severity=Severity.WARNING,
            scope=Scope.ZONE,
            condition=f"{LOST_ZONE} == 0",
            wait="1h",
            gated=True,
            names=_IN_ZONE,
            summary="The zone {{ $labels.dns_zone }} is no longer signed.",
            description="Within the last seven days it was. DANE ended with it, and mail goes on "
            "unprotected.",
            meaning="The DS record is gone from the parent zone, on purpose or by accident. "
            "Nothing fails, so that nobody notices; but TLSA records below no longer count, and "
            "anybody on the way can redirect the mail.",
            remedy="Ask whoever manages the zone whether it was meant. A change of registrar or "
            "DNS provider is the usual cause.",
        ),
        Alert(
            name="DanewatchMxProtectionLost",
            severity=Severity.WARNING,
            scope=Scope.MX,
            condition=f"""
            {LOST_MX} == 0
            unless {_ON_ZONE} {LOST_ZONE}
            """,
            wait="1h",
            gated=True,
            names=_BEHIND_MX,
            summary="MX host {{ $labels.mx }} is no longer protected by DANE.",
            description="It takes mail, but without authentication; within the last seven days it "
            "had it.",
            meaning="The TLSA records of the host are gone or can no longer be used. Mail is "
            "delivered, with TLS that anybody on the way can take away.",
            remedy="`danewatch check DOMAIN` shows which records are left. Ask the operator of the "
            "host whether it was meant.",
        ),
        Alert(
            name="DanewatchDomainProtectionLost",
            severity=Severity.WARNING,
            scope=Scope.DOMAIN,
            condition=f"""
            {LOST_DOMAIN} == 0
            unless {_ON_ZONE} {LOST_ZONE}
            unless {_ON_DOMAIN} (danewatch_domain_mx_preference and {_ON_MX} {LOST_MX})
            """,
            wait="1h",
            gated=True,
            summary="Mail for {{ $labels.domain }} is no longer protected by DANE.",
            description="It is delivered, but no MX host of {{ $labels.domain }} authenticates; "
            "within the last seven days one did.",
            meaning="The domain moved to hosts without DANE, or its MX record is no longer signed. "
            "No host and no zone explains it.",
            remedy="`danewatch history` tells when it changed and from what; ask the partner "
            "whether the move was meant.",
        ),
        Alert(
            name="DanewatchNoMail",
            severity=Severity.WARNING,
            scope=Scope.DOMAIN,
            condition=f"{NO_MAIL} == 1",
            wait="1h",
            gated=True,
            summary="{{ $labels.domain }} takes no mail any more.",
            description="The domain is gone or says that it takes no mail; within the last seven "
            "days mail was delivered. Senders get it back at once.",
            meaning="The domain does not exist, has neither MX nor address, or has a null MX "
            "(RFC 7505). There is no queue: mail comes back within seconds.",
            remedy="`danewatch check DOMAIN` shows which. A registration that ran out looks like "
            "this.",
        ),
        Alert(
            name="DanewatchZoneFlapping",
            severity=Severity.WARNING,
            scope=Scope.ZONE,
            condition=f"{FLAPPING_ZONE} == 1",
            wait="15m",
            gated=True,
            names=_IN_ZONE,
            summary="The zone {{ $labels.dns_zone }} changes again and again.",
            description="It changed its status so often within a day that it counts as flapping.",
            meaning="Some of its name servers give other answers than the rest, or somebody is "
            "repairing it at this moment. Whether mail comes through is a matter of luck.",
            remedy="`danewatch history` shows the changes. Compare the name servers of the zone "
            "with each other.",
        ),
        Alert(
            name="DanewatchMxFlapping",
            severity=Severity.WARNING,
            scope=Scope.MX,
            condition=f"""
            {FLAPPING_MX} == 1
            unless {_ON_MX} (danewatch_mx_zone and {_ON_ZONE} {FLAPPING_ZONE})
            """,
            wait="15m",
            gated=True,
            names=_BEHIND_MX,
            summary="MX host {{ $labels.mx }} changes again and again.",
            description="It changed its outcome so often within a day that it counts as flapping.",
            meaning="Several machines behind one address that show different certificates, or one "
            "that is overloaded. Whether mail comes through is a matter of luck.",
            remedy="`danewatch history` shows the changes and the certificates seen.",
        ),
        Alert(
            name="DanewatchDomainFlapping",
            severity=Severity.WARNING,
            scope=Scope.DOMAIN,
            condition=f"{FLAPPING_DOMAIN} == 1",
            wait="15m",
            gated=True,
            summary="{{ $labels.domain }} changes again and again.",
            description="Its verdict changed so often within a day that it counts as flapping, and "
            "no host and no zone explains it.",
            meaning="The records of the domain differ from one name server to the next, or change "
            "all the time.",
            remedy="`danewatch history` shows the changes.",
        ),
        Alert(
            name="DanewatchTlsaStale",
            severity=Severity.INFO,
            scope=Scope.MX,
            condition=f"""
            min_over_time(danewatch_mx_tlsa_unmatched_records[14d:6h]) > 0
            and {_ON_MX} max_over_time(danewatch_mx_tlsa_unmatched_records[1d:6h] offset 14d) > 0
            """,
            wait="1h",
            gated=True,
            summary="MX host {{ $labels.mx }} has had TLSA records that match nothing for a "
            "fortnight.",
            description="The same number of {{ $value }} or more matched nothing all that time.",
            meaning="A record that was left behind, or a spare one. Left behind, it hides that the "
            "rollover is not finished; a spare one for a key that is kept ready is good practice.",
            remedy="Silence it for hosts that keep a spare record; else the operator may remove "
            "it.",
        ),
    ],
)

ENDINGS = Group(
    name="danewatch-endings",
    rules=[
        Alert(
            name="DanewatchSignatureExpiring",
            severity=Severity.CRITICAL,
            scope=Scope.ZONE,
            condition=f"{_SIGNATURE_SHARE} < 0.03",
            wait="30m",
            gated=True,
            names=_IN_ZONE,
            summary="A signature of the zone {{ $labels.dns_zone }} ends at any moment.",
            description="{{ $value | humanizePercentage }} of its lifetime is left. When it ends, "
            "the zone is bogus and no mail gets through.",
            meaning="The signer of the zone does not renew its signatures. What ends is the first "
            "of those that mail rests on; when it does, validation fails for everybody.",
            remedy="Tell whoever signs the zone at once: its signer has stopped.",
        ),
        Alert(
            name="DanewatchSignatureExpiring",
            severity=Severity.WARNING,
            scope=Scope.ZONE,
            condition=f"{_SIGNATURE_SHARE} < 0.1",
            wait="2h",
            gated=True,
            names=_IN_ZONE,
            summary="Signatures of the zone {{ $labels.dns_zone }} are renewed late.",
            description="{{ $value | humanizePercentage }} of the lifetime of one is left; signers "
            "renew at a quarter or earlier.",
            meaning="",
            remedy="",
        ),
        Alert(
            name="DanewatchCertificateExpiring",
            severity=Severity.CRITICAL,
            scope=Scope.MX,
            condition=_certificate(0.07, 7, enforced=True),
            wait="30m",
            gated=True,
            names=_BEHIND_MX,
            summary="The certificate of MX host {{ $labels.mx }} is about to end, and mail with "
            "it.",
            description="{{ $value | humanizePercentage }} of its lifetime is left (below zero: it "
            "is over). Senders refuse an expired certificate there.",
            meaning="Renewal has not happened in time. It is critical only where expiry breaks "
            "delivery: for Exchange Online at every host with DANE, under RFC 7672 where the match "
            "rests on DANE-TA.",
            remedy="The operator must renew the certificate, with the same key or with a new TLSA "
            "record published well before.",
        ),
        Alert(
            name="DanewatchCertificateExpiring",
            severity=Severity.WARNING,
            scope=Scope.MX,
            condition=_certificate(0.2, 21, enforced=True),
            wait="1h",
            gated=True,
            names=_BEHIND_MX,
            summary="The certificate of MX host {{ $labels.mx }} is not renewed yet.",
            description="{{ $value | humanizePercentage }} of its lifetime is left. Senders refuse "
            "an expired certificate there.",
            meaning="",
            remedy="",
        ),
        Alert(
            name="DanewatchCertificateExpiring",
            severity=Severity.INFO,
            scope=Scope.MX,
            condition=f"""
            {_CERTIFICATE_SHARE} < 0
            and {_ON_MX} danewatch_mx_certificate_expiry_enforced == 0
            and {_ON_MX} danewatch_mx_tlsa_records > 0
            """,
            wait="1h",
            gated=True,
            names=_BEHIND_MX,
            summary="The certificate of MX host {{ $labels.mx }} has expired; DANE does not mind.",
            description="Delivery goes on, because DANE-EE records take no notice of dates "
            "(RFC 7672 §3.1.1). Other senders may.",
            meaning="",
            remedy="",
        ),
    ],
)
