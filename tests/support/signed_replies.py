"""Signed record sets and whole replies, made with dnspython: a signer that is not ours.

Everything goes through real octets: what a test sends is read by ``decode_signed``.
"""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from dns.dnssectypes import DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.RRSIG import RRSIG

from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.dnssec.rrsig import Verifier
from scanner.judge.dnssec.zone import TrustedZone, trusted_zone
from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import Dnskey, RRset, SignedMessage
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.wire.rrsets import decode_signed, parse_dnskey

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALGORITHMS = (5, 7, 8, 10, 13, 14, 15, 16)
QUERY_ID = 4711


@functools.cache
def private_key(algorithm: int, slot: int, bits: int = 2048) -> Any:
    """Return a key of this algorithm; different slots are different keys."""
    del slot
    match algorithm:
        case 13:
            return ec.generate_private_key(ec.SECP256R1())
        case 14:
            return ec.generate_private_key(ec.SECP384R1())
        case 15:
            return ed25519.Ed25519PrivateKey.generate()
        case 16:
            return ed448.Ed448PrivateKey.generate()
        case _:
            return rsa.generate_private_key(public_exponent=65537, key_size=bits)


class Signer:
    """A zone with one key."""

    def __init__(
        self,
        origin: str = "example.",
        algorithm: int = 13,
        *,
        flags: int = 257,
        slot: int = 0,
        bits: int = 2048,
        protocol: int = 3,
    ) -> None:
        self.origin = dns.name.from_text(origin)
        self.algorithm = algorithm
        self.private = private_key(algorithm, slot, bits)
        self.dnskey: DNSKEY = dns.dnssec.make_dnskey(
            self.private.public_key(), algorithm, flags=flags, protocol=protocol
        )

    @property
    def name(self) -> Name:
        """The zone."""
        text = self.origin.to_text(omit_final_dot=True)
        return ROOT if self.origin == dns.name.root else Name(text)

    @property
    def labels(self) -> CanonicalName:
        """The zone in canonical form."""
        return canonical(self.name)

    @property
    def model_key(self) -> Dnskey:
        """The key as the model has it."""
        parsed = parse_dnskey(self.dnskey.to_wire() or b"")
        assert parsed is not None
        return parsed

    def zone(self, *others: "Signer", policy: DnssecPolicy | None = None) -> TrustedZone:
        """Return the zone, trusted, with this key and those of ``others``."""
        keys = [self.model_key, *(other.model_key for other in others)]
        return trusted_zone(self.name, self.labels, keys, policy or DnssecPolicy())

    def dnskeys(self, *others: "Signer") -> dns.rrset.RRset:
        """Return the DNSKEY record set."""
        keys = [self.dnskey, *(other.dnskey for other in others)]
        return dns.rrset.from_rdata(self.origin, 3600, *keys)

    def ds(self, digest: int = 2, **changes: Any) -> DS:
        """Return the DS of the key, changed as told."""
        policy = dns.dnssec.allow_all_policy
        made = dns.dnssec.make_ds(self.origin, self.dnskey, DSDigest(digest), policy=policy)
        return made.replace(**changes) if changes else made  # type: ignore[return-value]

    def ds_rrset(self, *records: DS) -> dns.rrset.RRset:
        """Return the DS record set of ``records``, or of the key's own DS."""
        return dns.rrset.from_rdata(self.origin, 3600, *(records or (self.ds(),)))

    def sign(
        self,
        rrset: dns.rrset.RRset,
        *,
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=14),
        now: datetime = NOW,
        signer: dns.name.Name | None = None,
        **changes: Any,
    ) -> RRSIG:
        """Return the RRSIG; ``changes`` are made to its fields after signing."""
        made = dns.dnssec.sign(
            rrset,
            self.private,
            signer or self.origin,
            self.dnskey,
            inception=now + begins,
            expiration=now + ends,
            policy=dns.dnssec.allow_all_policy,
        )
        return made.replace(**changes) if changes else made  # type: ignore[return-value]

    def signed(self, *rrsets: dns.rrset.RRset, **options: Any) -> list[dns.rrset.RRset]:
        """Return each record set with its signature behind it."""
        out: list[dns.rrset.RRset] = []
        for rrset in rrsets:
            out += [rrset, rrsigs(rrset, self.sign(rrset, **options))]
        return out


def records(owner: str, rdtype: str, *texts: str, ttl: int = 3600) -> dns.rrset.RRset:
    """Return a record set of presentation forms."""
    return dns.rrset.from_text(owner, ttl, "IN", rdtype, *texts)


def rrsigs(rrset: dns.rrset.RRset, *signatures: RRSIG) -> dns.rrset.RRset:
    """Return the RRSIG record set at the owner of ``rrset``."""
    return dns.rrset.from_rdata(rrset.name, rrset.ttl, *signatures)


def renamed(rrset: dns.rrset.RRset, owner: str) -> dns.rrset.RRset:
    """Return ``rrset`` under another owner: what a wildcard is expanded to."""
    return dns.rrset.from_rdata_list(dns.name.from_text(owner), rrset.ttl, list(rrset))


def octets(
    question: Question,
    answer: Iterable[dns.rrset.RRset] = (),
    authority: Iterable[dns.rrset.RRset] = (),
    *,
    rcode: int = 0,
    edns: bool = True,
    flags: int = 0,
) -> bytes:
    """Return the octets of a reply."""
    text = question.name if question.name == ROOT else f"{question.name}."
    query = dns.message.make_query(text, str(question.rdtype), want_dnssec=True, id=QUERY_ID)
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= flags
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.answer = list(answer)
    reply.authority = list(authority)
    reply.use_edns(0 if edns else -1)
    return reply.to_wire(max_size=65_535)


def reply(
    question: Question,
    answer: Iterable[dns.rrset.RRset] = (),
    authority: Iterable[dns.rrset.RRset] = (),
    **options: Any,
) -> SignedMessage:
    """Return the reply as it is read from its octets."""
    wire = octets(question, answer, authority, **options)
    return decode_signed(question, query_id=QUERY_ID, wire=wire, server="192.0.2.53:53")


def read(rrset: dns.rrset.RRset, *signatures: RRSIG) -> RRset:
    """Return one record set with its signatures as it is read from a reply."""
    name = rrset.name.to_text(omit_final_dot=True) if rrset.name != dns.name.root else "."
    question = Question(Name(name.lower()), RRType.A)
    sections = [rrset, rrsigs(rrset, *signatures)] if signatures else [rrset]
    found = reply(question, sections).answer
    assert len(found) == 1
    return found[0]


def verifier(policy: DnssecPolicy | None = None, *, now: datetime = NOW) -> Verifier:
    """Return a verifier at ``now``."""
    return Verifier(now=now, policy=policy or DnssecPolicy())
