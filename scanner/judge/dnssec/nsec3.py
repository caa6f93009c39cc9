"""Denial by NSEC3: what verified NSEC3 records of one zone prove (RFC 5155 §8).

The ring of a zone's names is here a ring of their hashes, so a record that covers a hash tells
nothing of the names around. Therefore every proof of absence stands on the *closest encloser
proof* (§8.3): the longest ancestor of the name whose hash is matched, and the name one label
longer (the next closer) whose hash is covered. Where the cover has opt-out, unsigned delegations
and the empty non-terminals above them may lie in the span: then the claim holds as far as it
goes, which is insecure (§9.2, erratum 3441).

Rules: ``zone`` is the apex and signed every record. Left out are records of another zone, of
unknown hash algorithms (§8.1) or flags (§8.2), with hashes of a wrong length, and those expanded
from a wildcard. Records of one zone that differ in iterations or salt prove nothing together
(§8.2). With more than ``max_iterations`` nothing is hashed and the result is insecure (RFC 9276
§3.2); the signatures have been checked before. A closest encloser with DNAME, or with NS and no
SOA, encloses nothing of this zone (§8.3). Each distinct hash is spent from the budget first: a
long name can ask for one hash per label (CVE-2023-50868).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scanner.judge.budget import Budget
from scanner.judge.dnssec.typebits import (
    MAX_RECORDS,
    TYPE_DS,
    TYPE_NS,
    delegation_fault,
    hides_names_below,
    nodata_fault,
    says_absent,
)
from scanner.model.canonical import (
    WILDCARD,
    CanonicalName,
    is_at_or_below,
    is_below,
    name_of,
    wire_form,
)
from scanner.model.dnssec import OPT_OUT, DnssecReason, Nsec3Record, Proof, ProofResult

HASH_SHA1 = 1
HASH_OCTETS = 20


def deny_name(
    records: Sequence[Nsec3Record],
    *,
    name: CanonicalName,
    zone: CanonicalName,
    budget: Budget,
    max_iterations: int,
) -> Proof:
    """Return the proof that neither ``name`` nor a wildcard for it exists (RFC 5155 §8.4).

    Besides the closest encloser proof, ``*.<closest encloser>`` must be covered. A record at the
    name itself that says NXNAME will do as well (RFC 9824). ``name_exists`` is False.
    PROVEN_INSECURE: opt-out (then it is None), or too many iterations. Raises BudgetExceededError.
    """

    def prove(ring: _Ring) -> Proof:
        matching = ring.match(name)
        if matching is not None:
            note = _note(matching, "stands at", name)
            if says_absent(matching.types):
                return Proof(result=ProofResult.PROVEN, name_exists=False, notes=(note,))
            return _failed(DnssecReason.NAME_NOT_COVERED, note)
        found = ring.enclose(name, zone)
        if not isinstance(found, _Enclosed):
            return found
        wildcard = ring.cover(found.wildcard)
        if wildcard is None:
            return _failed(DnssecReason.WILDCARD_NOT_DENIED, *found.notes)
        note = _note(wildcard, "covers", found.wildcard)
        return found.proven(note, name_exists=False)

    return _with_ring(records, name, zone, budget, max_iterations, prove)


def deny_type(
    records: Sequence[Nsec3Record],
    *,
    name: CanonicalName,
    rdtype: int,
    zone: CanonicalName,
    budget: Budget,
    max_iterations: int,
) -> Proof:
    """Return the proof that ``name`` has no records of type ``rdtype``, nor a CNAME (§8.5-8.7).

    Shapes: the record at the name lacks the type (an empty non-terminal has one, with no types);
    the name is enclosed and the wildcard lacks the type; the name is enclosed by an opt-out span
    (PROVEN_INSECURE); or there is no such name at all, which ``name_exists`` False reports.
    Raises BudgetExceededError.
    """

    def prove(ring: _Ring) -> Proof:
        matching = ring.match(name)
        if matching is None:
            return _enclosed_type(ring, name, rdtype, zone)
        note = _note(matching, "stands at", name)
        if says_absent(matching.types):
            return Proof(result=ProofResult.PROVEN, name_exists=False, notes=(note,))
        fault = nodata_fault(matching.types, rdtype, at_apex=name == zone, at_root=not name)
        if fault is not None:
            return _failed(fault, note)
        return Proof(result=ProofResult.PROVEN, name_exists=True, notes=(note,))

    return _with_ring(records, name, zone, budget, max_iterations, prove)


def deny_delegation(
    records: Sequence[Nsec3Record],
    *,
    name: CanonicalName,
    zone: CanonicalName,
    budget: Budget,
    max_iterations: int,
) -> Proof:
    """Return the proof that ``zone`` has no DS at ``name``, a name below it (RFC 5155 §8.6, §8.9).

    ``cut`` is True for a delegation without DS, False where no zone begins; None with
    PROVEN_INSECURE where an opt-out span may hide an unsigned delegation, or where iterations are
    too many to look. Raises BudgetExceededError.
    """

    def prove(ring: _Ring) -> Proof:
        matching = ring.match(name)
        if matching is None:
            proof = _enclosed_type(ring, name, TYPE_DS, zone)
            return replace(proof, cut=False) if proof.result is ProofResult.PROVEN else proof
        note = _note(matching, "stands at", name)
        absent = says_absent(matching.types)
        fault = delegation_fault(matching.types, at_apex=name == zone, at_root=not name)
        if fault is not None:
            return _failed(fault, note)
        cut = TYPE_NS in matching.types and name != zone
        return Proof(result=ProofResult.PROVEN, cut=cut, name_exists=not absent, notes=(note,))

    return _with_ring(records, name, zone, budget, max_iterations, prove)


def deny_wildcard_closer(
    records: Sequence[Nsec3Record],
    *,
    name: CanonicalName,
    encloser: CanonicalName,
    zone: CanonicalName,
    budget: Budget,
    max_iterations: int,
) -> Proof:
    """Return the proof that ``*.encloser`` was rightly expanded to ``name`` (RFC 5155 §8.8).

    The signature of the answer proves that the wildcard, and so ``encloser``, exists: only the
    next closer name must be covered. Raises BudgetExceededError.
    """

    def prove(ring: _Ring) -> Proof:
        if not is_below(name, encloser) or not is_at_or_below(encloser, zone):
            return _failed(DnssecReason.WILDCARD_ENCLOSER_WRONG)
        next_closer = name[: len(encloser) + 1]
        matching = ring.match(next_closer)
        if matching is not None:
            note = _note(matching, "stands at", next_closer)
            return _failed(DnssecReason.WILDCARD_ENCLOSER_WRONG, note)
        cover = ring.cover(next_closer)
        if cover is None:
            return _failed(DnssecReason.NAME_NOT_COVERED)
        note = _note(cover, "covers", next_closer)
        found = _Enclosed(encloser=encloser, cover=cover, notes=(note,))
        return found.proven(name_exists=False)

    return _with_ring(records, name, zone, budget, max_iterations, prove)


def nsec3_hash(name: CanonicalName, salt: bytes, iterations: int) -> bytes:
    """Return the SHA-1 hash of a canonical name (RFC 5155 §5), 20 octets.

    ``iterations`` are those beyond the first; whoever calls has bounded them.
    """
    digest = hashlib.sha1(wire_form(name) + salt, usedforsecurity=False).digest()
    for _ in range(iterations):
        digest = hashlib.sha1(digest + salt, usedforsecurity=False).digest()
    return digest


@dataclass(frozen=True, kw_only=True, slots=True)
class _Enclosed:
    """A closest encloser proof (RFC 5155 §8.3) and the record that covers the next closer."""

    encloser: CanonicalName
    cover: Nsec3Record
    notes: tuple[str, ...]

    @property
    def wildcard(self) -> CanonicalName:
        return (*self.encloser, WILDCARD)

    def proven(self, *notes: str, name_exists: bool | None) -> Proof:
        """Return the proof that rests on this one: insecure if the span has opt-out (§9.2).

        Then whether the name exists is left open: it may be an unsigned delegation.
        """
        opt_out = self.cover.opt_out
        return Proof(
            result=ProofResult.PROVEN_INSECURE if opt_out else ProofResult.PROVEN,
            reason=DnssecReason.OPT_OUT_SPAN if opt_out else None,
            closest_encloser=name_of(self.encloser),
            name_exists=None if opt_out else name_exists,
            notes=(*self.notes, *notes),
        )


class _Ring:
    """The usable records of one zone, alike in parameters, and the hashes computed so far."""

    __slots__ = ("_budget", "_hashes", "_iterations", "_records", "_salt")

    def __init__(self, records: Sequence[Nsec3Record], budget: Budget) -> None:
        self._records = records
        self._salt = records[0].salt
        self._iterations = records[0].iterations
        self._budget = budget
        self._hashes: dict[CanonicalName, bytes] = {}

    def match(self, name: CanonicalName) -> Nsec3Record | None:
        """Return the record that stands at ``name``."""
        digest = self._hash(name)
        return next((record for record in self._records if record.owner_hash == digest), None)

    def cover(self, name: CanonicalName) -> Nsec3Record | None:
        """Return a record whose span holds ``name``; of several one with opt-out, to claim less."""
        digest = self._hash(name)
        covers = [record for record in self._records if _covers(record, digest)]
        return max(covers, key=lambda record: record.opt_out, default=None)

    def enclose(self, name: CanonicalName, zone: CanonicalName) -> _Enclosed | Proof:
        """Return the closest encloser proof for ``name``, which nothing matches, or its failure.

        The longest matched ancestor is the one: were it not the closest encloser, the next closer
        would exist and could not be covered.
        """
        for length in range(len(name) - 1, len(zone) - 1, -1):
            encloser = name[:length]
            matching = self.match(encloser)
            if matching is None or says_absent(matching.types):
                continue
            at = _note(matching, "stands at", encloser)
            if hides_names_below(matching.types):
                return _failed(DnssecReason.ANCESTOR_DELEGATION, at)
            next_closer = name[: length + 1]
            cover = self.cover(next_closer)
            if cover is None:
                return _failed(DnssecReason.NAME_NOT_COVERED, at)
            notes = (at, _note(cover, "covers", next_closer))
            return _Enclosed(encloser=encloser, cover=cover, notes=notes)
        return _failed(DnssecReason.NO_CLOSEST_ENCLOSER, f"nothing stands above {name_of(name)}")

    def _hash(self, name: CanonicalName) -> bytes:
        digest = self._hashes.get(name)
        if digest is None:
            self._budget.spend()
            digest = nsec3_hash(name, self._salt, self._iterations)
            self._hashes[name] = digest
        return digest


def _enclosed_type(ring: _Ring, name: CanonicalName, rdtype: int, zone: CanonicalName) -> Proof:
    """Return the proof that a name with no record of its own lacks the type.

    In an opt-out span the name may be an unsigned delegation, or an empty non-terminal above one,
    whatever the wildcard has (RFC 5155 §8.6, erratum 3441): never more than insecure.
    """
    found = ring.enclose(name, zone)
    if not isinstance(found, _Enclosed):
        return found
    if found.cover.opt_out:
        return found.proven(name_exists=None)
    at_wildcard = ring.match(found.wildcard)
    if at_wildcard is not None:
        note = _note(at_wildcard, "stands at", found.wildcard)
        if says_absent(at_wildcard.types):
            return found.proven(note, name_exists=False)
        fault = nodata_fault(at_wildcard.types, rdtype, at_apex=False, at_root=False)
        if fault is not None:
            return _failed(fault, *found.notes, note)
        return found.proven(note, name_exists=True)
    wildcard = ring.cover(found.wildcard)
    if wildcard is not None:
        note = _note(wildcard, "covers", found.wildcard)
        return found.proven(note, name_exists=False)
    return _failed(DnssecReason.OPT_OUT_NOT_SET, *found.notes)


def _with_ring(
    records: Sequence[Nsec3Record],
    name: CanonicalName,
    zone: CanonicalName,
    budget: Budget,
    max_iterations: int,
    prove: Callable[[_Ring], Proof],
) -> Proof:
    """Return what ``prove`` makes of the usable records, or why none may be used."""
    if not is_at_or_below(name, zone):
        return _failed(DnssecReason.NSEC_OUT_OF_ZONE)
    usable: list[Nsec3Record] = []
    fault: DnssecReason | None = None
    for record in records:
        wrong = _record_fault(record, zone)
        if wrong is None:
            usable.append(record)
        else:
            fault = fault or wrong
    if not usable:
        return _failed(fault or DnssecReason.DENIAL_MISSING)
    if len({(record.iterations, record.salt) for record in usable}) > 1:
        return _failed(DnssecReason.NSEC3_PARAMS_DIFFER)
    iterations = usable[0].iterations
    if iterations > max_iterations:
        return Proof(
            result=ProofResult.PROVEN_INSECURE,
            reason=DnssecReason.NSEC3_ITERATIONS_HIGH,
            notes=(f"NSEC3 {usable[0].owner} has {iterations} iterations",),
        )
    return prove(_Ring(usable[:MAX_RECORDS], budget))


def _record_fault(record: Nsec3Record, zone: CanonicalName) -> DnssecReason | None:
    """Return why a record proves nothing in ``zone``; None for one that may."""
    if record.wildcard_expanded:
        return DnssecReason.NSEC_EXPANDED
    if record.zone_labels != zone:
        return DnssecReason.NSEC_OUT_OF_ZONE
    if record.algorithm != HASH_SHA1:
        return DnssecReason.NSEC3_HASH_UNKNOWN
    if record.flags & ~OPT_OUT:
        return DnssecReason.NSEC3_FLAGS_UNKNOWN
    if len(record.owner_hash) != HASH_OCTETS or len(record.next_hash) != HASH_OCTETS:
        # Neither octets of SHA-1 nor of anything else we know.
        return DnssecReason.NSEC3_HASH_UNKNOWN
    return None


def _covers(record: Nsec3Record, digest: bytes) -> bool:
    """Return whether a hash lies strictly in the span; the last record's runs over the end."""
    if record.owner_hash < record.next_hash:
        return record.owner_hash < digest < record.next_hash
    # The last record of the ring, or the only one, whose next hash is its own.
    return digest > record.owner_hash or digest < record.next_hash


def _failed(reason: DnssecReason, *notes: str) -> Proof:
    return Proof(result=ProofResult.NOT_PROVEN, reason=reason, notes=notes)


def _note(record: Nsec3Record, what: str, name: CanonicalName) -> str:
    return f"NSEC3 {record.owner} {what} {name_of(name)}"
