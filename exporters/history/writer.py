"""Writing the history: checks and transitions in, whole Parquet files out.

Why no transition is lost and none is written twice, wherever the process dies:

- A flush writes certificates, then probes and zones, then transitions, then domain checks; each
  file stands whole or not at all. So a domain check that can be read has its transitions beside it.
- A resumed run checks the domains that have no row in ``domain_checks``. A transition that was
  written before the process died, without its domain check, is found by ``reader.last_states``,
  which takes states from ``transitions`` alone: checked again, the domain has not changed, and no
  second transition arises.
- Files are flushed only on entry to ``write`` and ``write_transitions``, the latter flushing only
  transitions: whether a caller hands over a check or its transitions first, the check is never
  written before them.

Certificates and probes written just before the end may have no domain check; both are evidence in
their own right, and each certificate and each probe is written once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exporters.history import arrow, files, reader, rows
from exporters.history.files import HistoryError
from exporters.history.recent import Recent
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TABLES,
    TRANSITIONS,
    ZONE_CHECKS,
    Table,
)
from scanner.model.names import Name
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import EntityType, Profile
from scanner.model.zones import ZoneObservation

_FLUSH_ORDER = (CERTIFICATES, HOST_CHECKS, ZONE_CHECKS, TRANSITIONS, DOMAIN_CHECKS)
_ROW_BYTES = 2_048
"""Rough memory of one row without its long texts; measured 1.5 to 3 KiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryLimits:
    """When rows are written. Sources: ours; files of this size read well and lose little."""

    flush_rows: int = 5_000
    """Rows of all tables that are buffered before a write flushes them."""
    flush_bytes: int = 32 * 1024 * 1024
    """The same in rough bytes of memory."""
    remembered_probes: int = 200_000
    """Probes known as written; about 20 MiB. A probe is shared for minutes, so this is ample."""
    remembered_events: int = 200_000
    """Transitions known as written."""
    remembered_zones: int = 500_000
    """Zones known as written in this run; about 60 MiB when full. One forgotten is written once
    more, which does no harm."""


class ParquetHistory:
    """The Parquet history as a ``Sink`` and a ``TransitionSink``; one writer, one directory.

    Not for several threads at once. ``rows_written`` counts rows by table, ``write_failures``
    flushes that failed; both only grow.
    """

    def __init__(
        self,
        directory: Path,
        *,
        run_id: str,
        scanner_id: str,
        started_at: datetime | None = None,
        version: str | None = None,
        configuration_sha256: str | None = None,
        profile: Profile = Profile.EXCHANGE_ONLINE,
        resolvers: Sequence[str] = (),
        shard: str | None = None,
        limits: HistoryLimits | None = None,
    ) -> None:
        """Make the directory if needed and take it for this ``scanner_id``.

        Raises HistoryError when it cannot be written or another process of that scanner has it,
        and ValueError when an identifier cannot stand in a file name.
        """
        self._run = rows.RunFacts(
            run_id=files.check_identifier("run_id", run_id),
            scanner_id=files.check_identifier("scanner_id", scanner_id),
            started_at=started_at,
            version=version,
            configuration_sha256=configuration_sha256,
            profile=profile,
            resolvers=tuple(resolvers),
            shard=shard,
        )
        self._directory = directory
        self._limits = limits or HistoryLimits()
        self._pending: dict[str, list[rows.Row]] = {table.name: [] for table in TABLES}
        self._pending_bytes = 0
        self._changed = Recent[tuple[str, datetime]](self._limits.remembered_events)
        self._probes = Recent[str](self._limits.remembered_probes)
        self._events = Recent[str](self._limits.remembered_events)
        self._zones: dict[Name, tuple[str, str | None]] = {}
        self._unsynced: Path | None = None
        self._verdicts: dict[Profile, Counter[str]] = {profile: Counter() for profile in Profile}
        self.rows_written: Counter[str] = Counter({table.name: 0 for table in TABLES})
        self.write_failures = 0
        self._lock = files.DirectoryLock(directory, scanner_id)
        try:
            self._certificates = reader.known_certificates(directory)
            self._sequence = self._next_sequence()
            self._remove_leftovers()
        except BaseException:
            self._lock.close()
            raise

    @property
    def pending_rows(self) -> int:
        """Rows taken and not yet in a file."""
        return sum(len(pending) for pending in self._pending.values())

    def record(self, check: Check, transitions: Sequence[Transition] = ()) -> None:
        """Take one check with the transitions it caused; they are written together.

        Raises HistoryError when earlier rows cannot be written; then nothing of this was taken.
        """
        self._flush_if_due()
        self._take_transitions(transitions)
        self._take_check(check)

    def write(self, checks: Iterable[Check]) -> None:
        """Take ``checks``. Raises HistoryError when earlier rows cannot be written; then none of
        these was taken, and memory stays bounded however long the disk stays full."""
        self._flush_if_due()
        for check in checks:
            self._take_check(check)

    def write_transitions(self, transitions: Iterable[Transition]) -> None:
        """Take ``transitions``; one whose ``event_id`` was taken before is ignored.

        Raises HistoryError when earlier ones cannot be written; then none of these was taken.
        """
        if len(self._pending[TRANSITIONS.name]) >= self._limits.flush_rows:
            self._flush_tables((TRANSITIONS,))
        self._take_transitions(transitions)

    def flush(self) -> None:
        """Write every pending row, between one check with its transitions and the next.

        Raises HistoryError; rows that could not be written stay pending, files already written
        stay whole.
        """
        self._flush_tables(_FLUSH_ORDER)

    def finish(
        self,
        outcome: rows.RunOutcome,
        *,
        ended_at: datetime,
        detail: str | None = None,
        targets: int | None = None,
    ) -> None:
        """Write every pending row, then the row of ``runs``, which vouches for the others.

        A run that was killed has no such row, and ``reader.unfinished_run`` finds it by that.
        """
        self.flush()
        row = rows.run_row(
            self._run,
            outcome,
            started_at=self._run.started_at or ended_at,
            ended_at=ended_at,
            detail=detail,
            targets=targets,
            written=self.rows_written,
            verdicts=self._verdicts,
        )
        self._pending[RUNS.name] = [row]
        self._flush_tables((RUNS,))

    def close(self) -> None:
        """Write every pending row and give the directory up, also when writing fails."""
        try:
            self.flush()
        finally:
            self._lock.close()

    def _take_check(self, check: Check) -> None:
        for host, probe, facts in rows.probes_of(check):
            seen = rows.certificates_at(facts, probe.address)
            for certificate in (*seen.chain, *seen.other_chain):
                if self._is_new_certificate(certificate.sha256):
                    row = rows.certificate_row(certificate, probe.observed_at, self._run)
                    self._add(CERTIFICATES, row, len(certificate.der))
            if not probe.probe_id or self._probes.first_time(probe.probe_id):
                row = rows.probe_row(host, probe, facts, self._run)
                self._add(HOST_CHECKS, row, sum(map(len, probe.transcript)))
        for zone in check.observation.zones:
            self._take_zone(zone)
        self._add(
            DOMAIN_CHECKS, rows.domain_row(check, self._run), 512 * len(check.judgement.hosts)
        )
        for verdict in check.judgement.verdicts:
            self._verdicts[verdict.profile][verdict.verdict.value] += 1

    def _take_zone(self, zone: ZoneObservation) -> None:
        """Take a zone seen for the first time in this run, or changed since."""
        state = (zone.status.value, None if zone.reason is None else zone.reason.value)
        if self._zones.get(zone.zone) == state:
            return
        self._zones[zone.zone] = state
        if len(self._zones) > self._limits.remembered_zones:
            del self._zones[next(iter(self._zones))]
        long_texts = sum(len(note.message) for note in zone.notes)
        self._add(ZONE_CHECKS, rows.zone_row(zone, self._run), long_texts)

    def _take_transitions(self, transitions: Iterable[Transition]) -> None:
        for transition in transitions:
            if not self._events.first_time(transition.event_id):
                continue
            self._add(TRANSITIONS, rows.transition_row(transition, self._run), 1_024)
            if transition.entity_type is EntityType.DOMAIN:
                self._changed.first_time((transition.entity, transition.observed_at))

    def _add(self, table: Table, row: rows.Row, long_texts: int) -> None:
        self._pending[table.name].append(row)
        self._pending_bytes += _ROW_BYTES + long_texts

    def _is_new_certificate(self, sha256: str) -> bool:
        key = bytes.fromhex(sha256)
        if key in self._certificates:
            return False
        self._certificates.add(key)
        return True

    def _flush_if_due(self) -> None:
        if (
            self.pending_rows >= self._limits.flush_rows
            or self._pending_bytes >= self._limits.flush_bytes
        ):
            self.flush()

    def _flush_tables(self, tables: Sequence[Table]) -> None:
        try:
            if self._unsynced is not None:
                self._sync_again(self._unsynced)
            for table in tables:
                self._flush_table(table)
        except HistoryError:
            self.write_failures += 1
            raise
        if not self.pending_rows:
            self._pending_bytes = 0

    def _flush_table(self, table: Table) -> None:
        """Write one file for each partition; a file that stands takes its rows off the list."""
        pending = self._pending[table.name]
        if table is DOMAIN_CHECKS:
            for row in pending:
                row["changed"] = (row["domain"], row["observed_at"]) in self._changed
        partitions: dict[str, list[rows.Row]] = {}
        for row in pending:
            partitions.setdefault(files.partition_of(table, row[table.time]), []).append(row)
        while partitions:
            partition, group = partitions.popitem()
            data = arrow.encode(table, group)
            name = f"{self._run.run_id}-{self._sequence:06d}{files.SUFFIX}"
            self._sequence += 1
            target = self._directory / table.name / partition
            try:
                files.write_whole(target, name, data, owner=self._run.scanner_id)
            except HistoryError as error:
                if error.file_complete:
                    self._unsynced = target
                    self._settle(table, group, partitions)
                raise
            self._settle(table, group, partitions)

    def _settle(
        self, table: Table, group: list[rows.Row], rest: Mapping[str, list[rows.Row]]
    ) -> None:
        self.rows_written[table.name] += len(group)
        self._pending[table.name] = [row for rows_left in rest.values() for row in rows_left]
        if table is DOMAIN_CHECKS:
            for row in group:
                self._changed.forget((row["domain"], row["observed_at"]))

    def _sync_again(self, directory: Path) -> None:
        try:
            files.sync_directory(directory)
        except OSError as error:
            raise HistoryError(f"cannot sync {directory}: {error}", path=directory) from error
        self._unsynced = None

    def _next_sequence(self) -> int:
        """Return a number above those of this run's files, for a run that goes on."""
        prefix = f"{self._run.run_id}-"
        taken = [0]
        for table in TABLES:
            for path in files.data_files(self._directory, table):
                number = path.stem.removeprefix(prefix)
                if path.stem.startswith(prefix) and number.isdigit():
                    taken.append(int(number) + 1)
        return max(taken)

    def _remove_leftovers(self) -> None:
        for path in files.leftovers(self._directory, TABLES, self._run.scanner_id):
            files.remove(path)
