"""Decode public keys with ``cryptography``, and translate its errors once, here.

A key that cannot be decoded is no accident worth an exception: DANE-EE(3) with selector SPKI(1)
compares bytes, and works for key types nobody here has heard of.
"""

import warnings
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from scanner.judge import der
from scanner.judge.der import DerError

CACHED_KEYS = 512
"""Decoded keys kept: few CAs sign most certificates."""
MAX_KEY_OCTETS = 8_192
"""Largest SubjectPublicKeyInfo decoded: twice a 16,384-bit RSA key, the most OpenSSL verifies."""
WEAK_RSA_BITS = 2_048
"""RSA and DSA keys below are weak (BSI TR-03116-4, NIST SP 800-131A: 2048 bits at least)."""
WEAK_EC_BITS = 224
"""Elliptic curve keys below are weak (NIST SP 800-131A)."""


def public_key(spki: bytes) -> PublicKeyTypes | None:
    """Return the key in a SubjectPublicKeyInfo, or None if it is malformed or unsupported."""
    return None if len(spki) > MAX_KEY_OCTETS else _decode(spki)[0]


def is_public_key(data: bytes) -> bool:
    """Return whether ``data`` is the DER of a SubjectPublicKeyInfo and nothing more.

    An algorithm we do not know is taken on trust of its outline; the key of one we know must
    decode. RFC 6698 §2.1.3: full data that is no key of any kind can match nothing.
    """
    try:
        parts = der.children(der.parse(data))
        if len(parts) != 2:
            return False
        der.oid(der.children(parts[0])[0])
        der.bit_string(parts[1])
    except (DerError, IndexError):
        return False
    if len(data) > MAX_KEY_OCTETS:
        return True
    key, unsupported = _decode(data)
    return key is not None or unsupported


def describe_key(spki: bytes) -> tuple[str | None, int | None]:
    """Return the kind of key and its size in bits, as far as known.

    Kinds: ``rsa``, ``dsa``, ``ec``, ``ed25519``, ``ed448``, ``ml-dsa``; otherwise the dotted object
    identifier of the algorithm, without a size.
    """
    return (_describe if len(spki) > MAX_KEY_OCTETS else _described)(spki)


def _describe(spki: bytes) -> tuple[str | None, int | None]:
    key = public_key(spki)
    match key:
        case rsa.RSAPublicKey():
            return "rsa", key.key_size
        case ec.EllipticCurvePublicKey():
            return "ec", key.key_size
        case dsa.DSAPublicKey():
            return "dsa", key.key_size
        case ed25519.Ed25519PublicKey():
            return "ed25519", 256
        case ed448.Ed448PublicKey():
            return "ed448", 456
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey():
            return "ml-dsa", None
        case _:
            return _algorithm_of(spki), None


_described = lru_cache(maxsize=CACHED_KEYS)(_describe)


def is_weak_key(spki: bytes) -> bool:
    """Return whether the key is one that senders of today refuse or soon will."""
    kind, bits = describe_key(spki)
    if bits is None:
        return False
    return (kind in ("rsa", "dsa") and bits < WEAK_RSA_BITS) or (
        kind == "ec" and bits < WEAK_EC_BITS
    )


def _algorithm_of(spki: bytes) -> str | None:
    try:
        return der.oid(der.children(der.children(der.parse(spki))[0])[0])
    except (DerError, IndexError):
        return None


@lru_cache(maxsize=CACHED_KEYS)
def _decode(spki: bytes) -> tuple[PublicKeyTypes | None, bool]:
    """Return the key or None, and whether it failed only for want of support."""
    try:
        # Deprecation warnings speak of small keys and rare curves: the partner's choice, which
        # becomes a finding, not noise on our log.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_der_public_key(spki), False
    except UnsupportedAlgorithm:
        return None, True
    except (ValueError, TypeError, OverflowError):
        return None, False
