"""Edge cases of the DNS kind, by their number in the list of edge cases: ``case17`` and so on.

Where a case has several shapes each is a domain of its own. As in the scenarios, the expectation is
the lab's own reading of the rules.
"""

from scanner.lab.builder import TOP, TOP_OPT_OUT, UNSIGNED, Builder
from scanner.lab.ca import LeafSpec, for_host, tlsa_text
from scanner.lab.plan import Algorithm, Behaviour, Denial, DnsFaultKind, DsKind
from scanner.model.names import Name, tlsa_owner
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

PROTECTED = DomainVerdict.PROTECTED
OPPORTUNISTIC = DomainVerdict.OPPORTUNISTIC
DEGRADED = DomainVerdict.DEGRADED
DEFERRED = DomainVerdict.DEFERRED
BLOCKED = DomainVerdict.BLOCKED
NO_MAIL = DomainVerdict.NO_MAIL


def case3(b: Builder) -> None:
    """Every way in which the MX answer can be bogus."""
    for kind in (
        DnsFaultKind.SIGNATURE_EXPIRED,
        DnsFaultKind.SIGNATURE_NOT_YET_VALID,
        DnsFaultKind.SIGNATURE_MISSING,
        DnsFaultKind.SIGNATURE_CORRUPT,
        DnsFaultKind.SIGNER_WRONG,
    ):
        d = b.domain(f"case3-{kind}", f"MX RRset with {kind}")
        d.host()
        d.fault(kind, d.name, "MX")
        d.expect(BLOCKED, code="4.4.312", cause="4.7.324")
    d = b.domain("case3-dnskey-missing", "DS in the parent, no DNSKEY in the zone")
    d.host()
    d.fault(DnsFaultKind.DNSKEY_MISSING)
    d.expect(BLOCKED, code="4.4.312", cause="4.7.324")
    for kind in (DnsFaultKind.REFUSED, DnsFaultKind.NOTIMP, DnsFaultKind.MALFORMED):
        d = b.domain(f"case3-{kind}", f"MX question answered {kind}")
        d.host()
        d.fault(kind, d.name, "MX")
        d.expect(DEFERRED, code="4.4.312")


def case5(b: Builder) -> None:
    """Implicit MX without DNSSEC: no TLSA question."""
    d = b.domain("case5", "unsigned, no MX, an address", **UNSIGNED)
    host = d.host("", mx=False, tlsa=())
    d.knows(d.name, 0)
    d.never_ask(host.tlsa)
    d.expect(OPPORTUNISTIC)


def case6(b: Builder) -> None:
    """A domain securely without MX and without addresses."""
    d = b.domain("case6", "securely neither MX nor address")
    d.zone.add(d.name, "TXT", '"no mail here"')
    d.never_ask(tlsa_owner(d.name))
    d.expect(NO_MAIL)


def case8(b: Builder) -> None:
    """Null MX with a preference other than 0 is still a null MX."""
    d = b.domain("case8", "null MX with preference 10")
    d.zone.add(d.name, "MX", "10 .")
    d.expect(NO_MAIL, code="5.1.10", findings=[Reason.NULL_MX_WITH_PREFERENCE])


def case9(b: Builder) -> None:
    """Null MX beside a real host (RFC 7505 §3 forbids it)."""
    d = b.domain("case9", "null MX beside a real MX")
    d.host()
    d.zone.add(d.name, "MX", "0 .")
    d.expect(PROTECTED, findings=[Reason.NULL_MX_BESIDE_OTHERS])


def case13(b: Builder) -> None:
    """Underscores and capitals in MX targets."""
    d = b.domain("case13", "MX target with underscore and capitals")
    host = d.host("mx_1", mx=False)
    d.zone.add(d.name, "MX", "10 MX_1.Case13.TEST.")
    d.knows(host.name, addresses=host.addresses)
    d.expect(PROTECTED)


def case14(b: Builder) -> None:
    """An internationalised domain, by its A-labels."""
    d = b.domain("xn--brse-5qa", "internationalised domain and host")
    d.host("xn--mx1-qla")
    d.expect(PROTECTED)


def case15(b: Builder) -> None:
    """One host twice."""
    d = b.domain("case15", "the same MX host at two preferences")
    host = d.host()
    d.zone.add(d.name, "MX", f"20 {host.name.upper()}.")
    d.expect(PROTECTED, findings=[Reason.MX_DUPLICATE_HOST])


def case16(b: Builder) -> None:
    """More MX hosts than some checkers look at; only the last one fails."""
    d = b.domain("case16", "twelve MX hosts, the last one mismatched")
    for number in range(1, 12):
        d.host(f"mx{number}", preference=number)
    d.host("mx12", preference=12, tlsa=["3 1 1 " + "ab" * 32], code="4.7.323")
    d.expect(DEGRADED)


def case17(b: Builder) -> None:
    """The domain is an alias whose first link is insecure."""
    outside = b.zone("case17-alias.test", **UNSIGNED)
    other = b.zone("case17-q.test")
    host_domain = b.domain("case17-q", "target of case 17", zone=other)
    host = host_domain.host(mx=False)
    other.add(other.origin, "MX", f"10 {host.name}.")
    d = b.domain(
        "d", "domain is an insecure alias of a signed one", top=outside.origin, zone=outside
    )
    outside.add(d.name, "CNAME", f"{other.origin}.")
    d.knows(host.name, zone=other.origin, addresses=host.addresses)
    d.expect(OPPORTUNISTIC)


def case18(b: Builder) -> None:
    """Aliases a recursor cuts short, and aliases without end."""
    top = b.known_zone(TOP)
    d = b.domain("case18", "resolver returns the alias without the target's MX", zone=top)
    other = b.zone("case18-q.test")
    host = d.host("mx1", zone=other, mx=False)
    top.add(d.name, "CNAME", f"{other.origin}.")
    other.add(other.origin, "MX", f"10 {host.name}.")
    d.knows(host.name, zone=other.origin, addresses=host.addresses)
    d.fault(DnsFaultKind.ALIAS_ONLY, d.name, "MX")
    d.expect(PROTECTED)
    d = b.domain("case18-loop", "domain is an alias of itself by way of another", zone=top)
    other_name = Name(f"case18-pool.{TOP}")
    top.add(d.name, "CNAME", f"{other_name}.")
    top.add(other_name, "CNAME", f"{d.name}.")
    d.expect(DEFERRED, code="4.4.312")


def case19(b: Builder) -> None:
    """One host that cannot be looked up, another that is fine."""
    d = b.domain("case19", "addresses of the first host fail, second host good")
    first = d.host("mx1", code="4.4.312")
    d.host("mx2", preference=20)
    for rdtype in ("A", "AAAA"):
        d.fault(DnsFaultKind.SERVFAIL, first.name, rdtype)
    d.expect(DEGRADED)


def case25(b: Builder) -> None:
    """No family can be looked up: not the same as no DANE."""
    d = b.domain("case25", "A and AAAA both SERVFAIL")
    host = d.host()
    for rdtype in ("A", "AAAA"):
        d.fault(DnsFaultKind.SERVFAIL, host.name, rdtype)
    d.expect(DEFERRED, code="4.4.312")


def case27(b: Builder) -> None:
    """A host with an IPv6 address only; ``::1`` is the only one a machine has without set-up."""
    d = b.domain("case27", "MX host with an IPv6 address only")
    name = d.sub("mx1")
    chain = b.foundry.leaf(for_host(name))
    address = b.mail_host(name, chain, address="::1")
    d.zone.add(name, "AAAA", address)
    d.zone.add(tlsa_owner(name), "TLSA", tlsa_text(chain.leaf))
    d.mx(name, addresses=(address,))
    d.expect(PROTECTED)


def case29(b: Builder) -> None:
    """TLSA at the original name only, the target securely has none."""
    d = b.domain("case29", "secure alias, TLSA at the original name only")
    home = b.zone("case29-host.test")
    original = d.sub("mx1")
    chain = b.foundry.leaf(for_host(original))
    host = d.host("h", zone=home, chain=chain, tlsa=(), mx=False)
    d.zone.add(original, "CNAME", f"{host.name}.")
    d.zone.add(tlsa_owner(original), "TLSA", tlsa_text(chain.leaf))
    d.mx(original, addresses=host.addresses)
    d.expect(PROTECTED, findings=[Reason.MX_ALIAS])


def case30(b: Builder) -> None:
    """An error at the expanded name ends the search (RFC 7672 §2.1.1)."""
    d = b.domain("case30", "secure alias, TLSA question at the target fails")
    home = b.zone("case30-host.test")
    original = d.sub("mx1")
    host = d.host("h", zone=home, mx=False)
    d.zone.add(original, "CNAME", f"{host.name}.")
    d.zone.add(tlsa_owner(original), "TLSA", tlsa_text(host.chain.leaf))
    d.mx(original, addresses=host.addresses)
    d.fault(DnsFaultKind.SERVFAIL, host.tlsa, "TLSA", zone=home)
    d.never_ask(tlsa_owner(original))
    d.expect(DEFERRED, code="4.7.324")


def case32(b: Builder) -> None:
    """An insecure first alias: no TLSA question at either name."""
    d = b.domain("case32", "MX host is an insecure alias into a signed zone")
    outside = b.zone("case32-alias.test", **UNSIGNED)
    home = b.zone("case32-host.test")
    original = Name(f"mx1.{outside.origin}")
    host = d.host("h", zone=home, mx=False)
    outside.add(original, "CNAME", f"{host.name}.")
    d.mx(original, addresses=host.addresses, zone=outside.origin)
    d.never_ask(host.tlsa)
    d.never_ask(tlsa_owner(original))
    d.expect(OPPORTUNISTIC)


def case34(b: Builder) -> None:
    """TLSA at a middle alias counts for nothing."""
    d = b.domain("case34", "TLSA at the middle of an alias chain only")
    original, middle = d.sub("mx1"), d.sub("middle")
    host = d.host("h", tlsa=(), mx=False)
    d.zone.add(original, "CNAME", f"{middle}.")
    d.zone.add(middle, "CNAME", f"{host.name}.")
    d.zone.add(tlsa_owner(middle), "TLSA", tlsa_text(host.chain.leaf))
    d.mx(original, addresses=host.addresses)
    d.never_ask(tlsa_owner(middle))
    d.expect(OPPORTUNISTIC)


def case36(b: Builder) -> None:
    """An alias synthesised from a DNAME (RFC 6672)."""
    d = b.domain("case36", "MX host under a DNAME")
    home = b.zone("case36-host.test")
    host = d.host("mx1", zone=home, mx=False)
    d.zone.add(d.sub("old"), "DNAME", f"{home.origin}.")
    d.mx(d.sub("mx1.old"), addresses=host.addresses)
    d.expect(PROTECTED, findings=[Reason.MX_ALIAS])


def case37(b: Builder) -> None:
    """An MX host whose alias never ends."""
    d = b.domain("case37", "MX host is an alias loop")
    d.zone.add(d.sub("mx1"), "CNAME", f"{d.sub('mx2')}.")
    d.zone.add(d.sub("mx2"), "CNAME", f"{d.sub('mx1')}.")
    d.mx(d.sub("mx1"), code="4.4.312")
    d.expect(DEFERRED, code="4.4.312")


def case39(b: Builder) -> None:
    """An insecure denial is normal (RFC 5155 §9.2)."""
    d = b.domain(
        "case39",
        "TLSA denied by an opt-out span",
        top=TOP_OPT_OUT,
        denial=Denial.NSEC3_OPT_OUT,
        algorithm=Algorithm.RSA_SHA256,
    )
    d.host(tlsa=())
    d.expect(OPPORTUNISTIC)


def case40(b: Builder) -> None:
    """Every error of the TLSA question means the same."""
    for kind in (
        DnsFaultKind.REFUSED,
        DnsFaultKind.NOTIMP,
        DnsFaultKind.FORMERR,
        DnsFaultKind.MALFORMED,
        DnsFaultKind.UNREACHABLE,
    ):
        d = b.domain(f"case40-{kind}", f"TLSA question answered {kind}")
        host = d.host()
        d.fault(kind, host.tlsa, "TLSA")
        d.expect(DEFERRED, code="4.7.324")


def case41(b: Builder) -> None:
    """TLSA in an unsigned zone below a signed host name."""
    d = b.domain("case41", "TLSA published in an unsigned child zone")
    host = d.host(tlsa=())
    below = b.zone(f"_tcp.{host.name}", **UNSIGNED)
    below.add(host.tlsa, "TLSA", tlsa_text(host.chain.leaf))
    d.expect(OPPORTUNISTIC, findings=[Reason.TLSA_UNPROTECTED])


def case44(b: Builder) -> None:
    """TLSA aliases that loop or dangle."""
    d = b.domain("case44", "TLSA name is an alias loop")
    host = d.host(tlsa=())
    d.zone.add(host.tlsa, "CNAME", f"{d.sub('loop')}.")
    d.zone.add(d.sub("loop"), "CNAME", f"{host.tlsa}.")
    d.expect(DEFERRED, code="4.7.324")
    d = b.domain("case44-dangling", "TLSA name is a secure alias of nothing")
    host = d.host(tlsa=())
    d.zone.add(host.tlsa, "CNAME", f"{d.sub('nothing')}.")
    d.expect(OPPORTUNISTIC)


def case45(b: Builder) -> None:
    """More TLSA records than fit a datagram; the right one sorts first."""
    d = b.domain("case45", "six hundred TLSA records")
    chain = b.foundry.leaf(for_host(d.sub("mx1")))
    # unbound does not validate an RRset of over 64 KiB in canonical form: that is 920 of these.
    wrong = [f"3 1 1 {'ff' * 30}{number:04x}" for number in range(600)]
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf), *wrong])
    d.expect(PROTECTED, findings=[Reason.TLSA_TOO_MANY])


def case78(b: Builder) -> None:
    """Implicit MX through an alias: expanded and original names are both good for a certificate."""
    top = b.known_zone(TOP)
    d = b.domain("case78", "no MX, domain is an alias, certificate names the domain", zone=top)
    other = b.zone("case78-q.test")
    chain = b.foundry.leaf(LeafSpec(names=(d.name,)))
    anchor = tlsa_text(b.foundry.root.certificate, 2, 0, 1)
    host = d.host("", zone=other, chain=chain, tlsa=[anchor], mx=False)
    top.add(d.name, "CNAME", f"{other.origin}.")
    d.knows(host.name, 0, zone=other.origin, addresses=host.addresses)
    d.expect(PROTECTED)


def algorithms(b: Builder) -> None:
    """Every signing algorithm and way of denial, good and with TLSA absent."""
    for algorithm in Algorithm:
        for denial in Denial:
            d = b.domain(
                f"{algorithm}-{denial}",
                f"zone signed with {algorithm}, {denial}",
                algorithm=algorithm,
                denial=denial,
                split_keys=denial is Denial.NSEC3,
                nsec3_iterations=3 if denial is Denial.NSEC3 else 0,
                nsec3_salt="c0ffee" if denial is Denial.NSEC3 else "",
            )
            d.host()
            d.expect(PROTECTED)
    d = b.domain("nsec3-absent", "TLSA securely denied by NSEC3", denial=Denial.NSEC3)
    d.host(tlsa=())
    d.expect(OPPORTUNISTIC)


def wildcards(b: Builder) -> None:
    """Records that come from wildcards need a proof of their own (RFC 4035 §5.3.4)."""
    for denial in (Denial.NSEC, Denial.NSEC3):
        d = b.domain(f"wildcard-{denial}", f"TLSA from a wildcard, {denial}", denial=denial)
        host = d.host(tlsa=())
        d.zone.add(f"*._tcp.{host.name}", "TLSA", tlsa_text(host.chain.leaf))
        d.expect(PROTECTED)
        d = b.domain(f"wildcard-host-{denial}", f"MX host from a wildcard, {denial}", denial=denial)
        chain = b.foundry.leaf(for_host(d.sub("mx1")))
        address = b.mail_host(d.sub("mx1"), chain)
        d.zone.add(d.sub("*"), "A", address)
        d.mx(d.sub("mx1"), addresses=(address,))
        d.expect(OPPORTUNISTIC)


def islands(b: Builder) -> None:
    """Signed zones a validator has no way to believe: insecure, not bogus."""
    for ds in (DsKind.NONE, DsKind.UNSUPPORTED_ALGORITHM, DsKind.UNSUPPORTED_DIGEST):
        d = b.domain(f"ds-{ds}", f"signed zone, DS in the parent: {ds}", ds=ds)
        host = d.host()
        d.never_ask(host.tlsa)
        d.expect(OPPORTUNISTIC)


def mixed(b: Builder) -> None:
    """A good host and one without DANE: case 98."""
    d = b.domain("case98", "first host good, second host without TLSA")
    d.host("mx1")
    d.host("mx2", preference=20, tlsa=())
    d.expect(DomainVerdict.PARTIAL, findings=[Reason.DOWNGRADE_PATH])
    d = b.domain("case101", "every host fails, each in its own way")
    d.host("mx1", tlsa=["3 1 1 " + "ab" * 32], code="4.7.323")
    d.host("mx2", preference=20, behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")


DNS_EDGE_CASES = (
    case3, case5, case6, case8, case9, case13, case14, case15, case16, case17, case18, case19,
    case25, case29, case30, case32, case34, case36, case37, case39, case40, case41, case44, case45,
    case78, algorithms, wildcards, islands, mixed,
)  # fmt: skip
