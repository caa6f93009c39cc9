"""Building blocks of a judgement: from a reason to an outcome with its code.

Codes belong to Exchange Online. A sender that follows the RFCs alone has no common list of codes,
so under ``rfc7672`` only codes that an RFC assigns are given (``RFC_CODES``), and what the server
itself replied.
"""

import re
from types import MappingProxyType

from scanner.model.observation import AddressObservation, Lookup, ProbeError
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.verdict import Judged
from scanner.model.vocabulary import (
    DnssecStatus,
    HostOutcome,
    LookupOutcome,
    Profile,
)

DELIVERABLE = frozenset(
    {
        HostOutcome.AUTHENTICATED,
        HostOutcome.ENCRYPTED,
        HostOutcome.OPPORTUNISTIC_TLS,
        HostOutcome.OPPORTUNISTIC_CLEAR,
    }
)
"""Outcomes with which a sender delivers."""
OPPORTUNISTIC = frozenset({HostOutcome.OPPORTUNISTIC_TLS, HostOutcome.OPPORTUNISTIC_CLEAR})
"""Deliverable, and DANE does not apply."""
UNDELIVERABLE = frozenset({HostOutcome.FAILED, HostOutcome.LOOKUP_FAILED, HostOutcome.UNREACHABLE})
"""Outcomes with which a sender tries another host or waits."""

RFC_CODES = MappingProxyType(
    {
        Reason.DOMAIN_DOES_NOT_EXIST: "5.1.2",  # RFC 3463 §3.2, bad destination system address
        Reason.NULL_MX: "5.1.10",  # RFC 7505
    }
)
"""Codes that an RFC assigns, whoever the sender is."""

_ENHANCED_CODE = re.compile(r"([45]\.\d{1,3}\.\d{1,3})(?:\s|$)")


def judged(
    outcome: HostOutcome,
    reason: Reason | None,
    *,
    profile: Profile,
    policy: Policy,
    detail: str | None = None,
) -> Judged:
    """Return ``outcome`` with what the registry says about ``reason``.

    Codes and the transient class belong to outcomes that stop delivery; a result type is also
    given where mail is delivered with less than asked (RFC 8460 §4.3).
    """
    if reason is None:
        return Judged(outcome=outcome, detail=detail)
    entry = info(reason)
    stops = outcome in UNDELIVERABLE
    coded = stops and profile is Profile.EXCHANGE_ONLINE
    return Judged(
        outcome=outcome,
        reason=reason,
        result_type=entry.result_type,
        code=entry.code(policy.code_set) if coded else None,
        cause_code=entry.cause_code(policy.code_set) if coded else None,
        transient=entry.transient and stops,
        detail=detail,
    )


_OUTCOME_SUFFIX = {
    LookupOutcome.SERVFAIL: "lookup-failed",
    LookupOutcome.TIMEOUT: "lookup-timeout",
    LookupOutcome.REFUSED: "lookup-refused",
    LookupOutcome.MALFORMED: "lookup-malformed",
    LookupOutcome.LOOP: "alias-loop",
}


def lookup_reason(stage: str, lookup: Lookup) -> Reason:
    """Return the reason for a failed lookup of ``stage``: ``mx``, ``address`` or ``tlsa``.

    Bogus wins over everything. An answer that could not be validated is ``indeterminate``; a
    lookup without an answer is named by how it failed, because then its missing status is a
    consequence and no second cause.
    """
    if lookup.status is DnssecStatus.BOGUS:
        return Reason(f"{stage}-dnssec-bogus")
    suffix = _OUTCOME_SUFFIX.get(lookup.outcome)
    if suffix is None:
        suffix = (
            "dnssec-indeterminate"
            if lookup.status is DnssecStatus.INDETERMINATE
            else "lookup-failed"
        )
    return Reason(f"{stage}-{suffix}")


def lookup_detail(lookup: Lookup) -> str:
    """Return one line for people: the question, how it ended, and the extended errors."""
    status = f", {lookup.status}" if lookup.status is not None else ""
    parts = [f"{lookup.question}: {lookup.outcome}{status}"]
    parts += [f"EDE {error.code} {error.text}".rstrip() for error in lookup.extended_errors]
    if lookup.detail:
        parts.append(lookup.detail)
    return "; ".join(parts)


def probe_detail(probe: AddressObservation) -> str | None:
    """Return one line for people about how a probe ended; None when it went through."""
    if probe.error is None:
        return None
    parts = [f"{probe.address}: {probe.error} at {probe.stage}"]
    if probe.reply_code is not None:
        parts.append(f"{probe.reply_code} {probe.reply_text or ''}".rstrip())
    if probe.detail:
        parts.append(probe.detail)
    return "; ".join(parts)


def reply_code_of(probe: AddressObservation) -> str | None:
    """Return the enhanced status code in the server's own rejection, or None (RFC 2034 §4)."""
    if probe.error not in (ProbeError.REPLY_TRANSIENT, ProbeError.REPLY_PERMANENT):
        return None
    match = _ENHANCED_CODE.match((probe.reply_text or "").lstrip())
    if match is None or probe.reply_code is None:
        return None
    code = match.group(1)
    # RFC 2034 §4: the class of the enhanced code is that of the reply; another one is nonsense.
    return code if code[0] == str(probe.reply_code)[0] else None
