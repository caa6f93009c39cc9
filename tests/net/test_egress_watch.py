"""Only a greeting proves the way out, a failure needs a proof after it, and blocked is blocked."""

from collections.abc import Callable

import pytest
import trio

from scanner.model.names import Name
from scanner.model.observation import HostAddress
from scanner.model.vocabulary import Family
from scanner.run.egress import EgressPolicy, EgressWatch

V4, V6 = Family.IPV4, Family.IPV6
CANARY = Name("canary.test")
CANARY_ADDRESS = HostAddress(address="203.0.113.1", family=V4, status=None)


def server(number: int) -> HostAddress:
    """A mail server in a network of its own."""
    return HostAddress(address=f"198.51.{number}.1", family=V4, status=None)


def server6(number: int) -> HostAddress:
    return HostAddress(address=f"2001:db8:{number}::1", family=V6, status=None)


class World:
    """Mail servers that greet, or do not; every question takes a second."""

    def __init__(self) -> None:
        self.blocked = False
        self.silent: set[str] = set()
        self.no_route = False
        self.asked: list[tuple[float, str]] = []

    async def greet(self, address: HostAddress) -> bool | None:
        self.asked.append((trio.current_time(), address.address))
        await trio.sleep(1)
        if self.no_route:
            return None
        return not self.blocked and address.address not in self.silent

    async def resolve(self, host: Name) -> tuple[HostAddress, ...]:
        await trio.lowlevel.checkpoint()
        return (CANARY_ADDRESS,) if host == CANARY else ()


@pytest.fixture
def world() -> World:
    """Mail servers."""
    return World()


@pytest.fixture
def watch(world: World) -> Callable[..., EgressWatch]:
    """Make a watch over them."""

    def make(*canaries: Name, **policy: float) -> EgressWatch:
        return EgressWatch(
            greet=world.greet,
            resolve=world.resolve,
            canaries=canaries,
            policy=EgressPolicy(**policy),  # type: ignore[arg-type]
        )

    return make


class TestProof:
    async def test_nothing_is_proved_at_first(self, watch, autojump_clock) -> None:
        """And nobody is asked, since nobody failed."""
        assert await watch().prove() == {V4: None, V6: None}

    async def test_a_greeting_proves_its_family_only(self, watch, autojump_clock) -> None:
        """IPv6 is another way out."""
        egress = watch()
        egress.note_connection(server(1), True)
        assert await egress.prove() == {V4: True, V6: None}

    async def test_a_failure_without_any_witness_proves_nothing(
        self, watch, world, autojump_clock
    ) -> None:
        """The server that failed is asked once more, for want of others; it stays silent."""
        world.blocked = True
        egress = watch()
        egress.note_connection(server(1), None)
        assert (await egress.prove())[V4] is None
        assert [address for _, address in world.asked] == ["198.51.1.1"]

    async def test_a_failure_is_held_against_a_partner_when_a_witness_greets_after_it(
        self, watch, world, autojump_clock
    ) -> None:
        """The greeting came before the failure: that proves nothing about now."""
        egress = watch()
        egress.note_connection(server(1), True)
        await trio.sleep(5)
        egress.note_connection(server(2), None)
        assert (await egress.prove())[V4] is True
        assert world.asked == [(5.0, "198.51.1.1")]

    async def test_a_failure_after_port_25_was_blocked_is_never_proved(
        self, watch, world, autojump_clock
    ) -> None:
        """However fresh the greeting before it was."""
        egress = watch()
        egress.note_connection(server(1), True)
        world.blocked = True
        await trio.sleep(0.1)
        egress.note_connection(server(2), None)
        assert (await egress.prove())[V4] is None

    async def test_a_greeting_by_anybody_after_the_failure_saves_the_question(
        self, watch, world, autojump_clock
    ) -> None:
        """A busy scanner proves its way out all the time."""
        egress = watch()
        egress.note_connection(server(1), None)
        await trio.sleep(1)
        egress.note_connection(server(2), True)
        assert (await egress.prove())[V4] is True
        assert world.asked == []

    async def test_a_proof_ages(self, watch, autojump_clock) -> None:
        """Two minutes."""
        egress = watch()
        egress.note_connection(server(1), True)
        await trio.sleep(121)
        assert (await egress.prove())[V4] is None

    async def test_once_is_for_good_in_a_single_pass(self, watch, world, autojump_clock) -> None:
        """A pass is short, and looks out for outages itself."""
        egress = watch(once=True)
        egress.note_connection(server(1), True)
        world.blocked = True
        await trio.sleep(1_000)
        egress.note_connection(server(2), None)
        assert (await egress.prove())[V4] is True
        assert world.asked == []

    async def test_without_a_route_the_family_is_false(self, watch, autojump_clock) -> None:
        """Nothing left this machine; a later greeting says otherwise."""
        egress = watch()
        egress.note_connection(server6(1), False)
        assert await egress.prove() == {V4: None, V6: False}
        egress.note_connection(server6(1), True)
        assert await egress.prove() == {V4: None, V6: True}

    async def test_many_who_wait_share_one_question_and_leave_a_gap(
        self, watch, world, autojump_clock
    ) -> None:
        """Witnesses are not asked again for ten seconds, however many checks fail."""
        egress = watch()
        egress.note_connection(server(1), True)
        await trio.sleep(1)
        egress.note_connection(server(2), None)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(egress.prove)
        assert len(world.asked) == 1
        await trio.sleep(1)
        egress.note_connection(server(3), None)
        assert (await egress.prove())[V4] is True
        assert [at for at, _ in world.asked] == [1.0, 11.0]

    async def test_a_canary_proves_a_lone_check(self, watch, autojump_clock) -> None:
        """The first connection of all is refused: the canary tells whose doing that is."""
        egress = watch(CANARY, once=True)
        egress.note_connection(server(1), None)
        assert (await egress.prove())[V4] is True


class TestSelfTest:
    async def test_families_that_are_not_used_are_not_judged(self, watch, autojump_clock) -> None:
        """No witness, no failure, no canary."""
        assert await watch().test() == ()

    async def test_a_canary_is_asked_in_every_test(self, watch, world, autojump_clock) -> None:
        """Also while others greet us."""
        egress = watch(CANARY)
        egress.note_connection(server(1), True)
        (seen,) = await egress.test()
        assert (seen.family, seen.ok, seen.canaries) == (V4, True, ((CANARY, True),))
        assert [address for _, address in world.asked] == [CANARY_ADDRESS.address]

    async def test_a_silent_canary_is_not_enough_while_a_witness_greets(
        self, watch, world, autojump_clock
    ) -> None:
        """It is the canary that is ill."""
        world.silent = {CANARY_ADDRESS.address}
        egress = watch(CANARY)
        egress.note_connection(server(1), True)
        (seen,) = await egress.test()
        assert (seen.ok, seen.canaries) == (True, ((CANARY, False),))

    async def test_blocked_when_the_canary_and_the_witnesses_are_silent(
        self, watch, world, autojump_clock
    ) -> None:
        """And open again when they greet."""
        egress = watch(CANARY)
        egress.note_connection(server(1), True)
        await trio.sleep(1)
        world.blocked = True
        (seen,) = await egress.test()
        assert seen.ok is False
        assert seen.detail == (
            "Nobody greets us on port 25 over ipv4: 2 mail servers in as many networks did not, "
            "and nobody else has for 120 s."
        )
        world.blocked = False
        (seen,) = await egress.test()
        assert seen.ok is True

    async def test_a_canary_alone_is_enough_where_nobody_else_is_known(
        self, watch, world, autojump_clock
    ) -> None:
        """It is known to answer, so it is us."""
        world.blocked = True
        (seen,) = await watch(CANARY).test()
        assert seen.ok is False

    async def test_witnesses_are_asked_when_nobody_greeted_for_a_minute(
        self, watch, world, autojump_clock
    ) -> None:
        """Three at most, each in its turn."""
        egress = watch()
        for number in range(5):
            egress.note_connection(server(number), True)
        await trio.sleep(61)
        assert (await egress.test())[0].ok is True
        await trio.sleep(61)
        assert (await egress.test())[0].ok is True
        asked = [{address for at, address in world.asked if at == when} for when in (61, 123)]
        assert asked == [
            {f"198.51.{n}.1" for n in (0, 1, 2)},
            {f"198.51.{n}.1" for n in (3, 4, 0)},
        ]

    async def test_a_provider_that_blocks_port_25_is_found_without_any_witness(
        self, watch, world, autojump_clock
    ) -> None:
        """Three networks silent and none that greets; and found again when it is opened."""
        world.blocked = True
        egress = watch()
        for number in range(3):
            egress.note_connection(server(number), None)
        assert (await egress.test())[0].ok is False
        world.blocked = False
        assert (await egress.test())[0].ok is True

    async def test_one_silent_witness_is_not_enough(self, watch, world, autojump_clock) -> None:
        """It may be its own fault: unknown."""
        egress = watch()
        egress.note_connection(server(1), True)
        world.blocked = True
        await trio.sleep(200)
        assert (await egress.test())[0].ok is None

    async def test_our_own_failure_to_connect_is_not_the_witness_fault(
        self, watch, world, autojump_clock
    ) -> None:
        """No route, no sockets: nothing is learned."""
        world.no_route = True
        egress = watch(CANARY)
        (seen,) = await egress.test()
        assert (seen.ok, seen.canaries) == (None, ())

    async def test_a_family_without_a_route_is_not_tested(self, watch, autojump_clock) -> None:
        """A machine without IPv6 is not ill."""
        egress = watch()
        egress.note_connection(server6(1), True)
        egress.note_connection(server6(1), False)
        assert await egress.test() == ()

    async def test_what_is_remembered_is_bounded(self, watch, world, autojump_clock) -> None:
        """The oldest network goes first."""
        egress = watch(kept_addresses=4, asked_witnesses=10)
        for number in range(20):
            egress.note_connection(server(number), True)
        await trio.sleep(61)
        await egress.test()
        assert sorted(address for _, address in world.asked) == [
            f"198.51.{n}.1" for n in (16, 17, 18, 19)
        ]
