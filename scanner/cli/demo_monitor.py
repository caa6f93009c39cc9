"""``danewatch demo --monitor``: thirty hours of the service in a minute, against the laboratory.

The service is the real one: scanner, state file, history, page. Only its clock runs faster, and
the partners' mistakes follow a script (``SCRIPT``). At the end the confirmed changes of the domains
are compared with those that the script must have caused (``MEANT``), neither more nor fewer.
"""

import logging
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from exporters.history.questions import Questions
from exporters.own_metrics import OwnMetrics
from scanner import __version__
from scanner.cli.demo_prometheus import alerts_of
from scanner.cli.demo_story import MISTAKES
from scanner.cli.errors import CommandError
from scanner.cli.render import Mark, Style, aside, hanging, marked, print_lines, words
from scanner.cli.render_history import mark_of
from scanner.cli.service import Loaded, Service, ServiceLimits
from scanner.cli.service_open import Pulse, open_service, serve_page
from scanner.cli.service_parts import places_of
from scanner.cli.wiring import Settings
from scanner.config import Config
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import break_domain
from scanner.lab.lab import Lab, open_lab
from scanner.lab.responder import ResolverMode
from scanner.model.names import Name
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import ScaledClock, SystemClock
from scanner.run.monitor import MonitorLimits
from scanner.run.outflow import OutflowLimits

FACTOR = 1_800.0
"""Seconds of the service in one of ours: thirty hours take a minute."""
BANK, UNIVERSITY = MISTAKES
METRICS_SHOWN = (
    "danewatch_domain_blocked",
    "danewatch_domain_phase",
    "danewatch_domain_cause",
    "danewatch_mx_up",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Something that happens so many hours after the beginning."""

    hours: float
    sentence: str
    do: Callable[[Lab], None]
    after: tuple[str, str] | None = None
    """A domain and the phase it must have come to before, however long that takes."""


def _break(domain: Name, lab: Lab) -> None:
    effect = break_domain(lab.plan, lab.domains[domain], MISTAKES[domain][0])
    lab.set_fault(domain, *effect.faults)


def _repair(domain: Name, lab: Lab) -> None:
    lab.clear_fault(domain)


def _resolver(mode: ResolverMode, lab: Lab) -> None:
    lab.set_resolver_mode(mode)


SCRIPT: tuple[Act, ...] = (
    Act(
        hours=2,
        sentence=f"{BANK} {MISTAKES[BANK][1]}",
        do=partial(_break, BANK),
        after=(BANK, "delivering"),
    ),
    Act(
        hours=3,
        sentence=f"{UNIVERSITY} {MISTAKES[UNIVERSITY][1]}",
        do=partial(_break, UNIVERSITY),
        after=(UNIVERSITY, "delivering"),
    ),
    Act(
        hours=7,
        sentence=f"{UNIVERSITY} signs its zone anew",
        do=partial(_repair, UNIVERSITY),
        after=(UNIVERSITY, "deferring"),
    ),
    Act(
        hours=10,
        sentence="our own resolver fails at everything",
        do=partial(_resolver, ResolverMode.SERVFAIL),
    ),
    Act(
        hours=13,
        sentence="our own resolver works again",
        do=partial(_resolver, ResolverMode.VALIDATING),
    ),
    Act(
        hours=28.5,
        sentence=f"{BANK} publishes the right records",
        do=partial(_repair, BANK),
        after=(BANK, "bouncing"),
    ),
)
END_HOURS = 30.5
PATIENCE_HOURS = 60.0
"""A slow machine may need so much longer for what an act waits for; then it does not come."""
BLOCKED_FROM_THE_BEGINNING = (
    "harbour.test",
    "museum.test",
    "notary.test",
    "pharmacy.test",
    "press.test",
)
MEANT = {
    ("bank.test", "protected", "blocked", "deferring"),
    ("bank.test", "blocked", "blocked", "bouncing"),
    ("bank.test", "blocked", "protected", "delivering"),
    ("university.test", "protected", "blocked", "deferring"),
    ("university.test", "blocked", "protected", "delivering"),
    *((name, "blocked", "blocked", "bouncing") for name in BLOCKED_FROM_THE_BEGINNING),
}
"""Domain, from, to, and the phase then; each once. First sights are no changes."""


async def tell_monitor(console: Console, style: Style, output: Path) -> bool:
    """Live through the script; return whether the changes were exactly those it meant."""
    now = SystemClock().now().replace(microsecond=0)
    async with open_lab(demo_plan(now)) as lab:
        return await _Teller(console, style, output / f"{now:%Y%m%dT%H%M%SZ}", lab, now).tell()


class _Teller:
    def __init__(
        self, console: Console, style: Style, directory: Path, lab: Lab, now: datetime
    ) -> None:
        self._console = console
        self._style = style
        self._directory = directory
        self._lab = lab
        self._now = now
        self._clock = ScaledClock(now, factor=FACTOR)
        self._phases: dict[str, str] = {}

    async def tell(self) -> bool:
        config, settings = self._configuration()
        loaded = Loaded(config=config, settings=settings)
        meter = OwnMetrics(version=__version__)
        self._say(
            f"Thirty hours in a minute: the service watches {len(self._lab.domains)} partners of a "
            "small Internet on this machine. Times are hours and minutes since the beginning."
        )
        self._print()
        with (
            _Listening(self._on_record),
            open_service(
                loaded,
                load=lambda: loaded,
                places=places_of(config, "the demo"),
                meter=meter,
                now=self._now,
                limits=_LIMITS,
            ) as service,
        ):
            await self._live(service)
        return self._compare()

    def _configuration(self) -> tuple[Config, Settings]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            targets = self._directory / "targets.txt"
            targets.write_text("".join(f"{name}\n" for name in self._lab.domains))
        except OSError as error:
            raise CommandError(f"cannot keep results: {error}") from error
        config = Config.model_validate(
            {
                "targets": {"files": [str(targets)]},
                "history": {
                    "directory": str(self._directory / "history"),
                    "flush_seconds": 1_800.0,
                },
                "self_test": {"interval_seconds": 900.0},
                "http": {"listen": "127.0.0.1:0"},
            }
        )
        host, port = self._lab.resolver
        settings = Settings(
            resolvers=(ServerAddress(host, port),),
            anchors=read_anchors(self._lab.trust_anchor),
            smtp_port=self._lab.smtp_port,
            allow_private_addresses=True,
        )
        return config, settings

    async def _live(self, service: Service) -> None:
        pulse, token = Pulse(), trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            with serve_page(service, pulse, token) as url:
                async with alerts_of(url, pace=FACTOR, on_alert=self._on_alert) as has_alerts:
                    if not has_alerts:
                        self._say("(Alerts would follow, were there a Prometheus on this machine.)")
                    self._clock = clock = ScaledClock(self._now, factor=FACTOR)
                    nursery.start_soon(partial(service.run, clock, steady_seconds=_steady))
                    await self._play(url)
                service.stop()
                await service.ended.wait()

    async def _play(self, url: str) -> None:
        for act in SCRIPT:
            await self._until(act.hours)
            await self._until_phase(act.after)
            if act.after == (BANK, "bouncing"):
                await self._show_metrics(url)
            self._line(Mark.NOT_APPLICABLE, act.sentence, dim=True)
            act.do(self._lab)
        await self._until(END_HOURS)
        await self._until_phase((BANK, "delivering"))

    async def _until(self, hours: float) -> None:
        await self._clock.sleep_until(self._now + timedelta(hours=hours))

    async def _until_phase(self, wanted: tuple[str, str] | None) -> None:
        latest = self._now + timedelta(hours=PATIENCE_HOURS)
        while wanted is not None and self._phases.get(wanted[0]) != wanted[1]:
            if self._clock.now() >= latest:
                return  # the comparison at the end will tell
            await self._clock.sleep_until(self._clock.now() + timedelta(minutes=5))

    async def _show_metrics(self, url: str) -> None:
        page = await trio.to_thread.run_sync(_fetch, f"{url}metrics")
        self._print()
        self._say(f"What Prometheus reads about {BANK} now, at {url}metrics:")
        for line in page.splitlines():
            family, _, labels = line.partition("{")
            if family in METRICS_SHOWN and labels.partition('"')[2].split('"')[0].endswith(BANK):
                self._print(words(f"  {line}"))
        self._print()

    def _on_alert(self, labels: dict[str, str], summary: str) -> None:
        severity = labels.get("severity", "")
        mark = Mark.FAIL if severity == "critical" else Mark.WARN
        self._line(mark, f"alert, {severity}: {summary}")

    # --- what the service says -------------------------------------------------------------------

    def _on_record(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        kind = fields.get("entity_type")
        if kind is None:
            if record.name == "danewatch.selfwatch" and record.levelno >= logging.INFO:
                mark = Mark.PASS if "we can see" in record.getMessage() else Mark.UNKNOWN
                self._line(mark, record.getMessage())
            return
        if kind == "domain":
            self._phases[fields["entity"]] = fields["phase"]
        if fields["from_status"] is None:
            return
        self._line(mark_of(fields["to_status"]), self._shortened(record.getMessage()))

    def _shortened(self, sentence: str) -> str:
        """Return a sentence with the time of bouncing as this story tells time."""
        head, separator, tail = sentence.partition("mail bounces from ")
        if not separator:
            return sentence
        moment = datetime.fromisoformat(tail.removesuffix(" UTC").replace(" ", "T") + ":00+00:00")
        return f"{head}{separator}{self._since(moment)}"

    def _line(self, mark: Mark, text: str, *, dim: bool = False) -> None:
        lead = words(aside(f"{self._since(self._clock.now()):>6}  "))
        line = marked(self._style, mark, (text, "italic") if dim else text)
        self._print(*hanging(lead, line, self._console.width))

    def _since(self, moment: datetime) -> str:
        minutes = max(int((moment - self._now).total_seconds() // 60), 0)
        return f"{minutes // 60}:{minutes % 60:02}"

    # --- the end ---------------------------------------------------------------------------------

    def _compare(self) -> bool:
        """Say whether the history has exactly the changes that were meant."""
        answer = Questions(self._directory / "history").transitions(entity_type="domain")
        found = [
            (row["entity"], row["from_status"], row["to_status"], row["to_phase"])
            for row in answer.to_pylist()
        ]
        is_right = sorted(found) == sorted(MEANT)
        self._print()
        if is_right:
            text = (
                f"{len(found)} changes of domains in the history, each once, and none but those "
                "the script meant; the hours without a resolver left no trace"
            )
            self._print(*hanging(marked(self._style, Mark.PASS), words(text), self._console.width))
        else:
            wrong = [" ".join(one) for one in sorted(set(found) ^ MEANT)]
            for text in wrong or ["a change was recorded twice"]:
                self._print(marked(self._style, Mark.FAIL, text))
        where = self._style.safe(str(self._directory / "history"), 4_096)
        self._say(f"Ask it: danewatch history timeline {BANK} --history {where}")
        return is_right

    def _say(self, text: str) -> None:
        self._print(*hanging(Text(), words(text), self._console.width))

    def _print(self, *lines: Text) -> None:
        print_lines(self._console, lines or (Text(),))


_LIMITS = ServiceLimits(
    pace=FACTOR,
    monitor=MonitorLimits(gauges_seconds=0.5, outflow=OutflowLimits()),
)


def _steady() -> float:
    """Return a time that nobody sets, at the pace of the clock."""
    return trio.current_time() * FACTOR


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own page
        return str(answer.read().decode("utf-8"))


class _Listening(logging.Handler):
    """Hands the records of the service to the teller for the length of a block."""

    def __init__(self, on_record: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.DEBUG)
        self._on_record = on_record
        self._logger = logging.getLogger("danewatch")

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over."""
        self._on_record(record)

    def __enter__(self) -> "_Listening":
        """Listen."""
        self._before = (self._logger.handlers[:], self._logger.level, self._logger.propagate)
        self._logger.handlers[:] = [self]
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the logger as it was."""
        self._logger.handlers[:], self._logger.level, self._logger.propagate = self._before
