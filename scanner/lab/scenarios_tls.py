"""Scenarios T25 to T48: what records, servers and certificates can do to a mail domain."""

from datetime import timedelta

from scanner.lab.builder import Builder, DomainDraft, HostDraft
from scanner.lab.ca import CaSpec, Chain, LeafSpec, for_host, renewed, tlsa_text
from scanner.lab.plan import Behaviour
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

PROTECTED = DomainVerdict.PROTECTED
ENCRYPTED = DomainVerdict.ENCRYPTED
DEGRADED = DomainVerdict.DEGRADED
DEFERRED = DomainVerdict.DEFERRED
BLOCKED = DomainVerdict.BLOCKED

WRONG_311 = "3 1 1 " + "ab" * 32
WRONG_312 = "3 1 2 " + "cd" * 64
SHORT_311 = "3 1 1 " + "ef" * 31
ONE_DAY = timedelta(days=1)


def t25(b: Builder) -> None:
    """Usage 1 is unusable for SMTP (RFC 7672 §3.1.3): TLS is mandatory all the same."""
    d = b.domain("t25", "only a 1 1 1 record, self-signed certificate")
    chain = b.foundry.self_signed(for_host(d.sub("mx1")))
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf, 1, 1, 1)])
    d.expect(ENCRYPTED)


def t26(b: Builder) -> None:
    """Unusable records still forbid clear text."""
    d = b.domain("t26", "only a 0 0 1 record, no STARTTLS")
    root = tlsa_text(b.foundry.root.certificate, 0, 0, 1)
    d.host(tlsa=[root], behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")


def t27(b: Builder) -> None:
    """An unusable record does no harm beside a good one."""
    d, chain = _with_leaf(b, "t27", "1 1 1 wrong, 3 1 1 right")
    d.host(chain=chain, tlsa=["1 1 1 " + "ab" * 32, tlsa_text(chain.leaf)])
    d.expect(PROTECTED)


def t28(b: Builder) -> None:
    """A matching unusable record does not help beside a wrong usable one."""
    d, chain = _with_leaf(b, "t28", "1 1 1 right, 3 1 1 wrong")
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf, 1, 1, 1), WRONG_311], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")


def t29(b: Builder) -> None:
    """A digest of the wrong length is malformed, so unusable."""
    d = b.domain("t29", "only a 3 1 1 record with 31 octets")
    d.host(tlsa=[SHORT_311])
    d.expect(ENCRYPTED)


def t30(b: Builder) -> None:
    """A malformed record beside a good one is a finding only."""
    d, chain = _with_leaf(b, "t30", "malformed 3 1 1 and good 3 1 1")
    d.host(chain=chain, tlsa=[SHORT_311, tlsa_text(chain.leaf)])
    d.expect(PROTECTED, findings=[Reason.TLSA_DIGEST_LENGTH])


def t31(b: Builder) -> None:
    """Unassigned parameter values are unusable."""
    for label, record in (
        ("t31", "3 2 1 " + "ab" * 32),
        ("t31-type", "3 1 3 " + "ab" * 32),
        ("t31-usage", "255 1 1 " + "ab" * 32),
    ):
        d = b.domain(label, f"only an unassigned parameter: {record[:8]}")
        d.host(tlsa=[record])
        d.expect(ENCRYPTED)


def t32(b: Builder) -> None:
    """Digest agility (RFC 7671 §9) is where senders differ."""
    d, chain = _with_leaf(b, "t32", "3 1 1 right, 3 1 2 wrong")
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf), WRONG_312])
    d.expect(BLOCKED, PROTECTED, findings=[Reason.AGILITY_RISK])


def t33(b: Builder) -> None:
    """Matching type Full(0)."""
    d, chain = _with_leaf(b, "t33", "3 1 0 and 3 0 0 match")
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf, 3, 1, 0), tlsa_text(chain.leaf, 3, 0, 0)])
    d.expect(PROTECTED, findings=[Reason.TLSA_FULL_DATA])


def t34(b: Builder) -> None:
    """A 3 0 1 record does not survive a renewal."""
    d, chain, old = _renewal(b, "t34", "3 0 1 of the certificate before its renewal, same key")
    d.host(chain=chain, tlsa=[tlsa_text(old.leaf, 3, 0, 1)], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")


def t35(b: Builder) -> None:
    """No STARTTLS although DANE says so."""
    d = b.domain("t35", "STARTTLS not advertised")
    d.host(behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")


def t36(b: Builder) -> None:
    """A temporary refusal of STARTTLS."""
    d = b.domain("t36", "STARTTLS answered 454")
    d.host(behaviour=Behaviour.STARTTLS_454, code="4.7.321")
    d.expect(DEFERRED, code="4.7.321")


def t37(b: Builder) -> None:
    """A lasting refusal of STARTTLS, and none at all."""
    d = b.domain("t37", "STARTTLS answered 502")
    d.host(behaviour=Behaviour.STARTTLS_502, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")
    d = b.domain("t37-silent", "STARTTLS not answered")
    d.host(behaviour=Behaviour.STARTTLS_SILENT, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321", slow=True)


def t38(b: Builder) -> None:
    """STARTTLS accepted, handshake refused."""
    d = b.domain("t38", "220, then a TLS alert")
    d.host(behaviour=Behaviour.TLS_ALERT, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")


def t39(b: Builder) -> None:
    """Expiry: ignored by the RFC for DANE-EE, not by Exchange Online."""
    d = b.domain("t39", "3 1 1 matches, certificate expired yesterday")
    spec = LeafSpec(names=(d.sub("mx1"),), starts=-90 * ONE_DAY, ends=-ONE_DAY)
    d.host(chain=b.foundry.leaf(spec), code="4.7.322")
    d.expect(PROTECTED, BLOCKED, code="4.7.322")


def t40(b: Builder) -> None:
    """A certificate from the future."""
    d = b.domain("t40", "3 1 1 matches, certificate valid from tomorrow")
    spec = LeafSpec(names=(d.sub("mx1"),), starts=ONE_DAY)
    d.host(chain=b.foundry.leaf(spec), code="4.7.323")
    d.expect(PROTECTED, BLOCKED, code="4.7.323")


def t41(b: Builder) -> None:
    """DANE-EE knows no names (RFC 7672 §3.1.1)."""
    d = b.domain("t41", "3 1 1 matches, certificate of another host")
    d.host(chain=b.foundry.leaf(LeafSpec(names=("other.test",))))
    d.expect(PROTECTED)


def t42(b: Builder) -> None:
    """DANE-TA with everything right."""
    d = b.domain("t42", "2 0 1 with the full chain sent")
    d.host(tlsa=[_root(b)])
    d.expect(PROTECTED)


def t43(b: Builder) -> None:
    """DANE-TA does know names (RFC 7672 §3.1.2)."""
    d = b.domain("t43", "2 0 1, certificate of another host")
    chain = b.foundry.leaf(LeafSpec(names=("other.test",)))
    d.host(chain=chain, tlsa=[_root(b)], code="4.7.325")
    d.expect(BLOCKED, code="4.7.325")


def t44(b: Builder) -> None:
    """The trust anchor must come in the handshake, or whole in DNS."""
    root = b.foundry.root.certificate
    d, chain = _with_leaf(b, "t44", "2 0 1, trust anchor not sent")
    d.host(chain=chain.without(root), tlsa=[_root(b)], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")
    d, chain = _with_leaf(b, "t44-full", "2 0 0, trust anchor in DNS only")
    d.host(chain=chain.without(root), tlsa=[tlsa_text(root, 2, 0, 0)])
    d.expect(PROTECTED)


def t45(b: Builder) -> None:
    """An expired link between leaf and trust anchor."""
    d = b.domain("t45", "2 0 1, intermediate certificate expired")
    old = b.foundry.issuer(CaSpec(name="Lab Expired CA", ends=-ONE_DAY), b.foundry.root)
    chain = b.foundry.leaf(for_host(d.sub("mx1")), old)
    d.host(chain=chain, tlsa=[_root(b)], code="4.7.322")
    d.expect(BLOCKED, code="4.7.322")


def t46(b: Builder) -> None:
    """One host without TLSA keeps mail moving, and opens the door to attackers."""
    d = b.domain("t46", "first host mismatched, second host without TLSA")
    d.host("mx1", tlsa=[WRONG_311], code="4.7.323")
    d.host("mx2", preference=20, tlsa=())
    d.expect(DEGRADED)


def t47(b: Builder) -> None:
    """Hosts that fail for different reasons."""
    d = b.domain("t47", "first host without STARTTLS, second with an expired certificate")
    d.host("mx1", behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    spec = LeafSpec(names=(d.sub("mx2"),), starts=-90 * ONE_DAY, ends=-ONE_DAY)
    d.host("mx2", preference=20, chain=b.foundry.leaf(spec), code="4.7.322")
    d.expect(DEGRADED, BLOCKED, code="4.7.322")


def t48(b: Builder) -> None:
    """Addresses that differ, and a host that is down."""
    d = b.domain("t48", "second host inconsistent over two addresses, third host refuses")
    d.host("mx1")
    second = d.host("mx2", preference=20)
    _second_address(b, second, b.foundry.leaf(for_host(second.name)))
    d.host("mx3", preference=30, behaviour=Behaviour.REFUSED, code="4.4.316")
    d.expect(PROTECTED, findings=[Reason.ADDRESSES_INCONSISTENT, Reason.HOST_NOT_MEASURED])


def _root(b: Builder) -> str:
    return tlsa_text(b.foundry.root.certificate, 2, 0, 1)


def _with_leaf(b: Builder, label: str, title: str) -> tuple[DomainDraft, Chain]:
    draft = b.domain(label, title)
    return draft, b.foundry.leaf(for_host(draft.sub("mx1")))


def _renewal(b: Builder, label: str, title: str) -> tuple[DomainDraft, Chain, Chain]:
    """Return a draft, the chain of today and the one before, with the same key."""
    draft = b.domain(label, title)
    spec = LeafSpec(names=(draft.sub("mx1"),), key_label=f"kept:{label}")
    return draft, b.foundry.leaf(renewed(spec)), b.foundry.leaf(spec)


def _second_address(b: Builder, host: HostDraft, chain: Chain) -> None:
    address = b.mail_host(host.name, chain)
    host.zone.add(host.name, "A", address)


TLS_SCENARIOS = (
    t25, t26, t27, t28, t29, t30, t31, t32, t33, t34, t35, t36,
    t37, t38, t39, t40, t41, t42, t43, t44, t45, t46, t47, t48,
)  # fmt: skip
