"""The shapes by which layers meet: clocks, resolvers, probers, sinks, sources."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from scanner.model.monitoring import (
    Commit,
    EntityKey,
    FileBatch,
    OutboxRow,
    Snapshot,
    StoredState,
)
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, Lookup, Question, Vantage
from scanner.model.transition import State, Transition
from scanner.model.verdict import Check
from scanner.model.zones import ZoneObservation


class Clock(Protocol):
    """The only way to learn the time."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        ...


class WaitingClock(Clock, Protocol):
    """A clock one can wait by, so that a service may live in faster or pretended time."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return at or after ``moment``; at once (with a checkpoint) when it is past."""
        ...


class Resolver(Protocol):
    """Answers DNS questions; wrappers add caching and single flight and are Resolvers too."""

    async def lookup(self, question: Question) -> Lookup:
        """Return the outcome of ``question``; never raises for anything a peer does."""
        ...


@runtime_checkable
class RememberingResolver(Protocol):
    """A Resolver that may know the answer already; then nobody has to wait, not even in passing."""

    async def lookup(self, question: Question) -> Lookup:
        """See ``Resolver.lookup``."""
        ...

    def remembered(self, question: Question) -> Lookup | None:
        """Return what ``lookup`` would return at once, None where it would have to ask."""
        ...


class ZoneSource(Protocol):
    """Knows the DNS zones that names lie in, from validating answers in them."""

    def zones_of(self, names: Iterable[Name]) -> tuple[ZoneObservation, ...]:
        """Return every zone at or above ``names`` that was validated lately, from the top down."""
        ...


class VantageMonitor(Protocol):
    """Knows whether we ourselves can see."""

    async def confirm(self, *, since: float | None = None, reach: bool = False) -> Vantage:
        """Return the vantage from control questions begun after this call.

        ``reach`` asks something that no cache can answer as well: a lookup failed, and a resolver
        that is cut off from the world must not pass for one that is not.

        With ``since``, a time of the event loop's clock, it vouches for everything looked up from
        then on: not trusted either when control questions failed after that, or had failed before
        and not yet succeeded again.
        """
        ...


class Prober(Protocol):
    """Probes one address of one MX host; wrappers add sharing and limits and are Probers too."""

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return what was seen; never raises for anything a peer does.

        ``both_algorithms`` asks for the certificate of the other algorithm too, over one further
        connection once the first has ended.
        """
        ...


class Sink(Protocol):
    """Receives finished checks; called from one task, may block on disk."""

    def write(self, checks: Iterable[Check]) -> None:
        """Take ``checks``; raises OSError when they cannot be kept."""
        ...

    def close(self) -> None:
        """Finish what is pending."""
        ...


class TransitionSink(Protocol):
    """Receives confirmed transitions."""

    def write_transitions(self, transitions: Iterable[Transition]) -> None:
        """Take ``transitions``; raises OSError when they cannot be kept."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One domain to watch, with the operator's own labels and where it was named."""

    domain: Name
    labels: tuple[tuple[str, str], ...] = ()
    source: str = ""


class StateStore(Protocol):
    """Keeps what a restart goes on from, and the outbox of the history, in one durable place.

    All methods may block on disk and are called from one thread at a time. They raise OSError
    (StoreError) when nothing was changed; a crash leaves each commit whole or not there.
    """

    def load(self) -> StoredState:
        """Return everything kept."""
        ...

    def commit(self, commits: Sequence[Commit]) -> None:
        """Make ``commits`` durable, all of them in one transaction."""
        ...

    def forget(self, domains: Iterable[Name]) -> None:
        """Remove the schedule and snapshots of domains that are no longer watched."""
        ...

    def pending_rows(self) -> int:
        """Return how many rows of the outbox are not yet in a file."""
        ...

    def assign(self, *, limit: int) -> tuple[FileBatch, ...]:
        """Assign up to ``limit`` rows to files, durably; first those already assigned before.

        What was assigned keeps its name and rows until ``settle``.
        """
        ...

    def settle(self, name: str) -> None:
        """Drop the rows of a file that stands."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...


class RowMaker(Protocol):
    """Turns checks into rows of the history (pure but for what it remembers of certificates)."""

    def rows_of(
        self, check: Check, transitions: Sequence[Transition], *, heartbeat: bool
    ) -> tuple[OutboxRow, ...]:
        """Return the rows to keep: transitions always, the check where changed or ``heartbeat``.

        Whoever raises here has remembered nothing of ``check``.
        """
        ...

    def transition_rows(self, transitions: Sequence[Transition]) -> tuple[OutboxRow, ...]:
        """Return the rows of ``transitions`` alone: they are kept when ``rows_of`` raises."""
        ...


class BatchWriter(Protocol):
    """Puts assigned rows into their files."""

    def write_batch(self, batch: FileBatch) -> None:
        """Write the file of ``batch``, or find that it stands whole; raises OSError otherwise."""
        ...


class ResultBoard(Protocol):
    """Shows the latest results (the metrics page)."""

    def show(
        self,
        check: Check,
        *,
        states: Mapping[EntityKey, State],
        labels: tuple[tuple[str, str], ...],
    ) -> tuple[Snapshot, ...]:
        """Show ``check``; return what to keep for a restart."""
        ...

    def restore(self, snapshots: Iterable[Snapshot]) -> tuple[EntityKey, ...]:
        """Show again what was kept; return whose is left out: unreadable, or led to by nobody."""
        ...

    def retain(self, domains: Iterable[Name]) -> None:
        """Stop showing every domain that is not in ``domains``, and what only they led to."""
        ...
