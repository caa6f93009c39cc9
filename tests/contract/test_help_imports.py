"""``--help`` answers at once: no command loads what it needs only to work."""

import subprocess
import sys

import pytest

from scanner.cli.main import COMMANDS

HEAVY = (
    *("trio", "pyarrow", "duckdb", "OpenSSL", "pydantic", "rich", "dns", "cryptography", "yaml"),
    *("asyncio", "bcrypt", "prometheus_client", "starlette", "uvicorn"),
)
CODE = """
import sys
from scanner.cli.main import run
code = run({arguments!r})
assert code == 0, code
print("loaded:", *sorted({heavy!r} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)],
    ids=lambda arguments: " ".join(arguments),
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """In a process of its own, so that nothing is loaded already."""
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(arguments=arguments, heavy=set(HEAVY))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "loaded:"


WITHOUT = """
import sys
from scanner.cli import main
sys.argv = ["danewatch", *{arguments!r}]
try:
    main.main()
except SystemExit as end:
    assert not end.code, end.code
import datetime, importlib
import pyarrow
assert pyarrow.array([1]).to_pylist() == [1]
moment = datetime.datetime(2026, 11, 24)
assert pyarrow.array([moment]).to_pylist() == [moment]  # looks for pandas
def is_left_out(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return True
    return False
print("left out:", *filter(is_left_out, main.BIG_MODULES))
"""


@pytest.mark.parametrize(
    ("arguments", "left_out"),
    [
        (["scan", "--help"], " numpy pandas"),
        (["monitor", "--help"], " numpy pandas"),
        (["scan", "--engine", "dask", "--help"], ""),
        (["check", "--help"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_pass_imports_no_numpy_and_no_pandas(arguments: list[str], left_out: str) -> None:
    """pyarrow imports both where they are installed, and does without where they are not."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(arguments=arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "left out:" + left_out
