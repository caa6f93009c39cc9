"""Commits and files under a disk that fails: nothing lost, nothing twice, the rest goes on."""

import logging
from datetime import timedelta

import pytest
import trio
import trio.testing
from scripted_world import START, Service, Trouble, World, row, service

from scanner.model.meter import OwnMetric
from scanner.model.monitoring import Commit
from scanner.model.names import Name
from scanner.model.vocabulary import EntityType
from scanner.run.clock import ScaledClock
from scanner.run.monitor import MonitorLimits
from scanner.run.outflow import OutflowLimits

HOUR = 3_600.0
Clock = trio.testing.MockClock
FULL = OSError(28, "No space left on device")
LIMITS = MonitorLimits(lag_tick_seconds=6 * HOUR, gauges_seconds=HOUR, gate_seconds=HOUR)


def limits(**outflow: float) -> MonitorLimits:
    return MonitorLimits(
        lag_tick_seconds=6 * HOUR,
        gauges_seconds=HOUR,
        gate_seconds=HOUR,
        outflow=OutflowLimits(**outflow),  # type: ignore[arg-type]
    )


async def started(
    nursery: trio.Nursery, number: int = 60, with_limits: MonitorLimits = LIMITS
) -> Service:
    hosts = {f"d{n}.example": f"mx{n}.example" for n in range(number)}
    trouble = Trouble(host="mx0.example", begins=HOUR, ends=99 * HOUR)
    world = World(ScaledClock(START), hosts, troubles=(trouble,))
    parts = service(world, limits=with_limits)
    await nursery.start(parts.monitor.run)
    return parts


async def stopped(parts: Service) -> None:
    parts.monitor.stop(30)
    await trio.sleep(100)


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def all_told(parts: Service) -> set[str]:
    """The transitions that were told, from the states' point of view: one file row each."""
    rows = parts.files.rows("transitions")
    assert len(rows) == len(set(rows))
    return set(rows)


async def test_a_full_disk_pauses_the_checks_and_loses_nothing(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """The channel fills, checks wait, one line says so; then everything is there once."""
    caplog.set_level(logging.INFO, "danewatch.monitor")
    parts = await started(nursery, 300, limits(waiting_checks=5, commit_checks=3))
    await trio.sleep(HOUR / 4)
    parts.store.broken = FULL
    await trio.sleep(2 * HOUR)  # who waits for the store gives his place to the next
    checked = sum(map(len, parts.world.looks.values()))
    before = parts.store.transactions
    await trio.sleep(HOUR)
    assert sum(map(len, parts.world.looks.values())) == checked
    assert parts.store.transactions == before
    failures = parts.meter.get(OwnMetric.STATE_WRITE_FAILURES)
    assert failures is not None
    assert failures > 60
    assert parts.meter.get(OwnMetric.HISTORY_WRITING) == 0
    assert said(caplog, "the state cannot be written, checks pause until it can be") == 1
    parts.store.broken = None
    await trio.sleep(3 * HOUR)
    assert said(caplog, "the state can be written again") == 1
    assert parts.meter.get(OwnMetric.HISTORY_WRITING) == 1
    await stopped(parts)
    assert parts.store.states == dict(parts.monitor.ledger.states)
    assert parts.store.schedule == dict(parts.monitor.ledger.entries)
    assert len(all_told(parts)) == parts.meter.total(OwnMetric.TRANSITIONS) >= 600
    nursery.cancel_scope.cancel()


async def test_what_is_not_durable_is_neither_said_nor_shown(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart would not know of it."""
    caplog.set_level(logging.DEBUG, "danewatch.monitor")
    parts = await started(nursery, 1)
    parts.store.broken = FULL
    await trio.sleep(HOUR)
    assert len(parts.world.looks) == 1
    assert parts.board.shown == {}
    assert said(caplog, "is protected") == 0
    parts.store.broken = None
    await trio.sleep(61)
    assert len(parts.board.shown) == 1
    assert said(caplog, "is protected") == 1
    nursery.cancel_scope.cancel()


async def test_a_history_that_cannot_be_written_waits_in_the_store(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Checks go on; the rows are in the files once space returns, each of them once."""
    caplog.set_level(logging.INFO, "danewatch.monitor")
    parts = await started(nursery)
    await trio.sleep(HOUR / 2)
    parts.files.broken = FULL
    await trio.sleep(3 * HOUR)
    checked = sum(map(len, parts.world.looks.values()))
    assert checked > 180
    failures = parts.meter.get(OwnMetric.HISTORY_WRITE_FAILURES)
    assert failures is not None
    assert failures > 2 * 60
    assert parts.meter.get(OwnMetric.HISTORY_WRITING) == 0
    assert (parts.meter.get(OwnMetric.HISTORY_PENDING_ROWS) or 0) > 0
    assert said(caplog, "the history cannot be written, results wait in the state file") == 1
    parts.files.broken = None
    await trio.sleep(61)
    assert parts.meter.get(OwnMetric.HISTORY_WRITING) == 1
    assert parts.meter.get(OwnMetric.HISTORY_PENDING_ROWS) == 0
    assert said(caplog, "the history can be written again") == 1
    await stopped(parts)
    assert len(all_told(parts)) == parts.meter.total(OwnMetric.TRANSITIONS) == 122
    rows = sum(len(batch.rows) for batch in parts.files.written.values())
    assert parts.meter.total(OwnMetric.HISTORY_ROWS) == rows
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [FULL, ValueError("a bug in the writer")])
async def test_a_table_that_cannot_be_written_holds_up_no_other(
    autojump_clock: Clock, nursery: trio.Nursery, error: Exception
) -> None:
    """Its files are tried again; a bug is counted as one."""
    parts = await started(nursery)
    parts.files.broken, parts.files.broken_table = error, "domain_checks"
    await trio.sleep(2 * HOUR)
    assert len(all_told(parts)) >= 120
    assert parts.files.rows("domain_checks") == []
    crashes = parts.meter.get(OwnMetric.TASK_CRASHES, "history")
    assert crashes == (1 if isinstance(error, ValueError) else None)
    parts.files.broken = None
    await trio.sleep(120)
    assert len(parts.files.rows("domain_checks")) >= 60
    nursery.cancel_scope.cancel()


async def test_a_state_that_fails_while_files_are_assigned_is_tried_again(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Settling failed after the file was written: the file stands and is settled later."""
    parts = await started(nursery, 3)
    settle = parts.store.settle
    fails = [OSError("busy"), OSError("busy")]

    def fail_first(name: str) -> None:
        if fails:
            raise fails.pop()
        settle(name)

    parts.store.settle = fail_first  # type: ignore[method-assign]
    write = parts.files.write_batch
    twice: list[str] = []

    def write_once(batch) -> None:  # type: ignore[no-untyped-def]
        if batch.name in parts.files.written:
            twice.append(batch.name)
        else:
            write(batch)

    parts.files.write_batch = write_once  # type: ignore[method-assign]
    await trio.sleep(3 * HOUR)
    assert parts.meter.get(OwnMetric.STATE_WRITE_FAILURES) == 2
    assert len(twice) == 2
    assert parts.store.pending_rows() == 0
    nursery.cancel_scope.cancel()


async def test_a_crash_of_the_committer_loses_no_check(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """It is begun again with what it had in hand."""
    parts = await started(nursery)
    await trio.sleep(HOUR / 2)
    parts.store.bug = RuntimeError("a bug in the store")
    await trio.sleep(HOUR)
    crashes = parts.meter.total(OwnMetric.TASK_CRASHES)
    assert crashes == 1
    await stopped(parts)
    assert parts.store.states == dict(parts.monitor.ledger.states)
    assert len(all_told(parts)) == parts.meter.total(OwnMetric.TRANSITIONS)
    nursery.cancel_scope.cancel()


async def test_a_bug_in_rows_or_page_costs_only_that(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit is made all the same; the bug is counted each time and told once."""
    parts = await started(nursery, 2)
    parts.rows.bug = parts.board.bug = RuntimeError("a bug")
    await trio.sleep(HOUR)
    assert len(parts.store.states) == 4
    assert parts.meter.get(OwnMetric.TASK_CRASHES, "rows") == 2
    assert parts.meter.get(OwnMetric.TASK_CRASHES, "board") == 2
    assert said(caplog, "bug in rows") == said(caplog, "bug in board") == 1
    nursery.cancel_scope.cancel()


async def test_a_bug_in_the_rows_of_a_check_loses_no_transition(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Each is then made on its own, so that one that cannot be written takes no other with it."""
    parts = await started(nursery, 2)
    parts.rows.bug = RuntimeError("a bug")
    parts.rows.bad_entity = "mx1.example"
    await trio.sleep(HOUR)
    assert parts.meter.total(OwnMetric.TRANSITIONS) == 4
    await stopped(parts)
    assert len(all_told(parts)) == 3
    assert parts.files.rows("domain_checks") == []
    nursery.cancel_scope.cancel()


async def test_many_checks_share_one_transaction_while_the_store_is_slow(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """As many as wait, up to the limit."""
    parts = await started(nursery, 600, limits(commit_checks=10))
    slow: list[int] = []

    async def in_slow_thread(job):  # type: ignore[no-untyped-def]
        await trio.sleep(60)
        slow.append(1)
        return job()

    ports = parts.monitor._outflow._ports
    parts.monitor._outflow._ports = type(ports)(
        store=ports.store, clock=ports.clock, meter=ports.meter, in_thread=in_slow_thread
    )
    await trio.sleep(HOUR)
    assert parts.store.most_in_one == 10
    assert slow
    nursery.cancel_scope.cancel()


async def test_snapshots_of_the_page_are_kept_with_the_next_commit_and_at_the_end(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """They are made when results are shown, and those are durable before."""
    parts = await started(nursery, 3)
    kept: list[Commit] = []
    parts.store.on_commit = kept.extend
    await trio.sleep(HOUR)
    await stopped(parts)
    assert set(parts.store.snapshots) == {(EntityType.DOMAIN, f"d{n}.example") for n in range(3)}
    assert kept[-1].snapshots
    assert kept[0].snapshots == ()
    nursery.cancel_scope.cancel()


async def test_without_a_history_nothing_is_written(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """States and page all the same."""
    world = World(ScaledClock(START), {"d0.example": "mx0.example"})
    parts = service(world, limits=LIMITS)
    ports = parts.monitor._outflow._ports
    parts.monitor._outflow._ports = type(ports)(
        store=ports.store, clock=ports.clock, meter=ports.meter, in_thread=ports.in_thread
    )
    parts.store.outbox.append(row("transitions", "from before"))
    await nursery.start(parts.monitor.run)
    await trio.sleep(2 * HOUR)
    await stopped(parts)
    assert len(parts.store.states) == 2
    assert parts.files.written == {}
    assert parts.board.shown == {}
    assert parts.store.pending_rows() == 1
    nursery.cancel_scope.cancel()


async def test_a_domain_that_comes_back_before_the_flush_is_not_forgotten(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """The last word counts."""
    parts = await started(nursery, 2)
    await trio.sleep(HOUR)
    outflow = parts.monitor._outflow
    outflow.forget([Name("d0.example"), Name("d1.example")])
    outflow.remember([Name("d1.example")])
    await outflow.flush()
    assert set(parts.store.schedule) == {"d1.example"}
    nursery.cancel_scope.cancel()


async def test_work_in_a_thread_is_work_in_a_thread(autojump_clock: Clock) -> None:
    """The default: the event loop goes on meanwhile."""
    import threading

    from scanner.run.supervise import in_thread

    assert await in_thread(threading.get_ident) != threading.get_ident()


def test_a_minute_is_the_longest_wait_for_a_disk() -> None:
    """So that the service is back soon after the space is."""
    assert timedelta(seconds=OutflowLimits().retry_longest_seconds) == timedelta(minutes=1)
