"""Resources: data files of the archive for `importlib.resources`.

Code that asks for resources gets real files, put on disk at that moment, as it would
from a directory. An `ArchivePath` stands in where none can be put there, or where the
package is configured to stay in memory.
"""

from __future__ import annotations

import io
import os
import sys
from errno import ENOENT, ENOTDIR
from pathlib import Path

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable, TraversableResources
else:
    from importlib.abc import Traversable, TraversableResources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from lazyimport.importing.tree import Tree

__all__ = ["ArchivePath", "ArchiveResources", "Traversable"]


class ArchiveResources(TraversableResources):
    """The resource reader of the modules that lie in the directory *folder*."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder

    def files(self) -> Traversable:
        """Return the directory: a real one if that is possible."""
        top = self._folder.partition("/")[0]
        if self._tree.stays_in_memory(top) or self._tree.put_package(top) is not None:
            return ArchivePath(self._tree, self._folder)
        return Path(f"{self._tree.place}/{self._folder}")

    def resource_path(self, resource: str) -> str:
        """Return the path of the file *resource*; FileNotFoundError if none."""
        path = self.files().joinpath(resource)
        if not isinstance(path, Path):
            raise FileNotFoundError(resource)
        return str(path)


class ArchivePath(Traversable):
    """A file or directory inside an archive, *path* relative to the tree's root.

    Behaves as `pathlib.Path` does for reading, also in what it raises.
    """

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._path = path

    @property
    def name(self) -> str:
        """The last component."""
        return (self._path or self._tree.root).rpartition("/")[2]

    def iterdir(self) -> Iterator[ArchivePath]:
        """Yield what lies in the directory."""
        if not self.is_dir():
            code = ENOTDIR if self.is_file() else ENOENT
            raise OSError(code, os.strerror(code), str(self))
        for name, _ in self._tree.archive.children(self._path):
            yield self.joinpath(name)

    def is_dir(self) -> bool:
        """Return whether this is a directory."""
        return self._tree.is_directory(self._path)

    def is_file(self) -> bool:
        """Return whether this is a file."""
        entry = self._tree.entry(self._path)
        return entry is not None and not entry.is_directory

    def joinpath(self, *descendants: Any) -> ArchivePath:
        """Return the path below this one; segments may have several components."""
        parts = [part for part in self._path.split("/") if part]
        for segment in descendants:
            for part in str(segment).split("/"):
                if part == "..":
                    parts = parts[:-1]
                elif part not in {"", "."}:
                    parts.append(part)
        return ArchivePath(self._tree, "/".join(parts))

    __truediv__ = joinpath

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        """Return the file, open for reading, in text or binary mode."""
        if set(mode) - set("rbt") or "r" not in mode:
            raise ValueError(f"a file of an archive opens for reading only: {mode!r}")
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, *args, **kwargs)

    def read_bytes(self) -> bytes:
        """Return the bytes of the file; OSError if none, or they are damaged."""
        return self._tree.data(self._path, str(self))

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the text of the file, decoded, with universal newlines."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            return file.read()  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArchivePath):
            return NotImplemented
        return (self._tree.hash, self._path) == (other._tree.hash, other._path)

    def __hash__(self) -> int:
        return hash((self._tree.hash, self._path))

    def __str__(self) -> str:
        return (self._tree.inside + self._path).rstrip("/")

    def __repr__(self) -> str:
        return f"ArchivePath({str(self)!r})"
