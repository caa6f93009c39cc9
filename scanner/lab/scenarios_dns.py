"""Scenarios T01 to T24: what DNS and DNSSEC can do to a mail domain.

Each function writes one scenario of the table; its expectation is the lab's own reading of the
rules, so that it can disagree with the scanner.
"""

from scanner.lab.builder import TOP, UNSIGNED, Builder, DomainDraft
from scanner.lab.ca import LeafSpec, for_host, tlsa_text
from scanner.lab.plan import DnsFaultKind, DsKind
from scanner.model.names import Name, tlsa_owner
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

PROTECTED = DomainVerdict.PROTECTED
OPPORTUNISTIC = DomainVerdict.OPPORTUNISTIC
DEGRADED = DomainVerdict.DEGRADED
DEFERRED = DomainVerdict.DEFERRED
BLOCKED = DomainVerdict.BLOCKED
NO_MAIL = DomainVerdict.NO_MAIL


def t01(b: Builder) -> None:
    """All is well on two MX hosts."""
    d = b.domain("t01", "two MX hosts, all in order")
    d.host("mx1")
    d.host("mx2", preference=20)
    d.expect(PROTECTED)


def t02(b: Builder) -> None:
    """No DNSSEC, no DANE."""
    d = b.domain("t02", "unsigned domain without TLSA", **UNSIGNED)
    host = d.host(tlsa=())
    d.never_ask(host.tlsa)
    d.expect(OPPORTUNISTIC)


def t03(b: Builder) -> None:
    """DANE at the host is of no use to an unsigned domain."""
    d = b.domain("t03", "unsigned domain, MX host with DANE in a signed zone", **UNSIGNED)
    d.host(zone=b.zone("t03-host.test"))
    d.expect(OPPORTUNISTIC)


def t04(b: Builder) -> None:
    """RFC 7672 §2.2.2: no TLSA question for a host in an unsigned zone."""
    d = b.domain("t04", "signed domain, MX host unsigned, its TLSA question would fail")
    home = b.zone("t04-host.test", **UNSIGNED)
    host = d.host(zone=home, tlsa=())
    d.fault(DnsFaultKind.SERVFAIL, rdtype="TLSA", zone=home)
    d.never_ask(host.tlsa)
    d.expect(OPPORTUNISTIC)


def t05(b: Builder) -> None:
    """Secure absence is no failure, in both of its shapes."""
    d = b.domain("t05", "TLSA securely absent: NODATA")
    host = d.host(tlsa=())
    host.zone.add(host.tlsa, "TXT", '"nothing here"')
    d.expect(OPPORTUNISTIC)
    d = b.domain("t05-nx", "TLSA securely absent: NXDOMAIN")
    d.host(tlsa=())
    d.expect(OPPORTUNISTIC)


def t06(b: Builder) -> None:
    """A TLSA alias that leaves the signed world."""
    d = b.domain("t06", "TLSA name is an alias into an unsigned zone")
    outside = b.zone("t06-alias.test", **UNSIGNED)
    host = d.host(tlsa=())
    target = Name(f"tlsa.{outside.origin}")
    host.zone.add(host.tlsa, "CNAME", f"{target}.")
    outside.add(target, "TLSA", tlsa_text(host.chain.leaf))
    d.expect(OPPORTUNISTIC, findings=[Reason.TLSA_ALIAS_INSECURE])


def t07(b: Builder) -> None:
    """A TLSA alias inside the signed world changes no reference name (RFC 7672 §2.2.3)."""
    d = b.domain("t07", "TLSA name is an alias to a shared secure 2 0 1 RRset")
    host = d.host(tlsa=())
    shared = d.sub("_dane")
    host.zone.add(host.tlsa, "CNAME", f"{shared}.")
    host.zone.add(shared, "TLSA", tlsa_text(b.foundry.root.certificate, 2, 0, 1))
    d.expect(PROTECTED)


def t08(b: Builder) -> None:
    """SERVFAIL for TLSA: the host counts as unreachable (RFC 7672 §2.1.1)."""
    d = b.domain("t08", "TLSA question answered SERVFAIL, also with CD=1")
    host = d.host()
    d.fault(DnsFaultKind.SERVFAIL, host.tlsa, "TLSA")
    d.expect(DEFERRED, code="4.7.324")


def t09(b: Builder) -> None:
    """A server that drops TLSA questions."""
    d = b.domain("t09", "TLSA question dropped")
    host = d.host()
    d.fault(DnsFaultKind.DROP, host.tlsa, "TLSA")
    d.expect(DEFERRED, code="4.7.324", slow=True)


def t10(b: Builder) -> None:
    """An expired signature over the TLSA RRset."""
    d = b.domain("t10", "signature over TLSA expired")
    host = d.host()
    d.fault(DnsFaultKind.SIGNATURE_EXPIRED, host.tlsa, "TLSA")
    d.expect(BLOCKED, code="4.7.324")


def t11(b: Builder) -> None:
    """One bogus host of two: the scope of scenario 1 decides."""
    d = b.domain("t11", "TLSA of the first host bogus, second host good")
    first = d.host("mx1", code="4.7.324")
    d.host("mx2", preference=20)
    d.fault(DnsFaultKind.SIGNATURE_CORRUPT, first.tlsa, "TLSA")
    d.expect(DEGRADED, BLOCKED, code="4.7.324", other_scope=DEGRADED)


def t12(b: Builder) -> None:
    """Absence without proof is bogus."""
    d = b.domain("t12", "no NSEC proof for the missing TLSA")
    host = d.host(tlsa=())
    d.fault(DnsFaultKind.DENIAL_MISSING, host.tlsa, "TLSA")
    d.expect(BLOCKED, code="4.7.324")


def t13(b: Builder) -> None:
    """The founding document's two causes of a bogus zone."""
    d = b.domain("t13", "DS in the parent matches no DNSKEY", ds=DsKind.MISMATCH)
    d.host()
    d.expect(BLOCKED, code="4.4.312", cause="4.7.324")
    d = b.domain("t13-future", "all signatures begin in the future")
    d.host()
    d.fault(DnsFaultKind.SIGNATURE_NOT_YET_VALID)
    d.expect(BLOCKED, code="4.4.312", cause="4.7.324")


def t14(b: Builder) -> None:
    """Failing name servers without any DNSSEC cause."""
    d = b.domain("t14", "name servers of the domain answer SERVFAIL")
    d.host()
    d.fault(DnsFaultKind.UNREACHABLE)
    d.expect(DEFERRED, code="4.4.312")
    d = b.domain("t14-timeout", "name servers of the domain do not answer")
    d.host()
    d.fault(DnsFaultKind.DROP)
    d.expect(DEFERRED, code="4.4.312", slow=True)


def t15(b: Builder) -> None:
    """A bogus address of one host of two."""
    d = b.domain("t15", "address of the first host bogus, second host good")
    first = d.host("mx1", code="4.4.312")
    d.host("mx2", preference=20)
    d.fault(DnsFaultKind.SIGNATURE_CORRUPT, first.name, "A")
    d.expect(DEGRADED, BLOCKED, code="4.4.312", cause="4.7.324", other_scope=DEGRADED)


def t16(b: Builder) -> None:
    """One address family fails, the other works."""
    d = b.domain("t16", "AAAA question times out, A and TLSA good")
    host = d.host()
    d.fault(DnsFaultKind.DROP, host.name, "AAAA")
    d.expect(PROTECTED, findings=[Reason.ADDRESS_FAMILY_FAILED], slow=True)


def t17(b: Builder) -> None:
    """One address family is bogus: not the same as failing."""
    d = b.domain("t17", "AAAA bogus, A secure")
    host = d.host()
    host.zone.add(host.name, "AAAA", "::1")
    d.fault(DnsFaultKind.SIGNATURE_CORRUPT, host.name, "AAAA")
    d.expect(BLOCKED, code="4.4.312", cause="4.7.324")


def t18(b: Builder) -> None:
    """A domain that does not exist."""
    d = b.domain("t18", "the domain does not exist", zone=b.known_zone(TOP))
    d.expect(NO_MAIL, code="5.4.310")


def t19(b: Builder) -> None:
    """Implicit MX (RFC 5321 §5.1): the domain is its own host."""
    d = b.domain("t19", "no MX, address and TLSA at the domain itself")
    d.host("", mx=False)
    d.knows(d.name, 0)
    d.expect(PROTECTED)


def t20(b: Builder) -> None:
    """Null MX (RFC 7505)."""
    d = b.domain("t20", "null MX")
    d.zone.add(d.name, "MX", "0 .")
    d.expect(NO_MAIL, code="5.1.10")


def t21(b: Builder) -> None:
    """With an MX there is no fallback to the domain's own address."""
    d = b.domain("t21", "MX to a name that does not exist, the domain has an address")
    d.host("", mx=False)
    d.mx(d.sub("gone"))
    d.expect(NO_MAIL)


def t22(b: Builder) -> None:
    """MX host is a secure alias: its target is the base domain and the SNI."""
    d = b.domain("t22", "MX host is a secure alias, TLSA at the target")
    home = b.zone("t22-host.test")
    target = Name(f"h.{home.origin}")
    right = b.foundry.leaf(for_host(target))
    wrong = b.foundry.leaf(for_host(d.sub("mx1")))
    host = d.host(
        "h",
        zone=home,
        chain=wrong,
        tlsa=[tlsa_text(right.leaf)],
        mx=False,
        sni_chains=((target, right),),
    )
    _alias_mx(d.sub("mx1"), target, d, host.addresses)
    d.expect(PROTECTED, findings=[Reason.MX_ALIAS])


def t23(b: Builder) -> None:
    """MX host is an alias into an unsigned zone: TLSA at the original name counts."""
    d = b.domain("t23", "MX host is a secure alias into an unsigned zone")
    home = b.zone("t23-host.test", **UNSIGNED)
    chain = b.foundry.leaf(for_host(d.sub("mx1")))
    host = d.host("h", zone=home, chain=chain, tlsa=(), mx=False)
    d.zone.add(tlsa_owner(d.sub("mx1")), "TLSA", tlsa_text(chain.leaf))
    d.never_ask(host.tlsa)
    _alias_mx(d.sub("mx1"), host.name, d, host.addresses)
    d.expect(PROTECTED)


def t24(b: Builder) -> None:
    """The domain itself is an alias: its original name is a reference name too."""
    d = b.domain(
        "t24", "domain is a secure alias, certificate names it alone", zone=b.known_zone(TOP)
    )
    other = b.zone("t24-q.test")
    chain = b.foundry.leaf(LeafSpec(names=(d.name,)))
    host = d.host(
        "mx1",
        zone=other,
        chain=chain,
        mx=False,
        tlsa=[tlsa_text(b.foundry.root.certificate, 2, 0, 1)],
    )
    d.zone.add(d.name, "CNAME", f"{other.origin}.")
    other.add(other.origin, "MX", f"10 {host.name}.")
    d.knows(host.name, zone=other.origin, addresses=host.addresses)
    d.expect(PROTECTED)


def _alias_mx(name: Name, target: Name, draft: DomainDraft, addresses: tuple[str, ...]) -> None:
    draft.zone.add(name, "CNAME", f"{target}.")
    draft.mx(name, addresses=addresses)


DNS_SCENARIOS = (
    t01, t02, t03, t04, t05, t06, t07, t08, t09, t10, t11, t12,
    t13, t14, t15, t16, t17, t18, t19, t20, t21, t22, t23, t24,
)  # fmt: skip
