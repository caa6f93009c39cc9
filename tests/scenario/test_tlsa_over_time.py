"""A change of keys at a mail server of the laboratory, as the service sees it look by look."""

from datetime import UTC, datetime, timedelta

import pytest

from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import WRONG_TLSA, NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import Fault, LabDomain, RecordFault
from scanner.model.names import Name, tlsa_owner
from scanner.model.ports import Target
from scanner.model.reasons import Reason
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict, Profile
from scanner.observe.dnsserver import ServerAddress
from scanner.run.ledger import Ledger, MonitorPolicy
from scanner.transition.tlsamemory import annotated

pytestmark = pytest.mark.scenario

BANK = Name("bank.test")


async def look(lab: Lab) -> Check:
    """Check by a scanner that remembers nothing."""
    host, port = lab.resolver
    settings = Settings(
        resolvers=(ServerAddress(host, port),),
        anchors=read_anchors(lab.trust_anchor),
        smtp_port=lab.smtp_port,
        allow_private_addresses=True,
    )
    async with open_scanner(settings) as scanner:
        return await scanner.check(BANK)


def taken(ledger: Ledger, check: Check) -> dict[Reason, set[str]]:
    """Take ``check`` in; return what is said of whom over time."""
    policy = MonitorPolicy(run_id="run")
    result = ledger.digest(Target(domain=BANK), check, policy)
    at = check.observation.observed_at + timedelta(seconds=1)
    ledger.accept(check, result, now=at, planned=None, policy=policy)
    said: dict[Reason, set[str]] = {}
    for finding in annotated(check, result.notes).judgement.findings:
        if finding in result.notes:
            said.setdefault(finding.code, set()).add(finding.where)
    return said


def published(domain: LabDomain, texts: dict[Name, tuple[str, ...]]) -> list[Fault]:
    return [
        RecordFault(
            zone=host.zone, owner=tlsa_owner(host.host), rdtype="TLSA", texts=texts[host.host]
        )
        for host in domain.hosts
    ]


def fitting(check: Check) -> dict[Name, str]:
    """The 3 1 1 record that each host of ``check`` would need."""
    return {
        one.host: next(text for text in one.expected_records if text.startswith("3 1 1"))
        for one in check.judgement.hosts
    }


async def test_a_next_record_is_named_and_a_sudden_change_of_keys_warned_of() -> None:
    """The mail goes through all the time from here; from a cache it would not."""
    async with open_lab(demo_plan(datetime.now(UTC).replace(microsecond=0))) as lab:
        domain, ledger = lab.domains[BANK], Ledger()
        before = await look(lab)
        hosts = {str(host.host) for host in domain.hosts}
        assert taken(ledger, before) == {}
        current = fitting(before)
        both = {host: (text, WRONG_TLSA) for host, text in current.items()}
        lab.set_fault(BANK, *published(domain, both))
        assert taken(ledger, await look(lab)) == {Reason.TLSA_ROLLOVER: hosts}
        replaced = lab.break_domain(BANK, NamedFault.CERTIFICATE_REPLACED).faults
        new = {host: (text,) for host, text in fitting(await look(lab)).items()}
        lab.set_fault(BANK, *replaced, *published(domain, new))
        after = await look(lab)
        verdict = after.judgement.of(Profile.EXCHANGE_ONLINE).verdict
        assert verdict is DomainVerdict.PROTECTED
        assert taken(ledger, after) == {Reason.TLSA_PUBLISHED_LATE: hosts}
        assert taken(ledger, await look(lab)) == {}
