"""Tests whether a resolver lets through what validation needs: EDNS, signatures, DS, large answers.

A resolver that answers mail questions well can still make every signed domain look broken: because
it is old, because a forwarder before it was written without DNSSEC in mind, or because a firewall
between us and it drops what it does not know. Such a path is found here, once, and said with a
remedy, before anything is said about any domain.

The questions are about the root and a delegation from it, whose answers are signed wherever the
root is trusted, whether the delegation exists or not.
"""

from collections.abc import Awaitable, Callable

from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.selfcheck import SelfTestCheck

Fetch = Callable[[Question], Awaitable[SignedMessage | FetchFailure]]

SMALL_QUESTION = Question(ROOT, RRType.SOA)
LARGE_QUESTION = Question(ROOT, RRType.DNSKEY)
"""The root's keys and their signature, 1,139 octets in 2026, more while a key is changed."""
DELEGATION_QUESTION = Question(Name("com"), RRType.DS)
"""Signed by the root: the DS records or, where there is another root, the proof of none."""

_TYPE_DS = 43
_TYPE_DNSKEY = 48
_DENIALS = frozenset({47, 50})  # NSEC, NSEC3

_REMEDY_EDNS = (
    "Update the resolver, or take whatever rewrites DNS between here and it out of the way "
    "(DNS inspection of a firewall, a router's forwarder)."
)
_REMEDY_SIGNATURES = (
    "Use a resolver that understands DNSSEC, without a forwarder before it that does not: unbound, "
    "BIND, Knot Resolver or PowerDNS Recursor on this machine is best."
)
_REMEDY_DS = (
    "Let DS questions pass: look for a forwarder or a firewall that blocks record types it does "
    "not know, or that answers for names of its own."
)
_REMEDY_LARGE = (
    "Let UDP answers of 1232 octets and TCP pass between here and the resolver: look for a "
    "firewall that cuts DNS off at 512 octets or blocks port 53 over TCP (RFC 7766 §5, RFC 9715)."
)


async def examine_path(name: str, fetch: Fetch) -> tuple[SelfTestCheck, ...]:
    """Return the checks of the path to the resolver called ``name``.

    None of a resolver that does not answer at all, which is for others to say; and nothing more
    once something is found on which the rest depends.
    """
    small = await fetch(SMALL_QUESTION)
    if isinstance(small, FetchFailure):
        return ()
    checks = [_check_edns(name, small)]
    if not small.edns:
        return tuple(checks)
    large = await fetch(LARGE_QUESTION)
    checks.append(_check_large(name, large))
    if isinstance(large, FetchFailure):
        return tuple(checks)
    checks.append(_check_signatures(name, large))
    if checks[-1].ok:
        checks.append(_check_ds(name, await fetch(DELEGATION_QUESTION)))
    return tuple(checks)


def _check_edns(name: str, reply: SignedMessage) -> SelfTestCheck:
    return _check(
        "resolver-edns",
        reply.edns,
        f"The resolver {name} understands EDNS.",
        f"The replies of the resolver {name} lack EDNS, without which no signatures can be had.",
        _REMEDY_EDNS,
    )


def _check_large(name: str, reply: SignedMessage | FetchFailure) -> SelfTestCheck:
    why = ""
    if isinstance(reply, FetchFailure):
        silent = reply.reason is DnssecReason.UPSTREAM_TIMEOUT
        why = "no reply" if silent else reply.detail or reply.outcome.value
        why = reply.own_fault or why
    return _check(
        "resolver-large-answers",
        not why,
        f"Large answers of the resolver {name} arrive.",
        f"The resolver {name} answers small questions, but {LARGE_QUESTION} not: {why}.",
        _REMEDY_LARGE,
    )


def _check_signatures(name: str, reply: SignedMessage) -> SelfTestCheck:
    keys = reply.find((), _TYPE_DNSKEY)
    missing = "the root's keys" if keys is None else "the signatures over the root's keys"
    return _check(
        "resolver-signatures",
        keys is not None and bool(keys.rrsigs),
        f"The resolver {name} passes signatures on.",
        f"The resolver {name} leaves out {missing}, so nothing can be validated.",
        _REMEDY_SIGNATURES,
    )


def _check_ds(name: str, reply: SignedMessage | FetchFailure) -> SelfTestCheck:
    why = "neither signed DS records nor a signed proof of none"
    ok = False
    if isinstance(reply, FetchFailure):
        why = reply.own_fault or reply.detail or reply.outcome.value
    else:
        signed = {rrset.rdtype for rrset in reply.answer if rrset.rrsigs}
        denied = {rrset.rdtype for rrset in reply.authority if rrset.rrsigs}
        ok = _TYPE_DS in signed or bool(denied & _DENIALS)
    return _check(
        "resolver-ds",
        ok,
        f"The resolver {name} answers DS questions.",
        f"The resolver {name} does not answer {DELEGATION_QUESTION} as it must: {why}.",
        _REMEDY_DS,
    )


def _check(name: str, ok: bool, good: str, bad: str, remedy: str) -> SelfTestCheck:
    return SelfTestCheck(
        name=name, ok=ok, sentence=good if ok else bad, remedy=None if ok else remedy
    )
