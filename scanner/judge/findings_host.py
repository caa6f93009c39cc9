"""Findings on one MX host: its DNS, its TLSA records, and what its addresses presented."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from scanner.judge.certificate import read_certificate, spki_of
from scanner.judge.examination import Examination, ExaminedProbe, Need
from scanner.judge.findings_algorithm import algorithm_findings, algorithm_name
from scanner.judge.matching import Match
from scanner.judge.note import note
from scanner.judge.outcomes import DELIVERABLE, lookup_detail, probe_detail
from scanner.judge.probe import MODERN_TLS
from scanner.judge.publickey import is_weak_key
from scanner.judge.tlsa import (
    MATCHING_FULL,
    MATCHING_SHA512,
    SELECTOR_SPKI,
    USAGE_DANE_EE,
    USAGE_DANE_TA,
    after_agility,
    presentation,
    unmatched_parameters,
)
from scanner.model.observation import (
    DaneApplicability,
    HostObservation,
    HostRoute,
    MailRoute,
    MxKind,
    ProbeError,
    TlsaRecord,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.verdict import CertificateFacts, Finding, HostJudgement, Judged
from scanner.model.vocabulary import DnssecStatus, HostOutcome, Profile, Severity

MAX_RECORDS_SHOWN = 4
"""Records quoted in one message; the check document lists them all."""

MAX_CERTIFICATES_QUOTED = 4
"""Certificates whose dates are quoted in one message."""

_Judgements = Sequence[tuple[Profile, HostJudgement]]


def host_findings(
    host: HostObservation,
    examined: Examination,
    judgements: _Judgements,
    *,
    route: MailRoute,
    policy: Policy,
    now: datetime,
) -> Iterator[Finding]:
    """Yield the findings on one host, in the order of a check: DNS, records, addresses."""
    yield from _about_names(host.route, implicit=route.kind is MxKind.IMPLICIT)
    yield from _about_lookups(host.route, judgements)
    yield from _about_unprotected_records(host.route)
    yield from _about_records(host.route.host, examined)
    yield from _about_demand(host.route.host, judgements)
    yield from _about_reasons(host.route.host, examined, judgements)
    yield from _about_consistency(host.route.host, judgements)
    yield from algorithm_findings(host.route.host, examined, judgements)
    yield from _about_server_name(host.route.host, examined)
    yield from _about_matching(host.route.host, examined)
    for probe in examined.probes:
        yield from _about_probe(host.route.host, probe, examined.need, policy=policy, now=now)
        if probe.other is not None:
            where = f"{probe.probe.address} ({algorithm_name(probe.other.probe.chain[0])})"
            yield from _about_chain(
                host.route.host, probe.other, examined.need, where=where, policy=policy, now=now
            )


def _about_server_name(host: str, examined: Examination) -> Iterator[Finding]:
    """Yield a finding where a client that names no server is shown another certificate (C31).

    The verdict rests on what is shown with SNI, which a sender must send (RFC 7672 §8.1).
    """
    for examined_probe in examined.probes:
        probe = examined_probe.probe
        named = {*probe.chain[:1], *probe.other_chain[:1]}
        nameless = probe.chain_without_sni[:1]
        if nameless and not named.issuperset(nameless):
            yield note(
                Reason.SENDER_DEPENDENT,
                host,
                f"{probe.address} shows another certificate to senders that do not name the server"
                f" (SNI), SHA-256 {read_certificate(nameless[0]).sha256}",
            )


def _about_names(route: HostRoute, *, implicit: bool) -> Iterator[Finding]:
    if route.aliases and not implicit:
        yield note(Reason.MX_ALIAS, route.host, " -> ".join((route.host, *route.aliases)))
    if route.aliases:
        yield note(
            Reason.SENDER_DEPENDENT,
            route.host,
            "an aliased mail host: some senders take no TLSA records through an alias; name the"
            " final host in the MX record",
        )
    if route.target_problem is not None:
        yield note(Reason.MX_TARGET_UNUSABLE, route.host, str(route.target_problem))
    if route.applicability is DaneApplicability.NO_ADDRESS:
        yield note(Reason.HOST_NO_ADDRESS, route.host, "")
    if route.addresses_ignored:
        yield note(
            Reason.ADDRESSES_TOO_MANY,
            route.host,
            f"{len(route.addresses)} looked at, {route.addresses_ignored} left out",
        )


def _about_lookups(route: HostRoute, judgements: _Judgements) -> Iterator[Finding]:
    decided = {
        judgement.judged.reason
        for _, judgement in judgements
        if judgement.judged.outcome is HostOutcome.LOOKUP_FAILED
    }
    for reason in decided:
        if reason is not None:
            failed = route.failed_lookup
            yield note(reason, route.host, "" if failed is None else lookup_detail(failed))
    families = [lookup for lookup in (route.ipv4, route.ipv6) if lookup is not None]
    answered = [lookup for lookup in families if lookup.has_data]
    for lookup in families:
        if answered and lookup.is_error and not decided:
            yield note(Reason.ADDRESS_FAMILY_FAILED, route.host, lookup_detail(lookup))
    if len({lookup.status for lookup in answered}) > 1:
        texts = ", ".join(f"{lookup.question.rdtype} {lookup.status}" for lookup in answered)
        yield note(Reason.ADDRESS_SECURITY_MIXED, route.host, texts)


def _about_unprotected_records(route: HostRoute) -> Iterator[Finding]:
    for candidate in route.candidates:
        lookup = candidate.lookup
        if not lookup.has_data or lookup.status is not DnssecStatus.INSECURE:
            continue
        code = Reason.TLSA_ALIAS_INSECURE if lookup.aliases else Reason.TLSA_UNPROTECTED
        yield note(code, route.host, lookup_detail(lookup))


def _about_records(host: str, examined: Examination) -> Iterator[Finding]:
    """Yield what is wrong with the record set itself (table 3b and its hints)."""
    tlsa = examined.tlsa
    for record in dict.fromkeys(tlsa.duplicates):
        yield note(Reason.TLSA_DUPLICATE, host, shown(record))
    for item in tlsa.records:
        if item.unusable_reason is not None:
            yield note(item.unusable_reason, host, shown(item.record))
    if examined.need is Need.ENCRYPTION:
        yield note(Reason.TLSA_ALL_UNUSABLE, host, f"{len(tlsa.records)} records")
    if tlsa.truncated:
        yield note(Reason.TLSA_TOO_MANY, host, f"{len(tlsa.usable)} records compared")
    for record in tlsa.usable:
        if record.matching_type == MATCHING_FULL:
            yield note(Reason.TLSA_FULL_DATA, host, shown(record))
        if (record.usage, record.selector) == (USAGE_DANE_TA, SELECTOR_SPKI):
            yield note(Reason.TLSA_ANCHOR_KEY, host, shown(record))
    if tlsa.usable and all(record.matching_type == MATCHING_SHA512 for record in tlsa.usable):
        yield note(Reason.TLSA_ONLY_SHA512, host, "no SHA-256 record beside them")


def _about_demand(host: str, judgements: _Judgements) -> Iterator[Finding]:
    """Yield that the sender's own demand for DANE is not met, which no address shows."""
    for _, judgement in judgements:
        if judgement.judged.reason is Reason.DANE_REQUIRED:
            yield note(Reason.DANE_REQUIRED, host, judgement.judged.detail or "")


def _about_reasons(host: str, examined: Examination, judgements: _Judgements) -> Iterator[Finding]:
    """Yield one finding for each reason why an address does not give what DANE asks for.

    Also for an address that does not decide: a host is judged by its best one.
    """
    said: dict[Reason, list[str]] = {}
    for _, judgement in judgements:
        for address in judgement.addresses:
            for reason in _reasons_of(address.judged, examined, address.address):
                said.setdefault(reason, []).append(address.address)
    for reason, addresses in said.items():
        where = ", ".join(dict.fromkeys(addresses))
        evidence = _evidence(reason, examined, addresses[0])
        yield note(
            reason,
            host,
            f"{where}; {evidence}" if evidence else where,
            severity=_severity(reason, addresses, judgements),
        )


def _reasons_of(judged: Judged, examined: Examination, address: str) -> Iterator[Reason]:
    """Yield the reason of a judgement, and what fails beside it (C19, case 80)."""
    if judged.reason is None or judged.reason is Reason.HOST_NOT_MEASURED:
        return
    if judged.outcome is HostOutcome.OPPORTUNISTIC_CLEAR:
        yield judged.reason
    if judged.outcome in (HostOutcome.FAILED, HostOutcome.UNREACHABLE):
        yield judged.reason
    if judged.outcome is HostOutcome.FAILED and examined.need is Need.AUTHENTICATION:
        for probe in examined.probes:
            if probe.probe.address == address and probe.any_record is not None:
                yield from probe.any_record.errors


def _severity(reason: Reason, addresses: Sequence[str], judgements: _Judgements) -> Severity | None:
    """Return a milder severity where the address delivers all the same."""
    delivers = all(
        address.judged.outcome in DELIVERABLE
        for _, judgement in judgements
        for address in judgement.addresses
        if address.address in addresses and address.judged.reason is reason
    )
    return Severity.WARNING if delivers else None


def _evidence(reason: Reason, examined: Examination, address: str) -> str:
    """Return the facts behind a reason at one address: hashes, dates, names, the reply."""
    probe = next((one for one in examined.probes if one.probe.address == address), None)
    if probe is None:
        return ""
    if not probe.probe.chain:
        return (probe_detail(probe.probe) or "").removeprefix(f"{address}: ")
    leaf = read_certificate(probe.probe.chain[0])
    match reason:
        case Reason.CERTIFICATE_EXPIRED | Reason.CERTIFICATE_NOT_YET_VALID:
            return _validity(probe)
        case Reason.TLS_VERSION_TOO_OLD:
            return str(probe.probe.tls_version)
        case Reason.CERTIFICATE_NAME_MISMATCH:
            return f"the certificate names {', '.join(leaf.names[:3]) or 'nobody'}"
        case _:
            records = [shown(record) for record in examined.tlsa.usable[:MAX_RECORDS_SHOWN]]
            seen = f"seen: SPKI SHA-256 {leaf.spki_sha256}, certificate SHA-256 {leaf.sha256}"
            return f"published: {'; '.join(records)}; {seen}" if records else seen


def _validity(probe: ExaminedProbe) -> str:
    chain = [read_certificate(item) for item in probe.probe.chain[:MAX_CERTIFICATES_QUOTED]]
    return "; ".join(
        f"{item.subject or item.sha256}: valid {_day(item.not_before)} to {_day(item.not_after)}"
        for item in chain
    )


def _about_consistency(host: str, judgements: _Judgements) -> Iterator[Finding]:
    """Yield a finding when the addresses of a host differ (C29), as severe as the worst one."""
    for profile, judgement in judgements:
        outcomes = {
            address.address: address.judged.outcome
            for address in judgement.addresses
            if address.judged.outcome is not HostOutcome.INCONCLUSIVE
        }
        distinct = set(outcomes.values())
        if len(distinct) < 2:
            continue
        fails = HostOutcome.FAILED in distinct
        texts = ", ".join(f"{address} {outcome}" for address, outcome in outcomes.items())
        yield note(
            Reason.ADDRESSES_INCONSISTENT,
            host,
            f"under {profile}: {texts}",
            severity=Severity.ERROR if fails else Severity.WARNING,
        )


def _about_matching(host: str, examined: Examination) -> Iterator[Finding]:
    """Yield which records match nothing while others do, and what depends on the sender."""
    # Records for the certificates of both algorithms are no rollover, and neither is stale.
    matched = {record for probe in examined.probes for record in probe.matching_records()}
    if not matched:
        return
    usable = examined.tlsa.usable
    for record in usable:
        if record not in matched:
            yield note(Reason.TLSA_UNMATCHED_RECORD, host, shown(record))
    for parameters in unmatched_parameters(usable, matched):
        text = " ".join(str(part) for part in parameters)
        yield note(Reason.TLSA_PARAMETERS_UNMATCHED, host, f"{text} has no matching record")
    for probe in examined.probes:
        yield from _about_agility(host, probe, usable)


def _about_agility(
    host: str, probe: ExaminedProbe, usable: Sequence[TlsaRecord]
) -> Iterator[Finding]:
    if probe.agile is None or probe.any_record is None:
        return
    if probe.agile.matched == probe.any_record.matched:
        return
    strongest = "; ".join(shown(record) for record in after_agility(usable)[:MAX_RECORDS_SHOWN])
    yield note(
        Reason.AGILITY_RISK,
        host,
        f"{probe.probe.address}: no match among the strongest digests: {strongest}",
    )


def _about_probe(
    host: str, examined: ExaminedProbe, need: Need, *, policy: Policy, now: datetime
) -> Iterator[Finding]:
    """Yield what one address shows about TLS and certificates, beside the decision."""
    probe = examined.probe
    if probe.error is ProbeError.NOT_CONTACTED:
        yield note(Reason.SPECIAL_PURPOSE_ADDRESS, host, probe.detail or probe.address)
    if probe.early_plaintext:
        yield note(Reason.PLAINTEXT_AFTER_STARTTLS, host, probe.address)
    if probe.tls_version is not None and probe.tls_version not in MODERN_TLS:
        yield note(Reason.TLS_OLD_VERSION, host, f"{probe.address}: {probe.tls_version}")
    yield from _about_chain(host, examined, need, where=probe.address, policy=policy, now=now)


def _about_chain(
    host: str, examined: ExaminedProbe, need: Need, *, where: str, policy: Policy, now: datetime
) -> Iterator[Finding]:
    """Yield what one chain shows beside the decision; ``where`` names address and algorithm."""
    probe = examined.probe
    if not probe.chain:
        return
    if len(probe.chain) > policy.max_chain_certificates:
        yield note(Reason.CHAIN_TOO_LONG, host, f"{where}: {len(probe.chain)} sent")
    leaf = read_certificate(probe.chain[0])
    yield from _about_key(host, where, leaf)
    found = examined.any_record
    if found is not None and need is Need.AUTHENTICATION:
        yield from _about_match(host, examined, found, leaf, where=where, policy=policy, now=now)


def _about_key(host: str, address: str, leaf: CertificateFacts) -> Iterator[Finding]:
    if leaf.problem is not None:
        yield note(
            Reason.CERTIFICATE_UNREADABLE,
            host,
            f"{address}: {leaf.problem}",
            severity=Severity.WARNING,
        )
    spki = spki_of(leaf.der)
    if spki is not None and is_weak_key(spki):
        yield note(Reason.WEAK_KEY, host, f"{address}: {leaf.key_type} {leaf.key_bits} bits")


def _about_match(
    host: str,
    examined: ExaminedProbe,
    found: Match,
    leaf: CertificateFacts,
    *,
    where: str,
    policy: Policy,
    now: datetime,
) -> Iterator[Finding]:
    for reason in found.notes:
        if reason is Reason.TRUST_ANCHOR_NOT_SENT:
            yield note(reason, host, where)
        elif reason is Reason.SENDER_DEPENDENT:
            yield note(
                reason,
                host,
                f"{where}: senders differ in the chains they build; a record 3 1 1 avoids that",
            )
    if not found.matched:
        return
    undated = leaf.problem is None and (leaf.not_before is None or leaf.not_after is None)
    outside = found.leaf_expired or found.leaf_not_yet_valid or undated
    if outside and found.usage == USAGE_DANE_EE:
        yield note(
            Reason.CERTIFICATE_EXPIRY_IGNORED,
            host,
            f"{where}: valid {_day(leaf.not_before)} to {_day(leaf.not_after)}",
        )
        return
    ends = _earliest_end(examined, found, leaf)
    if ends is not None and now <= ends and ends - now <= policy.expiry_warning:
        matters = "for every sender" if found.usage == USAGE_DANE_TA else "for Exchange Online"
        yield note(
            Reason.CERTIFICATE_EXPIRES_SOON,
            host,
            f"{where}: ends at {ends:%Y-%m-%d %H:%M} UTC, and that matters {matters}",
        )


def _earliest_end(examined: ExaminedProbe, found: Match, leaf: CertificateFacts) -> datetime | None:
    """Return when the first certificate that matters ends: the leaf, and the path of usage 2."""
    chain = [read_certificate(item) for item in examined.probe.chain]
    ends = [item.not_after for item in chain if item.sha256 in found.path_sha256]
    return min((end for end in (*ends, leaf.not_after) if end is not None), default=None)


def shown(record: TlsaRecord) -> str:
    """Return a record for a message, long data shortened."""
    text = presentation(record)
    return text if len(text) <= 140 else text[:139] + "…"


def _day(moment: datetime | None) -> str:
    return "an unreadable date" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
