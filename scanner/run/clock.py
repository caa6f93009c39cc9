"""The only reader of wall time; everything else takes ``now`` or a ``Clock`` as an argument."""

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock (implements ``scanner.model.ports.Clock``)."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        return datetime.now(UTC)
