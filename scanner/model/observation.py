"""Evidence: what was seen, with no opinion about it.

One ``DomainObservation`` holds everything a verdict about one domain may depend on, so a stored
observation can be judged again later, under other rules, with the same result.

    DomainObservation
      MailRoute              the MX stage
      HostObservation*       one for each MX host
        HostRoute            aliases, addresses, TLSA candidates
        AddressObservation*  one SMTP STARTTLS probe of one address
      Vantage                whether we ourselves could see
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.record import record
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.model.zones import ZoneObservation


@dataclass(frozen=True, slots=True)
class Question:
    """One DNS question in class IN."""

    name: Name
    rdtype: RRType

    def __str__(self) -> str:
        return f"{self.name} {self.rdtype}"


@record
class MxRecord:
    """MX RDATA (RFC 1035 §3.3.9)."""

    preference: int
    exchange: Name


@record
class AddressRecord:
    """A or AAAA RDATA, the address in canonical text (RFC 5952 for IPv6)."""

    address: str


@record
class CnameRecord:
    """CNAME RDATA."""

    target: Name


@record
class TlsaRecord:
    """TLSA RDATA (RFC 6698 §2.1), also when it is too short to have all its fields.

    A record of fewer than 3 octets still announces DANE; its missing fields are None.
    """

    usage: int | None
    selector: int | None
    matching_type: int | None
    data: bytes


@record
class OtherRecord:
    """RDATA of a type the verdicts do not read, in presentation form."""

    text: str


Record = MxRecord | AddressRecord | CnameRecord | TlsaRecord | OtherRecord


@record
class ExtendedError:
    """An extended DNS error (RFC 8914)."""

    code: int
    text: str = ""


@record
class AliasHop:
    """One CNAME followed on the way to an answer.

    ``status`` is None where the answer does not tell it: a resolver's AD bit speaks of the whole
    chain, so with AD clear nothing is known of a single link.
    """

    owner: Name
    target: Name
    status: DnssecStatus | None


@record
class Lookup:
    """The outcome of one question, aliases followed.

    ``status`` is that of the weakest link of the whole answer, denial included; None where no
    status could be measured (no reply, or a resolver known not to validate). ``bogus`` and
    ``indeterminate`` come with any ``outcome``. ``records`` is empty unless ``outcome`` is
    ``data``. ``ttl_seconds`` is the least TTL used; None when nothing was cached.
    ``own_fault`` is a sentence when the failure is on our side, and then nothing may be concluded
    about the partner. ``dnssec_zone`` and ``dnssec_reason`` are known where we validated ourselves:
    the zone the answer belongs to or, where it is not secure, the one where the chain ends, and
    why.
    """

    question: Question
    outcome: LookupOutcome
    status: DnssecStatus | None
    records: tuple[Record, ...] = ()
    aliases: tuple[AliasHop, ...] = ()
    ttl_seconds: int | None = None
    extended_errors: tuple[ExtendedError, ...] = ()
    signature_expires_at: datetime | None = None
    resolver: str | None = None
    detail: str | None = None
    own_fault: str | None = None
    dnssec_zone: Name | None = None
    dnssec_reason: DnssecReason | None = None

    @property
    def canonical_name(self) -> Name:
        """The name at the end of the alias chain (RFC 1034 §3.6.2)."""
        return self.aliases[-1].target if self.aliases else self.question.name

    @property
    def is_error(self) -> bool:
        """Whether this is a lookup error in the sense of RFC 7672 §2.1.1."""
        return self.outcome not in ANSWERS or self.status in _DOUBTFUL or self.own_fault is not None

    @property
    def is_secure_data(self) -> bool:
        """Whether validated records came back."""
        return self.has_data and self.status is DnssecStatus.SECURE

    @property
    def has_data(self) -> bool:
        """Whether usable records came back, secure or insecure."""
        return self.outcome is LookupOutcome.DATA and not self.is_error

    @property
    def is_denial(self) -> bool:
        """Whether the answer is a definite "no such data", secure or insecure."""
        return self.outcome in (LookupOutcome.NODATA, LookupOutcome.NXDOMAIN) and not self.is_error


_DOUBTFUL = frozenset({DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE})
ANSWERS = frozenset({LookupOutcome.DATA, LookupOutcome.NODATA, LookupOutcome.NXDOMAIN})


class MxKind(StrEnum):
    """What the MX stage amounts to (RFC 5321 §5.1, RFC 7505)."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"
    NULL = "null"
    NXDOMAIN = "nxdomain"
    ERROR = "error"


class TargetProblem(StrEnum):
    """Why an MX target is never looked up or contacted."""

    ADDRESS_LITERAL = "address-literal"
    SINGLE_LABEL = "single-label"
    LOCALHOST = "localhost"
    INVALID_NAME = "invalid-name"


@record
class MailRoute:
    """The MX stage of a domain (RFC 7672 §2.2.1).

    ``exchanges`` is what a sender would use: sorted by preference then name, one entry per host
    with its best preference, without ``"."``; for implicit MX the domain (or its alias expansion)
    at preference 0. ``expanded`` is the next-hop domain after aliases.
    """

    domain: Name
    mx: Lookup
    kind: MxKind
    expanded: Name
    exchanges: tuple[MxRecord, ...] = ()
    duplicate_hosts: tuple[Name, ...] = ()
    null_beside_others: bool = False
    null_with_preference: bool = False
    hosts_ignored: int = 0
    """MX hosts beyond our bound, the worst preferences, which were not looked at."""


@record
class TlsaCandidate:
    """One TLSA lookup that was made, and the base domain it stands for (RFC 7672 §2.2.2)."""

    base: Name
    lookup: Lookup


class DaneApplicability(StrEnum):
    """What DNS says about DANE at one MX host."""

    TLSA_PRESENT = "tlsa-present"
    """A secure TLSA RRset exists: TLS is mandatory."""
    TLSA_ABSENT = "tlsa-absent"
    """Every candidate was definitely absent, or insecure: DANE does not apply."""
    NOT_APPLICABLE = "not-applicable"
    """Insecure address or alias: no TLSA question was asked (RFC 7672 §2.2.2)."""
    TLSA_ERROR = "tlsa-error"
    """A TLSA lookup failed: the host must be treated as unreachable (RFC 7672 §2.1.1)."""
    ADDRESS_ERROR = "address-error"
    """No address could be looked up."""
    NO_ADDRESS = "no-address"
    """The host definitely has no address."""
    UNUSABLE_TARGET = "unusable-target"
    """The MX target is no host name; see TargetProblem."""


@record
class HostAddress:
    """One address of an MX host, with the security status of its record."""

    address: str
    family: Family
    status: DnssecStatus | None


@record
class HostRoute:
    """The DNS stage of one MX host; the same for every domain that uses the host.

    ``tlsa_base`` is the TLSA base domain when ``applicability`` is ``tlsa-present``; otherwise the
    name a sender would still put into SNI. ``tlsa`` holds the secure RRset, duplicates included.
    ``alias`` is the separate CNAME question about the host itself, asked only where needed.
    ``failed_lookup`` is the error that decided ``tlsa-error`` or ``address-error``.
    """

    host: Name
    applicability: DaneApplicability
    tlsa_base: Name
    addresses: tuple[HostAddress, ...] = ()
    tlsa: tuple[TlsaRecord, ...] = ()
    ipv4: Lookup | None = None
    ipv6: Lookup | None = None
    alias: Lookup | None = None
    candidates: tuple[TlsaCandidate, ...] = ()
    failed_lookup: Lookup | None = None
    target_problem: TargetProblem | None = None
    addresses_ignored: int = 0
    """Addresses beyond our bound, which were not contacted."""

    @property
    def aliases(self) -> tuple[Name, ...]:
        """The alias targets followed from the host to its addresses."""
        for lookup in (self.ipv4, self.ipv6):
            if lookup is not None and lookup.aliases:
                return tuple(hop.target for hop in lookup.aliases)
        return ()


class ProbeStage(StrEnum):
    """The steps of a probe; an observation names the last one that was begun."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    DONE = "done"
    """TLS is up and the chain was captured."""


class ProbeError(StrEnum):
    """Why a probe ended before ``done``: facts, not blame. The judge weighs them with the stage."""

    REFUSED = "refused"
    """Connection refused (TCP reset to our SYN)."""
    TIMEOUT = "timeout"
    """The peer did not answer within the step's share of the deadline."""
    UNREACHABLE = "unreachable"
    """ICMP said host or network unreachable from beyond our machine."""
    NO_ROUTE = "no-route"
    """Our own machine has no route or no address in that family."""
    OWN_RESOURCES = "own-resources"
    """Our own limit: file descriptors, ports, memory."""
    NOT_CONTACTED = "not-contacted"
    """The address is in a special-purpose range and was left alone."""
    CLOSED = "closed"
    """The peer closed the connection."""
    RESET = "reset"
    """The peer reset the connection."""
    REPLY_TRANSIENT = "reply-transient"
    """A 4yz reply (RFC 5321 §4.2.1)."""
    REPLY_PERMANENT = "reply-permanent"
    """A 5yz reply."""
    REPLY_UNEXPECTED = "reply-unexpected"
    """A well-formed reply with a code that has no meaning here (such as 354)."""
    PROTOCOL = "protocol"
    """Bytes that are not SMTP replies."""
    TOO_LARGE = "too-large"
    """A bound on line length, lines or bytes was reached."""
    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    """The EHLO reply (or HELO) lists no STARTTLS keyword."""
    TLS_ALERT = "tls-alert"
    """The peer sent a TLS alert."""
    TLS_PROTOCOL = "tls-protocol"
    """What came back is not a TLS handshake we can follow."""
    NO_CERTIFICATE = "no-certificate"
    """TLS came up but no certificate was presented (anonymous cipher)."""
    INTERNAL = "internal"
    """A bug of ours; the detail says where."""


class OtherAlgorithm(StrEnum):
    """What came of asking a server for a certificate of the other algorithm, RSA or ECDSA.

    A server may hold both and show what the client's offer fits (RFC 8446 §4.4.2.2, RFC 5246
    §7.4.2), so that one connection sees only one of them.
    """

    NOT_ASKED = "not-asked"
    NONE = "none"
    """It shows none: without the algorithm of its certificate there is no session."""
    SHOWN = "shown"
    UNKNOWN = "unknown"
    """Asked, and the connection ended in something that does not tell; or no time was left."""


@record
class ProbeTimings:
    """Milliseconds from the start of the probe to the end of each step; None if not reached."""

    connect_ms: int | None = None
    greeting_ms: int | None = None
    ehlo_ms: int | None = None
    starttls_ms: int | None = None
    handshake_ms: int | None = None
    total_ms: int | None = None


@record
class AddressObservation:
    """One SMTP STARTTLS probe of one address of an MX host.

    ``error`` is None exactly when ``stage`` is ``done``. ``chain`` is the full chain as presented,
    DER, leaf first. ``starttls_offered`` is None when no EHLO reply was read. ``transcript`` holds
    the server's reply lines before TLS, printable ASCII, bounded. ``early_plaintext`` says that
    bytes arrived in the clear between the STARTTLS reply and the handshake; they were discarded.
    ``other_chain`` is what a second connection was shown that offered only the other algorithm
    (ECDSA where the leaf of ``chain`` is RSA, and the reverse); empty unless ``other_algorithm``
    is ``shown``. Nothing else of that connection is kept, and ``attempts`` does not count it. The
    same goes for ``chain_without_sni``, which a further connection was shown that named no server;
    empty where none was asked or none came.
    """

    host: Name
    address: str
    family: Family
    sni: Name | None
    observed_at: datetime
    stage: ProbeStage
    error: ProbeError | None = None
    detail: str | None = None
    reply_code: int | None = None
    reply_text: str | None = None
    starttls_offered: bool | None = None
    helo_fallback: bool = False
    early_plaintext: bool = False
    tls_version: str | None = None
    cipher: str | None = None
    key_exchange_group: str | None = None
    chain: tuple[bytes, ...] = ()
    other_algorithm: OtherAlgorithm = OtherAlgorithm.NOT_ASKED
    other_chain: tuple[bytes, ...] = ()
    chain_without_sni: tuple[bytes, ...] = ()
    transcript: tuple[str, ...] = ()
    timings: ProbeTimings = field(default_factory=ProbeTimings)
    attempts: int = 1
    probe_id: str = ""
    """Identifies this probe in the history; shared by every domain that used it."""


@record
class HostObservation:
    """Everything seen of one MX host of one domain."""

    preference: int
    route: HostRoute
    addresses: tuple[AddressObservation, ...] = ()


@record
class Vantage:
    """Whether we could see at all while this was observed.

    ``resolver_up`` and ``resolver_validating`` come from control questions asked after the
    observation's own lookups; None means not tested. ``egress_ipv4`` and ``egress_ipv6`` are True
    once any SMTP connection in that family was answered (accepted or refused) in this run, False
    when our machine has no route in that family, None while unproven. ``detail`` explains a
    False in words for an operator.
    """

    resolver_up: bool | None = None
    resolver_validating: bool | None = None
    egress_ipv4: bool | None = None
    egress_ipv6: bool | None = None
    detail: str | None = None

    @property
    def resolver_trusted(self) -> bool:
        """Whether lookup results may be held against a partner."""
        return self.resolver_up is not False and self.resolver_validating is not False


@record
class DomainObservation:
    """All evidence of one check of one domain.

    ``zones`` are those its lookups went through, known only where we validated ourselves; each is
    as it was seen last, by whichever domain.
    """

    domain: Name
    observed_at: datetime
    duration_ms: int
    route: MailRoute
    hosts: tuple[HostObservation, ...] = ()
    vantage: Vantage = field(default_factory=Vantage)
    incomplete: str | None = None
    """A sentence when our own deadline or a bug cut the observation short."""
    zones: tuple[ZoneObservation, ...] = ()
