"""A scanner that looks at nothing: for the tests of the command line.

``install`` puts it where the commands open theirs. Checks are made by ``sample_checks``; a domain
nobody prepared is protected.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import sample_checks as sample
import trio

from scanner.cli.wiring import Settings
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.verdict import Check
from scanner.observe.selftest import SelfTest, SelfTestCheck
from scanner.run.engine import PassSummary

WELL = (
    SelfTestCheck(name="resolver-up", ok=True, sentence="The resolver answers."),
    SelfTestCheck(name="resolver-validating", ok=True, sentence="The resolver validates."),
)


def renamed(check: Check, domain: str, seconds: int = 0) -> Check:
    """Return ``check`` as one of ``domain``, made ``seconds`` after the pinned time."""
    moment = sample.NOW + timedelta(seconds=seconds)
    observation = check.observation
    name = Name(domain)
    hosts = tuple(
        replace(
            host,
            addresses=tuple(replace(one, observed_at=moment) for one in host.addresses),
        )
        for host in observation.hosts
    )
    return replace(
        check,
        observation=replace(
            observation,
            domain=name,
            observed_at=moment,
            hosts=hosts,
            route=replace(observation.route, domain=name, expanded=name),
        ),
    )


@dataclass
class FakeScanner:
    """Answers from ``checks``; ``after`` is awaited after each check of a pass, with its number."""

    checks: Mapping[str, Callable[[], Check]] = field(default_factory=dict)
    self_tests: tuple[SelfTestCheck, ...] = WELL
    blind: str | None = None
    after: Callable[[int], Awaitable[None]] | None = None
    waits_for: Mapping[str, str] = field(default_factory=dict)
    """Domains whose check ends only after that of another was begun."""
    seconds: int = 0
    settings: Settings | None = None
    asked: list[str] = field(default_factory=list)

    async def self_test(self) -> SelfTest:
        """Return the prepared self-test."""
        return SelfTest(tested_at=sample.NOW, checks=self.self_tests)

    async def check(self, domain: Name) -> Check:
        """Return the prepared check."""
        self.asked.append(domain)
        await trio.lowlevel.checkpoint()
        while self.waits_for.get(domain, domain) not in self.asked:
            await trio.lowlevel.checkpoint()
        return renamed(self.checks.get(domain, sample.protected)(), domain, self.seconds)

    async def scan(
        self,
        targets: Iterable[Target],
        on_check: Callable[[Target, Check], Awaitable[None]],
    ) -> PassSummary:
        """Check every target in order."""
        checked = 0
        for target in targets:
            await on_check(target, await self.check(target.domain))
            checked += 1
            if self.after is not None:
                await self.after(checked)
        return PassSummary(checked=checked, blind=self.blind)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "FakeScanner":
        """Let every command open this scanner, and remember the settings it was opened with."""

        @asynccontextmanager
        async def open_scanner(settings: Settings, **_: Any) -> AsyncIterator[FakeScanner]:
            self.settings = settings
            yield self

        monkeypatch.setattr("scanner.cli.wiring.open_scanner", open_scanner)
        return self
