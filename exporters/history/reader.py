"""What the history knows: last states, what a run has done, which certificates are known.

Rules:

- States come from ``transitions`` alone. ``domain_checks`` tells when an entity was last seen, and
  nothing else: a check that is not confirmed by a transition never becomes a state.
- Data is never left out in silence. A damaged or foreign file raises HistoryError naming it; a
  caller that prefers to go on passes a list, gets each problem there, and must show them.
- A row may be seen twice while files are being merged, never not at all; a file that goes away
  while it is read means that a merge has replaced it, and reading begins anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from exporters.history import arrow
from exporters.history.files import HistoryError, data_files
from exporters.history.rows import SERVICE_OUTCOMES, RunOutcome
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    RUNS,
    TRANSITIONS,
    Table,
    profile_prefix,
)
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.vocabulary import DeliveryPhase, DomainVerdict, EntityType, HostOutcome, Profile

if TYPE_CHECKING:
    import pyarrow

LAST_SEEN_PARTITIONS = 2
"""Months searched for the last check of an entity; beyond them its last transition stands in."""
MERGE_RETRIES = 5
"""How often reading begins anew because a merge replaced a file."""

_T = TypeVar("_T")
Problems = list[HistoryError]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """A run as the history shows it; ``outcome`` is None when it has no row in ``runs``."""

    run_id: str
    scanner_id: str
    first_observed_at: datetime
    last_observed_at: datetime
    domains: int
    outcome: RunOutcome | None


def last_states(
    directory: Path, profile: Profile, *, problems: Problems | None = None
) -> dict[tuple[EntityType, str], State]:
    """Return the last confirmed state of every entity under ``profile``; empty without a history.

    Raises HistoryError for a file that cannot be read, unless ``problems`` collects them.
    """
    return _steadily(lambda: _last_states(directory, profile, problems), problems)


def domains_done(directory: Path, run_id: str, *, problems: Problems | None = None) -> set[Name]:
    """Return the domains that ``run_id`` has checked and written."""

    def read() -> set[Name]:
        import pyarrow.compute as pc

        done: set[Name] = set()
        for batch in _batches(directory, DOMAIN_CHECKS, ("run_id", "domain"), problems=problems):
            ours = batch.filter(pc.equal(batch.column("run_id"), run_id))
            done.update(Name(domain) for domain in ours.column("domain").to_pylist())
        return done

    return _steadily(read, problems)


def unfinished_run(
    directory: Path, *, scanner_id: str | None = None, problems: Problems | None = None
) -> RunInfo | None:
    """Return the latest run if it did not complete: killed, interrupted or blind; else None.

    ``scanner_id`` leaves the runs of other scanners out, and the service has none to complete.
    Only the newest months are searched.
    """
    return _steadily(lambda: _unfinished_run(directory, scanner_id, problems), problems)


def find_run(directory: Path, run_id: str, *, problems: Problems | None = None) -> RunInfo | None:
    """Return the run of that name, None where the history has no row of it.

    Its outcome is that of its last part; None while that has not ended.
    """
    return _steadily(lambda: _find_run(directory, run_id, problems), problems)


def known_certificates(directory: Path, *, problems: Problems | None = None) -> set[bytes]:
    """Return the SHA-256 hashes of the certificates in the history: 32 octets each.

    Raises HistoryError for a file that cannot be read, unless ``problems`` collects them.
    """

    def read() -> set[bytes]:
        known: set[bytes] = set()
        for batch in _batches(directory, CERTIFICATES, ("sha256",), problems=problems):
            known.update(bytes.fromhex(text) for text in batch.column("sha256").to_pylist())
        return known

    return _steadily(read, problems)


def _steadily(read: Callable[[], _T], problems: Problems | None = None) -> _T:
    before = len(problems or ())
    for _ in range(MERGE_RETRIES):
        try:
            return read()
        except FileNotFoundError:
            if problems is not None:
                del problems[before:]
    return read()


def _batches(
    directory: Path,
    table: Table,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    newest_partitions: int | None = None,
    problems: Problems | None = None,
) -> Iterator["pyarrow.RecordBatch"]:
    for path in data_files(directory, table, newest_partitions=newest_partitions):
        try:
            yield from arrow.read_columns(path, table, columns, optional=optional)
        except HistoryError as error:
            if problems is None:
                raise
            problems.append(error)


_STATE_COLUMNS = (
    "event_id",
    "entity_type",
    "entity",
    "profile",
    "to_status",
    "to_reason",
    "to_phase",
)


def _last_states(
    directory: Path, profile: Profile, problems: Problems | None
) -> dict[tuple[EntityType, str], State]:
    import pyarrow.compute as pc

    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for batch in _batches(
        directory,
        TRANSITIONS,
        ("observed_at", *_STATE_COLUMNS),
        optional=("failing_since", "began_at"),
        problems=problems,
    ):
        # What holds of a zone holds under every profile.
        of_zones = pc.equal(batch.column("entity_type"), EntityType.ZONE.value)
        ours = batch.filter(pc.or_(pc.equal(batch.column("profile"), profile.value), of_zones))
        for row in _raw_rows(ours):
            key = (row["entity_type"], row["entity"])
            before = latest.get(key)
            order = (row["observed_at"], row["event_id"])
            if before is None or order > (before["observed_at"], before["event_id"]):
                latest[key] = row
    states = [_state_of(directory, row, profile) for row in latest.values()]
    seen = _last_seen(directory, profile, problems) if states else {}
    return {
        key: replace(state, last_seen_at=max(state.last_seen_at, seen.get(key, state.since)))
        for state in states
        for key in [(state.entity_type, state.entity)]
    }


def _raw_rows(batch: "pyarrow.RecordBatch") -> Iterator[dict[str, Any]]:
    """Yield rows with times as integer microseconds: most rows are superseded, and making a
    datetime for each of them would take most of the time."""
    import pyarrow

    columns = [
        _microseconds(column) if pyarrow.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    for values in zip(*(column.to_pylist() for column in columns), strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _state_of(directory: Path, row: dict[str, Any], profile: Profile) -> State:
    try:
        entity_type, phase = EntityType(row["entity_type"]), DeliveryPhase(row["to_phase"])
    except ValueError as error:
        raise HistoryError(
            f"{directory}: transition {row['event_id']} holds a value this version does not know "
            f"({error}); read the history with the version that wrote it, or a later one",
            path=directory,
        ) from error
    observed_at = _moment(row["observed_at"])
    failing_since, began_at = row.get("failing_since"), row.get("began_at")
    return State(
        entity_type=entity_type,
        entity=row["entity"],
        profile=profile,
        status=row["to_status"],
        reason=row["to_reason"],
        phase=phase,
        since=observed_at if began_at is None else _moment(began_at),
        last_seen_at=observed_at,
        failing_since=None if failing_since is None else _moment(failing_since),
    )


def _microseconds(times: "pyarrow.Array") -> "pyarrow.Array":
    """Return times as integers; tools that rewrote a file may have chosen another unit."""
    import pyarrow

    return times.cast(pyarrow.timestamp("us", tz="UTC"), safe=False).cast(pyarrow.int64())


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _utc(moment: datetime) -> datetime:
    """Return ``moment`` in ``datetime.UTC``; pyarrow names the zone otherwise."""
    return moment.astimezone(UTC)


def _last_seen(
    directory: Path, profile: Profile, problems: Problems | None
) -> dict[tuple[EntityType, str], datetime]:
    """Return when each domain and MX host was last checked with a conclusive result."""
    prefix = profile_prefix(profile)
    columns = (
        "domain",
        "observed_at",
        f"{prefix}_verdict",
        "hosts.host",
        "hosts.observed_at",
        f"hosts.{prefix}_outcome",
    )
    seen: dict[tuple[EntityType, str], datetime] = {}
    for batch in _batches(
        directory,
        DOMAIN_CHECKS,
        columns,
        newest_partitions=LAST_SEEN_PARTITIONS,
        problems=problems,
    ):
        hosts = batch.column("hosts").flatten()
        for entity_type, names, times, statuses, unknown in (
            (
                EntityType.DOMAIN,
                batch.column("domain"),
                batch.column("observed_at"),
                batch.column(f"{prefix}_verdict"),
                DomainVerdict.INCONCLUSIVE,
            ),
            (
                EntityType.MX,
                hosts.field("host"),
                hosts.field("observed_at"),
                hosts.field(f"{prefix}_outcome"),
                HostOutcome.INCONCLUSIVE,
            ),
        ):
            for name, seen_at in _latest(names, times, statuses, unknown.value):
                key = (entity_type, name)
                if key not in seen or seen_at > seen[key]:
                    seen[key] = seen_at
    return seen


def _latest(
    names: "pyarrow.Array", times: "pyarrow.Array", statuses: "pyarrow.Array", unknown: str
) -> Iterator[tuple[str, datetime]]:
    """Yield each name with its latest time, rows of status ``unknown`` or without one left out."""
    import pyarrow
    import pyarrow.compute as pc

    rows = pyarrow.table({"name": names, "time": times, "status": statuses})
    known = rows.filter(pc.not_equal(rows["status"], unknown))
    latest = known.group_by("name").aggregate([("time", "max")])
    seen = _microseconds(latest["time_max"]).to_pylist()
    yield from zip(latest["name"].to_pylist(), map(_moment, seen), strict=True)


def _unfinished_run(
    directory: Path, scanner_id: str | None, problems: Problems | None
) -> RunInfo | None:
    import pyarrow
    import pyarrow.compute as pc

    runs: dict[str, RunInfo] = {}
    for batch in _batches(
        directory,
        DOMAIN_CHECKS,
        ("run_id", "scanner_id", "observed_at"),
        newest_partitions=LAST_SEEN_PARTITIONS,
        problems=problems,
    ):
        grouped = (
            pyarrow.Table.from_batches([batch])
            .group_by(["run_id", "scanner_id"])
            .aggregate([("observed_at", "min"), ("observed_at", "max"), ("observed_at", "count")])
        )
        for row in grouped.to_pylist():
            if scanner_id is None or row["scanner_id"] == scanner_id:
                _merge_run(runs, row)
    ends: dict[str, list[tuple[datetime, RunOutcome]]] = {}
    for batch in _batches(directory, RUNS, ("run_id", "ended_at", "outcome"), problems=problems):
        candidates = pyarrow.array(list(runs), pyarrow.string())  # typed: there may be none
        for row in batch.filter(pc.is_in(batch.column("run_id"), candidates)).to_pylist():
            outcome = RunOutcome(row["outcome"])
            if outcome in SERVICE_OUTCOMES:
                runs.pop(row["run_id"], None)
            else:
                ends.setdefault(row["run_id"], []).append((row["ended_at"], outcome))
    if not runs:
        return None
    latest = max(runs.values(), key=lambda run: (run.last_observed_at, run.run_id))
    last = max(ends.get(latest.run_id, ()), default=None)
    if last is None:
        return latest
    return None if last[1] is RunOutcome.COMPLETED else replace(latest, outcome=last[1])


def _find_run(directory: Path, run_id: str, problems: Problems | None) -> RunInfo | None:
    import pyarrow.compute as pc

    times: list[datetime] = []
    scanner_id = ""
    domains = 0
    wanted = ("run_id", "scanner_id", "observed_at")
    for batch in _batches(directory, DOMAIN_CHECKS, wanted, problems=problems):
        for row in batch.filter(pc.equal(batch.column("run_id"), run_id)).to_pylist():
            times.append(_utc(row["observed_at"]))
            scanner_id = row["scanner_id"]
            domains += 1
    ends: list[tuple[datetime, RunOutcome]] = []
    ended = ("run_id", "scanner_id", "started_at", "ended_at", "outcome")
    for batch in _batches(directory, RUNS, ended, problems=problems):
        for row in batch.filter(pc.equal(batch.column("run_id"), run_id)).to_pylist():
            times += [_utc(row["started_at"]), _utc(row["ended_at"] or row["started_at"])]
            ends.append((times[-1], RunOutcome(row["outcome"])))
            scanner_id = row["scanner_id"]
    if not times:
        return None
    return RunInfo(
        run_id=run_id,
        scanner_id=scanner_id,
        first_observed_at=min(times),
        last_observed_at=max(times),
        domains=domains,
        outcome=max(ends)[1] if ends else None,
    )


def _merge_run(runs: dict[str, RunInfo], row: dict[str, Any]) -> None:
    before = runs.get(row["run_id"])
    first, last = _utc(row["observed_at_min"]), _utc(row["observed_at_max"])
    count = row["observed_at_count"]
    runs[row["run_id"]] = RunInfo(
        run_id=row["run_id"],
        scanner_id=row["scanner_id"],
        first_observed_at=min(first, before.first_observed_at) if before else first,
        last_observed_at=max(last, before.last_observed_at) if before else last,
        domains=count + (before.domains if before else 0),
        outcome=None,
    )
