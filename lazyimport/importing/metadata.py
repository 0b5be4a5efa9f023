"""Metadata: the archive's ``*.dist-info`` and ``*.egg-info`` for importlib.metadata.

It is read from memory: programs ask for the versions of all that they import.
"""

from __future__ import annotations

import io
import re
import sys
from functools import cache
from pathlib import Path
from posixpath import normpath

from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution, DistributionFinder
    from os import PathLike
    from typing import Any

    from lazyimport.importing.tree import Tree

    Warn = Callable[[str], object]

_SUFFIXES = (".dist-info", ".egg-info")
#: hash of an archive -> names of its distributions
_listed: dict[str, list[str]] = {}


def find_distributions(
    tree: Tree, context: DistributionFinder.Context
) -> Iterator[Distribution]:
    """Yield the archive's distributions that *context* asks for.

    They are of a class of the module that asks, which may be the backport
    importlib_metadata. A context with a path of its own asks only about that path.
    Where the archive is damaged, a distribution that nobody asked for by name is left
    out, or lacks a file, with a warning: whoever wants all distributions still gets the
    others.
    """
    if tree.is_real or not any(_is_root(tree, path) for path in context.path):
        return
    kind = _kind(sys.modules[type(context).__module__])
    wanted = None if context.name is None else _normalized(context.name)
    try:
        names = _names(tree)
    except errors.ArchiveError as error:
        tree.warn(f"the distributions in the archive cannot be listed: {error}")
        return
    for name in names:
        if wanted is None:
            with_its_name = "PKG-INFO" if name.endswith(_SUFFIXES[1]) else "METADATA"
            try:
                tree.archive.index.check(f"{name}/{with_its_name}")
            except errors.ArchiveError as error:
                tree.warn(f"the distribution {name} is left out: {error}")
                continue
        elif _normalized(_project(name)) != wanted:
            continue
        yield kind(tree, name, tree.warn if wanted is None else None)


def _is_root(tree: Tree, path: object) -> bool:
    return isinstance(path, str) and path != "" and tree.followed(path) == ""


def _names(tree: Tree) -> list[str]:
    """Return what is named like a distribution at the top of the archive."""
    if tree.hash not in _listed:
        names = [name for name, _ in tree.archive.children("")]
        _listed[tree.hash] = [n for n in names if n.lower().endswith(_SUFFIXES)]
    return _listed[tree.hash]


@cache
def _kind(metadata: Any) -> Any:
    class ArchiveDistribution(metadata.PathDistribution):  # type: ignore[misc]
        """A distribution whose metadata directory (or file) is *name* in an archive."""

        def __init__(self, tree: Tree, name: str, warn: Warn | None) -> None:
            super().__init__(Path(tree.inside + name))
            self._tree = tree
            self._name = name
            self._warn = warn

        def read_text(self, filename: str | PathLike[str]) -> str | None:
            """Return a metadata file's text, or None if there is none of that name."""
            inner = normpath(f"{self._name}/{filename}")
            path = self._tree.inside + inner
            try:
                entry = self._tree.entry(inner)
            except errors.ArchiveError as error:
                if self._warn is None:
                    raise
                self._warn(f"{path} cannot be looked up: {error}")
                entry = None
            if entry is None or entry.is_directory:
                return None
            data = io.BytesIO(self._tree.data(inner, path))
            return io.TextIOWrapper(data, encoding="utf-8").read()

    return ArchiveDistribution


def _project(directory: str) -> str:
    """Return the project's part of ``NAME-VERSION.dist-info`` (PEP 427, 376)."""
    return directory.rpartition(".")[0].partition("-")[0]


def _normalized(name: str) -> str:
    """Return the name as PEP 503 has it, with underscores as in file names."""
    return re.sub(r"[-_.]+", "-", name).lower().replace("-", "_")
