"""The walk: every step looked up once and kept as long as it holds, doubts looked at twice.

Replies are those of the lab's zones, made in memory: the same octets as over a socket.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from scanner.judge.dnssec.anchors import Anchors, read_anchors
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.lab.lab import trust_anchor_text
from scanner.lab.plan import (
    Denial,
    DnsFault,
    DnsFaultKind,
    DsKind,
    ZonePlan,
    ZoneRecord,
)
from scanner.lab.responder import Responder
from scanner.lab.universe import Universe
from scanner.model.dnssec import (
    Anchor,
    FetchFailure,
    LinkKind,
    RRset,
    SignedMessage,
    Validation,
)
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import ROOT, Name
from scanner.model.observation import AddressRecord, MxRecord, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.observe.chainwalk import ChainLimits, ValidatingResolver, lookup_of
from scanner.wire.dnsquery import build_query
from scanner.wire.rrsets import decode_signed

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECURE, INSECURE = DnssecStatus.SECURE, DnssecStatus.INSECURE
BOGUS, UNCLEAR = DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE


def record(owner: str, rdtype: str, text: str) -> ZoneRecord:
    """Return one record of a plan."""
    return ZoneRecord(owner=Name(owner), rdtype=rdtype, text=text)


PLANS = (
    ZonePlan(origin=ROOT),
    ZonePlan(origin=Name("test"), records=(record("ns.test", "A", "127.0.0.1"),)),
    ZonePlan(
        origin=Name("good.test"),
        records=(
            record("good.test", "MX", "10 mx.good.test."),
            record("mx.good.test", "A", "192.0.2.1"),
            record("*.wild.good.test", "A", "192.0.2.2"),
            record("alias.good.test", "CNAME", "mx.plain.test."),
        ),
    ),
    ZonePlan(
        origin=Name("deep.a.b.good.test"),
        records=(record("x.y.deep.a.b.good.test", "A", "192.0.2.3"),),
    ),
    ZonePlan(
        origin=Name("hashed.test"),
        denial=Denial.NSEC3,
        records=(record("hashed.test", "MX", "10 mx.hashed.test."),),
    ),
    ZonePlan(
        origin=Name("plain.test"),
        signed=False,
        ds=DsKind.NONE,
        records=(record("mx.plain.test", "A", "192.0.2.4"),),
    ),
    ZonePlan(
        origin=Name("island.test"),
        ds=DsKind.NONE,
        records=(record("island.test", "A", "192.0.2.5"),),
    ),
)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class LabFetcher:
    """Answers from the lab's zones in memory, and counts; ``change`` may tamper with replies."""

    def __init__(self) -> None:
        self.universe = Universe(PLANS, NOW)
        self.responder = Responder(self.universe)
        self.asked: Counter[tuple[str, str]] = Counter()
        self.fresh: list[Question] = []
        self.gate = trio.Event()
        self.gate.set()
        self.change: Callable[[SignedMessage, bool], SignedMessage | FetchFailure] = (
            lambda message, fresh: message
        )

    @property
    def anchors(self) -> Anchors:
        return Anchors(read_anchors(trust_anchor_text(self.universe)))

    def break_zone(self, zone: str, kind: DnsFaultKind, rdtype: str | None = None) -> None:
        """Make one fault the only one."""
        self.universe.set_faults([DnsFault(zone=Name(zone), kind=kind, rdtype=rdtype)])
        self.responder.clear_cache()

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        self.asked[question.name, str(question.rdtype)] += 1
        if fresh:
            self.fresh.append(question)
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        query = build_query(question, query_id=1, checking_disabled=True)
        wire = self.responder.respond(query, tcp=True)
        assert wire is not None
        message = decode_signed(question, query_id=1, wire=wire, server="lab")
        if message.rcode not in (0, 3):
            return FetchFailure(
                question=question,
                reason=R.UPSTREAM_SERVFAIL,
                outcome=LookupOutcome.SERVFAIL,
                detail="SERVFAIL from lab",
            )
        return self.change(message, fresh)


class World:
    """A validating resolver over a lab in memory."""

    def __init__(
        self, *, policy: DnssecPolicy | None = None, anchors: Sequence[Anchor] | None = None
    ) -> None:
        self.fetcher = LabFetcher()
        self.clock = Clock()
        self.seen: list[Validation] = []
        self.resolver = ValidatingResolver(
            self.fetcher,
            anchors=self.fetcher.anchors if anchors is None else Anchors(anchors),
            clock=self.clock,
            policy=policy,
            limits=ChainLimits(total_timeout_seconds=30),
            on_validation=self.seen.append,
        )

    async def ask(self, name: str, rdtype: RRType = RRType.A) -> Validation:
        return await self.resolver.validate(Question(Name(name), rdtype))


async def test_an_answer_comes_with_its_whole_chain() -> None:
    """From the anchor down, each zone once, with keys, signatures and records."""
    world = World()
    found = await world.ask("good.test", RRType.MX)
    assert (found.status, found.outcome, found.reason) == (SECURE, LookupOutcome.DATA, None)
    assert found.records == (MxRecord(preference=10, exchange=Name("mx.good.test")),)
    assert [(link.zone, link.kind) for link in found.chain] == [
        (ROOT, LinkKind.ANCHOR),
        ("test", LinkKind.DELEGATION),
        ("good.test", LinkKind.DELEGATION),
    ]
    assert found.chain[2].ds[0].key_tag == found.chain[2].dnskeys[0].key_tag
    assert found.signature_expires_at == NOW + timedelta(days=14)
    assert (found.zone, found.resolver, found.findings) == ("good.test", "lab", ())
    assert world.seen == [found]


@pytest.mark.parametrize(
    ("name", "rdtype", "status", "outcome"),
    [
        ("mx.good.test", RRType.A, SECURE, LookupOutcome.DATA),
        ("mx.good.test", RRType.AAAA, SECURE, LookupOutcome.NODATA),
        ("no.good.test", RRType.A, SECURE, LookupOutcome.NXDOMAIN),
        ("wild.good.test", RRType.A, SECURE, LookupOutcome.NODATA),
        ("any.wild.good.test", RRType.A, SECURE, LookupOutcome.DATA),
        ("any.wild.good.test", RRType.MX, SECURE, LookupOutcome.NODATA),
        ("x.y.deep.a.b.good.test", RRType.A, SECURE, LookupOutcome.DATA),
        ("y.deep.a.b.good.test", RRType.A, SECURE, LookupOutcome.NODATA),
        ("hashed.test", RRType.MX, SECURE, LookupOutcome.DATA),
        ("hashed.test", RRType.TLSA, SECURE, LookupOutcome.NODATA),
        ("no.hashed.test", RRType.TLSA, SECURE, LookupOutcome.NXDOMAIN),
        ("mx.plain.test", RRType.A, INSECURE, LookupOutcome.DATA),
        ("no.plain.test", RRType.A, INSECURE, LookupOutcome.NXDOMAIN),
        ("alias.good.test", RRType.A, INSECURE, LookupOutcome.DATA),
        ("alias.good.test", RRType.CNAME, SECURE, LookupOutcome.DATA),
        ("good.test", RRType.DS, SECURE, LookupOutcome.DATA),
        ("plain.test", RRType.DS, SECURE, LookupOutcome.NODATA),
        ("mx.good.test", RRType.DS, SECURE, LookupOutcome.NODATA),
        ("good.test", RRType.DNSKEY, SECURE, LookupOutcome.DATA),
        (".", RRType.SOA, SECURE, LookupOutcome.DATA),
        (".", RRType.DS, SECURE, LookupOutcome.NODATA),
        ("island.test", RRType.A, INSECURE, LookupOutcome.DATA),
    ],
)
async def test_every_shape_of_answer(
    name: str, rdtype: RRType, status: DnssecStatus, outcome: LookupOutcome
) -> None:
    """Data, denials, wildcards, aliases, DS, the root, zones labels deep, islands."""
    found = await World().ask(name, rdtype)
    assert (found.status, found.outcome) == (status, outcome), found.findings


async def test_an_island_is_secure_under_its_own_anchor() -> None:
    """The closest anchor counts, and nothing above it is asked."""
    world = World()
    keys = world.fetcher.universe.zones
    zone = next(zone for origin, zone in keys.items() if origin.to_text() == "island.test.")
    assert zone.keys is not None
    text = f"island.test. IN DNSKEY {zone.keys.key_signing.dnskey.to_text()}"
    resolver = ValidatingResolver(
        world.fetcher,
        anchors=Anchors([*world.fetcher.anchors.by_zone.values(), *read_anchors(text)]),
        clock=world.clock,
    )
    found = await resolver.validate(Question(Name("island.test"), RRType.A))
    assert found.status is SECURE
    assert [link.zone for link in found.chain] == ["island.test"]
    assert world.fetcher.asked[".", "DNSKEY"] == 0


async def test_a_name_without_anchor_is_our_own_trouble() -> None:
    """Nothing is concluded about it."""
    found = await World(anchors=[Anchor(zone=Name("elsewhere"))]).ask("mx.good.test")
    assert (found.status, found.reason) == (UNCLEAR, R.NO_ANCHOR)
    assert found.own_fault is not None


async def test_steps_are_kept_and_shared() -> None:
    """One look at each zone, whatever comes after."""
    world = World()
    for name in ("mx.good.test", "no.good.test", "any.wild.good.test"):
        await world.ask(name)
    for zone in (".", "test", "good.test"):
        assert world.fetcher.asked[zone, "DNSKEY"] == 1
    statistics = world.resolver.statistics()
    assert (statistics.steps, statistics.validations) == (3, 3)


async def test_those_who_come_meanwhile_wait_for_the_same_look() -> None:
    """Fifty questions at once, one look at each zone."""
    world = World()
    world.fetcher.gate = trio.Event()
    found: list[Validation] = []

    async def ask(number: int) -> None:
        found.append(await world.ask(f"n{number}.good.test"))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        world.fetcher.gate.set()
    assert {validation.status for validation in found} == {SECURE}
    assert world.fetcher.asked["good.test", "DNSKEY"] == 1
    assert world.resolver.statistics().joins > 0


async def test_whoever_waits_goes_on_when_the_first_gives_up() -> None:
    """A cancelled look is taken over."""
    world = World()
    world.fetcher.gate = trio.Event()
    found: list[Validation] = []

    scope = trio.CancelScope()

    async def give_up() -> None:
        with scope:
            await world.ask("good.test", RRType.MX)

    async def wait() -> None:
        found.append(await world.ask("mx.good.test"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        world.fetcher.gate.set()
    assert [validation.status for validation in found] == [SECURE]


async def test_a_step_ends_with_its_ttl_and_is_looked_at_again() -> None:
    """The lab's TTL is an hour or less."""
    world = World()
    await world.ask("mx.good.test")
    world.clock.time += timedelta(hours=2)
    await world.ask("mx.good.test")
    assert world.fetcher.asked["good.test", "DNSKEY"] == 2


async def test_a_step_is_not_believed_after_its_signatures_end() -> None:
    """Whatever the TTL says."""
    world = World()
    await world.ask("mx.good.test")
    world.clock.time += timedelta(days=14, seconds=1)
    found = await world.ask("mx.good.test")
    assert found.status is BOGUS
    assert found.own_fault is not None  # the root's own signatures have ended as well


async def test_a_broken_delegation_is_looked_at_twice_and_kept_for_a_minute() -> None:
    """And then afresh: a partner who repairs it need not wait."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.DS_MISMATCH)
    found = await world.ask("mx.good.test")
    assert (found.status, found.reason, found.ede) == (BOGUS, R.DS_NO_KEY, 9)
    assert Question(Name("good.test"), RRType.DS) in world.fetcher.fresh
    before = world.fetcher.asked["good.test", "DS"]
    assert (await world.ask("good.test", RRType.MX)).status is BOGUS
    assert world.fetcher.asked["good.test", "DS"] == before == 2
    world.fetcher.universe.set_faults([])
    world.fetcher.responder.clear_cache()
    world.clock.time += timedelta(seconds=61)
    assert (await world.ask("mx.good.test")).status is SECURE


async def test_failures_and_all_can_be_forgotten() -> None:
    """For a second check, and for a resolver that was found out."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.DS_MISMATCH)
    await world.ask("mx.good.test")
    world.fetcher.universe.set_faults([])
    world.fetcher.responder.clear_cache()
    world.resolver.forget_failures()
    assert (await world.ask("mx.good.test")).status is SECURE
    assert world.fetcher.asked["test", "DNSKEY"] == 1
    world.resolver.forget()
    assert world.resolver.statistics().cached == 0
    await world.ask("mx.good.test")
    assert world.fetcher.asked["test", "DNSKEY"] == 2


def without_signatures(message: SignedMessage) -> SignedMessage:
    """Return the message as a middle box without DNSSEC leaves it."""
    bare = tuple(
        RRset(
            owner=rrset.owner,
            owner_labels=rrset.owner_labels,
            rdtype=rrset.rdtype,
            ttl=rrset.ttl,
            rdatas=rrset.rdatas,
            parsed=rrset.parsed,
        )
        for rrset in message.answer
    )
    return SignedMessage(
        question=message.question,
        question_labels=message.question_labels,
        rcode=message.rcode,
        answer=bare,
        authority=(),
        edns=True,
        server=message.server,
    )


@pytest.mark.parametrize("rdtype", [RRType.A, RRType.DS, RRType.DNSKEY])
async def test_what_is_fine_the_second_time_is_fine(rdtype: RRType) -> None:
    """One forged or stale reply is no fault of the partner."""
    world = World()

    def change(message: SignedMessage, fresh: bool) -> SignedMessage:
        stale = not fresh and message.question.rdtype is rdtype
        return without_signatures(message) if stale else message

    world.fetcher.change = change
    found = await world.ask("mx.good.test")
    assert (found.status, found.confirmed) == (SECURE, rdtype is RRType.A)
    assert world.resolver.statistics().confirmations > 0


async def test_a_bogus_answer_shows_what_was_wrong_but_no_data() -> None:
    """The lookup withholds what the validation shows (RFC 4035 §5.5)."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.SIGNATURE_EXPIRED, "A")
    found = await world.ask("mx.good.test")
    assert (found.status, found.outcome, found.reason) == (
        BOGUS,
        LookupOutcome.DATA,
        R.RRSIG_EXPIRED,
    )
    assert found.records == (AddressRecord(address="192.0.2.1"),)
    assert found.confirmed
    lookup = lookup_of(found)
    assert (lookup.status, lookup.outcome, lookup.records) == (BOGUS, LookupOutcome.SERVFAIL, ())
    assert (lookup.extended_errors[0].code, lookup.extended_errors[0].text) == (7, "rrsig-expired")
    assert "expired" in (lookup.detail or "")


async def test_an_expired_key_signature_has_the_code_for_that() -> None:
    """EDE 7, although the reason names the DS."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.SIGNATURE_EXPIRED, "DNSKEY")
    found = await world.ask("mx.good.test")
    assert (found.reason, found.ede) == (R.RRSIG_EXPIRED, 7)
    assert R.RRSIG_EXPIRED in [noted.reason for noted in found.findings]


async def test_a_question_without_answer_has_no_status() -> None:
    """The failure is that of the lookup (RFC 7672 §2.1.1)."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.SERVFAIL, "A")
    found = await world.resolver.lookup(Question(Name("mx.good.test"), RRType.A))
    assert (found.outcome, found.status) == (LookupOutcome.SERVFAIL, None)
    assert found.detail == "SERVFAIL from lab"


async def test_keys_that_cannot_be_had_leave_the_answer_open() -> None:
    """Indeterminate, looked at twice, and not kept."""
    world = World()
    world.fetcher.break_zone("good.test", DnsFaultKind.SERVFAIL, "DNSKEY")
    found = await world.resolver.lookup(Question(Name("mx.good.test"), RRType.A))
    assert (found.outcome, found.status) == (LookupOutcome.SERVFAIL, UNCLEAR)
    assert world.fetcher.asked["good.test", "DNSKEY"] == 2
    await world.ask("mx.good.test")
    assert world.fetcher.asked["good.test", "DNSKEY"] == 4


async def test_a_stripping_resolver_is_our_own_trouble() -> None:
    """Even the root comes without signatures."""
    world = World()
    world.fetcher.change = lambda message, fresh: without_signatures(message)
    found = await world.resolver.lookup(Question(Name("mx.good.test"), RRType.A))
    assert found.status is UNCLEAR
    assert "signatures" in (found.own_fault or "")


async def test_queries_for_one_question_are_bounded() -> None:
    """Beyond the bound nothing is known, and nobody is blamed."""
    world = World(policy=DnssecPolicy(max_queries=3))
    found = await world.ask("x.y.deep.a.b.good.test")
    assert (found.status, found.own_fault is not None) == (UNCLEAR, True)
    assert R.WORK_LIMIT in [noted.reason for noted in found.findings]
    assert sum(world.fetcher.asked.values()) == 3


async def test_zone_cuts_for_one_question_are_bounded() -> None:
    """Also where they are all known."""
    world = World(policy=DnssecPolicy(max_zone_cuts=1))
    found = await world.ask("mx.good.test")
    assert (found.status, found.reason) == (UNCLEAR, R.WORK_LIMIT)


async def test_time_for_one_question_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """A chain that hangs is a timeout."""
    world = World()
    world.fetcher.gate = trio.Event()
    found = await world.resolver.lookup(Question(Name("mx.good.test"), RRType.A))
    assert (found.outcome, found.status) == (LookupOutcome.TIMEOUT, None)
    assert trio.current_time() == pytest.approx(autojump_clock.current_time())


async def test_who_joins_a_step_has_a_time_of_its_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever comes later waits longer, and takes the step when the first one gave up."""
    world = World()
    world.fetcher.gate = trio.Event()
    ended: list[tuple[str, float]] = []

    async def ask(name: str) -> None:
        found = await world.ask(name)
        assert (found.status, found.outcome) == (UNCLEAR, LookupOutcome.TIMEOUT)
        assert found.detail == "not validated within 30 s"
        ended.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "mx.good.test")
        await trio.sleep(10)
        nursery.start_soon(ask, "no.good.test")
    assert ended == [("mx.good.test", 30.0), ("no.good.test", 40.0)]


async def test_nothing_more_is_asked_once_the_time_is_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each answer comes in time, but there are too many of them."""
    world = World()

    def slowly(message: SignedMessage, fresh: bool) -> SignedMessage:
        autojump_clock.jump(16)
        return message

    world.fetcher.change = slowly
    found = await world.ask("mx.good.test")
    assert found.detail == "not validated within 30 s"
    assert sum(world.fetcher.asked.values()) == 2


async def test_the_number_of_kept_steps_is_bounded() -> None:
    """The oldest go first."""
    world = World(policy=DnssecPolicy(max_cached_zones=2))
    assert (await world.ask("mx.good.test")).status is SECURE
    assert world.resolver.statistics().cached == 2


async def test_signatures_are_judged_as_of_another_moment() -> None:
    """``at``: the evidence of an incident, judged again."""
    world = World()
    resolver = ValidatingResolver(
        world.fetcher,
        anchors=world.fetcher.anchors,
        clock=world.clock,
        at=NOW + timedelta(days=30),
    )
    found = await resolver.validate(Question(Name("mx.good.test"), RRType.A))
    assert found.status is BOGUS
    assert found.validated_at == NOW + timedelta(days=30)
