"""Recorded signed answers, replayed: the octets of every reply, perhaps one of them changed."""

import base64
import functools
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import trio

from scanner.judge.dnssec.anchors import Anchors, read_anchors
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.model.dnssec import FetchFailure, SignedMessage, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import LookupOutcome, RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.usualreply import decode_usual

RECORDED = json.loads(
    (Path(__file__).parents[1] / "vectors" / "dnssec" / "recorded.json").read_text()
)
NOW = datetime.fromisoformat(RECORDED["now"])
ANCHORS = Anchors(read_anchors(RECORDED["anchor"]))
QUESTIONS: list[tuple[str, str, str, str]] = [tuple(item) for item in RECORDED["questions"]]
Replies = Mapping[str, bytes]
REPLIES: Replies = {name: base64.b64decode(text) for name, text in RECORDED["replies"].items()}


class Still:
    """A clock that stands at the moment of the recording."""

    def now(self) -> datetime:
        """Return that moment."""
        return NOW


class Replay:
    """Answers from octets; counts what is asked. What is not there times out."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self.asked: list[str] = []

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        """Return the reply as it is read from its octets."""
        name = f"{question.name} {question.rdtype}"
        self.asked.append(name)
        wire = self._replies.get(name)
        if wire is None:
            return _failure(question, DnssecReason.UPSTREAM_TIMEOUT, LookupOutcome.TIMEOUT)
        try:
            return decode_usual(question, query_id=0, wire=wire)
        except MalformedResponseError:
            return _failure(question, DnssecReason.RESPONSE_MALFORMED, LookupOutcome.MALFORMED)


def _failure(question: Question, reason: DnssecReason, outcome: LookupOutcome) -> FetchFailure:
    return FetchFailure(question=question, reason=reason, outcome=outcome)


def validate(
    owner: str, rdtype: str, replies: Replies = REPLIES, *, policy: DnssecPolicy | None = None
) -> Validation:
    """Return our validation of one question, nothing remembered from another."""

    async def run() -> Validation:
        resolver = ValidatingResolver(
            Replay(replies), anchors=ANCHORS, clock=Still(), policy=policy
        )
        return await resolver.validate(Question(Name(owner), RRType(rdtype)))

    return trio.run(run)


@functools.cache
def asked_for(owner: str, rdtype: str) -> tuple[str, ...]:
    """Return the names of the replies that a question needs."""

    async def run() -> list[str]:
        replay = Replay(REPLIES)
        resolver = ValidatingResolver(replay, anchors=ANCHORS, clock=Still())
        await resolver.validate(Question(Name(owner), RRType(rdtype)))
        return replay.asked

    return tuple(dict.fromkeys(trio.run(run)))


@functools.cache
def original(owner: str, rdtype: str) -> Validation:
    """Return the validation of the replies as they were recorded."""
    return validate(owner, rdtype)
