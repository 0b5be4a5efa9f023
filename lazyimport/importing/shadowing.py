"""Names that are both in the archive and elsewhere: the policy `refuse`, and a report.

Elsewhere is what would be imported if there were no archive: by another entry of
``sys.path``, or by a finder behind ours, which some editable installs have. Two
directories without ``__init__`` do not shadow each other: they are a namespace, shared
on purpose (PEP 420).
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from lazyimport.errors import ArchiveImportError, InstallError
from lazyimport.importing import ImportWatcher, PathFinder, finders_behind, hidden
from lazyimport.importing.finder import STANDARD, ArchiveFinder, MissingFinder
from lazyimport.importing.path_finder import ArchivePathFinder
from lazyimport.importing.specs import module_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType
    from typing import Any

    from lazyimport.importing import ModuleSpec
    from lazyimport.importing.tree import Tree

#: (thread, name) of what is being looked for elsewhere, which may lead back here
_asking: set[tuple[int, str]] = set()
os.register_at_fork(after_in_child=_asking.clear)
_OURS = (ArchiveFinder, ImportWatcher, MissingFinder)


class RefusingFinder(ArchiveFinder):
    """Finds the archive's modules; for one that is elsewhere, too, it raises."""

    @hidden
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of an archive's module, or None."""
        if path is None and fullname not in STANDARD:
            _refuse(self.tree, fullname)
        return super().find_spec(fullname, path, target)


class RefusingPathFinder(ArchivePathFinder):
    """The same for code that goes by ``sys.path``: typeguard's import hook, `runpy`."""

    @hidden
    def find_spec(
        self, fullname: str, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module here, that of a namespace portion, or None."""
        if self.path == self.tree.root and fullname not in STANDARD:
            _refuse(self.tree, fullname)
        return super().find_spec(fullname, target)


def refuse_imported(tree: Tree) -> None:
    """Raise InstallError if a name of the archive has been imported from elsewhere."""
    for name, place, origin in imported_elsewhere(tree):
        raise InstallError(
            f"{name!r} is in archive {tree.hash} ({place}), and this process has "
            f"imported it from {origin} already; {_ADVICE}, or install the archive "
            "before that import",
            hash=tree.hash,
            installed=origin,
        )


def imported_elsewhere(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Yield what `shadowed` does for what this process has imported from elsewhere."""
    for name, place in _names(tree):
        spec = getattr(sys.modules.get(name), "__spec__", None)
        origin = None if name in STANDARD else _place(spec, tree)
        if origin is not None:
            yield name, place, origin


def shadowed(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Yield (name, path in the archive, place elsewhere) of what is in both."""
    for name, place in sorted(_names(tree)):
        other = _elsewhere(name, tree, sys.meta_path)
        if other is not None:
            yield name, place, other


_ADVICE = (
    "LAZYIMPORT_POLICY=refuse allows one of them only: leave it out of the archive or "
    "of the image, or choose which one wins with LAZYIMPORT_POLICY=archive or path"
)


@hidden
def _refuse(tree: Tree, name: str) -> None:
    place = _path_of(tree, name)
    asking = (get_ident(), name)
    if place is None or asking in _asking:
        return
    ours = next((f for f in sys.meta_path if isinstance(f, ArchiveFinder)), None)
    _asking.add(asking)
    try:
        other = _elsewhere(name, tree, finders_behind(ours) or ())
    finally:
        _asking.remove(asking)
    if other is not None:
        raise ArchiveImportError(
            f"cannot import {name!r}: it is in archive {tree.hash} ({place}) and also "
            f"at {other}; {_ADVICE}",
            name=name,
            path=tree.inside + place,
            hash=tree.hash,
        )


def _elsewhere(name: str, tree: Tree, finders: Iterable[Any]) -> str | None:
    """Return where *finders* find a module or regular package; None if nowhere."""
    path = [entry for entry in sys.path if entry != tree.root]
    for finder in finders:
        if isinstance(finder, _OURS) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(name, path if finder is PathFinder else None)
        origin = _place(spec, tree)
        if origin is not None:
            return origin
    return None


def _place(spec: ModuleSpec | None, tree: Tree) -> str | None:
    """Return where a spec's module is; None for the archive's, or a namespace."""
    if spec is None or spec.loader is None or spec.origin is None:
        return None
    if spec.origin.startswith(tree.inside):
        return None
    return spec.origin


def _names(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield (name, path in the archive) of what can be imported at the top."""
    for name in {name.partition(".")[0] for name, _ in tree.archive.children("")}:
        place = _path_of(tree, name)
        if place is not None:
            yield name, place


def _path_of(tree: Tree, name: str) -> str | None:
    """Return what *name* is in the archive; None if that cannot be imported."""
    if not name or "/" in name:
        return None
    spec = module_spec(tree, name, name)
    if spec is not None:
        return str(spec.origin)[len(tree.inside) :]
    if tree.archive.has_modules(name):
        return name + "/"
    return None
