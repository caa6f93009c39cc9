"""Denial by NSEC: what verified NSEC records of one zone prove (RFC 4034 §4, RFC 4035 §5.4).

A zone's NSEC records form a ring in canonical order: each says that between its owner and its
next name there is nothing, and the last one's next name is the apex. So one record that covers a
name also tells its closest encloser: the longest ancestor shared with owner or next name, since
both of these exist. A next name *below* the covered name makes that an empty non-terminal, which
exists with no types.

Rules: ``zone`` is the apex and signed every record. Left out are records that are not wholly in
the zone, a ring that turns anywhere but at the apex, and records whose signature shows that they
were expanded from a wildcard, for they say nothing about the owner they are shown with
(CVE-2017-15105). A record with DNAME, or with NS and no SOA, denies no name below its owner
(RFC 6840 §4.1). Nothing here trusts the rcode: a proof says what the records say.

A failed proof's reason is what would have to change first; where several records fail, the one
nearest to a proof gives it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    common_ancestor,
    is_at_or_below,
    is_below,
    name_of,
)
from scanner.model.dnssec import DnssecReason, NsecRecord, Proof, ProofResult


def deny_name(records: Sequence[NsecRecord], *, name: CanonicalName, zone: CanonicalName) -> Proof:
    """Return the proof that neither ``name`` nor a wildcard for it exists (RFC 4035 §5.4).

    One record covers the name, one (perhaps the same) covers ``*.<closest encloser>``; or one at
    the name itself says NXNAME (RFC 9824). PROVEN has ``name_exists`` False.
    """
    usable, fault = _usable(records, name, zone)
    if fault is not None:
        return _failed(fault)
    matching = _matching(usable, name)
    if matching is not None:
        if says_absent(matching.types):
            return _absent(None, _note(matching, "denies", name))
        return _failed(DnssecReason.NAME_NOT_COVERED, _note(matching, "stands at", name))
    found = _search(usable, name)
    if not isinstance(found, _Covered):
        return found
    if found.is_empty_non_terminal:
        note = _note(found.record, "has its next name below", name)
        return _failed(DnssecReason.NAME_NOT_COVERED, note)
    return _deny_wildcard(usable, found, name)


def deny_type(
    records: Sequence[NsecRecord], *, name: CanonicalName, rdtype: int, zone: CanonicalName
) -> Proof:
    """Return the proof that ``name`` has no records of type ``rdtype``, nor a CNAME.

    Four shapes: the record at the name lacks the type; the name is an empty non-terminal; the
    name is covered and the wildcard of its closest encloser lacks the type or is itself an empty
    non-terminal; or there is no such name at all, which is reported by ``name_exists`` False.
    """
    usable, fault = _usable(records, name, zone)
    if fault is not None:
        return _failed(fault)
    matching = _matching(usable, name)
    if matching is not None:
        note = _note(matching, "stands at", name)
        if says_absent(matching.types):
            return _absent(None, note)
        return _no_data(matching, rdtype, zone, None, note)
    found = _search(usable, name)
    if not isinstance(found, _Covered):
        return found
    if found.is_empty_non_terminal:
        note = _note(found.record, "has its next name below", name)
        return Proof(result=ProofResult.PROVEN, name_exists=True, notes=(note,))
    at_wildcard = _matching(usable, found.wildcard)
    if at_wildcard is not None and not says_absent(at_wildcard.types):
        note = _note(at_wildcard, "is the wildcard for", name)
        return _no_data(at_wildcard, rdtype, zone, found.closest_encloser, note)
    return _deny_wildcard(usable, found, name, empty_wildcard_has_no_data=True)


def deny_delegation(
    records: Sequence[NsecRecord], *, name: CanonicalName, zone: CanonicalName
) -> Proof:
    """Return the proof that ``zone`` has no DS at ``name``, a name below it (RFC 4035 §5.2).

    ``cut`` is True for a delegation without DS, False where no zone begins: no NS there, an empty
    non-terminal, a name from a wildcard or none at all.
    """
    usable, fault = _usable(records, name, zone)
    if fault is not None:
        return _failed(fault)
    matching = _matching(usable, name)
    if matching is None:
        return _not_a_cut(deny_type(records, name=name, rdtype=TYPE_DS, zone=zone))
    note = _note(matching, "stands at", name)
    if says_absent(matching.types):
        return _not_a_cut(_absent(None, note))
    wrong = delegation_fault(matching.types, at_apex=name == zone, at_root=not name)
    if wrong is not None:
        return _failed(wrong, note)
    cut = TYPE_NS in matching.types and name != zone
    return Proof(result=ProofResult.PROVEN, cut=cut, name_exists=True, notes=(note,))


def deny_wildcard_closer(
    records: Sequence[NsecRecord],
    *,
    name: CanonicalName,
    encloser: CanonicalName,
    zone: CanonicalName,
) -> Proof:
    """Return the proof that ``*.encloser`` was rightly expanded to ``name`` (RFC 4035 §5.3.4).

    The name must be covered, and by a record whose closest encloser is ``encloser``: else a
    nearer name, or a nearer wildcard, would have had to answer.
    """
    usable, fault = _usable(records, name, zone)
    if fault is not None:
        return _failed(fault)
    if not is_below(name, encloser) or not is_at_or_below(encloser, zone):
        return _failed(DnssecReason.WILDCARD_ENCLOSER_WRONG)
    matching = _matching(usable, name)
    if matching is not None:
        note = _note(matching, "stands at", name)
        return _failed(DnssecReason.WILDCARD_ENCLOSER_WRONG, note)
    found = _search(usable, name)
    if not isinstance(found, _Covered):
        return found
    note = _note(found.record, "covers", name)
    if found.is_empty_non_terminal or found.closest_encloser != encloser:
        return _failed(DnssecReason.WILDCARD_ENCLOSER_WRONG, note)
    return Proof(
        result=ProofResult.PROVEN,
        closest_encloser=name_of(encloser),
        name_exists=False,
        notes=(note,),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Covered:
    """A name that has no NSEC of its own, the record that covers it, and what follows."""

    record: NsecRecord
    name: CanonicalName
    closest_encloser: CanonicalName

    @property
    def is_empty_non_terminal(self) -> bool:
        return is_below(self.record.next_labels, self.name)

    @property
    def wildcard(self) -> CanonicalName:
        return (*self.closest_encloser, WILDCARD)


def _search(records: Sequence[NsecRecord], name: CanonicalName) -> _Covered | Proof:
    """Return the record that covers ``name``, or the failed proof that says why there is none."""
    hiding: NsecRecord | None = None
    for record in _covering(records, name):
        if is_below(name, record.owner_labels) and hides_names_below(record.types):
            hiding = record
            continue
        by_owner = common_ancestor(name, record.owner_labels)
        by_next = common_ancestor(name, record.next_labels)
        encloser = max(by_owner, by_next, key=len)
        return _Covered(record=record, name=name, closest_encloser=encloser)
    if hiding is not None:
        note = _note(hiding, "does not speak for names below it such as", name)
        return _failed(DnssecReason.ANCESTOR_DELEGATION, note)
    return _failed(DnssecReason.NAME_NOT_COVERED)


def _deny_wildcard(
    records: Sequence[NsecRecord],
    found: _Covered,
    name: CanonicalName,
    *,
    empty_wildcard_has_no_data: bool = False,
) -> Proof:
    """Return the proof that the wildcard of a covered name is absent too.

    A wildcard that is an empty non-terminal exists and answers with no data (RFC 4592 §2.2.2).
    """
    encloser = found.closest_encloser
    covers_name = _note(found.record, "covers", name)
    matching = _matching(records, found.wildcard)
    if matching is not None:
        note = _note(matching, "stands at", found.wildcard)
        if says_absent(matching.types):
            return _absent(encloser, covers_name, note)
        return _failed(DnssecReason.WILDCARD_NOT_DENIED, covers_name, note)
    wildcard = _search(records, found.wildcard)
    if not isinstance(wildcard, _Covered):
        return _failed(DnssecReason.WILDCARD_NOT_DENIED, covers_name, *wildcard.notes)
    note = _note(wildcard.record, "covers", found.wildcard)
    if not wildcard.is_empty_non_terminal:
        return _absent(encloser, covers_name, note)
    if not empty_wildcard_has_no_data:
        return _failed(DnssecReason.WILDCARD_NOT_DENIED, covers_name, note)
    return Proof(
        result=ProofResult.PROVEN,
        closest_encloser=name_of(encloser),
        name_exists=True,
        notes=(covers_name, note),
    )


def _no_data(
    record: NsecRecord,
    rdtype: int,
    zone: CanonicalName,
    encloser: CanonicalName | None,
    note: str,
) -> Proof:
    """Return whether the bit map of the name's record, or of its wildcard's, lacks the type."""
    fault = nodata_fault(
        record.types,
        rdtype,
        at_apex=record.owner_labels == zone,
        at_root=not record.owner_labels,
    )
    if fault is not None:
        return _failed(fault, note)
    return Proof(
        result=ProofResult.PROVEN,
        closest_encloser=name_of(encloser) if encloser is not None else None,
        name_exists=True,
        notes=(note,),
    )


def _not_a_cut(proof: Proof) -> Proof:
    """Return a proof about DS as one about delegations: where it holds, no zone begins."""
    if proof.result is ProofResult.NOT_PROVEN:
        return proof
    return Proof(
        result=proof.result,
        closest_encloser=proof.closest_encloser,
        cut=False,
        name_exists=proof.name_exists,
        notes=proof.notes,
    )


def _usable(
    records: Sequence[NsecRecord], name: CanonicalName, zone: CanonicalName
) -> tuple[Sequence[NsecRecord], DnssecReason | None]:
    """Return the records that may prove anything in ``zone``, or why there are none."""
    if not is_at_or_below(name, zone):
        return (), DnssecReason.NSEC_OUT_OF_ZONE
    usable: list[NsecRecord] = []
    fault: DnssecReason | None = None
    for record in records:
        if record.wildcard_expanded:
            fault = fault or DnssecReason.NSEC_EXPANDED
        elif not _in_zone(record, zone):
            fault = fault or DnssecReason.NSEC_OUT_OF_ZONE
        else:
            usable.append(record)
    if not usable:
        return (), fault or DnssecReason.DENIAL_MISSING
    return usable[:MAX_RECORDS], None


def _in_zone(record: NsecRecord, zone: CanonicalName) -> bool:
    """Return whether both names lie in ``zone`` and the ring turns at its apex, if here."""
    if not is_at_or_below(record.owner_labels, zone):
        return False
    if record.next_labels == zone:
        return True
    return is_below(record.next_labels, zone) and record.next_labels > record.owner_labels


def _matching(records: Sequence[NsecRecord], name: CanonicalName) -> NsecRecord | None:
    return next((record for record in records if record.owner_labels == name), None)


def _covering(records: Sequence[NsecRecord], name: CanonicalName) -> Iterator[NsecRecord]:
    """Yield the records with ``name`` strictly between their names; the last has no upper end."""
    for record in records:
        is_last = record.next_labels <= record.owner_labels
        if record.owner_labels < name and (is_last or name < record.next_labels):
            yield record


def _absent(encloser: CanonicalName | None, *notes: str) -> Proof:
    return Proof(
        result=ProofResult.PROVEN,
        closest_encloser=name_of(encloser) if encloser is not None else None,
        name_exists=False,
        notes=notes,
    )


def _failed(reason: DnssecReason, *notes: str) -> Proof:
    return Proof(result=ProofResult.NOT_PROVEN, reason=reason, notes=notes)


def _note(record: NsecRecord, what: str, name: CanonicalName) -> str:
    return f"NSEC {record.owner} {what} {name_of(name)}"
