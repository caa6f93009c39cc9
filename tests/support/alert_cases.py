"""When each alert must fire: series that are wrong, the same series in order, and what is said.

A case gives the series of the metrics page in both states. From it come the timelines that every
alert has to pass (``alert_timelines``): firing, not firing, restart, recovery and, for alerts about
partners, blindness. Times on the page count from the start of the timeline, which is 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana.builder.catalogue import ALERTS
from grafana.builder.rules import Alert, Severity

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter:
    """A counter that grows by ``step`` with every scrape; after a restart it begins at 0 again."""

    step: float


Value = float | Counter | None
"""Of a series in one state; None where it is absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One rule of ``grafana/alerts``: the alert of that name and severity.

    ``wrong`` and ``right`` are series by state; ``before`` is how they were for ``past_minutes``
    before anything went wrong, where the alert looks back (``right`` where it says nothing).
    ``tail_minutes`` is how much longer than ``keep_firing_for`` it may go on after recovery.
    ``interval_minutes`` is the step of the story; ``alone`` loads this rule only, for a long one.
    """

    name: str
    severity: Severity
    wrong: Mapping[str, Value]
    right: Mapping[str, Value]
    labels: Mapping[str, str]
    summary: str
    description: str
    before: Mapping[str, Value] = field(default_factory=dict)
    past_minutes: int = 0
    tail_minutes: int = 0
    interval_minutes: int = 5
    alone: bool = False

    @property
    def alert(self) -> Alert:
        """The declaration of the rule."""
        return next(one for one in ALERTS if (one.name, one.severity) == (self.name, self.severity))

    @property
    def id(self) -> str:
        """For the name of a test."""
        return f"{self.name}-{self.severity}"


def series(metric: str, value: Value = 1.0, **labels: str) -> dict[str, Value]:
    """Return one series of the page."""
    inner = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return {f"danewatch_{metric}{{{inner}}}": value}


def partners(metric: str, value: Value = 1.0, **labels: str) -> dict[str, Value]:
    """Return a series of each of two partners."""
    return series(metric, value, domain="a.example", **labels) | series(
        metric, value, domain="b.example", **labels
    )


def zone(metric: str, value: Value = 1.0, **labels: str) -> dict[str, Value]:
    """Return a series of the zone."""
    return series(metric, value, dns_zone="zone.example", **labels)


def mx(metric: str, value: Value = 1.0, **labels: str) -> dict[str, Value]:
    """Return a series of the MX host."""
    return series(metric, value, mx="mx.example", **labels)


def one(metric: str, value: Value = 1.0, **labels: str) -> dict[str, Value]:
    """Return a series of a single domain."""
    return series(metric, value, domain="a.example", **labels)


NAMES = " Domains (10 at most): a.example, b.example"
LINKS = (
    partners("domain_mx_preference", 10, mx="mx.example")
    | partners("domain_zone", dns_zone="zone.example")
    | mx("mx_zone", dns_zone="zone.example")
)
"""Two partners behind one host, all of them in one zone."""
DELIVERED = partners("domain_blocked", 0) | partners("domain_phase", phase="delivering") | LINKS
BLOCKED = partners("domain_blocked", 1) | partners("domain_phase", phase="deferring") | LINKS
DEFERRED = partners("domain_blocked", 0) | partners("domain_phase", phase="deferring") | LINKS
BOUNCING = partners("domain_blocked", 1) | partners("domain_phase", phase="bouncing") | LINKS
AT_MX = partners("domain_cause", mx="mx.example")
AT_ZONE = partners("domain_cause", dns_zone="zone.example")
AT_ITSELF = one("domain_cause")
MX_LABELS = {"mx": "mx.example", "dns_zone": "zone.example"}
ZONE_LABELS = {"dns_zone": "zone.example"}
DOMAIN_LABELS = {"domain": "a.example", "dns_zone": "zone.example"}
OF_ONE = one("domain_zone", dns_zone="zone.example") | one(
    "domain_mx_preference", 10, mx="mx.example"
)

MAIL_CASES = (
    Case(
        name="DanewatchZoneBogus",
        severity=Severity.CRITICAL,
        wrong=BLOCKED | AT_ZONE | zone("zone_bogus", 1) | mx("mx_up", 0),
        right=DELIVERED | zone("zone_bogus", 0) | mx("mx_up", 1),
        labels=ZONE_LABELS,
        summary="DNSSEC of the zone zone.example is broken; mail for 2 partner(s) is not "
        "delivered.",
        description="Validation of zone.example fails, so senders that enforce DANE neither find "
        "nor trust its mail servers." + NAMES,
    ),
    Case(
        name="DanewatchZoneBogus",
        severity=Severity.WARNING,
        wrong=DELIVERED | zone("zone_bogus", 1) | mx("mx_up", 0),
        right=DELIVERED | zone("zone_bogus", 0) | mx("mx_up", 1),
        labels=ZONE_LABELS,
        summary="DNSSEC of the zone zone.example is broken; no mail is stopped by it yet.",
        description="Validation of zone.example fails. Partners that use it still get mail another "
        "way.",
    ),
    Case(
        name="DanewatchMxBlocked",
        severity=Severity.CRITICAL,
        wrong=BLOCKED | AT_MX | zone("zone_bogus", 0) | mx("mx_up", 0),
        right=DELIVERED | zone("zone_bogus", 0) | mx("mx_up", 1),
        labels=MX_LABELS,
        summary="MX host mx.example blocks mail for 2 partner(s).",
        description="The host does not authenticate with DANE as its DNS records promise, and no "
        "other host takes the mail." + NAMES,
    ),
    Case(
        name="DanewatchDomainBlocked",
        severity=Severity.CRITICAL,
        wrong=one("domain_blocked", 1) | AT_ITSELF | OF_ONE | mx("mx_up", 1),
        right=one("domain_blocked", 0) | OF_ONE | mx("mx_up", 1),
        labels={"domain": "a.example"},
        summary="Mail for a.example is blocked.",
        description="Neither an MX host nor a bogus zone explains it: it lies at records of "
        "a.example itself.",
    ),
    Case(
        name="DanewatchMxDeferred",
        severity=Severity.WARNING,
        wrong=DEFERRED | AT_MX | mx("mx_up", 0),
        right=DELIVERED | mx("mx_up", 1),
        labels=MX_LABELS,
        summary="MX host mx.example keeps mail for 2 partner(s) waiting.",
        description="The host cannot be used at present, and no other host takes the mail." + NAMES,
    ),
    Case(
        name="DanewatchDomainDeferred",
        severity=Severity.WARNING,
        wrong=one("domain_blocked", 0)
        | one("domain_phase", phase="deferring")
        | AT_ITSELF
        | OF_ONE,
        right=one("domain_blocked", 0) | one("domain_phase", phase="delivering") | OF_ONE,
        labels={"domain": "a.example"},
        summary="Mail for a.example waits.",
        description="Lookups for a.example fail, or none of its hosts can be used.",
    ),
    Case(
        name="DanewatchBouncesSoon",
        severity=Severity.CRITICAL,
        wrong=AT_MX | LINKS | partners("domain_bounces_from_timestamp_seconds", 6 * HOUR),
        right=LINKS,
        labels={"mx": "mx.example"},
        summary="Mail held up by MX host mx.example bounces in 5h 50m 0s.",
        description="What was queued when the failure began comes back to its senders then, unless "
        "it is repaired before.",
    ),
    Case(
        name="DanewatchBouncing",
        severity=Severity.CRITICAL,
        wrong=AT_ITSELF | OF_ONE | one("domain_phase", phase="bouncing"),
        right=OF_ONE | one("domain_phase", phase="delivering"),
        labels={"domain": "a.example"},
        summary="Mail for 1 partner(s) bounces because of a.example.",
        description="The failure has lasted longer than senders keep mail.",
    ),
    Case(
        name="DanewatchMxFailing",
        severity=Severity.WARNING,
        wrong=DELIVERED | mx("mx_up", 0) | zone("zone_bogus", 0),
        right=DELIVERED | mx("mx_up", 1) | zone("zone_bogus", 0),
        labels=MX_LABELS,
        summary="MX host mx.example fails; other hosts take the mail of its 2 partner(s).",
        description="No mail is lost, but nothing is left if the other hosts fail too." + NAMES,
    ),
)

_PAST = 4 * 60
_SIGNED = zone("zone_secure", 1) | zone("zone_bogus", 0)
_UNSIGNED = zone("zone_secure", 0) | zone("zone_bogus", 0)
_MX_AUTHENTICATED = (
    mx("mx_addresses_authenticated", 2) | mx("mx_up", 1) | mx("mx_outcome", outcome="authenticated")
)
_MX_PLAIN = (
    mx("mx_addresses_authenticated", 0)
    | mx("mx_up", 1)
    | mx("mx_outcome", outcome="opportunistic-tls")
)
_ONE_AUTHENTICATED = (
    one("domain_mx_hosts_authenticated", 1)
    | one("domain_up", 1)
    | one("domain_verdict", verdict="protected")
)
_ONE_PLAIN = (
    one("domain_mx_hosts_authenticated", 0)
    | one("domain_up", 1)
    | one("domain_verdict", verdict="opportunistic")
)
_PARTNERS_AUTHENTICATED = (
    partners("domain_mx_hosts_authenticated", 1)
    | partners("domain_up", 1)
    | partners("domain_verdict", verdict="protected")
)
_PARTNERS_PLAIN = (
    partners("domain_mx_hosts_authenticated", 0)
    | partners("domain_up", 1)
    | partners("domain_verdict", verdict="opportunistic")
)
SOUND = _SIGNED | _MX_AUTHENTICATED | _PARTNERS_AUTHENTICATED | DELIVERED | zone("zone_bogus", 0)
SUSPECTED = (
    SOUND
    | dict.fromkeys((*_MX_AUTHENTICATED, *_PARTNERS_AUTHENTICATED))
    | mx("mx_addresses_authenticated", 0)
    | mx("mx_up", 1)
    | mx("mx_outcome", outcome="failed")
    | partners("domain_mx_hosts_authenticated", 0)
    | partners("domain_up", 1)
    | partners("domain_verdict", verdict="blocked")
)
"""A failure that the last look shows and nobody has confirmed."""

PROTECTION_CASES = (
    Case(
        name="DanewatchZoneUnsigned",
        severity=Severity.WARNING,
        wrong=_UNSIGNED | _MX_PLAIN | _PARTNERS_PLAIN | LINKS,
        right=_SIGNED | _MX_AUTHENTICATED | _PARTNERS_AUTHENTICATED | LINKS,
        past_minutes=_PAST,
        labels=ZONE_LABELS,
        summary="The zone zone.example is no longer signed.",
        description="Within the last seven days it was. DANE ended with it, and mail goes on "
        "unprotected." + NAMES,
    ),
    Case(
        name="DanewatchMxProtectionLost",
        severity=Severity.WARNING,
        wrong=_SIGNED | _MX_PLAIN | _PARTNERS_PLAIN | LINKS,
        right=_SIGNED | _MX_AUTHENTICATED | _PARTNERS_AUTHENTICATED | LINKS,
        past_minutes=_PAST,
        labels=MX_LABELS,
        summary="MX host mx.example is no longer protected by DANE.",
        description="It takes mail, but without authentication; within the last seven days it had "
        "it." + NAMES,
    ),
    Case(
        name="DanewatchDomainProtectionLost",
        severity=Severity.WARNING,
        wrong=_SIGNED | _MX_AUTHENTICATED | _ONE_PLAIN | OF_ONE,
        right=_SIGNED | _MX_AUTHENTICATED | _ONE_AUTHENTICATED | OF_ONE,
        past_minutes=_PAST,
        labels=DOMAIN_LABELS,
        summary="Mail for a.example is no longer protected by DANE.",
        description="It is delivered, but no MX host of a.example authenticates; within the last "
        "seven days one did.",
    ),
    Case(
        name="DanewatchNoMail",
        severity=Severity.WARNING,
        wrong=one("domain_verdict", verdict="no-mail") | one("domain_up", 0),
        right=one("domain_verdict", verdict="protected") | one("domain_up", 1),
        past_minutes=_PAST,
        labels={"domain": "a.example"},
        summary="a.example takes no mail any more.",
        description="The domain is gone or says that it takes no mail; within the last seven days "
        "mail was delivered. Senders get it back at once.",
    ),
    Case(
        name="DanewatchZoneFlapping",
        severity=Severity.WARNING,
        wrong=zone("zone_flapping", 1)
        | mx("mx_flapping", 1)
        | partners("domain_flapping", 1)
        | LINKS,
        right=zone("zone_flapping", 0)
        | mx("mx_flapping", 0)
        | partners("domain_flapping", 0)
        | LINKS,
        labels=ZONE_LABELS,
        summary="The zone zone.example changes again and again.",
        description="It changed its status so often within a day that it counts as flapping."
        + NAMES,
    ),
    Case(
        name="DanewatchMxFlapping",
        severity=Severity.WARNING,
        wrong=zone("zone_flapping", 0)
        | mx("mx_flapping", 1)
        | partners("domain_flapping", 1)
        | LINKS,
        right=zone("zone_flapping", 0)
        | mx("mx_flapping", 0)
        | partners("domain_flapping", 0)
        | LINKS,
        labels={"mx": "mx.example"},
        summary="MX host mx.example changes again and again.",
        description="It changed its outcome so often within a day that it counts as flapping."
        + NAMES,
    ),
    Case(
        name="DanewatchDomainFlapping",
        severity=Severity.WARNING,
        wrong=one("domain_flapping", 1) | OF_ONE | mx("mx_flapping", 0) | zone("zone_flapping", 0),
        right=one("domain_flapping", 0) | OF_ONE | mx("mx_flapping", 0) | zone("zone_flapping", 0),
        labels={"domain": "a.example"},
        summary="a.example changes again and again.",
        description="Its verdict changed so often within a day that it counts as flapping, and no "
        "host and no zone explains it.",
    ),
    Case(
        name="DanewatchTlsaStale",
        severity=Severity.INFO,
        wrong=mx("mx_tlsa_unmatched_records", 1),
        right=mx("mx_tlsa_unmatched_records", 0),
        before=mx("mx_tlsa_unmatched_records", 1),
        past_minutes=14 * 24 * 60,
        tail_minutes=6 * 60,
        alone=True,
        labels={"mx": "mx.example"},
        summary="MX host mx.example has had TLSA records that match nothing for a fortnight.",
        description="The same number of 1 or more matched nothing all that time.",
    ),
)

_ENFORCED = mx("mx_certificate_expiry_enforced", 1)
_BEGAN = mx("mx_certificate_not_before_timestamp_seconds", -80 * DAY)


def _ends(days: float) -> dict[str, Value]:
    return mx("mx_certificate_not_after_timestamp_seconds", days * DAY)


def _signed_until(hours: float) -> dict[str, Value]:
    """A signature of a fortnight, with ``hours`` to go at the start."""
    return (
        zone("zone_signature_inception_timestamp_seconds", (hours - 336) * HOUR)
        | zone("zone_signature_expiration_timestamp_seconds", hours * HOUR)
        | zone("zone_secure", 1)
    )


ENDING_CASES = (
    Case(
        name="DanewatchSignatureExpiring",
        severity=Severity.CRITICAL,
        wrong=_signed_until(8) | LINKS,
        right=_signed_until(100) | LINKS,
        labels=ZONE_LABELS,
        summary="A signature of the zone zone.example ends at any moment.",
        description="2.207% of its lifetime is left. When it ends, the zone is bogus and no mail "
        "gets through." + NAMES,
    ),
    Case(
        name="DanewatchSignatureExpiring",
        severity=Severity.WARNING,
        wrong=_signed_until(30) | LINKS,
        right=_signed_until(100) | LINKS,
        labels=ZONE_LABELS,
        summary="Signatures of the zone zone.example are renewed late.",
        description="8.309% of the lifetime of one is left; signers renew at a quarter or earlier."
        + NAMES,
    ),
    Case(
        name="DanewatchCertificateExpiring",
        severity=Severity.CRITICAL,
        wrong=_ends(3) | _BEGAN | _ENFORCED | LINKS,
        right=_ends(60) | _BEGAN | _ENFORCED | LINKS,
        labels={"mx": "mx.example"},
        summary="The certificate of MX host mx.example is about to end, and mail with it.",
        description="3.585% of its lifetime is left (below zero: it is over). Senders refuse an "
        "expired certificate there." + NAMES,
    ),
    Case(
        name="DanewatchCertificateExpiring",
        severity=Severity.WARNING,
        wrong=_ends(12) | _BEGAN | _ENFORCED | LINKS,
        right=_ends(60) | _BEGAN | _ENFORCED | LINKS,
        labels={"mx": "mx.example"},
        summary="The certificate of MX host mx.example is not renewed yet.",
        description="12.99% of its lifetime is left. Senders refuse an expired certificate there."
        + NAMES,
    ),
    Case(
        name="DanewatchCertificateExpiring",
        severity=Severity.INFO,
        wrong=_ends(-1)
        | _BEGAN
        | mx("mx_certificate_expiry_enforced", 0)
        | mx("mx_tlsa_records", 1)
        | LINKS,
        right=_ends(60)
        | _BEGAN
        | mx("mx_certificate_expiry_enforced", 0)
        | mx("mx_tlsa_records", 1)
        | LINKS,
        labels={"mx": "mx.example"},
        summary="The certificate of MX host mx.example has expired; DANE does not mind.",
        description="Delivery goes on, because DANE-EE records take no notice of dates (RFC 7672 "
        "§3.1.1). Other senders may." + NAMES,
    ),
)
