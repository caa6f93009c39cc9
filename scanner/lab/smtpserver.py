"""One SMTP session of a lab mail host, good or misbehaving as its plan says (RFC 5321, RFC 3207).

Rules: the host takes no mail; every command is logged; every session ends by itself within
``SESSION_SECONDS``; no behaviour holds more than one buffer of memory.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from OpenSSL import SSL

from scanner.lab.plan import Behaviour, MailHostPlan
from scanner.lab.tlsserver import Receive, Send, accept_on

SESSION_SECONDS = 900.0  # of one connection; beyond any client's patience (RFC 5321 §4.5.3.2)
MAX_LINE = 4096  # octets of one command line; RFC 5321 §4.5.3.1.4 says 512
MAX_LOGGED_COMMANDS = 1000  # for each address
LONG_LINE = 1_000_000  # octets of the over-long greeting
ENDLESS_CHUNK = b"220-and there is more to say\r\n" * 100
HANDSHAKE_FAILURE_ALERT = bytes((21, 3, 1, 0, 2, 2, 40))  # fatal handshake_failure (RFC 8446 §6)
DRIP_SECONDS = 1.0


@dataclass(slots=True)
class AddressLog:
    """What one address has seen."""

    connections: int = 0
    open_now: int = 0
    max_concurrent: int = 0
    handshakes: int = 0
    failed_handshakes: int = 0
    server_names: deque[str | None] = field(
        default_factory=lambda: deque(maxlen=MAX_LOGGED_COMMANDS)
    )
    commands: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LOGGED_COMMANDS))

    def saw_command(self, verb: str) -> bool:
        """Return whether a command beginning with ``verb`` came, in any case."""
        return any(command.upper().startswith(verb.upper()) for command in self.commands)


class _SessionOverError(Exception):
    """The session has ended as its behaviour wants; not an error."""


class Session:
    """One connection from greeting to end."""

    def __init__(
        self,
        plan: MailHostPlan,
        stream: trio.SocketStream,
        log: AddressLog,
        make_context: Callable[[], SSL.Context],
    ) -> None:
        self.plan = plan
        self._behaviour = plan.behaviour
        self._stream = stream
        self._log = log
        self._make_context = make_context
        self._send: Send = stream.send_all
        self._receive: Receive = stream.receive_some
        self._buffer = b""
        self._encrypted = False

    async def run(self) -> None:
        """Speak until the client leaves, the behaviour ends it, or time is up."""
        with trio.move_on_after(SESSION_SECONDS):
            try:
                await self._greet()
                while (line := await self._read_line()) is not None:
                    await self._obey(line)
            except (_SessionOverError, trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except SSL.Error:
                return

    async def _greet(self) -> None:
        host = self.plan.hostname.encode()
        scripted = _GREETINGS.get(self._behaviour)
        if scripted is not None:
            await scripted(self)
            return
        await self._send(b"220 " + host + b" ESMTP lab\r\n")

    async def _obey(self, line: bytes) -> None:
        text = line.decode("ascii", "replace").strip()
        self._log.commands.append(text[:200])
        verb = text.split(" ")[0].upper()
        match verb:
            case "EHLO":
                await self._ehlo()
            case "HELO":
                await self._send(b"250 " + self.plan.hostname.encode() + b"\r\n")
            case "STARTTLS":
                await self._starttls()
            case "QUIT":
                await self._send(b"221 2.0.0 bye\r\n")
                raise _SessionOverError
            case "NOOP" | "RSET":
                await self._send(b"250 2.0.0 ok\r\n")
            case "MAIL" | "RCPT" | "DATA":
                await self._send(b"550 5.7.1 this host takes no mail\r\n")
            case _:
                await self._send(b"502 5.5.2 what?\r\n")

    async def _ehlo(self) -> None:
        if self._behaviour is Behaviour.EHLO_421:
            await self._send(b"421 4.3.2 too many connections\r\n")
            raise _SessionOverError
        if self._behaviour is Behaviour.EHLO_REJECTED:
            await self._send(b"502 5.5.1 command not implemented\r\n")
            return
        if self._behaviour is Behaviour.EHLO_SILENT:
            return
        lines = [self.plan.hostname, "PIPELINING", "SIZE 10485760", *self._tls_keyword()]
        lines.append("8BITMIME")
        reply = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        await self._send("".join(f"{line}\r\n" for line in reply).encode())

    def _tls_keyword(self) -> list[str]:
        match self._behaviour:
            case _ if self._encrypted:
                return []  # RFC 3207 §4.2: not offered again
            case Behaviour.NO_STARTTLS:
                return []
            case Behaviour.XSTARTTLS:
                return ["XSTARTTLS", "HELP STARTTLS", "STARTTLSX"]
            case Behaviour.LOWERCASE_STARTTLS:
                return ["starttls"]
            case _:
                return ["STARTTLS"]

    async def _starttls(self) -> None:
        scripted = _STARTTLS_REPLIES.get(self._behaviour)
        if self._behaviour in (Behaviour.NO_STARTTLS, Behaviour.XSTARTTLS) or self._encrypted:
            await self._send(b"503 5.5.1 not offered\r\n")
            return
        if scripted is not None:
            await scripted(self)
            return
        ready = b"220 2.0.0 ready\r\n"
        if self._behaviour is Behaviour.PLAINTEXT_AFTER_220:
            ready += b"250-injected\r\n250 STARTTLS\r\n"
        await self._send(ready)
        await self._upgrade()

    async def _upgrade(self) -> None:
        server = accept_on(self._make_context(), self._stream.send_all, self._stream.receive_some)
        early, self._buffer = self._buffer, b""
        try:
            up = await server.handshake(early)
        finally:
            self._log.server_names.append(server.server_name)
        if not up:
            self._log.failed_handshakes += 1
            raise _SessionOverError
        self._log.handshakes += 1
        self._encrypted = True
        self._send, self._receive = server.send, server.receive

    async def _read_line(self) -> bytes | None:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                return None
            data = await self._receive()
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    async def say(self, reply: bytes) -> None:
        """Send a reply."""
        await self._send(reply)

    async def reply_and_end(self, reply: bytes) -> None:
        """Send a last reply and end the session."""
        await self._send(reply)
        raise _SessionOverError

    async def end_after_hello(self, reply: bytes) -> None:
        """Accept STARTTLS, read the client's first TLS octets, send ``reply`` and end.

        The hello must be read first: closing with unread octets would reset the connection and
        lose the reply.
        """
        await self._send(b"220 2.0.0 ready\r\n")
        await self._receive()
        await self.reply_and_end(reply)

    async def fall_silent(self) -> None:
        """Read and ignore everything until the client leaves."""
        while await self._receive():
            pass
        raise _SessionOverError


Script = Callable[[Session], Awaitable[None]]


def _replying(reply: bytes) -> Script:
    async def run(session: Session) -> None:
        await session.reply_and_end(reply)

    return run


def _after_hello(reply: bytes) -> Script:
    async def run(session: Session) -> None:
        await session.end_after_hello(reply)

    return run


def _going_on(reply: bytes) -> Script:
    async def run(session: Session) -> None:
        await session.say(reply)

    return run


async def _silent(session: Session) -> None:
    await session.fall_silent()


async def _silent_after_220(session: Session) -> None:
    await session.say(b"220 2.0.0 ready\r\n")
    await session.fall_silent()


async def _slow(session: Session) -> None:
    await trio.sleep(session.plan.delay_seconds)
    await session.say(b"220 " + session.plan.hostname.encode() + b" ESMTP lab\r\n")


async def _endless(session: Session) -> None:
    while True:
        await session.say(ENDLESS_CHUNK)
        await trio.lowlevel.checkpoint()


async def _drip(session: Session) -> None:
    while True:
        await session.say(b"2")
        await trio.sleep(DRIP_SECONDS)


_GREETINGS: dict[Behaviour, Script] = {
    Behaviour.CLOSED: _replying(b""),
    Behaviour.GREETING_421: _replying(b"421 4.3.2 busy, come back later\r\n"),
    Behaviour.GREETING_554: _replying(b"554 5.7.1 you are on a block list\r\n"),
    Behaviour.GREETING_NOT_SMTP: _replying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    Behaviour.GREETING_MULTILINE: _going_on(b"220-hello\r\n220-and welcome\r\n220 ESMTP lab\r\n"),
    Behaviour.GREETING_SLOW: _slow,
    Behaviour.GREETING_ENDLESS: _endless,
    Behaviour.GREETING_LONG_LINE: _replying(b"220 " + b"x" * LONG_LINE + b"\r\n"),
    Behaviour.GREETING_DRIP: _drip,
}

_STARTTLS_REPLIES: dict[Behaviour, Script] = {
    Behaviour.STARTTLS_454: _going_on(b"454 4.7.0 TLS not available due to temporary reason\r\n"),
    Behaviour.STARTTLS_502: _going_on(b"502 5.5.1 command not implemented\r\n"),
    Behaviour.STARTTLS_GARBAGE: _replying(b"\x00\xff\xfegarbage without meaning\r\n"),
    Behaviour.STARTTLS_SILENT: _silent,
    Behaviour.STARTTLS_DROP: _replying(b""),
    Behaviour.TLS_ALERT: _after_hello(HANDSHAKE_FAILURE_ALERT),
    Behaviour.TLS_GARBAGE: _after_hello(b"this is no TLS record\r\n" * 4),
    Behaviour.TLS_CLOSED: _after_hello(b""),
    Behaviour.TLS_SILENT: _silent_after_220,
}
