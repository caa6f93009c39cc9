"""The files of one shard of a pass that several machines make: checks in, whole files out.

Whoever conducts the pass knows what all shards have in common (which probes, certificates and zones
have a row already, which changes are transitions) and tells in a ``Share`` what this shard writes.
The rest is a pure function: the same checks and the same share give the same files, so that a task
that is repeated publishes nothing anew. Rows and their order are those of ``writer``, which does
the same for one process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporters.history import arrow, files, rows
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TRANSITIONS,
    ZONE_CHECKS,
    Table,
)
from scanner.model.names import Name
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import EntityType
from scanner.model.zones import ZoneObservation

FLUSH_ORDER = (CERTIFICATES, HOST_CHECKS, ZONE_CHECKS, TRANSITIONS, DOMAIN_CHECKS)
"""A domain check that can be read has its transitions and its probes beside it."""

ZoneState = tuple[Name, str, str | None]
"""A zone, its status and its reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one shard writes beside its domain checks, each at its first sight."""

    probes: frozenset[str] = frozenset()
    certificates: frozenset[bytes] = frozenset()
    """SHA-256 hashes, 32 octets each."""
    zones: frozenset[ZoneState] = frozenset()
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What one check could write beside its row."""

    probes: tuple[str, ...]
    certificates: tuple[bytes, ...]
    zones: tuple[ZoneState, ...]


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file to publish at ``name``, with ``count`` rows of ``table``."""

    table: str
    name: str
    data: bytes
    count: int


def contents_of(check: Check) -> Contents:
    """Return the keys of everything ``check`` could write beside its row."""
    probes: dict[str, None] = {}
    certificates: dict[bytes, None] = {}
    for _, probe, facts in rows.probes_of(check):
        seen = rows.certificates_at(facts, probe.address)
        for certificate in (*seen.chain, *seen.other_chain):
            certificates[bytes.fromhex(certificate.sha256)] = None
        if probe.probe_id:
            probes[probe.probe_id] = None
    zones = tuple(zone_state(zone) for zone in check.observation.zones)
    return Contents(probes=tuple(probes), certificates=tuple(certificates), zones=zones)


def zone_state(zone: ZoneObservation) -> ZoneState:
    """Return what makes a zone worth another row when it changes."""
    return (zone.zone, zone.status.value, None if zone.reason is None else zone.reason.value)


def shard_files(
    checks: Sequence[Check], share: Share, *, run: rows.RunFacts, number: int
) -> Iterator[ShardFile]:
    """Yield the files of a shard, in the order in which they must be published.

    ``number`` is that of the shard within the run, and part of each name.
    """
    made: dict[str, list[rows.Row]] = {table.name: [] for table in FLUSH_ORDER}
    _take_evidence(checks, share, run, made)
    changed = {
        (one.entity, one.observed_at)
        for one in share.transitions
        if one.entity_type is EntityType.DOMAIN
    }
    made[TRANSITIONS.name] = [rows.transition_row(one, run) for one in share.transitions]
    made[DOMAIN_CHECKS.name] = [
        rows.domain_row(check, run)
        | {"changed": (check.domain, check.observation.observed_at) in changed}
        for check in checks
    ]
    for table in FLUSH_ORDER:
        yield from _files(table, made[table.name], run, number)


def run_file(row: rows.Row, *, run: rows.RunFacts, number: int) -> ShardFile:
    """Return the file with the row of ``runs``, which vouches for the others."""
    (file,) = _files(RUNS, [row], run, number)
    return file


def _take_evidence(
    checks: Sequence[Check],
    share: Share,
    run: rows.RunFacts,
    made: dict[str, list[dict[str, Any]]],
) -> None:
    probes, certificates = set(share.probes), set(share.certificates)
    zones = set(share.zones)
    for check in checks:
        for host, probe, facts in rows.probes_of(check):
            seen = rows.certificates_at(facts, probe.address)
            for certificate in (*seen.chain, *seen.other_chain):
                if (key := bytes.fromhex(certificate.sha256)) in certificates:
                    certificates.remove(key)
                    row = rows.certificate_row(certificate, probe.observed_at, run)
                    made[CERTIFICATES.name].append(row)
            if not probe.probe_id or probe.probe_id in probes:
                probes.discard(probe.probe_id)
                made[HOST_CHECKS.name].append(rows.probe_row(host, probe, facts, run))
        for zone in check.observation.zones:
            if (state := zone_state(zone)) in zones:
                zones.remove(state)
                made[ZONE_CHECKS.name].append(rows.zone_row(zone, run))


def _files(
    table: Table, made: list[rows.Row], run: rows.RunFacts, number: int
) -> Iterator[ShardFile]:
    partitions: dict[str, list[rows.Row]] = {}
    for row in made:
        partitions.setdefault(files.partition_of(table, row[table.time]), []).append(row)
    for partition, group in sorted(partitions.items()):
        name = f"{table.name}/{partition}/{run.run_id}-{number:06d}{files.SUFFIX}"
        yield ShardFile(table.name, name, arrow.encode(table, group), len(group))
