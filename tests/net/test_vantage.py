"""Control questions are asked after the call, of every resolver, shared, and never too often."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from dns_replies import AD, QR, SERVFAIL, TC, reply, rr

from scanner.model.names import ROOT, Name
from scanner.model.observation import Lookup, OtherRecord, Question, Vantage
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.resolver import StubResolver
from scanner.observe.vantage import CONTROL_QUESTION, ResolverVantage, VantageLimits
from scanner.wire.dnsmsg import Reply, decode_response

A, B = ServerAddress("192.0.2.53"), ServerAddress("198.51.100.53")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROOT_SOA = Lookup(
    question=CONTROL_QUESTION,
    outcome=LookupOutcome.DATA,
    status=DnssecStatus.SECURE,
    records=(OtherRecord(text="a. b. 1 2 3 4 5"),),
    resolver="192.0.2.53:53",
)
SOA_TEXT = "a.root. b.root. 1 2 3 4 5"


class FixedClock:
    """Always noon."""

    def now(self) -> datetime:
        return NOW


class FakeResolver:
    """Answers after ``seconds``; what it says can be changed at any time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.says = ROOT_SOA
        self.seconds = seconds
        self.begun: list[float] = []
        self.asked: list[Question] = []

    async def lookup(self, question: Question) -> Lookup:
        self.begun.append(trio.current_time())
        self.asked.append(question)
        says = self.says
        await trio.sleep(self.seconds)
        return says


def failed(outcome: LookupOutcome, **fields: object) -> Lookup:
    return Lookup(question=CONTROL_QUESTION, outcome=outcome, status=None, **fields)  # type: ignore[arg-type]


class FakeTransport:
    """Plays one script for each server: octets, an exception, or silence."""

    def __init__(self, **scripts: Callable[[Question, bool], bytes | Exception | None]) -> None:
        self.scripts = {A: scripts.get("a"), B: scripts.get("b")}

    async def ask(
        self, server: ServerAddress, question: Question, *, checking_disabled: bool, stream: bool
    ) -> Reply:
        await trio.lowlevel.checkpoint()
        script = self.scripts[server]
        said = script(question, stream) if script is not None else None
        if said is None:
            await trio.sleep_forever()
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, bytes)
        return decode_response(question, query_id=7, wire=said)

    def resolver(self, *servers: ServerAddress) -> StubResolver:
        return StubResolver(self, servers, limits=DnsLimits(), clock=FixedClock())


def root_soa(flags: int) -> Callable[[Question, bool], bytes]:
    return lambda question, _: reply(
        (question.name, question.rdtype), answer=[rr(".", "SOA", SOA_TEXT)], flags=flags
    )


def servfail(question: Question, _: bool) -> bytes:
    return reply((question.name, question.rdtype), rcode=SERVFAIL)


class TestConfirm:
    async def test_a_validating_resolver_is_trusted(self) -> None:
        """The root's SOA with proof: up and validating."""
        resolver = FakeResolver()
        vantage = await ResolverVantage(resolver, clock=FixedClock()).confirm()
        assert vantage == Vantage(resolver_up=True, resolver_validating=True)
        assert vantage.resolver_trusted
        assert resolver.asked == [Question(ROOT, RRType.SOA)]

    async def test_a_resolver_that_stopped_validating_is_not_trusted(self) -> None:
        """Case 47: the root's SOA without AD: nothing may be concluded about anyone."""
        resolver = FakeResolver()
        resolver.says = Lookup(
            question=CONTROL_QUESTION,
            outcome=LookupOutcome.DATA,
            status=DnssecStatus.INSECURE,
            records=ROOT_SOA.records,
        )
        vantage = await ResolverVantage(resolver, clock=FixedClock()).confirm()
        assert vantage.resolver_up is True
        assert vantage.resolver_validating is False
        assert not vantage.resolver_trusted
        assert vantage.detail == "the resolver does not validate: . SOA without AD"

    @pytest.mark.parametrize(
        ("lookup", "why"),
        [
            (failed(LookupOutcome.TIMEOUT, own_fault="no route"), "no route"),
            (failed(LookupOutcome.TIMEOUT, detail="no reply"), "no reply"),
            (failed(LookupOutcome.SERVFAIL), "servfail"),
            (failed(LookupOutcome.NXDOMAIN), "nxdomain"),
        ],
    )
    async def test_a_resolver_without_an_answer_is_down(self, lookup: Lookup, why: str) -> None:
        """Case 47: whatever goes wrong with the control question is our side."""
        resolver = FakeResolver()
        resolver.says = lookup
        vantage = await ResolverVantage(resolver, clock=FixedClock()).confirm()
        assert vantage.resolver_up is False
        assert vantage.resolver_validating is None
        assert not vantage.resolver_trusted
        assert vantage.detail == f"the resolver does not answer . SOA: {why}"

    async def test_a_root_that_does_not_validate_is_told_from_silence(self) -> None:
        """The resolver does answer then; the remedy is another one."""
        resolver = FakeResolver()
        resolver.says = replace(
            failed(LookupOutcome.SERVFAIL, own_fault="the root zone could not be validated"),
            status=DnssecStatus.BOGUS,
        )
        vantage = await ResolverVantage(resolver, clock=FixedClock()).confirm()
        assert vantage.resolver_up is False
        why = "the root zone could not be validated"
        assert vantage.detail == f"the resolver cannot prove . SOA: {why}"

    async def test_a_silent_resolver_is_down(self, autojump_clock: trio.testing.MockClock) -> None:
        """The test ends by its own time."""
        monitor = ResolverVantage(FakeResolver(seconds=1e6), clock=FixedClock())
        vantage = await monitor.confirm()
        assert vantage.resolver_up is False
        assert vantage.detail == "the resolver did not answer in time"
        assert trio.current_time() == pytest.approx(8.0)

    async def test_a_resolver_cut_off_from_the_world_is_down(self) -> None:
        """It knows the root by heart, and nothing else: told by a question no cache answers."""
        beyond = Question(Name("4f1c.test"), RRType.A)
        says = {CONTROL_QUESTION: ROOT_SOA, beyond: failed(LookupOutcome.SERVFAIL)}

        class Parrot(FakeResolver):
            async def lookup(self, question: Question) -> Lookup:
                await trio.lowlevel.checkpoint()
                return says[question]

        monitor = ResolverVantage(Parrot(), clock=FixedClock(), reach=lambda: (beyond,))
        assert (await monitor.confirm(reach=True)).resolver_up is False
        assert (await monitor.confirm()).resolver_up is False, "until it reaches somebody again"
        says[beyond] = Lookup(
            question=beyond, outcome=LookupOutcome.NXDOMAIN, status=DnssecStatus.SECURE
        )
        assert (await monitor.confirm()).resolver_up is True


class TestSharing:
    async def test_a_test_that_was_running_vouches_for_nobody_who_came_later(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A resolver that breaks while a test runs is seen by whoever calls after that."""
        resolver = FakeResolver(seconds=1.0)
        monitor = ResolverVantage(resolver, clock=FixedClock())
        found: dict[str, bool | None] = {}

        async def ask(who: str) -> None:
            found[who] = (await monitor.confirm()).resolver_up

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "early")
            await trio.sleep(0.5)
            resolver.says = failed(LookupOutcome.TIMEOUT)
            nursery.start_soon(ask, "late")
        assert found == {"early": True, "late": False}
        assert resolver.begun == pytest.approx([0.0, 1.0])

    async def test_everyone_who_waits_shares_the_next_test(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A hundred domains make two tests, not a hundred."""
        resolver = FakeResolver(seconds=1.0)
        monitor = ResolverVantage(resolver, clock=FixedClock())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.confirm)
            await trio.sleep(0.5)
            for _ in range(100):
                nursery.start_soon(monitor.confirm)
        assert len(resolver.begun) == 2

    async def test_tests_keep_their_distance(self, autojump_clock: trio.testing.MockClock) -> None:
        """However fast domains come, a resolver is tested twice a second at most."""
        resolver = FakeResolver()
        monitor = ResolverVantage(resolver, clock=FixedClock())
        for _ in range(4):
            await monitor.confirm()
        assert resolver.begun == pytest.approx([0.0, 0.5, 1.0, 1.5])

    async def test_when_the_one_who_tests_is_cancelled_another_tests(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Nobody waits for a test that was given up."""
        resolver = FakeResolver(seconds=1.0)
        monitor = ResolverVantage(resolver, clock=FixedClock())
        found: list[Vantage] = []

        async def give_up() -> None:
            with trio.move_on_after(0.5):
                await monitor.confirm()

        async def wait() -> None:
            found.append(await monitor.confirm())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up)
            await trio.sleep(0.1)
            for _ in range(3):
                nursery.start_soon(wait)
        assert [vantage.resolver_up for vantage in found] == [True] * 3
        assert resolver.begun == pytest.approx([0.0, 0.5])


INSECURE_ROOT = replace(ROOT_SOA, status=DnssecStatus.INSECURE)


class TestRecovery:
    async def test_a_good_test_does_not_vouch_for_what_came_before_a_failed_one(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Case 47: whoever looked things up while the resolver did not validate is told so, also
        when it validates again by the time they ask; whoever begins afterwards is not."""
        resolver = FakeResolver()
        monitor = ResolverVantage(resolver, clock=FixedClock())
        before = trio.current_time()
        assert (await monitor.confirm(since=before)).resolver_trusted
        resolver.says = INSECURE_ROOT
        await trio.sleep(10)
        assert not (await monitor.confirm()).resolver_trusted
        await trio.sleep(10)
        meanwhile = trio.current_time()
        resolver.says = ROOT_SOA
        await trio.sleep(10)
        assert (await monitor.confirm()).resolver_trusted
        for since in (before, meanwhile):
            vantage = await monitor.confirm(since=since)
            assert vantage.resolver_up is True
            assert vantage.resolver_validating is False
            assert vantage.detail is not None
            assert vantage.detail.endswith("(until a moment ago)")
        assert (await monitor.confirm(since=trio.current_time())).resolver_trusted

    async def test_a_failure_now_is_told_as_it_is(self) -> None:
        """A resolver that is down now is down, whatever was before."""
        resolver = FakeResolver()
        resolver.says = failed(LookupOutcome.TIMEOUT, detail="no reply")
        monitor = ResolverVantage(resolver, clock=FixedClock())
        vantage = await monitor.confirm(since=0.0)
        assert vantage.resolver_up is False
        assert vantage.detail == "the resolver does not answer . SOA: no reply"

    async def test_caches_are_emptied_while_blind_and_once_on_recovery(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Nothing answered between the last failed test and the first good one is kept."""
        calls: list[float] = []
        resolver = FakeResolver()
        monitor = ResolverVantage(
            resolver,
            clock=FixedClock(),
            on_distrust=lambda: calls.append(trio.current_time()),
        )
        await monitor.confirm()
        assert calls == []
        resolver.says = INSECURE_ROOT
        await monitor.confirm()
        await monitor.confirm()
        assert len(calls) == 2
        resolver.says = ROOT_SOA
        await monitor.confirm()
        await monitor.confirm()
        assert len(calls) == 3


class TestSeveralResolvers:
    async def test_one_that_does_not_validate_spoils_all(self) -> None:
        """Case 47: any of them may have answered, so all that answer must validate."""
        transport = FakeTransport(a=root_soa(QR | AD), b=root_soa(QR))
        monitor = ResolverVantage(transport.resolver(A, B), clock=FixedClock())
        vantage = await monitor.confirm()
        assert vantage.resolver_up is True
        assert vantage.resolver_validating is False
        assert vantage.detail == "198.51.100.53:53 does not validate: . SOA without AD"
        assert [(s.server, s.up, s.validating) for s in monitor.servers()] == [
            ("192.0.2.53:53", True, True),
            ("198.51.100.53:53", True, False),
        ]

    async def test_a_dead_one_beside_a_good_one_costs_a_second(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """One resolver is enough; the other is given a moment and noted as down."""
        transport = FakeTransport(a=root_soa(QR | AD))
        monitor = ResolverVantage(transport.resolver(A, B), clock=FixedClock())
        vantage = await monitor.confirm()
        assert vantage == Vantage(resolver_up=True, resolver_validating=True)
        assert trio.current_time() == pytest.approx(VantageLimits().straggler_seconds)
        assert [server.up for server in monitor.servers()] == [True, False]

    async def test_all_dead_is_down_and_says_so_of_each(self) -> None:
        """Nobody listens at either."""
        transport = FakeTransport(
            a=lambda *_: OwnSideError("nothing listens at A"),
            b=lambda *_: OwnSideError("nothing listens at B"),
        )
        monitor = ResolverVantage(transport.resolver(A, B), clock=FixedClock())
        assert monitor.servers() == ()
        vantage = await monitor.confirm()
        assert vantage.resolver_up is False
        assert vantage.detail is not None
        assert "listens at A" in vantage.detail
        assert "listens at B" in vantage.detail


class TestEgress:
    @pytest.mark.parametrize(
        ("notes", "known"),
        [
            ([], None),
            ([None], None),
            ([False], False),
            ([True], True),
            ([False, True], True),
            ([True, False, None], True),
        ],
    )
    async def test_one_answered_connection_proves_the_way_out(
        self, notes: list[bool | None], known: bool | None
    ) -> None:
        """Case 27's ground: an answer outweighs; no route counts until then; silence never."""
        monitor = ResolverVantage(FakeResolver(), clock=FixedClock())
        for answered in notes:
            monitor.note_connection(Family.IPV6, answered)
        vantage = await monitor.confirm()
        assert vantage.egress_ipv6 is known
        assert vantage.egress_ipv4 is None

    async def test_a_new_run_begins_without_proof(self) -> None:
        """What an earlier run saw does not vouch for this one."""
        monitor = ResolverVantage(FakeResolver(), clock=FixedClock())
        monitor.note_connection(Family.IPV4, True)
        monitor.forget_connections()
        assert (await monitor.confirm()).egress_ipv4 is None


BOGUS = Question(Name("broken.test"), RRType.A)


class TestSelfTest:
    async def test_all_well(self) -> None:
        """Each resolver answers, validates, refuses what is bogus and speaks TCP."""

        def good(question: Question, stream: bool) -> bytes:
            if question == BOGUS:
                return servfail(question, stream)
            return root_soa(QR | AD)(question, stream)

        transport = FakeTransport(a=good, b=good)
        monitor = ResolverVantage(
            transport.resolver(A, B), clock=FixedClock(), known_bogus=(BOGUS,)
        )
        result = await monitor.self_test()
        assert result.ok
        assert result.tested_at == NOW
        names = ["resolver-up", "resolver-validating", "resolver-refuses-bogus", "resolver-tcp"]
        assert [check.name for check in result.checks] == names * 2
        assert all(check.remedy is None for check in result.checks)
        assert "192.0.2.53:53" in result.checks[0].sentence
        assert "198.51.100.53:53" in result.checks[4].sentence

    async def failing_check(
        self, script: Callable[[Question, bool], bytes | Exception | None]
    ) -> tuple[str, str, str]:
        monitor = ResolverVantage(
            FakeTransport(a=script).resolver(A), clock=FixedClock(), known_bogus=(BOGUS,)
        )
        result = await monitor.self_test()
        assert not result.ok
        (check,) = [check for check in result.checks if not check.ok]
        assert check.remedy is not None
        return check.name, check.sentence, check.remedy

    async def test_a_resolver_that_is_down(self) -> None:
        """Nothing more is asked of it."""
        name, sentence, remedy = await self.failing_check(
            lambda *_: OwnSideError("nothing listens there")
        )
        assert name == "resolver-up"
        assert "nothing listens there" in sentence
        assert "--resolver" in remedy

    async def test_a_resolver_whose_clock_or_anchor_is_wrong(self) -> None:
        """It calls the root itself bogus: SERVFAIL, and data only with CD=1."""

        class Wrong(FakeTransport):
            async def ask(
                self,
                server: ServerAddress,
                question: Question,
                *,
                checking_disabled: bool,
                stream: bool,
            ) -> Reply:
                await trio.lowlevel.checkpoint()
                script = root_soa(QR) if checking_disabled else servfail
                return decode_response(question, query_id=7, wire=script(question, stream))

        monitor = ResolverVantage(Wrong().resolver(A), clock=FixedClock())
        (check,) = (await monitor.self_test()).checks
        assert not check.ok
        assert "gives no answer to . SOA that validates" in check.sentence
        assert check.remedy is not None
        assert "clock" in check.remedy

    async def test_a_resolver_that_does_not_validate(self) -> None:
        """The root's SOA without AD."""

        def script(question: Question, stream: bool) -> bytes:
            return (servfail if question == BOGUS else root_soa(QR))(question, stream)

        name, sentence, remedy = await self.failing_check(script)
        assert name == "resolver-validating"
        assert "without the AD bit" in sentence
        assert "dnssec-validation" in remedy

    async def test_a_resolver_that_accepts_what_is_bogus(self) -> None:
        """It sets AD on the root and lets broken signatures pass all the same."""

        def script(question: Question, stream: bool) -> bytes:
            if question == BOGUS:
                return reply((BOGUS.name, "A"), answer=[rr(BOGUS.name, "A", "192.0.2.1")], flags=QR)
            return root_soa(QR | AD)(question, stream)

        name, sentence, _ = await self.failing_check(script)
        assert name == "resolver-refuses-bogus"
        assert "accepts broken.test A" in sentence

    async def test_a_resolver_without_tcp(self) -> None:
        """UDP is not enough: large answers come over TCP only."""

        def script(question: Question, stream: bool) -> bytes | Exception:
            if question == BOGUS:
                return servfail(question, stream)
            return OwnSideError("takes no TCP") if stream else root_soa(QR | AD)(question, stream)

        name, sentence, remedy = await self.failing_check(script)
        assert name == "resolver-tcp"
        assert "takes no TCP" in sentence
        assert "Allow TCP" in remedy

    async def test_a_resolver_of_another_make_is_tested_as_a_whole(self) -> None:
        """Without servers to tell apart there is no TCP check."""
        result = await ResolverVantage(FakeResolver(), clock=FixedClock()).self_test()
        assert [check.name for check in result.checks] == ["resolver-up", "resolver-validating"]
        assert result.ok

    async def test_truncation_in_the_control_question_goes_to_tcp(self) -> None:
        """A control answer too large for UDP is no failure."""

        def script(question: Question, stream: bool) -> bytes:
            return root_soa(QR | AD if stream else QR | TC)(question, stream)

        monitor = ResolverVantage(FakeTransport(a=script).resolver(A), clock=FixedClock())
        assert (await monitor.confirm()).resolver_trusted
