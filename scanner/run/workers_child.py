"""The other end of ``scanner.run.workers``: what a worker process does with its two muscles.

    check(target)   looks and judges; probes are asked of the parent, which knows who probed before
    probe(...)      makes one connection, because the parent has let it

Rules:

- It ends when its parent does, however that ends: the link ends, and a thread of its own sees the
  life line end even while the event loop has no turn.
- It keeps nothing that must exist once, and knows of port 25 what the parent tells it.
- Its log records and its counts go to the parent; nothing is written here.
"""

import logging
import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from scanner.model.meter import OwnMetric
from scanner.model.names import Name
from scanner.model.observation import AddressObservation, HostAddress
from scanner.model.ports import Prober, Target
from scanner.model.verdict import Check
from scanner.model.vocabulary import Family
from scanner.observe.turnstile import turnstile
from scanner.run.checking import MakeCheck
from scanner.run.workers_link import Link

END_SECONDS = 3.0
"""From the end of the life line to the end of the process, whatever it is doing."""
MAX_LOG_CHARACTERS = 20_000
"""Of one log record with its traceback."""
LAG_SECONDS = 1.0
"""How often the delay of the event loop is measured."""

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


@dataclass(frozen=True, kw_only=True, slots=True)
class Muscles:
    """What a worker is made of."""

    check: MakeCheck
    prober: Prober
    """Makes connections, with no sharing and no limits: those are the parent's."""
    forget_failures: Callable[[], None]
    forget_everything: Callable[[], None]


class RemoteProber:
    """Asks the parent for a probe (implements ``scanner.model.ports.Prober``)."""

    def __init__(self) -> None:
        self.link: Link | None = None

    async def probe(
        self, host: Name, address: HostAddress, sni: Name, *, both_algorithms: bool = False
    ) -> AddressObservation:
        """Return what was seen, by this process, another or in a probe before."""
        assert self.link is not None
        seen = await self.link.call("shared_probe", host, address, sni, both_algorithms)
        assert isinstance(seen, AddressObservation)
        return seen


class ToldEgress:
    """Whether port 25 works, as the parent said last; and what is told to it."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self._told: dict[Family, bool | None] = dict.fromkeys(Family)

    async def prove(self) -> Mapping[Family, bool | None]:
        """Return what the parent said. It proves it again when it has the check."""
        return self._told

    def hear(self, told: Mapping[Family, bool | None]) -> None:
        """Take in what the parent says."""
        self._told = dict(told)

    def note_connection(self, address: HostAddress, answered: bool | None) -> None:
        """Tell the parent of one connection (``scanner.observe.smtp.ConnectionReport``)."""
        if self.link is not None:
            self.link.note("connection", address, answered)


class CountingMeter:
    """Adds up counts until the parent takes them (implements ``scanner.model.meter.Meter``)."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[OwnMetric, tuple[tuple[str, str], ...]]] = Counter()

    def count(self, metric: OwnMetric, amount: float = 1.0, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        self._counts[metric, tuple(labels.items())] += amount  # type: ignore[assignment]

    def put(self, metric: OwnMetric, value: float | None, **labels: str) -> None:
        """Do nothing: gauges are the parent's."""

    def observe(self, metric: OwnMetric, value: float, **labels: str) -> None:
        """Do nothing: what is observed here is sent by itself."""

    def take(self) -> list[tuple[OwnMetric, float, dict[str, str]]]:
        """Return what was counted since the last call."""
        taken, self._counts = self._counts, Counter()
        return [(metric, amount, dict(labels)) for (metric, labels), amount in taken.items()]


class LogToParent(logging.Handler):
    """Sends log records to the parent, made plain first."""

    def __init__(self, link: Link, token: trio.lowlevel.TrioToken) -> None:
        super().__init__()
        self._link = link
        self._token = token
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, from any thread; one that cannot be sent is lost."""
        fields = plain_record(record)
        if threading.get_ident() == self._thread:
            self._link.note("log", fields)
            return
        try:
            self._token.run_sync_soon(self._link.note, "log", fields)
        except trio.RunFinishedError:
            return


def plain_record(record: logging.LogRecord) -> dict[str, Any]:
    """Return what ``logging.makeLogRecord`` makes the same record of in another process."""
    message = record.getMessage()
    text = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
    fields: dict[str, Any] = {
        "name": record.name,
        "levelno": record.levelno,
        "levelname": record.levelname,
        "created": record.created,
        "msg": message[:MAX_LOG_CHARACTERS],
        "args": None,
        "exc_text": None if text is None else text.rstrip()[-MAX_LOG_CHARACTERS:],
    }
    for key, value in vars(record).items():
        if key not in _STANDARD and value is not None:
            fields[key] = value if isinstance(value, int | float | bool) else str(value)
    return fields


async def serve(
    stream: trio.SocketStream,
    muscles: Muscles,
    *,
    prober: RemoteProber,
    egress: ToldEgress,
    meter: CountingMeter,
    log_level: int,
) -> None:
    """Work for the parent at the other end of ``stream`` until it is gone."""
    lag = 0.0

    def ping() -> None:
        nonlocal lag
        link.note("pong", lag, turnstile().is_crowded, meter.take())
        lag = 0.0

    async def check(target: Target) -> Check:
        return await muscles.check(target)

    async def probe(
        host: Name, address: HostAddress, sni: Name, both_algorithms: bool
    ) -> AddressObservation:
        return await muscles.prober.probe(host, address, sni, both_algorithms=both_algorithms)

    async def measure_lag() -> None:
        nonlocal lag
        while True:
            began_at = trio.current_time()
            await trio.sleep(LAG_SECONDS)
            lag = max(lag, trio.current_time() - began_at - LAG_SECONDS)

    link = Link(
        stream,
        serves={"check": check, "probe": probe},
        hears={
            "ping": ping,
            "egress": egress.hear,
            "forget_failures": muscles.forget_failures,
            "forget_everything": muscles.forget_everything,
        },
    )
    prober.link = egress.link = link
    handler = LogToParent(link, trio.lowlevel.current_trio_token())
    logger = logging.getLogger("danewatch")
    logger.handlers[:] = [handler]
    logger.setLevel(log_level)
    logger.propagate = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measure_lag)
        link.note("ready")
        await link.run()
        nursery.cancel_scope.cancel()


def end_with(life_line: int) -> None:
    """Let this process end soon after ``life_line`` ends: its parent holds the other end."""

    def watch() -> None:
        while os.read(life_line, 1):
            pass
        threading.Event().wait(END_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="life line", daemon=True).start()
