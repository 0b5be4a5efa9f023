"""The finders: a lookup in the archive for every name that may be its own.

`ArchiveFinder` sits on ``sys.meta_path`` before the interpreter's own finders;
`MissingFinder` sits last and says what the archive knows about a name that
nobody has. Between them, `lazyimport.importing.path_finder` answers to everything
that goes by paths.

``find_spec`` runs under the global import lock: it looks up and does nothing
else.
"""

from __future__ import annotations

import sys
from _imp import is_frozen
from _thread import get_ident

from lazyimport.importing import finders_behind, hidden
from lazyimport.importing.looks import LISTED
from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.metadata import Distribution, DistributionFinder
    from types import ModuleType
    from typing import Any

    from lazyimport.importing import ModuleSpec, appearing, metadata, specs
    from lazyimport.importing.late_tree import LateTree
    from lazyimport.importing.tree import Tree
else:
    # Some processes import only the standard library, or ask for no distribution.
    appearing = Later("importing.appearing")
    specs, metadata = Later("importing.specs"), Later("importing.metadata")


#: names that no archive ever takes
STANDARD = sys.stdlib_module_names.union(sys.builtin_module_names, {"__main__"})

#: what every interpreter imports at its start if it is there; an explanation that
#: nobody reads would cost that start a millisecond
_MAY_BE_MISSING = {"sitecustomize", "usercustomize"}


class ArchiveFinder:
    """Finds the archive's modules for ``sys.meta_path`` (PEP 302, 451).

    With *top_level* it finds top-level modules too and so wins over everything
    that is installed, except the standard library. Names whose parent's
    ``__path__`` is not purely the tree's are left to the path finder, which
    knows how to merge.
    """

    def __init__(self, late: LateTree, *, top_level: bool = True) -> None:
        self._top_level = top_level
        #: the path hooks of this start, the last of which is Python's for directories
        self._own_hooks = self._hooks = list(sys.path_hooks)
        #: those of others that come before it
        self._other_hooks: list[Any] = []
        self.switch(late)

    def switch(self, late: LateTree) -> None:
        """Find the modules of another tree from now on."""
        self.late = late
        #: portion of a ``__path__`` -> the folder of the tree that it is, if it is one
        self._folders: dict[str, str | None] = {}
        #: ``sys.path`` as it was last seen, and what lies in front of the root there
        self._path: list[str] = []
        self._in_front: list[str] = []
        #: folder -> the finders that other path hooks have made for it
        self._others: dict[str, list[Any]] = {}

    @property
    def tree(self) -> Tree:
        """The tree whose modules it finds."""
        return self.late.tree

    @hidden
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of an archive's module, or None."""
        try:
            if path is None:
                spec = self._find_at_top(fullname)
            else:
                spec = self._find_below(fullname, path)
            if self._hooks != sys.path_hooks:
                self._see_hooks()
            if not self._other_hooks:
                return spec
            if spec is not None:
                return self.by_others(self.tree, fullname, spec)
            if path is not None and fullname.startswith("lazyimport."):
                return self._find_ours(fullname, path)
            self._precede_path_finder(fullname, sys.path if path is None else path)
        except errors.ArchiveError as error:
            stem = fullname.replace(".", "/")
            raise specs.damaged(self.late, fullname, stem, error) from error
        return None

    @hidden
    def _find_at_top(self, fullname: str) -> ModuleSpec | None:
        if not self._top_level or fullname in STANDARD or is_frozen(fullname):
            return None
        if self._path != sys.path:
            self._see_path()
        for folder in self._in_front:
            spec = specs.module_spec(self.late.tree, fullname, f"{folder}/{fullname}")
            if spec is not None:
                return spec
        return specs.module_spec(self.late.tree, fullname, fullname)

    @hidden
    def _find_below(self, fullname: str, path: Sequence[str]) -> ModuleSpec | None:
        tail = fullname.rpartition(".")[2]
        known = self._folders
        try:
            for portion in path:
                if portion not in known:
                    inside = portion.startswith(self.late.inside)
                    known[portion] = self.tree.relative(portion) if inside else None
                if known[portion] is None:  # or it leads out again: pkg/../..
                    return None
        except (AttributeError, TypeError):  # it is no str: the path finder skips it
            return None
        for portion in path:
            spec = specs.module_spec(
                self.late.tree, fullname, f"{known[portion]}/{tail}"
            )
            if spec is not None:
                return spec
        return None

    @hidden
    def _find_ours(self, fullname: str, path: Sequence[str]) -> ModuleSpec | None:
        """Return the spec of a module of ours, which nobody else is to rewrite.

        `beartype.claw.beartype_all` rewrites all that is imported.
        """
        for portion in path:
            for finder in _made_by(self._own_hooks[-1:], portion):
                spec: ModuleSpec | None = finder.find_spec(fullname)
                if spec is not None:
                    return spec
        return None

    def _see_hooks(self) -> None:
        """Note the path hooks of others that come before Python's for directories."""
        self._hooks = hooks = list(sys.path_hooks)
        last = self._own_hooks[-1]
        before = hooks[: hooks.index(last)] if last in hooks else hooks
        self._other_hooks = [hook for hook in before if hook not in self._own_hooks]
        self._others.clear()

    @hidden
    def by_others(self, tree: Tree, fullname: str, spec: ModuleSpec) -> ModuleSpec:
        """Return what path hooks of others make of a module of *tree*, or its *spec*.

        `beartype.claw` has one. They read directories in ways that nobody notices, so
        the whole package is on disk first.
        """
        if self._hooks != sys.path_hooks:
            self._see_hooks()
        if not self._other_hooks:
            return spec
        origin = str(spec.origin)
        _put_for_others(tree, origin[len(tree.inside) :])
        depth = 1 if spec.submodule_search_locations is None else 2
        folder = origin.rsplit("/", depth)[0]
        if folder not in self._others:
            self._others[folder] = [*_made_by(self._other_hooks, folder)]
        for finder in self._others[folder]:
            found: ModuleSpec | None = finder.find_spec(fullname)
            if found is not None and found.loader is not None:
                return found
        return spec

    @hidden
    def _precede_path_finder(self, fullname: str, path: Sequence[str]) -> None:
        """Put on disk what the path finder may ask path hooks of others for."""
        if fullname in STANDARD or fullname == "lazyimport":
            return
        tail = fullname.rpartition(".")[2]
        for entry in path:
            folder = self.late.followed(entry) if isinstance(entry, str) else None
            if folder is not None:
                stem = f"{folder}/{tail}" if folder else tail
                if self.tree.module(stem) or self.tree.is_directory(stem):
                    _put_for_others(self.tree, stem)

    def _see_path(self) -> None:
        """Note the directories of the tree that are on ``sys.path`` before its root.

        Programs put their own folder there, or one of vendored packages.
        """
        self._path = list(sys.path)
        self._in_front = []
        for entry in self._path:
            if entry == self.late.root:
                break
            folder = isinstance(entry, str) and entry and self.late.followed(entry)
            self._in_front += [folder] if folder else []

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        """Yield the archive's distributions for `importlib.metadata`."""
        from importlib.metadata import DistributionFinder

        context = context or DistributionFinder.Context()
        return metadata.find_distributions(self.late.to_read(self.late.root), context)

    def invalidate_caches(self) -> None:
        """Do nothing: an archive does not change."""

    def __repr__(self) -> str:
        return f"<ArchiveFinder of archive {self.late.hash[:12]}>"


def _put_for_others(tree: Tree, inner: str) -> None:
    """Put on disk the names at the top, and all of the package that *inner* is in."""
    appearing.appear(tree, tree.root, LISTED)
    appearing.appear(tree, tree.inside + inner.partition("/")[0], LISTED)


def _made_by(hooks: list[Any], folder: str) -> Iterator[Any]:
    for hook in hooks:
        try:
            yield hook(folder)
        except ImportError:
            continue


class MissingFinder:
    """Says, for a name that no finder has, what *explain* knows about it.

    It stays silent when a program only asks (`importlib.util.find_spec`). What
    has put itself behind it (six does, and so whatever uses six) is asked first.
    """

    def __init__(self, hash: str, explain: Callable[[str], list[str]]) -> None:
        self.hash = hash
        self._explain = explain
        #: threads that explain: what they miss in turn is not explained
        self._explaining: set[int] = set()

    @hidden
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Raise ArchiveModuleMissing inside an import statement, else return None.

        Or return the spec of a finder behind this one.
        """
        # _find_spec called us; only an import calls it from there
        try:
            asking = sys._getframe(2).f_code.co_name  # noqa: SLF001
        except ValueError:  # a script asks, from its top
            return None
        if asking != "_find_and_load_unlocked" or fullname in _MAY_BE_MISSING:
            return None
        if get_ident() in self._explaining:
            return None
        behind = finders_behind(self)
        if behind is None:
            return None
        for finder in behind:
            if not hasattr(finder, "find_spec"):
                return None  # of PEP 302: up to Python 3.11 the machinery knows how
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec  # type: ignore[no-any-return]
        from lazyimport.import_errors import ArchiveModuleMissing

        raise ArchiveModuleMissing(
            f"No module named {fullname!r}",
            lambda: self._explained(fullname),
            name=fullname,
            hash=self.hash,
        )

    def _explained(self, fullname: str) -> list[str]:
        thread = get_ident()
        self._explaining.add(thread)
        try:
            return self._explain(fullname)
        finally:
            self._explaining.discard(thread)
