"""Modules of a tree that stay in a process while another tree takes its place."""

from __future__ import annotations

import sys
from types import ModuleType

from lazyimport.format.entries import Entry, stem_of
from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.specs import module_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lazyimport.importing.tree import Tree


def entry_of(module: object) -> Entry | None:
    """Return the entry of an archive's module, None for any other."""
    return entry_of_spec(getattr(module, "__spec__", None))


def entry_of_spec(spec: object) -> Entry | None:
    """Return the entry of the module of an archive that *spec* is for, or None."""
    loader = getattr(spec, "loader", None)
    entry = getattr(loader, "__dict__", {}).get("_entry")
    return entry if type(entry) is Entry else None


def modules_of(tree: Tree) -> dict[str, ModuleType]:
    """Return by name the modules of the tree that are imported, with its namespaces.

    A program that ``python -m`` runs is not imported.
    """
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and (entry_of(module) is not None or _is_namespace(module, tree))
    }


def _is_namespace(module: object, tree: Tree) -> bool:
    if not isinstance(module, ModuleType) or getattr(module, "__file__", None):
        return False
    path = getattr(module, "__path__", None)
    return path is not None and any(
        isinstance(part, str) and part.startswith(tree.root) for part in path
    )


def move(module: ModuleType, tree: Tree) -> Callable[[], None]:
    """Let a module find its data, source and submodules in *tree*.

    Returns what takes that back.
    """
    spec, entry = module.__spec__, entry_of(module)
    if spec is None or entry is None:  # of a namespace, which looks at sys.path
        return lambda: None
    loader: Any = spec.loader
    if type(loader) is not ArchiveLoader:  # a library stays where it was loaded
        old = vars(loader).copy()
        new = tree.entry(entry.path)
        if new is not None:
            vars(loader).update(_tree=tree, _entry=new)
        return lambda: vars(loader).update(old)
    stem = stem_of(entry.path)
    new_spec = module_spec(tree, spec.name, stem)
    if new_spec is None:
        return lambda: None
    scope, path = vars(module), getattr(module, "__path__", None)
    before = {name: scope[name] for name in _PLACES if name in scope}
    parts = list(path) if isinstance(path, list) else []
    scope.update(__spec__=new_spec, __loader__=new_spec.loader)
    scope.update(__file__=new_spec.origin, __cached__=new_spec.cached)
    if parts:
        old_root = spec.origin[: -len(entry.path)] if spec.origin else tree.inside
        module.__path__[:] = [
            tree.inside + part[len(old_root) :] if part.startswith(old_root) else part
            for part in parts
        ]

    def back() -> None:
        scope.update(before)
        if parts:
            module.__path__[:] = parts

    return back


_PLACES = ("__spec__", "__loader__", "__file__", "__cached__")
