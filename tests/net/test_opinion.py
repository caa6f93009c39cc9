"""Our validation held against that of the resolver."""

from dataclasses import replace

import pytest
import trio
import trio.testing
import validations as made

from scanner.model.dnssec import Validation
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.observation import ExtendedError, Lookup, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome
from scanner.observe.opinion import CONTROL_QUESTION, compare

SECURE, INSECURE, BOGUS = DnssecStatus.SECURE, DnssecStatus.INSECURE, DnssecStatus.BOGUS


class Opinion:
    """A resolver that says one status of everything; ``validates`` is what it says of the root."""

    def __init__(self, status: DnssecStatus | None, *, validates: bool = True) -> None:
        self.status = status
        self.validates = validates
        self.own_fault: str | None = None
        self.asked: list[Question] = []

    async def lookup(self, question: Question) -> Lookup:
        await trio.lowlevel.checkpoint()
        self.asked.append(question)
        status = self.status
        if question == CONTROL_QUESTION:
            status = SECURE if self.validates else INSECURE
        outcome = LookupOutcome.SERVFAIL if status is BOGUS else LookupOutcome.DATA
        records = () if status is BOGUS else made.secure().records
        return Lookup(
            question=question,
            outcome=outcome,
            status=status,
            records=records,
            resolver="192.0.2.53:53",
            extended_errors=(ExtendedError(code=7),) if status is BOGUS else (),
            own_fault=self.own_fault,
        )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (made.secure(), BOGUS),
        (made.secure(), INSECURE),
        (made.expired(), SECURE),
        (made.expired(), INSECURE),
        (made.unsigned(), BOGUS),
    ],
)
async def test_another_result_of_a_validating_resolver_is_a_finding(
    ours: Validation, theirs: DnssecStatus
) -> None:
    """A warning with both results; whoever is right."""
    noted = await compare(ours, Opinion(theirs))
    assert noted is not None
    assert (noted.reason, noted.state) == (R.RESOLVER_DISAGREES, None)
    values = dict(noted.values)
    assert (values["ours"], values["the_resolver's"]) == (str(ours.status), str(theirs))
    assert values["resolver"] == "192.0.2.53:53"
    assert ("extended_error" in values) == (theirs is BOGUS)


@pytest.mark.parametrize("ours", [made.secure(), made.unsigned(), made.expired()])
async def test_the_same_result_is_none(ours: Validation) -> None:
    """And the root is not asked about."""
    opinion = Opinion(ours.status)
    assert await compare(ours, opinion) is None
    assert opinion.asked == [ours.question]


async def test_a_resolver_that_does_not_validate_has_no_opinion() -> None:
    """It calls everything insecure."""
    assert await compare(made.secure(), Opinion(INSECURE, validates=False)) is None


@pytest.mark.parametrize("status", [None, DnssecStatus.INDETERMINATE])
async def test_a_failure_is_no_opinion(status: DnssecStatus | None) -> None:
    """Nothing is known of what it would say."""
    assert await compare(made.secure(), Opinion(status)) is None


async def test_a_result_that_is_none_is_not_compared() -> None:
    """Indeterminate, or a fault of ours: nobody is asked."""
    opinion = Opinion(SECURE)
    assert await compare(made.no_answer(), opinion) is None
    assert await compare(replace(made.expired(), own_fault="our clock"), opinion) is None
    assert opinion.asked == []
    opinion.own_fault = "no route"
    assert await compare(made.expired(), opinion) is None


async def test_a_slow_resolver_has_no_opinion(autojump_clock: trio.testing.MockClock) -> None:
    """The answer is not held up for it."""

    class Slow(Opinion):
        async def lookup(self, question: Question) -> Lookup:
            await trio.sleep(60)
            return await super().lookup(question)

    assert await compare(made.secure(), Slow(BOGUS)) is None
    assert trio.current_time() < 10
