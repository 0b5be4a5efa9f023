"""Namespaces: resources of directories without ``__init__.py``, in archive and on disk.

Python's own reader of them wants directories. Where none can be made, as in a node
cache that cannot be written, an `ArchivePath` stands in for it.
"""

from __future__ import annotations

import os

from lazyimport.importing.resources import ArchivePath, Traversable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NoReturn

    from lazyimport.importing.tree import Tree


def directory_of(tree: Tree, namespace_path: Iterable[str]) -> Traversable | None:
    """Return the directories of a namespace as one, if not all of them are on disk."""
    portions = [_portion(tree, path) for path in namespace_path]
    is_namespace = "NamespacePath" in str(namespace_path)
    if not (is_namespace and any(isinstance(each, ArchivePath) for each in portions)):
        return None
    return portions[0] if len(portions) == 1 else Portions(*portions)


def resource_path(directory: object, resource: str) -> str | None:
    """Return the path of a resource, if *directory* is one that `directory_of` made.

    Raises FileNotFoundError if it is in the archive only, so that a copy is made.
    """
    if not isinstance(directory, (ArchivePath, Portions)):
        return None
    found = directory.joinpath(resource)
    if isinstance(found, ArchivePath):
        raise FileNotFoundError(resource)
    return str(found)


def _portion(tree: Tree, path: str) -> Traversable:
    """Return the directory *path*: in the archive, if it is there and not on disk."""
    from pathlib import Path

    inner = tree.relative(path)
    if inner is None or os.path.isdir(path) or not tree.is_directory(inner):
        return Path(path)
    return ArchivePath(tree, inner)


class Portions(Traversable):
    """The directories *portions* as one, as `importlib.readers.MultiplexedPath` is."""

    def __init__(self, *portions: Traversable) -> None:
        self._portions = portions

    @property
    def name(self) -> str:
        """The last component."""
        return self._portions[0].name

    def iterdir(self) -> Iterator[Traversable]:
        """Yield what lies in the directories, each name once."""
        names = {each.name for one in self._portions for each in one.iterdir()}
        yield from map(self.joinpath, sorted(names))

    def is_dir(self) -> bool:
        """Return True."""
        return True

    def is_file(self) -> bool:
        """Return False."""
        return False

    def joinpath(self, *descendants: Any) -> Traversable:
        """Return what is below, in the first directory that has it.

        Directories of one name are one again.
        """
        if not descendants:
            return self
        below = [one.joinpath(*map(str, descendants)) for one in self._portions]
        found = [each for each in below if each.is_dir() or each.is_file()]
        if not found or found[0].is_file():
            return [*found, *below][0]
        folders = [each for each in found if each.is_dir()]
        return folders[0] if len(folders) == 1 else Portions(*folders)

    __truediv__ = joinpath

    def open(self, *_: Any, **__: Any) -> NoReturn:
        """Raise FileNotFoundError, as all that reads does."""
        raise FileNotFoundError(f"{self} is not a file")

    def read_bytes(self) -> bytes:
        """Raise FileNotFoundError."""
        return self.open()

    def read_text(self, encoding: str | None = None) -> str:  # noqa: ARG002
        """Raise FileNotFoundError."""
        return self.open()

    def __repr__(self) -> str:
        return f"Portions({', '.join(repr(str(each)) for each in self._portions)})"
