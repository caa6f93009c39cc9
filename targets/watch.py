"""Notices that target lists have changed, and refuses a change that looks like an accident.

Rules:

- A list is read again when any file that its paths stand for has come, gone or changed (name, size,
  time, inode), and only once two looks in a row show the same: a file that is being written is not
  read half.
- A new list is refused, and the old one stays, when a file cannot be read at all or holds no
  target any more, or when more than a tenth of the targets would go: half a file must not end half
  of the checks. A confirmed look (the operator asked for a reload) takes it as it is.
- Lines that name no target are reported, and the rest counts, as when the list was first read.

Everything here may block on disk.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.model.ports import Target
from targets.load import files_of, load_targets
from targets.results import TargetLimits, TargetList

DEFAULT_MAX_SHRINK = 0.1
"""The share of targets that may go at once; ours, from the public contract."""

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChange:
    """A look that found something new. ``refused`` is a sentence when the old list stays."""

    loaded: TargetList
    added: int
    removed: int
    relabelled: int
    refused: str | None = None


class TargetWatch:
    """Keeps the current target list. Not for several threads at once."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        max_shrink: float = DEFAULT_MAX_SHRINK,
        limits: TargetLimits | None = None,
    ) -> None:
        """``max_shrink`` is a share from 0 to 1."""
        self._paths = tuple(paths)
        self._max_shrink = max_shrink
        self._limits = limits or TargetLimits()
        self._seen: Fingerprint = ()
        self._unsettled: Fingerprint | None = None
        self._refused = False
        self.current = TargetList()

    def load(self) -> TargetList:
        """Read the lists for the first time, or take them as they are; return the new list."""
        self._seen = fingerprint(self._paths, self._limits)
        self._unsettled = None
        self._refused = False
        self.current = load_targets(self._paths, self._limits)
        return self.current

    def follow(self, paths: Sequence[str], *, max_shrink: float) -> None:
        """Watch other paths from the next look on; the present list stays until then."""
        self._paths = tuple(paths)
        self._max_shrink = max_shrink

    def look(self, *, confirmed: bool = False) -> TargetChange | None:
        """Return what has changed since the last look, or None; the end of a refusal is a change.

        ``confirmed`` reads at once, and takes a list that would be refused otherwise, unless it
        names no domain at all.
        """
        now = fingerprint(self._paths, self._limits)
        if not confirmed:
            if now == self._seen:
                self._unsettled = None
                return None
            if now != self._unsettled:
                self._unsettled = now
                return None
        self._seen, self._unsettled = now, None
        loaded = load_targets(self._paths, self._limits)
        change = compare(self.current, loaded, max_shrink=self._max_shrink, confirmed=confirmed)
        if change is None and self._refused:  # the old list was put back: nothing is refused now
            change = TargetChange(loaded=loaded, added=0, removed=0, relabelled=0)
        self._refused = change is not None and change.refused is not None
        if change is not None and change.refused is None:
            self.current = loaded
        return change


def compare(
    old: TargetList, new: TargetList, *, max_shrink: float, confirmed: bool = False
) -> TargetChange | None:
    """Return how ``new`` differs from ``old`` and whether that is refused; None if not at all."""
    if old == new:
        return None
    before = {target.domain: target.labels for target in old.targets}
    after = {target.domain: target.labels for target in new.targets}
    removed = len(before.keys() - after.keys())
    return TargetChange(
        loaded=new,
        added=len(after.keys() - before.keys()),
        removed=removed,
        relabelled=sum(before[domain] != after[domain] for domain in before.keys() & after.keys()),
        refused=_why_refused(old, new, removed, max_shrink, confirmed),
    )


def _why_refused(
    old: TargetList, new: TargetList, removed: int, max_shrink: float, confirmed: bool
) -> str | None:
    if old.targets and not new.targets:
        return "the new target lists name no domain"
    if confirmed or not removed:
        return None
    unreadable = [problem for problem in new.problems if problem.line is None]
    if unreadable:
        return f"{removed:,} targets would go because of {unreadable[0]}"
    empty = sorted(_sources(old.targets) - _sources(new.targets))
    if empty and empty[0] in new.files:
        return f"{empty[0]} names no domain any more"
    if removed > max_shrink * len(old.targets):
        share = 100 * removed / len(old.targets)
        return (
            f"{removed:,} of {len(old.targets):,} targets ({share:.0f} %) would go at once; "
            "confirm with a reload if that is meant"
        )
    return None


def _sources(targets: Sequence[Target]) -> set[str]:
    return {target.source.rpartition(":")[0] for target in targets}


def fingerprint(paths: Sequence[str], limits: TargetLimits | None = None) -> Fingerprint:
    """Return what identifies the present content of the files that ``paths`` stand for."""
    marks = []
    for file in files_of(paths, limits or TargetLimits()):
        try:
            status = os.stat(file)
        except OSError:
            marks.append((str(file), -1, -1, -1))
            continue
        marks.append((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)
