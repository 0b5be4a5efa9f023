"""The sweeper: what may leave a node cache, removed in one pass.

One walk (`lazyimport.cache.usage`) finds what there is. See `lazyimport.cache.removal`
for how one archive goes.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from functools import partial
from time import time

from lazyimport.cache.layout import (
    ARTIFACTS,
    BLOBS,
    BYTECODE,
    LOCKS,
    PACKS,
    SIGNATURES,
    STAGING,
)
from lazyimport.cache.marker import NAME
from lazyimport.cache.removal import delete_folder, is_used, locked, remove_unless_used
from lazyimport.cache.sealed import ARCHIVES
from lazyimport.cache.usage import CachedArchive, CachedFile, Inventory
from lazyimport.errors import CacheError
from lazyimport.files import is_abandoned, remove_file
from lazyimport.regular import open_regular
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lazyimport.cache.node import NodeCache

#: Seconds after which a tree without an archive (of memory mode) counts as unused.
_TREE_UNUSED = 86400.0
#: Seconds after which no process goes on with a download that was broken off.
_DOWNLOAD_LOST = 86400.0
#: Seconds after which a blob that nothing needs is not about to be needed.
_BLOB_UNUSED = 86400.0
#: Seconds after which bytecode compiled here counts as unused.
_BYTECODE_UNUSED = 30 * 86400.0


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


class Sweeper:
    """One pass over a cache, whose lock `lazyimport.cache.evict.EVICTION` is held."""

    def __init__(
        self, cache: NodeCache, *, dry_run: bool = False, force: bool = False
    ) -> None:
        self._cache = cache
        self._dry_run = dry_run
        self._force = force
        self._found = Inventory(cache)
        self.size = self._left = self._found.taken
        self._removed: dict[str, CachedArchive] = {}
        self._in_use: dict[str, CachedArchive] = {}

    def remove_unused_since(self, moment: float) -> None:
        """Remove what was not used since *moment*, in seconds since the epoch."""
        for archive in self._found.archives.values():
            if archive.used < moment:
                self._remove_archive(archive)
        for file in self._found.files[BYTECODE]:
            if file.used < moment:
                self._remove_file(file)
        for file in self._found.unfinished.values():
            if file.used < moment:
                self._remove_unfinished(file)

    def shrink(self, limit: int) -> None:
        """Remove archives, trees, bytecode and records until *limit* bytes are left."""
        found = self._found
        # What a killed process left may be large, and nobody has to go on with it.
        items: list[CachedArchive | CachedFile] = [
            *found.archives.values(),
            *found.unfinished.values(),
        ]
        for item in sorted(items, key=lambda item: item.used):
            if self._left <= limit:
                return
            if isinstance(item, CachedFile):
                self._remove_unfinished(item)
            elif item.hash not in self._removed:
                self._remove_archive(item)
        # Whoever was to remove such a tree with its archive was killed in between.
        trees = found.trees.keys() - found.archives.keys()
        removals: list[Callable[[], object]] = [
            partial(self._remove_tree, hash) for hash in trees
        ]
        there = found.archives.keys() - self._removed.keys()
        for name in (BYTECODE, PACKS, ARTIFACTS, SIGNATURES):
            files = sorted(found.files[name], key=lambda file: file.used)
            files = [file for file in files if _archive_of(file) not in there]
            removals += [partial(self._remove_file, file) for file in files]
            removals += [partial(self._release, file.path) for file in files]
        for remove in removals:
            if self._left <= limit:
                return
            remove()

    def sweep(self, *, everything: bool = False) -> None:
        """Remove what no archive needs any more; *everything* not in use."""
        found, now = self._found, time()
        partial = tuple(f"{self._cache.folder(name)}/" for name in (ARCHIVES, BLOBS))
        for file in found.unfinished.values():
            is_old = abs(now - file.used) > _DOWNLOAD_LOST
            if everything or is_old or not file.path.startswith(partial):
                self._remove_unfinished(file)
        for hash, tree in list(found.trees.items()):
            is_old = abs(now - tree.changed) > _TREE_UNUSED  # clocks jump
            if hash not in found.archives and (everything or is_old):
                self._remove_tree(hash)
        for file in found.files[BLOBS]:
            # What was packed or fetched just now may be needed before that shows.
            if everything or abs(now - file.used) > _BLOB_UNUSED:
                self._remove_unneeded(file)
        for file in found.files[BYTECODE]:
            if everything or abs(now - file.used) > _BYTECODE_UNUSED:
                self._remove_file(file)
        if not self._dry_run:
            self._sweep_locks()
            os.utime(f"{self._cache.path}/{NAME}")

    def result(self) -> Pruned:
        """Return what was done."""
        removed, in_use = self._removed.values(), self._in_use.values()
        freed = self._found.taken - self._left
        return Pruned([*removed], [*in_use], freed, self._left)

    def _remove_archive(self, archive: CachedArchive) -> None:
        """Remove an archive that nobody uses, its overlays, and what only it needed."""
        overlays = [
            each
            for each in self._found.archives.values()
            if each.base == archive.hash and each.hash not in self._removed
        ]
        for overlay in overlays:
            self._remove_archive(overlay)
        is_needed = any(each.hash in self._in_use for each in overlays)
        if not is_needed and self._remove_tree(archive.hash):
            self._removed[archive.hash] = archive
            self._in_use.pop(archive.hash, None)
            self._left -= archive.size
        else:
            self._in_use[archive.hash] = archive

    def _remove_tree(self, hash: str) -> bool:
        """Remove all that the cache has of an archive, unless it is in use."""
        if self._dry_run:
            archive = self._found.archives.get(hash)
            used = archive.in_use if archive else is_used(self._cache.tree_path(hash))
            if used and not self._force:
                return False
        elif not remove_unless_used(self._cache, hash, force=self._force):
            return False
        tree = self._found.trees.pop(hash, None)
        if tree is not None:
            self._left -= tree.size
            for inode in tree.blobs:
                self._found.blobs[inode].links -= 1
                self._remove_unneeded(self._found.blobs[inode])
        self._release(self._cache.archive_path(hash))
        return True

    def _release(self, path: str) -> None:
        """Remove the blobs that only the archive or packing at *path* needed."""
        names = self._found.forget_needs(path)
        for file in self._found.files[BLOBS] if names else ():
            if _name_of(file) in names:
                self._remove_unneeded(file)

    def _remove_unneeded(self, file: CachedFile) -> None:
        """Remove a blob unless a tree, an archive or a process needs it."""
        name, found = _name_of(file), self._found
        if file.links > 1 or found.is_needed(name):
            return
        if not self._dry_run:  # what has come since the walk may need it
            found.read_needs()
            if found.is_needed(name) or not _is_as_found(file):
                return
        with locked(file.path) as free:
            if free or self._force:
                self._remove_file(file)

    def _remove_file(self, file: CachedFile) -> None:
        if not self._dry_run:
            remove_file(file.path)
        self._left -= file.size
        file.size = 0

    def _remove_unfinished(self, file: CachedFile) -> None:
        """Remove what is unfinished and whose writer is dead."""
        folder, name = file.path[len(self._cache.path) + 1 :].split("/", 1)
        name = os.path.basename(name).lstrip(".").partition(".")[0]
        lock: AbstractContextManager[object] = nullcontext()
        if folder == STAGING:
            lock = self._cache.lock(ARTIFACTS, 0)
        elif folder in {ARCHIVES, BLOBS} and is_sha256(name) and not self._dry_run:
            lock = self._cache.lock(name, 0)  # of who is about to go on with it
        with suppress(CacheError), lock:
            if is_abandoned(file.path):
                self._found.forget_needs(file.path)
                if os.path.isdir(file.path) and not self._dry_run:
                    delete_folder(file.path)
                    self._left -= file.size
                else:
                    self._remove_file(file)

    def _sweep_locks(self) -> None:
        for file in self._found.files[LOCKS]:
            name = os.path.basename(file.path)
            if not os.path.exists(self._cache.archive_path(name)):
                # not while another process is fetching it
                with (
                    suppress(CacheError, FileNotFoundError),
                    self._cache.lock(name, 0) as lock,
                ):
                    lock.remove()


def _archive_of(file: CachedFile) -> str | None:
    """Return the archive of a signature, or the one that an artifact became."""
    folder, name = file.path.rsplit("/", 2)[1:]
    if folder == ARTIFACTS:
        with (
            suppress(OSError, ValueError),
            open(file.path, encoding="ascii", opener=open_regular) as record,
        ):
            return record.read(64)
    return name.removesuffix(".json") if folder == SIGNATURES else None


def _is_as_found(blob: CachedFile) -> bool:
    """Return whether nobody has used a blob since the walk."""
    try:
        status = os.lstat(blob.path)
    except FileNotFoundError:
        return True
    return status.st_nlink == 1 and CachedFile("", 0, status).used == blob.used


def _name_of(blob: CachedFile) -> str:
    """Return the digest of a blob, in hex digits."""
    return os.path.basename(blob.path).removesuffix("x")
