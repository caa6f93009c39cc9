"""What the service knows between two checks: states, suspicions, and when each domain was checked.

Rules:

- It is moved by finished checks only, in the order in which they end.
- Whoever raised a suspicion looks again when it may be confirmed; a thousand domains that share
  the suspected host do not. A suspicion from before a restart falls to whoever meets it first.
- A domain that could not be judged through a fault of ours is due again soon, each time later;
  one whose servers turned us away is not, for we have come too often already (case 86).
- Memory is bounded by what is watched: ``tidy`` drops the rest once it is old, from the store too.

No I/O, no waiting: ``now`` is an argument.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scanner.model.monitoring import Commit, EntityKey, ScheduleEntry, StoredState, Suspicion
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict, EntityType, Profile
from scanner.run.schedule import Cadence, next_due, place_passed, retry_after
from scanner.run.strays import Strays
from scanner.transition.confirm import ConfirmationPolicy, Digest, digest
from scanner.transition.tlsamemory import recall

PASSING = frozenset(
    {
        Reason.RESOLVER_DOWN,
        Reason.RESOLVER_NOT_VALIDATING,
        Reason.OWN_LOOKUP_FAILED,
        Reason.OWN_RESOURCES,
        Reason.EGRESS_UNPROVEN,
        Reason.INTERNAL_ERROR,
    }
)
"""Faults of ours that may be gone in a minute. To be throttled, to have no route, or to have run
out of time is not gone so soon."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorPolicy:
    """What the service believes, and when. ``run_id`` goes into event identifiers."""

    run_id: str
    profile: Profile = Profile.EXCHANGE_ONLINE
    queue_life: timedelta = timedelta(hours=24)
    cadence: Cadence = field(default_factory=Cadence)
    confirmation: ConfirmationPolicy = field(default_factory=ConfirmationPolicy)
    heartbeat: timedelta = timedelta(hours=24)
    """How often an unchanged domain gets a row in the history; zero keeps every check."""


class Ledger:
    """States, suspicions and the last check of every domain."""

    def __init__(self) -> None:
        self._states: dict[EntityKey, State] = {}
        self._suspicions: dict[EntityKey, Suspicion] = {}
        self._raisers: dict[EntityKey, Name] = {}
        self._entries: dict[Name, ScheduleEntry] = {}
        self._failures: dict[Name, int] = {}
        self._strays = Strays()

    @property
    def states(self) -> Mapping[EntityKey, State]:
        """The states as they stand, confirmed but perhaps not yet durable."""
        return self._states

    @property
    def suspicions(self) -> Mapping[EntityKey, Suspicion]:
        """What was seen once and waits for a second look."""
        return self._suspicions

    @property
    def entries(self) -> Mapping[Name, ScheduleEntry]:
        """The last check of each domain, and when it was to be due after that."""
        return self._entries

    def load(self, stored: StoredState, domains: Collection[Name]) -> None:
        """Go on from ``stored``, as far as ``domains`` are concerned."""
        self._states.update(stored.states)
        self._suspicions.update(stored.suspicions)
        self._entries.update(
            {domain: entry for domain, entry in stored.schedule.items() if domain in domains}
        )

    def digest(self, target: Target, check: Check, policy: MonitorPolicy) -> Digest:
        """Return what ``check`` would change; nothing is changed yet."""
        result = digest(
            self._states,
            self._suspicions,
            check,
            profile=policy.profile,
            queue_life=policy.queue_life,
            confirmation=policy.confirmation,
            run_id=policy.run_id,
            labels=target.labels,
        )
        result = recall(result, check, self._states, profile=policy.profile)
        return self._strays.settle(
            result,
            check,
            self._states,
            profile=policy.profile,
            queue_life=policy.queue_life,
            run_id=policy.run_id,
        )

    def accept(
        self,
        check: Check,
        result: Digest,
        *,
        now: datetime,
        planned: datetime | None,
        policy: MonitorPolicy,
    ) -> tuple[ScheduleEntry, bool]:
        """Take in a digested check; return when its domain is due next, and if a row is due.

        ``planned`` is when the domain would have been due, had nobody asked for this check. The
        row is the one that shows the absence of change, once in ``policy.heartbeat``.
        """
        domain, cadence = check.domain, policy.cadence
        self._merge(domain, result)
        self._strays.note(check, self._states, profile=policy.profile, interval=cadence.interval)
        due = next_due(
            domain,
            now=now,
            cadence=cadence,
            failing_since=result.failing_since,
            look_again_at=self._look_again_at(domain, result),
        )
        if planned is not None and planned > now:
            due = min(due, max(planned, now + cadence.min_gap))
        if _may_pass_soon(check, policy.profile):
            due = min(due, now + self.count_failure(domain, cadence))
        else:
            self._failures.pop(domain, None)
        entry = ScheduleEntry(
            domain=domain,
            due_at=due,
            last_checked_at=check.observation.observed_at,
            failing_since=result.failing_since,
        )
        before = self._entries.get(domain)
        self._entries[domain] = entry
        return entry, _is_heartbeat(before, entry, policy.heartbeat)

    def count_failure(self, domain: Name, cadence: Cadence) -> timedelta:
        """Count a check that came to nothing through a fault of ours; return how long to wait."""
        failures = self._failures[domain] = self._failures.get(domain, 0) + 1
        return retry_after(failures, cadence)

    def states_of(self, check: Check) -> dict[EntityKey, State]:
        """Return the states of the domain, the hosts and the zones of ``check``."""
        keys: list[EntityKey] = [(EntityType.DOMAIN, check.domain)]
        keys += [(EntityType.MX, host.route.host) for host in check.observation.hosts]
        keys += [(EntityType.ZONE, zone.zone) for zone in check.observation.zones]
        return {key: self._states[key] for key in keys if key in self._states}

    def entry_of(self, domain: Name, now: datetime) -> ScheduleEntry:
        """Return the entry of ``domain``; one that is due ``now`` if it was never checked."""
        return self._entries.get(domain) or ScheduleEntry(domain=domain, due_at=now)

    def drop(self, domain: Name) -> None:
        """``domain`` is watched no more. Its state stays a while: lists come back."""
        key = (EntityType.DOMAIN, str(domain))
        self._entries.pop(domain, None)
        self._failures.pop(domain, None)
        self._suspicions.pop(key, None)
        self._raisers.pop(key, None)
        self._strays.forget(domain)

    def tidy(
        self,
        domains: Collection[Name],
        *,
        now: datetime,
        keep_unseen: timedelta,
        forget_after: timedelta,
    ) -> Commit:
        """Drop states nobody led to for ``keep_unseen``, and suspicions older than
        ``forget_after``; those of watched ``domains`` stay. Return what the store is to drop."""
        dropped = [
            key
            for key, state in self._states.items()
            if state.last_seen_at < now - keep_unseen
            and not (key[0] is EntityType.DOMAIN and key[1] in domains)
        ]
        cleared = [
            key
            for key, suspicion in self._suspicions.items()
            if suspicion.first_seen_at < now - forget_after
        ]
        for key in dropped:
            del self._states[key]
        for key in cleared:
            del self._suspicions[key]
        for key, domain in list(self._raisers.items()):
            if key not in self._suspicions or domain not in domains:
                del self._raisers[key]
        self._strays.retain(self._states)
        return Commit(dropped=tuple(dropped), cleared=tuple(cleared))

    def _merge(self, domain: Name, result: Digest) -> None:
        self._states.update(result.states)
        for key in result.dropped:
            self._states.pop(key, None)
        for suspicion in result.suspicions:
            self._suspicions[suspicion.key] = suspicion
            self._raisers[suspicion.key] = domain
        for key in result.cleared:
            self._suspicions.pop(key, None)
            self._raisers.pop(key, None)

    def _look_again_at(self, domain: Name, result: Digest) -> datetime | None:
        moments = [
            moment
            for key, moment in result.pending
            if self._raisers.setdefault(key, domain) == domain
        ]
        if result.look_again_at is not None:
            moments.append(result.look_again_at)
        return min(moments, default=None)


def _may_pass_soon(check: Check, profile: Profile) -> bool:
    """Return whether nothing could be told of the domain for a reason of ours that may pass."""
    verdict = check.judgement.of(profile)
    return verdict.verdict is DomainVerdict.INCONCLUSIVE and verdict.reason in PASSING


def _is_heartbeat(before: ScheduleEntry | None, entry: ScheduleEntry, heartbeat: timedelta) -> bool:
    last = None if before is None else before.last_checked_at
    if last is None or entry.last_checked_at is None or not heartbeat:
        return True
    return place_passed(entry.domain, since=last, now=entry.last_checked_at, interval=heartbeat)
