"""Who waits for which reply: the questions sent over one socket and not answered yet.

The reader of a socket hands every message to ``deliver``, which wakes the one task that asked. A
message that belongs to no waiting question (late, duplicated, forged) is dropped: it is never an
error, or anybody able to send us datagrams could cause one.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import trio

from scanner.model.observation import Question
from scanner.observe.deadlines import deadlines
from scanner.observe.turnstile import leave_line, turnstile
from scanner.wire.dnsframe import HEADER_OCTETS, MalformedResponseError
from scanner.wire.dnsmsg import echoes_question
from scanner.wire.dnsquery import UnencodableNameError, question_octets

ID_COUNT = 0x1_0000
_RANDOM_OCTETS = 4_096  # fetched of the kernel at once; a system call for each id costs as much
# as the rest of a query
_ONE_QUESTION = b"\x00\x01"
_QR = 0x80
_QR_AND_OPCODE = 0xF8  # of the third octet (RFC 1035 §4.1.1)

Failure = Callable[[], Exception]
"""Makes the exception to raise; a new one for each task, since tracebacks are not shared."""


class _RandomNumbers:
    """Numbers below 65,536 that nobody can foresee, from the kernel's generator."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def take(self) -> int:
        """Return the next number."""
        if not self._numbers:
            self._numbers = memoryview(os.urandom(_RANDOM_OCTETS)).cast("H").tolist()
        return self._numbers.pop()

    def forget(self) -> None:
        """Drop what was fetched: a process and its child must not use the same numbers."""
        self._numbers = []


_random_numbers = _RandomNumbers()
os.register_at_fork(after_in_child=_random_numbers.forget)


def random_below(limit: int) -> int:
    """Return a number below ``limit``, at most 65,536, that nobody can foresee."""
    return _random_numbers.take() * limit >> 16


@dataclass(eq=False, slots=True)
class _Waiting:
    """One question in flight; ``asked`` are its octets, to be compared with those that come back.

    It is ``settled`` once there is a reply, a failure, or no more time. ``due`` is when to give up
    (``scanner.observe.deadlines.Wait``), never once it is settled.
    """

    question: Question
    asked: bytes
    task: trio.lowlevel.Task | None = None
    wire: bytes | None = None
    failure: Failure | None = None
    settled: bool = False
    due: float = math.inf

    def settle(self, wire: bytes | None, failure: Failure | None) -> None:
        """Take the outcome, none for "no more time", and wake the task that waits."""
        self.wire, self.failure, self.settled, self.due = wire, failure, True, math.inf
        if self.task is not None:
            turnstile().let_on_one(self.task)

    def expire(self) -> None:
        """End without a reply."""
        self.settle(None, None)

    def abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """The task that waits is cancelled, maybe while it waits to go on."""
        assert self.task is not None
        leave_line(self.task)
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class InFlight:
    """The questions in flight on one socket, by message id.

    Use: ``reserve``, send, ``wait``, and ``release`` whatever happens.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._closed: Failure | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def reserve(self, question: Question, asked: bytes | None = None) -> int:
        """Return a random id that no other question in flight here has (RFC 5452 §9.1).

        ``asked`` are the octets of the question, for who has them at hand. Raises what ``close``
        was given.
        """
        if self._closed is not None:
            raise self._closed()
        query_id = _random_numbers.take()
        while query_id in self._waiting:
            query_id = _random_numbers.take()
        if asked is None:
            try:
                asked = question_octets(question)
            except UnencodableNameError:
                asked = b""  # nothing can be sent, so nothing comes back
        self._waiting[query_id] = _Waiting(question, asked)
        return query_id

    def release(self, query_id: int) -> None:
        """Forget the question; its id may be used again."""
        waiting = self._waiting.pop(query_id, None)
        if waiting is not None:
            waiting.wire, waiting.settled, waiting.due = None, True, math.inf

    async def wait(self, query_id: int) -> bytes:
        """Return the response to the question with this id.

        Raises what ``fail_all`` was given. Waits without end: the caller sets the deadline.
        """
        wire = await self.wait_until(query_id, math.inf)
        assert wire is not None
        return wire

    async def wait_until(self, query_id: int, until: float) -> bytes | None:
        """Like ``wait``, but return None when nothing has come by ``until`` (trio's clock)."""
        waiting = self._waiting[query_id]
        if waiting.settled:
            await trio.lowlevel.checkpoint()
        else:
            if until < math.inf:
                waiting.due = until
                deadlines().add(waiting)
            waiting.task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(waiting.abort)
            waiting.task = None
        if waiting.failure is not None:
            raise waiting.failure()
        return waiting.wire

    def deliver(self, wire: bytes) -> bool:
        """Give ``wire`` to the task that waits for it; return whether there was one.

        Its id and its question must be those that were sent. A response with the right id whose
        question cannot even be read is delivered too: the server is broken, and waiting longer
        would not mend it.
        """
        if len(wire) < HEADER_OCTETS:
            return False
        waiting = self._waiting.get(int.from_bytes(wire[:2]))
        if waiting is None or waiting.settled:
            return False
        if not _echoes(wire, waiting):
            return False
        waiting.settle(wire, None)
        return True

    def fail_all(self, failure: Failure) -> None:
        """Raise ``failure()`` in every task that waits."""
        for waiting in tuple(self._waiting.values()):
            if not waiting.settled:
                waiting.settle(None, failure)

    def close(self, failure: Failure) -> None:
        """Raise ``failure()`` in every task that waits and in every one to come."""
        self._closed = failure
        self.fail_all(failure)


def _echoes(wire: bytes, waiting: _Waiting) -> bool:
    """Return whether ``wire`` may be the response to what was asked.

    Nearly always its question is the octets that were sent; else it is read.
    """
    asked = waiting.asked
    is_response = wire[2] & _QR_AND_OPCODE == _QR and wire[4:6] == _ONE_QUESTION
    if asked and is_response and wire.startswith(asked, HEADER_OCTETS):
        return True
    try:
        return echoes_question(wire, waiting.question)
    except MalformedResponseError:
        return True
