"""Metadata: the archive's ``*.dist-info`` and ``*.egg-info`` for importlib.metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

from lazyimport.importing.resources import ArchivePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import DistributionFinder
    from os import PathLike

    from lazyimport.importing.tree import Tree

METADATA_SUFFIXES = (".dist-info", ".egg-info")


class ArchiveDistribution(Distribution):
    """A distribution whose metadata directory (or file) is at *path* of the tree."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._inside = ArchivePath(tree, path)
        self._root = tree.root
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
        # `importlib.metadata.distributions` asks all of them, to tell them apart.
        # Metadata would have to be parsed for each, and the machinery's own class
        # does not look at it either.
        return _normalized(_project(self._path.name))

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Return where the distribution's file *path* is, or will be when opened."""
        return Path(self._root, path)


def find_distributions(
    tree: Tree, context: DistributionFinder.Context
) -> Iterator[ArchiveDistribution]:
    """Yield the archive's distributions that *context* asks for.

    A context with a path of its own asks only about that path.
    """
    if tree.root not in context.path:
        return
    wanted = None if context.name is None else _normalized(context.name)
    for name, _ in tree.archive.children(""):
        if name.lower().endswith(METADATA_SUFFIXES) and (
            wanted is None or _normalized(_project(name)) == wanted
        ):
            yield ArchiveDistribution(tree, name)


def _project(directory: str) -> str:
    """Return the project's part of ``NAME-VERSION.dist-info`` (PEP 427, 376)."""
    return directory.rpartition(".")[0].partition("-")[0]


def _normalized(name: str) -> str:
    """Return the name as PEP 503 has it, with underscores as in file names."""
    return re.sub(r"[-_.]+", "-", name).lower().replace("-", "_")
