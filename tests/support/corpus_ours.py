"""What danewatch says of the questions of the corpus, over the same resolver as the others."""

from collections.abc import Iterable
from datetime import datetime

import trio
from corpus_oracles import Asked, Heard
from corpus_zones import Corpus

from scanner.judge.dnssec.anchors import Anchors, read_anchors
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.model.dnssec import Validation
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import ServerAddress
from scanner.observe.resolver import open_fetcher
from scanner.run.clock import SystemClock

_AT_ONCE = 8


async def validate_all(
    corpus: Corpus,
    port: int,
    questions: Iterable[Asked],
    *,
    policy: DnssecPolicy | None = None,
    at: datetime | None = None,
) -> dict[Asked, Validation]:
    """Return our validation of each question; one resolver answers all, as in a scan."""
    anchors = Anchors(read_anchors(corpus.anchor.read_text()))
    found: dict[Asked, Validation] = {}
    slots = trio.Semaphore(_AT_ONCE)
    async with open_fetcher([ServerAddress("127.0.0.1", port)]) as fetcher:
        resolver = ValidatingResolver(
            fetcher, anchors=anchors, clock=SystemClock(), policy=policy, at=at
        )

        async def ask(asked: Asked) -> None:
            owner, rdtype = asked
            async with slots:
                question = Question(Name(owner.rstrip(".")), RRType(rdtype))
                found[asked] = await resolver.validate(question)

        async with trio.open_nursery() as nursery:
            for asked in dict.fromkeys(questions):
                nursery.start_soon(ask, asked)
    return found


def heard(validation: Validation) -> Heard:
    """Return a validation in the words of the comparison."""
    words = f"{validation.status} {validation.reason or ''} {validation.detail or ''}".strip()
    return Heard(str(validation.status), str(validation.outcome), words)
