"""How often we knock: rates and bursts, results that age, longer rests where we are turned away."""

import pytest
import trio
from scripted_world import START, Counts

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.vocabulary import Family
from scanner.run import manners
from scanner.run.clock import ScaledClock
from scanner.run.manners import Backoff, BackoffLimits, Buckets
from scanner.run.probes import SharedProber, SharingLimits, service_limits

MX = Name("mx.test")
TAKES = 1.0


def server(number: int, network: int = 1) -> HostAddress:
    return HostAddress(address=f"198.51.{network}.{number}", family=Family.IPV4, status=None)


class Servers:
    """Mail servers that answer after a second; ``says`` is what they answer with."""

    def __init__(self) -> None:
        self.says: tuple[ProbeStage, ProbeError | None, int | None, str] = (
            ProbeStage.DONE,
            None,
            None,
            "",
        )
        self.begun: list[tuple[float, str]] = []

    def turn_away(self) -> None:
        self.says = (
            ProbeStage.GREETING,
            ProbeError.REPLY_TRANSIENT,
            421,
            "4.7.0 too many connections",
        )

    def time_out(self) -> None:
        self.says = (ProbeStage.CONNECT, ProbeError.TIMEOUT, None, "")

    def answer(self) -> None:
        self.says = (ProbeStage.DONE, None, None, "")

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        self.begun.append((trio.current_time(), address.address))
        await trio.sleep(TAKES)
        stage, error, code, text = self.says
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=ScaledClock(START).now(),
            stage=stage,
            error=error,
            reply_code=code,
            reply_text=text,
            probe_id=str(len(self.begun)),
        )

    def times(self) -> list[float]:
        return [at for at, _ in self.begun]


@pytest.fixture
def servers() -> Servers:
    """The mail servers."""
    return Servers()


async def all_at_once(prober: SharedProber, *asked: tuple[Name, HostAddress]) -> None:
    async with trio.open_nursery() as nursery:
        for host, address in asked:
            nursery.start_soon(prober.probe, host, address, host)


class TestBuckets:
    async def test_a_burst_passes_and_then_one_in_each_period(self, autojump_clock) -> None:
        """Two a second with a burst of three."""
        buckets: Buckets[str] = Buckets(per_second=2.0, burst=3)
        taken = []
        for _ in range(6):
            await buckets.take("a")
            taken.append(trio.current_time())
        assert taken == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]

    async def test_a_bucket_fills_up_again(self, autojump_clock) -> None:
        """And holds no more than the burst."""
        buckets: Buckets[str] = Buckets(per_second=2.0, burst=3)
        for _ in range(3):
            await buckets.take("a")
        await trio.sleep(100)
        taken = []
        for _ in range(4):
            await buckets.take("a")
            taken.append(trio.current_time())
        assert taken == [100.0, 100.0, 100.0, 100.5]

    async def test_keys_have_buckets_of_their_own(self, autojump_clock) -> None:
        """Nobody pays for another."""
        buckets: Buckets[str] = Buckets(per_second=0.1, burst=1)
        await buckets.take("a")
        await buckets.take("b")
        assert trio.current_time() == 0.0

    async def test_without_a_rate_nothing_is_bound_or_kept(self, autojump_clock) -> None:
        """Zero is no bound."""
        buckets: Buckets[str] = Buckets(per_second=0.0, burst=1)
        for _ in range(1_000):
            await buckets.take("a")
        assert (trio.current_time(), len(buckets)) == (0.0, 0)

    async def test_full_buckets_are_forgotten_when_there_are_many(
        self, autojump_clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full bucket is as good as none."""
        monkeypatch.setattr(manners, "MAX_BUCKETS", 10)
        buckets: Buckets[int] = Buckets(per_second=1.0, burst=1)
        for key in range(10):
            await buckets.take(key)
        await trio.sleep(5)
        await buckets.take(10)
        assert len(buckets) == 1


class TestRates:
    async def test_one_network_is_contacted_at_its_rate(self, servers, autojump_clock) -> None:
        """Whatever the host names and addresses."""
        limits = SharingLimits(network_per_second=1.0, network_burst=2)
        prober = SharedProber(servers, limits=limits)
        await all_at_once(prober, *((Name(f"mx{n}.o{n}.test"), server(n)) for n in range(1, 5)))
        assert servers.times() == [0.0, 0.0, 1.0, 2.0]

    async def test_one_operator_is_contacted_at_its_rate(self, servers, autojump_clock) -> None:
        """The parent domain of the host name, over all its networks."""
        limits = SharingLimits(operator_per_second=1.0, operator_burst=2)
        prober = SharedProber(servers, limits=limits)
        await all_at_once(
            prober, *((Name(f"mx{n}.big.test"), server(1, network=n)) for n in range(1, 5))
        )
        assert servers.times() == [0.0, 0.0, 1.0, 2.0]
        await all_at_once(prober, (Name("mx.other.test"), server(2, network=9)))
        assert servers.begun[-1] == (3.0, "198.51.9.2")

    async def test_what_is_remembered_costs_no_token(self, servers, autojump_clock) -> None:
        """A thousand host names at a dead address wait for nothing."""
        servers.time_out()
        limits = SharingLimits(network_per_second=0.001, network_burst=1)
        prober = SharedProber(servers, limits=limits)
        await all_at_once(prober, *((Name(f"mx{n}.test"), server(1)) for n in range(50)))
        assert servers.times() == [0.0]
        assert trio.current_time() == TAKES


class TestFreshness:
    async def test_a_result_serves_others_for_its_time_and_no_longer(
        self, servers, autojump_clock
    ) -> None:
        """From the beginning of its probe."""
        prober = SharedProber(servers, limits=SharingLimits(fresh_seconds=300.0))
        for wait in (0.0, 298.0, 2.0):
            await trio.sleep(wait)
            await prober.probe(MX, server(1), MX)
        assert servers.times() == [0.0, 301.0]

    async def test_a_failure_serves_others_for_a_minute(self, servers, autojump_clock) -> None:
        """So that a second look is one; also under another host name at the same address."""
        servers.time_out()
        limits = service_limits(SharingLimits())
        prober = SharedProber(servers, limits=limits)
        await prober.probe(MX, server(1), MX)
        await trio.sleep(50)
        await prober.probe(MX, server(1), MX)
        other = Name("mx2.test")
        await prober.probe(other, server(1), other)
        assert servers.times() == [0.0]
        await trio.sleep(10)
        await prober.probe(other, server(1), other)
        assert servers.times() == [0.0, 61.0]

    def test_a_service_keeps_the_limits_it_was_given(self) -> None:
        """And adds its manners."""
        limits = service_limits(
            SharingLimits(max_per_network=3, min_gap_seconds=7.0), fresh_seconds=30.0
        )
        assert (limits.max_per_network, limits.min_gap_seconds) == (3, 7.0)
        assert (limits.fresh_seconds, limits.failures_fresh_seconds) == (30.0, 30.0)
        assert (limits.network_per_second, limits.operator_per_second) == (2.0, 4.0)

    def test_a_service_keeps_the_rates_it_was_given(self) -> None:
        """Also none at all, which 0 says."""
        given = SharingLimits(min_gap_seconds=0.0, network_per_second=0.0, operator_per_second=50.0)
        limits = service_limits(given)
        assert limits.min_gap_seconds == 0
        assert (limits.network_per_second, limits.operator_per_second) == (0, 50)
        assert service_limits(SharingLimits()).min_gap_seconds == 1.0


async def test_every_probe_that_is_made_is_counted_with_its_time_and_its_failure(
    servers, autojump_clock
) -> None:
    """Also one that failed; not an answer that was shared or recalled."""
    meter = Counts()
    prober = SharedProber(servers, meter=meter)
    await prober.probe(MX, server(1), MX)
    await prober.probe(MX, server(1), MX)
    servers.time_out()
    await prober.probe(MX, server(2), MX)
    await prober.probe(Name("mx2.example"), server(2), MX)
    assert meter.get(OwnMetric.CHECKS, "address") == len(servers.begun) == 2
    assert meter.get(OwnMetric.CHECK_FAILURES, "address", "timeout") == 1
    assert meter.observed[OwnMetric.CHECK_DURATION] == 2


class TestBackoff:
    async def test_a_server_that_turns_us_away_is_left_alone_for_longer_each_time(
        self, servers, autojump_clock
    ) -> None:
        """Two minutes, four, eight, and an hour at most; what it said stands in meanwhile."""
        servers.turn_away()
        meter = Counts()
        prober = SharedProber(servers, limits=service_limits(SharingLimits()), meter=meter)
        while trio.current_time() < 20_000:
            seen = await prober.probe(MX, server(1), MX)
            assert seen.reply_code == 421
            await trio.sleep(30)
        gaps = [b - a for a, b in zip(servers.times(), servers.times()[1:], strict=False)]
        assert [round(gap / 120) for gap in gaps[:5]] == [1, 2, 4, 8, 16]
        assert all(3_600 <= gap <= 3_700 for gap in gaps[5:])
        assert meter.get(OwnMetric.SMTP_THROTTLED) == len(servers.begun)

    async def test_every_host_name_at_the_address_rests_with_it(
        self, servers, autojump_clock
    ) -> None:
        """The connection counts, not the name; whoever asks has a result of his own."""
        servers.turn_away()
        prober = SharedProber(servers, limits=service_limits(SharingLimits()))
        first = await prober.probe(MX, server(1), MX)
        other = Name("mx2.test")
        seen = await prober.probe(other, server(1), other)
        assert len(servers.begun) == 1
        assert (seen.host, seen.sni, seen.attempts) == (other, other, 0)
        assert seen.probe_id != first.probe_id

    async def test_a_server_that_lets_us_in_is_pardoned(self, servers, autojump_clock) -> None:
        """The next rest is a short one again."""
        servers.turn_away()
        prober = SharedProber(servers, limits=service_limits(SharingLimits()))
        await prober.probe(MX, server(1), MX)
        servers.answer()
        await trio.sleep(130)
        assert (await prober.probe(MX, server(1), MX)).error is None
        servers.turn_away()
        await trio.sleep(400)
        await prober.probe(MX, server(1), MX)
        servers.answer()
        await trio.sleep(130)
        assert (await prober.probe(MX, server(1), MX)).error is None

    async def test_what_is_remembered_is_bounded(self, autojump_clock) -> None:
        """Whoever was turned away first is forgotten first."""
        backoff = Backoff(BackoffLimits(max_addresses=2))
        assert [backoff.strike(name) for name in ("a", "b", "c", "c")] == [120, 120, 120, 240]
        assert (len(backoff), backoff.rests("a"), backoff.rests("c")) == (2, False, True)
        backoff.pardon("c")
        assert not backoff.rests("c")

    async def test_an_ill_server_is_not_throttling(self, servers, autojump_clock) -> None:
        """It is asked again after a minute like any other that failed."""
        servers.says = (ProbeStage.GREETING, ProbeError.REPLY_TRANSIENT, 421, "4.3.2 shutting down")
        meter = Counts()
        prober = SharedProber(servers, limits=service_limits(SharingLimits()), meter=meter)
        await prober.probe(MX, server(1), MX)
        await trio.sleep(70)
        await prober.probe(MX, server(1), MX)
        assert len(servers.begun) == 2
        assert meter.get(OwnMetric.SMTP_THROTTLED) is None
