"""The branch of one MX host in the page of a check: addresses, TLSA records, and each probe."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.text import Text

from scanner.cli.render import Branch, Mark, Style, aside, marked, words
from scanner.cli.render_words import (
    EXTENDED_ERRORS,
    HOST_OUTCOMES,
    LOOKUP_WORDS,
    PROFILE_TITLES,
    STATUS_WORDS,
    distance,
    plural,
)
from scanner.cli.render_zones import broken_at
from scanner.model.observation import (
    AddressObservation,
    DaneApplicability,
    HostObservation,
    HostRoute,
    Lookup,
    ProbeStage,
    TlsaRecord,
)
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.verdict import (
    AddressFacts,
    AddressJudgement,
    CertificateFacts,
    HostFacts,
    HostJudgement,
    Judged,
    TlsaJudgement,
)
from scanner.model.vocabulary import DnssecStatus, HostOutcome, Profile

OUTCOME_MARKS = {
    HostOutcome.AUTHENTICATED: Mark.PASS,
    HostOutcome.ENCRYPTED: Mark.WARN,
    HostOutcome.OPPORTUNISTIC_TLS: Mark.NOT_APPLICABLE,
    HostOutcome.OPPORTUNISTIC_CLEAR: Mark.WARN,
    HostOutcome.FAILED: Mark.FAIL,
    HostOutcome.LOOKUP_FAILED: Mark.FAIL,
    HostOutcome.UNREACHABLE: Mark.FAIL,
    HostOutcome.NO_ADDRESS: Mark.FAIL,
    HostOutcome.INCONCLUSIVE: Mark.UNKNOWN,
}

DANE_EE = 3
_USAGES = {0: "PKIX-TA", 1: "PKIX-EE", 2: "DANE-TA", 3: "DANE-EE"}
_SELECTORS = {0: "certificate", 1: "public key"}
_MATCHING_TYPES = {0: "full data", 1: "SHA-256", 2: "SHA-512"}
_DATE = "%Y-%m-%d"


def host_branch(
    host: HostObservation,
    judgement: HostJudgement | None,
    facts: HostFacts,
    elsewhere: Mapping[Profile, HostJudgement],
    now: datetime,
    style: Style,
) -> Branch:
    """Return the branch of ``host``; ``elsewhere`` is how the other profiles see it."""
    branch = Branch(_host_line(host, judgement, style))
    for profile, other in elsewhere.items():
        if judgement is not None and other.judged.outcome is not judgement.judged.outcome:
            text = f"under {PROFILE_TITLES[profile]}: {_outcome_words(other.judged)}"
            branch.add(marked(style, OUTCOME_MARKS[other.judged.outcome], text))
    _add_addresses(branch, host.route, style)
    _add_tlsa(branch, host.route, facts, style)
    judged = {one.address: one for one in judgement.addresses} if judgement else {}
    seen = {one.address: one for one in facts.addresses}
    for probe in host.addresses:
        branch.add(
            _probe_branch(
                probe,
                judged.get(probe.address),
                judgement.judged if judgement else None,
                seen.get(probe.address) or AddressFacts(address=probe.address),
                facts,
                now,
                style,
            )
        )
    return branch


def _host_line(host: HostObservation, judgement: HostJudgement | None, style: Style) -> Text:
    name = style.name(host.route.host)
    title = (f"{name}", "bold")
    preference = f" (preference {host.preference})"
    if judgement is None:
        return marked(style, Mark.UNKNOWN, title, f"{preference}: not judged")
    judged = judgement.judged
    text = f"{preference}: {_outcome_words(judged)}"
    return marked(style, OUTCOME_MARKS[judged.outcome], title, text)


def _outcome_words(judged: Judged) -> str:
    text = HOST_OUTCOMES[judged.outcome]
    if judged.code:
        text += f", {judged.code}"
    if judged.reason is not None:
        text += f" [{judged.reason}]"
    return text


def _add_addresses(branch: Branch, route: HostRoute, style: Style) -> None:
    for target in route.aliases:
        branch.add(marked(style, Mark.NOT_APPLICABLE, f"Alias: of {style.name(target)}"))
    if route.target_problem is not None:
        text = f"Address: not looked up, the MX target is unusable ({route.target_problem})"
        branch.add(marked(style, Mark.FAIL, text))
        return
    by_status: dict[DnssecStatus | None, list[str]] = {}
    for address in route.addresses:
        by_status.setdefault(address.status, []).append(address.address)
    for status, addresses in by_status.items():
        shown = ", ".join(addresses[:4])
        if len(addresses) > 4:
            shown += f" and {len(addresses) - 4} more"
        about = STATUS_WORDS[status] if status is not None else "status unknown"
        mark = Mark.PASS if status is DnssecStatus.SECURE else Mark.NOT_APPLICABLE
        branch.add(marked(style, mark, f"Address: {shown} ", aside(f"({about})")))
    if route.applicability is DaneApplicability.NO_ADDRESS:
        branch.add(marked(style, Mark.FAIL, "Address: none"))
    if route.applicability is DaneApplicability.ADDRESS_ERROR:
        node = branch.add(marked(style, Mark.FAIL, "Address: the lookup failed"))
        if route.failed_lookup is not None:
            for line in lookup_trouble(route.failed_lookup, style):
                node.add(line)
        return
    for lookup in (route.ipv4, route.ipv6):
        if lookup is not None and lookup.is_error:
            text = f"{lookup.question.rdtype} lookup: {LOOKUP_WORDS[lookup.outcome]}"
            branch.add(marked(style, Mark.WARN, text))


def _add_tlsa(branch: Branch, route: HostRoute, facts: HostFacts, style: Style) -> None:
    kind = route.applicability
    if kind is DaneApplicability.TLSA_PRESENT:
        usable = [one for one in facts.tlsa if one.usable]
        mark = Mark.PASS if usable else Mark.WARN
        owner = style.name(f"_25._tcp.{route.tlsa_base}")
        node = branch.add(
            marked(style, mark, f"TLSA: {plural(len(facts.tlsa), 'record')} at {owner}")
        )
        for judged in facts.tlsa:
            node.add(_tlsa_line(judged, facts, style))
    elif kind is DaneApplicability.TLSA_ABSENT:
        branch.add(marked(style, Mark.NOT_APPLICABLE, "TLSA: none, so DANE does not apply"))
    elif kind is DaneApplicability.NOT_APPLICABLE:
        text = "TLSA: not asked for, because the address is not signed"
        branch.add(marked(style, Mark.NOT_APPLICABLE, text))
    elif kind is DaneApplicability.TLSA_ERROR:
        text = "TLSA: the lookup failed, so the server must not be used"
        node = branch.add(marked(style, Mark.FAIL, text))
        if route.failed_lookup is not None:
            for line in lookup_trouble(route.failed_lookup, style):
                node.add(line)


def _tlsa_line(judged: TlsaJudgement, facts: HostFacts, style: Style) -> Text:
    record = judged.record
    numbers = f"{tlsa_parameters(record)} {style.hash(record.data.hex())}"
    if not judged.usable:
        reason = f"unusable [{judged.unusable_reason}]" if judged.unusable_reason else "unusable"
        return marked(style, Mark.NOT_APPLICABLE, f"{numbers} {reason}")
    about = aside(f" ({_meaning(record)})")
    if judged.matched is None:
        return marked(style, Mark.NOT_APPLICABLE, f"{numbers} unchecked", about)
    if judged.matched:
        return marked(style, Mark.PASS, f"{numbers} matches", about)
    # A stale record beside one that matches does no harm; alone it stops the mail.
    other_matches = any(one.matched for one in facts.tlsa)
    mark = Mark.NOT_APPLICABLE if other_matches else Mark.FAIL
    return marked(style, mark, f"{numbers} no match", about)


def tlsa_parameters(record: TlsaRecord) -> str:
    """Return usage, selector and matching type as in the presentation form."""
    fields = (record.usage, record.selector, record.matching_type)
    return " ".join("?" if field is None else str(field) for field in fields)


def _meaning(record: TlsaRecord) -> str:
    parts = (
        _USAGES.get(record.usage if record.usage is not None else -1, ""),
        _SELECTORS.get(record.selector if record.selector is not None else -1, ""),
        _MATCHING_TYPES.get(record.matching_type if record.matching_type is not None else -1, ""),
    )
    return ", ".join(part for part in parts if part)


def _probe_branch(
    probe: AddressObservation,
    judgement: AddressJudgement | None,
    of_host: Judged | None,
    seen: AddressFacts,
    facts: HostFacts,
    now: datetime,
    style: Style,
) -> Branch:
    chain = seen.chain
    judged = judgement.judged if judgement is not None else None
    mark = OUTCOME_MARKS[judged.outcome] if judged is not None else Mark.UNKNOWN
    text = style.safe(probe.address)
    if judged is None:
        text += ": not judged"
    elif judged != of_host:
        # What the host line says already is not said again for each of its addresses.
        text += f": {_outcome_words(judged)}"
    branch = Branch(marked(style, mark, text))
    for line in _smtp_lines(probe, mark, style):
        branch.add(line)
    if chain:
        branch.add(_certificate_branch(chain, judged, now, style))
    if judged is not None:
        _add_match(branch, judged, chain, facts, style)
    if judgement is not None and judgement.other is not None and seen.other_chain:
        branch.add(_other_line(judgement.other, seen.other_chain[0], style))
    return branch


_KEY_WORDS = {"rsa": "RSA", "ec": "ECDSA"}


def _other_line(other: Judged, leaf: CertificateFacts, style: Style) -> Text:
    """Return what becomes of senders that are shown the certificate of the other algorithm."""
    title = f"Other certificate ({_KEY_WORDS.get(leaf.key_type or '', 'another key')})"
    mark = OUTCOME_MARKS[other.outcome]
    if other.outcome is HostOutcome.AUTHENTICATED:
        return marked(style, mark, f"{title}: matches")
    if other.outcome is HostOutcome.FAILED and other.reason in _NO_MATCH:
        return marked(style, mark, f"{title}: no match")
    return marked(style, mark, f"{title}: {_outcome_words(other)}")


_NO_MATCH = frozenset({Reason.TLSA_MISMATCH, Reason.TRUST_ANCHOR_IS_LEAF})


def _smtp_lines(probe: AddressObservation, mark: Mark, style: Style) -> Iterator[Text]:
    trouble_mark = mark if mark is not Mark.PASS else Mark.WARN
    stage = list(ProbeStage)
    reached = stage.index(probe.stage)
    if reached <= stage.index(ProbeStage.STARTTLS) and probe.error is not None:
        yield marked(style, trouble_mark, f"SMTP: {_probe_trouble(probe, style)}")
        return
    offered = "answers and offers STARTTLS" if probe.starttls_offered else "answers"
    yield marked(style, Mark.PASS, f"SMTP: {offered}")
    if probe.stage is ProbeStage.HANDSHAKE:
        yield marked(style, trouble_mark, f"TLS: {_probe_trouble(probe, style)}")
    elif probe.tls_version:
        details = [probe.tls_version, probe.cipher or "", probe.key_exchange_group or ""]
        shown = ", ".join(style.safe(one, 60) for one in details if one)
        yield marked(style, Mark.PASS, f"TLS: {shown}")


_PROBE_WORDS = {
    "refused": "connection refused",
    "timeout": "no answer in time",
    "unreachable": "host or network unreachable",
    "no-route": "this machine has no route there",
    "own-resources": "this machine ran out of resources",
    "not-contacted": "a special-purpose address; it was not contacted",
    "closed": "the server closed the connection",
    "reset": "the server reset the connection",
    "reply-transient": "the server answered with a temporary failure",
    "reply-permanent": "the server answered with a permanent failure",
    "reply-unexpected": "the server answered with a code that has no meaning here",
    "protocol": "what the server sent is not SMTP",
    "too-large": "the server sent more than any reply needs",
    "starttls-not-offered": "the server does not offer STARTTLS",
    "tls-alert": "the server ended the handshake with an alert",
    "tls-protocol": "what the server sent is not TLS",
    "no-certificate": "the server presented no certificate",
    "internal": "an error inside danewatch",
}
_STAGE_WORDS = {
    ProbeStage.CONNECT: "on connecting",
    ProbeStage.GREETING: "before the greeting",
    ProbeStage.EHLO: "after EHLO",
    ProbeStage.STARTTLS: "after STARTTLS",
}


_STAGE_IS_PLAIN = frozenset({"refused", "not-contacted", "no-route", "starttls-not-offered"})


def _probe_trouble(probe: AddressObservation, style: Style) -> str:
    error = probe.error.value if probe.error is not None else ""
    text = _PROBE_WORDS.get(error, error)
    if probe.stage in _STAGE_WORDS and error not in _STAGE_IS_PLAIN:
        text += f" {_STAGE_WORDS[probe.stage]}"
    if probe.reply_code is not None and error.startswith("reply"):
        text += f": {probe.reply_code} {style.safe(probe.reply_text or '', 200)}".rstrip()
    elif probe.detail:
        text += f" ({style.safe(probe.detail, 200)})"
    return text


def _certificate_branch(
    chain: tuple[CertificateFacts, ...], judged: Judged | None, now: datetime, style: Style
) -> Branch:
    leaf = chain[0]
    if leaf.problem is not None:
        text = f"Certificate: unreadable ({style.safe(leaf.problem, 200)})"
        return Branch(marked(style, Mark.FAIL, text))
    mark = Mark.PASS
    if leaf.not_after is not None and leaf.not_before is not None:
        outside = now > leaf.not_after or now < leaf.not_before
        deadly = judged is not None and judged.outcome is HostOutcome.FAILED
        mark = (Mark.FAIL if deadly else Mark.WARN) if outside else Mark.PASS
    subject = style.shorten(style.safe(leaf.subject or "no subject", 300), 54)
    branch = Branch(marked(style, mark, f"Certificate: {subject}"))
    issuer = style.shorten(style.safe(leaf.issuer or "unknown", 300), 54)
    is_self_signed = leaf.issuer is not None and leaf.issuer == leaf.subject
    branch.add(words("issued by itself" if is_self_signed else f"issued by {issuer}"))
    branch.add(words(_validity(leaf, now, style)))
    return branch


def _validity(leaf: CertificateFacts, now: datetime, style: Style) -> str:
    if leaf.not_before is None or leaf.not_after is None:
        return "validity unknown"
    span = f"{leaf.not_before.strftime(_DATE)} {style.dash()} {leaf.not_after.strftime(_DATE)}"
    if now > leaf.not_after:
        return f"{span}: expired {distance(leaf.not_after, now)}"
    if now < leaf.not_before:
        return f"{span}: becomes valid {distance(leaf.not_before, now)}"
    return f"{span}: expires {distance(leaf.not_after, now)}"


_CERTIFICATE_REASONS = frozenset(
    {
        Reason.TLSA_MISMATCH,
        Reason.TRUST_ANCHOR_IS_LEAF,
        Reason.TRUST_ANCHOR_MISSING,
        Reason.CHAIN_SIGNATURE_INVALID,
        Reason.CHAIN_ISSUER_NOT_CA,
        Reason.CHAIN_PATH_LENGTH,
        Reason.CHAIN_NAME_CONSTRAINT,
        Reason.CHAIN_KEY_USAGE,
        Reason.CHAIN_WORK_LIMIT,
        Reason.CERTIFICATE_NAME_MISMATCH,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_UNREADABLE,
    }
)


def _add_match(
    branch: Branch,
    judged: Judged,
    chain: tuple[CertificateFacts, ...],
    facts: HostFacts,
    style: Style,
) -> None:
    if judged.outcome is HostOutcome.AUTHENTICATED:
        branch.add(marked(style, Mark.PASS, "Match: the certificate is the one published"))
    elif judged.outcome is HostOutcome.ENCRYPTED and chain:
        text = "Match: not compared, no TLSA record is usable"
        branch.add(marked(style, Mark.NOT_APPLICABLE, text))
    elif judged.outcome is HostOutcome.FAILED and judged.reason in _CERTIFICATE_REASONS:
        sentence = info(judged.reason).sentence
        node = branch.add(marked(style, Mark.FAIL, f"Match: {sentence}"))
        if judged.reason is Reason.TLSA_MISMATCH and chain:
            for line in _published_and_seen(chain[0], facts, style):
                node.add(line)


def _published_and_seen(leaf: CertificateFacts, facts: HostFacts, style: Style) -> Iterator[Text]:
    """Yield published against seen, for each usable record that did not match."""
    for one in facts.tlsa[:8]:
        if not one.usable or one.matched:
            continue
        parameters = tlsa_parameters(one.record)
        yield words(f"published {parameters} {style.hash(one.record.data.hex())}")
        seen = seen_data(leaf, one.record, facts)
        # A trust anchor is compared with the issuers, not with the certificate of the server.
        if seen is not None and one.record.usage == DANE_EE:
            yield words(f"     seen {parameters} {style.hash(seen)}")


def seen_data(leaf: CertificateFacts, record: TlsaRecord, facts: HostFacts) -> str | None:
    """Return, in hex, what ``record`` would have to hold to match ``leaf``; None if unknown."""
    if record.selector == 0:
        digests = {0: leaf.der.hex(), 1: leaf.sha256, 2: hashlib.sha512(leaf.der).hexdigest()}
        return digests.get(record.matching_type if record.matching_type is not None else -1)
    if record.selector == 1 and record.matching_type == 1:
        return leaf.spki_sha256
    wanted = f" {tlsa_parameters(record)} "
    for expected in facts.expected_records:
        _, found, data = f" {expected}".partition(wanted)
        if found:
            return data.replace(" ", "").lower()
    return None


def lookup_trouble(lookup: Lookup, style: Style) -> Iterator[Text]:
    """Yield what is known of a lookup that failed: the outcome, extended errors, our own fault."""
    if not lookup.is_error:
        return
    if lookup.own_fault is not None:
        yield words(f"on our side: {style.safe(lookup.own_fault, 300)}")
    question = f"{style.name(lookup.question.name)} {lookup.question.rdtype}"
    if lookup.own_fault is not None and lookup.status is DnssecStatus.BOGUS:
        # Not the peer's: "signed, but validation fails" would read as an accusation.
        yield words(f"{question}: no answer that validates")
    elif lookup.status in (DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE):
        yield words(f"{question}: {STATUS_WORDS[lookup.status]}")
    else:
        yield words(f"{question}: {LOOKUP_WORDS[lookup.outcome]}")
    yield from broken_at(lookup, style)
    if lookup.detail:
        yield words(style.safe(lookup.detail, 300))
    for extended in lookup.extended_errors[:4]:
        meaning = EXTENDED_ERRORS.get(extended.code, "")
        text = f"extended error {extended.code}"
        if meaning:
            text += f", {meaning}"
        if extended.text:
            text += f": {style.safe(extended.text, 200)}"
        yield words(text)
