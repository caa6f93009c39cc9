"""The SMTP client side of a STARTTLS probe, as a machine without sockets.

Job: bytes from the server in, events out. The caller connects, sends what a ``Send`` event says,
performs the TLS handshake when ``StartHandshake`` comes, and closes. Nothing here waits.

Rules of this file:

* Only EHLO, HELO, STARTTLS and QUIT can ever be sent; there is no code for a mail transaction.
* The same bytes give the same events however they are cut into pieces.
* Whatever the server sends ends in an event: a hostile peer cannot raise an exception here, and
  cannot make the buffer grow beyond one line and one reply (``SmtpLimits``).

Theory of operation: bytes become lines, lines become replies (RFC 5321 §4.2), and each reply moves
the machine along ``_TABLE``, which is indexed by state and class of reply::

    GREETING -> EHLO -> STARTTLS -> HANDSHAKE -> EHLO_TLS -> QUIT -> CLOSED
                  \\-> HELO (EHLO refused with 5yz) -> QUIT -> CLOSED

A reply that ends the probe gives one ``Failure`` and the machine goes on to QUIT, because a client
must not just hang up (RFC 5321 §4.1.1.10); broken protocol, a bound reached or a closed connection
go straight to CLOSED. At most one ``Failure`` comes from one machine.

What is tolerated, because mail servers in the field do it and other clients accept it: lines ending
in LF alone, lines longer than 512 octets, octets above 127 and control characters in the text, a
reply code outside the ranges of the grammar (1yz, or a second digit of 6 to 9). What is not: codes
that differ within one reply (RFC 5321 §4.2 lets a client rely on them being the same).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from scanner.model.observation import ProbeError, ProbeStage
from scanner.model.record import record

MAX_EHLO_NAME_OCTETS = 255  # RFC 5321 §4.5.3.1.2


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpLimits:
    """Bounds on what one server may make us read and keep."""

    max_line_octets: int = 2_048
    """One reply line with its end. RFC 5321 §4.5.3.1.5 says 512 octets; four times that is
    tolerated, because a long line does no harm and Postfix reads 2,048 as well."""
    max_reply_lines: int = 256
    """Lines of one reply. The RFC sets no bound; real EHLO replies have fewer than 30."""
    max_session_octets: int = 65_536
    """Everything read in one session, before and after TLS. Ours: far above any real session."""
    max_transcript_lines: int = 40
    """Reply lines kept as evidence. Ours: three replies of ordinary length."""
    max_transcript_characters: int = 200
    """Characters kept of one line of evidence. Ours."""


class State(StrEnum):
    """What the machine waits for."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    """Not for bytes but for the caller: ``handshake_completed`` goes on."""
    EHLO_TLS = "ehlo-tls"
    QUIT = "quit"
    CLOSED = "closed"


@record
class Reply:
    """One whole reply (RFC 5321 §4.2): its code and the text of each line, made printable.

    ``enhanced_code`` is the enhanced status code (RFC 3463 §2) that begins the text of the first
    line that has one (RFC 2034 §4), provided its class agrees with the reply code.
    """

    code: int
    lines: tuple[str, ...]
    enhanced_code: str | None = None

    @property
    def text(self) -> str:
        """The text of all lines, joined by spaces."""
        return " ".join(line for line in self.lines if line)


@record
class Send:
    """Send ``data`` to the server, then feed what it answers."""

    data: bytes


@record
class ReplyReceived:
    """A whole reply came while the machine was in ``state``."""

    state: State
    reply: Reply


@dataclass(frozen=True, kw_only=True, slots=True)
class StartHandshake:
    """STARTTLS was accepted: do the TLS handshake, then call ``handshake_completed``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The probe cannot get further than ``stage``; ``reply`` is the one that ended it, if any."""

    stage: ProbeStage
    error: ProbeError
    detail: str
    reply: Reply | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """Nothing more will be said: close the connection."""


Event = Send | ReplyReceived | StartHandshake | Failure | Finished


class _Class(StrEnum):
    """What a reply amounts to in the state it came in."""

    READY = "ready"
    """As hoped: any 2yz (RFC 5321 §4.2.1: the first digit decides), for STARTTLS exactly 220."""
    NO_STARTTLS = "no-starttls"
    """A 2yz reply to EHLO or HELO that does not list STARTTLS."""
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    CLOSING = "closing"
    """421: the server closes the channel (RFC 5321 §3.8), so QUIT would go nowhere."""
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    to: State
    error: ProbeError | None = None


_REFUSALS: Mapping[_Class, _Step] = {
    _Class.NO_STARTTLS: _Step(to=State.QUIT, error=ProbeError.STARTTLS_NOT_OFFERED),
    _Class.TRANSIENT: _Step(to=State.QUIT, error=ProbeError.REPLY_TRANSIENT),
    _Class.PERMANENT: _Step(to=State.QUIT, error=ProbeError.REPLY_PERMANENT),
    _Class.CLOSING: _Step(to=State.CLOSED, error=ProbeError.REPLY_TRANSIENT),
    _Class.UNEXPECTED: _Step(to=State.QUIT, error=ProbeError.REPLY_UNEXPECTED),
}
_TABLE: Mapping[State, Mapping[_Class, _Step]] = {
    State.GREETING: {**_REFUSALS, _Class.READY: _Step(to=State.EHLO)},
    # RFC 5321 §3.2: a server that knows no EHLO answers 5yz, and the client falls back to HELO.
    # One that refuses *us* answers 5yz to both, and is then not mistaken for one without STARTTLS.
    State.EHLO: {
        **_REFUSALS,
        _Class.READY: _Step(to=State.STARTTLS),
        _Class.PERMANENT: _Step(to=State.HELO),
    },
    # HELO lists no extensions (RFC 5321 §4.1.1.1), so READY cannot come.
    State.HELO: {**_REFUSALS},
    State.STARTTLS: {**_REFUSALS, _Class.READY: _Step(to=State.HANDSHAKE)},
    # The certificate has been seen: the rest is good manners, and no answer changes the result.
    State.EHLO_TLS: {
        **dict.fromkeys(_Class, _Step(to=State.QUIT)),
        _Class.CLOSING: _Step(to=State.CLOSED),
    },
    State.QUIT: dict.fromkeys(_Class, _Step(to=State.CLOSED)),
}

_STAGES: Mapping[State, ProbeStage] = {
    State.GREETING: ProbeStage.GREETING,
    State.EHLO: ProbeStage.EHLO,
    State.HELO: ProbeStage.EHLO,
    State.STARTTLS: ProbeStage.STARTTLS,
    State.HANDSHAKE: ProbeStage.HANDSHAKE,
    State.EHLO_TLS: ProbeStage.DONE,
}

_PRINTABLE = bytes(
    0x20 if octet == 0x09 else octet if 0x20 <= octet <= 0x7E else 0x3F for octet in range(256)
)
REMEMBERED_LINES = 2_048
"""Lines kept as read: servers of the same make say the same."""
REMEMBERED_REPLIES = 1_024
"""Whole replies kept as read: a server says the same to both of our connections."""
MAX_REMEMBERED_REPLY_OCTETS = 1_024
"""Longer replies are read line by line, so that what is kept stays below 8 MiB."""
MAX_REMEMBERED_OCTETS = 256
"""Longer lines are read anew each time, so that what is kept stays below 2 MiB."""
_REPLY_LINE = re.compile(rb"([1-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED_CODE = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?= |$)")


class SmtpClient:
    """The client machine of one session. Feed it bytes; obey its events, in order."""

    def __init__(self, ehlo_name: str, limits: SmtpLimits | None = None) -> None:
        """Begin a session that will introduce itself as ``ehlo_name``.

        Raises ValueError for a name that is empty, too long, or not visible ASCII without spaces
        (so that no configuration can smuggle a second command into the line).
        """
        if not _is_word(ehlo_name) or len(ehlo_name) > MAX_EHLO_NAME_OCTETS:
            raise ValueError(f"not a name to say EHLO with: {ehlo_name!r}")
        self._ehlo_name = ehlo_name
        self._limits = limits or SmtpLimits()
        self._state = State.GREETING
        self._stage = ProbeStage.GREETING
        self._failed = False
        self._buffer = bytearray()
        self._session_octets = 0
        self._code: int | None = None
        self._lines: list[str] = []
        self._transcript: list[str] = []
        self._starttls_offered: bool | None = None
        self._helo_fallback = False
        self._early_octets = 0

    @property
    def state(self) -> State:
        """What the machine waits for."""
        return self._state

    @property
    def stage(self) -> ProbeStage:
        """The last step of the probe that was begun; after a failure, the one that failed."""
        return self._stage

    @property
    def starttls_offered(self) -> bool | None:
        """Whether the EHLO (or HELO) reply lists STARTTLS; None before a positive one was read."""
        return self._starttls_offered

    @property
    def helo_fallback(self) -> bool:
        """Whether EHLO was refused and HELO sent."""
        return self._helo_fallback

    @property
    def early_plaintext(self) -> bool:
        """Whether bytes came in the clear after the 220 to STARTTLS; they were discarded."""
        return self._early_octets > 0

    @property
    def pending_octets(self) -> int:
        """Octets of a line that has not ended yet; never more than ``max_line_octets``."""
        return len(self._buffer)

    @property
    def transcript(self) -> tuple[str, ...]:
        """The reply lines read before TLS, printable ASCII, bounded."""
        return tuple(self._transcript)

    def receive_data(self, data: bytes) -> tuple[Event, ...]:
        """Return what follows from ``data``; nothing once the machine is closed.

        While the machine waits for the handshake, every byte is early plaintext: a server has
        nothing to say before our ClientHello. It is counted and dropped, so that nothing said in
        the clear can pass for something said under TLS (RFC 3207 §4.2 and its §6).
        """
        events: list[Event] = []
        whole = self._whole_reply(data)
        if whole is not None:
            self._take_whole(whole, len(data), events)
            return tuple(events)
        offset = 0
        while offset < len(data) and self._state is not State.CLOSED:
            if self._state is State.HANDSHAKE:
                self._early_octets += len(data) - offset
                break
            end = data.find(b"\n", offset) + 1
            piece = data[offset : end or len(data)]
            offset += len(piece)
            if end and not self._buffer and len(piece) <= self._limits.max_line_octets:
                self._take_line(piece, events)
            else:
                self._take_piece(piece, complete=bool(end), events=events)
        return tuple(events)

    def receive_eof(self) -> tuple[Event, ...]:
        """Return what follows from the server closing the connection."""
        if self._state is State.CLOSED:
            return ()
        events: list[Event] = []
        if self._state is State.QUIT:
            self._enter(State.CLOSED, events)  # many servers answer QUIT by closing
            return tuple(events)
        awaited = "the reply to " if self._state is not State.GREETING else "the "
        partial = " in the middle of" if self._buffer or self._lines else " instead of"
        detail = f"the server closed the connection{partial} {awaited}{self._state.upper()}"
        self._fail(ProbeError.CLOSED, detail, events)
        return tuple(events)

    def handshake_completed(self) -> tuple[Event, ...]:
        """Return what to send first under TLS. RFC 3207 §4.2: all knowledge from before is void.

        Raises RuntimeError unless the machine waits for the handshake.
        """
        if self._state is not State.HANDSHAKE:
            raise RuntimeError(f"no handshake was due in state {self._state}")
        events: list[Event] = []
        self._enter(State.EHLO_TLS, events)
        return tuple(events)

    # -- whole replies -------------------------------------------------------------------------

    def _whole_reply(self, data: bytes) -> "_Whole | None":
        """Return the reply that ``data`` is, nothing less and nothing more and within every bound,
        when one is due; None for everything else, which is read line by line."""
        limits = self._limits
        if (
            self._buffer
            or self._lines
            or self._state in (State.HANDSHAKE, State.CLOSED)
            or len(data) > min(MAX_REMEMBERED_REPLY_OCTETS, limits.max_line_octets)
            or len(data) > limits.max_session_octets - self._session_octets
        ):
            return None
        whole = _read_reply(data)
        return None if whole is None or len(whole.shown) > limits.max_reply_lines else whole

    def _take_whole(self, whole: "_Whole", octets: int, events: list[Event]) -> None:
        self._session_octets += octets
        for line in whole.shown:
            self._note_shown(line)
        self._follow(whole.reply, events)

    # -- lines ---------------------------------------------------------------------------------

    def _take_piece(self, piece: bytes, *, complete: bool, events: list[Event]) -> None:
        """Add a piece of one line. Bounds are judged by what the finished line must exceed, so
        that the verdict does not depend on how the bytes were cut."""
        limit = self._limits.max_line_octets
        shortest = len(self._buffer) + len(piece) + (0 if complete else 1)
        if shortest > limit:
            self._note((bytes(self._buffer) + piece[:limit])[:limit])
            self._fail(ProbeError.TOO_LARGE, f"a line longer than {limit} octets", events)
            return
        if not complete:
            self._buffer += piece
            return
        if self._buffer:
            piece = bytes(self._buffer) + piece
            self._buffer.clear()
        self._take_line(piece, events)

    def _take_line(self, raw: bytes, events: list[Event]) -> None:
        self._session_octets += len(raw)
        read = _read_line(raw) if len(raw) <= MAX_REMEMBERED_OCTETS else _parse_line(raw)
        self._note_shown(read.shown)
        if self._session_octets > self._limits.max_session_octets:
            limit = self._limits.max_session_octets
            self._fail(ProbeError.TOO_LARGE, f"more than {limit} octets in one session", events)
            return
        if read.code is None:
            shown = read.shown[:80]
            self._fail(ProbeError.PROTOCOL, f"not an SMTP reply line: {shown!r}", events)
            return
        if self._code is not None and read.code != self._code:
            detail = f"reply codes {self._code} and {read.code} within one reply"
            self._fail(ProbeError.PROTOCOL, detail, events)
            return
        self._code = read.code
        self._lines.append(read.text[: self._limits.max_line_octets])
        if not read.goes_on:
            self._take_reply(events)
        elif len(self._lines) >= self._limits.max_reply_lines:
            limit = self._limits.max_reply_lines
            self._fail(ProbeError.TOO_LARGE, f"more than {limit} lines in one reply", events)

    def _note(self, line: bytes) -> None:
        self._note_shown(printable(line, len(line)))

    def _note_shown(self, shown: str) -> None:
        before_tls = self._state not in (State.EHLO_TLS, State.QUIT)
        if before_tls and len(self._transcript) < self._limits.max_transcript_lines:
            self._transcript.append(shown[: self._limits.max_transcript_characters])

    # -- replies -------------------------------------------------------------------------------

    def _take_reply(self, events: list[Event]) -> None:
        code, lines = self._code, tuple(self._lines)
        assert code is not None
        self._code = None
        self._lines = []
        self._follow(
            Reply(code=code, lines=lines, enhanced_code=_enhanced_code(code, lines)), events
        )

    def _follow(self, reply: Reply, events: list[Event]) -> None:
        events.append(ReplyReceived(state=self._state, reply=reply))
        step = _TABLE[self._state][self._classify(reply)]
        if step.error is not None:
            self._report(step.error, _describe(step.error, reply), events, reply)
        self._enter(step.to, events)

    def _classify(self, reply: Reply) -> _Class:
        if reply.code == 421:
            return _Class.CLOSING
        first = reply.code // 100
        if first == 4:
            return _Class.TRANSIENT
        if first == 5:
            return _Class.PERMANENT
        if first != 2:
            return _Class.UNEXPECTED
        if self._state is State.STARTTLS and reply.code != 220:
            return _Class.UNEXPECTED  # RFC 3207 §4: 220 alone means "go on"
        if self._state in (State.EHLO, State.HELO):
            self._starttls_offered = self._state is State.EHLO and offers_starttls(reply)
            return _Class.READY if self._starttls_offered else _Class.NO_STARTTLS
        return _Class.READY

    def _enter(self, state: State, events: list[Event]) -> None:
        self._state = state
        if not self._failed and state in _STAGES:
            self._stage = _STAGES[state]
        match state:
            case State.EHLO | State.EHLO_TLS:
                events.append(Send(data=f"EHLO {self._ehlo_name}\r\n".encode("ascii")))
            case State.HELO:
                self._helo_fallback = True
                events.append(Send(data=f"HELO {self._ehlo_name}\r\n".encode("ascii")))
            case State.STARTTLS:
                events.append(Send(data=b"STARTTLS\r\n"))
            case State.HANDSHAKE:
                events.append(StartHandshake())
            case State.QUIT:
                events.append(Send(data=b"QUIT\r\n"))
            case State.CLOSED:
                events.append(Finished())

    def _fail(self, error: ProbeError, detail: str, events: list[Event]) -> None:
        self._buffer.clear()
        self._lines = []
        self._report(error, detail, events, None)
        self._enter(State.CLOSED, events)

    def _report(
        self, error: ProbeError, detail: str, events: list[Event], reply: Reply | None
    ) -> None:
        """Give the one Failure of this session; what goes wrong at QUIT changes nothing."""
        if self._failed or self._state is State.QUIT:
            return
        self._failed = True
        events.append(Failure(stage=self._stage, error=error, detail=detail, reply=reply))


class _Line(NamedTuple):
    """One line as it can be shown; ``code`` is None when it is no reply line (RFC 5321 §4.2)."""

    shown: str
    code: int | None
    goes_on: bool
    text: str


def _parse_line(raw: bytes) -> _Line:
    # RFC 5321 §2.3.8 wants CRLF; LF alone is accepted as Postfix and Exim accept it.
    line = raw.removesuffix(b"\n").removesuffix(b"\r")
    shown = printable(line, len(line))
    match = _REPLY_LINE.fullmatch(line)
    if match is None:
        return _Line(shown, None, False, "")
    text = shown[match.start(3) :] if match[3] else ""
    return _Line(shown, int(match[1]), match[2] == b"-", text)


_read_line = lru_cache(maxsize=REMEMBERED_LINES)(_parse_line)


class _Whole(NamedTuple):
    """One whole reply and its lines as they can be shown."""

    reply: Reply
    shown: tuple[str, ...]


def _parse_reply(data: bytes) -> _Whole | None:
    """Return the one well-formed reply that ``data`` is, or None."""
    *raw, rest = data.split(b"\n")
    if rest or not raw:
        return None
    lines = [_parse_line(one) for one in raw]
    code, last = lines[0].code, lines[-1]
    if code is None or last.goes_on or any(line.code != code for line in lines):
        return None
    if not all(line.goes_on for line in lines[:-1]):
        return None
    texts = tuple(line.text for line in lines)
    reply = Reply(code=code, lines=texts, enhanced_code=_enhanced_code(code, texts))
    return _Whole(reply, tuple(line.shown for line in lines))


_read_reply = lru_cache(maxsize=REMEMBERED_REPLIES)(_parse_reply)


def offers_starttls(reply: Reply) -> bool:
    """Return whether an EHLO reply lists STARTTLS (RFC 5321 §4.1.1.1, RFC 3207 §4).

    The first line holds the server's name, so a host called "STARTTLS" does not count. A keyword is
    a whole word in any case; parameters after a space are ignored.
    """
    return any(line.split(maxsplit=1)[:1] == ["STARTTLS"] for line in _upper(reply.lines[1:]))


def printable(data: bytes, max_characters: int) -> str:
    """Return ``data`` as printable ASCII of at most ``max_characters``; other octets become "?".

    Tabs become spaces. Terminals and log files can show the result safely.
    """
    return data[:max_characters].translate(_PRINTABLE).decode("ascii")


def _upper(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line.upper() for line in lines)


def _is_word(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" for character in text)


def _enhanced_code(code: int, lines: tuple[str, ...]) -> str | None:
    for line in lines:
        match = _ENHANCED_CODE.match(line)
        if match is not None and match[1] == str(code)[0]:
            return match[0]
    return None


def _describe(error: ProbeError, reply: Reply) -> str:
    if error is ProbeError.STARTTLS_NOT_OFFERED:
        return "STARTTLS is not among the extensions the server lists"
    text = f"{reply.code} {reply.text}".strip()
    return text if len(text) <= 300 else text[:297] + "..."
