"""Errors of the state file: which file, what happened, what to do about it."""

import sqlite3
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path


class StoreFault(StrEnum):
    """Why the state file cannot be used; the first four may pass, the others need a hand."""

    FULL = "full"
    READ_ONLY = "read-only"
    DISK = "disk"
    IN_USE = "in-use"
    DAMAGED = "damaged"
    FOREIGN = "foreign"
    NEWER = "newer"
    REPLACED = "replaced"
    CLOSED = "closed"


_REBUILD = (
    "move it away (with -wal, if there is one) and start again: states are then rebuilt from the "
    "Parquet history"
)
_REMEDIES: Mapping[StoreFault, str] = {
    StoreFault.FULL: "the disk is full: make room; nothing is lost while danewatch runs",
    StoreFault.READ_ONLY: (
        "give the user danewatch runs as the right to write the file and its directory, or choose "
        "another place"
    ),
    StoreFault.DISK: "check the disk and the limits of the process (ulimit -f)",
    StoreFault.IN_USE: "stop the other danewatch, or give this one a state file of its own",
    StoreFault.DAMAGED: _REBUILD,
    StoreFault.FOREIGN: "choose another path for the state file",
    StoreFault.NEWER: f"run that version, or {_REBUILD}",
    StoreFault.REPLACED: "put it back, or start danewatch again",
    StoreFault.CLOSED: "nothing can be done with it any more",
}


class StoreError(OSError):
    """The state file cannot be read or written, and was not changed.

    The text names the file, the cause and the remedy; ``fault`` is the cause for programs.
    """

    def __init__(self, path: Path, what: str, fault: StoreFault) -> None:
        super().__init__(f"{path}: {what}; {_REMEDIES[fault]}")
        self.path = path
        self.fault = fault


# https://sqlite.org/rescode.html: the low octet is the primary code.
_FAULTS: Mapping[int, StoreFault] = {
    sqlite3.SQLITE_FULL: StoreFault.FULL,
    sqlite3.SQLITE_READONLY: StoreFault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: StoreFault.READ_ONLY,
    sqlite3.SQLITE_PERM: StoreFault.READ_ONLY,
    sqlite3.SQLITE_AUTH: StoreFault.READ_ONLY,
    sqlite3.SQLITE_BUSY: StoreFault.IN_USE,
    sqlite3.SQLITE_LOCKED: StoreFault.IN_USE,
    sqlite3.SQLITE_CORRUPT: StoreFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: StoreFault.DAMAGED,
    sqlite3.SQLITE_ERROR: StoreFault.DAMAGED,  # a table is missing: our statements are tested
}


def store_error(path: Path, action: str, error: sqlite3.Error) -> StoreError:
    """Return the StoreError for what SQLite said while it was to ``action``."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module itself
        return StoreError(path, f"cannot {action}: {error}", StoreFault.CLOSED)
    fault = _FAULTS.get(code & 0xFF, StoreFault.DISK)
    return StoreError(path, f"cannot {action}: {error} ({error.sqlite_errorname})", fault)
