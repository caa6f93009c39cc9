"""``danewatch dnssec`` between the command line and the chain: time, own faults, name servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
import validations as made

from scanner.cli import diagnosis
from scanner.cli.wiring import Settings
from scanner.judge.dnssec.anchors import Anchors
from scanner.judge.dnssec.servers import Authorities
from scanner.model.dnssec import FetchFailure, Validation
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType, ValidationMode
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import ServerAddress

QUESTION = Question(Name("example.org"), RRType.MX)


class Silent:
    """A fetcher without a network."""

    async def fetch(self, question: Question, *, fresh: bool = False) -> FetchFailure:
        await trio.lowlevel.checkpoint()
        return FetchFailure(
            question=question, reason=R.UPSTREAM_TIMEOUT, outcome=LookupOutcome.TIMEOUT
        )


class Clock:
    """Stands still."""

    def now(self) -> Any:
        return made.NOW


class Opened(ValidatingResolver):
    """Has one validation ready."""

    def __init__(self, says: Validation) -> None:
        super().__init__(Silent(), anchors=Anchors(), clock=Clock())
        self.says = says

    async def validate(self, question: Question) -> Validation:
        await trio.lowlevel.checkpoint()
        return self.says


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was opened and asked; ``says`` is what a validation comes to."""
    seen: dict[str, Any] = {"says": made.secure(), "zones": []}

    @asynccontextmanager
    async def open_validation(settings: Settings, **how: Any) -> AsyncIterator[ValidatingResolver]:
        seen.update(how, settings=settings)
        yield Opened(seen["says"])

    async def ask_authorities(zone: Name, fetcher: Any, **how: Any) -> Authorities | None:
        await trio.lowlevel.checkpoint()
        seen["zones"].append((zone, how["signed"], how["limits"].port))
        found = Authorities(zone=zone, signed=True, without_address=(Name("ns.example.org"),))
        return found if seen.get("found", True) else None

    monkeypatch.setattr(diagnosis, "open_validation", open_validation)
    monkeypatch.setattr(diagnosis, "ask_authorities", ask_authorities)
    return seen


def settings(**more: Any) -> Settings:
    """Return settings for one resolver."""
    return Settings(resolvers=(ServerAddress("192.0.2.53"),), **more)


async def test_the_timeout_is_that_of_the_whole_question(told: dict[str, Any]) -> None:
    """As given with --timeout; and we validate ourselves, whatever the configuration says."""
    mode = ValidationMode.RESOLVER
    found = await diagnosis.validate(
        QUESTION, settings(timeout_seconds=7, validation=mode), clock=Clock()
    )
    assert found.validation == made.secure()
    assert told["total_seconds"] == 7
    assert told["settings"].validation is ValidationMode.LOCAL
    assert told["settings"].always_compare is True
    assert told["zones"] == []


async def test_a_bogus_root_is_indeterminate_and_tested(told: dict[str, Any]) -> None:
    """Nobody is asked who is not ours."""
    told["says"] = replace(made.expired(), own_fault="the root zone could not be validated")
    found = await diagnosis.validate(QUESTION, settings(), clock=Clock())
    assert found.validation.status is DnssecStatus.INDETERMINATE
    assert found.self_test is not None
    assert told["zones"] == []


async def test_the_servers_of_the_broken_zone_are_looked_into(told: dict[str, Any]) -> None:
    """Once, on the port of the settings; what they show comes after what is broken."""
    told["says"] = made.no_key()
    found = await diagnosis.validate(QUESTION, settings(name_server_port=5353), clock=Clock())
    assert told["zones"] == [("example.org", True, 5353)]
    reasons = [noted.reason for noted in found.validation.findings]
    assert reasons[0] is R.DS_NO_KEY
    assert reasons[-1] is R.NS_NO_ADDRESS


async def test_servers_that_cannot_be_found_add_nothing(told: dict[str, Any]) -> None:
    """The result stands by itself."""
    told.update(says=made.no_key(), found=False)
    found = await diagnosis.validate(QUESTION, settings(), clock=Clock())
    assert found.validation == made.no_key()


def test_the_root_is_nobody_to_look_into() -> None:
    """It is everybody's, and watched."""
    broken = replace(made.expired(), chain=(), findings=(), zone=ROOT, reason=R.RRSIG_EXPIRED)
    assert diagnosis.zone_to_look_into(broken) is None
