"""Signed replies for load tests, rendered once: root, top-level domains, domains and mail hosts.

Every zone has keys and signatures of its own and every denial its NSEC or NSEC3 records, so that a
client has the same work as with real zones. Only what a client may ask is rendered. Two short cuts
no client can see: an NSEC3 record spans just the hash it is needed for, and record sets share
nothing but their zone's key.

The wire format is made by hand (RFC 1035 §4, RFC 4034 §3.1.8.1, §6, RFC 5155 §5): by a library,
100,000 domains would take ten times as long, and no code under test has a part in it.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

A, NS, CNAME, SOA, MX, TXT, AAAA = 1, 2, 5, 6, 15, 16, 28
DS, RRSIG, NSEC, DNSKEY, NSEC3, TLSA = 43, 46, 47, 48, 50, 52
RSA_SHA256, ECDSA_P256 = 8, 13
SECURE, BOGUS, SLOW = 1, 2, 4
SERVFAIL, NXDOMAIN = 2, 3
EDE_BOGUS, EDE_EXPIRED, EDE_KEYS_MISSING, EDE_UNREACHABLE = 6, 7, 9, 22
TTL = 86_400
DAY = 86_400
BASE32HEX = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghijklmnopqrstuv"
)
OPT_OUT = 1

_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()
Labels = tuple[bytes, ...]


def labels_of(name: str) -> Labels:
    """Return the labels of ``name``, lower case and without escapes as all names here."""
    return tuple(label.encode() for label in name.split(".") if label)


def wire_of(labels: Labels) -> bytes:
    """Return the uncompressed wire form."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


@dataclass(frozen=True, slots=True)
class RRset:
    """A record set as it stands in a reply: RDATA in canonical order and form, and signature."""

    owner: Labels
    rdtype: int
    rdatas: tuple[bytes, ...]
    rrsig: bytes | None
    ttl: int = TTL


class Zone:
    """A signed zone: its key, and what it signs. ``now`` is in seconds since 1970."""

    def __init__(
        self, origin: Labels, now: int, *, key: rsa.RSAPrivateKey | None = None, nsec3: bool = False
    ) -> None:
        """Make a zone with a fresh P-256 key, or with the RSA ``key``."""
        self.origin = origin
        self.nsec3 = nsec3
        self._wire = wire_of(origin)
        self._inception, self._expiration = now - 3_600, now + 30 * DAY
        self._now = now
        self._rsa = key
        if key is None:
            self._ec = ec.generate_private_key(ec.SECP256R1())
            point = self._ec.public_key().public_numbers()
            public = point.x.to_bytes(32) + point.y.to_bytes(32)
            self.algorithm = ECDSA_P256
        else:
            numbers = key.public_key().public_numbers()
            public = b"\x03" + numbers.e.to_bytes(3) + numbers.n.to_bytes(256)
            self.algorithm = RSA_SHA256
        self.dnskey = struct.pack("!HBB", 257, 3, self.algorithm) + public
        self.tag = key_tag(self.dnskey)
        soa = self._wire + b"\x0ahostmaster" + self._wire
        soa += struct.pack("!5I", 2_026_112_401, 7_200, 3_600, 1_209_600, 3_600)
        self.soa = self.sign(origin, SOA, (soa,))

    def ds(self, *, mismatch: bool = False) -> bytes:
        """Return the DS of the key (SHA-256, RFC 4509); ``mismatch`` spoils the digest."""
        digest = hashlib.sha256(self._wire + self.dnskey).digest()
        if mismatch:
            digest = bytes(octet ^ 0xFF for octet in digest)
        return struct.pack("!HBB", self.tag, self.algorithm, 2) + digest

    def keys(self) -> RRset:
        """Return the signed DNSKEY record set."""
        return self.sign(self.origin, DNSKEY, (self.dnskey,))

    def sign(
        self,
        owner: Labels,
        rdtype: int,
        rdatas: Iterable[bytes],
        *,
        expired: bool = False,
        corrupt: bool = False,
    ) -> RRset:
        """Return a signed record set (RFC 4034 §3.1.8.1), or one with a wrong signature."""
        ordered = tuple(sorted(rdatas))
        begin, end = self._inception, self._expiration
        if expired:
            begin, end = self._now - 15 * DAY, self._now - DAY
        head = struct.pack(
            "!HBBIIIH", rdtype, self.algorithm, len(owner), TTL, end, begin, self.tag
        )
        head += self._wire
        prefix = wire_of(owner) + struct.pack("!HHI", rdtype, 1, TTL)
        data = head + b"".join(prefix + len(rdata).to_bytes(2) + rdata for rdata in ordered)
        signature = self._signature(data)
        if corrupt:
            signature = bytes((signature[0] ^ 0x55,)) + signature[1:]
        return RRset(owner, rdtype, ordered, head + signature)

    def _signature(self, data: bytes) -> bytes:
        if self._rsa is not None:
            return self._rsa.sign(data, _PKCS1, _SHA256)
        r, s = decode_dss_signature(self._ec.sign(data, _ECDSA))
        return r.to_bytes(32) + s.to_bytes(32)

    def no_data(self, owner: Labels, has: Sequence[int], following: Labels) -> list[RRset]:
        """Return the authority section for a name that has only the types ``has``.

        ``following`` is the next name of the zone, which an NSEC record names.
        """
        if self.nsec3:
            return [self.soa, self._matching(owner, has)]
        bitmap = type_bitmap((*has, RRSIG, NSEC))
        return [self.soa, self.sign(owner, NSEC, (wire_of(following) + bitmap,))]

    def no_name(self, owner: Labels, encloser: Labels, has: Sequence[int]) -> list[RRset]:
        """Return the authority section for a name that does not exist.

        ``encloser`` is the closest name that does, with the types ``has``; it is the last of an
        NSEC zone.
        """
        if not self.nsec3:
            bitmap = type_bitmap((*has, RRSIG, NSEC))
            return [self.soa, self.sign(encloser, NSEC, (self._wire + bitmap,))]
        next_closer = owner[-len(encloser) - 1 :]
        return [
            self.soa,
            self._matching(encloser, has),
            self._covering(next_closer),
            self._covering((b"*", *encloser)),
        ]

    def no_ds(self, child: Labels, apex: RRset) -> list[RRset]:
        """Return the authority section for a delegation without DS: by opt-out (RFC 5155 §8.9)."""
        return [self.soa, apex, self._covering(child, flags=OPT_OUT)]

    def apex_nsec3(self) -> RRset:
        """Return the NSEC3 record that matches the apex of a zone of delegations."""
        return self._matching(self.origin, (NS, SOA, DNSKEY), flags=OPT_OUT)

    def _matching(self, owner: Labels, has: Sequence[int], *, flags: int = 0) -> RRset:
        number = int.from_bytes(nsec3_hash(owner))
        types = (*has, RRSIG) if has else ()
        return self._nsec3(number, number + 1, type_bitmap(types), flags)

    def _covering(self, owner: Labels, *, flags: int = 0) -> RRset:
        number = int.from_bytes(nsec3_hash(owner))
        bitmap = type_bitmap((NS, DS, RRSIG) if flags else (A, RRSIG))
        return self._nsec3(number - 1, number + 1, bitmap, flags)

    def _nsec3(self, first: int, following: int, bitmap: bytes, flags: int) -> RRset:
        # No iterations and no salt, as RFC 9276 §3.1 wants it.
        label = base64.b32encode(first.to_bytes(20)).translate(BASE32HEX)
        rdata = struct.pack("!BBHBB", 1, flags, 0, 0, 20) + following.to_bytes(20) + bitmap
        return self.sign((label, *self.origin), NSEC3, (rdata,))


def nsec3_hash(owner: Labels) -> bytes:
    """Return the hash without salt and iterations (RFC 5155 §5)."""
    return hashlib.sha1(wire_of(owner), usedforsecurity=False).digest()


def key_tag(rdata: bytes) -> int:
    """Return the key tag of a DNSKEY (RFC 4034 appendix B)."""
    total = sum(rdata[::2]) * 256 + sum(rdata[1::2])
    return (total + (total >> 16)) & 0xFFFF


def type_bitmap(types: Iterable[int]) -> bytes:
    """Return the bitmap of types below 256 (RFC 4034 §4.1.2)."""
    bits = bytearray(32)
    for rdtype in types:
        bits[rdtype // 8] |= 0x80 >> rdtype % 8
    used = bytes(bits).rstrip(b"\0")
    return bytes((0, len(used))) + used if used else b""


def mx_rdata(preference: int, exchange: str) -> bytes:
    """Return the RDATA of an MX record."""
    return preference.to_bytes(2) + wire_of(labels_of(exchange))


def unsigned(owner: Labels, rdtype: int, rdatas: Iterable[bytes]) -> RRset:
    """Return a record set without a signature."""
    return RRset(owner, rdtype, tuple(sorted(rdatas)), None)


class ReplyFile:
    """The file of nameserver.c."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(
        self,
        qname: Labels,
        qtype: int,
        answer: Sequence[RRset] = (),
        authority: Sequence[RRset] = (),
        *,
        flags: int = 0,
        rcode: int = 0,
        ede: int = 0,
    ) -> None:
        """Write one reply. Owner names are compressed against the question's name."""
        key = wire_of(qname) + qtype.to_bytes(2)
        body = bytearray()
        answers = sum(_write(body, rrset, qname) for rrset in answer)
        authorities = sum(_write(body, rrset, qname) for rrset in authority)
        self._stream.write(
            struct.pack("!HBBHHHI", len(key), flags, rcode, ede, answers, authorities, len(body))
        )
        self._stream.write(key)
        self._stream.write(body)


def _write(body: bytearray, rrset: RRset, qname: Labels) -> int:
    owner = _compressed(rrset.owner, qname)
    for rdata in rrset.rdatas:
        body += owner
        body += struct.pack("!HHIH", rrset.rdtype, 1, rrset.ttl, len(rdata))
        body += rdata
    if rrset.rrsig is None:
        return len(rrset.rdatas)
    body += owner
    body += struct.pack("!HHIH", RRSIG, 1, rrset.ttl, len(rrset.rrsig))
    body += rrset.rrsig
    return len(rrset.rdatas) + 1


def _compressed(name: Labels, qname: Labels) -> bytes:
    """Return ``name`` with a pointer to what it shares with the question's name at octet 12."""
    shared = 0
    while shared < min(len(name), len(qname)) and name[-1 - shared] == qname[-1 - shared]:
        shared += 1
    if not shared:
        return wire_of(name)
    offset = 12 + sum(1 + len(label) for label in qname[: len(qname) - shared])
    own = name[: len(name) - shared]
    return b"".join(bytes((len(label),)) + label for label in own) + struct.pack(
        "!H", 0xC000 | offset
    )
