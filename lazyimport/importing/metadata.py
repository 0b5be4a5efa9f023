"""Metadata: the archive's ``*.dist-info`` and ``*.egg-info`` for importlib.metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from os import listdir
from os.path import normpath
from pathlib import Path

from lazyimport.cache.layout import metadata_path
from lazyimport.cache.materialize import files_under
from lazyimport.importing.resources import ArchivePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import DistributionFinder
    from os import PathLike
    from typing import Any

    from lazyimport.importing.tree import Tree

__all__ = ["ArchiveDistribution", "find_distributions", "located"]

# Path itself cannot be subclassed up to Python 3.11.
_ConcretePath: Any = type(Path())

_SUFFIXES = (".dist-info", ".egg-info")


class ArchiveDistribution(Distribution):
    """A distribution whose metadata directory (or file) is at *path* of the tree."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._inside = ArchivePath(tree, path)
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
        return located(self._tree)(self._tree.root, path)


def located(tree: Tree) -> type[LocatedFile]:
    """Return the class of paths into *tree*: what is joined to one is one as well."""
    if tree.located is None:
        tree.located = type("LocatedFile", (LocatedFile,), {"tree": tree})
    return tree.located


class LocatedFile(_ConcretePath):  # type: ignore[misc]
    """The path of an archive's file, which is put there when somebody opens it."""

    tree: Tree | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the plain path."""
        return _ConcretePath, (str(self),)

    def exists(self, **_: object) -> bool:
        """Whether the archive has the file, or the disk."""
        return (self.tree is not None and self.tree.at(str(self)) is not None) or (
            super().exists()
        )

    def iterdir(self) -> Iterator[LocatedFile]:
        """Yield what lies in the directory; pathlib would list it by its name."""
        for name in listdir(self):
            yield self / name

    def resolve(self, strict: bool = False) -> LocatedFile:  # noqa: ARG002, FBT
        """Return the path without dots; there are no symbolic links in a tree."""
        return type(self)(normpath(str(self)))

    def __fspath__(self) -> str:
        """Return where the file is; it is put there.

        Metadata is put beside the tree, not in it: what lies in an entry of
        ``sys.path`` is found by the path finder, which would list a distribution
        again that the archive has listed.
        """
        path = str(self)
        tree = self.tree
        if tree is None:
            return path
        inner = tree.relative(path) or ""
        if inner.partition("/")[0].lower().endswith(_SUFFIXES):
            return _beside(tree, inner)
        if not tree.write(path) and inner and tree.is_directory(inner):
            tree.materialize(inner.partition("/")[0])
        return path


def _beside(tree: Tree, inner: str) -> str:
    place = metadata_path(tree.root, inner)
    if tree.is_directory(inner):
        for entry in files_under(tree, inner):
            tree.write(tree.inside + entry.path, metadata_path(tree.root, entry.path))
    elif not tree.write(tree.inside + inner, place):
        return tree.inside + inner
    return place


def find_distributions(
    tree: Tree, context: DistributionFinder.Context
) -> Iterator[ArchiveDistribution]:
    """Yield the archive's distributions that *context* asks for.

    A context with a path of its own asks only about that path.
    """
    if tree.root not in context.path:
        return
    wanted = None if context.name is None else _normalized(context.name)
    for name, _ in tree.children(""):
        if name.lower().endswith(_SUFFIXES) and (
            wanted is None or _normalized(_project(name)) == wanted
        ):
            yield ArchiveDistribution(tree, name)


def _project(directory: str) -> str:
    """Return the project's part of ``NAME-VERSION.dist-info`` (PEP 427, 376)."""
    return directory.rpartition(".")[0].partition("-")[0]


def _normalized(name: str) -> str:
    """PEP 503, with underscores as in file names."""
    return re.sub(r"[-_.]+", "-", name).lower().replace("-", "_")
