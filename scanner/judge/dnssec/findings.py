"""Puts faults and warnings into words, with the values they were seen on.

Everything here is for people: nothing that is decided depends on it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from scanner.judge.dnssec.algorithms import algorithm_text
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.dnssec.zone import TrustedZone
from scanner.model.dnssec import (
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    Ds,
    FetchFailure,
    Nsec3Record,
    RRset,
    SignatureCheck,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus

Values = tuple[tuple[str, str], ...]

# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE
_TYPE_NSEC3 = 50


def finding(
    reason: DnssecReason,
    *,
    zone: Name,
    owner: Name,
    rdtype: int,
    values: Values = (),
    state: DnssecStatus | None = None,
    server: str = "",
) -> DnssecFinding:
    """Return the finding; ``state`` is that of the registry unless given."""
    info = dnssec_info(reason)
    words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values)
    return DnssecFinding(
        reason=reason,
        zone=zone,
        owner=owner,
        rdtype=rdtype,
        state=state if state is not None else info.state,
        message=f"{info.sentence.removesuffix('.')}: {words}." if words else info.sentence,
        values=values,
        server=server,
    )


def upstream_finding(
    failure: FetchFailure, *, zone: Name, owner: Name, rdtype: int
) -> DnssecFinding:
    """Return the finding for a question to which no usable reply was had."""
    values: list[tuple[str, str]] = []
    if failure.detail:
        values.append(("detail", failure.detail))
    values += [
        ("extended_error", f"{error.code} {error.text}".rstrip())
        for error in failure.extended_errors
    ]
    return finding(
        failure.reason,
        zone=zone,
        owner=owner,
        rdtype=rdtype,
        values=tuple(values),
        state=DnssecStatus.INDETERMINATE,
        server=failure.server,
    )


def rrset_findings(
    checked: CheckedRRset, zone: TrustedZone, *, now: datetime, policy: DnssecPolicy, server: str
) -> Iterable[DnssecFinding]:
    """Return what is wrong with the signatures of one record set, or worth a warning."""
    if checked.status is not _SECURE:
        return _faults(checked, zone, now=now, policy=policy, server=server)
    good, rrset = _good_one(checked), checked.rrset
    if good is None or rrset is None or _is_plain(good, rrset, zone, now, policy):
        return ()
    return _warnings(checked, good, rrset, zone, now=now, policy=policy, server=server)


def _is_plain(
    good: SignatureCheck, rrset: RRset, zone: TrustedZone, now: datetime, policy: DnssecPolicy
) -> bool:
    """Return whether there can be no warning, as of nearly every record set.

    Neither bound of the signature is near, the record set ends first, and its TTL is not above the
    original one; the zone has keys of one algorithm, and nothing is hashed.
    """
    skew, ttl = policy.clock_skew_seconds, rrset.ttl
    return (
        ttl <= good.rrsig.original_ttl
        and rrset.rdtype != _TYPE_NSEC3
        and (len(zone.keys) == 1 or len(zone.algorithms) == 1)
        and now - good.inception >= timedelta(0, skew)
        and good.expiration - now >= timedelta(0, max(skew, ttl))
    )


def _faults(
    checked: CheckedRRset, zone: TrustedZone, *, now: datetime, policy: DnssecPolicy, server: str
) -> Iterator[DnssecFinding]:
    del policy
    assert checked.reason is not None
    told: set[DnssecReason] = set()
    for check in sorted(checked.signatures, key=lambda check: check.reason is not checked.reason):
        if check.reason is None or check.reason in told:
            continue
        told.add(check.reason)
        yield _finding_on(
            check.reason, checked, _signature_values(check, zone, now), server, checked.status
        )
    if checked.reason not in told:
        known = sorted({f"{tag}/{algorithm}" for tag, algorithm in zone.keys})
        values = (("zone_keys", " ".join(known) or "none"),)
        yield _finding_on(checked.reason, checked, values, server, checked.status)


def ds_values(ds: Ds, keys: Iterable[Dnskey] = ()) -> Values:
    """Return one DS record, and the keys it was compared with."""
    values = (
        ("ds_key_tag", str(ds.key_tag)),
        ("algorithm", algorithm_text(ds.algorithm)),
        ("digest_type", str(ds.digest_type)),
    )
    shown = " ".join(f"{key.key_tag}/{key.algorithm}" for key in keys)
    return (*values, ("zone_keys", shown or "none"))


def _finding_on(
    reason: DnssecReason,
    checked: CheckedRRset,
    values: Values,
    server: str,
    state: DnssecStatus | None = None,
) -> DnssecFinding:
    return finding(
        reason,
        zone=checked.zone or checked.owner,
        owner=checked.owner,
        rdtype=checked.rdtype,
        values=values,
        state=state,
        server=server,
    )


def _signature_values(check: SignatureCheck, zone: TrustedZone, now: datetime) -> Values:
    rrsig = check.rrsig
    known = sorted({f"{tag}/{algorithm}" for tag, algorithm in zone.keys})
    return (
        ("key_tag", str(rrsig.key_tag)),
        ("algorithm", algorithm_text(rrsig.algorithm)),
        ("signer", rrsig.signer),
        ("zone_keys", " ".join(known) or "none"),
        ("inception", _moment(check.inception)),
        ("expiration", _moment(check.expiration)),
        ("now", _moment(now)),
    )


def _warnings(
    checked: CheckedRRset,
    good: SignatureCheck,
    rrset: RRset,
    zone: TrustedZone,
    *,
    now: datetime,
    policy: DnssecPolicy,
    server: str,
) -> Iterator[DnssecFinding]:
    skew = policy.clock_skew_seconds
    left = (good.expiration - now).total_seconds()
    age = (now - good.inception).total_seconds()
    if left < skew or age < skew:
        values = _signature_values(good, zone, now)
        yield _finding_on(DnssecReason.RRSIG_CLOCK_SKEW, checked, values, server)
    if rrset.ttl > good.rrsig.original_ttl:
        values = (("ttl", str(rrset.ttl)), ("original_ttl", str(good.rrsig.original_ttl)))
        yield _finding_on(DnssecReason.TTL_ABOVE_ORIGINAL, checked, values, server)
    if rrset.ttl > left:
        values = (("ttl", str(rrset.ttl)), ("expiration", _moment(good.expiration)))
        yield _finding_on(DnssecReason.TTL_PAST_EXPIRY, checked, values, server)
    if rrset.rdtype == _TYPE_NSEC3:
        iterations = _iterations(rrset)
        if iterations > 0:
            values = (("iterations", str(iterations)),)
            yield _finding_on(DnssecReason.NSEC3_ITERATIONS_NONZERO, checked, values, server)
    if len(zone.keys) == 1:
        return
    missing = zone.algorithms - _signing_algorithms(rrset)
    if missing and len(zone.algorithms) > 1:
        names = " ".join(algorithm_text(number) for number in sorted(missing))
        yield _finding_on(
            DnssecReason.RRSIG_ALG_INCOMPLETE, checked, (("missing_algorithms", names),), server
        )


def _good_one(checked: CheckedRRset) -> SignatureCheck | None:
    for check in checked.signatures:
        if check.reason is None and check.checked:
            return check
    return None


def _iterations(rrset: RRset) -> int:
    return max((r.iterations for r in rrset.parsed if isinstance(r, Nsec3Record)), default=0)


def _signing_algorithms(rrset: RRset) -> frozenset[int]:
    return frozenset(rrsig.algorithm for rrsig in rrset.rrsigs)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
