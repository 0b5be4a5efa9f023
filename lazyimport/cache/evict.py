"""Eviction: the longest unused archives leave the node cache, those in use never.

What nothing needs any more goes as well: trees without an archive, blobs without a
tree, old bytecode, what killed processes left. `lazyimport.cache.sweeper` removes it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from time import time

from lazyimport.cache import growth
from lazyimport.cache.locking import CacheLock
from lazyimport.cache.marker import NAME, is_marked
from lazyimport.cache.refusal import FULL
from lazyimport.cache.sweeper import Pruned, Sweeper
from lazyimport.errors import CacheError
from lazyimport.units import byte_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.cache.node import NodeCache

#: The lock of the cache under which things are removed.
EVICTION = "eviction"
#: Seconds to wait for another process that removes things.
_PATIENCE = 3600.0


def shrink(cache: NodeCache, limit: str | None, least: int = 0) -> None:
    """Bring *cache* below *limit* (as the setting ``cache_limit``). Never fails.

    So many bytes leave it at *least*, as far as they are not in use.
    Does nothing if another process does it, or if *cache* is not marked.
    """
    with suppress(OSError, CacheError):
        _refuse_unmarked(cache)
        most = byte_count(limit) if limit else cache.default_limit()
        with _sweeping(cache, 0) as sweeper:
            if least:
                left = sweeper.size - least
                most = left if most is None else min(most, left)
            sweeper.sweep()
            if most is not None:
                sweeper.shrink(most)


def prune(
    cache: NodeCache,
    limit: int | None = None,
    older_than: float | None = None,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Remove what was unused for *older_than* seconds, then down to *limit* bytes.

    What nothing needs goes as well. With *dry_run* nothing is removed. Raises
    CacheError, also for a directory that is not marked as a node cache, or OSError.
    """
    if not _can_be_changed(cache):
        return Pruned([], [], 0, 0)
    with _sweeping(cache, _PATIENCE, dry_run=dry_run) as sweeper:
        sweeper.sweep()
        if older_than is not None:
            sweeper.remove_unused_since(time() - older_than)
        if limit is not None:
            sweeper.shrink(limit)
        return sweeper.result()


def clear(cache: NodeCache, *, force: bool = False, dry_run: bool = False) -> Pruned:
    """Remove all that is not in use; with *force* what is in use too.

    Processes go on with what they have open, but find no files that they have
    not opened yet. With *dry_run* nothing is removed. Raises as `prune` does.
    """
    if not _can_be_changed(cache):
        return Pruned([], [], 0, 0)
    with _sweeping(cache, _PATIENCE, dry_run=dry_run, force=force) as sweeper:
        sweeper.shrink(-1)
        sweeper.sweep(everything=True)
        return sweeper.result()


@contextmanager
def _sweeping(
    cache: NodeCache, patience: float, *, dry_run: bool = False, force: bool = False
) -> Iterator[Sweeper]:
    """Give what removes things, alone; note what the cache takes after that."""
    with _alone(cache, patience):
        if not dry_run:
            growth.forget(cache.path)
        sweeper = Sweeper(cache, dry_run=dry_run, force=force)
        yield sweeper
        if not dry_run:
            growth.know(cache.path, sweeper.result().left)


@contextmanager
def _alone(cache: NodeCache, patience: float) -> Iterator[None]:
    """Hold the lock of evictions; raise CacheError if that takes too many seconds.

    A disk that takes no more files may have no file for it, so it is the marker then.
    """
    with ExitStack() as held:
        try:
            held.enter_context(cache.lock(EVICTION, patience))
        except CacheError as error:
            if error.errno not in FULL:
                raise
            held.enter_context(CacheLock(f"{cache.path}/{NAME}", patience))
        yield


def _can_be_changed(cache: NodeCache) -> bool:
    """Return whether there is a *cache* at all.

    Raises CacheError if this user may not change it, or if it may hold what is not its
    own.
    """
    why = ""
    try:
        owner = os.stat(cache.path).st_uid
    except FileNotFoundError:
        return False
    except OSError as error:
        why = str(error.strerror)
    else:
        user = os.geteuid()
        allowed = os.access(cache.path, os.W_OK | os.X_OK, effective_ids=True)
        if owner not in {user, 0} or not (allowed or owner == user):
            why = f"it belongs to user {owner}; run this as that user"
        elif not allowed:
            why = "this user may not write there"
    if not why:
        _refuse_unmarked(cache)
        return True
    raise CacheError(
        f"cannot remove anything from the node cache {cache.path}: {why}",
        path=cache.path,
    )


def _refuse_unmarked(cache: NodeCache) -> None:
    """Raise CacheError if *cache* may hold what is not its own."""
    cache.make()
    if not is_marked(cache.path):
        raise CacheError(
            f"refusing to remove anything from {cache.path}: it has no {NAME} of "
            "lazyimport, because it held other things first; remove by hand what is "
            "not needed, and set LAZYIMPORT_CACHE_DIR to a new or empty folder",
            path=cache.path,
        )
