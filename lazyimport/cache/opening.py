"""Archives of the node cache are opened: all of it that a warm start needs.

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

from lazyimport.cache.layout import Layout, is_sealed, note_use
from lazyimport.format.beginning import read_beginning
from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, BinaryIO

    from lazyimport import regular
    from lazyimport.format import archive as archives
    from lazyimport.format.archive import Archive
    from lazyimport.format.blobs import Blob
else:
    regular = Later("regular")  # where something else is in the way
    archives = Later("format.archive")  # to read more than the beginning


class OpenedCache(Layout):
    """The archives that are in the node cache *path* (absolute), to be read."""

    def open(self, hash: str, *, relied: bool = False) -> Archive | None:
        """Return an archive, mapped, and so is its base; None if it is not here.

        Where it is *relied* upon, checksums stand for digests if it is sealed.

        Raises ArchiveError if what is here is damaged, or an overlay without its base,
        and CacheError if the cache may not be trusted or the file cannot be read.
        """
        return self._open(hash, relied=relied)

    def open_base(self, hash: str, *users: str, relied: bool = False) -> Archive:
        """Return the archive *hash*, the base of the overlay that is first of *users*.

        The others have that as a base in turn; *relied* is as for `open`. Raises
        as `open` does.
        """
        archive = None
        if hash not in users:
            archive = self._open(hash, *users, relied=relied)
        if archive is None:
            raise errors.MalformedArchive(
                f"archive {users[0]} needs archive {hash}, its base, which is missing "
                f"in the node cache {self.path}",
                hash=users[0],
            )
        return archive

    def open_sealed(
        self, hash: str, *users: str
    ) -> tuple[int, Callable[[], Archive]] | None:
        """Map an archive of which no more than the beginning has to be read.

        Returns the minors that it is for, and what opens it, *relied* upon. None if it
        is not here, or if `open` has to say more: it is not sealed, or it is damaged,
        or it has a base (it is one of *users*) of which that is so. Raises CacheError
        as `open` does.
        """
        mapped = self._map(hash)
        if mapped is None:
            return None
        buffer, status = mapped
        beginning = read_beginning(buffer, hash) if is_sealed(status, hash) else None
        if beginning is None:
            return None
        minors, base = beginning
        opened = None
        if base is not None and (
            base in users or (opened := self.open_sealed(base, hash, *users)) is None
        ):
            return None

        def opening() -> Archive:
            return archives.Archive(
                buffer,
                hash,
                self.archive_path(hash),
                sealed=True,
                relied=True,
                base=opened and (lambda _: opened[1]()),
                blob=self.read_blob,
            )

        return minors, opening

    def _open(self, hash: str, *users: str, relied: bool) -> Archive | None:
        mapped = self._map(hash)
        if mapped is None:
            return None
        buffer, status = mapped

        def open_base(base: str) -> Archive:
            return self.open_base(base, hash, *users, relied=relied)

        return archives.Archive(
            buffer,
            hash,
            self.archive_path(hash),
            sealed=is_sealed(status, hash),
            relied=relied,
            base=open_base,
            blob=self.read_blob,
        )

    def _map(self, hash: str) -> tuple[mmap, os.stat_result] | None:
        """Return an archive, mapped and in use, and its status; None if not here."""
        path = self.archive_path(hash)
        try:
            if not self.exists():
                return None
            if not S_ISREG(posix.stat(path).st_mode):
                regular.require_regular(path)  # which raises
            with open_code(path) as file:
                if (status := _hold(file.fileno())) is None:
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

    def read_blob(self, blob: Blob) -> mmap:
        """Return a blob, mapped. Raises MemberMissing if it is not here; CacheError."""
        with self.open_blob(blob) as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)

    def open_blob(self, blob: Blob) -> BinaryIO:
        """Return the open file of a blob, which counts as used meanwhile.

        Raises as `read_blob` does.
        """
        from lazyimport.cache.blobs import (  # few archives have any
            find_blob,
            missing_blob,
        )

        try:
            found = find_blob(self, blob)
        except OSError as error:
            from lazyimport.cache.refusal import unusable

            raise unusable("read", self.path, error) from error
        if found is not None:
            if _hold(found.fileno()) is not None:
                return found
            found.close()
        raise missing_blob(self, blob)


def _hold(descriptor: int) -> os.stat_result | None:
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
