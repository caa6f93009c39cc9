"""What a worker of a cluster looks, probes and judges with: built there from the same settings.

A worker asks its own resolvers unless the operator named some for all: those of the variable
``DANEWATCH_RESOLVER``, else of its resolv.conf(5).
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from scanner.cli.preflight import fitted
from scanner.cli.resolvconf import RESOLV_CONF, read_name_servers
from scanner.cli.wiring import Settings, is_doubtful, judge_by, open_eyes, prober_of
from scanner.distributed.values import NoteConnection, Sight
from scanner.model.meter import NullMeter
from scanner.model.observation import DomainObservation, HostAddress
from scanner.model.ports import Prober
from scanner.model.verdict import Judgement
from scanner.model.vocabulary import Family, Profile
from scanner.observe.dnsserver import InvalidServerError, ServerAddress, parse_server
from scanner.observe.greeting import Greeter
from scanner.run.clock import SystemClock
from scanner.run.engine import EngineLimits
from scanner.run.probes import SharingLimits

VARIABLE = "DANEWATCH_RESOLVER"


@dataclass(frozen=True, slots=True)
class DaskEquipment:
    """Implements ``scanner.distributed.values.Equipment`` for ``settings``.

    Without resolvers in them each worker asks its own.
    """

    settings: Settings

    @property
    def profile(self) -> Profile:
        """The profile that decides."""
        return self.settings.policy.profile

    @property
    def engine_limits(self) -> EngineLimits:
        """Bounds of the domains at a time."""
        return self.settings.engine_limits

    @property
    def sharing_limits(self) -> SharingLimits:
        """Bounds of the probes, as far as this machine's open files allow."""
        return self._here().sharing_limits

    @asynccontextmanager
    async def open_sight(self, prober: Prober) -> AsyncIterator[Sight]:
        """Open a resolver of this machine; probes go to ``prober``."""
        async with open_eyes(self._here(), clock=SystemClock(), meter=NullMeter()) as eyes:
            vantage = eyes.vantage(_nothing_proved)
            yield Sight(observe=eyes.observer(prober, vantage), confirm=vantage.confirm)

    def prober(self, note_connection: NoteConnection) -> Prober:
        """Return who makes connections from this machine."""
        return prober_of(self._here(), clock=SystemClock(), on_connection=note_connection)

    async def greet(self, address: HostAddress) -> bool | None:
        """Return whether a mail server greets us now."""
        settings = self.settings
        greeter = Greeter(
            port=settings.smtp_port,
            allow_special_purpose=settings.allow_private_addresses,
            limits=settings.greeting_limits,
        )
        return await greeter.greet(address)

    async def self_test(self) -> tuple[tuple[str, ...], str | None]:
        """Return what is wrong with the resolvers here, and why nothing would be seen."""
        from scanner.cli.scan import why_blind

        settings = self._here()
        if not settings.resolvers:
            sentence = f"no resolver: neither {VARIABLE} nor {RESOLV_CONF} names one"
            return (sentence,), sentence
        async with open_eyes(settings, clock=SystemClock(), meter=NullMeter()) as eyes:
            result = await eyes.vantage(_nothing_proved).self_test()
        said = tuple(
            item.sentence + (f" {item.remedy}" if item.remedy else "")
            for item in result.checks
            if not item.ok
        )
        return said, why_blind(result)

    def judge(self, observation: DomainObservation) -> Judgement:
        """Return the verdicts."""
        return judge_by(self.settings)(observation)

    def deserves_second_look(self, judgement: Judgement) -> bool:
        """Return whether a second look may clear up what is not well."""
        return is_doubtful(judgement.of(self.profile))

    def _here(self) -> Settings:
        """Return the settings as they are on this machine."""
        settings = self.settings
        if not settings.resolvers:
            settings = replace(settings, resolvers=own_resolvers(os.environ))
        return fitted(settings)[0]


async def _nothing_proved() -> Mapping[Family, bool | None]:
    """While names are looked up nobody is contacted, so nothing is known of our way out."""
    return {}


def own_resolvers(environment: Mapping[str, str]) -> tuple[ServerAddress, ...]:
    """Return the resolvers of this machine; those of the variable that cannot be read are none."""
    named = environment.get(VARIABLE, "").split()
    try:
        return tuple(parse_server(one) for one in named or read_name_servers())
    except InvalidServerError:
        return ()
