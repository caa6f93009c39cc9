"""Result metrics in the Prometheus text format: one set of series for each domain and MX host.

Rules:

- What was not measured is absent; there are no sentinel values. An inconclusive check says so in
  ``domain_verdict``, while ``domain_up`` and ``domain_blocked`` keep what was last known.
- The same results give the same text: families as declared in ``exporters.schema``, series sorted.
- Addresses, serial numbers and fingerprints are never labels (they would grow without bound).
- An MX host shared by many domains has one set of series. Where its outcome depends on the domain,
  that of a domain with a secure MX RRset is shown (``scanner.model.hostview``); among several, the
  latest, and of one moment the worst.
- A zone is as it was seen last, by whichever domain; what could not be determined leaves
  ``zone_secure`` and ``zone_bogus`` as they were.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters.schema import RESULT_METRICS
from scanner.model.hostview import HostView, host_views
from scanner.model.names import Name
from scanner.model.observation import DaneApplicability, MxKind
from scanner.model.transition import State
from scanner.model.verdict import Check, HostFacts
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    EntityType,
    HostOutcome,
    Profile,
)
from scanner.model.zones import ZoneObservation

Pairs = tuple[tuple[str, str], ...]
EntityKey = tuple[EntityType, str]
DEFAULT_QUEUE_LIFE = timedelta(hours=24)

_NOT_DELIVERED = frozenset({DomainVerdict.BLOCKED, DomainVerdict.DEFERRED, DomainVerdict.NO_MAIL})
_DELIVERING = frozenset(
    {
        HostOutcome.AUTHENTICATED,
        HostOutcome.ENCRYPTED,
        HostOutcome.OPPORTUNISTIC_TLS,
        HostOutcome.OPPORTUNISTIC_CLEAR,
    }
)
_BAD_TO_GOOD = (
    HostOutcome.FAILED,
    HostOutcome.LOOKUP_FAILED,
    HostOutcome.UNREACHABLE,
    HostOutcome.NO_ADDRESS,
    HostOutcome.OPPORTUNISTIC_CLEAR,
    HostOutcome.OPPORTUNISTIC_TLS,
    HostOutcome.ENCRYPTED,
    HostOutcome.AUTHENTICATED,
    HostOutcome.INCONCLUSIVE,
)
_NO_ADDRESSES_KNOWN = frozenset(
    {DaneApplicability.ADDRESS_ERROR, DaneApplicability.UNUSABLE_TARGET}
)
_NO_DANE = frozenset({DaneApplicability.TLSA_ABSENT, DaneApplicability.NOT_APPLICABLE})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """What is kept of one domain or host: its single-valued families and the labelled ones."""

    values: Mapping[str, float | None]
    status: str
    preferences: tuple[tuple[Name, int], ...] = ()
    labels: Pairs = ()
    reason: str = ""
    zones: tuple[Name, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _HostSample:
    """A host's sample, the domain it came from, and how it compares with others."""

    sample: _Sample
    source: Name
    rank: tuple[bool, datetime, int]


class ResultMetrics:
    """The latest result of each domain and host, kept small: about 1 KiB a domain.

    Not for several threads at once; ``render`` returns a text that is.
    """

    def __init__(
        self,
        *,
        profile: Profile = Profile.EXCHANGE_ONLINE,
        queue_life: timedelta = DEFAULT_QUEUE_LIFE,
    ) -> None:
        self._profile = profile
        self._queue_life = queue_life
        self._domains: dict[Name, _Sample] = {}
        self._hosts: dict[Name, _HostSample] = {}
        self._zones: dict[Name, tuple[_Sample, datetime]] = {}

    def add(
        self,
        check: Check,
        *,
        states: Mapping[EntityKey, State] | None = None,
        labels: Pairs = (),
    ) -> None:
        """Take ``check`` in place of an earlier one of the same domain.

        ``states`` are those after the check was folded; without them nothing is known of the last
        transition, nor of what held before an inconclusive check. ``labels`` are the operator's.
        """
        known = states or {}
        sample, earlier = self._domain_sample(check, known, labels), self._domains.get(check.domain)
        if earlier is not None and not sample.zones:
            sample = replace(sample, zones=earlier.zones)  # a check that saw nothing forgets none
        self._domains[check.domain] = sample
        facts = {one.host: one for one in check.judgement.hosts}
        for view in host_views(check, self._profile):
            self._add_host(check, view, facts.get(view.host), known)
        for zone in check.observation.zones:
            before = self._zones.get(zone.zone)
            if before is None or before[1] <= zone.observed_at:
                state = known.get((EntityType.ZONE, zone.zone))
                self._zones[zone.zone] = (_zone_sample(zone, state), zone.observed_at)

    def retain(self, domains: Iterable[Name]) -> None:
        """Forget every domain not in ``domains``, and hosts and zones that no domain has then."""
        wanted = set(domains)
        self._domains = {name: one for name, one in self._domains.items() if name in wanted}
        named = {host for one in self._domains.values() for host, _ in one.preferences}
        self._hosts = {name: one for name, one in self._hosts.items() if name in named}
        passed = {zone for one in self._domains.values() for zone in one.zones}
        self._zones = {name: one for name, one in self._zones.items() if name in passed}

    def render(self) -> str:
        """Return the text exposition: UTF-8 text with HELP and TYPE for each family it holds."""
        return "".join(self._chunks())

    def _chunks(self) -> Iterator[str]:
        domains = sorted(self._domains.items())
        hosts = [(name, one.sample) for name, one in sorted(self._hosts.items())]
        zones = [(name, one) for name, (one, _) in sorted(self._zones.items())]
        by_label = {"domain": domains, "mx": hosts, "dns_zone": zones}
        for metric in RESULT_METRICS:
            samples = by_label[metric.labels[0]]
            name = metric.full_name
            lines = [
                f"{name}{{{text}}} {value}\n"
                for key, one in samples
                for text, value in _series(metric.name, metric.labels[0], key, one)
            ]
            if lines:
                yield f"# HELP {name} {_escape_help(metric.sentence)}\n"
                yield f"# TYPE {name} {metric.type}\n"
                yield from lines

    def _domain_sample(
        self, check: Check, states: Mapping[EntityKey, State], labels: Pairs
    ) -> _Sample:
        verdict = check.judgement.of(self._profile)
        state = states.get((EntityType.DOMAIN, check.domain))
        status: str | None = verdict.verdict.value
        if verdict.verdict is DomainVerdict.INCONCLUSIVE:
            status = None if state is None else state.status
        route = check.observation.route
        hosts_known = route.kind is not MxKind.ERROR
        authenticated = [
            host for host in verdict.hosts if host.judged.outcome is HostOutcome.AUTHENTICATED
        ]
        return _Sample(
            values={
                "domain_up": _flag(status, lambda known: known not in _NOT_DELIVERED),
                "domain_blocked": _flag(status, lambda known: known == DomainVerdict.BLOCKED),
                "domain_mx_hosts": len(route.exchanges) if hosts_known else None,
                "domain_mx_hosts_authenticated": len(authenticated) if hosts_known else None,
                "domain_last_check_timestamp_seconds": _seconds(check.observation.observed_at),
                "domain_last_transition_timestamp_seconds": (
                    None if state is None else _seconds(state.since)
                ),
                "domain_bounces_from_timestamp_seconds": self._bounces_from(state),
            },
            status=verdict.verdict.value,
            preferences=tuple((one.exchange, one.preference) for one in route.exchanges),
            labels=_label_names(labels),
            zones=tuple(zone.zone for zone in check.observation.zones),
        )

    def _bounces_from(self, state: State | None) -> float | None:
        if state is None or state.phase is not DeliveryPhase.DEFERRING:
            return None
        if state.failing_since is None:
            return None
        return _seconds(state.failing_since + self._queue_life)

    def _add_host(
        self,
        check: Check,
        view: HostView,
        facts: HostFacts | None,
        states: Mapping[EntityKey, State],
    ) -> None:
        rank = (
            view.for_every_domain,
            view.observed_at,
            -_BAD_TO_GOOD.index(view.judged.outcome),
        )
        before = self._hosts.get(view.host)
        if before is not None and before.source != check.domain and before.rank > rank:
            return
        sample = self._host_sample(check, view, facts, states.get((EntityType.MX, view.host)))
        self._hosts[view.host] = _HostSample(sample=sample, source=check.domain, rank=rank)

    def _host_sample(
        self, check: Check, view: HostView, facts: HostFacts | None, state: State | None
    ) -> _Sample:
        status: str | None = view.judged.outcome.value
        if view.judged.outcome is HostOutcome.INCONCLUSIVE:
            status = None if state is None else state.status
        values = {
            "mx_up": _flag(status, lambda known: known in _DELIVERING),
            "mx_last_check_timestamp_seconds": _seconds(view.observed_at),
        }
        values |= self._address_values(check, view)
        values |= self._tlsa_values(view, facts)
        values |= _certificate_values(facts)
        return _Sample(values=values, status=view.judged.outcome.value)

    def _address_values(self, check: Check, view: HostView) -> dict[str, float | None]:
        route = view.observation.route
        known = route.applicability not in _NO_ADDRESSES_KNOWN
        authenticated = sum(
            address.judged.outcome is HostOutcome.AUTHENTICATED
            for host in check.judgement.of(self._profile).hosts
            if host.host == view.host
            for address in host.addresses
        )
        return {
            "mx_addresses": len(route.addresses) if known else None,
            "mx_addresses_authenticated": authenticated if view.observation.addresses else None,
        }

    def _tlsa_values(self, view: HostView, facts: HostFacts | None) -> dict[str, float | None]:
        applicability = view.observation.route.applicability
        if applicability in _NO_DANE:
            absent = applicability is DaneApplicability.TLSA_ABSENT
            return {
                "mx_tlsa_records": 0 if absent else None,
                "mx_certificate_expiry_enforced": 0,
            }
        if applicability is not DaneApplicability.TLSA_PRESENT or facts is None:
            return {}
        usable = [one for one in facts.tlsa if one.usable]
        compared = all(one.matched is not None for one in usable)
        return {
            "mx_tlsa_records": len(facts.tlsa),
            "mx_tlsa_usable_records": len(usable),
            "mx_tlsa_unmatched_records": (
                sum(one.matched is False for one in usable) if compared else None
            ),
            "mx_certificate_expiry_enforced": int(self._is_expiry_enforced(facts)),
        }

    def _is_expiry_enforced(self, facts: HostFacts) -> bool:
        """Return whether an expired certificate breaks delivery (cases C16 and C22).

        Exchange Online refuses it wherever DANE authenticates; RFC 7672 §3.1.1 ignores dates for
        DANE-EE records, so only a match by DANE-TA depends on them.
        """
        usable = [one for one in facts.tlsa if one.usable]
        if self._profile is Profile.EXCHANGE_ONLINE or not usable:
            return bool(usable)
        deciding = [one for one in usable if one.matched] or usable
        return all(one.record.usage == _DANE_TA for one in deciding)


_DANE_TA = 2


def render_results(
    checks: Iterable[Check],
    *,
    profile: Profile = Profile.EXCHANGE_ONLINE,
    states: Mapping[EntityKey, State] | None = None,
    labels: Mapping[Name, Pairs] | None = None,
    queue_life: timedelta = DEFAULT_QUEUE_LIFE,
) -> str:
    """Return the exposition of a finished pass; ``labels`` are the operator's, by domain."""
    metrics = ResultMetrics(profile=profile, queue_life=queue_life)
    for check in checks:
        metrics.add(check, states=states, labels=(labels or {}).get(check.domain, ()))
    return metrics.render()


def may_become_textfile(path: Path) -> bool:
    """Return whether nothing stands at ``path``, or a regular file: what may be replaced."""
    return not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode)


def write_textfile(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step, readable by all (the node exporter's textfile
    collector may read at any moment). Raises OSError and leaves the old file as it was, and
    anything else that stands there: a device such as /dev/null must not become a file."""
    if not may_become_textfile(path):
        raise FileExistsError(errno.EEXIST, "what stands there is not a regular file", str(path))
    temporary = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _series(name: str, label: str, key: Name, one: _Sample) -> Iterator[tuple[str, str]]:
    """Yield (labels, value) of one family for one domain or host."""
    own = f'{label}="{escape_label(key)}"'
    if name == "domain_verdict":
        yield f'{own},verdict="{escape_label(one.status)}"', "1"
    elif name == "mx_outcome":
        yield f'{own},outcome="{escape_label(one.status)}"', "1"
    elif name == "zone_status":
        yield f'{own},status="{escape_label(one.status)}",reason="{escape_label(one.reason)}"', "1"
    elif name == "domain_mx_preference":
        for host, preference in sorted(one.preferences):
            yield f'{own},mx="{escape_label(host)}"', str(preference)
    elif name == "domain_info":
        users = "".join(f',{key}="{escape_label(value)}"' for key, value in one.labels)
        yield own + users, "1"
    else:
        value = one.values.get(name)
        if value is not None:
            yield own, _number(value)


def escape_label(value: str) -> str:
    """Return ``value`` as it stands between the quotes of a label."""
    if value.isalnum() and value.isascii():
        return value
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(sentence: str) -> str:
    return sentence.replace("\\", "\\\\").replace("\n", "\\n")


def _label_names(labels: Pairs) -> Pairs:
    """Return the operator's labels under names Prometheus allows, each name once, sorted.

    Other characters become underscores; a name that is ours or reserved (``__``) gets the prefix
    ``label_``, one that is taken a number.
    """
    renamed: dict[str, str] = {}
    for name, value in sorted(labels):
        plain = re.sub(r"[^a-zA-Z0-9_]", "_", name) or "label"
        if plain == "domain" or plain.startswith("__") or plain[0].isdigit():
            plain = f"label_{plain.lstrip('_')}"
        candidate, number = plain, 2
        while candidate in renamed:
            candidate, number = f"{plain}_{number}", number + 1
        renamed[candidate] = value
    return tuple(sorted(renamed.items()))


def _certificate_values(facts: HostFacts | None) -> dict[str, float | None]:
    # Whichever certificate of a host ends first stops the senders that are shown it.
    addresses = () if facts is None else facts.addresses
    chains = [chain for one in addresses for chain in (one.chain, one.other_chain)]
    leaves = [chain[0] for chain in chains if chain]
    starts = [leaf.not_before for leaf in leaves if leaf.not_before is not None]
    ends = [leaf.not_after for leaf in leaves if leaf.not_after is not None]
    return {
        "mx_certificate_not_before_timestamp_seconds": _seconds(max(starts)) if starts else None,
        "mx_certificate_not_after_timestamp_seconds": _seconds(min(ends)) if ends else None,
    }


def _zone_sample(zone: ZoneObservation, state: State | None) -> _Sample:
    status: str | None = zone.status.value
    if zone.status is DnssecStatus.INDETERMINATE:
        status = None if state is None else state.status
    begins, ends = zone.signature_inception, zone.signature_expiration
    return _Sample(
        values={
            "zone_secure": _flag(status, lambda known: known == DnssecStatus.SECURE),
            "zone_bogus": _flag(status, lambda known: known == DnssecStatus.BOGUS),
            "zone_signature_inception_timestamp_seconds": _seconds(begins) if begins else None,
            "zone_signature_expiration_timestamp_seconds": _seconds(ends) if ends else None,
        },
        status=zone.status.value,
        reason="" if zone.reason is None else zone.reason.value,
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(moment: datetime) -> float:
    """Return seconds since 1970; also for years the C library does not know."""
    return (moment - _EPOCH).total_seconds()


def _flag(status: str | None, holds: Callable[[str], bool]) -> float | None:
    return None if status is None else int(holds(status))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
