"""Named ways to break a good domain while the lab runs, for the demo and for tests of transitions.

``break_domain`` turns a name into faults for ``Lab.set_fault`` and says what a correct scanner must
then find. It breaks every MX host of the domain, so on a shared mail operator it breaks others too,
as in life.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.lab.ca import DAY, Foundry, LeafSpec
from scanner.lab.plan import (
    Behaviour,
    DnsFault,
    DnsFaultKind,
    Fault,
    LabDomain,
    LabPlan,
    MailFault,
    RecordFault,
)
from scanner.model.names import tlsa_owner
from scanner.model.vocabulary import DomainVerdict

WRONG_TLSA = "3 1 1 " + "ab" * 32


class NamedFault(StrEnum):
    """What an operator may do wrong."""

    DS_MISMATCH = "ds-mismatch"
    SIGNATURES_EXPIRED = "signatures-expired"
    NAME_SERVERS_DOWN = "name-servers-down"
    TLSA_SIGNATURE_EXPIRED = "tlsa-signature-expired"
    TLSA_SERVFAIL = "tlsa-servfail"
    TLSA_TIMEOUT = "tlsa-timeout"
    TLSA_MISMATCH = "tlsa-mismatch"
    TLSA_REMOVED = "tlsa-removed"
    CERTIFICATE_REPLACED = "certificate-replaced"
    CERTIFICATE_EXPIRED = "certificate-expired"
    NO_STARTTLS = "no-starttls"
    STARTTLS_DEFERRED = "starttls-deferred"
    HOSTS_DOWN = "hosts-down"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Faults, and the verdicts they lead to on a domain that was protected by 3 1 1 records.

    ``code`` is what an Exchange Online sender shows while mail is queued; ``cause_code`` the more
    precise one, where that differs.
    """

    faults: tuple[Fault, ...]
    rfc7672: DomainVerdict
    exchange_online: DomainVerdict
    code: str | None = None
    cause_code: str | None = None


def break_domain(plan: LabPlan, domain: LabDomain, name: NamedFault) -> Effect:
    """Return how to break ``domain`` by ``name`` and what must be found then."""
    return _EFFECTS[name](plan, domain)


def _zone_fault(kind: DnsFaultKind, verdict: DomainVerdict, cause: str | None) -> "_Maker":
    def make(plan: LabPlan, domain: LabDomain) -> Effect:
        del plan
        return Effect(
            faults=(DnsFault(zone=domain.zone, kind=kind),),
            rfc7672=verdict,
            exchange_online=verdict,
            code="4.4.312",
            cause_code=cause,
        )

    return make


def _tlsa_fault(kind: DnsFaultKind, verdict: DomainVerdict) -> "_Maker":
    def make(plan: LabPlan, domain: LabDomain) -> Effect:
        del plan
        faults = tuple(
            DnsFault(zone=host.zone, kind=kind, owner=tlsa_owner(host.host), rdtype="TLSA")
            for host in domain.hosts
        )
        return Effect(faults=faults, rfc7672=verdict, exchange_online=verdict, code="4.7.324")

    return make


def _records(texts: tuple[str, ...], verdict: DomainVerdict, code: str | None) -> "_Maker":
    def make(plan: LabPlan, domain: LabDomain) -> Effect:
        del plan
        faults = tuple(
            RecordFault(zone=host.zone, owner=tlsa_owner(host.host), rdtype="TLSA", texts=texts)
            for host in domain.hosts
        )
        return Effect(faults=faults, rfc7672=verdict, exchange_online=verdict, code=code)

    return make


def _behaviour(behaviour: Behaviour, verdict: DomainVerdict, code: str) -> "_Maker":
    def make(plan: LabPlan, domain: LabDomain) -> Effect:
        del plan
        faults = tuple(
            MailFault(address=address, behaviour=behaviour) for address in _addresses(domain)
        )
        return Effect(faults=faults, rfc7672=verdict, exchange_online=verdict, code=code)

    return make


def _replaced(plan: LabPlan, domain: LabDomain) -> Effect:
    """A new certificate with a new key, and the old TLSA record."""
    foundry = Foundry(plan.now)
    faults = tuple(
        MailFault(address=address, chain=foundry.leaf(LeafSpec(names=(host.host,))))
        for host in domain.hosts
        for address in host.addresses
    )
    return Effect(
        faults=faults,
        rfc7672=DomainVerdict.BLOCKED,
        exchange_online=DomainVerdict.BLOCKED,
        code="4.7.323",
    )


def _expired(plan: LabPlan, domain: LabDomain) -> Effect:
    """The certificate of the same key ran out yesterday (case C16)."""
    foundry = Foundry(plan.now)
    planned = {host.address: host for host in plan.mail_hosts}
    faults: list[Fault] = []
    for host in domain.hosts:
        spec = LeafSpec(names=(host.host,), starts=-90 * DAY, ends=-DAY)
        for address in host.addresses:
            chain = planned[address].chain
            if chain is not None:
                foundry.adopt(spec.key_kind, address, chain.key)
                expired = foundry.leaf(replace(spec, key_label=address))
                faults.append(MailFault(address=address, chain=expired))
    return Effect(
        faults=tuple(faults),
        rfc7672=DomainVerdict.PROTECTED,
        exchange_online=DomainVerdict.BLOCKED,
        code="4.7.322",
    )


def _addresses(domain: LabDomain) -> list[str]:
    return [address for host in domain.hosts for address in host.addresses]


_Maker = Callable[[LabPlan, LabDomain], Effect]

_BLOCKED = DomainVerdict.BLOCKED
_DEFERRED = DomainVerdict.DEFERRED
_EFFECTS: dict[NamedFault, _Maker] = {
    NamedFault.DS_MISMATCH: _zone_fault(DnsFaultKind.DS_MISMATCH, _BLOCKED, "4.7.324"),
    NamedFault.SIGNATURES_EXPIRED: _zone_fault(DnsFaultKind.SIGNATURE_EXPIRED, _BLOCKED, "4.7.324"),
    NamedFault.NAME_SERVERS_DOWN: _zone_fault(DnsFaultKind.UNREACHABLE, _DEFERRED, None),
    NamedFault.TLSA_SIGNATURE_EXPIRED: _tlsa_fault(DnsFaultKind.SIGNATURE_EXPIRED, _BLOCKED),
    NamedFault.TLSA_SERVFAIL: _tlsa_fault(DnsFaultKind.SERVFAIL, _DEFERRED),
    NamedFault.TLSA_TIMEOUT: _tlsa_fault(DnsFaultKind.DROP, _DEFERRED),
    NamedFault.TLSA_MISMATCH: _records((WRONG_TLSA,), _BLOCKED, "4.7.323"),
    NamedFault.TLSA_REMOVED: _records((), DomainVerdict.OPPORTUNISTIC, None),
    NamedFault.CERTIFICATE_REPLACED: _replaced,
    NamedFault.CERTIFICATE_EXPIRED: _expired,
    NamedFault.NO_STARTTLS: _behaviour(Behaviour.NO_STARTTLS, _BLOCKED, "4.7.321"),
    NamedFault.STARTTLS_DEFERRED: _behaviour(Behaviour.STARTTLS_454, _DEFERRED, "4.7.321"),
    NamedFault.HOSTS_DOWN: _behaviour(Behaviour.REFUSED, _DEFERRED, "4.4.316"),
}
