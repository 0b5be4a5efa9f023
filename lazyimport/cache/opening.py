"""Archives of the node cache are opened, with their bases and blobs."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap

from lazyimport.cache.layout import Layout
from lazyimport.cache.sealed import hold, is_sealed, map_archive
from lazyimport.format.archive import Archive
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from lazyimport.format.blobs import Blob


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

    def _open(self, hash: str, *users: str, relied: bool) -> Archive | None:
        mapped = map_archive(self.path, hash)
        if mapped is None:
            return None
        buffer, status = mapped

        def open_base(base: str) -> Archive:
            return self.open_base(base, hash, *users, relied=relied)

        return Archive(
            buffer,
            hash,
            self.archive_path(hash),
            sealed=is_sealed(status, hash),
            relied=relied,
            base=open_base,
            blob=self.read_blob,
        )

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
            if hold(found.fileno()) is not None:
                return found
            found.close()
        raise missing_blob(self, blob)
