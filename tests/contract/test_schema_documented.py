"""Every column, result metric and document key is declared, explained and documented."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from exporters.document import load_schema
from exporters.history.verification import SEVERITIES, FindingKind
from exporters.schema import (
    OWN_METRICS,
    RESULT_METRICS,
    TABLES,
    Column,
    ColumnType,
    document_markdown,
    metrics_markdown,
    tables_markdown,
)
from scanner.model.observation import (
    DaneApplicability,
    MxKind,
    OtherAlgorithm,
    ProbeError,
    ProbeStage,
    TargetProblem,
)
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Fault,
    HostOutcome,
    LookupOutcome,
    Profile,
    ResultType,
    RRType,
    Severity,
)

DOCS = Path(__file__).parents[2] / "docs"
ENUMS: tuple[type[StrEnum], ...] = (
    DaneApplicability,
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Fault,
    HostOutcome,
    LookupOutcome,
    MxKind,
    OtherAlgorithm,
    ProbeError,
    ProbeStage,
    Profile,
    ResultType,
    RRType,
    Severity,
    TargetProblem,
)


@pytest.mark.parametrize(
    ("page", "reference"),
    [
        ("history.md", tables_markdown()),
        ("metrics.md", metrics_markdown()),
        ("metrics.md", metrics_markdown(OWN_METRICS)),
        ("check-document.md", document_markdown(load_schema())),
    ],
)
def test_the_page_holds_the_reference_made_from_the_declarations(page: str, reference: str) -> None:
    """A page that lags behind fails here; put the generated reference between its marks."""
    text = (DOCS / page).read_text("utf-8")
    assert reference in text


def columns() -> Iterator[Column]:
    """Yield every column, nested ones too."""
    pending = [column for table in TABLES for column in table.columns]
    while pending:
        column = pending.pop()
        pending.extend(column.fields)
        yield column


def test_every_column_follows_the_conventions() -> None:
    """One sentence each; units and types as the history promises."""
    for column in columns():
        assert column.sentence.endswith("."), column.name
        if column.name.endswith("_ms"):
            assert (column.type, column.unit) == (ColumnType.INT32, "milliseconds")
        if column.name.endswith("_at"):
            assert column.type is ColumnType.TIMESTAMP
        assert bool(column.fields) == (column.type is ColumnType.STRUCTS)


def test_every_table_begins_alike_and_sorts_and_partitions_by_its_own_columns() -> None:
    """``run_id``, ``scanner_id`` and ``schema_version`` say who wrote a row."""
    for table in TABLES:
        names = [column.name for column in table.columns]
        assert names[:3] == ["run_id", "scanner_id", "schema_version"]
        assert len(set(names)) == len(names)
        assert {table.time, *table.sort_by} <= set(names)


def test_every_metric_follows_the_prometheus_conventions() -> None:
    """Base units in names, one sentence each, no name twice."""
    names = [metric.full_name for metric in RESULT_METRICS]
    assert len(set(names)) == len(names)
    for metric in RESULT_METRICS:
        assert metric.sentence.endswith("."), metric.name
        assert metric.full_name.startswith("danewatch_")
        assert (metric.unit is not None) == metric.name.endswith("_timestamp_seconds")


def enums_of(value: Any) -> Iterator[frozenset[str]]:
    """Yield every closed set in a JSON Schema, without null."""
    if isinstance(value, Mapping):
        if "enum" in value:
            yield frozenset(word for word in value["enum"] if word is not None)
        for inner in value.values():
            yield from enums_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from enums_of(inner)


def test_the_closed_sets_of_the_schema_are_those_of_the_vocabulary() -> None:
    """A new member of an enum must reach the schema."""
    known = {frozenset(member.value for member in enum) for enum in ENUMS}
    found = set(enums_of(load_schema()))
    assert found == known


def properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every (name, property) below ``schema``."""
    for value in schema.values():
        if isinstance(value, Mapping):
            if "properties" in value:
                yield from value["properties"].items()
            yield from properties(value)


def test_every_key_of_the_schema_is_required_and_explained() -> None:
    """Absent means null, so no key may be missing."""
    schema = load_schema()
    for name, value in [*schema["properties"].items(), *properties(schema)]:
        assert value["description"].endswith("."), name
    for holder in [schema, *schema["$defs"].values()]:
        assert sorted(holder["required"]) == sorted(holder["properties"])


def test_what_makes_a_row_unique_is_documented() -> None:
    """Whoever reads while files are merged needs it."""
    text = (DOCS / "history.md").read_text()
    for table in TABLES:
        keys = ", ".join(f"`{name}`" for name in table.unique_by)
        assert f"| `{table.name}` | {keys} |" in text


def test_every_finding_about_a_history_is_documented() -> None:
    """With its severity."""
    text = (DOCS / "history.md").read_text()
    for kind in FindingKind:
        assert f"| `{kind}` | {SEVERITIES[kind]} |" in text
