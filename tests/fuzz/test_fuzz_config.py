"""Configuration files of any content: a Config, or a ConfigError whose every line exists."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.config import Config, ConfigError, ConfigProblem, load_config
from scanner.config.lines import locate_keys

PIECES = st.sampled_from(
    [
        "[smtp]\n", "[limits]\n", "[[policy]]\n", "[x.'y z']\n", "port", "port = 25\n",
        "port = -1\n", "files = [", "]", "}", "{", "=", ",", '"', "'", '"""', "'''", "\\", "#",
        "\n", " ", ".", "1", "nan", "inf", "true", "1979-05-27", '"a\\u0000"', "x = { y = 1 }\n",
        "targets.files = ['a']\n", "ehlo_name = ''\n", 'servers = ["::1", 2]\n',
        'profile = "x"\n', "ä", "\r\n", "\x1b",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=120))


@given(content=st.one_of(TEXTS.map(lambda text: text.encode("utf-8", "replace")), st.binary()))
def test_any_content_is_a_config_or_a_declared_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Never another exception; each problem is printable and names a line of the file."""
    file: Path = tmp_path_factory.getbasetemp() / "danewatch.toml"
    file.write_bytes(content)
    result = load_or_problems(file)
    if isinstance(result, Config):
        return
    assert result
    for problem in result:
        assert str(problem).isprintable()
        assert len(str(problem)) < 1_000
        assert problem.line is None or 1 <= problem.line <= content.count(b"\n") + 1


def load_or_problems(file: Path) -> Config | tuple[ConfigProblem, ...]:
    try:
        return load_config(file)
    except ConfigError as error:
        return error.problems


KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
VALUES = st.sampled_from(
    ["1", '"x = 1 # ["', "'[t]'", '"""\n[no]\nk = 1\n"""', "'''\nk = 2\n'''", "[\n 1, # ]\n 2,\n]",
     '{ a = "}" }', "true"]
)  # fmt: skip


@given(tables=st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_every_key_of_a_valid_file_is_located(tables: dict[str, dict[str, str]]) -> None:
    """Whatever values stand before it, over however many lines."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        expected[(table,)] = len(lines) + 1
        lines.append(f"[{table}]")
        for key, value in keys.items():
            expected[table, key] = len(lines) + 1
            lines += f"{key} = {value} # comment".split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)
    assert dict(locate_keys(text)) == expected
