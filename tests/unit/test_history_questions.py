"""Questions to a real history: the answers, and what may not be asked."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import some_history
from some_history import BEGIN, DAY, HOUR, NOW

from exporters.history.files import HistoryError
from exporters.history.questions import QuestionError, QuestionLimits, Questions
from exporters.schema import TABLES


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One history for all; its name holds what a pattern would act on."""
    return some_history.write(tmp_path_factory.mktemp("history") / "it's [a] his?ory")


@pytest.fixture
def questions(directory: Path) -> Questions:
    return Questions(directory)


def rows(answer: pyarrow.Table, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(answer.column(name).to_pylist() for name in columns), strict=True))


def test_transitions_are_the_changes_oldest_first(questions: Questions) -> None:
    """First sights are none unless asked for."""
    answer = questions.transitions()
    assert rows(answer, "entity", "to_status") == [
        ("mx1.mailhaven.example", "failed"),
        ("shop.example", "degraded"),
        ("mx1.mailhaven.example", "authenticated"),
        ("shop.example", "protected"),
        ("mx1.bank.example", "failed"),
        ("bank.example", "blocked"),
    ]
    assert questions.transitions(first_sights=True).num_rows == len(some_history.events())


@pytest.mark.parametrize(
    ("wanted", "entities"),
    [
        ({"since": BEGIN + 2 * DAY}, ["mx1.bank.example", "bank.example"]),
        ({"until": BEGIN + DAY + HOUR}, ["mx1.mailhaven.example", "shop.example"]),
        ({"entity": "shop.example"}, ["shop.example", "shop.example"]),
        ({"entity_type": "zone"}, []),
        ({"to_status": "blocked"}, ["bank.example"]),
        ({"limit": 1}, ["bank.example"]),
        ({"entity": "' OR true --"}, []),
    ],
)
def test_transitions_may_be_narrowed(
    questions: Questions, wanted: dict[str, Any], entities: list[str]
) -> None:
    """By time, entity, kind, status and number; what is asked for is a value, never SQL."""
    assert questions.transitions(**wanted).column("entity").to_pylist() == entities


def test_a_timeline_has_the_hosts_and_zones_of_a_domain(questions: Questions) -> None:
    """Also of hosts elsewhere; with how long each state lasted."""
    answer = questions.timeline("shop.example", until=NOW)
    assert rows(answer, "entity", "to_status", "lasted_seconds") == [
        ("mx1.mailhaven.example", "authenticated", 86_400),
        ("shop.example", "protected", 86_400),
        ("mx1.mailhaven.example", "failed", 6 * 3_600),
        ("shop.example", "degraded", 6 * 3_600),
        ("mx1.mailhaven.example", "authenticated", 42 * 3_600),
        ("shop.example", "protected", 42 * 3_600),
    ]
    bank = questions.timeline("bank.example", until=NOW)
    assert ("zone", "bank.example") in rows(bank, "entity_type", "entity")


def test_failing_is_what_failed_at_that_time(questions: Questions) -> None:
    """With the operator's labels, and the phase as of then."""
    assert questions.failing(at=BEGIN + 2 * DAY - HOUR).num_rows == 0
    answer = questions.failing(at=BEGIN + 2 * DAY)
    assert rows(answer, "entity", "status", "phase", "reason", "labels") == [
        (
            "bank.example",
            "blocked",
            "deferring",
            "tlsa-mismatch",
            [{"key": "tier", "value": "gold"}],
        )
    ]
    later = questions.failing(at=NOW + timedelta(seconds=1))
    assert later.column("phase").to_pylist() == ["bouncing"]
    hosts = questions.failing(at=BEGIN + DAY + HOUR, entity_type="mx")
    assert hosts.column("entity").to_pylist() == ["mx1.mailhaven.example"]


def test_operators_are_those_above_the_hosts(questions: Questions) -> None:
    """With the domains behind them, and what failed or changed."""
    answer = questions.operators(at=NOW)
    columns = (
        "operator",
        "domains",
        "hosts",
        "domains_failing",
        "hosts_failing",
        "changes_30d",
    )
    assert rows(answer, *columns) == [
        ("bank.example", 1, 2, 1, 1, 1),
        ("mailhaven.example", 2, 2, 0, 0, 2),
    ]


def test_sql_answers_one_select_over_the_views(questions: Questions) -> None:
    """Times are UTC; later columns than a file has are null."""
    answer = questions.sql(
        "SELECT entity, date_trunc('hour', observed_at) AS hour FROM current "
        "WHERE is_failing(entity_type, to_status) ORDER BY entity"
    )
    assert rows(answer, "entity", "hour") == [
        ("bank.example", BEGIN + 2 * DAY),
        ("mx1.bank.example", BEGIN + 2 * DAY),
    ]
    mx = questions.sql("SELECT mx FROM domain_hosts WHERE domain = 'city.example' ORDER BY mx")
    assert mx.column("mx").to_pylist() == ["mx1.mailhaven.example", "mx2.mailhaven.example"]


@pytest.mark.parametrize(
    "text",
    [
        "COPY transitions TO 'x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO 'x.parquet'",
        "EXPLAIN SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "ATTACH 'x.db'",
        "SELECT 1; SELECT 2",
        "SET memory_limit = '100GB'",
        "INSTALL httpfs",
        "DROP VIEW transitions",
        "",
    ],
)
def test_sql_only_reads(questions: Questions, text: str) -> None:
    """One SELECT, nothing else."""
    with pytest.raises(QuestionError, match="write one SELECT"):
        questions.sql(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM 'x.parquet'",
        "SELEC 1",
        "SELECT x",
        "SELECT '\udcff'",
    ],
)
def test_sql_reads_nothing_but_the_history(questions: Questions, text: str) -> None:
    """No other file; and a mistake is a sentence."""
    with pytest.raises(QuestionError) as caught:
        questions.sql(text)
    assert "\n" not in str(caught.value)


def test_a_question_that_needs_too_much_memory_is_refused(directory: Path) -> None:
    """Rather than the machine's memory."""
    small = Questions(directory, limits=QuestionLimits(memory_mib=16))
    with pytest.raises(QuestionError, match="more than 16 MiB of memory"):
        small.sql("SELECT list(a.range::VARCHAR || b.range) FROM range(3000) a, range(3000) b")


def test_views_have_every_column_of_the_schema(questions: Questions) -> None:
    """And their partition."""
    views = questions.views()
    for table in TABLES:
        assert set(views[table.name]) == {one.name for one in table.columns} | {
            table.partition.value
        }
    assert {"current", "domain_hosts"} <= set(views)


def test_an_empty_history_has_views_without_rows(tmp_path: Path) -> None:
    """So that a dashboard made on the first day works."""
    questions = Questions(tmp_path)
    assert questions.transitions().num_rows == 0
    assert questions.failing(at=NOW).num_rows == 0
    assert questions.operators(at=NOW).num_rows == 0
    assert questions.sql("SELECT count(*) AS n FROM host_checks").column("n").to_pylist() == [0]


def test_a_column_that_old_files_lack_is_null(directory: Path, tmp_path: Path) -> None:
    """Files of the first version stay readable for ever."""
    old = tmp_path / "old"
    shutil.copytree(directory, old)
    for path in (old / "transitions").glob("*/*.parquet"):
        table = pyarrow.parquet.read_table(path, partitioning=None)
        pyarrow.parquet.write_table(table.drop_columns(["labels", "failing_since"]), path)
    answer = Questions(old).failing(at=NOW)
    assert rows(answer, "entity", "labels") == [("bank.example", None)]


def test_an_event_seen_twice_while_files_merge_counts_once(directory: Path, tmp_path: Path) -> None:
    """A merged file stands before what it replaces goes."""
    merging = tmp_path / "merging"
    shutil.copytree(directory, merging)
    for path in list((merging / "transitions").glob("*/*.parquet")):
        shutil.copy(path, path.with_name(f"merged-{path.name}"))
    assert Questions(merging).transitions().num_rows == 6


def test_a_damaged_file_is_named(directory: Path, tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    damaged = tmp_path / "damaged"
    shutil.copytree(directory, damaged)
    path = next((damaged / "transitions").glob("*/*.parquet"))
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(HistoryError, match=path.name):
        Questions(damaged).transitions()


def test_no_directory_is_said_at_once(tmp_path: Path) -> None:
    """Before anything is asked."""
    with pytest.raises(HistoryError, match="no such directory"):
        Questions(tmp_path / "none")
