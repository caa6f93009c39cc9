"""Target lists of any content: targets and problems, never an exception, a hang or a wrong name.

Every seed below is an input that once needed care; hypothesis mixes them with its own.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.names import parse_domain
from targets.csvfile import read_csv
from targets.file_sd import read_file_sd_json, read_file_sd_yaml
from targets.load import load_targets
from targets.results import Entry, Item, TargetLimits, TargetProblem, TargetWarning, shown
from targets.text import read_text

LIMITS = TargetLimits(max_targets=500, max_line_characters=200, max_remarks=50)
READERS = {
    ".txt": read_text,
    ".csv": read_csv,
    ".json": read_file_sd_json,
    ".yaml": read_file_sd_yaml,
}
SEEDS = [
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfea\x00",
    b"\x00\x00\xfe\xff",
    b"a.example\r\nb.example\rc.example\n",
    b"\0\0\0\0",
    b'domain,owner\n"a.example\nb.example,x\n',
    b"domain;__x;domain;1\na.example;;;\n",
    b"- targets: &a [a.example]\n- targets: *a\n",
    b"&x - *x",
    b"? - a\n: b",
    b"{? [a]: b}",
    b"!!python/object/new:os.system [x]",
    b"%YAML 1.1\n---\n- targets: []\n",
    b"- targets: |\n    a\n  labels: >\n    b\n",
    b'[{"targets": ["\\ud800.example", "\\u0000"]}]',
    b'[{"targets": [1e999, NaN, -0]}]',
    b"[" * 60,
    b'{"a":' * 60,
    b'[{"targets": ["a.example"],"labels": {"a": "b\\u2028", "c": "\\u202e"}}]',
    b"1" * 5_000,
    b"a" * 300 + b".example\n",
    "xn--\udcff.example\n".encode("utf-8", "surrogateescape"),
    "ﷺ.example\n\u2028x.example\n。。\n".encode(),
]
PIECES = st.sampled_from(
    [
        *(seed[:40] for seed in SEEDS),
        b"- ", b"\n", b"  ", b"targets:", b"labels:", b"[", b"]", b"{", b"}", b'"', b"'", b",",
        b": ", b"&a ", b"*a", b"a.example", b"#", b"\\", b"\t", b"\xff", b"\0", b"---\n", b"!!",
        b"|", b">", b"?", b"%", b"@", b"`", b"\x85", b"null", b"1",
    ]
)  # fmt: skip
UNSAFE = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xDCFF)}
CONTENT = st.one_of(
    st.binary(max_size=400),
    st.lists(PIECES, max_size=30).map(b"".join),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


def check_load(directory: Path, suffix: str, content: bytes) -> None:
    file = directory / f"list{suffix}"
    file.write_bytes(content)
    result = load_targets([file], LIMITS)
    assert len(result.targets) <= LIMITS.max_targets
    for target in result.targets:
        assert parse_domain(target.domain) == target.domain
        assert all(value and not set(value) & UNSAFE for _, value in target.labels)
    for remark in (*result.problems, *result.warnings):
        assert remark.file == str(file)
        assert remark.line is None or remark.line >= 1
        assert remark.reason
        assert str(remark).isprintable()


@pytest.mark.parametrize("suffix", sorted(READERS))
@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_seeds_give_targets_or_problems(tmp_path: Path, suffix: str, seed: int) -> None:
    """Each seed, in each format."""
    check_load(tmp_path, suffix, SEEDS[seed])


@given(content=CONTENT, suffix=st.sampled_from(sorted(READERS)))
def test_any_content_gives_targets_or_problems(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    """Whatever the octets, in whatever format."""
    check_load(tmp_path_factory.getbasetemp(), suffix, content)


@given(text=st.text(max_size=300), suffix=st.sampled_from(sorted(READERS)))
def test_readers_yield_nothing_but_their_items(text: str, suffix: str) -> None:
    """A reader is total over text, and every line it names exists."""
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + 2
    items: list[Item] = list(READERS[suffix](text, "f", LIMITS))
    for item in items:
        assert isinstance(item, Entry | TargetProblem | TargetWarning)
        assert item.line is None or 1 <= item.line <= lines + text.count("\u2029")


NAMES = st.from_regex(r"[a-z0-9]{1,10}\.(example|test)", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "domain"),
    st.text(st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=10),
    max_size=3,
)


@given(groups=st.lists(st.tuples(st.lists(NAMES, max_size=4), LABELS), max_size=4))
def test_json_and_yaml_readers_agree_on_json(
    groups: list[tuple[list[str], dict[str, str]]],
) -> None:
    """JSON without escapes is YAML: both readers see the same targets, labels and lines."""
    document = [{"targets": names, "labels": labels} for names, labels in groups]
    text = json.dumps(document, indent=1, ensure_ascii=False)
    assert list(read_file_sd_json(text, "f", LIMITS)) == list(read_file_sd_yaml(text, "f", LIMITS))


@given(value=st.text(max_size=200))
def test_quoted_values_are_printable_and_short(value: str) -> None:
    """Whatever a list holds, quoting it can neither act on a terminal nor flood it."""
    assert shown(value).isprintable()
    assert len(shown(value)) <= 6 * 60
