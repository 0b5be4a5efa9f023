"""Fetching: an archive from its store into the node cache, once for the node."""

from __future__ import annotations

import io
import os
import tempfile
import time
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS

from lazyimport.cache.evict import make_room
from lazyimport.cache.layout import PACKS
from lazyimport.cache.node import NodeCache, map_file
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    KeyMissing,
    MalformedArchive,
    StoreError,
)
from lazyimport.format.archive import Archive, Header, open_header
from lazyimport.format.delta import apply_delta
from lazyimport.format.writer import recode
from lazyimport.registry.archives import archive_key
from lazyimport.stores import open_store
from lazyimport.stores.protocol import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import BinaryIO

    from lazyimport.format.delta import Revision
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = ["NO_DISK", "fetch"]

#: How a disk says that it takes nothing: a process can do without it.
NO_DISK = {EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS}
#: There is one; more come about where a base was deleted by hand and pushed anew.
_MOST_DELTAS = 4


def warn(text: str) -> None:
    """Issue a RuntimeWarning."""
    import warnings

    warnings.warn(text, RuntimeWarning, stacklevel=2)


def fetch(
    settings: Settings,
    hash: str,
    tell: Callable[[str], object] = warn,
    *,
    ahead: bool = False,
) -> tuple[Archive, int]:
    """Return the archive *hash* and the number of bytes that were downloaded.

    0 bytes if the node has it, or another process fetched it meanwhile. Where the
    cache cannot be written, the archive comes without it, into memory. *tell* is
    given a line about that, and about damage that was found and replaced; by
    default they are warnings (RuntimeWarning).

    With *ahead* it is for processes to come, so it must end up in the cache:
    CacheError where it cannot.

    Raises ArchiveMissing, StoreError, CacheError or ArchiveError.
    """
    return _Fetch(settings, hash, tell, ahead=ahead).archive(hash)


class _Fetch:
    """One fetch: its settings, store, cache and deadline."""

    def __init__(
        self,
        settings: Settings,
        wanted: str,
        tell: Callable[[str], object],
        *,
        ahead: bool,
    ) -> None:
        self._settings = settings
        self._ahead = ahead
        self._wanted = wanted
        self._tell = tell
        self._cache = NodeCache(settings.cache_dir)
        self._deadline = time.monotonic() + settings.timeout
        self._raw = settings.cache_mode != "zstd"
        self._without_disk = settings.cache_mode == "memory"
        #: what was downloaded and found no place on the disk
        self._homeless: dict[str, bytes] = {}
        #: deltas whose bases are being fetched
        self._deltas: set[str] = set()

    def archive(self, hash: str) -> tuple[Archive, int]:
        try:
            return self._archive(hash)
        except (MalformedArchive, DamagedArchive) as error:
            if error.hash != hash or not self._settings.store:
                raise
            advice = f"delete {archive_key(hash)} there and push the tree again"
            text = f"{error}; so the store cannot deliver it: {advice}"
            raise error.with_text(text) from error

    def _archive(self, hash: str) -> tuple[Archive, int]:
        if self._without_disk:
            return self._in_memory(hash)
        try:
            return self._through_cache(hash)
        except CacheError as error:
            if error.errno not in NO_DISK or not self._settings.store or self._ahead:
                raise
            if not self._without_disk:  # its base may have said so already
                self._without_disk = True
                self._tell(
                    f"archive {self._wanted} runs from memory, downloaded by each "
                    f"process for itself, and code finds no files beside it: {error}"
                )
            return self._in_memory(hash)

    def _through_cache(self, hash: str) -> tuple[Archive, int]:
        found = self._cached(hash)
        if found is not None:
            return found, 0
        pushed = _pushed_from_here(self._cache, hash)
        if pushed is None:
            self._store(hash)  # says that none is named before it takes a lock
        left = max(self._deadline - time.monotonic(), 0.1)
        with self._cache.lock(hash, left):
            found = self._cached(hash, self._tell)
            if found is None and pushed is not None:
                found = self._write(pushed)
            if found is not None:
                return found, 0
            return self._download(self._store(hash), hash)

    def _write(self, pushed: Revision) -> Archive | None:
        """Return what was pushed from here, written whole; None if it is damaged."""
        try:
            self._cache.publish(
                pushed.hash, lambda out: pushed.write(out, raw=self._raw)
            )
            return self._cache.open(pushed.hash)
        except ArchiveError:
            return None

    def _cached(
        self, hash: str, tell: Callable[[str], object] = lambda _: None
    ) -> Archive | None:
        try:
            return self._cache.open(hash)
        except ArchiveError as error:
            if not self._settings.store:
                raise
            # It is replaced by the rename.
            tell(f"{error}; fetching it anew from {redact(self._settings.store)}")
            return None

    def _download(self, store: ReadStore, hash: str) -> tuple[Archive, int]:
        what = f"{store.url}/{archive_key(hash)}"
        try:
            with tempfile.TemporaryFile(dir=self._cache.scratch_folder()) as file:
                size = self._get(store, hash, file)
                file.flush()
                buffer = map_file(file, what, hash)
        except OSError as error:
            raise self._cache.refused(hash, error) from error
        header = self._header(buffer, hash, what)
        try:
            if header.base is None:
                wire = Archive(buffer, hash, what)
                self._cache.publish(hash, lambda out: self._recode(wire, out))
            else:
                base, more = self._base(header)
                size += more
                self._cache.publish(
                    hash,
                    lambda out: apply_delta(
                        buffer, hash, base, out, raw=self._raw, what=what
                    ),
                )
        except CacheError:
            self._homeless[hash] = buffer[:]
            raise
        published = self._cache.open(hash)
        make_room(self._cache, self._settings.cache_limit)
        if published is None:
            raise CacheError(
                f"archive {hash} vanished from the node cache {self._cache.path} "
                "right after it was put there; is something deleting files in it?",
                path=self._cache.path,
            )
        return published, size

    def _in_memory(self, hash: str) -> tuple[Archive, int]:
        store = self._store(hash)
        what = f"{store.url}/{archive_key(hash)}"
        buffer = self._homeless.get(hash, b"")
        if not buffer:
            file = io.BytesIO()
            self._get(store, hash, file)
            buffer = file.getvalue()
        size = len(buffer)
        header = self._header(buffer, hash, what)
        if header.base is not None:
            base, more = self._base(header)
            out = io.BytesIO()
            apply_delta(buffer, hash, base, out, raw=True, what=what)
            buffer = out.getvalue()
            size += more
        return Archive(buffer, hash, what), size

    def _header(self, buffer: bytes | mmap, hash: str, what: str) -> Header:
        try:
            return open_header(buffer, hash, what)
        except ArchiveError as error:
            error.hash = hash  # of which a header that cannot be read knows nothing
            raise

    def _base(self, header: Header) -> tuple[Archive, int]:
        assert header.base is not None
        about = f"archive {header.hash} is stored as a delta to {header.base}, and that"
        self._deltas.add(header.hash)
        if header.base in self._deltas or len(self._deltas) > _MOST_DELTAS:
            raise MalformedArchive(f"{about} is no full archive", hash=header.hash)
        try:
            return self.archive(header.base)
        except ArchiveMissing as error:
            raise ArchiveMissing(
                f"{about} base is missing: {error}",
                hash=header.hash,
                store=error.store,
            ) from error
        except StoreError as error:
            text = f"{about} base cannot be had: {error}"
            raise error.with_text(text) from error

    def _recode(self, wire: Archive, out: BinaryIO) -> None:
        recode(wire, out, raw=self._raw)

    def _store(self, hash: str) -> ReadStore:
        if not self._settings.store:
            raise ArchiveMissing(
                f"archive {hash} is not in the node cache {self._cache.path}, and no "
                "store is named to fetch it from; set LAZYIMPORT_STORE, or pass store= "
                "or --store",
                hash=hash,
            )
        left = max(self._deadline - time.monotonic(), 0.1)
        return open_store(self._settings.store, timeout=round(left, 1))

    def _get(self, store: ReadStore, hash: str, file: BinaryIO) -> int:
        try:
            return store.download(archive_key(hash), file)
        except KeyMissing as error:
            raise ArchiveMissing(
                f"archive {hash} is neither in {store.url} nor in the node cache "
                f"{self._cache.path}; check the hash and LAZYIMPORT_STORE, or push it "
                f"there: lazyimport push DIR --store {store.url}",
                hash=hash,
                store=store.url,
            ) from error
        except StoreError as error:
            text = (
                f"archive {hash} is not in the node cache {self._cache.path}, and "
                f"cannot be fetched: {error}"
            )
            raise error.with_text(text) from error


def _pushed_from_here(cache: NodeCache, hash: str) -> Revision | None:
    """Return the archive *hash* if a push from this cache has just made it."""
    if not os.path.isdir(cache.folder(PACKS)):
        return None
    from lazyimport.packing.previous import find

    return find(cache, hash)
