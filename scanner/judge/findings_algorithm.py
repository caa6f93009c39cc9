"""Findings on hosts with two certificates, RSA and ECDSA, of which only one matches (row C30).

Which one a sender is shown depends on what it offers in the handshake, so that mail arrives from
some senders and not from others. The verdict rests on the one an ordinary client is shown.
"""

from collections.abc import Iterator, Sequence

from scanner.judge.certificate import read_certificate
from scanner.judge.examination import Examination, ExaminedProbe
from scanner.judge.note import note
from scanner.model.reasons import Reason
from scanner.model.verdict import AddressJudgement, Finding, HostJudgement, Judged
from scanner.model.vocabulary import HostOutcome, Profile, Severity

MAX_ADDRESSES_QUOTED = 2
"""Addresses named in one message; the check document lists them all."""

_COMPARED = frozenset({HostOutcome.AUTHENTICATED, HostOutcome.FAILED})

_KEY_WORDS = {"rsa": "RSA", "ec": "ECDSA"}


def algorithm_findings(
    host: str, examined: Examination, judgements: Sequence[tuple[Profile, HostJudgement]]
) -> Iterator[Finding]:
    """Yield a finding where one certificate of an address authenticates and the other does not.

    Addresses that show the same certificates are one finding. It is an error where a sender shown
    the wrong one gets a code, which is to say under ``exchange-online``; otherwise a warning.
    """
    said: dict[tuple[str, bool], list[str]] = {}
    for probe in examined.probes:
        deciding = _deciding(probe, judgements)
        if probe.other is None or deciding is None:
            continue
        other = deciding.other
        assert other is not None
        facts = f"{_described(probe, deciding.judged)}; {_described(probe.other, other)}"
        coded = (deciding.judged.code or other.code) is not None
        said.setdefault((facts, coded), []).append(probe.probe.address)
    for (facts, coded), addresses in said.items():
        yield note(
            Reason.CERTIFICATE_ALGORITHM_DEPENDENT,
            host,
            f"{_listed(addresses)}: {facts}",
            severity=Severity.ERROR if coded else Severity.WARNING,
        )


def _listed(addresses: Sequence[str]) -> str:
    """Return the first addresses, so that the hashes after them still fit into the message."""
    more = len(addresses) - MAX_ADDRESSES_QUOTED
    shown = ", ".join(addresses[:MAX_ADDRESSES_QUOTED])
    return f"{shown} and {more} more" if more > 0 else shown


def algorithm_name(der: bytes) -> str:
    """Return what people call the algorithm of a certificate: RSA, ECDSA, or the kind of key."""
    kind = read_certificate(der).key_type
    return _KEY_WORDS.get(kind or "", kind or "unknown")


def _deciding(
    probe: ExaminedProbe, judgements: Sequence[tuple[Profile, HostJudgement]]
) -> AddressJudgement | None:
    """Return the judgement in which the two certificates differ, one with a code if there is."""
    differing = [
        address
        for _, judgement in judgements
        for address in judgement.addresses
        if address.address == probe.probe.address
        and address.other is not None
        and {address.judged.outcome, address.other.outcome} == _COMPARED
    ]
    coded = [one for one in differing if one.judged.code or (one.other and one.other.code)]
    return next(iter((*coded, *differing)), None)


def _described(probe: ExaminedProbe, judged: Judged) -> str:
    """Return one certificate with its hashes and what a sender makes of it."""
    leaf = read_certificate(probe.probe.chain[0])
    words = f"{algorithm_name(leaf.der)} certificate"
    if judged.outcome is HostOutcome.AUTHENTICATED:
        words += " matches"
    else:
        code = f", {judged.code}" if judged.code else ""
        words += f" does not [{judged.reason}{code}]"
    return f"{words}: SPKI SHA-256 {leaf.spki_sha256}, certificate SHA-256 {leaf.sha256}"
