"""What one MX host's evidence says about DANE, before any profile has an opinion.

Every profile reads the same records and certificates, so the costly part (comparing chains with
records, RFC 7671 §5) is done here once for each probe, under digest agility and without it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from scanner.judge.matching import Match, match
from scanner.judge.refnames import reference_identifiers
from scanner.judge.tlsa import TlsaSet, after_agility, assess
from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    DaneApplicability,
    HostObservation,
    MailRoute,
    TlsaRecord,
)
from scanner.model.policy import Policy
from scanner.model.record import record
from scanner.model.vocabulary import DnssecStatus


class Need(StrEnum):
    """What the TLSA records of a host ask of a sender (RFC 7672 §2.2, §3.1)."""

    AUTHENTICATION = "authentication"
    """At least one usable record: TLS, and a certificate that matches."""
    ENCRYPTION = "encryption"
    """Records, none of them usable: TLS, with whatever certificate."""
    NOTHING = "nothing"
    """No protected records: TLS if it happens to be there."""


@record
class ExaminedProbe:
    """One probe with what its chain matches: with digest agility, and with any usable record.

    Both are None when there was nothing to compare: no chain, or no usable record. ``other`` is
    the same for the chain of the other algorithm, as if the probe had been shown that one; None
    when it was shown none.
    """

    probe: AddressObservation
    agile: Match | None = None
    any_record: Match | None = None
    other: "ExaminedProbe | None" = None

    def matching_records(self) -> frozenset[TlsaRecord]:
        """Return the usable records that match what this address shows to one client or another."""
        compared = (one.any_record for one in (self, self.other) if one is not None)
        return frozenset(record for found in compared if found for record in found.records)


@record
class Examination:
    """What the TLSA records of a host need, and how each probe stands to them."""

    need: Need
    tlsa: TlsaSet
    probes: tuple[ExaminedProbe, ...]


def mx_is_secure(route: MailRoute) -> bool:
    """Return whether the MX stage is proven authentic, the absence of MX records included."""
    return route.mx.status is DnssecStatus.SECURE and not route.mx.is_error


def examine(
    host: HostObservation, *, route: MailRoute, policy: Policy, now: datetime
) -> Examination:
    """Return what the records of ``host`` need and which of its probes meet it.

    Whether the need counts, given the security of the MX records, is left to the profiles.
    """
    present = host.route.applicability is DaneApplicability.TLSA_PRESENT
    tlsa = assess(host.route.tlsa if present else (), max_records=policy.max_tlsa_records)
    if not present:
        need = Need.NOTHING
    elif tlsa.usable:
        need = Need.AUTHENTICATION
    else:
        need = Need.ENCRYPTION
    # With insecure MX records only the MX host's own name may be compared (RFC 7672 §3.2.2).
    reference_ids = reference_identifiers(
        tlsa_base=host.route.tlsa_base,
        domain=route.domain,
        expanded=route.expanded,
        mx_secure=mx_is_secure(route),
        mx_host=host.route.host,
    )

    def examined(probe: AddressObservation) -> ExaminedProbe:
        return _examine_probe(probe, tlsa, reference_ids=reference_ids, policy=policy, now=now)

    probes = []
    for probe in in_route_order(host):
        one = examined(probe)
        if probe.chain and probe.other_chain:
            one = replace(one, other=examined(replace(probe, chain=probe.other_chain)))
        probes.append(one)
    return Examination(need=need, tlsa=tlsa, probes=tuple(probes))


def in_route_order(host: HostObservation) -> tuple[AddressObservation, ...]:
    """Return the probes in the order of the host's addresses, whichever finished first."""
    order = {address.address: index for index, address in enumerate(host.route.addresses)}
    return tuple(sorted(host.addresses, key=lambda probe: (order.get(probe.address, len(order)),)))


def _examine_probe(
    probe: AddressObservation,
    tlsa: TlsaSet,
    *,
    reference_ids: Sequence[Name],
    policy: Policy,
    now: datetime,
) -> ExaminedProbe:
    if not probe.chain or not tlsa.usable:
        return ExaminedProbe(probe=probe)

    def compare(*, agility: bool) -> Match:
        return match(
            probe.chain,
            tlsa.usable,
            reference_ids=reference_ids,
            now=now,
            policy=policy,
            agility=agility,
        )

    agile = compare(agility=True)
    # Agility changes nothing for most record sets; the second comparison is then the first one.
    same = len(after_agility(tlsa.usable)) == len(tlsa.usable)
    return ExaminedProbe(
        probe=probe, agile=agile, any_record=agile if same else compare(agility=False)
    )
