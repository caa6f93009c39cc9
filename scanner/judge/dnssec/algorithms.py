"""What can be verified: algorithm numbers, keys made ready, digests of DS records.

Numbers are those of the IANA registry "DNS Security Algorithm Numbers"; what may be validated
follows RFC 9904 and RFC 9905 (SHA-1). A number that is not supported is as good as absent
(RFC 4035 §5.2, RFC 6840 §5.2): it makes a zone insecure, never bogus.

A key is loaded once and kept with its zone: loading costs a tenth of a verification, and a zone's
keys verify thousands of answers. Sizes are checked before loading, because cryptography loads
RSA moduli of 16,384 bits and exponents of 2,000 bits without complaint.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from scanner.judge.dnssec.policy import DnssecPolicy, Sha1Policy
from scanner.model.canonical import CanonicalName, wire_form
from scanner.model.dnssec import Dnskey, Ds
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.dnssec_words import ALGORITHM_NAMES

_RSA_HASHES: dict[int, hashes.HashAlgorithm] = {
    5: hashes.SHA1(),  # noqa: S303 - RFC 3110; off by policy
    7: hashes.SHA1(),  # noqa: S303 - RFC 5155 §2
    8: hashes.SHA256(),  # RFC 5702 §3.1
    10: hashes.SHA512(),  # RFC 5702 §3.2
}
_CURVES: dict[int, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    13: (ec.SECP256R1(), hashes.SHA256()),  # RFC 6605 §4
    14: (ec.SECP384R1(), hashes.SHA384()),
}
_COORDINATE_OCTETS = {13: 32, 14: 48}
SIGNATURE_OCTETS = {13: 64, 14: 96, 15: 64, 16: 114}
"""Lengths of signatures that have just one (RFC 6605 §4, RFC 8080 §4)."""

SHA1_ALGORITHMS = frozenset({5, 7})
SUPPORTED_ALGORITHMS = frozenset({5, 7, 8, 10, 13, 14, 15, 16})

DIGEST_SHA1 = 1
_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    DIGEST_SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),  # RFC 4034
    2: lambda data: hashlib.sha256(data).digest(),  # RFC 4509
    4: lambda data: hashlib.sha384(data).digest(),  # RFC 6605 §2
}

_PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


class Verdict(StrEnum):
    """What one verification says."""

    GOOD = "good"
    BAD = "bad"
    UNSUPPORTED = "unsupported"
    """The library refuses the algorithm (SHA-1 on hardened builds): not a word about the data."""


_GOOD: Final = Verdict.GOOD  # reading a member of its class takes ten times as long


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LoadedKey:
    """A DNSKEY ready to verify with; ``problem`` says why it cannot, and then nothing verifies."""

    dnskey: Dnskey
    public: _PublicKey | None
    problem: DnssecReason | None = None

    def verify(self, signature: bytes, data: bytes) -> Verdict:
        """Return whether ``signature`` over ``data`` was made by this key. One unit of work."""
        if self.public is None:
            return Verdict.BAD
        try:
            _VERIFIERS[self.dnskey.algorithm](self.public, signature, data)
        except InvalidSignature:
            return Verdict.BAD
        except UnsupportedAlgorithm:
            return Verdict.UNSUPPORTED
        return _GOOD


_PKCS1 = padding.PKCS1v15()
_Verify = Callable[[Any, bytes, bytes], None]


def _by_rsa(digest: hashes.HashAlgorithm) -> _Verify:
    return lambda key, signature, data: key.verify(signature, data, _PKCS1, digest)


def _by_ecdsa(digest: hashes.HashAlgorithm) -> _Verify:
    scheme = ec.ECDSA(digest)
    return lambda key, signature, data: key.verify(_dss_signature(signature), data, scheme)


_VERIFIERS: dict[int, _Verify] = {
    **{number: _by_rsa(digest) for number, digest in _RSA_HASHES.items()},
    **{number: _by_ecdsa(digest) for number, (_, digest) in _CURVES.items()},
    15: lambda key, signature, data: key.verify(signature, data),
    16: lambda key, signature, data: key.verify(signature, data),
}
"""How a loaded key of each algorithm verifies; a table, because asking a key for its class costs
more than the rest of the call."""


def is_supported(algorithm: int, policy: DnssecPolicy) -> bool:
    """Return whether signatures of this algorithm count."""
    if algorithm in SHA1_ALGORITHMS:
        return policy.sha1 is Sha1Policy.VALIDATE
    return algorithm in SUPPORTED_ALGORITHMS


def is_digest_supported(digest_type: int, policy: DnssecPolicy | None = None) -> bool:
    """Return whether DS records of this digest type count; by default, under the usual policy."""
    if digest_type == DIGEST_SHA1 and policy is not None:
        return policy.sha1_ds is Sha1Policy.VALIDATE
    return digest_type in _DIGESTS


def digest_matches(ds: Ds, owner: CanonicalName, dnskey: Dnskey) -> bool:
    """Return whether ``ds`` is the digest of ``dnskey`` at ``owner`` (RFC 4034 §5.1.4)."""
    make = _DIGESTS.get(ds.digest_type)
    return make is not None and make(wire_form(owner) + dnskey.rdata) == ds.digest


def algorithm_text(algorithm: int) -> str:
    """Return the number with its mnemonic, such as ``13 (ECDSAP256SHA256)``."""
    name = ALGORITHM_NAMES.get(algorithm)
    return f"{algorithm} ({name})" if name else str(algorithm)


def load_key(dnskey: Dnskey, policy: DnssecPolicy) -> LoadedKey:
    """Return ``dnskey`` ready for use, or with the problem that makes it useless."""
    if not is_supported(dnskey.algorithm, policy):
        problem = DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED
        return LoadedKey(dnskey=dnskey, public=None, problem=problem)
    try:
        loaded = _load(dnskey, policy)
    except ValueError:
        loaded = DnssecReason.DNSKEY_MALFORMED
    except UnsupportedAlgorithm:
        loaded = DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED
    if isinstance(loaded, DnssecReason):
        return LoadedKey(dnskey=dnskey, public=None, problem=loaded)
    return LoadedKey(dnskey=dnskey, public=loaded)


def _load(dnskey: Dnskey, policy: DnssecPolicy) -> _PublicKey | DnssecReason:
    octets = dnskey.public_key
    match dnskey.algorithm:
        case 5 | 7 | 8 | 10:
            return _load_rsa(octets, policy)
        case 13 | 14:
            curve, _ = _CURVES[dnskey.algorithm]
            if len(octets) != 2 * _COORDINATE_OCTETS[dnskey.algorithm]:
                return DnssecReason.DNSKEY_MALFORMED
            # RFC 6605 §4 leaves out the octet that says "uncompressed".
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + octets)
        case 15:
            return ed25519.Ed25519PublicKey.from_public_bytes(octets)
        case _:
            return ed448.Ed448PublicKey.from_public_bytes(octets)


def _load_rsa(octets: bytes, policy: DnssecPolicy) -> rsa.RSAPublicKey | DnssecReason:
    exponent, modulus = _rsa_numbers(octets)
    if modulus.bit_length() < policy.min_rsa_bits:
        return DnssecReason.DNSKEY_TOO_SMALL
    too_large = modulus.bit_length() > policy.max_rsa_bits
    if too_large or exponent.bit_length() > policy.max_rsa_exponent_bits:
        return DnssecReason.DNSKEY_TOO_LARGE
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _rsa_numbers(octets: bytes) -> tuple[int, int]:
    """Return exponent and modulus (RFC 3110 §2). Raises ValueError."""
    if not octets:
        raise ValueError("an empty RSA key")
    length, start = octets[0], 1
    if length == 0:
        length, start = int.from_bytes(octets[1:3]), 3
    exponent = octets[start : start + length]
    modulus = octets[start + length :]
    if not exponent or not modulus or len(exponent) < length:
        raise ValueError("an RSA key that is cut off")
    return int.from_bytes(exponent), int.from_bytes(modulus)


def _dss_signature(signature: bytes) -> bytes:
    """Return the DER form of r and s, which DNSSEC just concatenates (RFC 6605 §4).

    Both are at most 48 octets, so every length takes one octet.
    """
    half = len(signature) // 2
    body = _der_integer(signature[:half]) + _der_integer(signature[half:])
    return bytes((_DER_SEQUENCE, len(body))) + body


def _der_integer(octets: bytes) -> bytes:
    """Return an unsigned number as a DER INTEGER: no leading zeros but one before a set top bit."""
    stripped = octets.lstrip(b"\x00") or b"\x00"
    if stripped[0] & 0x80:
        return bytes((_DER_INTEGER, len(stripped) + 1, 0)) + stripped
    return bytes((_DER_INTEGER, len(stripped))) + stripped


_DER_INTEGER, _DER_SEQUENCE = 0x02, 0x30
