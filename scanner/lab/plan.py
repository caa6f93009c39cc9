"""The nouns of the lab: zones, mail hosts, faults, domains. Data only; nothing here does anything.

A ``LabPlan`` says everything a lab shows: which zones exist and how they are signed, which mail
hosts answer how, what is broken, and, for each domain, what a correct scanner must say about it.
Names are ``scanner.model.names.Name``; record data is RFC 1035 presentation form with absolute
names, or RFC 3597 ``\\# length hex`` for data no well-behaved encoder would write.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scanner.lab.ca import Chain
from scanner.model.names import ROOT, Name
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict, Profile

TTL_SECONDS = 300  # of every record in the lab; short, so that a switched fault is seen soon


class Denial(StrEnum):
    """How a signed zone proves absence (RFC 4034 §4, RFC 5155)."""

    NSEC = "nsec"
    NSEC3 = "nsec3"
    NSEC3_OPT_OUT = "nsec3-opt-out"


class Algorithm(StrEnum):
    """DNSSEC signing algorithms the lab uses; ``number`` is the IANA value."""

    RSA_SHA256 = "rsa-sha256"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    ED25519 = "ed25519"

    @property
    def number(self) -> int:
        """The DNSSEC algorithm number."""
        return _ALGORITHM_NUMBERS[self]


_ALGORITHM_NUMBERS = {
    Algorithm.RSA_SHA256: 8,
    Algorithm.ECDSA_P256: 13,
    Algorithm.ECDSA_P384: 14,
    Algorithm.ED25519: 15,
}


class DsKind(StrEnum):
    """What the parent says about a zone's keys."""

    MATCHING = "matching"
    NONE = "none"
    """No DS: an insecure delegation."""
    MISMATCH = "mismatch"
    """A DS that points to no key of the zone: bogus (seed cause A)."""
    UNSUPPORTED_ALGORITHM = "unsupported-algorithm"
    """Only a DS of an unknown algorithm: insecure (RFC 4035 §5.2)."""
    UNSUPPORTED_DIGEST = "unsupported-digest"
    """Only a DS of an unknown digest type: insecure (RFC 6840 §5.2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneRecord:
    """One resource record; RRsets are formed by owner and type."""

    owner: Name
    rdtype: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ZonePlan:
    """One zone. SOA, apex NS, DNSKEY, delegation NS and DS records are added by the lab itself.

    ``signed`` with ``ds`` ``none`` is an island of security without an anchor. ``split_keys``
    means a key-signing key (flags 257) beside a zone-signing key (256); else one combined key.
    """

    origin: Name
    records: tuple[ZoneRecord, ...] = ()
    signed: bool = True
    algorithm: Algorithm = Algorithm.ECDSA_P256
    denial: Denial = Denial.NSEC
    ds: DsKind = DsKind.MATCHING
    split_keys: bool = False
    nsec3_iterations: int = 0
    nsec3_salt: str = ""


class DnsFaultKind(StrEnum):
    """Ways a zone or an answer can be broken."""

    # Signatures: what a validator sees as bogus, and CD=1 returns as it is.
    SIGNATURE_EXPIRED = "signature-expired"
    SIGNATURE_NOT_YET_VALID = "signature-not-yet-valid"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_CORRUPT = "signature-corrupt"
    SIGNER_WRONG = "signer-wrong"
    DS_MISMATCH = "ds-mismatch"
    DNSKEY_MISSING = "dnskey-missing"
    DENIAL_MISSING = "denial-missing"
    # Servers: the same with and without CD=1; cannot be written into a zone file.
    SERVFAIL = "servfail"
    UNREACHABLE = "unreachable"
    """SERVFAIL with the extended errors 22 and 23: no authority answers the resolver."""
    DROP = "drop"
    """The stub client gets no reply at all."""
    REFUSED = "refused"
    NOTIMP = "notimp"
    FORMERR = "formerr"
    MALFORMED = "malformed"
    """A reply whose bytes are no DNS message beyond its header."""
    ALIAS_ONLY = "alias-only"
    """The resolver returns the alias and stops there (edge case 18)."""


SERVER_FAULTS = frozenset(
    {
        DnsFaultKind.SERVFAIL,
        DnsFaultKind.UNREACHABLE,
        DnsFaultKind.DROP,
        DnsFaultKind.REFUSED,
        DnsFaultKind.NOTIMP,
        DnsFaultKind.FORMERR,
        DnsFaultKind.MALFORMED,
        DnsFaultKind.ALIAS_ONLY,
    }
)
"""Faults that live in a server, not in zone data: an exported zone does not show them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DnsFault:
    """A fault of ``zone``; ``owner`` and ``rdtype`` narrow it, None means all of them."""

    zone: Name
    kind: DnsFaultKind
    owner: Name | None = None
    rdtype: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFault:
    """An RRset replaced by ``texts``; with none the RRset is gone (and securely denied)."""

    zone: Name
    owner: Name
    rdtype: str
    texts: tuple[str, ...] = ()


class Behaviour(StrEnum):
    """How a mail host behaves on the wire."""

    GOOD = "good"
    REFUSED = "refused"
    """Nothing listens: TCP reset to the SYN."""
    BLACK_HOLE = "black-hole"
    """SYN goes unanswered."""
    NEVER_ACCEPTS = "never-accepts"
    """TCP opens, no byte ever comes."""
    RESET = "reset"
    """TCP opens and is reset at once."""
    CLOSED = "closed"
    """TCP opens and is closed before any greeting."""
    GREETING_421 = "greeting-421"
    GREETING_554 = "greeting-554"
    GREETING_SLOW = "greeting-slow"
    """A good host whose greeting comes after ``delay_seconds``."""
    GREETING_MULTILINE = "greeting-multiline"
    GREETING_ENDLESS = "greeting-endless"
    GREETING_LONG_LINE = "greeting-long-line"
    GREETING_DRIP = "greeting-drip"
    """One byte each second, for ever."""
    GREETING_NOT_SMTP = "greeting-not-smtp"
    EHLO_421 = "ehlo-421"
    EHLO_REJECTED = "ehlo-rejected"
    """EHLO gets 502, HELO 250: no extensions (case C5)."""
    EHLO_SILENT = "ehlo-silent"
    NO_STARTTLS = "no-starttls"
    XSTARTTLS = "xstarttls"
    """STARTTLS appears in the reply, but never as a keyword of its own (edge case 85)."""
    LOWERCASE_STARTTLS = "lowercase-starttls"
    STARTTLS_454 = "starttls-454"
    STARTTLS_502 = "starttls-502"
    STARTTLS_SILENT = "starttls-silent"
    STARTTLS_GARBAGE = "starttls-garbage"
    STARTTLS_DROP = "starttls-drop"
    PLAINTEXT_AFTER_220 = "plaintext-after-220"
    """Clear-text reply lines follow the 220 in the same segment, then a good handshake."""
    TLS_ALERT = "tls-alert"
    TLS_GARBAGE = "tls-garbage"
    TLS_SILENT = "tls-silent"
    TLS_CLOSED = "tls-closed"


class TlsKind(StrEnum):
    """The TLS settings of a mail host."""

    MODERN = "modern"
    """TLS 1.2 and 1.3."""
    TLS12_ONLY = "tls12-only"
    TLS13_ONLY = "tls13-only"
    TLS10_ONLY = "tls10-only"
    ANONYMOUS = "anonymous"
    """Anonymous Diffie-Hellman only: no certificate at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MailHostPlan:
    """One listening address. ``chain`` is shown unless ``sni_chains`` names the client's SNI.

    ``second_chain`` is offered beside ``chain`` with another key type; the client's preferences
    choose (case C30).
    """

    address: str
    hostname: Name
    behaviour: Behaviour = Behaviour.GOOD
    chain: Chain | None = None
    second_chain: Chain | None = None
    sni_chains: tuple[tuple[Name, Chain], ...] = ()
    tls: TlsKind = TlsKind.MODERN
    delay_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MailFault:
    """The mail host at ``address`` behaves otherwise; None keeps what the plan says."""

    address: str
    behaviour: Behaviour | None = None
    chain: Chain | None = None
    tls: TlsKind | None = None


Fault = DnsFault | RecordFault | MailFault


@dataclass(frozen=True, kw_only=True, slots=True)
class LabHost:
    """One MX host of a lab domain, where it lives, and the code an Exchange Online sender shows."""

    host: Name
    preference: int
    zone: Name
    addresses: tuple[str, ...] = ()
    code: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LabDomain:
    """A domain of the lab and what a correct scanner says about it under default options.

    ``code`` and ``cause_code`` are those of the Exchange Online profile for a domain whose mail is
    not delivered; the hosts carry their own. ``other_scope`` is the Exchange Online verdict under
    the other ``scenario1_scope``, where it differs. ``findings`` must all be reported;
    ``unasked`` are questions that must not be asked. ``faults`` are this domain's own, active from
    the start.
    """

    name: Name
    label: str
    """The scenario it shows (``T12``), or a word (``demo``, ``generated``)."""
    title: str
    zone: Name
    rfc7672: DomainVerdict
    exchange_online: DomainVerdict
    hosts: tuple[LabHost, ...] = ()
    code: str | None = None
    cause_code: str | None = None
    other_scope: DomainVerdict | None = None
    findings: tuple[Reason, ...] = ()
    unasked: tuple[tuple[Name, str], ...] = ()
    faults: tuple[Fault, ...] = ()
    slow: bool = False
    """A correct check must wait for a time-out of its own, however patient the scanner is."""

    @property
    def expected(self) -> dict[Profile, DomainVerdict]:
        """The verdict under each profile."""
        return {
            Profile.RFC7672: self.rfc7672,
            Profile.EXCHANGE_ONLINE: self.exchange_online,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LabPlan:
    """Everything one lab shows. The root zone is ``"."``; every zone's parent is in the plan."""

    now: datetime
    zones: tuple[ZonePlan, ...]
    mail_hosts: tuple[MailHostPlan, ...] = ()
    domains: tuple[LabDomain, ...] = ()

    def __post_init__(self) -> None:
        origins = {zone.origin for zone in self.zones}
        if ROOT not in origins:
            raise ValueError("a lab needs the root zone")
        if len(origins) != len(self.zones):
            raise ValueError("a zone is planned twice")
        addresses = {host.address for host in self.mail_hosts}
        if len(addresses) != len(self.mail_hosts):
            raise ValueError("an address is planned twice")
