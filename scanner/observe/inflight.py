"""Who waits for which reply: the questions sent over one socket and not answered yet.

The reader of a socket hands every message to ``deliver``, which wakes the one task that asked. A
message that belongs to no waiting question (late, duplicated, forged) is dropped: it is never an
error, or anybody able to send us datagrams could cause one.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from scanner.model.observation import Question
from scanner.wire.dnsframe import HEADER_OCTETS, MalformedResponseError
from scanner.wire.dnsmsg import echoes_question

ID_COUNT = 0x1_0000

Failure = Callable[[], Exception]
"""Makes the exception to raise; a new one for each task, since tracebacks are not shared."""


@dataclass(eq=False, slots=True)
class _Waiting:
    question: Question
    task: trio.lowlevel.Task | None = None
    wire: bytes | None = None
    failure: Failure | None = None

    @property
    def settled(self) -> bool:
        return self.wire is not None or self.failure is not None


class InFlight:
    """The questions in flight on one socket, by message id.

    Use: ``reserve``, send, ``wait``, and ``release`` whatever happens.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._closed: Failure | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def reserve(self, question: Question) -> int:
        """Return a random id that no other question in flight here has (RFC 5452 §9.1).

        Raises what ``close`` was given.
        """
        if self._closed is not None:
            raise self._closed()
        query_id = secrets.randbelow(ID_COUNT)
        while query_id in self._waiting:
            query_id = secrets.randbelow(ID_COUNT)
        self._waiting[query_id] = _Waiting(question)
        return query_id

    def release(self, query_id: int) -> None:
        """Forget the question; its id may be used again."""
        self._waiting.pop(query_id, None)

    async def wait(self, query_id: int) -> bytes:
        """Return the response to the question with this id.

        Raises what ``fail_all`` was given. Waits without end: the caller sets the deadline.
        """
        waiting = self._waiting[query_id]
        if waiting.settled:
            await trio.lowlevel.checkpoint()
        else:
            waiting.task = trio.lowlevel.current_task()

            def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
                waiting.task = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        if waiting.wire is None:
            assert waiting.failure is not None
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
        try:
            if not echoes_question(wire, waiting.question):
                return False
        except MalformedResponseError:
            pass
        waiting.wire = wire
        self._wake(waiting)
        return True

    def fail_all(self, failure: Failure) -> None:
        """Raise ``failure()`` in every task that waits."""
        for waiting in tuple(self._waiting.values()):
            if not waiting.settled:
                waiting.failure = failure
                self._wake(waiting)

    def close(self, failure: Failure) -> None:
        """Raise ``failure()`` in every task that waits and in every one to come."""
        self._closed = failure
        self.fail_all(failure)

    @staticmethod
    def _wake(waiting: _Waiting) -> None:
        if waiting.task is not None:
            trio.lowlevel.reschedule(waiting.task)
            waiting.task = None
