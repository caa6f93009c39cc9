"""Each list format: what it yields, and how each bad line is named."""

from collections.abc import Callable, Iterator

import pytest

from targets.csvfile import read_csv
from targets.file_sd import read_file_sd_json, read_file_sd_yaml
from targets.results import Entry, Item, TargetLimits, TargetProblem, TargetWarning, shown
from targets.text import read_text

LIMITS = TargetLimits()
Reader = Callable[[str, str, TargetLimits], Iterator[Item]]


def entries(
    reader: Reader, text: str, limits: TargetLimits = LIMITS
) -> list[tuple[str, int, dict[str, str]]]:
    return [
        (item.value, item.line, dict(item.labels))
        for item in reader(text, "f", limits)
        if isinstance(item, Entry)
    ]


def problems(
    reader: Reader, text: str, limits: TargetLimits = LIMITS
) -> list[tuple[int | None, str]]:
    return [
        (item.line, item.reason)
        for item in reader(text, "f", limits)
        if isinstance(item, TargetProblem)
    ]


def warnings(reader: Reader, text: str) -> list[tuple[int | None, str, str]]:
    return [
        (item.line, item.value, item.reason)
        for item in reader(text, "f", LIMITS)
        if isinstance(item, TargetWarning)
    ]


def test_text_has_one_domain_a_line_with_comments() -> None:
    """Blank lines and comments are passed over; a comment may follow a name."""
    text = "# head\n\nexample.org\n  example.net  # tail\n#last"
    assert entries(read_text, text) == [("example.org", 3, {}), ("example.net", 4, {})]
    assert problems(read_text, text) == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_lines_may_end_in_any_way(end: str) -> None:
    """LF, CRLF and CR number lines as an editor does."""
    assert entries(read_text, f"a.example{end}{end}b.example{end}") == [
        ("a.example", 1, {}),
        ("b.example", 3, {}),
    ]


def test_text_line_with_two_words_is_a_problem_and_the_rest_loads() -> None:
    """Two names on one line are not guessed at."""
    text = "a.example b.example\nc.example\n"
    assert problems(read_text, text) == [(1, "more than one word; write one domain a line")]
    assert entries(read_text, text) == [("c.example", 2, {})]


@pytest.mark.parametrize("reader", [read_text, read_csv])
def test_huge_line_is_named_and_not_looked_at(reader: Reader) -> None:
    """A line beyond the limit is one problem, wherever it stands."""
    limits = TargetLimits(max_line_characters=50)
    head = "domain\n" if reader is read_csv else "# comment\n"
    text = head + "a" * 51 + "\nb.example\n"
    assert problems(reader, text, limits) == [(2, "line longer than 50 characters")]
    assert entries(reader, text, limits) == [("b.example", 3, {})]


def test_csv_columns_become_labels() -> None:
    """Every column but ``domain`` is a label; an empty cell gives none."""
    text = 'owner,domain,tier\nsales,a.example,1\n"x, y",b.example,\n'
    assert entries(read_csv, text) == [
        ("a.example", 2, {"owner": "sales", "tier": "1"}),
        ("b.example", 3, {"owner": "x, y"}),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_separator_is_the_one_that_makes_a_domain_column(separator: str) -> None:
    """Spreadsheets write semicolons in half of Europe; any case of ``domain`` will do."""
    text = f"Domain{separator}owner\na.example{separator}x,y\n"
    if separator == ",":
        text = text.replace("x,y", "x")
    assert entries(read_csv, text) == [
        ("a.example", 2, {"owner": "x" if separator == "," else "x,y"})
    ]


def test_csv_without_domain_column_reads_nothing() -> None:
    """A list without a header would lose its first domain silently, so it is refused."""
    assert problems(read_csv, "\na.example,x\nb.example,y\n") == [
        (2, "the header has no column named 'domain'; no line was read")
    ]
    assert entries(read_csv, "a.example,x\nb.example,y\n") == []


def test_csv_header_beyond_the_line_limit_reads_nothing() -> None:
    """Without its header a CSV file means nothing."""
    limits = TargetLimits(max_line_characters=10)
    text = "domain,aaaaaaaaaaaaa\na.example\n"
    assert problems(read_csv, text, limits) == [(1, "line longer than 10 characters")]
    assert entries(read_csv, text, limits) == []


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("1st", "column ignored: not a label name"),
        ("my-label", "column ignored: not a label name"),
        ("", "column ignored: a label needs a name"),
        ("owner", "column ignored: this column occurs twice; the first is used"),
        ("DOMAIN", "column ignored: the label name 'domain' is reserved"),
    ],
)
def test_csv_bad_column_is_a_problem_and_the_domains_load(column: str, reason: str) -> None:
    """A column that cannot be a label costs the label, not the targets."""
    text = f"domain,owner,{column}\na.example,x,y\n"
    ((line, found),) = problems(read_csv, text)
    assert line == 1
    assert found.startswith(reason)
    assert entries(read_csv, text) == [("a.example", 2, {"owner": "x"})]


def test_csv_internal_column_is_dropped_with_a_warning() -> None:
    """Prometheus drops labels with two leading underscores itself."""
    text = "domain,__meta\na.example,x\n"
    assert [(line, value) for line, value, _ in warnings(read_csv, text)] == [(1, "__meta")]
    assert entries(read_csv, text) == [("a.example", 2, {})]


def test_csv_too_many_columns_is_bounded() -> None:
    """Labels of one target are bounded."""
    names = ",".join(f"c{number}" for number in range(4))
    text = f"domain,{names}\na.example,1,2,3,4\n"
    limits = TargetLimits(max_labels=3)
    assert problems(read_csv, text, limits) == [(1, "column ignored: more than 3 label columns")]
    assert entries(read_csv, text, limits) == [("a.example", 2, {"c0": "1", "c1": "2", "c2": "3"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"a.example', "not a CSV record (a quotation mark is missing or misplaced)"),
        ("a.example,x,y", "3 fields, but the header has 2"),
        (",x", "no domain in this record"),
    ],
)
def test_csv_bad_record_costs_its_own_line_only(line: str, reason: str) -> None:
    """Also a quotation mark without its partner, which usual readers extend over the file."""
    text = f"domain,owner\n{line}\nb.example,y\n"
    assert problems(read_csv, text) == [(2, reason)]
    assert entries(read_csv, text) == [("b.example", 3, {"owner": "y"})]


def test_csv_short_records_and_blank_records_are_fine() -> None:
    """Missing cells at the end are empty cells; spreadsheets write rows of bare separators."""
    text = "domain,owner,tier\na.example\n,,\nb.example,x,,,\n"
    assert entries(read_csv, text) == [("a.example", 2, {}), ("b.example", 4, {"owner": "x"})]
    assert problems(read_csv, text) == []


def test_csv_label_with_control_characters_is_ignored() -> None:
    """A control character in a label would reach terminals and dashboards."""
    text = "domain,owner\na.example,x\x1b[31m\n"
    ((line, reason),) = problems(read_csv, text)
    assert (line, reason) == (
        2,
        "label 'owner' ignored: label value with control characters, or not UTF-8",
    )
    assert entries(read_csv, text) == [("a.example", 2, {})]


def test_label_values_are_bounded() -> None:
    """A label longer than the limit is ignored, the target stays."""
    limits = TargetLimits(max_label_characters=3)
    text = "domain,owner\na.example,abcd\n"
    assert problems(read_csv, text, limits) == [
        (2, "label 'owner' ignored: label value longer than 3 characters")
    ]
    assert entries(read_csv, text, limits) == [("a.example", 2, {})]


YAML = """\
- targets:
    - a.example
    - b.example
  labels: {owner: sales, tier: 1}
- targets: [no]
"""
JSON = """\
[
 {"targets": ["a.example",
              "b.example"],
  "labels": {"owner": "sales", "tier": "1"}},
 {"targets": ["no"]}
]
"""


@pytest.mark.parametrize(
    ("reader", "text", "lines"),
    [(read_file_sd_yaml, YAML, (2, 3, 5)), (read_file_sd_json, JSON, (2, 3, 5))],
)
def test_file_sd_groups_give_targets_with_labels_and_lines(
    reader: Reader, text: str, lines: tuple[int, int, int]
) -> None:
    """Each target has its own line; YAML scalars are text as written, also ``no`` and ``1``."""
    labels = {"owner": "sales", "tier": "1"}
    assert entries(reader, text) == [
        ("a.example", lines[0], labels),
        ("b.example", lines[1], labels),
        ("no", lines[2], {}),
    ]
    assert problems(reader, text) == []


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_file_sd_yaml, ""),
        (read_file_sd_yaml, "# nothing\n"),
        (read_file_sd_yaml, "~\n"),
        (read_file_sd_yaml, "[]"),
        (read_file_sd_yaml, "- targets:\n  labels:\n"),
        (read_file_sd_json, " \n"),
        (read_file_sd_json, "[]"),
        (read_file_sd_json, "null"),
        (read_file_sd_json, '[{"targets": null, "labels": null}]'),
    ],
)
def test_empty_file_sd_is_fine(reader: Reader, text: str) -> None:
    """An empty list is no mistake."""
    assert list(reader(text, "f", LIMITS)) == []


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (read_file_sd_yaml, "a: b", (1, "expected a list of groups with 'targets' and 'labels'")),
        (read_file_sd_yaml, "- a.example", (1, "expected a group with 'targets' and 'labels'")),
        (read_file_sd_yaml, "- labels: {a: b}", (1, "a group without 'targets'")),
        (read_file_sd_yaml, "- targets: a.example", (1, "'targets' must be a list of domains")),
        (
            read_file_sd_yaml,
            "- targets: []\n  lables: {}",
            (2, "unknown key; a group has 'targets' and 'labels'"),
        ),
        (
            read_file_sd_yaml,
            "- targets: []\n  targets: [a.example]",
            (2, "this key occurs twice; the first is used"),
        ),
        (
            read_file_sd_yaml,
            "- targets: []\n  labels: [a]",
            (2, "'labels' must map label names to values"),
        ),
        (read_file_sd_yaml, "- targets: [[a]]", (1, "expected a domain, found a list")),
        (read_file_sd_yaml, "- targets: [{a: b}]", (1, "expected a domain, found a mapping")),
        (read_file_sd_yaml, "- targets: [~]", (1, "expected a domain, found nothing")),
        (read_file_sd_json, '[{"targets": [1]}]', (1, "expected a domain, found a number")),
        (read_file_sd_json, '[{"targets": [true]}]', (1, "expected a domain, found a boolean")),
        (
            read_file_sd_json,
            '[{"targets": [],\n"labels": {"a": 1}}]',
            (2, "label ignored: label 'a': expected text, found a number"),
        ),
        (
            read_file_sd_json,
            '[{"targets": [],\n"labels": {"a": "1", "a": "2"}}]',
            (2, "label ignored: this label occurs twice; the first is used"),
        ),
        (
            read_file_sd_json,
            '[{"targets": [],\n"labels": {"domain": "x"}}]',
            (2, "label ignored: the label name 'domain' is reserved"),
        ),
        (
            read_file_sd_json,
            '[{"targets": [],\n"labels": {"a": "\\u0000"}}]',
            (2, "label ignored: label value with control characters, or not UTF-8"),
        ),
        (
            read_file_sd_json,
            "[\n{]",
            (2, "not JSON: Expecting property name enclosed in double quotes"),
        ),
        (read_file_sd_yaml, "- a\n -b: [", (2, "not YAML: ")),
        (read_file_sd_yaml, "- a\n- \x01", (2, "not YAML: a character that YAML does not allow")),
        (
            read_file_sd_yaml,
            "[]\n---\n[]\n",
            (2, "a second YAML document; write one list in one file"),
        ),
        (read_file_sd_yaml, "- *nobody", (1, "unknown or recursive alias *nobody")),
        (read_file_sd_yaml, "- &x [*x]", (1, "unknown or recursive alias *x")),
    ],
)
def test_bad_file_sd_is_named_with_its_line(
    reader: Reader, text: str, expected: tuple[int, str]
) -> None:
    """Whatever is wrong is a problem with a line, and never an exception."""
    ((line, reason),) = problems(reader, text)
    assert line == expected[0]
    assert reason.startswith(expected[1])


def test_file_sd_internal_label_is_dropped_with_a_warning() -> None:
    """Files made by other tools carry ``__meta_...`` labels."""
    text = '[{"targets": ["a.example"], "labels": {"__meta_x": "1", "owner": "y"}}]'
    assert [value for _, value, _ in warnings(read_file_sd_json, text)] == ["__meta_x"]
    assert entries(read_file_sd_json, text) == [("a.example", 1, {"owner": "y"})]


def test_file_sd_labels_are_bounded() -> None:
    """More labels than the limit is one problem."""
    limits = TargetLimits(max_labels=1)
    text = "- targets: [a.example]\n  labels: {a: x, b: y, c: z}"
    assert problems(read_file_sd_yaml, text, limits) == [
        (2, "more than 1 labels; the rest is ignored")
    ]
    assert entries(read_file_sd_yaml, text, limits) == [("a.example", 1, {"a": "x"})]


@pytest.mark.parametrize("reader", [read_file_sd_yaml, read_file_sd_json])
@pytest.mark.parametrize("depth", [17, 5_000, 100_000])
def test_deep_nesting_is_refused(reader: Reader, depth: int) -> None:
    """Nesting is bounded in both formats, without recursion that could overflow."""
    ((_, reason),) = problems(reader, "[" * depth + "]" * depth)
    assert reason == "nested more than 16 levels deep"


def test_yaml_tags_construct_nothing() -> None:
    """A tag that would run code in an unsafe loader is only text here."""
    text = '- targets: [!!python/object/apply:os.system ["true"], a.example]'
    assert entries(read_file_sd_yaml, text) == [("a.example", 1, {})]
    assert problems(read_file_sd_yaml, text) == [(1, "expected a domain, found a list")]


def test_yaml_alias_expansion_is_lazy() -> None:
    """A nest of aliases costs nothing until it is walked, and walking it is up to the caller."""
    text = "- &a {targets: [a.example, b.example]}\n" + "- *a\n" * 3
    assert len(entries(read_file_sd_yaml, text)) == 8


def test_json_line_numbers_survive_escapes() -> None:
    """Escaped quotes, brackets in text and Unicode escapes do not confuse the tokens."""
    text = '[{"labels": {"a": "\\"]}\\\\"},\n"targets":\n["\\u0062.example"]}]'
    assert entries(read_file_sd_json, text) == [("b.example", 3, {"a": '"]}\\'})]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain.example", "plain.example"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\udcffb", "a\\xffb"),
        ("bücher", "bücher"),
        ("x" * 100, "x" * 29 + "…" + "x" * 30),
    ],
)
def test_quoted_values_are_safe_for_a_terminal(value: str, expected: str) -> None:
    """Remarks quote hostile text: controls are escaped, long values cut in the middle."""
    assert shown(value) == expected
