"""One question's answer: aliases, wildcards, denial; as good as its weakest part."""

from collections.abc import Callable
from datetime import timedelta

import dns.rrset
from signed_replies import NOW, Signer, records, renamed, reply, rrsigs, verifier

from scanner.judge.dnssec.answer import Answer, WalkTo, validate_answer
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.dnssec.zone import Path, Step
from scanner.model.canonical import CanonicalName, is_at_or_below
from scanner.model.dnssec import ChainLink, FetchFailure, LinkKind, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.wire.dnsrdata import TYPE_CODES

SECURE, INSECURE = DnssecStatus.SECURE, DnssecStatus.INSECURE
BOGUS, UNCLEAR = DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE
DATA, NODATA, NXDOMAIN = LookupOutcome.DATA, LookupOutcome.NODATA, LookupOutcome.NXDOMAIN
HOUR = timedelta(hours=1)

ORG = Signer("example.")
NET = Signer("other.test.", slot=1)
UNSIGNED = (b"test", b"unsigned")
SOA = records("example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
NET_SOA = records("other.test.", "SOA", "ns.example. host.example. 1 2 3 4 300")
Sections = tuple[list[dns.rrset.RRset], list[dns.rrset.RRset]]
Message = SignedMessage | FetchFailure


def path_to(name: CanonicalName) -> Path:
    """Return the path in a small world: example and other.test are signed, unsigned.test is not."""
    for signer in (ORG, NET):
        if is_at_or_below(name, signer.labels):
            link = ChainLink(zone=signer.name, kind=LinkKind.DELEGATION, status=SECURE)
            return Path(steps=(Step(link=link, zone=signer.zone()),))
    if is_at_or_below(name, UNSIGNED):
        link = ChainLink(
            zone=Name("unsigned.test"),
            kind=LinkKind.DELEGATION,
            status=INSECURE,
            reason=R.DELEGATION_UNSIGNED,
        )
        return Path(steps=(Step(link=link),))
    top = Signer("test.", slot=2)
    link = ChainLink(zone=Name("test"), kind=LinkKind.ANCHOR, status=SECURE)
    return Path(steps=(Step(link=link, zone=top.zone()),))


def ask(
    name: str,
    rdtype: RRType,
    answer: Callable[[Question], Message],
    policy: DnssecPolicy | None = None,
) -> Answer:
    """Drive the conversation about one question."""
    question = Question(Name(name), rdtype)
    conversation = validate_answer(question, TYPE_CODES[rdtype], verifier(policy))
    try:
        need = next(conversation)
        while True:
            if isinstance(need, WalkTo):
                need = conversation.send(path_to(need.name))
            else:
                need = conversation.send(answer(need))
    except StopIteration as end:
        result: Answer = end.value
        return result


def lookup(name: str, rdtype: RRType, sections: Sections, *, rcode: int = 0) -> Answer:
    """Ask, the first question being answered by these sections, and no other allowed."""

    def answer(question: Question) -> SignedMessage:
        assert question == Question(Name(name), rdtype)
        return reply(question, *sections, rcode=rcode)

    return ask(name, rdtype, answer)


def denial(*nsecs: dns.rrset.RRset, by: Signer = ORG, soa: dns.rrset.RRset = SOA) -> Sections:
    """A signed denial."""
    return [], by.signed(soa, *nsecs)


MX = records("example.", "MX", "10 mail.example.")
A = records("mail.example.", "A", "192.0.2.1")


def test_signed_records_are_secure() -> None:
    """The common case, with its TTL and zone."""
    found = lookup("example", RRType.MX, (ORG.signed(MX), []))
    assert (found.status, found.outcome, found.reason) == (SECURE, DATA, None)
    assert (found.zone, found.ttl_seconds) == ("example", 3600)
    assert [link.zone for link in found.links] == ["example"]
    assert found.findings == ()


def test_records_in_an_unsigned_zone_are_insecure() -> None:
    """The walk to the owner ends at a proven unsigned cut."""
    mx = records("unsigned.test.", "MX", "10 mail.unsigned.test.")
    found = lookup("unsigned.test", RRType.MX, ([mx], []))
    assert (found.status, found.outcome, found.reason) == (INSECURE, DATA, R.DELEGATION_UNSIGNED)
    assert found.data is not None


def test_unsigned_records_in_a_signed_zone_are_bogus() -> None:
    """Whoever strips signatures gains nothing."""
    found = lookup("example", RRType.MX, ([MX], []))
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_MISSING)


def test_a_signer_off_the_tree_is_bogus() -> None:
    """Its zone may be as secure as it likes."""
    by_other = rrsigs(MX, NET.sign(MX))
    found = lookup("example", RRType.MX, ([MX, by_other], []))
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_SIGNER_WRONG)


def test_a_signer_that_is_no_zone_is_passed_over() -> None:
    """A second signature by a name that is no zone takes nothing from the first."""
    fake = ORG.sign(A, signer=A.name)
    found = lookup("mail.example", RRType.A, ([A, rrsigs(A, fake, ORG.sign(A))], []))
    assert found.status is SECURE
    alone = lookup("mail.example", RRType.A, ([A, rrsigs(A, fake)], []))
    assert (alone.status, alone.reason) == (BOGUS, R.RRSIG_SIGNER_WRONG)


def test_unsigned_additions_harm_nothing() -> None:
    """NS in authority is not looked at."""
    ns = records("example.", "NS", "ns.elsewhere.test.")
    assert lookup("example", RRType.MX, (ORG.signed(MX), [ns])).status is SECURE


# --- denial ----------------------------------------------------------------------------------

APEX = records("example.", "NSEC", "mail.example. SOA NS MX RRSIG NSEC DNSKEY")
MAIL = records("mail.example.", "NSEC", "example. A RRSIG NSEC")


def test_no_such_type_is_secure_with_proof() -> None:
    """NODATA, kept for the SOA's minimum."""
    found = lookup("mail.example", RRType.TLSA, denial(MAIL))
    assert (found.status, found.outcome, found.ttl_seconds) == (SECURE, NODATA, 300)


def test_no_such_name_is_secure_with_proof() -> None:
    """NXDOMAIN: the name and the wildcard."""
    found = lookup("a.example", RRType.MX, denial(APEX), rcode=3)
    assert (found.status, found.outcome) == (SECURE, NXDOMAIN)


def test_the_proof_decides_and_not_the_rcode() -> None:
    """The RCODE is not signed."""
    found = lookup("a.example", RRType.MX, denial(APEX), rcode=0)
    assert (found.status, found.outcome) == (SECURE, NXDOMAIN)
    found = lookup("mail.example", RRType.TLSA, denial(MAIL), rcode=3)
    assert (found.status, found.outcome) == (SECURE, NODATA)


def test_a_denial_without_proof_is_bogus() -> None:
    """An SOA proves nothing."""
    found = lookup("mail.example", RRType.TLSA, denial())
    assert (found.status, found.reason) == (BOGUS, R.DENIAL_MISSING)
    found = lookup("mail.example", RRType.TLSA, ([], []))
    assert (found.status, found.reason) == (BOGUS, R.DENIAL_MISSING)


def test_a_proof_that_has_the_type_is_bogus() -> None:
    """It says the opposite."""
    found = lookup("mail.example", RRType.A, denial(MAIL))
    assert (found.status, found.reason) == (BOGUS, R.TYPE_PRESENT)


def test_an_unsigned_or_expired_proof_names_its_signature() -> None:
    """More telling than "not covered"."""
    found = lookup("mail.example", RRType.TLSA, ([], [*ORG.signed(SOA), MAIL]))
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_MISSING)
    late = ORG.signed(MAIL, begins=-2 * HOUR, ends=-HOUR)
    found = lookup("mail.example", RRType.TLSA, ([], [*ORG.signed(SOA), *late]))
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_EXPIRED)


def test_a_broken_soa_beside_a_good_proof_is_bogus() -> None:
    """As for unbound and BIND."""
    late = ORG.signed(SOA, begins=-2 * HOUR, ends=-HOUR)
    found = lookup("mail.example", RRType.TLSA, ([], [*late, *ORG.signed(MAIL)]))
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_EXPIRED)


def test_a_proof_without_soa_holds_but_is_not_kept() -> None:
    """Unbound takes it, and so do we."""
    found = lookup("mail.example", RRType.TLSA, ([], ORG.signed(MAIL)))
    assert found.status is SECURE
    assert R.SOA_MISSING in [noted.reason for noted in found.findings]


def test_a_denial_in_an_unsigned_zone_is_insecure() -> None:
    """With the RCODE for all we know."""
    soa = records("unsigned.test.", "SOA", "ns.example. host.example. 1 2 3 4 300")
    for rcode, outcome in ((0, NODATA), (3, NXDOMAIN)):
        found = lookup("x.unsigned.test", RRType.MX, ([], [soa]), rcode=rcode)
        assert (found.status, found.outcome) == (INSECURE, outcome)


def test_a_referral_is_no_denial() -> None:
    """From a server that is no resolver."""
    ns = records("unsigned.test.", "NS", "ns.unsigned.test.")
    found = lookup("x.unsigned.test", RRType.MX, ([], [ns]))
    assert found.outcome is LookupOutcome.MALFORMED


def test_the_hash_bound_is_a_limit_and_no_fault() -> None:
    """NSEC3 work beyond the bound: unclear (CVE-2023-50868)."""
    nsec3 = records("0" * 32 + ".example.", "NSEC3", "1 0 5 - " + "v" * 32 + " A RRSIG")

    def answer(question: Question) -> SignedMessage:
        return reply(question, *denial(nsec3), rcode=3)

    policy = DnssecPolicy(max_nsec3_hashes=1)
    found = ask("a.b.c.example", RRType.MX, answer, policy)
    assert (found.status, found.reason) == (UNCLEAR, R.WORK_LIMIT)


# --- wildcards -------------------------------------------------------------------------------

WILD = records("*.example.", "MX", "10 mail.example.")
EXPANDED = renamed(WILD, "a.example.")


def expanded(*authority: dns.rrset.RRset) -> Sections:
    """An answer made from the wildcard."""
    return [EXPANDED, rrsigs(EXPANDED, ORG.sign(WILD))], list(authority)


def test_an_expanded_wildcard_needs_the_proof_that_it_was_right() -> None:
    """RFC 4035 §5.3.4."""
    cover = records("*.example.", "NSEC", "mail.example. MX RRSIG NSEC")
    good = lookup("a.example", RRType.MX, expanded(*ORG.signed(cover)))
    assert (good.status, good.outcome) == (SECURE, DATA)
    bare = lookup("a.example", RRType.MX, expanded())
    assert (bare.status, bare.reason) == (BOGUS, R.DENIAL_MISSING)
    elsewhere = records("mail.example.", "NSEC", "z.example. A RRSIG NSEC")
    wrong = lookup("a.example", RRType.MX, expanded(*ORG.signed(elsewhere)))
    assert (wrong.status, wrong.reason) == (BOGUS, R.NAME_NOT_COVERED)


# --- aliases ---------------------------------------------------------------------------------

ALIAS = records("www.example.", "CNAME", "host.other.test.")
HOST = records("host.other.test.", "A", "192.0.2.2")
OUT = records("www.example.", "CNAME", "host.unsigned.test.")
LOOSE = records("host.unsigned.test.", "A", "192.0.2.3")


def test_an_alias_over_two_signed_zones_is_secure() -> None:
    """Each link by its own zone."""
    found = lookup("www.example", RRType.A, ([*ORG.signed(ALIAS), *NET.signed(HOST)], []))
    assert (found.status, found.outcome) == (SECURE, DATA)
    assert [(hop.target, hop.status) for hop in found.aliases] == [("host.other.test", SECURE)]
    assert [link.zone for link in found.links] == ["example", "other.test"]


def test_an_alias_is_as_good_as_its_weakest_link() -> None:
    """Secure to insecure is insecure; each link says what it is worth."""
    found = lookup("www.example", RRType.A, ([*ORG.signed(OUT), LOOSE], []))
    assert (found.status, found.reason) == (INSECURE, R.DELEGATION_UNSIGNED)
    assert [hop.status for hop in found.aliases] == [SECURE]


def test_a_resolver_that_stops_at_the_alias_is_asked_again() -> None:
    """Case 18."""

    def answer(question: Question) -> SignedMessage:
        if question.name == "www.example":
            return reply(question, ORG.signed(ALIAS))
        return reply(question, NET.signed(HOST))

    assert ask("www.example", RRType.A, answer).status is SECURE


def test_an_alias_target_that_cannot_be_had_leaves_it_open() -> None:
    """With the failure, and the alias so far."""

    def answer(question: Question) -> Message:
        if question.name == "www.example":
            return reply(question, ORG.signed(ALIAS))
        return FetchFailure(
            question=question, reason=R.UPSTREAM_SERVFAIL, outcome=LookupOutcome.SERVFAIL
        )

    found = ask("www.example", RRType.A, answer)
    assert (found.status, found.outcome) == (UNCLEAR, LookupOutcome.SERVFAIL)
    assert found.failure is not None
    assert len(found.aliases) == 1


def test_the_end_of_an_alias_is_denied_by_its_own_zone() -> None:
    """NODATA after an alias."""
    nsec = records("host.other.test.", "NSEC", "z.other.test. A RRSIG NSEC")
    sections = (ORG.signed(ALIAS), NET.signed(NET_SOA, nsec))
    found = lookup("www.example", RRType.TLSA, sections)
    assert (found.status, found.outcome) == (SECURE, NODATA)


def test_an_unsigned_alias_in_a_signed_zone_is_bogus() -> None:
    """And is not followed."""
    found = lookup("www.example", RRType.A, ([ALIAS, *NET.signed(HOST)], []))
    assert (found.status, found.reason) == (BOGUS, R.ALIAS_UNSIGNED)
    assert found.data is None


def test_aliases_that_lead_back_or_fork_are_loops() -> None:
    """Bounded in every way."""
    one = records("a.example.", "CNAME", "b.example.")
    two = records("b.example.", "CNAME", "a.example.")
    found = lookup("a.example", RRType.A, (ORG.signed(one, two), []))
    assert found.outcome is LookupOutcome.LOOP
    other = records("a.example.", "CNAME", "c.example.")
    found = lookup("a.example", RRType.A, ([*ORG.signed(one), other], []))
    assert found.outcome is LookupOutcome.LOOP


def test_too_many_aliases_end_the_chain() -> None:
    """Seventeen."""
    chain = [records(f"n{i}.example.", "CNAME", f"n{i + 1}.example.") for i in range(20)]
    found = lookup("n0.example", RRType.A, (ORG.signed(*chain), []))
    assert found.outcome is LookupOutcome.LOOP
    assert R.ALIAS_TOO_LONG in [noted.reason for noted in found.findings]


DNAME = records("sub.example.", "DNAME", "other.test.")
MADE = records("host.sub.example.", "CNAME", "host.other.test.")


def test_a_dname_vouches_for_the_alias_it_makes() -> None:
    """The CNAME beside it is not signed (RFC 6672 §5.3.1), and may even be missing."""
    for alias in ([MADE], []):
        answer = [*ORG.signed(DNAME), *alias, *NET.signed(HOST)]
        found = lookup("host.sub.example", RRType.A, (answer, []))
        assert (found.status, found.outcome) == (SECURE, DATA)
        assert [hop.target for hop in found.aliases] == ["host.other.test"]


def test_an_alias_that_its_dname_does_not_make_is_bogus() -> None:
    """Exact substitution."""
    forged = records("host.sub.example.", "CNAME", "evil.other.test.")
    found = lookup("host.sub.example", RRType.A, ([*ORG.signed(DNAME), forged], []))
    assert (found.status, found.reason) == (BOGUS, R.DNAME_MISMATCH)


def test_a_question_for_the_alias_that_a_dname_makes() -> None:
    """The same proof when CNAME is what was asked for."""
    found = lookup("host.sub.example", RRType.CNAME, ([*ORG.signed(DNAME), MADE], []))
    assert (found.status, found.outcome) == (SECURE, DATA)


def test_an_unsigned_dname_vouches_for_nothing() -> None:
    """In a signed zone."""
    found = lookup("host.sub.example", RRType.A, ([DNAME, MADE, *NET.signed(HOST)], []))
    assert found.status is BOGUS


def test_a_question_that_nobody_answers_leaves_it_open() -> None:
    """And says whose fault it was."""

    def answer(question: Question) -> FetchFailure:
        return FetchFailure(
            question=question,
            reason=R.UPSTREAM_TIMEOUT,
            outcome=LookupOutcome.TIMEOUT,
            own_fault="no route",
        )

    found = ask("example", RRType.MX, answer)
    assert (found.status, found.outcome) == (UNCLEAR, LookupOutcome.TIMEOUT)
    assert (found.reason, found.own_fault) == (R.UPSTREAM_TIMEOUT, "no route")


def test_expiry_of_all_signatures_is_kept() -> None:
    """For whoever wants to warn in time."""
    found = lookup("example", RRType.MX, (ORG.signed(MX, ends=HOUR), []))
    ends = [check.expiration for rrset in found.rrsets for check in rrset.signatures]
    assert ends == [NOW + HOUR]


# --- two versions of one zone, and zones their parents do not know of ----------------------------


def test_data_beside_a_proof_of_none_is_a_contradiction() -> None:
    """Good data stay good; that a valid proof denies them is told."""
    nsec = records("example.", "NSEC", "zz.example. SOA NS RRSIG NSEC DNSKEY")
    found = lookup("mail.example", RRType.A, (ORG.signed(A), ORG.signed(nsec)))
    assert found.status is SECURE
    assert [noted.reason for noted in found.findings] == [R.DENIAL_CONTRADICTS]
    without = records("mail.example.", "NSEC", "zz.example. TXT RRSIG NSEC")
    found = lookup("mail.example", RRType.A, (ORG.signed(A), ORG.signed(without)))
    assert [noted.reason for noted in found.findings] == [R.DENIAL_CONTRADICTS]


def test_a_proof_beside_data_that_does_not_touch_them_is_no_contradiction() -> None:
    """Nor is one that does not hold."""
    other = records("a.example.", "NSEC", "b.example. A RRSIG NSEC")
    own = records("mail.example.", "NSEC", "zz.example. A RRSIG NSEC")
    unsigned = records("example.", "NSEC", "zz.example. SOA NS RRSIG NSEC DNSKEY")
    for authority in (ORG.signed(other), ORG.signed(own), [unsigned]):
        found = lookup("mail.example", RRType.A, (ORG.signed(A), authority))
        assert (found.status, found.findings) == (SECURE, ())


def _ask_below(reply_to: Sections, *, absent: bool, rcode: int = 0) -> Answer:
    """Ask for ``mail.example A`` where the walk has passed ``sub.example`` as no zone cut."""
    cut = ChainLink(
        zone=Name("sub.example"),
        kind=LinkKind.NO_CUT,
        status=SECURE,
        parent=ORG.name,
        absent=absent,
    )
    top = ChainLink(zone=ORG.name, kind=LinkKind.DELEGATION, status=SECURE)
    steps = (Step(link=top, zone=ORG.zone()), Step(link=cut, zone=ORG.zone()))
    question = Question(Name("mail.sub.example"), RRType.A)
    conversation = validate_answer(question, TYPE_CODES[RRType.A], verifier())
    try:
        need = next(conversation)
        while True:
            if isinstance(need, WalkTo):
                need = conversation.send(Path(steps=steps[: len(need.name)]))
            else:
                need = conversation.send(reply(question, *reply_to, rcode=rcode))
    except StopIteration as end:
        result: Answer = end.value
        return result


HIDDEN = Signer("sub.example.", slot=3)
HIDDEN_A = records("mail.sub.example.", "A", "192.0.2.1")
HIDDEN_NS = records("sub.example.", "NS", "ns.sub.example.")
HIDDEN_SOA = records("sub.example.", "SOA", "ns.example. host.example. 1 2 3 4 300")


def test_data_of_a_zone_that_the_parent_does_not_know_name_the_parent() -> None:
    """The missing or strange signature is the consequence, and told second."""
    found = _ask_below((HIDDEN.signed(HIDDEN_A), []), absent=True)
    assert (found.status, found.reason) == (BOGUS, R.PARENT_WITHOUT_NS)
    assert found.findings[0].reason is R.PARENT_WITHOUT_NS
    assert (found.findings[0].zone, found.findings[0].owner) == ("example", "sub.example")
    assert R.RRSIG_SIGNER_WRONG in {noted.reason for noted in found.findings}
    plain = _ask_below(([HIDDEN_A], [HIDDEN_NS]), absent=True)
    assert (plain.status, plain.reason) == (BOGUS, R.PARENT_WITHOUT_NS)


def test_a_name_without_the_ns_bit_with_a_zone_below_it_names_the_bit() -> None:
    """RFC 6840 §4.4."""
    found = _ask_below(([HIDDEN_A], [HIDDEN_NS]), absent=False)
    assert (found.status, found.reason) == (BOGUS, R.DS_NS_BIT_MISSING)
    denied = _ask_below(([], [HIDDEN_SOA]), absent=False)
    assert (denied.status, denied.reason) == (BOGUS, R.DS_NS_BIT_MISSING)


def test_a_strange_signer_alone_makes_no_zone() -> None:
    """A name that exists is no zone because somebody signs in its name."""
    found = _ask_below((HIDDEN.signed(HIDDEN_A), []), absent=False)
    assert (found.status, found.reason) == (BOGUS, R.RRSIG_SIGNER_WRONG)
