"""A small language for scenarios: zones, hosts and expectations in a few readable lines.

A scenario starts from a domain where all is well and says what differs. ``Builder`` collects
domains into one ``LabPlan``; ``DomainDraft`` is the domain a scenario writes about.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scanner.lab.ca import Chain, Foundry, for_host, tlsa_text
from scanner.lab.plan import (
    Behaviour,
    Denial,
    DnsFault,
    DnsFaultKind,
    DsKind,
    Fault,
    LabDomain,
    LabHost,
    LabPlan,
    MailHostPlan,
    TlsKind,
    ZonePlan,
    ZoneRecord,
)
from scanner.model.names import ROOT, Name, tlsa_owner
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

TOP = Name("test")
TOP_OPT_OUT = Name("example")
FIRST_ADDRESS = int(ipaddress.IPv4Address("127.1.0.1"))
CONTROL = Name("control.test")
"""For a self-test: ``secure.``, ``insecure.`` and ``bogus.`` below it are what they say."""


@dataclass(slots=True)
class ZoneDraft:
    """A zone being written; ``options`` are those of ZonePlan."""

    origin: Name
    options: dict[str, Any]
    records: list[ZoneRecord] = field(default_factory=list)

    def add(self, owner: Name | str, rdtype: str, *texts: str) -> None:
        """Add an RRset (or more records to it)."""
        self.records.extend(
            ZoneRecord(owner=Name(owner), rdtype=rdtype, text=text) for text in texts
        )

    def plan(self) -> ZonePlan:
        """Return the finished zone."""
        return ZonePlan(origin=self.origin, records=tuple(self.records), **self.options)


UNSIGNED: dict[str, Any] = {"signed": False, "ds": DsKind.NONE}


@dataclass(frozen=True, slots=True)
class HostDraft:
    """An MX host that was written: its name, addresses and what it presents."""

    name: Name
    zone: ZoneDraft
    addresses: tuple[str, ...]
    chain: Chain

    @property
    def tlsa(self) -> Name:
        """The owner of its TLSA records."""
        return tlsa_owner(self.name)


class DomainDraft:
    """A domain being written. The zone is its own unless ``zone`` says otherwise."""

    def __init__(self, builder: "Builder", name: Name, title: str, zone: ZoneDraft) -> None:
        self._builder = builder
        self.foundry = builder.foundry
        self.name = name
        self.title = title
        self.zone = zone
        self._hosts: list[LabHost] = []
        self._faults: list[Fault] = []
        self._unasked: list[tuple[Name, str]] = []

    def sub(self, label: str) -> Name:
        """Return a name under the domain; the domain itself for an empty label."""
        return Name(f"{label}.{self.name}" if label else self.name)

    def host(
        self,
        label: str = "mx1",
        *,
        preference: int = 10,
        zone: ZoneDraft | None = None,
        chain: Chain | None = None,
        tlsa: Iterable[str] | None = None,
        code: str | None = None,
        mx: bool = True,
        **server: Any,
    ) -> HostDraft:
        """Add an MX host with an address, a listening server and TLSA records.

        ``tlsa`` None means one matching 3 1 1 record, empty means none. ``mx`` false adds no MX
        record. ``server`` are fields of MailHostPlan.
        """
        home = zone or self.zone
        name = Name(f"{label}.{home.origin}" if label else home.origin)
        shown = chain or self.foundry.leaf(for_host(name))
        address = self._builder.mail_host(name, shown, **server)
        home.add(name, "A", address)
        records = (tlsa_text(shown.leaf),) if tlsa is None else tuple(tlsa)
        home.add(tlsa_owner(name), "TLSA", *records)
        if mx:
            self.mx(name, preference, code=code, addresses=(address,), zone=home.origin)
        return HostDraft(name, home, (address,), shown)

    def mx(
        self,
        target: Name,
        preference: int = 10,
        *,
        code: str | None = None,
        addresses: tuple[str, ...] = (),
        zone: Name | None = None,
    ) -> None:
        """Add an MX record; the host is remembered as one of the domain's."""
        self.zone.add(self.name, "MX", f"{preference} {target}.")
        self.knows(target, preference, code=code, addresses=addresses, zone=zone)

    def knows(
        self,
        target: Name,
        preference: int = 10,
        *,
        code: str | None = None,
        addresses: tuple[str, ...] = (),
        zone: Name | None = None,
    ) -> None:
        """Remember an MX host without adding a record."""
        home = zone or self.zone.origin
        self._hosts.append(
            LabHost(host=target, preference=preference, zone=home, addresses=addresses, code=code)
        )

    def fault(
        self,
        kind: DnsFaultKind,
        owner: Name | None = None,
        rdtype: str | None = None,
        zone: ZoneDraft | None = None,
    ) -> None:
        """Break something from the start."""
        origin = (zone or self.zone).origin
        self._faults.append(DnsFault(zone=origin, kind=kind, owner=owner, rdtype=rdtype))

    def never_ask(self, name: Name, rdtype: str = "TLSA") -> None:
        """Say that a correct scanner does not ask this."""
        self._unasked.append((name, rdtype))

    def expect(
        self,
        rfc: DomainVerdict,
        exo: DomainVerdict | None = None,
        *,
        code: str | None = None,
        cause: str | None = None,
        other_scope: DomainVerdict | None = None,
        findings: Iterable[Reason] = (),
        slow: bool = False,
    ) -> None:
        """Say what is right, and finish the domain. ``exo`` None means the same as ``rfc``."""
        self._builder.domains.append(
            LabDomain(
                name=self.name,
                label=self._builder.label,
                title=self.title,
                zone=self.zone.origin,
                rfc7672=rfc,
                exchange_online=exo or rfc,
                hosts=tuple(self._hosts),
                code=code,
                cause_code=cause,
                other_scope=other_scope,
                findings=tuple(findings),
                unasked=tuple(self._unasked),
                faults=tuple(self._faults),
                slow=slow,
            )
        )


class Builder:
    """Collects zones, mail hosts and domains. ``label`` names the scenario being written."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.foundry = Foundry(now)
        self.domains: list[LabDomain] = []
        self.label = ""
        self._zones: dict[Name, ZoneDraft] = {}
        self._mail_hosts: list[MailHostPlan] = []
        self._next_address = FIRST_ADDRESS
        self.zone(ROOT, split_keys=True)
        top = self.zone(TOP, split_keys=True)
        top.add("ns.test", "A", "127.0.0.1")
        self.zone(TOP_OPT_OUT, denial=Denial.NSEC3_OPT_OUT)
        self._add_controls()

    def zone(self, origin: Name | str, **options: Any) -> ZoneDraft:
        """Return a new zone; ``options`` are those of ZonePlan."""
        draft = ZoneDraft(Name(origin), options)
        self._zones[draft.origin] = draft
        return draft

    def known_zone(self, origin: Name) -> ZoneDraft:
        """Return a zone that was written before."""
        return self._zones[origin]

    def domain(
        self,
        label: str,
        title: str,
        *,
        top: Name = TOP,
        zone: ZoneDraft | None = None,
        **options: Any,
    ) -> DomainDraft:
        """Return a new domain ``label.top`` in a zone of its own, or in ``zone``."""
        name = Name(f"{label}.{top}")
        return DomainDraft(self, name, title, zone or self.zone(name, **options))

    def mail_host(
        self,
        name: Name,
        chain: Chain | None,
        *,
        address: str | None = None,
        behaviour: Behaviour = Behaviour.GOOD,
        tls: TlsKind = TlsKind.MODERN,
        **options: Any,
    ) -> str:
        """Add a listening address and return it; the next free one unless ``address`` is given."""
        chosen = address or self._take_address()
        self._mail_hosts.append(
            MailHostPlan(
                address=chosen, hostname=name, behaviour=behaviour, chain=chain, tls=tls, **options
            )
        )
        return chosen

    def plan(self) -> LabPlan:
        """Return the finished lab."""
        return LabPlan(
            now=self.now,
            zones=tuple(draft.plan() for draft in self._zones.values()),
            mail_hosts=tuple(self._mail_hosts),
            domains=tuple(self.domains),
        )

    def _take_address(self) -> str:
        while self._next_address & 0xFF in (0, 255):
            self._next_address += 1
        taken = str(ipaddress.IPv4Address(self._next_address))
        self._next_address += 1
        return taken

    def _add_controls(self) -> None:
        secure = self.zone(CONTROL)
        secure.add(CONTROL, "A", "127.0.0.1")
        secure.add(f"secure.{CONTROL}", "A", "127.0.0.1")
        insecure = self.zone(f"insecure.{CONTROL}", **UNSIGNED)
        insecure.add(insecure.origin, "A", "127.0.0.1")
        bogus = self.zone(f"bogus.{CONTROL}", ds=DsKind.MISMATCH)
        bogus.add(bogus.origin, "A", "127.0.0.1")
