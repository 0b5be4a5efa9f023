"""The node cache: archives that every process of the node maps read-only.

An archive appears whole, by rename, and never changes. A process that has it open
holds a shared lock on its file until the process and all that it forked are gone,
however they end; the time of access says when it was last opened. Eviction
(`lazyimport.cache.evict`) goes by both.
"""

from __future__ import annotations

import os

# io's own home of it: from Python 3.14 on a bare interpreter has not loaded io
from _io import open_code
from fcntl import LOCK_SH, flock
from mmap import ACCESS_READ, mmap
from time import time_ns

from lazyimport import lazy_errors as errors
from lazyimport.cache.layout import ARCHIVES, LOCKS, Layout
from lazyimport.files import AtomicFile, FileLock, is_directory, remove_leftovers
from lazyimport.format.archive import Archive
from lazyimport.settings import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, BinaryIO

__all__ = ["NodeCache"]

#: Opening an archive again so soon is not worth a write to the disk.
_RECENT = 60 * 10**9


class NodeCache(Layout):
    """The archives on this node, in the directory *path* (absolute)."""

    def open(self, hash: str) -> Archive | None:
        """Return the archive, mapped, or None if it is not here.

        Raises ArchiveError if what is here is damaged, CacheError if the
        directory may not be trusted or the file not be read.
        """
        path = self.archive_path(hash)
        try:
            if not is_directory(self.path):
                return None
            with open_code(path) as file:
                if not _hold(file.fileno()):
                    return None
                buffer = map_file(file, path, hash)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errors.CacheError(
                f"cannot read archive {hash} from the node cache: {error}; set "
                "LAZYIMPORT_CACHE_DIR to a directory that this user may read",
                path=path,
                errno=error.errno,
            ) from error
        return Archive(buffer, hash, path)

    def archives(self) -> list[tuple[str, int, float]]:
        """Return (hash, size in bytes, time of arrival) of all archives here.

        Raises CacheError if the directory cannot be read.
        """
        found = []
        try:
            with os.scandir(self.folder(ARCHIVES)) as items:
                for item in items:
                    if is_sha256(item.name):
                        try:
                            status = item.stat()
                        except FileNotFoundError:
                            continue  # removed since it was listed
                        found.append((item.name, status.st_size, status.st_mtime))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise errors.CacheError(
                f"cannot read the node cache {self.path}: {error.strerror}",
                path=self.path,
                errno=error.errno,
            ) from error
        return found

    def lock(self, hash: str, timeout: float) -> FileLock:
        """Return the lock under which one process fetches *hash* for all.

        Without it, N workers that start together would download N times, and
        one that cleans up after a dead writer could remove a living one's file.
        """
        self.make_folder(LOCKS)
        return FileLock(self.lock_path(hash), timeout)

    def publish(self, hash: str, write: Callable[[BinaryIO], object]) -> None:
        """Let *write* make the archive, and make it visible when it is whole.

        The lock must be held. Raises CacheError if the disk refuses.
        """
        path = self.archive_path(hash)
        self.make_folder(ARCHIVES)
        try:
            remove_leftovers(path)
            with AtomicFile(path, 0o444) as file:
                write(file)
        except OSError as error:
            raise self.refused(hash, error) from error

    def refused(self, hash: str, error: OSError) -> errors.CacheError:
        """Return what to raise where the disk does not take the archive *hash*."""
        return errors.CacheError(
            f"cannot keep archive {hash} in the node cache {self.path}: "
            f"{error.strerror or error}; free space there, or set "
            "LAZYIMPORT_CACHE_DIR to another disk or LAZYIMPORT_CACHE_MODE=memory",
            path=self.archive_path(hash),
            errno=error.errno,
        )

    def scratch_folder(self) -> str:
        """Return the directory for nameless files on the disk of the cache."""
        return self.make_folder(ARCHIVES)

    def remove(self, hash: str) -> None:
        """Remove an archive; processes that have it mapped keep it."""
        try:
            os.unlink(self.archive_path(hash))
        except FileNotFoundError:
            pass


def _hold(descriptor: int) -> bool:
    """Record that the archive behind *descriptor* is in use from now on.

    The lock lasts as long as the mapping, which keeps a duplicate of the
    descriptor. False if the file was removed before it could be recorded.
    """
    try:
        flock(descriptor, LOCK_SH)
    except OSError:
        pass  # no locks on this file system: nothing is evicted from it
    status = os.fstat(descriptor)
    now = time_ns()
    if abs(now - status.st_atime_ns) > _RECENT:
        try:
            os.utime(descriptor, ns=(now, status.st_mtime_ns))
        except OSError:
            pass  # read-only, or another user's: nothing is evicted either
    return status.st_nlink > 0


def map_file(file: IO[bytes], path: str, hash: str | None = None) -> mmap:
    """Return the whole of *file* mapped read-only; MalformedArchive if empty.

    *hash* is that of the archive which should be in it.
    """
    try:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
    except ValueError:
        raise errors.MalformedArchive(
            f"{path}: an empty file, not an archive", hash=hash
        ) from None
