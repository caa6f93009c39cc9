"""What validations say of a zone: its status, its dates, what is to be noted."""

from dataclasses import replace

import pytest
import validations as made
from validations import DAY, NOW

from scanner.judge.dnssec.zonefacts import MAX_NOTES, answer_findings, zone_at_fault, zones_of
from scanner.model.dnssec import Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import ROOT, Name
from scanner.model.vocabulary import DnssecStatus, Severity
from scanner.model.zones import ZoneDs, ZoneKey, ZoneObservation

EXAMPLE, ORG = Name("example.org"), Name("org")


def zones(validation: Validation) -> dict[Name, ZoneObservation]:
    return {zone.zone: zone for zone in zones_of(validation, now=NOW)}


def test_every_zone_of_the_chain_is_told_from_the_top_down() -> None:
    """Names where no zone begins are none."""
    assert [zone.zone for zone in zones_of(made.aliased(), now=NOW)] == [ROOT, ORG, EXAMPLE]


def test_a_secure_zone_has_its_keys_and_the_signature_that_ends_first() -> None:
    """Of its keys, of its data, and of the DS records it signs for others."""
    signed = made.signature("example.org", made.MX, made.EXAMPLE_TAG, begins=-DAY, ends=3 * DAY)
    validation = made.secure(rrsets=(made.rrset("example.org", made.MX, "example.org", signed),))
    zone = zones(validation)[EXAMPLE]
    assert (zone.status, zone.reason, zone.ede_code) == (DnssecStatus.SECURE, None, None)
    assert zone.parent == ORG
    assert zone.ds == (ZoneDs(key_tag=made.EXAMPLE_TAG, algorithm=13, digest_type=2),)
    assert zone.dnskeys == (ZoneKey(key_tag=made.EXAMPLE_TAG, algorithm=13, flags=257, bits=256),)
    assert (zone.signature_inception, zone.signature_expiration) == (NOW - DAY, NOW + 3 * DAY)
    assert zone.observed_at == NOW
    assert zones(validation)[ORG].signature_expiration == NOW + 10 * DAY


def test_a_broken_link_gives_the_zone_its_reason_and_code() -> None:
    """Only that zone: what lies above is fine."""
    found = zones(made.no_key())
    assert found[ORG].status is DnssecStatus.SECURE
    zone = found[EXAMPLE]
    assert (zone.status, zone.reason, zone.ede_code) == (
        DnssecStatus.BOGUS,
        DnssecReason.DS_NO_KEY,
        9,
    )
    assert [(note.reason, note.severity) for note in zone.notes] == [
        (DnssecReason.DS_NO_KEY, Severity.ERROR)
    ]
    assert "999" in zone.notes[0].message


def test_a_bogus_answer_makes_the_zone_bogus_and_shows_when_it_ended() -> None:
    """That is what its mail meets; its keys are fine."""
    zone = zones(made.expired())[EXAMPLE]
    assert (zone.status, zone.reason) == (DnssecStatus.BOGUS, DnssecReason.RRSIG_EXPIRED)
    assert zone.ede_code == 7
    assert zone.signature_expiration == NOW - DAY
    assert zone_at_fault(made.expired()) == EXAMPLE


def test_a_signature_that_fails_for_more_than_its_dates_has_none() -> None:
    """Its dates are nobody's word."""
    forged = made.signature("example.org", made.MX, 1, ends=DAY, reason=DnssecReason.RRSIG_INVALID)
    answer = made.rrset(
        "example.org", made.MX, "example.org", forged, reason=DnssecReason.RRSIG_INVALID
    )
    zone = zones(replace(made.expired(), rrsets=(answer,)))[EXAMPLE]
    assert zone.signature_expiration == NOW + 10 * DAY  # of the keys


def test_an_unsigned_delegation_is_the_zones_below() -> None:
    """The parent proves it and is secure itself; the note goes with the unsigned zone."""
    found = zones(made.unsigned())
    assert found[ORG].status is DnssecStatus.SECURE
    assert found[ORG].notes == ()
    zone = found[EXAMPLE]
    assert (zone.status, zone.reason) == (
        DnssecStatus.INSECURE,
        DnssecReason.DELEGATION_UNSIGNED,
    )
    assert (zone.ds, zone.dnskeys, zone.signature_expiration) == ((), (), None)
    assert [note.severity for note in zone.notes] == [Severity.INFO]


def test_our_own_fault_is_no_zones() -> None:
    """A root that does not validate here is indeterminate, not bogus."""
    zone = zones(made.root_broken())[ROOT]
    assert zone.status is DnssecStatus.INDETERMINATE
    assert zone.own_fault == "the root zone could not be validated"


@pytest.mark.parametrize(
    "validation",
    [
        made.secure(),
        made.no_answer(),
        made.no_key(),
        replace(made.expired(), own_fault="the disk is full"),
    ],
)
def test_no_answer_is_at_fault_unless_it_alone_is_bogus(validation: Validation) -> None:
    """Where a link is bogus, the answer only follows."""
    assert zone_at_fault(validation) is None


def test_without_a_finding_the_zone_of_the_answer_is_at_fault() -> None:
    """For want of better knowledge."""
    assert zone_at_fault(replace(made.expired(), findings=())) == EXAMPLE


def test_findings_on_the_answer_are_told_from_those_of_the_links() -> None:
    """Each is told once, where it belongs."""
    noted = made.expired().findings
    both = made.no_key()
    assert answer_findings(both) == ()
    assert answer_findings(replace(both, findings=(*both.findings, *noted))) == noted


def test_what_is_to_come_is_noted_and_notes_are_bounded() -> None:
    """A hostile zone has many findings."""
    last = replace(made.chain()[-1], dnskeys=(made.key(made.EXAMPLE_TAG), made.key(900)))
    zone = zones(made.secure(links=made.chain(last=last)))[EXAMPLE]
    assert [note.reason for note in zone.notes] == [DnssecReason.KEY_PREPUBLISHED]
    (noted,) = made.no_key().findings
    many = tuple(replace(noted, message=f"{number}.") for number in range(100))
    flooded = replace(made.chain()[-1], findings=many)
    assert len(zones(made.secure(links=made.chain(last=flooded)))[EXAMPLE].notes) == MAX_NOTES
