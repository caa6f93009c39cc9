"""What a load laboratory holds: domains, mail hosts, faults, and the right verdict for each.

The mix is described by ``Mix``; ``seed`` fixes the plan, so that two calls give the same domains,
faults and expectations (keys and certificates differ). Faults are those a partner really has. What
each should lead to is written here by hand and not asked of danewatch.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

OPERATORS = 20
OPERATORS_WITHOUT_DANE = 5
HOSTS_PER_OPERATOR = 3
ADDRESSES_PER_OPERATOR_HOST = 2
TOP_LEVELS = ("elm", "fir", "hazel", "juniper", "larch", "maple", "oak", "pine")
OWN_NETWORKS = 60_000
"""Own hosts stand in so many /24 networks, one after the other, as strangers do in life."""


class Fault(StrEnum):
    """What is wrong with a domain."""

    DS_MISMATCH = "ds-mismatch"
    MX_EXPIRED = "mx-signature-expired"
    SERVERS_DOWN = "servers-down"
    """SERVFAIL to everything below the delegation, at once."""
    SERVERS_SILENT = "servers-silent"
    """The same after a while: the resolver had to give up on them."""
    TLSA_MISMATCH = "tlsa-mismatch"
    TLSA_BOGUS = "tlsa-bogus"
    TLSA_SERVFAIL = "tlsa-servfail"
    CERTIFICATE_EXPIRED = "certificate-expired"
    NO_STARTTLS = "no-starttls"
    HOST_SILENT = "host-silent"
    """TCP opens and nothing is ever said."""


ZONE_FAULTS = (Fault.DS_MISMATCH, Fault.MX_EXPIRED, Fault.SERVERS_DOWN)
HOST_FAULTS = (
    Fault.TLSA_MISMATCH,
    Fault.TLSA_BOGUS,
    Fault.TLSA_SERVFAIL,
    Fault.CERTIFICATE_EXPIRED,
    Fault.NO_STARTTLS,
)


class Behaviour(IntEnum):
    """How a mail host behaves; the numbers are those of mailserver.c."""

    GOOD = 0
    SILENT = 1
    NO_STARTTLS = 2


class Certificate(StrEnum):
    """What a mail host shows, and what its TLSA record says of it."""

    END_ENTITY = "3 1 1"
    TRUST_ANCHOR = "2 1 1"
    NONE = "none"
    """There is no TLSA record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mix:
    """The make-up of a laboratory; shares are of all domains."""

    domains: int
    shared: float = 0.6
    """On one of the operators; the others have a mail host of their own."""
    faulty: float = 0.05
    silent: float = 0.03
    """Run into a time-out: their mail host or their name servers say nothing."""
    unsigned: float = 0.0
    without_dane: float = 0.0
    """Of the sound own hosts: no TLSA records."""
    rsa: float = 0.3
    """Of the own hosts: an RSA key in the certificate, ECDSA in the others'."""
    trust_anchor: float = 0.1
    """Of the own hosts: DANE-TA, DANE-EE in the others'."""
    own_zone: bool = True
    """Whether an own host has a zone of its own, or a name in the domain's."""
    for_others: bool = False
    """Whether there are answers for other programs' questions too: the NS records of each zone."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The right verdicts; ``code`` is Exchange Online's, None where none is claimed here."""

    rfc7672: str
    exchange_online: str
    code: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostPlan:
    """One mail host: ``zone`` is the zone its name is in."""

    name: str
    zone: str
    addresses: tuple[str, ...]
    certificate: Certificate
    behaviour: Behaviour = Behaviour.GOOD
    rsa: bool = False
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainPlan:
    """One domain. ``own`` is its own host, if it has one; ``hosts`` are the names in its MX."""

    name: str
    number: int
    signed: bool
    hosts: tuple[str, ...]
    own: HostPlan | None
    fault: Fault | None
    expected: Expected


_PROTECTED = Expected(rfc7672="protected", exchange_online="protected")
_OPPORTUNISTIC = Expected(rfc7672="opportunistic", exchange_online="opportunistic")
_OF_FAULT = {
    Fault.DS_MISMATCH: Expected(rfc7672="blocked", exchange_online="blocked", code="4.4.312"),
    Fault.MX_EXPIRED: Expected(rfc7672="blocked", exchange_online="blocked", code="4.4.312"),
    Fault.SERVERS_DOWN: Expected(rfc7672="deferred", exchange_online="deferred", code="4.4.312"),
    Fault.SERVERS_SILENT: Expected(rfc7672="deferred", exchange_online="deferred", code="4.4.312"),
    Fault.TLSA_MISMATCH: Expected(rfc7672="blocked", exchange_online="blocked", code="4.7.323"),
    Fault.TLSA_BOGUS: Expected(rfc7672="blocked", exchange_online="blocked", code="4.7.324"),
    Fault.TLSA_SERVFAIL: Expected(rfc7672="deferred", exchange_online="deferred", code="4.7.324"),
    Fault.CERTIFICATE_EXPIRED: Expected(
        rfc7672="protected", exchange_online="blocked", code="4.7.322"
    ),
    Fault.NO_STARTTLS: Expected(rfc7672="blocked", exchange_online="blocked", code="4.7.321"),
    Fault.HOST_SILENT: Expected(rfc7672="deferred", exchange_online="deferred"),
}


def operator_hosts() -> list[list[HostPlan]]:
    """Return the hosts of each operator. The last operators have no DANE."""
    operators = []
    for number in range(OPERATORS):
        zone = f"operator{number:02d}.{TOP_LEVELS[number % len(TOP_LEVELS)]}"
        with_dane = number < OPERATORS - OPERATORS_WITHOUT_DANE
        operators.append(
            [
                HostPlan(
                    name=f"mx{index + 1}.{zone}",
                    zone=zone,
                    addresses=tuple(
                        f"127.240.{number}.{1 + index * ADDRESSES_PER_OPERATOR_HOST + each}"
                        for each in range(ADDRESSES_PER_OPERATOR_HOST)
                    ),
                    certificate=Certificate.END_ENTITY if with_dane else Certificate.NONE,
                    rsa=number % 3 == 0,
                )
                for index in range(HOSTS_PER_OPERATOR)
            ]
        )
    return operators


def domains(mix: Mix) -> Iterator[DomainPlan]:
    """Yield the domains of ``mix``, in the order of the target list."""
    chance = random.Random(mix.seed)
    operators = operator_hosts()
    for number in range(mix.domains):
        on_operator = chance.random() < mix.shared
        dice = chance.random()
        faulty = dice < mix.faulty
        silent = mix.faulty <= dice < mix.faulty + mix.silent
        if on_operator:
            yield _on_operator(mix, number, chance, operators, faulty=faulty, silent=silent)
        else:
            yield _on_own_host(mix, number, chance, faulty=faulty, silent=silent)


def _on_operator(
    mix: Mix,
    number: int,
    chance: random.Random,
    operators: list[list[HostPlan]],
    *,
    faulty: bool,
    silent: bool,
) -> DomainPlan:
    # Operators differ in size as in life: the first few have most of the customers.
    index = min(int(chance.expovariate(0.15)), OPERATORS - 1)
    hosts = operators[index]
    fault = chance.choice(ZONE_FAULTS) if faulty else Fault.SERVERS_SILENT if silent else None
    signed = fault is not None or chance.random() >= mix.unsigned
    with_dane = hosts[0].certificate is not Certificate.NONE
    sound = _PROTECTED if with_dane and signed else _OPPORTUNISTIC
    return DomainPlan(
        name=_domain_name(number),
        number=number,
        signed=signed,
        hosts=tuple(host.name for host in hosts),
        own=None,
        fault=fault,
        expected=_OF_FAULT[fault] if fault else sound,
    )


def _on_own_host(
    mix: Mix, number: int, chance: random.Random, *, faulty: bool, silent: bool
) -> DomainPlan:
    fault = None
    if faulty:
        fault = chance.choice(ZONE_FAULTS + HOST_FAULTS)
    elif silent:
        fault = chance.choice((Fault.SERVERS_SILENT, Fault.HOST_SILENT, Fault.HOST_SILENT))
    signed = fault is not None or chance.random() >= mix.unsigned
    certificate = Certificate.END_ENTITY
    if fault is None and chance.random() < mix.without_dane:
        certificate = Certificate.NONE
    elif fault is None and chance.random() < mix.trust_anchor:
        certificate = Certificate.TRUST_ANCHOR
    top_level = TOP_LEVELS[(number * 5 + 3) % len(TOP_LEVELS)]
    zone = f"m{number:06d}.{top_level}" if mix.own_zone else _domain_name(number)
    own = HostPlan(
        name=f"mx1.{zone}",
        zone=zone,
        addresses=(_own_address(number),),
        certificate=certificate,
        behaviour=_behaviour(fault),
        rsa=chance.random() < mix.rsa,
        fault=fault if fault in HOST_FAULTS else None,
    )
    sound = _PROTECTED if signed and certificate is not Certificate.NONE else _OPPORTUNISTIC
    return DomainPlan(
        name=_domain_name(number),
        number=number,
        signed=signed,
        hosts=(own.name,),
        own=own,
        fault=fault,
        expected=_OF_FAULT[fault] if fault else sound,
    )


def _behaviour(fault: Fault | None) -> Behaviour:
    if fault is Fault.HOST_SILENT:
        return Behaviour.SILENT
    return Behaviour.NO_STARTTLS if fault is Fault.NO_STARTTLS else Behaviour.GOOD


def _domain_name(number: int) -> str:
    return f"d{number:06d}.{TOP_LEVELS[number % len(TOP_LEVELS)]}"


def _own_address(number: int) -> str:
    network, host = number % OWN_NETWORKS, 1 + number // OWN_NETWORKS
    return f"127.{1 + network // 256}.{network % 256}.{host}"
