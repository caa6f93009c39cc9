"""Certificates for the lab: one certification authority and every odd certificate it may issue.

Rules: nothing here is random that a verdict depends on; all dates are relative to the ``now`` given
to the foundry; keys are cached by label, because RSA keys are slow to make and because "renewed
with the same key" must be expressible.

Main thing first: ``Foundry`` mints, ``Chain`` is what a mail host presents, ``tlsa_text`` is the
TLSA RDATA (RFC 6698 §2.1) that matches a certificate.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scanner.model.names import Name

DAY = timedelta(days=1)
LEAF_LIFETIME = 90 * DAY
CA_LIFETIME = 3650 * DAY

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyKind(StrEnum):
    """Key types the lab's certificates use."""

    EC_P256 = "ec-p256"
    RSA_2048 = "rsa-2048"
    RSA_1024 = "rsa-1024"


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """What a server presents: certificates leaf first, and the leaf's key.

    ``eq=False`` keeps identity semantics, so that one TLS context can be shared per chain.
    """

    certificates: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.certificates[0]

    def without(self, *dropped: x509.Certificate) -> "Chain":
        """Return the chain with ``dropped`` certificates not sent."""
        kept = tuple(item for item in self.certificates if item not in dropped)
        return Chain(kept, self.key)

    def plus(self, *more: x509.Certificate) -> "Chain":
        """Return the chain with ``more`` certificates sent after it."""
        return Chain(self.certificates + more, self.key)


@dataclass(frozen=True, slots=True, eq=False)
class Issuer:
    """A certificate that signs others. ``path`` is itself and its issuers, nearest first."""

    certificate: x509.Certificate
    key: PrivateKey
    path: tuple[x509.Certificate, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeafSpec:
    """How a leaf differs from an ordinary one; ``starts`` and ``ends`` are relative to now.

    ``names`` become DNS subject alternative names; with none there is no such extension.
    """

    names: tuple[str, ...] = ()
    common_name: str | None = None
    starts: timedelta = -DAY
    ends: timedelta = LEAF_LIFETIME
    key_kind: KeyKind = KeyKind.EC_P256
    key_label: str = ""
    server_auth: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CaSpec:
    """How an issuing certificate differs from an ordinary one.

    ``permitted`` restricts DNS names by a critical name constraint (RFC 5280 §4.2.1.10).
    """

    name: str
    is_ca: bool = True
    path_length: int | None = None
    permitted: tuple[str, ...] = ()
    starts: timedelta = -10 * DAY
    ends: timedelta = CA_LIFETIME


class Foundry:
    """Mints keys and certificates as of ``now``; one instance serves one lab plan."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._keys: dict[tuple[KeyKind, str], PrivateKey] = {}
        self._serial = 1000
        self.root = self.issuer(CaSpec(name="Lab Root CA"))
        self.intermediate = self.issuer(CaSpec(name="Lab Issuing CA", path_length=0), self.root)

    def key(self, kind: KeyKind, label: str) -> PrivateKey:
        """Return the key known under ``label``, made on first use."""
        wanted = (kind, label)
        if wanted not in self._keys:
            self._keys[wanted] = _make_key(kind)
        return self._keys[wanted]

    def adopt(self, kind: KeyKind, label: str, key: PrivateKey) -> None:
        """Let ``label`` name a key that exists already."""
        self._keys[kind, label] = key

    def issuer(self, spec: CaSpec, parent: Issuer | None = None) -> Issuer:
        """Return an issuing certificate signed by ``parent``, or by itself."""
        key = self.key(KeyKind.EC_P256, f"ca:{spec.name}")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.name)])
        constraints = x509.BasicConstraints(
            ca=spec.is_ca, path_length=spec.path_length if spec.is_ca else None
        )
        builder = self._builder(subject, key, parent, spec.starts, spec.ends)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(_ca_key_usage(), critical=True)
        if spec.permitted:
            trees = [x509.DNSName(name) for name in spec.permitted]
            builder = builder.add_extension(
                x509.NameConstraints(permitted_subtrees=trees, excluded_subtrees=None),
                critical=True,
            )
        certificate = builder.sign(parent.key if parent else key, hashes.SHA256())
        path = (certificate, *(parent.path if parent else ()))
        return Issuer(certificate, key, path)

    def leaf(self, spec: LeafSpec, issuer: Issuer | None = None) -> Chain:
        """Return a chain whose leaf follows ``spec`` with every issuer sent, the root included.

        Sending the root is what a DANE-TA(2) publisher must do (RFC 7672 §3.1.2).
        """
        signer = issuer or self.intermediate
        key = self.key(spec.key_kind, spec.key_label or f"leaf:{self._serial}")
        certificate = self._sign_leaf(spec, key, signer)
        return Chain((certificate, *signer.path), key)

    def self_signed(self, spec: LeafSpec) -> Chain:
        """Return a chain of one certificate signed with its own key."""
        key = self.key(spec.key_kind, spec.key_label or f"leaf:{self._serial}")
        return Chain((self._sign_leaf(spec, key, None),), key)

    def long_chain(self, names: Sequence[str], length: int) -> Chain:
        """Return a chain of ``length`` certificates, each signed by the next."""
        issuer = self.root
        for number in range(length - 2):
            issuer = self.issuer(CaSpec(name=f"Lab Link CA {number}"), issuer)
        return self.leaf(LeafSpec(names=tuple(names)), issuer)

    def _sign_leaf(
        self, spec: LeafSpec, key: PrivateKey, signer: Issuer | None
    ) -> x509.Certificate:
        common_name = spec.common_name or (spec.names[0] if spec.names else "mail server")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
        builder = self._builder(subject, key, signer, spec.starts, spec.ends)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        if spec.names:
            sans = x509.SubjectAlternativeName([x509.DNSName(name) for name in spec.names])
            builder = builder.add_extension(sans, critical=False)
        if spec.server_auth:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(signer.key if signer else key, hashes.SHA256())

    def _builder(
        self,
        subject: x509.Name,
        key: PrivateKey,
        signer: Issuer | None,
        starts: timedelta,
        ends: timedelta,
    ) -> x509.CertificateBuilder:
        self._serial += 1
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer.certificate.subject if signer else subject)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(self.now + starts)
            .not_valid_after(self.now + ends)
        )


def for_host(host: Name) -> LeafSpec:
    """Return the spec of an ordinary certificate for ``host``."""
    return LeafSpec(names=(host,))


def renewed(spec: LeafSpec) -> LeafSpec:
    """Return ``spec`` a day later: what a renewal changes when the key stays."""
    return replace(spec, starts=spec.starts + DAY / 2, ends=spec.ends + DAY)


def tlsa_data(certificate: x509.Certificate, selector: int, matching_type: int) -> bytes:
    """Return certificate association data (RFC 6698 §2.1.4).

    Selector 0 is the DER certificate, anything else its DER SubjectPublicKeyInfo; matching type 1
    is SHA-256, 2 SHA-512, anything else the full data.
    """
    if selector == 0:
        der = certificate.public_bytes(serialization.Encoding.DER)
    else:
        der = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    if matching_type == 1:
        return hashlib.sha256(der).digest()
    if matching_type == 2:
        return hashlib.sha512(der).digest()
    return der


def tlsa_text(
    certificate: x509.Certificate, usage: int = 3, selector: int = 1, matching_type: int = 1
) -> str:
    """Return TLSA RDATA in presentation form that matches ``certificate``."""
    data = tlsa_data(certificate, selector, matching_type)
    return f"{usage} {selector} {matching_type} {data.hex()}"


def _make_key(kind: KeyKind) -> PrivateKey:
    if kind is KeyKind.EC_P256:
        return ec.generate_private_key(ec.SECP256R1())
    bits = 1024 if kind is KeyKind.RSA_1024 else 2048
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _ca_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
