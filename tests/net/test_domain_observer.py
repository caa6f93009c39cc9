"""The observer of one domain: what it asks, probes and keeps, and what a deadline leaves."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio

from scanner.model.names import Name
from scanner.model.observation import (
    AddressObservation,
    AddressRecord,
    AliasHop,
    DaneApplicability,
    HostAddress,
    Lookup,
    MxKind,
    MxRecord,
    ProbeStage,
    Question,
    TlsaRecord,
    Vantage,
)
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType
from scanner.model.zones import ZoneObservation
from scanner.observe.domain import DomainObserver

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TLSA = TlsaRecord(usage=3, selector=1, matching_type=1, data=b"\x22" * 32)


class FixedClock:
    def now(self) -> datetime:
        return NOW


class TableResolver:
    """Answers from a table; anything else is a secure "no data". Counts the questions."""

    def __init__(self, **delays: float) -> None:
        self.table: dict[Question, Lookup] = {}
        self.asked: Counter[Question] = Counter()
        self.delays = delays

    def add(self, name: str, rdtype: RRType, *records: object) -> None:
        question = Question(Name(name), rdtype)
        self.table[question] = Lookup(
            question=question,
            outcome=LookupOutcome.DATA,
            status=DnssecStatus.SECURE,
            records=records,  # type: ignore[arg-type]
        )

    async def lookup(self, question: Question) -> Lookup:
        self.asked[question] += 1
        await trio.sleep(self.delays.get(question.rdtype, 0.01))
        return self.table.get(
            question,
            Lookup(question=question, outcome=LookupOutcome.NODATA, status=DnssecStatus.SECURE),
        )


class RecordingProber:
    """Finishes every probe after ``delay`` seconds and remembers what was asked of it."""

    def __init__(self, delay: Callable[[str], float] = lambda _: 0.1) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.asked_for_both: set[str] = set()
        self.delay = delay

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        self.calls.append((host, address.address, sni))
        if both_algorithms:
            self.asked_for_both.add(host)
        await trio.sleep(self.delay(address.address))
        return AddressObservation(
            host=host,
            address=address.address,
            family=address.family,
            sni=sni,
            observed_at=NOW,
            stage=ProbeStage.DONE,
        )


class Vouching:
    """A vantage monitor that records when it was asked."""

    def __init__(self, *, validating: bool = True) -> None:
        self.validating = validating
        self.asked_at: list[float] = []
        self.since: list[float | None] = []

    async def confirm(self, *, since: float | None = None, reach: bool = False) -> Vantage:
        self.asked_at.append(trio.current_time())
        self.since.append(since)
        return Vantage(resolver_up=True, resolver_validating=self.validating)


def observer(
    resolver: TableResolver, prober: RecordingProber, *, deadline: float = 120.0
) -> tuple[DomainObserver, Vouching]:
    vantage = Vouching()
    return (
        DomainObserver(
            resolver=resolver,
            prober=prober,
            vantage=vantage,
            clock=FixedClock(),
            deadline_seconds=deadline,
        ),
        vantage,
    )


def two_hosts(resolver: TableResolver) -> None:
    resolver.add(
        "p.test",
        RRType.MX,
        MxRecord(preference=20, exchange=Name("mx2.p.test")),
        MxRecord(preference=10, exchange=Name("mx1.p.test")),
    )
    for number in (1, 2):
        resolver.add(
            f"mx{number}.p.test",
            RRType.A,
            AddressRecord(address=f"192.0.2.{number}"),
            AddressRecord(address=f"192.0.2.{number}0"),
        )
    resolver.add("mx1.p.test", RRType.AAAA, AddressRecord(address="2001:db8::1"))
    resolver.add("_25._tcp.mx1.p.test", RRType.TLSA, TLSA)


async def test_every_address_of_every_host_is_probed_in_both_families(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All hosts in order of attempt, all addresses in order of the answers."""
    resolver, prober = TableResolver(), RecordingProber(lambda a: 0.5 if a.endswith(".1") else 0.1)
    two_hosts(resolver)
    watched, _ = observer(resolver, prober)
    seen = await watched.observe(Name("p.test"))
    assert [(h.preference, h.route.host) for h in seen.hosts] == [
        (10, "mx1.p.test"),
        (20, "mx2.p.test"),
    ]
    assert [a.address for a in seen.hosts[0].addresses] == [
        "192.0.2.1",
        "192.0.2.10",
        "2001:db8::1",
    ]
    assert [a.family for a in seen.hosts[0].addresses][-1] is Family.IPV6
    assert len(prober.calls) == 5
    assert seen.incomplete is None
    assert seen.observed_at == NOW


@pytest.mark.parametrize("both_algorithms", [True, False])
async def test_only_hosts_with_secure_tlsa_records_are_asked_for_both_algorithms(
    autojump_clock: trio.testing.MockClock, both_algorithms: bool
) -> None:
    """Elsewhere the certificate does not decide, and the operator may turn it off (case 96)."""
    resolver, prober = TableResolver(), RecordingProber()
    two_hosts(resolver)
    watched = DomainObserver(
        resolver=resolver,
        prober=prober,
        vantage=Vouching(),
        clock=FixedClock(),
        both_algorithms=both_algorithms,
    )
    seen = await watched.observe(Name("p.test"))
    assert [host.route.applicability for host in seen.hosts] == [
        DaneApplicability.TLSA_PRESENT,
        DaneApplicability.TLSA_ABSENT,
    ]
    assert prober.asked_for_both == ({"mx1.p.test"} if both_algorithms else set())


async def test_sni_is_the_tlsa_base_domain(autojump_clock: trio.testing.MockClock) -> None:
    """RFC 7672 §8.1 (case 82)."""
    resolver, prober = TableResolver(), RecordingProber()
    two_hosts(resolver)
    watched, _ = observer(resolver, prober)
    await watched.observe(Name("p.test"))
    assert {sni for _, _, sni in prober.calls} == {"mx1.p.test", "mx2.p.test"}


async def test_mx_target_that_is_no_host_name_is_neither_asked_for_nor_contacted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its routing needs no question at all (cases 10 and 11); the other host is still seen."""
    resolver, prober = TableResolver(), RecordingProber()
    two_hosts(resolver)
    resolver.add(
        "p.test",
        RRType.MX,
        MxRecord(preference=5, exchange=Name("192.0.2.9")),
        MxRecord(preference=10, exchange=Name("mx1.p.test")),
    )
    watched, _ = observer(resolver, prober)
    seen = await watched.observe(Name("p.test"))
    assert [host.route.applicability for host in seen.hosts] == [
        DaneApplicability.UNUSABLE_TARGET,
        DaneApplicability.TLSA_PRESENT,
    ]
    assert {host for host, _, _ in prober.calls} == {"mx1.p.test"}
    assert Question(Name("192.0.2.9"), RRType.A) not in resolver.asked


@pytest.mark.parametrize("status", [DnssecStatus.SECURE, DnssecStatus.INSECURE])
async def test_failed_tlsa_lookup_stops_contact_only_below_secure_mx_records(
    autojump_clock: trio.testing.MockClock, status: DnssecStatus
) -> None:
    """RFC 7672 §2.1.1 and §2.2.1: an unsigned domain's mail goes there without DANE."""
    resolver, prober = TableResolver(), RecordingProber()
    two_hosts(resolver)
    mx = Question(Name("p.test"), RRType.MX)
    resolver.table[mx] = replace(resolver.table[mx], status=status)
    failing = Question(Name("_25._tcp.mx1.p.test"), RRType.TLSA)
    resolver.table[failing] = Lookup(question=failing, outcome=LookupOutcome.SERVFAIL, status=None)
    watched, _ = observer(resolver, prober)
    await watched.observe(Name("p.test"))
    contacted = "mx1.p.test" in {host for host, _, _ in prober.calls}
    assert contacted == (status is DnssecStatus.INSECURE)


async def test_what_the_resolver_remembers_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One question in the air where the other is known; the evidence is the same."""

    class Remembering(TableResolver):
        def remembered(self, question: Question) -> Lookup | None:
            return self.table.get(question) if question.rdtype is not RRType.AAAA else None

    seen = []
    for resolver in (TableResolver(), Remembering()):
        resolver.add("example.org", RRType.MX, MxRecord(preference=10, exchange=Name("mx1.test")))
        resolver.add("mx1.test", RRType.A, AddressRecord(address="192.0.2.1"))
        resolver.add("_25._tcp.mx1.test", RRType.TLSA, TLSA)
        watch, _ = observer(resolver, RecordingProber())
        seen.append((await watch.observe(Name("example.org")), resolver))
    (plain, _), (quick, remembering) = seen
    assert replace(quick, duration_ms=0) == replace(plain, duration_ms=0)
    assert list(remembering.asked) == [Question(Name("mx1.test"), RRType.AAAA)]


async def test_our_vantage_is_confirmed_after_the_last_lookup(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Control questions vouch for lookups only when they come later."""
    resolver, prober = TableResolver(), RecordingProber()
    two_hosts(resolver)
    watched, vantage = observer(resolver, prober)
    started = trio.current_time()
    seen = await watched.observe(Name("p.test"))
    assert seen.vantage.resolver_up
    assert len(vantage.asked_at) == 1
    assert vantage.asked_at[0] - started >= 0.03  # MX, then addresses, then TLSA
    assert vantage.since == [started]  # and vouches for all of them


async def test_a_host_with_a_failed_tlsa_lookup_is_not_contacted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """RFC 7672 §2.1.1: such a host counts as unreachable."""
    resolver, prober = TableResolver(), RecordingProber()
    resolver.add("p.test", RRType.MX, MxRecord(preference=10, exchange=Name("mx1.p.test")))
    resolver.add("mx1.p.test", RRType.A, AddressRecord(address="192.0.2.1"))
    broken = Question(Name("_25._tcp.mx1.p.test"), RRType.TLSA)
    resolver.table[broken] = Lookup(
        question=broken, outcome=LookupOutcome.SERVFAIL, status=DnssecStatus.BOGUS
    )
    watched, _ = observer(resolver, prober)
    seen = await watched.observe(Name("p.test"))
    assert seen.hosts[0].route.applicability is DaneApplicability.TLSA_ERROR
    assert prober.calls == []


async def test_a_missing_domain_costs_one_question(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Zero follow-up questions after NXDOMAIN (case 6)."""
    resolver, prober = TableResolver(), RecordingProber()
    question = Question(Name("gone.test"), RRType.MX)
    resolver.table[question] = Lookup(
        question=question, outcome=LookupOutcome.NXDOMAIN, status=DnssecStatus.SECURE
    )
    watched, _ = observer(resolver, prober)
    seen = await watched.observe(Name("gone.test"))
    assert seen.route.kind is MxKind.NXDOMAIN
    assert resolver.asked == Counter({question: 1})


async def test_the_deadline_keeps_what_was_seen_and_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One slow address does not lose the others; the check is marked incomplete."""
    resolver = TableResolver()
    prober = RecordingProber(lambda address: 500.0 if address == "192.0.2.2" else 0.1)
    two_hosts(resolver)
    watched, _ = observer(resolver, prober, deadline=30)
    seen = await watched.observe(Name("p.test"))
    assert seen.incomplete == "our deadline of 30 s for a whole domain ended the check"
    assert [len(host.addresses) for host in seen.hosts] == [3, 1]
    assert seen.duration_ms == 30_000


async def test_a_deadline_during_the_mx_lookup_is_our_own_fault(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No verdict about the partner from a lookup that we cut off ourselves."""
    resolver, prober = TableResolver(MX=1_000.0), RecordingProber()
    watched, _ = observer(resolver, prober, deadline=5)
    seen = await watched.observe(Name("p.test"))
    assert seen.route.mx.own_fault is not None
    assert seen.incomplete is not None
    assert seen.hosts == ()


class KnownZones:
    """A zone source that records the names it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Name] = []

    def zones_of(self, names: Iterable[Name]) -> tuple[ZoneObservation, ...]:
        self.asked = list(names)
        return (ZoneObservation(zone=Name("test"), status=DnssecStatus.SECURE, observed_at=NOW),)


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_zones_of_every_name_that_was_looked_up_are_told(
    autojump_clock: trio.testing.MockClock, trusted: bool
) -> None:
    """Hosts and TLSA names included; none while our own resolver cannot be trusted."""
    resolver, zones = TableResolver(), KnownZones()
    two_hosts(resolver)
    watched = DomainObserver(
        resolver=resolver,
        prober=RecordingProber(),
        vantage=Vouching(validating=trusted),
        clock=FixedClock(),
        zones=zones,
    )
    seen = await watched.observe(Name("p.test"))
    if not trusted:
        assert (seen.zones, zones.asked) == ((), [])
        return
    assert [zone.zone for zone in seen.zones] == ["test"]
    assert set(zones.asked) == {
        "p.test",
        "mx1.p.test",
        "mx2.p.test",
        "_25._tcp.mx1.p.test",
        "_25._tcp.mx2.p.test",
    }


async def test_alias_targets_lie_in_zones_too(autojump_clock: trio.testing.MockClock) -> None:
    """The answer rests on the zones of all of them."""
    resolver, zones = TableResolver(), KnownZones()
    question = Question(Name("p.test"), RRType.MX)
    hop = AliasHop(owner=question.name, target=Name("q.example"), status=DnssecStatus.SECURE)
    resolver.table[question] = Lookup(
        question=question,
        outcome=LookupOutcome.NXDOMAIN,
        status=DnssecStatus.SECURE,
        aliases=(hop,),
    )
    watched = DomainObserver(
        resolver=resolver,
        prober=RecordingProber(),
        vantage=Vouching(),
        clock=FixedClock(),
        zones=zones,
    )
    await watched.observe(Name("p.test"))
    assert set(zones.asked) >= {"p.test", "q.example"}
