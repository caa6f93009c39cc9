"""A pass on the terminal: how far it is, and what it found.

While it runs: a bar on a terminal, elsewhere a plain line every ten seconds, both on standard
error. At the end: the verdicts, the mail servers that hurt most, and where the files are.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.text import Text

from scanner.cli.render import Mark, Style, aside, hanging, marked, words
from scanner.cli.render_check import VERDICT_MARKS
from scanner.cli.render_words import plural
from scanner.cli.scan_run import PassResult
from scanner.model.reasons import Reason
from scanner.model.transition import Transition
from scanner.model.verdict import Check, ProfileVerdict
from scanner.model.vocabulary import DomainVerdict, HostOutcome, Profile

PLAIN_INTERVAL_SECONDS = 10.0
MAX_WORST_HOSTS = 10
MAX_FAILING_HOSTS = 100_000
"""Failing MX hosts that are counted one by one; beyond, only the known ones go on counting."""

_FAILING = frozenset({HostOutcome.FAILED, HostOutcome.LOOKUP_FAILED, HostOutcome.UNREACHABLE})


@dataclass
class HostTally:
    """A failing MX host: how many domains have it, and why it fails."""

    domains: int
    reason: Reason | None
    code: str | None


@dataclass
class Statistics:
    """What a pass has found so far, under the chosen profile."""

    profile: Profile
    total: int
    checked: int = 0
    verdicts: Counter[DomainVerdict] = field(default_factory=Counter)
    failing_hosts: dict[str, HostTally] = field(default_factory=dict)
    hosts_beyond: bool = False

    def take(self, check: Check) -> None:
        """Count one check."""
        self.count(check.judgement.of(self.profile))

    def count(self, verdict: ProfileVerdict) -> None:
        """Count the verdict of one check, under the chosen profile."""
        self.checked += 1
        self.verdicts[verdict.verdict] += 1
        for host in verdict.hosts:
            if host.judged.outcome not in _FAILING:
                continue
            tally = self.failing_hosts.get(host.host)
            if tally is not None:
                tally.domains += 1
            elif len(self.failing_hosts) < MAX_FAILING_HOSTS:
                self.failing_hosts[host.host] = HostTally(
                    domains=1, reason=host.judged.reason, code=host.judged.code
                )
            else:
                self.hosts_beyond = True

    def worst_hosts(self) -> list[tuple[str, HostTally]]:
        """Return the failing hosts with most domains behind them, then by name."""
        ranked = sorted(self.failing_hosts.items(), key=lambda item: (-item[1].domains, item[0]))
        return ranked[:MAX_WORST_HOSTS]


class Progress(Protocol):
    """Shows how far a pass is; used as a context manager around it."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def update(self, statistics: Statistics) -> None:
        """Show the new numbers."""
        ...


class PlainProgress:
    """A line every ten seconds, for logs and pipes. ``clock`` gives seconds of any origin."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._started = clock()
        self._shown = self._started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def update(self, statistics: Statistics) -> None:
        """Write a line if the last one is ten seconds old."""
        now = self._clock()
        if now - self._shown < PLAIN_INTERVAL_SECONDS:
            return
        self._shown = now
        self._write(
            f"{statistics.checked:,} of {plural(statistics.total, 'domain')}"
            f"{pace(statistics, now - self._started)}; {verdict_counts(statistics)}"
        )


class BarProgress:
    """A bar on a terminal, redrawn by a thread of rich's."""

    def __init__(self, clock: Callable[[], float], *, no_color: bool) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        console = Console(stderr=True, no_color=no_color or None, highlight=False)
        self._clock = clock
        self._started = clock()
        self._counts = Text()
        self._bar = RichProgress(
            BarColumn(bar_width=24), TextColumn("{task.description}"), console=console
        )
        self._task = self._bar.add_task("", total=None)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        from rich.console import Group

        self._live.update(Group(self._bar, self._counts))
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, statistics: Statistics) -> None:
        """Set the new numbers; the thread draws them."""
        text = (
            f"{statistics.checked:,}/{statistics.total:,}"
            f"{pace(statistics, self._clock() - self._started)}"
        )
        self._bar.update(
            self._task, total=statistics.total, completed=statistics.checked, description=text
        )
        self._counts.plain = verdict_counts(statistics)

    def refresh(self) -> None:
        """Draw now."""
        self._live.refresh()


def make_progress(
    clock: Callable[[], float], *, no_color: bool, write: Callable[[str], None]
) -> Progress:
    """Return the display for standard error: a bar on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        return BarProgress(clock, no_color=no_color)
    return PlainProgress(write, clock)


def pace(statistics: Statistics, elapsed_seconds: float) -> str:
    """Return share, rate and time left, such as " (12 %), 350/s, 4 min left"; "" at the start."""
    if not statistics.checked or elapsed_seconds <= 0 or not statistics.total:
        return ""
    rate = statistics.checked / elapsed_seconds
    left = (statistics.total - statistics.checked) / rate
    share = 100 * statistics.checked // statistics.total
    per_second = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f" ({share} %), {per_second}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def verdict_counts(statistics: Statistics) -> str:
    """Return the counts of the verdicts met so far, in the order of the vocabulary."""
    parts = [
        f"{verdict} {statistics.verdicts[verdict]:,}"
        for verdict in DomainVerdict
        if statistics.verdicts[verdict]
    ]
    return ", ".join(parts) or "nothing yet"


def summary_lines(
    statistics: Statistics,
    result: PassResult,
    *,
    changes: Sequence[Transition],
    change_count: int,
    first_seen_count: int,
    elapsed_seconds: float,
    files: Sequence[tuple[str, str]],
    style: Style,
    width: int,
) -> Iterator[Text]:
    """Yield the closing summary.

    ``changes`` are the first of ``change_count`` domains that are not what they were in the pass
    before; ``files`` are (what, where).
    """
    mark, sentence = _ending(result)
    lead = marked(style, mark)
    yield from hanging(lead, words((style.safe(sentence), "bold")), width)
    rate = statistics.checked / elapsed_seconds if elapsed_seconds > 0 else 0.0
    yield words(
        f"  {statistics.checked:,} of {plural(statistics.total, 'domain')} in "
        f"{duration(elapsed_seconds)} ({rate:,.1f} a second), profile {statistics.profile}"
    )
    if statistics.checked:
        yield Text()
        yield from _verdict_table(statistics, style)
    yield from _worst_hosts(statistics, style, width)
    yield from _changes(changes, change_count, first_seen_count, style, width)
    if files:
        yield Text()
        yield words(("Files", "bold"))
        for what, where in files:
            # A path is there to be copied: never cut, never broken.
            yield words(f"  {what:<9}  {style.safe(where, 4_096)}")


def _ending(result: PassResult) -> tuple[Mark, str]:
    if result.sink_error is not None:
        sentence = f"The pass was stopped, because results cannot be kept: {result.sink_error}"
        return Mark.FAIL, sentence
    if result.failed is not None:
        return Mark.FAIL, f"The pass was stopped: {result.failed}"
    if result.interrupted:
        return Mark.WARN, "The pass was interrupted. The same command with --resume goes on."
    if result.blind is not None:
        sentence = f"The pass ended, because the scanner itself cannot see: {result.blind}"
        return Mark.UNKNOWN, sentence
    return Mark.PASS, "The pass is complete."


def _worst_hosts(statistics: Statistics, style: Style, width: int) -> Iterator[Text]:
    worst = statistics.worst_hosts()
    if not worst:
        return
    yield Text()
    yield words(("Mail servers that fail, by the domains behind them", "bold"))
    for name, tally in worst:
        code = f"{tally.code} " if tally.code else ""
        reason = f"[{tally.reason}]" if tally.reason else ""
        text = words(f"{style.name(name)}  {code}", aside(reason))
        yield from hanging(words(f"  {tally.domains:>9,}  "), text, width)
    hidden = len(statistics.failing_hosts) - len(worst)
    if hidden:
        more = "at least " if statistics.hosts_beyond else ""
        yield words(f"  {'':>9}  and {more}{hidden:,} more")


def _changes(
    changes: Sequence[Transition],
    count: int,
    first_seen: int,
    style: Style,
    width: int,
) -> Iterator[Text]:
    if not count and not first_seen:
        return
    yield Text()
    yield words(("Changes since the last pass", "bold"))
    yield from change_lines(changes, style, width)
    if count > len(changes):
        yield words(f"  and {count - len(changes):,} more")
    if first_seen:
        yield words(f"  {plural(first_seen, 'domain')} seen for the first time")


def change_lines(changes: Sequence[Transition], style: Style, width: int) -> Iterator[Text]:
    """Yield what changed for each domain, and when its mail begins to bounce."""
    for change in changes:
        reason = f" [{change.to_reason}]" if change.to_reason else ""
        text = words(f"{style.name(change.entity)}: {_what(change)}{_until(change)}", aside(reason))
        lead = words("  ") + marked(style, VERDICT_MARKS[DomainVerdict(change.to_status)])
        yield from hanging(lead, text, width)


def _what(change: Transition) -> str:
    if change.from_status != change.to_status:
        return f"{change.from_status} to {change.to_status}"
    if change.from_phase is not change.to_phase:
        return f"still {change.to_status}, now {change.to_phase}"
    return f"still {change.to_status}, for another reason"


def _until(change: Transition) -> str:
    if change.bounces_from is None:
        return ""
    return f", mail bounces from {change.bounces_from:%Y-%m-%d %H:%M} UTC"


def _verdict_table(statistics: Statistics, style: Style) -> Iterator[Text]:
    for verdict in DomainVerdict:
        count = statistics.verdicts[verdict]
        if not count:
            continue
        share = 100 * count / statistics.checked
        line = words("  ") + marked(style, VERDICT_MARKS[verdict], f"{verdict:<14}")
        line.append(f"{count:>11,}  {share:>5.1f} %")
        yield line
