"""The chain of trust of one answer as JSON, schema ``danewatch.dnssec/1``.

Rules as for the check document: what is not known is null, keys are always all there, the same
validation gives the same bytes, keys are only ever added. The JSON Schema beside this file says
what each key means.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from exporters.document import time_text
from scanner.model.dnssec import (
    ChainLink,
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    Ds,
    SignatureCheck,
    Validation,
)
from scanner.model.dnssec_words import algorithm_name, digest_name, dnssec_severity, type_name
from scanner.model.names import ROOT, Name
from scanner.model.observation import (
    AddressRecord,
    CnameRecord,
    MxRecord,
    Record,
    TlsaRecord,
)
from scanner.model.registry_dnssec import dnssec_info

SCHEMA_NAME = "danewatch.dnssec/1"


def dnssec_document(
    validation: Validation,
    *,
    checked_at: datetime,
    forecast: Iterable[DnssecFinding] = (),
) -> dict[str, object]:
    """Return the document of ``validation``: plain dicts, lists, texts, numbers, booleans, None.

    ``checked_at`` is when it was looked at; ``at`` in the document the moment that signatures were
    judged for. ``forecast`` are findings about what is to come.
    """
    findings = dict.fromkeys((*validation.findings, *forecast))
    return {
        "schema": SCHEMA_NAME,
        "name": validation.question.name,
        "type": str(validation.question.rdtype),
        "checked_at": time_text(checked_at),
        "at": time_text(validation.validated_at),
        "status": str(validation.status),
        "outcome": str(validation.outcome),
        "reason": _text(validation.reason),
        "ede": _ede(validation),
        "zone": validation.zone,
        "aliases": [
            {"owner": hop.owner, "target": hop.target, "status": _text(hop.status)}
            for hop in validation.aliases
        ],
        "records": [presentation(record) for record in validation.records],
        "chain": [_link(link) for link in validation.chain],
        "answer": [_rrset(rrset) for rrset in validation.rrsets],
        "findings": [_finding(finding) for finding in findings],
        "signature_expires_at": time_text(validation.signature_expires_at),
        "resolver": validation.resolver,
        "detail": validation.own_fault or validation.detail,
        "own_fault": validation.own_fault is not None,
        "confirmed": validation.confirmed,
    }


def to_json_line(document: Mapping[str, object]) -> str:
    """Return ``document`` as one line of ASCII JSON, without the line end."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


@cache
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document, as shipped."""
    text = resources.files("exporters").joinpath("dnssec.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def presentation(record: Record) -> str:
    """Return the RDATA of ``record`` in presentation form, names absolute."""
    match record:
        case AddressRecord():
            return record.address
        case MxRecord():
            return f"{record.preference} {_absolute(record.exchange)}"
        case CnameRecord():
            return _absolute(record.target)
        case TlsaRecord():
            return _tlsa(record)
        case _:
            return record.text


def _tlsa(record: TlsaRecord) -> str:
    fields = (record.usage, record.selector, record.matching_type)
    if any(field is None for field in fields):
        # RFC 3597 §5: RDATA that does not have the form of its type.
        octets = bytes(field for field in fields if field is not None) + record.data
        return rf"\# {len(octets)} {octets.hex()}".rstrip()
    return f"{record.usage} {record.selector} {record.matching_type} {record.data.hex()}"


def _absolute(name: Name) -> str:
    return name if name == ROOT else f"{name}."


def _ede(validation: Validation) -> dict[str, object] | None:
    """Return our own extended error (RFC 8914), else the first of the resolver's."""
    if validation.ede is not None:
        return {"code": validation.ede, "text": _text(validation.reason)}
    for error in validation.extended_errors:
        return {"code": error.code, "text": error.text or None}
    return None


def _link(link: ChainLink) -> dict[str, object]:
    return {
        "zone": link.zone,
        "kind": str(link.kind),
        "parent": link.parent,
        "status": str(link.status),
        "reason": _text(link.reason),
        "ds": [_ds(ds) for ds in link.ds],
        "dnskey": [_dnskey(key, link) for key in link.dnskeys],
        "rrsig": [_signature(one, rrset) for rrset in link.rrsets for one in rrset.signatures],
    }


def _ds(ds: Ds) -> dict[str, object]:
    return {
        "key_tag": ds.key_tag,
        "algorithm": ds.algorithm,
        "algorithm_name": algorithm_name(ds.algorithm),
        "digest_type": ds.digest_type,
        "digest_name": digest_name(ds.digest_type),
        "digest": ds.digest.hex(),
    }


def _dnskey(key: Dnskey, link: ChainLink) -> dict[str, object]:
    return {
        "key_tag": key.key_tag,
        "algorithm": key.algorithm,
        "algorithm_name": algorithm_name(key.algorithm),
        "flags": key.flags,
        "secure_entry_point": key.is_secure_entry_point,
        "revoked": key.is_revoked,
        "bits": key.bits,
        "public_key": base64.b64encode(key.public_key).decode("ascii"),
        "entry": key.key_tag in link.entry_keys,
    }


def _rrset(rrset: CheckedRRset) -> dict[str, object]:
    return {
        "owner": rrset.owner,
        "type": type_name(rrset.rdtype),
        "zone": rrset.zone,
        "status": str(rrset.status),
        "reason": _text(rrset.reason),
        "wildcard": rrset.wildcard,
        "rrsig": [_signature(one, rrset) for one in rrset.signatures],
    }


def _signature(check: SignatureCheck, rrset: CheckedRRset) -> dict[str, object]:
    rrsig = check.rrsig
    return {
        "owner": rrset.owner,
        "type": type_name(rrsig.type_covered),
        "signer": rrsig.signer,
        "key_tag": rrsig.key_tag,
        "algorithm": rrsig.algorithm,
        "algorithm_name": algorithm_name(rrsig.algorithm),
        "labels": rrsig.labels,
        "original_ttl": rrsig.original_ttl,
        "inception": time_text(check.inception),
        "expiration": time_text(check.expiration),
        "checked": check.checked,
        "valid": check.checked and check.reason is None,
        "reason": _text(check.reason),
    }


def _finding(finding: DnssecFinding) -> dict[str, object]:
    return {
        "code": str(finding.reason),
        "severity": str(dnssec_severity(finding.reason, finding.state)),
        "where": finding.owner,
        "message": finding.message,
        "zone": finding.zone,
        "type": type_name(finding.rdtype),
        "state": _text(finding.state),
        "values": [{"key": key, "value": value} for key, value in finding.values],
        "server": finding.server or None,
        "remedy": dnssec_info(finding.reason).remedy,
    }


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)
