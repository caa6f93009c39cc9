"""From checks, transitions and runs to rows: plain dicts in the shape of ``exporters.schema``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from exporters.schema import SCHEMA_VERSION, profile_prefix
from scanner.model.hostview import host_observed_at
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostObservation
from scanner.model.transition import Transition
from scanner.model.verdict import (
    AddressFacts,
    CertificateFacts,
    Check,
    HostFacts,
    HostJudgement,
    ProfileVerdict,
)
from scanner.model.vocabulary import Profile
from scanner.model.zones import ZoneObservation

Row = dict[str, Any]


class RunOutcome(StrEnum):
    """How a run, or one part of a resumed run, ended; of the service also that it began."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    BLIND = "blind"
    STARTED = "started"
    STOPPED = "stopped"


SERVICE_OUTCOMES = frozenset({RunOutcome.STARTED, RunOutcome.STOPPED})
"""Those of the service, which has no list to complete."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What is true of a whole run. ``shard`` is ``i/N``; None when one scanner has all targets."""

    run_id: str
    scanner_id: str
    started_at: datetime | None = None
    version: str | None = None
    configuration_sha256: str | None = None
    profile: Profile = Profile.EXCHANGE_ONLINE
    resolvers: tuple[str, ...] = ()
    shard: str | None = None

    @property
    def common(self) -> Row:
        """The columns every row begins with."""
        return {
            "run_id": self.run_id,
            "scanner_id": self.scanner_id,
            "schema_version": SCHEMA_VERSION,
        }


def domain_row(check: Check, run: RunFacts) -> Row:
    """Return the row of ``domain_checks``, without ``changed``."""
    observation = check.observation
    mx = observation.route.mx
    row = run.common | {
        "domain": check.domain,
        "observed_at": observation.observed_at,
        "duration_ms": observation.duration_ms,
        "mx_status": mx.status,
        "mx_outcome": mx.outcome,
        "mx_kind": observation.route.kind,
        "next_hop": observation.route.expanded,
        "ede_code": mx.extended_errors[0].code if mx.extended_errors else None,
        "resolver": mx.resolver,
        "signature_expires_at": mx.signature_expires_at,
        "incomplete": clean(observation.incomplete),
        "hosts": list(_host_entries(check)),
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "where": clean(finding.where),
                "message": clean(finding.message),
            }
            for finding in check.judgement.findings
        ],
    }
    for verdict in check.judgement.verdicts:
        row |= _verdict_columns(verdict)
    return row


def _verdict_columns(verdict: ProfileVerdict) -> Row:
    prefix = profile_prefix(verdict.profile)
    return {
        f"{prefix}_verdict": verdict.verdict,
        f"{prefix}_phase": verdict.phase,
        f"{prefix}_reason": verdict.reason,
        f"{prefix}_result_type": verdict.result_type,
        f"{prefix}_code": verdict.code,
        f"{prefix}_cause_code": verdict.cause_code,
        f"{prefix}_final_code": verdict.final_code,
    }


def _host_entries(check: Check) -> Iterator[Row]:
    """Yield one member of ``hosts`` for each MX host, observed or only judged, in order."""
    observed = {host.route.host: host for host in check.observation.hosts}
    judged: dict[Name, dict[Profile, HostJudgement]] = {name: {} for name in observed}
    for verdict in check.judgement.verdicts:
        for judgement in verdict.hosts:
            judged.setdefault(judgement.host, {})[verdict.profile] = judgement
    for name, judgements in judged.items():
        host = observed.get(name)
        yield _host_entry(check, name, host, judgements)


def _host_entry(
    check: Check,
    name: Name,
    host: HostObservation | None,
    judgements: Mapping[Profile, HostJudgement],
) -> Row:
    when = check.observation.observed_at
    probes = () if host is None else host.addresses
    preferences = [judgement.preference for judgement in judgements.values()]
    entry: Row = {
        "host": name,
        "preference": preferences[0] if host is None else host.preference,
        "observed_at": when if host is None else host_observed_at(host, when),
        "host_check_ids": [probe.probe_id for probe in probes if probe.probe_id],
        "applicability": None if host is None else host.route.applicability,
        "tlsa_base": None if host is None else host.route.tlsa_base,
    }
    for profile, judgement in judgements.items():
        prefix = profile_prefix(profile)
        entry[f"{prefix}_outcome"] = judgement.judged.outcome
        entry[f"{prefix}_reason"] = judgement.judged.reason
        entry[f"{prefix}_code"] = judgement.judged.code
    return entry


def probes_of(
    check: Check,
) -> Iterator[tuple[HostObservation, AddressObservation, HostFacts | None]]:
    """Yield every probe of ``check`` with its host and what was read there."""
    facts = {one.host: one for one in check.judgement.hosts}
    for host in check.observation.hosts:
        for probe in host.addresses:
            yield host, probe, facts.get(host.route.host)


def certificates_at(facts: HostFacts | None, address: str) -> AddressFacts:
    """Return the certificates seen at ``address``, in both chains the server's own first."""
    addresses: tuple[AddressFacts, ...] = () if facts is None else facts.addresses
    nothing = AddressFacts(address=address)
    return next((one for one in addresses if one.address == address), nothing)


def probe_row(
    host: HostObservation, probe: AddressObservation, facts: HostFacts | None, run: RunFacts
) -> Row:
    """Return the row of ``host_checks``."""
    seen = certificates_at(facts, probe.address)
    chain = seen.chain
    leaf = chain[0] if chain else None
    timings = probe.timings
    return run.common | {
        "host_check_id": probe.probe_id or None,
        "host": probe.host,
        "address": probe.address,
        "family": probe.family,
        "observed_at": probe.observed_at,
        "sni": probe.sni,
        "tlsa_base": host.route.tlsa_base,
        "tlsa": [] if facts is None else list(_tlsa_entries(facts)),
        "stage": probe.stage,
        "error": probe.error,
        "detail": clean(probe.detail),
        "reply_code": probe.reply_code,
        "reply_text": clean(probe.reply_text),
        "starttls_offered": probe.starttls_offered,
        "helo_fallback": probe.helo_fallback,
        "early_plaintext": probe.early_plaintext,
        "tls_version": probe.tls_version,
        "cipher": probe.cipher,
        "key_exchange_group": probe.key_exchange_group,
        "leaf_sha256": leaf.sha256 if leaf else None,
        "leaf_spki_sha256": leaf.spki_sha256 if leaf else None,
        "chain_sha256": [certificate.sha256 for certificate in chain],
        "other_algorithm": probe.other_algorithm,
        "other_chain_sha256": [certificate.sha256 for certificate in seen.other_chain],
        "not_before": leaf.not_before if leaf else None,
        "not_after": leaf.not_after if leaf else None,
        "transcript": [clean(line) for line in probe.transcript],
        "attempts": probe.attempts,
        "connect_ms": timings.connect_ms,
        "greeting_ms": timings.greeting_ms,
        "ehlo_ms": timings.ehlo_ms,
        "starttls_ms": timings.starttls_ms,
        "handshake_ms": timings.handshake_ms,
        "total_ms": timings.total_ms,
    }


def _tlsa_entries(facts: HostFacts) -> Iterator[Row]:
    for judgement in facts.tlsa:
        yield {
            "usage": judgement.record.usage,
            "selector": judgement.record.selector,
            "matching_type": judgement.record.matching_type,
            "data": judgement.record.data.hex(),
            "usable": judgement.usable,
            "unusable_reason": judgement.unusable_reason,
            "matched": judgement.matched,
        }


def zone_row(zone: ZoneObservation, run: RunFacts) -> Row:
    """Return the row of ``zone_checks``."""
    return run.common | {
        "dns_zone": zone.zone,
        "observed_at": zone.observed_at,
        "parent": zone.parent,
        "status": zone.status,
        "reason": zone.reason,
        "ede_code": zone.ede_code,
        "ds": [
            {"key_tag": ds.key_tag, "algorithm": ds.algorithm, "digest_type": ds.digest_type}
            for ds in zone.ds
        ],
        "dnskeys": [
            {
                "key_tag": key.key_tag,
                "algorithm": key.algorithm,
                "flags": key.flags,
                "bits": key.bits,
            }
            for key in zone.dnskeys
        ],
        "signature_inception": zone.signature_inception,
        "signature_expiration": zone.signature_expiration,
        "findings": [
            {"code": note.reason, "severity": note.severity, "message": clean(note.message)}
            for note in zone.notes
        ],
    }


def certificate_row(certificate: CertificateFacts, first_seen_at: datetime, run: RunFacts) -> Row:
    """Return the row of ``certificates``."""
    return run.common | {
        "sha256": certificate.sha256,
        "spki_sha256": certificate.spki_sha256,
        "subject": clean(certificate.subject),
        "issuer": clean(certificate.issuer),
        "serial": certificate.serial,
        "names": [clean(name) for name in certificate.names],
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "key_type": certificate.key_type,
        "key_bits": certificate.key_bits,
        "signature_algorithm": certificate.signature_algorithm,
        "is_ca": certificate.is_ca,
        "problem": clean(certificate.problem),
        "der": certificate.der,
        "first_seen_at": first_seen_at,
    }


def transition_row(transition: Transition, run: RunFacts) -> Row:
    """Return the row of ``transitions``."""
    return run.common | {
        "event_id": transition.event_id,
        "observed_at": transition.observed_at,
        "entity_type": transition.entity_type,
        "entity": transition.entity,
        "profile": transition.profile,
        "from_status": transition.from_status,
        "to_status": transition.to_status,
        "from_reason": transition.from_reason,
        "to_reason": transition.to_reason,
        "from_phase": transition.from_phase,
        "to_phase": transition.to_phase,
        "code": transition.code,
        "since": transition.since,
        "failing_since": transition.failing_since,
        "began_at": transition.began_at,
        "bounces_from": transition.bounces_from,
        "evidence": _pairs(transition.evidence),
        "labels": _pairs(transition.labels),
    }


def run_row(
    run: RunFacts,
    outcome: RunOutcome,
    *,
    started_at: datetime,
    ended_at: datetime | None = None,
    detail: str | None = None,
    targets: int | None = None,
    written: Mapping[str, int] | None = None,
    verdicts: Mapping[Profile, Mapping[str, int]] | None = None,
) -> Row:
    """Return the row of ``runs``. ``written`` counts rows by table, ``verdicts`` domains; without
    them, at the start of a service, nothing is counted yet."""
    counts = dict.fromkeys(_COUNTED, None) if written is None else written
    row = run.common | {
        "started_at": started_at,
        "ended_at": ended_at,
        "outcome": outcome,
        "detail": clean(detail),
        "version": run.version,
        "configuration_sha256": run.configuration_sha256,
        "profile": run.profile,
        "resolvers": list(run.resolvers),
        "shard": run.shard,
        "targets": targets,
    }
    row |= {column: counts.get(table, 0) for table, column in _COUNTED.items()}
    for profile, found in (verdicts or {}).items():
        row[f"{profile_prefix(profile)}_verdicts"] = [
            {"verdict": verdict, "domains": count} for verdict, count in sorted(found.items())
        ]
    return row


_COUNTED = {
    "domain_checks": "domains_checked",
    "host_checks": "host_checks",
    "certificates": "certificates_new",
    "transitions": "transitions",
    "zone_checks": "zone_checks",
}
"""Column of ``runs`` that counts the rows of a table."""


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[Row]:
    return [{"key": clean(key), "value": clean(value)} for key, value in pairs]


def clean(text: str | None) -> str | None:
    """Return ``text`` with what UTF-8 cannot hold (unpaired surrogates) replaced."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
