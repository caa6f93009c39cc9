"""Loading lists from files, directories and globs: merging, naming, and bounds."""

import os
from pathlib import Path
from typing import Any

import pytest

import targets
from scanner.model.ports import Target
from targets.load import load_targets
from targets.results import TargetLimits, TargetList


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def domains(result: TargetList) -> list[str]:
    return [target.domain for target in result.targets]


def reasons(result: TargetList) -> list[str]:
    return [problem.reason for problem in result.problems]


def test_targets_are_normalised_and_remember_their_source(tmp_path: Path) -> None:
    """Case and the trailing dot go; file and line stay."""
    file = write(tmp_path / "list.txt", "Example.ORG.\n")
    result = load_targets([file])
    assert result.targets == (Target(domain="example.org", source=f"{file}:1"),)
    assert (result.problem_count, result.warning_count) == (0, 0)
    assert result.files == (str(file),)


def test_bad_lines_are_named_and_the_rest_loads(tmp_path: Path) -> None:
    """File, line, value and reason; common mistakes come with their remedy."""
    file = write(
        tmp_path / "list.txt",
        "good.example\nuser@example.org\nhttps://example.org/\nexample.org:25\n*.example.org\n"
        "localhost\n192.0.2.1\n-bad.example\nother.example\n",
    )
    result = load_targets([file])
    assert domains(result) == ["good.example", "other.example"]
    assert [(problem.line, problem.value) for problem in result.problems] == [
        (2, "user@example.org"),
        (3, "https://example.org/"),
        (4, "example.org:25"),
        (5, "*.example.org"),
        (6, "localhost"),
        (7, "192.0.2.1"),
        (8, "-bad.example"),
    ]
    assert "a mail domain has no port; write the name alone" in reasons(result)
    assert "a wildcard; name each domain" in reasons(result)
    assert str(result.problems[0]) == f"{file}:2: user@example.org: {result.problems[0].reason}"


def test_duplicates_are_merged_with_a_warning(tmp_path: Path) -> None:
    """Labels are united; of two values the first stays, and the warning names the conflict."""
    first = write(tmp_path / "a.csv", "domain,owner,tier\nx.example,sales,1\n")
    second = write(tmp_path / "b.csv", "domain,owner,region\nX.example.,legal,eu\n")
    result = load_targets([first, second])
    assert result.targets == (
        Target(
            domain="x.example",
            labels=(("owner", "sales"), ("tier", "1"), ("region", "eu")),
            source=f"{first}:2",
        ),
    )
    (warning,) = result.warnings
    assert (warning.file, warning.line) == (str(second), 2)
    assert warning.reason == (
        f"already named at {first}:2; merged; label owner stays 'sales', not 'legal'"
    )


def test_internationalised_names_are_written_as_a_labels(tmp_path: Path) -> None:
    """The warning says what the name became."""
    result = load_targets([write(tmp_path / "l.txt", "Bücher.example\n")])
    assert domains(result) == ["xn--bcher-kva.example"]
    assert [w.reason for w in result.warnings] == ["written as xn--bcher-kva.example"]


def test_directory_gives_its_known_files_in_order(tmp_path: Path) -> None:
    """Other files and sub-directories are named in warnings; hidden files are passed over."""
    write(tmp_path / "b.txt", "b.example\n")
    write(tmp_path / "a.CSV", "domain\na.example\n")
    write(tmp_path / "c.yml", "- targets: [c.example]\n")
    write(tmp_path / ".hidden.txt", "hidden.example\n")
    write(tmp_path / "notes.md", "# notes\n")
    write(tmp_path / "sub" / "d.txt", "d.example\n")
    result = load_targets([tmp_path])
    assert domains(result) == ["a.example", "b.example", "c.example"]
    assert sorted(Path(warning.file).name for warning in result.warnings) == ["notes.md", "sub"]


def test_glob_gives_files_and_directories_in_order(tmp_path: Path) -> None:
    """A pattern matches files; ``**`` reaches below."""
    write(tmp_path / "x1.txt", "x1.example\n")
    write(tmp_path / "x2.txt", "x2.example\n")
    write(tmp_path / "sub" / "deep" / "y.txt", "y.example\n")
    assert domains(load_targets([f"{tmp_path}/x*.txt"])) == ["x1.example", "x2.example"]
    assert domains(load_targets([f"{tmp_path}/s*/deep*"])) == ["y.example"]
    assert domains(load_targets([f"{tmp_path}/**"])) == ["y.example", "x1.example", "x2.example"]


def test_glob_matches_within_a_component_and_no_hidden_files(tmp_path: Path) -> None:
    """As in a shell: no leading dot, unless asked for; ``**`` also stands for no directory."""
    write(tmp_path / "a" / "x.txt", "ax.example\n")
    write(tmp_path / "a" / ".h.txt", "hidden.example\n")
    write(tmp_path / ".b" / "x.txt", "bx.example\n")
    write(tmp_path / "x.txt", "x.example\n")
    assert domains(load_targets([f"{tmp_path}/**/x.txt"])) == ["ax.example", "x.example"]
    assert domains(load_targets([f"{tmp_path}/*/*.txt"])) == ["ax.example"]
    assert domains(load_targets([f"{tmp_path}/**/**/?/.h*"])) == ["hidden.example"]


def test_glob_does_not_follow_links_to_directories_downwards(tmp_path: Path) -> None:
    """``**`` ends, and stays where it began, whatever the links below point to."""
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    write(outside / "o.txt", "o.example\n")
    write(inside / "deep" / "i.txt", "i.example\n")
    for number in range(3):
        (inside / "deep" / f"up{number}").symlink_to(inside)
    (inside / "out").symlink_to(outside)
    assert domains(load_targets([f"{inside}/**"])) == ["i.example"]
    assert domains(load_targets([f"{inside}/**/*.txt"])) == ["i.example"]
    assert domains(load_targets([f"{inside}/o*/*.txt"])) == ["o.example"]


def test_glob_over_too_many_entries_is_a_problem(tmp_path: Path) -> None:
    """The work for one glob is bounded, and nothing is read of it."""
    for number in range(5):
        write(tmp_path / f"d{number}" / "x.txt", "x.example\n")
    result = load_targets([f"{tmp_path}/**"], TargetLimits(max_glob_entries=9))
    assert (reasons(result), domains(result)) == (
        ["reaches more than 9 entries of directories"],
        [],
    )
    assert domains(load_targets([f"{tmp_path}/**"], TargetLimits(max_glob_entries=10)))


def test_glob_over_a_directory_that_cannot_be_listed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read holds nothing; the rest is still found."""
    write(tmp_path / "a" / "x.txt", "a.example\n")
    write(tmp_path / "b" / "x.txt", "b.example\n")
    real = os.scandir

    def scan(path: str) -> object:
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("targets.globbing.os.scandir", scan)
    assert domains(load_targets([f"{tmp_path}/**/*.txt"])) == ["b.example"]


def test_special_file_that_calls_itself_regular_is_read_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some files of /proc have nothing to give for now, and say so without an error."""

    class Nothing:
        def __enter__(self) -> "Nothing":
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.descriptor)

        def __init__(self, descriptor: int, _: str) -> None:
            self.descriptor = descriptor

        def read(self, _: int) -> None:
            return None

    file = write(tmp_path / "l.txt", "a.example\n")
    monkeypatch.setattr("targets.load.os.fdopen", Nothing)
    assert domains(load_targets([file])) == []


def test_problems_and_warnings_of_the_formats_are_kept(tmp_path: Path) -> None:
    """What a reader says about its file reaches the list."""
    file = write(tmp_path / "l.csv", "domain,__x,1st\na.example,y,z\n")
    result = load_targets([file])
    assert [(p.line, p.value) for p in result.problems] == [(1, "1st")]
    assert [(w.line, w.value) for w in result.warnings] == [(1, "__x")]


def test_a_directory_that_may_be_listed_but_not_searched_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for the directory, with what to do; the other lists are read (mode r--)."""
    closed, good = tmp_path / "closed", tmp_path / "good.txt"
    closed.mkdir()
    for name in ("a.txt", "b.txt"):
        (closed / name).write_text("a.example\n")
    good.write_text("b.example\n")
    look = os.stat

    def refuse(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).startswith(f"{closed}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *args, **kwargs)

    monkeypatch.setattr("os.stat", refuse)
    loaded = load_targets([closed, good])
    assert [(one.file, one.reason) for one in loaded.problems] == [
        (
            str(closed),
            "its files cannot be reached; give danewatch's user the right to search it (x)",
        )
    ]
    assert [target.domain for target in loaded.targets] == ["b.example"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    """In a directory as by itself."""
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (problem,) = load_targets([tmp_path]).problems
    assert (problem.file, problem.reason) == (str(tmp_path / "gone.txt"), "no such file")


def test_unreadable_directory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be listed is named with the system's reason."""

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("targets.load.os.listdir", refuse)
    assert reasons(load_targets([tmp_path])) == ["permission denied"]


def test_glob_without_match_is_a_problem(tmp_path: Path) -> None:
    """A pattern that matches nothing is a mistake and no empty list."""
    assert reasons(load_targets([f"{tmp_path}/*.txt"])) == ["no file matches"]


def test_file_with_glob_characters_in_its_name_is_read(tmp_path: Path) -> None:
    """What exists is a file, whatever it is called."""
    file = write(tmp_path / "list[1].txt", "a.example\n")
    assert domains(load_targets([file])) == ["a.example"]


def test_file_reached_twice_is_read_once(tmp_path: Path) -> None:
    """A directory and a file in it, or a link, do not make every line a duplicate."""
    file = write(tmp_path / "list.txt", "a.example\n")
    (tmp_path / "link.txt").symlink_to(file)
    result = load_targets([tmp_path, file, f"{tmp_path}/*.txt"])
    assert domains(result) == ["a.example"]
    assert result.warning_count == 0


@pytest.mark.parametrize("suffix", ["", ".lst", ".conf"])
def test_a_named_file_of_any_other_suffix_is_plain_text(tmp_path: Path, suffix: str) -> None:
    """Only in directories does the suffix decide whether a file is read."""
    assert domains(load_targets([write(tmp_path / f"list{suffix}", "a.example\n")])) == [
        "a.example"
    ]


def test_missing_file_and_special_files_are_problems(tmp_path: Path) -> None:
    """Also a pipe without a writer and an endless device, which are never waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    result = load_targets(
        [tmp_path / "missing.txt", tmp_path / "pipe", "/dev/zero", tmp_path / "dangling.txt", ""]
    )
    assert reasons(result) == [
        "no such file",
        "not a regular file",
        "not a regular file",
        "no such file",
        "not a path",
    ]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, mark: bytes) -> None:
    """Spreadsheets and editors of Windows write one."""
    for name, text in {
        "l.txt": "a.example\r\n",
        "l.csv": "domain;x\r\na.example;1\r\n",
        "l.json": '[{"targets": ["a.example"]}]',
        "l.yaml": "- targets: [a.example]\r\n",
    }.items():
        assert domains(load_targets([write(tmp_path / name, mark + text.encode())])) == [
            "a.example"
        ]


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-32-be", "UTF-32")]
)
def test_other_unicode_encodings_are_named(tmp_path: Path, encoding: str, shown: str) -> None:
    """One problem that says what to do, and not one for each line."""
    mark = "\ufeff" if encoding.endswith("be") else ""
    file = write(tmp_path / "l.txt", (mark + "a.example\nb.example\n").encode(encoding))
    result = load_targets([file])
    assert reasons(result) == [f"the encoding is {shown}; save the file as UTF-8"]
    assert result.targets == ()


def test_octets_that_are_not_utf8_cost_their_line_only(tmp_path: Path) -> None:
    """A Latin-1 name in a text or CSV list; the value shows the octet."""
    file = write(tmp_path / "l.txt", b"b\xfccher.example\na.example\n")
    result = load_targets([file])
    assert domains(result) == ["a.example"]
    assert [(p.line, p.value) for p in result.problems] == [(1, "b\\xfccher.example")]


@pytest.mark.parametrize("name", ["l.json", "l.yaml"])
def test_structured_file_that_is_not_utf8_is_refused_with_its_line(
    tmp_path: Path, name: str
) -> None:
    """YAML and JSON cannot be read in part."""
    file = write(tmp_path / name, b'[\n{"targets": ["b\xfccher.example"]}]')
    (problem,) = load_targets([file]).problems
    assert (problem.line, problem.value) == (2, "byte 0xfc")


def test_nul_octets_are_refused(tmp_path: Path) -> None:
    """A binary file yields problems, escaped."""
    file = write(tmp_path / "l.txt", b"a\0b.example\nok.example\n")
    result = load_targets([file])
    assert domains(result) == ["ok.example"]
    assert result.problems[0].value == "a\\x00b.example"


def test_file_beyond_the_size_limit_is_not_read(tmp_path: Path) -> None:
    """The limit is for the octets read, whatever the file claims; YAML has a smaller one."""
    limits = TargetLimits(max_file_bytes=1024 * 1024, max_yaml_bytes=1024)
    big = write(tmp_path / "l.txt", "a" * (1024 * 1024 + 1))
    yaml = write(tmp_path / "l.yaml", "#" * 1025)
    result = load_targets([big, yaml], limits)
    assert reasons(result) == ["larger than 1 MiB; not read", "larger than 1,024 bytes; not read"]


def test_entries_are_bounded_over_all_files(tmp_path: Path) -> None:
    """Beyond the limit the rest is not read, and that is said once."""
    write(tmp_path / "a.txt", "".join(f"d{number}.example\n" for number in range(8)))
    write(tmp_path / "b.txt", "x.example\ny.example\nz.example\n")
    result = load_targets([tmp_path], TargetLimits(max_targets=10))
    assert len(result.targets) == 10
    assert [(p.line, p.reason) for p in result.problems] == [
        (3, "more than 10 entries; the rest is not read")
    ]


def test_yaml_bomb_is_bounded(tmp_path: Path) -> None:
    """A million targets from a few kilobytes of aliases stop at the limit of entries."""
    names = ", ".join(f"d{number}.example" for number in range(1_000))
    text = f"- &a {{targets: [{names}]}}\n" + "- *a\n" * 1_000
    result = load_targets([write(tmp_path / "l.yaml", text)], TargetLimits(max_targets=5_000))
    assert len(result.targets) == 1_000
    assert reasons(result) == ["more than 5,000 entries; the rest is not read"]


def test_remarks_are_bounded_and_their_totals_true(tmp_path: Path) -> None:
    """A list of a million wrong lines does not become a million problems in memory."""
    file = write(tmp_path / "l.txt", "bad\n" * 10 + "a.example\n" * 10)
    result = load_targets([file], TargetLimits(max_remarks=3))
    assert (len(result.problems), result.problem_count) == (3, 10)
    assert (len(result.warnings), result.warning_count) == (3, 9)


def test_files_are_bounded(tmp_path: Path) -> None:
    """More files than the limit is a problem that names the path they came from."""
    for number in range(4):
        write(tmp_path / f"{number}.txt", f"d{number}.example\n")
    result = load_targets([tmp_path], TargetLimits(max_files=3))
    assert len(result.targets) == 3
    assert reasons(result) == ["more than 3 files"]


def test_shipped_examples_load_without_problems() -> None:
    """The examples show each format and are right."""
    directory = Path(targets.__file__).parent / "examples"
    result = load_targets([directory])
    assert reasons(result) == []
    assert {Path(file).suffix for file in result.files} == {".txt", ".csv", ".json", ".yaml"}
    assert domains(result) == ["example.org", "example.net", "example.com", "xn--bcher-kva.example"]
