"""The figures of docs/performance.md: tables and a plot made from kept results.

Results are the JSON files that ``bench.py --json`` writes, in docs/pictures/performance. What
stands between the markers of the page is written from them, and a test holds the two together.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from load_run import ROOT

RESULTS = ROOT / "docs" / "pictures" / "performance"
PLOT = ROOT / "docs" / "pictures" / "performance.svg"
PAGE = ROOT / "docs" / "performance.md"
SIGNATURE_CHECKS = 9
"""Of a domain with its own host, nothing known before: DS, DNSKEY and MX of the domain; DS, DNSKEY,
A and TLSA of the host's zone, and the two records that deny AAAA."""
STAGES = (
    "dns",
    "validation",
    "probe",
    "judge",
    "sinks",
    "engine",
    "scheduler",
    "collector",
    "start",
)
MARKER = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Result = dict[str, Any]
Row = Iterable[object]


def write_page() -> None:
    """Write the tables into the page, and the plot."""
    results = read_results()
    PAGE.write_text(filled(PAGE.read_text(), results))
    _plot(results)


def read_results() -> dict[str, Result]:
    """Return the kept results by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}


def filled(text: str, results: dict[str, Result]) -> str:
    """Return the page with its tables made anew."""
    return MARKER.sub(lambda match: f"{match[1]}{TABLES[match[2]](results)}\n{match[3]}", text)


def _table(head: Row, rows: Iterable[Row]) -> str:
    names = [str(name) for name in head]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _passes(results: dict[str, Result]) -> list[Result]:
    found = [result for result in results.values() if result["bench"] == "scan"]
    return sorted(found, key=lambda each: (each["mix"].split("-")[0], each["domains"]))


def _name(result: Result) -> str:
    mix = result["mix"].split("-")[0]
    parts = [f"{mix}, {result['domains']:,}"]
    if result["latency_ms"]:
        parts.append(f"{result['latency_ms']:g} ms")
    if result["validation"] != "local":
        parts.append("resolver validates")
    if not result["both_algorithms"]:
        parts.append("one algorithm")
    return ", ".join(parts)


def passes(results: dict[str, Result]) -> str:
    """Return the table of passes."""
    return _table(
        (
            *("domains", "commit", "domains per CPU-second", "CPU ms each", "of it in the pass"),
            *(
                "wall s",
                "queries each",
                "hosts",
                "connections each",
                "peak MiB",
                "wrong verdicts",
                "undecided",
            ),
            "machine: verify µs",
        ),
        (
            (
                _name(each),
                each["commit"],
                each["domains_per_cpu_second"],
                each["cpu_ms_per_domain"],
                each["cpu_ms_per_domain_of_the_pass"],
                each["seconds"],
                each["queries_per_domain"],
                f"{each['hosts_contacted']:,}",
                each["connections_per_host"],
                each["peak_mib"],
                each["wrong_verdicts"],
                each.get("undecided_verdicts", 0),
                each["machine"]["verify_us"],
            )
            for each in _passes(results)
        ),
    )


def stages(results: dict[str, Result]) -> str:
    """Return the table of stages, in milliseconds of processor time a domain."""
    sampled = [each for each in _passes(results) if "stages_ms_per_domain" in each]
    return _table(
        ("domains", *STAGES, "lag worst ms", "lag p99 ms"),
        (
            (
                _name(each),
                *(f"{each['stages_ms_per_domain'].get(stage, 0.0):.2f}" for stage in STAGES),
                each["lag_ms"]["worst"],
                each["lag_ms"]["p99"],
            )
            for each in sampled
        ),
    )


def peers(results: dict[str, Result]) -> str:
    """Return the table of other programs."""
    rows: list[Row] = []
    for result in results.values():
        if result["bench"] != "peers":
            continue
        rate, mix = result["domains_per_cpu_second"], result["mix"].split("-")[0]
        cost = result["cpu_ms_per_domain"]
        rows.append((mix, "danewatch", result["domains"], rate, cost, "", "every verdict compared"))
        rows += [
            (
                mix,
                f"{name} ({each['version']})",
                each["domains"],
                each["domains_per_cpu_second"],
                each["cpu_ms_per_domain"],
                f"{each['danewatch_times']} ×",
                f"{each['good']} of {each['expected_good']}",
            )
            for name, each in result["peers"].items()
        ]
    head = (
        "mix",
        "program",
        "domains",
        "domains per CPU-second",
        "CPU ms each",
        "danewatch",
        "found well",
    )
    return _table(head, rows)


def limits(results: dict[str, Result]) -> str:
    """Return the table of the same work in C."""
    found = next(each for each in results.values() if each["bench"] == "limits")
    ours = next(
        (
            each
            for each in _passes(results)
            if each["mix"].startswith("own")
            and each["validation"] == "local"
            and not each["both_algorithms"]
        ),
        None,
    )
    queries = found["dnsperf_us_per_query"]
    rows: list[Row] = [
        ("8 queries by dnsperf", f"{queries} µs each", round(8 * queries)),
        (
            f"{SIGNATURE_CHECKS} ECDSA P-256 verifications",
            f"{found['verify_us']} µs each",
            round(SIGNATURE_CHECKS * found["verify_us"]),
        ),
        ("one STARTTLS probe", f"{found['probes']:,} probes", round(found["probe_us"])),
    ]
    least = 8 * queries + SIGNATURE_CHECKS * found["verify_us"] + found["probe_us"]
    rows.append(("sum: a domain in C, computed", "", round(least)))
    if ours:
        per = 1000 * ours["cpu_ms_per_domain_of_the_pass"]
        times = f"{per / least:.1f} times that"
        rows.append(("danewatch, one algorithm, the pass", times, round(per)))
    return _table(("work of one domain with its own host", "", "CPU µs"), rows)


def start(results: dict[str, Result]) -> str:
    """Return the line about ``--help``."""
    found = next(each for each in results.values() if each["bench"] == "start")
    return (
        f"`danewatch --help`: {found['help_ms_median']} ms (median of {found['runs']}; least "
        f"{found['help_ms_least']} ms), {found['help_cpu_ms_median']} ms of it processor time."
    )


TABLES: dict[str, Callable[[dict[str, Result]], str]] = {
    each.__name__: each for each in (passes, stages, peers, limits, start)
}
"""What may stand between markers, by the name in the marker."""


def _plot(results: dict[str, Result]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "danewatch", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    sampled = [each for each in _passes(results) if "stages_ms_per_domain" in each]
    names = [_name(each) for each in sampled]
    bottoms = [0.0] * len(sampled)
    for stage in STAGES:
        costs = [each["stages_ms_per_domain"].get(stage, 0.0) for each in sampled]
        left.barh(names, costs, left=bottoms, label=stage)
        bottoms = [bottom + cost for bottom, cost in zip(bottoms, costs, strict=True)]
    left.invert_yaxis()
    left.set_xlabel("CPU milliseconds a domain")
    left.set_title("Where the time goes")
    left.margins(x=0.02)
    left.legend(fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.4, -0.15))
    bars: dict[str, float] = {}
    for result in results.values():
        if result["bench"] == "peers":
            mix = result["mix"].split("-")[0]
            bars[f"danewatch ({mix})"] = result["domains_per_cpu_second"]
            for name, each in result["peers"].items():
                bars[f"{name} ({mix})"] = each["domains_per_cpu_second"]
    if not bars:
        raise SystemExit("the plot needs the results of peers too: bench.py all")
    drawn = right.barh(list(bars), list(bars.values()), color="0.6")
    for bar, name in zip(drawn, bars, strict=True):
        if name.startswith("danewatch"):
            bar.set_color("C0")
    right.bar_label(drawn, fmt="%.3g", padding=2, fontsize=8)
    right.set_xscale("log")
    right.margins(x=0.12)
    right.invert_yaxis()
    right.set_title("Domains per CPU-second")
    figure.savefig(PLOT, metadata={"Date": None})
