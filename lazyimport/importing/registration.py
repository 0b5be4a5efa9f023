"""Registration: a tree becomes part of this interpreter's import system."""

from __future__ import annotations

import sys
from zipimport import ZipImportError, zipimporter

from lazyimport.importing import (
    BuiltinImporter,
    FileFinder,
    FileLoader,
    FrozenImporter,
    PathFinder,
    hidden,
)
from lazyimport.importing.finder import ArchiveFinder, MissingFinder
from lazyimport.importing.looks import NAME, PACKAGE
from lazyimport.importing.wrappers import WATCHED
from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from lazyimport.importing import (
        Changes,
        ImportWatcher,
        appearing,
        looking,
        path_finder,
        shadowing,
        specs,
        stdlib_patches,
    )
    from lazyimport.importing.late_tree import LateTree
    from lazyimport.importing.path_finder import ArchivePathFinder
    from lazyimport.importing.tree import Tree
    from lazyimport.importing.wrappers import Wrappers
else:
    # Few starts look at files, or for what is no module of the archive.
    appearing, shadowing = Later("importing.appearing"), Later("importing.shadowing")
    looking, path_finder = Later("importing.looking"), Later("importing.path_finder")
    specs = Later("importing.specs")
    stdlib_patches = Later("importing.stdlib_patches")

#: modules that `stdlib_patches` lets see the archive
_PATCHED = (
    "importlib.abc",
    "importlib.readers",
    "importlib_resources.readers",
    "pkg_resources",
)
#: Up to here the interpreter prints an uncaught exception in C, and reads files.
_PRINTS_IN_C = sys.version_info < (3, 13)
#: the hooks of sys behind which it does so; errors that nobody can catch follow later
_HOOKS = ("excepthook",) * _PRINTS_IN_C + ("unraisablehook",) * (
    sys.version_info < (3, 15)
)
#: the code of all that `FileFinder.path_hook` returns
_PATH_HOOK = FileFinder.path_hook().__code__
#: how directories of installed packages end
_INSTALLED = ("/site-packages", "/dist-packages")


class Registration:
    """A tree, which may be open or not, as a part of this interpreter's import system.

    *policy* says whose names win. Everything that this takes is noted in *changes*.
    Looks are noticed by *wrappers*, unless all of the tree is on disk. Raises
    InstallError if the policy is ``refuse``, and a name of the archive has been
    imported from elsewhere.
    """

    def __init__(
        self,
        late: LateTree,
        policy: str,
        changes: Changes,
        watcher: ImportWatcher,
        wrappers: Wrappers,
    ) -> None:
        self.late = late
        self._changes = changes
        self._watcher = watcher
        self._wrappers = wrappers
        self._policy = policy
        finder = ArchiveFinder
        if policy == "refuse":
            shadowing.refuse_imported(late.tree)
            finder = shadowing.RefusingFinder
        changes.at_undo(self._leave_path)
        changes.insert(sys.path_hooks, 0, self._path_hook)
        sys.path.insert(_place_of_site_packages(), late.root)
        place = _place_of_path_finder()
        self._finder = finder(late, top_level=policy != "path")
        changes.insert(sys.meta_path, place, self._finder)
        self._missing = MissingFinder(late.hash, self._explain_missing)
        changes.insert(sys.meta_path, len(sys.meta_path), self._missing)
        if not late.is_real:
            self._notice_looks()
        _forget_path_entries(late)
        self._patch_modules()
        self._precede_printing()

    @hidden
    def _path_hook(self, path: str) -> ArchivePathFinder:
        """Return the finder of a directory of the tree, or raise ImportError."""
        try:
            ours = isinstance(path, str) and self.late.followed(path) is not None
        except errors.ArchiveError as error:
            raise specs.damaged(self.late, path, "", error) from error
        if ours:
            finder = path_finder.ArchivePathFinder
            if self._policy == "refuse":
                finder = shadowing.RefusingPathFinder
            return finder.at(self.tree, path, self._finder.by_others)
        raise ImportError("not a directory of the archive", path=path)

    @property
    def tree(self) -> Tree:
        """The tree that is registered."""
        return self.late.tree

    def switch(self, late: LateTree) -> None:
        """Put another tree in the place of the one that is registered."""
        old, self.late = self.late, late
        self._missing.hash = late.hash
        self._finder.switch(late)
        sys.path[:] = [late.root if path == old.root else path for path in sys.path]
        if not old.is_real:
            looks = self._wrappers.looks
            looking.watch_while_used(looks, old.tree, appearing.appear)
        if not late.is_real:
            self._watch(late)
        _forget_path_entries(old)
        _forget_path_entries(late)

    def _leave_path(self) -> None:
        sys.path[:] = [path for path in sys.path if path != self.late.root]
        _forget_path_entries(self.late)

    def _notice_looks(self) -> None:
        changes, watcher, wrappers = self._changes, self._watcher, self._wrappers
        changes.at_undo(wrappers.take_out)
        changes.at_undo(wrappers.looks.unwatch)
        self._watch(self.late)
        changes.at_undo(lambda: watcher.unwatch(wrappers.wrap_module))
        for name in WATCHED:
            watcher.watch(name, wrappers.wrap_module)
        wrappers.put_in()
        self._notice_machinery()

    def _notice_machinery(self) -> None:
        """Notice the looks of finders and loaders that somebody makes by hand.

        They ask the system by functions of their own, which are not wrapped.
        """
        changes, looks = self._changes, self._wrappers.looks

        def look(path: object, depth: int) -> None:
            if looks.concern(path):
                looking.look(looks, path, depth)

        def see_folder(_: object, path: object, *__: object) -> None:
            # Path hooks ask for folders of other importers, whose files are there.
            # Nothing tells those that somebody calls by hand from these.
            if sys._getframe(2).f_code is not _PATH_HOOK:  # noqa: SLF001
                look(path, PACKAGE)

        def see_file(_: object, path: object) -> None:
            look(path, NAME)

        def see_zip(_: object, path: object) -> None:
            try:
                look(path, NAME)
            except OSError as error:  # path hooks go on after an ImportError only
                raise ZipImportError(str(error)) from error

        changes.precede(FileFinder, "__init__", see_folder)
        changes.precede(FileLoader, "get_data", see_file)
        changes.precede(zipimporter, "__init__", see_zip)

    def _watch(self, late: LateTree) -> None:
        def appear(path: str, depth: int) -> bool:
            return appearing.appear(late.to_read(path), path, depth)

        self._wrappers.looks.watch(late.root, appear)

    def _patch_modules(self) -> None:
        def patch(module: ModuleType) -> None:
            stdlib_patches.patch_module(module, self.late, self._changes)

        self._changes.at_undo(lambda: self._watcher.unwatch(patch))
        for name in _PATCHED:
            self._watcher.watch(name, patch)

    def _precede_printing(self) -> None:
        """Have sources put on disk before the interpreter reads them to print errors.

        It does so in C up to Python 3.12, and up to 3.14 for errors that cannot be
        caught.
        """
        changes = self._changes

        def put_sources(*args: object) -> None:
            if not self.late.is_open:
                return  # none of its sources has run
            try:
                from lazyimport.importing.tracebacks import put_sources

                put_sources(self.tree, *args)
            except Exception:  # noqa: BLE001, S110 - it would hide the one to be printed
                pass  # at the end of a process not much is left to work with

        def precede(threading: ModuleType) -> None:
            changes.precede(threading, "excepthook", put_sources, twin="__excepthook__")

        for name in _HOOKS:
            changes.precede(sys, name, put_sources, twin=f"__{name}__")
        if _PRINTS_IN_C:
            changes.at_undo(lambda: self._watcher.unwatch(precede))
            self._watcher.watch("threading", precede)

    def _explain_missing(self, name: str) -> list[str]:
        try:
            from lazyimport.importing.missing import explain_missing

            return explain_missing(self.tree, name)
        except Exception as error:  # noqa: BLE001 - it would hide the ImportError
            return [f"  lazyimport: {error}"]


def _forget_path_entries(late: LateTree) -> None:
    for path, finder in list(sys.path_importer_cache.items()):
        ours = late.is_open and getattr(finder, "tree", None) is late.tree
        if ours or (isinstance(path, str) and late.has(path)):
            sys.path_importer_cache.pop(path, None)


def _place_of_path_finder() -> int:
    """Return the place of the finder of ``sys.path``, or of its neighbors before it.

    Those find builtin and frozen modules, which ours leaves to them.
    """
    finders: list[object] = [*sys.meta_path]
    place = finders.index(PathFinder) if PathFinder in finders else len(finders)
    while place and finders[place - 1] in (BuiltinImporter, FrozenImporter):
        place -= 1
    return place


def _place_of_site_packages() -> int:
    for place, path in enumerate(sys.path):
        # Python ignores entries that are no text, such as a pathlib.Path; so do we.
        if isinstance(path, str) and path.endswith(_INSTALLED):
            return place
    return len(sys.path)
