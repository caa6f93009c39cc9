"""A world for the monitoring service: domains on shared hosts, faults that come and go, all faked.

``World.check`` answers for a domain as of its clock. ``MemoryStore`` keeps what a real store would
and can be told to fail. Nothing here waits for anything but the clock of the event loop.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar

import sample_checks as sample
import trio

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.meter import OwnMetric
from scanner.model.monitoring import (
    Commit,
    EntityKey,
    FileBatch,
    OutboxRow,
    ScheduleEntry,
    Snapshot,
    StoredState,
    Suspicion,
)
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check, Judged
from scanner.model.vocabulary import (
    DnssecStatus,
    DomainVerdict,
    EntityType,
    Fault,
    HostOutcome,
    Profile,
    RRType,
)
from scanner.model.zones import ZoneObservation
from scanner.run.clock import ScaledClock
from scanner.run.gate import OpenGate
from scanner.run.ledger import MonitorPolicy
from scanner.run.monitor import Monitor, MonitorLimits, MonitorPorts

_T = TypeVar("_T")

EXO = Profile.EXCHANGE_ONLINE
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATENCY_SECONDS = 0.25
"""Pretended duration of a check."""
DOWN = Judged(
    outcome=HostOutcome.UNREACHABLE,
    reason=Reason.CONNECTION_TIMEOUT,
    code="4.4.316",
    transient=True,
)
OWN_FAULT = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.RESOLVER_DOWN)
THROTTLED = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.THROTTLED)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a host from ``begins`` until ``ends``, seconds after the start."""

    host: str
    begins: float
    ends: float
    judged: Judged = sample.MISMATCH


@dataclass
class World:
    """Domains, each with one MX host; ``troubles`` of the hosts; checks that were made."""

    clock: ScaledClock
    hosts: dict[str, str]
    troubles: Sequence[Trouble] = ()
    latency_seconds: float = LATENCY_SECONDS
    looks: dict[str, list[float]] = field(default_factory=dict)
    keep_looks: bool = True
    most_at_once: int = 0
    trusted: bool = True
    bug: Callable[[Name], bool] = lambda _: False
    _running: int = 0
    _by_host: dict[str, list[Trouble]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for trouble in self.troubles:
            self._by_host.setdefault(trouble.host, []).append(trouble)

    def seconds(self) -> float:
        """Seconds since the start."""
        return (self.clock.now() - START).total_seconds()

    def state_of(self, host: str, second: float) -> Judged:
        """How ``host`` is at ``second``."""
        for trouble in self._by_host.get(host, ()):
            if trouble.begins <= second < trouble.ends:
                return trouble.judged
        return sample.AUTHENTICATED

    async def check(self, target: Target) -> Check:
        """One check; what is seen is how things are when it begins."""
        now = self.clock.now()
        second = (now - START).total_seconds()
        if self.keep_looks:
            self.looks.setdefault(target.domain, []).append(second)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await trio.sleep(self.latency_seconds)
        finally:
            self._running -= 1
        if self.bug(target.domain):
            raise RuntimeError("a bug")
        host = self.hosts[target.domain]
        return self.made(target.domain, self.state_of(host, second), now)

    def made(self, domain: str, judged: Judged, now: datetime) -> Check:
        """The check of ``domain`` whose only host is ``judged``, as of ``now``."""
        base = one_host_check(domain, self.hosts[domain], judged)
        return at(base, now, trusted=self.trusted)


_VERDICTS = {
    HostOutcome.AUTHENTICATED: DomainVerdict.PROTECTED,
    HostOutcome.ENCRYPTED: DomainVerdict.ENCRYPTED,
    HostOutcome.OPPORTUNISTIC_TLS: DomainVerdict.OPPORTUNISTIC,
    HostOutcome.FAILED: DomainVerdict.BLOCKED,
    HostOutcome.LOOKUP_FAILED: DomainVerdict.DEFERRED,
    HostOutcome.UNREACHABLE: DomainVerdict.DEFERRED,
    HostOutcome.INCONCLUSIVE: DomainVerdict.INCONCLUSIVE,
}


@cache
def one_host_check(
    domain: str,
    host: str,
    judged: Judged,
    *,
    zone: DnssecStatus | None = None,
) -> Check:
    """A check of ``domain`` with one MX host of which ``judged`` is thought."""
    value = _VERDICTS[judged.outcome]
    fault = Fault.SCANNER if judged in (OWN_FAULT, THROTTLED) else Fault.MAIL_OPERATOR
    verdict = sample.verdict(
        EXO,
        value,
        [sample.host_verdict(host, judged)],
        judged=None if judged is sample.AUTHENTICATED else judged,
        final_code=None if judged.code is None else "5" + judged.code[1:],
        fault=Fault.NOBODY if judged is sample.AUTHENTICATED else fault,
    )
    mx = replace(sample.lookup(domain, RRType.MX), ttl_seconds=300)
    check = sample.check(domain, [sample.host(host, probes=[sample.probe(host)])], [verdict], mx=mx)
    if zone is None:
        return check
    seen = ZoneObservation(
        zone=Name(domain),
        status=zone,
        observed_at=sample.NOW,
        reason=None if zone is DnssecStatus.SECURE else DnssecReason.RRSIG_EXPIRED,
    )
    return replace(check, observation=replace(check.observation, zones=(seen,)))


def at(check: Check, now: datetime, *, trusted: bool = True) -> Check:
    """``check`` as of ``now``, with all its probes and zones."""
    observation = check.observation
    hosts = tuple(
        replace(host, addresses=tuple(replace(one, observed_at=now) for one in host.addresses))
        for host in observation.hosts
    )
    zones = tuple(replace(zone, observed_at=now) for zone in observation.zones)
    vantage = observation.vantage
    if not trusted:
        vantage = replace(vantage, resolver_up=False)
    return replace(
        check,
        observation=replace(
            observation, observed_at=now, hosts=hosts, zones=zones, vantage=vantage
        ),
        judgement=replace(check.judgement, judged_at=now),
    )


class MemoryStore:
    """A store in memory. While ``broken`` it raises OSError, and nothing has happened."""

    def __init__(self, stored: StoredState | None = None) -> None:
        stored = stored or StoredState()
        self.states: dict[EntityKey, State] = dict(stored.states)
        self.suspicions: dict[EntityKey, Suspicion] = dict(stored.suspicions)
        self.schedule: dict[Name, ScheduleEntry] = dict(stored.schedule)
        self.snapshots: dict[EntityKey, Snapshot] = {
            (one.entity_type, one.entity): one for one in stored.snapshots
        }
        self.outbox: list[OutboxRow] = []
        self.assigned: list[FileBatch] = []
        self.transactions = 0
        self.most_in_one = 0
        self.files = 0
        self.broken: OSError | None = None
        self.bug: Exception | None = None
        self.on_commit: Callable[[Sequence[Commit]], None] = lambda _: None
        self.closed = False

    def _stand(self) -> None:
        if self.bug is not None:
            bug, self.bug = self.bug, None
            raise bug
        if self.broken is not None:
            raise type(self.broken)(*self.broken.args)

    def stored(self) -> StoredState:
        """What a restart would find."""
        return StoredState(
            states=dict(self.states),
            suspicions=dict(self.suspicions),
            schedule=dict(self.schedule),
            snapshots=tuple(self.snapshots.values()),
        )

    def load(self) -> StoredState:
        self._stand()
        return self.stored()

    def commit(self, commits: Sequence[Commit]) -> None:
        self._stand()
        self.transactions += 1
        self.most_in_one = max(self.most_in_one, len(commits))
        for commit in commits:
            for key in commit.dropped:
                self.states.pop(key, None)
            for key in commit.unshown:
                self.snapshots.pop(key, None)
            self.states.update({(one.entity_type, one.entity): one for one in commit.states})
            self.suspicions.update({one.key: one for one in commit.suspicions})
            for key in commit.cleared:
                self.suspicions.pop(key, None)
            self.schedule.update({one.domain: one for one in commit.schedule})
            self.snapshots.update({(one.entity_type, one.entity): one for one in commit.snapshots})
            self.outbox += commit.rows
        self.on_commit(commits)

    def forget(self, domains: Iterable[Name]) -> None:
        self._stand()
        for domain in domains:
            self.schedule.pop(domain, None)
            self.snapshots.pop((EntityType.DOMAIN, domain), None)

    def pending_rows(self) -> int:
        self._stand()
        return len(self.outbox) + sum(len(batch.rows) for batch in self.assigned)

    def assign(self, *, limit: int) -> tuple[FileBatch, ...]:
        self._stand()
        rows, self.outbox = self.outbox[:limit], self.outbox[limit:]
        for key in sorted({(row.table, row.partition) for row in rows}):
            self.files += 1
            self.assigned.append(
                FileBatch(
                    name=f"file-{self.files}",
                    table=key[0],
                    partition=key[1],
                    rows=tuple(row.data for row in rows if (row.table, row.partition) == key),
                )
            )
        return tuple(self.assigned)

    def settle(self, name: str) -> None:
        self._stand()
        self.assigned = [batch for batch in self.assigned if batch.name != name]

    def close(self) -> None:
        self.closed = True


class Rows:
    """A row for each transition, and one for a check that changed or is due."""

    def __init__(self) -> None:
        self.bug: Exception | None = None
        self.bad_entity: str | None = None
        self.on_transitions: Callable[[Sequence[Transition]], None] = lambda _: None

    def rows_of(
        self, check: Check, transitions: Sequence[Transition], *, heartbeat: bool
    ) -> tuple[OutboxRow, ...]:
        if self.bug is not None:
            raise self.bug
        rows = list(self.transition_rows(transitions))
        if heartbeat or transitions:
            at_ = check.observation.observed_at.isoformat()
            rows.append(row("domain_checks", f"{check.domain} {at_}"))
        return tuple(rows)

    def transition_rows(self, transitions: Sequence[Transition]) -> tuple[OutboxRow, ...]:
        if any(one.entity == self.bad_entity for one in transitions):
            raise ValueError("a bug")
        self.on_transitions(transitions)
        return tuple(row("transitions", one.event_id) for one in transitions)


def row(table: str, text: str) -> OutboxRow:
    return OutboxRow(table=table, partition="year=2026", data=text.encode())


@dataclass
class Files:
    """Files of the history, in memory. While ``broken`` nothing can be written."""

    written: dict[str, FileBatch] = field(default_factory=dict)
    broken: Exception | None = None
    broken_table: str | None = None
    keep: bool = True

    def write_batch(self, batch: FileBatch) -> None:
        if self.broken is not None and self.broken_table in (None, batch.table):
            raise type(self.broken)(*self.broken.args)
        assert batch.name not in self.written
        if self.keep:
            self.written[batch.name] = batch

    def rows(self, table: str) -> list[str]:
        """All rows of ``table``, in the order in which they were written."""
        return [
            data.decode()
            for batch in self.written.values()
            if batch.table == table
            for data in batch.rows
        ]


@dataclass
class Board:
    """Remembers what was shown; keeps one snapshot for each domain."""

    shown: dict[Name, Check] = field(default_factory=dict)
    states: dict[Name, dict[EntityKey, State]] = field(default_factory=dict)
    labels: dict[Name, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    restored: tuple[Snapshot, ...] = ()
    unshown: tuple[EntityKey, ...] = ()
    retained: tuple[Name, ...] = ()
    bug: Exception | None = None

    def show(
        self,
        check: Check,
        *,
        states: dict[EntityKey, State],
        labels: tuple[tuple[str, str], ...],
    ) -> tuple[Snapshot, ...]:
        if self.bug is not None:
            raise self.bug
        self.shown[check.domain] = check
        self.states[check.domain] = dict(states)
        self.labels[check.domain] = labels
        verdict = check.judgement.of(EXO).verdict.value
        return (
            Snapshot(entity_type=EntityType.DOMAIN, entity=check.domain, data=verdict.encode()),
        )

    def restore(self, snapshots: Iterable[Snapshot]) -> tuple[EntityKey, ...]:
        self.restored = tuple(snapshots)
        return self.unshown

    def retain(self, domains: Iterable[Name]) -> None:
        self.retained = tuple(domains)


class Counts:
    """A meter one can read: the last value of a gauge, the sum of a counter, observations."""

    def __init__(self) -> None:
        self.values: dict[tuple[OwnMetric, tuple[str, ...]], float | None] = {}
        self.observed: dict[OwnMetric, int] = {}
        self.history: dict[OwnMetric, list[float | None]] = {}

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        key = (metric, tuple(labels.values()))
        self.values[key] = (self.values.get(key) or 0.0) + amount

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        self.values[metric, tuple(labels.values())] = value
        changes = self.history.setdefault(metric, [])
        if not changes or changes[-1] != value:
            changes.append(value)

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        self.observed[metric] = self.observed.get(metric, 0) + 1

    def get(self, metric: OwnMetric, *labels: str) -> float | None:
        return self.values.get((metric, labels))

    def total(self, metric: OwnMetric) -> float:
        """The sum over all labels."""
        return sum(value or 0.0 for (name, _), value in self.values.items() if name is metric)


class HandGate(OpenGate):
    """A gate opened and closed by hand; ``refuses`` holds back single checks."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.refuses: Callable[[Name], bool] = lambda _: False
        self.noted = 0
        self._opened = trio.Event()

    def close(self, reason: str) -> None:
        self.reason = reason
        self._opened = trio.Event()

    def open(self) -> None:
        self.reason = None
        self._opened.set()

    def closed(self) -> str | None:
        return self.reason

    async def wait_open(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.reason is not None:
            await self._opened.wait()

    def note(self, target: Target, check: Check, digest: object) -> bool:
        self.noted += 1
        return not self.refuses(target.domain)


async def at_once(job: Callable[[], _T], /) -> _T:
    """Run ``job`` here: pretended time must not pass while a thread works."""
    return job()


@dataclass
class Service:
    """A monitor with all its ports at hand."""

    world: World
    monitor: Monitor
    store: MemoryStore
    files: Files
    board: Board
    meter: Counts
    gate: HandGate
    rows: Rows

    @property
    def clock(self) -> ScaledClock:
        return self.world.clock


def service(
    world: World,
    *,
    domains: Iterable[str] | None = None,
    store: MemoryStore | None = None,
    policy: MonitorPolicy | None = None,
    limits: MonitorLimits | None = None,
    labels: tuple[tuple[str, str], ...] = (),
) -> Service:
    """Build a monitor of ``domains`` (all of the world's) over fakes; not yet running."""
    parts = Service(
        world=world,
        monitor=None,  # type: ignore[arg-type]
        store=store or MemoryStore(),
        files=Files(),
        board=Board(),
        meter=Counts(),
        gate=HandGate(),
        rows=Rows(),
    )
    parts.monitor = Monitor(
        MonitorPorts(
            check=world.check,
            store=parts.store,
            clock=world.clock,
            meter=parts.meter,
            gate=parts.gate,
            board=parts.board,
            rows=parts.rows,
            writer=parts.files,
            in_thread=at_once,
        ),
        targets=targets(world.hosts if domains is None else domains, labels),
        policy=policy or MonitorPolicy(run_id="run"),
        limits=limits,
    )
    return parts


def targets(domains: Iterable[str], labels: tuple[tuple[str, str], ...] = ()) -> list[Target]:
    return [Target(domain=Name(domain), labels=labels) for domain in domains]


def hours(number: float) -> timedelta:
    return timedelta(hours=number)
