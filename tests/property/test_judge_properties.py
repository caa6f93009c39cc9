"""What holds for every verdict, whatever the evidence.

Two kinds of evidence are generated: worlds of two or three MX hosts in which everything may go
wrong in the ways of the tables, and observations of plain nonsense.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import hypothesis.strategies as st
from evidence import (
    BOGUS,
    EXO,
    INDET,
    INS,
    NOW,
    RFC,
    SEC,
    SEEING,
    SERVFAIL,
    TIMEOUT,
    WRONG,
    WRONG_512,
    World,
    leaf,
    mint,
    tlsa,
)
from hypothesis import given, settings
from minting import Minted

from scanner.judge.aggregate import Weighed, aggregate
from scanner.judge.domain import DELIVERED, STOPPED, judge
from scanner.judge.note import MAX_MESSAGE_CHARACTERS
from scanner.judge.outcomes import DELIVERABLE
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
    HostRoute,
    Lookup,
    MailRoute,
    MxKind,
    MxRecord,
    ProbeError,
    ProbeStage,
    Question,
    TargetProblem,
    TlsaCandidate,
    TlsaRecord,
    Vantage,
)
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.verdict import HostJudgement, Judged, Judgement
from scanner.model.vocabulary import (
    CodeSet,
    DnssecStatus,
    DomainVerdict,
    Family,
    Fault,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
    Scenario1Scope,
)

# --- worlds --------------------------------------------------------------------------------------

CA = mint("CA", ca=True)
HOSTS = ("mx1.p.test", "mx2.p.test", "mx3.p.test")
GOOD = {name: leaf(name) for name in HOSTS}
EXPIRED = {name: leaf(name, days=(-90, -1)) for name in HOSTS}
ISSUED = {name: mint(name, CA, dns=[name]) for name in HOSTS}

OWN_ERRORS = (ProbeError.NO_ROUTE, ProbeError.OWN_RESOURCES, ProbeError.INTERNAL)
PROBES: dict[str, Callable[[World, str, str], None]] = {
    "good": lambda world, host, at: world.probe(host, GOOD[host], at=at),
    "expired": lambda world, host, at: world.probe(host, EXPIRED[host], at=at),
    "both": lambda world, host, at: world.probe(
        host, GOOD[host], at=at, other_chain=(EXPIRED[host].der,)
    ),
    "issued": lambda world, host, at: world.probe(host, ISSUED[host], CA, at=at),
    "old-tls": lambda world, host, at: world.probe(host, GOOD[host], at=at, tls_version="TLSv1"),
    **{
        f"{error}-{stage}": (
            lambda world, host, at, stage=stage, error=error: world.probe(  # type: ignore[misc]
                host, at=at, stage=stage, error=error
            )
        )
        for stage, error in (
            (ProbeStage.CONNECT, ProbeError.REFUSED),
            (ProbeStage.CONNECT, ProbeError.TIMEOUT),
            (ProbeStage.CONNECT, ProbeError.NOT_CONTACTED),
            (ProbeStage.GREETING, ProbeError.REPLY_PERMANENT),
            (ProbeStage.EHLO, ProbeError.STARTTLS_NOT_OFFERED),
            (ProbeStage.STARTTLS, ProbeError.REPLY_TRANSIENT),
            (ProbeStage.HANDSHAKE, ProbeError.TLS_ALERT),
            *((ProbeStage.CONNECT, error) for error in OWN_ERRORS),
        )
    },
}
RECORDS: dict[str, Callable[[str], Sequence[TlsaRecord]]] = {
    "good": lambda host: [tlsa(3, 1, 1, GOOD[host])],
    "anchor": lambda host: [tlsa(2, 0, 1, CA)],
    "wrong": lambda host: [tlsa(3, 1, 1, WRONG)],
    "agility": lambda host: [tlsa(3, 1, 1, GOOD[host]), tlsa(3, 1, 2, WRONG_512)],
    "unusable": lambda host: [tlsa(1, 1, 1, WRONG)],
    "none": lambda host: [],
}
FAILURES = st.sampled_from(
    [
        (SERVFAIL, None),
        (TIMEOUT, None),
        (SERVFAIL, BOGUS),
        (LookupOutcome.DATA, INDET),
        (LookupOutcome.MALFORMED, None),
    ]
)
often = st.sampled_from([False, False, False, True])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A domain with up to three MX hosts, most of them in order."""
    world = World()
    names = HOSTS[: draw(st.integers(1, 3))]
    world.mx(
        *((draw(st.sampled_from([10, 20])), name) for name in names),
        status=draw(st.sampled_from([SEC, SEC, SEC, INS])),
    )
    for number, name in enumerate(names, 1):
        add_host(draw, world, name, number)
    world.vantage = draw(
        st.sampled_from([SEEING, SEEING, SEEING, Vantage(egress_ipv4=None, egress_ipv6=None)])
    )
    return world


def add_host(draw: st.DrawFn, world: World, name: str, number: int) -> None:
    addresses = [f"192.0.2.{number}", f"2001:db8::{number}"][: draw(st.integers(1, 2))]
    if draw(often):
        addresses = []
    world.host(name, *addresses, status=draw(st.sampled_from([SEC, SEC, SEC, INS])))
    if draw(often):
        outcome, status = draw(FAILURES)
        world.fail(name, draw(st.sampled_from([RRType.A, RRType.AAAA])), outcome, status)
    if draw(often):
        outcome, status = draw(FAILURES)
        world.fail(tlsa_owner(Name(name)), RRType.TLSA, outcome, status)
    else:
        world.records(name, *RECORDS[draw(st.sampled_from(sorted(RECORDS)))](name))
    for address in addresses:
        PROBES[draw(st.sampled_from(sorted(PROBES)))](world, name, address)


policies = st.builds(
    Policy,
    scenario1_scope=st.sampled_from(Scenario1Scope),
    code_set=st.sampled_from(CodeSet),
    mandatory=st.booleans(),
    dane_on_insecure_mx=st.booleans(),
    digest_agility=st.booleans(),
)


# --- what holds in every world -------------------------------------------------------------------


@given(worlds(), policies)
@settings(max_examples=150)
def test_codes_appear_exactly_where_mail_waits_or_returns(world: World, policy: Policy) -> None:
    """Delivered and undecided mail has no code, a code is of class 4 until it is final."""
    for verdict in world.judge(policy).verdicts:
        if verdict.verdict in STOPPED:
            assert verdict.reason is not None
            if verdict.code is not None:
                assert verdict.final_code == "5" + verdict.code[1:]
        elif verdict.verdict is not DomainVerdict.NO_MAIL:
            assert (verdict.code, verdict.cause_code, verdict.final_code) == (None, None, None)
        if verdict.verdict is DomainVerdict.INCONCLUSIVE:
            assert verdict.fault is Fault.SCANNER
        else:
            assert verdict.fault is not Fault.SCANNER
            assert verdict.reason is None or not info(verdict.reason).own_side


@given(worlds(), policies)
@settings(max_examples=150)
def test_protection_and_stops_are_borne_out_by_the_hosts(world: World, policy: Policy) -> None:
    """``protected``: every host that delivers authenticates. Stops: none does, or scenario 1."""
    judgement = world.judge(policy)
    secure = world.observe().route.mx.status is SEC
    for verdict in judgement.verdicts:
        delivering = [one.judged for one in verdict.hosts if one.judged.outcome in DELIVERABLE]
        if verdict.verdict is DomainVerdict.PROTECTED:
            assert secure
            assert {one.outcome for one in delivering} == {HostOutcome.AUTHENTICATED}
        if verdict.verdict in STOPPED and delivering:
            assert verdict.profile is EXO
            assert policy.scenario1_scope is Scenario1Scope.DOMAIN
        if verdict.verdict in DELIVERED:
            assert delivering


@given(worlds(), policies)
@settings(max_examples=100)
def test_domain_scope_only_ever_adds_stops(world: World, policy: Policy) -> None:
    """The literal reading of scenario 1 is the cautious one."""
    by_domain = world.judge(replace(policy, scenario1_scope=Scenario1Scope.DOMAIN)).of(EXO)
    by_host = world.judge(replace(policy, scenario1_scope=Scenario1Scope.HOST)).of(EXO)
    if by_domain.verdict is not by_host.verdict:
        assert by_domain.verdict in STOPPED
        if by_host.verdict is DomainVerdict.INCONCLUSIVE:
            assert by_domain.other_scope_verdict is None
            return
        assert by_domain.other_scope_verdict is by_host.verdict
        assert by_host.other_scope_verdict is by_domain.verdict


@given(worlds(), policies, st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_order_of_the_evidence_does_not_matter(
    world: World, policy: Policy, random: object
) -> None:
    """Hosts and probes finish in any order."""
    seen = world.observe()
    hosts = [replace(host, addresses=shuffled(random, host.addresses)) for host in seen.hosts]
    other = replace(seen, hosts=shuffled(random, hosts))
    assert judge(other, policy=policy, now=NOW) == judge(seen, policy=policy, now=NOW)


@given(worlds(), policies, st.sampled_from([*GOOD.values(), *EXPIRED.values(), *ISSUED.values()]))
@settings(max_examples=100)
def test_the_other_certificate_decides_nothing(world: World, policy: Policy, other: Minted) -> None:
    """Whatever a second connection brings, verdicts and outcomes are those of the first (C30)."""
    seen = world.observe()
    hosts = tuple(
        replace(
            host,
            addresses=tuple(
                replace(one, other_chain=(other.der, CA.der) if one.chain else ())
                for one in host.addresses
            ),
        )
        for host in seen.hosts
    )
    alone = without_other(judge(seen, policy=policy, now=NOW))
    assert without_other(judge(replace(seen, hosts=hosts), policy=policy, now=NOW)) == alone


def without_other(judgement: Judgement) -> list[object]:
    """Everything in the verdicts but what is said of the other certificate itself."""
    return [
        replace(
            verdict,
            hosts=tuple(
                replace(
                    host,
                    addresses=tuple(replace(one, other=None) for one in host.addresses),
                )
                for host in verdict.hosts
            ),
        )
        for verdict in judgement.verdicts
    ]


def shuffled(random: object, items: Sequence[object]) -> tuple[object, ...]:
    copy = list(items)
    random.shuffle(copy)  # type: ignore[attr-defined]
    return tuple(copy)


# --- our own faults ------------------------------------------------------------------------------


def faulty_lookup(lookup: Lookup) -> Lookup:
    return replace(lookup, own_fault="our own network is down")


def blinded(seen: DomainObservation, draw: st.DrawFn) -> DomainObservation:
    """Replace one piece of evidence by a fault of ours."""
    kinds = ["vantage", "incomplete", "mx"]
    hosts = [index for index, host in enumerate(seen.hosts) if host.route.ipv4 is not None]
    probed = [index for index, host in enumerate(seen.hosts) if host.addresses]
    kinds += ["lookup"] * bool(hosts) + ["probe", "lost-probe"] * bool(probed)
    kind = draw(st.sampled_from(kinds))
    if kind == "vantage":
        field = draw(st.sampled_from(["resolver_up", "resolver_validating"]))
        return replace(seen, vantage=replace(seen.vantage, **{field: False}))
    if kind == "incomplete":
        return replace(seen, incomplete="our deadline ended the check")
    if kind == "mx":
        return replace(seen, route=replace(seen.route, mx=faulty_lookup(seen.route.mx)))
    index = draw(st.sampled_from(hosts if kind == "lookup" else probed))
    host = seen.hosts[index]
    if kind == "lookup":
        assert host.route.ipv4 is not None
        changed = replace(host, route=replace(host.route, ipv4=faulty_lookup(host.route.ipv4)))
    else:
        at = draw(st.integers(0, len(host.addresses) - 1))
        lost = replace(
            host.addresses[at],
            stage=ProbeStage.CONNECT,
            error=draw(st.sampled_from([ProbeError.OWN_RESOURCES, ProbeError.INTERNAL])),
            chain=(),
            tls_version=None,
        )
        new = (lost,) if kind == "probe" else ()
        changed = replace(host, addresses=host.addresses[:at] + new + host.addresses[at + 1 :])
    return replace(seen, hosts=(*seen.hosts[:index], changed, *seen.hosts[index + 1 :]))


@given(worlds(), policies, st.data())
@settings(max_examples=300)
def test_own_fault_in_place_of_evidence_never_changes_a_verdict_but_to_inconclusive(
    world: World, policy: Policy, data: st.DataObject
) -> None:
    """Least of all does it stop mail that was delivered."""
    seen = world.observe()
    before = judge(seen, policy=policy, now=NOW)
    after = judge(data.draw(faults(seen)), policy=policy, now=NOW)
    for profile in Profile:
        assert after.of(profile).verdict in (
            before.of(profile).verdict,
            DomainVerdict.INCONCLUSIVE,
        )


@st.composite
def faults(draw: st.DrawFn, seen: DomainObservation) -> DomainObservation:
    return blinded(seen, draw)


@given(worlds(), policies, st.data())
@settings(max_examples=150)
def test_missing_address_family_of_ours_never_hides_delivery_behind_a_stop(
    world: World, policy: Policy, data: st.DataObject
) -> None:
    """It may bring out what the other family alone shows: a failure that is really there."""
    seen = world.observe()
    families = data.draw(st.sampled_from([{Family.IPV4}, {Family.IPV6}, set(Family)]))
    without = replace(seen, hosts=tuple(without_route(host, families) for host in seen.hosts))
    before, after = judge(seen, policy=policy, now=NOW), judge(without, policy=policy, now=NOW)
    for profile in Profile:
        if before.of(profile).verdict in DELIVERED and after.of(profile).verdict in STOPPED:
            failing = [
                one
                for host in after.of(profile).hosts
                for one in host.addresses
                if one.judged.outcome is HostOutcome.FAILED
            ]
            assert failing


def without_route(host: HostObservation, families: set[Family]) -> HostObservation:
    def lost(probe: AddressObservation) -> AddressObservation:
        if probe.family not in families:
            return probe
        return replace(probe, stage=ProbeStage.CONNECT, error=ProbeError.NO_ROUTE, chain=())

    return replace(host, addresses=tuple(lost(probe) for probe in host.addresses))


@given(worlds(), policies, st.data())
@settings(max_examples=150)
def test_repairing_an_address_never_stops_mail_that_was_delivered(
    world: World, policy: Policy, data: st.DataObject
) -> None:
    """Monotonicity: a probe that matches everything is at least as good as any other."""
    before = world.judge(policy)
    probed = [name for name in world.addresses if world.addresses[name]]
    if not probed:
        return
    name = data.draw(st.sampled_from(sorted(probed)))
    address = data.draw(st.sampled_from(world.addresses[name]))
    records = world.lookups[Question(tlsa_owner(name), RRType.TLSA)].records
    good = ISSUED[name] if any(r.usage == 2 for r in records) else GOOD[name]  # type: ignore[union-attr]
    world.probe(name, good, CA, at=address)
    after = world.judge(policy)
    for profile in Profile:
        if before.of(profile).verdict in DELIVERED:
            assert after.of(profile).verdict not in STOPPED


# --- hosts that could not be judged --------------------------------------------------------------

MEASURED = [
    Judged(outcome=HostOutcome.AUTHENTICATED),
    Judged(outcome=HostOutcome.ENCRYPTED, reason=Reason.TLSA_ALL_UNUSABLE),
    Judged(outcome=HostOutcome.OPPORTUNISTIC_TLS, reason=Reason.TLSA_ABSENT),
    Judged(outcome=HostOutcome.FAILED, reason=Reason.TLSA_MISMATCH),
    Judged(outcome=HostOutcome.FAILED, reason=Reason.STARTTLS_DEFERRED, transient=True),
    Judged(outcome=HostOutcome.LOOKUP_FAILED, reason=Reason.TLSA_DNSSEC_BOGUS),
    Judged(outcome=HostOutcome.LOOKUP_FAILED, reason=Reason.TLSA_LOOKUP_FAILED, transient=True),
    Judged(outcome=HostOutcome.UNREACHABLE, reason=Reason.CONNECTION_REFUSED, transient=True),
    Judged(outcome=HostOutcome.NO_ADDRESS, reason=Reason.HOST_NO_ADDRESS),
]
LOST = Judged(outcome=HostOutcome.INCONCLUSIVE, reason=Reason.OWN_RESOURCES)


def as_weighed(judged: Judged, *, may_fail: bool = True) -> Weighed:
    host = HostJudgement(host=Name("mx.p.test"), preference=10, judged=judged)
    return Weighed(judgement=host, may_fail=may_fail)


def possible_outcomes(host: Weighed) -> list[Judged]:
    """What a host that we lost might have turned out to be."""
    if host.outcome is not HostOutcome.INCONCLUSIVE:
        return [host.judgement.judged]
    down = MEASURED[7]
    return [MEASURED[0], MEASURED[3], down] if host.may_fail else [MEASURED[2], down]


@given(
    st.lists(st.sampled_from(MEASURED), max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=300)
def test_undecided_hosts_leave_a_verdict_exactly_where_every_outcome_agrees(
    measured: list[Judged], lost: list[bool], mx_secure: bool, domain_scope: bool
) -> None:
    """Never more is claimed than was measured."""
    hosts = [as_weighed(judged) for judged in measured]
    hosts += [as_weighed(LOST, may_fail=may_fail) for may_fail in lost]

    def verdict_of(some: Sequence[Weighed]) -> DomainVerdict:
        return aggregate(some, mx_secure=mx_secure, domain_scope=domain_scope).verdict

    claimed = verdict_of(hosts)
    completed = {
        verdict_of([as_weighed(judged) for judged in outcomes])
        for outcomes in product(*(possible_outcomes(host) for host in hosts))
    }
    expected = completed.pop() if len(completed) == 1 else DomainVerdict.INCONCLUSIVE
    assert claimed is expected


# --- nonsense ------------------------------------------------------------------------------------

names = st.sampled_from([Name("p.test"), Name("mx1.p.test"), Name("."), Name("a\\.b.test")])
texts = st.text(max_size=20)
octets = st.integers(0, 255)
chains = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([GOOD["mx1.p.test"].der, ISSUED["mx1.p.test"].der, CA.der]),
    ),
    max_size=4,
).map(tuple)
records = st.one_of(
    st.builds(
        TlsaRecord,
        usage=octets,
        selector=octets,
        matching_type=octets,
        data=st.binary(max_size=70),
    ),
    st.just(TlsaRecord(usage=None, selector=None, matching_type=None, data=b"")),
    st.sampled_from([tlsa(3, 1, 1, GOOD["mx1.p.test"]), tlsa(2, 0, 0, CA), tlsa(2, 1, 1, CA)]),
)
lookups = st.builds(
    Lookup,
    question=st.builds(Question, names, st.sampled_from(RRType)),
    outcome=st.sampled_from(LookupOutcome),
    status=st.none() | st.sampled_from(DnssecStatus),
    records=st.lists(
        st.one_of(
            records,
            st.builds(AddressRecord, address=texts),
            st.builds(MxRecord, preference=st.integers(0, 65535), exchange=names),
        ),
        max_size=3,
    ).map(tuple),
    aliases=st.lists(
        st.builds(
            AliasHop,
            owner=names,
            target=names,
            status=st.none() | st.sampled_from(DnssecStatus),
        ),
        max_size=2,
    ).map(tuple),
    extended_errors=st.lists(
        st.builds(ExtendedError, code=st.integers(0, 65535), text=texts), max_size=2
    ).map(tuple),
    detail=st.none() | texts,
    own_fault=st.none() | st.none() | texts,
)
maybe_lookups = st.none() | lookups
probes = st.builds(
    AddressObservation,
    host=names,
    address=texts,
    family=st.sampled_from(Family),
    sni=st.none() | names,
    observed_at=st.just(NOW),
    stage=st.sampled_from(ProbeStage),
    error=st.none() | st.sampled_from(ProbeError),
    detail=st.none() | texts,
    reply_code=st.none() | st.integers(0, 999),
    reply_text=st.none() | texts,
    early_plaintext=st.booleans(),
    tls_version=st.none() | st.sampled_from(["TLSv1", "TLSv1.2", "TLSv1.3", "?"]),
    chain=chains,
)
host_routes = st.builds(
    HostRoute,
    host=names,
    applicability=st.sampled_from(DaneApplicability),
    tlsa_base=names,
    addresses=st.lists(
        st.builds(
            HostAddress,
            address=texts,
            family=st.sampled_from(Family),
            status=st.none() | st.sampled_from(DnssecStatus),
        ),
        max_size=2,
    ).map(tuple),
    tlsa=st.lists(records, max_size=4).map(tuple),
    ipv4=maybe_lookups,
    ipv6=maybe_lookups,
    alias=maybe_lookups,
    candidates=st.lists(st.builds(TlsaCandidate, base=names, lookup=lookups), max_size=2).map(
        tuple
    ),
    failed_lookup=maybe_lookups,
    target_problem=st.none() | st.sampled_from(TargetProblem),
    addresses_ignored=st.integers(0, 2),
)
observations = st.builds(
    DomainObservation,
    domain=names,
    observed_at=st.just(NOW),
    duration_ms=st.integers(0, 10_000),
    route=st.builds(
        MailRoute,
        domain=names,
        mx=lookups,
        kind=st.sampled_from(MxKind),
        expanded=names,
        exchanges=st.lists(
            st.builds(MxRecord, preference=st.integers(0, 65535), exchange=names), max_size=2
        ).map(tuple),
        duplicate_hosts=st.lists(names, max_size=1).map(tuple),
        null_beside_others=st.booleans(),
        null_with_preference=st.booleans(),
        hosts_ignored=st.integers(0, 1),
    ),
    hosts=st.lists(
        st.builds(
            HostObservation,
            preference=st.integers(0, 65535),
            route=host_routes,
            addresses=st.lists(probes, max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    vantage=st.builds(
        Vantage,
        resolver_up=st.sampled_from([None, True, True, True, False]),
        resolver_validating=st.sampled_from([None, True, True, True, False]),
        egress_ipv4=st.none() | st.booleans(),
        egress_ipv6=st.none() | st.booleans(),
        detail=st.none() | texts,
    ),
    incomplete=st.sampled_from([None, None, None, "deadline", "internal error: x"]),
)


@given(observations, policies)
@settings(max_examples=300)
def test_judge_is_total(seen: DomainObservation, policy: Policy) -> None:
    """Nonsense gives a verdict, never an exception; every text stays bounded."""
    judgement: Judgement = judge(seen, policy=policy, now=NOW)
    assert [verdict.profile for verdict in judgement.verdicts] == [RFC, EXO]
    assert len(judgement.hosts) == len(seen.hosts)
    for finding in judgement.findings:
        assert len(finding.message) <= MAX_MESSAGE_CHARACTERS
        assert info(finding.code).anchor == finding.code
