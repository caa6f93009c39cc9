"""Every metric, declared once: name, type, labels, unit, sentence.

The page of metrics, the textfile, the documentation, the alert rules and the tests all read these
declarations, so that a metric nobody explained cannot exist. ``RESULT_METRICS`` are about domains,
MX hosts and zones; ``OWN_METRICS`` are about danewatch itself, one for each
``scanner.model.meter.OwnMetric``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scanner.model.meter import OwnMetric
from scanner.model.selfstatus import BlindReason
from scanner.model.vocabulary import EntityType

PREFIX = "danewatch_"


class MetricType(StrEnum):
    """Metric types of the Prometheus text format that are used here."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One family of metrics, its name without the prefix.

    ``known`` are label values that are there from the start, at 0 for counters, so that the first
    event is an increase and not a new series. ``buckets`` are the upper bounds of a histogram.
    """

    name: str
    labels: tuple[str, ...]
    sentence: str
    type: MetricType = MetricType.GAUGE
    unit: str | None = None
    known: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as exposed."""
        return PREFIX + self.name

    @property
    def is_info(self) -> bool:
        """Whether it is an info metric (OpenMetrics 1.0 §5.4): always 1, its labels the news."""
        return self.name.endswith("_info")


def _domain(name: str, sentence: str, *labels: str, unit: str | None = None) -> Metric:
    return Metric(name=name, labels=("domain", *labels), sentence=sentence, unit=unit)


def _mx(name: str, sentence: str, *labels: str, unit: str | None = None) -> Metric:
    return Metric(name=name, labels=("mx", *labels), sentence=sentence, unit=unit)


def _zone(name: str, sentence: str, *labels: str, unit: str | None = None) -> Metric:
    return Metric(name=name, labels=("dns_zone", *labels), sentence=sentence, unit=unit)


_SECONDS = "seconds since 1970"

RESULT_METRICS = (
    _domain("domain_up", "1 if mail for the domain is delivered, as last known."),
    _domain("domain_blocked", "1 if mail for the domain is blocked, as last known."),
    _domain(
        "domain_verdict", "1 on the verdict of the last check, inconclusive included.", "verdict"
    ),
    _domain("domain_mx_hosts", "MX hosts of the domain."),
    _domain("domain_mx_hosts_authenticated", "MX hosts that authenticated with DANE."),
    _domain("domain_last_check_timestamp_seconds", "When the last check ran.", unit=_SECONDS),
    _domain(
        "domain_last_transition_timestamp_seconds",
        "When the domain last changed.",
        unit=_SECONDS,
    ),
    _domain(
        "domain_bounces_from_timestamp_seconds",
        "When mail queued at the first failure is returned; only while deferring.",
        unit=_SECONDS,
    ),
    _domain("domain_mx_preference", "MX preference; which domains share which hosts.", "mx"),
    _domain("domain_info", "Always 1; carries the operator's own labels.", "user labels"),
    _domain(
        "domain_phase",
        "1 on what happens to mail for the domain, as last known: delivering, deferring, bouncing.",
        "phase",
    ),
    _domain(
        "domain_cause",
        "1 for what keeps mail from the domain: a bogus zone, else each failing MX host, else"
        " neither (both labels empty); only while it is blocked or deferred, as last known.",
        "mx",
        "dns_zone",
    ),
    _domain(
        "domain_zone",
        "Always 1; the zone of the domain's MX records, or where their chain of trust ends.",
        "dns_zone",
    ),
    _domain(
        "domain_flapping",
        "1 if the domain changed so often lately that its recovery needs a second look.",
    ),
    _mx("mx_up", "1 if mail is delivered through the host, as last known."),
    _mx("mx_outcome", "1 on the outcome of the last check, inconclusive included.", "outcome"),
    _mx("mx_tlsa_records", "Secure TLSA records of the host."),
    _mx("mx_tlsa_usable_records", "TLSA records that may authenticate the host."),
    _mx(
        "mx_tlsa_unmatched_records",
        "Usable TLSA records that match nothing presented; absent when nothing was seen.",
    ),
    _mx("mx_addresses", "Addresses of the host."),
    _mx("mx_addresses_authenticated", "Addresses of the host that authenticated with DANE."),
    _mx(
        "mx_certificate_not_before_timestamp_seconds",
        "Start of validity of the certificate that ends first among those at its addresses.",
        unit=_SECONDS,
    ),
    _mx(
        "mx_certificate_not_after_timestamp_seconds",
        "Earliest end of validity among the certificates at the host's addresses.",
        unit=_SECONDS,
    ),
    _mx(
        "mx_certificate_expiry_enforced",
        "1 where expiry of the certificate breaks delivery under the chosen profile.",
    ),
    _mx("mx_last_check_timestamp_seconds", "When the host was last probed.", unit=_SECONDS),
    _mx(
        "mx_zone",
        "Always 1; the zone of the host's addresses, or where their chain of trust ends.",
        "dns_zone",
    ),
    _mx(
        "mx_flapping",
        "1 if the host changed so often lately that its recovery needs a second look.",
    ),
    _zone("zone_secure", "1 if the zone validates from a trust anchor down, as last known."),
    _zone("zone_bogus", "1 if the zone is signed and validation fails, as last known."),
    _zone(
        "zone_status",
        "1 on the status and reason of the last look, indeterminate included; no reason is empty.",
        "status",
        "reason",
    ),
    _zone(
        "zone_signature_inception_timestamp_seconds",
        "When the signature that ends first became valid.",
        unit=_SECONDS,
    ),
    _zone(
        "zone_signature_expiration_timestamp_seconds",
        "When the first of the zone's signatures ends; also once it has.",
        unit=_SECONDS,
    ),
    _zone(
        "zone_flapping",
        "1 if the zone changed so often lately that its recovery needs a second look.",
    ),
)


def _gauge(
    metric: OwnMetric,
    sentence: str,
    *labels: str,
    unit: str | None = None,
    known: tuple[tuple[str, ...], ...] = (),
) -> Metric:
    return Metric(name=metric, labels=labels, sentence=sentence, unit=unit, known=known)


def _counter(
    metric: OwnMetric,
    sentence: str,
    *labels: str,
    known: tuple[tuple[str, ...], ...] = (),
) -> Metric:
    return Metric(
        name=metric, labels=labels, sentence=sentence, type=MetricType.COUNTER, known=known
    )


def _seconds(
    metric: OwnMetric,
    sentence: str,
    *labels: str,
    buckets: tuple[float, ...],
    known: tuple[tuple[str, ...], ...] = (),
) -> Metric:
    return Metric(
        name=metric,
        labels=labels,
        sentence=sentence,
        type=MetricType.HISTOGRAM,
        unit="seconds",
        known=known,
        buckets=buckets,
    )


def _each(values: type[StrEnum] | Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((str(value),) for value in values)


CHECK_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Seconds: from an answer out of the cache to the deadline of a domain whose servers are silent."""
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds: from the loop's own grain to a stall in which probes time out through our fault."""
STAGES = ("domain", "address")
CACHES = ("dns", "probe", "zone")
TABLES = ("transitions", "domain_checks", "host_checks", "zone_checks", "certificates", "runs")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
QUESTION_TYPES = ("A", "AAAA", "CNAME", "DNSKEY", "DS", "MX", "SOA", "TLSA")

OWN_METRICS = (
    _gauge(OwnMetric.BUILD_INFO, "Always 1; carries the version.", "version", "python"),
    _gauge(
        OwnMetric.SHARDS,
        "How many services share the targets, where one has a share only; carries which.",
        "shard",
    ),
    _gauge(OwnMetric.TARGETS, "Domains that are watched."),
    _gauge(OwnMetric.TARGETS_LOAD_PROBLEMS, "Problems found when the targets were last read."),
    _gauge(
        OwnMetric.TARGETS_SHRINK_REFUSED,
        "1 while a target list is not taken because it lost too many domains at once.",
        known=((),),
    ),
    _gauge(OwnMetric.SCHEDULER_QUEUE_LENGTH, "Domains that are due and wait for their check."),
    _gauge(
        OwnMetric.SCHEDULER_OLDEST_DUE,
        "Since when the domain has been due that waits longest; absent when none waits.",
        unit=_SECONDS,
    ),
    _gauge(
        OwnMetric.SCHEDULER_INTERVAL,
        "How often a domain that does not fail is checked.",
        unit="seconds",
    ),
    _gauge(OwnMetric.IN_FLIGHT, "Checks and probes that run.", "stage", known=_each(STAGES)),
    _gauge(
        OwnMetric.SLOW_IN_FLIGHT,
        "Those of them in the slow lane, waiting for peers that are slow or silent.",
        "stage",
        known=_each(STAGES),
    ),
    _counter(
        OwnMetric.CHECKS, "Checks of domains, probes of addresses.", "stage", known=_each(STAGES)
    ),
    _counter(
        OwnMetric.CHECK_FAILURES,
        "Checks and probes that came to no result, or to a failure, by reason.",
        "stage",
        "reason",
    ),
    _seconds(
        OwnMetric.CHECK_DURATION,
        "How long checks and probes took.",
        "stage",
        buckets=CHECK_BUCKETS,
        known=_each(STAGES),
    ),
    _counter(OwnMetric.TRANSITIONS, "Confirmed changes.", "entity_type", known=_each(EntityType)),
    _gauge(OwnMetric.SUSPICIONS, "Changes for the worse that wait for a second look."),
    _counter(OwnMetric.DNS_QUERIES, "DNS questions asked.", "type", known=_each(QUESTION_TYPES)),
    _gauge(
        OwnMetric.DNS_IN_FLIGHT_LIMIT,
        "Questions that may be in flight to the resolvers; fewer while they time out.",
    ),
    _counter(
        OwnMetric.DNS_SLOWDOWNS,
        "How often it became half as many because the resolvers timed out.",
    ),
    _counter(
        OwnMetric.CACHE_REQUESTS,
        "Questions to a cache: of DNS answers, of probes.",
        "cache",
        known=_each(CACHES),
    ),
    _counter(OwnMetric.CACHE_HITS, "Questions a cache could answer.", "cache", known=_each(CACHES)),
    _counter(OwnMetric.SMTP_THROTTLED, "Connections a mail server turned away for now."),
    _gauge(
        OwnMetric.BLIND,
        "1 while danewatch cannot see, and says nothing about anybody; so it begins.",
    ),
    _gauge(
        OwnMetric.BLIND_REASON,
        "1 for each reason why danewatch cannot see.",
        "reason",
        known=_each(BlindReason),
    ),
    _gauge(
        OwnMetric.LAST_SELF_TEST,
        "When danewatch last looked at itself; absent before the first time.",
        unit=_SECONDS,
    ),
    _gauge(
        OwnMetric.MASS_LOSS_SUSPECTED,
        "1 while so many domains got worse at once that our own fault is suspected.",
        known=((),),
    ),
    _gauge(OwnMetric.CLOCK_OK, "1 if signatures made just now fit our clock."),
    _gauge(
        OwnMetric.CANARY_OK, "1 if the domain or host that is known to be good looks so.", "canary"
    ),
    _gauge(OwnMetric.RESOLVER_UP, "1 if the resolver answers the control question.", "resolver"),
    _gauge(
        OwnMetric.RESOLVER_VALIDATING, "1 if what the resolver answers is validated.", "resolver"
    ),
    _gauge(
        OwnMetric.EGRESS_OK,
        "1 if connections to port 25 leave this machine, 0 if not; absent while unknown.",
        "family",
    ),
    _counter(OwnMetric.STATE_WRITE_FAILURES, "Times the state could not be made durable."),
    _counter(OwnMetric.HISTORY_ROWS, "Rows written to the history.", "table", known=_each(TABLES)),
    _counter(OwnMetric.HISTORY_WRITE_FAILURES, "Times the history could not be written."),
    _gauge(OwnMetric.HISTORY_WRITING, "1 if the last write of the history succeeded."),
    _gauge(OwnMetric.HISTORY_PENDING_ROWS, "Rows that are durable and not yet in a file."),
    _gauge(
        OwnMetric.HISTORY_LAST_WRITE,
        "When the history was last written.",
        unit=_SECONDS,
    ),
    _gauge(
        OwnMetric.CONFIG_LAST_RELOAD_SUCCESSFUL,
        "1 if the last configuration that was read is the one in force.",
    ),
    _gauge(
        OwnMetric.CONFIG_LAST_RELOAD_SUCCESS,
        "When a configuration was last taken.",
        unit=_SECONDS,
    ),
    _seconds(
        OwnMetric.EVENT_LOOP_LAG,
        "How late the event loop wakes a task that is due.",
        buckets=LAG_BUCKETS,
    ),
    _gauge(
        OwnMetric.EXPOSITION_DURATION,
        "How long it took to prepare this page the last time.",
        unit="seconds",
    ),
    _gauge(OwnMetric.EXPOSITION_SERIES, "Series of results on this page."),
    _gauge(
        OwnMetric.EXPOSITION_TRUNCATED,
        "1 while families of results are left out because there would be too many series.",
    ),
    _gauge(
        OwnMetric.WORKER_PROCESSES,
        "Worker processes that work; absent where there are none (limits.workers is 1).",
    ),
    _counter(
        OwnMetric.WORKER_RESTARTS,
        "Worker processes that ended or answered no more, and were replaced.",
    ),
    _counter(
        OwnMetric.TASK_CRASHES,
        "Times a part of danewatch failed by a bug of ours and was started again.",
        "component",
    ),
    _counter(OwnMetric.LOG_MESSAGES, "Log records by level.", "level", known=_each(LOG_LEVELS)),
)


def metrics_markdown(metrics: Sequence[Metric] = RESULT_METRICS) -> str:
    """Return the reference of ``metrics`` for ``docs/metrics.md``."""
    parts = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" if " " not in label else label for label in metric.labels)
        parts.append(
            f"| `{metric.full_name}` | {metric.type} | {labels} | {metric.unit or ''} "
            f"| {metric.sentence} |"
        )
    return "\n".join([*parts, ""])
