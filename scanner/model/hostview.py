"""An MX host as one thing, although each domain that uses it brings a judgement of its own.

The DNS stage and the probes of a host are shared by all its domains; the judgement is not, because
DANE applies only below a secure MX RRset (RFC 7672 §2.2.1). A host with TLSA records is therefore
``authenticated`` for one domain and ``opportunistic-tls`` for an unsigned one in the same minute.
States and metrics of the host itself are those a sender sees that came by a secure MX RRset;
otherwise they would change with the order in which domains are checked.

One thing still depends on the domain: a certificate under DANE-TA may name the mail domain instead
of the host (RFC 7672 §3.2.2), and then matches for that domain and no other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from scanner.model.names import Name
from scanner.model.observation import DaneApplicability, HostObservation
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import DnssecStatus, Profile

_DEPENDS_ON_MX = frozenset({DaneApplicability.TLSA_PRESENT, DaneApplicability.TLSA_ERROR})

_HOST_REASONS = {
    DaneApplicability.TLSA_ABSENT: Reason.TLSA_ABSENT,
    DaneApplicability.NOT_APPLICABLE: Reason.HOST_UNSIGNED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HostView:
    """One MX host as one domain's check shows it.

    ``observed_at`` is the time of its latest probe, or of the domain's check where none was made,
    so that two domains that share probes have equal times. ``for_every_domain`` is False where
    the outcome holds only because this domain's MX RRset is not secure.
    """

    host: Name
    preference: int
    observed_at: datetime
    judged: Judged
    observation: HostObservation
    for_every_domain: bool


def host_views(check: Check, profile: Profile) -> Iterator[HostView]:
    """Yield the hosts of ``check`` that were both observed and judged, in order of attempt."""
    observed = {host.route.host: host for host in check.observation.hosts}
    mx_secure = check.observation.route.mx.status is DnssecStatus.SECURE
    for judgement in check.judgement.of(profile).hosts:
        host = observed.get(judgement.host)
        if host is None:
            continue
        yield HostView(
            host=judgement.host,
            preference=judgement.preference,
            observed_at=host_observed_at(host, check.observation.observed_at),
            judged=_of_the_host(judgement.judged, host.route.applicability),
            observation=host,
            for_every_domain=mx_secure or host.route.applicability not in _DEPENDS_ON_MX,
        )


def _of_the_host(judged: Judged, applicability: DaneApplicability) -> Judged:
    """Return ``judged`` with a reason that lies at the host and not at this domain."""
    if judged.reason is not Reason.DOMAIN_UNSIGNED or applicability not in _HOST_REASONS:
        return judged
    return replace(judged, reason=_HOST_REASONS[applicability])


def host_observed_at(host: HostObservation, otherwise: datetime) -> datetime:
    """Return the time of the latest probe of ``host``, or ``otherwise`` if none was made."""
    return max((address.observed_at for address in host.addresses), default=otherwise)
