"""Edge cases of servers, records and certificates, by their number in the list of edge cases."""

from datetime import timedelta

from scanner.lab.builder import Builder, DomainDraft
from scanner.lab.ca import CaSpec, Chain, KeyKind, LeafSpec, for_host, renewed, tlsa_data, tlsa_text
from scanner.lab.plan import Behaviour, TlsKind
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

PROTECTED = DomainVerdict.PROTECTED
ENCRYPTED = DomainVerdict.ENCRYPTED
OPPORTUNISTIC = DomainVerdict.OPPORTUNISTIC
DEFERRED = DomainVerdict.DEFERRED
INCONCLUSIVE = DomainVerdict.INCONCLUSIVE
BLOCKED = DomainVerdict.BLOCKED

WRONG_311 = "3 1 1 " + "ab" * 32
ONE_DAY = timedelta(days=1)


def case55(b: Builder) -> None:
    """Records too short to mean anything: TLS is mandatory all the same."""
    for label, record in (
        ("case55", "\\# 3 030101"),
        ("case55-two-octets", "\\# 2 0301"),
        ("case55-one-octet", "\\# 1 03"),
        ("case56", "3 0 0 " + "30" * 40),
        ("case56-spki", "3 1 0 " + "30" * 40),
    ):
        d = b.domain(label, f"only an unreadable record: {record[:14]}")
        d.host(tlsa=[record])
        d.expect(ENCRYPTED)


def case59(b: Builder) -> None:
    """Digest agility where it does no harm."""
    d, chain = _with_leaf(b, "case59", "3 1 1 wrong, 3 1 2 right")
    d.host(chain=chain, tlsa=[WRONG_311, tlsa_text(chain.leaf, 3, 1, 2)])
    d.expect(PROTECTED)
    d, chain = _with_leaf(b, "case59-malformed", "3 1 2 malformed, 3 1 1 right")
    d.host(chain=chain, tlsa=["3 1 2 " + "cd" * 63, tlsa_text(chain.leaf)])
    d.expect(PROTECTED)
    d, chain = _with_leaf(b, "case60", "3 0 2 wrong, 3 1 1 right")
    d.host(chain=chain, tlsa=["3 0 2 " + "cd" * 64, tlsa_text(chain.leaf)])
    d.expect(PROTECTED)


def case64(b: Builder) -> None:
    """DANE-EE looks at the leaf alone."""
    d = b.domain("case64", "3 1 1 of the issuing certificate")
    d.host(tlsa=[tlsa_text(b.foundry.intermediate.certificate)], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")


def case65(b: Builder) -> None:
    """3 1 1 survives a renewal that keeps the key."""
    d = b.domain("case65", "renewed certificate, same key, 3 1 1")
    spec = LeafSpec(names=(d.sub("mx1"),), key_label="kept:case65")
    old, new = b.foundry.leaf(spec), b.foundry.leaf(renewed(spec))
    d.host(chain=new, tlsa=[tlsa_text(old.leaf)])
    d.expect(PROTECTED)


def case66(b: Builder) -> None:
    """The trust anchor need not be a root."""
    for label, parameters in (("case66", (2, 0, 1)), ("case66-key", (2, 1, 1))):
        d = b.domain(label, "trust anchor is the intermediate")
        d.host(tlsa=[tlsa_text(b.foundry.intermediate.certificate, *parameters)])
        d.expect(PROTECTED)


def case69(b: Builder) -> None:
    """Usage 2 with the digest of the leaf."""
    d, chain = _with_leaf(b, "case69", "2 0 1 of the leaf itself")
    d.host(chain=chain, tlsa=[tlsa_text(chain.leaf, 2, 0, 1)], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")


def case70(b: Builder) -> None:
    """A trust anchor that is sent, yet signed nothing on the path."""
    stranger = b.foundry.issuer(CaSpec(name="Lab Stranger CA"))
    d, chain = _with_leaf(b, "case70", "trust anchor sent, but not on the path")
    anchor = tlsa_text(stranger.certificate, 2, 0, 1)
    d.host(chain=chain.plus(stranger.certificate), tlsa=[anchor], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")


def case71(b: Builder) -> None:
    """Order and extra certificates do not matter."""
    stranger = b.foundry.issuer(CaSpec(name="Lab Stranger CA"))
    d, chain = _with_leaf(b, "case71", "chain out of order, with a stranger")
    leaf, *issuers = chain.certificates
    mixed = Chain((leaf, stranger.certificate, *reversed(issuers)), chain.key)
    d.host(chain=mixed, tlsa=[_root(b)])
    d.expect(PROTECTED)


def case72(b: Builder) -> None:
    """Dates count up to the trust anchor, not above it."""
    old_root = b.foundry.issuer(CaSpec(name="Lab Old Root CA", ends=-ONE_DAY))
    middle = b.foundry.issuer(CaSpec(name="Lab Middle CA"), old_root)
    d = b.domain("case72", "root above the trust anchor expired")
    chain = b.foundry.leaf(for_host(d.sub("mx1")), middle)
    d.host(chain=chain, tlsa=[tlsa_text(middle.certificate, 2, 0, 1)])
    d.expect(PROTECTED)
    d = b.domain("case72-leaf", "2 0 1, leaf expired")
    spec = LeafSpec(names=(d.sub("mx1"),), starts=-90 * ONE_DAY, ends=-ONE_DAY)
    d.host(chain=b.foundry.leaf(spec), tlsa=[_root(b)], code="4.7.322")
    d.expect(BLOCKED, code="4.7.322")


def case73(b: Builder) -> None:
    """Issuers that were not allowed to issue (RFC 5280 §6.1)."""
    root = b.foundry.root
    short = b.foundry.issuer(CaSpec(name="Lab Short CA", path_length=0), root)
    for label, title, issuer in (
        (
            "case73",
            "intermediate is no CA",
            b.foundry.issuer(CaSpec(name="Lab No CA", is_ca=False), root),
        ),
        (
            "case73-path-length",
            "path length exceeded",
            b.foundry.issuer(CaSpec(name="Lab Below Short CA"), short),
        ),
        (
            "case73-name-constraint",
            "name constraint violated",
            b.foundry.issuer(CaSpec(name="Lab Narrow CA", permitted=("elsewhere.test",)), root),
        ),
    ):
        d = b.domain(label, f"2 0 1, {title}")
        chain = b.foundry.leaf(for_host(d.sub("mx1")), issuer)
        d.host(chain=chain, tlsa=[_root(b)], code="4.7.323")
        d.expect(BLOCKED, code="4.7.323")


def case76(b: Builder) -> None:
    """The common name counts only without DNS names (RFC 7672 §3.2.3)."""
    d = b.domain("case76", "2 0 1, common name right, alternative name wrong")
    spec = LeafSpec(names=("other.test",), common_name=d.sub("mx1"))
    d.host(chain=b.foundry.leaf(spec), tlsa=[_root(b)], code="4.7.325")
    d.expect(BLOCKED, code="4.7.325")
    d = b.domain("case76-cn-only", "2 0 1, common name right, no alternative name")
    spec = LeafSpec(common_name=d.sub("mx1"))
    d.host(chain=b.foundry.leaf(spec), tlsa=[_root(b)])
    d.expect(PROTECTED)


def case77(b: Builder) -> None:
    """A wildcard stands for exactly one whole label."""
    d = b.domain("case77", "2 0 1, wildcard certificate")
    d.host(chain=b.foundry.leaf(LeafSpec(names=(d.sub("*"),))), tlsa=[_root(b)])
    d.expect(PROTECTED)
    d = b.domain("case77-deep", "2 0 1, wildcard certificate, host two labels below")
    chain = b.foundry.leaf(LeafSpec(names=(d.sub("*"),)))
    d.host("mx1.deep", chain=chain, tlsa=[_root(b)], code="4.7.325")
    d.expect(BLOCKED, code="4.7.325")


def case79(b: Builder) -> None:
    """Usages are alternatives."""
    d = b.domain("case79", "3 1 1 stale, 2 0 1 right")
    d.host(tlsa=[WRONG_311, _root(b)])
    d.expect(PROTECTED, findings=[Reason.TLSA_PARAMETERS_UNMATCHED])


def case81(b: Builder) -> None:
    """TLS without any certificate."""
    d = b.domain("case81", "anonymous key exchange only")
    d.host(tls=TlsKind.ANONYMOUS)
    d.expect(BLOCKED)


def case83(b: Builder) -> None:
    """The right certificate only to those who ask for it by name."""
    d, chain = _with_leaf(b, "case83", "right certificate only with SNI")
    other = b.foundry.leaf(LeafSpec(names=("other.test",)))
    d.host(chain=other, tlsa=[tlsa_text(chain.leaf)], sni_chains=((d.sub("mx1"), chain),))
    d.expect(PROTECTED)


def case84(b: Builder) -> None:
    """Greetings that are odd, and fine."""
    d = b.domain("case84", "greeting of several lines")
    d.host(behaviour=Behaviour.GREETING_MULTILINE)
    d.expect(PROTECTED)
    d = b.domain("case84-slow", "greeting after twelve seconds")
    d.host(behaviour=Behaviour.GREETING_SLOW, delay_seconds=12.0)
    d.expect(PROTECTED, slow=True)


def case85(b: Builder) -> None:
    """STARTTLS is a whole keyword in any case, and nothing else."""
    d = b.domain("case85", "XSTARTTLS is not STARTTLS")
    d.host(behaviour=Behaviour.XSTARTTLS, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")
    d = b.domain("case85-lower", "starttls is STARTTLS")
    d.host(behaviour=Behaviour.LOWERCASE_STARTTLS)
    d.expect(PROTECTED)
    d = b.domain("case85-helo", "EHLO rejected, HELO accepted")
    d.host(behaviour=Behaviour.EHLO_REJECTED, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")


def case86(b: Builder) -> None:
    """Hosts that do not let us in: down for now, and never "no STARTTLS" (cases 84, 86, 87).

    One that says it has too many connections speaks of us, and nothing is concluded.
    """
    for behaviour in (
        Behaviour.GREETING_421,
        Behaviour.GREETING_554,
        Behaviour.EHLO_421,
        Behaviour.RESET,
        Behaviour.CLOSED,
        Behaviour.GREETING_NOT_SMTP,
        Behaviour.GREETING_LONG_LINE,
        Behaviour.GREETING_ENDLESS,
    ):
        d = b.domain(f"case86-{behaviour}", f"host answers with {behaviour}")
        d.host(behaviour=behaviour)
        d.expect(INCONCLUSIVE if behaviour is Behaviour.EHLO_421 else DEFERRED)


def case90(b: Builder) -> None:
    """The same failed handshake with and without DANE; and every way to fail it."""
    for behaviour in (
        Behaviour.STARTTLS_GARBAGE,
        Behaviour.STARTTLS_DROP,
        Behaviour.TLS_GARBAGE,
        Behaviour.TLS_CLOSED,
    ):
        d = b.domain(f"case90-{behaviour}", f"with DANE: {behaviour}")
        d.host(behaviour=behaviour, code="4.7.321")
        d.expect(BLOCKED, code="4.7.321")
    d = b.domain("case90-opportunistic", "without DANE: TLS alert")
    d.host(tlsa=(), behaviour=Behaviour.TLS_ALERT)
    d.expect(OPPORTUNISTIC)
    d = b.domain("case90-old", "TLS 1.0 only")
    d.host(tls=TlsKind.TLS10_ONLY, code="4.7.321")
    d.expect(PROTECTED, BLOCKED, code="4.7.321", findings=[Reason.TLS_OLD_VERSION])


def case91(b: Builder) -> None:
    """Addresses that are down."""
    d, chain = _with_leaf(b, "case91", "one address refuses, the other is good")
    host = d.host(chain=chain, behaviour=Behaviour.REFUSED)
    d.zone.add(host.name, "A", b.mail_host(host.name, chain))
    d.expect(PROTECTED)
    d = b.domain("case91-all", "every address refuses")
    d.host(behaviour=Behaviour.REFUSED, code="4.4.316")
    d.expect(DEFERRED, code="4.4.316")
    for behaviour in (Behaviour.BLACK_HOLE, Behaviour.NEVER_ACCEPTS, Behaviour.GREETING_DRIP):
        d = b.domain(f"case91-{behaviour}", f"host is a {behaviour}")
        d.host(behaviour=behaviour)
        d.expect(DEFERRED, slow=True)


def case93(b: Builder) -> None:
    """Two certificates at one host, of which senders are shown one or the other.

    A client that offers both is shown the ECDSA certificate: it stands first in the client's list.
    """
    dependent = [Reason.CERTIFICATE_ALGORITHM_DEPENDENT]
    for label, title, published, tls in (
        ("case93-ok", "RSA and ECDSA certificates, both published", "both", TlsKind.MODERN),
        ("case93-rsa-only-match", "only the RSA one published", "rsa", TlsKind.MODERN),
        ("case93-ecdsa-only-match", "only the ECDSA one published", "ecdsa", TlsKind.MODERN),
        ("case93-tls12", "the same with TLS 1.2 only", "ecdsa", TlsKind.TLS12_ONLY),
        ("case93-tls13", "the same with TLS 1.3 only", "ecdsa", TlsKind.TLS13_ONLY),
    ):
        d, chain = _with_leaf(b, label, title)
        spec = LeafSpec(
            names=(d.sub("mx1"),), key_kind=KeyKind.RSA_2048, key_label="rsa beside ecdsa"
        )
        rsa = b.foundry.leaf(spec)
        records = {"ecdsa": tlsa_text(chain.leaf), "rsa": tlsa_text(rsa.leaf)}
        chosen = list(records.values()) if published == "both" else [records[published]]
        if published == "rsa":
            d.host(chain=chain, second_chain=rsa, tls=tls, tlsa=chosen, code="4.7.323")
            d.expect(BLOCKED, code="4.7.323", findings=dependent)
        else:
            d.host(chain=chain, second_chain=rsa, tls=tls, tlsa=chosen)
            d.expect(PROTECTED, findings=dependent if published == "ecdsa" else [])


def case95(b: Builder) -> None:
    """Clear text between the reply and the handshake is thrown away, and told."""
    d = b.domain("case95", "plaintext injected after the 220")
    d.host(behaviour=Behaviour.PLAINTEXT_AFTER_220)
    d.expect(PROTECTED, findings=[Reason.PLAINTEXT_AFTER_STARTTLS])


def odd_certificates(b: Builder) -> None:
    """Certificates a DANE-EE match makes good, whatever else is odd about them."""
    d = b.domain("long-chain", "one hundred certificates")
    chain = b.foundry.long_chain([d.sub("mx1")], 100)
    d.host(chain=chain)
    d.expect(PROTECTED, findings=[Reason.CHAIN_TOO_LONG])
    d = b.domain("weak-key", "RSA key of 1024 bits")
    spec = LeafSpec(names=(d.sub("mx1"),), key_kind=KeyKind.RSA_1024, key_label="weak")
    d.host(chain=b.foundry.leaf(spec))
    d.expect(PROTECTED, findings=[Reason.WEAK_KEY])
    d = b.domain("rsa", "RSA key of 2048 bits, TLS 1.2 only")
    spec = LeafSpec(names=(d.sub("mx1"),), key_kind=KeyKind.RSA_2048, key_label="rsa")
    d.host(chain=b.foundry.leaf(spec), tls=TlsKind.TLS12_ONLY)
    d.expect(PROTECTED)
    d = b.domain("anchor-key", "2 1 0, trust anchor's key in DNS and its certificate sent")
    key = tlsa_data(b.foundry.root.certificate, 1, 0).hex()
    d.host(tlsa=[f"2 1 0 {key}"])
    d.expect(PROTECTED)


def _root(b: Builder) -> str:
    return tlsa_text(b.foundry.root.certificate, 2, 0, 1)


def _with_leaf(b: Builder, label: str, title: str) -> tuple[DomainDraft, Chain]:
    draft = b.domain(label, title)
    return draft, b.foundry.leaf(for_host(draft.sub("mx1")))


TLS_EDGE_CASES = (
    case55, case59, case64, case65, case66, case69, case70, case71, case72, case73, case76, case77,
    case79, case81, case83, case84, case85, case86, case90, case91, case93, case95,
    odd_certificates,
)  # fmt: skip
