"""Mail routing and TLSA base domains: which questions a DANE sender asks, and what follows.

This is RFC 7672 §2.2 as a conversation. Each function is a generator that yields the questions it
needs next and is sent their lookups; it returns evidence. It never touches a socket, so a table
of lookups is enough to test it, and what it did *not* ask can be asserted too:

    steps = route_host(host, limits=limits)
    needed = next(steps)                      # (Question(host A), Question(host AAAA))
    needed = steps.send({question: lookup, ...})
    ... StopIteration.value is the HostRoute

Rules that shape the order of questions:

- Errors are final. A failed lookup never means "no DANE" (§2.1.1).
- A host whose address records are insecure is not asked for TLSA records at all (§2.2.2): many
  name servers answer such questions badly.
- For an aliased host the fully expanded name is the first candidate and the original name the
  second, and only if the first is definitely absent (§2.2.2); never a name in between (§2.2.3).
- An insecure answer reached through an alias says nothing about the first alias itself, so that
  one is asked for separately (§2.2.2, "insecure CNAME").
"""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace

from scanner.model.names import (
    MAX_NAME_OCTETS,
    ROOT,
    Name,
    is_address_literal,
    labels_of,
    tlsa_owner,
)
from scanner.model.observation import (
    AddressRecord,
    DaneApplicability,
    HostAddress,
    HostRoute,
    Lookup,
    MailRoute,
    MxKind,
    MxRecord,
    Question,
    TargetProblem,
    TlsaCandidate,
    TlsaRecord,
)
from scanner.model.policy import RoutingLimits
from scanner.model.vocabulary import DnssecStatus, Family, LookupOutcome, RRType

Answers = Mapping[Question, Lookup]
MailRouteSteps = Generator[tuple[Question, ...], Answers, MailRoute]
HostRouteSteps = Generator[tuple[Question, ...], Answers, HostRoute]

_UNCERTAIN = frozenset({DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE})


def route_domain(domain: Name, *, limits: RoutingLimits) -> MailRouteSteps:
    """Return the MX stage of ``domain`` (RFC 7672 §2.2.1, RFC 5321 §5.1, RFC 7505).

    Asks one question, the MX RRset; aliases are followed by whoever answers. ``kind`` is ``error``
    for any failed lookup, ``nxdomain`` when the domain (or the end of its alias) does not exist,
    ``null`` for a null MX, ``implicit`` when there is no MX record.
    """
    question = Question(domain, RRType.MX)
    lookup = (yield (question,))[question]
    route = MailRoute(domain=domain, mx=lookup, kind=MxKind.ERROR, expanded=lookup.canonical_name)
    if lookup.is_error:
        return route
    if lookup.outcome is LookupOutcome.NXDOMAIN:
        return replace(route, kind=MxKind.NXDOMAIN)
    if lookup.outcome is LookupOutcome.NODATA:
        # The implicit MX is the domain as it was written: where it is an alias, the rules for
        # aliased MX hosts pick the TLSA base domain (RFC 7672 §2.2.2).
        return replace(
            route, kind=MxKind.IMPLICIT, exchanges=(MxRecord(preference=0, exchange=domain),)
        )
    return _explicit_route(route, limits)


def _explicit_route(route: MailRoute, limits: RoutingLimits) -> MailRoute:
    records = [record for record in route.mx.records if isinstance(record, MxRecord)]
    nulls = [record for record in records if record.exchange == ROOT]
    best: dict[Name, int] = {}
    seen: dict[Name, int] = {}
    for record in records:
        if record.exchange == ROOT:
            continue
        seen[record.exchange] = seen.get(record.exchange, 0) + 1
        known = best.get(record.exchange)
        if known is None or record.preference < known:
            best[record.exchange] = record.preference
    if not best:
        # RFC 7505 §3: the preference SHOULD be 0; senders take any lone "." as null MX.
        return replace(
            route,
            kind=MxKind.NULL,
            null_with_preference=any(record.preference != 0 for record in nulls),
        )
    exchanges = sorted(
        (MxRecord(preference=preference, exchange=host) for host, preference in best.items()),
        key=lambda record: (record.preference, record.exchange),
    )
    return replace(
        route,
        kind=MxKind.EXPLICIT,
        exchanges=tuple(exchanges[: limits.max_mx_hosts]),
        hosts_ignored=max(0, len(exchanges) - limits.max_mx_hosts),
        duplicate_hosts=tuple(sorted(host for host, count in seen.items() if count > 1)),
        null_beside_others=bool(nulls),
    )


def target_problem(host: Name) -> TargetProblem | None:
    """Return why ``host`` cannot be an MX host, or None (RFC 5321 §2.3.5, RFC 7672 §2.2)."""
    labels = labels_of(host)
    if is_address_literal(host):
        return TargetProblem.ADDRESS_LITERAL
    if (
        host == "localhost"
        or (labels and labels[-1] == "localhost")
        or host.startswith("localhost.localdomain")
    ):
        return TargetProblem.LOCALHOST
    if len(labels) < 2:
        return TargetProblem.SINGLE_LABEL
    if "\\" in host or not all(_plausible(label) for label in labels):
        return TargetProblem.INVALID_NAME
    return None


def _plausible(label: str) -> bool:
    """Return whether a label is made of what host names are made of, underscores tolerated."""
    return all(character.isalnum() or character in "-_" for character in label)


def route_host(host: Name, *, limits: RoutingLimits) -> HostRouteSteps:
    """Return the DNS stage of one MX host (RFC 7672 §2.2.2, §2.2.3).

    The result does not depend on the domain that names the host; whether its TLSA records count
    for a domain whose MX records are insecure is the verdict's business.
    """
    problem = target_problem(host)
    if problem is not None:
        return HostRoute(
            host=host,
            applicability=DaneApplicability.UNUSABLE_TARGET,
            tlsa_base=host,
            target_problem=problem,
        )
    ipv4 = Question(host, RRType.A)
    ipv6 = Question(host, RRType.AAAA)
    answers = yield (ipv4, ipv6)
    route = _with_addresses(
        HostRoute(
            host=host,
            applicability=DaneApplicability.NOT_APPLICABLE,
            tlsa_base=host,
            ipv4=answers[ipv4],
            ipv6=answers[ipv6],
        ),
        limits,
    )
    if route.applicability is not DaneApplicability.NOT_APPLICABLE:
        return route
    bases: tuple[Name, ...]
    secure = _secure_lookup(route)
    if secure is not None:
        bases = _unique((secure.canonical_name, host))
    elif _is_aliased(route):
        alias = Question(host, RRType.CNAME)
        route = _with_alias(route, (yield (alias,))[alias])
        if route.failed_lookup is not None or not _is_secure_alias(route):
            return route
        bases = (host,)
    else:
        return route
    return (yield from _find_tlsa(route, bases))


def _with_addresses(route: HostRoute, limits: RoutingLimits) -> HostRoute:
    """Decide what the two address lookups mean together (table 3a, "Host" rows)."""
    lookups = _address_lookups(route)
    fatal = next((look for look in lookups if look.own_fault is not None), None) or next(
        (look for look in lookups if look.status in _UNCERTAIN), None
    )
    errors = [look for look in lookups if look.is_error]
    found = [look for look in lookups if look.has_data]
    if fatal is None and errors and not found:
        fatal = errors[0]
    if fatal is not None:
        return replace(route, applicability=DaneApplicability.ADDRESS_ERROR, failed_lookup=fatal)
    if not found:
        return replace(route, applicability=DaneApplicability.NO_ADDRESS)
    addresses = tuple(_addresses(found))
    return replace(
        route,
        addresses=addresses[: limits.max_addresses_per_host],
        addresses_ignored=max(0, len(addresses) - limits.max_addresses_per_host),
    )


def _address_lookups(route: HostRoute) -> tuple[Lookup, ...]:
    return tuple(lookup for lookup in (route.ipv4, route.ipv6) if lookup is not None)


def _addresses(found: Iterable[Lookup]) -> Iterable[HostAddress]:
    seen: set[str] = set()
    for lookup in found:
        family = Family.IPV4 if lookup.question.rdtype is RRType.A else Family.IPV6
        for record in lookup.records:
            if isinstance(record, AddressRecord) and record.address not in seen:
                seen.add(record.address)
                yield HostAddress(address=record.address, family=family, status=lookup.status)


def _secure_lookup(route: HostRoute) -> Lookup | None:
    """Return the address lookup that is secure all the way; one of the two is enough."""
    return next((look for look in _address_lookups(route) if look.is_secure_data), None)


def _is_aliased(route: HostRoute) -> bool:
    return any(look.aliases for look in _address_lookups(route) if look.has_data)


def _with_alias(route: HostRoute, alias: Lookup) -> HostRoute:
    """Take in the separate CNAME question; only a CNAME that is there says anything."""
    if alias.is_error:
        return replace(
            route,
            alias=alias,
            applicability=DaneApplicability.ADDRESS_ERROR,
            failed_lookup=alias,
        )
    if not alias.has_data:
        # The address answer showed an alias and the CNAME answer denies it. One of the two is
        # wrong or out of date; a sender that guesses here can be downgraded, so it is an error.
        return replace(
            route,
            alias=alias,
            applicability=DaneApplicability.ADDRESS_ERROR,
            failed_lookup=replace(
                alias,
                outcome=LookupOutcome.MALFORMED,
                detail="the address answer shows an alias, the CNAME answer denies it",
            ),
        )
    return replace(route, alias=alias)


def _is_secure_alias(route: HostRoute) -> bool:
    return route.alias is not None and route.alias.is_secure_data


def _find_tlsa(route: HostRoute, bases: tuple[Name, ...]) -> HostRouteSteps:
    """Try the candidates in order until one is present or fails (RFC 7672 §2.2.2)."""
    candidates: list[TlsaCandidate] = []
    for base in bases:
        owner = tlsa_owner(base)
        if len(owner) + 2 > MAX_NAME_OCTETS:
            continue  # Such a name cannot exist, so neither can records there.
        question = Question(owner, RRType.TLSA)
        lookup = (yield (question,))[question]
        candidates.append(TlsaCandidate(base=base, lookup=lookup))
        asked = replace(route, candidates=tuple(candidates))
        if lookup.is_error:
            return replace(
                asked,
                applicability=DaneApplicability.TLSA_ERROR,
                failed_lookup=lookup,
                tlsa_base=base,
            )
        if lookup.is_secure_data:
            return replace(
                asked,
                applicability=DaneApplicability.TLSA_PRESENT,
                tlsa_base=base,
                tlsa=tuple(r for r in lookup.records if isinstance(r, TlsaRecord)),
            )
    return replace(
        route,
        candidates=tuple(candidates),
        applicability=DaneApplicability.TLSA_ABSENT,
    )


def _unique(names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(names))
