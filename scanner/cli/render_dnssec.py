"""The chain of trust as a page: the answer's worth, every link from the anchor down, what to do.

    headline      what the answer is worth and, where the chain breaks, the zone and the reason
    tree          one branch for each zone: what the parent publishes (DS), the zone's keys, the
                  signatures that hold them together; last the answer with its own
    findings      every independent fault and warning, then what is to come
    remedies      what would fix the faults, and who can

Long sets are cut with a note of how many were left out: a hostile zone must not fill a terminal.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from exporters.dnssec_document import presentation
from scanner.cli.render import (
    Branch,
    Mark,
    Style,
    aside,
    hanging,
    marked,
    print_lines,
    tree_lines,
    words,
)
from scanner.cli.render_words import LOOKUP_WORDS, distance, plural
from scanner.model.dnssec import (
    ChainLink,
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    Ds,
    LinkKind,
    SignatureCheck,
    Validation,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.dnssec_words import (
    algorithm_name,
    digest_name,
    dnssec_severity,
    key_role,
    type_name,
)
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, Fault, LookupOutcome, Severity

MAX_SHOWN = 8
"""DS records, keys, signatures or records of one set that are shown; the rest is counted."""
MAX_FINDINGS = 30

STATUS_MARKS = {
    DnssecStatus.SECURE: Mark.PASS,
    DnssecStatus.INSECURE: Mark.NOT_APPLICABLE,
    DnssecStatus.BOGUS: Mark.FAIL,
    DnssecStatus.INDETERMINATE: Mark.UNKNOWN,
}
_SEVERITY_MARKS = {
    Severity.INFO: Mark.NOT_APPLICABLE,
    Severity.WARNING: Mark.WARN,
    Severity.ERROR: Mark.FAIL,
}
_HEADLINES = {
    DnssecStatus.SECURE: "is secure: every link from the trust anchor down holds.",
    DnssecStatus.INSECURE: "is insecure: nothing protects it.",
    DnssecStatus.BOGUS: "is bogus: validating resolvers refuse to answer.",
    DnssecStatus.INDETERMINATE: "is indeterminate: it could not be validated.",
}
_WHO = {
    Fault.DOMAIN_OWNER: "the owner of the domain",
    Fault.DNS_OPERATOR: "who signs and serves the zone",
    Fault.MAIL_OPERATOR: "who runs the mail server",
    Fault.NETWORK: "the network",
    Fault.SCANNER: "us",
}
_OURS = frozenset({Fault.SCANNER, Fault.NETWORK})
_LOOK_HERE = "Look at the resolver, the trust anchor, the clock and the network of this machine."
_TYPE_DS = 43
_TYPE_DNSKEY = 48


def print_dnssec(
    console: Console, validation: Validation, forecast: Sequence[DnssecFinding], style: Style
) -> None:
    """Write the page of ``validation`` to ``console``."""
    print_lines(console, dnssec_page(validation, forecast, style=style, width=console.width))


def dnssec_page(
    validation: Validation, forecast: Sequence[DnssecFinding], *, style: Style, width: int
) -> Iterator[Text]:
    """Yield the lines of the page, each at most ``width`` columns."""
    yield from _headline(validation, style, width)
    yield Text()
    yield from tree_lines(_tree(validation, style), style, width)
    yield from _findings(validation, forecast, style, width)
    yield from _remedies(validation, style, width)


def _headline(validation: Validation, style: Style, width: int) -> Iterator[Text]:
    question = f"{style.name(validation.question.name)} {validation.question.rdtype}"
    ours = validation.own_fault is not None
    told = "cannot be judged from here." if ours else _HEADLINES[validation.status]
    lead = marked(style, Mark.UNKNOWN if ours else STATUS_MARKS[validation.status])
    yield from hanging(lead, words((f"{question} {told}", "bold")), width)
    zone = validation.ends_at
    if validation.reason is not None:
        sentence = dnssec_info(validation.reason).sentence
        where = f"{'Ends' if validation.status is DnssecStatus.INSECURE else 'Breaks'} at "
        if zone is not None:
            sentence = f"{where}{style.name(zone)}: {sentence}"
        text = words(f"{sentence} ", aside(_codes(validation)))
        yield from hanging(words("  "), text, width)
    if validation.own_fault is not None:
        text = words(f"This is on our side: {style.safe(validation.own_fault, 300)}.")
        yield from hanging(words("  "), text, width)


def _codes(validation: Validation) -> str:
    shown = f"[{validation.reason}]"
    return shown if validation.ede is None else f"{shown} extended error {validation.ede}"


def _tree(validation: Validation, style: Style) -> Branch:
    title = f"{style.name(validation.question.name)} {validation.question.rdtype}"
    tree = Branch(words((title, "bold")))
    now = validation.validated_at
    for link in validation.chain:
        tree.add(_link_branch(link, now, style))
    tree.add(_answer_branch(validation, now, style))
    return tree


def _link_branch(link: ChainLink, now: datetime, style: Style) -> Branch:
    zone = style.name(link.zone)
    mark = STATUS_MARKS[link.status]
    if link.kind is LinkKind.NO_CUT:
        text = f"{zone}: no zone begins here, it belongs to {style.name(link.parent or '')}"
        return Branch(marked(style, Mark.NOT_APPLICABLE, aside(text)))
    kind = " (trust anchor)" if link.kind is LinkKind.ANCHOR else ""
    reason = f" [{link.reason}]" if link.reason is not None else ""
    title = marked(style, mark, (f"{zone}{kind}", "bold"), f": {link.status}{reason}")
    branch = Branch(title)
    for ds in link.ds[:MAX_SHOWN]:
        branch.add(_ds_line(ds, link, style))
    _add_rest(branch, len(link.ds), "DS record", style)
    _add_denial(branch, link, now, style)
    _add_signatures(branch, _of_type(link, _TYPE_DS), now, style)
    for key in _by_importance(link)[:MAX_SHOWN]:
        branch.add(_key_line(key, link, style))
    _add_rest(branch, len(link.dnskeys), "key", style)
    _add_signatures(branch, _of_type(link, _TYPE_DNSKEY), now, style)
    return branch


def _of_type(link: ChainLink, rdtype: int) -> list[CheckedRRset]:
    return [rrset for rrset in link.rrsets if rrset.rdtype == rdtype]


def _by_importance(link: ChainLink) -> list[Dnskey]:
    """Return the keys, those the chain goes through first."""
    return sorted(
        link.dnskeys,
        key=lambda key: (key.key_tag not in link.entry_keys, not key.is_secure_entry_point),
    )


def _ds_line(ds: Ds, link: ChainLink, style: Style) -> Text:
    what = "Anchor" if link.kind is LinkKind.ANCHOR else "DS"
    numbers = f"{what} {ds.key_tag} {algorithm_name(ds.algorithm)} {digest_name(ds.digest_type)}"
    twins = [
        key for key in link.dnskeys if (key.key_tag, key.algorithm) == (ds.key_tag, ds.algorithm)
    ]
    if not link.dnskeys:
        return marked(style, Mark.NOT_APPLICABLE, numbers)
    if ds.key_tag in link.entry_keys and twins:
        return marked(style, Mark.PASS, f"{numbers} ", aside("fits a key that signs"))
    serious = link.status is DnssecStatus.BOGUS
    mark = Mark.FAIL if serious else Mark.NOT_APPLICABLE
    if not twins:
        return marked(style, mark, f"{numbers}: no such key in the zone")
    about = "does not lead to a signed set of keys" if serious else "not needed"
    return marked(style, mark, f"{numbers}: {about}")


def _key_line(key: Dnskey, link: ChainLink, style: Style) -> Text:
    bits = f" {key.bits} bits" if key.bits is not None else ""
    numbers = f"DNSKEY {key.key_tag} {algorithm_name(key.algorithm)}{bits}, {key_role(key)}"
    entry = key.key_tag in link.entry_keys and link.status is DnssecStatus.SECURE
    mark = Mark.PASS if entry else Mark.NOT_APPLICABLE
    if not key.is_zone_key:
        return marked(style, Mark.WARN, f"{numbers}: not a zone key (flags {key.flags})")
    return marked(style, mark, numbers)


def _add_denial(branch: Branch, link: ChainLink, now: datetime, style: Style) -> None:
    """Add what proves, or should, that there is no DS."""
    if link.ds or link.kind is LinkKind.ANCHOR:
        return
    proofs = [rrset for rrset in link.rrsets if rrset.rdtype not in (_TYPE_DS, _TYPE_DNSKEY)]
    if link.status is DnssecStatus.INSECURE:
        branch.add(marked(style, Mark.NOT_APPLICABLE, "DS: none, and that is proven"))
    _add_signatures(branch, proofs, now, style)


def _add_signatures(
    branch: Branch, rrsets: Iterable[CheckedRRset], now: datetime, style: Style
) -> None:
    for rrset in list(rrsets)[:MAX_SHOWN]:
        if rrset.zone is None:
            text = f"RRSIG over {type_name(rrset.rdtype)}: not checked, the chain ends above"
            branch.add(marked(style, Mark.NOT_APPLICABLE, text))
            continue
        if not rrset.signatures and rrset.reason is not None:
            text = f"RRSIG over {type_name(rrset.rdtype)}: none [{rrset.reason}]"
            branch.add(marked(style, STATUS_MARKS[rrset.status], text))
        telling = [one for one in rrset.signatures if one.checked or one.reason is not None]
        for one in telling[:MAX_SHOWN]:
            branch.add(_signature_line(one, rrset, now, style))
        rest = len(rrset.signatures) - len(telling[:MAX_SHOWN])
        if rest and rrset.status is not DnssecStatus.SECURE:
            branch.add(words(aside(f"  and {plural(rest, 'more signature')}")))


def _signature_line(
    check: SignatureCheck, rrset: CheckedRRset, now: datetime, style: Style
) -> Text:
    rrsig = check.rrsig
    text = f"RRSIG over {type_name(rrsig.type_covered)} by {rrsig.key_tag}"
    if rrsig.signer != rrset.owner:
        text += f" of {style.name(rrsig.signer, 30)}"
    began, ends = distance(check.inception, now), distance(check.expiration, now)
    span = f"began {began}" if check.inception <= now else f"begins {began}"
    span += f", {'ends' if check.expiration > now else 'ended'} {ends}"
    if check.reason is None:
        return marked(style, Mark.PASS, text, aside(f" ({span})"))
    mark = Mark.FAIL if rrset.status is DnssecStatus.BOGUS else Mark.WARN
    return marked(style, mark, f"{text}: {span} ", f"[{check.reason}]")


def _answer_branch(validation: Validation, now: datetime, style: Style) -> Branch:
    branch = Branch(_answer_title(validation, style))
    for hop in validation.aliases[:MAX_SHOWN]:
        mark = STATUS_MARKS[hop.status] if hop.status is not None else Mark.UNKNOWN
        text = f"{style.name(hop.owner)} is an alias of {style.name(hop.target)}"
        branch.add(marked(style, mark, text))
    _add_rest(branch, len(validation.aliases), "alias", style, plural_noun="aliases")
    for record in validation.records[:MAX_SHOWN]:
        text = style.shorten(style.safe(presentation(record), 400), 200)
        branch.add(words(f"{validation.question.rdtype} {text}"))
    _add_rest(branch, len(validation.records), "record", style)
    for rrset in validation.rrsets[: 2 * MAX_SHOWN]:
        if rrset.wildcard is not None:
            text = f"{style.name(rrset.owner)}: made from {style.name(rrset.wildcard)}"
            branch.add(marked(style, Mark.NOT_APPLICABLE, text))
    _add_signatures(branch, validation.rrsets, now, style)
    if validation.own_fault is None and validation.detail and not validation.records:
        branch.add(words(style.safe(validation.detail, 300)))
    for error in validation.extended_errors[:4]:
        text = f"the resolver says: extended error {error.code}"
        branch.add(words(f"{text} {style.safe(error.text, 200)}".rstrip()))
    return branch


def _answer_title(validation: Validation, style: Style) -> Text:
    question = validation.question
    at = validation.aliases[-1].target if validation.aliases else question.name
    told = LOOKUP_WORDS[validation.outcome]
    if validation.outcome is LookupOutcome.DATA:
        told = plural(len(validation.records), "record")
    proven = validation.status is DnssecStatus.SECURE and validation.proof is not None
    if proven and validation.outcome is not LookupOutcome.DATA:
        told += ", and that is proven"
    mark = STATUS_MARKS[validation.status]
    return marked(style, mark, (f"{style.name(at)} {question.rdtype}", "bold"), f": {told}")


def _add_rest(
    branch: Branch, count: int, noun: str, style: Style, plural_noun: str | None = None
) -> None:
    rest = count - MAX_SHOWN
    if rest > 0:
        text = f"{rest} more {plural_noun}" if plural_noun else plural(rest, f"more {noun}")
        branch.add(words(aside(f"  and {text}")))


def _findings(
    validation: Validation, forecast: Sequence[DnssecFinding], style: Style, width: int
) -> Iterator[Text]:
    shown = list(dict.fromkeys((*validation.findings, *forecast)))
    if not shown:
        return
    yield Text()
    yield words(("Findings", "bold"))
    for finding in shown[:MAX_FINDINGS]:
        severity = dnssec_severity(finding.reason, finding.state)
        where = f"{style.name(finding.owner)} {type_name(finding.rdtype)}"
        text = words(f"{where}: {style.safe(finding.message, 500)} ", aside(f"[{finding.reason}]"))
        lead = words("  ") + marked(style, _SEVERITY_MARKS[severity])
        yield from hanging(lead, text, width)
    if len(shown) > MAX_FINDINGS:
        yield words(aside(f"  and {plural(len(shown) - MAX_FINDINGS, 'more finding')}"))


def _remedies(validation: Validation, style: Style, width: int) -> Iterator[Text]:
    """Yield what would fix each distinct fault, the cause first."""
    reasons: dict[DnssecReason, str] = {}
    ours = validation.own_fault is not None

    def blamed(reason: DnssecReason) -> bool:
        # Where the fault is ours, nobody else has anything to repair.
        return not ours or dnssec_info(reason).fault in _OURS

    reason = validation.reason
    if reason is not None and validation.status is not DnssecStatus.SECURE and blamed(reason):
        reasons[reason] = validation.ends_at or validation.question.name
    for noted in validation.findings:
        broken = noted.state in (DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE)
        if broken and blamed(noted.reason):
            reasons.setdefault(noted.reason, noted.owner)
    if not reasons and not ours:
        return
    yield Text()
    insecure = validation.status is DnssecStatus.INSECURE
    yield words(("What would protect it" if insecure else "What would fix it", "bold"))
    if not reasons:
        yield from hanging(words("  "), words(_LOOK_HERE), width)
    for reason, where in reasons.items():
        entry = dnssec_info(reason)
        who = f" ({_WHO[entry.fault]})" if entry.fault in _WHO else ""
        text = words(f"{style.name(where)}: {entry.remedy}", aside(who), aside(f" [{reason}]"))
        yield from hanging(words("  "), text, width)
