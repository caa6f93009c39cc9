"""The metrics about danewatch itself: a Meter on prometheus-client, with a registry of its own.

Rules:

- What exists, and under which labels, is declared in ``exporters.metrics``; counters and histograms
  of closed label sets are there at 0 from the start, so that the first event is an increase.
- A gauge is absent until it is put, and again once it is put to None: no value stands for
  "unknown".
- Moving a metric never raises and never waits on anything but a lock held for microseconds. A
  mistake of ours (a label that is not declared, a series too many) is logged once for each metric.
"""

import gc
import logging
import math
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import generate_latest as _text_format
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as _openmetrics_format
from prometheus_client.registry import Collector

from exporters.metrics import OWN_METRICS, Metric, MetricType
from exporters.metrics_text import Format
from scanner.model.meter import OwnMetric

MAX_SERIES_PER_METRIC = 1_000
"""Label sets of one metric about ourselves; more would be a mistake of ours."""

text_format: Callable[[Collector], bytes] = _text_format
openmetrics_format: Callable[[Collector], bytes] = _openmetrics_format

_logger = logging.getLogger("danewatch.metrics")
_DECLARED: Mapping[str, Metric] = {metric.name: metric for metric in OWN_METRICS}


class OwnMetrics:
    """A Meter (``scanner.model.meter``) whose state can be shown. Safe for several threads.

    Beside what is declared it shows the process (CPU seconds, memory, open files, start time) and
    the garbage collector, under the names every Prometheus client uses for them.
    """

    def __init__(self, *, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a _created series for each counter, which nobody asks for
        self._registry = CollectorRegistry(auto_describe=False)
        self._lock = threading.Lock()
        self._gauges: dict[str, dict[tuple[str, ...], float]] = {}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        self._complained: set[str] = set()
        for metric in OWN_METRICS:
            self._register(metric)
        self._registry.register(_Gauges(self))
        ProcessCollector(registry=self._registry)
        if hasattr(gc, "callbacks") and platform.python_implementation() == "CPython":
            GCCollector(registry=self._registry)
        self.put(OwnMetric.BUILD_INFO, 1, version=version, python=platform.python_version())

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        values = self._values(metric, MetricType.COUNTER, labels)
        if values is None:
            return
        if not (amount >= 0 and math.isfinite(amount)):
            self._complain(metric, f"a counter cannot grow by {amount}")
            return
        counter = self._counters[metric]
        (counter.labels(*values) if values else counter).inc(amount)

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        """Set a gauge; None removes the series, because nothing is known any more."""
        values = self._values(metric, MetricType.GAUGE, labels)
        if values is None:
            return
        with self._lock:
            if value is None:
                self._gauges[metric].pop(values, None)
            else:
                self._gauges[metric][values] = float(value)

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        values = self._values(metric, MetricType.HISTOGRAM, labels)
        if values is None:
            return
        if not math.isfinite(value):
            self._complain(metric, f"cannot observe {value}")
            return
        histogram = self._histograms[metric]
        (histogram.labels(*values) if values else histogram).observe(value)

    def render(self, form: Format = Format.TEXT) -> bytes:
        """Return the families as text, without the ``# EOF`` of OpenMetrics."""
        if form is Format.TEXT:
            return text_format(self._registry)
        return openmetrics_format(self._registry).removesuffix(b"# EOF\n")

    def gauges(self) -> Iterator[tuple[Metric, list[tuple[tuple[str, ...], float]]]]:
        """Yield each gauge with its series as they are now."""
        with self._lock:
            found = {name: sorted(series.items()) for name, series in self._gauges.items()}
        for name, series in found.items():
            yield _DECLARED[name], series

    def _register(self, metric: Metric) -> None:
        self._seen[metric.name] = set(metric.known)
        if metric.type is MetricType.GAUGE:
            self._gauges[metric.name] = dict.fromkeys(metric.known, 0.0)
        elif metric.type is MetricType.COUNTER:
            counter = Counter(
                metric.full_name, metric.sentence, metric.labels, registry=self._registry
            )
            self._counters[metric.name] = counter
            for values in metric.known:
                counter.labels(*values)
        else:
            histogram = Histogram(
                metric.full_name,
                metric.sentence,
                metric.labels,
                buckets=metric.buckets,
                registry=self._registry,
            )
            self._histograms[metric.name] = histogram
            for values in metric.known:
                histogram.labels(*values)

    def _values(
        self, metric: OwnMetric, kind: MetricType, labels: Mapping[str, str]
    ) -> tuple[str, ...] | None:
        """Return the label values in declared order; None when this is not what was declared."""
        declared = _DECLARED.get(metric)
        if declared is None or declared.type is not kind:
            self._complain(metric, f"is no {kind}")
            return None
        if len(labels) != len(declared.labels):
            self._complain(metric, f"has the labels {declared.labels}, not {tuple(labels)}")
            return None
        try:
            values = tuple(_clean(labels[name]) for name in declared.labels)
        except KeyError:
            self._complain(metric, f"has the labels {declared.labels}, not {tuple(labels)}")
            return None
        seen = self._seen[metric]
        if values not in seen:
            with self._lock:
                if len(seen) >= MAX_SERIES_PER_METRIC:
                    full = True
                else:
                    full = False
                    seen.add(values)
            if full:
                self._complain(metric, f"has {MAX_SERIES_PER_METRIC} series; no more are taken")
                return None
        return values

    def _complain(self, metric: OwnMetric, problem: str) -> None:
        if metric in self._complained:
            return
        self._complained.add(metric)  # before the record, which may itself be counted
        _logger.error("metric %s: %s", metric, problem)


def _clean(value: str) -> str:
    """Return ``value`` as text that has a UTF-8 form: one lone surrogate would break the page."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


class _Gauges(Collector):
    """Shows the gauges of an OwnMetrics."""

    def __init__(self, owner: OwnMetrics) -> None:
        self._owner = owner

    def collect(self) -> Iterable[Family]:
        """Yield each gauge that has a series."""
        for metric, series in self._owner.gauges():
            if not series:
                continue
            if metric.is_info:
                info = InfoMetricFamily(metric.full_name.removesuffix("_info"), metric.sentence)
                for values, _ in series:
                    info.add_metric((), dict(zip(metric.labels, values, strict=True)))
                yield info
                continue
            gauge = GaugeMetricFamily(metric.full_name, metric.sentence, labels=metric.labels)
            for values, value in series:
                gauge.add_metric(values, value)
            yield gauge
