"""What survives a restart: one embedded SQLite file with states, ladders, and rows for the
history that are not yet in a file."""

from scanner.store.errors import StoreError, StoreFault
from scanner.store.sqlite import SqliteStore

__all__ = ["SqliteStore", "StoreError", "StoreFault"]
