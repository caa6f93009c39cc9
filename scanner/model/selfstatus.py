"""Whether the service itself can see: the closed list of reasons why it cannot, and the status.

While any reason holds the service is blind: no check is made and no verdict changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scanner.model.vocabulary import Family


class BlindReason(StrEnum):
    """Why nothing may be said about anybody (label ``reason`` of ``danewatch_blind_reason``)."""

    RESOLVER_DOWN = "resolver-down"
    """No configured resolver answers the control question."""
    RESOLVER_NOT_VALIDATING = "resolver-not-validating"
    """A resolver that answers does so without proof."""
    KNOWN_BOGUS_ACCEPTED = "known-bogus-accepted"
    """A name whose signatures are broken on purpose was let through."""
    RESOLVER_CUT_OFF = "resolver-cut-off"
    """The resolvers answer from their caches and reach nobody."""
    EGRESS_BLOCKED_IPV4 = "egress-blocked-ipv4"
    """No mail server greets us over IPv4, and over IPv6 none is known to."""
    EGRESS_BLOCKED_IPV6 = "egress-blocked-ipv6"
    """No mail server greets us over IPv6, and over IPv4 none is known to."""
    CANARY_FAILED = "canary-failed"
    """Domains that are known to be protected do not look so from here."""
    CLOCK_WRONG = "clock-wrong"
    """Signatures that are being made now do not fit our time."""
    WORKERS_FAILED = "workers-failed"
    """Our own worker processes keep ending."""
    MASS_LOSS_SUSPECTED = "mass-loss-suspected"
    """Very many domains got worse at once, with nothing in common but us."""


class BogusAnswer(StrEnum):
    """What a resolver made of a name whose signatures are broken on purpose."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    """It came back without proof, as if it were fine."""
    SECURE = "secure"
    """It came back with proof: it is not broken any more."""
    UNKNOWN = "unknown"
    """No answer that tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blindness:
    """One reason with a sentence for an operator and what to do about it."""

    reason: BlindReason
    sentence: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfStatus:
    """What the last test of ourselves came to.

    ``blind`` also holds while reasons have gone but too few good tests followed yet; ``reasons``
    then are the last ones. ``since`` is when blindness or sight began. ``notices`` are sentences
    about what is not well without blinding us: one of two resolvers down, one canary of three. In
    the mappings a missing key or None means that nothing is known.
    """

    tested_at: datetime
    since: datetime
    blind: bool
    reasons: tuple[Blindness, ...] = ()
    notices: tuple[str, ...] = ()
    resolver_up: Mapping[str, bool] = field(default_factory=dict)
    resolver_validating: Mapping[str, bool | None] = field(default_factory=dict)
    egress_ok: Mapping[Family, bool | None] = field(default_factory=dict)
    clock_ok: bool | None = None
    canary_ok: Mapping[str, bool | None] = field(default_factory=dict)
    mass_loss_suspected: bool = False
    good_tests: int = 0
    """Tests in a row without a reason, this one included."""
