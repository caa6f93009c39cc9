"""The Parquet history: writing it (``writer`` for a pass, ``outbox`` and ``batches`` for the
service) and asking it (``reader``). pyarrow is imported on use, so that a command that needs no
history does not load it."""

from exporters.history.batches import ParquetBatchWriter
from exporters.history.files import HistoryError
from exporters.history.outbox import OutboxLimits, OutboxRowMaker
from exporters.history.reader import (
    RunInfo,
    domains_done,
    known_certificates,
    last_states,
    unfinished_run,
)
from exporters.history.rows import RunFacts, RunOutcome
from exporters.history.writer import HistoryLimits, ParquetHistory

__all__ = [
    "HistoryError",
    "HistoryLimits",
    "OutboxLimits",
    "OutboxRowMaker",
    "ParquetBatchWriter",
    "ParquetHistory",
    "RunFacts",
    "RunInfo",
    "RunOutcome",
    "domains_done",
    "known_certificates",
    "last_states",
    "unfinished_run",
]
