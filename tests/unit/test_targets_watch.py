"""Target lists that change while the service runs: what is taken, and what is refused."""

import os
from pathlib import Path

import pytest

from targets.watch import TargetChange, TargetWatch


def write(path: Path, *domains: str) -> None:
    """Write a list in one step, as careful tools do."""
    draft = path.with_suffix(".draft")
    draft.write_text("".join(f"{domain}\n" for domain in domains))
    os.replace(draft, path)


def twenty(*, without: int = 0) -> list[str]:
    return [f"d{number:02}.example" for number in range(20 - without)]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A directory with one list of twenty domains."""
    write(tmp_path / "a.txt", *twenty())
    return tmp_path


def watch(lists: Path) -> TargetWatch:
    watching = TargetWatch([str(lists)])
    watching.load()
    return watching


def settled(watching: TargetWatch) -> TargetChange | None:
    """Look twice: a change is believed when two looks show the same."""
    assert watching.look() is None
    return watching.look()


def test_nothing_changed_means_nothing_is_read(lists: Path) -> None:
    """A second look costs a stat for each file."""
    watching = watch(lists)
    assert watching.look() is None
    assert len(watching.current.targets) == 20


def test_a_change_is_taken_once_two_looks_agree(lists: Path) -> None:
    """A file that is still being written is not read half."""
    watching = watch(lists)
    write(lists / "b.txt", "new.example")
    assert watching.look() is None
    write(lists / "b.txt", "new.example", "newer.example")
    assert watching.look() is None
    change = watching.look()
    assert change is not None
    assert (change.added, change.removed, change.refused) == (2, 0, None)
    assert len(watching.current.targets) == 22


def test_a_list_that_loses_a_tenth_is_taken(lists: Path) -> None:
    """Two of twenty may go."""
    watching = watch(lists)
    write(lists / "a.txt", *twenty(without=2))
    change = settled(watching)
    assert change is not None
    assert (change.removed, change.refused) == (2, None)


def test_a_list_that_loses_more_is_refused_until_confirmed(lists: Path) -> None:
    """And is not read again and again meanwhile."""
    watching = watch(lists)
    write(lists / "a.txt", *twenty(without=3))
    change = settled(watching)
    assert change is not None
    assert change.refused == (
        "3 of 20 targets (15 %) would go at once; confirm with a reload if that is meant"
    )
    assert len(watching.current.targets) == 20
    assert watching.look() is None
    confirmed = watching.look(confirmed=True)
    assert confirmed is not None
    assert confirmed.refused is None
    assert len(watching.current.targets) == 17


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_list_that_is_put_back_ends_the_refusal(lists: Path, confirmed: bool) -> None:
    """Else it would be told as refused for ever."""
    watching = watch(lists)
    write(lists / "a.txt", *twenty(without=3))
    refused = settled(watching)
    assert refused is not None
    assert refused.refused is not None
    write(lists / "a.txt", *twenty())
    change = watching.look(confirmed=True) if confirmed else settled(watching)
    assert change is not None
    assert (change.added, change.removed, change.refused) == (0, 0, None)
    assert watching.look() is None


def test_a_list_that_names_nobody_is_refused_even_when_confirmed(lists: Path) -> None:
    """A service without targets is never what was meant."""
    watching = watch(lists)
    (lists / "a.txt").unlink()
    change = watching.look(confirmed=True)
    assert change is not None
    assert change.refused == "the new target lists name no domain"
    assert len(watching.current.targets) == 20


def test_a_file_that_cannot_be_read_takes_no_target_away(lists: Path) -> None:
    """However few they are."""
    write(lists / "b.txt", "one.example")
    watching = watch(lists)
    (lists / "b.txt").write_bytes(b"\xff\xfeo\x00")
    change = settled(watching)
    assert change is not None
    assert change.refused is not None
    assert "b.txt: the encoding is UTF-16" in change.refused
    assert len(watching.current.targets) == 21


def test_a_file_that_is_suddenly_empty_takes_no_target_away(lists: Path) -> None:
    """Truncated, not deleted: somebody's disk was full."""
    write(lists / "b.txt", "one.example")
    watching = watch(lists)
    (lists / "b.txt").write_text("")
    change = settled(watching)
    assert change is not None
    assert change.refused == f"{lists / 'b.txt'} names no domain any more"


def test_a_file_that_was_deleted_takes_its_few_targets_away(lists: Path) -> None:
    """That is how a list is retired."""
    write(lists / "b.txt", "one.example")
    watching = watch(lists)
    (lists / "b.txt").unlink()
    change = settled(watching)
    assert change is not None
    assert (change.removed, change.refused) == (1, None)


def test_labels_that_change_are_a_change(tmp_path: Path) -> None:
    """The domain stays, its labels are new."""
    file = tmp_path / "a.csv"
    file.write_text("domain,tier\na.example,1\n")
    watching = TargetWatch([str(file)])
    watching.load()
    file.write_text("domain,tier\na.example,22\n")
    change = settled(watching)
    assert change is not None
    assert (change.added, change.removed, change.relabelled) == (0, 0, 1)
    assert watching.current.targets[0].labels == (("tier", "22"),)


def test_a_rewritten_file_with_the_same_content_is_no_change(lists: Path) -> None:
    """Configuration management touches files all the time."""
    watching = watch(lists)
    write(lists / "a.txt", *twenty())
    assert settled(watching) is None


def test_other_paths_are_followed_from_the_next_look(lists: Path, tmp_path: Path) -> None:
    """As a reload of the configuration wants it; the guard against accidents stays."""
    watching = watch(lists)
    other = tmp_path / "other"
    other.mkdir()
    write(other / "a.txt", "one.example")
    watching.follow([str(other)], max_shrink=0.1)
    refused = settled(watching)
    assert refused is not None
    assert refused.refused is not None
    assert len(watching.current.targets) == 20
    change = watching.look(confirmed=True)
    assert change is not None
    assert (change.added, change.removed) == (1, 20)
