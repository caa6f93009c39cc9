"""Whether a mail server turned us away for coming too often: a fact about us, not about it.

A server that limits connections says so before STARTTLS, with 421 or another 4yz reply (RFC 5321
§4.2.1). A sender with other addresses is not turned away there, so nothing is concluded (case 86),
and the server is left alone for longer.

A temporary reply may also mean that the server is ill (C3), and then a sender is deferred as we
are. The two are told apart by what the server says:

- enhanced codes X.7.z (policy) and X.4.5 (congestion) speak of limits, X.3.z of the server itself
  (RFC 3463 §3.4, §3.5, §3.8);
- words such as "too many connections" speak of limits, whatever the code;
- 421 without either is the usual way to limit connections.
"""

import re

from scanner.model.observation import AddressObservation, ProbeError, ProbeStage

_STAGES = frozenset({ProbeStage.GREETING, ProbeStage.EHLO})
_LIMIT_WORDS = re.compile(
    r"too (?:many|much|often|fast|frequent)|rate.?limit|rate exceeded|throttl|exceeded .{0,40}limit"
    r"|limit .{0,40}(?:exceeded|reached)|slow down|concurren|connection (?:rate|frequency|limit)",
    re.IGNORECASE,
)
_LIMIT_CODES = re.compile(r"4\.(?:7\.\d{1,3}|4\.5)(?:\s|$)")
_ILL_CODES = re.compile(r"4\.3\.\d{1,3}(?:\s|$)")
_CODE_CLOSING = 421


def is_throttled(probe: AddressObservation) -> bool:
    """Return whether the server turned this probe away for the number of our connections."""
    if probe.error is not ProbeError.REPLY_TRANSIENT or probe.stage not in _STAGES:
        return False
    text = (probe.reply_text or "").strip()
    if _LIMIT_WORDS.search(text) or _LIMIT_CODES.match(text):
        return True
    return probe.reply_code == _CODE_CLOSING and not _ILL_CODES.match(text)
