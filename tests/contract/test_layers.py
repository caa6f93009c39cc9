"""The layers hold, and the tools that guard them really bite.

Each guard is run twice: on the tree as it is, and on a copy with one planted violation. A guard
that lets the planted one through is worse than none.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("scanner", "exporters", "targets")
TOOLS = Path(sys.executable).parent


def run_import_linter(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / "lint-imports", "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_ruff(name: str, text: str) -> subprocess.CompletedProcess[str]:
    """Lint ``text`` as if it stood in the tree as ``name``."""
    return subprocess.run(
        [TOOLS / "ruff", "check", "--no-cache", "--stdin-filename", str(ROOT / name), "-"],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy_of_tree(tmp_path: Path) -> Path:
    """The three packages and their configuration, free to be spoiled."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_go_down_the_layers_only() -> None:
    """The tree keeps every import contract."""
    result = run_import_linter(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("scanner/judge/planted.py", "import scanner.observe", "imports go down the layers"),
        ("scanner/observe/planted.py", "import scanner.run", "imports go down the layers"),
        ("scanner/run/planted.py", "import exporters", "imports go down the layers"),
        ("scanner/run/planted.py", "import scanner.distributed", "imports go down the layers"),
        ("scanner/judge/planted.py", "import scanner.wire", "imports go down the layers"),
        ("scanner/judge/planted.py", "import socket", "the decision core does no I/O"),
        ("scanner/wire/planted.py", "import time", "the decision core does no I/O"),
        ("exporters/planted.py", "import scanner.judge", "exporters and targets see the nouns"),
        ("targets/planted.py", "import scanner.wire", "exporters and targets see the nouns"),
        ("scanner/lab/planted.py", "import scanner.judge", "the lab is an independent witness"),
        ("scanner/store/planted.py", "import scanner.judge", "the state file knows the nouns"),
    ],
)
def test_a_planted_import_is_found(
    copy_of_tree: Path, module: str, statement: str, contract: str
) -> None:
    """An import against the layers breaks the contract that forbids it, naming the module."""
    (copy_of_tree / module).write_text(f'"""Planted."""\n\n{statement}\n')
    result = run_import_linter(copy_of_tree)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), result.stdout
    assert module.removesuffix(".py").replace("/", ".") in result.stdout


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("import dns.resolver", "TID251"),
        ("import dns.asyncresolver", "TID251"),
        ("import dns.asyncquery", "TID251"),
        ("import dns.query", "TID251"),
        ("import time\nNOW = time.time()", "TID251"),
        ("import datetime\nNOW = datetime.datetime.now(datetime.UTC)", "TID251"),
        ("import datetime\nNOW = datetime.datetime.now()", "DTZ005"),
        ("try:\n    pass\nexcept Exception:\n    pass", "BLE001"),
        ("print('left behind')", "T201"),
        ("import subprocess\nsubprocess.run('true', shell=True)", "S602"),
        ("NAME: str = 1  # type: ignore", "PGH003"),
        ("# TO" + "DO: later", "FIX002"),
    ],
)
def test_a_planted_call_is_found(statement: str, rule: str) -> None:
    """Calls that belong to one place, and habits that hide faults, do not pass the linter."""
    result = run_ruff("scanner/observe/planted.py", f'"""Planted."""\n\n{statement}\n')
    assert result.returncode == 1, result.stdout + result.stderr
    assert rule in result.stdout


def test_the_one_reader_of_wall_time_is_exempt() -> None:
    """``scanner.run.clock`` may read the clock; that is its job."""
    text = '"""The clock."""\n\nimport datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n'
    result = run_ruff("scanner/run/clock.py", text)
    assert result.returncode == 0, result.stdout
