"""Making one finding: the registry says what its code means, the message what was seen here."""

from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.verdict import Finding
from scanner.model.vocabulary import Severity

MAX_MESSAGE_CHARACTERS = 600
"""Longest message. Its parts come from the partner's DNS, server and certificates."""


def note(code: Reason, where: str, facts: str, *, severity: Severity | None = None) -> Finding:
    """Return a finding: the sentence of ``code``, and the ``facts`` that led to it.

    ``severity`` is the registry's unless given.
    """
    entry = info(code)
    message = f"{entry.sentence} ({facts})" if facts else entry.sentence
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = message[: MAX_MESSAGE_CHARACTERS - 1] + "…"
    return Finding(code=code, severity=severity or entry.severity, where=where, message=message)
