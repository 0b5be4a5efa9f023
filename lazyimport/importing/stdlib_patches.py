"""Patches of modules that go by the classes of finders and loaders."""

from __future__ import annotations

import os
import sys

from lazyimport.importing.finder import ArchiveFinder, MissingFinder
from lazyimport.lazy import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from lazyimport.importing import Changes, namespaces, path_finder
    from lazyimport.importing.late_tree import LateTree
    from lazyimport.importing.tree import Tree
else:
    # Most processes load a module that is patched; few have resources of namespaces.
    path_finder = Later("importing.path_finder")
    namespaces = Later("importing.namespaces")


def patch_module(module: ModuleType, late: LateTree, changes: Changes) -> None:
    """Let a module that has just been imported see the files of a tree.

    A stand-in that somebody has put there for it goes by another name, and stays as
    it is.
    """
    name = getattr(module, "__name__", "")
    if name == "importlib.abc":
        _patch_abc(module)
    elif name == "pkg_resources":
        _patch_pkg_resources(module, late.tree, changes)
    elif name in {"importlib.readers", "importlib_resources.readers"}:
        _patch_readers(module, late, changes)


def _patch_abc(abc: ModuleType) -> None:
    """Let our finders be instances of ``importlib.abc.MetaPathFinder`` and the like."""
    abc.MetaPathFinder.register(ArchiveFinder)
    abc.MetaPathFinder.register(MissingFinder)
    abc.PathEntryFinder.register(path_finder.ArchivePathFinder)


def _patch_readers(readers: Any, late: LateTree, changes: Changes) -> None:
    """Let resources of namespaces be found where no directory can be made."""
    if hasattr(readers, "NamespaceReader"):
        reader = _reader_class(readers.NamespaceReader, late)
        changes.replace(readers, "NamespaceReader", reader)


def _reader_class(real: Any, late: LateTree) -> Any:
    """Return a subclass of *real*, a NamespaceReader, that knows the archive of a tree.

    It is as *real* for namespaces all of whose directories are on disk.
    """

    class NamespaceReader(real):  # type: ignore[misc]
        def __init__(self, namespace_path: Iterable[str]) -> None:
            away = namespaces.directory_of(late.tree, namespace_path)
            if away is None:
                super().__init__(namespace_path)
            else:
                self.path = away

        def resource_path(self, resource: str) -> str:
            away = namespaces.resource_path(self.path, resource)
            path: str = super().resource_path(resource) if away is None else away
            return path

    return NamespaceReader


def _patch_pkg_resources(pkg_resources: Any, tree: Tree, changes: Changes) -> None:
    """Let `pkg_resources` treat our finders as those of directories.

    It does nothing for classes that it does not know. Files that it looks at appear.
    """
    finder = path_finder.ArchivePathFinder
    try:
        known = pkg_resources.working_set
        before = dict(known.by_key)
        directory = pkg_resources.find_on_path, pkg_resources.file_ns_handler
        pkg_resources.register_finder(finder, directory[0])
        pkg_resources.register_namespace_handler(finder, directory[1])
        changes.replace(pkg_resources, "normalize_path", _sparing(tree, pkg_resources))
        changes.at_undo(lambda: _forget(known, tree.root, before))
        if tree.root not in sys.path:
            return
        if tree.root not in known.entries:
            known.entries.insert(sys.path.index(tree.root), tree.root)
        for distribution in pkg_resources.find_distributions(tree.root):
            known.add(distribution, tree.root, insert=False, replace=True)
    except Exception:  # noqa: BLE001, S110 - its import is not to fail for ours
        pass  # an odd pkg_resources


def _sparing(tree: Tree, pkg_resources: Any) -> Callable[[Any], Any]:
    ask = pkg_resources.normalize_path

    def normalize_path(filename: Any) -> Any:
        """Normalize a file/dir name for comparison purposes."""
        # It goes into the __path__ of namespace packages. By what paths of the tree
        # are behind symbolic links, finders do not know them.
        if isinstance(filename, str) and tree.relative(filename) is not None:
            return os.path.normpath(filename)
        return ask(filename)

    return normalize_path


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
