"""The Parquet history: writing it (``writer`` for a pass, ``outbox`` and ``batches`` for the
service), asking it (``reader``), and keeping it in order (``compaction``, ``retention``,
``verification``). pyarrow is imported on use, so that a command that needs no history does not load
it."""

from exporters.history.batches import ParquetBatchWriter
from exporters.history.compaction import CompactionLimits, CompactionReport, Merge, compact
from exporters.history.files import HistoryError
from exporters.history.outbox import OutboxLimits, OutboxRowMaker
from exporters.history.reader import (
    RunInfo,
    domains_done,
    known_certificates,
    last_states,
    unfinished_run,
)
from exporters.history.retention import RetentionReport, keep_by_days, remove_old
from exporters.history.rows import RunFacts, RunOutcome
from exporters.history.verification import FindingKind, VerifyFinding, VerifyReport, verify
from exporters.history.writer import HistoryLimits, ParquetHistory

__all__ = [
    "CompactionLimits",
    "CompactionReport",
    "FindingKind",
    "HistoryError",
    "HistoryLimits",
    "Merge",
    "OutboxLimits",
    "OutboxRowMaker",
    "ParquetBatchWriter",
    "ParquetHistory",
    "RetentionReport",
    "RunFacts",
    "RunInfo",
    "RunOutcome",
    "VerifyFinding",
    "VerifyReport",
    "compact",
    "domains_done",
    "keep_by_days",
    "known_certificates",
    "last_states",
    "remove_old",
    "unfinished_run",
    "verify",
]
