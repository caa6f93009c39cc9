"""Evidence made by hand, for tests of verdicts: a small world of DNS answers and mail servers.

``base()`` is the base of the fifty scenarios: ``p.test`` is signed and has two MX hosts with secure
addresses, STARTTLS, TLS 1.3, a valid certificate and a matching TLSA record 3 1 1. A test changes
what its scenario says and asks for the verdicts:

    world = base(hosts=1)
    world.probe("mx1.p.test", error=ProbeError.STARTTLS_NOT_OFFERED, stage=ProbeStage.EHLO)
    judgement = world.judge()

The DNS answers go through the real routing, so that a scenario also says which questions a sender
asks: a question outside the world fails the test.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from minting import DAY, NOW, Minted, mint

from scanner.judge.domain import judge
from scanner.judge.routing import route_domain, route_host
from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import (
    AddressObservation,
    AddressRecord,
    AliasHop,
    DaneApplicability,
    DomainObservation,
    ExtendedError,
    HostAddress,
    HostObservation,
    Lookup,
    MxRecord,
    ProbeStage,
    Question,
    Record,
    TlsaRecord,
    Vantage,
)
from scanner.model.policy import Policy, RoutingLimits
from scanner.model.reasons import Reason
from scanner.model.verdict import Finding, HostJudgement, Judgement, ProfileVerdict
from scanner.model.vocabulary import (
    DnssecStatus,
    Family,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
)

__all__ = ["DAY", "NOW", "World", "base", "leaf", "mint", "tlsa"]

SEC, INS = DnssecStatus.SECURE, DnssecStatus.INSECURE
BOGUS, INDET = DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE
DATA, NODATA, NX = LookupOutcome.DATA, LookupOutcome.NODATA, LookupOutcome.NXDOMAIN
SERVFAIL, TIMEOUT = LookupOutcome.SERVFAIL, LookupOutcome.TIMEOUT
RFC, EXO = Profile.RFC7672, Profile.EXCHANGE_ONLINE
SEEING = Vantage(resolver_up=True, resolver_validating=True, egress_ipv4=True, egress_ipv6=True)
"""A scanner that can see: resolver up and validating, both address families proven."""

MX1, MX2, MX3 = Name("mx1.p.test"), Name("mx2.p.test"), Name("mx3.p.test")
P = Name("p.test")

SOON = timedelta(hours=3)
"""Ahead by less than any warning period."""

_T = TypeVar("_T")
_ALWAYS_CONTACTED = (
    DaneApplicability.TLSA_PRESENT,
    DaneApplicability.TLSA_ABSENT,
    DaneApplicability.NOT_APPLICABLE,
)


def leaf(
    name: str = "mx1.p.test", *, days: tuple[float, float] = (-30, 60), **more: object
) -> Minted:
    """A self-signed server certificate for ``name``."""
    return mint(name, dns=(name,), days=days, **more)  # type: ignore[arg-type]


def tlsa(usage: int, selector: int, matching_type: int, of: Minted | bytes) -> TlsaRecord:
    """The TLSA record with these parameters for a certificate, or with the given data."""
    data = of if isinstance(of, bytes) else of.association(selector, matching_type)
    return TlsaRecord(usage=usage, selector=selector, matching_type=matching_type, data=data)


WRONG = b"\x5a" * 32
"""A SHA-256 digest of nothing that is ever presented."""
WRONG_512 = b"\x5a" * 64


@dataclass
class World:
    """DNS answers and what the mail servers do, for one domain."""

    domain: Name = P
    lookups: dict[Question, Lookup] = field(default_factory=dict)
    probes: dict[str, AddressObservation] = field(default_factory=dict)
    addresses: dict[Name, list[str]] = field(default_factory=dict)
    vantage: Vantage = SEEING
    incomplete: str | None = None
    now: datetime = NOW
    asked: list[Question] = field(default_factory=list)

    # --- DNS -------------------------------------------------------------------------------------

    def answer(
        self,
        name: str,
        rdtype: RRType,
        *records: Record,
        status: DnssecStatus | None = SEC,
        outcome: LookupOutcome | None = None,
        aliases: Sequence[tuple[str, DnssecStatus | None]] = (),
        ede: int | None = None,
        own_fault: str | None = None,
        signature_expires_at: datetime | None = None,
    ) -> None:
        """Answer one question; ``aliases`` are (target, status of the link), in order."""
        question = Question(Name(name), rdtype)
        owners = [name, *(target for target, _ in aliases)]
        self.lookups[question] = Lookup(
            question=question,
            outcome=outcome or (DATA if records else NODATA),
            status=status,
            records=records,
            aliases=tuple(
                AliasHop(owner=Name(owner), target=Name(target), status=link)
                for owner, (target, link) in zip(owners, aliases, strict=False)
            ),
            extended_errors=() if ede is None else (ExtendedError(code=ede),),
            own_fault=own_fault,
            signature_expires_at=signature_expires_at,
        )

    def fail(
        self,
        name: str,
        rdtype: RRType,
        outcome: LookupOutcome = SERVFAIL,
        status: DnssecStatus | None = None,
        **more: object,
    ) -> None:
        """Let one question fail."""
        self.answer(name, rdtype, outcome=outcome, status=status, **more)  # type: ignore[arg-type]

    def mx(self, *hosts: tuple[int, str], **more: object) -> None:
        """Publish MX records."""
        records = [MxRecord(preference=number, exchange=Name(host)) for number, host in hosts]
        self.answer(self.domain, RRType.MX, *records, **more)  # type: ignore[arg-type]

    def host(
        self,
        name: str,
        *addresses: str,
        status: DnssecStatus | None = SEC,
        ipv6_status: DnssecStatus | None = None,
        aliases: Sequence[tuple[str, DnssecStatus | None]] = (),
    ) -> None:
        """Give a host addresses; a family without any is denied under the same status."""
        for rdtype, wanted in ((RRType.A, False), (RRType.AAAA, True)):
            records = [AddressRecord(address=one) for one in addresses if (":" in one) is wanted]
            here = ipv6_status if wanted and ipv6_status is not None else status
            self.answer(name, rdtype, *records, status=here, aliases=aliases)
        self.addresses[Name(name)] = list(addresses)

    def records(self, base: str, *records: TlsaRecord, **more: object) -> None:
        """Publish TLSA records for a base domain; none means a proven absence."""
        self.answer(tlsa_owner(Name(base)), RRType.TLSA, *records, **more)  # type: ignore[arg-type]

    # --- mail servers ----------------------------------------------------------------------------

    def probe(
        self, host: str, *chain: Minted | bytes, at: str | None = None, **more: object
    ) -> None:
        """Let the addresses of ``host`` (or one, ``at``) present a chain or end with an error."""
        for address in [at] if at else self.addresses[Name(host)]:
            self.probes[address] = _observed(host, address, chain, more)

    # --- judging ---------------------------------------------------------------------------------

    def observe(self) -> DomainObservation:
        """Return the evidence a scanner would gather in this world."""
        route = self._converse(route_domain(self.domain, limits=RoutingLimits()))
        hosts = []
        for exchange in route.exchanges:
            host = self._converse(route_host(exchange.exchange, limits=RoutingLimits()))
            contacted = host.applicability in _ALWAYS_CONTACTED or (
                host.applicability is DaneApplicability.TLSA_ERROR and route.mx.status is INS
            )
            probes = tuple(
                self._probed(exchange.exchange, address)
                for address in (host.addresses if contacted else ())
            )
            hosts.append(
                HostObservation(preference=exchange.preference, route=host, addresses=probes)
            )
        return DomainObservation(
            domain=self.domain,
            observed_at=self.now,
            duration_ms=812,
            route=route,
            hosts=tuple(hosts),
            vantage=self.vantage,
            incomplete=self.incomplete,
        )

    def judge(self, policy: Policy | None = None) -> Judgement:
        """Return the opinion about this world."""
        return judge(self.observe(), policy=policy or Policy(), now=self.now)

    def _probed(self, host: Name, address: HostAddress) -> AddressObservation:
        found = self.probes[address.address]
        return replace(found, host=host, family=address.family)

    def _converse(
        self, steps: Generator[tuple[Question, ...], Mapping[Question, Lookup], _T]
    ) -> _T:
        answers: dict[Question, Lookup] | None = None
        while True:
            try:
                needed = next(steps) if answers is None else steps.send(answers)
            except StopIteration as done:
                result: _T = done.value
                return result
            self.asked.extend(needed)
            answers = {question: self.lookups[question] for question in needed}

    def asked_for(self, rdtype: RRType) -> list[Question]:
        """Return the questions of one type that were asked."""
        return [question for question in self.asked if question.rdtype is rdtype]


def _observed(
    host: str, address: str, chain: Sequence[Minted | bytes], more: dict[str, object]
) -> AddressObservation:
    ders = tuple(one if isinstance(one, bytes) else one.der for one in chain)
    fields: dict[str, object] = {
        "host": Name(host),
        "address": address,
        "family": Family.IPV6 if ":" in address else Family.IPV4,
        "sni": Name(host),
        "observed_at": NOW,
        "stage": ProbeStage.DONE,
        "starttls_offered": True,
        "tls_version": "TLSv1.3",
        "chain": ders,
    }
    if more.get("error") is not None:
        fields |= {"chain": (), "tls_version": None}
    return AddressObservation(**(fields | more))  # type: ignore[arg-type]


def base(hosts: int = 2) -> World:
    """Return the base world of the scenarios with one, two or three MX hosts."""
    world = World()
    names = [f"mx{number}.p.test" for number in range(1, hosts + 1)]
    world.mx(*((10 * number, name) for number, name in enumerate(names, 1)))
    for number, name in enumerate(names, 1):
        certificate = leaf(name)
        world.host(name, f"192.0.2.{number}")
        world.records(name, tlsa(3, 1, 1, certificate))
        world.probe(name, certificate)
    return world


# --- reading judgements --------------------------------------------------------------------------


def summary(judgement: Judgement) -> tuple[str, str]:
    """Return the verdicts under both profiles."""
    return judgement.of(RFC).verdict.value, judgement.of(EXO).verdict.value


def host_of(judgement: Judgement, host: str, profile: Profile = EXO) -> HostJudgement:
    """Return the judgement on one host."""
    return next(one for one in judgement.of(profile).hosts if one.host == host)


def outcome_of(judgement: Judgement, host: str, profile: Profile = EXO) -> HostOutcome:
    """Return the outcome at one host."""
    return host_of(judgement, host, profile).judged.outcome


def codes(judgement: Judgement) -> set[Reason]:
    """Return the codes of the findings."""
    return {finding.code for finding in judgement.findings}


def findings(judgement: Judgement, code: Reason) -> list[Finding]:
    """Return the findings with one code."""
    return [finding for finding in judgement.findings if finding.code is code]


def shown(verdict: ProfileVerdict) -> tuple[str | None, str | None, str | None]:
    """Return code, cause code and final code."""
    return verdict.code, verdict.cause_code, verdict.final_code


def assert_verdicts(
    judgement: Judgement,
    rfc: str,
    exo: str,
    code: str | None = None,
    *,
    cause: str | None = "same",
) -> None:
    """Both verdicts, and the three codes of Exchange Online. ``cause`` defaults to ``code``."""
    assert summary(judgement) == (rfc, exo)
    expected_cause = code if cause == "same" else cause
    final = None if code is None else code.replace("4.", "5.", 1)
    assert shown(judgement.of(EXO)) == (code, expected_cause, final)
