"""The shapes by which layers meet: clocks, resolvers, probers, sinks, sources."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, Lookup, Question, Vantage
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.zones import ZoneObservation


class Clock(Protocol):
    """The only way to learn the time."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        ...


class Resolver(Protocol):
    """Answers DNS questions; wrappers add caching and single flight and are Resolvers too."""

    async def lookup(self, question: Question) -> Lookup:
        """Return the outcome of ``question``; never raises for anything a peer does."""
        ...


class ZoneSource(Protocol):
    """Knows the DNS zones that names lie in, from validating answers in them."""

    def zones_of(self, names: Iterable[Name]) -> tuple[ZoneObservation, ...]:
        """Return every zone at or above ``names`` that was validated lately, from the top down."""
        ...


class VantageMonitor(Protocol):
    """Knows whether we ourselves can see."""

    async def confirm(self, *, since: float | None = None) -> Vantage:
        """Return the vantage from control questions begun after this call.

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
