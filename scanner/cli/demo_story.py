"""The demo in five acts: a lab on loopback, three passes over its partners, what is left on disk.

The passes are those of ``danewatch scan``: the same scanner, sinks and history. The lab knows what
a correct scanner must find and shares no code with it, so that the demo proves what it shows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from scanner.cli.errors import CommandError
from scanner.cli.render import Mark, Style, aside, hanging, marked, print_lines, words
from scanner.cli.render_check import VERDICT_MARKS, print_check
from scanner.cli.render_scan import change_lines
from scanner.cli.render_words import plural
from scanner.cli.scan_run import run_pass
from scanner.cli.scan_sinks import HistorySink, MetricsSink, choose_run
from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault, break_domain
from scanner.lab.lab import Lab, open_lab
from scanner.lab.plan import LabDomain
from scanner.model.names import Name
from scanner.model.ports import Target
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DomainVerdict, Profile
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import SystemClock

PAGE_OF = Name("notary.test")
"""The partner whose check is shown in full."""
MISTAKES = {
    Name("bank.test"): (
        NamedFault.CERTIFICATE_REPLACED,
        "renews its certificates with new keys and forgets the TLSA records",
    ),
    Name("university.test"): (
        NamedFault.SIGNATURES_EXPIRED,
        "lets the signatures of its zone expire",
    ),
}
METRICS_SHOWN = (
    "danewatch_domain_up",
    "danewatch_domain_blocked",
    "danewatch_domain_bounces_from_timestamp_seconds",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PassOfDemo:
    """What one pass found."""

    checks: Mapping[Name, Check]
    changes: Sequence[Transition]


@dataclass(frozen=True, kw_only=True, slots=True)
class Meant:
    """What a correct scanner finds now, by profile, and Exchange Online's code."""

    verdicts: Mapping[Profile, DomainVerdict]
    code: str | None


async def tell(console: Console, style: Style, output: Path) -> bool:
    """Tell the story; return whether every verdict was as the laboratory meant it."""
    clock = SystemClock()
    now = clock.now().replace(microsecond=0)
    directory = output / f"{now:%Y%m%dT%H%M%SZ}"
    async with open_lab(demo_plan(now)) as lab:
        teller = _Teller(console, style, directory, lab, clock)
        return await teller.tell()


class _Teller:
    def __init__(
        self, console: Console, style: Style, directory: Path, lab: Lab, clock: SystemClock
    ) -> None:
        self._console = console
        self._style = style
        self._directory = directory
        self._lab = lab
        self._clock = clock
        self._passes = 0
        self._misses = 0
        host, port = lab.resolver
        self._settings = Settings(
            resolvers=(ServerAddress(host, port),),
            anchors=read_anchors(lab.trust_anchor),
            smtp_port=lab.smtp_port,
            allow_private_addresses=True,
        )

    async def tell(self) -> bool:
        count = len(self._lab.domains)
        self._title("A small Internet on this machine")
        self._say(
            f"{plural(count, 'partner')}, their signed zones and their mail servers, on loopback "
            "addresses only. Your network is not used, and no mail is sent."
        )
        await self._first_pass()
        self._show_page()
        await self._mistakes()
        await self._repairs()
        self._what_is_left()
        return self._misses == 0

    async def _first_pass(self) -> None:
        self._title("1. The first pass: how the partners are")
        meant = {name: _meant(domain) for name, domain in self._lab.domains.items()}
        self._first = await self._pass()
        for name, check in self._first.checks.items():
            self._partner_line(self._lab.domains[name], check)
        self._compare(self._first.checks, meant)

    def _show_page(self) -> None:
        self._title(f"2. One of them in full: danewatch check {PAGE_OF}")
        policy = self._settings.policy
        print_check(
            self._console,
            self._first.checks[PAGE_OF],
            profile=policy.profile,
            queue_life=policy.queue_life,
            style=self._style,
        )

    async def _mistakes(self) -> None:
        self._title("3. Two partners make a mistake; the second pass tells at once")
        meant = {name: _meant(domain) for name, domain in self._lab.domains.items()}
        for name, (fault, what) in MISTAKES.items():
            effect = break_domain(self._lab.plan, self._lab.domains[name], fault)
            self._lab.set_fault(name, *effect.faults)
            meant[name] = Meant(
                verdicts={
                    Profile.RFC7672: effect.rfc7672,
                    Profile.EXCHANGE_ONLINE: effect.exchange_online,
                },
                code=effect.code,
            )
            self._say(f"{name} {what}.")
        self._print()
        found = await self._pass()
        self._show_changes(found)
        self._compare(found.checks, meant)
        self._print()
        self._say("In Prometheus, before anybody's mail has come back:")
        self._show_metrics(next(iter(MISTAKES)))

    async def _repairs(self) -> None:
        self._title("4. They repair it, and the third pass sees that too")
        for name in MISTAKES:
            self._lab.clear_fault(name)
        meant = {name: _meant(domain) for name, domain in self._lab.domains.items()}
        found = await self._pass()
        self._show_changes(found)
        self._compare(found.checks, meant)

    def _what_is_left(self) -> None:
        self._title("5. What is left")
        for what, where in (
            ("history", f"{self._directory / 'history'} (Parquet)"),
            ("metrics", f"{self._textfile}"),
        ):
            self._print(words(f"  {what:<9}  {self._style.safe(where, 4_096)}"))
        self._print()
        self._say("With partners of your own:")
        for line in ("danewatch check example.org", "danewatch scan partners.txt --output history"):
            self._print(words(f"  {line}"))

    @property
    def _textfile(self) -> Path:
        return self._directory / "danewatch.prom"

    async def _pass(self) -> PassOfDemo:
        """Make one pass as ``danewatch scan`` does, each with a scanner that remembers nothing."""
        targets = [Target(domain=name) for name in self._lab.domains]
        checks: dict[Name, Check] = {}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            run = choose_run(self._directory / "history", resume=False, now=self._clock.now())
            history = HistorySink(
                self._directory / "history", run, self._settings, targets, self._clock
            )
        except OSError as error:
            raise CommandError(f"cannot keep results: {error}") from error
        metrics = MetricsSink(self._textfile, history, self._settings, run)

        def take(check: Check) -> None:
            checks[check.domain] = check

        async with open_scanner(self._settings) as scanner:
            result = await run_pass(scanner, targets, [history, metrics], take)
        if result.interrupted:
            raise KeyboardInterrupt
        if result.sink_error is not None or result.blind is not None:
            raise CommandError(f"the demo cannot go on: {result.sink_error or result.blind}")
        in_order = {name: checks[name] for name in self._lab.domains if name in checks}
        return PassOfDemo(checks=in_order, changes=history.changes.first)

    def _partner_line(self, domain: LabDomain, check: Check) -> None:
        verdict = check.judgement.of(self._settings.policy.profile)
        lead = words("  ") + marked(
            self._style,
            VERDICT_MARKS[verdict.verdict],
            f"{verdict.verdict:<14}{verdict.code or verdict.final_code or '':<9}{domain.name:<16} ",
        )
        self._print(*hanging(lead, words(aside(domain.title)), self._console.width))

    def _show_changes(self, found: PassOfDemo) -> None:
        self._print(*change_lines(found.changes, self._style, self._console.width))

    def _compare(self, checks: Mapping[Name, Check], meant: Mapping[Name, Meant]) -> None:
        """Say how many verdicts are as meant, and name those that are not."""
        wrong = [
            name for name, one in meant.items() if name not in checks or _found(checks[name]) != one
        ]
        self._misses += len(wrong)
        self._print()
        right = len(meant) - len(wrong)
        mark = Mark.FAIL if wrong else Mark.PASS
        text = f"{right} of {len(meant)} verdicts, under both profiles, are as the laboratory meant"
        self._print(*hanging(marked(self._style, mark), words(text), self._console.width))
        for name in wrong:
            self._print(marked(self._style, Mark.FAIL, f"{name} is not"))

    def _show_metrics(self, domain: Name) -> None:
        for line in self._textfile.read_text(encoding="utf-8").splitlines():
            family, _, rest = line.partition("{")
            if family in METRICS_SHOWN and rest.startswith(f'domain="{domain}"'):
                # Whole seconds are enough to read, and fit the page.
                self._print(words(f"  {re.sub(r'[.][0-9]+$', '', line)}"))

    def _title(self, text: str) -> None:
        self._print(Text(), Text(text, style="bold"), Text())

    def _say(self, text: str) -> None:
        self._print(*hanging(Text(), words(text), self._console.width))

    def _print(self, *lines: Text) -> None:
        print_lines(self._console, lines or (Text(),))


def _meant(domain: LabDomain) -> Meant:
    return Meant(verdicts=domain.expected, code=domain.code)


def _found(check: Check) -> Meant:
    chosen = check.judgement.of(Profile.EXCHANGE_ONLINE)
    return Meant(
        verdicts={one.profile: one.verdict for one in check.judgement.verdicts}, code=chosen.code
    )
