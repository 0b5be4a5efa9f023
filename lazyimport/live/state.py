"""What a process remembers whose code may change."""

from __future__ import annotations

import functools
import os
import sys
import threading
from types import CodeType
from typing import Any
from weakref import ref

from lazyimport.importing.late_tree import opened
from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.tree import Tree
from lazyimport.live.edges import Edges
from lazyimport.live.gate import Gate
from lazyimport.live.generations import MARK, Generation, bound_generation
from lazyimport.live.journal import Journal
from lazyimport.runtime import Installation, process


class Thread(threading.local):
    """What a thread does: ``importer`` is the module that imports something now."""

    importer = ""


class Live:
    """The generations of this process, and what swaps need to know.

    ``current`` is the generation of those who are bound to none, and ``importing`` the
    one whose modules are in ``sys.modules``: another one while a swap is under way.
    ``generations`` are all that may be alive, weakly, with one that is being made.
    ``hashes`` are all that this process has run, the first one first. ``following`` is
    the `lazyimport.live.Following` that swaps here, ``settler`` what frees old ones.
    """

    def __init__(self, generation: Generation) -> None:
        self.current = self.importing = generation
        self.generations: list[ref[Generation]] = []
        self.hashes = [generation.hash]
        self.following: Any = None
        self.lock = threading.RLock()
        self.settler: Any = None
        self.thread = Thread()
        self.gate = Gate()
        self.edges = Edges()
        self.journal = Journal()
        #: what names of the archive's modules begin with, in all versions
        self._tops: set[str] = set()
        self.watch(generation)
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """Forget what other threads held: they are not in the child."""
        self.gate.forked()
        self.lock = threading.RLock()

    def watch(self, generation: Generation) -> None:
        """Note what the modules of *generation* import."""
        tree = generation.tree
        living = [each for each in self.generations if each() is not None]
        self.generations = [*living, ref(generation)]
        self._tops |= {name.partition(".")[0] for name, _ in tree.archive.children("")}
        tree.running = functools.partial(self._see, generation)

    @property
    def alive(self) -> int:
        """How many generations there are, with one that is being made."""
        return sum(each() is not None for each in self.generations)

    def is_ours(self, name: object) -> bool:
        """Whether *name* may be that of one of the archive's modules."""
        return isinstance(name, str) and name.partition(".")[0] in self._tops

    def generation_of(self, scope: dict[str, Any] | None) -> Generation:
        """Return the generation for which code with the globals *scope* runs now."""
        mine: Generation = (scope or {}).get(MARK) or self.current
        bound = bound_generation()
        if bound is None or bound is mine:
            return mine
        name = scope and scope.get("__name__")
        return mine if self.is_ours(name) and not bound.has(scope or {}) else bound

    def _see(
        self, generation: Generation, loader: ArchiveLoader, body: CodeType
    ) -> None:
        if self.importing is not generation:
            return
        if self.current is not generation:  # it may become that
            vars(sys.modules[loader.name])[MARK] = generation
            attach_submodules(loader.name)
        self.edges.see(loader, body, generation.number, self.thread.importer)


def attach_submodules(package: str) -> None:
    """Let a package that is made anew have the submodules that stay.

    The machinery sets them when it imports them, which it does not do again.
    """
    scope = vars(sys.modules[package])
    for name, module in list(sys.modules.items()):
        parent, _, tail = name.rpartition(".")
        if parent == package:
            scope.setdefault(tail, module)


def live_state() -> Live | None:
    """Return what this process remembers, None if its code cannot change."""
    live = process.live
    assert live is None or isinstance(live, Live)
    return live


def current_generation() -> Generation | None:
    """Return the generation that serves what begins now; None where live is off."""
    live = live_state()
    return None if live is None else live.current


def switch(installation: Installation, tree: Tree) -> None:
    """Let *tree* take the place of the one that this process imports from."""
    sys.audit("lazyimport.install", tree.hash, None)
    old = installation.tree
    installation.registration.switch(opened(tree))
    tree.loads = old.loads
    tree.looked.update(old.looked)
    installation.hash, installation.root = tree.hash, tree.root
    installation.settings = installation.settings.with_hash(tree.hash)
    installation.changes.set_variable("LAZYIMPORT_HASH", tree.hash)
