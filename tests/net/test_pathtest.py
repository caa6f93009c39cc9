"""A path to the resolver that breaks DNSSEC is found and said, with the remedy."""

from collections.abc import Callable
from dataclasses import replace

import trio
from signed_replies import NOW, Signer, records, reply

from scanner.judge.dnssec.anchors import Anchors
from scanner.model.dnssec import Anchor, FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import Lookup, OtherRecord, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.pathtest import (
    DELEGATION_QUESTION,
    LARGE_QUESTION,
    SMALL_QUESTION,
    examine_path,
)
from scanner.observe.selfcheck import SelfTestCheck
from scanner.observe.selftest import examine_server
from scanner.observe.vantage import ResolverVantage

Reply = SignedMessage | FetchFailure
ROOT_SIGNER = Signer(".")
SOA = records(".", "SOA", "a. b. 1 2 3 4 5")
NSEC = records("com.", "NSEC", "coma. NS RRSIG NSEC")
DS = records("com.", "DS", "1 13 2 " + "00" * 32)
ANCHOR = Anchor(zone=ROOT, dnskeys=(ROOT_SIGNER.model_key,))


def healthy() -> dict[Question, Reply]:
    """Return what a good path lets through: signed SOA and keys, DS of com."""
    return {
        SMALL_QUESTION: reply(SMALL_QUESTION, ROOT_SIGNER.signed(SOA)),
        LARGE_QUESTION: reply(LARGE_QUESTION, ROOT_SIGNER.signed(ROOT_SIGNER.dnskeys())),
        DELEGATION_QUESTION: reply(DELEGATION_QUESTION, ROOT_SIGNER.signed(DS)),
    }


def silence(question: Question, **changes: object) -> FetchFailure:
    made = FetchFailure(
        question=question,
        reason=DnssecReason.UPSTREAM_TIMEOUT,
        outcome=LookupOutcome.TIMEOUT,
        detail="no reply from 192.0.2.53:53",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def stripped(message: Reply) -> SignedMessage:
    """Return the reply as a resolver leaves it that knows nothing of RRSIG."""
    assert isinstance(message, SignedMessage)
    bare = tuple(replace(rrset, rrsigs=()) for rrset in message.answer)
    return replace(message, answer=bare)


async def examined(replies: dict[Question, Reply]) -> dict[str, SelfTestCheck]:
    asked: list[Question] = []

    async def fetch(question: Question) -> Reply:
        asked.append(question)
        await trio.lowlevel.checkpoint()
        return replies[question]

    checks = await examine_path("192.0.2.53", fetch)
    assert len(asked) == len(set(asked)), "each question is asked once"
    assert all((check.remedy is None) is check.ok for check in checks)
    return {check.name: check for check in checks}


ALL = ["resolver-edns", "resolver-large-answers", "resolver-signatures", "resolver-ds"]


async def test_a_good_path_passes_every_test() -> None:
    """Whether the delegation exists or is denied."""
    replies = healthy()
    checks = await examined(replies)
    assert list(checks) == ALL
    assert all(check.ok for check in checks.values())
    replies[DELEGATION_QUESTION] = reply(
        DELEGATION_QUESTION, authority=ROOT_SIGNER.signed(NSEC), rcode=3
    )
    assert all(check.ok for check in (await examined(replies)).values())


async def test_a_resolver_that_does_not_answer_is_for_others_to_report() -> None:
    """Nothing more is asked of it."""
    assert await examined({SMALL_QUESTION: silence(SMALL_QUESTION)}) == {}


async def test_a_resolver_without_edns_is_named() -> None:
    """And no more is asked: no signature can come."""
    message = healthy()[SMALL_QUESTION]
    assert isinstance(message, SignedMessage)
    checks = await examined({SMALL_QUESTION: replace(message, edns=False)})
    assert list(checks) == ["resolver-edns"]
    assert not checks["resolver-edns"].ok
    assert "lack EDNS" in checks["resolver-edns"].sentence


async def test_a_resolver_that_strips_signatures_is_named() -> None:
    """The keys come, their RRSIG does not."""
    replies = healthy()
    replies[LARGE_QUESTION] = stripped(replies[LARGE_QUESTION])
    check = (await examined(replies))["resolver-signatures"]
    assert not check.ok
    assert "leaves out the signatures over the root's keys" in check.sentence
    assert "understands DNSSEC" in (check.remedy or "")


async def test_a_resolver_that_hides_the_keys_is_named() -> None:
    """A forwarder that answers unknown types with nothing."""
    replies = healthy()
    replies[LARGE_QUESTION] = reply(LARGE_QUESTION)
    check = (await examined(replies))["resolver-signatures"]
    assert "leaves out the root's keys" in check.sentence


async def test_a_path_that_loses_large_answers_is_named() -> None:
    """Small ones arrive; the reason is told as far as it is known."""
    for failure, why in (
        (silence(LARGE_QUESTION), "no reply"),
        (
            silence(LARGE_QUESTION, own_fault="x truncates its answer and is silent over TCP"),
            "x truncates its answer and is silent over TCP",
        ),
        (
            silence(LARGE_QUESTION, reason=DnssecReason.RESPONSE_MALFORMED, detail="cut off"),
            "cut off",
        ),
        (silence(LARGE_QUESTION, reason=DnssecReason.UPSTREAM_SERVFAIL, detail=""), "timeout"),
    ):
        checks = await examined({**healthy(), LARGE_QUESTION: failure})
        assert list(checks) == ALL[:2]
        check = checks["resolver-large-answers"]
        assert not check.ok
        assert check.sentence.endswith(f"but . DNSKEY not: {why}.")
        assert "1232" in (check.remedy or "")


async def test_a_path_that_blocks_ds_is_named() -> None:
    """By silence, by an empty answer, or by one without signatures."""
    for blocked, why in (
        (silence(DELEGATION_QUESTION), "no reply from 192.0.2.53:53"),
        (silence(DELEGATION_QUESTION, detail=""), "timeout"),
        (reply(DELEGATION_QUESTION), "neither signed DS records nor a signed proof of none"),
        (stripped(healthy()[DELEGATION_QUESTION]), "neither signed DS records"),
    ):
        check = (await examined({**healthy(), DELEGATION_QUESTION: blocked}))["resolver-ds"]
        assert not check.ok
        assert why in check.sentence
        assert "DS questions" in (check.remedy or "")


class FakeResolver:
    """Answers every lookup alike."""

    def __init__(self, status: DnssecStatus | None, outcome: LookupOutcome) -> None:
        self.status, self.outcome = status, outcome

    async def lookup(self, question: Question) -> Lookup:
        await trio.lowlevel.checkpoint()
        return Lookup(
            question=question,
            outcome=self.outcome,
            status=self.status,
            records=(OtherRecord(text="x"),),
        )


def fetching(replies: dict[Question, Reply]) -> Callable[..., object]:
    async def fetch(question: Question) -> Reply:
        await trio.lowlevel.checkpoint()
        return replies[question]

    return fetch


async def test_the_cause_is_told_instead_of_what_follows_from_it() -> None:
    """A root without signatures does not validate; that alone would be a riddle."""
    replies = {**healthy(), LARGE_QUESTION: stripped(healthy()[LARGE_QUESTION])}
    checks = await examine_server(
        "192.0.2.53",
        FakeResolver(DnssecStatus.BOGUS, LookupOutcome.SERVFAIL),
        None,
        control=SMALL_QUESTION,
        known_bogus=(),
        fetch=fetching(replies),  # type: ignore[arg-type]
    )
    assert [check.name for check in checks] == ["resolver-signatures"]


async def test_a_root_that_does_not_validate_over_a_good_path_is_told_as_before() -> None:
    """A wrong clock or anchor."""
    checks = await examine_server(
        "192.0.2.53",
        FakeResolver(DnssecStatus.BOGUS, LookupOutcome.SERVFAIL),
        None,
        control=SMALL_QUESTION,
        known_bogus=(),
        fetch=fetching(healthy()),  # type: ignore[arg-type]
    )
    assert [(check.name, check.ok) for check in checks] == [("resolver-up", False)]


class TableFetcher:
    """Replies as a server would, from a table."""

    def __init__(self, replies: dict[Question, Reply]) -> None:
        self.replies = replies

    async def fetch(self, question: Question, *, fresh: bool = False) -> Reply:
        await trio.lowlevel.checkpoint()
        return self.replies[question]


class Noon:
    """The moment the signatures were made for."""

    def now(self) -> object:
        return NOW


def vantage_over(replies: dict[Question, Reply], anchor: Anchor) -> ResolverVantage:
    clock = Noon()
    resolver = ValidatingResolver(
        TableFetcher(replies),
        anchors=Anchors([anchor]),
        clock=clock,  # type: ignore[arg-type]
    )
    return ResolverVantage(resolver, clock=clock)  # type: ignore[arg-type]


async def test_the_self_test_of_a_validating_resolver_tests_its_path() -> None:
    """From the anchor of the root on."""
    result = await vantage_over(healthy(), ANCHOR).self_test()
    assert [check.name for check in result.checks] == [
        "resolver-up",
        *ALL,
        "resolver-validating",
    ]
    assert result.ok


async def test_where_the_root_is_not_trusted_its_signatures_prove_nothing() -> None:
    """With islands of security only, the path is not tested."""
    island = replace(ANCHOR, zone=Name("island.test"))
    result = await vantage_over(healthy(), island).self_test()
    assert {check.name for check in result.checks} == {"resolver-up"}
    assert Question(ROOT, RRType.SOA) == SMALL_QUESTION
