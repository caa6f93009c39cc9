"""Large plans for benchmarks: many domains, mixed faults, and the right verdict for each.

The mix is the one of real mail: most domains sit on a few operators, the others run a host of their
own; about a third is unsigned. ``seed`` fixes the plan; two calls give the same domains, faults and
expectations (keys and certificates differ).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from scanner.lab.builder import UNSIGNED, Builder, DomainDraft, HostDraft
from scanner.lab.ca import LeafSpec
from scanner.lab.plan import Behaviour, DnsFaultKind, DsKind, LabPlan
from scanner.lab.scenarios_tls import ONE_DAY, WRONG_311
from scanner.model.names import Name
from scanner.model.vocabulary import DomainVerdict

OPERATORS = 20
SHARED_SHARE = 0.6  # of all domains: on one of the operators
UNSIGNED_SHARE = 0.3  # of the domains without a fault of their own
OPERATORS_WITHOUT_DANE = 5  # of the operators

PROTECTED = DomainVerdict.PROTECTED
OPPORTUNISTIC = DomainVerdict.OPPORTUNISTIC
DEFERRED = DomainVerdict.DEFERRED
BLOCKED = DomainVerdict.BLOCKED


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a signed domain on some hosts gets; ``exo`` None means the same as ``rfc``."""

    rfc: DomainVerdict
    exo: DomainVerdict | None = None
    code: str | None = None
    cause: str | None = None


_GOOD = _Outcome(PROTECTED)
_NO_DANE = _Outcome(OPPORTUNISTIC)


@dataclass(frozen=True, slots=True)
class _Operator:
    hosts: tuple[HostDraft, ...]
    outcome: _Outcome


def generate(now: datetime, count: int, *, seed: int = 1, fault_share: float = 0.1) -> LabPlan:
    """Return a lab of ``count`` domains of which about ``fault_share`` have a fault of their own.

    One operator in ``1 / fault_share`` is broken too. No fault makes a scanner wait for a
    time-out, so that a benchmark measures work.
    """
    chance = random.Random(seed)
    builder = Builder(now)
    builder.label = "generated"
    operators = [_operator(builder, number, fault_share) for number in range(OPERATORS)]
    for number in range(count):
        faulty = chance.random() < fault_share
        if chance.random() < SHARED_SHARE:
            _on_operator(builder, number, chance, operators, faulty=faulty)
        else:
            _on_own_host(builder, number, chance, faulty=faulty)
    return builder.plan()


def _operator(b: Builder, number: int, fault_share: float) -> _Operator:
    """Write an operator of two hosts. The first ones have no DANE, the last ones are broken."""
    without_dane = number < OPERATORS_WITHOUT_DANE
    broken = number >= OPERATORS - round(OPERATORS * fault_share)
    origin = f"operator{number:02d}.test"
    draft = b.domain(f"operator{number:02d}", "a mail operator", zone=b.zone(origin))
    records = () if without_dane else (WRONG_311,) if broken and number % 2 else None
    behaviour = Behaviour.NO_STARTTLS if broken and not number % 2 else Behaviour.GOOD
    hosts = tuple(
        draft.host(label, tlsa=records, behaviour=behaviour, mx=False) for label in ("mx1", "mx2")
    )
    if without_dane:
        return _Operator(hosts, _NO_DANE)
    if broken:
        code = "4.7.323" if number % 2 else "4.7.321"
        return _Operator(hosts, _Outcome(BLOCKED, code=code))
    return _Operator(hosts, _GOOD)


def _on_operator(
    b: Builder, number: int, chance: random.Random, operators: list[_Operator], *, faulty: bool
) -> None:
    # Operators differ in size as in life: the first few have most of the customers.
    operator = operators[min(int(chance.expovariate(0.15)), OPERATORS - 1)]
    fault = chance.choice(_ZONE_FAULTS) if faulty else None
    unsigned = fault is None and chance.random() < UNSIGNED_SHARE
    draft = _domain(b, number, "on a shared operator", fault, unsigned=unsigned)
    for preference, host in enumerate(operator.hosts, 1):
        draft.mx(host.name, preference * 10, addresses=host.addresses, zone=host.zone.origin)
    outcome = _NO_DANE if unsigned else operator.outcome
    _expect(draft, fault(draft) if fault else outcome)


def _on_own_host(b: Builder, number: int, chance: random.Random, *, faulty: bool) -> None:
    fault = chance.choice(_OWN_FAULTS) if faulty else None
    unsigned = fault is None and chance.random() < UNSIGNED_SHARE
    draft = _domain(b, number, "on a host of its own", fault, unsigned=unsigned)
    if fault is not None:
        if fault in _ZONE_FAULTS:
            draft.host()
        _expect(draft, fault(draft))
        return
    has_dane = not unsigned and chance.random() < 0.8
    draft.host(tlsa=None if has_dane else ())
    _expect(draft, _GOOD if has_dane else _NO_DANE)


def _domain(
    b: Builder, number: int, title: str, fault: "_Fault | None", *, unsigned: bool
) -> DomainDraft:
    options = dict(UNSIGNED) if unsigned else {}
    if fault is _ds_mismatch:
        options["ds"] = DsKind.MISMATCH
    return b.domain(f"d{number:06d}", title, **options)


def _expect(draft: DomainDraft, outcome: _Outcome) -> None:
    draft.expect(outcome.rfc, outcome.exo, code=outcome.code, cause=outcome.cause)


def _ds_mismatch(draft: DomainDraft) -> _Outcome:
    del draft  # the delegation itself is wrong
    return _Outcome(BLOCKED, code="4.4.312", cause="4.7.324")


def _mx_expired(draft: DomainDraft) -> _Outcome:
    draft.fault(DnsFaultKind.SIGNATURE_EXPIRED, draft.name, "MX")
    return _Outcome(BLOCKED, code="4.4.312", cause="4.7.324")


def _servers_down(draft: DomainDraft) -> _Outcome:
    draft.fault(DnsFaultKind.UNREACHABLE)
    return _Outcome(DEFERRED, code="4.4.312")


def _tlsa_mismatch(draft: DomainDraft) -> _Outcome:
    draft.host(tlsa=[WRONG_311], code="4.7.323")
    return _Outcome(BLOCKED, code="4.7.323")


def _tlsa_bogus(draft: DomainDraft) -> _Outcome:
    host = draft.host()
    draft.fault(DnsFaultKind.SIGNATURE_CORRUPT, host.tlsa, "TLSA")
    return _Outcome(BLOCKED, code="4.7.324")


def _tlsa_servfail(draft: DomainDraft) -> _Outcome:
    host = draft.host()
    draft.fault(DnsFaultKind.SERVFAIL, host.tlsa, "TLSA")
    return _Outcome(DEFERRED, code="4.7.324")


def _expired(draft: DomainDraft) -> _Outcome:
    spec = LeafSpec(names=(Name(draft.sub("mx1")),), starts=-90 * ONE_DAY, ends=-ONE_DAY)
    draft.host(chain=draft.foundry.leaf(spec), code="4.7.322")
    return _Outcome(PROTECTED, BLOCKED, code="4.7.322")


def _no_starttls(draft: DomainDraft) -> _Outcome:
    draft.host(behaviour=Behaviour.NO_STARTTLS, code="4.7.321")
    return _Outcome(BLOCKED, code="4.7.321")


def _down(draft: DomainDraft) -> _Outcome:
    draft.host(behaviour=Behaviour.REFUSED, code="4.4.316")
    return _Outcome(DEFERRED, code="4.4.316")


_Fault = Callable[[DomainDraft], _Outcome]
_ZONE_FAULTS: tuple[_Fault, ...] = (_ds_mismatch, _mx_expired, _servers_down)
_OWN_FAULTS: tuple[_Fault, ...] = (
    *_ZONE_FAULTS,
    _tlsa_mismatch,
    _tlsa_bogus,
    _tlsa_servfail,
    _expired,
    _no_starttls,
    _down,
)
