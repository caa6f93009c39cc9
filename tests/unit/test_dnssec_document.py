"""The DNSSEC document: valid by its schema, complete, and the same bytes for the same chain."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
import validations as made
from validations import DAY, NOW

from exporters.dnssec_document import (
    dnssec_document,
    load_schema,
    presentation,
    to_json_line,
)
from scanner.judge.dnssec.forecast import forecast
from scanner.model.dnssec import LinkKind, Validation
from scanner.model.names import ROOT, Name
from scanner.model.observation import (
    AddressRecord,
    CnameRecord,
    ExtendedError,
    MxRecord,
    OtherRecord,
    Record,
    TlsaRecord,
)
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType, Severity

CHECKER = jsonschema.Draft202012Validator(
    load_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
LATER = NOW + timedelta(minutes=1)


def document(validation: Validation, **changes: Any) -> dict[str, Any]:
    made_one: dict[str, Any] = dnssec_document(validation, checked_at=LATER, **changes)
    CHECKER.validate(made_one)
    return made_one


@pytest.mark.parametrize("make", made.ALL.values(), ids=made.ALL)
def test_every_kind_of_chain_is_valid_by_the_schema_and_keeps_its_bytes(
    make: Callable[[], Validation],
) -> None:
    """No key is ever missing."""
    shown = document(make())
    assert set(shown) == set(load_schema()["properties"])
    line = to_json_line(shown)
    assert line == to_json_line(document(make()))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == shown


def test_a_secure_chain_is_told_link_by_link() -> None:
    """Zone, DS, keys with role and size, signatures with their dates."""
    shown = document(made.secure())
    assert (shown["schema"], shown["name"], shown["type"]) == (
        "danewatch.dnssec/1",
        "example.org",
        "MX",
    )
    assert (shown["status"], shown["outcome"], shown["reason"], shown["ede"]) == (
        "secure",
        "data",
        None,
        None,
    )
    assert shown["records"] == ["10 mx.example.org."]
    assert [(link["zone"], link["kind"], link["status"]) for link in shown["chain"]] == [
        (".", "anchor", "secure"),
        ("org", "delegation", "secure"),
        ("example.org", "delegation", "secure"),
    ]
    last = shown["chain"][-1]
    assert last["ds"][0]["key_tag"] == made.EXAMPLE_TAG
    assert last["ds"][0]["digest_name"] == "SHA-256"
    (key,) = last["dnskey"]
    assert (key["key_tag"], key["bits"], key["entry"]) == (made.EXAMPLE_TAG, 256, True)
    assert (key["secure_entry_point"], key["revoked"]) == (True, False)
    assert [(one["type"], one["signer"], one["valid"]) for one in last["rrsig"]] == [
        ("DS", "org", True),
        ("DNSKEY", "example.org", True),
    ]
    assert last["rrsig"][0]["inception"] == "2026-11-20T12:00:00.000000Z"
    (answer,) = shown["answer"]
    assert (answer["owner"], answer["type"], answer["zone"]) == ("example.org", "MX", "example.org")


def test_when_it_was_looked_at_and_as_of_when_it_was_judged_are_told_apart() -> None:
    """``--at`` judges for another moment."""
    shown = document(replace(made.secure(), validated_at=NOW - DAY))
    assert shown["checked_at"] == "2026-11-24T12:01:00.000000Z"
    assert shown["at"] == "2026-11-23T12:00:00.000000Z"


def test_a_break_has_its_reason_its_code_and_a_finding_with_the_remedy() -> None:
    """Which zone, which record, which keys, and what to do."""
    shown = document(made.no_key())
    assert (shown["status"], shown["reason"]) == ("bogus", "ds-no-key")
    assert shown["ede"] == {"code": 9, "text": "ds-no-key"}
    assert shown["chain"][-1]["reason"] == "ds-no-key"
    (finding,) = shown["findings"]
    assert (finding["code"], finding["severity"], finding["state"]) == (
        "ds-no-key",
        "error",
        "bogus",
    )
    assert (finding["zone"], finding["where"], finding["type"]) == (
        "example.org",
        "example.org",
        "DNSKEY",
    )
    assert finding["values"][0] == {"key": "ds_key_tag", "value": "999"}
    assert finding["server"] == "192.0.2.53:53"
    assert finding["remedy"].startswith("Give the registrar the DS of a key")
    assert shown["answer"][0]["zone"] is None


def test_a_failed_signature_has_its_own_reason() -> None:
    """Beside the dates it failed for."""
    (answer,) = document(made.expired())["answer"]
    (signature,) = answer["rrsig"]
    assert (signature["valid"], signature["checked"]) == (False, True)
    assert signature["reason"] == "rrsig-expired"
    assert signature["expiration"] == "2026-11-23T12:00:00.000000Z"


def test_what_is_to_come_follows_the_faults_and_nothing_is_told_twice() -> None:
    """Forecasts are findings too."""
    last = replace(made.chain()[-1], dnskeys=(made.key(made.EXAMPLE_TAG), made.key(900)))
    validation = made.secure(links=made.chain(last=last))
    ahead = forecast(validation, now=NOW)
    shown = document(validation, forecast=[*ahead, *ahead])
    assert [(one["code"], one["severity"], one["state"]) for one in shown["findings"]] == [
        ("key-prepublished", str(Severity.INFO), None)
    ]


def test_the_resolvers_own_error_is_told_where_we_have_none() -> None:
    """RFC 8914."""
    errors = (ExtendedError(code=22, text=""), ExtendedError(code=23, text="x"))
    shown = document(replace(made.no_answer(), ede=None, extended_errors=errors))
    assert shown["ede"] == {"code": 22, "text": None}


def test_our_own_fault_is_marked() -> None:
    """So that nobody is blamed for it."""
    shown = document(made.root_broken())
    assert shown["own_fault"] is True
    assert shown["detail"] == "the root zone could not be validated"


def test_aliases_wildcards_and_names_without_a_zone_are_told() -> None:
    """The chain has every step."""
    shown = document(made.aliased())
    assert shown["aliases"] == [
        {"owner": "b.a.example.org", "target": "c.example.org", "status": "secure"}
    ]
    assert shown["answer"][0]["wildcard"] == "*.a.example.org"
    assert shown["chain"][-1]["kind"] == str(LinkKind.NO_CUT)
    assert shown["outcome"] == "nodata"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (AddressRecord(address="192.0.2.1"), "192.0.2.1"),
        (MxRecord(preference=0, exchange=ROOT), "0 ."),
        (CnameRecord(target=Name("a.example")), "a.example."),
        (TlsaRecord(usage=3, selector=1, matching_type=1, data=b"\xab\xcd"), "3 1 1 abcd"),
        (TlsaRecord(usage=3, selector=1, matching_type=None, data=b""), r"\# 2 0301"),
        (TlsaRecord(usage=None, selector=None, matching_type=None, data=b""), r"\# 0"),
        (OtherRecord(text="20326 8 2 e06d"), "20326 8 2 e06d"),
    ],
)
def test_records_are_in_presentation_form(record: Record, text: str) -> None:
    """As in a zone file; what is too short for its type in that of RFC 3597."""
    assert presentation(record) == text


def test_the_closed_sets_of_the_schema_are_those_of_the_vocabulary() -> None:
    """A new member of an enum must reach the schema."""
    found: set[frozenset[str]] = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "enum" in value:
                found.add(frozenset(word for word in value["enum"] if word is not None))
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(load_schema())
    enums = (DnssecStatus, LinkKind, LookupOutcome, RRType, Severity)
    assert found == {frozenset(member.value for member in enum) for enum in enums}
