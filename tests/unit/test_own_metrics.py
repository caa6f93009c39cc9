"""The metrics about danewatch itself: declared, absent until known, never in the way."""

import logging
import threading

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporters import own_metrics
from exporters.metrics import OWN_METRICS, PREFIX, MetricType
from exporters.metrics_text import Format
from exporters.own_metrics import OwnMetrics
from scanner.model.meter import Meter, OwnMetric
from scanner.model.selfstatus import BlindReason

OURS = "danewatch_"


def samples(own: OwnMetrics, form: Format = Format.TEXT) -> dict[tuple[str, str], float]:
    """Return the samples by name and labels, ours without the prefix."""
    text = own.render(form).decode("utf-8")
    if form is Format.TEXT:
        families = text_string_to_metric_families(text)
    else:
        families = openmetrics.text_string_to_metric_families(text + "# EOF\n")
    found: dict[tuple[str, str], float] = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            found[(sample.name.removeprefix(OURS), labels)] = sample.value
    return found


@pytest.fixture
def own() -> OwnMetrics:
    return OwnMetrics(version="1.2.3")


def test_the_enum_and_the_declarations_are_one_to_one() -> None:
    """A metric that is moved and not explained, or the reverse, fails here."""
    assert sorted(metric.name for metric in OWN_METRICS) == sorted(OwnMetric)


@pytest.mark.parametrize("metric", OWN_METRICS, ids=lambda metric: metric.name)
def test_declarations_follow_the_conventions(metric: object) -> None:
    """Counters end in _total, base units, one sentence, buckets for histograms only."""
    assert hasattr(metric, "name")
    declared = next(one for one in OWN_METRICS if one is metric)
    assert declared.full_name == PREFIX + declared.name
    assert declared.sentence.endswith(".")
    assert (declared.type is MetricType.COUNTER) == declared.name.endswith("_total")
    assert (declared.type is MetricType.HISTOGRAM) == bool(declared.buckets)
    assert list(declared.buckets) == sorted(set(declared.buckets))
    assert declared.name.endswith("_seconds") == (declared.unit is not None)
    assert all(len(values) == len(declared.labels) for values in declared.known)


def test_it_is_a_meter(own: OwnMetrics) -> None:
    """The port of the model."""
    meter: Meter = own
    meter.count(OwnMetric.SMTP_THROTTLED)
    assert samples(own)[("smtp_throttled_total", "")] == 1


def test_counters_of_closed_sets_are_there_at_zero(own: OwnMetrics) -> None:
    """So that the first event is an increase, which rate() sees."""
    found = samples(own)
    assert found[("checks_total", "stage=domain")] == 0
    assert found[("transitions_total", "entity_type=zone")] == 0
    assert found[("history_write_failures_total", "")] == 0
    assert found[("check_duration_seconds_count", "stage=address")] == 0
    assert {("blind_reason", f"reason={reason}") for reason in BlindReason} <= set(found)


def test_a_gauge_is_absent_until_it_is_known(own: OwnMetrics) -> None:
    """Not 0, which would say "not blind" before anybody looked."""
    assert ("blind", "") not in samples(own)
    own.put(OwnMetric.BLIND, 0)
    assert samples(own)[("blind", "")] == 0


def test_a_gauge_goes_when_nothing_is_known_any_more(own: OwnMetrics) -> None:
    """None removes that series and no other."""
    own.put(OwnMetric.RESOLVER_UP, 1, resolver="192.0.2.1")
    own.put(OwnMetric.RESOLVER_UP, 0, resolver="192.0.2.2")
    own.put(OwnMetric.RESOLVER_UP, None, resolver="192.0.2.1")
    found = samples(own)
    assert ("resolver_up", "resolver=192.0.2.1") not in found
    assert found[("resolver_up", "resolver=192.0.2.2")] == 0


def test_counters_and_histograms_move(own: OwnMetrics) -> None:
    """By what is told."""
    own.count(OwnMetric.CHECKS, 3, stage="domain")
    own.count(OwnMetric.CHECK_FAILURES, stage="address", reason="connection-refused")
    own.observe(OwnMetric.CHECK_DURATION, 0.3, stage="domain")
    found = samples(own)
    assert found[("checks_total", "stage=domain")] == 3
    assert found[("check_failures_total", "reason=connection-refused,stage=address")] == 1
    assert found[("check_duration_seconds_bucket", "le=0.25,stage=domain")] == 0
    assert found[("check_duration_seconds_bucket", "le=0.5,stage=domain")] == 1
    assert found[("check_duration_seconds_sum", "stage=domain")] == 0.3


def test_the_version_is_shown(own: OwnMetrics) -> None:
    """In build_info, an info metric for OpenMetrics."""
    assert any(name == "build_info" and "version=1.2.3" in labels for name, labels in samples(own))
    assert b"# TYPE danewatch_build info" in own.render(Format.OPENMETRICS)


def test_both_forms_have_the_same_samples(own: OwnMetrics) -> None:
    """Those about danewatch; the process moves between two looks at it."""
    own.count(OwnMetric.CHECKS, stage="domain")
    text = {key for key in samples(own) if not key[0].startswith(("process_", "python_"))}
    other = samples(own, Format.OPENMETRICS)
    assert text == {key for key in other if not key[0].startswith(("process_", "python_"))}


def test_process_and_collector_are_shown_and_no_creation_times(own: OwnMetrics) -> None:
    """Under the names every client uses."""
    names = {name for name, _ in samples(own)}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= names
    assert "python_gc_collections_total" in names
    assert not any(name.endswith("_created") for name in names)


def test_openmetrics_ends_elsewhere(own: OwnMetrics) -> None:
    """Results follow; the end of the page is the page's affair."""
    assert b"# EOF" not in own.render(Format.OPENMETRICS)


@pytest.mark.parametrize(
    ("move", "labels"),
    [
        ("count", {"stage": "domain", "more": "x"}),
        ("count", {"wrong": "domain"}),
        ("count", {}),
        ("put", {"stage": "domain"}),
        ("observe", {"stage": "domain"}),
    ],
)
def test_a_mistake_of_ours_is_logged_once_and_harms_nothing(
    own: OwnMetrics, caplog: pytest.LogCaptureFixture, move: str, labels: dict[str, str]
) -> None:
    """A check must not fail because a metric was misspelt."""
    before = samples(own)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            getattr(own, move)(OwnMetric.CHECKS, 1, **labels)
    assert len(caplog.records) == 1
    assert "checks_total" in caplog.text
    assert {key: one for key, one in samples(own).items() if key[0] == "checks_total"} == {
        key: one for key, one in before.items() if key[0] == "checks_total"
    }


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_a_counter_never_shrinks_and_stays_a_number(own: OwnMetrics, amount: float) -> None:
    """Nor does it raise."""
    own.count(OwnMetric.SMTP_THROTTLED, amount)
    own.observe(OwnMetric.EVENT_LOOP_LAG, float("nan"))
    assert samples(own)[("smtp_throttled_total", "")] == 0
    assert samples(own)[("event_loop_lag_seconds_count", "")] == 0


def test_series_of_one_metric_are_bounded(
    own: OwnMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that are there still move."""
    monkeypatch.setattr(own_metrics, "MAX_SERIES_PER_METRIC", 3)
    with caplog.at_level(logging.ERROR):
        for number in range(10):
            own.put(OwnMetric.RESOLVER_UP, 1, resolver=f"192.0.2.{number}")
    own.put(OwnMetric.RESOLVER_UP, 0, resolver="192.0.2.0")
    found = {key: one for key, one in samples(own).items() if key[0] == "resolver_up"}
    assert len(found) == 3
    assert found[("resolver_up", "resolver=192.0.2.0")] == 0
    assert len(caplog.records) == 1


def test_hostile_label_values_break_nothing(own: OwnMetrics) -> None:
    """Also one that has no UTF-8 form."""
    own.put(OwnMetric.CANARY_OK, 1, canary='a"b\\c\nd\ud800')
    assert samples(own)[("canary_ok", 'canary=a"b\\c\nd?')] == 1


def test_threads_lose_no_count(own: OwnMetrics) -> None:
    """The loop, the committer and the page all move metrics."""

    def work() -> None:
        for number in range(500):
            own.count(OwnMetric.CHECKS, stage="domain")
            own.put(OwnMetric.SUSPICIONS, number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    own.render()
    for thread in threads:
        thread.join()
    assert samples(own)[("checks_total", "stage=domain")] == 2000
