"""The node cache: archives come to be, under locks, and are listed and removed.

`lazyimport.cache.opening` opens those that are here.
"""

from __future__ import annotations

import os
from errno import (
    EACCES,
    EDQUOT,
    EFBIG,
    ENOLCK,
    ENOSPC,
    ENOSYS,
    EOPNOTSUPP,
    EPERM,
    EROFS,
    ETIMEDOUT,
)

from lazyimport.cache.growth import Growing
from lazyimport.cache.layout import LOCKS
from lazyimport.cache.opening import OpenedCache
from lazyimport.cache.refusal import unusable
from lazyimport.cache.sealed import ARCHIVES
from lazyimport.cache.seals import finish, seal
from lazyimport.format.sections import HEADER_SIZE, Header
from lazyimport.lazy import Later, errors
from lazyimport.regular import open_regular
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, BinaryIO

    from lazyimport import files
    from lazyimport.format.archive import Archive
    from lazyimport.locks import FileLock
else:
    files = Later("files")  # to write

#: How a file system says that it has no locks.
_NO_LOCKS = {ENOLCK, ENOSYS, EOPNOTSUPP}
#: How a disk says that it takes nothing, and what is said of a fetcher without a sign
#: of life, which holds a lock: a process can do without the disk.
NO_DISK = {EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS, ETIMEDOUT, *_NO_LOCKS}
#: A cache without a limit may take one part in so many of its disk.
_SHARE = 4
#: How members are stored in a cache.
KINDS = ("raw", "zstd")


class NodeCache(OpenedCache):
    """The archives on this node, in the directory *path* (absolute)."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        #: what `base_of` said of each file, by hash, inode and time
        self._bases: dict[tuple[str, int, int], str | None] = {}

    def archives(self) -> dict[str, os.stat_result]:
        """Return the archives here: the status of the file of each, by hash.

        Raises CacheError if the directory cannot be read.
        """
        found = {}
        try:
            with os.scandir(self.folder(ARCHIVES)) as items:
                for item in items:
                    if is_sha256(item.name) and item.name == item.name.lower():
                        try:
                            found[item.name] = item.stat()
                        except FileNotFoundError:
                            pass  # removed since it was listed
        except FileNotFoundError:
            pass
        except OSError as error:
            raise unusable("read", self.path, error) from error
        return found

    def bases(self) -> dict[str, str]:
        """Return the bases of overlays, by the hashes of these. Raises CacheError.

        A file that was read is not read again: eviction asks before each removal.
        """
        known, self._bases = self._bases, {}
        for hash, status in self.archives().items():
            file = hash, status.st_ino, status.st_mtime_ns
            base = known[file] if file in known else self.base_of(hash)
            self._bases[file] = base
        return {hash: base for (hash, *_), base in self._bases.items() if base}

    def base_of(self, hash: str) -> str | None:
        """Return the base of an overlay; None if *hash* is none that can be read."""
        try:
            with self.look_into(hash) as file:
                return Header.decode(file.read(HEADER_SIZE), overlay=True).base
        except (OSError, errors.ArchiveError):
            return None

    def look_into(self, hash: str) -> IO[bytes]:
        """Open the file of an archive, which counts as no use of it. Raises OSError."""
        return open(self.archive_path(hash), "rb", buffering=0, opener=_unnoticed)

    def lock(self, name: str, timeout: float) -> FileLock:
        """Return a lock of the cache; the one called by a hash is for that archive.

        One process fetches an archive for all under it. Without it, N workers that
        start together would download N times, and one that cleans up after a dead
        writer could remove the file of a living one. Entering it raises CacheError.
        """
        from lazyimport.cache.locking import CacheLock

        self.make_folder(LOCKS)
        return CacheLock(self.lock_path(name), timeout)

    def publish(self, hash: str, write: Callable[[BinaryIO], object]) -> Archive:
        """Let *write* make an archive; return it when it is here, whole and open.

        What it writes must have been proved; the file is sealed. The lock must be held.
        Raises CacheError if the disk refuses, and ArchiveError for what is not that
        archive.
        """
        path = self.archive_path(hash)
        self.make_folder(ARCHIVES)
        try:
            files.remove_leftovers(path)
            with Growing(self.path) as growing, files.AtomicFile(path, 0o444) as file:
                write(file)
                file.flush()
                growing.size = file.tell()
                seal(file.fileno(), hash)
        except OSError as error:
            raise self.refused(f"archive {hash}", error) from error
        return self.open_new(hash)

    def begin(self, hash: str, kind: str, fits: Callable[[int], bool]) -> BinaryIO:
        """Open the file in which an archive comes to be; see `complete`.

        What a killed process left of it is still in it, if it *fits*, which is called
        with the descriptor; *kind* keeps those apart that are laid out in different
        ways. Nothing is cut off it: processes may have it open. The lock must be held.
        Raises OSError.
        """
        self.make_folder(ARCHIVES)
        return self.begin_file(self.partial_path(hash, kind), fits)

    def begin_file(
        self, path: str, fits: Callable[[int], bool] = lambda _: True
    ) -> BinaryIO:
        """Open the unfinished file *path*, as `begin` does that of an archive."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            descriptor = open_regular(path, flags)
        except PermissionError:
            try:
                os.chmod(path, 0o600)  # it was killed when it had all but the name
            except OSError:  # it is another user's, or the folder is
                files.remove_file(path)
            descriptor = open_regular(path, flags)
        # Eviction may find it abandoned just now.
        if not (files.claim(descriptor, shared=True) and fits(descriptor)):
            os.close(descriptor)
            files.remove_file(path)
            descriptor = open_regular(path, flags)
            files.claim(descriptor, shared=True)
        return open(descriptor, "r+b", buffering=0)

    def has_begun(self, hash: str) -> bool:
        """Return whether a killed process left a part of an archive; see `begin`."""
        return any(os.path.lexists(self.partial_path(hash, kind)) for kind in KINDS)

    def partial_path(self, hash: str, kind: str) -> str:
        """Return the file in which an archive comes to be; *kind* as in `begin`."""
        return f"{self.folder(ARCHIVES)}/.{hash}.{kind}.tmp"

    def complete(self, hash: str, file: BinaryIO, kind: str) -> Archive:
        """Give the *file* of `begin`, which is whole now, its name; return the archive.

        All of it must have been proved; it is sealed. Raises OSError, CacheError or
        ArchiveError.
        """
        path = self.archive_path(hash)
        finish(file, self.partial_path(hash, kind), path, hash)
        files.remove_leftovers(path)
        return self.open_new(hash)

    def give_up(self, hash: str) -> None:
        """Remove what there is of an archive that does not come, if it can be done."""
        try:
            files.remove_leftovers(self.archive_path(hash))
        except OSError:
            pass  # eviction sees to it

    def open_new(self, hash: str) -> Archive:
        """Return an archive that was put here just now; CacheError if it is gone."""
        path = self.archive_path(hash)
        archive = self.open(hash)
        if archive is None:
            raise errors.CacheError(
                f"archive {hash} vanished from the node cache {self.path} right after "
                "it was put there; see whether something else deletes files in it",
                path=path,
            )
        return archive

    def refused(
        self, what: str, error: OSError, size: int | None = None
    ) -> errors.CacheError:
        """Return the error for a disk that does not take *what*, of *size* bytes."""
        from lazyimport.cache.refusal import refused

        return refused(what, self.path, error, size)

    def scratch_folder(self) -> str:
        """Return the directory for nameless files on the disk of the cache."""
        return self.make_folder(ARCHIVES)

    def default_limit(self) -> int:
        """Return the bytes that the cache may take if no limit is set, 0 without one.

        Raises CacheError if it cannot be reached.
        """
        try:
            disk = os.statvfs(self.path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise unusable("use", self.path, error) from error
        return disk.f_blocks * disk.f_frsize // _SHARE

    def remove(self, hash: str) -> None:
        """Remove the file of an archive; processes that have it open keep it.

        Raises CacheError as `make` does.
        """
        self.make()  # which refuses a store
        files.remove_file(self.archive_path(hash))


def _unnoticed(path: str, flags: int) -> int:
    """Open a file without a change of its time of access, if it is this user's."""
    try:
        return open_regular(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return open_regular(path, flags)
