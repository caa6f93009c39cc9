"""The demo's little economy: a dozen partners with ordinary names and ordinary mistakes."""

from scanner.lab.builder import UNSIGNED, Builder, HostDraft
from scanner.lab.ca import LeafSpec, for_host
from scanner.lab.plan import Algorithm, Behaviour, Denial, DnsFaultKind, DsKind
from scanner.lab.scenarios_tls import ONE_DAY, WRONG_311
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict

PROTECTED = DomainVerdict.PROTECTED
BLOCKED = DomainVerdict.BLOCKED


def story(b: Builder) -> None:
    """Write all partners."""
    b.label = "demo"
    _well_kept(b)
    _without_dane(b)
    _broken(b)


def _well_kept(b: Builder) -> None:
    d = b.domain("bank", "a bank with two mail hosts of its own")
    d.host("mx1")
    d.host("mx2", preference=20)
    d.expect(PROTECTED)
    provider = b.zone("mailhaven.test", algorithm=Algorithm.ED25519, denial=Denial.NSEC3)
    shared = b.domain("mailhaven", "a mail provider", zone=provider)
    hosts = [shared.host("mx1"), shared.host("mx2", preference=20)]
    shared.expect(PROTECTED)
    for label, title in (("insurer", "an insurer"), ("clinic", "a clinic"), ("city", "a city")):
        _customer(b, label, title, hosts)
    d = b.domain("university", "a university, zone signed with RSA", algorithm=Algorithm.RSA_SHA256)
    d.host()
    d.expect(PROTECTED)


def _without_dane(b: Builder) -> None:
    d = b.domain("bakery", "a bakery without DNSSEC", **UNSIGNED)
    d.host(tlsa=())
    d.expect(DomainVerdict.OPPORTUNISTIC)
    d = b.domain("brewery", "a brewery, signed but without TLSA")
    d.host(tlsa=())
    d.expect(DomainVerdict.OPPORTUNISTIC)
    d = b.domain("airport", "an airport whose second host has no TLSA")
    d.host("mx1")
    d.host("mx2", preference=20, tlsa=())
    d.expect(DomainVerdict.PARTIAL, findings=[Reason.DOWNGRADE_PATH])
    d = b.domain("archive", "an archive that takes no mail")
    d.zone.add(d.name, "MX", "0 .")
    d.expect(DomainVerdict.NO_MAIL, code="5.1.10")


def _broken(b: Builder) -> None:
    d = b.domain("notary", "a notary who renewed the certificate and forgot the TLSA record")
    d.host(tlsa=[WRONG_311], code="4.7.323")
    d.expect(BLOCKED, code="4.7.323")
    d = b.domain("pharmacy", "a pharmacy whose certificate expired yesterday")
    spec = LeafSpec(names=(d.sub("mx1"),), starts=-90 * ONE_DAY, ends=-ONE_DAY)
    d.host(chain=b.foundry.leaf(spec), code="4.7.322")
    d.expect(PROTECTED, BLOCKED, code="4.7.322")
    d = b.domain("harbour", "a harbour whose parent zone holds an old DS", ds=DsKind.MISMATCH)
    d.host()
    d.expect(BLOCKED, code="4.4.312", cause="4.7.324")
    d = b.domain("museum", "a museum whose TLSA signature has expired")
    host = d.host()
    d.fault(DnsFaultKind.SIGNATURE_EXPIRED, host.tlsa, "TLSA")
    d.expect(BLOCKED, code="4.7.324")
    d = b.domain("press", "a press agency behind a firewall that hides STARTTLS")
    d.host(behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    d.expect(BLOCKED, code="4.7.321")
    d = b.domain("theatre", "a theatre with a stale record on its first host only")
    first = b.foundry.leaf(for_host(d.sub("mx1")))
    d.host("mx1", chain=first, tlsa=[WRONG_311], code="4.7.323")
    d.host("mx2", preference=20)
    d.expect(DomainVerdict.DEGRADED)


def _customer(b: Builder, label: str, title: str, hosts: list[HostDraft]) -> None:
    d = b.domain(label, f"{title} at a mail provider")
    for number, host in enumerate(hosts, 1):
        d.mx(host.name, number * 10, addresses=host.addresses, zone=host.zone.origin)
    d.expect(PROTECTED)
