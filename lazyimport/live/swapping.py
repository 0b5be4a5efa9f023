"""The swap: another version takes over in a process that runs one.

1. Nothing is touched: the archive is opened, the plan is made, code is compiled.
2. The gate is closed for a moment. The modules of the closure leave ``sys.modules``;
   what runs imports them in its own generation from now on.
3. The closure is executed, and new objects are made of it.
4. The gate is closed again: the new generation is the current one. Or whatever went
   wrong, everything is put back.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from lazyimport.errors import READ_AS, LazyImportError, SettingsError
from lazyimport.format.entries import stem_of
from lazyimport.importing.moving import entry_of, modules_of, move
from lazyimport.importing.tree import Tree
from lazyimport.live.closure import Plan, make_plan
from lazyimport.live.generations import MARK, Generation
from lazyimport.live.holding import is_module
from lazyimport.live.journal import Record
from lazyimport.live.keeping import inherit, kept_by, let_go
from lazyimport.live.settling import settler_of
from lazyimport.live.state import Live, attach_submodules, live_state, switch
from lazyimport.live.views import View
from lazyimport.runtime import Installation, current, process
from lazyimport.settings import Settings
from lazyimport.trees import open_tree
from lazyimport.values import check_hash

#: Why a swap is refused that would change the module which ``python -m`` runs.
PROGRAM_CHANGED = "the program itself has changed, which runs once; start it again"
#: Seconds that a swap waits for imports that are under way.
_PATIENCE = 5.0
#: generations that may live when a swap begins: a third comes, and requests hold others
_BEFORE = 2


class Swap(NamedTuple):
    """What came of a swap.

    ``state`` is ``swapped``, ``unchanged`` (that version runs already) or ``refused``,
    for the ``reason``, which names a place in the code if that is where it went wrong;
    then the version ``previous`` serves as before. ``modules`` were executed again,
    ``kept`` are the keys of what was kept, ``seconds`` how long each step took.
    """

    state: str
    hash: str
    previous: str
    reason: str = ""
    modules: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    seconds: Mapping[str, float] = MappingProxyType({})


class Refused(Exception):
    """A swap that is not made, for the reason that is its text."""


def swap(
    hash: str,
    *,
    prepare: Callable[[Generation], object] | None = None,
    settings: Settings | None = None,
) -> Swap:
    """Let the archive *hash* take over in this process, with what it has changed.

    *prepare* is called with the new generation, and makes the new objects of it; if it
    raises, everything is put back. *settings* say how the archive is fetched, those
    that the process was installed with by default.

    Whatever the new code does, nothing is raised for it, nor for what is no hash. Only
    a KeyboardInterrupt in the main thread is.
    """
    live, installation = live_state(), current()
    previous = installation.hash if installation else ""
    try:
        hash = check_hash(hash)
    except SettingsError as error:
        return Swap("refused", str(hash), previous, str(error))
    if live is None or installation is None:
        return Swap(
            "refused",
            hash,
            previous,
            "code cannot change in this process: start it with LAZYIMPORT_LIVE=1 and "
            "an archive to run",
        )
    with live.lock:
        if installation.hash == hash:
            return Swap("unchanged", hash, hash)
        settler = settler_of(live)
        if live.alive > _BEFORE:
            settler.finish()
        done = _Swapping(live, installation, hash, prepare).result(settings)
    settler.soon()  # now that no frame of the swap refers to what is old
    return done


class _Swapping:
    """One swap."""

    def __init__(
        self,
        live: Live,
        installation: Installation,
        hash: str,
        prepare: Callable[[Generation], object] | None,
    ) -> None:
        self._live = live
        self._installation = installation
        self._hash = hash
        self._prepare = prepare
        self._old = installation.tree
        self._seconds: dict[str, float] = {}
        self._undo: list[Callable[[], object]] = []

    def result(self, settings: Settings | None) -> Swap:
        """Swap, and return what came of it."""
        previous, modules = self._old.hash, tuple[str, ...]()
        try:
            settings = (settings or self._installation.settings).with_hash(self._hash)
            with self._timed("open"):
                new, _ = open_tree(settings, process)
            with self._timed("plan"):
                plan = self._plan(new)
            modules = tuple(plan.order)
            self._swap(plan, new)
        except Exception as error:  # noqa: BLE001 - what looks at user code raises too
            is_ours = isinstance(error, (Refused, LazyImportError))
            why = str(error) if is_ours else _told(error, self._old)
            return Swap(
                "refused", self._hash, previous, why, modules, (), self._seconds
            )
        kept = kept_by(self._live.current)
        return Swap("swapped", self._hash, previous, "", modules, kept, self._seconds)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self._seconds[step] = perf_counter() - started

    def _plan(self, new: Tree) -> Plan:
        plan = make_plan(self._old, new, modules_of(self._old), self._live.edges)
        if plan.native:
            raise Refused(
                f"{', '.join(plan.native)} would have to be loaded again, and a process "
                "loads a library once; start new processes for this version"
            )
        if plan.replaced:
            raise Refused(
                f"{', '.join(plan.replaced)} would have to be executed again, and has "
                "put another object in its place in sys.modules, which may be anywhere "
                "by now; start new processes for this version"
            )
        main = entry_of(sys.modules.get("__main__"))
        if main is not None and main.path in plan.changed:
            raise Refused(PROGRAM_CHANGED)
        return plan

    def _swap(self, plan: Plan, new: Tree) -> None:
        live = self._live
        generation = Generation(new)
        generation.number = live.current.number + 1
        old = live.current
        inherit(old, generation)
        live.watch(generation)
        records: list[Record] = []
        try:
            with self._timed("begin"), self._closed_gate():
                if modules_of(self._old).keys() != plan.loaded.keys():
                    plan = self._plan(new)
                self._begin(plan, generation)
            # With the gate open: these take locks, which others hold while they import.
            records = live.journal.undo(lambda scope: scope.get(MARK) is old)
            with generation.enter():
                with self._timed("import"):
                    self._execute(plan, new)
                with self._timed("prepare"):
                    if self._prepare is not None:
                        self._prepare(generation)
            with self._timed("commit"), self._closed_gate():
                self._commit(generation)
        except BaseException as error:
            live.journal.undo(lambda scope: scope.get(MARK) is generation)
            self._put_back()
            live.journal.redo(records)
            is_main = threading.current_thread() is threading.main_thread()
            if isinstance(error, Refused):
                raise
            if isinstance(error, KeyboardInterrupt) and is_main:
                raise
            raise Refused(_told(error, new)) from None
        let_go(generation)
        old.at_end(settler_of(live).soon)

    def _put_back(self) -> None:
        """Undo what was done, if anything was."""
        if self._undo:
            # What still imports after that time ends in one version or the other.
            self._live.gate.close(60)
        try:
            while self._undo:
                self._undo.pop()()
        finally:
            self._live.gate.open()

    @contextmanager
    def _closed_gate(self) -> Iterator[None]:
        if not self._live.gate.close(_PATIENCE):
            raise Refused(
                f"a module is being imported for more than {_PATIENCE:g} seconds, and a "
                "swap cannot begin before that ends"
            )
        try:
            yield
        finally:
            self._live.gate.open()

    def _begin(self, plan: Plan, generation: Generation) -> None:
        """Take the closure away, and let the machinery find the new version."""
        live, old, undo = self._live, self._live.current, self._undo
        old.freeze()
        gone = {name: plan.loaded[name] for name in plan.order}
        undo.append(lambda: self._adopt(old, gone))
        # Old code sees packages through it before they change, until they are back.
        self._show_packages(gone, old)
        for module in gone.values():
            vars(module)[MARK] = old
        for name, holder in _take_away(gone):
            tail = name.rpartition(".")[2]
            undo.append(functools.partial(setattr, holder, tail, gone[name]))
        edges = live.edges.forget(plan.order)
        undo.append(lambda: live.edges.update(edges))
        switch(self._installation, generation.tree)
        undo.append(lambda: switch(self._installation, self._old))
        for name, module in plan.loaded.items():
            if name not in gone:
                undo.append(move(module, generation.tree))
        live.importing = generation
        undo.append(lambda: self._discard(generation, plan))

    def _show_packages(self, gone: dict[str, ModuleType], old: Generation) -> None:
        """Let old code reach the old modules through packages that stay."""
        stay = old.modules.keys() - gone.keys()
        for module in gone.values():
            scope = vars(module)
            for name, value in list(scope.items()):
                if (
                    is_module(value)
                    and value.__name__ in stay
                    and hasattr(value, "__path__")
                ):
                    scope[name] = View(value, old)
                    self._undo.append(functools.partial(scope.update, {name: value}))

    def _execute(self, plan: Plan, new: Tree) -> None:
        for name in plan.order:
            if name in sys.modules or self._is_gone(plan.loaded[name], new):
                continue
            importlib.import_module(name)
        for name in plan.again & sys.modules.keys():
            if hasattr(sys.modules[name], "__path__"):
                attach_submodules(name)

    def _is_gone(self, module: ModuleType, new: Tree) -> bool:
        """Whether the new version has no such module any more."""
        entry = entry_of(module)
        if entry is None:
            return False
        return new.module(stem_of(entry.path)) is None

    def _commit(self, generation: Generation) -> None:
        live, old = self._live, self._live.current
        live.current = generation
        for module in live.edges.modules.values():
            if vars(module).get(MARK) is generation:
                del vars(module)[MARK]
        live.hashes.append(generation.hash)
        old.tree.running = None

    def _discard(self, generation: Generation, plan: Plan) -> None:
        """Take away what the new version has brought so far."""
        live = self._live
        stay = set(map(id, plan.loaded.values()))
        executed = live.edges.of_generation(generation.number)
        live.edges.forget(executed)
        new = {n: sys.modules[n] for n in executed if n in sys.modules}
        new.update(modules_of(generation.tree))
        _take_away({n: m for n, m in new.items() if id(m) not in stay})
        live.importing = live.current

    def _adopt(self, old: Generation, gone: dict[str, ModuleType]) -> None:
        """Give the old version its modules again, and what it imported meanwhile."""
        for name, module in old.thaw().items():
            vars(module).pop(MARK, None)
            is_back = sys.modules.setdefault(name, module) is module
            parent, _, tail = name.rpartition(".")
            if is_back and parent in sys.modules and name not in gone:
                vars(sys.modules[parent]).setdefault(tail, module)


def _take_away(gone: Mapping[str, ModuleType]) -> list[tuple[str, ModuleType]]:
    """Take modules out of ``sys.modules``, and out of packages that stay.

    Returns by their names the packages that had them.
    """
    held = []
    for name, module in gone.items():
        parent, _, tail = name.rpartition(".")
        holder = None if parent in gone else sys.modules.get(parent)
        del sys.modules[name]
        if holder is not None and vars(holder).get(tail) is module:
            delattr(holder, tail)
            held.append((name, holder))
    return held


def _told(error: BaseException, tree: Tree) -> str:
    """Return what *error* says, and where in the archive it happened."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{tree.relative(error.filename) or error.filename}:{error.lineno}"
    traceback = error.__traceback__
    while traceback is not None and not isinstance(error, SyntaxError):
        inner = tree.relative(traceback.tb_frame.f_code.co_filename)
        if inner is not None:
            place = f"{inner}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    text = READ_AS.get(type(error).__name__, type(error).__name__)
    try:
        # A SyntaxError names its place behind its text.
        text += f": {error.msg if isinstance(error, SyntaxError) and place else error}"
    except Exception:  # noqa: BLE001 - of the user's exception
        text += ", which cannot be shown as text"
    return f"{place}: {text}" if place else text
