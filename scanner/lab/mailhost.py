"""The mail hosts of a lab: many addresses of 127.0.0.0/8 (and ::1), one port, one listener each.

Linux takes every 127.x.y.z as its own without any set-up. The port is the same on all addresses, so
that one ``--smtp-port`` reaches them all. Behaviours of the TCP layer (refused, black hole) live
here; everything after the handshake lives in ``scanner.lab.smtpserver``.
"""

import errno
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio
from OpenSSL import SSL

from scanner.lab.plan import Behaviour, Fault, MailFault, MailHostPlan
from scanner.lab.smtpserver import AddressLog, Session
from scanner.lab.tlsserver import TlsContexts

BACKLOG = 128
BIND_ATTEMPTS = 50
OUT_OF_FILES_PAUSE = 0.1  # seconds before accepting again when file descriptors ran out
_NOT_LISTENING = frozenset({Behaviour.REFUSED})
_NOT_ACCEPTING = frozenset({Behaviour.BLACK_HOLE, Behaviour.NEVER_ACCEPTS})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class PortTakenError(OSError):
    """The shared port is not free on one of the addresses."""


@dataclass(slots=True)
class MailLog:
    """What every address has seen, by address in text."""

    addresses: dict[str, AddressLog] = field(default_factory=dict)

    def at(self, address: str) -> AddressLog:
        """Return the log of ``address``."""
        return self.addresses.setdefault(address, AddressLog())

    @property
    def connections(self) -> int:
        """All connections accepted."""
        return sum(log.connections for log in self.addresses.values())

    def clear(self) -> None:
        """Forget everything but the connections open now."""
        self.addresses = {
            address: AddressLog(open_now=log.open_now, max_concurrent=log.open_now)
            for address, log in self.addresses.items()
        }


class MailHosts:
    """All mail hosts of a lab, listening."""

    def __init__(
        self, plans: Iterable[MailHostPlan], nursery: trio.Nursery, *, wanted_port: int | None
    ) -> None:
        self._plans = {plan.address: plan for plan in plans}
        self._current = dict(self._plans)
        self._nursery = nursery
        self._contexts = TlsContexts()
        self._made: dict[str, SSL.Context] = {}
        self._listeners: dict[str, trio.SocketListener] = {}
        self._idle: dict[str, list[socket.socket]] = {}
        self.log = MailLog()
        self._wanted_port = wanted_port
        self.port = 0

    @property
    def current(self) -> Mapping[str, MailHostPlan]:
        """The plan of each address with active faults applied."""
        return self._current

    def start(self) -> None:
        """Find a port that is free everywhere, or take the one wanted, and listen on every address.

        Raises OSError when there is none.
        """
        for _ in range(BIND_ATTEMPTS if self._wanted_port is None else 1):
            self.port = _free_port() if self._wanted_port is None else self._wanted_port
            try:
                for address in self._plans:
                    self._open(address)
            except PortTakenError:
                self.stop()
                continue
            return
        raise OSError("no port is free on all mail host addresses")

    def stop(self) -> None:
        """Stop listening; sessions in progress are left to the nursery."""
        for address in list(self._plans):
            self._shut(address)

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Make exactly the mail faults among ``faults`` active, the later ones on top."""
        wanted = dict(self._plans)
        for fault in faults:
            if isinstance(fault, MailFault):
                wanted[fault.address] = _with_fault(wanted[fault.address], fault)
        for address, plan in wanted.items():
            before = self._current[address]
            if plan == before:
                continue
            self._current[address] = plan
            self._made.pop(address, None)
            if _listening_class(plan) != _listening_class(before):
                self._shut(address)
                self._open(address)

    def _open(self, address: str) -> None:
        plan = self._current[address]
        if plan.behaviour in _NOT_LISTENING:
            return
        black_hole = plan.behaviour is Behaviour.BLACK_HOLE
        server = _listen(address, self.port, 0 if black_hole else BACKLOG)
        if plan.behaviour in _NOT_ACCEPTING:
            self._idle[address] = [server]
            if black_hole:
                self._idle[address].append(_fill_queue(address, self.port))
            return
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(server))
        self._listeners[address] = listener
        self._nursery.start_soon(self._accept, address, listener)

    def _shut(self, address: str) -> None:
        if address in self._listeners:
            self._listeners.pop(address).socket.close()  # ends the accepting task
        for sock in self._idle.pop(address, []):
            sock.close()

    async def _accept(self, address: str, listener: trio.SocketListener) -> None:
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError:
                await trio.sleep(OUT_OF_FILES_PAUSE)
                continue
            self._nursery.start_soon(self._serve, address, stream)

    async def _serve(self, address: str, stream: trio.SocketStream) -> None:
        plan = self._current[address]
        log = self.log.at(address)
        log.connections += 1
        log.open_now += 1
        log.max_concurrent = max(log.max_concurrent, log.open_now)
        try:
            async with stream:
                if plan.behaviour is Behaviour.RESET:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    return
                await Session(plan, stream, log, lambda: self._context(address)).run()
        finally:
            self.log.at(address).open_now -= 1

    def _context(self, address: str) -> SSL.Context:
        if address not in self._made:
            self._made[address] = self._contexts.for_host(self._current[address])
        return self._made[address]


@asynccontextmanager
async def open_mail_hosts(
    plans: Iterable[MailHostPlan], nursery: trio.Nursery, *, port: int | None = None
) -> AsyncIterator[MailHosts]:
    """Serve ``plans`` until the block ends, on a free port unless one is given."""
    hosts = MailHosts(plans, nursery, wanted_port=port)
    hosts.start()
    try:
        yield hosts
    finally:
        hosts.stop()


def has_ipv6_loopback() -> bool:
    """Return whether this machine can listen on ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _with_fault(plan: MailHostPlan, fault: MailFault) -> MailHostPlan:
    if fault.chain is not None:
        plan = replace(plan, chain=fault.chain, second_chain=None, sni_chains=())
    return replace(plan, behaviour=fault.behaviour or plan.behaviour, tls=fault.tls or plan.tls)


def _listening_class(plan: MailHostPlan) -> Behaviour:
    special = plan.behaviour in _NOT_LISTENING | _NOT_ACCEPTING
    return plan.behaviour if special else Behaviour.GOOD


def _family(address: str) -> socket.AddressFamily:
    version = ipaddress.ip_address(address).version
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _listen(address: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket. Raises PortTakenError."""
    server = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(backlog)
    except OSError as error:
        server.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(error.errno, f"{address} port {port} is taken") from error
        raise
    return server


def _fill_queue(address: str, port: int) -> socket.socket:
    """Return a connection that fills an accept queue of length 0, so that later SYNs are dropped.

    Linux drops the SYN when more connections wait than the backlog says, and 1 > 0.
    """
    filler = socket.socket(_family(address), socket.SOCK_STREAM)
    filler.connect((address, port))
    return filler
