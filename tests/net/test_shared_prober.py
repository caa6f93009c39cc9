"""Sharing and limits: one probe for all who ask, few connections at a time, none lost to a cancel.

The wrapped prober is a fake that takes ten seconds on a clock that jumps.
"""

from collections import Counter
from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.vocabulary import Family
from scanner.run.probes import SharedProber, SharingLimits

MX = Name("mx.test")
TAKES = 10.0


def ipv4(address: str) -> HostAddress:
    return HostAddress(address=address, family=Family.IPV4, status=None)


def ipv6(address: str) -> HostAddress:
    return HostAddress(address=address, family=Family.IPV6, status=None)


FIRST = ipv4("192.0.2.1")


class FakeProber:
    """Takes its time, counts what runs at once, and fails as told."""

    def __init__(self) -> None:
        self.begun: list[tuple[float, str, str]] = []
        self.both_algorithms: list[bool] = []
        self.now = Counter[str]()
        self.most = Counter[str]()
        self.error: ProbeError | None = None
        self.chain: tuple[bytes, ...] = ()
        self.other_chain: tuple[bytes, ...] = ()
        self.bug: Exception | None = None

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        self.begun.append((trio.current_time(), host, address.address))
        self.both_algorithms.append(both_algorithms)
        for key in (address.address, "all"):
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        try:
            await trio.sleep(TAKES)
        finally:
            for key in (address.address, "all"):
                self.now[key] -= 1
        if self.bug is not None:
            raise self.bug
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=datetime(2026, 11, 24, tzinfo=UTC),
            stage=ProbeStage.CONNECT if self.error else ProbeStage.DONE,
            error=self.error,
            chain=self.chain,
            other_chain=self.other_chain,
            probe_id=str(len(self.begun)),
        )


@pytest.fixture
def fake() -> FakeProber:
    """The wrapped prober."""
    return FakeProber()


def shared(fake: FakeProber, **limits: float) -> SharedProber:
    return SharedProber(fake, limits=SharingLimits(**limits))


async def together(prober: SharedProber, *questions) -> list[AddressObservation]:
    """Ask all ``questions`` (host, address, SNI) at once and return the answers in that order."""
    answers: dict[int, AddressObservation] = {}

    async def ask(index: int, host: str, address: HostAddress, sni: str) -> None:
        answers[index] = await prober.probe(Name(host), address, Name(sni))

    async with trio.open_nursery() as nursery:
        for index, question in enumerate(questions):
            nursery.start_soon(ask, index, *question)
            await trio.testing.wait_all_tasks_blocked()
    return [answers[index] for index in range(len(questions))]


# -- sharing -----------------------------------------------------------------------------------


async def test_the_same_question_at_once_is_one_probe(fake, autojump_clock) -> None:
    """Single flight: all who ask while a probe runs get its answer."""
    prober = shared(fake)
    answers = await together(prober, *[(MX, FIRST, MX)] * 5)
    assert len({id(answer) for answer in answers}) == 1
    assert len(fake.begun) == 1
    assert (prober.statistics().probes, prober.statistics().shared) == (1, 4)


async def test_asking_for_both_algorithms_is_another_question(fake, autojump_clock) -> None:
    """A probe that saw one certificate does not answer for two; the wish is passed on."""
    prober = shared(fake)
    plain = await prober.probe(MX, FIRST, MX)
    both = await prober.probe(MX, FIRST, MX, both_algorithms=True)
    assert both is not plain
    assert await prober.probe(MX, FIRST, MX, both_algorithms=True) is both
    assert fake.both_algorithms == [False, True]


async def test_the_same_question_later_in_the_pass_is_the_same_answer(fake, autojump_clock) -> None:
    """Results are kept until the pass ends."""
    prober = shared(fake)
    first = await prober.probe(MX, FIRST, MX)
    await trio.sleep(3_600)
    assert await prober.probe(MX, FIRST, MX) is first
    assert len(fake.begun) == 1


@pytest.mark.parametrize(
    "other",
    [("other.test", FIRST, MX), (MX, ipv4("192.0.2.2"), MX), (MX, FIRST, "other.test")],
    ids=["host", "address", "SNI"],
)
async def test_another_host_address_or_name_is_another_probe(fake, other, autojump_clock) -> None:
    """Only the very same question is shared: SNI chooses the certificate."""
    await together(shared(fake), (MX, FIRST, MX), other)
    assert len(fake.begun) == 2


async def test_the_security_of_the_address_record_does_not_matter(fake, autojump_clock) -> None:
    """Two domains may reach one address with different DNSSEC status; the server is the same."""
    prober = shared(fake)
    insecure = HostAddress(address="192.0.2.1", family=Family.IPV4, status="insecure")
    await together(prober, (MX, FIRST, MX), (MX, insecure, MX))
    assert len(fake.begun) == 1


async def test_a_new_pass_looks_anew(fake, autojump_clock) -> None:
    """What was seen in the last pass answers nothing in this one."""
    prober = shared(fake)
    first = await prober.probe(MX, FIRST, MX)
    prober.forget()
    assert prober.statistics().kept == 0
    assert await prober.probe(MX, FIRST, MX) is not first


async def test_a_probe_begun_before_a_new_pass_answers_only_who_asked_then(
    fake, autojump_clock
) -> None:
    """A fresh question gets a fresh look, and still only one connection at a time is open."""
    prober = shared(fake)
    answers = []

    async def ask() -> None:
        answers.append(await prober.probe(MX, FIRST, MX))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(5)
        prober.forget()
        nursery.start_soon(ask)
    assert [answer.probe_id for answer in answers] == ["1", "2"]
    assert fake.most["192.0.2.1"] == 1
    assert (await prober.probe(MX, FIRST, MX)).probe_id == "2"


@pytest.mark.parametrize("error", [ProbeError.OWN_RESOURCES, ProbeError.NO_ROUTE])
async def test_our_own_momentary_trouble_is_not_kept(fake, error, autojump_clock) -> None:
    """The next one to ask may fare better."""
    fake.error = error
    prober = shared(fake)
    await prober.probe(MX, FIRST, MX)
    fake.error = None
    assert (await prober.probe(MX, FIRST, MX)).stage is ProbeStage.DONE


async def test_a_failure_of_the_peer_is_kept(fake, autojump_clock) -> None:
    """A host that refuses is not asked once for every domain that uses it."""
    fake.error = ProbeError.REFUSED
    prober = shared(fake)
    await prober.probe(MX, FIRST, MX)
    await prober.probe(MX, FIRST, MX)
    assert len(fake.begun) == 1


async def test_the_least_recently_used_result_goes_first(fake, autojump_clock) -> None:
    """What is kept is bounded in number."""
    prober = shared(fake, max_kept_results=2)
    for host in ("a.test", "b.test", "a.test", "c.test"):
        await prober.probe(Name(host), FIRST, MX)
    assert prober.statistics().kept == 2
    assert len(fake.begun) == 3
    await prober.probe(Name("a.test"), FIRST, MX)
    assert len(fake.begun) == 3
    await prober.probe(Name("b.test"), FIRST, MX)
    assert len(fake.begun) == 4


@pytest.mark.parametrize("chain", ["chain", "other_chain"])
async def test_what_is_kept_is_bounded_in_octets(fake, chain, autojump_clock) -> None:
    """Hostile chains do not fill the memory, nor do those of the other algorithm."""
    setattr(fake, chain, (bytes(10_000),))
    prober = shared(fake, max_kept_octets=25_000)
    for host in ("a.test", "b.test", "c.test"):
        await prober.probe(Name(host), FIRST, MX)
    assert prober.statistics().kept == 2


# -- limits ------------------------------------------------------------------------------------


async def test_one_connection_at_a_time_to_one_address(fake, autojump_clock) -> None:
    """Whatever the host names: many customers' names may lead to one server."""
    questions = [(f"mx{number}.test", FIRST, f"mx{number}.test") for number in range(4)]
    await together(shared(fake), *questions)
    assert fake.most["192.0.2.1"] == 1
    assert [begun for begun, _, _ in fake.begun] == [0.0, 10.0, 20.0, 30.0]


async def test_first_come_first_served(fake, autojump_clock) -> None:
    """Nobody overtakes at an address."""
    questions = [(f"mx{number}.test", FIRST, MX) for number in range(4)]
    await together(shared(fake), *questions)
    assert [host for _, host, _ in fake.begun] == ["mx0.test", "mx1.test", "mx2.test", "mx3.test"]


async def test_an_address_rests_between_connections(fake, autojump_clock) -> None:
    """The gap runs from the end of one to the beginning of the next, for this address alone."""
    prober = shared(fake, min_gap_seconds=60)
    await together(prober, ("a.test", FIRST, MX), ("b.test", FIRST, MX))
    await prober.probe(MX, ipv4("192.0.2.2"), MX)
    assert [begun for begun, _, _ in fake.begun] == [0.0, 70.0, 80.0]


async def test_an_address_that_has_rested_waits_no_more(fake, autojump_clock) -> None:
    """A rest long past costs nothing, and is not remembered."""
    prober = shared(fake, min_gap_seconds=60)
    for number in range(1, 6):
        await prober.probe(MX, ipv4(f"192.0.2.{number}"), MX)
        await trio.sleep(100)
    await prober.probe(Name("other.test"), FIRST, MX)
    assert fake.begun[-1][0] == 550.0
    assert len(prober._rests) == 1


@pytest.mark.parametrize(
    ("addresses", "most"),
    [
        ([ipv4(f"192.0.2.{number}") for number in range(6)], 2),
        ([ipv4(f"192.0.{number}.1") for number in range(6)], 6),
        ([ipv6(f"2001:db8:0:{number:x}::1") for number in range(6)], 2),
        ([ipv6(f"2001:db8:{number:x}::1") for number in range(6)], 6),
    ],
    ids=["one /24", "many /24", "one /48", "many /48"],
)
async def test_few_connections_at_a_time_to_one_network(
    fake, addresses, most, autojump_clock
) -> None:
    """A /24 and a /48 count as one operator."""
    prober = shared(fake, max_per_network=2)
    await together(prober, *[(MX, address, MX) for address in addresses])
    assert fake.most["all"] == most


async def test_a_cap_over_all(fake, autojump_clock) -> None:
    """No more probes at a time than configured, whoever they go to."""
    prober = shared(fake, max_concurrent=3, max_slow=0)
    await together(prober, *[(MX, ipv4(f"192.0.{number}.1"), MX) for number in range(8)])
    assert fake.most["all"] == 3


async def test_a_queue_before_one_address_takes_no_place_from_others(fake, autojump_clock) -> None:
    """Ten who wait for one slow host leave the second place of two free."""
    prober = shared(fake, max_concurrent=2)
    queue = [(f"mx{number}.test", FIRST, MX) for number in range(10)]
    await together(prober, *queue, (MX, ipv4("198.51.100.1"), MX))
    assert (0.0, MX, "198.51.100.1") in fake.begun


async def test_statistics_tell_who_runs_and_who_waits(fake, autojump_clock) -> None:
    """In flight and waiting, as of now; both come back to nothing."""
    prober = shared(fake)
    async with trio.open_nursery() as nursery:
        for host in ("a.test", "b.test", "c.test"):
            nursery.start_soon(prober.probe, Name(host), FIRST, MX)
        await trio.sleep(5)
        now = prober.statistics()
        assert (now.in_flight, now.waiting, now.probes) == (1, 2, 1)
    after = prober.statistics()
    assert (after.in_flight, after.waiting, after.probes, after.kept) == (0, 0, 3, 3)


async def test_nothing_is_left_behind(fake, autojump_clock) -> None:
    """Gates exist only while somebody needs them: a long run does not grow."""
    prober = shared(fake)
    await together(prober, *[(MX, ipv4(f"192.0.{number}.1"), MX) for number in range(20)])
    assert (len(prober._addresses), len(prober._networks), len(prober._rests)) == (0, 0, 0)
    assert prober._flights == {}


# -- cancellation and bugs ---------------------------------------------------------------------


async def test_a_cancelled_leader_takes_nobody_with_it(fake, autojump_clock) -> None:
    """One of those who wait leads the next probe; the others share it."""
    prober = shared(fake)
    answers = []
    leader = trio.CancelScope()

    async def lead() -> None:
        with leader:
            await prober.probe(MX, FIRST, MX)

    async def follow() -> None:
        answers.append(await prober.probe(MX, FIRST, MX))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(follow)
        nursery.start_soon(follow)
        await trio.sleep(5)
        leader.cancel()
    assert [answer.probe_id for answer in answers] == ["2", "2"]
    assert [begun for begun, _, _ in fake.begun] == [0.0, 5.0]


async def test_a_cancelled_follower_disturbs_nobody(fake, autojump_clock) -> None:
    """The leader finishes and its result is kept."""
    prober = shared(fake)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.probe, MX, FIRST, MX)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(5) as scope:
            await prober.probe(MX, FIRST, MX)
    assert scope.cancelled_caught
    assert (await prober.probe(MX, FIRST, MX)).probe_id == "1"


@pytest.mark.parametrize("where", ["address", "gap", "network", "all"])
async def test_who_is_cancelled_while_waiting_gives_everything_back(
    fake, where, autojump_clock
) -> None:
    """Cancelled at any queue, a waiter leaves the counts and gates as they were."""
    limits = {
        "address": {},
        "gap": {"min_gap_seconds": 100},
        "network": {"max_per_network": 1},
        "all": {"max_concurrent": 1, "max_slow": 0},
    }[where]
    second = {"network": ipv4("192.0.2.2"), "all": ipv4("198.51.100.1")}.get(where, FIRST)
    prober = shared(fake, **limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.probe, MX, FIRST, MX)
        await trio.sleep(15 if where == "gap" else 5)
        with trio.move_on_after(1) as scope:
            await prober.probe(Name("other.test"), second, MX)
    now = prober.statistics()
    assert scope.cancelled_caught
    assert (len(fake.begun), now.waiting, now.in_flight) == (1, 0, 0)
    assert (len(prober._addresses), len(prober._networks)) == (0, 0)
    assert (await prober.probe(Name("other.test"), second, MX)).probe_id == "2"


async def test_a_bug_in_the_prober_reaches_who_led_and_poisons_nobody(fake, autojump_clock) -> None:
    """An exception is not kept: the next question is a new probe."""
    prober = shared(fake)
    fake.bug = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        await prober.probe(MX, FIRST, MX)
    fake.bug = None
    assert (await prober.probe(MX, FIRST, MX)).stage is ProbeStage.DONE
    assert prober.statistics().in_flight == 0
