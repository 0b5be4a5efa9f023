"""The closure: which modules to execute again when files of the archive have changed.

Those whose files differ, those that use them, those that hold their objects, and their
package where somebody holds that; to a fixpoint. Everything else stays as it is.
"""

from __future__ import annotations

from lazyimport.format.entries import MODULE_SUFFIXES, stem_of
from lazyimport.format.patch import difference
from lazyimport.importing.moving import entry_of
from lazyimport.live.holding import Holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import ModuleType

    from lazyimport.importing.tree import Tree
    from lazyimport.live.edges import Edges


class Plan:
    """What a swap would do.

    ``loaded`` are the modules of the archive that there are, by name; ``again`` the
    names of those to execute again, ``order`` the same in the order to do so.
    ``native`` are files among them that no process can load twice, and ``replaced``
    modules that have put another object in their place. ``changed`` are all paths of
    files that differ.
    """

    def __init__(
        self,
        loaded: Mapping[str, ModuleType],
        again: set[str],
        edges: Edges,
        changed: set[str],
    ) -> None:
        self.changed = changed
        self.loaded = loaded
        self.again = again
        self.order = _order(again, edges.loaded_by, loaded)
        self.replaced = sorted(edges.replaced().keys() & again)
        paths = (
            entry.path
            for name in again & loaded.keys()
            if (entry := entry_of(loaded[name])) is not None
        )
        self.native = sorted(p for p in paths if p.endswith((".so", ".pyd")))


def make_plan(
    old: Tree, new: Tree, loaded: Mapping[str, ModuleType], edges: Edges
) -> Plan:
    """Return what to execute again when *new* takes the place of *old*."""
    changed = changed_paths(old, new)
    executed = {**loaded, **edges.replaced()}
    again = set(_changed_modules(changed, executed, edges, old))
    if again:
        _Closing(executed, edges).close(again)
    return Plan(loaded, again, edges, changed)


def changed_paths(old: Tree, new: Tree) -> set[str]:
    """Return the paths of files whose bytes differ, that came or that went."""
    before, after = old.archive.index, new.archive.index
    patch = difference(before, after)
    paths = {path for path in patch.removed if _digest(old, path)}
    for entry in patch.changed:
        if not entry.is_directory and _digest(old, entry.path) != entry.digest:
            paths.add(entry.path)
    return paths


def _digest(tree: Tree, path: str) -> bytes | None:
    entry = tree.entry(path)
    return None if entry is None or entry.is_directory else entry.digest


def _changed_modules(
    changed: set[str], loaded: Mapping[str, ModuleType], edges: Edges, old: Tree
) -> Iterator[str]:
    """Yield the names of the loaded modules that the *changed* files belong to."""
    if not changed:
        return
    by_path: dict[str, list[str]] = {}
    by_folder: dict[str, list[str]] = {}
    for name, module in loaded.items():
        entry = entry_of(module)
        if entry is not None:
            by_path.setdefault(entry.path, []).append(name)
            by_folder.setdefault(entry.path.rpartition("/")[0], []).append(name)
    importers = edges.importers()
    for path in changed:
        yield from by_path.get(path, ())
        if path.endswith(MODULE_SUFFIXES):
            name = stem_of(path).replace("/", ".")
            if name in loaded:  # a package where a module was, or the other way round
                yield name
            elif old.entry(path) is None:  # somebody may have looked for it
                yield from importers.get(name, set()) & loaded.keys()
        elif ".dist-info/" not in path:
            yield from _readers(path, by_folder)
            looked = old.looked.get(path)
            if looked in loaded:
                yield str(looked)


def _readers(path: str, by_folder: Mapping[str, list[str]]) -> list[str]:
    """Return the modules in the nearest folder above a data file that has any."""
    while path:
        path = path.rpartition("/")[0]
        if path in by_folder:
            return by_folder[path]
    return []


class _Closing:
    """What the *loaded* modules have to do with each other."""

    def __init__(self, loaded: Mapping[str, ModuleType], edges: Edges) -> None:
        self._loaded = loaded
        self._names = edges.names
        self._users = edges.importers()
        #: package -> modules that have it as a global
        self._reach: dict[str, set[str]] = {}
        #: modules that are held in what a module has made
        self._held: set[str] = set()
        for name, module in loaded.items():
            holding = Holding(module, loaded)
            for home in holding.homes | holding.modules:
                self._users.setdefault(home, set()).add(name)
            for package in holding.packages:
                self._reach.setdefault(package, set()).add(name)
            self._held |= holding.modules

    def close(self, again: set[str]) -> None:
        """Add to *again* all that has to do with it."""
        todo = list(again)
        while todo:
            name = todo.pop()
            for other in self._users.get(name, set()) | self._near(name):
                if other in self._loaded and other not in again:
                    again.add(other)
                    todo.append(other)

    def _near(self, name: str) -> set[str]:
        """Return who reaches *name* through a package that it is in.

        Code that has ``a``, and ``b`` and ``c`` among its names, may use ``a.b.c``. A
        package that is held in any other way is made anew itself.
        """
        found: set[str] = set()
        package, _, tail = name.rpartition(".")
        parent, tails = package, {tail}
        while package:
            for user in self._reach.get(package, ()):
                if tails <= self._names.get(user, tails):
                    found.add(user)
            if package in self._held:
                found.add(parent)
            package, _, tail = package.rpartition(".")
            tails.add(tail)
        return found


def _order(
    again: set[str], loaded_by: Mapping[str, str], loaded: Iterable[str]
) -> list[str]:
    """Return the names in the order in which a fresh process would begin with them.

    First those whose import no other one of them has caused: these cause the rest, as
    circular imports may need.
    """
    # sys.modules is in the order in which modules were done
    sequence = [
        name for name in {**loaded_by, **dict.fromkeys(loaded)} if name in again
    ]
    return sorted(sequence, key=lambda name: loaded_by.get(name) in again)
