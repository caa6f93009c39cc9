"""Proofs of denial against a zone that knows the truth: everything true is provable, nothing else.

Random small zones with delegations, DNAMEs, wildcards and empty non-terminals. Completeness: what
an honest server sends proves the answer. Soundness, the heart: no selection of a zone's own
records, however chosen, ever proves a claim that is false.
"""

from itertools import product

from denial_zones import (
    CNAME,
    DNAME,
    DS,
    MX,
    NS,
    STAR,
    A,
    ReferenceZone,
    Truth,
    hashed,
    in_span,
    is_cut,
    strictly_below,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.judge.budget import Budget
from scanner.judge.dnssec import nsec, nsec3
from scanner.model.canonical import CanonicalName, canonical
from scanner.model.dnssec import Nsec3Record, NsecRecord, Proof, ProofResult

LABELS = (b"*", b"a", b"b")
DEPTH = 3
QUERY_TYPES = (A, MX, NS, CNAME, DS)
NOT_PROVEN, PROVEN = ProofResult.NOT_PROVEN, ProofResult.PROVEN
INSECURE = ProofResult.PROVEN_INSECURE

data = st.sampled_from([frozenset({A}), frozenset({A, MX}), frozenset({MX}), frozenset({CNAME})])
cuts = st.sampled_from([frozenset({NS}), frozenset({NS, DS}), frozenset({DNAME, A})])
relative = st.lists(st.sampled_from(LABELS), min_size=1, max_size=DEPTH).map(tuple)


@st.composite
def zones(draw: st.DrawFn) -> ReferenceZone:
    """A zone at the root, a top-level or a deeper name, with up to six owners."""
    apex = draw(st.sampled_from([(), (b"example",), (b"org", b"a")]))
    owners: dict[CanonicalName, frozenset[int]] = {}
    for name in draw(st.lists(relative, max_size=6, unique=True)):
        # Delegations and DNAMEs at a wildcard have no agreed meaning (RFC 4592 §4).
        kinds = data if STAR in name else data | cuts
        owners[(*apex, *name)] = draw(kinds)
    return ReferenceZone.of(apex, owners)


def names_of(zone: ReferenceZone) -> list[CanonicalName]:
    """Every name that can be asked for, one level deeper than any owner."""
    names = [zone.apex]
    for depth in range(1, DEPTH + 1):
        names += [(*zone.apex, *labels) for labels in product(LABELS, repeat=depth)]
    names += [(*owner, b"a") for owner in zone.owners]
    return names


# --- NSEC -----------------------------------------------------------------------------------------


def honest_nsec(zone: ReferenceZone, name: CanonicalName) -> list[NsecRecord]:
    """What a server adds to a denial (RFC 4035 §3.1.3): about the name and about its wildcard."""
    ring = zone.nsec_ring()
    wildcard = (*zone.encloser(name), STAR)
    # The last record at or before a name either stands at it or covers it.
    wanted = {max(r.owner_labels for r in ring if r.owner_labels <= n) for n in (name, wildcard)}
    return [record for record in ring if record.owner_labels in wanted]


@settings(max_examples=60)
@given(zones())
def test_an_honest_reply_with_nsec_proves_exactly_the_truth(zone: ReferenceZone) -> None:
    """NXDOMAIN and NODATA are proven where they are true, and told apart; nothing else is."""
    for name in names_of(zone):
        records = honest_nsec(zone, name)
        absent = nsec.deny_name(records, name=name, zone=zone.apex)
        is_absent = zone.truth(name, A) is Truth.NXDOMAIN
        assert (absent.result is PROVEN) == is_absent, (name, absent)
        for rdtype in QUERY_TYPES:
            truth = zone.truth(name, rdtype)
            proof = nsec.deny_type(records, name=name, rdtype=rdtype, zone=zone.apex)
            expected = truth in (Truth.NODATA, Truth.NXDOMAIN)
            if rdtype == DS and name == zone.apex and zone.apex:
                expected = False  # the parent's to deny
            assert (proof.result is PROVEN) == expected, (name, rdtype, truth, proof)
            if expected:
                assert proof.name_exists is (truth is Truth.NODATA)


@settings(max_examples=60)
@given(zones())
def test_an_honest_reply_with_nsec_tells_cuts_from_other_names(zone: ReferenceZone) -> None:
    """An unsigned delegation is a cut, a signed one is not denied, other names are no cut."""
    for name in names_of(zone)[1:]:
        proof = nsec.deny_delegation(honest_nsec(zone, name), name=name, zone=zone.apex)
        if by_wildcard_alias(zone, name):
            continue  # the server answers with the alias, so there is nothing to deny
        types = zone.owners.get(name, frozenset())
        if zone.hidden(name) or DS in types:
            assert proof.result is NOT_PROVEN, (name, proof)
        else:
            assert (proof.result, proof.cut) == (PROVEN, NS in types), (name, proof)


@settings(max_examples=60)
@given(zones())
def test_an_honest_reply_with_nsec_proves_the_wildcards_that_apply(zone: ReferenceZone) -> None:
    """The true closest encloser, and no other, is one from which a name may be expanded."""
    for name in names_of(zone):
        records = honest_nsec(zone, name)
        applies = not zone.hidden(name) and name not in zone.existing
        for length in range(len(zone.apex), len(name)):
            encloser = name[:length]
            proof = nsec.deny_wildcard_closer(records, name=name, encloser=encloser, zone=zone.apex)
            expected = applies and encloser == zone.encloser(name)
            assert (proof.result is PROVEN) == expected, (name, encloser, proof)


@settings(max_examples=200)
@given(zones(), st.integers(0, 4095))
def test_no_selection_of_nsec_records_proves_what_is_false(zone: ReferenceZone, bits: int) -> None:
    """No existing name is denied, no existing type, no delegation with DS, no cut overseen."""
    ring = zone.nsec_ring()
    records = [record for position, record in enumerate(ring) if bits >> position & 1]
    for name in names_of(zone):
        check_nsec(zone, name, records)


def check_nsec(zone: ReferenceZone, name: CanonicalName, records: list[NsecRecord]) -> None:
    """Every claim that these records prove about ``name`` is true."""
    absent = nsec.deny_name(records, name=name, zone=zone.apex)
    check_name(zone, name, absent, hidden_by_opt_out=False)
    for rdtype in QUERY_TYPES:
        proof = nsec.deny_type(records, name=name, rdtype=rdtype, zone=zone.apex)
        check_type(zone, name, rdtype, proof, hidden_by_opt_out=False)
    delegation = nsec.deny_delegation(records, name=name, zone=zone.apex)
    check_delegation(zone, name, delegation, hidden_by_opt_out=False)
    for length in range(len(zone.apex), len(name)):
        encloser = name[:length]
        proof = nsec.deny_wildcard_closer(records, name=name, encloser=encloser, zone=zone.apex)
        check_closer(zone, name, encloser, proof, hidden_by_opt_out=False)


# --- NSEC3 ----------------------------------------------------------------------------------------


@st.composite
def nsec3_zones(
    draw: st.DrawFn,
) -> tuple[ReferenceZone, list[Nsec3Record], frozenset[CanonicalName]]:
    """A zone, its NSEC3 ring, and the unsigned delegations that its opt-out spans leave out."""
    zone = draw(zones())
    unsigned = [name for name, types in zone.owners.items() if is_cut(types) and DS not in types]
    omitted = frozenset(draw(st.sets(st.sampled_from(unsigned)))) if unsigned else frozenset()
    ring = zone.nsec3_ring(
        salt=draw(st.binary(max_size=4)),
        iterations=draw(st.integers(0, 2)),
        omitted=omitted,
        opt_out_everywhere=draw(st.booleans()) and draw(st.booleans()),
    )
    return zone, ring, omitted


def honest_nsec3(
    zone: ReferenceZone,
    ring: list[Nsec3Record],
    omitted: frozenset[CanonicalName],
    name: CanonicalName,
) -> list[Nsec3Record]:
    """What a server adds to a denial (RFC 5155 §7.2), always with the closest encloser proof."""
    present = zone.nsec3_names(omitted)
    length = max(n for n in range(len(name) + 1) if name[:n] in present)
    encloser = name[:length]
    wanted = [name, encloser, name[: length + 1], (*encloser, STAR)]
    chosen: list[Nsec3Record] = []
    for digest in (hashed(asked, ring[0].salt, ring[0].iterations) for asked in wanted):
        chosen += [
            record
            for record in ring
            if (record.owner_hash == digest or in_span(record.owner_hash, digest, record.next_hash))
            and record not in chosen
        ]
    return chosen


def is_opted_out(
    zone: ReferenceZone,
    ring: list[Nsec3Record],
    omitted: frozenset[CanonicalName],
    name: CanonicalName,
) -> bool:
    """Return whether the next closer name, by the ring, is in a span with opt-out."""
    present = zone.nsec3_names(omitted)
    if name in present:
        return False
    length = max(n for n in range(len(name)) if name[:n] in present)
    digest = hashed(name[: length + 1], ring[0].salt, ring[0].iterations)
    return any(r.opt_out and in_span(r.owner_hash, digest, r.next_hash) for r in ring)


@settings(max_examples=60)
@given(nsec3_zones())
def test_an_honest_reply_with_nsec3_proves_the_truth(
    made: tuple[ReferenceZone, list[Nsec3Record], frozenset[CanonicalName]],
) -> None:
    """What is true is proven, in an opt-out span insecurely; what is not is not proven securely."""
    zone, ring, omitted = made
    for name in names_of(zone):
        records = honest_nsec3(zone, ring, omitted, name)
        as_proven = INSECURE if is_opted_out(zone, ring, omitted, name) else PROVEN
        absent = Prover(zone, records).deny_name(name)
        # Under an empty non-terminal that the ring leaves out, a wildcard above it seems to apply.
        encloser_is_seen = zone.encloser(name) in zone.nsec3_names(omitted)
        if zone.truth(name, A) is Truth.NXDOMAIN and encloser_is_seen:
            assert absent.result is as_proven, (name, absent)
            assert absent.name_exists is (False if as_proven is PROVEN else None)
        for rdtype in QUERY_TYPES:
            truth = zone.truth(name, rdtype)
            proof = Prover(zone, records).deny_type(name, rdtype)
            if rdtype == DS and name == zone.apex and zone.apex:
                assert proof.result is NOT_PROVEN
            elif truth in (Truth.NODATA, Truth.NXDOMAIN):
                assert proof.result is as_proven, (name, rdtype, truth, proof)
            elif as_proven is PROVEN:
                assert proof.result is NOT_PROVEN, (name, rdtype, truth, proof)


@settings(max_examples=60)
@given(nsec3_zones())
def test_an_honest_reply_with_nsec3_tells_cuts_from_other_names(
    made: tuple[ReferenceZone, list[Nsec3Record], frozenset[CanonicalName]],
) -> None:
    """Unsigned delegations are proven, those left out insecurely; a wildcard's names are no cut."""
    zone, ring, omitted = made
    for name in names_of(zone)[1:]:
        records = honest_nsec3(zone, ring, omitted, name)
        types = zone.owners.get(name, frozenset())
        proof = Prover(zone, records).deny_delegation(name)
        if is_opted_out(zone, ring, omitted, name):
            hides_in_ring = any(strictly_below(name, owner) for owner in seen_cuts(zone, omitted))
            expected = (NOT_PROVEN, None) if hides_in_ring else (INSECURE, None)
        elif zone.hidden(name) or DS in types or by_wildcard_alias(zone, name):
            expected = (NOT_PROVEN, None)
        else:
            expected = (PROVEN, NS in types)
        assert (proof.result, proof.cut) == expected, (name, proof)


@settings(max_examples=200)
@given(nsec3_zones(), st.integers(0, 4095))
def test_no_selection_of_nsec3_records_proves_what_is_false(
    made: tuple[ReferenceZone, list[Nsec3Record], frozenset[CanonicalName]], bits: int
) -> None:
    """As with NSEC; and what an opt-out span cannot know is claimed insecurely at most."""
    zone, ring, omitted = made
    records = [record for position, record in enumerate(ring) if bits >> position & 1]
    for name in names_of(zone):
        prover = Prover(zone, records)
        opted_out = is_opted_out(zone, ring, omitted, name)
        check_name(zone, name, prover.deny_name(name), hidden_by_opt_out=opted_out)
        for rdtype in QUERY_TYPES:
            proof = prover.deny_type(name, rdtype)
            check_type(zone, name, rdtype, proof, hidden_by_opt_out=opted_out)
        proof = prover.deny_delegation(name)
        check_delegation(zone, name, proof, hidden_by_opt_out=opted_out)
        for length in range(len(zone.apex), len(name)):
            if (*name[:length], STAR) not in zone.existing:
                continue  # no signature could have shown an expansion from there
            proof = prover.deny_wildcard_closer(name, name[:length])
            check_closer(zone, name, name[:length], proof, hidden_by_opt_out=opted_out)


class Prover:
    """The four proofs over these records, with a budget that suffices."""

    def __init__(self, zone: ReferenceZone, records: list[Nsec3Record]) -> None:
        self.apex = zone.apex
        self.records = records

    def deny_name(self, name: CanonicalName) -> Proof:
        return nsec3.deny_name(
            self.records, name=name, zone=self.apex, budget=Budget(32), max_iterations=150
        )

    def deny_type(self, name: CanonicalName, rdtype: int) -> Proof:
        return nsec3.deny_type(
            self.records,
            name=name,
            rdtype=rdtype,
            zone=self.apex,
            budget=Budget(32),
            max_iterations=150,
        )

    def deny_delegation(self, name: CanonicalName) -> Proof:
        return nsec3.deny_delegation(
            self.records, name=name, zone=self.apex, budget=Budget(32), max_iterations=150
        )

    def deny_wildcard_closer(self, name: CanonicalName, encloser: CanonicalName) -> Proof:
        return nsec3.deny_wildcard_closer(
            self.records,
            name=name,
            encloser=encloser,
            zone=self.apex,
            budget=Budget(32),
            max_iterations=150,
        )


# --- What is true ---------------------------------------------------------------------------------


def check_name(
    zone: ReferenceZone, name: CanonicalName, proof: Proof, *, hidden_by_opt_out: bool
) -> None:
    """A name is proven absent only if it is; insecurely only if opt-out could hide it."""
    if proof.result is PROVEN:
        assert zone.truth(name, A) is Truth.NXDOMAIN, (name, proof)
        check_encloser(zone, name, proof)
    elif proof.result is INSECURE:
        assert hidden_by_opt_out, (name, proof)


def check_type(
    zone: ReferenceZone, name: CanonicalName, rdtype: int, proof: Proof, *, hidden_by_opt_out: bool
) -> None:
    """A type is proven absent only if it is, and the name said to be absent only if it is."""
    if proof.result is PROVEN:
        truth = zone.truth(name, rdtype)
        assert truth in (Truth.NODATA, Truth.NXDOMAIN), (name, rdtype, proof)
        assert proof.name_exists is (truth is Truth.NODATA), (name, rdtype, proof)
        check_encloser(zone, name, proof)
    elif proof.result is INSECURE:
        assert hidden_by_opt_out, (name, rdtype, proof)


def check_delegation(
    zone: ReferenceZone, name: CanonicalName, proof: Proof, *, hidden_by_opt_out: bool
) -> None:
    """A delegation with DS is never denied, a cut never overseen, a name below one never judged."""
    types = zone.owners.get(name, frozenset())
    if proof.result is PROVEN and name != zone.apex:
        assert not zone.hidden(name), (name, proof)
        assert DS not in types, (name, proof)
        assert proof.cut is is_cut(types), (name, proof)
    elif proof.result is PROVEN:
        assert zone.apex == ()
        assert proof.cut is False
    elif proof.result is INSECURE:
        assert hidden_by_opt_out, (name, proof)
        assert DS not in types
        assert proof.cut is None


def check_closer(
    zone: ReferenceZone,
    name: CanonicalName,
    encloser: CanonicalName,
    proof: Proof,
    *,
    hidden_by_opt_out: bool,
) -> None:
    """A wildcard is proven to apply only if its encloser is the closest and the name is absent."""
    if proof.result is PROVEN:
        assert not zone.hidden(name), (name, encloser, proof)
        assert name not in zone.existing, (name, encloser, proof)
        assert zone.encloser(name) == encloser, (name, proof)
    elif proof.result is INSECURE:
        assert hidden_by_opt_out, (name, encloser, proof)


def check_encloser(zone: ReferenceZone, name: CanonicalName, proof: Proof) -> None:
    if proof.closest_encloser is not None:
        assert canonical(proof.closest_encloser) == zone.encloser(name), (name, proof)


def by_wildcard_alias(zone: ReferenceZone, name: CanonicalName) -> bool:
    """Return whether a wildcard CNAME answers for ``name``."""
    if zone.hidden(name) or name in zone.existing:
        return False
    return CNAME in zone.owners.get((*zone.encloser(name), STAR), frozenset())


def seen_cuts(zone: ReferenceZone, omitted: frozenset[CanonicalName]) -> list[CanonicalName]:
    """Owners of the ring that hide the names below them."""
    return [
        owner
        for owner, types in zone.owners.items()
        if owner not in omitted and (is_cut(types) or DNAME in types)
    ]
