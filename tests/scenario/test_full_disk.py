"""The disk fills up, or becomes read-only, under a running service: it goes on, and loses nothing.

The disks are small file systems mounted in a namespace of their own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import full_disk
import pytest
from full_disk import DOMAINS
from history_files import rows_of

from exporters.history import verify
from exporters.schema import TRANSITIONS

pytestmark = pytest.mark.scenario

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support"))),
}


def in_namespace(directory: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run ``command`` where ``history`` and ``state`` below ``directory`` are 4 MiB disks."""
    mounts = "".join(
        f'mkdir -p "$0/{name}" && mount -t tmpfs -o size=4m tmpfs "$0/{name}" && '
        for name in ("history", "state")
    )
    script = f'{mounts} exec "$@"'
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, str(directory), *command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def lived_through(directory: Path, trouble: str) -> dict[str, Any]:
    """Let the service live through ``trouble``; return what it counted."""
    command = [sys.executable, full_disk.__file__, str(directory), trouble]
    done = in_namespace(directory, command)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    told["log"] = done.stderr
    return told


def changes(directory: Path) -> Iterator[tuple[str, str | None, str]]:
    """Yield the transitions in the history that was kept, sorted."""
    rows = rows_of(directory / "kept", TRANSITIONS)
    yield from sorted(
        ((row["entity"], row["from_status"], row["to_status"]) for row in rows),
        key=lambda told: (told[0], told[1] or "", told[2]),
    )


def expected_changes() -> list[tuple[str, str | None, str]]:
    """Every first sight; the fault of one host and of the domains behind it, and their recovery."""
    told: list[tuple[str, str | None, str]] = []
    for entity in (*DOMAINS, "mx0.example", "mx1.example"):
        fine, bad = (
            ("authenticated", "failed") if entity.startswith("mx") else ("protected", "blocked")
        )
        told.append((entity, None, fine))
        if DOMAINS.get(entity, entity) == "mx0.example":
            told += [(entity, fine, bad), (entity, bad, fine)]
    return sorted(told, key=lambda one: (one[0], one[1] or "", one[2]))


@pytest.mark.parametrize("trouble", ["history-full", "history-read-only"])
def test_while_the_history_cannot_be_written_checks_go_on_and_rows_wait(
    tmp_path: Path, trouble: str
) -> None:
    """The metric turns to 0 and back, failures are counted, every change is there at the end."""
    told = lived_through(tmp_path, trouble)
    assert told["writing"] == [1.0, 0.0, 1.0]
    assert told["history_failures"] > 0
    assert told["state_failures"] == 0
    assert told["crashes"] == 0
    assert told["checks"][0] > 4 * len(DOMAINS)
    assert told["pending"] == 0
    assert list(changes(tmp_path)) == expected_changes()
    assert verify(tmp_path / "kept").findings == []


def test_while_the_state_cannot_be_written_checks_wait(tmp_path: Path) -> None:
    """Nothing is believed that is not durable; when there is room again, all goes on.

    The fault that came and went meanwhile was seen by checks that waited for their commit, and is
    told; nothing is told twice.
    """
    told = lived_through(tmp_path, "state-full")
    assert told["writing"] == [1.0, 0.0, 1.0]
    assert told["state_failures"] > 0
    assert told["crashes"] == 0
    assert told["pending"] == 0
    assert list(changes(tmp_path)) == expected_changes()
    assert verify(tmp_path / "kept").findings == []


def test_files_and_state_that_may_not_grow_are_tried_again(tmp_path: Path) -> None:
    """A limit on the size of files (ulimit -f) is a full disk by another name."""
    told = lived_through(tmp_path, "history-limited")
    assert told["writing"] == [1.0, 0.0, 1.0]
    assert told["crashes"] == 0
    assert told["pending"] == 0
    assert list(changes(tmp_path)) == expected_changes()
    assert verify(tmp_path / "kept").findings == []


OPEN_READ_ONLY = """
import subprocess, sys
from pathlib import Path
from scanner.store import SqliteStore, StoreError
path = Path(sys.argv[1]) / "state" / "state.sqlite"
SqliteStore(path).close()
subprocess.run(["mount", "-o", "remount,ro", str(path.parent)], check=True)
try:
    SqliteStore(path)
except StoreError as error:
    print(error.fault, error)
"""


def test_a_state_file_on_a_read_only_disk_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """The service could keep nothing it sees, so it does not start."""
    done = in_namespace(tmp_path, [sys.executable, "-c", OPEN_READ_ONLY, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("read-only ")
    assert "state.sqlite" in done.stdout
    assert "the right to write" in done.stdout
