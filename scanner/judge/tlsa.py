"""Which TLSA records count, and what they say (RFC 6698 §2.1, RFC 7671 §5 to §9, RFC 7672 §3.1).

Theory
    A secure TLSA RRset always makes TLS mandatory; only its *usable* records authenticate. A record
    is usable when an SMTP client of RFC 7672 understands every field and its data could match
    something: then authentication must succeed, so calling a hopeless record usable would be a
    false alarm, and calling a live one unusable a false all-clear.

    After that come two rules over the usable records: digest agility, by which a client looks only
    at the strongest digest the publisher offers, and the publisher's own rule, that every
    combination of parameters he publishes must match what his servers present.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scanner.judge.certificate import CACHED_CERTIFICATES, MAX_CACHED_OCTETS, load, spki_of
from scanner.judge.publickey import is_public_key
from scanner.model.observation import TlsaRecord
from scanner.model.reasons import Reason

USAGE_DANE_TA = 2
USAGE_DANE_EE = 3
SELECTOR_CERTIFICATE = 0
SELECTOR_SPKI = 1
MATCHING_FULL = 0
MATCHING_SHA256 = 1
MATCHING_SHA512 = 2

DIGEST_OCTETS = {MATCHING_SHA256: 32, MATCHING_SHA512: 64}
"""Length of each digest (RFC 6698 §2.1.3, FIPS 180-4)."""
DIGEST_STRENGTH = {MATCHING_SHA256: 1, MATCHING_SHA512: 2}
"""Order of digests for agility, larger is stronger (RFC 7671 §9)."""

Parameters = tuple[int, int, int]
"""Usage, selector and matching type."""
Association = tuple[int | None, int | None, bytes]
"""Selector, matching type and the association data that goes with them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AssessedRecord:
    """One distinct record of an RRset; ``unusable_reason`` is None when it is usable."""

    record: TlsaRecord
    unusable_reason: Reason | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsaSet:
    """A TLSA RRset sorted out.

    ``records`` holds each distinct record once, in the order received; ``duplicates`` the further
    copies; ``usable`` the records that authenticate, in the order received. ``truncated`` says
    that more were usable than are compared, and that ``usable`` holds the first in canonical order.
    """

    records: tuple[AssessedRecord, ...]
    duplicates: tuple[TlsaRecord, ...]
    usable: tuple[TlsaRecord, ...]
    truncated: bool


def unusable_reason(record: TlsaRecord) -> Reason | None:
    """Return why an SMTP client cannot use ``record``, or None when it can.

    RDATA below four octets has no association data (RFC 6698 §2.1). PKIX-TA(0) and PKIX-EE(1) are
    undefined for SMTP and treated as unusable (RFC 7672 §3.1.3), as Exchange Online does. Unknown
    values are unusable, and so is data that can match nothing: a digest of the wrong length, full
    data that is no certificate or no public key (RFC 7671 §4.1 and §5).
    """
    usage, selector, matching_type = record.usage, record.selector, record.matching_type
    if usage is None or selector is None or matching_type is None or not record.data:
        return Reason.TLSA_TOO_SHORT
    if usage not in (USAGE_DANE_TA, USAGE_DANE_EE):
        return Reason.TLSA_USAGE_UNUSABLE
    if selector not in (SELECTOR_CERTIFICATE, SELECTOR_SPKI):
        return Reason.TLSA_SELECTOR_UNKNOWN
    if matching_type == MATCHING_FULL:
        return None if _is_full_data(selector, record.data) else Reason.TLSA_DATA_MALFORMED
    # 255 is PrivMatch (RFC 7218): private to its publisher, so nobody else can compare it.
    if matching_type not in DIGEST_OCTETS:
        return Reason.TLSA_MATCHING_TYPE_UNKNOWN
    if len(record.data) != DIGEST_OCTETS[matching_type]:
        return Reason.TLSA_DIGEST_LENGTH
    return None


def _is_full_data(selector: int, data: bytes) -> bool:
    if selector == SELECTOR_SPKI:
        return is_public_key(data)
    certificate = load(data)
    # OpenSSL, too, wants the key inside to decode before it takes a full certificate.
    return certificate is not None and is_public_key(certificate.spki)


def assess(records: Sequence[TlsaRecord], *, max_records: int) -> TlsaSet:
    """Return the RRset sorted into distinct, duplicate and usable records.

    Of more than ``max_records`` usable records those first in canonical order (RFC 4034 §6.3) are
    kept, so that the choice does not depend on the order an answer happens to have.
    """
    distinct: dict[TlsaRecord, Reason | None] = {}
    duplicates: list[TlsaRecord] = []
    for record in records:
        if record in distinct:
            duplicates.append(record)
        else:
            distinct[record] = unusable_reason(record)
    usable = [record for record, reason in distinct.items() if reason is None]
    kept = set(sorted(usable, key=rdata)[: max(max_records, 0)])
    return TlsaSet(
        records=tuple(
            AssessedRecord(record=record, unusable_reason=reason)
            for record, reason in distinct.items()
        ),
        duplicates=tuple(duplicates),
        usable=tuple(record for record in usable if record in kept),
        truncated=len(kept) < len(usable),
    )


def after_agility(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Return the usable ``records`` a digest-agile client looks at (RFC 7671 §9), in their order.

    For each usage and selector: all full data, and of the digests only the strongest present.
    Full data takes no part in the ranking and is never suppressed by a digest. Unusable records
    must have been dropped before: a malformed SHA-512 record hides no good SHA-256 one.
    """
    records = tuple(records)
    strongest: dict[tuple[int | None, int | None], int] = {}
    for record in records:
        key = record.usage, record.selector
        strongest[key] = max(strongest.get(key, 0), _strength(record))
    return tuple(
        record
        for record in records
        if record.matching_type == MATCHING_FULL
        or _strength(record) == strongest[record.usage, record.selector]
    )


def _strength(record: TlsaRecord) -> int:
    return 0 if record.matching_type is None else DIGEST_STRENGTH.get(record.matching_type, 0)


def unmatched_parameters(
    usable: Iterable[TlsaRecord], matched: Iterable[TlsaRecord]
) -> tuple[Parameters, ...]:
    """Return the combinations of parameters with no record that matches the live chain, sorted.

    RFC 7671 §8.1: a publisher must keep, for every combination of usage, selector and matching
    type he publishes, one record that matches; clients may support only some combinations.
    """
    published = {_parameters(record) for record in usable}
    return tuple(sorted(published - {_parameters(record) for record in matched}))


def _parameters(record: TlsaRecord) -> Parameters:
    assert record.usage is not None
    assert record.selector is not None
    assert record.matching_type is not None
    return record.usage, record.selector, record.matching_type


class _Content(NamedTuple):
    """What one selector selects of a certificate, and its digests."""

    selector: int
    octets: bytes
    sha256: bytes
    sha512: bytes


def _contents(certificate: bytes) -> tuple[_Content, ...]:
    """Return what each selector selects: Cert(0), and SPKI(1) as far as one can be found."""
    found = [(SELECTOR_CERTIFICATE, certificate), (SELECTOR_SPKI, spki_of(certificate))]
    return tuple(
        _Content(selector, octets, hashlib.sha256(octets).digest(), hashlib.sha512(octets).digest())
        for selector, octets in found
        if octets is not None
    )


_remembered_contents = lru_cache(maxsize=CACHED_CERTIFICATES)(_contents)


def _contents_of(certificate: bytes) -> tuple[_Content, ...]:
    is_large = len(certificate) > MAX_CACHED_OCTETS
    return (_contents if is_large else _remembered_contents)(certificate)


def associations(certificate: bytes) -> frozenset[Association]:
    """Return everything a TLSA record could say to match a certificate, in DER.

    Over the certificate as it is for selector Cert(0), and over its SubjectPublicKeyInfo for
    SPKI(1), as far as one can be found (RFC 6698 §2.1.2); for each matching type (§2.1.3).
    """
    found: set[Association] = set()
    for content in _contents_of(certificate):
        found.add((content.selector, MATCHING_FULL, content.octets))
        found.add((content.selector, MATCHING_SHA256, content.sha256))
        found.add((content.selector, MATCHING_SHA512, content.sha512))
    return frozenset(found)


def matches(record: TlsaRecord, certificate: frozenset[Association]) -> bool:
    """Return whether ``record`` says one of the ``associations`` of a certificate.

    Compares bytes only; whether a certificate at that place of the chain may be matched by that
    usage is not decided here.
    """
    return (record.selector, record.matching_type, record.data) in certificate


def expected_records(leaf: bytes) -> tuple[str, ...]:
    """Return TLSA records, in presentation form, that would match the leaf certificate.

    Recommended first: 3 1 1, 3 0 1, 3 1 2, 3 0 2. Those over the public key are left out when the
    certificate holds none that can be read.
    """
    # The public key first: a renewed certificate may keep it.
    contents = sorted(_contents_of(leaf), key=lambda content: -content.selector)
    lines = [
        f"{USAGE_DANE_EE} {content.selector} {MATCHING_SHA256} {content.sha256.hex()}"
        for content in contents
    ]
    lines += [
        f"{USAGE_DANE_EE} {content.selector} {MATCHING_SHA512} {content.sha512.hex()}"
        for content in contents
    ]
    return tuple(lines)


def presentation(record: TlsaRecord) -> str:
    """Return the RDATA as a zone file shows it (RFC 6698 §2.2), hexadecimal in lower case.

    RDATA that has not all its fields is shown in the generic form (RFC 3597 §5).
    """
    if record.usage is None or record.selector is None or record.matching_type is None:
        raw = rdata(record)
        return f"\\# {len(raw)} {raw.hex()}".rstrip()
    return f"{record.usage} {record.selector} {record.matching_type} {record.data.hex()}".rstrip()


def rdata(record: TlsaRecord) -> bytes:
    """Return the RDATA of ``record`` as on the wire: also its canonical order (RFC 4034 §6.3)."""
    fields = (record.usage, record.selector, record.matching_type)
    return bytes(field for field in fields if field is not None) + record.data
