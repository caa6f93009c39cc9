"""The Parquet history: writing it (``writer``) and asking it (``reader``). pyarrow is imported on
use, so that a command that needs no history does not load it."""

from exporters.history.files import HistoryError
from exporters.history.reader import RunInfo, domains_done, last_states, unfinished_run
from exporters.history.rows import RunOutcome
from exporters.history.writer import HistoryLimits, ParquetHistory

__all__ = [
    "HistoryError",
    "HistoryLimits",
    "ParquetHistory",
    "RunInfo",
    "RunOutcome",
    "domains_done",
    "last_states",
    "unfinished_run",
]
