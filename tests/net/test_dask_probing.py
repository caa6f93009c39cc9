"""The probes of one group on a worker of a cluster, in pretended time; which checks are doubtful.

No cluster and no network: the equipment is a fake.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sample_checks
import trio

from exporters.history import RunFacts
from exporters.history.places import Place
from scanner.distributed import tasks
from scanner.distributed.tasks import _doubt, _Egress, _Probing
from scanner.distributed.values import Doubt, JudgeJob, NoteConnection, PassPlan, ProbeJob, Wish
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.verdict import Check, Judgement
from scanner.model.vocabulary import Family, Profile
from scanner.run.probes import SharingLimits


def wish(network: int, host: int = 1) -> Wish:
    name = Name(f"mx{host}.n{network}.example")
    return Wish(name, f"10.0.{network}.{host}", Family.IPV4, name, False)


class Equipment:
    """Mail servers that greet for so long, and note how many are asked at a time."""

    profile = Profile.EXCHANGE_ONLINE

    def __init__(self, *, line_fails_at: float = float("inf"), second_look: bool = False) -> None:
        self.sharing_limits = SharingLimits(max_concurrent=4)
        self._line_fails_at = line_fails_at
        self._second_look = second_look
        self.asked: list[str] = []
        self.greetings: list[str] = []

    def prober(self, note_connection: NoteConnection) -> Any:
        self._note = note_connection
        return self

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        self.asked.append(address.address)
        await trio.sleep(1)
        made = sample_checks.protected().observation.hosts[0].addresses[0]
        made = replace(made, host=host, address=address.address, sni=sni)
        if trio.current_time() < self._line_fails_at:
            self._note(address, True)
            return made
        self._note(address, None)
        return replace(made, stage=ProbeStage.CONNECT, error=ProbeError.TIMEOUT, chain=())

    async def greet(self, address: HostAddress) -> bool:
        self.greetings.append(address.address)
        await trio.sleep(1)
        return trio.current_time() < self._line_fails_at

    def deserves_second_look(self, judgement: Judgement) -> bool:
        return self._second_look


def plan_of(equipment: Any) -> PassPlan:
    return PassPlan(
        pass_id="pass",
        version="1",
        token="token",
        key=b"key",
        place=Place("file:///nowhere"),
        equipment=equipment,
        run=RunFacts(run_id="pass", scanner_id="here"),
    )


async def probed(equipment: Equipment, wishes: list[Wish], egress: _Egress) -> _Probing:
    plan = plan_of(equipment)
    probing = _Probing(ProbeJob(plan=plan, number=1, wishes=tuple(wishes)), egress)
    await probing.make_all()
    return probing


async def test_every_wish_is_made_within_the_limits(autojump_clock: trio.testing.MockClock) -> None:
    """Once, and who greeted is remembered for the next task of the pass."""
    egress = _Egress()
    wishes = [wish(network) for network in range(10)]
    began = trio.current_time()
    probing = await probed(equipment := Equipment(), wishes, egress)
    assert set(probing.results) == set(wishes)
    assert sorted(equipment.asked) == sorted(one.address for one in wishes)
    assert trio.current_time() - began == pytest.approx(3)  # ten, four at a time
    assert list(egress.greeted) == [Family.IPV4]
    assert probing.blind is None


async def test_a_worker_that_loses_its_way_out_keeps_what_it_saw_and_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Twenty networks in a row are silent, and so is who greeted before: that is us."""
    equipment = Equipment(line_fails_at=trio.current_time() + 2.5)
    wishes = [wish(network) for network in range(200)]
    probing = await probed(equipment, wishes, _Egress())
    assert probing.blind is not None
    assert len(equipment.greetings) == 1
    assert len(probing.results) == 8
    assert all(result.error is None for result in probing.results.values())
    assert len(equipment.asked) < 40


async def test_a_group_of_one_network_may_find_us_without_a_way_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its many wishes in a row are silent, and so is who greeted before: another worker looks."""
    equipment, egress = Equipment(line_fails_at=trio.current_time()), _Egress()
    egress.greeted[Family.IPV4] = HostAddress(address="10.1.1.1", family=Family.IPV4, status=None)
    probing = await probed(equipment, [wish(2, host) for host in range(1, 31)], egress)
    assert probing.blind is not None
    assert probing.results == {}
    assert equipment.greetings == ["10.1.1.1"]


async def test_silent_networks_are_no_outage_where_somebody_still_greets_us(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A witness is asked once for twenty of them, and all are held against their owners."""

    class Dead(Equipment):
        async def greet(self, address: HostAddress) -> bool:
            self.greetings.append(address.address)
            return True

    equipment = Dead(line_fails_at=trio.current_time())
    egress = _Egress()
    egress.greeted[Family.IPV4] = HostAddress(address="10.1.1.1", family=Family.IPV4, status=None)
    wishes = [wish(network) for network in range(50)]
    probing = await probed(equipment, wishes, egress)
    assert probing.blind is None
    assert set(probing.results) == set(wishes)
    assert equipment.greetings == ["10.1.1.1"] * 2


async def test_where_nobody_ever_greeted_nothing_is_proved(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All results are kept, and the report says that no family is proved."""
    equipment, egress = Equipment(line_fails_at=trio.current_time()), _Egress()
    probing = await probed(equipment, [wish(network) for network in range(50)], egress)
    assert len(probing.results) == 50
    assert not egress.greeted
    assert equipment.greetings == []


def doubt_of(check: Check, *, second_look: bool = False) -> Doubt | None:
    equipment: Any = Equipment(second_look=second_look)
    job = JudgeJob(
        plan=plan_of(equipment), number=1, evidence="", probes={}, greeted={}, first_look=True
    )
    return _doubt(job, check)


def aged(check: Check, by: timedelta) -> Check:
    observation = check.observation
    hosts = tuple(
        replace(
            host,
            addresses=tuple(
                replace(one, observed_at=observation.observed_at + by) for one in host.addresses
            ),
        )
        for host in observation.hosts
    )
    return replace(check, observation=replace(observation, hosts=hosts))


def test_stopped_mail_is_doubtful_where_lookups_were_old() -> None:
    """A mismatch may be a change that we caught half of; what works is believed."""
    late = tasks.AGED_AFTER + timedelta(seconds=1)
    assert doubt_of(sample_checks.mismatch()) is None
    assert doubt_of(aged(sample_checks.mismatch(), tasks.AGED_AFTER)) is None
    assert doubt_of(aged(sample_checks.mismatch(), late)) is Doubt.AGED
    assert doubt_of(aged(sample_checks.protected(), late)) is None


def test_what_may_pass_is_doubtful() -> None:
    """As the rules of a pass say."""
    assert doubt_of(sample_checks.mismatch(), second_look=True) is Doubt.TRANSIENT
