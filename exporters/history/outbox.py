"""Rows of the monitoring service, on their way from a check through the outbox to a file.

A row is made when its check is committed and written minutes later, perhaps by another process, so
it travels as JSON: every value as Arrow takes it, times as microseconds since 1970, octets as hex.

What is kept of a check:

- transitions always;
- the row of ``domain_checks`` with the probes it rests on, when there is a transition or when it is
  the heartbeat that shows that nothing changed;
- a certificate when it is new, and with it the probe that brought it;
- a zone when it is new, when its status or reason changed, and with its heartbeat.

A probe that many domains share becomes one row, a certificate one row in a directory.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from exporters.history import rows
from exporters.history.files import partition_of
from exporters.history.recent import Recent
from exporters.history.rows import Row, RunFacts, RunOutcome
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TABLES,
    TRANSITIONS,
    ZONE_CHECKS,
    ColumnType,
    Table,
)
from scanner.model.monitoring import OutboxRow
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostObservation
from scanner.model.transition import Transition
from scanner.model.verdict import Check, HostFacts
from scanner.model.vocabulary import EntityType, Profile
from scanner.model.zones import ZoneObservation

_K = TypeVar("_K", bound=Hashable)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxLimits:
    """What is remembered as kept. Sources: ours; one forgotten is kept once more, which does no
    harm but to the promise that a certificate has one row."""

    certificates: int = 500_000
    """About 60 MiB when full; what 100,000 domains show in some years."""
    probes: int = 200_000
    """A probe is shared for minutes, so this is ample."""
    zones: int = 500_000
    """About 100 MiB when full."""
    zone_heartbeat: timedelta = timedelta(hours=20)
    """A zone that has not changed gets a row with the heartbeat of a domain in it, but not sooner
    than this after its last one, for a zone has many domains. Less than a day, so that the daily
    heartbeat of one domain never just misses it."""


@dataclass(slots=True)
class _ZoneMemory:
    state: tuple[str, str | None]
    kept_at: datetime


class OutboxRowMaker:
    """Makes the rows of the service (implements ``scanner.model.ports.RowMaker``).

    Not for several threads at once. The same checks in the same order give the same rows.
    """

    def __init__(
        self,
        run: RunFacts,
        *,
        known_certificates: Iterable[bytes] = (),
        pending_certificates: Iterable[bytes] = (),
        limits: OutboxLimits | None = None,
    ) -> None:
        """``known_certificates`` are the SHA-256 hashes in the history (``reader``), octets, and
        ``pending_certificates`` rows that are still in the outbox (``SqliteStore.pending_of``)."""
        self._run = run
        self._limits = limits or OutboxLimits()
        self._certificates = Recent(self._limits.certificates, known_certificates)
        for data in pending_certificates:
            self._certificates.first_time(bytes.fromhex(json.loads(data)["sha256"]))
        self._probes = Recent[str](self._limits.probes)
        self._zones: dict[Name, _ZoneMemory] = {}
        self._news: list[Callable[[], None]] = []
        """How to forget again what the check at hand has shown for the first time."""
        self._made: Counter[str] = Counter()
        self._verdicts: dict[Profile, Counter[str]] = {profile: Counter() for profile in Profile}

    def rows_of(
        self, check: Check, transitions: Sequence[Transition], *, heartbeat: bool
    ) -> tuple[OutboxRow, ...]:
        """Return the rows to keep of ``check``, what a row points to before it."""
        keep = heartbeat or bool(transitions)
        zones = {zone.zone: self._zones.get(zone.zone) for zone in check.observation.zones}
        self._news.clear()
        try:
            made = tuple(self._rows_of(check, transitions, keep=keep, heartbeat=heartbeat))
        except BaseException:  # what has no row must not pass for kept
            for forget in self._news:
                forget()
            for name, memory in zones.items():
                self._zones.pop(name, None)
                if memory is not None:
                    self._zones[name] = memory
            raise
        if keep:
            for verdict in check.judgement.verdicts:
                self._verdicts[verdict.profile][verdict.verdict.value] += 1
        self._made.update(row.table for row in made)
        return made

    def transition_rows(self, transitions: Sequence[Transition]) -> tuple[OutboxRow, ...]:
        """Return the rows of ``transitions`` and of nothing else."""
        made = tuple(self._transition_row(one) for one in transitions)
        self._made.update(row.table for row in made)
        return made

    def started(self) -> OutboxRow:
        """Return the row of ``runs`` that tells of the start; without it no one knows of a run
        that was killed. Raises ValueError when the run has no time of its start."""
        if self._run.started_at is None:
            raise ValueError("a run that starts has a time")
        return self._row(
            RUNS, rows.run_row(self._run, RunOutcome.STARTED, started_at=self._run.started_at)
        )

    def stopped(
        self, ended_at: datetime, *, detail: str | None = None, targets: int | None = None
    ) -> OutboxRow:
        """Return the row of ``runs`` that tells of an orderly end."""
        row = rows.run_row(
            self._run,
            RunOutcome.STOPPED,
            started_at=self._run.started_at or ended_at,
            ended_at=ended_at,
            detail=detail,
            targets=targets,
            written=self._made,
            verdicts=self._verdicts,
        )
        return self._row(RUNS, row)

    def _rows_of(
        self, check: Check, transitions: Sequence[Transition], *, keep: bool, heartbeat: bool
    ) -> Iterator[OutboxRow]:
        for host, probe, facts in rows.probes_of(check):
            yield from self._probe_rows(host, probe, facts, keep=keep)
        for zone in check.observation.zones:
            if self._is_zone_due(zone, heartbeat=heartbeat):
                yield self._row(ZONE_CHECKS, rows.zone_row(zone, self._run))
        for transition in transitions:
            yield self._transition_row(transition)
        if keep:
            changed = any(one.entity_type is EntityType.DOMAIN for one in transitions)
            row = rows.domain_row(check, self._run) | {"changed": changed}
            yield self._row(DOMAIN_CHECKS, row)

    def _transition_row(self, transition: Transition) -> OutboxRow:
        return self._row(TRANSITIONS, rows.transition_row(transition, self._run))

    def _probe_rows(
        self,
        host: HostObservation,
        probe: AddressObservation,
        facts: HostFacts | None,
        *,
        keep: bool,
    ) -> Iterator[OutboxRow]:
        seen = rows.certificates_at(facts, probe.address)
        for certificate in (*seen.chain, *seen.other_chain):
            if self._is_news(self._certificates, bytes.fromhex(certificate.sha256)):
                keep = True
                row = rows.certificate_row(certificate, probe.observed_at, self._run)
                yield self._row(CERTIFICATES, row)
        if keep and (not probe.probe_id or self._is_news(self._probes, probe.probe_id)):
            yield self._row(HOST_CHECKS, rows.probe_row(host, probe, facts, self._run))

    def _is_news(self, known: Recent[_K], key: _K) -> bool:
        """Return whether ``key`` is new, and remember it unless the rows of its check fail."""
        if not known.first_time(key):
            return False
        self._news.append(partial(known.forget, key))
        return True

    def _is_zone_due(self, zone: ZoneObservation, *, heartbeat: bool) -> bool:
        """Return whether a row of ``zone`` is to be kept, and remember it then."""
        state = (zone.status.value, None if zone.reason is None else zone.reason.value)
        memory = self._zones.pop(zone.zone, None)
        is_due = (
            memory is None
            or memory.state != state
            or (heartbeat and zone.observed_at - memory.kept_at >= self._limits.zone_heartbeat)
        )
        if memory is None or is_due:
            memory = _ZoneMemory(state, zone.observed_at)
        self._zones[zone.zone] = memory  # last in order: the one not met for longest goes first
        if len(self._zones) > self._limits.zones:
            del self._zones[next(iter(self._zones))]
        return is_due

    @staticmethod
    def _row(table: Table, row: Row) -> OutboxRow:
        return OutboxRow(
            table=table.name,
            partition=partition_of(table, row[table.time]),
            data=encode_row(row),
        )


def encode_row(row: Row) -> bytes:
    """Return ``row`` as JSON, octets that UTF-8 cannot hold replaced."""
    text = json.dumps(row, default=_plain, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _plain(value: object) -> int | str:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{value!r} cannot stand in a row")


def decode_rows(table: Table, datas: Iterable[bytes]) -> list[Row]:
    """Return rows of ``table`` as ``arrow.encode`` takes them; raises ValueError for others."""
    binary = [column.name for column in table.columns if column.type is ColumnType.BINARY]
    decoded: list[Row] = []
    for data in datas:
        row: dict[str, Any] = json.loads(data)
        for name in binary:
            if row.get(name) is not None:
                row[name] = bytes.fromhex(row[name])
        decoded.append(row)
    return decoded


TABLE_BY_NAME = {table.name: table for table in TABLES}
