"""Every domain of the lab gets the verdict the lab was built to show.

The lab knows nothing of our judges: it was written from the tables, and so was the scanner. One
pass over all domains, through real sockets, then one test for each domain.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import jsonschema
import pytest
import trio

from exporters.document import check_document
from exporters.jsonl import CHECK_SCHEMA
from scanner.cli.wiring import Settings, open_scanner
from scanner.lab.catalogue import scenario_plan
from scanner.lab.lab import open_lab
from scanner.lab.plan import LabDomain
from scanner.model.names import Name
from scanner.model.observation import DaneApplicability, OtherAlgorithm, ProbeStage
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile, ValidationMode
from scanner.observe.dnsserver import DnsLimits, ServerAddress
from scanner.observe.smtp import ProbeLimits

pytestmark = pytest.mark.scenario

# Shorter than the defaults so that silent peers cost seconds, but with room for the slow greeting.
DNS = DnsLimits(try_timeout_seconds=4.0, total_timeout_seconds=12.0)
IN_FLIGHT = 16  # lab and scanner share one thread here; more would measure the machine
PROBE = ProbeLimits(
    connect_seconds=5,
    greeting_seconds=30,
    reply_seconds=15,
    handshake_seconds=15,
    total_seconds=50,
)
NOW = datetime.now(UTC).replace(microsecond=0)
PLAN = scenario_plan(NOW)
DOMAINS = {domain.name: domain for domain in PLAN.domains}


@dataclass(frozen=True)
class Pass:
    checks: dict[Name, Check]
    questions: dict[tuple[str, str], int]
    commands: dict[str, set[str]]
    most_at_once: dict[str, int]


async def scan_everything() -> Pass:
    checks: dict[Name, Check] = {}
    async with open_lab(PLAN) as lab:
        address, port = lab.resolver
        settings = Settings(
            resolvers=(ServerAddress(host=address, port=port),),
            validation=ValidationMode.RESOLVER,
            smtp_port=lab.smtp_port,
            allow_private_addresses=True,
            dns_limits=DNS,
            probe_limits=PROBE,
        )
        async with open_scanner(settings) as scanner:
            assert (await scanner.self_test()).ok

            limiter = trio.CapacityLimiter(IN_FLIGHT)

            async def check_one(name: Name) -> None:
                async with limiter:
                    checks[name] = await scanner.check(name)

            async with trio.open_nursery() as nursery:
                for name in DOMAINS:
                    nursery.start_soon(check_one, name)
        return Pass(
            checks=checks,
            questions=dict(lab.query_log.counts),
            commands={a: set(log.commands) for a, log in lab.mail_log.addresses.items()},
            most_at_once={a: log.max_concurrent for a, log in lab.mail_log.addresses.items()},
        )


@pytest.fixture(scope="module")
def scanned() -> Pass:
    """One pass over the whole lab."""
    return trio.run(scan_everything)


@pytest.fixture(params=sorted(DOMAINS))
def case(request: pytest.FixtureRequest, scanned: Pass) -> tuple[LabDomain, Check, Pass]:
    """A domain of the lab with its check."""
    return DOMAINS[request.param], scanned.checks[request.param], scanned


def test_the_domain_gets_the_verdict_it_was_built_for(
    case: tuple[LabDomain, Check, Pass],
) -> None:
    """Verdict under both profiles, code and cause, other scope, findings, questions not asked."""
    domain, check, scanned = case
    got = {verdict.profile: verdict.verdict for verdict in check.judgement.verdicts}
    assert got == domain.expected, check.observation.vantage
    exchange = check.judgement.of(Profile.EXCHANGE_ONLINE)
    if domain.code is not None:
        assert exchange.code == domain.code
        assert (exchange.cause_code or exchange.code) == (domain.cause_code or domain.code)
    expected_codes = {host.host: host.code for host in domain.hosts if host.code is not None}
    codes = {host.host: host.judged.code for host in exchange.hosts}
    assert expected_codes.items() <= codes.items()
    assert exchange.other_scope_verdict == domain.other_scope
    assert set(domain.findings) <= {finding.code for finding in check.judgement.findings}
    assert not {question for question in domain.unasked if question in scanned.questions}


def test_the_check_document_is_valid(case: tuple[LabDomain, Check, Pass]) -> None:
    """The JSON Schema that is shipped holds for every document."""
    jsonschema.validate(check_document(case[1]), CHECK_SCHEMA)


def test_both_certificates_are_asked_for_where_tlsa_records_are(scanned: Pass) -> None:
    """And nowhere else: one connection for an address and algorithm (cases 93 and 96)."""
    asked = [
        (host.route.applicability, probe.other_algorithm)
        for check in scanned.checks.values()
        for host in check.observation.hosts
        for probe in host.addresses
        if probe.stage is ProbeStage.DONE
    ]
    assert {kind for kind, other in asked if other is not OtherAlgorithm.NOT_ASKED} == {
        DaneApplicability.TLSA_PRESENT
    }
    assert (DaneApplicability.TLSA_PRESENT, OtherAlgorithm.NOT_ASKED) not in asked
    assert {other for _, other in asked} >= {OtherAlgorithm.NONE, OtherAlgorithm.SHOWN}


def test_two_published_certificates_are_no_finding(scanned: Pass) -> None:
    """Neither a rollover nor a dependence on the sender (case 93)."""
    assert scanned.checks[Name("case93-ok.test")].judgement.findings == ()


def test_no_mail_is_ever_begun(scanned: Pass) -> None:
    """EHLO, HELO, STARTTLS and QUIT are all we say (case 96)."""
    said = {
        command.upper().split()[0] for commands in scanned.commands.values() for command in commands
    }
    assert "STARTTLS" in said
    assert said <= {"EHLO", "HELO", "STARTTLS", "QUIT"}


def test_no_address_sees_two_connections_at_once(scanned: Pass) -> None:
    """One polite connection per mail server."""
    assert max(scanned.most_at_once.values()) == 1
