"""The snippets in ``docs/history.md`` run, on a real history, and answer what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import some_history

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SQL = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ANSWERS = {
    "pyarrow": "protected",
    "duckdb": "('bank.example', 'tlsa-mismatch'",
    "polars": "degraded",
    "pandas": "completed",
}
"""Something that the answer of each library holds on the history of the tests."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_history.write(tmp_path_factory.mktemp("history") / "history")


def test_the_page_has_a_snippet_for_each_library() -> None:
    """Four of them, each beginning with its import."""
    assert [re.split(r"[ .\n]", text)[1] for text in PYTHON] == list(ANSWERS)


@pytest.mark.parametrize("library", ANSWERS)
def test_a_python_snippet_answers(library: str, directory: Path) -> None:
    """In a process of its own, as a reader would run it."""
    text = PYTHON[list(ANSWERS).index(library)].replace("DIR", str(directory))
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ANSWERS[library] in done.stdout


@pytest.mark.parametrize("text", SQL)
def test_an_sql_snippet_is_understood(text: str, directory: Path) -> None:
    """By DuckDB, over the files as they lie."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        assert connection.execute(text.replace("DIR", str(directory))).description
