"""What one probe learned of an address serves every host name at it, until the second look."""

from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.vocabulary import Family
from scanner.run.probes import SharedProber, SharingLimits

ADDRESS = HostAddress(address="192.0.2.1", family=Family.IPV4, status=None)


class Scripted:
    """Ends every probe after 20 seconds at the given stage with the given error."""

    def __init__(self, stage: ProbeStage, error: ProbeError | None) -> None:
        self.stage, self.error = stage, error
        self.probed: list[str] = []

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        self.probed.append(host)
        await trio.sleep(20)
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=datetime(2026, 11, 24, tzinfo=UTC),
            stage=self.stage,
            error=self.error,
            probe_id=f"probe of {host}",
        )


async def probe_names(prober: SharedProber, count: int) -> list[AddressObservation]:
    found: list[AddressObservation] = []

    async def one(number: int) -> None:
        name = Name(f"mx.d{number}.test")
        found.append(await prober.probe(name, ADDRESS, name))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return found


@pytest.mark.parametrize("error", [ProbeError.REFUSED, ProbeError.TIMEOUT, ProbeError.UNREACHABLE])
async def test_a_closed_address_costs_one_time_out_for_a_hundred_host_names(
    error: ProbeError, autojump_clock: trio.testing.MockClock
) -> None:
    """Each name gets the finding under its own name, with an id of its own for the history."""
    scripted = Scripted(ProbeStage.CONNECT, error)
    started = trio.current_time()
    found = await probe_names(SharedProber(scripted), 100)
    assert trio.current_time() - started == pytest.approx(20)
    assert len(scripted.probed) == 1
    assert {result.error for result in found} == {error}
    assert sorted(result.host for result in found) == sorted(
        f"mx.d{number}.test" for number in range(100)
    )
    assert len({result.probe_id for result in found}) == 100
    assert all(result.host == result.sni for result in found)


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (ProbeStage.DONE, None),
        (ProbeStage.HANDSHAKE, ProbeError.TLS_ALERT),
        (ProbeStage.GREETING, ProbeError.REPLY_TRANSIENT),
        (ProbeStage.CONNECT, ProbeError.NO_ROUTE),
        (ProbeStage.CONNECT, ProbeError.OWN_RESOURCES),
    ],
)
async def test_what_may_depend_on_the_name_or_on_us_is_not_shared_between_names(
    stage: ProbeStage, error: ProbeError | None, autojump_clock: trio.testing.MockClock
) -> None:
    """SNI decides the certificate, and our own trouble passes."""
    scripted = Scripted(stage, error)
    await probe_names(SharedProber(scripted), 3)
    assert len(scripted.probed) == 3


async def test_a_second_look_probes_failures_afresh_and_keeps_successes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """``forget_failures`` drops closed addresses and failed probes only."""
    scripted = Scripted(ProbeStage.CONNECT, ProbeError.TIMEOUT)
    prober = SharedProber(scripted)
    await probe_names(prober, 2)
    prober.forget_failures()
    scripted.stage, scripted.error = ProbeStage.DONE, None
    await probe_names(prober, 2)
    assert len(scripted.probed) == 3
    prober.forget_failures()
    await probe_names(prober, 2)
    assert len(scripted.probed) == 3


async def test_remembered_closed_addresses_are_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The oldest are forgotten first."""
    scripted = Scripted(ProbeStage.CONNECT, ProbeError.REFUSED)
    prober = SharedProber(scripted, limits=SharingLimits(max_dead_addresses=2))
    for last in (1, 2, 3, 1):
        address = HostAddress(address=f"192.0.2.{last}", family=Family.IPV4, status=None)
        await prober.probe(Name(f"mx{len(scripted.probed)}.test"), address, Name("x.test"))
    assert len(scripted.probed) == 4
