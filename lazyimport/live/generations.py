"""Generations: the modules of one version of the archive in this process.

An import is for the generation of the code that imports, which a mark among its globals
names; else for that of the request, task or thread, which a context variable names.
"""

from __future__ import annotations

import importlib
import sys
import threading
from contextvars import ContextVar
from types import ModuleType
from weakref import ref

from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.moving import modules_of
from lazyimport.live.views import View
from lazyimport.runtime import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Token
    from typing import Any

    from lazyimport.importing.tree import Tree

#: In the globals of modules that are not, or not yet, those of this process: their
#: generation, which lives as long as their code.
MARK = "__lazyimport_generation__"
#: the generation to which a request, task or thread is bound
_bound: ContextVar[Callable[[], Generation | None] | None] = ContextVar(
    "lazyimport_generation", default=None
)


class Generation:
    """The modules of the archive ``hash`` in this process.

    Threads and tasks are bound to one by ``with generation.enter():``.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.hash = tree.hash
        self.number = 0
        #: what `keep` has made for it, and what there was when it was made, by key
        self.kept: dict[str, Any] = {}
        self.kept_before: dict[str, Any] = {}
        #: the keys of what the version before did not ask for
        self.unasked: set[str] = set()
        self._frozen: dict[str, ModuleType] | None = None
        self._lock = threading.RLock()  # while it imports what is late
        self._counting = threading.RLock()
        self._users = 0
        self._ends: list[Callable[[], object]] = []

    @property
    def modules(self) -> dict[str, ModuleType]:
        """What code of this generation imports from the archive, by name."""
        frozen = self._frozen  # read once: another thread may thaw it
        return modules_of(self.tree) if frozen is None else frozen

    @property
    def users(self) -> int:
        """How many requests, tasks and threads are in it now."""
        return self._users

    def enter(self) -> _Stay:
        """Return a context manager that binds the code inside it to this generation.

        So are tasks that are created there. One that is open counts as a user.
        """
        return _Stay(self)

    def at_end(self, function: Callable[[], object]) -> None:
        """Call *function* when this generation is retired and nobody uses it."""
        with self._counting:
            self._ends.append(function)
        self.end_if_idle()

    def end_if_idle(self) -> None:
        """Call what `at_end` was given, if it is time."""
        with self._counting:
            if self._users or self._frozen is None:
                return
            ends, self._ends = self._ends, []
        for function in ends:
            try:
                function()
            except Exception as error:  # noqa: BLE001 - the others are to be called
                process.reporter.warn(f"at the end of {self!r}: {error!r}")

    def import_module(self, name: str) -> ModuleType:
        """Return the module *name* as code of this generation would import it."""
        with self.enter():
            return importlib.import_module(name)

    # --- for what swaps, and what imports

    def freeze(self) -> None:
        """Keep the modules that it has now, because another generation is made."""
        self._frozen = modules_of(self.tree)

    def thaw(self) -> dict[str, ModuleType]:
        """Be the current generation again; return what it imported since `freeze`."""
        frozen, self._frozen = self._frozen or {}, None
        return frozen

    def has(self, scope: dict[str, Any]) -> bool:
        """Whether the globals *scope* are those of one of its modules."""
        frozen = self._frozen  # read once: another thread may thaw it
        modules = sys.modules if frozen is None else frozen
        module = modules.get(scope.get("__name__", ""))
        return module is not None and vars(module) is scope

    def import_(self, name: str, fromlist: Sequence[str], level: int) -> Any:
        """Do what ``__import__`` does, for code of a retired generation.

        *name* is absolute. Returns None if the archive does not have it.
        """
        module = self.find(name)
        if module is None:
            return None
        if not fromlist:
            top = name if level else name.partition(".")[0]
            return self._seen(self.modules[top])
        return self._seen(module, fromlist)

    def _seen(self, module: ModuleType, fromlist: Sequence[str] = ()) -> ModuleType:
        """Return a module as its code sees it: packages with the modules they had."""
        if not hasattr(module, "__path__"):
            return module
        for member in fromlist:
            if member != "*" and not hasattr(module, member):
                self.find(f"{module.__name__}.{member}")
        if vars(module).get(MARK) is self:
            return module
        return View(module, self, everything="*" in fromlist)

    def find(self, name: str) -> ModuleType | None:
        """Return the module *name* as it was in this generation, or None."""
        module = self.modules.get(name)
        if module is not None:
            return module
        with self._lock:
            parent, _, tail = name.rpartition(".")
            if parent and self.find(parent) is None:
                return None
            module = self.modules.get(name) or self._load(name)
            if module is not None and parent:
                holder = self.modules[parent]
                if vars(holder).get(MARK) is self:
                    setattr(holder, tail, module)
            return module

    def _load(self, name: str) -> ModuleType | None:
        """Import a module that is too late for ``sys.modules``."""
        from importlib.util import module_from_spec

        from lazyimport.importing.specs import module_spec

        spec = module_spec(self.tree, name, name.replace(".", "/"))
        if spec is None or spec.loader is None:
            return None
        loader: object = spec.loader
        if type(loader) is not ArchiveLoader:
            raise ImportError(
                f"cannot import {name!r} for archive {self.hash}, which this process "
                "does not run any more: it is a library, of which there is one",
                name=name,
            )
        module = module_from_spec(spec)
        vars(module)[MARK] = self
        self.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            self.modules.pop(name, None)
            raise
        return module

    def _count(self, number: int) -> None:
        with self._counting:
            self._users += number
        if number < 0:
            self.end_if_idle()

    def __repr__(self) -> str:
        return f"<Generation {self.number} of archive {self.hash[:12]}>"


class _Stay:
    """Code that runs in a generation."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._token: Token[Any] | None = None

    def __enter__(self) -> Generation:
        self._generation._count(1)  # noqa: SLF001 - same module
        self._token = _bound.set(ref(self._generation))
        return self._generation

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        try:
            _bound.reset(self._token)
        except ValueError:  # an asynchronous generator that ends in another task
            pass
        self._generation._count(-1)  # noqa: SLF001 - same module


def bound_generation() -> Generation | None:
    """Return the generation that this request, task or thread is bound to, or None."""
    bound = _bound.get()
    return bound and bound()
