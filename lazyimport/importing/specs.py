"""Specs of the archive's modules, as finders return them."""

from __future__ import annotations

import sys

from lazyimport.importing import ModuleSpec, hidden
from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.errors import ArchiveError, ArchiveImportError
    from lazyimport.importing import loader as loaders
    from lazyimport.importing.late_tree import LateTree
    from lazyimport.importing.tree import Tree
else:
    loaders = Later("importing.loader")  # some processes look only for what is not here

#: how `importlib.util.cache_from_source` ends the name of a source's bytecode
_CACHED_END = f".{sys.implementation.cache_tag}" + (
    f".opt-{sys.flags.optimize}.pyc" if sys.flags.optimize else ".pyc"
)


@hidden
def module_spec(tree: Tree, fullname: str, stem: str) -> ModuleSpec | None:
    """Return the spec of the module at *stem* of the tree, or None."""
    try:
        module = tree.module(stem)
    except errors.ArchiveError as error:
        if not may_have(tree, stem):
            return None
        raise damaged(tree, fullname, stem, error) from error
    if module is None or "/" in fullname:
        return None
    entry, is_package = module
    path = tree.inside + entry.path
    if path.endswith(".py"):
        loader: Any = loaders.ArchiveLoader(fullname, path, tree, entry, is_package)
        spec = ModuleSpec(fullname, loader, origin=path, is_package=is_package)
        if sys.pycache_prefix is None:
            # What the machinery would ask cache_from_source for: 4 us for each module.
            folder, _, name = path[:-3].rpartition("/")
            spec._cached = f"{folder}/__pycache__/{name}{_CACHED_END}"  # type: ignore[attr-defined]  # noqa: SLF001
    else:
        loader = loaders.make_loader(tree, fullname, path, entry, is_package=is_package)
        spec = ModuleSpec(fullname, loader, origin=path, is_package=is_package)
    spec._set_fileattr = True  # type: ignore[attr-defined]  # noqa: SLF001
    if is_package:
        spec.submodule_search_locations = [tree.inside + stem]
    if tree.found is not None:
        tree.found(spec)
    return spec


def may_have(tree: Tree, stem: str) -> bool:
    """Return whether the archive may have what *stem* names: its page is damaged.

    The listing of the directory, elsewhere in the archive, says so.
    """
    folder, _, name = stem.rpartition("/")
    try:
        children = tree.archive.children(folder)
    except errors.ArchiveError:
        return True
    return any(child.partition(".")[0] == name for child, _ in children)


def damaged(
    tree: LateTree | Tree, name: str, stem: str, error: ArchiveError
) -> ArchiveImportError:
    """Return the error for the module *name*, whose place cannot be looked up."""
    return errors.ArchiveImportError(
        f"cannot look for {name!r}: {error}",
        name=name,
        path=tree.inside + stem,
        hash=tree.hash,
    )
