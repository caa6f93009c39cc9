"""Well protected partners, kept to compare others with. Pure.

A change for the worse is believed of somebody only with a *control*: another partner with whom he
shares no host, operator or network, found fine since the change was first seen. What broke for him
did not break for the other, so it is not ours. This protects the first partner of a short list as
well, which no statistics can.
"""

import sys
from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta

from scanner.model.addresses import network_of
from scanner.model.names import ROOT, Name, parent_of
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict, EntityType
from scanner.run.massloss import Look, diverse
from scanner.transition.confirm import RANKS, STOPPED, Digest

DOMAIN_RANKS: Mapping[str, int] = RANKS[EntityType.DOMAIN]
"""How good a verdict is, best first; ``inconclusive`` has no rank."""
MAX_KEPT = 256
"""Partners remembered, the last ones looked at."""
MAX_REMEMBERED = timedelta(minutes=5)
"""The oldest answer or probe that an ordinary check of the service may rest on."""


class Controls:
    """The partners that were fine lately, and when."""

    def __init__(self, *, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._kept: OrderedDict[Name, Look] = OrderedDict()
        """By domain, the look that last found it fine."""

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, domain: Name) -> bool:
        return domain in self._kept

    def keep(self, check: Check, status: str, *, fresh: bool = False) -> None:
        """Take in what is believed of a domain after ``check``; only ``protected`` ones are kept.

        At such a partner every step of a check must work, so a fault of ours would show. Unless the
        check was ``fresh``, it may rest on what was remembered, and says how things were before.
        """
        self._kept.pop(check.domain, None)
        if status != DomainVerdict.PROTECTED:
            return
        look = Look(
            domain=check.domain,
            at=check.observation.observed_at - (timedelta(0) if fresh else MAX_REMEMBERED),
            lost=False,
            causes=causes_of(check),
        )
        self._kept[check.domain] = look
        if len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)

    def drop(self, domain: Name) -> None:
        """``domain`` looks worse: it is nobody's control."""
        self._kept.pop(domain, None)

    def retain(self, domains: set[Name]) -> None:
        """Forget every domain that is not in ``domains``."""
        for name in [name for name in self._kept if name not in domains]:
            del self._kept[name]

    def vouch(self, check: Check, *, since: datetime) -> bool | None:
        """Return whether somebody unrelated was fine since then; None if nobody is unrelated."""
        own = _shared(causes_of(check))
        others = [
            look
            for domain, look in self._kept.items()
            if domain != check.domain and not own & _shared(look.causes)
        ]
        if not others:
            return None
        return any(look.at >= since for look in others)

    def pick(self, limit: int, *, but: Container[Name] = ()) -> tuple[Name, ...]:
        """Return up to ``limit`` of them that share little, the longest unseen first."""
        fit = (look for look in self._kept.values() if look.domain not in but)
        oldest = sorted(fit, key=lambda look: look.at)
        return tuple(look.domain for look in diverse(oldest, limit))


def worse_since(digest: Digest) -> datetime | None:
    """Return since when something is worse that ``digest`` would make believed; None if nothing.

    The first sight of something that fails counts as well.
    """
    began: list[datetime] = []
    for transition in digest.transitions:
        ranks = RANKS[transition.entity_type]
        if transition.from_status is None:
            worse = transition.to_status in STOPPED[transition.entity_type]
        else:
            worse = ranks.get(transition.to_status, 0) > ranks.get(transition.from_status, 0)
        if worse:
            state = digest.states.get((transition.entity_type, transition.entity))
            began.append(transition.observed_at if state is None else state.since)
    return min(began, default=None)


def causes_of(check: Check) -> tuple[str, ...]:
    """Return what a look at this domain depends on: its hosts, their operators and networks, and
    every zone above the names, the root excepted."""
    causes: dict[str, None] = {}
    names = [check.domain]
    for exchange in check.observation.route.exchanges:
        host = exchange.exchange
        names.append(host)
        causes[sys.intern(f"host:{host}")] = None
        operator = parent_of(host)
        if operator != ROOT:
            causes[sys.intern(f"operator:{operator}")] = None
    for observed in check.observation.hosts:
        for address in observed.route.addresses:
            causes[sys.intern(f"network:{network_of(address.address)}")] = None
    for name in names:
        while name != ROOT:
            causes[sys.intern(f"zone:{name}")] = None
            name = parent_of(name)
    return tuple(causes)


def _shared(causes: Iterable[str]) -> set[str]:
    """Return the causes but the zones: nearly everybody shares a top-level domain with somebody."""
    return {cause for cause in causes if not cause.startswith("zone:")}
