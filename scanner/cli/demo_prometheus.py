"""A real Prometheus beside the demo of the service, where one is installed: the alerts follow.

It scrapes the page of the demo every second and has the rules of this repository, with their
waiting times divided by the pace of the demo's clock. It listens on loopback, keeps its data in a
directory that goes away, and ends with the demo.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
import yaml

POLL_SECONDS = 0.5
START_SECONDS = 20.0
"""Until the first scrape; Prometheus takes five seconds to learn of its targets."""
LEAST_WAIT_SECONDS = 2.0
"""No rule waits shorter: two scrapes, so that a page not scraped yet alarms nobody."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def prometheus_program() -> str | None:
    """Return the path of an installed Prometheus, or None."""
    return shutil.which("prometheus")


def rules_directory() -> Path | None:
    """Return where the rules are: in the checkout, or where an installation put them."""
    beside = Path(__file__).resolve().parents[2] / "grafana" / "alerts"
    installed = Path(sys.prefix) / "share" / "danewatch" / "alerts"
    return next((one for one in (beside, installed) if one.is_dir()), None)


@asynccontextmanager
async def alerts_of(
    page: str, *, pace: float, on_alert: Callable[[dict[str, str], str], None]
) -> AsyncIterator[bool]:
    """Watch alerts on ``page`` for the length of the block; yield whether that is possible.

    ``on_alert`` is called once for each alert that begins to fire, with its labels and summary.
    """
    program, rules = prometheus_program(), rules_directory()
    if program is None or rules is None:
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="danewatch-demo-") as name:
        directory = Path(name)
        port = _free_port()
        _configure(directory, page=page)
        command = [
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            "--log.level=error",
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        async with trio.open_nursery() as nursery:
            # Cancelled, it is told to end, and killed where it does not (trio.run_process).
            await nursery.start(partial(trio.run_process, command, **quiet))
            url = f"http://127.0.0.1:{port}"
            with trio.move_on_after(START_SECONDS):
                # Rules come once the page was scraped: before, danewatch would seem to be gone.
                is_up = partial(_asks, f"{url}/api/v1/query?query=up==1")
                while not await trio.to_thread.run_sync(is_up):  # noqa: ASYNC110 - no event tells
                    await trio.sleep(0.2)
            _configure(directory, page=page, rules=rules, pace=pace)
            await trio.to_thread.run_sync(partial(_asks, f"{url}/-/reload", method="POST"))
            nursery.start_soon(_poll, url, on_alert)
            yield True
            nursery.cancel_scope.cancel()


async def _poll(url: str, on_alert: Callable[[dict[str, str], str], None]) -> None:
    """Ask for alerts for ever; Prometheus may take a moment to be there."""
    known: set[tuple[tuple[str, str], ...]] = set()
    while True:
        await trio.sleep(POLL_SECONDS)
        for alert in await trio.to_thread.run_sync(_firing, url, abandon_on_cancel=True):
            labels = {key: str(value) for key, value in alert["labels"].items()}
            identity = tuple(sorted(labels.items()))
            if identity not in known:
                known.add(identity)
                on_alert(labels, str(alert["annotations"].get("summary", "")))


def _firing(url: str) -> list[dict[str, Any]]:
    found = _asks(f"{url}/api/v1/alerts")
    alerts = found.get("alerts", []) if isinstance(found, dict) else []
    return [one for one in alerts if one.get("state") == "firing"]


def _asks(url: str, *, method: str = "GET") -> Any:
    """Return what Prometheus answers; None while it does not, or has nothing to say."""
    try:
        request = urllib.request.Request(url, method=method)  # noqa: S310 - our own Prometheus
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            data = json.load(answer)["data"]
    except (OSError, ValueError, KeyError):
        return None
    return data.get("result", data)


def _configure(directory: Path, *, page: str, rules: Path | None = None, pace: float = 1.0) -> None:
    target = re.sub(r"^https?://|/$", "", page)
    for path in sorted(rules.glob("*.rules.yml")) if rules is not None else ():
        text = path.read_text(encoding="utf-8")
        (directory / path.name).write_text(faster(text, pace), encoding="utf-8")
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(directory / "*.rules.yml")],
        "scrape_configs": [{"job_name": "danewatch", "static_configs": [{"targets": [target]}]}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")


def faster(rules: str, pace: float) -> str:
    """Return the rules with every waiting time divided by ``pace``, within reason."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            for key in ("for", "keep_firing_for"):
                if key in rule:
                    seconds = max(seconds_of(rule[key]) / pace, LEAST_WAIT_SECONDS)
                    rule[key] = f"{int(seconds * 1_000)}ms"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000)


def seconds_of(duration: str) -> float:
    """Return the seconds of a Prometheus duration such as ``1h30m``; raises ValueError."""
    parts: Iterable[tuple[str, str]] = re.findall(r"(\d+)(ms|[smhdw])", duration)
    if not re.fullmatch(r"(\d+(ms|[smhdw]))+", duration):
        raise ValueError(f"{duration!r} is no duration")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
