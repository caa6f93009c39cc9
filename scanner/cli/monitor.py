"""``danewatch monitor``: the service that watches partners for years."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.errors import EXIT_OK, CommandError
from scanner.cli.logs import FORMATS, LEVELS
from scanner.cli.options import Options, ShardOf, read_config, settings_from

if TYPE_CHECKING:
    from scanner.cli.service import Loaded
    from targets.shard import Shard


@click.command("monitor", short_help="The service: periodic checks, history, metrics, alerts.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration file (TOML); needed.")
@click.option(
    "--shard",
    type=ShardOf(),
    metavar="I/N",
    help="Watch share I of N of the targets only; for several machines.",
)
@click.option("--log-level", type=click.Choice(LEVELS), help="Wins over [log] level.")
@click.option("--log-format", type=click.Choice(FORMATS), help="Wins over [log] format.")
def command(
    config_file: str | None,
    shard: "Shard | None",
    log_level: str | None,
    log_format: str | None,
) -> int:
    """Check every target periodically, record confirmed changes, serve metrics.

    Each domain is checked once an hour; a change for the worse is looked at again before it is
    believed. Changes go to the Parquet history, results to the metrics page for Prometheus, and
    both survive a crash. While danewatch itself cannot see, nothing is said about anybody.
    "danewatch config example" prints a configuration.

    SIGHUP, or POST /-/reload, reads configuration and target lists again; what is wrong changes
    nothing. SIGTERM lets checks that run finish; a second one does not.

    \b
    Examples:
      danewatch monitor --config danewatch.toml
      danewatch monitor --config danewatch.toml --shard 1/4 --log-format json

    \b
    Exit code: 0 stopped as told, 2 wrong usage or configuration, or what is
    needed cannot be opened.
    """
    if config_file is None:
        raise CommandError("name a configuration, as in: danewatch monitor --config danewatch.toml")
    load = loader(config_file)
    loaded = load()
    log = loaded.config.log
    from scanner.cli.service_open import run_service

    run_service(
        loaded,
        load=load,
        file=config_file,
        shard=shard,
        log_level=log_level or log.level.value,
        log_format=log_format or log.format.value,
    )
    return EXIT_OK


def loader(config_file: str) -> "Callable[[], Loaded]":
    """Return what reads the configuration; it raises CommandError with every mistake."""

    def load() -> "Loaded":
        from scanner.cli.service import Loaded

        options = replace(_NO_OPTIONS, config_file=config_file)
        config = read_config(options)
        if not config.targets.files:
            raise CommandError(
                f"{config_file} names no target list; add, for instance:\n"
                '  [targets]\n  files = ["/etc/danewatch/targets.d"]'
            )
        return Loaded(config=config, settings=settings_from(options, config))

    return load


_NOTHING: dict[str, Any] = dict.fromkeys(Options.__dataclass_fields__)
_NO_OPTIONS = Options(**(_NOTHING | {"as_json": False, "resolvers": (), "no_color": True}))
