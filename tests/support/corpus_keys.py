"""Keys that no signer's tool would make: without the Zone Key bit, of another protocol, foreign."""

import base64
import functools
from datetime import timedelta

import dns.dnssec
import dns.name
import dns.rdata
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from signed_text import Break, SignedText, SigningKey


@functools.cache
def odd_key(slot: str, flags: int = 257, protocol: int = 3) -> SigningKey:
    """Return a P-256 key with these flags; one slot is one key."""
    private = _private(slot)
    dnskey: DNSKEY = dns.dnssec.make_dnskey(
        private.public_key(), 13, flags=flags, protocol=protocol
    )
    return SigningKey(dnskey, private)


@functools.cache
def _private(slot: str) -> ec.EllipticCurvePrivateKey:
    del slot
    return ec.generate_private_key(ec.SECP256R1())


def ds_of(apex: str, key: SigningKey, digest: int = 2) -> str:
    """Return the DS record of a key, as a parent publishes it."""
    made = dns.dnssec.make_ds(dns.name.from_text(apex), key.dnskey, DSDigest(digest))
    return str(made.to_text())


def published(key: SigningKey, *, signs: bool = True) -> Break:
    """Add a key to the DNSKEY record set, and sign the set with it, beside or instead.

    The zone's own first key signs as well, so that only what hangs on ``key`` can fail.
    """

    def edit(zone: SignedText) -> None:
        zone.add("@", "DNSKEY", key.dnskey.to_text())
        zone.resign("@", "DNSKEY", key=zone.key(entry=True))
        if signs:
            kept = zone.signatures("@", "DNSKEY")
            zone.resign("@", "DNSKEY", key=key)
            zone.records.extend(kept)

    return edit


def unusable(name: str, octets: bytes, *, algorithm: int, why: str) -> "tuple[str, str, Break]":
    """Return a key that no signer has, its DS, and the break that publishes it.

    The set is signed by the zone's own key, to which no DS leads.
    """
    text = f"257 3 {algorithm} {base64.b64encode(octets).decode()}"
    made = dns.rdata.from_text("IN", "DNSKEY", text)
    ds = dns.dnssec.make_ds(dns.name.from_text(f"{name}.test."), made, DSDigest.SHA256)

    def edit(zone: SignedText) -> None:
        zone.add("@", "DNSKEY", text)
        zone.resign("@", "DNSKEY", key=zone.key(entry=True))

    return why, ds.to_text(), edit


def rsa_octets(bits: int, exponent: bytes = b"\x01\x00\x01") -> bytes:
    """Return an RSA public key of so many bits, which is of no known private key (RFC 3110)."""
    return bytes((len(exponent),)) + exponent + b"\xd5" + b"\x5b" * (bits // 8 - 1)


def signed_by(name: str, rdtype: str, key: SigningKey) -> Break:
    """Sign one record set with ``key`` alone, in the name of the zone."""
    return lambda zone: zone.resign(name, rdtype, key=key)


def beside(name: str, rdtype: str, key: SigningKey) -> Break:
    """Sign one record set with ``key`` as well, its signature standing first."""

    def edit(zone: SignedText) -> None:
        kept = zone.signatures(name, rdtype)
        zone.resign(name, rdtype, key=key)
        zone.records.extend(kept)

    return edit


def dated(name: str, rdtype: str, begins: float, ends: float) -> Break:
    """Sign one record set anew, valid from and to so many days from now."""

    def edit(zone: SignedText) -> None:
        key = zone.key(entry=rdtype == "DNSKEY")
        zone.resign(name, rdtype, key=key, begins=timedelta(days=begins), ends=timedelta(days=ends))

    return edit
