"""The shape of one entry of the reason registry, and the sections the entries are grouped in.

An entry states what a reason means and what to do about it. Codes are kept without their class
digit (``7.323``): a sender shows ``4.7.323`` while the mail is queued and ``5.7.323`` in the
non-delivery report, and the class is put in front only where the phase is known. The code table
is data with a version (``CodeSet``), because Exchange Online's published list keeps growing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.model.reasons import Reason
from scanner.model.vocabulary import CodeSet, Fault, ResultType, Severity

QUEUED = "4"
"""Class digit of an enhanced status code while mail is queued (RFC 3463 §2)."""
FINAL = "5"
"""Class digit of the same code in the non-delivery report."""


def code_in_all(suffix: str) -> Mapping[CodeSet, str | None]:
    """Return a code table in which every code set uses ``suffix``, such as ``7.323``."""
    return dict.fromkeys(CodeSet, suffix)


def no_code() -> Mapping[CodeSet, str | None]:
    """Return a code table without codes: Exchange Online documents none."""
    return dict.fromkeys(CodeSet)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonInfo:
    """What one reason means, whose fault it is, and what sender and receiver can do.

    ``sentence`` is one plain sentence. ``result_type`` is the RFC 8460 §4.3 type a TLS report
    would carry, None where it carries none. ``codes`` maps each code set to the Exchange Online
    code without class digit, or None. ``cause`` is the more precise code, likewise without class
    digit, where Exchange Online shows a generic one; None where there is nothing more precise.
    ``permanent`` says that mail is returned at once, so that its code is never of class 4.
    ``transient`` puts a failure into the class that needs a second check before an alarm.
    ``own_side`` reasons are ours: they never count against a partner and have no code.
    """

    sentence: str
    fault: Fault
    severity: Severity
    remedy_sender: str
    remedy_receiver: str
    references: tuple[str, ...]
    anchor: str
    result_type: ResultType | None = None
    codes: Mapping[CodeSet, str | None] = field(default_factory=no_code)
    cause: str | None = None
    transient: bool = False
    permanent: bool = False

    @property
    def own_side(self) -> bool:
        """Whether the cause lies with the scanner, so that nothing is known of the partner."""
        return self.fault is Fault.SCANNER

    def code(self, code_set: CodeSet) -> str | None:
        """Return the first code a sender shows, such as ``4.7.323``, or None.

        That is the code while mail is queued, and for mail that is returned at once the final one.
        """
        suffix = self.codes[code_set]
        if suffix is None:
            return None
        return f"{FINAL if self.permanent else QUEUED}.{suffix}"

    def cause_code(self, code_set: CodeSet) -> str | None:
        """Return the code that names the cause, while mail is queued.

        That is ``code`` itself unless Exchange Online shows a generic code: for a broken DNSSEC
        chain it shows 4.4.312 and means 4.7.324, for any other DNS failure 4.4.312 says nothing
        more, and the result is None.
        """
        if self.cause is not None:
            return f"{QUEUED}.{self.cause}"
        suffix = self.codes[code_set]
        return None if suffix == GENERIC_DNS_FAILURE else self.code(code_set)


GENERIC_DNS_FAILURE = "4.312"
"""Exchange Online's "DNS query failed", also shown for DNSSEC failures (a documented limit)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One chapter of the registry: a heading, a few sentences, and its entries in order."""

    title: str
    intro: str
    entries: Mapping[Reason, ReasonInfo]


def info_for(
    reason: Reason,
    sentence: str,
    *,
    fault: Fault,
    severity: Severity,
    sender: str,
    receiver: str,
    references: tuple[str, ...],
    result_type: ResultType | None = None,
    code: str | None = None,
    codes: Mapping[CodeSet, str | None] | None = None,
    cause: str | None = None,
    transient: bool = False,
    permanent: bool = False,
) -> tuple[Reason, ReasonInfo]:
    """Return the registry item for ``reason``; its documentation anchor is its own spelling."""
    table = codes if codes is not None else code_in_all(code) if code is not None else no_code()
    return reason, ReasonInfo(
        sentence=sentence,
        fault=fault,
        severity=severity,
        remedy_sender=sender,
        remedy_receiver=receiver,
        references=references,
        anchor=reason.value,
        result_type=result_type,
        codes=table,
        cause=cause,
        transient=transient,
        permanent=permanent,
    )
