"""Mint certificates for tests of matching and chains: any shape, also the wrong ones.

Keys come from their names and signatures are deterministic, so the same call gives the same bytes
on every machine: data files made with this module can be made again and compared.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

SERVER_AUTH = ObjectIdentifier("1.3.6.1.5.5.7.3.1")
CLIENT_AUTH = ObjectIdentifier("1.3.6.1.5.5.7.3.2")
ANY_USAGE = ObjectIdentifier("2.5.29.37.0")
UNKNOWN_EXTENSION = ObjectIdentifier("1.3.6.1.4.1.55555.1")


@cache
def named_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key that goes with ``name``."""
    number = int.from_bytes(hashlib.sha512(name.encode()).digest(), "big")
    return ec.derive_private_key(number % (_P256_ORDER - 1) + 1, ec.SECP256R1())


@dataclass(frozen=True)
class Minted:
    """A certificate and the key it certifies."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def association(self, selector: int, matching_type: int) -> bytes:
        """The certificate association data (RFC 6698 §2.1.4)."""
        content = self.der if selector == 0 else self.spki
        match matching_type:
            case 0:
                return content
            case 1:
                return hashlib.sha256(content).digest()
            case _:
                return hashlib.sha512(content).digest()


def distinguished(text: str) -> x509.Name:
    """A name with one common name, or none at all for the empty text."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def key_usage(*names: str) -> x509.KeyUsage:
    """The extension with the named bits set."""
    fields = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{field: field in names for field in fields})


def mint(
    name: str,
    issuer: Minted | None = None,
    *,
    key: str | None = None,
    issuer_name: str | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    ca: bool | None = False,
    path_length: int | None = None,
    dns: Sequence[str] = (),
    days: tuple[float, float] = (-30, 60),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    digest: hashes.HashAlgorithm | None = None,
    serial: int = 1,
) -> Minted:
    """A certificate for the common name ``name``, self-signed unless there is an ``issuer``.

    ``days`` are the ends of its validity, from NOW. ``ca`` None leaves basicConstraints out.
    ``issuer_name`` and ``signer`` make the issuer in the certificate, or who signed it, a lie.
    """
    own = named_key(key or name)
    signing = signer or (issuer.key if issuer else own)
    issued_by = issuer.certificate.subject if issuer else distinguished(name)
    if issuer_name is not None:
        issued_by = distinguished(issuer_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(distinguished(name))
        .issuer_name(issued_by)
        .public_key(own.public_key())
        .serial_number(serial)
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if ca is not None:
        constraints = x509.BasicConstraints(ca=ca, path_length=path_length)
        builder = builder.add_extension(constraints, critical=True)
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(item) for item in dns])
        builder = builder.add_extension(names, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(signing, digest or hashes.SHA256(), ecdsa_deterministic=True)
    return Minted(certificate, own)


# --- what cryptography refuses to make -----------------------------------------------------------

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element with ``parts`` as its contents."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(body).to_bytes(size, "big") + body


def contents(data: bytes) -> bytes:
    """What is inside the DER element ``data``."""
    return data[2 + (data[1] & 0x7F if data[1] & 0x80 else 0) :]


def rebuilt(
    item: Minted,
    signer: ec.EllipticCurvePrivateKey,
    *,
    replace: tuple[bytes, bytes] = (b"", b""),
    algorithm: bytes = ECDSA_SHA256,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """The DER of ``item`` with bytes of its contents replaced, signed anew by ``signer``.

    The replacement may have another length only at the top level of TBSCertificate.
    """
    body = contents(item.certificate.tbs_certificate_bytes).replace(ECDSA_SHA256, algorithm, 1)
    assert replace[0] in body
    tbs = tlv(0x30, body.replace(*replace, 1) if replace[0] else body)
    scheme = ec.ECDSA(digest or hashes.SHA256(), deterministic_signing=True)
    return tlv(0x30, tbs, algorithm, tlv(0x03, b"\x00", signer.sign(tbs, scheme)))


def signed_with_sha1(item: Minted, signer: ec.EllipticCurvePrivateKey) -> Minted:
    """``item`` as an issuer of the 2000s would have signed it."""
    data = rebuilt(item, signer, algorithm=ECDSA_SHA1, digest=hashes.SHA1())
    return Minted(x509.load_der_x509_certificate(data), item.key)
