"""Alerts about danewatch itself: is it there, does it see, keep up, and keep what it saw."""

from grafana.builder.rules import INSTANCE, Alert, Group, Scope, Severity, bracketed

_ON = f"on ({INSTANCE})"
_GONE = f"up == 0 and {_ON} last_over_time(danewatch_build_info[7d])"
"""A target that was danewatch within the week and cannot be read, whatever its job is called."""
_SEEING = f"unless {_ON} danewatch_blind == 1"
_SEEN_FOR_AN_HOUR = f"""
    and {_ON} danewatch_blind offset 1h
    unless {_ON} max_over_time(danewatch_blind[1h]) == 1
"""
"""Up an hour ago and never blind since: time to catch up after a start or a pause."""

SIGHT = Group(
    name="danewatch-sight",
    rules=[
        Alert(
            name="DanewatchDown",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition=f"""
            {_GONE}
            or
            absent(danewatch_build_info) unless on () {bracketed(_GONE)}
            """,
            wait="15m",
            summary="danewatch{{ with $labels.instance }} {{ . }}{{ end }} is down.",
            description="Prometheus cannot read its metrics. Nothing is known of any partner.",
            meaning="The service has stopped, cannot be reached, or was never set up as a target "
            "of Prometheus. Alerts about partners cannot fire meanwhile. Who has no service, and "
            "shows the textfile of `danewatch scan`, leaves the groups about danewatch out.",
            remedy="Look at the service and its log; `/-/healthy` answers while it lives.",
        ),
        Alert(
            name="DanewatchBlind",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition=f"""
            danewatch_blind_reason == 1
            and {_ON} danewatch_blind == 1
            or
            danewatch_blind == 1
            unless {_ON} danewatch_blind_reason == 1
            """,
            wait="5m",
            about=("reason",),
            summary="danewatch {{ $labels.instance }} is blind"
            "{{ with $labels.reason }}: {{ . }}{{ end }}.",
            description="Its self-test fails, so checks pause and every verdict stays as it was. "
            "No partner is to blame, and none is watched.",
            meaning="danewatch knows that it cannot see: its resolver is down or does not "
            "validate, port 25 is closed to it, its clock is wrong, or its canaries fail. Verdicts "
            "freeze; alerts about partners neither begin nor end.",
            remedy="The reason says which self-test fails. The metrics `danewatch_resolver_up`, "
            "`danewatch_resolver_validating`, `danewatch_egress_ok`, `danewatch_clock_ok` and "
            "`danewatch_canary_ok` say which part of it.",
        ),
        Alert(
            name="DanewatchSelfTestStalled",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition="time() - danewatch_last_self_test_timestamp_seconds > 7500",
            wait="5m",
            summary="danewatch {{ $labels.instance }} has not looked at itself for "
            "{{ $value | humanizeDuration }}.",
            description="Whether it can see is not known; what it says of that is old.",
            meaning="The self-test, made once a minute and at least once an hour "
            "(`self_test.interval_seconds`), does not run any more, or does not come to an end.",
            remedy="Look at its log, restart it, and please report it: a test has limits of time "
            "and is begun again when it fails.",
        ),
        Alert(
            name="DanewatchMassLossSuspected",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition="danewatch_mass_loss_suspected == 1",
            wait="10m",
            summary="danewatch {{ $labels.instance }} sees very many partners fail at once and "
            "does not believe it.",
            description="Nothing in common explains them. No failure is confirmed until self-tests "
            "and canaries are good and fresh looks still fail.",
            meaning="Far more domains turned bad within minutes than ever do, at unrelated "
            "operators. That is almost always a fault near danewatch: a firewall, a resolver, a "
            "route.",
            remedy="Check one of the domains from another network with `danewatch check DOMAIN`. "
            "If it fails there too, wait: danewatch comes to the same end by itself.",
        ),
        Alert(
            name="DanewatchResolverNotValidating",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition=f"""
            danewatch_resolver_validating == 0
            and on ({INSTANCE}, resolver) danewatch_resolver_up == 1
            """,
            wait="5m",
            about=("resolver",),
            summary="The resolver {{ $labels.resolver }} does not validate DNSSEC.",
            description="It answers, but not as a resolver must that DANE is to rest on.",
            meaning="With such a resolver every partner would look unprotected. danewatch takes no "
            "notice of what it says.",
            remedy="Switch validation on in the resolver, or take it out of the configuration. A "
            "firewall that strips signatures looks the same: `danewatch dnssec NAME` tells.",
        ),
        Alert(
            name="DanewatchResolverDown",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="danewatch_resolver_up == 0",
            wait="10m",
            about=("resolver",),
            summary="The resolver {{ $labels.resolver }} does not answer.",
            description="danewatch goes on with the others; without any it is blind.",
            meaning="One of the configured resolvers does not answer control questions.",
            remedy="Repair the resolver, or take it out of the configuration.",
        ),
        Alert(
            name="DanewatchEgressBlocked",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition=f"max by ({INSTANCE}) (danewatch_egress_ok) == 0",
            wait="5m",
            summary="danewatch {{ $labels.instance }} reaches no mail server on port 25.",
            description="Outgoing port 25 is blocked, by a firewall or by the provider.",
            meaning="No connection to port 25 succeeds, not even to the canaries. Nothing can be "
            "said about any mail server.",
            remedy="Open outgoing port 25 for this machine. Many providers open it on request "
            "only.",
        ),
        Alert(
            name="DanewatchEgressBlocked",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition=f"""
            danewatch_egress_ok == 0
            and {_ON} max by ({INSTANCE}) (danewatch_egress_ok) == 1
            """,
            wait="15m",
            about=("family",),
            summary="danewatch {{ $labels.instance }} reaches no mail server over "
            "{{ $labels.family }}.",
            description="The other address family works.",
            meaning="",
            remedy="",
        ),
        Alert(
            name="DanewatchClockWrong",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition="danewatch_clock_ok == 0",
            wait="5m",
            summary="The clock of danewatch {{ $labels.instance }} is wrong.",
            description="Signatures of well-kept zones are not valid at the time it shows.",
            meaning="With a wrong clock good signatures and certificates look expired, or expired "
            "ones good. danewatch judges nothing until it is right.",
            remedy="Repair time synchronisation (chrony, systemd-timesyncd) on the machine.",
        ),
        Alert(
            name="DanewatchCanaryFailing",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition="danewatch_canary_ok == 0",
            wait="10m",
            about=("canary",),
            summary="The canary {{ $labels.canary }} fails.",
            description="It is known to be good, so either danewatch cannot see, or the canary is "
            "ill itself.",
            meaning="A canary is a domain or mail server of your own that must always be found "
            "good. It is the last self-test: it goes the whole way a partner's check goes.",
            remedy="`danewatch check` on the canary. If it is really broken, you have found a "
            "fault of your own mail.",
        ),
    ],
)

PACE = Group(
    name="danewatch-pace",
    rules=[
        Alert(
            name="DanewatchStale",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition=f"""
            instance:danewatch_domain_stale:ratio > 0.05
            {_SEEN_FOR_AN_HOUR.strip()}
            """,
            wait="30m",
            summary="{{ $value | humanizePercentage }} of the domains of {{ $labels.instance }} "
            "were not checked for two intervals.",
            description="What the dashboards show of them is old.",
            meaning="danewatch runs and sees, and still does not get round to its domains.",
            remedy="See DanewatchLagging. If nothing lags, look for a domain that holds up others "
            "in the log at level debug.",
        ),
        Alert(
            name="DanewatchLagging",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition=f"""
            time() - danewatch_scheduler_oldest_due_timestamp_seconds > 900
            {_SEEING}
            """,
            wait="15m",
            summary="danewatch {{ $labels.instance }} is {{ $value | humanizeDuration }} late with "
            "its checks.",
            description="More is due than gets done.",
            meaning="The oldest due check waits for longer than a quarter of an hour: too many "
            "domains for the limits in force, or peers that take very long.",
            remedy="Raise the number of domains in flight, lengthen the interval, or split the "
            "targets over several danewatch. The dashboard danewatch / scanner shows what takes "
            "the time.",
        ),
        Alert(
            name="DanewatchEventLoopLag",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition=f"""
            histogram_quantile(
              0.99, sum by ({INSTANCE}, le) (rate(danewatch_event_loop_lag_seconds_bucket[5m]))
            ) > 0.25
            """,
            wait="15m",
            summary="The event loop of danewatch {{ $labels.instance }} stalls.",
            description="99 of 100 wake-ups are late by up to {{ $value | humanizeDuration }}; "
            "time limits of checks may be hit by danewatch itself.",
            meaning="The machine has too little processor time for what it does.",
            remedy="Give it more, or scrape less often. Timings in the history are not to be "
            "trusted meanwhile.",
        ),
        Alert(
            name="DanewatchTaskCrashing",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="increase(danewatch_task_crashes_total[1h]) > 0",
            wait="0m",
            about=("component",),
            summary="The {{ $labels.component }} of danewatch {{ $labels.instance }} crashed.",
            description="It was started again. This is a bug in danewatch.",
            meaning="A part of the service ended in a way that nobody foresaw.",
            remedy="The log has the traceback. Please report it.",
        ),
        Alert(
            name="DanewatchExpositionTruncated",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="danewatch_exposition_truncated == 1",
            wait="5m",
            summary="danewatch {{ $labels.instance }} shows only a part of its results.",
            description="There are more series than `http.max_series` allows; those of MX hosts "
            "are left out first, and alerts about them cannot fire.",
            meaning="The bound that protects Prometheus has been reached.",
            remedy="Raise `http.max_series`, or split the targets over several danewatch.",
        ),
    ],
)

KEEPING = Group(
    name="danewatch-keeping",
    rules=[
        Alert(
            name="DanewatchStateNotKept",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            condition="increase(danewatch_state_write_failures_total[15m]) > 0",
            wait="5m",
            summary="danewatch {{ $labels.instance }} cannot write its state.",
            description="It goes on and tries again; what it found since then would be lost if it "
            "were killed now.",
            meaning="The state file cannot be written: disk full, directory read-only, or a fault "
            "of the disk.",
            remedy="Make room or repair the permissions at `state.file`.",
        ),
        Alert(
            name="DanewatchHistoryFailing",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition=f"""
            danewatch_history_writing == 0
            or {_ON}
            increase(danewatch_history_write_failures_total[15m]) > 0
            or {_ON}
            time() - danewatch_history_last_write_timestamp_seconds > 7200
            and {_ON} danewatch_history_pending_rows > 0
            """,
            wait="15m",
            summary="danewatch {{ $labels.instance }} cannot write its history.",
            description="Rows wait in the state file, and nothing is lost while that has room.",
            meaning="The history directory cannot be written, or has not been for two hours "
            "although rows are waiting.",
            remedy="Make room or repair the permissions at `history.directory`. What waits is "
            "written by itself then.",
        ),
        Alert(
            name="DanewatchConfigReloadFailed",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="danewatch_config_last_reload_successful == 0",
            wait="5m",
            summary="danewatch {{ $labels.instance }} refused its new configuration.",
            description="It goes on with the old one.",
            meaning="The configuration file has an error. A restart would fail.",
            remedy="`danewatch config check FILE` names line and reason.",
        ),
        Alert(
            name="DanewatchTargetsRefused",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="danewatch_targets_shrink_refused == 1",
            wait="5m",
            summary="danewatch {{ $labels.instance }} refused a much shorter target list.",
            description="It goes on with the old list until the new one is confirmed.",
            meaning="The new list lacks more domains than `targets.max_shrink_percent` allows; "
            "half a file looks like that.",
            remedy="If it is meant, reload: SIGHUP, or POST to `/-/reload`. Else repair the list.",
        ),
        Alert(
            name="DanewatchTargetsDropped",
            severity=Severity.WARNING,
            scope=Scope.SCANNER,
            condition="danewatch_targets < 0.9 * max_over_time(danewatch_targets[1h])",
            wait="5m",
            summary="danewatch {{ $labels.instance }} watches far fewer domains than an hour ago.",
            description="{{ $value }} are left.",
            meaning="A tenth or more of the targets went away within an hour, by a reload or at a "
            "start.",
            remedy="If it was not meant, restore the target list. It ends by itself after an hour.",
        ),
        Alert(
            name="DanewatchShardMissing",
            severity=Severity.CRITICAL,
            scope=Scope.SCANNER,
            about=("shard",),
            condition="""
                danewatch_shards
                > on (job) group_left ()
                count by (job) (count by (job, shard) (danewatch_shards))
            """,
            wait="15m",
            summary="Of {{ $value }} shares of the targets at least one is watched by nobody.",
            description="Share {{ $labels.shard }} is here; others of this job are not.",
            meaning="Several danewatch share one list (`--shard I/N`), and Prometheus sees fewer "
            "of them than there should be.",
            remedy="Start the missing one, or start all with the right N. Each needs a scrape "
            "target of the same job.",
        ),
        Alert(
            name="DanewatchTargetProblems",
            severity=Severity.INFO,
            scope=Scope.SCANNER,
            condition="danewatch_targets_load_problems > 0",
            wait="15m",
            summary="{{ $value }} line(s) of the target lists of {{ $labels.instance }} cannot be "
            "used.",
            description="The rest is watched.",
            meaning="Some lines are no domain names, or cannot be read.",
            remedy="`danewatch targets check FILE` names each with its reason.",
        ),
    ],
)
