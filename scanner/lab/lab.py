"""A small Internet on loopback: open it, ask its resolver, probe its mail hosts, break things.

    async with open_lab(scenario_plan(now)) as lab:
        lab.resolver, lab.smtp_port, lab.trust_anchor

Everything runs in the caller's trio loop and is gone when the block ends. Addresses are loopback
only and ports are whatever is free.
"""

import resource
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from scanner.lab.faults import Effect, NamedFault, break_domain
from scanner.lab.mailhost import MailHosts, MailLog, open_mail_hosts
from scanner.lab.nameserver import ADDRESS, NameServer, open_name_server
from scanner.lab.plan import Fault, LabDomain, LabPlan
from scanner.lab.responder import QueryLog, ResolverMode, Responder
from scanner.lab.universe import Universe
from scanner.model.names import Name

SPARE_FILES = 1024  # descriptors for sessions, beside one for each mail host


class Lab:
    """A running lab."""

    def __init__(
        self,
        plan: LabPlan,
        universe: Universe,
        responder: Responder,
        server: NameServer,
        hosts: MailHosts,
    ) -> None:
        self.plan = plan
        self.universe = universe
        self._responder = responder
        self._server = server
        self._hosts = hosts
        self._faults: dict[Name, tuple[Fault, ...]] = {
            domain.name: domain.faults for domain in plan.domains if domain.faults
        }
        self.domains: Mapping[Name, LabDomain] = {domain.name: domain for domain in plan.domains}
        self._apply()

    @property
    def resolver(self) -> tuple[str, int]:
        """Address and port of the name server, UDP and TCP."""
        return ADDRESS, self._server.port

    @property
    def smtp_port(self) -> int:
        """The port of every mail host."""
        return self._hosts.port

    @property
    def trust_anchor(self) -> str:
        """The root's trust anchor in presentation form: one DS record."""
        return trust_anchor_text(self.universe)

    @property
    def query_log(self) -> QueryLog:
        """What was asked."""
        return self._responder.log

    @property
    def mail_log(self) -> MailLog:
        """What the mail hosts saw."""
        return self._hosts.log

    def set_fault(self, domain: Name, *faults: Fault) -> None:
        """Make ``faults`` the only ones of ``domain``, in place of those it began with."""
        self._faults[domain] = faults
        self._apply()

    def break_domain(self, domain: Name, name: NamedFault) -> Effect:
        """Break ``domain`` by a named fault; return what a correct scanner must find then."""
        effect = break_domain(self.plan, self.domains[domain], name)
        self.set_fault(domain, *effect.faults)
        return effect

    def clear_fault(self, domain: Name) -> None:
        """Repair ``domain``."""
        self._faults.pop(domain, None)
        self._apply()

    def set_resolver_mode(self, mode: ResolverMode) -> None:
        """Change how the resolver behaves as a whole."""
        self._responder.set_mode(mode)

    def set_latency(self, seconds: float) -> None:
        """Delay every DNS reply."""
        self._server.latency_seconds = seconds

    def _apply(self) -> None:
        active = [fault for faults in self._faults.values() for fault in faults]
        self.universe.set_faults(active)
        self._hosts.set_faults(active)
        self._responder.clear_cache()


@asynccontextmanager
async def open_lab(plan: LabPlan, *, smtp_port: int | None = None) -> AsyncIterator[Lab]:
    """Run the lab of ``plan`` until the block ends.

    The mail hosts are on ``smtp_port``, or on a port that is free.
    Raises OSError when no port can be had on every address. What the block raises comes out as it
    is, not wrapped in a group.
    """
    _raise_file_limit(len(plan.mail_hosts) + SPARE_FILES)
    universe = Universe(plan.zones, plan.now)
    responder = Responder(universe)
    try:
        async with (
            trio.open_nursery() as nursery,
            open_name_server(responder, nursery) as server,
            open_mail_hosts(plan.mail_hosts, nursery, port=smtp_port) as hosts,
        ):
            try:
                yield Lab(plan, universe, responder, server, hosts)
            finally:
                # Before any socket closes, so that no task sees its socket vanish.
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        only = group.exceptions[0]
    else:
        return
    raise only


def trust_anchor_text(universe: Universe) -> str:
    """Return the DS of the root zone's key-signing key, one line."""
    ds = universe.anchor()
    return f". IN DS {ds.to_text()}\n"


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
