"""Writes ``docs/dnssec-reasons.md``: ``python -m scanner.cli.dnssec_reasons_doc [PATH]``.

The page has one section for each DNSSEC reason, so that the anchor of a reason is its own
spelling. Nobody edits the page; a test holds that it is what this module writes.
"""

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.dnssec_words import dnssec_severity
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, Fault

DEFAULT_PATH = Path("docs/dnssec-reasons.md")
_WIDTH = 100

_OPENING = """\
# DNSSEC reasons

<!-- Written by `python -m scanner.cli.dnssec_reasons_doc` from scanner/model/registry_dnssec*. -->

danewatch validates answers itself, and says where and why a chain of trust breaks with a reason
from this list: in `danewatch dnssec`, in the DNSSEC part of a check, in `zone_checks` of the
[history](history.md) and in the zone [metrics](metrics.md). The names never change their meaning.

- **Leads to**: the status (RFC 4033 §5) of what the reason is found on. A *warning* changes no
  status.
- **Extended error**: the code that a validating resolver would send (RFC 8914). Many resolvers
  send 6 for most of these.
- **Fault**: with whom the cause lies. `scanner` means our own side: nobody is to blame.
"""


@dataclass(frozen=True, slots=True)
class _Chapter:
    """A heading, a few sentences, and the first of its reasons; it ends where the next begins."""

    title: str
    intro: str
    first: R


_CHAPTERS = (
    _Chapter(
        "Before anything can be validated",
        "What the resolver we ask did not deliver, and our own limits. It is checked a second time,"
        " asked differently, and never held against a zone by itself.",
        R.UPSTREAM_TIMEOUT,
    ),
    _Chapter(
        "Trust anchors and delegations",
        "The step from a zone to the one below: the parent's DS records must lead to a key that"
        " signs the child's keys (RFC 4035 §5.2), or the parent must prove that there are none.",
        R.NO_ANCHOR,
    ),
    _Chapter(
        "Signatures",
        "Of one record set. One good signature suffices; the reason told is that of the signature"
        " which came nearest to success (RFC 4035 §5.3, RFC 6840 §5).",
        R.RRSIG_MISSING,
    ),
    _Chapter(
        "Proofs of absence and aliases",
        "That something does not exist must be proven by NSEC or NSEC3 records (RFC 4035 §5.4,"
        " RFC 5155 §8), and each alias by its own signature or that of the DNAME that makes it.",
        R.DENIAL_MISSING,
    ),
    _Chapter(
        "Choices of ours",
        "What our policy and our clock decide.",
        R.SHA1_BY_POLICY,
    ),
    _Chapter(
        "Name servers of the zone",
        "Seen only where the zone's own servers are asked.",
        R.SERVER_UNRESPONSIVE,
    ),
    _Chapter(
        "What is to come",
        "Forecasts: nothing is broken yet. Signatures are judged by the share of their lifetime"
        " that is left and by the zone's own habit of renewing them, never by a number of days.",
        R.DS_CHANGE_PENDING,
    ),
    _Chapter(
        "Two opinions",
        "Where the resolver validates too, and says something else.",
        R.RESOLVER_DISAGREES,
    ),
)


def dnssec_reasons_document() -> str:
    """Return the page, in Markdown, ending with a newline."""
    return "\n".join([_OPENING, *_contents(), "", *_chapters()]).rstrip("\n") + "\n"


def chapters() -> Iterator[tuple[_Chapter, tuple[R, ...]]]:
    """Yield each chapter with its reasons, in the order of the enum."""
    members = list(R)
    starts = [*(members.index(chapter.first) for chapter in _CHAPTERS), len(members)]
    for chapter, (start, end) in zip(_CHAPTERS, pairwise(starts), strict=True):
        yield chapter, tuple(members[start:end])


def _contents() -> Iterator[str]:
    for chapter, reasons in chapters():
        names = ", ".join(f"[{reason}](#{reason})" for reason in reasons)
        yield textwrap.fill(
            f"- **{chapter.title}**: {names}",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _chapters() -> Iterator[str]:
    for chapter, reasons in chapters():
        yield f"## {chapter.title}\n"
        yield _paragraph(chapter.intro)
        for reason in reasons:
            yield from _entry(reason)


def _entry(reason: R) -> Iterator[str]:
    entry = dnssec_info(reason)
    yield f"### {reason}\n"
    yield _paragraph(entry.sentence)
    severity = dnssec_severity(reason, entry.state)
    leads_to = "a warning" if entry.state is None else f"`{entry.state}`"
    if entry.state is None and entry.fault is Fault.NOBODY:
        leads_to = "nothing; for information"
    if entry.state is DnssecStatus.INDETERMINATE:
        leads_to += ", checked twice"
    yield f"- Leads to: {leads_to}; severity {severity}"
    if entry.ede is not None:
        yield f"- Extended error: {entry.ede}"
    yield f"- Fault: {entry.fault.replace('-', ' ').replace('dns', 'DNS')}"
    yield ""
    yield _paragraph(f"What to do: {entry.remedy}")


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page to the path given, or to its place in the repository."""
    path = Path(arguments[0]) if arguments else DEFAULT_PATH
    path.write_text(dnssec_reasons_document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
