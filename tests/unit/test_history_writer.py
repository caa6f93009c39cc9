"""Writing the history: tables, partitions, each thing once, and disks that fail."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import history_files
import pyarrow
import pyarrow.parquet
import pytest
import sample_checks
from history_files import HOUR, NO_SPACE, NOW, Disk, names_in, rows_of

from exporters.history import (
    HistoryError,
    HistoryLimits,
    ParquetHistory,
    RunOutcome,
    files,
    writer,
)
from exporters.history.arrow import arrow_schema
from exporters.schema import (
    CERTIFICATES,
    DOMAIN_CHECKS,
    HOST_CHECKS,
    RUNS,
    TABLES,
    TRANSITIONS,
    ZONE_CHECKS,
)
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.transition import Transition
from scanner.model.verdict import Check
from scanner.model.vocabulary import DeliveryPhase, DnssecStatus, EntityType, Profile, Severity
from scanner.model.zones import ZoneNote

FLUSH_EACH = HistoryLimits(flush_rows=1)


def history(directory: Path, *, limits: HistoryLimits | None = None) -> ParquetHistory:
    """Open a history for the run ``run-1``."""
    return ParquetHistory(
        directory,
        run_id="run-1",
        scanner_id="scanner-a",
        started_at=NOW,
        version="1.2.3",
        configuration_sha256="ab" * 32,
        resolvers=["127.0.0.1:53"],
        limits=limits,
    )


def transition(number: int = 1, *, observed_at: datetime = NOW) -> Transition:
    """Return a transition of ``example.org``."""
    return Transition(
        event_id=f"event-{number}",
        observed_at=observed_at,
        entity_type=EntityType.DOMAIN,
        entity="example.org",
        profile=Profile.EXCHANGE_ONLINE,
        from_status="protected",
        to_status="blocked",
        from_reason=None,
        to_reason="tlsa-mismatch",
        from_phase=DeliveryPhase.DELIVERING,
        to_phase=DeliveryPhase.DEFERRING,
        code="4.7.323",
        since=NOW - HOUR,
        bounces_from=NOW + 24 * HOUR,
        failing_since=NOW,
        evidence=(("mx_status", "secure"),),
        labels=(("team", "sales"),),
    )


def probed(check: Check, probe: str = "p") -> Check:
    """Return ``check`` with named probes."""
    return history_files.at(check, NOW, probe=probe)


def test_a_check_becomes_rows_of_four_tables(tmp_path: Path) -> None:
    """Domain, probes, certificates; the run's identity in each row."""
    with_close = history(tmp_path)
    with_close.record(probed(sample_checks.mismatch()), [transition()])
    with_close.close()
    (domain,) = rows_of(tmp_path, DOMAIN_CHECKS)
    (probe,) = rows_of(tmp_path, HOST_CHECKS)
    (certificate,) = rows_of(tmp_path, CERTIFICATES)
    (change,) = rows_of(tmp_path, TRANSITIONS)
    for row in (domain, probe, certificate, change):
        assert (row["run_id"], row["scanner_id"], row["schema_version"]) == (
            "run-1",
            "scanner-a",
            1,
        )
    assert (domain["domain"], domain["observed_at"], domain["duration_ms"]) == (
        "example.org",
        NOW,
        812,
    )
    assert (domain["exchange_online_verdict"], domain["exchange_online_code"]) == (
        "blocked",
        "4.7.323",
    )
    assert domain["rfc7672_code"] is None
    (host,) = domain["hosts"]
    assert (host["host"], host["host_check_ids"]) == (
        "mx1.example.org",
        [probe["host_check_id"]],
    )
    assert (host["exchange_online_outcome"], host["exchange_online_reason"]) == (
        "failed",
        "tlsa-mismatch",
    )
    assert probe["leaf_sha256"] == certificate["sha256"]
    assert probe["tlsa"][0]["matched"] is False
    assert (
        certificate["der"]
        == sample_checks.certificate("mx1.example.org", spki=sample_checks.SEEN).der
    )
    assert change["evidence"] == [{"key": "mx_status", "value": "secure"}]
    assert change["labels"] == [{"key": "team", "value": "sales"}]
    assert change["bounces_from"] == NOW + 24 * HOUR


@pytest.mark.parametrize("make", sample_checks.ALL.values(), ids=sample_checks.ALL)
def test_every_kind_of_check_can_be_written(tmp_path: Path, make: "type[Check]") -> None:
    """Also what a hostile peer put into texts, and hosts that were never reached."""
    sink = history(tmp_path)
    sink.write([make()])
    sink.close()
    assert [row["domain"] for row in rows_of(tmp_path, DOMAIN_CHECKS)] == [make().domain]


def test_files_have_the_declared_schema_and_plain_strings(tmp_path: Path) -> None:
    """Dictionaries would carry all their values into each file."""
    sink = history(tmp_path)
    sink.record(probed(sample_checks.zoned()), [transition()])
    sink.finish(RunOutcome.COMPLETED, ended_at=NOW + HOUR)
    sink.close()
    for table in TABLES:
        (path,) = (tmp_path / table.name).glob("*/*.parquet")
        with pyarrow.parquet.ParquetFile(path) as file:
            assert file.schema_arrow.equals(arrow_schema(table))
            assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    types = {field.name: field.type for field in arrow_schema(DOMAIN_CHECKS)}
    assert types["domain"] == pyarrow.string()
    assert types["observed_at"] == pyarrow.timestamp("us", tz="UTC")
    assert types["duration_ms"] == pyarrow.int32()


def test_rows_lie_in_the_partition_of_their_own_time(tmp_path: Path) -> None:
    """Also when one flush spans the turn of a month and a year."""
    sink = history(tmp_path)
    old = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    for number, moment in enumerate((old, old + timedelta(seconds=1))):
        check = history_files.at(sample_checks.mismatch(), moment, probe=f"p{number}")
        sink.record(check, [transition(number, observed_at=moment)])
    sink.close()
    assert sorted(path.name for path in (tmp_path / "domain_checks").iterdir()) == [
        "month=2026-12",
        "month=2027-01",
    ]
    assert sorted(path.name for path in (tmp_path / "transitions").iterdir()) == [
        "year=2026",
        "year=2027",
    ]
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 2
    assert len(rows_of(tmp_path, TRANSITIONS)) == 2


def test_a_shared_probe_is_written_once(tmp_path: Path) -> None:
    """Also when the domains that share it are written in different files."""
    sink = history(tmp_path, limits=FLUSH_EACH)
    for domain in ("a.example", "b.example", "c.example"):
        sink.record(history_files.at(sample_checks.mismatch(), NOW, domain=domain, probe="p"))
    sink.close()
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 3
    assert len(rows_of(tmp_path, HOST_CHECKS)) == 1


def test_probes_without_an_identifier_are_all_written(tmp_path: Path) -> None:
    """They cannot be told apart, so none is left out."""
    sink = history(tmp_path)
    sink.write([sample_checks.mismatch(), sample_checks.mismatch()])
    sink.close()
    rows = rows_of(tmp_path, HOST_CHECKS)
    assert [row["host_check_id"] for row in rows] == [None, None]


def test_a_certificate_is_written_once_in_a_directory(tmp_path: Path) -> None:
    """Within a run and in later runs."""
    for number in range(2):
        sink = history(tmp_path)
        sink.write([probed(sample_checks.mismatch(), f"p{number}")] * 2)
        sink.close()
        assert sink.rows_written["certificates"] == (1 if number == 0 else 0)
    assert len(rows_of(tmp_path, CERTIFICATES)) == 1


def test_certificates_of_both_algorithms_are_kept(tmp_path: Path) -> None:
    """The probe names the chains of both, and each certificate has its row."""
    with_close = history(tmp_path)
    with_close.write([probed(sample_checks.two_certificates())])
    with_close.close()
    (probe,) = rows_of(tmp_path, HOST_CHECKS)
    certificates = {row["sha256"]: row["key_type"] for row in rows_of(tmp_path, CERTIFICATES)}
    assert probe["other_algorithm"] == "shown"
    assert certificates == {probe["leaf_sha256"]: "ec", probe["other_chain_sha256"][0]: "rsa"}


def test_a_transition_handed_over_twice_is_written_once(tmp_path: Path) -> None:
    """Recognised by its event_id."""
    sink = history(tmp_path)
    sink.write_transitions([transition(), transition()])
    sink.write_transitions([transition(), transition(2)])
    sink.close()
    assert sorted(row["event_id"] for row in rows_of(tmp_path, TRANSITIONS)) == [
        "event-1",
        "event-2",
    ]


@pytest.mark.parametrize("transitions_first", [True, False])
def test_changed_says_whether_the_check_caused_a_transition(
    tmp_path: Path, transitions_first: bool
) -> None:
    """Whichever of the two is handed over first, and across files."""
    sink = history(tmp_path, limits=FLUSH_EACH)
    check = sample_checks.mismatch()
    if transitions_first:
        sink.write_transitions([transition()])
        sink.write([check])
    else:
        sink.write([check])
        sink.write_transitions([transition()])
    sink.write([sample_checks.bogus()])
    sink.close()
    changed = {row["domain"]: row["changed"] for row in rows_of(tmp_path, DOMAIN_CHECKS)}
    assert changed == {"example.org": True, "bogus.example": False}


def test_rows_are_flushed_when_there_are_many(tmp_path: Path) -> None:
    """Memory is bounded by rows."""
    sink = history(tmp_path, limits=HistoryLimits(flush_rows=4))
    for number in range(6):
        sink.write([history_files.at(sample_checks.bogus(), NOW, domain=f"d{number}.example")])
    assert sink.pending_rows == 2
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 4
    sink.close()
    assert sink.pending_rows == 0
    assert sink.rows_written["domain_checks"] == 6


def test_rows_are_flushed_when_they_are_large(tmp_path: Path) -> None:
    """Memory is bounded by bytes: certificates can be big."""
    sink = history(tmp_path, limits=HistoryLimits(flush_bytes=100_000))
    check = probed(sample_checks.mismatch())
    facts = check.judgement.hosts[0]
    chain = (replace(facts.addresses[0].chain[0], der=b"x" * 200_000),)
    addresses = (replace(facts.addresses[0], chain=chain),)
    big = replace(
        check,
        judgement=replace(check.judgement, hosts=(replace(facts, addresses=addresses),)),
    )
    sink.write([big])
    sink.write([sample_checks.bogus()])
    assert len(rows_of(tmp_path, CERTIFICATES)) == 1
    assert sink.pending_rows == 1
    sink.close()


def test_many_transitions_are_flushed_without_their_checks(tmp_path: Path) -> None:
    """Transitions before checks is always safe; checks before transitions never is."""
    sink = history(tmp_path, limits=FLUSH_EACH)
    sink.write([sample_checks.mismatch()])
    sink.write_transitions([transition()])
    sink.write_transitions([transition(2)])
    assert len(rows_of(tmp_path, TRANSITIONS)) == 1
    assert rows_of(tmp_path, DOMAIN_CHECKS) == []
    sink.close()


def test_the_run_is_told_at_its_end(tmp_path: Path) -> None:
    """Counts, verdicts, resolvers, version and configuration."""
    sink = history(tmp_path)
    sink.record(probed(sample_checks.mismatch()), [transition()])
    sink.write([sample_checks.inconclusive(), sample_checks.expired()])
    sink.finish(RunOutcome.INTERRUPTED, ended_at=NOW + HOUR, detail="SIGINT", targets=9)
    sink.close()
    (row,) = rows_of(tmp_path, RUNS)
    assert (row["started_at"], row["ended_at"]) == (NOW, NOW + HOUR)
    assert (row["outcome"], row["detail"], row["targets"]) == ("interrupted", "SIGINT", 9)
    assert (row["version"], row["configuration_sha256"]) == ("1.2.3", "ab" * 32)
    assert (row["resolvers"], row["shard"], row["profile"]) == (
        ["127.0.0.1:53"],
        None,
        "exchange-online",
    )
    assert (row["domains_checked"], row["host_checks"]) == (3, 2)
    assert (row["certificates_new"], row["transitions"]) == (2, 1)
    assert row["exchange_online_verdicts"] == [
        {"verdict": "blocked", "domains": 2},
        {"verdict": "inconclusive", "domains": 1},
    ]
    assert {"verdict": "protected", "domains": 1} in row["rfc7672_verdicts"]


def test_a_run_that_goes_on_never_overwrites_a_file(tmp_path: Path) -> None:
    """Sequence numbers go on where the first part stopped."""
    for number in range(3):
        sink = history(tmp_path)
        sink.write([history_files.at(sample_checks.bogus(), NOW, domain=f"d{number}.example")])
        sink.close()
    assert sorted(row["domain"] for row in rows_of(tmp_path, DOMAIN_CHECKS)) == [
        "d0.example",
        "d1.example",
        "d2.example",
    ]


def test_a_file_that_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    """Whatever put it there, its rows are somebody's."""
    sink = history(tmp_path)
    place = tmp_path / "domain_checks" / "month=2026-11"
    place.mkdir(parents=True)
    (place / "run-1-000000.parquet").write_bytes(b"somebody else's")
    sink.write([sample_checks.bogus()])
    with pytest.raises(HistoryError, match="a file of that name exists"):
        sink.flush()
    assert (place / "run-1-000000.parquet").read_bytes() == b"somebody else's"
    sink.close()
    assert (place / "run-1-000001.parquet").exists()


def test_nothing_is_left_but_whole_files_and_the_lock(tmp_path: Path) -> None:
    """No temporary names after a clean end."""
    sink = history(tmp_path)
    sink.write([sample_checks.bogus()])
    sink.close()
    assert names_in(tmp_path) == [
        ".scanner-a.lock",
        "domain_checks/month=2026-11/run-1-000000.parquet",
    ]


def test_a_second_writer_of_the_same_scanner_is_refused(tmp_path: Path) -> None:
    """Two passes at once would both find the same change."""
    first = history(tmp_path)
    with pytest.raises(HistoryError, match="another danewatch with scanner_id 'scanner-a'"):
        history(tmp_path)
    other = ParquetHistory(tmp_path, run_id="run-2", scanner_id="scanner-b")
    other.close()
    first.close()
    history(tmp_path).close()


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems know none."""

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    sink = history(tmp_path)
    sink.write([sample_checks.bogus()])
    sink.close()
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 1


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    """Only those of the same scanner: another one may be writing now."""
    place = tmp_path / "transitions" / "year=2026"
    place.mkdir(parents=True)
    (place / ".scanner-a~run-0-000003.parquet.tmp").write_bytes(b"half")
    (place / ".scanner-b~run-0-000003.parquet.tmp").write_bytes(b"half")
    history(tmp_path).close()
    assert names_in(place) == [".scanner-b~run-0-000003.parquet.tmp"]


def test_a_leftover_that_cannot_be_removed_is_named_and_the_lock_given_up(tmp_path: Path) -> None:
    """A directory of that name, say; once it is gone, work goes on."""
    odd = tmp_path / "transitions" / "year=2026" / ".scanner-a~x.parquet.tmp"
    odd.mkdir(parents=True)
    with pytest.raises(HistoryError, match="cannot remove"):
        history(tmp_path)
    odd.rmdir()
    history(tmp_path).close()


@pytest.mark.parametrize("bad", ["", "a/b", "../x", ".hidden", "a~b", "x" * 65, "a\n"])
def test_identifiers_that_cannot_stand_in_a_file_name_are_refused(tmp_path: Path, bad: str) -> None:
    """Before anything is made."""
    with pytest.raises(ValueError, match="letters, digits"):
        ParquetHistory(tmp_path / "new", run_id=bad, scanner_id="s")
    with pytest.raises(ValueError, match="letters, digits"):
        ParquetHistory(tmp_path / "new", run_id="r", scanner_id=bad)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("operation", "number", "remedy"),
    [
        ("write", errno.ENOSPC, "the disk is full"),
        ("write", errno.EDQUOT, "quota"),
        ("fsync", errno.EIO, "the disk reports an error"),
        ("open", errno.EACCES, "give the user danewatch runs as the right"),
        ("rename", errno.EROFS, "read-only"),
        ("mkdir", errno.EPERM, "give the user"),
        ("write", errno.EXDEV, "files already written are whole"),
    ],
)
def test_a_disk_that_fails_is_an_error_with_path_and_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    number: int,
    remedy: str,
) -> None:
    """The temporary file is gone, the rows stay pending, and a later flush writes them."""
    sink = history(tmp_path)
    sink.record(sample_checks.bogus(), [transition()])
    monkeypatch.setattr(files, "os", Disk(fails={operation: number}))
    with pytest.raises(HistoryError, match=remedy) as caught:
        sink.flush()
    assert str(tmp_path / "transitions") in str(caught.value)
    assert isinstance(caught.value, OSError)
    monkeypatch.undo()
    assert names_in(tmp_path) == [".scanner-a.lock"]
    assert (sink.pending_rows, sink.write_failures) == (2, 1)
    sink.close()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 1
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 1


def test_files_written_before_the_disk_filled_stay_whole_and_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transitions went through, the checks did not."""
    sink = history(tmp_path)
    sink.record(sample_checks.bogus(), [transition()])
    write_whole = files.write_whole

    def full_for_checks(directory: Path, name: str, data: bytes, *, owner: str) -> None:
        if "domain_checks" in str(directory):
            raise HistoryError("the disk is full", path=directory)
        write_whole(directory, name, data, owner=owner)

    monkeypatch.setattr(writer.files, "write_whole", full_for_checks)
    with pytest.raises(HistoryError):
        sink.flush()
    monkeypatch.undo()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 1
    sink.close()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 1
    (row,) = rows_of(tmp_path, DOMAIN_CHECKS)
    assert row["domain"] == "bogus.example"


def test_while_the_disk_stays_full_no_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded however long it lasts, and the caller knows what was not taken."""
    sink = history(tmp_path, limits=HistoryLimits(flush_rows=2))
    sink.write([sample_checks.bogus(), sample_checks.bogus()])
    sink.write_transitions([transition(1), transition(2)])
    monkeypatch.setattr(files, "os", Disk(fails={"write": NO_SPACE}))
    for _ in range(5):
        with pytest.raises(HistoryError):
            sink.write([sample_checks.bogus()])
        with pytest.raises(HistoryError):
            sink.record(sample_checks.bogus())
        with pytest.raises(HistoryError):
            sink.write_transitions([transition(3)])
    assert sink.pending_rows == 4
    monkeypatch.undo()
    sink.close()


def test_a_directory_that_cannot_be_synced_after_the_rename_is_synced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are in the file, so they are not written again."""
    sink = history(tmp_path)
    sink.write([sample_checks.bogus()])
    sync_directory = files.sync_directory
    synced: list[Path] = []

    def failing(directory: Path) -> None:
        if directory.name == "month=2026-11":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync_directory(directory)

    def watching(directory: Path) -> None:
        synced.append(directory)
        sync_directory(directory)

    monkeypatch.setattr(files, "sync_directory", failing)
    with pytest.raises(HistoryError, match="sync the directory") as caught:
        sink.flush()
    assert caught.value.file_complete
    assert sink.pending_rows == 0
    with pytest.raises(HistoryError, match="cannot sync"):
        sink.flush()
    monkeypatch.setattr(files, "sync_directory", watching)
    sink.close()
    assert synced == [tmp_path / "domain_checks" / "month=2026-11"]
    assert len(rows_of(tmp_path, DOMAIN_CHECKS)) == 1


def test_the_lock_is_given_up_also_when_the_last_flush_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the operator can run again at once."""
    sink = history(tmp_path)
    sink.write([sample_checks.bogus()])
    monkeypatch.setattr(files, "os", Disk(fails={"write": NO_SPACE}))
    with pytest.raises(HistoryError):
        sink.close()
    monkeypatch.undo()
    history(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_refused_before_the_pass() -> None:
    """/proc takes no directories, also not from root."""
    with pytest.raises(HistoryError, match="/proc/danewatch-history"):
        history(Path("/proc/danewatch-history"))


def test_a_path_through_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """A typing mistake should read as one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="a part of that path is a file"):
        history(tmp_path / "file" / "history")


_CHILD = """
import resource, signal, sys
from pathlib import Path
import sample_checks
from exporters.history import HistoryError, ParquetHistory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = ParquetHistory(Path(sys.argv[1]), run_id="r", scanner_id="s")
sink.write([sample_checks.bogus()])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    sink.flush()
except HistoryError as error:
    print(error)
"""


def test_a_real_limit_on_file_size_leaves_no_half_file(tmp_path: Path) -> None:
    """The kernel cuts the write short; the half file is removed."""
    search = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert "ulimit -f" in child.stdout, child.stderr
    assert names_in(tmp_path) == [".s.lock"]


def test_text_that_utf8_cannot_hold_is_replaced(tmp_path: Path) -> None:
    """An unpaired surrogate must not make a flush fail for ever."""
    check = sample_checks.degraded()
    finding = replace(check.judgement.findings[0], message="a\ud800b ü")
    changed = replace(check, judgement=replace(check.judgement, findings=(finding,)))
    sink = history(tmp_path)
    sink.write([changed])
    sink.close()
    (row,) = rows_of(tmp_path, DOMAIN_CHECKS)
    assert row["findings"][0]["message"] == "a?b ü"


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """The oldest probes and events are forgotten first."""
    sink = history(tmp_path, limits=HistoryLimits(remembered_probes=2, remembered_events=2))
    for number in (1, 2, 3, 1):
        sink.write_transitions([transition(number)])
        sink.write([history_files.at(sample_checks.mismatch(), NOW, probe=f"p{number}")])
    sink.close()
    assert len(rows_of(tmp_path, TRANSITIONS)) == 4
    assert len(rows_of(tmp_path, HOST_CHECKS)) == 4


def test_a_zone_has_one_row_in_a_run_whichever_domains_share_it(tmp_path: Path) -> None:
    """Its keys and dates are in it."""
    sink = history(tmp_path, limits=FLUSH_EACH)
    for domain in ("a.example", "b.example"):
        check = history_files.at(sample_checks.zoned(), NOW, domain=domain)
        sink.record(check)
    sink.finish(RunOutcome.COMPLETED, ended_at=NOW + HOUR)
    sink.close()
    rows = rows_of(tmp_path, ZONE_CHECKS)
    assert [row["dns_zone"] for row in rows] == [".", "example.org", "org"]
    row = rows[1]
    assert (row["status"], row["reason"], row["ede_code"]) == ("secure", None, None)
    assert (row["parent"], row["observed_at"]) == ("org", NOW)
    assert row["ds"] == [{"key_tag": 4711, "algorithm": 13, "digest_type": 2}]
    assert row["dnskeys"] == [{"key_tag": 4711, "algorithm": 13, "flags": 257, "bits": 256}]
    assert row["signature_expiration"] == NOW + timedelta(days=9)
    assert row["signature_inception"] == NOW - timedelta(days=5)
    assert row["findings"] == []
    assert rows_of(tmp_path, RUNS)[0]["zone_checks"] == 3


def test_a_zone_that_changes_in_a_run_has_a_row_for_each_state(tmp_path: Path) -> None:
    """With what was found on it."""
    sink = history(tmp_path)
    sink.record(sample_checks.zoned())
    note = ZoneNote(reason=DnssecReason.RRSIG_EXPIRED, severity=Severity.ERROR, message="ended.")
    broken = sample_checks.zone(
        "org", DnssecStatus.BOGUS, reason=DnssecReason.RRSIG_EXPIRED, notes=[note]
    )
    for _ in range(2):
        sink.record(sample_checks.zoned(None, broken))
    sink.close()
    rows = [row for row in rows_of(tmp_path, ZONE_CHECKS) if row["dns_zone"] == "org"]
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("secure", None),
        ("bogus", "rrsig-expired"),
    ]
    assert rows[1]["ede_code"] == 7
    assert rows[1]["findings"] == [
        {"code": "rrsig-expired", "severity": "error", "message": "ended."}
    ]


def test_zones_known_as_written_are_bounded(tmp_path: Path) -> None:
    """One that was forgotten is written once more."""
    sink = history(tmp_path, limits=HistoryLimits(remembered_zones=2))
    for name in ("a.test", "b.test", "c.test", "a.test"):
        sink.record(sample_checks.zoned(None, sample_checks.zone(name)))
    sink.close()
    names = sorted(row["dns_zone"] for row in rows_of(tmp_path, ZONE_CHECKS))
    assert names == ["a.test", "a.test", "b.test", "c.test"]
