"""Zone signing keys and signatures, sound and broken.

A zone has one or two keys; ``signature`` makes the RRSIG of one RRset, and for a signature fault a
wrong one of exactly that kind. RSA keys are shared by all RSA zones of a process, since making one
costs 50 ms.
"""

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.RRSIG import RRSIG

from scanner.lab.plan import Algorithm, DnsFaultKind, DsKind

KSK_FLAGS = 257  # zone key and secure entry point (RFC 4034 §2.1.1)
ZSK_FLAGS = 256
INCEPTION = timedelta(hours=-1)  # of a sound signature, relative to the lab's now
EXPIRATION = timedelta(days=14)
STRANGER = dns.name.from_text("wrong-signer.test.")
UNKNOWN_ALGORITHM = 200  # unassigned (IANA registry)
UNKNOWN_DIGEST = 200

ZonePrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class ZoneKey:
    """A private key and the DNSKEY that publishes it."""

    private: ZonePrivateKey
    dnskey: DNSKEY


@dataclass(frozen=True, slots=True)
class ZoneKeys:
    """The keys of one zone; both the same where one key does all."""

    key_signing: ZoneKey
    zone_signing: ZoneKey

    @property
    def dnskeys(self) -> tuple[DNSKEY, ...]:
        """What the DNSKEY RRset holds."""
        if self.key_signing is self.zone_signing:
            return (self.key_signing.dnskey,)
        return (self.key_signing.dnskey, self.zone_signing.dnskey)


def make_keys(algorithm: Algorithm, *, split: bool) -> ZoneKeys:
    """Return fresh keys: a combined one, or with ``split`` a key-signing and a zone-signing key."""
    key_signing = _make_key(algorithm, 0, KSK_FLAGS)
    if not split:
        return ZoneKeys(key_signing, key_signing)
    return ZoneKeys(key_signing, _make_key(algorithm, 1, ZSK_FLAGS))


def signature(
    rrset: dns.rrset.RRset,
    keys: ZoneKeys,
    origin: dns.name.Name,
    now: datetime,
    fault: DnsFaultKind | None = None,
) -> RRSIG | None:
    """Return the RRSIG over ``rrset``; None for ``signature-missing``.

    Other signature faults give a wrong RRSIG of that kind; any other fault leaves it sound.
    """
    if fault is DnsFaultKind.SIGNATURE_MISSING:
        return None
    key = keys.key_signing if rrset.rdtype == dns.rdatatype.DNSKEY else keys.zone_signing
    begin, end = _validity(now, fault)
    signer = STRANGER if fault is DnsFaultKind.SIGNER_WRONG else origin
    rrsig = dns.dnssec.sign(rrset, key.private, signer, key.dnskey, inception=begin, expiration=end)
    if fault is DnsFaultKind.SIGNATURE_CORRUPT:
        damaged = bytes([rrsig.signature[0] ^ 0x55]) + rrsig.signature[1:]
        return cast(RRSIG, rrsig.replace(signature=damaged))
    return rrsig


def delegation_signer(origin: dns.name.Name, keys: ZoneKeys, kind: DsKind) -> DS | None:
    """Return the DS the parent publishes for ``origin``; None for ``none``."""
    if kind is DsKind.NONE:
        return None
    sound = dns.dnssec.make_ds(origin, keys.key_signing.dnskey, dns.dnssectypes.DSDigest.SHA256)
    if kind is DsKind.MISMATCH:
        stranger = _make_key(Algorithm.ECDSA_P256, 0, KSK_FLAGS)
        return dns.dnssec.make_ds(origin, stranger.dnskey, dns.dnssectypes.DSDigest.SHA256)
    if kind is DsKind.UNSUPPORTED_ALGORITHM:
        return cast(DS, sound.replace(algorithm=UNKNOWN_ALGORITHM))
    if kind is DsKind.UNSUPPORTED_DIGEST:
        return cast(DS, sound.replace(digest_type=UNKNOWN_DIGEST))
    return sound


def _validity(now: datetime, fault: DnsFaultKind | None) -> tuple[datetime, datetime]:
    if fault is DnsFaultKind.SIGNATURE_EXPIRED:
        return now - timedelta(days=15), now - timedelta(days=1)
    if fault is DnsFaultKind.SIGNATURE_NOT_YET_VALID:
        return now + timedelta(days=1), now + timedelta(days=15)
    return now + INCEPTION, now + EXPIRATION


def _make_key(algorithm: Algorithm, slot: int, flags: int) -> ZoneKey:
    private: ZonePrivateKey
    match algorithm:
        case Algorithm.RSA_SHA256:
            private = _shared_rsa_key(slot)
        case Algorithm.ECDSA_P256:
            private = ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ECDSA_P384:
            private = ec.generate_private_key(ec.SECP384R1())
        case Algorithm.ED25519:
            private = ed25519.Ed25519PrivateKey.generate()
    dnskey = dns.dnssec.make_dnskey(private.public_key(), algorithm.number, flags=flags)
    return ZoneKey(private, dnskey)


@functools.cache
def _shared_rsa_key(slot: int) -> rsa.RSAPrivateKey:
    del slot  # only tells cached keys apart
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
