"""Verify one certificate signature (RFC 5280 §4.1.1.2, §6.1.3 (a)(1)).

Rules of this file
    * The caller has spent the budget; a check costs 15 to 500 microseconds, up to 5 milliseconds
      for the largest RSA key.
    * The answer is yes or no. A signature we cannot check is "no": a path needs proof.
    * SHA-1 is verified and reported by ``is_weak_signature``: RFC 5280 and RFC 7671 name no
      forbidden digest, some senders still take it (OpenSSL at security level 0), others do not.
      MD5 and MD2 are "no": forged CA certificates have been made with MD5 (2008), and no sender
      in use accepts them.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa

from scanner.judge import der
from scanner.judge.der import DerError
from scanner.judge.publickey import public_key

MAX_RSA_BITS = 16_384
"""Largest RSA modulus verified; OpenSSL's OPENSSL_RSA_MAX_MODULUS_BITS."""
MAX_DSA_BITS = 3_072
"""Largest DSA modulus verified; the largest FIPS 186-4 defines."""

OID_RSASSA_PSS = "1.2.840.113549.1.1.10"
_OID_MGF1 = "1.2.840.113549.1.1.8"

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "1.3.14.3.2.26": hashes.SHA1(),  # noqa: S303 - judged, not trusted
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
    "2.16.840.1.101.3.4.2.4": hashes.SHA224(),
}
_RSA: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.1.5": ("sha1WithRSAEncryption", hashes.SHA1()),  # noqa: S303
    "1.3.14.3.2.29": ("sha1WithRSA", hashes.SHA1()),  # noqa: S303
    "1.2.840.113549.1.1.14": ("sha224WithRSAEncryption", hashes.SHA224()),
    "1.2.840.113549.1.1.11": ("sha256WithRSAEncryption", hashes.SHA256()),
    "1.2.840.113549.1.1.12": ("sha384WithRSAEncryption", hashes.SHA384()),
    "1.2.840.113549.1.1.13": ("sha512WithRSAEncryption", hashes.SHA512()),
    "2.16.840.1.101.3.4.3.14": ("sha3-256WithRSAEncryption", hashes.SHA3_256()),
    "2.16.840.1.101.3.4.3.15": ("sha3-384WithRSAEncryption", hashes.SHA3_384()),
    "2.16.840.1.101.3.4.3.16": ("sha3-512WithRSAEncryption", hashes.SHA3_512()),
}
_ECDSA: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "1.2.840.10045.4.1": ("ecdsa-with-SHA1", hashes.SHA1()),  # noqa: S303
    "1.2.840.10045.4.3.1": ("ecdsa-with-SHA224", hashes.SHA224()),
    "1.2.840.10045.4.3.2": ("ecdsa-with-SHA256", hashes.SHA256()),
    "1.2.840.10045.4.3.3": ("ecdsa-with-SHA384", hashes.SHA384()),
    "1.2.840.10045.4.3.4": ("ecdsa-with-SHA512", hashes.SHA512()),
    "2.16.840.1.101.3.4.3.10": ("ecdsa-with-SHA3-256", hashes.SHA3_256()),
    "2.16.840.1.101.3.4.3.11": ("ecdsa-with-SHA3-384", hashes.SHA3_384()),
    "2.16.840.1.101.3.4.3.12": ("ecdsa-with-SHA3-512", hashes.SHA3_512()),
}
_DSA: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "1.2.840.10040.4.3": ("dsa-with-SHA1", hashes.SHA1()),  # noqa: S303
    "2.16.840.1.101.3.4.3.1": ("dsa-with-SHA224", hashes.SHA224()),
    "2.16.840.1.101.3.4.3.2": ("dsa-with-SHA256", hashes.SHA256()),
}
_BARE = {
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
    "2.16.840.1.101.3.4.3.17": "ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
}
_NAMES = (
    {OID_RSASSA_PSS: "rsassaPss"}
    | {"1.2.840.113549.1.1.4": "md5WithRSAEncryption", "1.2.840.113549.1.1.2": "md2WithRSA"}
    | {oid: name for table in (_RSA, _ECDSA, _DSA) for oid, (name, _) in table.items()}
    | _BARE
)


def algorithm_name(oid: str) -> str:
    """Return the usual name of a signature algorithm, or the dotted identifier itself."""
    return _NAMES.get(oid, oid)


def verify(
    *, spki: bytes, algorithm: str, parameters: bytes | None, signature: bytes, message: bytes
) -> bool:
    """Return whether the key in ``spki`` made ``signature`` over ``message``.

    ``algorithm`` and ``parameters`` are the two parts of the AlgorithmIdentifier, the second in
    DER or None. False also for keys and algorithms that do not belong together, are unsupported,
    or are larger than the limits of this file.
    """
    check = _checker(spki, algorithm, parameters)
    if check is None:
        return False
    try:
        check(signature, message)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, OverflowError):
        return False
    return True


def is_weak_signature(algorithm: str, parameters: bytes | None) -> bool:
    """Return whether the signature rests on SHA-1."""
    if algorithm == OID_RSASSA_PSS:
        try:
            return isinstance(_pss(parameters)[1], hashes.SHA1)
        except (DerError, KeyError):
            return False
    for table in (_RSA, _ECDSA, _DSA):
        if algorithm in table:
            return isinstance(table[algorithm][1], hashes.SHA1)
    return False


def _checker(
    spki: bytes, algorithm: str, parameters: bytes | None
) -> Callable[[bytes, bytes], object] | None:
    """Return what verifies (signature, message) or raises; None when nothing here can."""
    key = public_key(spki)
    match key:
        case rsa.RSAPublicKey() if key.key_size <= MAX_RSA_BITS:
            return _rsa_checker(key, algorithm, parameters)
        case ec.EllipticCurvePublicKey() if algorithm in _ECDSA:
            scheme = ec.ECDSA(_ECDSA[algorithm][1])
            return lambda signature, message: key.verify(signature, message, scheme)
        case dsa.DSAPublicKey() if algorithm in _DSA and key.key_size <= MAX_DSA_BITS:
            digest = _DSA[algorithm][1]
            return lambda signature, message: key.verify(signature, message, digest)
        case ed25519.Ed25519PublicKey() if _BARE.get(algorithm) == "ed25519":
            return key.verify
        case ed448.Ed448PublicKey() if _BARE.get(algorithm) == "ed448":
            return key.verify
        case mldsa.MLDSA44PublicKey() if _BARE.get(algorithm) == "ml-dsa-44":
            return key.verify
        case mldsa.MLDSA65PublicKey() if _BARE.get(algorithm) == "ml-dsa-65":
            return key.verify
        case mldsa.MLDSA87PublicKey() if _BARE.get(algorithm) == "ml-dsa-87":
            return key.verify
        case _:
            return None


def _rsa_checker(
    key: rsa.RSAPublicKey, algorithm: str, parameters: bytes | None
) -> Callable[[bytes, bytes], object] | None:
    scheme: padding.AsymmetricPadding
    if algorithm == OID_RSASSA_PSS:
        try:
            scheme, digest = _pss(parameters)
        except (DerError, KeyError):
            return None
    elif algorithm in _RSA:
        scheme, digest = padding.PKCS1v15(), _RSA[algorithm][1]
    else:
        return None
    return lambda signature, message: key.verify(signature, message, scheme, digest)


def _pss(parameters: bytes | None) -> tuple[padding.PSS, hashes.HashAlgorithm]:
    """Read RSASSA-PSS-params (RFC 4055 §3.1); every field has a default, built on SHA-1.

    Raises DerError for malformed parameters and KeyError for a digest or mask we do not know.
    """
    if parameters is None:
        # RFC 4055 §3.1: in a signature the parameters MUST be present.
        raise DerError("RSASSA-PSS without parameters")
    digest: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - the RFC's default
    mask: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - the RFC's default
    salt_octets = 20
    for field in der.children(der.parse(parameters)):
        inner = der.parse(field.body)
        if field.tag == 0xA0:
            digest = _DIGESTS[der.oid(_first(inner))]
        elif field.tag == 0xA1:
            function = der.children(inner)
            if len(function) != 2 or der.oid(function[0]) != _OID_MGF1:
                raise KeyError("mask generation function")
            mask = _DIGESTS[der.oid(_first(function[1]))]
        elif field.tag == 0xA2:
            salt_octets = der.integer(inner)
        elif field.tag != 0xA3 or der.integer(inner) != 1:
            raise KeyError("trailer")
    if not 0 <= salt_octets <= MAX_RSA_BITS // 8:
        raise DerError("salt length")
    return padding.PSS(padding.MGF1(mask), salt_octets), digest


def _first(sequence: der.Element) -> der.Element:
    parts = der.children(sequence)
    if not parts:
        raise DerError("empty AlgorithmIdentifier")
    return parts[0]
