"""Fetching: an archive from its store into the node cache, once for the node."""

from __future__ import annotations

import io
import tempfile
import time
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS

from lazyimport.cache.evict import make_room
from lazyimport.cache.node import NodeCache, map_file
from lazyimport.cache.previous import find_packed
from lazyimport.delivery.transfer import Incoming
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    KeyMissing,
    MalformedArchive,
    StoreError,
)
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.header import Header, open_header
from lazyimport.format.writer import recode
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT, WARNINGS
from lazyimport.stores import open_store
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Any, BinaryIO

    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = ["NO_DISK", "fetch"]

#: How a disk says that it takes nothing: a process can do without it.
NO_DISK = {EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS}
#: There is one; more come about where a base was deleted by hand and pushed anew.
_MOST_DELTAS = 4


def fetch(
    settings: Settings,
    hash: str,
    reporter: Reporter = WARNINGS,
    *,
    ahead: bool = False,
) -> tuple[Archive, int]:
    """Return the archive *hash* and the number of bytes that were downloaded.

    0 bytes if the node has it, or another process fetched it meanwhile. If the
    cache cannot be written, the archive is downloaded into memory, and *reporter*
    is warned of that. It is also warned of damage that was found and replaced.

    With *ahead* the archive is for processes that start later, so it must end up
    in the cache: CacheError if it cannot.

    Raises ArchiveMissing, StoreError, CacheError or ArchiveError.
    """
    return _Fetch(settings, hash, reporter, ahead=ahead).archive(hash)


class _Fetch:
    """One fetch: its settings, store, cache and deadline."""

    def __init__(
        self,
        settings: Settings,
        wanted: str,
        reporter: Reporter,
        *,
        ahead: bool,
    ) -> None:
        self._settings = settings
        self._ahead = ahead
        self._wanted = wanted
        self._reporter = reporter
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
                self._reporter.warn(
                    f"archive {self._wanted} runs from memory, downloaded by each "
                    f"process for itself, and code finds no files beside it: {error}"
                )
            return self._in_memory(hash)

    def _through_cache(self, hash: str) -> tuple[Archive, int]:
        found = self._cached(hash)
        if found is not None:
            return found, 0
        packed = find_packed(self._cache, hash)
        if packed is None:
            self._store(hash)  # says that none is named before it takes a lock
        left = max(self._deadline - time.monotonic(), 0.1)
        with self._cache.lock(hash, left):
            found = self._cached(hash, self._reporter)
            if found is None and packed is not None:
                found = self._write(packed)
            if found is not None:
                return found, 0
            return self._download(self._store(hash), hash)

    def _write(self, packed: Revision) -> Archive | None:
        """Return what was packed here, written whole; None if it is damaged."""
        try:
            return self._cache.publish(
                packed.hash, lambda out: packed.write(out, raw=self._raw)
            )
        except ArchiveError:
            return None

    def _cached(self, hash: str, reporter: Reporter = SILENT) -> Archive | None:
        try:
            return self._cache.open(hash)
        except ArchiveError as error:
            if not self._settings.store:
                raise
            # It is replaced by the rename.
            reporter.warn(
                f"{error}; fetching it anew from {redact(self._settings.store)}"
            )
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
                published = self._cache.publish(
                    hash, lambda out: self._recode(wire, out)
                )
            else:
                base, more = self._base(header)
                size += more
                published = self._cache.publish(
                    hash,
                    lambda out: Revision(base, buffer, hash, what).write(
                        out, raw=self._raw
                    ),
                )
        except CacheError:
            self._homeless[hash] = buffer[:]
            raise
        make_room(self._cache, self._settings.cache_limit)
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
            Revision(base, buffer, hash, what).write(out, raw=True)
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
        text = f"fetching {hash[:12]} from {store.url}"
        out: Any = Incoming(file, text, self._reporter)
        try:
            return store.download(archive_key(hash), out)
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
