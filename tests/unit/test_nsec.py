"""Denial by NSEC: one test for each rule and each trap (RFC 4035 §5.4, RFC 6840 §4, RFC 9824)."""

import pytest

from scanner.judge.dnssec.nsec import (
    deny_delegation,
    deny_name,
    deny_type,
    deny_wildcard_closer,
)
from scanner.judge.dnssec.typebits import MAX_RECORDS
from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import DnssecReason as R
from scanner.model.dnssec import NsecRecord, Proof, ProofResult
from scanner.model.names import Name

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "DNAME": 39, "DS": 43, "RRSIG": 46,
    "NSEC": 47, "DNSKEY": 48, "TLSA": 52, "NXNAME": 128, "ANY": 255,
}  # fmt: skip
PROVEN, NOT_PROVEN = ProofResult.PROVEN, ProofResult.NOT_PROVEN
ZONE = canonical(Name("example"))
ROOT: CanonicalName = ()
APEX_TYPES = "NS SOA MX RRSIG NSEC DNSKEY"


def n(text: str) -> CanonicalName:
    """Return a name in canonical form."""
    return canonical(Name(text))


def record(owner: str, following: str, types: str, *, expanded: bool = False) -> NsecRecord:
    """Return a verified NSEC record."""
    return NsecRecord(
        owner=Name(owner),
        owner_labels=n(owner),
        next_labels=n(following),
        types=frozenset(TYPES[text] for text in types.split()),
        wildcard_expanded=expanded,
    )


def name(asked: str, *records: NsecRecord, zone: CanonicalName = ZONE) -> Proof:
    """Prove that a name does not exist."""
    return deny_name(records, name=n(asked), zone=zone)


def rrtype(asked: str, text: str, *records: NsecRecord, zone: CanonicalName = ZONE) -> Proof:
    """Prove that a name has no records of a type."""
    return deny_type(records, name=n(asked), rdtype=TYPES[text], zone=zone)


def delegation(asked: str, *records: NsecRecord, zone: CanonicalName = ZONE) -> Proof:
    """Prove that there is no DS."""
    return deny_delegation(records, name=n(asked), zone=zone)


def closer(asked: str, encloser: str, *records: NsecRecord) -> Proof:
    """Prove that a wildcard was rightly expanded."""
    return deny_wildcard_closer(records, name=n(asked), encloser=n(encloser), zone=ZONE)


APEX = record("example", "b.example", APEX_TYPES)
B = record("b.example", "m.example", "A RRSIG NSEC")
LAST = record("m.example", "example", "A RRSIG NSEC")


# --- names ---------------------------------------------------------------------------------------


def test_a_name_between_two_neighbours_does_not_exist() -> None:
    """One record covers the name, another the wildcard of the zone."""
    proof = name("d.example", APEX, B)
    assert (proof.result, proof.name_exists) == (PROVEN, False)
    assert proof.closest_encloser == "example"
    assert proof.notes == (
        "NSEC b.example covers d.example",
        "NSEC example covers *.example",
    )


def test_one_record_may_cover_both_name_and_wildcard() -> None:
    """The apex's span holds ``*.example`` and ``a.example``."""
    assert name("a.example", APEX).result is PROVEN


def test_the_last_record_covers_everything_after_its_owner() -> None:
    """Its next name is the apex, which comes first of all."""
    assert name("z.example", APEX, LAST).result is PROVEN
    assert name("a.m.example", APEX, LAST).closest_encloser == "m.example"


def test_the_last_record_covers_nothing_before_its_owner() -> None:
    """The ring does not turn twice."""
    assert name("c.example", APEX, LAST).reason is R.NAME_NOT_COVERED


def test_a_zone_of_one_name_denies_all_others_with_it() -> None:
    """Owner and next name are both the apex."""
    only = record("example", "example", APEX_TYPES)
    assert name("anything.at.all.example", only).result is PROVEN
    assert name("example", only).reason is R.NAME_NOT_COVERED


def test_a_name_outside_all_spans_is_not_denied() -> None:
    """And says so."""
    assert name("z.example", APEX, B).reason is R.NAME_NOT_COVERED


@pytest.mark.parametrize("asked", ["b.example", "m.example"])
def test_the_ends_of_a_span_are_not_in_it(asked: str) -> None:
    """Owner and next name exist."""
    assert name(asked, B, APEX).reason is R.NAME_NOT_COVERED


def test_a_wildcard_that_exists_is_not_denied() -> None:
    """It would have answered."""
    star = record("*.example", "b.example", "MX RRSIG NSEC")
    assert name("d.example", B, star).reason is R.WILDCARD_NOT_DENIED


def test_without_a_word_on_the_wildcard_a_name_is_not_denied() -> None:
    """Half a proof is none."""
    assert name("d.example", B).reason is R.WILDCARD_NOT_DENIED


def test_a_wildcard_that_is_an_empty_non_terminal_is_not_denied() -> None:
    """It exists, so names under it are no name errors (RFC 4592 §2.2.2)."""
    over = record("example", "x.*.example", APEX_TYPES)
    assert name("d.example", B, over).reason is R.WILDCARD_NOT_DENIED
    assert rrtype("d.example", "MX", B, over).name_exists is True


def test_the_wildcard_is_that_of_the_closest_encloser() -> None:
    """Nothing is to be denied above it; the longest shared ancestor counts, from either side."""
    by_owner = record("b.w.example", "x.example", "A RRSIG NSEC")
    assert name("c.w.example", by_owner).reason is R.WILDCARD_NOT_DENIED
    by_next = record("a.example", "b.w.example", "A RRSIG NSEC")
    proof = name("a.w.example", by_next)
    assert (proof.result, proof.closest_encloser) == (PROVEN, "w.example")


def test_an_empty_non_terminal_exists() -> None:
    """The next name is below it."""
    over = record("example", "x.y.example", APEX_TYPES)
    proof = name("y.example", over)
    assert (proof.result, proof.reason) == (NOT_PROVEN, R.NAME_NOT_COVERED)


def test_order_is_canonical_not_alphabetical() -> None:
    """Labels are compared from the root down (RFC 4034 §6.1)."""
    apex = record("example", "a.example", APEX_TYPES)
    over = record("z.a.example", "b.example", "A RRSIG NSEC")
    assert name("aa.example", over, apex).result is PROVEN
    assert name("b.a.example", over, apex).reason is R.NAME_NOT_COVERED


# --- who may speak -------------------------------------------------------------------------------


@pytest.mark.parametrize("types", ["NS RRSIG NSEC", "NS DS RRSIG NSEC", "DNAME RRSIG NSEC"])
def test_a_cut_or_dname_never_denies_what_is_below_it(types: str) -> None:
    """RFC 6840 §4.1; beside it in the same span names are denied as ever."""
    cut = record("b.example", "m.example", types)
    for proof in (
        name("x.b.example", cut, APEX),
        rrtype("x.b.example", "A", cut, APEX),
        delegation("x.b.example", cut, APEX),
        closer("x.b.example", "b.example", cut, APEX),
    ):
        assert (proof.result, proof.reason) == (NOT_PROVEN, R.ANCESTOR_DELEGATION)
    assert name("c.example", cut, APEX).result is PROVEN


def test_the_apex_has_ns_and_soa_and_speaks_for_all_below() -> None:
    """SOA is what tells a zone's apex from a cut."""
    assert name("a.example", APEX).result is PROVEN


def test_the_parent_side_of_a_cut_denies_nothing_but_ds() -> None:
    """Its bit map is not that of the child (RFC 6840 §4.1)."""
    cut = record("b.example", "m.example", "NS RRSIG NSEC")
    assert rrtype("b.example", "MX", cut).reason is R.ANCESTOR_DELEGATION
    assert rrtype("b.example", "DS", cut).result is PROVEN


def test_a_record_expanded_from_a_wildcard_says_nothing_of_its_owner() -> None:
    """CVE-2017-15105: the record is that of ``*``."""
    fake = record("b.example", "m.example", "A RRSIG NSEC", expanded=True)
    assert rrtype("b.example", "MX", fake).reason is R.NSEC_EXPANDED
    assert name("c.example", fake, APEX).reason is R.NAME_NOT_COVERED


@pytest.mark.parametrize(
    ("owner", "following"),
    [("b.example", "c.other"), ("b.other", "m.example"), ("m.example", "b.example")],
)
def test_a_record_not_wholly_in_the_zone_is_left_out(owner: str, following: str) -> None:
    """Nor one whose ring turns before the apex."""
    stray = record(owner, following, "A RRSIG NSEC")
    assert name("z.example", stray).reason is R.NSEC_OUT_OF_ZONE
    assert name("z.example", stray, LAST, APEX).result is PROVEN


def test_a_name_outside_the_zone_is_never_denied() -> None:
    """The last record does not cover the rest of the world."""
    for proof in (
        name("z.other", LAST, APEX),
        rrtype("z.other", "A", LAST, APEX),
        delegation("z.other", LAST, APEX),
        closer("z.other", "other", LAST, APEX),
    ):
        assert proof.reason is R.NSEC_OUT_OF_ZONE


def test_without_records_there_is_no_proof() -> None:
    """All four say so alike."""
    for proof in (
        name("a.example"),
        rrtype("a.example", "A"),
        delegation("a.example"),
        closer("a.example", "example"),
    ):
        assert proof == Proof(result=NOT_PROVEN, reason=R.DENIAL_MISSING)


def test_no_more_records_are_looked_at_than_the_limit() -> None:
    """A reply stuffed with records buys nothing."""
    stuffing = [record(f"s{i}.example", f"s{i}a.example", "A RRSIG NSEC") for i in range(9)]
    assert len(stuffing) > MAX_RECORDS
    assert name("a.example", *stuffing, APEX).reason is R.NAME_NOT_COVERED


# --- types ---------------------------------------------------------------------------------------


def test_a_type_that_the_bit_map_lacks_is_denied() -> None:
    """And the name is said to exist."""
    proof = rrtype("b.example", "MX", B)
    assert (proof.result, proof.name_exists, proof.closest_encloser) == (PROVEN, True, None)


@pytest.mark.parametrize("asked", ["A", "RRSIG", "NSEC", "ANY"])
def test_a_type_that_the_bit_map_has_is_not_denied(asked: str) -> None:
    """NSEC and RRSIG are there with any NSEC, so type ANY is never denied by one."""
    assert rrtype("b.example", asked, B).reason is R.TYPE_PRESENT


def test_an_alias_stands_for_every_type() -> None:
    """No NODATA beside a CNAME (RFC 6840 §4.3)."""
    alias = record("b.example", "m.example", "CNAME RRSIG NSEC")
    assert rrtype("b.example", "MX", alias).reason is R.CNAME_PRESENT
    assert rrtype("b.example", "CNAME", alias).reason is R.TYPE_PRESENT


def test_a_dname_denies_types_at_its_own_name() -> None:
    """Only names below are redirected (RFC 6672 §2.3)."""
    dname = record("b.example", "m.example", "DNAME RRSIG NSEC")
    assert rrtype("b.example", "MX", dname).result is PROVEN


def test_an_empty_non_terminal_has_no_types_at_all() -> None:
    """DS and ANY among them."""
    over = record("example", "x.y.example", APEX_TYPES)
    for asked in ("A", "DS", "ANY"):
        proof = rrtype("y.example", asked, over)
        assert (proof.result, proof.name_exists) == (PROVEN, True)


def test_the_wildcard_of_the_closest_encloser_may_lack_the_type() -> None:
    """Its bit map follows the same rules as that of a name."""
    star = record("*.example", "b.example", "MX RRSIG NSEC")
    proof = rrtype("d.example", "TLSA", B, star)
    assert (proof.result, proof.closest_encloser, proof.name_exists) == (PROVEN, "example", True)
    assert rrtype("d.example", "MX", B, star).reason is R.TYPE_PRESENT
    alias = record("*.example", "b.example", "CNAME RRSIG NSEC")
    assert rrtype("d.example", "MX", B, alias).reason is R.CNAME_PRESENT
    cut = record("*.example", "b.example", "NS RRSIG NSEC")
    assert rrtype("d.example", "MX", B, cut).reason is R.ANCESTOR_DELEGATION


def test_a_wildcard_further_up_does_not_count() -> None:
    """``*.example`` says nothing of names under ``b.example``."""
    star = record("*.example", "b.example", "MX RRSIG NSEC")
    assert rrtype("x.b.example", "TLSA", B, star).result is PROVEN  # by B, which covers *.b.example
    short = record("b.example", "a.b.example", "A RRSIG NSEC")
    after = record("a.b.example", "m.example", "A RRSIG NSEC")
    assert rrtype("x.b.example", "TLSA", after, star).reason is R.WILDCARD_NOT_DENIED
    assert rrtype("x.b.example", "TLSA", after, short, star).name_exists is False


def test_a_wildcard_record_alone_does_not_deny_a_name_without_cover() -> None:
    """The name itself might exist."""
    star = record("*.example", "b.example", "MX RRSIG NSEC")
    assert rrtype("d.example", "TLSA", star).reason is R.NAME_NOT_COVERED


def test_a_name_error_in_the_shape_of_no_data_is_told() -> None:
    """The rcode is unsigned: what the records prove counts."""
    proof = rrtype("d.example", "MX", APEX, B)
    assert (proof.result, proof.name_exists) == (PROVEN, False)


# --- compact denial (RFC 9824) -------------------------------------------------------------------


def test_nxname_says_that_the_name_does_not_exist() -> None:
    """In all shapes, without a word on a wildcard."""
    compact = record("d.example", "\\000.d.example", "RRSIG NSEC NXNAME")
    for proof in (name("d.example", compact), rrtype("d.example", "MX", compact)):
        assert (proof.result, proof.name_exists) == (PROVEN, False)
    proof = delegation("d.example", compact)
    assert (proof.result, proof.cut, proof.name_exists) == (PROVEN, False, False)


def test_nxname_beside_other_types_says_nothing() -> None:
    """A name with data exists."""
    odd = record("d.example", "\\000.d.example", "A RRSIG NSEC NXNAME")
    assert name("d.example", odd).reason is R.NAME_NOT_COVERED
    assert rrtype("d.example", "MX", odd).name_exists is True


def test_compact_no_data_is_plain_no_data() -> None:
    """A record at the name, its next name right after it."""
    compact = record("d.example", "\\000.d.example", "A RRSIG NSEC")
    assert rrtype("d.example", "MX", compact).name_exists is True
    assert name("d.example", compact).result is NOT_PROVEN


def test_a_wildcard_may_be_denied_by_nxname() -> None:
    """One record in the usual manner, the other in the compact one."""
    compact = record("*.example", "\\000.*.example", "RRSIG NSEC NXNAME")
    assert name("d.example", B, compact).name_exists is False
    assert rrtype("d.example", "MX", B, compact).name_exists is False


# --- delegations ---------------------------------------------------------------------------------


def test_a_delegation_without_ds_is_a_cut() -> None:
    """NS is set, DS and SOA are clear."""
    proof = delegation("b.example", record("b.example", "m.example", "NS RRSIG NSEC"))
    assert (proof.result, proof.cut) == (PROVEN, True)


def test_a_name_without_ns_is_no_cut() -> None:
    """The zone goes on."""
    proof = delegation("b.example", B)
    assert (proof.result, proof.cut) == (PROVEN, False)


def test_a_delegation_with_ds_is_not_denied() -> None:
    """A stripped DS set shows by the bit."""
    signed = record("b.example", "m.example", "NS DS RRSIG NSEC")
    assert delegation("b.example", signed).reason is R.DS_BIT_SET
    assert rrtype("b.example", "DS", signed).reason is R.TYPE_PRESENT


def test_an_alias_is_no_cut() -> None:
    """CNAME leaves no room for NS, whatever the server answered with."""
    proof = delegation("b.example", record("b.example", "m.example", "CNAME RRSIG NSEC"))
    assert (proof.result, proof.cut) == (PROVEN, False)


def test_the_child_does_not_deny_its_own_ds() -> None:
    """DS lives in the parent (RFC 4035 §5.2)."""
    assert delegation("example", APEX).reason is R.DS_FROM_CHILD
    assert rrtype("example", "DS", APEX).reason is R.DS_FROM_CHILD
    strange = record("b.example", "m.example", APEX_TYPES)
    assert delegation("b.example", strange).reason is R.DS_FROM_CHILD


def test_the_root_has_no_parent_to_ask() -> None:
    """DS of the root is denied by the root, and never is it a cut."""
    root = record(".", "aaa", APEX_TYPES)
    assert rrtype(".", "DS", root, zone=ROOT).result is PROVEN
    proof = delegation(".", root, zone=ROOT)
    assert (proof.result, proof.cut) == (PROVEN, False)
    assert name("a", root, zone=ROOT).closest_encloser == "."


def test_empty_non_terminals_and_absent_names_are_no_cuts() -> None:
    """Also when a server says name error for an empty non-terminal."""
    over = record("example", "x.y.example", APEX_TYPES)
    empty = delegation("y.example", over)
    assert (empty.result, empty.cut, empty.name_exists) == (PROVEN, False, True)
    absent = delegation("d.example", APEX, B)
    assert (absent.result, absent.cut, absent.name_exists) == (PROVEN, False, False)
    assert delegation("d.example", B).reason is R.WILDCARD_NOT_DENIED


# --- wildcards -----------------------------------------------------------------------------------


def test_a_covered_name_may_come_from_the_wildcard_of_its_closest_encloser() -> None:
    """Nothing nearer exists."""
    proof = closer("x.d.example", "example", B)
    assert (proof.result, proof.closest_encloser) == (PROVEN, "example")


def test_a_nearer_encloser_makes_the_wildcard_wrong() -> None:
    """``b.example`` exists, so ``*.example`` does not reach below it; nor above, nor aside."""
    assert closer("x.b.example", "example", B).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("x.d.example", "d.example", B).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("d.example", "d.example", B).reason is R.WILDCARD_ENCLOSER_WRONG
    assert closer("d.example", ".", B).reason is R.WILDCARD_ENCLOSER_WRONG


def test_a_name_that_exists_does_not_come_from_a_wildcard() -> None:
    """With records of its own, or as an empty non-terminal."""
    assert closer("b.example", "example", B).reason is R.WILDCARD_ENCLOSER_WRONG
    over = record("example", "x.y.example", APEX_TYPES)
    assert closer("y.example", "example", over).reason is R.WILDCARD_ENCLOSER_WRONG


def test_without_cover_a_wildcard_is_not_shown_to_apply() -> None:
    """The name itself might exist."""
    assert closer("z.example", "example", B).reason is R.NAME_NOT_COVERED
