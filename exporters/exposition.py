"""The page of metrics: the latest results as pieces that are made anew only where they changed.

Theory of operation. Entities of one type lie in buckets of a thousand, in the order in which they
were first seen; for each bucket and family there is one piece of the page, compressed. A check that
changes a cell makes the pieces dirty that hold it. A scrape makes the dirty pieces anew and sends
all of them, so that it costs what has changed since the last, not what there is. Domains that are
checked together lie together (they were first seen together, and keep their phase), so that even
the families that change with each check touch few pieces.

Rules:

- Two threads: ``show``, ``restore`` and ``retain`` belong to the probing loop and hold a lock for
  microseconds; ``page`` belongs to the thread that serves. Rendering a piece takes about a
  millisecond, and compressing it releases the interpreter's lock, so that nothing stalls the loop.
- Each entity is in one bucket and each family has its labels once in it: label sets are unique.
- Beyond ``max_series`` whole families are left out, those of MX hosts first, in the order of SHED;
  ``danewatch_exposition_truncated`` and one log record say so.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from zlib import crc32

from exporters.deflate import (
    GZIP_HEADER,
    GZIP_TRAILER_SIZE,
    Piece,
    gzip_trailer,
    piece_of,
)
from exporters.metrics import RESULT_METRICS
from exporters.metrics_text import FAMILIES, Cells, Format, count_of, header, lines_of
from exporters.results import Change, Record, Results
from exporters.samples import DEFAULT_QUEUE_LIFE, Pairs, Sampler
from exporters.snapshots import read_snapshot, snapshot_of
from scanner.model.monitoring import EntityKey, Snapshot
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import EntityType, Profile

DEFAULT_MAX_SERIES = 5_000_000
"""Series of results shown at most: 100,000 domains with two hosts and a zone of their own each
come to 4.2 million, with shared hosts to 1.9."""
LANES = 8
"""Parts of the page that one may ask for apart (``?shard=i&shards=n``, n at most this)."""
BUCKET_SIZE = 1024
"""Entities in one piece: about 90 KB of text, a millisecond to make."""

SHED = tuple(
    metric.name
    for kind in (EntityType.MX, EntityType.ZONE, EntityType.DOMAIN)
    for metric in reversed(FAMILIES[kind])
)
"""Families in the order in which they are left out when there are too many series."""

_logger = logging.getLogger("danewatch.page")
_POSITIONS: Mapping[EntityType, Mapping[str, int]] = {
    kind: {metric.name: position for position, metric in enumerate(metrics)}
    for kind, metrics in FAMILIES.items()
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page: its pieces, and how to send them. ``series`` counts results only."""

    pieces: tuple[Piece, ...]
    series: int
    truncated: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Octets of the text."""
        return sum(piece.size for piece in self.pieces)

    @property
    def gzip_size(self) -> int:
        """Octets of the gzip form."""
        return len(GZIP_HEADER) + sum(len(one.data) for one in self.pieces) + GZIP_TRAILER_SIZE

    def between(self, before: Piece, after: Piece) -> "Page":
        """Return this page with something before and after it."""
        return replace(self, pieces=(before, *self.pieces, after))

    def gzip_chunks(self, *, chunk_size: int) -> Iterator[bytes]:
        """Yield the gzip form in chunks of about ``chunk_size`` octets."""
        yield from _grouped(self._gzip_parts(), chunk_size)

    def text_chunks(self, *, chunk_size: int) -> Iterator[bytes]:
        """Yield the text in chunks of about ``chunk_size`` octets, decompressed as it goes."""
        yield from _grouped((piece.text() for piece in self.pieces), chunk_size)

    def _gzip_parts(self) -> Iterator[bytes]:
        yield GZIP_HEADER
        yield from (piece.data for piece in self.pieces)
        yield gzip_trailer(self.pieces)


@dataclass(kw_only=True, slots=True)
class _Bucket:
    """Up to BUCKET_SIZE entities of one type; ``dirty`` are positions of families."""

    cells: dict[Name, Cells] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    pieces: dict[int, Piece] = field(default_factory=dict)


class _Shelf:
    """All entities of one type, by lane and bucket. Calls are under the board's lock."""

    def __init__(self, entity_type: EntityType) -> None:
        self.entity_type = entity_type
        self.families = FAMILIES[entity_type]
        self.lanes: tuple[list[_Bucket], ...] = tuple([] for _ in range(LANES))
        self.series = [0] * len(self.families)
        self._places: dict[Name, _Bucket] = {}
        self._every_family = frozenset(range(len(self.families)))

    def put(self, name: Name, cells: Cells) -> None:
        bucket = self._places.get(name)
        if bucket is None:
            bucket = self._places[name] = self._open_bucket(name)
            for position, cell in enumerate(cells):
                if cell is not None:
                    bucket.dirty.add(position)
                    self.series[position] += count_of(cell)
        else:
            before = bucket.cells[name]
            for position, cell in enumerate(cells):
                if cell != before[position]:
                    bucket.dirty.add(position)
                    self.series[position] += count_of(cell) - count_of(before[position])
        bucket.cells[name] = cells

    def remove(self, name: Name) -> None:
        bucket = self._places.pop(name, None)
        if bucket is None:
            return
        for position, cell in enumerate(bucket.cells.pop(name)):
            if cell is not None:
                bucket.dirty.add(position)
                self.series[position] -= count_of(cell)

    def repack(self) -> None:
        """Fill the buckets anew once removals left them half empty on the whole."""
        buckets = sum(len(lane) for lane in self.lanes)
        if buckets <= LANES or 2 * len(self._places) > buckets * BUCKET_SIZE:
            return
        everything = [
            pair for lane in self.lanes for bucket in lane for pair in bucket.cells.items()
        ]
        self.lanes = tuple([] for _ in range(LANES))
        self._places = {}
        self.series = [0] * len(self.families)
        for name, cells in everything:
            self.put(name, cells)

    def _open_bucket(self, name: Name) -> _Bucket:
        # Not hash(): the same page after a restart, and the same shard for a name for ever.
        lane = self.lanes[crc32(name.encode("utf-8", "replace")) % LANES]
        if not lane or len(lane[-1].cells) >= BUCKET_SIZE:
            lane.append(_Bucket())
        return lane[-1]


class ResultFragments:
    """A ResultBoard (``scanner.model.ports``) that serves as the page of metrics."""

    def __init__(
        self,
        *,
        profile: Profile = Profile.EXCHANGE_ONLINE,
        queue_life: timedelta = DEFAULT_QUEUE_LIFE,
        max_series: int = DEFAULT_MAX_SERIES,
    ) -> None:
        sampler = Sampler(profile=profile, queue_life=queue_life, confirmed=True)
        self._results = Results(sampler)
        self._max_series = max_series
        self._shelves = {kind: _Shelf(kind) for kind in EntityType}
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._headers: dict[tuple[str, Format], Piece] = {}
        self._left_out: tuple[str, ...] = ()

    def show(
        self,
        check: Check,
        *,
        states: Mapping[EntityKey, State],
        labels: Pairs = (),
    ) -> tuple[Snapshot, ...]:
        """Show ``check``; return what to keep for a restart."""
        changes = self._results.add(check, states, labels)
        self._take(changes)
        return tuple(
            snapshot_of(one.entity_type, one.entity, one.record)
            for one in changes
            if one.record is not None
        )

    def restore(self, snapshots: Iterable[Snapshot]) -> tuple[EntityKey, ...]:
        """Show again what was kept; return whose is left out: unreadable, or led to by nobody."""
        unshown: dict[EntityKey, None] = {}

        def read() -> Iterator[tuple[EntityType, Name, Record]]:
            for one in snapshots:
                found = read_snapshot(one)
                if found is None:
                    unshown[one.entity_type, one.entity] = None
                else:
                    yield found

        changes, unused = self._results.restore(read())
        self._take(changes)
        return (*unshown, *unused)

    def retain(self, domains: Iterable[Name]) -> None:
        """Stop showing every domain that is not in ``domains``, and what only they led to."""
        self._take(self._results.retain(domains))
        with self._lock:
            for shelf in self._shelves.values():
                shelf.repack()

    def page(
        self,
        form: Format = Format.TEXT,
        *,
        shard: int = 0,
        shards: int = 1,
    ) -> Page:
        """Return the results as they are now, or those of one of ``shards`` equal parts.

        Each entity is in the same part for ever. Takes as long as making anew what has changed; a
        second caller waits for the first, and then has little to do.
        """
        if not (1 <= shards <= LANES and 0 <= shard < shards):
            raise ValueError(f"shards are 1 to {LANES}, and shard is from 0 to one less")
        with self._making:
            left_out = self._choose()
            pieces: list[Piece] = []
            series = 0
            for metric in RESULT_METRICS:
                if metric.name in left_out:
                    continue
                found = list(self._family(metric.name, shard, shards))
                if found:
                    pieces.append(self._header(metric.name, form))
                    pieces += found
                    series += sum(piece.series for piece in found)
            return Page(pieces=tuple(pieces), series=series, truncated=left_out)

    def prepare(self) -> None:
        """Make every piece, so that the next scrape finds them made."""
        self.page()

    @property
    def backlog(self) -> int:
        """How many pieces the next page will have to make anew."""
        left_out = {
            kind: {positions[name] for name in self._left_out if name in positions}
            for kind, positions in _POSITIONS.items()
        }
        with self._lock:
            return sum(
                len(bucket.dirty - left_out[kind])
                for kind, shelf in self._shelves.items()
                for lane in shelf.lanes
                for bucket in lane
            )

    def _take(self, changes: Iterable[Change]) -> None:
        with self._lock:
            for change in changes:
                shelf = self._shelves[change.entity_type]
                if change.record is None:
                    shelf.remove(change.entity)
                else:
                    shelf.put(change.entity, change.record[0])

    def _choose(self) -> tuple[str, ...]:
        """Return the families to leave out; log it when there is a first or another one."""
        with self._lock:
            counts = {
                metric.name: shelf.series[position]
                for shelf in self._shelves.values()
                for position, metric in enumerate(shelf.families)
            }
        total = wanted = sum(counts.values())
        left_out: list[str] = []
        for name in SHED:
            if total <= self._max_series:
                break
            if counts[name]:
                total -= counts[name]
                left_out.append(name)
        chosen = tuple(left_out)
        if chosen != self._left_out:
            self._left_out = chosen
            if chosen:
                _logger.warning(
                    "%d series of results are more than %d: these metrics are left out: %s",
                    wanted,
                    self._max_series,
                    ", ".join(chosen),
                )
        return chosen

    def _family(self, name: str, shard: int, shards: int) -> Iterator[Piece]:
        """Yield the pieces of one family, the dirty ones made anew."""
        metric = next(one for one in RESULT_METRICS if one.name == name)
        shelf = next(one for one in self._shelves.values() if metric in one.families)
        position = _POSITIONS[shelf.entity_type][name]
        for lane in range(shard, LANES, shards):
            for bucket in tuple(shelf.lanes[lane]):
                piece = self._piece(shelf, bucket, position)
                if piece is not None and piece.series:
                    yield piece

    def _piece(self, shelf: _Shelf, bucket: _Bucket, position: int) -> Piece | None:
        if position not in bucket.dirty:
            return bucket.pieces.get(position)
        with self._lock:
            bucket.dirty.discard(position)
            # Two lists, not one of pairs: those would be a thousand objects for the collector.
            names, cells = list(bucket.cells), list(bucket.cells.values())
        lines = lines_of(shelf.families[position], position, zip(names, cells, strict=True))
        piece = piece_of("".join(lines).encode("utf-8"), series=len(lines))
        bucket.pieces[position] = piece
        return piece

    def _header(self, name: str, form: Format) -> Piece:
        piece = self._headers.get((name, form))
        if piece is None:
            metric = next(one for one in RESULT_METRICS if one.name == name)
            piece = self._headers[(name, form)] = piece_of(header(metric, form).encode("utf-8"))
        return piece


def _grouped(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield ``parts`` joined to chunks of at least ``size`` octets, the last one excepted."""
    waiting: list[bytes] = []
    length = 0
    for part in parts:
        waiting.append(part)
        length += len(part)
        if length >= size:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
