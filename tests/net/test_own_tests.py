"""What the tests of ourselves bring, read from resolvers, witnesses and the kernel."""

from datetime import UTC, datetime, timedelta

import pytest
import trio

from scanner.model.dnssec import FetchFailure, RRset, Rrsig, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import (
    DomainObservation,
    ExtendedError,
    Lookup,
    MailRoute,
    MxKind,
    OtherRecord,
    Question,
)
from scanner.model.selfstatus import BogusAnswer
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.observe import kernelclock
from scanner.observe.vantage import (
    CONTROL_QUESTION,
    ResolverVantage,
    bogus_answer,
    fails_by_dates,
    made_up_questions,
)
from scanner.run.clocksanity import ClockPolicy, ClockSigns, WitnessSeen, judge_clock
from scanner.run.egress import EgressWatch
from scanner.run.selftests import AssumedVantage, OwnTests

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BROKEN = Name("broken.test")


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


def looked_up(
    question: Question, outcome: LookupOutcome, status: DnssecStatus | None, **fields: object
) -> Lookup:
    return Lookup(question=question, outcome=outcome, status=status, **fields)  # type: ignore[arg-type]


class Resolver:
    """The root by heart; a broken name refused or accepted; the world reached or not."""

    def __init__(self) -> None:
        self.accepts = False
        self.reaches = True
        self.dates: DnssecReason | None = None
        self.asked: list[Question] = []

    async def lookup(self, question: Question) -> Lookup:
        await trio.lowlevel.checkpoint()
        self.asked.append(question)
        if question == CONTROL_QUESTION:
            if self.dates is not None:
                return looked_up(
                    question,
                    LookupOutcome.SERVFAIL,
                    DnssecStatus.BOGUS,
                    dnssec_reason=self.dates,
                )
            soa = (OtherRecord(text="a. b. 1 2 3 4 5"),)
            return looked_up(question, LookupOutcome.DATA, DnssecStatus.SECURE, records=soa)
        if question.name == BROKEN:
            if self.accepts:
                return looked_up(question, LookupOutcome.NODATA, DnssecStatus.INSECURE)
            return looked_up(question, LookupOutcome.SERVFAIL, DnssecStatus.BOGUS)
        if self.reaches:
            return looked_up(question, LookupOutcome.NXDOMAIN, DnssecStatus.INSECURE)
        return looked_up(question, LookupOutcome.SERVFAIL, None, detail="SERVFAIL")


def soa_reply(zone: Name, *inceptions: datetime) -> SignedMessage:
    """A reply with an SOA record signed at these times."""
    rrsigs = tuple(
        Rrsig(
            type_covered=6,
            algorithm=13,
            labels=1,
            original_ttl=900,
            expiration=(int(at.timestamp()) + 600_000) % 2**32,
            inception=int(at.timestamp()) % 2**32,
            key_tag=1,
            signer=zone,
            signer_labels=(),
            signature=b"",
            header=b"",
            ttl=900,
        )
        for at in inceptions
    )
    rrset = RRset(owner=zone, owner_labels=(), rdtype=6, ttl=900, rdatas=(b"soa",), rrsigs=rrsigs)
    return SignedMessage(
        question=Question(zone, RRType.SOA),
        question_labels=(),
        rcode=0,
        answer=(rrset,),
        authority=(),
        edns=True,
    )


async def never(*_: object) -> DomainObservation:
    raise AssertionError("nobody is looked at")


def made(resolver: Resolver, clock: Clock | None = None, **options: object) -> OwnTests:
    clock = clock or Clock()

    async def greet(_: object) -> bool:
        raise AssertionError("nobody is greeted")

    async def resolve(_: Name) -> tuple[()]:
        await trio.lowlevel.checkpoint()
        return ()

    settings: dict[str, object] = {
        "vantage": ResolverVantage(
            resolver, clock=clock, known_bogus=(Question(BROKEN, RRType.A),)
        ),
        "egress": EgressWatch(greet=greet, resolve=resolve),
        "observe": never,
        "judge": never,
        "fetch": never,
        "clock": clock,
    }
    return OwnTests(**(settings | options))  # type: ignore[arg-type]


async def test_everything_is_asked_of_a_resolver_in_every_test(autojump_clock) -> None:
    """The control question, the known-bogus name, and names nobody has asked for."""
    resolver = Resolver()
    tests = made(resolver)
    (seen,) = await tests.resolvers()
    assert (seen.up, seen.validating, seen.reached, seen.detail) == (True, True, True, None)
    assert seen.bogus == ((BROKEN, BogusAnswer.REFUSED),)
    resolver.accepts = True
    (seen,) = await tests.resolvers()
    assert seen.bogus == ((BROKEN, BogusAnswer.ACCEPTED),)
    assert seen.detail == "the resolver accepts broken.test, whose signatures are broken"
    made_up = [q.name for q in resolver.asked if str(q.name).startswith("danewatch-")]
    assert len(made_up) == len(set(made_up)) == 4


async def test_a_check_between_two_tests_asks_the_known_bogus_name_no_more(autojump_clock) -> None:
    """Once a minute is enough; what was found holds meanwhile."""
    resolver = Resolver()
    vantage = ResolverVantage(resolver, clock=Clock(), known_bogus=(Question(BROKEN, RRType.A),))
    resolver.accepts = True
    for _ in range(3):
        assert (await vantage.confirm()).resolver_validating is False
    assert [q.name for q in resolver.asked].count(BROKEN) == 1
    resolver.accepts = False
    await trio.sleep(60)
    assert (await vantage.confirm()).resolver_validating is True


async def test_a_resolver_that_reaches_nobody_is_named(autojump_clock) -> None:
    """With the names that were made up."""
    resolver = Resolver()
    resolver.reaches = False
    (seen,) = await made(resolver).resolvers()
    assert (seen.up, seen.reached) == (True, False)
    assert seen.detail is not None
    assert "answers from its cache and reaches nobody: danewatch-" in seen.detail


@pytest.mark.parametrize(
    ("reason", "dates"),
    [
        (DnssecReason.RRSIG_EXPIRED, True),
        (DnssecReason.RRSIG_NOT_YET_VALID, True),
        (DnssecReason.DNSKEY_MISSING, False),
    ],
)
async def test_a_root_that_fails_by_its_dates_is_a_sign_of_the_clock(
    reason: DnssecReason, dates: bool, autojump_clock
) -> None:
    """Any other failure is not."""
    resolver = Resolver()
    resolver.dates = reason
    (seen,) = await made(resolver).resolvers()
    assert (seen.up, seen.dates) == (False, dates)


@pytest.mark.parametrize(
    ("outcome", "status", "answer"),
    [
        (LookupOutcome.SERVFAIL, DnssecStatus.BOGUS, BogusAnswer.REFUSED),
        (LookupOutcome.SERVFAIL, None, BogusAnswer.UNKNOWN),
        (LookupOutcome.TIMEOUT, None, BogusAnswer.UNKNOWN),
        (LookupOutcome.DATA, DnssecStatus.INSECURE, BogusAnswer.ACCEPTED),
        (LookupOutcome.NODATA, DnssecStatus.INSECURE, BogusAnswer.ACCEPTED),
        (LookupOutcome.DATA, DnssecStatus.SECURE, BogusAnswer.SECURE),
    ],
)
def test_what_a_known_bogus_name_brings(
    outcome: LookupOutcome, status: DnssecStatus | None, answer: BogusAnswer
) -> None:
    """Only a proof of bogus data is a refusal."""
    assert bogus_answer(looked_up(Question(BROKEN, RRType.A), outcome, status)) is answer


@pytest.mark.parametrize(("code", "dates"), [(7, True), (8, True), (9, False)])
def test_a_resolver_names_the_dates_by_extended_errors(code: int, dates: bool) -> None:
    """Signature Expired and Signature Not Yet Valid (RFC 8914)."""
    lookup = looked_up(
        CONTROL_QUESTION,
        LookupOutcome.SERVFAIL,
        DnssecStatus.BOGUS,
        extended_errors=(ExtendedError(code=code),),
    )
    assert fails_by_dates(lookup) is dates
    assert not fails_by_dates(looked_up(CONTROL_QUESTION, LookupOutcome.TIMEOUT, None))


def test_made_up_names_are_never_the_same() -> None:
    """One in each of the zones."""
    first, second = made_up_questions(), made_up_questions()
    assert len(first) == 2
    assert not set(first) & set(second)


async def test_witnesses_tell_their_newest_signature(autojump_clock) -> None:
    """None where there is no reply, or none that is signed."""
    replies = {
        "com": soa_reply(Name("com"), NOW - timedelta(hours=3), NOW - timedelta(hours=1)),
        "plain.test": soa_reply(Name("plain.test")),
        "gone.test": FetchFailure(
            question=Question(Name("gone.test"), RRType.SOA),
            reason=DnssecReason.UPSTREAM_TIMEOUT,
            outcome=LookupOutcome.TIMEOUT,
        ),
    }

    async def fetch(question: Question) -> SignedMessage | FetchFailure:
        await trio.lowlevel.checkpoint()
        return replies[question.name]

    tests = made(Resolver(), fetch=fetch, witnesses=[Name(name) for name in replies])
    assert {seen.zone: seen.inception for seen in await tests.witnesses()} == {
        "com": NOW - timedelta(hours=1),
        "plain.test": None,
        "gone.test": None,
    }


async def test_signature_times_are_read_beyond_2106(autojump_clock) -> None:
    """They are serial numbers (RFC 4034 §3.1.5)."""
    clock = Clock()
    clock.time = datetime(2110, 1, 1, tzinfo=UTC)

    async def fetch(question: Question) -> SignedMessage:
        await trio.lowlevel.checkpoint()
        return soa_reply(question.name, clock.time - timedelta(hours=1))

    tests = made(Resolver(), clock, fetch=fetch, witnesses=(Name("com"),))
    assert await tests.witnesses() == (
        WitnessSeen(zone=Name("com"), inception=clock.time - timedelta(hours=1)),
    )


@pytest.mark.parametrize(
    ("witnesses", "synchronised", "set_by", "asked"),
    [
        ((), False, timedelta(hours=1), {"com", "net"}),
        ((), None, timedelta(hours=-1), {"com", "net"}),
        ((), None, timedelta(seconds=59), set()),
        ((), True, timedelta(hours=1), set()),
        ((Name("own.test"),), False, timedelta(hours=1), {"own.test"}),
    ],
)
async def test_a_clock_that_was_set_is_held_against_the_world_where_nobody_else_speaks_for_it(
    autojump_clock,
    witnesses: tuple[Name, ...],
    synchronised: bool | None,
    set_by: timedelta,
    asked: set[str],
) -> None:
    """Zones that sign all day tell whether it is right now, so that nobody need start us again."""
    clock = Clock()
    heard: set[str] = set()

    async def fetch(question: Question) -> SignedMessage:
        await trio.lowlevel.checkpoint()
        heard.add(question.name)
        return soa_reply(question.name, clock.time - timedelta(hours=1))

    tests = made(
        Resolver(),
        clock,
        fetch=fetch,
        witnesses=witnesses,
        steady_seconds=lambda: 0.0,
        synchronised=lambda: synchronised,
    )
    clock.time += set_by
    seen = await tests.witnesses()
    assert heard == asked
    judged = judge_clock(seen, tests.clock_signs(), now=clock.time, policy=ClockPolicy())
    assert judged.ok is (True if asked else None)


def test_a_clock_that_is_set_shows_against_steady_time() -> None:
    """And the kernel's word is passed on."""
    clock = Clock()
    steady = [100.0]
    tests = made(Resolver(), clock, steady_seconds=lambda: steady[0], synchronised=lambda: False)
    clock.time += timedelta(days=1, seconds=60)
    steady[0] += 60
    assert tests.clock_signs() == ClockSigns(offset=timedelta(days=1), synchronised=False)
    assert made(Resolver()).clock_signs() == ClockSigns()


async def test_a_look_is_judged_with_nothing_taken_for_granted_but_our_sight(
    autojump_clock,
) -> None:
    """The vantage of such a look says that all is well."""
    vantage = await AssumedVantage().confirm()
    assert vantage.resolver_trusted
    assert (vantage.egress_ipv4, vantage.egress_ipv6) == (True, True)
    observation = _observation(DnssecReason.RRSIG_EXPIRED)

    async def observe(_: Name) -> DomainObservation:
        await trio.lowlevel.checkpoint()
        return observation

    tests = made(Resolver(), observe=observe, judge=lambda _: "an opinion")
    check = await tests.look(BROKEN)
    assert (check.observation, check.judgement) == (observation, "an opinion")
    assert tests.dates_failed(check) == "the signatures of broken.test MX fail by their dates"


async def test_port_25_is_asked_of_the_egress_watch(autojump_clock) -> None:
    """Nobody is known yet."""
    assert await made(Resolver()).egress() == ()


async def test_the_way_out_is_proved_where_somebody_knows_better(autojump_clock) -> None:
    """For a check; a test of the resolvers asks nobody about port 25."""
    asked = []

    async def prove() -> dict[Family, bool | None]:
        await trio.lowlevel.checkpoint()
        asked.append(True)
        return {Family.IPV4: True, Family.IPV6: None}

    vantage = ResolverVantage(Resolver(), clock=Clock(), prove_egress=prove)
    found = await vantage.confirm()
    assert (found.egress_ipv4, found.egress_ipv6) == (True, None)
    await vantage.confirm(thorough=True)
    assert len(asked) == 1


def test_the_kernel_has_a_word_about_its_clock_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where it cannot be asked."""
    assert kernelclock.kernel_synchronised() in (True, False, None)
    monkeypatch.setattr(kernelclock.sys, "platform", "sunos5")
    assert kernelclock.kernel_synchronised() is None


def _observation(reason: DnssecReason) -> DomainObservation:
    lookup = looked_up(
        Question(BROKEN, RRType.MX),
        LookupOutcome.SERVFAIL,
        DnssecStatus.BOGUS,
        dnssec_reason=reason,
    )
    return DomainObservation(
        domain=BROKEN,
        observed_at=NOW,
        duration_ms=1,
        route=MailRoute(domain=BROKEN, mx=lookup, kind=MxKind.ERROR, expanded=ROOT),
    )
