"""What the TLSA records of one MX host were before: rollovers that went well, or too fast, or on.

A single check sees records that match and records that do not. Only over time can be told whether
one that matches nothing is prepared for the next key or left over from the last one, and whether
the record of a new key was published early enough for every cache to have it (RFC 7671 §8.1, §8.4).

Rules:

- Of each usable record of the host it is kept when it was first seen, when the host was last looked
  at without it, and when it last matched; a record that is gone is forgotten.
- *Published late*: a record matches for the first time, one that matched at the look before does
  not any more, and the first was published less than two TTLs ago at the very most: caches still
  hold the RRset without it, and senders that use them fail until it runs out (case 111). At the
  very most: counted from the last look without it. What was there at the first look, and a TTL
  that is not known, say nothing.
- *Stale*: a record that matched once has not for ``STALE_AFTER``, while another does (case 112).
- *Rollover*: besides a record that matches there is one that never did, "current + next"; or the
  host's own key and its issuer match both, "current + issuer" (case 110).
- All of them are advice. None is ever part of a verdict or a state.

Pure: the memory is a tuple of texts, one for each record, and lies in the host's state.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scanner.model.hostview import host_views
from scanner.model.monitoring import EntityKey
from scanner.model.observation import DaneApplicability, HostRoute
from scanner.model.reasons import Reason
from scanner.model.transition import State
from scanner.model.verdict import Check, Finding, TlsaJudgement
from scanner.model.vocabulary import EntityType, Profile, Severity
from scanner.transition.confirm import Digest

STALE_AFTER = timedelta(days=14)
"""Longer than any rollover takes; the alert about such records waits as long."""
MAX_RECORDS = 32
"""Records remembered of one host; more is a finding of its own. Ours."""
_NO_RECORDS = frozenset({DaneApplicability.TLSA_ABSENT, DaneApplicability.NOT_APPLICABLE})
_DANE_TA, _DANE_EE = 2, 3
_SHOWN_OCTETS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordMemory:
    """What is known of one record: ``key`` is its parameters and the SHA-256 of its data, cut."""

    key: str
    first_seen_at: datetime
    absent_at: datetime | None = None
    matched_at: datetime | None = None

    def text(self) -> str:
        """Return it as it is kept."""
        times = (self.first_seen_at, self.absent_at, self.matched_at)
        return " ".join([self.key, *("-" if one is None else one.isoformat() for one in times)])


def read_memory(texts: Iterable[str]) -> dict[str, RecordMemory]:
    """Return what ``RecordMemory.text`` made, by key; what is not of this form is forgotten."""
    found: dict[str, RecordMemory] = {}
    for text in texts:
        try:
            key, *times = text.split(" ")
            first, absent, matched = (
                None if one == "-" else datetime.fromisoformat(one) for one in times
            )
        except ValueError:
            continue
        if first is not None:
            found[key] = RecordMemory(
                key=key, first_seen_at=first, absent_at=absent, matched_at=matched
            )
    return found


def recall(
    result: Digest, check: Check, states: Mapping[EntityKey, State], *, profile: Profile
) -> Digest:
    """Return ``result`` with the memory of every host it moves, and with what that says.

    ``states`` are those before. A host that could not be looked up keeps its memory; one that has
    no TLSA records any more has none.
    """
    moved = dict(result.states)
    notes: list[Finding] = []
    facts = {one.host: one.tlsa for one in check.judgement.hosts}
    for view in host_views(check, profile):
        key = (EntityType.MX, str(view.host))
        after, before = moved.get(key), states.get(key)
        if after is None or not view.for_every_domain or after.last_seen_at != view.observed_at:
            continue
        route = view.observation.route
        memory: tuple[str, ...] = ()
        if route.applicability is DaneApplicability.TLSA_PRESENT and view.host in facts:
            memory, said = remember(
                () if before is None else before.tlsa,
                facts[view.host],
                host=view.host,
                at=view.observed_at,
                last_look_at=None if before is None else before.last_seen_at,
                ttl=_ttl_of(route),
            )
            notes += said
        elif route.applicability not in _NO_RECORDS:
            continue
        if memory != after.tlsa:
            moved[key] = replace(after, tlsa=memory)
    return replace(result, states=moved, notes=tuple(notes))


def annotated(check: Check, notes: Sequence[Finding]) -> Check:
    """Return ``check`` with ``notes`` among its findings."""
    if not notes:
        return check
    findings = (*check.judgement.findings, *notes)
    return replace(check, judgement=replace(check.judgement, findings=findings))


def remember(
    memory: tuple[str, ...],
    records: Iterable[TlsaJudgement],
    *,
    host: str,
    at: datetime,
    last_look_at: datetime | None,
    ttl: timedelta | None,
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Return the memory after a look at ``host`` at the time ``at``, and what it has to say.

    ``last_look_at`` is the look before, which ``memory`` is from. ``ttl`` is what the RRset had
    left to live when it was looked up, no more than it began with.
    """
    before = read_memory(memory)
    # A look that could not read the records moves the state and not the memory, so only a match
    # shows that ``memory`` is of the last look.
    is_of_last = any(one.matched_at == last_look_at for one in before.values())
    usable = {_key(one): one for one in records if one.usable}
    after: dict[str, RecordMemory] = {}
    for key, one in list(usable.items())[:MAX_RECORDS]:
        known = before.get(key) or RecordMemory(
            key=key, first_seen_at=at, absent_at=last_look_at if is_of_last else None
        )
        after[key] = replace(known, matched_at=at) if one.matched else known
    notes: list[Finding] = []
    if any(one.matched for one in usable.values()):
        left = [one for one in before.values() if _left(one, after, at, last_look_at)]
        if left and ttl is not None:
            notes += _published_late(before, after, usable, host, at, ttl)
        notes += _stale(after, usable, host, at)
        notes += _rollover(after, usable, host)
    return tuple(one.text() for one in after.values()), tuple(notes)


def _left(
    one: RecordMemory, after: Mapping[str, RecordMemory], at: datetime, last: datetime | None
) -> bool:
    """Return whether a record that matched at the look before does not now, or is gone."""
    if one.matched_at is None or one.matched_at != last:
        return False
    now = after.get(one.key)
    return now is None or now.matched_at != at


def _published_late(
    before: Mapping[str, RecordMemory],
    after: Mapping[str, RecordMemory],
    usable: Mapping[str, TlsaJudgement],
    host: str,
    at: datetime,
    ttl: timedelta,
) -> Iterable[Finding]:
    for key, one in after.items():
        known = before.get(key)
        is_first_match = one.matched_at == at and (known is None or known.matched_at is None)
        if not is_first_match or one.absent_at is None or at - one.absent_at >= 2 * ttl:
            continue
        yield _note(
            Reason.TLSA_PUBLISHED_LATE,
            Severity.WARNING,
            host,
            f"{_shown(usable[key])} was not there at {_time(one.absent_at)} and is needed since "
            f"{_time(at)} at the latest; caches may hold the records of before for "
            f"{ttl.total_seconds():.0f} seconds or more",
        )


def _stale(
    after: Mapping[str, RecordMemory],
    usable: Mapping[str, TlsaJudgement],
    host: str,
    at: datetime,
) -> Iterable[Finding]:
    for key, one in after.items():
        if one.matched_at is not None and at - one.matched_at > STALE_AFTER:
            yield _note(
                Reason.TLSA_STALE_RECORD,
                Severity.INFO,
                host,
                f"{_shown(usable[key])} last matched at {_time(one.matched_at)}",
            )


def _rollover(
    after: Mapping[str, RecordMemory], usable: Mapping[str, TlsaJudgement], host: str
) -> Iterable[Finding]:
    for key, one in after.items():
        if one.matched_at is None and usable[key].matched is False:
            yield _note(
                Reason.TLSA_ROLLOVER,
                Severity.INFO,
                host,
                f"current + next: {_shown(usable[key])} is there since "
                f"{_time(one.first_seen_at)} at the latest and has matched nothing yet",
            )
    usages = {one.record.usage for one in usable.values() if one.matched}
    if {_DANE_TA, _DANE_EE} <= usages:
        yield _note(
            Reason.TLSA_ROLLOVER,
            Severity.INFO,
            host,
            "current + issuer: the key of the host and its issuer both match",
        )


def _ttl_of(route: HostRoute) -> timedelta | None:
    for candidate in route.candidates:
        if candidate.base == route.tlsa_base and candidate.lookup.ttl_seconds is not None:
            return timedelta(seconds=candidate.lookup.ttl_seconds)
    return None


def _key(one: TlsaJudgement) -> str:
    record = one.record
    parameters = f"{record.usage}.{record.selector}.{record.matching_type}"
    return f"{parameters}.{hashlib.sha256(record.data).hexdigest()[:24]}"


def _shown(one: TlsaJudgement) -> str:
    record = one.record
    data = record.data[:_SHOWN_OCTETS].hex() + ("…" if len(record.data) > _SHOWN_OCTETS else "")
    return f"{record.usage} {record.selector} {record.matching_type} {data}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _note(code: Reason, severity: Severity, host: str, message: str) -> Finding:
    return Finding(code=code, severity=severity, where=host, message=message)
