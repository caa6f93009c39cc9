"""Whether connections to port 25 get out at all, per address family.

Theory. Only a greeting proves the way out: a refusal may come from our own firewall, and so may
silence. A proof ages, and it says nothing about what came after it; so a connection that failed is
held against a partner only when some mail server of the family greeted us after it had failed.
Where nobody else was due, a *witness* is asked: a canary of the operator's, or a mail server that
greeted us before.

Verdict on a family
- True: a greeting since the last failure, or within ``fresh_seconds`` without any failure.
- False (blocked): no greeting for ``fresh_seconds`` or since the last test, and neither a canary
  nor witnesses of ``min_networks`` networks greet now.
- None: anything less. Silence there is inconclusive, and blinds nobody.

For one observation (``prove``), False says that this machine has no route, as its vantage does, and
blocked is None: not proved.

With no witness yet, the servers that did not answer are asked again in their place: that is how the
service sees that a provider has opened port 25 at last.
"""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

from scanner.model.addresses import network_of
from scanner.model.names import Name
from scanner.model.observation import HostAddress
from scanner.model.vocabulary import Family
from scanner.run.selfstatus import EgressSeen

Greet = Callable[[HostAddress], Awaitable[bool | None]]
"""Connects and reads a greeting: True with one, False without, None when it never left us."""
Resolve = Callable[[Name], Awaitable[tuple[HostAddress, ...]]]
"""Looks up the addresses of a canary mail server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EgressPolicy:
    """Bounds of the verdict; all ours."""

    fresh_seconds: float = 120.0
    """A greeting proves the way out for so long: two tests of ourselves."""
    min_networks: int = 3
    """Networks that do not answer, below which nothing is concluded."""
    kept_addresses: int = 32
    """Witnesses remembered in each family, each of another network."""
    asked_witnesses: int = 3
    """Witnesses asked in one test, beside the canaries."""
    min_gap_seconds: float = 10.0
    """From one test of a family to the next, however many wait for it."""
    once: bool = False
    """One greeting proves the way out for good: for a single pass, which is short and looks out
    for outages itself (``scanner.run.outage``)."""


@dataclass(slots=True)
class _Known:
    """What is known of one family. Times are those of the event loop."""

    greeted_at: float = -math.inf
    failed_at: float = -math.inf
    no_route: bool = False
    witnesses: OrderedDict[str, HostAddress] = field(default_factory=OrderedDict)
    """By network, the longest unasked first."""
    unanswered: OrderedDict[str, HostAddress] = field(default_factory=OrderedDict)
    """By network, since the last greeting."""
    canaries: dict[Name, bool] = field(default_factory=dict)
    """Canaries asked in the last test, and whether they greeted."""
    tested_at: float = -math.inf
    testing: trio.Lock = field(default_factory=trio.Lock)

    @property
    def canary_silent(self) -> bool:
        """Whether canaries were asked and none greeted."""
        return bool(self.canaries) and not any(self.canaries.values())


class EgressWatch:
    """Remembers who greeted us, and asks witnesses when nobody did lately."""

    def __init__(
        self,
        *,
        greet: Greet,
        resolve: Resolve,
        canaries: tuple[Name, ...] = (),
        policy: EgressPolicy | None = None,
    ) -> None:
        """``canaries`` are mail servers that must greet us."""
        self._greet = greet
        self._resolve = resolve
        self._canaries = canaries
        self._policy = policy or EgressPolicy()
        self._known = {family: _Known() for family in Family}

    def note_connection(self, address: HostAddress, answered: bool | None) -> None:
        """Take in one connection: True it was greeted, False we have no route, None it failed."""
        known = self._known[address.family]
        now = trio.current_time()
        network = network_of(address.address)
        if answered:
            known.greeted_at = now
            known.no_route = False
            known.unanswered.clear()
            self._keep(known.witnesses, network, address)
        elif answered is None:
            known.failed_at = now
            self._keep(known.unanswered, network, address)
        else:
            known.no_route = True

    async def prove(self) -> Mapping[Family, bool | None]:
        """Return whether failures that came before this call may be held against partners.

        True where somebody greeted us after the last one; witnesses are asked where needed. False
        where this machine has no route, None where nothing is proved.
        """
        needed = {family: known.failed_at for family, known in self._known.items()}
        unproved = [
            (family, failed_at)
            for family, failed_at in needed.items()
            if failed_at > -math.inf and not self._greeted_since(family, failed_at)
        ]
        if unproved:  # not in most checks, and tasks have their price
            async with trio.open_nursery() as nursery:
                for family, failed_at in unproved:
                    nursery.start_soon(self._prove_after, family, failed_at)
        proved = {}
        for family, failed_at in needed.items():
            no_route = self._known[family].no_route
            proved[family] = self._greeted_since(family, failed_at) or (False if no_route else None)
        return proved

    async def test(self) -> tuple[EgressSeen, ...]:
        """Return the verdict on each family that is used, after a greeting or a test right now."""
        canaries = await self._canary_addresses()
        used = [
            family
            for family, known in self._known.items()
            if not known.no_route
            and (
                known.witnesses or known.unanswered or any(a.family is family for _, a in canaries)
            )
        ]
        async with trio.open_nursery() as nursery:
            for family in used:
                nursery.start_soon(self._test_family, family, canaries)
        return tuple(self._seen(family) for family in used)

    async def _test_family(self, family: Family, canaries: "_Canaries") -> None:
        """Ask the canaries, and witnesses where nobody else has greeted us lately."""
        known = self._known[family]
        lately = trio.current_time() - self._policy.fresh_seconds / 2
        async with known.testing:
            quiet = known.greeted_at < lately
            await self._ask_now(family, canaries, witnesses=quiet)
            if not quiet and known.canary_silent and known.greeted_at < known.tested_at:
                await self._ask_now(family, canaries, witnesses=True)

    def _seen(self, family: Family) -> EgressSeen:
        known = self._known[family]
        canaries = tuple(known.canaries.items())
        if not self._is_blocked(family):
            ok = self._greeted_since(family, -math.inf) or None
            return EgressSeen(family=family, ok=ok, canaries=canaries)
        silent = len(known.unanswered)
        who = f"{silent} mail servers in as many networks" if silent > 1 else "the canary"
        return EgressSeen(
            family=family,
            ok=False,
            detail=f"Nobody greets us on port 25 over {family}: {who} did not, and nobody else has"
            f" for {self._policy.fresh_seconds:g} s.",
            canaries=canaries,
        )

    def _greeted_since(self, family: Family, failed_at: float) -> bool:
        known = self._known[family]
        if self._policy.once:
            return known.greeted_at > -math.inf
        oldest = trio.current_time() - self._policy.fresh_seconds
        return known.greeted_at >= max(oldest, failed_at)

    def _is_blocked(self, family: Family) -> bool:
        known = self._known[family]
        silent = known.canary_silent or len(known.unanswered) >= self._policy.min_networks
        oldest = trio.current_time() - self._policy.fresh_seconds
        return silent and known.greeted_at < max(oldest, known.tested_at)

    async def _prove_after(self, family: Family, failed_at: float) -> None:
        """Wait until somebody has greeted us since ``failed_at``, or witnesses were asked."""
        known = self._known[family]
        called_at = trio.current_time()
        async with known.testing:
            if self._greeted_since(family, failed_at) or known.tested_at >= called_at:
                return
            await trio.sleep_until(known.tested_at + self._policy.min_gap_seconds)
            if not self._greeted_since(family, failed_at):
                await self._ask_now(family, await self._canary_addresses())

    async def _ask_now(
        self, family: Family, canaries: "_Canaries", *, witnesses: bool = True
    ) -> None:
        """Ask the canaries of ``family``, and some ``witnesses``, all at a time."""
        known = self._known[family]
        if not (witnesses or any(address.family is family for _, address in canaries)):
            await trio.lowlevel.checkpoint()
            return
        known.tested_at = trio.current_time()
        mine: list[tuple[Name | None, HostAddress]] = [
            (name, address) for name, address in canaries if address.family is family
        ]
        kept = known.witnesses or known.unanswered
        asked = self._policy.asked_witnesses if witnesses else 0
        for network, address in list(kept.items())[:asked]:
            mine.append((None, address))
            kept.move_to_end(network)
        answers: dict[Name, bool] = {}

        async def ask(canary: Name | None, address: HostAddress) -> None:
            greeted = await self._greet(address)
            if greeted is None:
                return
            self.note_connection(address, greeted or None)
            if canary is not None:
                answers[canary] = greeted or answers.get(canary, False)

        async with trio.open_nursery() as nursery:
            for canary, address in mine:
                nursery.start_soon(ask, canary, address)
        known.canaries = answers

    async def _canary_addresses(self) -> "_Canaries":
        found: list[tuple[Name, HostAddress]] = []
        for canary in self._canaries:
            found.extend((canary, address) for address in await self._resolve(canary))
        return tuple(found)

    def _keep(
        self, addresses: OrderedDict[str, HostAddress], network: str, address: HostAddress
    ) -> None:
        if network not in addresses and len(addresses) >= self._policy.kept_addresses:
            addresses.popitem(last=False)
        addresses[network] = address


_Canaries = tuple[tuple[Name, HostAddress], ...]
