"""The scanner's own metrics: a closed list of names, and the port through which they are moved.

``exporters.schema`` declares type, labels and sentence of each; a test holds that the two agree.
"""

from enum import StrEnum
from typing import Protocol


class OwnMetric(StrEnum):
    """Metrics about danewatch itself, named without the prefix ``danewatch_``."""

    BUILD_INFO = "build_info"
    SHARDS = "shards"
    TARGETS = "targets"
    TARGETS_LOAD_PROBLEMS = "targets_load_problems"
    TARGETS_SHRINK_REFUSED = "targets_shrink_refused"
    SCHEDULER_QUEUE_LENGTH = "scheduler_queue_length"
    SCHEDULER_OLDEST_DUE = "scheduler_oldest_due_timestamp_seconds"
    SCHEDULER_INTERVAL = "scheduler_interval_seconds"
    IN_FLIGHT = "in_flight"
    SLOW_IN_FLIGHT = "slow_in_flight"
    CHECKS = "checks_total"
    CHECK_FAILURES = "check_failures_total"
    CHECK_DURATION = "check_duration_seconds"
    TRANSITIONS = "transitions_total"
    SUSPICIONS = "suspicions"
    DNS_QUERIES = "dns_queries_total"
    DNS_IN_FLIGHT_LIMIT = "dns_in_flight_limit"
    DNS_SLOWDOWNS = "dns_slowdowns_total"
    CACHE_REQUESTS = "cache_requests_total"
    CACHE_HITS = "cache_hits_total"
    SMTP_THROTTLED = "smtp_throttled_total"
    BLIND = "blind"
    BLIND_REASON = "blind_reason"
    LAST_SELF_TEST = "last_self_test_timestamp_seconds"
    MASS_LOSS_SUSPECTED = "mass_loss_suspected"
    CLOCK_OK = "clock_ok"
    CANARY_OK = "canary_ok"
    RESOLVER_UP = "resolver_up"
    RESOLVER_VALIDATING = "resolver_validating"
    EGRESS_OK = "egress_ok"
    STATE_WRITE_FAILURES = "state_write_failures_total"
    HISTORY_ROWS = "history_rows_total"
    HISTORY_WRITE_FAILURES = "history_write_failures_total"
    HISTORY_WRITING = "history_writing"
    HISTORY_PENDING_ROWS = "history_pending_rows"
    HISTORY_LAST_WRITE = "history_last_write_timestamp_seconds"
    CONFIG_LAST_RELOAD_SUCCESSFUL = "config_last_reload_successful"
    CONFIG_LAST_RELOAD_SUCCESS = "config_last_reload_success_timestamp_seconds"
    EVENT_LOOP_LAG = "event_loop_lag_seconds"
    EXPOSITION_DURATION = "exposition_duration_seconds"
    EXPOSITION_SERIES = "exposition_series"
    EXPOSITION_TRUNCATED = "exposition_truncated"
    WORKER_PROCESSES = "worker_processes"
    WORKER_RESTARTS = "worker_restarts_total"
    TASK_CRASHES = "task_crashes_total"
    LOG_MESSAGES = "log_messages_total"


class Meter(Protocol):
    """Moves the scanner's own metrics; cheap, never raises, callable from any thread."""

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        ...

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        """Set a gauge; None removes the series, because nothing is known any more."""
        ...

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        ...


class NullMeter:
    """A meter nobody reads."""

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        """Do nothing."""

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        """Do nothing."""
