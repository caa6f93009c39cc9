"""Two of our own processes talk: calls, answers and notes over a pair of connected sockets.

    frame = octets of the body (4, big-endian), body = one pickled message

Only processes that we started hold the other end of such a pair; nothing listens on any address,
and what peers send is in a message as a value, never as its framing. That is why pickle will do.

Rules:

- Both ends may call the other. A call is served by a task of its own and answered once: with its
  value, with a failure (a bug of ours), or with the word that it was cancelled.
- Whoever is cancelled while it waits for an answer tells the other end and waits for its word: when
  the call returns, nothing of it goes on over there. So a limit that is kept here (one connection
  to an address) is kept there as well.
- Messages arrive in the order in which they were sent, so whatever is sent after a note is done
  after it.
- When the other end is gone every call that waits fails with LinkLostError. ``before_loss`` comes
  first: there the process is killed and reaped, so that again nothing of it goes on.
- Sizes are bounded: of a frame, and of what waits to be sent.
"""

import pickle
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import outcome
import trio

from scanner.run.workers_pickle import dumps

_HEAD = struct.Struct(">I")

CALL, VALUE, FAILED, CANCEL, CANCELLED, NOTE = range(6)
"""Kinds of messages: ``(CALL, number, name, arguments, seconds left)``, ``(VALUE, number, value)``,
``(FAILED, number, sentence)``, ``(CANCEL, number)``, ``(CANCELLED, number)`` and ``(NOTE, name,
arguments)``."""

MAX_SENTENCE_CHARACTERS = 300

Serve = Callable[..., Awaitable[Any]]
Hear = Callable[..., None]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLimits:
    """Sizes; octets. All ours."""

    max_frame: int = 32 * 1024 * 1024
    """A check takes some 10 KiB; with all that a partner may make us keep, a few MiB."""
    max_waiting: int = 256 * 1024 * 1024
    """Messages that wait to be sent; beyond, the other end does not read any more."""
    read_at_once: int = 256 * 1024


class LinkError(Exception):
    """Something is wrong with a link."""


class LinkLostError(LinkError):
    """The other end is gone: what was asked of it has come to nothing."""


class RemoteFailureError(LinkError):
    """The other end failed at what it was asked, by a bug of ours; the message says how."""


class FrameError(LinkError):
    """The other end sent what is no message, or one that is too large."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A call of ours that is not answered yet."""

    task: trio.lowlevel.Task
    raise_cancel: Callable[[], Any] | None = None
    """Set once the task was cancelled and waits for the other end's word on it."""


@dataclass(slots=True)
class _Outbox:
    messages: deque[bytes] = field(default_factory=deque)
    octets: int = 0


class Link:
    """One end of a link. ``run`` must be running for anything to happen."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        *,
        serves: Mapping[str, Serve],
        hears: Mapping[str, Hear],
        limits: LinkLimits | None = None,
    ) -> None:
        """``serves`` are the calls the other end may make, ``hears`` the notes it may send."""
        self._stream = stream
        self._serves = serves
        self._hears = hears
        self._limits = limits or LinkLimits()
        self._numbers = 0
        self._asked: dict[int, _Asked] = {}
        self._serving: dict[int, trio.CancelScope | None] = {}
        """None: its time was over, and the word of whoever called is awaited."""
        self._cancelled: set[int] = set()
        """Calls that are served and were cancelled by whoever made them."""
        self._outbox = _Outbox()
        self._sending: trio.lowlevel.Task | None = None
        """The task that sends, while it has nothing to do."""
        self.lost = False
        self.heard = 0
        """Messages that have arrived."""

    # --- what one asks of it ---------------------------------------------------------------------

    async def call(self, name: str, *arguments: Any) -> Any:
        """Return what the other end's ``name`` returns.

        Raises LinkLostError, RemoteFailureError, and FrameError for arguments that are too large.
        """
        if self.lost:
            raise LinkLostError
        self._numbers += 1
        number = self._numbers
        left = trio.current_effective_deadline() - trio.current_time()
        self._send((CALL, number, name, arguments, left))
        asked = self._asked[number] = _Asked(trio.lowlevel.current_task())

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            asked.raise_cancel = raise_cancel
            with suppress(LinkError):
                self._send((CANCEL, number))
            return trio.lowlevel.Abort.FAILED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def note(self, name: str, *arguments: Any) -> None:
        """Tell the other end something; nothing comes back. Dropped when it is gone."""
        with suppress(LinkLostError):
            self._send((NOTE, name, arguments))

    async def run(self, *, before_loss: Callable[[], Awaitable[None]] | None = None) -> None:
        """Send and receive until the other end is gone. Raises FrameError."""
        async with trio.open_nursery() as served:
            try:
                async with trio.open_nursery() as sending:
                    sending.start_soon(self._send_for_ever)
                    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        await self._receive_all(served)
                    sending.cancel_scope.cancel()
            finally:
                try:
                    if before_loss is not None:
                        with trio.CancelScope(shield=True):
                            await before_loss()
                finally:
                    self._lose()
                    served.cancel_scope.cancel()

    # --- sending ---------------------------------------------------------------------------------

    def _send(self, message: tuple[Any, ...]) -> None:
        if self.lost:
            raise LinkLostError
        body = dumps(message)
        if len(body) > self._limits.max_frame:
            raise FrameError(f"a message of {len(body):,} octets is too large")
        outbox = self._outbox
        if outbox.octets + len(body) > self._limits.max_waiting:
            self._give_up()
            raise LinkLostError
        outbox.messages.append(_HEAD.pack(len(body)))
        outbox.messages.append(body)
        outbox.octets += len(body)
        if self._sending is not None:
            trio.lowlevel.reschedule(self._sending)
            self._sending = None

    def _give_up(self) -> None:
        """Let the receiver see the end: the other side takes nothing any more."""
        if isinstance(self._stream, trio.SocketStream):
            with suppress(OSError):
                self._stream.socket.shutdown(2)

    async def _send_for_ever(self) -> None:
        outbox = self._outbox
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                if not outbox.messages:
                    self._sending = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._abort_sending)
                data = b"".join(outbox.messages)
                outbox.messages.clear()
                await self._stream.send_all(data)
                outbox.octets = sum(map(len, outbox.messages))

    def _abort_sending(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._sending = None
        return trio.lowlevel.Abort.SUCCEEDED

    # --- receiving -------------------------------------------------------------------------------

    async def _receive_all(self, served: trio.Nursery) -> None:
        buffer = bytearray()
        while data := await self._stream.receive_some(self._limits.read_at_once):
            buffer += data
            begin = 0
            while len(buffer) - begin >= _HEAD.size:
                (size,) = _HEAD.unpack_from(buffer, begin)
                if size > self._limits.max_frame:
                    raise FrameError(f"a message of {size:,} octets was announced")
                end = begin + _HEAD.size + size
                if end > len(buffer):
                    break
                with memoryview(buffer) as view:
                    message = _read(view[begin + _HEAD.size : end])
                begin = end
                self.heard += 1
                self._take(message, served)
            del buffer[:begin]

    def _take(self, message: tuple[Any, ...], served: trio.Nursery) -> None:
        match message:
            case (kind, int(number), value) if kind == VALUE:
                self._answer(number, outcome.Value(value))
            case (kind, int(number), str(name), tuple(arguments), left) if kind == CALL:
                scope = self._serving[number] = trio.CancelScope()
                scope.deadline = trio.current_time() + left
                served.start_soon(self._serve, number, name, arguments, scope)
            case (kind, str(name), tuple(arguments)) if kind == NOTE and name in self._hears:
                self._hears[name](*arguments)
            case (kind, int(number)) if kind == CANCEL:
                self._cancel(number)
            case (kind, int(number)) if kind == CANCELLED:
                asked = self._asked.get(number)
                if asked is not None and asked.raise_cancel is not None:
                    self._answer(number, outcome.capture(asked.raise_cancel))
            case (kind, int(number), str(sentence)) if kind == FAILED:
                self._answer(number, outcome.Error(RemoteFailureError(sentence)))
            case _:
                raise FrameError("what arrived is no message")

    def _answer(self, number: int, result: "outcome.Outcome[Any]") -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            trio.lowlevel.reschedule(asked.task, result)

    def _cancel(self, number: int) -> None:
        if number not in self._serving:
            return  # the answer is on its way
        scope = self._serving[number]
        if scope is not None:
            self._cancelled.add(number)
            scope.cancel()
            return
        del self._serving[number]
        with suppress(LinkLostError):
            self._send((CANCELLED, number))

    async def _serve(
        self, number: int, name: str, arguments: tuple[Any, ...], scope: trio.CancelScope
    ) -> None:
        answer: tuple[Any, ...] = (CANCELLED, number)
        try:
            with scope:
                answer = (VALUE, number, await self._serves[name](*arguments))
        except Exception as error:  # noqa: BLE001 - a bug in one call is told to whoever called
            answer = (FAILED, number, _sentence(error))
        if answer[0] == CANCELLED and number not in self._cancelled:
            self._serving[number] = None  # its time was over; whoever called is about to say so
            return
        del self._serving[number]
        self._cancelled.discard(number)
        with suppress(LinkLostError):
            self._send_answer(number, answer)

    def _send_answer(self, number: int, answer: tuple[Any, ...]) -> None:
        try:
            self._send(answer)
        except LinkLostError:
            raise
        except Exception as error:  # noqa: BLE001 - too large, or no value that can be sent
            self._send((FAILED, number, _sentence(error)))

    # --- the end ---------------------------------------------------------------------------------

    def _lose(self) -> None:
        self.lost = True
        for number, asked in list(self._asked.items()):
            if asked.raise_cancel is not None:
                self._answer(number, outcome.capture(asked.raise_cancel))
            else:
                self._answer(number, outcome.Error(LinkLostError("the other process is gone")))


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_SENTENCE_CHARACTERS]


def _read(body: memoryview) -> tuple[Any, ...]:
    """Return the message of ``body``. Raises FrameError."""
    try:
        message = pickle.loads(body)  # noqa: S301 - see the top: both ends are ours
    except Exception as error:
        raise FrameError(f"what arrived cannot be read: {error}") from error
    if not isinstance(message, tuple):
        raise FrameError("what arrived is no message")
    return message
