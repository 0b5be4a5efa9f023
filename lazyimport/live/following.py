"""Following: the code of a notebook, or of any process, is what was saved last."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import nullcontext
from threading import Event, RLock, Thread
from types import FunctionType
from typing import IO, Any

from lazyimport.errors import LazyImportError
from lazyimport.importing.shadowing import imported_elsewhere
from lazyimport.live.generations import Generation
from lazyimport.live.holding import is_module
from lazyimport.live.starting import start
from lazyimport.live.state import live_state
from lazyimport.live.swapping import Swap, swap
from lazyimport.live.watching import MOMENT, Changes, watch
from lazyimport.packing import PackOptions, pack
from lazyimport.packing.compile import compilers_kept
from lazyimport.packing.layout import choose_roots
from lazyimport.reporting import WARNINGS, Reporter
from lazyimport.runtime import current, install
from lazyimport.settings import Settings

#: "<descriptor to read> <descriptor to write>" of the pipes of ``lazyimport dev -m``
FOLLOW = "LAZYIMPORT_FOLLOW"


def follow(
    *roots: str | os.PathLike[str],
    prepare: Callable[[Generation], object] | None = None,
    options: PackOptions | None = None,
    reporter: Reporter = WARNINGS,
) -> Following:
    """Let this process import *roots*, and run what is saved there from now on.

    Without *roots*, in a process that ``lazyimport dev -m`` has started, run what that
    finds saved; in any other process, do nothing.

    For a notebook::

        following = lazyimport.live.follow("src")

    Packs the roots into the node cache and installs the archive, for which no store is
    needed. Each change that is saved is packed and swapped to: in a notebook before the
    next cell runs, elsewhere at once. Names of ``__main__`` for functions, classes and
    modules that were executed again then stand for the new ones. *prepare* and what is
    refused are as in `swap`; *reporter* is warned of what is refused.

    Call it before anything of *roots* is imported: *reporter* is warned of what was,
    which stays as it is. Another call takes the place of the one before. Raises what
    `lazyimport.packing.pack` and `lazyimport.install` do, and SettingsError without
    watchfiles.
    """
    places = choose_roots(roots) if roots else []
    following = Following(places, prepare, options, reporter)
    if places:
        following.begin()
    else:
        following.listen(os.environ.pop(FOLLOW, ""))
    return following


class Following:
    """A process that runs what is saved; ``last`` is the last swap, None before it."""

    def __init__(
        self,
        roots: list[str],
        prepare: Callable[[Generation], object] | None,
        options: PackOptions | None,
        reporter: Reporter,
    ) -> None:
        self.last: Swap | None = None
        self._roots = roots
        self._prepare = prepare
        self._options = options
        self._reporter = reporter
        self._end = Event()
        self._changed = False
        self._lock = RLock()

    def begin(self) -> None:
        """Install the archive of what there is now, and watch."""
        self._settings = _settings()
        never = (self._settings.cache_dir,)
        changes = watch(*self._roots, never=never, end=self._end)
        hash = self._pack()
        if current() is None:
            install(hash, cache_dir=self._settings.cache_dir, live=True)
        start()
        self._take_over()
        self.update()
        events = _cells()
        if events is not None:
            events.register("pre_run_cell", self._before_cell)
        Thread(target=self._watch, args=[changes, events is None], daemon=True).start()

    def _take_over(self) -> None:
        """Follow in place of another, and warn of what cannot be followed."""
        live, installed = live_state(), current()
        if live is None or installed is None:
            return  # every swap is refused, and says so
        before, live.following = live.following, self
        if before is not None:
            before.stop()
            if repr(before) != repr(self):
                self._reporter.warn(
                    f"{self!r} takes the place of {before!r}; to follow both, name all "
                    "roots in one call"
                )
        for name, _, origin in imported_elsewhere(installed.tree):
            self._reporter.warn(
                f"{name!r} was imported from {origin} before follow() was called, so "
                "it stays as it is; call follow() before that import"
            )

    def listen(self, pipes: str) -> None:
        """Swap to each archive that the process behind two *pipes* names."""
        if pipes and live_state() is not None:
            hear, tell = map(int, pipes.split())
            ends = [os.fdopen(hear), os.fdopen(tell, "w")]
            Thread(target=self._listen, args=ends, daemon=True).start()

    def _listen(self, hear: IO[str], tell: IO[str]) -> None:
        print("follows", file=tell, flush=True)
        for line in hear:
            self.last = done = self._swap(line.strip())
            answer = [done.state, done.reason, done.modules, done.kept]
            print(json.dumps(answer), file=tell, flush=True)

    def update(self) -> Swap | None:
        """Swap to what is saved now; return what came of it, None if it is the same."""
        return self._update(lambda *_: False)

    def _update(self, goes_on: Callable[..., bool]) -> Swap | None:
        """Do so unless more is saved meanwhile, which may also mend a failure."""
        with self._lock:
            self._changed = False
            try:
                hash = self._pack()
            except (LazyImportError, OSError) as error:
                if not goes_on(MOMENT):
                    self._reporter.warn(str(error))
                return None
            installed = current()
            if installed is not None and installed.hash == hash:
                return None
            if goes_on(0.0, lambda: self._pack() != hash):
                return None
            done = self._swap(hash)
            if done.state == "refused" and not goes_on(MOMENT):
                self._reporter.warn(f"{hash[:12]} is refused: {done.reason}")
            self.last = done
            return done

    def _swap(self, hash: str) -> Swap:
        done = swap(hash, prepare=self._prepare)
        if done.state == "swapped":
            rebind(vars(sys.modules["__main__"]), set(done.modules))
        return done

    def stop(self) -> None:
        """Watch no longer; the process runs on with what it has."""
        self._end.set()

    def _pack(self) -> str:
        return pack(self._roots, self._settings, self._options).hash

    def _watch(self, changes: Changes, at_once: bool) -> None:
        with compilers_kept() if at_once else nullcontext():
            for paths in changes:
                self._changed = self._changed or bool(paths)
                if paths and at_once:
                    self._update(changes.go_on)

    def _before_cell(self, *_: object) -> None:
        if self._changed and not self._end.is_set():
            self.update()

    def __repr__(self) -> str:
        return f"<Following {', '.join(self._roots) or 'lazyimport dev'}>"


def rebind(names: MutableMapping[str, Any], modules: set[str]) -> None:
    """Let *names* of what was in *modules*, executed again, stand for the new."""
    for name, value in list(names.items()):
        if is_module(value):
            if value.__name__ in modules:
                names[name] = sys.modules.get(value.__name__, value)
        elif (
            issubclass(type(value), (FunctionType, type))
            and value.__module__ in modules
        ):
            new: Any = sys.modules.get(value.__module__)
            for part in value.__qualname__.split("."):
                new = getattr(new, part, None)
            if isinstance(new, (FunctionType, type)):
                names[name] = new


def _settings() -> Settings:
    installed = current()
    if installed is not None and live_state() is not None:
        return installed.settings
    return Settings.from_environ(os.environ, live=True)


def _cells() -> Any:
    """Return the events of the notebook that runs here, None if there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell.events if shell else None
