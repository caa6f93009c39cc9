"""One question validated, and looked into where it does not validate: ``danewatch dnssec``.

validate     the answer with its chain, held against the resolver's own validation
own fault    the self-test of the resolvers, instead of anything about the partner
broken       the name servers of the zone where the chain ends, each asked itself
"""

from dataclasses import dataclass, replace
from datetime import datetime

from scanner.cli.wiring import Settings, open_validation
from scanner.judge.dnssec.servers import server_findings
from scanner.model.dnssec import DnssecFinding, Validation
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.ports import Clock
from scanner.model.vocabulary import DnssecStatus, ValidationMode
from scanner.observe.authorities import AuthorityLimits, ask_authorities
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.vantage import ResolverVantage, SelfTest
from scanner.run.clock import SystemClock

_BROKEN = frozenset({DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """One answer with its chain and when it was asked; ``self_test`` where the fault is ours."""

    validation: Validation
    asked_at: datetime
    self_test: SelfTest | None = None


async def validate(
    question: Question, settings: Settings, *, clock: Clock | None = None
) -> Validated:
    """Return the answer to ``question`` with its chain, validated here.

    A bogus result that comes from a fault of ours is indeterminate: nothing is known of the zone.
    """
    clock = clock or SystemClock()
    local = replace(settings, validation=ValidationMode.LOCAL, always_compare=True)
    async with open_validation(
        local, clock=clock, total_seconds=settings.timeout_seconds
    ) as resolver:
        assert isinstance(resolver, ValidatingResolver)
        asked_at = clock.now()
        validation = await resolver.validate(question)
        if validation.own_fault is not None:
            tested = await ResolverVantage(resolver, clock=clock).self_test()
            if validation.status is DnssecStatus.BOGUS:
                validation = replace(validation, status=DnssecStatus.INDETERMINATE)
            return Validated(validation=validation, asked_at=asked_at, self_test=tested)
        told = await _about_servers(validation, resolver, settings)
        found = replace(validation, findings=(*validation.findings, *told))
        return Validated(validation=found, asked_at=asked_at)


async def _about_servers(
    validation: Validation, resolver: ValidatingResolver, settings: Settings
) -> tuple[DnssecFinding, ...]:
    """Return what is wrong with the name servers of the zone where the chain breaks."""
    zone = zone_to_look_into(validation)
    if validation.status not in _BROKEN or zone is None:
        return ()
    signed = any(link.zone == zone and link.ds for link in validation.chain)
    found = await ask_authorities(
        zone,
        resolver,
        question=validation.question,
        signed=signed,
        limits=AuthorityLimits(port=settings.name_server_port),
    )
    if found is None:
        return ()
    return server_findings(found, now=settings.judge_at or validation.validated_at)


def zone_to_look_into(validation: Validation) -> Name | None:
    """Return the zone whose servers can tell more; None for the root, which is not a partner's."""
    zone = validation.ends_at
    return None if zone is None or zone == ROOT else zone
