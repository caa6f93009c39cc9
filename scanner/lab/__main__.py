"""Run a lab as a process of its own: ``python -m scanner.lab --domains 1000``.

Prints one JSON line with everything a client needs, then serves until ``--seconds`` are over or
standard input ends (with ``--until-eof``), and never longer.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import trio

from scanner.lab.catalogue import demo_plan, scenario_plan
from scanner.lab.export import write_universe
from scanner.lab.generate import generate
from scanner.lab.lab import Lab, open_lab
from scanner.lab.mailhost import has_ipv6_loopback
from scanner.lab.plan import LabPlan

DEFAULT_SECONDS = 300.0
MAX_SECONDS = 24 * 3600.0


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve."""
    options = _parser().parse_args(arguments)
    if not 0 < options.seconds <= MAX_SECONDS:
        raise SystemExit(f"--seconds must be above 0 and at most {MAX_SECONDS:g}")
    plan = _plan(options)
    trio.run(_serve, plan, options)


async def _serve(plan: LabPlan, options: argparse.Namespace) -> None:
    async with open_lab(plan, smtp_port=options.smtp_port) as lab:
        with trio.move_on_after(options.seconds):  # from when it serves, however slow the start
            if options.zone_files:
                write_universe(lab.universe, Path(options.zone_files), plan)
            sys.stdout.write(json.dumps(_facts(lab)) + "\n")
            sys.stdout.flush()
            if options.until_eof:
                await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            else:
                await trio.sleep_forever()


def _plan(options: argparse.Namespace) -> LabPlan:
    now = datetime.now(UTC).replace(microsecond=0)
    if options.domains is not None:
        return generate(now, options.domains, seed=options.seed, fault_share=options.fault_share)
    if options.demo:
        return demo_plan(now)
    return scenario_plan(now, options.scenario or None, ipv6=has_ipv6_loopback())


def _facts(lab: Lab) -> dict[str, object]:
    address, port = lab.resolver
    return {
        "resolver": f"{address}:{port}",
        "smtp_port": lab.smtp_port,
        "trust_anchor": lab.trust_anchor.strip(),
        "domains": [
            {
                "domain": domain.name,
                "label": domain.label,
                "title": domain.title,
                "rfc7672": domain.rfc7672,
                "exchange-online": domain.exchange_online,
                "code": domain.code,
                "cause_code": domain.cause_code,
                "slow": domain.slow,
            }
            for domain in lab.domains.values()
        ],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scanner.lab", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--domains", type=int, metavar="N", help="a generated lab of N domains")
    what.add_argument("--demo", action="store_true", help="the demo's partners")
    what.add_argument(
        "--scenario", action="append", metavar="LABEL", help="only this scenario; repeatable"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the generated lab")
    parser.add_argument("--fault-share", type=float, default=0.1, help="of the generated lab, 0..1")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="stop after so long")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    parser.add_argument("--smtp-port", type=int, metavar="N", help="default: one that is free")
    parser.add_argument("--zone-files", metavar="DIR", help="also write signed zone files there")
    return parser


if __name__ == "__main__":
    main()
