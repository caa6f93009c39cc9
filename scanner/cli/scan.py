"""``danewatch scan``: one pass over target lists, into Parquet files and, if wanted, metrics."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.dask_options import DaskOptions, dask_options, scan_on_cluster
from scanner.cli.errors import (
    CommandError,
)
from scanner.cli.options import (
    Options,
    ShardOf,
    WorkerCount,
    read_config,
    scanner_options,
    settings_from,
    workers_of,
)
from scanner.model.vocabulary import DomainVerdict

if TYPE_CHECKING:
    from scanner.cli.render_scan import Statistics
    from scanner.cli.scan_run import PassResult, PassSink
    from scanner.cli.scan_sinks import HistorySink, MetricsSink, Run
    from scanner.cli.wiring import Scanner, Settings
    from scanner.config import Config
    from scanner.model.ports import Clock, Target
    from scanner.model.verdict import Check
    from scanner.observe.vantage import SelfTest
    from targets.results import TargetList
    from targets.shard import Shard

    _VerdictsType = click.ParamType[frozenset[DomainVerdict]]
else:
    _VerdictsType = click.ParamType

MAX_PROBLEMS_SHOWN = 10
_BLINDING = frozenset({"resolver-validating", "resolver-refuses-bogus"})


class VerdictList(_VerdictsType):
    """Verdicts separated by commas."""

    name = "verdicts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[DomainVerdict]:
        """Return the set of verdicts."""
        if isinstance(value, frozenset):
            return value
        known = [verdict.value for verdict in DomainVerdict]
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        unknown = [part for part in parts if part not in known]
        if unknown or not parts:
            wrong = ", ".join(unknown)[:60]
            self.fail(f"{wrong!r} is none of the verdicts {', '.join(known)}", param, ctx)
        return frozenset(DomainVerdict(part) for part in parts)


@click.command("scan", short_help="One pass over target lists; results go into Parquet files.")
@click.argument("targets", nargs=-1, metavar="[TARGETS]...")
@click.option(
    "--output", metavar="DIR", help="Directory of the Parquet history; needed here or in --config."
)
@click.option(
    "--metrics-file",
    metavar="FILE",
    help="Write metrics there, for node_exporter's textfile collector.",
)
@click.option("--resume", is_flag=True, help="Go on with the pass that was interrupted in DIR.")
@click.option(
    "--fail-on",
    type=VerdictList(),
    default=frozenset(),
    metavar="VERDICT,...",
    help="Exit with 1 if a domain has one of these verdicts.",
)
@click.option(
    "--shard",
    type=ShardOf(),
    metavar="I/N",
    help="Check share I of N only, the same on every machine; for job arrays.",
)
@click.option(
    "--workers",
    type=WorkerCount(),
    metavar="N",
    help="Let N processes look and judge; 0 is one for each processor.  [default: 1]",
)
@dask_options
@scanner_options
def command(
    targets: tuple[str, ...],
    output: str | None,
    metrics_file: str | None,
    resume: bool,
    fail_on: frozenset[DomainVerdict],
    shard: "Shard | None",
    workers: int | None,
    **values: Any,
) -> int:
    """Check every domain of the target lists once; the results go into Parquet files.

    TARGETS are files, directories or quoted globs: plain text with one domain a line, CSV with a
    column "domain", or Prometheus file_sd. Domains are checked once however often they are named,
    and a mail server is contacted once however many domains use it. Without TARGETS the lists
    named in the file of --config are read.

    Ctrl-C ends the pass cleanly: what has been checked is kept, and --resume goes on with the rest.

    \b
    Examples:
      danewatch scan partners.txt --output history
      danewatch scan /etc/danewatch/targets.d --output /var/lib/danewatch --resume
      danewatch scan partners.csv --output history --fail-on blocked,deferred
      danewatch scan partners.txt --output /shared/history --shard 3/8
      danewatch scan partners.txt --output history --workers 0
      danewatch scan partners.txt --config cluster.toml --engine dask

    \b
    Exit code:
      0  the pass is complete           3  the scanner itself cannot see: its
      1  a verdict of --fail-on            resolver or port 25 does not work
      2  wrong usage or configuration,  130  interrupted, everything so far kept
         or results cannot be kept
    """
    options, dask = Options.take(values), DaskOptions.take(values)
    config = read_config(options)
    if not targets and not config.targets.files:
        raise CommandError("name a target list, as in: danewatch scan partners.txt --output DIR")
    directory = output or config.history.directory
    if directory is None:
        raise CommandError("name a directory for the results with --output DIR")
    if dask.wants_cluster:
        _refuse_on_cluster(options, metrics_file, workers)
        _set_up_logging(options)
        chosen = _load(targets or config.targets.files).targets
        return scan_on_cluster(
            dask,
            options,
            config,
            targets=chosen if shard is None else shard.select(chosen),
            shard=shard,
            output=directory,
            resume=resume,
            fail_on=fail_on,
            say=_say,
        )
    if "://" in directory:
        raise CommandError(
            f"{directory}: a pass of one machine writes into a directory; write a path, or make "
            "the pass with --engine dask"
        )
    textfile = _metrics_path(metrics_file or config.metrics.textfile)
    settings = settings_from(options, config)
    if workers is not None:
        settings = replace(settings, workers=workers_of(workers))
    _set_up_logging(options)
    chosen = _load(targets or config.targets.files).targets
    return _Scan(
        targets=chosen if shard is None else shard.select(chosen),
        shard=shard,
        config=config,
        directory=Path(directory),
        textfile=textfile,
        resume=resume,
        fail_on=fail_on,
        options=options,
        settings=settings,
    ).run()


def _set_up_logging(options: Options) -> None:
    from scanner.cli.logs import set_up_logging

    set_up_logging(options.log_level, options.log_format)


def _refuse_on_cluster(options: Options, metrics_file: str | None, workers: int | None) -> None:
    """Raise CommandError for what only a pass of one machine has."""
    given = {
        "--json": options.as_json,
        "--metrics-file": metrics_file is not None,
        "--workers": workers is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise CommandError(
                f"{option} is for a pass of one machine: leave it out with a cluster"
            )


def _metrics_path(name: str | None) -> Path | None:
    """Return where metrics go; a place that cannot be written is told before a pass, not after."""
    if not name:
        return None
    path = Path(name)
    if not path.parent.is_dir():
        raise CommandError(f"no metrics can go to {name}: there is no directory {path.parent}")
    if path.is_dir():
        raise CommandError(f"no metrics can go to {name}: it is a directory; name a file in it")
    from exporters.prometheus import may_become_textfile

    if not may_become_textfile(path):
        raise CommandError(
            f"no metrics can go to {name}: it is not a regular file, which is what is replaced"
        )
    return path


def _load(paths: Sequence[str]) -> "TargetList":
    """Return the targets; problems go to standard error, and no target at all is an error."""
    from targets.load import load_targets

    result = load_targets(paths)
    for problem in result.problems[:MAX_PROBLEMS_SHOWN]:
        _say(f"{problem}")
    more = result.problem_count - MAX_PROBLEMS_SHOWN
    if more > 0:
        _say(f"and {more:,} more problems; danewatch targets check shows them")
    if not result.targets:
        raise CommandError("the target lists name no domain")
    return result


def _say(text: str) -> None:
    click.echo(f"danewatch: {text}", err=True)


class _Scan:
    """One run of the command."""

    def __init__(
        self,
        *,
        targets: "Sequence[Target]",
        shard: "Shard | None",
        config: "Config",
        directory: Path,
        textfile: Path | None,
        resume: bool,
        fail_on: frozenset[DomainVerdict],
        options: Options,
        settings: "Settings",
    ) -> None:
        self._targets = targets
        self._shard = shard
        self._config = config
        self._directory = directory
        self._textfile = textfile
        self._resume = resume
        self._fail_on = fail_on
        self._options = options
        self._settings = settings

    def run(self) -> int:
        """Make the pass, show the summary, return the exit code."""
        from scanner.cli.render_scan import Statistics
        from scanner.cli.scan_ending import exit_code_of, show_summary
        from scanner.cli.scan_sinks import choose_run
        from scanner.cli.trio_run import run_trio
        from scanner.run.clock import SystemClock
        from scanner.run.order import spread

        clock = SystemClock()
        try:
            run = choose_run(
                self._directory,
                resume=self._resume,
                now=clock.now(),
                shard=self._shard,
                scanner_id=self._config.history.scanner_id,
            )
            waiting = spread(target for target in self._targets if target.domain not in run.done)
            sinks, history, metrics = self._open_sinks(run, clock)
        except (OSError, ValueError) as error:
            raise CommandError(f"cannot keep results: {error}") from error
        self._say_what_is_resumed(run, len(waiting))
        statistics = Statistics(profile=self._settings.policy.profile, total=len(waiting))
        started = time.monotonic()
        result = run_trio(self._pass, waiting, sinks, statistics)
        show_summary(
            statistics,
            result,
            history.changes,
            history=self._directory,
            metrics=self._textfile if metrics is not None and metrics.written else None,
            elapsed_seconds=time.monotonic() - started,
            # With --json standard output holds documents and nothing else.
            stream=sys.stderr if self._options.as_json else sys.stdout,
            no_color=self._options.no_color,
        )
        return exit_code_of(statistics, result, fail_on=self._fail_on)

    def _open_sinks(
        self, run: "Run", clock: "Clock"
    ) -> "tuple[list[PassSink], HistorySink, MetricsSink | None]":
        from scanner.cli.scan_sinks import HistorySink, LineSink, MetricsSink

        history = HistorySink(
            self._directory,
            run,
            self._settings,
            self._targets,
            clock,
            configuration_sha256=self._config.fingerprint(),
        )
        sinks: list[PassSink] = [history]
        metrics = None
        if self._textfile is not None:
            metrics = MetricsSink(self._textfile, history, self._settings, run)
            sinks.append(metrics)
        if self._options.as_json:
            sinks.append(LineSink(sys.stdout, self._settings.policy.profile))
        return sinks, history, metrics

    def _say_what_is_resumed(self, run: "Run", waiting: int) -> None:
        if run.resumed is not None:
            _say(f"going on with {run.run_id}: {len(run.done):,} checked, {waiting:,} to go")
        elif self._resume:
            _say("no interrupted pass to go on with; this is a new one")

    async def _pass(
        self,
        waiting: "Sequence[Target]",
        sinks: "Sequence[PassSink]",
        statistics: "Statistics",
    ) -> "PassResult":
        from scanner.cli import wiring
        from scanner.cli.preflight import fitted
        from scanner.cli.render_scan import make_progress
        from scanner.cli.scan_run import end_without_pass, run_pass

        settings, sentence = fitted(self._settings)
        if sentence is not None:
            _say(sentence)
        progress = make_progress(time.monotonic, no_color=self._options.no_color, write=_say)
        async with wiring.open_scanner(settings) as scanner:
            blind = await _why_blind(scanner)
            if blind is not None:
                return await end_without_pass(sinks, blind)

            def on_written(check: "Check") -> None:
                statistics.take(check)
                progress.update(statistics)

            with progress:
                return await run_pass(scanner, waiting, sinks, on_written)


async def _why_blind(scanner: "Scanner") -> str | None:
    """Return why a pass would see nothing, after the self-test; what else is wrong is only said."""
    result = await scanner.self_test()
    for item in result.checks:
        if not item.ok:
            _say(f"{item.sentence}" + (f"\n  {item.remedy}" if item.remedy else ""))
    return why_blind(result)


def why_blind(result: "SelfTest") -> str | None:
    """Return why nothing could be learnt with these resolvers, or None.

    One resolver that answers is enough; one that answers without validating spoils everything,
    since any of them may give the answer.
    """
    for item in result.checks:
        if not item.ok and item.name in _BLINDING:
            return item.sentence
    if not any(item.ok for item in result.checks if item.name == "resolver-up"):
        return "no resolver gives an answer that can be used"
    return None
