"""What changed in a pass, for its closing summary; the history has every transition."""

from scanner.model.transition import Transition
from scanner.model.vocabulary import EntityType

MAX_CHANGES_SHOWN = 10
"""Changes of domains kept for the closing summary; ours: what one reads at once."""


class Changes:
    """Counts the transitions of domains, and keeps the first of those that were known before."""

    def __init__(self) -> None:
        self.first: list[Transition] = []
        self.count = 0
        self.first_seen_count = 0

    def note(self, transition: Transition) -> None:
        """Take one transition; those of hosts and zones do not count."""
        if transition.entity_type is not EntityType.DOMAIN:
            return
        if transition.from_status is None:
            self.first_seen_count += 1
            return
        self.count += 1
        if len(self.first) < MAX_CHANGES_SHOWN:
            self.first.append(transition)
