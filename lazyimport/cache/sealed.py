"""Sealed archives of the node cache are held: all of it that a warm start needs.

An archive appears whole, by rename, and never changes. A process that has it open, and
all that it forked, hold a shared lock on its file; the time of access says when it was
last opened. Eviction (`lazyimport.cache.evict`) goes by both.
"""

from __future__ import annotations

import os
import posix

# io's own home of it: from Python 3.14 on a bare interpreter has not loaded io
from _io import open_code
from _stat import S_ISREG
from fcntl import LOCK_SH, flock
from mmap import ACCESS_READ, mmap
from time import time_ns

from lazyimport.cache import is_trusted
from lazyimport.format.beginning import read_beginning
from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from lazyimport import regular
    from lazyimport.cache import boot
    from lazyimport.format import archive as archives
    from lazyimport.format.archive import Archive
else:
    regular = Later("regular")  # where something else is in the way
    boot = Later("cache.boot")  # where something lies that was not synchronized
    archives = Later("format.archive")  # to read more than the beginning

#: The folders of a cache in which archives lie, and what they stand for.
ARCHIVES = "archives"
TREES = "trees"
#: Nanoseconds within which using a file again is not worth a write to disk.
_RECENT = 60 * 10**9


def archive_path(cache: str, hash: str) -> str:
    """Return where the archive *hash* lies when it is in the node cache *cache*."""
    return f"{cache.rstrip('/')}/{ARCHIVES}/{hash}"


def tree_path(cache: str, hash: str) -> str:
    """Return the directory that the archive *hash* stands for: its tree's root."""
    return f"{cache.rstrip('/')}/{TREES}/{hash}"


def open_sealed(
    cache: str, hash: str, *users: str
) -> tuple[int, Callable[[], Archive]] | None:
    """Map an archive of which no more than the beginning has to be read.

    It is in the node cache *cache* (absolute). Returns the minors that it is for, and
    what opens it, relied upon, without anything that reads its blobs. None if it is not
    here, or if `OpenedCache.open` has to say more: it is not sealed, or it is damaged,
    or it has a base (it is one of *users*) of which that is so. Raises CacheError as
    `map_archive` does.
    """
    mapped = map_archive(cache, hash)
    if mapped is None:
        return None
    buffer, status = mapped
    beginning = read_beginning(buffer, hash) if is_sealed(status, hash) else None
    if beginning is None:
        return None
    minors, base = beginning
    opened = None
    if base is not None and (
        base in users or (opened := open_sealed(cache, base, hash, *users)) is None
    ):
        return None

    def opening() -> Archive:
        return archives.Archive(
            buffer,
            hash,
            archive_path(cache, hash),
            sealed=True,
            relied=True,
            base=opened and (lambda _: opened[1]()),
        )

    return minors, opening


def map_archive(cache: str, hash: str) -> tuple[mmap, os.stat_result] | None:
    """Return an archive, mapped and in use, and its status; None if not here.

    Raises CacheError if the cache may not be trusted or the file cannot be read.
    """
    path = archive_path(cache, hash)
    try:
        if not is_trusted(cache):
            return None
        if not S_ISREG(posix.stat(path).st_mode):
            regular.require_regular(path)  # which raises
        with open_code(path) as file:
            if (status := hold(file.fileno())) is None:
                return None
            return map_file(file, path, hash), status
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.CacheError(
            f"cannot read archive {hash} from the node cache: {error}; set "
            "LAZYIMPORT_CACHE_DIR to a directory that this user may read",
            path=path,
            errno=error.errno,
        ) from error


def hold(descriptor: int) -> os.stat_result | None:
    """Record that the archive behind *descriptor* is in use from now on.

    The lock lasts as long as the mapping, which has a duplicate of the descriptor.
    Returns its status, or None if it was removed before the use could be recorded.
    """
    try:
        flock(descriptor, LOCK_SH)
    except OSError:
        pass  # no locks on this file system: nothing is evicted from it
    status = os.fstat(descriptor)
    note_use(descriptor, status)
    return status if status.st_nlink else None


def map_file(file: IO[bytes], path: str, hash: str | None = None) -> mmap:
    """Return the whole of *file*, mapped read-only.

    *path* and *hash* name it and its archive in errors. Raises MalformedArchive if
    it is empty.
    """
    try:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
    except ValueError:
        raise errors.MalformedArchive(
            f"{path}: an empty file, not an archive", hash=hash
        ) from None


def is_sealed(status: os.stat_result, digest: str) -> bool:
    """Return whether the cache wrote the file of *status* and nobody has since.

    *digest* is the hash of an archive, or the SHA-256 of a blob, in hex digits. It is
    in the time of change, below the seconds: whoever writes to a file changes that.
    """
    found = status.st_mtime_ns % 10**9
    return found == seal_of(digest) or found == seal_of(until_boot(digest))


def seal_of(digest: str) -> int:
    """Return the nanoseconds below a second that seal the file of *digest*."""
    return int(digest[:12], 16) % 10**6 * 1000  # file systems keep microseconds


def until_boot(digest: str) -> str:
    """Return what stands for *digest* in a seal that holds until the machine boots."""
    return f"{int(digest[:12], 16) ^ int(boot.name()[:12] or '0', 16):012x}"


def note_use(descriptor: int, status: os.stat_result) -> None:
    """Let the time of access of a file, whose *status* is that, say it is used now."""
    now = time_ns()
    if abs(now - status.st_atime_ns) > _RECENT:
        try:
            os.utime(descriptor, ns=(now, status.st_mtime_ns))
        except OSError:
            pass  # read-only, or another user's: nothing is evicted either
