"""The closed sets of the public contract: one enum each.

Code, JSON, Parquet, metrics and documentation all spell these values the same way, because all
of them take the spelling from here. Reasons, being many, have a file of their own
(``scanner.model.reasons``).
"""

from enum import StrEnum


class Profile(StrEnum):
    """Whose rules a verdict follows."""

    RFC7672 = "rfc7672"
    EXCHANGE_ONLINE = "exchange-online"


class DnssecStatus(StrEnum):
    """Security status of DNS data (RFC 4033 §5)."""

    SECURE = "secure"
    INSECURE = "insecure"
    BOGUS = "bogus"
    INDETERMINATE = "indeterminate"


class LookupOutcome(StrEnum):
    """How one DNS question ended.

    ``data``, ``nodata`` and ``nxdomain`` are answers; the others are errors, and RFC 7672 §2.1.1
    treats all of them alike: the lookup failed, delivery is delayed.
    """

    DATA = "data"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    MALFORMED = "malformed"
    LOOP = "loop"


class RRType(StrEnum):
    """The resource record types danewatch asks for."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    MX = "MX"
    TLSA = "TLSA"
    SOA = "SOA"
    NS = "NS"
    DS = "DS"
    DNSKEY = "DNSKEY"
    TXT = "TXT"


class HostOutcome(StrEnum):
    """What a sender would experience at one MX host (or one address of it)."""

    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"
    OPPORTUNISTIC_TLS = "opportunistic-tls"
    OPPORTUNISTIC_CLEAR = "opportunistic-clear"
    FAILED = "failed"
    LOOKUP_FAILED = "lookup-failed"
    UNREACHABLE = "unreachable"
    NO_ADDRESS = "no-address"
    INCONCLUSIVE = "inconclusive"


class DomainVerdict(StrEnum):
    """What happens to mail for a domain now."""

    PROTECTED = "protected"
    PARTIAL = "partial"
    DEGRADED = "degraded"
    ENCRYPTED = "encrypted"
    OPPORTUNISTIC = "opportunistic"
    DEFERRED = "deferred"
    BLOCKED = "blocked"
    NO_MAIL = "no-mail"
    INCONCLUSIVE = "inconclusive"


class ResultType(StrEnum):
    """The result types of TLS reporting (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


class DeliveryPhase(StrEnum):
    """Where mail for a domain is in the sender's queue."""

    DELIVERING = "delivering"
    DEFERRING = "deferring"
    BOUNCING = "bouncing"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Fault(StrEnum):
    """Whose fault a failure is."""

    DOMAIN_OWNER = "domain-owner"
    """The partner's own records: MX targets, TLSA content, null MX."""
    DNS_OPERATOR = "dns-operator"
    """Whoever signs and serves the zone."""
    MAIL_OPERATOR = "mail-operator"
    """Whoever runs the MX host."""
    NETWORK = "network"
    """The path between us and the partner; not attributable to either."""
    SCANNER = "scanner"
    """Our side: resolver, egress, limits, a bug. Never raises an alarm about a partner."""
    NOBODY = "nobody"
    """Nothing is wrong."""


class CodeSet(StrEnum):
    """Versions of Exchange Online's published code table."""

    CODES_2024 = "2024"
    SEED = "seed"


class Scenario1Scope(StrEnum):
    """How far one not-authentic record reaches under the Exchange Online profile."""

    DOMAIN = "domain"
    HOST = "host"


class ValidationMode(StrEnum):
    """Who validates DNSSEC: danewatch itself or the configured resolver."""

    LOCAL = "local"
    RESOLVER = "resolver"


class Sha1Policy(StrEnum):
    """What SHA-1 is worth in DNSSEC (RFC 9905)."""

    INSECURE = "insecure"
    """As good as unsupported: a zone with nothing else is insecure."""
    VALIDATE = "validate"
    """Verified like any other."""


class Family(StrEnum):
    """Address family of a connection."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class EntityType(StrEnum):
    """What a transition is about."""

    DOMAIN = "domain"
    MX = "mx"
    ZONE = "zone"
