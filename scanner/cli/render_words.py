"""What a verdict means, in whole sentences for a mail administrator."""

from datetime import datetime, timedelta

from scanner.model.registry import info
from scanner.model.verdict import ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    HostOutcome,
    LookupOutcome,
    Profile,
)

SENDERS = {
    Profile.EXCHANGE_ONLINE: "Exchange Online",
    Profile.RFC7672: "a sender that follows RFC 7672",
}
PROFILE_TITLES = {Profile.EXCHANGE_ONLINE: "Exchange Online", Profile.RFC7672: "RFC 7672"}

DELIVERED = frozenset(
    {
        DomainVerdict.PROTECTED,
        DomainVerdict.PARTIAL,
        DomainVerdict.DEGRADED,
        DomainVerdict.ENCRYPTED,
        DomainVerdict.OPPORTUNISTIC,
    }
)

_MANNER = {
    DomainVerdict.PROTECTED: "is delivered, encrypted and to servers authenticated by DANE.",
    DomainVerdict.PARTIAL: "is delivered, but not every mail server is authenticated by DANE.",
    DomainVerdict.DEGRADED: "is delivered, but not every mail server can be used.",
    DomainVerdict.ENCRYPTED: (
        "is delivered encrypted, but to servers that nothing authenticates: "
        "their TLSA records are unusable."
    ),
    DomainVerdict.OPPORTUNISTIC: "is delivered without DANE: nothing authenticates the servers.",
}

HOST_OUTCOMES = {
    HostOutcome.AUTHENTICATED: "authenticated by DANE",
    HostOutcome.ENCRYPTED: "encrypted, not authenticated",
    HostOutcome.OPPORTUNISTIC_TLS: "encrypted without DANE",
    HostOutcome.OPPORTUNISTIC_CLEAR: "no TLS: mail travels in clear text",
    HostOutcome.FAILED: "not usable",
    HostOutcome.LOOKUP_FAILED: "not usable, DNS lookup failed",
    HostOutcome.UNREACHABLE: "not reachable",
    HostOutcome.NO_ADDRESS: "has no usable address",
    HostOutcome.INCONCLUSIVE: "not measured",
}

LOOKUP_WORDS = {
    LookupOutcome.DATA: "answered",
    LookupOutcome.NODATA: "no such record",
    LookupOutcome.NXDOMAIN: "the name does not exist",
    LookupOutcome.SERVFAIL: "server failure (SERVFAIL)",
    LookupOutcome.TIMEOUT: "no answer in time",
    LookupOutcome.REFUSED: "refused",
    LookupOutcome.MALFORMED: "an answer that is not valid DNS",
    LookupOutcome.LOOP: "an alias loop, or too many aliases",
}

STATUS_WORDS = {
    DnssecStatus.SECURE: "signed and validated",
    DnssecStatus.INSECURE: "not signed",
    DnssecStatus.BOGUS: "signed, but validation fails (bogus)",
    DnssecStatus.INDETERMINATE: "signed, but cannot be validated (indeterminate)",
}

EXTENDED_ERRORS = {
    1: "unsupported DNSKEY algorithm",
    2: "unsupported DS digest type",
    3: "stale answer",
    5: "DNSSEC indeterminate",
    6: "DNSSEC bogus",
    7: "signature expired",
    8: "signature not yet valid",
    9: "DNSKEY missing",
    10: "RRSIGs missing",
    11: "no zone key bit set",
    12: "NSEC missing",
    22: "no reachable authority",
    23: "network error",
    27: "unsupported NSEC3 iterations",
}
"""The extended DNS errors of RFC 8914 §4 and RFC 9276 that explain a failed validation."""


def headline(verdict: ProfileVerdict, domain: str, queue_life: timedelta) -> str:
    """Return what happens to mail for ``domain``, in one or two sentences."""
    mail = f"Mail from {SENDERS[verdict.profile]} to {domain}"
    if verdict.verdict is DomainVerdict.OPPORTUNISTIC and verdict.reason is not None:
        return f"{mail} is delivered without DANE: {_because(verdict)}"
    if verdict.verdict in _MANNER:
        return f"{mail} {_MANNER[verdict.verdict]}"
    if verdict.verdict is DomainVerdict.INCONCLUSIVE:
        return f"Nothing can be said about mail to {domain}: {_because(verdict)}"
    if verdict.verdict is DomainVerdict.NO_MAIL:
        code = verdict.final_code or verdict.code
        shown = f" ({code})" if code else ""
        return f"{mail} is returned at once{shown}: {_because(verdict)}"
    if verdict.phase is DeliveryPhase.BOUNCING:
        code = verdict.final_code or verdict.code
        return f"{mail} bounces{f': {code}' if code else ''}."
    queued = f"{mail} is being queued"
    if verdict.code:
        queued += f": {verdict.code}"
    return f"{queued}; {_end_of_queue(verdict, queue_life)}."


def _end_of_queue(verdict: ProfileVerdict, queue_life: timedelta) -> str:
    bounces = f"it bounces with {verdict.final_code}" if verdict.final_code else "it bounces"
    if verdict.profile is Profile.EXCHANGE_ONLINE:
        return f"{bounces} if this lasts {hours(queue_life)}"
    # RFC 5321 §4.5.4.1: "the give-up time generally needs to be at least 4-5 days".
    return f"{bounces} if this outlasts the sender's queue, usually 4 to 5 days"


def _because(verdict: ProfileVerdict) -> str:
    if verdict.reason is None:
        return "no reason was recorded."
    sentence = info(verdict.reason).sentence
    is_word = sentence[1:2].islower() or sentence.startswith("A ")
    return sentence[:1].lower() + sentence[1:] if is_word else sentence


def hours(span: timedelta) -> str:
    """Return ``span`` in hours, or in days from three days on."""
    count = round(span.total_seconds() / 3600)
    if count >= 72 and count % 24 == 0:
        return f"{count // 24} days"
    return f"{count} hour" if count == 1 else f"{count} hours"


def distance(moment: datetime, now: datetime) -> str:
    """Return how far ``moment`` is from ``now``, in days or hours, past or future."""
    span = moment - now
    seconds = abs(span.total_seconds())
    amount = plural(int(seconds // 86_400), "day")
    if seconds < 2 * 86_400:
        amount = plural(int(seconds // 3_600), "hour")
    return f"in {amount}" if span.total_seconds() >= 0 else f"{amount} ago"


def plural(count: int, noun: str) -> str:
    """Return ``count`` with ``noun`` in the right number."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
