"""One check: evidence gathered and judged, and a bug of ours kept from the others.

What makes checks is a port of the engine and the monitor: ``check(target)`` returns a Check and
never raises for anything that concerns that domain alone. ``Checker`` is the plain one, in this
process; ``scanner.run.workers`` lets other processes do it.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from scanner.model.observation import DomainObservation, Lookup, MailRoute, MxKind, Question
from scanner.model.ports import Clock, Target
from scanner.model.verdict import Check, Judgement
from scanner.model.vocabulary import LookupOutcome, RRType

_log = logging.getLogger("danewatch.engine")

Observe = Callable[[Target], Awaitable[DomainObservation]]
Judge = Callable[[DomainObservation], Judgement]
MakeCheck = Callable[[Target], Awaitable[Check]]
"""Makes one check. Raises CannotCheckError where no check at all can be made."""

MAX_SENTENCE_CHARACTERS = 300
"""Of what is said about a bug of ours."""


class CannotCheckError(Exception):
    """No check can be made at all, by a fault of ours; the message is a sentence for operators."""


class Checker:
    """Makes checks in this process, of what ``observe`` sees and ``judge`` makes of it."""

    def __init__(self, *, observe: Observe, judge: Judge, clock: Clock) -> None:
        self._observe = observe
        self._judge = judge
        self._clock = clock

    async def check(self, target: Target) -> Check:
        """Return one check; a bug of ours becomes an inconclusive one."""
        observation = await self._observed(target)
        return Check(observation=observation, judgement=self._judge(observation))

    async def _observed(self, target: Target) -> DomainObservation:
        started = trio.current_time()
        try:
            return await self._observe(target)
        except Exception as error:  # noqa: BLE001 - the one place where a bug of ours in a check
            # becomes a reason of its own instead of ending the pass for every other domain.
            _log.exception("internal error while checking %s", target.domain)
            return own_fault(
                target,
                f"internal error: {type(error).__name__}: {error}",
                self._clock,
                duration_ms=round((trio.current_time() - started) * 1000),
            )


def own_fault(
    target: Target, sentence: str, clock: Clock, *, duration_ms: int = 0
) -> DomainObservation:
    """Return an observation in which nothing was seen, by a fault of ours that ``sentence`` says.

    It judges to inconclusive and is held against nobody.
    """
    sentence = sentence[:MAX_SENTENCE_CHARACTERS]
    lookup = Lookup(
        question=Question(target.domain, RRType.MX),
        outcome=LookupOutcome.MALFORMED,
        status=None,
        own_fault=sentence,
    )
    return DomainObservation(
        domain=target.domain,
        observed_at=clock.now(),
        duration_ms=duration_ms,
        route=MailRoute(domain=target.domain, mx=lookup, kind=MxKind.ERROR, expanded=target.domain),
        incomplete=sentence,
    )
