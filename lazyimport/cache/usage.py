"""Usage: which archives the node cache has, when each was used, what it all takes."""

from __future__ import annotations

import os
from time import time

from lazyimport.cache.layout import ARCHIVES, BLOBS, BYTECODE, TREES, unfinished, walk
from lazyimport.cache.removal import is_used
from lazyimport.errors import CacheError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache

#: Clocks of one node do not differ by more seconds than this.
_SKEW = 60.0
#: A cache without a limit may take one part in so many of its disk.
_SHARE = 4


class CachedArchive:
    """An archive in the node cache.

    ``size`` is what it takes on disk, in bytes, without its tree; ``arrived`` and
    ``used`` are seconds since the epoch; ``in_use`` says whether a living process
    has it open, or nobody can tell.
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


def archives_by_use(cache: NodeCache) -> list[CachedArchive]:
    """Return the archives of *cache*, the longest unused first.

    Raises CacheError if it cannot be read.
    """
    now = time()
    found = []
    for hash, status in cache.archives().items():
        used, arrived = status.st_atime, status.st_mtime
        if used > now + _SKEW:  # before a clock was put back, so before all others
            used = 0.0
        in_use = is_used(cache.archive_path(hash))
        found.append(CachedArchive(hash, space(status), arrived, used, in_use))
    return sorted(found, key=lambda archive: (archive.used, archive.hash))


def usage(cache: NodeCache) -> int:
    """Return the bytes that *cache* takes on its disk.

    Files of trees that are links to blobs count once, as these.
    """
    return sum(
        space(status)
        for name in (ARCHIVES, BLOBS, BYTECODE, TREES)
        for files in (walk, unfinished)
        for _, status in files(cache.folder(name))
        if name != TREES or status.st_nlink == 1
    )


def space(status: os.stat_result) -> int:
    """Return the bytes that a file takes on its disk."""
    return status.st_blocks * 512


def default_limit(cache: NodeCache) -> int:
    """Return the bytes that *cache* may take if no limit is set.

    Raises CacheError if there is no such cache.
    """
    try:
        disk = os.statvfs(cache.path)
    except OSError as error:
        raise CacheError(
            f"cannot use the node cache {cache.path}: {error.strerror}; set "
            "LAZYIMPORT_CACHE_DIR to where it is",
            path=cache.path,
            errno=error.errno,
        ) from error
    return disk.f_blocks * disk.f_frsize // _SHARE
