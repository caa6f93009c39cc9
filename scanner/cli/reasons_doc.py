"""Writes ``docs/reasons.md`` from the registry: ``python -m scanner.cli.reasons_doc [PATH]``.

The page has one section for each reason, so that the anchor of a reason is its own spelling. Nobody
edits the page; a test holds that it is what this module writes.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from scanner.model.reasons import Reason
from scanner.model.registry import FINAL, QUEUED, SECTIONS, ReasonInfo, Section
from scanner.model.vocabulary import CodeSet, Fault

DEFAULT_PATH = Path("docs/reasons.md")
_WIDTH = 100

_OPENING = """\
# Reasons

<!-- Written by `python -m scanner.cli.reasons_doc`; edit scanner/model/registry*.py instead. -->

Every verdict, every outcome of a host and every finding names a reason from this list. The names
never change their meaning.

Each entry says what the reason means and what to do: the sender is who runs the sending mail
system (and this scanner), the receiver is who runs the domain, its DNS or its mail servers.

- **Exchange Online code**: what message trace shows while mail is queued (`4.`…) and what the
  non-delivery report says in the end (`5.`…). Where the older code set (`seed`) differs from the
  current one (`2024`), both are given. A *generic* code is followed by the code it means.
- **TLS report type**: the result type of RFC 8460 §4.3 that a sender's report would carry.
- **Fault**: with whom the cause lies. `scanner` means our own side: nothing is held against
  anybody, and no code is shown.
- **Transient**: such a failure is checked twice before it is reported.
"""

_FAULTS = {
    Fault.DOMAIN_OWNER: "domain owner",
    Fault.DNS_OPERATOR: "DNS operator",
    Fault.MAIL_OPERATOR: "mail operator",
    Fault.NETWORK: "network",
    Fault.SCANNER: "scanner",
    Fault.NOBODY: "nobody",
}


def reasons_document() -> str:
    """Return the page, in Markdown, ending with a newline."""
    return "\n".join([_OPENING, *_contents(), "", *_chapters()]).rstrip("\n") + "\n"


def _contents() -> Iterator[str]:
    for section in SECTIONS:
        names = ", ".join(f"[{reason}](#{entry.anchor})" for reason, entry in _entries(section))
        yield textwrap.fill(
            f"- **{section.title}**: {names}",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _chapters() -> Iterator[str]:
    for section in SECTIONS:
        yield f"## {section.title}\n"
        yield _paragraph(section.intro)
        for reason, entry in _entries(section):
            yield from _entry(reason, entry)


def _entries(section: Section) -> list[tuple[Reason, ReasonInfo]]:
    return list(section.entries.items())


def _entry(reason: Reason, entry: ReasonInfo) -> Iterator[str]:
    yield f"### {reason}\n"
    yield _paragraph(entry.sentence)
    yield from _facts(entry)
    yield ""
    advised = "whoever runs the scanner" if entry.own_side else "the sender"
    yield _paragraph(f"For {advised}: {entry.remedy_sender}")
    yield _paragraph(f"For the receiver: {entry.remedy_receiver}")


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _facts(entry: ReasonInfo) -> Iterator[str]:
    code = _codes(entry)
    if code:
        yield f"- Exchange Online code: {code}"
    if entry.result_type is not None:
        yield f"- TLS report type: `{entry.result_type}`"
    transient = ", transient" if entry.transient else ""
    yield f"- Fault: {_FAULTS[entry.fault]}; severity {entry.severity}{transient}"
    if entry.references:
        yield f"- References: {', '.join(entry.references)}"


def _codes(entry: ReasonInfo) -> str:
    current = entry.codes[CodeSet.CODES_2024]
    if current is None:
        return ""
    if entry.permanent:
        return f"`{FINAL}.{current}` at once"
    text = _both_classes(current)
    older = entry.codes[CodeSet.SEED]
    if older is not None and older != current:
        text += f"; in code set `{CodeSet.SEED}` {_both_classes(older)}"
    if entry.cause is not None and entry.cause != current:
        text += f", generic, meaning {_both_classes(entry.cause)}"
    return text


def _both_classes(suffix: str) -> str:
    return f"`{QUEUED}.{suffix}` then `{FINAL}.{suffix}`"


def main(arguments: list[str]) -> int:
    """Write the page to the path given, or to its place in the repository."""
    path = Path(arguments[0]) if arguments else DEFAULT_PATH
    path.write_text(reasons_document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
