"""Validates every answer ourselves, from the trust anchor down: a Resolver that believes nobody.

Theory. Two kinds of conversation (scanner.judge.dnssec) are driven with replies fetched with CD=1:

    validate_answer    one question; asks for the reply, and for the path to zones it meets
    enter_zone         one delegation; asks for DS and DNSKEY

A path is walked label by label from the closest anchor; each step is kept until its TTL or a
signature ends, and is looked up once however many questions wait for it: the root and the
top-level domains are shared by all, a provider's zone by its customers.

Rules
- What is bogus or unclear is looked at a second time, freshly (another server, TCP), before it is
  said of anybody; what is bogus once and fine the next time is fine.
- Nothing is concluded about a partner from a failure between us and our resolvers, from a root
  that does not validate, or from a limit of our own.
- A failed step is kept for a minute, an unclear one not at all.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import trio

from scanner.judge.dnssec.anchors import Anchors
from scanner.judge.dnssec.answer import Answer, WalkTo, validate_answer
from scanner.judge.dnssec.delegation import enter_anchor, enter_zone
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.judge.dnssec.rrsig import VerificationMemo, Verifier
from scanner.judge.dnssec.zone import Path, Step, TrustedZone
from scanner.model.canonical import CanonicalName, canonical, name_of
from scanner.model.dnssec import (
    Anchor,
    ChainLink,
    CheckedRRset,
    DnssecFinding,
    FetchFailure,
    LinkKind,
    RRset,
    SignedMessage,
    Validation,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.observation import ExtendedError, Lookup, Question, Record
from scanner.model.ports import Clock, Resolver
from scanner.model.record import maker
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, LookupOutcome
from scanner.observe.disposal import let_go
from scanner.observe.dnsserver import ServerAddress
from scanner.observe.opinion import compare
from scanner.observe.rawfetch import RawFetcher
from scanner.observe.turnstile import SharedEvent, turnstile
from scanner.wire.dnsframe import MalformedResponseError, RawRecord
from scanner.wire.dnsrdata import CLASS_IN, TYPE_CODES, read_record

# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE
_INSECURE: Final = DnssecStatus.INSECURE
_DELEGATION: Final = LinkKind.DELEGATION
_make_lookup = maker(Lookup)
_make_path = maker(Path)
_make_validation = maker(Validation)

_DOUBTFUL = frozenset({DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE})
_OWN_LIMIT = "more queries than are allowed for one question"


class Fetcher(Protocol):
    """Where whole replies come from."""

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        """Return the reply to ``question`` with DO and CD; ``fresh`` asks as differently as can
        be. Never raises for anything a server does."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainLimits:
    """Bounds of the walk beside those of the policy."""

    total_timeout_seconds: float = 30.0
    """One question with its whole chain: after it nothing more is asked, and what was asked before
    has its own time (``DnsLimits.total_timeout_seconds``). Ours: above two dead servers on the
    way, below the deadline of a domain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainStatistics:
    """Counts since the resolver was made; ``steps`` are delegations looked up, ``joins`` those
    that were being looked up already."""

    validations: int
    steps: int
    hits: int
    joins: int
    confirmations: int
    cached: int


@dataclass(eq=False, slots=True)
class _Flight:
    """One step on its way; ``step`` is None when whoever took it gave up."""

    done: SharedEvent | None = None
    step: Step | None = None


@dataclass(slots=True)
class _Spent:
    """What one question may cost: queries, and time. Steps taken by others are theirs."""

    left: int
    until: float


class _OutOfTimeError(Exception):
    """The time of one question was up."""


_Key = tuple[bool, CanonicalName]
"""Whether the step begins at an anchor, and the name."""


class ValidatingResolver:
    """Validates answers itself (implements ``scanner.model.ports.Resolver``).

    ``on_validation`` is called with every validation, for those who keep zones.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        anchors: Anchors,
        clock: Clock,
        policy: DnssecPolicy | None = None,
        limits: ChainLimits | None = None,
        at: datetime | None = None,
        on_validation: Callable[[Validation], None] | None = None,
        opinion: Resolver | None = None,
        always_compare: bool = False,
    ) -> None:
        """``at`` judges signatures as of that moment instead of the clock's.

        ``opinion`` is a resolver that validates itself: what is bogus for us is held against what
        it says, and with ``always_compare`` everything is.
        """
        self._fetcher = fetcher
        self._anchors = anchors
        self._clock = clock
        self._policy = policy or DnssecPolicy()
        self._limits = limits or ChainLimits()
        self._at = at
        self._on_validation = on_validation
        self._opinion = opinion
        self._always_compare = always_compare
        limit = self._policy.max_memo_entries
        self._memo = VerificationMemo(limit) if limit else None
        self._steps: OrderedDict[_Key, tuple[Step, datetime]] = OrderedDict()
        self._flights: dict[_Key, _Flight] = {}
        self._validations = self._taken = self._hits = self._joins = self._confirmations = 0

    async def lookup(self, question: Question) -> Lookup:
        """Return the outcome of ``question``, aliases followed, with our own status.

        As a validating resolver would, this shows no data that are bogus or unclear: ``outcome``
        is then ``servfail`` and the status says which. The status is None where nothing could be
        measured, because the question itself got no answer.
        """
        return lookup_of(await self.validate(question))

    async def validate(self, question: Question) -> Validation:
        """Return the answer to ``question`` with the whole chain that shows what it is worth."""
        self._validations += 1
        begun_at = trio.current_time()
        until = begun_at + self._limits.total_timeout_seconds
        try:
            validation = await self._validate(question, until)
        except _OutOfTimeError:
            validation = self._out_of_time(question, begun_at)
        if self._opinion is not None:
            validation = await self._compared(validation, self._opinion)
        if self._on_validation is not None:
            self._on_validation(validation)
        return validation

    @property
    def servers(self) -> tuple[ServerAddress, ...]:
        """The servers behind it; none known where replies come from elsewhere."""
        return self._fetcher.servers if isinstance(self._fetcher, RawFetcher) else ()

    @property
    def trusts_root(self) -> bool:
        """Whether an anchor of the root is among the trusted ones."""
        return self._anchors.for_name(()) is not None

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        """Return the reply to ``question`` as it is, with nothing validated."""
        return await self._fetcher.fetch(question, fresh=fresh)

    def split(self, *, stream_only: bool = False) -> "tuple[ValidatingResolver, ...]":
        """Return one validating resolver for each server, which shares nothing but sockets.

        They are for testing the servers, so they judge signatures as of now, whatever ``at`` is.
        """
        if not isinstance(self._fetcher, RawFetcher):
            return (self,)
        return tuple(
            ValidatingResolver(
                fetcher,
                anchors=self._anchors,
                clock=self._clock,
                policy=self._policy,
                limits=self._limits,
            )
            for fetcher in self._fetcher.split(stream_only=stream_only)
        )

    def forget(self) -> None:
        """Drop every step that is kept; what is on its way is not kept either."""
        let_go(self._steps)
        self._steps = OrderedDict()
        self._flights.clear()

    def forget_failures(self) -> None:
        """Drop the steps that failed, so that the next look is a fresh one."""
        failed = [key for key, (step, _) in self._steps.items() if step.link.status in _DOUBTFUL]
        for key in failed:
            del self._steps[key]

    def statistics(self) -> ChainStatistics:
        """Return what was counted since the resolver was made."""
        return ChainStatistics(
            validations=self._validations,
            steps=self._taken,
            hits=self._hits,
            joins=self._joins,
            confirmations=self._confirmations,
            cached=len(self._steps),
        )

    async def _compared(self, validation: Validation, opinion: Resolver) -> Validation:
        """Return ``validation`` with what another validator says of it, where it was asked."""
        if self._at is not None:
            return validation  # the other one judges as of now
        if not self._always_compare and validation.status is not DnssecStatus.BOGUS:
            return validation
        noted = await compare(validation, opinion)
        return validation if noted is None else _with(validation, noted)

    async def _validate(self, question: Question, until: float) -> Validation:
        spent = _Spent(self._policy.max_queries, until)
        answer = await self._converse(question, spent, fresh=False)
        confirmed = False
        if _needs_confirmation(answer):
            self._confirmations += 1
            confirmed = True
            answer = await self._converse(question, spent, fresh=True)
        return self._report(question, answer, confirmed=confirmed)

    async def _converse(self, question: Question, spent: _Spent, *, fresh: bool) -> Answer:
        """Drive one conversation about ``question`` to its end."""
        work = self._verifier()
        conversation = validate_answer(question, TYPE_CODES[question.rdtype], work)
        try:
            need = next(conversation)
            while True:
                if isinstance(need, WalkTo):
                    need = conversation.send(await self._walk(need.name, spent))
                else:
                    need = conversation.send(await self._fetch(need, spent, fresh=fresh))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def _walk(self, name: CanonicalName, spent: _Spent) -> Path:
        """Return the path from the closest anchor towards ``name``, as far as it holds."""
        anchor = self._anchors.for_name(name)
        if anchor is None:
            return Path(steps=(self._no_anchor(name),))
        top = canonical(anchor.zone)
        now = self._now()
        key = (True, top)
        step = self._kept(key, now) or await self._step(key, anchor, None, spent)
        steps = [step]
        cuts = 0
        for depth in range(len(top) + 1, len(name) + 1):
            zone = step.zone
            if zone is None:
                break
            if cuts >= self._policy.max_zone_cuts:
                steps.append(self._too_deep(name[:depth], zone))
                break
            key = (False, name[:depth])
            step = self._kept(key, now) or await self._step(key, None, zone, spent)
            steps.append(step)
            cuts += step.link.kind is _DELEGATION
        return _make_path(steps=tuple(steps))

    async def _step(
        self, key: _Key, anchor: Anchor | None, parent: TrustedZone | None, spent: _Spent
    ) -> Step:
        """Return one step that is not kept: on its way already, kept meanwhile, or taken now."""
        while (flight := self._flights.get(key)) is not None:
            self._joins += 1
            if flight.done is None:
                flight.done = SharedEvent()  # most flights nobody joins
            if not await flight.done.wait_until(spent.until):
                raise _OutOfTimeError
            if flight.step is not None:
                return flight.step
            kept = self._kept(key, self._now())
            if kept is not None:
                return kept
        return await self._take(key, anchor, parent, spent)

    def _kept(self, key: _Key, now: datetime) -> Step | None:
        kept = self._steps.get(key)
        if kept is None or now >= kept[1]:
            return None
        self._hits += 1
        return kept[0]

    async def _take(
        self, key: _Key, anchor: Anchor | None, parent: TrustedZone | None, spent: _Spent
    ) -> Step:
        flight = self._flights[key] = _Flight()
        try:
            step = await self._enter(key[1], anchor, parent, spent, fresh=False)
            if step.link.status in _DOUBTFUL and _is_worth_a_second_look(step.link):
                self._confirmations += 1
                step = await self._enter(key[1], anchor, parent, spent, fresh=True)
            if self._flights.get(key) is flight:
                # Not after ``forget``: what was begun before it is not to be kept.
                self._keep(key, step)
            flight.step = step
            return step
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if flight.done is not None:
                flight.done.set()

    async def _enter(
        self,
        name: CanonicalName,
        anchor: Anchor | None,
        parent: TrustedZone | None,
        spent: _Spent,
        *,
        fresh: bool,
    ) -> Step:
        """Drive one conversation about a delegation, or an anchor, to its end."""
        self._taken += 1
        work = self._verifier()
        conversation: Generator[Question, SignedMessage | FetchFailure, Step]
        if parent is None:
            assert anchor is not None
            conversation = enter_anchor(anchor, work)
        else:
            conversation = enter_zone(parent, name, work)
        try:
            need = next(conversation)
            while True:
                need = conversation.send(await self._fetch(need, spent, fresh=fresh))
        except StopIteration as end:
            step: Step = end.value
            return step

    async def _fetch(
        self, question: Question, spent: _Spent, *, fresh: bool
    ) -> SignedMessage | FetchFailure:
        if spent.left <= 0:
            return FetchFailure(
                question=question,
                reason=DnssecReason.WORK_LIMIT,
                outcome=LookupOutcome.SERVFAIL,
                detail=_OWN_LIMIT,
            )
        spent.left -= 1
        if trio.current_time() >= spent.until:
            raise _OutOfTimeError
        if isinstance(self._fetcher, RawFetcher):
            # It keeps its own time, so a cancel scope for each question would be one too many.
            return await self._fetcher.fetch(question, fresh=fresh)
        with trio.move_on_at(spent.until):
            return await self._fetcher.fetch(question, fresh=fresh)
        raise _OutOfTimeError

    def _keep(self, key: _Key, step: Step) -> None:
        expires_at = step.link.expires_at
        if expires_at is None or expires_at <= self._now():
            self._steps.pop(key, None)
            return
        self._steps[key] = (step, expires_at)
        self._steps.move_to_end(key)
        while len(self._steps) > self._policy.max_cached_zones:
            self._steps.popitem(last=False)

    def _now(self) -> datetime:
        return self._at or self._clock.now()

    def _verifier(self) -> Verifier:
        return Verifier(now=self._now(), policy=self._policy, memo=self._memo)

    def _no_anchor(self, name: CanonicalName) -> Step:
        link = ChainLink(
            zone=name_of(name),
            kind=LinkKind.ANCHOR,
            status=DnssecStatus.INDETERMINATE,
            reason=DnssecReason.NO_ANCHOR,
            own_fault=f"no trust anchor covers {name_of(name)}",
        )
        return Step(link=link)

    def _too_deep(self, name: CanonicalName, parent: TrustedZone) -> Step:
        link = ChainLink(
            zone=name_of(name),
            kind=_DELEGATION,
            status=DnssecStatus.INDETERMINATE,
            reason=DnssecReason.WORK_LIMIT,
            parent=parent.name,
        )
        return Step(link=link)

    def _report(self, question: Question, answer: Answer, *, confirmed: bool) -> Validation:
        """Return what the answer amounts to, its records read."""
        records, dropped = _read_records(question, answer.data)
        outcome = answer.outcome
        detail = answer.failure.detail if answer.failure else None
        if dropped:
            detail = f"{dropped} records with broken RDATA were left out"
        if answer.data is not None and not records:
            outcome, detail = LookupOutcome.MALFORMED, "no record has valid RDATA"
        if detail is None and answer.findings and answer.status in _DOUBTFUL:
            detail = _telling(answer)
        return _make_validation(
            question=question,
            validated_at=self._now(),
            status=answer.status,
            outcome=outcome,
            reason=answer.reason,
            ede=_ede_of(answer),
            zone=answer.zone,
            records=records,
            aliases=answer.aliases,
            chain=answer.links,
            rrsets=answer.rrsets,
            findings=answer.findings,
            ttl_seconds=answer.ttl_seconds,
            signature_expires_at=_earliest_expiry(answer.rrsets),
            extended_errors=answer.extended_errors,
            resolver=answer.server or None,
            detail=detail,
            own_fault=answer.own_fault or _own_limit(answer),
            proof=answer.proof,
            confirmed=confirmed,
        )

    def _out_of_time(self, question: Question, begun_at: float) -> Validation:
        fetcher = self._fetcher
        waited = isinstance(fetcher, RawFetcher) and fetcher.kept_waiting_since(begun_at)
        waited = waited or turnstile().kept_waiting_since(begun_at)
        return Validation(
            question=question,
            validated_at=self._now(),
            status=DnssecStatus.INDETERMINATE,
            outcome=LookupOutcome.TIMEOUT,
            reason=DnssecReason.UPSTREAM_TIMEOUT,
            ede=dnssec_info(DnssecReason.UPSTREAM_TIMEOUT).ede,
            detail=f"not validated within {self._limits.total_timeout_seconds:g} s",
            own_fault="our own questions had to wait for each other" if waited else None,
        )


def lookup_of(validation: Validation) -> Lookup:
    """Return ``validation`` as those see it who only want the answer.

    Data that are not secure or insecure are withheld, as a validating resolver does (RFC 4035
    §5.5): the outcome is ``servfail`` unless the lookup failed in a way of its own.
    """
    answered = validation.outcome in _ANSWERS
    doubtful = validation.status in _DOUBTFUL
    status: DnssecStatus | None = validation.status
    if not answered and status is not DnssecStatus.BOGUS and not _chain_failed(validation):
        status = None  # no reply, no status: RFC 7672 §2.1.1 treats it as a failed lookup
    return _make_lookup(
        question=validation.question,
        outcome=LookupOutcome.SERVFAIL if doubtful and answered else validation.outcome,
        status=status,
        records=() if doubtful or not answered else validation.records,
        aliases=validation.aliases,
        ttl_seconds=validation.ttl_seconds,
        extended_errors=_errors_of(validation),
        signature_expires_at=validation.signature_expires_at,
        resolver=validation.resolver,
        detail=validation.detail,
        own_fault=validation.own_fault,
        dnssec_zone=validation.ends_at or validation.zone,
        dnssec_reason=validation.reason,
    )


def _with(validation: Validation, noted: DnssecFinding) -> Validation:
    return replace(validation, findings=(*validation.findings, noted))


_ANSWERS = frozenset({LookupOutcome.DATA, LookupOutcome.NODATA, LookupOutcome.NXDOMAIN})


def _chain_failed(validation: Validation) -> bool:
    """Return whether some part was judged unclear, beside what got no answer at all."""
    links = any(link.status is DnssecStatus.INDETERMINATE for link in validation.chain)
    return links or any(rrset.status in _DOUBTFUL for rrset in validation.rrsets)


def _errors_of(validation: Validation) -> tuple[ExtendedError, ...]:
    """Return our own extended error first (RFC 8914), then those of the resolver."""
    if validation.ede is None or validation.reason is None:
        return validation.extended_errors
    own = ExtendedError(code=validation.ede, text=str(validation.reason))
    return (own, *validation.extended_errors)


def _ede_of(answer: Answer) -> int | None:
    """Return the extended error of the cause (RFC 8914)."""
    return None if answer.reason is None else dnssec_info(answer.reason).ede


def _own_limit(answer: Answer) -> str | None:
    """A bound is ours; that it was reached is held against nobody."""
    if answer.reason is not DnssecReason.WORK_LIMIT:
        return None
    return "validating this would take more work than we allow for one answer"


def _telling(answer: Answer) -> str:
    """Return the sentence of the finding that stands for the reason."""
    for noted in answer.findings:
        if noted.reason is answer.reason:
            return f"{noted.owner}: {noted.message}"
    return answer.findings[0].message


def _needs_confirmation(answer: Answer) -> bool:
    """Return whether the answer itself, rather than a step of its chain, is in doubt.

    Steps confirm themselves, and silence has been waited for several times over already.
    """
    if answer.status is _SECURE or answer.status is _INSECURE:
        return False
    if answer.own_fault is not None:
        return False
    if any(link.status in _DOUBTFUL for link in answer.links):
        return False
    return answer.failure is None or answer.failure.reason is not DnssecReason.UPSTREAM_TIMEOUT


def _is_worth_a_second_look(link: ChainLink) -> bool:
    timeout = any(noted.reason is DnssecReason.UPSTREAM_TIMEOUT for noted in link.findings)
    return not timeout


def _earliest_expiry(rrsets: Sequence[CheckedRRset]) -> datetime | None:
    ends = [
        check.expiration
        for rrset in rrsets
        for check in rrset.signatures
        if check.reason is None and check.checked
    ]
    return min(ends) if ends else None


def _read_records(question: Question, data: RRset | None) -> tuple[tuple[Record, ...], int]:
    """Return the records of ``data``, and how many had RDATA that is not of their type."""
    if data is None:
        return (), 0
    records: list[Record] = []
    dropped = 0
    for rdata in data.rdatas:
        raw = RawRecord(data.owner, data.rdtype, CLASS_IN, data.ttl, 0, len(rdata))
        try:
            records.append(read_record(rdata, raw, question.rdtype))
        except MalformedResponseError:
            dropped += 1
    return tuple(records), dropped
