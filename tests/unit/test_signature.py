"""Certificate signatures of every algorithm; and that the wrong ones are just "no"."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from minting import DAY, NOW, distinguished, named_key, tlv

from scanner.judge import signature
from scanner.judge.certificate import ParsedCertificate, load
from scanner.judge.signature import algorithm_name, is_weak_signature, verify

TLS_VECTORS = Path(__file__).parents[1] / "vectors" / "tls"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def issue(key: Any, digest: hashes.HashAlgorithm | None, **options: Any) -> ParsedCertificate:
    """A self-signed certificate, signed as told."""
    builder = x509.CertificateBuilder().subject_name(distinguished("a"))
    builder = builder.issuer_name(distinguished("a")).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    certificate = load(builder.sign(key, digest, **options).public_bytes(Encoding.DER))
    assert certificate is not None
    return certificate


def holds(certificate: ParsedCertificate, **changes: Any) -> bool:
    """Whether the certificate is self-signed, with parts of the question changed."""
    question: dict[str, Any] = {
        "spki": certificate.spki,
        "algorithm": certificate.signature_algorithm,
        "parameters": certificate.signature_parameters,
        "signature": certificate.signature,
        "message": certificate.tbs,
    }
    return verify(**(question | changes))


@cache
def dsa_parameters() -> dsa.DSAParameters:
    """Finding them takes long, so both keys share one set."""
    return dsa.generate_parameters(1024)


MAKERS: dict[str, tuple[Callable[[], Any], hashes.HashAlgorithm | None]] = {
    "ecdsa-with-SHA256": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
    "ecdsa-with-SHA384": (lambda: ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "ecdsa-with-SHA512": (lambda: ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
    "ecdsa-with-SHA224": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA224()),
    "ecdsa-with-SHA3-256": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA3_256()),
    "sha256WithRSAEncryption": (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA256()),
    "sha512WithRSAEncryption": (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA512()),
    "sha3-256WithRSAEncryption": (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA3_256()),
    "dsa-with-SHA256": (lambda: dsa_parameters().generate_private_key(), hashes.SHA256()),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, None),
    "ed448": (ed448.Ed448PrivateKey.generate, None),
    "ml-dsa-44": (mldsa.MLDSA44PrivateKey.generate, None),
    "ml-dsa-65": (mldsa.MLDSA65PrivateKey.generate, None),
    "ml-dsa-87": (mldsa.MLDSA87PrivateKey.generate, None),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_good_signature_of_each_algorithm_holds_and_a_changed_one_does_not(name: str) -> None:
    """The message, the signature and the key all matter."""
    make, digest = MAKERS[name]
    certificate = issue(make(), digest)
    other = issue(make(), digest)
    assert algorithm_name(certificate.signature_algorithm) == name
    assert holds(certificate)
    assert not holds(certificate, message=certificate.tbs + b"x")
    assert not holds(certificate, signature=certificate.signature[:-1])
    assert not holds(certificate, signature=b"")
    assert not holds(certificate, spki=other.spki)
    assert not is_weak_signature(certificate.signature_algorithm, certificate.signature_parameters)


@pytest.mark.parametrize("salt", [32, 0, 64])
@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_rsa_pss_holds_with_each_digest_and_salt(
    rsa_key: rsa.RSAPrivateKey, digest: hashes.HashAlgorithm, salt: int
) -> None:
    """RFC 4055: digest, mask and salt length come with the signature."""
    scheme = padding.PSS(padding.MGF1(digest), salt)
    certificate = issue(rsa_key, digest, rsa_padding=scheme)
    assert algorithm_name(certificate.signature_algorithm) == "rsassaPss"
    assert holds(certificate)
    assert not holds(certificate, message=b"x")
    assert not is_weak_signature(certificate.signature_algorithm, certificate.signature_parameters)


SHA1_ID = tlv(0x30, bytes.fromhex("06052b0e03021a"))
MGF1_SHA1 = tlv(0x30, bytes.fromhex("06092a864886f70d010108"), SHA1_ID)
PSS = "1.2.840.113549.1.1.10"


def test_rsa_pss_parameters_default_to_sha1(rsa_key: rsa.RSAPrivateKey) -> None:
    """RFC 4055 §3.1: an empty sequence means SHA-1, and that is weak."""
    message = b"message"
    scheme = padding.PSS(padding.MGF1(hashes.SHA1()), 20)
    question: dict[str, Any] = {
        "spki": rsa_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "algorithm": PSS,
        "signature": rsa_key.sign(message, scheme, hashes.SHA1()),
        "message": message,
    }
    spelled = tlv(
        0x30, tlv(0xA0, SHA1_ID), tlv(0xA1, MGF1_SHA1), tlv(0xA2, b"\2\1\x14"), tlv(0xA3, b"\2\1\1")
    )
    for parameters in (b"\x30\x00", spelled):
        assert verify(parameters=parameters, **question)
        assert is_weak_signature(PSS, parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        b"",
        b"\x05\x00",
        tlv(0x30, tlv(0xA0, tlv(0x30))),
        tlv(0x30, tlv(0xA0, tlv(0x30, bytes.fromhex("06022a03")))),
        tlv(0x30, tlv(0xA1, tlv(0x30))),
        tlv(0x30, tlv(0xA1, tlv(0x30, bytes.fromhex("06022a03"), SHA1_ID))),
        tlv(0x30, tlv(0xA2, b"\x02\x01\xff")),
        tlv(0x30, tlv(0xA2, b"\x02\x03\x01\x00\x00")),
        tlv(0x30, tlv(0xA3, b"\x02\x01\x02")),
        tlv(0x30, tlv(0xA4, b"\x02\x01\x01")),
    ],
)
def test_malformed_rsa_pss_parameters_are_just_no(
    rsa_key: rsa.RSAPrivateKey, parameters: bytes | None
) -> None:
    """Missing, malformed, unknown digest or mask, absurd salt, other trailer."""
    certificate = issue(
        rsa_key, hashes.SHA256(), rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    )
    assert holds(certificate)
    assert not holds(certificate, parameters=parameters)
    assert not is_weak_signature(PSS, parameters)


@pytest.mark.parametrize(
    "algorithm",
    [
        "1.2.840.113549.1.1.4",  # MD5
        "1.2.840.113549.1.1.2",  # MD2
        "1.2.643.7.1.1.3.2",  # GOST
        "1.3.101.112",  # Ed25519
        "1.2.840.10045.4.3.2",  # ECDSA
        "1.2.840.10040.4.3",  # DSA
        "1.2.3",
    ],
)
def test_algorithms_that_are_broken_unknown_or_of_another_key_are_just_no(
    rsa_key: rsa.RSAPrivateKey, algorithm: str
) -> None:
    """Even where the bytes would fit."""
    assert not holds(issue(rsa_key, hashes.SHA256()), algorithm=algorithm)


def test_a_good_md5_signature_proves_nothing(rsa_key: rsa.RSAPrivateKey) -> None:
    """It can be forged, so it is as good as none."""
    signature = rsa_key.sign(b"m", padding.PKCS1v15(), hashes.MD5())
    certificate = issue(rsa_key, hashes.SHA256())
    md5 = "1.2.840.113549.1.1.4"
    assert not holds(certificate, algorithm=md5, signature=signature, message=b"m")
    assert not is_weak_signature(md5, None)


def test_sha1_is_verified_and_called_weak() -> None:
    """Certificates of the 2000s, one of RSA, one made by ECDSA."""
    text = (TLS_VECTORS / "rsa1024-sha1.pem").read_bytes()
    old = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERTIFICATE") :])
    certificate = load(old.public_bytes(Encoding.DER))
    assert certificate is not None
    assert holds(certificate)
    assert is_weak_signature(certificate.signature_algorithm, certificate.signature_parameters)
    key = named_key("sha1")
    assert verify(
        spki=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        algorithm="1.2.840.10045.4.1",
        parameters=None,
        signature=key.sign(b"m", ec.ECDSA(hashes.SHA1())),
        message=b"m",
    )
    assert is_weak_signature("1.2.840.10045.4.1", None)


def test_a_key_that_signs_nothing_is_just_no() -> None:
    """X25519 agrees on secrets and makes no signatures."""
    key = x25519.X25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert not verify(
        spki=spki, algorithm="1.3.101.112", parameters=None, signature=bytes(64), message=b"m"
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [("sha256WithRSAEncryption", "MAX_RSA_BITS"), ("dsa-with-SHA256", "MAX_DSA_BITS")],
)
def test_a_key_larger_than_the_limit_is_never_used(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: str
) -> None:
    """Not even for a good signature: a check with a giant key would cost seconds."""
    make, digest = MAKERS[name]
    certificate = issue(make(), digest)
    assert holds(certificate)
    monkeypatch.setattr(signature, limit, 1_023)
    assert not holds(certificate)


def test_an_algorithm_without_a_name_keeps_its_number() -> None:
    """For reports."""
    assert algorithm_name("1.2.3") == "1.2.3"
