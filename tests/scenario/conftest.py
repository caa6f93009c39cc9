"""Fixtures for end-to-end tests: real servers, and the danewatch command as a user runs it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from real_processes import running

DANEWATCH = Path(sys.executable).parent / "danewatch"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers logged beside a test that failed."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of {server.name}", server.log_tail) for server in running)
    return report


@pytest.fixture(scope="session")
def danewatch_command() -> str:
    """The installed command; a missing one fails here with the remedy."""
    assert DANEWATCH.exists(), f"{DANEWATCH} is missing: run make unit once, which installs it"
    return str(DANEWATCH)


@pytest.fixture(scope="module")
def server_directory() -> Iterator[Path]:
    """A directory that servers which give up root can still enter (pytest's own cannot)."""
    directory = Path(tempfile.mkdtemp(prefix="danewatch-servers-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=os.environ.get("CI") != "true")
