"""What is going to break: signatures running out, keys being changed, things going out of use.

Theory. Whoever signs a zone signs it again some time before the signatures end: BIND and PowerDNS
with a third to a quarter of their lifetime left, OpenDNSSEC with a fifth, Knot DNS with a tenth,
signers that work online with half. So nothing can be said by days, only

    with one look          by the share of the lifetime that is left: below a tenth no signer
                           that works lets it get
    with several looks     by the zone's own habit: less time left than it ever let itself have

Keys and DS records are compared for what does not fit together and yet is well: a second DS, a key
that signs nothing yet, two algorithms, a revoked key. These are roll-overs, each told once.

Rules
- Only what was validated is looked at: a link that is secure, signatures that verified.
- Nothing here changes a status; findings are information or warnings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter

from scanner.judge.dnssec.findings import Values, finding
from scanner.model.dnssec import (
    ChainLink,
    CheckedRRset,
    Dnskey,
    DnssecFinding,
    LinkKind,
    Validation,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.dnssec_words import algorithm_name
from scanner.model.names import Name
from scanner.model.record import maker, record
from scanner.model.vocabulary import DnssecStatus

TYPE_DS = 43
TYPE_DNSKEY = 48

DEPRECATED_ALGORITHMS = frozenset({1, 3, 5, 6, 7, 10, 12})
"""Not to be signed with any more (RFC 9904 table 1, RFC 9905 §2; 10: NOT RECOMMENDED)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastPolicy:
    """When something is worth a warning."""

    least_share_left: float = 0.1
    """Of a signature's lifetime; Knot DNS, the latest of the common signers, renews at a tenth."""
    least_renewals: int = 2
    """Renewals to have seen before a zone's own habit is held against it."""
    habit_share: float = 0.75
    """Of the least time that a zone ever left: signers run when a machine has time for them."""
    least_rsa_bits: int = 2048
    """Below, a key is going out of use (NIST SP 800-57 part 1, table 2: 112 bits of security)."""


_USUAL_POLICY = ForecastPolicy()


@record
class Span:
    """The validity of one signature."""

    inception: datetime
    expiration: datetime

    def share_left(self, now: datetime) -> float:
        """Return which part of its lifetime is left, 0 once it has ended."""
        lifetime = (self.expiration - self.inception).total_seconds()
        left = (self.expiration - now).total_seconds()
        return max(0.0, left / lifetime) if lifetime > 0 else 0.0


@record
class Signed:
    """What is kept of one record set and its signatures.

    ``keys`` are key tag and algorithm of every signature over it. ``span`` is the validity of the
    one that counts: that which verified or, where none did, that which failed for its dates only
    (``good`` is then False); None where there is none.
    """

    owner: Name
    rdtype: int
    keys: frozenset[tuple[int, int]]
    key: tuple[int, int] | None = None
    span: Span | None = None
    good: bool = False


@record
class SigningHabit:
    """How late a zone renews its signatures, learnt from looks at it.

    ``least_left`` is the least time that a signature can have had left when it was renewed, over
    ``renewals`` of them; None before the first.
    """

    renewals: int = 0
    least_left: timedelta | None = None


_NO_HABIT = SigningHabit()


def learn(
    habit: SigningHabit, before: Span, seen_at: datetime, after: Span, now: datetime
) -> SigningHabit:
    """Return ``habit`` after a signature seen at ``seen_at`` is seen renewed at ``now``.

    Nothing is learnt from the same signature, an older one, or looks so far apart that the old
    one may have ended in between.
    """
    if after.inception <= before.inception or now >= before.expiration or now <= seen_at:
        return habit
    left = before.expiration - now
    least = left if habit.least_left is None else min(habit.least_left, left)
    return SigningHabit(renewals=habit.renewals + 1, least_left=least)


@record
class ZoneHabits:
    """The habits of one zone: its keys are often signed elsewhere and at other times."""

    keys: SigningHabit = _NO_HABIT
    data: SigningHabit = _NO_HABIT

    def of(self, rdtype: int) -> SigningHabit:
        """Return the habit that record sets of this type follow."""
        return self.keys if rdtype == TYPE_DNSKEY else self.data

    def learn(
        self, before: Signed, seen_at: datetime, after: Signed, now: datetime
    ) -> "ZoneHabits":
        """Return the habits after a record set seen at ``seen_at`` is seen again at ``now``."""
        if before.span is None or after.span is None:
            return self
        habit = self.of(after.rdtype)
        learnt = learn(habit, before.span, seen_at, after.span, now)
        if learnt is habit:
            return self
        return (
            replace(self, keys=learnt)
            if after.rdtype == TYPE_DNSKEY
            else replace(self, data=learnt)
        )


def forecast(
    validation: Validation,
    *,
    now: datetime,
    policy: ForecastPolicy | None = None,
    habits: Mapping[Name, ZoneHabits] | None = None,
) -> tuple[DnssecFinding, ...]:
    """Return what is to come in every zone that ``validation`` went through, anchor first.

    ``habits`` are those learnt by zone; without them a single look has to do.
    """
    by_zone = signed_by_zone(validation)
    found: list[DnssecFinding] = []
    for link in validation.chain:
        known = (habits or {}).get(link.zone)
        signed = by_zone.get(link.zone, ())
        found += forecast_zone(link, signed, now=now, policy=policy, habits=known)
    return tuple(dict.fromkeys(found))


def forecast_zone(
    link: ChainLink,
    signed: Sequence[Signed],
    *,
    now: datetime,
    policy: ForecastPolicy | None = None,
    habits: ZoneHabits | None = None,
) -> tuple[DnssecFinding, ...]:
    """Return what is to come in the zone of ``link``, of which ``signed`` was seen.

    Nothing is said of a zone that is not secure: there is enough to say already.
    """
    if link.kind is LinkKind.NO_CUT or link.status is not DnssecStatus.SECURE:
        return ()
    chosen = policy or _USUAL_POLICY
    found = _signatures(link.zone, signed, habits or ZoneHabits(), now=now, policy=chosen)
    if _stands_still(link, signed):
        return tuple(found)
    return (
        *found,
        *_delegation_change(link),
        *_algorithm_change(link),
        *_idle_keys(link, signed),
        *_out_of_use(link, signed, chosen),
    )


def _stands_still(link: ChainLink, signed: Sequence[Signed]) -> bool:
    """Return whether one key signs everything, is announced, and is not of a kind to go.

    As with the many zones that are signed online; of those nothing can be changing.
    """
    if len(link.dnskeys) != 1:
        return False
    (key,) = link.dnskeys
    just_it = {(key.key_tag, key.algorithm)}
    return (
        key.is_zone_key
        and not key.is_revoked
        and key.algorithm not in _RSA
        and key.algorithm not in DEPRECATED_ALGORITHMS
        and {(ds.key_tag, ds.algorithm) for ds in link.ds} == just_it
        and {one.key for one in signed} - _NO_KEY <= just_it
        and _signing(link) <= just_it
    )


_NO_KEY = frozenset({None})


def signed_by_zone(validation: Validation) -> dict[Name, tuple[Signed, ...]]:
    """Return every record set that was checked, by the zone that signed it, each once."""
    by_zone: dict[Name, dict[tuple[Name, int], Signed]] = {}
    everything = [rrset for link in validation.chain for rrset in link.rrsets]
    for rrset in (*everything, *validation.rrsets):
        if rrset.zone is not None:
            by_zone.setdefault(rrset.zone, {})[rrset.owner, rrset.rdtype] = signed_of(rrset)
    return {zone: tuple(rrsets.values()) for zone, rrsets in by_zone.items()}


_make_signed = maker(Signed)
_make_span = maker(Span)
_DATES = frozenset({DnssecReason.RRSIG_EXPIRED, DnssecReason.RRSIG_NOT_YET_VALID})


def signed_of(rrset: CheckedRRset) -> Signed:
    """Return what is kept of ``rrset``; of several signatures that count the latest to end."""
    counting = [
        one
        for one in rrset.signatures
        if one.checked and (one.reason is None or one.reason in _DATES)
    ]
    keys = frozenset([(one.rrsig.key_tag, one.rrsig.algorithm) for one in rrset.signatures])
    if not counting:
        return Signed(owner=rrset.owner, rdtype=rrset.rdtype, keys=keys)
    best = counting[0]
    if len(counting) > 1:
        best = max(counting, key=lambda one: (one.reason is None, one.expiration))
    return _make_signed(
        owner=rrset.owner,
        rdtype=rrset.rdtype,
        keys=keys,
        key=(best.rrsig.key_tag, best.rrsig.algorithm),
        span=_make_span(inception=best.inception, expiration=best.expiration),
        good=best.reason is None,
    )


def _signatures(
    zone: Name,
    signed: Iterable[Signed],
    habits: ZoneHabits,
    *,
    now: datetime,
    policy: ForecastPolicy,
) -> Iterator[DnssecFinding]:
    """Yield at most one finding: on the signature in doubt that ends first."""
    running = [
        (one.span.expiration, one.span, one)
        for one in signed
        if one.span is not None and one.good and one.span.expiration > now
    ]
    running.sort(key=_FIRST)
    for _, span, one in running:
        left = span.expiration - now
        reason, usual = None, _habit_broken(habits.of(one.rdtype), left, policy)
        if span.share_left(now) < policy.least_share_left:
            reason, usual = DnssecReason.RRSIG_NEAR_EXPIRY, None
        elif usual is not None:
            reason = DnssecReason.RESIGNING_OVERDUE
        if reason is not None:
            values = _signature_values(one, span, now, usual)
            yield finding(reason, zone=zone, owner=one.owner, rdtype=one.rdtype, values=values)
            return


_FIRST = itemgetter(0)


def _signature_values(signed: Signed, span: Span, now: datetime, usual: timedelta | None) -> Values:
    values = (
        ("key_tag", str(signed.key[0]) if signed.key else ""),
        ("inception", _moment(span.inception)),
        ("expiration", _moment(span.expiration)),
        ("time_left", _duration(span.expiration - now)),
        ("share_of_lifetime_left", f"{span.share_left(now):.0%}"),
    )
    return values if usual is None else (*values, ("usually_renewed_with", _duration(usual)))


def _habit_broken(habit: SigningHabit, left: timedelta, policy: ForecastPolicy) -> timedelta | None:
    """Return the time that is usually left at least, where there is clearly less now."""
    if habit.least_left is None or habit.renewals < policy.least_renewals:
        return None
    late = left < habit.least_left * policy.habit_share
    return habit.least_left if late else None


def _delegation_change(link: ChainLink) -> Iterator[DnssecFinding]:
    """A second DS, an entry key without a DS, or a revoked key (RFC 6781 §4.1.2, RFC 5011)."""
    keys = _zone_keys(link)
    revoked = [key for key in keys if key.is_revoked]
    announced = {(ds.key_tag, ds.algorithm) for ds in link.ds}
    present = {(key.key_tag, key.algorithm) for key in keys}
    signing = _signing(link)
    # An anchor file lists keys to come as well; that is no change of the zone's.
    doubled = [] if link.kind is LinkKind.ANCHOR else sorted(announced & present)
    waiting = [
        key
        for key in keys
        if key.is_secure_entry_point
        and not key.is_revoked
        and (key.key_tag, key.algorithm) in signing - announced
    ]
    if not (revoked or len(doubled) > 1 or (waiting and link.ds)):
        return
    values: list[tuple[str, str]] = []
    if len(doubled) > 1:
        values.append(("keys_with_a_ds", _ids(doubled)))
    if waiting and link.ds:
        values.append(("keys_waiting_for_a_ds", _key_ids(waiting)))
    if revoked:
        values.append(("revoked_keys", _key_ids(revoked)))
    yield _on(link, DnssecReason.DS_CHANGE_PENDING, tuple(values), rdtype=TYPE_DS)


def _algorithm_change(link: ChainLink) -> Iterator[DnssecFinding]:
    """More than one algorithm among the keys (RFC 6781 §4.1.4)."""
    algorithms = sorted({key.algorithm for key in _zone_keys(link) if not key.is_revoked})
    if len(algorithms) > 1:
        announced = sorted({ds.algorithm for ds in link.ds})
        values = (
            ("algorithms_of_keys", " ".join(algorithm_name(one) for one in algorithms)),
            ("algorithms_of_ds", " ".join(algorithm_name(one) for one in announced)),
        )
        yield _on(link, DnssecReason.ALGORITHM_CHANGE_PENDING, values)


def _idle_keys(link: ChainLink, signed: Iterable[Signed]) -> Iterator[DnssecFinding]:
    """Keys that signed nothing of what was seen: one is a change under way, more are left over."""
    announced = {(ds.key_tag, ds.algorithm) for ds in link.ds}
    data = [one for one in signed if one.rdtype != TYPE_DNSKEY]
    signing = _signing(link).union(*(one.keys for one in data))
    for entry_point in (True, False):
        if not entry_point and not data:
            continue  # nothing was seen that such a key would sign
        idle = [
            key
            for key in _zone_keys(link)
            if key.is_secure_entry_point is entry_point
            and not key.is_revoked
            and (key.key_tag, key.algorithm) not in signing | announced
        ]
        reason = DnssecReason.KEY_PREPUBLISHED if len(idle) == 1 else DnssecReason.KEY_UNUSED
        if idle:
            yield _on(link, reason, (("keys", _key_ids(idle)),))


def _out_of_use(
    link: ChainLink, signed: Iterable[Signed], policy: ForecastPolicy
) -> Iterator[DnssecFinding]:
    """Algorithms nobody should sign with any more, and RSA keys that have become too short."""
    used = _signing(link) | {one.key for one in signed if one.key is not None and one.good}
    old = sorted({algorithm for _, algorithm in used} & DEPRECATED_ALGORITHMS)
    if old:
        names = " ".join(algorithm_name(one) for one in old)
        yield _on(link, DnssecReason.ALGORITHM_DEPRECATED, (("algorithms", names),))
    for key in link.dnskeys:
        is_short = (
            key.bits is not None and key.algorithm in _RSA and key.bits < policy.least_rsa_bits
        )
        if is_short and (key.key_tag, key.algorithm) in used:
            values = (("key_tag", str(key.key_tag)), ("bits", str(key.bits)))
            yield _on(link, DnssecReason.ALGORITHM_DEPRECATED, values)


_RSA = frozenset({5, 7, 8, 10})


def _zone_keys(link: ChainLink) -> list[Dnskey]:
    return [key for key in link.dnskeys if key.is_zone_key]


def _signing(link: ChainLink) -> set[tuple[int, int]]:
    """Return key tag and algorithm of every signature over the zone's own keys."""
    return {
        (one.rrsig.key_tag, one.rrsig.algorithm)
        for rrset in link.rrsets
        if rrset.rdtype == TYPE_DNSKEY and rrset.owner == link.zone
        for one in rrset.signatures
    }


def _on(
    link: ChainLink, reason: DnssecReason, values: Values, *, rdtype: int = TYPE_DNSKEY
) -> DnssecFinding:
    return finding(reason, zone=link.zone, owner=link.zone, rdtype=rdtype, values=values)


def _key_ids(keys: Iterable[Dnskey]) -> str:
    return _ids((key.key_tag, key.algorithm) for key in keys)


def _ids(pairs: Iterable[tuple[int, int]]) -> str:
    return " ".join(f"{tag}/{algorithm}" for tag, algorithm in sorted(pairs))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(span: timedelta) -> str:
    hours = int(span.total_seconds() // 3600)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h"
