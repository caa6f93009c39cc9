"""NSEC and NSEC3 records of one reply: verified here, weighed by the proofs in nsec and nsec3.

The proofs are pure functions over records whose signatures have been verified with the keys of one
zone; this module chooses those records and asks NSEC first, then NSEC3 (both may be there while a
zone changes from one to the other). Each proof module has the same four functions:

    deny_name(records, *, name, zone)              the name does not exist, nor a wildcard for it
    deny_type(records, *, name, rdtype, zone)      the name, or its wildcard, has no such type;
                                                   also empty non-terminals and RFC 9824
    deny_delegation(records, *, name, zone)        no DS at ``name``: see Proof.cut
    deny_wildcard_closer(records, *, name, encloser, zone)
                                                   nothing nearer to ``name`` than ``*.encloser``

and those of nsec3 take ``budget`` (a Budget of distinct hashes; BudgetExceededError passes
through) and ``max_iterations`` besides. Names are canonical. ``zone`` is the apex.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scanner.judge.budget import Budget, BudgetExceededError
from scanner.judge.dnssec import nsec, nsec3
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.dnssec.rrsig import Verifier
from scanner.judge.dnssec.zone import TrustedZone
from scanner.model.canonical import CanonicalName
from scanner.model.dnssec import (
    CheckedRRset,
    DnssecReason,
    Nsec3Record,
    NsecRecord,
    Proof,
    ProofResult,
    RRset,
)
from scanner.model.vocabulary import DnssecStatus

TYPE_NSEC = 47
TYPE_NSEC3 = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Denials:
    """The verified denial records of one zone in one reply, and what became of all of them.

    ``fault`` is the reason to report where nothing could be proven because of signatures: a
    missing or wrong one says more than "not covered".
    """

    zone: CanonicalName
    nsec: tuple[NsecRecord, ...] = ()
    nsec3: tuple[Nsec3Record, ...] = ()
    checked: tuple[CheckedRRset, ...] = ()
    fault: DnssecReason | None = None

    def deny_name(self, name: CanonicalName, budget: Budget, policy: DnssecPolicy) -> Proof:
        """Return the proof that neither ``name`` nor a wildcard for it exists."""
        return self._first(
            lambda: nsec.deny_name(self.nsec, name=name, zone=self.zone),
            lambda: nsec3.deny_name(
                self.nsec3,
                name=name,
                zone=self.zone,
                budget=budget,
                max_iterations=policy.max_nsec3_iterations,
            ),
        )

    def deny_type(
        self, name: CanonicalName, rdtype: int, budget: Budget, policy: DnssecPolicy
    ) -> Proof:
        """Return the proof that ``name`` has no records of this type."""
        return self._first(
            lambda: nsec.deny_type(self.nsec, name=name, rdtype=rdtype, zone=self.zone),
            lambda: nsec3.deny_type(
                self.nsec3,
                name=name,
                rdtype=rdtype,
                zone=self.zone,
                budget=budget,
                max_iterations=policy.max_nsec3_iterations,
            ),
        )

    def deny_delegation(self, name: CanonicalName, budget: Budget, policy: DnssecPolicy) -> Proof:
        """Return the proof that ``name`` has no DS; ``Proof.cut`` says whether it is a cut."""
        return self._first(
            lambda: nsec.deny_delegation(self.nsec, name=name, zone=self.zone),
            lambda: nsec3.deny_delegation(
                self.nsec3,
                name=name,
                zone=self.zone,
                budget=budget,
                max_iterations=policy.max_nsec3_iterations,
            ),
        )

    def deny_wildcard_closer(
        self, name: CanonicalName, encloser: CanonicalName, budget: Budget, policy: DnssecPolicy
    ) -> Proof:
        """Return the proof that ``*.encloser`` was rightly expanded to ``name``."""
        return self._first(
            lambda: nsec.deny_wildcard_closer(
                self.nsec, name=name, encloser=encloser, zone=self.zone
            ),
            lambda: nsec3.deny_wildcard_closer(
                self.nsec3,
                name=name,
                encloser=encloser,
                zone=self.zone,
                budget=budget,
                max_iterations=policy.max_nsec3_iterations,
            ),
        )

    def _first(self, by_nsec: Callable[[], Proof], by_nsec3: Callable[[], Proof]) -> Proof:
        """Return the first proof that succeeds, else the failure that says most."""
        failure: Proof | None = None
        for records, prove in ((self.nsec, by_nsec), (self.nsec3, by_nsec3)):
            if not records:
                continue
            proof = prove()
            if proof.result is not ProofResult.NOT_PROVEN:
                return proof
            failure = failure or proof
        if self.fault is not None or failure is None:
            reason = self.fault or DnssecReason.DENIAL_MISSING
            notes = failure.notes if failure is not None else ()
            return Proof(result=ProofResult.NOT_PROVEN, reason=reason, notes=notes)
        return failure


def collect(rrsets: Sequence[RRset], zone: TrustedZone, verifier: Verifier) -> Denials:
    """Return the denial records of ``rrsets`` that ``zone`` signed, each verified.

    Unsigned ones and those of other zones prove nothing here and are left out.
    """
    nsecs: list[NsecRecord] = []
    nsec3s: list[Nsec3Record] = []
    checked: list[CheckedRRset] = []
    fault: DnssecReason | None = None
    candidates = [rrset for rrset in rrsets if rrset.rdtype in (TYPE_NSEC, TYPE_NSEC3)]
    for rrset in _of_zone(candidates, zone)[: verifier.policy.max_denial_records]:
        result = verifier.check(rrset, zone)
        checked.append(result)
        if result.status is not DnssecStatus.SECURE:
            fault = fault or result.reason
            continue
        expanded = result.wildcard is not None
        for record in rrset.parsed:
            if isinstance(record, NsecRecord):
                nsecs.append(replace(record, wildcard_expanded=True) if expanded else record)
            elif isinstance(record, Nsec3Record):
                nsec3s.append(replace(record, wildcard_expanded=True) if expanded else record)
    return Denials(
        zone=zone.labels,
        nsec=tuple(nsecs),
        nsec3=tuple(nsec3s),
        checked=tuple(checked),
        fault=fault,
    )


def denies(
    rrsets: Sequence[RRset],
    name: CanonicalName,
    rdtype: int,
    zone: TrustedZone,
    verifier: Verifier,
) -> bool:
    """Return whether ``rrsets`` prove that ``name`` does not exist, or has no such records."""
    if not any(rrset.rdtype in (TYPE_NSEC, TYPE_NSEC3) for rrset in rrsets):
        return False
    hashes, policy = verifier.hashes, verifier.policy
    try:
        denials = collect(rrsets, zone, verifier)
        proofs = (
            denials.deny_type(name, rdtype, hashes, policy),
            denials.deny_name(name, hashes, policy),
        )
    except BudgetExceededError:
        return False
    return any(proof.result is ProofResult.PROVEN for proof in proofs)


def _of_zone(rrsets: Sequence[RRset], zone: TrustedZone) -> list[RRset]:
    """Return those that ``zone`` may have made: signed by it, or unsigned at or below its apex."""
    depth = len(zone.labels)
    return [
        rrset
        for rrset in rrsets
        if (
            any(rrsig.signer_labels == zone.labels for rrsig in rrset.rrsigs)
            or (not rrset.rrsigs and rrset.owner_labels[:depth] == zone.labels)
        )
    ]
