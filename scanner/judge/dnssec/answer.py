"""One question's answer: aliases link by link, wildcards, denial; as good as its weakest part.

``validate_answer`` is a conversation: a generator that yields what it needs, a ``Question`` to be
asked or a ``WalkTo`` (the zone that a name is in, with the chain of trust to it), is sent the
reply or the path, and returns an ``Answer``.

Rules
- Every record set is judged by the zone that signed it; unsigned ones by whether an insecure cut
  lies between the anchor and their owner (RFC 4035 §4.3, §5).
- The RCODE is not signed, so the proof decides between NODATA and NXDOMAIN where there is one.
- What was not asked for (NS, glue, additional data) never makes an answer bogus.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeVar

from scanner.judge.budget import BudgetExceededError
from scanner.judge.dnssec.aliases import TYPE_CNAME, TYPE_DNAME, Hop, find_alias
from scanner.judge.dnssec.denial import Denials, collect, denies
from scanner.judge.dnssec.findings import finding, rrset_findings, upstream_finding
from scanner.judge.dnssec.hiddencut import hidden_cut
from scanner.judge.dnssec.replies import (
    DENYING,
    RCODE_NXDOMAIN,
    TYPE_SOA,
    is_referral,
    says_something_of,
    side_of,
)
from scanner.judge.dnssec.rrsig import Verifier
from scanner.judge.dnssec.zone import Path, TrustedZone
from scanner.model.canonical import CanonicalName, canonical, is_at_or_below, name_of
from scanner.model.dnssec import (
    ChainLink,
    CheckedRRset,
    DnssecFinding,
    FetchFailure,
    Proof,
    ProofResult,
    RRset,
    SignedMessage,
    Soa,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import AliasHop, ExtendedError, Question
from scanner.model.record import maker, record
from scanner.model.vocabulary import DnssecStatus, LookupOutcome

TYPE_DS = 43

MAX_SIGNERS = 3
"""Different signers of one record set that are walked to; an honest set has one."""

# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE

WORST_FIRST = (
    DnssecStatus.BOGUS,
    DnssecStatus.INDETERMINATE,
    DnssecStatus.INSECURE,
    _SECURE,
)


class WalkTo(NamedTuple):
    """The need for the path from the closest anchor to ``name``."""

    name: CanonicalName


Need = Question | WalkTo
Given = SignedMessage | FetchFailure | Path
_T = TypeVar("_T")
_Conversation = Generator[Need, Given, _T]


@record
class Answer:
    """What a conversation about one question came to.

    ``outcome`` is what was answered, or how the lookup failed. ``data`` is the record set asked
    for. ``reason`` is that of the weakest part, None when secure. ``failure`` is set where the
    question itself, or an alias target, could not be asked.
    """

    status: DnssecStatus
    outcome: LookupOutcome
    reason: DnssecReason | None = None
    zone: Name | None = None
    data: RRset | None = None
    aliases: tuple[AliasHop, ...] = ()
    links: tuple[ChainLink, ...] = ()
    rrsets: tuple[CheckedRRset, ...] = ()
    findings: tuple[DnssecFinding, ...] = ()
    ttl_seconds: int | None = None
    proof: Proof | None = None
    failure: FetchFailure | None = None
    own_fault: str | None = None
    extended_errors: tuple[ExtendedError, ...] = ()
    server: str = ""


def validate_answer(
    question: Question, rdtype: int, work: Verifier
) -> Generator[Need, Given, Answer]:
    """Validate the answer to ``question``, whose type has the number ``rdtype``."""
    return _Answering(question, rdtype, work).converse()


@record
class _Part:
    """What one link of an alias chain, or its end, is worth."""

    status: DnssecStatus
    reason: DnssecReason | None = None
    zone: TrustedZone | None = None
    proof: Proof | None = None
    expanded: bool = False
    """Whether the record set was made from a wildcard."""


_make_answer = maker(Answer)
_make_part = maker(_Part)


@dataclass(slots=True)
class _Answering:
    """Collects the parts of one answer."""

    question: Question
    rdtype: int
    work: Verifier
    parts: list[_Part] = field(default_factory=list)
    aliases: list[AliasHop] = field(default_factory=list)
    links: dict[Name, ChainLink] = field(default_factory=dict)
    rrsets: list[CheckedRRset] = field(default_factory=list)
    findings: list[DnssecFinding] = field(default_factory=list)
    ttls: list[int] = field(default_factory=list)
    errors: list[ExtendedError] = field(default_factory=list)
    server: str = ""
    own_fault: str | None = None
    proof: Proof | None = None

    def converse(self) -> _Conversation[Answer]:
        """Follow the aliases to the end, judging every link."""
        name = canonical(self.question.name)
        seen = {name}
        message = yield from self._ask(name)
        while isinstance(message, SignedMessage):
            data = message.find(name, self.rdtype)
            if data is not None:
                yield from self._judge_data(data, name, message)
                return self._finish(LookupOutcome.DATA, data)
            hop = find_alias(message, name) if self.rdtype != TYPE_CNAME else None
            if hop is None:
                if says_something_of(message, name):
                    return (yield from self._judge_denial(name, message))
                message = yield from self._ask(name)
                continue
            stop = yield from self._judge_alias(hop, name, message, seen)
            if stop is not None:
                return self._finish(stop)
            assert hop.target is not None
            name = hop.target
            seen.add(name)
        return self._fail(message)

    def _ask(self, name: CanonicalName) -> _Conversation[SignedMessage | FetchFailure]:
        asked = self.question
        reply = yield Question(name_of(name), asked.rdtype) if self.aliases else asked
        assert not isinstance(reply, Path)
        self.server = reply.server
        self.errors += reply.extended_errors
        return reply

    def _walk(self, name: CanonicalName) -> _Conversation[Path]:
        path = yield WalkTo(name)
        assert isinstance(path, Path)
        for step in path.steps:
            self.links.setdefault(step.link.zone, step.link)
        self.own_fault = self.own_fault or path.last.link.own_fault
        return path

    def _judge_data(
        self, data: RRset, name: CanonicalName, message: SignedMessage
    ) -> _Conversation[None]:
        hop = find_alias(message, name) if self.rdtype == TYPE_CNAME else None
        if hop is not None and hop.synthesised:
            part = yield from self._judge_source(hop, name, message)
        else:
            part = yield from self._judge_rrset(data, message)
        self.parts.append(part)

    def _judge_source(
        self, hop: Hop, name: CanonicalName, message: SignedMessage
    ) -> _Conversation[_Part]:
        """Return what an alias is worth: by its own signature, or that of the DNAME it is from."""
        source = hop.dname if hop.synthesised else hop.cname
        assert source is not None
        part = yield from self._judge_rrset(source, message)
        if hop.synthesised and part.status is _SECURE:
            return self._judge_substitution(hop, name, part)
        return part

    def _judge_alias(
        self, hop: Hop, name: CanonicalName, message: SignedMessage, seen: set[CanonicalName]
    ) -> _Conversation[LookupOutcome | None]:
        """Judge one alias; return how the lookup ends, or None to go on with its target."""
        if hop.target is None:
            return self._lead_nowhere(hop.problem or DnssecReason.RESPONSE_MALFORMED, name)
        part = yield from self._judge_source(hop, name, message)
        self.parts.append(part)
        self.aliases.append(
            AliasHop(owner=name_of(name), target=name_of(hop.target), status=part.status)
        )
        if part.status in (DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE):
            return LookupOutcome.SERVFAIL
        if hop.target in seen:
            return self._lead_nowhere(DnssecReason.ALIAS_LOOP, name)
        if len(self.aliases) > self.work.policy.max_aliases:
            return self._lead_nowhere(DnssecReason.ALIAS_TOO_LONG, name)
        return None

    def _lead_nowhere(self, reason: DnssecReason, name: CanonicalName) -> LookupOutcome:
        """End because an alias leads to no answer, however well it is signed."""
        self._note(reason, name)
        self.parts.append(_Part(status=DnssecStatus.INDETERMINATE, reason=reason))
        malformed = reason is DnssecReason.RESPONSE_MALFORMED
        return LookupOutcome.MALFORMED if malformed else LookupOutcome.LOOP

    def _judge_substitution(self, hop: Hop, name: CanonicalName, part: _Part) -> _Part:
        """RFC 6672 §5.3.1: an unsigned CNAME must be what a valid DNAME makes of the name."""
        assert part.zone is not None
        if hop.mismatch:
            self._note(DnssecReason.DNAME_MISMATCH, name, TYPE_CNAME, part.zone.name)
            reason = DnssecReason.DNAME_MISMATCH
            return _Part(status=DnssecStatus.BOGUS, reason=reason, zone=part.zone)
        if part.expanded:
            self._note(DnssecReason.DNAME_WILDCARD, name, TYPE_DNAME, part.zone.name)
        return part

    def _judge_rrset(self, rrset: RRset, message: SignedMessage) -> _Conversation[_Part]:
        """Return what one record set of the answer is worth, wildcard proof included."""
        failed: _Part | None = None
        tried: list[CanonicalName] = []
        start = self._mark()
        for signer in self._signers((rrset,), rrset.owner_labels, rrset.rdtype):
            path = yield from self._walk(signer)
            zone = path.zone
            if zone is None:
                part = self._ended(path, rrset)
                return self._hidden_cut(part, rrset.owner_labels, (rrset,), message) or part
            if zone.labels != signer:
                continue  # no zone begins at the signer's name
            part = self._check(rrset, zone, message)
            if part.status is _SECURE or part.status is DnssecStatus.INSECURE:
                return part
            failed = failed or part
            tried.append(signer)
        path = yield from self._walk(side_of(rrset.owner_labels, rrset.rdtype))
        if path.zone is None and (failed is None or path.status is DnssecStatus.INSECURE):
            self._forget_since(start)  # what a zone that is not signed has for signatures
            part = self._ended(path, rrset)
            return self._hidden_cut(part, rrset.owner_labels, (rrset,), message) or part
        if failed is not None and (path.zone is None or path.zone.labels in tried):
            return failed
        assert path.zone is not None
        part = self._check(rrset, path.zone, message)
        hidden = self._hidden_cut(part, rrset.owner_labels, (rrset,), message)
        if hidden is not None:
            return hidden
        if rrset.rdtype == TYPE_CNAME and part.reason is DnssecReason.RRSIG_MISSING:
            self._note(DnssecReason.ALIAS_UNSIGNED, rrset.owner_labels, TYPE_CNAME, path.zone.name)
            reason = DnssecReason.ALIAS_UNSIGNED
            return _Part(status=DnssecStatus.BOGUS, reason=reason, zone=path.zone)
        return part

    def _hidden_cut(
        self,
        part: _Part,
        name: CanonicalName,
        rrsets: Iterable[RRset],
        message: SignedMessage,
    ) -> _Part | None:
        """Return ``part``, which is bogus, with the cause: a zone its parent does not know of."""
        if part.status is not DnssecStatus.BOGUS:
            return None
        found = hidden_cut(name, rrsets, message, self.links)
        if found is None:
            return None
        where, above, reason = found
        self._note(reason, canonical(where), TYPE_DS, above)
        return replace(part, reason=reason)

    def _check(self, rrset: RRset, zone: TrustedZone, message: SignedMessage) -> _Part:
        checked = self._verify(rrset, zone)
        part = _make_part(status=checked.status, reason=checked.reason, zone=zone)
        if checked.status is not _SECURE:
            return part
        if checked.wildcard is None:
            self._look_for_contradiction(rrset, zone, message)
            return part
        encloser = canonical(checked.wildcard)[:-1]
        try:
            denials = self._denials(message, zone)
            proof = denials.deny_wildcard_closer(
                rrset.owner_labels, encloser, self.work.hashes, self.work.policy
            )
        except BudgetExceededError:
            proof = _OVER_LIMIT
        self.proof = proof
        part = self._by_proof(proof, rrset.owner_labels, rrset.rdtype, zone)
        return replace(part, expanded=True)

    def _look_for_contradiction(
        self, rrset: RRset, zone: TrustedZone, message: SignedMessage
    ) -> None:
        """Note a proof beside good data that there are no such data: two versions of one zone."""
        if denies(message.authority, rrset.owner_labels, rrset.rdtype, zone, self.work):
            self._note(DnssecReason.DENIAL_CONTRADICTS, rrset.owner_labels, rrset.rdtype, zone.name)

    def _verify(self, rrset: RRset, zone: TrustedZone) -> CheckedRRset:
        checked = self.work.check(rrset, zone)
        self._keep(checked, zone)
        return checked

    def _keep(self, checked: CheckedRRset, zone: TrustedZone) -> None:
        self.rrsets.append(checked)
        if checked.status is _SECURE:
            self.ttls.append(checked.ttl_seconds)
        self.findings += rrset_findings(
            checked, zone, now=self.work.now, policy=self.work.policy, server=self.server
        )

    def _denials(self, message: SignedMessage, zone: TrustedZone) -> Denials:
        denials = collect((*message.authority, *message.answer), zone, self.work)
        for checked in denials.checked:
            self._keep(checked, zone)
        return denials

    def _judge_denial(self, name: CanonicalName, message: SignedMessage) -> _Conversation[Answer]:
        """Judge that there are no such records at ``name``, the end of the chain."""
        outcome = (
            LookupOutcome.NXDOMAIN if message.rcode == RCODE_NXDOMAIN else LookupOutcome.NODATA
        )
        self._limit_by_soa(message)
        failed: _Part | None = None
        start = self._mark()
        proofs = [rrset for rrset in message.authority if rrset.rdtype in DENYING]
        for signer in self._signers(proofs, name, self.rdtype):
            path = yield from self._walk(signer)
            if path.zone is None:
                part = self._part_of(path)
                part = self._hidden_cut(part, name, proofs, message) or part
                return self._end_denied(part, outcome, message)
            if path.zone.labels != signer:
                continue
            part, proven = self._weigh_denial(name, outcome, message, path.zone)
            if part.status in (_SECURE, DnssecStatus.INSECURE):
                self.parts.append(part)
                return self._finish(proven)
            failed = failed or part
        path = yield from self._walk(side_of(name, self.rdtype))
        if path.zone is None and (failed is None or path.status is DnssecStatus.INSECURE):
            # A zone above the cut proves nothing of names below it (RFC 6840 §4.1), nor need it.
            self._forget_since(start)
            part = self._part_of(path)
            part = self._hidden_cut(part, name, proofs, message) or part
            return self._end_denied(part, outcome, message)
        if failed is None:
            assert path.zone is not None
            failed, _ = self._weigh_denial(name, outcome, message, path.zone)
        failed = self._hidden_cut(failed, name, proofs, message) or failed
        self.parts.append(failed)
        return self._finish(outcome)

    def _end_denied(self, part: _Part, outcome: LookupOutcome, message: SignedMessage) -> Answer:
        self.parts.append(part)
        if outcome is LookupOutcome.NODATA and is_referral(message):
            # As from a server that is no recursive resolver: not an answer.
            return self._finish(LookupOutcome.MALFORMED)
        return self._finish(outcome)

    def _weigh_denial(
        self,
        name: CanonicalName,
        claimed: LookupOutcome,
        message: SignedMessage,
        zone: TrustedZone,
    ) -> tuple[_Part, LookupOutcome]:
        """Return what a denial by ``zone`` is worth, and what it proves."""
        start = len(self.findings)
        outcome = claimed
        try:
            denials = self._denials(message, zone)
            proof, outcome = self._prove(denials, name, claimed)
        except BudgetExceededError:
            proof = _OVER_LIMIT
        self.proof = proof
        told = {noted.reason for noted in self.findings[start:]}
        part = self._by_proof(proof, name, self.rdtype, zone, told=told)
        return self._with_soa(part, message, zone), outcome

    def _prove(
        self, denials: Denials, name: CanonicalName, claimed: LookupOutcome
    ) -> tuple[Proof, LookupOutcome]:
        """Try the proof of what is claimed first, then of the other: the RCODE is not signed."""
        hashes, policy = self.work.hashes, self.work.policy
        order = (LookupOutcome.NODATA, LookupOutcome.NXDOMAIN)
        first: Proof | None = None
        for outcome in order if claimed is LookupOutcome.NODATA else reversed(order):
            if outcome is LookupOutcome.NXDOMAIN:
                proof = denials.deny_name(name, hashes, policy)
            elif self.rdtype == TYPE_DS:
                proof = denials.deny_delegation(name, hashes, policy)
            else:
                proof = denials.deny_type(name, self.rdtype, hashes, policy)
            if proof.result is not ProofResult.NOT_PROVEN:
                absent = proof.name_exists is False  # RFC 9824: NXDOMAIN in the shape of NODATA
                return proof, LookupOutcome.NXDOMAIN if absent else outcome
            first = first or proof
        assert first is not None
        return first, claimed

    def _with_soa(self, part: _Part, message: SignedMessage, zone: TrustedZone) -> _Part:
        """Look at the SOA beside a denial; validators refuse one that is not signed properly."""
        soas = [rrset for rrset in message.authority if rrset.rdtype == TYPE_SOA]
        own = [rrset for rrset in soas if rrset.owner_labels == zone.labels]
        if not own:
            reason = DnssecReason.SOA_WRONG if soas else DnssecReason.SOA_MISSING
            self._note(reason, zone.labels, TYPE_SOA, zone.name)
            return part
        checked = self._verify(own[0], zone)
        good = part.status in (_SECURE, DnssecStatus.INSECURE)
        if good and checked.status is not _SECURE:
            return _Part(status=checked.status, reason=checked.reason, zone=zone)
        return part

    def _by_proof(
        self,
        proof: Proof,
        name: CanonicalName,
        rdtype: int,
        zone: TrustedZone,
        *,
        told: Iterable[DnssecReason] = (),
    ) -> _Part:
        if proof.result is ProofResult.PROVEN:
            return _make_part(status=_SECURE, zone=zone, proof=proof)
        if proof.result is ProofResult.PROVEN_INSECURE:
            reason = proof.reason or DnssecReason.OPT_OUT_SPAN
            status = DnssecStatus.INSECURE
        else:
            reason = proof.reason or DnssecReason.DENIAL_MISSING
            limit = reason is DnssecReason.WORK_LIMIT
            status = DnssecStatus.INDETERMINATE if limit else DnssecStatus.BOGUS
        if reason not in told:
            values = tuple(("note", note) for note in proof.notes)
            self.findings.append(
                finding(
                    reason,
                    zone=zone.name,
                    owner=name_of(name),
                    rdtype=rdtype,
                    values=values,
                    state=status,
                    server=self.server,
                )
            )
        return _Part(status=status, reason=reason, zone=zone, proof=proof)

    def _signers(
        self, rrsets: Iterable[RRset], name: CanonicalName, rdtype: int
    ) -> list[CanonicalName]:
        """Return who signed and may speak for ``name``, the deepest first."""
        found = {rrsig.signer_labels for rrset in rrsets for rrsig in rrset.rrsigs}
        if len(found) == 1:
            (only,) = found
            others = rdtype == TYPE_DS and only == name and bool(name)
            return [only] if is_at_or_below(name, only) and not others else []
        fit = [
            signer
            for signer in found
            if is_at_or_below(name, signer)
            and (rdtype != TYPE_DS or signer != name or not name)  # the parent's, but the root's
        ]
        return sorted(fit, key=len, reverse=True)[:MAX_SIGNERS]

    def _ended(self, path: Path, rrset: RRset) -> _Part:
        part = self._part_of(path)
        self.ttls.append(rrset.ttl)
        self.rrsets.append(
            CheckedRRset(
                owner=rrset.owner,
                rdtype=rrset.rdtype,
                zone=None,
                status=part.status,
                reason=part.reason,
                ttl_seconds=rrset.ttl,
                rrset=rrset,
            )
        )
        return part

    def _mark(self) -> tuple[int, int]:
        return len(self.findings), len(self.rrsets)

    def _forget_since(self, mark: tuple[int, int]) -> None:
        """Drop what was found about signatures that turned out not to matter."""
        del self.findings[mark[0] :]
        del self.rrsets[mark[1] :]

    @staticmethod
    def _part_of(path: Path) -> _Part:
        return _Part(status=path.status, reason=path.last.link.reason)

    def _limit_by_soa(self, message: SignedMessage) -> None:
        """RFC 2308 §5, RFC 9077: how long a denial holds."""
        for rrset in message.authority:
            if rrset.rdtype == TYPE_SOA:
                self.ttls.append(rrset.ttl)
                self.ttls += [soa.minimum for soa in rrset.parsed if isinstance(soa, Soa)]

    def _note(
        self,
        reason: DnssecReason,
        owner: CanonicalName,
        rdtype: int | None = None,
        zone: Name | None = None,
    ) -> None:
        self.findings.append(
            finding(
                reason,
                zone=zone or name_of(owner),
                owner=name_of(owner),
                rdtype=self.rdtype if rdtype is None else rdtype,
                server=self.server,
            )
        )

    def _fail(self, failure: FetchFailure) -> Answer:
        """End because a question could not be answered."""
        self.own_fault = self.own_fault or failure.own_fault
        self.findings.append(
            upstream_finding(
                failure,
                zone=failure.question.name,
                owner=failure.question.name,
                rdtype=self.rdtype,
            )
        )
        self.parts.append(_Part(status=DnssecStatus.INDETERMINATE, reason=failure.reason))
        return self._finish(failure.outcome, failure=failure)

    def _finish(
        self,
        outcome: LookupOutcome,
        data: RRset | None = None,
        failure: FetchFailure | None = None,
    ) -> Answer:
        """Put the parts together: the weakest decides (RFC 4035 §5, RFC 6672 §5.3.1)."""
        weakest = _weakest(self.parts)
        chain = tuple(self.links.values())
        findings = [noted for link in chain if link.findings for noted in link.findings]
        findings += self.findings
        if findings and weakest.reason is not None:
            findings.sort(key=lambda noted: noted.reason is not weakest.reason)  # the cause leads
        last_zone = self.parts[-1].zone if self.parts else None
        no_ttl = outcome in (LookupOutcome.NODATA, LookupOutcome.NXDOMAIN) and not self.ttls
        return _make_answer(
            status=weakest.status,
            outcome=outcome,
            reason=weakest.reason,
            zone=last_zone.name if last_zone else None,
            data=data,
            aliases=tuple(self.aliases),
            links=chain,
            rrsets=tuple(self.rrsets),
            findings=tuple(dict.fromkeys(findings)) if findings else (),
            ttl_seconds=None if no_ttl else max(0, min(self.ttls, default=0)),
            proof=self.proof,
            failure=failure,
            own_fault=self.own_fault,
            extended_errors=tuple(dict.fromkeys(self.errors)) if self.errors else (),
            server=self.server,
        )


def _weakest(parts: list[_Part]) -> _Part:
    """Return the part that decides, the first of several as weak."""
    found = parts[0] if parts else _Part(status=DnssecStatus.INDETERMINATE)
    for part in parts[1:]:
        if WORST_FIRST.index(part.status) < WORST_FIRST.index(found.status):
            found = part
    return found


_OVER_LIMIT = Proof(result=ProofResult.NOT_PROVEN, reason=DnssecReason.WORK_LIMIT)
