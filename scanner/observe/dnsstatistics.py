"""What the DNS client counts."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scanner.model.vocabulary import RRType


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolverStatistics:
    """Counts since the client was opened.

    ``queries`` are messages sent, by type, TCP included; ``lookups`` the questions they served.
    ``strays`` are messages that no question waited for: late, duplicated or forged.
    """

    lookups: int
    lookups_in_flight: int
    queries: Mapping[RRType, int]
    tcp_queries: int
    retries: int
    timeouts: int
    truncated: int
    malformed: int
    strays: int
    second_looks: int
    """SERVFAIL replies looked at again with CD=1."""
    own_faults: int


@dataclass(kw_only=True, slots=True)
class Counters:
    """The same counts while they run; ``on_query`` hears of every query sent."""

    on_query: Callable[[RRType], None] | None = None
    queries: Counter[RRType] = field(default_factory=Counter)
    lookups: int = 0
    lookups_in_flight: int = 0
    tcp_queries: int = 0
    retries: int = 0
    timeouts: int = 0
    truncated: int = 0
    malformed: int = 0
    strays: int = 0
    second_looks: int = 0
    own_faults: int = 0

    def count_query(self, rdtype: RRType, *, stream: bool) -> None:
        """Count one message sent."""
        self.queries[rdtype] += 1
        self.tcp_queries += stream
        if self.on_query is not None:
            self.on_query(rdtype)

    def count_stray(self) -> None:
        """Count one message that nobody waited for."""
        self.strays += 1

    def snapshot(self) -> ResolverStatistics:
        """Return the counts as they are now."""
        return ResolverStatistics(
            lookups=self.lookups,
            lookups_in_flight=self.lookups_in_flight,
            queries=dict(self.queries),
            tcp_queries=self.tcp_queries,
            retries=self.retries,
            timeouts=self.timeouts,
            truncated=self.truncated,
            malformed=self.malformed,
            strays=self.strays,
            second_looks=self.second_looks,
            own_faults=self.own_faults,
        )
