"""One step down the chain: from a trusted zone to the name below, by DS and DNSKEY.

``enter_zone`` and ``enter_anchor`` are conversations: generators that yield the question they need
answered, are sent the reply (or that there is none), and return what they found. They never touch
a socket, and whoever drives them may answer from a cache, a file or the network.

    DS at the parent      valid, usable             ask for DNSKEY
                          valid, none usable        insecure below (RFC 4035 §5.2)
                          denied at a cut           insecure below
                          denied, no cut            same zone, next label
    DNSKEY at the child   one usable DS, one key that fits it and signs the set: secure
                          (RFC 4035 §5.2, RFC 6840 §5.11); else bogus
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from scanner.judge.budget import BudgetExceededError
from scanner.judge.dnssec.algorithms import (
    DIGEST_SHA1,
    SHA1_ALGORITHMS,
    digest_matches,
    is_digest_supported,
    is_supported,
)
from scanner.judge.dnssec.denial import Denials, collect
from scanner.judge.dnssec.findings import (
    Values,
    ds_values,
    finding,
    rrset_findings,
    upstream_finding,
)
from scanner.judge.dnssec.rrsig import Verifier
from scanner.judge.dnssec.zone import Step, TrustedZone, trusted_zone
from scanner.model.canonical import CanonicalName, canonical, is_below, name_of
from scanner.model.dnssec import (
    REVOKE,
    Anchor,
    ChainLink,
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    Ds,
    FetchFailure,
    LinkKind,
    Proof,
    ProofResult,
    RRset,
    SignedMessage,
    Soa,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.record import maker
from scanner.model.vocabulary import DnssecStatus, RRType

Reply = SignedMessage | FetchFailure
Entering = Generator[Question, Reply, Step]

TYPE_NS = 2
TYPE_CNAME = 5
TYPE_SOA = 6
TYPE_DNAME = 39
TYPE_DS = 43
TYPE_DNSKEY = 48

# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE
_make_link = maker(ChainLink)
_make_step = maker(Step)

_DATES = frozenset({DnssecReason.RRSIG_EXPIRED, DnssecReason.RRSIG_NOT_YET_VALID})

_PROGRESS = (
    DnssecReason.RRSIG_EXPIRED,
    DnssecReason.RRSIG_NOT_YET_VALID,
    DnssecReason.DS_KEY_SIG_INVALID,
    DnssecReason.WORK_LIMIT,
    DnssecReason.DS_KEY_NOT_SIGNING,
    DnssecReason.DNSKEY_TOO_SMALL,
    DnssecReason.DNSKEY_TOO_LARGE,
    DnssecReason.DNSKEY_MALFORMED,
    DnssecReason.DS_KEY_NOT_ZONE_KEY,
    DnssecReason.DS_KEY_REVOKED,
    DnssecReason.DS_DIGEST_MISMATCH,
    DnssecReason.DS_NO_KEY,
)
"""Why single DS records fail, the one that came nearest to success first."""


def enter_zone(parent: TrustedZone, child: CanonicalName, work: Verifier) -> Entering:
    """Find out what begins at ``child``, the name one label or more below ``parent``.

    Returns a Step: a new secure zone; no cut, with ``parent`` again; or the end of the chain.
    """
    step = _Entering(work, name_of(child), child, parent)
    reply = yield Question(step.name, RRType.DS)
    if isinstance(reply, FetchFailure):
        return step.failed_to_fetch(reply, TYPE_DS, parent.name)
    step.server = reply.server
    ds_rrset = reply.find(child, TYPE_DS)
    if ds_rrset is None:
        return _without_ds(step, parent, reply)
    if not step.check_ds(ds_rrset, parent):
        return step.end()
    step.ds = tuple([ds for ds in ds_rrset.parsed if isinstance(ds, Ds)])
    usable = step.usable_ds()
    if not usable:
        return step.end()
    return (yield from _ask_for_keys(step, usable, ()))


def enter_anchor(anchor: Anchor, work: Verifier) -> Entering:
    """Find out whether the zone of ``anchor`` signs with a key that the anchor announces."""
    labels = canonical(anchor.zone)
    step = _Entering(work, anchor.zone, labels, None, ds=anchor.ds)
    usable = step.usable_ds() if anchor.ds else ()
    trusted = tuple(k for k in anchor.dnskeys if is_supported(k.algorithm, work.policy))
    step.unfail()
    if not usable and not trusted:
        step.fail(DnssecReason.ANCHOR_UNSUPPORTED, TYPE_DNSKEY, anchor.zone)
        return step.end()
    return (yield from _ask_for_keys(step, usable, trusted))


def _ask_for_keys(
    step: "_Entering", usable: tuple[Ds, ...], trusted: tuple[Dnskey, ...]
) -> Entering:
    reply = yield Question(step.name, RRType.DNSKEY)
    if isinstance(reply, FetchFailure):
        if step.parent is not None:
            step.fail(DnssecReason.DNSKEY_UNFETCHABLE, TYPE_DNSKEY, step.name)
        return step.failed_to_fetch(reply, TYPE_DNSKEY, step.name)
    step.server = reply.server
    rrset = reply.find(step.labels, TYPE_DNSKEY)
    if rrset is None:
        step.fail(DnssecReason.DNSKEY_MISSING, TYPE_DNSKEY, step.name)
    else:
        step.dnskeys = tuple([key for key in rrset.parsed if isinstance(key, Dnskey)])
        step.match(rrset, usable, trusted)
    return step.end()


def _without_ds(step: "_Entering", parent: TrustedZone, reply: SignedMessage) -> Step:
    """Weigh a reply to the DS question that holds no DS."""
    for rdtype in (TYPE_CNAME, TYPE_DNAME):
        alias = _alias_at(reply, step.labels, rdtype)
        if alias is not None:
            step.weigh_alias(alias, parent)
            return step.end()
    try:
        denials = collect(reply.authority, parent, step.work)
        step.take(denials.checked, parent)
        proof = step.prove(denials, reply)
    except BudgetExceededError:
        step.fail(DnssecReason.WORK_LIMIT, TYPE_DS, parent.name)
        return step.end()
    step.weigh_denial(proof, parent, reply)
    return step.end()


def _alias_at(reply: SignedMessage, name: CanonicalName, rdtype: int) -> RRset | None:
    """Return the CNAME at ``name``, or the DNAME above it."""
    for rrset in reply.answer:
        if rrset.rdtype != rdtype:
            continue
        at_name = rrset.owner_labels == name
        if at_name if rdtype == TYPE_CNAME else is_below(name, rrset.owner_labels):
            if rdtype == TYPE_CNAME and not rrset.rrsigs and _alias_at(reply, name, TYPE_DNAME):
                continue  # made by the DNAME, which is what must hold (RFC 6672 §5.3.1)
            return rrset
    return None


@dataclass(slots=True)
class _Entering:
    """Collects what one step finds."""

    work: Verifier
    name: Name
    labels: CanonicalName
    parent: TrustedZone | None
    ds: tuple[Ds, ...] = ()
    dnskeys: tuple[Dnskey, ...] = ()
    server: str = ""
    status: DnssecStatus = _SECURE
    reason: DnssecReason | None = None
    no_cut: bool = False
    absent: bool = False
    zone: TrustedZone | None = None
    entry_keys: tuple[int, ...] = ()
    rrsets: list[CheckedRRset] = field(default_factory=list)
    findings: list[DnssecFinding] = field(default_factory=list)
    ttls: list[int] = field(default_factory=list)
    own_fault: str | None = None

    def fail(
        self,
        reason: DnssecReason,
        rdtype: int,
        zone: Name,
        values: Values = (),
        state: DnssecStatus | None = None,
    ) -> None:
        """Note a fault; the first one decides."""
        noted = finding(
            reason,
            zone=zone,
            owner=self.name,
            rdtype=rdtype,
            values=values,
            state=state,
            server=self.server,
        )
        self.findings.append(noted)
        if self.reason is None and noted.state is not None:
            self.reason, self.status = reason, noted.state

    def unfail(self) -> None:
        """Take back what was decided; findings become history."""
        self.reason, self.status = None, _SECURE
        self.findings.clear()

    def failed_to_fetch(self, failure: FetchFailure, rdtype: int, zone: Name) -> Step:
        """End because a question could not be answered."""
        self.own_fault = failure.own_fault
        self.findings.append(upstream_finding(failure, zone=zone, owner=self.name, rdtype=rdtype))
        if self.reason is None:
            self.reason = failure.reason
        self.status = DnssecStatus.INDETERMINATE
        return self.end()

    def take(self, checked: tuple[CheckedRRset, ...], zone: TrustedZone) -> None:
        """Keep record sets that were checked, with what is to say about them."""
        for result in checked:
            self.rrsets.append(result)
            self.findings += rrset_findings(
                result, zone, now=self.work.now, policy=self.work.policy, server=self.server
            )
            if result.status is _SECURE:
                self.ttls.append(result.ttl_seconds)

    def check_ds(self, rrset: RRset, parent: TrustedZone) -> bool:
        """Return whether the DS record set is the parent's and holds (RFC 4035 §5.2)."""
        signers = [rrsig.signer_labels for rrsig in rrset.rrsigs]
        if self.labels in signers and parent.labels not in signers:
            self.fail(DnssecReason.DS_FROM_CHILD, TYPE_DS, parent.name)
            return False
        if len(rrset.rdatas) > self.work.policy.max_ds:
            values = (("limit", f"{self.work.policy.max_ds} DS records"),)
            self.fail(DnssecReason.WORK_LIMIT, TYPE_DS, parent.name, values)
            return False
        checked = self.work.check(rrset, parent)
        if checked.wildcard is not None:
            # A delegation is never made from a wildcard (RFC 4592 §4.2, RFC 4035 §5.2).
            self.fail(DnssecReason.RRSIG_LABELS_WRONG, TYPE_DS, parent.name)
            return False
        self.take((checked,), parent)
        self.reason = checked.reason
        self.status = checked.status
        return checked.status is _SECURE

    def usable_ds(self) -> tuple[Ds, ...]:
        """Return the DS records that count; none makes the zone insecure (RFC 4035 §5.2)."""
        policy = self.work.policy
        known = [ds for ds in self.ds if is_supported(ds.algorithm, policy)]
        usable = [ds for ds in known if is_digest_supported(ds.digest_type, policy)]
        stronger = [ds for ds in usable if ds.digest_type != DIGEST_SHA1]
        if stronger:
            return tuple(stronger)  # RFC 4509 §3
        if usable:
            self.fail(DnssecReason.DS_DIGEST_SHA1, TYPE_DS, self._above)
            return tuple(usable)
        shown = tuple(pair for ds in self.ds for pair in ds_values(ds)[:3])
        if known:
            if any(ds.digest_type == DIGEST_SHA1 for ds in known):
                self.fail(DnssecReason.SHA1_BY_POLICY, TYPE_DS, self._above, shown)
            self.fail(DnssecReason.DS_DIGEST_UNSUPPORTED, TYPE_DS, self._above, shown)
            return ()
        if any(ds.algorithm in SHA1_ALGORITHMS for ds in self.ds):
            self.fail(DnssecReason.SHA1_BY_POLICY, TYPE_DS, self._above, shown)
        self.fail(DnssecReason.DS_ALGORITHM_UNSUPPORTED, TYPE_DS, self._above, shown)
        return ()

    def match(self, rrset: RRset, usable: tuple[Ds, ...], trusted: tuple[Dnskey, ...]) -> None:
        """Find keys that DS or anchor announce, and with them verify the DNSKEY record set."""
        matches = [(ds, self._match_one(ds)) for ds in usable]
        keys = [match for _, match in matches if isinstance(match, Dnskey)]
        keys += [key for key in self.dnskeys if key in trusted and not key.is_revoked]
        zone = trusted_zone(self.name, self.labels, self.dnskeys, self.work.policy)
        entry = zone.only(keys)
        checked = self.work.check(rrset, entry)
        if entry.keys and checked.status is _SECURE:
            self._admit(checked, matches, zone)
            return
        if entry.keys:
            self.rrsets.append(checked)
        self._refuse(checked, entry, matches)

    def weigh_alias(self, alias: RRset, parent: TrustedZone) -> None:
        """A signed exact alias at a name, or a DNAME above it, proves that no zone begins there."""
        checked = self.work.check(alias, parent)
        self.take((checked,), parent)
        if checked.status is _SECURE and checked.wildcard is None:
            self.no_cut = True
        elif checked.status is DnssecStatus.INDETERMINATE:
            self.fail(DnssecReason.WORK_LIMIT, TYPE_DS, parent.name)
        else:
            self.fail(DnssecReason.DS_IS_ALIAS, TYPE_DS, parent.name)

    def prove(self, denials: Denials, reply: SignedMessage) -> Proof:
        """Return the proof that there is no DS; a name that does not exist has none either."""
        proof = denials.deny_delegation(self.labels, self.work.hashes, self.work.policy)
        if proof.result is ProofResult.NOT_PROVEN:
            absent = denials.deny_name(self.labels, self.work.hashes, self.work.policy)
            if absent.result is ProofResult.PROVEN:
                return Proof(result=ProofResult.PROVEN, cut=False, name_exists=False)
            if absent.result is ProofResult.PROVEN_INSECURE:
                return absent
        return proof

    def weigh_denial(self, proof: Proof, parent: TrustedZone, reply: SignedMessage) -> None:
        """Take in a proof that there is no DS, or that there is none such."""
        self._limit_by_soa(reply)
        if proof.result is ProofResult.PROVEN and proof.cut:
            self.fail(DnssecReason.DELEGATION_UNSIGNED, TYPE_DS, parent.name)
        elif proof.result is ProofResult.PROVEN:
            self.no_cut, self.absent = True, proof.name_exists is False
        elif proof.result is ProofResult.PROVEN_INSECURE:
            self.fail(proof.reason or DnssecReason.OPT_OUT_SPAN, TYPE_DS, parent.name)
        else:
            reason = self._why_not_denied(proof, parent, reply)
            values = tuple(("note", note) for note in proof.notes)
            self.findings.sort(key=lambda noted: noted.state is None)
            # What is wrong with single signatures was noted already; the denial's reason leads.
            if any(noted.reason is reason for noted in self.findings):
                self.reason = reason
                self.status = _state_of(self.findings, reason)
            else:
                self.fail(reason, TYPE_DS, parent.name, values)

    def end(self) -> Step:
        """Return what was found."""
        if self.no_cut and self.reason is None:
            kind, zone = LinkKind.NO_CUT, self.parent
        else:
            kind = LinkKind.ANCHOR if self.parent is None else LinkKind.DELEGATION
            zone = self.zone
        if self.status is DnssecStatus.BOGUS and self.parent is None and self.name == ROOT:
            # Nobody but our resolver, our anchor file and our clock is between us and the root.
            self.own_fault = self.own_fault or "the root zone could not be validated"
            if any(noted.reason in _DATES for noted in self.findings):
                # The root is signed a week ahead and watched by everybody; our clock is not.
                self.fail(DnssecReason.CLOCK_DOUBTFUL, TYPE_DNSKEY, self.name)
        link = _make_link(
            zone=self.name,
            kind=kind,
            status=self.status,
            reason=self.reason,
            parent=self.parent.name if self.parent else None,
            ds=self.ds,
            dnskeys=self.dnskeys,
            entry_keys=self.entry_keys,
            rrsets=tuple(self.rrsets),
            findings=tuple(self.findings),
            expires_at=self.work.now + timedelta(seconds=self._lifetime()),
            own_fault=self.own_fault,
            absent=self.absent,
        )
        return _make_step(link=link, zone=zone if self.status is _SECURE else None)

    @property
    def _above(self) -> Name:
        return self.parent.name if self.parent is not None else self.name

    def _lifetime(self) -> int:
        policy = self.work.policy
        if self.status is DnssecStatus.INDETERMINATE:
            return 0
        if self.status is DnssecStatus.BOGUS:
            return policy.failure_cache_seconds
        return min((*self.ttls, policy.max_cache_seconds))

    def _limit_by_soa(self, reply: SignedMessage) -> None:
        """RFC 2308 §5, RFC 9077: how long a denial holds."""
        for rrset in reply.authority:
            if rrset.rdtype == TYPE_SOA:
                self.ttls.append(rrset.ttl)
                self.ttls += [soa.minimum for soa in rrset.parsed if isinstance(soa, Soa)]

    def _why_not_denied(
        self, proof: Proof, parent: TrustedZone, reply: SignedMessage
    ) -> DnssecReason:
        soas = [rrset for rrset in reply.authority if rrset.rdtype == TYPE_SOA]
        if self.labels != parent.labels and any(s.owner_labels == self.labels for s in soas):
            return DnssecReason.DS_FROM_CHILD
        for soa in soas:
            between = is_below(soa.owner_labels, parent.labels)
            if between and not soa.rrsigs and is_below(self.labels, soa.owner_labels):
                # Of a zone that was passed because the zone above denies it.
                return DnssecReason.DS_NS_BIT_MISSING
        referral = any(
            rrset.rdtype == TYPE_NS and rrset.owner_labels == self.labels
            for rrset in reply.authority
        )
        if proof.reason in (None, DnssecReason.DENIAL_MISSING) and referral and not soas:
            return DnssecReason.DS_REFERRAL
        return proof.reason or DnssecReason.DENIAL_MISSING

    def _match_one(self, ds: Ds) -> Dnskey | DnssecReason:
        """Return the key that ``ds`` is the digest of, or why there is none."""
        same = [
            key
            for key in self.dnskeys
            if key.key_tag == ds.key_tag and key.algorithm == ds.algorithm
        ]
        if not same:
            return self._revoked_twin(ds) or DnssecReason.DS_NO_KEY
        for key in same[: self.work.policy.max_equal_key_tags_for_ds]:
            if not digest_matches(ds, self.labels, key):
                continue
            if key.is_revoked and self.parent is None:
                return DnssecReason.DS_KEY_REVOKED  # never a trust anchor (RFC 5011 §2.1)
            if not key.is_zone_key:
                return DnssecReason.DS_KEY_NOT_ZONE_KEY
            return key
        if len(same) > self.work.policy.max_equal_key_tags_for_ds:
            return DnssecReason.WORK_LIMIT
        return DnssecReason.DS_DIGEST_MISMATCH

    def _revoked_twin(self, ds: Ds) -> DnssecReason | None:
        """The REVOKE bit adds 128 to the key tag, modulo its wrap (RFC 5011 §3)."""
        tags = {(ds.key_tag + REVOKE) & 0xFFFF, (ds.key_tag + REVOKE + 1) & 0xFFFF}
        twins = [
            key
            for key in self.dnskeys
            if key.is_revoked and key.algorithm == ds.algorithm and key.key_tag in tags
        ]
        return DnssecReason.DS_KEY_REVOKED if twins else None

    def _admit(
        self,
        checked: CheckedRRset,
        matches: list[tuple[Ds, Dnskey | DnssecReason]],
        zone: TrustedZone,
    ) -> None:
        """The zone is secure: all its zone keys may sign data from here on."""
        self.zone = zone
        self.take((checked,), zone)
        good = [c.rrsig.key_tag for c in checked.signatures if c.checked and c.reason is None]
        self.entry_keys = tuple(good)
        for ds, match in matches:
            if isinstance(match, DnssecReason):
                values = ds_values(ds, self.dnskeys)
                self.fail(DnssecReason.DS_EXTRA, TYPE_DS, self._above, values)
                continue
            if match.key_tag not in good:
                continue
            if match.is_revoked:
                values = ds_values(ds, self.dnskeys)
                self.fail(DnssecReason.ENTRY_KEY_REVOKED, TYPE_DNSKEY, self.name, values)
            if not match.is_secure_entry_point:
                self.fail(DnssecReason.DS_KEY_NOT_SEP, TYPE_DNSKEY, self.name)

    def _refuse(
        self,
        checked: CheckedRRset,
        entry: TrustedZone,
        matches: list[tuple[Ds, Dnskey | DnssecReason]],
    ) -> None:
        """No DS led to a key that signs the set: bogus, with a reason for each DS."""
        signed = {(c.rrsig.key_tag, c.rrsig.algorithm): c.reason for c in checked.signatures}
        reasons: list[tuple[DnssecReason, Values]] = []
        cut_short = checked.status is DnssecStatus.INDETERMINATE
        for ds, match in matches:
            reason = (
                match
                if isinstance(match, DnssecReason)
                else self._why(match, entry, signed, cut_short)
            )
            reasons.append((reason, ds_values(ds, self.dnskeys)))
        unsupported = DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED
        if reasons and all(reason is unsupported for reason, _ in reasons):
            # The library refuses what the policy allows; as good as unknown to us.
            self.fail(DnssecReason.DS_ALGORITHM_UNSUPPORTED, TYPE_DS, self._above)
            return
        about = self._about_signatures(checked, entry)
        if self.parent is None:
            self._refuse_anchor(checked, about)
        for reason, values in sorted(reasons, key=lambda item: _progress(item[0])):
            if reason in _DATES:
                # The key is the right one, and only its signature is out of time: that is the
                # cause, told with the dates rather than with the DS.
                self._lead_with(reason, about)
            elif reason is not unsupported:
                state = DnssecStatus.INDETERMINATE if reason is DnssecReason.WORK_LIMIT else None
                self.fail(reason, TYPE_DNSKEY, self.name, values, state)
        self.findings += [noted for noted in about if noted not in self.findings]
        if self.reason is None:
            self.fail(DnssecReason.DS_NO_KEY, TYPE_DNSKEY, self.name)

    def _about_signatures(self, checked: CheckedRRset, entry: TrustedZone) -> list[DnssecFinding]:
        """Return what is wrong with the signatures over the keys, those of unknown keys aside."""
        if not entry.keys:
            return []
        found = rrset_findings(
            checked, entry, now=self.work.now, policy=self.work.policy, server=self.server
        )
        return [noted for noted in found if noted.reason is not DnssecReason.RRSIG_NO_KEY]

    def _lead_with(self, reason: DnssecReason, about: list[DnssecFinding]) -> None:
        """Let a finding on a signature be the cause, unless there is one already."""
        self.findings += [n for n in about if n.reason is reason and n not in self.findings]
        if self.reason is None:
            self.reason, self.status = reason, DnssecStatus.BOGUS

    def _refuse_anchor(self, checked: CheckedRRset, about: list[DnssecFinding]) -> None:
        if not checked.signatures and self.name == ROOT:
            self.own_fault = "the resolver's answers lack signatures even for the root zone"
            self.fail(DnssecReason.UPSTREAM_NO_DNSSEC, TYPE_DNSKEY, self.name)
            return
        if checked.reason in _DATES:
            self._lead_with(checked.reason, about)
            return
        self.fail(DnssecReason.ANCHOR_NOT_SIGNING, TYPE_DNSKEY, self.name)

    def _why(
        self,
        key: Dnskey,
        entry: TrustedZone,
        signed: dict[tuple[int, int], DnssecReason | None],
        cut_short: bool,
    ) -> DnssecReason:
        same = entry.keys_for(key.key_tag, key.algorithm)
        loaded = next((found for found in same if found.dnskey.rdata == key.rdata), None)
        if loaded is None:
            return DnssecReason.WORK_LIMIT  # beyond the keys that are looked at
        if loaded.problem is not None:
            return loaded.problem
        if (key.key_tag, key.algorithm) not in signed:
            return DnssecReason.DS_KEY_NOT_SIGNING
        reason = signed[key.key_tag, key.algorithm]
        if reason is DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED or reason in _DATES:
            return reason
        return DnssecReason.WORK_LIMIT if cut_short else DnssecReason.DS_KEY_SIG_INVALID


def _progress(reason: DnssecReason) -> int:
    return _PROGRESS.index(reason) if reason in _PROGRESS else len(_PROGRESS)


def _state_of(findings: list[DnssecFinding], reason: DnssecReason) -> DnssecStatus:
    states = [noted.state for noted in findings if noted.reason is reason]
    return states[0] or DnssecStatus.BOGUS
