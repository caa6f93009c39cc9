"""Fewer questions in flight when the resolver begins to time out, so that it recovers."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from scanner.judge.dnssec.anchors import ROOT_ANCHOR, Anchors
from scanner.model.dnssec import FetchFailure, SignedMessage, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import LookupOutcome, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.questionwindow import (
    OVERLOADED,
    QuestionWindow,
    WindowChange,
    WindowLimits,
    window_limits,
)
from scanner.observe.rawfetch import RawFetcher
from scanner.run.clock import SystemClock

SERVER = ServerAddress("192.0.2.1")
LIMITS = DnsLimits(max_in_flight=400, min_in_flight=10)
ANSWER = SignedMessage(
    question=Question(Name("x.test"), RRType.A),
    question_labels=(b"test", b"x"),
    rcode=0,
    answer=(),
    authority=(),
    edns=True,
)

Clock = trio.testing.MockClock


@dataclass
class Resolver:
    """Answers so many questions a second in their order, also those that were given up already.

    ``dead`` names are answered by nobody. What waits in its queue beyond ``queue`` is dropped.
    """

    per_second: float
    queue: int = 2_000
    dead: Callable[[Name], bool] = lambda _: False
    answered: int = 0
    waiting: deque[trio.Event] = field(default_factory=deque)

    async def serve(self) -> None:
        while True:
            await trio.sleep(1 / self.per_second)
            if self.waiting:
                self.waiting.popleft().set()

    async def fetch(
        self, server: ServerAddress, question: Question, *, stream: bool
    ) -> SignedMessage:
        if self.dead(question.name):
            await trio.sleep_forever()
        if len(self.waiting) >= self.queue:
            await trio.sleep_forever()
        turn = trio.Event()
        self.waiting.append(turn)
        await turn.wait()
        self.answered += 1
        return ANSWER


@dataclass
class Figures:
    """What became of many questions."""

    good: int = 0
    excused: int = 0
    blamed: int = 0
    changes: list[WindowChange] = field(default_factory=list)


def questions(count: int, prefix: str = "d") -> list[Question]:
    return [Question(Name(f"{prefix}{number}.test"), RRType.A) for number in range(count)]


def opened(resolver: Resolver, figures: Figures, limits: DnsLimits = LIMITS) -> RawFetcher:
    window = QuestionWindow(window_limits(limits), on_change=figures.changes.append)
    return RawFetcher(resolver, (SERVER,), limits=limits, window=window)


async def ask_all(fetcher: RawFetcher, asked: list[Question], figures: Figures) -> list[Question]:
    """Ask everything at once; return what got no answer."""
    failed = list[Question]()

    async def ask(question: Question) -> None:
        got = await fetcher.fetch(question)
        if isinstance(got, SignedMessage):
            figures.good += 1
            return
        assert isinstance(got, FetchFailure)
        assert got.reason is DnssecReason.UPSTREAM_TIMEOUT
        failed.append(question)
        figures.excused += got.own_fault == OVERLOADED
        figures.blamed += got.own_fault is None

    async with trio.open_nursery() as nursery:
        for question in asked:
            nursery.start_soon(ask, question)
    return failed


async def run(
    resolver: Resolver, asked: list[Question], limits: DnsLimits = LIMITS
) -> tuple[Figures, list[Question], float]:
    """Ask ``asked`` of ``resolver``; return what came of it, what failed, and how long it took."""
    figures = Figures()
    failed = list[Question]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolver.serve)
        failed += await ask_all(opened(resolver, figures, limits), asked, figures)
        taken = trio.current_time()
        nursery.cancel_scope.cancel()
    return figures, failed, taken


async def test_an_overloaded_resolver_recovers_and_nobody_is_blamed(autojump_clock: Clock) -> None:
    """40 answers a second, 400 questions at once: they are late, become fewer, and are answered.

    Without it the resolver works for ever on questions that were given up.
    """
    figures, failed, _ = await run(Resolver(per_second=40), questions(2_000))
    assert figures.blamed == 0
    assert figures.excused == len(failed) < 1_200
    assert min(change.limit for change in figures.changes) >= LIMITS.min_in_flight
    stubborn = DnsLimits(max_in_flight=400, min_in_flight=400)
    collapsed, _, _ = await run(Resolver(per_second=40), questions(2_000), stubborn)
    assert collapsed.good < figures.good / 2


async def test_what_failed_meanwhile_is_answered_when_all_is_calm(autojump_clock: Clock) -> None:
    """The second look finds everything, with nobody blamed in between."""
    figures, failed, _ = await run(Resolver(per_second=40), questions(1_500))
    assert failed
    later = Figures()
    async with trio.open_nursery() as nursery:
        resolver = Resolver(per_second=40)
        nursery.start_soon(resolver.serve)
        limits = DnsLimits(max_in_flight=60)
        assert await ask_all(opened(resolver, later, limits), failed, later) == []
        nursery.cancel_scope.cancel()
    assert figures.good + later.good == 1_500
    assert figures.blamed + later.blamed == 0


async def test_a_few_dead_name_servers_change_nothing(autojump_clock: Clock) -> None:
    """5 % of the names time out; the others are answered, so the dead ones are dead."""
    resolver = Resolver(per_second=1_000, dead=lambda name: int(name[1:-5]) % 20 == 0)
    figures, failed, _ = await run(resolver, questions(2_000))
    assert [change.limit for change in figures.changes] == [400]
    assert len(failed) == figures.blamed == 100


async def test_a_second_look_at_the_dead_changes_nothing(autojump_clock: Clock) -> None:
    """However many are asked again at once: that they time out is no news."""
    resolver = Resolver(per_second=1_000, dead=lambda name: int(name[1:-5]) % 20 == 0)
    figures = Figures()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolver.serve)
        fetcher = opened(resolver, figures)
        failed = await ask_all(fetcher, questions(2_000), figures)
        assert len(await ask_all(fetcher, failed, figures)) == len(failed)
        nursery.cancel_scope.cancel()
    assert [change.limit for change in figures.changes] == [400]
    assert figures.excused == 0


async def test_the_bound_is_halved_at_bursts_and_grows_slowly(autojump_clock: Clock) -> None:
    """Never below the floor; back at the most after as many calm seconds as it takes."""
    changes = list[WindowChange]()
    limits = WindowLimits(most=100, least=20)
    window = QuestionWindow(limits, on_change=changes.append)

    async def burst(prefix: str) -> None:
        begun_at = trio.current_time()
        await trio.sleep(3)
        for question in questions(limits.burst, prefix):
            window.note(question, begun_at, silent=True)

    for prefix in "abcd":
        await burst(prefix)
    assert [change.limit for change in changes] == [100, 50, 25, 20]
    assert [change.silent_percent for change in changes] == [None, 100, 100, 100]
    slow_at = trio.current_time()
    for _ in range(60):
        await trio.sleep(1)
        await window.enter()
        window.leave()
    grown = [change.limit for change in changes[4:]]
    assert grown == [21, *range(23, 101, 2), 100]
    assert window.was_slow_since(slow_at)
    assert window.was_slow_since(slow_at + 20)
    assert not window.was_slow_since(trio.current_time())


async def test_a_bound_that_cannot_be_lower_excuses_nobody_for_ever(autojump_clock: Clock) -> None:
    """Who allows few questions anyway: a burst is told of, and over when it is calm again."""
    window = QuestionWindow(WindowLimits(most=20, least=20))
    begun_at = trio.current_time()
    for question in questions(10, "dead"):
        window.note(question, begun_at, silent=True)
    assert (window.limit, window.was_slow_since(begun_at)) == (20, True)
    await trio.sleep(window_limits(LIMITS).settle_seconds + 1)
    await window.enter()
    window.leave()
    await trio.sleep(1)
    assert (window.limit, window.was_slow_since(trio.current_time())) == (20, False)


async def test_a_burst_among_many_answers_is_none(autojump_clock: Clock) -> None:
    """A share counts, not a number; and an hour of answers does not outweigh what happens now."""
    window = QuestionWindow(WindowLimits(most=100))
    for second in range(3_600):
        for question in questions(10, "fine"):
            window.note(question, float(second), silent=False)
    for question in questions(7, "dead"):
        window.note(question, 3_599.0, silent=True)
    assert window.limit == 100
    await trio.sleep(3_700)
    for question in questions(10, "now"):
        window.note(question, 3_700.0, silent=True)
    assert window.limit == 50


async def test_time_outs_count_against_what_was_begun_at_the_same_time(
    autojump_clock: Clock,
) -> None:
    """When nothing more is begun only time-outs are left to come: that is no burst."""
    window = QuestionWindow(WindowLimits(most=100))
    for second in range(10):
        for question in questions(20, f"fine{second}-"):
            window.note(question, float(second), silent=False)
    await trio.sleep(20)
    for second in range(10):
        for question in questions(4, f"dead{second}-"):
            window.note(question, float(second), silent=True)
    assert window.limit == 100


async def test_what_was_asked_before_a_change_is_no_reason_for_another(
    autojump_clock: Clock,
) -> None:
    """Four hundred that were in flight time out together; they are halved once."""
    window = QuestionWindow(WindowLimits(most=400))
    await trio.sleep(3)
    for question in questions(400):
        window.note(question, 0.0, silent=True)
    assert window.limit == 200


async def test_who_waits_gets_in_in_order_and_who_is_cancelled_takes_no_place(
    autojump_clock: Clock,
) -> None:
    """Places are handed on, first come first served."""
    window, order = QuestionWindow(WindowLimits(most=1)), list[int]()
    scopes = [trio.CancelScope() for _ in range(4)]

    async def go(number: int) -> None:
        with scopes[number]:
            await window.enter()
            try:
                order.append(number)
                await trio.sleep(1)
            finally:
                window.leave()

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(go, number)
            await trio.testing.wait_all_tasks_blocked()
        scopes[1].cancel()
    assert order == [0, 2, 3]
    assert window.in_flight == 0


@pytest.mark.parametrize("remembered", [1, 5])
async def test_the_names_remembered_are_bounded(remembered: int, autojump_clock: Clock) -> None:
    """The oldest are forgotten, and count again."""
    window = QuestionWindow(WindowLimits(names_remembered=remembered, burst=20, most=100))
    for _ in range(2):
        for question in questions(10):
            window.note(question, 0.0, silent=True)
    assert len(window._silent_names) == remembered
    assert window.limit == 50


async def test_who_waited_for_a_place_too_long_has_no_partner_to_blame(
    autojump_clock: Clock,
) -> None:
    """A chain that ran out of its time because our questions queued is our own fault."""
    resolver = Resolver(per_second=10, dead=lambda name: name.startswith("dead"))
    limits = DnsLimits(max_in_flight=1)
    found = list[Validation]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolver.serve)
        fetcher = opened(resolver, Figures(), limits)
        validating = ValidatingResolver(
            fetcher, anchors=Anchors((ROOT_ANCHOR,)), clock=SystemClock()
        )
        async with trio.open_nursery() as asking:
            for question in questions(6, "dead"):
                asking.start_soon(fetcher.fetch, question)
            await trio.testing.wait_all_tasks_blocked()
            found.append(await validating.validate(questions(1)[0]))
        found.append(await validating.validate(questions(1)[0]))
        nursery.cancel_scope.cancel()
    waited, alone = found
    assert (waited.outcome, waited.detail) == (
        LookupOutcome.TIMEOUT,
        "not validated within 30 s",
    )
    assert waited.own_fault == "our own questions had to wait for each other"
    assert alone.outcome is not LookupOutcome.TIMEOUT
