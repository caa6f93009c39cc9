"""The options of ``danewatch scan --engine dask``, and the step from them to a pass.

Imported for ``--help``: everything of Dask is imported where it is used.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.errors import CommandError
from scanner.cli.options import Options, settings_from

if TYPE_CHECKING:
    from scanner.cli.wiring import Settings
    from scanner.config import Config
    from scanner.distributed.cluster import Access
    from scanner.model.ports import Target
    from scanner.model.vocabulary import DomainVerdict
    from targets.shard import Shard

_Function = TypeVar("_Function", bound=Callable[..., Any])

LOCAL, DASK = "local", "dask"

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice([LOCAL, DASK]),
        default=LOCAL,
        show_default=True,
        help="Where the pass is made: by this machine, or by a Dask cluster.",
    ),
    click.option(
        "--scheduler",
        metavar="tls://HOST:PORT",
        help="The scheduler of the cluster.",
    ),
    click.option(
        "--pass-id",
        metavar="NAME",
        help="Name of the pass, for a job that may be begun twice: what is done stays done.",
    ),
    click.option("--tls-ca", metavar="FILE", help="The CA of the cluster, PEM."),
    click.option("--tls-cert", metavar="FILE", help="Our own certificate for the cluster, PEM."),
    click.option("--tls-key", metavar="FILE", help="The key of that certificate, PEM."),
    click.option(
        "--plaintext-scheduler",
        is_flag=True,
        help="Allow a scheduler without TLS (tcp://); whoever reaches it runs anything there.",
    ),
)


def dask_options(function: _Function) -> _Function:
    """Add the options to a command; ``DaskOptions.take`` collects their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True, slots=True)
class DaskOptions:
    """Their values; None where not given."""

    engine: str
    scheduler: str | None
    pass_id: str | None
    tls_ca: str | None
    tls_cert: str | None
    tls_key: str | None
    plaintext_scheduler: bool

    @classmethod
    def take(cls, values: dict[str, Any]) -> "DaskOptions":
        """Return the options, removing them from ``values``; one without its engine is refused."""
        taken = cls(**{name: values.pop(name) for name in cls.__dataclass_fields__})
        if taken.engine != DASK:
            for name in cls.__dataclass_fields__:
                if name != "engine" and getattr(taken, name):
                    raise CommandError(f"--{name.replace('_', '-')} needs --engine {DASK}")
        return taken

    @property
    def wants_cluster(self) -> bool:
        """Whether the pass is made by a cluster."""
        return self.engine == DASK

    def access(self, config: "Config") -> "Access":
        """Return how to get at the cluster. Raises CommandError."""
        if find_spec("distributed") is None:
            raise CommandError(
                "--engine dask needs Dask distributed: pip install 'danewatch[dask]', here, on "
                "the scheduler and on every worker"
            )
        from scanner.distributed.cluster import Access

        scheduler = self.scheduler or config.dask.scheduler
        if scheduler is None:
            raise CommandError("name the cluster with --scheduler tls://host:port")
        return Access(
            scheduler=scheduler,
            ca=self.tls_ca or config.dask.tls_ca,
            certificate=self.tls_cert or config.dask.tls_certificate,
            key=self.tls_key or config.dask.tls_key,
            plaintext=self.plaintext_scheduler or config.dask.plaintext,
        )


def scan_on_cluster(
    dask: DaskOptions,
    options: Options,
    config: "Config",
    *,
    targets: "Iterable[Target]",
    shard: "Shard | None",
    output: str,
    resume: bool,
    fail_on: "frozenset[DomainVerdict]",
    say: Callable[[str], None],
) -> int:
    """Make the pass on the cluster and return the exit code. Raises CommandError."""
    access = dask.access(config)
    from scanner.cli.scan_dask import DaskScan, run
    from scanner.distributed.conductor import ConductorLimits

    return run(
        DaskScan(
            targets=tuple(targets),
            shard=shard,
            output=output,
            resume=resume,
            pass_id=dask.pass_id,
            fail_on=fail_on,
            access=access,
            limits=ConductorLimits(
                shard_domains=config.dask.shard_domains, group_probes=config.dask.group_probes
            ),
            settings=_settings(options, config),
            config=config,
            no_color=options.no_color,
        ),
        say=say,
    )


def _settings(options: Options, config: "Config") -> "Settings":
    """Return the settings for all workers; with no resolver named, each asks its own."""
    from scanner.observe.dnsserver import ServerAddress

    if options.resolvers or config.resolver.servers:
        return replace(settings_from(options, config), workers=1)
    stand_in = replace(options, resolvers=(ServerAddress("127.0.0.1"),))
    return replace(settings_from(stand_in, config), resolvers=(), workers=1)
