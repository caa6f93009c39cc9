"""Which form and compression a client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.http_negotiation import accepts_gzip, wanted_format
from exporters.metrics_text import Format

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ([PROMETHEUS_2], Format.OPENMETRICS),
        ([PROMETHEUS_3], Format.OPENMETRICS),
        ([], Format.TEXT),
        ([""], Format.TEXT),
        (["*/*"], Format.TEXT),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], Format.TEXT),
        (["application/openmetrics-text"], Format.OPENMETRICS),
        (["text/plain", "application/openmetrics-text; version=1.0.0"], Format.OPENMETRICS),
        (["application/openmetrics-text;q=0.2, text/plain"], Format.TEXT),
        (["application/openmetrics-text;q=0"], Format.TEXT),
        (["application/openmetrics-text;version=2.0.0"], Format.TEXT),
        (['application/openmetrics-text;version="1.0.0"'], Format.OPENMETRICS),
        (["APPLICATION/OPENMETRICS-TEXT;VERSION=1.0.0"], Format.OPENMETRICS),
        (["application/openmetrics-text;q=nonsense"], Format.TEXT),
        (["application/openmetrics-text;q=7"], Format.TEXT),
        ([";;,,==,;q=1"], Format.TEXT),
    ],
)
def test_the_form_follows_the_weights(accept: list[str], form: Format) -> None:
    """OpenMetrics where it is wanted at least as much as text."""
    assert wanted_format(accept) is form


@pytest.mark.parametrize(
    ("encodings", "gzip"),
    [
        (["gzip"], True),
        (["gzip, deflate, br"], True),
        (["deflate", "x-gzip"], True),
        (["*"], True),
        (["GZIP;q=0.5"], True),
        (["gzip;q=0"], False),
        (["*, gzip;q=0"], False),
        (["identity"], False),
        ([], False),
        (["gzip;q=x"], False),
    ],
)
def test_gzip_goes_to_those_who_take_it(encodings: list[str], gzip: bool) -> None:
    """A weight of 0 refuses it."""
    assert accepts_gzip(encodings) is gzip


@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_header_is_an_error(values: list[str]) -> None:
    """Whatever a client sends."""
    assert wanted_format(values) in Format
    assert accepts_gzip(values) in (True, False)


def test_a_huge_header_is_looked_at_in_part() -> None:
    """Only so many items count."""
    assert accepts_gzip([",".join(["br"] * 1000 + ["gzip"])]) is False
