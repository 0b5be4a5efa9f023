"""Sweeping: what no archive needs any more leaves the node cache."""

from __future__ import annotations

import os
from time import time

from lazyimport.cache.layout import (
    ARCHIVES,
    ARTIFACTS,
    BLOBS,
    BYTECODE,
    CHANNELS,
    DEPLOYMENTS,
    LOCKS,
    PACKS,
    SIGNATURES,
    TREES,
    unfinished,
    walk,
)
from lazyimport.cache.removal import delete_folder, remove_unless_used
from lazyimport.errors import CacheError
from lazyimport.files import is_unfinished, remove_file, remove_leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache

#: The lock of the cache under which things are removed; its file knows the time.
EVICTION = "eviction"
#: What packing and artifacts remember, and can do without.
_REMEMBERED = (ARTIFACTS, PACKS)
#: Where files are written without the lock of an archive.
_WRITTEN = (TREES, BLOBS, BYTECODE, CHANNELS, SIGNATURES, DEPLOYMENTS, *_REMEMBERED)
#: Seconds after which the writer of an unfinished file must be dead.
_DEAD = 3600.0
#: Seconds after which a cache that is small enough is swept again.
_BETWEEN = 86400.0
#: Seconds after which a tree without an archive (of memory mode) counts as unused.
_TREE_UNUSED = 86400.0
#: Seconds after which bytecode compiled here counts as unused.
_BYTECODE_UNUSED = 30 * 86400.0


def is_sweep_due(cache: NodeCache) -> bool:
    """Return whether the last sweep was more than a day ago."""
    return _is_older(cache.lock_path(EVICTION), _BETWEEN)


def note_sweep(cache: NodeCache) -> None:
    """Note that the cache was swept just now; its lock must be held."""
    os.utime(cache.lock_path(EVICTION))


def sweep(cache: NodeCache, *, everything: bool = False, force: bool = False) -> None:
    """Remove what killed processes left, trees without archives, unused bytecode.

    With *everything* also trees, bytecode and remembered things that may still be
    of use; with *force* trees that are in use. The lock `EVICTION` must be held.
    """
    _sweep_moved(cache)
    _sweep_unfinished(cache)
    _sweep_locks(cache)
    _sweep_trees(cache, everything=everything, force=force)
    sweep_blobs(cache)
    _sweep_bytecode(cache, everything=everything)
    if everything:
        for name in (*_REMEMBERED, SIGNATURES):
            for path, _ in walk(cache.folder(name)):
                remove_file(path)


def sweep_blobs(cache: NodeCache) -> None:
    """Remove the blobs that no tree links to."""
    for path, status in walk(cache.folder(BLOBS)):
        if status.st_nlink == 1:
            remove_file(path)


def _sweep_moved(cache: NodeCache) -> None:
    """Delete trees that were moved out of sight by a process which was killed then."""
    for name in _names(cache, TREES):
        if is_unfinished(name):
            delete_folder(f"{cache.folder(TREES)}/{name}")


def _sweep_unfinished(cache: NodeCache) -> None:
    for name in _WRITTEN:
        for path, _ in unfinished(cache.folder(name)):
            if _is_older(path, _DEAD):
                remove_file(path)


def _sweep_locks(cache: NodeCache) -> None:
    """Remove what killed writers left of archives, and locks of what is not here."""
    here = cache.archives().keys()
    begun = {name[1:65] for name in _names(cache, ARCHIVES) if is_unfinished(name)}
    for name in begun | (set(_names(cache, LOCKS)) - here - {EVICTION}):
        try:
            with cache.lock(name, 0) as lock:
                remove_leftovers(cache.archive_path(name))
                if name not in here:
                    lock.remove()
        except (CacheError, FileNotFoundError):
            pass  # another process is fetching it


def _sweep_trees(cache: NodeCache, *, everything: bool, force: bool) -> None:
    names = {name[:64] for name in _names(cache, TREES) if not is_unfinished(name)}
    for hash in names - cache.archives().keys():
        parts = cache.tree_parts(hash)
        if everything or all(_is_older(part, _TREE_UNUSED) for part in parts):
            remove_unless_used(cache, hash, force=force)


def _sweep_bytecode(cache: NodeCache, *, everything: bool) -> None:
    now = time()
    for path, status in walk(cache.folder(BYTECODE)):
        unused = now - max(status.st_atime, status.st_mtime)
        if everything or unused > _BYTECODE_UNUSED:
            remove_file(path)


def _names(cache: NodeCache, folder: str) -> list[str]:
    try:
        return os.listdir(cache.folder(folder))
    except FileNotFoundError:
        return []


def _is_older(path: str, seconds: float) -> bool:
    """Return whether *path* was last changed so long ago, or is not there."""
    try:
        # in either direction: clocks jump
        return abs(time() - os.stat(path).st_mtime) > seconds
    except FileNotFoundError:
        return True
