"""What all shards of a pass have in common, kept by whoever conducts it.

Shards are judged on many machines; three things must be decided in one place, in one order, to come
out as a single process would have them:

- A probe, a certificate and a zone have one row, however many domains of however many shards share
  them. Whichever shard is entered first writes it.
- A change is a transition once. Looks of all shards are folded here, one shard after the other.
- Counts.

Memory: the states (as in a single process), 36 octets and a key for each probe, 32 for each
certificate.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from exporters.history.shards import Share, ZoneState
from scanner.distributed.values import DomainReport
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.transition import State, Transition
from scanner.model.vocabulary import Profile
from scanner.transition.changes import Changes
from scanner.transition.fold import fold
from scanner.transition.looks import Pairs


class Books:
    """Enters domains shard by shard. Not for several threads at once."""

    def __init__(
        self,
        *,
        states: Mapping[EntityKey, State],
        certificates: Iterable[bytes],
        profile: Profile,
        queue_life: timedelta,
        run_id: str,
        labels: Mapping[Name, Pairs],
        on_domain: Callable[[DomainReport], None] = lambda _: None,
    ) -> None:
        """``states`` and ``certificates`` are what the history knows already."""
        self._states = dict(states)
        self._certificates = set(certificates)
        self._profile = profile
        self._queue_life = queue_life
        self._run_id = run_id
        self._labels = labels
        self._on_domain = on_domain
        self._probes: set[str] = set()
        self._zones: dict[Name, ZoneState] = {}
        self.verdicts: dict[Profile, Counter[str]] = {one: Counter() for one in Profile}
        self.changes = Changes()

    def enter(self, domains: Iterable[DomainReport]) -> Share:
        """Return what the shard of ``domains`` writes beside its domain checks."""
        probes: set[str] = set()
        certificates: set[bytes] = set()
        zones: set[ZoneState] = set()
        transitions: list[Transition] = []
        for report in domains:
            transitions += self._fold(report)
            probes.update(one for one in report.contents.probes if one not in self._probes)
            certificates.update(
                one for one in report.contents.certificates if one not in self._certificates
            )
            for zone in report.contents.zones:
                if self._zones.get(zone[0]) != zone:
                    self._zones[zone[0]] = zone
                    zones.add(zone)
            for profile, verdict in report.verdicts:
                self.verdicts[profile][verdict] += 1
            self._on_domain(report)
        self._probes |= probes
        self._certificates |= certificates
        return Share(
            probes=frozenset(probes),
            certificates=frozenset(certificates),
            zones=frozenset(zones),
            transitions=tuple(transitions),
        )

    def _fold(self, report: DomainReport) -> list[Transition]:
        transitions = []
        for look in report.looks:
            after, transition = fold(
                self._states.get(look.key),
                look,
                profile=self._profile,
                queue_life=self._queue_life,
                run_id=self._run_id,
                labels=self._labels.get(report.domain, ()),
            )
            if after is not None:
                self._states[look.key] = after
            if transition is not None:
                transitions.append(transition)
                self.changes.note(transition)
        return transitions
