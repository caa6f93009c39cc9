"""Findings: what is worth saying beside the verdict, with host and facts in the message."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from evidence import (
    DAY,
    EXO,
    INS,
    MX1,
    MX2,
    NOW,
    SEC,
    WRONG,
    WRONG_512,
    World,
    base,
    codes,
    findings,
    leaf,
    mint,
    summary,
    tlsa,
)
from minting import rebuilt

from scanner.judge.domain import judge
from scanner.judge.note import MAX_MESSAGE_CHARACTERS, note
from scanner.model.names import Name
from scanner.model.observation import ProbeError, ProbeStage
from scanner.model.policy import Policy
from scanner.model.reasons import Reason
from scanner.model.registry import info
from scanner.model.vocabulary import LookupOutcome, RRType, Severity


def weak_certificate() -> bytes:
    """A self-signed certificate with an RSA key of 1024 bits."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 60 * DAY)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def test_mismatch_quotes_what_is_published_and_what_was_seen() -> None:
    """Both sides of the comparison, so that a reader can tell which one is stale."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    [finding] = findings(world.judge(), Reason.TLSA_MISMATCH)
    assert finding.where == MX1
    assert finding.severity is Severity.ERROR
    assert f"3 1 1 {WRONG.hex()}" in finding.message
    assert leaf().association(1, 1).hex() in finding.message
    assert leaf().association(0, 1).hex() in finding.message
    assert "192.0.2.1" in finding.message


def test_expiry_quotes_the_dates() -> None:
    """Of each certificate of the chain, because any may be the one."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(-90, -1)))
    [finding] = findings(world.judge(), Reason.CERTIFICATE_EXPIRED)
    assert "2026-08-26 12:00 UTC to 2026-11-23 12:00 UTC" in finding.message


def test_a_date_that_cannot_be_read_is_told_where_usage_3_overlooks_it() -> None:
    """What Exchange Online makes of such a date is unknown; it must not pass unseen."""
    world = base(1)
    minted = leaf()
    broken = rebuilt(minted, minted.key, replace=(b"261025", b"269925"))
    world.probe("mx1.p.test", broken)
    judgement = world.judge()
    assert codes(judgement) == {Reason.CERTIFICATE_EXPIRY_IGNORED}
    [finding] = findings(judgement, Reason.CERTIFICATE_EXPIRY_IGNORED)
    assert "valid an unreadable date to 2027-01-23" in finding.message


def test_name_mismatch_quotes_the_names() -> None:
    """And says so when there are none."""
    authority = mint("CA", ca=True)
    for names, text in ((["x.test", "y.test"], "x.test, y.test"), ([], "names nobody")):
        world = base(1)
        world.records("mx1.p.test", tlsa(2, 0, 1, authority))
        server = mint("", authority, key="server", dns=names)
        world.probe("mx1.p.test", server, authority)
        [finding] = findings(world.judge(), Reason.CERTIFICATE_NAME_MISMATCH)
        assert text in finding.message


def test_failed_probe_quotes_the_reply() -> None:
    """What the server said."""
    world = base(1)
    world.probe(
        "mx1.p.test",
        stage=ProbeStage.STARTTLS,
        error=ProbeError.REPLY_TRANSIENT,
        reply_code=454,
        reply_text="4.7.0 TLS not available",
    )
    [finding] = findings(world.judge(), Reason.STARTTLS_DEFERRED)
    assert "454 4.7.0 TLS not available" in finding.message


def test_host_down_is_named_with_its_reason_and_as_not_measured() -> None:
    """C1: the reason by address, and what it means for the verdict."""
    world = base()
    world.probe("mx2.p.test", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.where for one in findings(judgement, Reason.CONNECTION_REFUSED)] == [MX2]
    [unmeasured] = findings(judgement, Reason.HOST_NOT_MEASURED)
    assert "connection-refused" in unmeasured.message


def test_unmeasured_host_without_dane_is_named_as_a_way_round() -> None:
    """The verdict is that of the table; the risk is told."""
    world = base()
    world.records("mx2.p.test")
    world.probe("mx2.p.test", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    [finding] = findings(judgement, Reason.DOWNGRADE_PATH)
    assert finding.where == MX2
    assert "mx1.p.test" in finding.message


def test_failing_host_is_named_under_the_profile_it_fails_under() -> None:
    """An expired certificate matters to one profile only."""
    world = base()
    world.probe("mx1.p.test", leaf(days=(-90, -1)))
    [finding] = findings(world.judge(), Reason.HOST_FAILING)
    assert finding.where == MX1
    assert "certificate-expired under exchange-online" in finding.message


def test_agility_risk_names_the_strongest_digests() -> None:
    """The records that strict senders look at."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), tlsa(3, 1, 2, WRONG_512))
    judgement = world.judge()
    [finding] = findings(judgement, Reason.AGILITY_RISK)
    assert f"3 1 2 {WRONG_512.hex()}"[:60] in finding.message
    assert codes(judgement) >= {Reason.TLSA_UNMATCHED_RECORD, Reason.TLSA_PARAMETERS_UNMATCHED}


def test_only_sha512_is_a_hint() -> None:
    """Senders need not know SHA-512."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 2, leaf()))
    assert codes(world.judge()) == {Reason.TLSA_ONLY_SHA512}


@pytest.mark.parametrize(("selector", "hint"), [(0, set()), (1, {Reason.TLSA_ANCHOR_KEY})])
def test_an_anchor_known_by_its_key_only_is_a_hint(selector: int, hint: set[Reason]) -> None:
    """Hints of table 3b: DANE-TA with SPKI."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.records("mx1.p.test", tlsa(2, selector, 1, authority))
    world.probe("mx1.p.test", mint("s", authority, dns=["mx1.p.test"]), authority)
    assert codes(world.judge()) == hint


def test_duplicate_record_is_said_once() -> None:
    """Three copies are two too many, and one finding."""
    world = base(1)
    record = tlsa(3, 1, 1, leaf())
    world.records("mx1.p.test", record, record, record)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert len(findings(judgement, Reason.TLSA_DUPLICATE)) == 1


def test_more_records_than_compared_is_a_finding() -> None:
    """The bound is a policy."""
    world = base(1)
    extra = [tlsa(3, 1, 1, bytes([255, number]) * 16) for number in range(2)]
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), *extra)
    judgement = world.judge(Policy(max_tlsa_records=2))
    assert Reason.TLSA_TOO_MANY in codes(judgement)


def test_next_record_of_a_rollover_is_an_information() -> None:
    """Case 110: current and next, both 3 1 1; the publisher's rule holds."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), tlsa(3, 1, 1, WRONG))
    judgement = world.judge()
    assert codes(judgement) == {Reason.TLSA_UNMATCHED_RECORD}
    assert judgement.findings[0].severity is Severity.INFO


def test_record_for_the_second_certificate_of_a_host_is_no_stale_one() -> None:
    """Each address may present its own certificate."""
    world = base(1)
    other = leaf("other.p.test")
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), tlsa(3, 1, 1, other))
    world.probe("mx1.p.test", leaf(), at="192.0.2.1")
    world.probe("mx1.p.test", other, at="192.0.2.11")
    assert world.judge().findings == ()


def test_weak_key_is_a_warning() -> None:
    """RSA below 2048 bits; delivery goes on."""
    world = base(1)
    weak = weak_certificate()
    world.records("mx1.p.test")
    world.probe("mx1.p.test", weak)
    judgement = world.judge()
    [finding] = findings(judgement, Reason.WEAK_KEY)
    assert "1024 bits" in finding.message
    assert summary(judgement) == ("opportunistic", "opportunistic")


def test_unreadable_certificate_is_a_warning_where_nothing_is_compared() -> None:
    """It still encrypts."""
    world = base(1)
    world.records("mx1.p.test")
    world.probe("mx1.p.test", b"\x30\x03\x02\x01\x01")
    judgement = world.judge()
    [finding] = findings(judgement, Reason.CERTIFICATE_UNREADABLE)
    assert finding.severity is Severity.WARNING
    assert summary(judgement) == ("opportunistic", "opportunistic")


def test_unreadable_certificate_matches_a_record_over_its_octets() -> None:
    """3 0 1 compares bytes; the end of its validity cannot be told."""
    world = base(1)
    junk = b"\x30\x03\x02\x01\x01"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(junk)
    world.records("mx1.p.test", tlsa(3, 0, 1, digest.finalize()))
    world.probe("mx1.p.test", junk)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {Reason.CERTIFICATE_UNREADABLE}


def test_old_tls_is_a_finding_under_both_profiles() -> None:
    """C13."""
    world = base(1)
    world.probe("mx1.p.test", leaf(), tls_version="TLSv1")
    judgement = world.judge()
    assert summary(judgement) == ("protected", "blocked")
    assert "TLSv1" in findings(judgement, Reason.TLS_OLD_VERSION)[0].message
    assert "TLSv1)" in findings(judgement, Reason.TLS_VERSION_TOO_OLD)[0].message


def test_unmet_demand_for_dane_is_a_finding() -> None:
    """It says what would happen without the demand."""
    world = base(1)
    world.records("mx1.p.test")
    [finding] = findings(world.judge(Policy(mandatory=True)), Reason.DANE_REQUIRED)
    assert finding.where == MX1
    assert "opportunistic-tls" in finding.message


def test_chain_longer_than_looked_at_is_a_finding() -> None:
    """The rest is ignored."""
    world = base(1)
    world.probe("mx1.p.test", leaf(), *[leaf(f"x{number}.test") for number in range(4)])
    judgement = world.judge(Policy(max_chain_certificates=3))
    assert summary(judgement) == ("protected", "protected")
    assert "5 sent" in findings(judgement, Reason.CHAIN_TOO_LONG)[0].message


def test_alias_of_the_domain_itself_is_no_mx_alias() -> None:
    """Implicit MX behind a CNAME (case 78) breaks no rule; senders differ all the same."""
    world = World()
    server = leaf("q.test")
    world.mx(aliases=[("q.test", SEC)])
    world.host("p.test", "192.0.2.1", aliases=[("q.test", SEC)])
    world.records("q.test", tlsa(3, 1, 1, server))
    world.probe("p.test", server)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert Reason.MX_ALIAS not in codes(judgement)
    assert Reason.SENDER_DEPENDENT in codes(judgement)


def test_expiry_of_an_intermediate_counts_under_usage_2() -> None:
    """The path ends before the leaf does."""
    world = base(1)
    root = mint("root", ca=True, days=(-30, 3000))
    middle = mint("middle", root, ca=True, days=(-30, 5))
    world.records("mx1.p.test", tlsa(2, 0, 1, root))
    world.probe("mx1.p.test", mint("s", middle, dns=["mx1.p.test"]), middle, root)
    [finding] = findings(world.judge(), Reason.CERTIFICATE_EXPIRES_SOON)
    assert "2026-11-29" in finding.message
    assert "for every sender" in finding.message


def test_expiry_says_nothing_where_the_certificate_is_not_checked() -> None:
    """Without DANE nobody looks at the date."""
    world = base(1)
    world.records("mx1.p.test")
    world.probe("mx1.p.test", leaf(days=(-80, 3)))
    assert world.judge().findings == ()


def test_expiry_is_not_announced_for_a_certificate_that_does_not_match() -> None:
    """Its renewal would mend nothing."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    world.probe("mx1.p.test", leaf(days=(-80, 3)))
    assert codes(world.judge()) == {Reason.TLSA_MISMATCH}


def test_window_of_the_expiry_warning_is_a_policy() -> None:
    """Fourteen days unless chosen otherwise."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(-80, 20)))
    assert world.judge().findings == ()
    longer = world.judge(Policy(expiry_warning=30 * DAY))
    assert codes(longer) == {Reason.CERTIFICATE_EXPIRES_SOON}


def test_too_many_addresses_is_a_finding() -> None:
    """The host is judged by those looked at."""
    seen = base(1).observe()
    host = seen.hosts[0]
    host = replace(host, route=replace(host.route, addresses_ignored=3))
    judgement = judge(replace(seen, hosts=(host,)), policy=Policy(), now=NOW)
    assert summary(judgement) == ("protected", "protected")
    assert "1 looked at, 3 left out" in findings(judgement, Reason.ADDRESSES_TOO_MANY)[0].message


def test_full_anchor_in_dns_only_depends_on_the_sender() -> None:
    """Case 68: several senders cannot use it."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.records("mx1.p.test", tlsa(2, 0, 0, authority))
    world.probe("mx1.p.test", mint("s", authority, dns=["mx1.p.test"]))
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {
        Reason.TLSA_FULL_DATA,
        Reason.TRUST_ANCHOR_NOT_SENT,
        Reason.SENDER_DEPENDENT,
    }


def test_many_hosts_are_summed_up_in_one_message() -> None:
    """Three names and how many more."""
    world = World()
    names = [f"mx{number}.p.test" for number in range(1, 6)]
    world.mx(*((10, name) for name in names), status=INS)
    for number, name in enumerate(names, 1):
        world.host(name, f"192.0.2.{number}")
        world.records(name, tlsa(3, 1, 1, leaf(name)))
        world.probe(name, leaf(name))
    [finding] = findings(world.judge(), Reason.DANE_OFFERED_DOMAIN_UNSIGNED)
    assert "mx1.p.test, mx2.p.test, mx3.p.test and 2 more" in finding.message


def test_findings_are_never_said_twice() -> None:
    """Both profiles come to the same point by their own ways."""
    world = base()
    for host in ("mx1.p.test", "mx2.p.test"):
        world.records(host, tlsa(3, 1, 1, WRONG))
    found = world.judge().findings
    assert len(set(found)) == len(found) == 2


@pytest.mark.parametrize("outcome", [LookupOutcome.NXDOMAIN, LookupOutcome.NODATA])
def test_host_without_address_is_a_finding(outcome: LookupOutcome) -> None:
    """The MX record points nowhere."""
    world = base()
    for rdtype in (RRType.A, RRType.AAAA):
        world.answer("mx2.p.test", rdtype, outcome=outcome)
    assert [one.where for one in findings(world.judge(), Reason.HOST_NO_ADDRESS)] == [MX2]


def test_message_is_the_sentence_of_the_registry_and_the_facts() -> None:
    """Long facts are cut: they come from the partner."""
    plain = note(Reason.WEAK_KEY, "mx.test", "")
    assert plain.message == info(Reason.WEAK_KEY).sentence
    assert plain.severity is info(Reason.WEAK_KEY).severity
    long = note(Reason.WEAK_KEY, "mx.test", "x" * 5000, severity=Severity.INFO)
    assert len(long.message) == MAX_MESSAGE_CHARACTERS
    assert long.message.endswith("…")
    assert long.severity is Severity.INFO


def test_failed_lookup_is_named_with_question_and_outcome() -> None:
    """Where the host was lost, and how."""
    world = base()
    world.fail("mx1.p.test", RRType.A, LookupOutcome.REFUSED)
    world.fail("mx1.p.test", RRType.AAAA, LookupOutcome.REFUSED)
    judgement = world.judge()
    [finding] = findings(judgement, Reason.ADDRESS_LOOKUP_REFUSED)
    assert "mx1.p.test A: refused" in finding.message
    assert judgement.of(EXO).reason is Reason.ADDRESS_LOOKUP_REFUSED
    assert Reason.ADDRESS_FAMILY_FAILED not in codes(judgement)


def test_long_record_is_shortened_in_messages() -> None:
    """Full data runs to kilobytes."""
    world = base(1)
    world.records("mx1.p.test", tlsa(3, 0, 0, leaf()))
    [finding] = findings(world.judge(), Reason.TLSA_FULL_DATA)
    assert len(finding.message) < 300
    assert finding.where == Name("mx1.p.test")


def test_warnings_do_not_lead_out_of_the_calendar() -> None:
    """On the last day that can be written what ends then is told, not added to."""
    world = base(1)
    world.now = datetime(9999, 12, 31, tzinfo=UTC)
    ends = datetime(9999, 12, 31, 12, tzinfo=UTC)
    minted = leaf(days=(-30, (ends - NOW).days))
    world.probe("mx1.p.test", minted)
    world.records("mx1.p.test", tlsa(3, 1, 1, minted), signature_expires_at=ends)
    assert {Reason.CERTIFICATE_EXPIRES_SOON, Reason.SIGNATURE_EXPIRES_SOON} <= codes(world.judge())
