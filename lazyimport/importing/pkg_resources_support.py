"""Support of `pkg_resources`, which came with setuptools before version 82.

It looks up what to do by the classes of finders and loaders, and does nothing for
classes that it does not know. The loader of extension modules is not registered: that
of a directory is not either.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from lazyimport.importing.finder import ArchivePathFinder
from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.metadata import METADATA_SUFFIXES
from lazyimport.importing.resources import ArchivePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    from lazyimport.importing.changes import Changes
    from lazyimport.importing.tree import Tree


def support(pkg_resources: Any, tree: Tree, changes: Changes) -> None:
    """Let *pkg_resources* see the distributions and resources of *tree*.

    What is registered there cannot be taken back, and belongs to no tree: modules that
    stay after `uninstall` keep their resources.
    """
    known = pkg_resources.working_set
    before = dict(known.by_key)
    _register(pkg_resources)
    normalize_path = _sparing(tree, pkg_resources.normalize_path)
    changes.replace(pkg_resources, "normalize_path", normalize_path)
    changes.at_undo(lambda: _forget(known, tree.root, before))
    _activate(pkg_resources, tree.root)


def _register(pkg_resources: Any) -> None:
    """Tell *pkg_resources* what to do for our finders and loaders."""
    kind = type("ArchiveProvider", (_Provider, pkg_resources.PathMetadata), {})
    pkg_resources.register_finder(
        ArchivePathFinder, partial(_distributions, pkg_resources, kind)
    )
    pkg_resources.register_namespace_handler(
        ArchivePathFinder, pkg_resources.file_ns_handler
    )
    pkg_resources.register_loader_type(
        ArchiveLoader, partial(_provider, pkg_resources, kind)
    )


def _distributions(
    pkg_resources: Any,
    kind: type[_Provider],
    importer: ArchivePathFinder,
    place: str,
    only: bool = False,  # noqa: ARG001 - no eggs either
) -> Iterator[Any]:
    """Yield the distributions in a directory as `pkg_resources.find_on_path` does."""
    tree, place = importer.tree, importer.path
    for name, is_folder in tree.archive.children(tree.relative(place) or ""):
        path = f"{place}/{name}"
        if is_folder and name.lower().endswith(METADATA_SUFFIXES):
            metadata = kind(tree, place, path)
        elif name.lower().endswith(".egg-info"):
            metadata = pkg_resources.FileMetadata(path)
        else:
            continue
        yield pkg_resources.Distribution.from_location(
            place, name, metadata, precedence=pkg_resources.DEVELOP_DIST
        )


def _provider(pkg_resources: Any, kind: type[_Provider], module: Any) -> Any:
    """Return what provides the files beside *module*, on disk where that may be."""
    loader: ArchiveLoader = module.__loader__
    files: Any = loader.get_resource_reader()
    if isinstance(files.files(), Path):
        return pkg_resources.DefaultProvider(module)
    return kind(loader._tree, os.path.dirname(loader.path))  # noqa: SLF001


class _Provider:
    """Provides what need not be on disk; with a `pkg_resources.PathMetadata` behind it.

    Resources lie in *folder*, metadata in the directory *egg_info* if there is one.
    """

    _fn: Callable[[str, str], str]  # inherited: joins a folder and a resource's name

    def __init__(self, tree: Tree, folder: str, egg_info: str = "") -> None:
        self._tree = tree
        self._metadata = egg_info
        self.module_path = folder

    @property
    def egg_info(self) -> str:
        """The directory of metadata, put on disk for code that opens files of it."""
        return self._metadata

    # Every import of pkg_resources asks all distributions for some: that puts nothing
    # on disk.

    def has_metadata(self, name: str) -> bool:
        return bool(self._metadata) and self._has(self._fn(self._metadata, name))

    def get_metadata(self, name: str) -> str:
        return self._metadata and self._get(self._fn(self._metadata, name)).decode()

    def get_resource_filename(self, _: object, name: str) -> str:
        return self._fn(self.module_path, name)

    def get_resource_stream(self, _: object, name: str) -> IO[bytes]:
        return self._at(self._fn(self.module_path, name)).open("rb")

    def _has(self, path: str) -> bool:
        found = self._at(path)
        return found.is_file() or found.is_dir()

    def _isdir(self, path: str) -> bool:
        return self._at(path).is_dir()

    def _listdir(self, path: str) -> list[str]:
        return [found.name for found in self._at(path).iterdir()]

    def _get(self, path: str) -> bytes:
        return self._at(path).read_bytes()

    def _at(self, path: str) -> Path | ArchivePath:
        inner = self._tree.relative(path)
        return Path(path) if inner is None else ArchivePath(self._tree, inner)


def _sparing(tree: Tree, ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return *ask*, a `pkg_resources.normalize_path`, that leaves paths of *tree*.

    By what they are behind symbolic links, finders do not know them. It goes into
    the ``__path__`` of namespace packages.
    """

    def normalize_path(filename: Any) -> Any:
        """Normalize a file/dir name for comparison purposes."""
        if isinstance(filename, str) and tree.relative(filename) is not None:
            return os.path.normpath(filename)
        return ask(filename)

    return normalize_path


def _activate(pkg_resources: Any, root: str) -> None:
    """Put the distributions of the tree at *root* into the working set.

    They come before installed ones, as in `importlib.metadata`.
    """
    known = pkg_resources.working_set
    if root not in sys.path:
        return
    if root not in known.entries:
        known.entries.insert(sys.path.index(root), root)
    for distribution in pkg_resources.find_distributions(root):
        known.add(distribution, root, insert=False, replace=True)


def _forget(known: Any, root: str, before: dict[str, Any]) -> None:
    """Take from the working set *known* what *root* has; show again what that hid."""
    for key, distribution in list(known.by_key.items()):
        if distribution.location == root:
            del known.by_key[key]
            if key in before:
                known.by_key[key] = before[key]
    known.entries[:] = [entry for entry in known.entries if entry != root]
    known.entry_keys.pop(root, None)
    for keys in known.entry_keys.values():
        keys[:] = [key for key in keys if key in known.by_key]
