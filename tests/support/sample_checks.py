"""Finished checks made by hand, for the tests of everything that shows or stores them.

Each function returns one Check whose evidence and opinion are consistent; the dates are pinned to
``NOW``. The certificates are facts only, never parsed, so their DER is a placeholder.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name, parent_of
from scanner.model.observation import (
    AddressObservation,
    DaneApplicability,
    DomainObservation,
    ExtendedError,
    HostAddress,
    HostObservation,
    HostRoute,
    Lookup,
    MailRoute,
    MxKind,
    MxRecord,
    OtherAlgorithm,
    ProbeError,
    ProbeStage,
    Question,
    TlsaRecord,
    Vantage,
)
from scanner.model.reasons import Reason
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.verdict import (
    AddressFacts,
    AddressJudgement,
    CertificateFacts,
    Check,
    Finding,
    HostFacts,
    HostJudgement,
    Judged,
    Judgement,
    ProfileVerdict,
    TlsaJudgement,
)
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Family,
    Fault,
    HostOutcome,
    LookupOutcome,
    Profile,
    ResultType,
    RRType,
    Severity,
)
from scanner.model.zones import ZoneDs, ZoneKey, ZoneNote, ZoneObservation

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SEEN = "1b6f2c7d" * 8
PUBLISHED = "8d02536c887482bc34ff54e41d2ba659bf85b341a0a20afadb5813dcfbcf286d"
VANTAGE = Vantage(resolver_up=True, resolver_validating=True, egress_ipv4=True, egress_ipv6=True)
AUTHENTICATED = Judged(outcome=HostOutcome.AUTHENTICATED)
MISMATCH = Judged(
    outcome=HostOutcome.FAILED,
    reason=Reason.TLSA_MISMATCH,
    result_type=ResultType.TLSA_INVALID,
    code="4.7.323",
    cause_code="4.7.323",
)


def lookup(
    name: str,
    rdtype: RRType,
    outcome: LookupOutcome = LookupOutcome.DATA,
    status: DnssecStatus | None = DnssecStatus.SECURE,
    *,
    detail: str | None = None,
    extended: Sequence[tuple[int, str]] = (),
    own_fault: str | None = None,
) -> Lookup:
    """Return a lookup without records; what is shown never depends on them."""
    return Lookup(
        question=Question(Name(name), rdtype),
        outcome=outcome,
        status=status,
        detail=detail,
        extended_errors=tuple(ExtendedError(code=code, text=text) for code, text in extended),
        own_fault=own_fault,
    )


def certificate(
    subject: str,
    *,
    spki: str = PUBLISHED,
    starts: timedelta = timedelta(days=-60),
    ends: timedelta = timedelta(days=305),
) -> CertificateFacts:
    """Return the facts of a certificate with the validity relative to NOW."""
    der = f"der of {subject} {spki}".encode()
    return CertificateFacts(
        sha256=hashlib.sha256(der).hexdigest(),
        der=der,
        spki_sha256=spki,
        subject=f"CN={subject}",
        issuer="CN=Example Issuing CA 1,O=Example Trust,C=DE",
        serial="01",
        not_before=NOW + starts,
        not_after=NOW + ends,
        names=(subject,),
        key_type="ec",
        key_bits=256,
        signature_algorithm="ecdsa-with-SHA256",
        is_ca=False,
    )


def tlsa(usage: int = 3, selector: int = 1, matching: int = 1, data: str = PUBLISHED) -> TlsaRecord:
    """Return a TLSA record; ``data`` is hex."""
    return TlsaRecord(
        usage=usage, selector=selector, matching_type=matching, data=bytes.fromhex(data)
    )


def judged_record(
    record: TlsaRecord, *, matched: bool | None = True, unusable: Reason | None = None
) -> TlsaJudgement:
    """Return the opinion about ``record``; unusable when a reason is given."""
    return TlsaJudgement(
        record=record, usable=unusable is None, unusable_reason=unusable, matched=matched
    )


def probe(
    host: str,
    address: str = "192.0.2.25",
    *,
    stage: ProbeStage = ProbeStage.DONE,
    error: ProbeError | None = None,
    detail: str | None = None,
    reply: tuple[int, str] | None = None,
    starttls: bool | None = True,
) -> AddressObservation:
    """Return a probe; TLS 1.3 came up unless ``error`` says otherwise."""
    is_done = stage is ProbeStage.DONE
    return AddressObservation(
        host=Name(host),
        address=address,
        family=Family.IPV6 if ":" in address else Family.IPV4,
        sni=Name(host),
        observed_at=NOW,
        stage=stage,
        error=error,
        detail=detail,
        reply_code=reply[0] if reply else None,
        reply_text=reply[1] if reply else None,
        starttls_offered=starttls,
        tls_version="TLSv1.3" if is_done else None,
        cipher="TLS_AES_256_GCM_SHA384" if is_done else None,
        key_exchange_group="X25519" if is_done else None,
        transcript=(f"220 {host} ESMTP",),
    )


def host(
    name: str,
    preference: int = 10,
    *,
    probes: Sequence[AddressObservation] = (),
    applicability: DaneApplicability = DaneApplicability.TLSA_PRESENT,
    records: Sequence[TlsaRecord] = (),
    status: DnssecStatus = DnssecStatus.SECURE,
    failed_lookup: Lookup | None = None,
) -> HostObservation:
    """Return the evidence of one host, its addresses those of ``probes``."""
    addresses = tuple(
        HostAddress(address=one.address, family=one.family, status=status) for one in probes
    )
    route = HostRoute(
        host=Name(name),
        applicability=applicability,
        tlsa_base=Name(name),
        addresses=addresses,
        tlsa=tuple(records),
        failed_lookup=failed_lookup,
    )
    return HostObservation(preference=preference, route=route, addresses=tuple(probes))


def host_verdict(
    name: str, judged: Judged, preference: int = 10, addresses: Sequence[str] = ("192.0.2.25",)
) -> HostJudgement:
    """Return the opinion about one host, the same for each of its addresses."""
    return HostJudgement(
        host=Name(name),
        preference=preference,
        judged=judged,
        addresses=tuple(AddressJudgement(address=one, judged=judged) for one in addresses),
    )


def verdict(
    profile: Profile,
    value: DomainVerdict,
    hosts: Sequence[HostJudgement] = (),
    *,
    judged: Judged | None = None,
    final_code: str | None = None,
    phase: DeliveryPhase | None = None,
    fault: Fault = Fault.NOBODY,
) -> ProfileVerdict:
    """Return a profile's verdict; ``judged`` gives reason and codes."""
    is_failing = value in (DomainVerdict.BLOCKED, DomainVerdict.DEFERRED)
    default = DeliveryPhase.DEFERRING if is_failing else DeliveryPhase.DELIVERING
    failing = [one.host for one in hosts if judged is not None and one.judged == judged]
    return ProfileVerdict(
        profile=profile,
        verdict=value,
        phase=phase or default,
        reason=judged.reason if judged else None,
        result_type=judged.result_type if judged else None,
        code=judged.code if judged else None,
        cause_code=judged.cause_code if judged else None,
        final_code=final_code,
        fault=fault,
        headline=failing[-1] if failing else None,
        hosts=tuple(hosts),
    )


def check(
    domain: str,
    hosts: Sequence[HostObservation],
    verdicts: Sequence[ProfileVerdict],
    facts: Sequence[HostFacts] = (),
    findings: Sequence[Finding] = (),
    *,
    mx: Lookup | None = None,
    kind: MxKind = MxKind.EXPLICIT,
) -> Check:
    """Return one whole check as of NOW."""
    route = MailRoute(
        domain=Name(domain),
        mx=mx or lookup(domain, RRType.MX),
        kind=kind,
        expanded=Name(domain),
        exchanges=tuple(
            MxRecord(preference=one.preference, exchange=one.route.host) for one in hosts
        ),
    )
    observation = DomainObservation(
        domain=Name(domain),
        observed_at=NOW,
        duration_ms=812,
        route=route,
        hosts=tuple(hosts),
        vantage=VANTAGE,
    )
    judgement = Judgement(
        judged_at=NOW, verdicts=tuple(verdicts), hosts=tuple(facts), findings=tuple(findings)
    )
    return Check(observation=observation, judgement=judgement)


def both(
    value: DomainVerdict, hosts: Sequence[HostJudgement] = (), **rest: object
) -> tuple[ProfileVerdict, ProfileVerdict]:
    """Return the same verdict under both profiles."""
    return tuple(  # type: ignore[return-value]
        verdict(profile, value, hosts, **rest)  # type: ignore[arg-type]
        for profile in (Profile.RFC7672, Profile.EXCHANGE_ONLINE)
    )


def facts(
    name: str,
    records: Sequence[TlsaJudgement] = (),
    chain: Sequence[CertificateFacts] = (),
    addresses: Sequence[str] = ("192.0.2.25",),
    expected: Sequence[str] = (),
) -> HostFacts:
    """Return the facts of one host, the same chain at each address."""
    return HostFacts(
        host=Name(name),
        tlsa=tuple(records),
        addresses=tuple(AddressFacts(address=one, chain=tuple(chain)) for one in addresses),
        expected_records=tuple(expected),
    )


def protected() -> Check:
    """Two hosts, one of them dual-stacked, everything as it should be."""
    first, second = "mx1.example.org", "mx2.example.org"
    both_addresses = ("192.0.2.25", "2001:db8::25")
    return check(
        "example.org",
        [
            host(first, 10, probes=[probe(first, one) for one in both_addresses], records=[tlsa()]),
            host(second, 20, probes=[probe(second)], records=[tlsa()]),
        ],
        both(
            DomainVerdict.PROTECTED,
            [
                host_verdict(first, AUTHENTICATED, 10, both_addresses),
                host_verdict(second, AUTHENTICATED, 20),
            ],
        ),
        [
            facts(first, [judged_record(tlsa())], [certificate(first)], both_addresses),
            facts(second, [judged_record(tlsa())], [certificate(second)]),
        ],
    )


def mismatch() -> Check:
    """The certificate was renewed with a new key, the TLSA record was not."""
    name = "mx1.example.org"
    hosts = [host_verdict(name, MISMATCH)]
    return check(
        "example.org",
        [host(name, probes=[probe(name)], records=[tlsa()])],
        (
            verdict(
                Profile.RFC7672, DomainVerdict.BLOCKED, hosts, judged=replace(MISMATCH, code=None)
            ),
            verdict(
                Profile.EXCHANGE_ONLINE,
                DomainVerdict.BLOCKED,
                hosts,
                judged=MISMATCH,
                final_code="5.7.323",
                fault=Fault.DOMAIN_OWNER,
            ),
        ),
        [
            facts(
                name,
                [judged_record(tlsa(), matched=False)],
                [certificate(name, spki=SEEN)],
                expected=[f"3 1 1 {SEEN}"],
            )
        ],
        [
            Finding(
                code=Reason.TLSA_MISMATCH,
                severity=Severity.ERROR,
                where=name,
                message="Said in the tree already.",
            ),
            Finding(
                code=Reason.TLSA_UNMATCHED_RECORD,
                severity=Severity.WARNING,
                where=name,
                message=f"3 1 1 {PUBLISHED} matches no certificate that was presented.",
            ),
        ],
    )


def two_certificates() -> Check:
    """An RSA certificate beside the ECDSA one, ending sooner; only the ECDSA one is published."""
    name = "mx1.example.org"
    seen = replace(probe(name), other_algorithm=OtherAlgorithm.SHOWN)
    hosts = [
        replace(
            host_verdict(name, AUTHENTICATED),
            addresses=(
                AddressJudgement(address="192.0.2.25", judged=AUTHENTICATED, other=MISMATCH),
            ),
        )
    ]
    other = replace(
        certificate(name, spki=SEEN, ends=timedelta(days=20)), key_type="rsa", key_bits=2_048
    )
    both_chains = AddressFacts(
        address="192.0.2.25", chain=(certificate(name),), other_chain=(other,)
    )
    return check(
        "example.org",
        [host(name, probes=[seen], records=[tlsa()])],
        both(DomainVerdict.PROTECTED, hosts),
        [replace(facts(name, [judged_record(tlsa())]), addresses=(both_chains,))],
        [
            Finding(
                code=Reason.CERTIFICATE_ALGORITHM_DEPENDENT,
                severity=Severity.ERROR,
                where=name,
                message="The RSA certificate is not published.",
            )
        ],
    )


def bogus() -> Check:
    """The MX answer fails DNSSEC validation."""
    judged = Judged(
        outcome=HostOutcome.LOOKUP_FAILED,
        reason=Reason.MX_DNSSEC_BOGUS,
        result_type=ResultType.DNSSEC_INVALID,
        code="4.4.312",
        cause_code="4.7.324",
    )
    return check(
        "bogus.example",
        [],
        both(DomainVerdict.BLOCKED, judged=judged, final_code="5.4.312", fault=Fault.DNS_OPERATOR),
        mx=lookup(
            "bogus.example",
            RRType.MX,
            LookupOutcome.SERVFAIL,
            DnssecStatus.BOGUS,
            extended=[(7, "signature expired on 20261120000000")],
        ),
        kind=MxKind.ERROR,
    )


def opportunistic() -> Check:
    """An unsigned domain; TLS is there, DANE is not."""
    name = "mail.plain.example"
    judged = Judged(outcome=HostOutcome.OPPORTUNISTIC_TLS, reason=Reason.DOMAIN_UNSIGNED)
    return check(
        "plain.example",
        [
            host(
                name,
                probes=[probe(name)],
                applicability=DaneApplicability.NOT_APPLICABLE,
                status=DnssecStatus.INSECURE,
            )
        ],
        both(DomainVerdict.OPPORTUNISTIC, [host_verdict(name, judged)], judged=judged),
        [facts(name, chain=[certificate(name)])],
        mx=lookup("plain.example", RRType.MX, status=DnssecStatus.INSECURE),
    )


def expired() -> Check:
    """A matching DANE-EE certificate that has expired: the profiles differ (case C16)."""
    name = "mx1.expired.example"
    expired_judged = Judged(
        outcome=HostOutcome.FAILED,
        reason=Reason.CERTIFICATE_EXPIRED,
        result_type=ResultType.CERTIFICATE_EXPIRED,
        code="4.7.322",
        cause_code="4.7.322",
    )
    return check(
        "expired.example",
        [host(name, probes=[probe(name)], records=[tlsa()])],
        (
            verdict(Profile.RFC7672, DomainVerdict.PROTECTED, [host_verdict(name, AUTHENTICATED)]),
            verdict(
                Profile.EXCHANGE_ONLINE,
                DomainVerdict.BLOCKED,
                [host_verdict(name, expired_judged)],
                judged=expired_judged,
                final_code="5.7.322",
                fault=Fault.MAIL_OPERATOR,
            ),
        ),
        [
            facts(
                name,
                [judged_record(tlsa())],
                [certificate(name, starts=timedelta(days=-90), ends=timedelta(days=-1))],
            )
        ],
    )


def degraded() -> Check:
    """One host refuses STARTTLS, one is down, one delivers without TLSA."""
    no_tls = Judged(
        outcome=HostOutcome.FAILED,
        reason=Reason.STARTTLS_NOT_OFFERED,
        result_type=ResultType.STARTTLS_NOT_SUPPORTED,
        code="4.7.321",
        cause_code="4.7.321",
    )
    down = Judged(outcome=HostOutcome.UNREACHABLE, reason=Reason.CONNECTION_REFUSED, code="4.4.316")
    clear = Judged(outcome=HostOutcome.OPPORTUNISTIC_CLEAR, reason=Reason.TLSA_ABSENT)
    one, two, three = "mx1.mixed.example", "mx2.mixed.example", "backup.provider.example"
    refused = probe(two, stage=ProbeStage.CONNECT, error=ProbeError.REFUSED, starttls=None)
    no_starttls = probe(
        one, stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED, starttls=False
    )
    deferred = probe(
        three,
        stage=ProbeStage.STARTTLS,
        error=ProbeError.REPLY_TRANSIENT,
        reply=(454, "4.7.0 TLS not available due to local problem"),
    )
    records = [tlsa(), tlsa(1, 1, 1)]
    return check(
        "mixed.example",
        [
            host(one, 10, probes=[no_starttls], records=records),
            host(two, 20, probes=[refused], records=[tlsa()]),
            host(three, 30, probes=[deferred], applicability=DaneApplicability.TLSA_ABSENT),
        ],
        both(
            DomainVerdict.DEGRADED,
            [
                host_verdict(one, no_tls, 10),
                host_verdict(two, down, 20),
                host_verdict(three, clear, 30),
            ],
        ),
        [
            facts(
                one,
                [
                    judged_record(records[0], matched=None),
                    judged_record(records[1], matched=None, unusable=Reason.TLSA_USAGE_UNUSABLE),
                ],
            ),
            facts(two, [judged_record(tlsa(), matched=None)]),
            facts(three),
        ],
        [
            Finding(
                code=Reason.HOST_FAILING,
                severity=Severity.ERROR,
                where=one,
                message="Mail is not delivered through this server; it goes to the next one.",
            ),
            Finding(
                code=Reason.DOWNGRADE_PATH,
                severity=Severity.WARNING,
                where=three,
                message="An attacker who blocks the other servers gets mail in clear text here.",
            ),
        ],
    )


def no_mail() -> Check:
    """A null MX (RFC 7505)."""
    judged = Judged(outcome=HostOutcome.FAILED, reason=Reason.NULL_MX, code="5.1.10")
    return check(
        "nomail.example",
        [],
        both(DomainVerdict.NO_MAIL, judged=judged, final_code="5.1.10"),
        kind=MxKind.NULL,
    )


def inconclusive() -> Check:
    """Our own resolver did not answer."""
    judged = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.RESOLVER_DOWN)
    return check(
        "unknown.example",
        [],
        both(
            DomainVerdict.INCONCLUSIVE,
            judged=judged,
            phase=DeliveryPhase.UNKNOWN,
            fault=Fault.SCANNER,
        ),
        mx=lookup(
            "unknown.example",
            RRType.MX,
            LookupOutcome.TIMEOUT,
            None,
            own_fault="no resolver answered: 127.0.0.1:53 connection refused",
        ),
        kind=MxKind.ERROR,
    )


def hostile() -> Check:
    """Names and texts a peer controls: as long as they can be, with terminal controls in them."""
    name = ("a" * 60 + ".") * 3 + "example.org"
    nasty = f"\x1b[31mCN=\u202eevil{'x' * 400}\x07"
    broken = probe(
        name,
        stage=ProbeStage.GREETING,
        error=ProbeError.REPLY_PERMANENT,
        reply=(554, "\x1b]0;owned\x07 no service here " + "y" * 300),
        starttls=None,
    )
    nasty_certificate = replace(certificate("x"), subject=nasty, issuer=nasty)
    return check(
        "xn--mnchen-3ya.example",
        [host(name, probes=[probe(name), replace(broken, address="192.0.2.26")], records=[tlsa()])],
        both(
            DomainVerdict.PROTECTED,
            [host_verdict(name, AUTHENTICATED, addresses=("192.0.2.25", "192.0.2.26"))],
        ),
        [facts(name, [judged_record(tlsa())], [nasty_certificate])],
        [
            Finding(
                code=Reason.ADDRESSES_INCONSISTENT,
                severity=Severity.WARNING,
                where=name,
                message=f"Addresses differ: {nasty}",
            )
        ],
    )


def zone(
    name: str,
    status: DnssecStatus = DnssecStatus.SECURE,
    *,
    reason: DnssecReason | None = None,
    observed_at: datetime = NOW,
    ends: timedelta = timedelta(days=9),
    notes: Sequence[ZoneNote] = (),
) -> ZoneObservation:
    """Return a zone with one key, its signatures five days old."""
    return ZoneObservation(
        zone=Name(name),
        parent=None if name == "." else parent_of(Name(name)),
        status=status,
        reason=reason,
        ede_code=None if reason is None else dnssec_info(reason).ede,
        ds=(ZoneDs(key_tag=4711, algorithm=13, digest_type=2),),
        dnskeys=(ZoneKey(key_tag=4711, algorithm=13, flags=257, bits=256),),
        entry_keys=(4711,),
        signature_inception=NOW - timedelta(days=5),
        signature_expiration=NOW + ends,
        observed_at=observed_at,
        notes=tuple(notes),
    )


def zoned(check: Check | None = None, *zones: ZoneObservation) -> Check:
    """Return ``check`` with the zones of example.org, or with ``zones``."""
    made = zones or (zone("."), zone("org"), zone("example.org"))
    check = check or protected()
    mx = replace(check.observation.route.mx, dnssec_zone=made[-1].zone)
    if mx.status is not DnssecStatus.SECURE:
        mx = replace(mx, dnssec_reason=made[-1].reason)
    route = replace(check.observation.route, mx=mx)
    return replace(check, observation=replace(check.observation, route=route, zones=made))


ALL = {
    "protected": protected,
    "mismatch": mismatch,
    "bogus": bogus,
    "opportunistic": opportunistic,
    "expired": expired,
    "degraded": degraded,
    "no-mail": no_mail,
    "inconclusive": inconclusive,
    "hostile": hostile,
}
