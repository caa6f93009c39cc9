"""The parts of a pass on a cluster, one by one and without a cluster."""

import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import history_files
import pyarrow.fs
import pytest
import sample_checks
from hypothesis import given
from hypothesis import strategies as st

from exporters.history import HistoryError, ParquetHistory, RunFacts, places, shards
from exporters.history.places import Place, place_of
from exporters.history.reader import find_run
from exporters.schema import TABLES
from scanner.cli import dask_options
from scanner.cli.dask_equipment import own_resolvers
from scanner.cli.dask_options import DaskOptions
from scanner.cli.errors import CommandError
from scanner.config import Config
from scanner.distributed import cluster as cluster_module
from scanner.distributed import staging
from scanner.distributed.bookkeeping import Books
from scanner.distributed.cluster import (
    Access,
    Cluster,
    ClusterError,
    InterruptedPassError,
    NobodySeesError,
    Work,
    security_of,
)
from scanner.distributed.values import (
    BlindWorkerError,
    DomainReport,
    Located,
    PassPlan,
    UnwantedError,
    Wish,
)
from scanner.distributed.wishes import (
    NotingProber,
    complete,
    group_wishes,
    network_of,
    wish_of,
    wishes_of,
)
from scanner.model.names import Name, parent_of
from scanner.model.observation import AddressObservation, HostAddress, ProbeError, ProbeStage
from scanner.model.verdict import Check
from scanner.model.vocabulary import Family, Profile
from scanner.run.clock import SystemClock
from scanner.run.probes import SharingLimits
from scanner.transition.fold import fold_check
from scanner.transition.looks import looks_of

PROFILE = Profile.EXCHANGE_ONLINE
QUEUE_LIFE = timedelta(hours=24)
FACTS = RunFacts(run_id="pass", scanner_id="here", started_at=history_files.NOW)


# --- rows -----------------------------------------------------------------------------------------


def checks() -> list[Check]:
    """Checks of many kinds, some of which share a server or a zone."""
    made = [
        sample_checks.zoned(sample_checks.protected()),
        sample_checks.mismatch(),
        sample_checks.two_certificates(),
        sample_checks.bogus(),
        sample_checks.degraded(),
        sample_checks.no_mail(),
        sample_checks.inconclusive(),
        sample_checks.hostile(),
    ]
    named = [
        replace(one, observation=replace(one.observation, domain=Name(f"d{number}.example")))
        for number, one in enumerate(made)
    ]
    observation = replace(made[0].observation, domain=Name("same-server.example"))
    return [*named, replace(made[0], observation=observation)]


def report_of(check: Check) -> DomainReport:
    return DomainReport(
        domain=check.domain,
        verdict=check.judgement.of(PROFILE),
        verdicts=tuple((one.profile, one.verdict.value) for one in check.judgement.verdicts),
        looks=tuple(looks_of(check, PROFILE)),
        contents=shards.contents_of(check),
    )


def books() -> Books:
    return Books(
        states={},
        certificates=(),
        profile=PROFILE,
        queue_life=QUEUE_LIFE,
        run_id=FACTS.run_id,
        labels={Name("same-server.example"): (("team", "mail"),)},
    )


def test_shards_write_the_rows_that_one_writer_writes(tmp_path: Path) -> None:
    """Each probe, certificate, zone and transition once, whichever shard it falls into."""
    alone = ParquetHistory(
        tmp_path / "alone", run_id="pass", scanner_id="here", started_at=history_files.NOW
    )
    states: dict[Any, Any] = {}
    for check in checks():
        labels = (("team", "mail"),) if check.domain == "same-server.example" else ()
        moved, transitions = fold_check(
            states,
            check,
            profile=PROFILE,
            queue_life=QUEUE_LIFE,
            run_id="pass",
            labels=labels,
        )
        states.update(moved)
        alone.record(check, transitions)
    alone.close()
    kept, place = books(), place_of(str(tmp_path / "together"))
    everything = checks()
    for number, start in enumerate(range(0, len(everything), 2)):
        part = everything[start : start + 2]
        share = kept.enter(report_of(check) for check in part)
        for file in shards.shard_files(part, share, run=FACTS, number=number):
            place.publish(file.name, file.data, owner="here")
    for table in TABLES:
        ours, theirs = (
            sorted(map(str, history_files.rows_of(tmp_path / name, table)))
            for name in ("alone", "together")
        )
        assert ours == theirs, table.name


def test_a_shard_gives_the_same_octets_again() -> None:
    """So that a task that is repeated publishes nothing new."""
    share = books().enter(map(report_of, checks()))
    first, second = (
        list(shards.shard_files(checks(), share, run=FACTS, number=3)) for _ in range(2)
    )
    assert first == second
    assert {file.name.rpartition("/")[2] for file in first} == {"pass-000003.parquet"}
    assert [file.table for file in first][-1] == "domain_checks"


def test_a_run_is_found_by_its_name(tmp_path: Path) -> None:
    """Whether it has ended or not, and only that one."""
    history = ParquetHistory(tmp_path, run_id="pass", scanner_id="here")
    history.write([sample_checks.protected()])
    history.flush()
    begun = find_run(tmp_path, "pass")
    assert begun is not None
    assert (begun.scanner_id, begun.domains, begun.outcome) == ("here", 1, None)
    assert find_run(tmp_path, "other") is None
    history.close()


# --- places and staging ---------------------------------------------------------------------------


class _Store:
    """A file system that counts as an object store: nothing is moved, a file is there at once."""

    type_name = "s3"

    def __init__(self) -> None:
        self._files = pyarrow.fs.LocalFileSystem()

    def __getattr__(self, name: str) -> Any:
        if name == "move":
            raise AssertionError("nothing is moved in an object store")
        return getattr(self._files, name)


@pytest.fixture(params=["directory", "store"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """An empty place of each kind."""
    if request.param == "directory":
        yield place_of(str(tmp_path / "place"))
        return
    top = tmp_path / "bucket"
    for folder in ("a/b", "domain_checks", f"{staging.FOLDER}/pass"):
        (top / folder).mkdir(parents=True)
    monkeypatch.setattr(places, "_open", lambda _uri: (_Store(), str(top)))
    yield Place("s3://bucket")


def test_what_stands_is_published_once(place: Place) -> None:
    """Again is no error; something else under the name is."""
    place.publish("a/b/file", b"rows", owner="here")
    place.publish("a/b/file", b"rows", owner="here")
    assert place.names("a") == ["a/b/file"]
    with pytest.raises(HistoryError, match="another file of that name"):
        place.publish("a/b/file", b"other", owner="here")
    assert place.read("a/b/file") == b"rows"
    assert place.read_ranges("a/b/file", [(0, 2), (2, 2)]) == [b"ro", b"ws"]


def test_what_is_not_there_is_told(place: Place) -> None:
    """Reading raises with the name; listing and removing find nothing."""
    with pytest.raises(HistoryError, match="nowhere/file"):
        place.read("nowhere/file")
    assert place.read_if_there("nowhere/file") is None
    assert place.names("nowhere") == []
    place.remove("nowhere")


def test_a_place_is_the_same_for_every_machine(tmp_path: Path) -> None:
    """A path becomes a URI, a URI stays one, and one that leads nowhere is refused."""
    assert place_of(str(tmp_path)).directory == tmp_path
    assert str(place_of(f"file://{tmp_path}")) == str(tmp_path)
    assert place_of("s3://bucket/prefix/").uri == "s3://bucket/prefix"
    assert place_of("s3://bucket/prefix").directory is None
    with pytest.raises(ValueError, match="absolute"):
        place_of("file://")
    with pytest.raises(HistoryError, match="cannot open"):
        place_of("no-such-system://x").check()


def plan_at(place: Place, *, token: str = "one", key: bytes = b"key") -> PassPlan:
    unused: Any = None
    return PassPlan(
        pass_id="pass",
        version="1",
        token=token,
        key=key,
        place=place,
        equipment=unused,
        run=FACTS,
    )


WISH = Wish(Name("mx.example"), "192.0.2.1", Family.IPV4, Name("mx.example"), True)


def seen(wish: Wish = WISH, **changes: Any) -> AddressObservation:
    made = sample_checks.protected().observation.hosts[0].addresses[0]
    return replace(made, host=wish.host, address=wish.address, sni=wish.sni, **changes)


def located(worker: str = "one", **changes: Any) -> Located:
    where = Located("probes", 0, 0, worker, succeeded=True, answered=True, throttled=False)
    return where._replace(**changes)


def test_staged_evidence_comes_back_as_it_was(place: Place) -> None:
    """Whole values, and single results out of a file of many."""
    plan = plan_at(place)
    observation = sample_checks.protected().observation
    assert staging.get(plan, staging.put(plan, "names", 1, observation)) == observation
    other = WISH._replace(address="192.0.2.2")
    name, where = staging.put_probes(plan, 2, [(WISH, seen()), (other, seen(other))])
    offset, length = where[other]
    only = {other: located(name=name, offset=offset, length=length)}
    assert staging.get_probes(plan, only) == {other: seen(other)}


def test_what_others_planted_is_refused_unread(place: Place) -> None:
    """A pickle of a stranger runs nothing: it lacks the digest under the key of the pass."""

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return pytest.fail, ("it was read",)

    plan = plan_at(place)
    name = staging.put(plan_at(place, key=b"other"), "names", 1, Bomb())
    with pytest.raises(HistoryError, match="not what this pass has staged"):
        staging.get(plan, name)
    place.stage(name, pickle.dumps(Bomb()))
    with pytest.raises(HistoryError, match="not what this pass has staged"):
        staging.get(plan, name)


def test_a_pass_that_was_taken_over_publishes_nothing(place: Place) -> None:
    """The last to take it over may, and nobody once it is over."""
    first, second = plan_at(place, token="one"), plan_at(place, token="two")
    staging.take_over(first)
    staging.check_owner(first)
    staging.take_over(second)
    with pytest.raises(UnwantedError):
        staging.check_owner(first)
    staging.check_owner(second)
    place.remove(staging.folder_of("pass"))
    with pytest.raises(UnwantedError):
        staging.check_owner(second)


def test_a_fault_of_the_place_can_be_told_by_a_worker() -> None:
    """An exception crosses machines by pickle."""
    error = HistoryError("cannot write", path=Path("/there"), in_use=True)
    told = pickle.loads(pickle.dumps(error))
    assert (str(told), told.path, told.in_use) == ("cannot write", Path("/there"), True)
    blind = pickle.loads(pickle.dumps(BlindWorkerError("tls://w", "why")))
    assert (blind.worker, blind.sentence) == ("tls://w", "why")


# --- wishes ---------------------------------------------------------------------------------------

addresses = st.builds(
    lambda network, host: f"10.0.{network}.{host}", st.integers(0, 5), st.integers(0, 9)
)
wishes = st.lists(
    st.builds(
        lambda address, host: Wish(
            Name(f"mx{host}.operator{host % 4}.example"),
            address,
            Family.IPV4,
            Name(f"mx{host}.operator{host % 4}.example"),
            False,
        ),
        addresses,
        st.integers(0, 12),
    ),
    unique=True,
    max_size=60,
)


@given(wishes=wishes, size=st.integers(1, 20), rate=st.sampled_from([None, 0.0, 1.0]))
def test_what_a_limit_ties_together_is_probed_by_one_task(
    wishes: list[Wish], size: int, rate: float | None
) -> None:
    """Every wish once; no network, and with a rate no operator, in two groups."""
    limits = SharingLimits(operator_per_second=rate)
    groups = group_wishes(wishes, limits, size=size)
    assert sorted(wish for group in groups for wish in group) == sorted(wishes)
    networks = [{network_of(wish.address, limits) for wish in group} for group in groups]
    assert sum(map(len, networks)) == len(set().union(*networks))
    if rate:
        operators = [{parent_of(wish.host) for wish in group} for group in groups]
        assert sum(map(len, operators)) == len(set().union(*operators))


async def test_a_noted_probe_contacts_nobody_and_is_completed_later() -> None:
    """A placeholder stands for its wish until what was seen takes its place."""
    prober = NotingProber(SystemClock())
    address = HostAddress(address=WISH.address, family=WISH.family, status=None)
    placeholder = await prober.probe(WISH.host, address, WISH.sni, both_algorithms=True)
    assert wish_of(placeholder) == WISH
    whole = sample_checks.protected().observation
    host = replace(whole.hosts[0], addresses=(placeholder,))
    noted = replace(whole, hosts=(host,))
    assert wishes_of([noted, noted]) == (WISH,)
    done = complete(noted, {WISH: seen()}, {WISH: located()}, {})
    assert done.hosts[0].addresses == (seen(),)


@pytest.mark.parametrize(
    ("error", "greeted", "proved"),
    [
        (ProbeError.TIMEOUT, {}, None),
        (ProbeError.TIMEOUT, {"other": frozenset({Family.IPV4})}, None),
        (ProbeError.TIMEOUT, {"one": frozenset({Family.IPV6})}, None),
        (ProbeError.TIMEOUT, {"one": frozenset({Family.IPV4})}, True),
        (ProbeError.NO_ROUTE, {}, False),
    ],
)
def test_silence_counts_only_if_the_worker_that_knocked_was_greeted(
    error: ProbeError, greeted: dict[str, frozenset[Family]], proved: bool | None
) -> None:
    """Another worker's greeting proves nothing, nor does one in the other family."""
    prober_saw = seen(stage=ProbeStage.CONNECT, error=error, chain=())
    observation = sample_checks.protected().observation
    host = replace(
        observation.hosts[0],
        addresses=(replace(prober_saw, other_algorithm="unknown"),),
    )
    noted = replace(observation, hosts=(host,))
    (wish,) = wishes_of([noted])
    where = {wish: located(succeeded=False, answered=False)}
    done = complete(noted, {wish: prober_saw}, where, greeted)
    assert done.vantage.egress_ipv4 is proved


# --- tasks at a cluster ---------------------------------------------------------------------------


class FakeFuture:
    """A future that is done at once, or never."""

    status = "finished"

    def __init__(self, result: Callable[[], Any] | None) -> None:
        self._result = result

    def add_done_callback(self, call: Callable[["FakeFuture"], None]) -> None:
        if self._result is not None:
            call(self)

    def result(self) -> Any:
        assert self._result is not None
        return self._result()

    def release(self) -> None:
        """Nothing is held."""


class FakeClient:
    """A scheduler with workers that do what the test says."""

    status = "running"

    def __init__(self) -> None:
        self.workers = {"a": 1, "b": 1, "c": 1}
        self.submitted: list[tuple[Any, list[str] | None]] = []
        self.cancelled: list[FakeFuture] = []
        self.answer: Callable[[Any, str], Any] = lambda job, _worker: job
        self.silent = False

    def __call__(self, *_: object, **__: object) -> "FakeClient":
        return self

    def submit(
        self, _function: object, job: Any, *, workers: list[str] | None, **_: object
    ) -> FakeFuture:
        self.submitted.append((job, workers))
        if self.silent:
            return FakeFuture(None)
        worker = min(workers or self.workers)
        return FakeFuture(lambda: self.answer(job, worker))

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1
        return {"workers": {name: {"nthreads": n} for name, n in self.workers.items()}}

    def cancel(self, futures: list[FakeFuture], force: bool) -> None:
        assert force
        self.cancelled += futures

    def close(self, timeout: float) -> None:
        """Nothing is held."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """A cluster's client, without a cluster."""
    fake = FakeClient()
    monkeypatch.setattr(cluster_module, "Client", fake)
    monkeypatch.setattr(cluster_module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cluster_module, "TICK_SECONDS", 0.01)
    return fake


def connected(is_interrupted: Callable[[], bool] = lambda: False) -> Cluster:
    return Cluster(Access(scheduler="tcp://x:1", plaintext=True), is_interrupted=is_interrupted)


def work(number: int) -> Work:
    return Work(name=f"task-{number}", function=len, make=lambda: number)


def blind_at(*workers: str) -> Callable[[Any, str], Any]:
    def answer(job: Any, worker: str) -> Any:
        if worker in workers:
            raise BlindWorkerError(worker, f"{worker} is blind")
        return job

    return answer


def test_few_tasks_are_with_the_scheduler_at_a_time(client: FakeClient) -> None:
    """Two for each worker of one thread, whatever waits."""
    client.silent = True
    interrupted = threading.Event()
    running = connected(interrupted.is_set)
    running.workers()
    waiting = deque(work(number) for number in range(100))
    threading.Timer(0.1, interrupted.set).start()
    with pytest.raises(InterruptedPassError):
        list(running.perform(waiting))
    assert len(client.submitted) == 6
    assert len(client.cancelled) == 6


def test_what_a_blind_worker_had_is_done_elsewhere(client: FakeClient) -> None:
    """And it gets nothing more."""
    client.answer = blind_at("a")
    running = connected()
    running.workers()
    done = [result for _, result in running.perform(deque(work(n) for n in range(20)))]
    assert sorted(done) == list(range(20))
    later = client.submitted[-1][1]
    assert later is not None
    assert sorted(later) == ["b", "c"]


def test_a_task_is_tried_at_three_blind_workers_at_most(client: FakeClient) -> None:
    """Then nobody sees, though a fourth may be left."""
    client.workers["d"] = client.workers["e"] = 1
    client.answer = blind_at("a", "b", "c")
    running = connected()
    running.workers()
    with pytest.raises(NobodySeesError, match="c is blind"):
        list(running.perform(deque([work(1)])))
    assert len(client.submitted) == 3


def test_a_task_for_workers_that_are_gone_goes_to_others(client: FakeClient) -> None:
    """Whom a task may go to is not set for good."""
    running = connected()
    running.workers()
    running.count_out("a", "a is blind")
    client.silent = True
    performing = running.perform(deque([work(1)]))

    def later() -> None:
        client.silent = False
        client.workers = {"d": 1}

    threading.Timer(0.05, later).start()
    assert [result for _, result in performing] == [1]
    assert client.submitted[-1][1] == ["d"]


def test_when_all_workers_are_blind_nobody_sees(client: FakeClient) -> None:
    """The last one counted out ends the pass."""
    running = connected()
    running.workers()
    running.count_out("a", "a")
    running.count_out("b", "b")
    with pytest.raises(NobodySeesError, match="all"):
        running.count_out("c", "all are blind")


# --- how to get at a cluster ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        (Access(scheduler="tcp://127.0.0.1:1"), "--plaintext-scheduler"),
        (Access(scheduler="localhost:8786"), "tls://host:port"),
        (Access(scheduler="tls://10.0.0.10"), "no port from 1 to 65535; write .* tls://host:port"),
        (Access(scheduler="tcp://x:123456", plaintext=True), "no port .* tcp://host:port"),
        (Access(scheduler="tls://[::1:8786"), "no host, or no port"),
        (Access(scheduler="tls://x:1", ca="ca.pem"), "--tls-cert, --tls-key"),
        (
            Access(scheduler="tls://x:1", ca="/none.pem", certificate="/none", key="/none"),
            "--tls-ca /none.pem: no such file or directory",
        ),
        (
            Access(scheduler="tls://x:1", ca=__file__, certificate=__file__, key=__file__),
            "all in PEM",
        ),
    ],
)
def test_what_is_wrong_with_the_access_is_said_with_its_remedy(
    access: Access, sentence: str
) -> None:
    """Before anything is tried."""
    with pytest.raises(ClusterError, match=sentence):
        security_of(access)


def options(**given: Any) -> DaskOptions:
    values: dict[str, Any] = dict.fromkeys(DaskOptions.__dataclass_fields__)
    return DaskOptions.take({**values, "engine": "local", **given})


def test_options_of_a_cluster_need_the_engine() -> None:
    """A scheduler that is named and not used would be a surprise."""
    with pytest.raises(CommandError, match="--pass-id needs --engine dask"):
        options(pass_id="nightly")
    assert not options().wants_cluster
    assert options(engine="dask").wants_cluster


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of pip, in a sentence."""
    monkeypatch.setattr(dask_options, "find_spec", lambda _name: None)
    with pytest.raises(CommandError, match=r"pip install 'danewatch\[dask\]'"):
        options(engine="dask", scheduler="tls://x:1").access(Config())


def test_settings_stand_in_for_options_and_options_win() -> None:
    """All of them reach the access."""
    section = {"scheduler": "tls://a:1", "tls_ca": "ca", "tls_certificate": "c", "tls_key": "k"}
    config = Config.model_validate({"dask": {**section, "plaintext": True}})
    access = options(engine="dask").access(config)
    assert access == Access(
        scheduler="tls://a:1", ca="ca", certificate="c", key="k", plaintext=True
    )
    assert options(engine="dask", tls_key="mine").access(config).key == "mine"
    with pytest.raises(CommandError, match="--scheduler"):
        options(engine="dask").access(Config())


def test_a_worker_asks_the_resolvers_of_its_variable() -> None:
    """What cannot be read is no resolver, which the self-test says."""
    found = own_resolvers({"DANEWATCH_RESOLVER": "127.0.0.1:5353 ::1"})
    assert [str(server) for server in found] == ["127.0.0.1:5353", "[::1]:53"]
    assert own_resolvers({"DANEWATCH_RESOLVER": "nonsense"}) == ()
