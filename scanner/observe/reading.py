"""Joins what servers said into one ``Lookup``: failures ranked, alias chains put together."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from scanner.model.dnssec import SignedMessage
from scanner.model.names import Name
from scanner.model.observation import AliasHop, ExtendedError, Lookup, Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome
from scanner.observe.dnsserver import ServerAddress
from scanner.wire.dnsmsg import Reply, ReplyKind, earliest_expiration

RCODE_SERVFAIL = 2
REFUSING_RCODES = frozenset({4, 5, 9})  # NOTIMP, REFUSED, NOTAUTH: the server will not do it

_ANSWERS = {
    ReplyKind.DATA: LookupOutcome.DATA,
    ReplyKind.NODATA: LookupOutcome.NODATA,
    ReplyKind.NXDOMAIN: LookupOutcome.NXDOMAIN,
    ReplyKind.LOOP: LookupOutcome.LOOP,
    ReplyKind.ALIAS: LookupOutcome.LOOP,  # a chain in pieces that is too long, or leads back
}
_RANKS = {
    LookupOutcome.SERVFAIL: 1,
    LookupOutcome.REFUSED: 2,
    LookupOutcome.MALFORMED: 3,
    LookupOutcome.TIMEOUT: 4,
}
_POLICY_ERRORS = {
    4: "forged",  # RFC 8914 §4.5
    15: "blocked",  # §4.16
    16: "censored",  # §4.17
    17: "filtered",  # §4.18
}
"""Extended errors by which a resolver says that the answer is its own invention."""
_CLIENT_ERRORS = {
    18: "serves other clients only",  # RFC 8914 §4.19
    20: "is not a recursive resolver for us",  # §4.21
}
"""Extended errors that, with REFUSED, are about us and not about the name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What one server said, or that it said nothing.

    ``failure`` is None for an answer. ``status`` is set where a failure has one. ``undelivered``
    says that the server has an answer and could not get it across.
    """

    server: ServerAddress
    reply: Reply | None = None
    failure: LookupOutcome | None = None
    status: DnssecStatus | None = None
    errors: tuple[ExtendedError, ...] = ()
    detail: str | None = None
    own_fault: str | None = None
    undelivered: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether this is an answer that may be held against a partner."""
        return self.failure is None and self.own_fault is None

    @property
    def may_hide_data(self) -> bool:
        """Whether this is a SERVFAIL of the server's own, so that CD=1 may tell more."""
        said_so = self.reply is not None and self.reply.rcode == RCODE_SERVFAIL
        return said_so and self.own_fault is None

    @property
    def is_final(self) -> bool:
        """Whether asking this server again at once would bring the same."""
        return self.failure is not LookupOutcome.TIMEOUT

    @property
    def rank(self) -> int:
        """The order in which failures of several servers count; the lowest tells most.

        First comes an answer that exists but is not fit for use, last that a server could not be
        reached at all: that says nothing as long as any other server said something.
        """
        if self.failure is None or self.undelivered:
            return 0
        return _RANKS[self.failure] if self.own_fault is None else len(_RANKS) + 1

    def malformed(self, what: str) -> "Heard":
        """Return this as a failure of the server to send a proper reply."""
        return replace(
            self,
            failure=LookupOutcome.MALFORMED,
            detail=f"{self.server} sent {what}",
        )

    def failed(self) -> "Heard":
        """Return this as the failure its RCODE stands for (all alike to RFC 7672 §2.1.1)."""
        assert self.reply is not None
        refused = self.reply.rcode in REFUSING_RCODES
        return replace(
            self,
            failure=LookupOutcome.REFUSED if refused else LookupOutcome.SERVFAIL,
            detail=f"{self.reply.rcode_text} from {self.server}",
            own_fault=own_fault_of(self.server, self.reply),
        )


def own_fault_of(server: ServerAddress, reply: Reply | SignedMessage) -> str | None:
    """Return a sentence when ``server`` says that its reply is due to itself or to us."""
    refused = reply.rcode in REFUSING_RCODES
    for error in reply.extended_errors:
        if error.code in _POLICY_ERRORS:
            word = _POLICY_ERRORS[error.code]
            return f"our resolver {server} calls its answer {word} (extended error {error.code})"
        if refused and error.code in _CLIENT_ERRORS:
            return f"our resolver {server} {_CLIENT_ERRORS[error.code]}"
    return None


@dataclass(kw_only=True, slots=True)
class Chain:
    """The alias chain of one lookup while it is put together from replies.

    The status of the whole is that of its weakest link (RFC 7672 §2.1.3): one reply without AD
    makes it insecure. Of a single alias in such a reply nothing is known (case 35).
    """

    question: Question
    max_aliases: int
    aliases: list[AliasHop] = field(default_factory=list)
    secure: bool = True
    ttls: list[int] = field(default_factory=list)
    errors: list[ExtendedError] = field(default_factory=list)
    expirations: list[int] = field(default_factory=list)

    @property
    def last_name(self) -> Name:
        """The name the chain has led to."""
        return self.aliases[-1].target if self.aliases else self.question.name

    def goes_on_after(self, heard: Heard) -> bool:
        """Take in what was heard; return whether the last name must be asked separately."""
        self.errors = list(dict.fromkeys([*self.errors, *heard.errors]))
        if heard.reply is None or heard.failure is not None:
            return False
        reply = heard.reply
        status = DnssecStatus.SECURE if reply.ad else None
        self.secure = self.secure and reply.ad
        seen = {self.question.name, *(hop.target for hop in self.aliases)}
        leads_back = any(target in seen for _, target in reply.aliases)
        self.aliases += [
            AliasHop(owner=owner, target=target, status=status) for owner, target in reply.aliases
        ]
        self.ttls += [] if reply.ttl_seconds is None else [reply.ttl_seconds]
        self.expirations += reply.signature_expirations
        return (
            reply.kind is ReplyKind.ALIAS
            and heard.is_answer
            and not leads_back
            and len(self.aliases) <= self.max_aliases
        )

    def finish(self, heard: Heard, *, now: datetime) -> Lookup:
        """Return the whole, ``heard`` being its last part."""
        reply = heard.reply
        lookup = Lookup(
            question=self.question,
            outcome=LookupOutcome.TIMEOUT,
            status=heard.status,
            aliases=tuple(self.aliases),
            extended_errors=tuple(self.errors),
            resolver=str(heard.server),
            detail=heard.detail,
            own_fault=heard.own_fault,
        )
        if heard.failure is not None or reply is None:
            return replace(lookup, outcome=heard.failure or LookupOutcome.TIMEOUT)
        dropped = f"{reply.dropped} records with broken RDATA were left out"
        return replace(
            lookup,
            outcome=_ANSWERS[reply.kind],
            status=DnssecStatus.SECURE if self.secure else DnssecStatus.INSECURE,
            records=reply.records,
            ttl_seconds=None if reply.ttl_seconds is None else min(self.ttls),
            signature_expires_at=earliest_expiration(self.expirations, now=now),
            detail=dropped if reply.dropped else None,
        )
