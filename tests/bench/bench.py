"""Benchmarks of danewatch at scale. One command each:

    python tests/bench/bench.py scan --domains 1000 --validation local
    python tests/bench/bench.py peers --domains 500
    python tests/bench/bench.py limits
    python tests/bench/bench.py start
    python tests/bench/bench.py all --largest 10000
    python tests/bench/bench.py page

``scan`` makes a laboratory of so many domains, serves it from other processes, lets ``danewatch
scan`` check it, compares every verdict with what was meant, and prints what it cost. ``peers`` does
so beside other programs, ``limits`` beside the least the same work costs in C, and ``start`` looks
at ``danewatch --help``. ``all`` is what docs/performance.md shows, and ``page`` writes its tables
from the results that are kept. All on loopback.

Figures are of processor time, user and system, of the client's processes, because that survives
busy neighbours; medians of ``--runs``. The stages come from a further run under a sampling
profiler. ``--json`` keeps everything.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from load_calibration import between, calibrate, commit_of
from load_lab import make_lab
from load_page import RESULTS, write_page
from load_peers import environment_of_peers, namespace, run_limits, run_peers
from load_plan import Mix
from load_run import ROOT, Run, Settings, compare, run_scan
from load_servers import MissingToolError, serving

__all__ = ["Mix", "Settings", "compare", "main", "make_lab", "run_scan", "serving"]

MIXES = {
    "own": {"shared": 0.0},
    "skew": {"shared": 0.6},
}
HIDDEN = ("each", "hottest")
"""Parts of a result that are not printed as they are."""
STARTS = 9
SUITE: tuple[tuple[str, str], ...] = (
    ("start", "start"),
    ("limits", "limits --domains 1000"),
    ("scan-own-1000", "scan --domains 1000 --silent 0"),
    ("scan-own-1000-resolver", "scan --domains 1000 --validation resolver --silent 0"),
    ("scan-own-1000-one-algorithm", "scan --domains 1000 --one-algorithm --silent 0"),
    ("scan-skew-1000", "scan --domains 1000 --mix skew --silent 0"),
    ("peers-own", "peers --domains 1000 --few 50"),
    ("peers-skew", "peers --domains 1000 --few 50 --mix skew"),
    ("scan-own-10000", "scan --domains 10000 --runs 1"),
    ("scan-skew-10000", "scan --domains 10000 --mix skew --runs 1"),
    (
        "scan-skew-100000",
        "scan --domains 100000 --mix skew --latency 50 --runs 1 --no-stages --in-flight 1000",
    ),
)
"""Names of kept results and the commands that make them."""


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; return 1 where a verdict was wrong."""
    options = _parser().parse_args(arguments)
    if options.run in (suite, page):
        return int(options.run(options))
    pinned = _pinned(options)
    try:
        before = calibrate(pinned)
        result: dict[str, Any] = options.run(options)
    except MissingToolError as error:
        print(error, file=sys.stderr)
        return 2
    result = {
        "bench": options.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit_of(Path(options.code)),
        "machine": between(before, calibrate(pinned)),
        **result,
    }
    _print(result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result.get("wrong_verdicts") else 0


def scan(options: argparse.Namespace) -> dict[str, Any]:
    """Measure passes over one laboratory."""
    mix, settings = _mix(options), _settings(options)
    base = Path(options.directory)
    lab = make_lab(mix, base / _label(mix))
    with serving(
        lab, base / "bin", latency_ms=options.latency, prefix=_pinned(options, last=True)
    ) as servers:
        runs = [
            run_scan(lab, servers, settings, prefix=_pinned(options), sample=sample)
            for sample in [False] * options.runs + [True] * options.stages
        ]
    return summary(mix, settings, options, runs)


def peers(options: argparse.Namespace) -> dict[str, Any]:
    """Measure danewatch and other programs over the same domains, in one network namespace."""
    mix, settings = replace(_mix(options), for_others=True), _settings(options)
    base = Path(options.directory)
    lab = make_lab(mix, base / f"{_label(mix)}-for-others")
    programs = environment_of_peers(base)
    with tempfile.TemporaryDirectory(prefix="danewatch-bench-") as name:
        private = namespace(Path(name))
        try:
            inside = private.command(_pinned(options))
            with serving(
                lab,
                base / "bin",
                dns_port=53,
                smtp_port=25,
                prefix=private.command(_pinned(options, last=True)),
                for_others=True,
            ) as servers:
                runs = [
                    run_scan(lab, servers, settings, prefix=inside) for _ in range(options.runs)
                ]
                found = run_peers(lab, mix, inside, programs, options.few)
        finally:
            private.stop()
    ours = summary(mix, settings, options, runs)
    rate = ours["domains_per_cpu_second"]
    ours["peers"] = {
        cost.name: {
            **cost.figures(),
            "danewatch_times": round(rate * cost.cpu_seconds / cost.domains, 1),
        }
        for cost in found
    }
    return ours


def limits(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the least the work costs in C, over the same laboratory."""
    mix = _mix(options)
    base = Path(options.directory)
    lab = make_lab(mix, base / _label(mix))
    with serving(lab, base / "bin", prefix=_pinned(options, last=True)) as servers:
        rounds = [
            run_limits(lab, mix, servers, base / "bin", _pinned(options))
            for _ in range(options.runs)
        ]
    return {
        "domains": mix.domains,
        "mix": _label(mix),
        **rounds[-1],
        **{
            name: statistics.median(each[name] for each in rounds)
            for name in ("dnsperf_us_per_query", "probe_us", "verify_us")
        },
    }


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Measure ``danewatch --help`` as a process of its own."""
    times = []
    command = [*_pinned(options), sys.executable, "-m", "scanner", "--help"]
    for _ in range(STARTS):
        begun = os.times()
        subprocess.run(command, cwd=options.code, stdout=subprocess.DEVNULL, check=True)
        ended = os.times()
        cpu = ended.children_user + ended.children_system
        cpu -= begun.children_user + begun.children_system
        times.append((1000 * (ended.elapsed - begun.elapsed), 1000 * cpu))
    walls, cpus = zip(*times, strict=True)
    return {
        "help_ms_median": round(statistics.median(walls)),
        "help_ms_least": round(min(walls)),
        "help_cpu_ms_median": round(statistics.median(cpus)),
        "runs": STARTS,
    }


def suite(options: argparse.Namespace) -> int:
    """Run all benchmarks up to the largest wanted and keep their results; the worst code counts."""
    code = 0
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name, command in SUITE:
        words = command.split()
        chosen = _parser().parse_args(words)
        if chosen.domains > options.largest or (options.only and name not in options.only):
            continue
        print(f"\n== {name}", flush=True)
        words += ["--json", str(RESULTS / f"{name}.json"), "--code", str(options.code)]
        code = max(code, main([*words, "--directory", options.directory]))
    return code


def page(_options: argparse.Namespace) -> int:
    """Write the tables of docs/performance.md and its plot from the kept results."""
    write_page()
    return 0


def summary(
    mix: Mix, settings: Settings, options: argparse.Namespace, runs: list[Run]
) -> dict[str, Any]:
    """Return the figures of ``runs`` over one laboratory; sampled ones only give the stages."""
    plain = [run for run in runs if not run.sampled] or runs
    count = mix.domains

    def median(name: str) -> float:
        return statistics.median(run.figures[name] for run in plain)

    cpu = median("cpu_seconds")
    result: dict[str, Any] = {
        "domains": count,
        "mix": _label(mix),
        "validation": settings.validation,
        "both_algorithms": settings.both_algorithms,
        "latency_ms": options.latency,
        "in_flight": settings.in_flight,
        "workers": settings.workers,
        "runs": len(plain),
        "domains_per_cpu_second": round(count / cpu, 1),
        "domains_per_second": round(count / median("seconds"), 1),
        "cpu_ms_per_domain": round(1000 * cpu / count, 3),
        "cpu_ms_per_domain_least_and_most": [
            round(1000 * pick(run.figures["cpu_seconds"] for run in plain) / count, 3)
            for pick in (min, max)
        ],
        "cpu_ms_per_domain_of_the_pass": round(1000 * median("pass_cpu_seconds") / count, 3),
        "start_cpu_ms": round(1000 * median("start_cpu_seconds")),
        "seconds": round(median("seconds"), 1),
        "queries_per_domain": round(median("queries") / count, 2),
        "hosts_contacted": round(median("hosts_contacted")),
        "connections_per_host": round(median("connections_per_host"), 3),
        "peak_mib": round(median("peak_mib")),
        "history_octets_per_domain": round(median("history_octets") / count),
        "wrong_verdicts": sum(len(run.wrong) for run in runs),
        "wrong": [line for run in runs for line in run.wrong][:10],
        "undecided_verdicts": sum(len(run.undecided) for run in runs),
        "undecided": [line for run in runs for line in run.undecided][:10],
        "unanswerable_questions": plain[-1].unknown,
    }
    for name in ("lag_ms", "busy_between_ticks_ms"):
        result[name] = max((run.figures[name] for run in plain), key=lambda each: each["worst"])
    sampled = [run for run in runs if run.sampled]
    if sampled:
        figures = sampled[-1].figures
        result["stages_ms_per_domain"] = sampled[-1].stages(count)
        result["collector_share"] = round(figures["collector_seconds"] / figures["cpu_seconds"], 3)
        result["hottest"] = sampled[-1].hottest()
    result["each"] = [run.figures for run in runs]
    return result


def _print(result: dict[str, Any]) -> None:
    shown = {key: value for key, value in result.items() if key not in HIDDEN}
    tables = shown.pop("peers", {})
    width = max(map(len, shown))
    for key, value in shown.items():
        text = value
        if isinstance(value, dict):
            text = "  ".join(f"{name} {each}" for name, each in value.items())
        print(f"{key:{width}}  {text}")
    for name, figures in tables.items():
        print(f"{name}: " + "  ".join(f"{key} {value}" for key, value in figures.items()))
    for place, share in result.get("hottest", {}).items():
        print(f"{share:7.1%}  {place}")


def _mix(options: argparse.Namespace) -> Mix:
    return Mix(
        domains=options.domains,
        faulty=options.faulty,
        silent=options.silent,
        unsigned=options.unsigned,
        seed=options.seed,
        **MIXES[options.mix],
    )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        validation=options.validation,
        in_flight=options.in_flight,
        both_algorithms=not options.one_algorithm,
        workers=options.workers,
        code=Path(options.code).resolve(),
    )


def _label(mix: Mix) -> str:
    """Return a name for the laboratory, for its directory and for people."""
    kind = next(name for name, shares in MIXES.items() if shares["shared"] == mix.shared)
    return (
        f"{kind}-{mix.domains}-faulty{mix.faulty:g}-silent{mix.silent:g}"
        f"-unsigned{mix.unsigned:g}-seed{mix.seed}"
    )


def _pinned(options: argparse.Namespace, *, last: bool = False) -> list[str]:
    """Return a command prefix that keeps clients and servers on different processors."""
    processors = sorted(os.sched_getaffinity(0))
    if options.no_pin or options.workers != 1 or len(processors) < 2:
        return []
    return ["taskset", "-c", str(processors[-1] if last else processors[0])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for function, domains, silent, help_text in (
        (scan, 1_000, 0.03, "passes of danewatch over one laboratory"),
        (peers, 500, 0.0, "the same domains by other programs"),
        (limits, 1_000, 0.0, "the same work in C"),
        (start, 1, 0.0, "danewatch --help"),
    ):
        command = commands.add_parser(function.__name__, help=help_text)
        command.set_defaults(run=function, name=function.__name__, stages=False, few=0)
        _add_options(command, domains, silent)
        if function is scan:
            command.add_argument("--no-stages", dest="stages", action="store_false", default=True)
        if function is peers:
            command.add_argument("--few", type=int, default=100, help="domains for slow peers")
    everything = commands.add_parser("all", help="everything, kept for docs/performance.md")
    everything.set_defaults(run=suite)
    everything.add_argument("--largest", type=int, default=10_000, help="[%(default)s] domains")
    everything.add_argument("--only", nargs="+", choices=[name for name, _ in SUITE])
    _add_places(everything)
    commands.add_parser("page", help="tables and plot of the page").set_defaults(run=page)
    return parser


def _add_options(parser: argparse.ArgumentParser, domains: int, silent: float) -> None:
    add = parser.add_argument
    add("--domains", type=int, default=domains, help="[%(default)s]")
    add("--validation", choices=("local", "resolver"), default="local", help="[%(default)s]")
    add(
        "--mix",
        choices=tuple(MIXES),
        default="own",
        help="own: each domain its own MX host; skew: 60 %% of them on 20 operators  [own]",
    )
    add("--faulty", type=float, default=0.05, help="share of broken domains  [%(default)s]")
    add("--silent", type=float, default=silent, help="share of time-outs  [%(default)s]")
    add("--unsigned", type=float, default=0.0, help="share of unsigned domains  [%(default)s]")
    add("--seed", type=int, default=1)
    add("--latency", type=float, default=0, metavar="MS", help="of every answer  [%(default)s]")
    add("--runs", type=int, default=3, help="measured passes  [%(default)s]")
    add("--in-flight", type=int, default=200, help="domains and probes  [%(default)s]")
    add(
        "--one-algorithm",
        action="store_true",
        help="one connection to a host, not another for its certificate of the other algorithm",
    )
    add(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that look and judge; with more than one nothing is pinned  [%(default)s]",
    )
    add("--no-pin", action="store_true", help="let the kernel place processes")
    add("--json", metavar="FILE", help="write the figures there")
    _add_places(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--code", default=ROOT, metavar="DIR", help="measure the danewatch of another checkout")
    default = Path(tempfile.gettempdir()) / f"danewatch-bench-{os.getuid()}"
    add("--directory", default=str(default), help="for laboratories  [%(default)s]")


if __name__ == "__main__":
    sys.exit(main())
