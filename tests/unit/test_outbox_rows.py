"""Rows of the service: what of a check is kept, and that it comes out of the file as it was."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import history_files
import outbox_files
import pytest
import sample_checks as sample
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_files import NOW, RUN, check_at, maker, transition

from exporters.history import (
    OutboxLimits,
    OutboxRowMaker,
    ParquetHistory,
    RunFacts,
    known_certificates,
)
from exporters.history import rows as history_rows
from exporters.history.outbox import decode_rows, encode_row
from exporters.history.recent import Recent
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TRANSITIONS,
    ZONE_CHECKS,
)
from scanner.model.monitoring import OutboxRow
from scanner.model.verdict import Check
from scanner.model.vocabulary import DnssecStatus, EntityType

HOUR = timedelta(hours=1)


def tables(rows: Sequence[OutboxRow]) -> Counter[str]:
    return Counter(row.table for row in rows)


def zoned(check: Check, status: DnssecStatus = DnssecStatus.SECURE) -> Check:
    """Return ``check`` with one zone, validated when the check was made."""
    zone = replace(
        sample.zone("example.org"), status=status, observed_at=check.observation.observed_at
    )
    return replace(check, observation=replace(check.observation, zones=(zone,)))


def test_a_change_keeps_the_check_with_its_evidence_first() -> None:
    """What a row points to comes before it: certificates, probes, zones, transitions, the check."""
    rows = maker().rows_of(
        zoned(check_at(NOW)), [transition(NOW, None, "protected")], heartbeat=False
    )
    order = list(dict.fromkeys(row.table for row in rows))
    assert order == ["certificates", "host_checks", "zone_checks", "transitions", "domain_checks"]
    assert rows[-1].partition == "month=2026-11"
    assert rows[-2].partition == "year=2026"
    assert json.loads(rows[-1].data)["changed"] is True


def test_a_check_without_change_is_kept_as_heartbeat_only() -> None:
    """Its first certificate, probe and zone are news; after that it leaves nothing."""
    made = maker()
    made.rows_of(zoned(check_at(NOW)), (), heartbeat=False)
    assert made.rows_of(zoned(check_at(NOW + HOUR)), (), heartbeat=False) == ()
    kept = made.rows_of(zoned(check_at(NOW + 2 * HOUR)), (), heartbeat=True)
    assert tables(kept) == {"host_checks": 3, "domain_checks": 1}
    assert json.loads(kept[-1].data)["changed"] is False


def test_a_change_of_a_host_alone_keeps_the_check_as_unchanged() -> None:
    """``changed`` speaks of the domain."""
    change = transition(NOW, None, "failed", entity="mx1.example.org", kind=EntityType.MX)
    rows = maker().rows_of(check_at(NOW), [change], heartbeat=False)
    assert json.loads(rows[-1].data)["changed"] is False


def test_a_new_certificate_is_kept_with_the_probe_that_brought_it() -> None:
    """A renewal changes no status, and is worth a row; the check itself is not."""
    made = maker()
    rows = made.rows_of(check_at(NOW), (), heartbeat=False)
    assert set(tables(rows)) == {"certificates", "host_checks"}
    again = made.rows_of(check_at(NOW + HOUR, healthy=False), (), heartbeat=False)
    assert tables(again) == {"certificates": 1, "host_checks": 1}


def test_a_shared_probe_becomes_one_row() -> None:
    """Also when the domains that share it are kept by different checks."""
    made = maker()
    first = history_files.at(sample.protected(), NOW, domain="a.example", probe="p")
    second = history_files.at(sample.protected(), NOW + HOUR, domain="b.example", probe="p")
    rows = [*made.rows_of(first, (), heartbeat=True), *made.rows_of(second, (), heartbeat=True)]
    assert tables(rows)["host_checks"] == 3
    assert tables(rows)["domain_checks"] == 2


def test_a_zone_is_kept_when_it_changes_and_once_a_day() -> None:
    """Whoever of its domains is checked; a heartbeat of every domain would be too many."""
    made = maker()
    kept = []
    for hours, status, heartbeat in (
        (0, DnssecStatus.SECURE, False),
        (1, DnssecStatus.SECURE, True),
        (2, DnssecStatus.BOGUS, False),
        (3, DnssecStatus.BOGUS, True),
        (4, DnssecStatus.SECURE, False),
        (20, DnssecStatus.SECURE, True),
        (25, DnssecStatus.SECURE, False),
        (26, DnssecStatus.SECURE, True),
    ):
        check = zoned(check_at(NOW + hours * HOUR), status)
        rows = made.rows_of(check, (), heartbeat=heartbeat)
        kept += [hours for row in rows if row.table == ZONE_CHECKS.name]
    assert kept == [0, 2, 4, 26]


def test_certificates_are_known_over_a_restart(tmp_path: Path) -> None:
    """Those in the history, and those that are still in the outbox."""
    rows = maker().rows_of(check_at(NOW), (), heartbeat=True)
    outbox_files.write(tmp_path, rows, "m-1-1")
    known = maker(known_certificates=known_certificates(tmp_path))
    assert "certificates" not in tables(known.rows_of(check_at(NOW), (), heartbeat=True))
    pending = [row.data for row in rows if row.table == CERTIFICATES.name]
    recalled = maker(pending_certificates=pending)
    assert "certificates" not in tables(recalled.rows_of(check_at(NOW), (), heartbeat=True))


def test_rows_that_could_not_be_made_leave_nothing_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has no row is new the next time; the transitions alone can be made at once."""
    made, check = maker(), zoned(check_at(NOW))
    change = transition(NOW, None, "protected")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(history_rows, "domain_row", fail)
        with pytest.raises(ZeroDivisionError):
            made.rows_of(check, [change], heartbeat=False)
    (row,) = made.transition_rows([change])
    assert (row.table, row.partition) == ("transitions", "year=2026")
    again = made.rows_of(check, [change], heartbeat=False)
    assert again == maker().rows_of(check, [change], heartbeat=False)
    assert row in again
    assert json.loads(made.stopped(NOW).data)["transitions"] == 2


def test_memory_is_bounded_and_forgetting_does_no_harm() -> None:
    """One more row, no error."""
    made = maker(limits=OutboxLimits(certificates=1, probes=1, zones=1))
    for hours in range(3):
        rows = made.rows_of(zoned(check_at(NOW + hours * HOUR)), (), heartbeat=True)
        assert tables(rows)["certificates"] == 2
    assert len(made._certificates) == len(made._probes) == len(made._zones) == 1
    recent = Recent(2, ["a", "b", "c"])
    assert ("a" in recent, "b" in recent, len(recent)) == (False, True, 2)
    recent.forget("b")
    assert recent.first_time("b")


def test_start_and_stop_of_the_service_are_rows_of_runs() -> None:
    """The start counts nothing yet; the stop counts what was kept."""
    run = replace(RUN, configuration_sha256="ab" * 32, resolvers=("192.0.2.53",))
    made = OutboxRowMaker(run)
    (started,) = decode_rows(RUNS, [made.started().data])
    made.rows_of(check_at(NOW), [transition(NOW, None, "protected")], heartbeat=True)
    stop = made.stopped(NOW + HOUR, detail="SIGTERM", targets=7)
    (stopped,) = decode_rows(RUNS, [stop.data])
    assert (stop.table, stop.partition) == ("runs", "year=2026")
    assert (started["outcome"], started["ended_at"], started["transitions"]) == (
        "started",
        None,
        None,
    )
    assert started["configuration_sha256"] == "ab" * 32
    assert (stopped["outcome"], stopped["targets"], stopped["detail"]) == ("stopped", 7, "SIGTERM")
    assert (stopped["transitions"], stopped["domains_checked"], stopped["host_checks"]) == (1, 1, 3)
    assert {"verdict": "protected", "domains": 1} in stopped["exchange_online_verdicts"]
    assert stopped["started_at"] == started["started_at"]
    with pytest.raises(ValueError, match="has a time"):
        OutboxRowMaker(RunFacts(run_id="m", scanner_id="s")).started()


def test_the_same_checks_give_the_same_rows() -> None:
    """A row is made once, but nothing in it may depend on when or where."""
    checks = [zoned(check_at(NOW + hour * HOUR, healthy=hour % 2 == 0)) for hour in range(4)]
    first, second = maker(), maker()
    for check in checks:
        assert first.rows_of(check, (), heartbeat=True) == second.rows_of(check, (), heartbeat=True)


@pytest.mark.parametrize("make", [sample.protected, sample.mismatch, sample.bogus, sample.no_mail])
def test_rows_come_out_of_the_file_as_a_pass_would_have_written_them(
    tmp_path: Path, make: Callable[[], Check]
) -> None:
    """Every column of every table; the detour over JSON loses nothing."""
    check = zoned(history_files.at(make(), NOW, probe="p"))
    change = transition(NOW, None, "protected", entity=check.domain)
    outbox_files.write(
        tmp_path / "service", maker().rows_of(check, [change], heartbeat=True), "m-1-1"
    )
    sink = ParquetHistory(tmp_path / "pass", run_id="m-1", scanner_id="s")
    sink.record(check, [change])
    sink.close()
    for table in (DOMAIN_CHECKS, HOST_CHECKS, ZONE_CHECKS, CERTIFICATES, TRANSITIONS):
        of_pass = history_files.rows_of(tmp_path / "pass", table)
        of_service = history_files.rows_of(tmp_path / "service", table)
        assert of_service == of_pass


@settings(max_examples=50)
@given(
    text=st.text(alphabet=st.characters(exclude_categories=()), max_size=30),
    octets=st.binary(max_size=30),
)
def test_any_text_and_octets_fit_into_a_row(text: str, octets: bytes) -> None:
    """A peer may have sent them: surrogates are replaced, line feeds stay inside their text."""
    data = encode_row({"sha256": text, "der": octets, "first_seen_at": NOW})
    assert b"\n" not in data
    (row,) = decode_rows(CERTIFICATES, [data])
    assert row["der"] == octets
    assert row["sha256"] == text.encode("utf-8", "replace").decode()
    assert row["first_seen_at"] == NOW.timestamp() * 1_000_000


def test_what_no_row_may_hold_is_a_bug_that_is_told() -> None:
    """Not a row that no file can ever take."""
    with pytest.raises(TypeError):
        encode_row({"domain": object()})
