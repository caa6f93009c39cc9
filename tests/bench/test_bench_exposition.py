"""What a scrape of 100,000 domains with two MX hosts each costs, and what the probing loop feels.

    .venv/bin/python -m pytest -q -s -m bench tests/bench/test_bench_exposition.py

The page is served as the service serves it and fetched by curl, in a process of its own; CPU is
that of this process. Meanwhile a trio task in the same process wants to run each millisecond: how
late it runs is what a probe would feel. Figures are medians of three; they are for the table in
``docs/operations.md``.
"""

import gc
import os
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import pytest
import sample_checks
import trio

from exporters.exposition import ResultFragments
from exporters.http import HttpCallbacks, HttpLimits, MetricsServer
from exporters.own_metrics import OwnMetrics
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.observation import MxRecord
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, EntityType, Profile

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

DOMAINS = int(os.environ.get("DANEWATCH_BENCH_DOMAINS", "100000"))
CHECKED_A_MINUTE = DOMAINS // 60
"""Between two scrapes a minute apart, at the default interval of one hour."""
OPERATORS = 500
"""Pairs of hosts where hosts are shared."""
ROUNDS = 3
MAX_LAG = 0.050
"""Seconds: the requirement on the probing loop."""
MAX_CPU = 1.0
"""Seconds: the requirement on one scrape."""


class World:
    """Checks of many domains, made from one."""

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._template = sample_checks.zoned()

    def hosts(self, number: int) -> tuple[Name, Name]:
        """Return the two MX hosts of a domain."""
        if self._shared:
            operator = number % OPERATORS
            return (Name(f"mx1.op{operator:03}.example"), Name(f"mx2.op{operator:03}.example"))
        return (Name(f"mx1.partner{number:06}.example"), Name(f"mx2.partner{number:06}.example"))

    def check(self, number: int, at: datetime) -> Check:
        """Return the check of one protected domain with a zone of its own."""
        domain, names = Name(f"partner{number:06}.example"), self.hosts(number)
        seen, judged = self._template.observation, self._template.judgement
        zone = replace(seen.zones[-1], zone=domain, observed_at=at)
        mx = replace(seen.route.mx, dnssec_zone=domain)
        ipv4 = replace(sample_checks.lookup(names[0], sample_checks.RRType.A), dnssec_zone=domain)
        return replace(
            self._template,
            observation=replace(
                seen,
                domain=domain,
                observed_at=at,
                route=replace(
                    seen.route,
                    domain=domain,
                    mx=mx,
                    exchanges=tuple(
                        MxRecord(preference=10 * place, exchange=name)
                        for place, name in enumerate(names, 1)
                    ),
                ),
                hosts=tuple(
                    replace(
                        host,
                        route=replace(host.route, host=name, ipv4=ipv4),
                        addresses=tuple(
                            replace(one, host=name, observed_at=at) for one in host.addresses
                        ),
                    )
                    for host, name in zip(seen.hosts, names, strict=True)
                ),
                zones=(*seen.zones[:-1], zone),
            ),
            judgement=replace(
                judged,
                verdicts=tuple(
                    replace(
                        verdict,
                        hosts=tuple(
                            replace(host, host=name)
                            for host, name in zip(verdict.hosts, names, strict=True)
                        ),
                    )
                    for verdict in judged.verdicts
                ),
                hosts=tuple(
                    replace(facts, host=name)
                    for facts, name in zip(judged.hosts, names, strict=True)
                ),
            ),
        )

    def states(self, number: int) -> dict[EntityKey, State]:
        """Return the states of everything the check shows."""
        since = sample_checks.NOW - timedelta(days=number % 100, seconds=number % 86_400)
        domain = Name(f"partner{number:06}.example")
        wanted = [(EntityType.DOMAIN, domain, "protected"), (EntityType.ZONE, domain, "secure")]
        wanted += [(EntityType.MX, host, "authenticated") for host in self.hosts(number)]
        return {
            (kind, name): State(
                entity_type=kind,
                entity=name,
                profile=Profile.EXCHANGE_ONLINE,
                status=status,
                reason=None,
                phase=DeliveryPhase.DELIVERING,
                since=since,
                last_seen_at=since,
            )
            for kind, name, status in wanted
        }

    def show(self, board: ResultFragments, numbers: Sequence[int], at: datetime) -> None:
        """Show the checks of ``numbers``, spread over a minute from ``at``."""
        for place, number in enumerate(numbers):
            moment = at + timedelta(microseconds=60_000_000 * place // len(numbers))
            board.show(self.check(number, moment), states=self.states(number), labels=())


class Ticker:
    """A trio task that wants to run each millisecond, and how late it did."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            due = trio.current_time() + 0.001
            await trio.sleep_until(due)
            self.late.append(trio.current_time() - due)


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What one scrape cost."""

    wall: float
    cpu: float
    octets: int
    worst_lag: float
    p99_lag: float


async def costs(work: Callable[[], Awaitable[int]]) -> Scrape:
    """Do ``work``, which returns how many octets it was about, while a ticker runs."""
    ticker = Ticker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticker.run)
        await trio.sleep(0.2)
        ticker.late.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        octets = await work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    late = sorted(ticker.late)
    return Scrape(
        wall=wall,
        cpu=cpu,
        octets=octets,
        worst_lag=late[-1],
        p99_lag=late[int(len(late) * 0.99)],
    )


async def scrape(server: MetricsServer, *, gzip: bool) -> Scrape:
    """Fetch the page by curl."""
    encoding = ["-H", "Accept-Encoding: gzip"] if gzip else []
    command = ["curl", "-sS", "--fail", *encoding, "-o", "/dev/null", "-w", "%{size_download}"]

    async def fetch() -> int:
        done = await trio.run_process([*command, f"{server.url}metrics"], capture_stdout=True)
        return int(done.stdout)

    return await costs(fetch)


async def nothing() -> Scrape:
    """Let a second pass: what the machine alone makes of the ticker."""

    async def rest() -> int:
        await trio.sleep(1.0)
        return 0

    return await costs(rest)


async def work_ahead(board: ResultFragments) -> Scrape:
    """Make every piece, as the server does by itself after a restart."""

    async def prepare() -> int:
        await trio.to_thread.run_sync(board.prepare)
        return board.page().gzip_size

    return await costs(prepare)


def median(scrapes: Sequence[Scrape]) -> Scrape:
    """Return the median of each figure."""
    return Scrape(
        **{
            name: statistics.median(getattr(one, name) for one in scrapes)
            for name in ("wall", "cpu", "octets", "worst_lag", "p99_lag")
        }
    )


def say(what: str, found: Scrape) -> None:
    """Print one row of the table."""
    print(
        f"| {what} | {found.wall:.2f} s | {found.cpu:.2f} s | {found.octets / 1e6:.1f} MB "
        f"| {1e3 * found.p99_lag:.1f} ms | {1e3 * found.worst_lag:.1f} ms |"
    )


@pytest.fixture(params=["shared", "distinct"])
def filled(request: pytest.FixtureRequest) -> tuple[str, World, ResultFragments]:
    """A board with all domains on it, and what it took."""
    world = World(shared=request.param == "shared")
    board = ResultFragments()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    for start in range(0, DOMAINS, CHECKED_A_MINUTE):
        numbers = range(start, min(start + CHECKED_A_MINUTE, DOMAINS))
        world.show(board, numbers, sample_checks.NOW + timedelta(minutes=start / CHECKED_A_MINUTE))
    gc.collect()
    taken = time.process_time() - begun
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\n{request.param}: filled in {taken:.1f} s CPU (checks made too), {grown >> 10} MiB")
    return request.param, world, board


async def test_a_scrape_of_all_domains_stalls_nothing(
    filled: tuple[str, World, ResultFragments],
) -> None:
    """Work ahead after a restart, scrapes after a minute of checks, one with nothing new."""
    kind, world, board = filled
    callbacks = HttpCallbacks(
        not_ready=lambda: None,
        reload=lambda: (),
        is_target=lambda name: False,
        probe=lambda name, seconds: world.check(0, sample_checks.NOW),
    )
    server = MetricsServer(
        board,
        OwnMetrics(version="bench"),
        callbacks,
        listen="127.0.0.1:0",
        limits=HttpLimits(backlog_pieces=10**9),  # what a scrape costs when nobody worked ahead
    )
    await trio.to_thread.run_sync(server.start)
    try:
        alone = await nothing()
        ahead = await work_ahead(board)
        print("| what | wall | CPU | octets | lag, 99th percentile | lag, worst |")
        print("|---|---|---|---|---|---|")
        say(f"{kind}: no scrape", alone)
        say(f"{kind}, {board.page().series:,} series: working ahead after a restart", ahead)
        for gzip in (True, False):
            found = []
            for minute in range(1, ROUNDS + 1):
                start = minute * CHECKED_A_MINUTE + (ROUNDS * CHECKED_A_MINUTE if gzip else 0)
                numbers = range(start, start + CHECKED_A_MINUTE)
                at = sample_checks.NOW + timedelta(hours=1, minutes=minute)
                await trio.to_thread.run_sync(partial(world.show, board, numbers, at))
                gc.collect()
                found.append(await scrape(server, gzip=gzip))
            result = median(found)
            say(f"{kind}: a scrape a minute later, {'gzip' if gzip else 'text'}", result)
            assert result.cpu < MAX_CPU
            assert result.worst_lag < MAX_LAG + alone.worst_lag
        again = median([await scrape(server, gzip=True) for _ in range(ROUNDS)])
        say(f"{kind}: another at once, gzip", again)
        assert ahead.worst_lag < MAX_LAG + alone.worst_lag
    finally:
        await trio.to_thread.run_sync(server.stop)
