"""Whole replies with checking disabled: from any server that answers, failures as values."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from signed_replies import records, reply

from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import Name
from scanner.model.observation import ExtendedError, Question
from scanner.model.vocabulary import LookupOutcome, RRType
from scanner.observe.dnsserver import DnsLimits, OwnSideError, ServerAddress
from scanner.observe.rawfetch import RawFetcher
from scanner.wire.dnsframe import MalformedResponseError

ONE, TWO = ServerAddress("192.0.2.1"), ServerAddress("192.0.2.2")
QUESTION = Question(Name("example"), RRType.A)
GOOD = reply(QUESTION, [records("example.", "A", "192.0.2.9")])
CUT = reply(QUESTION, flags=0x0200)
Script = Callable[[ServerAddress, bool, int], SignedMessage | Exception | None]


class FakeTransport:
    """Answers as scripted; None is silence."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[ServerAddress, bool]] = []

    async def fetch(
        self, server: ServerAddress, question: Question, *, stream: bool
    ) -> SignedMessage:
        assert question == QUESTION
        self.asked.append((server, stream))
        answer = self.script(server, stream, len(self.asked))
        await trio.lowlevel.checkpoint()
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def fetcher(script: Script, *servers: ServerAddress) -> tuple[RawFetcher, FakeTransport]:
    """Return a fetcher over a scripted transport."""
    transport = FakeTransport(script)
    return RawFetcher(transport, servers or (ONE,), limits=DnsLimits()), transport


def rcode(number: int, *errors: ExtendedError) -> SignedMessage:
    """Return a reply without records."""
    empty = reply(QUESTION, rcode=number)
    return SignedMessage(
        question=QUESTION,
        question_labels=empty.question_labels,
        rcode=number,
        answer=(),
        authority=(),
        edns=True,
        extended_errors=errors,
    )


async def test_a_reply_is_handed_on_whole() -> None:
    """NOERROR and NXDOMAIN are answers."""
    for answer in (GOOD, rcode(3)):
        made, transport = fetcher(lambda *_, found=answer: found)
        assert await made.fetch(QUESTION) == answer
        assert transport.asked == [(ONE, False)]


@pytest.mark.parametrize(
    ("number", "reason", "outcome"),
    [
        (2, R.UPSTREAM_SERVFAIL, LookupOutcome.SERVFAIL),
        (5, R.UPSTREAM_REFUSED, LookupOutcome.REFUSED),
        (4, R.UPSTREAM_REFUSED, LookupOutcome.REFUSED),
        (1, R.UPSTREAM_RCODE, LookupOutcome.SERVFAIL),
        (6, R.UPSTREAM_RCODE, LookupOutcome.SERVFAIL),
    ],
)
async def test_error_codes_are_failures(number: int, reason: R, outcome: LookupOutcome) -> None:
    """Each with its name and the resolver's own words; asked once, for it would not change."""
    error = ExtendedError(code=22, text="no reachable authority")
    made, transport = fetcher(lambda *_: rcode(number, error))
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert (found.reason, found.outcome, found.own_fault) == (reason, outcome, None)
    assert found.extended_errors == (error,)
    assert str(ONE) in found.detail
    assert len(transport.asked) == 1


async def test_another_server_that_answers_wins() -> None:
    """And is asked first the next time."""
    made, transport = fetcher(lambda server, *_: rcode(2) if server is ONE else GOOD, ONE, TWO)
    assert await made.fetch(QUESTION) == GOOD
    assert await made.fetch(QUESTION) == GOOD
    assert transport.asked == [(ONE, False), (TWO, False), (TWO, False)]


async def test_a_fresh_look_is_at_another_server_over_tcp() -> None:
    """It must not ask the same cache to confirm itself."""
    made, transport = fetcher(lambda *_: GOOD, ONE, TWO)
    await made.fetch(QUESTION)
    await made.fetch(QUESTION, fresh=True)
    await made.fetch(QUESTION)
    assert transport.asked == [(ONE, False), (TWO, True), (ONE, False)]


async def test_a_fresh_look_falls_back_to_udp() -> None:
    """Where the resolver takes no TCP."""
    made, transport = fetcher(lambda server, stream, _: OwnSideError("no TCP") if stream else GOOD)
    assert await made.fetch(QUESTION, fresh=True) == GOOD
    assert transport.asked == [(ONE, True), (ONE, False)]


async def test_a_truncated_reply_is_fetched_over_tcp() -> None:
    """Case 45."""
    made, transport = fetcher(lambda server, stream, _: GOOD if stream else CUT)
    assert await made.fetch(QUESTION) == GOOD
    assert transport.asked == [(ONE, False), (ONE, True)]


async def test_a_truncated_reply_over_tcp_is_malformed() -> None:
    """There is no more than TCP."""
    made, _ = fetcher(lambda *_: CUT)
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert found.reason is R.RESPONSE_MALFORMED


async def test_an_answer_that_cannot_be_fetched_is_our_own_fault(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The server has it, or it could not have truncated it."""
    made, _ = fetcher(lambda server, stream, _: None if stream else CUT)
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert "silent over TCP" in (found.own_fault or "")
    assert autojump_clock.current_time() > 0


async def test_silence_is_waited_for_three_times(autojump_clock: trio.testing.MockClock) -> None:
    """And is nobody's fault yet."""
    made, transport = fetcher(lambda *_: None)
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert (found.reason, found.outcome) == (R.UPSTREAM_TIMEOUT, LookupOutcome.TIMEOUT)
    assert found.own_fault is None
    assert len(transport.asked) == 3
    assert autojump_clock.current_time() == pytest.approx(9, abs=0.1)


async def test_a_server_that_cannot_be_reached_is_our_own_fault() -> None:
    """Unless another one says something."""
    made, _ = fetcher(lambda *_: OwnSideError("nothing listens"))
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert found.own_fault == "nothing listens"
    made, _ = fetcher(
        lambda server, *_: OwnSideError("nothing listens") if server is ONE else rcode(2), ONE, TWO
    )
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert (found.reason, found.own_fault) == (R.UPSTREAM_SERVFAIL, None)


async def test_garbage_is_malformed() -> None:
    """With what was wrong."""
    made, _ = fetcher(lambda *_: MalformedResponseError("nonsense"))
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert (found.reason, found.detail) == (
        R.RESPONSE_MALFORMED,
        "192.0.2.1:53 sent nonsense",
    )


async def test_an_answer_made_up_by_policy_is_our_own_fault() -> None:
    """A blocking resolver says so (RFC 8914 §4.16)."""
    made, _ = fetcher(lambda *_: rcode(0, ExtendedError(code=15)))
    found = await made.fetch(QUESTION)
    assert isinstance(found, FetchFailure)
    assert "blocked" in (found.own_fault or "")


async def test_a_name_that_cannot_exist_is_not_asked() -> None:
    """A label of 64 octets."""
    made, transport = fetcher(lambda *_: GOOD)
    found = await made.fetch(Question(Name("a" * 64), RRType.A))
    assert isinstance(found, FetchFailure)
    assert found.outcome is LookupOutcome.MALFORMED
    assert transport.asked == []


async def test_servers_can_be_tested_one_by_one() -> None:
    """For the self-test, also over TCP alone."""
    made, transport = fetcher(lambda *_: GOOD, ONE, TWO)
    for single in made.split(stream_only=True):
        await single.fetch(QUESTION)
    assert transport.asked == [(ONE, True), (TWO, True)]


async def test_no_server_is_no_fetcher() -> None:
    """A mistake of ours."""
    with pytest.raises(ValueError, match="at least one"):
        RawFetcher(FakeTransport(lambda *_: GOOD), (), limits=DnsLimits())
