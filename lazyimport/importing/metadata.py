"""Metadata: the archive's ``*.dist-info`` and ``*.egg-info`` for importlib.metadata."""

from __future__ import annotations

import re
from functools import partial
from importlib.metadata import Distribution
from os import listdir
from os.path import normpath
from pathlib import Path

from lazyimport.cache.materialize import METADATA_SUFFIXES
from lazyimport.importing.resources import ArchivePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import DistributionFinder
    from os import PathLike
    from typing import Any

    from lazyimport.importing.tree import Tree

__all__ = ["ArchiveDistribution", "find_distributions"]

# Path itself cannot be subclassed up to Python 3.11.
_ConcretePath: Any = type(Path())


class ArchiveDistribution(Distribution):
    """A distribution whose metadata directory (or file) is at *path* of the tree.

    *located* is the class of paths into the tree.
    """

    def __init__(self, tree: Tree, path: str, located: type[LocatedFile]) -> None:
        self._inside = ArchivePath(tree, path)
        self._locate = partial(located, tree.root)
        # importlib.metadata takes this from distributions of an .egg-info
        self._path = self.locate_file(path)

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        """Return a metadata file's text, or None if there is none of that name."""
        path = self._inside.joinpath(filename)
        if not self._inside.is_dir():  # an .egg-info that is one file
            path = self._inside
            if str(filename) not in {"PKG-INFO", ""}:
                return None
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @property
    def _normalized_name(self) -> str:
        # By this `importlib.metadata.distributions` tells them apart, so it is asked
        # of all there are; the metadata itself would cost a parse for each, and the
        # machinery's own class does not look at it either.
        return _normalized(_project(self._path.name))

    def locate_file(self, path: str | PathLike[str]) -> LocatedFile:
        """Return where the distribution's file *path* is, or will be when opened."""
        return self._locate(path)


class LocatedFile(_ConcretePath):  # type: ignore[misc]
    """The path of an archive's file, which is put there when somebody opens it.

    A subclass for each tree has it as ``tree``: what is joined to a path is of its
    class, and knows nothing else of it.
    """

    tree: Tree

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the plain path."""
        return _ConcretePath, (str(self),)

    def exists(self, **_: object) -> bool:
        """Return whether the archive has the file, or the disk."""
        return self.tree.at(str(self)) is not None or super().exists()

    def iterdir(self) -> Iterator[LocatedFile]:
        """Yield what lies in the directory; pathlib would list it by its name."""
        for name in listdir(self):
            yield self / name

    def resolve(self, strict: bool = False) -> LocatedFile:  # noqa: ARG002, FBT
        """Return the path without dots; there are no symbolic links in a tree."""
        return type(self)(normpath(str(self)))

    def __fspath__(self) -> str:
        """Return where the file is; it is put there."""
        path = str(self)
        return self.tree.put(path) or path


def find_distributions(
    tree: Tree, context: DistributionFinder.Context
) -> Iterator[ArchiveDistribution]:
    """Yield the archive's distributions that *context* asks for.

    A context with a path of its own asks only about that path.
    """
    if tree.root not in context.path:
        return
    located = type("LocatedFile", (LocatedFile,), {"tree": tree})
    wanted = None if context.name is None else _normalized(context.name)
    for name, _ in tree.archive.children(""):
        if name.lower().endswith(METADATA_SUFFIXES) and (
            wanted is None or _normalized(_project(name)) == wanted
        ):
            yield ArchiveDistribution(tree, name, located)


def _project(directory: str) -> str:
    """Return the project's part of ``NAME-VERSION.dist-info`` (PEP 427, 376)."""
    return directory.rpartition(".")[0].partition("-")[0]


def _normalized(name: str) -> str:
    """PEP 503, with underscores as in file names."""
    return re.sub(r"[-_.]+", "-", name).lower().replace("-", "_")
