"""The command line and the configuration are documented, and the documentation is true."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import targets
from scanner.cli import errors
from scanner.cli.main import COMMANDS, danewatch
from scanner.config.reference import reference
from scanner.model.vocabulary import DomainVerdict
from targets.load import READERS
from targets.results import TargetLimits

DOCS = Path(__file__).resolve().parents[2] / "docs"
CLI = (DOCS / "cli.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
TARGETS = (DOCS / "targets.md").read_text(encoding="utf-8")


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield (name as typed, command) for every command and sub-command."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, f"{path} {name}")


ALL_COMMANDS = dict(walk(danewatch, "danewatch"))
LEAVES = {name: one for name, one in ALL_COMMANDS.items() if not isinstance(one, click.Group)}


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_has_a_section_with_its_options(name: str) -> None:
    """Each option by its long name, in the command's section or the one for common options.

    Commands of a group may share the section of the group, where a row of a table names each.
    """
    section = _section(name)
    if section is None:
        section = _section(name.rpartition(" ")[0])
        assert section is not None
        assert f"| `{name}" in section[1]
    common = CLI.partition("## Common options")[2].partition("\n## ")[0]
    options = [one for one in LEAVES[name].params if isinstance(one, click.Option)]
    for option in options:
        (long_name,) = [text for text in option.opts if text.startswith("--")]
        assert f"`{long_name}" in section[1] + common, long_name


def _section(name: str) -> re.Match[str] | None:
    return re.search(rf"^## `{name}[^`]*`\n(.*?)(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL)


def test_no_option_is_documented_that_does_not_exist() -> None:
    """What the page promises can be typed."""
    known = {"--help", "--version"}
    for command in ALL_COMMANDS.values():
        known |= {text for one in command.params for text in one.opts}
    mentioned = set(re.findall(r"`(--[a-z-]+)", CLI + CONFIGURATION + TARGETS))
    assert mentioned <= known


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_help_text_has_an_example(name: str) -> None:
    """An example says more than a description."""
    text = inspect.cleandoc(LEAVES[name].help or "")
    assert re.search(rf"^Examples?:\n  {name}\b", text, re.MULTILINE)


def test_every_command_is_listed() -> None:
    """The lazy list and the page agree."""
    documented = set(re.findall(r"^## `danewatch (\w+)", CLI, re.MULTILINE))
    assert documented == set(COMMANDS)


def test_every_exit_code_is_documented() -> None:
    """The table has each code that the program can end with."""
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", CLI, re.MULTILINE)}
    assert documented == codes


def test_every_verdict_is_explained() -> None:
    """The page says what each verdict means, in the order of the vocabulary."""
    verdicts = CLI.partition("## Verdicts")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", verdicts, re.MULTILINE)
    assert documented == [verdict.value for verdict in DomainVerdict]


def test_configuration_tables_are_those_of_the_declarations() -> None:
    """Written by ``python -m scanner.config``; nobody edits them."""
    written = CONFIGURATION.partition("<!-- reference begins -->\n")[2]
    assert written.partition("<!-- reference ends -->")[0] == f"\n{reference()}\n"


def test_every_list_format_is_documented() -> None:
    """Each suffix that is read in a directory, and each bound."""
    for suffix in READERS:
        assert f"`{suffix}`" in TARGETS
    limits = TargetLimits()
    for number in (
        f"{limits.max_file_bytes // 1024**2} MiB",
        f"{limits.max_yaml_bytes // 1024**2} MiB",
        f"{limits.max_targets:,}",
        f"{limits.max_line_characters:,}",
        f"{limits.max_labels}",
        f"{limits.max_label_characters:,}",
    ):
        assert number in TARGETS


def test_shipped_examples_are_those_of_the_page() -> None:
    """Each example file stands in the page as it is shipped."""
    examples = Path(targets.__file__).parent / "examples"
    for file in examples.iterdir():
        assert file.read_text(encoding="utf-8") in TARGETS, file.name
