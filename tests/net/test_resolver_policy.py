"""What the resolver makes of what servers say; a scripted transport, no sockets, no real time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from dns_replies import (
    AD,
    NOTIMP,
    NXDOMAIN,
    QR,
    REFUSED,
    SERVFAIL,
    TC,
    opt,
    reply,
    rr,
    rrsig,
    soa,
)

from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import AddressRecord, AliasHop, ExtendedError, Lookup, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.resolver import StubResolver
from scanner.wire.dnsmsg import Reply, decode_response

A, B = ServerAddress("192.0.2.53"), ServerAddress("198.51.100.53")
Q = Question(Name("example.org"), RRType.A)
SECURE = QR | AD
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SILENCE = None
GARBAGE = b"\x00\x07\x80\x00"


@dataclass(frozen=True)
class Ask:
    """One query as the transport saw it."""

    server: ServerAddress
    question: Question
    cd: bool
    stream: bool


Said = bytes | Exception | None
Script = Callable[[Ask], Said]


class FakeTransport:
    """Answers as scripted: octets, an exception, or silence."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Ask] = []

    async def ask(
        self, server: ServerAddress, question: Question, *, checking_disabled: bool, stream: bool
    ) -> Reply:
        ask = Ask(server, question, checking_disabled, stream)
        self.asked.append(ask)
        await trio.lowlevel.checkpoint()
        said = self.script(ask)
        if said is SILENCE:
            await trio.sleep_forever()
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, bytes)
        return decode_response(question, query_id=7, wire=said)


class FixedClock:
    """Always noon."""

    def now(self) -> datetime:
        return NOW


def resolver_over(
    transport: FakeTransport, *servers: ServerAddress, limits: DnsLimits | None = None
) -> StubResolver:
    return StubResolver(
        transport, servers or (A,), limits=limits or DnsLimits(), clock=FixedClock()
    )


async def looked_up(
    script: Script, *servers: ServerAddress, question: Question = Q
) -> tuple[Lookup, list[Ask]]:
    transport = FakeTransport(script)
    found = await resolver_over(transport, *servers).lookup(question)
    return found, transport.asked


def data(flags: int = SECURE, **fields: object) -> bytes:
    answer = [rr("example.org", "A", "192.0.2.1")]
    return reply(("example.org", "A"), answer=answer, flags=flags, **fields)  # type: ignore[arg-type]


def failing(rcode: int, *errors: tuple[int, bytes]) -> bytes:
    return reply(("example.org", "A"), rcode=rcode, additional=[opt(*errors)])


class TestStatus:
    @pytest.mark.parametrize(
        ("flags", "status"), [(SECURE, DnssecStatus.SECURE), (QR, DnssecStatus.INSECURE)]
    )
    async def test_the_ad_bit_is_the_status_of_an_answer(
        self, flags: int, status: DnssecStatus
    ) -> None:
        """AD=1 is secure, AD=0 insecure, for data and for both kinds of denial."""
        authority = [soa("example.org", ttl=90, minimum=60)]
        for wire, outcome in (
            (data(flags), LookupOutcome.DATA),
            (reply(("example.org", "A"), flags=flags, authority=authority), LookupOutcome.NODATA),
            (
                reply(("example.org", "A"), flags=flags, rcode=NXDOMAIN, authority=authority),
                LookupOutcome.NXDOMAIN,
            ),
        ):
            found, asked = await looked_up(lambda _, wire=wire: wire)
            assert (found.outcome, found.status) == (outcome, status)
            assert found.resolver == "192.0.2.53:53"
            assert not found.is_error
            assert asked == [Ask(A, Q, cd=False, stream=False)]

    async def test_an_answer_carries_its_facts(self) -> None:
        """Records, TTL, signature expiry, extended errors and dropped records are told."""
        answer = [
            rr("example.org", "A", "192.0.2.1", ttl=120),
            rr("example.org", "A", rdata=b"\x01"),
            rrsig("example.org", "A", expiration="20261201000000"),
        ]
        wire = reply(("example.org", "A"), answer=answer, additional=[opt((3, b"stale"))])
        found, _ = await looked_up(lambda _: wire)
        assert found.records == (AddressRecord(address="192.0.2.1"),)
        assert found.ttl_seconds == 120
        assert found.signature_expires_at == datetime(2026, 12, 1, tzinfo=UTC)
        assert found.extended_errors == (ExtendedError(code=3, text="stale"),)
        assert found.detail == "1 records with broken RDATA were left out"


class TestServfail:
    @pytest.mark.parametrize(
        "unchecked",
        [
            data(QR),
            reply(("example.org", "A"), authority=[soa("example.org")]),
            reply(("example.org", "A"), rcode=NXDOMAIN),
            reply(("example.org", "A"), answer=[rr("example.org", "CNAME", "b.test.")]),
        ],
        ids=["data", "nodata", "nxdomain", "alias"],
    )
    async def test_an_answer_that_only_cd_shows_is_bogus(self, unchecked: bytes) -> None:
        """Case 3 and table 3a: SERVFAIL, but an answer with CD=1: bogus, and no data from it."""
        found, asked = await looked_up(
            lambda ask: unchecked if ask.cd else failing(SERVFAIL, (7, b"expired"))
        )
        assert found.outcome is LookupOutcome.SERVFAIL
        assert found.status is DnssecStatus.BOGUS
        assert found.records == ()
        assert found.aliases == ()
        assert found.is_error
        assert found.own_fault is None
        assert found.extended_errors == (ExtendedError(code=7, text="expired"),)
        assert found.detail is not None
        assert found.detail.startswith("SERVFAIL from 192.0.2.53:53; with checking disabled")
        assert [ask.cd for ask in asked] == [False, True, False]
        assert {ask.question for ask in asked} == {Q}

    async def test_the_extended_errors_of_both_replies_are_kept(self) -> None:
        """What the reply with CD=1 adds is evidence too, and nothing is told twice."""
        found, _ = await looked_up(
            lambda ask: (
                data(QR, additional=[opt((6, b""), (9, b""))])
                if ask.cd
                else failing(SERVFAIL, (6, b""))
            )
        )
        assert [error.code for error in found.extended_errors] == [6, 9]

    @pytest.mark.parametrize(
        "unchecked",
        [
            failing(SERVFAIL),
            failing(REFUSED),
            SILENCE,
            GARBAGE,
            OwnSideError("no route"),
            reply(("example.org", "A"), answer=[rr("example.org", "CNAME", "example.org.")]),
        ],
        ids=["servfail", "refused", "silence", "garbage", "own-side", "loop"],
    )
    async def test_a_failure_that_cd_does_not_lift_is_no_dnssec_verdict(
        self, unchecked: Said, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Scenario T08: SERVFAIL with and without CD says nothing about signatures."""
        found, asked = await looked_up(lambda ask: unchecked if ask.cd else failing(SERVFAIL))
        assert found.outcome is LookupOutcome.SERVFAIL
        assert found.status is None
        assert [ask.cd for ask in asked] == [False, True]

    async def test_extended_error_5_is_indeterminate(self) -> None:
        """RFC 8914 §4.6: the resolver says itself that it could not tell."""
        found, _ = await looked_up(lambda ask: failing(SERVFAIL, (5, b"")))
        assert found.outcome is LookupOutcome.SERVFAIL
        assert found.status is DnssecStatus.INDETERMINATE

    async def test_a_servfail_that_has_passed_is_no_bogus_zone(self) -> None:
        """Case 48: asked once more without CD, the answer is the one that counts."""
        said = iter([failing(SERVFAIL), data(QR), data(SECURE)])
        found, asked = await looked_up(lambda _: next(said))
        assert (found.outcome, found.status) == (LookupOutcome.DATA, DnssecStatus.SECURE)
        assert [ask.cd for ask in asked] == [False, True, False]

    async def test_an_unchecked_answer_is_never_called_insecure(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Case 48: data that came with CD=1 and without AD is not an insecure answer."""
        said = iter([failing(SERVFAIL), data(QR), SILENCE])
        found, _ = await looked_up(lambda _: next(said))
        assert found.status is DnssecStatus.BOGUS
        assert found.records == ()

    async def test_every_server_must_fail_before_it_counts(self) -> None:
        """One server's SERVFAIL is settled by another server's answer, without CD."""
        found, asked = await looked_up(
            lambda ask: failing(SERVFAIL) if ask.server == A else data(), A, B
        )
        assert found.outcome is LookupOutcome.DATA
        assert found.resolver == "198.51.100.53:53"
        assert [(ask.server, ask.cd) for ask in asked] == [(A, False), (B, False)]

    async def test_the_server_that_answered_is_asked_first_next_time(self) -> None:
        """A server that is broken does not cost every question its time."""
        transport = FakeTransport(lambda ask: failing(SERVFAIL) if ask.server == A else data())
        resolver = resolver_over(transport, A, B)
        await resolver.lookup(Q)
        transport.asked.clear()
        await resolver.lookup(Q)
        assert [ask.server for ask in transport.asked] == [B]

    async def test_a_slow_servfail_is_still_explained(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Time for the look with CD=1 is kept back: silence for long, then SERVFAIL."""
        started = trio.current_time()

        def script(ask: Ask) -> Said:
            if ask.cd:
                return data(QR)
            return failing(SERVFAIL) if trio.current_time() - started > 5 else SILENCE

        found, _ = await looked_up(script)
        assert found.status is DnssecStatus.BOGUS


class TestRefusals:
    @pytest.mark.parametrize("rcode", [REFUSED, NOTIMP, 9])
    async def test_refusal_by_all_is_refused(self, rcode: int) -> None:
        """Case 40: REFUSED and NOTIMP are errors, each server asked once, CD never."""
        found, asked = await looked_up(lambda _: failing(rcode), A, B)
        assert (found.outcome, found.status) == (LookupOutcome.REFUSED, None)
        assert found.own_fault is None
        assert [(ask.server, ask.cd) for ask in asked] == [(A, False), (B, False)]

    async def test_other_rcodes_are_failures_by_name(self) -> None:
        """FORMERR is a failed lookup, and no reason to look behind it with CD=1."""
        found, asked = await looked_up(lambda _: failing(1))
        assert (found.outcome, found.status) == (LookupOutcome.SERVFAIL, None)
        assert found.detail == "FORMERR from 192.0.2.53:53"
        assert len(asked) == 1

    async def test_a_refusal_is_settled_by_another_server(self) -> None:
        """REFUSED from one, data from the next."""
        found, _ = await looked_up(
            lambda ask: failing(REFUSED) if ask.server == A else data(), A, B
        )
        assert found.outcome is LookupOutcome.DATA

    @pytest.mark.parametrize("code", [18, 20])
    async def test_a_refusal_of_us_is_our_own_fault(self, code: int) -> None:
        """RFC 8914 §4.19, §4.21: the resolver does not serve us; no partner did that."""
        found, _ = await looked_up(lambda _: failing(REFUSED, (code, b"")))
        assert found.own_fault is not None
        found, _ = await looked_up(lambda _: failing(SERVFAIL, (code, b"")))
        assert found.own_fault is None

    async def test_the_failure_that_tells_most_is_reported(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """SERVFAIL before REFUSED before malformed before silence, whatever the order."""
        ladder = [failing(SERVFAIL), failing(REFUSED), GARBAGE, SILENCE]
        outcomes = [
            LookupOutcome.SERVFAIL,
            LookupOutcome.REFUSED,
            LookupOutcome.MALFORMED,
            LookupOutcome.TIMEOUT,
        ]
        for first in range(4):
            for second in range(4):
                said = {A: ladder[first], B: ladder[second]}
                found, _ = await looked_up(lambda ask, said=said: said[ask.server], A, B)
                assert found.outcome is outcomes[min(first, second)]
                assert found.own_fault is None


class TestMalformed:
    async def test_the_next_server_may_do_better(self) -> None:
        """Garbage from one, data from the next."""
        found, _ = await looked_up(lambda ask: GARBAGE if ask.server == A else data(), A, B)
        assert found.outcome is LookupOutcome.DATA

    async def test_garbage_from_all_is_malformed(self) -> None:
        """Each server is asked once; the detail says what was wrong."""
        found, asked = await looked_up(lambda _: GARBAGE, A, B)
        assert (found.outcome, found.status) == (LookupOutcome.MALFORMED, None)
        assert found.detail == "192.0.2.53:53 sent 4 octets, shorter than a DNS header"
        assert len(asked) == 2

    async def test_a_referral_is_malformed(self) -> None:
        """A server that sends us elsewhere is no recursive resolver."""
        wire = reply(("example.org", "A"), authority=[rr("org", "NS", "ns.org.")])
        found, _ = await looked_up(lambda _: wire)
        assert found.outcome is LookupOutcome.MALFORMED
        assert "referral" in (found.detail or "")

    async def test_a_name_that_cannot_exist_is_never_asked(self) -> None:
        """_25._tcp before the longest host name: an error, and no query."""
        host = Name(".".join(["a" * 63] * 3 + ["b" * 61]))
        question = Question(tlsa_owner(host), RRType.TLSA)
        found, asked = await looked_up(lambda _: data(), question=question)
        assert (found.outcome, found.status) == (LookupOutcome.MALFORMED, None)
        assert asked == []


class TestSilence:
    async def test_a_lost_datagram_is_asked_again(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Case 46: silence and then an answer is an answer."""
        said = iter([SILENCE, data()])
        found, asked = await looked_up(lambda _: next(said))
        assert found.outcome is LookupOutcome.DATA
        assert len(asked) == 2

    async def test_silence_is_a_timeout_and_not_our_fault_by_itself(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Scenario T09: three tries, then timeout; control questions decide whose fault it is."""
        started = trio.current_time()
        found, asked = await looked_up(lambda _: SILENCE)
        assert (found.outcome, found.status) == (LookupOutcome.TIMEOUT, None)
        assert found.own_fault is None
        assert found.detail == "no reply from 192.0.2.53:53"
        assert len(asked) == 3
        assert trio.current_time() - started == pytest.approx(9.0)

    async def test_one_lookup_ends_within_its_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """However many servers are silent and however many aliases there are."""

        def script(ask: Ask) -> Said:
            number = int(ask.question.name.split(".")[0])
            if ask.server == A:
                return SILENCE
            alias = rr(ask.question.name, "CNAME", f"{number + 1}.test.")
            return reply((ask.question.name, "A"), answer=[alias])

        transport = FakeTransport(script)
        resolver = resolver_over(transport, A, B)
        started = trio.current_time()
        await resolver.lookup(Question(Name("0.test"), RRType.A))
        transport.script = lambda _: SILENCE
        await resolver.lookup(Question(Name("0.test"), RRType.A))
        assert trio.current_time() - started <= 2 * DnsLimits().total_timeout_seconds

    async def test_waiting_for_a_turn_costs_no_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Our own limit of lookups in flight must not turn into a partner's timeout."""
        transport = FakeTransport(lambda _: SILENCE)
        resolver = resolver_over(transport, limits=DnsLimits(max_in_flight=1))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(resolver.lookup, Q)
        assert len(transport.asked) == 9
        assert trio.current_time() == pytest.approx(27.0)

    async def test_a_timeout_noticed_late_is_our_own_fault(
        self, mock_clock: trio.testing.MockClock
    ) -> None:
        """When our loop stalls, replies may lie unread: nobody else was silent."""

        def stalled(_: Ask) -> Said:
            mock_clock.jump(5.0)
            return SILENCE

        found, _ = await looked_up(stalled)
        assert found.outcome is LookupOutcome.TIMEOUT
        assert found.own_fault == "we were too busy for 2.0 s to read replies in time"

    async def test_cancellation_passes_through(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """The caller's deadline ends a lookup, and the next one finds its turn free."""
        transport = FakeTransport(lambda _: SILENCE)
        resolver = resolver_over(transport, limits=DnsLimits(max_in_flight=1))
        with trio.move_on_after(1.0) as scope:
            await resolver.lookup(Q)
        assert scope.cancelled_caught
        assert resolver.statistics().lookups_in_flight == 0
        transport.script = lambda _: data()
        assert (await resolver.lookup(Q)).has_data


class TestOwnSide:
    async def test_no_resolver_reached_is_our_own_fault(self) -> None:
        """Nobody listens anywhere: nothing is said about the partner."""
        found, _ = await looked_up(lambda ask: OwnSideError(f"{ask.server} refused"), A, B)
        assert found.own_fault == "192.0.2.53:53 refused"
        assert found.is_error
        assert found.status is None

    async def test_one_unreachable_resolver_leaves_the_decision_to_the_others(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """What another server says, or does not say, counts."""

        def script(said: Said) -> Script:
            return lambda ask: OwnSideError("down") if ask.server == A else said

        found, _ = await looked_up(script(data()), A, B)
        assert found.has_data
        found, _ = await looked_up(script(failing(SERVFAIL)), A, B)
        assert (found.outcome, found.own_fault) == (LookupOutcome.SERVFAIL, None)
        found, _ = await looked_up(script(SILENCE), A, B)
        assert (found.outcome, found.own_fault) == (LookupOutcome.TIMEOUT, None)

    @pytest.mark.parametrize("code", [4, 15, 16, 17])
    async def test_an_answer_the_resolver_made_up_is_our_own_fault(self, code: int) -> None:
        """Blocked, censored, filtered, forged: that is our resolver's policy, not the partner."""
        for rcode in (0, NXDOMAIN, SERVFAIL, REFUSED):
            made_up = reply(("example.org", "A"), rcode=rcode, additional=[opt((code, b""))])
            found, asked = await looked_up(lambda _, wire=made_up: wire)
            assert found.own_fault is not None
            assert f"(extended error {code})" in found.own_fault
            assert found.is_error
            assert len(asked) == 1

    async def test_another_resolver_without_that_policy_is_believed(self) -> None:
        """The filter of one resolver does not hide the answer of the next."""
        blocked = reply(("example.org", "A"), rcode=NXDOMAIN, additional=[opt((15, b""))])
        found, _ = await looked_up(lambda ask: blocked if ask.server == A else data(), A, B)
        assert found.has_data
        assert found.own_fault is None


class TestTruncation:
    async def test_a_truncated_answer_is_fetched_over_tcp(self) -> None:
        """Case 45: the partial RRset is not looked at, the whole one over TCP is."""
        partial = data(SECURE | TC)
        whole = reply(
            ("example.org", "A"),
            answer=[rr("example.org", "A", f"192.0.2.{n}") for n in range(1, 4)],
            flags=SECURE,
        )
        found, asked = await looked_up(lambda ask: whole if ask.stream else partial)
        assert len(found.records) == 3
        assert found.status is DnssecStatus.SECURE
        assert [ask.stream for ask in asked] == [False, True]

    @pytest.mark.parametrize("over_tcp", [SILENCE, OwnSideError("takes no TCP connection")])
    async def test_an_answer_that_exists_and_cannot_be_fetched_is_our_own_fault(
        self, over_tcp: Said, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Case 45: a blocked TCP port at our resolver must not look like a dead partner."""
        found, _ = await looked_up(lambda ask: over_tcp if ask.stream else data(TC | QR))
        assert found.own_fault is not None
        assert "TCP" in found.own_fault
        assert found.records == ()

    async def test_it_stays_our_fault_when_another_server_fails(self) -> None:
        """There is an answer, so another server's SERVFAIL is not the last word."""

        def script(ask: Ask) -> Said:
            if ask.server == B:
                return failing(SERVFAIL)
            return OwnSideError("takes no TCP connection") if ask.stream else data(TC | QR)

        found, _ = await looked_up(script, A, B)
        assert found.own_fault == "takes no TCP connection"

    async def test_truncated_over_tcp_is_malformed(self) -> None:
        """RFC 2181 §9: TC means nothing over TCP, so the reply cannot be whole."""
        found, _ = await looked_up(lambda _: data(TC | QR))
        assert found.outcome is LookupOutcome.MALFORMED

    async def test_the_second_look_goes_over_tcp_too(self) -> None:
        """A bogus answer too large for UDP is bogus all the same."""

        def script(ask: Ask) -> Said:
            if not ask.cd:
                return failing(SERVFAIL)
            return data(QR) if ask.stream else data(QR | TC)

        found, _ = await looked_up(script)
        assert found.status is DnssecStatus.BOGUS


class TestAliases:
    @staticmethod
    def in_pieces(**pieces: Said) -> Script:
        """Answer each name by its first label."""
        return lambda ask: pieces[ask.question.name.split(".")[0]]

    @staticmethod
    def hop(number: int, flags: int = SECURE, **fields: object) -> bytes:
        alias = rr(f"n{number}.test", "CNAME", f"n{number + 1}.test.", ttl=200 - number)
        return reply((f"n{number}.test", "A"), answer=[alias], flags=flags, **fields)  # type: ignore[arg-type]

    @staticmethod
    def end(number: int, flags: int = SECURE, **fields: object) -> bytes:
        answer = [rr(f"n{number}.test", "A", "192.0.2.1", ttl=199)]
        return reply((f"n{number}.test", "A"), answer=answer, flags=flags, **fields)  # type: ignore[arg-type]

    START = Question(Name("n0.test"), RRType.A)

    async def test_a_chain_in_pieces_is_put_together(self) -> None:
        """Case 18: the target is asked where the resolver stops at the alias."""
        script = self.in_pieces(n0=self.hop(0), n1=self.hop(1), n2=self.end(2))
        found, asked = await looked_up(script, question=self.START)
        assert found.has_data
        assert found.question == self.START
        assert found.status is DnssecStatus.SECURE
        assert found.canonical_name == "n2.test"
        assert [hop.status for hop in found.aliases] == [DnssecStatus.SECURE] * 2
        assert found.ttl_seconds == 199
        assert [ask.question.name for ask in asked] == ["n0.test", "n1.test", "n2.test"]
        assert {ask.question.rdtype for ask in asked} == {RRType.A}

    @pytest.mark.parametrize("weak", [0, 1, 2])
    async def test_the_weakest_piece_is_the_status(self, weak: int) -> None:
        """Case 17: one insecure hop makes the whole insecure; the other hops stay secure."""
        flags = [QR if number == weak else SECURE for number in range(3)]
        script = self.in_pieces(
            n0=self.hop(0, flags[0]), n1=self.hop(1, flags[1]), n2=self.end(2, flags[2])
        )
        found, _ = await looked_up(script, question=self.START)
        assert found.status is DnssecStatus.INSECURE
        assert [hop.status for hop in found.aliases] == [
            None if weak == number else DnssecStatus.SECURE for number in range(2)
        ]

    async def test_without_ad_nothing_is_known_of_a_single_alias(self) -> None:
        """Case 35: AD=0 over CNAME and address proves nothing about the CNAME."""
        answer = [rr("n0.test", "CNAME", "n1.test."), rr("n1.test", "A", "192.0.2.1")]
        found, _ = await looked_up(
            lambda _: reply(("n0.test", "A"), answer=answer), question=self.START
        )
        assert found.status is DnssecStatus.INSECURE
        assert found.aliases == (
            AliasHop(owner=Name("n0.test"), target=Name("n1.test"), status=None),
        )

    async def test_a_dname_alias_is_an_alias(self) -> None:
        """Case 36: a synthesised CNAME is followed and as secure as the answer."""
        answer = [
            rr("old.test", "DNAME", "new.test."),
            rr("mx.old.test", "CNAME", "mx.new.test."),
            rr("mx.new.test", "A", "192.0.2.1"),
        ]
        found, _ = await looked_up(
            lambda _: reply(("mx.old.test", "A"), answer=answer, flags=SECURE),
            question=Question(Name("mx.old.test"), RRType.A),
        )
        assert found.canonical_name == "mx.new.test"
        assert found.aliases[0].status is DnssecStatus.SECURE

    async def test_an_error_at_the_target_is_the_outcome(self) -> None:
        """The aliases so far are kept; bogus at the end is bogus for the whole."""

        def script(ask: Ask) -> Said:
            if ask.question.name == "n0.test":
                return self.hop(0)
            return self.end(1, QR) if ask.cd else reply(("n1.test", "A"), rcode=SERVFAIL)

        found, _ = await looked_up(script, question=self.START)
        assert (found.outcome, found.status) == (LookupOutcome.SERVFAIL, DnssecStatus.BOGUS)
        assert found.canonical_name == "n1.test"
        assert found.ttl_seconds is None

    async def test_a_target_that_does_not_exist_is_nxdomain(self) -> None:
        """A dangling alias in pieces; without SOA the whole has no TTL."""
        script = self.in_pieces(
            n0=self.hop(0), n1=reply(("n1.test", "A"), rcode=NXDOMAIN, flags=SECURE)
        )
        found, _ = await looked_up(script, question=self.START)
        assert (found.outcome, found.status) == (LookupOutcome.NXDOMAIN, DnssecStatus.SECURE)
        assert found.ttl_seconds is None

    async def test_a_loop_in_one_reply_is_a_loop(self) -> None:
        """Case 18: an error, whatever the resolver thinks of its signatures."""
        answer = [rr("n0.test", "CNAME", "n0.test.")]
        found, asked = await looked_up(
            lambda _: reply(("n0.test", "A"), answer=answer), question=self.START
        )
        assert found.outcome is LookupOutcome.LOOP
        assert found.is_error
        assert len(asked) == 1

    async def test_a_loop_over_several_replies_is_a_loop(self) -> None:
        """Case 18: each piece is harmless, together they lead back."""
        back = reply(("n1.test", "A"), answer=[rr("n1.test", "CNAME", "n0.test.")])
        found, asked = await looked_up(self.in_pieces(n0=self.hop(0), n1=back), question=self.START)
        assert found.outcome is LookupOutcome.LOOP
        assert len(asked) == 2

    async def test_too_many_pieces_are_a_loop(self) -> None:
        """Case 18: sixteen aliases are followed, the seventeenth ends it."""

        def script(ask: Ask) -> Said:
            return self.hop(int(ask.question.name.split(".")[0][1:]))

        found, asked = await looked_up(script, question=self.START)
        assert found.outcome is LookupOutcome.LOOP
        assert len(asked) == 17

    async def test_sixteen_pieces_are_followed(self) -> None:
        """The limit itself is allowed."""

        def script(ask: Ask) -> Said:
            number = int(ask.question.name.split(".")[0][1:])
            return self.hop(number) if number < 16 else self.end(16)

        found, _ = await looked_up(script, question=self.START)
        assert found.has_data
        assert len(found.aliases) == 16

    async def test_a_failed_cname_question_is_an_error(self) -> None:
        """Case 33: SERVFAIL for the CNAME question is a failed lookup, not "no alias"."""
        question = Question(Name("n0.test"), RRType.CNAME)
        found, _ = await looked_up(
            lambda _: reply(("n0.test", "CNAME"), rcode=SERVFAIL), question=question
        )
        assert found.is_error
        assert not found.is_denial


class TestAssembly:
    async def test_statistics_count_what_happened(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Lookups, retries, timeouts, truncation, malformed replies, second looks, own faults."""
        said = iter([SILENCE, data(TC | QR), data(), failing(SERVFAIL), failing(SERVFAIL), GARBAGE])
        transport = FakeTransport(lambda _: next(said))
        resolver = resolver_over(transport)
        for _ in range(3):
            await resolver.lookup(Q)
        transport.script = lambda _: OwnSideError("down")
        await resolver.lookup(Q)
        counted = resolver.statistics()
        assert counted.lookups == 4
        assert counted.lookups_in_flight == 0
        assert counted.timeouts == 1
        assert counted.truncated == 1
        assert counted.second_looks == 1
        assert counted.malformed == 1
        assert counted.own_faults == 1
        assert counted.retries == 1 + 2

    async def test_split_gives_each_server_a_resolver_of_its_own(self) -> None:
        """Each asks its server only; over TCP from the start if so wished."""
        transport = FakeTransport(lambda _: data())
        for resolver in resolver_over(transport, A, B).split(stream_only=True):
            assert (await resolver.lookup(Q)).has_data
        assert [(ask.server, ask.stream) for ask in transport.asked] == [(A, True), (B, True)]
        (first, _) = resolver_over(FakeTransport(lambda _: data(TC | QR)), A, B).split(
            stream_only=True
        )
        assert (await first.lookup(Q)).outcome is LookupOutcome.MALFORMED

    async def test_a_resolver_needs_a_server(self) -> None:
        """An empty list is a mistake of the caller."""
        with pytest.raises(ValueError, match="at least one server"):
            StubResolver(FakeTransport(lambda _: None), (), limits=DnsLimits(), clock=FixedClock())
