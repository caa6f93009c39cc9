"""The nouns of DNSSEC validation: record sets, keys, proofs, links of the chain, the result.

    Validation                what one question's answer is worth, and why
      ChainLink*              one zone on the way, from its trust anchor down
        Ds*, Dnskey*, SignedBy*
      CheckedRRset*           every record set the answer rests on, with its signatures
      DnssecFinding*          every independent fault and warning, nearest the anchor first

    SignedMessage             one reply, cut into record sets (scanner.wire.rrsets makes them)
      RRset*                  owner, type, canonical RDATA, and the RRSIGs over it

RDATA is kept as wire octets in canonical form (RFC 4034 §6.2): names inside are uncompressed and,
for the types listed there, lower case. What is read of it stands beside it in ``parsed``. Names
are both ``Name`` (for people) and ``CanonicalName`` (for comparing, see scanner.model.canonical).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scanner.model.canonical import CanonicalName
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import AliasHop, ExtendedError, Question, Record
from scanner.model.record import record
from scanner.model.vocabulary import DnssecStatus, LookupOutcome

__all__ = [
    "Anchor",
    "ChainLink",
    "CheckedRRset",
    "Dnskey",
    "DnssecFinding",
    "DnssecReason",
    "Ds",
    "FetchFailure",
    "LinkKind",
    "Nsec3Record",
    "NsecRecord",
    "Proof",
    "ProofResult",
    "RRset",
    "Rrsig",
    "SignatureCheck",
    "SignedMessage",
    "Soa",
    "Validation",
]

ZONE_KEY = 0x0100
REVOKE = 0x0080
SECURE_ENTRY_POINT = 0x0001
DNSSEC_PROTOCOL = 3  # RFC 4034 §2.1.2
OPT_OUT = 0x01  # RFC 5155 §3.1.2.1


@record
class Ds:
    """DS RDATA (RFC 4034 §5.1)."""

    key_tag: int
    algorithm: int
    digest_type: int
    digest: bytes


@record
class Dnskey:
    """DNSKEY RDATA (RFC 4034 §2.1), with its key tag (appendix B) and the RDATA it came from."""

    flags: int
    protocol: int
    algorithm: int
    public_key: bytes
    key_tag: int
    rdata: bytes

    @property
    def is_zone_key(self) -> bool:
        """Whether it may sign zone data at all: Zone Key bit and protocol 3."""
        return bool(self.flags & ZONE_KEY) and self.protocol == DNSSEC_PROTOCOL

    @property
    def is_secure_entry_point(self) -> bool:
        """Whether the SEP bit is set; a hint for people only (RFC 4034 §2.1.1)."""
        return bool(self.flags & SECURE_ENTRY_POINT)

    @property
    def is_revoked(self) -> bool:
        """Whether the REVOKE bit is set (RFC 5011 §2.1)."""
        return bool(self.flags & REVOKE)

    @property
    def bits(self) -> int | None:
        """The size of the key as people name it; None where it has none or is malformed."""
        if self.algorithm in _RSA_ALGORITHMS:
            return _rsa_bits(self.public_key)
        return _FIXED_BITS.get(self.algorithm)


_RSA_ALGORITHMS = frozenset({1, 5, 7, 8, 10})
_FIXED_BITS = {13: 256, 14: 384, 15: 256, 16: 456}


def _rsa_bits(octets: bytes) -> int | None:
    """Return the bits of the modulus (RFC 3110 §2), None for a key that is cut off."""
    length, start = octets[0] if octets else 0, 1
    if length == 0:
        length, start = int.from_bytes(octets[1:3]), 3
    modulus = octets[start + length :]
    return int.from_bytes(modulus).bit_length() if length and modulus else None


@record
class Rrsig:
    """RRSIG RDATA (RFC 4034 §3.1).

    ``expiration`` and ``inception`` are raw serial numbers of seconds (§3.1.5). ``header`` is the
    RDATA without the signature, the signer's name in canonical form: the head of what is signed
    (§3.1.8.1). ``ttl`` is that of the record as received.
    """

    type_covered: int
    algorithm: int
    labels: int
    original_ttl: int
    expiration: int
    inception: int
    key_tag: int
    signer: Name
    signer_labels: CanonicalName
    signature: bytes
    header: bytes
    ttl: int


@record
class Soa:
    """What is read of an SOA: MINIMUM limits how long a denial holds (RFC 2308 §5)."""

    serial: int
    minimum: int


@record
class NsecRecord:
    """One NSEC record (RFC 4034 §4), its signature already verified when a proof sees it.

    ``owner_labels`` and ``next_labels`` are canonical: root first, lower case.
    ``wildcard_expanded`` says that its RRSIG has fewer labels than its owner, so that the record
    is that of ``*.<that many labels>`` and must not be used under the owner shown
    (CVE-2017-15105).
    """

    owner: Name
    owner_labels: CanonicalName
    next_labels: CanonicalName
    types: frozenset[int]
    wildcard_expanded: bool = False


@record
class Nsec3Record:
    """One NSEC3 record (RFC 5155 §3), its signature already verified when a proof sees it.

    ``zone_labels`` is the owner without its first label; ``owner_hash`` is that label decoded from
    base32hex, empty when it is none. Whether the zone is the signer's is for the proof to check.
    """

    owner: Name
    zone_labels: CanonicalName
    owner_hash: bytes
    next_hash: bytes
    algorithm: int
    flags: int
    iterations: int
    salt: bytes
    types: frozenset[int]
    wildcard_expanded: bool = False

    @property
    def opt_out(self) -> bool:
        """Whether unsigned delegations may lie in the span (RFC 5155 §3.1.2.1)."""
        return bool(self.flags & OPT_OUT)


Parsed = Ds | Dnskey | NsecRecord | Nsec3Record | Soa | CanonicalName
"""What is read of RDATA that validation itself needs; a CanonicalName for CNAME and DNAME."""


@record
class RRset:
    """The records of one owner and type in class IN, and the RRSIGs over them.

    ``rdatas`` are canonical, sorted and distinct (RFC 4034 §6.3). ``parsed`` holds what was read
    of DS, DNSKEY, NSEC, NSEC3, SOA, CNAME and DNAME; a record of these types that cannot be read
    is missing there and stands in ``rdatas`` only. ``ttl`` is the least of the set, as received.
    """

    owner: Name
    owner_labels: CanonicalName
    rdtype: int
    ttl: int
    rdatas: tuple[bytes, ...]
    rrsigs: tuple[Rrsig, ...] = ()
    parsed: tuple[Parsed, ...] = ()


@record
class SignedMessage:
    """One whole reply to a question with DO and CD. The additional section is not kept.

    ``truncated`` says that TC was set: then nothing but the header was read (RFC 2181 §9).
    ``authoritative`` is the AA bit, which matters only where a zone's own servers are asked.
    """

    question: Question
    question_labels: CanonicalName
    rcode: int
    answer: tuple[RRset, ...]
    authority: tuple[RRset, ...]
    edns: bool
    extended_errors: tuple[ExtendedError, ...] = ()
    server: str = ""
    truncated: bool = False
    authoritative: bool = False

    def find(self, owner: CanonicalName, rdtype: int) -> RRset | None:
        """Return the RRset of the answer section with this owner and type."""
        for rrset in self.answer:
            if rrset.rdtype == rdtype and rrset.owner_labels == owner:
                return rrset
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchFailure:
    """That no usable reply to a question could be had; the reason is one of the upstream ones.

    ``own_fault`` is a sentence when the failure is on our side.
    """

    question: Question
    reason: DnssecReason
    outcome: LookupOutcome
    detail: str = ""
    own_fault: str | None = None
    extended_errors: tuple[ExtendedError, ...] = ()
    server: str = ""


class ProofResult(StrEnum):
    """What a denial proof amounts to."""

    PROVEN = "proven"
    PROVEN_INSECURE = "proven-insecure"
    """Proven as far as it goes, but through an opt-out span or too many iterations: insecure."""
    NOT_PROVEN = "not-proven"


@record
class Proof:
    """The result of one denial proof.

    ``reason`` is the first useful reason why it is not proven, or why only insecurely.
    ``closest_encloser`` is the one the proof rests on, where there is one. ``cut`` is for
    ``deny_delegation`` only: True for a delegation without DS, False for a name where no zone
    begins, None where an opt-out span leaves it open. ``name_exists`` is False where the proof
    says that the name does not exist at all, also in the shape of a NODATA (RFC 9824).
    """

    result: ProofResult
    reason: DnssecReason | None = None
    closest_encloser: Name | None = None
    cut: bool | None = None
    name_exists: bool | None = None
    notes: tuple[str, ...] = ()


@record
class SignatureCheck:
    """One RRSIG and what became of it: ``reason`` is None for the one that verified.

    ``inception`` and ``expiration`` are moments; ``checked`` is False for a signature that was
    not looked at, because an earlier one was good or a limit was reached.
    """

    rrsig: Rrsig
    inception: datetime
    expiration: datetime
    reason: DnssecReason | None = None
    checked: bool = True


@record
class CheckedRRset:
    """One record set with its status and all its signatures.

    ``wildcard`` is the name ``*.<closest encloser>`` it was expanded from. ``ttl_seconds`` is
    capped by Original TTL and expiration where it is secure.
    """

    owner: Name
    rdtype: int
    zone: Name | None
    status: DnssecStatus
    reason: DnssecReason | None = None
    ttl_seconds: int = 0
    signatures: tuple[SignatureCheck, ...] = ()
    wildcard: Name | None = None
    rrset: RRset | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DnssecFinding:
    """One fault or warning, with what it was seen on.

    ``state`` is the status it leads to; None for a warning. ``values`` are pairs such as
    ("key_tag", "12345"), in the order to show them. ``message`` is one sentence with the values.
    ``server`` names the resolver or authority that showed it; "" for what was computed.
    """

    reason: DnssecReason
    zone: Name
    owner: Name
    rdtype: int
    state: DnssecStatus | None
    message: str
    values: tuple[tuple[str, str], ...] = ()
    server: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """What is trusted from the start for one zone: DS records, DNSKEY records, or both."""

    zone: Name
    ds: tuple[Ds, ...] = ()
    dnskeys: tuple[Dnskey, ...] = ()


class LinkKind(StrEnum):
    """What one step of the walk found."""

    ANCHOR = "anchor"
    """The zone of a trust anchor."""
    DELEGATION = "delegation"
    """A zone cut."""
    NO_CUT = "no-cut"
    """No zone begins at this name; it belongs to the zone above."""


@record
class ChainLink:
    """One step from the anchor down.

    ``zone`` is the name that was looked at. ``status`` is that of the zone from here on: secure,
    insecure from this cut on, bogus or indeterminate. ``ds`` is what the parent publishes (for an
    anchor: the anchor), ``entry_keys`` the key tags by which DS and DNSKEY meet. ``rrsets`` are
    the DS, DNSKEY and denial record sets that were checked. ``expires_at`` is when this must be
    looked at again. ``findings`` are those of this step alone. ``absent`` says that no zone begins
    here because the zone above proves that there is no such name at all.
    """

    zone: Name
    kind: LinkKind
    status: DnssecStatus
    reason: DnssecReason | None = None
    parent: Name | None = None
    ds: tuple[Ds, ...] = ()
    dnskeys: tuple[Dnskey, ...] = ()
    entry_keys: tuple[int, ...] = ()
    rrsets: tuple[CheckedRRset, ...] = ()
    findings: tuple[DnssecFinding, ...] = ()
    expires_at: datetime | None = None
    own_fault: str | None = None
    absent: bool = False


@record
class Validation:
    """What the answer to one question is worth, and everything that shows why.

    ``status`` is that of the weakest part. ``outcome`` is what the answer claims (or how it
    failed), whatever its status; ``records`` likewise: trust them only if ``status`` says so.
    ``reason`` is the first broken link from the anchor down, None when secure; ``ede`` its code
    (RFC 8914). ``chain`` holds the links of every zone used, each once, anchor first; for an alias
    chain the links of the later names follow. ``own_fault`` is a sentence when the failure is on
    our side.
    """

    question: Question
    validated_at: datetime
    status: DnssecStatus
    outcome: LookupOutcome
    reason: DnssecReason | None = None
    ede: int | None = None
    zone: Name | None = None
    records: tuple[Record, ...] = ()
    aliases: tuple[AliasHop, ...] = ()
    chain: tuple[ChainLink, ...] = ()
    rrsets: tuple[CheckedRRset, ...] = ()
    findings: tuple[DnssecFinding, ...] = ()
    ttl_seconds: int | None = None
    signature_expires_at: datetime | None = None
    extended_errors: tuple[ExtendedError, ...] = ()
    resolver: str | None = None
    detail: str | None = None
    own_fault: str | None = None
    proof: Proof | None = None
    confirmed: bool = field(default=False)
    """Whether a result that is not an answer was seen twice, the second time freshly."""

    @property
    def ends_at(self) -> Name | None:
        """The zone where the chain ends; None where it does not, or nothing tells."""
        if self.status is DnssecStatus.SECURE:
            return None
        ended = [link for link in self.chain if link.status is self.status]
        for link in ended:
            if link.reason is self.reason:
                return link.zone
        for noted in self.findings:
            if noted.reason is self.reason:
                return noted.zone
        return ended[0].zone if ended else self.zone
