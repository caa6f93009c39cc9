"""Which questions a DANE sender asks and in which order (RFC 7672 §2.2).

A world is a table of lookups; a question outside the table fails the test, so every test also
states what must *not* be asked.
"""

from collections.abc import Generator, Mapping
from typing import TypeVar

import pytest

from scanner.judge.routing import route_domain, route_host, target_problem
from scanner.model.names import ROOT, Name
from scanner.model.observation import (
    AddressRecord,
    AliasHop,
    CnameRecord,
    DaneApplicability,
    HostRoute,
    Lookup,
    MailRoute,
    MxKind,
    MxRecord,
    Question,
    Record,
    TargetProblem,
    TlsaRecord,
)
from scanner.model.policy import RoutingLimits
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType

SEC, INS = DnssecStatus.SECURE, DnssecStatus.INSECURE
BOGUS, INDET = DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE
DATA, NODATA, NX = LookupOutcome.DATA, LookupOutcome.NODATA, LookupOutcome.NXDOMAIN
SERVFAIL, TIMEOUT = LookupOutcome.SERVFAIL, LookupOutcome.TIMEOUT
T = TypeVar("T")

MX1 = Name("mx1.p.test")
TARGET = Name("h.host.test")
TLSA = TlsaRecord(usage=3, selector=1, matching_type=1, data=b"\x11" * 32)
V4 = AddressRecord(address="192.0.2.1")
V6 = AddressRecord(address="2001:db8::1")
ERRORS = [
    pytest.param(SERVFAIL, BOGUS, id="bogus"),
    pytest.param(SERVFAIL, INDET, id="indeterminate"),
    pytest.param(SERVFAIL, None, id="servfail"),
    pytest.param(TIMEOUT, None, id="timeout"),
    pytest.param(LookupOutcome.REFUSED, None, id="refused"),
    pytest.param(LookupOutcome.MALFORMED, None, id="malformed"),
    pytest.param(LookupOutcome.LOOP, None, id="loop"),
]


def q(name: str, rdtype: str) -> Question:
    return Question(Name(name), RRType(rdtype))


def look(
    name: str,
    rdtype: str,
    outcome: LookupOutcome,
    status: DnssecStatus | None,
    *records: Record,
    via: tuple[str, ...] = (),
) -> Lookup:
    hops = tuple(
        AliasHop(owner=Name(owner), target=Name(target), status=status if status is SEC else None)
        for owner, target in zip((name, *via), via, strict=False)
    )
    return Lookup(
        question=q(name, rdtype), outcome=outcome, status=status, records=records, aliases=hops
    )


def world(*lookups: Lookup) -> dict[Question, Lookup]:
    return {lookup.question: lookup for lookup in lookups}


def drive(
    steps: Generator[tuple[Question, ...], Mapping[Question, Lookup], T],
    answers: dict[Question, Lookup],
) -> tuple[T, list[Question]]:
    asked: list[Question] = []
    needed = next(steps)
    while True:
        asked.extend(needed)
        try:
            needed = steps.send({question: answers[question] for question in needed})
        except StopIteration as done:
            return done.value, asked


def domain_route(answers: dict[Question, Lookup], name: str = "p.test") -> MailRoute:
    route, asked = drive(route_domain(Name(name), limits=RoutingLimits()), answers)
    assert asked == [q(name, "MX")]
    return route


def host_route(
    answers: dict[Question, Lookup], name: Name = MX1
) -> tuple[HostRoute, list[Question]]:
    return drive(route_host(name, limits=RoutingLimits()), answers)


def no_v6(status: DnssecStatus = SEC, via: tuple[str, ...] = ()) -> Lookup:
    return look(MX1, "AAAA", NODATA, status, via=via)


# The MX stage


def test_mx_records_are_sorted_by_preference_then_name() -> None:
    """Preference beats everything, security included (RFC 7672 §2.2.1; case 102)."""
    records = [
        MxRecord(preference=20, exchange=Name("a.p.test")),
        MxRecord(preference=10, exchange=Name("z.p.test")),
        MxRecord(preference=10, exchange=Name("b.p.test")),
    ]
    route = domain_route(world(look("p.test", "MX", DATA, SEC, *records)))
    assert route.kind is MxKind.EXPLICIT
    assert [(r.preference, r.exchange) for r in route.exchanges] == [
        (10, "b.p.test"),
        (10, "z.p.test"),
        (20, "a.p.test"),
    ]


@pytest.mark.parametrize(("outcome", "status"), ERRORS)
def test_a_failed_mx_lookup_is_final(outcome: LookupOutcome, status: DnssecStatus | None) -> None:
    """No address question and no implicit MX after an MX error (case 3, T13, T14)."""
    route = domain_route(world(look("p.test", "MX", outcome, status)))
    assert route.kind is MxKind.ERROR
    assert route.exchanges == ()


@pytest.mark.parametrize("status", [SEC, INS])
def test_no_mx_record_makes_the_domain_its_own_mx_host(status: DnssecStatus) -> None:
    """Implicit MX at preference 0 (RFC 5321 §5.1; cases 4 and 5, T19)."""
    route = domain_route(world(look("p.test", "MX", NODATA, status)))
    assert route.kind is MxKind.IMPLICIT
    assert route.exchanges == (MxRecord(preference=0, exchange=Name("p.test")),)


def test_a_missing_domain_has_no_route_and_no_implicit_mx() -> None:
    """NXDOMAIN ends the lookups (case 6, T18)."""
    route = domain_route(world(look("p.test", "MX", NX, SEC)))
    assert route.kind is MxKind.NXDOMAIN
    assert route.exchanges == ()


@pytest.mark.parametrize(("preference", "odd"), [(0, False), (10, True)])
def test_a_single_root_target_is_null_mx_at_any_preference(preference: int, odd: bool) -> None:
    """Null MX (RFC 7505 §3), with a note when the preference is not 0 (cases 7 and 8, T20)."""
    record = MxRecord(preference=preference, exchange=ROOT)
    route = domain_route(world(look("p.test", "MX", DATA, SEC, record)))
    assert route.kind is MxKind.NULL
    assert route.null_with_preference is odd
    assert route.exchanges == ()


def test_a_root_target_beside_real_ones_is_dropped_and_noted() -> None:
    """RFC 7505 §3: a null MX must be alone (case 9)."""
    records = [MxRecord(preference=0, exchange=ROOT), MxRecord(preference=10, exchange=MX1)]
    route = domain_route(world(look("p.test", "MX", DATA, SEC, *records)))
    assert [record.exchange for record in route.exchanges] == [MX1]
    assert route.null_beside_others


def test_one_host_at_two_preferences_keeps_the_better_one() -> None:
    """One entry, best preference (case 15)."""
    records = [MxRecord(preference=30, exchange=MX1), MxRecord(preference=10, exchange=MX1)]
    route = domain_route(world(look("p.test", "MX", DATA, SEC, *records)))
    assert route.exchanges == (MxRecord(preference=10, exchange=MX1),)
    assert route.duplicate_hosts == (MX1,)


def test_more_than_ten_mx_hosts_are_all_kept() -> None:
    """No silent cut at ten (case 16)."""
    records = [MxRecord(preference=i, exchange=Name(f"m{i}.p.test")) for i in range(40)]
    route = domain_route(world(look("p.test", "MX", DATA, SEC, *records)))
    assert len(route.exchanges) == 40
    assert route.hosts_ignored == 0


def test_mx_hosts_beyond_the_bound_are_counted_not_hidden() -> None:
    """A hostile zone with thousands of MX records costs bounded work and says so."""
    records = [MxRecord(preference=i % 9, exchange=Name(f"m{i}.p.test")) for i in range(5_000)]
    route = domain_route(world(look("p.test", "MX", DATA, SEC, *records)))
    assert len(route.exchanges) == RoutingLimits().max_mx_hosts
    assert route.hosts_ignored == 5_000 - RoutingLimits().max_mx_hosts


def test_an_aliased_domain_keeps_both_names() -> None:
    """The original and the expanded next-hop domain (case 17, T24)."""
    record = MxRecord(preference=10, exchange=Name("mx.q.test"))
    route = domain_route(world(look("p.test", "MX", DATA, SEC, record, via=("q.test",))))
    assert (route.domain, route.expanded) == ("p.test", "q.test")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("192.0.2.1", TargetProblem.ADDRESS_LITERAL),
        ("[192.0.2.1]", TargetProblem.ADDRESS_LITERAL),
        ("localhost", TargetProblem.LOCALHOST),
        ("mail.localhost", TargetProblem.LOCALHOST),
        ("localhost.localdomain", TargetProblem.LOCALHOST),
        ("mail", TargetProblem.SINGLE_LABEL),
        ("com", TargetProblem.SINGLE_LABEL),
        (".", TargetProblem.SINGLE_LABEL),
        ("bad\\032name.p.test", TargetProblem.INVALID_NAME),
        ("a$b.p.test", TargetProblem.INVALID_NAME),
        ("mx_1.p.test", None),
        ("xn--mx-eka.p.test", None),
    ],
)
def test_targets_that_are_no_host_names_are_never_looked_up(
    target: str, problem: TargetProblem | None
) -> None:
    """Address literals, single labels, localhost and odd octets (cases 10, 11, 13)."""
    assert target_problem(Name(target)) is problem
    if problem is not None:
        with pytest.raises(StopIteration) as done:
            next(route_host(Name(target), limits=RoutingLimits()))
        assert done.value.value.applicability is DaneApplicability.UNUSABLE_TARGET


# The address stage


def test_a_secure_host_with_tlsa_is_the_plain_case() -> None:
    """MX host with secure address and TLSA at its own name (case 1)."""
    route, asked = host_route(
        world(
            look(MX1, "A", DATA, SEC, V4),
            no_v6(),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_PRESENT
    assert route.tlsa_base == MX1
    assert route.tlsa == (TLSA,)
    assert [(a.address, a.family, a.status) for a in route.addresses] == [
        ("192.0.2.1", Family.IPV4, SEC)
    ]
    assert asked == [q(MX1, "A"), q(MX1, "AAAA"), q("_25._tcp.mx1.p.test", "TLSA")]


def test_an_insecure_address_means_no_tlsa_question_at_all() -> None:
    """The question is not asked, so a server that would answer it badly does no harm.

    RFC 7672 §2.2.2; cases 21 and 22, T04.
    """
    route, asked = host_route(world(look(MX1, "A", DATA, INS, V4), no_v6(INS)))
    assert route.applicability is DaneApplicability.NOT_APPLICABLE
    assert asked == [q(MX1, "A"), q(MX1, "AAAA")]


@pytest.mark.parametrize(
    ("outcome", "status"), [case for case in ERRORS if case.id not in ("bogus", "indeterminate")]
)
@pytest.mark.parametrize("failing", ["A", "AAAA"])
def test_one_family_without_an_answer_leaves_the_other_usable(
    failing: str, outcome: LookupOutcome, status: DnssecStatus | None
) -> None:
    """Address resolution still succeeds (case 23 and its mirror, T16)."""
    good = look(MX1, "AAAA", DATA, SEC, V6) if failing == "A" else look(MX1, "A", DATA, SEC, V4)
    route, _ = host_route(
        world(
            look(MX1, failing, outcome, status),
            good,
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_PRESENT
    assert len(route.addresses) == 1


@pytest.mark.parametrize("status", [BOGUS, INDET])
@pytest.mark.parametrize("failing", ["A", "AAAA"])
def test_one_bogus_family_makes_the_host_unreachable(failing: str, status: DnssecStatus) -> None:
    """A forged family could steer the connection, so the host is out (T15, T17)."""
    good = look(MX1, "AAAA", DATA, SEC, V6) if failing == "A" else look(MX1, "A", DATA, SEC, V4)
    route, asked = host_route(world(look(MX1, failing, SERVFAIL, status), good))
    assert route.applicability is DaneApplicability.ADDRESS_ERROR
    assert route.failed_lookup is not None
    assert route.failed_lookup.status is status
    assert route.addresses == ()
    assert len(asked) == 2


@pytest.mark.parametrize("data_status", [SEC, INS])
def test_secure_and_insecure_families_together_are_eligible(data_status: DnssecStatus) -> None:
    """One secure data set suffices; each address keeps its own status (case 24)."""
    other = INS if data_status is SEC else SEC
    route, _ = host_route(
        world(
            look(MX1, "A", DATA, data_status, V4),
            look(MX1, "AAAA", DATA, other, V6),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_PRESENT
    assert {a.status for a in route.addresses} == {SEC, INS}


@pytest.mark.parametrize(("outcome", "status"), ERRORS)
def test_no_family_answered_is_a_lookup_error_not_absence(
    outcome: LookupOutcome, status: DnssecStatus | None
) -> None:
    """Never "no DANE" (case 25)."""
    route, asked = host_route(
        world(look(MX1, "A", outcome, status), look(MX1, "AAAA", outcome, status))
    )
    assert route.applicability is DaneApplicability.ADDRESS_ERROR
    assert len(asked) == 2


def test_absence_in_one_family_and_an_error_in_the_other_is_an_error() -> None:
    """The family that failed may be the one with the address."""
    route, _ = host_route(world(look(MX1, "A", TIMEOUT, None), no_v6()))
    assert route.applicability is DaneApplicability.ADDRESS_ERROR
    assert route.failed_lookup is not None
    assert route.failed_lookup.outcome is TIMEOUT


@pytest.mark.parametrize("outcome", [NODATA, NX])
def test_a_host_without_address_ends_there(outcome: LookupOutcome) -> None:
    """No TLSA question for a host that cannot be contacted (cases 20 and 26, T21)."""
    route, asked = host_route(world(look(MX1, "A", outcome, SEC), look(MX1, "AAAA", outcome, SEC)))
    assert route.applicability is DaneApplicability.NO_ADDRESS
    assert len(asked) == 2


def test_our_own_failure_in_either_family_is_kept_as_our_own() -> None:
    """A lookup that failed on our side decides the stage, so that nobody else is blamed."""
    mine = Lookup(
        question=q(MX1, "AAAA"), outcome=TIMEOUT, status=None, own_fault="no route to resolver"
    )
    route, _ = host_route(world(look(MX1, "A", DATA, SEC, V4), mine))
    assert route.applicability is DaneApplicability.ADDRESS_ERROR
    assert route.failed_lookup is mine


def test_addresses_beyond_the_bound_are_counted_not_hidden() -> None:
    """A thousand addresses cost bounded work."""
    many = tuple(AddressRecord(address=f"192.0.{i // 256}.{i % 256}") for i in range(1_000))
    route, _ = host_route(world(look(MX1, "A", DATA, INS, *many), no_v6(INS)))
    assert len(route.addresses) == RoutingLimits().max_addresses_per_host
    assert route.addresses_ignored == 1_000 - RoutingLimits().max_addresses_per_host


# Aliased MX hosts


def secure_alias(*more: Lookup) -> dict[Question, Lookup]:
    return world(
        look(MX1, "A", DATA, SEC, V4, via=("x.middle.test", TARGET)),
        no_v6(via=("x.middle.test", TARGET)),
        *more,
    )


def test_a_secure_alias_uses_the_expanded_name_first() -> None:
    """TLSA at the target: base and SNI are the expanded name (case 28, T22)."""
    route, asked = host_route(secure_alias(look("_25._tcp.h.host.test", "TLSA", DATA, SEC, TLSA)))
    assert route.tlsa_base == TARGET
    assert route.applicability is DaneApplicability.TLSA_PRESENT
    assert route.aliases == ("x.middle.test", TARGET)
    assert q("_25._tcp.mx1.p.test", "TLSA") not in asked


@pytest.mark.parametrize("outcome", [NODATA, NX, DATA])
@pytest.mark.parametrize("status", [SEC, INS])
def test_absent_at_the_expanded_name_falls_back_to_the_original(
    outcome: LookupOutcome, status: DnssecStatus
) -> None:
    """Definite or insecure absence moves on; the middle name is never asked (cases 29, 34)."""
    if outcome is DATA and status is SEC:
        status = INS  # secure data would be the answer itself
    records = (TLSA,) if outcome is DATA else ()
    route, asked = host_route(
        secure_alias(
            look("_25._tcp.h.host.test", "TLSA", outcome, status, *records),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA),
        )
    )
    assert route.tlsa_base == MX1
    assert asked[2:] == [q("_25._tcp.h.host.test", "TLSA"), q("_25._tcp.mx1.p.test", "TLSA")]


@pytest.mark.parametrize(("outcome", "status"), ERRORS)
def test_an_error_at_the_expanded_name_is_final(
    outcome: LookupOutcome, status: DnssecStatus | None
) -> None:
    """The original name is not tried after an error (RFC 7672 §2.1.1; case 30)."""
    route, asked = host_route(secure_alias(look("_25._tcp.h.host.test", "TLSA", outcome, status)))
    assert route.applicability is DaneApplicability.TLSA_ERROR
    assert q("_25._tcp.mx1.p.test", "TLSA") not in asked


def test_a_secure_alias_into_an_unsigned_zone_uses_the_original_name_only() -> None:
    """The separate CNAME question proves the first alias (RFC 7672 §2.2.2; case 31, T23)."""
    route, asked = host_route(
        world(
            look(MX1, "A", DATA, INS, V4, via=(TARGET,)),
            no_v6(INS, via=(TARGET,)),
            look(MX1, "CNAME", DATA, SEC, CnameRecord(target=TARGET)),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_PRESENT
    assert route.tlsa_base == MX1
    assert q("_25._tcp.h.host.test", "TLSA") not in asked


def test_an_insecure_first_alias_ends_dane_without_a_tlsa_question() -> None:
    """Case 32; the AD bit of the address answer alone would not have told (case 35)."""
    route, asked = host_route(
        world(
            look(MX1, "A", DATA, INS, V4, via=(TARGET,)),
            no_v6(INS, via=(TARGET,)),
            look(MX1, "CNAME", DATA, INS, CnameRecord(target=TARGET)),
        )
    )
    assert route.applicability is DaneApplicability.NOT_APPLICABLE
    assert asked == [q(MX1, "A"), q(MX1, "AAAA"), q(MX1, "CNAME")]


@pytest.mark.parametrize(("outcome", "status"), [*ERRORS, (NODATA, SEC), (NX, INS)])
def test_a_cname_question_that_fails_or_denies_the_alias_is_an_error(
    outcome: LookupOutcome, status: DnssecStatus | None
) -> None:
    """Neither may be read as "no alias" or "no DANE" (case 33)."""
    route, asked = host_route(
        world(
            look(MX1, "A", DATA, INS, V4, via=(TARGET,)),
            no_v6(INS, via=(TARGET,)),
            look(MX1, "CNAME", outcome, status),
        )
    )
    assert route.applicability is DaneApplicability.ADDRESS_ERROR
    assert route.failed_lookup is not None
    assert route.failed_lookup.is_error
    assert len(asked) == 3


def test_a_dangling_alias_has_no_address() -> None:
    """The target does not exist, so the host cannot be contacted; others go on (case 37)."""
    route, _ = host_route(
        world(
            look(MX1, "A", NX, SEC, via=("gone.test",)),
            look(MX1, "AAAA", NX, SEC, via=("gone.test",)),
        )
    )
    assert route.applicability is DaneApplicability.NO_ADDRESS


# The TLSA stage


@pytest.mark.parametrize("outcome", [NODATA, NX])
@pytest.mark.parametrize("status", [SEC, INS])
def test_definite_absence_of_tlsa_is_no_dane(outcome: LookupOutcome, status: DnssecStatus) -> None:
    """Secure and insecure denials alike (cases 38 and 39, T05)."""
    route, _ = host_route(
        world(
            look(MX1, "A", DATA, SEC, V4),
            no_v6(),
            look("_25._tcp.mx1.p.test", "TLSA", outcome, status),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_ABSENT
    assert route.failed_lookup is None


def test_insecure_tlsa_records_do_not_count_but_are_kept_as_evidence() -> None:
    """Published but unprotected (cases 41 and 43, T06)."""
    route, _ = host_route(
        world(
            look(MX1, "A", DATA, SEC, V4),
            no_v6(),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, INS, TLSA, via=("tlsa.unsigned.test",)),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_ABSENT
    assert route.tlsa == ()
    assert route.candidates[0].lookup.records == (TLSA,)


def test_a_secure_tlsa_alias_leaves_the_base_domain_alone() -> None:
    """RFC 7672 §2.2.3: base and names unchanged (case 42, T07)."""
    route, _ = host_route(
        world(
            look(MX1, "A", DATA, SEC, V4),
            no_v6(),
            look("_25._tcp.mx1.p.test", "TLSA", DATA, SEC, TLSA, via=("tlsa.shared.test",)),
        )
    )
    assert route.tlsa_base == MX1
    assert route.applicability is DaneApplicability.TLSA_PRESENT


@pytest.mark.parametrize(("outcome", "status"), ERRORS)
def test_a_failed_tlsa_lookup_makes_the_host_unreachable(
    outcome: LookupOutcome, status: DnssecStatus | None
) -> None:
    """Cases 40 and 44, T08 to T10, T12."""
    route, _ = host_route(
        world(
            look(MX1, "A", DATA, SEC, V4),
            no_v6(),
            look("_25._tcp.mx1.p.test", "TLSA", outcome, status),
        )
    )
    assert route.applicability is DaneApplicability.TLSA_ERROR
    assert route.failed_lookup is not None
    assert route.failed_lookup.outcome is outcome


def test_a_name_too_long_for_a_tlsa_owner_has_no_tlsa_question() -> None:
    """``_25._tcp.`` plus the host would exceed 255 octets (RFC 1035 §2.3.4)."""
    long = Name(".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 55, "test"]))
    route, asked = host_route(
        world(look(long, "A", DATA, SEC, V4), look(long, "AAAA", NODATA, SEC)), long
    )
    assert route.applicability is DaneApplicability.TLSA_ABSENT
    assert len(asked) == 2
