"""Whatever stands in a label, both parsers read it back, and no line is torn."""

import sample_checks
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporters.exposition import ResultFragments
from exporters.metrics_text import Format, escape_label, label_names
from scanner.model.monitoring import Snapshot
from scanner.model.names import name_from_labels
from scanner.model.vocabulary import EntityType

HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from('\\"\n\r{},= #\x00\u2028é'),
        st.characters(exclude_categories=["Cs"]),  # which have no form in UTF-8
    )
)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


def labels_of(text: str, parse: object) -> list[dict[str, str]]:
    families = parse(text)  # type: ignore[operator]
    return [sample.labels for family in families for sample in family.samples]


def page_of(board: ResultFragments, form: Format) -> str:
    end = "# EOF\n" if form is Format.OPENMETRICS else ""
    return b"".join(board.page(form).text_chunks(chunk_size=500)).decode("utf-8") + end


@given(HOSTILE)
def test_an_operators_label_comes_back_as_it_was(value: str) -> None:
    """Text format 0.0.4 and OpenMetrics 1.0."""
    board = ResultFragments()
    board.show(sample_checks.protected(), states={}, labels=(("partner", value),))
    wanted = {"domain": "example.org", "partner": value}
    text = page_of(board, Format.TEXT)
    assert wanted in labels_of(text, text_string_to_metric_families)
    text = page_of(board, Format.OPENMETRICS)
    assert wanted in labels_of(text, openmetrics.text_string_to_metric_families)


@given(ANY_TEXT)
def test_an_escaped_value_has_a_utf8_form_and_no_line_end(value: str) -> None:
    """Lone surrogates too: they come from names of files."""
    escaped = escape_label(value)
    assert escaped.encode("utf-8").decode("utf-8") == escaped
    assert "\n" not in escaped


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_a_name_of_any_octets_is_one_label_value(labels: list[bytes]) -> None:
    """DNS allows every octet in a name; a host name may hold a quote or a line end."""
    name = name_from_labels(labels)
    data = b'{"v":1,"cells":{"domain_up":"\\"} 1\\n"},"rank":[true,"2026-01-01T00:00:00+00:00",0]}'
    board = ResultFragments()
    board.restore([Snapshot(entity_type=EntityType.DOMAIN, entity=name, data=data)])
    text = page_of(board, Format.TEXT)
    assert labels_of(text, text_string_to_metric_families) == [{"domain": name}]


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=6))
def test_label_names_are_allowed_and_stand_once(labels: list[tuple[str, str]]) -> None:
    """Whatever a target list calls its columns."""
    found = label_names(tuple(labels))
    names = [name for name, _ in found]
    assert len(set(names)) == len(names) == len(labels)
    assert all(name.isidentifier() and name.isascii() for name in names)
    assert not any(name.startswith("__") or name == "domain" for name in names)
