"""The settings of the monitoring service: schedule, self-test, state, history, page, logs."""

from enum import StrEnum

from scanner.config.declare import DomainName, ListenAddress, Path, ScannerId, Section, setting


class LogLevel(StrEnum):
    """Least severe log records that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Form of log records."""

    CONSOLE = "console"
    JSON = "json"


class TargetsSection(Section):
    """Which domains are watched."""

    files: tuple[Path, ...] = setting(
        (),
        "Target lists: files, directories or globs, relative to the configuration file.",
        shown_default="none",
        example='["/etc/danewatch/targets.d"]',
        lax=True,
    )
    watch_seconds: float = setting(
        30.0,
        "How often the service looks whether a target list has changed.",
        unit="seconds",
        at_least=1,
        at_most=86_400,
    )
    max_shrink_percent: float = setting(
        10.0,
        "A new list that lacks more than this share of the targets is refused until a reload "
        "(SIGHUP or POST /-/reload) confirms it: half a file must not end half of the checks.",
        unit="percent",
        at_least=0,
        at_most=100,
    )


class ScheduleSection(Section):
    """When the service checks a domain, and when it believes what it sees."""

    interval_seconds: float = setting(
        3_600.0,
        "How often each domain is checked; its place within the interval follows from its name.",
        unit="seconds",
        at_least=60,
        at_most=604_800,
    )
    confirm_after_min_seconds: float = setting(
        60.0,
        "The least time from a look that shows a change for the worse to the one that confirms it.",
        unit="seconds",
        at_least=0,
        at_most=86_400,
    )
    confirm_after_max_seconds: float = setting(
        900.0,
        "The most; between the two it is the TTL of the records that the change rests on.",
        unit="seconds",
        at_least=0,
        at_most=86_400,
    )
    flapping_changes: int = setting(
        6,
        "Confirmed changes within flapping_window_hours from which an entity counts as flapping; "
        "its recovery then needs a second look too.",
        at_least=2,
        at_most=100,
    )
    flapping_window_hours: float = setting(
        24.0, "The time they are counted over.", unit="hours", at_least=0.1, at_most=720
    )
    probe_fresh_seconds: float = setting(
        300.0,
        "How long the probe of a mail server serves the other domains that use it.",
        unit="seconds",
        at_least=0,
        at_most=3_600,
    )
    stop_grace_seconds: float = setting(
        30.0,
        "How long checks that run may take to finish when the service is told to stop.",
        unit="seconds",
        at_least=0,
        at_most=600,
    )


class SelfTestSection(Section):
    """How the service knows that it can see; while it cannot, checks pause and verdicts freeze."""

    interval_seconds: float = setting(
        60.0, "How often it looks at itself.", unit="seconds", at_least=5, at_most=3_600
    )
    known_bogus: tuple[DomainName, ...] = setting(
        (),
        "Names that are broken on purpose and that a validating resolver must refuse, "
        "such as dnssec-failed.org.",
        shown_default="none",
        example='["dnssec-failed.org"]',
        lax=True,
    )
    canary_domains: tuple[DomainName, ...] = setting(
        (),
        "Domains that are known to be protected, best your own; one that is not means that "
        "danewatch, not the world, is broken.",
        shown_default="none",
        example='["example.com"]',
        lax=True,
    )
    canary_mx: tuple[DomainName, ...] = setting(
        (),
        "Mail servers that are known to answer on port 25, best your own.",
        shown_default="none",
        example='["mx1.example.com"]',
        lax=True,
    )
    clock_witnesses: tuple[DomainName, ...] = setting(
        (),
        "Zones whose SOA record is signed anew many times a day, such as com and net; the times "
        "of those signatures show whether this machine's clock is right.",
        shown_default="none",
        example='["com", "net"]',
        lax=True,
    )


class StateSection(Section):
    """What a restarted service goes on from."""

    file: Path | None = setting(
        None,
        "SQLite file of the current state and of results on their way to the history, on a local "
        "disk; relative to the configuration file.",
        shown_default="state.sqlite beside the history directory",
        example='"/var/lib/danewatch/state.sqlite"',
    )


class HistorySection(Section):
    """Where results are kept."""

    directory: Path | None = setting(
        None,
        "Directory of the Parquet history, relative to the configuration file.",
        shown_default="none",
        example='"/var/lib/danewatch/history"',
    )
    scanner_id: ScannerId | None = setting(
        None,
        "The name of this scanner in the history; two that write into one directory need two.",
        shown_default="this machine's host name",
        example='"scanner-1"',
    )
    flush_seconds: float = setting(
        300.0,
        "How often the service writes what has gathered into new files.",
        unit="seconds",
        at_least=1,
        at_most=86_400,
    )
    heartbeat_hours: float = setting(
        24.0,
        "How often a domain that has not changed gets a row in domain_checks all the same, so that "
        "the history shows the absence of change; 0 keeps every check.",
        unit="hours",
        at_least=0,
        at_most=8_760,
    )
    checks_days: int = setting(
        0,
        "How long domain_checks, host_checks and zone_checks are kept; 0 keeps them for ever.",
        unit="days",
        at_least=0,
        at_most=36_500,
    )
    transitions_days: int = setting(
        0,
        "How long transitions, certificates and runs are kept; 0 keeps them for ever.",
        unit="days",
        at_least=0,
        at_most=36_500,
    )


class HttpSection(Section):
    """The service's page of metrics, its health, reload and probe."""

    listen: ListenAddress = setting(
        "127.0.0.1:9798",
        "Address and port; anything but loopback should have TLS and passwords (web_config_file).",
    )
    web_config_file: Path | None = setting(
        None,
        "TLS and basic authentication, in the form of Prometheus' web configuration file; "
        "relative to the configuration file.",
        shown_default="none: no TLS and no passwords",
        example='"/etc/danewatch/web.yml"',
    )
    open_health: bool = setting(
        False,
        "Whether /-/healthy and /-/ready answer without a password, for load balancers.",
    )
    probe_any_domain: bool = setting(
        False,
        "Whether /probe checks domains that are no targets; whoever can reach it can then send "
        "this machine anywhere.",
    )
    max_series: int = setting(
        5_000_000,
        "Series of results shown at most; beyond it those of MX hosts are left out first, and "
        "danewatch_exposition_truncated says so.",
        at_least=1_000,
        at_most=100_000_000,
    )


class LogSection(Section):
    """What the service writes to standard error."""

    level: LogLevel = setting(
        LogLevel.INFO,
        "Least severe records that are written: info has a line for each transition, debug one "
        "for each check.",
        lax=True,
    )
    format: LogFormat = setting(LogFormat.CONSOLE, "For people, or for machines.", lax=True)
