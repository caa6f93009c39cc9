"""The check document: one finished check as JSON, schema ``danewatch.check/1``.

Rules:

- What is not known is null, never an empty text, zero or a guess. Keys are always all there.
- The same check gives the same bytes: fixed key order, hosts in order of attempt, addresses in the
  order they were looked up.
- Keys are added over time, and never renamed, removed or given another meaning. The JSON Schema
  beside this file says what each one means; ``docs/check-document.md`` says it to people.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    HostAddress,
    HostObservation,
    HostRoute,
    Lookup,
    MxKind,
    TlsaCandidate,
    Vantage,
)
from scanner.model.reasons import Reason
from scanner.model.verdict import (
    AddressFacts,
    CertificateFacts,
    Check,
    HostFacts,
    HostJudgement,
    Judged,
    ProfileVerdict,
    TlsaJudgement,
)
from scanner.model.vocabulary import DnssecStatus, Profile
from scanner.model.zones import ZoneObservation

_T = TypeVar("_T")

SCHEMA_NAME = "danewatch.check/1"

_WEAKEST_FIRST = (
    DnssecStatus.BOGUS,
    DnssecStatus.INDETERMINATE,
    DnssecStatus.INSECURE,
    DnssecStatus.SECURE,
)
_DNSSEC_REASONS = {
    DnssecStatus.BOGUS: Reason.MX_DNSSEC_BOGUS,
    DnssecStatus.INDETERMINATE: Reason.MX_DNSSEC_INDETERMINATE,
    DnssecStatus.INSECURE: Reason.DOMAIN_UNSIGNED,
}


def check_document(
    check: Check, *, profile: Profile = Profile.EXCHANGE_ONLINE
) -> dict[str, object]:
    """Return the document of ``check``: plain dicts, lists, texts, numbers, booleans and None.

    ``profile`` is the one whose outcome stands in the single ``outcome`` of an address; both
    profiles are in ``outcomes`` beside it.
    """
    observation, judgement = check.observation, check.judgement
    return {
        "schema": SCHEMA_NAME,
        "domain": check.domain,
        "checked_at": time_text(observation.observed_at),
        "judged_at": time_text(judgement.judged_at),
        "duration_ms": observation.duration_ms,
        "incomplete": observation.incomplete,
        "mx": _mx(check),
        "dnssec": _dnssec(observation.route.mx, observation.vantage),
        "verdicts": {str(verdict.profile): _verdict(verdict) for verdict in judgement.verdicts},
        "zones": [_zone(zone) for zone in observation.zones],
        "hosts": [_host(check, name, profile) for name in _host_names(check)],
        "findings": [
            {
                "code": str(finding.code),
                "severity": str(finding.severity),
                "where": finding.where,
                "message": finding.message,
            }
            for finding in judgement.findings
        ],
        "vantage": _vantage(observation.vantage),
    }


def to_json_line(check: Check, *, profile: Profile = Profile.EXCHANGE_ONLINE) -> str:
    """Return the document as one line of ASCII JSON, without the line end.

    ASCII, because text a peer controls may hold line separators or unpaired surrogates.
    """
    document = check_document(check, profile=profile)
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


@cache
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the check document, as shipped."""
    text = resources.files("exporters").joinpath("check.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def time_text(moment: datetime | None) -> str | None:
    """Return ``moment`` as RFC 3339 in UTC with microseconds and ``Z``; None for None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def address_status(route: HostRoute) -> DnssecStatus | None:
    """Return the weakest measured status of the host's address lookups; None if none was."""
    lookups = (route.ipv4, route.ipv6)
    found = {lookup.status for lookup in lookups if lookup is not None}
    found |= {address.status for address in route.addresses}
    return next((status for status in _WEAKEST_FIRST if status in found), None)


def deciding_tlsa(route: HostRoute) -> TlsaCandidate | None:
    """Return the TLSA lookup that decided: the one used, the one that failed, or the last one."""
    for candidate in route.candidates:
        if candidate.base == route.tlsa_base and candidate.lookup.has_data:
            return candidate
    for candidate in route.candidates:
        if candidate.lookup.is_error:
            return candidate
    return route.candidates[-1] if route.candidates else None


def _mx(check: Check) -> dict[str, object]:
    route = check.observation.route
    return {
        "status": _text(route.mx.status),
        "outcome": str(route.mx.outcome),
        "implicit": route.kind is MxKind.IMPLICIT,
        "kind": str(route.kind),
        "next_hop": route.expanded,
        "records": [
            {"preference": record.preference, "host": record.exchange} for record in route.exchanges
        ],
        "hosts_ignored": route.hosts_ignored,
        "resolver": route.mx.resolver,
        "detail": route.mx.own_fault or route.mx.detail,
    }


def _dnssec(mx: Lookup, vantage: Vantage) -> dict[str, object]:
    status = mx.status
    reason: str | None = mx.dnssec_reason
    if status is DnssecStatus.BOGUS and (mx.own_fault or not vantage.resolver_trusted):
        status = DnssecStatus.INDETERMINATE  # seen with eyes that cannot be trusted
    if reason is None and status is not None:
        reason = _DNSSEC_REASONS.get(status)
    return {
        "status": _text(status),
        "zone": mx.dnssec_zone,
        "reason": _text(reason),
        "ede": _first_extended_error(mx),
        "signature_expires_at": time_text(mx.signature_expires_at),
    }


def _zone(zone: ZoneObservation) -> dict[str, object]:
    return {
        "zone": zone.zone,
        "parent": zone.parent,
        "status": str(zone.status),
        "reason": _text(zone.reason),
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
        "signature_inception": time_text(zone.signature_inception),
        "signature_expiration": time_text(zone.signature_expiration),
        "observed_at": time_text(zone.observed_at),
        "findings": [
            {"code": str(note.reason), "severity": str(note.severity), "message": note.message}
            for note in zone.notes
        ],
    }


def _first_extended_error(lookup: Lookup) -> dict[str, object] | None:
    for error in lookup.extended_errors:
        return {"code": error.code, "text": error.text or None}
    return None


def _verdict(verdict: ProfileVerdict) -> dict[str, object]:
    return {
        "verdict": str(verdict.verdict),
        "phase": str(verdict.phase),
        "reason": _text(verdict.reason),
        "result_type": _text(verdict.result_type),
        "code": verdict.code,
        "cause_code": verdict.cause_code,
        "final_code": verdict.final_code,
        "fault": str(verdict.fault),
        "transient": verdict.transient,
        "headline": verdict.headline,
        "other_scope_verdict": _text(verdict.other_scope_verdict),
    }


def _host_names(check: Check) -> Iterable[Name]:
    """Return each MX host once, in order of attempt, observed or not."""
    names: dict[Name, None] = {}
    for host in check.observation.hosts:
        names[host.route.host] = None
    for verdict in check.judgement.verdicts:
        for judged in verdict.hosts:
            names[judged.host] = None
    return names


def _host(check: Check, name: Name, profile: Profile) -> dict[str, object]:
    observed = _first(one for one in check.observation.hosts if one.route.host == name)
    facts = _first(one for one in check.judgement.hosts if one.host == name)
    judgements = {
        verdict.profile: judged
        for verdict in check.judgement.verdicts
        for judged in verdict.hosts
        if judged.host == name
    }
    preference = observed.preference if observed else next(iter(judgements.values())).preference
    route = None if observed is None else observed.route
    tlsa = None if route is None else deciding_tlsa(route)
    failed = None if route is None else route.failed_lookup
    return {
        "host": name,
        "preference": preference,
        "aliases": [] if route is None else list(route.aliases),
        "applicability": None if route is None else str(route.applicability),
        "target_problem": None if route is None else _text(route.target_problem),
        "tlsa_base": None if route is None else route.tlsa_base,
        "address_status": None if route is None else _text(address_status(route)),
        "tlsa_status": None if tlsa is None else _text(tlsa.lookup.status),
        "tlsa_outcome": None if tlsa is None else str(tlsa.lookup.outcome),
        "failed_lookup": None if failed is None else _failed_lookup(failed),
        "tlsa": [] if facts is None else [_tlsa(judgement) for judgement in facts.tlsa],
        "expected_records": [] if facts is None else list(facts.expected_records),
        "outcomes": {str(one): _judged(judged.judged) for one, judged in judgements.items()},
        "addresses": [] if observed is None else _addresses(observed, facts, judgements, profile),
    }


def _failed_lookup(lookup: Lookup) -> dict[str, object]:
    return {
        "name": lookup.question.name,
        "type": str(lookup.question.rdtype),
        "status": _text(lookup.status),
        "outcome": str(lookup.outcome),
        "ede": _first_extended_error(lookup),
        "detail": lookup.own_fault or lookup.detail,
    }


def _tlsa(judgement: TlsaJudgement) -> dict[str, object]:
    record = judgement.record
    return {
        "usage": record.usage,
        "selector": record.selector,
        "matching_type": record.matching_type,
        "data": record.data.hex(),
        "usable": judgement.usable,
        "unusable_reason": _text(judgement.unusable_reason),
        "matched": judgement.matched,
    }


def _judged(judged: Judged) -> dict[str, object]:
    return {
        "outcome": str(judged.outcome),
        "reason": _text(judged.reason),
        "result_type": _text(judged.result_type),
        "code": judged.code,
        "cause_code": judged.cause_code,
        "transient": judged.transient,
        "detail": judged.detail,
    }


def _addresses(
    observed: HostObservation,
    facts: HostFacts | None,
    judgements: Mapping[Profile, HostJudgement],
    profile: Profile,
) -> list[dict[str, object]]:
    """Return the addresses in the order of lookup; one that was not probed has null facts."""
    probes = {probe.address: probe for probe in observed.addresses}
    looked_up = {address.address: address for address in observed.route.addresses}
    chains = {} if facts is None else {one.address: one for one in facts.addresses}
    rows = []
    for address in dict.fromkeys((*looked_up, *probes)):
        outcomes = {
            str(one): _judged(found.judged)
            for one, judgement in judgements.items()
            for found in judgement.addresses
            if found.address == address
        }
        chosen = outcomes.get(str(profile))
        row: dict[str, object] = {
            "address": address,
            "status": _looked_up_status(looked_up.get(address)),
            "outcome": None if chosen is None else chosen["outcome"],
            "outcomes": outcomes,
        }
        row.update(_probe(probes.get(address)))
        row.update(_certificates(chains.get(address)))
        row["other_outcome"] = _other_outcome(address, judgements.get(profile))
        row["transcript"] = list(probes[address].transcript) if address in probes else []
        rows.append(row)
    return rows


def _other_outcome(address: str, judgement: HostJudgement | None) -> str | None:
    """Return what the certificate of the other algorithm gives under the chosen profile."""
    addresses = () if judgement is None else judgement.addresses
    found = _first(one for one in addresses if one.address == address)
    return None if found is None or found.other is None else str(found.other.outcome)


def _looked_up_status(address: HostAddress | None) -> str | None:
    return None if address is None else _text(address.status)


_NO_PROBE: Mapping[str, object] = dict.fromkeys(
    [
        "host_check_id",
        "observed_at",
        "sni",
        "stage",
        "error",
        "detail",
        "reply_code",
        "reply_text",
        "starttls",
        "helo_fallback",
        "early_plaintext",
        "tls_version",
        "cipher",
        "key_exchange_group",
        "attempts",
        "timings",
        "other_algorithm",
    ]
)


def _probe(probe: AddressObservation | None) -> Mapping[str, object]:
    if probe is None:
        return _NO_PROBE
    timings = probe.timings
    return {
        "host_check_id": probe.probe_id or None,
        "observed_at": time_text(probe.observed_at),
        "sni": probe.sni,
        "stage": str(probe.stage),
        "error": _text(probe.error),
        "detail": probe.detail,
        "reply_code": probe.reply_code,
        "reply_text": probe.reply_text,
        "starttls": probe.starttls_offered,
        "helo_fallback": probe.helo_fallback,
        "early_plaintext": probe.early_plaintext,
        "tls_version": probe.tls_version,
        "cipher": probe.cipher,
        "key_exchange_group": probe.key_exchange_group,
        "attempts": probe.attempts,
        "timings": {
            "connect_ms": timings.connect_ms,
            "greeting_ms": timings.greeting_ms,
            "ehlo_ms": timings.ehlo_ms,
            "starttls_ms": timings.starttls_ms,
            "handshake_ms": timings.handshake_ms,
            "total_ms": timings.total_ms,
        },
        "other_algorithm": str(probe.other_algorithm),
    }


def _certificates(facts: AddressFacts | None) -> dict[str, object]:
    chain = () if facts is None else facts.chain
    other = () if facts is None else facts.other_chain
    return {
        "certificate": _certificate(chain[0]) if chain else None,
        "chain_sha256": [certificate.sha256 for certificate in chain],
        "other_chain_sha256": [certificate.sha256 for certificate in other],
    }


def _certificate(certificate: CertificateFacts) -> dict[str, object]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_before": time_text(certificate.not_before),
        "not_after": time_text(certificate.not_after),
        "sha256": certificate.sha256,
        "spki_sha256": certificate.spki_sha256,
        "names": list(certificate.names),
        "key_type": certificate.key_type,
        "key_bits": certificate.key_bits,
        "signature_algorithm": certificate.signature_algorithm,
        "is_ca": certificate.is_ca,
        "problem": certificate.problem,
    }


def _vantage(vantage: Vantage) -> dict[str, object]:
    return {
        "resolver_up": vantage.resolver_up,
        "resolver_validating": vantage.resolver_validating,
        "egress_ipv4": vantage.egress_ipv4,
        "egress_ipv6": vantage.egress_ipv6,
        "detail": vantage.detail,
    }


def _first(found: Iterator[_T]) -> _T | None:
    return next(found, None)


def _text(value: str | None) -> str | None:
    """Return an enum member as a plain text."""
    return None if value is None else str(value)
