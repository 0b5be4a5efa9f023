"""Fetching: an archive from its store into the node cache, once for the node."""

from __future__ import annotations

import io
import tempfile
import time
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS
from mmap import mmap
from typing import Any, BinaryIO

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
from lazyimport.format.header import open_header
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT, WARNINGS, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, open_store
from lazyimport.values import redact

#: How a disk says that it takes nothing: a process can do without it.
NO_DISK = {EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS}
#: There is one; more come about if a base was deleted by hand and pushed again.
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
    """One fetch: its settings, cache and deadline."""

    def __init__(
        self, settings: Settings, wanted: str, reporter: Reporter, *, ahead: bool
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
            raise error.with_text(text) from error.__cause__

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
            self._require_store(hash)  # before the lock is taken
        with self._cache.lock(hash, self._left()):
            found = self._cached(hash, self._reporter)
            if found is None and packed is not None:
                found = self._publish_packed(packed)
            if found is not None:
                return found, 0
            return self._download(hash)

    def _cached(self, hash: str, reporter: Reporter = SILENT) -> Archive | None:
        try:
            return self._cache.open(hash)
        except ArchiveError as error:
            if not self._settings.store:
                raise
            # It is replaced by the rename.
            store = redact(self._settings.store)
            reporter.warn(f"{error}; fetching it again from {store}")
            return None

    def _publish_packed(self, packed: Revision) -> Archive | None:
        """Return what was packed here, written whole; None if it is damaged."""
        try:
            return self._publish(packed)
        except ArchiveError:
            return None

    def _publish(self, revision: Revision) -> Archive:
        return self._cache.publish(
            revision.hash, lambda out: revision.write(out, raw=self._raw)
        )

    def _download(self, hash: str) -> tuple[Archive, int]:
        store = self._open_store(hash)
        what = f"{store.url}/{archive_key(hash)}"
        try:
            with tempfile.TemporaryFile(dir=self._cache.scratch_folder()) as file:
                size = self._get(store, hash, file)
                file.flush()
                buffer = map_file(file, what, hash)
        except OSError as error:
            raise self._cache.refused(hash, error) from error
        try:
            revision, more = self._revision(buffer, hash, what)
            archive = self._publish(revision)
        except CacheError:
            self._homeless[hash] = buffer[:]
            raise
        make_room(self._cache, self._settings.cache_limit)
        return archive, size + more

    def _in_memory(self, hash: str) -> tuple[Archive, int]:
        store = self._open_store(hash)
        what = f"{store.url}/{archive_key(hash)}"
        buffer = self._homeless.get(hash, b"")
        if not buffer:
            file = io.BytesIO()
            self._get(store, hash, file)
            buffer = file.getvalue()
        revision, more = self._revision(buffer, hash, what)
        size = len(buffer) + more
        if revision.delta is None:
            return revision.base, size
        out = io.BytesIO()
        revision.write(out, raw=True)
        return Archive(out.getvalue(), hash, what), size

    def _revision(
        self, buffer: bytes | mmap, hash: str, what: str
    ) -> tuple[Revision, int]:
        """Return what was downloaded, with its base, and the bytes fetched for that."""
        try:
            header = open_header(buffer, hash, what)
        except ArchiveError as error:
            error.hash = hash  # of which a header that cannot be read knows nothing
            raise
        if header.base is None:
            return Revision(Archive(buffer, hash, what)), 0
        base, size = self._base(hash, header.base)
        return Revision(base, buffer, hash, what), size

    def _base(self, hash: str, base: str) -> tuple[Archive, int]:
        about = f"archive {hash} is stored as a delta to {base}, and that"
        self._deltas.add(hash)
        if base in self._deltas or len(self._deltas) > _MOST_DELTAS:
            raise MalformedArchive(f"{about} is no full archive", hash=hash)
        try:
            return self.archive(base)
        except ArchiveMissing as error:
            text = f"{about} base is missing: {error}"
            raise ArchiveMissing(text, hash=hash, store=error.store) from None
        except StoreError as error:
            text = f"{about} base cannot be fetched: {error}"
            raise error.with_text(text) from error.__cause__

    def _require_store(self, hash: str) -> str:
        """Return the URL of the store. Raises ArchiveMissing if none is named."""
        if self._settings.store:
            return self._settings.store
        raise ArchiveMissing(
            f"archive {hash} is not in the node cache {self._cache.path}, and no store "
            "is named to fetch it from; set LAZYIMPORT_STORE, or pass store= or --store",
            hash=hash,
        )

    def _open_store(self, hash: str) -> ReadStore:
        return open_store(self._require_store(hash), timeout=round(self._left(), 1))

    def _left(self) -> float:
        """Return the seconds until the deadline, or a moment."""
        return max(self._deadline - time.monotonic(), 0.1)

    def _get(self, store: ReadStore, hash: str, file: BinaryIO) -> int:
        text = f"fetching {hash[:12]} from {store.url}"
        out: Any = Incoming(file, text, self._reporter)
        try:
            return store.download(archive_key(hash), out)
        except KeyMissing:
            raise ArchiveMissing(
                f"archive {hash} is neither in {store.url} nor in the node cache "
                f"{self._cache.path}; check the hash and LAZYIMPORT_STORE, or push it "
                f"there: lazyimport push DIR --store {store.url}",
                hash=hash,
                store=store.url,
            ) from None
        except StoreError as error:
            text = (
                f"archive {hash} is not in the node cache {self._cache.path}, and "
                f"cannot be fetched: {error}"
            )
            raise error.with_text(text) from error.__cause__
