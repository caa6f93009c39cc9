"""The dashboard about danewatch itself: does it see, keep up, keep what it saw."""

from grafana.builder.panels import (
    HERE,
    OFF_ON,
    ON_OFF,
    Dashboard,
    Panel,
    Query,
    graph,
    stat,
    timeline,
)

ALL = f"{{{HERE}}}"
RATE = "[$__rate_interval]"


def _by(label: str, metric: str, *, seconds: bool = True) -> str:
    """PromQL: how fast a counter grows, by one label."""
    function = "rate" if seconds else "increase"
    return f"sum by ({label}) ({function}({metric}{ALL}{RATE}))"


def _quantiles(metric: str, by: str = "") -> list[Query]:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return [
        Query(
            expr=f"histogram_quantile({share}, "
            f"sum by ({labels}) (rate({metric}_bucket{ALL}{RATE})))",
            legend=f"{legend}{share * 100:g} %",
        )
        for share in (0.5, 0.95, 0.99)
    ]


def _sight() -> list[Panel]:
    return [
        timeline(
            "Blind",
            "Whether danewatch pauses because it cannot see, and why.",
            Query(expr=f"danewatch_blind{ALL}", legend="{{instance}} blind"),
            Query(expr=f"danewatch_blind_reason{ALL} == 1", legend="{{instance}} {{reason}}"),
            words=OFF_ON,
            unit="none",
        ),
        timeline(
            "Self-tests",
            "Resolvers, outgoing port 25, clock and canaries, one lane each.",
            Query(expr=f"danewatch_resolver_up{ALL}", legend="{{resolver}} answers"),
            Query(expr=f"danewatch_resolver_validating{ALL}", legend="{{resolver}} validates"),
            Query(expr=f"danewatch_egress_ok{ALL}", legend="port 25 over {{family}}"),
            Query(expr=f"danewatch_clock_ok{ALL}", legend="clock"),
            Query(expr=f"danewatch_canary_ok{ALL}", legend="canary {{canary}}"),
            words=ON_OFF,
            unit="none",
        ),
        stat(
            "Mass loss suspected",
            "Whether very many domains failed at once, which is not believed until proved.",
            f"max(danewatch_mass_loss_suspected{ALL})",
            words=OFF_ON,
            unit="none",
        ),
        stat(
            "Last self-test",
            "How long ago danewatch last looked at itself.",
            f"time() - min(danewatch_last_self_test_timestamp_seconds{ALL})",
            unit="s",
        ),
        stat(
            "Suspicions",
            "Changes for the worse that wait for a second look.",
            f"sum(danewatch_suspicions{ALL})",
        ),
        stat(
            "Not checked for two intervals",
            "Share of the domains; above 5 % it is an alert.",
            f"max(instance:danewatch_domain_stale:ratio{ALL}) or vector(0)",
            unit="percentunit",
            limits={"green": 0.0, "orange": 0.01, "red": 0.05},
        ),
        stat(
            "Domains watched",
            "Domains on the target lists.",
            f"sum(danewatch_targets{ALL})",
        ),
        stat(
            "Lines that cannot be used",
            "Lines of the target lists that are no domain names, or cannot be read.",
            f"sum(danewatch_targets_load_problems{ALL})",
            limits={"green": 0.0, "blue": 1.0},
        ),
        stat(
            "Version",
            "Version of each danewatch.",
            f"max by (version) (danewatch_build_info{ALL})",
            legend="{{version}}",
            unit="none",
        ),
    ]


def _pace() -> list[Panel]:
    return [
        graph(
            "Checks",
            "Checks of domains and probes of addresses that ended.",
            Query(expr=_by("stage", "danewatch_checks_total"), legend="{{stage}}"),
            unit="ops",
        ),
        graph(
            "Checks that came to no result",
            "By reason. Reasons of partners are among them: this is not a rate of errors.",
            Query(
                expr=_by("stage, reason", "danewatch_check_failures_total"),
                legend="{{stage}} {{reason}}",
            ),
            unit="ops",
            must_show=False,
        ),
        graph(
            "Share that came to no result",
            "Of the checks of the last hour, by stage.",
            Query(
                expr=f"max by (stage) (instance_stage:danewatch_check_failures:ratio_rate1h{ALL})",
                legend="{{stage}}",
            ),
            unit="percentunit",
            must_show=False,
        ),
        graph(
            "How long checks take",
            "Quantiles over the checks of each stage.",
            *_quantiles("danewatch_check_duration_seconds", "stage"),
            unit="s",
        ),
        graph(
            "Due and waiting",
            "Domains that are due and wait for their check.",
            Query(expr=f"danewatch_scheduler_queue_length{ALL}", legend="{{instance}}"),
        ),
        graph(
            "How late the oldest is",
            "Since when the check has been due that waits longest; nothing when none waits.",
            Query(
                expr=f"time() - danewatch_scheduler_oldest_due_timestamp_seconds{ALL}",
                legend="{{instance}}",
            ),
            unit="s",
            must_show=False,
        ),
        graph(
            "In flight",
            "Checks and probes that run, and those of them that only wait for somebody slow.",
            Query(expr=f"sum by (stage) (danewatch_in_flight{ALL})", legend="{{stage}}"),
            Query(expr=f"sum by (stage) (danewatch_slow_in_flight{ALL})", legend="{{stage}}, slow"),
        ),
        graph(
            "Questions allowed in flight",
            "Fewer than usual while the resolvers time out.",
            Query(expr=f"danewatch_dns_in_flight_limit{ALL}", legend="{{instance}}"),
        ),
        graph(
            "Event loop",
            "How late the loop wakes tasks; beyond a quarter of a second timings go wrong.",
            *_quantiles("danewatch_event_loop_lag_seconds"),
            unit="s",
        ),
        graph(
            "DNS questions",
            "Questions sent to resolvers or name servers, by type.",
            Query(expr=_by("type", "danewatch_dns_queries_total"), legend="{{type}}"),
            unit="reqps",
        ),
        graph(
            "Answered from a cache",
            "Share of the questions to each cache that it could answer.",
            Query(
                expr=f"{_by('cache', 'danewatch_cache_hits_total')}\n"
                f"/ {_by('cache', 'danewatch_cache_requests_total')}",
                legend="{{cache}}",
            ),
            unit="percentunit",
        ),
        graph(
            "Turned away",
            "Connections that a mail server refused for now (421 and the like).",
            Query(expr=f"sum(rate(danewatch_smtp_throttled_total{ALL}{RATE}))", legend="refused"),
            unit="ops",
        ),
        graph(
            "Confirmed changes",
            "By what changed.",
            Query(
                expr=_by("entity_type", "danewatch_transitions_total", seconds=False),
                legend="{{entity_type}}",
            ),
        ),
    ]


def _keeping() -> list[Panel]:
    return [
        graph(
            "Rows written",
            "Rows of the history, by table.",
            Query(expr=_by("table", "danewatch_history_rows_total"), legend="{{table}}"),
            unit="wps",
        ),
        graph(
            "Rows that wait",
            "Rows that are safe in the state file and not yet in the history.",
            Query(expr=f"danewatch_history_pending_rows{ALL}", legend="{{instance}}"),
        ),
        graph(
            "Since the last write",
            "Of the history.",
            Query(
                expr=f"time() - danewatch_history_last_write_timestamp_seconds{ALL}",
                legend="{{instance}}",
            ),
            unit="s",
        ),
        graph(
            "Failures to write",
            "Of the history and of the state.",
            Query(
                expr=f"sum(increase(danewatch_history_write_failures_total{ALL}{RATE}))",
                legend="history",
            ),
            Query(
                expr=f"sum(increase(danewatch_state_write_failures_total{ALL}{RATE}))",
                legend="state",
            ),
        ),
        graph(
            "This page",
            "How long danewatch takes to prepare its page of metrics.",
            Query(expr=f"danewatch_exposition_duration_seconds{ALL}", legend="{{instance}}"),
            unit="s",
        ),
        graph(
            "Series",
            "Series of results on the page of metrics.",
            Query(expr=f"danewatch_exposition_series{ALL}", legend="{{instance}}"),
        ),
        graph(
            "Crashes",
            "Parts that ended by a bug and were started again.",
            Query(
                expr=_by("component", "danewatch_task_crashes_total", seconds=False),
                legend="{{component}}",
            ),
            must_show=False,
        ),
        graph(
            "Log records",
            "By level.",
            Query(expr=_by("level", "danewatch_log_messages_total"), legend="{{level}}"),
            unit="ops",
        ),
        timeline(
            "Configuration and targets",
            "Whether the last reload was taken, whether the history is written, whether a target "
            "list was refused, whether the page is whole.",
            Query(
                expr=f"danewatch_config_last_reload_successful{ALL}",
                legend="{{instance}} configuration taken",
            ),
            Query(expr=f"danewatch_history_writing{ALL}", legend="{{instance}} history written"),
            Query(
                expr=f"1 - danewatch_targets_shrink_refused{ALL}",
                legend="{{instance}} target list taken",
            ),
            Query(
                expr=f"1 - danewatch_exposition_truncated{ALL}", legend="{{instance}} page whole"
            ),
            words=ON_OFF,
            unit="none",
        ),
        graph(
            "Since the configuration was taken",
            "Time since the last reload or start.",
            Query(
                expr=f"time() - danewatch_config_last_reload_success_timestamp_seconds{ALL}",
                legend="{{instance}}",
            ),
            unit="s",
        ),
    ]


SCANNER_DASHBOARD = Dashboard(
    uid="danewatch-scanner",
    title="danewatch / Scanner",
    description="danewatch itself: whether it sees, keeps up, and keeps what it saw.",
    rows=[("Does it see", _sight()), ("Does it keep up", _pace()), ("Does it keep", _keeping())],
)
