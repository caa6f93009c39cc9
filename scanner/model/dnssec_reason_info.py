"""The shape of one entry of the registry of DNSSEC reasons, and remedies that entries share."""

from dataclasses import dataclass

from scanner.model.vocabulary import DnssecStatus, Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class DnssecReasonInfo:
    """One entry.

    ``state`` is the status the fault leads to, None for a warning. ``ede`` is the extended error
    a validating resolver would show (RFC 8914), None where there is none. ``sentence`` states the
    condition, ``remedy`` what to do about it, and ``fault`` who can.
    """

    state: DnssecStatus | None
    ede: int | None
    sentence: str
    remedy: str
    fault: Fault = Fault.DNS_OPERATOR


def info(
    state: DnssecStatus | None,
    ede: int | None,
    sentence: str,
    remedy: str,
    fault: Fault = Fault.DNS_OPERATOR,
) -> DnssecReasonInfo:
    """Return the entry of these parts."""
    return DnssecReasonInfo(state=state, ede=ede, sentence=sentence, remedy=remedy, fault=fault)


RESIGN = "Sign the zone again, and see that it is signed again in time from now on."
DELEGATE = (
    "Give the registrar the DS of a key the zone publishes and signs with, or withdraw the DS."
)
SIGNER = "Check the signing software and that all servers publish the same signed zone."
DENY = "Check that the name servers understand DNSSEC and publish the whole signed zone."
ASK_AGAIN = "Ask again, and ask another resolver, before anything is said about the zone."
OUR_RESOLVER = "Check the resolver we ask, and the path to it."
NOTHING = "Nothing needs to be done."
