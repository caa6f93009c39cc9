"""Compare what a server presented with its usable TLSA records (RFC 7671 §5, RFC 7672 §3).

The rules, in short
    * DANE-EE(3): the leaf alone, bytes against bytes. Names, dates, issuer, extensions, even
      whether the rest of the certificate makes sense, are ignored (RFC 7672 §3.1.1).
    * DANE-TA(2): an issuer of the leaf, with a valid path to it, a name and dates (RFC 7672
      §3.1.2). Never the leaf itself.
    * One matching record is enough; the others are information.

``match`` tells what is so; what a sender makes of it (Exchange Online fails an expired leaf that
DANE-EE matched) is decided by the verdict tables, from the facts in ``Match``.
"""

from collections.abc import Sequence
from datetime import datetime

from scanner.judge.budget import Budget
from scanner.judge.certificate import ParsedCertificate, load
from scanner.judge.chain import ChainResult, Path, date_faults, find_paths
from scanner.judge.publickey import is_weak_key
from scanner.judge.refnames import NameMatch, names_match
from scanner.judge.tlsa import (
    USAGE_DANE_EE,
    USAGE_DANE_TA,
    after_agility,
    associations,
    matches,
)
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.record import record


@record
class Match:
    """What one presented chain is worth against one set of usable TLSA records.

    ``matched``: whether a sender would be satisfied, apart from the dates of a leaf matched by
    DANE-EE. ``usage`` is that of the record that satisfies him, 3 before 2, or None.
    ``records``: every usable record that by itself matches what was presented, whether or not
    digest agility leaves it standing; one of DANE-TA counts when a path of good signatures and CAs
    leads to its anchor, whatever names and dates are.
    ``errors``: all independent reasons of a failure, the headline first: no match before wrong
    name before dates (case 80). Empty exactly when ``matched``.
    ``leaf_expired``, ``leaf_not_yet_valid``, ``name_ok``: facts about the leaf, also where the
    usage ignores them. ``matched_name`` is the reference identifier the leaf bears.
    ``anchor_in_handshake``: whether the trust anchor was presented; None unless ``usage`` is 2.
    ``notes``: reasons for findings that do not decide.
    ``matched_without_agility``: what ``matched`` is for a client that ignores digest agility.
    ``path_sha256``: the certificates of the path used, leaf first; empty unless ``usage`` is 2.
    """

    matched: bool
    usage: int | None
    records: tuple[TlsaRecord, ...]
    errors: tuple[Reason, ...]
    leaf_expired: bool
    leaf_not_yet_valid: bool
    name_ok: bool
    anchor_in_handshake: bool | None
    notes: tuple[Reason, ...]
    matched_without_agility: bool
    matched_name: Name | None = None
    path_sha256: tuple[str, ...] = ()


@record
class _Evidence:
    """Everything known about the chain before anything is concluded."""

    leaf: ParsedCertificate | None
    dates: tuple[Reason, ...]
    name: NameMatch
    end_entity: tuple[TlsaRecord, ...]  # records of usage 3 that match the leaf
    leaf_anchors: tuple[TlsaRecord, ...]  # records of usage 2 whose data is that of the leaf
    unreadable_anchors: tuple[TlsaRecord, ...]  # records of usage 2 for an unreadable certificate
    chain: ChainResult
    truncated: bool

    def path(self, record: TlsaRecord) -> Path | None:
        return dict(self.chain.paths).get(record)

    def satisfies(self, record: TlsaRecord) -> bool:
        """Whether this record alone authenticates the server."""
        if record.usage == USAGE_DANE_EE:
            return record in self.end_entity
        path = self.path(record)
        return path is not None and not path.faults and self.name.matched


def match(
    chain: Sequence[bytes],
    usable: Sequence[TlsaRecord],
    *,
    reference_ids: Sequence[Name],
    now: datetime,
    policy: Policy,
    agility: bool,
) -> Match:
    """Return how the presented ``chain``, DER with the leaf first, fares against ``usable``.

    ``usable`` are the usable records of one secure TLSA RRset (``tlsa.assess``). ``agility``
    applies RFC 7671 §9; either way the answer says what the other setting would give. No more than
    ``policy.max_chain_certificates`` certificates are looked at and ``policy.signature_budget``
    signatures checked. Never raises, whatever the bytes are.
    """
    if not chain:
        return _nothing_presented(usable)
    evidence = _gather(chain, usable, reference_ids, now, policy)
    strict = tuple(filter(evidence.satisfies, after_agility(usable)))
    lenient = tuple(filter(evidence.satisfies, usable))
    satisfying = strict if agility else lenient
    usage = max((record.usage or 0 for record in satisfying), default=None)
    path = _best_path(evidence, satisfying) if usage == USAGE_DANE_TA else None
    considered = after_agility(usable) if agility else tuple(usable)
    notes = dict.fromkeys(_notes(evidence, path))
    if lenient and not strict:
        notes[Reason.AGILITY_RISK] = None
    return Match(
        matched=bool(satisfying),
        usage=usage,
        records=tuple(record for record in usable if _matches_by_itself(evidence, record)),
        errors=() if satisfying else _errors(evidence, considered),
        leaf_expired=Reason.CERTIFICATE_EXPIRED in evidence.dates,
        leaf_not_yet_valid=Reason.CERTIFICATE_NOT_YET_VALID in evidence.dates,
        name_ok=evidence.name.matched,
        anchor_in_handshake=None if path is None else path.presented,
        notes=tuple(notes),
        matched_without_agility=bool(lenient),
        matched_name=evidence.name.reference,
        path_sha256=() if path is None else tuple(item.sha256 for item in path.certificates),
    )


def _nothing_presented(usable: Sequence[TlsaRecord]) -> Match:
    """Return the failure of a server without a certificate (case 81): an anonymous cipher."""
    return Match(
        matched=False,
        usage=None,
        records=(),
        errors=(Reason.TLS_NO_CERTIFICATE if usable else Reason.TLSA_ALL_UNUSABLE,),
        leaf_expired=False,
        leaf_not_yet_valid=False,
        name_ok=False,
        anchor_in_handshake=None,
        notes=(),
        matched_without_agility=False,
    )


def _gather(
    chain: Sequence[bytes],
    usable: Sequence[TlsaRecord],
    reference_ids: Sequence[Name],
    now: datetime,
    policy: Policy,
) -> _Evidence:
    looked_at = chain[: max(policy.max_chain_certificates, 1)]
    leaf_der, *others_der = looked_at
    leaf = load(leaf_der)
    others = [load(item) for item in others_der]
    unreadable = [der for der, item in zip(others_der, others, strict=True) if item is None]
    anchors = [record for record in usable if record.usage == USAGE_DANE_TA]
    of_leaf = associations(leaf_der)
    of_unreadable = frozenset().union(*map(associations, unreadable))
    if leaf is None or not anchors:
        result = ChainResult(
            paths=(), complete=True, complete_to_root=False, unlinked=(), bad_signature=False
        )
    else:
        readable = [item for item in others if item is not None]
        budget = Budget(policy.signature_budget)
        result = find_paths(leaf, readable, anchors, now=now, budget=budget)
    return _Evidence(
        leaf=leaf,
        dates=() if leaf is None else date_faults(leaf, now),
        name=NameMatch(matched=False) if leaf is None else names_match(leaf, reference_ids),
        end_entity=tuple(
            record
            for record in usable
            if record.usage == USAGE_DANE_EE and matches(record, of_leaf)
        ),
        leaf_anchors=tuple(record for record in anchors if matches(record, of_leaf)),
        unreadable_anchors=tuple(record for record in anchors if matches(record, of_unreadable)),
        chain=result,
        truncated=len(chain) > len(looked_at),
    )


def _matches_by_itself(evidence: _Evidence, record: TlsaRecord) -> bool:
    if record.usage == USAGE_DANE_EE:
        return record in evidence.end_entity
    path = evidence.path(record)
    return path is not None and not path.structural_faults


def _best_path(evidence: _Evidence, satisfying: Sequence[TlsaRecord]) -> Path | None:
    """Return the path to report: an anchor in the handshake before one only in DNS, then short."""
    paths = [path for record in satisfying if (path := evidence.path(record)) is not None]
    return min(
        paths,
        key=lambda path: (not path.presented, len(path.certificates), path.certificates[-1].sha256),
        default=None,
    )


def _errors(evidence: _Evidence, considered: Sequence[TlsaRecord]) -> tuple[Reason, ...]:
    """Return every reason why none of the ``considered`` records is satisfied, headline first."""
    if not considered:
        return (Reason.TLSA_ALL_UNUSABLE,)
    anchors = [record for record in considered if record.usage == USAGE_DANE_TA]
    errors: dict[Reason, None] = {}
    if anchors and not evidence.chain.complete:
        # A match may have been missed: our limit, so nothing is held against the server.
        errors[Reason.CHAIN_WORK_LIMIT] = None
    paths = [path for record in anchors if (path := evidence.path(record)) is not None]
    if paths:
        # Some record does match; what is wrong is on the way to it. The path nearest to success
        # is the one to mend.
        best = min(paths, key=lambda path: (len(path.structural_faults), len(path.date_faults)))
        structural, dates = best.structural_faults, best.date_faults
    else:
        if len(anchors) < len(considered):
            errors[Reason.TLSA_MISMATCH] = None
        structural, dates = (), evidence.dates
        if evidence.leaf is None:
            errors[Reason.CERTIFICATE_UNREADABLE] = None
        elif anchors:
            errors[_why_no_anchor(evidence, anchors)] = None
    errors.update(dict.fromkeys(structural))
    if anchors and evidence.leaf is not None and not evidence.name.matched:
        errors[Reason.CERTIFICATE_NAME_MISMATCH] = None
    errors.update(dict.fromkeys(dates))
    return tuple(errors)


def _why_no_anchor(evidence: _Evidence, anchors: Sequence[TlsaRecord]) -> Reason:
    """Return why no path leads to any trust anchor, the most telling reason first."""
    if any(record in evidence.leaf_anchors for record in anchors):
        return Reason.TRUST_ANCHOR_IS_LEAF
    if any(record in evidence.unreadable_anchors for record in anchors):
        return Reason.CERTIFICATE_UNREADABLE
    if any(record in evidence.chain.unlinked for record in anchors):
        if evidence.chain.bad_signature:
            return Reason.CHAIN_SIGNATURE_INVALID
        return Reason.TRUST_ANCHOR_NOT_IN_PATH
    if evidence.chain.complete_to_root:
        # Everything up to a self-signed root is there; no certificate the server could add would
        # make the record match.
        return Reason.TLSA_MISMATCH
    if evidence.chain.bad_signature:
        return Reason.CHAIN_SIGNATURE_INVALID
    return Reason.TRUST_ANCHOR_MISSING


def _notes(evidence: _Evidence, path: Path | None) -> list[Reason]:
    notes: list[Reason] = []
    if evidence.truncated:
        notes.append(Reason.CHAIN_TOO_LONG)
    if evidence.leaf is None:
        notes.append(Reason.CERTIFICATE_UNREADABLE)
    elif is_weak_key(evidence.leaf.spki):
        notes.append(Reason.WEAK_KEY)
    if path is None:
        return notes
    if not path.presented:
        notes.append(Reason.TRUST_ANCHOR_NOT_SENT)
    if not path.presented or path.bare_key is not None:
        # RFC 7671 §5.2.2 and §5.2.3 let the anchor, or its bare key, be only in DNS; several
        # senders cannot do it (case 68), and not all see an anchor in a self-signed leaf (case 69).
        notes.append(Reason.SENDER_DEPENDENT)
    if any(is_weak_key(item.spki) for item in path.certificates):
        notes.append(Reason.WEAK_KEY)
    if path.has_weak_signature or path.relies_on_any_usage or path.stale_anchor:
        notes.append(Reason.SENDER_DEPENDENT)
    return notes
