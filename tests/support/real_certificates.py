"""Certificates and the TLSA records that go with them, made by cryptography and nothing of ours."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
FULL, SPKI = 0, 1
EXACT, SHA256, SHA512 = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """A certificate with its key, and the issuers a server would send after it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuers: tuple[x509.Certificate, ...] = ()

    def tlsa(self, usage: int, selector: int, matching_type: int) -> str:
        """Return TLSA RDATA in presentation form that matches this certificate."""
        return f"{usage} {selector} {matching_type} {self.association(selector, matching_type)}"

    def association(self, selector: int, matching_type: int) -> str:
        """Return the certificate association data in hex (RFC 6698 §2.1.4)."""
        if selector == FULL:
            data = self.certificate.public_bytes(Encoding.DER)
        else:
            public_key = self.certificate.public_key()
            data = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digests = {EXACT: data, SHA256: hashlib.sha256(data).digest()}
        digests[SHA512] = hashlib.sha512(data).digest()
        return digests[matching_type].hex()

    def write(self, path: Path) -> Path:
        """Write key and chain, in the order Postfix' ``smtpd_tls_chain_files`` wants."""
        chain = (self.certificate, *self.issuers)
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + b"".join(item.public_bytes(Encoding.PEM) for item in chain))
        return path


def self_signed(name: str, *, not_before: datetime | None = None, days: int = 30) -> Credential:
    """Return a self-signed leaf, as many mail servers have."""
    return _issue(name, issuer=None, is_ca=False, not_before=not_before, days=days)


def authority(name: str) -> Credential:
    """Return a self-signed CA."""
    return _issue(name, issuer=None, is_ca=True, not_before=None, days=30)


def issued(
    name: str,
    issuer: Credential,
    *,
    not_before: datetime | None = None,
    days: int = 30,
    send_issuer: bool = True,
) -> Credential:
    """Return a leaf signed by ``issuer``; ``send_issuer`` says whether the CA is in the chain."""
    leaf = _issue(name, issuer=issuer, is_ca=False, not_before=not_before, days=days)
    chain = (issuer.certificate, *issuer.issuers) if send_issuer else ()
    return Credential(certificate=leaf.certificate, key=leaf.key, issuers=chain)


def _issue(
    name: str, *, issuer: Credential | None, is_ca: bool, not_before: datetime | None, days: int
) -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = not_before or datetime.now(UTC) - DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + days * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        ).add_extension(server, critical=False)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Credential(certificate=certificate, key=key)
