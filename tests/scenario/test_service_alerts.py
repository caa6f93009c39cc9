"""The service itself, watching the lab, scraped by a real Prometheus with our rules.

The service's clock runs ten minutes a second. What the lab does, the service must see, confirm and
show, Prometheus must find, and Alertmanager must send or keep back.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from monitored_lab import HEALTHY
from monitoring_servers import Alertmanager, Prometheus, wait_for

from exporters.own_metrics import OwnMetrics
from scanner.cli.service import Loaded, Service, ServiceLimits
from scanner.cli.service_open import Pulse, open_service, serve_page
from scanner.cli.service_parts import places_of
from scanner.cli.wiring import Settings
from scanner.config import Config
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.lab.responder import ResolverMode
from scanner.model.names import Name
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import ScaledClock

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

PACE = 600.0
INSURER, UNIVERSITY = Name("insurer.test"), Name("university.test")
BLOCKED_HOSTS = {
    ("DanewatchMxBlocked", "mx1.mailhaven.test"),
    ("DanewatchMxBlocked", "mx2.mailhaven.test"),
}


def loaded(lab: Lab, directory: Path) -> Loaded:
    targets = directory / "targets.txt"
    targets.write_text("".join(f"{name}\n" for name in HEALTHY))
    host, port = lab.resolver
    config = Config.model_validate(
        {
            "targets": {"files": [str(targets)]},
            "schedule": {"interval_seconds": 600.0},
            "self_test": {"interval_seconds": 300.0, "canary_domains": ["bank.test"]},
            "history": {"directory": str(directory / "history"), "flush_seconds": 60.0},
            "http": {"listen": "127.0.0.1:0"},
        }
    )
    settings = Settings(
        resolvers=(ServerAddress(host, port),),
        anchors=read_anchors(lab.trust_anchor),
        smtp_port=lab.smtp_port,
        allow_private_addresses=True,
    )
    return Loaded(config=config, settings=settings)


@asynccontextmanager
async def serving(lab: Lab, directory: Path) -> AsyncIterator[str]:
    """Run the service until the block ends; yield the address of its page."""
    clock = ScaledClock(datetime.now(UTC), factor=PACE)
    steady: Callable[[], float] = lambda: trio.current_time() * PACE  # noqa: E731
    chosen = loaded(lab, directory)
    with open_service(
        chosen,
        load=lambda: chosen,
        places=places_of(chosen.config, "test"),
        meter=OwnMetrics(version="test"),
        now=clock.now(),
        limits=ServiceLimits(pace=PACE),
    ) as service:
        async with trio.open_nursery() as nursery:
            with serve_page(service, Pulse(), trio.lowlevel.current_trio_token()) as url:
                await nursery.start(partial(_run, service, clock, steady))
                yield url.removeprefix("http://").rstrip("/")
                service.stop()
                await service.ended.wait()


async def _run(
    service: Service,
    clock: ScaledClock,
    steady: Callable[[], float],
    task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    await service.run(clock, steady_seconds=steady, task_status=task_status)


async def settled(what: Callable[[], Any], expected: Any) -> Any:
    """Return what ``what`` returns once it is ``expected``, or at last if it never is."""
    return await trio.to_thread.run_sync(wait_for, what, expected)


async def test_alerts_follow_what_happens_to_partners_and_to_the_service(tmp_path: Path) -> None:
    """A provider's certificate, our own resolver, a broken chain: each its alert and no other."""
    now = datetime.now(UTC).replace(microsecond=0)
    async with open_lab(demo_plan(now)) as lab, serving(lab, tmp_path) as page:
        in_thread = trio.to_thread.run_sync
        alertmanager = await in_thread(Alertmanager, tmp_path / "alertmanager")
        try:
            prometheus = await in_thread(
                Prometheus, tmp_path / "prometheus", [page], alertmanager.address
            )
            try:
                await _story(lab, prometheus, alertmanager)
            finally:
                await in_thread(prometheus.stop)
        finally:
            await in_thread(alertmanager.stop)


async def _story(lab: Lab, prometheus: Prometheus, alertmanager: Alertmanager) -> None:
    seen = partial(prometheus.values, "count(danewatch_domain_up == 1)")
    assert await settled(seen, [str(len(HEALTHY))]) == [str(len(HEALTHY))]
    assert await settled(prometheus.firing, set()) == set()

    lab.break_domain(INSURER, NamedFault.CERTIFICATE_REPLACED)
    assert await settled(prometheus.firing, BLOCKED_HOSTS) == BLOCKED_HOSTS

    lab.set_resolver_mode(ResolverMode.DOWN)
    blind = partial(prometheus.values, "danewatch_blind")
    assert await settled(blind, ["1"]) == ["1"]
    about_partners = lambda: {  # noqa: E731
        one for one in prometheus.firing() if one[0] == "DanewatchMxBlocked"
    }
    told = partial(_has, prometheus.firing, ("DanewatchBlind", "resolver-down"))
    assert await settled(told, True)
    assert await trio.to_thread.run_sync(about_partners) == BLOCKED_HOSTS
    muted = lambda: {  # noqa: E731
        one for one, is_muted in alertmanager.muted().items() if is_muted
    }
    assert await settled(partial(_holds, muted, BLOCKED_HOSTS), True)

    lab.set_resolver_mode(ResolverMode.VALIDATING)
    lab.clear_fault(INSURER)
    assert await settled(prometheus.firing, set()) == set()

    lab.break_domain(UNIVERSITY, NamedFault.DS_MISMATCH)
    expected = {("DanewatchZoneBogus", "university.test")}
    assert await settled(prometheus.firing, expected) == expected


def _has(what: Callable[[], set[tuple[str, str]]], wanted: tuple[str, str]) -> bool:
    return wanted in what()


def _holds(what: Callable[[], set[tuple[str, str]]], wanted: set[tuple[str, str]]) -> bool:
    return wanted <= what()
