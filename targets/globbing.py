"""Which paths a glob stands for, within a bound on the work.

Why not ``glob.iglob``: its ``**`` follows symbolic links to directories, so that one link to ``/``
reads the whole machine and a few links to a parent never end; and it says nothing until it is done.

The rules are otherwise those of the shell: ``*``, ``?`` and ``[...]`` match within one component
and no leading dot unless the pattern has one; ``**`` as a whole component stands for any number of
directories, links to directories left out. Directories are listed once each.
"""

import fnmatch
import glob
import os
from collections.abc import Iterator


class TooManyEntriesError(Exception):
    """The directories that the pattern reaches hold more entries than are looked at."""


def matches(pattern: str, *, max_entries: int) -> list[str]:
    """Return the paths that ``pattern`` stands for, directories included, sorted.

    Raises TooManyEntriesError once more than ``max_entries`` entries of directories were seen.
    A directory that cannot be read has no entries.
    """
    anchor = "/" if pattern.startswith("/") else ""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part and not (part == "**" and parts[-1:] == ["**"]):
            parts.append(part)
    found: set[str] = set()
    seen: set[tuple[str, int]] = set()
    listed = _Listing(max_entries)
    waiting = [(anchor, 0)]
    while waiting:
        path, index = waiting.pop()
        if (path, index) in seen:
            continue
        seen.add((path, index))
        if index == len(parts):
            found.add(path)
        else:
            waiting.extend(_steps(path, parts, index, listed))
    return sorted(found - {"", "/"})


def _steps(
    path: str, parts: list[str], index: int, listed: "_Listing"
) -> Iterator[tuple[str, int]]:
    """Yield the paths one component further, each with the index of the part to match next."""
    part = parts[index]
    is_last = index + 1 == len(parts)
    if part == "**":
        yield path, index + 1
        for entry in listed.entries(path):
            if entry.name.startswith("."):
                continue
            if _is_directory(entry, follow=False):
                yield os.path.join(path, entry.name), index
            elif is_last:
                yield os.path.join(path, entry.name), index + 1
        return
    if not glob.has_magic(part):
        joined = os.path.join(path, part)
        if os.path.lexists(joined):
            yield joined, index + 1
        return
    for entry in listed.entries(path):
        if entry.name.startswith(".") and not part.startswith("."):
            continue
        if fnmatch.fnmatchcase(entry.name, part) and (is_last or _is_directory(entry, follow=True)):
            yield os.path.join(path, entry.name), index + 1


class _Listing:
    """Lists directories, and counts what they hold."""

    def __init__(self, max_entries: int) -> None:
        self._left = max_entries

    def entries(self, path: str) -> Iterator["os.DirEntry[str]"]:
        try:
            with os.scandir(path or ".") as found:
                for entry in found:
                    self._left -= 1
                    if self._left < 0:
                        raise TooManyEntriesError
                    yield entry
        except OSError:
            return


def _is_directory(entry: "os.DirEntry[str]", *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False
