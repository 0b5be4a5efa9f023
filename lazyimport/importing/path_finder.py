"""The path finder: one directory of the tree, for everything that goes by paths.

Through a path hook it answers to enumeration, namespace portions, and `runpy`.
"""

from __future__ import annotations

import sys

from lazyimport.importing import ModuleSpec, hidden
from lazyimport.importing.specs import damaged, may_have, module_spec
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from lazyimport.importing.tree import Tree

    ByOthers = Callable[[Tree, str, ModuleSpec], ModuleSpec]


class ArchivePathFinder:
    """Finds modules in one directory of the tree: a path entry finder (PEP 420).

    *folder* is relative to the tree's root, ``""`` for the root itself. *by_others*
    returns what path hooks of others make of a module.
    """

    def __init__(
        self, tree: Tree, folder: str, by_others: ByOthers | None = None
    ) -> None:
        self.tree = tree
        self._by_others = by_others
        self.path = tree.inside + folder if folder else tree.root
        self._inside = folder + "/" if folder else ""

    @classmethod
    @hidden
    def at(
        cls, tree: Tree, path: str, by_others: ByOthers | None = None
    ) -> ArchivePathFinder:
        """Return the finder of the directory of *tree* that *path* leads to.

        Raises ImportError if there is none.
        """
        folder = tree.followed(path)
        try:
            if folder is not None and tree.is_directory(folder):
                return cls(tree, folder, by_others)
        except errors.ArchiveError as error:
            raise damaged(tree, path, folder or "", error) from error
        raise ImportError("not a directory of the archive", path=path)

    @hidden
    def find_spec(
        self,
        fullname: str,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of a module here, that of a namespace portion, or None."""
        tail = fullname.rpartition(".")[2]
        stem = self._inside + tail
        spec = module_spec(self.tree, fullname, stem)
        if spec is not None and self._by_others is not None:
            return self._by_others(self.tree, fullname, spec)
        if spec is not None or not tail or "/" in tail:
            return spec
        try:
            others = self.tree.others(stem)
            is_directory = self.tree.is_directory(stem)
        except errors.ArchiveError as error:
            if not may_have(self.tree, stem):
                return None
            raise damaged(self.tree, fullname, stem, error) from error
        if others and not any(map(self.tree.put, others)):
            spec = self._of_others(fullname)
        if spec is None and is_directory:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [self.tree.inside + stem]
        return spec

    @hidden
    def _of_others(self, fullname: str) -> ModuleSpec | None:
        """Return what other path hooks make of files that are no modules for us."""
        for hook in sys.path_hooks:
            try:
                finder: Any = hook(self.path)
            except ImportError:
                continue
            if not isinstance(finder, ArchivePathFinder):
                spec: ModuleSpec | None = finder.find_spec(fullname)
                if spec is not None and spec.loader is not None:
                    return spec
        return None

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Yield (name with *prefix*, is a package) of the modules here (`pkgutil`)."""
        seen: set[str] = set()
        try:
            for name, _ in self.tree.archive.children(self._inside[:-1]):
                stem = name.partition(".")[0]
                # no rule on names: Django's migrations begin with digits
                if not stem or stem in seen or stem == "__init__":
                    continue
                module = self.tree.module(self._inside + stem)
                if module is not None:
                    seen.add(stem)
                    yield prefix + stem, module[1]
        except errors.ArchiveError as error:
            raise damaged(self.tree, self.path, self._inside, error) from error

    def invalidate_caches(self) -> None:
        """Do nothing: an archive does not change."""

    def __repr__(self) -> str:
        return f"<ArchivePathFinder {self.path!r}>"
