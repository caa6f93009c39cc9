"""An MX host as one thing, although each domain that uses it brings a judgement of its own.

The DNS stage and the probes of a host are shared by all its domains; the judgement is not, because
DANE applies only below a secure MX RRset (RFC 7672 §2.2.1). A host with TLSA records is therefore
``authenticated`` for one domain and ``opportunistic-tls`` for an unsigned one in the same minute.
States and metrics of the host itself are those a sender sees that came by a secure MX RRset;
otherwise they would change with the order in which domains are checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from scanner.model.names import Name
from scanner.model.observation import DaneApplicability, HostObservation
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import DnssecStatus, Profile

_DEPENDS_ON_MX = frozenset({DaneApplicability.TLSA_PRESENT, DaneApplicability.TLSA_ERROR})


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
            judged=judgement.judged,
            observation=host,
            for_every_domain=mx_secure or host.route.applicability not in _DEPENDS_ON_MX,
        )


def host_observed_at(host: HostObservation, otherwise: datetime) -> datetime:
    """Return the time of the latest probe of ``host``, or ``otherwise`` if none was made."""
    return max((address.observed_at for address in host.addresses), default=otherwise)
