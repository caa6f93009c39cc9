"""The page of a check, compared with files that people have read and found good.

After a wanted change run ``DANEWATCH_WRITE_PAGES=1 pytest tests/unit/test_render_check.py`` and
read the difference before keeping it.
"""

import io
import os
import re
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sample_checks as sample
from rich.cells import cell_len

from scanner.cli.render import Style, make_console
from scanner.cli.render_check import print_check, zone_file_lines
from scanner.cli.render_host import seen_data
from scanner.cli.render_words import distance, headline, hours
from scanner.model.names import Name
from scanner.model.observation import (
    AliasHop,
    DaneApplicability,
    HostAddress,
    ProbeError,
    ProbeStage,
    TargetProblem,
)
from scanner.model.reasons import Reason
from scanner.model.verdict import Check, Finding, Judged
from scanner.model.vocabulary import (
    DeliveryPhase,
    DnssecStatus,
    DomainVerdict,
    Family,
    HostOutcome,
    LookupOutcome,
    Profile,
    RRType,
    Severity,
)

PAGES = Path(__file__).resolve().parents[1] / "vectors" / "render"
DAY = timedelta(hours=24)


def page(check: Check, *, profile: Profile = Profile.EXCHANGE_ONLINE, unicode: bool = True) -> str:
    stream = io.StringIO()
    print_check(
        make_console(stream),
        check,
        profile=profile,
        queue_life=DAY,
        style=Style(unicode=unicode),
    )
    return stream.getvalue()


def flat(text: str) -> str:
    """The page with its lines joined, for what may fall on two of them."""
    return re.sub(r"[\s│├└─]+", " ", text)


def compare(text: str, name: str) -> None:
    file = PAGES / f"{name}.txt"
    if os.environ.get("DANEWATCH_WRITE_PAGES"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_page_is_as_read_and_approved(name: str) -> None:
    """Each kind of verdict, under Exchange Online."""
    compare(page(sample.ALL[name]()), name)


def test_page_tells_what_becomes_of_the_other_certificate() -> None:
    """One line under the address, with the algorithm (row C30)."""
    check = sample.two_certificates()
    compare(page(check), "two-certificates")
    assert "Other certificate (RSA): no match" in page(check)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (sample.AUTHENTICATED, "Other certificate (RSA): matches"),
        (
            Judged(outcome=HostOutcome.FAILED, reason=Reason.CERTIFICATE_EXPIRED, code="4.7.322"),
            "Other certificate (RSA): not usable, 4.7.322 [certificate-expired]",
        ),
    ],
)
def test_page_says_how_the_other_certificate_fares(other: Judged, words: str) -> None:
    """It may pass, or fail for another reason than that nobody published it."""
    check = sample.two_certificates()
    verdicts = tuple(
        replace(
            verdict,
            hosts=tuple(
                replace(host, addresses=(replace(host.addresses[0], other=other),))
                for host in verdict.hosts
            ),
        )
        for verdict in check.judgement.verdicts
    )
    changed = replace(check, judgement=replace(check.judgement, verdicts=verdicts))
    assert words in flat(page(changed))


def test_page_follows_the_chosen_profile() -> None:
    """Under RFC 7672 an expired DANE-EE certificate is fine, and the other view is mentioned."""
    text = page(sample.expired(), profile=Profile.RFC7672)
    compare(text, "expired-rfc7672")
    assert text.startswith("✔ Mail from a sender that follows RFC 7672 to expired.example is deliv")
    assert "under Exchange Online: not usable, 4.7.322" in text


def test_page_without_unicode_is_ascii() -> None:
    """Where the terminal has no UTF-8, marks and guides have ASCII forms."""
    text = page(sample.mismatch(), unicode=False)
    compare(text, "mismatch-ascii")
    assert text.isascii()


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_lines_fit_and_hold_nothing_a_terminal_acts_on(name: str, unicode: bool) -> None:
    """80 columns, no trailing spaces, no controls, whatever the peer sent."""
    for line in page(sample.ALL[name](), unicode=unicode).splitlines():
        assert cell_len(line) <= 80
        assert line == line.rstrip()
        assert not any(unicodedata.category(one)[0] == "C" for one in line)


def test_shown_hashes_are_never_broken() -> None:
    """A hash stands on one line: by its ends in the tree, whole where it is to be copied."""
    text = page(sample.mismatch())
    assert f"3 1 1 {sample.PUBLISHED[:8]}…{sample.PUBLISHED[-8:]} no match" in text
    assert f"seen 3 1 1 {sample.SEEN[:8]}…{sample.SEEN[-8:]}" in text
    assert f"      {sample.SEEN} )\n" in text


def test_finding_that_repeats_the_tree_is_left_out() -> None:
    """What the host's line and the remedies say is not said a third time."""
    text = page(sample.mismatch())
    assert "Said in the tree already." not in text
    assert "[tlsa-unmatched-record]" in text


def test_findings_come_worst_first() -> None:
    """Errors, then warnings, then what is only worth knowing."""
    findings = tuple(
        Finding(code=Reason.TLSA_DUPLICATE, severity=severity, where="x.example", message=severity)
        for severity in (Severity.INFO, Severity.ERROR, Severity.WARNING)
    )
    check = sample.protected()
    text = page(replace(check, judgement=replace(check.judgement, findings=findings)))
    assert text.index("error") < text.index("warning") < text.index("info")


@pytest.mark.parametrize(
    ("verdict", "phase", "words"),
    [
        (DomainVerdict.PROTECTED, DeliveryPhase.DELIVERING, "is delivered, encrypted and to serv"),
        (DomainVerdict.PARTIAL, DeliveryPhase.DELIVERING, "is delivered, but not every mail serv"),
        (DomainVerdict.ENCRYPTED, DeliveryPhase.DELIVERING, "is delivered encrypted, but to"),
        (DomainVerdict.OPPORTUNISTIC, DeliveryPhase.DELIVERING, "is delivered without DANE: noth"),
        (DomainVerdict.DEFERRED, DeliveryPhase.DEFERRING, "is being queued; it bounces if this"),
        (DomainVerdict.BLOCKED, DeliveryPhase.BOUNCING, "to x.example bounces."),
        (DomainVerdict.INCONCLUSIVE, DeliveryPhase.UNKNOWN, "Nothing can be said about mail to x"),
    ],
)
def test_headline_says_what_happens_to_the_mail(
    verdict: DomainVerdict, phase: DeliveryPhase, words: str
) -> None:
    """Also without a reason or a code."""
    opinion = sample.verdict(Profile.EXCHANGE_ONLINE, verdict, phase=phase)
    assert words in headline(opinion, "x.example", DAY)


def test_headline_goes_on_in_lower_case() -> None:
    """The sentence of a reason begins small behind a colon, also one that begins with "A"."""
    verdict = sample.inconclusive().judgement.of(Profile.RFC7672)
    verdict = replace(verdict, reason=Reason.OWN_LOOKUP_FAILED)
    text = headline(verdict, "x", DAY)
    assert text.startswith("Nothing can be said about mail to x: a DNS lookup failed")


def test_headline_shows_the_codes_of_now_and_later() -> None:
    """The queue of an RFC 7672 sender lasts longer than Exchange Online's."""
    judged = sample.MISMATCH
    exchange = sample.verdict(
        Profile.EXCHANGE_ONLINE, DomainVerdict.BLOCKED, judged=judged, final_code="5.7.323"
    )
    assert headline(exchange, "x.example", DAY) == (
        "Mail from Exchange Online to x.example is being queued: 4.7.323; "
        "it bounces with 5.7.323 if this lasts 24 hours."
    )
    bouncing = replace(exchange, phase=DeliveryPhase.BOUNCING)
    assert headline(bouncing, "x.example", DAY).endswith("to x.example bounces: 5.7.323.")
    rfc = replace(exchange, profile=Profile.RFC7672, code=None, final_code=None)
    assert headline(rfc, "x.example", DAY) == (
        "Mail from a sender that follows RFC 7672 to x.example is being queued; "
        "it bounces if this outlasts the sender's queue, usually 4 to 5 days."
    )


def test_other_scope_is_mentioned_where_it_differs() -> None:
    """The cautious reading of scenario 1 says what the lenient one would give."""
    check = sample.bogus()
    verdicts = tuple(
        replace(one, other_scope_verdict=DomainVerdict.DEGRADED)
        if one.profile is Profile.EXCHANGE_ONLINE
        else one
        for one in check.judgement.verdicts
    )
    text = page(replace(check, judgement=replace(check.judgement, verdicts=verdicts)))
    assert "with the other scenario1_scope: degraded" in text


def with_host(**changes: object) -> Check:
    """The check of one host whose route is changed."""
    check = sample.mismatch()
    (host,) = check.observation.hosts
    route = replace(host.route, **changes)  # type: ignore[arg-type]
    hosts = (replace(host, route=route, addresses=()),)
    return replace(check, observation=replace(check.observation, hosts=hosts))


BOGUS_TLSA = sample.lookup(
    "_25._tcp.mx1.example.org",
    RRType.TLSA,
    LookupOutcome.SERVFAIL,
    DnssecStatus.BOGUS,
    extended=[(12, ""), (999, "odd")],
)
TIMEOUT_A = sample.lookup(
    "mx1.example.org", RRType.A, LookupOutcome.TIMEOUT, None, detail="no reply in 12 s"
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"applicability": DaneApplicability.TLSA_ERROR, "failed_lookup": BOGUS_TLSA},
            [
                "✘ TLSA: the lookup failed, so the server must not be used",
                "_25._tcp.mx1.example.org TLSA: signed, but validation fails (bogus)",
                "extended error 12, NSEC missing",
                "extended error 999: odd",
            ],
        ),
        (
            {
                "applicability": DaneApplicability.ADDRESS_ERROR,
                "addresses": (),
                "failed_lookup": TIMEOUT_A,
            },
            [
                "✘ Address: the lookup failed",
                "mx1.example.org A: no answer in time",
                "no reply in 12 s",
            ],
        ),
        ({"applicability": DaneApplicability.NO_ADDRESS, "addresses": ()}, ["✘ Address: none"]),
        (
            {
                "applicability": DaneApplicability.UNUSABLE_TARGET,
                "target_problem": TargetProblem.ADDRESS_LITERAL,
            },
            ["✘ Address: not looked up, the MX target is unusable (address-literal)"],
        ),
        (
            {"ipv6": replace(TIMEOUT_A, question=replace(TIMEOUT_A.question, rdtype=RRType.AAAA))},
            ["! AAAA lookup: no answer in time"],
        ),
        (
            {
                "ipv4": replace(
                    sample.lookup("mx1.example.org", RRType.A),
                    aliases=(
                        AliasHop(
                            owner=Name("mx1.example.org"),
                            target=Name("real.example.net"),
                            status=DnssecStatus.SECURE,
                        ),
                    ),
                )
            },
            ["· Alias: of real.example.net"],
        ),
        (
            {
                "addresses": tuple(
                    HostAddress(
                        address=f"192.0.2.{number}",
                        family=Family.IPV4,
                        status=DnssecStatus.INSECURE if number else None,
                    )
                    for number in range(7)
                )
            },
            [
                "· Address: 192.0.2.0 (status unknown)",
                "· Address: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4 and 2 more (not signed)",
            ],
        ),
    ],
)
def test_dns_stage_of_a_host_is_told(changes: dict[str, object], expected: list[str]) -> None:
    """Addresses, aliases and TLSA lookups, each with what went wrong."""
    text = flat(page(with_host(**changes)))
    for line in expected:
        assert line in text


@pytest.mark.parametrize(
    ("stage", "error", "rest", "expected"),
    [
        (ProbeStage.CONNECT, ProbeError.TIMEOUT, {}, "SMTP: no answer in time on connecting"),
        (
            ProbeStage.CONNECT,
            ProbeError.NOT_CONTACTED,
            {"detail": "Private-Use (RFC 1918)"},
            "SMTP: a special-purpose address; it was not contacted (Private-Use (RFC 1918))",
        ),
        (
            ProbeStage.GREETING,
            ProbeError.REPLY_PERMANENT,
            {"reply": (554, "no service")},
            "the server answered with a permanent failure before the greeting: 554 no service",
        ),
        (
            ProbeStage.STARTTLS,
            ProbeError.CLOSED,
            {},
            "SMTP: the server closed the connection after STARTTLS",
        ),
        (
            ProbeStage.HANDSHAKE,
            ProbeError.TLS_ALERT,
            {"detail": "handshake failure"},
            "TLS: the server ended the handshake with an alert (handshake failure)",
        ),
    ],
)
def test_probe_that_ended_early_says_where_and_why(
    stage: ProbeStage, error: ProbeError, rest: dict[str, object], expected: str
) -> None:
    """The step, the fact, and the server's own words."""
    check = sample.mismatch()
    (host,) = check.observation.hosts
    early = sample.probe("mx1.example.org", stage=stage, error=error, **rest)  # type: ignore[arg-type]
    hosts = (replace(host, addresses=(early,)),)
    text = flat(page(replace(check, observation=replace(check.observation, hosts=hosts))))
    assert expected in text


def test_certificate_troubles_are_told() -> None:
    """Unreadable, not yet valid, without dates, issued by itself."""

    def with_leaf(**changes: object) -> str:
        check = sample.mismatch()
        (facts,) = check.judgement.hosts
        leaf = replace(facts.addresses[0].chain[0], **changes)  # type: ignore[arg-type]
        addresses = (replace(facts.addresses[0], chain=(leaf,)),)
        hosts = (replace(facts, addresses=addresses),)
        return page(replace(check, judgement=replace(check.judgement, hosts=hosts)))

    assert "✘ Certificate: unreadable (bad tag)" in with_leaf(problem="bad tag")
    later = sample.NOW + timedelta(hours=5)
    assert "becomes valid in 5 hours" in with_leaf(not_before=later)
    assert "validity unknown" in with_leaf(not_before=None)
    assert "issued by itself" in with_leaf(issuer="CN=mx1.example.org")


def test_address_that_differs_from_its_host_says_so() -> None:
    """Two addresses, one with another outcome than the host as a whole."""
    check = sample.protected()
    chosen = check.judgement.of(Profile.EXCHANGE_ONLINE)
    first = chosen.hosts[0]
    worse = replace(first.addresses[1], judged=sample.MISMATCH)
    host = replace(first, addresses=(first.addresses[0], worse))
    verdict = replace(chosen, hosts=(host, *chosen.hosts[1:]))
    text = page(replace(check, judgement=replace(check.judgement, verdicts=(verdict,))))
    assert "✘ 2001:db8::25: not usable, 4.7.323 [tlsa-mismatch]" in text


def test_host_that_was_not_judged_is_marked_unknown() -> None:
    """Evidence without an opinion is shown as such."""
    check = sample.mismatch()
    verdicts = tuple(replace(one, hosts=()) for one in check.judgement.verdicts)
    text = page(replace(check, judgement=replace(check.judgement, verdicts=verdicts)))
    assert "? mx1.example.org (preference 10): not judged" in text
    assert "? 192.0.2.25: not judged" in text


def test_root_that_does_not_validate_here_is_not_held_against_the_domain() -> None:
    """Bogus through our own clock, anchor or resolver: no mark and no word of a broken domain."""
    check = sample.inconclusive()
    route = check.observation.route
    mx = replace(
        route.mx,
        outcome=LookupOutcome.SERVFAIL,
        status=DnssecStatus.BOGUS,
        own_fault="the root zone could not be validated",
    )
    observation = replace(check.observation, route=replace(route, mx=mx))
    text = page(replace(check, observation=observation))
    assert "? DNSSEC: nothing can be said from here" in text
    assert "on our side: the root zone could not be validated" in text
    assert "unknown.example MX: no answer that validates" in text
    assert "bogus" not in text
    assert "✘" not in text


def test_observation_that_was_cut_short_says_so() -> None:
    """Our own deadline is a line of the tree."""
    check = sample.protected()
    observation = replace(check.observation, incomplete="the check took longer than 120 s")
    assert "? the check took longer than 120 s" in page(replace(check, observation=observation))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ((3, 0, 0), "64657220"),
        ((3, 0, 1), None),
        ((3, 1, 1), sample.SEEN),
        ((3, 1, 2), "cdef"),
        ((3, 1, 0), None),
        ((3, 0, 9), None),
    ],
)
def test_seen_data_is_what_a_record_would_have_to_hold(
    record: tuple[int, int, int], expected: str | None
) -> None:
    """For each selector and matching type that can be known; 3 0 1 is the certificate's hash."""
    leaf = sample.certificate("x.example", spki=sample.SEEN)
    facts = sample.facts("x.example", expected=["3 1 2 CD EF"])
    found = seen_data(leaf, sample.tlsa(*record), facts)
    if record == (3, 0, 1):
        assert found == leaf.sha256
    elif record == (3, 0, 0):
        assert found == leaf.der.hex()
        assert found.startswith(str(expected))
    else:
        assert found == expected


def test_zone_file_lines_can_be_pasted() -> None:
    """Short records stay on one line; the data of long ones goes into parentheses, in pieces."""
    assert zone_file_lines("_25._tcp.a.example. IN TLSA 3 1 1 00") == [
        "_25._tcp.a.example. IN TLSA 3 1 1 00"
    ]
    data = "ab" * 64
    assert zone_file_lines(f"_25._tcp.a.example. IN TLSA 3 1 2 {data}") == [
        "_25._tcp.a.example. IN TLSA 3 1 2 (",
        f"  {data[:64]}",
        f"  {data[64:]} )",
    ]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=24), "24 hours"),
        (timedelta(days=5), "5 days"),
    ],
)
def test_queue_life_is_in_hours_or_days(span: timedelta, expected: str) -> None:
    """Microsoft speaks of 24 hours, RFC 5321 of days."""
    assert hours(span) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(days=30), "in 30 days"),
        (timedelta(hours=30), "in 30 hours"),
        (timedelta(minutes=90), "in 1 hour"),
        (timedelta(days=-3), "3 days ago"),
    ],
)
def test_distance_is_in_days_or_hours(span: timedelta, expected: str) -> None:
    """The last two days count in hours, because then every hour does."""
    assert distance(sample.NOW + span, sample.NOW) == expected


def test_every_outcome_and_verdict_has_words_and_a_mark() -> None:
    """A member added to the vocabulary cannot be forgotten here."""
    from scanner.cli.render_check import VERDICT_MARKS
    from scanner.cli.render_host import _PROBE_WORDS, OUTCOME_MARKS
    from scanner.cli.render_words import (
        HOST_OUTCOMES,
        LOOKUP_WORDS,
        PROFILE_TITLES,
        SENDERS,
        STATUS_WORDS,
    )

    assert set(VERDICT_MARKS) == set(DomainVerdict)
    assert set(OUTCOME_MARKS) == set(HOST_OUTCOMES) == set(HostOutcome)
    assert set(LOOKUP_WORDS) == set(LookupOutcome)
    assert set(STATUS_WORDS) == set(DnssecStatus)
    assert set(PROFILE_TITLES) == set(SENDERS) == set(Profile)
    assert set(_PROBE_WORDS) == {error.value for error in ProbeError}


def test_remedies_name_each_reason_once() -> None:
    """Three hosts that fail alike share one remedy."""
    names = ["a.example", "b.example", "c.example"]
    judged = Judged(outcome=HostOutcome.FAILED, reason=Reason.STARTTLS_NOT_OFFERED, code="4.7.321")
    hosts = [sample.host_verdict(name, judged) for name in names]
    check = sample.check(
        "example.org",
        [sample.host(name, probes=[sample.probe(name)]) for name in names],
        sample.both(DomainVerdict.BLOCKED, hosts, judged=judged, final_code="5.7.321"),
    )
    assert page(check).count("Offer STARTTLS on port 25 to every client") == 1
