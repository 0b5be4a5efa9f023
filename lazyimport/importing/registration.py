"""Registration: a tree becomes part of this interpreter's import system."""

from __future__ import annotations

import sys

from lazyimport.importing.finder import ArchiveFinder, ArchivePathFinder, MissingFinder
from lazyimport.importing.machinery import PathFinder
from lazyimport.importing.wrappers import WATCHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from lazyimport.importing.changes import Changes
    from lazyimport.importing.tree import Tree
    from lazyimport.importing.watcher import ImportWatcher
    from lazyimport.importing.wrappers import Wrappers

#: modules that `stdlib_patches` lets see the archive
_PATCHED = ("importlib.abc", "pkg_resources")
#: Up to here the interpreter prints an uncaught exception in C, and reads files.
_PRINTS_IN_C = sys.version_info < (3, 13)
#: the hooks of sys behind which it does so; errors that nobody can catch follow later
_HOOKS = ("excepthook",) * _PRINTS_IN_C + ("unraisablehook",) * (
    sys.version_info < (3, 15)
)
#: how directories of installed packages end
_INSTALLED = ("/site-packages", "/dist-packages")


def register(
    tree: Tree,
    policy: str,
    changes: Changes,
    watcher: ImportWatcher,
    wrappers: Wrappers,
) -> None:
    """Let this interpreter import from *tree*; *policy* says whose names win.

    Everything that this takes is noted in *changes*. Looks are noticed by *wrappers*,
    unless all of the tree is on disk. Raises InstallError if the policy
    is ``refuse``, and a name of the archive has been imported from elsewhere.
    """
    finder, path_finder = ArchiveFinder, ArchivePathFinder
    if policy == "refuse":
        from lazyimport.importing import shadowing

        shadowing.refuse_imported(tree)
        finder = shadowing.RefusingFinder
        path_finder = shadowing.RefusingPathFinder
    changes.at_undo(lambda: _forget_path_entries(tree.root))
    changes.insert(sys.path_hooks, 0, path_finder.hook(tree))
    _forget_path_entries(tree.root)
    changes.insert(sys.path, _place_of_site_packages(), tree.root)
    place = _place_of_path_finder()
    changes.insert(sys.meta_path, place, finder(tree, top_level=policy != "path"))
    missing = MissingFinder(tree.hash, lambda name: _explain_missing(tree, name))
    changes.insert(sys.meta_path, len(sys.meta_path), missing)
    if not tree.is_real:
        _notice_looks(tree, changes, watcher, wrappers)
    _patch_modules(tree, changes, watcher)
    _precede_printing(tree, changes, watcher)


def _notice_looks(
    tree: Tree, changes: Changes, watcher: ImportWatcher, wrappers: Wrappers
) -> None:
    changes.at_undo(wrappers.take_out)
    changes.at_undo(lambda: wrappers.looks.unwatch(tree.appear))
    wrappers.looks.watch(tree.root, tree.appear)
    changes.at_undo(lambda: watcher.unwatch(wrappers.wrap_module))
    for name in WATCHED:
        watcher.watch(name, wrappers.wrap_module)
    wrappers.put_in()


def _patch_modules(tree: Tree, changes: Changes, watcher: ImportWatcher) -> None:
    def patch(module: ModuleType) -> None:
        from lazyimport.importing.stdlib_patches import patch_module

        patch_module(module, tree, changes)

    changes.at_undo(lambda: watcher.unwatch(patch))
    for name in _PATCHED:
        watcher.watch(name, patch)


def _precede_printing(tree: Tree, changes: Changes, watcher: ImportWatcher) -> None:
    """Have sources put on disk before the interpreter reads them to print an exception.

    It does so in C up to Python 3.12, and up to 3.14 for errors that cannot be caught.
    """

    def put_sources(*args: object) -> None:
        try:
            from lazyimport.importing.tracebacks import put_sources

            put_sources(tree, *args)
        except Exception:  # noqa: BLE001, S110 - it would hide the one to be printed
            pass  # at the end of a process not much is left to work with

    def precede(threading: ModuleType) -> None:
        changes.precede(threading, "excepthook", put_sources, twin="__excepthook__")

    for name in _HOOKS:
        changes.precede(sys, name, put_sources, twin=f"__{name}__")
    if _PRINTS_IN_C:
        changes.at_undo(lambda: watcher.unwatch(precede))
        watcher.watch("threading", precede)


def _explain_missing(tree: Tree, name: str) -> list[str]:
    try:
        from lazyimport.importing.missing import explain_missing

        return explain_missing(tree, name)
    except Exception as error:  # noqa: BLE001 - it would hide the ImportError
        return [f"  lazyimport: {error}"]


def _forget_path_entries(root: str) -> None:
    for path in list(sys.path_importer_cache):
        if str(path).startswith(root):
            sys.path_importer_cache.pop(path, None)


def _place_of_path_finder() -> int:
    places = [n for n, finder in enumerate(sys.meta_path) if finder is PathFinder]
    return places[0] if places else len(sys.meta_path)


def _place_of_site_packages() -> int:
    for place, path in enumerate(sys.path):
        # Python ignores entries that are no text, such as a pathlib.Path; so do we.
        if isinstance(path, str) and path.endswith(_INSTALLED):
            return place
    return len(sys.path)
