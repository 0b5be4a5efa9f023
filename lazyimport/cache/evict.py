"""Eviction: the longest unused archives leave the node cache, those in use never.

What is in use, and how one archive goes, is said in `lazyimport.cache.removal`;
what goes because nothing needs it any more, in `lazyimport.cache.sweep`.
"""

from __future__ import annotations

import os
from time import time

from lazyimport.cache.layout import BYTECODE, walk
from lazyimport.cache.removal import remove_unless_used
from lazyimport.cache.sweep import (
    EVICTION,
    is_sweep_due,
    note_sweep,
    sweep,
    sweep_blobs,
)
from lazyimport.cache.usage import archives_by_use, default_limit, space, usage
from lazyimport.errors import CacheError
from lazyimport.files import remove_file
from lazyimport.values import byte_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache
    from lazyimport.cache.usage import CachedArchive

#: Seconds to wait for another process that removes things.
_PATIENCE = 3600.0


class Pruned:
    """What `prune` or `clear` removed and left.

    ``removed`` and ``in_use`` (what would have been removed if nobody used it) are
    lists of `CachedArchive`; ``freed`` and ``left`` are bytes of the whole cache.
    """

    __slots__ = ("freed", "in_use", "left", "removed")

    def __init__(
        self,
        removed: list[CachedArchive],
        in_use: list[CachedArchive],
        freed: int,
        left: int,
    ) -> None:
        self.removed = removed
        self.in_use = in_use
        self.freed = freed
        self.left = left


def make_room(cache: NodeCache, limit: str | None) -> None:
    """Bring *cache* below *limit* (as the setting ``cache_limit``), if it is above.

    For the one process that has just added to it. Never waits and never fails, so
    that every process can start. Sweeps once a day.
    """
    try:
        disk = os.statvfs(cache.path)
        most = byte_count(limit) if limit else default_limit(cache)
        taken = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        if (most is None or taken <= most) and not is_sweep_due(cache):
            return
        with cache.lock(EVICTION, 0):
            sweep(cache)
            if most is not None:
                _Eviction(cache).shrink(most)
            note_sweep(cache)
    except (OSError, CacheError):
        pass


def prune(
    cache: NodeCache,
    limit: int | None = None,
    older_than: float | None = None,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Remove archives unused for *older_than* seconds, then down to *limit* bytes.

    Sweeps as well. With *dry_run* nothing is removed, and of what would be freed
    only the archives themselves are counted. Raises CacheError or OSError.
    """
    with cache.lock(EVICTION, _PATIENCE):
        eviction = _Eviction(cache, dry_run=dry_run)
        if older_than is not None:
            eviction.remove_unused_since(time() - older_than)
        eviction.sweep()
        if limit is not None:
            eviction.shrink(limit)
        eviction.sweep()
        return eviction.result()


def clear(cache: NodeCache, *, force: bool = False) -> Pruned:
    """Remove all that is not in use; with *force* what is in use too.

    Processes go on with what they have open, but find no files that they have
    not opened yet. Raises CacheError or OSError.
    """
    with cache.lock(EVICTION, _PATIENCE):
        eviction = _Eviction(cache, force=force)
        eviction.sweep(everything=True)
        eviction.shrink(0)
        eviction.sweep(everything=True)
        return eviction.result()


class _Eviction:
    """One pass over a cache, whose lock `EVICTION` is held."""

    def __init__(
        self, cache: NodeCache, *, dry_run: bool = False, force: bool = False
    ) -> None:
        self._cache = cache
        self._dry_run = dry_run
        self._force = force
        self._before = self._left = usage(cache)
        self._removed: dict[str, CachedArchive] = {}
        self._in_use: dict[str, CachedArchive] = {}

    def remove_unused_since(self, moment: float) -> None:
        """Remove the archives not used since *moment*, in seconds since the epoch."""
        for archive in archives_by_use(self._cache):
            if archive.used < moment:
                self._remove(archive)

    def shrink(self, limit: int) -> None:
        """Remove archives, then bytecode, until at most *limit* bytes are left."""
        for archive in archives_by_use(self._cache):
            if self._left <= limit:
                return
            if archive.hash not in self._removed:
                self._remove(archive)
        if not self._dry_run:
            self._shrink_bytecode(limit)

    def sweep(self, *, everything: bool = False) -> None:
        """Remove what no archive needs any more, or *everything* not in use."""
        if not self._dry_run:
            sweep(self._cache, everything=everything, force=self._force)
            note_sweep(self._cache)
            self._left = usage(self._cache)

    def result(self) -> Pruned:
        """Return what was done."""
        freed = max(self._before - self._left, 0)
        removed, in_use = self._removed.values(), self._in_use.values()
        return Pruned([*removed], [*in_use], freed, self._left)

    def _remove(self, archive: CachedArchive) -> None:
        """Remove an archive that nobody uses, and what it alone needed."""
        if self._dry_run and not archive.in_use:
            self._removed[archive.hash] = archive
            self._left -= archive.size
        elif not self._dry_run and remove_unless_used(
            self._cache, archive.hash, force=self._force
        ):
            self._removed[archive.hash] = archive
            sweep_blobs(self._cache)
            self._left = usage(self._cache)
        else:
            self._in_use[archive.hash] = archive

    def _shrink_bytecode(self, limit: int) -> None:
        files = walk(self._cache.folder(BYTECODE))
        for path, status in sorted(files, key=lambda file: file[1].st_atime):
            if self._left <= limit:
                return
            remove_file(path)
            self._left -= space(status)
