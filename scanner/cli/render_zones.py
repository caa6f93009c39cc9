"""The DNSSEC step of a check: the chain of zones in one line, and where it breaks.

    DNSSEC: signed and validated
      . > test > p.test: secure
      p.test: The signature ends ... [rrsig-near-expiry]

The line is the chain of the MX answer, an alias target's chain below it. Zones of mail hosts show
up only where something is wrong with them: their own step has what matters of them otherwise.
"""

from collections.abc import Iterable, Iterator

from rich.text import Text

from scanner.cli.render import Mark, Style, aside, marked, words
from scanner.model.canonical import canonical, is_at_or_below
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import DomainObservation, Lookup
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, Severity
from scanner.model.zones import ZoneObservation

MAX_NOTES = 6
"""Notes shown on the zones of one check; ``danewatch dnssec`` shows all of them."""
MAX_ZONES = 8
"""Zones of one chain shown; deeper ones than that are no mail domains."""

_MARKS = {
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


def chain_lines(observation: DomainObservation, style: Style) -> Iterator[Text]:
    """Yield the chain of each name of the MX answer, and what is worth saying of the zones."""
    mx = observation.route.mx
    names = dict.fromkeys((mx.question.name, *(hop.target for hop in mx.aliases)))
    on_the_way: dict[Name, ZoneObservation] = {}
    shown: set[tuple[Name, ...]] = set()
    for name in names:
        chain = zones_above(name, observation.zones)
        key = tuple(zone.zone for zone in chain)
        on_the_way |= {zone.zone: zone for zone in chain}
        if chain and key not in shown:
            shown.add(key)
            yield _chain_line(chain, style, is_secure=mx.status is DnssecStatus.SECURE)
    for zone in on_the_way.values():
        if mx.status is DnssecStatus.SECURE and zone.status is DnssecStatus.BOGUS:
            text = f"{style.name(zone.zone)}: another answer of the zone is bogus "
            yield marked(style, Mark.WARN, text, aside(f"[{zone.reason}]"))
    yield from _notes(on_the_way.values(), style)


def zones_above(name: Name, zones: Iterable[ZoneObservation]) -> tuple[ZoneObservation, ...]:
    """Return those of ``zones`` that ``name`` lies in, from the top down, to where it ends.

    Below a zone that is not secure nothing counts any more.
    """
    labels = canonical(name)
    above = [zone for zone in zones if is_at_or_below(labels, canonical(zone.zone))]
    above.sort(key=lambda zone: len(canonical(zone.zone)))
    chain: list[ZoneObservation] = []
    for zone in above[:MAX_ZONES]:
        chain.append(zone)
        if zone.status is not DnssecStatus.SECURE:
            break
    return tuple(chain)


def broken_at(lookup: Lookup, style: Style) -> Iterator[Text]:
    """Yield where and why the chain of ``lookup`` ends, unless its detail tells more."""
    if lookup.dnssec_reason is None:
        return
    where = style.name(lookup.dnssec_zone or lookup.question.name)
    sentence = dnssec_info(lookup.dnssec_reason).sentence
    if sentence.removesuffix(".") in (lookup.detail or ""):
        return
    yield words(f"{where}: {sentence} ", aside(f"[{lookup.dnssec_reason}]"))


def remedy_lines(observation: DomainObservation, style: Style) -> Iterator[Text]:
    """Yield what would repair each chain that a lookup of the domain failed for."""
    for lookup in broken_lookups(observation):
        reason = lookup.dnssec_reason
        if reason is not None:
            where = style.name(lookup.dnssec_zone or lookup.question.name)
            yield words(f"{where}: {dnssec_info(reason).remedy} ", aside(f"[{reason}]"))


def broken_lookups(observation: DomainObservation) -> tuple[Lookup, ...]:
    """Return the bogus lookups that stopped the domain, one for each zone and reason."""
    lookups = [observation.route.mx]
    lookups += [one.route.failed_lookup for one in observation.hosts if one.route.failed_lookup]
    found: dict[tuple[Name | None, str], Lookup] = {}
    for lookup in lookups:
        reason = lookup.dnssec_reason
        if reason is not None and lookup.status is DnssecStatus.BOGUS:
            found.setdefault((lookup.dnssec_zone, reason), lookup)
    return tuple(found.values())


def _chain_line(chain: tuple[ZoneObservation, ...], style: Style, *, is_secure: bool) -> Text:
    last = chain[-1]
    path = " > ".join(style.name(zone.zone) for zone in chain)
    if is_secure:
        return marked(style, Mark.PASS, f"{path}: secure")
    reason = f" [{last.reason}]" if last.reason is not None else ""
    return marked(style, _MARKS[last.status], f"{path}: {last.status}{reason}")


def _notes(zones: Iterable[ZoneObservation], style: Style) -> Iterator[Text]:
    """Yield warnings on zones that are secure; of others the reason says what matters.

    That another validator sees it otherwise is told of every zone.
    """
    told = [
        marked(
            style,
            _SEVERITY_MARKS[note.severity],
            f"{style.name(zone.zone)}: {style.safe(note.message, 300)} ",
            aside(f"[{note.reason}]"),
        )
        for zone in zones
        for note in zone.notes
        if note.severity is not Severity.INFO
        and (zone.status is DnssecStatus.SECURE or note.reason is DnssecReason.RESOLVER_DISAGREES)
    ]
    yield from told[:MAX_NOTES]
