"""What a worker of the cluster does: four functions, each of which may be repeated.

Each is an ordinary function that Dask calls in a thread; those that look at the world run an event
loop of their own for its length. A task that nobody waits for any more (its pass was interrupted,
or this worker has lost the scheduler) ends by itself within a second, so that no mail server is
contacted by two machines at a time.
"""

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import uuid4

import trio
from distributed import get_worker
from distributed.worker import Worker

from exporters.history.shards import contents_of, shard_files
from scanner import __version__
from scanner.distributed import staging
from scanner.distributed.values import (
    BlindWorkerError,
    DomainReport,
    Doubt,
    Equipment,
    JudgeJob,
    JudgeReport,
    Located,
    LookUpJob,
    LookUpReport,
    OtherVersionError,
    PassPlan,
    ProbeJob,
    ProbeReport,
    PublishJob,
    PublishReport,
    UnwantedError,
    Wish,
)
from scanner.distributed.wishes import NotingProber, complete, latest_probe, network_of, wishes_of
from scanner.judge.throttle import is_throttled
from scanner.model.observation import (
    AddressObservation,
    DomainObservation,
    HostAddress,
    ProbeError,
    ProbeStage,
)
from scanner.model.ports import Target
from scanner.model.verdict import Check, Judgement
from scanner.model.vocabulary import DomainVerdict, Family
from scanner.run.checking import own_fault
from scanner.run.clock import SystemClock
from scanner.run.engine import Engine, waits_for_egress
from scanner.run.outage import DEFAULT_RUN
from scanner.run.probes import SharedProber
from scanner.transition.looks import Look, Pairs, looks_of

_T = TypeVar("_T")

LOOK_AROUND_SECONDS = 0.5
"""How often a task sees whether anybody still waits for it."""
AGED_AFTER = timedelta(minutes=2)
"""From the lookups of a domain to its last probe: older, and a failure may be a change that we
caught half of. Ours; TLSA records live for some minutes at least."""
KEPT_PASSES = 4
"""Passes whose greetings a worker remembers."""
_WANTED_STATUSES = frozenset({"running", "paused", "closing_gracefully"})
_ABANDONED_STATES = frozenset({"cancelled", "released", "forgotten"})


# --- before anything ------------------------------------------------------------------------------


def version() -> str:
    """Return the version of danewatch here."""
    return __version__


def examine(equipment: Equipment) -> tuple[tuple[str, ...], str | None]:
    """Return what is wrong with this worker, and why it would see nothing, if that is so."""
    return trio.run(equipment.self_test)


# --- round 1: names -------------------------------------------------------------------------------


def look_up(job: LookUpJob) -> LookUpReport:
    """Look up everything about the job's domains, and stage it.

    Raises BlindWorkerError when this worker's resolver is not to be trusted.
    """
    worker = _begin(job.plan)
    observed = _run(worker, _look_up, job, worker.address)
    order = {target.domain: index for index, target in enumerate(job.targets)}
    observed.sort(key=lambda observation: order[observation.domain])
    return LookUpReport(
        evidence=staging.put(job.plan, "names", job.number, observed),
        wishes=wishes_of(observed),
        worker=worker.address,
    )


async def _look_up(job: LookUpJob, worker: str) -> list[DomainObservation]:
    equipment, clock = job.plan.equipment, SystemClock()
    observed: list[DomainObservation] = []
    async with equipment.open_sight(NotingProber(clock)) as sight:

        async def look(target: Target) -> Check:
            try:
                observation = await sight.observe(target)
            except Exception as error:  # noqa: BLE001 - a bug in one domain spoils no other
                sentence = f"internal error: {type(error).__name__}: {error}"
                observation = own_fault(target, sentence, clock)
            return Check(observation=observation, judgement=_unjudged(observation))

        async def keep(_target: Target, check: Check) -> None:
            observed.append(check.observation)

        engine = Engine(
            check=look,
            judge=_unjudged,
            confirm_vantage=sight.confirm,
            limits=equipment.engine_limits,
        )
        summary = await engine.run_pass(job.targets, keep)
    if summary.blind is not None:
        raise BlindWorkerError(worker, summary.blind)
    return observed


def _unjudged(observation: DomainObservation) -> Judgement:
    return Judgement(judged_at=observation.observed_at, verdicts=())


# --- round 2: mail servers ------------------------------------------------------------------------


@dataclass
class _Egress:
    """Who has greeted this worker, over all its tasks of one pass."""

    greeted: dict[Family, HostAddress] = field(default_factory=dict)
    """The latest of each family."""


_egress: "OrderedDict[str, _Egress]" = OrderedDict()
_egress_lock = threading.Lock()


def _egress_of(pass_id: str) -> _Egress:
    with _egress_lock:
        known = _egress.setdefault(pass_id, _Egress())
        while len(_egress) > KEPT_PASSES:
            _egress.popitem(last=False)
    return known


def probe(job: ProbeJob) -> ProbeReport:
    """Make the job's probes, politely, and stage what was seen.

    A worker that loses its way out keeps what it saw before, and says so.
    """
    worker = _begin(job.plan)
    probing = _Probing(job, _egress_of(job.plan.pass_id))
    _run(worker, probing.make_all)
    results = probing.results
    name, where = staging.put_probes(job.plan, job.number, results.items())
    located = {
        wish: Located(
            name=name,
            offset=where[wish][0],
            length=where[wish][1],
            worker=worker.address,
            succeeded=result.error is None,
            answered=result.stage is not ProbeStage.CONNECT,
            throttled=is_throttled(result),
        )
        for wish, result in results.items()
    }
    return ProbeReport(
        worker=worker.address,
        results=located,
        greeted=frozenset(probing.egress.greeted),
        blind=probing.blind,
    )


class _Probing:
    """The probes of one group, and whether our own network fails meanwhile.

    As in ``scanner.run.outage``: so many networks in a row that did not answer are looked into, by
    a greeting of a server that did before; at the end of a group so many wishes are enough. When
    that fails too it is us, and everything since the last greeting is left for another worker.
    """

    def __init__(self, job: ProbeJob, egress: _Egress) -> None:
        self._job = job
        self._equipment = job.plan.equipment
        self.egress = egress
        self.results: dict[Wish, AddressObservation] = {}
        self.blind: str | None = None
        self._silent: dict[tuple[int, int], list[Wish]] = {}
        """By network, since the last greeting."""
        self._gate = trio.Lock()

    async def make_all(self) -> None:
        """Make every probe, or those before the way out was lost."""
        prober = SharedProber(
            self._equipment.prober(self._note), limits=self._equipment.sharing_limits
        )
        async with trio.open_nursery() as nursery:
            for wish in self._job.wishes:
                nursery.start_soon(self._make, wish, prober, nursery.cancel_scope)
        # A group may be one large network: as many wishes in vain, and nothing else to come.
        if self.blind is None and sum(map(len, self._silent.values())) >= DEFAULT_RUN:
            await self._look_at_ourselves()

    async def _make(self, wish: Wish, prober: SharedProber, scope: trio.CancelScope) -> None:
        address = HostAddress(address=wish.address, family=wish.family, status=None)
        result = await prober.probe(
            wish.host, address, wish.sni, both_algorithms=wish.both_algorithms
        )
        self.results[wish] = result
        if result.stage is not ProbeStage.CONNECT or result.error is ProbeError.NOT_CONTACTED:
            return
        network = network_of(wish.address, self._equipment.sharing_limits)
        self._silent.setdefault(network, []).append(wish)
        async with self._gate:
            if len(self._silent) >= DEFAULT_RUN and not await self._look_at_ourselves():
                scope.cancel()

    async def _look_at_ourselves(self) -> bool:
        """Return whether we still see; else leave what was silent to another worker."""
        if await self._still_greeted():
            return True
        self.blind = "mail servers answered before and none does any more"
        for wishes in self._silent.values():
            for silent in wishes:
                self.results.pop(silent, None)
        return False

    def _note(self, address: HostAddress, answered: bool | None) -> None:
        if answered:
            self.egress.greeted[address.family] = address
            self._silent.clear()

    async def _still_greeted(self) -> bool:
        """Return whether a server that greeted us does so now; True where none ever did."""
        witnesses = list(self.egress.greeted.values())
        if not witnesses:
            self._silent.clear()  # nothing is proved, and the report says so
            return True
        for witness in witnesses:
            if await self._equipment.greet(witness):
                self._silent.clear()
                return True
        return False


# --- round 3: verdicts ----------------------------------------------------------------------------


def judge(job: JudgeJob) -> JudgeReport:
    """Judge the job's domains, and stage the checks."""
    _begin(job.plan)
    evidence: list[DomainObservation] = staging.get(job.plan, job.evidence)
    probes = {
        wish: _as_wished(result, wish)
        for wish, result in staging.get_probes(job.plan, job.probes).items()
    }
    checks: list[Check] = []
    reports: list[DomainReport] = []
    seen: set[tuple[object, ...]] = set()
    for observation in evidence:
        whole = complete(observation, probes, job.probes, job.greeted)
        check = Check(observation=whole, judgement=job.plan.equipment.judge(whole))
        checks.append(check)
        report = _report(job, check, seen)
        if report.doubt is Doubt.AGED:
            report = replace(report, wishes=wishes_of([observation]))
        reports.append(report)
    return JudgeReport(
        number=job.number,
        checks=staging.put(job.plan, "checks", job.number, checks),
        domains=tuple(reports),
    )


def _as_wished(result: AddressObservation, wish: Wish) -> AddressObservation:
    """Return ``result`` for the host of ``wish``; one of its address may stand for it."""
    if result.host == wish.host and result.sni == wish.sni:
        return result
    return replace(result, host=wish.host, sni=wish.sni, probe_id=str(uuid4()), attempts=0)


def _report(job: JudgeJob, check: Check, seen: set[tuple[object, ...]]) -> DomainReport:
    profile = job.plan.equipment.profile
    doubt = _doubt(job, check) if job.first_look else None
    return DomainReport(
        domain=check.domain,
        verdict=check.judgement.of(profile),
        verdicts=tuple((one.profile, one.verdict.value) for one in check.judgement.verdicts),
        looks=tuple(_looks(job, check, doubt, seen)),
        contents=contents_of(check),
        doubt=doubt,
    )


def _looks(
    job: JudgeJob, check: Check, doubt: Doubt | None, seen: set[tuple[object, ...]]
) -> Iterator[Look]:
    """Yield the looks of ``check`` that can be sent; one at a shared host or zone goes once."""
    for look in looks_of(check, job.plan.equipment.profile):
        key = (*look.key, look.observed_at, look.status, look.reason)
        if key in seen:
            continue
        if doubt is None:  # looks of a doubtful domain may not count
            seen.add(key)
        yield replace(look, evidence=partial(_given, look.evidence()))


def _given(pairs: Pairs) -> Pairs:
    return pairs


_STOPPED = frozenset({DomainVerdict.DEFERRED, DomainVerdict.BLOCKED})


def _doubt(job: JudgeJob, check: Check) -> Doubt | None:
    equipment = job.plan.equipment
    if waits_for_egress(check):
        return Doubt.EGRESS
    if equipment.deserves_second_look(check.judgement):
        return Doubt.TRANSIENT
    last = latest_probe(check.observation)
    stopped = check.judgement.of(equipment.profile).verdict in _STOPPED
    if stopped and last is not None and last - check.observation.observed_at > AGED_AFTER:
        return Doubt.AGED
    return None


# --- round 4: rows --------------------------------------------------------------------------------


def publish(job: PublishJob) -> PublishReport:
    """Write the files of one shard. Raises HistoryError when they cannot be kept.

    The same job writes the same files, and those that stand already are left as they are.
    """
    _begin(job.plan)
    plan = job.plan
    checks: list[Check] = [
        check for check in staging.get(plan, job.checks) if check.domain in job.domains
    ]
    written: dict[str, int] = {}
    for file in shard_files(checks, job.share, run=plan.run, number=job.number):
        staging.check_owner(plan)
        plan.place.publish(file.name, file.data, owner=plan.run.scanner_id)
        written[file.table] = written.get(file.table, 0) + file.count
    return PublishReport(written=written)


# --- around each task -----------------------------------------------------------------------------


def _begin(plan: PassPlan) -> Worker:
    """Return the worker we run on. Raises OtherVersionError."""
    worker = get_worker()
    if plan.version != __version__:
        raise OtherVersionError(
            f"the worker {worker.address} runs danewatch {__version__} and the pass is made by "
            f"{plan.version}: install the same version everywhere"
        )
    return worker


def _run(worker: Worker, function: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
    """Return what the asynchronous ``function`` returns, unless nobody waits for it any more."""
    wanted = _wanted(worker)

    async def run() -> _T:
        unwanted = True
        async with trio.open_nursery() as nursery:

            async def look_around() -> None:
                while wanted():  # noqa: ASYNC110 - another thread changes it
                    await trio.sleep(LOOK_AROUND_SECONDS)
                nursery.cancel_scope.cancel()

            nursery.start_soon(look_around)
            result = await function(*arguments)
            unwanted = False
            nursery.cancel_scope.cancel()
        if unwanted:
            raise UnwantedError("nobody waits for this task any more")
        return result

    try:
        return trio.run(run)
    except BaseExceptionGroup as group:
        raise _sole(group) from None  # the conductor acts on some errors


def _wanted(worker: Worker) -> Callable[[], bool]:
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        alive = worker.status.name in _WANTED_STATUSES
        return alive and task is not None and task.state not in _ABANDONED_STATES

    return wanted


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
