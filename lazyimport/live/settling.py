"""Settling: after a swap, what pins the old version is let go, off its path."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from types import FunctionType, ModuleType
from typing import Any

from lazyimport.cache.layout import hash_in
from lazyimport.live.generations import MARK
from lazyimport.live.state import Live

#: Seconds after a swap: it takes the interpreter for long, and other processes of this
#: machine are to swap first.
_LATER = 0.5
#: generations of which none is freed sooner
_FEW = 3
#: How deep a cache is looked into, and at how many objects.
_DEPTH, _MOST = 5, 3000
#: How often it is tried to collect, in about a minute.
_TRIES = 600
_Cache: Any = type(lru_cache(len))


class Settler:
    """Frees what nobody uses any more.

    It has one thread, since finalizers of others run there, and what they leave in a
    thread is left once: `serve.batch` makes an event loop. Memory that this takes for
    a moment comes from one arena of malloc.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lock = threading.Lock()
        #: a finalizer may put something there at any time
        self._wishes: SimpleQueue[None] = SimpleQueue()
        self._is_due = False
        self._thread = threading.Thread(
            target=self._work, name="lazyimport-live-settle", daemon=True
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs; in a forked child it does not."""
        return self._thread.is_alive()

    def soon(self) -> None:
        """Settle in the thread, soon."""
        self._is_due = True
        self._wishes.put(None)

    def finish(self) -> None:
        """Settle now what is to be settled soon."""
        with self._lock:
            if self._is_due:
                self._is_due = False
                _settle(self._live)

    def _work(self) -> None:
        while True:
            self._wishes.get()
            if self._live.alive <= _FEW:
                time.sleep(_LATER)
            with suppress(Empty):
                while True:
                    self._wishes.get_nowait()
            self.finish()


def settler_of(live: Live) -> Settler:
    """Return what settles in this process; the lock of *live* is held."""
    if live.settler is None or not live.settler.is_alive:
        live.settler = Settler(live)
    settler: Settler = live.settler
    return settler


def _settle(live: Live) -> None:
    gc.unfreeze()  # or the first version would stay
    _clear_caches(live)
    _forget_lines(live.current.hash)
    _collect()
    _trim()


def _collect() -> None:
    """Collect once no other thread does; until then the collector does nothing."""
    mine, done = threading.get_ident(), threading.Event()

    def note(phase: str, info: dict[str, int]) -> None:
        if (phase, info["generation"], threading.get_ident()) == ("stop", 2, mine):
            done.set()

    gc.callbacks.append(note)
    try:
        for _ in range(_TRIES):
            gc.collect()
            if done.wait(0.1):
                break
    finally:
        gc.callbacks.remove(note)


def _trim() -> None:
    """Give the memory back that was taken for a moment, where glibc has it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _clear_caches(live: Live) -> None:
    """Clear the caches of `functools` that hold functions or classes of old code."""
    # All objects of the process would be a list of megabytes.
    for cache in [one for one in gc.get_referrers(_Cache) if type(one) is _Cache]:
        filled = cache.cache_info().currsize > 0
        if filled and any(_is_seen_old(one, live) for one in _inside(cache)):
            cache.cache_clear()


def _inside(cache: Any) -> Iterator[Any]:
    """Yield what a cache holds, to some depth."""
    seen = {id(cache), id(cache.__wrapped__)}
    level = gc.get_referents(cache)
    for _ in range(_DEPTH):
        new = [one for one in level if id(one) not in seen and gc.is_tracked(one)]
        level = []
        for one in new[: _MOST - len(seen)]:
            seen.add(id(one))
            yield one
            if not issubclass(type(one), (type, FunctionType, ModuleType)):
                level += gc.get_referents(one)


def _is_seen_old(one: Any, live: Live) -> bool:
    """Whether an object `_is_old`, as far as it lets itself be looked at."""
    try:
        return _is_old(one, live)
    except Exception:  # noqa: BLE001 - metaclasses and modules may raise anything
        return False


def _is_old(one: Any, live: Live) -> bool:
    """Whether a function or class is of a module that another one has replaced."""
    if issubclass(type(one), FunctionType):
        module = sys.modules.get(one.__module__ or "")
        # A copy by value, which Serve makes of an application of FastAPI, has globals
        # of its own.
        copied = module is None or vars(module) is not one.__globals__
        return MARK in one.__globals__ or (copied and live.is_ours(one.__module__))
    if not issubclass(type(one), type) or not live.is_ours(one.__module__):
        return False
    now: Any = sys.modules.get(one.__module__)
    for name in one.__qualname__.split("."):
        if name == "<locals>":  # only what it has made tells
            scopes = (getattr(v, "__globals__", {}) for v in vars(one).values())
            return any(MARK in scope for scope in scopes)
        now = getattr(now, name, None)
    return now is not one


def _forget_lines(hash: str) -> None:
    """Let `linecache` forget the sources of other versions, which it reads again."""
    linecache: Any = sys.modules.get("linecache")
    for path in list(linecache.cache) if linecache else ():
        if hash_in(path) not in {None, hash}:
            linecache.cache.pop(path, None)
