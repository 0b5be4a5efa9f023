"""Extension modules: the dynamic loader needs a file, so one is made."""

from __future__ import annotations

import os
from copy import copy
from importlib.machinery import ExtensionFileLoader

from lazyimport.errors import ArchiveImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from lazyimport.format.entries import Entry
    from lazyimport.importing.tree import Tree


class ArchiveExtensionLoader(ExtensionFileLoader):
    """Loads an extension module from its place in the tree, made real for it."""

    def __init__(self, name: str, path: str, tree: Tree, entry: Entry) -> None:
        super().__init__(name, path)
        self._tree = tree
        self._entry = entry

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module, once its file and the libraries beside it are on disk."""
        tree = self._tree
        tree.prepare(self._entry.path)
        path = f"{tree.place}/{self._entry.path}"
        if path != self.path:
            spec = copy(spec)
            spec.origin = path
        refusal = tree.put(self._entry)
        if refusal is not None:
            raise ArchiveImportError(
                f"cannot import {self.name!r}, which the dynamic loader needs as a "
                f"file: {refusal}",
                name=self.name,
                path=self.path,
                hash=tree.hash,
            ) from refusal
        try:
            return super().create_module(spec)
        except ImportError as error:
            if not os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0):
                raise
            raise ArchiveImportError(
                f"cannot import {self.name!r}: {path} is on a disk that is "
                "mounted noexec, from which no library can be loaded; set "
                "LAZYIMPORT_CACHE_DIR to a directory on another disk",
                name=self.name,
                path=self.path,
                hash=tree.hash,
            ) from error

    def get_resource_reader(self, name: str | None = None) -> Any:  # noqa: ARG002
        """Return the reader of what lies in a package, or beside a plain module."""
        from lazyimport.importing.resources import ArchiveResources

        return ArchiveResources(self._tree, self._entry.path.rpartition("/")[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return self._tree.restore, (self._tree.hash, self.name, self.path, False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArchiveExtensionLoader):
            return NotImplemented
        return (self.name, self.path) == (other.name, other.path)

    __hash__ = ExtensionFileLoader.__hash__  # of name and path
