"""Keeps what validations tell of zones, so that a check can name every zone it rests on.

Answers and chains are shared and cached: most checks validate nothing of the root, of a top-level
domain or of a large provider's zone themselves. So zones are kept apart from domains, and a check
takes those that its names lie in.

Rules
- A zone is as it was seen last. A bogus answer counts for as long as nothing better is known of
  the same question, an hour at most.
- Signatures are those seen in the last hour, a bounded number of them for a zone; of a top-level
  domain these are the DS records of domains checked lately.
- A name that is proven absent by one answer and has records in another, within a minute, is told:
  its servers are not in step (some do so for AAAA alone, which breaks resolvers by RFC 8020).
- How late a zone renews its signatures is learnt from looks at the same record set.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from scanner.judge.dnssec.findings import finding
from scanner.judge.dnssec.forecast import Signed, ZoneHabits, signed_of
from scanner.judge.dnssec.zonefacts import answer_findings, zone_at_fault, zone_observation
from scanner.model.dnssec import ChainLink, CheckedRRset, DnssecFinding, LinkKind, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name, labels_of, parent_of
from scanner.model.observation import Question
from scanner.model.ports import Clock
from scanner.model.vocabulary import DnssecStatus, LookupOutcome
from scanner.model.zones import ZoneObservation
from scanner.observe.disposal import let_go
from scanner.wire.dnsrdata import TYPE_CODES

# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE
_NO_CUT: Final = LinkKind.NO_CUT

RRsetKey = tuple[Name, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeeperLimits:
    """Bounds; a zone takes about 3 KiB. Sources: ours."""

    max_zones: int = 20_000
    """Zones kept; those not used for longest go first."""
    max_signed_per_zone: int = 32
    """Record sets of a zone whose signatures are remembered, the latest."""
    max_faults_per_zone: int = 16
    max_age: timedelta = timedelta(hours=1)
    """How long a signature or a bogus answer counts without being seen again."""
    max_zone_age: timedelta = timedelta(days=1)
    """How long a zone is known without being seen again; longer than any answer is cached."""
    max_names: int = 4_096
    """Names whose existence is remembered, to see whether another answer denies it."""
    max_step: timedelta = timedelta(minutes=1)
    """How far apart two answers may be that contradict each other; zones do change."""
    max_staleness: timedelta = timedelta(minutes=1)
    """How old what is told of a zone may be while its keys are the same; the root and top-level
    domains are asked for with every check."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What was wrong with one answer; ``fault`` where it makes the zone bogus."""

    at: datetime
    fault: DnssecReason | None
    findings: tuple[DnssecFinding, ...]


_NO_HABITS = ZoneHabits()


@dataclass(slots=True)
class _Zone:
    """One zone as kept; ``told`` is what was last made of it, None when that no longer holds."""

    link: ChainLink
    seen_at: datetime
    signed: OrderedDict[RRsetKey, tuple[Signed, datetime]] = field(default_factory=OrderedDict)
    doubts: OrderedDict[Question, _Doubt] = field(default_factory=OrderedDict)
    habits: ZoneHabits = _NO_HABITS
    told: ZoneObservation | None = None


class ZoneKeeper:
    """Takes validations and tells of zones (implements ``scanner.model.ports.ZoneSource``)."""

    def __init__(
        self, *, clock: Clock, at: datetime | None = None, limits: KeeperLimits | None = None
    ) -> None:
        """``clock`` tells when something was seen; ``at`` is the moment signatures are judged for,
        that of the clock when None."""
        self._clock = clock
        self._at = at
        self._limits = limits or KeeperLimits()
        self._zones: OrderedDict[Name, _Zone] = OrderedDict()
        self._existence: OrderedDict[Name, tuple[bool, datetime]] = OrderedDict()

    def take(self, validation: Validation) -> None:
        """Keep what ``validation`` says of each zone it went through."""
        now = self._clock.now()
        for link in validation.chain:
            if link.kind is not _NO_CUT:
                self._take_link(link, now)
        for rrset in validation.rrsets:
            self._take_signed(rrset, now)
        self._take_doubts(validation, now)
        while len(self._zones) > self._limits.max_zones:
            self._zones.popitem(last=False)

    def zones_of(self, names: Iterable[Name]) -> tuple[ZoneObservation, ...]:
        """Return the zones at or above ``names`` that are known, from the top down."""
        now = self._clock.now()
        oldest = now - self._limits.max_zone_age
        looked_at: set[Name] = set()
        wanted: list[tuple[int, Name]] = []
        for name in names:
            above = name
            # The names of a domain have most of what is above them in common.
            while above not in looked_at:
                looked_at.add(above)
                kept = self._zones.get(above)
                if kept is not None and kept.seen_at >= oldest:
                    wanted.append((len(labels_of(above)), above))
                above = parent_of(above)
        wanted.sort()
        for _, zone in wanted:
            self._zones.move_to_end(zone)
        return tuple([self._tell(self._zones[zone], now) for _, zone in wanted])

    def forget(self) -> None:
        """Drop everything, when nothing that was seen can be trusted."""
        let_go(self._zones)
        self._zones = OrderedDict()
        self._existence.clear()

    def _take_link(self, link: ChainLink, now: datetime) -> None:
        zone = link.zone
        kept = self._zones.get(zone)
        if kept is None:
            kept = self._zones[zone] = _Zone(link, now)
        else:
            self._zones.move_to_end(zone)
            kept.seen_at = now
            if kept.link is link:
                return
            kept.link, kept.told = link, None
        for rrset in link.rrsets:
            self._take_signed(rrset, now)

    def _take_signed(self, rrset: CheckedRRset, now: datetime) -> None:
        kept = self._zones.get(rrset.zone) if rrset.zone is not None else None
        if kept is None:
            return
        signed = signed_of(rrset)
        key = (rrset.owner, rrset.rdtype)
        before = kept.signed.get(key)
        kept.signed[key] = (signed, now)
        if before is not None:
            kept.habits = kept.habits.learn(*before, signed, now)
            kept.signed.move_to_end(key)
        elif len(kept.signed) > self._limits.max_signed_per_zone:
            kept.signed.popitem(last=False)

    def _take_doubts(self, validation: Validation, now: datetime) -> None:
        findings = (*answer_findings(validation), *self._contradictions(validation, now))
        at_fault = zone_at_fault(validation)
        all_well = not findings and at_fault is None
        for link in validation.chain:
            kept = self._zones.get(link.zone)
            if kept is None or (all_well and not kept.doubts):
                continue
            about = tuple(noted for noted in findings if noted.zone == link.zone)
            fault = validation.reason if link.zone == at_fault else None
            if kept.doubts.pop(validation.question, None) is not None:
                kept.told = None
            if about or fault is not None:
                doubt = _Doubt(at=now, fault=fault, findings=about)
                kept.doubts[validation.question] = doubt
                kept.told = None
            while len(kept.doubts) > self._limits.max_faults_per_zone:
                kept.doubts.popitem(last=False)

    def _contradictions(self, validation: Validation, now: datetime) -> tuple[DnssecFinding, ...]:
        """Return that a name is there for one answer and proven absent by another, if so."""
        name, zone = validation.question.name, validation.zone
        exists = _existence(validation)
        if exists is None or zone is None:
            return ()
        before = self._existence.get(name)
        self._existence[name] = exists, now
        if before is None:
            if len(self._existence) > self._limits.max_names:
                self._existence.popitem(last=False)
            return ()
        self._existence.move_to_end(name)
        if before[0] == exists or now - before[1] > self._limits.max_step:
            return ()
        contradiction = finding(
            DnssecReason.DENIAL_CONTRADICTS,
            zone=zone,
            owner=name,
            rdtype=TYPE_CODES[validation.question.rdtype],
            values=(("name", name),),
        )
        return (contradiction,)

    def _tell(self, kept: _Zone, now: datetime) -> ZoneObservation:
        told = kept.told
        if told is not None and told.observed_at >= kept.seen_at - self._limits.max_staleness:
            return told
        oldest = now - self._limits.max_age
        doubts = [doubt for doubt in kept.doubts.values() if doubt.at >= oldest]
        kept.told = zone_observation(
            kept.link,
            [signed for signed, at in kept.signed.values() if at >= oldest],
            observed_at=kept.seen_at,
            now=self._at or now,
            fault=next((doubt.fault for doubt in doubts if doubt.fault is not None), None),
            findings=[noted for doubt in doubts for noted in doubt.findings],
            habits=kept.habits,
        )
        return kept.told


def _existence(validation: Validation) -> bool | None:
    """Return whether a secure answer shows that its name exists; None where it does not tell.

    Records made from a wildcard and what an alias leads to say nothing of the name itself.
    """
    if validation.status is not _SECURE or validation.aliases:
        return None
    for rrset in validation.rrsets:
        if rrset.wildcard is not None:
            return None
    return _SHOWN.get(validation.outcome)


_SHOWN = {LookupOutcome.DATA: True, LookupOutcome.NXDOMAIN: False}
