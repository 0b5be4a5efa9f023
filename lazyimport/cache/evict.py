"""Eviction: what nobody uses leaves the node cache, the longest unused first.

Whether an archive is used says a lock that every process with it open shares
(`lazyimport.cache.node`); whoever uses files of a tree holds one on its folder
(`lazyimport.cache.materialize`). Both are the kernel's, so they go when a
process goes, however it ends. Where a file system has no locks nobody can tell,
and nothing is removed.

The race: a process opens an archive while it is being removed. ::

    S: open archives/H           E: lock locks/H, archives/H exclusively
    S: wait for a shared lock    E: unlink archives/H, move trees/H away
    S: has it; the file has no   E: release, delete what was moved
       name any more: not here
    S: lock locks/H, fetch H
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, flock
from time import time

from lazyimport.cache.layout import BYTECODE
from lazyimport.errors import CacheError
from lazyimport.files import remove_leftovers
from lazyimport.settings import byte_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.cache.node import NodeCache

__all__ = [
    "Kept",
    "Pruned",
    "clear",
    "default_limit",
    "discard",
    "make_room",
    "prune",
    "survey",
    "usage",
]

#: What one archive has below ``trees``.
_TREE_SUFFIXES = (".ready", "", ".metadata")
#: What pack, push and artifacts remember, and can do without.
_MEMORIES = ("artifacts", "packs")
#: Seconds after which an unfinished file has no writer any more.
_DEAD = 3600.0
#: Seconds after which the leftovers of a cache that is small enough are looked for.
_BETWEEN_SWEEPS = 86400.0
#: Seconds that a tree without an archive (of memory mode) stays unused.
_TREE_ALONE = 86400.0
#: Seconds that bytecode compiled here stays unused.
_BYTECODE_UNUSED = 30 * 86400.0
#: Clocks of one node do not differ by more seconds than this.
_SKEW = 60.0
#: The part of its disk that a cache without a limit may take: one in so many.
_SHARE = 4


class Kept:
    """An archive in the node cache.

    ``size`` is what it takes on disk, in bytes, without its tree; ``arrived`` and
    ``used`` are seconds since the epoch; ``in_use`` whether a living process has
    it open, or nobody can tell.
    """

    __slots__ = ("arrived", "hash", "in_use", "size", "used")

    def __init__(
        self, hash: str, size: int, arrived: float, used: float, in_use: bool
    ) -> None:
        self.hash = hash
        self.size = size
        self.arrived = arrived
        self.used = used
        self.in_use = in_use


class Pruned:
    """What `prune` or `clear` removed and left.

    ``removed`` and ``in_use`` (to be removed, but used) are lists of `Kept`;
    ``freed`` and ``left`` are bytes of the whole cache.
    """

    __slots__ = ("freed", "in_use", "left", "removed")

    def __init__(
        self, removed: list[Kept], in_use: list[Kept], freed: int, left: int
    ) -> None:
        self.removed = removed
        self.in_use = in_use
        self.freed = freed
        self.left = left


def survey(cache: NodeCache) -> list[Kept]:
    """Return the archives of *cache*, the longest unused first.

    Raises CacheError if it cannot be read.
    """
    now = time()
    found = []
    for name, _, arrived in cache.archives():
        path = cache.archive_path(name)
        try:
            status = os.stat(path)
            in_use = not _is_free(path)
        except FileNotFoundError:
            continue
        # From before a clock was put back, so before all that was noted since
        used = 0.0 if status.st_atime > now + _SKEW else status.st_atime
        found.append(Kept(name, _space(status), arrived, used, in_use))
    return sorted(found, key=lambda kept: (kept.used, kept.hash))


def usage(cache: NodeCache) -> int:
    """Return the bytes that *cache* takes on its disk.

    Files of trees that are links to blobs count once, as these.
    """
    return sum(
        _space(status)
        for folder in ("archives", "blobs", "bytecode", "trees")
        for _, status in _files(f"{cache.path}/{folder}")
        if folder != "trees" or status.st_nlink == 1
    )


def default_limit(cache: NodeCache) -> int:
    """Return the bytes that a cache may take for which no limit is set.

    Raises CacheError if there is no such cache.
    """
    try:
        disk = os.statvfs(cache.path)
    except OSError as error:
        raise CacheError(
            f"cannot use the node cache {cache.path}: {error.strerror}",
            path=cache.path,
            errno=error.errno,
        ) from error
    return disk.f_blocks * disk.f_frsize // _SHARE


def make_room(cache: NodeCache, limit: str | None) -> None:
    """Bring *cache* below *limit* (as the setting ``cache_limit``), if it is above.

    For the one process that has just added to it. Never fails, never waits: it
    is no reason not to start. Looks for leftovers once a day.
    """
    try:
        disk = os.statvfs(cache.path)
        most = byte_count(limit) if limit else default_limit(cache)
        taken = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        if (most is None or taken <= most) and not _sweep_is_due(cache):
            return
        with cache.lock("eviction", 0):
            eviction = _Eviction(cache)
            eviction.sweep()
            if most is not None:
                eviction.shrink(most)
            _note_sweep(cache)
    except (OSError, CacheError):
        pass


def prune(
    cache: NodeCache,
    limit: int | None = None,
    older_than: float | None = None,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Remove what is unused for *older_than* seconds, then down to *limit* bytes.

    And what no archive needs any more: leftovers of killed processes, files that no
    tree links to. With *dry_run* nothing is removed, and of what would be freed
    only the archives themselves are counted. Raises CacheError or OSError.
    """
    with cache.lock("eviction", _DEAD):
        eviction = _Eviction(cache, dry_run=dry_run)
        return eviction.run(limit, older_than)


def clear(cache: NodeCache, *, force: bool = False) -> Pruned:
    """Remove all that is not in use; with *force* what is in use too.

    Processes go on with what they have open, but find no files that they have
    not opened yet. Raises CacheError or OSError.
    """
    with cache.lock("eviction", _DEAD):
        eviction = _Eviction(cache, force=force)
        return eviction.run(0, None, everything=True)


def discard(cache: NodeCache, hash: str) -> bool:
    """Remove one archive with its tree, if nobody uses it; whether that was done.

    Never waits. Raises CacheError if the disk refuses.
    """
    return _Eviction(cache).discard(hash)


class _Eviction:
    """One pass over a cache, whose lock "eviction" is held."""

    def __init__(
        self, cache: NodeCache, *, dry_run: bool = False, force: bool = False
    ) -> None:
        self._cache = cache
        self._dry_run = dry_run
        self._force = force
        self._now = time()
        self.removed: list[Kept] = []
        self.in_use: list[Kept] = []

    def run(
        self, limit: int | None, older_than: float | None, *, everything: bool = False
    ) -> Pruned:
        before = usage(self._cache)
        if older_than is not None:
            for kept in survey(self._cache):
                if self._now - kept.used > older_than:
                    self._remove(kept)
        self.sweep(everything=everything)
        if limit is not None:
            self.shrink(limit)
        self.sweep(everything=everything)
        _note_sweep(self._cache)
        if self._dry_run:
            freed = sum(kept.size for kept in self.removed)
            return Pruned(self.removed, self.in_use, freed, before - freed)
        left = usage(self._cache)
        return Pruned(self.removed, self.in_use, max(before - left, 0), left)

    def shrink(self, limit: int) -> None:
        """Remove archives, then bytecode, until at most *limit* bytes are left."""
        gone = {kept.hash for kept in self.removed}
        left = usage(self._cache)
        if self._dry_run:
            left -= sum(kept.size for kept in self.removed)
        for kept in survey(self._cache):
            if left <= limit:
                return
            if kept.hash not in gone and self._remove(kept):
                self._sweep_blobs()
                left = left - kept.size if self._dry_run else usage(self._cache)
        if not self._dry_run:
            self._shrink_bytecode(left - limit)

    def _shrink_bytecode(self, excess: int) -> None:
        files = _files(f"{self._cache.path}/bytecode")
        for path, status in sorted(files, key=lambda file: file[1].st_atime):
            if excess <= 0:
                return
            _unlink(path)
            excess -= _space(status)

    def sweep(self, *, everything: bool = False) -> None:
        """Remove what nothing needs any more; *everything* but used trees, if so."""
        if self._dry_run:
            return
        cache = self._cache
        for name in _names(f"{cache.path}/trees"):
            if name[0] == ".":  # moved away by who was killed then
                _delete(f"{cache.path}/trees/{name}")
        self._sweep_unfinished()
        for name in self._trees_alone():
            parts = [cache.tree_path(name) + suffix for suffix in _TREE_SUFFIXES]
            if everything or all(self._is_older(part, _TREE_ALONE) for part in parts):
                self.discard(name)
        self._sweep_blobs()
        self._sweep_bytecode(everything=everything)
        if everything:
            for folder in _MEMORIES:
                for path, _ in list(_files(f"{cache.path}/{folder}")):
                    _unlink(path)

    def _sweep_bytecode(self, *, everything: bool) -> None:
        for path, status in list(_files(self._cache.folder(BYTECODE))):
            unused = self._now - max(status.st_atime, status.st_mtime)
            if everything or unused > _BYTECODE_UNUSED:
                _unlink(path)

    def _sweep_unfinished(self) -> None:
        """Remove what killed writers left, and locks of what is not here."""
        path = self._cache.path
        for folder in ("blobs", "bytecode", *_MEMORIES):
            for file, _ in list(_files(f"{path}/{folder}", unfinished=True)):
                if self._is_older(file, _DEAD):
                    _unlink(file)
        here = {name for name, *_ in self._cache.archives()}
        unfinished = {
            name[1:65] for name in _names(f"{path}/archives") if name[0] == "."
        }
        for name in unfinished | set(_names(f"{path}/locks")) - here - {"eviction"}:
            try:
                with self._cache.lock(name, 0) as lock:
                    remove_leftovers(self._cache.archive_path(name))
                    if name not in here:
                        lock.remove()
            except (CacheError, FileNotFoundError):
                pass  # somebody is fetching it

    def _sweep_blobs(self) -> None:
        """Remove the files that no tree is made of."""
        if self._dry_run:
            return
        for path, status in list(_files(f"{self._cache.path}/blobs")):
            if status.st_nlink == 1:
                _unlink(path)

    def _trees_alone(self) -> set[str]:
        here = {name for name, *_ in self._cache.archives()}
        names = _names(f"{self._cache.path}/trees")
        return {name[:64] for name in names if name[0] != "."} - here

    def _is_older(self, path: str, seconds: float) -> bool:
        try:
            # in either direction: clocks jump
            return abs(self._now - os.stat(path).st_mtime) > seconds
        except FileNotFoundError:
            return True

    def _remove(self, kept: Kept) -> bool:
        """Remove an archive and what belongs to it; whether that could be done."""
        done = not kept.in_use if self._dry_run else self.discard(kept.hash)
        (self.removed if done else self.in_use).append(kept)
        return done

    def discard(self, hash: str) -> bool:
        try:
            with self._cache.lock(hash, 0) as lock:
                claims = self._claim(hash)
                if claims is None:
                    return False
                try:
                    aside = self._take_away(hash)
                finally:
                    for descriptor in claims:
                        os.close(descriptor)
                for folder in aside:
                    _delete(folder)
                lock.remove()
        except CacheError as error:
            if error.errno is None:
                return False  # somebody is fetching it
            raise
        return True

    def _claim(self, hash: str) -> list[int] | None:
        """Return locks on the archive and its tree, or None if somebody uses them."""
        claims: list[int] = []
        for path in (self._cache.archive_path(hash), self._cache.tree_path(hash)):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            claims.append(descriptor)
            if not self._force and not _lock(descriptor):
                for claimed in claims:
                    os.close(claimed)
                return None
        return claims

    def _take_away(self, hash: str) -> list[str]:
        """Remove the archive, and move what is in its tree out of sight, in steps.

        In this order: an archive without a tree is one that nobody has used yet,
        and a tree without its marks is made anew where it has holes.
        """
        cache = self._cache
        cache.remove(hash)
        if os.path.isdir(f"{cache.path}/archives"):
            remove_leftovers(cache.archive_path(hash))
        aside = []
        for suffix in _TREE_SUFFIXES:
            folder = f"{cache.path}/trees/.{hash}{suffix}.{os.urandom(4).hex()}.tmp"
            try:
                os.rename(cache.tree_path(hash) + suffix, folder)
            except FileNotFoundError:
                continue
            aside.append(folder)
        return aside


def _is_free(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:  # in use, or a file system without locks
        return False
    return True


def _sweep_is_due(cache: NodeCache) -> bool:
    try:
        last = os.stat(cache.lock_path("eviction")).st_mtime
    except FileNotFoundError:
        return True
    return abs(time() - last) > _BETWEEN_SWEEPS


def _note_sweep(cache: NodeCache) -> None:
    os.utime(cache.lock_path("eviction"))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _files(
    folder: str, *, unfinished: bool = False
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below *folder* with their status; or only unfinished ones."""
    try:
        items = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                yield from _files(item.path, unfinished=unfinished)
            elif not unfinished or (item.name[0] == "." and item.name[-4:] == ".tmp"):
                try:
                    yield item.path, item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue


def _space(status: os.stat_result) -> int:
    return status.st_blocks * 512


def _delete(folder: str) -> None:
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)  # what stays goes with the next pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
