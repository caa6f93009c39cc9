"""The latest result of each domain, MX host and zone, as cells of text, and what of it is kept.

Rules:

- An MX host shared by many domains has one record. Where its outcome depends on the domain, that of
  a domain with a secure MX RRset is taken (``scanner.model.hostview``), while it leads there;
  among several, the latest, and of one moment the worst.
- A zone is as it was seen last, by whichever domain.
- A host or zone goes with the last domain that leads to it: when that domain is forgotten, and also
  when its MX records no longer name the host. Otherwise what nobody uses any more would fail for
  ever.
- A record is about 1 KiB, and made of plain tuples of texts and numbers: those the garbage
  collector stops to look at, so that a full collection with 400,000 records stalls nothing.
- Not for several threads at once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from exporters.metrics_text import Cells, cells_of, label_names
from exporters.samples import NO_LEADS, Leads, Pairs, Sampler
from scanner.model.hostview import HostView, host_views
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.verdict import Check, HostFacts
from scanner.model.vocabulary import EntityType, HostOutcome

Rank = tuple[bool, datetime, int]
AHEAD = timedelta(hours=2)
"""Further ahead of a look nothing is that a right clock has dated: probes are shared for minutes,
those that were turned away for an hour."""
_BAD_TO_GOOD = (
    HostOutcome.FAILED,
    HostOutcome.LOOKUP_FAILED,
    HostOutcome.UNREACHABLE,
    HostOutcome.NO_ADDRESS,
    HostOutcome.OPPORTUNISTIC_CLEAR,
    HostOutcome.OPPORTUNISTIC_TLS,
    HostOutcome.ENCRYPTED,
    HostOutcome.AUTHENTICATED,
    HostOutcome.INCONCLUSIVE,
)


Record = tuple[Cells, Leads, Rank, str]
"""What is shown of one entity: its cells, what it leads to, its rank, its source.

The rank says which of two looks at a host or zone counts: whether it holds for every domain, when
it was made, how good it was. The source is the domain whose check showed a host, else empty.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One entity that is shown anew, or no more where ``record`` is None."""

    entity_type: EntityType
    entity: Name
    record: Record | None


class Results:
    """Takes checks, gives changes."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.records: Mapping[EntityType, dict[Name, Record]] = {kind: {} for kind in EntityType}
        self._uses: Mapping[EntityType, Counter[Name]] = {
            EntityType.MX: Counter(),
            EntityType.ZONE: Counter(),
        }

    def add(
        self, check: Check, states: Mapping[EntityKey, State], labels: Pairs
    ) -> tuple[Change, ...]:
        """Take ``check`` in place of an earlier one of the same domain; return what changed.

        ``states`` are those after the check was folded, ``labels`` the operator's own.
        """
        facts = {one.host: one for one in check.judgement.hosts}
        domains = self.records[EntityType.DOMAIN]
        before = domains.get(check.domain)
        earlier = NO_LEADS if before is None else before[1]
        samples = self._sampler.of_domain(check, states, label_names(labels), earlier)
        rank = (True, check.observation.observed_at, 0)
        record = (cells_of(EntityType.DOMAIN, samples.values), samples.leads, rank, "")
        changes = [
            Change(
                entity_type=EntityType.DOMAIN,
                entity=check.domain,
                record=record,
            )
        ]
        domains[check.domain] = record
        unused = self._count_uses(earlier, samples.leads)
        for view in host_views(check, self._sampler.profile):
            if self._uses[EntityType.MX][view.host]:
                state = states.get((EntityType.MX, view.host))
                changes += self._add_host(check, view, facts.get(view.host), state)
        changes += self._add_zones(check, states)
        return (*changes, *self._drop(unused))

    def retain(self, domains: Iterable[Name]) -> tuple[Change, ...]:
        """Forget every domain not in ``domains``, and what only they led to; return the changes."""
        wanted = set(domains)
        records = self.records[EntityType.DOMAIN]
        changes: list[Change] = []
        for name in [name for name in records if name not in wanted]:
            _, leads, _, _ = records.pop(name)
            changes.append(Change(entity_type=EntityType.DOMAIN, entity=name, record=None))
            changes += self._drop(self._count_uses(leads, NO_LEADS))
        return tuple(changes)

    def restore(
        self, kept: Iterable[tuple[EntityType, Name, Record]]
    ) -> tuple[tuple[Change, ...], tuple[EntityKey, ...]]:
        """Take what was kept, except for entities that are known already.

        Domains come first and in the order of their last check, so that what was checked together
        lies together; hosts and zones nobody leads to are left out, and returned beside.
        """
        in_order = sorted(kept, key=lambda one: (one[0] is not EntityType.DOMAIN, one[2][2][1]))
        changes: list[Change] = []
        unused: list[EntityKey] = []
        for kind, name, record in in_order:
            if name in self.records[kind]:
                continue
            if kind is not EntityType.DOMAIN and not self._uses[kind][name]:
                unused.append((kind, name))
                continue
            if kind is EntityType.DOMAIN:
                self._count_uses(NO_LEADS, record[1])
            self.records[kind][name] = record
            changes.append(Change(entity_type=kind, entity=name, record=record))
        return tuple(changes), tuple(unused)

    def _add_host(
        self, check: Check, view: HostView, facts: HostFacts | None, state: State | None
    ) -> Iterator[Change]:
        rank = (
            view.for_every_domain,
            view.observed_at,
            -_BAD_TO_GOOD.index(view.judged.outcome),
        )
        hosts = self.records[EntityType.MX]
        before = hosts.get(view.host)
        if (
            before is not None
            and _is_later(before[2], rank)
            and self._counts(before[3], check, view.host)
        ):
            return
        values = self._sampler.of_host(check, view, facts, state).values
        record = (cells_of(EntityType.MX, values), NO_LEADS, rank, str(check.domain))
        hosts[view.host] = record
        yield Change(entity_type=EntityType.MX, entity=view.host, record=record)

    def _counts(self, source: str, check: Check, host: Name) -> bool:
        """Return whether what ``source`` has shown of ``host`` stands beside a later ``check``."""
        record = self.records[EntityType.DOMAIN].get(Name(source))
        return source != check.domain and record is not None and host in record[1][0]

    def _add_zones(self, check: Check, states: Mapping[EntityKey, State]) -> Iterator[Change]:
        zones = self.records[EntityType.ZONE]
        for zone in check.observation.zones:
            before = zones.get(zone.zone)
            rank = (True, zone.observed_at, 0)
            if before is not None and _is_later(before[2], rank):
                continue
            state = states.get((EntityType.ZONE, zone.zone))
            values = self._sampler.of_zone(zone, state).values
            record = (cells_of(EntityType.ZONE, values), NO_LEADS, rank, "")
            zones[zone.zone] = record
            # The zones at the top are seen by every check: most of the time nothing changed.
            if before is None or before[0] != record[0]:
                yield Change(entity_type=EntityType.ZONE, entity=zone.zone, record=record)

    def _count_uses(self, before: Leads, after: Leads) -> list[EntityKey]:
        """Count what a domain leads to now; return what it no longer does."""
        for kind, names in ((EntityType.MX, after[0]), (EntityType.ZONE, after[1])):
            self._uses[kind].update(names)
        unused: list[EntityKey] = []
        for kind, names in ((EntityType.MX, before[0]), (EntityType.ZONE, before[1])):
            for name in names:
                self._uses[kind][name] -= 1
                if not self._uses[kind][name]:
                    unused.append((kind, name))
        return unused

    def _drop(self, entities: Iterable[EntityKey]) -> Iterator[Change]:
        for kind, text in entities:
            name = Name(text)
            del self._uses[kind][name]
            if self.records[kind].pop(name, None) is not None:
                yield Change(entity_type=kind, entity=name, record=None)


def _is_later(before: Rank, rank: Rank) -> bool:
    """Return whether ``before`` stands, unless a clock that was set back since has dated it."""
    return before > rank and before[1] <= rank[1] + AHEAD
