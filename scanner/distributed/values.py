"""What travels between the machines of a pass: plain values that can be pickled, and small.

Evidence itself is staged (``scanner.distributed.staging``); what goes through the scheduler are
jobs of some kilobytes and reports that grow with a shard. Measured with pickle: a wish takes 80
octets, where its result lies 100, the report of a domain 1.2 KiB, most of it the evidence texts of
its looks; what is staged takes 3 KiB for the lookups of a domain and 5 KiB for its check.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from exporters.history.places import Place
from exporters.history.rows import RunFacts
from exporters.history.shards import Contents, Share
from scanner.model.names import Name
from scanner.model.observation import DomainObservation, HostAddress, Vantage
from scanner.model.ports import Prober, Target
from scanner.model.verdict import Judgement, ProfileVerdict
from scanner.model.vocabulary import Family, Profile
from scanner.run.engine import EngineLimits
from scanner.run.probes import SharingLimits
from scanner.transition.looks import Look

NoteConnection = Callable[[HostAddress, bool | None], None]


class BlindWorkerError(Exception):
    """A worker cannot see: its resolver, or its way out. Its work belongs to another one."""

    def __init__(self, worker: str, sentence: str) -> None:
        super().__init__(worker, sentence)
        self.worker = worker
        self.sentence = sentence


class OtherVersionError(Exception):
    """A worker runs another danewatch than the one that conducts the pass."""


class UnwantedError(Exception):
    """Nobody waits for this task any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a domain is looked at with: an observer, and who tells whether we can see."""

    observe: Callable[[Target], Awaitable[DomainObservation]]
    confirm: Callable[[], Awaitable[Vantage]]


class Equipment(Protocol):
    """What a worker looks, probes and judges with; made by the composition root, sent along."""

    @property
    def profile(self) -> Profile:
        """The profile that decides."""
        ...

    @property
    def engine_limits(self) -> EngineLimits:
        """Bounds of the domains at a time, and of the patience while blind."""
        ...

    @property
    def sharing_limits(self) -> SharingLimits:
        """Bounds of the probes."""
        ...

    def open_sight(self, prober: Prober) -> AbstractAsyncContextManager[Sight]:
        """Open a resolver of this machine; probes go to ``prober``."""
        ...

    def prober(self, note_connection: NoteConnection) -> Prober:
        """Return who makes connections from this machine, with no limits of its own."""
        ...

    async def greet(self, address: HostAddress) -> bool | None:
        """Return whether a mail server greets us now."""
        ...

    async def self_test(self) -> tuple[tuple[str, ...], str | None]:
        """Return what is wrong here, and why nothing would be seen, if that is so."""
        ...

    def judge(self, observation: DomainObservation) -> Judgement:
        """Return the verdicts."""
        ...

    def deserves_second_look(self, judgement: Judgement) -> bool:
        """Return whether a second look may clear up what is not well."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PassPlan:
    """One pass, the same for all its tasks."""

    pass_id: str
    version: str
    token: str
    """Of whoever conducts it now; a resumed pass has another."""
    key: bytes = field(repr=False)
    """Signs what is staged."""
    place: Place
    equipment: Equipment
    run: RunFacts


class Wish(NamedTuple):
    """One probe that the evidence of some domain asks for."""

    host: Name
    address: str
    family: Family
    sni: Name
    both_algorithms: bool


class Located(NamedTuple):
    """Where the result of one probe is staged, and what must be known of it to go on."""

    name: str
    offset: int
    length: int
    worker: str
    succeeded: bool
    answered: bool
    """Whether the server said anything: more than a connection that did not come about."""
    throttled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LookUpJob:
    """Round 1: look up everything about ``targets``."""

    plan: PassPlan
    number: int
    targets: tuple[Target, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LookUpReport:
    """The evidence is staged at ``evidence``; ``wishes`` are the probes it asks for."""

    evidence: str
    wishes: tuple[Wish, ...]
    worker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeJob:
    """Round 2: make ``wishes``, which share no network with those of another job."""

    plan: PassPlan
    number: int
    wishes: tuple[Wish, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeReport:
    """Results by wish. ``blind`` says why some are missing: the worker lost its way out.

    ``greeted`` are the families in which some mail server has greeted this worker in this pass.
    """

    worker: str
    results: Mapping[Wish, Located]
    greeted: frozenset[Family]
    blind: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeJob:
    """Round 3: complete the evidence with ``probes`` and judge it.

    ``greeted`` are the families in which each worker has been greeted. ``first_look`` says that
    doubts count.
    """

    plan: PassPlan
    number: int
    evidence: str
    probes: Mapping[Wish, Located]
    greeted: Mapping[str, frozenset[Family]]
    first_look: bool


class Doubt(StrEnum):
    """Why a first look is not published."""

    TRANSIENT = "transient"
    """A failure of the transient class."""
    EGRESS = "egress"
    """Undecided only because nobody has greeted the worker that knocked."""
    AGED = "aged"
    """Mail is stopped, and the lookups were old when the probes were made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainReport:
    """What the conductor must know of one judged domain."""

    domain: Name
    verdict: ProfileVerdict
    """Under the chosen profile."""
    verdicts: tuple[tuple[Profile, str], ...]
    looks: tuple[Look, ...]
    contents: Contents
    doubt: Doubt | None = None
    wishes: tuple[Wish, ...] = ()
    """Of a domain that is looked at anew because its evidence was old: all its probes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeReport:
    """The checks are staged at ``checks``, in the order of ``domains``."""

    number: int
    checks: str
    domains: tuple[DomainReport, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishJob:
    """Round 4: write the rows of ``domains``, and of what ``share`` names."""

    plan: PassPlan
    number: int
    checks: str
    domains: frozenset[Name]
    share: Share


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishReport:
    """How many rows of each table stand now."""

    written: Mapping[str, int]
