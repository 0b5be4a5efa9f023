"""What is pickled as something else: loaders, and modules of wrapped functions.

Loaders travel with functions that are pickled by value, which drag ``__spec__`` along,
into a process that may run their archive or not.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader

from lazyimport.errors import ArchiveImportError
from lazyimport.importing.loader import ArchiveLoader, make_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.importing.tree import Restore, Tree


def remake_loader(
    tree: Tree | None, restore: Restore, hash: str, name: str, path: str, package: bool
) -> ArchiveLoader | ExtensionFileLoader:
    """Return a loader that was pickled with *restore*, in a process that has *tree*.

    If *tree* is None the process does not run the archive *hash*. Then the loader
    raises ImportError when it is used; that of an extension module is the machinery's
    own, for the path that the file had where it was pickled.
    """
    inner = path.partition(f"/{hash}/")[2]
    entry = tree and tree.entry(inner)
    if tree and entry:
        return make_loader(tree, name, tree.inside + inner, entry, is_package=package)
    if path.endswith(tuple(EXTENSION_SUFFIXES)):
        return ExtensionFileLoader(name, path)
    return _DetachedLoader(restore, hash, name, path, package)


class _DetachedLoader(ArchiveLoader):
    """A loader that came by pickle to a process without its archive."""

    def __init__(
        self, restore: Restore, hash: str, name: str, path: str, package: bool
    ) -> None:
        self.hash = hash
        self.name = name
        self.path = path
        self._is_package = package
        self._restore = restore

    def __reduce__(self) -> tuple[Any, ...]:
        return self._restore, (self.hash, self.name, self.path, self._is_package)

    def __getattr__(self, attribute: str) -> Any:
        if attribute not in {"_tree", "_entry"}:
            raise AttributeError(attribute)
        raise ArchiveImportError(
            f"cannot load {self.name!r}: archive {self.hash} is not installed in "
            "this process; set LAZYIMPORT_HASH for it or call lazyimport.install()",
            name=self.name,
            path=self.path,
            hash=self.hash,
        )


class Module:
    """Pickles as the module *name*, for processes without lazyimport too."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, (self._name,)
