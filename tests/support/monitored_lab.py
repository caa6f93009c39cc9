"""Partners of the lab as the page of metrics shows them, before and after something breaks.

Real checks of real servers; what is read from them is the page that Prometheus scrapes.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import trio

from exporters.exposition import ResultFragments
from exporters.own_metrics import OwnMetrics
from exporters.samples import DEFAULT_QUEUE_LIFE
from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.model.meter import OwnMetric
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.selfstatus import BlindReason
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile
from scanner.observe.dnsserver import ServerAddress
from scanner.transition.fold import fold_check

HEALTHY = tuple(
    Name(f"{label}.test")
    for label in ("bank", "mailhaven", "insurer", "clinic", "city", "university", "bakery")
)
"""Partners of the demo at which nothing is wrong; four of them share the hosts of a provider."""


async def looks(*faults: Mapping[Name, NamedFault]) -> list[dict[Name, Check]]:
    """Return a check of every healthy partner for each set of faults, one set after the other."""
    made = []
    async with open_lab(demo_plan(datetime.now(UTC).replace(microsecond=0))) as lab:
        for broken in faults:
            for name in HEALTHY:
                lab.clear_fault(name)
            for name, fault in broken.items():
                lab.break_domain(name, fault)
            made.append(await _look(lab))
    return made


async def _look(lab: Lab) -> dict[Name, Check]:
    """Check with a scanner that remembers nothing."""
    host, port = lab.resolver
    settings = Settings(
        resolvers=(ServerAddress(host, port),),
        anchors=read_anchors(lab.trust_anchor),
        smtp_port=lab.smtp_port,
        allow_private_addresses=True,
    )
    made: dict[Name, Check] = {}
    async with open_scanner(settings) as scanner, trio.open_nursery() as nursery:

        async def check(name: Name) -> None:
            made[name] = await scanner.check(name)

        for name in HEALTHY:
            nursery.start_soon(check, name)
    return made


class ShownResults:
    """The page of the service: results of confirmed checks, and a danewatch that is well."""

    def __init__(self) -> None:
        self.board = ResultFragments()
        self.own = OwnMetrics(version="1.0")
        self._states: dict[EntityKey, State] = {}
        _make_well(self.own, targets=len(HEALTHY))

    def show(self, checks: Sequence[Check]) -> None:
        """Show ``checks`` as if each had been confirmed."""
        for check in checks:
            moved, _ = fold_check(
                self._states,
                check,
                profile=Profile.EXCHANGE_ONLINE,
                queue_life=DEFAULT_QUEUE_LIFE,
                run_id="test",
            )
            self._states |= moved
            self.board.show(check, states=self._states, labels=(("team", "mail"),))
            self.own.count(OwnMetric.CHECKS, stage="domain")
            self.own.observe(OwnMetric.CHECK_DURATION, 0.2, stage="domain")

    def text(self) -> str:
        """Return the page."""
        results = b"".join(self.board.page().text_chunks(chunk_size=1 << 20))
        return (results + self.own.render()).decode()


def _make_well(own: OwnMetrics, *, targets: int) -> None:
    now = datetime.now(UTC).timestamp()
    for metric, value in (
        (OwnMetric.TARGETS, targets),
        (OwnMetric.TARGETS_LOAD_PROBLEMS, 0),
        (OwnMetric.TARGETS_SHRINK_REFUSED, 0),
        (OwnMetric.SCHEDULER_QUEUE_LENGTH, 0),
        (OwnMetric.SCHEDULER_INTERVAL, 3_600),
        (OwnMetric.SUSPICIONS, 0),
        (OwnMetric.DNS_IN_FLIGHT_LIMIT, 500),
        (OwnMetric.BLIND, 0),
        (OwnMetric.LAST_SELF_TEST, now),
        (OwnMetric.MASS_LOSS_SUSPECTED, 0),
        (OwnMetric.CLOCK_OK, 1),
        (OwnMetric.HISTORY_WRITING, 1),
        (OwnMetric.HISTORY_PENDING_ROWS, 3),
        (OwnMetric.HISTORY_LAST_WRITE, now),
        (OwnMetric.CONFIG_LAST_RELOAD_SUCCESSFUL, 1),
        (OwnMetric.CONFIG_LAST_RELOAD_SUCCESS, now),
        (OwnMetric.EXPOSITION_DURATION, 0.01),
        (OwnMetric.EXPOSITION_SERIES, 100),
        (OwnMetric.EXPOSITION_TRUNCATED, 0),
    ):
        own.put(metric, value)
    for reason in BlindReason:
        own.put(OwnMetric.BLIND_REASON, 0, reason=reason.value)
    own.put(OwnMetric.RESOLVER_UP, 1, resolver="127.0.0.1:53")
    own.put(OwnMetric.RESOLVER_VALIDATING, 1, resolver="127.0.0.1:53")
    own.put(OwnMetric.CANARY_OK, 1, canary="bank.test")
    own.put(OwnMetric.EGRESS_OK, 1, family="ipv4")
    own.observe(OwnMetric.EVENT_LOOP_LAG, 0.001)
