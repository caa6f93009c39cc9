"""The reason registry: complete, and with the codes and result types Exchange Online documents."""

import re

import pytest

from scanner.model.reason_info import info_for
from scanner.model.reasons import Reason
from scanner.model.registry import SECTIONS, final_code, info
from scanner.model.vocabulary import CodeSet, Fault, ResultType, Severity

NOW, SEED = CodeSet.CODES_2024, CodeSet.SEED

OWN_SIDE = {
    Reason.RESOLVER_DOWN,
    Reason.RESOLVER_NOT_VALIDATING,
    Reason.OWN_LOOKUP_FAILED,
    Reason.NO_ROUTE,
    Reason.EGRESS_UNPROVEN,
    Reason.THROTTLED,
    Reason.OWN_RESOURCES,
    Reason.CHECK_DEADLINE,
    Reason.CHAIN_WORK_LIMIT,
    Reason.INTERNAL_ERROR,
}

CODES = {
    "4.7.321": {
        Reason.STARTTLS_NOT_OFFERED,
        Reason.STARTTLS_DEFERRED,
        Reason.STARTTLS_REFUSED,
        Reason.STARTTLS_NO_ANSWER,
        Reason.TLS_HANDSHAKE_FAILED,
        Reason.TLS_VERSION_TOO_OLD,
    },
    "4.7.322": {Reason.CERTIFICATE_EXPIRED},
    "4.7.323": {
        Reason.TLSA_MISMATCH,
        Reason.TRUST_ANCHOR_IS_LEAF,
        Reason.TRUST_ANCHOR_MISSING,
        Reason.TRUST_ANCHOR_NOT_IN_PATH,
        Reason.CHAIN_SIGNATURE_INVALID,
        Reason.CHAIN_ISSUER_NOT_CA,
        Reason.CHAIN_PATH_LENGTH,
        Reason.CHAIN_NAME_CONSTRAINT,
        Reason.CHAIN_KEY_USAGE,
        Reason.CHAIN_CRITICAL_EXTENSION,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_UNREADABLE,
        Reason.TLS_NO_CERTIFICATE,
    },
    "4.7.324": {
        Reason.TLSA_DNSSEC_BOGUS,
        Reason.TLSA_DNSSEC_INDETERMINATE,
        Reason.TLSA_LOOKUP_FAILED,
        Reason.TLSA_LOOKUP_TIMEOUT,
        Reason.TLSA_LOOKUP_REFUSED,
        Reason.TLSA_LOOKUP_MALFORMED,
        Reason.TLSA_ALIAS_LOOP,
    },
    "4.7.325": {Reason.CERTIFICATE_NAME_MISMATCH},
    "4.4.312": {
        Reason.MX_DNSSEC_BOGUS,
        Reason.MX_DNSSEC_INDETERMINATE,
        Reason.MX_LOOKUP_FAILED,
        Reason.MX_LOOKUP_TIMEOUT,
        Reason.MX_LOOKUP_REFUSED,
        Reason.MX_LOOKUP_MALFORMED,
        Reason.MX_ALIAS_LOOP,
        Reason.ADDRESS_DNSSEC_BOGUS,
        Reason.ADDRESS_DNSSEC_INDETERMINATE,
        Reason.ADDRESS_LOOKUP_FAILED,
        Reason.ADDRESS_LOOKUP_TIMEOUT,
        Reason.ADDRESS_LOOKUP_REFUSED,
        Reason.ADDRESS_LOOKUP_MALFORMED,
        Reason.ADDRESS_ALIAS_LOOP,
    },
    "4.4.316": {Reason.CONNECTION_REFUSED},
    "5.4.310": {Reason.DOMAIN_DOES_NOT_EXIST},
    "5.1.10": {Reason.NULL_MX},
}
"""Codes of the current set; a reason that is not listed has none."""

RESULT_TYPES = {
    ResultType.CERTIFICATE_HOST_MISMATCH: {Reason.CERTIFICATE_NAME_MISMATCH},
    ResultType.CERTIFICATE_EXPIRED: {Reason.CERTIFICATE_EXPIRED},
    ResultType.CERTIFICATE_NOT_TRUSTED: {
        Reason.TRUST_ANCHOR_MISSING,
        Reason.TRUST_ANCHOR_NOT_IN_PATH,
        Reason.CHAIN_SIGNATURE_INVALID,
        Reason.CHAIN_ISSUER_NOT_CA,
        Reason.CHAIN_PATH_LENGTH,
        Reason.CHAIN_NAME_CONSTRAINT,
        Reason.CHAIN_KEY_USAGE,
        Reason.CHAIN_CRITICAL_EXTENSION,
    },
    ResultType.STARTTLS_NOT_SUPPORTED: {
        Reason.STARTTLS_NOT_OFFERED,
        Reason.STARTTLS_DEFERRED,
        Reason.STARTTLS_REFUSED,
        Reason.STARTTLS_NO_ANSWER,
    },
    ResultType.VALIDATION_FAILURE: {
        Reason.TLS_HANDSHAKE_FAILED,
        Reason.TLS_VERSION_TOO_OLD,
        Reason.TLS_NO_CERTIFICATE,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_UNREADABLE,
    },
    ResultType.DANE_REQUIRED: {Reason.DANE_REQUIRED},
    ResultType.DNSSEC_INVALID: {
        Reason.MX_DNSSEC_BOGUS,
        Reason.MX_DNSSEC_INDETERMINATE,
        Reason.ADDRESS_DNSSEC_BOGUS,
        Reason.ADDRESS_DNSSEC_INDETERMINATE,
        *CODES["4.7.324"],
    },
    ResultType.TLSA_INVALID: {
        Reason.TLSA_MISMATCH,
        Reason.TRUST_ANCHOR_IS_LEAF,
        Reason.TLSA_ALL_UNUSABLE,
        Reason.TLSA_USAGE_UNUSABLE,
        Reason.TLSA_SELECTOR_UNKNOWN,
        Reason.TLSA_MATCHING_TYPE_UNKNOWN,
        Reason.TLSA_DIGEST_LENGTH,
        Reason.TLSA_DATA_MALFORMED,
        Reason.TLSA_TOO_SHORT,
    },
}


def test_every_reason_stands_in_exactly_one_section() -> None:
    """The registry covers the closed list, and nothing is told twice."""
    listed = [reason for section in SECTIONS for reason in section.entries]
    assert sorted(listed) == sorted(Reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_code_of_a_reason_is_the_documented_one(reason: Reason) -> None:
    """Sections 3a and 3c of the verdict tables, current code set."""
    expected = next((code for code, reasons in CODES.items() if reason in reasons), None)
    assert info(reason).code(NOW) == expected


@pytest.mark.parametrize("reason", list(Reason))
def test_older_code_set_differs_in_the_name_mismatch_only(reason: Reason) -> None:
    """7.325 was split off from 7.323 later."""
    entry = info(reason)
    if reason is Reason.CERTIFICATE_NAME_MISMATCH:
        assert entry.code(SEED) == "4.7.323"
    else:
        assert entry.code(SEED) == entry.code(NOW)


@pytest.mark.parametrize("reason", list(Reason))
def test_cause_code_is_finer_only_for_dnssec_behind_the_generic_code(reason: Reason) -> None:
    """4.4.312 means 4.7.324 where DNSSEC is the cause, and nothing finer otherwise."""
    entry = info(reason)
    expected = entry.code(NOW)
    if expected == "4.4.312":
        dnssec = reason.endswith(("-dnssec-bogus", "-dnssec-indeterminate"))
        expected = "4.7.324" if dnssec else None
    assert entry.cause_code(NOW) == expected


@pytest.mark.parametrize("reason", list(Reason))
def test_result_type_of_a_reason_is_the_documented_one(reason: Reason) -> None:
    """Result types of RFC 8460 by the verdict tables; all others carry none."""
    expected = next((kind for kind, reasons in RESULT_TYPES.items() if reason in reasons), None)
    assert info(reason).result_type is expected


@pytest.mark.parametrize("reason", list(Reason))
def test_own_side_has_no_code_and_no_result_type(reason: Reason) -> None:
    """Nothing that is our fault looks like a partner's failure."""
    entry = info(reason)
    assert entry.own_side == (reason in OWN_SIDE)
    if entry.own_side:
        assert entry.fault is Fault.SCANNER
        assert entry.code(NOW) is None
        assert entry.result_type is None
        assert entry.severity is not Severity.ERROR


def test_transient_class_is_that_of_the_tables() -> None:
    """SERVFAIL, timeout, other lookup failures, a host that is down, 454: check twice first."""
    transient = {reason for reason in Reason if info(reason).transient}
    lookups = {
        reason
        for reason in Reason
        if "-lookup-" in reason and reason is not Reason.OWN_LOOKUP_FAILED
    }
    down = {
        Reason.CONNECTION_REFUSED,
        Reason.CONNECTION_TIMEOUT,
        Reason.CONNECTION_UNREACHABLE,
        Reason.CONNECTION_CLOSED,
        Reason.GREETING_DEFERRED,
        Reason.GREETING_REJECTED,
        Reason.SMTP_TIMEOUT,
        Reason.SMTP_PROTOCOL_ERROR,
    }
    unproven = {reason for reason in Reason if reason.endswith("-indeterminate")}
    loops = {reason for reason in Reason if reason.endswith("-alias-loop")}
    assert transient == lookups | down | unproven | loops | {Reason.STARTTLS_DEFERRED}


@pytest.mark.parametrize("reason", list(Reason))
def test_texts_are_whole_sentences(reason: Reason) -> None:
    """Sentence and remedies can be shown as they are."""
    entry = info(reason)
    for text in (entry.sentence, entry.remedy_sender, entry.remedy_receiver):
        assert text[0].isupper() or text.startswith("TLS")
        assert text.endswith(".")
        assert "  " not in text
        assert text == text.strip()
    assert entry.anchor == reason.value


@pytest.mark.parametrize("reason", list(Reason))
def test_references_name_an_rfc_and_at_most_a_section(reason: Reason) -> None:
    """Every entry that is about the partner says where the rule stands."""
    entry = info(reason)
    assert bool(entry.references) == (not entry.own_side)
    for reference in entry.references:
        assert re.fullmatch(r"RFC \d{4}( §\d+(\.\d+)*)?", reference)


@pytest.mark.parametrize(
    ("queued", "final"),
    [("4.7.323", "5.7.323"), ("4.4.312", "5.4.312"), ("5.1.10", "5.1.10"), (None, None)],
)
def test_final_code_changes_the_class_only(queued: str | None, final: str | None) -> None:
    """A non-delivery report shows the same code in class 5."""
    assert final_code(queued) == final


def test_entry_without_code_has_none_in_any_set() -> None:
    """The default code table is empty, not generic."""
    _, entry = info_for(
        Reason.WEAK_KEY,
        "A sentence.",
        fault=Fault.MAIL_OPERATOR,
        severity=Severity.WARNING,
        sender="Do this.",
        receiver="Do that.",
        references=(),
    )
    assert {entry.code(code_set) for code_set in CodeSet} == {None}
    assert {entry.cause_code(code_set) for code_set in CodeSet} == {None}
