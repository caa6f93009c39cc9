"""Warnings about answers that are fine: what is worth a look although nothing is broken."""

from datetime import timedelta
from typing import Any

import dns.rrset
import pytest
from signed_replies import Signer, records, renamed, reply, rrsigs, verifier

from scanner.judge.dnssec.answer import Answer, WalkTo, validate_answer
from scanner.judge.dnssec.zone import Path, Step
from scanner.model.dnssec import ChainLink, LinkKind
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, RRType
from scanner.wire.dnsrdata import TYPE_CODES

ORG = Signer("example.")
NEW = Signer("example.", algorithm=15, slot=1)
MX = records("example.", "MX", "10 mail.example.")
SOA = records("example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
MINUTE = timedelta(minutes=1)


def lookup(
    name: str,
    rdtype: RRType,
    answer: list[dns.rrset.RRset],
    authority: list[dns.rrset.RRset] | None = None,
    **how: Any,
) -> Answer:
    """Validate one reply in the zone example, whose keys are of two algorithms if ``rolling``."""
    zone = ORG.zone(NEW) if how.pop("rolling", False) else ORG.zone()
    link = ChainLink(zone=ORG.name, kind=LinkKind.ANCHOR, status=DnssecStatus.SECURE)
    question = Question(Name(name), rdtype)
    conversation = validate_answer(question, TYPE_CODES[rdtype], verifier())
    try:
        need = next(conversation)
        while True:
            given: Any = Path(steps=(Step(link=link, zone=zone),))
            if not isinstance(need, WalkTo):
                given = reply(question, answer, authority or [], **how)
            need = conversation.send(given)
    except StopIteration as end:
        found: Answer = end.value
        return found


def warned(found: Answer) -> list[R]:
    """Return the reasons of a secure answer's findings, all of them warnings."""
    assert found.status is DnssecStatus.SECURE
    assert all(noted.state is None for noted in found.findings)
    return [noted.reason for noted in found.findings]


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        ({"begins": -MINUTE}, [R.RRSIG_CLOCK_SKEW]),
        ({"ends": MINUTE}, [R.RRSIG_CLOCK_SKEW, R.TTL_PAST_EXPIRY]),
        ({"ends": 30 * MINUTE}, [R.TTL_PAST_EXPIRY]),
        ({"ends": 61 * MINUTE}, []),
    ],
)
def test_dates_that_are_near(dates: dict[str, timedelta], told: list[R]) -> None:
    """Five minutes from a bound clocks may disagree; the TTL here is an hour."""
    assert warned(lookup("example", RRType.MX, ORG.signed(MX, **dates))) == told


def test_a_record_set_signed_by_one_of_two_algorithms() -> None:
    """RFC 6840 §5.11: a validator must not insist, a monitor may wonder."""
    found = lookup("example", RRType.MX, ORG.signed(MX), rolling=True)
    assert warned(found) == [R.RRSIG_ALG_INCOMPLETE]
    assert dict(found.findings[0].values) == {"missing_algorithms": "15 (ED25519)"}
    both = [MX, rrsigs(MX, ORG.sign(MX), NEW.sign(MX))]
    assert warned(lookup("example", RRType.MX, both, rolling=True)) == []


def test_nsec3_with_iterations() -> None:
    """RFC 9276 §3.1: they bring nothing."""
    owner = "3ig4dt6gnmqi3ve59op51bi2q2cbgj5h.example."  # not the hash: only signatures count here
    nsec3 = records(owner, "NSEC3", f"1 0 7 - {owner[:32]} A RRSIG")
    found = lookup("example", RRType.MX, [], [*ORG.signed(SOA), *ORG.signed(nsec3)])
    told = {noted.reason: noted for noted in found.findings}
    assert dict(told[R.NSEC3_ITERATIONS_NONZERO].values) == {"iterations": "7"}
    assert told[R.NSEC3_ITERATIONS_NONZERO].state is None


def test_a_denial_with_the_soa_of_another_zone() -> None:
    """The proof holds, and how long it may be kept is not known."""
    nsec = records("example.", "NSEC", "zz.example. SOA NS RRSIG NSEC DNSKEY")
    strange = records("other.test.", "SOA", "ns.example. host.example. 1 2 3 4 300")
    found = lookup("example", RRType.MX, [], [strange, *ORG.signed(nsec)])
    assert warned(found) == [R.SOA_WRONG]


def test_a_dname_from_a_wildcard() -> None:
    """RFC 6672 §3.3 leaves it undefined: BIND takes it, unbound refuses."""
    dname = records("*.example.", "DNAME", "example.")
    made = renamed(dname, "sub.example.")
    signature = rrsigs(made, ORG.sign(dname))
    closer = records("mail.example.", "NSEC", "zz.example. A RRSIG NSEC")
    target = records("host.example.", "A", "192.0.2.1")
    answer = [made, signature, *ORG.signed(target)]
    found = lookup("host.sub.example", RRType.A, answer, ORG.signed(closer))
    assert warned(found) == [R.DNAME_WILDCARD]


def test_aliases_that_lead_back() -> None:
    """However well they are signed."""
    ring = [
        records("a.example.", "CNAME", "b.example."),
        records("b.example.", "CNAME", "a.example."),
    ]
    found = lookup("a.example", RRType.A, ORG.signed(*ring))
    assert (found.status, found.reason) == (DnssecStatus.INDETERMINATE, R.ALIAS_LOOP)
