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


def reader_class(real: Any, tree: Tree) -> Any:
    """Return a subclass of *real*, a NamespaceReader, that knows the archive of *tree*.

    It is as *real* for namespaces all of whose directories are on disk.
    """

    class NamespaceReader(real):  # type: ignore[misc]
        def __init__(self, namespace_path: Iterable[str]) -> None:
            portions = [_portion(tree, path) for path in namespace_path]
            is_namespace = "NamespacePath" in str(namespace_path)
            if not (is_namespace and _are_away(portions)):
                super().__init__(namespace_path)
            else:
                self.path = portions[0] if len(portions) == 1 else Portions(*portions)

        def resource_path(self, resource: str) -> str:
            if isinstance(self.path, (ArchivePath, Portions)):
                found = self.path.joinpath(resource)
                if isinstance(found, ArchivePath):
                    raise FileNotFoundError(resource)  # so a copy is made
                return str(found)
            path: str = super().resource_path(resource)
            return path

    return NamespaceReader


def _portion(tree: Tree, path: str) -> Traversable:
    """Return the directory *path*: in the archive, if it is there and not on disk."""
    from pathlib import Path

    inner = tree.relative(path)
    if inner is None or os.path.isdir(path) or not tree.is_directory(inner):
        return Path(path)
    return ArchivePath(tree, inner)


def _are_away(portions: list[Traversable]) -> bool:
    return any(isinstance(portion, ArchivePath) for portion in portions)


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
