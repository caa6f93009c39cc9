"""The cluster: connecting to it under mutual TLS, and having a bounded number of tasks done.

Whoever can reach a scheduler or a worker of Dask can run anything there, so a connection without
TLS is refused unless the operator says so, on loopback too.

Rules of a task:

- Few are with the scheduler at a time: it holds no pass, whatever its length.
- A task that fails because its worker is blind is tried elsewhere, a bounded number of times; a
  worker that was blind once gets nothing more. One whose worker dies is done again by Dask itself.
- Anything else that goes wrong ends the pass: it is a fault of ours or of the installation.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from distributed import CancelledError, Client, KilledWorker
from distributed.comm import CommClosedError
from distributed.security import Security

from scanner.distributed.values import BlindWorkerError

DEFAULT_TRIES = 3
"""Workers on which a task may find itself blind."""
CONNECT_SECONDS = 15
WORKERS_SECONDS = 30
"""How long a pass waits for its first worker, and goes on without any."""
QUEUED_PER_WORKER = 1
"""Tasks waiting at each worker beside those that run, so that none is ever idle."""
EXAMINE_SECONDS = 60
"""How long a worker may take to test itself, behind a task that it is still busy with."""
TICK_SECONDS = 0.25
LOOK_SECONDS = 2.0
"""How often the list of workers is looked at."""


GO_ON = "what is published stays, and the same command with --resume goes on"
GONE = f"the scheduler is gone; {GO_ON}"


class ClusterError(Exception):
    """The cluster cannot be used; the message is a sentence for an operator."""


class NobodySeesError(Exception):
    """Every worker that was tried is blind; the message says why."""


class InterruptedPassError(Exception):
    """The operator ended the pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How to get at a scheduler. Files are PEM."""

    scheduler: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    plaintext: bool = False


@dataclass(kw_only=True, eq=False)
class Work:
    """One task to do. ``make`` makes its job when it is its turn."""

    name: str
    function: Callable[[Any], Any]
    make: Callable[[], Any]
    elsewhere: frozenset[str] = frozenset()
    """Workers it should not go to, as long as there are others."""
    blind_at: set[str] = field(default_factory=set)
    """Workers that were blind at it."""
    must_end: bool = False
    """Waited for also when the pass is interrupted."""


@dataclass(eq=False)
class _Flight:
    work: Work
    allowed: frozenset[str] | None


def security_of(access: Access) -> Security | None:
    """Return the security of a connection, None for one in the clear.

    Raises ClusterError with the file and the remedy.
    """
    scheme = access.scheduler.partition("://")[0]
    if scheme in {"tcp", "tls"} and not _has_port(access.scheduler):
        raise ClusterError(
            f"{access.scheduler}: no host, or no port from 1 to 65535; write the scheduler as "
            f"{scheme}://host:port, as in {scheme}://10.0.0.10:8786"
        )
    if scheme == "tcp":
        if not access.plaintext:
            raise ClusterError(
                f"{access.scheduler}: without TLS anybody who reaches the scheduler or a worker "
                "may run anything there: write tls://host:port, or allow it with "
                "--plaintext-scheduler where nobody else reaches them"
            )
        return None
    if scheme != "tls":
        raise ClusterError(f"{access.scheduler}: write the scheduler as tls://host:port")
    given = {"--tls-ca": access.ca, "--tls-cert": access.certificate, "--tls-key": access.key}
    missing = [option for option, path in given.items() if not path]
    if missing:
        raise ClusterError(
            f"{access.scheduler}: mutual TLS needs a CA, a certificate and its key; name them "
            f"with {', '.join(missing)} or in the table [dask] of the configuration"
        )
    for option, path in given.items():
        try:
            with open(str(path), "rb") as stream:
                stream.read(1)
        except OSError as error:
            raise ClusterError(
                f"{option} {path}: {(error.strerror or str(error)).lower()}"
            ) from error
    security = Security(
        tls_ca_file=access.ca,
        tls_client_cert=access.certificate,
        tls_client_key=access.key,
        require_encryption=True,
    )
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl.SSLError is one
        raise ClusterError(
            f"{access.ca}, {access.certificate}, {access.key}: {error}; a CA, a certificate that "
            "it has signed and the key of that certificate, all in PEM"
        ) from error
    return security


def _has_port(scheduler: str) -> bool:
    """Return whether host and port are named. Dask would ask port 0, and end in a traceback."""
    try:
        parts = urlsplit(scheduler)
        return bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number, or too large; brackets without an end
        return False


class Cluster:
    """A connection to a cluster, for one pass. A context manager."""

    def __init__(self, access: Access, *, is_interrupted: Callable[[], bool]) -> None:
        """Connect. Raises ClusterError."""
        self._is_interrupted = is_interrupted
        self._address = access.scheduler
        security = security_of(access)
        try:
            self._client: Any = Client(
                access.scheduler,
                security=security,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                heartbeat_interval="2s",
            )
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            reason = _innermost(error)
            raise ClusterError(
                f"{access.scheduler}: no connection to the scheduler ({reason}); is it running, "
                "and do its certificate and ours come from the same CA?"
            ) from error
        self._blind: dict[str, str] = {}
        """Workers that cannot see, and why."""
        self._landed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._flights: dict[Any, _Flight] = {}
        self._workers: dict[str, int] = {}
        self._looked_at = 0.0
        self._alone_since: float | None = None
        self._numbers = 0

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is under way and hang up."""
        with suppress(Exception):
            self._cancel(list(self._flights))
        self._flights.clear()
        with suppress(Exception):
            self._client.close(timeout=5)

    def workers(self) -> tuple[str, ...]:
        """Return the addresses of the workers, after waiting for one. Raises ClusterError."""
        deadline = time.monotonic() + WORKERS_SECONDS
        while True:
            self._look_at_workers(now=True)
            if self._workers:
                return tuple(self._workers)
            if self._is_interrupted():
                raise InterruptedPassError
            if time.monotonic() >= deadline:
                raise ClusterError(f"{self._address}: the scheduler has no worker; start some")
            time.sleep(TICK_SECONDS)

    def check_versions(self, version: Callable[[], str], ours: str) -> None:
        """See that the scheduler and all workers have our version. Raises ClusterError."""
        found = dict(self._client.run(version, on_error="return"))
        try:
            found[f"the scheduler {self._address}"] = self._client.run_on_scheduler(version)
        except Exception as error:  # noqa: BLE001 - whatever it cannot do there is the answer
            found[f"the scheduler {self._address}"] = error
        for where, answer in found.items():
            if isinstance(answer, Exception):
                raise ClusterError(
                    f"{where}: danewatch does not run there ({_innermost(answer)}); install "
                    f"danewatch[dask] {ours} on the scheduler and on every worker"
                )
            if answer != ours:
                raise ClusterError(
                    f"{where} runs danewatch {answer} and this is {ours}: install the same "
                    "version everywhere"
                )

    def on_each(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what ``function`` returns on each worker, an exception where it failed."""
        futures = {
            address: self._client.submit(
                function, *arguments, workers=[address], pure=False, key=self._key("examine")
            )
            for address in self._workers
        }
        deadline = time.monotonic() + EXAMINE_SECONDS
        while not all(future.done() for future in futures.values()):
            if self._is_interrupted():
                raise InterruptedPassError
            if time.monotonic() >= deadline:
                break
            time.sleep(TICK_SECONDS)
        return {address: _outcome_of(future) for address, future in futures.items()}

    def count_out(self, worker: str, sentence: str) -> None:
        """Give ``worker`` nothing more. Raises NobodySeesError when no other is left."""
        self._blind[worker] = sentence
        if self._seeing() == frozenset():
            raise NobodySeesError(sentence)

    def perform(self, waiting: "deque[Work]") -> Iterator[tuple[Work, Any]]:
        """Yield each piece of work with its result, as they come.

        Work may be added to ``waiting`` meanwhile. Raises ClusterError, NobodySeesError,
        InterruptedPassError, and what a task raised.
        """
        try:
            while waiting or self._flights:
                while waiting and len(self._flights) < self._room():
                    self._start(waiting.popleft())
                done = self._next_landed()
                if done is None:
                    continue
                work, result = done
                if isinstance(result, BlindWorkerError):
                    self._send_elsewhere(work, result, waiting)
                else:
                    yield work, result
        except InterruptedPassError:
            yield from self._end_in_order()
            raise
        except (OSError, TimeoutError) as error:
            if not isinstance(error, CommClosedError) and self._client.status == "running":
                raise  # the task's own
            raise ClusterError(f"{self._address}: {GONE}") from error

    def _end_in_order(self) -> Iterator[tuple[Work, Any]]:
        """Cancel what is under way, but wait for what must end."""
        self._cancel([f for f, flight in self._flights.items() if not flight.work.must_end])
        deadline = time.monotonic() + WORKERS_SECONDS
        while self._flights and time.monotonic() < deadline:
            with suppress(queue.Empty):
                future = self._landed.get(timeout=TICK_SECONDS)
                flight = self._flights.pop(future, None)
                if flight is not None and future.status == "finished":
                    yield flight.work, future.result()

    def _start(self, work: Work) -> None:
        seeing = self._seeing()
        allowed = None
        if self._blind or work.elsewhere or work.blind_at:
            allowed = frozenset(self._workers) if seeing is None else seeing
            allowed = (allowed - work.elsewhere - work.blind_at) or allowed
        future = self._client.submit(
            work.function,
            work.make(),
            key=self._key(work.name),
            pure=False,
            workers=None if allowed is None else list(allowed),
        )
        self._flights[future] = _Flight(work, allowed)
        future.add_done_callback(self._landed.put)

    def _next_landed(self) -> tuple[Work, Any] | None:
        if self._is_interrupted():
            raise InterruptedPassError
        self._look_at_workers()
        try:
            future = self._landed.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None
        flight = self._flights.pop(future, None)
        if flight is None:
            return None
        try:
            return flight.work, future.result()
        except BlindWorkerError as error:
            return flight.work, error
        except KilledWorker as error:
            raise ClusterError(
                f"{flight.work.name} ended one worker after the other: {error}"
            ) from error
        except CancelledError as error:  # not by us: those are no longer among the flights
            raise ClusterError(f"{self._address}: {GONE}") from error
        finally:
            future.release()

    def _send_elsewhere(self, work: Work, error: BlindWorkerError, waiting: "deque[Work]") -> None:
        work.blind_at.add(error.worker)
        self.count_out(error.worker, error.sentence)
        if len(work.blind_at) >= DEFAULT_TRIES:
            raise NobodySeesError(error.sentence)
        waiting.appendleft(work)

    def _seeing(self) -> frozenset[str] | None:
        """Return the workers that are not blind; None when all may be."""
        if not self._blind:
            return None
        return frozenset(self._workers) - frozenset(self._blind)

    def _room(self) -> int:
        seeing = [threads for worker, threads in self._workers.items() if worker not in self._blind]
        return max(sum(seeing) + QUEUED_PER_WORKER * len(seeing), 2)

    def _look_at_workers(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = moment
        try:
            listed = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            raise ClusterError(f"{self._address}: {GONE}") from error
        if self._client.status != "running":
            raise ClusterError(f"{self._address}: {GONE}")
        self._workers = {address: int(one["nthreads"]) for address, one in listed.items()}
        if self._workers:
            self._alone_since = None
        elif self._flights:
            self._alone_since = self._alone_since or moment
            if moment - self._alone_since >= WORKERS_SECONDS:
                raise ClusterError(f"{self._address}: all workers are gone; {GO_ON}")
        self._free_the_stranded()

    def _free_the_stranded(self) -> None:
        """Begin anew what may only be done by workers that are gone."""
        stranded = [
            future
            for future, flight in self._flights.items()
            if flight.allowed is not None and flight.allowed.isdisjoint(self._workers)
        ]
        if not stranded or not self._workers:
            return
        if self._seeing() == frozenset():
            raise NobodySeesError(next(reversed(self._blind.values())))
        works = [self._flights[future].work for future in stranded]
        self._cancel(stranded)
        for work in works:
            self._start(work)

    def _cancel(self, futures: list[Any]) -> None:
        for future in futures:
            self._flights.pop(future, None)
        if futures:
            self._client.cancel(futures, force=True)

    def _key(self, name: str) -> str:
        self._numbers += 1
        return f"danewatch-{name}-{self._numbers}-{id(self):x}"


def _outcome_of(future: Any) -> Any:
    if not future.done():
        return TimeoutError(f"nothing within {EXAMINE_SECONDS} s")
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - told for each worker
        return error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
