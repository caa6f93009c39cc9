"""Who is probed again, by whom, and who is left alone: the second round of a pass on a cluster."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exporters.history import RunFacts
from exporters.history.places import Place
from scanner.distributed.bookkeeping import Books
from scanner.distributed.cluster import NobodySeesError, Work
from scanner.distributed.conductor import Conductor, ConductorLimits, _Shard
from scanner.distributed.values import Doubt, Located, PassPlan, ProbeJob, ProbeReport, Wish
from scanner.model.names import Name
from scanner.model.vocabulary import Family
from scanner.run.probes import SharingLimits


def wish(network: int, host: int = 1) -> Wish:
    name = Name(f"mx{host}.n{network}.example")
    return Wish(name, f"10.0.{network}.{host}", Family.IPV4, name, False)


A, B, C = wish(1), wish(2), wish(3)
IPV4 = frozenset({Family.IPV4})


class FakeEquipment:
    """Only what grouping asks for."""

    sharing_limits = SharingLimits()


class FakeCluster:
    """Workers that see what the test says: ``sees(worker, wish)`` is how it went."""

    def __init__(self, *workers: str) -> None:
        self.names = workers
        self.probed: list[tuple[str, Wish]] = []
        self.counted_out: list[str] = []
        self.greeted: dict[str, frozenset[Family]] = dict.fromkeys(workers, IPV4)
        self.sees: Callable[[str, Wish], str] = lambda _worker, _wish: "well"
        self.loses_its_way: set[str] = set()

    def workers(self) -> tuple[str, ...]:
        return self.names

    def count_out(self, worker: str, sentence: str) -> None:
        self.counted_out.append(worker)
        if set(self.counted_out) == set(self.names):
            raise NobodySeesError(sentence)

    def perform(self, waiting: "deque[Work]") -> Iterator[tuple[Work, Any]]:
        while waiting:
            work = waiting.popleft()
            seeing = [name for name in self.names if name not in self.counted_out]
            worker = next((one for one in seeing if one not in work.elsewhere), seeing[0])
            yield work, self._probe(worker, work.make())

    def _probe(self, worker: str, job: ProbeJob) -> ProbeReport:
        lost = worker in self.loses_its_way
        wishes = job.wishes[:1] if lost else job.wishes
        self.probed += [(worker, one) for one in wishes]
        results = {}
        for one in wishes:
            seen = self.sees(worker, one)
            results[one] = Located(
                "probes", 0, 1, worker, seen == "well", seen != "silent", seen == "throttled"
            )
        blind = "lost its way" if lost else None
        return ProbeReport(
            worker=worker, results=results, greeted=self.greeted[worker], blind=blind
        )


def conductor_of(cluster: FakeCluster) -> Conductor:
    any_books: Books = object.__new__(Books)
    equipment: Any = FakeEquipment()
    plan = PassPlan(
        pass_id="pass",
        version="1",
        token="token",
        key=b"key",
        place=Place("file:///nowhere"),
        equipment=equipment,
        run=RunFacts(run_id="pass", scanner_id="here"),
    )
    fake: Any = cluster
    return Conductor(
        plan=plan,
        cluster=fake,
        books=any_books,
        first_number=0,
        progress=lambda _what, _done, _total: None,
        say=lambda _sentence: None,
        is_interrupted=lambda: False,
        limits=ConductorLimits(group_probes=100),
    )


def probe(conductor: Conductor, *wishes: Wish, first_look: bool = True) -> dict[Wish, Located]:
    """Make the second round of a look, and return where the results lie."""
    shards = [_Shard(0, (), "evidence", wishes)]
    conductor._probe(shards, first_look=first_look)
    return conductor._state.located


def test_a_wish_of_several_shards_is_probed_once() -> None:
    """However many shards have it."""
    cluster = FakeCluster("a", "b")
    conductor = conductor_of(cluster)
    conductor._probe([_Shard(0, (), "", (A, B)), _Shard(1, (), "", (B, A, C))], first_look=True)
    assert sorted(cluster.probed) == sorted([("a", A), ("a", B), ("a", C)])


def test_silence_towards_a_worker_that_nobody_greeted_is_asked_about_by_another() -> None:
    """Once; and what the other finds is what counts."""
    cluster = FakeCluster("a", "b")
    cluster.greeted["a"] = frozenset()
    cluster.sees = lambda worker, _: "silent" if worker == "a" else "well"
    found = probe(conductor_of(cluster), A)
    assert cluster.probed == [("a", A), ("b", A)]
    assert found[A].worker == "b"


def test_silence_towards_a_worker_that_others_greet_is_the_servers_own() -> None:
    """Nobody else knocks in this look."""
    cluster = FakeCluster("a", "b")
    cluster.sees = lambda _, one: "silent" if one == B else "well"
    probe(conductor_of(cluster), A, B)
    assert sorted(cluster.probed) == [("a", A), ("a", B)]


def test_what_a_worker_left_when_it_lost_its_way_is_probed_by_another() -> None:
    """What it saw before is kept, and it gets nothing more."""
    cluster = FakeCluster("a", "b")
    cluster.loses_its_way.add("a")
    found = probe(conductor_of(cluster), A, B, C)
    assert cluster.counted_out == ["a"]
    assert [worker for worker, _ in cluster.probed] == ["a", "b", "b"]
    assert set(found) == {A, B, C}


def test_when_every_worker_loses_its_way_nobody_sees() -> None:
    """The pass ends."""
    cluster = FakeCluster("a", "b")
    cluster.loses_its_way |= {"a", "b"}
    with pytest.raises(NobodySeesError):
        probe(conductor_of(cluster), A, B, C)


def test_a_second_look_knocks_only_where_the_first_failed() -> None:
    """A server that turned us away is left alone, and so is another name at its address."""
    cluster = FakeCluster("a")
    cluster.sees = lambda _, one: {A: "well", B: "silent", C: "throttled"}[one]
    conductor = conductor_of(cluster)
    probe(conductor, A, B, C)
    cluster.probed.clear()
    same_address = C._replace(host=Name("other.example"), sni=Name("other.example"))
    found = probe(conductor, A, B, C, same_address, first_look=False)
    assert cluster.probed == [("a", B)]
    assert found[same_address] == found[C]


def test_what_was_seen_too_late_is_seen_again() -> None:
    """Though nothing failed: its lookups were old."""
    cluster = FakeCluster("a")
    conductor = conductor_of(cluster)
    probe(conductor, A, B)
    cluster.probed.clear()
    conductor._state.doubtful[Name("example")] = Doubt.AGED, (A,)
    probe(conductor, A, B, first_look=False)
    assert cluster.probed == [("a", A)]


def test_where_nobody_greeted_any_worker_the_pass_ends_as_blind() -> None:
    """Where something hangs on it; where nothing does, it does not matter."""
    cluster = FakeCluster("a")
    cluster.greeted["a"] = frozenset()
    cluster.sees = lambda _worker, _wish: "silent"
    conductor = conductor_of(cluster)
    probe(conductor, A)
    conductor._see_the_way_out()
    conductor._state.doubtful[Name("example")] = Doubt.EGRESS, ()
    with pytest.raises(NobodySeesError, match="port 25"):
        conductor._see_the_way_out()
