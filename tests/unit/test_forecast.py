"""What is to come: signatures against the habit of signers, keys being changed, what goes out."""

from dataclasses import replace
from datetime import timedelta

import pytest
import validations as made
from validations import DAY, EXAMPLE_TAG, NOW, ORG_TAG

from scanner.judge.dnssec.forecast import (
    ForecastPolicy,
    SigningHabit,
    Span,
    ZoneHabits,
    forecast,
    learn,
    signed_of,
)
from scanner.model.dnssec import Dnskey, DnssecFinding, Ds, LinkKind, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.vocabulary import DnssecStatus

EXAMPLE = Name("example.org")


def reasons(validation: Validation, **changes: object) -> list[DnssecReason]:
    return [found.reason for found in forecast(validation, now=NOW, **changes)]  # type: ignore[arg-type]


def with_zone(**changes: object) -> Validation:
    """Return the chain of example.org with its own link changed."""
    last = replace(made.chain()[-1], **changes)  # type: ignore[arg-type]
    return made.secure(links=made.chain(last=last))


def keys_signed_by(*signers: tuple[int, int]) -> tuple[made.CheckedRRset, ...]:
    """Return the DS and DNSKEY record sets of example.org, the keys signed as told."""
    signatures = [
        made.signature("example.org", made.DNSKEY, tag, algorithm=algorithm)
        for tag, algorithm in signers
    ]
    return (
        made.rrset("example.org", made.DS, "org", made.signature("org", made.DS, ORG_TAG)),
        made.rrset("example.org", made.DNSKEY, "example.org", *signatures),
    )


def mx_signed(begins: timedelta, ends: timedelta) -> Validation:
    """Return a validation whose MX signature alone has these dates."""
    one = made.signature("example.org", made.MX, EXAMPLE_TAG, begins=begins, ends=ends)
    return made.secure(rrsets=(made.rrset("example.org", made.MX, "example.org", one),))


def test_a_chain_in_order_has_nothing_to_come() -> None:
    """Signatures with most of their lifetime left, one key a zone."""
    assert reasons(made.secure()) == []


@pytest.mark.parametrize(
    ("begins", "ends", "found"),
    [
        (-13 * DAY, DAY, True),  # a fourteenth of 14 days
        (-12 * DAY, 2 * DAY, False),  # a seventh: OpenDNSSEC renews later than that
        (timedelta(hours=-24), timedelta(hours=3), False),  # three hours, of an online signer
        (timedelta(hours=-25), timedelta(hours=2), True),
    ],
)
def test_a_signature_is_judged_by_the_share_of_its_lifetime_left(
    begins: timedelta, ends: timedelta, found: bool
) -> None:
    """Never by days: online signers use hours."""
    assert (reasons(mx_signed(begins, ends)) == [DnssecReason.RRSIG_NEAR_EXPIRY]) is found


def test_only_the_first_end_of_a_zone_is_told_with_its_record_set_and_key() -> None:
    """A zone signed as a whole would fill the page otherwise."""
    last = replace(
        made.chain()[-1],
        rrsets=(
            made.rrset(
                "example.org",
                made.DNSKEY,
                "example.org",
                made.signature("example.org", made.DNSKEY, EXAMPLE_TAG, begins=-13 * DAY, ends=DAY),
            ),
        ),
    )
    both = replace(mx_signed(-13 * DAY, DAY / 2), chain=made.chain(last=last))
    (found,) = forecast(both, now=NOW)
    assert (found.zone, found.owner, found.rdtype) == (EXAMPLE, EXAMPLE, made.MX)
    assert dict(found.values)["key_tag"] == str(EXAMPLE_TAG)
    assert dict(found.values)["time_left"] == "12 h"
    assert dict(found.values)["expiration"] == "2026-11-25T00:00:00Z"
    assert found.state is None


def test_another_share_can_be_chosen() -> None:
    """The policy is an argument."""
    third = ForecastPolicy(least_share_left=0.33)
    assert reasons(mx_signed(-10 * DAY, 4 * DAY), policy=third) == [DnssecReason.RRSIG_NEAR_EXPIRY]


class TestHabit:
    """What is learnt from looks at the same record set."""

    OLD = Span(inception=NOW - 10 * DAY, expiration=NOW + 4 * DAY)
    NEW = Span(inception=NOW - DAY / 24, expiration=NOW + 14 * DAY)
    EARLIER = NOW - DAY / 2

    def test_a_renewal_shows_how_much_was_left(self) -> None:
        """At the look that saw it, since it may have been renewed just before."""
        habit = learn(SigningHabit(), self.OLD, self.EARLIER, self.NEW, NOW)
        assert habit == SigningHabit(renewals=1, least_left=4 * DAY)

    def test_keys_and_data_have_habits_of_their_own(self) -> None:
        """Keys are often signed elsewhere, and months ahead."""
        keys = ZoneHabits(keys=SigningHabit(renewals=9, least_left=9 * DAY))
        assert reasons(mx_signed(-9 * DAY, 5 * DAY), habits={EXAMPLE: keys}) == []
        long_ago = made.signature(
            "example.org", made.DNSKEY, EXAMPLE_TAG, begins=-9 * DAY, ends=5 * DAY
        )
        over_keys = made.rrset("example.org", made.DNSKEY, "example.org", long_ago)
        seen = with_zone(rrsets=(over_keys,))
        assert reasons(seen, habits={EXAMPLE: keys}) == [DnssecReason.RESIGNING_OVERDUE]

    def test_the_least_counts(self) -> None:
        """A zone may renew some record sets earlier than others."""
        before = SigningHabit(renewals=3, least_left=2 * DAY)
        assert learn(before, self.OLD, self.EARLIER, self.NEW, NOW) == SigningHabit(
            renewals=4, least_left=2 * DAY
        )

    @pytest.mark.parametrize(
        ("before", "after", "now"),
        [
            (OLD, OLD, NOW),  # the same signature
            (NEW, OLD, NOW),  # an older one, from another server
            (OLD, NEW, NOW + 5 * DAY),  # it may have ended in between
            (OLD, NEW, EARLIER),  # the same look
        ],
    )
    def test_nothing_is_learnt_from_what_is_no_renewal(
        self, before: Span, after: Span, now
    ) -> None:  # type: ignore[no-untyped-def]
        """Least of all that a zone lets its signatures end."""
        known = SigningHabit(renewals=1, least_left=3 * DAY)
        assert learn(known, before, self.EARLIER, after, now) == known

    def test_less_than_was_ever_left_is_overdue(self) -> None:
        """Although a third of the lifetime is left, which is much for others."""
        habits = {EXAMPLE: ZoneHabits(data=SigningHabit(renewals=2, least_left=7 * DAY))}
        found = forecast(mx_signed(-9 * DAY, 5 * DAY), now=NOW, habits=habits)
        assert [one.reason for one in found] == [DnssecReason.RESIGNING_OVERDUE]
        assert dict(found[0].values)["usually_renewed_with"] == "7 d 0 h"

    @pytest.mark.parametrize(
        "habit",
        [
            SigningHabit(),
            SigningHabit(renewals=1, least_left=7 * DAY),
            SigningHabit(renewals=9, least_left=5 * DAY),
            SigningHabit(renewals=9, least_left=6 * DAY),
        ],
    )
    def test_a_habit_counts_once_it_is_one(self, habit: SigningHabit) -> None:
        """One renewal is no habit, and what is kept to is none broken."""
        assert reasons(mx_signed(-9 * DAY, 5 * DAY), habits={EXAMPLE: ZoneHabits(data=habit)}) == []


@pytest.mark.parametrize("status", [DnssecStatus.BOGUS, DnssecStatus.INSECURE])
def test_nothing_is_said_of_a_zone_that_is_not_secure(status: DnssecStatus) -> None:
    """There is enough to say of it already."""
    keys = tuple(made.key(tag) for tag in (1, 2, 3))
    assert reasons(with_zone(status=status, dnskeys=keys)) == []


def test_a_name_that_is_no_zone_has_no_forecast() -> None:
    """The keys there are those of the zone above."""
    keys = tuple(made.key(tag) for tag in (1, 2, 3))
    assert reasons(with_zone(kind=LinkKind.NO_CUT, dnskeys=keys)) == []


def change(
    ds: tuple[Ds, ...], keys: tuple[Dnskey, ...], *signers: tuple[int, int]
) -> tuple[DnssecFinding, ...]:
    validation = with_zone(ds=ds, dnskeys=keys, rrsets=keys_signed_by(*signers))
    return tuple(one for one in forecast(validation, now=NOW) if one.zone == EXAMPLE)


def test_two_ds_that_both_have_keys_are_a_change_under_way() -> None:
    """Double DS (RFC 6781 §4.1.2)."""
    found = change(
        (made.ds(EXAMPLE_TAG), made.ds(900)),
        (made.key(EXAMPLE_TAG), made.key(900)),
        (EXAMPLE_TAG, 13),
    )
    assert [one.reason for one in found] == [DnssecReason.DS_CHANGE_PENDING]
    assert dict(found[0].values) == {"keys_with_a_ds": f"{EXAMPLE_TAG}/13 900/13"}


def test_two_digests_of_one_key_are_no_change() -> None:
    """SHA-256 beside SHA-384."""
    ds = (made.ds(EXAMPLE_TAG), made.ds(EXAMPLE_TAG, digest_type=4))
    assert change(ds, (made.key(EXAMPLE_TAG),), (EXAMPLE_TAG, 13)) == ()


def test_a_key_that_signs_the_keys_without_a_ds_waits_for_one() -> None:
    """Double signature (RFC 6781 §4.1.2)."""
    keys = (made.key(EXAMPLE_TAG), made.key(900))
    found = change((made.ds(EXAMPLE_TAG),), keys, (EXAMPLE_TAG, 13), (900, 13))
    assert [one.reason for one in found] == [DnssecReason.DS_CHANGE_PENDING]
    assert dict(found[0].values) == {"keys_waiting_for_a_ds": "900/13"}


def test_a_revoked_key_is_told() -> None:
    """RFC 5011 §2.1; validators must not take it as an anchor any more."""
    keys = (made.key(EXAMPLE_TAG), made.key(901, flags=made.REVOKED_KSK))
    found = change((made.ds(EXAMPLE_TAG),), keys, (EXAMPLE_TAG, 13), (901, 13))
    assert [one.reason for one in found] == [DnssecReason.DS_CHANGE_PENDING]
    assert dict(found[0].values) == {"revoked_keys": "901/13"}


def test_the_anchors_of_a_zone_are_no_change_of_its_own() -> None:
    """The root's file names the key to come as well."""
    root = made.link(
        ".",
        20326,
        ds=(made.ds(20326), made.ds(38696)),
        dnskeys=(made.key(20326), made.key(38696)),
    )
    assert reasons(made.secure(links=(root, *made.chain()[1:]))) == []


def test_one_key_that_signs_nothing_is_prepublished() -> None:
    """Of each kind: a zone-signing key only where data of the zone was seen."""
    zsks = (made.key(10, flags=made.ZSK), made.key(11, flags=made.ZSK))
    keys = (made.key(EXAMPLE_TAG), made.key(900), *zsks)
    validation = with_zone(dnskeys=keys)
    signed = made.signature("example.org", made.MX, 10)
    seen = replace(validation, rrsets=(made.rrset("example.org", made.MX, "example.org", signed),))
    found = forecast(seen, now=NOW)
    assert [one.reason for one in found] == [DnssecReason.KEY_PREPUBLISHED] * 2
    assert [dict(one.values)["keys"] for one in found] == ["900/13", "11/13"]
    unseen = forecast(replace(validation, rrsets=()), now=NOW)
    assert [dict(one.values)["keys"] for one in unseen] == ["900/13"]


def test_several_keys_that_sign_nothing_are_left_over() -> None:
    """No change of keys needs two."""
    keys = (made.key(EXAMPLE_TAG), made.key(900), made.key(901))
    (found,) = forecast(with_zone(dnskeys=keys), now=NOW)
    assert found.reason is DnssecReason.KEY_UNUSED
    assert dict(found.values) == {"keys": "900/13 901/13"}


def test_keys_of_two_algorithms_are_a_change_of_algorithm() -> None:
    """RFC 6781 §4.1.4: both sign until the old DS is gone."""
    keys = (made.key(EXAMPLE_TAG), made.key(900, 8))
    found = change((made.ds(EXAMPLE_TAG),), keys, (EXAMPLE_TAG, 13), (900, 8))
    assert {one.reason for one in found} == {
        DnssecReason.ALGORITHM_CHANGE_PENDING,
        DnssecReason.DS_CHANGE_PENDING,
    }
    rolling = next(one for one in found if one.reason is DnssecReason.ALGORITHM_CHANGE_PENDING)
    assert dict(rolling.values)["algorithms_of_keys"] == "RSASHA256 ECDSAP256SHA256"


@pytest.mark.parametrize("algorithm", [5, 7, 10])
def test_an_algorithm_going_out_of_use_is_told(algorithm: int) -> None:
    """Where it still validates, by policy or for now."""
    found = change(
        (made.ds(EXAMPLE_TAG, algorithm),),
        (made.key(EXAMPLE_TAG, algorithm),),
        (EXAMPLE_TAG, algorithm),
    )
    assert [one.reason for one in found] == [DnssecReason.ALGORITHM_DEPRECATED]


@pytest.mark.parametrize(("bits", "told"), [(1024, True), (1280, True), (2048, False)])
def test_a_short_rsa_key_in_use_is_told(bits: int, told: bool) -> None:
    """112 bits of security need 2048."""
    keys = (made.key(EXAMPLE_TAG, 8, rsa_bits=bits),)
    found = change((made.ds(EXAMPLE_TAG, 8),), keys, (EXAMPLE_TAG, 8))
    assert ([one.reason for one in found] == [DnssecReason.ALGORITHM_DEPRECATED]) is told
    assert not found or dict(found[0].values) == {"key_tag": str(EXAMPLE_TAG), "bits": str(bits)}


def test_a_short_key_that_signs_nothing_is_only_unused() -> None:
    """It harms nobody."""
    keys = (made.key(EXAMPLE_TAG), made.key(900, 8, rsa_bits=1024))
    assert DnssecReason.ALGORITHM_DEPRECATED not in reasons(with_zone(dnskeys=keys))


def test_of_several_signatures_the_good_one_that_ends_last_counts() -> None:
    """Any one suffices; a bad one beside it changes nothing."""
    checked = made.rrset(
        "example.org",
        made.MX,
        "example.org",
        made.signature("example.org", made.MX, 1, ends=20 * DAY, reason=DnssecReason.RRSIG_INVALID),
        made.signature("example.org", made.MX, 2, ends=DAY),
        made.signature("example.org", made.MX, 3, ends=5 * DAY),
        made.signature("example.org", made.MX, 4, ends=30 * DAY, checked=False),
    )
    signed = signed_of(checked)
    assert (signed.key, signed.good) == ((3, 13), True)
    assert {tag for tag, _ in signed.keys} == {1, 2, 3, 4}


def test_a_lifetime_of_nothing_has_nothing_left() -> None:
    """Reversed dates divide by nothing."""
    assert Span(inception=NOW, expiration=NOW).share_left(NOW) == 0
    assert Span(inception=NOW - DAY, expiration=NOW).share_left(NOW + DAY) == 0
