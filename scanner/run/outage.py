"""Tells an outage of our own network from many partners that fail.

When our line or our resolver's line goes down, the resolver still answers control questions from
its cache, and every partner seems to time out. No single check can tell that from a dead partner,
but many in a row can: if the last ``run`` checks all failed in ways an outage of ours explains,
a witness (a domain whose mail server answered earlier in this pass) is looked at afresh. If even
the witness fails, it is us.

Theory: with a share f of dead partners in random order, a false suspicion has probability f**run;
5 % and 20 in a row give 10**-26. A list sorted by health costs one look at the witness, no more.
"""

from dataclasses import dataclass

from scanner.model.ports import Target
from scanner.model.verdict import Check

DEFAULT_RUN = 20
"""Doubtful checks in a row that raise the suspicion; ours, see the theory above."""


@dataclass
class OutageGuard:
    """Counts doubtful checks in a row and remembers a witness."""

    run: int = DEFAULT_RUN
    witness: Target | None = None
    doubtful_in_a_row: int = 0

    @property
    def suspects(self) -> bool:
        """Whether so many checks in a row were doubtful that we should look at ourselves."""
        return self.doubtful_in_a_row >= self.run

    def note(self, target: Target, check: Check, *, doubtful: bool) -> None:
        """Take in one finished check."""
        if reached_somebody(check):
            self.witness = target
            self.doubtful_in_a_row = 0
        elif doubtful:
            self.doubtful_in_a_row += 1

    def clear(self) -> None:
        """The network was just shown to work."""
        self.doubtful_in_a_row = 0


def reached_somebody(check: Check) -> bool:
    """Return whether a mail server answered in this check: proof of our DNS and of our egress."""
    return any(probe.error is None for host in check.observation.hosts for probe in host.addresses)
