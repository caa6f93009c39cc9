"""What validation leaves out or does in haste comes to what the plain way comes to."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import validations as made
from hypothesis import given
from hypothesis import strategies as st
from signed_replies import Signer, read, records
from validations import DAY, DNSKEY, KSK, MX, NOW, REVOKED_KSK, ZSK

from scanner.judge.dnssec import answer, findings, forecast, rrsig, zone
from scanner.judge.dnssec.algorithms import LoadedKey
from scanner.judge.dnssec.canonical import signed_owner, signing_input
from scanner.judge.dnssec.policy import MAX_SERIAL_SECONDS, DnssecPolicy
from scanner.judge.dnssec.rrsig import VerificationMemo, Verifier
from scanner.judge.dnssec.zone import TrustedZone
from scanner.model import dnssec, observation, zones
from scanner.model.canonical import canonical, wire_form
from scanner.model.dnssec import CheckedRRset, Dnskey, LinkKind, RRset, Rrsig
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.record import maker, record
from scanner.model.vocabulary import DnssecStatus

TAGS = (1, 2, 3)
ALGORITHMS = (5, 8, 13)
ids = st.tuples(st.sampled_from(TAGS), st.sampled_from(ALGORITHMS))
keys = st.builds(
    made.key,
    st.sampled_from(TAGS),
    st.sampled_from(ALGORITHMS),
    st.sampled_from((KSK, ZSK, REVOKED_KSK, 1)),
    rsa_bits=st.sampled_from((1024, 2048)),
)


@contextmanager
def without(module: object, name: str) -> Iterator[None]:
    """Let the test of a shortcut always say that it cannot be taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, lambda *_arguments: False)
        yield


@st.composite
def checked(draw: st.DrawFn, rdtype: int) -> CheckedRRset:
    """A record set of example.org with one or two signatures, their bounds near or far."""
    signatures = [
        made.signature(
            "example.org",
            rdtype,
            tag,
            algorithm=algorithm,
            begins=draw(st.sampled_from((-4 * DAY, -timedelta(seconds=100)))),
            ends=draw(st.sampled_from((10 * DAY, timedelta(seconds=100), timedelta(hours=1)))),
            reason=draw(st.sampled_from((None, None, DnssecReason.RRSIG_INVALID))),
        )
        for tag, algorithm in draw(st.lists(ids, min_size=1, max_size=2))
    ]
    reason = None if any(one.reason is None for one in signatures) else DnssecReason.RRSIG_INVALID
    made_set = made.rrset("example.org", rdtype, "example.org", *signatures, reason=reason)
    assert made_set.rrset is not None
    ttl = draw(st.sampled_from((60, 3_600, 86_400)))
    rrsigs = tuple(one.rrsig for one in signatures)
    return replace(made_set, rrset=replace(made_set.rrset, ttl=ttl, rrsigs=rrsigs))


@given(st.data())
def test_a_zone_that_stands_still_has_nothing_to_come_that_is_left_out(data: st.DataObject) -> None:
    """Delegation, algorithms, idle keys and keys going out are looked at, or need not be."""
    some = data.draw(st.lists(keys, min_size=1, max_size=2))
    simple = data.draw(st.booleans())
    only = [(some[0].key_tag, some[0].algorithm)]
    announced = only if simple else data.draw(st.lists(ids, max_size=2))
    rrsets = (data.draw(checked(DNSKEY)), data.draw(checked(MX)))
    link = made.link(
        "example.org",
        1,
        kind=data.draw(st.sampled_from((LinkKind.DELEGATION, LinkKind.ANCHOR))),
        ds=tuple(made.ds(tag, algorithm) for tag, algorithm in announced),
        dnskeys=tuple(some),
        rrsets=rrsets[:1],
    )
    signed = [forecast.signed_of(rrset) for rrset in rrsets]
    found = forecast.forecast_zone(link, signed, now=NOW)
    with without(forecast, "_stands_still"):
        assert found == forecast.forecast_zone(link, signed, now=NOW)


def test_a_zone_of_one_key_stands_still() -> None:
    """So the shortcut is taken at all."""
    link = made.chain()[-1]
    signed = [forecast.signed_of(rrset) for rrset in link.rrsets if rrset.zone == link.zone]
    assert forecast._stands_still(link, signed)


@given(st.sampled_from((MX, DNSKEY, 50)).flatmap(checked), st.lists(keys, min_size=1, max_size=3))
def test_no_warning_on_a_record_set_is_left_out(rrset: CheckedRRset, of_zone: list[Dnskey]) -> None:
    """The bounds of its signature, its TTL, the algorithms of its zone."""
    trusted = zone.trusted_zone(rrset.owner, canonical(rrset.owner), of_zone, DnssecPolicy())

    def told() -> list[object]:
        policy = DnssecPolicy()
        found = findings.rrset_findings(rrset, trusted, now=NOW, policy=policy, server="")
        return list(found)

    quickly = told()
    with without(findings, "_is_plain"):
        assert quickly == told()


@given(st.lists(keys, max_size=4), st.lists(keys, max_size=2))
def test_a_zone_with_some_of_its_keys_only_has_exactly_these(
    all_keys: list[Dnskey], others: list[Dnskey]
) -> None:
    """By key tag and algorithm; a zone that loses none may stay what it is."""
    whole = zone.trusted_zone(Name("example"), (b"example",), all_keys, DnssecPolicy())
    wanted = [*all_keys[:1], *others]

    def kept(found: TrustedZone) -> list[LoadedKey]:
        return [one for of_one_id in found.keys.values() for one in of_one_id]

    meant = [one for one in kept(whole) if one.dnskey.rdata in {key.rdata for key in wanted}]
    assert kept(whole.only(wanted)) == meant
    assert all(whole.only(wanted).keys.values())


ZONE = Signer("example.org.")
SIGNED = records("mx.example.org.", "A", "192.0.2.1", "192.0.2.2")
GOOD = read(SIGNED, ZONE.sign(SIGNED))
TRUSTED = ZONE.zone()
REVOKED = Signer("example.org.", flags=REVOKED_KSK).zone()
(GOOD_KEY,) = TRUSTED.keys_for(GOOD.rrsigs[0].key_tag, 13)
ZONES = (
    TRUSTED,
    REVOKED,
    replace(TRUSTED, keys={(GOOD_KEY.dnskey.key_tag, 13): (GOOD_KEY, GOOD_KEY)}),
    replace(TRUSTED, keys={}),
    replace(TRUSTED, labels=(b"org", b"other")),
    Signer("example.org.", slot=1).zone(),
)
SECONDS = int(NOW.timestamp())
changed_fields: dict[str, st.SearchStrategy[Any]] = {
    "labels": st.integers(0, 5),
    "algorithm": st.sampled_from((0, 5, 8, 13, 14, 15)),
    "key_tag": st.sampled_from(sorted({tag for tag, _ in (*TRUSTED.keys, *REVOKED.keys)})),
    "signer_labels": st.sampled_from(((), (b"org",), (b"org", b"example"), (b"org", b"other"))),
    "signature": st.sampled_from((b"", bytes(63), bytes(64), bytes(96))),
    "original_ttl": st.sampled_from((0, 60, 86_400)),
    "ttl": st.sampled_from((0, 60, 86_400)),
    "inception": st.sampled_from((0, SECONDS, SECONDS + 1, MAX_SERIAL_SECONDS - 1)),
    "expiration": st.sampled_from((0, SECONDS - 1, SECONDS, SECONDS + MAX_SERIAL_SECONDS // 2)),
}


@st.composite
def signed_somehow(draw: st.DrawFn) -> RRset:
    """A well signed record set of which up to three things are changed."""
    (good,) = GOOD.rrsigs
    names = draw(st.lists(st.sampled_from(sorted(changed_fields)), max_size=2, unique=True))
    one = replace(good, **{name: draw(changed_fields[name]) for name in names})
    owners = ("mx.example.org", "*.example.org", "example.org", "other.org", "org")
    owner = Name(draw(st.one_of(st.just("mx.example.org"), st.sampled_from(owners))))
    return replace(
        GOOD,
        owner=owner,
        owner_labels=canonical(owner),
        rdtype=draw(st.one_of(st.just(1), st.sampled_from((43, DNSKEY)))),
        ttl=draw(st.sampled_from((60, 100_000_000))),
        rrsigs=draw(st.sampled_from(((one,), (one,), (one,), (one, good), ()))),
    )


@given(
    st.lists(st.tuples(signed_somehow(), st.sampled_from(ZONES)), min_size=1, max_size=4),
    st.sampled_from((0, 1, 8)),
    st.sampled_from((0, 1, 16)),
    st.booleans(),
)
def test_a_usual_signature_is_checked_as_any_other(
    rrsets: list[tuple[RRset, TrustedZone]], per_rrset: int, failed: int, remembers: bool
) -> None:
    """The same result, the same reasons, and the same number of verifications paid for."""
    policy = DnssecPolicy(
        max_verifications_per_rrset=per_rrset,
        max_failed_verifications=failed,
        max_verifications=3,
        max_rrsigs_per_rrset=per_rrset,
    )

    def checked_all() -> tuple[list[CheckedRRset], int]:
        work = Verifier(now=NOW, policy=policy, memo=VerificationMemo(10) if remembers else None)
        return [work.check(*each) for each in rrsets], work.verifications

    usually = checked_all()
    with without(Verifier, "_usual_keys"):
        assert usually == checked_all()


def test_a_good_signature_is_a_usual_one() -> None:
    """So the shortcut is taken at all."""
    work = Verifier(now=NOW, policy=DnssecPolicy())
    assert work._usual_keys(GOOD, GOOD.rrsigs[0], TRUSTED) == (GOOD_KEY,)
    assert work.check(GOOD, TRUSTED).status is DnssecStatus.SECURE


serials = st.integers(0, MAX_SERIAL_SECONDS - 1)


@given(
    now=st.integers(0, 250_000_000_000),
    inception=serials,
    lifetime=st.one_of(st.integers(0, 100), serials),
)
def test_dates_of_signatures_are_serial_numbers(now: int, inception: int, lifetime: int) -> None:
    """RFC 4034 §3.1.5 and RFC 1982, also where they have wrapped."""
    work = Verifier(now=datetime.fromtimestamp(now, UTC), policy=DnssecPolicy())
    half = MAX_SERIAL_SECONDS // 2
    expiration = (inception + lifetime) % MAX_SERIAL_SECONDS

    def ahead(raw: int) -> int:
        distance = (raw - now) % MAX_SERIAL_SECONDS
        return distance if distance < half else distance - MAX_SERIAL_SECONDS

    meant = None
    if lifetime >= half:
        meant = DnssecReason.RRSIG_DATES_REVERSED
    elif ahead(expiration) < 0:
        meant = DnssecReason.RRSIG_EXPIRED
    elif ahead(inception) > 0:
        meant = DnssecReason.RRSIG_NOT_YET_VALID
    one = replace(made.signature("example.org", MX, 1).rrsig, inception=inception)
    one = replace(one, expiration=expiration)
    assert work._dates(one) is meant
    for raw in (inception, expiration):
        assert work.ahead(raw) == ahead(raw)
        try:
            moment = work.now + timedelta(seconds=ahead(raw))
        except OverflowError:
            moment = work.now
        assert work.moment(raw) == moment


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=3),
    st.integers(0, 3),
    st.integers(0, MAX_SERIAL_SECONDS - 1),
)
def test_what_is_signed_is_what_the_rfc_says(rdatas: list[bytes], labels: int, ttl: int) -> None:
    """RFC 4034 §3.1.8.1: RDATA of the RRSIG, then owner, type, class, TTL, length, RDATA."""
    owner = canonical(Name("a.example.org"))
    rrset = RRset(
        owner=Name("a.example.org"),
        owner_labels=owner,
        rdtype=15,
        ttl=60,
        rdatas=tuple(rdatas),
    )
    signature = made.signature("example.org", MX, 1).rrsig
    signature = replace(signature, labels=labels, original_ttl=ttl, header=b"header")
    meant = b"header"
    for rdata in rdatas:
        meant += wire_form(signed_owner(rrset, signature)) + bytes((0, 15, 0, 1))
        meant += ttl.to_bytes(4) + len(rdata).to_bytes(2) + rdata
    assert signing_input(rrset, signature) == meant


MADE: list[Any] = [
    kind
    for module in (answer, dnssec, forecast, observation, rrsig, zone, zones)
    for kind in cast(dict[str, Any], vars(module)).values()
    if inspect.isclass(kind)
    and hasattr(kind, "__dataclass_fields__")
    and not kind.__dataclass_params__.frozen
    and all(repr(one.default_factory).startswith("<dataclasses._MISSING") for one in fields(kind))
    and all(one.kw_only for one in fields(kind))
]


@pytest.mark.parametrize("kind", sorted(set(MADE), key=lambda kind: kind.__qualname__))
def test_a_maker_makes_what_the_class_makes(kind: Any) -> None:
    """With every field given, and with defaults where there are any."""
    everything = {one.name: f"the {one.name}" for one in fields(kind)}
    needed = {
        name: value
        for name, value in everything.items()
        if inspect.signature(kind).parameters[name].default is inspect.Parameter.empty
    }
    make = maker(kind)
    for values in (everything, needed):
        one, other = make(**values), kind(**values)
        assert type(one) is type(other)
        for name in everything:
            assert getattr(one, name) == getattr(other, name)
    for missing in needed:
        with pytest.raises(TypeError):
            make(**{name: value for name, value in needed.items() if name != missing})
    with pytest.raises(TypeError):
        make(**everything, beyond=1)


def test_a_maker_is_refused_to_what_it_would_make_wrongly() -> None:
    """Fields that a function makes, and work after the fields."""

    @record
    class Late:
        value: int

        def __post_init__(self) -> None:
            raise AssertionError("not made")

    with pytest.raises(ValueError, match="left out"):
        maker(Late)
    with pytest.raises(ValueError, match="not a plain field"):
        maker(TrustedZone)


def test_the_records_are_known() -> None:
    """So that the tests above are of something."""
    assert {Rrsig, RRset, CheckedRRset, dnssec.Validation, observation.Lookup} <= set(MADE)
