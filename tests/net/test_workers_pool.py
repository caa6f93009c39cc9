"""A pool of workers: work is shared out, done again where one ends, and given up where it must.

The workers here are tasks behind real socket pairs, so that they can be killed and hung at will in
pretended time; real processes are in ``tests/scenario/test_workers.py``.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio.testing

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    DomainObservation,
    HostAddress,
    Lookup,
    MailRoute,
    MxKind,
    ProbeError,
    ProbeStage,
    Question,
    Vantage,
)
from scanner.model.ports import Target
from scanner.model.verdict import Check, Judgement, ProfileVerdict
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Family,
    LookupOutcome,
    Profile,
    RRType,
)
from scanner.run.checking import CannotCheckError
from scanner.run.probes import SharedProber, SharingLimits
from scanner.run.workers import PoolPorts, WorkerLimits, WorkerPool
from scanner.run.workers_link import Link

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SEEING = Vantage(resolver_up=True, resolver_validating=True, egress_ipv4=True)
HOST = Name("mx.p.test")


class FixedClock:
    def now(self) -> datetime:
        return NOW


class Counts:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.gauges: dict[str, float | None] = {}

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        self.counted[metric] += int(amount)

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        self.gauges[metric] = value

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        self.counted[metric] += 1


def judged(seen: DomainObservation) -> Judgement:
    own = seen.incomplete is not None or seen.vantage.egress_ipv4 is not True
    verdict = DomainVerdict.INCONCLUSIVE if own else DomainVerdict.PROTECTED
    return Judgement(
        judged_at=NOW,
        verdicts=(
            ProfileVerdict(
                profile=Profile.RFC7672, verdict=verdict, phase=DeliveryPhase.UNKNOWN, hosts=()
            ),
        ),
    )


def seen_of(domain: Name, vantage: Vantage = SEEING) -> DomainObservation:
    lookup = Lookup(
        question=Question(domain, RRType.MX),
        outcome=LookupOutcome.NXDOMAIN,
        status=DnssecStatus.SECURE,
    )
    return DomainObservation(
        domain=domain,
        observed_at=NOW,
        duration_ms=1,
        route=MailRoute(domain=domain, mx=lookup, kind=MxKind.NXDOMAIN, expanded=domain),
        vantage=vantage,
    )


def address_of(number: int) -> HostAddress:
    return HostAddress(address=f"192.0.2.{number}", family=Family.IPV4, status=None)


class Process:
    """A worker that is a task; it can be killed, and made to hang."""

    def __init__(self, world: "World", pid: int, streams: tuple[trio.SocketStream, ...]) -> None:
        self.world = world
        self.pid = pid
        self.stream, self.far = streams
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.told: list[Any] = []
        self.link: Link
        self.hangs = False
        self.status = 0

    def kill(self) -> None:
        self.status = -9
        self.scope.cancel()

    async def wait(self) -> int:
        await self.ended.wait()
        return self.status

    async def live(self) -> None:
        """Work until killed, or until the parent is gone."""
        self.link = Link(
            self.far,
            serves={"check": self.check, "probe": self.probe},
            hears={
                "ping": self.pong,
                "egress": lambda told: self.told.append(told),
                "forget_failures": lambda: self.told.append("failures"),
                "forget_everything": lambda: self.told.append("everything"),
            },
        )
        try:
            with self.scope:
                self.link.note("ready")
                await self.link.run()
        finally:
            with trio.CancelScope(shield=True):
                await self.far.aclose()
            self.ended.set()

    def pong(self) -> None:
        if not self.hangs:
            self.link.note("pong", 0.0, False, [(OwnMetric.CACHE_HITS, 2.0, {"cache": "answers"})])

    async def check(self, target: Target) -> Check:
        return await self.world.check(self, target)

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, both: bool
    ) -> AddressObservation:
        return await self.world.probe(self, host, address, sni)


class World:
    """What the workers do; tests replace ``check`` and ``probe``."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.made: Counter[Name] = Counter()
        self.probed: Counter[str] = Counter()
        self.egress: Mapping[Family, bool | None] = {Family.IPV4: True, Family.IPV6: None}
        self.meter = Counts()
        self.connections: list[Any] = []
        self.nursery: trio.Nursery
        self.stillborn = False

    async def start(self) -> Process:
        near, far = trio.socket.socketpair()
        process = Process(
            self, len(self.processes) + 1, (trio.SocketStream(near), trio.SocketStream(far))
        )
        self.processes.append(process)
        if self.stillborn:
            process.kill()
        self.nursery.start_soon(process.live)
        return process

    async def prove(self) -> Mapping[Family, bool | None]:
        return self.egress

    def note_connection(self, address: HostAddress, answered: bool | None) -> None:
        self.connections.append((address.address, answered))

    async def check(self, process: Process, target: Target) -> Check:
        await trio.sleep(1)
        self.made[target.domain] += 1
        seen = seen_of(target.domain)
        return Check(observation=seen, judgement=judged(seen))

    async def probe(
        self, process: Process, host: Name, address: HostAddress, sni: Name
    ) -> AddressObservation:
        self.probed[address.address] += 1
        await trio.sleep(1)
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=NOW,
            stage=ProbeStage.DONE,
        )

    @asynccontextmanager
    async def pool(
        self, count: int = 2, sharing: SharingLimits | None = None, **limits: Any
    ) -> AsyncIterator[WorkerPool]:
        async with trio.open_nursery() as self.nursery:
            ports = PoolPorts(
                start=self.start,
                note_connection=self.note_connection,
                prove_egress=self.prove,
                judge=judged,
                clock=FixedClock(),
                meter=self.meter,
            )
            pool = WorkerPool(ports, count=count, limits=WorkerLimits(**limits))
            self.shared = SharedProber(pool, limits=sharing)
            async with trio.open_nursery() as nursery:
                await nursery.start(pool.run, self.shared)
                await trio.testing.wait_all_tasks_blocked(0.01)
                yield pool
                nursery.cancel_scope.cancel()


async def check_all(pool: WorkerPool, count: int) -> list[Check]:
    checks: list[Check] = []

    async def one(number: int) -> None:
        checks.append(await pool.check(Target(domain=Name(f"d{number}.test"))))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return checks


def verdicts(checks: list[Check]) -> Counter[DomainVerdict]:
    return Counter(check.judgement.verdicts[0].verdict for check in checks)


async def test_checks_are_shared_out_evenly(autojump_clock: trio.testing.MockClock) -> None:
    """The least busy worker gets the next."""
    by_process: Counter[int] = Counter()

    class Counted(World):
        async def check(self, process: Process, target: Target) -> Check:
            by_process[process.pid] += 1
            return await super().check(process, target)

    world = Counted()
    async with world.pool(count=2) as pool:
        checks = await check_all(pool, 20)
        assert world.meter.gauges[OwnMetric.WORKER_PROCESSES] == 2
    assert verdicts(checks) == {DomainVerdict.PROTECTED: 20}
    assert by_process == {1: 10, 2: 10}
    assert world.meter.gauges[OwnMetric.WORKER_PROCESSES] is None


async def test_a_worker_that_ends_is_replaced_and_nothing_is_lost_or_doubled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What it was doing is done again; each domain is answered once."""
    world = World()
    async with world.pool(count=2) as pool, trio.open_nursery() as nursery:

        async def kill() -> None:
            await trio.sleep(0.5)
            world.processes[0].kill()

        nursery.start_soon(kill)
        checks = await check_all(pool, 30)
        await trio.sleep(1)
        assert world.meter.gauges[OwnMetric.WORKER_PROCESSES] == 2
    assert sorted(check.domain for check in checks) == sorted(f"d{n}.test" for n in range(30))
    assert verdicts(checks) == {DomainVerdict.PROTECTED: 30}
    assert world.meter.counted[OwnMetric.WORKER_RESTARTS] == 1
    assert len(world.processes) == 3


async def test_a_worker_that_answers_nothing_is_killed_and_replaced(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopped process holds up its checks for the time of the missed pings, no longer."""

    class Hanging(World):
        async def check(self, process: Process, target: Target) -> Check:
            if process.pid == 1:
                process.hangs = True
                await trio.sleep_forever()
            return await super().check(process, target)

    world = Hanging()
    async with world.pool(count=2, missed_pings=5) as pool:
        began_at = trio.current_time()
        checks = await check_all(pool, 4)
        assert 5 <= trio.current_time() - began_at < 10
    assert verdicts(checks) == {DomainVerdict.PROTECTED: 4}
    assert "answered no more" in caplog.text


async def test_a_busy_parent_does_not_blame_its_workers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Pings that were sent late say nothing: whoever stood still was this process."""
    world = World()
    async with world.pool(count=1, missed_pings=2, ping_seconds=1.0) as pool:
        world.processes[0].hangs = True  # for as long as we stand still
        for _ in range(10):
            autojump_clock.jump(3)
            await trio.testing.wait_all_tasks_blocked()
        world.processes[0].hangs = False
        await check_all(pool, 1)
    assert len(world.processes) == 1


@pytest.mark.parametrize("others", [0, 40])
async def test_a_domain_that_ends_workers_is_given_up_and_no_other(
    autojump_clock: trio.testing.MockClock, others: int
) -> None:
    """It is inconclusive by our own fault; whoever was only near it is checked in the end."""
    poison = Name("d0.test")

    class Poisoned(World):
        async def check(self, process: Process, target: Target) -> Check:
            if target.domain == poison:
                await trio.sleep(0.5)
                process.kill()
            return await super().check(process, target)

    world = Poisoned()
    async with world.pool(count=2) as pool:
        checks = await check_all(pool, 1 + others)
        await trio.sleep(1)
    assert verdicts(checks) == Counter(
        {DomainVerdict.INCONCLUSIVE: 1, DomainVerdict.PROTECTED: others}
    )
    (given_up,) = [check for check in checks if check.domain == poison]
    assert given_up.observation.route.mx.own_fault is not None
    assert "3 worker processes ended" in str(given_up.observation.incomplete)
    assert world.meter.counted[OwnMetric.WORKER_RESTARTS] == 3


async def test_workers_that_keep_ending_let_no_check_be_made_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A pass ends and a service is blind, with a sentence; then it is tried again."""
    world = World()
    async with world.pool(count=2, max_ends=6) as pool:
        world.stillborn = True
        for process in world.processes:
            process.kill()
        with pytest.raises(CannotCheckError, match="keep ending"):
            await pool.check(Target(domain=Name("d0.test")))
        assert pool.resting() is not None
        started = len(world.processes)
        await trio.sleep(50)
        assert len(world.processes) <= started + 1
        world.stillborn = False
        await trio.sleep(30)
        assert pool.resting() is None
        assert verdicts(await check_all(pool, 3)) == {DomainVerdict.PROTECTED: 3}


async def test_workers_that_never_come_to_work_are_told_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A broken installation is no reason to wait."""
    world = World()
    world.stillborn = True
    with pytest.RaisesGroup(
        pytest.RaisesExc(CannotCheckError, match="keep ending"), flatten_subgroups=True
    ):
        async with world.pool(count=2):
            pass  # pragma: no cover
    assert trio.current_time() < 60


async def test_a_bug_in_a_worker_costs_that_check_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What cannot be sent is our own fault, and is said to be."""

    class Buggy(World):
        async def check(self, process: Process, target: Target) -> Check:
            if target.domain == "d1.test":
                raise ZeroDivisionError("oops")
            return await super().check(process, target)

    world = Buggy()
    async with world.pool() as pool:
        checks = await check_all(pool, 3)
    assert verdicts(checks) == {DomainVerdict.PROTECTED: 2, DomainVerdict.INCONCLUSIVE: 1}
    assert len(world.processes) == 2


async def test_what_is_known_of_port_25_here_decides(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A check made with an older idea of it is judged anew, and the workers are told."""

    class Unproven(World):
        async def check(self, process: Process, target: Target) -> Check:
            seen = seen_of(target.domain, Vantage(resolver_up=True, resolver_validating=True))
            return Check(observation=seen, judgement=judged(seen))

    world = Unproven()
    async with world.pool(count=1) as pool:
        (check,) = await check_all(pool, 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert world.processes[0].told[-1] == world.egress
    assert check.observation.vantage.egress_ipv4 is True
    assert verdicts([check]) == {DomainVerdict.PROTECTED: 1}


async def test_everybody_forgets_before_the_next_check(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A second look is answered by nothing remembered, in whatever worker."""
    heard: list[list[Any]] = []

    class Listening(World):
        async def check(self, process: Process, target: Target) -> Check:
            heard.append([said for said in process.told if isinstance(said, str)])
            return await super().check(process, target)

    world = Listening()
    async with world.pool(count=3) as pool:
        pool.forget_failures()
        pool.forget_everything()
        await check_all(pool, 6)
    assert heard == [["failures", "everything"]] * 6


class Probing(World):
    """Each check probes one address; ``addresses`` names those whose probe ends the worker."""

    def __init__(self, *, deadly: Callable[[HostAddress], bool] = lambda _: False) -> None:
        super().__init__()
        self.deadly = deadly
        self.open: Counter[str] = Counter()
        self.most_open = 0
        self.answers: list[AddressObservation] = []

    def address(self, domain: Name) -> HostAddress:
        return address_of(1)

    async def check(self, process: Process, target: Target) -> Check:
        address = self.address(target.domain)
        seen = await process.link.call("shared_probe", HOST, address, HOST, True)
        self.answers.append(seen)
        return await super().check(process, target)

    async def probe(
        self, process: Process, host: Name, address: HostAddress, sni: Name
    ) -> AddressObservation:
        self.open[address.address] += 1
        self.most_open = max(self.most_open, self.open[address.address])
        try:
            await trio.sleep(0.2)
            if self.deadly(address):
                process.kill()
            return await super().probe(process, host, address, sni)
        finally:
            self.open[address.address] -= 1


async def test_one_probe_serves_all_domains_of_all_workers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The number of workers does not change how often a mail server is contacted."""
    world = Probing()
    async with world.pool(count=3) as pool:
        await check_all(pool, 60)
    assert world.probed == {"192.0.2.1": 1}


async def test_one_connection_at_a_time_goes_to_an_address_though_workers_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its place is given to the next only when the process that had it is gone."""

    class Names(Probing):
        async def check(self, process: Process, target: Target) -> Check:
            name = target.domain
            await process.link.call("shared_probe", name, address_of(1), name, False)
            return await World.check(self, process, target)

    world = Names()
    async with world.pool(count=2) as pool, trio.open_nursery() as nursery:

        async def kill_some() -> None:
            for number in (0, 1):
                await trio.sleep(2.1)
                world.processes[number].kill()

        nursery.start_soon(kill_some)
        checks = await check_all(pool, 12)
    assert verdicts(checks) == {DomainVerdict.PROTECTED: 12}
    assert world.most_open == 1


async def test_a_mail_server_that_ends_workers_is_given_up_for_all_its_domains(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Three processes, not three for each domain; the others' probes are made."""

    class Half(Probing):
        def address(self, domain: Name) -> HostAddress:
            return address_of(1 if int(domain[1:-5]) % 2 else int(domain[1:-5]) + 10)

    world = Half(deadly=lambda address: address.address == "192.0.2.1")
    async with world.pool(count=2, max_ends=100) as pool:
        checks = await check_all(pool, 40)
    assert len(checks) == 40
    restarts = world.meter.counted[OwnMetric.WORKER_RESTARTS]
    assert restarts <= 4
    given_up = [one for one in world.answers if one.error is not None]
    assert {one.error for one in given_up} == {ProbeError.INTERNAL}
    assert {one.address for one in given_up} == {"192.0.2.1"}
    assert len({one.address for one in world.answers if one.error is None}) == 20


async def test_a_mail_server_that_was_given_up_is_tried_again_after_an_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It may have another certificate by then."""
    deadly = True
    world = Probing(deadly=lambda _: deadly)
    async with world.pool(count=1, sharing=SharingLimits(failures_fresh_seconds=60.0)) as pool:
        await check_all(pool, 1)
        deadly = False
        await check_all(pool, 1)
        await trio.sleep(3_700)
        await check_all(pool, 1)
    errors = [one.error for one in world.answers]
    assert errors[-1] is None
    assert set(errors[:-1]) == {ProbeError.INTERNAL}


async def test_a_probe_that_nobody_in_particular_asked_for_is_made_by_any_worker(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And by another one if that ends."""
    world = Probing()
    async with world.pool(count=2) as pool, trio.open_nursery() as nursery:

        async def kill() -> None:
            await trio.sleep(0.1)
            next(one for one in world.processes if sum(one.world.open.values())).kill()

        nursery.start_soon(kill)
        seen = await pool.probe(HOST, address_of(7), HOST)
    assert seen.stage is ProbeStage.DONE


async def test_connections_counts_and_records_of_workers_arrive_here(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One page and one log for all processes."""
    world = World()
    async with world.pool(count=1):
        link = world.processes[0].link
        link.note("connection", address_of(3), True)
        fields = {"name": "danewatch.engine", "levelno": logging.ERROR, "levelname": "ERROR"}
        link.note("log", {**fields, "msg": "a worker says 100 %", "args": None, "domain": "d.test"})
        await trio.sleep(3.5)
    assert world.connections == [("192.0.2.3", True)]
    assert world.meter.counted[OwnMetric.CACHE_HITS] >= 4
    assert world.meter.counted[OwnMetric.EVENT_LOOP_LAG] >= 2
    (record,) = [one for one in caplog.records if one.name == "danewatch.engine"]
    assert record.getMessage() == "a worker says 100 %"
    assert record.domain == "d.test"  # type: ignore[attr-defined]
