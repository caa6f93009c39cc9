"""When each alert about danewatch itself must fire; see ``alert_cases``."""

from alert_cases import DAY, HOUR, MINUTE, Case, Counter, Value, partners, series

from grafana.builder.rules import Severity

_NAME = "scanner:9798"


def _checked(minutes_ago: float) -> dict[str, Value]:
    """Two domains that were checked so long before the timeline began."""
    when = -minutes_ago * MINUTE
    return partners("domain_last_check_timestamp_seconds", when) | series(
        "scheduler_interval_seconds", HOUR
    )


_DUE_LATE = "scheduler_oldest_due_timestamp_seconds"
_BUCKET = "event_loop_lag_seconds_bucket"
_CALM = (
    series(_BUCKET, Counter(step=600), le="0.05")
    | series(_BUCKET, Counter(step=600), le="0.5")
    | series(_BUCKET, Counter(step=600), le="+Inf")
)
_STALLING = (
    series(_BUCKET, Counter(step=300), le="0.05")
    | series(_BUCKET, Counter(step=600), le="0.5")
    | series(_BUCKET, Counter(step=600), le="+Inf")
)

SCANNER_CASES = (
    Case(
        name="DanewatchDown",
        severity=Severity.CRITICAL,
        wrong={"up{}": 0.0, "danewatch_build_info{}": None, "danewatch_blind{}": None},
        right={"up{}": 1.0},
        before={"up{}": 1.0},
        past_minutes=10,
        labels={},
        summary=f"danewatch {_NAME} is down.",
        description="Prometheus cannot read its metrics. Nothing is known of any partner.",
    ),
    Case(
        name="DanewatchBlind",
        severity=Severity.CRITICAL,
        wrong={"danewatch_blind{}": 1.0} | series("blind_reason", 1, reason="resolver-down"),
        right={"danewatch_blind{}": 0.0} | series("blind_reason", 0, reason="resolver-down"),
        labels={"reason": "resolver-down"},
        summary=f"danewatch {_NAME} is blind: resolver-down.",
        description="Its self-test fails, so checks pause and every verdict stays as it was. No "
        "partner is to blame, and none is watched.",
    ),
    Case(
        name="DanewatchSelfTestStalled",
        severity=Severity.CRITICAL,
        wrong=series("last_self_test_timestamp_seconds", -3 * HOUR),
        right=series("last_self_test_timestamp_seconds", DAY),
        labels={},
        summary=f"danewatch {_NAME} has not looked at itself for 3h 10m 0s.",
        description="Whether it can see is not known; what it says of that is old.",
    ),
    Case(
        name="DanewatchMassLossSuspected",
        severity=Severity.CRITICAL,
        wrong=series("mass_loss_suspected", 1),
        right=series("mass_loss_suspected", 0),
        labels={},
        summary=f"danewatch {_NAME} sees very many partners fail at once and does not believe it.",
        description="Nothing in common explains them. No failure is confirmed until self-tests and "
        "canaries are good and fresh looks still fail.",
    ),
    Case(
        name="DanewatchResolverNotValidating",
        severity=Severity.CRITICAL,
        wrong=series("resolver_up", 1, resolver="192.0.2.53:53")
        | series("resolver_validating", 0, resolver="192.0.2.53:53"),
        right=series("resolver_up", 1, resolver="192.0.2.53:53")
        | series("resolver_validating", 1, resolver="192.0.2.53:53"),
        labels={"resolver": "192.0.2.53:53"},
        summary="The resolver 192.0.2.53:53 does not validate DNSSEC.",
        description="It answers, but not as a resolver must that DANE is to rest on.",
    ),
    Case(
        name="DanewatchResolverDown",
        severity=Severity.WARNING,
        wrong=series("resolver_up", 0, resolver="192.0.2.53:53"),
        right=series("resolver_up", 1, resolver="192.0.2.53:53"),
        labels={"resolver": "192.0.2.53:53"},
        summary="The resolver 192.0.2.53:53 does not answer.",
        description="danewatch goes on with the others; without any it is blind.",
    ),
    Case(
        name="DanewatchEgressBlocked",
        severity=Severity.CRITICAL,
        wrong=series("egress_ok", 0, family="ipv4") | series("egress_ok", 0, family="ipv6"),
        right=series("egress_ok", 1, family="ipv4") | series("egress_ok", 1, family="ipv6"),
        labels={},
        summary=f"danewatch {_NAME} reaches no mail server on port 25.",
        description="Outgoing port 25 is blocked, by a firewall or by the provider.",
    ),
    Case(
        name="DanewatchEgressBlocked",
        severity=Severity.WARNING,
        wrong=series("egress_ok", 1, family="ipv4") | series("egress_ok", 0, family="ipv6"),
        right=series("egress_ok", 1, family="ipv4") | series("egress_ok", 1, family="ipv6"),
        labels={"family": "ipv6"},
        summary=f"danewatch {_NAME} reaches no mail server over ipv6.",
        description="The other address family works.",
    ),
    Case(
        name="DanewatchClockWrong",
        severity=Severity.CRITICAL,
        wrong=series("clock_ok", 0),
        right=series("clock_ok", 1),
        labels={},
        summary=f"The clock of danewatch {_NAME} is wrong.",
        description="Signatures of well-kept zones are not valid at the time it shows.",
    ),
    Case(
        name="DanewatchCanaryFailing",
        severity=Severity.CRITICAL,
        wrong=series("canary_ok", 0, canary="own.example"),
        right=series("canary_ok", 1, canary="own.example"),
        labels={"canary": "own.example"},
        summary="The canary own.example fails.",
        description="It is known to be good, so either danewatch cannot see, or the canary is ill "
        "itself.",
    ),
    Case(
        name="DanewatchStale",
        severity=Severity.CRITICAL,
        wrong=_checked(180),
        right=_checked(-600),
        before=_checked(-600),
        past_minutes=70,
        labels={},
        summary=f"100% of the domains of {_NAME} were not checked for two intervals.",
        description="What the dashboards show of them is old.",
    ),
    Case(
        name="DanewatchLagging",
        severity=Severity.WARNING,
        wrong=series(_DUE_LATE, -HOUR),
        right=series(_DUE_LATE, DAY),
        labels={},
        summary=f"danewatch {_NAME} is 1h 20m 0s late with its checks.",
        description="More is due than gets done.",
    ),
    Case(
        name="DanewatchEventLoopLag",
        severity=Severity.WARNING,
        wrong=_STALLING,
        right=_CALM,
        labels={},
        tail_minutes=10,
        interval_minutes=1,
        summary=f"The event loop of danewatch {_NAME} stalls.",
        description="99 of 100 wake-ups are late by up to 491ms; time limits of checks may be hit "
        "by danewatch itself.",
    ),
    Case(
        name="DanewatchTaskCrashing",
        severity=Severity.WARNING,
        wrong=series("task_crashes_total", Counter(step=1), component="flusher"),
        right=series("task_crashes_total", 0, component="flusher"),
        labels={"component": "flusher"},
        tail_minutes=65,
        summary=f"The flusher of danewatch {_NAME} crashed.",
        description="It was started again. This is a bug in danewatch.",
    ),
    Case(
        name="DanewatchExpositionTruncated",
        severity=Severity.WARNING,
        wrong=series("exposition_truncated", 1),
        right=series("exposition_truncated", 0),
        labels={},
        summary=f"danewatch {_NAME} shows only a part of its results.",
        description="There are more series than `http.max_series` allows; those of MX hosts are "
        "left out first, and alerts about them cannot fire.",
    ),
    Case(
        name="DanewatchStateNotKept",
        severity=Severity.CRITICAL,
        wrong=series("state_write_failures_total", Counter(step=1)),
        right=series("state_write_failures_total", 0),
        labels={},
        tail_minutes=20,
        summary=f"danewatch {_NAME} cannot write its state.",
        description="It goes on and tries again; what it found since then would be lost if it were "
        "killed now.",
    ),
    Case(
        name="DanewatchHistoryFailing",
        severity=Severity.WARNING,
        wrong=series("history_writing", 0)
        | series("history_write_failures_total", Counter(step=1))
        | series("history_pending_rows", 12)
        | series("history_last_write_timestamp_seconds", -3 * HOUR),
        right=series("history_writing", 1)
        | series("history_write_failures_total", 0)
        | series("history_pending_rows", 12)
        | series("history_last_write_timestamp_seconds", DAY),
        labels={},
        tail_minutes=20,
        summary=f"danewatch {_NAME} cannot write its history.",
        description="Rows wait in the state file, and nothing is lost while that has room.",
    ),
    Case(
        name="DanewatchConfigReloadFailed",
        severity=Severity.WARNING,
        wrong=series("config_last_reload_successful", 0),
        right=series("config_last_reload_successful", 1),
        labels={},
        summary=f"danewatch {_NAME} refused its new configuration.",
        description="It goes on with the old one.",
    ),
    Case(
        name="DanewatchTargetsRefused",
        severity=Severity.WARNING,
        wrong=series("targets_shrink_refused", 1),
        right=series("targets_shrink_refused", 0),
        labels={},
        summary=f"danewatch {_NAME} refused a much shorter target list.",
        description="It goes on with the old list until the new one is confirmed.",
    ),
    Case(
        name="DanewatchTargetsDropped",
        severity=Severity.WARNING,
        wrong=series("targets", 800),
        right=series("targets", 1000),
        past_minutes=30,
        labels={},
        summary=f"danewatch {_NAME} watches far fewer domains than an hour ago.",
        description="800 are left.",
    ),
    Case(
        name="DanewatchShardMissing",
        severity=Severity.CRITICAL,
        wrong=series("shards", 2, shard="1"),
        right=series("shards", 1, shard="1"),
        labels={"shard": "1"},
        summary="Of 2 shares of the targets at least one is watched by nobody.",
        description="Share 1 is here; others of this job are not.",
    ),
    Case(
        name="DanewatchTargetProblems",
        severity=Severity.INFO,
        wrong=series("targets_load_problems", 3),
        right=series("targets_load_problems", 0),
        labels={},
        summary=f"3 line(s) of the target lists of {_NAME} cannot be used.",
        description="The rest is watched.",
    ),
)
