"""The rounds of one pass on a cluster.

    names of every shard -> probes of every group -> verdicts of a shard -> rows of that shard

The second round waits for all of the first, because only then is it known who else wants the same
server; rows follow verdicts shard by shard. Then the same once more for the doubtful domains, as
``scanner.run.engine`` does it: fresh lookups, fresh connections where the first failed, and that
look is the one that is published.

Bounds: a shard has ``shard_domains`` domains, a group about ``group_probes`` probes. The conductor
holds a wish and its place (about 500 octets) for each distinct probe, and no evidence.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from scanner.distributed import tasks
from scanner.distributed.bookkeeping import Books
from scanner.distributed.cluster import (
    DEFAULT_TRIES,
    Cluster,
    ClusterError,
    InterruptedPassError,
    NobodySeesError,
    Work,
)
from scanner.distributed.values import (
    Doubt,
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
    Wish,
)
from scanner.distributed.wishes import group_wishes
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.vocabulary import Family

Progress = Callable[[str, int, int], None]
"""Told a round, how much of it is done, and of how much."""

SHARDS_PER_WORKER = 4
"""A short list is cut finer, so that every worker has a part and a late one is a small one."""
LEAST_SHARD = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorLimits:
    """How a pass is cut; ours."""

    shard_domains: int = 1_000
    """Domains of one shard: some seconds of work and some MiB of evidence."""
    group_probes: int = 500
    """Probes of one group, unless one network has more."""
    second_looks: int = 10_000
    """As ``EngineLimits.second_looks``."""
    second_look_after_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a pass ended; ``blind`` and ``failed`` are sentences."""

    checked: int
    written: Mapping[str, int]
    blind: str | None = None
    interrupted: bool = False
    failed: str | None = None


@dataclass
class _Shard:
    number: int
    targets: tuple[Target, ...]
    evidence: str = ""
    wishes: tuple[Wish, ...] = ()


@dataclass
class _State:
    """What is known so far, over both looks."""

    located: dict[Wish, Located] = field(default_factory=dict)
    greeted: dict[str, frozenset[Family]] = field(default_factory=dict)
    turned_away: dict[str, Located] = field(default_factory=dict)
    """By address; it is left alone for the rest of the pass."""
    doubtful: dict[Name, tuple[Doubt, tuple[Wish, ...]]] = field(default_factory=dict)
    checked: int = 0
    written: Counter[str] = field(default_factory=Counter)


class Conductor:
    """Conducts one pass."""

    def __init__(
        self,
        *,
        plan: PassPlan,
        cluster: Cluster,
        books: Books,
        first_number: int,
        progress: Progress,
        say: Callable[[str], None],
        is_interrupted: Callable[[], bool],
        limits: ConductorLimits | None = None,
    ) -> None:
        """``first_number`` is that of the first shard: above those of files that stand."""
        self._plan = plan
        self._cluster = cluster
        self._books = books
        self._next_number = first_number
        self._progress = progress
        self._say = say
        self._is_interrupted = is_interrupted
        self._limits = limits or ConductorLimits()
        self._state = _State()

    @property
    def next_number(self) -> int:
        """A number that no shard of this pass has had."""
        return self._next_number

    def run(self, targets: Sequence[Target]) -> Ending:
        """Make the pass. Raises what a bug of ours raises on a worker."""
        blind = failed = None
        interrupted = False
        try:
            self._examine_workers()
            self._look(targets, first_look=True)
            self._see_the_way_out()
            again = [target for target in targets if target.domain in self._state.doubtful]
            if again:
                self._rest()
                self._look(again, first_look=False)
        except NobodySeesError as error:
            blind = str(error)
        except InterruptedPassError:
            interrupted = True
        except (ClusterError, OSError, OtherVersionError) as error:
            failed = str(error)
        return Ending(
            checked=self._state.checked,
            written=self._state.written,
            blind=blind,
            interrupted=interrupted,
            failed=failed,
        )

    def _examine_workers(self) -> None:
        """Let every worker test itself; count out those that would see nothing."""
        for worker, answer in self._cluster.on_each(tasks.examine, self._plan.equipment).items():
            if isinstance(answer, Exception):
                answer = (), f"{worker} cannot test itself: {answer}"
            said, blind = answer
            for sentence in said:
                self._say(f"{worker}: {sentence}")
            if blind is not None:
                self._cluster.count_out(worker, blind)

    def _look(self, targets: Sequence[Target], *, first_look: bool) -> None:
        shards = self._cut(targets)
        self._look_up(shards)
        self._probe(shards, first_look=first_look)
        self._judge(shards, first_look=first_look)

    def _see_the_way_out(self) -> None:
        """Raise NobodySeesError where nobody greeted anybody; what hangs on it is not published."""
        waits = any(doubt is Doubt.EGRESS for doubt, _ in self._state.doubtful.values())
        if waits and not any(self._state.greeted.values()):
            raise NobodySeesError(
                "no SMTP connection was answered in this pass: outgoing port 25 seems blocked"
            )

    def _cut(self, targets: Sequence[Target]) -> list[_Shard]:
        parts = SHARDS_PER_WORKER * max(len(self._cluster.workers()), 1)
        size = max(math.ceil(len(targets) / parts), LEAST_SHARD)
        size = min(size, self._limits.shard_domains)
        shards = []
        for start in range(0, len(targets), size):
            shards.append(_Shard(self._next_number, tuple(targets[start : start + size])))
            self._next_number += 1
        return shards

    def _rest(self) -> None:
        """Wait until what failed for a moment may have passed."""
        until = time.monotonic() + self._limits.second_look_after_seconds
        while time.monotonic() < until:
            if self._is_interrupted():
                raise InterruptedPassError
            time.sleep(min(0.25, max(until - time.monotonic(), 0)))

    # --- names -----------------------------------------------------------------------------------

    def _look_up(self, shards: Sequence[_Shard]) -> None:
        by_name = {f"names-{shard.number}": shard for shard in shards}
        waiting = deque(
            Work(name=name, function=tasks.look_up, make=partial(self._look_up_job, shard))
            for name, shard in by_name.items()
        )
        done = 0
        for work, report in self._cluster.perform(waiting):
            assert isinstance(report, LookUpReport)
            shard = by_name[work.name]
            shard.evidence, shard.wishes = report.evidence, report.wishes
            done += len(shard.targets)
            self._progress("names", done, sum(len(one.targets) for one in shards))

    def _look_up_job(self, shard: _Shard) -> LookUpJob:
        return LookUpJob(plan=self._plan, number=shard.number, targets=shard.targets)

    # --- probes ----------------------------------------------------------------------------------

    def _probe(self, shards: Sequence[_Shard], *, first_look: bool) -> None:
        wished = dict.fromkeys(wish for shard in shards for wish in shard.wishes)
        if not first_look:
            self._forget_failures()
        wanted = [wish for wish in wished if not self._is_known(wish)]
        for attempt in range(DEFAULT_TRIES):
            if not wanted:
                break
            missing, unproved = self._probe_once(wanted)
            # One look at who did not answer is enough if it was by a worker that others answer;
            # else another worker looks, once.
            wanted = missing + (unproved if attempt == 0 else [])
        if any(wish not in self._state.located for wish in wished):
            raise NobodySeesError("no worker could finish its probes: each lost its way out")

    def _probe_once(self, wanted: Sequence[Wish]) -> tuple[list[Wish], list[Wish]]:
        """Make probes; return those that were not made, and those that prove nothing."""
        limits = self._plan.equipment.sharing_limits
        groups = group_wishes(wanted, limits, size=self._limits.group_probes)
        state = self._state
        waiting: deque[Work] = deque()
        for group in groups:
            number, self._next_number = self._next_number, self._next_number + 1
            before = {state.located[wish].worker for wish in group if wish in state.located}
            waiting.append(
                Work(
                    name=f"probes-{number}",
                    function=tasks.probe,
                    make=partial(ProbeJob, plan=self._plan, number=number, wishes=group),
                    elsewhere=frozenset(before),
                )
            )
        done = 0
        for _, report in self._cluster.perform(waiting):
            assert isinstance(report, ProbeReport)
            self._take(report)
            done += len(report.results)
            self._progress("mail servers", done, len(wanted))
        missing = [wish for wish in wanted if wish not in state.located]
        unproved = [wish for wish in wanted if wish in state.located and not self._is_proved(wish)]
        if len(self._cluster.workers()) < 2:
            unproved = []  # nobody else to look
        return missing, unproved

    def _take(self, report: ProbeReport) -> None:
        state = self._state
        before = state.greeted.get(report.worker, frozenset())
        state.greeted[report.worker] = before | report.greeted
        state.located.update(report.results)
        for wish, where in report.results.items():
            if where.throttled:
                state.turned_away[wish.address] = where
        if report.blind is not None:
            self._say(f"{report.worker}: {report.blind}")
            self._cluster.count_out(report.worker, report.blind)

    def _is_proved(self, wish: Wish) -> bool:
        where = self._state.located[wish]
        return where.answered or wish.family in self._state.greeted.get(where.worker, ())

    def _is_known(self, wish: Wish) -> bool:
        """Return whether no probe is needed; an address that turned us away is left alone."""
        away = self._state.turned_away.get(wish.address)
        if away is not None:
            self._state.located.setdefault(wish, away)
        return wish in self._state.located

    def _forget_failures(self) -> None:
        """Let the second look be one: of what failed, and of what was seen too late."""
        state = self._state
        aged = {wish for _, wishes in state.doubtful.values() for wish in wishes}
        state.located = {
            wish: where
            for wish, where in state.located.items()
            if (where.succeeded and wish not in aged) or where.throttled
        }

    # --- verdicts and rows -----------------------------------------------------------------------

    def _judge(self, shards: Sequence[_Shard], *, first_look: bool) -> None:
        waiting = deque(
            Work(
                name=f"verdicts-{shard.number}",
                function=tasks.judge,
                make=partial(self._judge_job, shard, first_look=first_look),
            )
            for shard in shards
        )
        for _, report in self._cluster.perform(waiting):
            if isinstance(report, JudgeReport):
                publishing = self._enter(report, first_look=first_look)
                if publishing is not None:
                    waiting.appendleft(publishing)
            else:
                assert isinstance(report, PublishReport)
                self._state.written.update(report.written)
                self._state.checked += report.written.get("domain_checks", 0)
                self._progress("published", self._state.checked, 0)

    def _judge_job(self, shard: _Shard, *, first_look: bool) -> JudgeJob:
        located = {wish: self._state.located[wish] for wish in shard.wishes}
        return JudgeJob(
            plan=self._plan,
            number=shard.number,
            evidence=shard.evidence,
            probes=located,
            greeted=dict(self._state.greeted),
            first_look=first_look,
        )

    def _enter(self, report: JudgeReport, *, first_look: bool) -> Work | None:
        """Enter what is not doubtful into the books; return what publishes it."""
        entered = []
        for domain in report.domains:
            room = len(self._state.doubtful) < self._limits.second_looks
            if first_look and domain.doubt is not None and room:
                self._state.doubtful[domain.domain] = domain.doubt, domain.wishes
            else:
                entered.append(domain)
        if not entered:
            return None
        job = PublishJob(
            plan=self._plan,
            number=report.number,
            checks=report.checks,
            domains=frozenset(domain.domain for domain in entered),
            share=self._books.enter(entered),
        )
        return Work(
            name=f"rows-{report.number}",
            function=tasks.publish,
            make=lambda: job,
            must_end=True,
        )
