"""Whatever stands in the state file, the page stays one that Prometheus reads."""

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporters.exposition import ResultFragments
from exporters.metrics_text import FAMILIES
from scanner.model.monitoring import Snapshot
from scanner.model.vocabulary import EntityType

TEXT = st.text(alphabet=st.one_of(st.sampled_from('"\\,={}\n 01.e-ab'), st.characters()))
CELL = st.one_of(
    TEXT,
    st.builds('",{}="{}"}} {}\n'.format, TEXT, TEXT, TEXT),
    st.builds('"}} {}\n'.format, st.one_of(TEXT, st.floats(), st.integers())),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = [metric.name for metrics in FAMILIES.values() for metric in metrics]
DOCUMENT = st.fixed_dictionaries(
    {
        "v": st.sampled_from([1, 1, 1, 2, "1"]),
        "cells": st.dictionaries(
            st.sampled_from(NAMES), CELL | st.lists(CELL, max_size=3) | JSON, max_size=4
        )
        | JSON,
        "rank": st.just([True, "2026-01-01T00:00:00+00:00", 0]) | JSON,
    },
    optional={"hosts": JSON, "zones": JSON, "causes": JSON, "source": JSON},
)


def readable(snapshot: Snapshot) -> None:
    """Restore, and read the page as a Prometheus server would."""
    board = ResultFragments()
    board.restore([snapshot])
    page = board.page()
    text = b"".join(page.text_chunks(chunk_size=4096)).decode("utf-8")
    found = [
        (sample.name, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(found) == len(set(found)) == page.series


@given(st.binary(max_size=200))
def test_any_octets_are_a_snapshot_or_none(data: bytes) -> None:
    """A torn write, another program's file."""
    readable(Snapshot(entity_type=EntityType.DOMAIN, entity="a.example", data=data))


@given(DOCUMENT, st.sampled_from(EntityType), TEXT)
def test_any_document_leaves_the_page_whole(
    document: object, kind: EntityType, entity: str
) -> None:
    """One that nearly has the right form is the one that could tear it."""
    readable(Snapshot(entity_type=kind, entity=entity, data=json.dumps(document).encode()))
