"""The check document: exact shape, valid against its schema, the same bytes each time."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sample_checks
from jsonschema import Draft202012Validator

from exporters.document import (
    address_status,
    check_document,
    deciding_tlsa,
    load_schema,
    time_text,
    to_json_line,
)
from exporters.jsonl import JsonlSink
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import (
    ExtendedError,
    HostAddress,
    MxKind,
    ProbeTimings,
    TlsaCandidate,
    TlsaRecord,
)
from scanner.model.reasons import Reason
from scanner.model.verdict import Check
from scanner.model.vocabulary import (
    DnssecStatus,
    DomainVerdict,
    Family,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
    Severity,
)
from scanner.model.zones import ZoneNote

SAMPLES = [pytest.param(make(), id=name) for name, make in sample_checks.ALL.items()]


def document(check: Check) -> dict[str, Any]:
    """Return the document as a reader gets it."""
    loaded: dict[str, Any] = json.loads(to_json_line(check))
    return loaded


def with_mx(check: Check, **changes: Any) -> Check:
    """Return ``check`` with another MX lookup."""
    route = check.observation.route
    changed = replace(route, mx=replace(route.mx, **changes))
    return replace(check, observation=replace(check.observation, route=changed))


@pytest.mark.parametrize("check", SAMPLES)
def test_every_document_is_valid(check: Check) -> None:
    """Against the schema that is shipped, formats included."""
    validator = Draft202012Validator(
        load_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.message for error in validator.iter_errors(document(check))] == []


def test_the_schema_is_itself_valid_and_refuses_what_is_wrong() -> None:
    """A schema that accepts everything proves nothing."""
    Draft202012Validator.check_schema(load_schema())
    good = document(sample_checks.mismatch())
    for path, value in [
        (("checked_at",), "2026-11-24T12:00:00+01:00"),
        (("verdicts", "rfc7672", "verdict"), "fine"),
        (("hosts", 0, "tlsa", 0, "data"), "ABC"),
        (("dnssec", "status"), "ok"),
        (("duration_ms",), -1),
    ]:
        changed = json.loads(json.dumps(good))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert not Draft202012Validator(load_schema()).is_valid(changed), path
    del good["vantage"]
    assert not Draft202012Validator(load_schema()).is_valid(good)


def keys_in(value: Any) -> Iterator[str]:
    """Yield every key of a document, except those that are profiles."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in {profile.value for profile in Profile}:
                yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def schema_keys(value: Any) -> Iterator[str]:
    """Yield every property name of a schema."""
    if isinstance(value, Mapping):
        properties = value.get("properties", {})
        yield from properties if isinstance(properties, Mapping) else ()
        for inner in value.values():
            yield from schema_keys(inner)


@pytest.mark.parametrize("check", SAMPLES)
def test_a_document_has_no_key_the_schema_does_not_explain(check: Check) -> None:
    """Readers may meet new keys, but never undocumented ones."""
    assert set(keys_in(document(check))) <= set(schema_keys(load_schema()))


def test_the_top_of_the_document_is_as_the_contract_spells_it() -> None:
    """Names that scripts rely on."""
    made = document(sample_checks.mismatch())
    assert made["schema"] == "danewatch.check/1"
    assert made["domain"] == "example.org"
    assert made["checked_at"] == "2026-11-24T12:00:00.000000Z"
    assert made["duration_ms"] == 812
    assert made["mx"]["status"] == "secure"
    assert made["mx"]["outcome"] == "data"
    assert made["mx"]["implicit"] is False
    verdict = made["verdicts"]["exchange-online"]
    assert {key: verdict[key] for key in ("verdict", "phase", "reason", "result_type")} == {
        "verdict": "blocked",
        "phase": "deferring",
        "reason": "tlsa-mismatch",
        "result_type": "tlsa-invalid",
    }
    assert (verdict["code"], verdict["cause_code"], verdict["final_code"]) == (
        "4.7.323",
        "4.7.323",
        "5.7.323",
    )
    assert made["verdicts"]["rfc7672"]["code"] is None
    findings = sample_checks.mismatch().judgement.findings
    assert findings
    assert made["findings"] == [
        {
            "code": finding.code.value,
            "severity": finding.severity.value,
            "where": finding.where,
            "message": finding.message,
        }
        for finding in findings
    ]


def test_a_host_shows_its_records_addresses_and_certificate() -> None:
    """Evidence and opinion side by side."""
    host = document(sample_checks.mismatch())["hosts"][0]
    assert (host["host"], host["preference"], host["aliases"]) == ("mx1.example.org", 10, [])
    assert host["tlsa_base"] == "mx1.example.org"
    assert host["tlsa"] == [
        {
            "usage": 3,
            "selector": 1,
            "matching_type": 1,
            "data": sample_checks.PUBLISHED,
            "usable": True,
            "unusable_reason": None,
            "matched": False,
        }
    ]
    assert host["outcomes"]["exchange-online"]["outcome"] == "failed"
    address = host["addresses"][0]
    assert (address["address"], address["outcome"]) == ("192.0.2.25", "failed")
    assert (address["starttls"], address["tls_version"]) == (True, "TLSv1.3")
    assert address["certificate"]["spki_sha256"] == sample_checks.SEEN
    assert address["certificate"]["not_after"] == "2027-09-25T12:00:00.000000Z"
    assert address["chain_sha256"] == [address["certificate"]["sha256"]]
    assert address["transcript"] == ["220 mx1.example.org ESMTP"]


def test_the_certificate_of_the_other_algorithm_stands_beside_the_first() -> None:
    """Its hashes, and what a sender meets that is shown it; without one there is none (C30)."""
    made = document(sample_checks.two_certificates())
    assert Draft202012Validator(load_schema()).is_valid(made)
    address = made["hosts"][0]["addresses"][0]
    other = sample_checks.two_certificates().judgement.hosts[0].addresses[0].other_chain[0]
    assert (address["outcome"], address["other_outcome"]) == ("authenticated", "failed")
    assert address["other_algorithm"] == "shown"
    assert address["other_chain_sha256"] == [other.sha256]
    plain = document(sample_checks.protected())["hosts"][0]["addresses"][0]
    assert plain["other_algorithm"] == "not-asked"
    assert (plain["other_outcome"], plain["other_chain_sha256"]) == (None, [])


def test_the_outcome_of_an_address_is_that_of_the_chosen_profile() -> None:
    """Both stand in ``outcomes`` in any case."""
    check = sample_checks.expired()
    strict: Any = check_document(check)
    lenient: Any = check_document(check, profile=Profile.RFC7672)
    assert strict["hosts"][0]["addresses"][0]["outcome"] == HostOutcome.FAILED
    assert lenient["hosts"][0]["addresses"][0]["outcome"] == HostOutcome.AUTHENTICATED
    assert (
        strict["hosts"][0]["addresses"][0]["outcomes"]
        == lenient["hosts"][0]["addresses"][0]["outcomes"]
    )


def test_dnssec_tells_status_reason_and_extended_error() -> None:
    """The first extended error is the one that is shown; no text is null."""
    made = document(sample_checks.bogus())["dnssec"]
    assert made == {
        "status": "bogus",
        "zone": None,
        "reason": "mx-dnssec-bogus",
        "ede": {"code": 7, "text": "signature expired on 20261120000000"},
        "signature_expires_at": None,
    }
    silent = with_mx(sample_checks.bogus(), extended_errors=(ExtendedError(code=6),))
    assert document(silent)["dnssec"]["ede"] == {"code": 6, "text": None}


def test_what_was_not_measured_is_null() -> None:
    """A resolver that did not answer gave no status."""
    made = document(sample_checks.inconclusive())
    assert made["mx"]["status"] is None
    assert made["dnssec"]["status"] is None
    assert made["dnssec"]["reason"] is None
    assert "no resolver answered" in made["mx"]["detail"]


def test_a_signature_expiry_is_a_time() -> None:
    """Foresight for whoever reads only the document."""
    check = with_mx(
        sample_checks.protected(), signature_expires_at=datetime(2026, 12, 1, 1, 2, 3, 4, UTC)
    )
    assert document(check)["dnssec"]["signature_expires_at"] == "2026-12-01T01:02:03.000004Z"


def test_an_address_that_was_not_probed_has_no_facts() -> None:
    """It is listed all the same."""
    check = sample_checks.protected()
    host = check.observation.hosts[1]
    spare = HostAddress(address="198.51.100.7", family=Family.IPV4, status=DnssecStatus.INSECURE)
    route = replace(host.route, addresses=(*host.route.addresses, spare))
    changed = replace(
        check,
        observation=replace(
            check.observation,
            hosts=(check.observation.hosts[0], replace(host, route=route)),
        ),
    )
    row = document(changed)["hosts"][1]["addresses"][1]
    assert (row["address"], row["status"], row["outcome"]) == ("198.51.100.7", "insecure", None)
    assert (row["stage"], row["certificate"], row["chain_sha256"], row["transcript"]) == (
        None,
        None,
        [],
        [],
    )
    assert Draft202012Validator(load_schema()).is_valid(document(changed))


def test_an_address_that_needed_no_connection_is_valid() -> None:
    """Left alone, or found closed just before under another host name: no connection was made."""
    check = sample_checks.protected()
    host = check.observation.hosts[0]
    unused = tuple(replace(probe, attempts=0) for probe in host.addresses)
    hosts = (replace(host, addresses=unused), *check.observation.hosts[1:])
    made = document(replace(check, observation=replace(check.observation, hosts=hosts)))
    assert made["hosts"][0]["addresses"][0]["attempts"] == 0
    assert Draft202012Validator(load_schema()).is_valid(made)


def test_a_host_that_was_only_judged_is_listed() -> None:
    """Hosts beyond our own deadline are not measured, and not hidden either."""
    check = sample_checks.protected()
    first_only = replace(
        check,
        observation=replace(check.observation, hosts=check.observation.hosts[:1]),
        judgement=replace(check.judgement, hosts=check.judgement.hosts[:1]),
    )
    made = document(first_only)
    assert [host["host"] for host in made["hosts"]] == ["mx1.example.org", "mx2.example.org"]
    assert (made["hosts"][1]["preference"], made["hosts"][1]["addresses"]) == (20, [])
    assert Draft202012Validator(load_schema()).is_valid(made)


def test_a_short_record_keeps_its_missing_fields_null() -> None:
    """RDATA of two octets still announces DANE."""
    check = sample_checks.mismatch()
    short = TlsaRecord(usage=3, selector=1, matching_type=None, data=b"")
    facts = replace(
        check.judgement.hosts[0],
        tlsa=(sample_checks.judged_record(short, matched=None, unusable=Reason.TLSA_TOO_SHORT),),
    )
    changed = replace(check, judgement=replace(check.judgement, hosts=(facts,)))
    row = document(changed)["hosts"][0]["tlsa"][0]
    assert (row["matching_type"], row["data"], row["unusable_reason"], row["matched"]) == (
        None,
        "",
        "tlsa-too-short",
        None,
    )


def test_implicit_mx_is_told() -> None:
    """The domain itself is the mail host."""
    check = sample_checks.protected()
    route = replace(check.observation.route, kind=MxKind.IMPLICIT)
    changed = replace(check, observation=replace(check.observation, route=route))
    assert document(changed)["mx"]["implicit"] is True


def test_timings_and_probe_id_of_a_probe() -> None:
    """The identifier joins the document with the history."""
    check = sample_checks.mismatch()
    host = check.observation.hosts[0]
    probe = replace(
        host.addresses[0], probe_id="probe-1", timings=ProbeTimings(connect_ms=3, total_ms=90)
    )
    changed = replace(
        check,
        observation=replace(check.observation, hosts=(replace(host, addresses=(probe,)),)),
    )
    row = document(changed)["hosts"][0]["addresses"][0]
    assert row["host_check_id"] == "probe-1"
    assert row["timings"]["connect_ms"] == 3
    assert row["timings"]["greeting_ms"] is None


def test_the_weakest_measured_address_status_is_shown() -> None:
    """A lookup that failed without a status does not count."""
    route = sample_checks.host("mx.example.org").route
    assert address_status(route) is None
    secure = sample_checks.lookup("mx.example.org", RRType.A)
    timeout = sample_checks.lookup(
        "mx.example.org", RRType.AAAA, LookupOutcome.TIMEOUT, status=None
    )
    assert address_status(replace(route, ipv4=secure, ipv6=timeout)) is DnssecStatus.SECURE
    bogus = replace(timeout, status=DnssecStatus.BOGUS)
    assert address_status(replace(route, ipv4=secure, ipv6=bogus)) is DnssecStatus.BOGUS


def test_the_tlsa_lookup_that_decided_is_the_one_used_else_the_failed_else_the_last() -> None:
    """RFC 7672 §2.2.2: the expanded name first, then the original."""

    def candidate(name: str, outcome: LookupOutcome) -> TlsaCandidate:
        return TlsaCandidate(
            base=Name(name),
            lookup=sample_checks.lookup(f"_25._tcp.{name}", RRType.TLSA, outcome),
        )

    route = sample_checks.host("mx.example.org").route
    none = candidate("target.example", LookupOutcome.NODATA)
    used = candidate("mx.example.org", LookupOutcome.DATA)
    failed = candidate("mx.example.org", LookupOutcome.SERVFAIL)
    absent = candidate("mx.example.org", LookupOutcome.NXDOMAIN)
    assert deciding_tlsa(route) is None
    assert deciding_tlsa(replace(route, candidates=(none, used))) is used
    assert deciding_tlsa(replace(route, candidates=(none, failed))) is failed
    assert deciding_tlsa(replace(route, candidates=(none, absent))) is absent


def test_the_failed_lookup_of_a_host_is_told() -> None:
    """Which question, how it ended, what the resolver said."""
    failed = sample_checks.lookup(
        "_25._tcp.mx.example.org", RRType.TLSA, LookupOutcome.SERVFAIL, extended=[(12, "")]
    )
    host = sample_checks.host("mx.example.org", failed_lookup=failed)
    check = sample_checks.check("example.org", [host], sample_checks.both(DomainVerdict.DEFERRED))
    assert document(check)["hosts"][0]["failed_lookup"] == {
        "name": "_25._tcp.mx.example.org",
        "type": "TLSA",
        "status": "secure",
        "outcome": "servfail",
        "ede": {"code": 12, "text": None},
        "detail": None,
    }


def test_a_line_is_ascii_and_one_line_whatever_a_peer_says() -> None:
    """Line separators, terminal controls and unpaired surrogates are escaped."""
    nasty = "a\u2028b\x1b[31m\ud800\nc"
    check = with_mx(sample_checks.protected(), detail=nasty)
    line = to_json_line(check)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["mx"]["detail"] == nasty


def test_the_same_check_gives_the_same_line() -> None:
    """Byte for byte."""
    assert to_json_line(sample_checks.degraded()) == to_json_line(sample_checks.degraded())


def test_times_are_utc_with_microseconds_and_four_digit_years() -> None:
    """RFC 3339; certificates do claim strange years."""
    assert time_text(None) is None
    east = timezone(timedelta(hours=2))
    assert time_text(datetime(2026, 1, 1, 1, 0, tzinfo=east)) == "2025-12-31T23:00:00.000000Z"
    assert time_text(datetime(1, 2, 3, tzinfo=UTC)) == "0001-02-03T00:00:00.000000Z"
    assert time_text(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == (
        "9999-12-31T23:59:59.000000Z"
    )


def test_the_sink_writes_one_line_for_each_check_and_leaves_the_stream_open() -> None:
    """Standard output belongs to the command."""
    stream = io.StringIO()
    sink = JsonlSink(stream, profile=Profile.RFC7672)
    sink.write([sample_checks.expired(), sample_checks.bogus()])
    sink.write([])
    sink.close()
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["domain"] for line in lines] == ["expired.example", "bogus.example"]
    assert json.loads(lines[0])["hosts"][0]["addresses"][0]["outcome"] == "authenticated"
    assert not stream.closed


def test_the_sink_reports_a_stream_that_breaks() -> None:
    """A full disk or a closed pipe is the caller's to handle."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError("reader went away")

    with pytest.raises(BrokenPipeError):
        JsonlSink(Broken()).write([sample_checks.bogus()])


def test_zones_and_the_chain_of_the_mx_answer_are_told() -> None:
    """Where we validate ourselves."""
    note = ZoneNote(reason=DnssecReason.KEY_UNUSED, severity=Severity.WARNING, message="one.")
    broken = sample_checks.zone(
        "example.org", DnssecStatus.BOGUS, reason=DnssecReason.DS_NO_KEY, notes=[note]
    )
    check = sample_checks.zoned(sample_checks.bogus(), sample_checks.zone("."), broken)
    shown = document(check)
    Draft202012Validator(load_schema()).validate(shown)
    dnssec = shown["dnssec"]
    assert (dnssec["zone"], dnssec["reason"]) == ("example.org", "ds-no-key")
    zones = shown["zones"]
    assert [zone["zone"] for zone in zones] == [".", "example.org"]
    assert (zones[1]["status"], zones[1]["reason"], zones[1]["ede_code"]) == (
        "bogus",
        "ds-no-key",
        9,
    )
    assert zones[1]["dnskeys"] == [{"key_tag": 4711, "algorithm": 13, "flags": 257, "bits": 256}]
    assert zones[1]["signature_expiration"] == "2026-12-03T12:00:00.000000Z"
    assert zones[1]["findings"] == [
        {"code": "key-unused", "severity": "warning", "message": "one."}
    ]
