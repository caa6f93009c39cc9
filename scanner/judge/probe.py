"""The verdict on one probe of one address: table 3c of the specification, C1 to C32.

The event of a probe is where it ended and how; ``Need`` says what the records of the host demand of
it. Until TLS is up, the same event is a failure where TLS is demanded and a delivery in clear text
where it is not. With TLS up, authentication decides.
"""

from scanner.judge.examination import ExaminedProbe, Need
from scanner.judge.matching import Match
from scanner.judge.outcomes import judged, probe_detail, reply_code_of
from scanner.judge.throttle import is_throttled
from scanner.judge.tlsa import USAGE_DANE_EE, USAGE_DANE_TA, TlsaSet
from scanner.model.observation import AddressObservation, ProbeError, ProbeStage, Vantage
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.registry_mail import NOT_MATCHING
from scanner.model.verdict import Judged
from scanner.model.vocabulary import Family, HostOutcome, Profile

MODERN_TLS = frozenset({"TLSv1.2", "TLSv1.3"})
"""Versions Exchange Online negotiates (C13); older ones are obsolete (RFC 8996)."""

_BEFORE_EHLO_DONE = frozenset({ProbeStage.CONNECT, ProbeStage.GREETING, ProbeStage.EHLO})

_DOWN = {
    ProbeError.REFUSED: Reason.CONNECTION_REFUSED,
    ProbeError.UNREACHABLE: Reason.CONNECTION_UNREACHABLE,
    ProbeError.CLOSED: Reason.CONNECTION_CLOSED,
    ProbeError.RESET: Reason.CONNECTION_CLOSED,
    ProbeError.REPLY_TRANSIENT: Reason.GREETING_DEFERRED,
    ProbeError.REPLY_PERMANENT: Reason.GREETING_REJECTED,
    ProbeError.TIMEOUT: Reason.SMTP_TIMEOUT,
}
"""Why a host is down that never came as far as STARTTLS (C1 to C4)."""

_STARTTLS = {
    ProbeError.STARTTLS_NOT_OFFERED: Reason.STARTTLS_NOT_OFFERED,
    ProbeError.REPLY_TRANSIENT: Reason.STARTTLS_DEFERRED,
    ProbeError.REPLY_PERMANENT: Reason.STARTTLS_REFUSED,
}
"""How STARTTLS fails with a clear answer (C6, C8, C9); anything else is C10."""

_OWN = {
    ProbeError.NO_ROUTE: Reason.NO_ROUTE,
    ProbeError.OWN_RESOURCES: Reason.OWN_RESOURCES,
    ProbeError.INTERNAL: Reason.INTERNAL_ERROR,
}


def judge_address(
    examined: ExaminedProbe,
    *,
    need: Need,
    unprotected: Reason,
    tlsa: TlsaSet,
    profile: Profile,
    policy: Policy,
    vantage: Vantage,
) -> Judged:
    """Return what a sender of ``profile`` experiences at the probed address.

    ``need`` is what DANE demands under this profile, ``unprotected`` why it demands nothing when
    it does, ``tlsa`` the host's records. Outcomes: ``authenticated``, ``encrypted``, the two
    opportunistic ones, ``failed``, ``unreachable``, and ``inconclusive`` for our own faults.
    """
    probe = examined.probe
    detail = probe_detail(probe)

    def outcome(found: HostOutcome, reason: Reason | None, why: str | None = detail) -> Judged:
        return judged(found, reason, profile=profile, policy=policy, detail=why)

    own = _own_reason(probe, vantage)
    if own is not None:
        return outcome(HostOutcome.INCONCLUSIVE, own)
    if probe.error is ProbeError.NOT_CONTACTED:
        return outcome(HostOutcome.UNREACHABLE, Reason.SPECIAL_PURPOSE_ADDRESS)
    down = _down_reason(probe)
    if down is not None:
        return _with_reply_code(outcome(HostOutcome.UNREACHABLE, down), probe)
    failure = _tls_failure(probe, need=need, profile=profile)
    if failure is not None:
        # C7 and C12: without a demand for TLS a sender falls back to clear text.
        clear = need is Need.NOTHING
        return outcome(HostOutcome.OPPORTUNISTIC_CLEAR if clear else HostOutcome.FAILED, failure)
    if need is Need.NOTHING:
        return outcome(HostOutcome.OPPORTUNISTIC_TLS, unprotected)  # C32
    if need is Need.ENCRYPTION:
        return outcome(HostOutcome.ENCRYPTED, Reason.TLSA_ALL_UNUSABLE)  # C14
    if not probe.chain:
        return outcome(HostOutcome.FAILED, Reason.TLS_NO_CERTIFICATE)
    found = _applicable_match(examined, profile=profile, policy=policy)
    return outcome(*_authenticate(found, probe=probe, tlsa=tlsa, profile=profile, policy=policy))


def _own_reason(probe: AddressObservation, vantage: Vantage) -> Reason | None:
    """Return why this probe says nothing about the partner, or None.

    A connection that stays without any answer speaks against the partner only in a family in which
    our own packets are known to get out (case 27). A refusal is no better: a firewall of ours that
    rejects port 25 looks just like it.
    """
    if probe.error in _OWN:
        return _OWN[probe.error]
    if is_throttled(probe):
        return Reason.THROTTLED
    silent = probe.stage is ProbeStage.CONNECT and probe.error in (
        ProbeError.TIMEOUT,
        ProbeError.UNREACHABLE,
        ProbeError.REFUSED,
    )
    if not silent:
        return None
    egress = vantage.egress_ipv4 if probe.family is Family.IPV4 else vantage.egress_ipv6
    if egress is True:
        return None
    return Reason.NO_ROUTE if egress is False else Reason.EGRESS_UNPROVEN


def _down_reason(probe: AddressObservation) -> Reason | None:
    """Return why the host is down for a sender (C1 to C4), or None when EHLO went through."""
    if probe.error is None or probe.error is ProbeError.STARTTLS_NOT_OFFERED:
        return None
    if probe.stage not in _BEFORE_EHLO_DONE:
        return None
    if probe.stage is ProbeStage.CONNECT and probe.error is ProbeError.TIMEOUT:
        return Reason.CONNECTION_TIMEOUT
    return _DOWN.get(probe.error, Reason.SMTP_PROTOCOL_ERROR)


def _with_reply_code(found: Judged, probe: AddressObservation) -> Judged:
    """Return ``found`` with the server's own code (C3, C4): every sender shows that one."""
    code = reply_code_of(probe)
    if code is None:
        return found
    return Judged(
        outcome=found.outcome,
        reason=found.reason,
        result_type=found.result_type,
        code=code,
        cause_code=code,
        transient=found.transient,
        detail=found.detail,
    )


def _tls_failure(probe: AddressObservation, *, need: Need, profile: Profile) -> Reason | None:
    """Return why there is no TLS session this profile can use (C5 to C13), or None."""
    if probe.error is ProbeError.NO_CERTIFICATE:
        # TLS is up. Encryption is all that is asked for where no record is usable (C14).
        return Reason.TLS_NO_CERTIFICATE if need is Need.AUTHENTICATION else None
    if probe.error is ProbeError.STARTTLS_NOT_OFFERED:
        return Reason.STARTTLS_NOT_OFFERED
    if probe.error is not None:
        if probe.stage is ProbeStage.STARTTLS:
            return _STARTTLS.get(probe.error, Reason.STARTTLS_NO_ANSWER)
        return Reason.TLS_HANDSHAKE_FAILED
    too_old = probe.tls_version is not None and probe.tls_version not in MODERN_TLS
    if too_old and profile is Profile.EXCHANGE_ONLINE:
        return Reason.TLS_VERSION_TOO_OLD
    return None


def _applicable_match(examined: ExaminedProbe, *, profile: Profile, policy: Policy) -> Match | None:
    """Return the comparison this profile makes: digest agility is a rule of RFC 7671 §9 only."""
    agile = profile is Profile.RFC7672 and policy.digest_agility
    return examined.agile if agile else examined.any_record


def _authenticate(
    found: Match | None,
    *,
    probe: AddressObservation,
    tlsa: TlsaSet,
    profile: Profile,
    policy: Policy,
) -> tuple[HostOutcome, Reason | None, str | None]:
    """Return outcome, reason and detail of a TLS session that must authenticate (C15 to C28)."""
    # A chain and usable records are there, so ``examine`` has compared them.
    assert found is not None
    exchange = profile is Profile.EXCHANGE_ONLINE
    if found.matched:
        reason = _date_failure(found) if exchange else None
        outcome = HostOutcome.AUTHENTICATED if reason is None else HostOutcome.FAILED
        return outcome, reason, None
    bound = _bound_reached(found, probe=probe, tlsa=tlsa, policy=policy)
    if bound is not None:
        return HostOutcome.INCONCLUSIVE, bound, None
    errors = list(found.errors) or [Reason.TLSA_MISMATCH]
    if exchange:
        errors = _expiry_first(errors, found, policy=policy)
    beside = ", ".join(errors[1:])
    return HostOutcome.FAILED, errors[0], f"also: {beside}" if beside else None


def _expiry_first(errors: list[Reason], found: Match, *, policy: Policy) -> list[Reason]:
    """Return ``errors`` as Exchange Online ranks them: 7.322 before 7.323 (C19).

    A wrong name has a code of its own where the code set has one, and stays ahead (case 80).
    """
    expired = found.leaf_expired or Reason.CERTIFICATE_EXPIRED in errors
    if not expired or info(errors[0]).codes[policy.code_set] != NOT_MATCHING:
        return errors
    others = [error for error in errors if error is not Reason.CERTIFICATE_EXPIRED]
    return [Reason.CERTIFICATE_EXPIRED, *others]


def _date_failure(found: Match) -> Reason | None:
    """Return the date that stops Exchange Online at a matching DANE-EE record (C16, C17)."""
    if found.usage != USAGE_DANE_EE:
        return None
    if found.leaf_expired:
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_NOT_YET_VALID if found.leaf_not_yet_valid else None


def _bound_reached(
    found: Match, *, probe: AddressObservation, tlsa: TlsaSet, policy: Policy
) -> Reason | None:
    """Return the bound of ours that may have hidden a match, or None."""
    if Reason.CHAIN_WORK_LIMIT in found.errors:
        return Reason.CHAIN_WORK_LIMIT
    if tlsa.truncated:
        return Reason.TLSA_TOO_MANY
    cut = len(probe.chain) > policy.max_chain_certificates
    if cut and any(record.usage == USAGE_DANE_TA for record in tlsa.usable):
        return Reason.CHAIN_TOO_LONG
    return None
