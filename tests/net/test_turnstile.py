"""The turnstile: a few tasks for each pass of the event loop, in order, and nobody lost."""

import pytest
import trio
from trio.testing import Sequencer, wait_all_tasks_blocked

from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.inflight import InFlight
from scanner.observe.turnstile import AT_ONCE, BEGIN_AT_ONCE, SharedEvent, turnstile
from scanner.wire.dnsquery import build_query


async def test_who_waited_for_the_same_goes_on_a_few_at_a_time_and_in_order() -> None:
    """Between any two passes of the loop no more than AT_ONCE of them run; all do in the end."""
    event, order, passes = SharedEvent(), list[int](), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        event.set()
        while len(order) < 50:
            before = len(order)
            await trio.lowlevel.checkpoint()
            passes.append(len(order) - before)
    assert sorted(order) == list(range(50))
    # Within a pass trio runs them in any order.
    for number, place in enumerate(order):
        assert abs(number - place) < 2 * AT_ONCE
    assert max(passes) <= 2 * AT_ONCE
    assert len([count for count in passes if count]) >= 50 // (2 * AT_ONCE)


async def test_an_event_that_is_set_lets_everybody_on_at_once() -> None:
    """Whoever comes later does not wait."""
    event = SharedEvent()
    event.set()
    with trio.fail_after(1):
        for _ in range(3 * AT_ONCE):
            await event.wait()


async def test_things_begin_a_few_at_a_time() -> None:
    """Two hundred that come at once begin over many passes, and all of them begin."""
    begun, passes = list[int](), list[int]()

    async def begin(number: int) -> None:
        await turnstile().begin()
        begun.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(begin, number)
        while len(begun) < 200:
            before = len(begun)
            await trio.lowlevel.checkpoint()
            passes.append(len(begun) - before)
    assert sorted(begun) == list(range(200))
    assert max(passes) <= 2 * BEGIN_AT_ONCE


async def test_in_long_passes_one_begins_for_each(mock_clock: trio.testing.MockClock) -> None:
    """Another one in flight would only make them longer; and yet nobody is kept out for ever."""
    begun, passes = list[int](), list[int]()

    class LongPasses(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            mock_clock.jump(0.05)

    async def begin(number: int) -> None:
        await turnstile().begin()
        begun.append(number)

    trio.lowlevel.add_instrument(LongPasses())
    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(begin, number)
        while len(begun) < 40:
            before = len(begun)
            await trio.lowlevel.checkpoint()
            passes.append(len(begun) - before)
    assert max(passes[3:]) <= 2
    assert len(passes) >= 30


async def test_those_that_end_something_go_before_those_that_begin() -> None:
    """What is in flight takes memory; it ends first."""
    event, seen = SharedEvent(), list[str]()

    async def end() -> None:
        await event.wait()
        seen.append("end")

    async def begin() -> None:
        await turnstile().begin()
        seen.append("begin")

    async with trio.open_nursery() as nursery:
        for _ in range(4 * AT_ONCE):
            nursery.start_soon(end)
        await wait_all_tasks_blocked()
        for _ in range(40):
            nursery.start_soon(begin)
        await trio.lowlevel.checkpoint()
        event.set()
    assert seen.index("end") <= 2 * AT_ONCE
    last_end = max(place for place, what in enumerate(seen) if what == "end")
    assert "begin" in seen[last_end:]
    assert seen[:last_end].count("begin") <= 3 * BEGIN_AT_ONCE


async def test_who_is_cancelled_leaves_the_line() -> None:
    """Before the event, and while waiting for its turn after it; the others go on."""
    event, seen = SharedEvent(), list[int]()
    scopes = [trio.CancelScope() for _ in range(60)]

    async def wait(number: int) -> None:
        with scopes[number]:
            await event.wait()
            seen.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        scopes[0].cancel()
        await wait_all_tasks_blocked()
        event.set()
        scopes[59].cancel()
    assert set(seen) == set(range(1, 59))
    assert len(turnstile()) == 0


async def test_who_begins_and_is_cancelled_takes_nobody_with_it() -> None:
    """A place in the line is given up, and the next one comes."""
    begun = list[int]()
    scopes = [trio.CancelScope() for _ in range(30)]
    sequence = Sequencer()

    async def begin(number: int) -> None:
        with scopes[number]:
            await turnstile().begin()
            begun.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(begin, number)
        async with sequence(0):
            scopes[29].cancel()
    assert set(begun) >= set(range(29))
    assert len(turnstile()) == 0


async def test_who_waits_until_a_moment_is_let_on_or_goes(autojump_clock: object) -> None:
    """True where it was set in time, also beforehand; False at the moment, and no later."""
    event, ended = SharedEvent(), dict[str, tuple[bool, float]]()

    async def wait(name: str, seconds: float) -> None:
        was_set = await event.wait_until(trio.current_time() + seconds)
        ended[name] = was_set, trio.current_time() - begun

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "patient", 10.0)
        nursery.start_soon(wait, "hurried", 2.0)
        await trio.sleep(5.0)
        event.set()
    await wait("late", 1.0)
    await trio.sleep(20.0)  # the patient one's moment has passed
    assert {name: was_set for name, (was_set, _) in ended.items()} == {
        "hurried": False,
        "patient": True,
        "late": True,
    }
    assert abs(ended["hurried"][1] - 2.0) < 0.1
    assert abs(ended["patient"][1] - 5.0) < 0.1


async def test_who_is_let_on_at_his_last_moment_goes_on_once(autojump_clock: object) -> None:
    """The line was left already when the time is up; and the cancelled leave it too."""
    event, ended = SharedEvent(), list[bool]()

    async def wait(seconds: float) -> None:
        ended.append(await event.wait_until(trio.current_time() + seconds))

    async def set_it() -> None:
        await trio.sleep(1.0)
        event.set()

    async with trio.open_nursery() as nursery:
        for _ in range(4 * AT_ONCE):
            nursery.start_soon(wait, 1.0)
        nursery.start_soon(set_it)
    assert len(ended) == 4 * AT_ONCE
    other = SharedEvent()
    with trio.move_on_after(1) as scope:
        await other.wait_until(trio.current_time() + 5.0)
    assert scope.cancelled_caught
    await trio.sleep(10.0)
    other.set()


async def test_work_that_was_begun_goes_on_a_few_at_a_time() -> None:
    """Whoever comes to it before his next step waits for his turn, where there are many."""
    gone, passes = list[int](), list[int]()

    async def go_on(number: int) -> None:
        await turnstile().go_on()
        gone.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(go_on, number)
        while len(gone) < 100:
            before = len(gone)
            await trio.lowlevel.checkpoint()
            passes.append(len(gone) - before)
    assert sorted(gone) == list(range(100))
    assert max(passes) <= 2 * AT_ONCE


async def test_replies_that_come_together_are_worked_on_a_few_at_a_time() -> None:
    """All of them arrive; who is cancelled while waiting for his turn harms nobody."""
    in_flight, passes, got = InFlight(), list[int](), list[int]()
    scopes = [trio.CancelScope() for _ in range(60)]
    ids = list[int]()

    async def ask(number: int) -> None:
        question = Question(Name(f"d{number}.test"), RRType.A)
        query_id = in_flight.reserve(question)
        ids.append(query_id)
        query = build_query(question, query_id=query_id, checking_disabled=True, payload=1232)
        queries[query_id] = query
        with scopes[number]:
            await in_flight.wait_until(query_id, trio.current_time() + 3)
            got.append(number)
        in_flight.release(query_id)

    queries = dict[int, bytes]()
    async with trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(ask, number)
            await wait_all_tasks_blocked()
        for query_id in ids:
            query = queries[query_id]
            assert in_flight.deliver(query[:2] + b"\x81" + query[3:])
        scopes[59].cancel()
        while len(got) < 59:
            before = len(got)
            await trio.lowlevel.checkpoint()
            passes.append(len(got) - before)
    assert sorted(got) == list(range(59))
    assert max(passes) <= 2 * AT_ONCE
    assert (len(turnstile()), len(in_flight)) == (0, 0)


@pytest.mark.parametrize(("each_takes", "kept_waiting"), [(0.3, True), (0.001, False)])
async def test_who_had_to_wait_long_to_go_on_is_remembered(
    each_takes: float, kept_waiting: bool, mock_clock: trio.testing.MockClock
) -> None:
    """Whatever ran out of its time meanwhile may have lost it to us; what comes later has not."""
    begun_at = trio.current_time()

    async def go_on() -> None:
        await turnstile().go_on()
        mock_clock.jump(each_takes)

    async with trio.open_nursery() as nursery:
        for _ in range(5 * AT_ONCE):
            nursery.start_soon(go_on)
    assert turnstile().kept_waiting_since(begun_at) is kept_waiting
    mock_clock.jump(0.001)
    assert not turnstile().kept_waiting_since(trio.current_time())
