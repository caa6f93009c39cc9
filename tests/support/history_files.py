"""Helpers for the tests of the history: checks that differ, tables read back, broken disks."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import sample_checks

from exporters.schema import Table
from scanner.model.names import Name
from scanner.model.verdict import Check

DISK_OPERATIONS = ("open", "write", "fsync", "rename", "mkdir", "unlink")


def at(check: Check, moment: datetime, *, domain: str | None = None, probe: str = "") -> Check:
    """Return ``check`` as of ``moment``, of another domain, its probes named ``probe-HOST-N``."""
    observation = check.observation
    shift = moment - observation.observed_at
    hosts = tuple(
        replace(
            host,
            addresses=tuple(
                replace(
                    one,
                    observed_at=one.observed_at + shift,
                    probe_id=f"{probe}-{host.route.host}-{number}" if probe else "",
                )
                for number, one in enumerate(host.addresses)
            ),
        )
        for host in observation.hosts
    )
    name = Name(domain) if domain else observation.domain
    changed = replace(observation, domain=name, observed_at=moment, hosts=hosts)
    return replace(check, observation=changed)


def rows_of(directory: Path, table: Table) -> list[dict[str, Any]]:
    """Return every row of every file with a final name, as a plain Parquet reader sees them."""
    rows: list[dict[str, Any]] = []
    for path in sorted((directory / table.name).glob("*/*.parquet")):
        if not path.name.startswith("."):
            with pyarrow.parquet.ParquetFile(path) as file:
                rows.extend(file.read().to_pylist())
    return rows


def names_in(directory: Path) -> list[str]:
    """Return the paths of all files below ``directory``."""
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


class Killed(BaseException):
    """The process died here."""


class Disk:
    """Stands in for ``os`` in the module that writes files.

    ``dies_at`` counts disk operations: at that one the process dies, a write half done, and every
    later one dies too. ``fails`` maps an operation to the error number it always gives.
    """

    def __init__(self, *, dies_at: int | None = None, fails: dict[str, int] | None = None) -> None:
        self.dies_at = dies_at
        self.fails = fails or {}
        self.operations = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._watched(name, real) if name in DISK_OPERATIONS else real

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if name in self.fails:
                number = self.fails[name]
                raise OSError(number, os.strerror(number))
            self.operations += 1
            if self.dies_at is not None and self.operations >= self.dies_at:
                if name == "write" and self.operations == self.dies_at:
                    descriptor, data = arguments
                    real(descriptor, data[: len(data) // 2])
                raise Killed(name)
            return real(*arguments, **options)

        return operation


NO_SPACE = errno.ENOSPC
HOUR = timedelta(hours=1)
NOW = sample_checks.NOW
