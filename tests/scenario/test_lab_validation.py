"""Validating ourselves, every lab domain gets the verdict it was built for, as with the resolver.

The lab signs with dnspython and serves its zones as they are to whoever sets CD. What the resolver
of the lab says of them (AD, SERVFAIL) never reaches the scanner here.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import trio

from scanner.cli.wiring import Settings, open_scanner, open_validation
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import scenario_plan
from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import LabDomain
from scanner.lab.responder import ResolverMode
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.verdict import Check
from scanner.model.vocabulary import DnssecStatus, DomainVerdict, Profile, RRType, ValidationMode
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.smtp import ProbeLimits
from scanner.run.clock import SystemClock

pytestmark = pytest.mark.scenario

DNS = DnsLimits(try_timeout_seconds=2.0, total_timeout_seconds=6.0)
PROBE = ProbeLimits(
    connect_seconds=3,
    greeting_seconds=30,
    reply_seconds=5,
    handshake_seconds=5,
    total_seconds=40,
)
IN_FLIGHT = 24
NOW = datetime.now(UTC).replace(microsecond=0)
PLAN = scenario_plan(NOW)
DOMAINS = {domain.name: domain for domain in PLAN.domains}


def settings_for(lab: Lab, mode: ValidationMode = ValidationMode.LOCAL) -> Settings:
    """Return settings that ask the lab."""
    host, port = lab.resolver
    return Settings(
        resolvers=(ServerAddress(host, port),),
        validation=mode,
        anchors=read_anchors(lab.trust_anchor),
        smtp_port=lab.smtp_port,
        allow_private_addresses=True,
        dns_limits=DNS,
        probe_limits=PROBE,
    )


@dataclass(frozen=True)
class Pass:
    checks: dict[Name, Check]
    asked: Counter[tuple[Name, str]]


async def scan_everything() -> Pass:
    checks: dict[Name, Check] = {}
    async with open_lab(PLAN) as lab, open_scanner(settings_for(lab)) as scanner:
        assert (await scanner.self_test()).ok
        lab.query_log.clear()
        limiter = trio.CapacityLimiter(IN_FLIGHT)

        async def check_one(name: Name) -> None:
            async with limiter:
                checks[name] = await scanner.check(name)

        async with trio.open_nursery() as nursery:
            for name in DOMAINS:
                nursery.start_soon(check_one, name)
        return Pass(checks=checks, asked=Counter(lab.query_log.counts))


@pytest.fixture(scope="module")
def scanned() -> Pass:
    """One pass over the whole lab."""
    return trio.run(scan_everything)


@pytest.fixture(params=sorted(DOMAINS))
def case(request: pytest.FixtureRequest, scanned: Pass) -> tuple[LabDomain, Check]:
    """A domain of the lab with its check."""
    return DOMAINS[request.param], scanned.checks[request.param]


def test_the_domain_gets_the_same_verdict_as_with_a_validating_resolver(
    case: tuple[LabDomain, Check],
) -> None:
    """Verdict under both profiles, code and cause."""
    domain, check = case
    got = {verdict.profile: verdict.verdict for verdict in check.judgement.verdicts}
    assert got == domain.expected
    exchange = check.judgement.of(Profile.EXCHANGE_ONLINE)
    if domain.code is not None:
        assert exchange.code == domain.code
        assert (exchange.cause_code or exchange.code) == (domain.cause_code or domain.code)
    assert exchange.other_scope_verdict == domain.other_scope
    assert set(domain.findings) <= {finding.code for finding in check.judgement.findings}


def test_keys_of_shared_zones_are_fetched_once_in_a_pass(scanned: Pass) -> None:
    """The top-level domains serve all, and each domain's zone all its questions."""
    tops = [Name("test"), Name("example")]
    assert [scanned.asked[top, "DNSKEY"] for top in tops] == [1, 1]
    assert [scanned.asked[top, "DS"] for top in tops] == [1, 1]
    assert scanned.asked[Name("t12.test"), "DNSKEY"] == 1


async def validate(lab: Lab, *questions: Question) -> list[DnssecStatus]:
    """Return the status of each question, asked by a new validating resolver."""
    async with open_validation(settings_for(lab), clock=SystemClock()) as resolver:
        assert isinstance(resolver, ValidatingResolver)
        return [(await resolver.validate(question)).status for question in questions]


async def test_a_resolver_that_does_not_validate_is_good_enough() -> None:
    """Nobody's AD bit is needed."""
    async with open_lab(PLAN) as lab:
        lab.set_resolver_mode(ResolverMode.NON_VALIDATING)
        good = Question(Name("t12.test"), RRType.MX)
        broken = Question(Name("t13.test"), RRType.MX)
        insecure = Question(Name("insecure.control.test"), RRType.SOA)
        assert await validate(lab, good, broken, insecure) == [
            DnssecStatus.SECURE,
            DnssecStatus.BOGUS,
            DnssecStatus.INSECURE,
        ]


async def test_a_resolver_that_strips_signatures_is_our_own_trouble() -> None:
    """No partner is called bogus, or unsigned, for it."""
    async with open_lab(PLAN) as lab:
        lab.set_resolver_mode(ResolverMode.STRIPPING)
        async with open_scanner(settings_for(lab)) as scanner:
            assert not (await scanner.self_test()).ok
            check = await scanner.check(Name("t12.test"))
        verdicts = {verdict.verdict for verdict in check.judgement.verdicts}
        assert verdicts == {DomainVerdict.INCONCLUSIVE}
