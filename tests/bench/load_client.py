"""Runs ``danewatch`` with its own command line in this process, and measures it from inside.

    python load_client.py REPORT.json [--sample] -- scan targets.txt --output DIR ...

Nothing is replaced: the command is the one a user runs, with the time noted before and after the
pass, and beside it a task that wakes every few milliseconds and notes how late it was: the lag of
the event loop. ``--sample`` is for a run of its own, since it costs some per cent; it adds a signal
after every few milliseconds of processor time within the pass, at which the stack is looked at: the
stage is that of the innermost frame that belongs to one. A sample weighs what the main thread has
used since the one before, so other threads (the sinks) distort nothing; theirs is the rest of the
process's time.
"""

import gc
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import scanner

TICK_SECONDS = 0.01
SAMPLE_SECONDS = 0.002
"""Wanted; the kernel's clock may make it 4 ms."""

BENCH = f"{Path(__file__).parent}/"
SCHEDULER = "scheduler"
"""trio between tasks; within one, its work is that of the stage that called it."""
COLLECTOR = "collector"
"""The collector of cycles, whoever's objects called it up."""
MEASURING = "measuring"
"""This file's own work; counted with no stage."""

STAGES = (
    ("scanner/observe/dns", "dns"),
    ("scanner/observe/rawfetch", "dns"),
    ("scanner/observe/resolver", "dns"),
    ("scanner/observe/inflight", "dns"),
    ("scanner/observe/reading", "dns"),
    ("scanner/wire/smtp", "probe"),
    ("scanner/wire/", "dns"),
    ("scanner/judge/dnssec/", "validation"),
    ("scanner/observe/chainwalk", "validation"),
    ("scanner/observe/zonekeeper", "validation"),
    ("scanner/observe/smtp", "probe"),
    ("scanner/observe/tls", "probe"),
    ("scanner/observe/net", "probe"),
    ("scanner/run/probes", "probe"),
    ("scanner/judge/", "judge"),
    ("exporters/", "sinks"),
    ("scanner/transition/", "sinks"),
    ("scanner/cli/scan_sinks", "sinks"),
    ("scanner/model/", None),  # belongs to whoever calls it
    ("scanner/", "engine"),
)
"""Beginnings of paths, the first that fits counts."""


class Sampler:
    """Samples of the main thread by stage and by function."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self._root = f"{Path(scanner.__file__).parents[1]}/"
        self._stage_of_file: dict[str, str | None] = {}
        self._last = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take samples while the block runs."""
        self._last = time.thread_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        weight, self._last = now - self._last, now
        self.functions[_place(frame)] += weight
        if frame is not None and frame.f_code is Measured.on_collection.__code__:
            self.stages[COLLECTOR] += weight  # the signal waited for its end
            return
        while frame is not None:
            stage = self._stage(frame.f_code.co_filename)
            if frame.f_code.co_name == "unrolled_run":  # trio's loop; what is above only started it
                break
            if stage is not None:
                self.stages[stage] += weight
                return
            frame = frame.f_back
        self.stages[SCHEDULER] += weight

    def _stage(self, file: str) -> str | None:
        if file not in self._stage_of_file:
            relative = file.removeprefix(self._root)
            fitting = (stage for begin, stage in STAGES if relative.startswith(begin))
            own = file.startswith(BENCH)
            self._stage_of_file[file] = MEASURING if own else next(fitting, None)
        return self._stage_of_file[file]


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return "?"
    path = Path(frame.f_code.co_filename)
    return f"{'/'.join(path.parts[-2:])}:{frame.f_code.co_qualname}"


class Measured:
    """What is noted while the command runs."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.busy: list[float] = []
        self.marks: dict[str, tuple[float, float, float]] = {}
        self.collector_seconds = 0.0
        self._collecting_since = 0.0

    def mark(self, name: str) -> None:
        """Note wall time, processor time of the process, and of the main thread."""
        self.marks[name] = (time.perf_counter(), time.process_time(), time.thread_time())

    def on_collection(self, phase: str, _info: dict[str, int]) -> None:
        """Note the time of the collector of cycles (``gc.callbacks``)."""
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self.collector_seconds += time.thread_time() - self._collecting_since

    async def tick(self) -> None:
        """Wake again and again, and note how late, and how busy this thread was in between."""
        import trio

        while True:
            begun, busy = time.perf_counter(), time.thread_time()
            await trio.sleep(TICK_SECONDS)
            self.lags.append(time.perf_counter() - begun - TICK_SECONDS)
            self.busy.append(time.thread_time() - busy)

    def report(self) -> dict[str, Any]:
        """Return everything, in seconds and milliseconds."""
        begun, ended = self.marks["begun"], self.marks["ended"]
        return {
            "start_cpu_seconds": begun[1],
            "pass_cpu_seconds": ended[1] - begun[1],
            "pass_main_thread_seconds": ended[2] - begun[2],
            "pass_seconds": ended[0] - begun[0],
            "cpu_seconds": time.process_time(),
            "collector_seconds": self.collector_seconds,
            "max_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "lag_ms": _distribution(self.lags),
            "busy_between_ticks_ms": _distribution(self.busy),
        }


def _distribution(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(1000 * each for each in seconds)
    if not ordered:
        return {}
    at = {"median": 0.5, "p99": 0.99, "p999": 0.999, "worst": 1.0}
    last = len(ordered) - 1
    return {name: round(ordered[int(share * last)], 2) for name, share in at.items()}


def watch(measured: Measured, sampler: Sampler | None) -> None:
    """Mark the pass of every scanner from now on, and with ``sampler`` look at it closely."""
    from scanner.cli import wiring

    scan = wiring.Scanner.scan

    async def marked(*arguments: Any, **named: Any) -> Any:
        measured.mark("begun")
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(measured.tick)
            try:
                if sampler is None:
                    return await scan(*arguments, **named)
                gc.callbacks.append(measured.on_collection)
                with sampler.running():
                    return await scan(*arguments, **named)
            finally:
                measured.mark("ended")
                if sampler is not None:
                    gc.callbacks.remove(measured.on_collection)
                nursery.cancel_scope.cancel()

    wiring.Scanner.scan = marked  # type: ignore[method-assign]


def main(arguments: list[str]) -> int:
    """Run the command and write the report; return the command's exit code."""
    ours, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    from scanner.cli.main import main as danewatch

    measured = Measured()
    sampler = Sampler() if "--sample" in ours else None
    watch(measured, sampler)
    sys.argv, code = ["danewatch", *command], 0
    try:
        danewatch()
    except SystemExit as end:
        code = int(end.code or 0)
    if "ended" not in measured.marks:
        return code or 1
    report = measured.report()
    if sampler is not None:
        report["stages"] = dict(sampler.stages)
        report["functions"] = dict(sampler.functions.most_common(40))
    Path(ours[0]).write_text(json.dumps(report))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
