"""Two of our own processes talk: calls, answers, notes, cancellation, and the end of either."""

import pickle
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import ProbeError, Question
from scanner.model.reasons import Reason
from scanner.model.vocabulary import RRType
from scanner.run.workers_link import (
    FrameError,
    Link,
    LinkLimits,
    LinkLostError,
    RemoteFailureError,
)
from scanner.run.workers_pickle import dumps


class Other:
    """The far end: what it was asked and told, and what still goes on there."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.going_on = 0
        self.deadlines: list[float] = []

    async def echo(self, value: Any) -> Any:
        self.told.append(value)
        await trio.lowlevel.checkpoint()
        return value

    async def linger(self, seconds: float) -> str:
        """Work for so long, and take a moment to clear up when cancelled."""
        self.deadlines.append(trio.current_effective_deadline() - trio.current_time())
        self.going_on += 1
        try:
            await trio.sleep(seconds)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            self.going_on -= 1
        return "done"

    async def fail(self) -> None:
        raise ZeroDivisionError("oops")

    async def grow(self, octets: int) -> bytes:
        return b"x" * octets

    async def unsendable(self) -> Any:
        return lambda: None

    def hear(self, value: Any) -> None:
        self.told.append(value)


@asynccontextmanager
async def linked(limits: LinkLimits | None = None) -> AsyncIterator[tuple[Link, Other, Any]]:
    """Yield our end, the far end's memory, and the far end's stream to break."""
    near, far = trio.testing.memory_stream_pair()
    other = Other()
    serves = {
        "echo": other.echo,
        "linger": other.linger,
        "fail": other.fail,
        "unsendable": other.unsendable,
        "grow": other.grow,
    }
    ours = Link(near, serves={}, hears={}, limits=limits)
    theirs = Link(far, serves=serves, hears={"hear": other.hear}, limits=limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        nursery.start_soon(theirs.run)
        yield ours, other, far
        nursery.cancel_scope.cancel()


async def test_a_call_returns_what_the_other_end_returns() -> None:
    """Values come back as they are, many calls at a time."""
    async with linked() as (link, other, _):
        got: list[Any] = []

        async def ask(value: Any) -> None:
            got.append(await link.call("echo", value))

        async with trio.open_nursery() as nursery:
            for value in range(50):
                nursery.start_soon(ask, value)
        assert sorted(got) == list(range(50))
        assert sorted(other.told) == list(range(50))


async def test_what_is_sent_after_a_note_comes_after_it() -> None:
    """So what was to be forgotten is forgotten before the next check begins."""
    async with linked() as (link, other, _):
        link.note("hear", "forget")
        await link.call("echo", "check")
        assert other.told == ["forget", "check"]


async def test_a_bug_over_there_is_told_to_whoever_called() -> None:
    """One failed call ends nothing else."""
    async with linked() as (link, _, _):
        with pytest.raises(RemoteFailureError, match="ZeroDivisionError: oops"):
            await link.call("fail")
        with pytest.raises(RemoteFailureError, match="pickle"):
            await link.call("unsendable")
        assert await link.call("echo", 1) == 1


async def test_a_cancelled_call_returns_only_when_nothing_of_it_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A connection that was given up must be closed before its place is given to another."""
    async with linked() as (link, other, _):
        began_at = trio.current_time()
        with trio.move_on_after(3) as scope:
            await link.call("linger", 100)
        assert scope.cancelled_caught
        assert other.going_on == 0
        assert trio.current_time() - began_at == pytest.approx(3.5)
        assert other.deadlines == [pytest.approx(3)]
        assert await link.call("echo", 1) == 1


async def test_an_answer_that_crosses_a_cancellation_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was seen at the last moment is seen."""
    async with linked() as (link, other, _):
        with trio.move_on_after(1.2):
            assert await link.call("linger", 1) == "done"
        assert other.going_on == 0


async def test_the_end_of_the_other_process_fails_every_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Those that wait, those that are cancelled at that moment, and those that come later."""
    near, far = trio.testing.memory_stream_pair()
    link = Link(near, serves={}, hears={})
    ended: list[str] = []

    async def ask() -> None:
        with pytest.raises(LinkLostError):
            await link.call("anything")
        ended.append("lost")

    async def ask_in_time() -> None:
        with trio.move_on_after(1):
            await link.call("anything")
        ended.append("cancelled")

    async def reap() -> None:
        ended.append("reaped")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask_in_time)
        nursery.start_soon(lambda: link.run(before_loss=reap))
        await trio.sleep(2)
        await far.aclose()
    assert ended[0] == "reaped"
    assert sorted(ended[1:]) == ["cancelled", "lost"]
    with pytest.raises(LinkLostError):
        await link.call("anything")
    link.note("anything")


async def test_what_was_served_for_a_lost_process_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody waits for the answer any more."""
    async with trio.open_nursery() as nursery:
        near, far = trio.testing.memory_stream_pair()
        other = Other()
        caller = Link(near, serves={}, hears={})
        served = Link(far, serves={"linger": other.linger}, hears={})
        nursery.start_soon(served.run)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as calling:
                calling.start_soon(caller.run)
                calling.start_soon(caller.call, "linger", 1_000)
                await trio.sleep(1)
                assert other.going_on == 1
                scope.cancel()
        await near.aclose()
        await trio.sleep(1)
        assert other.going_on == 0
        assert trio.current_time() < 100


async def test_a_message_that_is_too_large_fails_its_call_alone() -> None:
    """The bound holds on both ways, and the link goes on."""
    async with linked(LinkLimits(max_frame=2_000)) as (link, other, _):
        with pytest.raises(FrameError, match="too large"):
            await link.call("echo", b"x" * 3_000)
        with pytest.raises(RemoteFailureError, match="too large"):
            await link.call("grow", 3_000)
        assert await link.call("echo", 1) == 1
        assert other.told == [1]


async def test_an_end_that_reads_nothing_is_given_up() -> None:
    """What waits to be sent is bounded; beyond, the other end counts as gone."""
    near, _far = trio.testing.memory_stream_pair()
    link = Link(near, serves={}, hears={}, limits=LinkLimits(max_waiting=10_000))
    for _ in range(9):
        link.note("hear", b"x" * 1_000)
    with pytest.raises(LinkLostError):
        await link.call("echo", b"x" * 1_000)


@pytest.mark.parametrize(
    "octets",
    [
        struct.pack(">I", 5) + b"hello",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 4) + pickle.dumps(7, 5)[:4],
        struct.pack(">I", len(pickle.dumps(7))) + pickle.dumps(7),
        struct.pack(">I", len(pickle.dumps((9, 9)))) + pickle.dumps((9, 9)),
        struct.pack(">I", len(pickle.dumps((5, "none", ())))) + pickle.dumps((5, "none", ())),
    ],
    ids=["text", "huge", "torn", "no tuple", "no kind", "no such note"],
)
async def test_what_is_no_message_ends_the_link(octets: bytes) -> None:
    """Memory that went bad in a worker must not go on working here."""
    near, far = trio.testing.memory_stream_pair()
    link = Link(near, serves={}, hears={})
    await far.send_all(octets)
    with pytest.RaisesGroup(pytest.RaisesExc(FrameError), flatten_subgroups=True):
        await link.run()
    assert link.lost


@given(st.lists(st.one_of(st.binary(max_size=300), st.text(max_size=300)), max_size=8))
def test_whatever_a_peer_sends_travels_as_a_value(values: list[bytes | str]) -> None:
    """Texts and octets of peers cannot break framing, wherever the stream is cut."""

    async def travel() -> list[Any]:
        near, far = trio.testing.lockstep_stream_pair()
        other = Other()
        ours = Link(near, serves={}, hears={})
        theirs = Link(far, serves={}, hears={"hear": other.hear}, limits=LinkLimits(read_at_once=7))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.run)
            nursery.start_soon(theirs.run)
            for value in values:
                ours.note("hear", value)
            while len(other.told) < len(values):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        return other.told

    assert trio.run(travel) == values


@pytest.mark.parametrize("kind", [RRType, Reason, DnssecReason, ProbeError, OwnMetric])
def test_members_of_closed_sets_come_out_as_themselves(kind: type[Enum]) -> None:
    """By number, all of them, inside whatever they are in."""
    questions = tuple(Question(Name("p.test"), rdtype) for rdtype in RRType)
    sent = (tuple(kind), questions, {"inner": [next(iter(kind))]})
    got = pickle.loads(dumps(sent))
    assert got == sent
    assert all(one is other for one, other in zip(got[0], sent[0], strict=True))


async def test_names_are_names_on_the_other_side() -> None:
    """Types of the model come out as they went in."""
    async with linked() as (link, _, _):
        assert await link.call("echo", Name("mx.p.test")) == Name("mx.p.test")
