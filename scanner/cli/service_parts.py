"""Parts of the monitoring service that follow from the configuration alone."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from scanner.cli.errors import CommandError
from scanner.cli.replaceable import Replaceable
from scanner.cli.wiring import Scanner, Settings
from scanner.config import Config
from scanner.model.names import Name
from scanner.model.verdict import Check
from scanner.run.clocksanity import ClockSigns, WitnessSeen
from scanner.run.egress import EgressPolicy
from scanner.run.outflow import OutflowLimits
from scanner.run.probes import service_limits
from scanner.run.schedule import Cadence
from scanner.run.selfstatus import EgressSeen, ResolverSeen
from scanner.run.selfwatch import WatchPolicy
from scanner.transition.confirm import ConfirmationPolicy

RESTART_SETTINGS = (
    ("history", "directory"),
    ("history", "scanner_id"),
    ("history", "flush_seconds"),
    ("history", "heartbeat_hours"),
    ("state", "file"),
    ("http", "listen"),
    ("http", "web_config_file"),
    ("http", "open_health"),
    ("http", "max_series"),
    ("policy", "profile"),
    ("limits", "domains_in_flight"),
    ("limits", "slow_domains_in_flight"),
    ("limits", "slow_after_seconds"),
    ("self_test", "interval_seconds"),
    ("self_test", "canary_domains"),
)
"""Settings that a reload cannot change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where the service keeps things."""

    history: Path
    state: Path


def places_of(config: Config, file: str) -> Places:
    """Return where state and history are. Raises CommandError when the history is not named."""
    if config.history.directory is None:
        raise CommandError(
            f"{file} names no history; add, for instance:\n"
            '  [history]\n  directory = "/var/lib/danewatch/history"'
        )
    history = Path(config.history.directory)
    state = Path(config.state.file) if config.state.file else history.parent / "state.sqlite"
    return Places(history=history, state=state)


def needs_restart(old: Config, new: Config) -> tuple[str, ...]:
    """Return the changed settings that a reload cannot change, as ``section.name``."""
    return tuple(
        f"{section}.{name}"
        for section, name in RESTART_SETTINGS
        if getattr(getattr(old, section), name) != getattr(getattr(new, section), name)
    )


def service_settings(settings: Settings, config: Config, *, pace: float) -> Settings:
    """Return ``settings`` for a scanner that runs for years instead of once.

    Nothing is remembered longer than until a second look, so that the second look is one. ``pace``
    is how much faster its clock runs.
    """
    fresh = config.schedule.probe_fresh_seconds
    sharing = service_limits(settings.sharing_limits, fresh_seconds=fresh / pace)
    return replace(
        settings,
        egress_policy=EgressPolicy(),
        sharing_limits=replace(
            sharing,
            min_gap_seconds=(sharing.min_gap_seconds or 0.0) / pace,
            network_per_second=(sharing.network_per_second or 0.0) * pace,
            operator_per_second=(sharing.operator_per_second or 0.0) * pace,
        ),
        cache_limits=replace(settings.cache_limits, max_ttl=timedelta(seconds=max(fresh, 1.0))),
        clock_witnesses=tuple(Name(name) for name in config.self_test.clock_witnesses),
    )


def cadence_of(config: Config) -> Cadence:
    """Return how often domains are checked."""
    interval = timedelta(seconds=config.schedule.interval_seconds)
    return Cadence(interval=interval, catch_up=min(Cadence().catch_up, interval))


def confirmation_of(config: Config) -> ConfirmationPolicy:
    """Return what it takes to believe a look."""
    schedule = config.schedule
    least = timedelta(seconds=schedule.confirm_after_min_seconds)
    return ConfirmationPolicy(
        confirm_after_min=least,
        confirm_after_max=max(least, timedelta(seconds=schedule.confirm_after_max_seconds)),
        probe_fresh=timedelta(seconds=schedule.probe_fresh_seconds),
        flapping_changes=schedule.flapping_changes,
        flapping_window=timedelta(hours=schedule.flapping_window_hours),
    )


def outflow_limits_of(config: Config, base: OutflowLimits) -> OutflowLimits:
    """Return when what gathered is written."""
    return replace(base, flush_seconds=config.history.flush_seconds)


def watch_policy_of(config: Config, base: WatchPolicy, *, pace: float) -> WatchPolicy:
    """Return how the service looks at itself; ``pace`` is how much faster its clock runs."""
    interval = config.self_test.interval_seconds / pace
    return replace(
        base,
        interval_seconds=interval,
        blind_interval_seconds=min(base.blind_interval_seconds, interval),
        profile=config.policy.profile,
    )


class CurrentTests:
    """The self-tests of whichever scanner is in use (implements ``selfwatch.SelfTests``)."""

    def __init__(self, scanners: Replaceable[Scanner]) -> None:
        self._scanners = scanners

    async def resolvers(self) -> tuple[ResolverSeen, ...]:
        """Return what each resolver did just now."""
        async with self._scanners.use() as scanner:
            return await scanner.own_tests.resolvers()

    async def witnesses(self) -> tuple[WitnessSeen, ...]:
        """Return the newest signature of each clock witness."""
        async with self._scanners.use() as scanner:
            return await scanner.own_tests.witnesses()

    async def egress(self) -> tuple[EgressSeen, ...]:
        """Return how it stands with port 25 in each family."""
        async with self._scanners.use() as scanner:
            return await scanner.own_tests.egress()

    async def look(self, domain: Name) -> Check:
        """Return a check of ``domain`` in which nothing remembered takes part."""
        async with self._scanners.use() as scanner:
            return await scanner.own_tests.look(domain)

    def clock_signs(self) -> ClockSigns:
        """Return what the machine says about its clock."""
        return self._scanners.current.own_tests.clock_signs()

    def dates_failed(self, check: Check) -> str | None:
        """Return a sentence if ``check`` failed by the dates of signatures."""
        return self._scanners.current.own_tests.dates_failed(check)
