"""Validations made by hand: chains of trust whole and broken, dates pinned to ``NOW``.

Nothing is really signed; what is shown, drawn and forecast depends only on what stands here.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scanner.judge.dnssec.findings import finding
from scanner.model.canonical import canonical
from scanner.model.dnssec import (
    ChainLink,
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    Ds,
    LinkKind,
    Proof,
    ProofResult,
    RRset,
    Rrsig,
    SignatureCheck,
    Validation,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name, parent_of
from scanner.model.observation import AliasHop, MxRecord, Question
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DS, DNSKEY, MX, NSEC = 43, 48, 15, 47
ZSK, KSK, REVOKED_KSK = 256, 257, 257 | 128
_KEY_OCTETS = {8: 256, 13: 64, 14: 96, 15: 32}


def key(tag: int, algorithm: int = 13, flags: int = KSK, *, rsa_bits: int = 2048) -> Dnskey:
    """Return a key; an RSA key has a modulus of ``rsa_bits``."""
    octets = bytes([tag % 251 + 1]) * _KEY_OCTETS.get(algorithm, 64)
    if algorithm in (5, 7, 8, 10):
        octets = b"\x03\x01\x00\x01" + (1 << (rsa_bits - 1)).to_bytes(rsa_bits // 8)
    rdata = flags.to_bytes(2) + bytes([3, algorithm]) + octets
    return Dnskey(
        flags=flags,
        protocol=3,
        algorithm=algorithm,
        public_key=octets,
        key_tag=tag,
        rdata=rdata,
    )


def ds(tag: int, algorithm: int = 13, digest_type: int = 2) -> Ds:
    """Return a DS record for the key ``tag``."""
    return Ds(key_tag=tag, algorithm=algorithm, digest_type=digest_type, digest=bytes(32))


def signature(
    zone: str,
    covered: int,
    tag: int,
    *,
    algorithm: int = 13,
    begins: timedelta = -4 * DAY,
    ends: timedelta = 10 * DAY,
    reason: DnssecReason | None = None,
    checked: bool = True,
) -> SignatureCheck:
    """Return a signature of ``zone`` and what became of it."""
    inception, expiration = NOW + begins, NOW + ends
    rrsig = Rrsig(
        type_covered=covered,
        algorithm=algorithm,
        labels=0,
        original_ttl=3600,
        expiration=int(expiration.timestamp()) % (1 << 32),
        inception=int(inception.timestamp()) % (1 << 32),
        key_tag=tag,
        signer=Name(zone),
        signer_labels=canonical(Name(zone)),
        signature=b"",
        header=b"",
        ttl=3600,
    )
    return SignatureCheck(
        rrsig=rrsig, inception=inception, expiration=expiration, reason=reason, checked=checked
    )


def rrset(
    owner: str,
    rdtype: int,
    zone: str | None,
    *signatures: SignatureCheck,
    reason: DnssecReason | None = None,
    status: DnssecStatus | None = None,
    wildcard: str | None = None,
) -> CheckedRRset:
    """Return a record set: secure without a reason, else in the state the reason leads to."""
    name = Name(owner)
    if status is None:
        status = DnssecStatus.SECURE if reason is None else dnssec_info(reason).state
    assert status is not None
    return CheckedRRset(
        owner=name,
        rdtype=rdtype,
        zone=None if zone is None else Name(zone),
        status=status,
        reason=reason,
        ttl_seconds=3600,
        signatures=signatures,
        wildcard=None if wildcard is None else Name(wildcard),
        rrset=RRset(
            owner=name, owner_labels=canonical(name), rdtype=rdtype, ttl=3600, rdatas=(b"",)
        ),
    )


def link(zone: str, tag: int, *, parent_tag: int | None = None, **changes: Any) -> ChainLink:
    """Return a secure link whose one key is ``tag``; the DS is signed by ``parent_tag``."""
    name = Name(zone)
    parent = None if name == ROOT else parent_of(name)
    rrsets = [rrset(zone, DNSKEY, zone, signature(zone, DNSKEY, tag))]
    if parent is not None and parent_tag is not None:
        rrsets.insert(0, rrset(zone, DS, parent, signature(parent, DS, parent_tag)))
    made = ChainLink(
        zone=name,
        kind=LinkKind.ANCHOR if parent is None else LinkKind.DELEGATION,
        status=DnssecStatus.SECURE,
        parent=parent,
        ds=(ds(tag),),
        dnskeys=(key(tag),),
        entry_keys=(tag,),
        rrsets=tuple(rrsets),
    )
    return replace(made, **changes)


ROOT_TAG, ORG_TAG, EXAMPLE_TAG = 20326, 4711, 815


def chain(*, last: ChainLink | None = None) -> tuple[ChainLink, ...]:
    """Return the links of example.org, the last one replaced by ``last``."""
    return (
        link(".", ROOT_TAG),
        link("org", ORG_TAG, parent_tag=ROOT_TAG),
        last or link("example.org", EXAMPLE_TAG, parent_tag=ORG_TAG),
    )


def secure(links: Sequence[ChainLink] | None = None, **changes: Any) -> Validation:
    """Return the MX of example.org, all in order."""
    answer = rrset("example.org", MX, "example.org", signature("example.org", MX, EXAMPLE_TAG))
    made = Validation(
        question=Question(Name("example.org"), RRType.MX),
        validated_at=NOW,
        status=DnssecStatus.SECURE,
        outcome=LookupOutcome.DATA,
        zone=Name("example.org"),
        records=(MxRecord(preference=10, exchange=Name("mx.example.org")),),
        chain=tuple(links or chain()),
        rrsets=(answer,),
        ttl_seconds=3600,
        signature_expires_at=NOW + 10 * DAY,
        resolver="192.0.2.53:53",
    )
    return replace(made, **changes)


def no_key() -> Validation:
    """Return a chain that breaks at a DS without a key."""
    noted = finding(
        DnssecReason.DS_NO_KEY,
        zone=Name("example.org"),
        owner=Name("example.org"),
        rdtype=DNSKEY,
        values=(("ds_key_tag", "999"), ("zone_keys", f"{EXAMPLE_TAG}/13")),
        server="192.0.2.53:53",
    )
    last = link(
        "example.org",
        EXAMPLE_TAG,
        parent_tag=ORG_TAG,
        status=DnssecStatus.BOGUS,
        reason=DnssecReason.DS_NO_KEY,
        ds=(ds(999),),
        entry_keys=(),
        rrsets=(rrset("example.org", DS, "org", signature("org", DS, ORG_TAG)),),
        findings=(noted,),
    )
    answer = rrset("example.org", MX, None, reason=DnssecReason.DS_NO_KEY)
    return _failed(DnssecReason.DS_NO_KEY, noted, chain(last=last), answer)


def expired() -> Validation:
    """Return a chain that holds, and an answer whose signature has ended."""
    bad = signature(
        "example.org",
        MX,
        EXAMPLE_TAG,
        begins=-15 * DAY,
        ends=-DAY,
        reason=DnssecReason.RRSIG_EXPIRED,
    )
    answer = rrset("example.org", MX, "example.org", bad, reason=DnssecReason.RRSIG_EXPIRED)
    noted = finding(
        DnssecReason.RRSIG_EXPIRED,
        zone=Name("example.org"),
        owner=Name("example.org"),
        rdtype=MX,
        values=(("key_tag", str(EXAMPLE_TAG)),),
    )
    return _failed(DnssecReason.RRSIG_EXPIRED, noted, chain(), answer)


def unsigned() -> Validation:
    """Return a chain that ends at an unsigned delegation, and that is proven."""
    noted = finding(
        DnssecReason.DELEGATION_UNSIGNED, zone=Name("org"), owner=Name("example.org"), rdtype=DS
    )
    last = ChainLink(
        zone=Name("example.org"),
        kind=LinkKind.DELEGATION,
        status=DnssecStatus.INSECURE,
        reason=DnssecReason.DELEGATION_UNSIGNED,
        parent=Name("org"),
        rrsets=(rrset("example.org", NSEC, "org", signature("org", NSEC, ORG_TAG)),),
        findings=(noted,),
    )
    answer = rrset("example.org", MX, None, reason=DnssecReason.DELEGATION_UNSIGNED)
    return _failed(DnssecReason.DELEGATION_UNSIGNED, noted, chain(last=last), answer)


def no_answer() -> Validation:
    """Return a question the resolver did not answer."""
    noted = finding(
        DnssecReason.UPSTREAM_TIMEOUT,
        zone=Name("example.org"),
        owner=Name("example.org"),
        rdtype=MX,
    )
    return secure(
        links=(link(".", ROOT_TAG),),
        status=DnssecStatus.INDETERMINATE,
        outcome=LookupOutcome.TIMEOUT,
        reason=DnssecReason.UPSTREAM_TIMEOUT,
        ede=22,
        zone=None,
        records=(),
        rrsets=(),
        findings=(noted,),
        signature_expires_at=None,
        detail="no reply from 192.0.2.53:53",
    )


def aliased() -> Validation:
    """Return a proven absence behind a wildcard-made alias, over an empty non-terminal."""
    no_cut = ChainLink(
        zone=Name("a.example.org"),
        kind=LinkKind.NO_CUT,
        status=DnssecStatus.SECURE,
        parent=Name("example.org"),
    )
    made = rrset(
        "b.a.example.org",
        5,
        "example.org",
        signature("example.org", 5, EXAMPLE_TAG),
        wildcard="*.a.example.org",
    )
    denial = rrset("example.org", NSEC, "example.org", signature("example.org", NSEC, EXAMPLE_TAG))
    return secure(
        links=(*chain(), no_cut),
        question=Question(Name("b.a.example.org"), RRType.MX),
        outcome=LookupOutcome.NODATA,
        records=(),
        aliases=(
            AliasHop(
                owner=Name("b.a.example.org"),
                target=Name("c.example.org"),
                status=DnssecStatus.SECURE,
            ),
        ),
        rrsets=(made, denial),
        proof=Proof(result=ProofResult.PROVEN),
    )


def root_broken() -> Validation:
    """Return what no zone is to blame for: the root does not validate here."""
    broken = link(
        ".",
        ROOT_TAG,
        status=DnssecStatus.BOGUS,
        reason=DnssecReason.ANCHOR_NOT_SIGNING,
        own_fault="the root zone could not be validated",
        entry_keys=(),
        rrsets=(),
    )
    return secure(
        links=(broken,),
        status=DnssecStatus.BOGUS,
        reason=DnssecReason.ANCHOR_NOT_SIGNING,
        ede=9,
        own_fault="the root zone could not be validated",
    )


def _failed(
    reason: DnssecReason,
    noted: DnssecFinding,
    links: tuple[ChainLink, ...],
    answer: CheckedRRset,
) -> Validation:
    state = dnssec_info(reason).state
    assert state is not None
    return secure(
        links=links,
        status=state,
        reason=reason,
        ede=dnssec_info(reason).ede,
        zone=None if answer.zone is None else answer.zone,
        rrsets=(answer,),
        findings=(noted,),
        signature_expires_at=None,
        confirmed=state is DnssecStatus.BOGUS,
    )


ALL = {
    "secure": secure,
    "no-key": no_key,
    "expired": expired,
    "unsigned": unsigned,
    "no-answer": no_answer,
    "aliased": aliased,
    "root-broken": root_broken,
}
