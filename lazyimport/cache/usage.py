"""Usage: which archives the node cache has, when each was used, what it all takes."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from time import time

from lazyimport.cache.layout import (
    ARTIFACTS,
    BLOBS,
    BYTECODE,
    CHANNELS,
    DEPLOYMENTS,
    LOCKS,
    PACKS,
    SIGNATURES,
    STAGING,
)
from lazyimport.cache.marks import READY
from lazyimport.cache.previous import packed_blobs
from lazyimport.cache.removal import is_used
from lazyimport.cache.sealed import ARCHIVES, TREES, map_file
from lazyimport.cache.walks import everything
from lazyimport.errors import ArchiveError, UnsupportedArchive
from lazyimport.files import is_unfinished
from lazyimport.format.blobs import find_blobs
from lazyimport.format.index import Index
from lazyimport.format.sections import HEADER_SIZE, open_header
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.cache.node import NodeCache

#: Clocks of one node do not differ by more seconds than this.
_SKEW = 60.0
#: What the cache calls its files in each folder: others are not its own.
FORMS = {
    BLOBS: re.compile("([0-9a-f]{2})/\\1[0-9a-f]{62}x?"),
    BYTECODE: re.compile(r"[^/]+-O\d/([0-9a-f]{2})/\1[0-9a-f]{62}"),
    PACKS: re.compile("[0-9a-f]{32}"),
    ARTIFACTS: re.compile("[0-9a-f]{64}"),
    SIGNATURES: re.compile(r"[0-9a-f]{64}\.json"),
    LOCKS: re.compile("[0-9a-f]{64}"),
}


class CachedArchive:
    """An archive in the node cache.

    ``size`` is what it takes on disk, in bytes, without its tree; ``arrived`` and
    ``used`` are seconds since the epoch; ``in_use`` says whether a living process
    has it or its tree open, or may have. ``base`` is the archive that an overlay needs:
    that is used when the overlay is.
    """

    __slots__ = ("arrived", "base", "hash", "in_use", "size", "used")

    def __init__(
        self,
        hash: str,
        size: int,
        arrived: float,
        used: float,
        in_use: bool,
        base: str | None,
    ) -> None:
        self.base = base
        self.hash = hash
        self.size = size
        self.arrived = arrived
        self.used = used
        self.in_use = in_use


class CachedFile:
    """A file, or a directory that is being filled: path, bytes, when it was used.

    ``links`` says how many names a blob has, its own included.
    """

    __slots__ = ("links", "path", "size", "used")

    def __init__(self, path: str, size: int, status: os.stat_result) -> None:
        self.path = path
        self.size = size
        self.used = max(status.st_atime, status.st_mtime)
        self.links = status.st_nlink


class CachedTree:
    """A tree: the bytes that it alone takes, its blobs' inodes, when it was changed."""

    __slots__ = ("blobs", "changed", "size")

    def __init__(self) -> None:
        self.size = 0
        self.blobs: list[int] = []
        self.changed = 0.0


class Inventory:
    """What *cache* has on its disk, by one walk: ``taken`` bytes in all.

    ``archives`` and ``trees`` are by hash, ``blobs`` by inode, ``files`` lists by
    folder, and ``unfinished`` is what somebody writes or left. What has a name that
    no cache gives is counted, and in none of them. Raises CacheError or OSError.
    """

    def __init__(self, cache: NodeCache) -> None:
        self._cache = cache
        self.taken = 0
        self.archives = {each.hash: each for each in archives_by_use(cache)}
        self.trees: dict[str, CachedTree] = {}
        self.blobs: dict[int, CachedFile] = {}
        self.files: dict[str, list[CachedFile]] = {name: [] for name in FORMS}
        self.unfinished: dict[str, CachedFile] = {}
        self._linked: set[int] = set()
        for name in (*FORMS, TREES, ARCHIVES, STAGING, CHANNELS, DEPLOYMENTS):
            with suppress(FileNotFoundError), os.scandir(cache.folder(name)) as items:
                for item in items:
                    hash = item.name.removesuffix(READY)
                    if name == TREES and is_sha256(hash) and hash == hash.lower():
                        self._note_tree(hash, item.path)
                    else:
                        self._note_files(name, item.path)
        self._needs: dict[tuple[str, int, int], set[str] | None] = {}
        self.read_needs()

    def read_needs(self) -> None:
        """Look which blobs archives, and records of packings, refer to by now."""
        known, self._needs = self._needs, {}
        for name in (ARCHIVES, PACKS) if self.blobs else ():
            for path, status in everything(self._cache.folder(name)):
                if not stat.S_ISDIR(status.st_mode) and path[-11:] != ".wishes.tmp":
                    key = path, status.st_ino, status.st_mtime_ns
                    found = known.get(key)
                    if found is None:
                        found = _blobs_of(self._cache, path)
                    self._needs[key] = found

    def forget_needs(self, path: str) -> set[str]:
        """Return the blobs to which what was at *path* referred, if that is known."""
        keys = [key for key in self._needs if key[0] == path]
        return set().union(*(self._needs.pop(key) or () for key in keys))

    def is_needed(self, name: str) -> bool:
        """Return whether something refers to the blob *name*, or may."""
        return any(names is None or name in names for names in self._needs.values())

    def _note_tree(self, hash: str, root: str) -> None:
        tree = self.trees.setdefault(hash, CachedTree())
        for path, size, status in self._count(root, ours=False):
            tree.size += size
            if status.st_ino in self.blobs:
                tree.blobs.append(status.st_ino)
            if path == root:
                tree.changed = max(tree.changed, status.st_mtime)

    def _note_files(self, name: str, place: str) -> None:
        form = FORMS.get(name)
        begin = place.rfind("/") + 1
        for path, size, status in self._count(place):
            if place in self.unfinished:  # a directory, which goes as one
                self.unfinished[place].size += size
            elif form is not None and form.fullmatch(path, begin):
                file = CachedFile(path, size, status)
                self.files[name].append(file)
                if name == BLOBS:
                    self.blobs[status.st_ino] = file

    def _count(
        self, place: str, *, ours: bool = True
    ) -> Iterator[tuple[str, int, os.stat_result]]:
        """Count and yield what is at *place* or below, except what is unfinished.

        In a tree, whose names are not *ours*, that counts too, and goes with the tree.
        """
        for path, status in everything(place):
            size = space(status)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if status.st_ino in self._linked:
                    size = 0
                self._linked.add(status.st_ino)
            self.taken += size
            if (
                ours
                and path[-4:] == ".tmp"
                and is_unfinished(path[path.rfind("/") + 1 :])
            ):
                self.unfinished[path] = CachedFile(path, size, status)
            else:
                yield path, size, status


def _blobs_of(cache: NodeCache, path: str) -> set[str] | None:
    """Return the names of the blobs to which an archive or a packing refers.

    None if they cannot be known: it is just being written, or of a newer format. An
    overlay refers to those of its base by needing that.
    """
    folder, name = path.rsplit("/", 2)[1:]
    if folder == PACKS:
        return set(packed_blobs(path))
    try:
        with cache.look_into(name) as file:
            buffer = map_file(file, path, name)
        header = open_header(buffer, None, path, overlay=True)
        sizes = header.root_size, header.pages_size
        index = Index(buffer, header.hash, HEADER_SIZE, *sizes, path)
        found = find_blobs(index, buffer[header.slots_at : header.members_at])
    except UnsupportedArchive:
        return None
    except (OSError, ArchiveError):
        return None if is_used(path) else set()  # gone, or of no use
    return {blob.name for blob in found.values()}


def archives_by_use(cache: NodeCache) -> list[CachedArchive]:
    """Return the archives of *cache*, the longest unused first, bases after overlays.

    Raises CacheError if it cannot be read.
    """
    now = time()
    bases = cache.bases()
    found = {}
    for hash, status in cache.archives().items():
        used, arrived = status.st_atime, status.st_mtime
        if used > now + _SKEW:  # before a clock was put back, so before all others
            used = 0.0
        in_use = is_used(cache.archive_path(hash)) or is_used(cache.tree_path(hash))
        facts = space(status), arrived, used, in_use, bases.get(hash)
        found[hash] = CachedArchive(hash, *facts)
    for overlay, base in bases.items():
        if overlay in found and base in found:
            found[base].used = max(found[base].used, found[overlay].used)
            found[base].in_use |= found[overlay].in_use
    return sorted(
        found.values(), key=lambda each: (each.used, not each.base, each.hash)
    )


def usage(cache: NodeCache) -> int:
    """Return the bytes that *cache* takes on its disk: links count once."""
    return Inventory(cache).taken


def space(status: os.stat_result) -> int:
    """Return the bytes that a file takes on its disk."""
    return status.st_blocks * 512
