"""What each DNSSEC reason means: its state, its RFC 8914 code, one sentence, and the remedy.

One entry for every member of ``DnssecReason``; the entries stand in two parts, along the chain.
"""

from collections.abc import Mapping

from scanner.model.dnssec_reason_info import DnssecReasonInfo
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.registry_dnssec_answer import ANSWER_REASONS
from scanner.model.registry_dnssec_chain import CHAIN_REASONS

__all__ = ["DNSSEC_REASONS", "DnssecReasonInfo", "dnssec_info"]

DNSSEC_REASONS: Mapping[DnssecReason, DnssecReasonInfo] = {**CHAIN_REASONS, **ANSWER_REASONS}


def dnssec_info(reason: DnssecReason) -> DnssecReasonInfo:
    """Return the entry of ``reason``."""
    return DNSSEC_REASONS[reason]
