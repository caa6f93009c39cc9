"""Edge cases 49 to 115 of the specification at decision level, each by its number.

Usability and matching of records, SMTP and TLS, domain aggregation, time: what a domain's verdict
makes of what was found.
"""

import pytest
from evidence import (
    BOGUS,
    EXO,
    MX1,
    MX2,
    RFC,
    SERVFAIL,
    SOON,
    WRONG,
    WRONG_512,
    World,
    base,
    codes,
    findings,
    host_of,
    leaf,
    mint,
    outcome_of,
    summary,
    tlsa,
)

from scanner.model.names import Name, tlsa_owner
from scanner.model.observation import ProbeError, ProbeStage
from scanner.model.reasons import Reason
from scanner.model.vocabulary import HostOutcome, RRType

TLSA1 = tlsa_owner(MX1)
BOTH_LOST = ("inconclusive", "inconclusive")


def without_starttls(world: World, host: str) -> None:
    world.probe(host, stage=ProbeStage.EHLO, error=ProbeError.STARTTLS_NOT_OFFERED)


def down(world: World, host: str, error: ProbeError = ProbeError.REFUSED) -> None:
    world.probe(host, stage=ProbeStage.CONNECT, error=error)


def mismatched(world: World, host: str) -> None:
    world.records(host, tlsa(3, 1, 1, WRONG))


# --- E. Usability of records ---------------------------------------------------------------------


@pytest.mark.parametrize("usage", [0, 1])
def test_case_49_50_unusable_usage_demands_tls_and_no_certificate(usage: int) -> None:
    """Cases 49 and 50."""
    world = base(1)
    world.records("mx1.p.test", tlsa(usage, 1, 1, WRONG))
    judgement = world.judge()
    assert summary(judgement) == ("encrypted", "encrypted")
    assert judgement.of(EXO).code is None
    for stage, error in (
        (ProbeStage.EHLO, ProbeError.STARTTLS_NOT_OFFERED),
        (ProbeStage.HANDSHAKE, ProbeError.TLS_ALERT),
    ):
        world.probe("mx1.p.test", stage=stage, error=error)
        judgement = world.judge()
        assert summary(judgement) == ("blocked", "blocked")
        assert judgement.of(EXO).code == "4.7.321"


def test_case_51_only_usable_records_decide() -> None:
    """Case 51, both ways."""
    world = base(1)
    world.records("mx1.p.test", tlsa(1, 1, 1, leaf()), tlsa(3, 1, 1, WRONG))
    assert summary(world.judge()) == ("blocked", "blocked")
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG), tlsa(3, 1, 1, leaf()))
    assert summary(world.judge()) == ("protected", "protected")


@pytest.mark.parametrize(
    ("usage", "selector", "matching_type", "data"),
    [
        (4, 1, 1, WRONG),
        (3, 2, 1, WRONG),
        (3, 1, 3, WRONG),
        (3, 1, 255, WRONG),
        (3, 1, 1, WRONG[:-1]),
        (3, 1, 2, WRONG),
        (3, 1, 1, b""),
        (3, 0, 0, b"no certificate"),
        (3, 1, 0, b"no key"),
    ],
    ids=[
        "52-usage",
        "52-selector",
        "52-type",
        "53",
        "54-sha256",
        "54-sha512",
        "55",
        "56",
        "56-key",
    ],
)
def test_case_52_to_56_hopeless_record_is_dropped(
    usage: int, selector: int, matching_type: int, data: bytes
) -> None:
    """Cases 52 to 56: alone it leaves encryption, beside a good record it is a finding."""
    bad = tlsa(usage, selector, matching_type, data)
    world = base(1)
    world.records("mx1.p.test", bad)
    assert summary(world.judge()) == ("encrypted", "encrypted")
    world.records("mx1.p.test", bad, tlsa(3, 1, 1, leaf()))
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert len(judgement.findings) == 1


def test_case_58_59_60_digest_agility() -> None:
    """Cases 58, 59 and 60: stronger digests count alone, for each usage and selector."""
    world = base(1)
    cases = {
        ((3, 1, 1, leaf()), (3, 1, 2, WRONG_512)): ("blocked", "protected"),
        ((3, 1, 1, WRONG), (3, 1, 2, leaf())): ("protected", "protected"),
        ((3, 1, 1, leaf()), (3, 1, 2, WRONG)): ("protected", "protected"),
        ((3, 1, 1, leaf()), (3, 0, 2, WRONG_512)): ("protected", "protected"),
    }
    for records, expected in cases.items():
        world.records("mx1.p.test", *(tlsa(*record) for record in records))
        assert summary(world.judge()) == expected, records


# --- F. Certificates -----------------------------------------------------------------------------


def test_case_61_62_dates_under_usage_3_are_a_warning_by_rfc() -> None:
    """Cases 61 and 62: and a failure at Exchange Online."""
    for days, code in (((-90, -1), "4.7.322"), ((1, 90), "4.7.323")):
        world = base(1)
        world.probe("mx1.p.test", leaf(days=days))
        judgement = world.judge()
        assert summary(judgement) == ("protected", "blocked")
        assert judgement.of(EXO).code == code
        assert Reason.CERTIFICATE_EXPIRY_IGNORED in codes(judgement)


def test_case_79_stale_end_entity_record_beside_a_matching_anchor() -> None:
    """Case 79: one usage is enough; the publisher's rule is broken all the same."""
    world = base(1)
    authority = mint("CA", ca=True)
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG), tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("server", authority, dns=["mx1.p.test"]), authority)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {Reason.TLSA_UNMATCHED_RECORD, Reason.TLSA_PARAMETERS_UNMATCHED}
    assert "3 1 1" in findings(judgement, Reason.TLSA_PARAMETERS_UNMATCHED)[0].message


def test_case_80_mismatch_before_name_before_expiry() -> None:
    """Case 80: and Exchange Online's 322 before 323, with both listed (C19)."""
    authority = mint("CA", ca=True)
    world = base(1)
    world.records("mx1.p.test", tlsa(2, 0, 1, authority))
    world.probe("mx1.p.test", mint("s", authority, dns=["x.test"], days=(-90, -1)), authority)
    judgement = world.judge()
    assert judgement.of(RFC).reason is Reason.CERTIFICATE_NAME_MISMATCH
    assert judgement.of(EXO).reason is Reason.CERTIFICATE_NAME_MISMATCH
    assert codes(judgement) >= {Reason.CERTIFICATE_NAME_MISMATCH, Reason.CERTIFICATE_EXPIRED}
    world.records("mx1.p.test", tlsa(3, 1, 1, WRONG))
    judgement = world.judge()
    assert judgement.of(RFC).reason is Reason.TLSA_MISMATCH
    assert judgement.of(EXO).reason is Reason.CERTIFICATE_EXPIRED
    assert judgement.of(EXO).code == "4.7.322"
    assert host_of(judgement, MX1).judged.detail == "also: tlsa-mismatch"
    assert codes(judgement) >= {Reason.TLSA_MISMATCH, Reason.CERTIFICATE_EXPIRED}


@pytest.mark.parametrize("error", [None, ProbeError.NO_CERTIFICATE])
def test_case_81_no_certificate_with_usable_records_fails(error: ProbeError | None) -> None:
    """Case 81: an anonymous session; enough where only encryption is asked for (C14)."""
    world = base(1)
    stage = ProbeStage.DONE if error is None else ProbeStage.HANDSHAKE
    world.probe("mx1.p.test", stage=stage, error=error)
    judgement = world.judge()
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(RFC).reason is Reason.TLS_NO_CERTIFICATE
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG))
    assert summary(world.judge()) == ("encrypted", "encrypted")
    world.records("mx1.p.test")
    assert outcome_of(world.judge(), MX1) is HostOutcome.OPPORTUNISTIC_TLS


# --- G. SMTP and TLS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text", "reason", "code"),
    [
        (ProbeError.REPLY_TRANSIENT, "4.3.2 shutting down", Reason.GREETING_DEFERRED, "4.3.2"),
        (ProbeError.REPLY_PERMANENT, "5.7.1 blocked", Reason.GREETING_REJECTED, "5.7.1"),
        (ProbeError.REPLY_PERMANENT, "go away", Reason.GREETING_REJECTED, None),
        (ProbeError.REPLY_PERMANENT, "4.7.1 odd", Reason.GREETING_REJECTED, None),
    ],
    ids=["case-86", "case-87", "case-87-no-code", "case-87-contradiction"],
)
@pytest.mark.parametrize("stage", [ProbeStage.GREETING, ProbeStage.EHLO])
def test_case_86_87_rejected_connection_is_down_and_no_missing_starttls(
    error: ProbeError, text: str, reason: Reason, code: str | None, stage: ProbeStage
) -> None:
    """Cases 86 and 87 (table C3, C4): it may be us who are rejected; the server's code is shown."""
    world = base(1)
    number = 421 if error is ProbeError.REPLY_TRANSIENT else 554
    world.probe("mx1.p.test", stage=stage, error=error, reply_code=number, reply_text=text)
    judgement = world.judge()
    assert summary(judgement) == ("deferred", "deferred")
    verdict = judgement.of(EXO)
    assert (verdict.reason, verdict.code, verdict.result_type) == (reason, code, None)
    assert verdict.transient
    assert judgement.of(RFC).code == code


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (421, "4.7.0 too many connections"),
        (421, "mx1.p.test closing connection"),
        (450, "4.7.1 Error: too much mail from 192.0.2.7"),
        (451, "Connection rate limit exceeded"),
        (452, "4.4.5 congestion"),
    ],
)
@pytest.mark.parametrize("stage", [ProbeStage.GREETING, ProbeStage.EHLO])
def test_case_86_a_server_that_we_visit_too_often_says_nothing_about_itself(
    number: int, text: str, stage: ProbeStage
) -> None:
    """Case 86: other senders are not turned away for our connections, so the verdict is kept."""
    world = base(1)
    world.probe(
        "mx1.p.test",
        stage=stage,
        error=ProbeError.REPLY_TRANSIENT,
        reply_code=number,
        reply_text=text,
    )
    judgement = world.judge()
    assert summary(judgement) == ("inconclusive", "inconclusive")
    assert judgement.of(EXO).reason is Reason.THROTTLED
    assert judgement.of(EXO).code is None


def test_a_temporary_code_of_the_server_is_never_given_in_class_5() -> None:
    """The server said 4.3.2; what the sender reports in the end is that mail has expired."""
    world = base(1)
    world.probe(
        "mx1.p.test",
        stage=ProbeStage.GREETING,
        error=ProbeError.REPLY_TRANSIENT,
        reply_code=450,
        reply_text="4.3.2 system not accepting messages",
    )
    judgement = world.judge()
    assert (judgement.of(EXO).code, judgement.of(EXO).final_code) == ("4.3.2", "5.4.300")
    assert (judgement.of(RFC).code, judgement.of(RFC).final_code) == ("4.3.2", "5.4.7")


@pytest.mark.parametrize("helo", [False, True], ids=["ehlo", "helo-only"])
def test_case_88_no_starttls_fails_where_tlsa_demands_it(helo: bool) -> None:
    """Case 88 (C5, C6), and C7: in clear text where nothing demands TLS."""
    world = base(1)
    world.probe(
        "mx1.p.test",
        stage=ProbeStage.EHLO,
        error=ProbeError.STARTTLS_NOT_OFFERED,
        helo_fallback=helo,
    )
    assert world.judge().of(EXO).code == "4.7.321"
    world.records("mx1.p.test")
    judgement = world.judge()
    assert summary(judgement) == ("opportunistic", "opportunistic")
    assert outcome_of(judgement, MX1) is HostOutcome.OPPORTUNISTIC_CLEAR
    assert findings(judgement, Reason.STARTTLS_NOT_OFFERED)[0].severity == "warning"
    assert judgement.of(EXO).code is None


@pytest.mark.parametrize(
    "error",
    [ProbeError.TLS_ALERT, ProbeError.TIMEOUT, ProbeError.RESET, ProbeError.TLS_PROTOCOL],
)
def test_case_90_failed_handshake_fails_or_falls_back(error: ProbeError) -> None:
    """Case 90 (C11, C12)."""
    world = base(1)
    world.probe("mx1.p.test", stage=ProbeStage.HANDSHAKE, error=error)
    judgement = world.judge()
    assert summary(judgement) == ("blocked", "blocked")
    assert judgement.of(EXO).reason is Reason.TLS_HANDSHAKE_FAILED
    world.records("mx1.p.test")
    assert outcome_of(world.judge(), MX1) is HostOutcome.OPPORTUNISTIC_CLEAR


def test_case_91_one_open_address_is_enough_and_none_is_unreachable() -> None:
    """Case 91: refused everywhere is "unreachable", not "failed"."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    world.probe("mx1.p.test", leaf(), at="192.0.2.1")
    world.probe("mx1.p.test", at="192.0.2.11", stage=ProbeStage.CONNECT, error=ProbeError.REFUSED)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.judged.outcome for one in host_of(judgement, MX1).addresses] == [
        HostOutcome.AUTHENTICATED,
        HostOutcome.UNREACHABLE,
    ]
    assert findings(judgement, Reason.ADDRESSES_INCONSISTENT)[0].severity == "warning"
    down(world, "mx1.p.test")
    judgement = world.judge()
    assert outcome_of(judgement, MX1) is HostOutcome.UNREACHABLE
    assert judgement.of(EXO).code == "4.4.316"


def test_case_92_different_chains_at_the_addresses_are_inconsistent() -> None:
    """Case 92 (C29): the best address decides, the finding is as severe as the worst."""
    world = base(1)
    world.host("mx1.p.test", "192.0.2.1", "192.0.2.11")
    world.probe("mx1.p.test", leaf("wrong.test"), at="192.0.2.1")
    world.probe("mx1.p.test", leaf(), at="192.0.2.11")
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert findings(judgement, Reason.ADDRESSES_INCONSISTENT)[0].severity == "error"
    assert "192.0.2.1;" in findings(judgement, Reason.TLSA_MISMATCH)[0].message


def test_case_95_early_plaintext_is_flagged() -> None:
    """Case 95, the verdict's share: a finding, and the session counts."""
    world = base(1)
    world.probe("mx1.p.test", leaf(), early_plaintext=True)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert codes(judgement) == {Reason.PLAINTEXT_AFTER_STARTTLS}


# --- H. Domain aggregation -----------------------------------------------------------------------


def test_case_97_all_authenticated_is_protected() -> None:
    """Case 97."""
    assert summary(base(3).judge()) == ("protected", "protected")


@pytest.mark.parametrize("bare", [MX1, MX2], ids=["case-102", "case-98"])
def test_case_98_102_one_host_without_dane_makes_partial(bare: Name) -> None:
    """Cases 98 and 102: a way round DANE, whichever preference it has."""
    world = base()
    world.records(bare)
    judgement = world.judge()
    assert summary(judgement) == ("partial", "partial")
    assert judgement.of(EXO).headline == bare
    assert judgement.of(EXO).reason is Reason.TLSA_ABSENT
    assert [one.where for one in findings(judgement, Reason.DOWNGRADE_PATH)] == [bare]


@pytest.mark.parametrize("bare", [False, True], ids=["case-99", "case-100"])
def test_case_99_100_failing_host_beside_a_good_one_degrades(bare: bool) -> None:
    """Cases 99 and 100."""
    world = base()
    mismatched(world, "mx1.p.test")
    if bare:
        world.records("mx2.p.test")
    judgement = world.judge()
    assert summary(judgement) == ("degraded", "degraded")
    assert judgement.of(EXO).reason is Reason.TLSA_MISMATCH
    assert judgement.of(EXO).code is None
    assert {one.where for one in findings(judgement, Reason.HOST_FAILING)} == {MX1}


def test_case_101_every_host_failing_blocks() -> None:
    """Case 101: failures and bogus lookups alike."""
    world = base()
    mismatched(world, "mx1.p.test")
    without_starttls(world, "mx2.p.test")
    assert summary(world.judge()) == ("blocked", "blocked")
    world.fail(TLSA1, RRType.TLSA, SERVFAIL, BOGUS)
    assert summary(world.judge()) == ("blocked", "blocked")


def test_case_103_encrypted_everywhere_is_its_own_class() -> None:
    """Case 103."""
    world = base()
    world.records("mx1.p.test", tlsa(1, 1, 1, WRONG))
    world.records("mx2.p.test", tlsa(0, 0, 1, WRONG))
    assert summary(world.judge()) == ("encrypted", "encrypted")


def test_case_104_undecided_host_and_none_failing_is_inconclusive() -> None:
    """Case 104: the earlier status is kept by those who know it."""
    world = base()
    world.probe("mx2.p.test", stage=ProbeStage.CONNECT, error=ProbeError.OWN_RESOURCES)
    judgement = world.judge()
    assert summary(judgement) == BOTH_LOST
    assert judgement.of(EXO).reason is Reason.OWN_RESOURCES
    assert outcome_of(judgement, MX1) is HostOutcome.AUTHENTICATED


# --- I. Time -------------------------------------------------------------------------------------


def test_case_113_certificate_that_ends_soon_is_announced() -> None:
    """Case 113, one check's share: only while it has not ended."""
    world = base(1)
    world.probe("mx1.p.test", leaf(days=(-80, 10)))
    [finding] = findings(world.judge(), Reason.CERTIFICATE_EXPIRES_SOON)
    assert "2026-12-04 12:00" in finding.message
    world.probe("mx1.p.test", leaf(days=(-80, 20)))
    assert findings(world.judge(), Reason.CERTIFICATE_EXPIRES_SOON) == []


def test_case_114_signature_that_ends_soon_is_announced() -> None:
    """Case 114: for each answer on the way."""
    world = base(1)
    world.mx((10, "mx1.p.test"), signature_expires_at=world.now + SOON)
    world.records("mx1.p.test", tlsa(3, 1, 1, leaf()), signature_expires_at=world.now + SOON)
    judgement = world.judge()
    assert summary(judgement) == ("protected", "protected")
    assert [one.where for one in findings(judgement, Reason.SIGNATURE_EXPIRES_SOON)] == [
        "p.test",
        TLSA1,
    ]
    world.now += SOON
    assert findings(world.judge(), Reason.SIGNATURE_EXPIRES_SOON) == []
