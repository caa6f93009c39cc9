"""Which probes the evidence asks for, and which of them one task must make.

While names are looked up nobody is contacted: ``NotingProber`` answers each probe with a
placeholder, and ``complete`` puts what was seen later in its place.

Grouping. Everything that a limit of politeness ties together must meet in one task, where the same
gates count that a single process has (``scanner.run.probes``): connections to one address, and to
one network. An address lies in one network, so networks are the units; a host with addresses in two
networks is two probes with nothing in common. Where a rate for operators is set as well, networks
that have an operator in common are one unit. So no network is ever in two groups, and groups may
run side by side.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from scanner.distributed.values import Located, Wish
from scanner.model.names import Name, parent_of
from scanner.model.observation import (
    AddressObservation,
    DomainObservation,
    HostAddress,
    OtherAlgorithm,
    ProbeError,
    ProbeStage,
)
from scanner.model.ports import Clock
from scanner.model.vocabulary import Family
from scanner.run.probes import SharingLimits

Unit = tuple[int, int] | Name


class NotingProber:
    """Contacts nobody (implements ``scanner.model.ports.Prober``)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return a placeholder that ``wish_of`` understands."""
        asked = OtherAlgorithm.UNKNOWN if both_algorithms else OtherAlgorithm.NOT_ASKED
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=self._clock.now(),
            stage=ProbeStage.CONNECT,
            error=ProbeError.NOT_CONTACTED,
            other_algorithm=asked,
        )


def wish_of(placeholder: AddressObservation) -> Wish:
    """Return the probe that a placeholder stands for."""
    assert placeholder.sni is not None, "a placeholder of NotingProber has the name asked for"
    return Wish(
        placeholder.host,
        placeholder.address,
        placeholder.family,
        placeholder.sni,
        placeholder.other_algorithm is OtherAlgorithm.UNKNOWN,
    )


def wishes_of(observations: Iterable[DomainObservation]) -> tuple[Wish, ...]:
    """Return the probes that ``observations`` ask for, each once, in their order."""
    found = {
        wish_of(placeholder): None
        for observation in observations
        for host in observation.hosts
        for placeholder in host.addresses
    }
    return tuple(found)


def complete(
    observation: DomainObservation,
    probes: Mapping[Wish, AddressObservation],
    located: Mapping[Wish, Located],
    greeted: Mapping[str, frozenset[Family]],
) -> DomainObservation:
    """Return ``observation`` with what was seen in place of each placeholder.

    The way out of a family counts as proved if every worker that knocked in vain has been greeted
    in it.
    """
    hosts = tuple(
        replace(host, addresses=tuple(probes[wish_of(one)] for one in host.addresses))
        for host in observation.hosts
    )
    wishes = [wish_of(one) for host in observation.hosts for one in host.addresses]
    proved = {
        family: _is_proved(
            [wish for wish in wishes if wish.family is family], probes, located, greeted
        )
        for family in Family
    }
    total_ms = [probes[wish].timings.total_ms or 0 for wish in wishes]
    return replace(
        observation,
        hosts=hosts,
        duration_ms=observation.duration_ms + max(total_ms, default=0),
        vantage=replace(
            observation.vantage,
            egress_ipv4=proved[Family.IPV4],
            egress_ipv6=proved[Family.IPV6],
        ),
    )


def _is_proved(
    wishes: Sequence[Wish],
    probes: Mapping[Wish, AddressObservation],
    located: Mapping[Wish, Located],
    greeted: Mapping[str, frozenset[Family]],
) -> bool | None:
    unproved = [
        wish
        for wish in wishes
        if not located[wish].answered
        and wish.family not in greeted.get(located[wish].worker, frozenset())
    ]
    if not unproved:
        return True if wishes else None
    no_route = any(probes[wish].error is ProbeError.NO_ROUTE for wish in unproved)
    return False if no_route else None


def latest_probe(observation: DomainObservation) -> datetime | None:
    """Return when the last probe of a completed observation began; None without any."""
    times = [one.observed_at for host in observation.hosts for one in host.addresses]
    return max(times, default=None)


def group_wishes(
    wishes: Iterable[Wish], limits: SharingLimits, *, size: int
) -> list[tuple[Wish, ...]]:
    """Return ``wishes`` in groups of about ``size`` that may be made side by side.

    A group is larger where one unit is. Large units come first, so that none is begun last.
    """
    units: dict[Unit, list[Wish]] = {}
    leaders = _Leaders()
    for wish in wishes:
        network = network_of(wish.address, limits)
        if limits.operator_per_second:
            leaders.join(network, parent_of(wish.host))
        units.setdefault(network, []).append(wish)
    merged: dict[Unit, list[Wish]] = {}
    for unit, members in units.items():
        merged.setdefault(leaders.of(unit), []).extend(members)
    groups: list[tuple[Wish, ...]] = []
    filling: list[Wish] = []
    for members in sorted(merged.values(), key=len, reverse=True):
        filling += members
        if len(filling) >= size:
            groups.append(tuple(filling))
            filling = []
    if filling:
        groups.append(tuple(filling))
    return groups


def network_of(address: str, limits: SharingLimits) -> tuple[int, int]:
    """Return the network that counts for ``address``: IP version and leading bits."""
    parsed = ipaddress.ip_address(address)
    bits = limits.ipv4_network_bits if parsed.version == 4 else limits.ipv6_network_bits
    return parsed.version, int(parsed) >> (parsed.max_prefixlen - bits)


class _Leaders:
    """Which units belong together (union-find with halving of paths)."""

    def __init__(self) -> None:
        self._above: dict[Unit, Unit] = {}

    def of(self, unit: Unit) -> Unit:
        while (above := self._above.get(unit, unit)) != unit:
            self._above[unit] = self._above.get(above, above)
            unit = above
        return unit

    def join(self, one: Unit, other: Unit) -> None:
        first, second = self.of(one), self.of(other)
        if first != second:
            self._above[first] = second
