"""Denial by NSEC3: one test for each rule and each trap (RFC 5155 §8, RFC 9276, RFC 9824)."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import replace

import pytest
from denial_zones import hashed, nsec3_record

from scanner.judge.budget import Budget, BudgetExceededError
from scanner.judge.dnssec import nsec3
from scanner.judge.dnssec.nsec3 import nsec3_hash
from scanner.judge.dnssec.typebits import MAX_RECORDS
from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import DnssecReason as R
from scanner.model.dnssec import Nsec3Record, Proof, ProofResult
from scanner.model.names import Name

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "DNAME": 39, "DS": 43, "RRSIG": 46,
    "DNSKEY": 48, "TLSA": 52, "NXNAME": 128,
}  # fmt: skip
PROVEN, INSECURE = ProofResult.PROVEN, ProofResult.PROVEN_INSECURE
NOT_PROVEN = ProofResult.NOT_PROVEN
ZONE = canonical(Name("example"))
SALT = bytes.fromhex("aabb")
APEX_TYPES = "NS SOA MX RRSIG DNSKEY"


def n(text: str) -> CanonicalName:
    """Return a name in canonical form."""
    return canonical(Name(text))


def bits(types: str) -> frozenset[int]:
    """Return a bit map."""
    return frozenset(TYPES[text] for text in types.split())


def near(digest: bytes, step: int) -> bytes:
    """Return the hash this far away."""
    return ((int.from_bytes(digest, "big") + step) % (1 << 160)).to_bytes(20, "big")


def at(
    name: str, types: str, *, salt: bytes = SALT, iterations: int = 1, zone: CanonicalName = ZONE
) -> Nsec3Record:
    """Return the record that stands at a name; its span is empty."""
    digest = hashed(n(name), salt, iterations)
    return nsec3_record(zone, digest, near(digest, 1), bits(types), salt, iterations, False)


def over(
    name: str, *, opt_out: bool = False, salt: bytes = SALT, iterations: int = 1, types: str = "A"
) -> Nsec3Record:
    """Return a record that covers a name and next to nothing else."""
    digest = hashed(n(name), salt, iterations)
    owner, after = near(digest, -1), near(digest, 1)
    return nsec3_record(ZONE, owner, after, bits(types), salt, iterations, opt_out)


def deny_name(asked: str, *records: Nsec3Record, limit: int = 32, most: int = 150) -> Proof:
    """Prove that a name does not exist."""
    return nsec3.deny_name(
        records, name=n(asked), zone=ZONE, budget=Budget(limit), max_iterations=most
    )


def deny_type(
    asked: str, rdtype: str, *records: Nsec3Record, zone: CanonicalName = ZONE, most: int = 150
) -> Proof:
    """Prove that a name has no records of a type."""
    return nsec3.deny_type(
        records,
        name=n(asked),
        rdtype=TYPES[rdtype],
        zone=zone,
        budget=Budget(32),
        max_iterations=most,
    )


def delegation(
    asked: str, *records: Nsec3Record, zone: CanonicalName = ZONE, most: int = 150
) -> Proof:
    """Prove that there is no DS."""
    return nsec3.deny_delegation(
        records, name=n(asked), zone=zone, budget=Budget(32), max_iterations=most
    )


def closer(asked: str, encloser: str, *records: Nsec3Record, most: int = 150) -> Proof:
    """Prove that a wildcard was rightly expanded."""
    return nsec3.deny_wildcard_closer(
        records,
        name=n(asked),
        encloser=n(encloser),
        zone=ZONE,
        budget=Budget(32),
        max_iterations=most,
    )


def all_four(*records: Nsec3Record, asked: str = "x.example", most: int = 150) -> list[Proof]:
    """Return what the four proofs make of the records."""
    return [
        deny_name(asked, *records, most=most),
        deny_type(asked, "A", *records, most=most),
        delegation(asked, *records, most=most),
        closer(asked, "example", *records, most=most),
    ]


APEX = at("example", APEX_TYPES)
NO_X = over("x.example")
OUT_X = over("x.example", opt_out=True)
NO_STAR = over("*.example")


def reasons(proofs: Iterable[Proof]) -> set[R | None]:
    """Return the different reasons."""
    return {proof.reason for proof in proofs}


# --- hashing -------------------------------------------------------------------------------------


def test_the_hash_is_salted_and_iterated() -> None:
    """As RFC 5155 appendix A has it for its apex: 12 iterations beyond the first."""
    digest = nsec3_hash(n("example"), bytes.fromhex("aabbccdd"), 12)
    assert base64.b32hexencode(digest) == b"0P9MHAVEQVM6T7VBL5LOP2U3T2RP3TOM"
    assert nsec3_hash((), b"", 0) == hashlib.sha1(b"\0").digest()


@pytest.mark.parametrize("salt", [b"", b"\0", bytes(range(255))])
def test_salts_of_any_length_are_used(salt: bytes) -> None:
    """None, one octet, the longest that fits."""
    apex = at("example", APEX_TYPES, salt=salt)
    proof = deny_type("example", "TLSA", apex)
    assert (proof.result, proof.name_exists) == (PROVEN, True)


# --- names ---------------------------------------------------------------------------------------


def test_a_name_error_needs_encloser_next_closer_and_wildcard() -> None:
    """Three records, in any order (RFC 5155 §8.4)."""
    for records in ((APEX, NO_X, NO_STAR), (NO_STAR, APEX, NO_X)):
        proof = deny_name("a.x.example", *records)
        assert (proof.result, proof.name_exists) == (PROVEN, False)
        assert (proof.closest_encloser, proof.reason) == ("example", None)


def test_each_missing_part_has_its_reason() -> None:
    """What would have to be added."""
    assert deny_name("a.x.example", NO_X, NO_STAR).reason is R.NO_CLOSEST_ENCLOSER
    assert deny_name("a.x.example", APEX, NO_STAR).reason is R.NAME_NOT_COVERED
    assert deny_name("a.x.example", APEX, NO_X).reason is R.WILDCARD_NOT_DENIED


def test_covering_the_name_instead_of_the_next_closer_is_not_enough() -> None:
    """Its parent might exist with a wildcard below."""
    assert deny_name("a.x.example", APEX, over("a.x.example"), NO_STAR).reason is (
        R.NAME_NOT_COVERED
    )


def test_a_shorter_encloser_is_not_taken_where_a_longer_one_matches() -> None:
    """Then the next closer of the shorter one would be a name that exists."""
    existing = at("x.example", "A RRSIG")
    assert deny_name("a.x.example", APEX, existing, NO_X, NO_STAR).reason is R.NAME_NOT_COVERED


def test_a_name_that_is_matched_exists() -> None:
    """Whatever else is shown."""
    proof = deny_name("x.example", at("x.example", "A RRSIG"), APEX, NO_STAR)
    assert (proof.result, proof.reason) == (NOT_PROVEN, R.NAME_NOT_COVERED)


def test_the_last_record_covers_over_the_end_of_the_ring() -> None:
    """From its owner upwards and, from zero on, up to its next hash."""
    digest = hashed(n("x.example"), SALT, 1)
    low, high = sorted([near(digest, 5), near(digest, 10)])
    around = replace(NO_X, owner_hash=high, next_hash=low)
    assert closer("x.example", "example", around).result is PROVEN
    below = replace(NO_X, owner_hash=near(digest, -5), next_hash=near(digest, -10))
    assert closer("x.example", "example", below).result is PROVEN
    not_in = replace(NO_X, owner_hash=near(digest, 5), next_hash=near(digest, -5))
    assert closer("x.example", "example", not_in).result is NOT_PROVEN


def test_the_only_record_of_a_ring_covers_all_but_its_owner() -> None:
    """Its next hash is its own."""
    digest = hashed(ZONE, SALT, 1)
    only = replace(APEX, next_hash=digest)
    assert deny_name("x.example", only).result is PROVEN
    assert deny_name("example", only).reason is R.NAME_NOT_COVERED


@pytest.mark.parametrize("edge", [0, 1])
def test_the_ends_of_a_span_are_not_in_it(edge: int) -> None:
    """The owner is matched, the next hash belongs to a name that exists."""
    digest = hashed(n("x.example"), SALT, 1)
    ends = [(digest, near(digest, 2)), (near(digest, -2), digest)][edge]
    record = replace(NO_X, owner_hash=ends[0], next_hash=ends[1])
    assert closer("x.example", "example", record).result is NOT_PROVEN


# --- opt-out -------------------------------------------------------------------------------------


def test_opt_out_over_the_next_closer_makes_every_claim_insecure() -> None:
    """An unsigned delegation may be hidden there (RFC 5155 §9.2)."""
    proofs = all_four(APEX, OUT_X, NO_STAR)
    assert {proof.result for proof in proofs} == {INSECURE}
    assert reasons(proofs) == {R.OPT_OUT_SPAN}
    assert {proof.name_exists for proof in proofs} == {None}
    assert {proof.cut for proof in proofs} == {None}


def test_opt_out_over_the_wildcard_alone_changes_nothing() -> None:
    """There are no delegations at wildcards."""
    star = over("*.example", opt_out=True)
    assert deny_name("x.example", APEX, NO_X, star).result is PROVEN


def test_of_two_covers_the_one_with_opt_out_decides() -> None:
    """Where records disagree, the smaller claim is made."""
    assert deny_name("x.example", APEX, NO_X, OUT_X, NO_STAR).result is INSECURE
    assert deny_name("x.example", APEX, OUT_X, NO_X, NO_STAR).result is INSECURE


def test_opt_out_denies_the_types_of_hidden_empty_non_terminals_insecurely() -> None:
    """Erratum 3441: no word on the wildcard is needed."""
    proof = deny_type("x.example", "TLSA", APEX, OUT_X)
    assert (proof.result, proof.closest_encloser) == (INSECURE, "example")


def test_without_opt_out_such_a_cover_denies_no_type() -> None:
    """Neither DS nor any other."""
    assert deny_type("x.example", "TLSA", APEX, NO_X).reason is R.OPT_OUT_NOT_SET
    assert delegation("x.example", APEX, NO_X).reason is R.OPT_OUT_NOT_SET


def test_opt_out_does_not_weaken_a_match() -> None:
    """A name with its own record is denied securely (§8.5)."""
    record = replace(at("x.example", "A RRSIG"), flags=1)
    assert deny_type("x.example", "TLSA", record).result is PROVEN


# --- types ---------------------------------------------------------------------------------------


def test_the_bit_map_at_the_name_decides() -> None:
    """As with NSEC."""
    here = at("x.example", "A RRSIG")
    assert deny_type("x.example", "MX", here).name_exists is True
    assert deny_type("x.example", "A", here).reason is R.TYPE_PRESENT
    assert deny_type("x.example", "MX", at("x.example", "CNAME RRSIG")).reason is R.CNAME_PRESENT
    assert deny_type("x.example", "MX", at("x.example", "NS")).reason is R.ANCESTOR_DELEGATION


def test_an_empty_non_terminal_has_a_record_with_no_types() -> None:
    """It denies every type."""
    assert deny_type("x.example", "DS", at("x.example", "")).result is PROVEN


def test_the_wildcard_may_lack_the_type() -> None:
    """Encloser, next closer, and a match at the wildcard (§8.7)."""
    star = at("*.example", "MX RRSIG")
    proof = deny_type("x.example", "TLSA", APEX, NO_X, star)
    assert (proof.result, proof.name_exists, proof.closest_encloser) == (PROVEN, True, "example")
    assert deny_type("x.example", "MX", APEX, NO_X, star).reason is R.TYPE_PRESENT
    alias = at("*.example", "CNAME RRSIG")
    assert deny_type("x.example", "MX", APEX, NO_X, alias).reason is R.CNAME_PRESENT


def test_a_wildcard_with_the_type_does_not_unmake_opt_out() -> None:
    """The name may be a hidden empty non-terminal all the same."""
    star = at("*.example", "MX RRSIG")
    assert deny_type("x.example", "MX", APEX, OUT_X, star).result is INSECURE


def test_a_name_error_in_the_shape_of_no_data_is_told() -> None:
    """The rcode is unsigned."""
    assert deny_type("x.example", "MX", APEX, NO_X, NO_STAR).name_exists is False


def test_nxname_says_that_the_name_does_not_exist() -> None:
    """Compact denial works with NSEC3 as well; other types beside it unmake it."""
    compact = at("x.example", "RRSIG NXNAME")
    assert deny_name("x.example", compact).name_exists is False
    assert deny_type("x.example", "MX", compact).name_exists is False
    proof = delegation("x.example", compact)
    assert (proof.cut, proof.name_exists) == (False, False)
    assert deny_name("x.example", at("x.example", "A NXNAME")).result is NOT_PROVEN


def test_a_name_that_does_not_exist_encloses_nothing_and_is_no_wildcard() -> None:
    """NXNAME at an ancestor is passed over; at the wildcard it denies it."""
    ghost = at("x.example", "RRSIG NXNAME")
    assert deny_name("a.x.example", ghost).reason is R.NO_CLOSEST_ENCLOSER
    star = at("*.example", "RRSIG NXNAME")
    assert deny_type("x.example", "MX", APEX, NO_X, star).name_exists is False


# --- delegations ---------------------------------------------------------------------------------


def test_a_delegation_without_ds_is_a_cut() -> None:
    """NS is set, DS and SOA are clear (§8.9)."""
    proof = delegation("x.example", at("x.example", "NS"))
    assert (proof.result, proof.cut) == (PROVEN, True)


@pytest.mark.parametrize("types", ["A RRSIG", "", "CNAME RRSIG"])
def test_a_name_without_ns_is_no_cut(types: str) -> None:
    """Data, an empty non-terminal, an alias."""
    proof = delegation("x.example", at("x.example", types))
    assert (proof.result, proof.cut) == (PROVEN, False)


def test_a_delegation_with_ds_is_not_denied() -> None:
    """The bit shows."""
    assert delegation("x.example", at("x.example", "NS DS RRSIG")).reason is R.DS_BIT_SET


def test_the_child_does_not_deny_its_own_ds() -> None:
    """By its apex, or by an apex further down."""
    assert delegation("example", APEX).reason is R.DS_FROM_CHILD
    assert deny_type("example", "DS", APEX).reason is R.DS_FROM_CHILD
    assert delegation("x.example", at("x.example", APEX_TYPES)).reason is R.DS_FROM_CHILD


def test_the_root_has_no_parent_to_ask() -> None:
    """DS of the root is denied by the root."""
    root = at(".", APEX_TYPES, zone=())
    assert deny_type(".", "DS", root, zone=()).result is PROVEN
    proof = delegation(".", root, zone=())
    assert (proof.result, proof.cut) == (PROVEN, False)


def test_names_that_do_not_exist_and_names_from_a_wildcard_are_no_cuts() -> None:
    """No zone begins there."""
    for records in ((APEX, NO_X, NO_STAR), (APEX, NO_X, at("*.example", "A RRSIG"))):
        proof = delegation("x.example", *records)
        assert (proof.result, proof.cut) == (PROVEN, False)


@pytest.mark.parametrize("types", ["NS", "NS DS RRSIG", "DNAME RRSIG"])
def test_a_cut_or_dname_encloses_nothing(types: str) -> None:
    """What is below it is not this zone's to deny (§8.3)."""
    cut = at("x.example", types)
    below = over("a.x.example")
    star = over("*.x.example")
    for proof in (
        deny_name("a.x.example", cut, below, star),
        deny_type("a.x.example", "A", cut, below, star),
        delegation("a.x.example", cut, below, star),
    ):
        assert (proof.result, proof.reason) == (NOT_PROVEN, R.ANCESTOR_DELEGATION)


# --- wildcards -----------------------------------------------------------------------------------


def test_a_wildcard_applies_where_the_next_closer_name_is_covered() -> None:
    """No match at the encloser is needed: the signature proves the wildcard (§8.8)."""
    proof = closer("b.a.x.example", "example", NO_X)
    assert (proof.result, proof.closest_encloser) == (PROVEN, "example")


def test_a_next_closer_name_that_exists_makes_the_wildcard_wrong() -> None:
    """A nearer name would have had to answer; a wildcard of another place never answers."""
    here = at("x.example", "A RRSIG")
    assert closer("a.x.example", "example", here).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("x.example", "x.example", NO_X).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("x.example", ".", NO_X).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("y.example", "example", NO_X).reason is R.NAME_NOT_COVERED


# --- which records count -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": 2}, R.NSEC3_HASH_UNKNOWN),
        ({"algorithm": 0}, R.NSEC3_HASH_UNKNOWN),
        ({"flags": 2}, R.NSEC3_FLAGS_UNKNOWN),
        ({"flags": 3}, R.NSEC3_FLAGS_UNKNOWN),
        ({"zone_labels": (b"other",)}, R.NSEC_OUT_OF_ZONE),
        ({"zone_labels": (b"example", b"x")}, R.NSEC_OUT_OF_ZONE),
        ({"wildcard_expanded": True}, R.NSEC_EXPANDED),
        ({"owner_hash": b""}, R.NSEC3_HASH_UNKNOWN),
        ({"next_hash": bytes(32)}, R.NSEC3_HASH_UNKNOWN),
    ],
)
def test_records_that_must_be_ignored_are(changes: dict[str, object], reason: R) -> None:
    """Alone they prove nothing and say why; beside others they do no harm (§8.1, §8.2)."""
    odd = [replace(record, **changes) for record in (APEX, NO_X, NO_STAR)]  # type: ignore[arg-type]
    assert reasons(all_four(*odd)) == {reason}
    assert deny_name("x.example", *odd, APEX, NO_X, NO_STAR).result is PROVEN


def test_records_that_differ_in_parameters_prove_nothing_together() -> None:
    """One ring has one salt and one count of iterations (§8.2)."""
    by_salt = over("*.example", salt=b"other")
    by_count = over("*.example", iterations=2)
    assert reasons(all_four(APEX, NO_X, by_salt)) == {R.NSEC3_PARAMS_DIFFER}
    assert reasons(all_four(APEX, NO_X, by_count)) == {R.NSEC3_PARAMS_DIFFER}


def test_unknown_hashes_with_other_parameters_do_not_differ() -> None:
    """They were ignored before."""
    odd = replace(over("*.example", salt=b"other"), algorithm=6)
    assert deny_name("x.example", APEX, NO_X, NO_STAR, odd).result is PROVEN


def test_too_many_iterations_are_insecure_and_nothing_is_hashed() -> None:
    """RFC 9276 §3.2; the limit itself is still good."""
    within = [at("example", APEX_TYPES, iterations=3), over("x.example", iterations=3)]
    assert closer("x.example", "example", *within, most=3).result is PROVEN
    proofs = all_four(*within, most=2)
    assert {proof.result for proof in proofs} == {INSECURE}
    assert reasons(proofs) == {R.NSEC3_ITERATIONS_HIGH}
    budget = Budget(0)
    nsec3.deny_name(within, name=n("x.example"), zone=ZONE, budget=budget, max_iterations=2)
    assert budget.spent == 0


def test_without_records_there_is_no_proof() -> None:
    """All four say so alike."""
    assert all_four() == [Proof(result=NOT_PROVEN, reason=R.DENIAL_MISSING)] * 4


def test_a_name_outside_the_zone_is_never_denied() -> None:
    """Hashes know no zones."""
    assert reasons(all_four(APEX, NO_X, NO_STAR, asked="x.other")) == {R.NSEC_OUT_OF_ZONE}


def test_no_more_records_are_looked_at_than_the_limit() -> None:
    """A reply stuffed with records buys nothing."""
    stuffing = [over(f"s{number}.example") for number in range(MAX_RECORDS)]
    assert deny_name("x.example", *stuffing, APEX, NO_X, NO_STAR).reason is R.NO_CLOSEST_ENCLOSER


# --- work ----------------------------------------------------------------------------------------


def test_every_distinct_name_is_hashed_and_paid_for_once() -> None:
    """Name, encloser, next closer (the name here) and wildcard make three."""
    budget = Budget(32)
    records = (APEX, NO_X, NO_STAR)
    nsec3.deny_name(records, name=n("x.example"), zone=ZONE, budget=budget, max_iterations=150)
    assert budget.spent == 3


def test_a_name_of_many_labels_ends_at_the_budget() -> None:
    """CVE-2023-50868: one hash for each label, and no more than allowed."""
    deep = ".".join(["a"] * 60) + ".example"
    with pytest.raises(BudgetExceededError):
        deny_name(deep, APEX, NO_X, NO_STAR)
    with pytest.raises(BudgetExceededError):
        deny_name("x.example", APEX, NO_X, NO_STAR, limit=2)
    assert deny_name("x.example", APEX, NO_X, NO_STAR, limit=3).result is PROVEN
