"""Read one certificate (RFC 5280 §4.1), as far as DANE needs it, whatever its state.

``read_certificate`` gives the facts people look at, ``load`` what chain building works on. Both are
pure and never raise on hostile bytes.

Theory
    The structure is read with our own DER reader, field by field, and one bad field spoils only
    itself: a DANE-EE(3) record can match a certificate whose dates, names and extensions are
    nonsense (RFC 7672 §3.1.1), so nothing but the outline may be a reason to give up. What a path
    needs and could not be read is listed in ``malformed_extensions`` and fails there.
    ``cryptography`` decodes public keys only; as an independent parser it is the oracle of the
    tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from scanner.judge import der
from scanner.judge.der import DerError, Element
from scanner.judge.distinguished import (
    CanonicalName,
    DistinguishedName,
    distinguished_name,
    printable,
)
from scanner.judge.publickey import describe_key
from scanner.judge.signature import algorithm_name
from scanner.model.record import record
from scanner.model.verdict import CertificateFacts

CACHED_CERTIFICATES = 512
"""Parsed certificates kept; chains repeat from probe to probe, and one takes about 10 KiB."""
MAX_CACHED_OCTETS = 16_384
"""Larger certificates are parsed anew each time, so that the cache stays below some 20 MiB."""
MAX_ALTERNATIVE_NAMES = 2_000
"""subjectAltName entries read; public CAs allow 100 to 1,000."""

OID_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
OID_KEY_USAGE = "2.5.29.15"
OID_SUBJECT_ALT_NAME = "2.5.29.17"
OID_BASIC_CONSTRAINTS = "2.5.29.19"
OID_NAME_CONSTRAINTS = "2.5.29.30"
OID_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
OID_EXTENDED_KEY_USAGE = "2.5.29.37"

IGNORED_CRITICAL = frozenset(
    {
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.36",  # policyConstraints
        "2.5.29.54",  # inhibitAnyPolicy
        "2.5.29.31",  # cRLDistributionPoints
        "1.3.6.1.5.5.7.1.7",  # IP address blocks (RFC 3779)
        "1.3.6.1.5.5.7.1.8",  # AS numbers (RFC 3779)
        "1.3.6.1.5.5.7.1.24",  # TLS feature
        "2.16.840.1.113730.1.1",  # Netscape certificate type
    }
)
"""Critical extensions that are recognised though nothing is done with them.

A mail sender asks for no certificate policy and has no CRL, and the resources of RFC 3779 are no
DNS names. OpenSSL, under nearly every DANE-enforcing sender, lets them pass as well.
"""

# Context-specific tags of GeneralName (RFC 5280 §4.2.1.6).
GN_OTHER = 0xA0
GN_EMAIL = 0x81
GN_DNS = 0x82
GN_DIRECTORY = 0xA4
GN_URI = 0x86
GN_IP = 0x87


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One GeneralName: its tag and contents; a directoryName also in canonical form."""

    tag: int
    value: bytes
    directory: CanonicalName | None = None


@record
class NameConstraints:
    """The nameConstraints extension (RFC 5280 §4.2.1.10).

    ``distances`` says that a subtree has a minimum or maximum, which RFC 5280 forbids.
    """

    permitted: tuple[GeneralName, ...] = ()
    excluded: tuple[GeneralName, ...] = ()
    distances: bool = False


@record
class Extensions:
    """What a path reads from the extensions; None where an extension is absent.

    ``malformed`` and ``unknown_critical`` hold dotted object identifiers. ``key_usage`` holds bit
    numbers (RFC 5280 §4.2.1.3), ``dns_names`` the dNSName entries with unprintable octets escaped.
    """

    is_ca: bool | None = None
    path_length: int | None = None
    key_usage: frozenset[int] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    dns_names: tuple[str, ...] = ()
    alternative_names: tuple[GeneralName, ...] = ()
    name_constraints: NameConstraints | None = None
    authority_key_id: bytes | None = None
    subject_key_id: bytes | None = None
    malformed: tuple[str, ...] = ()
    unknown_critical: tuple[str, ...] = ()


@record
class ParsedCertificate:
    """A certificate whose outline could be read.

    ``spki`` is the DER of SubjectPublicKeyInfo as it stands in the certificate: what selector 1
    speaks of (RFC 6698 §2.1.2). ``tbs`` is what the issuer signed. ``not_before`` and
    ``not_after`` are None when they are no points in time. ``algorithms_agree`` says that the
    signature algorithm inside and outside ``tbs`` is the same (RFC 5280 §4.1.1.2).
    """

    der: bytes
    sha256: str
    spki_sha256: str
    version: int
    serial: int
    tbs: bytes
    signature_algorithm: str
    signature_parameters: bytes | None
    algorithms_agree: bool
    signature: bytes
    issuer: DistinguishedName
    subject: DistinguishedName
    not_before: datetime | None
    not_after: datetime | None
    spki: bytes
    extensions: Extensions

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject are the same entity (RFC 5280 §3.2)."""
        return self.issuer.canonical == self.subject.canonical


def read_certificate(data: bytes) -> CertificateFacts:
    """Return the facts of one certificate, in DER.

    Never raises. When the outline cannot be read, ``problem`` says why and only the hash is given.
    ``names`` are the dNSName entries, or the common names where there are none: the names a sender
    would compare (RFC 7672 §3.2.3).
    """
    return (_facts if len(data) > MAX_CACHED_OCTETS else _cached_facts)(data)


def _facts(data: bytes) -> CertificateFacts:
    sha256 = hashlib.sha256(data).hexdigest()
    certificate = _load_or_reason(data)
    if isinstance(certificate, str):
        return CertificateFacts(sha256=sha256, der=data, problem=certificate)
    key_type, key_bits = describe_key(certificate.spki)
    return CertificateFacts(
        sha256=sha256,
        der=data,
        spki_sha256=certificate.spki_sha256,
        subject=certificate.subject.text,
        issuer=certificate.issuer.text,
        serial=f"{certificate.serial:x}",
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        names=certificate.extensions.dns_names or certificate.subject.common_names,
        key_type=key_type,
        key_bits=key_bits,
        signature_algorithm=algorithm_name(certificate.signature_algorithm),
        is_ca=certificate.extensions.is_ca,
    )


_cached_facts = lru_cache(maxsize=CACHED_CERTIFICATES)(_facts)


def load(data: bytes) -> ParsedCertificate | None:
    """Return the certificate ``data`` is the DER of, or None when its outline cannot be read."""
    certificate = _load_or_reason(data)
    return None if isinstance(certificate, str) else certificate


def spki_of(data: bytes) -> bytes | None:
    """Return the DER of the SubjectPublicKeyInfo of a certificate, or None if there is none.

    Reads less than ``load``: the fields before the key need only be there.
    """
    certificate = load(data)
    return certificate.spki if certificate is not None else _spki_at_its_place(data)


def _spki_at_its_place(data: bytes) -> bytes | None:
    try:
        fields = _tbs_fields(der.children(der.parse(data))[0])
        return _check_spki(fields[5]).encoded
    except (DerError, IndexError):
        return None


def _load_or_reason(data: bytes) -> ParsedCertificate | str:
    if len(data) > MAX_CACHED_OCTETS:
        return _parse_or_reason(data)
    return _cached(data)


@lru_cache(maxsize=CACHED_CERTIFICATES)
def _cached(data: bytes) -> ParsedCertificate | str:
    return _parse_or_reason(data)


def _parse_or_reason(data: bytes) -> ParsedCertificate | str:
    try:
        return _parse(data)
    except DerError as error:
        return f"not a certificate in DER: {error}"


def _parse(data: bytes) -> ParsedCertificate:
    outline = der.children(der.parse(data))
    if len(outline) != 3:
        raise DerError(f"{len(outline)} parts instead of 3")
    tbs, algorithm, signature = outline
    version, serial, inner_algorithm, issuer, validity, subject, spki, rest = _named_fields(tbs)
    oid, parameters = algorithm_identifier(algorithm)
    unused, signature_octets = der.bit_string(signature)
    not_before, not_after = _validity(validity)
    return ParsedCertificate(
        der=data,
        sha256=hashlib.sha256(data).hexdigest(),
        spki_sha256=hashlib.sha256(spki.encoded).hexdigest(),
        version=version,
        serial=serial,
        tbs=tbs.encoded,
        signature_algorithm=oid,
        signature_parameters=parameters,
        algorithms_agree=inner_algorithm.encoded == algorithm.encoded,
        signature=b"" if unused else signature_octets,
        issuer=distinguished_name(issuer),
        subject=distinguished_name(subject),
        not_before=not_before,
        not_after=not_after,
        spki=spki.encoded,
        extensions=_extensions(rest),
    )


def _tbs_fields(tbs: Element) -> tuple[Element, ...]:
    """Return the fields of TBSCertificate from serialNumber on (RFC 5280 §4.1)."""
    fields = der.children(tbs)
    return fields[1:] if fields and fields[0].tag == 0xA0 else fields


def _named_fields(
    tbs: Element,
) -> tuple[int, int, Element, Element, Element, Element, Element, tuple[Element, ...]]:
    everything = der.children(tbs)
    first = everything[0] if everything else tbs
    fields = everything[1:] if first.tag == 0xA0 else everything
    if len(fields) < 6:
        raise DerError(f"{len(fields)} fields instead of at least 6")
    # Version is counted from zero and absent in version 1.
    version = der.integer(der.parse(first.body)) + 1 if first.tag == 0xA0 else 1
    serial, algorithm, issuer, validity, subject, spki = fields[:6]
    return (
        version,
        der.integer(serial),
        der.expect(algorithm, der.SEQUENCE),
        issuer,
        validity,
        subject,
        _check_spki(spki),
        fields[6:],
    )


def _check_spki(element: Element) -> Element:
    """Return ``element``; raises DerError unless it has the shape of SubjectPublicKeyInfo."""
    parts = der.children(element)
    if len(parts) != 2:
        raise DerError("SubjectPublicKeyInfo has not two parts")
    algorithm_identifier(parts[0])
    der.bit_string(parts[1])
    return element


def algorithm_identifier(element: Element) -> tuple[str, bytes | None]:
    """Return the object identifier and the DER of the parameters (RFC 5280 §4.1.1.2)."""
    parts = der.children(element)
    if not 1 <= len(parts) <= 2:
        raise DerError("malformed AlgorithmIdentifier")
    return der.oid(parts[0]), parts[1].encoded if len(parts) == 2 else None


def _validity(element: Element) -> tuple[datetime | None, datetime | None]:
    parts = der.children(element)
    if len(parts) != 2:
        raise DerError("Validity has not two parts")
    return _time_or_none(parts[0]), _time_or_none(parts[1])


def _time_or_none(element: Element) -> datetime | None:
    if element.tag not in (der.UTC_TIME, der.GENERALIZED_TIME):
        raise DerError("Validity holds no times")
    try:
        return der.time(element)
    except DerError:
        return None


# --- extensions ----------------------------------------------------------------------------------


def _extensions(rest: tuple[Element, ...]) -> Extensions:
    """Read the extensions of version 3; each one that is malformed spoils only itself."""
    found: dict[str, tuple[bool, bytes]] = {}
    malformed: list[str] = []
    for wrapper in rest:
        if wrapper.tag != 0xA3:
            continue  # issuerUniqueID and subjectUniqueID say nothing to us
        for element in der.children(der.parse(wrapper.body)):
            oid, critical, value = _extension(element)
            if oid in found:
                # RFC 5280 §4.2: not more than one instance; which one counts would be a guess.
                malformed.append(oid)
            found[oid] = (critical, value)
    fields: dict[str, object] = {}
    for oid, (_, value) in found.items():
        reader = _READERS.get(oid)
        if reader is None:
            continue
        try:
            fields.update(reader(der.parse(value)))
        except (DerError, IndexError):
            malformed.append(oid)
    unknown = [
        oid
        for oid, (critical, _) in found.items()
        if critical and oid not in _READERS and oid not in IGNORED_CRITICAL
    ]
    return Extensions(
        malformed=tuple(dict.fromkeys(malformed)),
        unknown_critical=tuple(unknown),
        **fields,  # type: ignore[arg-type]
    )


def _extension(element: Element) -> tuple[str, bool, bytes]:
    parts = der.children(element)
    if not 2 <= len(parts) <= 3:
        raise DerError("malformed Extension")
    critical = der.boolean(parts[1]) if len(parts) == 3 else False
    return der.oid(parts[0]), critical, der.expect(parts[-1], der.OCTET_STRING).body


def _basic_constraints(element: Element) -> dict[str, object]:
    parts = der.children(element)
    is_ca = bool(parts) and parts[0].tag == der.BOOLEAN and der.boolean(parts[0])
    numbers = [part for part in parts if part.tag == der.INTEGER]
    length = der.integer(numbers[0]) if numbers else None
    if length is not None and length < 0:
        raise DerError("negative path length")
    return {"is_ca": is_ca, "path_length": length}


def _key_usage(element: Element) -> dict[str, object]:
    return {"key_usage": der.named_bits(element)}


def _extended_key_usage(element: Element) -> dict[str, object]:
    return {"extended_key_usage": tuple(der.oid(part) for part in der.children(element))}


def _alternative_names(element: Element) -> dict[str, object]:
    names = tuple(_general_names(element))
    dns = tuple(printable(name.value.decode("latin-1")) for name in names if name.tag == GN_DNS)
    return {"alternative_names": names, "dns_names": dns}


def _general_names(element: Element) -> Iterator[GeneralName]:
    for count, part in enumerate(der.elements(der.expect(element, der.SEQUENCE).body)):
        if count >= MAX_ALTERNATIVE_NAMES:
            return
        yield _general_name(part)


def _general_name(part: Element) -> GeneralName:
    directory = None
    if part.tag == GN_DIRECTORY:
        directory = distinguished_name(der.parse(part.body)).canonical
    return GeneralName(part.tag, part.body, directory)


def _name_constraints(element: Element) -> dict[str, object]:
    subtrees: dict[int, list[GeneralName]] = {0xA0: [], 0xA1: []}
    distances = False
    for part in der.children(element):
        if part.tag not in subtrees:
            raise DerError("malformed NameConstraints")
        for subtree in der.elements(part.body):
            base_and_limits = der.children(subtree)
            distances = distances or len(base_and_limits) > 1
            subtrees[part.tag].append(_general_name(base_and_limits[0]))
    constraints = NameConstraints(
        permitted=tuple(subtrees[0xA0]), excluded=tuple(subtrees[0xA1]), distances=distances
    )
    return {"name_constraints": constraints}


def _authority_key_id(element: Element) -> dict[str, object]:
    identifiers = [part.body for part in der.children(element) if part.tag == 0x80]
    return {"authority_key_id": identifiers[0] if identifiers else None}


def _subject_key_id(element: Element) -> dict[str, object]:
    return {"subject_key_id": der.expect(element, der.OCTET_STRING).body}


_READERS = {
    OID_BASIC_CONSTRAINTS: _basic_constraints,
    OID_KEY_USAGE: _key_usage,
    OID_EXTENDED_KEY_USAGE: _extended_key_usage,
    OID_SUBJECT_ALT_NAME: _alternative_names,
    OID_NAME_CONSTRAINTS: _name_constraints,
    OID_AUTHORITY_KEY_IDENTIFIER: _authority_key_id,
    OID_SUBJECT_KEY_IDENTIFIER: _subject_key_id,
}
