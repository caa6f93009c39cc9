"""Odd files where results go or come from: pipes and devices are not waited for nor replaced."""

import os
import stat
from pathlib import Path

import pytest

from exporters.history import HistoryError, last_states
from exporters.prometheus import may_become_textfile, write_textfile
from scanner.model.vocabulary import Profile


def test_metrics_replace_a_regular_file_and_nothing_else(tmp_path: Path) -> None:
    """As root, /dev/null would become a file for everybody."""
    pipe, link, kept = tmp_path / "pipe", tmp_path / "link", tmp_path / "kept"
    os.mkfifo(pipe)
    kept.write_text("kept")
    link.symlink_to(kept)
    for path in pipe, link, tmp_path:
        before = path.lstat().st_ino
        assert not may_become_textfile(path)
        with pytest.raises(FileExistsError, match="not a regular file"):
            write_textfile(path, "new 1\n")
        assert path.lstat().st_ino == before
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert kept.read_text() == "kept"
    assert may_become_textfile(kept)
    assert may_become_textfile(tmp_path / "new")


def test_a_pipe_in_the_history_is_named_and_not_waited_for(tmp_path: Path) -> None:
    """Like any other file there that holds no results."""
    place = tmp_path / "transitions" / "year=2026"
    place.mkdir(parents=True)
    os.mkfifo(place / "x.parquet")
    with pytest.raises(HistoryError, match=r"x\.parquet: damaged.*a pipe"):
        last_states(tmp_path, Profile.EXCHANGE_ONLINE)
