"""The options shared by the commands that look at the world, and the settings they add up to.

An option on the command line wins over the configuration file, which wins over the defaults. This
module is imported for ``--help``, so that everything heavy is imported where it is used.
"""

import errno
import math
import os
import re
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.errors import CommandError
from scanner.cli.logs import FORMATS, LEVELS
from scanner.model.policy import MAX_WORKERS
from scanner.model.vocabulary import Profile, ValidationMode

if TYPE_CHECKING:
    from scanner.cli.wiring import Settings
    from scanner.config import Config
    from scanner.model.dnssec import Anchor
    from scanner.model.names import Name
    from scanner.model.policy import Policy
    from scanner.observe.dnsserver import ServerAddress
    from targets.shard import Shard

    _MomentType = click.ParamType[datetime]
    _NameType = click.ParamType[Name]
    _ServerType = click.ParamType[ServerAddress]
    _ShardType = click.ParamType[Shard]
else:
    _MomentType = _NameType = _ServerType = _ShardType = click.ParamType

_Function = TypeVar("_Function", bound=Callable[..., Any])


EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""What ``--at`` may be: beyond, lifetimes and warnings would lead out of the calendar."""


class Moment(_MomentType):
    """RFC 3339, or seconds since 1970; the result is in UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment; anything without a time zone is refused."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
                moment = datetime.fromtimestamp(float(text), UTC)
            else:
                moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                self.fail(f"{text!r} has no time zone; end it with Z for UTC", param, ctx)
            if not EARLIEST <= moment < LATEST:
                self.fail(f"{text!r} is not between the years 1970 and 9000", param, ctx)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{text[:40]!r} is neither RFC 3339, as in 2026-11-24T12:00:00Z, nor seconds",
                param,
                ctx,
            )


class Server(_ServerType):
    """ADDR or ADDR:PORT."""

    name = "server"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "ServerAddress":
        """Return the address and port."""
        from scanner.observe.dnsserver import InvalidServerError, ServerAddress, parse_server

        if isinstance(value, ServerAddress):
            return value
        try:
            return parse_server(str(value)[:100])
        except InvalidServerError as error:
            self.fail(str(error), param, ctx)


class AnyName(_NameType):
    """A domain name."""

    name = "name"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Name":
        """Return the name in its normal form."""
        from scanner.model.names import InvalidNameError, parse_any_name

        try:
            return parse_any_name(str(value))
        except InvalidNameError as error:
            self.fail(str(error), param, ctx)


class ShardOf(_ShardType):
    """One share of the targets, as I/N."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Shard":
        """Return the share."""
        from targets.shard import Shard, parse_shard

        if isinstance(value, Shard):
            return value
        try:
            return parse_shard(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class WorkerCount(click.IntRange):
    """How many worker processes; 0 for as many as there are processors."""

    name = "whole number"

    def __init__(self) -> None:
        super().__init__(0, MAX_WORKERS)


class _Whole(click.IntRange):
    """A whole number; only named so that messages are sentences."""

    name = "whole number"


class _Number(click.FloatRange):
    """A number, likewise; ``nan`` would pass every comparison with a bound."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


_SCANNER_OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="One JSON document a line, nothing else."),
    click.option(
        "--resolver",
        "resolvers",
        type=Server(),
        multiple=True,
        metavar="ADDR[:PORT]",
        help="A validating resolver; may be repeated.  [default: those of /etc/resolv.conf]",
    ),
    click.option(
        "--validation",
        type=click.Choice([mode.value for mode in ValidationMode]),
        help="Who validates DNSSEC: danewatch itself, or the resolver.  [default: local]",
    ),
    click.option(
        "--trust-anchor",
        metavar="FILE",
        help="DS or DNSKEY records, for local validation.  [default: the root's, built in]",
    ),
    click.option(
        "--known-bogus",
        type=AnyName(),
        multiple=True,
        metavar="NAME",
        help="A name that is broken on purpose: a resolver that accepts it is not believed."
        " May be repeated.",
    ),
    click.option(
        "--profile",
        type=click.Choice([profile.value for profile in Profile]),
        help="Whose rules decide the exit code; both verdicts are shown."
        "  [default: exchange-online]",
    ),
    click.option(
        "--smtp-port",
        type=_Whole(1, 65_535),
        metavar="PORT",
        help="Port to contact mail servers on.  [default: 25]",
    ),
    click.option(
        "--timeout",
        type=_Number(1, 3_600),
        metavar="SECONDS",
        help="Time for one whole domain.  [default: 120]",
    ),
    click.option(
        "--allow-private-addresses",
        is_flag=True,
        default=None,
        help="Contact MX addresses in special-purpose ranges too; for a laboratory.",
    ),
    click.option(
        "--at",
        type=Moment(),
        metavar="TIME",
        help="Judge certificates and signatures as of this time: RFC 3339, or seconds.",
    ),
    click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="Configuration file (TOML); options given here win over it.",
    ),
    click.option("--no-color", is_flag=True, help="No colour (so does NO_COLOR)."),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        default="warning",
        show_default=True,
        help="Least severe log records to show, on standard error.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        default="console",
        show_default=True,
        help="Form of log records.",
    ),
)


def scanner_options(function: _Function) -> _Function:
    """Add the common options to a command; ``Options.take`` collects their values."""
    for option in reversed(_SCANNER_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The values of the common options; None where not given."""

    as_json: bool
    resolvers: tuple["ServerAddress", ...]
    validation: str | None
    trust_anchor: str | None
    known_bogus: tuple["Name", ...]
    profile: str | None
    smtp_port: int | None
    timeout: float | None
    allow_private_addresses: bool | None
    at: datetime | None
    config_file: str | None
    no_color: bool
    log_level: str
    log_format: str

    @classmethod
    def take(cls, values: dict[str, Any]) -> "Options":
        """Return the common options, removing them from ``values``."""
        return cls(**{name: values.pop(name) for name in cls.__dataclass_fields__})


def read_config(options: Options) -> "Config":
    """Return the configuration named by ``--config``, or the defaults.

    Raises CommandError with every mistake in the file, each on a line.
    """
    from scanner.config import Config, ConfigError, load_config

    if options.config_file is None:
        return Config()
    try:
        return load_config(options.config_file)
    except ConfigError as error:
        raise CommandError("\n".join(["wrong configuration", str(error)])) from error


def settings_from(options: Options, config: "Config") -> "Settings":
    """Return what a scanner is built from.

    Raises CommandError for trust anchors that cannot be read, and where no resolver is known.
    """
    mode = ValidationMode(options.validation) if options.validation else config.validation.mode
    anchors = _anchors(options, config)
    servers = _resolvers(options, config)
    from scanner.cli.wiring import Settings
    from scanner.judge.dnssec.policy import DnssecPolicy
    from scanner.model.names import Name
    from scanner.model.policy import RoutingLimits
    from scanner.observe.dnsserver import DnsLimits
    from scanner.observe.smtp import ProbeLimits
    from scanner.run.engine import EngineLimits
    from scanner.run.probes import SharingLimits

    allow_private = options.allow_private_addresses
    return Settings(
        resolvers=servers,
        validation=mode,
        anchors=anchors,
        dnssec_policy=DnssecPolicy(sha1=config.validation.sha1, sha1_ds=config.validation.sha1_ds),
        policy=policy_from(options, config),
        smtp_port=options.smtp_port or config.smtp.port,
        ehlo_name=config.smtp.ehlo_name or own_host_name(),
        timeout_seconds=options.timeout or config.limits.domain_timeout_seconds,
        allow_private_addresses=(
            config.smtp.allow_private_addresses if allow_private is None else allow_private
        ),
        name_server_port=config.validation.name_server_port,
        both_algorithms=config.smtp.both_algorithms,
        judge_at=options.at,
        workers=workers_of(config.limits.workers),
        known_bogus=options.known_bogus
        or tuple(Name(name) for name in config.self_test.known_bogus),
        canary_mx=tuple(Name(name) for name in config.self_test.canary_mx),
        dns_limits=DnsLimits(
            try_timeout_seconds=config.resolver.try_timeout_seconds,
            tries=config.resolver.tries,
            total_timeout_seconds=config.resolver.total_timeout_seconds,
            max_in_flight=config.resolver.lookups_in_flight,
            min_in_flight=config.resolver.least_lookups_in_flight,
        ),
        probe_limits=ProbeLimits(
            connect_seconds=config.smtp.connect_timeout_seconds,
            greeting_seconds=config.smtp.greeting_timeout_seconds,
            reply_seconds=config.smtp.reply_timeout_seconds,
            handshake_seconds=config.smtp.handshake_timeout_seconds,
            total_seconds=config.smtp.total_timeout_seconds,
            other_pause_seconds=max(
                ProbeLimits().other_pause_seconds, config.limits.seconds_between_probes or 0.0
            ),
        ),
        sharing_limits=SharingLimits(
            max_concurrent=config.limits.probes_in_flight,
            max_slow=config.limits.slow_probes_in_flight,
            slow_after_seconds=config.limits.slow_after_seconds,
            max_per_network=config.limits.probes_per_network,
            min_gap_seconds=config.limits.seconds_between_probes,
            network_per_second=config.limits.probes_per_network_per_second,
            operator_per_second=config.limits.probes_per_operator_per_second,
        ),
        engine_limits=EngineLimits(
            domains_in_flight=config.limits.domains_in_flight,
            slow_domains_in_flight=config.limits.slow_domains_in_flight,
            slow_after_seconds=config.limits.slow_after_seconds,
            blind_patience_seconds=config.limits.blind_patience_seconds,
        ),
        routing_limits=RoutingLimits(
            max_mx_hosts=config.limits.mx_hosts,
            max_addresses_per_host=config.limits.addresses_per_host,
        ),
    )


def workers_of(wanted: int) -> int:
    """Return how many processes look and judge; 0 means as many as may run at a time."""
    return wanted or len(os.sched_getaffinity(0))


def policy_from(options: Options, config: "Config") -> "Policy":
    """Return the Policy that the file and the command line choose."""
    from datetime import timedelta

    from scanner.model.policy import Policy

    return Policy(
        profile=Profile(options.profile) if options.profile else config.policy.profile,
        scenario1_scope=config.policy.scenario1_scope,
        code_set=config.policy.code_set,
        mandatory=config.policy.mandatory,
        dane_on_insecure_mx=config.policy.dane_on_insecure_mx,
        digest_agility=config.policy.digest_agility,
        expiry_warning=timedelta(days=config.policy.expiry_warning_days),
    )


def _anchors(options: Options, config: "Config") -> "tuple[Anchor, ...]":
    """Return the anchors of the file that is named, or the root's."""
    from scanner.judge.dnssec.anchors import (
        MAX_ANCHOR_FILE_CHARACTERS,
        ROOT_ANCHOR,
        InvalidAnchorError,
        read_anchors,
    )

    file = config.validation.trust_anchor if options.trust_anchor is None else options.trust_anchor
    if file is None:
        return (ROOT_ANCHOR,)
    try:
        with open(file, encoding="utf-8", opener=_open_at_once) as stream:
            text = stream.read(MAX_ANCHOR_FILE_CHARACTERS + 1)
        return read_anchors(text, source=str(file))
    except OSError as error:
        raise CommandError(f"{file}: {os.strerror(error.errno or errno.EIO).lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"wrong trust anchors: {file}: not text in UTF-8") from error
    except InvalidAnchorError as error:
        raise CommandError(f"wrong trust anchors: {error}") from error


def _open_at_once(file: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is refused, not waited for."""
    descriptor = os.open(file, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of a directory, open() says so itself
        return descriptor
    os.close(descriptor)
    raise CommandError(f"{file}: not a regular file")


def _resolvers(options: Options, config: "Config") -> "tuple[ServerAddress, ...]":
    from scanner.cli.resolvconf import RESOLV_CONF, read_name_servers
    from scanner.observe.dnsserver import ServerAddress, parse_server

    if options.resolvers:
        return options.resolvers
    if config.resolver.servers:
        return tuple(parse_server(server) for server in config.resolver.servers)
    found = tuple(ServerAddress(address) for address in read_name_servers())
    if not found:
        raise CommandError(
            f"no resolver: {RESOLV_CONF} names none. Run a validating resolver such as unbound "
            "on this machine, or name one with --resolver"
        )
    return found


def own_host_name() -> str:
    """Return this machine's host name where it is a full one, else ``localhost``.

    The name is only what the machine calls itself; no lookup is made.
    """
    from scanner.model.names import InvalidNameError, parse_domain

    try:
        return parse_domain(socket.gethostname())
    except InvalidNameError:
        return "localhost"
