"""Where a history lies when several machines write it: a shared directory, or an object store.

A place is named by a path or by a URI that pyarrow understands (``file:///srv/history``,
``s3://bucket/prefix``, ``gs://…``, ``abfs://…``, ``hdfs://…``). It can be sent to another process:
the file system behind it is opened where it is used.

Rules:

- A file of the history appears whole or not at all: in a directory by a temporary name, a sync and
  a rename, in an object store by one upload, elsewhere by a temporary name and a move.
- Publishing again what stands there already, octet for octet, is no error and changes nothing; a
  file with other content is never replaced.
- What is staged is for the pass alone: not synced, and under a name that begins with a dot.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from exporters.history import files
from exporters.history.files import HistoryError

if TYPE_CHECKING:
    import pyarrow.fs

OBJECT_STORES = frozenset({"s3", "gcs", "abfs", "mock-store"})
"""File systems of pyarrow (``type_name``) whose files appear whole when they are closed."""
READERS = 16
"""Ranges read from an object store at a time."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, or a prefix in an object store; ``uri`` names it for any machine."""

    uri: str

    @property
    def directory(self) -> Path | None:
        """The directory, where it is one that this machine sees."""
        parts = urlsplit(self.uri)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def __str__(self) -> str:
        return self.uri if self.directory is None else str(self.directory)

    def check(self) -> None:
        """Make the place if needed. Raises HistoryError when it cannot be used."""
        system, top = self._opened("open")
        self._guard("open", "", lambda: system.create_dir(top, recursive=True))

    def publish(self, name: str, data: bytes, *, owner: str) -> None:
        """Put ``data`` at ``name``, whole and durable; again is no error. Raises HistoryError."""
        standing = self.read_if_there(name)
        if standing == data:
            return
        if standing is not None:
            raise self._error("write", name, "another file of that name stands there")
        if self.directory is not None:
            path = self.directory / name
            files.write_whole(path.parent, path.name, data, owner=owner)
            return
        system, _ = self._opened("write")
        if system.type_name in OBJECT_STORES:
            self._guard("write", name, lambda: self._upload(system, self._path(name), data))
        else:
            self._guard("write", name, lambda: self._write_and_move(system, name, data, owner))

    def stage(self, name: str, data: bytes) -> None:
        """Put ``data`` at ``name``, whole, in place of what stood there. Raises HistoryError."""
        system, _ = self._opened("write")
        if system.type_name in OBJECT_STORES:
            self._guard("write", name, lambda: self._upload(system, self._path(name), data))
        else:
            owner = secrets.token_hex(4)
            self._guard("write", name, lambda: self._write_and_move(system, name, data, owner))

    def read(self, name: str) -> bytes:
        """Return what stands at ``name``. Raises HistoryError."""
        data = self.read_if_there(name)
        if data is None:
            raise self._error("read", name, "it is not there")
        return data

    def read_if_there(self, name: str) -> bytes | None:
        """Return what stands at ``name``, None where there is nothing. Raises HistoryError."""
        system, _ = self._opened("read")

        def read() -> bytes | None:
            with contextlib.suppress(FileNotFoundError), _input(system, self._path(name)) as stream:
                return bytes(stream.read())
            return None

        return self._guard("read", name, read)

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the octets at each (offset, length) of ``name``. Raises HistoryError."""
        system, _ = self._opened("read")

        def read() -> list[bytes]:
            with _input(system, self._path(name)) as stream:
                if system.type_name not in OBJECT_STORES:
                    return [bytes(stream.read_at(length, offset)) for offset, length in ranges]
                with ThreadPoolExecutor(READERS) as pool:
                    parts = pool.map(lambda one: stream.read_at(one[1], one[0]), ranges)
                    return [bytes(part) for part in parts]

        return self._guard("read", name, read)

    def names(self, name: str) -> list[str]:
        """Return the names of all files below ``name``; none if it is not there."""
        import pyarrow.fs

        system, top = self._opened("list")
        selector = pyarrow.fs.FileSelector(self._path(name), allow_not_found=True, recursive=True)
        found = self._guard("list", name, lambda: system.get_file_info(selector))
        return sorted(
            str(PurePosixPath(one.path).relative_to(top))
            for one in found
            if one.type == pyarrow.fs.FileType.File
        )

    def remove(self, name: str) -> None:
        """Remove everything below ``name``; nothing there is fine. Raises HistoryError."""
        system, _ = self._opened("remove")
        with contextlib.suppress(FileNotFoundError):
            self._guard("remove", name, lambda: system.delete_dir(self._path(name)))

    def input_file(self, name: str) -> Any:
        """Return an open file that pyarrow reads. Raises HistoryError."""
        system, _ = self._opened("read")
        return self._guard("read", name, lambda: system.open_input_file(self._path(name)))

    def _opened(self, action: str) -> "tuple[pyarrow.fs.FileSystem, str]":
        return self._guard(action, "", lambda: _open(self.uri))

    def _path(self, name: str) -> str:
        _, top = _open(self.uri)
        return f"{top}/{name}" if name else top

    def _upload(self, system: "pyarrow.fs.FileSystem", path: str, data: bytes) -> None:
        with system.open_output_stream(path) as stream:
            stream.write(data)

    def _write_and_move(
        self, system: "pyarrow.fs.FileSystem", name: str, data: bytes, owner: str
    ) -> None:
        final = PurePosixPath(self._path(name))
        temporary = str(final.with_name(f".{owner}~{final.name}{files.TEMPORARY_SUFFIX}"))
        system.create_dir(str(final.parent), recursive=True)
        with system.open_output_stream(temporary) as stream:
            stream.write(data)
        system.move(temporary, str(final))

    def _guard(self, action: str, name: str, do: Callable[[], _T]) -> _T:
        """Return what ``do`` returns; what the file system raises becomes one sentence."""
        import pyarrow

        try:
            return do()
        except FileNotFoundError:
            if action == "remove":
                raise
            raise self._error(action, name, "it is not there") from None
        except HistoryError:
            raise
        except (OSError, pyarrow.ArrowException) as error:
            raise self._error(action, name, str(error).splitlines()[0]) from error

    def _error(self, action: str, name: str, reason: str) -> HistoryError:
        where = f"{self}/{name}" if name else str(self)
        return HistoryError(f"cannot {action} {where}: {reason}", path=Path(where))


def place_of(text: str) -> Place:
    """Return the place that ``text`` names: a URI, or a path from where we are.

    Raises ValueError with a sentence for an operator.
    """
    if "://" not in text:
        return Place(Path(os.path.abspath(text)).as_uri())
    if urlsplit(text).scheme == "file" and not urlsplit(text).path.startswith("/"):
        raise ValueError(f"{text}: write file:///absolute/path")
    return Place(text.rstrip("/"))


@lru_cache(maxsize=8)
def _open(uri: str) -> "tuple[pyarrow.fs.FileSystem, str]":
    import pyarrow.fs

    system, path = pyarrow.fs.FileSystem.from_uri(uri)
    return system, path.rstrip("/")


@contextlib.contextmanager
def _input(system: "pyarrow.fs.FileSystem", path: str) -> Iterator[Any]:
    with system.open_input_file(path) as stream:
        yield stream
