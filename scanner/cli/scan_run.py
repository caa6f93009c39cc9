"""The moving parts of ``danewatch scan``: checks flow to the sinks, signals end the pass cleanly.

    scanner.scan -> on_check -> bounded channel -> writer task -> sinks, in a thread
                                                            `---> the progress display

Rules:

- A slow disk holds the checks back (the channel is bounded) and delays no timer and no signal: the
  sinks block in a thread of their own.
- The first SIGINT or SIGTERM ends the pass: no further domain is begun, what has been checked is
  written, the sinks are closed. A second one gives up waiting.
- A sink that cannot keep what it is given ends the pass at once, with its message: a pass whose
  results are lost helps nobody. What was written before stays.
- A check counts once it is with the sinks, so that the numbers shown are those on disk or about to
  be.
"""

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from scanner.model.ports import Target
from scanner.model.verdict import Check

if TYPE_CHECKING:
    from scanner.cli.wiring import Scanner

CHANNEL_CHECKS = 256
"""Checks waiting for the writer; about 4 MiB with their certificates."""
BATCH_CHECKS = 256
"""Checks handed to a sink at once."""
BATCH_SECONDS = 0.1
"""The first of a batch waits so long for others: handing over to a thread costs as much as writing
a check."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True, slots=True)
class PassResult:
    """How a pass ended. ``sink_error`` is a sentence when results could not be kept, ``failed``
    one when what makes the pass failed."""

    checked: int
    blind: str | None = None
    interrupted: bool = False
    sink_error: str | None = None
    failed: str | None = None


class PassSink(Protocol):
    """Where the results of a pass go. Its methods may block, and raise OSError."""

    def write(self, checks: Iterable[Check]) -> None:
        """Take ``checks``."""
        ...

    def finish(self, result: PassResult) -> None:
        """Finish what is pending; ``result`` is how the pass ended."""
        ...

    def close(self) -> None:
        """Give everything up that is held; called once, at the very end."""
        ...


@dataclass
class _Running:
    """The mutable state of one pass."""

    checked: int = 0
    blind: str | None = None
    interrupted: bool = False
    sink_error: str | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def has_failed(self) -> bool:
        """Return whether a sink could not keep what it was given."""
        return self.sink_error is not None

    def fail(self, error: OSError) -> None:
        """Keep the first failure; what follows is mostly its consequence."""
        self.sink_error = self.sink_error or _sentence(error)

    def result(self) -> PassResult:
        return PassResult(
            checked=self.checked,
            blind=self.blind,
            interrupted=self.interrupted,
            sink_error=self.sink_error,
        )


async def run_pass(
    scanner: "Scanner",
    targets: Iterable[Target],
    sinks: Sequence[PassSink],
    on_written: Callable[[Check], None],
) -> PassResult:
    """Make one pass over ``targets`` and return how it ended; the sinks are closed in any case.

    ``on_written`` is called for each check that the sinks have taken, in the task that writes.
    """
    running = _Running()
    send, receive = trio.open_memory_channel[Check](CHANNEL_CHECKS)

    async def on_check(_target: Target, check: Check) -> None:
        await send.send(check)

    async with trio.open_nursery() as signals:
        await signals.start(_obey_signals, running)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_all, receive, sinks, on_written, running)
            async with send:
                with running.scope:
                    summary = await scanner.scan(targets, on_check)
                    running.blind = summary.blind
            # The writer ends by itself once the channel is closed and empty.
        signals.cancel_scope.cancel()
    return running.result()


async def end_without_pass(sinks: Sequence[PassSink], blind: str) -> PassResult:
    """Finish and close ``sinks`` for a pass that was never begun; ``blind`` says why."""
    running = _Running(blind=blind)
    await _in_thread(_end_all, sinks, running)
    return running.result()


async def _obey_signals(running: _Running, task_status: trio.TaskStatus[None]) -> None:
    """End the pass at the first signal, the process at the second."""
    with trio.open_signal_receiver(*SIGNALS) as received:
        task_status.started()
        async for _ in received:
            if running.interrupted:
                raise KeyboardInterrupt
            running.interrupted = True
            running.scope.cancel()


async def _write_all(
    receive: "trio.MemoryReceiveChannel[Check]",
    sinks: Sequence[PassSink],
    on_written: Callable[[Check], None],
    running: _Running,
) -> None:
    """Hand every check to the sinks, in batches, and close the sinks at the end."""
    async for first in receive:
        batch = [first]
        await trio.sleep(BATCH_SECONDS)
        while len(batch) < BATCH_CHECKS:
            try:
                batch.append(receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        if running.has_failed():
            continue  # nothing can be kept any more; let the senders run dry
        await _in_thread(_write_batch, sinks, batch, running)
        if running.has_failed():
            running.scope.cancel()
            continue
        running.checked += len(batch)
        for check in batch:
            on_written(check)
    await _in_thread(_end_all, sinks, running)


async def _in_thread(function: Callable[..., None], *arguments: object) -> None:
    # Not abandoned on cancellation: half a batch would be worse than a moment's wait.
    await trio.to_thread.run_sync(function, *arguments)


def _write_batch(sinks: Sequence[PassSink], batch: Sequence[Check], running: _Running) -> None:
    for sink in sinks:
        try:
            sink.write(batch)
        except OSError as error:
            running.fail(error)
            return


def _end_all(sinks: Sequence[PassSink], running: _Running) -> None:
    """Finish every sink, unless one has failed, and close them all; one failure stops no other."""
    for sink in sinks:
        try:
            if not running.has_failed():
                sink.finish(running.result())
        except OSError as error:
            running.fail(error)
    for sink in sinks:
        try:
            sink.close()
        except OSError as error:
            running.fail(error)


def _sentence(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason
