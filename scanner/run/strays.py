"""Mail servers whose state nobody moves any more, because only unsigned domains still lead to them.

The state of an MX host is what a sender sees that came by a secure MX RRset
(``scanner.model.hostview``). When the last such domain goes elsewhere, or loses its signatures, no
look moves that state again, and what was last known would stand beside what everybody sees.

Rules:

- A host has gone astray when unsigned domains were seen to lead there LOOKS times, an interval of
  checks apart, and no signed one in between, not even inconclusively. Looks are counted and not
  hours: while we are blind or down nobody is looked at.
- A signed domain whose MX RRset cannot be had, or is bogus, still leads where it led before.
- The state of a host astray is dropped; what is shown from there on is what a check sees. Where it
  was failing and an unsigned sender gets through, a transition tells of the end, or it would fail
  for ever in the history. A signed domain that comes later sees the host for the first time.

No I/O: times are those of the checks.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scanner.model.hostview import HostView, host_views
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.observation import MxKind
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DnssecStatus, EntityType, HostOutcome, Profile
from scanner.transition.confirm import Digest
from scanner.transition.fold import FAILING, fold
from scanner.transition.looks import MAX_EVIDENCE, host_look

LOOKS = 3
"""A signed domain is checked once an interval at least, so that two would do; ours."""
_WORDS = ("settled", "only domains without a secure MX RRset lead here any more")


@dataclass(frozen=True, slots=True)
class _Seen:
    looks: int
    last_at: datetime


class Strays:
    """Counts by whom hosts are led to."""

    def __init__(self) -> None:
        self._seen: dict[Name, _Seen] = {}
        self._led_to: dict[Name, tuple[Name, ...]] = {}
        """Hosts by signed domain, as its last MX RRset had them; about 150 octets each."""

    def settle(
        self,
        result: Digest,
        check: Check,
        states: Mapping[EntityKey, State],
        *,
        profile: Profile,
        queue_life: timedelta,
        run_id: str,
    ) -> Digest:
        """Return ``result``, with the end of the states of hosts of ``check`` that are astray."""
        dropped: list[EntityKey] = []
        ended: list[Transition] = []
        for view in self._unsigned(check, states, profile):
            seen = self._seen.get(view.host)
            if seen is None or seen.looks < LOOKS:
                continue
            key = (EntityType.MX, str(view.host))
            dropped.append(key)
            state, look = states[key], host_look(check, view)
            failing = FAILING[EntityType.MX]
            if state.status in failing and look.status not in failing:
                _, transition = fold(
                    state, look, profile=profile, queue_life=queue_life, run_id=run_id
                )
                if transition is not None:
                    evidence = (_WORDS, *transition.evidence)[:MAX_EVIDENCE]
                    ended.append(replace(transition, evidence=evidence))
        if not dropped:
            return result
        return replace(
            result,
            dropped=(*result.dropped, *dropped),
            cleared=tuple(dict.fromkeys((*result.cleared, *dropped))),
            transitions=(*result.transitions, *ended),
        )

    def note(
        self,
        check: Check,
        states: Mapping[EntityKey, State],
        *,
        profile: Profile,
        interval: timedelta,
    ) -> None:
        """Count what ``check`` shows of who leads to its hosts; ``states`` are those after it."""
        for host in self._led_by(check, profile):
            self._seen.pop(host, None)
        now = check.observation.observed_at
        for view in self._unsigned(check, states, profile):
            seen = self._seen.get(view.host)
            if seen is None or now < seen.last_at:  # the first, or the clock was set back
                self._seen[view.host] = _Seen(1, now)
            elif now - seen.last_at >= interval:
                self._seen[view.host] = _Seen(seen.looks + 1, now)

    def _led_by(self, check: Check, profile: Profile) -> tuple[Name, ...]:
        """Return the hosts ``check`` leads every sender to; those of before if it cannot say."""
        domain, route = check.domain, check.observation.route
        if route.kind is MxKind.ERROR:
            return self._led_to.get(domain, ())
        hosts = tuple([view.host for view in host_views(check, profile) if view.for_every_domain])
        if hosts and route.mx.status is DnssecStatus.SECURE:
            self._led_to[domain] = hosts
        else:
            self._led_to.pop(domain, None)
        return hosts

    def forget(self, domain: Name) -> None:
        """``domain`` is watched no more, so it leads nowhere."""
        self._led_to.pop(domain, None)

    def retain(self, states: Collection[EntityKey]) -> None:
        """Forget every host that has no state."""
        self._seen = {
            host: seen for host, seen in self._seen.items() if (EntityType.MX, host) in states
        }

    @staticmethod
    def _unsigned(
        check: Check, states: Mapping[EntityKey, State], profile: Profile
    ) -> Iterator[HostView]:
        """Yield the hosts of ``check`` that have a state which its MX RRset says nothing about."""
        for view in host_views(check, profile):
            if (
                not view.for_every_domain
                and view.judged.outcome is not HostOutcome.INCONCLUSIVE
                and (EntityType.MX, view.host) in states
            ):
                yield view
