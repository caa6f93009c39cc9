"""Which verdicts a pass looks at once more before it reports them."""

from evidence import EXO, MX1, base

from scanner.cli.wiring import is_doubtful
from scanner.model.observation import ProbeError, ProbeStage
from scanner.model.reasons import Reason
from scanner.model.vocabulary import DomainVerdict, RRType


def test_a_host_that_lists_no_starttls_is_looked_at_again() -> None:
    """Case 88: a failure only after a retry; where nothing demands TLS there is none to confirm."""
    world = base(1)
    world.probe(MX1, error=ProbeError.STARTTLS_NOT_OFFERED, stage=ProbeStage.EHLO)
    blocked = world.judge().of(EXO)
    assert (blocked.verdict, blocked.transient) == (DomainVerdict.BLOCKED, False)
    assert is_doubtful(blocked)
    world.records(MX1)
    assert not is_doubtful(world.judge().of(EXO))


def test_what_may_pass_is_looked_at_again_and_what_stays_is_not() -> None:
    """Table 3e: SERVFAIL may pass by itself, a wrong certificate does not."""
    world = base(1)
    world.fail("_25._tcp.mx1.p.test", RRType.TLSA)
    assert is_doubtful(world.judge().of(EXO))
    wrong = base(1)
    wrong.probe(MX1, error=ProbeError.TLS_ALERT, stage=ProbeStage.HANDSHAKE)
    assert wrong.judge().of(EXO).verdict is DomainVerdict.BLOCKED
    assert not is_doubtful(wrong.judge().of(EXO))


def test_what_our_own_machine_was_too_busy_for_is_looked_at_again() -> None:
    """A time-out noticed late is no one's failure, and may be noticed in time later."""
    world = base(1)
    world.probe(MX1, error=ProbeError.OWN_RESOURCES, stage=ProbeStage.GREETING)
    verdict = world.judge().of(EXO)
    assert (verdict.verdict, verdict.reason) == (
        DomainVerdict.INCONCLUSIVE,
        Reason.OWN_RESOURCES,
    )
    assert is_doubtful(verdict)


def test_who_turns_us_away_is_not_asked_again_at_once() -> None:
    """A throttling server is inconclusive too, and a second look would make it worse."""
    world = base(1)
    world.probe(
        MX1,
        error=ProbeError.REPLY_TRANSIENT,
        stage=ProbeStage.GREETING,
        reply_code=421,
        reply_text="too many connections",
    )
    verdict = world.judge().of(EXO)
    assert verdict.verdict is DomainVerdict.INCONCLUSIVE
    assert not is_doubtful(verdict)
