"""One check alone, while something of ours is wrong: never a word against the partner.

A pass and the service know from others how things stand; a lone check knows nothing else, and must
ask.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from scanner.cli.wiring import Scanner, Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import Behaviour, MailFault
from scanner.lab.responder import ResolverMode
from scanner.model.names import Name
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict, Profile, ValidationMode
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.greeting import GreetingLimits
from scanner.observe.smtp import ProbeLimits

pytestmark = pytest.mark.scenario

BANK, BAKERY = Name("bank.test"), Name("bakery.test")
BROKEN_CHAIN = Name("harbour.test")


@asynccontextmanager
async def scanner_before(
    *,
    validation: ValidationMode = ValidationMode.LOCAL,
    known_bogus: tuple[Name, ...] = (),
    canary_of: Name | None = None,
) -> AsyncIterator[tuple[Lab, Scanner]]:
    """Open the laboratory and a scanner for lone checks; the canary is a host of ``canary_of``."""
    async with open_lab(demo_plan(datetime.now(UTC).replace(microsecond=0))) as lab:
        host, port = lab.resolver
        canaries = () if canary_of is None else (lab.domains[canary_of].hosts[0].host,)
        settings = Settings(
            resolvers=(ServerAddress(host, port),),
            anchors=read_anchors(lab.trust_anchor),
            validation=validation,
            smtp_port=lab.smtp_port,
            allow_private_addresses=True,
            both_algorithms=False,
            dns_limits=DnsLimits(try_timeout_seconds=0.3, tries=2, total_timeout_seconds=1.5),
            probe_limits=ProbeLimits(connect_seconds=0.5),
            greeting_limits=GreetingLimits(connect_seconds=0.5, greeting_seconds=1.0),
            known_bogus=known_bogus,
            canary_mx=canaries,
        )
        async with open_scanner(settings) as scanner:
            yield lab, scanner


async def outcome(scanner: Scanner, domain: Name) -> tuple[DomainVerdict, Reason | None]:
    verdict = (await scanner.check(domain)).judgement.of(Profile.EXCHANGE_ONLINE)
    return verdict.verdict, verdict.reason


@pytest.mark.parametrize("validation", list(ValidationMode))
async def test_a_resolver_that_is_cut_off_and_knows_the_root_by_heart_is_no_partner_fault(
    validation: ValidationMode,
) -> None:
    """Every question fails but the control question; a name made up on the spot tells why."""
    async with scanner_before(validation=validation) as (lab, scanner):
        assert await outcome(scanner, BANK) == (DomainVerdict.PROTECTED, None)
        lab.set_resolver_mode(ResolverMode.CUT_OFF)
        verdict, reason = await outcome(scanner, BAKERY)
        assert (verdict, reason) == (DomainVerdict.INCONCLUSIVE, Reason.RESOLVER_DOWN)


async def test_a_partner_whose_name_servers_are_down_is_deferred_all_the_same() -> None:
    """The made-up names are answered, so it is not the resolver."""
    async with scanner_before() as (lab, scanner):
        lab.break_domain(BANK, NamedFault.NAME_SERVERS_DOWN)
        verdict, reason = await outcome(scanner, BANK)
        assert (verdict, reason) == (DomainVerdict.DEFERRED, Reason.MX_LOOKUP_FAILED)


async def test_a_permissive_resolver_is_not_believed_where_a_bogus_name_is_known() -> None:
    """It would call a broken chain insecure, and mail to it safe enough."""
    believed = ValidationMode.RESOLVER
    async with scanner_before(validation=believed) as (lab, scanner):
        lab.set_resolver_mode(ResolverMode.PERMISSIVE)
        assert (await outcome(scanner, BROKEN_CHAIN))[0] is DomainVerdict.OPPORTUNISTIC
    async with scanner_before(validation=believed, known_bogus=(BROKEN_CHAIN,)) as (lab, scanner):
        assert await outcome(scanner, BANK) == (DomainVerdict.PROTECTED, None)
    async with scanner_before(validation=believed, known_bogus=(BROKEN_CHAIN,)) as (lab, scanner):
        lab.set_resolver_mode(ResolverMode.PERMISSIVE)
        assert await outcome(scanner, BANK) == (
            DomainVerdict.INCONCLUSIVE,
            Reason.RESOLVER_NOT_VALIDATING,
        )
        tested = await scanner.self_test()
        assert [check.name for check in tested.checks if not check.ok] == ["resolver-refuses-bogus"]


@pytest.mark.parametrize("behaviour", [Behaviour.REFUSED, Behaviour.BLACK_HOLE])
async def test_a_refusal_is_held_against_nobody_without_a_greeting_from_somebody(
    behaviour: Behaviour,
) -> None:
    """Our own firewall may refuse port 25 to everybody; a canary that greets clears us."""
    for canary, expected in (
        (None, (DomainVerdict.INCONCLUSIVE, Reason.EGRESS_UNPROVEN)),
        (BAKERY, (DomainVerdict.DEFERRED, None)),
    ):
        async with scanner_before(canary_of=canary) as (lab, scanner):
            faults = [
                MailFault(address=address, behaviour=behaviour)
                for host in lab.domains[BANK].hosts
                for address in host.addresses
            ]
            lab.set_fault(BANK, *faults)
            verdict, reason = await outcome(scanner, BANK)
            assert verdict is expected[0]
            assert expected[1] is None or reason is expected[1]


async def test_a_firewall_of_ours_before_everybody_is_no_partner_fault() -> None:
    """The canary does not greet either."""
    async with scanner_before(canary_of=BAKERY) as (lab, scanner):
        faults = [
            MailFault(address=host.address, behaviour=Behaviour.REFUSED)
            for host in lab.plan.mail_hosts
        ]
        lab.set_fault(Name("firewall.test"), *faults)
        assert await outcome(scanner, BANK) == (
            DomainVerdict.INCONCLUSIVE,
            Reason.EGRESS_UNPROVEN,
        )
