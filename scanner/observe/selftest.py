"""The self-test of one resolver: does it answer, validate, refuse what is bogus, speak TCP?

Where we validate ourselves, whether it lets through what that needs (``scanner.observe.pathtest``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scanner.model.observation import Lookup, Question
from scanner.model.ports import Resolver
from scanner.model.vocabulary import DnssecStatus
from scanner.observe.pathtest import Fetch, examine_path
from scanner.observe.selfcheck import SelfTestCheck

__all__ = ["SelfTest", "SelfTestCheck", "examine_server"]

_REMEDY_UP = (
    "Start a validating resolver there (unbound, for example), or name another one with "
    "--resolver ADDR[:PORT]."
)
_REMEDY_ROOT = (
    "Look for the first of these that is so: a clock is wrong, here or there; a trust anchor is "
    "wrong (--trust-anchor here; unbound-anchor, or bind.keys for BIND, there); the resolver, or "
    "something before it, invents answers or drops DNSSEC records."
)
_REMEDY_VALIDATES = (
    "Turn on DNSSEC validation in it (unbound: auto-trust-anchor-file; BIND: dnssec-validation "
    "auto), or name another resolver. A forwarder in between must pass the AD bit on."
)
_REMEDY_BOGUS = "Remove negative trust anchors and permissive modes from its configuration."
_REMEDY_TCP = (
    "Allow TCP to the resolver's port: signed answers are often too large for UDP (RFC 7766 §5)."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTest:
    """All that was tested."""

    tested_at: datetime
    checks: tuple[SelfTestCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is well."""
        return all(check.ok for check in self.checks)


async def examine_server(
    name: str,
    resolver: Resolver,
    stream: Resolver | None,
    *,
    control: Question,
    known_bogus: Sequence[Question],
    fetch: Fetch | None = None,
) -> tuple[SelfTestCheck, ...]:
    """Return the checks of the resolver called ``name``; ``stream`` is the same over TCP.

    ``fetch`` gets its replies as they are, where we validate them ourselves. Of a resolver that
    does not answer nothing more is asked; what breaks the path to it is told instead of what
    follows from that.
    """
    answer = await resolver.lookup(control)
    path = () if fetch is None else await examine_path(name, fetch)
    checks = [_check_up(name, answer), *path]
    if not answer.has_data:
        broken = tuple(check for check in path if not check.ok)
        return broken or tuple(checks[:1])
    checks.append(_check_validates(name, answer))
    checks += [_check_refuses(name, await resolver.lookup(bogus)) for bogus in known_bogus]
    if stream is not None:
        checks.append(_check_tcp(name, await stream.lookup(control)))
    return tuple(checks)


def _check_up(name: str, answer: Lookup) -> SelfTestCheck:
    if answer.has_data:
        return SelfTestCheck(name="resolver-up", ok=True, sentence=f"The resolver {name} answers.")
    if answer.status is DnssecStatus.BOGUS:
        return SelfTestCheck(
            name="resolver-up",
            ok=False,
            sentence=f"The resolver {name} gives no answer to {answer.question} that validates: "
            f"{_why(answer)}.",
            remedy=_REMEDY_ROOT,
        )
    return SelfTestCheck(
        name="resolver-up",
        ok=False,
        sentence=f"The resolver {name} does not answer {answer.question}: {_why(answer)}.",
        remedy=_REMEDY_UP,
    )


def _check_validates(name: str, answer: Lookup) -> SelfTestCheck:
    ok = answer.is_secure_data
    return SelfTestCheck(
        name="resolver-validating",
        ok=ok,
        sentence=f"The resolver {name} validates DNSSEC."
        if ok
        else f"The resolver {name} does not validate DNSSEC: {answer.question}, which is always "
        "signed, came back without the AD bit.",
        remedy=None if ok else _REMEDY_VALIDATES,
    )


def _check_refuses(name: str, answer: Lookup) -> SelfTestCheck:
    ok = answer.is_error
    return SelfTestCheck(
        name="resolver-refuses-bogus",
        ok=ok,
        sentence=f"The resolver {name} refuses {answer.question}, whose signatures are broken."
        if ok
        else f"The resolver {name} accepts {answer.question}, whose signatures are broken.",
        remedy=None if ok else _REMEDY_BOGUS,
    )


def _check_tcp(name: str, answer: Lookup) -> SelfTestCheck:
    ok = answer.has_data
    return SelfTestCheck(
        name="resolver-tcp",
        ok=ok,
        sentence=f"The resolver {name} answers over TCP."
        if ok
        else f"The resolver {name} does not answer over TCP: {_why(answer)}.",
        remedy=None if ok else _REMEDY_TCP,
    )


def _why(answer: Lookup) -> str:
    return answer.own_fault or answer.detail or str(answer.outcome)
