"""Benchmarks of danewatch at scale. One command each:

    python tests/bench/bench.py scan --domains 1000 --validation local

makes a laboratory of so many domains, serves it from other processes, lets ``danewatch scan`` check
it, compares every verdict with what was meant, and prints what it cost. All on loopback.

Figures are of processor time, user and system, of the danewatch process, because that survives busy
neighbours; medians of ``--runs``. The stages come from a further run under a sampling profiler.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from load_lab import make_lab
from load_plan import Mix
from load_run import ROOT, Run, Settings, compare, run_scan
from load_servers import MissingToolError, serving

__all__ = ["Mix", "Settings", "compare", "main", "make_lab", "run_scan", "serving"]

MIXES = {
    "own": {"shared": 0.0},
    "skew": {"shared": 0.6},
}


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; return 1 where a verdict was wrong."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except MissingToolError as error:
        print(error, file=sys.stderr)
        return 2


def scan(options: argparse.Namespace) -> int:
    """Measure passes over one laboratory and print the figures."""
    mix = _mix(options)
    base = Path(options.directory)
    lab = make_lab(mix, base / _label(mix))
    settings = Settings(
        validation=options.validation,
        in_flight=options.in_flight,
        both_algorithms=not options.one_algorithm,
        code=Path(options.code).resolve(),
    )
    with serving(
        lab, base / "bin", latency_ms=options.latency, prefix=_pinned(options, last=True)
    ) as servers:
        runs = [
            run_scan(lab, servers, settings, prefix=_pinned(options), sample=sample)
            for sample in [False] * options.runs + [True] * options.stages
        ]
    result = summary(mix, settings, options, runs)
    _print(result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if any(run.wrong for run in runs) else 0


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
        "bench": "scan",
        "domains": count,
        "mix": _label(mix),
        "validation": settings.validation,
        "both_algorithms": settings.both_algorithms,
        "latency_ms": options.latency,
        "in_flight": settings.in_flight,
        "runs": len(plain),
        "domains_per_cpu_second": round(count / cpu, 1),
        "domains_per_second": round(count / median("seconds"), 1),
        "cpu_ms_per_domain": round(1000 * cpu / count, 3),
        "cpu_ms_per_domain_of_the_pass": round(1000 * median("pass_cpu_seconds") / count, 3),
        "cpu_ms_per_domain_least_and_most": [
            round(1000 * pick(run.figures["cpu_seconds"] for run in plain) / count, 3)
            for pick in (min, max)
        ],
        "start_cpu_ms": round(1000 * median("start_cpu_seconds")),
        "seconds": round(median("seconds"), 1),
        "queries_per_domain": round(median("queries") / count, 2),
        "connections_per_host": round(median("connections_per_host"), 3),
        "hosts_contacted": round(median("hosts_contacted")),
        "peak_mib": round(median("peak_mib")),
        "wrong_verdicts": sum(len(run.wrong) for run in runs),
        "wrong": [line for run in runs for line in run.wrong][:10],
        "unanswerable_questions": plain[-1].unknown,
    }
    sampled = [run for run in runs if run.sampled]
    if sampled:
        figures = sampled[-1].figures
        result["stages_ms_per_domain"] = sampled[-1].stages(count)
        result["collector_share"] = round(figures["collector_seconds"] / figures["cpu_seconds"], 3)
        result["lag_ms"] = figures["lag_ms"]
        result["busy_between_ticks_ms"] = figures["busy_between_ticks_ms"]
        result["hottest"] = sampled[-1].hottest()
    result["each"] = [run.figures for run in runs]
    return result


def _print(result: dict[str, Any]) -> None:
    shown = {key: value for key, value in result.items() if key not in ("each", "hottest")}
    width = max(map(len, shown))
    for key, value in shown.items():
        if isinstance(value, dict):
            value = "  ".join(f"{name} {each}" for name, each in value.items())
        print(f"{key:{width}}  {value}")
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
    if options.no_pin or len(processors) < 2:
        return []
    return ["taskset", "-c", str(processors[-1] if last else processors[0])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    one = commands.add_parser("scan", help="passes of danewatch over one laboratory")
    one.set_defaults(run=scan)
    one.add_argument("--domains", type=int, default=1_000)
    one.add_argument("--validation", choices=("local", "resolver"), default="local")
    one.add_argument(
        "--mix",
        choices=tuple(MIXES),
        default="own",
        help="own: each domain its own MX host; skew: 60 %% of the domains on 20 operators  [own]",
    )
    one.add_argument("--faulty", type=float, default=0.05, help="share of broken domains  [0.05]")
    one.add_argument("--silent", type=float, default=0.03, help="share of time-outs  [0.03]")
    one.add_argument("--unsigned", type=float, default=0.0, help="share of unsigned domains  [0]")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--latency", type=float, default=0, metavar="MS", help="of every answer  [0]")
    one.add_argument("--runs", type=int, default=3, help="measured passes  [3]")
    one.add_argument("--no-stages", dest="stages", action="store_false", help="no sampled pass")
    one.add_argument("--in-flight", type=int, default=1_000, help="domains and probes  [1000]")
    one.add_argument(
        "--one-algorithm",
        action="store_true",
        help="one connection to a host, not "
        "a second one for its certificate of the other algorithm",
    )
    one.add_argument("--no-pin", action="store_true", help="let the kernel place processes")
    one.add_argument("--json", metavar="FILE", help="write the figures there")
    one.add_argument(
        "--code",
        default=ROOT,
        metavar="DIR",
        help="measure the danewatch of another checkout, for comparison",
    )
    default = Path(tempfile.gettempdir()) / f"danewatch-bench-{os.getuid()}"
    one.add_argument("--directory", default=str(default), help=f"for laboratories  [{default}]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
