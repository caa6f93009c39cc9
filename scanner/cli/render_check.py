"""One check as a page: what happens to the mail, the steps that lead there, what would fix it.

The steps stand in the order a sender takes them: the domain's MX records and their DNSSEC status,
then for each MX host its addresses and TLSA records, then for each address SMTP, TLS, the
certificate and the match. The marks follow the chosen profile; where the other profile sees a host
differently, the host says so.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

from rich.console import Console
from rich.text import Text

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
from scanner.cli.render_host import OUTCOME_MARKS, host_branch, lookup_trouble
from scanner.cli.render_words import (
    DELIVERED,
    PROFILE_TITLES,
    STATUS_WORDS,
    headline,
    plural,
)
from scanner.cli.render_zones import broken_lookups, chain_lines, remedy_lines
from scanner.model.names import tlsa_owner, to_unicode
from scanner.model.observation import DomainObservation, MailRoute, MxKind
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.verdict import (
    Check,
    Finding,
    HostFacts,
    HostJudgement,
    Judgement,
    ProfileVerdict,
)
from scanner.model.vocabulary import (
    DnssecStatus,
    DomainVerdict,
    Fault,
    HostOutcome,
    Profile,
    Severity,
)

VERDICT_MARKS = {
    DomainVerdict.PROTECTED: Mark.PASS,
    DomainVerdict.PARTIAL: Mark.WARN,
    DomainVerdict.DEGRADED: Mark.WARN,
    DomainVerdict.ENCRYPTED: Mark.WARN,
    DomainVerdict.OPPORTUNISTIC: Mark.NOT_APPLICABLE,
    DomainVerdict.DEFERRED: Mark.FAIL,
    DomainVerdict.BLOCKED: Mark.FAIL,
    DomainVerdict.NO_MAIL: Mark.FAIL,
    DomainVerdict.INCONCLUSIVE: Mark.UNKNOWN,
}
_SEVERITY_MARKS = {
    Severity.INFO: Mark.NOT_APPLICABLE,
    Severity.WARNING: Mark.WARN,
    Severity.ERROR: Mark.FAIL,
}
_STATUS_MARKS = {
    DnssecStatus.SECURE: Mark.PASS,
    DnssecStatus.INSECURE: Mark.NOT_APPLICABLE,
    DnssecStatus.BOGUS: Mark.FAIL,
    DnssecStatus.INDETERMINATE: Mark.FAIL,
}


def print_check(
    console: Console, check: Check, *, profile: Profile, queue_life: timedelta, style: Style
) -> None:
    """Write the page of ``check`` to ``console``, marks by ``profile``."""
    lines = check_page(
        check, profile=profile, queue_life=queue_life, style=style, width=console.width
    )
    print_lines(console, lines)


def check_page(
    check: Check, *, profile: Profile, queue_life: timedelta, style: Style, width: int
) -> Iterator[Text]:
    """Yield the lines of the page, each at most ``width`` columns but for what is to be copied."""
    judgement = check.judgement
    chosen = judgement.of(profile)
    domain = _domain_title(check, style)
    lead = marked(style, VERDICT_MARKS[chosen.verdict])
    yield from hanging(lead, words((headline(chosen, domain, queue_life), "bold")), width)
    yield Text()
    yield from _verdict_lines(judgement, profile, style, width)
    yield Text()
    yield from tree_lines(_steps(check, chosen, style), style, width)
    yield from _findings(check, chosen, style, width)
    yield from _remedies(check, chosen, style, width)


def _domain_title(check: Check, style: Style) -> str:
    readable = to_unicode(check.domain)
    if readable != check.domain and style.unicode:
        return f"{style.name(readable)} ({style.name(check.domain)})"
    return style.name(check.domain)


def _verdict_lines(
    judgement: Judgement, profile: Profile, style: Style, width: int
) -> Iterator[Text]:
    """Yield what each profile says, the chosen one first."""
    titles = max(len(title) for title in PROFILE_TITLES.values())
    for verdict in sorted(judgement.verdicts, key=lambda one: one.profile is not profile):
        mark = VERDICT_MARKS[verdict.verdict]
        lead = words(f"  {PROFILE_TITLES[verdict.profile]:<{titles}}  ")
        text = marked(style, mark, (f"{verdict.verdict:<14}", mark.value[2]))
        for part in (_codes(verdict), f"[{verdict.reason}]" if verdict.reason else ""):
            if part:
                text.append(f" {part}")
        yield from hanging(lead, text, width)
        if verdict.other_scope_verdict is not None:
            note = f"with the other scenario1_scope: {verdict.other_scope_verdict}"
            yield from hanging(words(" " * len(lead.plain)), words(aside(note)), width)


def _codes(verdict: ProfileVerdict) -> str:
    if verdict.code is None:
        return verdict.final_code or ""
    text = verdict.code
    if verdict.cause_code and verdict.cause_code != verdict.code:
        text += f" (cause {verdict.cause_code})"
    if verdict.final_code and verdict.final_code != verdict.code:
        text += f", then {verdict.final_code}"
    return text


def _steps(check: Check, chosen: ProfileVerdict, style: Style) -> Branch:
    tree = Branch(words((_domain_title(check, style), "bold")))
    route = check.observation.route
    _add_dnssec(tree, check.observation, style)
    _add_mx(tree, route, style)
    judgements = {host.host: host for host in chosen.hosts}
    others = [verdict for verdict in check.judgement.verdicts if verdict is not chosen]
    facts = {fact.host: fact for fact in check.judgement.hosts}
    for host in check.observation.hosts:
        name = host.route.host
        elsewhere = {
            verdict.profile: other
            for verdict in others
            for other in verdict.hosts
            if other.host == name
        }
        tree.add(
            host_branch(
                host,
                judgements.get(name),
                facts.get(name, HostFacts(host=name)),
                elsewhere,
                check.judgement.judged_at,
                style,
            )
        )
    if check.observation.incomplete:
        tree.add(marked(style, Mark.UNKNOWN, style.safe(check.observation.incomplete)))
    return tree


def _add_dnssec(tree: Branch, observation: DomainObservation, style: Style) -> None:
    lookup = observation.route.mx
    if lookup.status is None:
        text = "DNSSEC: no status, the MX lookup did not succeed"
        node = tree.add(marked(style, Mark.UNKNOWN, text))
        for line in chain_lines(observation, style):
            node.add(line)
        return
    mark, text = _STATUS_MARKS[lookup.status], f"DNSSEC: {STATUS_WORDS[lookup.status]}"
    if lookup.own_fault is not None:
        mark, text = Mark.UNKNOWN, "DNSSEC: nothing can be said from here"
    elif lookup.status is DnssecStatus.INSECURE:
        text += ", so DANE does not apply"
    node = tree.add(marked(style, mark, text))
    for line in chain_lines(observation, style):
        node.add(line)
    for line in lookup_trouble(lookup, style):
        node.add(line)


def _add_mx(tree: Branch, route: MailRoute, style: Style) -> None:
    if route.kind is MxKind.EXPLICIT:
        text = f"MX: {plural(len(route.exchanges), 'mail server')}"
        mark = Mark.PASS if route.exchanges else Mark.FAIL
    elif route.kind is MxKind.IMPLICIT:
        mark, text = Mark.NOT_APPLICABLE, "MX: none, so the domain is its own mail server"
    elif route.kind is MxKind.NULL:
        mark, text = Mark.FAIL, 'MX: "0 ." (null MX), the domain accepts no mail'
    elif route.kind is MxKind.NXDOMAIN:
        mark, text = Mark.FAIL, "MX: the domain does not exist"
    else:
        mark, text = Mark.FAIL, "MX: the lookup failed"
    if route.mx.own_fault is not None:
        mark = Mark.UNKNOWN
    node = tree.add(marked(style, mark, text))
    for hop in route.mx.aliases:
        node.add(words(f"alias of {style.name(hop.target)}"))
    if route.kind is MxKind.ERROR and route.mx.status is None:
        for line in lookup_trouble(route.mx, style):
            node.add(line)


def _findings(check: Check, chosen: ProfileVerdict, style: Style, width: int) -> Iterator[Text]:
    shown = [one for one in check.judgement.findings if not _is_said_already(one, check, chosen)]
    if not shown:
        return
    order = list(Severity)
    yield Text()
    yield words(("Findings", "bold"))
    for finding in sorted(shown, key=lambda one: -order.index(one.severity)):
        message = _LONG_HEX.sub(lambda found: style.hash(found[0]), finding.message)
        text = words(
            f"{style.name(finding.where)}: {style.safe(message, 300)} ",
            aside(f"[{finding.code}]"),
        )
        lead = words("  ") + marked(style, _SEVERITY_MARKS[finding.severity])
        yield from hanging(lead, text, width)


_LONG_HEX = re.compile(r"[0-9a-f]{40,}")


def _is_said_already(finding: Finding, check: Check, chosen: ProfileVerdict) -> bool:
    """Return whether the tree and the remedies tell the same as ``finding``."""
    if finding.where == check.domain:
        return finding.code is chosen.reason and chosen.verdict not in DELIVERED
    for host in chosen.hosts:
        if host.host == finding.where and _stands_in_the_way(host):
            return finding.code in (host.judged.reason, Reason.HOST_FAILING)
    return False


def _stands_in_the_way(host: HostJudgement) -> bool:
    return OUTCOME_MARKS[host.judged.outcome] in (Mark.FAIL, Mark.UNKNOWN)


def _remedies(check: Check, chosen: ProfileVerdict, style: Style, width: int) -> Iterator[Text]:
    """Yield what would fix each distinct trouble: for the partner first, then for the sender."""
    reasons = _troubles(chosen)
    if not reasons:
        return
    yield Text()
    yield words(("What would fix it", "bold"))
    for_the_chain = list(remedy_lines(check.observation, style))
    if not _CHAIN_TROUBLES & reasons.keys():
        for line in for_the_chain:
            yield from hanging(words("  "), line, width)
    for reason, where in reasons.items():
        entry = info(reason)
        lead = f"{style.name(where)}: " if where else ""
        text = words(f"{lead}{entry.sentence} ", aside(f"[{reason}]"))
        yield from hanging(words("  "), text, width)
        if entry.fault is Fault.SCANNER:
            remedy = entry.remedy_sender or entry.remedy_receiver
            yield from hanging(words("    Here:    "), words(remedy), width)
            continue
        # Of a broken chain the broken link says more than any advice for broken chains.
        is_chain = reason in _CHAIN_TROUBLES and for_the_chain
        for line in for_the_chain if is_chain else [words(entry.remedy_receiver or "")]:
            if line.plain:
                yield from hanging(words("    Partner: "), line, width)
        if entry.remedy_sender:
            yield from hanging(words("    Sender:  "), words(entry.remedy_sender), width)
        if is_chain:
            asked = broken_lookups(check.observation)[0].question
            look = f"danewatch dnssec {style.name(asked.name)} {asked.rdtype}"
            yield from hanging(words("    Look:    "), words(look), width)
    yield from _expected_records(check, chosen, style, width)


def _troubles(chosen: ProfileVerdict) -> dict[Reason, str]:
    """Return each reason that stands in the way, with the first place it was met."""
    reasons: dict[Reason, str] = {}
    if chosen.reason is not None and chosen.verdict not in DELIVERED:
        reasons[chosen.reason] = chosen.headline or ""
    for host in chosen.hosts:
        if host.judged.reason is not None and _stands_in_the_way(host):
            reasons.setdefault(host.judged.reason, host.host)
    return reasons


_CHAIN_TROUBLES = frozenset(
    {Reason.MX_DNSSEC_BOGUS, Reason.ADDRESS_DNSSEC_BOGUS, Reason.TLSA_DNSSEC_BOGUS}
)
_MATCH_TROUBLES = frozenset(
    {
        Reason.TLSA_MISMATCH,
        Reason.TRUST_ANCHOR_IS_LEAF,
        Reason.TRUST_ANCHOR_MISSING,
        Reason.TLSA_ALL_UNUSABLE,
    }
)


def _expected_records(
    check: Check, chosen: ProfileVerdict, style: Style, width: int
) -> Iterator[Text]:
    """Yield the TLSA records that would match, whole and ready to copy into a zone file."""
    facts = {fact.host: fact for fact in check.judgement.hosts}
    bases = {one.route.host: one.route.tlsa_base for one in check.observation.hosts}
    for host in chosen.hosts:
        fact = facts.get(host.host)
        is_mismatch = host.judged.reason in _MATCH_TROUBLES
        if fact is None or not fact.expected_records or not is_mismatch:
            continue
        if host.judged.outcome is HostOutcome.AUTHENTICATED:
            continue
        yield Text()
        text = (
            f"This record matches what {style.name(host.host)} presents now. Publish it only if "
            "that certificate is the right one:"
        )
        yield from hanging(words("  "), words(text), width)
        owner = tlsa_owner(bases.get(host.host, host.host))
        for line in zone_file_lines(f"{owner}. IN TLSA {fact.expected_records[0]}"):
            yield words(f"    {style.safe(line)}")


def zone_file_lines(record: str, width: int = 72) -> list[str]:
    """Return ``record``, ending in hexadecimal data, in lines a zone file accepts.

    The data goes into parentheses on lines of its own (RFC 1035 §5.1), because a broken line
    could not be pasted.
    """
    if len(record) <= width:
        return [record]
    head, _, data = record.rpartition(" ")
    pieces = [data[start : start + 64] for start in range(0, len(data), 64)]
    return [f"{head} (", *(f"  {piece}" for piece in pieces[:-1]), f"  {pieces[-1]} )"]
