"""The repository keeps its own rules: documented modules, true commands, working links."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import scanner
from scanner.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [ROOT / name for name in ("scanner", "exporters", "targets")]
MAX_MODULE_LINES = 600
MAX_TEST_LINES = 900
MAKE_COMMAND = re.compile(r"(?:^|[`\s])make ([a-z][a-z-]*)", re.MULTILINE)
OUR_COMMAND = re.compile(r"(?:^|`|\$ )danewatch ([a-z]+)", re.MULTILINE)
TREE_PATH = re.compile(r"`((?:scanner|exporters|targets|tests|docs|grafana|\.ci)/[\w./-]*\w)`")
MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def tracked_files() -> list[Path]:
    """Every file of the repository that is there."""
    output = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return [ROOT / name for name in output.split("\0") if name and (ROOT / name).is_file()]


FILES = tracked_files()
MODULES = [path for path in FILES if path.suffix == ".py"]
PAGES = [path for path in FILES if path.suffix == ".md"]
COMMANDS_OF_MAKE = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_module_says_what_it_is() -> None:
    """Each Python file opens with a docstring, tests included."""
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_bytes()))]
    assert relative(silent) == []


def test_no_module_outgrows_a_reader() -> None:
    """No module has more than 600 lines; test files, which are read in parts, have 900 at most."""
    long = [path for path in MODULES if len(path.read_bytes().splitlines()) > _most_lines(path)]
    assert relative(long) == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """A test runs, or it is not there: no skip, no expected failure, no conditional import."""
    banned = {"skip", "skipif", "skipIf", "xfail", "importorskip", "SkipTest", "expectedFailure"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute) and node.attr in banned
    ]
    assert found == []


def test_no_test_sleeps() -> None:
    """Tests wait for what they need, or move a clock that is theirs; they never just wait."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute)
        and node.attr == "sleep"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them as modules without packages: two of one name would be one."""
    names = [path.name for path in MODULES if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_nothing_in_the_repository_knows_where_it_lies() -> None:
    """No file names the directory of the checkout it was written in."""
    place = str(ROOT).encode() + b"/"
    assert relative([path for path in FILES if place in path.read_bytes()]) == []


def test_every_command_the_pages_name_is_in_the_makefile() -> None:
    """A reader may type each ``make`` command that a page shows."""
    named = {
        (str(path.relative_to(ROOT)), command)
        for path in PAGES
        for command in MAKE_COMMAND.findall(_code_of(path.read_text()))
    }
    assert {item for item in named if item[1] not in COMMANDS_OF_MAKE} == set()
    assert {("README.md", "demo"), ("README.md", "test")} <= named


def test_every_command_the_pages_name_is_a_command_of_ours() -> None:
    """A reader may type each ``danewatch`` command that a page shows."""
    named = {
        (str(path.relative_to(ROOT)), command)
        for path in PAGES
        for command in OUR_COMMAND.findall(_code_of(path.read_text()))
    }
    assert {item for item in named if item[1] not in COMMANDS} == set()
    assert {command for _page, command in named} == set(COMMANDS)


def test_every_target_of_the_makefile_is_explained() -> None:
    """``make help`` leaves nothing out."""
    text = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))
    assert explained == COMMANDS_OF_MAKE


@pytest.mark.parametrize("page", PAGES, ids=relative(PAGES))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Each relative link names a file, and its anchor a heading in it."""
    assert [link for link in _relative_links(page) if not _resolves(page, link)] == []


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    """``docs/index.md`` leads to every other page."""
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.split("#")[0]).resolve() for link in _relative_links(index)}
    pages = {path for path in PAGES if path.parent == index.parent and path != index}
    assert relative(sorted(pages - linked)) == []


def test_files_the_pages_name_exist() -> None:
    """A page that points into the tree points at something."""
    named = {
        (str(page.relative_to(ROOT)), path)
        for page in PAGES
        for path in TREE_PATH.findall(_code_of(page.read_text()))
    }
    assert {item for item in named if not (ROOT / item[1]).exists()} == set()


def test_the_changelog_has_the_version_and_an_open_section() -> None:
    """The top section is the unreleased one; releases below it go up to the present version."""
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(release == scanner.__version__ for release in headings[1:2])


def test_dependencies_have_a_lower_bound() -> None:
    """Every run-time dependency says the oldest version it was tried with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [item for item in project["dependencies"] if ">=" not in item] == []


def _most_lines(path: Path) -> int:
    shipped = any(path.is_relative_to(package) for package in PACKAGES)
    return MAX_MODULE_LINES if shipped else MAX_TEST_LINES


def _code_of(text: str) -> str:
    """The parts of a page set as code: fenced, indented or between backticks."""
    fenced = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`[^`\n]+`", text)
    return "\n".join(fenced + inline)


def _relative_links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in MARKDOWN_LINK.findall(text):
        if not re.match(r"[a-z]+:", link):
            yield link


def _resolves(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    """Heading anchors as GitHub makes them, and those set by hand."""
    text = page.read_text()
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return slugs | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
