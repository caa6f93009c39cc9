"""The lab's resolver against a small validator of our own, and the flags it sets.

Every question a scanner may ask about any domain of the catalogue is asked twice: as a stub client
and with CD=1. What the lab claims by AD and SERVFAIL must be what a validator concludes from the
records it hands out.
"""

from datetime import UTC, datetime

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from dns.rdatatype import RdataType
from reference_validator import BOGUS, INSECURE, SECURE, ReferenceValidator

from scanner.lab.builder import UNSIGNED, Builder
from scanner.lab.catalogue import scenario_plan
from scanner.lab.plan import (
    SERVER_FAULTS,
    Denial,
    DnsFault,
    DnsFaultKind,
    LabDomain,
    LabPlan,
    RecordFault,
)
from scanner.lab.responder import UDP_PAYLOAD, ResolverMode, Responder
from scanner.lab.universe import Universe
from scanner.model.names import Name, tlsa_owner

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MALFORMED_TLSA = {"T29", "T30", "CASE55", "CASE59"}  # dnspython cannot read these records

Question = tuple[str, str]


class Client:
    """Asks a responder in memory."""

    def __init__(self, plan: LabPlan) -> None:
        self.universe = Universe(plan.zones, plan.now)
        self.responder = Responder(self.universe)
        self.universe.set_faults([fault for item in plan.domains for fault in item.faults])

    def ask(
        self,
        name: str,
        rdtype: str,
        *,
        flags: int = dns.flags.RD,
        dnssec: bool = True,
        edns: bool = True,
        tcp: bool = True,
    ) -> dns.message.Message | None:
        """Return the reply; None if there is none."""
        query = dns.message.make_query(f"{name}." if name != "." else ".", rdtype)
        query.flags = flags
        if edns:
            query.use_edns(0, dns.flags.DO if dnssec else 0, UDP_PAYLOAD)
        wire = self.responder.respond(query.to_wire(), tcp=tcp)
        return None if wire is None else dns.message.from_wire(wire)

    def validator(self) -> ReferenceValidator:
        """Return a validator that trusts this lab's root."""
        anchor = dns.rrset.from_rdata(dns.name.root, 0, self.universe.anchor())
        return ReferenceValidator(self._ask_unchecked, anchor, NOW.timestamp())

    def _ask_unchecked(self, name: dns.name.Name, rdtype: RdataType) -> dns.message.Message:
        text = name.to_text(omit_final_dot=True) or "."
        reply = self.ask(text, rdtype.name, flags=dns.flags.RD | dns.flags.CD)
        assert reply is not None
        return reply


@pytest.fixture(scope="module")
def client() -> Client:
    """A client of the lab of all scenarios."""
    return Client(scenario_plan(NOW))


@pytest.fixture(scope="module")
def validator(client: Client) -> ReferenceValidator:
    """A validator that trusts the root of that lab and remembers what it has proven."""
    return client.validator()


def shown_status(reply: dns.message.Message) -> str:
    """Return the status a stub client concludes from AD and SERVFAIL."""
    if reply.rcode() == dns.rcode.SERVFAIL:
        return BOGUS
    return SECURE if reply.flags & dns.flags.AD else INSECURE


def questions_of(domain: LabDomain) -> list[Question]:
    """Return what a scanner may ask about a domain, less what a server fault leaves unanswered."""
    asked: list[Question] = [(domain.name, "MX"), (domain.name, "DS"), (domain.name, "TXT")]
    for host in domain.hosts:
        asked += [(host.host, rdtype) for rdtype in ("A", "AAAA", "CNAME")]
        if domain.label not in MALFORMED_TLSA:
            asked.append((tlsa_owner(host.host), "TLSA"))
        asked.append((f"no-such-name.{host.host}", "A"))
    return [question for question in asked if not _is_failing(domain, question)]


def _is_failing(domain: LabDomain, question: Question) -> bool:
    return any(
        isinstance(fault, DnsFault)
        and fault.kind in SERVER_FAULTS
        and fault.owner in (None, question[0])
        and fault.rdtype in (None, question[1])
        for fault in domain.faults
    )


def all_domains() -> list[LabDomain]:
    """Return every domain of the catalogue but those with an endless alias, which only SERVFAIL."""
    plan = scenario_plan(NOW)
    return [item for item in plan.domains if "loop" not in item.title]


@pytest.mark.parametrize("domain", all_domains(), ids=lambda domain: domain.name)
def test_a_validator_agrees_with_every_answer(
    client: Client, validator: ReferenceValidator, domain: LabDomain
) -> None:
    """AD and SERVFAIL say what the records with CD=1 prove, for every domain of the catalogue."""
    for name, rdtype in questions_of(domain):
        reply = client.ask(name, rdtype)
        assert reply is not None
        proven = validator.status(dns.name.from_text(name), RdataType[rdtype])
        assert (name, rdtype, shown_status(reply)) == (name, rdtype, proven)


@pytest.mark.parametrize(
    ("name", "rdtype", "code"),
    [
        ("_25._tcp.mx1.t10.test", "TLSA", dns.edns.EDECode.SIGNATURE_EXPIRED),
        ("t13-future.test", "MX", dns.edns.EDECode.SIGNATURE_NOT_YET_VALID),
        ("t13.test", "MX", dns.edns.EDECode.DNSKEY_MISSING),
        ("case3-dnskey-missing.test", "MX", dns.edns.EDECode.DNSKEY_MISSING),
        ("case3-signature-missing.test", "MX", dns.edns.EDECode.RRSIGS_MISSING),
        ("case3-signature-corrupt.test", "MX", dns.edns.EDECode.DNSSEC_BOGUS),
        ("_25._tcp.mx1.t12.test", "TLSA", dns.edns.EDECode.NSEC_MISSING),
        ("t14.test", "MX", dns.edns.EDECode.NO_REACHABLE_AUTHORITY),
    ],
)
def test_servfail_says_why(client: Client, name: str, rdtype: str, code: int) -> None:
    """A failure carries the extended error a validating resolver gives (RFC 8914 §4)."""
    reply = client.ask(name, rdtype)
    assert reply is not None
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert not reply.answer
    assert code in [option.code for option in reply.extended_errors()]


def test_checking_disabled_shows_bogus_data(client: Client) -> None:
    """CD=1 gets the records with their broken signature, CD echoed and AD clear."""
    reply = client.ask("_25._tcp.mx1.t10.test", "TLSA", flags=dns.flags.RD | dns.flags.CD)
    assert reply is not None
    assert reply.rcode() == dns.rcode.NOERROR
    assert {rrset.rdtype for rrset in reply.answer} == {RdataType.TLSA, RdataType.RRSIG}
    assert reply.flags & dns.flags.CD
    assert not reply.flags & dns.flags.AD
    assert not reply.extended_errors()


def test_checking_disabled_does_not_mend_a_dead_server(client: Client) -> None:
    """A server fault is SERVFAIL with CD=1 too: that is how it differs from bogus."""
    reply = client.ask("_25._tcp.mx1.t08.test", "TLSA", flags=dns.flags.RD | dns.flags.CD)
    assert reply is not None
    assert reply.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("flags", "dnssec", "expected"),
    [
        (dns.flags.RD, True, True),
        (dns.flags.RD | dns.flags.AD, False, True),
        (dns.flags.RD, False, False),
        (dns.flags.RD | dns.flags.CD, True, False),
        (0, True, False),
    ],
)
def test_ad_needs_interest_and_validation(
    client: Client, flags: int, dnssec: bool, expected: bool
) -> None:
    """AD only to those who ask by AD or DO, never with CD=1 or RD=0 (RFC 6840 §5.7, §5.8)."""
    reply = client.ask("t01.test", "MX", flags=flags, dnssec=dnssec)
    assert reply is not None
    assert bool(reply.flags & dns.flags.AD) is expected


def test_signatures_only_for_those_who_ask(client: Client) -> None:
    """Without DO there are no RRSIG, NSEC or NSEC3 records (RFC 4035 §3.2.1)."""
    for name in ("t01.test", "t18.test", "nsec3-absent.test"):
        reply = client.ask(name, "AAAA", dnssec=False)
        assert reply is not None
        shown = {rrset.rdtype for rrset in (*reply.answer, *reply.authority)}
        assert shown <= {RdataType.SOA}


def test_the_authority_of_one_zone_answers_without_recursion(client: Client) -> None:
    """RD=0: AA set, an alias is not followed, bogus data are shown."""
    reply = client.ask("t24.test", "MX", flags=0)
    assert reply is not None
    assert reply.flags & dns.flags.AA
    kinds = {item.rdtype for item in reply.answer} - {RdataType.RRSIG}
    assert kinds == {RdataType.CNAME}
    bogus = client.ask("t13.test", "MX", flags=0)
    assert bogus is not None
    assert bogus.answer


def test_a_large_answer_is_truncated_over_udp_only(client: Client) -> None:
    """Over 1232 octets: TC and no records by UDP, everything by TCP."""
    small = client.ask("_25._tcp.mx1.case45.test", "TLSA", tcp=False)
    large = client.ask("_25._tcp.mx1.case45.test", "TLSA", tcp=True)
    assert small is not None
    assert large is not None
    assert small.flags & dns.flags.TC
    assert not small.answer
    assert not large.flags & dns.flags.TC
    planned = [item for item in large.answer if item.rdtype == RdataType.TLSA]
    assert len(planned[0]) == 601


def test_without_edns_the_limit_is_512(client: Client) -> None:
    """A plain query gets no OPT record, and truncation at 512 octets (RFC 1035 §4.2.1)."""
    reply = client.ask("_25._tcp.mx1.t33.test", "TLSA", edns=False, tcp=False)
    assert reply is not None
    assert reply.edns < 0
    assert reply.flags & dns.flags.TC


def test_dropped_questions_get_no_reply_and_are_counted(client: Client) -> None:
    """The log counts what was asked, answered or not."""
    before = client.responder.log.count(Name("_25._tcp.mx1.t09.test"), "TLSA")
    assert client.ask("_25._tcp.mx1.t09.test", "TLSA") is None
    after = client.responder.log.count(Name("_25._tcp.mx1.t09.test"), "TLSA")
    assert after == before + 1


@pytest.mark.parametrize("junk", [b"", b"\x00" * 11, b"\xff" * 40, b"\x00" * 12])
def test_junk_gets_no_reply(client: Client, junk: bytes) -> None:
    """What is no query is ignored."""
    assert client.responder.respond(junk, tcp=False) is None


def test_a_malformed_reply_answers_the_question_and_cannot_be_parsed(client: Client) -> None:
    """The fault ``malformed`` echoes id and question, then points at itself."""
    query = dns.message.make_query("case3-malformed.test.", "MX", want_dnssec=True)
    wire = client.responder.respond(query.to_wire(), tcp=False)
    assert wire is not None
    assert wire[:2] == query.to_wire()[:2]
    with pytest.raises(dns.name.BadPointer):
        dns.message.from_wire(wire)


def modes_client() -> Client:
    """A client of its own, because modes change the whole resolver."""
    builder = Builder(NOW)
    builder.domain("a", "good").host()
    return Client(builder.plan())


def test_modes_of_the_whole_resolver() -> None:
    """Non-validating sets no AD and shows bogus data, stripping hides signatures, down is dead."""
    client = modes_client()
    client.responder.set_mode(ResolverMode.NON_VALIDATING)
    good = client.ask("a.test", "MX")
    bogus = client.ask("bogus.control.test", "A")
    assert good is not None
    assert bogus is not None
    assert not good.flags & dns.flags.AD
    assert len(good.answer) == 2
    assert bogus.rcode() == dns.rcode.NOERROR
    assert bogus.answer
    client.responder.set_mode(ResolverMode.STRIPPING)
    stripped = client.ask("a.test", "MX")
    assert stripped is not None
    assert [item.rdtype for item in stripped.answer] == [RdataType.MX]
    client.responder.set_mode(ResolverMode.SERVFAIL)
    failed = client.ask("a.test", "MX")
    assert failed is not None
    assert failed.rcode() == dns.rcode.SERVFAIL
    client.responder.set_mode(ResolverMode.DOWN)
    assert client.ask("a.test", "MX") is None
    client.responder.set_mode(ResolverMode.VALIDATING)
    again = client.ask("a.test", "MX")
    assert again is not None
    assert again.flags & dns.flags.AD


def faulty_client(fault: DnsFault | RecordFault | None, **zone: object) -> Client:
    """A client of a lab with one domain ``a.test`` and one fault."""
    builder = Builder(NOW)
    builder.domain("a", "the domain", **zone).host()
    client = Client(builder.plan())
    client.universe.set_faults([fault] if fault else [])
    return client


A = Name("a.test")
TLSA = Name("_25._tcp.mx1.a.test")


@pytest.mark.parametrize("denial", list(Denial))
@pytest.mark.parametrize(
    ("fault", "mx", "tlsa"),
    [
        (None, SECURE, SECURE),
        (DnsFault(zone=A, kind=DnsFaultKind.SIGNATURE_EXPIRED), BOGUS, BOGUS),
        (DnsFault(zone=A, kind=DnsFaultKind.SIGNATURE_MISSING), BOGUS, BOGUS),
        (DnsFault(zone=A, kind=DnsFaultKind.DS_MISMATCH), BOGUS, BOGUS),
        (DnsFault(zone=A, kind=DnsFaultKind.SIGNATURE_CORRUPT, rdtype="TLSA"), SECURE, BOGUS),
        (RecordFault(zone=A, owner=TLSA, rdtype="TLSA"), SECURE, SECURE),
        (RecordFault(zone=A, owner=A, rdtype="MX"), SECURE, SECURE),
    ],
)
def test_faults_switched_while_running(
    denial: Denial, fault: DnsFault | RecordFault | None, mx: str, tlsa: str
) -> None:
    """A fault changes what is shown and what a validator proves alike; clearing it mends both."""
    client = faulty_client(None, denial=denial)
    for active, wanted in (((fault,), (mx, tlsa)), ((), (SECURE, SECURE))):
        client.universe.set_faults([item for item in active if item is not None])
        client.responder.clear_cache()
        for name, rdtype, expected in ((A, "MX", wanted[0]), (TLSA, "TLSA", wanted[1])):
            reply = client.ask(name, rdtype)
            assert reply is not None
            proven = client.validator().status(dns.name.from_text(name), RdataType[rdtype])
            opted_out = denial is Denial.NSEC3_OPT_OUT and reply.rcode() == dns.rcode.NXDOMAIN
            assert shown_status(reply) == (INSECURE if opted_out else expected)
            assert proven == shown_status(reply)


def test_faults_of_an_unsigned_zone_are_not_bogus() -> None:
    """What nobody signed cannot be bogus (RFC 4035 §4.3)."""
    fault = DnsFault(zone=A, kind=DnsFaultKind.SIGNATURE_EXPIRED)
    reply = faulty_client(fault, **UNSIGNED).ask(A, "MX")
    assert reply is not None
    assert shown_status(reply) == INSECURE


def test_a_broken_parent_breaks_its_children() -> None:
    """A DS whose signature has expired takes the child with it."""
    fault = DnsFault(zone=Name("test"), kind=DnsFaultKind.SIGNATURE_EXPIRED, owner=A, rdtype="DS")
    client = faulty_client(fault)
    reply = client.ask(A, "MX")
    assert reply is not None
    assert shown_status(reply) == BOGUS
    assert client.validator().status(dns.name.from_text(A), RdataType.MX) == BOGUS


def test_control_names_are_what_they_say(client: Client) -> None:
    """There is a known name of each status, for a scanner's self-test."""
    statuses = {}
    for kind in (SECURE, INSECURE, BOGUS):
        reply = client.ask(f"{kind}.control.test", "A")
        assert reply is not None
        statuses[kind] = shown_status(reply)
    assert statuses == {SECURE: SECURE, INSECURE: INSECURE, BOGUS: BOGUS}
