"""Metadata: the archive's ``*.dist-info`` and ``*.egg-info`` for importlib.metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

from lazyimport.errors import ArchiveError
from lazyimport.importing.resources import ArchivePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import DistributionFinder
    from os import PathLike

    from lazyimport.importing.tree import Tree

METADATA_SUFFIXES = (".dist-info", ".egg-info")
#: files that are read of all distributions to find some of them
_READ_OF_ALL = ("METADATA", "PKG-INFO", "entry_points.txt", "RECORD", "top_level.txt")


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

    A context with a path of its own asks only about that path. Where the archive is
    damaged, a distribution that nobody asked for by name is left out, with a warning:
    whoever wants all distributions still gets the others.
    """
    if tree.root not in context.path:
        return
    wanted = None if context.name is None else _normalized(context.name)
    try:
        names = [name for name, _ in tree.archive.children("")]
    except ArchiveError as error:
        _warn(f"the distributions in the archive cannot be listed: {error}")
        return
    for name in names:
        if not name.lower().endswith(METADATA_SUFFIXES):
            continue
        if wanted is None:
            try:
                for file in ("", *_READ_OF_ALL):
                    tree.entry(f"{name}/{file}".rstrip("/"))
            except ArchiveError as error:
                _warn(f"the distribution {name} is left out: {error}")
                continue
        elif _normalized(_project(name)) != wanted:
            continue
        yield ArchiveDistribution(tree, name)


def _warn(text: str) -> None:
    from warnings import warn

    warn(text, RuntimeWarning, stacklevel=3)


def _project(directory: str) -> str:
    """Return the project's part of ``NAME-VERSION.dist-info`` (PEP 427, 376)."""
    return directory.rpartition(".")[0].partition("-")[0]


def _normalized(name: str) -> str:
    """Return the name as PEP 503 has it, with underscores as in file names."""
    return re.sub(r"[-_.]+", "-", name).lower().replace("-", "_")
