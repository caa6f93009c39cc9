"""What every reason means: the one list that verdicts, documentation and advice read.

``info`` is the way in. The entries are grouped into ``SECTIONS`` by the stage they belong to, and
each member of ``Reason`` stands in exactly one of them; the documentation page is generated from
here, so that the two cannot differ.
"""

from collections.abc import Mapping
from types import MappingProxyType

from scanner.model import registry_dns, registry_mail, registry_notes
from scanner.model.reason_info import FINAL, QUEUED, ReasonInfo, Section
from scanner.model.reasons import Reason

__all__ = ["FINAL", "QUEUED", "SECTIONS", "ReasonInfo", "Section", "final_code", "info"]

SECTIONS: tuple[Section, ...] = (
    *registry_dns.SECTIONS,
    *registry_mail.SECTIONS,
    *registry_notes.SECTIONS,
)
"""All sections, in the order in which a check meets them."""

_REGISTRY: Mapping[Reason, ReasonInfo] = MappingProxyType(
    {reason: entry for section in SECTIONS for reason, entry in section.entries.items()}
)


def info(reason: Reason) -> ReasonInfo:
    """Return the registry entry of ``reason``; every member has one."""
    return _REGISTRY[reason]


def final_code(code: str | None) -> str | None:
    """Return the code of the non-delivery report for a code seen while mail is queued.

    ``4.7.323`` becomes ``5.7.323``; a code of another class stays as it is (RFC 3463 §2).
    """
    if code is None or not code.startswith(f"{QUEUED}."):
        return code
    return FINAL + code[len(QUEUED) :]
